// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "domain.h"
#include "gpu.h"
#include "move_priv.h"
#include "place.h"
#include "window.h"

/* Pages handed to vm_insert_pages() at a time: the array is on the stack. */
#define INSERT_BATCH	16

/* Blocks that leave at a time. */
#define RECLAIM_BATCH	8

/* Between two looks at a slot that somebody uses, when the window ends. */
#define END_RETRY	(HZ / 100 + 1)

/*
 * Between two looks at blocks that live in it when its attachment has ended, and at
 * slots that are held when somebody waits for one.
 */
#define RETRY		(HZ / 20 + 1)

/* A slot of the pool becomes free in that time, or there is none to be had. */
#define TAKE_FOR	(10 * HZ)

/* How long whoever waits has to ask once more, when it has been too long. */
#define ASK_FOR		(HZ + 1)

/* Held ones that are looked at in one go, with the lock held. */
#define HELD_BATCH	64

static const u8 tier_of[KVL_WINDOW_PARTS] = { KVLIFT_TIER_DRAM,
					      KVLIFT_TIER_CXL };

static struct kvl_window_part *part_of(struct kvl_window *w,
				       const struct kvl_slot *s)
{
	return &w->part[kvl_addr_tier(s->addr) == KVLIFT_TIER_CXL ?
				KVL_WINDOW_CXL :
				KVL_WINDOW_DRAM];
}

/* Both need the lock. */
static void put_free(struct kvl_window *w, struct kvl_slot *s, bool last)
{
	struct kvl_window_part *p = part_of(w, s);

	s->orphan = false;
	s->free = true;
	if (last)
		list_move_tail(&s->lru, &p->free);
	else
		list_move(&s->lru, &p->free);
	p->nfree++;
	w->nfree++;
	w->starved = 0;
	w->due = 0;
}

static void take_free(struct kvl_window *w, struct kvl_slot *s)
{
	list_del_init(&s->lru);
	s->free = false;
	part_of(w, s)->nfree--;
	w->nfree--;
}

static int known_pins(const struct kvl_slot *s)
{
	return min_t(int, s->pins, atomic_read(&s->folio->_pincount));
}

int kvl_slot_refs(const struct kvl_slot *s)
{
	return 1 + (s->window ? known_pins(s) : (int)s->pins) +
	       folio_mapcount(s->folio);
}

/*
 * Somebody may map a page meanwhile, or pin one: then it is held, rather than
 * the one be taken for the other. Pins that were to be expected and are gone
 * hide no others.
 */
bool kvl_window_unheld(const struct kvl_slot *s)
{
	struct folio *folio = s->folio;
	int maps = folio_mapcount(folio), pins = known_pins(s), refs;

	/* Between two looks at the others, which are to be the same. */
	smp_rmb();
	refs = folio_ref_count(folio);
	/* See above. */
	smp_rmb();
	return refs == 1 + pins + maps && maps == folio_mapcount(folio) &&
	       pins == known_pins(s);
}

/* And no GPU that was promised it. */
static bool unheld(const struct kvl_slot *s)
{
	return !s->held && kvl_window_unheld(s);
}

static void count(struct kvl_pool *pool, u64 addr, int delta)
{
	struct kvl_member *m = kvl_addr_member(pool, addr);

	spin_lock(&m->lock);
	m->nwindow += delta;
	spin_unlock(&m->lock);
}

/* One from the pool, which is made to give one up; its bytes are zeros. */
static int take_one(struct kvl_window *w, struct kvl_tier *t, int node,
		    u64 *addr)
{
	struct kvl_pool *pool = w->pool;
	unsigned long until = jiffies + TAKE_FOR;
	struct folio *folio;
	unsigned int i;
	int err = 0;

	while (!err) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		if (!kvl_tier_alloc(t, node, addr))
			break;
		/* Other tiers may have free ones, and that is of no use. */
		err = time_after(jiffies, until) ? -ENOSPC :
						   kvl_pool_wait_slot(pool, seq);
	}
	if (err)
		return err;
	kvl_reclaim_check(t);
	folio = kvl_addr_folio(pool, *addr);
	/* Whoever had it last is nobody that the owner may know of. */
	for (i = 0; i < 1u << pool->page_shift; i++)
		clear_page(page_address(folio_page(folio, i)));
	folio_ref_unfreeze(folio, 1);
	return 0;
}

/* What is left to the tier at least, besides what it keeps free. */
#define LEAVE		4

