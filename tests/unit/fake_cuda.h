/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Controls of fake_cuda.c, a libcuda.so.1 over memory of the host. A test opens
 * it by its path; dlopen("libcuda.so.1") then finds that one.
 */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_CUDA_DEVICES 2

/* Registered memory is there on the device, and not where the host has it. */
#define FAKE_CUDA_BIAS 0x100000000000ULL

/* The greatest priority of streams. */
#define FAKE_CUDA_FIRST (-5)

/**
 * struct fake_cuda - what is to happen, and what has happened
 * @driver:	version
 * @hidden:	name of a call that the driver does not have, or NULL
 * @init:	result of cuInit
 * @batch:	result of cuMemcpyBatchAsync, 0: it works
 * @room:	bytes of memory of the device
 * @mapping:	bytes that are mapped at a time, 0: all of an allocation
 * @register_fails: registration of this number, from 1, fails; 0: none does
 * @bad_copy:	address on the device whose copies fail at once
 * @dies:	copies end, but events tell of an error
 * @load:	result of cuModuleLoadData, 0: it works
 * @launch:	result of cuLaunchKernel, 0: it works
 * @is_capturing: all streams are being captured
 * @peer:	result of cuCtxEnablePeerAccess, 0: it works
 * @cannot:	no device can access another
 * @no_peer_batch: cuMemcpyBatchAsync does not copy from device to device
 * @enabled:	by context and other context: peer access
 * @peer_copies: from device to device
 * @slow_us:	each copy takes so long
 * @out_us:	and so much longer if it is from a device to the host
 * @kernel_us:	each launch that reads the host's memory, or writes it
 * @tires:	a launch is slow when the driver has copied after another one
 * @tired:	it has
 * @held:	launches wait as long as this is set, as if for processors
 * @batches12:	calls of the prototype of 12.8
 * @batches13:	and of 13.0
 * @asyncs:	calls of cuMemcpyAsync
 * @launches:	of kernels
 * @launched:	most copies in one
 * @grid:	most thread blocks
 * @priority:	of the stream of the last
 * @largest:	most copies in a call
 * @registrations: that there are, as the next five
 * @wrong:	calls that a real driver would have refused, or worse
 *
 * Under a lock while there are threads of it.
 */
struct fake_cuda {
	int driver;
	const char *hidden;
	int init, batch;
	size_t room, mapping;
	unsigned int register_fails;
	uint64_t bad_copy;
	bool dies, is_capturing, tires, tired, held;
	int load, launch;
	int peer;
	bool cannot, no_peer_batch;
	bool enabled[FAKE_CUDA_DEVICES][FAKE_CUDA_DEVICES];
	unsigned int peer_copies;
	unsigned int slow_us, out_us, kernel_us[2];
	unsigned int batches12, batches13, asyncs, largest;
	unsigned int launches, launched, grid;
	int priority;
	unsigned int registrations, allocations, streams, events, contexts;
	unsigned int modules;
	unsigned int registered; /* so far */
	unsigned int wrong;
};

/* What the test calls, found with dlsym(). */
typedef struct fake_cuda *fake_cuda_get_fn(void);
/* A stream of the application, and work for it: a function. */
typedef void *fake_cuda_stream_fn(void);
typedef void fake_cuda_end_stream_fn(void *stream);
typedef void fake_cuda_launch_fn(void *stream, void (*fn)(void *), void *arg);
/* Memory of the device that is the application's. */
typedef void *fake_cuda_memory_fn(size_t bytes);
typedef void fake_cuda_end_memory_fn(void *memory);

#endif
