// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps slots free. One worker per memory tier starts when fewer than
 * tier->low slots are free, demotes in the policy's order, and stops at
 * tier->high; blocks that are already on their way out count as free.
 */
#include <linux/slab.h>

#include "domain.h"
#include "gpu.h"
#include "move.h"
#include "pace.h"
#include "place.h"
#include "policy.h"

/* Slots looked at under lru_lock for one batch of shadows. */
#define SHADOW_SCAN	1024

/**
 * struct kvl_share - victims of one member of a tier that has several
 * @work:	demotes them; the tier's worker waits for it
 * @pool:	the pool
 * @nr:		how many there are
 * @moved:	how many of them were moved
 * @v:		the victims
 */
struct kvl_share {
	struct work_struct work;
	struct kvl_pool *pool;
	unsigned int nr;
	unsigned int moved;
	struct kvl_victim v[KVL_VICTIM_BATCH];
};

static s64 missing(struct kvl_tier *t)
{
	if (t->id == KVLIFT_TIER_GPU)
		return kvl_gpu_missing(t);
	return READ_ONCE(t->high) + kvl_tier_surplus(t) -
	       atomic64_read(&t->nfree) - atomic_read(&t->leaving);
}

void kvl_reclaim_kick(struct kvl_tier *t)
{
	if (!READ_ONCE(t->pool->stopping) && t->nr_members &&
	    kvl_tier_below(t->pool, t->id))
		mod_delayed_work_on(kvl_place_cpu(t->members[0]->cpu_node),
				    t->pool->wq, &t->reclaim, 0);
}

/* After an allocation: starts the worker when slots run short. */
void kvl_reclaim_check(struct kvl_tier *t)
{
	if (atomic64_read(&t->nfree) < READ_ONCE(t->low) &&
	    !delayed_work_pending(&t->reclaim))
		kvl_reclaim_kick(t);
}

static void demote(struct kvl_batch *batch, struct kvl_victim *v)
{
	struct kvl_pool *pool = kvl_region_pool(v->region);
	struct kvl_block *b = kvl_region_find(v->region, v->index);

	if (!b || !kvl_block_trylock(b)) {
		kvl_count(pool, KVL_C_REFUSED_BUSY);
		return;
	}
	if (kvl_block_home(b) != v->addr) {
		/* What a GPU has may have its copy there (gpu.h). */
		if (READ_ONCE(b->shadow) == v->addr)
			kvl_gpu_sink(batch, v->region, v->index, b);
		else
			kvl_block_unlock(b);
		return;
	}
	if (!kvl_batch_demote(batch, v->region, v->index, b, KVL_WHY_RECLAIM))
		kvl_domain_reclaimed(v->region->domain,
				     kvl_addr_tier(v->addr));
}

static unsigned int demote_all(struct kvl_pool *pool, struct kvl_victim *v,
			       unsigned int nr)
{
	struct kvl_batch batch;
	unsigned int i;

	kvl_batch_init(&batch, pool);
	for (i = 0; i < nr; i++)
		demote(&batch, &v[i]);
	kvl_batch_run(&batch);
	/* Outside of the loop: the last reference frees the region. */
	for (i = 0; i < nr; i++)
		iput(&v[i].region->inode);
	return batch.moved;
}

static void share_work(struct work_struct *work)
{
	struct kvl_share *s = container_of(work, struct kvl_share, work);

	s->moved = demote_all(s->pool, s->v, s->nr);
}

int kvl_reclaim_share(struct kvl_member *m)
{
	struct kvl_share *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return -ENOMEM;
	INIT_WORK(&s->work, share_work);
	s->pool = m->tier->pool;
	m->share = s;
	return 0;
}

/* Each member's blocks on the node where they are, all at the same time. */
static unsigned int spread(struct kvl_tier *t, struct kvl_victim *v,
			   unsigned int nr)
{
	struct kvl_member *here = NULL;
	unsigned int i, moved = 0;

	for (i = 0; i < nr; i++) {
		struct kvl_member *m = kvl_addr_member(t->pool, v[i].addr);

		m->share->v[m->share->nr++] = v[i];
	}
	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];
		int cpu = kvl_place_cpu(m->cpu_node);

		if (!m->share->nr)
			continue;
		if (!here && cpu == raw_smp_processor_id())
			here = m;
		else
			queue_work_on(cpu, t->pool->share_wq, &m->share->work);
	}
	if (here)
		share_work(&here->share->work);
	for (i = 0; i < t->nr_members; i++) {
		struct kvl_share *s = t->members[i]->share;

		if (!s->nr)
			continue;
		if (t->members[i] != here)
			flush_work(&s->work);
		moved += s->moved;
		s->nr = 0;
	}
	return moved;
}

