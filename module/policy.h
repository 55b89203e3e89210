/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policy advises, the kernel decides: what a policy answers is checked and,
 * where it falls short, topped up by the default.
 */
#ifndef KVL_POLICY_H
#define KVL_POLICY_H

#include "region.h"

/* At most this many victims are asked for at a time. */
#define KVL_VICTIM_BATCH	32

/**
 * struct kvl_victim - a block to demote
 * @region:	held (igrab), the caller drops it
 * @index:	block
 * @addr:	where it was when it was chosen
 */
struct kvl_victim {
	struct kvl_region *region;
	u64 index;
	u64 addr;
};

/**
 * struct kvl_policy - every callback may be NULL
 * @name:	for status
 * @victims:	fills at most @nr blocks of @t to demote, coldest first, and
 *		returns how many
 * @promote:	whether a block of tier @from that was just used should move
 *		to the fastest memory
 */
struct kvl_policy {
	const char *name;
	unsigned int (*victims)(struct kvl_tier *t, struct kvl_victim *v,
				unsigned int nr);
	bool (*promote)(struct kvl_pool *pool, unsigned int from);
};

extern const struct kvl_policy kvl_policy_default;

/* A free slot of a memory tier for a block about to be used, or -ENOSPC. */
int kvl_policy_place(struct kvl_pool *pool, struct kvl_region *r, u64 *addr);
/* The same for a CPU of @node. */
int kvl_policy_place_near(struct kvl_pool *pool, struct kvl_region *r, int node,
			  u64 *addr);
unsigned int kvl_policy_victims(struct kvl_tier *t, struct kvl_victim *v,
				unsigned int nr);
/* Blocks that limits of domains want out of the tier: not a policy's choice. */
unsigned int kvl_policy_over_limit(struct kvl_tier *t, struct kvl_victim *v,
				   unsigned int nr);
bool kvl_policy_promote(struct kvl_pool *pool, unsigned int from);

#endif /* KVL_POLICY_H */
