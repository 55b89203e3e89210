// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion ahead of need: requests wait in a list, by priority, and are moved
 * to memory in order by one worker, which keeps many reads in flight. A block
 * of a hint that finds no free slot although reclaim has been asked is given
 * up: a prefetch must not make a demand access wait.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "domain.h"
#include "move.h"
#include "policy.h"
#include "queue.h"

#define MAX_QUEUED	1024

/* How often a block asks again for a slot, a reclaim retry apart. */
#define MAX_TRIES	4

/* The same when somebody is going to hear of it. */
#define MAX_TRIES_TOLD	20

/* Weight of a new measurement of the rate, one in so many. */
#define RATE_WEIGHT	8

/* Time from now until @blocks more could be in place, by what was measured. */
u64 kvl_prefetch_estimate(struct kvl_pool *pool, u64 blocks)
{
	return (atomic64_read(&pool->prefetch_blocks) + blocks) *
	       READ_ONCE(pool->prefetch_ns);
}

static void measure(struct kvl_pool *pool, u64 ns, unsigned int blocks)
{
	s64 old = pool->prefetch_ns, new = ns / blocks;

	WRITE_ONCE(pool->prefetch_ns,
		   old ? old + (new - old) / RATE_WEIGHT : new);
}

static void insert(struct kvl_pool *pool, struct kvl_request *p)
{
	struct kvl_request *e;

	list_for_each_entry_reverse(e, &pool->prefetch_list, list)
		if (e->prio <= p->prio)
			break;
	/* After the last that is as urgent; the head when there is none. */
	list_add(&p->list, &e->list);
	pool->prefetch_queued++;
	atomic64_add(p->last - p->first + 1, &pool->prefetch_blocks);
}

/* Takes over a reference to @p->pending. */
void kvl_prefetch_submit(struct kvl_pool *pool, struct kvl_request *p)
{
	spin_lock(&pool->prefetch_lock);
	insert(pool, p);
	spin_unlock(&pool->prefetch_lock);
	queue_work(pool->wq, &pool->prefetch);
}

static void take_off(struct kvl_pool *pool, struct kvl_request *p)
{
	list_del_init(&p->list);
	pool->prefetch_queued--;
	atomic64_sub(p->last - p->first + 1, &pool->prefetch_blocks);
}

/* True when the request was waiting; its reference is the caller's then. */
bool kvl_prefetch_remove(struct kvl_pool *pool, struct kvl_request *p)
{
	bool found;

	spin_lock(&pool->prefetch_lock);
	found = !list_empty(&p->list);
	if (found)
		take_off(pool, p);
	spin_unlock(&pool->prefetch_lock);
	return found;
}

/* Queues a hint. -EAGAIN: the queue is full. */
int kvl_prefetch_queue(struct kvl_region *r, u64 first, u64 last, u64 *done)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 nr = kvl_region_nr_blocks(r);
	struct kvl_request *p;

	*done = 0;
	if (first >= nr)
		return 0;
	last = min(last, nr - 1);
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->first = first;
	p->last = last;
	p->r = r;
	p->tier = KVLIFT_TIER_DRAM;
	p->prio = KVLIFT_PRIO_NORMAL;
	spin_lock(&pool->prefetch_lock);
	if (pool->prefetch_queued >= MAX_QUEUED) {
		spin_unlock(&pool->prefetch_lock);
		kfree(p);
		return -EAGAIN;
	}
	ihold(&r->inode);
	insert(pool, p);
	spin_unlock(&pool->prefetch_lock);
	*done = last - first + 1;
	queue_work(pool->wq, &pool->prefetch);
	return 0;
}

static struct kvl_request *dequeue(struct kvl_pool *pool)
{
	struct kvl_request *p;

	spin_lock(&pool->prefetch_lock);
	p = list_first_entry_or_null(&pool->prefetch_list, struct kvl_request,
				     list);
	if (p)
		take_off(pool, p);
	spin_unlock(&pool->prefetch_lock);
	return p;
}

/*
 * Somebody has asked for it, so that this goes deeper than the policy would
 * on its own; reclaim gives at least tier->low slots back.
 */
static int alloc_memory(struct kvl_tier *t, u64 *dst)
{
	int err = -EAGAIN;

	if (atomic64_read(&t->nfree) > (s64)t->low / 2 &&
	    !kvl_tier_alloc(t, numa_node_id(), dst))
		err = 0;
	kvl_reclaim_check(t);
	return err;
}

static int place(struct kvl_request *p, u64 home, u64 *dst)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];
	bool may = kvl_domain_may_place(p->r->domain, KVLIFT_TIER_DRAM);

	/* Of a domain that is at its limit one block leaves for another. */
	if (p->q && p->tier == KVLIFT_TIER_DRAM && !may) {
		kvl_domain_press(p->r->domain, dram);
		return -EAGAIN;
	}
	if (p->q && p->tier == KVLIFT_TIER_DRAM)
		return alloc_memory(dram, dst);
	/* A hint's block can be used where it is. */
	if (kvl_addr_is_memory(home))
		return may && !alloc_memory(dram, dst) ? 0 : -ENOENT;
	return kvl_policy_place(pool, p->r, dst) ? -EAGAIN : 0;
}

