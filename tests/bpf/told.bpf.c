// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a policy is told of the last request and its blocks; it decides nothing.
 */
#include <linux/bpf.h>

#include <kvlift/policy.h>

struct state {
	u64 requests;
	u64 told; /* of them, by an engine */
	u64 session;
	u64 now_ns;
	u64 hints;
	u64 gpu; /* blocks that are said to be in a tier that is not there */
	u64 nowhere;
	u32 ms;
	u32 len;
	u32 depth; /* of the last block of the chain */
};

KVLIFT_STATE(struct state);

static __always_inline void look(struct kvlift_ctx *ctx, u32 id)
{
	struct state *s = kvlift_state(ctx);
	struct kvlift_block_info info;

	if (kvlift_info(ctx, id, &info))
		return;
	if (info.tier == KVLIFT_TIER_GPU)
		s->gpu++;
	else if (info.tier >= KVLIFT_NR_TIERS)
		s->nowhere++;
}

KVLIFT_CALLBACK(void, told_request, struct kvlift_ctx *ctx)
{
	struct state *s = kvlift_state(ctx);
	u32 i, id;

	s->requests++;
	kvlift_for(i, ctx, 0, ctx->len) {
		look(ctx, kvlift_chain(ctx, i));
	}
	if (!(ctx->flags & KVLIFT_CTX_TOLD))
		return;
	id = kvlift_chain(ctx, ctx->len - 1);
	s->told++;
	s->session = ctx->session;
	s->now_ns = ctx->now_ns;
	s->len = ctx->len;
	s->depth = kvlift_depth(ctx, id);
}

KVLIFT_CALLBACK(void, told_hint, struct kvlift_ctx *ctx, u32 ms)
{
	struct state *s = kvlift_state(ctx);

	s->hints++;
	s->ms = ms;
}

KVLIFT_POLICY(told, .request = told_request, .hint = told_hint);
