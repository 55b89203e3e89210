// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves. The destination is private until the commit, the source stays valid
 * until then, and every failure leaves the block where it was. Each block is
 * moved by the protocol that stops its users least:
 *
 *	read	from a device: nobody can use the block, its lock is handed
 *		over to the I/O
 *	open	nobody has it mapped for writing: the copy is made while it is
 *		in use, without its lock
 *	sample	unmapped first, so that the page tables' dirty bits are in the
 *		folio, then as open: who touches it meanwhile maps it again
 *	protect	write-protected first, then as open; unmapping would cost the
 *		users of a block of many pages more
 *	stop	unmapped and frozen, the lock is held over the copy; so goes
 *		everything that could change to a device that must not see a
 *		page change while it writes it
 *	drop	a good copy is below: unmapped and frozen, no copy
 *
 * An open, sampled or protected block is unmapped and frozen when its copy has
 * been made, and only then are its dirty bits complete: was it written since
 * the copy began (KVL_B_WRITTEN), then the copy is made once more, stopped.
 * So a move takes two copies at most.
 *
 * The floor is one copy, one unmap per run of neighbouring blocks, and short
 * holds of each block's lock: to say that it moves, to begin, to end. While the
 * lock is not held KVL_B_MOVING keeps other moves away and, during the copy, a
 * reference keeps the source folio; a block that is dropped or replaced
 * meanwhile has another location word, and the copy is thrown away.
 *
 * Lifetime: a move holds its region's inode. Locks: a batch has the locks of
 * several blocks from who added them; it waits for one only when it has given
 * up all of those in memory. Those of blocks that are being read belong to the
 * I/O, which waits for nobody.
 */
#include <linux/blkdev.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/psi.h>
#include <linux/rmap.h>
#include <linux/slab.h>

#include "domain.h"
#include "gpu.h"
#include "move_priv.h"
#include "params.h"
#include "policy.h"
#include "queue.h"
#include "trace.h"

/* From this size on write protection costs less than faults on every page. */
#define PROTECT_MIN	(256u << 10)

static struct kmem_cache *cache;

int kvl_move_init(void)
{
	cache = KMEM_CACHE(kvl_move, 0);
	return cache ? 0 : -ENOMEM;
}

void kvl_move_exit(void)
{
	kmem_cache_destroy(cache);
}

mempool_t *kvl_move_pool_create(unsigned int reserve)
{
	return mempool_create_slab_pool(reserve, cache);
}

/* With a reserve, if any; NULL: no memory at once, and @wait is not set. */
static struct kvl_move *alloc_move(mempool_t *from, bool wait)
{
	gfp_t gfp = wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN;
	struct kvl_move *m = from ? mempool_alloc(from, gfp) :
				    kmem_cache_alloc(cache, gfp);

	if (m)
		m->from = from;
	return m;
}

/*
 * For what a mover may hold up: not from the reserve of those that end by
 * themselves. What a GPU has to give back has one of its own.
 */
struct kvl_move *kvl_move_alloc_gpu(struct kvl_pool *pool, bool out)
{
	return alloc_move(out ? pool->out_mempool : NULL, false);
}

void kvl_move_free(struct kvl_move *m)
{
	if (m->from)
		mempool_free(m, m->from);
	else
		kmem_cache_free(cache, m);
}

static struct kvl_move *new_move(struct kvl_region *r, u64 index,
				 struct kvl_block *b, u64 dst,
				 enum kvl_why why, struct kvl_move *m)
{
	struct kvl_pool *pool = kvl_region_pool(r);

