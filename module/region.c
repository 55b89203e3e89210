// SPDX-License-Identifier: GPL-2.0-only
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "domain.h"
#include "gpu.h"
#include "heat.h"
#include "memerr.h"
#include "move.h"
#include "policy.h"
#include "region.h"
#include "trace.h"

/* Behind every block a file can have. */
#define LAST_INDEX	(ULLONG_MAX >> 8)

void kvl_region_init(struct kvl_region *r)
{
	unsigned int i;

	xa_init_flags(&r->chunks, XA_FLAGS_ACCOUNT);
	atomic_set(&r->nr_chunks, 0);
	r->map = NULL;
	xa_init_flags(&r->table, XA_FLAGS_ACCOUNT);
	memset(&r->block0, 0, sizeof(r->block0));
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		atomic64_set(&r->nr[i], 0);
	atomic64_set(&r->nr_reserved, 0);
	r->inl = NULL;
	r->inl_size = 0;
	r->sealed = false;
	r->dropping = false;
	kvl_s3_entry_init(&r->cached);
	INIT_LIST_HEAD(&r->store);
	r->has_table = false;
}

/*
 * The first block record at or after *@index, up to @last; *@index becomes
 * its number. Records need not hold anything.
 */
struct kvl_block *kvl_region_next(struct kvl_region *r, u64 *index, u64 last)
{
	unsigned long ci = *index >> KVL_CHUNK_SHIFT;
	struct kvl_chunk *c;

	if (*index > last)
		return NULL;
	if (!*index)
		return &r->block0;
	c = xa_find(&r->chunks, &ci, last >> KVL_CHUNK_SHIFT, XA_PRESENT);
	if (!c)
		return NULL;
	*index = max(*index, (u64)ci << KVL_CHUNK_SHIFT);
	if (*index > last)
		return NULL;
	return &c->blocks[*index & (KVL_CHUNK_BLOCKS - 1)];
}

int kvl_region_charge(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	int err = kvl_domain_charge(r->domain, 1);

	if (err)
		return err;
	err = kvl_pool_charge(pool, 1);
	if (err) {
		kvl_domain_uncharge(r->domain, 1);
		return err;
	}
	inode_add_bytes(&r->inode, pool->block_size);
	if (READ_ONCE(pool->root_domain->nr_caches))
		kvl_cache_look(r->domain);
	return 0;
}

void kvl_region_uncharge(struct kvl_region *r)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	inode_sub_bytes(&r->inode, pool->block_size);
	kvl_pool_uncharge(pool, 1);
	kvl_domain_uncharge(r->domain, 1);
}

/* The folio a block lives in; its home must be in memory. */
struct folio *kvl_region_folio(struct kvl_region *r, struct kvl_block *b)
{
	return kvl_addr_folio(kvl_region_pool(r), kvl_block_home(b));
}

static void account(struct kvl_region *r, u64 loc, int delta)
{
	if (loc & KVLIFT_LOC_PRESENT) {
		atomic64_add(delta, &r->nr[kvlift_loc_tier(loc)]);
		kvl_domain_account(r->domain, kvlift_loc_tier(loc), delta);
	} else if (loc & KVLIFT_LOC_RESERVED) {
		atomic64_add(delta, &r->nr_reserved);
	}
}

/*
 * Sets a block's location: an address, or flags, or 0 for a hole; the
 * generation is added here. Needs the block's lock.
 */
void kvl_change_extent(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 loc)
{
	u64 gen = (b->loc >> KVLIFT_LOC_GEN_SHIFT) + 1;

	if (b->shadow && !test_bit(KVL_B_DIRTY, &b->flags))
		loc |= KVLIFT_LOC_SHADOW;
	loc |= (gen & GENMASK_ULL(KVLIFT_LOC_GEN_BITS - 1, 0)) <<
	       KVLIFT_LOC_GEN_SHIFT;
	account(r, b->loc, -1);
	account(r, loc, 1);
	if ((b->loc ^ loc) & KVL_ADDR_MASK)
		kvl_advise_place(r, index, b->loc, loc);
	WRITE_ONCE(b->loc, loc);
	kvl_table_update(r, index, b);
}

/*
 * Sets the address of the second copy, or 0. The block has not moved: the
 * location word keeps its generation. Needs the block's lock.
 */
void kvl_change_shadow(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 shadow)
{
	u64 loc = b->loc & ~KVLIFT_LOC_SHADOW;

	WRITE_ONCE(b->shadow, shadow);
	if (shadow && !test_bit(KVL_B_DIRTY, &b->flags))
		loc |= KVLIFT_LOC_SHADOW;
	if (loc != b->loc) {
		WRITE_ONCE(b->loc, loc);
		kvl_table_update(r, index, b);
	}
}

