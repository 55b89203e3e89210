// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The pool in user space: slots, commands to the mover, who leaves for whom. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "upool_priv.h"

/* Blocks that begin to leave the GPU when a slot is wanted. */
#define LEAVE 32

void up_kick(void)
{
	const uint64_t one = 1;

	if (up.sent && write(up.kick, &one, sizeof(one)) != sizeof(one))
		abort();
	up.sent = false;
}

void up_wait(void)
{
	up_send_job();
	up_kick();
	pthread_cond_wait(&up.changed, &up.lock);
}

void up_unlist(uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	if (!k->listed)
		return;
	k->listed = false;
	if (k->prev == UP_NONE)
		up.lru_first = k->next;
	else
		up.blocks[k->prev].next = k->next;
	if (k->next == UP_NONE)
		up.lru_last = k->prev;
	else
		up.blocks[k->next].prev = k->prev;
}

void up_list(uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	k->listed = true;
	k->prev = up.lru_last;
	k->next = UP_NONE;
	if (up.lru_last == UP_NONE)
		up.lru_first = b;
	else
		up.blocks[up.lru_last].next = b;
	up.lru_last = b;
}

void up_put_window(struct up_block *k)
{
	up.window_owner[k->window] = UP_NONE;
	up.free_window[up.nr_free_window++] = k->window;
	k->window = UP_NONE;
	pthread_cond_broadcast(&up.changed);
}

void up_put_gpu(struct up_block *k)
{
	up.free_gpu[up.nr_free_gpu++] = k->gpu;
	k->gpu = UP_NONE;
	pthread_cond_broadcast(&up.changed);
}

static void command(uint32_t op, uint32_t window, uint64_t arg, uint32_t slot,
		    uint32_t block)
{
	struct kvlift_mover_ring *r = up.ring;
	struct kvlift_cmd *sq = (void *)((char *)r + r->sq_offset);
	struct up_tag *t;
	uint32_t tag;

	while (!up.nr_free_tags && !up.stop)
		up_wait();
	if (up.stop)
		return;
	tag = up.free_tags[--up.nr_free_tags];
	t = &up.tags[tag];
	t->op = op;
	t->block = block;
	t->used = true;
	t->seq++;
	up.inflight++;
	sq[r->sq_tail & (r->sq_entries - 1)] = (struct kvlift_cmd){
		.cookie = (uint64_t)up.generation << 32 |
			  (uint32_t)(t->seq << 12) | tag,
		.op = op,
		.window = window,
		.slot = slot,
		.bytes = (uint32_t)up.block,
		.arg = arg,
	};
	__atomic_store_n(&r->sq_tail, r->sq_tail + 1, __ATOMIC_RELEASE);
	up.sent = true;
}

void up_command(uint32_t op, uint32_t window, uint32_t slot, uint32_t block)
{
	command(op, window, 0, slot, block);
}

/* The copy to the GPU has ended: the block is there, or as it was. */
static void arrived(uint32_t b, int res)
{
	struct up_block *k = &up.blocks[b];
	bool exclusive = k->req->req.flags & KVLIFT_REQ_EXCLUSIVE;

	if (res)
		up_put_gpu(k);
	else
		up.in++;
	if (!res && exclusive)
		k->copies &= UP_FILE;
	if (!(k->copies & UP_WIN))
		up_put_window(k);
	up_settle(b, res ? -EIO : 0);
}

/* The copy from the GPU has: on to memory, unless it failed. */
static void left(uint32_t b, int res)
{
	struct up_block *k = &up.blocks[b];

	if (!res) {
		up.out++;
		up_add_job(UP_STORE, b);
		return;
	}
	up_put_window(k);
	k->moving = false;
	up_list(b);
}

static void complete(const struct kvlift_done *d)
{
	uint32_t low = (uint32_t)d->cookie, tag = low & 4095;
	struct up_tag *t = &up.tags[tag];

	if (d->cookie >> 32 != up.generation || tag >= up.depth || !t->used ||
	    low != ((t->seq << 12) | tag)) {
		up.ignored++;
		return;
	}
	t->used = false;
	up.free_tags[up.nr_free_tags++] = tag;
	up.inflight--;
	up.failed += d->res != 0;
	if (t->block == UP_NONE) {
		up.raw_left--;
		if (d->res)
			up.raw_error = d->res;
	} else if (t->op == KVLIFT_CMD_IN) {
		arrived(t->block, d->res);
	} else {
		left(t->block, d->res);
	}
}

