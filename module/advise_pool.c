// SPDX-License-Identifier: GPL-2.0-only
/*
 * Advice of a pool: when it is asked for, by whom, and its beginning and end.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "advise_call.h"
#include "domain.h"
#include "policy.h"
#include "region.h"

/* Nobody tells anything, and nobody listens. */
static void rest(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;
	unsigned int i;

	for (i = 0; i < v->nr; i++)
		if (READ_ONCE(v->advisors[i]->live))
			return;
	if (v->told || !v->active)
		return;
	WRITE_ONCE(v->active, false);
	for (i = 0; i < v->nr; i++)
		kvl_table_clear(v->advisors[i]);
}

/* How long somebody takes events in before others may have the semaphore. */
#define SLICE		max(HZ / 50, 1)

/* Takes in what has happened until now. The semaphore is held. */
bool kvl_advise_drain(struct kvl_pool *pool)
{
	unsigned long until = jiffies + SLICE;
	struct kvl_advice *v = &pool->advice;
	struct kvl_event ev;
	unsigned int i, n = 0;
	bool all;

	rest(pool);
	for (i = 0; i < v->nr; i++) {
		kvl_table_grow(v->advisors[i]);
		kvl_advise_refresh(v->advisors[i]);
	}
	all = !v->hints || kvl_advise_tell_hints(pool, until);
	kvl_advise_snapshot(pool);
	while (all && kvl_advise_next(pool, &ev)) {
		kvl_advise_on_event(pool, &ev);
		all = v->hints ? kvl_advise_tell_hints(pool, until) :
				 !time_after(jiffies, until);
		if (!(++n % 64))
			cond_resched();
	}
	for (i = 0; i < v->nr; i++)
		kvl_advise_end_group(v->advisors[i]);
	return all;
}

static void kvl_advise_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, advice.work);
	bool all;

	WRITE_ONCE(pool->advice.armed, 0);
	/* Whoever writes an event from here on sees that, or is seen. */
	smp_mb();
	do {
		if (READ_ONCE(pool->stopping))
			return;
		down(&pool->advice.sem);
		all = kvl_advise_drain(pool);
		/* Who waits for it, as reclaim, comes first. */
		kvl_advise_unlock(pool);
		cond_resched();
	} while (!all);
}

/* The block is another policy's now. */
static void hand_on(struct kvl_advisor *a, u64 region, u64 index)
{
	u32 id = kvl_table_find(a, region, index, false);
	struct kvl_entry *e;

	if (id == KVLIFT_NO_BLOCK)
		return;
	e = kvl_entry(a, id);
	if (e->out)
		kvl_advise_set_out(a, e, false);
	if (e->standing == KVL_RESIDENT) {
		if (e->user == (u32)a->ctx.nr + 1 && a->request_resident)
			a->request_resident--;
		kvl_table_resident(a, id, false);
		KVL_TELL(a, KVL_CALL_REMOVED, removed, id);
	}
	kvl_advise_forget(a, id);
}

/*
 * What is in DRAM already; its order of use is not known. For one advisor if
 * @to is given, which has it from @from.
 */
static void seed_member(struct kvl_advice *v, struct kvl_member *m,
			struct kvl_advisor *to, struct kvl_advisor *from)
{
	struct kvl_tier *t = m->tier;
	struct kvl_advisor *a;
	u64 region, index;
	u32 id, n, nr = READ_ONCE(m->asked);
	struct kvl_slot *s;

	for (n = 0; n < nr; n++) {
		s = kvl_mem_nth_slot(m, n);
		if (!s)
			break;
		spin_lock(&t->lru_lock);
		region = s->region ? s->region->id : 0;
		index = s->index;
		a = v->advisors[region ? kvl_advisor_of(s->region) : 0];
		spin_unlock(&t->lru_lock);
		if (to && a != to)
			region = 0;
		if (to && region)
			hand_on(from, region, index);
		id = region ? kvl_table_find(a, region, index, true) :
			      KVLIFT_NO_BLOCK;
		if (id != KVLIFT_NO_BLOCK) {
			kvl_entry(a, id)->addr = s->addr;
			kvl_entry(a, id)->tier = t->id;
			kvl_table_resident(a, id, true);
		}
		if (!(n % 256))
			cond_resched();
	}
}

/* The semaphore is held. */
void kvl_advise_activate(struct kvl_pool *pool, bool told)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_advice *v = &pool->advice;
	unsigned int i;

	if (told)
		WRITE_ONCE(v->told, true);
	if (v->active)
		return;
	for (i = 0; i < v->nr; i++) {
		kvl_table_clear(v->advisors[i]);
		v->advisors[i]->ops = NULL;
		v->advisors[i]->attached = false;
		v->advisors[i]->refresh = true;
	}
	/* From here on events come, in time for what is missed below. */
	WRITE_ONCE(v->active, true);
	for (i = 0; i < t->nr_members; i++)
		seed_member(v, t->members[i], NULL, NULL);
}

