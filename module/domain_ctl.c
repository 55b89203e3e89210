// SPDX-License-Identifier: GPL-2.0-only
/* How domains are made, changed and shown. */
#include <linux/mount.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "domain.h"
#include "region.h"

static_assert(sizeof(struct kvlift_domain) == 336);

/* Blocks that the domains inside @parent, but for @but, are guaranteed. */
static u64 guaranteed(struct kvl_domain *parent, struct kvl_domain *but,
		      unsigned int id)
{
	struct kvl_domain *d;
	u64 sum = 0;

	list_for_each_entry(d, &parent->children, sibling)
		if (d != but)
			sum += d->tier[id].guarantee;
	return sum;
}

/*
 * What @d, or a new domain if it is NULL, can be guaranteed beside the others
 * inside @parent: a part of what that is, or of the slots that reclaim does
 * not keep free. The root is guaranteed nothing: it has everything.
 */
static u64 guarantee_max(struct kvl_domain *parent, struct kvl_domain *d,
			 unsigned int id)
{
	struct kvl_tier *t;
	u64 have, taken;

	if (!parent)
		return 0;
	lockdep_assert_held(&parent->pool->domain_lock);
	t = &parent->pool->tiers[id];
	if (!kvl_tier_below(parent->pool, id) || !t->nr_members)
		return 0;
	if (parent->parent)
		have = parent->tier[id].guarantee;
	else
		have = READ_ONCE(t->slots) - READ_ONCE(t->high);
	taken = guaranteed(parent, d, id);
	return have > taken ? have - taken : 0;
}

static long check_values(struct kvl_pool *pool, const struct kvlift_domain *u)
{
	unsigned int id, slowest = 0;
	bool unlimited = false;

	/* Others are only given out. */
	if (u->flags & ~(KVLIFT_DOMAIN_HERE | KVLIFT_DOMAIN_CACHE))
		return -EINVAL;
	if (u->pad || memchr_inv(u->reserved, 0, sizeof(u->reserved)) ||
	    !u->weight || u->weight > KVLIFT_DOMAIN_WEIGHT_MAX ||
	    u->lease_percent > 100 || u->pin_percent > 100 ||
	    u->total_limit > KVLIFT_DOMAIN_BLOCKS_MAX ||
	    u->willneed_rate > KVLIFT_DOMAIN_BLOCKS_MAX)
		return -EINVAL;
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		if (!kvl_pool_has_tier(pool, id)) {
			if (u->limit[id] || u->guarantee[id])
				return -EINVAL;
			continue;
		}
		slowest = id;
		if (u->limit[id] > KVLIFT_DOMAIN_BLOCKS_MAX ||
		    u->guarantee[id] > KVLIFT_DOMAIN_BLOCKS_MAX ||
		    (u->limit[id] && u->guarantee[id] > u->limit[id]))
			return -EINVAL;
	}
	for (id = KVLIFT_TIER_DRAM; id < slowest; id++)
		if (kvl_pool_has_tier(pool, id) && !u->limit[id])
			unlimited = true;
	/*
	 * Nothing leaves the slowest tier: what cannot go down to it would
	 * take the faster ones without bound.
	 */
	if ((u->limit[slowest] && unlimited) || u->guarantee[slowest])
		return -EINVAL;
	return 0;
}

static long check_guarantees(struct kvl_domain *d,
			     const struct kvlift_domain *u)
{
	unsigned int id;

	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		u64 g = u->guarantee[id];

		if (!d->parent && g)
			return -EINVAL;
		if (g > d->tier[id].guarantee && g > guarantee_max(d->parent, d, id))
			return -ENOSPC;
		if (d->parent && g < guaranteed(d, NULL, id))
			return -EBUSY;
	}
	return 0;
}

