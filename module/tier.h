/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tiers, members and slots. A tier is a class of memory; its members are
 * NUMA nodes or devices; a slot is a block-sized piece of a member.
 *
 * A back end is one struct kvl_tier_ops and one file. It hands out slots and
 * copies between its slots and CPU-addressable ones; who decides what goes
 * where is above it.
 *
 * Lifetime: members live from mount to the end of kill_sb.
 * Locks: member->lock protects the member's counters and free slots,
 * tier->lru_lock the order of the tier's slots, tier->stripe_lock, outside of
 * member->lock, the choice of a device. Figures and order of the members of a
 * memory tier: place.h.
 */
#ifndef KVL_TIER_H
#define KVL_TIER_H

#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/completion.h>
#include <linux/kobject.h>
#include <linux/kvlift.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct folio;
struct fs_context;
struct kvl_domain;
struct kvl_member;
struct kvl_order;
struct kvl_pool;
struct kvl_region;
struct kvl_share;
struct kvl_tier;
struct kvl_window;

/* Who waits for a copy. */
enum kvl_io {
	KVL_IO_NORMAL,	/* prefetch, reclaim */
	KVL_IO_URGENT,	/* a task: before all others */
	KVL_IO_IDLE,	/* nobody yet: behind all others */
	KVL_NR_IO,
};

/**
 * struct kvl_copy - one block to copy between two slots
 * @pool:	the pool
 * @src:	address of the source slot
 * @dst:	address of the destination slot
 * @stage:	slot of a window that it goes through, to or from a GPU; 0 for
 *		none
 * @region:	region id of the block, for the mover's traces
 * @index:	its number
 * @prio:	enum kvl_io
 * @poll:	the submitter waits for it, and has no plug: submit looks for the
 *		completion itself where the device can do that
 * @quiet:	others follow, after the last of which the mover is woken by whoever
 *		submits them
 * @csum:	CRC32C of the content, for a copy to a KVL_CAP_CSUM tier
 * @error:	result, valid in @done
 * @t_done:	ktime in ns at which the data had arrived
 * @t_issue:	while it is traced, when a copy that had to wait for the device's
 *		credit got it; else 0
 * @done:	called exactly once, from any context, maybe before submit returns
 * @alone:	these and those below belong to the back end: not to be merged,
 *		and not to be tried again
 * @wait:	in a list of copies that wait
 */
struct kvl_copy {
	struct kvl_pool *pool;
	u64 src;
	u64 dst;
	u64 stage;
	u64 region;
	u64 index;
	u8 prio;
	bool poll;
	bool quiet;
	bool alone;
	u32 csum;
	int error;
	u64 t_done;
	u64 t_issue;
	void (*done)(struct kvl_copy *copy);
	struct list_head wait;
	struct bio_vec bvec;
	struct bio bio;
};

/* Capability bits of a back end. */
#define KVL_CAP_CPU	BIT(0)	/* slots are folios the CPU can address */
#define KVL_CAP_CSUM	BIT(1)	/* content is checksummed below memory */
#define KVL_CAP_MOVER	BIT(2)	/* user space copies */
#define KVL_CAP_DISCARD	BIT(3)	/* freed slots can be discarded */

/**
 * struct kvl_tier_ops - a back end
 * @name:	for messages
 * @caps:	KVL_CAP_*
 * @alloc:	takes a free slot; -ENOSPC when there is none. Never sleeps. The
 *		slot's folio, if it has one, is frozen (no references).
 * @free:	gives a slot back; a folio must be frozen. Never sleeps.
 * @retire:	takes a slot out of use for good (failed, or still pinned with
 *		one reference of ours); it counts as lost
 * @folio:	the folio of a slot in use (KVL_CAP_CPU)
 * @submit:	starts a copy of which one side is a slot of this back end
 * @expedite:	a task waits for the copy from or to a slot of this back end: it
 *		goes before all others. May find none, or be NULL.
 * @cancel:	tries to stop a submitted copy; true when @done will be called
 *		with -ECANCELED. NULL: copies cannot be cancelled.
 * @drain:	returns when no copy is in flight
 * @resize:	sets the budget in slots; grows in the background, shrinks as
 *		slots become free
 * @check_resize: 0 or an error with a message in @fc
 * @destroy:	frees everything; all slots are free
 */
