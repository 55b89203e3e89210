/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much of a CPU the workers of a pool may use (option cpu=). After each
 * pass a worker owes a rest; it takes it as soon as it is worth a timer. As
 * long as a task waits for a slot, or the kernel for memory, nobody rests.
 */
#ifndef KVL_PACE_H
#define KVL_PACE_H

#include "pool.h"

/* ns of rest for @ns of work. */
u64 kvl_pace_rest(struct kvl_pool *pool, u64 ns);

/* Before a pass: jiffies to rest first, or 0. */
unsigned long kvl_pace_due(struct kvl_tier *t);

/* After a pass that has begun at @start (ktime, ns). */
void kvl_pace_done(struct kvl_tier *t, u64 start);

/* The limit has changed: what is owed to the old one is forgotten. */
void kvl_pace_forgive(struct kvl_pool *pool);

#endif /* KVL_PACE_H */
