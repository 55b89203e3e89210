// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * From wherever a block is to "usable in HBM": acquire, event, addresses.
 * Beside it what a program without kvlift does. Every byte is looked at there,
 * by a kernel of the GPU.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define TABLE "Usable in HBM"
/* A request has as many blocks as have this size together. */
#define REQ_BYTES  (16u << 20)
#define SEED_BELOW 1000u
#define LEASE_MS   60000u
#define ALONE	   (ROW_REPS + 1u) /* blocks that are asked for one at a time */

struct asked {
	struct attached *a;
	uint64_t *addrs;
	uint64_t each, nr; /* blocks of a request, requests */
	uint32_t flags;
};

static uint64_t count_of(const struct asked *q, uint64_t i)
{
	uint64_t left = q->a->nr - i * q->each;

	return left < q->each ? left : q->each;
}

static int submit(const struct asked *q, uint64_t i)
{
	const struct kvlift_gpu_req r = {
		.region = q->a->region,
		.first = i * q->each,
		.count = count_of(q, i),
		.cookie = i,
		.flags = KVLIFT_REQ_GPU | q->flags,
		.prio = KVLIFT_PRIO_HIGH,
		.lease_ms = LEASE_MS,
	};
	int ret = kvlift_gpu_acquire(q->a->gpu, &r, 1);

	return ret < 0 ? ret : 0;
}

/* All that were asked for, with the addresses, as an engine has them. */
static int arrive(const struct asked *q, uint64_t n)
{
	struct kvlift_event e[64];
	uint64_t got = 0;
	int ret, i, err;

	while (got < n) {
		ret = kvlift_gpu_wait(q->a->gpu, e, 64, 60000);
		if (ret <= 0)
			return ret ? ret : -ETIME;
		for (i = 0; i < ret; i++, got++) {
			if (e[i].res)
				return e[i].res;
			err = kvlift_gpu_addresses(
				q->a->gpu, e[i].cookie,
				q->addrs + e[i].cookie * q->each,
				(unsigned int)count_of(q, e[i].cookie));
			if (err < 0)
				return err;
		}
	}
	return 0;
}

/* Half of the GPU may be leased at a time: one half, and then the other. */
static int ask_half(const struct asked *q, uint64_t from, uint64_t to,
		    double *seconds, uint64_t seed)
{
	struct attached *a = q->a;
	uint64_t i, first = from * q->each, end = to * q->each;
	double start = bench_now();
	int ret = 0;

	for (i = from; i < to && !ret; i++)
		ret = submit(q, i);
	ret = ret ? ret : arrive(q, to - from);
	*seconds += bench_now() - start;
	if (ret)
		return ret;
	if (end > a->nr)
		end = a->nr;
	table_wrong(dev_wrong(q->addrs + first, first, end - first, a->block,
			      seed),
		    (end - first) * a->block, "where acquire said it is");
	for (i = from; i < to && !ret; i++)
		ret = kvlift_gpu_release(a->gpu, i);
	return ret;
}

static int ask_all(struct asked *q, double *seconds, uint64_t seed)
{
	int ret;

	*seconds = 0;
	ret = ask_half(q, 0, q->nr / 2, seconds, seed);
	return ret ? ret : ask_half(q, q->nr / 2, q->nr, seconds, seed);
}

/* From the call until the address is there, one block at a time. */
static int ask_alone(struct asked *q, struct row *r, uint64_t seed)
{
	struct asked one = *q;
	double start;
	uint64_t i;
	int ret = 0;

	one.each = 1;
	for (i = 0; i < ALONE && i < q->a->nr && !ret; i++) {
		start = bench_now();
		ret = submit(&one, i);
		ret = ret ? ret : arrive(&one, 1);
		if (i)
			row_add(r, (bench_now() - start) * 1e6);
		if (ret)
			break;
		table_wrong(dev_wrong(q->addrs + i, i, 1, q->a->block, seed),
			    q->a->block, "of one block");
		ret = kvlift_gpu_release(q->a->gpu, i);
	}
	return ret;
}

