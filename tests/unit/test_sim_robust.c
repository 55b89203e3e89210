// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The gittins policy on traces that it was not made on: the real ones cut, at
 * another speed, of fewer sessions or together, and made-up ones. Needs the
 * real traces beside the repository.
 */
#include "sim_traces.h"
#include "sim_variants.h"

static struct trace chat, agent;

/* How far on the way from lru to opt, of the sizes where it is long. */
struct closed {
	double plain, hinted, misled;
	int nr;
	int limits, missed; /* those of below_leaf and below_untold */
	bool is_made_up;
};

/* What may be lost, in prefix hits of all references. */
#define BELOW_LRU  0.005
#define BELOW_LEAF 0.002 /* from 20 % up */
/* With random hints, of the way from lru to opt. */
#define BELOW_UNTOLD 0.1

/*
 * What is immaterial moves a cell by some points of the way: a limit that is
 * missed by less than as much again is let pass, but few are.
 */
static void check_limit(struct closed *c, const char *what, double loss,
			double limit)
{
	c->limits++;
	if (loss > limit) {
		printf("#   MISSED: %.4f below %s, not %.4f\n", loss, what,
		       limit);
		c->missed++;
	}
	CHECK(loss <= 2 * limit);
}

static void check_hints(const struct trace *t, size_t k, double lru, double opt,
			double plain, struct closed *c)
{
	uint32_t *good = sim_make_hints(t, SIM_HINTS_TRUE);
	uint32_t *wrong = sim_make_hints(t, SIM_HINTS_RANDOM);
	double hinted = rate_with(t, "gittins", k, good);
	double misled = rate_with(t, "gittins", k, wrong);
	double way = opt - lru;

	printf("#   on the way %.0f %%; hints: true %.0f %%, random %.0f %%\n",
	       100 * (plain - lru) / way, 100 * (hinted - lru) / way,
	       100 * (misled - lru) / way);
	CHECK((hinted - plain) / way >= (c->is_made_up ? -BELOW_UNTOLD : 0));
	check_limit(c, "no hints", (plain - misled) / way, BELOW_UNTOLD);
	c->nr++;
	c->plain += (plain - lru) / way;
	c->hinted += (hinted - lru) / way;
	c->misled += (misled - lru) / way;
	free(good);
	free(wrong);
}

/*
 * Made-up sessions come back after times that say nothing of the next: there is
 * nothing to learn but noise. What that costs is what the guard allows before
 * LRU takes over, and what is missed until the cache is as LRU would have it.
 * That is a part of the cache, and of the references of a short trace a larger
 * one than is allowed elsewhere.
 */
static double allowed(const struct trace *t, size_t k, const struct closed *c,
		      double limit, double part)
{
	double cache = shares[k] * t->nr_ids;

	if (!c->is_made_up)
		return limit;
	return fmax(limit, part * cache / (double)t->nr_refs);
}

static void check_size(const char *name, const struct trace *t, size_t k,
		       struct closed *c)
{
	double lru = rate_with(t, "lru", k, NULL);
	double leaf = rate_with(t, "leaf", k, NULL);
	double opt = rate_with(t, "opt", k, NULL);
	double plain = rate_with(t, "gittins", k, NULL);

	printf("# %s, %g: %.4f, lru %.4f, leaf %.4f, opt %.4f\n", name,
	       shares[k], plain, lru, leaf, opt);
	CHECK(plain >= lru - allowed(t, k, c, BELOW_LRU, 0.2));
	if (shares[k] >= 0.2)
		check_limit(c, "leaf", leaf - plain,
			    allowed(t, k, c, BELOW_LEAF, 0.5));
	else
		check_hints(t, k, lru, opt, plain, c);
}

static void check_trace(const char *name, const struct trace *t,
			struct closed *c)
{
	printf("# %s: %" PRIu64 " requests, %" PRIu64 " references\n", name,
	       t->nr_requests, t->nr_refs);
	for (size_t k = 0; k < NR_SHARES; k++)
		check_size(name, t, k, c);
}

static void finish(const char *what, const struct closed *c)
{
	printf("# %s, mean of %d: %.3f on the way from lru to opt; true hints %.3f, random %.3f; %d of %d limits missed\n",
	       what, c->nr, c->plain / c->nr, c->hinted / c->nr,
	       c->misled / c->nr, c->missed, c->limits);
	CHECK(c->plain / c->nr >= (c->is_made_up ? 0.1 : 0.2));
	CHECK(c->missed * 20 <= c->limits);
}

