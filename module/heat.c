// SPDX-License-Identifier: GPL-2.0-only
#include "domain.h"
#include "heat.h"
#include "trace.h"

/*
 * Policies are told of the first touch in each span of so many units of time,
 * which is about a second; the other span is that of touch_run().
 */
#define TELL_UNITS	32u
#define LRU_UNITS	8u

/* Whether another span has begun since the last touch. */
static __always_inline bool spans(u32 word, u32 now, u32 units)
{
	return ((word >> KVL_HEAT_SHIFT) ^ now) & KVL_HEAT_TIME & ~(units - 1);
}

/*
 * Every touch that counts passes here or, one of many, note_one(), whatever its
 * source: who wants to know of accesses hooks in here. @log is the logarithm of
 * @weight.
 * Called with or without the block's lock, with lru_lock too: it must not
 * sleep, and take no lock that is outside of that one.
 */
static __always_inline void note(struct kvl_region *r, u64 index,
				 struct kvl_block *b, u32 now, u32 weight,
				 s32 log)
{
	u32 word = READ_ONCE(b->heat);

	WRITE_ONCE(b->heat, kvl_heatval_add(word, now, log, index));
	if (spans(word, now, TELL_UNITS))
		kvl_advise_touch(r, index, kvl_block_home(b), weight);
}

/*
 * The same for one of many touches; @word is that of the block. Policies are
 * told by the caller.
 */
static __always_inline void note_one(struct kvl_block *b, u32 word, u32 now,
				     u32 round)
{
	WRITE_ONCE(b->heat, kvl_heatval_add_one(word, now, round));
}

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

	if (!kvl_addr_has_slot(home))
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

void kvl_heat_touch(struct kvl_region *r, u64 index, struct kvl_block *b,
		    u32 weight)
{
	u32 now = kvl_heat_now();
	bool first = !kvl_heat_recent(b, now);

	/* More often is of no use, and keeps hot blocks off the lock. */
	if (!first && weight <= 1)
		return;
	/* There it is the clock of the next attempt to read. */
	if (READ_ONCE(b->loc) & KVLIFT_LOC_ERROR)
		return;
	note(r, index, b, now, max(weight, 1u), kvl_heatval_log(weight));
	if (first)
		reorder(r, index, b, true);
}

void kvl_heat_count_slot(struct kvl_region *r, u64 index, struct kvl_block *b,
			 struct kvl_slot *s)
{
	unsigned int id = kvl_addr_tier(s->addr);
	struct kvl_tier *t = &kvl_region_pool(r)->tiers[id];

	note(r, index, b, kvl_heat_now(), 1, KVL_HEAT_ONE);
	/* With the block's lock the slot stays the block's. */
	spin_lock(&t->lru_lock);
	if (!s->out)
		list_move(&s->lru, &r->domain->tier[id].lru);
	spin_unlock(&t->lru_lock);
}

void kvl_heat_cold(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	/* The next touch counts. */
	if (!(READ_ONCE(b->loc) & KVLIFT_LOC_ERROR) &&
	    kvl_heat_recent(b, kvl_heat_now()))
		kvl_heat_moved(index, b);
	reorder(r, index, b, false);
	kvl_advise_cold(r, index);
}

/*
 * list_move() without the checks of CONFIG_DEBUG_LIST: here they would cost as
 * much as all the rest.
 */
static __always_inline void to_front(struct list_head *e,
				     struct list_head *head)
{
	struct list_head *first;

	__list_del(e->prev, e->next);
	first = head->next;
	first->prev = e;
	e->next = first;
	e->prev = head;
	WRITE_ONCE(head->next, e);
}

/*
 * Entries up to the first that is not as nearly all of them are: weight 1, a
 * block in DRAM, a record that is easy to find. Needs lru_lock of DRAM: words
 * are read under it, so that the slot that one names is the block's, or
 * nobody's any more. kvl_block_detach() takes the owner away before the word
 * changes. Returns how many.
 *
 * Rings are read four times a second, so the order of use need not be finer
 * than that: it is brought up to date once in every LRU_UNITS of time.
 *
 * Floor: nothing is called and nothing allocated; by block one entry, one
 * record, one word of heat, and now and then one slot.
 */
