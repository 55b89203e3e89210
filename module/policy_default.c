// SPDX-License-Identifier: GPL-2.0-only
/* The built-in policy: least recently used goes down, what is used goes up. */
#include "policy.h"

/*
 * Takes from the cold end. Each victim goes to the hot end, so that one that
 * cannot be moved is not offered again until everything else was.
 */
static unsigned int victims(struct kvl_tier *t, struct kvl_victim *v,
			    unsigned int nr)
{
	unsigned int n = 0, looked = 0;
	struct kvl_slot *s, *tmp;
	LIST_HEAD(seen);

	spin_lock(&t->lru_lock);
	list_for_each_entry_safe_reverse(s, tmp, &t->lru, lru) {
		struct kvl_region *r = s->region;

		if (n == nr || looked++ == 4 * nr)
			break;
		list_move(&s->lru, &seen);
		/* Being evicted: its blocks are about to be freed anyway. */
		if (!igrab(&r->inode))
			continue;
		v[n].region = r;
		v[n].index = s->index;
		v[n].addr = s->addr;
		n++;
	}
	list_splice(&seen, &t->lru);
	spin_unlock(&t->lru_lock);
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
	       atomic64_read(&dram->nfree) > dram->low;
}

const struct kvl_policy kvl_policy_default = {
	.name = "lru",
	.victims = victims,
	.promote = promote,
};
