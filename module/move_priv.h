/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What move.c (how moves begin), arrive.c (when the copy is there) and commit.c
 * (how they end) share.
 */
#ifndef KVL_MOVE_PRIV_H
#define KVL_MOVE_PRIV_H

#include <linux/completion.h>
#include <linux/llist.h>

#include "move.h"

/*
 * Who goes on when a copy to or from a device has arrived: a task that waits
 * for it, who submitted it and has not looked yet, or a worker. ARRIVED: one of
 * the first two may go on.
 */
enum { BY_TASK, BY_BATCH, ARRIVED, BY_WORKER };

/* What a move does with a GPU. */
enum kvl_gpu_move {
	KVL_GPU_NONE,
	KVL_GPU_READ,	/* from a device to the window, on its way to a GPU */
	KVL_GPU_IN,	/* to a GPU */
	KVL_GPU_OUT,	/* from a GPU to memory */
	KVL_GPU_PEER,	/* from a GPU to another */
	KVL_GPU_SINK,	/* the copy below in memory goes further down */
};

/**
 * struct kvl_move - one block on its way
 * @copy:	what the back end sees
 * @from:	reserve that it was taken from, NULL: none
 * @r:		its inode is held
 * @b:		the block
 * @index:	its number
 * @loc:	location word when the copy began
 * @folio:	the source, referenced while the block's lock is not held
 * @done:	in the pool's list of copies that have arrived
 * @list:	in a list of moves that have ended
 * @arrived:	the task that does a read itself waits for it
 * @by:		who goes on when the copy has arrived
 * @why:	for traces
 * @proto:	how it is moved
 * @req:	is told of the end, or NULL
 * @store:	the home stays where it is, the copy becomes the shadow
 * @gpu:	what it does with a GPU (gpu_move.c)
 * @held_by:	whose mover it waits for, while it is @counted
 * @final:	GPU_READ: slot of the GPU that it is for
 * @keep:	GPU_IN: slot in memory for the copy that is kept below, when the
 *		one it was in cannot be; 0 for none
 * @exclusive:	GPU_IN: none is kept in memory
 * @counted:	it is in gpu_moves of the pool
 * @holds:	GPU_IN: tier of which it holds a slot, counted for the domain; 0: it
 *		is not
 * @moving:	KVL_B_MOVING was set for it
 * @borrowed:	the destination is the block's shadow and still belongs to it,
 *		which may lose it while its lock is free
 * @t_start:	when its batch was started, ns
 * @t_submit:	when its copy was, 0 for none
 * @sum_ns:	how long its checksums took; of a read only while moves are
 *		traced
 */
struct kvl_move {
	struct kvl_copy copy;
	mempool_t *from;
	struct kvl_region *r;
	struct kvl_block *b;
	u64 index;
	u64 loc;
	struct folio *folio;
	struct llist_node done;
	struct list_head list;
	struct completion arrived;
	atomic_t by;
	enum kvl_why why;
	enum kvl_proto proto;
	struct kvl_request *req;
	enum kvl_gpu_move gpu;
	struct kvl_gpu *held_by;
	u64 final;
	u64 keep;
	bool exclusive;
	bool counted;
	u8 holds;
	bool store;
	bool moving;
	bool borrowed;
	u64 t_start;
	u64 t_submit;
	u64 sum_ns;
};

static inline bool from_memory(const struct kvl_move *m)
{
	return kvl_addr_is_memory(m->copy.src);
}

static inline bool to_memory(const struct kvl_move *m)
{
	return kvl_addr_is_memory(m->copy.dst);
}

static inline bool to_device(const struct kvl_move *m)
{
	return kvl_addr_is_device(m->copy.dst);
}

static inline bool to_gpu(const struct kvl_move *m)
{
	return kvl_addr_is_gpu(m->copy.dst);
}

/* Its slot will be free soon. */
static inline bool leaves(const struct kvl_move *m)
{
	return !m->store &&
	       kvl_addr_tier(m->copy.src) < kvl_addr_tier(m->copy.dst);
}

/* How long its copy has waited for the device's credit, ns. */
static inline u64 kvl_move_queued(const struct kvl_move *m)
{
	return m->copy.t_issue ? m->copy.t_issue - m->t_submit : 0;
}

static inline struct kvl_slot *src_slot(const struct kvl_move *m)
{
	return kvl_mem_slot(m->copy.pool, m->copy.src);
}

/*
 * All of these end a move and add it to @ended; the block's lock is given up.
 * What has to wait until no lock is held is done by kvl_moves_reap(), which
 * returns how many of them succeeded and may free their regions.
 */
