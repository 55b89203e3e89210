// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The simulator's policies: by hand, by slow models, and by brute force. */
#include "sim_model.h"

static uint64_t hits(const char *text, const char *policy, uint32_t capacity)
{
	struct sim_result r;
	struct trace t;

	trace_of(&t, text);
	r = played(&t, policy, 0, capacity);
	trace_free(&t);
	return r.block_hits;
}

static void lru_by_hand(void)
{
	CHECK_EQ(hits("a,b,a,c,a,b", "lru", 2), 2);
	CHECK_EQ(hits("a,b,c,a,b,c", "lru", 2), 0);
	CHECK_EQ(hits("a,b,c,a,b,c", "lru", 3), 3);
}

static void fifo_by_hand(void)
{
	/* c pushes out a, though it was just used. */
	CHECK_EQ(hits("a,b,a,c,a,c", "fifo", 2), 2);
	CHECK_EQ(hits("a,b,a,c,b", "fifo", 2), 2);
}

static void lfu_by_hand(void)
{
	/* a is used thrice and stays; b and c take turns. */
	CHECK_EQ(hits("a,a,a,b,c,b,c,a", "lfu", 2), 3);
	/* Among equals the older one goes. */
	CHECK_EQ(hits("a,b,c,b,a", "lfu", 2), 1);
	/* A block that comes back is counted anew: c pushes out a again. */
	CHECK_EQ(hits("a,a,b,b,b,c,a,c,a", "lfu", 2), 3);
	/* A cache of one is used ten times, ten times: then 8 are as 2. */
	CHECK_EQ(hits("a,b,a,b,a,b", "lfu", 1), 0);
}

/* What was used often long ago is worth no more than what was used just now. */
static void lfu_forgets(void)
{
	char text[512] = "a,a,a,a,a,a,a,a";
	int i;

	for (i = 0; i < 100; i++)
		strcat(text, ",b");
	/* A cache of 3 has been used 30 times three times over: d pushes out a.
	 */
	strcat(text, ",c,d,c");
	CHECK_EQ(hits(text, "lfu", 3), 7 + 99 + 1);
	CHECK_EQ(hits("a,a,a,a,a,a,a,a,b,b,b,c,d,c", "lfu", 3), 7 + 2 + 0);
}

static void simple_by_hand(void)
{
	/* a was used: it has a second chance, and b goes for c. */
	CHECK_EQ(hits("a,b,a,c,a,b", "simple", 2), 2);
	/* All were used: the first one in goes. */
	CHECK_EQ(hits("a,b,a,b,c,b,a", "simple", 2), 3);
}

static void arc_by_hand(void)
{
	/*
	 * b is a ghost when it comes again: T1 may be longer, and a goes; then
	 * a is one: c goes, and a and b stay.
	 */
	CHECK_EQ(hits("a,a,b,c,b,a,b,a,b,a", "arc", 2), 5);
	/* A scan passes through T1 and leaves T2 alone. */
	CHECK_EQ(hits("a,b,a,b,c,d,e,f,g,h,a,b", "arc", 3), 4);
	CHECK_EQ(hits("a,b,a,b,c,d,e,f,g,h,a,b", "lru", 3), 2);
}

static void s3fifo_by_hand(void)
{
	/*
	 * Small queue of 1: newcomers go first, a and b as ghosts come back
	 * into main and outlive the scan.
	 */
	CHECK_EQ(hits("a,b,c,d,e,a,b,f,g,h,i,a,b", "s3fifo", 4), 2);
	CHECK_EQ(hits("a,b,c,d,e,a,b,f,g,h,i,a,b", "fifo", 4), 0);
	/* Used twice in the small queue: moves on by itself. */
	CHECK_EQ(hits("a,a,a,b,c,d,e,f,g,h,a", "s3fifo", 4), 3);
	/* Used once there: leaves. */
	CHECK_EQ(hits("a,a,b,c,d,e,f,g,h,a", "s3fifo", 4), 1);
}

