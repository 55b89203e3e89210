/* SPDX-License-Identifier: GPL-2.0-only */
/* Who was touched when. Version 0.1 keeps one LRU order per memory tier. */
#ifndef KVL_HEAT_H
#define KVL_HEAT_H

#include "region.h"

/* The block was used. Works with or without the block's lock. */
void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b);

/* The same for whoever has its lock, and its slot in memory @s at hand. */
void kvl_heat_touch_slot(struct kvl_region *r, struct kvl_block *b,
			 struct kvl_slot *s);

/* The block will not be used soon. */
void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b);

#endif /* KVL_HEAT_H */