	if (!m)
		return NULL;
	atomic_inc(&kvl_objects.moves);
	atomic_inc(&pool->moves);
	ihold(&r->inode);
	m->copy.pool = pool;
	m->copy.src = kvl_block_home(b);
	m->copy.dst = dst;
	m->copy.stage = 0;
	m->copy.region = r->id;
	m->copy.index = index;
	m->copy.prio = KVL_IO_NORMAL;
	m->copy.poll = false;
	m->copy.quiet = false;
	m->copy.error = 0;
	m->copy.done = kvl_move_copy_done;
	m->r = r;
	m->b = b;
	m->index = index;
	m->why = why;
	m->t_submit = 0;
	m->sum_ns = 0;
	m->proto = KVL_PROTO_READ;
	m->req = NULL;
	m->gpu = KVL_GPU_NONE;
	m->folio = NULL;
	m->keep = 0;
	m->counted = false;
	m->holds = 0;
	m->store = false;
	m->moving = false;
	m->borrowed = dst == b->shadow;
	atomic_set(&m->by, BY_WORKER);
	return m;
}

/* The device must not see the block change, and it could. */
static bool must_be_stable(struct kvl_move *m)
{
	return to_device(m) && !READ_ONCE(m->r->sealed) &&
	       kvl_bdev_wants_stable(kvl_addr_member(m->copy.pool,
						     m->copy.dst));
}

static enum kvl_proto choose(struct kvl_move *m)
{
	struct kvl_pool *pool = m->copy.pool;

	if (m->copy.dst == m->b->shadow &&
	    !test_bit(KVL_B_DIRTY, &m->b->flags))
		return KVL_PROTO_DROP;
	/* Nobody waits for a mover. */
	if (kvl_param_move_stop && !m->store && !to_gpu(m))
		return KVL_PROTO_STOP;
	if (must_be_stable(m))
		return KVL_PROTO_STOP;
	if (!folio_mapped(m->folio) ||
	    !mapping_writably_mapped(m->r->inode.i_mapping))
		return KVL_PROTO_OPEN;
	/* It will be mapped for writing as a whole when it is touched. */
	if (pool->block_size == PMD_SIZE)
		return to_memory(m) ? KVL_PROTO_STOP : KVL_PROTO_SAMPLE;
	if (pool->block_size >= PROTECT_MIN)
		return KVL_PROTO_PROTECT;
	return KVL_PROTO_SAMPLE;
}

/* Takes the destination away from the block, of which it was the shadow. */
static void take_shadow(struct kvl_move *m)
{
	if (!m->borrowed)
		return;
	m->borrowed = false;
	atomic64_dec(&kvl_addr_member(m->copy.pool, m->copy.dst)->nshadow);
	set_bit(KVL_B_DIRTY, &m->b->flags);
	kvl_change_shadow(m->r, m->index, m->b, 0);
}

/* False: somebody holds the block; the move has ended. */
static bool allowed(struct kvl_move *m, struct list_head *ended)
{
	struct kvl_slot *s = src_slot(m);

	if (s->leases) {
		kvl_move_refuse(m, KVL_C_REFUSED_LEASED, ended);
		return false;
	}
	if (folio_ref_count(s->folio) != kvl_slot_refs(s)) {
		kvl_move_refuse(m, KVL_C_REFUSED_PINNED, ended);
		return false;
	}
	/* A device must not see a page that its owner can change. */
	if (s->window && to_device(m) && m->proto != KVL_PROTO_DROP) {
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
		return false;
	}
	return true;
}

/*
 * A block in memory: keeps other moves away and gives its lock up. True when
 * it has to be unmapped. Who holds it keeps its mappings: then its users need
 * not fault again.
 */
static bool prepare(struct kvl_move **m, struct list_head *ended)
{
	struct kvl_move *e = *m;
	bool mapped;

	e->folio = src_slot(e)->folio;
	e->proto = choose(e);
	e->loc = e->b->loc;
	if (!allowed(e, ended)) {
		*m = NULL;
		return false;
	}
	mapped = folio_mapped(e->folio);
	e->moving = true;
	set_bit(KVL_B_MOVING, &e->b->flags);
	if (leaves(e))
		kvl_move_leaving(e, 1);
	if (e->proto != KVL_PROTO_DROP)
		take_shadow(e);
	kvl_block_unlock(e->b);
	return mapped && (e->proto == KVL_PROTO_SAMPLE ||
			  e->proto == KVL_PROTO_DROP);
}

