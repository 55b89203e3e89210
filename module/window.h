/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A window: slots in memory that one attachment maps and registers. Those in DRAM
 * come first, those in CXL memory after them. Blocks live in DRAM while there is
 * room besides what is kept for copies that pass through, then in CXL memory.
 *
 * They are taken from the pool when it is made, are no part of its capacity, and
 * go back when the attachment's file is released, that is, when nobody maps them
 * any more. Until then they are never frozen: their folios are mapped and
 * pinned. Instead a block leaves one when the references are exactly what the
 * mappings and the registration explain, after it was taken out of the page
 * tables of its own file: a reference that is made later is made through the
 * window, by its owner.
 *
 * A slot is raw until the owner says that it is registered; then free, or in
 * use: by a copy that passes through it, or as the home of a block. What is given
 * up while somebody else holds its folio, or is leased, is held back.
 * Lock: @lock, inside the lock of a block; nothing is taken under it.
 */
#ifndef KVL_WINDOW_H
#define KVL_WINDOW_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct kvl_pool;
struct kvl_slot;
struct vm_area_struct;

/* Where its mapping begins in the attachment's file. */
#define KVL_WINDOW_OFFSET	BIT_ULL(40)

/**
 * struct kvl_window_part - the slots of one tier
 * @nr:		how many
 * @ready:	that are not raw
 * @nfree:	free ones
 * @free:	list of struct kvl_slot by @lru
 */
struct kvl_window_part {
	u32 nr;
	u32 ready;
	u32 nfree;
	struct list_head free;
};

enum { KVL_WINDOW_DRAM, KVL_WINDOW_CXL, KVL_WINDOW_PARTS };

/**
 * struct kvl_window
 * @nr:		slots
 * @ready:	that are not raw
 * @slots:	by number
 * @part:	by KVL_WINDOW_*
 * @nfree:	free slots
 * @held:	given up, and held by somebody; those looked at last are last
 * @starved:	since when somebody has found none (jiffies), 0: one has come back
 *		since
 * @due:	since when that is too long ago (jiffies), 0: it is not. Whoever still
 *		waits has been woken, and is told
 * @reclaim:	makes room; for an attachment that has ended, until none is in use
 * @hand:	where it goes on
 * @ending:	it is not to begin any more
 */
struct kvl_window {
	struct kvl_pool *pool;
	u32 nr;
	u32 ready;
	struct kvl_slot **slots;
	spinlock_t lock;	/* lists, counts, states of slots */
	struct kvl_window_part part[KVL_WINDOW_PARTS];
	u32 nfree;
	struct list_head held;
	unsigned long starved;
	unsigned long due;
	struct delayed_work reclaim;
	u32 hand;
	bool ending;
};

/* As it is without slots: nothing can be had of it. */
void kvl_window_init(struct kvl_window *w, struct kvl_pool *pool);
/* Takes slots from the pool, by KVL_WINDOW_*. -ENOSPC, -EINTR, -ENOMEM. */
int kvl_window_create(struct kvl_window *w, const u32 nr[KVL_WINDOW_PARTS],
		      int node);
void kvl_window_destroy(struct kvl_window *w);
int kvl_window_ready(struct kvl_window *w, u64 first, u64 count);
int kvl_window_mmap(struct kvl_window *w, struct vm_area_struct *vma);

/* A free slot that a copy passes through. -ENOSPC. */
int kvl_window_stage(struct kvl_window *w, u64 *addr);
/*
 * One of a part as the home of a block: none of the last ones, which copies pass
 * through, as they must get on. -ENOSPC.
 */
int kvl_window_home(struct kvl_window *w, unsigned int part, u64 *addr);
/* The most blocks that can live there in a tier. */
u64 kvl_window_homes(const struct kvl_window *w, unsigned int tier);
/*
 * A block is wanted back and there is no slot that it could pass through: those that
 * are held are looked at from now on. True: none has come back for twice the
 * deadline of a command.
 */
bool kvl_window_starve(struct kvl_window *w);
/* Whether a copy could pass through just now. */
bool kvl_window_has_free(struct kvl_window *w);
/*
 * References of a slot's folio that are explained: by itself, mappings, and what
 * is left of the pins of a registration.
 */
int kvl_slot_refs(const struct kvl_slot *s);
/* Nobody holds the slot of a window but its mappings and its registration. */
bool kvl_window_unheld(const struct kvl_slot *s);
/* A slot of a window is given up; called by the back end of its member. */
void kvl_window_put(struct kvl_slot *s);
/* A lease on a slot whose block has left it is over. */
void kvl_window_unlease(struct kvl_slot *s, bool write);
/* Blocks are to leave the window to make room; in the background. */
void kvl_window_kick(struct kvl_window *w);

#endif /* KVL_WINDOW_H */
