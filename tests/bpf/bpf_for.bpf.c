// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: the kernel's numbers iterator, whose rounds nobody counts. */
#include <kvlift/policy.h>

struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));

KVLIFT_CALLBACK(void, bpf_for_victims, struct kvlift_ctx *ctx, u32 want)
{
	int i;

	bpf_for(i, 0, 1 << 30) kvlift_victim(ctx, i);
}

KVLIFT_POLICY(bpf_for_, .victims = bpf_for_victims);
