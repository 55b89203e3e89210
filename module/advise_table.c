// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of blocks for a policy: found by a hash of region and index, named by
 * a number that is not used for another block before the policy was told.
 *
 * Records are made until there are so many that the oldest of those that are
 * not resident give way.
 */
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "advise.h"
#include "pool.h"

/* Memory for records, in parts of that of the tier. */
#define MEMORY_PART	64
/* Blocks that are remembered, in capacities. */
#define REMEMBERED	17
#define MIN_ENTRIES	4096u
#define MAX_ENTRIES	BIT(26)

#define NONE		KVLIFT_NO_BLOCK

static u32 *bucket(struct kvl_advisor *a, u64 region, u64 index)
{
	u64 h = hash_64(region * GOLDEN_RATIO_64 + index, 32);

	return &a->buckets[h & (a->nr_buckets - 1)];
}

/* By last use, residents and ghosts apart. */
static struct kvl_order_list *order_of(struct kvl_advisor *a,
				       const struct kvl_entry *e)
{
	return &a->order[e->standing == KVL_RESIDENT];
}

static void unlink_order(struct kvl_advisor *a, struct kvl_entry *e)
{
	struct kvl_order_list *o = order_of(a, e);

	if (e->older != NONE)
		kvl_entry(a, e->older)->newer = e->newer;
	else
		o->old = e->newer;
	if (e->newer != NONE)
		kvl_entry(a, e->newer)->older = e->older;
	else
		o->new = e->older;
}

static void link_order(struct kvl_advisor *a, struct kvl_entry *e)
{
	struct kvl_order_list *o = order_of(a, e);

	e->older = o->new;
	e->newer = NONE;
	if (o->new != NONE)
		kvl_entry(a, o->new)->newer = e->id;
	else
		o->old = e->id;
	o->new = e->id;
}

/* The block was used. */
void kvl_table_renew(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);

	if (e->newer != NONE) {
		unlink_order(a, e);
		link_order(a, e);
	}
}

u32 kvl_table_parent(struct kvl_advisor *a, const struct kvl_entry *e)
{
	if (e->parent == NONE ||
	    kvl_entry(a, e->parent)->gen != e->parent_gen)
		return NONE;
	return e->parent;
}

/* Steps that are gone to find out that a new parent is no descendant. */
#define CIRCLE		64

/* Blocks that are each other's parents could never go. */
static bool is_circle(struct kvl_advisor *a, u32 id, u32 parent)
{
	unsigned int n;

	if (parent == id)
		return true;
	if (!kvl_entry(a, id)->leads)
		return false;
	for (n = 0; n < CIRCLE && parent != NONE && parent != id; n++)
		parent = kvl_table_parent(a, kvl_entry(a, parent));
	return parent != NONE;
}

void kvl_table_set_parent(struct kvl_advisor *a, u32 id, u32 parent)
{
	struct kvl_entry *e = kvl_entry(a, id), *p;
	u32 old = kvl_table_parent(a, e);

	if (parent == NONE || parent == old || is_circle(a, id, parent))
		return;
	p = old == NONE ? NULL : kvl_entry(a, old);
	if (p && e->standing == KVL_RESIDENT && p->children)
		p->children--;
	p = kvl_entry(a, parent);
	p->leads = true;
	e->parent = parent;
	e->parent_gen = p->gen;
	e->depth = p->depth + 1;
	if (e->standing == KVL_RESIDENT)
		p->children++;
}

void kvl_table_resident(struct kvl_advisor *a, u32 id, bool resident)
{
	struct kvl_entry *e = kvl_entry(a, id);
	u32 parent = kvl_table_parent(a, e);
	bool was;

	was = e->standing == KVL_RESIDENT;
	if (resident == was)
		return;
	unlink_order(a, e);
	e->standing = resident ? KVL_RESIDENT : KVL_GHOST;
	link_order(a, e);
	a->ctx.resident += resident ? 1 : -1;
	/* A parent whose record was taken by another counts anew. */
	if (parent == NONE)
		return;
	e = kvl_entry(a, parent);
	if (resident)
		e->children++;
	else if (e->children)
		e->children--;
}

/* The record is free: of a block that is not resident, and told. */
void kvl_table_drop(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);
	u32 *p = bucket(a, e->region, e->index);

	while (*p != id)
		p = &kvl_entry(a, *p)->hash;
	*p = e->hash;
	unlink_order(a, e);
	kvl_list_unlink(a, id);
	kvl_index_unlink(a, id);
	if (e->out)
		a->nr_out--;
	*e = (struct kvl_entry){ .gen = e->gen + 1, .hash = a->free_id };
	a->free_id = id;
	a->nr--;
}