void up_take_completions(void)
{
	struct kvlift_mover_ring *r = up.ring;
	uint32_t tail = __atomic_load_n(&r->cq_tail, __ATOMIC_ACQUIRE);
	const struct kvlift_done *cq = (void *)((char *)r + r->cq_offset);
	uint32_t head = r->cq_head;

	while (head != tail)
		complete(&cq[head++ & (r->cq_entries - 1)]);
	if (head == r->cq_head)
		return;
	__atomic_store_n(&r->cq_head, head, __ATOMIC_RELEASE);
	up_send_job();
	pthread_cond_broadcast(&up.changed);
}

void up_send_job(void)
{
	if (!up.job)
		return;
	up.job->next = NULL;
	*up.jobs_last = up.job;
	up.jobs_last = &up.job->next;
	up.job = NULL;
	pthread_cond_signal(&up.work);
}

void up_add_job(enum up_what what, uint32_t b)
{
	uint64_t most = UP_JOB_BYTES / up.block;

	if (most > UP_JOB_MAX)
		most = UP_JOB_MAX;
	if (up.job && (up.job->what != what || up.job->nr >= most))
		up_send_job();
	if (!up.job) {
		up.job = calloc(1, sizeof(*up.job));
		if (!up.job)
			abort();
		up.job->what = what;
	}
	up.job->block[up.job->nr++] = b;
}

/* Of the window's blocks, those that nobody uses go to ordinary slots. */
static bool empty_window(void)
{
	static uint32_t hand;
	uint32_t i, b, slot;
	struct up_block *k;

	for (i = 0; i < up.window_ready; i++) {
		slot = hand++ % up.window_ready;
		b = up.window_owner[slot];
		if (b == UP_NONE)
			continue;
		k = &up.blocks[b];
		if (k->moving || (k->leases && k->gpu == UP_NONE))
			continue;
		if (!(k->copies & (UP_MEM | UP_FILE))) {
			memcpy(up.memory + b * up.block,
			       up.window + slot * up.block, up.block);
			k->copies |= UP_MEM;
		}
		k->copies &= (uint8_t)~UP_WIN;
		up_put_window(k);
		return true;
	}
	return false;
}

uint32_t up_get_window(void)
{
	while (!up.nr_free_window && !up.stop)
		if (!empty_window())
			up_wait();
	return up.stop ? 0 : up.free_window[--up.nr_free_window];
}

void up_leave(uint32_t b)
{
	struct up_block *k = &up.blocks[b];

	up_unlist(b);
	if (k->copies) {
		up_put_gpu(k);
		return;
	}
	k->moving = true;
	k->window = up_get_window();
	up_command(KVLIFT_CMD_OUT, k->window, k->gpu, b);
}

uint32_t up_get_gpu(void)
{
	unsigned int n;

	while (!up.nr_free_gpu && !up.stop) {
		for (n = 0;
		     n < LEAVE && !up.nr_free_gpu && up.lru_first != UP_NONE;
		     n++)
			up_leave(up.lru_first);
		if (!up.nr_free_gpu)
			up_wait();
	}
	return up.stop ? 0 : up.free_gpu[--up.nr_free_gpu];
}

int upool_copies(const struct upool_copy *copies, size_t count)
{
	int ret;
	size_t i;

	pthread_mutex_lock(&up.lock);
	up.raw_left = count;
	up.raw_error = 0;
	for (i = 0; i < count; i++) {
		bool peer = copies[i].op == KVLIFT_CMD_PEER;

		/* Of member 1. */
		command(copies[i].op, peer ? 0 : copies[i].window,
			peer ? 1ull << 32 | copies[i].window : 0,
			copies[i].slot, UP_NONE);
		/* Whoever is asleep begins with the first ones. */
		if (i % 32 == 31)
			up_kick();
	}
	while (up.raw_left)
		up_wait();
	ret = up.raw_error;
	pthread_mutex_unlock(&up.lock);
	return ret;
}
