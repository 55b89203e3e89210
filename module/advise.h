/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Advice: what a policy is told and what it says.
 *
 * Everything that happens to blocks is noted as an event in a ring of the CPU
 * (advise_event.c). A worker, or reclaim before it chooses, takes the events in
 * the order of time, makes requests of them (advise.c) and asks the policy.
 * What that wants out goes to the cold end of its domain's LRU, where reclaim
 * finds it; what it wants to keep is left to the LRU's order. So a policy that
 * says nothing leaves an LRU, and a wrong answer costs a slot, not a byte.
 *
 * Lifetime: advisors live from mount, or from the attachment of a policy to a
 * directory, to the end of kill_sb, and serve another directory when theirs is
 * gone; their blocks' records in a table that only grows (advise_table.c).
 * Records name blocks by region id and index and hold no reference to anything;
 * who wants the slot looks, under lru_lock, whether it still is that block's.
 * Locks: pool->advice.sem, a sleeping lock that none but the worker waits for
 * without a bound, protects all but the rings and the pointers to BPF policies;
 * it is outside of pool->domain_lock and tier->lru_lock. Callbacks run under it.
 * advice.ops_lock, innermost: which BPF policy is attached.
 */
#ifndef KVL_ADVISE_H
#define KVL_ADVISE_H

#include <linux/kobject.h>
#include <linux/kvlift_policy.h>
#include <linux/rbtree.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "policy_ops.h"

struct bpf_link;
struct kvl_block;
struct kvl_domain;
struct kvl_pool;
struct kvl_region;
struct kvl_slot;
struct kvl_tier;

/* Advisors of a pool: its own and those of directories that exist. */
#define KVL_MAX_ADVISORS	16
#define KVL_ALL_ADVISORS	U16_MAX

enum kvl_event_type {
	KVL_EV_TOUCH,	/* @addr: where */
	KVL_EV_PLACE,	/* the home is another one: @addr, 0 for none */
	KVL_EV_COLD,	/* will not be used soon */
	KVL_EV_HINTS,	/* @addr: struct kvl_hint_list */
};

/**
 * struct kvl_event - something happened to a block
 * @time:	ktime, ns
 * @from:	tier it was in, KVLIFT_NR_TIERS for none (KVL_EV_PLACE)
 */
struct kvl_event {
	u64 time;
	u64 region;
	u64 index;
	u64 addr;
	u32 weight;
	u8 type;
	u8 from;
	u16 advisor;
};

/* Bytes of hints that wait for the worker. */
#define KVL_HINTS_MAX		(16u << 20)

#define KVL_RING_EVENTS		2048u

/* Of one CPU: written there with preemption off, read under the semaphore. */
struct kvl_ring {
	u32 head;
	u64 lost;
	u32 tail ____cacheline_aligned;
	u32 end;	/* head, as the reader saw it */
	struct kvl_event events[KVL_RING_EVENTS];
};

/* Where a block stands with the policy; who is not resident is in a list. */
enum kvl_standing {
	KVL_FREE,	/* the record is not in use */
	KVL_GHOST,	/* not resident: by last use, to be forgotten */
	KVL_RESIDENT,
};

/**
 * struct kvl_entry - what is known of a block
 * @region:	id
 * @addr:	home in memory, as last heard of; 0: none
 * @session:	that used it last
 * @key:	in the index
 * @node:	the same
 * @id:		of the record
 * @hash:	next with this hash value
 * @gen:	how often the record was taken
 * @parent:	id, good while @parent_gen is the parent's
 * @children:	resident ones
 * @prev, @next: in the policy's list @list
 * @older, @newer: by last use
 * @user:	last request, from 1
 * @use_at:	jiffies at which it is expected to be used, 0: not told
 * @weight:	of the touch that is being told
 * @told:	by an engine's request: touches say nothing more
 * @out:	in DRAM although it is not resident: to go first
 * @recalled:	it was that when it was admitted again, and may be on its way
 * @leads:	it was made a parent
 */
