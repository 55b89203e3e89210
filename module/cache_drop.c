// SPDX-License-Identifier: GPL-2.0-only
/* The worker that drops files of cache directories; races: cache.h. */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "domain.h"
#include "region.h"
#include "trace.h"

/* Steps of a search with the lock held. */
#define STEPS		256

/* Drops for one budget before the next one has its turn. */
#define TURN		64

/* Between two passes for somebody who waits while nothing can go. */
#define AGAIN		(HZ / 50)

/* Ahead of need nothing is tried for so long after it was in vain. */
#define REST		(HZ / 10)

u32 kvl_cache_tag(struct kvl_pool *pool, struct dentry *dentry)
{
	struct dentry *parent = dget_parent(dentry);
	u64 dir = kvl_region(d_inode(parent))->id;
	struct name_snapshot n;
	u64 hash;

	dput(parent);
	take_dentry_name_snapshot(&n, dentry);
	hash = siphash(n.name.name, n.name.len, &pool->cache.key);
	release_dentry_name_snapshot(&n);
	return siphash_2u64(hash, dir, &pool->cache.key);
}

/* Not one of O_TMPFILE beside that with the name. */
static bool has_one_dentry(struct inode *inode)
{
	struct hlist_node *first;
	bool one;

	spin_lock(&inode->i_lock);
	first = inode->i_dentry.first;
	one = first && !first->next;
	spin_unlock(&inode->i_lock);
	return one;
}

/*
 * A device, or somebody with a lease, holds a block; or, but with @force, it is
 * locked.
 */
static bool is_held(struct kvl_region *r, bool force)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_block *b;
	bool held = false;
	u64 i;

	for (i = 0; !held && (b = kvl_region_next(r, &i, U64_MAX >> 8)); i++) {
		struct kvl_slot *s;

		if (!kvl_block_trylock(b)) {
			held = !force;
			continue;
		}
		if (kvl_addr_has_slot(kvl_block_home(b))) {
			s = kvl_mem_slot(pool, kvl_block_home(b));
			held = s->leases ||
			       (s->folio && folio_ref_count(s->folio) >
						    1 + s->pins +
							    folio_mapcount(s->folio));
		}
		kvl_block_unlock(b);
		cond_resched();
	}
	return held;
}

/*
 * An open file, a mapping or a look-up holds the dentry: -EBUSY. A move, a
 * lease, a prefetch, or an open file made by O_TMPFILE holds the inode, most of
 * them for a moment: -EAGAIN.
 */
static int check_unused(struct kvl_region *r, struct dentry *alias, bool force)
{
	if (d_count(alias) != 2 || r->inode.i_nlink != 1 || d_mountpoint(alias))
		return -EBUSY;
	if (is_held(r, force) ||
	    (atomic_read(&r->inode.i_count) != 2 &&
	     !(force && has_one_dentry(&r->inode))))
		return -EAGAIN;
	return 0;
}

/* -ENOENT: no name; as above; or what unlink(2) would say. */
static int unlink_file(struct kvl_region *r, u32 *tag)
{
	struct dentry *alias = d_find_alias(&r->inode), *parent;
	struct inode *dir;
	int err;

	if (!alias)
		return -ENOENT;
	parent = dget_parent(alias);
	dir = d_inode(parent);
	inode_lock_nested(dir, I_MUTEX_PARENT);
	if (alias->d_parent != parent || d_unhashed(alias))
		err = -EAGAIN;
	else
		err = check_unused(r, alias,
				   kvl_region_pool(r)->cache.force);
	if (!err) {
		*tag = kvl_cache_tag(kvl_region_pool(r), alias);
		err = vfs_unlink(&nop_mnt_idmap, dir, alias, NULL);
		/* Somebody has just given it another name. */
		if (!err && READ_ONCE(r->inode.i_nlink))
			err = -EMLINK;
	}
	inode_unlock(dir);
	dput(alias);
	dput(parent);
	return err;
}

/* What remount, freeze and umount hold; none of them is kept waiting. */
static bool begin(struct kvl_pool *pool)
{
	struct super_block *sb = pool->sb;

	if (!down_read_trylock(&sb->s_umount))
		return false;
	if (!sb_rdonly(sb) && sb->s_writers.frozen == SB_UNFROZEN)
		return true;
	up_read(&sb->s_umount);
	return false;
}

