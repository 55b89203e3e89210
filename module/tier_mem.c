// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a NUMA node: compound folios that the module owns.
 *
 * A free slot's folio is frozen (no references), as in hugetlbfs: nobody can
 * get hold of it by accident, and a freeze that fails is the test that
 * somebody still has it. A slot whose block was dropped while somebody held
 * its folio waits in @lost until that reference is gone. One whose memory has
 * failed is not even given back to the kernel: inside of a compound page that
 * would not see it.
 *
 * Folios are not movable: a long-term pin on a movable folio never ends.
 */
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "move.h"
#include "msg.h"
#include "params.h"
#include "pool.h"
#include "window.h"

/* Lost slots are looked at again after this. */
#define LOST_RETRY	(HZ / 4)

/**
 * struct kvl_mem - a node's share of a tier
 * @m:		what the layers above see
 * @pool:	the pool
 * @nr_segs:	size of @m.segs
 * @nr_ids:	slot numbers handed out so far
 * @free:	frozen folios
 * @empty:	slot numbers without a folio
 * @lost:	folios somebody else still holds
 * @bad:	folios whose memory has failed, with a reference of ours
 * @fill:	acquires or gives back until @m has what it is to have
 * @regrow:	what is being acquired is what pressure had taken
 * @filled:	completed when @fill has done what it can
 * @recheck:	looks at @lost again
 */
struct kvl_mem {
	struct kvl_member m;
	struct kvl_pool *pool;
	u32 nr_segs;
	u32 nr_ids;
	struct list_head free;
	struct list_head empty;
	struct list_head lost;
	struct list_head bad;
	struct work_struct fill;
	struct completion filled;
	bool regrow;
	struct delayed_work recheck;
};

static struct kvl_mem *to_mem(struct kvl_member *m)
{
	return container_of(m, struct kvl_mem, m);
}

static struct kvl_slot *slot(struct kvl_mem *mem, u32 id)
{
	return kvl_member_slot(&mem->m, id);
}

/* Slot number @n, in use or not; NULL: there are not that many. */
struct kvl_slot *kvl_mem_nth_slot(struct kvl_member *m, u32 n)
{
	struct kvl_mem *mem = to_mem(m);

	/* Pairs with the release where a number is handed out. */
	return n < smp_load_acquire(&mem->nr_ids) ? slot(mem, n) : NULL;
}

static struct folio *mem_folio(struct kvl_member *m, u32 id)
{
	return slot(to_mem(m), id)->folio;
}

