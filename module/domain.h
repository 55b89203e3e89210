/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A domain: a directory with properties that everything below it inherits.
 * The root of the pool is one; others are made by KVLIFT_IOC_DOMAIN_SET and
 * nest. Counts go up the chain: those of a domain include those of the
 * domains inside it, and limits of all enclosing domains apply.
 *
 * Lifetime: counted; every inode of the domain and every domain inside it
 * holds a reference. A file that is open after its directory was removed
 * keeps the domain, less its guarantees.
 * Locks: pool->domain_lock, outside tier->lru_lock, protects the tree, the
 * properties and @planned, and keeps the domains it is held over from being
 * freed; who only looks at a property needs no lock. A slot is in the list of
 * its domain under tier->lru_lock. Which domain an inode belongs to changes
 * only for an empty directory, under its i_rwsem and pool->domain_lock.
 */
#ifndef KVL_DOMAIN_H
#define KVL_DOMAIN_H

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/kvlift.h>
#include <linux/list.h>

#include "cache.h"
#include "tier.h"

struct file;
struct kvl_pool;
struct kvl_region;
struct kvl_slot;
struct kvl_tier;

/* Region id of the root directory, the first inode of a pool. */
#define KVL_ROOT_ID		1

/* Domains of a pool. */
#define KVL_MAX_DOMAINS		1024

/* A limit that stands in the way and makes no progress gives way after this. */
#define KVL_LIMIT_PATIENCE	(2 * HZ)

/* Who keeps a block where it is. */
enum kvl_lease {
	KVL_LEASE,
	KVL_LEASE_MOVER, /* it is on its way to a GPU, and stays until then */
	KVL_NR_LEASES,
};

/**
 * struct kvl_domain_tier - a domain's part of one tier
 * @blocks:	blocks whose home is there
 * @pending:	slots taken for blocks that are not published yet; counted only
 *		where a limit applied when they were taken
 * @leaving:	blocks on their way out
 * @reclaimed:	blocks that reclaim has moved out
 * @hits:	times @limit stood in the way
 * @leased:	leases on its blocks there, and those that movers have, both up to
 *		the cap, so that neither is in the way of the other
 * @pinned:	slots of windows
 * @lru:	slots of blocks of the domain itself, not of those inside it,
 *		most recently touched first (memory tiers)
 * @limit:	most @blocks, 0 for none
 * @guarantee:	@blocks that are not taken while others have more than theirs
 * @pressed:	when somebody last was in need of room below @limit (jiffies),
 *		0 when there is some
 * @refused_since: since when @limit has been in the way with no block leaving
 *		(jiffies), 0 when it is not
 * @planned:	victims chosen by the call that is under way
 */
struct kvl_domain_tier {
	atomic64_t blocks;
	atomic64_t pending;
	atomic64_t leaving;
	atomic64_t reclaimed;
	atomic64_t hits;
	atomic64_t leased[KVL_NR_LEASES];
	atomic64_t pinned;
	struct list_head lru;
	u64 limit;
	u64 guarantee;
	u64 pressed;
	u64 refused_since;
	s64 planned;
};

/**
 * struct kvl_domain
 * @id:		region id of the directory
 * @depth:	0 for the root
 * @charged:	blocks stored or reserved, in any tier
 * @peak:	most that @charged has been
 * @hits:	charges refused
 * @max_charged: what @total_limit and the limits of the tiers together allow,
 *		U64_MAX for no bound
 * @nr_caches:	domains in it, itself among them, that are caches
 */
struct kvl_domain {
	struct kref ref;
	struct kvl_pool *pool;
	struct kvl_domain *parent;
	u64 id;
	unsigned int depth;
	struct list_head all;		/* in pool->domains */
	struct list_head sibling;
	struct list_head children;

	struct kvl_domain_tier tier[KVLIFT_NR_TIERS];
	atomic64_t charged;
	atomic64_t hits;
	u64 peak;
	u64 max_charged;

	u64 total_limit;
	u64 willneed_rate;
	u64 willneed_at;	/* ns; this and the next: the prefetch worker's */
	s64 willneed_left;
	u32 weight;
	u32 lease_percent;
	u32 pin_percent;
	u16 advisor;		/* of its own policy, 0: that of the one around it */

	unsigned int nr_caches;
	struct kvl_cache cache;	/* cache.h; its mark by pool->domain_lock */
	struct kvl_room room;
};

/* -ENOMEM, -EUSERS. @parent is NULL for the root. */
struct kvl_domain *kvl_domain_create(struct kvl_pool *pool,
				     struct kvl_domain *parent, u64 id);
struct kvl_domain *kvl_domain_get(struct kvl_domain *d);
void kvl_domain_put(struct kvl_domain *d);

/* What total_limit and the limits of the tiers together allow. */
u64 kvl_domain_bound(const struct kvl_domain *d);