void kvl_move_refuse(struct kvl_move *m, enum kvl_counter why,
		     struct list_head *ended);
void kvl_move_abort(struct kvl_move *m, struct list_head *ended);
void kvl_move_commit(struct kvl_move *m, struct list_head *ended);
void kvl_move_end_read(struct kvl_move *m, struct list_head *ended);
void kvl_move_end_stopped(struct kvl_move *m, struct list_head *ended);
unsigned int kvl_moves_reap(struct kvl_pool *pool, struct list_head *ended);

/* As kvl_move_end_read(), but with 0 the lock is kept. */
int kvl_move_end_read_locked(struct kvl_move *m, struct list_head *ended);

/* arrive.c */
bool kvl_move_submit(struct kvl_move *m);
void kvl_move_copy_done(struct kvl_copy *copy);
void kvl_moves_arrived(struct kvl_move **m, unsigned int n,
		       struct list_head *ended);

/* The copy of a block that stays in memory has arrived. */
void kvl_move_end_store(struct kvl_move *m, struct list_head *ended);

/*
 * move.c: adds a move to @dst, which may be the block's shadow, and takes over
 * the block's lock. NULL: no memory just now; lock and slot are given up then.
 */
struct kvl_move *kvl_batch_new(struct kvl_batch *batch, struct kvl_region *r,
			       u64 index, struct kvl_block *b, u64 dst,
			       enum kvl_why why, struct kvl_request *req);
/*
 * The same for what a mover may hold up, with memory that was got for it before
 * anything else was: who fails wakes nobody. NULL: none just now.
 */
struct kvl_move *kvl_move_alloc_gpu(struct kvl_pool *pool, bool out);
void kvl_move_free(struct kvl_move *m);
void kvl_batch_add_gpu(struct kvl_batch *batch, struct kvl_region *r,
		       u64 index, struct kvl_block *b, u64 dst,
		       enum kvl_why why, struct kvl_request *req,
		       struct kvl_move *m);

/*
 * move.c: a slot in a tier below that of @addr, or out of a window to where it can
 * be written from. -ENOSPC.
 */
int kvl_place_below(struct kvl_region *r, struct kvl_block *b, u64 addr,
		    u64 *dst);

/* gpu_move.c: begins, or goes on with, a move that @gpu says something of. */
void kvl_gpu_begin(struct kvl_move *m);
void kvl_gpu_fill_stage(struct kvl_move *m);
void kvl_gpu_arrived(struct kvl_move *m, struct list_head *ended);
void kvl_gpu_publish(struct kvl_move *m);
/* Slots that it needed on its way. */
void kvl_gpu_release(struct kvl_move *m);

/* commit.c: the block could not be read; its lock is held. */
void kvl_move_mark_error(struct kvl_move *m, int err);

/*
 * commit.c: it has not been made, and its lock is given up; with @free its
 * destination, too.
 */
void kvl_move_fail(struct kvl_move *m, int err, bool free,
		   struct list_head *ended);

/* gpu_move.c: a mover is going to have it. */
void kvl_gpu_hold(struct kvl_move *m, enum kvl_gpu_move what,
		  struct kvl_gpu *g);

/**
 * struct kvl_quiet - copies to a GPU that are begun one after the other
 * @g:		whose mover has to be woken for the last ones, or NULL
 * @bytes:	of these
 */
struct kvl_quiet {
	struct kvl_gpu *g;
	size_t bytes;
};

/* gpu_move.c: before each is submitted, and after the last. */
void kvl_gpu_quiet(struct kvl_quiet *q, struct kvl_move *m);
void kvl_gpu_loud(struct kvl_quiet *q);

/* gpu_move.c: one more (1) or fewer (-1) that a mover can hold up. */
void kvl_gpu_count(struct kvl_move *m, int delta);
/* The attachment that a slot is of has ended: nothing is published there. */
static inline bool kvl_gpu_is_dead(struct kvl_pool *pool, u64 addr)
{
	return READ_ONCE(kvl_addr_member(pool, addr)->dead);
}

/* gpu_move.c: no copy would be left below, and no slot to make one in. */
bool kvl_gpu_lacks_keep(struct kvl_move *m);

/* commit.c: whether what was read is what was written. */
bool kvl_move_sum_is_right(struct kvl_move *m, struct folio *folio);

/* commit.c: the place on a device could not be written; it is given up. */
void kvl_move_write_failed(struct kvl_move *m, int err);

/* A block that leaves() has begun to, or (-1) has ended. */
void kvl_move_leaving(struct kvl_move *m, int delta);

/* A write has arrived. */
void kvl_move_written(struct kvl_move *m);

#endif /* KVL_MOVE_PRIV_H */
