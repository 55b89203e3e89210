// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Load or recompute: the planner beside every split of small prefixes, with
 * every order of the requests, played out block by block.
 */
#include <errno.h>

#include "kvlift.h"
#include "unit.h"

#define MAX	10
#define SERVERS 4
#define NEVER	KVLIFT_PLAN_NEVER

static uint64_t seed = 88172645463325252ULL;

static uint64_t roll(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return below ? seed % below : 0;
}

struct world {
	struct kvlift_plan_model model;
	struct kvlift_plan_server servers[SERVERS];
	struct kvlift_plan_block blocks[MAX];
	unsigned int n;
};

/* A split, the order of the requests, and what comes of it. */
struct split {
	uint8_t source[MAX];
	unsigned int turn[MAX];
	uint64_t ready[MAX];
};

static uint64_t cost(const struct world *w, unsigned int i)
{
	return w->model.compute_ns +
	       w->model.attn_ps * (w->model.first + i) / 1000;
}

/* Each server sends in the order of the turns. */
static void play_servers(const struct world *w, struct split *s)
{
	uint64_t free_at[SERVERS];
	unsigned int i, k;

	for (i = 0; i < SERVERS; i++)
		free_at[i] = w->servers[i].latency_ns;
	for (k = 0; k < w->n; k++) {
		const struct kvlift_plan_server *v;
		unsigned int server;

		i = s->turn[k];
		if (s->source[i] == KVLIFT_PLAN_FROM_NOTHING)
			s->ready[i] = 0;
		if (s->source[i] != KVLIFT_PLAN_FROM_KV &&
		    s->source[i] != KVLIFT_PLAN_FROM_ACT)
			continue;
		server = w->blocks[i].server;
		v = &w->servers[server];
		free_at[server] += s->source[i] == KVLIFT_PLAN_FROM_KV
					   ? v->block_ns
					   : v->act_ns;
		s->ready[i] = free_at[server];
	}
}

/* Of two that come at the same time. */
static bool before(const struct world *w, unsigned int i, unsigned int j)
{
	const struct kvlift_plan_block *a = &w->blocks[i], *b = &w->blocks[j];

	return a->server != b->server ? a->server < b->server
				      : a->order < b->order;
}

/* The computer takes what has come first; all take the same time. */
static void play_projections(const struct world *w, struct split *s)
{
	bool done[MAX] = { false };
	uint64_t now = 0;
	unsigned int i, best;

	for (;;) {
		best = MAX;
		for (i = 0; i < w->n; i++)
			if (s->source[i] == KVLIFT_PLAN_FROM_ACT && !done[i] &&
			    (best == MAX || s->ready[i] < s->ready[best] ||
			     (s->ready[i] == s->ready[best] &&
			      before(w, i, best))))
				best = i;
		if (best == MAX)
			return;
		done[best] = true;
		now = (s->ready[best] > now ? s->ready[best] : now) +
		      w->model.project_ns;
		s->ready[best] = now;
	}
}

/* One computer for both kinds of work, in the order of the prefix. */
static uint64_t play_in_order(const struct world *w, struct split *s)
{
	uint64_t all = 0, now = 0, start;
	unsigned int i;

	play_servers(w, s);
	for (i = 0; i < w->n; i++) {
		if (s->source[i] == KVLIFT_PLAN_FROM_ACT) {
			start = s->ready[i];
			now = (start > now ? start : now) + w->model.project_ns;
			s->ready[i] = now;
		} else if (s->source[i] == KVLIFT_PLAN_FROM_TOKENS) {
			now = (all > now ? all : now) + cost(w, i);
			s->ready[i] = now;
		}
		if (s->ready[i] > all)
			all = s->ready[i];
	}
	return all;
}

static uint64_t play(const struct world *w, struct split *s)
{
	uint64_t all = 0, now = 0;
	unsigned int i;

	play_servers(w, s);
	play_projections(w, s);
	for (i = 0; i < w->n; i++) {
		if (s->source[i] == KVLIFT_PLAN_FROM_TOKENS) {
			now = (all > now ? all : now) + cost(w, i);
			s->ready[i] = now;
		}
		if (s->ready[i] > all)
			all = s->ready[i];
	}
	return all;
}

