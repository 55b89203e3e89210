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

#include "move.h"
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

/* Waits until nobody holds a locked block that was mapped for writing. */
static int wait_unpinned(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	unsigned int tries;

	for (tries = 0; tries < PIN_TRIES; tries++) {
		struct kvl_slot *s;
		bool held;
		int err;

		err = kvl_block_lock_killable(b);
		if (err)
			return err;
		if (!kvl_addr_is_memory(kvl_block_home(b))) {
			kvl_block_unlock(b);
			return 0;
		}
		s = kvl_mem_slot(kvl_region_pool(r), kvl_block_home(b));
		held = folio_ref_count(s->folio) !=
		       1 + s->pins + folio_mapcount(s->folio) +
			       test_bit(KVL_B_MOVING, &b->flags);
		if (!held)
			kvl_block_sample(r, index, b, s->folio);
		kvl_block_unlock(b);
		if (!held)
			return 0;
		usleep_range(500, 1000);
	}
	return -EBUSY;
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
	/* No store can come any more but from a device that holds a page. */
	for (i = 0; (b = kvl_region_next(r, &i, U64_MAX >> 8)); i++) {
		err = wait_unpinned(r, i, b);
		if (err) {
			mapping_allow_writable(mapping);
			return err;
		}
		cond_resched();
	}
	WRITE_ONCE(r->sealed, true);
	return 0;
}
