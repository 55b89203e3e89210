// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves to and from a GPU.
 *
 *	IN	from memory: as any move of a block in use (move.c), but that it
 *		is copied to a slot of the window and from there by the mover.
 *		From a device: read to the window first (READ), with its lock
 *		held by the I/O; then it is where it was, and moves
 *	OUT	to the window by the mover, and then to a slot in memory
 *	PEER	from one GPU to another, by the mover of that
 *	SINK	the block stays in the GPU, its copy in memory moves down
 *	leave	to the copy below: nothing is copied
 *
 * No block's lock is held while a mover copies. KVL_B_MOVING keeps other moves
 * away, and a block that was replaced meanwhile, or that somebody was granted a
 * lease to write, has the copy thrown away. So whoever waits for a mover waits for a
 * move to end, which wakes all who wait for a slot, and can be killed.
 *
 * Floor: to and from an ordinary slot one copy by the CPU and one by the GPU,
 * from a device or a window's slot one by the GPU. The one by the CPU is what
 * registering nothing but the window costs.
 */
#include <linux/ktime.h>
#include <linux/mm.h>

#include "domain.h"
#include "gpu.h"
#include "heat.h"
#include "move_priv.h"
#include "mover_ring.h"
#include "policy.h"
#include "trace.h"

/* Bytes that are copied before the mover hears of them, or one block. */
#define QUIET_MOST	(512u << 10)

/* Tries to get back a folio that somebody has looked at. */
#define FREEZE_TRIES	1000

static struct kvl_slot *home_slot(struct kvl_region *r, struct kvl_block *b)
{
	return kvl_mem_slot(kvl_region_pool(r), kvl_block_home(b));
}

bool kvl_gpu_has_copy(struct kvl_pool *pool, const struct kvl_block *b)
{
	return b->shadow && !test_bit(KVL_B_DIRTY, &b->flags) &&
	       !READ_ONCE(kvl_addr_member(pool, b->shadow)->dead);
}

bool kvl_gpu_leave(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	bool good = kvl_gpu_has_copy(pool, b);
	u64 addr = kvl_block_detach(r, b), shadow;

	if (good) {
		shadow = kvl_block_detach_shadow(r, b);
		if (kvl_addr_is_memory(shadow))
			kvl_block_attach(r, index, b, shadow);
		else
			kvl_change_extent(r, index, b, shadow);
	} else {
		kvl_block_lose(r, index, b, true);
		kvl_count(pool, KVL_C_GPU_LOST);
		atomic64_inc(&kvl_addr_gpu(pool, addr)->nr_lost);
	}
	kvl_slot_free(pool, addr);
	/* It may be leased and not free: who waits for the block goes on. */
	kvl_pool_slot_freed(pool);
	return good;
}

void kvl_gpu_lose_shadow(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	set_bit(KVL_B_DIRTY, &b->flags);
	kvl_block_drop_shadow(r, b);
	kvl_change_shadow(r, index, b, 0);
	/* A move that is under way will find the block elsewhere. */
	if (!home_slot(r, b)->lent)
		kvl_gpu_leave(r, index, b);
}

void kvl_gpu_written(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	kvl_block_mark_written(r, index, b);
	home_slot(r, b)->lent = true;
	/* All of it, whatever the file has of the block. */
	set_bit(KVL_B_LENT, &b->flags);
	/* What is on a device is written again there. */
	if (kvl_addr_is_memory(b->shadow))
		kvl_block_drop_shadow(r, b);
	kvl_change_shadow(r, index, b, b->shadow);
}

/* With its counters and its event. */
static void drop(struct kvl_region *r, u64 index, struct kvl_block *b,
		 enum kvl_why why)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 src = kvl_block_home(b), dst = b->shadow;

	if (!kvl_gpu_leave(r, index, b))
		return;
	kvl_count(pool, KVL_C_DEMOTE);
	kvl_count(pool, KVL_C_DEMOTE_NOIO);
	kvl_count(pool, KVL_C_MOVE_DROP);
	kvl_count_move(pool, KVLIFT_TIER_GPU, kvl_addr_tier(dst));
	if (trace_kvlift_move_enabled())
		trace_kvlift_move(pool->id, r->id, index, src, dst,
				  KVL_HOW(why, KVL_PROTO_DROP), 0, 0, 0, 0, 0,
				  0);
}

/*
 * Memory for a block that leaves a GPU, with whatever else that needs. Nothing is
 * taken that would have to be given back at once: who waits for a slot would be
 * woken by that, in vain and without end.
 */
