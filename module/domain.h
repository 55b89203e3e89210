/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A domain: a directory with properties that everything below it inherits.
 * Version 0.1 has one, the root of the pool; it only accounts.
 *
 * Lifetime: counted; every inode of the domain holds a reference.
 */
#ifndef KVL_DOMAIN_H
#define KVL_DOMAIN_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/kvlift.h>

struct kvl_pool;
struct kvl_tier;

struct kvl_domain {
	struct kref ref;
	struct kvl_pool *pool;
	/* Blocks whose home is in the tier. */
	atomic64_t blocks[KVLIFT_NR_TIERS];
	/* Leases on blocks in the tier. */
	atomic64_t leased[KVLIFT_NR_TIERS];
};

struct kvl_domain *kvl_domain_create(struct kvl_pool *pool);
struct kvl_domain *kvl_domain_get(struct kvl_domain *d);
void kvl_domain_put(struct kvl_domain *d);

/* How many blocks of a tier may be leased at a time. */
s64 kvl_domain_lease_cap(struct kvl_domain *d, struct kvl_tier *t);

#endif /* KVL_DOMAIN_H */
