// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * What the gittins policy remembers: known blocks by recency, the runs of past
 * requests, sessions; and the guard, which compares with LRU from that.
 */
#include "sim_gittins.h"

#define GHOSTS	    16u /* per block of capacity */
#define LEARN	    50u /* requests between two times */
#define MAX_RUNS    32u /* of a request */
#define SLOTS	    32u /* that are looked at for a free one */
#define PROBES	    8u	/* of the session table */
#define WEIGHT_ONE  1024u

#define LOST	    16u /* LRU that misses less than this part is kept */
#define REGRET	    8u	/* part of the capacity that the index may lose */
#define BACKOFF	    16u /* capacities to stay with LRU after that */
#define MAX_BACKOFF 1024u

static void unlink_block(struct sim *s, uint32_t id)
{
	struct gittins_recency *l = &((struct gittins *)s->priv)->recency;
	struct gittins_block *b = gittins_block(s, id);

	if (b->prev != SIM_NONE)
		gittins_block(s, b->prev)->next = b->next;
	else
		l->head = b->next;
	if (b->next != SIM_NONE)
		gittins_block(s, b->next)->prev = b->prev;
	else
		l->tail = b->prev;
}

static void link_first(struct sim *s, uint32_t id)
{
	struct gittins_recency *l = &((struct gittins *)s->priv)->recency;
	struct gittins_block *b = gittins_block(s, id);

	b->prev = SIM_NONE;
	b->next = l->head;
	if (l->head != SIM_NONE)
		gittins_block(s, l->head)->prev = id;
	else
		l->tail = id;
	l->head = id;
}

static void touch(struct sim *s, uint32_t id)
{
	struct gittins_recency *l = &((struct gittins *)s->priv)->recency;
	struct gittins_block *b = gittins_block(s, id);

	if (b->known) {
		if (b->recent && id == l->marker && id != l->head)
			l->marker = b->prev;
		unlink_block(s, id);
	} else {
		b->known = true;
		b->run = SIM_NONE;
		l->nr_known++;
	}
	link_first(s, id);
	l->nr_recent += !b->recent;
	b->recent = true;
	if (l->nr_recent == 1)
		l->marker = id;
	while (l->nr_recent > s->capacity) {
		b = gittins_block(s, l->marker);
		b->recent = false;
		l->nr_recent--;
		l->marker = b->prev;
	}
}

static void forget(struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	struct gittins_block *b = gittins_block(s, id);
	struct gittins_run *r = gittins_run(g, b->run);

	if (r && r->left) {
		r->left--;
		gittins_count(&g->model, r, g->now, 1, GITTINS_CENSORED);
	}
	if (b->recent) {
		b->recent = false;
		g->recency.nr_recent--;
		if (g->recency.marker == id)
			g->recency.marker = b->prev;
	}
	unlink_block(s, id);
	b->known = false;
	g->recency.nr_known--;
}

/* The coldest ghosts go. */
static void trim(struct sim *s)
{
	struct gittins_recency *l = &((struct gittins *)s->priv)->recency;
	uint64_t max = (uint64_t)s->capacity * (1 + GHOSTS);
	uint32_t id, prev;

	for (id = l->tail; l->nr_known > max && id != SIM_NONE; id = prev) {
		prev = gittins_block(s, id)->prev;
		if (!sim_cached(s, id))
			forget(s, id);
	}
}

/*
 * LRU decides where the index has nothing to win, as LRU has nearly all there
 * is to have, or where it turned out to lose: for longer each time.
 */
static void guard(struct sim *s, uint32_t known, uint32_t recent, uint32_t hit)
{
	struct gittins_guard *u = &((struct gittins *)s->priv)->guard;
	int64_t capacity = s->capacity;
	bool lru;

	u->refs += s->request.len;
	u->reuse += known;
	u->lost += known - recent;
	if (u->reuse > (uint64_t)capacity * 8) {
		u->reuse >>= 1;
		u->lost >>= 1;
	}
	lru = u->lost * LOST <= u->reuse &&
	      !gittins_trusts_hints(&((struct gittins *)s->priv)->model);
	u->regret += (int64_t)recent - hit;
	if (u->regret < -capacity) {
		u->regret = -capacity;
		u->backoff = BACKOFF;
	}
	if (!u->lru && u->regret > capacity / REGRET) {
		u->until = u->refs + u->backoff * (uint64_t)capacity;
		if (u->backoff < MAX_BACKOFF)
			u->backoff *= 2;
	}
	if (u->refs < u->until) {
		lru = true;
		u->regret = 0;
	}
	u->lru = lru;
}

