// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The KV cache of gpu_step: a region of a pool, or memory of the device alone.
 * All that an engine does with kvlift is here: attach, acquire, addresses,
 * release.
 *
 * Of each sequence a layer needs two runs of blocks: those that are full, to
 * read, and the last one, to write the next token there.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <kvlift.h>

#include "step.h"

#define LEASE_MS 60000u
/* Slots that others still hold become free when their streams have come so far.
 */
#define PATIENCE  30.0
#define RETRY_US  200
#define MAX_EVENT 64

enum want_state {
	NOT_WANTED,
	ASKED,
	REFUSED, /* for now: there was no room */
	HERE,
};

struct want {
	enum want_state state;
	uint64_t first, count, cookie;
	uint32_t flags;
};

struct cache {
	struct cache_opts o;
	struct shape s;
	const struct device_ops *ops;
	struct device *d;
	uint64_t *table; /* of all blocks, by number */
	uint64_t memory; /* without a pool */
	struct kvlift_pool *pool;
	struct kvlift_region *region;
	struct kvlift_gpu *gpu;
	struct want *wants;
	unsigned int nr_wants; /* two for each layer and sequence */
	uint64_t serial;
	double waited;
};

double step_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(int64_t ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, kvlift_strerror((int)ret));
}

static void open_memory(struct cache *c)
{
	uint64_t n = shape_blocks(&c->s), i;

	c->memory = c->ops->alloc(c->d, n * c->s.block);
	if (!c->memory)
		errx(1, "the device has not %.1f GiB: try fewer --tokens",
		     (double)(n * c->s.block) / (double)(1 << 30));
	for (i = 0; i < n; i++)
		c->table[i] = c->memory + i * c->s.block;
}

static void open_pool(struct cache *c)
{
	struct kvlift_gpu_opts opts = {
		.backend = c->ops->backend,
		.device = c->o.number,
		.bytes = c->o.bytes,
		.window_bytes = c->o.window,
		.window_cxl_bytes = c->o.window_cxl,
		.name = "gpu_step",
	};

	check(kvlift_pool_open(c->o.pool, &c->pool), c->o.pool);
	if (kvlift_pool_block_size(c->pool) != c->s.block)
		errx(1, "%s: its blocks have another size", c->o.pool);
	check(kvlift_region_create(c->pool, c->o.name,
				   shape_blocks(&c->s) * c->s.block, 0600,
				   &c->region),
	      c->o.name);
	check(kvlift_gpu_attach(c->pool, NULL, &opts, &c->gpu), "attach");
}

struct cache *cache_open(const struct cache_opts *o, const struct shape *s,
			 const struct device_ops *ops, struct device *d)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		errx(1, "no memory");
	c->o = *o;
	c->s = *s;
	c->ops = ops;
	c->d = d;
	c->nr_wants = 2 * s->layers * s->seqs;
	c->table = calloc(shape_blocks(s), sizeof(*c->table));
	c->wants = calloc(c->nr_wants, sizeof(*c->wants));
	if (!c->table || !c->wants)
		errx(1, "no memory");
	if (o->pool)
		open_pool(c);
	else
		open_memory(c);
	return c;
}

void cache_close(struct cache *c)
{
	if (c->pool) {
		/* It is removed: nothing has to be brought back from the GPU. */
		kvlift_gpu_close(c->gpu);
		kvlift_region_close(c->region);
		unlinkat(kvlift_pool_fd(c->pool), c->o.name, 0);
		kvlift_pool_close(c->pool);
	} else {
		c->ops->free(c->d, c->memory);
	}
	free(c->table);
	free(c->wants);
	free(c);
}

/* An event: where the blocks are, or that they have to be asked for again. */
static void take_event(struct cache *c, const struct kvlift_event *e)
{
	struct want *w = &c->wants[e->cookie % c->nr_wants];

	if (e->res == -EAGAIN || e->res == -ENOSPC || e->res == -EBUSY) {
		w->state = REFUSED;
		return;
	}
	check(e->res, "acquire");
	check(kvlift_gpu_addresses(c->gpu, w->cookie, c->table + w->first,
				   (unsigned int)w->count),
	      "addresses");
	w->state = HERE;
}

static void take_events(struct cache *c, int timeout_ms)
{
	struct kvlift_event events[MAX_EVENT];
	int i, n;

	n = kvlift_gpu_wait(c->gpu, events, MAX_EVENT, timeout_ms);
	check(n, "wait");
	for (i = 0; i < n; i++)
		take_event(c, &events[i]);
}

