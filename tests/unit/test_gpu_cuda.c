// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The CUDA backend against fake_cuda.c, a driver over memory of the host whose
 * streams are threads: both prototypes of the batch copy and none, what fails,
 * and leases that wait for a stream. Built a second time for the thread
 * sanitizer.
 */
#include <sys/wait.h>

#include "fake_attach.h"

/* Without a driver, on a machine that has none: before the fake is there. */
static void no_driver(void)
{
	const struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	int status, ret;
	pid_t pid = fork();

	if (!pid) {
		if (dlopen("libcuda.so.1", RTLD_NOW))
			_exit(2);
		ret = kvl_gpu_open(-1, FAKE_BLOCK, &o, &kvl_gpu_cuda, &gpu);
		_exit(ret == -ELIBACC && strstr(kvlift_strerror(ret), "library")
			      ? 0
			      : 1);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		printf("# there is a driver\n");
	else
		CHECK_EQ(status, 0);
}

/* In and out again, elsewhere, twice all of depth. */
static void copy_all(struct kvlift_gpu *gpu)
{
	char *memory = (char *)(uintptr_t)kvlift_gpu_base(gpu);
	uint32_t i, round, first = fake.written, sent = first;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < WINDOW; i++) {
			memset(fake.window + i * FAKE_BLOCK,
			       (int)(round * WINDOW + i + 1), FAKE_BLOCK);
			fake_copy(KVLIFT_CMD_IN, i, i ^ 3);
		}
		fake_wait(sent += WINDOW);
		for (i = 0; i < WINDOW; i++)
			CHECK_EQ(memory[(i ^ 3) * FAKE_BLOCK + FAKE_BLOCK - 1],
				 (char)(round * WINDOW + i + 1));
		for (i = 0; i < WINDOW; i++)
			fake_copy(KVLIFT_CMD_OUT, i ^ 5, i ^ 3);
		fake_wait(sent += WINDOW);
		for (i = 0; i < WINDOW; i++)
			CHECK_EQ(fake.window[(i ^ 5) * FAKE_BLOCK],
				 (char)(round * WINDOW + i + 1));
	}
	for (i = first; i < sent; i++)
		CHECK_EQ(fake_res(i), 0);
}

static void as_of_13(void)
{
	struct kvlift_gpu *gpu = open_cuda();
	struct kvlift_gpu_info info;

	copy_all(gpu);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.path, KVLIFT_GPU_PATH_BATCH);
	CHECK_EQ(info.driver, 13000);
	CHECK_EQ(info.registered_bytes, WINDOW * FAKE_BLOCK);
	CHECK(info.batch_in >= 1 && info.batch_in <= 32);
	CHECK(info.batch_out >= 1 && info.batch_out <= 32);
	CHECK(info.rate_in > 0 && info.rate_out > 0);
	CHECK(cuda->batches13 > 0);
	CHECK_EQ(cuda->batches12, 0);
	CHECK_EQ(cuda->asyncs, 0);
	CHECK(cuda->largest <= 32);
	close_cuda(gpu);
}

static void as_of_12_8(void)
{
	struct kvlift_gpu *gpu;

	cuda->driver = 12090;
	gpu = open_cuda();
	copy_all(gpu);
	CHECK(cuda->batches12 > 0);
	CHECK_EQ(cuda->batches13, 0);
	CHECK_EQ(cuda->asyncs, 0);
	close_cuda(gpu);
}

static void without_batches(void)
{
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu_info info;
	struct kvlift_gpu *gpu;
	unsigned int i;

	/* The driver lacks it, or has it and not for this device, or must not. */
	for (i = 0; i < 3; i++) {
		cuda->driver = i ? 13000 : 12040;
		cuda->batch = i == 1 ? KVL_CU_NOT_SUPPORTED : 0;
		o.flags = i == 2 ? KVLIFT_GPU_NO_REGISTER : 0;
		gpu = open_with(&o);
		copy_all(gpu);
		CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
		CHECK_EQ(info.path, KVLIFT_GPU_PATH_ASYNC);
		CHECK_EQ(info.registered_bytes,
			 i == 2 ? 0 : WINDOW * FAKE_BLOCK);
		CHECK(cuda->asyncs > 0);
		CHECK_EQ(cuda->batches12, 0);
		CHECK_EQ(cuda->batches13, i == 1);
		close_cuda(gpu);
	}
}