static int mem_alloc(struct kvl_member *m, u32 *id)
{
	struct kvl_mem *mem = to_mem(m);
	struct kvl_slot *s;

	spin_lock(&m->lock);
	s = list_first_entry_or_null(&mem->free, struct kvl_slot, lru);
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

/* A frozen slot whose memory has failed. Needs the member's lock. */
static void take_out(struct kvl_mem *mem, struct kvl_slot *s)
{
	folio_ref_unfreeze(s->folio, 1 + s->pins);
	list_move(&s->lru, &mem->bad);
	mem->m.nlost++;
	WRITE_ONCE(mem->m.nbad, mem->m.nbad + 1);
	kvl_count(mem->pool, KVL_C_MEM_ERRORS);
}

static void mem_free(struct kvl_member *m, u32 id)
{
	struct kvl_mem *mem = to_mem(m);
	struct kvl_slot *s = slot(mem, id);
	bool surplus;

	folio_clear_dirty(s->folio);
	folio_clear_referenced(s->folio);
	if (unlikely(s->window)) {
		kvl_window_put(s);
		return;
	}
	spin_lock(&m->lock);
	if (unlikely(s->bad)) {
		take_out(mem, s);
		spin_unlock(&m->lock);
		kvl_pool_resized(mem->pool);
		return;
	}
	list_add(&s->lru, &mem->free);
	s->free = true;
	m->nfree++;
	surplus = m->got - m->nbad > kvl_member_target(m);
	spin_unlock(&m->lock);
	atomic64_inc(&m->tier->nfree);
	if (surplus)
		queue_work(mem->pool->wq, &mem->fill);
}

static void mem_retire(struct kvl_member *m, u32 id)
{
	struct kvl_mem *mem = to_mem(m);

	if (unlikely(slot(mem, id)->window)) {
		kvl_window_put(slot(mem, id));
		return;
	}
	spin_lock(&m->lock);
	list_add_tail(&slot(mem, id)->lru, &mem->lost);
	m->nlost++;
	spin_unlock(&m->lock);
	kvl_pool_resized(mem->pool);
	queue_delayed_work(mem->pool->wq, &mem->recheck, LOST_RETRY);
}

static void recheck_lost(struct work_struct *work)
{
	struct kvl_mem *mem = container_of(to_delayed_work(work),
					   struct kvl_mem, recheck);
	struct kvl_member *m = &mem->m;
	struct kvl_slot *s, *tmp;
	LIST_HEAD(back);
	bool more;

	spin_lock(&m->lock);
	list_for_each_entry_safe(s, tmp, &mem->lost, lru) {
		if (!folio_ref_freeze(s->folio, 1 + s->pins))
			continue;
		m->nlost--;
		if (s->bad)
			take_out(mem, s);
		else
			list_move(&s->lru, &back);
	}
	more = !list_empty(&mem->lost);
	spin_unlock(&m->lock);
	list_for_each_entry_safe(s, tmp, &back, lru) {
		list_del_init(&s->lru);
		kvl_slot_free(mem->pool, s->addr);
	}
	kvl_pool_resized(mem->pool);
	if (more)
		queue_delayed_work(mem->pool->wq, &mem->recheck, LOST_RETRY);
}

/* A reference that made a slot count as lost is gone. */
void kvl_mem_recheck(struct kvl_pool *pool, u64 addr)
{
	struct kvl_mem *mem = to_mem(kvl_addr_member(pool, addr));

	if (READ_ONCE(mem->m.nlost) > READ_ONCE(mem->m.nbad))
		mod_delayed_work(pool->wq, &mem->recheck, 0);
}

/* From now on bad. True when it was free. Needs the member's lock. */
static bool mark_bad(struct kvl_mem *mem, struct kvl_slot *s)
{
	/* What is free in a window is not frozen, and not the member's. */
	bool was_free = s->free && !s->window;

	WRITE_ONCE(s->bad, true);
	if (was_free) {
		s->free = false;
		mem->m.nfree--;
		take_out(mem, s);
	}
	return was_free;
}

static void was_taken_out(struct kvl_mem *mem)
{
	atomic64_dec(&mem->m.tier->nfree);
	kvl_pool_resized(mem->pool);
}

/*
 * The slot that page @pfn belongs to, if the member has it: from now on bad,
 * and out of use at once if it is free. Who uses it gives it up some time.
 */
struct kvl_slot *kvl_mem_mark_bad(struct kvl_member *m, unsigned long pfn)
{
	struct kvl_mem *mem = to_mem(m);
	struct kvl_slot *s;
	bool here, was_free;
	u32 i;

	for (i = 0; (s = kvl_mem_nth_slot(m, i)); i++) {
		struct folio *folio = READ_ONCE(s->folio);

		cond_resched();
		if (!folio || (pfn - folio_pfn(folio)) >> mem->pool->page_shift)
			continue;
		spin_lock(&m->lock);
		here = s->folio == folio;
		was_free = here && mark_bad(mem, s);
		spin_unlock(&m->lock);
		if (was_free)
			was_taken_out(mem);
		if (here)
			return s;
	}
	return NULL;
}

static bool has_marked_page(struct kvl_mem *mem, struct folio *folio)
{
	unsigned int i;

	for (i = 0; i < 1u << mem->pool->page_shift; i++)
		if (PageHWPoison(folio_page(folio, i)))
			return true;
	return false;
}

/*
 * The next slot from number @n on, which moves on, that is bad or has a page
 * that the core has marked: then it is bad from now on.
 */
struct kvl_slot *kvl_mem_next_bad(struct kvl_member *m, u32 *n)
{
	struct kvl_mem *mem = to_mem(m);
	struct kvl_slot *s;
	bool bad, was_free;

	while ((s = kvl_mem_nth_slot(m, *n))) {
		++*n;
		cond_resched();
		/* Under the lock the folio stays. */
		spin_lock(&m->lock);
		bad = s->bad;
		was_free = false;
		if (!bad && s->folio && has_marked_page(mem, s->folio)) {
			was_free = mark_bad(mem, s);
			bad = true;
		}
		spin_unlock(&m->lock);
		if (was_free)
			was_taken_out(mem);
		if (bad)
			return s;
	}
	return NULL;
}

/* For tests. */
static bool fail_this_copy(void)
{
	unsigned int n = READ_ONCE(kvl_param_fail_copy);

	while (n && !try_cmpxchg(&kvl_param_fail_copy, &n, n - 1))
		;
	return n == 1;
}

/* Memory that has failed costs the copy, not the machine. */
static void mem_submit(struct kvl_copy *copy)
{
	struct folio *src = kvl_addr_folio(copy->pool, copy->src);
	struct folio *dst = kvl_addr_folio(copy->pool, copy->dst);

	copy->error = folio_mc_copy(dst, src);
	if (fail_this_copy())
		copy->error = -EHWPOISON;
	copy->t_done = ktime_get_ns();
	copy->done(copy);
}

static void mem_drain(struct kvl_member *m)
{
	struct kvl_mem *mem = to_mem(m);

	/* Copies are done when submit returns; what is left is the filling. */
	cancel_delayed_work_sync(&mem->recheck);
	cancel_work_sync(&mem->fill);
}

static u64 kernel_zone_pages(int node)
{
	u64 pages = 0;
	int i;

	for (i = 0; i < ZONE_MOVABLE; i++)
		pages += zone_managed_pages(&NODE_DATA(node)->node_zones[i]);
	return pages;
}

/* Pages of @node that are free, or could be without hurting anybody much. */
static u64 available_pages(int node)
{
	struct pglist_data *d = NODE_DATA(node);
	u64 pages = 0;
	int i;

	for (i = NR_INACTIVE_FILE; i <= NR_ACTIVE_FILE; i++)
		pages += max(atomic_long_read(&d->vm_stat[i]), 0);
	pages /= 2;
	for (i = 0; i < ZONE_MOVABLE; i++)
		pages += zone_page_state(&d->node_zones[i], NR_FREE_PAGES);
	return pages;
}

/* What the allocator and kswapd want to see free, and as much again. */
static u64 node_reserve(int node)
{
	u64 pages = 0;
	int i;

	for (i = 0; i < ZONE_MOVABLE; i++)
		pages += high_wmark_pages(&NODE_DATA(node)->node_zones[i]);
	return max(2 * pages, (16UL << 20) >> PAGE_SHIFT);
}

/* Pages that a pool leaves to the machine. */
static long machine_reserve(void)
{
	return max(totalram_pages() / 16, (32UL << 20) >> PAGE_SHIFT);
}

/*
 * A pool must not eat the memory that the machine itself runs on. A node
 * without a CPU has no such duty, but below the watermarks whoever is bound
 * to it would reclaim without end.
 */
static bool may_take(int node)
{
	if (node_state(node, N_CPU))
		return si_mem_available() > machine_reserve();
	return available_pages(node) > node_reserve(node);
}

/*
 * Pages that @node lacks, 0 when it is not short of memory. What the page
 * cache could give up counts as there: a machine whose memory is full of it
 * is not short. The limits are half of those up to which a pool grows.
 */
u64 kvl_mem_shortage(int node)
{
	long machine = machine_reserve() / 2 - si_mem_available();
	long here = node_reserve(node) / 2 - available_pages(node);

	return max3(machine, here, 0L);
}

/* Pages a pool can take back on @node without anybody being short of them. */
u64 kvl_mem_plenty(int node)
{
	long machine = si_mem_available() - machine_reserve();
	long here = available_pages(node) - 2 * node_reserve(node);

	return max(min(machine, here), 0L);
}

/* A slot number to put a folio in. NULL: no memory, or no number left. */
static struct kvl_slot *take_id(struct kvl_mem *mem)
{
	struct kvl_slot *s;
	u32 id;

	spin_lock(&mem->m.lock);
	s = list_first_entry_or_null(&mem->empty, struct kvl_slot, lru);
	if (s)
		list_del_init(&s->lru);
	spin_unlock(&mem->m.lock);
	if (s)
		return s;
	id = mem->nr_ids;
	if (id >> KVL_SEG_SHIFT >= mem->nr_segs)
		return NULL;
	if (!(id & (KVL_SEG_SLOTS - 1))) {
		s = kvcalloc(KVL_SEG_SLOTS, sizeof(*s), GFP_KERNEL);
		if (!s)
			return NULL;
		mem->m.segs[id >> KVL_SEG_SHIFT] = s;
	}
	s = slot(mem, id);
	INIT_LIST_HEAD(&s->lru);
	INIT_LIST_HEAD(&s->shadow);
	s->addr = kvl_addr(mem->m.tier->id, mem->m.id, id);
	/* The slot is ready before its number is: kvl_mem_nth_slot(). */
	smp_store_release(&mem->nr_ids, id + 1);
	return s;
}

/* Who looked pages up before they were freed may hold one for an instant. */
#define FREEZE_TRIES	4

static struct folio *alloc_frozen(struct kvl_mem *mem)
{
	gfp_t gfp = GFP_HIGHUSER | __GFP_THISNODE | __GFP_NOWARN |
		    __GFP_RETRY_MAYFAIL;
	unsigned int i;

	for (i = 0; i < FREEZE_TRIES; i++) {
		struct folio *folio;

		folio = __folio_alloc_node(gfp, mem->pool->page_shift,
					   mem->m.node);
		if (!folio || folio_ref_freeze(folio, 1))
			return folio;
		folio_put(folio);
	}
	return NULL;
}

static bool grow_by_one(struct kvl_mem *mem)
{
	struct kvl_member *m = &mem->m;
	struct folio *folio;
	struct kvl_slot *s;
	bool taken;

	if (!may_take(m->node))
		return false;
	s = take_id(mem);
	if (!s)
		return false;
	folio = alloc_frozen(mem);
	spin_lock(&m->lock);
	/* The target may have become smaller. */
	taken = folio && m->got < kvl_member_target(m);
	if (taken) {
		s->folio = folio;
		s->free = true;
		list_add_tail(&s->lru, &mem->free);
		m->nfree++;
		m->got++;
	} else {
		list_add(&s->lru, &mem->empty);
	}
	spin_unlock(&m->lock);
	if (taken) {
		atomic64_inc(&m->tier->nfree);
		atomic64_inc(&kvl_objects.slots);
		if (mem->regrow)
			kvl_count(mem->pool, KVL_C_GROWN_BACK);
		kvl_pool_slot_freed(mem->pool);
	} else if (folio) {
		folio_ref_unfreeze(folio, 1);
		folio_put(folio);
	}
	return taken;
}

/* Some page of it has failed; the kernel may not have told us yet. */
static bool has_poison(struct folio *folio)
{
	unsigned long i;

	for (i = 0; i < folio_nr_pages(folio); i++)
		if (PageHWPoison(folio_page(folio, i)))
			return true;
	return false;
}

/* Gives our reference up; the kernel looks at every page as well then. */
static void release_folio(struct folio *folio, bool bad)
{
	folio->mapping = NULL;
	if (bad || has_poison(folio))
		pr_warn("%lu KiB at pfn %#lx stay out of use: memory error\n",
			folio_size(folio) >> 10, folio_pfn(folio));
	else
		folio_put(folio);
	atomic64_dec(&kvl_objects.slots);
}

/* Gives a free slot back to the kernel, if there are more than @keep. */
static bool shrink_by_one(struct kvl_mem *mem, u64 keep)
{
	struct kvl_member *m = &mem->m;
	struct folio *folio = NULL;
	struct kvl_slot *s;

	spin_lock(&m->lock);
	s = list_first_entry_or_null(&mem->free, struct kvl_slot, lru);
	if (s && m->got > keep) {
		folio = s->folio;
		WRITE_ONCE(s->folio, NULL);
		s->free = false;
		list_move(&s->lru, &mem->empty);
		m->nfree--;
		m->got--;
	}
	spin_unlock(&m->lock);
	if (!folio)
		return false;
	atomic64_dec(&m->tier->nfree);
	folio_ref_unfreeze(folio, 1);
	release_folio(folio, false);
	return true;
}

/*
 * Gives free slots back to the kernel until the member has no more than it is
 * to have. Never sleeps. Returns how many.
 */
u64 kvl_mem_release(struct kvl_member *m)
{
	struct kvl_mem *mem = to_mem(m);
	u64 n = 0;

	while (shrink_by_one(mem, kvl_member_target(m)))
		n++;
	if (n && READ_ONCE(m->cut))
		kvl_pressure_released(mem->pool, n);
	return n;
}

/* Ends a run of fill(). True when the member has less than it is to have. */
static bool filled(struct kvl_mem *mem)
{
	struct kvl_member *m = &mem->m;
	bool less;

	spin_lock(&m->lock);
	m->filling = false;
	/* What cannot be had back now is asked for again later. */
	if (mem->regrow && m->got < kvl_member_target(m)) {
		m->cut = m->asked - m->got;
		kvl_pressure_rest(mem->pool);
	}
	mem->regrow = false;
	less = m->got < kvl_member_target(m);
	spin_unlock(&m->lock);
	kvl_pool_resized(mem->pool);
	return less;
}

static void fill(struct work_struct *work)
{
	struct kvl_mem *mem = container_of(work, struct kvl_mem, fill);
	struct kvl_member *m = &mem->m;

	while (!READ_ONCE(mem->pool->stopping)) {
		u64 got = READ_ONCE(m->got), target = kvl_member_target(m);

		if (got == target)
			break;
		if (got < target ? !grow_by_one(mem) : !kvl_mem_release(m))
			break;
		cond_resched();
	}
	if (filled(mem) && !READ_ONCE(mem->pool->stopping))
		pr_warn_ratelimited("pool %u: %s got %llu of %llu slots: no more contiguous memory of %u KiB\n",
				    mem->pool->id, m->name, m->got, m->asked,
				    mem->pool->block_size >> 10);
	if (kvl_tier_surplus(m->tier))
		kvl_reclaim_kick(m->tier);
	complete_all(&mem->filled);
}

static int mem_check_resize(struct kvl_member *m, struct fs_context *fc,
			    u64 asked)
{
	struct kvl_mem *mem = to_mem(m);
	u64 max = kernel_zone_pages(m->node) >> mem->pool->page_shift;

	if (asked > max)
		return kvl_msg(fc, -ENOMEM,
			       "%s=%lluK@%d: the kernel can use %llu MiB of that node at most; ask for less",
			       kvl_tier_name(m->tier->id),
			       asked << mem->pool->block_shift >> 10, m->node,
			       max << mem->pool->block_shift >> 20);
	return 0;
}

static void mem_resize(struct kvl_member *m, u64 asked)
{
	struct kvl_mem *mem = to_mem(m);

	/* A run for the old budget must not complete the wait for this one. */
	cancel_work_sync(&mem->fill);
	reinit_completion(&mem->filled);
	spin_lock(&m->lock);
	m->asked = asked;
	m->cut = 0;
	mem->regrow = false;
	m->filling = asked > m->got;
	spin_unlock(&m->lock);
	kvl_pool_resized(mem->pool);
	queue_work(mem->pool->wq, &mem->fill);
}

/* Takes back, in the background, @slots of those that pressure has taken. */
void kvl_mem_regrow(struct kvl_member *m, u64 slots)
{
	struct kvl_mem *mem = to_mem(m);

	spin_lock(&m->lock);
	m->cut -= min(slots, m->cut);
	/* What comes counts when it is there: it may not come. */
	mem->regrow = true;
	spin_unlock(&m->lock);
	queue_work(mem->pool->wq, &mem->fill);
}

/* 0 when the budget was met, 1 when not, or -EINTR. */
int kvl_mem_wait_filled(struct kvl_member *m)
{
	if (wait_for_completion_killable(&to_mem(m)->filled))
		return -EINTR;
	return READ_ONCE(m->got) < kvl_member_target(m);
}

static void mem_destroy(struct kvl_member *m)
{
	struct kvl_mem *mem = to_mem(m);
	struct kvl_slot *s;
	u32 i;

	while (shrink_by_one(mem, 0))
		cond_resched();
	/* Whoever still holds these frees them. */
	list_for_each_entry(s, &mem->lost, lru) {
		release_folio(s->folio, s->bad);
		m->got--;
	}
	list_for_each_entry(s, &mem->bad, lru) {
		release_folio(s->folio, true);
		m->got--;
	}
	WARN_ON_ONCE(m->got);
	for (i = 0; i < mem->nr_segs; i++)
		kvfree(mem->m.segs[i]);
	kvfree(mem->m.segs);
	kfree(mem);
}

static const struct kvl_tier_ops mem_ops = {
	.name = "memory",
	.caps = KVL_CAP_CPU,
	.alloc = mem_alloc,
	.free = mem_free,
	.retire = mem_retire,
	.folio = mem_folio,
	.submit = mem_submit,
	.drain = mem_drain,
	.check_resize = mem_check_resize,
	.resize = mem_resize,
	.destroy = mem_destroy,
};

/*
 * Memory of @node for a tier; the slots come in the background. ERR_PTR with
 * a message in @fc.
 */
struct kvl_member *kvl_mem_create(struct kvl_pool *pool, struct fs_context *fc,
				  unsigned int tier, int node, u64 bytes)
{
	const char *name = kvl_tier_name(tier);
	struct kvl_tier *t = &pool->tiers[tier];
	struct kvl_mem *mem;
	u64 max;
	int err;

	if (node < 0 || node >= MAX_NUMNODES || !node_online(node) ||
	    !NODE_DATA(node)->node_present_pages) {
		kvl_msg(fc, 0,
			"%s=%lluK@%d: there is no node %d with memory; see /sys/devices/system/node/has_memory",
			name, bytes >> 10, node, node);
		return ERR_PTR(-EINVAL);
	}
	if (!kernel_zone_pages(node)) {
		kvl_msg(fc, 0,
			"%s=%lluK@%d: all memory of node %d is online as movable and cannot be pinned; bring it online for the kernel with 'daxctl reconfigure-device --mode=system-ram --no-movable --force dax0.0' (the device of that node) or 'echo online_kernel' to its memory blocks",
			name, bytes >> 10, node, node);
		return ERR_PTR(-EINVAL);
	}
	if (bytes < pool->block_size) {
		kvl_msg(fc, 0, "%s=%lluK@%d: less than one block of %u KiB",
			name, bytes >> 10, node, pool->block_size >> 10);
		return ERR_PTR(-EINVAL);
	}
	mem = kzalloc(sizeof(*mem), GFP_KERNEL);
	if (!mem)
		return ERR_PTR(-ENOMEM);
	max = NODE_DATA(node)->node_present_pages >> pool->page_shift;
	mem->nr_segs = DIV_ROUND_UP_ULL(max + 1, KVL_SEG_SLOTS);
	mem->m.segs = kvcalloc(mem->nr_segs, sizeof(*mem->m.segs), GFP_KERNEL);
	if (!mem->m.segs) {
		kfree(mem);
		return ERR_PTR(-ENOMEM);
	}
	mem->pool = pool;
	mem->m.ops = &mem_ops;
	mem->m.id = t->nr_members;
	mem->m.node = node;
	snprintf(mem->m.name, sizeof(mem->m.name), "node%d", node);
	spin_lock_init(&mem->m.lock);
	INIT_LIST_HEAD(&mem->free);
	INIT_LIST_HEAD(&mem->empty);
	INIT_LIST_HEAD(&mem->lost);
	INIT_LIST_HEAD(&mem->bad);
	INIT_WORK(&mem->fill, fill);
	INIT_DELAYED_WORK(&mem->recheck, recheck_lost);
	init_completion(&mem->filled);
	kvl_tier_add(t, &mem->m);
	err = mem_check_resize(&mem->m, fc, bytes >> pool->block_shift);
	if (err)
		return ERR_PTR(err); /* freed with the tier */
	mem_resize(&mem->m, bytes >> pool->block_shift);
	return &mem->m;
}