/* Units of the capacity go to the window; false: there are not so many. */
static bool reserve(struct kvl_pool *pool, const u32 nr[KVL_WINDOW_PARTS])
{
	u64 all = 0, got;
	unsigned int i;

	for (i = 0; i < KVL_WINDOW_PARTS; i++) {
		struct kvl_tier *t = &pool->tiers[tier_of[i]];

		if (nr[i] &&
		    nr[i] + READ_ONCE(t->high) + LEAVE > READ_ONCE(t->slots))
			return false;
		all += nr[i];
	}
	got = kvl_pool_reserve(pool, all);
	if (got == all)
		return true;
	kvl_pool_uncharge(pool, got);
	return false;
}

/* An ordinary slot of the tier, else below, and in DRAM if nothing else helps. */
static int other_place(struct kvl_region *r, struct kvl_block *b, u64 home,
		       u64 *dst)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_tier *t = &pool->tiers[kvl_addr_tier(home)];
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];
	int err = kvl_tier_alloc(t, NUMA_NO_NODE, dst);

	kvl_reclaim_check(t);
	if (err)
		err = kvl_place_below(r, b, home, dst);
	if (err && t != dram && kvl_domain_may_place(r->domain, dram->id)) {
		err = kvl_tier_alloc(dram, NUMA_NO_NODE, dst);
		kvl_reclaim_check(dram);
	}
	return err;
}

static void send_away(struct kvl_batch *batch, struct kvl_slot *s,
		      struct kvl_region *r, u64 index)
{
	struct kvl_block *b = kvl_region_find(r, index);
	u64 dst;

	if (!kvl_block_trylock(b))
		return;
	if (kvl_block_home(b) != s->addr || s->leases ||
	    test_bit(KVL_B_MOVING, &b->flags) ||
	    other_place(r, b, s->addr, &dst))
		kvl_block_unlock(b);
	else
		kvl_batch_add(batch, r, index, b, dst, KVL_WHY_RECLAIM, NULL);
}

static void kick_later(struct kvl_window *w, unsigned long delay)
{
	spin_lock(&w->lock);
	if (w->nr && !w->ending && !READ_ONCE(w->pool->stopping))
		delay ? queue_delayed_work(w->pool->wq, &w->reclaim, delay) :
			mod_delayed_work(w->pool->wq, &w->reclaim, 0);
	spin_unlock(&w->lock);
}

/*
 * Those that somebody held, and nobody does any more: some of them, the others
 * next time. Needs the lock.
 */
static void look_at_held(struct kvl_window *w)
{
	struct kvl_slot *s, *tmp;
	unsigned int looked = 0;
	LIST_HEAD(seen);

	list_for_each_entry_safe(s, tmp, &w->held, lru) {
		if (looked++ == HELD_BATCH)
			break;
		if (unheld(s) && !s->bad)
			put_free(w, s, true);
		else
			list_move_tail(&s->lru, &seen);
	}
	list_splice_tail(&seen, &w->held);
}

/* See kvl_window_starve(). */
static void look_at_starved(struct kvl_window *w, struct kvl_gpu *g)
{
	unsigned long most = msecs_to_jiffies(2 * g->deadline_ms);
	bool was, wake = false, again;

	spin_lock(&w->lock);
	was = w->starved;
	look_at_held(w);
	if (w->starved && !w->due && time_after(jiffies, w->starved + most)) {
		w->due = jiffies ?: 1;
		wake = true;
	}
	/* Nobody has waited to be told. */
	if (w->due && time_after(jiffies, w->due + ASK_FOR)) {
		w->starved = 0;
		w->due = 0;
	}
	again = w->starved;
	wake |= was && !again;
	spin_unlock(&w->lock);
	if (wake)
		kvl_pool_slot_freed(w->pool);
	if (again)
		kick_later(w, RETRY);
}

static void reclaim(struct work_struct *work)
{
	struct kvl_window *w = container_of(to_delayed_work(work),
					    struct kvl_window, reclaim);
	struct kvl_gpu *g = container_of(w, struct kvl_gpu, win);
	struct kvl_region *held[RECLAIM_BATCH];
	bool left = false;
	unsigned int n = 0;
	struct kvl_batch batch;
	u32 looked;

	kvl_batch_init(&batch, w->pool);
	for (looked = 0; looked < w->nr && n < RECLAIM_BATCH; looked++) {
		struct kvl_slot *s = w->slots[w->hand++ % w->nr];
		u64 index;

		if (!READ_ONCE(s->region))
			continue;
		left = true;
		if (READ_ONCE(s->leases))
			continue;
		held[n] = kvl_slot_owner(w->pool, s, &index);
		if (held[n])
			send_away(&batch, s, held[n++], index);
	}
	kvl_batch_run(&batch);
	/* Outside of the loop: the last reference frees the region. */
	while (n--)
		iput(&held[n]->inode);
	look_at_starved(w, g);
	/* Nobody asks for room any more: they leave all the same. */
	if (left && READ_ONCE(g->m.dead))
		kick_later(w, RETRY);
}

