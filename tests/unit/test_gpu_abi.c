// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * userlib/src/gpu_cuda.h says of the CUDA driver what cuda.h says: each
 * prototype, structure and number. Compiled against that where there is one.
 */
#if __has_include(<cudaTypedefs.h>)
#include <cudaTypedefs.h>
#define HAS_CUDA
#elif __has_include("/usr/local/cuda/include/cudaTypedefs.h")
#include "/usr/local/cuda/include/cudaTypedefs.h"
#define HAS_CUDA
#endif

#include <stdio.h>

#include "../../userlib/src/gpu_cuda.h"

#ifdef HAS_CUDA
#define SAME(ours, theirs) _Static_assert((ours) == (theirs), #theirs)
#define SAME_SIZE(ours, theirs) \
	_Static_assert(sizeof(ours) == sizeof(theirs), #theirs)
#define SAME_MEMBER(ours, our_member, theirs, their_member)                 \
	_Static_assert(offsetof(ours, our_member) ==                        \
				       offsetof(theirs, their_member) &&    \
			       sizeof(((ours *)0)->our_member) ==           \
				       sizeof(((theirs *)0)->their_member), \
		       #their_member)

SAME_SIZE(kvl_cu_ctx, CUcontext);
SAME_SIZE(kvl_cu_stream, CUstream);
SAME_SIZE(kvl_cu_event, CUevent);
SAME_SIZE(kvl_cu_module, CUmodule);
SAME_SIZE(kvl_cu_function, CUfunction);
SAME_SIZE(kvl_cu_result, CUresult);
SAME_SIZE(kvl_cu_device, CUdevice);
SAME_SIZE(kvl_cu_ptr, CUdeviceptr);
SAME_SIZE(int, CUstreamCaptureMode);
SAME_SIZE(int, CUstreamCaptureStatus);
SAME_SIZE(int, CUpointer_attribute);
SAME_SIZE(int, CUdevice_attribute);
SAME_SIZE(int, CUdriverProcAddressQueryResult);
SAME_SIZE(unsigned long long, cuuint64_t);
SAME_SIZE(unsigned int, CUmemorytype);

SAME(KVL_CU_SUCCESS, CUDA_SUCCESS);
SAME(KVL_CU_INVALID_VALUE, CUDA_ERROR_INVALID_VALUE);
SAME(KVL_CU_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
SAME(KVL_CU_NOT_INITIALIZED, CUDA_ERROR_NOT_INITIALIZED);
SAME(KVL_CU_STUB_LIBRARY, CUDA_ERROR_STUB_LIBRARY);
SAME(KVL_CU_DEVICE_UNAVAILABLE, CUDA_ERROR_DEVICE_UNAVAILABLE);
SAME(KVL_CU_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
SAME(KVL_CU_INVALID_DEVICE, CUDA_ERROR_INVALID_DEVICE);
SAME(KVL_CU_INVALID_CONTEXT, CUDA_ERROR_INVALID_CONTEXT);
SAME(KVL_CU_NO_BINARY, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(KVL_CU_INVALID_PTX, CUDA_ERROR_INVALID_PTX);
SAME(KVL_CU_NO_JIT, CUDA_ERROR_JIT_COMPILER_NOT_FOUND);
SAME(KVL_CU_PTX_VERSION, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME(KVL_CU_JIT_DISABLED, CUDA_ERROR_JIT_COMPILATION_DISABLED);
SAME(KVL_CU_PEER_UNSUPPORTED, CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
SAME(KVL_CU_PEER_ENABLED, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
SAME(KVL_CU_TOO_MANY_PEERS, CUDA_ERROR_TOO_MANY_PEERS);
SAME(KVL_CU_INVALID_HANDLE, CUDA_ERROR_INVALID_HANDLE);
SAME(KVL_CU_NOT_FOUND, CUDA_ERROR_NOT_FOUND);
SAME(KVL_CU_NOT_READY, CUDA_ERROR_NOT_READY);
SAME(KVL_CU_ALREADY_REGISTERED, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
SAME(KVL_CU_NOT_PERMITTED, CUDA_ERROR_NOT_PERMITTED);
SAME(KVL_CU_NOT_SUPPORTED, CUDA_ERROR_NOT_SUPPORTED);
SAME(KVL_CU_CAPTURE_IMPLICIT, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);

SAME(KVL_CU_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
SAME(KVL_CU_EVENT_DISABLE_TIMING, CU_EVENT_DISABLE_TIMING);
SAME(KVL_CU_MEMHOSTREGISTER_DEVICEMAP, CU_MEMHOSTREGISTER_DEVICEMAP);
SAME(KVL_CU_PROC_LEGACY_STREAM, CU_GET_PROC_ADDRESS_LEGACY_STREAM);
SAME(KVL_CU_CAPTURE_RELAXED, CU_STREAM_CAPTURE_MODE_RELAXED);
SAME(KVL_CU_ATTR_PAGEABLE_MEMORY_ACCESS,
     CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS);
SAME(KVL_CU_POINTER_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
SAME(KVL_CU_POINTER_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
SAME(KVL_CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_DEVICE);

#if CUDA_VERSION >= 12080
SAME_SIZE(struct kvl_cu_location, CUmemLocation);
SAME_MEMBER(struct kvl_cu_location, type, CUmemLocation, type);
SAME_MEMBER(struct kvl_cu_location, id, CUmemLocation, id);
SAME_SIZE(struct kvl_cu_copy_attr, CUmemcpyAttributes);
SAME_MEMBER(struct kvl_cu_copy_attr, src_access_order, CUmemcpyAttributes,
	    srcAccessOrder);
SAME_MEMBER(struct kvl_cu_copy_attr, src_hint, CUmemcpyAttributes, srcLocHint);
SAME_MEMBER(struct kvl_cu_copy_attr, dst_hint, CUmemcpyAttributes, dstLocHint);
SAME_MEMBER(struct kvl_cu_copy_attr, flags, CUmemcpyAttributes, flags);
SAME(KVL_CU_SRC_ACCESS_STREAM, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM);
SAME(KVL_CU_SRC_ACCESS_ANY, CU_MEMCPY_SRC_ACCESS_ORDER_ANY);
SAME(KVL_CU_FLAG_PREFER_OVERLAP, CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE);
#endif

/*
 * The same arguments, of our types, for both, never called: it does not compile
 * if one takes another number of them, or a pointer where the other takes a
 * number. The sizes are compared above.
 */
#define SAME_CALL(ours, theirs, ...)                      \
	do {                                              \
		(void)sizeof((ours)(__VA_ARGS__));        \
		(void)sizeof(((theirs)0)(__VA_ARGS__));   \
		SAME_SIZE((ours)(__VA_ARGS__), CUresult); \
	} while (0)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wincompatible-pointer-types"
#pragma GCC diagnostic error "-Wint-conversion"
__attribute__((unused)) static void
calls(struct kvl_cu *cu, void *p, int i, unsigned int u, size_t n, kvl_cu_ptr d)
{
	SAME_CALL(cu->init, PFN_cuInit_v2000, u);
	SAME_CALL(cu->driver_version, PFN_cuDriverGetVersion_v2020, &i);
	SAME_CALL(cu->device_get, PFN_cuDeviceGet_v2000, &i, i);
	SAME_CALL(cu->device_attr, PFN_cuDeviceGetAttribute_v2000, &i, i, i);
	SAME_CALL(cu->ctx_retain, PFN_cuDevicePrimaryCtxRetain_v7000, &p, i);
	SAME_CALL(cu->ctx_release, PFN_cuDevicePrimaryCtxRelease_v11000, i);
	SAME_CALL(cu->ctx_set, PFN_cuCtxSetCurrent_v4000, p);
	SAME_CALL(cu->ctx_push, PFN_cuCtxPushCurrent_v4000, p);
	SAME_CALL(cu->ctx_pop, PFN_cuCtxPopCurrent_v4000, &p);
	SAME_CALL(cu->can_access, PFN_cuDeviceCanAccessPeer_v4000, &i, i, i);
	SAME_CALL(cu->enable_peer, PFN_cuCtxEnablePeerAccess_v4000, p, u);
	SAME_CALL(cu->mem_alloc, PFN_cuMemAlloc_v3020, &d, n);
	SAME_CALL(cu->mem_free, PFN_cuMemFree_v3020, d);
	SAME_CALL(cu->pointer_attr, PFN_cuPointerGetAttribute_v4000, p, i, d);
	SAME_CALL(cu->host_register, PFN_cuMemHostRegister_v6050, p, n, u);
	SAME_CALL(cu->host_unregister, PFN_cuMemHostUnregister_v4000, p);
	SAME_CALL(cu->host_pointer, PFN_cuMemHostGetDevicePointer_v3020, &d, p,
		  u);
	SAME_CALL(cu->stream_create, PFN_cuStreamCreate_v2000, &p, u);
	SAME_CALL(cu->stream_destroy, PFN_cuStreamDestroy_v4000, p);
	SAME_CALL(cu->stream_sync, PFN_cuStreamSynchronize_v2000, p);
	SAME_CALL(cu->event_create, PFN_cuEventCreate_v2000, &p, u);
	SAME_CALL(cu->event_destroy, PFN_cuEventDestroy_v4000, p);
	SAME_CALL(cu->event_record, PFN_cuEventRecord_v2000, p, p);
	SAME_CALL(cu->event_query, PFN_cuEventQuery_v2000, p);
	SAME_CALL(cu->copy, PFN_cuMemcpyAsync_v4000, d, d, n, p);
	SAME_CALL(cu->mem_range, PFN_cuMemGetAddressRange_v3020, &d, &n, d);
	SAME_CALL(cu->module_load, PFN_cuModuleLoadData_v2000, &p, p);
	SAME_CALL(cu->module_unload, PFN_cuModuleUnload_v2000, p);
	SAME_CALL(cu->module_function, PFN_cuModuleGetFunction_v2000, &p, p, p);
	SAME_CALL(cu->launch, PFN_cuLaunchKernel_v4000, p, u, u, u, u, u, u, u,
		  p, &p, &p);
	SAME_CALL(cu->capture, PFN_cuThreadExchangeStreamCaptureMode_v10010,
		  &i);
	SAME_CALL(cu->capturing, PFN_cuStreamIsCapturing_v10000, p, &i);
	SAME_CALL(cu->stream_priority, PFN_cuStreamCreateWithPriority_v5050, &p,
		  u, i);
	SAME_CALL(cu->priority_range, PFN_cuCtxGetStreamPriorityRange_v5050, &i,
		  &i);
	SAME_CALL((kvl_cu_get_proc)p, PFN_cuGetProcAddress_v12000, p, &p, i, d,
		  &i);
#if CUDA_VERSION >= 12080
	SAME_CALL(cu->batch12, PFN_cuMemcpyBatchAsync_v12080, &d, &d, &n, n, p,
		  &n, n, &n, p);
#endif
#if CUDA_VERSION >= 13000
	SAME_CALL(cu->batch13, PFN_cuMemcpyBatchAsync_v13000, &d, &d, &n, n, p,
		  &n, n, p);
#endif
}
#pragma GCC diagnostic pop
#endif

int main(void)
{
#ifdef HAS_CUDA
	printf("ok 1 - declarations are those of CUDA %d\n1..1\n",
	       CUDA_VERSION);
	return 0;
#else
	printf("no headers of CUDA\n");
	return 77;
#endif
}
