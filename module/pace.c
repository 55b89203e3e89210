// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>
#include <linux/ktime.h>

#include "move.h"
#include "pace.h"

/* More of one pass than this counts as waiting. */
#define MAX_PASS_NS	(100 * NSEC_PER_MSEC)

static bool urgent(struct kvl_tier *t)
{
	return atomic_read(&t->pool->slot_waiters) || kvl_tier_surplus(t);
}

u64 kvl_pace_rest(struct kvl_pool *pool, u64 ns)
{
	u32 cpu = READ_ONCE(pool->opts.cpu);

	return div_u64(ns * (100 - cpu), cpu);
}

unsigned long kvl_pace_due(struct kvl_tier *t)
{
	u64 now = ktime_get_ns(), until = t->paced_until;

	/* A debt of less than a tick can wait until it is more. */
	if (until < now + TICK_NSEC || urgent(t))
		return 0;
	return usecs_to_jiffies(div_u64(until - now, NSEC_PER_USEC));
}

void kvl_pace_done(struct kvl_tier *t, u64 start)
{
	u64 now = ktime_get_ns(), rest;

	kvl_count_ns(t->pool, t->id, KVL_NS_WORKER, now - start);
	if (urgent(t)) {
		kvl_count_ns(t->pool, t->id, KVL_NS_URGENT, now - start);
		return;
	}
	/* What a pass waited for a device costs no processor. */
	rest = kvl_pace_rest(t->pool, min(now - start, MAX_PASS_NS));
	kvl_count_ns(t->pool, t->id, KVL_NS_REST, rest);
	t->paced_until = max(t->paced_until, now) + rest;
}

void kvl_pace_forgive(struct kvl_pool *pool)
{
	unsigned int id;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		WRITE_ONCE(pool->tiers[id].paced_until, 0);
		kvl_reclaim_kick(&pool->tiers[id]);
	}
}
