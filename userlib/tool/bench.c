// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift bench: what things cost, each beside its peer in the same run. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

static const char help[] =
	"usage: kvlift bench [options]\n"
	"\n"
	"Measure faults, moves and I/O of kvlift beside their peers and compare with the\n"
	"targets. Needs root, and makes null_blk devices, mounts and a cgroup of its own,\n"
	"which go away at the end. In a guest of scripts/guest --icount the figures are\n"
	"instructions and repeatable; elsewhere they are nanoseconds of processor time.\n"
	"Exit status 0 also when targets are missed, 1 when a row could not be measured.\n"
	"\n"
	"  --only GROUP,...   of those that --list shows\n"
	"  --list             show the groups\n"
	"  --quick            fewer blocks\n"
	"  --trace FILE       to be replayed; repeatable\n"
	"  --requests N       of each trace (1000)\n"
	"  --block SIZE       of the replay (64K)\n"
	"  --cxl-node N       NUMA node of the cxl tier (KVLIFT_CXL_NODE)\n"
	"  --json             a list of rows as JSON\n";

static const struct group {
	const char *name, *what;
	int (*run)(struct bench *b);
	bool metered;
	unsigned int cpus;
} groups[] = {
	{ "fault", "first touch and re-fault beside tmpfs", bench_fault, true,
	  1 },
	{ "move", "moves between memory tiers beside the copy and move_pages",
	  bench_move, true, 1 },
	{ "io", "promotion and demand faults from NVMe beside fio, swap, ext4",
	  bench_io, true, 1 },
	{ "clean", "demotion of clean blocks beside demotion by copy",
	  bench_clean, true, 1 },
	{ "policy", "policies per access and per decision", bench_policy, true,
	  1 },
	{ "scan", "touch rings, and accessed bits beside DAMON", bench_scan,
	  true, 1 },
	{ "engine", "gets, requests and lookups of what is there", bench_engine,
	  false, 1 },
	{ "attach", "opening and mapping a region, small and large", bench_open,
	  false, 1 },
	{ "gpu", "blocks to a GPU and back beside plain copies", bench_gpu,
	  true, 1 },
	{ "flush", "rounds of TLB flushes beside move_pages", bench_flush,
	  false, 2 },
	{ "blocked", "longest wait of a reader for a move", bench_blocked,
	  false, 2 },
	{ "replay", "stall of request traces beside swap and ext4",
	  bench_replay, false, 1 },
	{ NULL, NULL, NULL, false, 0 },
};

void bench_add(struct bench *b, const char *name, uint64_t block,
	       const char *unit, double kvlift, const char *peer_name,
	       double peer, double target)
{
	if (b->nr_rows == BENCH_MAX_ROW)
		abort();
	b->rows[b->nr_rows++] = (struct bench_row){
		.name = name,
		.unit = unit,
		.peer_name = peer_name,
		.block = block,
		.kvlift = kvlift,
		.peer = peer,
		.target = target,
	};
}

int bench_lacks(struct bench *b, const char *what, int err)
{
	error("%s could not be measured: %s", what, strerror(-err));
	b->failed = true;
	return err;
}

static double ratio(const struct bench_row *r)
{
	if (r->peer > 0)
		return r->kvlift / r->peer;
	return r->kvlift > 0 ? HUGE_VAL : 0;
}

/* "instr/MiB" where instructions are counted, else "ns/MiB". */
static const char *unit_text(const struct bench *b, const char *unit,
			     char buf[32])
{
	if (b->instructions || strncmp(unit, "instr", 5) != 0)
		return unit;
	snprintf(buf, 32, "ns%s", unit + 5);
	return buf;
}

