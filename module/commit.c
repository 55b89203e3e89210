// SPDX-License-Identifier: GPL-2.0-only
/* How moves end: published, undone or refused; see move.c. */
#include <linux/ktime.h>
#include <linux/mm.h>

#include "domain.h"
#include "heat.h"
#include "memerr.h"
#include "move_priv.h"
#include "msg.h"
#include "params.h"
#include "queue.h"
#include "trace.h"

/* A device that could not write is left alone for this long, then longer. */
#define WRITE_REST	HZ

static void count(struct kvl_move *m, u64 now)
{
	struct kvl_pool *pool = m->copy.pool;
	unsigned int from = kvl_addr_tier(m->copy.src);
	unsigned int to = kvl_addr_tier(m->copy.dst);

	kvl_count_move(pool, from, to);
	kvl_count(pool, KVL_C_MOVE_READ + m->proto);
	if (to < from) {
		kvl_count(pool, KVL_C_PROMOTE);
		kvl_count_add(pool, KVL_C_PROMOTE_NS, now - m->t_start);
	} else if (to > from) {
		kvl_count(pool, KVL_C_DEMOTE);
		kvl_count_add(pool, KVL_C_DEMOTE_NS, now - m->t_start);
	}
}

/* Publishes the destination; what the block held before is freed or kept. */
static void publish(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	u64 src = m->copy.src, dst = m->copy.dst;
	struct kvl_region *r = m->r;
	struct kvl_block *b = m->b;

	if (m->gpu) {
		kvl_gpu_publish(m);
		return;
	}
	if (from_memory(m))
		kvl_block_detach_locked(r, b);
	if (!to_memory(m)) {
		if (dst == b->shadow) {
			atomic64_dec(&kvl_addr_member(pool, dst)->nshadow);
			WRITE_ONCE(b->shadow, 0);
		} else {
			kvl_block_drop_shadow(r, b);
			b->csum = m->copy.csum;
		}
		clear_bit(KVL_B_DIRTY, &b->flags);
	} else if (!from_memory(m)) {
		WRITE_ONCE(b->shadow, src);
		atomic64_inc(&kvl_addr_member(pool, src)->nshadow);
		clear_bit(KVL_B_DIRTY, &b->flags);
	}
	kvl_block_attach(r, m->index, b, dst);
	if (from_memory(m))
		kvl_slot_free(pool, src);
}

static void trace_move(struct kvl_move *m, int err, u64 now)
{
	u64 sub = m->t_submit ?: now;
	u64 wait = sub - m->t_start;
	u64 queue = 0, io = 0, copy = m->sum_ns, commit = 0;

	if (m->t_submit) {
		commit = now - m->copy.t_done;
		if (from_memory(m) && to_memory(m)) {
			copy = m->copy.t_done - sub;
		} else {
			queue = kvl_move_queued(m);
			io = m->copy.t_done - sub - queue;
		}
		/* The sum is made before the write, or after the read. */
		if (from_memory(m))
			wait -= m->sum_ns;
		else
			commit -= m->sum_ns;
	}
	trace_kvlift_move(m->copy.pool->id, m->r->id, m->index, m->copy.src,
			  m->copy.dst, KVL_HOW(m->why, m->proto), err, wait,
			  queue, io, copy, commit);
}

void kvl_move_leaving(struct kvl_move *m, int delta)
{
	unsigned int tier = kvl_addr_tier(m->copy.src);

	atomic_add(delta, &m->copy.pool->tiers[tier].leaving);
	atomic_add(delta, &kvl_addr_member(m->copy.pool, m->copy.src)->leaving);
	kvl_domain_leaving(m->r->domain, tier, delta);
}

/* What a device says is nothing that a caller could use. */
static int told(int err)
{
	return err && err != -EBUSY && err != -ENODEV ? -EIO : err;
}

/* The block's lock is held; the rest waits for kvl_moves_reap(). */
static void end(struct kvl_move *m, int err, struct list_head *ended)
{
	u64 now = ktime_get_ns();

	if (m->moving) {
		clear_bit(KVL_B_MOVING, &m->b->flags);
		if (leaves(m))
			kvl_move_leaving(m, -1);
	}
	m->copy.error = err;
	if (m->gpu)
		kvl_gpu_release(m);
	if (!err && !m->store)
		count(m, now);
	if (trace_kvlift_move_enabled())
		trace_move(m, err, now);
	if (m->req) {
		kvl_request_block(m->req, m->index, m->b, told(err));
		kvl_request_put(m->req);
	}
	list_add_tail(&m->list, ended);
}