/*
 * The block's lock, if it is still the same and has its shadow, if that is
 * wanted; else the move has ended.
 */
static bool lock_again(struct kvl_move *m, struct list_head *ended)
{
	kvl_block_lock(m->b);
	if (!((m->b->loc ^ m->loc) & KVL_LOC_PLACE) &&
	    (!m->borrowed || m->copy.dst == m->b->shadow))
		return true;
	kvl_move_refuse(m, KVL_C_REFUSED_BUSY, ended);
	return false;
}

/* Its turn. True when it goes on without us; else it has ended. */
static bool stop(struct kvl_move *m, struct list_head *ended)
{
	if (!lock_again(m, ended))
		return false;
	if (kvl_block_quiesce(m->r, m->index, m->b, false)) {
		kvl_move_refuse(m, KVL_C_REFUSED_PINNED, ended);
		return false;
	}
	/* From here on nothing is written until it ends. */
	clear_bit(KVL_B_WRITTEN, &m->b->flags);
	/* The lock stays with it while it copies. */
	if (!to_memory(m))
		kvl_block_hand_over(m->b);
	if (!kvl_move_submit(m))
		return true;
	kvl_move_end_stopped(m, ended);
	return false;
}

/*
 * The dirty state is known up to here; false when somebody holds the folio
 * and may be writing.
 */
static bool begin_open(struct kvl_move *m)
{
	struct folio *folio = m->folio;
	struct kvl_slot *s = src_slot(m);

	if (m->proto == KVL_PROTO_PROTECT) {
		folio_lock(folio);
		if (folio_mkclean(folio))
			set_bit(KVL_B_DIRTY, &m->b->flags);
		folio_unlock(folio);
	}
	if (folio_ref_count(folio) != kvl_slot_refs(s))
		return false;
	kvl_block_sample(m->r, m->index, m->b, folio);
	clear_bit(KVL_B_WRITTEN, &m->b->flags);
	take_shadow(m);
	m->loc = m->b->loc;
	folio_get(folio);
	kvl_block_unlock(m->b);
	return true;
}

/* Nothing to copy unless it has been written: then it is as any other. */
static void begin_drop(struct kvl_move **m, struct list_head *ended)
{
	struct kvl_move *e = *m;

	if (kvl_block_quiesce(e->r, e->index, e->b, false)) {
		kvl_move_refuse(e, KVL_C_REFUSED_PINNED, ended);
		*m = NULL;
		return;
	}
	if (kvl_param_unsafe_skip_dirty)
		clear_bit(KVL_B_DIRTY, &e->b->flags);
	if (test_bit(KVL_B_DIRTY, &e->b->flags)) {
		kvl_block_unquiesce(e->r, e->b);
		if (src_slot(e)->window) {
			/* See allowed(). */
			kvl_move_refuse(e, KVL_C_REFUSED_BUSY, ended);
			*m = NULL;
			return;
		}
		e->proto = must_be_stable(e) ? KVL_PROTO_STOP :
					       KVL_PROTO_SAMPLE;
		return;
	}
	kvl_count(e->copy.pool, KVL_C_DEMOTE_NOIO);
	kvl_move_commit(e, ended);
	*m = NULL;
}

/*
 * Begins a block that was prepared, and unmapped if that had to be; it may
 * have been mapped again. NULL in its place: it has ended.
 */
static void begin(struct kvl_move **m, struct list_head *ended)
{
	struct kvl_move *e = *m;

	*m = NULL;
	if (!lock_again(e, ended))
		return;
	kvl_block_wait_mapped(e->r, e->folio);
	e->proto = choose(e);
	if (!allowed(e, ended))
		return;
	*m = e;
	if (e->proto == KVL_PROTO_DROP)
		begin_drop(m, ended);
	if (!*m)
		return;
	if (e->proto == KVL_PROTO_STOP) {
		/* When it is its turn: nobody need wait for others' copies. */
		take_shadow(e);
		kvl_block_unlock(e->b);
		return;
	}
	if (e->proto == KVL_PROTO_SAMPLE && folio_mapped(e->folio))
		kvl_region_unmap(e->r, e->index, 1);
	if (!begin_open(e)) {
		kvl_move_refuse(e, KVL_C_REFUSED_PINNED, ended);
		*m = NULL;
	}
}

