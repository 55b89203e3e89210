/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory of a GPU: a member of tier gpu, and whoever copies to and from it.
 *
 * Lifetime: a member is made by the first attachment that needs one and lives
 * until the pool ends; between attachments it is dead, and has no blocks. At
 * most one attachment uses it, from its ioctl to the release of its file, when
 * commands and blocks end, and of the last queue that was opened on it, when the
 * window does.
 * Locks: pool->gpu_mutex: who attaches. gpu->m.lock: slots. gpu->lock: state,
 * commands and the kernel's side of the rings; nothing that takes a lock of ours is
 * called under it. gpu->enter: who takes completions. Leases of a slot belong to the
 * lock of its block, or to gpu->m.lock once the block has left it (orphan).
 *
 * A block whose home is a GPU's slot has no folio. Its shadow may be on a device
 * or in memory: then that slot is frozen, in the list of its domain so that
 * reclaim finds it, and counts for the domain. A dirty block has no shadow in
 * memory.
 */
#ifndef KVL_GPU_H
#define KVL_GPU_H

#include <linux/kvlift_mover.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/wait.h>

#include "queue.h"
#include "region.h"
#include "window.h"

struct dma_buf;
struct eventfd_ctx;
struct kvl_batch;
struct kvl_move;
struct kvl_request;

/**
 * struct kvl_command - a copy that the mover has been told of
 * @copy:	NULL: the tag is free
 * @seq:	grows with each use of the tag
 * @deadline:	ktime, ns
 * @cancelled:	it has been told that it is late
 */
struct kvl_command {
	struct kvl_copy *copy;
	u32 seq;
	u64 deadline;
	bool cancelled;
};

/**
 * struct kvl_gpu
 * @free:	slots, the last used first; under m.lock
 * @nslots:	slots of which the record has been made
 * @attached:	by a file; under pool->gpu_mutex
 * @state:	enum kvlift_mover_state, 0: nobody attached
 * @generation:	of the attachment
 * @shared:	the rings, NULL with a dma-buf
 * @sq_tail:	the kernel's, as @cq_head
 * @cmds:	by tag
 * @tags:	free ones, @ntags of them
 * @backlog:	copies for which there is no tag
 * @moves:	that it has to make, or will have when a device has read
 * @late:	looks for commands that are late
 * @bury:	takes blocks out of a member that is dead
 * @threads:	that copy: pid and start time
 * @peers:	by member, generation of the attachment whose memory the mover can
 *		reach, 0 for none
 * @owner:	address space of the process that attached, held
 * @uid:	of that, by which its attachments are counted
 * @wanted:	somebody has found no slot free
 * @win:	the window
 * @users:	the attachment's file and its queues
 * @ring_maps:	mappings of the rings
 * @dir:	the directory it was attached on, which keeps the pool mounted
 * @domain:	whose cap on pins the window counts for
 */
struct kvl_gpu {
	struct kvl_member m;
	struct kvl_pool *pool;
	struct list_head free;
	u32 nslots;
	bool attached;
	u32 norphan;	/* m.lock */

	spinlock_t lock;	/* state, commands, rings */
	u32 state;
	u32 generation;
	u32 depth;
	u32 deadline_ms;
	void *shared;
	u32 sq_tail;
	u32 cq_head;
	struct kvl_command *cmds;
	u16 *tags;
	u32 ntags;
	struct list_head backlog;
	atomic_t moves;
	struct eventfd_ctx *efd;
	wait_queue_head_t wait;
	struct mutex enter;	/* who takes completions */
	struct delayed_work late;
	struct delayed_work bury;
	struct {
		pid_t pid;
		u64 start;
	} threads[KVLIFT_MOVER_THREADS];
	unsigned int nthreads;
	u32 peers[KVLIFT_MAX_MEMBERS];
	struct mm_struct *owner;
	kuid_t uid;
	bool wanted;
	u64 nr_in;
	u64 nr_out;
	u64 nr_failed;
	u64 nr_late;
	u64 nr_ignored;
	atomic64_t nr_lost;

	struct kvl_window win;
	refcount_t users;
	atomic_t ring_maps;
	struct file *dir;
	struct kvl_domain *domain;
	struct dma_buf *dmabuf;
	void *vmap;
	struct rw_semaphore map_sem;	/* dmabuf, vmap: who copies reads */
};

static inline struct kvl_gpu *kvl_to_gpu(struct kvl_member *m)
{
	return container_of(m, struct kvl_gpu, m);
}

static inline struct kvl_gpu *kvl_addr_gpu(struct kvl_pool *pool, u64 addr)
{
	return kvl_to_gpu(kvl_addr_member(pool, addr));
}

