// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Batches from many threads, without a module: each has one event, none ends
 * before its items have, and closing cuts nothing off. Built a second time for
 * the thread sanitizer. What a module does with requests, and what the file
 * system does with objects, is replaced by something that takes its time; the
 * real ones are in tests/guest/42-objects.sh.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kvlift.h"
#include "unit.h"

#define ROOM 64u /* requests and events that the queue has room for */

/* As in the library: only the features are looked at. */
struct kvlift_pool {
	int fd;
	uint32_t block_size;
	uint64_t features;
};

struct kvlift_region {
	int fd;
	uint32_t block_size;
	uint64_t features;
};

static struct kvlift_pool pool;
static struct kvlift_region region = { .fd = -1 };
static const struct kvlift_cache *const cache = (void *)&pool;

static void pause_us(unsigned int us)
{
	struct timespec t = { 0, us * 1000L };

	nanosleep(&t, NULL);
}

/* The queue: requests wait, a thread ends them, newest first. */
static struct {
	pthread_mutex_t lock;
	struct kvlift_req wait[ROOM];
	struct kvlift_event event[ROOM];
	unsigned int waiting, events;
	int fd, eventfd;
	bool stop;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER };

int kvlift_queue_open(const struct kvlift_pool *p)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	pthread_mutex_lock(&queue.lock);
	queue.eventfd = -1;
	queue.waiting = queue.events = 0;
	queue.fd = fd;
	pthread_mutex_unlock(&queue.lock);
	return fd;
}

int kvlift_queue_eventfd(int fd, int efd)
{
	pthread_mutex_lock(&queue.lock);
	queue.eventfd = efd;
	pthread_mutex_unlock(&queue.lock);
	return 0;
}

