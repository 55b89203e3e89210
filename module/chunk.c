// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the block records of a region are: in chunks, in an xarray. A flat map
 * of the chunks makes finding one, which each fault does, cost a few
 * instructions; what is not in the map is looked for in the xarray.
 *
 * Chunks and maps live as long as the region, so nobody needs a lock to look at
 * them. A map that has become too small is kept for those who still look at it;
 * as each is twice as large as the one before, that is no more than there is.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "region.h"
#include "stats.h"

/* Entries of the first map, and of the largest: 64K chunks, 4M blocks. */
#define MAP_MIN		16
#define MAP_MAX		BIT(16)

/* Entries that a chunk pays for: a quarter of its size. */
#define MAP_SHARE	64

/* A larger map when there are chunks enough for it; it is filled as it is used. */
static void grow_map(struct kvl_region *r, u64 ci)
{
	u64 nr = roundup_pow_of_two(max_t(u64, ci + 1, MAP_MIN));
	struct kvl_map *old, *m;

	/* Pairs with the release below. */
	old = smp_load_acquire(&r->map);
	if ((old && ci < old->nr) || ci >= MAP_MAX ||
	    nr > MAP_SHARE * (u64)atomic_read(&r->nr_chunks))
		return;
	m = kvzalloc(struct_size(m, chunks, nr),
		     GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
			     __GFP_RETRY_MAYFAIL);
	if (!m)
		return;
	m->smaller = old;
	m->nr = nr;
	/* Pairs with the acquire of who looks at it. */
	if (cmpxchg_release(&r->map, old, m) != old)
		kvfree(m);
}

static void map_chunk(struct kvl_region *r, u64 ci, struct kvl_chunk *c)
{
	struct kvl_map *m;

	/* Pairs with the release in grow_map(). */
	m = smp_load_acquire(&r->map);
	if (!m || ci >= m->nr)
		return;
	/* Pairs with the acquire in kvl_region_find(). */
	smp_store_release(&m->chunks[ci], c);
}

/* The block's record, or NULL when nothing was ever stored near it. */
struct kvl_block *kvl_region_find_slow(struct kvl_region *r, u64 index)
{
	u64 ci = index >> KVL_CHUNK_SHIFT;
	struct kvl_chunk *c = xa_load(&r->chunks, ci);

	if (!c)
		return NULL;
	map_chunk(r, ci, c);
	return &c->blocks[index & (KVL_CHUNK_BLOCKS - 1)];
}

/* The block's record, made when needed. NULL: no memory. */
struct kvl_block *kvl_region_get(struct kvl_region *r, u64 index)
{
	struct kvl_block *b = kvl_region_find(r, index);
	u64 ci = index >> KVL_CHUNK_SHIFT;
	struct kvl_chunk *c, *old;

	if (b)
		return b;
	c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return NULL;
	old = xa_cmpxchg(&r->chunks, ci, NULL, c, GFP_KERNEL_ACCOUNT);
	if (old) {
		kfree(c);
		if (xa_is_err(old))
			return NULL;
		c = old;
	} else {
		atomic_inc(&r->nr_chunks);
		atomic64_inc(&kvl_objects.chunks);
	}
	grow_map(r, ci);
	map_chunk(r, ci, c);
	return &c->blocks[index & (KVL_CHUNK_BLOCKS - 1)];
}

/* The region has no user left. */
void kvl_chunks_free(struct kvl_region *r)
{
	struct kvl_map *m, *smaller;
	struct kvl_chunk *c;
	unsigned long i;

	xa_for_each(&r->chunks, i, c) {
		kfree(c);
		atomic64_dec(&kvl_objects.chunks);
	}
	xa_destroy(&r->chunks);
	for (m = r->map; m; m = smaller) {
		smaller = m->smaller;
		kvfree(m);
	}
	r->map = NULL;
}