unsigned int kvl_moves_reap(struct kvl_pool *pool, struct list_head *ended)
{
	struct kvl_move *m, *tmp;
	unsigned int n = 0, ok = 0;
	bool out = false;

	list_for_each_entry_safe(m, tmp, ended, list) {
		struct inode *inode = &m->r->inode;

		out |= m->from == pool->out_mempool;
		ok += !m->copy.error;
		kvl_move_free(m);
		atomic_dec(&kvl_objects.moves);
		iput(inode);
		n++;
	}
	INIT_LIST_HEAD(ended);
	/* Somebody may have found none of these. */
	if (out)
		kvl_pool_slot_freed(pool);
	/* The pool goes away only after this. */
	if (n) {
		atomic_sub(n, &pool->moves);
		if (kvl_move_count(pool) < KVL_MAX_MOVES)
			wake_up_all(&pool->move_wait);
	}
	return ok;
}

/* Somebody holds a reference, or the block has changed: it stays. */
void kvl_move_refuse(struct kvl_move *m, enum kvl_counter why,
		     struct list_head *ended)
{
	kvl_count(m->copy.pool, why);
	/* The place of a shadow that is still one stays the block's. */
	if (!m->borrowed)
		kvl_slot_free(m->copy.pool, m->copy.dst);
	end(m, -EBUSY, ended);
	kvl_block_unlock(m->b);
}

void kvl_move_fail(struct kvl_move *m, int err, bool free,
		   struct list_head *ended)
{
	kvl_count(m->copy.pool, KVL_C_ABORTED);
	if (free)
		kvl_slot_free(m->copy.pool, m->copy.dst);
	end(m, err, ended);
	kvl_block_unlock(m->b);
}

static const char *read_error(int err)
{
	switch (err) {
	case -EILSEQ:
		return "wrong checksum";
	case -ENOMEM:
		return "no memory for the I/O";
	}
	return "I/O error";
}

/* Until a fault has tried it again. */
void kvl_move_mark_error(struct kvl_move *m, int err)
{
	struct kvl_pool *pool = m->copy.pool;
	u64 src = m->copy.src;

	/* Of a want of memory the device knows nothing. */
	if (err != -ENOMEM)
		kvl_count(pool, err == -EILSEQ ? KVL_C_CSUM_ERRORS :
						 KVL_C_IO_ERRORS);
	if (kvl_addr_is_gpu(src))
		kvl_change_error(m->r, m->index, m->b);
	else
		kvl_change_extent(m->r, m->index, m->b, src | KVLIFT_LOC_ERROR);
	kvl_heat_stamp(m->index, m->b);
	trace_kvlift_error(pool->id, m->r->id, m->index, src, err);
	pr_err_ratelimited("pool %u: region %llu block %llu cannot be read from %s: %s\n",
			   pool->id, m->r->id, m->index,
			   kvl_addr_member(pool, src)->name, read_error(err));
}

/*
 * The destination could not be written. A bad place is not chosen again.
 * Anything else may pass: the device rests, so that the error does not go
 * through all of its slots.
 */
void kvl_move_write_failed(struct kvl_move *m, int err)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_member *d = kvl_addr_member(pool, m->copy.dst);

	kvl_count(pool, KVL_C_IO_ERRORS);
	trace_kvlift_error(pool->id, m->r->id, m->index, m->copy.dst, err);
	if (err == -ENODATA) {
		kvl_slot_retire(pool, m->copy.dst);
		return;
	}
	/* Those that were in flight together count once. */
	if (kvl_member_usable(d)) {
		u64 rest = WRITE_REST << min(READ_ONCE(d->write_errors), 3u);

		/* Workers may lose a count to each other. */
		WRITE_ONCE(d->write_errors, READ_ONCE(d->write_errors) + 1);
		WRITE_ONCE(d->rest_until, get_jiffies_64() + rest);
	}
	kvl_slot_free(pool, m->copy.dst);
}

