/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is used of the CUDA driver's ABI, so that there is one build, with its
 * headers or without. tests/unit/test_gpu_abi.c compares it with cuda.h where
 * that is there.
 */
#ifndef KVLIFT_SRC_GPU_CUDA_H
#define KVLIFT_SRC_GPU_CUDA_H

#include <stdbool.h>

#include "gpu_backend.h"
#include "gpu_cuda_kernel.h"

/* Handles; results; addresses on the device. */
typedef void *kvl_cu_ctx, *kvl_cu_stream, *kvl_cu_event;
typedef void *kvl_cu_module, *kvl_cu_function;
typedef int kvl_cu_result, kvl_cu_device;
typedef unsigned long long kvl_cu_ptr;

/* CUresult */
#define KVL_CU_SUCCESS		  0
#define KVL_CU_INVALID_VALUE	  1
#define KVL_CU_OUT_OF_MEMORY	  2
#define KVL_CU_NOT_INITIALIZED	  3
#define KVL_CU_STUB_LIBRARY	  34
#define KVL_CU_DEVICE_UNAVAILABLE 46
#define KVL_CU_NO_DEVICE	  100
#define KVL_CU_INVALID_DEVICE	  101
#define KVL_CU_INVALID_CONTEXT	  201
#define KVL_CU_NO_BINARY	  209
#define KVL_CU_PEER_UNSUPPORTED	  217
#define KVL_CU_INVALID_PTX	  218
#define KVL_CU_NO_JIT		  221
#define KVL_CU_PTX_VERSION	  222
#define KVL_CU_JIT_DISABLED	  223
#define KVL_CU_INVALID_HANDLE	  400
#define KVL_CU_NOT_FOUND	  500
#define KVL_CU_NOT_READY	  600
#define KVL_CU_PEER_ENABLED	  704
#define KVL_CU_TOO_MANY_PEERS	  711
#define KVL_CU_ALREADY_REGISTERED 712
#define KVL_CU_NOT_PERMITTED	  800
#define KVL_CU_NOT_SUPPORTED	  801
#define KVL_CU_CAPTURE_IMPLICIT	  906

/* Other numbers, by the names that they have in cuda.h. */
#define KVL_CU_STREAM_NON_BLOCKING	   1u
#define KVL_CU_EVENT_DISABLE_TIMING	   2u
#define KVL_CU_MEMHOSTREGISTER_DEVICEMAP   2u
#define KVL_CU_PROC_LEGACY_STREAM	   1u
#define KVL_CU_CAPTURE_RELAXED		   2
#define KVL_CU_ATTR_PAGEABLE_MEMORY_ACCESS 88
#define KVL_CU_POINTER_MEMORY_TYPE	   2
#define KVL_CU_POINTER_DEVICE_ORDINAL	   9
#define KVL_CU_MEMORYTYPE_DEVICE	   2u
#define KVL_CU_SRC_ACCESS_STREAM	   1
#define KVL_CU_SRC_ACCESS_ANY		   3
#define KVL_CU_FLAG_PREFER_OVERLAP	   1u

/* CUmemLocation, CUmemcpyAttributes */
struct kvl_cu_location {
	int type;
	int id;
};

struct kvl_cu_copy_attr {
	int src_access_order;
	struct kvl_cu_location src_hint, dst_hint;
	unsigned int flags;
};

/*
 * X(member, name in the driver, version of the prototype, arguments): what has
 * to be there.
 */
