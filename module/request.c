// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests and leases.
 *
 * A lease keeps a block where it is: it is counted in the slot, and no move
 * begins or commits while the count is not zero. The word that was current
 * when the lease was taken tells later whether the block is still the one the
 * lease is for; a block that was deleted has taken its leases with it.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "domain.h"
#include "gpu.h"
#include "heat.h"
#include "inode.h"
#include "move.h"
#include "queue_priv.h"
#include "seal.h"
#include "trace.h"

/* What is copied from user space in one go. */
#define SOME		8

#define GPU_FLAGS	(KVLIFT_REQ_GPU | KVLIFT_REQ_WINDOW | \
			 KVLIFT_REQ_WRITE | KVLIFT_REQ_EXCLUSIVE | \
			 KVLIFT_REQ_NEW)

/* Who may write the file: what the owner of a GPU or window gives back counts. */
#define WRITER_FLAGS	(GPU_FLAGS & ~KVLIFT_REQ_GPU)

static bool on_gpu(const struct kvl_request *p, u64 loc)
{
	return kvlift_loc_tier(loc) == KVLIFT_TIER_GPU &&
	       kvlift_loc_member(loc) == p->gpu->m.id;
}

bool kvl_request_in_place(const struct kvl_request *p, u64 loc)
{
	unsigned int tier = kvlift_loc_tier(loc);

	if (!(loc & KVLIFT_LOC_PRESENT))
		return false;
	if (p->flags & KVLIFT_REQ_GPU)
		return on_gpu(p, loc);
	if (p->flags & KVLIFT_REQ_WINDOW)
		return kvl_addr_is_memory(loc & KVL_ADDR_MASK) &&
		       kvl_mem_slot(p->gpu->pool, loc)->window == &p->gpu->win;
	/* A GPU is no worse a place, unless a CPU is going to wait for it. */
	return tier <= p->tier && (tier != KVLIFT_TIER_GPU || !p->lease_ms);
}

/* In a word of a leased block, which is present: what the request made of it. */
#define LOC_MADE		KVLIFT_LOC_RESERVED
#define LOC_MADE_OF_RESERVED	KVLIFT_LOC_INLINE
#define LOC_MADE_OF_LOST	KVLIFT_LOC_ERROR
#define LOC_MADE_ANY		(LOC_MADE | LOC_MADE_OF_RESERVED | \
				 LOC_MADE_OF_LOST)

static u64 made_bits(enum kvl_made made)
{
	switch (made) {
	case KVL_MADE:
		return LOC_MADE;
	case KVL_MADE_OF_RESERVED:
		return LOC_MADE_OF_RESERVED;
	case KVL_MADE_OF_LOST:
		return LOC_MADE_OF_LOST;
	case KVL_MADE_NOT:
		break;
	}
	return 0;
}

/* Nobody was told of it, and nobody else has taken it for what it is not. */
static void unmake(struct kvl_request *p, u64 index, struct kvl_block *b,
		   u64 loc)
{
	struct kvl_slot *s = kvl_mem_slot(kvl_region_pool(p->r), loc);

	if (!(loc & LOC_MADE_ANY) || !p->error || s->leases ||
	    test_bit(KVL_B_MOVING, &b->flags))
		return;
	kvl_gpu_unmake(p, index, b,
		       loc & LOC_MADE		  ? KVL_MADE :
		       loc & LOC_MADE_OF_RESERVED ? KVL_MADE_OF_RESERVED :
						    KVL_MADE_OF_LOST);
}

/* The slot of a block that the request holds a lease on, or held. */
static void unlease_slot(struct kvl_request *p, struct kvl_slot *s)
{
	bool write = p->flags & KVLIFT_REQ_WRITE;

	if (kvl_addr_is_gpu(s->addr))
		kvl_gpu_unlease(p->gpu, s, write);
	else
		kvl_window_unlease(s, write);
}