void kvl_change_error(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	WRITE_ONCE(b->loc, b->loc | KVLIFT_LOC_ERROR);
	kvl_table_update(r, index, b);
}

/* Sets the file's size. Needs i_rwsem. */
void kvl_change_size(struct kvl_region *r, loff_t size)
{
	i_size_write(&r->inode, size);
}

/* Takes @n blocks out of all page tables. */
void kvl_region_unmap(struct kvl_region *r, u64 index, u64 n)
{
	unmap_mapping_pages(r->inode.i_mapping,
			    kvl_region_first_page(r, index),
			    n << kvl_region_pool(r)->page_shift, false);
}

static void drop_inline(struct kvl_region *r)
{
	if (!r->inl)
		return;
	atomic64_sub(r->inl_size, &kvl_region_pool(r)->inline_used);
	inode_sub_bytes(&r->inode, r->inl_size);
	kvfree(r->inl);
	r->inl = NULL;
	r->inl_size = 0;
}

/* Makes the block a hole; what it held is gone. */
void kvl_block_drop(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 home = kvl_block_home(b);
	bool charged = kvl_block_charged(b);

	if (!index)
		drop_inline(r);
	kvl_block_drop_shadow(r, b);
	clear_bit(KVL_B_DIRTY, &b->flags);
	clear_bit(KVL_B_COMPLETE, &b->flags);
	clear_bit(KVL_B_LENT, &b->flags);
	kvl_heat_forget(b);
	if (!home) {
		if (!kvl_block_empty(b))
			kvl_change_extent(r, index, b, 0);
	} else if (kvl_addr_is_memory(home)) {
		bool pinned = kvl_block_quiesce(r, index, b, true);

		kvl_block_detach_locked(r, b);
		kvl_change_extent(r, index, b, 0);
		/* A pinned slot stays ours until the pin is gone. */
		if (pinned)
			kvl_slot_retire(pool, home);
		else
			kvl_slot_free(pool, home);
	} else {
		if (kvl_addr_is_gpu(home))
			kvl_block_detach(r, b);
		kvl_change_extent(r, index, b, 0);
		kvl_slot_free(pool, home);
	}
	if (charged)
		kvl_region_uncharge(r);
}

static void zero_folio(struct kvl_pool *pool, struct folio *folio)
{
	unsigned int i;

	for (i = 0; i < 1u << pool->page_shift; i++)
		clear_page(page_address(folio_page(folio, i)));
	kvl_count(pool, KVL_C_ZEROED);
}

/*
 * Gives a hole, a reservation or inline content a slot in memory. -EAGAIN
 * when no slot is free just now, -EIO when the content is lost.
 */
int kvl_block_populate(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	bool charged = kvl_block_charged(b);
	struct folio *folio;
	u64 addr;
	int err;

	if (kvl_block_lost(b))
		return -EIO;
	if (!charged) {
		err = kvl_region_charge(r);
		if (err)
			return err;
	}
	err = kvl_policy_place(pool, r, &addr);
	if (err) {
		if (!charged)
			kvl_region_uncharge(r);
		return -EAGAIN;
	}
	folio = kvl_addr_folio(pool, addr);
	zero_folio(pool, folio);
	if (b->loc & KVLIFT_LOC_INLINE) {
		memcpy(folio_address(folio), r->inl, r->inl_size);
		drop_inline(r);
	}
	kvl_block_attach(r, index, b, addr);
	return 0;
}

/*
 * One step towards a home in memory. 0: there, still locked. Otherwise the
 * lock is gone; -EAGAIN: no slot.
 */
static int bring(struct kvl_region *r, u64 index, struct kvl_block *b,
		 enum kvl_why why, unsigned int flags, unsigned int ahead)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 home = kvl_block_home(b);
	int err;
	u64 dst;

	if (kvl_addr_is_memory(home))
		return 0;
	if (!home) {
		err = kvl_block_populate(r, index, b);
		if (err)
			kvl_block_unlock(b);
		return err;
	}
	if (b->loc & KVLIFT_LOC_ERROR &&
	    kvl_heat_age(b) < KVL_RETRY_READ) {
		kvl_block_unlock(b);
		return -EIO;
	}
	if (kvl_addr_is_gpu(home))
		return kvl_gpu_bring(r, index, b, why, flags & KVL_RES_HERE);
	err = kvl_policy_place(pool, r, &dst);
	if (err) {
		kvl_block_unlock(b);
		return -EAGAIN;
	}
	return kvl_move_read(r, index, b, dst, why, ahead);
}

