// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* First touch and re-fault of blocks in memory, beside tmpfs. */
#include <math.h>

#include "bench.h"
#include "util.h"

/*
 * Of a re-fault the cheapest counts: a round takes a millisecond, and others
 * have a timer tick in them, or a look at accessed bits, which has rows of its
 * own.
 */
#define ROUNDS 8

struct cost {
	double first, write, read; /* per MiB */
};

static double per_mib(const struct meter *m, const struct area *a)
{
	return (double)meter_stop(m) /
	       ((double)a->nr * (double)a->block / (double)MIB);
}

static int refault(const struct area *a, bool write, double *cost)
{
	struct meter m;
	int ret;

	ret = area_unmap_pages(a);
	if (ret)
		return ret;
	meter_settle();
	meter_start(&m);
	area_touch(a, write);
	*cost = per_mib(&m, a);
	return 0;
}

/*
 * The first file is unseen: what was never used is gone, so that every block
 * of the second has to be cleared by somebody.
 */
static int measure(const char *dir, size_t block, size_t nr, struct cost *c)
{
	double write = HUGE_VAL, read = HUGE_VAL;
	struct area a;
	struct meter m;
	int ret, round;

	ret = area_make(&a, dir, block, 2 * nr);
	if (ret)
		return ret;
	area_touch(&a, true);
	area_remove(&a);
	meter_settle();
	ret = area_make(&a, dir, block, nr);
	if (ret)
		return ret;
	meter_start(&m);
	area_touch(&a, true);
	c->first = per_mib(&m, &a);
	c->write = c->read = HUGE_VAL;
	for (round = 0; round < ROUNDS && !ret; round++) {
		ret = refault(&a, true, &write);
		ret = ret ?: refault(&a, false, &read);
		c->write = fmin(c->write, write);
		c->read = fmin(c->read, read);
	}
	area_remove(&a);
	meter_settle();
	return ret;
}

static int block_size(struct bench *b, size_t block, size_t nr)
{
	bool huge = block == 2 * MIB;
	const char *peer = huge ? "tmpfs huge=always" : "tmpfs 4K";
	struct cost ours, theirs;
	struct scratch s;
	struct mkpool p;
	int ret;

	ret = bench_pool(b, &p, block, 2 * nr, false, NULL);
	if (ret)
		return ret;
	ret = measure(p.dir, block, nr, &ours);
	mkpool_undo(&p);
	if (ret)
		return ret;
	ret = scratch_mount(&s, "tmpfs", "none",
			    huge ? "huge=always" : "huge=never");
	if (ret)
		return ret;
	ret = measure(s.dir, block, nr, &theirs);
	scratch_umount(&s);
	if (ret)
		return ret;
	bench_add(b, "first-touch", block, "instr/MiB", ours.first, peer,
		  theirs.first, huge ? 1.05 : 0.6);
	bench_add(b, "refault-write", block, "instr/MiB", ours.write, peer,
		  theirs.write, huge ? 1.0 : 0.15);
	bench_add(b, "refault-read", block, "instr/MiB", ours.read, peer,
		  theirs.read, 1.0);
	return 0;
}

int bench_fault(struct bench *b)
{
	int ret, ret2;

	ret = block_size(b, 64 * KIB, b->quick ? 512 : 2048);
	if (ret)
		bench_lacks(b, "faults of 64K", ret);
	ret2 = block_size(b, 2 * MIB, b->quick ? 24 : 96);
	if (ret2)
		bench_lacks(b, "faults of 2M", ret2);
	return ret ?: ret2;
}