static int from(struct attached *a, const struct config *c, enum place place)
{
	struct row r = { .table = TABLE,
			 .name = place_name(place),
			 .unit = "GB/s",
			 .block = a->block,
			 .note = place_lacks(a, place) };
	struct row alone = { .table = TABLE,
			     .name = "  one at a time",
			     .unit = "us",
			     .block = a->block };
	struct asked q = { .a = a, .flags = place_flags(place) };
	double seconds = 0;
	uint64_t seed = 0;
	unsigned int i;
	int ret = 0;

	q.each = REQ_BYTES / a->block < a->nr / 4 ? REQ_BYTES / a->block
						  : a->nr / 4;
	q.nr = (a->nr + q.each - 1) / q.each;
	q.addrs = calloc(a->nr, sizeof(*q.addrs));
	if (!q.addrs)
		abort();
	for (i = 0; !r.note && i <= c->reps && !ret; i++) {
		/* What is on a device is written once: only the GPU's is new. */
		seed = place == PLACE_BELOW ? SEED_BELOW : i;
		ret = place_put(a, place, seed);
		ret = ret ? ret : ask_all(&q, &seconds, seed);
		if (i && !ret)
			row_add(&r, bench_rate(a->nr * a->block, 0, seconds));
	}
	if (!r.note && !ret)
		ret = place_put(a, place, seed);
	if (!r.note && !ret)
		ret = ask_alone(&q, &alone, seed);
	if (ret)
		r.note = kvlift_strerror(ret);
	row_print(&r);
	if (alone.nr)
		row_print(&alone);
	free(q.addrs);
	return ret;
}

int bench_usable(struct config *c)
{
	struct attached a;
	unsigned int i;
	int ret = 0, place;

	for (i = 0; i < SIZES && !ret; i++) {
		if (!place_fits(c, bench_blocks[i]))
			continue;
		ret = attach_open(&a, c, bench_blocks[i]);
		for (place = 0; place < PLACES && !ret; place++)
			ret = from(&a, c, (enum place)place);
		attach_close(&a, c);
	}
	return ret;
}

/* A copy for each block, to where an engine has its own pool. */
static void by_block(const struct config *c, size_t block, uint64_t device,
		     char *host, const char *name)
{
	struct row r = {
		.table = TABLE, .name = name, .unit = "GB/s", .block = block
	};
	uint64_t nr = c->bytes / block, i;
	uint64_t *addrs = calloc(nr, sizeof(*addrs));
	unsigned int rep;
	double start;

	if (!addrs)
		abort();
	for (i = 0; i < nr; i++)
		addrs[i] = device + (i * 5 + 3) % nr * block;
	for (rep = 0; rep <= c->reps; rep++) {
		host_fill(host, 0, nr, block, rep);
		dev_poison(device, nr * block);
		start = bench_now();
		for (i = 0; i < nr; i++)
			dev_copy(DEV_IN, addrs[i], host + i * block, block);
		dev_sync();
		if (rep)
			row_add(&r, bench_rate(nr * block, start, bench_now()));
		table_wrong(dev_wrong(addrs, 0, nr, block, rep), nr * block,
			    name);
	}
	row_print(&r);
	free(addrs);
}

static void managed(const struct config *c, size_t block)
{
	struct row r = { .table = TABLE,
			 .name = "managed memory, prefetch per block",
			 .unit = "GB/s",
			 .block = block };
	uint64_t nr = c->bytes / block, i;
	char *at = dev_alloc_managed(c->bytes);
	uint64_t *addrs = calloc(nr, sizeof(*addrs));
	unsigned int rep;
	bool good = at;
	double start;

	for (i = 0; i < nr && addrs; i++)
		addrs[i] = (uintptr_t)at + i * block;
	for (rep = 0; rep <= c->reps && good; rep++) {
		good = dev_prefetch(at, c->bytes, DEV_OUT);
		dev_sync();
		host_fill(at, 0, nr, block, rep);
		start = bench_now();
		for (i = 0; i < nr && good; i++)
			good = dev_prefetch(at + i * block, block, DEV_IN);
		dev_sync();
		if (rep && good)
			row_add(&r, bench_rate(nr * block, start, bench_now()));
		table_wrong(dev_wrong(addrs, 0, nr, block, rep), nr * block,
			    r.name);
	}
	if (!good)
		r.note = "this device has none that can be prefetched";
	row_print(&r);
	if (at)
		dev_free_managed(at);
	free(addrs);
}

int bench_peers(struct config *c)
{
	char *pinned = dev_alloc_pinned(c->bytes);
	char *pageable = aligned_alloc(4096, c->bytes);
	uint64_t device = dev_alloc(c->bytes);
	unsigned int i;

	if (!pageable)
		abort();
	for (i = 0; i < SIZES; i++) {
		by_block(c, bench_blocks[i], device, pinned,
			 "cudaMemcpyAsync per block, pinned");
		by_block(c, bench_blocks[i], device, pageable,
			 "cudaMemcpyAsync per block, pageable");
		managed(c, bench_blocks[i]);
	}
	dev_free(device);
	dev_free_pinned(pinned, c->bytes);
	free(pageable);
	return 0;
}
