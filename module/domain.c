// SPDX-License-Identifier: GPL-2.0-only
/*
 * What domains count and what their limits allow. A charge costs a few atomic
 * operations per level of the chain; where no limit is set, a placement costs
 * one look per level.
 */
#include <linux/slab.h>

#include "domain.h"
#include "move.h"
#include "region.h"
#include "trace.h"

/* Blocks below a limit that reclaim keeps free once it was in the way. */
static u64 headroom(u64 limit)
{
	return clamp(limit / 16, 1, 32);
}

u64 kvl_domain_bound(const struct kvl_domain *d)
{
	struct kvl_pool *pool = d->pool;
	u64 sum = 0, total = d->total_limit ?: U64_MAX;
	unsigned int id;

	/* What a GPU has is stored below. */
	for (id = KVLIFT_TIER_DRAM; id < KVLIFT_NR_TIERS; id++) {
		u64 limit = d->tier[id].limit;

		if (!kvl_pool_has_tier(pool, id))
			continue;
		if (!limit)
			return total;
		/* Blocks that swap places need somewhere to go. */
		if (kvl_tier_below(pool, id))
			limit -= headroom(limit);
		sum += limit;
	}
	return min(sum, total);
}

struct kvl_domain *kvl_domain_create(struct kvl_pool *pool,
				     struct kvl_domain *parent, u64 id)
{
	struct kvl_domain *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!d)
		return ERR_PTR(-ENOMEM);
	kref_init(&d->ref);
	d->pool = pool;
	d->id = id;
	d->weight = KVLIFT_DOMAIN_WEIGHT;
	d->lease_percent = KVLIFT_DOMAIN_PERCENT;
	d->pin_percent = KVLIFT_DOMAIN_PERCENT;
	d->max_charged = U64_MAX;
	INIT_LIST_HEAD(&d->sibling);
	INIT_LIST_HEAD(&d->children);
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		INIT_LIST_HEAD(&d->tier[i].lru);
	kvl_cache_init(&d->cache);
	d->room.rest = jiffies;
	spin_lock(&pool->domain_lock);
	if (pool->nr_domains == KVL_MAX_DOMAINS) {
		spin_unlock(&pool->domain_lock);
		kfree(d);
		return ERR_PTR(-EUSERS);
	}
	if (parent) {
		d->parent = kvl_domain_get(parent);
		d->depth = parent->depth + 1;
		list_add_tail(&d->sibling, &parent->children);
	}
	list_add_tail(&d->all, &pool->domains);
	pool->nr_domains++;
	spin_unlock(&pool->domain_lock);
	atomic_inc(&kvl_objects.domains);
	return d;
}

struct kvl_domain *kvl_domain_get(struct kvl_domain *d)
{
	kref_get(&d->ref);
	return d;
}

void kvl_domain_mark_cache(struct kvl_domain *d, bool on)
{
	struct kvl_domain *i;

	lockdep_assert_held(&d->pool->domain_lock);
	if (d->cache.on == on)
		return;
	WRITE_ONCE(d->cache.on, on);
	for (i = d; i; i = i->parent)
		WRITE_ONCE(i->nr_caches, i->nr_caches + (on ? 1 : -1));
}

static void release(struct kref *ref)
{
	struct kvl_domain *d = container_of(ref, struct kvl_domain, ref);
	struct kvl_domain *parent = d->parent;
	struct kvl_pool *pool = d->pool;
	unsigned int i;

	WARN_ON_ONCE(atomic64_read(&d->charged));
	for (i = 0; i < KVLIFT_NR_TIERS; i++) {
		WARN_ON_ONCE(atomic64_read(&d->tier[i].blocks));
		WARN_ON_ONCE(atomic64_read(&d->tier[i].pending));
		WARN_ON_ONCE(atomic64_read(&d->tier[i].leaving));
	}
	spin_lock(&pool->domain_lock);
	kvl_domain_mark_cache(d, false);
	list_del(&d->sibling);
	list_del(&d->all);
	pool->nr_domains--;
	spin_unlock(&pool->domain_lock);
	kvl_cache_destroy(&d->cache);
	kfree(d);
	atomic_dec(&kvl_objects.domains);
	/* As deep as domains nest. */
	if (parent)
		kvl_domain_put(parent);
}

void kvl_domain_put(struct kvl_domain *d)
{
	kref_put(&d->ref, release);
}