/* Copies of a slow device end later, and no completion comes before. */
static void slow(void)
{
	struct kvlift_gpu *gpu = open_cuda();

	cuda->slow_us = 300;
	copy_all(gpu);
	CHECK(fake.ns[0] >= 300000);
	close_cuda(gpu);
}

/* Measuring leaves the caller's memory as it was, and closing too. */
static void given(void)
{
	char *memory = new_memory(SLOTS * FAKE_BLOCK);
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu *gpu;
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		memset(memory + i * FAKE_BLOCK, (int)i, FAKE_BLOCK);
	o.memory = kvl_ptr(memory);
	gpu = open_with(&o);
	CHECK_EQ(cuda->allocations, 1);
	CHECK(kvlift_gpu_base(gpu) == o.memory);
	for (i = 0; i < SLOTS; i++)
		CHECK_EQ(memory[i * FAKE_BLOCK + FAKE_BLOCK - 1], (char)i);
	kvlift_gpu_close(gpu);
	CHECK_EQ(cuda->allocations, 1);
	end_memory(memory);
	check_clean();
}

static void refused(int err, const struct kvlift_gpu_opts *o)
{
	struct kvlift_gpu *gpu;

	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, o, &kvl_gpu_cuda, &gpu), err);
	check_clean();
}

static void not_attached(void)
{
	static const char *const needed[] = { "cuInit", "cuEventQuery",
					      "cuMemHostRegister",
					      "cuMemcpyAsync" };
	struct kvlift_gpu_opts o = opts();
	unsigned int i;
	char host[256];

	for (i = 0; i < 4; i++) {
		cuda->hidden = needed[i];
		refused(-ENOSYS, &o);
	}
	cuda->init = KVL_CU_NO_DEVICE;
	refused(-ENODEV, &o);
	cuda->init = KVL_CU_STUB_LIBRARY;
	refused(-ELIBACC, &o);
	o.device = 2;
	refused(-ENODEV, &o);
	o.device = 0;
	cuda->room = FAKE_BLOCK;
	refused(-ENOMEM, &o);
	cuda->register_fails = 1;
	refused(-ENOMEM, &o);
	/* Not memory of this device. */
	o.memory = kvl_ptr(host) & ~255ULL;
	refused(-EFAULT, &o);
	o.memory = 0;
	fake.attach_error = -EACCES;
	refused(-EACCES, &o);
	/* The device fails while copies are measured. */
	cuda->dies = true;
	refused(-EIO, &o);
}

/* One cannot be copied: the others of its batch are. */
static void one_bad_copy(void)
{
	struct kvlift_gpu *gpu = open_cuda();
	struct kvlift_gpu_info info;
	uint32_t i;

	cuda->bad_copy = kvlift_gpu_base(gpu) + 5 * FAKE_BLOCK;
	for (i = 0; i < WINDOW; i++)
		fake_copy(KVLIFT_CMD_IN, i, i);
	fake_wait(WINDOW);
	for (i = 0; i < WINDOW; i++)
		CHECK_EQ(fake_res(i), i == 5 ? -EIO : 0);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.copy_errors, 1);
	CHECK_EQ(info.path, KVLIFT_GPU_PATH_BATCH);
	close_cuda(gpu);
}

/* The device is gone: commands end with errors, leases all the same. */
static void device_dies(void)
{
	struct kvlift_gpu *gpu = open_cuda();
	void *stream = new_stream();
	const uint64_t cookie = 9;
	uint32_t i;

	cuda->dies = true;
	for (i = 0; i < WINDOW; i++)
		fake_copy(KVLIFT_CMD_OUT, i, i);
	fake_wait(WINDOW);
	for (i = 0; i < WINDOW; i++)
		CHECK_EQ(fake_res(i), -EIO);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &cookie, 1, kvl_ptr(stream)), 0);
	fake_wait_released(1);
	close_cuda(gpu);
	end_stream(stream);
}

