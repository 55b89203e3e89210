// SPDX-License-Identifier: GPL-2.0-only
/*
 * The location table: one 64-bit word per block that who may read the file
 * can map. Its pages are made when they are first looked at; from then on
 * every publication writes its word twice, in the block and in the page.
 *
 * A word in a page is always written under table_lock and always with the
 * block's current word, so whoever writes last leaves the right value.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "region.h"

#define WORDS	BIT(KVL_TABLE_SHIFT)

static void write_word(struct page *page, u64 index, struct kvl_block *b)
{
	u64 *words = page_address(page);

	WRITE_ONCE(words[index & (WORDS - 1)], READ_ONCE(b->loc));
}

/* Called with the block's lock, after its word has changed. */
void kvl_table_update(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct page *page;

	/* Pairs with the barrier in make_page(). */
	smp_mb();
	if (!READ_ONCE(r->has_table))
		return;
	spin_lock(&r->table_lock);
	page = xa_load(&r->table, index >> KVL_TABLE_SHIFT);
	if (page)
		write_word(page, index, b);
	spin_unlock(&r->table_lock);
}

static void fill_page(struct kvl_region *r, unsigned long nr,
		      struct page *page)
{
	u64 i = (u64)nr << KVL_TABLE_SHIFT;
	u64 last = i + WORDS - 1;
	struct kvl_block *b;

	for (; (b = kvl_region_next(r, &i, last)); i++)
		write_word(page, i, b);
}

static struct page *make_page(struct kvl_region *r, unsigned long nr)
{
	struct page *page, *old;

	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return NULL;
	WRITE_ONCE(r->has_table, true);
	/* Before anybody sees it: a present block must not look like a hole. */
	fill_page(r, nr, page);
	old = xa_cmpxchg(&r->table, nr, NULL, page, GFP_KERNEL_ACCOUNT);
	if (old) {
		put_page(page);
		return xa_is_err(old) ? NULL : old;
	}
	/*
	 * A publication that does not see the page has written its word
	 * before this barrier and is read below.
	 */
	smp_mb();
	spin_lock(&r->table_lock);
	fill_page(r, nr, page);
	spin_unlock(&r->table_lock);
	return page;
}

static vm_fault_t table_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_private_data;
	struct kvl_region *r = kvl_region(file_inode(file));
	struct page *page;

	if (vmf->pgoff >= DIV_ROUND_UP_ULL(kvl_region_nr_blocks(r), WORDS))
		return VM_FAULT_SIGBUS;
	page = xa_load(&r->table, vmf->pgoff) ?: make_page(r, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct table_vm_ops = {
	.fault = table_fault,
};

static int table_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_WRITE)
		return -EACCES;
	/* Of a read-only descriptor the core has cleared VM_SHARED. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	vm_flags_mod(vma, VM_DONTDUMP | VM_DONTEXPAND, VM_MAYWRITE);
	vma->vm_private_data = file->private_data;
	vma->vm_ops = &table_vm_ops;
	return 0;
}

static int table_release(struct inode *inode, struct file *file)
{
	fput(file->private_data);
	return 0;
}

static const struct file_operations table_fops = {
	.owner = THIS_MODULE,
	.mmap = table_mmap,
	.release = table_release,
	.llseek = noop_llseek,
};

/* A descriptor for the table of @file, which it keeps open. */
int kvl_table_open(struct file *file)
{
	int fd;

	get_file(file);
	fd = anon_inode_getfd("[kvlift-table]", &table_fops, file,
			      O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fput(file);
	return fd;
}

void kvl_table_free(struct kvl_region *r)
{
	struct page *page;
	unsigned long i;

	xa_for_each(&r->table, i, page)
		put_page(page);
	xa_destroy(&r->table);
}
