// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings. Real pages and no page_mkwrite, so that a GPU, a NIC or io_uring
 * can pin them. Blocks up to 1 MiB: VM_MIXEDMAP, the whole block by
 * vm_insert_pages() in one fault. Blocks of 2 MiB: no VM_MIXEDMAP, one PMD;
 * from 6.16 on by ->huge_fault, before the core has got a page table that
 * nobody needs, else, and where a VMA has room for pages only, by ->fault,
 * which returns the page locked. Never PTEs by us and a PMD in one VMA.
 *
 * Floor of a re-fault of a resident block: one block record, one slot, one
 * call that fills the PTEs. Nothing is allocated and no list is walked.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/userfaultfd_k.h>

#include "compat.h"
#include "domain.h"
#include "gpu.h"
#include "heat.h"
#include "inode.h"
#include "move.h"
#include "policy.h"
#include "scan.h"
#include "trace.h"

/* Pages handed to vm_insert_pages() at a time: the array is on the stack. */
#define INSERT_BATCH	16

/* Between two looks at a block that is to leave a slot which has failed. */
#define BAD_SLOT_US	5000

static bool is_pmd_pool(struct kvl_pool *pool)
{
	return pool->block_size == PMD_SIZE;
}

/* Fills in what a racing fault or MADV_DONTNEED left out. */
static int insert_one_by_one(struct vm_area_struct *vma, unsigned long addr,
			     struct page **pages, unsigned long nr)
{
	int err;

	for (; nr; nr--, addr += PAGE_SIZE, pages++) {
		err = vm_insert_page(vma, addr, *pages);
		if (err && err != -EBUSY)
			return err;
	}
	return 0;
}

/*
 * Maps pages [@first, @end) of the file, which lie in one block's folio. With
 * @all those that are not mapped yet, else as long as none is.
 */
static vm_fault_t insert_ptes(struct vm_area_struct *vma, struct folio *folio,
			      pgoff_t first, pgoff_t end, bool all)
{
	unsigned long addr = vma->vm_start +
			     ((first - vma->vm_pgoff) << PAGE_SHIFT);
	struct page *pages[INSERT_BATCH];
	int err = 0;

	while (first < end && !err) {
		unsigned long nr = min(end - first, (pgoff_t)INSERT_BATCH);
		unsigned long left = nr;
		unsigned long i;

		for (i = 0; i < nr; i++)
			pages[i] = folio_page(folio, first - folio->index + i);
		err = vm_insert_pages(vma, addr, pages, &left);
		if (err == -EBUSY && all)
			err = insert_one_by_one(vma,
						addr + ((nr - left) <<
							PAGE_SHIFT),
						pages + nr - left, left);
		first += nr;
		addr += nr << PAGE_SHIFT;
	}
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	/* The page table went away or could not be had: again. */
	if (err == -EFAULT)
		return VM_FAULT_NOPAGE;
	return err ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

/* The part of a block that the VMA and the file's size let be mapped. */
static vm_fault_t map_ptes(struct vm_area_struct *vma, struct kvl_region *r,
			   struct folio *folio, pgoff_t size, bool all)
{
	unsigned int shift = kvl_region_pool(r)->page_shift;
	pgoff_t first = max(folio->index, vma->vm_pgoff);
	pgoff_t end = min3(folio->index + (1UL << shift), size,
			   vma->vm_pgoff + vma_pages(vma));

	return insert_ptes(vma, folio, first, end, all);
}

static vm_fault_t map_neighbour(struct vm_area_struct *vma,
				struct kvl_region *r, u64 index,
				struct kvl_block *b)
{
	u64 home = kvl_block_home(b);
	vm_fault_t ret;
	struct kvl_slot *s;
	pgoff_t size;

	if (index >= kvl_region_nr_blocks(r) || !home ||
	    kvl_addr_tier(home) != KVLIFT_TIER_DRAM ||
	    test_bit(KVL_B_MOVING, &b->flags))
		return VM_FAULT_SIGBUS;
	s = kvl_mem_slot(kvl_region_pool(r), home);
	if (READ_ONCE(s->bad))
		return VM_FAULT_SIGBUS;
	size = DIV_ROUND_UP_ULL(i_size_read(&r->inode), PAGE_SIZE);
	ret = map_ptes(vma, r, s->folio, size, false);
	if (ret == VM_FAULT_NOPAGE) {
		if (trace_kvlift_touch_enabled())
			kvl_region_trace_touch(r, index, KVL_TOUCH_AROUND, 1);
		kvl_heat_touch_slot(r, index, b, s);
	}
	return ret;
}

/*
 * Maps what is in the fastest memory of the blocks behind one that was just
 * mapped, up to the first that is not or is mapped already: a fault costs as
 * much as mapping ten pages.
 */
static void map_around(struct vm_fault *vmf, struct kvl_region *r, u64 index)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct vm_area_struct *vma = vmf->vma;
	unsigned int nr = max(KVL_AROUND >> pool->block_shift, 1u);
	u64 last = index | (nr - 1);

	last = min(last, (u64)(vma->vm_pgoff + vma_pages(vma) - 1) >>
			 pool->page_shift);
	while (index++ < last) {
		struct kvl_block *b = kvl_region_find(r, index);
		vm_fault_t ret;

		if (!b || !kvl_block_trylock(b))
			return;
		ret = map_neighbour(vma, r, index, b);
		kvl_block_unlock(b);
		if (ret != VM_FAULT_NOPAGE)
			return;
	}
}

