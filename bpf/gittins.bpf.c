// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An index of returns per time held. A cached block costs a slot for as long as
 * it is kept and earns one hit when its session comes back. Of the blocks that
 * no cached block depends on, the one goes that earns the least per time, given
 * how long it has been idle: its Gittins index (see kvlift/gittins_model.h). A
 * newcomer that would earn no more is not kept.
 *
 * When blocks come back is learned from those that did and those that did not,
 * per class: by past hits and by the mean gap between them. Nothing about a
 * workload is built in. Hints are used while they predict better than that; how
 * far they are off is learned too. Where there is nothing to learn, it is a
 * leaf-first LRU.
 */
#include <kvlift/gittins_history.h>

#define DRAWS 16u /* victims from one draw of candidates */
#define TRIES 64u /* blocks that are named until one is taken as victim */
#define SEED  12345u

KVLIFT_STATE(struct gittins)

/* xorshift32: Marsaglia, "Xorshift RNGs", 2003. */
static u32 draw(struct gittins *g)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 17;
	g->random ^= g->random << 5;
	return g->random;
}

/*
 * The leaves are in the index in an order made by chance, so that going on in
 * it is a sample.
 */
static void add_leaf(struct kvlift_ctx *ctx, struct gittins *g, u32 id)
{
	kvlift_index_set(ctx, id, draw(g));
}

static void del_leaf(struct kvlift_ctx *ctx, struct gittins *g, u32 id)
{
	if (g->cursor == id)
		g->cursor = kvlift_index_next(ctx, id);
	kvlift_index_del(ctx, id);
}

static u32 index_of(struct kvlift_ctx *ctx, struct gittins *g, u32 id)
{
	struct gittins_block *b = gittins_block(ctx, id);
	struct gittins_run *r = b ? gittins_run(g, b->run) : NULL;

	/* That the pool of runs had no room for: the first to go. */
	return r ? gittins_index(&g->model, r, g->now) : 0;
}

/* Of the same index the least recently used is the first. */
static void add_candidate(struct kvlift_ctx *ctx, struct gittins *g, u32 id)
{
	struct gittins_block *b = gittins_block(ctx, id);
	struct gittins_candidate *c;

	if (!b || g->nr_candidates >= GITTINS_CANDIDATES)
		return;
	c = kvlift_at(g->candidates, g->nr_candidates);
	c->key = (u64)index_of(ctx, g, id) << 32 | b->last;
	c->id = id;
	g->nr_candidates++;
	g->least = GITTINS_NONE;
}

static void drop_least(struct gittins *g)
{
	u32 last = --g->nr_candidates;

	*kvlift_at(g->candidates, g->least) = *kvlift_at(g->candidates, last);
	g->least = GITTINS_NONE;
}

static struct gittins_candidate *find_least(struct kvlift_ctx *ctx,
					    struct gittins *g)
{
	u64 key, least = ~0ULL;
	u32 i;

	if (g->least == GITTINS_NONE) {
		kvlift_for(i, ctx, 0, g->nr_candidates) {
			key = kvlift_at(g->candidates, i)->key;
			if (key >= least)
				continue;
			least = key;
			g->least = i;
		}
	}
	return kvlift_at(g->candidates, g->least);
}

/* A sample, as the indices of all leaves change with time. */
static void draw_candidates(struct kvlift_ctx *ctx, struct gittins *g)
{
	u32 i, id = g->cursor, first = KVLIFT_NO_BLOCK;

	g->nr_candidates = 0;
	g->spent = 0;
	g->is_drawn = 1;
	kvlift_for(i, ctx, 0, GITTINS_CANDIDATES) {
		if (id == KVLIFT_NO_BLOCK)
			id = kvlift_index_first(ctx);
		if (id == KVLIFT_NO_BLOCK || id == first)
			break;
		if (first == KVLIFT_NO_BLOCK)
			first = id;
		if (!kvlift_bound(ctx, id))
			add_candidate(ctx, g, id);
		id = kvlift_index_next(ctx, id);
	}
	g->cursor = id;
}

/* The cheapest of the candidates, or NULL. */
static struct gittins_candidate *cheapest(struct kvlift_ctx *ctx,
					  struct gittins *g)
{
	struct gittins_candidate *c;
	u32 i;

	if (g->spent >= DRAWS || !g->nr_candidates)
		draw_candidates(ctx, g);
	kvlift_for(i, ctx, 0, GITTINS_CANDIDATES) {
		if (!g->nr_candidates)
			break;
		c = find_least(ctx, g);
		if (!kvlift_bound(ctx, c->id))
			return c;
		drop_least(g);
	}
	return NULL;
}

