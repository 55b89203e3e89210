// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The copy kernel of the CUDA backend: when it is chosen, when it is not, and
 * every byte of what it copies. The fake driver runs the library's own PTX
 * (fake_ptx.h). Built a second time for the thread sanitizer.
 */
#include "fake_attach.h"

/* For blocks of other sizes than the module's side has here. */
#define MEMORY (8u << 20)

#define KERNEL KVLIFT_GPU_PATH_KERNEL
#define BATCH  KVLIFT_GPU_PATH_BATCH

static uint64_t word(uint64_t seed, uint64_t block, uint64_t i)
{
	return (seed << 56 | block << 32 | i) * 0x9e3779b97f4a7c15ULL;
}

static void fill(char *at, size_t bytes, uint64_t seed, uint64_t block)
{
	uint64_t *p = (uint64_t *)at, i;

	for (i = 0; i < bytes / 8; i++)
		p[i] = word(seed, block, i);
}

static uint64_t wrong(const char *at, size_t bytes, uint64_t seed,
		      uint64_t block)
{
	const uint64_t *p = (const uint64_t *)at;
	uint64_t i, n = 0;

	for (i = 0; i < bytes / 8; i++)
		n += p[i] != word(seed, block, i);
	return n;
}

/* @count blocks in, and out again to where others were: all are right. */
static void copy_some(struct kvlift_gpu *gpu, uint32_t count, uint64_t seed)
{
	char *memory = (char *)(uintptr_t)kvlift_gpu_base(gpu);
	uint32_t i, first = fake.written;

	for (i = 0; i < count; i++) {
		fill(fake.window + i * FAKE_BLOCK, FAKE_BLOCK, seed, i);
		fake_copy(KVLIFT_CMD_IN, i, i ^ 1);
	}
	fake_wait(first + count);
	for (i = 0; i < count; i++) {
		CHECK_EQ(wrong(memory + (i ^ 1) * FAKE_BLOCK, FAKE_BLOCK, seed,
			       i),
			 0);
		memset(fake.window + i * FAKE_BLOCK, 0xee, FAKE_BLOCK);
	}
	for (i = 0; i < count; i++)
		fake_copy(KVLIFT_CMD_OUT, count - 1 - i, i);
	fake_wait(first + 2 * count);
	for (i = 0; i < count; i++)
		CHECK_EQ(wrong(fake.window + (count - 1 - i) * FAKE_BLOCK,
			       FAKE_BLOCK, seed, i ^ 1),
			 0);
	for (i = first; i < first + 2 * count; i++)
		CHECK_EQ(fake_res(i), 0);
}

/* Each way: as slow as this, or not at all. */
static void kernels(unsigned int in_us, unsigned int out_us)
{
	cuda->load = 0;
	cuda->kernel_us[0] = in_us;
	cuda->kernel_us[1] = out_us;
}

/* The driver's copies are slow while it is attached. */
static struct kvlift_gpu *open_slow(const struct kvlift_gpu_opts *o)
{
	struct kvlift_gpu *gpu;

	if (o->depth > FAKE_SQ)
		fake.entries = o->depth;
	cuda->slow_us = 2000;
	gpu = open_with(o);
	cuda->slow_us = 0;
	return gpu;
}

/*
 * With these paths: on a machine that has much else to do just now what is
 * quicker takes longer now and then, but not each time.
 */
static struct kvlift_gpu *open_until(const struct kvlift_gpu_opts *o,
				     unsigned int in, unsigned int out)
{
	struct kvlift_gpu *gpu = open_slow(o);
	unsigned int i;

	for (i = 0; i < 20 && (gpu->be->paths[KVL_GPU_IN] != in ||
			       gpu->be->paths[KVL_GPU_OUT] != out);
	     i++) {
		kvlift_gpu_close(gpu);
		fake_check_closed();
		gpu = open_slow(o);
	}
	return gpu;
}