/*
 * A PMD, or the page for the core to map. The core may have mapped pages of
 * this block before: where the file ended in it then, or knew one to be bad. It
 * does so under the folio's lock.
 */
static vm_fault_t map_pmd(struct vm_fault *vmf, struct folio *folio,
			  pgoff_t size, bool huge)
{
	vm_fault_t ret = VM_FAULT_FALLBACK;
	pmd_t pmd;

	if (!folio_trylock(folio))
		folio_lock(folio);
	if (huge) {
		pmd = pmdp_get(vmf->pmd);
		if (size >= folio_next_index(folio) &&
		    !folio_test_has_hwpoisoned(folio) &&
		    (pmd_none(pmd) || pmd_trans_huge(pmd)))
			ret = kvl_insert_folio_pmd(vmf, folio,
						   vmf->flags &
							   FAULT_FLAG_WRITE);
		folio_unlock(folio);
		return ret;
	}
	folio_get(folio);
	vmf->page = folio_page(folio, vmf->pgoff - folio->index);
	return VM_FAULT_LOCKED;
}

/*
 * Maps a block in memory. Needs its lock and keeps it. VM_FAULT_RETRY: there is
 * a good copy below, and the block is about to fall back to it.
 */
static vm_fault_t map_block(struct vm_fault *vmf, struct kvl_region *r,
			    u64 index, struct kvl_block *b, bool huge)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct vm_area_struct *vma = vmf->vma;
	struct kvl_slot *s = kvl_mem_slot(pool, kvl_block_home(b));
	pgoff_t size = DIV_ROUND_UP_ULL(i_size_read(&r->inode), PAGE_SIZE);
	struct folio *folio = s->folio;

	/* Read under the lock: truncate writes the size first. */
	if (vmf->pgoff >= size)
		return VM_FAULT_SIGBUS;
	/* It has just failed, and its block is about to fall back, or be lost. */
	if (READ_ONCE(s->bad))
		return b->shadow && !test_bit(KVL_B_DIRTY, &b->flags) ?
			       VM_FAULT_RETRY :
			       VM_FAULT_HWPOISON;
	/* The page itself may be known to have before the slot is. */
	if (PageHWPoison(folio_page(folio, vmf->pgoff - folio->index)))
		return VM_FAULT_HWPOISON;
	if (trace_kvlift_touch_enabled())
		kvl_region_trace_touch(r, index, KVL_TOUCH_FAULT, 1);
	kvl_heat_touch_slot(r, index, b, s);
	if (is_pmd_pool(pool)) {
		/* A PMD loses its dirty bit when it is zapped (6.12). */
		if (vma->vm_flags & VM_WRITE)
			kvl_block_mark_written(r, index, b);
		return map_pmd(vmf, folio, size, huge);
	}
	return map_ptes(vma, r, folio, size, true);
}

