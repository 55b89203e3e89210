// SPDX-License-Identifier: GPL-2.0-only
/*
 * Promotion ahead of need: requests wait in a list, by priority, and are moved
 * to memory by one worker, which keeps many reads in flight. Requests of a
 * priority take turns; one that finds no slot, or whose domain has had its
 * share for now, is passed over until that may have changed, so that it holds
 * up nobody. One that finds no slot for long although reclaim has been asked is
 * given up: a prefetch must not make a demand access wait.
 */
#include <linux/ktime.h>
#include <linux/slab.h>

#include "domain.h"
#include "gpu.h"
#include "heat.h"
#include "move.h"
#include "policy.h"
#include "queue.h"

#define MAX_QUEUED	1024

/* For how long a block asks again for a slot. */
#define PATIENCE	(4 * KVL_RECLAIM_RETRY)

/* The same when somebody is going to hear of it. */
#define PATIENCE_TOLD	(20 * KVL_RECLAIM_RETRY)

/* Blocks that a request brings before another has its turn. */
#define QUANTUM		(4 * KVL_BATCH)

/* Weight of a new measurement of the rate, one in so many. */
#define RATE_WEIGHT	8

/*
 * Whether a request could be done before its deadline, by what was measured
 * and what waits before it. A refusal lets the figure sink a little, so that
 * one bad time is not believed for ever.
 */
bool kvl_prefetch_in_time(struct kvl_pool *pool, const struct kvl_request *p)
{
	u64 ns = READ_ONCE(pool->prefetch_ns), left, need;
	s64 blocks = p->missing;
	unsigned int i;

	if (!p->deadline)
		return true;
	for (i = 0; i < p->prio; i++)
		blocks += atomic64_read(&pool->prefetch_blocks[i]);
	/* Those of its own priority take turns with it. */
	blocks += min(atomic64_read(&pool->prefetch_blocks[i]),
		      (s64)READ_ONCE(pool->prefetch_nr[i]) *
			      (s64)round_up(p->missing, QUANTUM));
	left = p->deadline > p->submitted ? p->deadline - p->submitted : 0;
	/* That says nothing about the rate. */
	if (!left)
		return false;
	if (!check_mul_overflow((u64)blocks, ns, &need) && need <= left)
		return true;
	WRITE_ONCE(pool->prefetch_ns, ns - ns / 64);
	return false;
}

static void measure(struct kvl_pool *pool, u64 ns, unsigned int blocks)
{
	s64 old = pool->prefetch_ns, new = ns / blocks;

	WRITE_ONCE(pool->prefetch_ns,
		   old ? old + (new - old) / RATE_WEIGHT : new);
}

static void insert(struct kvl_pool *pool, struct kvl_request *p)
{
	list_add_tail(&p->list, &pool->prefetch_list[p->prio]);
	pool->prefetch_queued += !p->q;
	WRITE_ONCE(pool->prefetch_nr[p->prio], pool->prefetch_nr[p->prio] + 1);
	atomic64_add(p->missing, &pool->prefetch_blocks[p->prio]);
}

/* Whether to try it, or try it again. */
static bool ready(struct kvl_request *p, unsigned int seq)
{
	if (p->lacks == KVL_LACKS_NOTHING || READ_ONCE(p->cancelled) ||
	    time_after_eq(jiffies, p->again))
		return true;
	return p->lacks == KVL_LACKS_SLOT && p->seq != seq;
}

/*
 * The one whose turn it is, or NULL. @short_of says whether one of those
 * before it, or of all, is passed over for want of a slot.
 */
static struct kvl_request *first(struct kvl_pool *pool, unsigned int seq,
				 bool *short_of)
{
	struct kvl_request *p;
	unsigned int i;

	*short_of = false;
	for (i = 0; i < ARRAY_SIZE(pool->prefetch_list); i++)
		list_for_each_entry(p, &pool->prefetch_list[i], list) {
			if (ready(p, seq))
				return p;
			/* A hint waits for nothing. */
			*short_of |= p->q && p->lacks == KVL_LACKS_SLOT;
		}
	return NULL;
}

static void wake_worker(struct kvl_pool *pool)
{
	queue_work(pool->wq, &pool->prefetch);
	/* It may be waiting for a slot for others. */
	if (READ_ONCE(pool->prefetch_waits))
		wake_up_all(&pool->slot_wait);
}