static void opt_by_hand(void)
{
	CHECK_EQ(hits("a,b,c,a,b,c", "opt", 2), 2);
	/* x and y are never used again: not kept. */
	CHECK_EQ(hits("a,x,a,y,a", "opt", 1), 2);
}

static void a_prefix_hit_needs_all_before(void)
{
	struct sim_result r;
	struct trace t;

	trace_of(&t, "a b c, b c");
	r = played(&t, "lru", 0, 2);
	CHECK_EQ(r.block_hits, 2);
	CHECK_EQ(r.prefix_hits, 2);
	trace_free(&t);
	trace_of(&t, "a b c, x c");
	r = played(&t, "lru", 0, 3);
	CHECK_EQ(r.block_hits, 1);
	CHECK_EQ(r.prefix_hits, 0);
	CHECK_EQ(r.fills, 4);
	CHECK_EQ(r.evictions, 1);
	trace_free(&t);
}

static void leaf_by_hand(void)
{
	struct sim_result r;
	struct trace t;

	/* Head a stays, c is what goes for d e. */
	trace_of(&t, "a b c, d, a b");
	r = played(&t, "leaf", 0, 3);
	CHECK_EQ(r.prefix_hits, 2);
	trace_free(&t);
	/* A chain that is too long keeps its head. */
	trace_of(&t, "a b c d, a b c d");
	r = played(&t, "leaf", 0, 2);
	CHECK_EQ(r.prefix_hits, 2);
	CHECK_EQ(r.fills, 2);
	CHECK_EQ(r.bypassed, 4);
	CHECK_EQ(r.evictions, 0);
	trace_free(&t);
}

/* Slow and plain: the block with the smallest key goes. */
enum model {
	MODEL_LRU,
	MODEL_FIFO,
	MODEL_LFU
};

struct slow {
	bool in[256];
	uint64_t used[256], filled[256], count[256], age[256];
	uint64_t ages, uses; /* in this age, for LFU */
	uint32_t n;
};

/* Counts are halved when the cache was used ten times over. */
static void slow_count(struct slow *m, uint32_t id, uint32_t capacity,
		       bool is_new)
{
	if (++m->uses > 10 * (uint64_t)capacity) {
		m->ages++;
		m->uses = 0;
	}
	m->count[id] >>= m->ages - m->age[id];
	if (is_new)
		m->count[id] = 0;
	m->count[id]++;
	m->age[id] = m->ages;
}

static uint64_t slow_worth(const struct slow *m, uint32_t id)
{
	return m->count[id] << m->age[id];
}

static bool goes_before(const struct slow *m, enum model kind, uint32_t a,
			uint32_t b)
{
	if (kind == MODEL_LFU && slow_worth(m, a) != slow_worth(m, b))
		return slow_worth(m, a) < slow_worth(m, b);
	if (kind == MODEL_FIFO)
		return m->filled[a] < m->filled[b];
	return m->used[a] < m->used[b];
}

static struct sim_result slow_per_block(const struct trace *t, enum model kind,
					uint32_t capacity, uint32_t batch)
{
	struct sim_result r = { 0 };
	struct slow m = { .n = 0 };
	uint64_t q, i, now = 0;
	uint32_t b, v, go;

	for (q = 0; q < t->nr_requests; q++) {
		bool prefix = true;

		for (i = t->start[q]; i < t->start[q + 1]; i++) {
			uint32_t id = t->refs[i];

			now++;
			if (m.in[id]) {
				r.block_hits++;
				r.prefix_hits += prefix;
				slow_count(&m, id, capacity, false);
				m.used[id] = now;
				continue;
			}
			prefix = false;
			go = m.n == capacity ? batch : 0;
			for (; go && m.n; go--) {
				v = SIM_NONE;
				for (b = 0; b < t->nr_ids; b++)
					if (m.in[b] &&
					    (v == SIM_NONE ||
					     goes_before(&m, kind, b, v)))
						v = b;
				m.in[v] = false;
				m.n--;
			}
			m.in[id] = true;
			m.n++;
			slow_count(&m, id, capacity, true);
			m.used[id] = m.filled[id] = now;
		}
	}
	return r;
}

