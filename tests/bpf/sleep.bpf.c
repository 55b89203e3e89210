// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: a callback that may sleep. */
#include <kvlift/policy.h>

SEC("struct_ops.s/sleep_victims") void sleep_victims(u64 *args)
{
}

KVLIFT_POLICY(sleep, .victims = (void *)sleep_victims);
