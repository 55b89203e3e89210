// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The pool in user space: requests, one after the other, and the threads that
 * copy what no GPU copies. A request that waits for slots keeps those behind it
 * waiting, so two never wait for each other.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../userlib/src/io.h"
#include "upool_priv.h"

/* With the lock. The event is built when it is read. */
static void post(struct up_request *r)
{
	const uint64_t one = 1;

	if (r->error)
		up_unlease(r);
	r->ns = kvl_now_ns() - r->ns;
	r->state = !r->error && r->req.lease_ms ? UP_LEASED : UP_DONE;
	up.events[up.events_tail++ % UP_REQUESTS] = (uint32_t)(r - up.requests);
	if (write(up.queue, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void block_done(struct up_request *r, int error)
{
	if (error && !r->error)
		r->error = error;
	if (!--r->left)
		post(r);
}

void up_unlease(struct up_request *r)
{
	struct up_block *k;
	uint64_t i;

	for (i = 0; i < r->req.count; i++) {
		k = &up.blocks[r->start + i];
		if (!r->has[i])
			continue;
		r->has[i] = 0;
		if (!--k->leases && k->gpu != UP_NONE && !k->moving)
			up_list((uint32_t)(r->start + i));
	}
	pthread_cond_broadcast(&up.changed);
}

/* It is there: keep it there if that is wanted. */
static void there(struct up_request *r, uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	up_unlist(b);
	if (r->req.lease_ms) {
		k->leases++;
		r->has[b - r->start] = 1;
	} else if (k->gpu != UP_NONE && !k->leases) {
		up_list(b);
	}
	if (!(r->req.flags & KVLIFT_REQ_WRITE))
		return;
	if (k->gpu == UP_NONE) {
		k->copies = UP_WIN;
	} else {
		if (k->copies & UP_WIN)
			up_put_window(k);
		k->copies = 0;
	}
}

void up_settle(uint32_t b, int error)
{
	struct up_block *k = &up.blocks[b];
	struct up_request *r = k->req;

	k->moving = false;
	k->req = NULL;
	if (!error)
		there(r, b);
	block_done(r, error);
}

static void to_gpu(struct up_request *r, uint32_t b)
{
	struct up_block *k = &up.blocks[b];
	bool is_new = !k->copies && r->req.flags & KVLIFT_REQ_NEW;

	k->moving = true;
	k->req = r;
	k->gpu = up_get_gpu();
	if (is_new) {
		k->lost = false;
		up_settle(b, 0);
		return;
	}
	/* Ordinary slots to which nothing was written are zeros. */
	if (!k->copies)
		k->copies = UP_MEM;
	if (k->copies & UP_WIN) {
		up_command(KVLIFT_CMD_IN, k->window, k->gpu, b);
	} else {
		k->window = up_get_window();
		up_add_job(UP_FILL, b);
	}
}

static void to_window(struct up_request *r, uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	if (!k->copies)
		k->copies = UP_MEM;
	k->moving = true;
	k->req = r;
	k->window = up_get_window();
	up.window_owner[k->window] = b;
	up_add_job(UP_STAY, b);
}

static void place(struct up_request *r, uint32_t b)
{
	struct up_block *k = &up.blocks[b];
	bool window = r->req.flags & KVLIFT_REQ_WINDOW;

	while (k->moving && !up.stop)
		up_wait();
	if (window && k->gpu != UP_NONE && !k->leases) {
		up_leave(b);
		while (k->moving && !up.stop)
			up_wait();
	}
	if (up.stop)
		return;
	if (k->lost && !(r->req.flags & KVLIFT_REQ_NEW)) {
		block_done(r, -EIO);
	} else if (window && k->gpu != UP_NONE) {
		block_done(r, -EBUSY);
	} else if (!window && k->gpu == UP_NONE) {
		to_gpu(r, b);
	} else if (window && !(k->copies & UP_WIN)) {
		to_window(r, b);
	} else {
		there(r, b);
		block_done(r, 0);
	}
}

/* Requests as they came. */
void *up_kernel(void *arg)
{
	struct up_request *r;
	uint64_t i;

	pthread_mutex_lock(&up.lock);
	while (!up.stop) {
		if (up.fifo_head == up.fifo_tail) {
			up_wait();
			continue;
		}
		r = &up.requests[up.fifo[up.fifo_head++ % UP_REQUESTS]];
		for (i = 0; i < r->req.count && !up.stop; i++)
			place(r, (uint32_t)(r->start + i));
		up_send_job();
		up_kick();
		if (!up.stop)
			block_done(r, 0);
	}
	pthread_mutex_unlock(&up.lock);
	return NULL;
}

int up_read_file(uint32_t b, void *to)
{
	size_t done = 0;
	ssize_t n;

	for (; done < up.block; done += (size_t)n) {
		n = pread(up.file, (char *)to + done, up.block - done,
			  (off_t)(b * up.block + done));
		if (n <= 0)
			return -EIO;
	}
	return 0;
}

/* Without the lock: nobody else touches a block that moves. */
static int copy_one(enum up_what what, uint32_t b)
{
	const struct up_block *k = &up.blocks[b];
	char *window = up.window + k->window * up.block;
	char *memory = up.memory + b * up.block;

	if (what == UP_STORE)
		memcpy(memory, window, up.block);
	else if (k->copies & UP_MEM)
		memcpy(window, memory, up.block);
	else
		return up_read_file(b, window);
	return 0;
}

static void copied_one(enum up_what what, uint32_t b, int res)
{
	struct up_block *k = &up.blocks[b];

	if (what == UP_STORE) {
		k->copies = UP_MEM;
		up_put_window(k);
		up_put_gpu(k);
		k->moving = false;
	} else if (res) {
		up_put_window(k);
		if (k->gpu != UP_NONE)
			up_put_gpu(k);
		up_settle(b, res);
	} else if (what == UP_FILL) {
		up_command(KVLIFT_CMD_IN, k->window, k->gpu, b);
	} else {
		k->copies |= UP_WIN;
		up_settle(b, 0);
	}
}

static void work(const struct up_job *job)
{
	int res[UP_JOB_MAX];
	uint32_t i;

	for (i = 0; i < job->nr; i++)
		res[i] = copy_one(job->what, job->block[i]);
	pthread_mutex_lock(&up.lock);
	for (i = 0; i < job->nr && !up.stop; i++)
		copied_one(job->what, job->block[i], res[i]);
	up_kick();
	pthread_cond_broadcast(&up.changed);
	pthread_mutex_unlock(&up.lock);
}

void *up_worker(void *arg)
{
	struct up_job *job;

	pthread_mutex_lock(&up.lock);
	while (!up.stop) {
		job = up.jobs;
		if (!job) {
			pthread_cond_wait(&up.work, &up.lock);
			continue;
		}
		up.jobs = job->next;
		if (!up.jobs)
			up.jobs_last = &up.jobs;
		pthread_mutex_unlock(&up.lock);
		work(job);
		free(job);
		pthread_mutex_lock(&up.lock);
	}
	pthread_mutex_unlock(&up.lock);
	return NULL;
}

static int out_of_gpu(uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	while (k->moving)
		up_wait();
	if (k->leases)
		return -EBUSY;
	if (k->gpu != UP_NONE)
		up_leave(b);
	while (k->moving)
		up_wait();
	return 0;
}

/* Its content is in its ordinary slot, whatever else it has. */
static int bring_home(uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	if (k->copies & UP_MEM || !k->copies)
		return 0;
	if (k->copies & UP_FILE)
		return up_read_file(b, up.memory + b * up.block);
	memcpy(up.memory + b * up.block, up.window + k->window * up.block,
	       up.block);
	return 0;
}

static int to_file(uint32_t b)
{
	size_t done = 0;
	ssize_t n;

	if (up.file < 0)
		return -EOPNOTSUPP;
	for (; done < up.block; done += (size_t)n) {
		n = pwrite(up.file, up.memory + b * up.block + done,
			   up.block - done, (off_t)(b * up.block + done));
		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

static int put_one(uint32_t b, enum upool_place place)
{
	struct up_block *k = &up.blocks[b];
	int ret = out_of_gpu(b);

	if (!ret && !(k->copies & place))
		ret = bring_home(b);
	if (!ret && place == UPOOL_FILE && !(k->copies & UP_FILE))
		ret = to_file(b);
	if (ret)
		return ret;
	if (k->copies & UP_WIN && place != UPOOL_WINDOW)
		up_put_window(k);
	if (place == UPOOL_WINDOW && !(k->copies & UP_WIN)) {
		k->window = up_get_window();
		up.window_owner[k->window] = b;
		memcpy(up.window + k->window * up.block,
		       up.memory + b * up.block, up.block);
	}
	k->copies = (uint8_t)place;
	return 0;
}

int upool_put(const struct kvlift_region *region, uint64_t first,
	      uint64_t count, enum upool_place place)
{
	uint64_t i, start = up.region[region->fd].first + first;
	int ret = 0;

	pthread_mutex_lock(&up.lock);
	for (i = 0; i < count && !ret; i++)
		ret = put_one((uint32_t)(start + i), place);
	pthread_mutex_unlock(&up.lock);
	if (!ret && place == UPOOL_FILE && up.file >= 0 && fdatasync(up.file))
		ret = -errno;
	return ret;
}
