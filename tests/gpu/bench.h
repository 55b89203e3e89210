/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the groups of gpubench share. */
#ifndef KVT_GPU_BENCH_H
#define KVT_GPU_BENCH_H

#include "dev.h"
#include "kvlift.h"
#include "table.h"

#define SIZES 3u

/**
 * struct config
 * @pool:	mount point of a real pool; NULL: the one in user space
 * @file:	where that keeps its slowest tier
 * @bytes:	that are copied in each repetition
 * @reps:	repetitions, after one that does not count
 * @peak:	bytes per second of the largest copies of pinned memory, by
 *		enum dev_dir; measured by the first group
 */
struct config {
	const char *pool, *file;
	uint64_t bytes;
	unsigned int reps;
	int device;
	double peak[2];
};

extern const size_t bench_blocks[SIZES];

/* Groups: they print rows. 0, or -errno when nothing could be measured. */
int bench_peak(struct config *c);
int bench_mover(struct config *c);
int bench_kernel(struct config *c);
int bench_direct(struct config *c);
int bench_usable(struct config *c);
int bench_peers(struct config *c);
int bench_register(struct config *c);

double bench_now(void); /* seconds */
/* Bytes per second in GB/s. */
double bench_rate(uint64_t bytes, double start, double end);

/* By as many threads as there are CPUs; see pattern.h. */
void host_fill(void *at, uint64_t first, size_t count, size_t block,
	       uint64_t seed);
uint64_t host_wrong(const void *at, uint64_t first, size_t count, size_t block,
		    uint64_t seed);
void host_poison(void *at, size_t bytes);

/*
 * A pool with room for @bytes, a region of that size, an attachment with as
 * much memory and a window where all of it can be; all registered.
 */
struct attached {
	struct kvlift_pool *pool;
	struct kvlift_region *region;
	struct kvlift_gpu *gpu;
	struct kvlift_gpu_info info;
	uint64_t nr; /* blocks */
	size_t block;
	uint64_t below; /* the pattern that is on the device, 0: none */
};

int attach_open(struct attached *a, const struct config *c, size_t block);
void attach_close(struct attached *a, const struct config *c);

/* Where blocks are before they are asked for. */
enum place {
	PLACE_WINDOW,
	PLACE_DRAM,
	PLACE_BELOW, /* on NVMe or in a file */
	PLACES,
};

/* place_upool.c, place_pool.c. Can there be blocks of this size? */
bool place_fits(const struct config *c, size_t block);
void place_close(const struct config *c);
int place_open(const struct config *c, size_t block, struct kvlift_pool **pool);
/* NULL, or why there is no such place here. */
const char *place_lacks(const struct attached *a, enum place place);
const char *place_name(enum place place);
/* All blocks, filled with a pattern; below, if they are not yet. */
int place_put(struct attached *a, enum place place, uint64_t seed);
/* More flags for requests that are about such blocks. */
uint32_t place_flags(enum place place);

#endif