/* Slots of one tier. */
static int take(struct kvl_window *w, unsigned int part, u32 nr, int node)
{
	struct kvl_pool *pool = w->pool;
	u64 addr;
	int err;

	for (; nr; nr--) {
		struct kvl_slot *s;

		err = fatal_signal_pending(current) ?
			      -EINTR :
			      take_one(w, &pool->tiers[tier_of[part]], node,
				       &addr);
		if (err)
			return err;
		s = kvl_mem_slot(pool, addr);
		count(pool, addr, 1);
		s->nth = w->nr;
		s->pins = 0;
		s->window = w;
		w->part[part].nr++;
		w->slots[w->nr++] = s;
		cond_resched();
	}
	return 0;
}

void kvl_window_init(struct kvl_window *w, struct kvl_pool *pool)
{
	unsigned int i;

	memset(w, 0, sizeof(*w));
	w->pool = pool;
	spin_lock_init(&w->lock);
	for (i = 0; i < KVL_WINDOW_PARTS; i++)
		INIT_LIST_HEAD(&w->part[i].free);
	INIT_LIST_HEAD(&w->held);
	INIT_DELAYED_WORK(&w->reclaim, reclaim);
}

int kvl_window_create(struct kvl_window *w, const u32 nr[KVL_WINDOW_PARTS],
		      int node)
{
	u32 all = nr[KVL_WINDOW_DRAM] + nr[KVL_WINDOW_CXL];
	struct kvl_pool *pool = w->pool;
	unsigned int i;
	int err = 0;

	w->slots = kvcalloc(all, sizeof(*w->slots), GFP_KERNEL_ACCOUNT);
	if (!w->slots)
		return -ENOMEM;
	if (!reserve(pool, nr)) {
		kvfree(w->slots);
		return -ENOSPC;
	}
	for (i = 0; i < KVL_WINDOW_PARTS && !err; i++)
		err = take(w, i, nr[i], node);
	kvl_pool_resized(pool);
	kvl_pool_uncharge(pool, all);
	if (err)
		kvl_window_destroy(w);
	return err;
}

static void make_ordinary(struct kvl_slot *s)
{
	s->window = NULL;
	s->pins = 0;
	s->held = 0;
	s->written = 0;
	s->orphan = false;
	s->ready = false;
}

/* A block keeps the slot, which is one like others from now on. */
static bool leave_to_block(struct kvl_window *w, struct kvl_slot *s)
{
	u64 index;
	struct kvl_region *r = kvl_slot_owner(w->pool, s, &index);
	struct kvl_block *b;
	bool done = false;

	if (!r)
		return false;
	b = kvl_region_find(r, index);
	kvl_block_lock(b);
	/* While it moves, too: who moves it looks at the slot under the lock. */
	if (kvl_block_home(b) == s->addr) {
		make_ordinary(s);
		done = true;
	}
	kvl_block_unlock(b);
	iput(&r->inode);
	return done;
}

/* A free one goes back to the pool; a raw one is in no list. */
static bool leave_to_pool(struct kvl_window *w, struct kvl_slot *s)
{
	u64 addr = s->addr;
	struct kvl_member *m = kvl_addr_member(w->pool, addr);
	bool mine;

	spin_lock(&w->lock);
	mine = s->free || s->orphan || !s->ready;
	if (mine && s->free)
		take_free(w, s);
	else if (mine)
		list_del_init(&s->lru);
	spin_unlock(&w->lock);
	if (!mine)
		return false;
	/* Against a report that it has failed. */
	spin_lock(&m->lock);
	make_ordinary(s);
	spin_unlock(&m->lock);
	/* The driver may hold its pins for a while: then it is lost until then. */
	if (folio_ref_freeze(s->folio, 1))
		kvl_slot_free(w->pool, addr);
	else
		kvl_slot_retire(w->pool, addr);
	return true;
}

