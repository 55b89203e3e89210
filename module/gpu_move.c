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
#include "policy.h"
#include "queue.h"
#include "seal.h"
#include "trace.h"

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
	}
	kvl_slot_free(pool, addr);
	/* It may be leased and not free: who waits for the block goes on. */
	kvl_pool_slot_freed(pool);
	return good;
}

void kvl_gpu_written(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	kvl_block_mark_written(r, index, b);
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

/* Memory for a block that leaves a GPU, with whatever else that needs. */
static int out_slots(struct kvl_region *r, struct kvl_gpu *g, u64 *dst,
		     u64 *stage)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	*stage = 0;
	if (kvl_policy_place(pool, r, dst)) {
		kvl_reclaim_kick(dram);
		return -ENOSPC;
	}
	if (!g->dmabuf && kvl_window_alloc(&g->win, stage)) {
		kvl_slot_free(pool, *dst);
		kvl_window_kick(&g->win);
		return -ENOSPC;
	}
	return 0;
}

/* Its content is in the GPU alone. The lock is given up. -ENOSPC. */
static int out(struct kvl_batch *batch, struct kvl_region *r, u64 index,
	       struct kvl_block *b, enum kvl_why why)
{
	struct kvl_pool *pool = batch->pool;
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));
	struct kvl_move *m;
	u64 dst, stage;

	if (out_slots(r, g, &dst, &stage)) {
		kvl_block_unlock(b);
		return -ENOSPC;
	}
	m = kvl_batch_new(batch, r, index, b, dst, why, NULL);
	if (!m) {
		if (stage)
			kvl_slot_free(pool, stage);
		return -ENOSPC;
	}
	m->gpu = KVL_GPU_OUT;
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

	if (READ_ONCE(kvl_addr_member(pool, kvl_block_home(b))->dead)) {
		kvl_gpu_leave(r, index, b);
	} else if (test_bit(KVL_B_MOVING, &b->flags)) {
		err = -EBUSY;
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

bool kvl_gpu_is_mine(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));

	return kvl_mover_is_current(g) && !READ_ONCE(g->m.dead) &&
	       (home_slot(r, b)->written ||
		test_bit(KVL_B_MOVING, &b->flags) ||
		!kvl_gpu_has_copy(pool, b));
}

