// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift simulate: hit rates of policies on a trace, without a pool. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kvlift.h"
#include "simulate.h"
#include "traceopt.h"
#include "util.h"

#define SIZES "1%,5%,10%,20%" /* when none are asked for */

struct args {
	struct trace_opts trace;
	const char *cache, *tiers, *policies, *plot;
	bool as_json, verbose, atomic;
};

static const char help[] =
	"usage: kvlift simulate TRACE|- [options]\n"
	"       kvlift simulate [--generate chat|agent] [--seed N] [options]\n"
	"\n"
	"Play a trace of requests (JSON Lines with hash_ids; plain, .xz or .zst) against\n"
	"caches of several sizes under several policies, and report what they hit. No\n"
	"pool is needed.\n"
	"\n"
	"  --cache LIST       sizes, as a share of the distinct blocks or as a number of\n"
	"                     blocks (1%,5%,10%,20%)\n"
	"  --policy LIST      of the policies below (all), or ./NAME.so, one of your own\n"
	"                     (docs/policies.md)\n"
	"  --tiers LIST       tiers below that cache, dram: of cxl=SIZE and nvme or\n"
	"                     nvme=SIZE; dram=SIZE instead of --cache\n"
	"  --ahead            write each block down to nvme as soon as it is there\n" TRACE_OPTIONS_HELP
	"  --atomic           look each request up as a whole, and keep chains whole;\n"
	"                     only policies that can (leaf, prefix and gittins always do, and\n"
	"                     opt)\n"
	"  --batch N          victims that are asked for at a time (1)\n"
	"  --block SIZE       bytes of a block, for the bytes moved (64M)\n"
	"  --hints KIND       tell gittins when sessions come back: true (with an error),\n"
	"                     random or shuffled\n"
	"  --plot FILE        write the prefix hit rates as an SVG picture\n"
	"  --verbose          report the speed of the simulation too\n"
	"  --json             report as JSON\n"
	"\n"
	"Policies:\n";

static void show_help(void)
{
	const struct sim_policy *const *p;

	fputs(help, stdout);
	for (p = sim_policies; *p; p++)
		printf("  %-8s %s\n", (*p)->name, (*p)->summary);
}

double sim_block_hit(const struct sim_result *c)
{
	return c->refs ? (double)c->block_hits / (double)c->refs : 0;
}

double sim_prefix_hit(const struct sim_result *c)
{
	return c->refs ? (double)c->prefix_hits / (double)c->refs : 0;
}

double sim_refs_per_s(const struct sim_result *c)
{
	return c->cpu_ns ? (double)c->refs * 1e9 / (double)c->cpu_ns : 0;
}

double sim_gap_closed(const struct sim_report *r, unsigned int policy,
		      unsigned int size)
{
	const struct sim_result *lru = NULL, *opt = NULL;
	unsigned int i;
	double from, to;

	for (i = 0; i < r->nr_policies; i++) {
		if (r->policies[i] == &sim_lru)
			lru = sim_cell(r, i, size);
		if (r->policies[i] == &sim_opt)
			opt = sim_cell(r, i, size);
	}
	if (!lru || !opt || lru->prefix_hits >= opt->prefix_hits)
		return NAN;
	from = sim_prefix_hit(lru);
	to = sim_prefix_hit(opt);
	return (sim_prefix_hit(sim_cell(r, policy, size)) - from) / (to - from);
}

enum {
	OPT_CACHE = 256,
	OPT_TIERS,
	OPT_AHEAD,
	OPT_POLICY,
	OPT_ATOMIC,
	OPT_BATCH,
	OPT_BLOCK,
	OPT_HINTS,
	OPT_PLOT,
	OPT_VERBOSE,
	OPT_JSON,
};

static const struct option options[] = {
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "tiers", required_argument, NULL, OPT_TIERS },
	{ "ahead", no_argument, NULL, OPT_AHEAD },
	{ "policy", required_argument, NULL, OPT_POLICY },
	TRACE_LONG_OPTIONS,
	{ "atomic", no_argument, NULL, OPT_ATOMIC },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "hints", required_argument, NULL, OPT_HINTS },
	{ "plot", required_argument, NULL, OPT_PLOT },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int hints_arg(struct sim_report *r)
{
	if (!strcmp(optarg, "true"))
		r->hints = SIM_HINTS_TRUE;
	else if (!strcmp(optarg, "random"))
		r->hints = SIM_HINTS_RANDOM;
	else if (!strcmp(optarg, "shuffled"))
		r->hints = SIM_HINTS_SHUFFLED;
	else
		return usage_error("--hints %s: true, random or shuffled",
				   optarg);
	return 0;
}

