/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the gittins policy remembers: known blocks by recency, the runs of past
 * requests, sessions; and the guard, which compares with LRU from that.
 */
#ifndef KVLIFT_GITTINS_HISTORY_H
#define KVLIFT_GITTINS_HISTORY_H

#include <kvlift/gittins_model.h>

#define GITTINS_RUNS	   8192u
#define GITTINS_SESSIONS   4096u
#define GITTINS_CANDIDATES 64u

/* Known blocks by last use, of a request the deepest the oldest. */
#define GITTINS_RECENCY	    0u

#define GITTINS_GHOSTS	    16u	   /* per block of capacity */
#define GITTINS_TRIM	    32768u /* blocks looked at for ghosts to forget */
#define GITTINS_MAX_RUNS    32u	   /* of a request */
#define GITTINS_SLOTS	    32u	   /* that are looked at for a free one */
#define GITTINS_PROBES	    8u	   /* of the session table */

#define GITTINS_LOST	    16u /* LRU that misses less than this part is kept */
#define GITTINS_REGRET	    8 /* part of the capacity that the index may lose */
#define GITTINS_BACKOFF	    16u /* capacities to stay with LRU after that */
#define GITTINS_MAX_BACKOFF 1024u

/*
 * Every so many requests the tables are renewed, some of the work with each of
 * the last of them: first the runs that are open are counted, then classes are
 * learned. When that took as long as the pause, what was counted was old.
 */
#define GITTINS_LEARN	    50u
#define GITTINS_RUN_STEPS   8u
#define GITTINS_CLASS_STEPS 4u
#define GITTINS_STEP_RUNS   (GITTINS_RUNS / GITTINS_RUN_STEPS)
#define GITTINS_STEP_CLASSES \
	((GITTINS_CLASSES + GITTINS_CLASS_STEPS - 1) / GITTINS_CLASS_STEPS)
#define GITTINS_PAUSE \
	(GITTINS_LEARN - GITTINS_RUN_STEPS - GITTINS_CLASS_STEPS - 1)

/* After less at first: the pause is a part of the requests so far. */
#define GITTINS_HASTE 16u

/* In the storage of a block. */
struct gittins_block {
	u32 run;  /* name; 0: none */
	u32 last; /* request, cut off */
	u16 hits, mean_gap;
	u8 known;  /* in the list: resident or a ghost */
	u8 recent; /* a leaf-first LRU would hold it */
	u8 pad[2];
};

/* A session goes on where its last request ended. */
struct gittins_session {
	u32 key; /* 0: free */
	u32 last;
	u32 runs; /* of its last request; 0: none */
	u16 mean_gap, nr_gaps;
};

struct gittins_guard {
	u64 reuse, lost; /* known blocks asked for; those LRU misses */
	u64 refs, until, backoff;
	s64 regret; /* hits that LRU had and the index had not */
	u32 lru;    /* it decides now */
	u32 pad;
};

struct gittins_candidate {
	u64 key;
	u32 id;
	u32 pad;
};

struct gittins {
	struct gittins_model model;
	struct gittins_run runs[GITTINS_RUNS];
	struct gittins_session sessions[GITTINS_SESSIONS];
	struct gittins_guard guard;
	u64 start_ns;
	u32 is_started;
	u32 now;
	/*
	 * The known blocks up to marker are what a leaf-first LRU of the same
	 * size would hold, so that the comparison with it costs no second
	 * cache. Behind oldest none is resident.
	 */
	u32 marker, nr_recent, oldest;
	u32 hand;	  /* the last slot of a run that was taken */
	u32 step;	  /* of renewing the tables */
	u32 pause;	  /* requests before the next time */
	u32 next_session; /* slot for one that is not told */
	u32 session;	  /* slot, of the request */
	u32 request;	  /* its number, cut off */
	u32 is_told;	  /* the engine has told a request */
	u32 nr_runs;	  /* of the request */
	/* Of the request, less a partial block: */
	u32 whole, known, recent, hit;
	u32 is_broken;	   /* LRU would not have all of it so far */
	u32 back, nr_back; /* run that is back, and blocks of it so far */
	/* Leaves drawn from the index. */
	struct gittins_candidate candidates[GITTINS_CANDIDATES];
	u32 nr_candidates, spent, is_drawn;
	u32 least;  /* of them, or NONE: to be looked for */
	u32 cursor; /* leaf that is drawn next */
	u32 random;
};