/*
 * Most often the block is being read: memory that is not there yet. The read
 * may be a prefetch that waits for its turn at a device.
 */
int kvl_block_lock_soon(struct kvl_region *r, struct kvl_block *b)
{
	if (kvl_block_trylock(b))
		return 0;
	kvl_copy_expedite(kvl_region_pool(r), kvl_block_home(b));
	return kvl_block_wait(b) ?: kvl_block_lock_killable(b);
}

int kvl_block_lock_resident(struct kvl_region *r, u64 index,
			    struct kvl_block *b, enum kvl_why why,
			    unsigned int flags, unsigned int ahead)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	int err;

	for (;;) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		err = kvl_block_lock_soon(r, b);
		if (err)
			return err;
		if ((flags & KVL_RES_IN_SIZE &&
		     index >= kvl_region_nr_blocks(r)) ||
		    (flags & KVL_RES_NO_FILL && !kvl_block_home(b) &&
		     !kvl_block_lost(b))) {
			kvl_block_unlock(b);
			return -ENXIO;
		}
		err = bring(r, index, b, why, flags, ahead);
		if (err == -EAGAIN)
			err = kvl_pool_wait_slot(pool, seq);
		else
			return err;
		if (err)
			return err;
	}
}

/*
 * Zeroes part of one block, whatever its state. With @cut the pages that lie
 * wholly inside are unmapped under the same locks, so that no store to them
 * can come after the zeroing.
 */
static int zero_part(struct kvl_region *r, u64 index, u32 from, u32 to,
		     bool cut)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_block *b = kvl_region_find(r, index);
	struct folio *folio;
	int err;

	if (!b || from >= to)
		return 0;
	err = kvl_block_lock_soon(r, b);
	if (err)
		return err;
	if (b->loc & KVLIFT_LOC_INLINE) {
		if (from < r->inl_size)
			memset(r->inl + from, 0, min(to, r->inl_size) - from);
		kvl_block_unlock(b);
		return 0;
	}
	if (!kvl_block_home(b)) {
		err = kvl_block_lost(b) ? -EIO : 0;
		kvl_block_unlock(b);
		return err;
	}
	if (!kvl_addr_is_memory(kvl_block_home(b))) {
		kvl_block_unlock(b);
		err = kvl_block_lock_resident(r, index, b, KVL_WHY_WRITE, 0,
					      0);
		if (err)
			return err;
	}
	folio = kvl_region_folio(r, b);
	if (cut) {
		/* Waits for a fault that is about to install a page. */
		folio_lock(folio);
		unmap_mapping_range(r->inode.i_mapping,
				    ((loff_t)index << pool->block_shift) +
				    round_up(from, PAGE_SIZE), to - from, 1);
	}
	folio_mark_dirty(folio);
	memset(folio_address(folio) + from, 0, to - from);
	if (cut)
		folio_unlock(folio);
	kvl_block_unlock(b);
	return 0;
}

/* Zeroes what is stored in [@from, @to), within one block or at two ends. */
int kvl_region_zero(struct kvl_region *r, loff_t from, loff_t to)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u32 mask = pool->block_size - 1;
	u64 first = from >> pool->block_shift;
	u64 last = (to - 1) >> pool->block_shift;
	int err;

	if (from >= to)
		return 0;
	if (first == last)
		return zero_part(r, first, from & mask,
				 ((to - 1) & mask) + 1, false);
	err = zero_part(r, first, from & mask, pool->block_size, false);
	return err ?: zero_part(r, last, 0, ((to - 1) & mask) + 1, false);
}

static void drop_blocks(struct kvl_region *r, u64 first, u64 last)
{
	struct kvl_block *b;
	u64 i;

	/* The size was written before; pairs with the lock of a fault. */
	smp_mb();
	for (i = first; (b = kvl_region_next(r, &i, last)); i++) {
		cond_resched();
		/*
		 * Unlocked first, then empty: who held the lock before has
		 * published what it did, who takes it later sees the new size.
		 */
		if (!test_bit_acquire(KVL_B_LOCK, &b->flags) &&
		    kvl_block_empty(b))
			continue;
		kvl_block_lock(b);
		kvl_block_drop(r, i, b);
		kvl_block_unlock(b);
	}
}

/*
 * Clears what a mapping may have stored behind the end of the file, before
 * the end moves to @size. Needs i_rwsem.
 */
