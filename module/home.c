// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a block lives: the slot that is its home and the one with its copy
 * below, how it gets them and how it is taken away from its users.
 */
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "domain.h"
#include "heat.h"
#include "memerr.h"
#include "region.h"
#include "trace.h"
#include "window.h"

/* The slot is the block's from now on. */
static void own_slot(struct kvl_region *r, u64 index, struct kvl_slot *s,
		     bool shadowed)
{
	unsigned int id = kvl_addr_tier(s->addr);
	struct kvl_tier *t = &kvl_region_pool(r)->tiers[id];

	spin_lock(&t->lru_lock);
	s->region = r;
	s->index = index;
	s->out = false;
	list_add(&s->lru, &r->domain->tier[id].lru);
	if (shadowed)
		list_add(&s->shadow, &t->shadowed);
	spin_unlock(&t->lru_lock);
}

static void attach_folio(struct kvl_region *r, u64 index, struct kvl_block *b,
			 struct kvl_slot *s)
{
	/* Only what is in a GPU has one in memory (gpu.h). */
	if (kvl_addr_is_memory(b->shadow))
		kvl_block_drop_shadow(r, b);
	s->folio->mapping = r->inode.i_mapping;
	s->folio->index = kvl_region_first_page(r, index);
}

/* Those of a window are not frozen (window.h). */
static void show_folio(struct kvl_slot *s)
{
	if (!s->window)
		folio_ref_unfreeze(s->folio, 1 + s->pins);
	/* Failed while nobody knew whose it was going to be. */
	if (unlikely(READ_ONCE(s->bad)))
		kvl_memerr_report(folio_pfn(s->folio));
}

/*
 * The slot is nobody's. A lease for a GPU, which knows the slot and not the
 * block, goes on holding it.
 */
static void disown_slot(struct kvl_pool *pool, struct kvl_slot *s)
{
	struct kvl_tier *t = &pool->tiers[kvl_addr_tier(s->addr)];

	spin_lock(&t->lru_lock);
	list_del_init(&s->lru);
	list_del_init(&s->shadow);
	s->region = NULL;
	s->leases = 0;
	spin_unlock(&t->lru_lock);
}

/* The region of the block whose slot it is, held, or NULL. */
struct kvl_region *kvl_slot_owner(struct kvl_pool *pool, struct kvl_slot *s,
				  u64 *index)
{
	struct kvl_tier *t = &pool->tiers[kvl_addr_tier(s->addr)];
	struct kvl_region *r;

	spin_lock(&t->lru_lock);
	r = s->region;
	if (r && !igrab(&r->inode))
		r = NULL; /* going away: it gives the slot up */
	*index = s->index;
	spin_unlock(&t->lru_lock);
	return r;
}

/* A copy below, in memory, of a block that a GPU has; it is frozen. */
static void attach_shadow(struct kvl_region *r, u64 index, u64 addr)
{
	struct kvl_slot *s = kvl_mem_slot(kvl_region_pool(r), addr);

	own_slot(r, index, s, false);
	if (unlikely(READ_ONCE(s->bad)))
		kvl_memerr_report(folio_pfn(s->folio));
	kvl_domain_account(r->domain, kvl_addr_tier(addr), 1);
}

/*
 * Makes a slot that holds the content the block's copy below. Needs the block's
 * lock; it has none.
 */
void kvl_block_attach_shadow(struct kvl_region *r, u64 index,
			     struct kvl_block *b, u64 addr)
{
	clear_bit(KVL_B_DIRTY, &b->flags);
	if (kvl_addr_is_memory(addr))
		attach_shadow(r, index, addr);
	atomic64_inc(&kvl_addr_member(kvl_region_pool(r), addr)->nshadow);
	kvl_change_shadow(r, index, b, addr);
}

/* The block has no copy below any more; the slot is returned, and not freed. */
u64 kvl_block_detach_shadow(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 addr = b->shadow;

	atomic64_dec(&kvl_addr_member(pool, addr)->nshadow);
	if (kvl_addr_is_memory(addr)) {
		disown_slot(pool, kvl_mem_slot(pool, addr));
		kvl_domain_account(r->domain, kvl_addr_tier(addr), -1);
	}
	WRITE_ONCE(b->shadow, 0);
	return addr;
}

/*
 * Makes a slot from kvl_tier_alloc(), whose content is in place, the home of
 * the block.
 */
void kvl_block_attach(struct kvl_region *r, u64 index, struct kvl_block *b,
		      u64 addr)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_slot *s = NULL;

	if (kvl_addr_has_slot(addr)) {
		s = kvl_mem_slot(pool, addr);
		if (s->folio)
			attach_folio(r, index, b, s);
		own_slot(r, index, s, b->shadow && s->folio);
		/* From here on others may find it. */
		if (s->folio)
			show_folio(s);
	}
	kvl_heat_moved(index, b);
	kvl_change_extent(r, index, b, addr);
	if (s && unlikely(s->placed))
		kvl_domain_settle(pool, s);
}

/*
 * With the block's lock held: waits for a fault that has given that lock up
 * and is about to install its PMD, so that who looks at the mappings sees it.
 * Blocks that are mapped by PTEs are mapped under their lock.
 */