struct kvl_tier_ops {
	const char *name;
	unsigned int caps;
	int (*alloc)(struct kvl_member *m, u32 *slot);
	void (*free)(struct kvl_member *m, u32 slot);
	void (*retire)(struct kvl_member *m, u32 slot);
	struct folio *(*folio)(struct kvl_member *m, u32 slot);
	void (*submit)(struct kvl_copy *copy);
	void (*expedite)(struct kvl_member *m, u64 addr);
	bool (*cancel)(struct kvl_copy *copy);
	void (*drain)(struct kvl_member *m);
	int (*check_resize)(struct kvl_member *m, struct fs_context *fc,
			    u64 asked);
	void (*resize)(struct kvl_member *m, u64 asked);
	void (*destroy)(struct kvl_member *m);
};

/**
 * struct kvl_member - a node or a device
 * @asked:	budget in slots
 * @cut:	by how many of them less the member makes do, because the kernel
 *		needs the memory (pressure.c)
 * @got:	slots there are, free or not
 * @nfree:	free ones
 * @ntrim:	of these, being discarded: not to be had just now
 * @nlost:	slots out of use: pinned by somebody else, or failed
 * @nbad:	of these, those whose memory has failed: they never come back
 * @nshadow:	slots that hold a shadow
 * @leaving:	blocks on their way out of it
 * @nwindow:	slots that are part of a window, and not of the capacity
 * @filling:	slots are still being acquired in the background
 * @dead:	the device is gone: nothing new goes there
 * @draining:	nothing new goes there, what is there moves away (drain.c)
 * @rest_until:	nor before this (jiffies), after a write error
 * @write_errors: in a row
 * @store_next:	slot at which the search for idle blocks goes on
 * @inflight:	copies of a device that have been submitted
 * @inflight_max: the most there have been
 * @turn:	whose turn the next stripe is, under tier->stripe_lock
 * @cpu_node:	nearest node with CPUs, where work on the memory is done
 * @said:	distance (place.h) that the mount gave, 0 for none
 * @told:	that the firmware gave
 * @distance:	that counts
 * @bandwidth:	measured, MiB/s, of a device by what is read; 0: not yet
 * @latency:	measured, ns
 * @spread:	made by a budget for all nodes
 * @segs:	of memory: slots by number, in segments that never move
 * @share:	what the tier's reclaim worker has for the member's own
 * @measure:	measures, as soon as there are free slots
 */
struct kvl_member {
	struct kvl_tier *tier;
	const struct kvl_tier_ops *ops;
	unsigned int id;
	int node;
	char name[64];
	spinlock_t lock;	/* counters, and the free slots */
	u64 asked;
	u64 cut;
	u64 got;
	u64 nfree;
	u64 ntrim;
	u64 nlost;
	u64 nbad;
	atomic64_t nshadow;
	atomic_t leaving;
	u64 nwindow;
	bool filling;
	bool dead;
	bool draining;
	u64 rest_until;
	unsigned int write_errors;
	u32 store_next;
	atomic_t inflight;
	int inflight_max;
	s64 turn;
	int cpu_node;
	u32 said;
	u32 told;
	u32 distance;
	u32 bandwidth;
	u32 latency;
	bool spread;
	struct kvl_slot **segs;
	struct kvl_share *share;
	struct delayed_work measure;
	unsigned int measure_tries;
	unsigned int measure_rounds;
	struct kobject kobj;
	struct completion kobj_gone;
};

