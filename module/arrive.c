// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies that have arrived, and what is done then. The blocks of a run are
 * unmapped together and without their locks; each lock is held for what
 * belongs to its block alone, so that a reader waits for no other.
 */
#include <linux/ktime.h>
#include <linux/mm.h>

#include "move_priv.h"
#include "params.h"
#include "trace.h"

/*
 * Makes the copy: true when it has been made, false when the back end will
 * say so; then the move may be over already and must not be touched.
 */
bool kvl_move_submit(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	bool now = from_memory(m) && to_memory(m);
	unsigned int tier = kvl_addr_tier(m->copy.src);

	m->t_submit = ktime_get_ns();
	m->copy.t_issue = 0;
	if (to_gpu(m)) {
		kvl_gpu_fill_stage(m);
		if (m->copy.error) {
			m->copy.t_done = ktime_get_ns();
			kvl_move_copy_done(&m->copy);
			return false;
		}
	} else if (to_device(m)) {
		u64 start = m->t_submit;

		/* Nothing reads it without copy_mc, the checksum neither. */
		if (READ_ONCE(src_slot(m)->bad)) {
			m->copy.error = -EHWPOISON;
			m->copy.t_done = start;
			kvl_move_copy_done(&m->copy);
			return false;
		}
		m->copy.csum = kvl_pool_crc(pool,
					    folio_address(src_slot(m)->folio),
					    pool->block_size);
		/* Its users are out: somebody may be waiting for the lock. */
		if (m->proto == KVL_PROTO_STOP)
			m->copy.prio = KVL_IO_URGENT;
		m->t_submit = ktime_get_ns();
		m->sum_ns += m->t_submit - start;
		kvl_count_ns(pool, tier, KVL_NS_COPY, m->t_submit - start);
	}
	kvl_copy_submit(&m->copy);
	if (now)
		kvl_count_ns(pool, tier, KVL_NS_COPY,
			     m->copy.t_done - m->t_submit);
	return now;
}

/* Neighbours at the head of the array, of blocks that are in use. */
static unsigned int run_length(struct kvl_move **m, unsigned int n)
{
	unsigned int k = 1;

	/* One unmap each anyway, and the folio's lock. */
	if (m[0]->copy.pool->block_size == PMD_SIZE)
		return 1;
	while (k < n && m[k]->r == m[0]->r && m[k]->folio &&
	       m[k]->gpu != KVL_GPU_SINK && m[k]->proto != KVL_PROTO_STOP &&
	       m[k]->index == m[0]->index + k)
		k++;
	return k;
}

static bool written(struct kvl_move *m)
{
	return test_bit(KVL_B_WRITTEN, &m->b->flags) &&
	       !kvl_param_unsafe_skip_dirty;
}

/* The block was written during the copy: again, with everybody out. */
static void copy_again(struct kvl_move *m, struct list_head *ended)
{
	kvl_count(m->copy.pool, KVL_C_RECOPIED);
	m->proto = KVL_PROTO_STOP;
	if (!to_memory(m))
		kvl_block_hand_over(m->b);
	if (kvl_move_submit(m))
		kvl_move_end_stopped(m, ended);
}

/* The copy of a block that was in use meanwhile. */
static void end_used(struct kvl_move *m, struct list_head *ended)
{
	kvl_block_lock(m->b);
	folio_put(m->folio);
	if ((READ_ONCE(m->b->loc) ^ m->loc) & KVL_LOC_PLACE) {
		/* Dropped, or replaced. */
		kvl_mem_recheck(m->copy.pool, m->copy.src);
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
		return;
	}
	if (to_gpu(m) && kvl_gpu_is_dead(m->copy.pool, m->copy.dst))
		m->copy.error = -ENODEV;
	if (m->copy.error) {
		kvl_move_abort(m, ended);
		return;
	}
	if (to_device(m))
		kvl_move_written(m);
	if (m->store) {
		kvl_move_end_store(m, ended);
	} else if (kvl_block_quiesce(m->r, m->index, m->b, false)) {
		kvl_move_refuse(m, KVL_C_REFUSED_PINNED, ended);
	} else if (!written(m) && !kvl_gpu_lacks_keep(m)) {
		kvl_move_commit(m, ended);
	} else if (to_gpu(m)) {
		/* Nobody is kept out of a block until a mover is done. */
		kvl_block_unquiesce(m->r, m->b);
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
	} else {
		copy_again(m, ended);
	}
}