/* Nobody maps it, no command names it, and no lease is left. */
void kvl_window_destroy(struct kvl_window *w)
{
	struct kvl_pool *pool = w->pool;
	u32 i;

	spin_lock(&w->lock);
	w->ending = true;
	spin_unlock(&w->lock);
	cancel_delayed_work_sync(&w->reclaim);
	for (i = 0; i < w->nr; i++) {
		struct kvl_slot *s = w->slots[i];
		u64 addr = s->addr;

		/* A move that ends, or begins to leave it. */
		while (!leave_to_pool(w, s) && !leave_to_block(w, s))
			schedule_timeout_uninterruptible(END_RETRY);
		count(pool, addr, -1);
		cond_resched();
	}
	kvl_pool_resized(pool);
	kvfree(w->slots);
	w->slots = NULL;
	w->nr = 0;
}

int kvl_window_ready(struct kvl_window *w, u64 first, u64 count)
{
	u64 i;

	if (!count)
		return -EINVAL;
	if (first >= w->nr || count > w->nr - first)
		return -ENXIO;
	spin_lock(&w->lock);
	for (i = first; i < first + count; i++)
		if (w->slots[i]->ready)
			break;
	if (i < first + count) {
		spin_unlock(&w->lock);
		return -EALREADY;
	}
	for (i = first; i < first + count; i++) {
		struct kvl_slot *s = w->slots[i];

		s->ready = true;
		s->pins = atomic_read(&s->folio->_pincount);
		w->ready++;
		part_of(w, s)->ready++;
		if (!READ_ONCE(s->bad)) {
			put_free(w, s, true);
		} else {
			s->orphan = true;
			list_add_tail(&s->lru, &w->held);
		}
	}
	spin_unlock(&w->lock);
	kvl_pool_slot_freed(w->pool);
	return 0;
}

/* Slots of @nr that no block may live in. */
static u32 kept(u32 nr)
{
	return max(nr / 8, 1u);
}

/* Those of a part: in DRAM, if there are some. Needs the lock. */
static u32 kept_there(const struct kvl_window *w, unsigned int part)
{
	u32 all = kept(w->ready);
	u32 dram = min(all, w->part[KVL_WINDOW_DRAM].ready);

	return part == KVL_WINDOW_DRAM ? dram : all - dram;
}

u64 kvl_window_homes(const struct kvl_window *w, unsigned int tier)
{
	u32 dram = w->part[KVL_WINDOW_DRAM].nr, all = kept(w->nr);
	u32 keep = min(all, dram);

	return tier == KVLIFT_TIER_DRAM ?
		       dram - keep :
		       w->part[KVL_WINDOW_CXL].nr - (all - keep);
}

/* Those whose memory has failed meanwhile. Needs the lock. */
static void drop_bad(struct kvl_window *w, struct kvl_window_part *p)
{
	struct kvl_slot *s;

	while ((s = list_first_entry_or_null(&p->free, struct kvl_slot, lru)) &&
	       READ_ONCE(s->bad)) {
		take_free(w, s);
		s->orphan = true;
		list_add_tail(&s->lru, &w->held);
	}
}

/* The first free one of a part that leaves so many, or NULL. Needs the lock. */
static struct kvl_slot *first_free(struct kvl_window *w, unsigned int part,
				   u32 keep)
{
	struct kvl_window_part *p = &w->part[part];

	drop_bad(w, p);
	if (p->nfree <= keep)
		look_at_held(w);
	return p->nfree > keep ?
		       list_first_entry(&p->free, struct kvl_slot, lru) :
		       NULL;
}

/* For a copy that passes through: the faster memory first. Needs the lock. */
static struct kvl_slot *first_stage(struct kvl_window *w)
{
	return first_free(w, KVL_WINDOW_DRAM, 0) ?:
	       first_free(w, KVL_WINDOW_CXL, 0);
}

bool kvl_window_has_free(struct kvl_window *w)
{
	bool has;

	spin_lock(&w->lock);
	has = first_stage(w);
	spin_unlock(&w->lock);
	return has;
}

/* Needs the lock. */
static int take_slot(struct kvl_window *w, struct kvl_slot *s, u64 *addr)
{
	if (!s)
		return -ENOSPC;
	take_free(w, s);
	*addr = s->addr;
	return 0;
}

int kvl_window_stage(struct kvl_window *w, u64 *addr)
{
	int err;

	spin_lock(&w->lock);
	err = take_slot(w, first_stage(w), addr);
	spin_unlock(&w->lock);
	return err;
}

static bool is_draining(struct kvl_window *w, const struct kvl_slot *s)
{
	return READ_ONCE(kvl_addr_member(w->pool, s->addr)->draining);
}

