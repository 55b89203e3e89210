// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The driver of the simulator: references in, callbacks and counts out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim_tiers.h"
#include "util.h"

struct run {
	struct sim s;
	const struct sim_policy *policy;
	struct sim_result *result;
	uint32_t hits[SIM_BATCH]; /* not told yet */
	uint32_t nr_hits;
	uint32_t batch;
	const uint32_t *hints;
	uint64_t next_tick;
	struct sim_tiers *tiers; /* or NULL */
	unsigned int slowest;	 /* tier among those of the request so far */
	bool is_checked;
};

const char *sim_bound(const struct sim *s, uint32_t id)
{
	const struct sim_block *b;

	if (id >= s->nr_blocks)
		return "no such block";
	b = &s->blocks[id];
	if (!b->cached)
		return "not cached";
	if (s->mode != SIM_ATOMIC)
		return NULL;
	if (b->children)
		return "a block behind it is cached";
	return b->user == (uint32_t)s->request.nr + 1 ? "the request uses it"
						      : NULL;
}

static void tell_hits(struct run *r)
{
	if (r->nr_hits && r->policy->accessed)
		r->policy->accessed(&r->s, r->hits, r->nr_hits);
	r->nr_hits = 0;
}

static void hit(struct run *r, uint32_t id)
{
	r->hits[r->nr_hits++] = id;
	if (r->nr_hits == SIM_BATCH)
		tell_hits(r);
}

static void insert(struct run *r, uint32_t id)
{
	struct sim_block *b = &r->s.blocks[id];

	b->cached = true;
	if (b->parent != SIM_NONE)
		r->s.blocks[b->parent].children++;
	r->s.nr_cached++;
	r->result->fills++;
	if (r->tiers)
		sim_tiers_arrive(r->tiers, id);
	if (r->policy->added)
		r->policy->added(&r->s, id);
}

static void evict(struct run *r, uint32_t id)
{
	struct sim_block *b = &r->s.blocks[id];

	b->cached = false;
	if (b->parent != SIM_NONE)
		r->s.blocks[b->parent].children--;
	r->s.nr_cached--;
	r->result->evictions++;
	if (r->tiers)
		sim_tiers_demote(r->tiers, id);
	if (r->policy->removed)
		r->policy->removed(&r->s, id);
}

/* One batch of victims. How many went, 0 when there is none, or -errno. */
static int evict_some(struct run *r, uint32_t want)
{
	struct sim *s = &r->s;
	uint32_t ids[SIM_BATCH], n, i;
	const char *why;

	if (want > SIM_BATCH)
		want = SIM_BATCH;
	n = r->policy->victims(s, ids, want);
	if (n > want) {
		error("policy %s: gave %u victims, was asked for %u",
		      r->policy->name, n, want);
		return -EPROTO;
	}
	for (i = 0; i < n; i++) {
		why = sim_bound(s, ids[i]);
		if (why) {
			error("policy %s: block %u as a victim in request %llu: %s",
			      r->policy->name, ids[i],
			      (unsigned long long)s->request.nr + 1, why);
			return -EPROTO;
		}
		evict(r, ids[i]);
	}
	return (int)n;
}

/* Room for a block. 1, 0 when the policy has no victim, or -errno. */
static int make_room(struct run *r)
{
	struct sim *s = &r->s;
	uint32_t lack;
	int n;

	if (s->nr_cached < s->capacity)
		return 1;
	lack = r->batch < s->capacity ? r->batch : s->capacity;
	for (; lack; lack -= (uint32_t)n) {
		n = evict_some(r, lack);
		if (n < 0)
			return n;
		if (!n)
			break;
	}
	return s->nr_cached < s->capacity;
}

/* Used or written below the cache. */
static void pass(struct run *r, uint32_t id)
{
	if (r->tiers)
		sim_tiers_pass(r->tiers, id);
}