/* Closed with copies on their way: they end in memory that is still there. */
static void closed_in_flight(void)
{
	struct kvlift_gpu *gpu = open_cuda();
	uint32_t i;

	cuda->slow_us = 2000;
	for (i = 0; i < WINDOW; i++)
		fake_copy(i ? KVLIFT_CMD_OUT : KVLIFT_CMD_IN, i, i);
	fake_wait(1);
	close_cuda(gpu);
}

static void wait_gate(void *gate)
{
	while (!atomic_load((atomic_uint *)gate))
		fake_pause_us(100);
}

static void released_after(void)
{
	void *slow_stream = new_stream(), *stream = new_stream();
	const uint64_t cookies[2] = { 1, 2 }, other = 3;
	struct kvlift_gpu *gpu = open_cuda();
	atomic_uint gate = 0;

	launch(slow_stream, wait_gate, &gate);
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, 2,
					  kvl_ptr(slow_stream)),
		 0);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &other, 1, kvl_ptr(stream)), 0);
	fake_wait_released(1);
	CHECK_EQ(fake.released[0], 3);
	/* Copies go on beside a kernel that runs. */
	copy_all(gpu);
	CHECK_EQ(fake_released(), 1);
	atomic_store(&gate, 1);
	fake_wait_released(3);
	CHECK_EQ(fake.released[1], 1);
	CHECK_EQ(fake.released[2], 2);
	/* A stream that is being captured, and one of another context. */
	cuda->is_capturing = true;
	CHECK_EQ(kvlift_gpu_release_after(gpu, &other, 1, kvl_ptr(stream)),
		 -EBUSY);
	cuda->is_capturing = false;
	CHECK_EQ(kvlift_gpu_release_after(gpu, &other, 1, 3), -EINVAL);
	close_cuda(gpu);
	end_stream(slow_stream);
	end_stream(stream);
}

/* Leases that still wait when it is closed end with it. */
static void closed_with_leases(void)
{
	struct kvlift_gpu *gpu = open_cuda();
	void *stream = new_stream();
	const uint64_t cookie = 1;
	atomic_uint gate = 0;

	launch(stream, wait_gate, &gate);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &cookie, 1, kvl_ptr(stream)), 0);
	CHECK_EQ(kvlift_gpu_detach(gpu, 20), -ETIME);
	atomic_store(&gate, 1);
	CHECK_EQ(kvlift_gpu_detach(gpu, 30000), 0);
	check_clean();
	end_stream(stream);
}

/* Registered piece by piece; no copy runs over the end of one. */
static void pieces(void)
{
	const uint32_t per_piece = KVL_GPU_PIECE / FAKE_BLOCK;
	struct kvlift_gpu_opts o = opts();
	struct kvlift_gpu_info info;
	struct kvlift_gpu *gpu;
	uint64_t addr[2];
	unsigned int i;

	o.window_bytes = 2 * KVL_GPU_PIECE + FAKE_BLOCK;
	gpu = open_with(&o);
	for (i = 0; i < 30000; i++, fake_pause_us(1000)) {
		kvlift_gpu_info(gpu, &info);
		if (info.registered_bytes == o.window_bytes)
			break;
	}
	CHECK_EQ(info.registered_bytes, o.window_bytes);
	CHECK_EQ(cuda->registrations, 3);
	for (i = 0; i < 4; i++)
		fake_copy(KVLIFT_CMD_IN, per_piece - 2 + i, i);
	fake_wait(4);
	for (i = 0; i < 4; i++)
		CHECK_EQ(fake_res(i), 0);
	/* Where the device has the window is not where the host has it. */
	fake.words[0] = KVLIFT_LEASED_WINDOW | (per_piece + 7);
	fake.words[1] = 2;
	fake.nr_words = 2;
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, addr, 2), 2);
	CHECK(addr[0] == kvl_ptr(fake.window) + FAKE_CUDA_BIAS +
				 (uint64_t)(per_piece + 7) * FAKE_BLOCK);
	CHECK(addr[1] == kvlift_gpu_base(gpu) + 2 * FAKE_BLOCK);
	close_cuda(gpu);

	/* The second cannot be registered: the first goes on being used. */
	cuda->register_fails = 2;
	gpu = open_with(&o);
	for (i = 0; i < 30000; i++, fake_pause_us(1000)) {
		kvlift_gpu_info(gpu, &info);
		if (info.register_error)
			break;
	}
	CHECK_EQ(info.register_error, -ENOMEM);
	CHECK_EQ(info.registered_bytes, KVL_GPU_PIECE);
	CHECK_EQ(fake.ready, per_piece);
	copy_all(gpu);
	close_cuda(gpu);

	/* Nothing registered: a device that cannot use it sees nothing. */
	o.flags = KVLIFT_GPU_NO_REGISTER;
	gpu = open_with(&o);
	fake.words[0] = KVLIFT_LEASED_WINDOW;
	fake.nr_words = 1;
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, addr, 2), 1);
	CHECK_EQ(addr[0], 0);
	close_cuda(gpu);
}

