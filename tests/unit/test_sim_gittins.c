// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The gittins policy on traces made for it, and its index by brute force; the
 * prefix policy on such traces.
 */
#include <math.h>

#include <kvlift/gittins_model.h>

#include "sim_model.h"

static struct gittins_model model;

static double bin_start(unsigned int b)
{
	return b ? 256 * exp2((b - 1) / 2) * (1 + 0.5 * ((b - 1) % 2)) : 0;
}

/* The most returns per ms over all bins to stop after, from bin b on. */
static double best_rate(const struct gittins_cell *cells, unsigned int b)
{
	double left = 1, held = 0, best = 0, next;

	for (; b < GITTINS_BINS; b++, left = next) {
		next = left * (1 - cells[b].hazard / 65536.0);
		held += (left + next) / 2 * (bin_start(b + 1) - bin_start(b));
		if ((1 - next) / held > best)
			best = (1 - next) / held;
	}
	return best;
}

/* Up to where so little is left that integers of 18 bits do not show it. */
static unsigned int last_bin(const struct gittins_cell *cells)
{
	double left = 1;
	unsigned int b;

	for (b = 0; b < GITTINS_BINS && left > 0.01; b++)
		left *= 1 - cells[b].hazard / 65536.0;
	return b;
}

static void compare_classes(void)
{
	for (unsigned int c = 0; c < GITTINS_CLASSES; c++) {
		const struct gittins_cell *cells =
			&model.cells[c * GITTINS_BINS];
		unsigned int end = last_bin(cells);

		for (unsigned int b = 0; b < end; b++) {
			double want = log2(best_rate(cells, b)) + 64 + 8;
			double got = cells[b].index / 256.0;

			if (fabs(got - want) > 0.05)
				printf("# class %u, bin %u: %.3f, not %.3f\n",
				       c, b, got, want);
			CHECK(fabs(got - want) <= 0.05);
		}
	}
}

static void the_index_is_the_best_over_all_stops(void)
{
	struct gittins_run r = { 0 };

	memset(&model, 0, sizeof(model));
	gittins_learn(NULL, &model);
	compare_classes();
	for (int i = 0; i < 3000; i++) {
		uint32_t hits = chance(GITTINS_HITS);

		r = (struct gittins_run){ .weight = 64 + chance(960) };
		gittins_classify(&r, hits, chance(GITTINS_GAPS),
				 1 + chance(500), chance(500));
		/* More hits: sooner back, and more often. */
		gittins_count(&model, &r, chance(1u << (24 - 2 * hits)), 1,
			      chance(8) < hits ? GITTINS_RETURNED
					       : GITTINS_CENSORED);
	}
	gittins_learn(NULL, &model);
	compare_classes();
}

/* Nothing learned: the longer it is idle the less it is worth, as with LRU. */
static void without_data_it_falls_with_age(void)
{
	memset(&model, 0, sizeof(model));
	gittins_learn(NULL, &model);
	/* The two bins of an octave are the same but for rounding. */
	for (unsigned int b = 3; b < GITTINS_BINS; b++)
		CHECK(model.cells[b].index < model.cells[b - 2].index);
}

static void ask(struct trace *t, uint32_t session, double ms, uint64_t first,
		uint32_t len)
{
	uint64_t ids[64];
	struct request r = { .timestamp = ms,
			     .input_length = 512ULL * len,
			     .session = session,
			     .turn = TRACE_UNKNOWN,
			     .agent = TRACE_UNKNOWN,
			     .ids = ids,
			     .nr_ids = len };

	for (uint32_t i = 0; i < len; i++)
		ids[i] = first + i;
	if (trace_add_request(t, &r))
		abort();
}

