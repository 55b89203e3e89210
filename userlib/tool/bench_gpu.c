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
	double memcpy_ns; /* of a block */
};

/* Of an operation, per block: all of it, and the copies that are in it. */
struct cost {
	double ns, copy_ns; /* copy_ns: a copy by the kernel */
	double by_kernel, by_mover;
};

/* The first touches memory and warms slabs, the next counts. The last, which
 * the tracer makes slower, tells what copies are in it.
 */
#define TURNS  3
#define TRACED 2

struct op {
	struct meter m;
	uint64_t moved;
	bool traced;
};

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* As the mover copies; the least of some rounds. */
static void measure_memcpy(struct gpu_bench *g)
{
	uint64_t start;
	unsigned int i;
	size_t at;

	memset(g->from, 1, g->a.nr * g->a.block);
	g->memcpy_ns = HUGE_VAL;
	for (i = 0; i < 4; i++) {
		start = cpu_ns();
		for (at = 0; at < g->a.nr * g->a.block; at += g->a.block) {
			memcpy(g->to + at, g->from + at, g->a.block);
			__asm__ volatile("" : : : "memory");
		}
		g->memcpy_ns = fmin(g->memcpy_ns, (double)(cpu_ns() - start) /
							  (double)g->a.nr);
	}
}

/* Blocks that the mover has copied. */
static uint64_t moved(const struct gpu_bench *g)
{
	struct kvlift_gpu_info info;

	return kvlift_gpu_info(g->gpu, &info) ? 0
					      : info.mover.in + info.mover.out;
}

static int op_start(const struct gpu_bench *g, int turn, struct op *o)
{
	int ret = 0;

	meter_settle();
	o->traced = turn == TRACED;
	o->moved = moved(g);
	if (o->traced)
		ret = graph_start(BENCH_COPY);
	meter_start(&o->m);
	return ret;
}

static int op_stop(const struct gpu_bench *g, const struct op *o,
		   struct cost *c)
{
	double ns = (double)meter_stop(&o->m), nr = (double)g->a.nr;
	uint64_t calls;
	int ret;

	if (!o->traced) {
		c->ns = ns / nr;
		return 0;
	}
	ret = graph_stop(0, &c->copy_ns, &calls);
	c->by_kernel = (double)calls / nr;
	c->by_mover = (double)(moved(g) - o->moved) / nr;
	return ret;
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

/* All to the GPU; cost from the call until nobody is busy. */
static int bring(struct gpu_bench *g, int turn, uint32_t flags, struct cost *c)
{
	struct op o;
	int ret, stop;

	ret = op_start(g, turn, &o);
	ret = ret ?: ask(g, KVLIFT_REQ_GPU | flags, LEASE_MS);
	stop = op_stop(g, &o, c);
	ret = ret ?: stop;
	ret = ret ?: expect(g, KVLIFT_TIER_GPU);
	ret = ret ?: look(g);
	return ret ?: release(g);
}

/* All from where they are to below, or from there to memory. */
static int move(struct gpu_bench *g, int turn, unsigned int tier,
		int (*how)(const struct area *a, uint64_t first,
			   uint64_t count),
		struct cost *c)
{
	struct op o;
	int ret, stop;

