/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The callbacks of a policy, as BPF struct_ops and as built in. What each is
 * for and the order they come in: bpf/include/kvlift/policy.h.
 */
#ifndef KVL_POLICY_OPS_H
#define KVL_POLICY_OPS_H

#include <linux/kvlift_policy.h>
#include <linux/types.h>

/**
 * struct kvlift_policy_ops - a policy; every callback may be NULL
 * @domain:	id of a directory that is a domain, 0 for the whole pool
 * @pool:	number of the pool
 * @flags:	KVLIFT_POLICY_*
 * @storage_size: bytes per block, at most KVLIFT_POLICY_STORAGE
 * @name:	for status
 */
struct kvlift_policy_ops {
	s32 (*attach)(struct kvlift_ctx *ctx);
	void (*detach)(struct kvlift_ctx *ctx);
	void (*request)(struct kvlift_ctx *ctx);
	void (*accessed)(struct kvlift_ctx *ctx, u32 nr);
	s32 (*admit)(struct kvlift_ctx *ctx, u32 id);
	void (*victims)(struct kvlift_ctx *ctx, u32 want);
	void (*added)(struct kvlift_ctx *ctx, u32 id);
	void (*removed)(struct kvlift_ctx *ctx, u32 id);
	void (*moved)(struct kvlift_ctx *ctx, u32 id, u32 from, u32 to);
	void (*forget)(struct kvlift_ctx *ctx, u32 id);
	void (*prefetch)(struct kvlift_ctx *ctx);
	void (*hint)(struct kvlift_ctx *ctx, u32 ms);
	void (*tick)(struct kvlift_ctx *ctx);
	u64 domain;
	u32 pool;
	u32 flags;
	u32 storage_size;
	char name[KVLIFT_POLICY_NAME];
};

/**
 * struct kvlift_builtin - a policy of the module
 * @ops:	its callbacks
 * @state_size:	bytes of an instance (kvl_advise_state()); NULL: none
 */
struct kvlift_builtin {
	struct kvlift_policy_ops ops;
	const u32 *state_size;
};

#endif /* KVL_POLICY_OPS_H */
