/* SPDX-License-Identifier: GPL-2.0-only */
/* A walk of page tables for accessed bits; see scan.h. */
#ifndef KVL_SCAN_WALK_H
#define KVL_SCAN_WALK_H

#include "region.h"

/**
 * struct kvl_walk
 * @pool:	whose mappings are looked at
 * @region:	only those of this one, or NULL
 * @deadline:	when to stop (ktime_get_ns())
 * @since:	units of heat time since the walk before: who was touched later
 *		is not counted again
 * @found:	a mapping was seen
 * @looked:	blocks that are mapped
 * @young:	of these, with an accessed bit
 * @tables:	page tables so far
 */
struct kvl_walk {
	struct kvl_pool *pool;
	struct kvl_region *region;
	u64 deadline;
	u32 since;
	bool found;
	u32 looked;
	u32 young;
	u32 tables;
};

/*
 * Goes through the mappings of @mm from @addr on, and says in it how far it has
 * come. Needs mmap_lock for reading. True: the time is over before the walk is.
 */
bool kvl_walk_mm(struct kvl_walk *w, struct mm_struct *mm, unsigned long *addr);

#endif /* KVL_SCAN_WALK_H */
