// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory errors. They come to light in three ways: a copy between memories
 * meets one (copy_mc), the machine-check decode chain reports one, or the core
 * has been told of one: memory_failure() has nothing it could do with our
 * pages, which are in no LRU list and no page cache, but it marks them and
 * says so at its tracepoint.
 *
 * All of it comes down to a page frame number, for which a work item finds
 * the slot. A free slot is taken out of use. One that holds a block is taken
 * away from it: the block falls back to its copy on a device, and nothing is
 * lost, or becomes KVLIFT_LOC_ERROR without a place. One that is being filled
 * is marked, and reported again when it is published.
 *
 * Looking for a slot takes a while, and the list of the machine's memory errors
 * is short. Should it be longer than the queue of reports, all slots are looked
 * through: for those that are marked here, and for pages that the core has
 * marked. A report of the machine-check chain that nobody else makes is lost
 * then.
 *
 * What is not covered: the CPU reads a page, of which nobody knew yet that it
 * has failed, with anything but copy_mc, that is, to compute the checksum of
 * a block that goes to a device, or of one that has just come from there.
 * There the machine check is fatal, as everywhere in the kernel.
 *
 * Locks: pools_lock is outside of block locks; who holds one only reports.
 */
#include <linux/delay.h>
#include <linux/kfifo.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/tracepoint.h>
#ifdef CONFIG_X86_MCE
#include <asm/mce.h>
#endif

#include "compat.h"
#include "gpu.h"
#include "memerr.h"
#include "move.h"
#include "params.h"
#include "trace.h"

/* For how long who holds a block whose copy below is good is waited for. */
#define HELD_FOR	(10 * HZ)
#define HELD_RETRY	20	/* ms */
#define HELD_MAX	64

/* Between two searches for what did not get into a queue. */
#define SCAN_EVERY	HZ

#define REPORTS		256	/* a power of two */

static DEFINE_MUTEX(pools_lock);	/* the list of pools, and held */
static LIST_HEAD(pools);

static DEFINE_KFIFO(reports, unsigned long, REPORTS);
static DEFINE_SPINLOCK(reports_lock);	/* who puts something in */

/* A report was lost, or a slot is held that did not get into the list. */
static bool overflowed;

/* Slots that have failed, with a block that somebody holds. */
static struct held {
	struct kvl_pool *pool;
	struct kvl_member *m;
	struct kvl_slot *s;
	unsigned long until;
} held[HELD_MAX];
static unsigned int nr_held;

static bool shadow_is_good(struct kvl_pool *pool, struct kvl_block *b)
{
	return b->shadow && !test_bit(KVL_B_DIRTY, &b->flags) &&
	       !READ_ONCE(kvl_addr_member(pool, b->shadow)->dead);
}

static void fall_back(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 shadow = b->shadow;

	atomic64_dec(&kvl_addr_member(pool, shadow)->nshadow);
	WRITE_ONCE(b->shadow, 0);
	kvl_change_extent(r, index, b, shadow);
	kvl_count(pool, KVL_C_MEM_RECOVERED);
}

static void lose(struct kvl_region *r, u64 index, struct kvl_block *b,
		 const char *where)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	kvl_block_lose(r, index, b, false);
	kvl_count(pool, KVL_C_MEM_LOST);
	pr_err_ratelimited("pool %u: region %llu block %llu is lost: memory error in %s\n",
			   pool->id, r->id, index, where);
}

/*
 * -EBUSY: somebody holds the block, whose copy below may still be good. With
 * @force it does not count then: the holder could write.
 */
static int leave_slot(struct kvl_region *r, u64 index, struct kvl_block *b,
		      bool force)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 addr = kvl_block_home(b);
	struct kvl_slot *s = kvl_mem_slot(pool, addr);
	bool held;

	WRITE_ONCE(s->bad, true);
	/* Out of all page tables in any case: a touch would be fatal. */
	held = kvl_block_quiesce(r, index, b, true);
	if (held && !force && shadow_is_good(pool, b))
		return -EBUSY;
	kvl_block_detach_locked(r, b);
	trace_kvlift_error(pool->id, r->id, index, addr, -EHWPOISON);
	if (!held && shadow_is_good(pool, b))
		fall_back(r, index, b);
	else
		lose(r, index, b, kvl_addr_member(pool, addr)->name);
	/* Pinned, it is lost like any other until the pin is gone. */
	if (held)
		kvl_slot_retire(pool, addr);
	else
		kvl_slot_free(pool, addr);
	return 0;
}

void kvl_memerr_block(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct folio *folio = kvl_region_folio(r, b);

	if (leave_slot(r, index, b, false)) {
		kvl_count(pool, KVL_C_REFUSED_PINNED);
		kvl_memerr_report(folio_pfn(folio));
	}
}

static int slot_failed(struct kvl_member *m, struct kvl_slot *s, bool force)
{
	u64 index;
	struct kvl_region *r = kvl_slot_owner(m->tier->pool, s, &index);
	struct kvl_block *b = r ? kvl_region_find(r, index) : NULL;
	int err = 0;

	if (b) {
		kvl_block_lock(b);
		if (kvl_block_home(b) == s->addr)
			err = leave_slot(r, index, b, force);
		else if (b->shadow == s->addr)
			kvl_gpu_lose_shadow(r, index, b);
		kvl_block_unlock(b);
	}
	if (r)
		iput(&r->inode);
	return err;
}

static bool is_held(const struct kvl_slot *s)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].s == s)
			return true;
	return false;
}

