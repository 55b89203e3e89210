/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What gpu.c, the calls, and the other gpu_*.c, its parts, share. */
#ifndef KVLIFT_SRC_GPU_H
#define KVLIFT_SRC_GPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "gpu_backend.h"

/* No element of an array; lists are of indexes, for arrays made at the start. */
#define KVL_GPU_NONE UINT32_MAX

struct kvl_gpu_list {
	uint32_t first, last;
};

/* A command that has been taken from the ring and not been completed. */
struct kvl_gpu_cmd {
	uint64_t cookie, arg;
	bool is_peer;
	struct kvl_gpu_copy copy;
};

/* A batch on its way. */
struct kvl_gpu_flight {
	struct kvl_gpu_list cmds;
	uint64_t start_ns;
};

/**
 * struct kvl_gpu_mover - rings and commands; the mover's thread only
 * @ring:	the mapping
 * @sq_head:	as in the ring, whose content is not read again, as the next
 * @cq_tail:	completions written, of which the ring may not tell yet
 * @free:	commands that are not used
 * @waiting:	those that have not begun, by direction, oldest first
 * @flight:	batches, the oldest at @flown modulo KVL_GPU_FLIGHTS
 * @flown:	batches that have ended
 * @begun:	batches that have begun
 * @end_ns:	when the last batch ended
 * @last_ns:	when something has happened
 * @marks_ns:	when streams were looked at
 */
struct kvl_gpu_mover {
	struct kvlift_mover_ring *ring;
	size_t ring_bytes;
	const struct kvlift_cmd *sq;
	struct kvlift_done *cq;
	uint32_t sq_entries, cq_entries, sq_head, cq_tail;
	struct kvl_gpu_cmd *cmds;
	uint32_t *next;
	struct kvl_gpu_list free, waiting[KVL_GPU_DIRS];
	struct kvl_gpu_flight flight[KVL_GPU_DIRS][KVL_GPU_FLIGHTS];
	unsigned int flown[KVL_GPU_DIRS], begun[KVL_GPU_DIRS];
	uint64_t end_ns[KVL_GPU_DIRS], last_ns, marks_ns;
	struct kvl_gpu_copy batch[KVL_GPU_BATCH_MAX];
};

/* A point in a stream, and the leases that wait for it. */
struct kvl_gpu_mark {
	struct kvl_gpu_list leases;
	uint32_t count;
};

/**
 * struct kvl_gpu_releases - see kvlift_gpu_release_after()
 * @lock:	of all the rest; a leaf
 * @cookies:	of leases
 * @free_leases: how many are in the list @leases_free
 * @active:	marks that streams have not come to yet
 * @waiting:	leases that wait; for a look without the lock
 * @late:	that could not be given back
 */
struct kvl_gpu_releases {
	pthread_mutex_t lock;
	uint64_t *cookies;
	struct kvl_gpu_mark *marks;
	uint32_t *lease_next, *mark_next;
	struct kvl_gpu_list leases_free, marks_free, active;
	uint32_t free_leases;
	atomic_uint waiting;
	atomic_ullong late;
};

/* Whose memory a member is, or NULL; copies from it, taken and not ended. */
struct kvl_gpu_peer {
	const struct kvlift_gpu *from;
	unsigned int copies;
};

/**
 * struct kvl_gpu_peers - from whose memory the mover copies, see
 *			  kvlift_gpu_peer()
 * @lock:	of @of; a leaf
 * @idle:	copies of a member have come to 0
 * @of:		by member
 * @members:	a bit for each that the module knows
 * @is_copier:	in the list of all attachments that copy from others
 * @next:	in it
 *
 * The mutex "relations" of gpu_peer.c is for all attachments: for the list,
 * @members, @is_copier, @next and changes of @of[].from, which need the lock as
 * well. It is held while the module is told and while somebody waits for copies
 * to end; no mover takes it, so they do end. The order is relations, lock.
 *
 * A mover takes a command under its lock: it finds the member's address and
 * counts a copy, or completes the command with -ENODEV. It counts down when the
 * copy has ended. When it ends itself, for whatever reason, it waits for copies
 * on their way and has none any more.
 *
 * An attachment that closes first leaves: whoever copies from it, of the list,
 * tells the module, forgets it, and has no copies of it any more. Then its own
 * mover ends, and only then does it go from the list, so that one from which it
 * copies, and which closes at the same time, finds it and waits. Its
 * backend and its descriptor are closed after that: who is found has both.
 */
struct kvl_gpu_peers {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct kvl_gpu_peer of[KVLIFT_MAX_MEMBERS];
	uint32_t members;
	bool is_copier;
	struct kvlift_gpu *next;
};

/**
 * struct kvlift_gpu
 * @pool:	of the directory: what a member's number is of
 * @forks:	of the process that has it, see kvl_gpu_is_inherited()
 * @member:	number of the member in tier gpu
 * @fd:		the attachment
 * @queue:	of the attachment, for requests
 * @wake:	eventfd: the mover has something to do
 * @gone:	eventfd: the attachment has failed; is set once and not read
 * @failed:	the same
 * @stop:	the threads are to end
 * @ready:	bytes of the window that were given to the module
 * @registered:	of these, registered
 * @register_error: why the registration ended early
 * @errors:	commands completed with an error
 */
