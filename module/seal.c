// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sealing: what is complete stays clean, so that it can be stored below ahead
 * of need and leave memory without I/O.
 *
 * A whole file is sealed for good: no mapping may write (the mapping's count
 * of writable mappings is negative), write(2) and every change of size or
 * content are refused. Blocks of a file that is still being filled can be
 * declared complete one by one: they are unmapped once, so that all that was
 * stored is known. That is a promise by the writer, not enforced: a write to
 * one makes it as any other block again, counted and traced.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "gpu.h"
#include "move.h"
#include "policy.h"
#include "seal.h"

/* Unmaps this many blocks at a time. */
#define RUN		16

/* A read(2) that holds a block for an instant is no writer. */
#define PIN_TRIES	20

/* Declares locked neighbours complete. Their locks are given up. */
static u64 complete_run(struct kvl_region *r, u64 first, struct kvl_block **b,
			unsigned int n)
{
	unsigned int i;
	u64 done = 0;

	for (i = 0; i < n; i++)
		if (kvl_addr_is_memory(kvl_block_home(b[i])))
			kvl_block_wait_mapped(r, kvl_region_folio(r, b[i]));
	/* Nothing that is mapped can have been stored to since it was sealed. */
	if (!READ_ONCE(r->sealed))
		kvl_region_unmap(r, first, n);
	for (i = 0; i < n; i++) {
		if (kvl_addr_is_memory(kvl_block_home(b[i])))
			kvl_block_sample(r, first + i, b[i],
					 kvl_region_folio(r, b[i]));
		if (kvl_block_home(b[i])) {
			set_bit(KVL_B_COMPLETE, &b[i]->flags);
			done++;
		}
		kvl_block_unlock(b[i]);
	}
	return done;
}

/*
 * Declares blocks complete; holes are left out. *@done: how many are. -EINTR
 * when the task is being killed.
 */
int kvl_seal_blocks(struct kvl_region *r, u64 first, u64 last, u64 *done)
{
	u64 nr = kvl_region_nr_blocks(r);
	u64 i = first;

	*done = 0;
	if (first >= nr)
		return 0;
	last = min(last, nr - 1);
	for (;;) {
		struct kvl_block *b[RUN], *next;
		unsigned int n = 0;
		u64 start = i;

		while (n < RUN && (next = kvl_region_next(r, &i, last))) {
			if (!n) {
				int err = kvl_block_lock_killable(next);

				if (err)
					return err;
				start = i;
			} else if (i != start + n || !kvl_block_trylock(next)) {
				break;
			}
			b[n++] = next;
			i++;
		}
		if (!n)
			return 0;
		*done += complete_run(r, start, b, n);
		i = start + n;
		cond_resched();
	}
}

/*
 * True when nobody but page tables and the slot holds a locked block. While it
 * moves that cannot be told: a move may hold a folio that is not the block's
 * any more.
 */
static bool unpinned(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_slot *s;

	if (!kvl_addr_has_slot(kvl_block_home(b)))
		return true;
	s = kvl_mem_slot(kvl_region_pool(r), kvl_block_home(b));
	/* Where somebody may still write it, or be the only one who has it. */
	if (s->written || s->window ||
	    (!s->folio && !kvl_gpu_has_copy(kvl_region_pool(r), b)))
		return false;
	if (!s->folio)
		return true;
	if (test_bit(KVL_B_MOVING, &b->flags) ||
	    folio_ref_count(s->folio) !=
		    1 + s->pins + folio_mapcount(s->folio))
		return false;
	kvl_block_sample(r, index, b, s->folio);
	return true;
}

/* Out of a slot that a process can write. The lock is given up. */
static int move_home(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 dst;
	int err;

	if (kvl_addr_is_gpu(kvl_block_home(b))) {
		err = kvl_gpu_bring(r, index, b, KVL_WHY_READ, false);
		return err == -EAGAIN ? 0 : err;
	}
	if (kvl_policy_place(pool, r, &dst))
		kvl_block_unlock(b);
	else
		kvl_move_block(r, index, b, dst, KVL_WHY_STORE);
	return 0;
}

static bool is_lent(struct kvl_region *r, struct kvl_block *b)
{
	u64 home = kvl_block_home(b);

	return kvl_addr_has_slot(home) && !test_bit(KVL_B_MOVING, &b->flags) &&
	       (kvl_addr_is_gpu(home) ||
		kvl_mem_slot(kvl_region_pool(r), home)->window);
}

/* Waits until no store to the block can come that has begun before. */
static int wait_unpinned(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	unsigned int tries = 0;

	for (;;) {
		int err = kvl_block_lock_killable(b);
		bool moves, good, lent;

		if (err)
			return err;
		good = unpinned(r, index, b);
		moves = test_bit(KVL_B_MOVING, &b->flags);
		lent = !good && is_lent(r, b);
		if (lent)
			err = move_home(r, index, b);
		else
			kvl_block_unlock(b);
		if (good || err)
			return err;
		/* A move ends by itself. */
		if (!moves && ++tries == PIN_TRIES)
			return -EBUSY;
		if (fatal_signal_pending(current))
			return -EINTR;
		usleep_range(500, 1000);
	}
}

/* Needs i_rwsem. -EBUSY while somebody can still write. */
int kvl_seal_file(struct kvl_region *r)
{
	struct address_space *mapping = r->inode.i_mapping;
	struct kvl_block *b;
	int err;
	u64 i;

	if (r->sealed)
		return 0;
	err = mapping_deny_writable(mapping);
	if (err)
		return err;
	WRITE_ONCE(r->sealing, true);
	/* No store can come any more but from a device that holds a page. */
	for (i = 0; (b = kvl_region_next(r, &i, U64_MAX >> 8)); i++) {
		err = wait_unpinned(r, i, b);
		if (err)
			break;
		cond_resched();
	}
	if (err)
		mapping_allow_writable(mapping);
	else
		WRITE_ONCE(r->sealed, true);
	WRITE_ONCE(r->sealing, false);
	kvl_pool_slot_freed(kvl_region_pool(r));
	return err;
}