int kvl_gpu_bring(struct kvl_region *r, u64 index, struct kvl_block *b,
		  enum kvl_why why, bool here)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_gpu *g = kvl_addr_gpu(pool, kvl_block_home(b));
	bool wait = home_slot(r, b)->written ||
		    test_bit(KVL_B_MOVING, &b->flags);
	struct kvl_batch batch;

	if (READ_ONCE(g->m.dead)) {
		kvl_gpu_leave(r, index, b);
	} else if (!wait && kvl_gpu_has_copy(pool, b)) {
		/* A GPU that reads its slot goes on doing so. */
		drop(r, index, b, why);
	} else if (here || kvl_mover_is_current(g)) {
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

static int to_window(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		     struct kvl_block *b)
{
	u64 dst;

	if (kvl_window_alloc(&p->gpu->win, &dst)) {
		kvl_window_kick(&p->gpu->win);
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	kvl_batch_add(batch, p->r, index, b, dst, KVL_WHY_PREFETCH, p);
	return 0;
}

/**
 * struct in_slots - what a move to a GPU needs
 * @dst:	slot of the GPU
 * @stage:	slot in memory that it passes through, 0 for none
 * @keep:	slot in memory for a copy that stays, 0 for none
 */
struct in_slots {
	u64 dst;
	u64 stage;
	u64 keep;
};

static void put_slots(struct kvl_pool *pool, const struct in_slots *s, u64 home)
{
	if (s->dst)
		kvl_slot_free(pool, s->dst);
	if (s->stage && s->stage != home)
		kvl_slot_free(pool, s->stage);
	if (s->keep)
		kvl_slot_free(pool, s->keep);
}

static bool wants_keep(const struct kvl_request *p)
{
	return !(p->flags & (KVLIFT_REQ_EXCLUSIVE | KVLIFT_REQ_WRITE));
}

static int alloc_dst(struct kvl_request *p, u64 *dst)
{
	struct kvl_tier *t = p->gpu->m.tier;

	*dst = 0;
	if (!kvl_domain_admit(p->r->domain, t))
		return -EAGAIN;
	if (kvl_member_alloc(&p->gpu->m, dst)) {
		kvl_reclaim_kick(t);
		return -EAGAIN;
	}
	kvl_reclaim_check(t);
	return 0;
}

/* Where the mover, or a dma-buf's copy from a device, finds the content. */
static int alloc_stage(struct kvl_request *p, u64 home, struct in_slots *s)
{
	struct kvl_pool *pool = p->gpu->pool;
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	s->stage = 0;
	if (p->gpu->dmabuf) {
		if (kvl_addr_is_memory(home) ||
		    !kvl_tier_alloc(dram, p->node, &s->stage))
			return 0;
		kvl_reclaim_kick(dram);
		return -EAGAIN;
	}
	if (kvl_addr_is_memory(home) &&
	    kvl_mem_slot(pool, home)->window == &p->gpu->win) {
		s->stage = home;
		return 0;
	}
	if (!kvl_window_alloc(&p->gpu->win, &s->stage))
		return 0;
	kvl_window_kick(&p->gpu->win);
	return -EAGAIN;
}

/* Of what leaves a window, which is not for what stays. */
static int alloc_keep(struct kvl_request *p, struct kvl_block *b, u64 home,
		      struct in_slots *s)
{
	struct kvl_pool *pool = p->gpu->pool;
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	s->keep = 0;
	if (!kvl_addr_is_memory(home) || !kvl_mem_slot(pool, home)->window ||
	    !wants_keep(p) || kvl_gpu_has_copy(pool, b))
		return 0;
	if (!kvl_tier_alloc(dram, p->node, &s->keep))
		return 0;
	kvl_reclaim_kick(dram);
	return -EAGAIN;
}

static int to_the_gpu(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		      struct kvl_block *b)
{
	struct kvl_pool *pool = batch->pool;
	u64 home = kvl_block_home(b);
	bool read = kvl_addr_is_device(home);
	struct in_slots s = {};
	struct kvl_move *m;

	if (alloc_dst(p, &s.dst) || alloc_stage(p, home, &s) ||
	    alloc_keep(p, b, home, &s)) {
		put_slots(pool, &s, home);
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	m = kvl_batch_new(batch, p->r, index, b, read ? s.stage : s.dst,
			  KVL_WHY_PREFETCH, p);
	if (!m) {
		/* Where it was to be read, or else copied, was given up. */
		if (read)
			s.stage = 0;
		else
			s.dst = 0;
		put_slots(pool, &s, home);
		return 0;
	}
	m->gpu = read ? KVL_GPU_READ : KVL_GPU_IN;
	m->final = s.dst;
	m->copy.stage = s.stage;
	m->keep = s.keep;
	m->exclusive = !wants_keep(p);
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
	return 0;
}

/* From another GPU, if the mover can. The lock is given up; -EAGAIN. */
static int from_peer(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		     struct kvl_block *b)
{
	struct kvl_move *m;
	u64 dst;

	/* Who writes it there is waited for. */
	if (home_slot(p->r, b)->written || alloc_dst(p, &dst)) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	m = kvl_batch_new(batch, p->r, index, b, dst, KVL_WHY_PREFETCH, p);
	if (!m)
		return 0;
	m->gpu = KVL_GPU_PEER;
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
	return 0;
}

int kvl_gpu_place(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		  struct kvl_block *b)
{
	u64 home = kvl_block_home(b);

	if (kvl_request_in_place(p, b->loc))
		return 1;
	if (READ_ONCE(p->gpu->state) != KVLIFT_MOVER_LIVE)
		return -ENODEV;
	/* Sealed since it was asked for. */
	if (p->flags & ~KVLIFT_REQ_GPU && kvl_seal_is_on(p->r))
		return -EPERM;
	if (test_bit(KVL_B_MOVING, &b->flags)) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	if (kvl_addr_is_gpu(home) && p->flags & KVLIFT_REQ_GPU &&
	    kvl_mover_reaches(p->gpu, kvl_addr_gpu(batch->pool, home)))
		return from_peer(batch, p, index, b);
	if (kvl_addr_is_gpu(home)) {
		/* Down, and then on; whoever has it there reads what it has. */
		kvl_batch_run(batch);
		kvl_gpu_bring(p->r, index, b, KVL_WHY_READ, false);
		return -EAGAIN;
	}
	if (p->flags & KVLIFT_REQ_WINDOW)
		return to_window(batch, p, index, b);
	return to_the_gpu(batch, p, index, b);
}

int kvl_gpu_new(struct kvl_request *p, u64 index, struct kvl_block *b)
{
	bool charged = kvl_block_charged(b);
	u64 dst;
	int err;

	if (kvl_block_lost(b))
		return -EIO;
	/* What it holds is not to be thrown away. */
	if (b->loc & KVLIFT_LOC_INLINE)
		return kvl_block_populate(p->r, index, b);
	if (READ_ONCE(p->gpu->state) != KVLIFT_MOVER_LIVE)
		return -ENODEV;
	if (!charged) {
		err = kvl_region_charge(p->r);
		if (err)
			return err;
	}
	if (alloc_dst(p, &dst)) {
		if (!charged)
			kvl_region_uncharge(p->r);
		return -EAGAIN;
	}
	kvl_block_mark_written(p->r, index, b);
	kvl_block_attach(p->r, index, b, dst);
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
	if (!m->copy.error) {
		kvl_count_add(pool, KVL_C_READ_BYTES, pool->block_size);
		if (!kvl_move_sum_is_right(m, s->folio))
			m->copy.error = -EILSEQ;
	}
	if (m->copy.error) {
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
	if (m->copy.error)
		kvl_move_fail(m, m->copy.error, ended);
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
	if (m->copy.error) {
		/* Another GPU is not to blame for what it cannot reach. */
		if (m->copy.error != -ENODEV && m->gpu == KVL_GPU_OUT)
			kvl_move_mark_error(m, m->copy.error);
		kvl_move_fail(m, m->copy.error, ended);
	} else if (s->written ||
		   (s->leases && m->gpu == KVL_GPU_OUT && !is_touch(m->why))) {
		kvl_move_refuse(m, KVL_C_REFUSED_LEASED, ended);
	} else if (test_bit(KVL_B_WRITTEN, &m->b->flags)) {
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
	} else {
		kvl_move_commit(m, ended);
	}
}

static void out_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;

	if (!m->copy.error && m->copy.stage)
		m->copy.error =
			folio_mc_copy(kvl_addr_folio(pool, m->copy.dst),
				      kvl_addr_folio(pool, m->copy.stage));
	leave_arrived(m, ended);
}

static void peer_arrived(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_pool *pool = m->copy.pool;

	/* Of one that has ended meanwhile it may have copied anything. */
	if (!m->copy.error &&
	    !kvl_mover_reaches(kvl_addr_gpu(pool, m->copy.dst),
			       kvl_addr_gpu(pool, m->copy.src)))
		m->copy.error = -ENODEV;
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

	kvl_block_lock(b);
	if ((b->loc ^ m->loc) & KVL_LOC_PLACE || b->shadow != m->copy.src) {
		folio_put(m->folio);
		kvl_mem_recheck(pool, m->copy.src);
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
		return;
	}
	if (!freeze(m->folio)) {
		/* Somebody has it: then the GPU's is the only copy. */
		set_bit(KVL_B_DIRTY, &b->flags);
		kvl_block_drop_shadow(m->r, b);
		kvl_change_shadow(m->r, m->index, b, 0);
		folio_put(m->folio);
		kvl_move_refuse(m, KVL_C_REFUSED_PINNED, ended);
		return;
	}
	if (m->copy.error && to_device(m) && m->copy.error != -EHWPOISON &&
	    m->copy.error != -ENOMEM) {
		kvl_move_write_failed(m, m->copy.error);
		m->copy.dst = 0;
	}
	if (m->copy.error) {
		kvl_move_fail(m, m->copy.error, ended);
		return;
	}
	if (to_device(m))
		kvl_move_written(m);
	kvl_move_commit(m, ended);
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
		kvl_block_detach(m->r, m->b);
		/* If it passes through the window there: published, then free. */
		if (m->copy.stage == m->copy.src)
			m->copy.stage = 0;
		keep_or_free(m);
	} else {
		kvl_block_attach_shadow(m->r, m->index, m->b, m->copy.src);
	}
	kvl_block_attach(m->r, m->index, m->b, m->copy.dst);
}

static void publish_sink(struct kvl_move *m)
{
	u64 old = kvl_block_detach_shadow(m->r, m->b);

	kvl_slot_free(m->copy.pool, old);
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
		kvl_block_detach(m->r, m->b);
		kvl_block_attach(m->r, m->index, m->b, m->copy.dst);
		kvl_slot_free(m->copy.pool, m->copy.src);
		return;
	case KVL_GPU_SINK:
		publish_sink(m);
		return;
	case KVL_GPU_READ:
	case KVL_GPU_NONE:
		break;
	}
}