struct kvl_entry {
	u64 region;
	u64 index;
	u64 addr;
	u64 session;
	u64 key;
	struct rb_node node;
	u32 id;
	u32 hash;
	u32 gen;
	u32 parent;
	u32 parent_gen;
	u32 depth;
	u32 children;
	u32 prev, next;
	u32 older, newer;
	u32 user;
	u32 use_at;
	u32 weight;
	u8 standing;
	u8 list;
	s8 prio;
	u8 tier;
	bool indexed;
	bool told;
	bool out;
	bool recalled : 1;
	bool leads : 1;
};

struct kvl_list {
	u32 head, tail, len;
};

struct kvl_order_list {
	u32 old, new;
};

/* Why a policy was ejected, or is not there. */
enum kvl_exit {
	KVL_EXIT_NONE,
	KVL_EXIT_DETACHED,	/* by who loaded it */
	KVL_EXIT_REPLACED,	/* by another */
	KVL_EXIT_REFUSED,	/* its attach() said no */
	KVL_EXIT_TIMEOUT,	/* a callback took too long */
	KVL_EXIT_ANSWER,	/* too many wrong answers */
	KVL_EXIT_STALL,		/* no victims when there had to be some */
	KVL_EXIT_MEMORY,	/* none for its records */
	KVL_EXIT_UNMOUNT,
};

/* In which callback a policy is: what it may call. */
enum kvl_call {
	KVL_CALL_NONE,
	KVL_CALL_ATTACH,
	KVL_CALL_DETACH,
	KVL_CALL_REQUEST,
	KVL_CALL_ACCESSED,
	KVL_CALL_ADMIT,
	KVL_CALL_VICTIMS,
	KVL_CALL_ADDED,
	KVL_CALL_REMOVED,
	KVL_CALL_MOVED,
	KVL_CALL_FORGET,
	KVL_CALL_PREFETCH,
	KVL_CALL_HINT,
	KVL_CALL_TICK,
	KVL_NR_CALLS,
};

struct kvl_call_stat {
	u64 count;
	u64 ns;
	u64 max;
};

/* What callbacks said and what came of it. */
struct kvl_advice_stat {
	u64 requests;
	u64 told;
	u64 hits;
	u64 misses;
	u64 admitted;
	u64 bypassed;
	u64 victims;
	u64 short_answers;
	u64 bad_answers;
	u64 fetched;
	u64 ejections;
	struct kvl_call_stat calls[KVL_NR_CALLS];
};

/**
 * struct kvl_advisor - one policy and the blocks it decides about
 * @ctx:	what the policy sees
 * @pool:	the pool
 * @domain:	of a directory's policy; NULL for the pool's
 * @id:		in pool->advice
 * @file:	of a directory's policy, in sysfs
 * @file_name:	of that
 * @ops:	who decides now: @live as of the last look, the built-in one, or
 *		nobody, until the next look
 * @is_bpf:	@ops are those of a BPF policy
 * @attached:	@ops had its attach()
 * @refresh:	it is time to look
 * @fresh:	its blocks are another one's still
 * @has_victims: @ops has victims()
 * @flags:	of @ops
 * @state:	of a built-in policy
 * @segs:	records, in segments of KVL_ENTRY_SEG that never move
 * @storage:	the policy's bytes, by segment
 * @buckets:	of the hash
 * @nr_buckets: power of two
 * @nr:		records in use
 * @max:	most of them
 * @free_id:	list of free records, by @hash
 * @order:	ids by last use: of ghosts, of residents
 * @chain:	blocks of the running request
 * @chain_max:	room in it
 * @batch:	told with accessed()
 * @victims:	given in the call that is going on, at most @want
 * @refused:	it gave some that could not go just now
 * @ups:	to be brought up
 * @fetches:	that it asked for in the call that is going on
 * @request_resident: blocks of the last request that are resident
 * @group_nr:	blocks in @chain of a request that is not told, so far
 * @group_region, @group_time: its region, and its first touch
 * @next_tick:	when tick() is due
 * @call:	callback that is running
 * @deadline:	when it must be over, CPU time of the worker in ns
 * @overtime:	local_clock() of the last callback that took too long, or 0
 * @rounds:	of loops it has left
 * @gone:	rounds it had gone when there were none left
 * @bad:	wrong answers since the last good one
 * @stalls:	times in a row without a victim
 * @nr_out:	entries with @out
 * @live:	attached BPF policy; read under RCU before each callback, and good
 *		for that callback if it still is there
 * @link:	of it
 * @since:	ktime of the last change, ns
 * @exit:	why the last one went
 */
