// SPDX-License-Identifier: GPL-2.0-only
#include <linux/topology.h>

#include "domain.h"
#include "move.h"
#include "policy.h"

static int alloc(struct kvl_tier *t, struct kvl_region *r, int node,
		 u64 *addr)
{
	if (likely(!kvl_domain_limited(r->domain, t->id)))
		return kvl_tier_alloc(t, node, addr);
	return kvl_domain_alloc(t, r, node, false, addr);
}

/* Nothing of the domain moves (pinned): its limits give way, visibly. */
static int exceed(struct kvl_pool *pool, struct kvl_region *r, int node,
		  u64 *addr)
{
	unsigned int id;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++)
		if (kvl_pool_has_tier(pool, id) &&
		    kvl_domain_stuck(r->domain, id) &&
		    !kvl_domain_alloc(&pool->tiers[id], r, node, true, addr)) {
			kvl_count(pool, KVL_C_DOMAIN_EXCEEDED);
			return 0;
		}
	return -ENOSPC;
}

int kvl_policy_place_near(struct kvl_pool *pool, struct kvl_region *r, int node,
			  u64 *addr)
{
	bool limited = false;
	unsigned int id;
	int err;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		if (!t->nr_members)
			continue;
		err = alloc(t, r, node, addr);
		if (!err) {
			kvl_reclaim_check(t);
			return 0;
		}
		if (err == -EDQUOT)
			limited = true;
		else
			kvl_reclaim_kick(t);
	}
	return limited ? exceed(pool, r, node, addr) : -ENOSPC;
}

int kvl_policy_place(struct kvl_pool *pool, struct kvl_region *r, u64 *addr)
{
	return kvl_policy_place_near(pool, r, numa_node_id(), addr);
}

unsigned int kvl_policy_victims(struct kvl_tier *t, struct kvl_victim *v,
				unsigned int nr)
{
	const struct kvl_policy *p = t->pool->policy;
	unsigned int n = 0;

	if (p->victims)
		n = p->victims(t, v, nr);
	if (!n && p != &kvl_policy_default)
		n = kvl_policy_default.victims(t, v, nr);
	return n;
}

bool kvl_policy_promote(struct kvl_pool *pool, unsigned int from)
{
	const struct kvl_policy *p = pool->policy;

	if (!p->promote)
		p = &kvl_policy_default;
	return p->promote(pool, from);
}
