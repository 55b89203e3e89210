/* SPDX-License-Identifier: GPL-2.0-only */
/* Emptying a member, so that a node can go offline or a device be replaced. */
#ifndef KVL_DRAIN_H
#define KVL_DRAIN_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct kvl_member;
struct kvl_pool;

int kvl_drain_start(struct kvl_pool *pool, struct kvl_member *m);
void kvl_drain_cancel(struct kvl_pool *pool, struct kvl_member *m);
u64 kvl_drain_remaining(struct kvl_member *m);
void kvl_drain_work(struct work_struct *work);

#endif /* KVL_DRAIN_H */
