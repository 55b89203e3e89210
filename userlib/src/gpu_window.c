// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The window: memory of the pool through which blocks come and go. It is
 * registered with the device piece by piece, which takes a second for some GiB,
 * and the module uses the pieces that are ready meanwhile.
 */
#include <string.h>
#include <sys/mman.h>

#include "gpu.h"
#include "internal.h"

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

int kvl_gpu_window_open(struct kvlift_gpu *gpu, const struct kvlift_mover *arg)
{
	struct kvl_gpu_backend *be = gpu->be;
	size_t bytes = gpu->window_slots * be->block;
	void *addr;
	int ret;

	ret = kvl_gpu_sys_map(gpu->fd, bytes, arg->window_offset, &addr);
	if (ret)
		return ret;
	be->window = addr;
	be->window_bytes = bytes;
	return 0;
}

/* Bytes from gpu->ready on may be used by the module. */
static int tell_ready(struct kvlift_gpu *gpu, size_t bytes)
{
	struct kvlift_mover_ready arg = {
		.first = gpu->ready / gpu->be->block,
		.count = bytes / gpu->be->block,
	};
	int ret = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_READY, &arg);

	if (!ret)
		gpu->ready += bytes;
	return ret;
}

/* The next piece, or all of it where nothing is to be registered. */
static size_t piece_bytes(const struct kvlift_gpu *gpu)
{
	size_t left = gpu->be->window_bytes - gpu->ready;

	return gpu->be->needs_register && left > KVL_GPU_PIECE ? KVL_GPU_PIECE
							       : left;
}

static int add_piece(struct kvlift_gpu *gpu, size_t bytes)
{
	int ret;

	if (!gpu->be->needs_register) {
		/* Else the mover meets each page for the first time. */
		madvise((char *)gpu->be->window + gpu->ready, bytes,
			MADV_POPULATE_WRITE);
		return 0;
	}
	ret = gpu->be->ops->add_window(gpu->be, gpu->ready, bytes);
	if (!ret)
		atomic_fetch_add(&gpu->registered, bytes);
	return ret;
}

static void *add_others(void *arg)
{
	struct kvlift_gpu *gpu = arg;
	int ret = gpu->be->ops->enter(gpu->be);
	size_t bytes;

	while (!ret && gpu->ready < gpu->be->window_bytes &&
	       !atomic_load(&gpu->stop)) {
		bytes = piece_bytes(gpu);
		ret = add_piece(gpu, bytes);
		if (!ret)
			ret = tell_ready(gpu, bytes);
	}
	atomic_store(&gpu->register_error, ret);
	return NULL;
}

int kvl_gpu_window_ready(struct kvlift_gpu *gpu)
{
	size_t bytes = piece_bytes(gpu);
	uint64_t slots = bytes / gpu->be->block;
	int ret = add_piece(gpu, bytes);

	if (slots > gpu->slots)
		slots = gpu->slots;
	if (slots > gpu->depth)
		slots = gpu->depth;
	if (!ret)
		ret = gpu->be->ops->tune(gpu->be, (unsigned int)slots);
	if (!ret)
		ret = tell_ready(gpu, bytes);
	if (ret || gpu->ready == gpu->be->window_bytes)
		return ret;
	ret = kvl_gpu_thread(&gpu->window_thread, "kvlift-window", add_others,
			     gpu);
	gpu->has_window_thread = !ret;
	return ret;
}

uint64_t kvl_gpu_word_address(struct kvlift_gpu *gpu, uint64_t word)
{
	uint64_t slot = word & ~(KVLIFT_LEASED_WINDOW | KVLIFT_LEASED_MEMORY);

	if (word & KVLIFT_LEASED_MEMORY)
		return 0;
	if (word & KVLIFT_LEASED_WINDOW)
		return slot < gpu->window_slots
			       ? gpu->be->ops->window_address(
					 gpu->be, slot * gpu->be->block)
			       : 0;
	return slot < gpu->slots ? gpu->be->base + slot * gpu->be->block : 0;
}
