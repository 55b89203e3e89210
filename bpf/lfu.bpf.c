// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Least frequently used, with decay: a count per block from its last fill on,
 * the least recently used first among equals. When the cache has been used ten
 * times over, all counts are halved: Einziger, Friedman and Manes, "TinyLFU: a
 * highly efficient cache admission policy", ACM Trans. Storage 13(4), 2017.
 *
 * Nothing is gone through for that. A count is worth its value times two to
 * the age it was made in, so that each new age makes the old ones half as much,
 * and the index is in the order of that: the key is this number, in floating
 * point by hand.
 */
#include <kvlift/policy.h>

#define SAMPLE	  10u /* uses per block of capacity in an age */
#define MAX_COUNT 0xffffffu

struct lfu {
	u32 age;
	u32 uses; /* in this age */
};

struct block {
	u32 count, age;
};

KVLIFT_STATE(struct lfu)

static void note_use(struct kvlift_ctx *ctx, u32 id, bool is_new)
{
	struct block *b = kvlift_storage(ctx, id, sizeof(*b));
	struct lfu *l = kvlift_state(ctx);
	u32 ages, bits;

	if (!b)
		return;
	if (++l->uses > (u64)SAMPLE * ctx->capacity) {
		l->age++;
		l->uses = 0;
	}
	ages = l->age - b->age;
	b->count = is_new || ages > 31 ? 0 : b->count >> ages;
	if (b->count < MAX_COUNT)
		b->count++;
	b->age = l->age;
	/* The exponent, then the bits behind the first one. */
	bits = kvlift_fls(b->count);
	kvlift_index_set(ctx, id,
			 (u64)(l->age + bits) << 32 |
				 (b->count << (32 - bits) & 0x7fffffff));
}

KVLIFT_CALLBACK(void, lfu_accessed, struct kvlift_ctx *ctx, u32 nr)
{
	u32 i;

	kvlift_for(i, ctx, 0, nr)
		note_use(ctx, kvlift_batch(ctx, i), false);
}

KVLIFT_CALLBACK(void, lfu_added, struct kvlift_ctx *ctx, u32 id)
{
	note_use(ctx, id, true);
}

KVLIFT_CALLBACK(void, lfu_victims, struct kvlift_ctx *ctx, u32 want)
{
	u32 i, id = kvlift_index_first(ctx);

	kvlift_for(i, ctx, 0, ctx->resident) {
		if (kvlift_victim(ctx, id) == -ENOSPC)
			break;
		id = kvlift_index_next(ctx, id);
	}
}

KVLIFT_CALLBACK(void, lfu_removed, struct kvlift_ctx *ctx, u32 id)
{
	kvlift_index_del(ctx, id);
}

KVLIFT_POLICY(lfu, .accessed = lfu_accessed, .added = lfu_added,
	      .victims = lfu_victims, .removed = lfu_removed,
	      .storage_size = sizeof(struct block));
