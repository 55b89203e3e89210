// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing down ahead of need: blocks that will not change get a copy on a
 * device while they stay in memory, so that leaving memory later costs no
 * I/O. First come those that were declared complete, region by region in the
 * order in which that was done; what is left of the rate goes to blocks that
 * nobody has touched for a while.
 *
 * A block that is written again makes its copy worthless: hence only what is
 * complete or idle, and never more than pool->opts.writeback per second. Some
 * slots of the device stay free, or shadows would be given up for blocks that
 * have to move and made again from then on.
 *
 * Lifetime: a region on pool->store_list is not held, so that a deleted file
 * goes at once; kvl_store_forget() takes it off. Locks: store_lock, inside of
 * it inode->i_lock.
 */
#include <linux/mm.h>

#include "heat.h"
#include "move.h"
#include "pace.h"
#include "store.h"

#define TICK		(HZ / 10)

/* Untouched for so long a block counts as idle. */
#define IDLE		(10 * KVL_HEAT_SECOND)

/* Slots looked at in a member per tick, and records of a region at a time. */
#define SCAN		1024
#define LOOK		256

static bool possible(struct kvl_pool *pool)
{
	return READ_ONCE(pool->opts.writeback) &&
	       kvl_pool_has_tier(pool, KVLIFT_TIER_NVME) &&
	       !READ_ONCE(pool->stopping);
}

void kvl_store_start(struct kvl_pool *pool)
{
	if (possible(pool))
		queue_delayed_work(pool->wq, &pool->store, TICK);
}

static void want(struct kvl_region *r, u64 first, u64 last, bool next)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	spin_lock(&pool->store_lock);
	if (list_empty(&r->store)) {
		r->store_first = first;
		r->store_last = last;
		if (next)
			list_add(&r->store, &pool->store_list);
		else
			list_add_tail(&r->store, &pool->store_list);
	} else {
		/* What lies between is looked at, too; that is cheap. */
		r->store_first = min(r->store_first, first);
		r->store_last = max(r->store_last, last);
	}
	spin_unlock(&pool->store_lock);
}

/* Complete blocks among these are stored, when there is a device. */
void kvl_store_queue(struct kvl_region *r, u64 first, u64 last)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	if (!kvl_pool_has_tier(pool, KVLIFT_TIER_NVME))
		return;
	want(r, first, last, false);
	kvl_store_start(pool);
}

/* The region goes away. */
void kvl_store_forget(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	spin_lock(&pool->store_lock);
	list_del_init(&r->store);
	spin_unlock(&pool->store_lock);
}

/* The next region on the list, off it and held; NULL for none. */
static struct kvl_region *take(struct kvl_pool *pool, u64 *first, u64 *last)
{
	struct kvl_region *r, *found = NULL;

	spin_lock(&pool->store_lock);
	list_for_each_entry(r, &pool->store_list, store) {
		/* Who is going to forget it waits for the lock. */
		if (!igrab(&r->inode))
			continue;
		*first = r->store_first;
		*last = r->store_last;
		list_del_init(&r->store);
		found = r;
		break;
	}
	spin_unlock(&pool->store_lock);
	return found;
}

/*
 * Slots of the device that stay free: enough for those that leave memory, and
 * for shadows that are given up together not to be made again at once.
 */
static bool has_room(struct kvl_pool *pool)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	u64 got = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		got += READ_ONCE(t->members[i]->got);
	return atomic64_read(&t->nfree) >
	       min_t(u64, got / 8, 4 * KVL_VICTIM_SHADOWS);
}

static bool go_on(struct kvl_batch *batch, unsigned int budget)
{
	return batch->added < budget && has_room(batch->pool) &&
	       !READ_ONCE(batch->pool->stopping);
}

static void store_complete(struct kvl_pool *pool, struct kvl_batch *batch,
			   unsigned int budget)
{
	struct kvl_region *r;
	u64 i, last;

	while (go_on(batch, budget) && (r = take(pool, &i, &last))) {
		unsigned int looked = 0;
		bool more = true;

		while (go_on(batch, budget)) {
			struct kvl_block *b = kvl_region_next(r, &i, last);

			if (!b) {
				more = false;
				break;
			}
			if (test_bit(KVL_B_COMPLETE, &b->flags) &&
			    kvl_block_unstored(b))
				kvl_batch_store(batch, r, i, b);
			i++;
			/* Locks are not held for long. */
			if (!(++looked % LOOK))
				kvl_batch_run(batch);
			/* What moves for somebody must find room. */
			if (!batch->n)
				kvl_move_wait(pool, KVL_MAX_MOVES / 2);
			cond_resched();
		}
		kvl_batch_run(batch);
		if (more)
			want(r, i, last, true);
		iput(&r->inode);
	}
}