static bool next_order(unsigned int *turn, unsigned int n)
{
	unsigned int i = n - 1, j = n - 1, t, k;

	while (i && turn[i - 1] >= turn[i])
		i--;
	if (!i)
		return false;
	while (turn[j] <= turn[i - 1])
		j--;
	t = turn[i - 1], turn[i - 1] = turn[j], turn[j] = t;
	for (k = n - 1; i < k; i++, k--)
		t = turn[i], turn[i] = turn[k], turn[k] = t;
	return true;
}

static uint64_t best_order(const struct world *w, struct split *s, bool all)
{
	uint64_t best, t;
	unsigned int i, k = 0;

	/* Activations first, each in the order of the prefix. */
	for (i = 0; i < w->n; i++)
		if (s->source[i] == KVLIFT_PLAN_FROM_ACT)
			s->turn[k++] = i;
	for (i = 0; i < w->n; i++)
		if (s->source[i] != KVLIFT_PLAN_FROM_ACT)
			s->turn[k++] = i;
	best = play(w, s);
	for (i = 0; i < w->n; i++)
		s->turn[i] = i;
	do {
		t = play(w, s);
		if (t < best)
			best = t;
	} while (all && next_order(s->turn, w->n));
	return best;
}

/* The best of all splits whose blocks are loaded or made by @other. */
static uint64_t brute(const struct world *w, uint8_t other, bool all)
{
	uint64_t best = NEVER, t;
	unsigned int mask, i;

	for (mask = 0; mask < 1u << w->n; mask++) {
		struct split s = { .source = { 0 } };
		bool can = true;

		for (i = 0; i < w->n && can; i++) {
			const struct kvlift_plan_block *b = &w->blocks[i];
			const struct kvlift_plan_server *v =
				&w->servers[b->server % SERVERS];

			if (b->have & KVLIFT_PLAN_READY) {
				can = !(mask >> i & 1);
			} else if (!(mask >> i & 1)) {
				s.source[i] = KVLIFT_PLAN_FROM_KV;
				can = b->have & KVLIFT_PLAN_KV &&
				      v->block_ns != NEVER &&
				      v->latency_ns != NEVER;
			} else if (other == KVLIFT_PLAN_FROM_TOKENS) {
				s.source[i] = other;
				can = w->model.compute_ns != NEVER;
			} else {
				s.source[i] = other;
				can = b->have & KVLIFT_PLAN_ACT &&
				      v->act_ns != NEVER &&
				      v->latency_ns != NEVER &&
				      w->model.project_ns != NEVER;
			}
		}
		if (!can)
			continue;
		t = best_order(w, &s, all);
		if (t < best)
			best = t;
	}
	return best;
}

static uint8_t comes(const struct world *w, unsigned int i)
{
	const struct kvlift_plan_block *b = &w->blocks[i];
	const struct kvlift_plan_server *v = &w->servers[b->server % SERVERS];
	bool kv = b->have & KVLIFT_PLAN_KV && v->block_ns != NEVER;
	bool act = b->have & KVLIFT_PLAN_ACT && v->act_ns != NEVER;

	if (b->have & KVLIFT_PLAN_READY)
		return KVLIFT_PLAN_FROM_NOTHING;
	if (v->latency_ns == NEVER || (!kv && !act))
		return KVLIFT_PLAN_FROM_TOKENS;
	return act && (!kv || v->act_ns < v->block_ns) ? KVLIFT_PLAN_FROM_ACT
						       : KVLIFT_PLAN_FROM_KV;
}

/*
 * The best of the splits that recompute and project, for which the planner
 * answers: first blocks of each server are recomputed. Of one server of equal
 * blocks these are as good as any.
 */