static int out_slots(struct kvl_region *r, struct kvl_gpu *g, u64 *dst,
		     u64 *stage)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	*stage = 0;
	if (!g->dmabuf && !kvl_window_has_free(&g->win)) {
		if (kvl_window_starve(&g->win))
			kvl_mover_fail(g, "its window has no slot for what is wanted back");
		return -ENOSPC;
	}
	if (kvl_policy_place(pool, r, dst)) {
		kvl_reclaim_kick(dram);
		return -ENOSPC;
	}
	if (!g->dmabuf && kvl_window_stage(&g->win, stage)) {
		kvl_slot_free(pool, *dst);
		return -ENOSPC;
	}
	return 0;
}

void kvl_gpu_count(struct kvl_move *m, int delta)
{
	m->counted = delta > 0;
	atomic_add(delta, &m->copy.pool->gpu_moves);
	atomic_add(delta, &m->held_by->moves);
	/* One fewer to wait for. */
	if (delta > 0 && wq_has_sleeper(&m->copy.pool->move_wait))
		wake_up_all(&m->copy.pool->move_wait);
}

void kvl_gpu_loud(struct kvl_quiet *q)
{
	if (q->g)
		kvl_mover_wake(q->g);
	q->g = NULL;
	q->bytes = 0;
}

/*
 * The CPU copies each of them first. To wake the mover for every small one would
 * cost two switches where it shares the CPU, and it copies best in batches.
 */
void kvl_gpu_quiet(struct kvl_quiet *q, struct kvl_move *m)
{
	if (m->gpu != KVL_GPU_IN)
		return;
	if (q->g != m->held_by || q->bytes >= QUIET_MOST)
		kvl_gpu_loud(q);
	q->g = m->held_by;
	q->bytes += m->copy.pool->block_size;
	m->copy.quiet = true;
}

void kvl_gpu_hold(struct kvl_move *m, enum kvl_gpu_move what,
		  struct kvl_gpu *g)
{
	m->gpu = what;
	m->held_by = g;
	kvl_gpu_count(m, 1);
}

/* Its content is in the GPU alone. The lock is given up. -ENOSPC. */
static int out(struct kvl_batch *batch, struct kvl_region *r, u64 index,
	       struct kvl_block *b, enum kvl_why why)
{
	struct kvl_pool *pool = batch->pool;
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));
	struct kvl_move *m = kvl_move_alloc_gpu(pool, true);
	u64 dst, stage;

	if (!m || out_slots(r, g, &dst, &stage)) {
		if (m)
			kvl_move_free(m);
		kvl_block_unlock(b);
		return -ENOSPC;
	}
	kvl_batch_add_gpu(batch, r, index, b, dst, why, NULL, m);
	kvl_gpu_hold(m, KVL_GPU_OUT, g);
	m->copy.stage = stage;
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
	return 0;
}

int kvl_gpu_demote(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		   struct kvl_block *b, enum kvl_why why)
{
	struct kvl_pool *pool = batch->pool;
	int err = 0;

	if (test_bit(KVL_B_MOVING, &b->flags)) {
		err = -EBUSY;
	} else if (READ_ONCE(kvl_addr_member(pool, kvl_block_home(b))->dead)) {
		kvl_gpu_leave(r, index, b);
	} else if (home_slot(r, b)->leases) {
		kvl_count(pool, KVL_C_REFUSED_LEASED);
		err = -EBUSY;
	} else if (kvl_gpu_has_copy(pool, b)) {
		drop(r, index, b, why);
		batch->moved++;
	} else {
		return out(batch, r, index, b, why);
	}
	kvl_block_unlock(b);
	return err;
}

/* The copy below moves down: it is not frozen then. */
static bool sinks(struct kvl_pool *pool, struct kvl_block *b)
{
	return test_bit(KVL_B_MOVING, &b->flags) &&
	       kvl_addr_is_memory(b->shadow) &&
	       folio_ref_count(kvl_addr_folio(pool, b->shadow));
}

/* The current task would have to: of what moves to another GPU, that one's. */
static bool would_copy(struct kvl_gpu *g, bool moving)
{
	struct kvl_tier *t = g->m.tier;
	unsigned int i;

	if (kvl_mover_is_current(g))
		return true;
	for (i = 0; moving && i < t->nr_members; i++) {
		struct kvl_gpu *o = kvl_to_gpu(t->members[i]);

		if (kvl_mover_reaches(o, g) && kvl_mover_is_current(o))
			return true;
	}
	return false;
}

