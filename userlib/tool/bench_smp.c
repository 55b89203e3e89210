// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Rows that need two CPUs: rounds of TLB flushes, and waits for a move. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

#define RUN	   16 /* neighbours */
#define TRACING	   "/sys/kernel/tracing/"
#define FAULTS	   TRACING "events/kvlift/kvlift_fault/"
#define RELEASE	   "kvl_block_unlock_async"
#define SLACK_NS   300 /* from the entry of that to the release */
#define MOVES	   1000
#define QUICK	   100
#define REMOTE_IPI "reason == 4" /* TLB_REMOTE_SEND_IPI: one round */

/* A thread on the other CPU that has all pages in its TLB when asked to. */
struct toucher {
	pthread_t thread;
	const char *map;
	size_t len;
	int ask, stop; /* atomic */
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	volatile char sink;
	size_t i;

	pin_to(1);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		if (!__atomic_load_n(&t->ask, __ATOMIC_ACQUIRE))
			continue;
		for (i = 0; i < t->len; i += BENCH_PAGE)
			sink = t->map[i];
		__atomic_store_n(&t->ask, 0, __ATOMIC_RELEASE);
	}
	(void)sink;
	return NULL;
}

static int toucher_start(struct toucher *t, const char *map, size_t len)
{
	const struct sched_param none = { 0 };
	pthread_attr_t attr;
	int ret;

	t->map = map;
	t->len = len;
	t->ask = t->stop = 0;
	/* A spinning thread of the real-time class would starve its CPU. */
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &none);
	ret = -pthread_create(&t->thread, &attr, touch, t);
	pthread_attr_destroy(&attr);
	return ret;
}

static void toucher_ask(struct toucher *t)
{
	__atomic_store_n(&t->ask, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&t->ask, __ATOMIC_ACQUIRE))
		bench_nap(100000);
}

static void toucher_stop(struct toucher *t)
{
	__atomic_store_n(&t->stop, 1, __ATOMIC_RELEASE);
	pthread_join(t->thread, NULL);
}

static int wait_tier(const struct area *a, unsigned int tier, size_t nr)
{
	int64_t n = 0;
	int i;

	for (i = 0; i < 500; i++) {
		n = area_in_tier(a, tier);
		if (n < 0)
			return (int)n;
		if ((size_t)n >= nr)
			return 0;
		bench_nap(1000000);
	}
	error("%lld of %zu blocks came to %s", (long long)n, nr,
	      kvlift_tier_name(tier));
	return -EIO;
}

static int flush_kvlift(struct bench *b, size_t nr, double *rounds)
{
	const size_t block = 64 * KIB;
	struct toucher t;
	struct tpcount c;
	struct mkpool p;
	struct area a;
	uint64_t seen;
	size_t i;
	int ret;

	ret = bench_pool(b, &p, block, nr, true, NULL);
	if (ret)
		return ret;
	ret = area_make(&a, p.dir, block, nr);
	if (ret)
		goto undo;
	area_touch(&a, true);
	ret = toucher_start(&t, a.map, nr * block);
	if (ret)
		goto remove;
	toucher_ask(&t);
	ret = tpcount_open(&c, "tlb", "tlb_flush", REMOTE_IPI);
	if (!ret) {
		seen = tpcount_read(&c);
		for (i = 0; i < nr && !ret; i += RUN)
			ret = area_demote(&a, i, RUN);
		ret = ret ?: wait_tier(&a, KVLIFT_TIER_CXL, nr);
		*rounds = (double)(tpcount_read(&c) - seen) / (double)nr;
		tpcount_close(&c);
	}
	toucher_stop(&t);
remove:
	area_remove(&a);
undo:
	mkpool_undo(&p);
	return ret;
}

/* So many blocks a call. */
static int flush_movepages(struct bench *b, size_t nr, size_t run,
			   double *rounds)
{
	const size_t pages = run * 64 * KIB / BENCH_PAGE;
	struct toucher t;
	struct tpcount c;
	struct anon a;
	uint64_t seen;
	size_t i;
	int ret;

	ret = anon_make(&a, nr * 64 * KIB, false);
	if (ret)
		return ret;
	ret = toucher_start(&t, a.map, a.len);
	if (ret)
		goto free;
	toucher_ask(&t);
	ret = tpcount_open(&c, "tlb", "tlb_flush", REMOTE_IPI);
	if (!ret) {
		seen = tpcount_read(&c);
		for (i = 0; i < a.n && !ret; i += pages)
			ret = anon_move(&a, i, pages, b->cxl_node);
		*rounds = (double)(tpcount_read(&c) - seen) / (double)nr;
		tpcount_close(&c);
	}
	toucher_stop(&t);
free:
	anon_free(&a);
	return ret;
}

