/* SPDX-License-Identifier: GPL-2.0-only */
/* Moves: one block from one slot to another, as a transaction. */
#ifndef KVL_MOVE_H
#define KVL_MOVE_H

#include "region.h"

/* Reclaim that found nothing to do looks again after this. */
#define KVL_RECLAIM_RETRY	(HZ / 20)

/* Moves a pool has in flight before reclaim and prefetch wait. */
#define KVL_MAX_MOVES		128

/* Shadows given up at a time when a tier is full. */
#define KVL_VICTIM_SHADOWS	16

int kvl_move_init(void);
void kvl_move_exit(void);
mempool_t *kvl_move_pool_create(void);

/*
 * Moves a block to the free slot @dst, or, when the shadow is still good and
 * @dst is the shadow, makes that the home. Needs the block's lock and gives
 * it up, now or when the move ends. Returns 0 when the move is done,
 * -EINPROGRESS while it goes on, else why it was undone; @dst is freed then.
 */
int kvl_move_block(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 dst, enum kvl_why why);

/* One tier down. Lock and return value as in kvl_move_block(). */
int kvl_move_demote(struct kvl_region *r, u64 index, struct kvl_block *b,
		    enum kvl_why why);

/*
 * To the shadow, if that is still good: no copy, no I/O, no wait, no
 * allocation. Needs the block's lock and gives it up. 0, -EBUSY when somebody
 * holds the block, -ENOENT when it has no good shadow.
 */
int kvl_move_to_shadow(struct kvl_region *r, u64 index, struct kvl_block *b,
		       enum kvl_why why);

/* Waits until fewer than @n moves are in flight. */
void kvl_move_wait(struct kvl_pool *pool, unsigned int n);

/* reclaim.c */
void kvl_reclaim_work(struct work_struct *work);
void kvl_reclaim_kick(struct kvl_tier *t);
void kvl_reclaim_check(struct kvl_tier *t);
bool kvl_reclaim_shadows(struct kvl_pool *pool, unsigned int nr);

/* prefetch.c */
void kvl_prefetch_work(struct work_struct *work);
int kvl_prefetch_queue(struct kvl_region *r, u64 first, u64 last, u64 *done);
void kvl_prefetch_stop(struct kvl_pool *pool);

#endif /* KVL_MOVE_H */
