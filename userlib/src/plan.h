/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How plans are found. Let T be the time when all is to be ready.
 *
 * Loading and recomputing (plan.c). Of two blocks of one server, one loaded and
 * a later one recomputed, the other way round is never worse: the earlier one
 * costs no more to recompute, waits for no more, and all that is computed
 * between them waits for a block less. So some first blocks of each server are
 * recomputed. Each loaded block b asks that what is recomputed after it fits
 * between its arrival and T. That is a lower bound for what its server leaves
 * out before it, and grows with what is recomputed after it. Hence one pass
 * from the last block to the first, taking each bound as it comes, finds the
 * least that satisfies all of them: there is a plan for T just if there is one
 * with these. A plan for T is one for T + 1: bisection.
 *
 * Loading and projecting (plan_act.c). Projections need nothing else and take
 * the same time each. Activations come first from each server; of each server
 * as few as leave enough time for the rest, which is a division; whether the
 * computer is done at T is seen by doing them in the order of arrival.
 *
 * Projecting and recomputing: as the first, with activations in place of blocks
 * wherever they are smaller, and all that is computed in the order of the
 * prefix. More than two sources need not be mixed: for one server the best
 * numbers x to recompute, y to project and l to load minimize T with
 *	l * block_ns + y * act_ns <= T,  y * project_ns + x * compute_ns <= T,
 * x + y + l = n, and a vertex of that has two of them that are not zero. So a
 * mixture of three gains a block, or what several servers differ in.
 */
#ifndef KVLIFT_PLAN_PRIV_H
#define KVLIFT_PLAN_PRIV_H

#include <stdbool.h>

#include "kvlift_plan.h"

/* Blocks of a server that are not ready. */
struct at_server {
	uint64_t has;  /* KV */
	uint64_t both; /* of these, activations too */
	uint64_t only; /* activations alone */
	/* Of a pass over the blocks; plan.c has times here, not blocks. */
	uint64_t all;  /* to send them */
	uint64_t left; /* before this one */
	uint64_t skip; /* of the first ones, what is not loaded */
};

struct planner {
	const struct kvlift_plan_model *model;
	struct kvlift_plan_block *blocks;
	uint64_t count;
	bool use_act;
	struct at_server at[KVLIFT_PLAN_SERVERS];
};

static inline bool kvl_plan_ready(const struct kvlift_plan_block *b)
{
	return b->have & KVLIFT_PLAN_READY;
}

/* Its KV can be loaded. */
static inline bool kvl_plan_kv(const struct planner *p,
			       const struct kvlift_plan_block *b)
{
	const struct kvlift_plan_server *s;

	if (!(b->have & KVLIFT_PLAN_KV))
		return false;
	s = &p->model->servers[b->server];
	return s->latency_ns != KVLIFT_PLAN_NEVER &&
	       s->block_ns != KVLIFT_PLAN_NEVER;
}

/* Its activations can be loaded, and projected. */
static inline bool kvl_plan_act(const struct planner *p,
				const struct kvlift_plan_block *b)
{
	const struct kvlift_plan_server *s;

	if (!(b->have & KVLIFT_PLAN_ACT))
		return false;
	s = &p->model->servers[b->server];
	return s->latency_ns != KVLIFT_PLAN_NEVER &&
	       s->act_ns != KVLIFT_PLAN_NEVER &&
	       p->model->project_ns != KVLIFT_PLAN_NEVER;
}

static inline uint64_t kvl_plan_cost(const struct planner *p, uint64_t i)
{
	const struct kvlift_plan_model *m = p->model;

	return m->compute_ns + m->attn_ps * (m->first + i) / 1000;
}

/* The least time up to @end for which @test holds; for @end it does. */
uint64_t kvl_plan_search(struct planner *p, uint64_t end,
			 bool (*test)(struct planner *p, uint64_t end));

/* plan_act.c */
uint64_t kvl_plan_act_time(struct planner *p);
void kvl_plan_act_write(struct planner *p, uint64_t end,
			struct kvlift_plan *plan);

#endif
