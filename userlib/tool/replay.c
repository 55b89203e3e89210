// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift replay: play a request trace against a pool and verify every byte. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "mkpool.h"
#include "traceopt.h"
#include "util.h"

struct args {
	struct trace_opts trace;
	bool as_json;
	struct engine_opts engine;
	struct mkpool_opts pool;
	bool pool_opts; /* some were given: need no --pool */
};

static const char help[] =
	"usage: kvlift replay TRACE|- [options]\n"
	"       kvlift replay [--generate chat|agent] [--seed N] [options]\n"
	"\n"
	"Play a trace of requests (JSON Lines with hash_ids; plain, .xz or .zst) as an\n"
	"engine would: look up each block of a prompt; one that is there is read and\n"
	"verified whole, one that is not is written; then the accesses are reported.\n"
	"Exit status 1 if a byte was wrong or an access failed.\n"
	"\n" TRACE_OPTIONS_HELP
	"  --pool DIR         use this mounted pool; without it one is made and removed:\n"
	"  --block SIZE         its block size (64K)\n"
	"  --dram SHARE         5%    of the distinct blocks, or a size\n"
	"  --cxl SHARE          10%   used when a node is named\n"
	"  --nvme SHARE         rest\n"
	"  --dram-node N        NUMA nodes of the tiers; the second one also from\n"
	"  --cxl-node N         KVLIFT_CXL_NODE\n"
	"  --nvme-device DEV    blank, or a kvlift device; in a test guest KVLIFT_NVME is\n"
	"                       taken; else a loop file in TMPDIR or /var/tmp\n"
	"  --region           one file for all blocks, mapped (default)\n"
	"  --objects          one file for each block, read and written\n"
	"  --hints KIND       tell the policy: none (default); request: chain and session of\n"
	"                     each request before its blocks are read; true or random: also\n"
	"                     when the session comes back, as simulate --hints does\n"
	"  --prefetch         ask for a request's blocks before reading them\n"
	"  --resume           verify what an earlier run left in --pool, and go on\n"
	"  --keep             leave the files in the pool\n"
	"  --name NAME        of the files (replay)\n"
	"  --json             report as JSON\n";

static void on_stop(int sig)
{
	stop_requested = sig;
}

static void catch_signals(void)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa;
	unsigned int i;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_stop;
	/* A second one ends it the hard way. */
	sa.sa_flags = (int)SA_RESETHAND;
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
}

enum {
	OPT_POOL = 256,
	OPT_BLOCK,
	OPT_DRAM,
	OPT_CXL,
	OPT_NVME,
	OPT_DRAM_NODE,
	OPT_CXL_NODE,
	OPT_NVME_DEVICE,
	OPT_REGION,
	OPT_OBJECTS,
	OPT_PREFETCH,
	OPT_HINTS,
	OPT_RESUME,
	OPT_KEEP,
	OPT_NAME,
	OPT_JSON,
};

static const struct option options[] = {
	TRACE_LONG_OPTIONS,
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "dram", required_argument, NULL, OPT_DRAM },
	{ "cxl", required_argument, NULL, OPT_CXL },
	{ "nvme", required_argument, NULL, OPT_NVME },
	{ "dram-node", required_argument, NULL, OPT_DRAM_NODE },
	{ "cxl-node", required_argument, NULL, OPT_CXL_NODE },
	{ "nvme-device", required_argument, NULL, OPT_NVME_DEVICE },
	{ "region", no_argument, NULL, OPT_REGION },
	{ "objects", no_argument, NULL, OPT_OBJECTS },
	{ "prefetch", no_argument, NULL, OPT_PREFETCH },
	{ "hints", required_argument, NULL, OPT_HINTS },
	{ "resume", no_argument, NULL, OPT_RESUME },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int node_arg(const char *s, int *node)
{
	uint64_t v;

	if (parse_u64(s, 1023, &v))
		return -EINVAL;
	*node = (int)v;
	return 0;
}

/* Options of a pool that is made. 0, or EXIT_USAGE after a message. */
static int pool_arg(int c, struct args *a)
{
	struct share *share = c == OPT_DRAM  ? &a->pool.dram
			      : c == OPT_CXL ? &a->pool.cxl
					     : &a->pool.nvme;
	uint64_t block;

	a->pool_opts = true;
	switch (c) {
	case OPT_BLOCK:
		if (parse_size(optarg, &block) || block < KVLIFT_BLOCK_MIN ||
		    block > KVLIFT_BLOCK_MAX || (block & (block - 1)))
			return usage_error(
				"--block %s: not a power of two from 16K to 2M",
				optarg);
		a->pool.block = block;
		return 0;
	case OPT_DRAM:
	case OPT_CXL:
	case OPT_NVME:
		if (share_parse(optarg, share) ||
		    (c != OPT_NVME && share->kind == SHARE_REST))
			return usage_error(
				"%s: neither a share like 5%% nor a size like 64M",
				optarg);
		return 0;
	case OPT_DRAM_NODE:
	case OPT_CXL_NODE:
		if (node_arg(optarg, c == OPT_DRAM_NODE ? &a->pool.dram_node
							: &a->pool.cxl_node))
			return usage_error("%s: not the number of a NUMA node",
					   optarg);
		return 0;
	default:
		a->pool.nvme_device = optarg;
		return 0;
	}
}