/* A block that missed. 1 when it is kept, 0 when not, or -errno. */
static int miss(struct run *r, uint32_t id)
{
	int ret;

	tell_hits(r);
	if (r->policy->admit && r->policy->admit(&r->s, id) != SIM_KEEP) {
		pass(r, id);
		return 0;
	}
	if (r->tiers)
		sim_tiers_lift(r->tiers, id);
	ret = make_room(r);
	if (ret > 0) {
		insert(r, id);
		return ret;
	}
	if (r->tiers)
		sim_tiers_put_back(r->tiers, id);
	pass(r, id);
	return ret;
}

static void look(struct run *r, uint32_t id)
{
	if (r->tiers)
		sim_tiers_look(r->tiers, id, &r->slowest);
}

static int per_block(struct run *r)
{
	const struct sim_request *q = &r->s.request;
	bool prefix = true;
	uint32_t i;
	int ret;

	for (i = 0; i < q->len; i++) {
		uint32_t id = q->chain[i];

		look(r, id);
		if (r->s.blocks[id].cached) {
			r->result->block_hits++;
			r->result->prefix_hits += prefix;
			hit(r, id);
			continue;
		}
		prefix = false;
		ret = miss(r, id);
		if (ret < 0)
			return ret;
		r->result->bypassed += !ret;
	}
	return 0;
}

static int atomic(struct run *r)
{
	const struct sim_request *q = &r->s.request;
	uint32_t i;
	int ret = 1;

	for (i = 0; i < q->len; i++)
		look(r, q->chain[i]);
	r->result->block_hits += q->cached;
	r->result->prefix_hits += q->cached;
	for (i = 0; i < q->cached; i++)
		hit(r, q->chain[i]);
	for (; i < q->len && ret > 0; i++)
		ret = miss(r, q->chain[i]);
	if (ret < 0)
		return ret;
	/* After one that was not kept all that is left is not. */
	r->result->bypassed += q->len - i + !ret;
	for (; i < q->len; i++)
		pass(r, q->chain[i]);
	return 0;
}

/* Note the chain; in atomic mode it must agree with those before. */
static int take_chain(struct run *r)
{
	const struct sim_request *q = &r->s.request;
	uint32_t i, parent = SIM_NONE;

	for (i = 0; i < q->len; i++) {
		struct sim_block *b = &r->s.blocks[q->chain[i]];

		if (!b->seen) {
			b->seen = true;
			b->parent = parent;
			b->depth = i;
		} else if (b->parent != parent && r->s.mode == SIM_ATOMIC) {
			error("request %llu: its block %u of %u stood behind another one before; %s needs ids that stand for a block and all before it: leave it out of --policy, or --atomic",
			      (unsigned long long)q->nr + 1, i + 1, q->len,
			      r->policy->name);
			return -EINVAL;
		}
		b->user = (uint32_t)q->nr + 1;
		parent = q->chain[i];
	}
	return 0;
}

static int begin(struct run *r, const struct trace *t, uint64_t nr)
{
	struct sim_request *q = &r->s.request;
	const struct request_info *info = &t->info[nr];
	int ret;

	*q = (struct sim_request){
		.nr = nr,
		.time_ns = sim_time_ns(info->timestamp),
		.input_length = info->input_length,
		.session = info->session,
		.turn = info->turn,
		.agent = info->agent,
		.chain = t->refs + t->start[nr],
		.len = (uint32_t)(t->start[nr + 1] - t->start[nr]),
	};
	ret = take_chain(r);
	if (ret)
		return ret;
	while (q->cached < q->len && r->s.blocks[q->chain[q->cached]].cached)
		q->cached++;
	/* The clock never goes back, whatever the trace says. */
	if (q->time_ns > r->s.now_ns)
		r->s.now_ns = q->time_ns;
	if (nr == 0)
		r->next_tick = r->s.now_ns + SIM_TICK_NS;
	if (r->s.now_ns >= r->next_tick) {
		r->next_tick = r->s.now_ns + SIM_TICK_NS;
		if (r->policy->tick)
			r->policy->tick(&r->s);
	}
	if (r->policy->request_begin)
		r->policy->request_begin(&r->s);
	return 0;
}

