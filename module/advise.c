// SPDX-License-Identifier: GPL-2.0-only
/*
 * From events to requests, and from requests to questions.
 *
 * A request is the chain of blocks that an engine says it uses, or, where no
 * engine says anything, blocks of one region that were touched together. Blocks
 * that engines told about once are known by what they tell from then on: their
 * touches say nothing more.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "advise_call.h"
#include "domain.h"
#include "move.h"
#include "policy.h"
#include "queue.h"

/* Touches of one region make one request when they are not further apart. */
#define TOGETHER	(100 * NSEC_PER_MSEC)
#define GROUP_MAX	4096u
/* A replay that has not set the clock for so long is over. */
#define CLOCK_NS	(60 * NSEC_PER_SEC)
#define TICK		NSEC_PER_SEC

/* Blocks of DRAM that a policy has to do with. */
u32 kvl_advise_capacity(struct kvl_advisor *a)
{
	struct kvl_tier *t = &a->pool->tiers[KVLIFT_TIER_DRAM];
	u64 slots = READ_ONCE(t->slots), high = READ_ONCE(t->high);
	u64 n = slots > high ? slots - high : 1;

	if (a->domain) {
		struct kvl_domain_tier *dt = &a->domain->tier[t->id];
		u64 limit = READ_ONCE(dt->limit);

		if (!limit)
			limit = max3(READ_ONCE(dt->guarantee),
				     (u64)atomic64_read(&dt->blocks), 1ULL);
		n = min(n, limit);
	}
	return min_t(u64, n, U32_MAX / 2);
}

static bool prefix_mode(struct kvl_advisor *a)
{
	return a->flags & KVLIFT_POLICY_PREFIX;
}

static void flush_hits(struct kvl_advisor *a)
{
	u32 n = a->batch_nr;

	if (n)
		KVL_TELL(a, KVL_CALL_ACCESSED, accessed, n);
	a->batch_nr = 0;
}

static void hit(struct kvl_advisor *a, u32 id, bool told)
{
	struct kvl_entry *e = kvl_entry(a, id);

	a->stat.hits++;
	kvl_table_renew(a, id);
	/* A device may have read it, of which the LRU does not know. */
	if (told)
		kvl_advise_set_out(a, e, false);
	a->batch[a->batch_nr++] = id;
	if (a->batch_nr == KVLIFT_POLICY_BATCH)
		flush_hits(a);
}

static bool make_room(struct kvl_advisor *a)
{
	while (a->ctx.resident >= a->ctx.capacity)
		if (!kvl_advise_victims(a, 1))
			return false;
	return true;
}

static void want_up(struct kvl_advisor *a, u32 id)
{
	if (a->nr_ups < KVLIFT_POLICY_BATCH)
		a->ups[a->nr_ups++] = id;
}

/* False: it is not kept. */
static bool miss(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);

	flush_hits(a);
	a->stat.misses++;
	if (!kvl_advise_admit(a, id) || !make_room(a)) {
		a->stat.bypassed++;
		return false;
	}
	a->stat.admitted++;
	kvl_table_resident(a, id, true);
	a->request_resident++;
	if (e->out) {
		kvl_advise_set_out(a, e, false);
		e->recalled = true;
	}
	if (e->addr && kvl_addr_tier(e->addr) == KVLIFT_TIER_CXL)
		want_up(a, id);
	KVL_TELL(a, KVL_CALL_ADDED, added, id);
	return true;
}

/* It goes first, unless it is not there anyway. */
static void let_go(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);

	kvl_table_renew(a, id);
	if (!e->out)
		kvl_advise_set_out(a, e, true);
}

static void play_chain(struct kvl_advisor *a, bool told)
{
	u32 n = a->ctx.len, i;
	bool closed = told && prefix_mode(a), over = false;

	for (i = 0; i < n; i++) {
		u32 id = a->chain[i];

		if (kvl_entry(a, id)->standing == KVL_RESIDENT) {
			hit(a, id, told);
		} else if (over || !miss(a, id)) {
			if (over) {
				a->stat.misses++;
				a->stat.bypassed++;
			}
			over = closed;
			let_go(a, id);
		}
	}
	flush_hits(a);
}

/* What a policy wants up, and what it admitted that is in CXL. */
static void bring_up(struct kvl_advisor *a)
{
	u32 i;

	a->nr_fetches = 0;
	KVL_TELL(a, KVL_CALL_PREFETCH, prefetch);
	for (i = 0; i < a->nr_fetches; i++)
		want_up(a, a->fetches[i]);
	for (i = 0; i < a->nr_ups; i++)
		a->stat.fetched += kvl_advise_fetch(a, a->ups[i]);
	a->nr_ups = 0;
}