/* Takes over a reference to @p->pending. */
void kvl_prefetch_submit(struct kvl_pool *pool, struct kvl_request *p)
{
	spin_lock(&pool->prefetch_lock);
	insert(pool, p);
	pool->prefetch_new = true;
	spin_unlock(&pool->prefetch_lock);
	wake_worker(pool);
}

static void take_off(struct kvl_pool *pool, struct kvl_request *p)
{
	list_del_init(&p->list);
	pool->prefetch_queued -= !p->q;
	WRITE_ONCE(pool->prefetch_nr[p->prio], pool->prefetch_nr[p->prio] - 1);
	atomic64_sub(p->missing, &pool->prefetch_blocks[p->prio]);
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
	p->node = numa_node_id();
	spin_lock(&pool->prefetch_lock);
	if (pool->prefetch_queued >= MAX_QUEUED) {
		spin_unlock(&pool->prefetch_lock);
		kfree(p);
		return -EAGAIN;
	}
	ihold(&r->inode);
	insert(pool, p);
	pool->prefetch_new = true;
	spin_unlock(&pool->prefetch_lock);
	*done = last - first + 1;
	wake_worker(pool);
	return 0;
}

/*
 * NULL: nothing is waiting (@left says so), or nothing that could go on, which
 * @short_of says is for want of slots.
 */
static struct kvl_request *dequeue(struct kvl_pool *pool, unsigned int seq,
				   bool *left, bool *short_of)
{
	struct kvl_request *p;
	unsigned int i;

	spin_lock(&pool->prefetch_lock);
	pool->prefetch_new = false;
	p = first(pool, seq, short_of);
	if (p) {
		p->modest = *short_of;
		take_off(pool, p);
	}
	*left = false;
	for (i = 0; i < ARRAY_SIZE(pool->prefetch_list); i++)
		*left |= !list_empty(&pool->prefetch_list[i]);
	spin_unlock(&pool->prefetch_lock);
	return p;
}

/* Waits again, behind the others; false: it was cancelled meanwhile. */
static bool requeue(struct kvl_pool *pool, struct kvl_request *p)
{
	bool again;

	spin_lock(&pool->prefetch_lock);
	/* Who cancels looks for it under the lock after having said so. */
	again = !READ_ONCE(p->cancelled) && !READ_ONCE(pool->stopping);
	if (again)
		insert(pool, p);
	spin_unlock(&pool->prefetch_lock);
	return again;
}

/*
 * Somebody has asked for it, so that this goes deeper than the policy would
 * on its own; reclaim gives at least tier->low slots back.
 */
static int alloc_memory(struct kvl_tier *t, struct kvl_request *p, u64 *dst)
{
	struct kvl_region *r = p->r;
	int err = -EAGAIN;

	if (atomic64_read(&t->nfree) > (s64)READ_ONCE(t->low) / 2 &&
	    !(kvl_domain_limited(r->domain, t->id) ?
		      kvl_domain_alloc(t, r, p->node, false, dst) :
		      kvl_tier_alloc(t, p->node, dst)))
		err = 0;
	kvl_reclaim_check(t);
	return err;
}

static int place(struct kvl_request *p, u64 home, u64 *dst)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	/* Of a domain that is at its limit one block leaves for another. */
	if (p->q && p->tier == KVLIFT_TIER_DRAM)
		return alloc_memory(dram, p, dst);
	/* A hint's block can be used where it is. */
	if (kvl_addr_is_memory(home))
		return kvl_domain_may_place(p->r->domain, KVLIFT_TIER_DRAM) &&
				       !alloc_memory(dram, p, dst) ?
			       0 :
			       -ENOENT;
	/* The last slots are for who is more urgent and lacks one. */
	if (p->modest &&
	    atomic64_read(&dram->nfree) <= (s64)READ_ONCE(dram->low) / 2)
		return -EAGAIN;
	return kvl_policy_place_near(pool, p->r, p->node, dst) ? -EAGAIN : 0;
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

/* Its domain has had its share for now. Nothing else here fails with this. */
#define NO_SHARE	(-EBUSY)