static long apply(struct kvl_domain *d, const struct kvlift_domain *u)
{
	struct kvl_pool *pool = d->pool;
	unsigned int id;
	long err;

	spin_lock(&pool->domain_lock);
	err = check_guarantees(d, u);
	if (err) {
		spin_unlock(&pool->domain_lock);
		return err;
	}
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		WRITE_ONCE(d->tier[id].limit, u->limit[id]);
		d->tier[id].guarantee = u->guarantee[id];
	}
	d->total_limit = u->total_limit;
	WRITE_ONCE(d->max_charged, kvl_domain_bound(d));
	WRITE_ONCE(d->willneed_rate, u->willneed_rate);
	WRITE_ONCE(d->lease_percent, u->lease_percent);
	WRITE_ONCE(d->pin_percent, u->pin_percent);
	d->weight = u->weight;
	kvl_domain_mark_cache(d, u->flags & KVLIFT_DOMAIN_CACHE);
	spin_unlock(&pool->domain_lock);
	/* What is above a limit now has to go. */
	for (id = 0; id < KVLIFT_NR_TIERS; id++)
		if (u->limit[id] &&
		    atomic64_read(&d->tier[id].blocks) > (s64)u->limit[id])
			kvl_domain_press(d, &pool->tiers[id]);
	if (READ_ONCE(d->nr_caches))
		kvl_cache_look(d);
	/* Who waits may not need to any more. */
	kvl_pool_slot_freed(pool);
	return 0;
}

/* Makes the empty directory a domain. Needs its i_rwsem. */
static long create(struct kvl_region *r, struct dentry *dentry,
		   const struct kvlift_domain *u)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_domain *d, *old = r->domain;
	long err;

	if (IS_DEADDIR(&r->inode))
		return -ENOENT;
	if (!simple_empty(dentry))
		return -ENOTEMPTY;
	if (old->depth == KVLIFT_DOMAIN_DEPTH)
		return -EMLINK;
	d = kvl_domain_create(pool, old, r->id);
	if (IS_ERR(d))
		return PTR_ERR(d);
	err = apply(d, u);
	if (err) {
		kvl_domain_put(d);
		return err;
	}
	spin_lock(&pool->domain_lock);
	r->domain = d;
	spin_unlock(&pool->domain_lock);
	kvl_domain_put(old);
	return 0;
}

/*
 * Not the owner of the directory: a tenant must not raise its own limits. The
 * owner of the root is who the pool was given to at mount (uid=).
 */
static bool may_set(struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	struct inode *root = d_inode(sb->s_root);

	return vfsuid_eq_kuid(i_uid_into_vfsuid(file_mnt_idmap(file), root),
			      current_fsuid()) ||
	       ns_capable(sb->s_user_ns, CAP_SYS_ADMIN);
}

long kvl_domain_ioctl_set(struct file *file, void __user *arg)
{
	struct inode *inode = file_inode(file);
	struct kvl_region *r = kvl_region(inode);
	struct kvlift_domain u;
	bool was_cache;
	long err;

	if (!S_ISDIR(inode->i_mode))
		return -ENOTTY;
	if (!may_set(file))
		return -EPERM;
	if (copy_from_user(&u, arg, sizeof(u)))
		return -EFAULT;
	err = check_values(kvl_region_pool(r), &u);
	if (err)
		return err;
	err = mnt_want_write_file(file);
	if (err)
		return err;
	/* Those of its files come inside of it. */
	inode_lock_nested(inode, I_MUTEX_PARENT);
	was_cache = r->domain->id == r->id && r->domain->cache.on;
	if (r->domain->id == r->id)
		err = apply(r->domain, &u);
	else
		err = create(r, file->f_path.dentry, &u);
	if (!err && was_cache && !(u.flags & KVLIFT_DOMAIN_CACHE))
		kvl_cache_empty(r->domain);
	else if (!err && !was_cache && u.flags & KVLIFT_DOMAIN_CACHE)
		kvl_cache_fill(r->domain);
	inode_unlock(inode);
	mnt_drop_write_file(file);
	return err;
}