static int check(const struct run *r)
{
	const struct sim_result *c = r->result;
	const char *why = NULL;

	if (r->tiers)
		why = sim_tiers_check(r->tiers, c->refs);
	if (!why && c->fills - c->evictions != r->s.nr_cached)
		why = "fills less evictions are not cached";
	if (!why && r->tiers &&
	    (c->traffic.hits[SIM_DRAM] != c->block_hits ||
	     c->traffic.prefix[SIM_DRAM] != c->prefix_hits))
		why = "hits of the first tier are not those of the cache";
	if (!why)
		return 0;
	error("policy %s, request %llu: %s", r->policy->name,
	      (unsigned long long)r->s.request.nr + 1, why);
	return -EPROTO;
}

static int play(struct run *r, const struct trace *t,
		void (*step)(void *arg, uint64_t refs), void *arg)
{
	uint64_t nr;
	int ret;

	for (nr = 0; nr < t->nr_requests; nr++) {
		ret = begin(r, t, nr);
		if (!ret)
			ret = r->s.mode == SIM_ATOMIC ? atomic(r)
						      : per_block(r);
		if (ret)
			return ret;
		tell_hits(r);
		if (r->policy->request_end)
			r->policy->request_end(&r->s);
		if (r->hints && r->policy->hint)
			r->policy->hint(&r->s, r->hints[nr]);
		r->slowest = SIM_DRAM;
		r->result->requests++;
		r->result->refs += r->s.request.len;
		if (r->is_checked && check(r))
			return -EPROTO;
		if (step)
			step(arg, r->result->refs);
	}
	return 0;
}

static int prepare(struct run *r, const struct trace *t)
{
	struct sim *s = &r->s;
	uint32_t i;

	if (s->nr_blocks > UINT32_MAX / 2 - 1)
		return -EFBIG;
	s->blocks = calloc(s->nr_blocks, sizeof(*s->blocks));
	s->links = calloc(s->nr_blocks, sizeof(*s->links));
	s->index = calloc((size_t)s->nr_blocks + 1, sizeof(*s->index));
	s->storage = calloc(s->nr_blocks, r->policy->block_size + 1);
	s->priv = calloc(1, r->policy->priv_size + 1);
	if (!s->blocks || !s->links || !s->index || !s->storage || !s->priv)
		return -ENOMEM;
	for (i = 0; i < s->nr_blocks; i++)
		s->blocks[i].parent = SIM_NONE;
	if (r->policy->offline)
		s->future = t;
	return r->policy->attach ? r->policy->attach(s) : 0;
}

/* Of this process: what else runs on the machine changes no figure. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void clean_up(struct run *r)
{
	if (r->tiers) {
		sim_tiers_finish(r->tiers);
		sim_tiers_free(r->tiers);
	}
	free(r->s.blocks);
	free(r->s.links);
	free(r->s.index);
	free(r->s.storage);
	free(r->s.priv);
}

int sim_run(const struct trace *t, const struct sim_policy *policy,
	    const struct sim_setup *setup, struct sim_result *result,
	    void (*step)(void *arg, uint64_t refs), void *arg)
{
	struct sim_tiers_setup below;
	struct sim_tiers tiers;
	struct run r = {
		.s = { .policy = policy,
		       .mode = setup->mode,
		       .capacity = setup->capacity,
		       .nr_blocks = t->nr_ids },
		.policy = policy,
		.result = result,
		.batch = setup->batch ? setup->batch : 1,
		.hints = setup->hints,
		.is_checked = setup->is_checked,
	};
	uint64_t start;
	int ret = 0;

	memset(result, 0, sizeof(*result));
	start = cpu_ns();
	if (setup->tiers) {
		below = *setup->tiers;
		below.tier[SIM_DRAM].blocks = setup->capacity;
		r.tiers = &tiers;
		ret = sim_tiers_init(&tiers, &below, t->nr_ids,
				     &result->traffic);
	}
	if (!ret)
		ret = prepare(&r, t);
	if (!ret) {
		ret = play(&r, t, step, arg);
		if (policy->detach)
			policy->detach(&r.s);
	}
	result->cpu_ns = cpu_ns() - start;
	clean_up(&r);
	return ret;
}
