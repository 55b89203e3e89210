// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The simulator on the real traces: rates that another simulator found, and
 * what the gittins policy is there for. Needs the traces beside the repository.
 */
#include "sim_traces.h"

struct row {
	const char *policy;
	double prefix_hit[NR_SHARES]; /* 0: not known */
	uint64_t fills[NR_SHARES];
};

static const struct row chat[] = {
	{ "lru", { 0.0455, 0.1420, 0.2299, 0.3045, 0.3484 }, { 0 } },
	{ "leaf",
	  { 0.0455, 0.1420, 0.2299, 0.3047, 0.3484 },
	  { 185442, 166689 } },
	{ "opt", { 0.2079, 0.3474, 0.3509, 0.3509, 0.3509 }, { 0 } },
	{ "s3fifo", { 0.0596, 0, 0, 0.2932, 0 }, { 0 } },
	{ "arc", { 0, 0.1540, 0.2393, 0, 0.3481 }, { 0 } },
};

static const struct row agent[] = {
	{ "lru", { 0.0358, 0.4936, 0.8210, 0.9367, 0.9595 }, { 0 } },
	{ "leaf",
	  { 0.0445, 0.5214, 0.8307, 0.9385, 0.9596 },
	  { 2067810, 1070963, 378938 } },
	{ "opt", { 0.3075, 0.7658, 0.9039, 0.9563, 0.9622 }, { 0 } },
	{ "arc", { 0.1250, 0.5276, 0.8040, 0.9319, 0.9583 }, { 0 } },
};

static struct sim_result compare_at(const struct trace *t, const char *policy,
				    uint32_t blocks, double want, double within)
{
	struct sim_result r = played(t, policy, 0, blocks);
	double rate = prefix_rate(&r);

	if (fabs(rate - want) > within)
		printf("# %s, %u blocks: %.5f, not %.4f\n", policy, blocks,
		       rate, want);
	CHECK(fabs(rate - want) <= within);
	return r;
}

/*
 * The other simulator cut the sizes off, which shows in the fourth digit and in
 * the fills; ours are rounded.
 */
static void compare(const struct trace *t, const struct row *row)
{
	struct sim_result r;

	for (size_t k = 0; k < NR_SHARES; k++) {
		double want = row->prefix_hit[k], size = shares[k] * t->nr_ids;

		if (want <= 0)
			continue;
		r = compare_at(t, row->policy, (uint32_t)size, want, 0.0001);
		if (row->fills[k])
			CHECK_EQ(r.fills, row->fills[k]);
		if (lround(size) != (long)size)
			compare_at(t, row->policy, (uint32_t)lround(size), want,
				   0.002);
	}
}

static void check_trace(const char *name, const struct row *rows, size_t n)
{
	struct trace t;

	if (!load(&t, name))
		return;
	while (n--)
		compare(&t, &rows[n]);
	trace_free(&t);
}

static void chat_has_its_rates(void)
{
	check_trace(CHAT, chat, sizeof(chat) / sizeof(chat[0]));
}

static void agent_has_its_rates(void)
{
	check_trace(AGENT, agent, sizeof(agent) / sizeof(agent[0]));
}

/* How far gittins is on the way from lru to opt, summed over the first three. */
static double gittins_gap(const char *name)
{
	double sum = 0, rate, lru, leaf, opt;
	struct trace t;

	if (!load(&t, name))
		return 0;
	for (size_t k = 0; k < NR_SHARES; k++) {
		rate = rate_with(&t, "gittins", k, NULL);
		lru = rate_with(&t, "lru", k, NULL);
		leaf = rate_with(&t, "leaf", k, NULL);
		opt = rate_with(&t, "opt", k, NULL);
		printf("# %s, %g: %.4f, lru %.4f, leaf %.4f, opt %.4f\n", name,
		       shares[k], rate, lru, leaf, opt);
		CHECK(rate >= lru - 0.005);
		/* Where LRU has nearly all there is, nothing is lost. */
		if (shares[k] >= 0.2)
			CHECK(rate >= leaf - 0.0005);
		if (shares[k] <= 0.1)
			sum += (rate - lru) / (opt - lru);
	}
	trace_free(&t);
	return sum;
}

static void gittins_closes_the_gap_by_30_percent(void)
{
	double sum;

	if (!find(CHAT) || !find(AGENT)) {
		printf("# no %s\n", path);
		return;
	}
	sum = gittins_gap(CHAT) + gittins_gap(AGENT);
	printf("# mean of six: %.4f\n", sum / 6);
	CHECK(sum / 6 >= 0.3);
}

static double hinted_gap(const struct trace *t, enum sim_hints kind, size_t k)
{
	uint32_t *hints = kind ? sim_make_hints(t, kind) : NULL;
	double lru = rate_with(t, "lru", k, NULL);
	double opt = rate_with(t, "opt", k, NULL);
	double rate = rate_with(t, "gittins", k, hints);

	free(hints);
	return (rate - lru) / (opt - lru);
}

/* From size first to that of 10 % on. */
static void check_hints(const char *name, size_t first)
{
	double plain, good, random, shuffled;
	struct trace t;

	if (!load(&t, name))
		return;
	for (size_t k = 0; k < 3; k++) {
		plain = hinted_gap(&t, SIM_HINTS_NONE, k);
		good = hinted_gap(&t, SIM_HINTS_TRUE, k);
		random = hinted_gap(&t, SIM_HINTS_RANDOM, k);
		shuffled = hinted_gap(&t, SIM_HINTS_SHUFFLED, k);
		printf("# %s, %g: %.3f, true %.3f, random %.3f, shuffled %.3f\n",
		       name, shares[k], plain, good, random, shuffled);
		if (k >= first)
			CHECK(good >= 0.8);
		CHECK(random >= plain - 0.1);
		CHECK(shuffled >= plain - 0.1);
	}
	trace_free(&t);
}

static void true_hints_help_and_wrong_ones_cost_little(void)
{
	check_hints(CHAT, 1);
	check_hints(AGENT, 0);
}

int main(void)
{
	if (!find(CHAT) && !find(AGENT)) {
		printf("no traces: %s is not there\n", path);
		return 77;
	}
	CASE(chat_has_its_rates);
	CASE(agent_has_its_rates);
	CASE(gittins_closes_the_gap_by_30_percent);
	CASE(true_hints_help_and_wrong_ones_cost_little);
	UNIT_END();
}