/* The oldest leaf, if it is not of the running request. */
static void give_oldest(struct kvlift_ctx *ctx, struct gittins *g)
{
	u32 i, id = g->oldest;
	struct gittins_block *b;
	bool is_first = true;

	if (kvlift_list_of(ctx, id) != GITTINS_RECENCY)
		id = kvlift_list_end(ctx, GITTINS_RECENCY, KVLIFT_TAIL);
	kvlift_for(i, ctx, 0, KVLIFT_ROUNDS / 2) {
		b = gittins_block(ctx, id);
		if (!b || (g->is_started && b->last == g->request && b->run))
			break;
		if (kvlift_resident(ctx, id)) {
			if (is_first)
				g->oldest = id;
			is_first = false;
			if (!kvlift_victim(ctx, id))
				break;
		}
		id = kvlift_list_next(ctx, id, KVLIFT_HEAD);
	}
	/* There is none, or some came up unseen behind it. */
	if (is_first)
		g->oldest = KVLIFT_NO_BLOCK;
}

/* One at a time: when a leaf is gone its parent may be the next. */
KVLIFT_CALLBACK(void, gittins_victims, struct kvlift_ctx *ctx, u32 want)
{
	struct gittins *g = kvlift_state(ctx);
	struct gittins_candidate *c;
	u32 i, id;

	if (g->guard.lru) {
		give_oldest(ctx, g);
		return;
	}
	kvlift_for(i, ctx, 0, TRIES) {
		c = cheapest(ctx, g);
		if (!c)
			break;
		id = c->id;
		drop_least(g);
		if (kvlift_victim(ctx, id))
			continue;
		g->spent++;
		break;
	}
}

KVLIFT_CALLBACK(s32, gittins_attach, struct kvlift_ctx *ctx)
{
	struct gittins *g = kvlift_state(ctx);

	g->random = SEED;
	g->marker = KVLIFT_NO_BLOCK;
	g->oldest = KVLIFT_NO_BLOCK;
	g->cursor = KVLIFT_NO_BLOCK;
	g->guard.lru = 1;
	g->guard.backoff = GITTINS_BACKOFF;
	gittins_learn(ctx, &g->model);
	return 0;
}

KVLIFT_CALLBACK(void, gittins_request, struct kvlift_ctx *ctx)
{
	struct gittins *g = kvlift_state(ctx);

	if (!g->is_started)
		g->start_ns = ctx->now_ns;
	g->is_started = 1;
	g->now = (u32)((ctx->now_ns - g->start_ns) / 1000000);
	g->request = (u32)ctx->nr;
	g->nr_candidates = 0;
	g->is_drawn = 0;
	gittins_history_request(ctx, g);
}

KVLIFT_CALLBACK(s32, gittins_admit, struct kvlift_ctx *ctx, u32 id)
{
	struct gittins *g = kvlift_state(ctx);
	struct gittins_candidate *c;

	if (ctx->whole < ctx->len && id == kvlift_chain(ctx, ctx->len - 1))
		return KVLIFT_BYPASS;
	if (ctx->resident < ctx->capacity || g->guard.lru)
		return KVLIFT_KEEP;
	c = cheapest(ctx, g);
	if (!c || index_of(ctx, g, id) > c->key >> 32)
		return KVLIFT_KEEP;
	return KVLIFT_BYPASS;
}

KVLIFT_CALLBACK(void, gittins_added, struct kvlift_ctx *ctx, u32 id)
{
	struct gittins *g = kvlift_state(ctx);
	struct gittins_block *b = gittins_block(ctx, id);
	u32 parent = kvlift_parent(ctx, id);

	/* Not with a request: it came up by itself, or was there before. */
	if (b && !b->known)
		gittins_touch(ctx, g, b, id);
	else if (b && b->last != g->request)
		g->oldest = KVLIFT_NO_BLOCK;
	if (parent != KVLIFT_NO_BLOCK)
		del_leaf(ctx, g, parent);
	add_leaf(ctx, g, id);
}

KVLIFT_CALLBACK(void, gittins_removed, struct kvlift_ctx *ctx, u32 id)
{
	struct gittins *g = kvlift_state(ctx);
	u32 parent = kvlift_parent(ctx, id);

	del_leaf(ctx, g, id);
	if (!kvlift_resident(ctx, parent) || kvlift_children(ctx, parent))
		return;
	add_leaf(ctx, g, parent);
	if (g->is_drawn && !g->guard.lru && !kvlift_bound(ctx, parent))
		add_candidate(ctx, g, parent);
}

KVLIFT_CALLBACK(void, gittins_forgotten, struct kvlift_ctx *ctx, u32 id)
{
	struct gittins *g = kvlift_state(ctx);
	struct gittins_block *b = gittins_block(ctx, id);

	del_leaf(ctx, g, id);
	if (b && b->known)
		gittins_forget(ctx, g, b, id);
}

KVLIFT_CALLBACK(void, gittins_hint, struct kvlift_ctx *ctx, u32 ms)
{
	struct gittins *g = kvlift_state(ctx);

	gittins_history_hint(ctx, g, ms);
}

KVLIFT_POLICY(gittins, .attach = gittins_attach, .request = gittins_request,
	      .admit = gittins_admit, .victims = gittins_victims,
	      .added = gittins_added, .removed = gittins_removed,
	      .forget = gittins_forgotten, .hint = gittins_hint,
	      .flags = KVLIFT_POLICY_PREFIX,
	      .storage_size = sizeof(struct gittins_block));
