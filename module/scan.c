// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is looked at, and when. How, and why so, is in scan.h; the walk of the
 * page tables in scan_walk.c.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "heat.h"
#include "scan.h"
#include "scan_walk.h"

/* Between the beginnings of two rounds, in jiffies. */
#define INTERVAL_MIN	HZ
#define INTERVAL_MAX	(60 * HZ)

/* Shares of the blocks touched in a round that make it shorter and longer. */
#define OFTEN		4
#define SELDOM		16

/* After so many new processes those that have ended are let go. */
#define PRUNE		64

/* A slice, so that the worker's share of a CPU is taken in small pieces. */
#define SLICE_NS	(2 * NSEC_PER_MSEC)

/**
 * struct kvl_scan_mm - a process that has mapped files of the pool
 * @node:	in pool->scan_mms
 * @mm:		held by mmgrab()
 * @scanned:	when its last walk ended (kvl_heat_now())
 * @fresh:	it has got a mapping since its last walk began
 */
struct kvl_scan_mm {
	struct list_head node;
	struct mm_struct *mm;
	u32 scanned;
	bool fresh;
};

static bool possible(struct kvl_pool *pool)
{
	return kvl_scan_possible() && !READ_ONCE(pool->stopping);
}

/* Needs scan_lock. */
static struct kvl_scan_mm *find(struct kvl_pool *pool, struct mm_struct *mm)
{
	struct kvl_scan_mm *m;

	list_for_each_entry(m, &pool->scan_mms, node)
		if (m->mm == mm)
			return m;
	return NULL;
}

void kvl_scan_add(struct kvl_pool *pool, struct vm_area_struct *vma)
{
	struct kvl_scan_mm *m, *new;
	bool full;

	if (!possible(pool))
		return;
	spin_lock(&pool->scan_lock);
	m = find(pool, vma->vm_mm);
	if (m)
		m->fresh = true;
	spin_unlock(&pool->scan_lock);
	if (m)
		return;
	/* Without memory for it this process is not looked at. */
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return;
	new->mm = vma->vm_mm;
	new->fresh = true;
	new->scanned = kvl_heat_now();
	mmgrab(new->mm);
	/* Only this task can add it: mmap_lock is held for writing. */
	spin_lock(&pool->scan_lock);
	list_add_tail(&new->node, &pool->scan_mms);
	pool->scan_nr++;
	full = ++pool->scan_new == PRUNE;
	spin_unlock(&pool->scan_lock);
	if (full)
		mod_delayed_work(pool->wq, &pool->scan, 0);
	else
		queue_delayed_work(pool->wq, &pool->scan, INTERVAL_MIN);
}

static void let_go(struct kvl_scan_mm *m)
{
	mmdrop(m->mm);
	kfree(m);
}

/*
 * Processes that have ended: what is left of them is memory that a round might
 * give back a minute later only, and their number is up to users.
 */
static void prune(struct kvl_pool *pool)
{
	struct kvl_scan_mm *m, *next;
	LIST_HEAD(ended);

	spin_lock(&pool->scan_lock);
	pool->scan_new = 0;
	list_for_each_entry_safe(m, next, &pool->scan_mms, node) {
		if (m == pool->scan_next || atomic_read(&m->mm->mm_users))
			continue;
		list_move(&m->node, &ended);
		pool->scan_nr--;
	}
	spin_unlock(&pool->scan_lock);
	list_for_each_entry_safe(m, next, &ended, node)
		let_go(m);
}

/*
 * One slice of a process from pool->scan_addr on. True when it is done with;
 * then @m may be gone.
 */
static bool walk_mm(struct kvl_pool *pool, struct kvl_scan_mm *m,
		    struct kvl_walk *w)
{
	bool gone = false, any = true, more = false, busy = false;
	struct mm_struct *mm = m->mm;

	if (!pool->scan_addr) {
		spin_lock(&pool->scan_lock);
		m->fresh = false;
		spin_unlock(&pool->scan_lock);
		pool->scan_found = false;
	}
	if (!mmap_read_trylock(mm)) {
		/* Its turn comes again; a dead one's is not contended. */
		busy = true;
		kvl_count(pool, KVL_C_SCAN_BUSY);
	} else {
		gone = !atomic_read(&mm->mm_users);
		w->since = kvl_heat_now() - m->scanned;
		w->found = pool->scan_found;
		if (!gone)
			more = kvl_walk_mm(w, mm, &pool->scan_addr);
		mmap_read_unlock(mm);
		pool->scan_found = w->found;
		any = w->found;
	}
	if (more)
		return false;
	pool->scan_addr = 0;
	if (!busy)
		m->scanned = kvl_heat_now();
	spin_lock(&pool->scan_lock);
	gone = gone || (!any && !m->fresh);
	pool->scan_next = list_next_entry(m, node);
	if (gone) {
		list_del(&m->node);
		pool->scan_nr--;
	}
	spin_unlock(&pool->scan_lock);
	if (gone)
		let_go(m);
	return true;
}

/* The process whose turn it is, NULL at the end of the round. */
static struct kvl_scan_mm *turn(struct kvl_pool *pool)
{
	struct kvl_scan_mm *m;

	spin_lock(&pool->scan_lock);
	m = pool->scan_next;
	if (!m)
		m = list_first_entry(&pool->scan_mms, struct kvl_scan_mm, node);
	if (list_entry_is_head(m, &pool->scan_mms, node))
		m = NULL;
	else
		pool->scan_next = m;
	spin_unlock(&pool->scan_lock);
	return m;
}

