/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The module's side of an attachment, for tests of userlib/src/gpu*.c: rings,
 * window, queue, and what the ioctls do. The test writes commands and looks at
 * completions; the mover is the real one. Included by one file of a program.
 *
 * There may be several attachments: "fake" is the one that was selected.
 */
#ifndef FAKE_MOVER_H
#define FAKE_MOVER_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../userlib/src/gpu.h"
#include "unit.h"

#define FAKE_BLOCK    4096u
#define FAKE_CMDS     65536u /* cookies: generation and number below this */
#define FAKE_GEN      7ULL
#define FAKE_SQ	      64u
#define FAKE_RING     65536u
#define FAKE_WINDOW   (1ULL << 20) /* offset of its mapping */
#define FAKE_EVENTS   64u
#define FAKE_NOT_DONE 1
#define FAKE_MOST     3u
#define FAKE_MEMBER   29u /* number of the first */

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fake_changed = PTHREAD_COND_INITIALIZER;

struct fake_mover {
	struct kvlift_mover_ring *ring;
	char *window;
	size_t window_bytes;
	int kick;
	unsigned int mapped;
	/* Commands. */
	uint32_t written, completed, unknown;
	int res[FAKE_CMDS];
	uint64_t ns[FAKE_CMDS];
	uint32_t order[FAKE_CMDS];
	/* The queue. */
	struct kvlift_req req[FAKE_EVENTS];
	struct kvlift_event event[FAKE_EVENTS];
	unsigned int reqs, events, room;
	int queue;
	uint64_t words[8];
	unsigned int nr_words;
	uint64_t released[16384];
	unsigned int releases;
	int release_error;
	/* What happened. */
	uint64_t ready, drain_left;
	unsigned int readies, enters, waits, drains;
	struct kvlift_mover asked;
	pthread_t mover;
	uint32_t peers;
	unsigned int tells;
	/* What is to happen. */
	uint32_t start, entries; /* of all counters; of the rings */
	int attach_error, ready_error, peers_error;
	bool takes_nothing, bad_offset, drains_slowly;
};

static struct fake_mover fakes[FAKE_MOST] = {
	{ .kick = -1, .queue = -1 },
	{ .kick = -1, .queue = -1 },
	{ .kick = -1, .queue = -1 },
};
/* By the test's main thread only. */
static struct fake_mover *selected = fakes;
#define fake (*selected)

__attribute__((unused)) static void fake_select(unsigned int i)
{
	selected = &fakes[i];
}

/* Before an attachment; changes what is to happen after it. */
__attribute__((unused)) static void fake_reset(void)
{
	pthread_mutex_lock(&fake_lock);
	fake.written = fake.completed = fake.unknown = 0;
	fake.reqs = fake.events = fake.releases = fake.nr_words = 0;
	fake.ready = fake.drain_left = 0;
	fake.readies = fake.enters = fake.waits = fake.drains = 0;
	fake.start = 0;
	fake.entries = FAKE_SQ;
	fake.room = FAKE_EVENTS;
	fake.attach_error = fake.ready_error = fake.release_error = 0;
	fake.peers_error = 0;
	fake.peers = fake.tells = 0;
	fake.takes_nothing = fake.bad_offset = fake.drains_slowly = false;
	pthread_mutex_unlock(&fake_lock);
}

