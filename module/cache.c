// SPDX-License-Identifier: GPL-2.0-only
/* Which files a cache directory has, and who waits for some of them to go. */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "domain.h"
#include "region.h"

/* Entries taken out with the lock held. */
#define CHUNK		256

/* So long somebody waits for room at the most. */
#define PATIENCE	HZ

/* Room that is always somebody else's. */
#define TRIES		16

void kvl_cache_init(struct kvl_cache *c)
{
	spin_lock_init(&c->lock);
	kvl_s3_init(&c->s3);
}

void kvl_cache_destroy(struct kvl_cache *c)
{
	WARN_ON_ONCE(kvl_s3_nr(&c->s3));
	kvfree(c->s3.ghosts);
}

void kvl_cache_prepare(struct kvl_pool *pool)
{
	init_waitqueue_head(&pool->cache.wait);
	get_random_bytes(&pool->cache.key, sizeof(pool->cache.key));
	INIT_DELAYED_WORK(&pool->cache.work, kvl_cache_work);
}

void kvl_cache_stop(struct kvl_pool *pool)
{
	cancel_delayed_work_sync(&pool->cache.work);
}

void kvl_cache_kick(struct kvl_pool *pool)
{
	if (!READ_ONCE(pool->stopping))
		queue_delayed_work(pool->wq, &pool->cache.work, 0);
}

/* In KiB, so that a small file counts, too. */
static u32 weigh(struct kvl_region *r)
{
	return clamp_t(u64, inode_get_bytes(&r->inode) >> 10, 1, U32_MAX);
}

void kvl_cache_add(struct kvl_region *r)
{
	struct kvl_cache *c = &r->domain->cache;
	struct dentry *alias;
	u32 tag;

	lockdep_assert_held(&r->inode.i_rwsem);
	if (!READ_ONCE(c->on) || !S_ISREG(r->inode.i_mode) || !r->sealed)
		return;
	/* None: made by O_TMPFILE, and to be linked, or deleted. */
	alias = d_find_alias(&r->inode);
	if (!alias)
		return;
	tag = kvl_cache_tag(kvl_region_pool(r), alias);
	spin_lock(&c->lock);
	if (READ_ONCE(c->on) && r->cached.where == KVL_S3_NONE && !r->dropping)
		kvl_s3_add(&c->s3, &r->cached, weigh(r), tag);
	spin_unlock(&c->lock);
	dput(alias);
}

void kvl_cache_forget(struct kvl_region *r)
{
	struct kvl_cache *c;

	if (READ_ONCE(r->cached.where) == KVL_S3_NONE)
		return;
	c = &r->domain->cache;
	spin_lock(&c->lock);
	kvl_s3_del(&c->s3, &r->cached);
	spin_unlock(&c->lock);
}

void kvl_cache_use(struct kvl_region *r)
{
	if (READ_ONCE(r->cached.where) != KVL_S3_NONE)
		kvl_s3_use(&r->cached);
}

size_t kvl_cache_memory(struct kvl_cache *c)
{
	size_t bytes;

	spin_lock(&c->lock);
	bytes = kvl_s3_nr(&c->s3) * sizeof(struct kvl_s3_entry);
	if (c->s3.ghosts)
		bytes += kvl_s3_bytes(c->s3.bits);
	spin_unlock(&c->lock);
	return bytes;
}

/* The first region at or after *@id, its inode held. */
static struct kvl_region *next_region(struct kvl_pool *pool,
				      unsigned long *id)
{
	struct kvl_region *r;

	xa_lock(&pool->regions);
	do {
		r = xa_find(&pool->regions, id, ULONG_MAX, XA_PRESENT);
	} while (r && !igrab(&r->inode) && ++*id);
	xa_unlock(&pool->regions);
	return r;
}

void kvl_cache_fill(struct kvl_domain *d)
{
	struct kvl_region *r;
	unsigned long id = 0;

	for (; (r = next_region(d->pool, &id)); id++) {
		if (r->domain == d) {
			inode_lock(&r->inode);
			kvl_cache_add(r);
			inode_unlock(&r->inode);
		}
		iput(&r->inode);
		cond_resched();
	}
	kvl_cache_look(d);
}

/* True when there was something left. */
static bool empty_some(struct kvl_s3 *s)
{
	unsigned int n, q;

	for (n = 0; n < CHUNK; n++) {
		for (q = 0; q < KVL_S3_QUEUES; q++)
			if (s->nr[q])
				break;
		if (q == KVL_S3_QUEUES)
			return false;
		kvl_s3_del(s, list_last_entry(&s->queue[q],
					      struct kvl_s3_entry, list));
	}
	return true;
}