static uint64_t brute_both(const struct world *w)
{
	uint64_t best = NEVER, t;
	unsigned int mask, i, k;
	bool alike = true;

	if (w->model.compute_ns == NEVER || w->model.project_ns == NEVER ||
	    w->model.compute_ns < w->model.project_ns)
		return NEVER;
	for (i = 0; i < w->n; i++)
		alike &= w->blocks[i].server == w->blocks[0].server &&
			 comes(w, i) == comes(w, 0);
	for (mask = 0; mask < 1u << w->n; mask++) {
		struct split s = { .source = { 0 } };
		bool can = true;

		for (i = 0; i < w->n && can; i++) {
			s.turn[i] = i;
			s.source[i] = comes(w, i);
			if (!(mask >> i & 1))
				continue;
			if (s.source[i] == KVLIFT_PLAN_FROM_NOTHING ||
			    s.source[i] == KVLIFT_PLAN_FROM_TOKENS)
				can = false;
			s.source[i] = KVLIFT_PLAN_FROM_TOKENS;
			for (k = 0; k < i && !alike; k++)
				can &= w->blocks[k].server !=
					       w->blocks[i].server ||
				       mask >> k & 1 ||
				       comes(w, k) ==
					       KVLIFT_PLAN_FROM_NOTHING ||
				       comes(w, k) == KVLIFT_PLAN_FROM_TOKENS;
		}
		if (!can)
			continue;
		t = play_in_order(w, &s);
		if (t < best)
			best = t;
	}
	return best;
}

static uint64_t some_time(uint64_t below)
{
	return roll(40) ? roll(below) : NEVER;
}

static void make_world(struct world *w, unsigned int max)
{
	static const uint8_t haves[] = { 0, KVLIFT_PLAN_READY, KVLIFT_PLAN_KV,
					 KVLIFT_PLAN_ACT,
					 KVLIFT_PLAN_KV | KVLIFT_PLAN_ACT };
	unsigned int i, used = 1 + (unsigned int)roll(SERVERS);
	uint64_t scale = roll(2) ? 8 : 200;
	bool stored = roll(2);

	memset(w, 0, sizeof(*w));
	w->n = 1 + (unsigned int)roll(max);
	w->model.compute_ns = some_time(scale);
	w->model.attn_ps = roll(3) ? roll(scale * 1000) : 0;
	w->model.project_ns = some_time(scale / 2);
	w->model.first = roll(3) ? 0 : roll(20);
	w->model.servers = w->servers;
	w->model.nr_servers = SERVERS;
	for (i = 0; i < SERVERS; i++) {
		w->servers[i].latency_ns = some_time(scale);
		w->servers[i].block_ns = some_time(scale);
		w->servers[i].act_ns = some_time(scale);
	}
	for (i = 0; i < w->n; i++) {
		w->blocks[i].server = (uint8_t)roll(used);
		w->blocks[i].have =
			stored ? (uint8_t)(KVLIFT_PLAN_KV |
					   (roll(2) ? KVLIFT_PLAN_ACT : 0))
			       : haves[roll(5)];
		/* It counts for nothing then. */
		if (w->blocks[i].have < KVLIFT_PLAN_KV && roll(2))
			w->blocks[i].server = 255;
	}
}

static bool in_order(const struct world *w, const struct split *s,
		     unsigned int i, unsigned int j)
{
	bool a = s->source[i] == KVLIFT_PLAN_FROM_TOKENS;
	bool b = s->source[j] == KVLIFT_PLAN_FROM_TOKENS;

	if (a != b || (!a && w->blocks[i].server != w->blocks[j].server))
		return true;
	return w->blocks[i].order != w->blocks[j].order;
}

