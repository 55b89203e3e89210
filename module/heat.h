/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who was touched when, and how often: a word of decayed heat per block
 * (heatval.h) and one order of last use per memory tier and domain.
 *
 * Touches come from faults, read(2) and write(2), KVLIFT_IOC_TOUCH, touch
 * rings (ring.h) and accessed bits (scan.h). One of weight 1 counts when the
 * block has not been touched for 1/32 s; a heavier one always does. Every one
 * that counts passes note() or note_one() in heat.c, and nothing else adds heat.
 *
 * The word is written without a lock: of two touches at the same instant one
 * may be lost.
 */
#ifndef KVL_HEAT_H
#define KVL_HEAT_H

#include <linux/jiffies.h>
#include <linux/log2.h>

#include "heatval.h"
#include "region.h"

/* Time in the units of heatval.h, and how many of them a second has. */
#define KVL_HEAT_TICKS	ilog2(HZ / 24)
#define KVL_HEAT_SECOND	(HZ >> KVL_HEAT_TICKS)

/* A failed read is tried again after a second. */
#define KVL_RETRY_READ	(KVL_HEAT_SECOND + 1)

static inline u32 kvl_heat_now(void)
{
	return jiffies / BIT(KVL_HEAT_TICKS);
}

/* Since the last touch, in these units. */
static inline u32 kvl_heat_age(const struct kvl_block *b)
{
	return kvl_heatval_age(READ_ONCE(b->heat), kvl_heat_now());
}

/* In 1/256 touches. */
static inline u32 kvl_heat_read(const struct kvl_block *b)
{
	return kvl_heatval_read(READ_ONCE(b->heat), kvl_heat_now());
}

/* The clock of the block begins now: a read of it has failed. */
static inline void kvl_heat_stamp(u64 index, struct kvl_block *b)
{
	WRITE_ONCE(b->heat, kvl_heatval_stamp(READ_ONCE(b->heat),
					      kvl_heat_now(), index));
}

/* It has got another slot. That is no touch, and the next one counts. */
static inline void kvl_heat_moved(u64 index, struct kvl_block *b)
{
	WRITE_ONCE(b->heat, kvl_heatval_stamp(READ_ONCE(b->heat),
					      kvl_heat_now() -
							KVL_HEAT_RECENT,
					      index));
}

/* It has no content any more. */
static inline void kvl_heat_forget(struct kvl_block *b)
{
	WRITE_ONCE(b->heat, 0);
}

/* Touched so short ago that another touch of weight 1 does not count. */
static inline bool kvl_heat_recent(const struct kvl_block *b, u32 now)
{
	return kvl_heatval_recent(READ_ONCE(b->heat), now);
}

/*
 * The block was used, as much as @weight touches, 0 for one. Works with or
 * without the block's lock.
 */
void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b,
		    u32 weight);

void kvl_heat_count_slot(struct kvl_region *r, u64 index, struct kvl_block *b,
			 struct kvl_slot *s);

/* Once, for whoever has its lock and its slot in memory @s at hand. */
static inline void kvl_heat_touch_slot(struct kvl_region *r, u64 index,
				       struct kvl_block *b, struct kvl_slot *s)
{
	if (!kvl_heat_recent(b, kvl_heat_now()))
		kvl_heat_count_slot(r, index, b, s);
}

/*
 * @n entries of a touch ring, in a row. They may be garbage, and change while
 * they are read. Returns how many named a stored block. Holds a spin lock: not
 * too many.
 */
u32 kvl_heat_touch_entries(struct kvl_region *r, const u64 *entries, u32 n);

/* The block will not be used soon. */
void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b);

#endif /* KVL_HEAT_H */
