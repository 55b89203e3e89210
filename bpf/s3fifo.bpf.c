// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * S3-FIFO: Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all you need for
 * cache eviction", SOSP 2023, algorithm 1. A tenth of the cache is a small
 * queue for newcomers; those used twice there move to the main queue, the
 * others leave their name in a ghost queue, which lets them into the main
 * queue when they come again.
 */
#include <kvlift/policy.h>

#define SMALL	 0u
#define MAIN	 1u
#define GHOST	 2u

#define MAX_USES 3u

struct block {
	u8 uses;
};

static u32 small_max(struct kvlift_ctx *ctx)
{
	return ctx->capacity < 20 ? 1 : ctx->capacity / 10;
}

static u32 main_max(struct kvlift_ctx *ctx)
{
	return ctx->capacity - small_max(ctx);
}

static u32 oldest(struct kvlift_ctx *ctx, u32 queue)
{
	return kvlift_list_end(ctx, queue, KVLIFT_TAIL);
}

KVLIFT_CALLBACK(void, s3fifo_accessed, struct kvlift_ctx *ctx, u32 nr)
{
	struct block *b;
	u32 i;

	kvlift_for(i, ctx, 0, nr) {
		b = kvlift_storage(ctx, kvlift_batch(ctx, i), sizeof(*b));
		if (b && b->uses < MAX_USES)
			b->uses++;
	}
}

KVLIFT_CALLBACK(void, s3fifo_added, struct kvlift_ctx *ctx, u32 id)
{
	struct block *b = kvlift_storage(ctx, id, sizeof(*b));
	bool was_ghost = kvlift_list_of(ctx, id) == GHOST;

	if (b)
		b->uses = 0;
	kvlift_list_add(ctx, was_ghost ? MAIN : SMALL, id, KVLIFT_HEAD);
}

/*
 * Oldest block of the main queue that was not used since it was last there; one
 * that is in use goes round with those that were used.
 */
static bool give_main(struct kvlift_ctx *ctx)
{
	struct block *b;
	u32 i, id;

	kvlift_for(i, ctx, 0, (MAX_USES + 1) * kvlift_list_len(ctx, MAIN)) {
		id = oldest(ctx, MAIN);
		b = kvlift_storage(ctx, id, sizeof(*b));
		if (!b)
			break;
		if (!b->uses && !kvlift_victim(ctx, id))
			return true;
		if (b->uses)
			b->uses--;
		kvlift_list_add(ctx, MAIN, id, KVLIFT_HEAD);
	}
	return false;
}

/*
 * The same of the small queue. What was used twice moves on; if the main queue
 * has to make room for it, that is the victim.
 */
static bool give_small(struct kvlift_ctx *ctx)
{
	struct block *b;
	u32 i, id;

	kvlift_for(i, ctx, 0, kvlift_list_len(ctx, SMALL)) {
		id = oldest(ctx, SMALL);
		b = kvlift_storage(ctx, id, sizeof(*b));
		if (!b)
			break;
		if (b->uses < 2) {
			if (!kvlift_victim(ctx, id))
				return true;
			kvlift_list_add(ctx, SMALL, id, KVLIFT_HEAD);
			continue;
		}
		kvlift_list_add(ctx, MAIN, id, KVLIFT_HEAD);
		b->uses = 0;
		if (kvlift_list_len(ctx, MAIN) > main_max(ctx))
			return give_main(ctx);
	}
	return false;
}

/* One at a time: which queue is to give depends on what the last one did. */
KVLIFT_CALLBACK(void, s3fifo_victims, struct kvlift_ctx *ctx, u32 want)
{
	bool is_given = false;

	if (kvlift_list_len(ctx, SMALL) >= small_max(ctx) ||
	    !kvlift_list_len(ctx, MAIN))
		is_given = give_small(ctx);
	if (!is_given)
		give_main(ctx);
}

KVLIFT_CALLBACK(void, s3fifo_removed, struct kvlift_ctx *ctx, u32 id)
{
	if (kvlift_list_of(ctx, id) == MAIN) {
		kvlift_list_del(ctx, id);
		return;
	}
	kvlift_list_add(ctx, GHOST, id, KVLIFT_HEAD);
	if (kvlift_list_len(ctx, GHOST) > main_max(ctx))
		kvlift_list_del(ctx, oldest(ctx, GHOST));
}

KVLIFT_POLICY(s3fifo, .accessed = s3fifo_accessed, .added = s3fifo_added,
	      .victims = s3fifo_victims, .removed = s3fifo_removed,
	      .storage_size = sizeof(struct block));
