// SPDX-License-Identifier: GPL-2.0-only
/* What is common to all back ends: slots, capacity, waiting for slots. */
#include <crypto/hash.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/psi.h>
#include <linux/sched/signal.h>

#include "domain.h"
#include "move.h"
#include "place.h"
#include "region.h"

static const char *const tier_names[KVLIFT_NR_TIERS] = {
	[KVLIFT_TIER_GPU] = "gpu",
	[KVLIFT_TIER_DRAM] = "dram",
	[KVLIFT_TIER_CXL] = "cxl",
	[KVLIFT_TIER_NVME] = "nvme",
};

const char *kvl_tier_name(unsigned int id)
{
	return tier_names[id];
}

void kvl_tier_init(struct kvl_tier *t, struct kvl_pool *pool, unsigned int id)
{
	t->pool = pool;
	t->id = id;
	atomic64_set(&t->nfree, 0);
	atomic_set(&t->leaving, 0);
	spin_lock_init(&t->lru_lock);
	spin_lock_init(&t->stripe_lock);
	INIT_LIST_HEAD(&t->shadowed);
	INIT_DELAYED_WORK(&t->reclaim, kvl_reclaim_work);
}

void kvl_tier_add(struct kvl_tier *t, struct kvl_member *m)
{
	m->tier = t;
	m->cpu_node = NUMA_NO_NODE;
	kvl_measure_init(m);
	/* Those before it fill already: kvl_pool_resized() goes through them. */
	spin_lock(&t->pool->resize_lock);
	t->members[t->nr_members] = m;
	/* Of a GPU's tier others may be looking through the members. */
	smp_store_release(&t->nr_members, t->nr_members + 1);
	spin_unlock(&t->pool->resize_lock);
}

/* Ends what the members do in the background; they may look at each other. */
void kvl_tier_drain(struct kvl_tier *t)
{
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		kvl_measure_stop(t->members[i]);
		t->members[i]->ops->drain(t->members[i]);
	}
}

void kvl_tier_destroy(struct kvl_tier *t)
{
	kvl_place_end(t);
	while (t->nr_members) {
		struct kvl_member *m;

		/* A device that dies now has the capacity computed. */
		spin_lock(&t->pool->resize_lock);
		m = t->members[--t->nr_members];
		spin_unlock(&t->pool->resize_lock);
		kfree(m->share);
		m->ops->destroy(m);
	}
}

/* The next slower tier there is, or NULL. */
struct kvl_tier *kvl_tier_below(struct kvl_pool *pool, unsigned int id)
{
	while (++id < KVLIFT_NR_TIERS)
		if (kvl_pool_has_tier(pool, id))
			return &pool->tiers[id];
	return NULL;
}

/* Slots by which the members exceed what they are to have. */
u64 kvl_tier_surplus(struct kvl_tier *t)
{
	u64 sum = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];

		u64 got = READ_ONCE(m->got) - READ_ONCE(m->nbad);
		/* Of windows nothing can be had. */
		u64 target = max(kvl_member_target(m), READ_ONCE(m->nwindow));

		/* What is drained leaves by another way. */
		if (got > target && !READ_ONCE(m->draining))
			sum += got - target;
	}
	return sum;
}

struct folio *kvl_addr_folio(struct kvl_pool *pool, u64 addr)
{
	struct kvl_member *m = kvl_addr_member(pool, addr);

	return m->ops->folio(m, kvlift_loc_slot(addr));
}

/* False while a device is gone, drained, or rests after a write error. */
bool kvl_member_usable(struct kvl_member *m)
{
	return !READ_ONCE(m->dead) && !READ_ONCE(m->draining) &&
	       !time_before64(get_jiffies_64(), READ_ONCE(m->rest_until));
}

int kvl_member_alloc(struct kvl_member *m, u64 *addr)
{
	struct kvl_tier *t = m->tier;
	u32 slot;
	int err;

	if (!kvl_member_usable(m))
		return -ENOSPC;
	err = m->ops->alloc(m, &slot);
	if (err)
		return err;
	atomic64_dec(&t->nfree);
	*addr = kvl_addr(t->id, m->id, slot);
	return 0;
}

