// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The copy kernel of the CUDA backend, for small blocks: one launch for a
 * batch, with all addresses in its parameters. It reads and writes the window
 * where the device has it mapped.
 *
 * Order. A kernel sees what was in memory, the host's too, when it was
 * launched, and a copy is launched after its command has been read
 * (gpu_cuda_copy.c). What it has stored is seen by whoever knows that the event
 * behind it is done: the programming guide (mapped memory) wants nothing but
 * streams or events between a kernel and the host. It needs no
 * __threadfence_system(), which orders stores of a kernel that still runs.
 */
#include <errno.h>

#include "gpu_cuda.h"

_Static_assert(KVL_CU_BLOCKS >= KVL_GPU_BATCH_MAX, "a batch is a launch");
_Static_assert(sizeof(struct kvl_cu_blocks) <= 4096, "parameters of a kernel");

/*
 * A bad address is an error of one copy by the driver, but the end of the
 * context when a kernel uses it. So memory of the caller has to be one mapping
 * as a whole; cuMemGetAddressRange tells that of reserved addresses, too, where
 * RANGE_SIZE of cuPointerGetAttribute has all that is reserved.
 */
static bool is_all_mapped(struct kvl_cuda *c)
{
	kvl_cu_ptr start = 0, end = c->be.base + c->be.bytes;
	size_t bytes = 0;

	if (c->memory)
		return true;
	return !c->cu.mem_range(&start, &bytes, c->be.base) &&
	       start <= c->be.base && bytes >= end - start;
}

/* Translates it for the device. Without it copies are made as they would be. */
void kvl_cuda_load_kernel(struct kvl_cuda *c)
{
	kvl_cu_result r = KVL_CU_NOT_FOUND;

	if (c->cu.has_kernels && !is_all_mapped(c)) {
		c->be.kernel_error = -EFAULT;
		return;
	}
	if (c->cu.has_kernels)
		r = c->cu.module_load(&c->module, kvl_cu_ptx);
	if (r)
		c->module = NULL;
	else
		r = c->cu.module_function(&c->kernel, c->module, KVL_CU_KERNEL);
	if (r)
		c->kernel = NULL;
	c->be.kernel_error = kvl_cu_error(r);
}

void kvl_cuda_drop_kernel(struct kvl_cuda *c, int error)
{
	unsigned int dir;

	c->kernel = NULL;
	__atomic_store_n(&c->be.kernel_error, error, __ATOMIC_RELAXED);
	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		if (c->be.paths[dir] == KVLIFT_GPU_PATH_KERNEL)
			kvl_cuda_use(c, dir, &c->by_driver[dir]);
}

/* Where the device has a slot of the window; 0: it has not. */
static kvl_cu_ptr window_slot(struct kvl_cuda *c, uint32_t slot)
{
	size_t offset = slot * c->be.block;
	kvl_cu_ptr ptr = __atomic_load_n(&c->piece[offset / KVL_GPU_PIECE],
					 __ATOMIC_ACQUIRE);

	return ptr ? ptr + offset % KVL_GPU_PIECE : 0;
}

/* Whole blocks, as commands are about; all of the window that the device has. */
static bool set_blocks(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		       const struct kvl_gpu_copy *copies, unsigned int count,
		       struct kvl_cu_blocks *b)
{
	kvl_cu_ptr gpu, window;
	unsigned int i;

	for (i = 0; i < count; i++) {
		gpu = c->be.base + copies[i].slot * c->be.block;
		window = window_slot(c, copies[i].window);
		if (!window || copies[i].bytes != c->be.block)
			return false;
		b->dst[i] = dir == KVL_GPU_OUT ? window : gpu;
		b->src[i] = dir == KVL_GPU_OUT ? gpu : window;
	}
	b->count = count;
	b->bytes = (uint32_t)c->be.block;
	b->parts = (b->bytes + KVL_CU_PART - 1) / KVL_CU_PART;
	b->pad = 0;
	return true;
}

bool kvl_cuda_launch(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		     const struct kvl_gpu_copy *copies, unsigned int count)
{
	struct kvl_cu_blocks b;
	void *params[] = { &b };
	unsigned int grid;
	kvl_cu_result r;

	if (!c->kernel || !set_blocks(c, dir, copies, count, &b))
		return false;
	grid = b.count * b.parts;
	if (grid > KVL_CU_GRID)
		grid = KVL_CU_GRID;
	r = c->cu.launch(c->kernel, grid, 1, 1, KVL_CU_THREADS, 1, 1, 0,
			 c->stream[dir], params, NULL);
	if (r)
		kvl_cuda_drop_kernel(c, kvl_cu_error(r));
	return !r;
}