static void first_look(struct kvl_pool *pool, struct kvl_member *m,
		       struct kvl_slot *s)
{
	if (is_held(s) || !slot_failed(m, s, false))
		return;
	/* Found again when there is room: it is marked. */
	if (nr_held == HELD_MAX) {
		WRITE_ONCE(overflowed, true);
		return;
	}
	held[nr_held++] = (struct held){
		.pool = pool,
		.m = m,
		.s = s,
		.until = jiffies + HELD_FOR,
	};
}

static bool page_failed(struct kvl_pool *pool, unsigned long pfn)
{
	unsigned int id, i;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		for (i = 0; i < pool->tiers[id].nr_members; i++) {
			struct kvl_member *m = pool->tiers[id].members[i];
			struct kvl_slot *s = kvl_mem_mark_bad(m, pfn);

			if (s) {
				first_look(pool, m, s);
				return true;
			}
		}
	return false;
}

static void look_at_report(unsigned long pfn)
{
	struct kvl_pool *pool;

	mutex_lock(&pools_lock);
	list_for_each_entry(pool, &pools, memerr)
		if (page_failed(pool, pfn))
			break;
	mutex_unlock(&pools_lock);
}

static void look_at_held(void)
{
	unsigned int i, n = 0;

	mutex_lock(&pools_lock);
	for (i = 0; i < nr_held; i++)
		if (slot_failed(held[i].m, held[i].s,
				time_after_eq(jiffies, held[i].until)))
			held[n++] = held[i];
	nr_held = n;
	mutex_unlock(&pools_lock);
}

static void look_through(struct kvl_pool *pool)
{
	unsigned int id, i;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		for (i = 0; i < pool->tiers[id].nr_members; i++) {
			struct kvl_member *m = pool->tiers[id].members[i];
			struct kvl_slot *s;
			u32 n = 0;

			while ((s = kvl_mem_next_bad(m, &n)))
				first_look(pool, m, s);
		}
}

/* All slots that are known to be bad, or have pages that the core has marked. */
static void look_through_all(void)
{
	struct kvl_pool *pool;

	pr_warn_ratelimited("more memory errors than are kept in mind: looking through all slots\n");
	mutex_lock(&pools_lock);
	list_for_each_entry(pool, &pools, memerr)
		look_through(pool);
	mutex_unlock(&pools_lock);
}

static void work_fn(struct work_struct *work)
{
	unsigned long pfn, next = jiffies;

	for (;;) {
		/* One reader: needs no lock. */
		while (kfifo_get(&reports, &pfn))
			look_at_report(pfn);
		if (READ_ONCE(overflowed) && time_after_eq(jiffies, next) &&
		    xchg(&overflowed, false)) {
			look_through_all();
			next = jiffies + SCAN_EVERY;
		}
		if (!nr_held && !READ_ONCE(overflowed))
			break;
		msleep(HELD_RETRY);
		look_at_held();
	}
}

static DECLARE_WORK(work, work_fn);

void kvl_memerr_report(unsigned long pfn)
{
	if (READ_ONCE(kvl_param_lose_reports) ||
	    !kfifo_in_spinlocked(&reports, &pfn, 1, &reports_lock))
		WRITE_ONCE(overflowed, true);
	queue_work(kvl_system_wq, &work);
}

/* The core calls this inside of memory_failure(), in process context. */
static void core_told(void *unused, unsigned long pfn, int type, int result)
{
	kvl_memerr_report(pfn);
}

static struct tracepoint *core_tp;

static void is_core_tp(struct tracepoint *tp, void *unused)
{
	if (!strcmp(tp->name, "memory_failure_event"))
		core_tp = tp;
}

static void listen_to_core(void)
{
	for_each_kernel_tracepoint(is_core_tp, NULL);
	if (core_tp && tracepoint_probe_register(core_tp, core_told, NULL))
		core_tp = NULL;
	if (!core_tp)
		pr_warn("this kernel says nothing of memory errors but what the machine-check chain knows\n");
}

static void unlisten_to_core(void)
{
	if (core_tp)
		tracepoint_probe_unregister(core_tp, core_told, NULL);
	tracepoint_synchronize_unregister();
}

#ifdef CONFIG_X86_MCE
/*
 * Most of these come to memory_failure() as well, but not before they have been
 * here, and not all.
 */
static int decode(struct notifier_block *nb, unsigned long unused, void *data)
{
	struct mce *m = data;

	if (m && !mce_is_correctable(m) && mce_usable_address(m))
		kvl_memerr_report((m->addr & MCI_ADDR_PHYSADDR) >> PAGE_SHIFT);
	return NOTIFY_DONE;
}

static struct notifier_block decoder = {
	.notifier_call = decode,
	.priority = MCE_PRIO_EDAC,
};

static void listen_to_chain(void)
{
	mce_register_decode_chain(&decoder);
}

static void unlisten_to_chain(void)
{
	mce_unregister_decode_chain(&decoder);
}
#else
static void listen_to_chain(void)
{
}

static void unlisten_to_chain(void)
{
}
#endif

void kvl_memerr_start(struct kvl_pool *pool)
{
	mutex_lock(&pools_lock);
	list_add_tail(&pool->memerr, &pools);
	mutex_unlock(&pools_lock);
}

/* Nobody holds an inode of the pool for this any more when it returns. */
void kvl_memerr_stop(struct kvl_pool *pool)
{
	unsigned int i, n = 0;

	mutex_lock(&pools_lock);
	list_del_init(&pool->memerr);
	for (i = 0; i < nr_held; i++)
		if (held[i].pool != pool)
			held[n++] = held[i];
	nr_held = n;
	mutex_unlock(&pools_lock);
}

void kvl_memerr_init(void)
{
	listen_to_core();
	listen_to_chain();
}

void kvl_memerr_exit(void)
{
	unlisten_to_chain();
	unlisten_to_core();
	cancel_work_sync(&work);
}