/* Documents read round and round: LRU has each when it is gone. */
static void a_loop_is_learned(void)
{
	struct sim_result leaf, gittins, opt;
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (uint32_t i = 0; i < 4000; i++)
		ask(&t, TRACE_UNKNOWN, 900.0 * i, i % 100 * 10, 10);
	leaf = played(&t, "leaf", 0, 200);
	gittins = played(&t, "gittins", 0, 200);
	opt = played(&t, "opt", SIM_ATOMIC, 200);
	CHECK_EQ(leaf.prefix_hits, 0);
	CHECK(gittins.prefix_hits > opt.prefix_hits / 2);
	trace_free(&t);
}

/* Sessions that come back after ten seconds, and others that never do. */
static void one_shots_do_not_displace_sessions(void)
{
	struct sim_result leaf, gittins;
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (uint32_t i = 0; i < 6000; i++) {
		if (i % 5)
			ask(&t, 1000 + i, 100.0 * i, 10000 + 10ULL * i, 10);
		else
			ask(&t, i / 5 % 20, 100.0 * i, i / 5 % 20 * 2, 2);
	}
	leaf = played(&t, "leaf", 0, 60);
	gittins = played(&t, "gittins", 0, 60);
	CHECK_EQ(leaf.prefix_hits, 0);
	printf("# %" PRIu64 " hits\n", gittins.prefix_hits);
	CHECK(gittins.prefix_hits > 1000);
	trace_free(&t);
}

static void a_partial_block_is_not_kept(void)
{
	uint64_t ids[] = { 1, 2 };
	struct request r = { .input_length = 700, .ids = ids, .nr_ids = 2 };
	struct sim_result got;
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(trace_add_request(&t, &r), 0);
	got = played(&t, "gittins", 0, 10);
	CHECK_EQ(got.prefix_hits, 2);
	CHECK_EQ(got.bypassed, 3);
	trace_free(&t);
}

/* More sessions and runs than there is room for; then all come back. */
static void full_tables_do_no_harm(void)
{
	struct sim_result leaf, gittins;
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (uint32_t i = 0; i < 24000; i++)
		ask(&t, i % 12000, 50.0 * i, i % 12000 * 2, 2);
	leaf = played(&t, "leaf", 0, 6000);
	gittins = played(&t, "gittins", 0, 6000);
	CHECK(gittins.prefix_hits >= leaf.prefix_hits);
	trace_free(&t);
}

static void all_sizes_and_batches_work(void)
{
	struct sim_result a, b;
	struct trace t;

	for (uint32_t round = 0; round < 20; round++) {
		random_tree(&t, 100, 400);
		for (uint32_t c = 1; c < 100; c += 1 + chance(9)) {
			a = played_in_batches(&t, "gittins", 0, c, 1 + c % 70);
			b = played_in_batches(&t, "gittins", 0, c, 1 + c % 70);
			CHECK_EQ(a.prefix_hits, b.prefix_hits);
			CHECK_EQ(a.fills, b.fills);
		}
		played(&t, "gittins", 0, UINT32_MAX / 64);
		trace_free(&t);
	}
}

/* Half the hints are below the truth, and most within a factor of e. */
static void check_errors(const struct trace *t, const uint32_t *hints,
			 uint32_t gap)
{
	uint32_t below = 0, far = 0, over = 0, n = (uint32_t)t->nr_requests;

	for (uint32_t i = 0; i < n; i++) {
		double error = log((double)hints[i] / gap);

		over += hints[i] == SIM_OVER;
		below += error < 0;
		far += hints[i] != SIM_OVER && fabs(error) > 1;
	}
	/* The last of each session; the rest is 95 % within two sigma. */
	CHECK_EQ(over, 100);
	CHECK(below > 2 * n / 5 && below < 3 * n / 5);
	CHECK(far > n / 50 && far < n / 10);
}

