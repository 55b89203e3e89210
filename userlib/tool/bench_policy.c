// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * What a policy costs: for each block of a request that is resident, and for
 * each that is not and takes the place of another. The pool has memory only, so
 * that nothing moves: all work is the policy's and that of asking it.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench_attach.h"
#include "kvlift.h"
#include "policy_verb.h"
#include "util.h"

#define BLOCK	     (64 * KIB)
#define CHAIN	     256u     /* blocks of a request */
#define WAIT_NS	     60000000 /* the worker gathers requests for 50 ms */
#define ROUNDS	     2
#define LEAST	     4u

#define FAULTS	     256u
#define FAULT_ROUNDS 8u

/* Who decides. */
struct who {
	const char *name;
	bool bpf;	     /* else built in */
	const char *without; /* a callback of it, or all */
	const char *module;  /* parameters */
};

/* Instructions for each block of a request, less those to tell of it. */
struct cost {
	double tell, access, decision;
	double one;  /* a request of one block that is resident */
	double call; /* inside the callbacks, for each decision */
};

struct run {
	struct policy_place place;
	struct area
		a;  /* blocks in memory, as many as can be, and as many holes */
	size_t nr;  /* of each */
	double nap; /* work of a nap */
	struct policy_report before, after;
};

static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int tell(const struct area *a, uint64_t first, uint64_t nr, bool use)
{
	struct kvlift_hint h[2] = {
		{ .op = KVLIFT_HINT_CHAIN,
		  .fd = a->fd,
		  .first = first,
		  .count = nr },
		{ .op = KVLIFT_HINT_REQUEST, .fd = -1, .session = 1 + first },
	};
	struct kvlift_hints u = { .ptr = (uintptr_t)h, .count = 1 + use };

	if (ioctl(a->fd, KVLIFT_IOC_HINT, &u))
		return -errno;
	return u.done == u.count ? 0 : -EIO;
}

/* From there on as many as there is room for. */
static int tell_all(const struct run *r, uint64_t first, uint64_t chain,
		    bool use)
{
	uint64_t i;
	int ret = 0;

	for (i = 0; i < r->nr && !ret; i += chain)
		ret = tell(&r->a, first + i,
			   r->nr - i < chain ? r->nr - i : chain, use);
	return ret;
}

/* A nap for so long costs something, too: timers, and to wake up. */
static double nap_work(void)
{
	struct meter m;

	meter_settle();
	meter_start(&m);
	bench_nap(WAIT_NS);
	return (double)meter_stop(&m);
}

static double work_of(const struct run *r, uint64_t first, uint64_t chain,
		      bool use, int *err)
{
	struct meter m;

	meter_settle();
	meter_start(&m);
	*err = *err ?: tell_all(r, first, chain, use);
	bench_nap(WAIT_NS);
	return ((double)meter_stop(&m) - r->nap) / (double)r->nr;
}

static uint64_t more(const struct run *r, const char *key)
{
	return policy_report_u64(&r->after, key) -
	       policy_report_u64(&r->before, key);
}

static double call_ns(const struct run *r)
{
	return (double)(more(r, "call_admit_ns") + more(r, "call_victims_ns") +
			more(r, "call_removed_ns") + more(r, "call_added_ns"));
}

/* Others that want the CPU only add to it. */
static double least_work(const struct run *r, bool use, int *err)
{
	double best = HUGE_VAL, sum;
	unsigned int i;

	for (i = 0; i < LEAST; i++) {
		sum = work_of(r, 0, CHAIN, use, err);
		if (sum < best)
			best = sum;
	}
	return best;
}

static int resident(struct run *r, struct cost *c)
{
	int ret = 0;

	c->tell = least_work(r, false, &ret);
	ret = ret ?: policy_report_read(&r->place, &r->before);
	c->access = least_work(r, true, &ret) - c->tell;
	ret = ret ?: policy_report_read(&r->place, &r->after);
	if (!ret && more(r, "hits") != LEAST * r->nr) {
		error("%llu of %zu blocks were resident",
		      (unsigned long long)more(r, "hits"), LEAST * r->nr);
		ret = -EIO;
	}
	c->one = work_of(r, 0, 1, true, &ret) - work_of(r, 0, 1, false, &ret);
	return ret;
}

/* Hits are not decisions, and a policy may keep what it was told of before. */
static int one_half(struct run *r, uint64_t first, struct cost *c, uint64_t *nr)
{
	double tell, all;
	uint64_t n;
	int ret = 0;

	tell = work_of(r, first, CHAIN, false, &ret);
	ret = ret ?: policy_report_read(&r->place, &r->before);
	all = work_of(r, first, CHAIN, true, &ret);
	ret = ret ?: policy_report_read(&r->place, &r->after);
	if (ret)
		return ret;
	n = more(r, "victims") + more(r, "victims_short") + more(r, "bypassed");
	if (!n)
		n = more(r, "admitted");
	c->decision += (all - tell) * (double)r->nr;
	c->decision -= c->access * (double)more(r, "hits");
	c->call += call_ns(r);
	*nr += n;
	return 0;
}

