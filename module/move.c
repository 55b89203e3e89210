// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protocol STOP. The block's lock is held from start to end; a block that is
 * in memory is unmapped and its folio frozen, so that the copy cannot miss a
 * store. The destination is private until the commit, the source stays valid
 * until then, and every failure leaves the block where it was.
 *
 *	start	quiesce (unmap, freeze), or undo and -EBUSY
 *	copy	by the back end; the lock is handed over
 *	finish	commit: publish the destination, free the source slot or keep
 *		it as shadow; or abort: free the destination, unfreeze
 *
 * A slot of a device whose content is still that of the block after a
 * promotion stays as shadow. Whether it still is so at the next demotion is
 * known when the block is quiesced: the page tables' dirty bits are in the
 * folio then, write(2) marks the folio, and a 2 MiB block mapped through a
 * VMA that may write counts as dirty from the moment it is mapped.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "move.h"
#include "msg.h"
#include "params.h"
#include "trace.h"

/* A device that could not write is left alone for this long, then longer. */
#define WRITE_REST	HZ

struct kvl_move {
	struct kvl_copy copy;
	struct kvl_region *r;
	struct kvl_block *b;
	u64 index;
	enum kvl_why why;
	u64 t_start;
	u64 t_submit;
	int *result;	/* of a copy that ends before submit returns */
	struct work_struct work;
};

static struct kmem_cache *cache;

int kvl_move_init(void)
{
	cache = KMEM_CACHE(kvl_move, 0);
	return cache ? 0 : -ENOMEM;
}

void kvl_move_exit(void)
{
	kmem_cache_destroy(cache);
}

mempool_t *kvl_move_pool_create(void)
{
	return mempool_create_slab_pool(KVL_MAX_MOVES, cache);
}

static void count(struct kvl_pool *pool, u64 src, u64 dst, u64 ns)
{
	unsigned int from = kvl_addr_tier(src), to = kvl_addr_tier(dst);

	kvl_count_move(pool, from, to);
	if (to < from) {
		kvl_count(pool, KVL_C_PROMOTE);
		kvl_count_add(pool, KVL_C_PROMOTE_NS, ns);
	} else if (to > from) {
		kvl_count(pool, KVL_C_DEMOTE);
		kvl_count_add(pool, KVL_C_DEMOTE_NS, ns);
	}
}

/* Publishes @dst as home; what the block held before is freed or kept. */
static void commit(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 dst)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 src = kvl_block_home(b);
	bool from_memory = kvl_addr_is_memory(src);

	if (from_memory)
		kvl_block_detach(r, b);
	if (!kvl_addr_is_memory(dst)) {
		if (dst == b->shadow) {
			atomic64_dec(&kvl_addr_member(pool, dst)->nshadow);
			b->shadow = 0;
		}
		kvl_block_drop_shadow(r, b);
		clear_bit(KVL_B_DIRTY, &b->flags);
	} else if (!from_memory) {
		b->shadow = src;
		atomic64_inc(&kvl_addr_member(pool, src)->nshadow);
		clear_bit(KVL_B_DIRTY, &b->flags);
	}
	kvl_block_attach(r, index, b, dst);
	if (from_memory)
		kvl_slot_free(pool, src);
}

static void mark_error(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 src, int err)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	kvl_count(pool, err == -EILSEQ ? KVL_C_CSUM_ERRORS : KVL_C_IO_ERRORS);
	kvl_change_extent(r, index, b, src | KVLIFT_LOC_ERROR);
	b->touched = (u32)jiffies;
	trace_kvlift_error(pool->id, r->id, index, src, err);
	pr_err_ratelimited("pool %u: region %llu block %llu cannot be read from %s: %s\n",
			   pool->id, r->id, index,
			   kvl_addr_member(pool, src)->name,
			   err == -EILSEQ ? "wrong checksum" : "I/O error");
}