void kvl_cache_empty(struct kvl_domain *d)
{
	struct kvl_cache *c = &d->cache;
	struct kvl_s3_ghost *ghosts;
	bool more;

	do {
		spin_lock(&c->lock);
		more = empty_some(&c->s3);
		spin_unlock(&c->lock);
		cond_resched();
	} while (more);
	spin_lock(&c->lock);
	ghosts = c->s3.ghosts;
	c->s3.ghosts = NULL;
	spin_unlock(&c->lock);
	kvfree(ghosts);
}

s64 kvl_cache_headroom(s64 max)
{
	return clamp(max / 32, 1, 256);
}

s64 kvl_cache_room(struct kvl_pool *pool, struct kvl_domain *d, s64 *max)
{
	if (!d) {
		*max = atomic64_read(&pool->capacity);
		return *max - atomic64_read(&pool->used);
	}
	*max = min_t(u64, READ_ONCE(d->max_charged), S64_MAX);
	return *max - atomic64_read(&d->charged);
}

static bool is_short(struct kvl_pool *pool, struct kvl_domain *d,
		     struct kvl_room *room)
{
	s64 max, left = kvl_cache_room(pool, d, &max);

	return left <= kvl_cache_headroom(max) / 2 &&
	       !time_before(jiffies, READ_ONCE(room->rest));
}

void kvl_cache_look(struct kvl_domain *d)
{
	struct kvl_pool *pool = d->pool;
	bool any = is_short(pool, NULL, &pool->cache.room);

	for (; d && !any; d = d->parent)
		any = READ_ONCE(d->nr_caches) && is_short(pool, d, &d->room);
	if (any)
		kvl_cache_kick(pool);
}

bool kvl_cache_helps(struct kvl_region *r, int err)
{
	return (err == -ENOSPC || err == -EDQUOT) &&
	       READ_ONCE(kvl_region_pool(r)->root_domain->nr_caches);
}

static bool has_room(struct kvl_pool *pool, struct kvl_domain *d, u64 blocks)
{
	s64 max;

	return kvl_cache_room(pool, d, &max) >= (s64)blocks;
}

/* The innermost budget that so many blocks do not fit into, or NULL. */
static struct kvl_room *in_the_way(struct kvl_pool *pool,
				   struct kvl_domain **d, u64 blocks)
{
	for (; *d; *d = (*d)->parent)
		if (!has_room(pool, *d, blocks))
			return &(*d)->room;
	return has_room(pool, NULL, blocks) ? NULL : &pool->cache.room;
}

static bool is_barren(struct kvl_room *room, unsigned int since)
{
	return READ_ONCE(room->barren) - since >= KVL_CACHE_BARREN;
}

/* 0: there is room now, or there was and somebody else has taken it. */
static int wait(struct kvl_region *r, struct kvl_domain *d,
		struct kvl_room *room, u64 blocks, unsigned long until)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	unsigned int barren = READ_ONCE(room->barren);
	long left = until - jiffies;

	if (left <= 0)
		return -ETIMEDOUT;
	atomic64_inc(&r->domain->cache.waits);
	kvl_count(pool, KVL_C_CACHE_WAITS);
	atomic64_add(blocks, &room->wanted);
	kvl_cache_kick(pool);
	left = wait_event_killable_timeout(pool->cache.wait,
					   has_room(pool, d, blocks) ||
						   is_barren(room, barren),
					   left);
	atomic64_sub(blocks, &room->wanted);
	if (left < 0)
		return -EINTR;
	if ((left && !is_barren(room, barren)) || has_room(pool, d, blocks))
		return 0;
	return -ETIMEDOUT;
}

int kvl_cache_wait(struct kvl_region *r, u64 blocks, int err,
		   struct kvl_cache_wait *w)
{
	struct kvl_cache *c = &r->domain->cache;
	struct kvl_domain *d = r->domain;
	struct kvl_room *room;
	int ret = -ETIMEDOUT;

	if (!w->until)
		w->until = (jiffies + PATIENCE) | 1;
	if (kvl_cache_helps(r, err)) {
		room = in_the_way(kvl_region_pool(r), &d, blocks);
		if (!room)
			ret = w->tries++ < TRIES &&
			      time_before(jiffies, w->until) ? 0 : -ETIMEDOUT;
		else if (!d || READ_ONCE(d->nr_caches))
			ret = wait(r, d, room, blocks, w->until);
	}
	if (ret != -ETIMEDOUT)
		return ret;
	if (!READ_ONCE(c->on) || (err != -ENOSPC && err != -EDQUOT))
		return err;
	atomic64_inc(&c->refused);
	kvl_count(kvl_region_pool(r), KVL_C_CACHE_REFUSED);
	return -EAGAIN;
}
