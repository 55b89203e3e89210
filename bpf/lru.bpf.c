// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Least recently used: one list, the last used at its head. */
#include <kvlift/policy.h>

#define LRU 0u

KVLIFT_CALLBACK(void, lru_accessed, struct kvlift_ctx *ctx, u32 nr)
{
	u32 i;

	kvlift_for(i, ctx, 0, nr)
		kvlift_list_add(ctx, LRU, kvlift_batch(ctx, i), KVLIFT_HEAD);
}

KVLIFT_CALLBACK(void, lru_added, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_add(ctx, LRU, id, KVLIFT_HEAD);
}

KVLIFT_CALLBACK(void, lru_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i, id = kvlift_list_end(ctx, LRU, KVLIFT_TAIL), next, given = 0;

	kvlift_for(i, ctx, 0, kvlift_list_len(ctx, LRU)) {
		next = kvlift_list_next(ctx, id, KVLIFT_HEAD);
		if (!kvlift_victim(ctx, id))
			given++;
		else /* In use, so it does not stand in the way again. */
			kvlift_list_add(ctx, LRU, id, KVLIFT_HEAD);
		if (given == want)
			break;
		id = next;
	}
}

KVLIFT_CALLBACK(void, lru_removed, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_list_del(ctx, id);
}

KVLIFT_POLICY(lru, .accessed = lru_accessed, .added = lru_added,
	      .victims = lru_victims, .removed = lru_removed);
