// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: loops in loops, each as long as a number can say. */
#include <kvlift/policy.h>

#define ALL 0xffffffffu

struct state {
	u64 rounds;
};

KVLIFT_STATE(struct state);

KVLIFT_CALLBACK(void, nest_added, struct kvlift_ctx *ctx, u32 id)
{
	struct state *s = kvlift_state(ctx);
	u32 i, j, k;

	kvlift_for(i, ctx, 0, ALL)
		kvlift_for(j, ctx, 0, ALL)
			kvlift_for(k, ctx, 0, ALL)
				s->rounds++;
}

KVLIFT_POLICY(nest, .added = nest_added);
