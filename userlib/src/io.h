/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What io.c, batches and threads, and io_item.c, their items, share. */
#ifndef KVLIFT_SRC_IO_H
#define KVLIFT_SRC_IO_H

#include <pthread.h>
#include <stdbool.h>

#include "kvlift.h"

/* Who drains looks again after this while the module is at work as well. */
#define KVL_IO_SLICE_MS 10

/**
 * struct kvl_batch - see kvlift_io_submit(); under the lock of its kvlift_io
 * @next:	in a list
 * @looked:	items that threads have looked at
 * @waiting:	items that are for a thread and that none has taken; it is in
 *the list of work as long as there are any
 * @left:	items that have not ended; one more while it is being submitted
 * @gen:	how many batches this has been
 * @serial:	how many had been submitted with it
 */
struct kvl_batch {
	struct kvl_batch *next;
	struct kvlift_item *items;
	unsigned int nr, looked, waiting, left, failed;
	bool is_active, is_cancelled;
	uint64_t user, bytes, start_ns, ns, gen, serial;
};

struct kvl_batches {
	struct kvl_batch *first, *last;
};

/**
 * struct kvlift_io
 * @free:	batches that are not used
 * @work:	those with items that no thread has taken yet
 * @done:	those whose event is to be read
 * @submitted:	batches so far
 * @asked:	requests that the module has and whose events were not read
 * @more:	threads wait for @work
 * @ended:	a batch has
 */
struct kvlift_io {
	pthread_mutex_t lock;
	struct kvl_batch *batches;
	unsigned int depth, asked;
	struct kvl_batches free, work, done;
	pthread_cond_t more, ended;
	uint64_t submitted;
	pthread_t *threads;
	unsigned int nr_threads;
	bool closing;
	int queue, eventfd;
};

uint64_t kvl_now_ns(void);

/* Needs the lock: so many of its items, or its submission, have ended. */
void kvl_io_ended(struct kvlift_io *io, struct kvl_batch *b, unsigned int n);
void kvl_io_end_item(struct kvlift_io *io, struct kvl_batch *b,
		     struct kvlift_item *item);

/* io_item.c */
int kvl_item_check(struct kvlift_item *item);
/* Is it done by a thread, and not by the module? */
bool kvl_item_is_ours(const struct kvlift_item *item);
void kvl_item_do(struct kvlift_item *item);
/* Submits the others to the module, or ends them. Without the lock. */
void kvl_io_ask(struct kvlift_io *io, struct kvl_batch *b);
/* Takes the module's events. 0 or -errno; without the lock. */
int kvl_io_reap(struct kvlift_io *io);
/* Needs the lock. */
void kvl_io_cancel_asks(struct kvlift_io *io, struct kvl_batch *b);

#endif