int kvl_region_grow(struct kvl_region *r, loff_t size)
{
	loff_t old = i_size_read(&r->inode);
	u32 unit = kvl_region_pool(r)->block_size;
	struct kvl_block *b;

	if (size <= old)
		return 0;
	/* Of a block that is lost nothing is left to be cleared. */
	b = kvl_region_find(r, old >> kvl_region_pool(r)->block_shift);
	if (b && kvl_block_lost(b))
		return 0;
	/*
	 * Early 6.12 kernels map a PMD across the end of a file, and a GPU
	 * writes whole blocks.
	 */
	if (unit != PMD_SIZE && !(b && test_bit(KVL_B_LENT, &b->flags)))
		unit = PAGE_SIZE;
	return kvl_region_zero(r, old, min(size, round_up(old, unit)));
}

/* Sets the size and drops or clears what is behind it. Needs i_rwsem. */
int kvl_region_truncate(struct kvl_region *r, loff_t size)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	loff_t old = i_size_read(&r->inode);
	u64 index = size >> pool->block_shift;
	u32 part = size & (pool->block_size - 1);
	int err;

	if (size >= old) {
		err = kvl_region_grow(r, size);
		if (!err)
			kvl_change_size(r, size);
		return err;
	}
	/* Faults read the size under the block's lock: this order matters. */
	kvl_change_size(r, size);
	unmap_mapping_range(r->inode.i_mapping, size, 0, 1);
	if (part) {
		err = zero_part(r, index, part, pool->block_size, true);
		if (err) {
			/* Killed, or unreadable: as if nothing was asked. */
			kvl_change_size(r, old);
			return err;
		}
		index++;
	}
	drop_blocks(r, index, LAST_INDEX);
	return 0;
}

/* Makes [@from, @to) read as zeros and frees whole blocks. Needs i_rwsem. */
int kvl_region_punch(struct kvl_region *r, loff_t from, loff_t to)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 first = DIV_ROUND_UP_ULL(from, pool->block_size);
	u64 end = to >> pool->block_shift;
	struct kvl_block *b = kvl_region_find(r, end);
	u32 mask = pool->block_size - 1;
	int err;

	/*
	 * Everything behind the end of the file is zero already; what is
	 * reserved there stays reserved.
	 */
	if (to >= i_size_read(&r->inode) &&
	    (!b || kvl_block_lost(b) ||
	     !(READ_ONCE(b->loc) & KVLIFT_LOC_RESERVED)))
		end = DIV_ROUND_UP_ULL(to, pool->block_size);
	if (end < first) /* inside one block */
		return kvl_region_zero(r, from, to);
	err = kvl_region_zero(r, from, (loff_t)first << pool->block_shift);
	if (!err && end == to >> pool->block_shift && to & mask)
		err = kvl_region_zero(r, (loff_t)end << pool->block_shift, to);
	if (err || end == first)
		return err;
	unmap_mapping_range(r->inode.i_mapping,
			    (loff_t)first << pool->block_shift,
			    (loff_t)(end - first) << pool->block_shift, 1);
	drop_blocks(r, first, end - 1);
	return 0;
}

/* How many of the blocks are charged. */
static u64 count_charged(struct kvl_region *r, u64 first, u64 last)
{
	struct kvl_block *b;
	u64 n = 0;
	u64 i;

	for (i = first; (b = kvl_region_next(r, &i, last)); i++) {
		n += kvl_block_charged(b);
		cond_resched();
	}
	return n;
}

/*
 * Charges the holes among the blocks, so that filling them cannot fail for
 * want of space. -ENOSPC or -EDQUOT before anything is changed when they do
 * not fit; *@lacks: how many that are.
 */
int kvl_region_reserve(struct kvl_region *r, u64 first, u64 last, u64 *lacks)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	s64 room = atomic64_read(&pool->capacity) - atomic64_read(&pool->used);
	u64 i, want = last - first + 1 - count_charged(r, first, last);

	*lacks = want;
	if ((s64)want > room) {
		kvl_count(pool, KVL_C_NOSPACE);
		return -ENOSPC;
	}
	if (want && kvl_domain_check(r->domain, want))
		return -EDQUOT;
	for (i = first; i <= last; i++) {
		struct kvl_block *b = kvl_region_get(r, i);
		int err;

		if (!b)
			return -ENOMEM;
		if (!kvl_block_empty(b))
			continue;
		err = kvl_block_lock_soon(r, b);
		if (err)
			return err;
		if (kvl_block_empty(b)) {
			err = kvl_region_charge(r);
			if (!err)
				kvl_change_extent(r, i, b,
						  KVLIFT_LOC_RESERVED);
		}
		kvl_block_unlock(b);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* Frees everything a region holds; the inode has no user left. */
void kvl_region_free_blocks(struct kvl_region *r)
{
	drop_blocks(r, 0, LAST_INDEX);
	kvl_chunks_free(r);
	kvl_table_free(r);
}
