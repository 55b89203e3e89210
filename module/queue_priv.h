/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What queue.c, the descriptor, and request.c, requests and leases, share.
 */
#ifndef KVL_QUEUE_PRIV_H
#define KVL_QUEUE_PRIV_H

#include <linux/mutex.h>
#include <linux/wait.h>

#include "queue.h"

/* Requests of a queue whose event has not been read, and leases. */
#define MAX_REQUESTS	4096u

/**
 * struct kvl_queue - a descriptor from KVLIFT_IOC_QUEUE
 * @pool:	the pool
 * @gpu:	of the attachment it was opened on, or NULL
 * @file:	that it was opened on, keeps the pool mounted and @gpu attached
 * @events:	ring of those that are to be read; what is in it stays as it is
 *		until a reader has copied it
 * @owners:	the requests they are of, NULL where there is none any more
 * @reader:	held by who copies events; outside of @lock
 * @lock:	protects what follows
 * @requests:	all that have not ended, or whose event was not read, or that
 *		hold a lease
 * @head:	next event to be read; changed by who has @reader, too
 * @tail:	where the next one goes
 * @nr:		length of @requests, and events without one: as many as there is
 *		room for
 * @over:	leases that have ended by themselves, not cleared up yet
 * @wait:	readers, and the last close
 * @efd:	signalled with each event, or NULL
 *
 * A request for blocks that are in place when it is submitted has an event and
 * nothing else.
 */
struct kvl_queue {
	struct kvl_pool *pool;
	struct kvl_gpu *gpu;
	struct file *file;
	struct kvlift_event *events;
	struct kvl_request **owners;
	struct mutex reader;	/* who copies events */
	spinlock_t lock;	/* all that follows */
	struct list_head requests;
	u32 head;
	u32 tail;
	unsigned int nr;
	atomic_t over;
	wait_queue_head_t wait;
	struct eventfd_ctx *efd;
};

/* request.c */
long kvl_queue_submit(struct kvl_queue *q, void __user *arg);
/* Ends its lease, too. Nobody finds it any more. */
void kvl_request_free(struct kvl_request *p);

#endif /* KVL_QUEUE_PRIV_H */
