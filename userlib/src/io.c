// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Batches of operations; see kvlift_io.h.
 *
 * A batch is free, then active until its last item has ended, then in the list
 * of those whose event is to be read. One mutex for all of it: it is held to
 * take an item or to end one, never over an operation.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "io.h"

static void push(struct kvl_batches *list, struct kvl_batch *b)
{
	b->next = NULL;
	if (list->last)
		list->last->next = b;
	else
		list->first = b;
	list->last = b;
}

static struct kvl_batch *pop(struct kvl_batches *list)
{
	struct kvl_batch *b = list->first;

	if (b) {
		list->first = b->next;
		if (!list->first)
			list->last = NULL;
	}
	return b;
}

static void signal_event(struct kvlift_io *io)
{
	const uint64_t one = 1;
	ssize_t n;

	/* Only a counter that is full refuses: then it is readable. */
	n = write(io->eventfd, &one, sizeof(one));
	(void)n;
}

void kvl_io_ended(struct kvlift_io *io, struct kvl_batch *b, unsigned int n)
{
	b->left -= n;
	if (b->left)
		return;
	b->ns = kvl_now_ns() - b->start_ns;
	b->is_active = false;
	push(&io->done, b);
	signal_event(io);
	pthread_cond_broadcast(&io->ended);
}

void kvl_io_end_item(struct kvlift_io *io, struct kvl_batch *b,
		     struct kvlift_item *item)
{
	if (item->res < 0)
		b->failed++;
	else if (item->op == KVLIFT_ITEM_PUT || item->op == KVLIFT_ITEM_GET)
		b->bytes += item->done;
	kvl_io_ended(io, b, 1);
}

/* The next item for a thread, or NULL. Needs the lock. */
static struct kvlift_item *take(struct kvlift_io *io, struct kvl_batch **batch)
{
	struct kvl_batch *b = io->work.first;
	struct kvlift_item *item;

	if (!b)
		return NULL;
	do
		item = &b->items[b->looked++];
	while (!kvl_item_is_ours(item));
	/* From here on it may end, and be in another list. */
	if (!--b->waiting)
		pop(&io->work);
	*batch = b;
	return item;
}

static void *work(void *arg)
{
	struct kvlift_io *io = arg;
	struct kvlift_item *item;
	struct kvl_batch *b;
	bool cancelled;

	pthread_mutex_lock(&io->lock);
	for (;;) {
		item = take(io, &b);
		if (!item) {
			if (io->closing)
				break;
			pthread_cond_wait(&io->more, &io->lock);
			continue;
		}
		cancelled = io->closing || b->is_cancelled;
		pthread_mutex_unlock(&io->lock);
		if (cancelled)
			item->res = -ECANCELED;
		else
			kvl_item_do(item);
		pthread_mutex_lock(&io->lock);
		kvl_io_end_item(io, b, item);
	}
	pthread_mutex_unlock(&io->lock);
	return NULL;
}