void kvl_block_wait_mapped(struct kvl_region *r, struct folio *folio)
{
	if (kvl_region_pool(r)->block_size != PMD_SIZE)
		return;
	folio_lock(folio);
	folio_unlock(folio);
}

noinline __cold void kvl_region_trace_touch(struct kvl_region *r, u64 index,
					    u32 source, u32 weight)
{
	trace_kvlift_touch(kvl_region_pool(r)->id, r->id, index, source,
			   weight);
}

/* The content is changing, or will without our seeing it. */
void kvl_block_mark_written(struct kvl_region *r, u64 index,
			    struct kvl_block *b)
{
	set_bit(KVL_B_DIRTY, &b->flags);
	set_bit(KVL_B_WRITTEN, &b->flags);
	if (test_bit(KVL_B_COMPLETE, &b->flags)) {
		clear_bit(KVL_B_COMPLETE, &b->flags);
		kvl_count(kvl_region_pool(r), KVL_C_UNSEALED);
		trace_kvlift_unseal(kvl_region_pool(r)->id, r->id, index);
	}
}

/* Notes what the folio's dirty flag says; page tables set it at unmap. */
void kvl_block_sample(struct kvl_region *r, u64 index, struct kvl_block *b,
		      struct folio *folio)
{
	if (folio_test_dirty(folio)) {
		folio_clear_dirty(folio);
		kvl_block_mark_written(r, index, b);
	}
}

/*
 * Whether nobody holds the folio but its slot. That of a window stays mapped
 * there, and so cannot be frozen; out of the page tables of its own file nobody
 * but the window's owner can get hold of it.
 */
static bool freeze(struct kvl_slot *s)
{
	if (!s->window)
		return folio_ref_freeze(s->folio, 1 + s->pins);
	/* After the page tables have been looked at. */
	smp_mb();
	return kvl_window_unheld(s);
}

/*
 * Takes a block in memory away from everybody: unmapped, no reference but the
 * slot's own, which is frozen. -EBUSY when somebody holds a reference (a pin,
 * a read in progress); then nothing but the mapping has changed, and without
 * @force mostly not even that.
 */
int kvl_block_quiesce(struct kvl_region *r, u64 index, struct kvl_block *b,
		      bool force)
{
	struct kvl_slot *s = kvl_mem_slot(kvl_region_pool(r),
					  kvl_block_home(b));
	struct folio *folio = s->folio;

	/* Waits for a fault that is about to install its PMD. */
	folio_lock(folio);
	/* Somebody holds it for sure: then its users need not fault again. */
	if (!force && (s->leases ||
		       folio_ref_count(folio) != kvl_slot_refs(s))) {
		folio_unlock(folio);
		return -EBUSY;
	}
	if (folio_mapped(folio))
		kvl_region_unmap(r, index, 1);
	if (!freeze(s)) {
		folio_unlock(folio);
		return -EBUSY;
	}
	kvl_block_sample(r, index, b, folio);
	folio_unlock(folio);
	return 0;
}

/* Undoes kvl_block_quiesce() after a move that failed. */
void kvl_block_unquiesce(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_slot *s = kvl_mem_slot(kvl_region_pool(r),
					  kvl_block_home(b));

	if (!s->window)
		folio_ref_unfreeze(s->folio, 1 + s->pins);
}

/*
 * Takes the home slot away from a block and returns its address; it is in memory
 * or a GPU's.
 * The caller publishes the new location and frees the slot, which needs a
 * frozen folio, or retires it.
 */
u64 kvl_block_detach(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 addr = kvl_block_home(b);
	struct kvl_slot *s = kvl_mem_slot(pool, addr);

	disown_slot(pool, s);
	if (s->folio) {
		s->folio->mapping = NULL;
		s->folio->index = 0;
	}
	return addr;
}

/* Who unpins looks at the mapping under the folio's lock. */
u64 kvl_block_detach_locked(struct kvl_region *r, struct kvl_block *b)
{
	struct folio *folio = kvl_region_folio(r, b);
	u64 addr;

	/* Frozen it is nobody's. */
	if (!folio_ref_count(folio))
		return kvl_block_detach(r, b);
	folio_lock(folio);
	addr = kvl_block_detach(r, b);
	folio_unlock(folio);
	return addr;
}

void kvl_block_drop_shadow(struct kvl_region *r, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	u64 addr = b->shadow;

	if (!addr)
		return;
	kvl_block_detach_shadow(r, b);
	/* While it is copied further down it is not frozen. */
	if (kvl_addr_is_memory(addr) &&
	    folio_ref_count(kvl_addr_folio(pool, addr)))
		kvl_slot_retire(pool, addr);
	else
		kvl_slot_free(pool, addr);
}

/*
 * What it held is lost, and its slot somebody else's to free: EIO until it is
 * replaced. It keeps its unit of capacity: whoever replaces it finds room.
 */
void kvl_block_lose(struct kvl_region *r, u64 index, struct kvl_block *b,
		    bool with_gpu)
{
	kvl_block_drop_shadow(r, b);
	b->csum = with_gpu;
	clear_bit(KVL_B_DIRTY, &b->flags);
	clear_bit(KVL_B_COMPLETE, &b->flags);
	clear_bit(KVL_B_LENT, &b->flags);
	kvl_change_extent(r, index, b, KVLIFT_LOC_RESERVED | KVLIFT_LOC_ERROR);
}