/*
 * What can be done without waiting. The block's lock is held and given up.
 * VM_FAULT_RETRY: the block has to be brought in first.
 */
static vm_fault_t fault_locked(struct vm_fault *vmf, struct kvl_region *r,
			       u64 index, struct kvl_block *b, bool huge)
{
	u64 home = kvl_block_home(b);
	vm_fault_t ret = VM_FAULT_RETRY;
	int err;

	if (index >= kvl_region_nr_blocks(r)) {
		ret = VM_FAULT_SIGBUS;
	} else if (!home) {
		err = kvl_block_populate(r, index, b);
		if (!err)
			ret = map_block(vmf, r, index, b, huge);
		else if (kvl_block_lost(b))
			ret = b->csum ? VM_FAULT_SIGBUS : VM_FAULT_HWPOISON;
		/* Room may be made, but that has been waited for already. */
		else if (err != -EAGAIN &&
			 (vmf->flags & FAULT_FLAG_TRIED ||
			  !kvl_cache_helps(r, err)))
			ret = VM_FAULT_SIGBUS;
	} else if (kvl_addr_is_memory(home)) {
		ret = map_block(vmf, r, index, b, huge);
	} else if ((b->loc & KVLIFT_LOC_ERROR &&
		    kvl_heat_age(b) < KVL_RETRY_READ) ||
		   (kvl_addr_is_gpu(home) && kvl_gpu_is_mine(r, b))) {
		ret = VM_FAULT_SIGBUS;
	}
	kvl_block_unlock(b);
	if (ret == VM_FAULT_NOPAGE && !huge)
		map_around(vmf, r, index);
	return ret;
}

/*
 * A block in slower memory that nobody has mapped moves up first, when there
 * is room: its content has to be read anyway. Mapped elsewhere it stays, so
 * that two readers do not chase it. True when the lock was given up for it.
 */
static bool promote_first(struct kvl_region *r, u64 index,
			  struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 home = kvl_block_home(b);
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];
	u64 dst;

	if (!kvl_addr_is_memory(home) ||
	    kvl_addr_tier(home) == KVLIFT_TIER_DRAM ||
	    !kvl_policy_promote(pool, kvl_addr_tier(home)) ||
	    test_bit(KVL_B_MOVING, &b->flags) ||
	    kvl_mem_slot(pool, home)->window ||
	    folio_mapped(kvl_region_folio(r, b)) ||
	    !kvl_domain_may_place(r->domain, KVLIFT_TIER_DRAM) ||
	    kvl_tier_alloc(dram, numa_node_id(), &dst))
		return false;
	kvl_reclaim_check(dram);
	/* Between memories: done, or undone, when it returns. */
	kvl_move_block(r, index, b, dst, KVL_WHY_FAULT);
	return true;
}

/* How long a fault has waited, and when it last began to; for traces. */
struct wait {
	u64 begun;
	u64 ns;
};

/* Waits no longer than a switch would take. */
static noinline bool lock_spin(struct kvl_block *b, struct wait *wait)
{
	bool got = false;

	if (kvl_addr_is_memory(kvl_block_home(b))) {
		wait->begun = ktime_get_ns();
		got = kvl_block_spin(b);
		wait->ns += ktime_get_ns() - wait->begun;
	}
	return got;
}

static inline bool lock_fast(struct kvl_block *b, struct wait *wait)
{
	return likely(kvl_block_trylock(b)) || lock_spin(b, wait);
}

static vm_fault_t fault_fast(struct vm_fault *vmf, struct kvl_region *r,
			     u64 index, struct kvl_block *b, bool huge,
			     struct wait *wait)
{
	if (!lock_fast(b, wait) ||
	    (promote_first(r, index, b) && !lock_fast(b, wait)))
		return VM_FAULT_RETRY;
	return fault_locked(vmf, r, index, b, huge);
}

static bool is_in_bad_slot(struct kvl_pool *pool, struct kvl_block *b)
{
	u64 home = kvl_block_home(b);

	return kvl_addr_is_memory(home) &&
	       READ_ONCE(kvl_mem_slot(pool, home)->bad);
}