static int attach(struct fake_mover *f, struct kvlift_mover *arg)
{
	struct kvlift_mover_ring *r;

	f->asked = *arg;
	if (f->attach_error)
		return f->attach_error;
	if (!arg->depth)
		arg->depth = KVLIFT_MOVER_DEPTH;
	r = mmap(NULL, FAKE_RING, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r->sq_entries = r->cq_entries = f->entries;
	r->sq_offset = 4096;
	r->cq_offset = f->bad_offset ? FAKE_RING - 8 : 32768;
	r->generation = FAKE_GEN;
	r->state = KVLIFT_MOVER_LIVE;
	r->sq_tail = r->sq_head = r->cq_tail = r->cq_head = f->start;
	arg->ring_bytes = FAKE_RING;
	arg->window_offset = FAKE_WINDOW;
	f->ring = r;
	f->window_bytes = (arg->window + arg->window_cxl) * FAKE_BLOCK;
	f->window = mmap(NULL, f->window_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	arg->member = FAKE_MEMBER + (uint32_t)(f - fakes);
	f->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->mapped = 0;
	return f->kick;
}

/* Takes what is in the completion ring. */
static void take_completions(struct fake_mover *f)
{
	struct kvlift_mover_ring *r = f->ring;
	uint32_t tail = __atomic_load_n(&r->cq_tail, __ATOMIC_ACQUIRE);
	const struct kvlift_done *cq = (void *)((char *)r + r->cq_offset);

	while (!f->takes_nothing && r->cq_head != tail) {
		const struct kvlift_done *d =
			&cq[r->cq_head & (r->cq_entries - 1)];
		uint32_t nr = (uint32_t)d->cookie;

		if (d->cookie >> 32 != FAKE_GEN || nr >= f->written ||
		    f->res[nr] != FAKE_NOT_DONE) {
			f->unknown++;
		} else {
			f->res[nr] = d->res;
			f->ns[nr] = d->ns;
			f->order[f->completed++] = nr;
		}
		__atomic_store_n(&r->cq_head, r->cq_head + 1, __ATOMIC_RELEASE);
	}
}

static int leased(struct fake_mover *f, struct kvlift_leased *arg)
{
	if (arg->count < f->nr_words)
		return -ENOSPC;
	memcpy((void *)(uintptr_t)arg->ptr, f->words,
	       f->nr_words * sizeof(uint64_t));
	arg->count = f->nr_words;
	return 0;
}

/* All of them are there, or nothing changes. */
static int set_peers(struct fake_mover *f, uint32_t members)
{
	uint32_t i;

	f->tells++;
	if (members && f->peers_error)
		return f->peers_error;
	for (i = 0; i < 32; i++)
		if (members & 1u << i &&
		    (i < FAKE_MEMBER || !fakes[i - FAKE_MEMBER].ring ||
		     &fakes[i - FAKE_MEMBER] == f ||
		     fakes[i - FAKE_MEMBER].ring->state == KVLIFT_MOVER_FAILED))
			return -ENXIO;
	f->peers = members;
	return 0;
}

static int fake_ioctl(struct fake_mover *f, unsigned long cmd, void *arg)
{
	struct kvlift_mover_ready *ready = arg;
	struct kvlift_mover_info *info = arg;
	bool failed = f->ring && f->ring->state == KVLIFT_MOVER_FAILED;

	switch (cmd) {
	case KVLIFT_IOC_MOVER:
		return attach(f, arg);
	case KVLIFT_IOC_MOVER_ENTER:
		f->enters++;
		f->mover = pthread_self();
		take_completions(f);
		return failed ? -ENODEV : 0;
	case KVLIFT_IOC_MOVER_READY:
		if (f->ready_error)
			return f->ready_error;
		if (ready->first != f->ready)
			return -EALREADY;
		f->ready += ready->count;
		f->readies++;
		return 0;
	case KVLIFT_IOC_MOVER_INFO:
		info->state = f->ring->state;
		info->window_ready = f->ready;
		return 0;
	case KVLIFT_IOC_MOVER_DRAIN:
		f->drains++;
		if (failed)
			return -ENODEV;
		*(uint64_t *)arg = f->drain_left;
		if (f->drain_left && !f->drains_slowly)
			f->drain_left--;
		return 0;
	case KVLIFT_IOC_QUEUE:
		f->queue = eventfd(0, EFD_CLOEXEC);
		return f->queue;
	case KVLIFT_IOC_LEASED:
		return leased(f, arg);
	case KVLIFT_IOC_MOVER_PEERS:
		return set_peers(f, *(uint32_t *)arg);
	}
	return -ENOTTY;
}

/* Whose descriptor, or queue, it is. */
static struct fake_mover *fake_find(int fd)
{
	unsigned int i = 0;

	while (i < FAKE_MOST &&
	       (fd < 0 || (fakes[i].kick != fd && fakes[i].queue != fd)))
		i++;
	if (i == FAKE_MOST)
		abort();
	return &fakes[i];
}

static struct fake_mover *fake_find_unlocked(int fd)
{
	struct fake_mover *f;

	pthread_mutex_lock(&fake_lock);
	f = fake_find(fd);
	pthread_mutex_unlock(&fake_lock);
	return f;
}

int kvl_gpu_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	int ret;

	pthread_mutex_lock(&fake_lock);
	ret = fake_ioctl(cmd == KVLIFT_IOC_MOVER ? selected : fake_find(fd),
			 cmd, arg);
	pthread_cond_broadcast(&fake_changed);
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

int kvl_gpu_sys_map(int fd, size_t bytes, uint64_t offset, void **addr)
{
	struct fake_mover *f = fake_find_unlocked(fd);

	*addr = offset ? (void *)f->window : f->ring;
	if (offset)
		CHECK_EQ(bytes, f->window_bytes);
	f->mapped++;
	return madvise(*addr, bytes, MADV_DONTFORK) ? -errno : 0;
}

/* A use after it ends the test. */
void kvl_gpu_sys_unmap(void *addr, size_t bytes)
{
	unsigned int i = 0;

	pthread_mutex_lock(&fake_lock);
	while (i < FAKE_MOST && addr != (void *)fakes[i].ring &&
	       addr != (void *)fakes[i].window)
		i++;
	CHECK(i < FAKE_MOST);
	fakes[i].mapped--;
	if (addr == (void *)fakes[i].ring) {
		fakes[i].ring = NULL;
		/* Its numbers may be those of others from now on. */
		fakes[i].kick = fakes[i].queue = -1;
	} else {
		fakes[i].window = NULL;
	}
	munmap(addr, bytes);
	pthread_mutex_unlock(&fake_lock);
}

void kvl_gpu_sys_wait(int fd, int wake, int64_t timeout_ns)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = wake, .events = POLLIN } };
	struct timespec t = { timeout_ns / 1000000000,
			      timeout_ns % 1000000000 };
	struct fake_mover *f;
	uint64_t count;
	int i;

	pthread_mutex_lock(&fake_lock);
	f = fake_find(fd);
	f->waits++;
	pthread_mutex_unlock(&fake_lock);
	if (__atomic_load_n(&f->ring->sq_tail, __ATOMIC_ACQUIRE) !=
	    f->ring->sq_head)
		return;
	ppoll(p, 2, timeout_ns < 0 ? NULL : &t, NULL);
	for (i = 0; i < 2; i++)
		if (p[i].revents && read(p[i].fd, &count, sizeof(count)) < 0)
			abort();
}

