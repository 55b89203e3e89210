// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: never names a victim. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(void, none_victims, struct kvlift_ctx *ctx, u32 want)
{
}

KVLIFT_POLICY(none, .victims = none_victims);
