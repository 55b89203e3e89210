// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "move.h"
#include "place.h"
#include "window.h"

/* Pages handed to vm_insert_pages() at a time: the array is on the stack. */
#define INSERT_BATCH	16

/* Blocks that leave at a time. */
#define RECLAIM_BATCH	8

/* Between two looks at a slot that somebody uses, when the window ends. */
#define END_RETRY	(HZ / 100 + 1)

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
static int take_one(struct kvl_window *w, int node, u64 *addr)
{
	struct kvl_pool *pool = w->pool;
	struct folio *folio;
	unsigned int i;
	int err = 0;

	while (!err) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		if (!kvl_tier_alloc(&pool->tiers[KVLIFT_TIER_DRAM], node, addr))
			break;
		err = kvl_pool_wait_slot(pool, seq);
	}
	if (err)
		return err;
	kvl_reclaim_check(&pool->tiers[KVLIFT_TIER_DRAM]);
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
static bool reserve(struct kvl_pool *pool, u32 nr)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_DRAM];
	u64 got;

	if (nr + READ_ONCE(t->high) + LEAVE > READ_ONCE(t->slots))
		return false;
	got = kvl_pool_reserve(pool, nr);
	if (got == nr)
		return true;
	kvl_pool_uncharge(pool, got);
	return false;
}

/* One block, to other memory if there is some, else down. */
static void send_away(struct kvl_batch *batch, struct kvl_window *w,
		      struct kvl_slot *s, struct kvl_region *r, u64 index)
{
	struct kvl_tier *dram = &w->pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_block *b = kvl_region_find(r, index);
	u64 dst;

	if (!kvl_block_trylock(b))
		return;
	if (kvl_block_home(b) != s->addr || s->leases ||
	    test_bit(KVL_B_MOVING, &b->flags))
		kvl_block_unlock(b);
	else if (!kvl_tier_alloc(dram, NUMA_NO_NODE, &dst))
		kvl_batch_add(batch, r, index, b, dst, KVL_WHY_RECLAIM, NULL);
	else
		kvl_batch_demote(batch, r, index, b, KVL_WHY_RECLAIM);
}

static void reclaim(struct work_struct *work)
{
	struct kvl_window *w = container_of(work, struct kvl_window, reclaim);
	struct kvl_region *held[RECLAIM_BATCH];
	unsigned int n = 0;
	struct kvl_batch batch;
	u32 looked;

	kvl_batch_init(&batch, w->pool);
	for (looked = 0; looked < w->nr && n < RECLAIM_BATCH; looked++) {
		struct kvl_slot *s = w->slots[w->hand++ % w->nr];
		u64 index;

		if (!READ_ONCE(s->region) || READ_ONCE(s->leases))
			continue;
		held[n] = kvl_slot_owner(w->pool, s, &index);
		if (held[n])
			send_away(&batch, w, s, held[n++], index);
	}
	kvl_batch_run(&batch);
	/* Outside of the loop: the last reference frees the region. */
	while (n--)
		iput(&held[n]->inode);
}