/* The queue: a request ends when the test says so. */
int kvlift_queue_open(const struct kvlift_pool *pool)
{
	return -EOPNOTSUPP;
}

int kvlift_queue_eventfd(int queue, int fd)
{
	return -EOPNOTSUPP;
}

int kvlift_queue_cancel(int queue, uint64_t cookie)
{
	return -ENOENT;
}

int kvlift_queue_submit(int queue, const struct kvlift_req *reqs,
			unsigned int count)
{
	struct fake_mover *f;
	unsigned int n = 0;

	pthread_mutex_lock(&fake_lock);
	f = fake_find(queue);
	while (n < count && f->reqs < f->room)
		f->req[f->reqs++] = reqs[n++];
	pthread_mutex_unlock(&fake_lock);
	return n || !count ? (int)n : -EAGAIN;
}

int kvlift_queue_read(int queue, struct kvlift_event *events,
		      unsigned int count)
{
	struct fake_mover *f;
	unsigned int n = 0;
	uint64_t value;

	pthread_mutex_lock(&fake_lock);
	f = fake_find(queue);
	while (n < count && f->events)
		events[n++] = f->event[--f->events];
	if (n && !f->events && read(queue, &value, sizeof(value)) < 0)
		abort();
	pthread_mutex_unlock(&fake_lock);
	return n ? (int)n : -EAGAIN;
}

int kvlift_queue_release(int queue, uint64_t cookie)
{
	struct fake_mover *f;
	int ret;

	pthread_mutex_lock(&fake_lock);
	f = fake_find(queue);
	f->released[f->releases++] = cookie;
	ret = f->release_error;
	pthread_cond_broadcast(&fake_changed);
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

/* Nothing here takes so long: not even under the thread sanitizer. */
static bool fake_wait_locked(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 30;
	return !pthread_cond_timedwait(&fake_changed, &fake_lock, &t);
}

__attribute__((unused)) static void fake_pause_us(unsigned int us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000L };

	nanosleep(&t, NULL);
}

__attribute__((unused)) static void fake_kick(void)
{
	const uint64_t one = 1;

	if (write(fake.kick, &one, sizeof(one)) != sizeof(one))
		abort();
}

