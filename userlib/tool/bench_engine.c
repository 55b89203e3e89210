// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What an engine pays to get what is there already. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench_uring.h"
#include "kvlift.h"
#include "util.h"

#define OBJECT (64 * KIB)
#define NR     64u   /* objects; requests in a batch */
#define ROUNDS 16u   /* the cheapest counts: others have a timer tick in them */
#define WORDS  4096u /* of a location table */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A measured round: of all that it does, in a context. 0 or -errno. */
typedef int (*round_fn)(void *arg);

static int nothing(void *arg)
{
	return 0;
}

static int least(round_fn fn, void *arg, uint64_t *ns)
{
	uint64_t start, n;
	unsigned int i;
	int ret = 0;

	*ns = UINT64_MAX;
	for (i = 0; i < ROUNDS && !ret; i++) {
		start = cpu_ns();
		ret = fn(arg);
		n = cpu_ns() - start;
		if (n < *ns)
			*ns = n;
	}
	return ret;
}

/* Per @nr, without what it takes to look at the clock. */
static int cost(round_fn fn, void *arg, unsigned int nr, double *each)
{
	uint64_t ns = 0, empty = 0;
	int ret = least(nothing, NULL, &empty);

	ret = ret ?: least(fn, arg, &ns);
	*each = (double)(ns - empty) / nr;
	return ret;
}

/* The copy that the kernel makes, too: so the same instructions are counted. */
static void copy_words(void *to, const void *from, size_t len)
{
	size_t n = len / 8;

	__asm__ volatile("rep movsq"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
}

struct gets {
	int fd[NR];
	char *map[NR];
	char *buf, *source;
	struct kvlift_region *region[NR];
	struct kvlift_table table[NR];
	int queue;
	struct uring uring;
};

static int read_all(void *arg)
{
	struct gets *g = arg;
	unsigned int i;

	for (i = 0; i < NR; i++)
		if (pread(g->fd[i], g->buf, OBJECT, 0) != (ssize_t)OBJECT)
			return -EIO;
	return 0;
}

static int copy_all(void *arg)
{
	struct gets *g = arg;
	unsigned int i;

	for (i = 0; i < NR; i++) {
		syscall(SYS_getppid);
		copy_words(g->buf, g->source, OBJECT);
	}
	return 0;
}

static int call_all(void *arg)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		syscall(SYS_getppid);
	return 0;
}

/* In place, read where it is, and it did not move meanwhile. */
static int use_all(void *arg)
{
	struct gets *g = arg;
	unsigned int i;
	uint64_t word;
	int bad = 0;

	for (i = 0; i < NR; i++) {
		word = kvlift_table_lookup(&g->table[i], 0);
		bad |= !(word & KVLIFT_LOC_PRESENT) ||
		       kvlift_loc_tier(word) != KVLIFT_TIER_DRAM;
		bad |= *(volatile char *)g->map[i] != (char)i;
		bad |= kvlift_table_lookup(&g->table[i], 0) != word;
	}
	return bad ? -EIO : 0;
}

static int request_all(struct gets *g, uint32_t lease_ms)
{
	struct kvlift_req reqs[NR];
	struct kvlift_event events[NR];
	unsigned int i, n = 0;
	int ret;

	memset(reqs, 0, sizeof(reqs));
	for (i = 0; i < NR; i++) {
		reqs[i].cookie = i;
		reqs[i].count = 1;
		reqs[i].fd = g->fd[i];
		reqs[i].prio = KVLIFT_PRIO_NORMAL;
		reqs[i].op = lease_ms ? KVLIFT_OP_ACQUIRE : KVLIFT_OP_PREFETCH;
		reqs[i].lease_ms = lease_ms;
	}
	ret = kvlift_queue_submit(g->queue, reqs, NR);
	if (ret != (int)NR)
		return ret < 0 ? ret : -EIO;
	while (n < NR) {
		ret = kvlift_queue_read(g->queue, events, NR);
		if (ret < 0)
			return ret;
		for (i = 0; i < (unsigned int)ret; i++)
			if (events[i].res || events[i].blocks != 1)
				return -EIO;
		n += (unsigned int)ret;
	}
	return 0;
}

static int prefetch_all(void *arg)
{
	return request_all(arg, 0);
}

static int acquire_all(void *arg)
{
	struct gets *g = arg;
	int ret = request_all(g, 1000);
	unsigned int i;

	for (i = 0; i < NR && !ret; i++)
		ret = kvlift_queue_release(g->queue, i);
	return ret;
}

static int nop_all(void *arg)
{
	struct gets *g = arg;

	return uring_nops(&g->uring, NR);
}

/* A file, full, sealed, and open for reading only: as a put leaves it. */
static int make_object(struct gets *g, const struct kvlift_pool *pool,
		       unsigned int i)
{
	struct kvlift_region *r;
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "object%u", i);
	ret = kvlift_region_create(pool, name, OBJECT, 0600, &r);
	if (ret)
		return ret;
	memset(g->buf, (int)i, OBJECT);
	if (pwrite(kvlift_region_fd(r), g->buf, OBJECT, 0) != (ssize_t)OBJECT)
		ret = -EIO;
	ret = ret ?: kvlift_seal_file(r, NULL);
	kvlift_region_close(r);
	ret = ret ?: kvlift_region_open(pool, name, O_RDONLY, &g->region[i]);
	if (ret)
		return ret;
	g->fd[i] = kvlift_region_fd(g->region[i]);
	ret = kvlift_region_map(g->region[i], 0, OBJECT, PROT_READ,
				KVLIFT_MAP_POPULATE, (void **)&g->map[i]);
	return ret ?: kvlift_table_map(g->region[i], &g->table[i]);
}

