// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift plan: which blocks of a file to load, and which to recompute. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "util.h"

#define NEVER KVLIFT_PLAN_NEVER

struct planning {
	struct file f;
	struct kvlift_plan_model model;
	struct kvlift_plan_server servers[KVLIFT_PLAN_SERVERS];
	/* Of a tier, as the caller says; 0: as the pool says. */
	uint64_t speed[KVLIFT_NR_TIERS], latency[KVLIFT_NR_TIERS];
	struct kvlift_plan_block *blocks;
	struct kvlift_plan plan;
	uint64_t first, end, act;
	unsigned int usable;
	bool as_json, list;
	struct json j;
};

/* "850us", "1.5ms", "3s", "20" ns. 0 or -EINVAL. */
static int parse_time(const char *s, uint64_t unit, uint64_t *value)
{
	char *rest;
	double v = strtod(s, &rest);

	if (rest == s || *s < '0' || *s > '9')
		return -EINVAL;
	if (!strcmp(rest, "us"))
		v *= 1e3;
	else if (!strcmp(rest, "ms"))
		v *= 1e6;
	else if (!strcmp(rest, "s"))
		v *= 1e9;
	else if (*rest && strcmp(rest, "ns") != 0)
		return -EINVAL;
	v *= (double)unit;
	if (!(v <= (double)KVLIFT_PLAN_TIME_MAX))
		return -EINVAL;
	*value = (uint64_t)(v + 0.5);
	return 0;
}

/* "3G" or "3G:80us": bytes a second, and latency. */
static int parse_speed(const char *s, uint64_t *speed, uint64_t *latency)
{
	const char *colon = strchr(s, ':');
	char *rate = colon ? strndup(s, (size_t)(colon - s)) : strdup(s);
	int ret;

	if (!rate)
		return -ENOMEM;
	ret = parse_size(rate, speed);
	free(rate);
	if (!ret && !*speed)
		ret = -EINVAL;
	*latency = 0;
	if (!ret && colon)
		ret = parse_time(colon + 1, 1, latency);
	return ret;
}

static int parse_tier(const char *s, unsigned int *tier)
{
	for (*tier = 0; *tier < KVLIFT_NR_TIERS; ++*tier)
		if (!strcmp(s, kvlift_tier_name(*tier)))
			return 0;
	return -EINVAL;
}

static uint64_t time_for(uint64_t bytes, uint64_t speed)
{
	double ns = (double)bytes * 1e9 / (double)speed;

	if (!bytes || ns > (double)KVLIFT_PLAN_TIME_MAX)
		return NEVER;
	return (uint64_t)(ns + 0.5);
}

/* What the caller says counts, then what the pool has measured. */
static int speeds(struct planning *p)
{
	unsigned int t, m;
	int ret;

	ret = kvlift_plan_servers(p->f.pool, p->act, p->servers);
	if (ret < 0) {
		error("speeds of the pool: %s", kvlift_strerror(ret));
		return ret;
	}
	for (t = 0; t < KVLIFT_NR_TIERS; t++) {
		for (m = 0; p->speed[t] && m < KVLIFT_MAX_MEMBERS; m++) {
			struct kvlift_plan_server *s =
				&p->servers[kvlift_plan_server_of(t, m)];

			s->latency_ns = p->latency[t];
			s->block_ns = time_for(p->f.block, p->speed[t]);
			s->act_ns = time_for(p->act, p->speed[t]);
		}
	}
	p->model.servers = p->servers;
	p->model.nr_servers = KVLIFT_PLAN_SERVERS;
	return 0;
}

/* Tells of which member it is not known how fast it is. */
static void tell_unknown(const struct planning *p, uint64_t count)
{
	bool told[KVLIFT_PLAN_SERVERS] = { false };
	uint64_t i;

	for (i = 0; i < count; i++) {
		const struct kvlift_plan_block *b = &p->blocks[i];
		const char *tier;

		if (!(b->have & KVLIFT_PLAN_KV) || told[b->server] ||
		    p->servers[b->server].block_ns != NEVER)
			continue;
		told[b->server] = true;
		tier = kvlift_tier_name(b->server / KVLIFT_MAX_MEMBERS);
		error("note: %s %u was not measured yet, so nothing is loaded from there; --%s RATE says how fast it is",
		      tier, b->server % KVLIFT_MAX_MEMBERS, tier);
	}
}

static const char *source_name(uint8_t source)
{
	static const char *const names[] = { "ready", "load", "project",
					     "recompute" };

	return names[source];
}

static void json_time(struct json *j, const char *key, uint64_t ns)
{
	if (ns == NEVER)
		json_str(j, key, NULL);
	else
		json_u64(j, key, ns);
}