int kvl_window_create(struct kvl_window *w, struct kvl_pool *pool, u32 nr,
		      int node)
{
	struct kvl_slot *s;
	int err = 0;
	u64 addr;

	memset(w, 0, sizeof(*w));
	w->pool = pool;
	spin_lock_init(&w->lock);
	INIT_LIST_HEAD(&w->free);
	INIT_LIST_HEAD(&w->held);
	INIT_WORK(&w->reclaim, reclaim);
	w->slots = kvcalloc(nr, sizeof(*w->slots), GFP_KERNEL_ACCOUNT);
	if (!w->slots)
		return -ENOMEM;
	if (!reserve(pool, nr)) {
		kvfree(w->slots);
		return -ENOSPC;
	}
	while (w->nr < nr && !err) {
		err = fatal_signal_pending(current) ?
			      -EINTR :
			      take_one(w, node, &addr);
		if (err)
			break;
		s = kvl_mem_slot(pool, addr);
		count(pool, addr, 1);
		s->nth = w->nr;
		s->pins = 0;
		s->window = w;
		w->slots[w->nr++] = s;
		cond_resched();
	}
	kvl_pool_resized(pool);
	kvl_pool_uncharge(pool, nr);
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
	if (mine) {
		list_del_init(&s->lru);
		w->nfree -= s->free;
	}
	spin_unlock(&w->lock);
	if (!mine)
		return false;
	/* Against a report that it has failed. */
	spin_lock(&m->lock);
	s->free = false;
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
	cancel_work_sync(&w->reclaim);
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
		s->free = !READ_ONCE(s->bad);
		s->orphan = !s->free;
		w->nfree += s->free;
		list_add_tail(&s->lru, s->free ? &w->free : &w->held);
		w->starved = 0;
	}
	spin_unlock(&w->lock);
	kvl_pool_slot_freed(w->pool);
	return 0;
}

/* Those that somebody held, and nobody does any more. Needs the lock. */
static void look_at_held(struct kvl_window *w)
{
	struct kvl_slot *s, *tmp;

	list_for_each_entry_safe(s, tmp, &w->held, lru)
		if (unheld(s) && !s->bad) {
			s->orphan = false;
			s->free = true;
			list_move_tail(&s->lru, &w->free);
			w->nfree++;
			w->starved = 0;
		}
}

/* Slots that no block may live in. */
static u32 kept(const struct kvl_window *w)
{
	return max(w->ready / 8, 1u);
}

/* Those whose memory has failed meanwhile. Needs the lock. */
static void drop_bad(struct kvl_window *w)
{
	struct kvl_slot *s;

	while ((s = list_first_entry_or_null(&w->free, struct kvl_slot, lru)) &&
	       READ_ONCE(s->bad)) {
		s->free = false;
		s->orphan = true;
		w->nfree--;
		list_move_tail(&s->lru, &w->held);
	}
}

/* Needs the lock. */
static bool has_free(struct kvl_window *w, bool home)
{
	u32 keep = home ? kept(w) : 0;

	drop_bad(w);
	if (w->nfree <= keep)
		look_at_held(w);
	return w->nfree > keep;
}

bool kvl_window_is_starved(struct kvl_window *w, unsigned long time)
{
	bool is = false;

	spin_lock(&w->lock);
	if (!w->nfree && !w->starved)
		w->starved = jiffies ?: 1;
	else if (!w->nfree)
		is = time_after(jiffies, w->starved + time);
	spin_unlock(&w->lock);
	return is;
}

bool kvl_window_has_free(struct kvl_window *w, bool home)
{
	bool has;

	spin_lock(&w->lock);
	has = has_free(w, home);
	spin_unlock(&w->lock);
	return has;
}

int kvl_window_alloc(struct kvl_window *w, bool home, u64 *addr)
{
	struct kvl_slot *s = NULL;

	spin_lock(&w->lock);
	if (has_free(w, home))
		s = list_first_entry(&w->free, struct kvl_slot, lru);
	if (s) {
		list_del_init(&s->lru);
		s->free = false;
		w->nfree--;
	}
	spin_unlock(&w->lock);
	if (!s)
		return -ENOSPC;
	*addr = s->addr;
	return 0;
}

void kvl_window_put(struct kvl_slot *s)
{
	struct kvl_window *w = s->window;

	spin_lock(&w->lock);
	if (unheld(s) && !s->bad) {
		s->free = true;
		list_add(&s->lru, &w->free);
		w->nfree++;
		w->starved = 0;
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
	spin_lock(&w->lock);
	if (w->nr && !w->ending && !READ_ONCE(w->pool->stopping))
		queue_work(w->pool->wq, &w->reclaim);
	spin_unlock(&w->lock);
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
