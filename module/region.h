/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A region: one inode and its array of blocks.
 *
 * Lifetime: the inode's. Moves in flight hold the inode, so evict_inode()
 * finds every block unlocked or held by a system call that is ending.
 * Locks: blocks have their own lock (block.h); @inl belongs to the lock of
 * block 0; the table has @table_lock; i_size is written under i_rwsem, before
 * blocks beyond it are dropped, and read under a block's lock by faults.
 */
#ifndef KVL_REGION_H
#define KVL_REGION_H

#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "block.h"
#include "pool.h"

#define KVL_CHUNK_SHIFT		6
#define KVL_CHUNK_BLOCKS	BIT(KVL_CHUNK_SHIFT)

/* Words of the location table in one page. */
#define KVL_TABLE_SHIFT		(PAGE_SHIFT - 3)

struct kvl_chunk {
	struct kvl_block blocks[KVL_CHUNK_BLOCKS];
};

/**
 * struct kvl_map - the first chunks of a region by number (chunk.c)
 * @smaller:	the map before this one
 * @nr:		size of @chunks
 * @chunks:	NULL: look into the xarray
 */
struct kvl_map {
	struct kvl_map *smaller;
	u64 nr;
	struct kvl_chunk *chunks[];
};

/**
 * struct kvl_region
 * @id:		never reused; also the inode number
 * @block0:	the first block, so that a file of one block needs no chunk
 * @chunks:	the others, never freed before evict_inode()
 * @nr_chunks:	how many there are
 * @map:	a quicker way to the first of them, or NULL
 * @nr:		blocks by tier of their home
 * @inl:	inline content of block 0, @inl_size bytes, zeros behind it
 * @sealed:	nothing may change any more; set under i_rwsem
 * @sealing:	it is being sealed: nothing goes to a GPU meanwhile
 * @cached:	in the queues of a cache directory (cache.h)
 * @dropping:	chosen from there; under the lock of the cache
 * @store:	in the pool's list while complete blocks from @store_first to
 *		@store_last may want storing
 * @table:	pages of the mapped location table, by page number
 * @xattrs:	list of struct kvl_xattr
 */
struct kvl_region {
	struct inode inode;
	struct kvl_domain *domain;
	u64 id;

	struct kvl_block block0;
	struct xarray chunks;
	atomic_t nr_chunks;
	struct kvl_map *map;
	atomic64_t nr[KVLIFT_NR_TIERS];
	atomic64_t nr_reserved;
	void *inl;
	u32 inl_size;
	bool sealed;
	bool sealing;
	bool dropping;
	struct kvl_s3_entry cached;

	struct list_head store;	/* the pool's store_lock */
	u64 store_first;
	u64 store_last;

	spinlock_t table_lock;	/* words of mapped table pages */
	bool has_table;
	struct xarray table;

	struct rw_semaphore xattr_sem;
	struct list_head xattrs;
	size_t xattr_bytes;
};

/* Why a block moves, for traces and policies. */
enum kvl_why {
	KVL_WHY_FAULT,
	KVL_WHY_READ,
	KVL_WHY_WRITE,
	KVL_WHY_PREFETCH,
	KVL_WHY_RECLAIM,
	KVL_WHY_HINT,
	KVL_WHY_RESIZE,
	KVL_WHY_STORE,
	KVL_WHY_PRESSURE,
	KVL_WHY_DRAIN,
	KVL_WHY_AROUND,
};

static inline struct kvl_region *kvl_region(struct inode *inode)
{
	return container_of(inode, struct kvl_region, inode);
}

static inline struct kvl_pool *kvl_region_pool(struct kvl_region *r)
{
	return kvl_sb_pool(r->inode.i_sb);
}

static inline u64 kvl_region_nr_blocks(struct kvl_region *r)
{
	u32 bs = kvl_region_pool(r)->block_size;

	return DIV_ROUND_UP_ULL(i_size_read(&r->inode), bs);
}

/* First page of block @index. */
static inline pgoff_t kvl_region_first_page(struct kvl_region *r, u64 index)
{
	return index << kvl_region_pool(r)->page_shift;
}

/*
 * What a fault or a read does for the neighbours of its block: those that are
 * in memory are mapped with it, and those on a device read with it when the
 * file is read in order; both within this many bytes.
 */
#define KVL_AROUND		(256u << 10)

/* hint.c: its inode is held; NULL: there is none. */
struct kvl_region *kvl_region_by_id(struct kvl_pool *pool, u64 id);

/* region.c */
void kvl_region_init(struct kvl_region *r);
void kvl_region_free_blocks(struct kvl_region *r);
struct kvl_block *kvl_region_find_slow(struct kvl_region *r, u64 index);
void kvl_chunks_free(struct kvl_region *r);