static inline struct gittins_block *gittins_block(struct kvlift_ctx *ctx,
						  u32 id)
{
	return kvlift_storage(ctx, id, sizeof(struct gittins_block));
}

/* NULL when its slot was taken by another since. */
static inline struct gittins_run *gittins_run(struct gittins *g, u32 name)
{
	struct gittins_run *r = kvlift_at(g->runs, name % GITTINS_RUNS);

	return name && r->name == name ? r : NULL;
}

/* It is about to leave its place in the list. */
static inline void gittins_leave(struct kvlift_ctx *ctx, struct gittins *g,
				 u32 id, bool is_recent)
{
	u32 next = kvlift_list_next(ctx, id, KVLIFT_HEAD);

	if (is_recent && g->marker == id && next != KVLIFT_NO_BLOCK)
		g->marker = next;
	/* None: the search begins at the end again. */
	if (g->oldest == id)
		g->oldest = next;
}

/* The oldest of what LRU would hold is not any more. */
static inline void gittins_shrink_recent(struct kvlift_ctx *ctx,
					 struct gittins *g)
{
	struct gittins_block *b;

	if (g->nr_recent <= ctx->capacity)
		return;
	b = gittins_block(ctx, g->marker);
	if (b)
		b->recent = 0;
	g->nr_recent--;
	g->marker = kvlift_list_next(ctx, g->marker, KVLIFT_HEAD);
}

static inline void gittins_touch(struct kvlift_ctx *ctx, struct gittins *g,
				 struct gittins_block *b, u32 id)
{
	if (b->known)
		gittins_leave(ctx, g, id, b->recent);
	else
		b->run = 0;
	b->known = 1;
	kvlift_list_add(ctx, GITTINS_RECENCY, id, KVLIFT_HEAD);
	if (!b->recent)
		g->nr_recent++;
	b->recent = 1;
	if (g->nr_recent == 1)
		g->marker = id;
	/* Twice, as the capacity may have become less. */
	gittins_shrink_recent(ctx, g);
	gittins_shrink_recent(ctx, g);
}

static inline void gittins_forget(struct kvlift_ctx *ctx, struct gittins *g,
				  struct gittins_block *b, u32 id)
{
	struct gittins_run *r = gittins_run(g, b->run);

	if (r && r->left) {
		r->left--;
		gittins_count(&g->model, r, g->now, 1, GITTINS_CENSORED);
	}
	gittins_leave(ctx, g, id, b->recent);
	if (b->recent)
		g->nr_recent--;
	b->recent = 0;
	b->known = 0;
	kvlift_list_del(ctx, id);
}

/* The coldest ghosts go. */
static inline void gittins_trim(struct kvlift_ctx *ctx, struct gittins *g)
{
	u64 max = (u64)ctx->capacity * (1 + GITTINS_GHOSTS);
	u32 id = kvlift_list_end(ctx, GITTINS_RECENCY, KVLIFT_TAIL), i, next;
	struct gittins_block *b;

	kvlift_for(i, ctx, 0, GITTINS_TRIM) {
		if (kvlift_list_len(ctx, GITTINS_RECENCY) <= max)
			break;
		next = kvlift_list_next(ctx, id, KVLIFT_HEAD);
		b = gittins_block(ctx, id);
		if (!b)
			break;
		if (!kvlift_resident(ctx, id))
			gittins_forget(ctx, g, b, id);
		id = next;
	}
}

/*
 * LRU decides where the index has nothing to win, as LRU has nearly all there
 * is to have, or where it turned out to lose: for longer each time.
 */
KVLIFT_SUB u32 gittins_update_guard(struct gittins *KVLIFT_ARG(g), u32 refs,
				    u32 blocks, u32 is_hinted)
{
	struct gittins_guard *u = &g->guard;
	s64 capacity = blocks;
	u32 lru;

	u->refs += refs;
	u->reuse += g->known;
	u->lost += g->known - g->recent;
	if (u->reuse > (u64)capacity * 8) {
		u->reuse >>= 1;
		u->lost >>= 1;
	}
	lru = u->lost * GITTINS_LOST <= u->reuse && !is_hinted;
	u->regret += (s64)g->recent - g->hit;
	if (u->regret < -capacity) {
		u->regret = -capacity;
		u->backoff = GITTINS_BACKOFF;
	}
	if (!u->lru && u->regret > capacity / GITTINS_REGRET) {
		u->until = u->refs + u->backoff * (u64)capacity;
		if (u->backoff < GITTINS_MAX_BACKOFF)
			u->backoff *= 2;
	}
	if (u->refs < u->until) {
		lru = 1;
		u->regret = 0;
	}
	u->lru = lru;
	return lru;
}

