// SPDX-License-Identifier: GPL-2.0-only
#include <linux/topology.h>

#include "move.h"
#include "policy.h"

int kvl_policy_place(struct kvl_pool *pool, struct kvl_region *r, u64 *addr)
{
	unsigned int id;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		if (!t->nr_members)
			continue;
		if (!kvl_tier_alloc(t, numa_node_id(), addr)) {
			kvl_reclaim_check(t);
			return 0;
		}
		kvl_reclaim_kick(t);
	}
	return -ENOSPC;
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