struct kvlift_gpu {
	struct kvl_gpu_backend *be;
	dev_t pool;
	unsigned int forks;
	int fd, queue, wake, gone;
	uint32_t kind, depth, member;
	uint64_t slots, window_slots, window_cxl;
	struct kvl_gpu_mover mover;
	struct kvl_gpu_releases rel;
	struct kvl_gpu_peers peers;
	pthread_t mover_thread, window_thread;
	bool has_mover, has_window_thread;
	atomic_bool failed, stop;
	size_t ready;
	atomic_size_t registered;
	atomic_int register_error;
	atomic_ullong errors;
};

/*
 * gpu.c. Attaches on a descriptor, with any backend: kvlift_gpu_attach()
 * without the look at the pool; ends all of it.
 */
int kvl_gpu_open(int dirfd, size_t block, const struct kvlift_gpu_opts *opts,
		 const struct kvl_gpu_ops *ops, struct kvlift_gpu **out);
/* A thread of this name with all signals blocked. 0 or -errno. */
int kvl_gpu_thread(pthread_t *thread, const char *name, void *(*fn)(void *),
		   struct kvlift_gpu *gpu);
/* A child has neither threads nor mappings of what its parent attached. */
bool kvl_gpu_is_inherited(const struct kvlift_gpu *gpu);
/* Or is inherited: there is nothing to talk to. */
bool kvl_gpu_has_failed(const struct kvlift_gpu *gpu);
void kvl_gpu_signal(int eventfd);

/* gpu_mover.c */
int kvl_gpu_mover_open(struct kvlift_gpu *gpu, const struct kvlift_mover *arg);
void kvl_gpu_mover_close(struct kvlift_gpu *gpu);
void *kvl_gpu_mover_run(void *gpu);

/* gpu_peer.c */
void kvl_gpu_peers_forked(void);
void kvl_gpu_peers_init(struct kvlift_gpu *gpu);
void kvl_gpu_peers_destroy(struct kvlift_gpu *gpu);
/*
 * The mover: the source of a command with this arg, 0 or -errno; and its copy
 * has ended. All have: the mover ends.
 */
int kvl_gpu_peer_get(struct kvlift_gpu *gpu, uint64_t arg, uint64_t *source);
void kvl_gpu_peer_put(struct kvlift_gpu *gpu, uint64_t arg);
void kvl_gpu_peers_end(struct kvlift_gpu *gpu);
/* Nobody copies from it any more; it copies from nobody, its mover has ended. */
void kvl_gpu_peers_leave(struct kvlift_gpu *from);
void kvl_gpu_peers_close(struct kvlift_gpu *gpu);

/* gpu_release.c */
int kvl_gpu_releases_open(struct kvlift_gpu *gpu);
void kvl_gpu_releases_close(struct kvlift_gpu *gpu);
/* Gives back what streams have come to: was there something? The mover. */
bool kvl_gpu_releases_reap(struct kvlift_gpu *gpu);

/* gpu_window.c */
int kvl_gpu_window_open(struct kvlift_gpu *gpu, const struct kvlift_mover *arg);
/* The first piece, then a thread for the others if there are any. */
int kvl_gpu_window_ready(struct kvlift_gpu *gpu);
uint64_t kvl_gpu_word_address(struct kvlift_gpu *gpu, uint64_t word);

/* gpu_sys.c: what the kernel does. Tests bring their own. */
int kvl_gpu_sys_ioctl(int fd, unsigned long cmd, void *arg);
int kvl_gpu_sys_map(int fd, size_t bytes, uint64_t offset, void **addr);
void kvl_gpu_sys_unmap(void *addr, size_t bytes);
/*
 * Until @fd or @wake have something, the latter is then cleared, at most so
 * long; negative: for ever.
 */
void kvl_gpu_sys_wait(int fd, int wake, int64_t timeout_ns);

/* Lists of indexes: next[i] is what follows i in the list that it is in. */
static inline struct kvl_gpu_list kvl_gpu_empty(void)
{
	return (struct kvl_gpu_list){ KVL_GPU_NONE, KVL_GPU_NONE };
}

static inline bool kvl_gpu_is_empty(const struct kvl_gpu_list *list)
{
	return list->first == KVL_GPU_NONE;
}

static inline void kvl_gpu_push(struct kvl_gpu_list *list, uint32_t *next,
				uint32_t at)
{
	next[at] = KVL_GPU_NONE;
	if (kvl_gpu_is_empty(list))
		list->first = at;
	else
		next[list->last] = at;
	list->last = at;
}

/* The list is not empty. */
static inline uint32_t kvl_gpu_pop(struct kvl_gpu_list *list,
				   const uint32_t *next)
{
	uint32_t at = list->first;

	list->first = next[at];
	return at;
}

/* All of @from to the end of @list. */
static inline void kvl_gpu_splice(struct kvl_gpu_list *list, uint32_t *next,
				  struct kvl_gpu_list *from)
{
	if (kvl_gpu_is_empty(from))
		return;
	if (kvl_gpu_is_empty(list))
		list->first = from->first;
	else
		next[list->last] = from->first;
	list->last = from->last;
	*from = kvl_gpu_empty();
}

#endif
