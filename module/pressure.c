// SPDX-License-Identifier: GPL-2.0-only
/*
 * A member of the DRAM tier has a target below its budget while the kernel
 * needs the memory: a shrinker and, when that was too late, an OOM notifier
 * lower it, down to a floor. Free slots go back at once. Then a worker drops
 * the slots of blocks whose shadow is good, which takes no I/O. What is
 * missing still is demoted by the tier's reclaim worker. When there is plenty
 * of memory again the targets rise step by step to the budgets.
 *
 * A target never goes below what stored blocks need: who lowers it takes
 * units of the pool's capacity first, as if it stored something there.
 *
 * What is called when memory is short takes spin locks only, allocates nothing
 * and waits for no I/O. The OOM notifier wants clean blocks dropped before it
 * returns, and dropping one takes the block's lock, the folio's lock and
 * i_mmap_rwsem, and the task that has run out of memory may hold any of them:
 * it may be in a fault of ours, or the core may be allocating a page table
 * under the folio's lock. So a worker does it. The worker only tries the
 * block's lock and passes over locked folios; should it have to wait all the
 * same, for i_mmap_rwsem or for a folio that was locked in between, it waits
 * for somebody who gets on at the latest when the notifier does, and that is
 * after a second. The worker takes its moves from the allocator without
 * waiting, or from the pool's reserve, so it never needs the OOM killer's
 * lock, and has a rescuer thread, so it runs. Two shrinkers, or a shrinker
 * inside an allocation of ours, meet only at spin locks under which nobody
 * allocates.
 */
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/oom.h>
#include <linux/shrinker.h>
#include <linux/swap.h>

#include "move.h"
#include "policy.h"
#include "trace.h"

/* Slots of each member that stay whatever the floor: movement needs some. */
#define MIN_SLOTS	4

/* Slots with a shadow that one pass looks at under lru_lock. */
#define CLEAN_SCAN	256

/* Grows this often, but only after so long without a shrink. */
#define GROW_PERIOD	HZ
#define GROW_QUIET	(5 * HZ)

/* Given at once when the kernel has run out, in pages. */
#define OOM_STEP	((16UL << 20) >> PAGE_SHIFT)

/* The notifier waits at most this long for clean blocks to be dropped. */
#define OOM_WAIT	HZ

static struct workqueue_struct *clean_wq;
static DEFINE_MUTEX(pools_lock);	/* the list of pools */
static LIST_HEAD(pools);

static struct kvl_tier *dram(struct kvl_pool *pool)
{
	return &pool->tiers[KVLIFT_TIER_DRAM];
}

static u64 floor_of(struct kvl_pool *pool, struct kvl_member *m)
{
	u64 slots = DIV_ROUND_UP_ULL(m->asked * READ_ONCE(pool->opts.floor),
				     100);

	return min(max(slots, MIN_SLOTS), m->asked);
}

static u64 to_slots(struct kvl_pool *pool, u64 pages)
{
	return (pages + (1u << pool->page_shift) - 1) >> pool->page_shift;
}

/* Slots a member has above its target: they are on their way. */
static u64 surplus(struct kvl_member *m)
{
	u64 got = READ_ONCE(m->got), target = kvl_member_target(m);

	return got > target ? got - target : 0;
}

/* Slots that the kernel lacks on the member's node, as things are going. */
static u64 wanted(struct kvl_pool *pool, struct kvl_member *m)
{
	u64 n = to_slots(pool, kvl_mem_shortage(m->node));

	return n - min(n, surplus(m));
}

/* Slots by which the target can go down, at a glance. */
static u64 room(struct kvl_pool *pool, struct kvl_member *m)
{
	s64 left = atomic64_read(&pool->capacity) - atomic64_read(&pool->used);
	u64 have = min(READ_ONCE(m->got), kvl_member_target(m));
	u64 floor = floor_of(pool, m);

	if (READ_ONCE(m->filling) || left <= 0 || have <= floor)
		return 0;
	return min(have - floor, (u64)left);
}