static struct kvlift_gpu *open_chosen(void)
{
	const struct kvlift_gpu_opts o = opts();

	kernels(0, 0);
	return open_until(&o, KERNEL, KERNEL);
}

static int kernel_error(struct kvlift_gpu *gpu)
{
	struct kvlift_gpu_info info;

	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.pad, 0);
	return info.kernel_error;
}

static void check_paths(struct kvlift_gpu *gpu, unsigned int in,
			unsigned int out)
{
	struct kvlift_gpu_info info;

	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.path, KVLIFT_GPU_PATH_BATCH);
	CHECK_EQ(info.path_in, in);
	CHECK_EQ(info.path_out, out);
	CHECK(info.rate_in > 0 && info.rate_out > 0);
	CHECK(info.batch_in >= (in == KVLIFT_GPU_PATH_KERNEL ? 2 : 1));
	CHECK(info.batch_out >= (out == KVLIFT_GPU_PATH_KERNEL ? 2 : 1));
}

static unsigned int driver_copies(void)
{
	return cuda->batches12 + cuda->batches13 + cuda->asyncs;
}

static void chosen_where_it_is_quicker(void)
{
	struct kvlift_gpu *gpu = open_chosen();
	unsigned int copies = driver_copies(), launches = cuda->launches;

	check_paths(gpu, KERNEL, KERNEL);
	CHECK_EQ(kernel_error(gpu), 0);
	copy_some(gpu, WINDOW, 1);
	copy_some(gpu, 6, 2);
	CHECK_EQ(driver_copies(), copies);
	CHECK(cuda->launches > launches);
	CHECK_EQ(cuda->modules, 1);
	close_cuda(gpu);
}

/* Before what waits of the application; without that where it is not there. */
static void goes_first(void)
{
	static const char *const calls[] = { NULL, "cuStreamCreateWithPriority",
					     "cuCtxGetStreamPriorityRange" };
	struct kvlift_gpu *gpu;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		cuda->hidden = calls[i];
		gpu = open_chosen();
		cuda->priority = 1;
		copy_some(gpu, WINDOW, 15);
		CHECK_EQ(cuda->priority, i ? 0 : FAKE_CUDA_FIRST);
		CHECK_EQ(cuda->streams, KVL_GPU_DIRS);
		close_cuda(gpu);
	}
}

static void chosen_for_one_direction(void)
{
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	unsigned int way;

	for (way = 0; way < 2; way++) {
		kernels(way ? 50000 : 0, way ? 0 : 50000);
		gpu = open_until(&o, way ? BATCH : KERNEL,
				 way ? KERNEL : BATCH);
		kernels(0, 0);
		check_paths(gpu, way ? BATCH : KERNEL, way ? KERNEL : BATCH);
		copy_some(gpu, WINDOW, 3);
		check_paths(gpu, way ? BATCH : KERNEL, way ? KERNEL : BATCH);
		close_cuda(gpu);
	}
}

static void not_chosen_where_it_is_slower(void)
{
	struct kvlift_gpu *gpu;
	unsigned int launches;

	kernels(5000, 5000);
	gpu = open_cuda();
	launches = cuda->launches;
	CHECK(launches > 0);
	check_paths(gpu, BATCH, BATCH);
	CHECK_EQ(kernel_error(gpu), 0);
	copy_some(gpu, WINDOW, 4);
	CHECK_EQ(cuda->launches, launches);
	close_cuda(gpu);
}

/* One after the other it is quicker, in turn with the driver's copies not. */
static void not_chosen_when_in_turn(void)
{
	const struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;

	kernels(0, 0);
	cuda->tires = true;
	gpu = open_slow(&o);
	CHECK(cuda->launches > 0 && cuda->tired);
	check_paths(gpu, BATCH, BATCH);
	close_cuda(gpu);
}

