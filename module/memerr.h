/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that has failed: what becomes of the block in it, and of the slot. */
#ifndef KVL_MEMERR_H
#define KVL_MEMERR_H

#include "region.h"

void kvl_memerr_init(void);
void kvl_memerr_exit(void);

/* When the pool has all of its members, and before its inodes go. */
void kvl_memerr_start(struct kvl_pool *pool);
void kvl_memerr_stop(struct kvl_pool *pool);

/* Page @pfn has failed: its owner is looked up later. From any context. */
void kvl_memerr_report(unsigned long pfn);

/*
 * The slot of a block has failed. The block falls back to its copy below, when
 * that is good, or is lost: EIO until it is replaced. Needs its lock.
 */
void kvl_memerr_block(struct kvl_region *r, u64 index, struct kvl_block *b);

#endif /* KVL_MEMERR_H */