struct kvl_domain *kvl_domain_of(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_domain *d;

	spin_lock(&pool->domain_lock);
	d = kvl_domain_get(r->domain);
	spin_unlock(&pool->domain_lock);
	return d;
}

void kvl_domain_removed(struct kvl_region *dir)
{
	struct kvl_domain *d = dir->domain;
	unsigned int i;

	if (d->id != dir->id)
		return;
	spin_lock(&d->pool->domain_lock);
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		d->tier[i].guarantee = 0;
	spin_unlock(&d->pool->domain_lock);
}

/* Never too many for a moment: somebody else would fail for it. */
static bool charge_one(struct kvl_domain *d, u64 blocks)
{
	s64 old = atomic64_read(&d->charged);
	u64 max = READ_ONCE(d->max_charged);

	do {
		if (old + blocks > max)
			return false;
	} while (!atomic64_try_cmpxchg(&d->charged, &old, old + blocks));
	/* As good as it gets without a lock. */
	if (old + blocks > READ_ONCE(d->peak))
		WRITE_ONCE(d->peak, old + blocks);
	return true;
}

static int full(struct kvl_domain *d)
{
	atomic64_inc(&d->hits);
	kvl_count(d->pool, KVL_C_DOMAIN_FULL);
	trace_kvlift_limit(d->pool->id, d->id, KVLIFT_NR_TIERS,
			   atomic64_read(&d->charged),
			   READ_ONCE(d->max_charged));
	return -EDQUOT;
}

int kvl_domain_charge(struct kvl_domain *d, u64 blocks)
{
	struct kvl_domain *i, *end;

	for (end = d; end; end = end->parent)
		if (!charge_one(end, blocks))
			break;
	if (likely(!end))
		return 0;
	for (i = d; i != end; i = i->parent)
		atomic64_sub(blocks, &i->charged);
	return full(end);
}

void kvl_domain_uncharge(struct kvl_domain *d, u64 blocks)
{
	for (; d; d = d->parent)
		atomic64_sub(blocks, &d->charged);
}

int kvl_domain_check(struct kvl_domain *d, u64 blocks)
{
	for (; d; d = d->parent)
		if (atomic64_read(&d->charged) + blocks >
		    READ_ONCE(d->max_charged))
			return full(d);
	return 0;
}

void kvl_domain_view(struct kvl_domain *d, s64 *capacity, s64 *used)
{
	s64 room = max(*capacity - *used, 0);

	for (; d; d = d->parent) {
		u64 max = READ_ONCE(d->max_charged);
		s64 charged = atomic64_read(&d->charged);

		if (max >= *capacity)
			continue;
		/* What is free is free here and in everything around. */
		room = min(room, max((s64)max - charged, 0));
		*capacity = max;
		*used = max - room;
	}
}

static u64 held(struct kvl_domain_tier *dt)
{
	/* In this order: what is published moves from the one to the other. */
	s64 pending = atomic64_read(&dt->pending);

	return max(pending + atomic64_read(&dt->blocks), 0);
}

bool kvl_domain_may_place(struct kvl_domain *d, unsigned int tier)
{
	for (; d; d = d->parent) {
		u64 limit = READ_ONCE(d->tier[tier].limit);

		if (limit && held(&d->tier[tier]) >= limit)
			return false;
	}
	return true;
}

void kvl_domain_press(struct kvl_domain *d, struct kvl_tier *t)
{
	WRITE_ONCE(d->tier[t->id].pressed, get_jiffies_64());
	/* The worker that sees it sees what is above, too. */
	smp_store_release(&t->pressed, true);
	kvl_reclaim_kick(t);
}

/* The limit of @d is in the way. */
static void refuse(struct kvl_domain *d, struct kvl_tier *t)
{
	struct kvl_domain_tier *dt = &d->tier[t->id];

	if (!READ_ONCE(dt->refused_since))
		WRITE_ONCE(dt->refused_since, get_jiffies_64());
	atomic64_inc(&dt->hits);
	kvl_count(d->pool, KVL_C_DOMAIN_LIMITED);
	trace_kvlift_limit(d->pool->id, d->id, t->id, held(dt),
			   READ_ONCE(dt->limit));
	kvl_domain_press(d, t);
}