static void unlease_block(struct kvl_request *p, u64 index, u64 loc)
{
	struct kvl_block *b = kvl_region_find(p->r, index);
	struct kvl_pool *pool = kvl_region_pool(p->r);
	bool same;

	kvl_block_lock(b);
	same = !((b->loc ^ loc) & KVL_LOC_PLACE);
	if (same) {
		struct kvl_slot *s = kvl_mem_slot(pool, kvl_block_home(b));

		/* The generation may have gone round: then there is none. */
		if (s->leases)
			s->leases--;
		/* Until now; nobody was told of one that failed. */
		if (p->flags & KVLIFT_REQ_WRITE && !p->error)
			kvl_gpu_written(p->r, index, b);
	}
	if (p->gpu)
		unlease_slot(p, kvl_mem_slot(pool, loc));
	if (same)
		unmake(p, index, b, loc);
	kvl_block_unlock(b);
	if (p->flags & KVLIFT_REQ_PIN)
		kvl_domain_unpin(p->r->domain, kvlift_loc_tier(loc), 1);
	else
		kvl_domain_unlease(p->r->domain, kvlift_loc_tier(loc),
				   KVL_LEASE);
}

static void unlease(struct kvl_request *p)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 i;

	if (!p->leased)
		return;
	for (i = 0; i <= p->last - p->start; i++)
		if (p->locs[i])
			unlease_block(p, p->start + i, p->locs[i]);
	/* Stores of a GPU are not seen one by one. */
	if (p->flags & KVLIFT_REQ_WRITE && !p->error)
		kvl_inode_modified(&p->r->inode);
	WRITE_ONCE(p->leased, false);
	/* Who could not move them may now. */
	kvl_pool_slot_freed(pool);
}

/* By the domain's caps. */
static bool count_lease(struct kvl_request *p, unsigned int tier)
{
	if (p->flags & KVLIFT_REQ_PIN)
		return kvl_domain_pin(p->r->domain, tier, 1);
	return kvl_domain_lease(p->r->domain, tier, KVL_LEASE);
}

/* A GPU is going to use the slot, and to write it perhaps. */
static void gpu_lease(struct kvl_request *p, u64 index, struct kvl_block *b,
		      struct kvl_slot *s)
{
	s->held++;
	s->written += !!(p->flags & KVLIFT_REQ_WRITE);
	kvl_heat_touch(p->r, index, b, 1);
}

/* By itself it has as many leases as there may be where this block is. */
static bool fills_cap(struct kvl_request *p, unsigned int tier)
{
	u64 cap = kvl_domain_lease_cap(p->r->domain, tier), n = 0, i;

	for (i = 0; i <= p->last - p->start && n < cap; i++)
		n += p->locs[i] && kvlift_loc_tier(p->locs[i]) == tier;
	return n >= cap;
}

/*
 * The block is in place and locked: keeps it there. 0, -EDQUOT, -EAGAIN, -EPERM,
 * -ENODEV.
 */
static int lease(struct kvl_request *p, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 home = kvl_block_home(b);
	unsigned int id = kvl_addr_tier(home);
	struct kvl_slot *s = kvl_mem_slot(pool, home);

	if (p->flags & WRITER_FLAGS && kvl_seal_is_on(p->r))
		return -EPERM;
	if (p->gpu && READ_ONCE(p->gpu->m.dead))
		return -ENODEV;
	if (s->leases == U16_MAX || s->held == U16_MAX ||
	    !count_lease(p, id))
		/* When it would fit by itself an engine comes again. */
		return p->gpu && !fills_cap(p, id) ? -EAGAIN : -EDQUOT;
	s->leases++;
	if (p->gpu)
		gpu_lease(p, index, b, s);
	p->locs[index - p->start] = b->loc & ~LOC_MADE_ANY;
	WRITE_ONCE(p->leased, true);
	return 0;
}

void kvl_request_made(struct kvl_request *p, u64 index, struct kvl_block *b,
		      int err, enum kvl_made made)
{
	if (!err && p->lease_ms)
		err = lease(p, index, b);
	if (err && made)
		kvl_gpu_unmake(p, index, b, made);
	else if (made)
		p->locs[index - p->start] |= made_bits(made);
	if (err) {
		WRITE_ONCE(p->error, err);
		atomic64_inc(&p->failed);
	} else {
		atomic64_inc(&p->ready);
	}
}

void kvl_request_block(struct kvl_request *p, u64 index, struct kvl_block *b,
		       int err)
{
	kvl_request_made(p, index, b, err, KVL_MADE_NOT);
}

void kvl_request_free(struct kvl_request *p)
{
	cancel_delayed_work_sync(&p->end);
	unlease(p);
	iput(&p->r->inode);
	kvfree(p->locs);
	kfree(p);
}

/* There is room: each is counted in nr. */
static void add_event(struct kvl_queue *q, const struct kvlift_event *e,
		      struct kvl_request *p)
{
	u32 at = q->tail & (MAX_REQUESTS - 1);