static void fill(struct kvl_domain *d, struct kvlift_domain *u, bool here)
{
	unsigned int id;

	if (here)
		u->flags |= KVLIFT_DOMAIN_HERE;
	if (d->cache.on)
		u->flags |= KVLIFT_DOMAIN_CACHE;
	u->id = d->id;
	u->parent = d->parent ? d->parent->id : 0;
	u->depth = d->depth;
	u->weight = d->weight;
	u->lease_percent = d->lease_percent;
	u->pin_percent = d->pin_percent;
	u->willneed_rate = d->willneed_rate;
	u->total_limit = d->total_limit;
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		struct kvl_domain_tier *dt = &d->tier[id];

		u->limit[id] = dt->limit;
		u->guarantee[id] = dt->guarantee;
		u->guarantee_max[id] = here ? guarantee_max(d->parent, d, id) :
					      guarantee_max(d, NULL, id);
		u->blocks[id] = max(atomic64_read(&dt->blocks), 0);
		u->reclaimed[id] = atomic64_read(&dt->reclaimed);
		u->limit_hits[id] = atomic64_read(&dt->hits);
	}
	u->charged = atomic64_read(&d->charged);
	u->peak = READ_ONCE(d->peak);
	u->total_hits = atomic64_read(&d->hits);
	u->cache_files = kvl_s3_nr(&d->cache.s3);
	u->cache_dropped = atomic64_read(&d->cache.dropped);
	u->cache_dropped_bytes = atomic64_read(&d->cache.bytes);
	u->cache_waits = atomic64_read(&d->cache.waits);
	u->cache_refused = atomic64_read(&d->cache.refused);
	u->pinned = atomic64_read(&d->tier[KVLIFT_TIER_DRAM].pinned) +
		    atomic64_read(&d->tier[KVLIFT_TIER_CXL].pinned);
}

long kvl_domain_ioctl_get(struct file *file, void __user *arg)
{
	struct kvl_region *r = kvl_region(file_inode(file));
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvlift_domain u = {};

	spin_lock(&pool->domain_lock);
	fill(r->domain, &u, r->domain->id == r->id);
	spin_unlock(&pool->domain_lock);
	return copy_to_user(arg, &u, sizeof(u)) ? -EFAULT : 0;
}

static int show_cache(struct kvl_domain *d, char *buf, int len)
{
	struct kvl_cache *c = &d->cache;

	if (!c->on)
		return 0;
	return sysfs_emit_at(buf, len,
			     " cache_files=%llu dropped=%lld dropped_bytes=%lld waits=%lld refused=%lld cache_memory=%zu",
			     kvl_s3_nr(&c->s3),
			     (s64)atomic64_read(&c->dropped),
			     (s64)atomic64_read(&c->bytes),
			     (s64)atomic64_read(&c->waits),
			     (s64)atomic64_read(&c->refused),
			     kvl_cache_memory(c));
}

/* A line per domain, parents before children; as many as fit into a page. */
ssize_t kvl_domain_show_all(struct kvl_pool *pool, char *buf)
{
	struct kvl_domain *d;
	unsigned int id;
	int len = 0;

	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all) {
		len += sysfs_emit_at(buf, len,
				     "id=%llu parent=%llu weight=%u charged=%lld peak=%llu limit=%llu hits=%lld",
				     d->id, d->parent ? d->parent->id : 0,
				     d->weight,
				     (s64)atomic64_read(&d->charged), d->peak,
				     d->total_limit,
				     (s64)atomic64_read(&d->hits));
		for (id = 0; id < KVLIFT_NR_TIERS; id++) {
			struct kvl_domain_tier *dt = &d->tier[id];

			if (!kvl_pool_has_tier(pool, id))
				continue;
			len += sysfs_emit_at(buf, len,
					     " %s=%lld/%llu/%llu",
					     kvl_tier_name(id),
					     (s64)atomic64_read(&dt->blocks),
					     dt->limit, dt->guarantee);
		}
		len += show_cache(d, buf, len);
		len += sysfs_emit_at(buf, len, "\n");
	}
	spin_unlock(&pool->domain_lock);
	return len;
}
