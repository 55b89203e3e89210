// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: a flag that this version does not know. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(void, flags_added, struct kvlift_ctx *ctx, u32 id)
{
}

KVLIFT_POLICY(flags, .added = flags_added, .flags = 1u << 31);
