// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Touch rings, and the scan of accessed bits beside DAMON. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench_damon.h"
#include "kvlift.h"
#include "util.h"

#define BATCH	 256u
#define STEP_NS	 33000000u /* a step of decoding */
#define STEPS	 8u
#define TURNS	 4u
#define SAMPLE_S 0.4 /* so that all accesses are between two samples */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Some order in which no two neighbours follow each other. */
static void shuffle(uint64_t *index, size_t nr)
{
	uint64_t x = 1, swap;
	size_t i, j;

	for (i = 0; i < nr; i++)
		index[i] = i;
	for (i = nr - 1; i > 0; i--) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		j = (size_t)(x >> 33) % (i + 1);
		swap = index[i];
		index[i] = index[j];
		index[j] = swap;
	}
}

/*
 * All blocks once in a step, in batches, each of which is read before the
 * next; what writing them takes is known and taken off. The meter counts the
 * module's worker, too.
 */
static int ring_steps(struct kvlift_region *r, struct kvlift_ring *ring,
		      const uint64_t *index, size_t nr, double *producer,
		      double *consumer)
{
	uint64_t written = 0, sum = 0, start, done = 0;
	unsigned int step;
	struct meter m;
	size_t i;

	for (step = 0; step <= STEPS; step++) {
		bench_nap(STEP_NS);
		/* The first brings everything into the caches. */
		if (step == 1)
			written = done = sum = 0;
		meter_start(&m);
		for (i = 0; i + BATCH <= nr; i += BATCH) {
			start = cpu_ns();
			done += kvlift_ring_touch(ring, index + i, BATCH);
			written += cpu_ns() - start;
			if (kvlift_heat_get(r, 0, 0, NULL) < 0)
				return -EIO;
		}
		sum += meter_stop(&m);
	}
	if (done != STEPS * (nr / BATCH) * BATCH)
		return -EIO;
	*producer = (double)written / (double)done;
	*consumer = (double)(sum - written) / (double)done;
	return 0;
}

/* What it takes to look at the clock twice, and to ask for no heat at all. */
static void ring_empty(struct kvlift_region *r, double *clocks, double *asks)
{
	uint64_t start, sum = 0;
	struct meter m;
	int i;

	for (i = 0; i < 1000; i++) {
		start = cpu_ns();
		__asm__ volatile("");
		sum += cpu_ns() - start;
	}
	*clocks = (double)sum / 1000;
	meter_start(&m);
	for (i = 0; i < 1000; i++) {
		cpu_ns();
		cpu_ns();
		kvlift_heat_get(r, 0, 0, NULL);
	}
	*asks = (double)meter_stop(&m) / 1000;
}

static int ring_measure(struct kvlift_region *r, size_t nr, double *producer,
			double *consumer)
{
	uint64_t *index = calloc(nr, sizeof(*index));
	struct kvlift_ring ring;
	double clocks, asks;
	int ret;

	if (!index)
		return -ENOMEM;
	shuffle(index, nr);
	ring_empty(r, &clocks, &asks);
	ret = kvlift_ring_open(r, 0, &ring);
	if (!ret) {
		ret = ring_steps(r, &ring, index, nr, producer, consumer);
		kvlift_ring_close(&ring);
		*producer -= clocks / BATCH;
		*consumer -= (asks - clocks) / BATCH;
	}
	free(index);
	return ret;
}