static int start_threads(struct kvlift_io *io, unsigned int nr)
{
	sigset_t all, old;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (io->nr_threads < nr && !ret) {
		ret = pthread_create(&io->threads[io->nr_threads], NULL, work,
				     io);
		if (!ret)
			pthread_setname_np(io->threads[io->nr_threads++],
					   "kvlift-io");
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

static void stop_threads(struct kvlift_io *io)
{
	pthread_mutex_lock(&io->lock);
	io->closing = true;
	pthread_cond_broadcast(&io->more);
	pthread_mutex_unlock(&io->lock);
	while (io->nr_threads)
		pthread_join(io->threads[--io->nr_threads], NULL);
}

static void free_io(struct kvlift_io *io)
{
	if (io->queue >= 0)
		close(io->queue);
	if (io->eventfd >= 0)
		close(io->eventfd);
	pthread_cond_destroy(&io->more);
	pthread_cond_destroy(&io->ended);
	pthread_mutex_destroy(&io->lock);
	free(io->threads);
	free(io->batches);
	free(io);
}

static int open_queue(struct kvlift_io *io, const struct kvlift_pool *pool)
{
	int flags;

	io->queue = kvlift_queue_open(pool);
	if (io->queue < 0)
		return io->queue;
	io->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io->eventfd < 0)
		return -errno;
	flags = fcntl(io->queue, F_GETFL);
	if (flags < 0 || fcntl(io->queue, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return kvlift_queue_eventfd(io->queue, io->eventfd);
}

/* Times are told by the clock that nobody sets. */
static void init_locks(struct kvlift_io *io)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->more, NULL);
	pthread_cond_init(&io->ended, &attr);
	pthread_condattr_destroy(&attr);
}

int kvlift_io_open(const struct kvlift_pool *pool,
		   const struct kvlift_io_opts *opts, struct kvlift_io **out)
{
	unsigned int depth = opts && opts->depth ? opts->depth
						 : KVLIFT_IO_DEPTH;
	unsigned int threads = opts && opts->threads ? opts->threads
						     : KVLIFT_IO_THREADS;
	int saved = errno, ret = 0;
	struct kvlift_io *io;

	if (depth > KVLIFT_IO_DEPTH_MAX || threads > KVLIFT_IO_THREADS_MAX ||
	    (opts &&
	     (opts->reserved[0] | opts->reserved[1] | opts->reserved[2])))
		return -EINVAL;
	io = calloc(1, sizeof(*io));
	if (!io)
		return -ENOMEM;
	io->queue = io->eventfd = -1;
	io->depth = depth;
	init_locks(io);
	io->batches = calloc(depth, sizeof(*io->batches));
	io->threads = calloc(threads, sizeof(*io->threads));
	if (!io->batches || !io->threads)
		ret = -ENOMEM;
	while (!ret && depth)
		push(&io->free, &io->batches[--depth]);
	if (!ret)
		ret = open_queue(io, pool);
	if (!ret)
		ret = start_threads(io, threads);
	if (ret) {
		stop_threads(io);
		free_io(io);
	} else {
		*out = io;
	}
	errno = saved;
	return ret;
}

void kvlift_io_close(struct kvlift_io *io)
{
	if (!io)
		return;
	/* Should the module fail, the threads still end what is theirs. */
	while (kvlift_io_drain(io, -1) == -EINTR)
		;
	stop_threads(io);
	free_io(io);
}

int kvlift_io_submit(struct kvlift_io *io, struct kvlift_item *items,
		     unsigned int nr, uint64_t user)
{
	unsigned int i, ours = 0, asks = 0;
	struct kvl_batch *b;
	int ret;

	if (!items || !nr || nr > KVLIFT_IO_ITEMS_MAX)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		ret = kvl_item_check(&items[i]);
		if (ret)
			return ret;
		ours += kvl_item_is_ours(&items[i]);
	}
	asks = nr - ours;
	pthread_mutex_lock(&io->lock);
	b = pop(&io->free);
	if (!b) {
		pthread_mutex_unlock(&io->lock);
		return -EAGAIN;
	}
	b->items = items;
	b->nr = nr;
	b->looked = b->failed = 0;
	b->waiting = ours;
	b->bytes = 0;
	b->user = user;
	b->gen++;
	b->serial = ++io->submitted;
	b->start_ns = kvl_now_ns();
	b->is_active = true;
	b->is_cancelled = false;
	/* It does not end before all of it has been handed out. */
	b->left = nr + 1;
	if (ours) {
		push(&io->work, b);
		if (ours > 1)
			pthread_cond_broadcast(&io->more);
		else
			pthread_cond_signal(&io->more);
	}
	pthread_mutex_unlock(&io->lock);
	if (asks)
		kvl_io_ask(io, b);
	pthread_mutex_lock(&io->lock);
	kvl_io_ended(io, b, 1);
	pthread_mutex_unlock(&io->lock);
	return 0;
}

int kvlift_io_fd(const struct kvlift_io *io)
{
	return io->eventfd;
}