bool kvl_gpu_is_mine(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));
	bool moving = test_bit(KVL_B_MOVING, &b->flags);

	return would_copy(g, moving) && !READ_ONCE(g->m.dead) &&
	       (home_slot(r, b)->written || !kvl_gpu_has_copy(pool, b));
}

int kvl_gpu_bring(struct kvl_region *r, u64 index, struct kvl_block *b,
		  enum kvl_why why, bool here)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));
	bool moving = test_bit(KVL_B_MOVING, &b->flags);
	bool has = kvl_gpu_has_copy(pool, b) && !home_slot(r, b)->written;
	bool wait = home_slot(r, b)->written || moving;
	struct kvl_batch batch;

	if (READ_ONCE(g->m.dead)) {
		/* What moves ends soon, and still has the slots. */
		if (!moving)
			kvl_gpu_leave(r, index, b);
	} else if (has && !sinks(pool, b)) {
		/*
		 * A GPU that reads its slot goes on doing so, and what a move to
		 * another has copied is thrown away.
		 */
		drop(r, index, b, why);
	} else if (has) {
		/* That copy moves down: no mover is waited for. */
	} else if (here || would_copy(g, moving)) {
		kvl_block_unlock(b);
		return -EDEADLK;
	} else if (!wait) {
		kvl_batch_init(&batch, pool);
		out(&batch, r, index, b, why);
		kvl_batch_run(&batch);
		return -EAGAIN;
	}
	kvl_block_unlock(b);
	return -EAGAIN;
}

/* The slot below the one of a shadow in memory: the lock is given up. */
int kvl_gpu_sink(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		 struct kvl_block *b)
{
	struct kvl_move *m;
	int err = -EBUSY;
	u64 dst;

	if (kvl_addr_is_gpu(kvl_block_home(b)) &&
	    kvl_addr_is_memory(b->shadow) &&
	    !test_bit(KVL_B_DIRTY, &b->flags) &&
	    !test_bit(KVL_B_MOVING, &b->flags))
		err = kvl_place_below(r, b, b->shadow, &dst);
	if (err) {
		kvl_block_unlock(b);
		return err;
	}
	m = kvl_batch_new(batch, r, index, b, dst, KVL_WHY_RECLAIM, NULL);
	if (!m)
		return -ENOSPC;
	m->gpu = KVL_GPU_SINK;
	m->copy.src = b->shadow;
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
	return 0;
}

void kvl_gpu_begin(struct kvl_move *m)
{
	m->loc = m->b->loc;
	m->proto = KVL_PROTO_OPEN;
	m->moving = true;
	set_bit(KVL_B_MOVING, &m->b->flags);
	/* A lease for writing may come and go before the copy is there. */
	clear_bit(KVL_B_WRITTEN, &m->b->flags);
	if (leaves(m))
		kvl_move_leaving(m, 1);
	if (m->gpu == KVL_GPU_SINK) {
		/* So that it is not given to others before the copy is made. */
		m->folio = src_slot(m)->folio;
		folio_ref_unfreeze(m->folio, 2);
	}
	kvl_block_unlock(m->b);
}

/* What the CPU copies before a mover can. */
void kvl_gpu_fill_stage(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	struct folio *src;

	if (!from_memory(m))
		return;
	src = src_slot(m)->folio;
	m->copy.error = READ_ONCE(src_slot(m)->bad) ? -EHWPOISON : 0;
	if (!m->copy.error && m->copy.stage && m->copy.stage != m->copy.src)
		m->copy.error = folio_mc_copy(kvl_addr_folio(pool,
							     m->copy.stage),
					      src);
	if (!m->copy.error && m->keep)
		m->copy.error = folio_mc_copy(kvl_addr_folio(pool, m->keep),
					      src);
}

void kvl_gpu_release(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;

	if (m->copy.stage && m->copy.stage != m->copy.src)
		kvl_slot_free(pool, m->copy.stage);
	if (m->keep)
		kvl_slot_free(pool, m->keep);
	m->copy.stage = 0;
	m->keep = 0;
	/* Before those are woken who look at it. */
	if (m->counted)
		kvl_gpu_count(m, -1);
	if (m->holds)
		kvl_domain_unlease(m->r->domain, m->holds, KVL_LEASE_MOVER);
	m->holds = 0;
	/* Who waits for the end of a move that could not be waited for. */
	kvl_pool_slot_freed(pool);
}