/* It takes processors away: a little is not enough. */
static void how_much_quicker(void)
{
	CHECK(!kvl_cuda_is_worth_it(0, 0));
	CHECK(!kvl_cuda_is_worth_it(0, 100));
	CHECK(!kvl_cuda_is_worth_it(100, 100));
	CHECK(!kvl_cuda_is_worth_it(104, 100));
	CHECK(kvl_cuda_is_worth_it(105, 100));
}

/* It would be quicker, but it is not there, or must not be. */
static void not_there(void)
{
	static const char *const needed[] = {
		"cuModuleLoadData", "cuMemGetAddressRange", "cuModuleUnload",
		"cuModuleGetFunction", "cuLaunchKernel"
	};
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	unsigned int i;

	for (i = 0; i < 7; i++) {
		kernels(0, 0);
		cuda->hidden = i < 5 ? needed[i] : NULL;
		cuda->load = i == 5 ? KVL_CU_PTX_VERSION : 0;
		o.flags = i == 6 ? KVLIFT_GPU_NO_KERNEL : 0;
		gpu = open_slow(&o);
		check_paths(gpu, BATCH, BATCH);
		CHECK_EQ(kernel_error(gpu), i < 5    ? -ENOSYS
					    : i == 5 ? -ENOEXEC
						     : 0);
		CHECK_EQ(cuda->modules, 0);
		copy_some(gpu, WINDOW, 5);
		CHECK_EQ(cuda->launches, 0);
		close_cuda(gpu);
	}
}

static void not_without_registration(void)
{
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu_info info;
	struct kvlift_gpu *gpu;

	o.flags = KVLIFT_GPU_NO_REGISTER;
	kernels(0, 0);
	gpu = open_slow(&o);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.path_in, KVLIFT_GPU_PATH_ASYNC);
	CHECK_EQ(info.path_out, KVLIFT_GPU_PATH_ASYNC);
	CHECK_EQ(info.kernel_error, 0);
	copy_some(gpu, WINDOW, 6);
	CHECK_EQ(cuda->launches, 0);
	close_cuda(gpu);
}

/* Memory of the caller: all of one mapping, or there may be holes in it. */
static void not_over_holes(void)
{
	char *memory = new_memory((SLOTS + 2) * FAKE_BLOCK);
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;

	o.memory = kvl_ptr(memory) + FAKE_BLOCK;
	kernels(0, 0);
	gpu = open_until(&o, KERNEL, KERNEL);
	check_paths(gpu, KERNEL, KERNEL);
	copy_some(gpu, WINDOW, 16);
	kvlift_gpu_close(gpu);
	fake_check_closed();
	/* The first of these has all but the last block. */
	cuda->mapping = SLOTS * FAKE_BLOCK;
	cuda->launches = 0;
	gpu = open_slow(&o);
	check_paths(gpu, BATCH, BATCH);
	CHECK_EQ(kernel_error(gpu), -EFAULT);
	copy_some(gpu, WINDOW, 17);
	CHECK_EQ(cuda->launches, 0);
	kvlift_gpu_close(gpu);
	end_memory(memory);
	check_clean();
}

/*
 * Measuring leaves the caller's memory as it was: when all slots are measured
 * with, and when the driver is too slow for that.
 */
static void memory_stays(void)
{
	char *memory = new_memory(SLOTS * FAKE_BLOCK);
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	unsigned int i, slow;

	o.memory = kvl_ptr(memory);
	for (slow = 0; slow < 2; slow++) {
		for (i = 0; i < SLOTS; i++)
			fill(memory + i * FAKE_BLOCK, FAKE_BLOCK, 40, i);
		kernels(0, 0);
		cuda->largest = cuda->launches = 0;
		/* Only some leave the GPU, and no others may come back. */
		cuda->out_us = slow ? 1500 : 0;
		gpu = open_with(&o);
		CHECK(cuda->launches > 0);
		if (slow)
			CHECK(cuda->largest < SLOTS);
		for (i = 0; i < SLOTS; i++)
			CHECK_EQ(wrong(memory + i * FAKE_BLOCK, FAKE_BLOCK, 40,
				       i),
				 0);
		kvlift_gpu_close(gpu);
		fake_check_closed();
	}
	end_memory(memory);
	check_clean();
}

