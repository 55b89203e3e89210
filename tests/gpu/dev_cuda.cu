// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The device by the CUDA runtime: the same primary context as the library's. */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>

#include "dev.h"
#include "pattern.h"

#define THREADS 256
/* Addresses that a launch is given at a time. */
#define CHUNK 4096

static int device;
static char name[256];
static cudaStream_t stream[2];
static uint64_t *device_addrs;
static unsigned long long *device_wrong;

static void check(cudaError_t err, const char *what)
{
	if (err == cudaSuccess)
		return;
	fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(err));
	exit(1);
}

bool dev_open(int number)
{
	cudaDeviceProp prop;
	int n = 0;

	if (cudaGetDeviceCount(&n) != cudaSuccess || n <= number) {
		fprintf(stderr, "no GPU: %s\n",
			n ? "no such device"
			  : cudaGetErrorString(cudaGetLastError()));
		return false;
	}
	device = number;
	check(cudaSetDevice(device), "cudaSetDevice");
	check(cudaGetDeviceProperties(&prop, device),
	      "cudaGetDeviceProperties");
	snprintf(name, sizeof(name), "%s", prop.name);
	for (n = 0; n < 2; n++)
		check(cudaStreamCreateWithFlags(&stream[n],
						cudaStreamNonBlocking),
		      "cudaStreamCreate");
	check(cudaMalloc(&device_addrs, CHUNK * sizeof(uint64_t)),
	      "cudaMalloc");
	check(cudaMalloc(&device_wrong, sizeof(*device_wrong)), "cudaMalloc");
	return true;
}

const char *dev_name(void)
{
	return name;
}

bool dev_is_real(void)
{
	return true;
}

uint64_t dev_free_bytes(void)
{
	size_t left = 0, total;

	check(cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
	return left;
}

uint64_t dev_alloc(size_t bytes)
{
	void *p = NULL;

	check(cudaMalloc(&p, bytes), "cudaMalloc");
	return (uint64_t)(uintptr_t)p;
}

void dev_free(uint64_t at)
{
	check(cudaFree((void *)(uintptr_t)at), "cudaFree");
}

void *dev_alloc_pinned(size_t bytes)
{
	void *p = NULL;

	check(cudaHostAlloc(&p, bytes, cudaHostAllocDefault), "cudaHostAlloc");
	return p;
}

void dev_free_pinned(void *at, size_t bytes)
{
	(void)bytes;
	check(cudaFreeHost(at), "cudaFreeHost");
}

bool dev_register(void *at, size_t bytes)
{
	cudaError_t err = cudaHostRegister(at, bytes, cudaHostRegisterMapped);

	if (err == cudaSuccess)
		return true;
	fprintf(stderr, "cudaHostRegister: %s\n", cudaGetErrorString(err));
	cudaGetLastError();
	return false;
}

void dev_unregister(void *at)
{
	check(cudaHostUnregister(at), "cudaHostUnregister");
}

void dev_copy(enum dev_dir dir, uint64_t dst, void *host, size_t bytes)
{
	void *d = (void *)(uintptr_t)dst;

	if (dir == DEV_IN)
		check(cudaMemcpyAsync(d, host, bytes, cudaMemcpyHostToDevice,
				      stream[dir]),
		      "cudaMemcpyAsync");
	else
		check(cudaMemcpyAsync(host, d, bytes, cudaMemcpyDeviceToHost,
				      stream[dir]),
		      "cudaMemcpyAsync");
}

void dev_sync(void)
{
	check(cudaStreamSynchronize(stream[DEV_IN]), "cudaStreamSynchronize");
	check(cudaStreamSynchronize(stream[DEV_OUT]), "cudaStreamSynchronize");
}

void *dev_alloc_managed(size_t bytes)
{
	int has = 0;
	void *p = NULL;

	cudaDeviceGetAttribute(&has, cudaDevAttrConcurrentManagedAccess,
			       device);
	if (!has || cudaMallocManaged(&p, bytes) != cudaSuccess) {
		cudaGetLastError();
		return NULL;
	}
	return p;
}

void dev_free_managed(void *at)
{
	check(cudaFree(at), "cudaFree");
}

bool dev_prefetch(void *at, size_t bytes, enum dev_dir to)
{
	cudaError_t err;
#if CUDART_VERSION >= 13000
	struct cudaMemLocation where = {};

	where.type = to == DEV_IN ? cudaMemLocationTypeDevice
				  : cudaMemLocationTypeHost;
	where.id = to == DEV_IN ? device : 0;
	err = cudaMemPrefetchAsync(at, bytes, where, 0, stream[to]);
#else
	err = cudaMemPrefetchAsync(
		at, bytes, to == DEV_IN ? device : cudaCpuDeviceId, stream[to]);
#endif
	if (err == cudaSuccess)
		return true;
	cudaGetLastError();
	return false;
}

/* A thread block for each block of KV. */
__global__ static void fill(const uint64_t *addrs, uint64_t first, size_t words,
			    uint64_t seed)
{
	uint64_t *p = (uint64_t *)addrs[blockIdx.x];
	uint64_t b = pattern_block(seed, first + blockIdx.x);

	for (size_t i = threadIdx.x; i < words; i += blockDim.x)
		p[i] = pattern_word(b, i);
}

__global__ static void compare(const uint64_t *addrs, uint64_t first,
			       size_t words, uint64_t seed,
			       unsigned long long *wrong)
{
	const uint64_t *p = (const uint64_t *)addrs[blockIdx.x];
	uint64_t b = pattern_block(seed, first + blockIdx.x);
	unsigned long long n = 0;

	for (size_t i = threadIdx.x; i < words; i += blockDim.x)
		n += p[i] != pattern_word(b, i);
	if (n)
		atomicAdd(wrong, n);
}

void dev_fill(const uint64_t *addrs, uint64_t first, size_t count, size_t block,
	      uint64_t seed)
{
	for (size_t i = 0; i < count; i += CHUNK) {
		size_t n = count - i < CHUNK ? count - i : CHUNK;

		check(cudaMemcpy(device_addrs, addrs + i, n * sizeof(*addrs),
				 cudaMemcpyHostToDevice),
		      "cudaMemcpy");
		fill<<<(unsigned int)n, THREADS>>>(device_addrs, first + i,
						   block / 8, seed);
		check(cudaGetLastError(), "fill");
		check(cudaDeviceSynchronize(), "fill");
	}
}

uint64_t dev_wrong(const uint64_t *addrs, uint64_t first, size_t count,
		   size_t block, uint64_t seed)
{
	unsigned long long wrong = 0;

	check(cudaMemset(device_wrong, 0, sizeof(wrong)), "cudaMemset");
	for (size_t i = 0; i < count; i += CHUNK) {
		size_t n = count - i < CHUNK ? count - i : CHUNK;

		check(cudaMemcpy(device_addrs, addrs + i, n * sizeof(*addrs),
				 cudaMemcpyHostToDevice),
		      "cudaMemcpy");
		compare<<<(unsigned int)n, THREADS>>>(
			device_addrs, first + i, block / 8, seed, device_wrong);
		check(cudaGetLastError(), "compare");
		check(cudaDeviceSynchronize(), "compare");
	}
	check(cudaMemcpy(&wrong, device_wrong, sizeof(wrong),
			 cudaMemcpyDeviceToHost),
	      "cudaMemcpy");
	return wrong;
}

void dev_poison(uint64_t at, size_t bytes)
{
	check(cudaMemset((void *)(uintptr_t)at, 0xa5, bytes), "cudaMemset");
	check(cudaDeviceSynchronize(), "cudaMemset");
}
