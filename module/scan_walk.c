// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk is our own: what the kernel has for this is not exported. It knows
 * x86-64, where an accessed bit is cleared by an atomic operation on the entry
 * and no TLB needs to hear of it.
 *
 * Floor: an entry of a page is loaded and ORed; only a block with a bit set
 * costs more. Four instructions per page, for a PMD less than thirty.
 */
#include <linux/bitmap.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>

#include "heat.h"
#include "inode.h"
#include "scan.h"
#include "scan_walk.h"
#include "trace.h"

#ifdef CONFIG_X86_64

/* Blocks of the smallest size in one page table, and a part at either end. */
#define TABLE_BLOCKS	(PMD_SIZE / KVLIFT_BLOCK_MIN + 2)

/* Tables, or PMDs, between two looks at the clock. */
#define CLOCK_TABLES	16

static void touched(struct kvl_walk *w, struct kvl_region *r, u64 index)
{
	struct kvl_block *b = kvl_region_find(r, index);

	w->young++;
	if (!b || !(READ_ONCE(b->loc) & KVLIFT_LOC_PRESENT))
		return;
	/* The bit may be of that same touch. */
	if (kvl_heat_age(b) < w->since)
		return;
	if (trace_kvlift_touch_enabled())
		kvl_region_trace_touch(r, index, KVL_TOUCH_ACCESSED, 1);
	kvl_heat_touch(r, index, b, 1);
}

/* All bits of @n entries together. */
static unsigned long gather(const pte_t *pte, unsigned int n)
{
	const unsigned long *p = (const unsigned long *)pte;
	unsigned long bits = 0;

	for (; n >= 4; n -= 4, p += 4)
		bits |= READ_ONCE(p[0]) | READ_ONCE(p[1]) | READ_ONCE(p[2]) |
			READ_ONCE(p[3]);
	while (n--)
		bits |= READ_ONCE(p[n]);
	return bits;
}

/* What is not present has other things in that place. */
static bool clear(pte_t *pte, unsigned int n)
{
	bool young = false;

	for (; n--; pte++) {
		pte_t val = ptep_get(pte);

		if (!pte_present(val) || !pte_young(val))
			continue;
		clear_bit(_PAGE_BIT_ACCESSED, (unsigned long *)pte);
		young = true;
	}
	return young;
}

/* What the entries of a locked table say, block by block. */
static void look(struct kvl_walk *w, pte_t *pte, pgoff_t page, pgoff_t last,
		 unsigned long *young)
{
	unsigned int shift = w->pool->page_shift, i = 0, n;
	unsigned long bits;

	for (; page < last; page += n, pte += n, i++) {
		n = min(round_up(page + 1, 1UL << shift), last) - page;
		bits = gather(pte, n);
		w->looked += !!(bits & _PAGE_PRESENT);
		if (bits & _PAGE_ACCESSED && clear(pte, n))
			__set_bit(i, young);
	}
}

/*
 * As the kernel itself does it: an empty table can go away without mmap_lock,
 * but not within an RCU read section, and not while it is locked.
 */
static void walk_ptes(struct kvl_walk *w, struct vm_area_struct *vma,
		      pmd_t *pmd, unsigned long addr, unsigned long end)
{
	struct kvl_region *r = kvl_region(file_inode(vma->vm_file));
	pgoff_t page = linear_page_index(vma, addr);
	DECLARE_BITMAP(young, TABLE_BLOCKS);
	spinlock_t *ptl; /* the table's */
	pmd_t val, now;
	unsigned int i;

	bitmap_zero(young, TABLE_BLOCKS);
	rcu_read_lock();
again:
	val = pmdp_get_lockless(pmd);
	if (!pmd_present(val) || pmd_leaf(val) || pmd_bad(val)) {
		rcu_read_unlock();
		return;
	}
	ptl = pte_lockptr(vma->vm_mm, &val);
	spin_lock(ptl);
	now = pmdp_get_lockless(pmd);
	/* Not its accessed bit, which comes and goes. */
	if (unlikely(!pmd_present(now) || pmd_pfn(now) != pmd_pfn(val))) {
		spin_unlock(ptl);
		goto again;
	}
	look(w, pte_offset_kernel(&val, addr), page,
	     page + ((end - addr) >> PAGE_SHIFT), young);
	spin_unlock(ptl);
	rcu_read_unlock();
	for_each_set_bit(i, young, TABLE_BLOCKS)
		touched(w, r, (page >> w->pool->page_shift) + i);
}