static void count_up(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void end_request(unsigned int i, int res)
{
	queue.event[queue.events++] = (struct kvlift_event){
		.cookie = queue.wait[i].cookie,
		.res = res,
		.blocks = res ? 0 : queue.wait[i].count,
	};
	queue.wait[i] = queue.wait[--queue.waiting];
	count_up(queue.fd);
	count_up(queue.eventfd);
}

static void *module(void *arg)
{
	for (;;) {
		pause_us(200);
		pthread_mutex_lock(&queue.lock);
		if (queue.stop)
			break;
		while (queue.waiting && queue.events < ROOM)
			end_request(queue.waiting - 1, 0);
		pthread_mutex_unlock(&queue.lock);
	}
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

int kvlift_queue_submit(int fd, const struct kvlift_req *reqs,
			unsigned int count)
{
	unsigned int n = 0;

	pthread_mutex_lock(&queue.lock);
	while (n < count && queue.waiting + queue.events < ROOM)
		queue.wait[queue.waiting++] = reqs[n++];
	pthread_mutex_unlock(&queue.lock);
	return n ? (int)n : -EAGAIN;
}

int kvlift_queue_read(int fd, struct kvlift_event *events, unsigned int count)
{
	unsigned int n = 0;
	uint64_t value;

	pthread_mutex_lock(&queue.lock);
	while (n < count && queue.events)
		events[n++] = queue.event[--queue.events];
	if (n && !queue.events && read(fd, &value, sizeof(value)) < 0)
		abort();
	pthread_mutex_unlock(&queue.lock);
	return n ? (int)n : -EAGAIN;
}

int kvlift_queue_cancel(int fd, uint64_t cookie)
{
	unsigned int i;
	int ret = -ENOENT;

	pthread_mutex_lock(&queue.lock);
	for (i = 0; i < queue.waiting && ret; i++)
		if (queue.wait[i].cookie == cookie) {
			end_request(i, -ECANCELED);
			ret = 0;
		}
	pthread_mutex_unlock(&queue.lock);
	return ret;
}

int kvlift_queue_release(int fd, uint64_t cookie)
{
	return -ENOENT;
}

/* Objects: all bytes of one are the first one of its key. */
static unsigned int slow_us;

ssize_t kvlift_getv(const struct kvlift_cache *c, const void *key,
		    size_t key_len, const struct iovec *iov, int nr)
{
	char *buf = iov->iov_base;
	size_t i;

	for (i = 0; i < iov->iov_len; i++) {
		buf[i] = *(const char *)key;
		if (i == iov->iov_len / 2)
			pause_us(slow_us);
	}
	return (ssize_t)iov->iov_len;
}

int kvlift_putv(const struct kvlift_cache *c, const void *key, size_t key_len,
		const struct iovec *iov, int nr, unsigned int flags)
{
	return *(const char *)key == 'f' ? -EAGAIN : 0;
}

int kvlift_exists(const struct kvlift_cache *c, const void *key, size_t key_len)
{
	return 1;
}

int kvlift_delete(const struct kvlift_cache *c, const void *key, size_t key_len)
{
	return -ENOENT;
}

/* A batch and its buffers. */
#define ITEMS 24
#define BYTES 100
struct batch {
	struct kvlift_item item[ITEMS];
	char buf[ITEMS][BYTES];
	unsigned int events;
};

static const char key[] = "abcdefghijklmnopqrstuvwxyz";

static void make(struct batch *b)
{
	static const uint32_t ops[] = {
		KVLIFT_ITEM_GET,    KVLIFT_ITEM_PREFETCH, KVLIFT_ITEM_EXISTS,
		KVLIFT_ITEM_DELETE, KVLIFT_ITEM_RELEASE,  KVLIFT_ITEM_ACQUIRE,
		KVLIFT_ITEM_PUT,    KVLIFT_ITEM_GET,
	};
	unsigned int i;

	memset(b, 0, sizeof(*b));
	for (i = 0; i < ITEMS; i++)
		b->item[i] = (struct kvlift_item){
			.op = ops[i % 8],
			.cache = cache,
			.key = key + i,
			.key_len = 1,
			.buf = b->buf[i],
			.len = BYTES,
			.region = &region,
			.count = 3,
			.lease_ms = 1,
			.lease = 1,
		};
}

/* All of it has ended as it should; how many items failed. */
static unsigned int check(const struct batch *b, bool cancelled)
{
	unsigned int i, n, failed = 0;

	for (i = 0; i < ITEMS; i++) {
		const struct kvlift_item *item = &b->item[i];

		failed += item->res < 0;
		if (cancelled && item->res == -ECANCELED)
			continue;
		switch (item->op) {
		case KVLIFT_ITEM_GET:
			CHECK_EQ(item->res, 0);
			CHECK_EQ(item->done, BYTES);
			for (n = 0; n < BYTES; n++)
				CHECK(b->buf[i][n] == key[i]);
			break;
		case KVLIFT_ITEM_EXISTS:
			CHECK_EQ(item->res, 1);
			break;
		case KVLIFT_ITEM_DELETE:
		case KVLIFT_ITEM_RELEASE:
			CHECK_EQ(item->res, -ENOENT);
			break;
		case KVLIFT_ITEM_PUT:
			CHECK_EQ(item->res, 0);
			break;
		default:
			/* The queue may have been full. */
			CHECK(item->res == -EAGAIN ||
			      (!item->res && item->done == 3));
		}
	}
	return failed;
}

#define SUBMITTERS 4
#define EACH	   60
static struct batch all[SUBMITTERS * EACH];
static unsigned int taken, wrong;
static struct kvlift_io *shared;

static void *submitter(void *arg)
{
	unsigned int i, first = *(unsigned int *)arg * EACH;

	for (i = first; i < first + EACH; i++) {
		make(&all[i]);
		while (kvlift_io_submit(shared, all[i].item, ITEMS, i) ==
		       -EAGAIN)
			pause_us(50);
	}
	return NULL;
}

static void *collector(void *arg)
{
	struct pollfd p = { .fd = kvlift_io_fd(shared), .events = POLLIN };
	struct kvlift_io_event e[3];
	int n, i;

	while (__atomic_load_n(&taken, __ATOMIC_RELAXED) < SUBMITTERS * EACH) {
		if (arg) {
			n = kvlift_io_wait(shared, e, 3, 5);
		} else {
			poll(&p, 1, 5);
			n = kvlift_io_poll(shared, e, 3);
		}
		for (i = 0; i < n; i++) {
			struct batch *b = &all[e[i].user];

			b->events++;
			if (e[i].items != ITEMS ||
			    check(b, false) != e[i].failed)
				__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
			__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
		}
		if (n < 0)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void many_threads(void)
{
	const struct kvlift_io_opts opts = { .depth = 7, .threads = 3 };
	unsigned int i, who[SUBMITTERS];
	struct kvlift_io_event e;
	pthread_t t[SUBMITTERS + 2];

	slow_us = 20;
	CHECK_EQ(kvlift_io_open(&pool, &opts, &shared), 0);
	for (i = 0; i < SUBMITTERS; i++) {
		who[i] = i;
		pthread_create(&t[i], NULL, submitter, &who[i]);
	}
	pthread_create(&t[i], NULL, collector, NULL);
	pthread_create(&t[i + 1], NULL, collector, &pool);
	for (i = 0; i < SUBMITTERS + 2; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(wrong, 0);
	for (i = 0; i < SUBMITTERS * EACH; i++)
		CHECK_EQ(all[i].events, 1);
	CHECK_EQ(kvlift_io_poll(shared, &e, 1), 0);
	CHECK_EQ(kvlift_io_drain(shared, 0), 0);
	kvlift_io_close(shared);
}

static void drained(void)
{
	struct kvlift_io_event e[4];
	struct kvlift_io *io;
	unsigned int i;

	slow_us = 3000;
	CHECK_EQ(kvlift_io_open(&pool, NULL, &io), 0);
	for (i = 0; i < 3; i++) {
		make(&all[i]);
		CHECK_EQ(kvlift_io_submit(io, all[i].item, ITEMS, i), 0);
	}
	CHECK_EQ(kvlift_io_drain(io, 0), -ETIME);
	CHECK_EQ(kvlift_io_drain(io, 1), -ETIME);
	CHECK_EQ(kvlift_io_drain(io, 60000), 0);
	for (i = 0; i < 3; i++)
		check(&all[i], false);
	CHECK_EQ(kvlift_io_poll(io, e, 2), 2);
	CHECK_EQ(kvlift_io_wait(io, e, 2, 0), 1);
	CHECK_EQ(kvlift_io_wait(io, e, 2, 1), 0);
	kvlift_io_close(io);
}

static bool enough;

/* Has two batches in flight all the time, or nearly. */
static void *busy(void *arg)
{
	struct kvlift_io *io = arg;
	struct kvlift_io_event e;
	unsigned int i;

	for (i = 1; i < 3; i++) {
		make(&all[i]);
		kvlift_io_submit(io, all[i].item, ITEMS, i);
	}
	while (kvlift_io_wait(io, &e, 1, 60000) == 1) {
		if (__atomic_load_n(&enough, __ATOMIC_RELAXED))
			break;
		make(&all[e.user]);
		kvlift_io_submit(io, all[e.user].item, ITEMS, e.user);
	}
	return NULL;
}

/* What others submit meanwhile is not waited for. */
static void drained_beside_others(void)
{
	struct kvlift_io *io;
	unsigned int i;
	pthread_t t;

	slow_us = 500;
	CHECK_EQ(kvlift_io_open(&pool, NULL, &io), 0);
	pthread_create(&t, NULL, busy, io);
	for (i = 0; i < 10; i++)
		CHECK_EQ(kvlift_io_drain(io, 10000), 0);
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	kvlift_io_close(io);
}

static void closed(void)
{
	struct kvlift_io *io;
	unsigned int i;

	slow_us = 3000;
	CHECK_EQ(kvlift_io_open(&pool, NULL, &io), 0);
	for (i = 0; i < 3; i++) {
		make(&all[i]);
		CHECK_EQ(kvlift_io_submit(io, all[i].item, ITEMS, i), 0);
	}
	kvlift_io_close(io);
	for (i = 0; i < 3; i++)
		check(&all[i], false);
}

static void cancelled(void)
{
	const struct kvlift_io_opts opts = { .threads = 1 };
	unsigned int i, n = 0, failed[3];
	struct kvlift_io_event e[4];
	struct kvlift_io *io;

	slow_us = 2000;
	CHECK_EQ(kvlift_io_open(&pool, &opts, &io), 0);
	for (i = 0; i < 3; i++) {
		make(&all[i]);
		CHECK_EQ(kvlift_io_submit(io, all[i].item, ITEMS, 7), 0);
	}
	CHECK_EQ(kvlift_io_cancel(io, 8), -ENOENT);
	CHECK_EQ(kvlift_io_cancel(io, 7), 3);
	CHECK_EQ(kvlift_io_drain(io, 60000), 0);
	for (i = 0; i < 3; i++)
		failed[i] = check(&all[i], true);
	for (i = 0; i < ITEMS; i++)
		n += all[2].item[i].res == -ECANCELED;
	CHECK(n > ITEMS / 2);
	CHECK_EQ(kvlift_io_poll(io, e, 4), 3);
	CHECK_EQ(e[0].failed + e[1].failed + e[2].failed,
		 failed[0] + failed[1] + failed[2]);
	kvlift_io_close(io);
}

/* Threads of the library; all have all signals blocked that can be. */
static unsigned int threads(unsigned int *open_to_signals)
{
	DIR *d = opendir("/proc/self/task");
	unsigned int n = 0;
	struct dirent *entry;

	*open_to_signals = 0;
	while ((entry = readdir(d))) {
		char path[300], line[128], name[32] = "";
		unsigned long long mask = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			 entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		while (fgets(line, sizeof(line), f)) {
			sscanf(line, "Name: %31s", name);
			sscanf(line, "SigBlk: %llx", &mask);
		}
		fclose(f);
		if (strcmp(name, "kvlift-io"))
			continue;
		n++;
		/* 1 to 15 less KILL. */
		*open_to_signals += (mask & 0x7eff) != 0x7eff;
	}
	closedir(d);
	return n;
}

static void signals(void)
{
	const struct kvlift_io_opts opts = { .threads = 5 };
	unsigned int i, reached = 0;
	struct kvlift_io *io;

	CHECK_EQ(threads(&reached), 0);
	CHECK_EQ(kvlift_io_open(&pool, &opts, &io), 0);
	/* Each takes its name a moment after it was made. */
	for (i = 0; i < 1000 && threads(&reached) < 5; i++)
		pause_us(1000);
	CHECK_EQ(threads(&reached), 5);
	CHECK_EQ(reached, 0);
	kvlift_io_close(io);
	CHECK_EQ(threads(&reached), 0);
}

static void refused(void)
{
	struct batch *b = &all[0];
	struct kvlift_io *io;

	CHECK_EQ(kvlift_io_open(&pool, NULL, &io), 0);
	make(b);
	b->item[ITEMS - 1].reserved[2] = 1;
	CHECK_EQ(kvlift_io_submit(io, b->item, ITEMS, 0), -EINVAL);
	make(b);
	b->item[ITEMS - 1].op = KVLIFT_ITEM_SEAL + 1;
	CHECK_EQ(kvlift_io_submit(io, b->item, ITEMS, 0), -EINVAL);
	CHECK_EQ(kvlift_io_drain(io, 0), 0);
	kvlift_io_close(io);
}

int main(void)
{
	pthread_t t;

	pthread_create(&t, NULL, module, NULL);
	CASE(many_threads);
	CASE(drained);
	CASE(drained_beside_others);
	CASE(closed);
	CASE(cancelled);
	CASE(signals);
	CASE(refused);
	pthread_mutex_lock(&queue.lock);
	queue.stop = true;
	pthread_mutex_unlock(&queue.lock);
	pthread_join(t, NULL);
	UNIT_END();
}