/* What the plan says of each block is what comes of doing it. */
static void check_blocks(const struct world *w, const struct kvlift_plan *p)
{
	struct split s = { .source = { 0 } };
	unsigned int i, j, k = 0, turn, nr[4] = { 0 };

	for (i = 0; i < w->n; i++) {
		s.source[i] = w->blocks[i].source;
		nr[s.source[i]]++;
	}
	for (turn = 0; turn < w->n; turn++)
		for (i = 0; i < w->n; i++)
			if (w->blocks[i].order == turn)
				s.turn[k++] = i;
	CHECK_EQ(k, w->n);
	if (nr[KVLIFT_PLAN_FROM_ACT] && nr[KVLIFT_PLAN_FROM_TOKENS])
		CHECK_EQ(play_in_order(w, &s), p->total_ns);
	else
		CHECK_EQ(play(w, &s), p->total_ns);
	for (i = 0; i < w->n; i++) {
		CHECK_EQ(w->blocks[i].ready_ns, s.ready[i]);
		for (j = 0; j < i; j++)
			CHECK(!s.source[i] || !s.source[j] ||
			      in_order(w, &s, i, j));
	}
	CHECK_EQ(p->nr_ready, nr[KVLIFT_PLAN_FROM_NOTHING]);
	CHECK_EQ(p->nr_load, nr[KVLIFT_PLAN_FROM_KV]);
	CHECK_EQ(p->nr_act, nr[KVLIFT_PLAN_FROM_ACT]);
	CHECK_EQ(p->nr_recompute, nr[KVLIFT_PLAN_FROM_TOKENS]);
}

static unsigned int kinds[5], cases;

static void one_world(unsigned int max, bool all)
{
	struct kvlift_plan plan;
	struct world w;
	uint64_t mixed, act, both, best;
	int ret;

	make_world(&w, max);
	mixed = brute(&w, KVLIFT_PLAN_FROM_TOKENS, all);
	act = brute(&w, KVLIFT_PLAN_FROM_ACT, all);
	both = brute_both(&w);
	best = mixed < act ? mixed : act;
	best = best < both ? best : both;
	ret = kvlift_plan_make(&w.model, w.blocks, w.n, &plan);
	CHECK_EQ(ret, best == NEVER ? -ENODATA : 0);
	CHECK_EQ(plan.mixed_ns, mixed);
	CHECK_EQ(plan.act_ns, act);
	CHECK_EQ(plan.both_ns, both);
	if (ret)
		return;
	CHECK_EQ(plan.total_ns, best);
	CHECK_EQ(!!(plan.flags & KVLIFT_PLAN_RECOMPUTE_USELESS),
		 mixed >= plan.load_ns);
	CHECK_EQ(!!(plan.flags & KVLIFT_PLAN_ACT_USELESS), best == mixed);
	check_blocks(&w, &plan);
	cases++;
	kinds[0] += best == plan.load_ns;
	kinds[1] += plan.nr_recompute && plan.nr_load;
	kinds[2] += plan.nr_act && plan.nr_load;
	kinds[3] += plan.nr_recompute && plan.nr_load &&
		    w.blocks[0].source == KVLIFT_PLAN_FROM_KV;
	kinds[4] += plan.nr_act && plan.nr_recompute;
}

static void all_splits(void)
{
	unsigned int i;

	memset(kinds, 0, sizeof(kinds));
	for (i = 0; i < 12000 && !unit_case_failed; i++)
		one_world(MAX, false);
	printf("# %u plans: %u load all, %u recompute some, %u of these not the first, %u project some, %u do both\n",
	       cases, kinds[0], kinds[1], kinds[3], kinds[2], kinds[4]);
	CHECK(kinds[0] > 100 && kinds[1] > 100 && kinds[2] > 100 &&
	      kinds[3] > 100 && kinds[4] > 100);
}

static void all_orders(void)
{
	unsigned int i;

	for (i = 0; i < 3000 && !unit_case_failed; i++)
		one_world(5, true);
}

/*
 * l* / s = T_kv / (T_kv + T_rec), where T_rec is the projection: KVPR, with
 * activations half as large as KV, and none with grouped queries.
 */