static void emit(struct planning *p, uint64_t at, uint64_t count)
{
	const struct kvlift_plan_block *b = &p->blocks[at];
	bool stored = b->source == KVLIFT_PLAN_FROM_KV ||
		      b->source == KVLIFT_PLAN_FROM_ACT;
	const char *tier = kvlift_tier_name(b->server / KVLIFT_MAX_MEMBERS);
	unsigned int member = b->server % KVLIFT_MAX_MEMBERS;
	uint64_t ready = p->blocks[at + count - 1].ready_ns;
	char text[SIZE_TEXT];

	if (p->as_json) {
		json_open(&p->j, NULL, '{');
		json_u64(&p->j, "first", p->first + at);
		json_u64(&p->j, "count", count);
		json_str(&p->j, "source", source_name(b->source));
		if (stored) {
			json_str(&p->j, "tier", tier);
			json_u64(&p->j, "member", member);
		}
		json_u64(&p->j, "order", b->order);
		json_u64(&p->j, "ready_ns", ready);
		json_close(&p->j, '}');
		return;
	}
	printf("  %10llu +%-8llu %s", (unsigned long long)(p->first + at),
	       (unsigned long long)count, source_name(b->source));
	if (stored)
		printf(" from %s %u, turn %u", tier, member, b->order);
	if (b->source)
		printf(", ready after %s", ns_text(ready, text));
	putchar('\n');
}

/* The same thing is done with it, and next. */
static bool joins(const struct kvlift_plan_block *a,
		  const struct kvlift_plan_block *b)
{
	if (a->source != b->source)
		return false;
	if (a->source == KVLIFT_PLAN_FROM_NOTHING)
		return true;
	return b->order == a->order + 1 &&
	       (a->source == KVLIFT_PLAN_FROM_TOKENS || a->server == b->server);
}

static void emit_runs(struct planning *p, uint64_t count)
{
	uint64_t start = 0, i;

	for (i = 1; i <= count; i++) {
		if (i < count && joins(&p->blocks[i - 1], &p->blocks[i]))
			continue;
		emit(p, start, i - start);
		start = i;
	}
}

static void print_json(struct planning *p, const char *path, uint64_t count)
{
	struct json *j = &p->j;
	const struct kvlift_plan *v = &p->plan;

	json_init(j, stdout);
	json_open(j, NULL, '{');
	json_str(j, "file", path);
	json_u64(j, "block", p->f.block);
	json_u64(j, "first", p->first);
	json_u64(j, "blocks", count);
	json_u64(j, "ready", v->nr_ready);
	json_u64(j, "load", v->nr_load);
	json_u64(j, "project", v->nr_act);
	json_u64(j, "recompute", v->nr_recompute);
	json_time(j, "total_ns", v->total_ns);
	json_time(j, "load_ns", v->load_ns);
	json_time(j, "recompute_ns", v->recompute_ns);
	json_time(j, "load_recompute_ns", v->mixed_ns);
	json_time(j, "load_project_ns", v->act_ns);
	json_time(j, "recompute_project_ns", v->both_ns);
	json_bool(j, "recompute_useless",
		  v->flags & KVLIFT_PLAN_RECOMPUTE_USELESS);
	json_bool(j, "project_useless", v->flags & KVLIFT_PLAN_ACT_USELESS);
	if (p->list) {
		json_open(j, "runs", '[');
		emit_runs(p, count);
		json_close(j, ']');
	}
	json_close(j, '}');
	json_end(j);
}

static const char *time_text(uint64_t ns, char *text)
{
	return ns == NEVER ? "not possible" : ns_text(ns, text);
}

static void print_text(struct planning *p, const char *path, uint64_t count)
{
	const struct kvlift_plan *v = &p->plan;
	char size[SIZE_TEXT], t[5][SIZE_TEXT];

	printf("%s: %llu blocks of %s, ready after %s\n", path,
	       (unsigned long long)count, size_text(p->f.block, size),
	       time_text(v->total_ns, t[0]));
	if (p->list)
		emit_runs(p, count);
	printf("  ready %llu, load %llu, project %llu, recompute %llu\n",
	       (unsigned long long)v->nr_ready, (unsigned long long)v->nr_load,
	       (unsigned long long)v->nr_act,
	       (unsigned long long)v->nr_recompute);
	printf("  load all: %s; recompute all: %s; load and recompute: %s; load and project: %s; recompute and project: %s\n",
	       time_text(v->load_ns, t[0]), time_text(v->recompute_ns, t[1]),
	       time_text(v->mixed_ns, t[2]), time_text(v->act_ns, t[3]),
	       time_text(v->both_ns, t[4]));
	if (v->flags & KVLIFT_PLAN_RECOMPUTE_USELESS)
		puts("  recomputing is of no use here");
	if (p->act && v->flags & KVLIFT_PLAN_ACT_USELESS)
		puts("  activations are of no use here");
}