static void round_done(struct kvl_pool *pool)
{
	if (pool->scan_young >= pool->scan_looked / OFTEN && pool->scan_young)
		pool->scan_interval = max(pool->scan_interval / 2,
					  INTERVAL_MIN);
	else if (pool->scan_young <= pool->scan_looked / SELDOM)
		pool->scan_interval = min(pool->scan_interval * 2,
					  INTERVAL_MAX);
	pool->scan_next = NULL;
	pool->scan_looked = 0;
	pool->scan_young = 0;
	kvl_count(pool, KVL_C_SCANS);
}

/* Works for a slice. True when the round is over. */
static bool slice(struct kvl_pool *pool, u64 end)
{
	struct kvl_walk w = { .pool = pool, .deadline = end };
	struct kvl_scan_mm *m = turn(pool);

	while (m && walk_mm(pool, m, &w) && ktime_get_ns() < end)
		m = turn(pool);
	pool->scan_looked += w.looked;
	pool->scan_young += w.young;
	kvl_count_add(pool, KVL_C_SCAN_BLOCKS, w.looked);
	kvl_count_add(pool, KVL_C_SCAN_YOUNG, w.young);
	return !turn(pool);
}

/* A slice, and the rest that is due for it. */
static void work_slice(struct kvl_pool *pool, u32 share)
{
	u64 start = ktime_get_ns(), ns;
	unsigned long rest, left;
	bool over;

	if (!pool->scan_next)
		pool->scan_begun = jiffies;
	over = slice(pool, start + SLICE_NS);
	ns = ktime_get_ns() - start;
	kvl_count_add(pool, KVL_C_SCAN_NS, ns);
	rest = nsecs_to_jiffies(div_u64(ns * (100 - share), share)) + 1;
	if (over) {
		round_done(pool);
		left = pool->scan_begun + pool->scan_interval - jiffies;
		if ((long)left > (long)rest)
			rest = left;
	}
	WRITE_ONCE(pool->scan_due, jiffies + rest);
}

/* With a share of 0 it only lets go of who has ended. */
static void scan_work(struct work_struct *work)
{
	struct kvl_pool *pool = container_of(to_delayed_work(work),
					     struct kvl_pool, scan);
	u32 share = READ_ONCE(pool->opts.scan);
	long left = INTERVAL_MAX;

	prune(pool);
	if (!possible(pool))
		return;
	if (list_empty_careful(&pool->scan_mms)) {
		WRITE_ONCE(pool->scan_due, jiffies);
		return;
	}
	if (share) {
		if (time_after_eq(jiffies, READ_ONCE(pool->scan_due)))
			work_slice(pool, share);
		left = READ_ONCE(pool->scan_due) - jiffies;
	}
	queue_delayed_work(pool->wq, &pool->scan, max(left, 0));
}

void kvl_scan_kick(struct kvl_pool *pool)
{
	if (!possible(pool) || list_empty_careful(&pool->scan_mms))
		return;
	WRITE_ONCE(pool->scan_due, jiffies);
	mod_delayed_work(pool->wq, &pool->scan, 0);
}

int kvl_scan_region(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_walk w = { .pool = pool, .region = r };
	struct mm_struct *mm = current->mm;
	struct kvl_scan_mm *m;
	unsigned long addr = 0;
	bool more;

	if (!kvl_scan_possible() || !mm)
		return -EOPNOTSUPP;
	spin_lock(&pool->scan_lock);
	m = find(pool, mm);
	w.since = m ? kvl_heat_now() - m->scanned : 0;
	spin_unlock(&pool->scan_lock);
	do {
		w.deadline = ktime_get_ns() + SLICE_NS;
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		more = kvl_walk_mm(&w, mm, &addr);
		mmap_read_unlock(mm);
		cond_resched();
	} while (more);
	spin_lock(&pool->scan_lock);
	m = find(pool, mm);
	if (m)
		m->scanned = kvl_heat_now();
	spin_unlock(&pool->scan_lock);
	kvl_count_add(pool, KVL_C_SCAN_BLOCKS, w.looked);
	kvl_count_add(pool, KVL_C_SCAN_YOUNG, w.young);
	return 0;
}

int kvl_scan_show(struct kvl_pool *pool, char *buf)
{
	u32 share = READ_ONCE(pool->opts.scan);

	if (!kvl_scan_possible())
		return sysfs_emit(buf, "none: no accessed bits on this architecture\n");
	if (!share)
		return sysfs_emit(buf, "off\n");
	return sysfs_emit(buf, "on: %u percent of a CPU, every %u ms, processes %u\n",
			  share, jiffies_to_msecs(pool->scan_interval),
			  READ_ONCE(pool->scan_nr));
}

void kvl_scan_prepare(struct kvl_pool *pool)
{
	spin_lock_init(&pool->scan_lock);
	INIT_LIST_HEAD(&pool->scan_mms);
	INIT_DELAYED_WORK(&pool->scan, scan_work);
	pool->scan_interval = INTERVAL_MIN;
	pool->scan_due = jiffies;
}

/* No file is mapped any more. */
void kvl_scan_stop(struct kvl_pool *pool)
{
	struct kvl_scan_mm *m, *next;

	cancel_delayed_work_sync(&pool->scan);
	list_for_each_entry_safe(m, next, &pool->scan_mms, node)
		let_go(m);
	INIT_LIST_HEAD(&pool->scan_mms);
}
