/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The simulator: a trace against one cache under a policy. The policy's side
 * is what a BPF policy has in the kernel: callbacks, ids, lists and an ordered
 * index that are kept for it, and storage per block of its own.
 */
#ifndef TOOL_SIM_H
#define TOOL_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"

#define SIM_NONE   UINT32_MAX /* no block */
#define SIM_KEEP   0	      /* admit: into the cache */
#define SIM_BYPASS (-1)	      /* admit: not worth keeping */
#define SIM_BATCH  64u	      /* most ids of one call */
#define SIM_OVER   UINT32_MAX /* hint: the session is over */

/* Time between two calls of tick, on the clock of the trace. */
#define SIM_TICK_NS 1000000000ULL

enum sim_mode {
	/*
	 * Each reference by itself: what one misses is filled at once, and may
	 * push out any other block.
	 */
	SIM_PER_BLOCK = 1,
	/*
	 * A request looks up its longest cached prefix at arrival and then adds
	 * the rest, head first. The cache stays closed under "parent of": only
	 * a block with no cached child goes, and none of the running request.
	 */
	SIM_ATOMIC = 2,
};

/* What is known of a request while it runs. */
struct sim_request {
	uint64_t nr;
	uint64_t time_ns; /* of arrival */
	uint64_t input_length;
	uint32_t session, turn, agent; /* or TRACE_UNKNOWN */
	const uint32_t *chain;	       /* its blocks in prefix order */
	uint32_t len;
	uint32_t cached; /* length of the cached prefix at arrival */
};

struct sim;
struct kvlift_builtin;

/*
 * A policy. Callbacks may be missing, all but victims. A block is cached
 * between added and removed; its storage and its place in a list or the index
 * outlive that, so that a policy can remember what it evicted.
 */
struct sim_policy {
	const char *name;
	const char *summary;
	unsigned int modes; /* what it can be run in */
	enum sim_mode mode; /* if none is asked for */
	bool offline;	    /* sees the whole trace: sim.future */
	size_t priv_size;   /* sim.priv, zeroed */
	size_t block_size;  /* storage of a block, zeroed */

	int (*attach)(struct sim *s); /* 0 or -errno */
	void (*detach)(struct sim *s);
	void (*request_begin)(struct sim *s);
	void (*request_end)(struct sim *s);
	/* These were hit, in this order. Told before any other callback. */
	void (*accessed)(struct sim *s, const uint32_t *ids, uint32_t nr);
	/*
	 * Keep this block, which missed? SIM_KEEP or SIM_BYPASS; in atomic
	 * mode the rest of the chain is then not asked for.
	 */
	int (*admit)(struct sim *s, uint32_t id);
	/*
	 * Up to want blocks to evict, the least worthy first. After fewer it is
	 * called again; none means that nothing more can go.
	 */
	uint32_t (*victims)(struct sim *s, uint32_t *ids, uint32_t want);
	void (*added)(struct sim *s, uint32_t id);
	void (*removed)(struct sim *s, uint32_t id);
	/* A second of the trace or more went by. */
	void (*tick)(struct sim *s);
	/*
	 * What the engine thinks, after request_end: ms until the session of
	 * this request comes back, or SIM_OVER. It may be wrong.
	 */
	void (*hint)(struct sim *s, uint32_t ms);
	/* One of bpf/, which the callbacks above stand for: sim_policy.c. */
	const struct kvlift_builtin *builtin;
};

/* What is kept for each block. */
struct sim_block {
	uint32_t parent, depth;
	uint32_t children; /* cached ones */
	uint32_t user;	   /* the last request with it, from 1, cut off */
	bool cached, seen;
};

struct sim_entry {
	uint64_t key;
	uint32_t id;
};

/* A block's place in the index. */
struct sim_node {
	uint64_t key, turn; /* when it was set, from 1; 0: not there */
	uint32_t up, child[2];
};

/* The neighbours of each block in the list that it is in. */
struct sim_links {
	uint32_t prev, next;
};

struct sim {
	const struct sim_policy *policy;
	enum sim_mode mode;
	void *priv;
	uint32_t capacity, nr_cached; /* blocks */
	uint32_t nr_blocks;	      /* ids are below this */
	uint64_t now_ns;
	struct sim_request request; /* the running one */
	const struct trace *future; /* NULL but for an offline policy */
	/* private */
	struct sim_block *blocks;
	struct sim_links *links;
	char *storage;
	struct sim_node *index;
	uint32_t root; /* of the index */
	uint64_t turn;
};

static inline void *sim_storage(const struct sim *s, uint32_t id)
{
	return s->storage + (size_t)id * s->policy->block_size;
}

static inline bool sim_cached(const struct sim *s, uint32_t id)
{
	return s->blocks[id].cached;
}

/* The block before it in its chain, or SIM_NONE. */
static inline uint32_t sim_parent(const struct sim *s, uint32_t id)
{
	return s->blocks[id].parent;
}

/* Number of blocks before it in its chain. */
static inline uint32_t sim_depth(const struct sim *s, uint32_t id)
{
	return s->blocks[id].depth;
}

/* How many cached blocks have it as parent. */
static inline uint32_t sim_children(const struct sim *s, uint32_t id)
{
	return s->blocks[id].children;
}

/* NULL when it may be a victim now, else why not. */
const char *sim_bound(const struct sim *s, uint32_t id);

/* A branch of a session as one number; 0 when no session is told. */
uint32_t sim_branch(uint32_t session, uint32_t agent);
/* A time of the trace. */
uint64_t sim_time_ns(double ms);
/* Of a request with that many blocks of 512 tokens those that are full. */
uint32_t sim_whole_blocks(uint64_t input_length, uint32_t len);