/* A directory gets a policy of its own: its blocks have had another one. */
void kvl_advise_take_over(struct kvl_advisor *a)
{
	struct kvl_tier *t = &a->pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_advice *v = &a->pool->advice;
	unsigned int i;

	if (!a->fresh)
		return;
	a->fresh = false;
	/* What happened so far was told to the other one. */
	kvl_advise_drain(a->pool);
	/* Then kvl_advise_activate() finds out what is there. */
	if (!v->active)
		return;
	for (i = 0; i < t->nr_members; i++)
		seed_member(v, t->members[i], a,
			    v->advisors[kvl_advisor_around(a->domain->parent)]);
}

/* An engine is telling something. */
void kvl_advise_told(struct kvl_pool *pool)
{
	if (likely(READ_ONCE(pool->advice.told)) || !pool->advice.rings)
		return;
	if (!kvl_advise_lock(pool))
		return;
	kvl_advise_activate(pool, true);
	kvl_advise_unlock(pool);
}

/*
 * At most @want blocks of the cold ends that the policy has given up. Not all
 * that it has: some are on their way, and some were busy when their turn came.
 */
static s64 count_out(struct kvl_advisor *a, s64 want)
{
	struct kvl_pool *pool = a->pool;
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_domain *d;
	struct kvl_slot *s;
	s64 n = 0, looked;

	if (!a->nr_out)
		return 0;
	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all) {
		if (kvl_advisor_around(d) != a->id)
			continue;
		looked = 0;
		spin_lock(&t->lru_lock);
		list_for_each_entry_reverse(s, &d->tier[t->id].lru, lru) {
			if (n == want || looked++ == 2 * want)
				break;
			n += s->out;
		}
		spin_unlock(&t->lru_lock);
	}
	spin_unlock(&pool->domain_lock);
	return n;
}

void kvl_advise_reclaim(struct kvl_tier *t, s64 want)
{
	struct kvl_pool *pool = t->pool;
	struct kvl_advice *v = &pool->advice;
	unsigned int i;
	s64 lack, here;

	if (t->id != KVLIFT_TIER_DRAM || !READ_ONCE(v->active) ||
	    !kvl_advise_lock(pool))
		return;
	kvl_advise_drain(pool);
	want = min(want, 2 * KVL_VICTIM_BATCH);
	for (i = 0; i < v->nr && want > 0; i++) {
		struct kvl_advisor *a = v->advisors[i];

		here = count_out(a, want);
		lack = want - here;
		/* Of a directory's blocks its own part. */
		if (a->domain && a->ctx.resident <= kvl_advise_capacity(a))
			lack = 0;
		while (lack > 0) {
			u32 out = a->nr_out;

			if (!kvl_advise_victims(a, lack) &&
			    !kvl_advise_force(a))
				break;
			/* Some were not there yet. */
			lack -= a->nr_out - out;
			here += a->nr_out - out;
		}
		want -= min(want, here);
	}
	kvl_advise_unlock(pool);
}

struct kvl_advisor *kvl_advisor_create(struct kvl_pool *pool,
				       struct kvl_domain *d)
{
	struct kvl_advisor *a = kvzalloc(sizeof(*a), GFP_KERNEL);

	if (!a)
		return NULL;
	a->pool = pool;
	a->domain = d;
	a->ctx.pool = pool->id;
	a->ctx.block_shift = pool->block_shift;
	a->refresh = true;
	if (kvl_table_start(a)) {
		kvl_table_destroy(a);
		kvfree(a);
		return NULL;
	}
	a->ctx.capacity = kvl_advise_capacity(a);
	return a;
}

/* When the tiers are there. 0 or -ENOMEM. */
int kvl_advise_start(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;

	if (!kvl_pool_has_tier(pool, KVLIFT_TIER_DRAM))
		return 0;
	v->advisors[0] = kvl_advisor_create(pool, NULL);
	if (!v->advisors[0])
		return -ENOMEM;
	/* Pairs with the acquire of who shows them. */
	smp_store_release(&v->nr, 1);
	return kvl_advise_make_rings(pool);
}

/* Nobody asks any more. Workers of the pool still run. */
void kvl_advise_stop(struct kvl_pool *pool)
{
	WRITE_ONCE(pool->advice.stopping, true);
	cancel_delayed_work_sync(&pool->advice.work);
}

/* No inode is left, so no event comes. */
void kvl_advise_destroy(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;
	unsigned int i;

	cancel_delayed_work_sync(&v->work);
	cancel_work_sync(&v->eject_work);
	kvl_advise_free_rings(pool);
	kvfree(v->hints);
	for (i = 0; i < v->nr; i++) {
		struct kvl_advisor *a = v->advisors[i];

		kvl_table_destroy(a);
		kvfree(a->chain);
		kvfree(a->state);
		if (a->domain)
			kvl_domain_put(a->domain);
		kvfree(a);
	}
	v->nr = 0;
}

void kvl_advise_init_pool(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;

	sema_init(&v->sem, 1);
	spin_lock_init(&v->ops_lock);
	INIT_DELAYED_WORK(&v->work, kvl_advise_work);
	INIT_WORK(&v->eject_work, kvl_policy_eject_work);
	INIT_LIST_HEAD(&v->all);
}
