// SPDX-License-Identifier: GPL-2.0-only
/*
 * Members of tier gpu: slots without memory that the module could reach. Who
 * copies is in mover.c, or gpu_dmabuf.c.
 */
#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "gpu.h"
#include "move.h"
#include "place.h"

#define MAX_SEGS	(KVLIFT_MOVER_SLOTS_MAX >> KVL_SEG_SHIFT)

/* Blocks that are busy are looked at again after this. */
#define BURY_RETRY	(HZ / 20 + 1)

/* Needs m->lock. */
static void put_free(struct kvl_gpu *g, struct kvl_slot *s)
{
	list_add(&s->lru, &g->free);
	s->free = true;
	WRITE_ONCE(g->wanted, false);
	g->m.nfree++;
	if (!g->m.dead)
		atomic64_inc(&g->m.tier->nfree);
}

static int gpu_alloc(struct kvl_member *m, u32 *id)
{
	struct kvl_gpu *g = kvl_to_gpu(m);
	struct kvl_slot *s = NULL;

	spin_lock(&m->lock);
	if (!m->dead)
		s = list_first_entry_or_null(&g->free, struct kvl_slot, lru);
	if (s) {
		list_del_init(&s->lru);
		s->free = false;
		m->nfree--;
	}
	spin_unlock(&m->lock);
	if (!s)
		return -ENOSPC;
	*id = kvlift_loc_slot(s->addr);
	return 0;
}

static u64 high(struct kvl_member *m)
{
	return kvl_tier_high(m->tier, READ_ONCE(m->got),
			     m->tier->pool->opts.high);
}

bool kvl_gpu_is_short(struct kvl_member *m)
{
	u64 most = READ_ONCE(kvl_to_gpu(m)->wanted) ? max(high(m), 1) : high(m);

	return !READ_ONCE(m->dead) && READ_ONCE(m->nfree) < most;
}

s64 kvl_gpu_missing(struct kvl_tier *t)
{
	s64 sum = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];

		/* One that is slow to empty holds up no other. */
		if (kvl_gpu_is_short(m))
			sum += max((s64)max(high(m), 1) -
					   (s64)READ_ONCE(m->nfree) -
					   atomic_read(&m->leaving), 0);
	}
	return sum;
}

/* What a GPU still uses is free when it does no more. */
static void gpu_free(struct kvl_member *m, u32 id)
{
	struct kvl_slot *s = kvl_member_slot(m, id);

	spin_lock(&m->lock);
	if (s->held) {
		s->orphan = true;
		kvl_to_gpu(m)->norphan++;
	} else {
		put_free(kvl_to_gpu(m), s);
	}
	spin_unlock(&m->lock);
}

void kvl_gpu_unlease(struct kvl_gpu *g, struct kvl_slot *s, bool write)
{
	spin_lock(&g->m.lock);
	if (!WARN_ON_ONCE(!s->held))
		s->held--;
	s->written -= write;
	if (s->orphan && !s->held) {
		s->orphan = false;
		g->norphan--;
		put_free(g, s);
	}
	spin_unlock(&g->m.lock);
}

static struct folio *gpu_folio(struct kvl_member *m, u32 id)
{
	return NULL;
}

static void gpu_submit(struct kvl_copy *copy)
{
	struct kvl_pool *pool = copy->pool;
	u64 addr = kvl_addr_is_gpu(copy->dst) ? copy->dst : copy->src;
	struct kvl_gpu *g = kvl_addr_gpu(pool, addr);

	/* What is attached stays so while a queue can ask for it. */
	if (g->shared)
		kvl_mover_submit(g, copy);
	else
		kvl_gpu_dmabuf_submit(g, copy);
}

static void gpu_drain(struct kvl_member *m)
{
	cancel_delayed_work_sync(&kvl_to_gpu(m)->bury);
	cancel_delayed_work_sync(&kvl_to_gpu(m)->late);
}

static void gpu_destroy(struct kvl_member *m)
{
	struct kvl_gpu *g = kvl_to_gpu(m);
	u32 i;

	WARN_ON_ONCE(g->attached || m->nfree != m->got);
	for (i = 0; i < DIV_ROUND_UP(g->nslots, KVL_SEG_SLOTS); i++)
		kvfree(m->segs[i]);
	kvfree(m->segs);
	kfree(g);
}

