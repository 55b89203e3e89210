// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The backend without a GPU: memory of the process, copied by the mover itself.
 * A copy is done when it has been begun, and there are no streams.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu_backend.h"
#include "internal.h"

/* Commands are looked at between batches, to cancel them too. */
#define BATCH_BYTES (1u << 20)

struct memory {
	struct kvl_gpu_backend be;
	bool is_ours;
};

static int open_memory(const struct kvlift_gpu_opts *opts, size_t block,
		       uint64_t bytes, struct kvl_gpu_backend **be)
{
	size_t batch = block < BATCH_BYTES ? BATCH_BYTES / block : 1;
	struct memory *m;
	void *p;

	if (bytes > SIZE_MAX)
		return -ENOMEM;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->be = (struct kvl_gpu_backend){
		.ops = &kvl_gpu_memcpy,
		.base = opts->memory,
		.bytes = bytes,
		.block = block,
		.path = KVLIFT_GPU_PATH_MEMCPY,
		.paths = { KVLIFT_GPU_PATH_MEMCPY, KVLIFT_GPU_PATH_MEMCPY,
			   KVLIFT_GPU_PATH_MEMCPY },
		.flights = 1,
	};
	if (batch > KVL_GPU_BATCH_MAX)
		batch = KVL_GPU_BATCH_MAX;
	m->be.batch[KVL_GPU_IN] = m->be.batch[KVL_GPU_OUT] =
		m->be.batch[KVL_GPU_PEER] = (unsigned int)batch;
	if (!opts->memory) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (p == MAP_FAILED) {
			free(m);
			return -ENOMEM;
		}
		m->be.base = kvl_ptr(p);
		m->is_ours = true;
	}
	*be = &m->be;
	return 0;
}

static void close_memory(struct kvl_gpu_backend *be)
{
	struct memory *m = (struct memory *)be;

	if (m->is_ours)
		munmap((void *)(uintptr_t)be->base, be->bytes);
	free(m);
}

static int enter(struct kvl_gpu_backend *be)
{
	return 0;
}

static int add_window(struct kvl_gpu_backend *be, size_t offset, size_t bytes)
{
	return 0;
}

static int tune(struct kvl_gpu_backend *be, unsigned int slots)
{
	return 0;
}

static int peer(struct kvl_gpu_backend *be, struct kvl_gpu_backend *from)
{
	return 0;
}

static int copy(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
		struct kvl_gpu_copy *copies, unsigned int count,
		unsigned int tag)
{
	char *gpu = (char *)(uintptr_t)be->base;
	struct kvl_gpu_copy *c;

	for (c = copies; c < copies + count; c++) {
		char *w = be->window + c->window * be->block;
		char *g = gpu + c->slot * be->block;

		if (dir == KVL_GPU_IN)
			memcpy(g, w, c->bytes);
		else if (dir == KVL_GPU_OUT)
			memcpy(w, g, c->bytes);
		else
			memcpy(g, (void *)(uintptr_t)c->source, c->bytes);
		c->res = 0;
	}
	return 0;
}

static int poll_copies(struct kvl_gpu_backend *be, unsigned int tag)
{
	return 1;
}

static uint64_t window_address(struct kvl_gpu_backend *be, size_t offset)
{
	return kvl_ptr(be->window + offset);
}

static int mark(struct kvl_gpu_backend *be, unsigned int nr, uint64_t stream)
{
	return stream ? -EINVAL : 0;
}

static int marked(struct kvl_gpu_backend *be, unsigned int nr)
{
	return 1;
}

const struct kvl_gpu_ops kvl_gpu_memcpy = {
	.open = open_memory,
	.close = close_memory,
	.enter = enter,
	.add_window = add_window,
	.tune = tune,
	.peer = peer,
	.copy = copy,
	.poll = poll_copies,
	.window_address = window_address,
	.mark = mark,
	.marked = marked,
};