static void end(struct kvl_pool *pool)
{
	up_read(&pool->sb->s_umount);
}

/* As many ghosts as there are files. */
static void grow(struct kvl_cache *c)
{
	unsigned int bits = kvl_s3_bits(kvl_s3_nr(&c->s3));
	struct kvl_s3_ghost *ghosts;
	bool enough;

	spin_lock(&c->lock);
	enough = c->s3.ghosts && c->s3.bits >= bits;
	spin_unlock(&c->lock);
	if (enough)
		return;
	ghosts = kvzalloc(kvl_s3_bytes(bits), GFP_KERNEL | __GFP_NOWARN);
	if (!ghosts)
		return;
	spin_lock(&c->lock);
	if (READ_ONCE(c->on) && (!c->s3.ghosts || c->s3.bits < bits))
		ghosts = kvl_s3_grow(&c->s3, ghosts, bits);
	spin_unlock(&c->lock);
	kvfree(ghosts);
}

/* The next to go, its inode held. */
static struct kvl_region *choose_file(struct kvl_cache *c)
{
	struct kvl_s3_entry *e;
	struct kvl_region *r = NULL;
	bool more;

	do {
		spin_lock(&c->lock);
		e = kvl_s3_victim(&c->s3, STEPS);
		more = kvl_s3_nr(&c->s3);
		if (e) {
			r = container_of(e, struct kvl_region, cached);
			/* Who is going to forget it waits for the lock. */
			if (igrab(&r->inode))
				r->dropping = true;
			else
				r = NULL;
		}
		spin_unlock(&c->lock);
		cond_resched();
	} while (!r && more);
	return r;
}

static bool drop(struct kvl_domain *d, struct kvl_region *r)
{
	u64 bytes = inode_get_bytes(&r->inode);
	struct kvl_cache *c = &d->cache;
	u32 tag = 0;
	int err = unlink_file(r, &tag);

	spin_lock(&c->lock);
	r->dropping = false;
	if (!err)
		kvl_s3_dropped(&c->s3, &r->cached, tag);
	else if (READ_ONCE(r->inode.i_nlink) && READ_ONCE(c->on))
		kvl_s3_refused(&c->s3, &r->cached);
	spin_unlock(&c->lock);
	if (err == -EAGAIN)
		d->pool->cache.held = true;
	trace_kvlift_drop(d->pool->id, d->id, r->id, bytes, r->cached.from,
			  err);
	if (!err) {
		atomic64_inc(&c->dropped);
		atomic64_add(bytes, &c->bytes);
		kvl_count(d->pool, KVL_C_CACHE_DROPPED);
		kvl_count_add(d->pool, KVL_C_CACHE_DROPPED_BYTES, bytes);
	}
	/* Its bytes go here, or when the last one who has it open closes it. */
	iput(&r->inode);
	return !err;
}

/* One file of the domain; each is tried once. */
static bool drop_one(struct kvl_domain *d)
{
	struct kvl_pool *pool = d->pool;
	u64 tries = kvl_s3_nr(&d->cache.s3);
	struct kvl_region *r;
	bool done = false;

	grow(&d->cache);
	while (!done && tries-- && !READ_ONCE(pool->stopping) && begin(pool)) {
		r = choose_file(&d->cache);
		if (r)
			done = drop(d, r);
		end(pool);
		if (!r)
			break;
		cond_resched();
	}
	return done;
}

static bool is_within(const struct kvl_domain *d, const struct kvl_domain *top)
{
	while (d && d != top)
		d = d->parent;
	return d == top;
}

/* What it stores is no more than what it is guaranteed. */
static bool is_guaranteed(const struct kvl_domain *d)
{
	u64 sum = 0;
	unsigned int i;

	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		sum += d->tier[i].guarantee;
	return atomic64_read(&d->charged) <= (s64)sum;
}

/* Whether @a is rather to give than @b. */
static bool gives_before(const struct kvl_domain *a, const struct kvl_domain *b)
{
	if (is_guaranteed(a) != is_guaranteed(b))
		return is_guaranteed(b);
	return kvl_s3_weight(&a->cache.s3) / a->weight >
	       kvl_s3_weight(&b->cache.s3) / b->weight;
}