/* The move did not happen. The source is as it was. */
static void abort_move(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 dst, int err)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 src = kvl_block_home(b);
	struct kvl_member *m;

	kvl_count(pool, KVL_C_ABORTED);
	if (!kvl_addr_is_memory(src)) {
		kvl_slot_free(pool, dst);
		mark_error(r, index, b, src, err);
		return;
	}
	kvl_block_unquiesce(r, b);
	if (kvl_addr_is_memory(dst)) {
		/* The copy ran into bad memory. */
		kvl_slot_free(pool, dst);
		return;
	}
	kvl_count(pool, KVL_C_IO_ERRORS);
	trace_kvlift_error(pool->id, r->id, index, dst, err);
	if (dst == b->shadow) {
		atomic64_dec(&kvl_addr_member(pool, dst)->nshadow);
		b->shadow = 0;
		set_bit(KVL_B_DIRTY, &b->flags);
	}
	/*
	 * A bad place is not chosen again. Anything else may pass: the device
	 * rests, so that the error does not go through all of its slots.
	 */
	if (err == -ENODATA) {
		kvl_slot_retire(pool, dst);
		return;
	}
	m = kvl_addr_member(pool, dst);
	/* Those that were in flight together count once. */
	if (kvl_member_usable(m)) {
		u64 rest = WRITE_REST << min(m->write_errors++, 3);

		WRITE_ONCE(m->rest_until, get_jiffies_64() + rest);
	}
	kvl_slot_free(pool, dst);
}

static void finish(struct kvl_move *m)
{
	struct kvl_region *r = m->r;
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_block *b = m->b;
	u64 src = m->copy.src, dst = m->copy.dst;
	bool to_device = !kvl_addr_is_memory(dst);
	int err = m->copy.error;
	u64 now;

	if (!err && !kvl_addr_is_memory(src)) {
		struct folio *folio = kvl_addr_folio(pool, dst);

		kvl_count_add(pool, KVL_C_READ_BYTES, pool->block_size);
		if (kvl_pool_crc(pool, folio_address(folio),
				 pool->block_size) != b->csum)
			err = -EILSEQ;
	}
	if (!err && to_device) {
		kvl_count_add(pool, KVL_C_WRITE_BYTES, pool->block_size);
		b->csum = m->copy.csum;
		kvl_addr_member(pool, dst)->write_errors = 0;
	}
	if (err)
		abort_move(r, m->index, b, dst, err);
	else
		commit(r, m->index, b, dst);
	/* Free by now, or here to stay. */
	if (kvl_addr_tier(src) < kvl_addr_tier(dst))
		atomic_dec(&pool->tiers[kvl_addr_tier(src)].leaving);
	now = ktime_get_ns();
	if (!err)
		count(pool, src, dst, now - m->t_start);
	trace_kvlift_move(pool->id, r->id, m->index, src, dst, m->why, err,
			  m->t_submit - m->t_start,
			  m->copy.t_done - m->t_submit,
			  now - m->copy.t_done);
	if (m->result)
		*m->result = err;
	kvl_block_unlock_async(b);
	/* Who waits for a slot may have to look elsewhere. */
	if (err && to_device)
		kvl_reclaim_kick(&pool->tiers[kvl_addr_tier(src)]);
	mempool_free(m, pool->move_mempool);
	atomic_dec(&kvl_objects.moves);
	/* May be the last reference, and free the region. */
	iput(&r->inode);
	/* The pool goes away only after this. */
	if (atomic_dec_return(&pool->moves) < KVL_MAX_MOVES)
		wake_up_all(&pool->move_wait);
}

static void finish_work(struct work_struct *work)
{
	finish(container_of(work, struct kvl_move, work));
}

static void copy_done(struct kvl_copy *copy)
{
	struct kvl_move *m = container_of(copy, struct kvl_move, copy);

	if (kvl_addr_is_memory(copy->src) && kvl_addr_is_memory(copy->dst)) {
		finish(m);
		return;
	}
	trace_kvlift_io(copy->pool->id, copy->src, copy->dst,
			copy->pool->block_size, copy->t_done - m->t_submit,
			copy->error);
	INIT_WORK(&m->work, finish_work);
	queue_work(copy->pool->io_wq, &m->work);
}