static struct kvlift_gpu *pair[2];

/* Two attachments, of the first device and of this one. */
static void open_pair(int device)
{
	struct kvlift_gpu_opts o = opts();
	uint32_t i;

	pair[0] = open_with(&o);
	fake_select(1);
	o.device = device;
	pair[1] = open_with(&o);
	for (i = 0; i < SLOTS; i++)
		memset((char *)(uintptr_t)kvlift_gpu_base(pair[0]) +
			       i * FAKE_BLOCK,
		       (int)i + 1, FAKE_BLOCK);
}

static void close_pair(void)
{
	kvlift_gpu_close(pair[1]);
	fake_check_closed();
	fake_select(0);
	close_cuda(pair[0]);
}

/* All blocks of the first to the second, elsewhere. */
static void copy_peer(void)
{
	char *memory = (char *)(uintptr_t)kvlift_gpu_base(pair[1]);
	uint32_t i, sent = fake.written;

	memset(memory, 0, SLOTS * FAKE_BLOCK);
	for (i = 0; i < SLOTS; i++)
		fake_peer(0, i, i ^ 6);
	fake_wait(sent + SLOTS);
	for (i = 0; i < SLOTS; i++) {
		CHECK_EQ(fake_res(sent + i), 0);
		CHECK_EQ(memory[(i ^ 6) * FAKE_BLOCK], (char)(i + 1));
		CHECK_EQ(memory[(i ^ 6) * FAKE_BLOCK + FAKE_BLOCK - 1],
			 (char)(i + 1));
	}
}

/* Of one device or two; in batches of both kinds, and without. */
static void peers(void)
{
	static const int drivers[] = { 13000, 12090, 12040 };
	unsigned int i, asyncs, batches;

	for (i = 0; i < 6; i++) {
		cuda->driver = drivers[i / 2];
		open_pair(i % 2);
		CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
		CHECK_EQ(cuda->enabled[1][0], i % 2);
		CHECK_EQ(cuda->enabled[0][1], false);
		asyncs = cuda->asyncs;
		batches = cuda->batches12 + cuda->batches13;
		copy_peer();
		CHECK_EQ(cuda->peer_copies, SLOTS);
		if (i < 4) {
			CHECK_EQ(cuda->asyncs, asyncs);
			CHECK(cuda->batches12 + cuda->batches13 > batches);
		} else {
			CHECK_EQ(cuda->asyncs, asyncs + SLOTS);
		}
		/* It is on already, here and on the device. */
		CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
		CHECK_EQ(kvlift_gpu_peer(pair[0], pair[1], true), 0);
		copy_peer();
		close_pair();
	}
}