static __always_inline u32 touch_run(struct kvl_region *r, const u64 *entries,
				     u32 n)
{
	struct kvl_tier *t = &kvl_region_pool(r)->tiers[KVLIFT_TIER_DRAM];
	struct list_head *lru = &r->domain->tier[KVLIFT_TIER_DRAM].lru;
	const u64 *e = entries, *end = e + n;
	u32 now = kvl_heat_now(), round = now * KVL_HEAT_ROUND;
	/* Pairs with the releases in chunk.c. */
	struct kvl_map *m = smp_load_acquire(&r->map);
	struct kvl_chunk *const *chunks = m ? m->chunks : NULL;
	u64 nr = m ? m->nr : 0;

	for (; e != end; e++) {
		u64 index = READ_ONCE(*e), ci = index >> KVL_CHUNK_SHIFT, loc;
		u32 word, member;
		struct kvl_chunk *c;
		struct kvl_block *b;
		struct kvl_slot *s;

		/* Weights stand above, and make it too large. */
		if (unlikely(ci >= nr))
			break;
		/* An address dependency pairs with the release in chunk.c. */
		c = READ_ONCE(chunks[array_index_nospec(ci, nr)]);
		if (unlikely(!c))
			break;
		/* That of block 0 is elsewhere; in here it has no slot. */
		b = &c->blocks[index & (KVL_CHUNK_BLOCKS - 1)];
		loc = READ_ONCE(b->loc);
		/* What has a tier is present, and what is in DRAM readable. */
		member = (loc >> KVLIFT_LOC_MEMBER_SHIFT) -
			 (KVLIFT_TIER_DRAM << KVLIFT_LOC_MEMBER_BITS);
		if (unlikely(member >= KVLIFT_MAX_MEMBERS))
			break;
		word = READ_ONCE(b->heat);
		if (kvl_heatval_recent(word, now))
			continue;
		round += KVL_HEAT_ROUND;
		note_one(b, word, now, round);
		if (!spans(word, now, LRU_UNITS))
			continue;
		/* Part of the same, and as seldom. */
		if (spans(word, now, TELL_UNITS))
			kvl_advise_touch(r, index, loc & KVL_ADDR_MASK, 1);
		s = kvl_member_slot(t->members[member], kvlift_loc_slot(loc));
		if (likely(s->region == r && !s->out))
			to_front(&s->lru, lru);
	}
	return e - entries;
}

static bool touch_entry(struct kvl_region *r, u64 e)
{
	u64 index = e & KVLIFT_RING_INDEX;
	u32 weight = e >> KVLIFT_RING_WEIGHT_SHIFT;
	struct kvl_block *b = kvl_region_find(r, index);

	if (!b || !(READ_ONCE(b->loc) & KVLIFT_LOC_PRESENT))
		return false;
	if (trace_kvlift_touch_enabled())
		kvl_region_trace_touch(r, index, KVL_TOUCH_HINT,
				       max(weight, 1u));
	kvl_heat_touch(r, index, b, weight);
	return true;
}

u32 kvl_heat_touch_entries(struct kvl_region *r, const u64 *entries, u32 n)
{
	struct kvl_tier *t = &kvl_region_pool(r)->tiers[KVLIFT_TIER_DRAM];
	u32 done = 0, i = 0, run;

	while (i < n) {
		run = 0;
		/* Who traces touches sees each of them. */
		if (!trace_kvlift_touch_enabled()) {
			spin_lock(&t->lru_lock);
			run = touch_run(r, entries + i, n - i);
			spin_unlock(&t->lru_lock);
		}
		i += run;
		done += run;
		if (i < n)
			done += touch_entry(r, READ_ONCE(entries[i++]));
	}
	return done;
}
