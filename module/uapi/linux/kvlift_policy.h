/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_KVLIFT_POLICY_H
#define _UAPI_LINUX_KVLIFT_POLICY_H

#include <linux/kvlift.h>

/*
 * Policies: what the callbacks of a struct kvlift_policy_ops see (0.1). Written
 * against with bpf/include/kvlift/policy.h.
 */
#define KVLIFT_POLICY_NAME	16u	/* bytes, with the NUL */
#define KVLIFT_POLICY_BATCH	64u	/* most ids of one call of accessed() */
#define KVLIFT_POLICY_LISTS	8u
#define KVLIFT_POLICY_STORAGE	64u	/* most bytes a policy keeps per block */
#define KVLIFT_NO_BLOCK		0xffffffffu
#define KVLIFT_NO_LIST		0xffffffffu
#define KVLIFT_OVER		0xffffffffu /* hint(): the session is over */

/* Flags of a policy: what is resident is closed under "parent of". */
#define KVLIFT_POLICY_PREFIX	(1u << 0)

/* Ends of a list; and directions: towards that end. */
#define KVLIFT_HEAD		0u
#define KVLIFT_TAIL		1u

/* What admit() returns, or the tier below where the block should be. */
#define KVLIFT_KEEP		0
#define KVLIFT_BYPASS		(-1)

/**
 * struct kvlift_ctx - what a policy sees of its pool; read only
 * @now_ns:	CLOCK_MONOTONIC of what is being told, ns, and by how much replays
 *		of traces were faster than it
 * @capacity:	blocks that may be resident
 * @resident:	blocks that are
 * @max_blocks:	ids are below this
 * @block_shift: log2 of the bytes of a block
 * @nr:		number of the running request, from 0
 * @session:	of the running request, 0: not told. Without KVLIFT_CTX_TOLD the
 *		region whose blocks were used together
 * @len:	blocks in its chain (kvlift_chain())
 * @whole:	of them, full ones
 * @cached:	how many were resident before the first that was not
 * @flags:	KVLIFT_CTX_*
 * @pool:	number of the pool
 */
/* The request was told, with its chain. Else: blocks that were used together. */
#define KVLIFT_CTX_TOLD		(1u << 0)
struct kvlift_ctx {
	__u64 now_ns;
	__u32 capacity;
	__u32 resident;
	__u32 max_blocks;
	__u32 block_shift;
	__u64 nr;
	__u64 session;
	__u32 len;
	__u32 whole;
	__u32 cached;
	__u32 flags;
	__u32 pool;
	__u32 pad;
};

/**
 * struct kvlift_block_info - a block (kvlift_info())
 * @region:	region id
 * @index:	block of the region
 * @session:	that used it last, as in struct kvlift_ctx
 * @heat:	decayed touches
 * @parent:	id, or KVLIFT_NO_BLOCK
 * @depth:	blocks before it in its chain
 * @children:	resident blocks whose parent it is
 * @tier:	where it is now, KVLIFT_NR_TIERS: nowhere
 * @prio:	as told, 0 is normal
 * @resident:	1 or 0
 * @use_ms:	expected to be used in so many ms from now, 0: not told
 */
struct kvlift_block_info {
	__u64 region;
	__u64 index;
	__u64 session;
	__u32 heat;
	__u32 parent;
	__u32 depth;
	__u32 children;
	__u32 tier;
	__s32 prio;
	__u32 resident;
	__u32 use_ms;
};

/**
 * struct kvlift_policy_ops - a policy; every callback may be NULL
 *
 * As BPF struct_ops, as built in, and in the simulator. What each callback is for
 * and the order they come in: bpf/include/kvlift/policy.h.
 *
 * @domain:	id of a directory that is a domain, 0 for the whole pool
 * @pool:	number of the pool
 * @flags:	KVLIFT_POLICY_*
 * @storage_size: bytes per block, at most KVLIFT_POLICY_STORAGE
 * @name:	for status
 */
struct kvlift_policy_ops {
	__s32 (*attach)(struct kvlift_ctx *ctx);
	void (*detach)(struct kvlift_ctx *ctx);
	void (*request)(struct kvlift_ctx *ctx);
	void (*accessed)(struct kvlift_ctx *ctx, __u32 nr);
	__s32 (*admit)(struct kvlift_ctx *ctx, __u32 id);
	void (*victims)(struct kvlift_ctx *ctx, __u32 want);
	void (*added)(struct kvlift_ctx *ctx, __u32 id);
	void (*removed)(struct kvlift_ctx *ctx, __u32 id);
	void (*moved)(struct kvlift_ctx *ctx, __u32 id, __u32 from, __u32 to);
	void (*forget)(struct kvlift_ctx *ctx, __u32 id);
	void (*prefetch)(struct kvlift_ctx *ctx);
	void (*hint)(struct kvlift_ctx *ctx, __u32 ms);
	void (*tick)(struct kvlift_ctx *ctx);
	__u64 domain;
	__u32 pool;
	__u32 flags;
	__u32 storage_size;
	char name[KVLIFT_POLICY_NAME];
};

#endif /* _UAPI_LINUX_KVLIFT_POLICY_H */