int bench_flush(struct bench *b)
{
	size_t nr = b->quick ? 64 : 256;
	double ours, theirs, runs;
	int ret;

	pin_to(0);
	ret = flush_kvlift(b, nr, &ours);
	ret = ret ?: flush_movepages(b, nr, 1, &theirs);
	ret = ret ?: flush_movepages(b, nr, RUN, &runs);
	if (ret)
		return bench_lacks(b, "flush rounds", ret);
	bench_add(b, "flush-rounds", 64 * KIB, "rounds/block", ours,
		  "move_pages 4K per block", theirs, 0.1);
	error("note: move_pages of %d blocks in a call: %.4f rounds per block",
	      RUN, runs);
	return 0;
}

struct reader {
	pthread_t thread;
	const struct area *a;
	int stop;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;

	pin_to(1);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE))
		area_touch(r->a, false);
	return NULL;
}

/* A line of the trace, with the clock in ns. */
struct event {
	double t;
	int cpu;
	const char *what;
};

static bool parse_event(const char *line, struct event *e)
{
	const char *p = strchr(line, '[');
	char *end;

	if (line[0] == '#' || !p)
		return false;
	e->cpu = (int)strtol(p + 1, &end, 10);
	p = strstr(end, "..... ");
	p = p ? p : strstr(end, ". ");
	if (!p)
		return false;
	e->t = strtod(strchr(p, ' '), &end);
	e->what = end;
	return *end == ':';
}

static double field(const char *what, const char *name)
{
	const char *p = strstr(what, name);

	return p ? strtod(p + strlen(name), NULL) : 0;
}

struct waits {
	double blocked, total; /* ns, the longest */
	uint64_t nr;
};

/*
 * The longest of the faults that waited. QEMU lets one CPU run at a time when
 * it counts instructions: the reader's turn comes some time after the mover
 * has released the block, and until then the mover does something else. So a
 * wait ends with the release on the mover's CPU, if there was one in it. A tick
 * of the clock is 1 ns there.
 */
static int longest_wait(struct waits *w)
{
	FILE *f = fopen(TRACING "trace", "re");
	double released[64] = { 0 };
	unsigned int n = 0, i;
	struct event e;
	char line[512];

	if (!f)
		return -errno;
	*w = (struct waits){ 0 };
	while (fgets(line, sizeof(line), f)) {
		double wait, begun, until;

		if (!parse_event(line, &e))
			continue;
		if (e.cpu == 0 && strstr(e.what, RELEASE))
			released[n++ % 64] = e.t;
		wait = field(e.what, " wait_ns=");
		if (!strstr(e.what, " kvlift_fault: ") || wait <= 0)
			continue;
		w->nr++;
		begun = e.t - field(e.what, " ns=") +
			field(e.what, " wait_at=");
		until = begun + wait;
		for (i = 0; i < 64; i++)
			if (released[i] >= begun - SLACK_NS &&
			    released[i] < until)
				until = released[i];
		if (wait > w->total)
			w->total = wait;
		if (until - begun > w->blocked)
			w->blocked = until - begun;
	}
	fclose(f);
	return w->nr ? 0 : -ENODATA;
}

static int trace_waits(void)
{
	int ret = write_text(TRACING "trace_clock", "x86-tsc");

	ret = ret ?: write_text(TRACING "set_ftrace_filter", RELEASE);
	ret = ret ?: write_text(TRACING "current_tracer", "function");
	ret = ret ?: write_text(FAULTS "filter", "wait_ns > 0");
	ret = ret ?: write_text(FAULTS "enable", "1");
	ret = ret ?: write_text(TRACING "tracing_on", "1");
	return ret ?: write_text(TRACING "trace", "\n");
}

static void trace_end(void)
{
	write_text(FAULTS "enable", "0");
	write_text(FAULTS "filter", "0");
	write_text(TRACING "current_tracer", "nop");
	write_text(TRACING "set_ftrace_filter", "\n");
	write_text(TRACING "trace_clock", "local");
}

