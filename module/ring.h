/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touch rings (KVLIFT_IOC_TOUCH_RING): memory shared with a process that says
 * there which blocks it has used, without a system call. The process writes
 * entries and the tail; a worker reads them, every few milliseconds to four
 * times a second by how full the rings are, and so does whoever is about to
 * look at counters or heat.
 *
 * Trust: none. Everything in the mapping can change at any time. Tail, drop
 * count and entries are read once each; the head that counts is kept here and
 * only copied there; a tail that makes no sense empties the ring; an index is
 * looked up like one from a system call.
 *
 * Lifetime: a ring is the private data of its descriptor's file and lives until
 * that is closed and no longer mapped; it holds the region's file, so region
 * and pool outlive it, whichever of descriptors, mappings and processes goes
 * first. It needs no mm: its pages are the module's. What is in it at the end
 * still counts. pool->ring_mutex guards the list and makes who closes one
 * wait until nobody reads it.
 */
#ifndef KVL_RING_H
#define KVL_RING_H

#include "region.h"

void kvl_ring_prepare(struct kvl_pool *pool);
void kvl_ring_stop(struct kvl_pool *pool);

/* A descriptor for a new ring of @file, which it keeps open; or an error. */
long kvl_ring_open(struct file *file, void __user *arg);

/* What has been said so far counts when it returns. */
void kvl_ring_flush(struct kvl_pool *pool);

#endif /* KVL_RING_H */