/* What the kernel cannot copy the driver does; then it goes on as before. */
static void not_for_this_batch(void)
{
	struct kvlift_gpu *gpu = open_chosen();
	struct kvl_cuda *c = (struct kvl_cuda *)gpu->be;
	kvl_cu_ptr piece = c->piece[0];
	unsigned int launches = cuda->launches;
	char *memory = (char *)(uintptr_t)kvlift_gpu_base(gpu);
	const struct kvlift_cmd half = {
		.op = KVLIFT_CMD_IN,
		.window = 4,
		.slot = 9,
		.bytes = FAKE_BLOCK / 2,
	};

	/* A part of the window that the device has not mapped. */
	__atomic_store_n(&c->piece[0], 0, __ATOMIC_RELEASE);
	copy_some(gpu, WINDOW, 7);
	__atomic_store_n(&c->piece[0], piece, __ATOMIC_RELEASE);
	/* Half of a block. */
	fill(memory + 9 * FAKE_BLOCK, FAKE_BLOCK, 8, 1);
	fill(fake.window + 4 * FAKE_BLOCK, FAKE_BLOCK, 8, 2);
	pthread_mutex_lock(&fake_lock);
	fake_write(&half);
	pthread_mutex_unlock(&fake_lock);
	fake_wait(fake.written);
	CHECK_EQ(wrong(memory + 9 * FAKE_BLOCK, FAKE_BLOCK / 2, 8, 2), 0);
	CHECK_EQ(((uint64_t *)memory)[9 * FAKE_BLOCK / 8 + FAKE_BLOCK / 16],
		 word(8, 1, FAKE_BLOCK / 16));
	CHECK_EQ(cuda->launches, launches);
	copy_some(gpu, WINDOW, 9);
	CHECK(cuda->launches > launches);
	check_paths(gpu, KERNEL, KERNEL);
	close_cuda(gpu);
}

/* A launch fails: this batch and all others are copied by the driver. */
static void launch_fails(void)
{
	struct kvlift_gpu *gpu = open_chosen();
	struct kvl_cuda *c = (struct kvl_cuda *)gpu->be;
	unsigned int launches = cuda->launches;
	struct kvlift_gpu_info info;

	cuda->launch = KVL_CU_OUT_OF_MEMORY;
	copy_some(gpu, WINDOW, 10);
	cuda->launch = 0;
	copy_some(gpu, WINDOW, 11);
	CHECK_EQ(cuda->launches, launches + 1);
	check_paths(gpu, BATCH, BATCH);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.copy_errors, 0);
	CHECK_EQ(info.kernel_error, -ENOMEM);
	CHECK_EQ(info.batch_in, c->by_driver[KVL_GPU_IN].batch);
	CHECK_EQ(info.rate_out, c->by_driver[KVL_GPU_OUT].rate);
	close_cuda(gpu);
}

/* It is loaded, and never can be launched on this device. */
static void launch_fails_at_once(void)
{
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;

	kernels(0, 0);
	cuda->launch = KVL_CU_NOT_SUPPORTED;
	gpu = open_slow(&o);
	CHECK_EQ(cuda->launches, 1);
	cuda->launch = 0;
	check_paths(gpu, BATCH, BATCH);
	CHECK_EQ(kernel_error(gpu), -EOPNOTSUPP);
	copy_some(gpu, WINDOW, 12);
	CHECK_EQ(cuda->launches, 1);
	close_cuda(gpu);
}