/* Brings the block in, with no lock of the fault held if that is allowed. */
static vm_fault_t fault_wait(struct vm_fault *vmf, struct kvl_region *r,
			     u64 index, struct kvl_block *b, struct wait *wait)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_cache_wait room = {};
	struct file *file = NULL;
	vm_fault_t ret;
	unsigned int ahead = 0, flags = KVL_RES_IN_SIZE;
	u64 start;
	int err;

	/* The pass before this one has waited for a slot in vain. */
	if (vmf->flags & FAULT_FLAG_TRIED &&
	    !kvl_addr_is_memory(kvl_block_home(b)) &&
	    !(kvl_addr_is_gpu(kvl_block_home(b)) &&
	      kvl_gpu_has_copy(pool, b)) && kvl_pool_gave_up(pool))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_ALLOW_RETRY &&
	    vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	if (kvl_addr_is_device(kvl_block_home(b)))
		ahead = kvl_file_ahead(vmf->vma->vm_file, index,
				       vmf->vma->vm_flags);
	if (vmf->flags & FAULT_FLAG_ALLOW_RETRY) {
		file = get_file(vmf->vma->vm_file);
		release_fault_lock(vmf);
	} else {
		/* With the lock a mover might need nobody waits for it. */
		flags |= KVL_RES_HERE;
	}
	start = ktime_get_ns();
	/* Who has spun in vain goes on waiting. */
	if (!wait->ns)
		wait->begun = start;
	/* Somebody holds it: see memerr.c. */
	if (is_in_bad_slot(pool, b))
		fsleep(BAD_SLOT_US);
	do {
		err = kvl_block_lock_resident(r, index, b, KVL_WHY_FAULT, flags,
					      ahead);
	} while (kvl_cache_helps(r, err) &&
		 !(err = kvl_cache_wait(r, 1, err, &room)));
	kvl_count(pool, KVL_C_FAULT_WAITS);
	start = ktime_get_ns() - start;
	kvl_count_add(pool, KVL_C_FAULT_WAIT_NS, start);
	wait->ns += start;
	if (file) {
		/* The next pass finds the block, or the reason again. */
		if (!err)
			kvl_block_unlock(b);
		fput(file);
		return VM_FAULT_RETRY;
	}
	if (err)
		return VM_FAULT_SIGBUS;
	ret = map_block(vmf, r, index, b, false);
	kvl_block_unlock(b);
	/* The lock of the fault is still held: as if it was done. */
	return ret == VM_FAULT_RETRY ? VM_FAULT_NOPAGE : ret;
}

/* With @huge by a PMD at once and without waiting, or VM_FAULT_FALLBACK. */
static vm_fault_t fault(struct vm_fault *vmf, bool huge)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 index = vmf->pgoff >> pool->page_shift;
	u64 start = trace_kvlift_fault_enabled() ? ktime_get_ns() : 0;
	/* When the lock was released VMA and region may be gone at the end. */
	u32 pool_id = pool->id;
	u64 id = r->id;
	struct wait wait = {};
	struct kvl_block *b;
	vm_fault_t ret;

	if (!huge)
		kvl_count(pool, KVL_C_FAULTS);
	b = kvl_region_find(r, index);
	if (unlikely(!b)) {
		/* Looked at again under the lock. */
		if (vmf->pgoff >= DIV_ROUND_UP_ULL(i_size_read(inode),
						   PAGE_SIZE))
			return VM_FAULT_SIGBUS;
		b = kvl_region_get(r, index);
		if (!b)
			return VM_FAULT_SIGBUS;
	}
	ret = fault_fast(vmf, r, index, b, huge, &wait);
	/* It comes again as a fault of a page, and is counted then. */
	if (huge && ret & (VM_FAULT_RETRY | VM_FAULT_FALLBACK))
		return VM_FAULT_FALLBACK;
	if (huge)
		kvl_count(pool, KVL_C_FAULTS);
	if (ret == VM_FAULT_RETRY)
		ret = fault_wait(vmf, r, index, b, &wait);
	if (start)
		trace_kvlift_fault(pool_id, id, index, ret,
				   ktime_get_ns() - start,
				   wait.ns ? wait.begun - start : 0, wait.ns);
	return ret;
}

static vm_fault_t kvl_fault(struct vm_fault *vmf)
{
	return fault(vmf, false);
}