struct kvl_advisor {
	struct kvlift_ctx ctx;
	struct kvl_pool *pool;
	struct kvl_domain *domain;
	u16 id;
	struct kobj_attribute file;
	char file_name[32];

	const struct kvlift_policy_ops *ops;
	bool is_bpf;
	bool attached;
	bool refresh;
	bool fresh;
	bool has_victims;
	u32 flags;
	void *state;

	struct kvl_entry **segs;
	char **storage;
	u32 storage_size;
	u32 nr_segs;
	u32 *buckets;
	u32 nr_buckets;
	u32 nr;
	u32 max;
	u32 free_id;
	struct kvl_order_list order[2];

	struct kvl_list lists[KVLIFT_POLICY_LISTS];
	struct rb_root_cached index;
	u32 nr_indexed;

	u32 *chain;
	u32 chain_max;
	u32 batch[KVLIFT_POLICY_BATCH];
	u32 batch_nr;
	u32 victims[KVLIFT_POLICY_BATCH];
	u32 nr_victims;
	u32 want;
	bool refused;
	u32 ups[KVLIFT_POLICY_BATCH];
	u32 nr_ups;
	u32 fetches[KVLIFT_POLICY_BATCH];
	u32 nr_fetches;
	u32 request_resident;
	u32 group_nr;
	u64 group_region;
	u64 group_time;
	u64 next_tick;

	enum kvl_call call;
	u64 deadline;
	u64 overtime;
	u32 rounds;
	u32 gone;
	u32 bad;
	u32 stalls;
	u32 nr_out;
	struct kvl_advice_stat stat;

	/* Under ops_lock. */
	const struct kvlift_policy_ops *live;
	struct bpf_link *link;
	u64 since;
	enum kvl_exit exit;
	s32 exit_code;
	char exit_name[KVLIFT_POLICY_NAME];
	char exit_text[96];
	bool eject;
	bool attaching;
};

#define KVL_ENTRY_SHIFT	8
#define KVL_ENTRY_SEG	BIT(KVL_ENTRY_SHIFT)

/**
 * struct kvl_advice - of a pool
 * @sem:	see above
 * @rings:	by CPU
 * @advisors:	by number; the first is the pool's
 * @closed:	no policy can be attached any more
 * @active:	events are noted: a policy is attached, or an engine told
 *		something; else all is left to the LRU, at no cost
 * @told:	an engine has told something, ever
 * @armed:	the worker is going to look
 * @work:	takes events
 * @eject_work:	detaches links of ejected policies
 * @ops_lock:	which BPF policies are attached
 * @clock:	what time it is in a replay, ns; 0: there is none
 * @clock_base:	what it says and this are @clock
 * @clock_told:	when it said so
 * @clock_ahead: so much replays were faster than the machine's clock
 * @hint_bytes:	of hints that wait
 * @hints:	those that are being told
 */
struct kvl_advice {
	struct semaphore sem;
	struct kvl_ring **rings;
	struct kvl_advisor *advisors[KVL_MAX_ADVISORS];
	unsigned int nr;
	bool stopping;
	bool closed;
	bool active;
	bool told;
	int armed;
	struct delayed_work work;
	struct work_struct eject_work;
	spinlock_t ops_lock;	/* which BPF policies are attached */
	u64 clock;
	u64 clock_base;
	u64 clock_told;
	u64 clock_ahead;
	atomic_long_t hint_bytes;
	struct kvl_hint_list *hints;
	struct list_head all;
};

/* A block that a hint names, and where it was. */
struct kvl_hint_block {
	u64 region;
	u64 index;
	u64 addr;
};