static bool add_segment(struct kvl_advisor *a)
{
	u32 seg = a->ctx.max_blocks >> KVL_ENTRY_SHIFT, i;
	struct kvl_entry *e;

	if (seg >= a->nr_segs)
		return false;
	e = kvcalloc(KVL_ENTRY_SEG, sizeof(*e), GFP_KERNEL | __GFP_NOWARN);
	if (!e)
		return false;
	if (a->storage_size) {
		a->storage[seg] = kvcalloc(KVL_ENTRY_SEG, a->storage_size,
					   GFP_KERNEL | __GFP_NOWARN);
		if (!a->storage[seg]) {
			kvfree(e);
			return false;
		}
	}
	a->segs[seg] = e;
	for (i = KVL_ENTRY_SEG; i-- > 0;) {
		e[i].hash = a->free_id;
		a->free_id = (seg << KVL_ENTRY_SHIFT) + i;
	}
	a->ctx.max_blocks += KVL_ENTRY_SEG;
	return true;
}

static u32 take_record(struct kvl_advisor *a)
{
	u32 id, tries, user;

	if (a->nr >= a->max ||
	    (a->free_id == NONE && !add_segment(a))) {
		/* Not one of the request that is being taken in, or is the last. */
		for (tries = 0; tries < 8 && a->order[0].old != NONE; tries++) {
			id = a->order[0].old;
			user = kvl_entry(a, id)->user;
			if (user != (u32)a->stat.requests + 1 &&
			    user != (u32)a->ctx.nr + 1) {
				kvl_advise_forget(a, id);
				break;
			}
			kvl_table_renew(a, id);
		}
	}
	if (a->nr >= a->max)
		return NONE;
	id = a->free_id;
	if (id != NONE)
		a->free_id = kvl_entry(a, id)->hash;
	return id;
}

u32 kvl_table_find(struct kvl_advisor *a, u64 region, u64 index, bool make)
{
	u32 *p = bucket(a, region, index), id;
	struct kvl_entry *e;

	for (id = *p; id != NONE; id = e->hash) {
		e = kvl_entry(a, id);
		if (e->region == region && e->index == index)
			return id;
	}
	if (!make)
		return NONE;
	id = take_record(a);
	if (id == NONE)
		return NONE;
	e = kvl_entry(a, id);
	*e = (struct kvl_entry){
		.id = id,
		.region = region,
		.index = index,
		.gen = e->gen,
		.hash = *p,
		.parent = NONE,
		.prev = NONE,
		.next = NONE,
		.list = U8_MAX,
		.tier = KVLIFT_NR_TIERS,
		.standing = KVL_GHOST,
	};
	RB_CLEAR_NODE(&e->node);
	if (a->storage_size)
		memset(a->storage[id >> KVL_ENTRY_SHIFT] +
			       (id & (KVL_ENTRY_SEG - 1)) * a->storage_size,
		       0, a->storage_size);
	*p = id;
	link_order(a, e);
	a->nr++;
	return id;
}

/* A policy is gone: nothing of it stays with the blocks. */
void kvl_table_reset(struct kvl_advisor *a)
{
	struct kvl_entry *e;
	u32 id, seg;

	for (id = 0; id < a->ctx.max_blocks; id++) {
		e = kvl_entry(a, id);
		e->list = U8_MAX;
		e->indexed = false;
		if (e->out)
			kvl_advise_set_out(a, e, false);
		if (!(id % KVL_ENTRY_SEG))
			cond_resched();
	}
	for (seg = 0; seg < a->ctx.max_blocks >> KVL_ENTRY_SHIFT; seg++)
		if (a->storage[seg] && a->storage_size)
			memset(a->storage[seg], 0,
			       (size_t)KVL_ENTRY_SEG * a->storage_size);
	for (id = 0; id < KVLIFT_POLICY_LISTS; id++)
		a->lists[id] = (struct kvl_list){ NONE, NONE, 0 };
	a->index = RB_ROOT_CACHED;
	a->nr_indexed = 0;
	a->nr_out = 0;
}

/* Nothing is known any more. No policy is told. */
void kvl_table_clear(struct kvl_advisor *a)
{
	u32 id, i;

	kvl_table_reset(a);
	a->free_id = NONE;
	for (id = a->ctx.max_blocks; id-- > 0;) {
		struct kvl_entry *e = kvl_entry(a, id);

		*e = (struct kvl_entry){ .gen = e->gen + 1,
					 .hash = a->free_id };
		a->free_id = id;
	}
	for (i = 0; i < a->nr_buckets; i++)
		a->buckets[i] = NONE;
	for (i = 0; i < ARRAY_SIZE(a->order); i++)
		a->order[i] = (struct kvl_order_list){ NONE, NONE };
	a->nr = 0;
	a->ctx.resident = 0;
}