/* Who is held cannot be stored, and must not be asked every time. */
static bool held(struct kvl_slot *s)
{
	return folio_ref_count(s->folio) >
	       1 + s->pins + folio_mapcount(s->folio);
}

/* A slot of an idle block; then its region is held. Needs lru_lock. */
static bool grab_idle(struct kvl_slot *s, struct kvl_victim *v)
{
	struct kvl_region *r = s->region;
	struct kvl_block *b = r ? kvl_region_find(r, s->index) : NULL;

	if (!b || !kvl_block_unstored(b) || held(s) ||
	    kvl_heat_age(b) < IDLE || !igrab(&r->inode))
		return false;
	v->region = r;
	v->index = s->index;
	v->addr = s->addr;
	return true;
}

/*
 * Goes round a member's slots and not along the LRU list, whose cold end is
 * full of those that are stored.
 */
static unsigned int find_idle(struct kvl_member *m, struct kvl_victim *v,
			      unsigned int nr, unsigned int *looked)
{
	struct kvl_tier *t = m->tier;
	unsigned int n = 0;

	for (; n < nr && *looked < SCAN; ++*looked) {
		struct kvl_slot *s = kvl_mem_nth_slot(m, m->store_next);

		if (!s) {
			/* Once round is enough. */
			m->store_next = 0;
			*looked = SCAN;
			break;
		}
		m->store_next++;
		if (!READ_ONCE(s->region))
			continue;
		spin_lock(&t->lru_lock);
		n += grab_idle(s, &v[n]);
		spin_unlock(&t->lru_lock);
	}
	return n;
}

static void store_idle(struct kvl_member *m, struct kvl_batch *batch,
		       unsigned int budget)
{
	struct kvl_victim v[KVL_VICTIM_BATCH];
	unsigned int looked = 0, n, i;

	while (looked < SCAN && go_on(batch, budget)) {
		kvl_move_wait(batch->pool, KVL_MAX_MOVES / 2);
		n = find_idle(m, v, min(budget - batch->added,
					KVL_VICTIM_BATCH), &looked);
		for (i = 0; i < n; i++) {
			struct kvl_region *r = v[i].region;
			struct kvl_block *b = kvl_region_find(r, v[i].index);

			if (b)
				kvl_batch_store(batch, r, v[i].index, b);
		}
		kvl_batch_run(batch);
		for (i = 0; i < n; i++)
			iput(&v[i].region->inode);
		cond_resched();
	}
}

/* Bytes that may be stored now; at most a quarter of a second's worth. */
static void earn(struct kvl_pool *pool)
{
	u64 rate = (u64)READ_ONCE(pool->opts.writeback) << 20;
	u64 now = get_jiffies_64();
	u64 since = min_t(u64, now - pool->store_last, HZ);

	pool->store_last = now;
	pool->store_credit = min(pool->store_credit + rate * since / HZ,
				 rate / 4 + pool->block_size);
}

void kvl_store_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, store);
	struct kvl_batch batch;
	unsigned int budget, id, i;
	u64 start = ktime_get_ns();

	if (!possible(pool))
		return;
	earn(pool);
	budget = min_t(u64, pool->store_credit >> pool->block_shift, INT_MAX);
	kvl_batch_init(&batch, pool);
	store_complete(pool, &batch, budget);
	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		for (i = 0; i < pool->tiers[id].nr_members; i++)
			store_idle(pool->tiers[id].members[i], &batch, budget);
	pool->store_credit -= (u64)batch.added << pool->block_shift;
	start = ktime_get_ns() - start;
	kvl_count_ns(pool, KVLIFT_TIER_NVME, KVL_NS_WORKER, start);
	start = kvl_pace_rest(pool, start);
	kvl_count_ns(pool, KVLIFT_TIER_NVME, KVL_NS_REST, start);
	queue_delayed_work(pool->wq, &pool->store,
			   max(TICK, nsecs_to_jiffies(start)));
}

/* Nobody asks for anything any more. */
void kvl_store_stop(struct kvl_pool *pool)
{
	cancel_delayed_work_sync(&pool->store);
}
