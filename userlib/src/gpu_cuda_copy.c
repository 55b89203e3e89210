// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Copies of the CUDA backend, and what is measured of them.
 *
 * Order at the source. A copy from the GPU may begin at once although it is on
 * a stream of its own: the module asks for it only when no lease is on the
 * block, and a lease that the engine's kernels write under has ended after the
 * event that was recorded behind them (gpu_release.c). So may one from another
 * GPU, of whose block the same is true. A copy to the GPU reads a slot of the
 * window whose content was complete before the command was written to the ring.
 */
#include <string.h>

#include "gpu_cuda.h"
#include "internal.h"
#include "io.h"

/* Of kvl_cuda_tune(), for each direction; and for each size of a batch. */
#define TUNE_NS	     20000000u
#define TUNE_SIZE_NS 2000000u

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
	if (is_batch)
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

	if (r == KVL_CU_NOT_READY)
		return 0;
	return r ? -EIO : 1;
}

/* A batch of the first blocks. 0, or -errno when one could not begin. */
static int begin_some(struct kvl_cuda *c, enum kvl_gpu_dir dir, unsigned int n,
		      unsigned int tag)
{
	struct kvl_gpu_copy copies[KVL_GPU_BATCH_MAX];
	unsigned int i;
	int ret;

	for (i = 0; i < n; i++)
		copies[i] = (struct kvl_gpu_copy){
			.window = i,
			.slot = i,
			.bytes = (uint32_t)c->be.block,
		};
	ret = kvl_cuda_copy(&c->be, dir, copies, n, tag);
	for (i = 0; i < n && !ret; i++)
		ret = copies[i].res;
	return ret;
}

static int wait_tag(struct kvl_cuda *c, unsigned int tag)
{
	int ret;

	while (!(ret = kvl_cuda_poll(&c->be, tag)))
		;
	return ret < 0 ? ret : 0;
}

/*
 * Bytes per second in batches of @n, of which so many are on their way all the
 * time as the mover would have; or -errno.
 */
static int64_t measure(struct kvl_cuda *c, enum kvl_gpu_dir dir, unsigned int n)
{
	uint64_t start = kvl_now_ns(), ns;
	unsigned int rounds = 0, tag;
	int ret = 0;

	do {
		tag = rounds % c->be.flights;
		if (rounds >= c->be.flights)
			ret = wait_tag(c, tag);
		if (!ret)
			ret = begin_some(c, dir, n, tag);
		rounds++;
	} while (!ret && kvl_now_ns() - start < TUNE_SIZE_NS);
	/* They end before anything else is done, also after an error. */
	if (c->cu.stream_sync(c->stream[dir]) && !ret)
		ret = -EIO;
	if (ret)
		return ret;
	ns = kvl_now_ns() - start;
	return (int64_t)((double)rounds * n * (double)c->be.block * 1e9 /
			 (double)ns);
}

/* @most: blocks, and then those that have been copied. */
static int tune_one(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		    unsigned int *most)
{
	uint64_t start = kvl_now_ns();
	unsigned int n, last = 0;
	int64_t rate;

	/* The first copies of all are slower. */
	rate = measure(c, dir, 1);
	if (rate < 0)
		return (int)rate;
	for (n = 1; n <= *most; n *= 2) {
		rate = measure(c, dir, n);
		if (rate < 0)
			return (int)rate;
		last = n;
		/* A batch that is hardly quicker only takes longer to end. */
		if ((uint64_t)rate > c->be.rate[dir] / 50 * 51) {
			c->be.rate[dir] = (uint64_t)rate;
			c->be.batch[dir] = n;
		}
		if (kvl_now_ns() - start >= TUNE_NS)
			break;
	}
	*most = last;
	return 0;
}

int kvl_cuda_tune(struct kvl_gpu_backend *be, unsigned int slots)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	unsigned int most = slots < KVL_GPU_BATCH_MAX ? slots
						      : KVL_GPU_BATCH_MAX;
	int ret, mode;

	ret = kvl_cuda_push(c, &mode);
	if (ret)
		return ret;
	/* Is it there, but not for this device or kind of memory? */
	if (be->path == KVLIFT_GPU_PATH_BATCH) {
		struct kvl_gpu_copy one = { .bytes = (uint32_t)be->block };

		set_copies(c, KVL_GPU_OUT, &one, 1);
		if (copy_batch(c, KVL_GPU_OUT, 1))
			be->path = KVLIFT_GPU_PATH_ASYNC;
	}
	/* Out first, then the same back in: the GPU's memory stays as it is. */
	ret = tune_one(c, KVL_GPU_OUT, &most);
	if (!ret)
		ret = tune_one(c, KVL_GPU_IN, &most);
	/* There is nobody yet to copy from. */
	be->batch[KVL_GPU_PEER] = be->batch[KVL_GPU_IN];
	kvl_cuda_pop(c, mode);
	return ret;
}