static void tick(struct kvl_advisor *a, u64 now)
{
	u32 i;

	if (now < a->next_tick)
		return;
	a->next_tick = now + TICK;
	a->nr_fetches = 0;
	KVL_TELL(a, KVL_CALL_TICK, tick);
	for (i = 0; i < a->nr_fetches; i++)
		a->stat.fetched += kvl_advise_fetch(a, a->fetches[i]);
	a->nr_fetches = 0;
}

/* The first @n of the chain are used now. */
static void request(struct kvl_advisor *a, u32 n, u64 session, u64 now,
		    bool told, bool partial)
{
	struct kvlift_ctx *c = &a->ctx;
	bool prefix = true;
	u32 i;

	kvl_advise_refresh(a);
	c->now_ns = max(c->now_ns, now);
	c->capacity = kvl_advise_capacity(a);
	tick(a, c->now_ns);
	c->nr = a->stat.requests++;
	a->stat.told += told;
	c->session = session;
	c->len = n;
	c->whole = partial ? n - 1 : n;
	c->cached = 0;
	c->flags = told ? KVLIFT_CTX_TOLD : 0;
	a->request_resident = 0;
	for (i = 0; i < n; i++) {
		struct kvl_entry *e = kvl_entry(a, a->chain[i]);

		a->request_resident += e->standing == KVL_RESIDENT;
		e->user = (u32)c->nr + 1;
		e->session = session;
		prefix &= e->standing == KVL_RESIDENT;
		c->cached += prefix;
	}
	KVL_TELL(a, KVL_CALL_REQUEST, request);
	play_chain(a, told);
	bring_up(a);
	c->len = 0;
}

static bool chain_room(struct kvl_advisor *a, u32 n)
{
	u32 *chain;

	if (n <= a->chain_max)
		return true;
	n = max(n, GROUP_MAX);
	chain = kvmalloc_array(n, sizeof(*chain), GFP_KERNEL | __GFP_NOWARN);
	if (!chain)
		return false;
	if (a->chain_max)
		memcpy(chain, a->chain, a->chain_max * sizeof(*chain));
	kvfree(a->chain);
	a->chain = chain;
	a->chain_max = n;
	return true;
}

void kvl_advise_end_group(struct kvl_advisor *a)
{
	u32 n = a->group_nr;

	a->group_nr = 0;
	if (n)
		request(a, n, a->group_region, a->group_time, false, false);
}

static void group(struct kvl_advisor *a, u32 id, u64 region, u64 time)
{
	u32 mark = (u32)a->stat.requests + 1;
	struct kvl_entry *e;

	if (a->group_nr &&
	    (region != a->group_region || time > a->group_time + TOGETHER ||
	     a->group_nr == GROUP_MAX)) {
		kvl_advise_end_group(a);
		mark = (u32)a->stat.requests + 1;
	}
	e = kvl_entry(a, id);
	/* Records of a group are not taken for others, see take_record(). */
	if ((a->group_nr && e->user == mark) || !chain_room(a, GROUP_MAX))
		return;
	if (!a->group_nr) {
		a->group_region = region;
		a->group_time = time;
	}
	e->user = mark;
	a->chain[a->group_nr++] = id;
}

static void on_touch(struct kvl_advisor *a, const struct kvl_event *ev)
{
	u32 id = kvl_table_find(a, ev->region, ev->index, true);
	struct kvl_entry *e;

	if (id == KVLIFT_NO_BLOCK)
		return;
	e = kvl_entry(a, id);
	e->addr = ev->addr;
	/* A hole was read. */
	e->tier = ev->addr ? kvl_addr_tier(ev->addr) : KVLIFT_NR_TIERS;
	e->weight = ev->weight;
	if (!e->told)
		group(a, id, ev->region, ev->time);
}

/* The block is in DRAM now. */
static void arrived(struct kvl_advisor *a, u32 id, const struct kvl_event *ev)
{
	struct kvl_entry *e = kvl_entry(a, id);

	e->recalled = false;
	if (e->standing == KVL_RESIDENT)
		return;
	if (e->told)
		let_go(a, id);
	else
		group(a, id, ev->region, ev->time);
}

/* It has left DRAM, or is gone. */
static void left(struct kvl_advisor *a, u32 id, const struct kvl_event *ev)
{
	struct kvl_entry *e = kvl_entry(a, id);

	if (e->out) {
		e->out = false;
		a->nr_out--;
	}
	/* It was on its way when it was admitted again, and comes back. */
	if (e->recalled && ev->addr) {
		e->recalled = false;
		return;
	}
	if (e->standing == KVL_RESIDENT &&
	    (ev->from == KVLIFT_TIER_DRAM || !ev->addr)) {
		if (e->user == (u32)a->ctx.nr + 1 && a->request_resident)
			a->request_resident--;
		kvl_table_resident(a, id, false);
		KVL_TELL(a, KVL_CALL_REMOVED, removed, id);
	}
}

