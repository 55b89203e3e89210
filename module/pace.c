// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>
#include <linux/ktime.h>

#include "pace.h"

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
	rest = kvl_pace_rest(t->pool, now - start);
	kvl_count_ns(t->pool, t->id, KVL_NS_REST, rest);
	t->paced_until = max(t->paced_until, now) + rest;
}