static const struct kvl_tier_ops gpu_ops = {
	.name = "gpu",
	.caps = KVL_CAP_MOVER,
	.alloc = gpu_alloc,
	.free = gpu_free,
	.retire = gpu_free,
	.folio = gpu_folio,
	.submit = gpu_submit,
	.drain = gpu_drain,
	.destroy = gpu_destroy,
};

/* The block of a slot leaves it. True: it cannot just now. */
static bool bury_one(struct kvl_gpu *g, struct kvl_slot *s)
{
	u64 index;
	struct kvl_region *r = kvl_slot_owner(g->pool, s, &index);
	struct kvl_block *b;
	bool busy = false;

	/* Who is going away gives it up: it is counted until then. */
	if (!r)
		return false;
	b = kvl_region_find(r, index);
	kvl_block_lock(b);
	if (kvl_block_home(b) == s->addr) {
		busy = test_bit(KVL_B_MOVING, &b->flags);
		if (!busy)
			kvl_gpu_leave(r, index, b);
	}
	kvl_block_unlock(b);
	iput(&r->inode);
	return busy;
}

/* A move may publish its block here after we have looked: until all are gone. */
static void bury(struct work_struct *work)
{
	struct kvl_gpu *g = container_of(to_delayed_work(work), struct kvl_gpu,
					 bury);
	struct kvl_member *m = &g->m;
	bool busy = false;
	u64 left = 0;
	u32 i;

	for (i = 0; i < m->got && !READ_ONCE(g->pool->stopping); i++) {
		struct kvl_slot *s = kvl_member_slot(m, i);

		if (!READ_ONCE(s->free) && READ_ONCE(s->region))
			busy |= bury_one(g, s);
		cond_resched();
	}
	spin_lock(&m->lock);
	left = m->got - m->nfree - g->norphan;
	spin_unlock(&m->lock);
	if ((busy || left) && !READ_ONCE(g->pool->stopping))
		queue_delayed_work(g->pool->wq, &g->bury, BURY_RETRY);
	else if (atomic64_read(&g->nr_lost))
		pr_warn_ratelimited("pool %u: %lld blocks are lost with %s: they had no copy below\n",
				    g->pool->id,
				    (s64)atomic64_read(&g->nr_lost), m->name);
}

void kvl_gpu_die(struct kvl_gpu *g)
{
	struct kvl_member *m = &g->m;

	spin_lock(&m->lock);
	if (!m->dead) {
		m->dead = true;
		atomic64_sub(m->nfree, &m->tier->nfree);
	}
	spin_unlock(&m->lock);
	kvl_pool_resized(g->pool);
	mod_delayed_work(g->pool->wq, &g->bury, 0);
	/* Who waits for a block of it looks again. */
	kvl_pool_slot_freed(g->pool);
}

void kvl_gpu_stop(struct kvl_pool *pool)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_GPU];
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		cancel_delayed_work_sync(&kvl_to_gpu(t->members[i])->bury);
}

void kvl_gpu_detach(struct kvl_gpu *g)
{
	mutex_lock(&g->pool->gpu_mutex);
	g->attached = false;
	mmdrop(g->owner);
	g->owner = NULL;
	mutex_unlock(&g->pool->gpu_mutex);
}

/* Records for so many slots. */
static int make_slots(struct kvl_gpu *g, u32 nr)
{
	struct kvl_member *m = &g->m;

	while (g->nslots < nr) {
		struct kvl_slot *s;
		u32 i;

		s = kvcalloc(KVL_SEG_SLOTS, sizeof(*s), GFP_KERNEL_ACCOUNT);
		if (!s)
			return -ENOMEM;
		for (i = 0; i < KVL_SEG_SLOTS; i++) {
			INIT_LIST_HEAD(&s[i].lru);
			INIT_LIST_HEAD(&s[i].shadow);
			s[i].addr = kvl_addr(KVLIFT_TIER_GPU, m->id,
					     g->nslots + i);
		}
		m->segs[g->nslots >> KVL_SEG_SHIFT] = s;
		g->nslots += KVL_SEG_SLOTS;
		cond_resched();
	}
	return 0;
}

