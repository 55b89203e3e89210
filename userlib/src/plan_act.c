// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Load, or project activations. See plan.h for what holds, and why. */
#include "plan.h"

static uint32_t nr_servers(const struct planner *p)
{
	return p->model->nr_servers;
}

/*
 * Blocks of a server that are made from activations, for all to be there at
 * @end; skip is how many. False: they cannot all be there.
 */
static bool choose(const struct kvlift_plan_server *s, struct at_server *at,
		   uint64_t end)
{
	uint64_t all, less, over;

	at->skip = at->only;
	if (!at->has && !at->only)
		return true;
	all = s->latency_ns;
	if (at->only)
		all += at->only * s->act_ns;
	if (at->has)
		all += at->has * s->block_ns;
	if (all <= end)
		return true;
	if (!at->both || s->act_ns >= s->block_ns)
		return false;
	less = s->block_ns - s->act_ns;
	over = all - end;
	over = over / less + (over % less != 0);
	if (over > at->both)
		return false;
	at->skip += over;
	return true;
}

static uint64_t arrival(const struct kvlift_plan_server *s, uint64_t nr)
{
	return s->latency_ns + nr * s->act_ns;
}

/*
 * The server whose activations are the next to come, after left of each have;
 * nr_servers(): all have.
 */
static uint32_t next(const struct planner *p, uint64_t *ns)
{
	uint32_t i, best = nr_servers(p);
	uint64_t t;

	for (i = 0; i < nr_servers(p); i++) {
		const struct at_server *at = &p->at[i];

		if (at->left == at->skip)
			continue;
		t = arrival(&p->model->servers[i], at->left + 1);
		if (best == nr_servers(p) || t < *ns) {
			best = i;
			*ns = t;
		}
	}
	return best;
}

static void rewind_servers(struct planner *p)
{
	uint32_t i;

	for (i = 0; i < nr_servers(p); i++)
		p->at[i].left = 0;
}

static bool feasible(struct planner *p, uint64_t end)
{
	uint64_t done = 0, ns = 0;
	uint32_t i;

	for (i = 0; i < nr_servers(p); i++)
		if (!choose(&p->model->servers[i], &p->at[i], end))
			return false;
	rewind_servers(p);
	while ((i = next(p, &ns)) < nr_servers(p)) {
		p->at[i].left++;
		done = (ns > done ? ns : done) + p->model->project_ns;
		if (done > end)
			return false;
	}
	return true;
}

/* A time that is enough: everything loaded, then everything projected. */
uint64_t kvl_plan_act_time(struct planner *p)
{
	uint64_t end = 0, jobs = 0, ns, i;

	for (i = 0; i < p->count; i++) {
		const struct kvlift_plan_block *b = &p->blocks[i];

		if (!kvl_plan_ready(b) && !kvl_plan_kv(p, b) &&
		    !kvl_plan_act(p, b))
			return KVLIFT_PLAN_NEVER;
	}
	for (i = 0; i < nr_servers(p); i++) {
		const struct kvlift_plan_server *s = &p->model->servers[i];
		const struct at_server *at = &p->at[i];

		if (!at->has && !at->only)
			continue;
		ns = s->latency_ns;
		if (at->has)
			ns += at->has * s->block_ns;
		if (at->only)
			ns += at->only * s->act_ns;
		if (ns > end)
			end = ns;
		jobs += at->only;
	}
	if (jobs)
		end += jobs * p->model->project_ns;
	return kvl_plan_search(p, end, feasible);
}

/* Sources and turns; activations come before the rest of their server. */
static void assign(struct planner *p, struct kvlift_plan *plan)
{
	uint64_t i, nr;

	for (i = 0; i < nr_servers(p); i++) {
		struct at_server *at = &p->at[i];

		at->left = 0;
		at->both = at->skip - at->only;
		at->has = 0;
	}
	for (i = 0; i < p->count; i++) {
		struct kvlift_plan_block *b = &p->blocks[i];
		const struct kvlift_plan_server *s;
		struct at_server *at;

		if (kvl_plan_ready(b))
			continue;
		s = &p->model->servers[b->server];
		at = &p->at[b->server];
		if (kvl_plan_kv(p, b) && !(kvl_plan_act(p, b) && at->both)) {
			nr = ++at->has;
			b->source = KVLIFT_PLAN_FROM_KV;
			b->order = (uint32_t)(at->skip + nr - 1);
			b->ready_ns = s->latency_ns + nr * s->block_ns;
			if (at->skip)
				b->ready_ns += at->skip * s->act_ns;
			plan->nr_load++;
		} else {
			at->both -= kvl_plan_kv(p, b);
			b->source = KVLIFT_PLAN_FROM_ACT;
			b->order = (uint32_t)at->left++;
			plan->nr_act++;
		}
	}
}

/* The next block from @i on that a server's activations are for. */
static uint64_t find(const struct planner *p, uint64_t i, uint32_t server)
{
	while (p->blocks[i].source != KVLIFT_PLAN_FROM_ACT ||
	       p->blocks[i].server != server)
		i++;
	return i;
}

void kvl_plan_act_write(struct planner *p, uint64_t end,
			struct kvlift_plan *plan)
{
	uint64_t done = 0, ns = 0;
	uint32_t i;

	feasible(p, end);
	assign(p, plan);
	rewind_servers(p);
	for (i = 0; i < nr_servers(p); i++)
		p->at[i].has = 0;
	while ((i = next(p, &ns)) < nr_servers(p)) {
		struct at_server *at = &p->at[i];
		uint64_t at_block = find(p, at->has, i);

		at->left++;
		at->has = at_block + 1;
		done = (ns > done ? ns : done) + p->model->project_ns;
		p->blocks[at_block].ready_ns = done;
	}
}
