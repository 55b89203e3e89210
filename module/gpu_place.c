// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that an engine wants in its GPU, or in its window: what they need on
 * their way there, and what is said while they have to wait.
 */
#include "domain.h"
#include "gpu.h"
#include "move_priv.h"
#include "queue.h"
#include "seal.h"

/*
 * Of a window that goes on in CXL memory no more blocks of a request are in DRAM
 * than it can have leases on there: it would fail, where the others would do.
 */
static bool dram_is_enough(struct kvl_request *p)
{
	if (!p->lease_ms || !p->gpu->win.part[KVL_WINDOW_CXL].nr)
		return false;
	if (!p->dram_asked) {
		p->dram_asked = true;
		/* Without those that it has itself by now, as is @in_dram. */
		p->dram_left = kvl_domain_leases_left(p->r->domain,
						      KVLIFT_TIER_DRAM);
	}
	return p->in_dram >= p->dram_left;
}

/* In its place, but in DRAM, and that is one too many there. */
static bool is_one_too_many(struct kvl_request *p, u64 home)
{
	return p->flags & KVLIFT_REQ_WINDOW &&
	       kvl_addr_tier(home) == KVLIFT_TIER_DRAM && dram_is_enough(p) &&
	       !kvl_mem_slot(p->gpu->pool, home)->leases;
}

static int home_in_dram(struct kvl_request *p, u64 *dst)
{
	struct kvl_window *w = &p->gpu->win;

	if (!w->part[KVL_WINDOW_DRAM].nr || dram_is_enough(p) ||
	    !kvl_domain_may_place(p->r->domain, KVLIFT_TIER_DRAM))
		return -ENOSPC;
	return kvl_window_home(w, KVL_WINDOW_DRAM, dst);
}

static int home_in_window(struct kvl_request *p, u64 *dst)
{
	struct kvl_tier *tiers = p->gpu->pool->tiers;
	struct kvl_window *w = &p->gpu->win;

	if (!home_in_dram(p, dst))
		return 0;
	if (w->part[KVL_WINDOW_CXL].nr &&
	    kvl_domain_admit(p->r->domain, &tiers[KVLIFT_TIER_CXL]) &&
	    !kvl_window_home(w, KVL_WINDOW_CXL, dst))
		return 0;
	/* If it was the limit in DRAM, some go from there. */
	if (w->part[KVL_WINDOW_DRAM].nr)
		kvl_domain_admit(p->r->domain, &tiers[KVLIFT_TIER_DRAM]);
	return -ENOSPC;
}

