// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Stall of a replay on a device of 80 us, with memory for a tenth of the
 * blocks: all time that accesses take beyond what they take when the block is
 * in memory and mapped. The first touch of a block that is written and the
 * calls that ask for blocks ahead count as well. An access is one word of
 * each page; the word is checked. Peers have the same file layout and, as a
 * memory limit of their cgroup, what kvlift has as dram tier.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"
#include "kvlift.h"
#include "trace.h"
#include "util.h"

#define LATENCY 80000
#define SHARE	10.0	  /* percent of the blocks */
#define SLACK	(2 * MIB) /* of a peer's limit: page tables, our arrays */

struct play {
	const struct trace *t;
	struct area *a;
	bool kvlift, ahead;
	uint8_t *present;
	uint64_t resident; /* ns of an access that waits for nothing */
	double stall;	   /* ns */
};

static uint64_t word_of(uint32_t n, size_t page)
{
	return ((uint64_t)n << 16 | page) + 1;
}

/* 0, or -EILSEQ. */
static int access_block(const struct play *p, uint32_t n)
{
	char *at = p->a->map + (size_t)n * p->a->block;
	size_t pages = p->a->block / BENCH_PAGE, i;
	bool good = true;

	for (i = 0; i < pages; i++) {
		volatile uint64_t *w = (uint64_t *)(at + i * BENCH_PAGE);

		if (p->present[n])
			good &= *w == word_of(n, i);
		else
			*w = word_of(n, i);
	}
	p->present[n] = 1;
	return good ? 0 : -EILSEQ;
}

static void ask(const struct play *p, uint32_t first, uint32_t count)
{
	/* A full queue is no error: a fault brings the block. */
	if (p->kvlift)
		area_promote(p->a, first, count);
	else
		madvise(p->a->map + (size_t)first * p->a->block,
			count * p->a->block, MADV_WILLNEED);
}

static void ask_ahead(const struct play *p, const uint32_t *refs, uint64_t n)
{
	uint64_t i = 0, run;

	while (i < n) {
		if (!p->present[refs[i]]) {
			i++;
			continue;
		}
		for (run = 1; i + run < n && p->present[refs[i + run]] &&
			      refs[i + run] == refs[i] + run;
		     run++)
			;
		ask(p, refs[i], (uint32_t)run);
		i += run;
	}
}

/* The least of some accesses to a block that has just been written. */
static int learn_resident(struct play *p)
{
	uint64_t start, ns;
	int ret = 0, i;

	p->resident = UINT64_MAX;
	access_block(p, 0);
	for (i = 0; i < 5 && !ret; i++) {
		start = now_ns();
		ret = access_block(p, 0);
		ns = now_ns() - start;
		if (ns < p->resident)
			p->resident = ns;
	}
	return ret;
}

static int play(struct play *p)
{
	const struct trace *t = p->t;
	uint64_t q, i, start, ns;
	int ret;

	p->stall = 0;
	memset(p->present, 0, t->nr_ids);
	ret = learn_resident(p);
	p->present[0] = 0;
	for (q = 0; q < t->nr_requests && !ret; q++) {
		const uint32_t *refs = t->refs + t->start[q];
		uint64_t n = t->start[q + 1] - t->start[q];

		if (p->ahead) {
			start = now_ns();
			ask_ahead(p, refs, n);
			p->stall += (double)(now_ns() - start);
		}
		for (i = 0; i < n && !ret; i++) {
			start = now_ns();
			ret = access_block(p, refs[i]);
			ns = now_ns() - start;
			if (ns > p->resident)
				p->stall += (double)(ns - p->resident);
		}
	}
	if (ret)
		error("%s: a wrong word in request %llu", p->a->path,
		      (unsigned long long)q);
	return ret;
}

static int play_in(struct play *p, const char *dir, size_t block)
{
	struct area a;
	int ret;

	ret = area_make(&a, dir, block, p->t->nr_ids);
	if (ret)
		return ret;
	p->a = &a;
	ret = play(p);
	p->a = NULL;
	area_remove(&a);
	return ret;
}

static int on_kvlift(struct play *p, const struct nullb *dev, size_t block)
{
	struct mkpool_opts o = {
		.block = block,
		.blocks = p->t->nr_ids,
		.dram = { .kind = SHARE_PERCENT, .percent = SHARE },
		.nvme = { .kind = SHARE_REST },
		.dram_node = 0,
		.cxl_node = -1,
		.nvme_device = dev->path,
		.force = true,
	};
	struct mkpool pool;
	int ret;

	ret = mkpool_make(&o, &pool);
	if (ret)
		return ret;
	p->kvlift = true;
	ret = play_in(p, pool.dir, block);
	p->kvlift = false;
	mkpool_undo(&pool);
	return ret;
}