/*
 * Devices take turns, each for some neighbours so that these merge. Over time
 * each gets a share in proportion to its free slots, which then run out
 * everywhere at once, and to its credit: a slow device gets fewer.
 */
#define STRIPE_BYTES	SZ_1M

static struct kvl_member *next_stripe(struct kvl_tier *t)
{
	s64 depth = t->pool->opts.depth, sum = 0;
	struct kvl_member *best = NULL;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];
		s64 share = READ_ONCE(m->nfree);

		if (!share || !kvl_member_usable(m))
			continue;
		share *= max(depth - atomic_read(&m->inflight), 1);
		m->turn += share;
		sum += share;
		if (!best || m->turn > best->turn)
			best = m;
	}
	if (best)
		best->turn -= sum;
	return best;
}

static int striped_alloc(struct kvl_tier *t, u64 *addr)
{
	int err = -ENOSPC;

	spin_lock(&t->stripe_lock);
	if (t->stripe_left)
		err = kvl_member_alloc(t->stripe, addr);
	if (err) {
		t->stripe = next_stripe(t);
		t->stripe_left = max(STRIPE_BYTES >> t->pool->block_shift, 1);
		if (t->stripe)
			err = kvl_member_alloc(t->stripe, addr);
	}
	t->stripe_left = err ? 0 : t->stripe_left - 1;
	spin_unlock(&t->stripe_lock);
	return err;
}

/* Each CPU goes round by itself: no cache line is shared. */
static struct kvl_member *next_turn(struct kvl_tier *t,
				    const struct kvl_order *o)
{
	u32 turn = this_cpu_inc_return(t->pool->counters->turn[t->id]);

	return t->members[o->turns[turn % KVL_TURNS]];
}

static int placed_alloc(struct kvl_tier *t, int node, u64 *addr)
{
	const struct kvl_order *o;
	int err = -ENOSPC;
	const u8 *near;
	unsigned int i;

	rcu_read_lock();
	o = rcu_dereference(t->order);
	if (o && READ_ONCE(t->pool->opts.interleave))
		err = kvl_member_alloc(next_turn(t, o), addr);
	if (o && err) {
		near = kvl_order_near(o, node);
		for (i = 0; err && i < o->nr; i++)
			err = kvl_member_alloc(t->members[near[i]], addr);
	}
	rcu_read_unlock();
	return err;
}

int kvl_tier_alloc(struct kvl_tier *t, int node, u64 *addr)
{
	unsigned int i;

	if (t->id != KVLIFT_TIER_NVME)
		return placed_alloc(t, node, addr);
	if (t->nr_members > 1 && !striped_alloc(t, addr))
		return 0;
	for (i = 0; i < t->nr_members; i++)
		if (!kvl_member_alloc(t->members[i], addr))
			return 0;
	return -ENOSPC;
}

/* A slot that was never published still has room taken for it. */
static void give_up(struct kvl_pool *pool, u64 addr)
{
	struct kvl_slot *s;

	if (!kvl_addr_has_slot(addr))
		return;
	s = kvl_mem_slot(pool, addr);
	if (unlikely(s->placed))
		kvl_domain_settle(pool, s);
}

void kvl_slot_free(struct kvl_pool *pool, u64 addr)
{
	struct kvl_member *m = kvl_addr_member(pool, addr);

	give_up(pool, addr);
	m->ops->free(m, kvlift_loc_slot(addr));
	kvl_pool_slot_freed(pool);
}

void kvl_slot_retire(struct kvl_pool *pool, u64 addr)
{
	struct kvl_member *m = kvl_addr_member(pool, addr);

	give_up(pool, addr);
	m->ops->retire(m, kvlift_loc_slot(addr));
}

/*
 * A GPU's knows how, else the one that the CPU cannot address; else either does.
 */