static void classics_agree_with_slow_models(void)
{
	static const char *const names[] = { "lru", "fifo", "lfu" };
	struct sim_result want, got;
	struct trace t;

	for (int round = 0; round < 60; round++) {
		if (round & 1)
			random_refs(&t, 40, 300);
		else
			random_tree(&t, 60, 200);
		for (int k = 0; k < 3; k++) {
			uint32_t capacity = 1 + chance(t.nr_ids + 3);
			uint32_t batch = 1 + chance(3) * chance(20);

			want = slow_per_block(&t, (enum model)k, capacity,
					      batch);
			got = played_in_batches(&t, names[k], 0, capacity,
						batch);
			CHECK_EQ(got.block_hits, want.block_hits);
			CHECK_EQ(got.prefix_hits, want.prefix_hits);
		}
		trace_free(&t);
	}
}

/* Leaf-first LRU with a look at every block for each victim. */
static uint64_t slow_leaf(const struct trace *t, uint32_t capacity)
{
	uint32_t parent[256], children[256] = { 0 }, b, v, k, n = 0;
	uint64_t last[256] = { 0 }, q, found = 0;
	bool in[256] = { false };

	for (q = 0; q < t->nr_requests; q++) {
		const uint32_t *chain = t->refs + t->start[q];
		uint32_t len = (uint32_t)(t->start[q + 1] - t->start[q]);

		for (k = 0; k < len && in[chain[k]]; k++)
			last[chain[k]] = q + 1;
		found += k;
		for (; k < len; k++) {
			if (n == capacity) {
				v = SIM_NONE;
				for (b = 0; b < t->nr_ids; b++)
					if (in[b] && !children[b] &&
					    last[b] != q + 1 &&
					    (v == SIM_NONE ||
					     last[b] < last[v]))
						v = b;
				if (v == SIM_NONE)
					break;
				in[v] = false;
				n--;
				if (parent[v] != SIM_NONE)
					children[parent[v]]--;
			}
			parent[chain[k]] = k ? chain[k - 1] : SIM_NONE;
			if (k)
				children[chain[k - 1]]++;
			in[chain[k]] = true;
			last[chain[k]] = q + 1;
			n++;
		}
	}
	return found;
}

static void leaf_agrees_with_a_slow_model(void)
{
	struct trace t;

	for (int round = 0; round < 100; round++) {
		random_tree(&t, 20 + chance(60), 200);
		uint32_t capacity = 1 + chance(t.nr_ids);
		struct sim_result r = played(&t, "leaf", 0, capacity);

		CHECK_EQ(r.prefix_hits, slow_leaf(&t, capacity));
		CHECK_EQ(r.block_hits, r.prefix_hits);
		trace_free(&t);
	}
}

/*
 * The most hits that any choice of victims, and of what not to keep, can get:
 * best[mask] over the sets of cached blocks, in reverse through the trace.
 * A prefix hit is known by the state of the request so far.
 */
#define TINY 8u

static uint64_t brute_force(const struct trace *t, uint32_t capacity,
			    bool prefix)
{
	static uint8_t best[2][2][1u << TINY]; /* now/next, broken */
	uint32_t mask, m, i, v;
	uint64_t at, q;
	int broken;

	memset(best, 0, sizeof(best));
	for (q = t->nr_requests; q--;) {
		for (at = t->start[q + 1]; at-- > t->start[q];) {
			uint32_t bit = 1u << t->refs[at];
			/* After the last one a new request starts whole. */
			bool last = at + 1 == t->start[q + 1];

			memcpy(best[1], best[0], sizeof(best[0]));
			for (i = 0; i < 2 * (1u << TINY); i++) {
				broken = i & 1;
				mask = i >> 1;
				if (mask & bit) {
					best[0][broken][mask] =
						best[1][last ? 0 : broken][mask] +
						!(prefix && broken);
					continue;
				}
				broken = last ? 0 : 1;
				m = best[1][broken][mask];
				if ((uint32_t)__builtin_popcount(mask) <
				    capacity)
					if (best[1][broken][mask | bit] > m)
						m = best[1][broken][mask | bit];
				for (v = 0; v < TINY; v++) {
					uint32_t to = (mask & ~(1u << v)) | bit;

					if (mask & (1u << v) &&
					    best[1][broken][to] > m)
						m = best[1][broken][to];
				}
				best[0][i & 1][mask] = (uint8_t)m;
			}
		}
	}
	return best[0][0][0];
}