static void walk_pmd(struct kvl_walk *w, struct vm_area_struct *vma,
		     pmd_t *pmd, unsigned long addr)
{
	bool young = false;
	spinlock_t *ptl; /* the table's */
	pmd_t val;

	w->looked++;
	if (!pmd_young(pmdp_get_lockless(pmd)))
		return;
	ptl = pmd_lock(vma->vm_mm, pmd);
	val = pmdp_get(pmd);
	if (pmd_present(val) && pmd_leaf(val))
		young = test_and_clear_bit(_PAGE_BIT_ACCESSED,
					   (unsigned long *)pmd);
	spin_unlock(ptl);
	if (young)
		touched(w, kvl_region(file_inode(vma->vm_file)),
			linear_page_index(vma, addr) >> w->pool->page_shift);
}

/* The table that holds the PMD of @addr; NULL: there is none up to @next. */
static pmd_t *find_pmds(struct mm_struct *mm, unsigned long addr,
			unsigned long end, unsigned long *next)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	*next = pgd_addr_end(addr, end);
	if (!pgd_present(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	*next = p4d_addr_end(addr, end);
	if (!p4d_present(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	*next = pud_addr_end(addr, end);
	if (!pud_present(*pud) || pud_leaf(*pud))
		return NULL;
	return pmd_offset(pud, addr);
}

/* True: the time is over at @addr. */
static bool walk_vma(struct kvl_walk *w, struct vm_area_struct *vma,
		     unsigned long *addr)
{
	unsigned long at = *addr, pmds_end, next;
	pmd_t *pmd, val;

	for (; at < vma->vm_end; at = pmds_end) {
		pmd = find_pmds(vma->vm_mm, at, vma->vm_end, &pmds_end);
		for (; pmd && at < pmds_end; at = next, pmd++) {
			if (++w->tables % CLOCK_TABLES == 0 &&
			    ktime_get_ns() >= w->deadline) {
				*addr = at;
				return true;
			}
			next = pmd_addr_end(at, pmds_end);
			val = pmdp_get_lockless(pmd);
			if (!pmd_present(val))
				continue;
			if (pmd_leaf(val))
				walk_pmd(w, vma, pmd, at);
			else
				walk_ptes(w, vma, pmd, at, next);
		}
	}
	return false;
}

bool kvl_walk_mm(struct kvl_walk *w, struct mm_struct *mm, unsigned long *addr)
{
	VMA_ITERATOR(vmi, mm, *addr);
	struct vm_area_struct *vma;

	mmap_assert_locked(mm);
	/* A fork that failed leaves an address space behind with no end. */
	if (check_stable_address_space(mm))
		return false;
	for_each_vma(vmi, vma) {
		if (!kvl_vma_is_ours(vma, w->pool) ||
		    (w->region &&
		     file_inode(vma->vm_file) != &w->region->inode))
			continue;
		w->found = true;
		*addr = max(*addr, vma->vm_start);
		if (walk_vma(w, vma, addr))
			return true;
	}
	return false;
}

void kvl_scan_born_old(struct kvl_pool *pool, struct vm_area_struct *vma)
{
	if (pool->block_size == PMD_SIZE)
		vma->vm_page_prot =
			__pgprot(pgprot_val(vma->vm_page_prot) &
				 ~_PAGE_ACCESSED);
}

bool kvl_scan_possible(void)
{
	return true;
}

#else

bool kvl_walk_mm(struct kvl_walk *w, struct mm_struct *mm, unsigned long *addr)
{
	return false;
}

void kvl_scan_born_old(struct kvl_pool *pool, struct vm_area_struct *vma)
{
}

bool kvl_scan_possible(void)
{
	return false;
}

#endif
