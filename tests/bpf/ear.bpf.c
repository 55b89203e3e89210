// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Believes what it hears: what a session asks for that is over is not kept. */
#include <kvlift/policy.h>

#define EAR_SESSIONS 64

struct state {
	u32 nr;
	u64 over[EAR_SESSIONS];
};

KVLIFT_STATE(struct state);

KVLIFT_CALLBACK(void, ear_hint, struct kvlift_ctx *ctx, u32 ms)
{
	struct state *s = kvlift_state(ctx);

	if (ms == KVLIFT_OVER)
		*kvlift_at(s->over, s->nr++ % EAR_SESSIONS) = ctx->session;
}

KVLIFT_CALLBACK(s32, ear_admit, struct kvlift_ctx *ctx, u32 id)
{
	struct state *s = kvlift_state(ctx);
	u32 i;

	for (i = 0; i < EAR_SESSIONS; i++)
		if (ctx->session && s->over[i] == ctx->session)
			return KVLIFT_BYPASS;
	return KVLIFT_KEEP;
}

KVLIFT_POLICY(ear, .hint = ear_hint, .admit = ear_admit);