static int engine_arg(int c, struct args *a)
{
	switch (c) {
	case OPT_NAME:
		if (!*optarg || strchr(optarg, '/') || strlen(optarg) > 100)
			return usage_error("--name %s: not a short file name",
					   optarg);
		a->engine.name = optarg;
		return 0;
	case OPT_POOL:
		a->engine.dir = optarg;
		return 0;
	case OPT_REGION:
	case OPT_OBJECTS:
		a->engine.objects = c == OPT_OBJECTS;
		return 0;
	case OPT_HINTS:
		if (hints_parse(optarg, &a->engine.hints))
			return usage_error(
				"--hints %s: none, request, true or random",
				optarg);
		return 0;
	case OPT_PREFETCH:
		a->engine.prefetch = true;
		return 0;
	case OPT_RESUME:
		a->engine.resume = true;
		return 0;
	case OPT_KEEP:
		a->engine.keep = true;
		return 0;
	case OPT_JSON:
		a->as_json = true;
		return 0;
	}
	return trace_opt(&a->trace, c);
}

/* 0: go on, else the exit status plus one. */
static int parse_args(int argc, char **argv, struct args *a)
{
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK + 1;
		}
		if (c >= OPT_BLOCK && c <= OPT_NVME_DEVICE)
			ret = pool_arg(c, a);
		else
			ret = engine_arg(c, a);
		if (ret)
			return ret + 1;
	}
	ret = trace_operand(&a->trace, argc, argv);
	if (ret)
		return ret + 1;
	if (a->engine.dir && a->pool_opts)
		ret = usage_error(
			"--pool is there already: --block, --dram, --cxl, --nvme and the like are for one that is made");
	else if (a->engine.hints && a->engine.objects)
		ret = usage_error(
			"--hints is for --region: an object that is not there yet has no name to tell");
	else if (a->engine.resume && !a->engine.dir)
		ret = usage_error(
			"--resume needs the --pool of the earlier run");
	return ret ? ret + 1 : 0;
}

/* Devices of a test guest are emulated and may be wiped. */
static void take_guest(struct mkpool_opts *o)
{
	const char *guest = getenv("KVLIFT_GUEST");
	const char *nvme = getenv("KVLIFT_NVME");
	const char *node = getenv("KVLIFT_CXL_NODE");

	if (guest && !strcmp(guest, "1")) {
		o->force = true;
		if (!o->nvme_device && nvme && *nvme)
			o->nvme_device = nvme;
	}
	if (o->cxl_node < 0 && node)
		node_arg(node, &o->cxl_node);
	if (o->cxl_node < 0)
		error("note: no --cxl-node and no KVLIFT_CXL_NODE, so this pool has no cxl tier");
}

static int play(struct args *a, const struct trace *t, struct result *r)
{
	struct mkpool pool;
	int ret;

	catch_signals();
	if (a->engine.dir) {
		ret = mkpool_wait(a->engine.dir);
		return ret ? ret : engine_run(t, &a->engine, r);
	}
	take_guest(&a->pool);
	a->pool.blocks = t->nr_ids;
	if (!a->engine.objects)
		a->pool.extra = region_store_extra(t->nr_ids, a->pool.block);
	ret = mkpool_make(&a->pool, &pool);
	if (ret)
		return ret;
	a->engine.dir = pool.dir;
	ret = engine_run(t, &a->engine, r);
	a->engine.dir = NULL;
	mkpool_undo(&pool);
	return ret;
}

int run_replay(int argc, char **argv)
{
	struct args a = {
		.trace = { .seed = 1 },
		.engine = { .name = "replay" },
		.pool = {
			.block = 64 * KIB,
			.dram = { .kind = SHARE_PERCENT, .percent = 5 },
			.cxl = { .kind = SHARE_PERCENT, .percent = 10 },
			.nvme = { .kind = SHARE_REST },
			.dram_node = -1,
			.cxl_node = -1,
		},
	};
	struct result *r;
	struct trace t;
	int ret;

	ret = parse_args(argc, argv, &a);
	if (ret)
		return ret - 1;
	r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	ret = trace_get(&a.trace, &t);
	if (!ret)
		ret = play(&a, &t, r);
	if (!ret) {
		if (a.as_json)
			result_json(r, a.trace.trace, a.engine.objects);
		else
			result_text(r, a.trace.trace, a.engine.objects);
	}
	if (ret || r->mismatches || r->errors)
		ret = EXIT_FAIL;
	if (r->stopped && stop_requested)
		ret = 128 + stop_requested;
	trace_free(&t);
	free(r);
	return ret;
}
