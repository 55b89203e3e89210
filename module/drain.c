// SPDX-License-Identifier: GPL-2.0-only
/*
 * A member that is drained has a target of no slots and takes none for new
 * blocks. A worker goes through all files again and again and moves what is
 * on such a member elsewhere, until nothing is left; devices know no more of
 * their slots than which are in use, so that there is no shorter way.
 *
 * Nothing goes straight from one device to another: a block is read to
 * memory, and there it gives up the shadow that the old place has become.
 * Memory that is short of slots for it pushes others down as always.
 */
#include <linux/fs.h>
#include <linux/mutex.h>

#include "drain.h"
#include "gpu.h"
#include "move.h"
#include "msg.h"
#include "place.h"
#include "policy.h"

/* A pass that moved nothing is tried again after this. */
#define DRAIN_RETRY	(HZ / 10)

static DEFINE_MUTEX(drain_lock);	/* who starts and cancels */

static bool is_memory(struct kvl_member *m)
{
	return m->ops->caps & KVL_CAP_CPU;
}

/* Slots in use; of a node, all that it has not given back, but for bad ones. */
u64 kvl_drain_remaining(struct kvl_member *m)
{
	u64 n;

	spin_lock(&m->lock);
	n = m->got - m->nbad;
	if (!is_memory(m))
		n -= m->nfree + m->nlost;
	spin_unlock(&m->lock);
	return n;
}

static bool on_draining(struct kvl_pool *pool, u64 addr)
{
	return addr && READ_ONCE(kvl_addr_member(pool, addr)->draining);
}

/* Upwards is the last resort: there it is in the way of others. */
static void move_up(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		    struct kvl_block *b, u64 home)
{
	struct kvl_pool *pool = batch->pool;
	unsigned int id;
	u64 dst;

	for (id = KVLIFT_TIER_DRAM; id < kvl_addr_tier(home); id++) {
		struct kvl_tier *t = &pool->tiers[id];

		if (!t->nr_members)
			continue;
		if (!kvl_tier_alloc(t, NUMA_NO_NODE, &dst)) {
			kvl_reclaim_check(t);
			kvl_batch_add(batch, r, index, b, dst, KVL_WHY_DRAIN,
				      NULL);
			return;
		}
		kvl_reclaim_kick(t);
	}
	kvl_block_unlock(b);
}

static void move_away(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		      struct kvl_block *b)
{
	u64 home = kvl_block_home(b);
	u64 dst;

	if (kvl_addr_is_gpu(home)) {
		kvl_gpu_demote(batch, r, index, b, KVL_WHY_DRAIN);
		return;
	}
	if (!kvl_addr_is_memory(home)) {
		move_up(batch, r, index, b, home);
		return;
	}
	if (!kvl_tier_alloc(&batch->pool->tiers[kvl_addr_tier(home)],
			    kvl_addr_member(batch->pool, home)->node, &dst)) {
		kvl_batch_add(batch, r, index, b, dst, KVL_WHY_DRAIN, NULL);
		return;
	}
	if (kvl_batch_demote(batch, r, index, b, KVL_WHY_DRAIN) != -ENOSPC ||
	    !kvl_block_trylock(b))
		return;
	if (kvl_block_home(b) == home && !test_bit(KVL_B_MOVING, &b->flags))
		move_up(batch, r, index, b, home);
	else
		kvl_block_unlock(b);
}

/* True when a shadow was given up; what moves is in the batch. */
static bool step(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		 struct kvl_block *b)
{
	struct kvl_pool *pool = batch->pool;
	bool dropped = false;

	if (!kvl_block_trylock(b))
		return false;
	if (on_draining(pool, b->shadow) &&
	    kvl_addr_is_gpu(kvl_block_home(b))) {
		/* It is not to be without a copy: down, and then on. */
		kvl_gpu_demote(batch, r, index, b, KVL_WHY_DRAIN);
		return false;
	}
	if (on_draining(pool, b->shadow)) {
		/* What is in memory is the only copy now. */
		set_bit(KVL_B_DIRTY, &b->flags);
		kvl_block_drop_shadow(r, b);
		dropped = true;
	}
	/* What cannot be read stays until it is deleted or written anew. */
	if (on_draining(pool, kvl_block_home(b)) &&
	    (!(b->loc & KVLIFT_LOC_ERROR) ||
	     kvl_addr_is_gpu(kvl_block_home(b))) &&
	    !test_bit(KVL_B_MOVING, &b->flags))
		move_away(batch, r, index, b);
	else
		kvl_block_unlock(b);
	return dropped;
}

