/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A block: the unit of placement and movement.
 *
 * Lifetime: block records live in their region and never move or go away
 * before evict_inode(), so a pointer to one is good as long as the inode is
 * held.
 *
 * Lock: bit KVL_B_LOCK of @flags, taken with the functions below. It owns
 * every other field and the content of the home slot's bookkeeping. A lock
 * can be handed over to an asynchronous move, which releases it from a
 * worker when the move has been committed or undone. Who waits for it says so
 * with KVL_B_WAITED before each sleep, and all are woken, so that giving up a
 * lock that nobody waits for costs one instruction.
 */
#ifndef KVL_BLOCK_H
#define KVL_BLOCK_H

#include <linux/bitops.h>
#include <linux/kvlift.h>
#include <linux/lockdep.h>
#include <linux/types.h>
#include <linux/wait.h>

enum {
	KVL_B_LOCK,
	/* The home may differ from the shadow. */
	KVL_B_DIRTY,
	/* Written since the move that is going on began its copy. */
	KVL_B_WRITTEN,
	/* Declared complete: it is not expected to change. */
	KVL_B_COMPLETE,
	/* A copy is being made without the lock; no other move begins. */
	KVL_B_MOVING,
	/* A process with a GPU was allowed to write all of it. */
	KVL_B_LENT,
	/* Somebody may wait for the lock: the sign of the byte it is in. */
	KVL_B_WAITED = 7,
};

/**
 * struct kvl_block - 32 bytes for each block of a region
 * @flags:	KVL_B_*
 * @loc:	location word (uapi), the home; written only by
 *		kvl_block_publish()
 * @shadow:	address of the second copy in a slower tier, 0 for none; its
 *		content is that of the home unless KVL_B_DIRTY or a dirty page
 *		says otherwise
 * @csum:	CRC32C of the copy on a device, home or shadow; of a block that is
 *		lost 1 if it was with a GPU, 0 if with memory
 * @heat:	when it was touched last, and how hot it was then (heatval.h);
 *		while KVLIFT_LOC_ERROR is set the time is that of the failed read
 */
struct kvl_block {
	unsigned long flags;
	u64 loc;
	u64 shadow;
	u32 csum;
	u32 heat;
};

static_assert(sizeof(struct kvl_block) == 32);

/*
 * Address of a slot: the location word without generation and flags, but
 * with KVLIFT_LOC_PRESENT, so that no valid address is 0.
 */
#define KVL_ADDR_MASK	(KVLIFT_LOC_PRESENT | \
			 GENMASK_ULL(63, KVLIFT_LOC_MEMBER_SHIFT) | \
			 GENMASK_ULL(KVLIFT_LOC_SLOT_BITS - 1, 0))

/* What identifies the place of a content in a location word. */
#define KVL_LOC_PLACE	(KVL_ADDR_MASK | \
			 GENMASK_ULL(KVLIFT_LOC_GEN_SHIFT + \
				     KVLIFT_LOC_GEN_BITS - 1, \
				     KVLIFT_LOC_GEN_SHIFT))

static inline u64 kvl_addr(unsigned int tier, unsigned int member, u32 slot)
{
	return KVLIFT_LOC_PRESENT | (u64)tier << KVLIFT_LOC_TIER_SHIFT |
	       (u64)member << KVLIFT_LOC_MEMBER_SHIFT | slot;
}

/* Address of the home, 0 for a hole, a reservation or inline content. */
static inline u64 kvl_block_home(const struct kvl_block *b)
{
	u64 loc = READ_ONCE(b->loc);

	return loc & KVLIFT_LOC_PRESENT ? loc & KVL_ADDR_MASK : 0;
}

#define KVL_LOC_STATE	(KVLIFT_LOC_PRESENT | KVLIFT_LOC_RESERVED | \
			 KVLIFT_LOC_INLINE)

/* True for a hole. Without the lock only a hint. */
static inline bool kvl_block_empty(const struct kvl_block *b)
{
	return !(READ_ONCE(b->loc) & KVL_LOC_STATE);
}

/* True when the block holds a unit of the pool's capacity. */
static inline bool kvl_block_charged(const struct kvl_block *b)
{
	return b->loc & (KVLIFT_LOC_PRESENT | KVLIFT_LOC_RESERVED);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
extern struct lockdep_map kvl_block_dep;
#define kvl_block_dep_acquire()	lock_map_acquire(&kvl_block_dep)
#define kvl_block_dep_try()	lock_map_acquire_try(&kvl_block_dep)
#define kvl_block_dep_release()	lock_map_release(&kvl_block_dep)
#else
#define kvl_block_dep_acquire()	do { } while (0)
#define kvl_block_dep_try()	do { } while (0)
#define kvl_block_dep_release()	do { } while (0)
#endif

static inline bool kvl_block_try(struct kvl_block *b)
{
	bool got = !test_and_set_bit_lock(KVL_B_LOCK, &b->flags);

	/* Pairs with the barrier of truncate, which looks at the lock. */
	smp_mb__after_atomic();
	return got;
}

static inline bool kvl_block_trylock(struct kvl_block *b)
{
	if (!kvl_block_try(b))
		return false;
	kvl_block_dep_try();
	return true;
}

/* No copy below that is known to be good, and none in the making. */
static inline bool kvl_block_unstored(const struct kvl_block *b)
{
	return (!READ_ONCE(b->shadow) || test_bit(KVL_B_DIRTY, &b->flags)) &&
	       !test_bit(KVL_B_MOVING, &b->flags);
}

/* Its content went with the memory it was in: EIO until it is replaced. */
static inline bool kvl_block_lost(const struct kvl_block *b)
{
	return (READ_ONCE(b->loc) & (KVLIFT_LOC_PRESENT | KVLIFT_LOC_ERROR)) ==
	       KVLIFT_LOC_ERROR;
}

void kvl_block_init(void);
bool kvl_block_spin(struct kvl_block *b);
void kvl_block_lock(struct kvl_block *b);
int kvl_block_lock_killable(struct kvl_block *b);
int kvl_block_wait(struct kvl_block *b);
void kvl_block_unlock_async(struct kvl_block *b);

static inline void kvl_block_unlock(struct kvl_block *b)
{
	kvl_block_dep_release();
	kvl_block_unlock_async(b);
}

/* From here on somebody else is going to call kvl_block_unlock_async(). */
static inline void kvl_block_hand_over(struct kvl_block *b)
{
	kvl_block_dep_release();
}

/* Who was handed the lock holds it like any other from here on. */
static inline void kvl_block_take_over(struct kvl_block *b)
{
	kvl_block_dep_try();
}

#endif /* KVL_BLOCK_H */
