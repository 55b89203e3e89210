/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A pool: one mount, its tiers and its workers.
 *
 * Lifetime: made by fill_super, freed at the end of kill_sb, when workers
 * and moves have been drained and no inode is left.
 */
#ifndef KVL_POOL_H
#define KVL_POOL_H

#include <linux/fs.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/uuid.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "advise.h"
#include "cache.h"
#include "options.h"
#include "pressure.h"
#include "stats.h"
#include "tier.h"

struct crypto_shash;
struct kvl_domain;
struct kvl_done;
struct kvl_policy;
struct kvl_scan_mm;

/**
 * struct kvl_pool
 * @block_size:	bytes
 * @block_shift: log2 of it
 * @page_shift:	log2 of pages per block
 * @tiers:	by enum kvlift_tier_id; a tier without members is not there
 * @capacity:	blocks that can be charged: all slots less what movement
 *		needs to have free
 * @used:	blocks charged
 * @inline_used: bytes of inline content, at most @inline_limit
 * @slot_seq:	grows when a slot becomes free
 * @slot_wait:	tasks that wait for that
 * @slot_waiters: how many
 * @place_lock:	who computes the order of members
 * @place_warned: nodes that look mixed up were reported
 * @gave_up:	when the last one did so in vain (jiffies)
 * @next_id:	region ids and inode numbers, never reused
 * @moves:	moves in flight
 * @gpu_moves:	of these, those that a mover may hold up
 * @move_wait:	who waits for fewer of them
 * @pressure:	what gives memory back when the kernel needs it
 * @memerr:	in the list of pools that are told of memory errors
 * @drain:	empties members that are to be drained
 * @wq:		reclaim, prefetch and acquisition
 * @share_wq:	reclaim of a tier of several nodes, node by node
 * @done:	copies that have arrived, for @io_wq
 * @store_list:	regions with complete blocks to be stored
 * @store_credit: bytes that @store may write now
 * @store_last:	when it last got some (jiffies)
 * @io_wq:	completions; never waits for a slot or for @wq
 */
struct kvl_pool {
	struct super_block *sb;
	unsigned int id;
	u32 block_size;
	unsigned int block_shift;
	unsigned int page_shift;
	u32 inline_max;
	struct kvl_mount_opts opts;
	uuid_t uuid;

	struct kvl_tier tiers[KVLIFT_NR_TIERS];
	const struct kvl_policy *policy;
	struct kvl_domain *root_domain;
	spinlock_t domain_lock;		/* domain.h */
	struct list_head domains;
	unsigned int nr_domains;
	struct kvl_cache_pool cache;

	spinlock_t resize_lock;	/* who computes capacity and watermarks */
	atomic64_t capacity;
	atomic64_t used;
	atomic64_t inline_used;
	u64 inline_limit;
	atomic64_t next_id;

	atomic_t slot_seq;
	wait_queue_head_t slot_wait;
	atomic_t slot_waiters;
	struct mutex place_lock;	/* place.h */
	bool place_warned;
	u64 gave_up;
	atomic_t moves;
	atomic_t gpu_moves;
	wait_queue_head_t move_wait;
	bool stopping;

	struct xarray regions;		/* files by id */
	struct kvl_advice advice;
	struct kvl_pressure pressure;
	struct list_head memerr;
	struct delayed_work drain;

	struct workqueue_struct *wq;
	struct workqueue_struct *io_wq;
	struct workqueue_struct *share_wq;
	mempool_t *move_mempool;
	mempool_t *out_mempool;
	struct kvl_done __percpu *done;
	struct crypto_shash *crc;

	spinlock_t prefetch_lock;	/* the list and its length */
	struct list_head prefetch_list[KVLIFT_PRIO_LOW + 1];
	unsigned int prefetch_queued;
	unsigned int prefetch_nr[KVLIFT_PRIO_LOW + 1];
	bool prefetch_new;		/* somebody has come since the last look */
	bool prefetch_waits;
	atomic64_t prefetch_blocks[KVLIFT_PRIO_LOW + 1];
	u64 prefetch_ns;
	struct work_struct prefetch;

	spinlock_t store_lock;		/* the list and its regions' ranges */
	struct list_head store_list;
	u64 store_credit;
	u64 store_last;
	struct delayed_work store;

	spinlock_t scan_lock;		/* scan.h; the rest is the worker's */
	struct list_head scan_mms;
	unsigned int scan_nr;
	unsigned int scan_new;		/* since the last look for ended ones */
	struct kvl_scan_mm *scan_next;	/* NULL: a round begins */
	unsigned long scan_addr;	/* in that one */
	bool scan_found;
	u64 scan_looked;
	u64 scan_young;
	unsigned long scan_begun;	/* jiffies, as the next two */
	unsigned long scan_due;		/* of the next slice */
	unsigned long scan_interval;
	struct delayed_work scan;

	struct mutex gpu_mutex;		/* gpu.h */

	struct mutex ring_mutex;	/* ring.h */
	struct list_head rings;
	unsigned long ring_delay;	/* jiffies */
	struct delayed_work ring_work;

	struct kvl_counters __percpu *counters;
	struct kobject kobj;
	struct completion kobj_gone;
};

static inline struct kvl_pool *kvl_sb_pool(struct super_block *sb)
{
	return sb->s_fs_info;
}

static inline bool kvl_pool_has_tier(struct kvl_pool *pool, unsigned int id)
{
	return pool->tiers[id].nr_members;
}

/* tier.c: charges and waiting for slots */
int kvl_pool_charge(struct kvl_pool *pool, u64 blocks);
u64 kvl_pool_reserve(struct kvl_pool *pool, u64 blocks);
void kvl_pool_uncharge(struct kvl_pool *pool, u64 blocks);
void kvl_pool_slot_freed(struct kvl_pool *pool);
int kvl_pool_wait_slot(struct kvl_pool *pool, unsigned int seq);
bool kvl_pool_stuck(struct kvl_pool *pool);
bool kvl_pool_gave_up(struct kvl_pool *pool);

static inline unsigned int kvl_pool_slot_seq(struct kvl_pool *pool)
{
	return atomic_read_acquire(&pool->slot_seq);
}

u32 kvl_pool_crc(struct kvl_pool *pool, const void *data, size_t len);

/* super.c */
int kvl_super_register(void);
void kvl_super_unregister(void);

/* The member that an address is of. */
static inline struct kvl_member *kvl_addr_member(struct kvl_pool *pool,
						 u64 addr)
{
	return pool->tiers[kvl_addr_tier(addr)]
		.members[kvlift_loc_member(addr)];
}

/* The slot in memory that an address is of. */
static inline struct kvl_slot *kvl_mem_slot(struct kvl_pool *pool, u64 addr)
{
	return kvl_member_slot(kvl_addr_member(pool, addr),
			       kvlift_loc_slot(addr));
}

static inline bool kvl_addr_in_window(struct kvl_pool *pool, u64 addr)
{
	return kvl_addr_is_memory(addr) && kvl_mem_slot(pool, addr)->window;
}

#endif /* KVL_POOL_H */