static void known_figures(void)
{
	static struct kvlift_plan_block blocks[1024];
	struct kvlift_plan_server link = { 0, 26660, 13330 };
	struct kvlift_plan_model m = { .compute_ns = NEVER,
				       .project_ns = 21090,
				       .servers = &link,
				       .nr_servers = 1 };
	struct kvlift_plan plan;
	unsigned int i;

	for (i = 0; i < 1024; i++)
		blocks[i].have = KVLIFT_PLAN_KV | KVLIFT_PLAN_ACT;
	/* OPT-30B, batch 32, on an A100: 0.56 of it, or more as this overlaps
	 * the activations with the projection: 39 % sooner. */
	CHECK_EQ(kvlift_plan_make(&m, blocks, 1024, &plan), 0);
	CHECK(plan.nr_act > 1024 * 0.56 && plan.nr_act < 1024 * 0.80);
	CHECK(plan.total_ns < 0.63 * (double)plan.load_ns);
	CHECK(plan.total_ns > 0.59 * (double)plan.load_ns);
	/* Llama-3.1-8B: four queries to a KV head. */
	link.block_ns = 9900;
	link.act_ns = 19900;
	m.project_ns = 4400;
	CHECK_EQ(kvlift_plan_make(&m, blocks, 1024, &plan), 0);
	CHECK_EQ(plan.nr_act, 0);
	CHECK_EQ(plan.total_ns, plan.load_ns);
	CHECK(plan.flags & KVLIFT_PLAN_ACT_USELESS);
	CHECK(plan.flags & KVLIFT_PLAN_RECOMPUTE_USELESS);
}

static void refused(void)
{
	struct kvlift_plan_server server = { 1, 1, 1 };
	struct kvlift_plan_model m = { .compute_ns = 1,
				       .servers = &server,
				       .nr_servers = 1 };
	struct kvlift_plan_block b = { .have = KVLIFT_PLAN_KV };
	struct kvlift_plan plan;

	CHECK_EQ(kvlift_plan_make(&m, NULL, 0, &plan), 0);
	CHECK_EQ(plan.total_ns, 0);
	CHECK_EQ(kvlift_plan_make(&m, &b, KVLIFT_PLAN_BLOCKS_MAX + 1, &plan),
		 -E2BIG);
	b.server = 1;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -EINVAL);
	b.server = 0;
	b.have = 8;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -EINVAL);
	b.have = KVLIFT_PLAN_KV;
	m.flags = 1;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -EINVAL);
	m.flags = 0;
	m.first = KVLIFT_PLAN_BLOCKS_MAX;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -E2BIG);
	m.first = 0;
	server.block_ns = KVLIFT_PLAN_TIME_MAX + 1;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -EINVAL);
	server.block_ns = NEVER;
	m.compute_ns = NEVER;
	CHECK_EQ(kvlift_plan_make(&m, &b, 1, &plan), -ENODATA);
}

/* The longest times and the most blocks: nothing overflows. */
static void extremes(void)
{
	uint64_t n = KVLIFT_PLAN_BLOCKS_MAX, i;
	struct kvlift_plan_block *blocks = calloc(n, sizeof(*blocks));
	struct kvlift_plan_server server = { KVLIFT_PLAN_TIME_MAX,
					     KVLIFT_PLAN_TIME_MAX,
					     KVLIFT_PLAN_TIME_MAX };
	struct kvlift_plan_model m = { .compute_ns = KVLIFT_PLAN_TIME_MAX,
				       .attn_ps = KVLIFT_PLAN_TIME_MAX >> 10,
				       .project_ns = KVLIFT_PLAN_TIME_MAX,
				       .servers = &server,
				       .nr_servers = 1 };
	struct kvlift_plan plan;

	if (!blocks)
		abort();
	for (i = 0; i < n; i++)
		blocks[i].have = KVLIFT_PLAN_KV | KVLIFT_PLAN_ACT;
	CHECK_EQ(kvlift_plan_make(&m, blocks, n, &plan), 0);
	CHECK(plan.load_ns == (n + 1) * KVLIFT_PLAN_TIME_MAX);
	CHECK(plan.total_ns < plan.load_ns && plan.nr_recompute > n / 3 &&
	      plan.nr_recompute < n / 2);
	for (i = 0; i < n; i++)
		blocks[i].have = i % 2 ? KVLIFT_PLAN_KV : 0;
	CHECK_EQ(kvlift_plan_make(&m, blocks, n, &plan), 0);
	CHECK_EQ(plan.load_ns, NEVER);
	CHECK(plan.nr_recompute >= n / 2);
	free(blocks);
}

int main(void)
{
	CASE(all_splits);
	CASE(all_orders);
	CASE(known_figures);
	CASE(refused);
	CASE(extremes);
	UNIT_END();
}