/**
 * struct kvl_tier - a class of memory of one pool
 * @slots:	there are, or are still coming
 * @nfree:	free slots of all members
 * @low:	below this many free slots the reclaim worker starts
 * @high:	and stops at this many
 * @leaving:	blocks on their way out of the tier
 * @pressed:	a domain needs room below its limit (domain.h)
 * @shadowed:	slots of blocks with a shadow, the latest first
 * @stalled_since: when reclaim that had to move something last began to find
 *		nothing that moves (jiffies), 0 when it does
 * @paced_until: the reclaim worker rests until then (ktime, ns), see pace.h
 * @order:	in which members of memory are tried
 * @stripe:	device that takes the next blocks
 * @stripe_left: how many it still takes before it is another's turn
 */
struct kvl_tier {
	struct kvl_pool *pool;
	unsigned int id;
	unsigned int nr_members;
	struct kvl_member *members[KVLIFT_MAX_MEMBERS];
	atomic64_t nfree;
	u64 slots;
	u64 low;
	u64 high;
	atomic_t leaving;
	bool pressed;
	/* The list below, those of the domains, and the links of the slots. */
	spinlock_t lru_lock;
	struct list_head shadowed;
	u64 stalled_since;
	u64 paced_until;
	struct kvl_order __rcu *order;
	spinlock_t stripe_lock;	/* outside of member->lock */
	struct kvl_member *stripe;
	unsigned int stripe_left;
	struct delayed_work reclaim;
	struct kobject kobj;
	struct completion kobj_gone;
};

/**
 * struct kvl_slot - a slot of a memory tier
 * @folio:	the memory; NULL for a slot number not in use
 * @region:	owner of the block that lives here, NULL when free; set and
 *		cleared under the block's lock and lru_lock
 * @index:	block within @region
 * @lru:	in a list of the region's domain when in use, else of the member
 * @shadow:	in tier->shadowed when the block came up with a shadow, which it
 *		may have lost since
 * @placed:	domain whose limit has room taken for it, until it is published
 * @addr:	of this slot
 * @window:	it is a slot of, NULL for none (window.h); changes only while it
 *		is nobody's, or under the lock of the block
 * @nth:	number in the window
 * @ready:	it is no raw one of a window
 * @pins:	references that are explained by a window's registration
 * @leases:	who was promised that the block stays; under its lock
 * @held:	of these, for a GPU, which uses the slot itself: they last when the
 *		block leaves it
 * @written:	of these, for writing
 * @lent:	of a GPU: who may write the block was promised it, so that what is
 *		there counts when there is no other copy
 * @orphan:	given up while @held: free when that is over (gpu.h, window.h)
 * @free:	in the member's list of free slots; under its lock
 * @bad:	its memory has failed: never used again once it is given up
 * @out:	the policy wants it out: touches do not move it in the list @lru
 */
struct kvl_slot {
	struct folio *folio;
	struct kvl_region *region;
	u64 index;
	struct list_head lru;
	struct list_head shadow;
	struct kvl_domain *placed;
	u64 addr;
	struct kvl_window *window;
	u32 nth;
	u32 pins;
	u16 leases;
	u16 held;
	u16 written;
	bool lent;
	bool orphan;
	bool ready;
	bool free;
	bool bad;
	bool out;
};

#define KVL_SEG_SHIFT	10
#define KVL_SEG_SLOTS	BIT(KVL_SEG_SHIFT)

static inline struct kvl_slot *kvl_member_slot(struct kvl_member *m, u32 id)
{
	return &m->segs[id >> KVL_SEG_SHIFT][id & (KVL_SEG_SLOTS - 1)];
}

static inline unsigned int kvl_addr_tier(u64 addr)
{
	return kvlift_loc_tier(addr);
}

static inline bool kvl_addr_is_memory(u64 addr)
{
	return addr && (kvl_addr_tier(addr) == KVLIFT_TIER_DRAM ||
			kvl_addr_tier(addr) == KVLIFT_TIER_CXL);
}