/* A driver whose batches are not for this is asked once. */
static void peers_without_batches(void)
{
	struct kvlift_gpu_info info;
	unsigned int batches, asyncs;

	open_pair(1);
	cuda->no_peer_batch = true;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
	asyncs = cuda->asyncs;
	batches = cuda->batches13;
	copy_peer();
	copy_peer();
	CHECK_EQ(cuda->asyncs, asyncs + 2 * SLOTS);
	CHECK_EQ(cuda->batches13, batches + 1);
	/* Others go in batches still. */
	copy_all(pair[1]);
	CHECK_EQ(cuda->asyncs, asyncs + 2 * SLOTS);
	CHECK_EQ(kvlift_gpu_info(pair[1], &info), 0);
	CHECK_EQ(info.path, KVLIFT_GPU_PATH_BATCH);
	close_pair();
}

/* Blocks that cannot be copied say nothing against batches. */
static void one_bad_peer_copy(void)
{
	unsigned int batches;
	uint32_t i;

	open_pair(0);
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
	cuda->bad_copy = kvlift_gpu_base(pair[1]) + 5 * FAKE_BLOCK;
	for (i = 0; i < SLOTS; i++)
		fake_peer(0, i, i);
	fake_wait(SLOTS);
	for (i = 0; i < SLOTS; i++)
		CHECK_EQ(fake_res(i), i == 5 ? -EIO : 0);
	cuda->bad_copy = 0;
	batches = cuda->batches13;
	copy_peer();
	CHECK(cuda->batches13 > batches);
	close_pair();
}

static void no_peers(void)
{
	open_pair(1);
	cuda->cannot = true;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), -EOPNOTSUPP);
	cuda->cannot = false;
	cuda->peer = KVL_CU_TOO_MANY_PEERS;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), -EOPNOTSUPP);
	cuda->peer = KVL_CU_PEER_UNSUPPORTED;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), -EOPNOTSUPP);
	cuda->peer = KVL_CU_INVALID_CONTEXT;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), -EINVAL);
	CHECK_EQ(fake.tells, 0);
	cuda->peer = 0;
	/* Another part of the process has enabled it. */
	cuda->enabled[1][0] = true;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
	copy_peer();
	close_pair();
	/* None is asked for what one device does with its own memory. */
	open_pair(0);
	cuda->cannot = true;
	CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
	copy_peer();
	close_pair();
}

static unsigned int cuda_peer_copies(void)
{
	return __atomic_load_n(&cuda->peer_copies, __ATOMIC_RELAXED);
}

/* Either of them while copies are on their way; the memory goes after them. */
static void closed_with_peers(void)
{
	struct kvlift_gpu *other;
	unsigned int first;
	uint32_t i;

	for (first = 0; first < 2; first++) {
		open_pair(1);
		CHECK_EQ(kvlift_gpu_peer(pair[1], pair[0], true), 0);
		cuda->slow_us = 2000;
		for (i = 0; i < WINDOW; i++)
			fake_peer(0, i, i);
		fake_kick();
		for (i = 0; i < 30000 && !cuda_peer_copies(); i++)
			fake_pause_us(1000);
		CHECK(cuda_peer_copies() > 0);
		other = pair[!first];
		fake_select(first);
		kvlift_gpu_close(pair[first]);
		fake_check_closed();
		CHECK_EQ(cuda->allocations, 1);
		fake_select(!first);
		kvlift_gpu_close(other);
		fake_select(0);
		check_clean();
		fake_select(1);
		fake_check_closed();
		fake_select(0);
	}
}

int main(void)
{
	fake_select(1);
	fake_reset();
	fake_select(0);
	fake_reset();
	CASE(no_driver);
	load_fake();
	CASE(as_of_13);
	CASE(as_of_12_8);
	CASE(without_batches);
	CASE(slow);
	CASE(given);
	CASE(not_attached);
	CASE(one_bad_copy);
	CASE(device_dies);
	CASE(closed_in_flight);
	CASE(released_after);
	CASE(closed_with_leases);
	CASE(pieces);
	CASE(peers);
	CASE(peers_without_batches);
	CASE(one_bad_peer_copy);
	CASE(no_peers);
	CASE(closed_with_peers);
	UNIT_END();
}