/* One block. -EAGAIN: no slot just now; NO_SHARE; -ERESTART. */
static int bring(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		 struct kvl_block *b)
{
	enum kvl_made made = KVL_MADE_NOT;
	u64 home, dst;
	int err = 0;

	if (!lock_block(batch, p, b))
		return 0;
	home = kvl_block_home(b);
	if (p->lease_ms && index >= kvl_region_nr_blocks(p->r)) {
		err = -ENXIO;
	} else if (!home && p->lease_ms) {
		err = p->flags & KVLIFT_REQ_NEW ?
			      kvl_gpu_new(p, index, b, &made) :
			      kvl_block_populate(p->r, index, b);
		home = err ? 0 : kvl_block_home(b);
	} else if (b->loc & KVLIFT_LOC_ERROR &&
		   (!kvl_addr_is_gpu(home) ||
		    (!kvl_request_in_place(p, b->loc) &&
		     kvl_heat_age(b) < KVL_RETRY_READ))) {
		err = -EIO;
	}
	if (!err && home && p->gpu) {
		err = kvl_gpu_place(batch, p, index, b);
		/* It is on its way, or the lock is gone at least. */
		if (!err || err == -EAGAIN || err == -ERESTART)
			return err;
		err = min(err, 0);
	} else if (!err && kvl_addr_is_gpu(home) && p->lease_ms) {
		/* A CPU is going to want it. */
		if (!batch->n)
			return kvl_gpu_bring(p->r, index, b, KVL_WHY_READ,
					     false);
		/* Who holds a lock waits for no other. */
		kvl_block_unlock(b);
		kvl_batch_run(batch);
		return -ERESTART;
	} else if (!err && home && kvl_addr_tier(home) > p->tier &&
		   (p->q || !kvl_addr_in_window(batch->pool, home))) {
		/* From a window only who asks for the block takes it. */
		if (test_bit(KVL_B_MOVING, &b->flags))
			err = p->q ? -EAGAIN : 0;
		else if (!kvl_domain_may_prefetch(p->r->domain))
			err = NO_SHARE;
		else
			err = place(p, home, &dst) ?: 1;
	}
	if (err == 1) {
		kvl_domain_prefetched(p->r->domain);
		kvl_batch_add(batch, p->r, index, b, dst, KVL_WHY_PREFETCH, p);
		return 0;
	}
	if (err == -EAGAIN || err == NO_SHARE) {
		kvl_block_unlock(b);
		return err;
	}
	if (p->q)
		kvl_request_made(p, index, b, err, made);
	kvl_block_unlock(b);
	return 0;
}

/* The next block of a request; of one with a lease every one is made. */
static struct kvl_block *next_block(struct kvl_request *p, u64 *i)
{
	if (!p->lease_ms)
		return kvl_region_next(p->r, i, p->last);
	/* Made when it was submitted. */
	return *i <= p->last ? kvl_region_find(p->r, *i) : NULL;
}

static int stopped(struct kvl_request *p)
{
	if (READ_ONCE(p->cancelled) ||
	    READ_ONCE(kvl_region_pool(p->r)->stopping))
		return -ECANCELED;
	if (p->deadline && ktime_get_ns() > p->deadline)
		return -ETIME;
	/* Nobody can have meant a file that is gone. */
	if (!p->q && !READ_ONCE(p->r->inode.i_nlink))
		return -ECANCELED;
	return 0;
}

/* True when somebody more urgent could go on. */
static bool urgent(struct kvl_pool *pool, struct kvl_request *p)
{
	unsigned int seq = kvl_pool_slot_seq(pool);
	struct kvl_request *e;
	bool way, short_of;

	/* Looked at when it came, and by the turn of this one. */
	if (!READ_ONCE(pool->prefetch_new))
		return false;
	spin_lock(&pool->prefetch_lock);
	pool->prefetch_new = false;
	e = first(pool, seq, &short_of);
	way = e && e->prio < p->prio;
	spin_unlock(&pool->prefetch_lock);
	return way;
}

/* Passed over until a slot has become free since @seq, or for a while. */
static void lacks(struct kvl_request *p, enum kvl_lack what, unsigned int seq)
{
	p->lacks = what;
	p->seq = seq;
	p->again = jiffies + KVL_RECLAIM_RETRY;
}

/* False: it has been patient for long enough. */
static bool lacks_slot(struct kvl_request *p, unsigned int seq)
{
	unsigned long patience = p->q ? PATIENCE_TOLD : PATIENCE;

	/* A mover is given its time. */
	if (p->gpu)
		patience += msecs_to_jiffies(2 * p->gpu->deadline_ms);

	if (!p->since)
		p->since = jiffies ?: 1;
	if (time_after_eq(jiffies, p->since + patience))
		return false;
	lacks(p, KVL_LACKS_SLOT, seq);
	return true;
}