/**
 * struct kvl_hint_rec - a hint on its way to the worker
 * @session:	0: not told
 * @ms:		from now
 * @first, @nr:	blocks in kvl_hint_list.blocks; of KVLIFT_HINT_PARENT the
 *		second is the parent. One that is not there has no region
 * @advisor:	of the blocks that were named last, or KVL_ALL_ADVISORS
 */
struct kvl_hint_rec {
	u64 session;
	u32 first;
	u32 nr;
	u32 ms;
	s32 value;
	u32 flags;
	u16 advisor;
	u8 op;
};

/**
 * struct kvl_hint_list - hints of one call; one kvfree() is enough
 * @time:	of the call
 * @at:		the next one to be told
 * @request:	the next KVLIFT_HINT_REQUEST, as far as is known
 * @asked:	who had the request right before, or NULL
 * @session:	of that
 */
struct kvl_hint_list {
	u32 nr;
	u32 nr_blocks;
	size_t size;
	u64 time;
	u32 at;
	u32 request;
	struct kvl_advisor *asked;
	u64 session;
	struct kvl_hint_block *blocks;
	struct kvl_hint_rec recs[];
};

void kvl_advise_init_pool(struct kvl_pool *pool);
int kvl_advise_start(struct kvl_pool *pool);
void kvl_advise_stop(struct kvl_pool *pool);
void kvl_advise_destroy(struct kvl_pool *pool);
ssize_t kvl_advise_show(struct kvl_advisor *a, char *buf);

/* The number of the advisor of a region's blocks. */
u16 kvl_advisor_of(struct kvl_region *r);
/* That of a domain's blocks. */
u16 kvl_advisor_around(const struct kvl_domain *d);

/* advise_event.c: from process context; never wait. */
/* False: the ring was full. */
bool kvl_advise_event(struct kvl_pool *pool, const struct kvl_event *e);
void kvl_advise_touch(struct kvl_region *r, u64 index, u64 addr, u32 weight);
void kvl_advise_place(struct kvl_region *r, u64 index, u64 from, u64 to);
void kvl_advise_cold(struct kvl_region *r, u64 index);
long kvl_advise_ioctl_hint(struct file *file, void __user *arg);
bool kvl_advise_next(struct kvl_pool *pool, struct kvl_event *e);
void kvl_advise_snapshot(struct kvl_pool *pool);
u64 kvl_advise_lost(struct kvl_pool *pool);
int kvl_advise_make_rings(struct kvl_pool *pool);
void kvl_advise_free_rings(struct kvl_pool *pool);

/*
 * Reclaim is going to take @want blocks of DRAM: the policy is asked for what
 * it has not given yet. Waits a bounded time.
 */
void kvl_advise_reclaim(struct kvl_tier *t, s64 want);

/* advise_table.c; all under the semaphore. */
int kvl_table_start(struct kvl_advisor *a);
/* There may be more blocks by now. */
void kvl_table_grow(struct kvl_advisor *a);
void kvl_table_reset(struct kvl_advisor *a);
void kvl_table_clear(struct kvl_advisor *a);
void kvl_table_destroy(struct kvl_advisor *a);
int kvl_table_storage(struct kvl_advisor *a, u32 size);
/* The block's id; @make: a new one if need be. KVLIFT_NO_BLOCK. */
u32 kvl_table_find(struct kvl_advisor *a, u64 region, u64 index, bool make);
void kvl_table_drop(struct kvl_advisor *a, u32 id);
void kvl_table_resident(struct kvl_advisor *a, u32 id, bool resident);
void kvl_table_renew(struct kvl_advisor *a, u32 id);
void kvl_table_set_parent(struct kvl_advisor *a, u32 id, u32 parent);
u32 kvl_table_parent(struct kvl_advisor *a, const struct kvl_entry *e);
void kvl_list_unlink(struct kvl_advisor *a, u32 id);
void kvl_index_unlink(struct kvl_advisor *a, u32 id);

static inline struct kvl_entry *kvl_entry(struct kvl_advisor *a, u32 id)
{
	return &a->segs[id >> KVL_ENTRY_SHIFT][id & (KVL_ENTRY_SEG - 1)];
}