	lockdep_assert_held(&q->lock);
	q->events[at] = *e;
	q->owners[at] = p;
	/* Pairs with read_events(), which has no lock. */
	smp_store_release(&q->tail, q->tail + 1);
	if (q->efd)
		eventfd_signal(q->efd);
}

static void post(struct kvl_request *p)
{
	struct kvl_queue *q = p->q;
	struct kvlift_event e;

	spin_lock(&q->lock);
	p->ended = ktime_get_ns();
	p->state = KVL_REQ_ENDED;
	trace_kvlift_request(q->pool->id, p->r->id, p->start,
			     p->last - p->start + 1, p->cookie, p->error,
			     p->ended - p->submitted);
	/* Not before: end_work() posts a request that still waits. */
	if (p->leased && !(p->flags & KVLIFT_REQ_PIN))
		mod_delayed_work(q->pool->wq, &p->end,
				 msecs_to_jiffies(p->lease_ms));
	e = (struct kvlift_event){
		.cookie = p->cookie,
		.res = p->error,
		.blocks = atomic64_read(&p->ready),
		.ns = p->ended - p->submitted,
	};
	p->event = q->tail;
	add_event(q, &e, p);
	/* Under the lock: whoever frees the queue takes it first. */
	wake_up_all(&q->wait);
	spin_unlock(&q->lock);
}

/*
 * All blocks are leased for writing, and their owner is about to be told: from
 * now on nobody falls back to what is below. Not before, as a request that fails
 * must leave the copies as they are.
 */
static void mark_written(struct kvl_request *p)
{
	u64 i;

	/* What it has may be needed yet. */
	if (READ_ONCE(p->gpu->m.dead)) {
		WRITE_ONCE(p->error, -ENODEV);
		return;
	}
	for (i = 0; i <= p->last - p->start; i++) {
		struct kvl_block *b;

		if (!p->locs[i])
			continue;
		b = kvl_region_find(p->r, p->start + i);
		kvl_block_lock(b);
		if (!((b->loc ^ p->locs[i]) & KVL_LOC_PLACE))
			kvl_gpu_written(p->r, p->start + i, b);
		kvl_block_unlock(b);
	}
	p->marked = true;
}

static bool grants_writing(const struct kvl_request *p)
{
	return p->flags & KVLIFT_REQ_WRITE && !p->error && p->leased &&
	       !p->marked;
}

/*
 * Ends a request that failed with some leases, or grants writing, or ends a lease
 * that is over.
 */
static void end_work(struct work_struct *work)
{
	struct kvl_request *p = container_of(to_delayed_work(work),
					     struct kvl_request, end);
	struct kvl_pool *pool = kvl_region_pool(p->r);

	if (READ_ONCE(p->state) == KVL_REQ_WAITING) {
		if (grants_writing(p))
			mark_written(p);
		if (p->error)
			unlease(p);
		post(p);
		return;
	}
	kvl_count(pool, KVL_C_LEASE_EXPIRED);
	unlease(p);
	atomic_inc(&p->q->over);
}

void kvl_request_put(struct kvl_request *p)
{
	if (!refcount_dec_and_test(&p->pending))
		return;
	/*
	 * All or nothing: half a lease is of no use to anybody. Here a block's
	 * lock may be held.
	 */
	if ((p->leased && p->error) || grants_writing(p))
		mod_delayed_work(p->q->pool->wq, &p->end, 0);
	else
		post(p);
}

/* In one tier: by the domain's caps, and what there is of an attachment. */
static u64 most_in(struct kvl_request *p, unsigned int id)
{
	struct kvl_domain *d = p->r->domain;
	u64 cap = p->flags & KVLIFT_REQ_PIN ? kvl_domain_pin_cap(d, id) :
					      kvl_domain_lease_cap(d, id);

	if (p->flags & KVLIFT_REQ_GPU)
		return min(cap, READ_ONCE(p->gpu->m.got));
	if (p->flags & KVLIFT_REQ_WINDOW)
		return min(cap, kvl_window_homes(&p->gpu->win, id));
	return cap;
}

static u64 most_leases(struct kvl_request *p)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 most = 0;
	unsigned int id;

	for (id = min(p->tier, KVLIFT_TIER_DRAM); id <= p->tier; id++)
		if (pool->tiers[id].nr_members)
			most += most_in(p, id);
	return most;
}