static void more_than_a_launch_takes(void)
{
	const uint32_t count = 2 * KVL_CU_BLOCKS + 44;
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	unsigned int launches, i;

	o.depth = 512;
	o.bytes = o.window_bytes = (size_t)count * FAKE_BLOCK;
	cuda->room = o.bytes;
	kernels(0, 0);
	gpu = open_until(&o, KERNEL, KERNEL);
	check_paths(gpu, KERNEL, KERNEL);
	cuda->launched = 0;
	for (i = 0; i < KVL_GPU_DIRS; i++)
		gpu->be->batch[i] = KVL_GPU_BATCH_MAX;
	launches = cuda->launches;
	copy_some(gpu, count, 13);
	/* Full ones, and what is left over. */
	CHECK(cuda->launches >= launches + 6);
	CHECK_EQ(cuda->launched, KVL_CU_BLOCKS);
	close_cuda(gpu);
}

/* No completion comes before the kernel has ended. */
static void slow_kernel(void)
{
	struct kvlift_gpu *gpu = open_chosen();

	kernels(3000, 3000);
	copy_some(gpu, WINDOW, 14);
	CHECK(fake.ns[0] >= 3000000);
	close_cuda(gpu);
}

/* It gets no processor for long: only what was launched waits for one. */
static void starved(void)
{
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	unsigned int launches, i;

	o.deadline_ms = 400;
	kernels(0, 0);
	gpu = open_until(&o, KERNEL, KERNEL);
	check_paths(gpu, KERNEL, KERNEL);
	__atomic_store_n(&cuda->held, true, __ATOMIC_RELAXED);
	fill(fake.window, FAKE_BLOCK, 18, 0);
	fake_copy(KVLIFT_CMD_IN, 0, 7);
	fake_kick();
	for (i = 0; i < 30000 && !kernel_error(gpu); i++)
		fake_pause_us(1000);
	CHECK_EQ(kernel_error(gpu), -ETIME);
	check_paths(gpu, BATCH, BATCH);
	launches = cuda->launches;
	fake_copy(KVLIFT_CMD_OUT, 1, 8);
	fake_wait(1);
	CHECK_EQ(fake.order[0], 1);
	CHECK_EQ(fake_res(0), FAKE_NOT_DONE);
	__atomic_store_n(&cuda->held, false, __ATOMIC_RELAXED);
	fake_wait(2);
	CHECK_EQ(fake_res(0), 0);
	CHECK_EQ(wrong((char *)(uintptr_t)kvlift_gpu_base(gpu) + 7 * FAKE_BLOCK,
		       FAKE_BLOCK, 18, 0),
		 0);
	copy_some(gpu, WINDOW, 19);
	CHECK_EQ(cuda->launches, launches);
	close_cuda(gpu);
}

static void closed_in_flight(void)
{
	struct kvlift_gpu *gpu = open_chosen();
	uint32_t i;

	kernels(5000, 5000);
	for (i = 0; i < WINDOW; i++)
		fake_copy(i % 2 ? KVLIFT_CMD_OUT : KVLIFT_CMD_IN, i, i);
	fake_wait(1);
	close_cuda(gpu);
}

static void device_dies(void)
{
	struct kvlift_gpu *gpu = open_chosen();
	uint32_t i;

	cuda->dies = true;
	for (i = 0; i < WINDOW; i++)
		fake_copy(KVLIFT_CMD_OUT, i, i);
	fake_wait(WINDOW);
	for (i = 0; i < WINDOW; i++)
		CHECK_EQ(fake_res(i), -EIO);
	close_cuda(gpu);
}