/* Out of the page tables, those that were mapped again. */
static void unmap_used(struct kvl_move **m, unsigned int n)
{
	unsigned int i, k;

	for (i = 0; i < n; i = k + 1) {
		k = i;
		while (k < n && !m[k]->store && !m[k]->copy.error &&
		       folio_mapped(m[k]->folio))
			k++;
		if (k > i)
			kvl_region_unmap(m[i]->r, m[i]->index, k - i);
	}
}

/* In the order in which they were begun. */
void kvl_moves_arrived(struct kvl_move **m, unsigned int n,
		       struct list_head *ended)
{
	unsigned int i, j, k;

	for (i = 0; i < n; i += k) {
		struct kvl_move *e = m[i];

		k = 1;
		if (e->proto == KVL_PROTO_READ ||
		    e->proto == KVL_PROTO_STOP)
			kvl_block_take_over(e->b);
		if (e->gpu && (e->gpu != KVL_GPU_IN || !e->folio)) {
			kvl_gpu_arrived(e, ended);
		} else if (e->proto == KVL_PROTO_READ) {
			kvl_move_end_read(e, ended);
		} else if (e->proto == KVL_PROTO_STOP) {
			kvl_move_end_stopped(e, ended);
		} else {
			k = run_length(m + i, n - i);
			unmap_used(m + i, k);
			for (j = i; j < i + k; j++)
				end_used(m[j], ended);
		}
	}
}

static void done_work(struct work_struct *work)
{
	struct kvl_done *d = container_of(work, struct kvl_done, work);
	struct kvl_move *m[KVL_BATCH];
	struct kvl_pool *pool = d->pool;
	struct llist_node *all;
	LIST_HEAD(ended);

	all = llist_reverse_order(llist_del_all(&d->list));
	while (all) {
		unsigned int n = 0;

		while (all && n < KVL_BATCH) {
			m[n++] = llist_entry(all, struct kvl_move, done);
			all = all->next;
		}
		kvl_moves_arrived(m, n, &ended);
		kvl_moves_reap(pool, &ended);
		cond_resched();
	}
}

/* NULL: no memory. */
struct kvl_done __percpu *kvl_move_done_create(struct kvl_pool *pool)
{
	struct kvl_done __percpu *done = alloc_percpu(struct kvl_done);
	int cpu;

	if (!done)
		return NULL;
	for_each_possible_cpu(cpu) {
		struct kvl_done *d = per_cpu_ptr(done, cpu);

		init_llist_head(&d->list);
		INIT_WORK(&d->work, done_work);
		d->pool = pool;
	}
	return done;
}

void kvl_move_copy_done(struct kvl_copy *copy)
{
	struct kvl_move *m = container_of(copy, struct kvl_move, copy);
	struct kvl_done *d;

	if (from_memory(m) && to_memory(m))
		return; /* whoever submitted it goes on */
	trace_kvlift_io(copy->pool->id, m->r->id, m->index, copy->src,
			copy->dst, copy->pool->block_size,
			copy->t_done - m->t_submit, kvl_move_queued(m),
			copy->error);
	if (atomic_cmpxchg(&m->by, BY_TASK, ARRIVED) == BY_TASK) {
		complete(&m->arrived);
		return;
	}
	if (atomic_cmpxchg(&m->by, BY_BATCH, ARRIVED) == BY_BATCH)
		return;
	d = raw_cpu_ptr(copy->pool->done);
	if (llist_add(&m->done, &d->list))
		queue_work(copy->pool->io_wq, &d->work);
}
