// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The first example: a queue in which what was used is given a second chance.
 * docs/policies.md says how to load it, and how to try it on a trace.
 */
#include <kvlift/policy.h>

#define QUEUE 0u /* a list: the module keeps some for a policy */

/* And some bytes for each block, zero at first. */
struct block {
	u8 used;
};

/* These blocks were used; they are resident. */
KVLIFT_CALLBACK(void, simple_accessed, struct kvlift_ctx *ctx, u32 nr)
{
	u32 i;

	kvlift_for(i, ctx, 0, nr) {
		u32 id = kvlift_batch(ctx, i);
		struct block *b = kvlift_storage(ctx, id, sizeof(*b));

		if (b)
			b->used = 1;
	}
}

/* This block has come to the fastest memory. */
KVLIFT_CALLBACK(void, simple_added, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_add(ctx, QUEUE, id, KVLIFT_HEAD);
}

/* There is no room: name blocks that can go, the least worthy first. */
KVLIFT_CALLBACK(void, simple_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i, id, given = 0;
	struct block *b;

	kvlift_for(i, ctx, 0, 2 * kvlift_list_len(ctx, QUEUE)) {
		id = kvlift_list_end(ctx, QUEUE, KVLIFT_TAIL);
		b = kvlift_storage(ctx, id, sizeof(*b));
		kvlift_list_add(ctx, QUEUE, id, KVLIFT_HEAD);
		if (b && b->used)
			b->used = 0;
		else if (!kvlift_victim(ctx, id) && ++given == want)
			break;
	}
}

KVLIFT_CALLBACK(void, simple_removed, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_del(ctx, id);
}

KVLIFT_POLICY(simple, .accessed = simple_accessed, .added = simple_added,
	      .victims = simple_victims, .removed = simple_removed,
	      .storage_size = sizeof(struct block));
