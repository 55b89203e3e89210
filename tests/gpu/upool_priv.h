/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of the pool in user space share: one lock for all of it. */
#ifndef KVT_UPOOL_PRIV_H
#define KVT_UPOOL_PRIV_H

#include <pthread.h>

#include "../../userlib/src/internal.h"
#include "upool.h"

#define UP_REGIONS  8u
#define UP_WORKERS  16u
#define UP_REQUESTS 4096u /* outstanding, cookies of any kind */
#define UP_NONE	    UINT32_MAX
/* Blocks that a worker takes at a time have this many bytes. */
#define UP_JOB_BYTES (2ull << 20)
#define UP_JOB_MAX   32u

/* Valid copies of a block beside the one in the GPU. */
#define UP_MEM	UPOOL_DRAM
#define UP_WIN	UPOOL_WINDOW
#define UP_FILE UPOOL_FILE

struct up_request;

/**
 * struct up_block
 * @copies:	UP_*, 0: a hole, or only the GPU has it
 * @window:	slot of the window that holds a copy, or the way to or from the
 * GPU
 * @gpu:	slot of the GPU, or UP_NONE
 * @leases:	of all requests
 * @moving:	nobody else may touch it
 * @lost:	only the GPU had it when the attachment ended
 * @req:	who is told when it is there
 * @prev:	of those in the GPU that nobody leases, the next to leave first
 */
struct up_block {
	uint32_t window, gpu, prev, next;
	uint16_t leases;
	uint8_t copies;
	bool moving, listed, lost;
	struct up_request *req;
};

enum up_state {
	UP_FREE,
	UP_WAITING,
	UP_LEASED, /* it has ended, and holds leases */
	UP_DONE,   /* ... and holds none: until its event was read */
};

/**
 * struct up_request
 * @start:	first block, of all blocks of the pool
 * @left:	blocks that are not there yet; one more while it is looked at
 * @has:	blocks that it has leased
 * @told:	its event was read
 */
struct up_request {
	enum up_state state;
	struct kvlift_req req;
	uint64_t start, left, ns, blocks;
	uint8_t *has;
	int32_t error;
	bool told;
};

/* What a worker does. */
enum up_what {
	UP_FILL,  /* to the window, from memory or the file, then to the GPU */
	UP_STAY,  /* to the window */
	UP_STORE, /* from the window to memory: it has left the GPU */
};

struct up_job {
	struct up_job *next;
	enum up_what what;
	uint32_t nr;
	uint32_t block[UP_JOB_MAX];
};

/* A command in flight; @block UP_NONE: of upool_copies(). */
struct up_tag {
	uint32_t op, block, seq;
	bool used;
};

struct upool {
	pthread_mutex_t lock;
	pthread_cond_t changed, work;
	/* The pool. */
	size_t block;
	uint64_t nr;
	char *memory;
	int file;
	bool direct;
	struct up_block *blocks;
	struct {
		char name[64];
		uint64_t first, count;
		unsigned int users;
	} region[UP_REGIONS];
	uint64_t given; /* blocks of regions */
	/* The attachment. */
	bool attached, stop;
	struct kvlift_mover_ring *ring;
	size_t ring_bytes;
	char *window;
	uint32_t generation, depth, inflight, state;
	struct up_tag *tags;
	uint32_t *free_tags, nr_free_tags;
	uint32_t *free_window, nr_free_window, window_slots, window_ready;
	uint32_t *window_owner;
	uint32_t *free_gpu, nr_free_gpu, gpu_slots;
	uint32_t lru_first, lru_last;
	uint64_t in, out, failed, ignored, lost;
	bool sent; /* commands since the last kick */
	int kick, queue;
	uint64_t raw_left;
	int raw_error;
	/* Requests, in the order in which they came. */
	struct up_request requests[UP_REQUESTS];
	uint32_t fifo[UP_REQUESTS], fifo_head, fifo_tail;
	uint32_t events[UP_REQUESTS], events_head, events_tail;
	struct up_job *job; /* that is being filled */
	struct up_job *jobs, **jobs_last;
	pthread_t threads[UP_WORKERS + 1];
	unsigned int nr_threads;
};

extern struct upool up;

/* upool_move.c; with the lock. */
/* Gives the lock up; first whatever is kept back is sent. */
void up_wait(void);
void up_kick(void);
/* Sends a command; gives the lock up until one more may be in flight. */
void up_command(uint32_t op, uint32_t window, uint32_t slot, uint32_t block);
void up_take_completions(void);
/* Out of the list of those that may leave the GPU; into it, at the end. */
void up_unlist(uint32_t b);
void up_list(uint32_t b);
/* The block has no slot there any more. */
void up_put_window(struct up_block *k);
void up_put_gpu(struct up_block *k);
/* A slot, for which blocks leave if need be: it may take a while. */
uint32_t up_get_window(void);
uint32_t up_get_gpu(void);
void up_add_job(enum up_what what, uint32_t b);
void up_send_job(void);
/* Begins to bring it out of the GPU; it is not leased and not moving. */
void up_leave(uint32_t b);

/* upool_request.c */
void *up_kernel(void *arg);
void *up_worker(void *arg);
int up_read_file(uint32_t b, void *to);
/* A block of a request is there, and leased if it is to be, or will never be. */
void up_settle(uint32_t b, int error);
/* Ends the leases of a request. */
void up_unlease(struct up_request *r);

/* upool.c */
void up_detach(void);

/* upool_source.c: the second attachment. */
int up_source_attach(struct kvlift_mover *arg);
bool up_is_source(int fd);
int up_source_ioctl(unsigned long cmd, void *arg);
void *up_source_map(bool window);
bool up_source_unmap(void *addr, size_t bytes);

#endif