	ret = op_start(g, turn, &o);
	ret = ret ?: how(&g->a, 0, g->a.nr);
	stop = op_stop(g, &o, c);
	ret = ret ?: stop;
	return ret ?: expect(g, tier);
}

/* All out of the GPU, to wherever they go. */
static int leave(struct gpu_bench *g, int turn, unsigned int tier,
		 struct cost *c)
{
	return move(g, turn, tier, area_demote, c);
}

static void add(struct gpu_bench *g, const char *name, const struct cost *c,
		const char *peer_name, double peer, double target)
{
	char size[SIZE_TEXT];

	bench_add(g->b, name, g->a.block, "instr/block", c->ns, peer_name, peer,
		  target);
	error("note: %s %s: per block %.2f copies by the kernel (%.0f each), %.2f by the mover (%.0f), and %.0f besides",
	      name, size_text(g->a.block, size), c->by_kernel, c->copy_ns,
	      c->by_mover, g->memcpy_ns,
	      c->ns - c->by_kernel * c->copy_ns - c->by_mover * g->memcpy_ns);
}

/* No more than a move between memories may cost beside its copy. */
static double of_two_copies(const struct gpu_bench *g)
{
	return g->a.block == 2 * MIB ? 1.05 : 1.4;
}

static int from_dram(struct gpu_bench *g)
{
	struct cost up = { 0 }, drop = { 0 };
	int turn, ret = 0;

	for (turn = 0; turn < TURNS && !ret; turn++) {
		ret = bring(g, turn, 0, &up);
		ret = ret ?: leave(g, turn, KVLIFT_TIER_DRAM, &drop);
	}
	if (ret)
		return bench_lacks(g->b, "from DRAM to the GPU", ret);
	add(g, "gpu-from-dram", &up, BENCH_COPY " + memcpy",
	    up.copy_ns + g->memcpy_ns, of_two_copies(g));
	add(g, "gpu-drop", &drop, BENCH_COPY, up.copy_ns, HUGE_VAL);
	return 0;
}

/* Only the GPU has them then, so leaving it is a copy. */
static int from_window(struct gpu_bench *g)
{
	struct cost up = { 0 }, down;
	int turn, ret = 0;

	for (turn = 0; turn < TURNS && !ret; turn++) {
		ret = ask(g, KVLIFT_REQ_WINDOW, 0);
		ret = ret ?: bring(g, turn, KVLIFT_REQ_EXCLUSIVE, &up);
		ret = ret ?: leave(g, 0, KVLIFT_TIER_DRAM, &down);
	}
	if (ret)
		return bench_lacks(g->b, "from the window to the GPU", ret);
	add(g, "gpu-from-window", &up, "memcpy", g->memcpy_ns, HUGE_VAL);
	return 0;
}

static int written(struct gpu_bench *g)
{
	struct cost up, down = { 0 };
	int turn, ret = 0;

	for (turn = 0; turn < TURNS && !ret; turn++) {
		ret = bring(g, 0, KVLIFT_REQ_WRITE, &up);
		ret = ret ?: leave(g, turn, KVLIFT_TIER_DRAM, &down);
	}
	if (ret)
		return bench_lacks(g->b, "from the GPU to DRAM", ret);
	add(g, "gpu-to-dram", &down, BENCH_COPY " + memcpy",
	    down.copy_ns + g->memcpy_ns, of_two_copies(g));
	return 0;
}

static int from_nvme(struct gpu_bench *g)
{
	struct cost up = { 0 }, drop, promote;
	int turn, ret;

	ret = leave(g, 0, KVLIFT_TIER_NVME, &drop);
	for (turn = 0; turn < TURNS && !ret; turn++) {
		ret = bring(g, turn, 0, &up);
		/* The copy below is the device's. */
		ret = ret ?: leave(g, 0, KVLIFT_TIER_NVME, &drop);
		ret = ret
			      ?: move(g, 0, KVLIFT_TIER_DRAM, area_promote,
				      &promote);
		ret = ret ?: leave(g, 0, KVLIFT_TIER_NVME, &drop);
	}
	if (ret)
		return bench_lacks(g->b, "from NVMe to the GPU", ret);
	add(g, "gpu-from-nvme", &up, "promotion + memcpy",
	    promote.ns + g->memcpy_ns, HUGE_VAL);
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
	struct cost unseen;
	unsigned int i;
	int ret;

	ret = bring(g, 0, 0, &unseen);
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
	bench_add(g->b, "gpu-acquire-resident", g->a.block, "instr/block",
		  (double)ours / at_once(g), "io_uring no-op",
		  (double)peer / at_once(g), HUGE_VAL);
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
	struct cost up, across = { 0 }, down;
	int turn, ret;

	ret = attach(g, &second);
	ret = ret ?: kvlift_gpu_peer(second, first, true);
	for (turn = 0; turn < TURNS && !ret; turn++) {
		g->gpu = first;
		ret = bring(g, 0, KVLIFT_REQ_EXCLUSIVE, &up);
		g->gpu = second;
		ret = ret ?: bring(g, turn, KVLIFT_REQ_EXCLUSIVE, &across);
		ret = ret ?: leave(g, 0, KVLIFT_TIER_DRAM, &down);
	}
	g->gpu = first;
	kvlift_gpu_close(second);
	if (ret)
		return bench_lacks(g->b, "from a GPU to another", ret);
	add(g, "gpu-peer", &across, "memcpy", g->memcpy_ns, HUGE_VAL);
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
	measure_memcpy(g);
	ret = from_dram(g);
	ret = ret ?: from_window(g);
	ret = ret ?: written(g);
	ret = ret ?: from_peer(g);
	ret = ret ?: resident(g);
	ret = ret ?: leave(g, 0, KVLIFT_TIER_DRAM, &(struct cost){ 0 });
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
