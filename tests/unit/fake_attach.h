/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Attachments of the CUDA backend to fake_mover.h's side of the module, with
 * fake_cuda.c as the driver. Included by one file of a program.
 */
#ifndef FAKE_ATTACH_H
#define FAKE_ATTACH_H

#include <dlfcn.h>
#include <limits.h>

#include "../../userlib/src/gpu_cuda.h"
#include "../../userlib/src/internal.h"
#include "fake_cuda.h"
#include "fake_mover.h"

#define SLOTS  32u
#define WINDOW 32u

static struct fake_cuda *cuda;
__attribute__((unused)) static fake_cuda_stream_fn *new_stream;
__attribute__((unused)) static fake_cuda_end_stream_fn *end_stream;
__attribute__((unused)) static fake_cuda_launch_fn *launch;
__attribute__((unused)) static fake_cuda_memory_fn *new_memory;
__attribute__((unused)) static fake_cuda_end_memory_fn *end_memory;

static struct kvlift_gpu_opts opts(void)
{
	return (struct kvlift_gpu_opts){
		.backend = KVLIFT_GPU_CUDA,
		.depth = 32,
		.bytes = SLOTS * FAKE_BLOCK,
		.window_bytes = WINDOW * FAKE_BLOCK,
	};
}

/* No kernels: those are the subject of one test. */
static void reset(void)
{
	memset(cuda, 0, sizeof(*cuda));
	cuda->driver = 13000;
	cuda->load = KVL_CU_NOT_SUPPORTED;
	cuda->room = SLOTS * FAKE_BLOCK;
}

static struct kvlift_gpu *open_with(const struct kvlift_gpu_opts *o)
{
	struct kvlift_gpu *gpu = NULL;

	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, o, &kvl_gpu_cuda, &gpu), 0);
	return gpu;
}

__attribute__((unused)) static struct kvlift_gpu *open_cuda(void)
{
	const struct kvlift_gpu_opts o = opts();

	return open_with(&o);
}

/* The device has nothing of ours, and has not been misused. */
static void check_clean(void)
{
	CHECK_EQ(cuda->registrations, 0);
	CHECK_EQ(cuda->allocations, 0);
	CHECK_EQ(cuda->streams, 0);
	CHECK_EQ(cuda->events, 0);
	CHECK_EQ(cuda->contexts, 0);
	CHECK_EQ(cuda->modules, 0);
	CHECK_EQ(cuda->wrong, 0);
	fake_check_closed();
	reset();
}

static void close_cuda(struct kvlift_gpu *gpu)
{
	kvlift_gpu_close(gpu);
	check_clean();
}

static void load_fake(void)
{
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	fake_cuda_get_fn *get;
	void *lib;

	while (n > 0 && path[n - 1] != '/')
		n--;
	strcpy(path + n, "fake/libcuda.so.1");
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		printf("not ok - %s\n", dlerror());
		exit(1);
	}
	get = (fake_cuda_get_fn *)dlsym(lib, "fake_cuda_get");
	new_stream = (fake_cuda_stream_fn *)dlsym(lib, "fake_cuda_stream");
	end_stream =
		(fake_cuda_end_stream_fn *)dlsym(lib, "fake_cuda_end_stream");
	launch = (fake_cuda_launch_fn *)dlsym(lib, "fake_cuda_launch");
	new_memory = (fake_cuda_memory_fn *)dlsym(lib, "fake_cuda_memory");
	end_memory =
		(fake_cuda_end_memory_fn *)dlsym(lib, "fake_cuda_end_memory");
	cuda = get();
	reset();
}

#endif