/* False: hints that have to wait must not fill the queue for all. */
static bool lacks_share(struct kvl_pool *pool, struct kvl_request *p,
			unsigned int seq)
{
	if (!p->q && READ_ONCE(pool->prefetch_queued) >= MAX_QUEUED / 2)
		return false;
	lacks(p, KVL_LACKS_SHARE, seq);
	return true;
}

/* A turn of a request. True when it has ended. */
static bool run(struct kvl_pool *pool, struct kvl_request *p)
{
	u64 i = p->first, t = ktime_get_ns();
	struct kvl_batch batch;
	unsigned int looked = 0;
	struct kvl_block *b;
	bool over = true;
	int err;

	/* While others had their turns it could not try. */
	if (p->lacks == KVL_LACKS_SLOT && time_after(jiffies, p->again))
		p->since += jiffies - p->again;
	p->lacks = KVL_LACKS_NOTHING;
	kvl_batch_init(&batch, pool);
	while (!(err = stopped(p)) && (b = next_block(p, &i))) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		if (batch.added >= QUANTUM || urgent(pool, p)) {
			over = false;
			break;
		}
		/* Locks are not held for long. */
		if (!(++looked % KVL_BATCH))
			kvl_batch_run(&batch);
		if (kvl_move_count(pool) >= KVL_MAX_MOVES) {
			kvl_batch_run(&batch);
			kvl_move_wait(pool, KVL_MAX_MOVES);
		}
		err = bring(&batch, p, i, b);
		/* Once more, with nothing in the batch. */
		if (err == -ERESTART)
			continue;
		if (!err) {
			p->since = 0;
			i++;
			cond_resched();
			continue;
		}
		over = err == NO_SHARE ? !lacks_share(pool, p, seq) :
					 !lacks_slot(p, seq);
		if (over) {
			kvl_count(pool, KVL_C_PREFETCH_DROPPED);
			err = -ENOSPC;
		}
		break;
	}
	kvl_batch_run(&batch);
	kvl_count_add(pool, KVL_C_PREFETCHED, batch.moved);
	if (batch.moved >= KVL_BATCH)
		measure(pool, ktime_get_ns() - t, batch.moved);
	p->first = i;
	p->missing -= min_t(u64, p->missing, batch.added);
	if (!over) {
		if (requeue(pool, p))
			return false;
		err = -ECANCELED;
	}
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

/* Until a slot is free, somebody new has come, or it is time to look again. */
static void wait_for_more(struct kvl_pool *pool, unsigned int seq,
			  bool short_of)
{
	/* Who has asked on a queue waits as a task does. */
	if (short_of)
		atomic_inc(&pool->slot_waiters);
	WRITE_ONCE(pool->prefetch_waits, true);
	wait_event_timeout(pool->slot_wait,
			   kvl_pool_slot_seq(pool) != seq ||
				   READ_ONCE(pool->prefetch_new) ||
				   READ_ONCE(pool->stopping),
			   KVL_RECLAIM_RETRY);
	WRITE_ONCE(pool->prefetch_waits, false);
	if (short_of)
		atomic_dec(&pool->slot_waiters);
}

void kvl_prefetch_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(work, struct kvl_pool, prefetch);
	struct kvl_request *p;
	bool left, short_of;
	unsigned int seq;

	while (!READ_ONCE(pool->stopping)) {
		seq = kvl_pool_slot_seq(pool);
		p = dequeue(pool, seq, &left, &short_of);
		if (p && run(pool, p))
			end(p);
		else if (!p && left)
			wait_for_more(pool, seq, short_of);
		else if (!p)
			break;
		cond_resched();
	}
}

/* Drops what is queued; nobody adds any more. */
void kvl_prefetch_stop(struct kvl_pool *pool)
{
	struct kvl_request *p;
	unsigned int i;

	cancel_work_sync(&pool->prefetch);
	for (i = 0; i < ARRAY_SIZE(pool->prefetch_list); i++)
		while ((p = list_first_entry_or_null(&pool->prefetch_list[i],
						     struct kvl_request,
						     list))) {
			spin_lock(&pool->prefetch_lock);
			take_off(pool, p);
			spin_unlock(&pool->prefetch_lock);
			end(p);
		}
}