static uint64_t fake_cookie(uint32_t nr)
{
	return FAKE_GEN << 32 | nr;
}

/* Writes a command, which is seen with the next fake_send(): its number. */
static uint32_t fake_write(const struct kvlift_cmd *cmd)
{
	struct kvlift_mover_ring *r = fake.ring;
	struct kvlift_cmd *sq = (void *)((char *)r + r->sq_offset);
	uint32_t nr = fake.written++;

	fake.res[nr] = FAKE_NOT_DONE;
	sq[r->sq_tail & (r->sq_entries - 1)] = *cmd;
	sq[r->sq_tail & (r->sq_entries - 1)].cookie = fake_cookie(nr);
	__atomic_store_n(&r->sq_tail, r->sq_tail + 1, __ATOMIC_RELEASE);
	return nr;
}

/* A copy of a whole block; the others wait in the ring until the kick. */
__attribute__((unused)) static uint32_t fake_copy(uint32_t op, uint32_t window,
						  uint32_t slot)
{
	const struct kvlift_cmd cmd = {
		.op = op,
		.window = window,
		.slot = slot,
		.bytes = FAKE_BLOCK,
	};
	uint32_t nr;

	pthread_mutex_lock(&fake_lock);
	nr = fake_write(&cmd);
	pthread_mutex_unlock(&fake_lock);
	return nr;
}

/* A copy from a slot of the attachment with this number. */
__attribute__((unused)) static uint32_t
fake_peer(unsigned int from, uint32_t from_slot, uint32_t slot)
{
	const struct kvlift_cmd cmd = {
		.op = KVLIFT_CMD_PEER,
		.window = ~0u,
		.slot = slot,
		.bytes = FAKE_BLOCK,
		.arg = (uint64_t)(FAKE_MEMBER + from) << 32 | from_slot,
	};
	uint32_t nr;

	pthread_mutex_lock(&fake_lock);
	nr = fake_write(&cmd);
	pthread_mutex_unlock(&fake_lock);
	return nr;
}

__attribute__((unused)) static void fake_cancel(uint32_t nr)
{
	const struct kvlift_cmd cmd = {
		.op = KVLIFT_CMD_CANCEL,
		.arg = fake_cookie(nr),
	};

	pthread_mutex_lock(&fake_lock);
	fake_write(&cmd);
	pthread_mutex_unlock(&fake_lock);
}

/* Until so many commands have been completed. */
__attribute__((unused)) static void fake_wait(uint32_t completed)
{
	bool in_time = true;

	fake_kick();
	pthread_mutex_lock(&fake_lock);
	while (fake.completed < completed && in_time)
		in_time = fake_wait_locked();
	CHECK(in_time);
	pthread_mutex_unlock(&fake_lock);
}

__attribute__((unused)) static int fake_res(uint32_t nr)
{
	int ret;

	pthread_mutex_lock(&fake_lock);
	ret = fake.res[nr];
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

__attribute__((unused)) static unsigned int fake_released(void)
{
	unsigned int n;

	pthread_mutex_lock(&fake_lock);
	n = fake.releases;
	pthread_mutex_unlock(&fake_lock);
	return n;
}

__attribute__((unused)) static void fake_wait_released(unsigned int n)
{
	bool in_time = true;

	pthread_mutex_lock(&fake_lock);
	while (fake.releases < n && in_time)
		in_time = fake_wait_locked();
	CHECK(in_time);
	pthread_mutex_unlock(&fake_lock);
}

/* As the module does when a command was late. */
__attribute__((unused)) static void fake_fail(void)
{
	__atomic_store_n(&fake.ring->state, KVLIFT_MOVER_FAILED,
			 __ATOMIC_RELEASE);
	fake_kick();
}

__attribute__((unused)) static void fake_end_request(uint64_t cookie, int res)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&fake_lock);
	fake.event[fake.events++] =
		(struct kvlift_event){ .cookie = cookie, .res = res };
	if (write(fake.queue, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_mutex_unlock(&fake_lock);
}

/* After a handle was closed, or none was got: nothing is left. */
__attribute__((unused)) static void fake_check_closed(void)
{
	CHECK_EQ(fake.mapped, 0);
	CHECK_EQ(fake.unknown, 0);
	fake_reset();
}

#endif