void kvl_batch_init(struct kvl_batch *batch, struct kvl_pool *pool)
{
	batch->pool = pool;
	batch->n = 0;
	batch->added = 0;
	batch->moved = 0;
	batch->mine = NULL;
}

/* One unmap for each run of neighbours that have to be unmapped. */
static void unmap_runs(struct kvl_move **m, unsigned int n,
		       unsigned long which)
{
	unsigned int i, k;

	for (i = 0; i < n; i = k) {
		k = i + 1;
		if (!(which & BIT(i)))
			continue;
		while (k < n && which & BIT(k) && m[k]->r == m[i]->r &&
		       m[k]->index == m[i]->index + (k - i))
			k++;
		kvl_region_unmap(m[i]->r, m[i]->index, k - i);
	}
}

/* To or from a device. */
static void send(struct kvl_batch *batch, struct kvl_move *m)
{
	if (m != batch->mine)
		atomic_set(&m->by, BY_BATCH);
	/* From memory to memory there is nothing to wait for. */
	if (kvl_move_submit(m))
		atomic_set(&m->by, ARRIVED);
}

/* It is copied with its lock held, or between its begin and its end. */
static bool is_read(const struct kvl_move *m)
{
	return !from_memory(m) || m->gpu == KVL_GPU_SINK;
}

/*
 * Reads go on their way, the rest is ready to be copied: no lock is held. No
 * lock is waited for before all of them have been given up once.
 */
static void begin_all(struct kvl_batch *batch, struct list_head *ended)
{
	struct kvl_move **m = batch->m;
	u64 now = ktime_get_ns();
	unsigned long unmap = 0;
	unsigned int i;

	static_assert(KVL_BATCH <= BITS_PER_LONG);
	for (i = 0; i < batch->n; i++) {
		m[i]->t_start = now;
		if (!is_read(m[i]) && prepare(&m[i], ended))
			unmap |= BIT(i);
	}
	for (i = 0; i < batch->n; i++) {
		if (!m[i] || !is_read(m[i]))
			continue;
		if (m[i]->gpu && m[i]->gpu != KVL_GPU_READ)
			kvl_gpu_begin(m[i]);
		else
			kvl_block_hand_over(m[i]->b);
		send(batch, m[i]);
	}
	unmap_runs(m, batch->n, unmap);
	for (i = 0; i < batch->n; i++)
		if (m[i] && !is_read(m[i]) && m[i]->proto != KVL_PROTO_STOP)
			begin(&m[i], ended);
}

/*
 * A fast device has made its copies by now. Those are ended here, which saves
 * the switch to a worker; the others are a worker's from here on.
 */
static void leave_to_worker(struct kvl_batch *batch)
{
	unsigned int i;

	for (i = 0; i < batch->n; i++) {
		struct kvl_move *m = batch->m[i];

		if (m == batch->mine)
			batch->m[i] = NULL;
		if (!m || m == batch->mine ||
		    atomic_read(&m->by) == BY_WORKER)
			continue;
		if (atomic_cmpxchg(&m->by, BY_BATCH, BY_WORKER) == ARRIVED) {
			smp_acquire__after_ctrl_dep();
			continue;
		}
		batch->m[i] = NULL;
		batch->moved++;
	}
}