static int limit(const struct play *p, size_t block)
{
	return group_limit((uint64_t)(p->t->nr_ids * SHARE / 100) * block +
			   SLACK);
}

static int on_swap(struct play *p, const struct nullb *dev, size_t block)
{
	struct scratch s;
	int ret;

	ret = swap_on(dev);
	if (ret)
		return ret;
	ret = scratch_mount(&s, "tmpfs", "none", "huge=never,size=100%");
	if (!ret) {
		ret = limit(p, block);
		ret = ret ?: play_in(p, s.dir, block);
		group_limit(0);
		scratch_umount(&s);
	}
	swap_off(dev);
	return ret;
}

static int on_ext4(struct play *p, const struct nullb *dev, size_t block)
{
	const char *const mkfs[] = { "mkfs.ext4", "-q", "-F", dev->path, NULL };
	struct scratch s;
	int ret;

	ret = bench_run(mkfs);
	ret = ret ?: scratch_mount(&s, "ext4", dev->path, "");
	if (ret)
		return ret;
	ret = limit(p, block);
	ret = ret ?: play_in(p, s.dir, block);
	group_limit(0);
	scratch_umount(&s);
	return ret;
}

static int on_peer(struct play *p, const struct nullb *dev, size_t block,
		   bool swap)
{
	int ret;

	ret = group_enter();
	if (ret)
		return ret;
	ret = swap ? on_swap(p, dev, block) : on_ext4(p, dev, block);
	group_leave();
	return ret;
}

/* Each on a fresh device, so that none finds it used. */
static int on(struct play *p, size_t block,
	      int (*run)(struct play *p, const struct nullb *dev, size_t block,
			 bool swap),
	      bool swap, double *stall)
{
	uint64_t bytes = (uint64_t)p->t->nr_ids * block;
	struct nullb dev;
	int ret;

	ret = nullb_make(&dev, "kvbench0", bytes + bytes / 4 + 128 * MIB,
			 LATENCY);
	if (ret)
		return ret;
	ret = run(p, &dev, block, swap);
	nullb_remove(&dev);
	*stall = p->stall;
	return ret;
}

static int ours(struct play *p, const struct nullb *dev, size_t block,
		bool swap)
{
	return on_kvlift(p, dev, block);
}

static int compare(struct bench *b, struct play *p, const char *row,
		   double target)
{
	double kvlift, swap, ext4;
	int ret;

	ret = on(p, b->block, ours, false, &kvlift);
	ret = ret ?: on(p, b->block, on_peer, true, &swap);
	ret = ret ?: on(p, b->block, on_peer, false, &ext4);
	if (ret)
		return ret;
	error("note: %s: stall %.1f ms, tmpfs+swap %.1f ms, ext4 %.1f ms, %llu accesses to %u blocks",
	      row, kvlift / 1e6, swap / 1e6, ext4 / 1e6,
	      (unsigned long long)p->t->nr_refs, p->t->nr_ids);
	bench_add(b, row, b->block, "ns stall", kvlift,
		  swap < ext4 ? "tmpfs+swap" : "ext4 mmap",
		  swap < ext4 ? swap : ext4, target);
	return 0;
}

/* "replay-NAME", never freed: rows keep it. */
static char *row_name(const char *what, const char *trace)
{
	const char *base = strrchr(trace, '/');
	char *name;

	base = base ? base + 1 : trace;
	if (asprintf(&name, "%s-%.*s", what, (int)strcspn(base, "._"), base) <
	    0)
		abort();
	return name;
}

static int one_trace(struct bench *b, const char *path)
{
	struct play p = { 0 };
	struct trace t;
	int ret;

	ret = trace_init(&t);
	if (ret)
		return ret;
	ret = path ? trace_load(&t, path, b->requests)
		   : trace_generate(&t, GEN_AGENT, 1, b->requests);
	if (!ret && !t.nr_ids)
		ret = -ENODATA;
	if (!ret) {
		p.t = &t;
		p.present = calloc(t.nr_ids, 1);
		if (!p.present)
			abort();
		path = path ?: "generated";
		ret = compare(b, &p, row_name("replay", path), 0.6);
		p.ahead = true;
		ret = ret
			      ?: compare(b, &p, row_name("replay-ahead", path),
					 0.5);
		free(p.present);
	}
	trace_free(&t);
	return ret;
}

int bench_replay(struct bench *b)
{
	unsigned int i;
	int ret;

	if (!b->nr_traces) {
		error("note: no --trace, so requests are made up");
		ret = one_trace(b, NULL);
		return ret ? bench_lacks(b, "replay", ret) : 0;
	}
	for (i = 0; i < b->nr_traces; i++) {
		ret = one_trace(b, b->traces[i]);
		if (ret)
			return bench_lacks(b, b->traces[i], ret);
	}
	return 0;
}