/* What can be said at once: 0, or why it is no use to try. */
static int judge(struct kvl_request *p, u64 count)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 nr = kvl_region_nr_blocks(p->r);
	u64 missing = 0, dram = 0, i;
	struct kvl_block *b;

	if (p->start >= nr || count > nr - p->start)
		return -ENXIO;
	if (p->flags & WRITER_FLAGS && kvl_seal_is_on(p->r))
		return -EPERM;
	if (!pool->tiers[p->tier].nr_members ||
	    (p->gpu && READ_ONCE(p->gpu->state) != KVLIFT_MOVER_LIVE))
		return -ENODEV;
	if (p->lease_ms && count > most_leases(p))
		return -EDQUOT;
	/* Here and not by the worker: they are charged to who asks. */
	for (i = max(p->start, 1ULL); p->lease_ms && i <= p->last;
	     i = (i | (KVL_CHUNK_BLOCKS - 1)) + 1)
		if (!kvl_region_get(p->r, i))
			return -ENOMEM;
	for (i = p->start; (b = kvl_region_next(p->r, &i, p->last)); i++) {
		u64 loc = READ_ONCE(b->loc);

		if (!kvl_request_in_place(p, loc))
			missing += !!kvl_block_home(b);
		else if (kvlift_loc_tier(loc) == KVLIFT_TIER_DRAM)
			dram++;
	}
	/* Some have to go on to CXL memory, see gpu_place.c. */
	if (p->flags & KVLIFT_REQ_WINDOW && p->lease_ms &&
	    p->tier == KVLIFT_TIER_CXL) {
		u64 left = kvl_domain_leases_left(p->r->domain,
						  KVLIFT_TIER_DRAM);

		missing += dram - min(dram, left);
	}
	p->missing = missing;
	return kvl_prefetch_in_time(pool, p) ? 0 : -ETIME;
}

/*
 * Blocks that are in place need no worker: true when it was no more than that,
 * or has failed. Else the worker goes on where this has stopped.
 */
static bool try_now(struct kvl_request *p)
{
	u64 nr = kvl_region_nr_blocks(p->r), i;

	if (p->missing)
		return false;
	for (i = p->start; i <= p->last && i < nr && !p->error; i++) {
		struct kvl_block *b = kvl_region_find(p->r, i);
		bool good;

		if (!b && !p->lease_ms)
			continue;
		if (!b || !kvl_block_trylock(b))
			break;
		/* Of a lease holes have to be filled first. */
		good = (!(b->loc & KVLIFT_LOC_ERROR) ||
			kvl_addr_is_gpu(kvl_block_home(b))) &&
		       (kvl_block_home(b) ? kvl_request_in_place(p, b->loc) :
					    !p->lease_ms);
		if (good)
			kvl_request_block(p, i, b, 0);
		kvl_block_unlock(b);
		if (!good)
			break;
		cond_resched();
	}
	p->first = i;
	return i > p->last || p->error;
}

/* The slowest tier that will do, or 0 for a wrong one. */
static __always_inline unsigned int
slowest_memory(struct kvl_queue *q, const struct kvlift_req *u)
{
	if (u->tier)
		return u->tier == KVLIFT_TIER_DRAM ||
				       u->tier == KVLIFT_TIER_CXL ?
			       u->tier : 0;
	return q->pool->tiers[KVLIFT_TIER_CXL].nr_members ? KVLIFT_TIER_CXL :
							    KVLIFT_TIER_DRAM;
}

static unsigned int slowest(struct kvl_queue *q, const struct kvlift_req *u)
{
	if (u->flags & KVLIFT_REQ_GPU)
		return KVLIFT_TIER_GPU;
	if (u->flags & KVLIFT_REQ_WINDOW)
		return q->gpu->win.part[KVL_WINDOW_CXL].nr ?
			       KVLIFT_TIER_CXL :
			       KVLIFT_TIER_DRAM;
	return slowest_memory(q, u);
}