/* So many blocks of a run are back, which lie beside each other. */
KVLIFT_SUB u32 gittins_return(struct gittins *KVLIFT_ARG(g), u32 name, u32 n)
{
	struct gittins_run *r = gittins_run(g, name);

	if (!r)
		return 0;
	if (n > r->left)
		n = r->left;
	r->left -= n;
	gittins_count(&g->model, r, g->now, n, GITTINS_RETURNED);
	gittins_score_hint(&g->model, r, g->now);
	return n;
}

KVLIFT_SUB u32 gittins_note_hit(struct gittins *KVLIFT_ARG(g),
				struct gittins_block *KVLIFT_ARG(b))
{
	struct gittins_run *r = gittins_run(g, b->run);
	u32 gap;

	if (b->hits < 65535)
		b->hits++;
	if (!r)
		return 0;
	gap = gittins_log2(g->now - r->time + 1);
	b->mean_gap = (u16)gittins_mean(b->mean_gap ? b->mean_gap : gap,
					b->hits, gap);
	return 1;
}

/*
 * Of a chain what LRU would have counts up to the first block that it would
 * not.
 */
KVLIFT_SUB u32 gittins_look_at(struct gittins *KVLIFT_ARG(g),
			       struct gittins_block *KVLIFT_ARG(b), u32 told,
			       u32 resident)
{
	if (!b->recent && told)
		g->is_broken = 1;
	if (b->recent && !g->is_broken)
		g->recent++;
	g->hit += resident;
	if (!b->known)
		return 0;
	g->known++;
	/* Those of a run lie beside each other. */
	if (b->run != g->back) {
		gittins_return(g, g->back, g->nr_back);
		g->back = b->run;
		g->nr_back = 0;
	}
	g->nr_back++;
	return gittins_note_hit(g, b);
}

/* How much of the request is known, and what is back. */
static inline void gittins_look(struct kvlift_ctx *ctx, struct gittins *g)
{
	u32 told = ctx->flags & KVLIFT_CTX_TOLD, i, id;
	struct gittins_block *b;

	g->known = 0;
	g->recent = 0;
	g->hit = 0;
	g->back = 0;
	g->nr_back = 0;
	g->is_broken = 0;
	kvlift_for(i, ctx, 0, g->whole) {
		id = kvlift_chain(ctx, i);
		b = gittins_block(ctx, id);
		if (b)
			gittins_look_at(g, b, told, kvlift_resident(ctx, id));
	}
	gittins_return(g, g->back, g->nr_back);
	if (told)
		g->hit = ctx->cached < g->whole ? ctx->cached : g->whole;
}

static inline struct gittins_session *gittins_session(struct gittins *g, u32 at)
{
	return kvlift_at(g->sessions, at % GITTINS_SESSIONS);
}

/* Its slot, or that which it should have. */
KVLIFT_SUB u32 gittins_find_session(struct gittins *KVLIFT_ARG(g), u32 key)
{
	u32 at = (key * 2654435761u >> 8) % GITTINS_SESSIONS, best = at, i;
	struct gittins_session *e;

	for (i = 0; i < GITTINS_PROBES; i++) {
		e = gittins_session(g, at + i);
		if (e->key == key || !e->key)
			return (at + i) % GITTINS_SESSIONS;
		if (e->last < gittins_session(g, best)->last)
			best = (at + i) % GITTINS_SESSIONS;
	}
	return best;
}

static inline u32 gittins_session_key(struct kvlift_ctx *ctx)
{
	u32 key = (u32)(ctx->session ^ ctx->session >> 32);

	return key && key != GITTINS_NONE ? key : 1;
}

/* A request goes on where the last one with its deepest known block ended. */
static inline u32 gittins_guess_session(struct kvlift_ctx *ctx,
					struct gittins *g)
{
	struct gittins_block *b;
	struct gittins_run *r;

