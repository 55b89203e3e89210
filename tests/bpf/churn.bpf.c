// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hostile: changes lists and index under its own walks, takes blocks out that
 * are walked over, and forgets nothing.
 */
#include <kvlift/policy.h>

#define ANY bpf_get_prandom_u32()

static __always_inline void shuffle(struct kvlift_ctx *ctx)
{
	u32 i, id = kvlift_list_end(ctx, 0, KVLIFT_HEAD);

	kvlift_for(i, ctx, 0, 64) {
		kvlift_list_add(ctx, ANY % KVLIFT_POLICY_LISTS, id, ANY % 2);
		kvlift_index_set(ctx, id, ANY % 4);
		id = kvlift_list_next(ctx, id, ANY % 2);
		if (ANY % 4 == 0)
			kvlift_list_del(ctx, id);
		if (ANY % 4 == 0)
			kvlift_index_del(ctx, kvlift_index_first(ctx));
		id = ANY % 2 ? kvlift_index_next(ctx, id)
			     : ANY % ctx->max_blocks;
	}
}

KVLIFT_CALLBACK(void, churn_added, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_add(ctx, ANY % KVLIFT_POLICY_LISTS, id, KVLIFT_HEAD);
	kvlift_index_set(ctx, id, ~0ull);
	shuffle(ctx);
}

KVLIFT_CALLBACK(void, churn_removed, struct kvlift_ctx *ctx, u32 id)
{
	shuffle(ctx);
}

KVLIFT_CALLBACK(void, churn_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i, id, list, given = 0;

	shuffle(ctx);
	kvlift_for(i, ctx, 0, 4096) {
		list = ANY % KVLIFT_POLICY_LISTS;
		id = kvlift_list_end(ctx, list, KVLIFT_TAIL);
		if (id == KVLIFT_NO_BLOCK)
			continue;
		kvlift_list_add(ctx, list, id, KVLIFT_HEAD);
		if (!kvlift_victim(ctx, id) && ++given == want)
			break;
	}
}

KVLIFT_CALLBACK(void, churn_forget, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_add(ctx, 0, id, KVLIFT_HEAD);
	kvlift_index_set(ctx, id, 0);
}

KVLIFT_POLICY(churn, .added = churn_added, .removed = churn_removed,
	      .victims = churn_victims, .forget = churn_forget);
