/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Attachments for the tests of the mover: with the memcpy backend, and with one
 * whose copies end, and whose streams come on, when the test lets them.
 */
#ifndef FAKE_GATED_H
#define FAKE_GATED_H

#include "../../userlib/src/internal.h"
#include "fake_mover.h"

#define SLOTS  32u
#define WINDOW 16u

static struct kvlift_gpu_opts opts(uint32_t backend)
{
	return (struct kvlift_gpu_opts){
		.backend = backend,
		.depth = 32,
		.bytes = SLOTS * FAKE_BLOCK + 100,
		.window_bytes = WINDOW * FAKE_BLOCK + 1,
		.name = "test",
	};
}

__attribute__((unused)) static struct kvlift_gpu *open_memcpy(void)
{
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_MEMCPY);
	struct kvlift_gpu *gpu = NULL;

	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &kvl_gpu_memcpy, &gpu), 0);
	return gpu;
}

/*
 * A backend that does what the test lets it: batches end, and marks are
 * reached, when their gate is opened.
 */
#define GATED_BATCHES 4096u
static struct {
	struct kvl_gpu_backend be[2];
	bool is_open[2];
	/* Of the first that is open; others have their own. */
	char memory[SLOTS * FAKE_BLOCK];
	atomic_uint begun, batch_gate, marks, mark_gate;
	unsigned int count[GATED_BATCHES], dir[GATED_BATCHES];
	unsigned int tag[KVL_GPU_DIRS * KVL_GPU_FLIGHTS];
	unsigned int mark[KVLIFT_GPU_MARKS];
	struct kvl_gpu_copy copies[KVL_GPU_DIRS * KVL_GPU_FLIGHTS]
				  [KVL_GPU_BATCH_MAX];
	int copy_error, mark_error, poll_error, peer_error, bad_slot;
	size_t bad_piece;
	unsigned int pieces;
	atomic_uint opened;
} gated;

static const struct kvl_gpu_ops gated_ops;

static int gated_open(const struct kvlift_gpu_opts *o, size_t block,
		      uint64_t bytes, struct kvl_gpu_backend **be)
{
	unsigned int i = gated.is_open[0];

	CHECK(!gated.is_open[i]);
	gated.is_open[i] = true;
	gated.be[i] = (struct kvl_gpu_backend){
		.ops = &gated_ops,
		.base = kvl_ptr(i ? malloc(bytes) : gated.memory),
		.bytes = bytes,
		.block = block,
		.flights = 2,
		.batch = { 4, 3, 2 },
		.needs_register = !(o->flags & KVLIFT_GPU_NO_REGISTER),
	};
	gated.pieces = 0;
	gated.opened++;
	*be = &gated.be[i];
	return 0;
}

static void gated_close(struct kvl_gpu_backend *be)
{
	gated.opened--;
	gated.is_open[be - gated.be] = false;
	if (be != gated.be)
		free((void *)(uintptr_t)be->base);
}

static int gated_enter(struct kvl_gpu_backend *be)
{
	return 0;
}

static int gated_add_window(struct kvl_gpu_backend *be, size_t offset,
			    size_t bytes)
{
	CHECK_EQ(offset, gated.pieces * KVL_GPU_PIECE);
	if (++gated.pieces == gated.bad_piece)
		return -ENOMEM;
	return 0;
}

static int gated_peer(struct kvl_gpu_backend *be, struct kvl_gpu_backend *from)
{
	CHECK(be != from && be->ops == from->ops);
	return gated.peer_error;
}

static int gated_tune(struct kvl_gpu_backend *be, unsigned int slots)
{
	/* None of the window is the module's yet. */
	CHECK_EQ(fake.ready, 0);
	CHECK(slots <= SLOTS);
	return 0;
}

static int gated_copy(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
		      struct kvl_gpu_copy *copies, unsigned int count,
		      unsigned int tag)
{
	unsigned int nr = atomic_load(&gated.begun), i;

	if (gated.copy_error)
		return gated.copy_error;
	for (i = 0; i < count; i++)
		copies[i].res = gated.bad_slot == (int)copies[i].slot ? -EIO
								      : 0;
	gated.dir[nr] = dir;
	gated.count[nr] = count;
	gated.tag[tag] = nr;
	memcpy(gated.copies[tag], copies, count * sizeof(*copies));
	atomic_store(&gated.begun, nr + 1);
	return 0;
}

