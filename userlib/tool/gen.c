// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Made-up traces with the statistics of two real ones, so that a replay needs
 * no file. What was matched: blocks per request, new blocks per request, reuse
 * ratio of an infinite cache, share of blocks used once, distance between the
 * turns of a conversation.
 *
 *   chat   Mooncake's conversation trace: 25 blocks a request, reuse .35,
 *	    .77 of the blocks used once
 *   agent  Claude Code sessions: 236 blocks a request, reuse .96
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "trace.h"

struct rng {
	uint64_t state;
};

static uint64_t next(struct rng *r)
{
	return mix64(r->state++);
}

static double uniform(struct rng *r)
{
	return (double)(next(r) >> 11) * 0x1p-53;
}

static double normal(struct rng *r)
{
	double u = uniform(r), v = uniform(r);

	return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* Log-normal around a median, cut off. */
static uint32_t lognormal(struct rng *r, double median, double sigma,
			  uint32_t max)
{
	double v = median * exp(sigma * normal(r));

	return v < max ? (uint32_t)v : max;
}

/* The ids of one conversation, in prefix order. */
struct context {
	uint64_t *ids;
	uint32_t count, cap;
};

static int extend(struct context *c, uint64_t *next_id, uint32_t count)
{
	if (c->count + count > c->cap) {
		uint32_t cap = (c->count + count) * 2;
		uint64_t *ids = realloc(c->ids, cap * sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		c->ids = ids;
		c->cap = cap;
	}
	while (count--)
		c->ids[c->count++] = (*next_id)++;
	return 0;
}

static int copy(struct context *to, const struct context *from, uint32_t count)
{
	uint64_t none = 0;

	to->count = 0;
	if (extend(to, &none, count))
		return -ENOMEM;
	memcpy(to->ids, from->ids, count * sizeof(*to->ids));
	return 0;
}

/* Requests that may be gone on from. */
#define CHAT_WINDOW   4096u
#define CHAT_CONTINUE 0.44

/*
 * A request either starts a conversation behind the one block that all share,
 * or goes on with an earlier request that nobody went on with yet. The last
 * block of a prompt is partial: the next turn has another one in its place.
 */
static int chat(struct trace *t, struct rng *r, uint64_t requests)
{
	struct context *ring = calloc(CHAT_WINDOW, sizeof(*ring));
	struct context root = { 0 };
	uint64_t next_id = 0, n;
	uint32_t i, gap, fresh;
	int ret = -ENOMEM;

	if (!ring || extend(&root, &next_id, 1))
		goto out;
	for (n = 0; n < requests; n++) {
		struct context *c = &ring[n % CHAT_WINDOW];
		struct context *from = &root;

		gap = 1 + lognormal(r, 360, 0.85, CHAT_WINDOW - 2);
		if (uniform(r) < CHAT_CONTINUE && gap <= n) {
			from = &ring[(n - gap) % CHAT_WINDOW];
			if (from->count < 3)
				from = &root;
		}
		if (from == &root)
			fresh = 1 + lognormal(r, 9.5, 1.28, 250);
		else if (uniform(r) < 0.7)
			fresh = 1 + (uint32_t)(uniform(r) * 2.2);
		else
			fresh = 2 + lognormal(r, 9, 0.9, 120);
		ret = copy(c, from, from == &root ? 1 : from->count - 1);
		if (ret)
			break;
		if (from != &root)
			from->count = 0;
		ret = extend(c, &next_id, fresh);
		if (!ret)
			ret = trace_add(t, c->ids, c->count);
		if (ret)
			break;
	}
out:
	for (i = 0; ring && i < CHAT_WINDOW; i++)
		free(ring[i].ids);
	free(ring);
	free(root.ids);
	return ret;
}

#define AGENT_OPEN     60u
#define AGENT_TOOLSETS 6u

struct session {
	struct context ctx;
	uint32_t turns; /* to go */
	uint32_t limit; /* blocks at which it is compacted */
	uint32_t keep;	/* blocks that survive this: tools and system prompt */
};

static int session_start(struct session *s, struct rng *r,
			 const struct context *tools, uint64_t *next_id)
{
	const struct context *set =
		&tools[(uint32_t)(uniform(r) * uniform(r) * AGENT_TOOLSETS)];

	s->turns = 4 + lognormal(r, 48, 1.1, 700);
	s->limit = uniform(r) < 0.7 ? 270 + (uint32_t)(uniform(r) * 80)
				    : 600 + (uint32_t)(uniform(r) * 450);
	if (copy(&s->ctx, set, set->count))
		return -ENOMEM;
	s->keep = set->count + 4;
	return extend(&s->ctx, next_id, 4 + lognormal(r, 55, 1.0, 400));
}

static int session_turn(struct session *s, struct rng *r, uint64_t *next_id)
{
	double kind = uniform(r);
	uint32_t fresh;

	if (kind < 0.15)
		fresh = 0;
	else if (kind < 0.75)
		fresh = 1 + (uint32_t)(uniform(r) * 2.3);
	else
		fresh = 2 + lognormal(r, 9, 1.1, 200);
	if (s->ctx.count + fresh > s->limit) {
		s->ctx.count = s->keep;
		fresh += 20 + (uint32_t)(uniform(r) * 60);
	}
	return extend(&s->ctx, next_id, fresh);
}

/* Sixty open sessions, a few of them busy; one that ends makes room. */
static int agent(struct trace *t, struct rng *r, uint64_t requests)
{
	struct session open[AGENT_OPEN] = { 0 };
	struct context tools[AGENT_TOOLSETS] = { 0 };
	uint64_t next_id = 0, n;
	int ret = 0;
	uint32_t i;

	for (i = 0; i < AGENT_TOOLSETS && !ret; i++)
		ret = extend(&tools[i], &next_id, 18 + 4 * i);
	for (n = 0; n < requests && !ret; n++) {
		double u = uniform(r);
		struct session *s = &open[(uint32_t)(u * u * AGENT_OPEN)];

		if (!s->turns)
			ret = session_start(s, r, tools, &next_id);
		else
			ret = session_turn(s, r, &next_id);
		if (ret)
			break;
		s->turns--;
		ret = trace_add(t, s->ctx.ids, s->ctx.count);
	}
	for (i = 0; i < AGENT_OPEN; i++)
		free(open[i].ctx.ids);
	for (i = 0; i < AGENT_TOOLSETS; i++)
		free(tools[i].ids);
	return ret;
}

int trace_generate(struct trace *t, enum gen_kind kind, uint64_t seed,
		   uint64_t requests)
{
	struct rng r = { mix64(seed) };

	return kind == GEN_CHAT ? chat(t, &r, requests)
				: agent(t, &r, requests);
}