void kvl_copy_submit(struct kvl_copy *copy)
{
	struct kvl_member *src = kvl_addr_member(copy->pool, copy->src);
	struct kvl_member *dst = kvl_addr_member(copy->pool, copy->dst);

	if (!(src->ops->caps & KVL_CAP_CPU) && !kvl_addr_is_gpu(copy->dst))
		src->ops->submit(copy);
	else
		dst->ops->submit(copy);
}

void kvl_copy_expedite(struct kvl_pool *pool, u64 addr)
{
	struct kvl_member *m;

	if (!addr)
		return;
	m = kvl_addr_member(pool, addr);
	if (m->ops->expedite)
		m->ops->expedite(m, addr);
}

/* Too many would waste a small tier. */
u64 kvl_tier_high(struct kvl_tier *t, u64 slots, u32 percent)
{
	u64 max = DIV_ROUND_UP_ULL(slots, 4);

	/* Nothing waits for a slot of a GPU that is this small. */
	if (t->id == KVLIFT_TIER_GPU && slots < 4)
		return 0;
	if (!kvl_tier_below(t->pool, t->id))
		return 0;
	return clamp(slots * percent / 100, min(4, max), max);
}

/* Free slots that movement needs. */
static void set_watermarks(struct kvl_tier *t, u64 slots)
{
	struct kvl_pool *pool = t->pool;
	u64 high = kvl_tier_high(t, slots, pool->opts.high);

	WRITE_ONCE(t->high, high);
	WRITE_ONCE(t->low,
		   clamp(slots * pool->opts.low / 100, min(2, high), high));
}

void kvl_pool_resized(struct kvl_pool *pool)
{
	s64 capacity = 0;
	u64 memory = 0;
	unsigned int id, i;

	spin_lock(&pool->resize_lock);
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		struct kvl_tier *t = &pool->tiers[id];
		u64 slots = 0;

		for (i = 0; i < t->nr_members; i++) {
			struct kvl_member *m = t->members[i];

			spin_lock(&m->lock);
			/* What is still coming counts: users can wait. */
			if (m->dead) /* only what is stored there */
				slots += m->got - m->nfree - m->nlost -
					 atomic64_read(&m->nshadow);
			else if (m->filling)
				slots += kvl_member_target(m);
			else
				slots += min(kvl_member_target(m),
					     m->got - m->nlost);
			slots -= min(slots, m->nwindow);
			spin_unlock(&m->lock);
		}
		WRITE_ONCE(t->slots, slots);
		set_watermarks(t, slots);
		/* A GPU's memory goes with it: what is there fits below. */
		if (id != KVLIFT_TIER_GPU)
			capacity += slots - t->high;
		if (id == KVLIFT_TIER_DRAM || id == KVLIFT_TIER_CXL)
			memory += slots;
	}
	/* Small files must not become a second, unbounded memory. */
	WRITE_ONCE(pool->inline_limit, max(memory << pool->block_shift >> 4,
					   (u64)pool->block_size));
	atomic64_set(&pool->capacity, capacity);
	spin_unlock(&pool->resize_lock);
}

/* Takes @max units of capacity, or what there is but at least @min, or 0. */
static u64 charge_upto(struct kvl_pool *pool, u64 min, u64 max)
{
	s64 used = atomic64_read(&pool->used);

	for (;;) {
		s64 left = atomic64_read(&pool->capacity) - used;
		u64 n = min_t(s64, max, left);

		/* Never too many for a moment: others would fail for it. */
		if (left < (s64)min)
			return 0;
		if (!atomic64_try_cmpxchg(&pool->used, &used, used + n))
			continue;
		/* But for this: the capacity has just become smaller. */
		if (atomic64_read(&pool->capacity) >= used + (s64)n)
			return n;
		used = atomic64_sub_return(n, &pool->used);
	}
}

/* Takes units of capacity, or none and -ENOSPC. */
int kvl_pool_charge(struct kvl_pool *pool, u64 blocks)
{
	if (charge_upto(pool, blocks, blocks))
		return 0;
	kvl_count(pool, KVL_C_NOSPACE);
	return -ENOSPC;
}