void kvl_batch_run(struct kvl_batch *batch)
{
	struct kvl_move **m = batch->m;
	struct kvl_quiet quiet = {};
	unsigned int i, n = 0;
	struct blk_plug plug;
	LIST_HEAD(ended);
	bool plugged;

	if (!batch->n)
		return;
	/* Who polls does so in submit, where a plug would keep the request. */
	plugged = !batch->mine || !batch->mine->copy.poll;
	if (plugged)
		blk_start_plug(&plug);
	begin_all(batch, &ended);
	for (i = 0; i < batch->n; i++)
		if (m[i] && !is_read(m[i]) && m[i]->proto != KVL_PROTO_STOP &&
		    !to_memory(m[i])) {
			kvl_gpu_quiet(&quiet, m[i]);
			send(batch, m[i]);
		}
	kvl_gpu_loud(&quiet);
	if (plugged)
		blk_finish_plug(&plug);
	leave_to_worker(batch);
	/* The locks of these are held: before any is waited for. */
	for (i = 0; i < batch->n; i++)
		if (m[i] && m[i]->proto == KVL_PROTO_READ) {
			kvl_moves_arrived(&m[i], 1, &ended);
			m[i] = NULL;
		}
	for (i = 0; i < batch->n; i++) {
		if (!m[i])
			continue;
		if (m[i]->proto == KVL_PROTO_STOP) {
			batch->moved += stop(m[i], &ended);
			continue;
		}
		if (to_memory(m[i]) && !is_read(m[i]))
			kvl_move_submit(m[i]);
		m[n++] = m[i];
	}
	kvl_moves_arrived(m, n, &ended);
	batch->moved += kvl_moves_reap(batch->pool, &ended);
	batch->n = 0;
}

/* In the order of blocks, so that neighbours are next to each other. */
static void insert(struct kvl_batch *batch, struct kvl_move *m,
		   struct kvl_request *req)
{
	unsigned int i;

	for (i = batch->n; i; i--) {
		struct kvl_move *p = batch->m[i - 1];

		if (p->r != m->r || p->index < m->index)
			break;
		batch->m[i] = p;
	}
	batch->m[i] = m;
	batch->n++;
	batch->added++;
	m->req = req;
	if (req)
		refcount_inc(&req->pending);
}

struct kvl_move *kvl_batch_new(struct kvl_batch *batch, struct kvl_region *r,
			       u64 index, struct kvl_block *b, u64 dst,
			       enum kvl_why why, struct kvl_request *req)
{
	/* With others in the batch waiting could be for ever. */
	struct kvl_move *m = alloc_move(batch->pool->move_mempool, !batch->n);

	m = new_move(r, index, b, dst, why, m);
	if (m) {
		insert(batch, m, req);
		return m;
	}
	kvl_count(batch->pool, KVL_C_REFUSED_BUSY);
	if (dst != b->shadow)
		kvl_slot_free(batch->pool, dst);
	if (req)
		kvl_request_block(req, index, b, -ENOMEM);
	kvl_block_unlock(b);
	return NULL;
}

void kvl_batch_add_gpu(struct kvl_batch *batch, struct kvl_region *r,
		       u64 index, struct kvl_block *b, u64 dst,
		       enum kvl_why why, struct kvl_request *req,
		       struct kvl_move *m)
{
	insert(batch, new_move(r, index, b, dst, why, m), req);
}

void kvl_batch_add(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		   struct kvl_block *b, u64 dst, enum kvl_why why,
		   struct kvl_request *req)
{
	kvl_batch_new(batch, r, index, b, dst, why, req && req->q ? req : NULL);
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
}

void kvl_batch_store(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		     struct kvl_block *b)
{
	struct kvl_tier *t = &batch->pool->tiers[KVLIFT_TIER_NVME];
	struct kvl_move *m;
	u64 dst;

	if (!kvl_block_trylock(b))
		return;
	dst = b->shadow;
	if (!kvl_addr_is_memory(kvl_block_home(b)) || !kvl_block_unstored(b) ||
	    kvl_mem_slot(batch->pool, kvl_block_home(b))->window ||
	    (dst && !kvl_member_usable(kvl_addr_member(batch->pool, dst))) ||
	    (!dst && kvl_tier_alloc(t, NUMA_NO_NODE, &dst))) {
		kvl_block_unlock(b);
		return;
	}
	m = kvl_batch_new(batch, r, index, b, dst, KVL_WHY_STORE, NULL);
	if (m) {
		m->store = true;
		m->copy.prio = KVL_IO_IDLE;
	}
	if (batch->n == KVL_BATCH)
		kvl_batch_run(batch);
}

