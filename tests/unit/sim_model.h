/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Traces for the tests of the simulator, made by hand or by chance. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include "pattern.h"
#include "sim.h"
#include "unit.h"

/* "a b c, a b": a request up to each comma, a block per letter. */
__attribute__((unused)) static void trace_of(struct trace *t, const char *text)
{
	uint64_t ids[64];
	uint32_t n = 0;

	if (trace_init(t))
		abort();
	for (;; text++) {
		if (*text >= 'a' && *text <= 'z')
			ids[n++] = (uint64_t)*text;
		if (*text != ',' && *text)
			continue;
		if (trace_add(t, ids, n))
			abort();
		n = 0;
		if (!*text)
			break;
	}
}

static uint64_t model_seed;

__attribute__((unused)) static uint32_t chance(uint32_t below)
{
	return (uint32_t)(mix64(model_seed++) % below);
}

/*
 * Requests down a random tree of that many blocks: block i hangs below one of
 * the few before it, so ids are prefix-chained.
 */
__attribute__((unused)) static void
random_tree(struct trace *t, uint32_t blocks, uint32_t requests)
{
	uint32_t parent[256], path[256], i, n;
	uint64_t ids[256];

	if (trace_init(t) || blocks > 256)
		abort();
	for (i = 0; i < blocks; i++)
		parent[i] = i && chance(4) ? i - 1 - chance(i < 3 ? i : 3)
					   : SIM_NONE;
	while (requests--) {
		n = 0;
		for (i = chance(blocks); i != SIM_NONE; i = parent[i])
			path[n++] = i;
		for (i = 0; i < n; i++)
			ids[i] = path[n - 1 - i];
		if (trace_add(t, ids, n))
			abort();
	}
}

/* Requests of blocks in any order, some of them twice. */
__attribute__((unused)) static void
random_refs(struct trace *t, uint32_t blocks, uint32_t requests)
{
	uint64_t ids[8];
	uint32_t n, i;

	if (trace_init(t))
		abort();
	while (requests--) {
		n = chance(8);
		for (i = 0; i < n; i++)
			ids[i] = chance(blocks);
		if (trace_add(t, ids, n))
			abort();
	}
}

__attribute__((unused)) static struct sim_result
played_in_batches(const struct trace *t, const char *policy, enum sim_mode mode,
		  uint32_t capacity, uint32_t batch)
{
	const struct sim_policy *p = sim_find(policy, strlen(policy));
	struct sim_setup setup = { .mode = mode,
				   .capacity = capacity,
				   .batch = batch };
	struct sim_result r;

	if (!p)
		abort();
	if (!mode)
		setup.mode = p->mode;
	CHECK_EQ(sim_run(t, p, &setup, &r, NULL, NULL), 0);
	/* What holds for every policy. */
	CHECK_EQ(r.requests, t->nr_requests);
	CHECK_EQ(r.refs, t->nr_refs);
	CHECK(r.prefix_hits <= r.block_hits);
	CHECK_EQ(r.block_hits + r.fills + r.bypassed, r.refs);
	CHECK(r.fills - r.evictions <= capacity);
	return r;
}

__attribute__((unused)) static struct sim_result played(const struct trace *t,
							const char *policy,
							enum sim_mode mode,
							uint32_t capacity)
{
	return played_in_batches(t, policy, mode, capacity, 1);
}

#endif
