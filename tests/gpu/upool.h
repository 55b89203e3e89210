/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A pool in user space, for machines whose kernel cannot load the module: what
 * the mover, the CUDA backend and the calls of kvlift_gpu.h see is the same,
 * the rings, the window, requests, leases and words; behind them are threads of
 * this process instead of the kernel. Ordinary slots are its anonymous memory,
 * and the slowest tier is a file, read with O_DIRECT where that works.
 *
 * It stands in for the module's side of the protocol only. It has no rights, no
 * faults, no checksums, no deadlines, no policy: the block that has not been
 * used for the longest time leaves the GPU first. Leases do not end by
 * themselves. One pool and one attachment at a time.
 *
 * Linked in place of the library's gpu_sys.c, pool.c, region.c and queue.c;
 * with -Wl,--wrap=kvlift_gpu_attach, which looks for a mounted pool.
 */
#ifndef KVT_UPOOL_H
#define KVT_UPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvlift.h"

/*
 * kvlift_pool_open() takes "upool:BLOCK:BYTES[:FILE]", sizes in bytes: BYTES of
 * all regions together, each of which may be in memory, and in FILE.
 */
#define UPOOL_PREFIX "upool:"

/* Where blocks are to be that no request is about. */
enum upool_place {
	UPOOL_DRAM = 1,
	UPOOL_WINDOW = 2,
	UPOOL_FILE = 4,
};

/* The ordinary slot of a block, to fill it before it is put anywhere else. */
void *upool_slot(const struct kvlift_region *region, uint64_t index);
/*
 * Moves blocks there, out of the GPU too, and nowhere else is a copy. In the
 * file they are written; after UPOOL_WINDOW they are in neighbouring slots. 0
 * or -errno.
 */
int upool_put(const struct kvlift_region *region, uint64_t first,
	      uint64_t count, enum upool_place place);
bool upool_has_file(void);
/* Is it read past the page cache? */
bool upool_is_direct(void);

/* One copy, by the mover and nothing else. */
struct upool_copy {
	uint32_t op;	 /* KVLIFT_CMD_IN, KVLIFT_CMD_OUT, KVLIFT_CMD_PEER */
	uint32_t window; /* PEER: slot of the second attachment */
	uint32_t slot;
};

/*
 * Has the mover make these copies, as many as it allows at a time, and waits.
 * Not while there are requests. 0, or the error of a copy.
 */
int upool_copies(const struct upool_copy *copies, size_t count);

#endif
