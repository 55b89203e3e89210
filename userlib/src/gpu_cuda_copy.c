// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Copies of the CUDA backend.
 *
 * Order at the source. A copy from the GPU may begin at once although it is on
 * a stream of its own: the module asks for it only when no lease is on the
 * block, and a lease that the engine's kernels write under has ended after the
 * event that was recorded behind them (gpu_release.c). So may one from another
 * GPU, of whose block the same is true. A copy to the GPU reads a slot of the
 * window whose content was complete before the command was written to the ring.
 */
#include "gpu_cuda.h"
#include "internal.h"
#include "io.h"

/* Addresses of copies, for the batch and one by one. */
static void set_copies(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		       const struct kvl_gpu_copy *copies, unsigned int count)
{
	kvl_cu_ptr gpu, other;
	unsigned int i;

	for (i = 0; i < count; i++) {
		gpu = c->be.base + copies[i].slot * c->be.block;
		other = dir == KVL_GPU_PEER
				? copies[i].source
				: kvl_ptr(c->be.window +
					  copies[i].window * c->be.block);
		c->dsts[i] = dir == KVL_GPU_OUT ? other : gpu;
		c->srcs[i] = dir == KVL_GPU_OUT ? gpu : other;
		c->sizes[i] = copies[i].bytes;
	}
}

/* All of them by one call. */
static kvl_cu_result copy_batch(struct kvl_cuda *c, enum kvl_gpu_dir dir,
				unsigned int count)
{
	struct kvl_cu_copy_attr attr = {
		/*
		 * A copy from a GPU keeps to the order of its stream. The
		 * window does not change until the completion.
		 */
		.src_access_order = dir == KVL_GPU_IN
					    ? KVL_CU_SRC_ACCESS_ANY
					    : KVL_CU_SRC_ACCESS_STREAM,
		/* Copy engines, so that kernels keep their processors. */
		.flags = KVL_CU_FLAG_PREFER_OVERLAP,
	};
	size_t first = 0, failed;

	if (c->cu.batch13)
		return c->cu.batch13(c->dsts, c->srcs, c->sizes, count, &attr,
				     &first, 1, c->stream[dir]);
	return c->cu.batch12(c->dsts, c->srcs, c->sizes, count, &attr, &first,
			     1, &failed, c->stream[dir]);
}

bool kvl_cuda_try_batch(struct kvl_cuda *c)
{
	const struct kvl_gpu_copy one = { .bytes = (uint32_t)c->be.block };

	set_copies(c, KVL_GPU_OUT, &one, 1);
	return !copy_batch(c, KVL_GPU_OUT, 1);
}

int kvl_cuda_copy(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
		  struct kvl_gpu_copy *copies, unsigned int count,
		  unsigned int tag)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	bool is_batch = be->path == KVLIFT_GPU_PATH_BATCH &&
			!(dir == KVL_GPU_PEER && c->is_peer_single);
	bool is_done = false, is_good = true;
	unsigned int i;

	set_copies(c, dir, copies, count);
	if (be->paths[dir] == KVLIFT_GPU_PATH_KERNEL)
		is_done = kvl_cuda_launch(c, dir, copies, count);
	c->launched_ns[tag] = is_done ? kvl_now_ns() : 0;
	if (!is_done && is_batch)
		is_done = copy_batch(c, dir, count) == KVL_CU_SUCCESS;
	/*
	 * One bad copy is not to fail all others, and which it is not every
	 * driver tells. What has begun already is only copied again.
	 */
	for (i = 0; i < count; i++) {
		copies[i].res = !is_done && c->cu.copy(c->dsts[i], c->srcs[i],
						       c->sizes[i],
						       c->stream[dir])
					? -EIO
					: 0;
		is_good &= !copies[i].res;
	}
	/* No copy was to blame but the call: it is not asked again. */
	if (dir == KVL_GPU_PEER && is_batch && !is_done && is_good)
		c->is_peer_single = true;
	if (!c->cu.event_record(c->tags[tag], c->stream[dir]))
		return 0;
	/* Nothing would tell when they are done. */
	c->cu.stream_sync(c->stream[dir]);
	return -EIO;
}

/*
 * Addresses of all devices are one space, and a copy finds out itself from which
 * it is. What is enabled stays so: others in the process may count on it, too.
 */
int kvl_cuda_peer(struct kvl_gpu_backend *be, struct kvl_gpu_backend *from)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	struct kvl_cuda *f = (struct kvl_cuda *)from;
	kvl_cu_result r;
	int can = 0, ret, mode;

	if (c->device == f->device)
		return 0;
	r = c->cu.can_access(&can, c->device, f->device);
	if (r)
		return kvl_cu_error(r);
	if (!can)
		return -EOPNOTSUPP;
	ret = kvl_cuda_push(c, &mode);
	if (ret)
		return ret;
	r = c->cu.enable_peer(f->ctx, 0);
	kvl_cuda_pop(c, mode);
	return r == KVL_CU_PEER_ENABLED ? 0 : kvl_cu_error(r);
}

int kvl_cuda_poll(struct kvl_gpu_backend *be, unsigned int tag)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	kvl_cu_result r = c->cu.event_query(c->tags[tag]);

	if (r != KVL_CU_NOT_READY)
		return r ? -EIO : 1;
	/*
	 * The application's kernels leave it no multiprocessor. What has been
	 * launched has to wait for them; nothing else does.
	 */
	if (c->kernel && c->launched_ns[tag] &&
	    kvl_now_ns() - c->launched_ns[tag] > c->patience_ns)
		kvl_cuda_drop_kernel(c, -ETIME);
	return 0;
}