static inline bool kvl_addr_is_device(u64 addr)
{
	return addr && kvl_addr_tier(addr) == KVLIFT_TIER_NVME;
}

static inline bool kvl_addr_is_gpu(u64 addr)
{
	return addr && kvl_addr_tier(addr) == KVLIFT_TIER_GPU;
}

/* There is a struct kvl_slot for it. */
static inline bool kvl_addr_has_slot(u64 addr)
{
	return addr && kvl_addr_tier(addr) != KVLIFT_TIER_NVME;
}

/* Slots the member is to have just now. */
static inline u64 kvl_member_target(const struct kvl_member *m)
{
	u64 asked = READ_ONCE(m->asked), cut = READ_ONCE(m->cut);

	return asked > cut && !READ_ONCE(m->draining) ? asked - cut : 0;
}

bool kvl_member_usable(struct kvl_member *m);

/* One slot of a member. -ENOSPC. */
int kvl_member_alloc(struct kvl_member *m, u64 *addr);
struct folio *kvl_addr_folio(struct kvl_pool *pool, u64 addr);

void kvl_tier_init(struct kvl_tier *t, struct kvl_pool *pool, unsigned int id);
void kvl_tier_add(struct kvl_tier *t, struct kvl_member *m);
void kvl_tier_drain(struct kvl_tier *t);
void kvl_tier_destroy(struct kvl_tier *t);
const char *kvl_tier_name(unsigned int id);
struct kvl_tier *kvl_tier_below(struct kvl_pool *pool, unsigned int id);
u64 kvl_tier_surplus(struct kvl_tier *t);

/* Slots of @slots that high=@percent keeps free; no part of the capacity. */
u64 kvl_tier_high(struct kvl_tier *t, u64 slots, u32 percent);

/*
 * One slot of a tier: of the member that is best for @node (place.h) and has
 * one; -1: for none in particular. -ENOSPC.
 */
int kvl_tier_alloc(struct kvl_tier *t, int node, u64 *addr);
void kvl_slot_free(struct kvl_pool *pool, u64 addr);
void kvl_slot_retire(struct kvl_pool *pool, u64 addr);

/* Starts a copy between any two slots. */
void kvl_copy_submit(struct kvl_copy *copy);

/* A task is about to wait for the copy from or to @addr, if there is one. */
void kvl_copy_expedite(struct kvl_pool *pool, u64 addr);

/* Recomputes watermarks and capacity after a member has changed. */
void kvl_pool_resized(struct kvl_pool *pool);

/* tier_mem.c */
struct kvl_member *kvl_mem_create(struct kvl_pool *pool, struct fs_context *fc,
				  unsigned int tier, int node, u64 bytes);
struct kvl_slot *kvl_mem_nth_slot(struct kvl_member *m, u32 n);
void kvl_mem_recheck(struct kvl_pool *pool, u64 addr);
struct kvl_slot *kvl_mem_mark_bad(struct kvl_member *m, unsigned long pfn);
struct kvl_slot *kvl_mem_next_bad(struct kvl_member *m, u32 *n);
int kvl_mem_wait_filled(struct kvl_member *m);
u64 kvl_mem_release(struct kvl_member *m);
void kvl_mem_regrow(struct kvl_member *m, u64 slots);
u64 kvl_mem_shortage(int node);
u64 kvl_mem_plenty(int node);

/* tier_bdev.c */
struct kvl_member *kvl_bdev_create(struct kvl_pool *pool,
				   struct fs_context *fc, const char *path,
				   u64 bytes);
int kvl_bdev_check_set(struct kvl_pool *pool, struct fs_context *fc);
u32 kvl_bdev_peek_block(const char *path);
const char *kvl_bdev_path(struct kvl_member *m);
bool kvl_bdev_wants_stable(struct kvl_member *m);
int kvl_bdev_claim(struct kvl_pool *pool, struct fs_context *fc);

#endif /* KVL_TIER_H */