/* A list of blocks; a block is in one list at the most. */
struct sim_list {
	uint32_t head, tail, len;
};

void sim_list_init(struct sim_list *l);
void sim_list_add(struct sim *s, struct sim_list *l, uint32_t id); /* head */
void sim_list_del(struct sim *s, struct sim_list *l, uint32_t id);
/* The same for lists with links of their own. */
void sim_link(struct sim_links *all, struct sim_list *l, uint32_t id);
void sim_unlink(struct sim_links *all, struct sim_list *l, uint32_t id);
/* Copies up to want ids from the tail on, which stay where they are. */
uint32_t sim_list_oldest(const struct sim *s, const struct sim_list *l,
			 uint32_t *ids, uint32_t want);

/* Callbacks of a policy with one list, sim.priv, of all that is cached. */
int sim_queue_attach(struct sim *s);
void sim_queue_added(struct sim *s, uint32_t id);
uint32_t sim_queue_victims(struct sim *s, uint32_t *ids, uint32_t want);
void sim_queue_removed(struct sim *s, uint32_t id);

/*
 * The index: blocks by a key, the smallest first, equal ones in the order in
 * which they were set.
 */
void sim_index_set(struct sim *s, uint32_t id, uint64_t key);
void sim_index_del(struct sim *s, uint32_t id); /* may be absent */
bool sim_index_first(const struct sim *s, struct sim_entry *e);
/* The one behind it, or SIM_NONE. */
uint32_t sim_index_next(const struct sim *s, uint32_t id);

static inline bool sim_indexed(const struct sim *s, uint32_t id)
{
	return s->index[id + 1].turn != 0;
}

#define SIM_DRAM      0u /* the policy's cache */
#define SIM_MAX_TIERS 3u
#define SIM_ABSENT    SIM_MAX_TIERS /* in none of them */
#define SIM_UNLIMITED UINT32_MAX

/* For runs with more than one tier, see sim_tiers.h. */
struct sim_tier {
	const char *name;
	bool is_device; /* the last one, if any */
	uint32_t blocks;
};

struct sim_tiers_setup {
	unsigned int nr; /* with the cache, whose blocks are not looked at */
	struct sim_tier tier[SIM_MAX_TIERS];
	/* What is written gets its copy on the device at once. */
	bool is_stored_ahead;
};

struct sim_traffic {
	/* References by where the block was. */
	uint64_t hits[SIM_MAX_TIERS + 1];
	/*
	 * By the slowest tier among the block and all before it in the request:
	 * the first is the prefix hits of the cache.
	 */
	uint64_t prefix[SIM_MAX_TIERS + 1];
	/*
	 * Blocks that went from one to another, and those of them whose bytes
	 * did. From SIM_ABSENT: written by the engine; to it: out of the pool.
	 */
	uint64_t moved[SIM_MAX_TIERS + 1][SIM_MAX_TIERS + 1];
	uint64_t copied[SIM_MAX_TIERS + 1][SIM_MAX_TIERS + 1];
	uint64_t stored_ahead;
	uint64_t copies_dropped;	      /* to make room on the device */
	uint32_t used[SIM_MAX_TIERS], copies; /* blocks at the end */
};

struct sim_result {
	uint64_t requests, refs;
	uint64_t block_hits;  /* the block was there */
	uint64_t prefix_hits; /* so were all before it in the request */
	uint64_t fills, evictions;
	uint64_t bypassed; /* misses that were not kept */
	uint64_t cpu_ns;
	struct sim_traffic traffic; /* zeroes where there is one tier */
};

/* One file each: sim_NAME.c, or bpf/NAME.bpf.c by way of sim_policy.c. */
extern const struct sim_policy sim_lru, sim_fifo, sim_s3fifo, sim_arc, sim_lfu;
extern const struct sim_policy sim_leaf, sim_prefix, sim_gittins, sim_opt,
	sim_simple;

#define SIM_MAX_POLICIES 32u

/* All of them, in the order in which they are reported; ends with NULL. */
extern const struct sim_policy *const *const sim_policies;
const struct sim_policy *sim_find(const char *name, size_t len);
/*
 * One more, which is not copied. 0; -EEXIST: there is one of that name;
 * -ENOSPC: there are SIM_MAX_POLICIES; -EINVAL: no name, no victims, or it
 * cannot be run in its own mode.
 */
int sim_register(const struct sim_policy *policy);

struct sim_setup {
	enum sim_mode mode;
	uint32_t capacity;     /* blocks */
	uint32_t batch;	       /* victims asked for when it is full; 0 is 1 */
	const uint32_t *hints; /* of each request; or NULL */
	const struct sim_tiers_setup *tiers; /* NULL: the cache alone */
	bool is_checked; /* look at all blocks after each request: slow */
};

enum sim_hints {
	SIM_HINTS_NONE,
	SIM_HINTS_TRUE, /* with an error */
	SIM_HINTS_RANDOM,
	SIM_HINTS_SHUFFLED, /* true ones of any request */
};

/* A hint for each request; NULL: no memory. */
uint32_t *sim_make_hints(const struct trace *t, enum sim_hints kind);

/*
 * Run a trace against a cache. step, when there, is called after each request
 * with the references so far. 0 or -errno; what a policy did wrong is printed.
 */
int sim_run(const struct trace *t, const struct sim_policy *policy,
	    const struct sim_setup *setup, struct sim_result *r,
	    void (*step)(void *arg, uint64_t refs), void *arg);

#endif
