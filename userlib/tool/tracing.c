// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift trace: what a pool does and how long that takes. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bpfobj.h"
#include "file.h"
#include "tracing.h"

enum what {
	LIVE,
	PIN,
	UNPIN,
	LIST,
	SHOW
};

static const char help[] =
	"usage: kvlift trace [POOL] [options]\n"
	"       kvlift trace --pin|--unpin|--list|--show [POOL] [options]\n"
	"\n"
	"Show what happens in the pools, or in the one that has this number or that the\n"
	"directory POOL is on, and how long it took: in all, and of this waiting (for a\n"
	"slot, a lock, a worker), in the queue for the device, I/O, copying (between\n"
	"memories, or the checksum), and publishing the new place (of a fault: mapping).\n"
	"\n"
	"  --events LIST    fault,request,move,io,touch,error,unseal,shrink,limit,drop,policy\n"
	"                   (one was ejected) or all; all but io and touch when not given\n"
	"  --region R       only this region: its id, or a file's path\n"
	"  --min TIME       only what took at least that long, like 50us or 1.5ms\n"
	"  --duration TIME  end after this time, like 10s\n"
	"  --count N        end after N events\n"
	"  --stats          at the end print what the latencies were\n"
	"  --quiet          no events: only the statistics\n"
	"  --json           one JSON object per line\n"
	"\n"
	"With --pin the programs stay after the tool has ended, and gather heat per block\n"
	"and histograms of latency in maps below /sys/fs/bpf/kvlift/trace, for bpftool\n"
	"and others to read. --show prints them, --list names them, --unpin ends it all.\n"
	"\n"
	"  --dir DIR        another directory of a BPF filesystem\n"
	"  --blocks N       keep the heat of N blocks (65536)\n"
	"  --half-life TIME in which heat is halved (60s)\n"
	"  --verbose        all that libbpf says\n";

/* "850ns", "50us", "1.5ms", "10s". 0 or -EINVAL. */
static int parse_time(const char *s, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 },
		      { "us", 1e3 },
		      { "ms", 1e6 },
		      { "s", 1e9 },
		      { "min", 6e10 } };
	double value = 0, scale = 1;
	const char *p = s;
	unsigned int i;

	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (*p - '0');
	if (p == s)
		return -EINVAL;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			value += (*p - '0') * (scale /= 10);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(p, units[i].unit) != 0)
			continue;
		value *= units[i].ns;
		if (value > 1e18)
			return -EINVAL;
		*ns = (uint64_t)value;
		return 0;
	}
	return -EINVAL;
}

static int parse_events(const char *s, unsigned int *events)
{
	unsigned int i;

	*events = 0;
	while (*s) {
		size_t n = strcspn(s, ",");

		for (i = 0; i < KVL_NR_EVENTS; i++)
			if (strlen(trace_event_names[i]) == n &&
			    !strncmp(s, trace_event_names[i], n))
				break;
		if (i < KVL_NR_EVENTS)
			*events |= 1u << i;
		else if (n == 3 && !strncmp(s, "all", 3))
			*events = (1u << KVL_NR_EVENTS) - 1;
		else
			return -EINVAL;
		s += n;
		s += *s == ',';
	}
	return *events ? 0 : -EINVAL;
}

/* A number, or the path of a file, which tells the pool, too. */
static int parse_region(const char *s, struct trace_opts *o)
{
	struct kvlift_info info = { 0 };
	struct file f;
	uint64_t id;
	int ret;

	if (!parse_u64(s, UINT64_MAX, &id)) {
		o->filter.region = id;
		return id ? EXIT_OK : usage_error("--region 0: ids begin at 1");
	}
	if (file_open(s, &f))
		return EXIT_FAIL;
	o->filter.region = f.info.id;
	ret = kvlift_pool_info(f.pool, &info);
	o->filter.pool = info.pool;
	file_close(&f);
	if (ret)
		error("%s: %s", s, kvlift_strerror(ret));
	return ret ? EXIT_FAIL : EXIT_OK;
}

/* A number, or a directory of the pool. */
static int parse_pool(const char *s, struct trace_opts *o)
{
	struct kvlift_pool *pool;
	struct kvlift_info info;
	uint64_t number;
	int ret;

	if (!parse_u64(s, UINT32_MAX, &number)) {
		o->filter.pool = (int64_t)number;
		return EXIT_OK;
	}
	ret = kvlift_pool_open(s, &pool);
	if (!ret) {
		ret = kvlift_pool_info(pool, &info);
		kvlift_pool_close(pool);
	}
	if (ret) {
		error("%s: %s%s", s, kvlift_strerror(ret),
		      ret == -EMEDIUMTYPE ? "; 'kvlift status' lists the pools"
					  : "");
		return EXIT_FAIL;
	}
	o->filter.pool = info.pool;
	return EXIT_OK;
}