static void print_json(const struct bench *b)
{
	struct json j;
	unsigned int i;
	char unit[32];

	json_init(&j, stdout);
	json_open(&j, NULL, '[');
	for (i = 0; i < b->nr_rows; i++) {
		const struct bench_row *r = &b->rows[i];

		json_open(&j, NULL, '{');
		json_str(&j, "name", r->name);
		json_u64(&j, "block", r->block);
		json_f64(&j, "kvlift", r->kvlift);
		json_f64(&j, "peer", r->peer);
		json_str(&j, "peer_name", r->peer_name);
		json_f64(&j, "ratio", ratio(r));
		json_f64(&j, "target", r->target);
		if (isinf(r->target))
			json_str(&j, "met", NULL);
		else
			json_bool(&j, "met", ratio(r) <= r->target);
		json_str(&j, "unit", unit_text(b, r->unit, unit));
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_end(&j);
}

static void print_table(const struct bench *b)
{
	char size[SIZE_TEXT], unit[32];
	unsigned int i;

	printf("%-22s %6s %12s %12s  %-24s %7s %7s\n", "row", "block", "kvlift",
	       "peer", "peer's name", "ratio", "target");
	for (i = 0; i < b->nr_rows; i++) {
		const struct bench_row *r = &b->rows[i];

		printf("%-22s %6s %12.6g %12.6g  %-24s %7.3f ", r->name,
		       size_text(r->block, size), r->kvlift, r->peer,
		       r->peer_name, ratio(r));
		if (isinf(r->target))
			printf("%7s %7s %s\n", "-", "",
			       unit_text(b, r->unit, unit));
		else
			printf("%7.3g %s %s\n", r->target,
			       ratio(r) <= r->target ? "met    " : "not met",
			       unit_text(b, r->unit, unit));
	}
}

static bool wanted(const struct bench *b, const char *name)
{
	size_t len = strlen(name);
	const char *p = b->only;

	if (!p)
		return true;
	for (;; p++) {
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
		p = strchr(p, ',');
		if (!p)
			return false;
	}
}

static void list(void)
{
	const struct group *g;

	for (g = groups; g->name; g++)
		printf("%-8s %s\n", g->name, g->what);
}

static bool known(const char *only)
{
	struct bench one = { .only = only };
	const char *p = only;
	const struct group *g;
	size_t names = 1, found = 0;

	while ((p = strchr(p, ',')) && p++)
		names++;
	for (g = groups; g->name; g++)
		found += wanted(&one, g->name);
	return found == names;
}

static void run_groups(struct bench *b)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const struct group *g;
	int ret;

	for (g = groups; g->name; g++) {
		if (!wanted(b, g->name))
			continue;
		if (cpus < (long)g->cpus) {
			/* A guest of one CPU measures the rest. */
			if (b->only)
				bench_lacks(b, g->name, -ENXIO);
			continue;
		}
		if (g->metered) {
			ret = meter_open();
			if (ret) {
				bench_lacks(b, g->name, ret);
				continue;
			}
		}
		if (g->run(b))
			b->failed = true;
		if (g->metered)
			meter_close();
	}
}

enum {
	OPT_ONLY = 256,
	OPT_LIST,
	OPT_QUICK,
	OPT_TRACE,
	OPT_REQUESTS,
	OPT_BLOCK,
	OPT_CXL_NODE,
	OPT_JSON,
};

static const struct option options[] = {
	{ "only", required_argument, NULL, OPT_ONLY },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "quick", no_argument, NULL, OPT_QUICK },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "requests", required_argument, NULL, OPT_REQUESTS },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "cxl-node", required_argument, NULL, OPT_CXL_NODE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* 0: go on, else the exit status plus one. */
static int option(struct bench *b, int c)
{
	uint64_t v;

	switch (c) {
	case 'h':
		fputs(help, stdout);
		return EXIT_OK + 1;
	case OPT_LIST:
		list();
		return EXIT_OK + 1;
	case OPT_ONLY:
		if (!known(optarg))
			return usage_error("--only %s: --list shows the names",
					   optarg) +
			       1;
		b->only = optarg;
		return 0;
	case OPT_QUICK:
		b->quick = true;
		return 0;
	case OPT_TRACE:
		if (b->nr_traces == BENCH_TRACES)
			return usage_error("--trace: too many") + 1;
		b->traces[b->nr_traces++] = optarg;
		return 0;
	case OPT_REQUESTS:
		if (parse_u64(optarg, UINT32_MAX, &b->requests) || !b->requests)
			return usage_error("--requests %s: not a number",
					   optarg) +
			       1;
		return 0;
	case OPT_BLOCK:
		if (parse_size(optarg, &b->block) ||
		    b->block < KVLIFT_BLOCK_MIN ||
		    b->block > KVLIFT_BLOCK_MAX || (b->block & (b->block - 1)))
			return usage_error(
				       "--block %s: not a power of two from 16K to 2M",
				       optarg) +
			       1;
		return 0;
	case OPT_CXL_NODE:
		if (parse_u64(optarg, 1023, &v))
			return usage_error("--cxl-node %s: not a number",
					   optarg) +
			       1;
		b->cxl_node = (int)v;
		return 0;
	case OPT_JSON:
		b->as_json = true;
		return 0;
	}
	return EXIT_USAGE + 1;
}

int run_bench(int argc, char **argv)
{
	struct bench b = {
		.requests = 1000,
		.block = 64 * KIB,
		.cxl_node = -1,
	};
	const char *node = getenv("KVLIFT_CXL_NODE");
	uint64_t v;
	int c, ret;

	if (node && !parse_u64(node, 1023, &v))
		b.cxl_node = (int)v;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		ret = option(&b, c);
		if (ret)
			return ret - 1;
	}
	if (optind < argc)
		return usage_error("'%s' is not an option", argv[optind]);
	if (geteuid() != 0) {
		error("needs root");
		return EXIT_FAIL;
	}
	b.instructions = clock_is_instructions();
	if (!b.instructions)
		error("note: the clock does not count instructions, so these are nanoseconds of processor time, and not repeatable");
	run_groups(&b);
	if (b.as_json)
		print_json(&b);
	else
		print_table(&b);
	return b.failed ? EXIT_FAIL : EXIT_OK;
}
