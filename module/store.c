// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing down ahead of need: blocks that will not change get a copy on a
 * device while they stay in memory, so that leaving memory later costs no
 * I/O. First come those that were declared complete, in the order in which
 * they were; what is left of the rate goes to blocks at the cold end of the
 * memory tiers that nobody has touched for a while.
 *
 * A block that is written again makes its copy worthless: hence only what is
 * complete or idle, and never more than pool->opts.writeback per second.
 */
#include <linux/slab.h>

#include "move.h"
#include "store.h"

#define TICK		(HZ / 10)
#define MAX_QUEUED	1024

/* Untouched for so long a block counts as idle. */
#define IDLE		(10 * HZ)

/* Slots looked at in a tier per tick. */
#define SCAN		1024

struct request {
	struct list_head list;
	struct kvl_region *r;
	u64 first;
	u64 last;
};

static bool possible(struct kvl_pool *pool)
{
	return pool->opts.writeback &&
	       kvl_pool_has_tier(pool, KVLIFT_TIER_NVME) &&
	       !READ_ONCE(pool->stopping);
}

void kvl_store_start(struct kvl_pool *pool)
{
	if (possible(pool))
		queue_delayed_work(pool->wq, &pool->store, TICK);
}

/* A hint: with the queue full or no memory the blocks wait until idle. */
void kvl_store_queue(struct kvl_region *r, u64 first, u64 last)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct request *q;

	if (!possible(pool))
		return;
	q = kmalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		return;
	q->r = r;
	q->first = first;
	q->last = last;
	spin_lock(&pool->prefetch_lock);
	if (pool->store_queued < MAX_QUEUED) {
		ihold(&r->inode);
		list_add_tail(&q->list, &pool->store_list);
		pool->store_queued++;
		q = NULL;
	}
	spin_unlock(&pool->prefetch_lock);
	kfree(q);
	kvl_store_start(pool);
}

static struct request *first_request(struct kvl_pool *pool)
{
	struct request *q;

	spin_lock(&pool->prefetch_lock);
	q = list_first_entry_or_null(&pool->store_list, struct request, list);
	spin_unlock(&pool->prefetch_lock);
	return q;
}

static void remove_request(struct kvl_pool *pool, struct request *q)
{
	spin_lock(&pool->prefetch_lock);
	list_del(&q->list);
	pool->store_queued--;
	spin_unlock(&pool->prefetch_lock);
	iput(&q->r->inode);
	kfree(q);
}

/* Only this worker takes requests off the list. */
static void store_queued(struct kvl_pool *pool, struct kvl_batch *batch,
			 unsigned int budget)
{
	struct request *q;

	while (batch->added < budget && (q = first_request(pool))) {
		struct kvl_block *b;

		while (batch->added < budget &&
		       (b = kvl_region_next(q->r, &q->first, q->last))) {
			kvl_batch_store(batch, q->r, q->first, b);
			q->first++;
			/* What moves for somebody must find room. */
			if (!batch->n)
				kvl_move_wait(pool, KVL_MAX_MOVES / 2);
			cond_resched();
		}
		if (batch->added < budget) {
			/* The last reference: its locks must not be held. */
			kvl_batch_run(batch);
			remove_request(pool, q);
		}
	}
}

/* Idle blocks from the cold end; their regions are held. */
static unsigned int find_idle(struct kvl_tier *t, struct kvl_victim *v,
			      unsigned int nr)
{
	unsigned int n = 0, looked = 0;
	struct kvl_slot *s;

	spin_lock(&t->lru_lock);
	list_for_each_entry_reverse(s, &t->lru, lru) {
		struct kvl_block *b;

		if (n == nr || looked++ == SCAN)
			break;
		b = kvl_region_find(s->region, s->index);
		if (!b || !kvl_block_unstored(b))
			continue;
		/* All that follow were touched later. */
		if ((u32)jiffies - READ_ONCE(b->touched) < IDLE)
			break;
		if (!igrab(&s->region->inode))
			continue;
		v[n].region = s->region;
		v[n].index = s->index;
		v[n].addr = s->addr;
		n++;
	}
	spin_unlock(&t->lru_lock);
	return n;
}

static void store_idle(struct kvl_tier *t, struct kvl_batch *batch,
		       unsigned int budget)
{
	struct kvl_victim v[KVL_VICTIM_BATCH];
	unsigned int n, i;

	n = find_idle(t, v, min(budget, KVL_VICTIM_BATCH));
	for (i = 0; i < n; i++) {
		struct kvl_block *b = kvl_region_find(v[i].region, v[i].index);

		if (b)
			kvl_batch_store(batch, v[i].region, v[i].index, b);
	}
	kvl_batch_run(batch);
	for (i = 0; i < n; i++)
		iput(&v[i].region->inode);
}

void kvl_store_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, store);
	u64 per_tick = ((u64)READ_ONCE(pool->opts.writeback) << 20) * TICK / HZ;
	unsigned int budget = max(per_tick >> pool->block_shift, 1ULL);
	struct kvl_batch batch;
	unsigned int id;

	if (!possible(pool))
		return;
	kvl_batch_init(&batch, pool);
	store_queued(pool, &batch, budget);
	kvl_batch_run(&batch);
	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		if (batch.added < budget)
			store_idle(&pool->tiers[id], &batch,
				   budget - batch.added);
	queue_delayed_work(pool->wq, &pool->store, TICK);
}

/* Drops what is queued; nobody adds any more. */
void kvl_store_stop(struct kvl_pool *pool)
{
	struct request *q;

	cancel_delayed_work_sync(&pool->store);
	while ((q = first_request(pool)))
		remove_request(pool, q);
}