static int number(const char *name, const char *s, uint64_t max,
		  uint64_t *value)
{
	if (!parse_u64(s, max, value) && *value)
		return EXIT_OK;
	return usage_error("--%s %s: not a number from 1 to %llu", name, s,
			   (unsigned long long)max);
}

static int time_of(const char *name, const char *s, uint64_t *ns)
{
	if (!parse_time(s, ns) && *ns)
		return EXIT_OK;
	return usage_error("--%s %s: not a time like 50us or 1.5ms", name, s);
}

struct call {
	struct trace_opts o;
	enum what what;
	const char *region;
	bool live_only, pin_only;
};

static int set_what(struct call *c, enum what what)
{
	if (c->what != LIVE)
		return usage_error(
			"give one of --pin, --unpin, --list and --show");
	c->what = what;
	return EXIT_OK;
}

static int option(int c, const char *arg, struct call *call)
{
	struct trace_opts *o = &call->o;
	uint64_t ns = 0;
	int ret;

	if (strchr("ecdSq", c))
		call->live_only = true;
	if (strchr("Dbt", c))
		call->pin_only = true;
	switch (c) {
	case 'e':
		if (parse_events(arg, &o->events))
			return usage_error(
				"--events %s: not a list like fault,move", arg);
		return EXIT_OK;
	case 'r':
		call->region = arg;
		return EXIT_OK;
	case 'm':
		ret = time_of("min", arg, &ns);
		o->filter.min_ns = ns;
		return ret;
	case 'd':
		return time_of("duration", arg, &o->limit);
	case 'c':
		return number("count", arg, UINT64_MAX, &o->count);
	case 'S':
		o->stats = true;
		return EXIT_OK;
	case 'q':
		o->quiet = true;
		return EXIT_OK;
	case 'j':
		o->as_json = true;
		return EXIT_OK;
	case 'D':
		o->dir = arg;
		return EXIT_OK;
	case 'b':
		return number("blocks", arg, 1u << 28, &o->blocks);
	case 't':
		ret = time_of("half-life", arg, &ns);
		o->filter.half_life_ns = ns;
		return ret;
	case 'v':
		bpfobj_verbose();
		return EXIT_OK;
	case 'P':
		return set_what(call, PIN);
	case 'U':
		return set_what(call, UNPIN);
	case 'L':
		return set_what(call, LIST);
	case 'W':
		return set_what(call, SHOW);
	default:
		return usage_error("bad option");
	}
}

static int run(const struct call *c)
{
	if (bpfobj_missing()) {
		error("%s", bpfobj_missing());
		return EXIT_FAIL;
	}
#ifdef HAVE_LIBBPF
	switch (c->what) {
	case LIVE:
		return trace_live(&c->o);
	case PIN:
		return trace_pin(&c->o);
	case UNPIN:
		return trace_unpin(&c->o);
	case LIST:
		return trace_list(&c->o);
	case SHOW:
		return trace_show(&c->o);
	}
#endif
	return EXIT_FAIL;
}

int run_trace(int argc, char **argv)
{
	static const struct option options[] = {
		{ "events", required_argument, NULL, 'e' },
		{ "region", required_argument, NULL, 'r' },
		{ "min", required_argument, NULL, 'm' },
		{ "duration", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'c' },
		{ "stats", no_argument, NULL, 'S' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "pin", no_argument, NULL, 'P' },
		{ "unpin", no_argument, NULL, 'U' },
		{ "list", no_argument, NULL, 'L' },
		{ "show", no_argument, NULL, 'W' },
		{ "dir", required_argument, NULL, 'D' },
		{ "blocks", required_argument, NULL, 'b' },
		{ "half-life", required_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct call call = {
		.o = {
			.filter = { .pool = -1, .half_life_ns = 60000000000 },
			.dir = TRACE_DIR,
			.events = ((1u << KVL_NR_EVENTS) - 1) &
				  ~(1u << KVL_EV_IO | 1u << KVL_EV_TOUCH),
		},
	};
	int c, ret;

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		ret = option(c, optarg, &call);
		if (ret)
			return ret;
	}
	if (argc - optind > 1)
		return usage_error("more than one pool named");
	if (call.live_only && call.what != LIVE)
		return usage_error(
			"--events, --count, --duration, --stats and --quiet are for live events");
	if (call.pin_only && call.what == LIVE)
		return usage_error(
			"--dir, --blocks and --half-life are for pinned programs");
	if (call.o.quiet && !call.o.stats)
		return usage_error("--quiet without --stats shows nothing");
	ret = call.region ? parse_region(call.region, &call.o) : EXIT_OK;
	if (!ret && argv[optind])
		ret = parse_pool(argv[optind], &call.o);
	return ret ? ret : run(&call);
}