/* Read from a device: the lock is held, and the content on its way. */
static void read_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_slot *s = kvl_mem_slot(pool, m->copy.stage);

	m->copy.dst = m->final;
	if (READ_ONCE(s->bad))
		m->copy.error = -EHWPOISON;
	if (m->copy.error) {
		kvl_move_abort(m, ended);
		return;
	}
	kvl_count_add(pool, KVL_C_READ_BYTES, pool->block_size);
	/*
	 * The owner of a window, who need not be allowed to write the file, can
	 * write there: it is no proof against the device.
	 */
	if (!kvl_move_sum_is_right(m, s->folio)) {
		m->copy.error = -EILSEQ;
		if (s->window)
			kvl_move_fail(m, -EILSEQ, true, ended);
		else
			kvl_move_abort(m, ended);
		return;
	}
	m->gpu = KVL_GPU_IN;
	m->loc = m->b->loc;
	m->proto = KVL_PROTO_OPEN;
	m->moving = true;
	set_bit(KVL_B_MOVING, &m->b->flags);
	atomic_set(&m->by, BY_WORKER);
	kvl_block_unlock(m->b);
	kvl_move_submit(m);
}

/* The lock of a block that moved without it, if it is still the same. */
static bool lock_again(struct kvl_move *m, struct list_head *ended)
{
	kvl_block_lock(m->b);
	if (!((m->b->loc ^ m->loc) & KVL_LOC_PLACE))
		return true;
	kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
	return false;
}

static void in_arrived(struct kvl_move *m, struct list_head *ended)
{
	if (!lock_again(m, ended))
		return;
	if (kvl_gpu_is_dead(m->copy.pool, m->copy.dst))
		m->copy.error = -ENODEV;
	if (m->copy.error)
		kvl_move_fail(m, m->copy.error, true, ended);
	else
		kvl_move_commit(m, ended);
}

static bool is_touch(enum kvl_why why)
{
	return why == KVL_WHY_FAULT || why == KVL_WHY_READ ||
	       why == KVL_WHY_WRITE;
}

static void leave_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_slot *s;

	if (!lock_again(m, ended))
		return;
	s = src_slot(m);
	if (to_gpu(m) && kvl_gpu_is_dead(m->copy.pool, m->copy.dst))
		m->copy.error = -ENODEV;
	if (to_memory(m) && READ_ONCE(kvl_mem_slot(m->copy.pool,
						   m->copy.dst)->bad))
		m->copy.error = -EHWPOISON;
	if (m->copy.error) {
		/* Who has not asked for it may try again at once. */
		if (m->copy.error != -ENODEV &&
		    m->copy.error != -EHWPOISON && is_touch(m->why))
			kvl_move_mark_error(m, m->copy.error);
		kvl_move_fail(m, m->copy.error, true, ended);
	} else if (s->written ||
		   (s->leases && m->gpu == KVL_GPU_OUT && !is_touch(m->why))) {
		kvl_move_refuse(m, KVL_C_REFUSED_LEASED, ended);
	} else if (test_bit(KVL_B_WRITTEN, &m->b->flags)) {
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
	} else {
		kvl_move_commit(m, ended);
	}
}

/*
 * Nobody has written it, but its copy on a device is gone: then it may be there
 * for somebody who must not write it, and is believed no more than the device.
 */
static bool is_as_stored(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	struct folio *folio = kvl_addr_folio(pool, m->copy.dst);

	return test_bit(KVL_B_DIRTY, &m->b->flags) ||
	       !kvl_addr_is_device(READ_ONCE(m->b->shadow)) ||
	       kvl_pool_crc(pool, folio_address(folio), pool->block_size) ==
		       m->b->csum;
}

static void out_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;

	if (!m->copy.error && m->copy.stage)
		m->copy.error =
			folio_mc_copy(kvl_addr_folio(pool, m->copy.dst),
				      kvl_addr_folio(pool, m->copy.stage));
	if (!m->copy.error && !is_as_stored(m))
		m->copy.error = -EILSEQ;
	leave_arrived(m, ended);
}

static void peer_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;

	/* Of one that has ended meanwhile it may have copied anything. */
	if (!m->copy.error &&
	    !kvl_mover_reaches(kvl_addr_gpu(pool, m->copy.dst),
			       kvl_addr_gpu(pool, m->copy.src)))
		m->copy.error = -EBUSY;
	leave_arrived(m, ended);
}

/* The slot of a copy that went down is the move's alone again. */
static bool freeze(struct folio *folio)
{
	unsigned int i;

	for (i = 0; i < FREEZE_TRIES; i++) {
		if (folio_ref_freeze(folio, 2))
			return true;
		cpu_relax();
	}
	return false;
}

