// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: names one block for ever, and others only while it has to learn one.
 */
#include <kvlift/policy.h>

struct state {
	u32 id;
	u32 known;
};

KVLIFT_STATE(struct state);

KVLIFT_CALLBACK(void, same_added, struct kvlift_ctx *ctx, u32 id)
{
	struct state *s = kvlift_state(ctx);

	if (!s->known)
		s->id = id;
	s->known = 1;
}

KVLIFT_CALLBACK(void, same_victims, struct kvlift_ctx *ctx, u32 want)
{
	struct state *s = kvlift_state(ctx);
	u32 i;

	kvlift_for(i, ctx, 0, 64)
		kvlift_victim(ctx, s->id);
}

KVLIFT_POLICY(same, .added = same_added, .victims = same_victims);
