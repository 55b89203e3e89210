// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast the memory of a member is, from the CPUs next to it: after the
 * mount, when its slots are there, with two free ones. Takes a few milliseconds
 * and is only to tell apart what differs by far; the best of some tries counts,
 * because whatever disturbs makes it slower.
 */
#include <linux/ktime.h>
#include <linux/mm.h>

#ifdef CONFIG_X86
#include <asm/cacheflush.h>
#endif

#include "place.h"

#define LINE		64
#define TRIES		4
#define STEPS		1024
#define SPEND_NS	(2 * NSEC_PER_MSEC)

/* Some rounds, lest all of it falls into the same disturbance. */
#define ROUNDS		3
#define ROUND_GAP	(HZ / 4)

/* It is asked for again until there are free slots, for about a minute. */
#define RETRY		(HZ / 10)
#define RETRIES		600

/* Memory is to be measured, not the CPU's caches. */
static void evict(struct folio *folio)
{
#ifdef CONFIG_X86
	clflush_cache_range(folio_address(folio), folio_size(folio));
#endif
}

/* ns per copy, 0: it cannot be read. */
static u64 time_copy(struct folio *dst, struct folio *src)
{
	u64 best = U64_MAX, spent = 0;
	unsigned int i;

	for (i = 0; i < TRIES && spent < SPEND_NS; i++) {
		u64 t;

		evict(src);
		evict(dst);
		t = ktime_get_ns();
		if (folio_mc_copy(dst, src))
			return 0;
		t = max(ktime_get_ns() - t, 1);
		best = min(best, t);
		spent += t;
		cond_resched();
	}
	return best;
}

/*
 * ns per access, each of which needs the one before: through the cache lines
 * of a folio in an order that no prefetcher guesses (a congruential generator
 * of full period, as their number is a power of two).
 */
static u64 time_access(struct folio *folio)
{
	u32 lines = folio_size(folio) / LINE, i, at;
	u32 *mem = folio_address(folio);
	u64 best = U64_MAX;
	unsigned int k, try;

	for (i = 0; i < lines; i++)
		mem[i * (LINE / sizeof(*mem))] =
			(i * 1664525u + 1013904223u) & (lines - 1);
	for (try = 0; try < TRIES; try++) {
		u64 t;

		evict(folio);
		at = 0;
		t = ktime_get_ns();
		for (k = 0; k < STEPS; k++)
			at = READ_ONCE(mem[at * (LINE / sizeof(*mem))]) &
			     (lines - 1);
		best = min(best, ktime_get_ns() - t);
		cond_resched();
	}
	return max(best / STEPS, 1);
}

/* False: no free slots now. */
static bool measure(struct kvl_member *m)
{
	struct kvl_pool *pool = m->tier->pool;
	u64 a, b, ns;

	if (READ_ONCE(m->filling) || READ_ONCE(m->nfree) < 4 ||
	    kvl_member_alloc(m, &a))
		return false;
	if (kvl_member_alloc(m, &b)) {
		kvl_slot_free(pool, a);
		return false;
	}
	ns = time_copy(kvl_addr_folio(pool, b), kvl_addr_folio(pool, a));
	if (ns) {
		/* After the copy: what was written can be read. */
		u64 access = time_access(kvl_addr_folio(pool, b));
		u64 speed = (u64)pool->block_size * NSEC_PER_SEC >> 20;

		kvl_place_measured(m, clamp(div64_u64(speed, ns), 1, U32_MAX),
				   min(access, U32_MAX));
	}
	kvl_slot_free(pool, a);
	kvl_slot_free(pool, b);
	return true;
}

static void measure_work(struct work_struct *work)
{
	struct kvl_member *m = container_of(to_delayed_work(work),
					    struct kvl_member, measure);
	struct kvl_pool *pool = m->tier->pool;

	if (READ_ONCE(pool->stopping))
		return;
	if (!measure(m)) {
		if (++m->measure_tries < RETRIES)
			kvl_place_queue(pool->wq, &m->measure, m->cpu_node,
					RETRY);
	} else if (++m->measure_rounds < ROUNDS) {
		kvl_place_queue(pool->wq, &m->measure, m->cpu_node, ROUND_GAP);
	}
}

void kvl_measure_init(struct kvl_member *m)
{
	INIT_DELAYED_WORK(&m->measure, measure_work);
}

void kvl_measure_start(struct kvl_member *m)
{
	kvl_place_queue(m->tier->pool->wq, &m->measure, m->cpu_node, 0);
}

void kvl_measure_stop(struct kvl_member *m)
{
	cancel_delayed_work_sync(&m->measure);
}