static int take_arg(int c, struct args *a, struct sim_report *r)
{
	uint64_t n;

	switch (c) {
	case OPT_CACHE:
		a->cache = optarg;
		return 0;
	case OPT_POLICY:
		a->policies = optarg;
		return 0;
	case OPT_TIERS:
		a->tiers = optarg;
		return 0;
	case OPT_AHEAD:
		r->tiers.is_stored_ahead = true;
		return 0;
	case OPT_ATOMIC:
		a->atomic = true;
		return 0;
	case OPT_BATCH:
		if (parse_u64(optarg, UINT32_MAX, &n) || !n)
			return usage_error("--batch %s: not a number of blocks",
					   optarg);
		r->batch = (uint32_t)n;
		return 0;
	case OPT_BLOCK:
		if (parse_size(optarg, &r->block) || !r->block ||
		    r->block > 64 * GIB)
			return usage_error("--block %s: not a size like 64M",
					   optarg);
		return 0;
	case OPT_HINTS:
		return hints_arg(r);
	case OPT_PLOT:
		a->plot = optarg;
		return 0;
	case OPT_VERBOSE:
		a->verbose = true;
		return 0;
	case OPT_JSON:
		a->as_json = true;
		return 0;
	}
	return trace_opt(&a->trace, c);
}

/* For a trace of that many distinct blocks; 0 when that is not known yet. */
static int take_sizes(const struct args *a, struct sim_report *r,
		      uint32_t blocks)
{
	int ret = 0;

	r->nr_sizes = 0;
	if (a->tiers)
		ret = sim_parse_tiers(r, a->tiers, a->cache, blocks);
	if (!ret && !r->nr_sizes)
		ret = sim_parse_sizes(r, a->cache ? a->cache : SIZES, blocks);
	if (!ret && r->tiers.is_stored_ahead &&
	    !(r->tiers.nr && r->tiers.tier[r->tiers.nr - 1].is_device))
		ret = usage_error("--ahead: there is no nvme in --tiers");
	return ret;
}

/* 0: go on, else the exit status plus one. */
static int parse_args(int argc, char **argv, struct args *a,
		      struct sim_report *r)
{
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			show_help();
			return EXIT_OK + 1;
		}
		ret = take_arg(c, a, r);
		if (ret)
			return ret + 1;
	}
	ret = trace_operand(&a->trace, argc, argv);
	if (!ret)
		ret = sim_parse_policies(r, a->policies, a->atomic);
	/* What is no size at all is told before a long trace is read. */
	if (!ret)
		ret = take_sizes(a, r, 0);
	return ret ? ret + 1 : 0;
}

struct steps {
	struct progress p;
	uint64_t before; /* references of the runs that are done */
};

static void step(void *arg, uint64_t refs)
{
	struct steps *s = arg;

	progress_update(&s->p, s->before + refs);
}

static int run_all(struct sim_report *r, const uint32_t *hints)
{
	struct sim_setup setup = {
		.batch = r->batch,
		.hints = hints,
		.tiers = r->tiers.nr ? &r->tiers : NULL,
	};
	struct steps s = { .before = 0 };
	unsigned int i, k;
	int ret = 0;

	progress_start(&s.p, "simulate",
		       r->t->nr_refs * r->nr_policies * r->nr_sizes);
	for (i = 0; i < r->nr_policies && !ret; i++) {
		for (k = 0; k < r->nr_sizes && !ret; k++) {
			setup.mode = r->modes[i];
			setup.capacity = r->sizes[k].blocks;
			ret = sim_run(r->t, r->policies[i], &setup,
				      &r->results[i * r->nr_sizes + k], step,
				      &s);
			s.before += r->t->nr_refs;
		}
	}
	progress_end(&s.p);
	/* The others are told where they are found. */
	if (ret == -ENOMEM || ret == -EFBIG)
		error("policy %s: %s", r->policies[i - 1]->name,
		      kvlift_strerror(ret));
	return ret;
}

static int simulate(struct args *a, struct sim_report *r, struct trace *t)
{
	uint32_t *hints = NULL;
	int ret;

	/* Policies that learn when blocks come back need a clock that goes. */
	trace_set_clock(t);
	if (r->hints) {
		hints = sim_make_hints(r->t, r->hints);
		if (!hints)
			abort();
	}
	r->results = calloc((size_t)r->nr_policies * r->nr_sizes,
			    sizeof(*r->results));
	if (!r->results)
		abort();
	r->trace = a->trace.trace;
	ret = run_all(r, hints);
	free(hints);
	if (!ret && a->plot)
		ret = sim_plot(r, a->plot);
	if (!ret) {
		if (a->as_json)
			sim_json(r);
		else
			sim_text(r, a->verbose);
	}
	free(r->results);
	return ret ? EXIT_FAIL : EXIT_OK;
}

int run_simulate(int argc, char **argv)
{
	struct args a = { .trace = { .seed = 1 } };
	struct sim_report r = { .block = 64 * MIB, .batch = 1 };
	struct trace t;
	int ret;

	ret = parse_args(argc, argv, &a, &r);
	if (ret)
		return ret - 1;
	r.t = &t;
	if (trace_get(&a.trace, &t))
		ret = EXIT_FAIL;
	else
		ret = take_sizes(&a, &r, t.nr_ids);
	if (!ret)
		ret = simulate(&a, &r, &t);
	trace_free(&t);
	return ret;
}