static int to_window(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		     struct kvl_block *b)
{
	u64 dst;

	if (home_in_window(p, &dst)) {
		kvl_window_kick(&p->gpu->win);
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	p->in_dram += kvl_addr_tier(dst) == KVLIFT_TIER_DRAM;
	/* Its owner can write all of it. */
	set_bit(KVL_B_LENT, &b->flags);
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
	return !(p->flags & KVLIFT_REQ_EXCLUSIVE);
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
	if (kvl_gpu_is_short(&p->gpu->m))
		kvl_reclaim_kick(t);
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
	if (!kvl_window_stage(&p->gpu->win, &s->stage))
		return 0;
	kvl_window_kick(&p->gpu->win);
	return -EAGAIN;
}

/* Of what leaves a window, which is not for what stays. */
static bool needs_keep(struct kvl_request *p, struct kvl_block *b, u64 home)
{
	struct kvl_pool *pool = p->gpu->pool;

	return kvl_addr_in_window(pool, home) && wants_keep(p) &&
	       !kvl_gpu_has_copy(pool, b);
}

/* Where it was, which changes no count; or in DRAM, if it is full there. */
static struct kvl_tier *keep_tier(struct kvl_request *p, u64 home)
{
	struct kvl_tier *tiers = p->gpu->pool->tiers;
	struct kvl_tier *t = &tiers[kvl_addr_tier(home)];

	if (atomic64_read(&t->nfree) ||
	    !kvl_domain_may_place(p->r->domain, KVLIFT_TIER_DRAM))
		return t;
	return &tiers[KVLIFT_TIER_DRAM];
}

static int alloc_keep(struct kvl_request *p, struct kvl_block *b, u64 home,
		      struct in_slots *s)
{
	struct kvl_tier *t;

	s->keep = 0;
	if (!needs_keep(p, b, home))
		return 0;
	t = keep_tier(p, home);
	if (!kvl_tier_alloc(t, p->node, &s->keep)) {
		kvl_reclaim_check(t);
		return 0;
	}
	kvl_reclaim_kick(t);
	return -EAGAIN;
}

/* See out_slots(). */
static bool is_worth_trying(struct kvl_request *p, struct kvl_block *b,
			    u64 home)
{
	struct kvl_gpu *g = p->gpu;
	struct kvl_tier *dram = &g->pool->tiers[KVLIFT_TIER_DRAM];
	bool in_memory = kvl_addr_is_memory(home);
	struct kvl_tier *t = g->dmabuf && !in_memory ? dram :
			     needs_keep(p, b, home)  ? keep_tier(p, home) :
						       NULL;

	/* As many at a time as it was going to take. */
	if (atomic_read(&g->moves) >= (g->depth ?: KVL_MAX_MOVES))
		return false;
	if (!READ_ONCE(g->m.nfree)) {
		WRITE_ONCE(g->wanted, true);
		kvl_reclaim_kick(g->m.tier);
		return false;
	}
	if (!g->dmabuf && !(in_memory && kvl_mem_slot(g->pool, home)->window ==
						 &g->win) &&
	    !kvl_window_has_free(&g->win)) {
		kvl_window_kick(&g->win);
		return false;
	}
	if (t && !atomic64_read(&t->nfree)) {
		kvl_reclaim_kick(t);
		return false;
	}
	return true;
}

/*
 * What moves from memory keeps its slot until the mover has copied it, which is
 * counted for the domain. One at a time may always.
 */
static bool may_hold(struct kvl_request *p, u64 home, u8 *holds)
{
	if (!kvl_addr_is_memory(home))
		return true;
	*holds = kvl_addr_tier(home);
	if (kvl_domain_lease(p->r->domain, *holds, KVL_LEASE_MOVER))
		return true;
	*holds = 0;
	return !atomic_read(&p->gpu->moves);
}

static int to_the_gpu(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		      struct kvl_block *b)
{
	struct kvl_pool *pool = batch->pool;
	u64 home = kvl_block_home(b);
	bool read = kvl_addr_is_device(home);
	struct in_slots s = {};
	struct kvl_move *m = NULL;
	u8 holds = 0;

	/* Before slots are taken, as who gives some back wakes all others. */
	if (!is_worth_trying(p, b, home) || !may_hold(p, home, &holds)) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	m = kvl_move_alloc_gpu(pool, false);
	if (!m || alloc_dst(p, &s.dst) || alloc_stage(p, home, &s) ||
	    alloc_keep(p, b, home, &s)) {
		if (m)
			kvl_move_free(m);
		put_slots(pool, &s, home);
		if (holds)
			kvl_domain_unlease(p->r->domain, holds,
					   KVL_LEASE_MOVER);
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	kvl_batch_add_gpu(batch, p->r, index, b, read ? s.stage : s.dst,
			  KVL_WHY_PREFETCH, p, m);
	m->holds = holds;
	kvl_gpu_hold(m, read ? KVL_GPU_READ : KVL_GPU_IN, p->gpu);
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
	struct kvl_move *m = kvl_move_alloc_gpu(batch->pool, false);
	u64 dst;

	/* Who writes it there is waited for. */
	if (!m || kvl_mem_slot(batch->pool, kvl_block_home(b))->written ||
	    atomic_read(&p->gpu->moves) >= p->gpu->depth || alloc_dst(p, &dst)) {
		if (m)
			kvl_move_free(m);
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	kvl_batch_add_gpu(batch, p->r, index, b, dst, KVL_WHY_PREFETCH, p, m);
	kvl_gpu_hold(m, KVL_GPU_PEER, p->gpu);
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
	return 0;
}

int kvl_gpu_place(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		  struct kvl_block *b)
{
	u64 home = kvl_block_home(b);

	if (READ_ONCE(p->gpu->m.dead))
		return -ENODEV;
	if (kvl_request_in_place(p, b->loc) && !is_one_too_many(p, home)) {
		p->in_dram += kvl_addr_tier(home) == KVLIFT_TIER_DRAM;
		return 1;
	}
	if (READ_ONCE(p->gpu->state) != KVLIFT_MOVER_LIVE)
		return -ENODEV;
	/* Sealed since it was asked for. */
	if (p->flags & ~KVLIFT_REQ_GPU && kvl_seal_is_on(p->r))
		return -EPERM;
	/* Who seals waits for a moment in which no block moves. */
	if (READ_ONCE(p->r->sealing)) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	if (test_bit(KVL_B_MOVING, &b->flags)) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	if (kvl_addr_is_gpu(home) && p->flags & KVLIFT_REQ_GPU &&
	    kvl_mover_reaches(p->gpu, kvl_addr_gpu(batch->pool, home)))
		return from_peer(batch, p, index, b);
	if (kvl_addr_is_gpu(home)) {
		/* Who holds a lock waits for no other. */
		if (batch->n) {
			kvl_block_unlock(b);
			kvl_batch_run(batch);
			return -ERESTART;
		}
		/* Down, and then on; whoever has it there reads what it has. */
		kvl_gpu_bring(p->r, index, b, KVL_WHY_READ, false);
		return -EAGAIN;
	}
	if (p->flags & KVLIFT_REQ_WINDOW)
		return to_window(batch, p, index, b);
	return to_the_gpu(batch, p, index, b);
}

int kvl_gpu_new(struct kvl_request *p, u64 index, struct kvl_block *b,
		enum kvl_made *made)
{
	/* What is lost is charged, too, and replaced as a whole. */
	bool charged = kvl_block_charged(b), lost = kvl_block_lost(b);
	u64 dst;
	int err;

	if (kvl_seal_is_on(p->r))
		return -EPERM;
	/* What it holds is not to be thrown away. */
	if (b->loc & KVLIFT_LOC_INLINE)
		return kvl_block_populate(p->r, index, b);
	if (READ_ONCE(p->gpu->state) != KVLIFT_MOVER_LIVE)
		return -ENODEV;
	/* It has to be able to come back. */
	if (!p->gpu->dmabuf && !READ_ONCE(p->gpu->win.ready))
		return -EAGAIN;
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
	set_bit(KVL_B_LENT, &b->flags);
	kvl_mem_slot(kvl_region_pool(p->r), dst)->lent = true;
	kvl_block_attach(p->r, index, b, dst);
	*made = lost ? KVL_MADE_OF_LOST : charged ? KVL_MADE_OF_RESERVED : KVL_MADE;
	return 0;
}

void kvl_gpu_unmake(struct kvl_request *p, u64 index, struct kvl_block *b,
		    enum kvl_made made)
{
	u64 addr = kvl_block_detach(p->r, b);

	clear_bit(KVL_B_DIRTY, &b->flags);
	clear_bit(KVL_B_LENT, &b->flags);
	if (made == KVL_MADE_OF_LOST)
		kvl_block_lose(p->r, index, b, true);
	else
		kvl_change_extent(p->r, index, b,
				  made == KVL_MADE ? 0 : KVLIFT_LOC_RESERVED);
	kvl_slot_free(kvl_region_pool(p->r), addr);
	if (made == KVL_MADE)
		kvl_region_uncharge(p->r);
}
