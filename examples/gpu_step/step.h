/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The model that gpu_step decodes: layers of grouped-query attention over a
 * paged KV cache in half precision. A block has all KV heads of some tokens of
 * one layer: the keys of all of its tokens, then the values. The KV cache of a
 * sequence in a layer is a table of addresses of blocks.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIM	 128u
#define KV_HEADS 8u
#define GROUP	 4u /* query heads of a KV head */
#define HEADS	 (KV_HEADS * GROUP)
#define ROW	 (KV_HEADS * DIM) /* keys, or values, of a token */

/**
 * struct shape
 * @layers:	of the model
 * @seqs:	sequences that are decoded together
 * @tokens:	of each when it begins; one more after each step
 * @steps:	tokens that are decoded
 * @block:	bytes
 * @per_block:	tokens of a block
 * @blocks:	of a sequence in a layer, with room for all steps
 */
struct shape {
	unsigned int layers, seqs, tokens, steps;
	size_t block;
	unsigned int per_block, blocks;
};

/* Floats of a query, or of an output, of all sequences. */
static inline size_t shape_floats(const struct shape *s)
{
	return (size_t)s->seqs * HEADS * DIM;
}

static inline uint64_t shape_blocks(const struct shape *s)
{
	return (uint64_t)s->layers * s->seqs * s->blocks;
}

/* Blocks are numbered by layer, sequence, and place in the sequence. */
static inline uint64_t shape_index(const struct shape *s, unsigned int layer,
				   unsigned int seq)
{
	return ((uint64_t)layer * s->seqs + seq) * s->blocks;
}

struct device;

/**
 * struct device_ops - what computes: cpu.c, cuda.cu
 * @backend:	enum kvlift_gpu_backend
 * @open:	NULL: there is none, why is told
 * @alloc:	memory of the device, 0: there is not so much
 * @stream:	for kvlift_gpu_release_after()
 * @fill:	a block, with the KV of tokens that were there before: of block
 *		@index of the whole cache
 * @begin:	a step: the query of its first layer
 * @attend:	a layer, whose blocks are at table[seq * blocks + i]. Sequences
 *		have @tokens, and one more when it is done. The table is read
 *		before it returns
 * @end:	waits, and gives the output of the last layer
 *
 * All but @end may return before the device is done.
 */
struct device_ops {
	unsigned int backend;
	struct device *(*open)(int number, const struct shape *shape);
	void (*close)(struct device *d);
	const char *(*name)(struct device *d);
	uint64_t (*alloc)(struct device *d, size_t bytes);
	void (*free)(struct device *d, uint64_t at);
	uint64_t (*stream)(struct device *d);
	void (*fill)(struct device *d, uint64_t at, uint64_t index);
	void (*begin)(struct device *d, unsigned int step);
	void (*attend)(struct device *d, unsigned int layer,
		       unsigned int tokens, const uint64_t *table);
	void (*end)(struct device *d, float *out);
};

extern const struct device_ops device_cpu;
extern const struct device_ops device_cuda;

/* The KV cache, with what it takes to go through a step. */
struct cache;

/**
 * struct cache_opts
 * @pool:	a directory of a pool; NULL: all in the device's own memory
 * @name:	of the region, which is made and removed
 * @bytes:	of the device's memory for blocks
 * @window:	bytes, 0: what kvlift_gpu_attach() takes
 * @window_cxl:	by which it goes on in CXL memory
 * @in_window:	blocks stay in the window, and are used there: zero copy
 */
struct cache_opts {
	const char *pool, *name;
	uint64_t bytes, window, window_cxl;
	int number;
	bool in_window;
};

/* What a run has cost beside the device's work. */
struct cache_stats {
	uint64_t copies_in, copies_out;
	double waited; /* seconds for events */
};

/* cache.c. Errors end the program. */
struct cache *cache_open(const struct cache_opts *o, const struct shape *s,
			 const struct device_ops *ops, struct device *d);
void cache_close(struct cache *c);
/* Before the first step: all KV of all tokens, made by the device. */
void cache_fill(struct cache *c);
/* One layer ahead: asks for what the layer needs at so many tokens. */
void cache_want(struct cache *c, unsigned int layer, unsigned int tokens);
/* Waits for it: the addresses, as attend() takes them. */
const uint64_t *cache_get(struct cache *c, unsigned int layer);
/* What has been submitted to the stream so far is the last to use it. */
void cache_put(struct cache *c, unsigned int layer);
void cache_stats(struct cache *c, struct cache_stats *stats);

double step_now(void); /* seconds */

#ifdef __cplusplus
}
#endif
#endif
