/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Load or recompute: which blocks of a prefix to load, from where and in what
 * order, and which to compute again, so that all of it is ready soonest.
 * Included by kvlift.h. Everything here is in since 0.1.
 *
 * The model. A block is ready all at once: when all of its layers are there.
 * Each server (a device, a node) sends one block after the other; servers, and
 * the one computer, work at the same time, each as soon as it can:
 *
 *	the k-th block from a server is there at latency + k * block_ns
 *	recomputing block i takes block_ns + i * attn_ps / 1000, and starts when
 *	  all blocks before it are ready: attention reads them
 *	an activation block arrives as a block does, after act_ns in place of
 *	  block_ns, and is projected in project_ns; it needs no other block
 *
 * A plan mixes two of the three: it loads and recomputes, or loads and projects,
 * or recomputes and projects and loads only what has no smaller activations;
 * whichever is ready soonest. With one server a third gains a block at most.
 *
 * Times are integers. Of the first two kinds a plan is an optimum, exactly; of
 * the third it is the best that recomputes first blocks of each server and
 * computes in the order of the prefix. Engines that start on a layer while
 * others are on their way are ready sooner than it says, with any plan.
 */
#ifndef KVLIFT_PLAN_H
#define KVLIFT_PLAN_H

#include <stdint.h>

#include <linux/kvlift.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kvlift_pool;
struct kvlift_region;

/* In place of a time: this cannot be done, or is not known. */
#define KVLIFT_PLAN_NEVER UINT64_MAX
/* Any other time in a model: at most this, 73 minutes. */
#define KVLIFT_PLAN_TIME_MAX (1ULL << 42)
/* Blocks of a prefix, with those before it. */
#define KVLIFT_PLAN_BLOCKS_MAX (1ULL << 20)

/* One server for each member of each tier. */
#define KVLIFT_PLAN_SERVERS (KVLIFT_NR_TIERS * KVLIFT_MAX_MEMBERS)
#define kvlift_plan_server_of(tier, member) \
	((uint8_t)((tier)*KVLIFT_MAX_MEMBERS + (member)))

/**
 * struct kvlift_plan_server - where blocks come from
 * @latency_ns:	until the first byte, once: later requests are in the queue
 * @block_ns:	for a block, or KVLIFT_PLAN_NEVER
 * @act_ns:	for the activations of a block, or KVLIFT_PLAN_NEVER
 */
struct kvlift_plan_server {
	uint64_t latency_ns;
	uint64_t block_ns;
	uint64_t act_ns;
};

/**
 * struct kvlift_plan_model - what the plan is made from
 * @compute_ns:	to recompute a block, without attention to the blocks before
 *		it; KVLIFT_PLAN_NEVER: blocks cannot be recomputed
 * @attn_ps:	what each block before it adds, picoseconds
 * @project_ns:	to make a block from its activations; KVLIFT_PLAN_NEVER
 * @first:	blocks of the sequence before the first of the plan; ready
 * @servers:	by kvlift_plan_server_of(), or as the caller likes
 * @nr_servers:	how many, at most KVLIFT_PLAN_SERVERS
 * @flags:	zero
 * @reserved:	zero
 */
struct kvlift_plan_model {
	uint64_t compute_ns;
	uint64_t attn_ps;
	uint64_t project_ns;
	uint64_t first;
	const struct kvlift_plan_server *servers;
	uint32_t nr_servers;
	uint32_t flags;
	uint64_t reserved[4];
};

/* What there is of a block. */
#define KVLIFT_PLAN_READY (1u << 0) /* it is where it is used; no more to do */
#define KVLIFT_PLAN_KV	  (1u << 1) /* its server has it */
#define KVLIFT_PLAN_ACT	  (1u << 2) /* its server has its activations */

/* What to do with it. */
enum kvlift_plan_source {
	KVLIFT_PLAN_FROM_NOTHING = 0, /* it is ready */
	KVLIFT_PLAN_FROM_KV = 1,      /* load it */
	KVLIFT_PLAN_FROM_ACT = 2,     /* load its activations, project them */
	KVLIFT_PLAN_FROM_TOKENS = 3,  /* recompute it */
};

/**
 * struct kvlift_plan_block - a block of the prefix
 * @server:	in: number of its server; counts with _KV or _ACT
 * @have:	in: KVLIFT_PLAN_READY, _KV, _ACT; 0: it must be recomputed
 * @source:	out: enum kvlift_plan_source
 * @pad:	zero
 * @order:	out: its turn among what its server sends, from 0; for
 *		KVLIFT_PLAN_FROM_TOKENS among what is computed
 * @ready_ns:	out: when it is ready
 */