/*
 * The cache that is to give for @top, or with NULL for the pool: the largest
 * for its weight, but first of all those that store more than they are
 * guaranteed. A reference is the caller's. One with files has references.
 */
static struct kvl_domain *choose_domain(struct kvl_pool *pool,
					struct kvl_domain *top)
{
	struct kvl_domain *d, *best = NULL;

	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all) {
		if (!d->cache.on || d->cache.pass == pool->cache.pass ||
		    !kvl_s3_nr(&d->cache.s3) ||
		    (top && !is_within(d, top)))
			continue;
		if (!best || gives_before(d, best))
			best = d;
	}
	if (best && !kref_get_unless_zero(&best->ref))
		best = NULL;
	spin_unlock(&pool->domain_lock);
	return best;
}

/* Those of today may be in use; without any there is nothing to wait for. */
static bool has_files(struct kvl_pool *pool, struct kvl_domain *top)
{
	struct kvl_domain *d;
	bool found = false;

	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all)
		found |= d->cache.on && kvl_s3_nr(&d->cache.s3) &&
			 (!top || is_within(d, top));
	spin_unlock(&pool->domain_lock);
	return found;
}

static bool is_short(struct kvl_pool *pool, struct kvl_domain *d,
		     struct kvl_room *room)
{
	s64 max, left = kvl_cache_room(pool, d, &max);

	return atomic64_read(&room->wanted) ||
	       left <= kvl_cache_headroom(max) / 2;
}

static bool is_enough(struct kvl_pool *pool, struct kvl_domain *d,
		      struct kvl_room *room)
{
	s64 max, left = kvl_cache_room(pool, d, &max);

	return left >= atomic64_read(&room->wanted) + kvl_cache_headroom(max);
}

/* True when there is more to be done: at once, or with *@later after a while. */
static bool relieve(struct kvl_pool *pool, struct kvl_domain *top,
		    struct kvl_room *room, bool *later)
{
	struct kvl_domain *d;
	unsigned int turn = pool->cache.force ? 1 : TURN;
	unsigned int dropped = 0, barren;

	pool->cache.held = false;
	if (!is_short(pool, top, room))
		return false;
	while (dropped < turn && !is_enough(pool, top, room)) {
		d = choose_domain(pool, top);
		if (!d)
			break;
		if (drop_one(d)) {
			dropped++;
			wake_up_all(&pool->cache.wait);
		} else {
			d->cache.pass = pool->cache.pass;
		}
		kvl_domain_put(d);
		if (READ_ONCE(pool->stopping))
			return false;
	}
	if (dropped)
		return true;
	/* There was room, or there is by now: who waits knows. */
	if (is_enough(pool, top, room))
		return false;
	WRITE_ONCE(room->rest, jiffies + REST);
	if (atomic64_read(&room->wanted)) {
		barren = !has_files(pool, top) ? KVL_CACHE_BARREN :
			 pool->cache.held      ? 1 :
						 KVL_CACHE_BARREN_OPEN;
		WRITE_ONCE(room->barren, room->barren + barren);
		pool->cache.stuck |= pool->cache.held;
		*later = true;
	}
	return false;
}

/* The next domain that is short of room, a reference to it; NULL: none. */
static struct kvl_domain *next_short(struct kvl_pool *pool)
{
	struct kvl_domain *d, *found = NULL;

	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all) {
		if (!d->nr_caches || d->room.pass == pool->cache.pass ||
		    !is_short(pool, d, &d->room) ||
		    !kref_get_unless_zero(&d->ref))
			continue;
		d->room.pass = pool->cache.pass;
		found = d;
		break;
	}
	spin_unlock(&pool->domain_lock);
	return found;
}

void kvl_cache_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, cache.work);
	bool more, later = false;
	struct kvl_domain *d;

	pool->cache.pass++;
	pool->cache.force = pool->cache.stuck;
	pool->cache.stuck = false;
	more = relieve(pool, NULL, &pool->cache.room, &later);
	while ((d = next_short(pool))) {
		more |= relieve(pool, d, &d->room, &later);
		kvl_domain_put(d);
	}
	/* Who waits in vain is to know it. */
	wake_up_all(&pool->cache.wait);
	if ((more || later) && !READ_ONCE(pool->stopping))
		queue_delayed_work(pool->wq, &pool->cache.work,
				   more ? 0 : AGAIN);
}