/* The domain of an inode, which may be a directory that becomes one. */
struct kvl_domain *kvl_domain_of(struct kvl_region *r);

/* Sets or takes off the mark of a cache. Needs pool->domain_lock. */
void kvl_domain_mark_cache(struct kvl_domain *d, bool on);

/* The directory has no name any more: its guarantees go to others. */
void kvl_domain_removed(struct kvl_region *dir);

/* Charges. -EDQUOT when a limit on the chain does not allow it. */
int kvl_domain_charge(struct kvl_domain *d, u64 blocks);
void kvl_domain_uncharge(struct kvl_domain *d, u64 blocks);
/* Whether so many could be charged just now, or -EDQUOT. */
int kvl_domain_check(struct kvl_domain *d, u64 blocks);
/* To a domain with a limit the pool is as large as that, as with quotas. */
void kvl_domain_view(struct kvl_domain *d, s64 *capacity, s64 *used);

/* Blocks of @d in a tier have become more or fewer. */
static inline void kvl_domain_account(struct kvl_domain *d, unsigned int tier,
				      int delta)
{
	for (; d; d = d->parent) {
		struct kvl_domain_tier *dt = &d->tier[tier];

		atomic64_add(delta, &dt->blocks);
		if (delta < 0 && READ_ONCE(dt->refused_since))
			WRITE_ONCE(dt->refused_since, 0);
	}
}

/* A block of @d is on its way out of the tier, or (-1) is not any more. */
static inline void kvl_domain_leaving(struct kvl_domain *d, unsigned int tier,
				      int delta)
{
	for (; d; d = d->parent)
		atomic64_add(delta, &d->tier[tier].leaving);
}

/* Reclaim has moved a block of @d out of the tier. */
static inline void kvl_domain_reclaimed(struct kvl_domain *d,
					unsigned int tier)
{
	for (; d; d = d->parent)
		atomic64_inc(&d->tier[tier].reclaimed);
}

static inline bool kvl_domain_limited(struct kvl_domain *d, unsigned int tier)
{
	for (; d; d = d->parent)
		if (READ_ONCE(d->tier[tier].limit))
			return true;
	return false;
}

/* True when one more block of @d may have its home in the tier. */
bool kvl_domain_may_place(struct kvl_domain *d, unsigned int tier);
/* The same for a block on its way down; if not, room is asked for. */
bool kvl_domain_admit(struct kvl_domain *d, struct kvl_tier *t);

/*
 * Takes a slot for a block of @r where limits apply. -EDQUOT: a limit is in
 * the way; reclaim has been asked to make room among the domain's own blocks.
 * -ENOSPC: the tier has no free slot. With @force the limit gives way.
 */
int kvl_domain_alloc(struct kvl_tier *t, struct kvl_region *r, int node,
		     bool force, u64 *addr);
/* Asks reclaim for room below the limit of @d. */
void kvl_domain_press(struct kvl_domain *d, struct kvl_tier *t);
/* True when the limit has been in the way for too long. */
bool kvl_domain_stuck(struct kvl_domain *d, unsigned int tier);
/* The slot is published, or free again. */
void kvl_domain_settle(struct kvl_pool *pool, struct kvl_slot *s);

/* Blocks that limits want out of the tier, and of one domain. */
u64 kvl_domain_over(struct kvl_tier *t);
u64 kvl_domain_over_one(struct kvl_domain *d, struct kvl_tier *t);

/* Caps, in blocks of the tier: the strictest of the chain. */
u64 kvl_domain_lease_cap(struct kvl_domain *d, unsigned int tier);
/* A lease on a block in the tier is taken, or given back. */
bool kvl_domain_lease(struct kvl_domain *d, unsigned int tier,
		      enum kvl_lease what);
/* How many more there may be just now. */
u64 kvl_domain_leases_left(struct kvl_domain *d, unsigned int tier);
void kvl_domain_unlease(struct kvl_domain *d, unsigned int tier,
			enum kvl_lease what);
u64 kvl_domain_pin_cap(struct kvl_domain *d, unsigned int tier);
/* Slots are pinned for good, or are not any more. False: above a cap. */
bool kvl_domain_pin(struct kvl_domain *d, unsigned int tier, u64 slots);
void kvl_domain_unpin(struct kvl_domain *d, unsigned int tier, u64 slots);

/* Whether the rates of the chain let prefetch bring a block; that it does. */
bool kvl_domain_may_prefetch(struct kvl_domain *d);
void kvl_domain_prefetched(struct kvl_domain *d);

/* domain_ctl.c */
long kvl_domain_ioctl_set(struct file *file, void __user *arg);
long kvl_domain_ioctl_get(struct file *file, void __user *arg);
ssize_t kvl_domain_show_all(struct kvl_pool *pool, char *buf);

#endif /* KVL_DOMAIN_H */