/* The holes come in, all others have to go; then these come back. */
static int one_round(struct run *r, struct cost *c, uint64_t *nr)
{
	int ret = one_half(r, r->nr, c, nr);

	return ret ?: one_half(r, 0, c, nr);
}

static int decisions(struct run *r, struct cost *c)
{
	uint64_t n = 0;
	int i, ret;

	/* Unseen: their records are made. */
	ret = tell_all(r, r->nr, CHAIN, true);
	ret = ret ?: tell_all(r, 0, CHAIN, true);
	bench_nap(WAIT_NS);
	c->decision = c->call = 0;
	for (i = 0; i < ROUNDS && !ret; i++)
		ret = one_round(r, c, &n);
	if (ret)
		return ret;
	if (!n)
		return -ENODATA;
	c->decision /= (double)n;
	c->call /= (double)n;
	return 0;
}

/* The slots above the watermark: known when a request has been told. */
static int64_t capacity(struct run *r)
{
	int ret = tell(&r->a, 0, 1, true);

	bench_nap(2 * WAIT_NS);
	ret = ret ?: policy_report_read(&r->place, &r->after);
	return ret ?: (int64_t)policy_report_u64(&r->after, "capacity");
}

static int fill(struct run *r)
{
	struct area in = r->a;
	int64_t room = capacity(r);
	int ret;

	if (room < (int64_t)CHAIN)
		return room < 0 ? (int)room : -ENOSPC;
	r->nr = (size_t)room;
	if (2 * r->nr > r->a.nr)
		return -E2BIG;
	in.nr = r->nr;
	area_touch(&in, true);
	ret = tell_all(r, 0, CHAIN, true);
	bench_nap(2 * WAIT_NS);
	ret = ret ?: tell_all(r, 0, CHAIN, true);
	bench_nap(WAIT_NS);
	r->nap = nap_work();
	return ret;
}

static int in_pool(const char *dir, size_t slots, struct run *r, struct cost *c)
{
	int ret;

	ret = area_make(&r->a, dir, BLOCK, 2 * slots);
	if (ret)
		return ret;
	ret = fill(r);
	ret = ret ?: resident(r, c);
	ret = ret ?: decisions(r, c);
	area_remove(&r->a);
	return ret;
}

