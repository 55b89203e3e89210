// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion ahead of need: ranges of blocks wait in a queue and are moved to
 * memory in order by one worker, which keeps many reads in flight. A block
 * that finds no free slot although reclaim has been asked is given up: a
 * prefetch must not make a demand access wait.
 */
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "domain.h"
#include "move.h"
#include "policy.h"

#define MAX_QUEUED	1024

/* How often a block asks again for a slot, a reclaim retry apart. */
#define MAX_TRIES	4

struct request {
	struct list_head list;
	struct kvl_region *r;
	u64 first;
	u64 last;
};

/* Queues the blocks. -EAGAIN: the queue is full. */
int kvl_prefetch_queue(struct kvl_region *r, u64 first, u64 last, u64 *done)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 nr = kvl_region_nr_blocks(r);
	struct request *p;

	*done = 0;
	if (first >= nr)
		return 0;
	last = min(last, nr - 1);
	p = kmalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->first = first;
	p->last = last;
	p->r = r;
	spin_lock(&pool->prefetch_lock);
	if (pool->prefetch_queued >= MAX_QUEUED) {
		spin_unlock(&pool->prefetch_lock);
		kfree(p);
		return -EAGAIN;
	}
	ihold(&r->inode);
	list_add_tail(&p->list, &pool->prefetch_list);
	pool->prefetch_queued++;
	spin_unlock(&pool->prefetch_lock);
	*done = last - first + 1;
	queue_work(pool->wq, &pool->prefetch);
	return 0;
}

static struct request *dequeue(struct kvl_pool *pool)
{
	struct request *p;

	spin_lock(&pool->prefetch_lock);
	p = list_first_entry_or_null(&pool->prefetch_list, struct request,
				     list);
	if (p) {
		list_del(&p->list);
		pool->prefetch_queued--;
	}
	spin_unlock(&pool->prefetch_lock);
	return p;
}

/*
 * Somebody has asked for it, so that this goes deeper than the policy would
 * on its own; reclaim gives at least tier->low slots back.
 */
static int alloc_dram(struct kvl_tier *dram, u64 *dst)
{
	int err = -ENOSPC;

	if (atomic64_read(&dram->nfree) > (s64)dram->low / 2)
		err = kvl_tier_alloc(dram, numa_node_id(), dst);
	kvl_reclaim_check(dram);
	return err;
}

/* -EAGAIN: no slot just now. */
static int promote(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 home, dst;
	int err;

	if (!kvl_block_trylock(b))
		return 0; /* somebody is at it */
	home = kvl_block_home(b);
	if (!home || b->loc & KVLIFT_LOC_ERROR ||
	    kvl_addr_tier(home) == KVLIFT_TIER_DRAM) {
		kvl_block_unlock(b);
		return 0;
	}
	if (kvl_addr_is_memory(home)) {
		/* It can be used where it is. */
		err = -ENOSPC;
		if (kvl_domain_may_place(r->domain, KVLIFT_TIER_DRAM))
			err = alloc_dram(&pool->tiers[KVLIFT_TIER_DRAM], &dst);
	} else {
		err = kvl_policy_place(pool, r, &dst) ? -EAGAIN : 0;
	}
	if (err) {
		kvl_block_unlock(b);
		return err == -EAGAIN ? err : 0;
	}
	err = kvl_move_block(r, index, b, dst, KVL_WHY_PREFETCH);
	if (!err || err == -EINPROGRESS)
		kvl_count(pool, KVL_C_PREFETCHED);
	return 0;
}

static void run(struct kvl_pool *pool, struct request *p)
{
	struct blk_plug plug;
	unsigned int tries = 0;
	struct kvl_block *b;
	u64 i = p->first;

	blk_start_plug(&plug);
	while (!READ_ONCE(pool->stopping) &&
	       (b = kvl_region_next(p->r, &i, p->last))) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		if (atomic_read(&pool->moves) >= KVL_MAX_MOVES) {
			blk_finish_plug(&plug);
			kvl_move_wait(pool, KVL_MAX_MOVES);
			blk_start_plug(&plug);
		}
		if (promote(p->r, i, b) != -EAGAIN) {
			tries = 0;
			i++;
		} else if (tries++ < MAX_TRIES) {
			blk_finish_plug(&plug);
			wait_event_timeout(pool->slot_wait,
					   kvl_pool_slot_seq(pool) != seq ||
						   READ_ONCE(pool->stopping),
					   KVL_RECLAIM_RETRY);
			blk_start_plug(&plug);
		} else {
			kvl_count(pool, KVL_C_PREFETCH_DROPPED);
			break;
		}
		cond_resched();
	}
	blk_finish_plug(&plug);
}

static void put_range(struct request *p)
{
	iput(&p->r->inode);
	kfree(p);
}

void kvl_prefetch_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(work, struct kvl_pool, prefetch);
	struct request *p;

	while (!READ_ONCE(pool->stopping) && (p = dequeue(pool))) {
		run(pool, p);
		put_range(p);
	}
}

/* Drops what is queued; nobody adds any more. */
void kvl_prefetch_stop(struct kvl_pool *pool)
{
	struct request *p;

	cancel_work_sync(&pool->prefetch);
	while ((p = dequeue(pool)))
		put_range(p);
}
