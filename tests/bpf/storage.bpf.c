// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Refused: more bytes for each block than there are for a policy. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(void, storage_added, struct kvlift_ctx *ctx, u32 id)
{
}

KVLIFT_POLICY(storage, .added = storage_added, .storage_size = 1u << 30);
