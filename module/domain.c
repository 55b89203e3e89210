// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

#include "domain.h"

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