/* No free slot on any member that takes blocks. */
static bool tier_full(struct kvl_tier *t)
{
	unsigned int i;

	for (i = 0; i < t->nr_members; i++)
		if (kvl_member_usable(t->members[i]) &&
		    READ_ONCE(t->members[i]->nfree))
			return false;
	return true;
}

/*
 * Where what is in slot @addr goes when it has to leave. With a shadow to fall
 * back on, what does not fit one tier down needs no new slot. From a window, if
 * there is no memory below, an ordinary slot: it can be written from there.
 */
int kvl_place_below(struct kvl_region *r, struct kvl_block *b, u64 addr,
		    u64 *dst)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	int node = kvl_addr_member(pool, addr)->node;
	struct kvl_tier *t = &pool->tiers[kvl_addr_tier(addr)];

	/* A copy that cannot be read any more is none. */
	if (b->shadow && READ_ONCE(kvl_addr_member(pool, b->shadow)->dead)) {
		kvl_block_drop_shadow(r, b);
		set_bit(KVL_B_DIRTY, &b->flags);
	}
	while ((t = kvl_tier_below(pool, t->id))) {
		if (b->shadow && kvl_addr_tier(b->shadow) == t->id &&
		    !(test_bit(KVL_B_DIRTY, &b->flags) &&
		      kvl_addr_in_window(pool, addr)) &&
		    kvl_member_usable(kvl_addr_member(pool, b->shadow))) {
			*dst = b->shadow;
			return 0;
		}
		/* Who owns a window can change what is there at any time. */
		if (!kvl_domain_admit(r->domain, t) ||
		    (t->id == KVLIFT_TIER_NVME &&
		     kvl_addr_in_window(pool, addr)))
			continue;
		if (!kvl_tier_alloc(t, node, dst)) {
			kvl_reclaim_check(t);
			return 0;
		}
		if (kvl_tier_below(pool, t->id))
			kvl_reclaim_kick(t);
		else if (tier_full(t) &&
			 kvl_reclaim_shadows(pool, KVL_VICTIM_SHADOWS) &&
			 !kvl_tier_alloc(t, node, dst))
			return 0;
	}
	t = &pool->tiers[kvl_addr_tier(addr)];
	if (!kvl_addr_in_window(pool, addr) || kvl_tier_alloc(t, node, dst))
		return -ENOSPC;
	kvl_reclaim_check(t);
	return 0;
}

int kvl_batch_demote(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		     struct kvl_block *b, enum kvl_why why)
{
	u64 home = kvl_block_home(b);
	int err = -EBUSY;
	u64 dst;

	if (kvl_addr_is_gpu(home))
		return kvl_gpu_demote(batch, r, index, b, why);
	if (!kvl_addr_is_memory(home))
		err = -ENOENT;
	else if (!test_bit(KVL_B_MOVING, &b->flags))
		err = kvl_place_below(r, b, home, &dst);
	if (err) {
		kvl_block_unlock(b);
		return err;
	}
	kvl_batch_add(batch, r, index, b, dst, why, NULL);
	return 0;
}

int kvl_move_block(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 dst, enum kvl_why why)
{
	struct kvl_batch batch;

	kvl_batch_init(&batch, kvl_region_pool(r));
	kvl_batch_add(&batch, r, index, b, dst, why, NULL);
	kvl_batch_run(&batch);
	return batch.moved ? 0 : -EBUSY;
}

/*
 * Adds the read of a neighbour of a block that a task reads, if it is on a
 * device and there is room. False: no more.
 */
