// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hostile: asks for 0 bytes of storage and has none; the verifier allows one. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(void, nosize_added, struct kvlift_ctx *ctx, u32 id)
{
	u8 *b = kvlift_storage(ctx, id, 0);

	/* It can only be read. */
	if (b && *b)
		kvlift_list_add(ctx, 0, id, KVLIFT_HEAD);
}

KVLIFT_POLICY(nosize, .added = nosize_added);