static void hints_are_true_but_for_an_error(void)
{
	uint32_t *hints, *again;
	struct trace t;

	/* Told by session, then by the block that is the session's own. */
	for (int told = 0; told < 2; told++) {
		CHECK_EQ(trace_init(&t), 0);
		for (uint32_t i = 0; i < 4000; i++)
			ask(&t, told ? i % 100 : TRACE_UNKNOWN, 50.0 * i,
			    i % 100 * 2, 2);
		hints = sim_make_hints(&t, SIM_HINTS_TRUE);
		again = sim_make_hints(&t, SIM_HINTS_TRUE);
		check_errors(&t, hints, 5000);
		CHECK(!memcmp(hints, again, 4000 * sizeof(*hints)));
		free(hints);
		free(again);
		trace_free(&t);
	}
}

/* An eighth of an octave better than the classes, or they are not used. */
static void wrong_hints_lose_the_trust(void)
{
	struct gittins_run r = { .weight = 1024 };

	memset(&model, 0, sizeof(model));
	gittins_learn(NULL, &model);
	gittins_classify(&r, 0, 0, 1, 1);
	CHECK(!gittins_trusts_hints(&model));
	gittins_expect_hints(&model, 1000);
	CHECK(gittins_trusts_hints(&model));
	/* Always back after 4 s, whatever was promised. */
	for (uint32_t i = 0; i < 500; i++) {
		r.kind = GITTINS_PLAIN;
		r.is_scored = 0;
		gittins_promise(&r, 1000 + chance(1000000));
		gittins_count(&model, &r, 4000, 1, GITTINS_RETURNED);
		gittins_score_hint(&model, &r, 4000);
		gittins_learn(NULL, &model);
	}
	CHECK(!gittins_trusts_hints(&model));
}

/* A chain that was used twice outlives what comes only once. */
static void prefix_lets_go_what_was_used_once(void)
{
	struct sim_result leaf, prefix;
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (uint32_t i = 0; i < 60; i++) {
		ask(&t, TRACE_UNKNOWN, 7000 * i, 0, 2);
		ask(&t, TRACE_UNKNOWN, 7000 * i + 1000, 0, 2);
		for (uint32_t k = 2; k < 7; k++)
			ask(&t, TRACE_UNKNOWN, 7000 * i + 1000 * k,
			    100 + 20 * i + 2 * k, 2);
	}
	leaf = played(&t, "leaf", 0, 8);
	prefix = played(&t, "prefix", 0, 8);
	CHECK_EQ(leaf.prefix_hits, 60 * 2);
	printf("# %" PRIu64 " hits\n", prefix.prefix_hits);
	CHECK(prefix.prefix_hits > 110 * 2);
	trace_free(&t);
}

static void prefix_uses_hints(void)
{
	struct sim_setup setup = { .mode = SIM_ATOMIC, .capacity = 4 };
	struct sim_result r;
	struct trace t;
	/* The second says that it is over, and the third that it is not. */
	uint32_t hints[] = { 60000, KVLIFT_OVER, 100, 60000, 60000, 60000 };

	CHECK_EQ(trace_init(&t), 0);
	for (uint32_t i = 0; i < 3; i++)
		ask(&t, 1 + i, 1000 + 1000 * i, 10 * i, i ? 1 : 2);
	ask(&t, 9, 5000, 50, 2);
	ask(&t, 3, 6000, 20, 1);
	ask(&t, 1, 7000, 0, 2);
	setup.hints = hints;
	CHECK_EQ(sim_run(&t, sim_find("prefix", 6), &setup, &r, NULL, NULL), 0);
	/* Of the first, promised for later, the beginning is left. */
	CHECK_EQ(r.prefix_hits, 1 + 1);
	trace_free(&t);
}

int main(void)
{
	CASE(the_index_is_the_best_over_all_stops);
	CASE(without_data_it_falls_with_age);
	CASE(a_loop_is_learned);
	CASE(one_shots_do_not_displace_sessions);
	CASE(a_partial_block_is_not_kept);
	CASE(full_tables_do_no_harm);
	CASE(all_sizes_and_batches_work);
	CASE(hints_are_true_but_for_an_error);
	CASE(wrong_hints_lose_the_trust);
	CASE(prefix_lets_go_what_was_used_once);
	CASE(prefix_uses_hints);
	UNIT_END();
}
