// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: up to 8 million rounds, which can be nested. */
#include <kvlift/policy.h>

static long round(u32 i, void *arg)
{
	return 0;
}

KVLIFT_CALLBACK(void, bpf_loop_victims, struct kvlift_ctx *ctx, u32 want)
{
	bpf_loop(1 << 23, round, NULL, 0);
}

KVLIFT_POLICY(bpf_loop_, .victims = bpf_loop_victims);
