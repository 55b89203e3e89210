// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Blocks to the memory of a GPU and back, beside the bare copies. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench_uring.h"
#include "kvlift.h"
#include "util.h"

#define NR	 64u /* blocks of a request; requests in a batch */
#define ROUNDS	 16u /* the cheapest counts: others have a timer tick in them */
#define LEASE_MS 60000u
#define WAIT_MS	 60000

struct gpu_bench {
	struct bench *b;
	struct area a;
	struct kvlift_pool *pool;
	struct kvlift_region *region;
	struct kvlift_gpu *gpu;
	uint32_t backend;
	uint64_t *addrs;
	char *from, *to; /* of bare copies, as many bytes as the area has */
	struct uring uring;
	double memcpy_ns, kernel_ns; /* of a block */
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* As the kernel copies there. */
static void copy_words(void *to, const void *from, size_t len)
{
	size_t n = len / 8;

	__asm__ volatile("rep movsq"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
}

static double copy_all(const struct gpu_bench *g, bool as_kernel)
{
	uint64_t start = cpu_ns();
	size_t i;

	for (i = 0; i < g->a.nr; i++) {
		if (as_kernel)
			copy_words(g->to + i * g->a.block,
				   g->from + i * g->a.block, g->a.block);
		else
			memcpy(g->to + i * g->a.block, g->from + i * g->a.block,
			       g->a.block);
		__asm__ volatile("" : : : "memory");
	}
	return (double)(cpu_ns() - start) / (double)g->a.nr;
}

/* The least of some rounds, the first of which touches the memory. */
static void measure_copies(struct gpu_bench *g)
{
	unsigned int i;

	memset(g->from, 1, g->a.nr * g->a.block);
	g->memcpy_ns = g->kernel_ns = HUGE_VAL;
	for (i = 0; i < 4; i++) {
		g->memcpy_ns = fmin(g->memcpy_ns, copy_all(g, false));
		g->kernel_ns = fmin(g->kernel_ns, copy_all(g, true));
	}
}

static int expect(const struct gpu_bench *g, unsigned int tier)
{
	int64_t n = area_in_tier(&g->a, tier);

	if (n == (int64_t)g->a.nr)
		return 0;
	error("%lld of %zu blocks are in %s", (long long)n, g->a.nr,
	      kvlift_tier_name(tier));
	return n < 0 ? (int)n : -EIO;
}

/* Asks for all blocks, and waits until they are there. */
static int ask(struct gpu_bench *g, uint32_t flags, uint32_t lease_ms)
{
	struct kvlift_gpu_req r = {
		.region = g->region,
		.flags = flags,
		.prio = KVLIFT_PRIO_HIGH,
		.lease_ms = lease_ms,
	};
	struct kvlift_event e[NR];
	uint64_t asked = 0, got = 0;
	int ret, i;

	for (; r.first < g->a.nr; r.first += r.count, asked++) {
		r.count = g->a.nr - r.first < NR ? g->a.nr - r.first : NR;
		r.cookie = r.first;
		ret = kvlift_gpu_acquire(g->gpu, &r, 1);
		if (ret != 1)
			return ret < 0 ? ret : -EIO;
	}
	while (got < asked) {
		ret = kvlift_gpu_wait(g->gpu, e, NR, WAIT_MS);
		if (ret <= 0)
			return ret < 0 ? ret : -ETIME;
		for (i = 0; i < ret; i++)
			if (e[i].res)
				return e[i].res;
		got += (uint64_t)ret;
	}
	return 0;
}

static int release(struct gpu_bench *g)
{
	uint64_t cookie;
	int ret = 0;

	for (cookie = 0; cookie < g->a.nr && !ret; cookie += NR)
		ret = kvlift_gpu_release(g->gpu, cookie);
	return ret;
}

/* What area_touch() has written, where it can be seen. */
static bool is_right(const struct gpu_bench *g, uint64_t block, uint64_t addr)
{
	const char *at = (const char *)(uintptr_t)addr;
	size_t i;

	for (i = 0; i < g->a.block; i += BENCH_PAGE)
		if (at[i] != (char)((block * g->a.block + i) / BENCH_PAGE))
			return false;
	return true;
}

/* Each block has an address, and there is what was written. */
static int look(struct gpu_bench *g)
{
	uint64_t first, i;
	int n;

	for (first = 0; first < g->a.nr; first += NR) {
		n = kvlift_gpu_addresses(g->gpu, first, g->addrs, NR);
		if (n < 0)
			return n;
		for (i = 0; i < (uint64_t)n; i++) {
			if (g->addrs[i] &&
			    (g->backend != KVLIFT_GPU_MEMCPY ||
			     is_right(g, first + i, g->addrs[i])))
				continue;
			error("block %llu is wrong in the GPU",
			      (unsigned long long)(first + i));
			return -EIO;
		}
	}
	return 0;
}

/* All to the GPU; cost per block from the call until nobody is busy. */
static int bring(struct gpu_bench *g, uint32_t flags, double *cost)
{
	struct meter m;
	int ret;

	meter_settle();
	meter_start(&m);
	ret = ask(g, KVLIFT_REQ_GPU | flags, LEASE_MS);
	*cost = (double)meter_stop(&m) / (double)g->a.nr;
	ret = ret ?: expect(g, KVLIFT_TIER_GPU);
	ret = ret ?: look(g);
	return ret ?: release(g);
}

/* All out of the GPU, to wherever they go. */
static int leave(struct gpu_bench *g, unsigned int tier, double *cost)
{
	struct meter m;
	int ret;

	meter_settle();
	meter_start(&m);
	ret = area_demote(&g->a, 0, g->a.nr);
	*cost = (double)meter_stop(&m) / (double)g->a.nr;
	return ret ?: expect(g, tier);
}

static void add(struct gpu_bench *g, const char *name, double cost,
		const char *peer_name, double peer)
{
	bench_add(g->b, name, g->a.block, "instr/block", cost, peer_name, peer,
		  HUGE_VAL);
}

/* Every first turn is unseen: memory is touched, slabs get warm. */
static int from_dram(struct gpu_bench *g)
{
	double up = 0, drop = 0;
	int turn, ret = 0;

	for (turn = 0; turn < 2 && !ret; turn++) {
		ret = bring(g, 0, &up);
		ret = ret ?: leave(g, KVLIFT_TIER_DRAM, &drop);
	}
	if (ret)
		return bench_lacks(g->b, "from DRAM to the GPU", ret);
	add(g, "gpu-from-dram", up, "rep movsq + memcpy",
	    g->kernel_ns + g->memcpy_ns);
	add(g, "gpu-drop", drop, "rep movsq", g->kernel_ns);
	return 0;
}

/* Only the GPU has them then, so leaving it is a copy. */
static int from_window(struct gpu_bench *g)
{
	double up = 0, down = 0;
	int turn, ret = 0;

	for (turn = 0; turn < 2 && !ret; turn++) {
		ret = ask(g, KVLIFT_REQ_WINDOW, 0);
		ret = ret ?: bring(g, KVLIFT_REQ_EXCLUSIVE, &up);
		ret = ret ?: leave(g, KVLIFT_TIER_DRAM, &down);
	}
	if (ret)
		return bench_lacks(g->b, "from the window to the GPU", ret);
	add(g, "gpu-from-window", up, "memcpy", g->memcpy_ns);
	return 0;
}

static int written(struct gpu_bench *g)
{
	double up = 0, down = 0;
	int turn, ret = 0;

	for (turn = 0; turn < 2 && !ret; turn++) {
		ret = bring(g, KVLIFT_REQ_WRITE, &up);
		ret = ret ?: leave(g, KVLIFT_TIER_DRAM, &down);
	}
	if (ret)
		return bench_lacks(g->b, "from the GPU to DRAM", ret);
	add(g, "gpu-to-dram", down, "rep movsq + memcpy",
	    g->kernel_ns + g->memcpy_ns);
	return 0;
}

static int from_nvme(struct gpu_bench *g)
{
	double up = 0, drop = 0, promote = 0;
	struct meter m;
	int turn, ret;

	ret = leave(g, KVLIFT_TIER_NVME, &drop);
	for (turn = 0; turn < 2 && !ret; turn++) {
		ret = bring(g, 0, &up);
		/* The copy below is the device's. */
		ret = ret ?: leave(g, KVLIFT_TIER_NVME, &drop);
		meter_settle();
		meter_start(&m);
		ret = ret ?: area_promote(&g->a, 0, g->a.nr);
		promote = (double)meter_stop(&m) / (double)g->a.nr;
		ret = ret ?: expect(g, KVLIFT_TIER_DRAM);
		ret = ret ?: leave(g, KVLIFT_TIER_NVME, &drop);
	}
	if (ret)
		return bench_lacks(g->b, "from NVMe to the GPU", ret);
	add(g, "gpu-from-nvme", up, "promotion + memcpy",
	    promote + g->memcpy_ns);
	return 0;
}

/* Requests of a block each, no more than leases there may be. */
static unsigned int at_once(const struct gpu_bench *g)
{
	return g->a.nr < NR ? (unsigned int)g->a.nr : NR;
}

/* Their leases are given back. */
static int acquire_resident(struct gpu_bench *g)
{
	struct kvlift_gpu_req r[NR] = { { 0 } };
	struct kvlift_event e[NR];
	unsigned int i, n, all = at_once(g);
	int ret;

	for (i = 0; i < all; i++) {
		r[i].region = g->region;
		r[i].first = i;
		r[i].count = 1;
		r[i].cookie = i;
		r[i].flags = KVLIFT_REQ_GPU;
		r[i].prio = KVLIFT_PRIO_HIGH;
		r[i].lease_ms = LEASE_MS;
	}
	for (i = 0; i < all; i += (unsigned int)ret) {
		ret = kvlift_gpu_acquire(g->gpu, r + i, all - i);
		if (ret <= 0)
			return ret ? ret : -EIO;
	}
	for (n = 0; n < all; n += (unsigned int)ret) {
		ret = kvlift_gpu_wait(g->gpu, e, NR, WAIT_MS);
		if (ret <= 0)
			return ret ? ret : -ETIME;
		for (i = 0; i < (unsigned int)ret; i++)
			if (e[i].res)
				return e[i].res;
	}
	for (i = 0, ret = 0; i < all && !ret; i++) {
		ret = kvlift_gpu_addresses(g->gpu, i, g->addrs, 1);
		ret = ret < 0 ? ret : kvlift_gpu_release(g->gpu, i);
	}
	return ret;
}

static int resident(struct gpu_bench *g)
{
	uint64_t start, ns, ours = UINT64_MAX, peer = UINT64_MAX;
	double unseen;
	unsigned int i;
	int ret;

	ret = bring(g, 0, &unseen);
	ret = ret ?: uring_open(&g->uring, NR);
	if (ret)
		return bench_lacks(g->b, "what is in the GPU", ret);
	for (i = 0; i < ROUNDS && !ret; i++) {
		start = cpu_ns();
		ret = acquire_resident(g);
		ns = cpu_ns() - start;
		ours = ns < ours ? ns : ours;
		start = cpu_ns();
		ret = ret ?: uring_nops(&g->uring, at_once(g));
		ns = cpu_ns() - start;
		peer = ns < peer ? ns : peer;
	}
	uring_close(&g->uring);
	if (ret)
		return bench_lacks(g->b, "what is in the GPU", ret);
	add(g, "gpu-acquire-resident", (double)ours / at_once(g),
	    "io_uring no-op", (double)peer / at_once(g));
	return 0;
}

/* The first that there is: a GPU, or memory that stands in for one. */
static int attach(struct gpu_bench *g, struct kvlift_gpu **gpu)
{
	struct kvlift_gpu_opts o = {
		.backend = g->backend ?: KVLIFT_GPU_CUDA,
		/* Leases may hold half of it. */
		.bytes = 2 * g->a.nr * g->a.block,
		/* An eighth of it is kept for copies. */
		.window_bytes = (g->a.nr + g->a.nr / 4 + 2) * g->a.block,
		.name = "bench",
	};
	int ret = kvlift_gpu_attach(g->pool, NULL, &o, gpu);

	if (ret == -ELIBACC || ret == -ENODEV || ret == -ENOSYS) {
		o.backend = KVLIFT_GPU_MEMCPY;
		ret = kvlift_gpu_attach(g->pool, NULL, &o, gpu);
	}
	g->backend = o.backend;
	return ret;
}

/* To a second attachment, of the same device; nobody else has a copy. */
static int from_peer(struct gpu_bench *g)
{
	struct kvlift_gpu *first = g->gpu, *second = NULL;
	double up = 0, across = 0, down = 0;
	int turn, ret;

	ret = attach(g, &second);
	ret = ret ?: kvlift_gpu_peer(second, first, true);
	for (turn = 0; turn < 2 && !ret; turn++) {
		g->gpu = first;
		ret = bring(g, KVLIFT_REQ_EXCLUSIVE, &up);
		g->gpu = second;
		ret = ret ?: bring(g, KVLIFT_REQ_EXCLUSIVE, &across);
		ret = ret ?: leave(g, KVLIFT_TIER_DRAM, &down);
	}
	g->gpu = first;
	kvlift_gpu_close(second);
	if (ret)
		return bench_lacks(g->b, "from a GPU to another", ret);
	add(g, "gpu-peer", across, "memcpy", g->memcpy_ns);
	return 0;
}

static int in_pool(struct gpu_bench *g)
{
	int ret;

	/* No mapping stays that could write. */
	area_touch(&g->a, true);
	munmap(g->a.map, g->a.nr * g->a.block);
	g->a.map = NULL;
	ret = kvlift_region_open(g->pool, "area", O_RDWR, &g->region);
	ret = ret ?: attach(g, &g->gpu);
	if (ret)
		return bench_lacks(g->b, "an attachment", ret);
	measure_copies(g);
	ret = from_dram(g);
	ret = ret ?: from_window(g);
	ret = ret ?: written(g);
	ret = ret ?: from_peer(g);
	ret = ret ?: resident(g);
	ret = ret ?: leave(g, KVLIFT_TIER_DRAM, &(double){ 0 });
	ret = ret ?: from_nvme(g);
	kvlift_gpu_close(g->gpu);
	return ret;
}

static int block_size(struct bench *b, size_t block, size_t nr)
{
	struct gpu_bench g = { .b = b };
	struct nullb dev;
	struct mkpool p;
	int ret;

	ret = nullb_make(&dev, "kvbench0", 16 * block * nr + 64 * MIB, 0);
	if (ret)
		return bench_lacks(b, "a device", ret);
	/* Room for the region, copies below, and a window of half of what is
	 * pinned. */
	ret = bench_pool(b, &p, block, 4 * nr, false, &dev);
	if (ret)
		goto remove;
	ret = area_make(&g.a, p.dir, block, nr);
	if (ret)
		goto undo;
	g.addrs = calloc(NR, sizeof(*g.addrs));
	g.from = aligned_alloc(BENCH_PAGE, nr * block);
	g.to = aligned_alloc(BENCH_PAGE, nr * block);
	ret = g.addrs && g.from && g.to ? 0 : -ENOMEM;
	ret = ret ?: kvlift_pool_open(p.dir, &g.pool);
	ret = ret ?: in_pool(&g);
	kvlift_region_close(g.region);
	kvlift_pool_close(g.pool);
	free(g.addrs);
	free(g.from);
	free(g.to);
	area_remove(&g.a);
undo:
	mkpool_undo(&p);
remove:
	nullb_remove(&dev);
	return ret;
}

int bench_gpu(struct bench *b)
{
	int ret = block_size(b, 64 * KIB, b->quick ? 128 : 512);
	int ret2 = block_size(b, 2 * MIB, b->quick ? 8 : 16);

	if (ret || ret2)
		b->failed = true;
	return ret ?: ret2;
}