static void drop_objects(struct gets *g)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		kvlift_table_unmap(&g->table[i]);
		if (g->map[i])
			kvlift_region_unmap(g->map[i], OBJECT);
		kvlift_region_close(g->region[i]);
	}
	free(g->buf);
	free(g->source);
}

static int measure_gets(struct bench *b, struct gets *g)
{
	double ours, peer;
	int ret;

	ret = cost(read_all, g, NR, &ours);
	ret = ret ?: cost(copy_all, g, NR, &peer);
	if (ret)
		return bench_lacks(b, "get by read(2)", ret);
	bench_add(b, "get-read", OBJECT, "instr/get", ours,
		  "rep movsq and getppid(2)", peer, 1.15);
	ret = cost(use_all, g, NR, &ours);
	ret = ret ?: cost(call_all, g, NR, &peer);
	if (ret)
		return bench_lacks(b, "get in a mapping", ret);
	bench_add(b, "get-mapped", OBJECT, "instr/get", ours, "getppid(2)",
		  peer, 1);
	return 0;
}

static int measure_queue(struct bench *b, struct gets *g,
			 const struct kvlift_pool *pool)
{
	double ours = 0, leases = 0, peer = 0;
	int ret;

	g->queue = kvlift_queue_open(pool);
	if (g->queue < 0)
		return bench_lacks(b, "requests", g->queue);
	ret = uring_open(&g->uring, NR);
	if (!ret) {
		ret = cost(prefetch_all, g, NR, &ours);
		ret = ret ?: cost(acquire_all, g, NR, &leases);
		ret = ret ?: cost(nop_all, g, NR, &peer);
		uring_close(&g->uring);
	}
	close(g->queue);
	if (ret)
		return bench_lacks(b, "requests", ret);
	bench_add(b, "prefetch-64", OBJECT, "instr/request", ours,
		  "io_uring no-op", peer, 1.5);
	bench_add(b, "acquire-64", OBJECT, "instr/request", leases,
		  "io_uring no-op", peer, HUGE_VAL);
	return 0;
}

struct lookup {
	struct kvlift_table table;
	uint64_t sum;
};

static int look_up_all(void *arg)
{
	struct lookup *l = arg;
	uint64_t i, sum = 0;

	for (i = 0; i < WORDS; i++)
		sum += kvlift_table_lookup(&l->table, i);
	l->sum = sum;
	return 0;
}

/* The loop, and something to add up. */
static int look_up_none(void *arg)
{
	struct lookup *l = arg;
	uint64_t i, sum = 0;

	for (i = 0; i < WORDS; i++) {
		sum += i;
		__asm__ volatile("" : "+r"(sum));
	}
	l->sum = sum;
	return 0;
}

static int measure_lookup(struct bench *b, const struct kvlift_pool *pool)
{
	struct kvlift_region *r;
	struct lookup l;
	double each = 0, loop = 0;
	int ret;

	ret = kvlift_region_create(pool, "table", WORDS * OBJECT, 0600, &r);
	if (!ret) {
		ret = kvlift_table_map(r, &l.table);
		if (!ret) {
			ret = cost(look_up_all, &l, WORDS, &each);
			ret = ret ?: cost(look_up_none, &l, WORDS, &loop);
			kvlift_table_unmap(&l.table);
		}
		kvlift_region_close(r);
	}
	if (ret)
		return bench_lacks(b, "lookups", ret);
	bench_add(b, "lookup", OBJECT, "instr/block", each - loop,
		  "an instruction", 1, 5);
	return 0;
}

static int in_pool(struct bench *b, const char *dir)
{
	struct gets g = { .buf = aligned_alloc(BENCH_PAGE, OBJECT),
			  .source = aligned_alloc(BENCH_PAGE, OBJECT) };
	struct kvlift_pool *pool = NULL;
	unsigned int i;
	int ret = g.buf && g.source ? 0 : -ENOMEM;

	ret = ret ?: kvlift_pool_open(dir, &pool);
	if (!ret)
		memset(g.source, 1, OBJECT);
	for (i = 0; i < NR && !ret; i++)
		ret = make_object(&g, pool, i);
	if (ret)
		bench_lacks(b, "objects", ret);
	else
		ret = measure_gets(b, &g);
	ret = ret ?: measure_queue(b, &g, pool);
	ret = ret ?: measure_lookup(b, pool);
	drop_objects(&g);
	kvlift_pool_close(pool);
	return ret;
}

int bench_engine(struct bench *b)
{
	struct mkpool p;
	int ret = bench_pool(b, &p, OBJECT, NR, false, NULL);

	if (ret)
		return bench_lacks(b, "a pool", ret);
	ret = in_pool(b, p.dir);
	mkpool_undo(&p);
	return ret;
}