/* With parameters that the pool's own loading does not give. */
static int load_module(const char *params)
{
	const char *ko = getenv("KVLIFT_KO");
	int fd, ret;

	if (!*params)
		return 0;
	if (!access("/sys/module/kvlift", F_OK))
		return -EEXIST;
	fd = open(ko ?: "", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, params, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static int unload_module(void)
{
	int tries;

	for (tries = 0; tries < 50; tries++) {
		if (!syscall(SYS_delete_module, "kvlift", O_NONBLOCK))
			return 0;
		bench_nap(20000000);
	}
	return -errno;
}

static int still_there(const struct who *w, const struct run *r)
{
	const char *name = policy_report_get(&r->after, "name"),
		   *reason = policy_report_get(&r->after, "reason");

	if (name && !strcmp(name, w->name))
		return 0;
	error("%s decides, not %s: %s", name ? name : "nobody", w->name,
	      reason ? reason : "");
	return -ENOENT;
}

static int measure(const struct who *w, size_t nr, struct cost *c)
{
	struct mkpool_opts o = {
		.block = BLOCK,
		.blocks = nr,
		.dram = { .kind = SHARE_BYTES, .bytes = nr * BLOCK },
		.nvme = { .kind = SHARE_BYTES },
		.dram_node = -1,
		.cxl_node = -1,
	};
	struct bench_attach *at = NULL;
	struct run r = { 0 };
	struct mkpool p;
	int ret;

	ret = load_module(w->module);
	if (ret)
		return ret;
	ret = mkpool_make(&o, &p);
	if (!ret) {
		if (policy_place_find(p.dir, &r.place))
			ret = -ENOENT;
		if (!ret && w->bpf)
			ret = bench_attach(w->name, w->without, r.place.pool,
					   &at);
		ret = ret ?: in_pool(p.dir, nr, &r, c);
		ret = ret ?: still_there(w, &r);
		bench_detach(at);
		mkpool_undo(&p);
	}
	if (*w->module && unload_module())
		ret = ret ?: -EBUSY;
	return ret;
}

enum {
	BARE,
	NOOP,
	LRU_C,
	LRU,
	GITTINS_C,
	GITTINS,
	NR_WHO
};

/* One that gives no victims when it is asked does not stay attached. */
static const struct {
	struct who who;
	const char *access, *decision;
} all[NR_WHO] = {
	[BARE] = { { "noop", true, "*", "" }, "access-none", "decision-none" },
	[NOOP] = { { "noop", true, "victims", "" },
		   "access-noop",
		   "decision-noop" },
	[LRU_C] = { { "lru", false, "", "builtin_lru=1" },
		    "access-lru-c",
		    "decision-lru-c" },
	[LRU] = { { "lru", true, "", "" }, "access-lru", "decision-lru" },
	[GITTINS_C] = { { "gittins", false, "", "" },
			"access-gittins-c",
			"decision-gittins-c" },
	[GITTINS] = { { "gittins", true, "", "" },
		      "access-gittins",
		      "decision-gittins" },
};

static void add(struct bench *b, const char *name, double value,
		const char *peer_name, double peer, double target)
{
	bench_add(b, name, BLOCK,
		  strstr(name, "access") ? "instr/access" : "instr/decision",
		  value, peer_name, peer, target);
}

/* What was not measured has no decisions. */
static bool have(const struct cost *c)
{
	return c->decision > 0;
}

static void judged(struct bench *b, const struct cost c[NR_WHO])
{
	if (have(&c[NOOP]) && have(&c[BARE]))
		add(b, "noop-access", c[NOOP].access - c[BARE].access,
		    "1 instruction", 1, 30);
	if (!have(&c[LRU]) || !have(&c[LRU_C]))
		return;
	add(b, "decision-lru", c[LRU].decision, "lru in C", c[LRU_C].decision,
	    1.3);
	add(b, "decision-lru-calls", c[LRU].call, "lru in C", c[LRU_C].call,
	    HUGE_VAL);
}

static void rows(struct bench *b, const struct cost c[NR_WHO])
{
	const struct cost *none = &c[BARE];
	unsigned int i;

	judged(b, c);
	if (!have(none))
		return;
	add(b, "access-none", none->access, "to tell", none->tell, HUGE_VAL);
	add(b, "decision-none", none->decision, "to tell", none->tell,
	    HUGE_VAL);
	for (i = NOOP; i < NR_WHO; i++) {
		if (!have(&c[i]))
			continue;
		add(b, all[i].access, c[i].access, "no callbacks", none->access,
		    HUGE_VAL);
		if (i != LRU)
			add(b, all[i].decision, c[i].decision, "no callbacks",
			    none->decision, HUGE_VAL);
	}
}

/*
 * What a fault pays for the event. Policies hear of the first touch in each
 * second; a round with a timer tick in it is not the least.
 */
static int fault_cost(const struct area *a, double *cost)
{
	uint64_t best = UINT64_MAX, ns;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < FAULT_ROUNDS && !ret; i++) {
		ret = area_unmap_pages(a);
		bench_nap(1100000000);
		ns = thread_ns();
		area_touch(a, true);
		ns = thread_ns() - ns;
		if (ns < best)
			best = ns;
	}
	bench_nap(2 * WAIT_NS);
	*cost = (double)best / (double)a->nr;
	return ret;
}

static int fault_noted(const struct area *a, struct run *r, double *cost)
{
	struct bench_attach *at = NULL;
	int ret;

	ret = bench_attach("noop", "*", r->place.pool, &at);
	ret = ret ?: policy_report_read(&r->place, &r->before);
	ret = ret ?: fault_cost(a, cost);
	ret = ret ?: policy_report_read(&r->place, &r->after);
	bench_detach(at);
	if (!ret && more(r, "hits") != FAULT_ROUNDS * a->nr) {
		error("the policy heard of %llu of %zu touches",
		      (unsigned long long)more(r, "hits"),
		      FAULT_ROUNDS * a->nr);
		ret = -EIO;
	}
	return ret;
}

static int fault_both(const char *dir, double *without, double *with)
{
	struct run r = { 0 };
	struct area a;
	int ret;

	if (policy_place_find(dir, &r.place))
		return -ENOENT;
	ret = area_make(&a, dir, BLOCK, FAULTS);
	if (ret)
		return ret;
	area_touch(&a, true);
	ret = fault_cost(&a, without);
	ret = ret ?: fault_noted(&a, &r, with);
	area_remove(&a);
	return ret;
}

static int fault(struct bench *b)
{
	double without, with;
	struct mkpool p;
	int ret;

	ret = bench_pool(b, &p, BLOCK, FAULTS, false, NULL);
	if (ret)
		return ret;
	ret = fault_both(p.dir, &without, &with);
	mkpool_undo(&p);
	if (ret)
		return ret;
	bench_add(b, "fault-attached", BLOCK, "instr/fault", with, "no policy",
		  without, HUGE_VAL);
	bench_add(b, "fault-event", BLOCK, "instr/fault", with - without,
		  "1 instruction", 1, HUGE_VAL);
	return 0;
}

int bench_policy(struct bench *b)
{
	struct cost c[NR_WHO] = { 0 };
	unsigned int i;
	int ret = 0, err;

	for (i = 0; i < NR_WHO; i++) {
		err = measure(&all[i].who, b->quick ? 512 : 1280, &c[i]);
		if (err) {
			c[i].decision = 0;
			ret = bench_lacks(b, all[i].access, err);
			continue;
		}
		error("note: %s: to tell of a block %.0f, in callbacks per decision %.0f, a request of one block %.0f",
		      all[i].access + strlen("access-"), c[i].tell, c[i].call,
		      c[i].one);
	}
	rows(b, c);
	/* Waits are long now, and for free where nobody wants the CPU. */
	meter_close();
	err = fault(b);
	return err ? bench_lacks(b, "fault-event", err) : ret;
}