#ifdef KVL_HAVE_INSERT_FOLIO_PMD
/* Also called to make a PMD writable, which is the same. */
static vm_fault_t kvl_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	pgoff_t end = round_up(vmf->pgoff + 1, HPAGE_PMD_NR);

	if (order != PMD_ORDER || !is_pmd_pool(kvl_sb_pool(inode->i_sb)) ||
	    !thp_vma_suitable_order(vmf->vma, vmf->address, PMD_ORDER) ||
	    end > i_size_read(inode) >> PAGE_SHIFT)
		return VM_FAULT_FALLBACK;
	/* Its marks would stay behind in a PMD that becomes writable. */
	if (userfaultfd_armed(vmf->vma))
		return VM_FAULT_FALLBACK;
	return fault(vmf, true);
}
#endif

/* Its presence alone lets faults run under the VMA lock. */
static vm_fault_t kvl_map_pages(struct vm_fault *vmf, pgoff_t first,
				pgoff_t last)
{
	return 0;
}

/* Keeps NUMA balancing away: it would undo write protection. */
static struct mempolicy *kvl_get_policy(struct vm_area_struct *vma,
					unsigned long addr, pgoff_t *ilx)
{
	*ilx = 0;
	return NULL;
}

/* In a child, or when a VMA is split or moved. */
static void kvl_vm_open(struct vm_area_struct *vma)
{
	kvl_scan_add(kvl_sb_pool(file_inode(vma->vm_file)->i_sb), vma);
}

/*
 * Stores are not seen one by one: the end of a mapping that could write
 * counts as one, so that a changed file never keeps an old mtime.
 */
static void kvl_vm_close(struct vm_area_struct *vma)
{
	struct inode *inode = file_inode(vma->vm_file);

	if ((vma->vm_flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE))
		kvl_inode_modified(inode);
}

/*
 * A PMD that was mapped for reading would become writable without a fault,
 * and so without a trace. Out it goes; the VMA's lock keeps faults from
 * mapping it again before its flags have changed.
 */
static int kvl_mprotect(struct vm_area_struct *vma, unsigned long start,
			unsigned long end, unsigned long flags)
{
	struct kvl_pool *pool = kvl_sb_pool(file_inode(vma->vm_file)->i_sb);
	pgoff_t first = vma->vm_pgoff + ((start - vma->vm_start) >> PAGE_SHIFT);

	if (!is_pmd_pool(pool) || !(flags & VM_WRITE) ||
	    vma->vm_flags & VM_WRITE)
		return 0;
	vma_start_write(vma);
	unmap_mapping_pages(vma->vm_file->f_mapping, first,
			    (end - start) >> PAGE_SHIFT, false);
	return 0;
}

static const struct vm_operations_struct kvl_vm_ops = {
	.open = kvl_vm_open,
	.close = kvl_vm_close,
	.mprotect = kvl_mprotect,
	.fault = kvl_fault,
#ifdef KVL_HAVE_INSERT_FOLIO_PMD
	.huge_fault = kvl_huge_fault,
#endif
	.map_pages = kvl_map_pages,
	.get_policy = kvl_get_policy,
};

bool kvl_vma_is_ours(struct vm_area_struct *vma, struct kvl_pool *pool)
{
	return vma->vm_ops == &kvl_vm_ops &&
	       file_inode(vma->vm_file)->i_sb == pool->sb;
}

/*
 * A private mapping that is written would need pages the pool does not own
 * and could not tier; a private read-only one is as good as a shared one.
 */
int kvl_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvl_pool *pool = kvl_sb_pool(file_inode(file)->i_sb);

	if (!(vma->vm_flags & VM_SHARED)) {
		if (vma->vm_flags & VM_WRITE)
			return -EINVAL;
		vm_flags_clear(vma, VM_MAYWRITE);
	}
	vm_flags_set(vma, is_pmd_pool(pool) ? VM_DONTDUMP :
					      VM_DONTDUMP | VM_MIXEDMAP);
	vma->vm_ops = &kvl_vm_ops;
	kvl_scan_born_old(pool, vma);
	kvl_scan_add(pool, vma);
	file_accessed(file);
	return 0;
}
