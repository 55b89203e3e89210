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

/* How a block comes unless it is recomputed; FROM_TOKENS: not at all. */
static uint8_t comes(const struct planner *p, const struct kvlift_plan_block *b)
{
	bool kv = kvl_plan_kv(p, b), act = p->use_act && kvl_plan_act(p, b);
	const struct kvlift_plan_server *s;

	if (!kv && !act)
		return KVLIFT_PLAN_FROM_TOKENS;
	s = &p->model->servers[b->server];
	if (act && (!kv || s->act_ns < s->block_ns))
		return KVLIFT_PLAN_FROM_ACT;
	return KVLIFT_PLAN_FROM_KV;
}

/* For how long its server is busy with it. */
static uint64_t sending(const struct planner *p,
			const struct kvlift_plan_block *b, uint8_t source)
{
	const struct kvlift_plan_server *s = &p->model->servers[b->server];

	return source == KVLIFT_PLAN_FROM_ACT ? s->act_ns : s->block_ns;
}

/*
 * Whether block @b can come in time: its server has sent it and what comes
 * before, less the time in skip, and @after is to be done when it is there.
 * Makes skip so much longer that it can, if that is possible.
 */
static bool in_time(struct at_server *at, const struct kvlift_plan_server *s,
		    uint64_t end, uint64_t after, uint64_t sent, uint64_t takes)
{
	uint64_t spare = end - after - s->latency_ns;

	if (after > end || s->latency_ns > end - after) {
		if (at->skip < sent)
			at->skip = sent;
		return false;
	}
	if (sent > spare && sent - spare > at->skip)
		at->skip = sent - spare;
	return sent - takes >= at->skip;
}

/*
 * Is there a plan that is ready at @end? Leaves it in the sources, and in skip
 * for how long each server would send what is recomputed of its first blocks:
 * the least of each.
 */
