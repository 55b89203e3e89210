// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * LRU that knows of chains and sessions. The end of a chain goes before its
 * beginning, which is of use without it. Beyond that every block has the time
 * of its last use as key, in a way of speaking:
 *
 *	used for the first time		as if idle for half of the time that
 *					blocks are kept: it may be its only use
 *	session over			as if idle for as long as the oldest,
 *					where no other session has used it
 *	session back in a time t	as if idle for t: to LRU, what has been
 *					idle for t is due in t
 *
 * The index has the leaves: those that no resident block depends on.
 */
#include <kvlift/policy.h>

#define SESSIONS 4096u
#define MS	 1000000u
#define BEFORE	 (1ULL << 40) /* ms; keys are to stay above 0 */

struct session {
	u64 name;
	u64 request; /* its last */
	u32 leaf;    /* deepest block of that */
	u32 pad;
};

struct prefix {
	struct session sessions[SESSIONS];
	u64 now;    /* ms */
	u64 oldest; /* key of the last victim */
};

struct block {
	u64 key;
	u64 request; /* the last one, from 1; 0: none */
	u64 session;
	u8 is_shared;
	u8 pad[7];
};

KVLIFT_STATE(struct prefix)

static struct session *session_of(struct prefix *p, u64 name)
{
	return kvlift_at(p->sessions, name % SESSIONS);
}

static void set_key(struct kvlift_ctx *ctx, u32 id, struct block *b, u64 key)
{
	b->key = key;
	if (kvlift_index_key(ctx, id) != ~0ULL)
		kvlift_index_set(ctx, id, key);
}

KVLIFT_CALLBACK(void, prefix_request, struct kvlift_ctx *ctx)
{
	struct prefix *p = kvlift_state(ctx);
	struct session *s = session_of(p, ctx->session);
	u64 now = ctx->now_ns / MS + BEFORE, first;
	struct block *b;
	u32 i, id;

	p->now = now;
	first = now - (p->oldest ? (now - p->oldest) / 2 : 0);
	s->name = ctx->session;
	s->request = ctx->nr + 1;
	s->leaf = ctx->len ? kvlift_chain(ctx, ctx->len - 1) : KVLIFT_NO_BLOCK;
	kvlift_for(i, ctx, 0, ctx->len) {
		id = kvlift_chain(ctx, i);
		b = kvlift_storage(ctx, id, sizeof(*b));
		if (!b)
			continue;
		set_key(ctx, id, b, b->request ? now : first);
		b->is_shared |= b->request && b->session != ctx->session;
		b->session = ctx->session;
		b->request = ctx->nr + 1;
	}
}

/* Of the blocks of the session's last request, from the deepest on. */
KVLIFT_CALLBACK(void, prefix_hint, struct kvlift_ctx *ctx, u32 ms)
{
	struct prefix *p = kvlift_state(ctx);
	struct session *s = session_of(p, ctx->session);
	u32 i, id = s->leaf;
	struct block *b;

	if (s->name != ctx->session || !s->request)
		return;
	kvlift_for(i, ctx, 0, KVLIFT_CHAIN_MAX) {
		b = kvlift_storage(ctx, id, sizeof(*b));
		if (!b || b->request != s->request)
			break;
		if (ms != KVLIFT_OVER)
			set_key(ctx, id, b, p->now - ms);
		else if (!b->is_shared)
			set_key(ctx, id, b, p->oldest);
		id = kvlift_parent(ctx, id);
	}
}

/* A block that is not full yet is the prefix of nothing. */
KVLIFT_CALLBACK(s32, prefix_admit, struct kvlift_ctx *ctx, u32 id)
{
	if (ctx->whole < ctx->len && id == kvlift_chain(ctx, ctx->len - 1))
		return KVLIFT_BYPASS;
	return KVLIFT_KEEP;
}

KVLIFT_CALLBACK(void, prefix_added, struct kvlift_ctx *ctx, u32 id)
{
	struct block *b = kvlift_storage(ctx, id, sizeof(*b));
	u32 parent = kvlift_parent(ctx, id);

	if (parent != KVLIFT_NO_BLOCK)
		kvlift_index_del(ctx, parent);
	if (b)
		kvlift_index_set(ctx, id, b->key);
}

/* One at a time: when a leaf is gone its parent may be the next. */
KVLIFT_CALLBACK(void, prefix_victims, struct kvlift_ctx *ctx, u32 want)
{
	struct prefix *p = kvlift_state(ctx);
	u32 i, id = kvlift_index_first(ctx);

	kvlift_for(i, ctx, 0, ctx->resident) {
		if (id == KVLIFT_NO_BLOCK)
			break;
		if (!kvlift_victim(ctx, id)) {
			p->oldest = kvlift_index_key(ctx, id);
			break;
		}
		id = kvlift_index_next(ctx, id);
	}
}

KVLIFT_CALLBACK(void, prefix_removed, struct kvlift_ctx *ctx, u32 id)
{
	u32 parent = kvlift_parent(ctx, id);
	struct block *b;

	kvlift_index_del(ctx, id);
	if (!kvlift_resident(ctx, parent) || kvlift_children(ctx, parent))
		return;
	b = kvlift_storage(ctx, parent, sizeof(*b));
	if (b)
		kvlift_index_set(ctx, parent, b->key);
}

KVLIFT_POLICY(prefix, .request = prefix_request, .hint = prefix_hint,
	      .admit = prefix_admit, .added = prefix_added,
	      .victims = prefix_victims, .removed = prefix_removed,
	      .flags = KVLIFT_POLICY_PREFIX,
	      .storage_size = sizeof(struct block));