static bool lock_block(struct kvl_batch *batch, struct kvl_request *p,
		       struct kvl_block *b)
{
	if (kvl_block_trylock(b))
		return true;
	/* For a hint: somebody is at it. */
	if (!p->q)
		return false;
	/* It may be one of ours, and others must not wait for them. */
	kvl_batch_run(batch);
	kvl_block_lock(b);
	return true;
}

/* One block. -EAGAIN: no slot just now. */
static int bring(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		 struct kvl_block *b)
{
	u64 home, dst;
	int err = 0;

	if (!lock_block(batch, p, b))
		return 0;
	home = kvl_block_home(b);
	if (!home && p->lease_ms)
		err = kvl_block_populate(p->r, index, b);
	else if (b->loc & KVLIFT_LOC_ERROR)
		err = -EIO;
	else if (home && (kvl_addr_tier(home) > p->tier) &&
		 (p->q || !test_bit(KVL_B_MOVING, &b->flags)))
		err = test_bit(KVL_B_MOVING, &b->flags) ?
			      -EAGAIN :
			      (place(p, home, &dst) ?: 1);
	if (err == 1) {
		kvl_batch_add(batch, p->r, index, b, dst, KVL_WHY_PREFETCH, p);
		return 0;
	}
	if (p->q && err != -EAGAIN)
		kvl_request_block(p, index, b, err);
	kvl_block_unlock(b);
	return err == -EAGAIN ? err : 0;
}

static int stopped(struct kvl_request *p)
{
	if (READ_ONCE(p->cancelled) ||
	    READ_ONCE(kvl_region_pool(p->r)->stopping))
		return -ECANCELED;
	if (p->deadline && ktime_get_ns() > p->deadline)
		return -ETIME;
	return 0;
}

/* The next block of a request; of one with a lease every one is made. */
static struct kvl_block *next_block(struct kvl_request *p, u64 *i)
{
	if (!p->lease_ms)
		return kvl_region_next(p->r, i, p->last);
	return *i <= p->last ? kvl_region_get(p->r, *i) : NULL;
}

/* True when the request has made room for a more urgent one. */
static bool give_way(struct kvl_pool *pool, struct kvl_request *p, u64 i)
{
	struct kvl_request *e;
	bool way;

	spin_lock(&pool->prefetch_lock);
	e = list_first_entry_or_null(&pool->prefetch_list, struct kvl_request,
				     list);
	way = e && e->prio < p->prio && !READ_ONCE(pool->stopping);
	if (way) {
		p->first = i;
		insert(pool, p);
	}
	spin_unlock(&pool->prefetch_lock);
	return way;
}

/* False when the request waits again. */
static bool run(struct kvl_pool *pool, struct kvl_request *p)
{
	unsigned int max = p->q ? MAX_TRIES_TOLD : MAX_TRIES;
	u64 i = p->first, t = ktime_get_ns();
	struct kvl_batch batch;
	unsigned int tries = 0, looked = 0;
	struct kvl_block *b;
	bool way = false;
	int err;

	kvl_batch_init(&batch, pool);
	while (!(err = stopped(p)) && (b = next_block(p, &i))) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		way = !batch.n && give_way(pool, p, i);
		if (way)
			break;
		/* Locks are not held for long. */
		if (!(++looked % KVL_BATCH))
			kvl_batch_run(&batch);
		if (atomic_read(&pool->moves) >= KVL_MAX_MOVES) {
			kvl_batch_run(&batch);
			kvl_move_wait(pool, KVL_MAX_MOVES);
		}
		if (bring(&batch, p, i, b) != -EAGAIN) {
			tries = 0;
			i++;
		} else if (tries++ < max) {
			kvl_batch_run(&batch);
			wait_event_timeout(pool->slot_wait,
					   kvl_pool_slot_seq(pool) != seq ||
						   READ_ONCE(pool->stopping),
					   KVL_RECLAIM_RETRY);
		} else {
			kvl_count(pool, KVL_C_PREFETCH_DROPPED);
			err = -ENOSPC;
			break;
		}
		cond_resched();
	}
	kvl_batch_run(&batch);
	kvl_count_add(pool, KVL_C_PREFETCHED, batch.moved);
	if (batch.moved >= KVL_BATCH)
		measure(pool, ktime_get_ns() - t, batch.moved);
	if (way)
		return false;
	if (!err && p->lease_ms && i <= p->last)
		err = -ENOMEM;
	if (err)
		WRITE_ONCE(p->error, err);
	return true;
}

static void end(struct kvl_request *p)
{
	if (p->q) {
		kvl_request_put(p);
	} else {
		iput(&p->r->inode);
		kfree(p);
	}
}

void kvl_prefetch_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(work, struct kvl_pool, prefetch);
	struct kvl_request *p;

	while (!READ_ONCE(pool->stopping) && (p = dequeue(pool))) {
		if (run(pool, p))
			end(p);
	}
}

/* Drops what is queued; nobody adds any more. */
void kvl_prefetch_stop(struct kvl_pool *pool)
{
	struct kvl_request *p;

	cancel_work_sync(&pool->prefetch);
	while ((p = dequeue(pool)))
		end(p);
}
