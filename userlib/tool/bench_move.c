// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Moves between memory tiers, beside the bare copy and move_pages(2). */
#include <errno.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

struct cost {
	double down, up, copy; /* per block */
};

static int move_all(const struct area *a, unsigned int tier, double *cost)
{
	struct meter m;
	int64_t there;
	int ret;

	meter_settle();
	meter_start(&m);
	if (tier == KVLIFT_TIER_DRAM)
		ret = area_promote(a, 0, a->nr);
	else
		ret = area_demote(a, 0, a->nr);
	*cost = (double)meter_stop(&m) / (double)a->nr;
	if (ret)
		return ret;
	there = area_in_tier(a, tier);
	if (there == (int64_t)a->nr)
		return 0;
	error("%lld of %zu blocks moved to %s", (long long)there, a->nr,
	      kvlift_tier_name(tier));
	return there < 0 ? (int)there : -EIO;
}

/* Down while mapped and written, as it is when DRAM gets short; up by hint. */
static int there_and_back(const struct area *a, struct cost *c)
{
	int ret;

	area_touch(a, true);
	ret = move_all(a, KVLIFT_TIER_CXL, &c->down);
	return ret ?: move_all(a, KVLIFT_TIER_DRAM, &c->up);
}

static int measure(const char *dir, size_t block, size_t nr, struct cost *c)
{
	struct cost unseen;
	struct area a;
	uint64_t calls;
	int ret, stop;

	ret = area_make(&a, dir, block, nr);
	if (ret)
		return ret;
	ret = there_and_back(&a, c);
	ret = ret ?: there_and_back(&a, c);
	/* Once more, slower, to see what of it is the copy. */
	ret = ret ?: graph_start(BENCH_COPY);
	if (!ret) {
		ret = there_and_back(&a, &unseen);
		stop = graph_stop(2 * nr, &c->copy, &calls);
		ret = ret ?: stop;
	}
	area_remove(&a);
	return ret;
}

/* The first turn is unseen: lists and slabs get warm. */
static int movepages(const struct bench *b, size_t block, size_t nr, bool huge,
		     double *down, double *up)
{
	struct meter m;
	struct anon a;
	int ret, turn;

	ret = anon_make(&a, block * nr, huge);
	for (turn = 0; turn < 2 && !ret; turn++) {
		meter_settle();
		meter_start(&m);
		ret = anon_move(&a, 0, a.n, b->cxl_node);
		*down = (double)meter_stop(&m) / (double)nr;
		meter_start(&m);
		ret = ret ?: anon_move(&a, 0, a.n, 0);
		*up = (double)meter_stop(&m) / (double)nr;
	}
	anon_free(&a);
	return ret;
}

static int block_size(struct bench *b, size_t block, size_t nr)
{
	bool huge = block == 2 * MIB;
	const char *peer = huge ? "move_pages THP" : "move_pages 4K";
	struct cost ours = { 0 };
	double down, up;
	struct mkpool p;
	int ret;

	ret = bench_pool(b, &p, block, nr, true, NULL);
	if (ret)
		return ret;
	ret = measure(p.dir, block, nr, &ours);
	mkpool_undo(&p);
	if (ret)
		return ret;
	bench_add(b, "move-dram-cxl", block, "instr/block", ours.down,
		  BENCH_COPY, ours.copy, huge ? 1.05 : 1.4);
	bench_add(b, "move-cxl-dram", block, "instr/block", ours.up, BENCH_COPY,
		  ours.copy, huge ? 1.05 : 1.4);
	ret = movepages(b, block, nr, huge, &down, &up);
	if (ret)
		return ret;
	bench_add(b, "move-dram-cxl", block, "instr/block", ours.down, peer,
		  down, huge ? 1.1 : 0.25);
	bench_add(b, "move-cxl-dram", block, "instr/block", ours.up, peer, up,
		  huge ? 1.1 : 0.25);
	return 0;
}

int bench_move(struct bench *b)
{
	int ret, ret2;

	ret = block_size(b, 64 * KIB, b->quick ? 128 : 512);
	if (ret)
		bench_lacks(b, "moves of 64K", ret);
	ret2 = block_size(b, 2 * MIB, b->quick ? 8 : 24);
	if (ret2)
		bench_lacks(b, "moves of 2M", ret2);
	return ret ?: ret2;
}