static void opt_is_what_brute_force_finds(void)
{
	struct trace t;

	for (int round = 0; round < 300; round++) {
		random_tree(&t, 3 + chance(TINY - 2), 2 + chance(20));
		for (uint32_t c = 1; c <= TINY; c++) {
			struct sim_result r =
				played(&t, "opt", SIM_PER_BLOCK, c);
			struct sim_result a = played(&t, "opt", SIM_ATOMIC, c);

			CHECK_EQ(r.block_hits, brute_force(&t, c, false));
			CHECK_EQ(r.prefix_hits, brute_force(&t, c, true));
			/* At arrival more is there than is left one by one. */
			CHECK(a.prefix_hits >= r.prefix_hits);
		}
		trace_free(&t);
	}
	for (int round = 0; round < 300; round++) {
		random_refs(&t, TINY, 2 + chance(12));
		for (uint32_t c = 1; c <= TINY; c++)
			CHECK_EQ(played(&t, "opt", 0, c).block_hits,
				 brute_force(&t, c, false));
		trace_free(&t);
	}
}

static void nothing_beats_opt(void)
{
	struct trace t;
	int round;

	for (round = 0; round < 40; round++) {
		random_tree(&t, 100, 300);
		uint32_t c = 1 + chance(t.nr_ids);
		uint64_t best = played(&t, "opt", 0, c).prefix_hits;
		uint64_t whole = played(&t, "opt", SIM_ATOMIC, c).prefix_hits;

		for (size_t k = 0; sim_policies[k]; k++) {
			const struct sim_policy *p = sim_policies[k];

			CHECK(played(&t, p->name, 0, c).prefix_hits <=
			      (p->mode == SIM_ATOMIC ? whole : best));
		}
		trace_free(&t);
	}
}

/* An infinite cache, and one of a single block. */
static void extreme_sizes_do_no_harm(void)
{
	struct trace t;

	random_refs(&t, 50, 500);
	for (size_t k = 0; sim_policies[k]; k++) {
		const struct sim_policy *p = sim_policies[k];

		if (!(p->modes & SIM_PER_BLOCK))
			continue;
		CHECK_EQ(played(&t, p->name, SIM_PER_BLOCK, UINT32_MAX - 1)
				 .block_hits,
			 t.nr_refs - t.nr_ids);
		for (uint32_t c = 1; c < 50; c++)
			played_in_batches(&t, p->name, SIM_PER_BLOCK, c,
					  1 + c * c % 70);
	}
	trace_free(&t);
}

int main(void)
{
	CASE(lru_by_hand);
	CASE(fifo_by_hand);
	CASE(lfu_by_hand);
	CASE(lfu_forgets);
	CASE(simple_by_hand);
	CASE(arc_by_hand);
	CASE(s3fifo_by_hand);
	CASE(opt_by_hand);
	CASE(a_prefix_hit_needs_all_before);
	CASE(leaf_by_hand);
	CASE(classics_agree_with_slow_models);
	CASE(leaf_agrees_with_a_slow_model);
	CASE(opt_is_what_brute_force_finds);
	CASE(nothing_beats_opt);
	CASE(extreme_sizes_do_no_harm);
	UNIT_END();
}
