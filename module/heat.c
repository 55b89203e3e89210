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
	if (s->region == r && s->index == index && !(hot && s->out)) {
		if (hot)
			list_move(&s->lru, lru);
		else
			list_move_tail(&s->lru, lru);
	}
	spin_unlock(&t->lru_lock);
}

/* Policies are told of the first touch in each span of this length. */
#define TELL_INTERVAL	HZ

static bool touch(struct kvl_region *r, u64 index, struct kvl_block *b,
		  u32 weight)
{
	u32 now = (u32)jiffies, last = READ_ONCE(b->touched);

	/* More often is of no use, and keeps hot blocks off the lock. */
	if (now - last < TOUCH_INTERVAL)
		return false;
	WRITE_ONCE(b->touched, now);
	if (now / TELL_INTERVAL != last / TELL_INTERVAL)
		kvl_advise_touch(r, index, kvl_block_home(b), weight);
	return true;
}

void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	/* There it is the clock of the next attempt to read. */
	if (!(READ_ONCE(b->loc) & KVLIFT_LOC_ERROR) && touch(r, index, b, 1))
		reorder(r, index, b, true);
}

void kvl_heat_touch_slot(struct kvl_region *r, struct kvl_block *b,
			 struct kvl_slot *s)
{
	unsigned int id;
	struct kvl_tier *t;

	if (!touch(r, s->index, b, 1))
		return;
	id = kvl_addr_tier(s->addr);
	t = &kvl_region_pool(r)->tiers[id];
	/* With the block's lock the slot stays the block's. */
	spin_lock(&t->lru_lock);
	if (!s->out)
		list_move(&s->lru, &r->domain->tier[id].lru);
	spin_unlock(&t->lru_lock);
}

void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	/* The next touch counts. */
	if (!(READ_ONCE(b->loc) & KVLIFT_LOC_ERROR))
		WRITE_ONCE(b->touched, (u32)jiffies - TOUCH_INTERVAL);
	reorder(r, index, b, false);
	kvl_advise_cold(r, index);
}