static void on_place(struct kvl_advisor *a, const struct kvl_event *ev)
{
	bool dram = ev->addr && kvl_addr_tier(ev->addr) == KVLIFT_TIER_DRAM;
	u32 id = kvl_table_find(a, ev->region, ev->index, dram);
	struct kvl_entry *e;

	if (id == KVLIFT_NO_BLOCK)
		return;
	/* Who used it did so before it went. */
	if (!ev->addr)
		kvl_advise_end_group(a);
	e = kvl_entry(a, id);
	e->addr = ev->addr;
	e->tier = ev->addr ? kvl_addr_tier(ev->addr) : KVLIFT_NR_TIERS;
	if (dram)
		arrived(a, id, ev);
	else
		left(a, id, ev);
	if (!ev->addr) {
		if (e->standing == KVL_GHOST)
			kvl_advise_forget(a, id);
	} else if (ev->from != e->tier && ev->from != KVLIFT_NR_TIERS) {
		KVL_TELL(a, KVL_CALL_MOVED, moved, id, (u32)ev->from,
			 (u32)e->tier);
	}
}

static void on_cold(struct kvl_advisor *a, const struct kvl_event *ev)
{
	u32 id = kvl_table_find(a, ev->region, ev->index, false);

	if (id == KVLIFT_NO_BLOCK)
		return;
	kvl_advise_end_group(a);
	if (kvl_entry(a, id)->standing == KVL_RESIDENT)
		kvl_advise_remove(a, id);
}

/* From here on the policy's time goes on as the machine's does. */
static void end_clock(struct kvl_advice *v, u64 time)
{
	if (v->clock > time)
		v->clock_ahead = v->clock - time;
	else if (v->clock)
		v->clock_ahead = 0;
	v->clock = 0;
}

static void set_clock(struct kvl_advice *v, u64 ns, u64 time)
{
	if (!ns) {
		end_clock(v, time);
		return;
	}
	if (!v->clock)
		v->clock_base = time + v->clock_ahead - ns;
	/* It never goes back. */
	v->clock = max(v->clock, v->clock_base + ns);
	v->clock_told = time;
}

static u64 now_of(struct kvl_pool *pool, u64 time)
{
	struct kvl_advice *v = &pool->advice;

	/* Of two CPUs' events the later one may have come first. */
	if (v->clock && (s64)(time - v->clock_told) > (s64)CLOCK_NS)
		end_clock(v, time);
	return v->clock ?: time + v->clock_ahead;
}

/* The record of a block that a hint names, or KVLIFT_NO_BLOCK. */
static u32 find_hinted(struct kvl_advisor *a, const struct kvl_hint_block *b)
{
	return b->region ? kvl_table_find(a, b->region, b->index, true) :
			   KVLIFT_NO_BLOCK;
}

/* Blocks of a chain; parents are those they first stood behind. */
static u32 take_chain(struct kvl_advisor *a, const struct kvl_hint_list *l,
		      const struct kvl_hint_rec *h, u32 n)
{
	u32 i, id, parent = n ? a->chain[n - 1] : KVLIFT_NO_BLOCK;

	if (!chain_room(a, n + h->nr))
		return n;
	for (i = 0; i < h->nr; i++) {
		const struct kvl_hint_block *b = &l->blocks[h->first + i];
		struct kvl_entry *e;

		if (!b->region)
			continue;
		id = find_hinted(a, b);
		if (id == KVLIFT_NO_BLOCK)
			break;
		e = kvl_entry(a, id);
		e->user = (u32)a->stat.requests + 1;
		if (b->addr) {
			e->addr = b->addr;
			e->tier = kvl_addr_tier(b->addr);
		}
		if (!e->told) {
			e->told = true;
			kvl_table_set_parent(a, id, parent);
		}
		a->chain[n++] = id;
		parent = id;
	}
	return n;
}

/* Nobody's request: the next one is not to find it in use. */
static void drop_chain(struct kvl_advisor *a, u32 n)
{
	while (n--)
		kvl_entry(a, a->chain[n])->user = 0;
}