static void sink_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_block *b = m->b;
	bool freed = false;

	kvl_block_lock(b);
	if ((b->loc ^ m->loc) & KVL_LOC_PLACE || b->shadow != m->copy.src) {
		folio_put(m->folio);
		kvl_mem_recheck(pool, m->copy.src);
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
		return;
	}
	if (!m->copy.error) {
		if (to_device(m))
			kvl_move_written(m);
		kvl_move_commit(m, ended);
		return;
	}
	if (!freeze(m->folio)) {
		/* Somebody has it. */
		kvl_gpu_lose_shadow(m->r, m->index, b);
		folio_put(m->folio);
	}
	if (to_device(m) && m->copy.error != -EHWPOISON &&
	    m->copy.error != -ENOMEM) {
		kvl_move_write_failed(m, m->copy.error);
		freed = true;
	}
	kvl_move_fail(m, m->copy.error, !freed, ended);
}

void kvl_gpu_arrived(struct kvl_move *m, struct list_head *ended)
{
	switch (m->gpu) {
	case KVL_GPU_READ:
		read_arrived(m, ended);
		return;
	case KVL_GPU_IN:
		in_arrived(m, ended);
		return;
	case KVL_GPU_OUT:
		out_arrived(m, ended);
		return;
	case KVL_GPU_PEER:
		peer_arrived(m, ended);
		return;
	case KVL_GPU_SINK:
		sink_arrived(m, ended);
		return;
	case KVL_GPU_NONE:
		break;
	}
}

/* It had one on a device when it began. */
bool kvl_gpu_lacks_keep(struct kvl_move *m)
{
	return m->gpu == KVL_GPU_IN && from_memory(m) && !m->exclusive &&
	       !m->keep && src_slot(m)->window &&
	       !kvl_gpu_has_copy(m->copy.pool, m->b);
}

/* From memory: what it was in becomes the copy below, unless there is one. */
static void keep_or_free(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;
	struct kvl_block *b = m->b;
	u64 src = m->copy.src;

	if (kvl_gpu_has_copy(pool, b) || m->exclusive) {
		kvl_slot_free(pool, src);
		return;
	}
	/* One that is out of date. */
	kvl_block_drop_shadow(m->r, b);
	if (m->keep) {
		swap(src, m->keep);
		kvl_slot_free(pool, m->keep);
		m->keep = 0;
	}
	kvl_block_attach_shadow(m->r, m->index, b, src);
}

static void publish_in(struct kvl_move *m)
{
	if (from_memory(m)) {
		kvl_block_detach_locked(m->r, m->b);
		/* If it passes through the window there: published, then free. */
		if (m->copy.stage == m->copy.src)
			m->copy.stage = 0;
		keep_or_free(m);
	} else {
		kvl_block_attach_shadow(m->r, m->index, m->b, m->copy.src);
	}
	kvl_mem_slot(m->copy.pool, m->copy.dst)->lent = m->exclusive;
	kvl_block_attach(m->r, m->index, m->b, m->copy.dst);
}

/* Whoever could write it where it was is believed there, too. */
static void publish_out(struct kvl_move *m)
{
	kvl_mem_slot(m->copy.pool, m->copy.dst)->lent = src_slot(m)->lent;
	kvl_block_detach(m->r, m->b);
	kvl_block_attach(m->r, m->index, m->b, m->copy.dst);
	kvl_slot_free(m->copy.pool, m->copy.src);
}

static void publish_sink(struct kvl_move *m)
{
	u64 old = kvl_block_detach_shadow(m->r, m->b);

	if (freeze(m->folio)) {
		kvl_slot_free(m->copy.pool, old);
	} else {
		/* Whoever has it holds the slot, not the copy. */
		folio_put(m->folio);
		kvl_slot_retire(m->copy.pool, old);
	}
	if (to_device(m))
		m->b->csum = m->copy.csum;
	kvl_block_attach_shadow(m->r, m->index, m->b, m->copy.dst);
}

void kvl_gpu_publish(struct kvl_move *m)
{
	switch (m->gpu) {
	case KVL_GPU_IN:
		publish_in(m);
		return;
	case KVL_GPU_OUT:
	case KVL_GPU_PEER:
		publish_out(m);
		return;
	case KVL_GPU_SINK:
		publish_sink(m);
		return;
	case KVL_GPU_READ:
	case KVL_GPU_NONE:
		break;
	}
}