#define KVL_CU_CALLS(X)                                                        \
	X(init, "cuInit", 2000, (unsigned int))                                \
	X(driver_version, "cuDriverGetVersion", 2020, (int *))                 \
	X(device_get, "cuDeviceGet", 2000, (kvl_cu_device *, int))             \
	X(device_attr, "cuDeviceGetAttribute", 2000,                           \
	  (int *, int, kvl_cu_device))                                         \
	X(ctx_retain, "cuDevicePrimaryCtxRetain", 7000,                        \
	  (kvl_cu_ctx *, kvl_cu_device))                                       \
	X(ctx_release, "cuDevicePrimaryCtxRelease", 11000, (kvl_cu_device))    \
	X(ctx_set, "cuCtxSetCurrent", 4000, (kvl_cu_ctx))                      \
	X(ctx_push, "cuCtxPushCurrent", 4000, (kvl_cu_ctx))                    \
	X(ctx_pop, "cuCtxPopCurrent", 4000, (kvl_cu_ctx *))                    \
	X(can_access, "cuDeviceCanAccessPeer", 4000,                           \
	  (int *, kvl_cu_device, kvl_cu_device))                               \
	X(enable_peer, "cuCtxEnablePeerAccess", 4000,                          \
	  (kvl_cu_ctx, unsigned int))                                          \
	X(mem_alloc, "cuMemAlloc", 3020, (kvl_cu_ptr *, size_t))               \
	X(mem_free, "cuMemFree", 3020, (kvl_cu_ptr))                           \
	X(pointer_attr, "cuPointerGetAttribute", 4000,                         \
	  (void *, int, kvl_cu_ptr))                                           \
	X(host_register, "cuMemHostRegister", 6050,                            \
	  (void *, size_t, unsigned int))                                      \
	X(host_unregister, "cuMemHostUnregister", 4000, (void *))              \
	X(host_pointer, "cuMemHostGetDevicePointer", 3020,                     \
	  (kvl_cu_ptr *, void *, unsigned int))                                \
	X(stream_create, "cuStreamCreate", 2000,                               \
	  (kvl_cu_stream *, unsigned int))                                     \
	X(stream_destroy, "cuStreamDestroy", 4000, (kvl_cu_stream))            \
	X(stream_sync, "cuStreamSynchronize", 2000, (kvl_cu_stream))           \
	X(event_create, "cuEventCreate", 2000, (kvl_cu_event *, unsigned int)) \
	X(event_destroy, "cuEventDestroy", 4000, (kvl_cu_event))               \
	X(event_record, "cuEventRecord", 2000, (kvl_cu_event, kvl_cu_stream))  \
	X(event_query, "cuEventQuery", 2000, (kvl_cu_event))                   \
	X(copy, "cuMemcpyAsync", 4000,                                         \
	  (kvl_cu_ptr, kvl_cu_ptr, size_t, kvl_cu_stream))

/* The same for a kernel: without one of them there is none. */
#define KVL_CU_KERNEL_CALLS(X)                                        \
	X(mem_range, "cuMemGetAddressRange", 3020,                    \
	  (kvl_cu_ptr *, size_t *, kvl_cu_ptr))                       \
	X(module_load, "cuModuleLoadData", 2000,                      \
	  (kvl_cu_module *, const void *))                            \
	X(module_unload, "cuModuleUnload", 2000, (kvl_cu_module))     \
	X(module_function, "cuModuleGetFunction", 2000,               \
	  (kvl_cu_function *, kvl_cu_module, const char *))           \
	X(launch, "cuLaunchKernel", 4000,                             \
	  (kvl_cu_function, unsigned int, unsigned int, unsigned int, \
	   unsigned int, unsigned int, unsigned int, unsigned int,    \
	   kvl_cu_stream, void **, void **))

/* cuMemcpyBatchAsync as of CUDA 13.0, and as of 12.8. */
typedef kvl_cu_result (*kvl_cu_batch13)(kvl_cu_ptr *dsts, kvl_cu_ptr *srcs,
					size_t *sizes, size_t count,
					struct kvl_cu_copy_attr *attrs,
					size_t *attr_idxs, size_t nr_attrs,
					kvl_cu_stream stream);
typedef kvl_cu_result (*kvl_cu_batch12)(kvl_cu_ptr *dsts, kvl_cu_ptr *srcs,
					size_t *sizes, size_t count,
					struct kvl_cu_copy_attr *attrs,
					size_t *attr_idxs, size_t nr_attrs,
					size_t *fail_idx, kvl_cu_stream stream);
typedef kvl_cu_result (*kvl_cu_capture)(int *mode);
typedef kvl_cu_result (*kvl_cu_capturing)(kvl_cu_stream stream, int *status);
typedef kvl_cu_result (*kvl_cu_stream_priority)(kvl_cu_stream *stream,
						unsigned int flags,
						int priority);
typedef kvl_cu_result (*kvl_cu_priority_range)(int *least, int *greatest);
typedef kvl_cu_result (*kvl_cu_get_proc)(const char *symbol, void **fn,
					 int version, unsigned long long flags,
					 int *status);

/**
 * struct kvl_cu - the driver's calls
 * @driver:	its version
 * @has_kernels: all of KVL_CU_KERNEL_CALLS() are there
 * @batch13:	at most one of these is there
 * @batch12:	see above
 * @capture:	cuThreadExchangeStreamCaptureMode, or NULL
 * @capturing:	cuStreamIsCapturing, or NULL
 * @stream_priority: cuStreamCreateWithPriority, or NULL
 * @priority_range: cuCtxGetStreamPriorityRange, or NULL
 */