static void ask(struct cache *c, struct want *w)
{
	struct kvlift_gpu_req r = {
		.region = c->region,
		.first = w->first,
		.count = w->count,
		.flags = w->flags,
		.prio = KVLIFT_PRIO_HIGH,
		.lease_ms = LEASE_MS,
	};
	int ret;

	w->cookie = c->serial++ * c->nr_wants + (uint64_t)(w - c->wants);
	w->state = ASKED;
	r.cookie = w->cookie;
	while ((ret = kvlift_gpu_acquire(c->gpu, &r, 1)) == -EAGAIN)
		take_events(c, 1);
	check(ret, "acquire");
}

/* Two of them, see above. */
static struct want *want_of(struct cache *c, unsigned int layer,
			    unsigned int seq)
{
	return &c->wants[2 * (layer * c->s.seqs + seq)];
}

static void set_want(struct cache *c, struct want *w, uint64_t first,
		     uint64_t count, uint32_t flags)
{
	*w = (struct want){
		.first = first,
		.count = count,
		.flags = flags |
			 (c->o.in_window ? KVLIFT_REQ_WINDOW : KVLIFT_REQ_GPU),
	};
	if (count)
		ask(c, w);
}

void cache_want(struct cache *c, unsigned int layer, unsigned int tokens)
{
	unsigned int seq, full = tokens / c->s.per_block;

	for (seq = 0; c->pool && seq < c->s.seqs; seq++) {
		struct want *w = want_of(c, layer, seq);
		uint64_t first = shape_index(&c->s, layer, seq);

		set_want(c, &w[0], first, full, 0);
		set_want(c, &w[1], first + full, 1, KVLIFT_REQ_WRITE);
	}
}

/* How many are not here; what was refused is asked for again. */
static unsigned int missing(struct cache *c, unsigned int layer)
{
	struct want *w = want_of(c, layer, 0);
	unsigned int i, n = 0;

	for (i = 0; i < 2 * c->s.seqs; i++) {
		if (w[i].state == REFUSED)
			ask(c, &w[i]);
		n += w[i].state == ASKED;
	}
	return n;
}

static bool is_refused(struct cache *c, unsigned int layer)
{
	struct want *w = want_of(c, layer, 0);
	unsigned int i;

	for (i = 0; i < 2 * c->s.seqs; i++)
		if (w[i].state == REFUSED)
			return true;
	return false;
}

const uint64_t *cache_get(struct cache *c, unsigned int layer)
{
	double start = step_now();

	while (c->pool && missing(c, layer)) {
		take_events(c, 100);
		if (is_refused(c, layer))
			usleep(RETRY_US);
		if (step_now() - start > PATIENCE)
			errx(1,
			     "no room for layer %u and the one ahead: leases may hold a part of the GPU's memory only",
			     layer);
	}
	c->waited += step_now() - start;
	return c->table + shape_index(&c->s, layer, 0);
}

void cache_put(struct cache *c, unsigned int layer)
{
	struct want *w = want_of(c, layer, 0);
	unsigned int i, n = 0;
	uint64_t *cookies;

	if (!c->pool)
		return;
	cookies = calloc(2 * c->s.seqs, sizeof(*cookies));
	if (!cookies)
		errx(1, "no memory");
	for (i = 0; i < 2 * c->s.seqs; i++) {
		if (w[i].state == HERE)
			cookies[n++] = w[i].cookie;
		w[i].state = NOT_WANTED;
	}
	check(kvlift_gpu_release_after(c->gpu, cookies, n,
				       c->ops->stream(c->d)),
	      "release");
	free(cookies);
}

void cache_fill(struct cache *c)
{
	uint64_t full = c->s.tokens / c->s.per_block, i, first;
	uint64_t count = full + (c->s.tokens % c->s.per_block != 0);
	uint32_t flags = KVLIFT_REQ_WRITE |
			 (c->o.in_window ? 0 : KVLIFT_REQ_NEW);
	unsigned int layer, seq;

	for (layer = 0; layer < c->s.layers; layer++) {
		for (seq = 0; c->pool && seq < c->s.seqs; seq++)
			set_want(c, want_of(c, layer, seq),
				 shape_index(&c->s, layer, seq), count, flags);
		cache_get(c, layer);
		for (seq = 0; seq < c->s.seqs; seq++) {
			first = shape_index(&c->s, layer, seq);
			for (i = first; i < first + count; i++)
				c->ops->fill(c->d, c->table[i], i);
		}
		cache_put(c, layer);
	}
	c->waited = 0;
}

void cache_stats(struct cache *c, struct cache_stats *stats)
{
	struct kvlift_gpu_info info;

	memset(stats, 0, sizeof(*stats));
	stats->waited = c->waited;
	if (!c->pool)
		return;
	check(kvlift_gpu_info(c->gpu, &info), "info");
	stats->copies_in = info.mover.in;
	stats->copies_out = info.mover.out;
}