static void note_returns(struct sim *s, uint32_t known)
{
	const uint32_t *chain = s->request.chain;
	struct gittins *g = s->priv;
	uint32_t i, end, name, n;
	struct gittins_run *r;

	for (i = 0; i < known; i = end) {
		name = gittins_block(s, chain[i])->run;
		for (end = i + 1; end < known; end++)
			if (gittins_block(s, chain[end])->run != name)
				break;
		r = gittins_run(g, name);
		if (!r)
			continue;
		n = end - i < r->left ? end - i : r->left;
		r->left -= n;
		gittins_count(&g->model, r, g->now, n, GITTINS_RETURNED);
		gittins_score_hint(&g->model, r, g->now);
	}
}

static uint32_t new_session(struct gittins *g, uint32_t at, uint32_t key)
{
	g->sessions[at] =
		(struct gittins_session){ .key = key, .runs = SIM_NONE };
	return at;
}

static uint32_t told_session(struct gittins *g, uint32_t key, bool *is_back)
{
	uint32_t at = key * 2654435761u >> 8, best, i;

	at %= GITTINS_SESSIONS;
	best = at;
	for (i = 0; i < PROBES; i++, at = (at + 1) % GITTINS_SESSIONS) {
		if (g->sessions[at].key == key) {
			*is_back = true;
			return at;
		}
		if (!g->sessions[at].key) {
			best = at;
			break;
		}
		if (g->sessions[at].last < g->sessions[best].last)
			best = at;
	}
	return new_session(g, best, key);
}

/* A request goes on where the last one with its deepest known block ended. */
static uint32_t guessed_session(struct sim *s, uint32_t known, bool *is_back)
{
	struct gittins *g = s->priv;
	const struct gittins_block *b;
	struct gittins_run *r;

	if (known) {
		b = gittins_block(s, s->request.chain[known - 1]);
		r = gittins_run(g, b->run);
		if (r && known >= r->end) {
			*is_back = true;
			return r->session;
		}
	}
	return new_session(g, g->next_session++ % GITTINS_SESSIONS, SIM_NONE);
}

/*
 * Blocks that the session came back without, as its context was cut or it is on
 * another branch: their clock starts anew, and they come back less often.
 */
static void leave_orphans(struct gittins *g, const struct gittins_session *from)
{
	struct gittins_run *r = gittins_run(g, from->runs);

	for (; r; r = gittins_run(g, r->next)) {
		if (!r->left || r->kind == GITTINS_ORPHAN)
			continue;
		gittins_count(&g->model, r, g->now, r->left, GITTINS_CENSORED);
		gittins_make_orphan(r, g->now);
	}
}

static uint32_t find_session(struct sim *s, uint32_t known)
{
	struct gittins *g = s->priv;
	uint32_t key = sim_branch(s->request.session, s->request.agent), at;
	struct gittins_session *e;
	bool is_back = false;

	at = key ? told_session(g, key, &is_back)
		 : guessed_session(s, known, &is_back);
	e = &g->sessions[at];
	if (is_back) {
		leave_orphans(g, e);
		e->nr_gaps++;
		e->mean_gap = gittins_mean(e->mean_gap, e->nr_gaps,
					   gittins_log2(g->now - e->last + 1));
		if (e->nr_gaps > 8)
			e->nr_gaps = 8;
	}
	e->last = g->now;
	e->runs = SIM_NONE;
	return at;
}

/* Hits and gap of each block; a new one has the gap of its session. */
static void renew_blocks(struct sim *s, uint32_t known, uint16_t session_gap)
{
	struct gittins *g = s->priv;
	struct gittins_block *b;
	struct gittins_run *r;
	uint32_t i, gap;

	for (i = 0; i < g->whole; i++) {
		b = gittins_block(s, s->request.chain[i]);
		if (i >= known) {
			b->hits = 0;
			b->mean_gap = session_gap;
			continue;
		}
		if (b->hits < UINT16_MAX)
			b->hits++;
		r = gittins_run(g, b->run);
		if (!r)
			continue;
		gap = gittins_log2(g->now - r->time + 1);
		b->mean_gap = gittins_mean(b->mean_gap ? b->mean_gap : gap,
					   b->hits, gap);
	}
}

