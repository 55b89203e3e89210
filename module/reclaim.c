// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps slots free. One worker per memory tier starts when fewer than
 * tier->low slots are free, demotes in the policy's order, and stops at
 * tier->high; blocks that are already on their way out count as free.
 */
#include "domain.h"
#include "move.h"
#include "policy.h"

/* Slots looked at under lru_lock for one batch of shadows. */
#define SHADOW_SCAN	1024

static s64 missing(struct kvl_tier *t)
{
	return t->high + kvl_tier_surplus(t) - atomic64_read(&t->nfree) -
	       atomic_read(&t->leaving);
}

void kvl_reclaim_kick(struct kvl_tier *t)
{
	if (!READ_ONCE(t->pool->stopping) && kvl_tier_below(t->pool, t->id))
		mod_delayed_work(t->pool->wq, &t->reclaim, 0);
}

/* After an allocation: starts the worker when slots run short. */
void kvl_reclaim_check(struct kvl_tier *t)
{
	if (atomic64_read(&t->nfree) < t->low &&
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
		kvl_block_unlock(b);
		return;
	}
	if (!kvl_batch_demote(batch, v->region, v->index, b, KVL_WHY_RECLAIM))
		kvl_domain_reclaimed(v->region->domain,
				     kvl_addr_tier(v->addr));
}

/* @want may be 0 or less: then only limits of domains want something. */
static unsigned int pass(struct kvl_tier *t, s64 want)
{
	struct kvl_victim v[KVL_VICTIM_BATCH];
	struct kvl_batch batch;
	unsigned int nr, i;

	nr = kvl_policy_over_limit(t, v, KVL_VICTIM_BATCH / 2);
	if (want > 0)
		nr += kvl_policy_victims(t, v + nr,
					 min(want, KVL_VICTIM_BATCH - nr));
	kvl_batch_init(&batch, t->pool);
	for (i = 0; i < nr; i++)
		demote(&batch, &v[i]);
	kvl_batch_run(&batch);
	/* Outside of the loop: the last reference frees the region. */
	for (i = 0; i < nr; i++)
		iput(&v[i].region->inode);
	return batch.moved;
}

void kvl_reclaim_work(struct work_struct *work)
{
	struct kvl_tier *t = container_of(to_delayed_work(work),
					  struct kvl_tier, reclaim);
	struct kvl_pool *pool = t->pool;
	unsigned int vain = 0;
	s64 want;

	kvl_count(pool, KVL_C_RECLAIM_PASSES);
	while (((want = missing(t)) > 0 || kvl_domain_over(t)) &&
	       !READ_ONCE(pool->stopping)) {
		kvl_move_wait(pool, KVL_MAX_MOVES);
		if (pass(t, want)) {
			WRITE_ONCE(t->stalled_since, 0);
			vain = 0;
		} else if (++vain == 8) {
			/* Everything is pinned or busy: later. */
			if (want > 0 && !t->stalled_since)
				WRITE_ONCE(t->stalled_since, get_jiffies_64());
			queue_delayed_work(pool->wq, &t->reclaim,
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