static int make(struct planning *p, const char *path)
{
	int64_t n;
	uint64_t i;
	int ret;

	if (p->end > p->f.blocks)
		p->end = p->f.blocks;
	n = p->end > p->first ? (int64_t)(p->end - p->first) : 0;
	p->blocks = calloc((size_t)n + 1, sizeof(*p->blocks));
	if (!p->blocks)
		return -ENOMEM;
	n = kvlift_plan_where(p->f.region, p->first, (uint64_t)n, p->usable,
			      p->blocks);
	if (n < 0)
		return (int)n;
	for (i = 0; p->act && i < (uint64_t)n; i++)
		if (p->blocks[i].have & KVLIFT_PLAN_KV)
			p->blocks[i].have |= KVLIFT_PLAN_ACT;
	p->model.first = p->first;
	tell_unknown(p, (uint64_t)n);
	ret = kvlift_plan_make(&p->model, p->blocks, (uint64_t)n, &p->plan);
	if (ret == -ENODATA)
		error("no plan: some block can neither be loaded nor recomputed; --compute says how long a block takes");
	if (ret)
		return ret;
	if (p->as_json)
		print_json(p, path, (uint64_t)n);
	else
		print_text(p, path, (uint64_t)n);
	return 0;
}

static const char help[] =
	"usage: kvlift plan FILE [options]\n"
	"\n"
	"Show which blocks of FILE to load, from where and in what order, and which to\n"
	"recompute, so that all of them are ready soonest. Nothing is moved. Speeds are\n"
	"those that the pool has measured.\n"
	"\n"
	"  --range A:B         only blocks A up to, but not including, B\n"
	"  --compute TIME      to recompute a block, such as 850us; without, none is\n"
	"  --attention TIME    what each block before it adds to that\n"
	"  --usable TIER       slowest tier whose blocks are ready: dram, cxl, or gpu for\n"
	"                      none (dram)\n"
	"  --activations SIZE  of a block, stored where the block is\n"
	"  --project TIME      to make a block from its activations\n"
	"  --dram, --cxl, --nvme RATE[:LATENCY]\n"
	"                      what each member of the tier gives, such as 3G:80us\n"
	"  --summary           no list of blocks\n"
	"  --json\n";

enum {
	OPT_TIER = 256, /* and those after it */
	OPT_COMPUTE = OPT_TIER + KVLIFT_NR_TIERS,
	OPT_ATTENTION,
	OPT_USABLE,
	OPT_ACTIVATIONS,
	OPT_PROJECT,
};

static const struct option options[] = {
	{ "range", required_argument, NULL, 'r' },
	{ "compute", required_argument, NULL, OPT_COMPUTE },
	{ "attention", required_argument, NULL, OPT_ATTENTION },
	{ "usable", required_argument, NULL, OPT_USABLE },
	{ "activations", required_argument, NULL, OPT_ACTIVATIONS },
	{ "project", required_argument, NULL, OPT_PROJECT },
	{ "dram", required_argument, NULL, OPT_TIER + KVLIFT_TIER_DRAM },
	{ "cxl", required_argument, NULL, OPT_TIER + KVLIFT_TIER_CXL },
	{ "nvme", required_argument, NULL, OPT_TIER + KVLIFT_TIER_NVME },
	{ "summary", no_argument, NULL, 's' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* 0, or -EINVAL: that is no value for the option. */
static int value(struct planning *p, int c, const char *arg)
{
	switch (c) {
	case 'r':
		return parse_range(arg, &p->first, &p->end);
	case OPT_COMPUTE:
		return parse_time(arg, 1, &p->model.compute_ns);
	case OPT_ATTENTION:
		return parse_time(arg, 1000, &p->model.attn_ps);
	case OPT_USABLE:
		return parse_tier(arg, &p->usable);
	case OPT_ACTIVATIONS:
		return parse_size(arg, &p->act);
	case OPT_PROJECT:
		return parse_time(arg, 1, &p->model.project_ns);
	default:
		c -= OPT_TIER;
		return parse_speed(arg, &p->speed[c], &p->latency[c]);
	}
}

int run_plan(int argc, char **argv)
{
	struct planning p = {
		.model = { .compute_ns = NEVER, .project_ns = NEVER },
		.end = UINT64_MAX,
		.usable = KVLIFT_TIER_DRAM,
		.list = true,
	};
	int c, at = 0, ret;

	while ((c = getopt_long(argc, argv, "r:sjh", options, &at)) != -1) {
		switch (c) {
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		case 's':
			p.list = false;
			break;
		case 'j':
			p.as_json = true;
			break;
		case '?':
			return usage_error("bad option");
		default:
			if (value(&p, c, optarg))
				return usage_error(
					"--%s %s: not a value for it",
					options[at].name, optarg);
		}
	}
	if (argc - optind != 1)
		return usage_error("give one file");
	if (file_open(argv[optind], &p.f))
		return EXIT_FAIL;
	ret = speeds(&p);
	if (!ret) {
		ret = make(&p, argv[optind]);
		if (ret && ret != -ENODATA)
			error("%s: %s", argv[optind], kvlift_strerror(ret));
	}
	free(p.blocks);
	file_close(&p.f);
	return ret ? EXIT_FAIL : EXIT_OK;
}