/*
 * Takes at most @blocks units, for somebody who makes the capacity smaller by
 * as many before it gives them back. Returns how many.
 */
u64 kvl_pool_reserve(struct kvl_pool *pool, u64 blocks)
{
	return charge_upto(pool, 1, blocks);
}

void kvl_pool_uncharge(struct kvl_pool *pool, u64 blocks)
{
	atomic64_sub(blocks, &pool->used);
}

void kvl_pool_slot_freed(struct kvl_pool *pool)
{
	atomic_inc(&pool->slot_seq);
	/* Has the barrier that pairs with wait_event's. */
	if (wq_has_sleeper(&pool->slot_wait))
		wake_up_all(&pool->slot_wait);
}

/* No slot became free for this long: give up. */
#define SLOT_TIMEOUT	(5 * HZ)

static bool tier_stuck(struct kvl_tier *t)
{
	bool any = false;
	unsigned int i;

	if (atomic64_read(&t->nfree))
		return false;
	/* What has been drained has nothing to wait for. */
	for (i = 0; i < t->nr_members; i++)
		any |= READ_ONCE(t->members[i]->got) ||
		       READ_ONCE(t->members[i]->filling);
	if (!any)
		return true;
	if (kvl_tier_below(t->pool, t->id)) {
		u64 since = READ_ONCE(t->stalled_since);

		return since && !atomic_read(&t->leaving) &&
		       !time_before64(get_jiffies_64(), since + SLOT_TIMEOUT);
	}
	for (i = 0; i < t->nr_members; i++)
		if (READ_ONCE(t->members[i]->filling))
			return false;
	return true;
}

/* True when no memory slot is free and none will be soon. */
bool kvl_pool_stuck(struct kvl_pool *pool)
{
	unsigned int id;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		if (kvl_pool_has_tier(pool, id) &&
		    !tier_stuck(&pool->tiers[id]))
			return false;
	return true;
}

/* True when somebody has just waited for a slot in vain. */
bool kvl_pool_gave_up(struct kvl_pool *pool)
{
	u64 when = READ_ONCE(pool->gave_up);

	return when && time_before64(get_jiffies_64(), when + HZ) &&
	       kvl_pool_stuck(pool);
}

/*
 * Waits until a slot has become free since @seq was read. -EINTR when the
 * task is being killed, -ENOSPC when nothing moves for SLOT_TIMEOUT and
 * nothing is going to.
 */
int kvl_pool_wait_slot(struct kvl_pool *pool, unsigned int seq)
{
	unsigned long pflags;
	unsigned int id;
	long left;

	/* A slot may become free again and again, and not be of use to us. */
	if (fatal_signal_pending(current))
		return -EINTR;
	/* From now on workers do not rest. */
	atomic_inc(&pool->slot_waiters);
	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		if (kvl_pool_has_tier(pool, id))
			kvl_reclaim_kick(&pool->tiers[id]);
	psi_memstall_enter(&pflags);
	left = wait_event_killable_timeout(pool->slot_wait,
					   kvl_pool_slot_seq(pool) != seq,
					   SLOT_TIMEOUT);
	psi_memstall_leave(&pflags);
	atomic_dec(&pool->slot_waiters);
	if (left < 0)
		return -EINTR;
	/* A slow device is no full pool: the caller asks again. */
	if (left || !kvl_pool_stuck(pool))
		return 0;
	WRITE_ONCE(pool->gave_up, get_jiffies_64());
	kvl_count(pool, KVL_C_NOSPACE);
	return -ENOSPC;
}

/* CRC32C (Castagnoli), seed ~0, inverted at the end. */
u32 kvl_pool_crc(struct kvl_pool *pool, const void *data, size_t len)
{
	__le32 crc = 0;

	/* Cannot fail: no key, no allocation. */
	crypto_shash_tfm_digest(pool->crc, data, len, (u8 *)&crc);
	return le32_to_cpu(crc);
}
