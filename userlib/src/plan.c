// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Load or recompute. See plan.h for what holds, and why.
 */
#include <string.h>

#include "internal.h"
#include "plan.h"

static bool bad_time(uint64_t ns)
{
	return ns != KVLIFT_PLAN_NEVER && ns > KVLIFT_PLAN_TIME_MAX;
}

static int check_model(const struct kvlift_plan_model *m, uint64_t count)
{
	uint32_t i;

	if (m->flags || m->nr_servers > KVLIFT_PLAN_SERVERS)
		return -EINVAL;
	if (count > KVLIFT_PLAN_BLOCKS_MAX ||
	    m->first > KVLIFT_PLAN_BLOCKS_MAX - count)
		return -E2BIG;
	/* At most 2^20 blocks: 2^42 ns for the last of them. */
	if (bad_time(m->compute_ns) || bad_time(m->project_ns) ||
	    m->attn_ps > KVLIFT_PLAN_TIME_MAX >> 10)
		return -EINVAL;
	for (i = 0; i < m->nr_servers; i++) {
		const struct kvlift_plan_server *s = &m->servers[i];

		if (bad_time(s->latency_ns) || bad_time(s->block_ns) ||
		    bad_time(s->act_ns))
			return -EINVAL;
	}
	return 0;
}

/* Counts what each server has. */
static int check_blocks(struct planner *p)
{
	const uint8_t known = KVLIFT_PLAN_READY | KVLIFT_PLAN_KV |
			      KVLIFT_PLAN_ACT;
	uint64_t i;

	for (i = 0; i < p->count; i++) {
		const struct kvlift_plan_block *b = &p->blocks[i];
		struct at_server *at;

		if (b->have & ~known)
			return -EINVAL;
		if (kvl_plan_ready(b) || !b->have)
			continue;
		if (b->server >= p->model->nr_servers)
			return -EINVAL;
		at = &p->at[b->server];
		if (kvl_plan_kv(p, b)) {
			at->has++;
			at->both += kvl_plan_act(p, b);
		} else {
			at->only += kvl_plan_act(p, b);
		}
	}
	return 0;
}

static void start(struct planner *p)
{
	uint32_t i;

	for (i = 0; i < p->model->nr_servers; i++) {
		p->at[i].left = p->at[i].has;
		p->at[i].skip = 0;
	}
}

/* Of the blocks of a server that come within so long: the last one's turn. */
static uint64_t turns(const struct kvlift_plan_server *s, uint64_t ns)
{
	if (ns < s->latency_ns)
		return 0;
	return s->block_ns ? (ns - s->latency_ns) / s->block_ns : UINT64_MAX;
}

/*
 * Is there a plan that is ready at @end? Leaves in skip how many blocks of each
 * server, the first ones, have to be recomputed: the least of each.
 */
static bool feasible(struct planner *p, uint64_t end)
{
	uint64_t i, sum = 0;

	start(p);
	for (i = p->count; i--;) {
		const struct kvlift_plan_block *b = &p->blocks[i];

		if (kvl_plan_ready(b))
			continue;
		if (kvl_plan_kv(p, b)) {
			struct at_server *at = &p->at[b->server];
			uint64_t nr = at->left--, max;

			max = turns(&p->model->servers[b->server], end - sum);
			if (max < nr && at->skip < nr - max)
				at->skip = nr - max;
			if (nr > at->skip)
				continue;
		}
		if (p->model->compute_ns == KVLIFT_PLAN_NEVER)
			return false;
		sum += kvl_plan_cost(p, i);
		if (sum > end)
			return false;
	}
	return true;
}

/* All that can be loaded is. */
static uint64_t all_loaded(const struct planner *p)
{
	uint64_t end = 0, ns, i;

	for (i = 0; i < p->model->nr_servers; i++) {
		const struct kvlift_plan_server *s = &p->model->servers[i];

		if (!p->at[i].has)
			continue;
		ns = s->latency_ns + p->at[i].has * s->block_ns;
		if (ns > end)
			end = ns;
	}
	return end;
}

static uint64_t load_time(const struct planner *p)
{
	uint64_t i;

	for (i = 0; i < p->count; i++)
		if (!kvl_plan_ready(&p->blocks[i]) &&
		    !kvl_plan_kv(p, &p->blocks[i]))
			return KVLIFT_PLAN_NEVER;
	return all_loaded(p);
}

static uint64_t recompute_time(const struct planner *p)
{
	uint64_t sum = 0, i;

	for (i = 0; i < p->count; i++) {
		if (kvl_plan_ready(&p->blocks[i]))
			continue;
		if (p->model->compute_ns == KVLIFT_PLAN_NEVER)
			return KVLIFT_PLAN_NEVER;
		sum += kvl_plan_cost(p, i);
	}
	return sum;
}

