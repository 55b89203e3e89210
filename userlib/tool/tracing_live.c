// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Live events, and a summary at the end. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bpfobj.h"
#include "tracing.h"

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

struct live {
	const struct trace_opts *o;
	struct trace_obj events, latency;
	struct ring_buffer *ring;
	uint64_t seen;
};

static bool reached(const struct live *l)
{
	return l->o->count && l->seen >= l->o->count;
}

static int show(void *ctx, void *data, size_t size)
{
	struct live *l = ctx;

	const struct kvl_trace_event *e = data;

	if (size < sizeof(*e) || reached(l) ||
	    (e->type == KVL_EV_POLICY &&
	     size < sizeof(struct kvl_trace_policy)))
		return 0;
	l->seen++;
	if (l->o->as_json)
		trace_event_json(data);
	else
		trace_event_text(data);
	return 0;
}

static bool wants(const struct trace_opts *o, enum kvl_event_type type)
{
	return o->events & 1u << type;
}

/* event_NAME for each event; how moves went, where others are split by them. */
static bool want(const char *prog, const struct trace_opts *o)
{
	const char *name = prog + strlen("event_");
	unsigned int i;

	if (!strcmp(name, "recent"))
		return wants(o, KVL_EV_FAULT) || wants(o, KVL_EV_REQUEST);
	for (i = 0; i < KVL_NR_EVENTS; i++)
		if (!strcmp(name, trace_event_names[i]))
			return wants(o, i);
	return false;
}

static int start(struct live *l)
{
	struct bpf_map *map;
	int ret = 0;

	if (l->o->stats)
		ret = trace_obj_start(&l->latency, "trace_latency", l->o, NULL);
	if (!ret && !l->o->quiet)
		ret = trace_obj_start(&l->events, "trace_events", l->o, want);
	if (ret || l->o->quiet)
		return ret;
	map = bpf_object__find_map_by_name(l->events.obj, "kvl_events");
	l->ring = ring_buffer__new(bpf_map__fd(map), show, l, NULL);
	if (!l->ring) {
		ret = -errno;
		bpfobj_fail("ring buffer", ret);
	}
	return ret;
}

static void stop(struct live *l)
{
	ring_buffer__free(l->ring);
	if (l->events.obj)
		trace_obj_stop(&l->events);
	if (l->latency.obj)
		trace_obj_stop(&l->latency);
}

static int watch(struct live *l)
{
	uint64_t end = l->o->limit ? now_ns() + l->o->limit : UINT64_MAX;
	int ret = 0;

	while (!stopped && !reached(l) && now_ns() < end) {
		if (!l->ring) {
			usleep(100000);
			continue;
		}
		ret = ring_buffer__poll(l->ring, 100);
		if (ret < 0 && ret != -EINTR)
			return ret;
		fflush(stdout);
		/* Who reads has gone: head(1), for example. */
		if (ferror(stdout))
			return 0;
	}
	if (l->ring)
		ring_buffer__consume(l->ring);
	return 0;
}

static void summary(struct live *l)
{
	uint64_t lost = l->events.obj ? trace_obj_bss(&l->events) : 0;
	uint64_t missed = 0;
	bool titled = false;
	struct bpf_map *map;
	unsigned int i;

	for (i = 0; l->o->stats && trace_kinds[i]; i++) {
		char name[32];

		snprintf(name, sizeof(name), "kvl_%s", trace_kinds[i]);
		map = bpf_object__find_map_by_name(l->latency.obj, name);
		if (map)
			trace_stats_map(bpf_map__fd(map), trace_kinds[i], l->o,
					&titled);
	}
	if (l->o->stats && !l->o->as_json && !titled)
		puts("nothing happened");
	if (l->events.obj)
		missed += trace_obj_missed(&l->events);
	if (l->latency.obj)
		missed += trace_obj_missed(&l->latency);
	/* Among events alone it would be a surprise. */
	trace_missed(missed, l->o->as_json && l->o->stats);
	fflush(stdout);
	if (lost)
		error("%llu events were lost: more came than could be shown; choose fewer by --events, --region or --min",
		      (unsigned long long)lost);
}

int trace_live(const struct trace_opts *o)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct live l = { .o = o };
	int ret;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	ret = start(&l);
	if (ret) {
		stop(&l);
		return EXIT_FAIL;
	}
	fputs("kvlift trace: watching\n", stderr);
	if (!o->as_json && !o->quiet)
		trace_event_title();
	fflush(stdout);
	ret = watch(&l);
	if (ret)
		bpfobj_fail("ring buffer", ret);
	summary(&l);
	stop(&l);
	return ret ? EXIT_FAIL : EXIT_OK;
}