/* The content comes at the very end. */
static int gated_poll(struct kvl_gpu_backend *be, unsigned int tag)
{
	unsigned int nr = gated.tag[tag], i;

	if (nr >= atomic_load(&gated.batch_gate))
		return 0;
	for (i = 0; i < gated.count[nr]; i++) {
		const struct kvl_gpu_copy *c = &gated.copies[tag][i];
		char *w = be->window + c->window * be->block;
		char *g = (char *)(uintptr_t)be->base + c->slot * be->block;

		if (gated.dir[nr] == KVL_GPU_IN)
			memcpy(g, w, c->bytes);
		else if (gated.dir[nr] == KVL_GPU_OUT)
			memcpy(w, g, c->bytes);
		else
			memcpy(g, (void *)(uintptr_t)c->source, c->bytes);
	}
	return gated.poll_error ? gated.poll_error : 1;
}

static uint64_t gated_window_address(struct kvl_gpu_backend *be, size_t offset)
{
	return 0xa000000000 + offset;
}

static int gated_mark(struct kvl_gpu_backend *be, unsigned int mark,
		      uint64_t stream)
{
	if (gated.mark_error)
		return gated.mark_error;
	/* As many as the streams that have been asked for, whatever they are. */
	gated.mark[mark] = (unsigned int)stream;
	atomic_fetch_add(&gated.marks, 1);
	return 0;
}

static int gated_marked(struct kvl_gpu_backend *be, unsigned int mark)
{
	return atomic_load(&gated.mark_gate) & (1u << gated.mark[mark]) ? 1 : 0;
}

static const struct kvl_gpu_ops gated_ops = {
	.open = gated_open,
	.close = gated_close,
	.enter = gated_enter,
	.add_window = gated_add_window,
	.tune = gated_tune,
	.peer = gated_peer,
	.copy = gated_copy,
	.poll = gated_poll,
	.window_address = gated_window_address,
	.mark = gated_mark,
	.marked = gated_marked,
};

/* Another one, with the same gates. */
__attribute__((unused)) static struct kvlift_gpu *open_other_gated(void)
{
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_CUDA);
	struct kvlift_gpu *gpu = NULL;

	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &gated_ops, &gpu), 0);
	return gpu;
}

__attribute__((unused)) static struct kvlift_gpu *open_gated(void)
{
	gated.peer_error = 0;
	gated.copy_error = gated.mark_error = gated.poll_error = 0;
	gated.bad_slot = -1;
	gated.bad_piece = 0;
	atomic_store(&gated.begun, 0);
	atomic_store(&gated.batch_gate, 0);
	atomic_store(&gated.marks, 0);
	atomic_store(&gated.mark_gate, 0);
	return open_other_gated();
}

__attribute__((unused)) static void wait_begun(unsigned int n)
{
	unsigned int i;

	fake_kick();
	for (i = 0; i < 30000 && atomic_load(&gated.begun) < n; i++)
		fake_pause_us(1000);
	CHECK_EQ(atomic_load(&gated.begun), n);
}

__attribute__((unused)) static void close_gpu(struct kvlift_gpu *gpu)
{
	kvlift_gpu_close(gpu);
	CHECK_EQ(gated.opened, 0);
	fake_check_closed();
}

__attribute__((unused)) static void fill(char *block, uint32_t value)
{
	uint32_t i;

	for (i = 0; i < FAKE_BLOCK / 4; i++)
		memcpy(block + i * 4, &value, 4);
}

__attribute__((unused)) static bool holds(const char *block, uint32_t value)
{
	uint32_t i, v;

	for (i = 0; i < FAKE_BLOCK / 4; i++) {
		memcpy(&v, block + i * 4, 4);
		if (v != value)
			return false;
	}
	return true;
}

/* All calls say that the attachment is no more; it can be asked and closed. */
__attribute__((unused)) static void check_failed(struct kvlift_gpu *gpu)
{
	struct kvlift_region region = { .fd = 5 };
	const struct kvlift_gpu_req req = { .region = &region,
					    .count = 1,
					    .flags = KVLIFT_REQ_GPU };
	struct kvlift_gpu_info info;
	struct kvlift_event event;
	uint64_t addr = 0;

	CHECK_EQ(kvlift_gpu_wait(gpu, &event, 1, 30000), -ENODEV);
	CHECK_EQ(kvlift_gpu_read(gpu, &event, 1), -ENODEV);
	CHECK_EQ(kvlift_gpu_acquire(gpu, &req, 1), -ENODEV);
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, &addr, 1), -ENODEV);
	CHECK_EQ(kvlift_gpu_release(gpu, 1), -ENODEV);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &addr, 1, 0), -ENODEV);
	CHECK_EQ(kvlift_gpu_detach(gpu, 1000), -ENODEV);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
}

#endif
