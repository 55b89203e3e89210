// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

#include "domain.h"
#include "tier.h"

struct kvl_domain *kvl_domain_create(struct kvl_pool *pool)
{
	struct kvl_domain *d = kzalloc(sizeof(*d), GFP_KERNEL);

	if (!d)
		return NULL;
	kref_init(&d->ref);
	d->pool = pool;
	return d;
}

struct kvl_domain *kvl_domain_get(struct kvl_domain *d)
{
	kref_get(&d->ref);
	return d;
}

static void release(struct kref *ref)
{
	kfree(container_of(ref, struct kvl_domain, ref));
}

void kvl_domain_put(struct kvl_domain *d)
{
	kref_put(&d->ref, release);
}

s64 kvl_domain_lease_cap(struct kvl_domain *d, struct kvl_tier *t)
{
	u64 slots = 0;
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		slots += READ_ONCE(t->members[i]->got);
	return slots / 2;
}
