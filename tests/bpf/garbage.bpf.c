// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: answers by chance, wherever it may say something. */
#include <kvlift/policy.h>

#define ANY bpf_get_prandom_u32()

KVLIFT_CALLBACK(s32, garbage_admit, struct kvlift_ctx *ctx, u32 id)
{
	return ANY;
}

KVLIFT_CALLBACK(void, garbage_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i;

	kvlift_for(i, ctx, 0, 64)
		kvlift_victim(ctx, ANY);
}

KVLIFT_CALLBACK(void, garbage_accessed, struct kvlift_ctx *ctx, u32 nr)
{
	u8 *b = kvlift_storage(ctx, ANY, 64);

	if (b)
		b[63] = ANY;
	b = kvlift_storage(ctx, ANY % 16, 64);
	if (b)
		b[ANY % 64] = ANY;
	kvlift_batch(ctx, ANY);
	kvlift_chain(ctx, ANY);
	kvlift_weight(ctx, ANY);
	kvlift_list_add(ctx, ANY, ANY, ANY);
	kvlift_list_end(ctx, ANY, ANY);
	kvlift_list_next(ctx, ANY, ANY);
	kvlift_list_len(ctx, ANY);
	kvlift_list_of(ctx, ANY);
	kvlift_index_set(ctx, ANY, ANY);
	kvlift_index_next(ctx, ANY);
	kvlift_index_key(ctx, ANY);
	kvlift_parent(ctx, ANY);
	kvlift_children(ctx, ANY);
	kvlift_depth(ctx, ANY);
	kvlift_bound(ctx, ANY);
	kvlift_heat(ctx, ANY);
}

KVLIFT_CALLBACK(void, garbage_prefetch, struct kvlift_ctx *ctx)
{
	struct kvlift_block_info info;
	u32 i;

	kvlift_info(ctx, ANY, &info);
	kvlift_for(i, ctx, 0, 64)
		kvlift_fetch(ctx, ANY, ANY);
}

KVLIFT_POLICY(garbage, .admit = garbage_admit, .victims = garbage_victims,
	      .accessed = garbage_accessed, .prefetch = garbage_prefetch,
	      .storage_size = 64);
