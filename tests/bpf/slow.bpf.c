// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* LRU, but each answer takes some ten thousand instructions: it is often caught
 * at work. */
#include <kvlift/policy.h>

struct state {
	u64 x;
};

KVLIFT_STATE(struct state);

static __always_inline void burn(struct state *s)
{
	u64 x = s->x;
	u32 i;

	for (i = 0; i < 2000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		asm volatile("" : "+r"(x));
	}
	s->x = x + 1;
}

KVLIFT_CALLBACK(void, slow_added, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_add(ctx, 0, id, KVLIFT_HEAD);
	burn(kvlift_state(ctx));
}

KVLIFT_CALLBACK(void, slow_removed, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_del(ctx, id);
}

KVLIFT_CALLBACK(void, slow_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i, id = kvlift_list_end(ctx, 0, KVLIFT_TAIL), next, given = 0;

	burn(kvlift_state(ctx));
	kvlift_for(i, ctx, 0, kvlift_list_len(ctx, 0)) {
		next = kvlift_list_next(ctx, id, KVLIFT_HEAD);
		if (!kvlift_victim(ctx, id) && ++given == want)
			break;
		id = next;
	}
}

KVLIFT_POLICY(slow, .added = slow_added, .removed = slow_removed,
	      .victims = slow_victims);
