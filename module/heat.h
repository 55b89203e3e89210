/* SPDX-License-Identifier: GPL-2.0-only */
/* Who was touched when. Version 0.1 keeps one LRU order per memory tier. */
#ifndef KVL_HEAT_H
#define KVL_HEAT_H

#include "region.h"

/* The block was used. Works with or without the block's lock. */
void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b);

/* The block will not be used soon. */
void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b);

#endif /* KVL_HEAT_H */