/* What a policy gives as an id: NULL when it is none. */
static inline struct kvl_entry *kvl_entry_checked(struct kvl_advisor *a,
						  u32 id)
{
	struct kvl_entry *e;

	if (unlikely(id >= a->ctx.max_blocks))
		return NULL;
	e = kvl_entry(a, id);
	return likely(e->standing != KVL_FREE) ? e : NULL;
}

static inline struct kvl_advisor *kvl_advisor(struct kvlift_ctx *ctx)
{
	return container_of(ctx, struct kvl_advisor, ctx);
}

/* Memory of a built-in policy's instance. */
void *kvl_advise_state(struct kvlift_ctx *ctx);

/* advise.c: of advise*.c only. */
u32 kvl_advise_capacity(struct kvl_advisor *a);
void kvl_advise_on_event(struct kvl_pool *pool, struct kvl_event *ev);
/* What is left of advice.hints, until (jiffies). True: all of it is told. */
bool kvl_advise_tell_hints(struct kvl_pool *pool, unsigned long until);
void kvl_advise_end_group(struct kvl_advisor *a);
int kvl_advise_ask_victim(struct kvl_advisor *a, u32 id);
int kvl_advise_ask_fetch(struct kvl_advisor *a, u32 id, u32 tier);
u32 kvl_advise_victims(struct kvl_advisor *a, u32 want);
bool kvl_advise_force(struct kvl_advisor *a);
bool kvl_advise_admit(struct kvl_advisor *a, u32 id);
void kvl_advise_remove(struct kvl_advisor *a, u32 id);
void kvl_advise_forget(struct kvl_advisor *a, u32 id);
void kvl_advise_set_out(struct kvl_advisor *a, struct kvl_entry *e, bool out);
u32 kvl_advise_fetch(struct kvl_advisor *a, u32 id);
void kvl_advise_refresh(struct kvl_advisor *a);
void kvl_advise_end_detach(struct kvl_advisor *a);
struct kvl_advisor *kvl_advisor_create(struct kvl_pool *pool,
				       struct kvl_domain *d);
void kvl_advise_take_over(struct kvl_advisor *a);
/* Something is told, or a policy attached: from now on events are noted. */
void kvl_advise_activate(struct kvl_pool *pool, bool told);
void kvl_advise_told(struct kvl_pool *pool);
/* Takes the semaphore; false: it took too long. */
bool kvl_advise_lock(struct kvl_pool *pool);
void kvl_advise_unlock(struct kvl_pool *pool);
/* False: there is more than can be taken in at a time. */
bool kvl_advise_drain(struct kvl_pool *pool);
void kvl_advise_eject(struct kvl_advisor *a, enum kvl_exit kind, int code,
		      const char *text);
bool kvl_advise_bound(struct kvl_advisor *a, const struct kvl_entry *e);
u32 kvl_advise_heat(struct kvl_advisor *a, const struct kvl_entry *e);

/* advise_kfunc.c; a loop as the verifier knows it: words on the stack. */
struct bpf_iter_kvlift_loop {
	u64 opaque[2];
} __aligned(8);

int bpf_iter_kvlift_loop_new(struct bpf_iter_kvlift_loop *it,
			     struct kvlift_ctx *ctx, u32 from, u32 to);
u32 *bpf_iter_kvlift_loop_next(struct bpf_iter_kvlift_loop *it);
void bpf_iter_kvlift_loop_destroy(struct bpf_iter_kvlift_loop *it);
int kvl_kfunc_init(void);

/* hint.c: once, before there is a pool. */
void kvl_advise_init(void);

/* policy_bpf.c */
int kvl_policy_bpf_init(void);
void kvl_policy_bpf_unmount(struct kvl_pool *pool);
void kvl_policy_bpf_mount(struct kvl_pool *pool);
void kvl_policy_eject_work(struct work_struct *work);

/* Those that decide when no other is attached: by parameter builtin=. */
extern const struct kvlift_builtin kvlift_policy_gittins;
extern const struct kvlift_builtin kvlift_policy_lru;

#endif /* KVL_ADVISE_H */