/* A batch of other blocks, elsewhere; the rest of both sides stays as it was. */
static void copy_blocks(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
			unsigned int nr, uint64_t seed)
{
	char *memory = (char *)(uintptr_t)be->base;
	char *to = dir == KVL_GPU_IN ? memory : be->window;
	char *from = dir == KVL_GPU_IN ? be->window : memory;
	struct kvl_gpu_copy copies[KVL_GPU_BATCH_MAX];
	unsigned int i, n = nr - 1, at, was;

	for (i = 0; i < nr; i++) {
		fill(from + i * be->block, be->block, seed, i);
		fill(to + i * be->block, be->block, seed, 100000 + i);
	}
	/* All but one. */
	for (i = 0; i < n; i++) {
		copies[i] = (struct kvl_gpu_copy){
			.window = i,
			.slot = (i * 5 + 3) % nr,
			.bytes = (uint32_t)be->block,
		};
	}
	CHECK_EQ(kvl_gpu_cuda.copy(be, dir, copies, n, dir), 0);
	while (!kvl_gpu_cuda.poll(be, dir))
		fake_pause_us(100);
	CHECK_EQ(kvl_gpu_cuda.poll(be, dir), 1);
	for (i = 0; i < nr; i++) {
		at = (i * 5 + 3) % nr;
		was = dir == KVL_GPU_IN ? i : at;
		at = dir == KVL_GPU_IN ? at : i;
		if (i == n)
			was = 100000 + at;
		CHECK_EQ(wrong(to + at * be->block, be->block, seed, was), 0);
	}
}

/* Of several parts each, in more than the thread blocks of a launch. */
static void blocks_of_other_sizes(void)
{
	static const size_t sizes[] = { 16u << 10, 64u << 10, 256u << 10,
					512u << 10 };
	const struct kvlift_gpu_opts o = { .bytes = MEMORY };
	char *window = aligned_alloc(4096, MEMORY);
	struct kvl_gpu_backend *be;
	unsigned int i, launches, count, dir;

	for (i = 0; i < 4; i++) {
		kernels(0, 0);
		cuda->room = MEMORY;
		CHECK_EQ(kvl_gpu_cuda.open(&o, sizes[i], MEMORY, &be), 0);
		be->window = window;
		be->window_bytes = MEMORY;
		memset(window, 0, MEMORY);
		CHECK_EQ(kvl_gpu_cuda.add_window(be, 0, MEMORY), 0);
		CHECK_EQ(kvl_gpu_cuda.tune(be, 8), 0);
		launches = cuda->launches;
		/* Up to 256 KiB it is looked at. */
		CHECK_EQ(launches > 0, i < 3);
		for (dir = 0; dir < 2 && i < 3; dir++)
			kvl_cuda_use((struct kvl_cuda *)be, dir,
				     &((struct kvl_cuda *)be)->by_kernel[dir]);
		count = MEMORY / sizes[i] < KVL_GPU_BATCH_MAX
				? MEMORY / sizes[i]
				: KVL_GPU_BATCH_MAX;
		CHECK_EQ(kvl_gpu_cuda.enter(be), 0);
		copy_blocks(be, KVL_GPU_IN, count, 20 + i);
		copy_blocks(be, KVL_GPU_OUT, count, 30 + i);
		CHECK_EQ(cuda->launches - launches, i < 3 ? 2 : 0);
		/* What docs/gpu.md says of multiprocessors. */
		CHECK_EQ(cuda->grid, i < 3 ? 32 : 0);
		kvl_gpu_cuda.close(be);
		check_clean();
	}
	free(window);
}

int main(void)
{
	fake_reset();
	load_fake();
	CASE(chosen_where_it_is_quicker);
	CASE(goes_first);
	CASE(chosen_for_one_direction);
	CASE(not_chosen_where_it_is_slower);
	CASE(not_chosen_when_in_turn);
	CASE(how_much_quicker);
	CASE(not_there);
	CASE(not_without_registration);
	CASE(not_over_holes);
	CASE(memory_stays);
	CASE(not_for_this_batch);
	CASE(launch_fails);
	CASE(launch_fails_at_once);
	CASE(more_than_a_launch_takes);
	CASE(slow_kernel);
	CASE(starved);
	CASE(closed_in_flight);
	CASE(device_dies);
	CASE(blocks_of_other_sizes);
	UNIT_END();
}