/* Lowers the target by at most @want slots and returns by how many. */
static u64 lower(struct kvl_pool *pool, struct kvl_member *m, u64 want)
{
	u64 reserved = kvl_pool_reserve(pool, want);
	u64 have, floor, n = 0;

	if (!reserved)
		return 0;
	spin_lock(&m->lock);
	have = min(m->got, kvl_member_target(m));
	floor = floor_of(pool, m);
	/* What is still coming may have been promised to somebody. */
	if (!m->filling && have > floor) {
		n = min(reserved, have - floor);
		m->cut = m->asked - (have - n);
	}
	spin_unlock(&m->lock);
	if (n)
		kvl_pool_resized(pool);
	/* Nobody sees the units free before the capacity is smaller. */
	smp_mb__before_atomic();
	kvl_pool_uncharge(pool, reserved);
	return n;
}

/* Gives back at most @want slots, now or soon. Returns those given now. */
static u64 shrink(struct kvl_pool *pool, struct kvl_member *m, u64 want,
		  enum kvl_shrink_why why)
{
	struct kvl_pressure *p = &pool->pressure;
	u64 n = want ? lower(pool, m, want) : 0;
	u64 freed = kvl_mem_release(m);

	kvl_pressure_rest(pool);
	if (n) {
		trace_kvlift_shrink(pool->id, m->node, why, m->asked,
				    kvl_member_target(m), freed);
		queue_delayed_work(pool->wq, &p->grow, GROW_PERIOD);
	}
	if (surplus(m))
		queue_work(clean_wq, &p->clean);
	return freed;
}

static unsigned long count_objects(struct shrinker *sh,
				   struct shrink_control *sc)
{
	struct kvl_pool *pool = sh->private_data;
	struct kvl_tier *t = dram(pool);
	unsigned long n = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];

		if (m->node == sc->nid)
			n += min(wanted(pool, m), room(pool, m));
	}
	return n << pool->page_shift;
}

static unsigned long scan_objects(struct shrinker *sh,
				  struct shrink_control *sc)
{
	struct kvl_pool *pool = sh->private_data;
	u64 left = to_slots(pool, sc->nr_to_scan), freed = 0;
	struct kvl_tier *t = dram(pool);
	bool any = false;
	unsigned int i;

	for (i = 0; i < t->nr_members && left; i++) {
		struct kvl_member *m = t->members[i];
		u64 want;

		if (m->node != sc->nid)
			continue;
		want = min3(left, wanted(pool, m), room(pool, m));
		if (!want)
			continue;
		any = true;
		left -= want;
		freed += shrink(pool, m, want, KVL_SHRINK_SHRINKER);
	}
	if (!any)
		return SHRINK_STOP;
	freed <<= pool->page_shift;
	/* Or who reclaims would take what it got for nothing. */
	mm_account_reclaimed_pages(freed);
	return freed;
}

/*
 * Blocks that look clean, of members above their targets, those that came up
 * first ahead. All that are looked at go to the other end of the list: they
 * leave it, or are dirty or held, and then their shadows are of the least use
 * to anybody.
 */
static unsigned int clean_victims(struct kvl_tier *t, struct kvl_victim *v,
				  unsigned int nr, unsigned int *looked)
{
	struct kvl_slot *s, *tmp;
	unsigned int n = 0;
	LIST_HEAD(seen);

	*looked = 0;
	spin_lock(&t->lru_lock);
	list_for_each_entry_safe_reverse(s, tmp, &t->shadowed, shadow) {
		struct kvl_block *b;

		if (n == nr || *looked == CLEAN_SCAN)
			break;
		++*looked;
		list_move(&s->shadow, &seen);
		if (s->window)
			continue;
		b = kvl_region_find(s->region, s->index);
		if (!b || !READ_ONCE(b->shadow) ||
		    test_bit(KVL_B_DIRTY, &b->flags) ||
		    folio_test_dirty(s->folio) || folio_test_locked(s->folio) ||
		    !surplus(kvl_addr_member(t->pool, s->addr)) ||
		    !igrab(&s->region->inode))
			continue;
		v[n].region = s->region;
		v[n].index = s->index;
		v[n].addr = s->addr;
		n++;
	}
	list_splice(&seen, &t->shadowed);
	spin_unlock(&t->lru_lock);
	return n;
}