/* tier_gpu.c */
/* It has fewer free slots than it is to have. */
bool kvl_gpu_is_short(struct kvl_member *m);
/* How many all of them lack; each engine has its own GPU. */
s64 kvl_gpu_missing(struct kvl_tier *t);
/* A member with free slots for a new attachment. -EUSERS, -ENOMEM. */
struct kvl_gpu *kvl_gpu_member(struct kvl_pool *pool, u64 slots);
/* Its attachment is over: another may have it. */
void kvl_gpu_detach(struct kvl_gpu *g);
/* Nothing new goes there, and what is there leaves, in the background. */
void kvl_gpu_die(struct kvl_gpu *g);
/* Before the pool's inodes go; nothing is attached any more. */
void kvl_gpu_stop(struct kvl_pool *pool);
/* A lease on a slot whose block has left it is over. */
void kvl_gpu_unlease(struct kvl_gpu *g, struct kvl_slot *s, bool write);

/* mover.c */
long kvl_mover_open(struct file *file, void __user *arg);
void kvl_mover_init(struct kvl_gpu *g);
/* A queue of the attachment comes, or goes: the last user ends it. */
void kvl_mover_get(struct kvl_gpu *g);
void kvl_mover_put(struct kvl_gpu *g);
void kvl_mover_submit(struct kvl_gpu *g, struct kvl_copy *copy);
/* No command is completed by the mover any more. */
void kvl_mover_fail(struct kvl_gpu *g, const char *why);
bool kvl_mover_is_current(struct kvl_gpu *g);
/* Whether the mover of @g copies from @from by itself. */
bool kvl_mover_reaches(struct kvl_gpu *g, struct kvl_gpu *from);

/* gpu_dmabuf.c */
int kvl_gpu_dmabuf_open(struct kvl_gpu *g, int fd, u64 bytes);
void kvl_gpu_dmabuf_close(struct kvl_gpu *g);
void kvl_gpu_dmabuf_submit(struct kvl_gpu *g, struct kvl_copy *copy);

/*
 * gpu_move.c. A CPU wants a block whose home is a GPU's: starts to bring it
 * down. Needs the block's lock and gives it up. -EAGAIN: look again when a slot
 * has become free; -EDEADLK: nobody else would copy it, or with @here it would
 * have to be waited for.
 */
int kvl_gpu_bring(struct kvl_region *r, u64 index, struct kvl_block *b,
		  enum kvl_why why, bool here);

/* The current task would wait for itself. Needs the block's lock. */
bool kvl_gpu_is_mine(struct kvl_region *r, struct kvl_block *b);

/* As kvl_batch_demote(), from a GPU. */
int kvl_gpu_demote(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		   struct kvl_block *b, enum kvl_why why);

/*
 * gpu_place.c. A block of a request for a GPU or its window. Needs the block's lock and gives
 * it up unless it returns 1, when the block is in place. 0: it is on its way;
 * -EAGAIN: not now, the lock is given up; other errors with the lock held.
 */
int kvl_gpu_place(struct kvl_batch *batch, struct kvl_request *p, u64 index,
		  struct kvl_block *b);

/*
 * A hole gets a slot of the request's GPU, with nothing in it. Needs the block's
 * lock and keeps it. -EAGAIN: no slot just now.
 */
int kvl_gpu_new(struct kvl_request *p, u64 index, struct kvl_block *b,
		enum kvl_made *made);
/* The request has failed, and nobody was told: what was made is a hole again. */
void kvl_gpu_unmake(struct kvl_request *p, u64 index, struct kvl_block *b,
		    enum kvl_made made);

/*
 * A slot in memory that holds the shadow of a GPU's block is wanted: the shadow
 * goes down. Needs the block's lock and gives it up. -ENOENT, -ENOSPC, -EBUSY.
 */
int kvl_gpu_sink(struct kvl_batch *batch, struct kvl_region *r, u64 index,
		 struct kvl_block *b);

/*
 * Takes a block out of a GPU without its help: to its shadow, or it is lost.
 * Needs the block's lock and keeps it. False: lost.
 */
bool kvl_gpu_leave(struct kvl_region *r, u64 index, struct kvl_block *b);

/*
 * The copy below is no more: what the GPU has is the only one. Whoever only may
 * read the block is not believed about what it is: then it is lost. Needs the
 * block's lock.
 */
void kvl_gpu_lose_shadow(struct kvl_region *r, u64 index, struct kvl_block *b);

/* A good copy is below. Needs the block's lock. */
bool kvl_gpu_has_copy(struct kvl_pool *pool, const struct kvl_block *b);

/* The lease is for writing: what is below counts no more. */
void kvl_gpu_written(struct kvl_region *r, u64 index, struct kvl_block *b);

#endif /* KVL_GPU_H */
