// SPDX-License-Identifier: GPL-2.0-only
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "heat.h"
#include "pace.h"
#include "ring.h"

#define HEADER		PAGE_SIZE

static_assert(sizeof(struct kvlift_touch_ring) == 32);
/* What one side writes is in a cache line that the other does not write. */
static_assert(sizeof(struct kvlift_ring_head) == 192);
static_assert(offsetof(struct kvlift_ring_head, tail) == 64);
static_assert(offsetof(struct kvlift_ring_head, head) == 128);

/* Between two looks, in jiffies: by how full the fullest ring was. */
#define DELAY_MIN	max(HZ / 250, 1)
#define DELAY_MAX	(HZ / 4)

/* Entries at a time. */
#define BATCH		32u

/**
 * struct touch_ring
 * @node:	in pool->rings
 * @file:	of the region
 * @head:	entries read so far
 * @mask:	number of entries less one
 * @dropped:	what the producer had dropped at the last look
 * @shared:	the mapping: a page of header, then the entries
 */
struct touch_ring {
	struct list_head node;
	struct file *file;
	u32 head;
	u32 mask;
	u32 dropped;
	void *shared;
};

static size_t ring_bytes(const struct touch_ring *ring)
{
	return HEADER + PAGE_ALIGN((ring->mask + 1) * sizeof(u64));
}

/* Reads what is there now. Needs ring_mutex. Returns how many entries. */
static u32 drain(struct kvl_pool *pool, struct touch_ring *ring)
{
	struct kvl_region *r = kvl_region(file_inode(ring->file));
	struct kvlift_ring_head *shared = ring->shared;
	/* Pairs with the release of the producer. */
	u32 n = smp_load_acquire(&shared->tail) - ring->head;
	u32 dropped = READ_ONCE(shared->dropped), left, part, at, done = 0;
	const u64 *entries = ring->shared + HEADER;

	lockdep_assert_held(&pool->ring_mutex);
	if (n > ring->mask + 1) {
		/* Garbage: as if all that is said to be there had been read. */
		ring->head += n;
		n = 0;
		kvl_count(pool, KVL_C_RING_RESETS);
	}
	for (left = n; left; left -= part) {
		/* In a row, and not too many under one lock. */
		at = ring->head & ring->mask;
		part = min3(left, BATCH, ring->mask + 1 - at);
		done += kvl_heat_touch_entries(r, entries + at, part);
		ring->head += part;
		/* Room for the producer, after the entries were read. */
		smp_store_release(&shared->head, ring->head);
		cond_resched();
	}
	WRITE_ONCE(shared->head, ring->head);
	kvl_count_add(pool, KVL_C_RING_TOUCHES, done);
	kvl_count_add(pool, KVL_C_RING_IGNORED, n - done);
	kvl_count_add(pool, KVL_C_RING_DROPPED, dropped - ring->dropped);
	ring->dropped = dropped;
	return n;
}

void kvl_ring_flush(struct kvl_pool *pool)
{
	struct touch_ring *ring;

	if (list_empty_careful(&pool->rings))
		return;
	if (mutex_lock_killable(&pool->ring_mutex))
		return;
	list_for_each_entry(ring, &pool->rings, node)
		drain(pool, ring);
	mutex_unlock(&pool->ring_mutex);
}

static void ring_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, ring_work);
	u64 start = ktime_get_ns();
	struct touch_ring *ring;
	u32 part, most = 0;

	mutex_lock(&pool->ring_mutex);
	list_for_each_entry(ring, &pool->rings, node) {
		/* In sixteenths. */
		part = (u64)drain(pool, ring) * 16 / (ring->mask + 1);
		most = max(most, part);
	}
	if (most >= 4)
		pool->ring_delay = max(pool->ring_delay / 2, DELAY_MIN);
	else if (!most)
		pool->ring_delay = min(pool->ring_delay * 2, DELAY_MAX);
	start = ktime_get_ns() - start;
	kvl_count_add(pool, KVL_C_RING_NS, start);
	start = nsecs_to_jiffies(kvl_pace_rest(pool, start));
	if (!list_empty(&pool->rings))
		queue_delayed_work(pool->wq, &pool->ring_work,
				   max_t(u64, pool->ring_delay, start));
	mutex_unlock(&pool->ring_mutex);
}