int kvl_move_block(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 dst, enum kvl_why why)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 src = kvl_block_home(b);
	u64 t_start = ktime_get_ns();
	struct kvl_move *m;
	int err;

	if (kvl_addr_is_memory(src)) {
		err = kvl_block_quiesce(r, index, b, false);
		if (err) {
			kvl_count(pool, KVL_C_REFUSED_PINNED);
			trace_kvlift_move(pool->id, r->id, index, src, dst,
					  why, err, 0, 0, 0);
			if (dst != b->shadow)
				kvl_slot_free(pool, dst);
			kvl_block_unlock(b);
			return err;
		}
		if (kvl_param_unsafe_skip_dirty)
			clear_bit(KVL_B_DIRTY, &b->flags);
	}
	if (dst == b->shadow && !test_bit(KVL_B_DIRTY, &b->flags)) {
		commit(r, index, b, dst);
		kvl_count(pool, KVL_C_DEMOTE_NOIO);
		count(pool, src, dst, ktime_get_ns() - t_start);
		trace_kvlift_move(pool->id, r->id, index, src, dst, why, 0,
				  ktime_get_ns() - t_start, 0, 0);
		kvl_block_unlock(b);
		return 0;
	}
	m = mempool_alloc(pool->move_mempool, GFP_NOIO);
	atomic_inc(&kvl_objects.moves);
	atomic_inc(&pool->moves);
	ihold(&r->inode);
	m->copy.pool = pool;
	m->copy.src = src;
	m->copy.dst = dst;
	m->copy.prio = why <= KVL_WHY_WRITE ? KVL_IO_URGENT : KVL_IO_NORMAL;
	m->copy.done = copy_done;
	m->r = r;
	m->b = b;
	m->index = index;
	m->why = why;
	m->t_start = t_start;
	if (kvl_addr_tier(dst) > kvl_addr_tier(src))
		atomic_inc(&pool->tiers[kvl_addr_tier(src)].leaving);
	err = -EINPROGRESS;
	m->result = kvl_addr_is_memory(src) && kvl_addr_is_memory(dst) ? &err :
									 NULL;
	if (!kvl_addr_is_memory(dst))
		m->copy.csum = kvl_pool_crc(pool,
					    folio_address(kvl_addr_folio(pool,
									 src)),
					    pool->block_size);
	m->t_submit = ktime_get_ns();
	kvl_block_hand_over(b);
	kvl_copy_submit(&m->copy);
	return err;
}

/* No free slot on any member that takes blocks. */
static bool tier_full(struct kvl_tier *t)
{
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		if (kvl_member_usable(t->members[i]) &&
		    READ_ONCE(t->members[i]->nfree))
			return false;
	return true;
}

/*
 * Where a block of tier @id goes when it has to leave. With a shadow to fall
 * back on, what does not fit one tier down needs no new slot.
 */
static int place_below(struct kvl_region *r, struct kvl_block *b,
		       unsigned int id, u64 *dst)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_tier *t = &pool->tiers[id];

	/* A copy that cannot be read any more is none. */
	if (b->shadow && READ_ONCE(kvl_addr_member(pool, b->shadow)->dead)) {
		kvl_block_drop_shadow(r, b);
		set_bit(KVL_B_DIRTY, &b->flags);
	}
	while ((t = kvl_tier_below(pool, t->id))) {
		if (b->shadow && kvl_addr_tier(b->shadow) == t->id &&
		    kvl_member_usable(kvl_addr_member(pool, b->shadow))) {
			*dst = b->shadow;
			return 0;
		}
		if (!kvl_tier_alloc(t, NUMA_NO_NODE, dst)) {
			kvl_reclaim_check(t);
			return 0;
		}
		if (kvl_tier_below(pool, t->id))
			kvl_reclaim_kick(t);
		else if (tier_full(t) &&
			 kvl_reclaim_shadows(pool, KVL_VICTIM_SHADOWS) &&
			 !kvl_tier_alloc(t, NUMA_NO_NODE, dst))
			return 0;
	}
	return -ENOSPC;
}

int kvl_move_demote(struct kvl_region *r, u64 index, struct kvl_block *b,
		    enum kvl_why why)
{
	u64 home = kvl_block_home(b);
	u64 dst;
	int err;

	if (!kvl_addr_is_memory(home)) {
		kvl_block_unlock(b);
		return -ENOENT;
	}
	err = place_below(r, b, kvl_addr_tier(home), &dst);
	if (err) {
		kvl_block_unlock(b);
		return err;
	}
	return kvl_move_block(r, index, b, dst, why);
}

void kvl_move_wait(struct kvl_pool *pool, unsigned int n)
{
	wait_event(pool->move_wait, atomic_read(&pool->moves) < n);
}
