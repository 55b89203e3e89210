// SPDX-License-Identifier: GPL-2.0-only
/*
 * The built-in policy: least recently used goes down, what is used goes up.
 *
 * Who gives: from the root of the domains downwards the one that holds most
 * above its guarantee, in relation to its weight; the files of a domain itself
 * count as one more, with the domain's weight. Guarantees inside a domain are
 * parts of its own, so that where a domain holds too much somebody inside
 * does. With one domain this is plain LRU.
 */
#include "domain.h"
#include "gpu.h"
#include "policy.h"

/* One that gives: blocks above what it is guaranteed. */
struct giver {
	struct kvl_domain *d;
	s64 excess;
};

static s64 present(struct kvl_domain *d, unsigned int id)
{
	struct kvl_domain_tier *dt = &d->tier[id];

	return atomic64_read(&dt->blocks) - atomic64_read(&dt->leaving) -
	       dt->planned;
}

/* The blocks of the domain itself. */
static s64 own(struct kvl_domain *d, unsigned int id)
{
	s64 n = present(d, id);
	struct kvl_domain *c;

	list_for_each_entry(c, &d->children, sibling)
		n -= present(c, id);
	return n;
}

/* Who has most in relation to its weight among @d's own and its children. */
static struct giver largest(struct kvl_domain *d, unsigned int id, bool guard)
{
	struct giver best = { d, own(d, id) };
	struct kvl_domain *c;

	list_for_each_entry(c, &d->children, sibling) {
		s64 excess = present(c, id);

		if (guard)
			excess -= c->tier[id].guarantee;
		if (excess * best.d->weight > best.excess * c->weight) {
			best.d = c;
			best.excess = excess;
		}
	}
	return best;
}

/* The domain at or below @top to take from, and at most how many; or NULL. */
static struct kvl_domain *pick(struct kvl_domain *top, unsigned int id,
			       bool guard, s64 *room)
{
	for (;;) {
		struct giver g = largest(top, id, guard);

		if (g.excess <= 0)
			return NULL;
		*room = min(*room, g.excess);
		if (g.d == top)
			return top;
		top = g.d;
	}
}

/*
 * Takes from the cold end. Each victim goes to the hot end, so that one that
 * cannot be moved is not offered again until everything else was.
 */
static unsigned int collect(struct kvl_domain *d, struct kvl_tier *t,
			    bool limit, struct kvl_victim *v, unsigned int nr)
{
	struct list_head *lru = &d->tier[t->id].lru;
	bool gpu = t->id == KVLIFT_TIER_GPU;
	unsigned int n = 0, looked = 0, most = (gpu ? 64 : 4) * nr;
	struct kvl_slot *s, *tmp;
	LIST_HEAD(others);
	LIST_HEAD(seen);

	spin_lock(&t->lru_lock);
	list_for_each_entry_safe_reverse(s, tmp, lru, lru) {
		struct kvl_region *r = s->region;

		if (n == nr || looked++ == most)
			break;
		/* Another GPU's slots are of no use to one that lacks some. */
		if (gpu && !limit &&
		    !kvl_gpu_is_short(kvl_addr_member(t->pool, s->addr))) {
			list_move(&s->lru, &others);
			continue;
		}
		list_move(&s->lru, &seen);
		/* That of a window helps its owner only (window.h). */
		if (s->window)
			continue;
		/* Being evicted: its blocks are about to be freed anyway. */
		if (!igrab(&r->inode))
			continue;
		v[n].region = r;
		v[n].index = s->index;
		v[n].addr = s->addr;
		n++;
	}
	/* Out of the way, too: they would be all that is ever looked at. */
	list_splice(&others, lru);
	list_splice(&seen, lru);
	spin_unlock(&t->lru_lock);
	return n;
}

static void plan(struct kvl_domain *d, unsigned int id, s64 n)
{
	for (; d; d = d->parent)
		d->tier[id].planned += n;
}

/* At most @nr victims at or below @top; @limit: to get below one of those. */
static unsigned int take(struct kvl_domain *top, struct kvl_tier *t,
			 bool guard, bool limit, struct kvl_victim *v,
			 unsigned int nr)
{
	/* A few at a time, so that those with as much give in turn. */
	unsigned int chunk = t->pool->nr_domains > 1 ? DIV_ROUND_UP(nr, 4) : nr;
	unsigned int n = 0, got;
	struct kvl_domain *d;

	while (n < nr) {
		s64 room = min(chunk, nr - n);

		d = pick(top, t->id, guard, &room);
		if (!d)
			break;
		got = collect(d, t, limit, v + n, room);
		/* Nothing there after all: not again in this call. */
		plan(d, t->id, got ?: own(d, t->id));
		n += got;
	}
	return n;
}

static void forget_plans(struct kvl_tier *t)
{
	struct kvl_domain *d;

	lockdep_assert_held(&t->pool->domain_lock);
	list_for_each_entry(d, &t->pool->domains, all)
		d->tier[t->id].planned = 0;
}

/* The tier has shrunk and can't give what was guaranteed. */
static bool overcommitted(struct kvl_tier *t)
{
	struct kvl_domain *d;
	u64 sum = READ_ONCE(t->high);

	list_for_each_entry(d, &t->pool->root_domain->children, sibling)
		sum += d->tier[t->id].guarantee;
	return sum > READ_ONCE(t->slots);
}

static unsigned int victims(struct kvl_tier *t, struct kvl_victim *v,
			    unsigned int nr)
{
	struct kvl_pool *pool = t->pool;
	unsigned int n;

	spin_lock(&pool->domain_lock);
	forget_plans(t);
	n = take(pool->root_domain, t, true, false, v, nr);
	if (!n && overcommitted(t))
		n = take(pool->root_domain, t, false, false, v, nr);
	spin_unlock(&pool->domain_lock);
	return n;
}

unsigned int kvl_policy_over_limit(struct kvl_tier *t, struct kvl_victim *v,
				   unsigned int nr)
{
	struct kvl_pool *pool = t->pool;
	struct kvl_domain *d;
	unsigned int n = 0;

	if (likely(!READ_ONCE(t->pressed)))
		return 0;
	spin_lock(&pool->domain_lock);
	forget_plans(t);
	list_for_each_entry(d, &pool->domains, all) {
		u64 over = kvl_domain_over_one(d, t);

		if (over)
			n += take(d, t, true, true, v + n,
				  min(over, nr - n));
	}
	spin_unlock(&pool->domain_lock);
	return n;
}

/*
 * Worth a copy only while fast memory is not short: otherwise each promotion
 * costs a demotion, and the block can be used where it is.
 */
static bool promote(struct kvl_pool *pool, unsigned int from)
{
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];

	return from != KVLIFT_TIER_DRAM && dram->nr_members &&
	       atomic64_read(&dram->nfree) > READ_ONCE(dram->low);
}

const struct kvl_policy kvl_policy_default = {
	.name = "lru",
	.victims = victims,
	.promote = promote,
};
