/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests to have blocks in memory, and the queues on which engines submit
 * them and hear of their end.
 *
 * Lifetime of a request: a hint (no queue) is freed by the worker. One of a
 * queue is freed when its event has been read, and its lease, if it has
 * one, is over; at the latest when the queue's last descriptor is closed.
 * Locks: queue->lock its lists and the requests' states; inside it
 * pool->prefetch_lock, the list of those that wait for the worker.
 */
#ifndef KVL_QUEUE_H
#define KVL_QUEUE_H

#include <linux/refcount.h>

#include "region.h"

struct kvl_gpu;
struct kvl_queue;

enum kvl_req_state {
	KVL_REQ_WAITING,	/* for the worker, or its moves are under way */
	KVL_REQ_ENDED,		/* completion not read yet */
	KVL_REQ_LEASED,		/* completion read, lease held */
};

/* A block that a request with KVLIFT_REQ_NEW has just given a slot. */
enum kvl_made {
	KVL_MADE_NOT,
	KVL_MADE,
	KVL_MADE_OF_RESERVED,
	KVL_MADE_OF_LOST,
};

/* Why a request is passed over. */
enum kvl_lack {
	KVL_LACKS_NOTHING,
	KVL_LACKS_SLOT,
	KVL_LACKS_SHARE,	/* its domain has had its rate of prefetch */
};

/**
 * struct kvl_request - blocks that are wanted in memory
 * @list:	in the pool's list while it waits for the worker
 * @qlist:	in the queue's list of all its requests
 * @q:		NULL for a hint
 * @r:		its inode is held
 * @first:	next block, for the worker
 * @last:	last block
 * @start:	first block
 * @cookie:	the user's name for it
 * @tier:	slowest tier that will do, GPU: @gpu
 * @gpu:	whose memory, or window, it is for, or NULL
 * @flags:	KVLIFT_REQ_*
 * @prio:	0 is first
 * @missing:	blocks that were not in place when it was submitted, less
 *		those that have been begun
 * @lacks:	and this and those below belong to the worker: passed over
 * @seq:	until a slot has become free since
 * @again:	or until then (jiffies)
 * @modest:	it leaves the last slots to another
 * @since:	when it first found no slot (jiffies), 0: it has since
 * @in_dram:	of a lease in a window: blocks that are in DRAM, or on their way there
 * @dram_left:	most of these; when it was @dram_asked
 * @dram_asked:	in the beginning
 * @lease_ms:	0: no lease
 * @deadline:	ktime in ns, 0 for none
 * @submitted:	ktime in ns
 * @node:	of the CPU that asked
 * @pending:	the worker and every move under way hold one
 * @ready:	blocks in place
 * @failed:	blocks that are not
 * @error:	of the last that is not
 * @cancelled:	the worker goes on no further
 * @state:	see above, under the queue's lock
 * @leased:	leases are held for the blocks that have a word in @locs
 * @marked:	those leases are for writing, and the blocks know it
 * @locs:	location words of leased blocks, by number from @start; for flags
 *		they have what was made of the block (request.c)
 * @event:	number of its event, once it has ended
 * @ended:	ktime in ns
 * @end:	ends the request or, later, the lease, where it may sleep
 */
struct kvl_request {
	struct list_head list;
	struct list_head qlist;
	struct kvl_queue *q;
	struct kvl_region *r;
	u64 first;
	u64 last;
	u64 start;
	u64 cookie;
	unsigned int tier;
	struct kvl_gpu *gpu;
	u32 flags;
	unsigned int prio;
	u64 missing;
	enum kvl_lack lacks;
	bool modest;
	unsigned int seq;
	unsigned long again;
	unsigned long since;
	u64 in_dram;
	u64 dram_left;
	bool dram_asked;
	unsigned int lease_ms;
	u64 deadline;
	u64 submitted;
	int node;
	refcount_t pending;
	atomic64_t ready;
	atomic64_t failed;
	int error;
	bool cancelled;
	bool leased;
	bool marked;
	enum kvl_req_state state;
	u64 *locs;
	u32 event;
	u64 ended;
	struct delayed_work end;
};

/* Whether a block with this location word is where it is wanted. */
bool kvl_request_in_place(const struct kvl_request *p, u64 loc);

/* A block is in place, or cannot be; its lock is held. */
void kvl_request_block(struct kvl_request *p, u64 index, struct kvl_block *b,
		       int err);

/* The same of a block that the request has made just now. */
void kvl_request_made(struct kvl_request *p, u64 index, struct kvl_block *b,
		      int err, enum kvl_made made);

/* Drops one of @pending. The last one ends the request; from any context. */
void kvl_request_put(struct kvl_request *p);

/* queue.c */
int kvl_queue_open(struct file *file, struct kvl_pool *pool,
		   struct kvl_gpu *gpu);
long kvl_queue_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* prefetch.c */
void kvl_prefetch_submit(struct kvl_pool *pool, struct kvl_request *p);
bool kvl_prefetch_remove(struct kvl_pool *pool, struct kvl_request *p);
bool kvl_prefetch_in_time(struct kvl_pool *pool, const struct kvl_request *p);

#endif /* KVL_QUEUE_H */