static struct kvl_gpu *create(struct kvl_pool *pool)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_GPU];
	struct kvl_gpu *g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
	struct kvl_member *m = &g->m;

	if (!g)
		return ERR_PTR(-ENOMEM);
	m->segs = kvcalloc(MAX_SEGS, sizeof(*m->segs), GFP_KERNEL_ACCOUNT);
	if (!m->segs) {
		kfree(g);
		return ERR_PTR(-ENOMEM);
	}
	g->pool = pool;
	m->ops = &gpu_ops;
	m->id = t->nr_members;
	m->node = NUMA_NO_NODE;
	m->dead = true;
	spin_lock_init(&m->lock);
	INIT_LIST_HEAD(&g->free);
	INIT_DELAYED_WORK(&g->bury, bury);
	init_rwsem(&g->map_sem);
	kvl_mover_init(g);
	kvl_window_init(&g->win, pool);
	snprintf(m->name, sizeof(m->name), "gpu%u", m->id);
	/* For reclaim, when it is not the only one. */
	m->tier = t;
	if (kvl_reclaim_share(m)) {
		kvfree(m->segs);
		kfree(g);
		return ERR_PTR(-ENOMEM);
	}
	kvl_tier_add(t, m);
	return g;
}

/* Nobody has it, and no slot is in use or leased any more. */
static bool is_empty(struct kvl_gpu *g)
{
	bool empty;

	if (g->attached)
		return false;
	spin_lock(&g->m.lock);
	empty = g->m.nfree == g->m.got;
	spin_unlock(&g->m.lock);
	return empty;
}

static void revive(struct kvl_gpu *g, u32 slots)
{
	struct kvl_member *m = &g->m;
	u32 i;

	/* Nobody else does anything with it. */
	INIT_LIST_HEAD(&g->free);
	m->nfree = 0;
	for (i = slots; i--;) {
		put_free(g, kvl_member_slot(m, i));
		if (!(i % KVL_SEG_SLOTS))
			cond_resched();
	}
	spin_lock(&m->lock);
	m->asked = slots;
	m->got = slots;
	m->draining = false;
	m->dead = false;
	atomic64_add(m->nfree, &m->tier->nfree);
	spin_unlock(&m->lock);
	atomic64_set(&g->nr_lost, 0);
	g->attached = true;
	kvl_pool_resized(g->pool);
}

/* Those that are dead and could be had soon; nobody else waits for that. */
static void flush_dead(struct kvl_tier *t)
{
	unsigned int i, nr;

	/* Pairs with kvl_tier_add(). */
	nr = smp_load_acquire(&t->nr_members);
	for (i = 0; i < nr; i++)
		if (READ_ONCE(t->members[i]->dead))
			flush_delayed_work(&kvl_to_gpu(t->members[i])->bury);
}

/* The user has as many as one may have. Needs the mutex. */
static bool too_many(struct kvl_tier *t)
{
	unsigned int i, n = 0;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_gpu *g = kvl_to_gpu(t->members[i]);

		n += g->attached && uid_eq(g->uid, current_fsuid());
	}
	return n >= KVLIFT_MOVER_PER_USER && !capable(CAP_SYS_RESOURCE);
}

struct kvl_gpu *kvl_gpu_member(struct kvl_pool *pool, u64 slots)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_GPU];
	struct kvl_gpu *g = NULL;
	unsigned int i;
	int err = 0;

	flush_dead(t);
	mutex_lock(&pool->gpu_mutex);
	if (too_many(t))
		err = -EUSERS;
	for (i = 0; i < t->nr_members && !g && !err; i++)
		if (is_empty(kvl_to_gpu(t->members[i])))
			g = kvl_to_gpu(t->members[i]);
	if (!g && t->nr_members == KVLIFT_MAX_MEMBERS) {
		err = -EUSERS;
	} else if (!g && !err) {
		g = create(pool);
		err = IS_ERR(g) ? PTR_ERR(g) :
				  kvl_stats_add_member(pool, &g->m);
	}
	if (!err)
		err = make_slots(g, slots);
	if (!err) {
		/* Who it is, before anybody finds it alive. */
		g->generation++;
		g->owner = current->mm;
		g->uid = current_fsuid();
		mmgrab(g->owner);
		memset(g->peers, 0, sizeof(g->peers));
		revive(g, slots);
	}
	mutex_unlock(&pool->gpu_mutex);
	return err ? ERR_PTR(err) : g;
}
