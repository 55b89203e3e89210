/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Batches of libkvlift: many operations at once, without waiting for any of
 * them. Included by kvlift.h.
 *
 * The caller submits an array of items, which stays the library's until the
 * batch has its one event; each item then has its own result. Operations on
 * blocks go to a queue of the module, see kvlift_queue_submit(); those on
 * objects, and the rest, are done by threads that kvlift_io_open() starts and
 * kvlift_io_close() ends. They have all signals blocked. Nothing is allocated
 * but in kvlift_io_open(). Items of a batch have no order among each other.
 *
 * One descriptor, an eventfd, is readable while events wait to be read.
 * Everything here is in since 0.1.
 */
#ifndef KVLIFT_IO_H
#define KVLIFT_IO_H

#include <stddef.h>
#include <stdint.h>

#include "kvlift_object.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kvlift_io;
struct kvlift_region;

#define KVLIFT_IO_DEPTH	      64u /* default of kvlift_io_opts.depth */
#define KVLIFT_IO_DEPTH_MAX   4096u
#define KVLIFT_IO_THREADS     2u /* default of kvlift_io_opts.threads */
#define KVLIFT_IO_THREADS_MAX 64u
#define KVLIFT_IO_ITEMS_MAX   65536u /* of a batch */

/**
 * struct kvlift_io_opts - how much goes on at a time
 * @depth:	batches in flight or with an event to be read; 0: the default
 * @threads:	that copy, 0 for the default; one copies some GB/s
 * @reserved:	zero
 */
struct kvlift_io_opts {
	uint32_t depth;
	uint32_t threads;
	uint64_t reserved[3];
};

/* What an item asks for, and the members it uses besides op and flags. */
enum kvlift_item_op {
	KVLIFT_ITEM_PUT = 1,	  /* cache key key_len buf len; KVLIFT_PUT_* */
	KVLIFT_ITEM_GET = 2,	  /* cache key key_len buf len (room) */
	KVLIFT_ITEM_EXISTS = 3,	  /* cache key key_len */
	KVLIFT_ITEM_DELETE = 4,	  /* cache key key_len */
	KVLIFT_ITEM_PREFETCH = 5, /* region first count deadline_ns tier prio */
	KVLIFT_ITEM_ACQUIRE = 6,  /* as before, and lease_ms; gives lease */
	KVLIFT_ITEM_RELEASE = 7,  /* lease */
	KVLIFT_ITEM_DEMOTE = 8,	  /* region first count */
	KVLIFT_ITEM_TOUCH = 9,	  /* region first count */
	KVLIFT_ITEM_SEAL = 10,	  /* region first count */
};

/* Flag of PUT and GET: buf is an array of struct iovec, len how many of them. */
#define KVLIFT_ITEM_IOV (1u << 31)

/**
 * struct kvlift_item - one operation of a batch
 * @op:		enum kvlift_item_op
 * @flags:	of the operation, KVLIFT_ITEM_IOV, else 0
 * @cache:	directory of the object
 * @key:	its key, see kvlift_put()
 * @key_len:	bytes of @key
 * @buf:	content, or where it is to go
 * @len:	bytes of the content, or room for it
 * @region:	region of the blocks
 * @first:	first block
 * @count:	blocks; for PREFETCH and ACQUIRE at most KVLIFT_REQ_MAX_BLOCKS
 * @deadline_ns: see struct kvlift_req, as the next three
 * @tier:	slowest tier that will do, 0 for any memory
 * @prio:	KVLIFT_PRIO_*
 * @lease_ms:	longest time of the lease
 * @lease:	out, of ACQUIRE: names the lease; in, of RELEASE: which
 * @res:	out: 0, or a negative errno; of PUT 1: the key was there; of
 *		EXISTS 1 or 0
 * @done:	out: bytes (PUT, GET) or blocks
 * @reserved:	zero
 *
 * Errors are those of the function for the operation, of PREFETCH and ACQUIRE
 * those of struct kvlift_event, of RELEASE those of kvlift_queue_release().
 * -ECANCELED: the batch was cancelled before; -EAGAIN of blocks: the module's
 * queue is full. A lease ends by a RELEASE, after lease_ms, or with
 * kvlift_io_close(); one batch cannot both get it and give it back.
 *
 * What it points to stays as it is until the batch's event, too.
 */