static bool drop(struct kvl_victim *v)
{
	struct kvl_block *b = kvl_region_find(v->region, v->index);

	if (!b || !kvl_block_trylock(b))
		return false;
	if (kvl_block_home(b) != v->addr) {
		kvl_block_unlock(b);
		return false;
	}
	return !kvl_move_to_shadow(v->region, v->index, b, KVL_WHY_PRESSURE);
}

/* Drops slots of clean blocks, all at most. Returns the slots looked at. */
static unsigned int drop_clean(struct kvl_tier *t, u64 want, bool *any)
{
	struct kvl_victim v[KVL_VICTIM_BATCH];
	unsigned int nr, i, looked;

	nr = clean_victims(t, v, min(want, KVL_VICTIM_BATCH), &looked);
	for (i = 0; i < nr; i++)
		*any |= drop(&v[i]);
	for (i = 0; i < t->nr_members; i++)
		kvl_mem_release(t->members[i]);
	/* May be the last references: regions go away, and take their time. */
	for (i = 0; i < nr; i++)
		iput(&v[i].region->inode);
	return looked;
}

static void clean_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(work, struct kvl_pool,
					     pressure.clean);
	struct kvl_tier *t = dram(pool);
	u64 want, vain = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		kvl_mem_release(t->members[i]);
	while ((want = kvl_tier_surplus(t)) && !READ_ONCE(pool->stopping)) {
		bool any = false;
		unsigned int looked = drop_clean(t, want, &any);
		u64 all = 0;

		vain = any ? 0 : vain + looked;
		for (i = 0; i < t->nr_members; i++)
			all += READ_ONCE(t->members[i]->got);
		/* Nothing, or once around without success. */
		if (!looked || vain > all)
			break;
		cond_resched();
	}
	if (want)
		kvl_reclaim_kick(t);
}

static void grow_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, pressure.grow);
	struct kvl_pressure *p = &pool->pressure;
	bool quiet = !time_before64(get_jiffies_64(),
				    READ_ONCE(p->last) + GROW_QUIET);
	struct kvl_tier *t = dram(pool);
	bool again = false;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];
		u64 n;

		if (!READ_ONCE(m->cut))
			continue;
		again = true;
		/* Half of what there is: others may be growing, too. */
		n = kvl_mem_plenty(m->node) / 2 >> pool->page_shift;
		if (!quiet || !n)
			continue;
		kvl_mem_regrow(m, n);
		trace_kvlift_shrink(pool->id, m->node, KVL_SHRINK_GROW,
				    m->asked, kvl_member_target(m), 0);
	}
	if (again && !READ_ONCE(pool->stopping))
		queue_delayed_work(pool->wq, &p->grow, GROW_PERIOD);
}

/* A while without growing. */
void kvl_pressure_rest(struct kvl_pool *pool)
{
	WRITE_ONCE(pool->pressure.last, get_jiffies_64());
}

/* Called by the back end when slots have gone back because of a target. */
void kvl_pressure_released(struct kvl_pool *pool, u64 slots)
{
	struct kvl_pressure *p = &pool->pressure;

	kvl_count_add(pool, KVL_C_SHRUNK, slots);
	atomic64_add(slots, &p->released);
	if (wq_has_sleeper(&p->wait))
		wake_up_all(&p->wait);
}

static bool any_node_short(void)
{
	int node;

	for_each_node_state(node, N_MEMORY)
		if (kvl_mem_shortage(node))
			return true;
	return false;
}

/*
 * Gives some memory, on nodes that are short of it, or anywhere when none
 * seems to be. Returns the slots that went back at once.
 */
static u64 oom_shrink(struct kvl_pool *pool, bool all)
{
	struct kvl_tier *t = dram(pool);
	unsigned int i;
	u64 freed = 0;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];
		u64 want = max(kvl_mem_shortage(m->node), OOM_STEP);

		if (!all && !kvl_mem_shortage(m->node))
			continue;
		want = min(to_slots(pool, want), room(pool, m));
		freed += shrink(pool, m, want - min(want, surplus(m)),
				KVL_SHRINK_OOM);
	}
	return freed;
}