static bool feasible(struct planner *p, uint64_t end)
{
	/* To be computed after this block, and that from a recomputed one on. */
	uint64_t sum = 0, chain = 0, i;

	for (i = 0; i < p->model->nr_servers; i++) {
		p->at[i].left = p->at[i].all;
		p->at[i].skip = 0;
	}
	for (i = p->count; i--;) {
		struct kvlift_plan_block *b = &p->blocks[i];

		if (kvl_plan_ready(b))
			continue;
		b->source = comes(p, b);
		if (b->source != KVLIFT_PLAN_FROM_TOKENS) {
			bool act = b->source == KVLIFT_PLAN_FROM_ACT;
			uint64_t job = act ? p->model->project_ns : 0;
			uint64_t takes = sending(p, b, b->source);
			struct at_server *at = &p->at[b->server];
			uint64_t sent = at->left;

			at->left -= takes;
			if (at->left >= at->skip &&
			    in_time(at, &p->model->servers[b->server], end,
				    job + (act ? sum : chain), sent, takes)) {
				sum += job;
				continue;
			}
		}
		if (p->model->compute_ns == KVLIFT_PLAN_NEVER)
			return false;
		b->source = KVLIFT_PLAN_FROM_TOKENS;
		sum += kvl_plan_cost(p, i);
		chain = sum;
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
 * From here on plans are with activations, or without. Returns a time that is
 * enough: all that can come does, then the rest is computed.
 */
static uint64_t set_out(struct planner *p, bool use_act)
{
	uint64_t end = 0, sum = 0, ns, i;

	p->use_act = use_act;
	for (i = 0; i < p->model->nr_servers; i++)
		p->at[i].all = 0;
	for (i = 0; i < p->count; i++) {
		const struct kvlift_plan_block *b = &p->blocks[i];
		uint8_t source = comes(p, b);

		if (kvl_plan_ready(b))
			continue;
		if (source == KVLIFT_PLAN_FROM_TOKENS) {
			if (p->model->compute_ns == KVLIFT_PLAN_NEVER)
				return KVLIFT_PLAN_NEVER;
			sum += kvl_plan_cost(p, i);
			continue;
		}
		if (source == KVLIFT_PLAN_FROM_ACT)
			sum += p->model->project_ns;
		p->at[b->server].all += sending(p, b, source);
		ns = p->model->servers[b->server].latency_ns +
		     p->at[b->server].all;
		if (ns > end)
			end = ns;
	}
	return end + sum;
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

static uint64_t least_time(struct planner *p, uint64_t recompute, bool use_act)
{
	uint64_t end = set_out(p, use_act);

	if (recompute < end)
		end = recompute;
	if (end == KVLIFT_PLAN_NEVER)
		return end;
	return kvl_plan_search(p, end, feasible);
}

/* Recomputing and projecting. Who recomputes sooner than that needs neither. */
static uint64_t both_time(struct planner *p, uint64_t recompute)
{
	const struct kvlift_plan_model *m = p->model;

	if (m->compute_ns == KVLIFT_PLAN_NEVER ||
	    m->project_ns == KVLIFT_PLAN_NEVER || m->compute_ns < m->project_ns)
		return KVLIFT_PLAN_NEVER;
	return least_time(p, recompute, true);
}

/* Writes down the plan that is ready at @end, with activations or without. */
static void write_down(struct planner *p, uint64_t end, bool use_act,
		       struct kvlift_plan *plan)
{
	uint64_t i, ready = 0, done = 0, there;

	set_out(p, use_act);
	feasible(p, end);
	for (i = 0; i < p->model->nr_servers; i++)
		p->at[i].all = p->at[i].left = 0;
	for (i = 0; i < p->count; i++) {
		struct kvlift_plan_block *b = &p->blocks[i];

		if (kvl_plan_ready(b))
			continue;
		if (b->source == KVLIFT_PLAN_FROM_TOKENS) {
			b->order = (uint32_t)plan->nr_recompute++;
			done = ready > done ? ready : done;
			done += kvl_plan_cost(p, i);
			b->ready_ns = done;
		} else {
			struct at_server *at = &p->at[b->server];

			b->order = (uint32_t)at->left++;
			at->all += sending(p, b, b->source);
			there = p->model->servers[b->server].latency_ns +
				at->all;
			if (b->source == KVLIFT_PLAN_FROM_ACT) {
				plan->nr_act++;
				done = there > done ? there : done;
				done += p->model->project_ns;
				there = done;
			} else {
				plan->nr_load++;
			}
			b->ready_ns = there;
		}
		if (b->ready_ns > ready)
			ready = b->ready_ns;
	}
}

static void clear(struct planner *p)
{
	uint64_t i;

	for (i = 0; i < p->count; i++) {
		struct kvlift_plan_block *b = &p->blocks[i];

		b->source = KVLIFT_PLAN_FROM_NOTHING;
		b->pad = 0;
		b->order = 0;
		b->ready_ns = 0;
	}
}

int kvlift_plan_make(const struct kvlift_plan_model *model,
		     struct kvlift_plan_block *blocks, uint64_t count,
		     struct kvlift_plan *plan)
{
	struct planner p = { .model = model, .blocks = blocks, .count = count };
	uint64_t with_act, i;
	int ret;

	memset(plan, 0, sizeof(*plan));
	ret = check_model(model, count);
	ret = ret ? ret : check_blocks(&p);
	if (ret)
		return ret;
	clear(&p);
	for (i = 0; i < count; i++)
		plan->nr_ready += kvl_plan_ready(&blocks[i]);
	plan->load_ns = load_time(&p);
	plan->recompute_ns = recompute_time(&p);
	plan->mixed_ns = least_time(&p, plan->recompute_ns, false);
	plan->both_ns = both_time(&p, plan->recompute_ns);
	plan->act_ns = kvl_plan_act_time(&p);
	with_act = plan->act_ns < plan->both_ns ? plan->act_ns : plan->both_ns;
	if (plan->mixed_ns >= plan->load_ns)
		plan->flags |= KVLIFT_PLAN_RECOMPUTE_USELESS;
	if (with_act >= plan->mixed_ns)
		plan->flags |= KVLIFT_PLAN_ACT_USELESS;
	plan->total_ns = with_act < plan->mixed_ns ? with_act : plan->mixed_ns;
	if (plan->total_ns == KVLIFT_PLAN_NEVER)
		return -ENODATA;
	clear(&p);
	if (plan->total_ns == plan->mixed_ns)
		write_down(&p, plan->total_ns, false, plan);
	else if (plan->total_ns == plan->act_ns)
		kvl_plan_act_write(&p, plan->total_ns, plan);
	else
		write_down(&p, plan->total_ns, true, plan);
	return 0;
}
