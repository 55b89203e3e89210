// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where blocks are in a mounted pool: put there as an engine would do it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define WAIT_S	  60.0
#define REQ_BYTES (16u << 20)

void place_close(const struct config *c)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/gpubench", c->pool);
	unlink(path);
}

int place_open(const struct config *c, size_t block, struct kvlift_pool **pool)
{
	/* Of a run that was killed. */
	place_close(c);
	return kvlift_pool_open(c->pool, pool);
}

bool place_fits(const struct config *c, size_t block)
{
	struct kvlift_pool *pool;
	bool fits;

	/* What is wrong with it is told by whoever opens it next. */
	if (kvlift_pool_open(c->pool, &pool))
		return true;
	fits = kvlift_pool_block_size(pool) == block;
	kvlift_pool_close(pool);
	return fits;
}

static bool has(const struct attached *a, unsigned int tier)
{
	struct kvlift_member m;

	return !kvlift_pool_member(a->pool, tier, 0, &m);
}

const char *place_lacks(const struct attached *a, enum place place)
{
	if (place == PLACE_BELOW && !has(a, KVLIFT_TIER_NVME))
		return "the pool has no device";
	return NULL;
}

const char *place_name(enum place place)
{
	static const char *const names[PLACES] = { "from the window",
						   "from an ordinary DRAM slot",
						   "from NVMe" };

	return names[place];
}

/* How many are in a tier; with a word that tells of the window it is DRAM too. */
static int64_t in_tier(const struct attached *a, unsigned int tier)
{
	uint64_t words[4096], i, k, most = sizeof(words) / sizeof(words[0]);
	int64_t n = 0, got;

	for (i = 0; i < a->nr; i += (uint64_t)got) {
		got = kvlift_where(a->region, i,
				   a->nr - i < most ? a->nr - i : most, words);
		if (got <= 0)
			return got ? got : -EIO;
		for (k = 0; k < (uint64_t)got; k++)
			n += kvlift_loc_tier(words[k]) == tier;
	}
	return n;
}

/* Down until all are there: each call is good for one tier. */
static int sink(struct attached *a, unsigned int tier)
{
	double end = bench_now() + WAIT_S;
	int64_t n;

	for (;;) {
		n = in_tier(a, tier);
		if (n < 0 || n == (int64_t)a->nr)
			return n < 0 ? (int)n : 0;
		if (bench_now() > end)
			return -ETIME;
		kvlift_demote(a->region, 0, a->nr);
		usleep(20000);
	}
}

static int to_window(struct attached *a)
{
	uint64_t each = REQ_BYTES / a->block, i, n = 0;
	struct kvlift_event e;
	int ret;

	for (i = 0; i < a->nr; i += each, n++) {
		const struct kvlift_gpu_req r = {
			.region = a->region,
			.first = i,
			.count = a->nr - i < each ? a->nr - i : each,
			.cookie = i,
			.flags = KVLIFT_REQ_WINDOW,
		};

		ret = kvlift_gpu_acquire(a->gpu, &r, 1);
		if (ret < 0)
			return ret;
	}
	while (n--) {
		ret = kvlift_gpu_wait(a->gpu, &e, 1, 60000);
		if (ret <= 0 || e.res)
			return ret < 0 ? ret : ret ? e.res : -ETIME;
	}
	return 0;
}

/* All anew, in ordinary slots: what is in the window stays there when written. */
static int fill(struct attached *a, uint64_t seed)
{
	size_t bytes = a->nr * a->block;
	void *map;
	int ret;

	ret = kvlift_region_size(a->region, 0);
	ret = ret ? ret : kvlift_region_size(a->region, bytes);
	if (ret)
		return ret;
	ret = kvlift_region_map(a->region, 0, bytes, PROT_READ | PROT_WRITE, 0,
				&map);
	if (ret)
		return ret;
	host_fill(map, 0, a->nr, a->block, seed);
	return kvlift_region_unmap(map, bytes);
}

/* All are in the window, or none is: their words do not tell. */
static int is_window(struct attached *a, bool full)
{
	double end = bench_now() + WAIT_S;
	uint64_t used;
	int ret;

	for (;;) {
		ret = kvlift_gpu_info(a->gpu, &a->info);
		used = a->info.mover.window - a->info.mover.window_free;
		if (ret || (full ? used >= a->nr : !used))
			return ret;
		if (bench_now() > end)
			return -EXDEV;
		usleep(20000);
	}
}

int place_put(struct attached *a, enum place place, uint64_t seed)
{
	int ret = 0;

	if (place != PLACE_BELOW || a->below != seed)
		ret = fill(a, seed);
	a->below = place == PLACE_BELOW ? seed : 0;
	if (!ret && place == PLACE_WINDOW)
		ret = to_window(a);
	else if (!ret && place == PLACE_BELOW)
		ret = sink(a, KVLIFT_TIER_NVME);
	if (!ret)
		ret = is_window(a, place == PLACE_WINDOW);
	if (!ret)
		dev_poison(kvlift_gpu_base(a->gpu), a->nr * a->block);
	return ret;
}

/* What is in the window is to leave it without a copy to ordinary memory. */
uint32_t place_flags(enum place place)
{
	return place == PLACE_WINDOW ? KVLIFT_REQ_EXCLUSIVE : 0;
}