/* Moves the one block down and up while it is being read. */
static int mover(const struct area *a, unsigned int moves)
{
	unsigned int done = 0, vain = 0;
	int64_t n;
	int ret;

	while (done < moves) {
		n = area_in_tier(a, KVLIFT_TIER_DRAM);
		if (n < 0)
			return (int)n;
		ret = n ? area_demote(a, 0, 1) : area_promote(a, 0, 1);
		if (ret)
			return ret;
		/* It may have been brought back by the reader by now. */
		done++;
		if (area_in_tier(a, KVLIFT_TIER_DRAM) == n &&
		    ++vain > 20 * moves)
			return -EBUSY;
		/* Odd, so that it does not keep step with the reader. */
		bench_nap(100000 + 7919 * (uint64_t)(done % 32));
	}
	return 0;
}

static int wait_of_reader(struct bench *b, size_t block, bool writable,
			  double *wait, double *copy)
{
	unsigned int moves = b->quick ? QUICK : MOVES;
	struct reader r = { 0 };
	struct waits w = { 0 };
	struct mkpool p;
	uint64_t calls;
	struct area a;
	int ret, stop;

	ret = bench_pool(b, &p, block, 8, true, NULL);
	if (ret)
		return ret;
	ret = area_make(&a, p.dir, block, 1);
	if (ret)
		goto undo;
	area_touch(&a, true);
	ret = graph_start(BENCH_COPY);
	if (!ret) {
		ret = mover(&a, 8);
		bench_nap(10000000);
		stop = graph_stop(1, copy, &calls);
		ret = ret ?: stop;
	}
	ret = ret ?: area_remap(&a, writable);
	if (ret)
		goto remove;
	r.a = &a;
	ret = trace_waits();
	if (ret)
		goto stop;
	ret = -pthread_create(&r.thread, NULL, read_on, &r);
	if (!ret) {
		ret = mover(&a, moves);
		__atomic_store_n(&r.stop, 1, __ATOMIC_RELEASE);
		pthread_join(r.thread, NULL);
	}
	ret = ret ?: longest_wait(&w);
	*wait = w.blocked;
	if (!ret)
		error("note: %lluK %s: %llu faults waited in %u moves, %.0f ns at most; %.0f with the mover's turn",
		      block / KIB, writable ? "writable" : "read-only",
		      (unsigned long long)w.nr, moves, w.blocked, w.total);
stop:
	trace_end();
remove:
	area_remove(&a);
undo:
	mkpool_undo(&p);
	return ret;
}

/* Mean of read faults on pages that are in tmpfs, one by one. */
static int minor_fault(double *ns)
{
	uint64_t sum = 0, start, empty = 0;
	struct scratch s;
	struct area a;
	int ret, i;

	ret = scratch_mount(&s, "tmpfs", "none", "huge=never");
	if (ret)
		return ret;
	ret = area_make(&a, s.dir, BENCH_PAGE, 1);
	if (!ret) {
		area_touch(&a, true);
		for (i = 0; i < MOVES && !ret; i++) {
			ret = area_unmap_pages(&a);
			start = now_ns();
			area_touch(&a, false);
			sum += now_ns() - start;
			start = now_ns();
			empty += now_ns() - start;
		}
		area_remove(&a);
	}
	scratch_umount(&s);
	*ns = (double)(sum - empty) / MOVES;
	return ret;
}

int bench_blocked(struct bench *b)
{
	double minor, wait, copy;
	int ret;

	pin_to(0);
	ret = minor_fault(&minor);
	ret = ret ?: wait_of_reader(b, 64 * KIB, true, &wait, &copy);
	if (ret)
		return bench_lacks(b, "waits for a move of 64K", ret);
	bench_add(b, "blocked", 64 * KIB, "ns max", wait, "tmpfs minor fault",
		  minor, 3);
	ret = wait_of_reader(b, 2 * MIB, false, &wait, &copy);
	if (ret)
		return bench_lacks(b, "waits for a read-only 2M", ret);
	bench_add(b, "blocked-readonly", 2 * MIB, "ns max", wait, BENCH_COPY,
		  copy, 0.05);
	ret = wait_of_reader(b, 2 * MIB, true, &wait, &copy);
	if (ret)
		return bench_lacks(b, "waits for a writable 2M", ret);
	bench_add(b, "blocked-writable", 2 * MIB, "ns max", wait, BENCH_COPY,
		  copy, 1.1);
	return 0;
}