int kvlift_io_poll(struct kvlift_io *io, struct kvlift_io_event *events,
		   unsigned int max)
{
	int saved = errno, ret;
	struct kvl_batch *b;
	unsigned int n = 0;
	uint64_t count;

	/* Before looking: whatever ends from here on sets it again. */
	if (read(io->eventfd, &count, sizeof(count)) < 0)
		errno = saved;
	ret = kvl_io_reap(io);
	pthread_mutex_lock(&io->lock);
	while (n < max && (b = pop(&io->done))) {
		events[n++] = (struct kvlift_io_event){
			.user = b->user,
			.items = b->nr,
			.failed = b->failed,
			.bytes = b->bytes,
			.ns = b->ns,
		};
		push(&io->free, b);
	}
	if (io->done.first)
		signal_event(io);
	pthread_mutex_unlock(&io->lock);
	errno = saved;
	return n ? (int)n : ret;
}

/* What is left of a time, in ms, at least one; -1 for ever. */
static int left_ms(uint64_t start_ns, int timeout_ms)
{
	uint64_t gone = (kvl_now_ns() - start_ns) / 1000000;

	if (timeout_ms < 0)
		return -1;
	return gone >= (uint64_t)timeout_ms ? 0 : timeout_ms - (int)gone;
}

int kvlift_io_wait(struct kvlift_io *io, struct kvlift_io_event *events,
		   unsigned int max, int timeout_ms)
{
	struct pollfd p = { .fd = io->eventfd, .events = POLLIN };
	uint64_t start = kvl_now_ns();
	int saved = errno, ret, ms;

	for (;;) {
		ret = kvlift_io_poll(io, events, max);
		ms = left_ms(start, timeout_ms);
		if (ret || !max || !ms)
			break;
		if (poll(&p, 1, ms) < 0) {
			ret = -errno;
			break;
		}
	}
	errno = saved;
	return ret;
}

/* Until a batch may have ended; at most so long. 0 or -EINTR. */
static int wait_ended(struct kvlift_io *io, int ms)
{
	struct pollfd p = { .fd = io->queue, .events = POLLIN };
	struct timespec t;
	int ret = 0;

	/* Those of the module nobody counts but who reads them. */
	if (ms < 0 || ms > KVL_IO_SLICE_MS)
		ms = KVL_IO_SLICE_MS;
	if (io->asked) {
		pthread_mutex_unlock(&io->lock);
		if (poll(&p, 1, ms) < 0)
			ret = -errno;
		pthread_mutex_lock(&io->lock);
		return ret;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms * 1000000L;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_cond_timedwait(&io->ended, &io->lock, &t);
	return 0;
}

/* Has all ended that was submitted by then? Needs the lock. */
static bool is_drained(const struct kvlift_io *io, uint64_t serial)
{
	unsigned int i;

	for (i = 0; i < io->depth; i++)
		if (io->batches[i].is_active && io->batches[i].serial <= serial)
			return false;
	return true;
}

int kvlift_io_drain(struct kvlift_io *io, int timeout_ms)
{
	uint64_t start = kvl_now_ns(), serial;
	int saved = errno, ret, ms;

	pthread_mutex_lock(&io->lock);
	serial = io->submitted;
	for (;;) {
		pthread_mutex_unlock(&io->lock);
		ret = kvl_io_reap(io);
		pthread_mutex_lock(&io->lock);
		if (ret || is_drained(io, serial))
			break;
		ms = left_ms(start, timeout_ms);
		ret = ms ? wait_ended(io, ms) : -ETIME;
		if (ret)
			break;
	}
	pthread_mutex_unlock(&io->lock);
	errno = saved;
	return ret;
}

int kvlift_io_cancel(struct kvlift_io *io, uint64_t user)
{
	unsigned int i, n = 0;

	pthread_mutex_lock(&io->lock);
	for (i = 0; i < io->depth; i++) {
		struct kvl_batch *b = &io->batches[i];

		if (!b->is_active || b->user != user)
			continue;
		n++;
		b->is_cancelled = true;
		kvl_io_cancel_asks(io, b);
	}
	pthread_mutex_unlock(&io->lock);
	return n ? (int)n : -ENOENT;
}
