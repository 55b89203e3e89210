/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Where a replay keeps its blocks: as one region (block i of the file is the
 * trace's id number i) or as one file per block, named by the id.
 */
#ifndef TOOL_STORE_H
#define TOOL_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "hist.h"
#include "kvlift.h"
#include "trace.h"

struct store;

struct store_ops {
	/* Find or make the files. fresh: what an earlier run left goes. */
	int (*open)(struct store *s, bool fresh);
	/* Location word of a block before it is used. */
	uint64_t (*where)(struct store *s, uint32_t n);
	/*
	 * Read and verify a whole block; *ns is the time until its first byte
	 * was there. 0, -EILSEQ: other bytes than expected, or -errno.
	 */
	int (*read)(struct store *s, uint32_t n, uint64_t *ns);
	/* Write a block, and only then note that it is there. */
	int (*write)(struct store *s, uint32_t n);
	/* Report a request's accesses. */
	int (*touch)(struct store *s, const uint32_t *refs, uint64_t count);
	int (*prefetch)(struct store *s, const uint32_t *refs, uint64_t count);
	/* The one file of all blocks, where number n is block n; or NULL. */
	const struct kvlift_region *(*region)(struct store *s);
	/* Where a resumed replay goes on. */
	uint64_t (*get_next)(struct store *s);
	void (*set_next)(struct store *s, uint64_t request);
	/* Keep in memory what is no block of the trace, or NULL. */
	void (*hold)(struct store *s);
	void (*close)(struct store *s, bool remove);
};

struct store {
	const struct store_ops *ops;
	const struct trace *trace;
	const char *name; /* of the files in the pool: NAME.region ... */
	struct kvlift_pool *pool;
	size_t block;
	uint8_t *present; /* by number */
	char bad[160];	  /* what the last -EILSEQ found */
	void *private;
};

extern const struct store_ops region_store, object_store;

/* Blocks that a store of the region kind needs beside the trace's own. */
uint64_t region_store_extra(uint64_t blocks, uint64_t block_size);

#endif
