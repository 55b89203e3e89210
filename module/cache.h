/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cache directories: a domain marked with KVLIFT_DOMAIN_CACHE holds files that
 * the pool may drop. Sealed files that have a name are in the queues of their
 * domain (s3fifo.h); a worker unlinks them, whole, as unlink(2) would, when
 * the domain, one around it or the pool is about to be full.
 *
 * Lifetime: a file in the queues is not held. It leaves them when it loses its
 * last name, at the latest in evict_inode(). The worker holds the inode of the
 * file that it has chosen, and the domain. It runs from mount to kill_sb(),
 * which ends it before any inode goes; it takes s_umount, by a trylock, for
 * each file, so that neither remount nor freeze meet it.
 *
 * Locks: cache->lock, inside of an i_rwsem and of pool->domain_lock, outside
 * of inode->i_lock, protects the queues and region->dropping; a use is counted
 * without (kvl_s3_use()). The mark itself is pool->domain_lock's.
 * The worker: s_umount (trylock) -> i_rwsem of the directory -> that of the
 * file, as unlink(2). Whoever waits for the worker therefore holds no i_rwsem
 * and no lock of a block: write(2) and fallocate(2) give theirs up, a fault
 * gives up the lock of its VMA wherever the core lets it. Where it does not,
 * the wait ends by itself, as every wait here does.
 *
 * Races, and what becomes of them:
 *  - seal against link: both under the file's i_rwsem; the later one queues it
 *  - open against drop: a file is dropped when its dentry has no reference but
 *    that of the tree and the worker's, and its inode none but the dentry's
 *    and the worker's (so no open file, mapping, move, lease or second name).
 *    Who opens it between that look and the unlink keeps its bytes to the last
 *    close, as with unlink(2)
 *  - rename or unlink(2) against drop: looked at again under the directory's
 *    i_rwsem; what was renamed goes back into its queue
 *  - link(2) against drop: the one name goes, the file stays and goes back into
 *    its queue
 *  - moves against drop: a file that the pool itself holds, for the time of a
 *    move, goes only when nothing else can and somebody waits, one in a pass:
 *    its room is there when the move ends
 *  - rmdir of the directory: it is held by dget_parent(), and the look above
 *    fails when the name is gone
 *  - a file that the worker has chosen is in no queue (region->dropping):
 *    link(2), unlink(2) and evict_inode() leave it alone, and the worker puts
 *    back only what still has a name; evict_inode() comes after its iput()
 *  - the mark is taken off while a file is chosen: not put back (cache->on)
 *  - pins by devices: the blocks are looked through for them; a later one
 *    keeps the slot out of use until it ends, as with unlink(2)
 *  - charges: refused or taken by one atomic operation each (domain.c,
 *    tier.c). Nothing here takes one, so no budget can be exceeded
 *  - room that was made may be taken by somebody else: who waits asks again,
 *    until its time is up
 */
#ifndef KVL_CACHE_H
#define KVL_CACHE_H

#include <linux/atomic.h>
#include <linux/siphash.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "s3fifo.h"

struct dentry;
struct kvl_domain;
struct kvl_pool;
struct kvl_region;

/*
 * Who waits gives up when passes of the worker, 20 ms apart, that made no room
 * add up to so much: one that found a file which the pool itself holds counts
 * for 1, one that found only open ones for 10, and one that found none for all.
 */
#define KVL_CACHE_BARREN	40
#define KVL_CACHE_BARREN_OPEN	10

/**
 * struct kvl_cache - of one domain
 * @on:		the domain is a cache
 * @pass:	of the worker, in which nothing more of it could be dropped
 * @dropped:	files, and their @bytes
 * @waits:	times somebody waited for room
 * @refused:	and got EAGAIN
 */
struct kvl_cache {
	spinlock_t lock;	/* the queues and ghosts */
	bool on;
	struct kvl_s3 s3;
	unsigned int pass;
	atomic64_t dropped;
	atomic64_t bytes;
	atomic64_t waits;
	atomic64_t refused;
};

/**
 * struct kvl_room - a budget for which files are dropped: that of a domain, or
 * the pool's
 * @wanted:	blocks that somebody waits for
 * @barren:	grows with passes that made no room though it was wanted
 * @rest:	until then (jiffies) nothing is tried ahead of need: it was in vain
 * @pass:	the last one that looked at it; the worker's
 */
struct kvl_room {
	atomic64_t wanted;
	unsigned int barren;
	unsigned long rest;
	unsigned int pass;
};

/**
 * struct kvl_cache_pool - what a pool's caches share
 * @room:	that of the pool's capacity
 * @wait:	who waits for room
 * @key:	of the hash of names
 * @pass:	number of the worker's pass
 * @held:	it has met a file that is held for a moment; this and the next two
 *		are the worker's, too
 * @stuck:	for somebody who waits there was nothing else
 * @force:	the pass before was stuck: such a file will do
 */
struct kvl_cache_pool {
	struct kvl_room room;
	wait_queue_head_t wait;
	siphash_key_t key;
	unsigned int pass;
	bool held;
	bool stuck;
	bool force;
	struct delayed_work work;
};

/* How long somebody has waited; all zero at first. */
struct kvl_cache_wait {
	unsigned long until;	/* jiffies, 0: not yet */
	unsigned int tries;
};

void kvl_cache_init(struct kvl_cache *c);
void kvl_cache_destroy(struct kvl_cache *c);
void kvl_cache_prepare(struct kvl_pool *pool);
/* Nobody uses the pool any more. */
void kvl_cache_stop(struct kvl_pool *pool);

/*
 * The mark of a domain has been set, or taken off. Needs the i_rwsem of its
 * directory, and takes those of files.
 */
void kvl_cache_fill(struct kvl_domain *d);
void kvl_cache_empty(struct kvl_domain *d);

/* The file was sealed, or a sealed one got a name. Needs its i_rwsem. */
void kvl_cache_add(struct kvl_region *r);
/* It has no name any more, or goes away. */
void kvl_cache_forget(struct kvl_region *r);
/* It is being used. */
void kvl_cache_use(struct kvl_region *r);
/* Bytes that the queues and ghosts of a domain take, inodes aside. */
size_t kvl_cache_memory(struct kvl_cache *c);

/* Blocks of the domain have been charged: the worker may have to begin. */
void kvl_cache_look(struct kvl_domain *d);

/* True where a charge that failed may succeed after a while. */
bool kvl_cache_helps(struct kvl_region *r, int err);
/*
 * Such a charge of so many blocks has failed with @err. Waits for files to be
 * dropped. 0: to be tried again; -EINTR: the task is being killed; @err, or
 * -EAGAIN in a cache: there is no room.
 */
int kvl_cache_wait(struct kvl_region *r, u64 blocks, int err,
		   struct kvl_cache_wait *w);

/* cache_drop.c */
void kvl_cache_work(struct work_struct *work);
void kvl_cache_kick(struct kvl_pool *pool);
/* The name that a file has, as ghosts know it. */
u32 kvl_cache_tag(struct kvl_pool *pool, struct dentry *dentry);
/* Blocks there is room for: of a domain or, with NULL, of the pool. */
s64 kvl_cache_room(struct kvl_pool *pool, struct kvl_domain *d, s64 *max);
s64 kvl_cache_headroom(s64 max);

#endif /* KVL_CACHE_H */