static void ring_free(struct touch_ring *ring)
{
	vfree(ring->shared);
	fput(ring->file);
	kfree(ring);
}

static void ring_add(struct kvl_pool *pool, struct touch_ring *ring)
{
	mutex_lock(&pool->ring_mutex);
	if (list_empty(&pool->rings))
		pool->ring_delay = DELAY_MAX;
	list_add_tail(&ring->node, &pool->rings);
	queue_delayed_work(pool->wq, &pool->ring_work, DELAY_MAX);
	mutex_unlock(&pool->ring_mutex);
}

static void ring_del(struct kvl_pool *pool, struct touch_ring *ring)
{
	mutex_lock(&pool->ring_mutex);
	drain(pool, ring);
	list_del(&ring->node);
	mutex_unlock(&pool->ring_mutex);
}

static int ring_release(struct inode *inode, struct file *file)
{
	struct touch_ring *ring = file->private_data;

	ring_del(kvl_sb_pool(file_inode(ring->file)->i_sb), ring);
	ring_free(ring);
	return 0;
}

/* All pages at once: the producer takes no faults. */
static int ring_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct touch_ring *ring = file->private_data;
	unsigned long i, nr = vma_pages(vma);
	int err = 0;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_pgoff || nr << PAGE_SHIFT > ring_bytes(ring))
		return -EINVAL;
	/* Of two producers each would undo what the other does. */
	vm_flags_set(vma, VM_DONTDUMP | VM_DONTEXPAND | VM_DONTCOPY);
	for (i = 0; i < nr && !err; i++)
		err = vm_insert_page(vma, vma->vm_start + (i << PAGE_SHIFT),
				     vmalloc_to_page(ring->shared +
						     (i << PAGE_SHIFT)));
	return err;
}

static const struct file_operations ring_fops = {
	.owner = THIS_MODULE,
	.mmap = ring_mmap,
	.release = ring_release,
	.llseek = noop_llseek,
};

static struct touch_ring *ring_new(struct file *file, u32 entries)
{
	struct kvlift_ring_head *shared;
	struct touch_ring *ring;

	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return NULL;
	ring->mask = entries - 1;
	ring->shared = __vmalloc(ring_bytes(ring),
				 GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->shared) {
		kfree(ring);
		return NULL;
	}
	shared = ring->shared;
	shared->entries = entries;
	shared->offset = HEADER;
	ring->file = get_file(file);
	return ring;
}

long kvl_ring_open(struct file *file, void __user *arg)
{
	struct kvl_pool *pool = kvl_sb_pool(file_inode(file)->i_sb);
	struct kvlift_touch_ring t;
	struct touch_ring *ring;
	long fd = -EFAULT;

	if (copy_from_user(&t, arg, sizeof(t)))
		return -EFAULT;
	if (!t.entries)
		t.entries = KVLIFT_RING_DEFAULT;
	if (t.flags || t.bytes || t.reserved[0] || t.reserved[1] ||
	    !is_power_of_2(t.entries) || t.entries < KVLIFT_RING_MIN ||
	    t.entries > KVLIFT_RING_MAX)
		return -EINVAL;
	ring = ring_new(file, t.entries);
	if (!ring)
		return -ENOMEM;
	t.bytes = ring_bytes(ring);
	/* Closed by somebody else it would be in the list already. */
	ring_add(pool, ring);
	if (!copy_to_user(arg, &t, sizeof(t)))
		fd = anon_inode_getfd("[kvlift-ring]", &ring_fops, ring,
				      O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		ring_del(pool, ring);
		ring_free(ring);
	}
	return fd;
}

void kvl_ring_prepare(struct kvl_pool *pool)
{
	mutex_init(&pool->ring_mutex);
	INIT_LIST_HEAD(&pool->rings);
	INIT_DELAYED_WORK(&pool->ring_work, ring_work);
}

/* No file is open any more, so there is none left to be read. */
void kvl_ring_stop(struct kvl_pool *pool)
{
	cancel_delayed_work_sync(&pool->ring_work);
}