static bool add_neighbour(struct kvl_batch *batch, struct kvl_region *r,
			  u64 index)
{
	struct kvl_block *b = kvl_region_find(r, index);
	struct kvl_tier *dram = &batch->pool->tiers[KVLIFT_TIER_DRAM];
	u64 home, dst;

	if (!b || !kvl_block_trylock(b))
		return false;
	home = kvl_block_home(b);
	if (!kvl_addr_is_device(home) ||
	    READ_ONCE(b->loc) & KVLIFT_LOC_ERROR ||
	    index >= kvl_region_nr_blocks(r) ||
	    !kvl_policy_promote(batch->pool, kvl_addr_tier(home)) ||
	    !kvl_domain_may_place(r->domain, KVLIFT_TIER_DRAM) ||
	    (kvl_domain_limited(r->domain, dram->id) ?
		     kvl_domain_alloc(dram, r, numa_node_id(), false, &dst) :
		     kvl_tier_alloc(dram, numa_node_id(), &dst))) {
		kvl_block_unlock(b);
		return false;
	}
	kvl_reclaim_check(dram);
	return kvl_batch_new(batch, r, index, b, dst, KVL_WHY_AROUND, NULL);
}

/*
 * The task does itself what a worker would do when the data are there, which
 * saves two switches. When it is killed a worker does it.
 */
int kvl_move_read(struct kvl_region *r, u64 index, struct kvl_block *b,
		  u64 dst, enum kvl_why why, unsigned int ahead)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_move *m = new_move(r, index, b, dst, why,
				      alloc_move(kvl_region_pool(r)->move_mempool,
						 true));
	struct kvl_batch batch;
	unsigned long pflags;
	LIST_HEAD(ended);
	int err;

	init_completion(&m->arrived);
	atomic_set(&m->by, BY_TASK);
	m->copy.prio = KVL_IO_URGENT;
	m->copy.poll = READ_ONCE(pool->opts.poll);
	kvl_batch_init(&batch, pool);
	batch.mine = m;
	batch.m[batch.n++] = m;
	while (ahead-- && batch.n < KVL_BATCH &&
	       add_neighbour(&batch, r, ++index))
		;
	kvl_batch_run(&batch);
	psi_memstall_enter(&pflags);
	err = wait_for_completion_killable(&m->arrived);
	if (err) {
		if (atomic_cmpxchg(&m->by, BY_TASK, BY_WORKER) == BY_TASK) {
			psi_memstall_leave(&pflags);
			return -EINTR;
		}
		wait_for_completion(&m->arrived);
	}
	psi_memstall_leave(&pflags);
	kvl_block_take_over(b);
	err = kvl_move_end_read_locked(m, &ended);
	kvl_moves_reap(pool, &ended);
	return err;
}

int kvl_move_to_shadow(struct kvl_region *r, u64 index, struct kvl_block *b,
		       enum kvl_why why)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_move *m = NULL;
	LIST_HEAD(ended);

	if (kvl_addr_is_memory(kvl_block_home(b)) && b->shadow &&
	    !test_bit(KVL_B_DIRTY, &b->flags) &&
	    !test_bit(KVL_B_MOVING, &b->flags) &&
	    !READ_ONCE(kvl_addr_member(pool, b->shadow)->dead) &&
	    !READ_ONCE(kvl_addr_member(pool, b->shadow)->draining))
		m = new_move(r, index, b, b->shadow, why,
			     alloc_move(pool->move_mempool, false));
	if (!m) {
		kvl_block_unlock(b);
		return -ENOENT;
	}
	m->t_start = ktime_get_ns();
	m->folio = src_slot(m)->folio;
	m->proto = KVL_PROTO_DROP;
	begin_drop(&m, &ended);
	/* It was written after all. */
	if (m)
		kvl_move_refuse(m, KVL_C_REFUSED_BUSY, &ended);
	return kvl_moves_reap(pool, &ended) ? 0 : -EBUSY;
}

unsigned int kvl_move_count(struct kvl_pool *pool)
{
	/* In this order: not fewer than there are. */
	int held = atomic_read_acquire(&pool->gpu_moves);

	return max(atomic_read(&pool->moves) - held, 0);
}

void kvl_move_wait(struct kvl_pool *pool, unsigned int n)
{
	wait_event(pool->move_wait, kvl_move_count(pool) < n);
}

void kvl_move_wait_all(struct kvl_pool *pool)
{
	wait_event(pool->move_wait, !atomic_read(&pool->moves));
}
