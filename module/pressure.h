/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DRAM goes back to the kernel when the machine runs short of it, and comes
 * back when there is plenty again.
 *
 * Lifetime: prepared with the pool; between start and stop the shrinker and
 * the OOM notifier know it.
 */
#ifndef KVL_PRESSURE_H
#define KVL_PRESSURE_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct kvl_pool;
struct shrinker;

/* Why a member's target changed, for the trace. */
enum kvl_shrink_why {
	KVL_SHRINK_SHRINKER,
	KVL_SHRINK_OOM,
	KVL_SHRINK_GROW,
};

/**
 * struct kvl_pressure - of one pool
 * @list:	in the list of pools the OOM notifier goes through
 * @shrinker:	asks for free slots when the kernel reclaims
 * @clean:	drops slots of clean blocks until the targets are met
 * @grow:	takes back what was given
 * @released:	slots given back so far
 * @wait:	who waits for more
 * @last:	when somebody wanted slots, or growing failed (jiffies)
 */
struct kvl_pressure {
	struct list_head list;
	struct shrinker *shrinker;
	struct work_struct clean;
	struct delayed_work grow;
	atomic64_t released;
	wait_queue_head_t wait;
	u64 last;
};

int kvl_pressure_init(void);
void kvl_pressure_exit(void);
void kvl_pressure_prepare(struct kvl_pool *pool);
int kvl_pressure_start(struct kvl_pool *pool);
void kvl_pressure_stop(struct kvl_pool *pool);
void kvl_pressure_released(struct kvl_pool *pool, u64 slots);
void kvl_pressure_rest(struct kvl_pool *pool);

#endif /* KVL_PRESSURE_H */