static struct kvl_slot *first_lasting(struct kvl_window *w, unsigned int part)
{
	struct kvl_slot *s;

	list_for_each_entry(s, &w->part[part].free, lru)
		if (!is_draining(w, s) && !READ_ONCE(s->bad))
			return s;
	return NULL;
}

int kvl_window_home(struct kvl_window *w, unsigned int part, u64 *addr)
{
	struct kvl_slot *s;
	int err;

	spin_lock(&w->lock);
	s = first_free(w, part, kept_there(w, part));
	/* From a member that is being drained it would have to leave again. */
	if (s && is_draining(w, s))
		s = first_lasting(w, part);
	err = take_slot(w, s, addr);
	spin_unlock(&w->lock);
	return err;
}

void kvl_window_put(struct kvl_slot *s)
{
	struct kvl_window *w = s->window;

	spin_lock(&w->lock);
	if (unheld(s) && !s->bad) {
		put_free(w, s, false);
	} else {
		s->orphan = true;
		list_add_tail(&s->lru, &w->held);
	}
	spin_unlock(&w->lock);
}

void kvl_window_unlease(struct kvl_slot *s, bool write)
{
	struct kvl_window *w = s->window;

	spin_lock(&w->lock);
	if (!WARN_ON_ONCE(!s->held))
		s->held--;
	s->written -= write;
	spin_unlock(&w->lock);
}

void kvl_window_kick(struct kvl_window *w)
{
	kick_later(w, 0);
}

bool kvl_window_starve(struct kvl_window *w)
{
	bool due;

	spin_lock(&w->lock);
	if (!w->nfree && !w->starved)
		w->starved = jiffies ?: 1;
	due = !w->nfree && w->due;
	spin_unlock(&w->lock);
	if (!due)
		kick_later(w, 0);
	return due;
}

/* The whole slot that the fault is in. */
static vm_fault_t fault(struct vm_fault *vmf)
{
	struct kvl_window *w = vmf->vma->vm_private_data;
	struct vm_area_struct *vma = vmf->vma;
	unsigned int shift = w->pool->page_shift;
	pgoff_t at = vmf->pgoff - (KVL_WINDOW_OFFSET >> PAGE_SHIFT);
	struct page *pages[INSERT_BATCH];
	struct folio *folio;
	unsigned long addr;
	pgoff_t i, k, end;
	int err = 0;

	if (at >> shift >= w->nr)
		return VM_FAULT_SIGBUS;
	folio = w->slots[at >> shift]->folio;
	/* From here on what the mapping has of it. */
	i = round_down(at, 1UL << shift);
	end = i + (1UL << shift);
	i = max(i, vma->vm_pgoff - (KVL_WINDOW_OFFSET >> PAGE_SHIFT));
	end = min(end, vma->vm_pgoff - (KVL_WINDOW_OFFSET >> PAGE_SHIFT) +
			       vma_pages(vma));
	addr = vmf->address & PAGE_MASK;
	addr -= (at - i) << PAGE_SHIFT;
	while (i < end && !err) {
		unsigned long nr = min(end - i, (pgoff_t)INSERT_BATCH);
		unsigned long left = nr;

		for (k = 0; k < nr; k++)
			pages[k] = folio_page(folio, (i + k) &
						     ((1UL << shift) - 1));
		err = vm_insert_pages(vma, addr, pages, &left);
		/* Some of them were there already. */
		for (k = nr - left; err == -EBUSY && k < nr; k++) {
			int e = vm_insert_page(vma, addr + (k << PAGE_SHIFT),
					       pages[k]);

			if (e && e != -EBUSY)
				err = e;
		}
		if (err == -EBUSY)
			err = 0;
		i += nr;
		addr += nr << PAGE_SHIFT;
	}
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	return err && err != -EFAULT ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct vm_ops = {
	.fault = fault,
};

/* Shared and not inherited: the device is the process's. */
int kvl_window_mmap(struct kvl_window *w, struct vm_area_struct *vma)
{
	pgoff_t at = vma->vm_pgoff - (KVL_WINDOW_OFFSET >> PAGE_SHIFT);
	pgoff_t pages = (pgoff_t)w->nr << w->pool->page_shift;

	if (!(vma->vm_flags & VM_SHARED) || at >= pages ||
	    vma_pages(vma) > pages - at)
		return -EINVAL;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTCOPY | VM_DONTEXPAND |
				  VM_DONTDUMP);
	vma->vm_private_data = w;
	vma->vm_ops = &vm_ops;
	return 0;
}
