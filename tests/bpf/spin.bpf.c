// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hostile: as many instructions as the verifier lets pass, and that in each
 * round of a loop which it looks at only once.
 */
#include <kvlift/policy.h>

struct state {
	u64 x;
};

KVLIFT_STATE(struct state);

/* The verifier goes through the loop around it three times or so. */
static __always_inline void burn(struct state *s)
{
	u64 x = s->x;
	u32 i;

	for (i = 0; i < 24000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		asm volatile("" : "+r"(x));
	}
	s->x = x + 1;
}

KVLIFT_CALLBACK(void, spin_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i;

	kvlift_for(i, ctx, 0, 1u << 18)
		burn(kvlift_state(ctx));
}

KVLIFT_POLICY(spin, .victims = spin_victims);
