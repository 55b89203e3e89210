/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which member of a memory tier a block goes to.
 *
 * Every member has a distance on the scale of the kernel's memory tiers
 * (abstract distance: DRAM is 576, twice that is half as fast): what the mount
 * says, else what the firmware says (mt_calc_adistance), else what was
 * measured. Members that are not more than half as far again are equal.
 *
 *	DRAM		by distance from the CPU that touches, then by speed
 *	slower memory	by speed, then by distance from where the block is
 *
 * Lifetime: the order is computed when the pool is mounted and when a figure
 * or a budget changes, and is replaced as a whole; readers are under RCU.
 * Locks: pool->place_lock, which may be held over an allocation.
 */
#ifndef KVL_PLACE_H
#define KVL_PLACE_H

#include "pool.h"

/* Turns of interleaving, each of which belongs to a member. */
#define KVL_TURNS	64

/**
 * struct kvl_order - members of a tier, in the order in which they are tried
 * @nr:		of members
 * @turns:	who takes what is interleaved: equal members, by their slots
 * @near:	by node + 1, and first for no node: members, nearest first
 */
struct kvl_order {
	struct rcu_head rcu;
	unsigned int nr;
	u8 turns[KVL_TURNS];
	u8 near[][KVLIFT_MAX_MEMBERS];
};

static inline const u8 *kvl_order_near(const struct kvl_order *o, int node)
{
	return o->near[node + 1];
}

/* All members are there: 0 or -ENOMEM. Measures in the background. */
int kvl_place_start(struct kvl_pool *pool);

/* After a change: the old order stays when there is no memory for another. */
void kvl_place_update(struct kvl_pool *pool);

/* MiB/s and ns, neither is 0; the best so far count. */
void kvl_place_measured(struct kvl_member *m, u32 bandwidth, u32 latency);

/* Nobody allocates any more. */
void kvl_place_end(struct kvl_tier *t);

/* Who said m->distance, for sysfs. */
const char *kvl_place_source(const struct kvl_member *m);

/* The order as text, for sysfs. */
int kvl_place_show(struct kvl_pool *pool, char *buf);

/* A CPU of @node, the current one if it is, for work on that node's memory. */
int kvl_place_cpu(int node);

/*
 * Queues delayed work, if it is not, to run on @node. Without the CPU the timer
 * would expire wherever somebody is awake. May sleep.
 */
void kvl_place_queue(struct workqueue_struct *wq, struct delayed_work *work,
		     int node, unsigned long delay);

/* measure.c */
void kvl_measure_init(struct kvl_member *m);
void kvl_measure_start(struct kvl_member *m);
void kvl_measure_stop(struct kvl_member *m);

#endif /* KVL_PLACE_H */