struct kvl_cu {
#define KVL_CU_MEMBER(member, name, version, args) kvl_cu_result(*member) args;
	KVL_CU_CALLS(KVL_CU_MEMBER)
	KVL_CU_KERNEL_CALLS(KVL_CU_MEMBER)
#undef KVL_CU_MEMBER
	int driver;
	bool has_kernels;
	kvl_cu_batch13 batch13;
	kvl_cu_batch12 batch12;
	kvl_cu_capture capture;
	kvl_cu_capturing capturing;
	kvl_cu_stream_priority stream_priority;
	kvl_cu_priority_range priority_range;
};

/**
 * struct kvl_cuda_way - how blocks of a direction can be copied
 * @path:	enum kvlift_gpu_path
 * @batch:	blocks at a time with which it was quickest
 * @rate:	bytes per second that were measured with that, 0: not measured
 */
struct kvl_cuda_way {
	unsigned int path, batch;
	uint64_t rate;
};

/**
 * struct kvl_cuda - the backend
 * @memory:	what was allocated, 0: the caller's
 * @stream:	by direction: the device has an engine for each
 * @no_kernel:	the caller has said so
 * @is_peer_single: the batch call does not copy from other GPUs; the mover's
 * @tags:	events of batches
 * @marks:	events on the application's streams
 * @piece:	address on the device of each piece of the window, 0: not
 * registered
 * @module:	of @kernel
 * @kernel:	NULL: it is not there, or has failed
 * @patience_ns: a launch that has not ended after this is the last one
 * @launched_ns: of batches: when, 0: not by the kernel; the mover's
 * @spread:	slots of the GPU that attach measures with; its own, until then
 * @by_driver:	what the driver's own copies were measured to do
 * @by_kernel:	and what the kernel
 * @dsts:	of the batch that is being begun, as the next two; the mover's
 */
struct kvl_cuda {
	struct kvl_gpu_backend be;
	struct kvl_cu cu;
	kvl_cu_device device;
	kvl_cu_ctx ctx;
	bool has_ctx, is_pageable, no_kernel, is_peer_single;
	kvl_cu_ptr memory;
	kvl_cu_stream stream[KVL_GPU_DIRS];
	kvl_cu_event tags[KVL_GPU_DIRS * KVL_GPU_FLIGHTS];
	kvl_cu_event marks[KVLIFT_GPU_MARKS];
	kvl_cu_ptr *piece;
	size_t nr_pieces;
	kvl_cu_module module;
	kvl_cu_function kernel;
	uint64_t patience_ns, launched_ns[KVL_GPU_DIRS * KVL_GPU_FLIGHTS];
	unsigned int spread;
	struct kvl_cuda_way by_driver[KVL_GPU_DIRS], by_kernel[KVL_GPU_DIRS];
	kvl_cu_ptr dsts[KVL_GPU_BATCH_MAX], srcs[KVL_GPU_BATCH_MAX];
	size_t sizes[KVL_GPU_BATCH_MAX];
};

/* gpu_cuda_load.c */
int kvl_cu_load(struct kvl_cu *cu);
int kvl_cu_error(kvl_cu_result r);

/* gpu_cuda.c. For the time of a call of the application: our context. */
int kvl_cuda_push(struct kvl_cuda *c, int *mode);
void kvl_cuda_pop(struct kvl_cuda *c, int mode);

/* gpu_cuda_copy.c: the ops peer, copy and poll. */
int kvl_cuda_peer(struct kvl_gpu_backend *be, struct kvl_gpu_backend *from);
int kvl_cuda_copy(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
		  struct kvl_gpu_copy *copies, unsigned int count,
		  unsigned int tag);
int kvl_cuda_poll(struct kvl_gpu_backend *be, unsigned int tag);
/* Is a batch one that the driver can copy by a call? */
bool kvl_cuda_try_batch(struct kvl_cuda *c);

/* gpu_cuda_tune.c: the op of this name, and what of it is used. */
int kvl_cuda_tune(struct kvl_gpu_backend *be, unsigned int slots);
void kvl_cuda_use(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		  const struct kvl_cuda_way *way);

/* By a twentieth at least: less than that does not pay for the processors. */
static inline bool kvl_cuda_is_worth_it(uint64_t by_kernel, uint64_t by_driver)
{
	return by_driver && by_kernel >= by_driver + by_driver / 20;
}

/* gpu_cuda_kernel.c. It is there, or kernel_error says why not. */
void kvl_cuda_load_kernel(struct kvl_cuda *c);
/* Copies are not made by it any more: it would do no better with others. */
void kvl_cuda_drop_kernel(struct kvl_cuda *c, int error);
/* True: all have begun; false: none, copy them otherwise. */
bool kvl_cuda_launch(struct kvl_cuda *c, enum kvl_gpu_dir dir,
		     const struct kvl_gpu_copy *copies, unsigned int count);

/* gpu_cuda_ptx.c */
extern const char kvl_cu_ptx[];

#endif