static bool drain_region(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_batch batch;
	unsigned int looked = 0;
	struct kvl_block *b;
	bool dropped = false;
	u64 i;

	kvl_batch_init(&batch, pool);
	for (i = 0; (b = kvl_region_next(r, &i, U64_MAX >> 8)); i++) {
		if (READ_ONCE(pool->stopping))
			break;
		/* Locks are not held for long. */
		if (!(++looked % KVL_BATCH))
			kvl_batch_run(&batch);
		if (!on_draining(pool, kvl_block_home(b)) &&
		    !on_draining(pool, READ_ONCE(b->shadow)))
			continue;
		if (kvl_move_count(pool) >= KVL_MAX_MOVES) {
			kvl_batch_run(&batch);
			kvl_move_wait(pool, KVL_MAX_MOVES);
		}
		dropped |= step(&batch, r, i, b);
		cond_resched();
	}
	kvl_batch_run(&batch);
	return dropped || batch.moved;
}

/* Through all files. The one that is held keeps the place in the list. */
static bool pass(struct kvl_pool *pool)
{
	struct super_block *sb = pool->sb;
	struct inode *inode, *held = NULL;
	bool moved = false;

	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		if (!S_ISREG(inode->i_mode) || !igrab(inode))
			continue;
		spin_unlock(&sb->s_inode_list_lock);
		iput(held);
		held = inode;
		moved |= drain_region(kvl_region(inode));
		if (READ_ONCE(pool->stopping))
			goto out;
		spin_lock(&sb->s_inode_list_lock);
	}
	spin_unlock(&sb->s_inode_list_lock);
out:
	iput(held);
	return moved;
}

/* True while a member is to be drained and not empty. */
static bool any_left(struct kvl_pool *pool)
{
	unsigned int id, i;

	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++)
			if (READ_ONCE(t->members[i]->draining) &&
			    kvl_drain_remaining(t->members[i]))
				return true;
	}
	return false;
}

void kvl_drain_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, drain);

	if (!any_left(pool) || READ_ONCE(pool->stopping))
		return;
	/* What was started shows at the next pass. */
	queue_delayed_work(pool->wq, &pool->drain,
			   pass(pool) ? 1 : DRAIN_RETRY);
}

/* Whether the pool has memory besides @but. */
static bool other_memory(struct kvl_pool *pool, struct kvl_member *but)
{
	unsigned int id, i;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++)
			if (t->members[i] != but &&
			    kvl_member_target(t->members[i]))
				return true;
	}
	return false;
}

static void set_draining(struct kvl_pool *pool, struct kvl_member *m, bool on)
{
	spin_lock(&m->lock);
	m->draining = on;
	spin_unlock(&m->lock);
	kvl_pool_resized(pool);
}

/* A node gives back what is free, or gets it again. */
static void resize(struct kvl_member *m)
{
	if (is_memory(m) && READ_ONCE(m->got) != kvl_member_target(m))
		m->ops->resize(m, m->asked);
}

/* 0 when it goes on in the background. */
int kvl_drain_start(struct kvl_pool *pool, struct kvl_member *m)
{
	s64 used, left;
	int err = 0;

	/* Against a remount. */
	down_read(&pool->sb->s_umount);
	mutex_lock(&drain_lock);
	if (m->draining)
		goto unlock;
	err = -ENODEV;
	if (m->dead)
		goto unlock;
	err = -ENOSPC;
	if (is_memory(m) && !other_memory(pool, m)) {
		pr_warn_ratelimited("pool %u: %s is not drained: the pool has no other memory\n",
				    pool->id, m->name);
		goto unlock;
	}
	set_draining(pool, m, true);
	/* Pairs with the charge that looks at the capacity again. */
	smp_mb();
	used = atomic64_read(&pool->used);
	left = atomic64_read(&pool->capacity);
	/* A GPU stores nothing that does not fit below. */
	if (used > left && m->tier->id != KVLIFT_TIER_GPU) {
		set_draining(pool, m, false);
		resize(m);
		pr_warn_ratelimited("pool %u: %s is not drained: %lld blocks are stored, without it %lld would fit\n",
				    pool->id, m->name, used, max(left, 0LL));
		goto unlock;
	}
	err = 0;
	resize(m);
	pr_info_ratelimited("pool %u: %s is being drained\n", pool->id,
			    m->name);
	mod_delayed_work_on(kvl_place_cpu(m->cpu_node), pool->wq, &pool->drain,
			    0);
unlock:
	mutex_unlock(&drain_lock);
	up_read(&pool->sb->s_umount);
	return err;
}

void kvl_drain_cancel(struct kvl_pool *pool, struct kvl_member *m)
{
	down_read(&pool->sb->s_umount);
	mutex_lock(&drain_lock);
	if (m->draining) {
		set_draining(pool, m, false);
		resize(m);
		pr_info_ratelimited("pool %u: %s is in use again\n", pool->id,
				    m->name);
	}
	mutex_unlock(&drain_lock);
	up_read(&pool->sb->s_umount);
}