static int bench_ring(struct bench *b)
{
	size_t nr = b->quick ? 2048 : 8192;
	struct kvlift_region *r = NULL;
	struct kvlift_pool *pool = NULL;
	double producer = 0, consumer = 0;
	struct mkpool p;
	struct area a;
	int ret;

	ret = bench_pool(b, &p, 64 * KIB, nr, false, NULL);
	if (ret)
		return ret;
	ret = area_make(&a, p.dir, 64 * KIB, nr);
	if (!ret) {
		area_touch(&a, true);
		ret = kvlift_pool_open(p.dir, &pool);
		ret = ret ?: kvlift_region_open(pool, "area", O_RDWR, &r);
		ret = ret ?: ring_measure(r, nr, &producer, &consumer);
		kvlift_region_close(r);
		kvlift_pool_close(pool);
		area_remove(&a);
	}
	mkpool_undo(&p);
	if (ret)
		return ret;
	bench_add(b, "ring-producer", 64 * KIB, "instr/block", producer,
		  "an instruction", 1, 5);
	bench_add(b, "ring-consumer", 64 * KIB, "instr/block", consumer,
		  "an instruction", 1, 60);
	return 0;
}

/* A quarter of the blocks, by chance, another one in each turn. */
static bool chosen(size_t i, unsigned int turn)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + turn * 0xbf58476d1ce4e5b9u;

	x = (x ^ x >> 30) * 0x94d049bb133111ebu;
	return (x >> 40) % 4 == 0;
}

/*
 * Every page of the chosen blocks. No CPU still has a translation that it has
 * accessed: neither side flushes them, and here is no other user of the TLB.
 */
static void access_some(const struct area *a, unsigned int turn)
{
	static volatile char sink;
	size_t i, at, len = 256 * BENCH_PAGE;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED) {
		memset(p, 1, len);
		munmap(p, len);
	}
	for (i = 0; i < a->nr; i++)
		for (at = 0; chosen(i, turn) && at < a->block; at += BENCH_PAGE)
			sink = a->map[i * a->block + at];
	(void)sink;
}

struct accuracy {
	size_t touched, missed, cold, wrong;
};

static void judge(struct accuracy *acc, const bool *hot, size_t nr,
		  unsigned int turn)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		if (chosen(i, turn)) {
			acc->touched++;
			acc->missed += !hot[i];
		} else {
			acc->cold++;
			acc->wrong += hot[i];
		}
	}
}

static int heat_of(const struct area *a, uint32_t flags, uint32_t *v)
{
	struct kvlift_heat h = {
		.count = a->nr,
		.ptr = (uintptr_t)v,
		.flags = flags,
	};

	return ioctl(a->fd, KVLIFT_IOC_HEAT, &h) ? -errno : 0;
}

static int scan_turns(const struct area *a, struct accuracy *acc, double *cost)
{
	uint32_t *was = calloc(a->nr, sizeof(*was));
	uint32_t *is = calloc(a->nr, sizeof(*is));
	bool *hot = calloc(a->nr, sizeof(*hot));
	uint64_t sum = 0, start;
	unsigned int turn;
	size_t i;
	int ret = was && is && hot ? 0 : -ENOMEM;

	ret = ret ?: heat_of(a, KVLIFT_HEAT_SCAN, was);
	for (turn = 0; turn < TURNS && !ret; turn++) {
		bench_nap(150000000);
		access_some(a, turn);
		ret = heat_of(a, 0, was);
		bench_nap(1000000);
		/* The scan, and for no block the answer. */
		start = cpu_ns();
		if (!ret) {
			struct kvlift_heat h = { .flags = KVLIFT_HEAT_SCAN };

			ret = ioctl(a->fd, KVLIFT_IOC_HEAT, &h) ? -errno : 0;
		}
		sum += cpu_ns() - start;
		ret = ret ?: heat_of(a, 0, is);
		for (i = 0; i < a->nr; i++)
			hot[i] = is[i] > was[i];
		judge(acc, hot, a->nr, turn);
	}
	*cost = (double)sum / TURNS;
	free(was);
	free(is);
	free(hot);
	return ret;
}

static int scan_ours(struct bench *b, size_t block, size_t nr,
		     struct accuracy *acc, double *cost)
{
	struct mkpool p;
	struct area a;
	int ret;