/* All but one are for an attachment's queue, and go together. */
static bool flags_fit(struct kvl_queue *q, const struct kvlift_req *u)
{
	u32 where = u->flags & (KVLIFT_REQ_GPU | KVLIFT_REQ_WINDOW);

	if (u->flags == KVLIFT_REQ_PIN)
		return u->op == KVLIFT_OP_ACQUIRE && !u->lease_ms &&
		       slowest_memory(q, u);
	if (!q->gpu || u->tier || u->flags & ~GPU_FLAGS ||
	    (where != KVLIFT_REQ_GPU && where != KVLIFT_REQ_WINDOW) ||
	    (where == KVLIFT_REQ_WINDOW && q->gpu->dmabuf))
		return false;
	if (u->flags & (KVLIFT_REQ_EXCLUSIVE | KVLIFT_REQ_NEW) &&
	    where != KVLIFT_REQ_GPU)
		return false;
	if (u->flags & KVLIFT_REQ_WRITE && u->op != KVLIFT_OP_ACQUIRE)
		return false;
	return !(u->flags & KVLIFT_REQ_NEW) || u->flags & KVLIFT_REQ_WRITE;
}

static int check(struct kvl_queue *q, const struct kvlift_req *u)
{
	if (unlikely(u->flags) ? !flags_fit(q, u) : !slowest_memory(q, u))
		return -EINVAL;
	if (u->reserved[0] || u->reserved[1] ||
	    u->op > KVLIFT_OP_ACQUIRE || u->prio > KVLIFT_PRIO_LOW ||
	    !u->count || u->count > KVLIFT_REQ_MAX_BLOCKS ||
	    u->first > U64_MAX - u->count ||
	    u->lease_ms > KVLIFT_LEASE_MAX_MS)
		return -EINVAL;
	/* A lease has a length, nothing else has one. */
	if (u->op == KVLIFT_OP_ACQUIRE ?
		    !u->lease_ms && u->flags != KVLIFT_REQ_PIN :
		    u->lease_ms)
		return -EINVAL;
	return 0;
}

/* The region of a request's descriptor, or an error. */
static struct kvl_region *region_of(struct kvl_queue *q, struct fd f,
				    u32 flags)
{
	struct inode *inode;

	if (!fd_file(f))
		return ERR_PTR(-EBADF);
	inode = file_inode(fd_file(f));
	if (!(fd_file(f)->f_mode & FMODE_READ) ||
	    (unlikely(flags & WRITER_FLAGS) &&
	     !(fd_file(f)->f_mode & FMODE_WRITE)))
		return ERR_PTR(-EACCES);
	if (inode->i_sb != q->pool->sb || !S_ISREG(inode->i_mode))
		return ERR_PTR(-EINVAL);
	return kvl_region(inode);
}

/*
 * Is everything there that is asked for? Then @e is its event. Nothing is
 * locked: it was so at some time since the call.
 */
static bool is_there(struct kvl_queue *q, const struct kvlift_req *u,
		     struct kvl_region *r, struct kvlift_event *e)
{
	u64 nr = kvl_region_nr_blocks(r);
	u64 last = u->first + u->count - 1;
	unsigned int tier = slowest_memory(q, u);
	u64 i, n = 0;
	struct kvl_block *b;

	if (u->op != KVLIFT_OP_PREFETCH || u->deadline_ns || last >= nr ||
	    !q->pool->tiers[tier].nr_members)
		return false;
	for (i = u->first; (b = kvl_region_next(r, &i, last)); i++, n++) {
		u64 loc = READ_ONCE(b->loc);

		if (loc & KVLIFT_LOC_ERROR || (loc & KVLIFT_LOC_PRESENT &&
					       kvlift_loc_tier(loc) > tier))
			return false;
	}
	*e = (struct kvlift_event){ .cookie = u->cookie, .blocks = n };
	return true;
}