struct kvlift_item {
	uint32_t op;
	uint32_t flags;
	const struct kvlift_cache *cache;
	const void *key;
	size_t key_len;
	void *buf;
	size_t len;
	const struct kvlift_region *region;
	uint64_t first;
	uint64_t count;
	uint64_t deadline_ns;
	uint32_t tier;
	uint32_t prio;
	uint32_t lease_ms;
	int32_t res;
	uint64_t lease;
	uint64_t done;
	uint64_t reserved[3];
};

/**
 * struct kvlift_io_event - a batch has ended
 * @user:	what was given with it
 * @items:	how many it had
 * @failed:	of these, those with a negative res
 * @bytes:	that were put or got
 * @ns:		from submission to the end of the last item
 */
struct kvlift_io_event {
	uint64_t user;
	uint32_t items;
	uint32_t failed;
	uint64_t bytes;
	uint64_t ns;
};

/**
 * kvlift_io_open() - make ready for batches
 * @pool:	the pool; may be closed before
 * @opts:	NULL for defaults
 * @io:		out: the handle; usable by several threads at once
 *
 * Return: 0; -EINVAL: more than the maximum; -EOPNOTSUPP: the module has no
 * queues; -ENOMEM, -EMFILE, -EAGAIN: no thread could be made.
 */
int kvlift_io_open(const struct kvlift_pool *pool,
		   const struct kvlift_io_opts *opts, struct kvlift_io **io);

/**
 * kvlift_io_close() - end all of it; NULL is allowed
 * @io:		the handle, invalid afterwards
 *
 * Waits, as kvlift_io_drain() for ever, until all that was submitted has ended,
 * so that no copy is cut off in a caller's buffer and no put is lost; who does
 * not want to wait cancels first. Then ends the threads and all leases. Events
 * that were not read are lost, the results of items are not.
 */
void kvlift_io_close(struct kvlift_io *io);

/**
 * kvlift_io_submit() - begin a batch
 * @io:		the handle
 * @items:	what to do; the library's until the event
 * @nr:		how many, 1 to KVLIFT_IO_ITEMS_MAX
 * @user:	given back in the event
 *
 * Never waits for an operation. A batch has exactly one event, and may have it
 * before this returns.
 *
 * Return: 0; -EINVAL: a bad operation, flag, key or count, or reserved is not
 * zero, nothing was begun;
 * -EAGAIN: as many batches as the depth allows, read events first.
 */
int kvlift_io_submit(struct kvlift_io *io, struct kvlift_item *items,
		     unsigned int nr, uint64_t user);

/**
 * kvlift_io_fd() - the descriptor to poll for reading
 * @io:		the handle, which keeps owning the descriptor; not to be read
 */
int kvlift_io_fd(const struct kvlift_io *io);

/**
 * kvlift_io_poll() - take events
 * @io:		the handle
 * @events:	out
 * @max:	room in @events
 *
 * Never waits.
 *
 * Return: number of events, 0 for none; or a negative errno.
 */
int kvlift_io_poll(struct kvlift_io *io, struct kvlift_io_event *events,
		   unsigned int max);

/**
 * kvlift_io_wait() - take events, wait for one if there is none
 * @io:		the handle
 * @events:	out
 * @max:	room in @events
 * @timeout_ms:	0: as kvlift_io_poll(); negative: for ever
 *
 * Return: number of events; 0: the time is over; -EINTR; or another negative
 * errno.
 */
int kvlift_io_wait(struct kvlift_io *io, struct kvlift_io_event *events,
		   unsigned int max, int timeout_ms);

/**
 * kvlift_io_drain() - wait until all has ended that was submitted before
 * @io:		the handle
 * @timeout_ms:	negative: for ever
 *
 * The events stay to be read. What others submit meanwhile is not waited for.
 *
 * Return: 0; -ETIME: the time is over; -EINTR.
 */
int kvlift_io_drain(struct kvlift_io *io, int timeout_ms);

/**
 * kvlift_io_cancel() - end batches before their time
 * @io:		the handle
 * @user:	of the batches
 *
 * Items that have not begun end with -ECANCELED; what has begun ends as it
 * would have. The event comes all the same.
 *
 * Return: number of batches in flight that were found; -ENOENT: none.
 */
int kvlift_io_cancel(struct kvlift_io *io, uint64_t user);

#ifdef __cplusplus
}
#endif
#endif /* KVLIFT_IO_H */