bool kvl_domain_admit(struct kvl_domain *d, struct kvl_tier *t)
{
	for (; d; d = d->parent) {
		u64 limit = READ_ONCE(d->tier[t->id].limit);

		if (limit && held(&d->tier[t->id]) >= limit) {
			refuse(d, t);
			return false;
		}
	}
	return true;
}

static bool reserve_one(struct kvl_domain *d, unsigned int tier, bool force)
{
	struct kvl_domain_tier *dt = &d->tier[tier];
	u64 limit = READ_ONCE(dt->limit);
	s64 old = atomic64_read(&dt->pending);

	do {
		if (limit && !force &&
		    old + atomic64_read(&dt->blocks) >= (s64)limit)
			return false;
	} while (!atomic64_try_cmpxchg(&dt->pending, &old, old + 1));
	return true;
}

static void unreserve(struct kvl_domain *d, struct kvl_domain *end,
		      unsigned int tier)
{
	for (; d != end; d = d->parent)
		atomic64_dec(&d->tier[tier].pending);
}

int kvl_domain_alloc(struct kvl_tier *t, struct kvl_region *r, int node,
		     bool force, u64 *addr)
{
	struct kvl_domain *d = r->domain, *i;
	int err;

	for (i = d; i; i = i->parent) {
		if (!reserve_one(i, t->id, force)) {
			unreserve(d, i, t->id);
			refuse(i, t);
			return -EDQUOT;
		}
	}
	err = kvl_tier_alloc(t, node, addr);
	if (err) {
		unreserve(d, NULL, t->id);
		return err;
	}
	kvl_mem_slot(d->pool, *addr)->placed = d;
	/* One block at a time: the next needs as much patience. */
	for (i = d; force && i; i = i->parent)
		if (READ_ONCE(i->tier[t->id].refused_since))
			WRITE_ONCE(i->tier[t->id].refused_since,
				   get_jiffies_64());
	return 0;
}

bool kvl_domain_stuck(struct kvl_domain *d, unsigned int tier)
{
	for (; d; d = d->parent) {
		struct kvl_domain_tier *dt = &d->tier[tier];
		u64 since = READ_ONCE(dt->refused_since);

		/* A slow device is no reason. */
		if (since && !atomic64_read(&dt->leaving) &&
		    !time_before64(get_jiffies_64(),
				   since + KVL_LIMIT_PATIENCE))
			return true;
	}
	return false;
}

/* Nobody but the caller can reach the slot, or it holds the block's lock. */
void kvl_domain_settle(struct kvl_pool *pool, struct kvl_slot *s)
{
	struct kvl_domain *d = s->placed;

	s->placed = NULL;
	unreserve(d, NULL, kvl_addr_tier(s->addr));
	/*
	 * Until now the block may have counted twice, and somebody may wait
	 * because of it.
	 */
	kvl_pool_slot_freed(pool);
}

u64 kvl_domain_over_one(struct kvl_domain *d, struct kvl_tier *t)
{
	struct kvl_domain_tier *dt = &d->tier[t->id];
	u64 pressed = READ_ONCE(dt->pressed), limit = dt->limit;
	s64 have, want;

	lockdep_assert_held(&d->pool->domain_lock);
	if (!pressed)
		return 0;
	have = held(dt) - atomic64_read(&dt->leaving) - dt->planned;
	want = limit - headroom(limit);
	/* Nobody has asked for a while: good enough. */
	if (!time_before64(get_jiffies_64(), pressed + KVL_LIMIT_PATIENCE))
		want = limit;
	if (limit && have > want)
		return have - want;
	WRITE_ONCE(dt->pressed, 0);
	return 0;
}

u64 kvl_domain_over(struct kvl_tier *t)
{
	struct kvl_pool *pool = t->pool;
	struct kvl_domain *d;
	u64 over = 0;

	if (likely(!READ_ONCE(t->pressed)))
		return 0;
	/* Who presses from here on is seen the next time. */
	xchg(&t->pressed, false);
	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all) {
		d->tier[t->id].planned = 0;
		over += kvl_domain_over_one(d, t);
		if (READ_ONCE(d->tier[t->id].pressed))
			WRITE_ONCE(t->pressed, true);
	}
	spin_unlock(&pool->domain_lock);
	return over;
}

static u64 share(u64 blocks, u32 percent)
{
	return div_u64(blocks * percent, 100);
}