/* @want may be 0 or less: then only limits of domains want something. */
static unsigned int pass(struct kvl_tier *t, s64 want)
{
	struct kvl_victim v[KVL_VICTIM_BATCH];
	unsigned int nr;

	/* A GPU's is that of the engine that has it. */
	if (t->id != KVLIFT_TIER_GPU)
		kvl_advise_reclaim(t, want);
	nr = kvl_policy_over_limit(t, v, KVL_VICTIM_BATCH / 2);
	if (want > 0)
		nr += kvl_policy_victims(t, v + nr,
					 min(want, KVL_VICTIM_BATCH - nr));
	if (nr && t->nr_members > 1)
		return spread(t, v, nr);
	return demote_all(t->pool, v, nr);
}

void kvl_reclaim_work(struct work_struct *work)
{
	struct kvl_tier *t = container_of(to_delayed_work(work),
					  struct kvl_tier, reclaim);
	struct kvl_pool *pool = t->pool;
	unsigned int vain = 0, moved;
	unsigned long rest;
	s64 want;
	u64 start;

	kvl_count(pool, KVL_C_RECLAIM_PASSES);
	while (((want = missing(t)) > 0 || kvl_domain_over(t)) &&
	       !READ_ONCE(pool->stopping)) {
		rest = kvl_pace_due(t);
		if (rest) {
			kvl_place_queue(pool->wq, &t->reclaim,
					t->members[0]->cpu_node, rest);
			return;
		}
		kvl_move_wait(pool, KVL_MAX_MOVES);
		start = ktime_get_ns();
		moved = pass(t, want);
		kvl_pace_done(t, start);
		if (moved) {
			WRITE_ONCE(t->stalled_since, 0);
			vain = 0;
		} else if (++vain == 8) {
			/* Everything is pinned or busy: later. */
			if (want > 0 && !t->stalled_since)
				WRITE_ONCE(t->stalled_since, get_jiffies_64());
			kvl_place_queue(pool->wq, &t->reclaim,
					t->members[0]->cpu_node,
					KVL_RECLAIM_RETRY);
			return;
		}
		cond_resched();
	}
	WRITE_ONCE(t->stalled_since, 0);
}

/* A slot that is given up must be of use to somebody. */
static bool usable(struct kvl_pool *pool, u64 addr)
{
	return kvl_member_usable(kvl_addr_member(pool, addr));
}

/*
 * Gives up at most @nr shadows, of the blocks that came up last: they will
 * need theirs last. A block whose slot is on the list under lru_lock is not
 * freed, nor is its region, so that no reference is needed, nor a last one
 * dropped.
 */
static unsigned int take_shadows(struct kvl_tier *t, unsigned int nr)
{
	unsigned int got = 0, looked = 0;
	struct kvl_slot *s, *tmp;
	LIST_HEAD(busy);

	spin_lock(&t->lru_lock);
	list_for_each_entry_safe(s, tmp, &t->shadowed, shadow) {
		struct kvl_block *b;

		if (got == nr || looked++ == SHADOW_SCAN)
			break;
		b = kvl_region_find(s->region, s->index);
		if (!b || !kvl_block_trylock(b)) {
			list_move_tail(&s->shadow, &busy);
			continue;
		}
		if (!b->shadow) {
			/* Lost since: the list need not know it any more. */
			list_del_init(&s->shadow);
		} else if (usable(t->pool, b->shadow)) {
			list_del_init(&s->shadow);
			/* What is in memory is the only copy now. */
			set_bit(KVL_B_DIRTY, &b->flags);
			kvl_block_drop_shadow(s->region, b);
			got++;
		} else {
			list_move_tail(&s->shadow, &busy);
		}
		kvl_block_unlock(b);
	}
	/* Not again before all others. */
	list_splice_tail(&busy, &t->shadowed);
	spin_unlock(&t->lru_lock);
	kvl_count_add(t->pool, KVL_C_SHADOW_DROPPED, got);
	return got;
}

static bool any_shadow(struct kvl_pool *pool)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		if (kvl_member_usable(t->members[i]) &&
		    atomic64_read(&t->members[i]->nshadow))
			return true;
	return false;
}

/*
 * Gives up about @nr shadows so that their slots can hold blocks again. False
 * when none was found. Waits for nothing; a block's lock may be held.
 */
bool kvl_reclaim_shadows(struct kvl_pool *pool, unsigned int nr)
{
	unsigned int id, got = 0;

	if (!any_shadow(pool))
		return false;
	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		got += take_shadows(&pool->tiers[id], nr);
	return got;
}