/* A free slot near the hand; where there is none, that of the oldest run. */
static struct gittins_run *take_slot(struct gittins *g)
{
	struct gittins_run *r, *best = NULL;
	uint32_t i;

	for (i = 0; i < SLOTS; i++) {
		r = &g->runs[++g->hand % GITTINS_RUNS];
		if (!best || !r->left || r->time < best->time)
			best = r;
		if (!r->left)
			break;
	}
	if (best->left)
		gittins_count(&g->model, best, g->now, best->left,
			      GITTINS_CENSORED);
	return best;
}

static struct gittins_run *new_run(struct sim *s, uint32_t session)
{
	struct gittins *g = s->priv;
	struct gittins_session *e = &g->sessions[session];
	struct gittins_run *r = take_slot(g);

	*r = (struct gittins_run){
		.name = r->name + GITTINS_RUNS,
		.time = g->now,
		.request = (uint32_t)s->request.nr,
		.session = session,
		.next = e->runs,
		.end = g->whole,
	};
	e->runs = r->name;
	return r;
}

/* From the deepest on: so the first block ends up as the youngest. */
static void make_runs(struct sim *s, uint32_t known, uint32_t session)
{
	struct gittins *g = s->priv;
	uint32_t i, hits, gap, at_hits = SIM_NONE, at_gap = 0, n = 0;
	struct gittins_run *r = NULL;
	struct gittins_block *b;

	for (i = g->whole; i-- > 0;) {
		b = gittins_block(s, s->request.chain[i]);
		touch(s, s->request.chain[i]);
		hits = gittins_hits(b->hits);
		gap = gittins_gap(b->mean_gap);
		if (!r ||
		    (n < MAX_RUNS && (hits != at_hits || gap != at_gap))) {
			r = new_run(s, session);
			gittins_classify(r, hits, gap, g->whole,
					 g->whole - known);
			at_hits = hits;
			at_gap = gap;
			n++;
		}
		r->left++;
		b->run = r->name;
		b->last = (uint32_t)s->request.nr;
	}
}

/*
 * A run weighs about the root of its length: a long one is more evidence than a
 * short one, but its blocks come back together.
 */
static void weigh_runs(struct gittins *g, uint32_t session)
{
	struct gittins_run *r = gittins_run(g, g->sessions[session].runs);

	for (; r; r = gittins_run(g, r->next)) {
		r->weight = WEIGHT_ONE >> (gittins_fls(r->left) / 2);
		if (!r->weight)
			r->weight = 1;
	}
}

void gittins_history_request(struct sim *s)
{
	const struct sim_request *q = &s->request;
	struct gittins *g = s->priv;
	uint32_t known = 0, recent = 0, session;

	/* A partial block is the prefix of nothing: never kept. */
	g->whole = sim_whole_blocks(q->input_length, q->len);
	while (known < g->whole && gittins_block(s, q->chain[known])->known)
		known++;
	while (recent < known && gittins_block(s, q->chain[recent])->recent)
		recent++;
	guard(s, known, recent, q->cached < g->whole ? q->cached : g->whole);
	note_returns(s, known);
	session = find_session(s, known);
	g->session = session;
	renew_blocks(s, known, g->sessions[session].mean_gap);
	make_runs(s, known, session);
	weigh_runs(g, session);
	trim(s);
	if (q->nr % LEARN == 0)
		gittins_learn(&g->model, g->runs, GITTINS_RUNS, g->now);
}

void gittins_history_hint(struct gittins *g, uint32_t ms)
{
	struct gittins_run *r = gittins_run(g, g->sessions[g->session].runs);

	gittins_expect_hints(&g->model, ms);
	for (; r; r = gittins_run(g, r->next))
		gittins_promise(r, ms);
}

void gittins_history_init(struct gittins *g)
{
	uint32_t i;

	for (i = 0; i < GITTINS_RUNS; i++)
		g->runs[i].name = i;
	for (i = 0; i < GITTINS_SESSIONS; i++)
		g->sessions[i].runs = SIM_NONE;
	g->recency.head = SIM_NONE;
	g->recency.tail = SIM_NONE;
	g->recency.marker = SIM_NONE;
	g->guard.lru = true;
	g->guard.backoff = BACKOFF;
	gittins_learn(&g->model, g->runs, GITTINS_RUNS, 0);
}