/* The policy wants so many bytes for each block. 0 or -ENOMEM. */
int kvl_table_storage(struct kvl_advisor *a, u32 size)
{
	u32 seg, n = a->ctx.max_blocks >> KVL_ENTRY_SHIFT;

	size = round_up(size, 8);
	for (seg = 0; seg < n; seg++) {
		kvfree(a->storage[seg]);
		a->storage[seg] = NULL;
	}
	a->storage_size = 0;
	if (!size)
		return 0;
	for (seg = 0; seg < n; seg++) {
		a->storage[seg] = kvcalloc(KVL_ENTRY_SEG, size,
					   GFP_KERNEL | __GFP_NOWARN);
		if (!a->storage[seg])
			return -ENOMEM;
	}
	a->storage_size = size;
	return 0;
}

/* Records for the memory that there is. */
static u32 wanted(const struct kvl_advisor *a)
{
	struct kvl_tier *t = &a->pool->tiers[KVLIFT_TIER_DRAM];
	u64 slots = max(READ_ONCE(t->slots), 1ULL);
	u64 room = ((slots << a->pool->block_shift) / MEMORY_PART) /
		   (sizeof(struct kvl_entry) + 32);

	return clamp(min(slots * REMEMBERED, max(room, slots * 2)),
		     (u64)MIN_ENTRIES, (u64)MAX_ENTRIES);
}

static void free_arrays(struct kvl_advisor *a)
{
	kvfree(a->segs);
	kvfree(a->storage);
	kvfree(a->buckets);
}

/* Of @max records; what @a has of them is carried over. */
static int make_arrays(struct kvl_advisor *a, u32 max)
{
	u32 nr_segs = DIV_ROUND_UP(max, KVL_ENTRY_SEG), id, *p;
	u32 nr_buckets = roundup_pow_of_two(max);
	struct kvl_entry **segs;
	char **storage;
	u32 *buckets;

	segs = kvcalloc(nr_segs, sizeof(*segs), GFP_KERNEL | __GFP_NOWARN);
	storage = kvcalloc(nr_segs, sizeof(*storage),
			   GFP_KERNEL | __GFP_NOWARN);
	buckets = kvmalloc_array(nr_buckets, sizeof(u32),
				 GFP_KERNEL | __GFP_NOWARN);
	if (!segs || !storage || !buckets) {
		kvfree(segs);
		kvfree(storage);
		kvfree(buckets);
		return -ENOMEM;
	}
	memset32(buckets, NONE, nr_buckets);
	if (a->nr_segs) {
		memcpy(segs, a->segs, a->nr_segs * sizeof(*segs));
		memcpy(storage, a->storage, a->nr_segs * sizeof(*storage));
	}
	free_arrays(a);
	a->segs = segs;
	a->storage = storage;
	a->buckets = buckets;
	a->nr_segs = nr_segs;
	a->nr_buckets = nr_buckets;
	a->max = max;
	for (id = 0; id < a->ctx.max_blocks; id++) {
		struct kvl_entry *e = kvl_entry(a, id);

		if (!(id % KVL_ENTRY_SEG))
			cond_resched();
		if (e->standing == KVL_FREE)
			continue;
		p = bucket(a, e->region, e->index);
		e->hash = *p;
		*p = id;
	}
	return 0;
}

/* When the tier has become larger. Without memory all stays as it is. */
void kvl_table_grow(struct kvl_advisor *a)
{
	u32 max = wanted(a);

	if (unlikely(max > a->max))
		make_arrays(a, max);
}

int kvl_table_start(struct kvl_advisor *a)
{
	int err = make_arrays(a, wanted(a));
	u32 i;

	if (err)
		return err;
	for (i = 0; i < KVLIFT_POLICY_LISTS; i++)
		a->lists[i] = (struct kvl_list){ NONE, NONE, 0 };
	a->index = RB_ROOT_CACHED;
	a->free_id = NONE;
	for (i = 0; i < ARRAY_SIZE(a->order); i++)
		a->order[i] = (struct kvl_order_list){ NONE, NONE };
	return 0;
}

void kvl_table_destroy(struct kvl_advisor *a)
{
	u32 seg;

	for (seg = 0; a->segs && seg < a->nr_segs; seg++)
		kvfree(a->segs[seg]);
	for (seg = 0; a->storage && seg < a->nr_segs; seg++)
		kvfree(a->storage[seg]);
	free_arrays(a);
}

void kvl_list_unlink(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);
	struct kvl_list *l;

	if (e->list >= KVLIFT_POLICY_LISTS)
		return;
	l = &a->lists[e->list];
	if (e->prev != NONE)
		kvl_entry(a, e->prev)->next = e->next;
	else
		l->head = e->next;
	if (e->next != NONE)
		kvl_entry(a, e->next)->prev = e->prev;
	else
		l->tail = e->prev;
	l->len--;
	e->list = U8_MAX;
}

void kvl_index_unlink(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);

	if (!e->indexed)
		return;
	rb_erase_cached(&e->node, &a->index);
	e->indexed = false;
	a->nr_indexed--;
}