/* The copy failed; the source is not frozen. */
void kvl_move_abort(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;
	bool store = from_memory(m) && to_device(m);
	struct kvl_tier *from = &pool->tiers[kvl_addr_tier(m->copy.src)];
	int err = m->copy.error;

	kvl_count(pool, KVL_C_ABORTED);
	/* Of these the device knows nothing. */
	if (store && err != -EHWPOISON && err != -ENOMEM)
		kvl_move_write_failed(m, err);
	else
		kvl_slot_free(pool, m->copy.dst);
	if (from_memory(m) && !store && (to_memory(m) || err == -EHWPOISON))
		kvl_memerr_block(m->r, m->index, m->b);
	else if (!from_memory(m) && err != -EHWPOISON)
		kvl_move_mark_error(m, err);
	end(m, err, ended);
	kvl_block_unlock(m->b);
	/* Who waits for a slot may have to look elsewhere. */
	if (store)
		kvl_reclaim_kick(from);
}

/* The source is frozen and the copy is good. */
void kvl_move_commit(struct kvl_move *m, struct list_head *ended)
{
	publish(m);
	end(m, 0, ended);
	kvl_block_unlock(m->b);
}

bool kvl_move_sum_is_right(struct kvl_move *m, struct folio *folio)
{
	u64 start = trace_kvlift_move_enabled() ? ktime_get_ns() : 0;
	struct kvl_pool *pool = m->copy.pool;
	bool right;

	right = kvl_pool_crc(pool, folio_address(folio), pool->block_size) ==
		m->b->csum;
	if (start)
		m->sum_ns = ktime_get_ns() - start;
	return right;
}

int kvl_move_end_read_locked(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;
	struct folio *folio = kvl_addr_folio(pool, m->copy.dst);

	/* The memory it was read into has failed: again, into another. */
	if (READ_ONCE(kvl_mem_slot(pool, m->copy.dst)->bad)) {
		m->copy.error = -EHWPOISON;
		kvl_move_abort(m, ended);
		return -EAGAIN;
	}
	if (!m->copy.error) {
		kvl_count_add(pool, KVL_C_READ_BYTES, pool->block_size);
		/* Lost writes are to be seen as such, not as a wrong sum. */
		if (!kvl_move_sum_is_right(m, folio) && !kvl_param_unsafe_skip_dirty)
			m->copy.error = -EILSEQ;
	}
	if (m->copy.error) {
		kvl_move_abort(m, ended);
		return -EIO;
	}
	publish(m);
	end(m, 0, ended);
	return 0;
}

void kvl_move_end_read(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_block *b = m->b;

	if (!kvl_move_end_read_locked(m, ended))
		kvl_block_unlock(b);
}

void kvl_move_end_store(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_slot *s = src_slot(m);
	struct kvl_block *b = m->b;
	int err = 0;

	/* Dirty bits that are still in page tables come at the next unmap. */
	if (test_bit(KVL_B_WRITTEN, &b->flags) || folio_test_dirty(s->folio)) {
		kvl_count(pool, KVL_C_STORE_STALE);
		kvl_slot_free(pool, m->copy.dst);
		err = -EAGAIN;
	} else {
		struct kvl_tier *t = &pool->tiers[kvl_addr_tier(m->copy.src)];

		kvl_count(pool, KVL_C_STORED);
		b->csum = m->copy.csum;
		clear_bit(KVL_B_DIRTY, &b->flags);
		kvl_change_shadow(m->r, m->index, b, m->copy.dst);
		atomic64_inc(&kvl_addr_member(pool, m->copy.dst)->nshadow);
		spin_lock(&t->lru_lock);
		if (list_empty(&s->shadow))
			list_add(&s->shadow, &t->shadowed);
		spin_unlock(&t->lru_lock);
	}
	end(m, err, ended);
	kvl_block_unlock(b);
}

void kvl_move_written(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_member *d = kvl_addr_member(pool, m->copy.dst);

	kvl_count_add(pool, KVL_C_WRITE_BYTES, pool->block_size);
	if (READ_ONCE(d->write_errors))
		WRITE_ONCE(d->write_errors, 0);
}

/* A copy for which the source was frozen has arrived. */
void kvl_move_end_stopped(struct kvl_move *m, struct list_head *ended)
{
	if (m->copy.error) {
		kvl_block_unquiesce(m->r, m->b);
		kvl_move_abort(m, ended);
		return;
	}
	if (!to_memory(m))
		kvl_move_written(m);
	if (m->store) {
		kvl_block_unquiesce(m->r, m->b);
		kvl_move_end_store(m, ended);
		return;
	}
	kvl_move_commit(m, ended);
}
