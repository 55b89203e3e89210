// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * usage: gpu_first POOL NAME
 * Attach, acquire, addresses, release: a GPU uses blocks of a region. By
 * nvcc -x cu with a GPU; by a C compiler, memory stands in for that.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <kvlift.h>

#define BLOCKS 8

#ifdef __CUDACC__
#define BACKEND KVLIFT_GPU_CUDA
__global__ static void use(const uint64_t *block, size_t words)
{
	if (!threadIdx.x)
		printf("the GPU reads %d\n", (int)(block[words - 1] & 255));
}
#define LAUNCH(addr, bytes) use<<<1, 32>>>((uint64_t *)(addr), (bytes) / 8)
#else
#define BACKEND KVLIFT_GPU_MEMCPY
#define LAUNCH(addr, bytes) \
	printf("the GPU reads %d\n", ((char *)(uintptr_t)(addr))[(bytes)-1])
#endif

static void check(int64_t ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, kvlift_strerror((int)ret));
}

int main(int argc, char **argv)
{
	struct kvlift_gpu_opts opts = {};
	struct kvlift_gpu_req req = {};
	uint64_t cookie = 1, addr[BLOCKS];
	struct kvlift_region *region;
	struct kvlift_event event;
	struct kvlift_pool *pool;
	struct kvlift_gpu *gpu;
	size_t block;

	if (argc != 3)
		errx(2, "usage: gpu_first POOL NAME");
	check(kvlift_pool_open(argv[1], &pool), argv[1]);
	check(kvlift_region_open(pool, argv[2], O_RDONLY, &region), argv[2]);
	block = kvlift_pool_block_size(pool);

	opts.backend = BACKEND; /* of device 0 */
	opts.bytes = 4 * BLOCKS * block;
	opts.window_bytes = BLOCKS * block;
	check(kvlift_gpu_attach(pool, NULL, &opts, &gpu), "attach");

	req.region = region; /* blocks 0 to 7, for ten seconds at the most */
	req.count = BLOCKS;
	req.cookie = cookie;
	req.flags = KVLIFT_REQ_GPU;
	req.lease_ms = 10000;
	check(kvlift_gpu_acquire(gpu, &req, 1), "acquire");
	check(kvlift_gpu_wait(gpu, &event, 1, -1), "wait");
	check(event.res, "acquire");
	check(kvlift_gpu_addresses(gpu, cookie, addr, BLOCKS), "addresses");
	for (int i = 0; i < BLOCKS; i++)
		LAUNCH(addr[i], block); /* in the default stream */
	check(kvlift_gpu_release_after(gpu, &cookie, 1, 0), "release");
	check(kvlift_gpu_detach(gpu, -1), "detach");
	kvlift_region_close(region);
	kvlift_pool_close(pool);
}
