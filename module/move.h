/* SPDX-License-Identifier: GPL-2.0-only */
/* Moves: one block from one slot to another, as a transaction. */
#ifndef KVL_MOVE_H
#define KVL_MOVE_H

#include <linux/llist.h>

#include "region.h"

struct kvl_request;

/* Reclaim that found nothing to do looks again after this. */
#define KVL_RECLAIM_RETRY	(HZ / 20)

/* Moves a pool has in flight before reclaim and prefetch wait. */
#define KVL_MAX_MOVES		128

/* Of those back from a GPU that there is memory for in any case. */
#define KVL_OUT_MOVES		16

/* Shadows given up at a time when a tier is full. */
#define KVL_VICTIM_SHADOWS	16

/* How a block is moved; the order is that of the counters and of traces. */
enum kvl_proto {
	KVL_PROTO_READ,
	KVL_PROTO_OPEN,
	KVL_PROTO_SAMPLE,
	KVL_PROTO_PROTECT,
	KVL_PROTO_STOP,
	KVL_PROTO_DROP,
};

/* Copies from and to devices that have arrived on one CPU. */
struct kvl_done {
	struct llist_head list;
	struct work_struct work;
	struct kvl_pool *pool;
};

int kvl_move_init(void);
void kvl_move_exit(void);
mempool_t *kvl_move_pool_create(unsigned int reserve);
struct kvl_done __percpu *kvl_move_done_create(struct kvl_pool *pool);

/* Moves that are begun together. */
#define KVL_BATCH		32

/**
 * struct kvl_batch - moves to begin together, on the stack of who wants them
 * @n:		how many are waiting; their blocks are locked
 * @added:	how many were added
 * @moved:	how many have been begun or are done
 * @mine:	a read that the caller waits for itself, or NULL
 * @m:		neighbours next to each other
 */
struct kvl_batch {
	struct kvl_pool *pool;
	unsigned int n;
	unsigned int added;
	unsigned int moved;
	struct kvl_move *mine;
	struct kvl_move *m[KVL_BATCH];
};

void kvl_batch_init(struct kvl_batch *batch, struct kvl_pool *pool);

/*
 * Adds the move of a block to the free slot @dst, or to its shadow, and takes
 * over the block's lock. Runs the batch when it is full. @req, if it is not
 * NULL, is told when the move has ended.
 */
void kvl_batch_add(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		   struct kvl_block *b, u64 dst, enum kvl_why why,
		   struct kvl_request *req);

/*
 * As kvl_batch_add(), one tier down. When there is no place the lock is given
 * up: -ENOENT at the bottom, -EBUSY while it moves already, -ENOSPC.
 */
int kvl_batch_demote(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		     struct kvl_block *b, enum kvl_why why);

/*
 * Adds the copying of a block in memory to a device, which becomes its shadow;
 * nothing when it has one, is locked, or there is no slot.
 */
void kvl_batch_store(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		     struct kvl_block *b);

/* Begins what is waiting; no lock is held when it returns. */
void kvl_batch_run(struct kvl_batch *batch);

/* A batch of one. 0: begun or done; -EBUSY: refused. */
int kvl_move_block(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 dst, enum kvl_why why);

/*
 * Reads a locked block from its device into @dst and waits. 0: it is there
 * and still locked. Else the lock is gone: -EIO, -EINTR. Up to @ahead blocks
 * behind it are read too, without waiting, as long as there is room.
 */
int kvl_move_read(struct kvl_region *r, u64 index, struct kvl_block *b,
		  u64 dst, enum kvl_why why, unsigned int ahead);

/*
 * To the shadow, if that is still good: no copy, no I/O, no wait; the move is
 * allocated without waiting, or comes from the reserve. Needs the block's lock
 * and gives it up. 0; -EBUSY: somebody holds the block; -ENOENT: it has no
 * good shadow.
 */
int kvl_move_to_shadow(struct kvl_region *r, u64 index, struct kvl_block *b,
		       enum kvl_why why);

/*
 * Moves in flight, but for those that wait for a mover, which a process may hold
 * up as long as its deadline: no others wait for them.
 */
unsigned int kvl_move_count(struct kvl_pool *pool);
/* Waits until these are fewer than @n. */
void kvl_move_wait(struct kvl_pool *pool, unsigned int n);
/* Waits until none of any kind is. */
void kvl_move_wait_all(struct kvl_pool *pool);

/* reclaim.c */
void kvl_reclaim_work(struct work_struct *work);
void kvl_reclaim_kick(struct kvl_tier *t);
int kvl_reclaim_share(struct kvl_member *m);
void kvl_reclaim_check(struct kvl_tier *t);
bool kvl_reclaim_shadows(struct kvl_pool *pool, unsigned int nr);

/* prefetch.c */
void kvl_prefetch_work(struct work_struct *work);
int kvl_prefetch_queue(struct kvl_region *r, u64 first, u64 last, u64 *done);
void kvl_prefetch_stop(struct kvl_pool *pool);

#endif /* KVL_MOVE_H */
