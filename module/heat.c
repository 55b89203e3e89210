// SPDX-License-Identifier: GPL-2.0-only
#include <linux/jiffies.h>

#include "domain.h"
#include "heat.h"

/* Touches of a block that are this close count as one, in jiffies. */
#define TOUCH_INTERVAL	max(HZ / 32, 1)

/*
 * Without the block's lock the slot may have a new owner by the time
 * lru_lock is held, hence the look at the owner.
 */
static void reorder(struct kvl_region *r, u64 index, struct kvl_block *b,
		    bool hot)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 loc = READ_ONCE(b->loc);
	u64 home = loc & KVLIFT_LOC_PRESENT ? loc & KVL_ADDR_MASK : 0;
	struct list_head *lru;
	struct kvl_slot *s;
	struct kvl_tier *t;

	if (!kvl_addr_is_memory(home))
		return;
	t = &pool->tiers[kvl_addr_tier(home)];
	s = kvl_mem_slot(pool, home);
	lru = &r->domain->tier[t->id].lru;
	spin_lock(&t->lru_lock);
	if (s->region == r && s->index == index) {
		if (hot)
			list_move(&s->lru, lru);
		else
			list_move_tail(&s->lru, lru);
	}
	spin_unlock(&t->lru_lock);
}

static bool touch(struct kvl_block *b)
{
	u32 now = (u32)jiffies;

	/* More often is of no use, and keeps hot blocks off the lock. */
	if (now - READ_ONCE(b->touched) < TOUCH_INTERVAL)
		return false;
	WRITE_ONCE(b->touched, now);
	return true;
}

void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	/* There it is the clock of the next attempt to read. */
	if (!(READ_ONCE(b->loc) & KVLIFT_LOC_ERROR) && touch(b))
		reorder(r, index, b, true);
}

void kvl_heat_touch_slot(struct kvl_region *r, struct kvl_block *b,
			 struct kvl_slot *s)
{
	unsigned int id;
	struct kvl_tier *t;

	if (!touch(b))
		return;
	id = kvl_addr_tier(s->addr);
	t = &kvl_region_pool(r)->tiers[id];
	/* With the block's lock the slot stays the block's. */
	spin_lock(&t->lru_lock);
	list_move(&s->lru, &r->domain->tier[id].lru);
	spin_unlock(&t->lru_lock);
}

void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	/* The next touch counts. */
	if (!(READ_ONCE(b->loc) & KVLIFT_LOC_ERROR))
		WRITE_ONCE(b->touched, (u32)jiffies - TOUCH_INTERVAL);
	reorder(r, index, b, false);
}