struct set {
	const char *name;
	struct variant v;
};

#define THIRD (1. / 3)

static const struct set cuts[] = {
	{ "first half", { .to = 0.5 } },
	{ "second half", { .from = 0.5, .to = 1 } },
	{ "first third", { .to = THIRD } },
	{ "second third", { .from = THIRD, .to = 2 * THIRD } },
	{ "last third", { .from = 2 * THIRD, .to = 1 } },
	{ "half of the sessions", { .to = 1, .of = 2 } },
	{ "a quarter of the sessions", { .to = 1, .of = 4 } },
};

static void check_sets(const char *of, const struct trace *a,
		       const struct set *sets, size_t nr, struct closed *sum)
{
	struct trace t;
	char name[64];

	for (size_t i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "%s, %s", of, sets[i].name);
		make_variant(&t, a, &sets[i].v, NULL, NULL);
		check_trace(name, &t, sum);
		trace_free(&t);
	}
}

/* Cut, and at two other speeds. */
static void check_parts(const char *of, const struct trace *a,
			const struct set *speeds)
{
	struct closed sum = { 0 };

	check_sets(of, a, cuts, sizeof(cuts) / sizeof(cuts[0]), &sum);
	check_sets(of, a, speeds, 2, &sum);
	finish(of, &sum);
}

static void it_holds_on_parts_of_the_chat_trace(void)
{
	static const struct set speeds[] = {
		{ "a quarter of the speed", { .to = 1, .speed = 0.25 } },
		{ "four times the speed", { .to = 1, .speed = 4 } },
	};

	check_parts("chat", &chat, speeds);
}

static void it_holds_on_parts_of_the_agent_trace(void)
{
	static const struct set speeds[] = {
		{ "half, a quarter of the speed",
		  { .to = 0.5, .speed = 0.25 } },
		{ "half, four times the speed",
		  { .from = 0.5, .to = 1, .speed = 4 } },
	};

	check_parts("agent", &agent, speeds);
}

static void it_holds_on_mixtures(void)
{
	static const struct {
		const char *name;
		const struct trace *a, *b;
		struct variant va, vb;
	} sets[] = {
		{ "chat + agent",
		  &chat,
		  &agent,
		  { .from = 0, .to = 1 },
		  { .from = 0, .to = 1 } },
		{ "chat + half of agent, four times the speed",
		  &chat,
		  &agent,
		  { .from = 0, .to = 1 },
		  { .from = 0, .to = 0.5, .speed = 4 } },
		{ "chat, four times the speed + half of agent",
		  &chat,
		  &agent,
		  { .from = 0, .to = 1, .speed = 4 },
		  { .from = 0.5, .to = 1 } },
		{ "first + last third of agent",
		  &agent,
		  &agent,
		  { .from = 0, .to = THIRD },
		  { .from = 2 * THIRD, .to = 1 } },
	};
	struct closed sum = { 0 };
	struct variant vb;
	struct trace t;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		vb = sets[i].vb;
		vb.tag = 1;
		make_variant(&t, sets[i].a, &sets[i].va, sets[i].b, &vb);
		check_trace(sets[i].name, &t, &sum);
		trace_free(&t);
	}
	finish("mixtures", &sum);
}

static void it_does_little_harm_on_made_up_traces(void)
{
	struct closed sum = { .is_made_up = true };
	struct trace t;
	char name[32];

	for (uint64_t seed = 1; seed <= 3; seed++) {
		for (int k = 0; k < 2; k++) {
			CHECK_EQ(trace_init(&t), 0);
			CHECK_EQ(trace_generate(&t, k ? GEN_AGENT : GEN_CHAT,
						seed, k ? 2000 : 6000),
				 0);
			trace_set_clock(&t);
			snprintf(name, sizeof(name), "made-up %s %d",
				 k ? "agent" : "chat", (int)seed);
			check_trace(name, &t, &sum);
			trace_free(&t);
		}
	}
	finish("made up", &sum);
}

int main(void)
{
	if (!find(CHAT) || !find(AGENT)) {
		printf("no traces: %s is not there\n", path);
		return 77;
	}
	if (!load(&chat, CHAT) || !load(&agent, AGENT))
		return 1;
	CASE(it_holds_on_parts_of_the_chat_trace);
	CASE(it_holds_on_parts_of_the_agent_trace);
	CASE(it_holds_on_mixtures);
	CASE(it_does_little_harm_on_made_up_traces);
	trace_free(&chat);
	trace_free(&agent);
	UNIT_END();
}