	if (g->known && ctx->flags & KVLIFT_CTX_TOLD) {
		b = gittins_block(ctx, kvlift_chain(ctx, g->known - 1));
		r = b ? gittins_run(g, b->run) : NULL;
		if (r && g->known >= r->end)
			return r->session;
	}
	return GITTINS_NONE;
}

/*
 * Blocks that the session came back without, as its context was cut or it is on
 * another branch: their clock starts anew, and they come back less often.
 */
static inline void gittins_leave_orphans(struct kvlift_ctx *ctx,
					 struct gittins *g, u32 name)
{
	struct gittins_run *r;
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_MAX_RUNS) {
		r = gittins_run(g, name);
		if (!r)
			break;
		name = r->next;
		if (!r->left || r->kind == GITTINS_ORPHAN)
			continue;
		gittins_count(&g->model, r, g->now, r->left, GITTINS_CENSORED);
		gittins_make_orphan(r, g->now);
	}
}

static inline void gittins_resume(struct kvlift_ctx *ctx, struct gittins *g,
				  struct gittins_session *e)
{
	gittins_leave_orphans(ctx, g, e->runs);
	e->nr_gaps++;
	e->mean_gap = (u16)gittins_mean(e->mean_gap, e->nr_gaps,
					gittins_log2(g->now - e->last + 1));
	if (e->nr_gaps > 8)
		e->nr_gaps = 8;
}

static inline struct gittins_session *
gittins_take_session(struct kvlift_ctx *ctx, struct gittins *g)
{
	struct gittins_session *e;
	bool is_back;
	u32 key, at;

	if (ctx->session) {
		key = gittins_session_key(ctx);
		at = gittins_find_session(g, key);
		is_back = gittins_session(g, at)->key == key;
	} else {
		key = GITTINS_NONE;
		at = gittins_guess_session(ctx, g);
		is_back = at != GITTINS_NONE;
		if (!is_back)
			at = g->next_session++;
	}
	g->session = at % GITTINS_SESSIONS;
	e = gittins_session(g, at);
	if (is_back) {
		gittins_resume(ctx, g, e);
	} else {
		e->key = key;
		e->mean_gap = 0;
		e->nr_gaps = 0;
	}
	e->last = g->now;
	e->runs = 0;
	return e;
}

/* A free slot near the hand; where there is none, that of the oldest run. */
static inline struct gittins_run *gittins_take_run(struct kvlift_ctx *ctx,
						   struct gittins *g)
{
	u32 i, slot, best = 0, oldest = 0, left = 1;
	struct gittins_run *r;

	kvlift_for(i, ctx, 0, GITTINS_SLOTS) {
		slot = ++g->hand % GITTINS_RUNS;
		r = kvlift_at(g->runs, slot);
		left = r->left;
		if (!i || !left || r->time < oldest) {
			best = slot;
			oldest = r->time;
		}
		if (!left)
			break;
	}
	r = kvlift_at(g->runs, best);
	if (r->left)
		gittins_count(&g->model, r, g->now, r->left, GITTINS_CENSORED);
	r->name = (r->name ? r->name : best) + GITTINS_RUNS;
	return r;
}

static inline struct gittins_run *gittins_new_run(struct kvlift_ctx *ctx,
						  struct gittins *g,
						  struct gittins_session *e,
						  struct gittins_block *b)
{
	struct gittins_run *r = gittins_take_run(ctx, g);

	r->time = g->now;
	r->session = g->session;
	r->next = e->runs;
	r->left = 0;
	r->weight = 0;
	r->end = g->whole;
	r->is_scored = 0;
	r->kind = GITTINS_PLAIN;
	gittins_classify(r, gittins_hits(b->hits), gittins_gap(b->mean_gap),
			 g->whole, g->whole - g->known);
	e->runs = r->name;
	g->nr_runs++;
	return r;
}

/* From the deepest on: so the first block ends up as the youngest. */
static inline void gittins_make_runs(struct kvlift_ctx *ctx, struct gittins *g,
				     struct gittins_session *e)
{
	u32 i, id, class, at_class = GITTINS_NONE;
	struct gittins_block *b;
	struct gittins_run *r;