/* The file is held by the caller. */
static int submit_slow(struct kvl_queue *q, const struct kvlift_req *u,
		       struct kvl_region *r)
{
	struct kvl_request *p;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	if (u->op == KVLIFT_OP_ACQUIRE) {
		p->locs = kvcalloc(u->count, sizeof(u64), GFP_KERNEL_ACCOUNT);
		if (!p->locs) {
			kfree(p);
			return -ENOMEM;
		}
	}
	p->q = q;
	p->node = numa_node_id();
	p->r = r;
	ihold(&r->inode);
	INIT_LIST_HEAD(&p->list);
	INIT_DELAYED_WORK(&p->end, end_work);
	p->start = u->first;
	p->first = u->first;
	p->last = u->first + u->count - 1;
	p->cookie = u->cookie;
	p->tier = slowest(q, u);
	p->flags = u->flags;
	p->gpu = u->flags & GPU_FLAGS ? q->gpu : NULL;
	p->prio = u->prio;
	/* A lease without an end is one, too. */
	p->lease_ms = u->flags & KVLIFT_REQ_PIN ? 1 : u->lease_ms;
	p->deadline = u->deadline_ns;
	p->submitted = ktime_get_ns();
	refcount_set(&p->pending, 1);
	spin_lock(&q->lock);
	if (q->nr >= MAX_REQUESTS) {
		spin_unlock(&q->lock);
		kvl_request_free(p);
		return -EAGAIN;
	}
	q->nr++;
	list_add_tail(&p->qlist, &q->requests);
	spin_unlock(&q->lock);
	p->error = judge(p, u->count);
	if (p->error) {
		atomic64_set(&p->failed, u->count);
		kvl_request_put(p);
	} else if (try_now(p)) {
		/* No lock is held here: it need not wait for the worker. */
		if (grants_writing(p))
			mark_written(p);
		kvl_request_put(p);
	} else {
		kvl_prefetch_submit(q->pool, p);
	}
	return 0;
}

/* How many of the events there was room for. */
static unsigned int post_events(struct kvl_queue *q,
				const struct kvlift_event *e, unsigned int n)
{
	unsigned int i;

	if (!n)
		return 0;
	spin_lock(&q->lock);
	for (i = 0; i < n && q->nr < MAX_REQUESTS; i++, q->nr++)
		add_event(q, e + i, NULL);
	if (i)
		wake_up_all(&q->wait);
	spin_unlock(&q->lock);
	return i;
}

/* Events that wait to be posted together. */
struct batch {
	struct kvlift_event events[SOME];
	unsigned int n;
};

/* -EAGAIN: there was no room for those that are left in the batch. */
static int flush(struct kvl_queue *q, struct batch *batch)
{
	unsigned int n = post_events(q, batch->events, batch->n);

	batch->n -= n;
	return batch->n ? -EAGAIN : 0;
}

static int submit_one(struct kvl_queue *q, const struct kvlift_req *u,
		      struct batch *batch)
{
	struct kvl_region *r;
	struct fd f;
	int err;

	err = check(q, u);
	if (err)
		return err;
	f = fdget(u->fd);
	r = region_of(q, f, u->flags);
	if (IS_ERR(r)) {
		err = PTR_ERR(r);
	} else if (likely(!u->flags) &&
		   is_there(q, u, r, &batch->events[batch->n])) {
		batch->n++;
		if (trace_kvlift_request_enabled())
			trace_kvlift_request(q->pool->id, r->id, u->first,
					     u->count, u->cookie, 0, 0);
	} else {
		/* What is taken is the first ones: no gaps. */
		err = flush(q, batch);
		if (!err)
			err = submit_slow(q, u, r);
	}
	if (fd_file(f))
		fdput(f);
	return err;
}

/* How many of @n requests were taken, and in @err why not the next one. */
static unsigned int submit_some(struct kvl_queue *q,
				const struct kvlift_req *u, unsigned int n,
				int *err)
{
	struct batch batch __uninitialized;
	unsigned int i;
	int full;

	batch.n = 0;
	*err = 0;
	for (i = 0; i < n; i++) {
		*err = submit_one(q, u + i, &batch);
		if (*err)
			break;
	}
	full = flush(q, &batch);
	if (full)
		*err = full;
	return i - batch.n;
}

long kvl_queue_submit(struct kvl_queue *q, void __user *arg)
{
	struct kvlift_submit __user *out = arg;
	struct kvlift_req u[SOME] __uninitialized;
	struct kvlift_submit s;
	u32 done = 0, n;
	int err = 0;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.flags || s.reserved[0] || s.reserved[1] ||
	    s.count > KVLIFT_SUBMIT_MAX)
		return -EINVAL;
	while (done < s.count && !err) {
		const struct kvlift_req __user *from = u64_to_user_ptr(s.ptr);

		n = min(s.count - done, (u32)SOME);
		if (copy_from_user(u, from + done, n * sizeof(u[0]))) {
			/* Perhaps the first of them can be read. */
			n = 1;
			if (copy_from_user(u, from + done, sizeof(u[0]))) {
				err = -EFAULT;
				break;
			}
		}
		done += submit_some(q, u, n, &err);
		cond_resched();
	}
	/* As write(2): what was taken is told, the error comes next time. */
	if (err && !done)
		return err;
	return put_user(done, &out->done);
}