/* The block's record, or NULL when nothing was ever stored near it. */
static inline struct kvl_block *kvl_region_find(struct kvl_region *r,
						u64 index)
{
	u64 ci = index >> KVL_CHUNK_SHIFT;
	struct kvl_chunk *c;
	struct kvl_map *m;

	if (!index)
		return &r->block0;
	/* Pairs with the releases in chunk.c. */
	m = smp_load_acquire(&r->map);
	if (likely(m && ci < m->nr)) {
		/* The same. */
		c = smp_load_acquire(&m->chunks[array_index_nospec(ci, m->nr)]);
		if (likely(c))
			return &c->blocks[index & (KVL_CHUNK_BLOCKS - 1)];
	}
	return kvl_region_find_slow(r, index);
}

struct kvl_block *kvl_region_get(struct kvl_region *r, u64 index);
struct kvl_block *kvl_region_next(struct kvl_region *r, u64 *index, u64 last);
int kvl_region_grow(struct kvl_region *r, loff_t size);
int kvl_region_truncate(struct kvl_region *r, loff_t size);
int kvl_region_zero(struct kvl_region *r, loff_t from, loff_t to);
int kvl_region_punch(struct kvl_region *r, loff_t from, loff_t to);
int kvl_region_reserve(struct kvl_region *r, u64 first, u64 last,
		       u64 *lacks);
int kvl_region_charge(struct kvl_region *r);
void kvl_region_uncharge(struct kvl_region *r);
void kvl_region_unmap(struct kvl_region *r, u64 index, u64 n);
/* For whoever has seen that touches are traced: its arguments cost nothing. */
void kvl_region_trace_touch(struct kvl_region *r, u64 index, u32 source,
			    u32 weight);
struct folio *kvl_region_folio(struct kvl_region *r, struct kvl_block *b);

/* Choke points of every change; a journal hooks in here. */
void kvl_change_extent(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 loc);
void kvl_change_shadow(struct kvl_region *r, u64 index, struct kvl_block *b,
		       u64 shadow);
void kvl_change_size(struct kvl_region *r, loff_t size);

/* home.c */
struct kvl_region *kvl_slot_owner(struct kvl_pool *pool, struct kvl_slot *s,
				  u64 *index);

/* home.c and region.c: all of these need the block's lock. */
void kvl_block_attach(struct kvl_region *r, u64 index, struct kvl_block *b,
		      u64 addr);
void kvl_block_drop(struct kvl_region *r, u64 index, struct kvl_block *b);
void kvl_block_lose(struct kvl_region *r, u64 index, struct kvl_block *b,
		    bool with_gpu);
int kvl_block_populate(struct kvl_region *r, u64 index, struct kvl_block *b);
int kvl_block_quiesce(struct kvl_region *r, u64 index, struct kvl_block *b,
		      bool force);
void kvl_block_unquiesce(struct kvl_region *r, struct kvl_block *b);
void kvl_block_wait_mapped(struct kvl_region *r, struct folio *folio);
void kvl_block_sample(struct kvl_region *r, u64 index, struct kvl_block *b,
		      struct folio *folio);
void kvl_block_mark_written(struct kvl_region *r, u64 index,
			    struct kvl_block *b);
u64 kvl_block_detach(struct kvl_region *r, struct kvl_block *b);
/* The same, and takes the lock of a folio that others may hold. */
u64 kvl_block_detach_locked(struct kvl_region *r, struct kvl_block *b);
/* Sets KVLIFT_LOC_ERROR, and no new generation: the block is where it was. */
void kvl_change_error(struct kvl_region *r, u64 index, struct kvl_block *b);
void kvl_block_drop_shadow(struct kvl_region *r, struct kvl_block *b);
void kvl_block_attach_shadow(struct kvl_region *r, u64 index,
			     struct kvl_block *b, u64 addr);
u64 kvl_block_detach_shadow(struct kvl_region *r, struct kvl_block *b);

/* As kvl_block_lock_killable(), for a task that wants the block now. */
int kvl_block_lock_soon(struct kvl_region *r, struct kvl_block *b);

/* Flags of kvl_block_lock_resident(). */
#define KVL_RES_IN_SIZE	BIT(0)	/* -ENXIO for a block beyond the file's end */
#define KVL_RES_NO_FILL	BIT(1)	/* -ENXIO for a block without a slot */
#define KVL_RES_HERE	BIT(2)	/* -EDEADLK where a mover has to be waited for */

/*
 * Returns 0 with the block locked and its home in memory; a hole gets a
 * zeroed slot. Waits for I/O and for slots without holding the lock. -EINTR
 * when the task is being killed, -ENOSPC, -EIO; -EDEADLK: the task is the one
 * that would have to copy the block from its GPU. With a block that is read from
 * a device up to @ahead of its neighbours come too, if there is room.
 */
int kvl_block_lock_resident(struct kvl_region *r, u64 index,
			    struct kvl_block *b, enum kvl_why why,
			    unsigned int flags, unsigned int ahead);

/* table.c */
int kvl_table_open(struct file *file);
void kvl_table_update(struct kvl_region *r, u64 index, struct kvl_block *b);
void kvl_table_free(struct kvl_region *r);

#endif /* KVL_REGION_H */