static void on_blocks(struct kvl_advisor *a, const struct kvl_hint_list *l,
		      const struct kvl_hint_rec *h)
{
	u32 ids[2] = { KVLIFT_NO_BLOCK, KVLIFT_NO_BLOCK }, i;
	struct kvl_entry *e;

	for (i = 0; i < h->nr; i++) {
		u32 id = find_hinted(a, &l->blocks[h->first + i]);

		if (id == KVLIFT_NO_BLOCK)
			continue;
		ids[i & 1] = id;
		e = kvl_entry(a, id);
		if (h->op == KVLIFT_HINT_USE)
			e->use_at = (u32)(jiffies + msecs_to_jiffies(h->ms)) ?:
				    1;
		else if (h->op == KVLIFT_HINT_PRIO)
			e->prio = h->value;
	}
	if (h->op != KVLIFT_HINT_PARENT || ids[0] == KVLIFT_NO_BLOCK)
		return;
	e = kvl_entry(a, ids[0]);
	if (kvl_table_parent(a, e) == KVLIFT_NO_BLOCK)
		kvl_table_set_parent(a, ids[0], ids[1]);
}

/* A session is known to those that its requests were told to. */
static void on_session(struct kvl_pool *pool, struct kvl_hint_list *l,
		       const struct kvl_hint_rec *h)
{
	struct kvl_advice *v = &pool->advice;
	bool all = h->session && h->advisor == KVL_ALL_ADVISORS;
	u32 ms = h->op == KVLIFT_HINT_OVER ? KVLIFT_OVER : h->ms;
	unsigned int i;

	for (i = 0; i < v->nr; i++) {
		struct kvl_advisor *a = v->advisors[i];

		if (h->session ? !all && i != h->advisor : a != l->asked)
			continue;
		a->ctx.session = h->session ?: l->session;
		KVL_TELL(a, KVL_CALL_HINT, hint, ms);
	}
}

/* @n blocks of a chain are used by the request that ends it. */
static void on_request(struct kvl_pool *pool, struct kvl_hint_list *l, u32 i,
		       struct kvl_advisor *a, u32 n)
{
	const struct kvl_hint_rec *h;

	if (l->request < i)
		l->request = i;
	while (l->request < l->nr &&
	       l->recs[l->request].op != KVLIFT_HINT_REQUEST)
		l->request++;
	if (!n)
		return;
	if (l->request == l->nr) {
		drop_chain(a, n);
		return;
	}
	h = &l->recs[l->request];
	request(a, n, h->session, now_of(pool, l->time), true,
		l->request == i && h->flags & KVLIFT_HINT_PARTIAL);
	l->asked = a;
	l->session = h->session;
}

static struct kvl_advisor *advisor_of(struct kvl_pool *pool,
				      const struct kvl_hint_rec *h)
{
	struct kvl_advice *v = &pool->advice;

	return v->advisors[h->advisor == KVL_ALL_ADVISORS ? 0 : h->advisor];
}

bool kvl_advise_tell_hints(struct kvl_pool *pool, unsigned long until)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_hint_list *l = v->hints;
	struct kvl_advisor *of = NULL;
	u32 n = 0;

	for (; l->at < l->nr; l->at++) {
		const struct kvl_hint_rec *h = &l->recs[l->at];
		struct kvl_advisor *a = advisor_of(pool, h);

		/* Between requests there is nothing that others could spoil. */
		if (!n && time_after(jiffies, until))
			return false;
		kvl_advise_end_group(a);
		switch (h->op) {
		case KVLIFT_HINT_CLOCK:
			set_clock(v, h->session, l->time);
			break;
		case KVLIFT_HINT_CHAIN:
			/* Of blocks of two policies each has its own part. */
			if (a != of && n) {
				on_request(pool, l, l->at, of, n);
				n = 0;
			}
			n = take_chain(a, l, h, n);
			of = a;
			break;
		case KVLIFT_HINT_REQUEST:
			l->asked = NULL;
			on_request(pool, l, l->at, of, n);
			n = 0;
			break;
		case KVLIFT_HINT_RETURNS:
		case KVLIFT_HINT_OVER:
			on_session(pool, l, h);
			break;
		default:
			on_blocks(a, l, h);
		}
		cond_resched();
	}
	if (n)
		drop_chain(of, n);
	atomic_long_sub(l->size, &v->hint_bytes);
	kvfree(l);
	v->hints = NULL;
	return true;
}

void kvl_advise_on_event(struct kvl_pool *pool, struct kvl_event *ev)
{
	struct kvl_advisor *a = pool->advice.advisors[ev->advisor];

	switch (ev->type) {
	case KVL_EV_TOUCH:
		ev->time = now_of(pool, ev->time);
		on_touch(a, ev);
		break;
	case KVL_EV_PLACE:
		ev->time = now_of(pool, ev->time);
		on_place(a, ev);
		break;
	case KVL_EV_COLD:
		on_cold(a, ev);
		break;
	case KVL_EV_HINTS:
		pool->advice.hints = (void *)ev->addr;
		pool->advice.hints->time = ev->time;
		break;
	}
}