struct kvlift_plan_block {
	uint8_t server;
	uint8_t have;
	uint8_t source;
	uint8_t pad;
	uint32_t order;
	uint64_t ready_ns;
};

/* Recomputing, with whatever is loaded, is no sooner than loading alone. */
#define KVLIFT_PLAN_RECOMPUTE_USELESS (1u << 0)
/*
 * Activations make nothing sooner. It is always so where they are not smaller
 * than the blocks: with grouped-query attention, when the hidden size is not
 * below twice the size of all KV heads.
 */
#define KVLIFT_PLAN_ACT_USELESS (1u << 1)

/**
 * struct kvlift_plan - the outcome
 * @total_ns:	all blocks are ready
 * @load_ns:	the same if all were loaded
 * @recompute_ns: if all that is not ready were recomputed
 * @mixed_ns:	at best, loading and recomputing
 * @act_ns:	at best, loading and projecting
 * @both_ns:	at best, recomputing and projecting
 * @nr_ready:	blocks that were ready
 * @nr_load:	blocks to load
 * @nr_act:	blocks to make from activations
 * @nr_recompute: blocks to recompute
 * @flags:	KVLIFT_PLAN_RECOMPUTE_USELESS, KVLIFT_PLAN_ACT_USELESS
 * @pad:	zero
 * @reserved:	zero
 *
 * KVLIFT_PLAN_NEVER for what cannot be done. A plan computes no more than it
 * has to; of equal plans one without activations is taken.
 */
struct kvlift_plan {
	uint64_t total_ns;
	uint64_t load_ns;
	uint64_t recompute_ns;
	uint64_t mixed_ns;
	uint64_t act_ns;
	uint64_t both_ns;
	uint64_t nr_ready;
	uint64_t nr_load;
	uint64_t nr_act;
	uint64_t nr_recompute;
	uint32_t flags;
	uint32_t pad;
	uint64_t reserved[3];
};

/**
 * kvlift_plan_make() - make a plan
 * @model:	speeds
 * @blocks:	the prefix, first block first; in and out
 * @count:	its blocks
 * @plan:	out: the outcome
 *
 * Takes O(count * log(time)) steps, about 80 passes over @blocks, and neither
 * allocates nor calls the kernel.
 *
 * Return: 0; -EINVAL: a server that does not exist, an unknown bit, or none; a
 * time that is too long; -E2BIG: more than KVLIFT_PLAN_BLOCKS_MAX; -ENODATA:
 * there is no plan: a block can be had from nowhere.
 */
int kvlift_plan_make(const struct kvlift_plan_model *model,
		     struct kvlift_plan_block *blocks, uint64_t count,
		     struct kvlift_plan *plan);

/**
 * kvlift_plan_servers() - what a pool has measured of its members
 * @pool:	the pool
 * @act_bytes:	of the activations of a block; 0: there are none
 * @servers:	out: KVLIFT_PLAN_SERVERS of them
 *
 * Reads sysfs: memory is measured after the mount, devices by what was read
 * from them. Of what was not measured yet the times are KVLIFT_PLAN_NEVER.
 *
 * Return: number of members that were measured; -ENOENT: no sysfs here; or
 * another negative errno.
 */
int kvlift_plan_servers(const struct kvlift_pool *pool, uint64_t act_bytes,
			struct kvlift_plan_server *servers);

/**
 * kvlift_plan_where() - where the blocks of a region are
 * @region:	the region
 * @first:	first block
 * @count:	number of blocks
 * @usable:	slowest tier that counts as ready: KVLIFT_TIER_GPU: nothing
 *		below GPU memory; KVLIFT_TIER_DRAM: as a program on CPUs uses it
 * @blocks:	out: @count entries, for kvlift_plan_make()
 *
 * Holes, and blocks with an error, have to be recomputed.
 *
 * Return: number of entries, fewer than @count where the file ends earlier; or
 * as kvlift_where().
 */
int64_t kvlift_plan_where(const struct kvlift_region *region, uint64_t first,
			  uint64_t count, unsigned int usable,
			  struct kvlift_plan_block *blocks);

#ifdef __cplusplus
}
#endif
#endif /* KVLIFT_PLAN_H */