	g->nr_runs = 0;
	kvlift_for(i, ctx, 0, g->whole) {
		id = kvlift_chain(ctx, g->whole - 1 - i);
		b = gittins_block(ctx, id);
		if (!b)
			break;
		/* A new one has the gap of its session. */
		if (!b->known) {
			b->hits = 0;
			b->mean_gap = e->mean_gap;
		}
		gittins_touch(ctx, g, b, id);
		class = gittins_gap(b->mean_gap) * GITTINS_HITS +
			gittins_hits(b->hits);
		r = gittins_run(g, e->runs);
		if (!r ||
		    (g->nr_runs < GITTINS_MAX_RUNS && class != at_class)) {
			r = gittins_new_run(ctx, g, e, b);
			at_class = class;
		}
		r->left++;
		b->run = r->name;
		b->last = g->request;
	}
}

/*
 * A run weighs about the root of its length: a long one is more evidence than a
 * short one, but its blocks come back together.
 */
static inline void gittins_weigh_runs(struct kvlift_ctx *ctx, struct gittins *g,
				      u32 name)
{
	struct gittins_run *r;
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_MAX_RUNS) {
		r = gittins_run(g, name);
		if (!r)
			break;
		r->weight = GITTINS_ONE >> (kvlift_fls(r->left) / 2);
		if (!r->weight)
			r->weight = 1;
		name = r->next;
	}
}

static inline void gittins_count_open(struct kvlift_ctx *ctx, struct gittins *g,
				      u32 first)
{
	struct gittins_run *r;
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_STEP_RUNS) {
		r = kvlift_at(g->runs, first + i);
		if (r->left)
			gittins_count(&g->model, r, g->now, r->left,
				      GITTINS_OPEN);
	}
}

static inline void gittins_learn_classes(struct kvlift_ctx *ctx,
					 struct gittins_model *m, u32 first)
{
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_STEP_CLASSES)
		if (first + i < GITTINS_CLASSES)
			gittins_learn_class(ctx, m, first + i);
}

static inline void gittins_learn_some(struct kvlift_ctx *ctx, struct gittins *g)
{
	u32 step = g->step++;

	if (step < g->pause)
		return;
	step -= g->pause;
	if (step < GITTINS_RUN_STEPS) {
		gittins_count_open(ctx, g, step * GITTINS_STEP_RUNS);
		return;
	}
	step -= GITTINS_RUN_STEPS;
	if (step < GITTINS_CLASS_STEPS) {
		gittins_learn_classes(ctx, &g->model,
				      step * GITTINS_STEP_CLASSES);
		return;
	}
	gittins_learn_factors(ctx, &g->model);
	g->step = 0;
	g->pause = g->request / GITTINS_HASTE;
	if (g->pause > GITTINS_PAUSE)
		g->pause = GITTINS_PAUSE;
}

/* Take a request in: what came back, whose it is, and new runs for it. */
static inline void gittins_history_request(struct kvlift_ctx *ctx,
					   struct gittins *g)
{
	bool is_hinted = gittins_trusts_hints(&g->model);
	struct gittins_session *e;

	/* A partial block is the prefix of nothing: never kept. */
	g->whole = ctx->whole < ctx->len ? ctx->whole : ctx->len;
	gittins_look(ctx, g);
	gittins_update_guard(g, ctx->len, ctx->capacity, is_hinted);
	e = gittins_take_session(ctx, g);
	gittins_make_runs(ctx, g, e);
	gittins_weigh_runs(ctx, g, e->runs);
	gittins_trim(ctx, g);
	/*
	 * Others than the engine's requests, such as what a scan finds of files
	 * that it does not speak of, do not drive it.
	 */
	g->is_told |= ctx->flags & KVLIFT_CTX_TOLD;
	if (!g->is_told || ctx->flags & KVLIFT_CTX_TOLD)
		gittins_learn_some(ctx, g);
}

static inline void gittins_history_hint(struct kvlift_ctx *ctx,
					struct gittins *g, u32 ms)
{
	struct gittins_run *r;
	u32 i, name, key;
	struct gittins_session *e = gittins_session(g, g->session);

	if (ctx->session) {
		key = gittins_session_key(ctx);
		e = gittins_session(g, gittins_find_session(g, key));
		if (e->key != key)
			return;
	}
	gittins_expect_hints(&g->model, ms);
	name = e->runs;
	kvlift_for(i, ctx, 0, GITTINS_MAX_RUNS) {
		r = gittins_run(g, name);
		if (!r)
			break;
		gittins_promise(r, ms);
		name = r->next;
	}
}

#endif