	ret = bench_pool(b, &p, block, nr * 5 / 8, false, NULL);
	if (ret)
		return ret;
	/* Asked for here, and nothing comes between. */
	ret = mount(NULL, p.dir, NULL, MS_REMOUNT, "scan=0") ? -errno : 0;
	ret = ret ?: area_make(&a, p.dir, block, nr);
	if (!ret) {
		area_touch(&a, true);
		ret = scan_turns(&a, acc, cost);
		area_remove(&a);
	}
	mkpool_undo(&p);
	return ret;
}

static int damon_turns(struct damon *d, const struct area *a,
		       struct accuracy *acc, double *cost)
{
	bool *hot = calloc(a->nr, sizeof(*hot));
	uint64_t start = 0, samples = 0;
	unsigned int turn;
	int ret = hot ? 0 : -ENOMEM;

	/* What it costs, with nobody reading what it found. */
	bench_nap((uint64_t)(2.5 * SAMPLE_S * 1e9));
	start = damon_cpu_ns(d);
	for (turn = 0; turn < TURNS; turn++) {
		access_some(a, turn);
		bench_nap((uint64_t)(SAMPLE_S * 1e9));
		samples++;
	}
	*cost = (double)(damon_cpu_ns(d) - start) / (double)samples;
	ret = ret ?: damon_listen(d);
	for (turn = 0; turn < TURNS && !ret; turn++) {
		/* Right behind a sample; then all of it before the next. */
		ret = damon_next(d, NULL);
		bench_nap((uint64_t)(SAMPLE_S * 0.3e9));
		access_some(a, turn);
		ret = ret ?: damon_next(d, hot);
		if (!ret)
			judge(acc, hot, a->nr, turn);
	}
	free(hot);
	return ret;
}

/* Peer: DAMON on fixed regions, one for each block: it can do no better. */
static int scan_theirs(size_t block, size_t nr, struct accuracy *acc,
		       double *cost)
{
	struct scratch s;
	struct damon d;
	struct area a;
	int ret;

	ret = scratch_mount(&s, "tmpfs", "none",
			    block == 2 * MIB ? "huge=always,size=100%"
					     : "huge=never,size=100%");
	if (ret)
		return ret;
	ret = area_make(&a, s.dir, block, nr);
	if (!ret) {
		area_touch(&a, true);
		ret = damon_start(&d, a.map, block, nr, SAMPLE_S);
		if (!ret) {
			ret = damon_turns(&d, &a, acc, cost);
			damon_stop(&d);
		}
		area_remove(&a);
	}
	scratch_umount(&s);
	return ret;
}

static double share(size_t part, size_t of)
{
	return of ? (double)part / (double)of : 0;
}

static int scan_size(struct bench *b, size_t block, size_t bytes)
{
	struct accuracy ours = { 0 }, theirs = { 0 };
	double cost = 0, peer = 0;
	const char *name = "DAMON, a region a block";
	size_t nr = bytes / block;
	int ret;

	ret = scan_ours(b, block, nr, &ours, &cost);
	ret = ret ?: scan_theirs(block, nr, &theirs, &peer);
	if (ret)
		return ret;
	bench_add(b, "scan", block, "instr/scan", cost, name, peer, 1);
	bench_add(b, "scan-missed", block, "share",
		  share(ours.missed, ours.touched), name,
		  share(theirs.missed, theirs.touched), 1);
	bench_add(b, "scan-wrong", block, "share", share(ours.wrong, ours.cold),
		  name, share(theirs.wrong, theirs.cold), 1);
	return 0;
}

int bench_scan(struct bench *b)
{
	size_t bytes = b->quick ? 256 * MIB : GIB;
	int ret, ret2;

	ret = bench_ring(b);
	if (ret)
		bench_lacks(b, "touch rings", ret);
	ret2 = scan_size(b, 64 * KIB, bytes);
	if (ret2)
		bench_lacks(b, "the scan of 64K", ret2);
	ret = ret ?: ret2;
	ret2 = scan_size(b, 2 * MIB, bytes);
	if (ret2)
		bench_lacks(b, "the scan of 2M", ret2);
	return ret ?: ret2;
}
