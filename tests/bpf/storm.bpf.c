// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: keeps nothing, and asks for all of it to come back. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(s32, storm_admit, struct kvlift_ctx *ctx, u32 id)
{
	return KVLIFT_BYPASS;
}

KVLIFT_CALLBACK(void, storm_prefetch, struct kvlift_ctx *ctx)
{
	u32 i;

	kvlift_for(i, ctx, 0, ctx->max_blocks)
		kvlift_fetch(ctx, i, KVLIFT_TIER_DRAM);
}

KVLIFT_CALLBACK(void, storm_tick, struct kvlift_ctx *ctx)
{
	u32 i;

	kvlift_for(i, ctx, 0, ctx->max_blocks)
		kvlift_fetch(ctx, i, KVLIFT_TIER_DRAM);
}

KVLIFT_POLICY(storm, .admit = storm_admit, .prefetch = storm_prefetch,
	      .tick = storm_tick);
