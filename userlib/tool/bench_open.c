// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What a process pays to attach to a region that is there: large or small. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

#define SMALL  (1 * GIB)
#define LARGE  (256 * GIB)
#define ROUNDS 16u /* the cheapest counts: others have a timer tick in them */
#define MOST   1e7 /* ns that are allowed */

struct attached {
	struct kvlift_pool *pool;
	struct kvlift_region *region;
	struct kvlift_table table;
	void *map;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Until the place of a block is known. */
static int attach(struct attached *a, const char *dir, const char *name,
		  uint64_t size)
{
	int ret;

	memset(a, 0, sizeof(*a));
	ret = kvlift_pool_open(dir, &a->pool);
	ret = ret ?: kvlift_region_open(a->pool, name, O_RDWR, &a->region);
	ret = ret
		      ?: kvlift_region_map(a->region, 0, size,
					   PROT_READ | PROT_WRITE, 0, &a->map);
	ret = ret ?: kvlift_table_map(a->region, &a->table);
	if (!ret && kvlift_table_lookup(&a->table, 0) & KVLIFT_LOC_PRESENT)
		ret = -EIO;
	return ret;
}

static void detach(struct attached *a, uint64_t size)
{
	kvlift_table_unmap(&a->table);
	if (a->map)
		kvlift_region_unmap(a->map, size);
	kvlift_region_close(a->region);
	kvlift_pool_close(a->pool);
}

static int measure(const char *dir, const char *name, uint64_t size,
		   double *least)
{
	uint64_t start, ns;
	struct attached a;
	unsigned int i;
	int ret = 0;

	*least = HUGE_VAL;
	for (i = 0; i < ROUNDS && !ret; i++) {
		start = cpu_ns();
		ret = attach(&a, dir, name, size);
		ns = cpu_ns() - start;
		detach(&a, size);
		if ((double)ns < *least)
			*least = (double)ns;
	}
	return ret;
}

static int make_files(const char *dir)
{
	struct kvlift_region *r;
	struct kvlift_pool *pool;
	int ret;

	ret = kvlift_pool_open(dir, &pool);
	if (ret)
		return ret;
	ret = kvlift_region_create(pool, "small", SMALL, 0600, &r);
	if (!ret) {
		kvlift_region_close(r);
		ret = kvlift_region_create(pool, "large", LARGE, 0600, &r);
	}
	if (!ret)
		kvlift_region_close(r);
	kvlift_pool_close(pool);
	return ret;
}

static int block_size(struct bench *b, uint64_t block)
{
	double small = 0, large = 0;
	struct mkpool p;
	int ret;

	ret = bench_pool(b, &p, block, 16, false, NULL);
	if (ret)
		return bench_lacks(b, "a pool", ret);
	ret = make_files(p.dir);
	ret = ret ?: measure(p.dir, "small", SMALL, &small);
	ret = ret ?: measure(p.dir, "large", LARGE, &large);
	mkpool_undo(&p);
	if (ret)
		return bench_lacks(b, "attaching", ret);
	bench_add(b, "attach-1G", block, "instr", small, "10 ms", MOST, 1);
	bench_add(b, "attach-256G", block, "instr", large, "10 ms", MOST, 1);
	/* A page table more or less, no more. */
	bench_add(b, "attach-growth", block, "instr", large, "1G", small, 1.1);
	return 0;
}

int bench_open(struct bench *b)
{
	int ret = block_size(b, 64 * KIB), ret2 = block_size(b, 2 * MIB);

	return ret ?: ret2;
}