static u64 lease_cap(struct kvl_domain *d, unsigned int tier)
{
	u64 limit = READ_ONCE(d->tier[tier].limit);

	return share(limit ?: READ_ONCE(d->pool->tiers[tier].slots),
		     READ_ONCE(d->lease_percent));
}

u64 kvl_domain_lease_cap(struct kvl_domain *d, unsigned int tier)
{
	u64 cap = U64_MAX;

	for (; d; d = d->parent)
		cap = min(cap, lease_cap(d, tier));
	return cap;
}

static void unlease(struct kvl_domain *d, struct kvl_domain *end,
		    unsigned int tier, enum kvl_lease what)
{
	for (; d != end; d = d->parent)
		atomic64_dec(&d->tier[tier].leased[what]);
}

/* False when a cap of the chain is reached. */
bool kvl_domain_lease(struct kvl_domain *d, unsigned int tier,
		      enum kvl_lease what)
{
	struct kvl_domain *i;

	for (i = d; i; i = i->parent) {
		if (atomic64_inc_return(&i->tier[tier].leased[what]) <=
		    lease_cap(i, tier))
			continue;
		unlease(d, i->parent, tier, what);
		return false;
	}
	return true;
}

u64 kvl_domain_leases_left(struct kvl_domain *d, unsigned int tier)
{
	s64 left = S64_MAX;

	for (; d; d = d->parent)
		left = min(left, (s64)lease_cap(d, tier) -
					 atomic64_read(&d->tier[tier].leased[KVL_LEASE]));
	return max(left, 0);
}

void kvl_domain_unlease(struct kvl_domain *d, unsigned int tier,
			enum kvl_lease what)
{
	unlease(d, NULL, tier, what);
}

u64 kvl_domain_pin_cap(struct kvl_domain *d, unsigned int tier)
{
	u64 slots = READ_ONCE(d->pool->tiers[tier].slots), cap = slots;

	for (; d; d = d->parent)
		cap = min(cap, share(READ_ONCE(d->tier[tier].limit) ?: slots,
				     READ_ONCE(d->pin_percent)));
	return cap;
}

bool kvl_domain_pin(struct kvl_domain *d, unsigned int tier, u64 slots)
{
	struct kvl_tier *t = &d->pool->tiers[tier];
	u64 all = READ_ONCE(t->slots);
	struct kvl_domain *i;
	unsigned int n;

	/* What windows have is not counted as the tier's. */
	for (n = 0; n < t->nr_members; n++)
		all += READ_ONCE(t->members[n]->nwindow);
	for (i = d; i; i = i->parent) {
		u64 base = READ_ONCE(i->tier[tier].limit) ?: all;

		if (atomic64_add_return(slots, &i->tier[tier].pinned) >
		    share(base, READ_ONCE(i->pin_percent)))
			break;
	}
	if (!i)
		return true;
	for (; d != i->parent; d = d->parent)
		atomic64_sub(slots, &d->tier[tier].pinned);
	return false;
}

void kvl_domain_unpin(struct kvl_domain *d, unsigned int tier, u64 slots)
{
	for (; d; d = d->parent)
		atomic64_sub(slots, &d->tier[tier].pinned);
}

/*
 * Rate of prefetch: tokens of a block each, refilled with time, as many as
 * make a tenth of a second at most. Only the pool's one prefetch worker is
 * here.
 */
static bool has_token(struct kvl_domain *d)
{
	u64 rate = READ_ONCE(d->willneed_rate), gain, now;
	s64 full = max(rate / 10, 1ULL);

	if (!rate)
		return true;
	now = ktime_get_ns();
	if (now - d->willneed_at >= NSEC_PER_SEC)
		d->willneed_at = now - NSEC_PER_SEC;
	gain = mul_u64_u64_div_u64(now - d->willneed_at, rate, NSEC_PER_SEC);
	d->willneed_left += gain;
	d->willneed_at += mul_u64_u64_div_u64(gain, NSEC_PER_SEC, rate);
	if (d->willneed_left >= full) {
		d->willneed_left = full;
		d->willneed_at = now;
	}
	return d->willneed_left > 0;
}

bool kvl_domain_may_prefetch(struct kvl_domain *d)
{
	for (; d; d = d->parent)
		if (!has_token(d))
			return false;
	return true;
}

void kvl_domain_prefetched(struct kvl_domain *d)
{
	for (; d; d = d->parent)
		if (READ_ONCE(d->willneed_rate))
			d->willneed_left--;
}
