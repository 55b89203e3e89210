// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hostile: ids that are no blocks of this pool, just above the last one and far
 * above; and answers at times when nobody asked.
 */
#include <kvlift/policy.h>

static __always_inline void push(struct kvlift_ctx *ctx)
{
	u32 i;

	kvlift_for(i, ctx, 0, 32) {
		kvlift_victim(ctx, ctx->max_blocks + i);
		kvlift_victim(ctx, KVLIFT_NO_BLOCK - i);
		kvlift_list_add(ctx, 0, ctx->max_blocks + i, KVLIFT_HEAD);
		kvlift_index_set(ctx, ctx->max_blocks + i, i);
	}
}

KVLIFT_CALLBACK(void, foreign_victims, struct kvlift_ctx *ctx, u32 want)
{
	push(ctx);
}

KVLIFT_CALLBACK(void, foreign_added, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_victim(ctx, id);
	kvlift_fetch(ctx, id, KVLIFT_TIER_DRAM);
}

KVLIFT_CALLBACK(void, foreign_prefetch, struct kvlift_ctx *ctx)
{
	u32 i;

	kvlift_for(i, ctx, 0, 64)
		kvlift_fetch(ctx, ctx->max_blocks + i, KVLIFT_TIER_DRAM);
}

KVLIFT_POLICY(foreign, .victims = foreign_victims, .added = foreign_added,
	      .prefetch = foreign_prefetch);