/* Slots that have gone back since @before was read. */
static u64 released_since(struct kvl_pool *pool, u64 before)
{
	return atomic64_read(&pool->pressure.released) - before;
}

/* Nothing went back at once: waits a while for what is on its way. */
static u64 oom_wait(void)
{
	unsigned long end = jiffies + OOM_WAIT;
	struct kvl_pool *pool;

	list_for_each_entry(pool, &pools, pressure.list) {
		struct kvl_pressure *p = &pool->pressure;
		u64 before = atomic64_read(&p->released), n;

		if (!kvl_tier_surplus(dram(pool)))
			continue;
		wait_event_timeout(p->wait, released_since(pool, before) ||
				   !kvl_tier_surplus(dram(pool)),
				   max((long)(end - jiffies), 1L));
		n = released_since(pool, before);
		kvl_count_add(pool, KVL_C_OOM_FREED, n);
		if (n)
			return n << pool->page_shift;
	}
	return 0;
}

static int oom(struct notifier_block *nb, unsigned long unused, void *arg)
{
	unsigned long *freed = arg;
	struct kvl_pool *pool;
	u64 sum = 0;
	bool all;

	/* A pool comes or goes: next time. */
	if (!mutex_trylock(&pools_lock))
		return NOTIFY_OK;
	all = !any_node_short();
	list_for_each_entry(pool, &pools, pressure.list) {
		u64 n = oom_shrink(pool, all);

		kvl_count_add(pool, KVL_C_OOM_FREED, n);
		sum += n << pool->page_shift;
	}
	if (!sum)
		sum = oom_wait();
	mutex_unlock(&pools_lock);
	*freed += sum;
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = {
	.notifier_call = oom,
};

void kvl_pressure_prepare(struct kvl_pool *pool)
{
	struct kvl_pressure *p = &pool->pressure;

	INIT_LIST_HEAD(&p->list);
	INIT_WORK(&p->clean, clean_work);
	INIT_DELAYED_WORK(&p->grow, grow_work);
	atomic64_set(&p->released, 0);
	init_waitqueue_head(&p->wait);
}

/* When the pool has all of its members. */
int kvl_pressure_start(struct kvl_pool *pool)
{
	struct kvl_pressure *p = &pool->pressure;
	struct shrinker *sh;

	sh = shrinker_alloc(SHRINKER_NUMA_AWARE, "kvlift:%u", pool->id);
	if (!sh)
		return -ENOMEM;
	sh->count_objects = count_objects;
	sh->scan_objects = scan_objects;
	sh->private_data = pool;
	/* Pages; what is counted is wanted, so no need to hesitate. */
	sh->seeks = 0;
	sh->batch = max(1 << pool->page_shift, 128);
	p->shrinker = sh;
	shrinker_register(sh);
	mutex_lock(&pools_lock);
	list_add_tail(&p->list, &pools);
	mutex_unlock(&pools_lock);
	return 0;
}

/* Nothing is given back any more when this returns. */
void kvl_pressure_stop(struct kvl_pool *pool)
{
	struct kvl_pressure *p = &pool->pressure;

	mutex_lock(&pools_lock);
	list_del_init(&p->list);
	mutex_unlock(&pools_lock);
	shrinker_free(p->shrinker);
	cancel_delayed_work_sync(&p->grow);
	cancel_work_sync(&p->clean);
}

int kvl_pressure_init(void)
{
	int err;

	clean_wq = alloc_workqueue("kvlift-pressure",
				   WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!clean_wq)
		return -ENOMEM;
	err = register_oom_notifier(&oom_notifier);
	if (err)
		destroy_workqueue(clean_wq);
	return err;
}

void kvl_pressure_exit(void)
{
	unregister_oom_notifier(&oom_notifier);
	destroy_workqueue(clean_wq);
}
