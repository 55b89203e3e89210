// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * What the CUDA backend measures when it is attached: how many blocks are best
 * copied at a time by the driver, and whether the kernel is quicker.
 */
#include "gpu_cuda.h"
#include "internal.h"
#include "io.h"

/* For each direction, by the driver, by the kernel; for each size of a batch. */
#define TUNE_NS	       20000000u
#define TUNE_KERNEL_NS 10000000u
#define TUNE_SIZE_NS   2000000u
/* Then the best of each once more, in turn; begins no other turn after this. */
#define TUNE_TURNS    3u
#define TUNE_TURNS_NS 12000000u

/* The copy engine is quick enough for larger ones, and takes nothing away. */
#define KERNEL_BLOCK_MAX (256u << 10)

void kvl_cuda_use(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		  const struct kvl_cuda_way *way)
{
	__atomic_store_n(&c->be.paths[dir], way->path, __ATOMIC_RELAXED);
	__atomic_store_n(&c->be.batch[dir], way->batch, __ATOMIC_RELAXED);
	__atomic_store_n(&c->be.rate[dir], way->rate, __ATOMIC_RELAXED);
}

/*
 * Which slot of the GPU belongs to one of the window: from both ends in turn,
 * since blocks are hardly ever neighbours. The same both ways, for all sizes.
 */
static unsigned int slot_of(const struct kvl_cuda *c, unsigned int window)
{
	return window % 2 ? c->spread - 1 - window / 2 : window / 2;
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
			.slot = slot_of(c, i),
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

/*
 * Batches of @first blocks and @step times as many each time, up to @most, for
 * @ns: which is best. 0 or -errno; @most: the most that have been copied.
 */
static int sweep(struct kvl_cuda *c, enum kvl_gpu_dir dir, unsigned int first,
		 unsigned int step, uint64_t ns, unsigned int *most,
		 struct kvl_cuda_way *way)
{
	uint64_t start = kvl_now_ns();
	unsigned int n, last = 0;
	int64_t rate;

	kvl_cuda_use(c, dir, way);
	/* The first copies of all are slower. */
	rate = measure(c, dir, first);
	/* The kernel is not used any more when it cannot be launched. */
	for (n = first; rate >= 0 && n <= *most; n *= step) {
		rate = measure(c, dir, n);
		if (rate < 0 || c->be.paths[dir] != way->path)
			break;
		last = n;
		/* A batch that is hardly quicker only takes longer to end. */
		if ((uint64_t)rate > way->rate / 50 * 51) {
			way->rate = (uint64_t)rate;
			way->batch = n;
		}
		/* Two at a time in any case: that is where the kernel begins. */
		if (n > 1 && kvl_now_ns() - start >= ns)
			break;
	}
	*most = last;
	return rate < 0 ? (int)rate : 0;
}

/* Into @n rates, in ascending order. */
static void insert(uint64_t *rates, unsigned int n, uint64_t rate)
{
	for (; n && rates[n - 1] > rate; n--)
		rates[n] = rates[n - 1];
	rates[n] = rate;
}

/*
 * Both in turn, as often, each with its best batch: the middle of its rates
 * counts. Those of the sweeps were the largest of several, and of different
 * times. 0 or -errno.
 */
static int compare(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		   struct kvl_cuda_way *driver, struct kvl_cuda_way *kernel)
{
	struct kvl_cuda_way *const ways[2] = { driver, kernel };
	uint64_t rates[2][TUNE_TURNS], start = kvl_now_ns();
	unsigned int n = 0, i;
	int64_t rate;

	do {
		for (i = 0; i < 2; i++) {
			kvl_cuda_use(c, dir, ways[i]);
			rate = measure(c, dir, ways[i]->batch);
			if (rate < 0)
				return (int)rate;
			/* The kernel was given up. */
			if (c->be.paths[dir] != ways[i]->path)
				return 0;
			insert(rates[i], n, (uint64_t)rate);
		}
		n++;
	} while (n < TUNE_TURNS && kvl_now_ns() - start < TUNE_TURNS_NS);
	for (i = 0; i < 2; i++)
		ways[i]->rate = rates[i][n / 2];
	return 0;
}

/* @most: blocks, and then those that have been copied. */
static int tune_one(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		    unsigned int *most)
{
	struct kvl_cuda_way *driver = &c->by_driver[dir];
	struct kvl_cuda_way *kernel = &c->by_kernel[dir];
	unsigned int some;
	int ret;

	*driver = (struct kvl_cuda_way){ .path = c->be.path, .batch = 1 };
	*kernel = (struct kvl_cuda_way){
		.path = KVLIFT_GPU_PATH_KERNEL,
		.batch = 1,
	};
	ret = sweep(c, dir, 1, 2, TUNE_NS, most, driver);
	some = *most;
	/* A launch is for several blocks, or it is no use. */
	if (!ret && c->kernel && some > 1)
		ret = sweep(c, dir, 2, 4, TUNE_KERNEL_NS, &some, kernel);
	if (!ret && c->kernel && kernel->rate)
		ret = compare(c, dir, driver, kernel);
	if (!c->kernel)
		kernel->rate = 0;
	kvl_cuda_use(c, dir,
		     kvl_cuda_is_worth_it(kernel->rate, driver->rate) ? kernel
								      : driver);
	return ret;
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
	c->spread = most;
	/* Is it there, but not for this device or kind of memory? */
	if (be->path == KVLIFT_GPU_PATH_BATCH && !kvl_cuda_try_batch(c))
		be->path = KVLIFT_GPU_PATH_ASYNC;
	if (!c->no_kernel && be->needs_register &&
	    be->block <= KERNEL_BLOCK_MAX)
		kvl_cuda_load_kernel(c);
	/* Out first, then the same back in: the GPU's memory stays as it is. */
	ret = tune_one(c, KVL_GPU_OUT, &most);
	if (!ret)
		ret = tune_one(c, KVL_GPU_IN, &most);
	/* There is nobody yet to copy from. */
	c->by_driver[KVL_GPU_PEER] = c->by_driver[KVL_GPU_IN];
	c->by_driver[KVL_GPU_PEER].rate = 0;
	kvl_cuda_use(c, KVL_GPU_PEER, &c->by_driver[KVL_GPU_PEER]);
	kvl_cuda_pop(c, mode);
	return ret;
}