/*
 * The worst that may have to be done: all that is stored is loaded, then the
 * rest computed.
 */
static uint64_t bound(const struct planner *p)
{
	uint64_t sum = 0, i;

	for (i = 0; i < p->count; i++) {
		const struct kvlift_plan_block *b = &p->blocks[i];

		if (kvl_plan_ready(b) || kvl_plan_kv(p, b))
			continue;
		if (p->model->compute_ns == KVLIFT_PLAN_NEVER)
			return KVLIFT_PLAN_NEVER;
		sum += kvl_plan_cost(p, i);
	}
	return all_loaded(p) + sum;
}

uint64_t kvl_plan_search(struct planner *p, uint64_t end,
			 bool (*test)(struct planner *p, uint64_t end))
{
	uint64_t low = 0, mid;

	/* Always: a plan for end; none below low. */
	while (low < end) {
		mid = low + (end - low) / 2;
		if (test(p, mid))
			end = mid;
		else
			low = mid + 1;
	}
	return end;
}

static uint64_t mixed_time(struct planner *p, const struct kvlift_plan *plan)
{
	uint64_t end = bound(p);

	if (plan->recompute_ns < end)
		end = plan->recompute_ns;
	if (end == KVLIFT_PLAN_NEVER)
		return end;
	return kvl_plan_search(p, end, feasible);
}

/* Writes down the plan that is ready at @end. */
static void write_mixed(struct planner *p, uint64_t end,
			struct kvlift_plan *plan)
{
	uint64_t i, ready = 0, done = 0;

	feasible(p, end);
	for (i = 0; i < p->model->nr_servers; i++)
		p->at[i].left = 0;
	for (i = 0; i < p->count; i++) {
		struct kvlift_plan_block *b = &p->blocks[i];
		struct at_server *at = NULL;

		if (kvl_plan_ready(b))
			continue;
		if (kvl_plan_kv(p, b))
			at = &p->at[b->server];
		if (at && at->left++ >= at->skip) {
			const struct kvlift_plan_server *s =
				&p->model->servers[b->server];
			uint64_t nr = at->left - at->skip;

			b->source = KVLIFT_PLAN_FROM_KV;
			b->order = (uint32_t)(nr - 1);
			b->ready_ns = s->latency_ns + nr * s->block_ns;
			plan->nr_load++;
		} else {
			b->source = KVLIFT_PLAN_FROM_TOKENS;
			b->order = (uint32_t)plan->nr_recompute++;
			done = ready > done ? ready : done;
			done += kvl_plan_cost(p, i);
			b->ready_ns = done;
		}
		if (b->ready_ns > ready)
			ready = b->ready_ns;
	}
}

static void clear(struct planner *p, struct kvlift_plan *plan)
{
	uint64_t i;

	for (i = 0; i < p->count; i++) {
		struct kvlift_plan_block *b = &p->blocks[i];

		b->source = KVLIFT_PLAN_FROM_NOTHING;
		b->pad = 0;
		b->order = 0;
		b->ready_ns = 0;
		plan->nr_ready += kvl_plan_ready(b);
	}
}

int kvlift_plan_make(const struct kvlift_plan_model *model,
		     struct kvlift_plan_block *blocks, uint64_t count,
		     struct kvlift_plan *plan)
{
	struct planner p = { .model = model, .blocks = blocks, .count = count };
	int ret;

	memset(plan, 0, sizeof(*plan));
	ret = check_model(model, count);
	ret = ret ? ret : check_blocks(&p);
	if (ret)
		return ret;
	clear(&p, plan);
	plan->load_ns = load_time(&p);
	plan->recompute_ns = recompute_time(&p);
	plan->mixed_ns = mixed_time(&p, plan);
	plan->act_ns = kvl_plan_act_time(&p);
	if (plan->mixed_ns >= plan->load_ns)
		plan->flags |= KVLIFT_PLAN_RECOMPUTE_USELESS;
	if (plan->act_ns >= plan->load_ns)
		plan->flags |= KVLIFT_PLAN_ACT_USELESS;
	if (plan->act_ns < plan->mixed_ns) {
		plan->total_ns = plan->act_ns;
		kvl_plan_act_write(&p, plan->total_ns, plan);
	} else {
		plan->total_ns = plan->mixed_ns;
		if (plan->total_ns == KVLIFT_PLAN_NEVER)
			return -ENODATA;
		write_mixed(&p, plan->total_ns, plan);
	}
	return 0;
}
