// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Finds the CUDA driver at run time. */
#include <dlfcn.h>
#include <errno.h>

#include "gpu_cuda.h"

int kvl_cu_error(kvl_cu_result r)
{
	switch (r) {
	case KVL_CU_SUCCESS:
		return 0;
	case KVL_CU_INVALID_VALUE:
	case KVL_CU_INVALID_HANDLE:
	case KVL_CU_INVALID_CONTEXT:
		return -EINVAL;
	case KVL_CU_OUT_OF_MEMORY:
		return -ENOMEM;
	case KVL_CU_NOT_INITIALIZED:
	case KVL_CU_NO_DEVICE:
	case KVL_CU_INVALID_DEVICE:
	case KVL_CU_DEVICE_UNAVAILABLE:
		return -ENODEV;
	case KVL_CU_STUB_LIBRARY:
		return -ELIBACC;
	case KVL_CU_NO_BINARY:
	case KVL_CU_INVALID_PTX:
	case KVL_CU_NO_JIT:
	case KVL_CU_PTX_VERSION:
	case KVL_CU_JIT_DISABLED:
		return -ENOEXEC;
	case KVL_CU_ALREADY_REGISTERED:
		return -EALREADY;
	case KVL_CU_NOT_PERMITTED:
		return -EPERM;
	case KVL_CU_NOT_FOUND:
		return -ENOSYS;
	case KVL_CU_NOT_SUPPORTED:
	case KVL_CU_PEER_UNSUPPORTED:
	case KVL_CU_TOO_MANY_PEERS:
		return -EOPNOTSUPP;
	case KVL_CU_CAPTURE_IMPLICIT:
		return -EBUSY;
	}
	return -EIO;
}

static void *find(kvl_cu_get_proc get, const char *name, int version)
{
	void *fn = NULL;
	int status = 0;

	if (get(name, &fn, version, KVL_CU_PROC_LEGACY_STREAM, &status))
		return NULL;
	return status ? NULL : fn;
}

/* What is not in every driver. */
static void find_others(struct kvl_cu *cu, kvl_cu_get_proc get)
{
	/* An older driver does not have the newer prototype under this name. */
	if (cu->driver >= 13000)
		cu->batch13 =
			(kvl_cu_batch13)find(get, "cuMemcpyBatchAsync", 13000);
	if (!cu->batch13 && cu->driver >= 12080)
		cu->batch12 =
			(kvl_cu_batch12)find(get, "cuMemcpyBatchAsync", 12080);
	cu->capture = (kvl_cu_capture)find(
		get, "cuThreadExchangeStreamCaptureMode", 10010);
	cu->capturing =
		(kvl_cu_capturing)find(get, "cuStreamIsCapturing", 10000);
	cu->stream_priority = (kvl_cu_stream_priority)find(
		get, "cuStreamCreateWithPriority", 5050);
	cu->priority_range = (kvl_cu_priority_range)find(
		get, "cuCtxGetStreamPriorityRange", 5050);
	cu->has_kernels = true;
#define FIND(member, name, version, args)                             \
	cu->member = (kvl_cu_result(*) args)find(get, name, version); \
	if (!cu->member)                                              \
		cu->has_kernels = false;
	KVL_CU_KERNEL_CALLS(FIND)
#undef FIND
}

int kvl_cu_load(struct kvl_cu *cu)
{
	kvl_cu_get_proc get;
	kvl_cu_result r;
	void *lib;

	/* It stays: the driver has threads, and others may use it. */
	lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!lib)
		return -ELIBACC;
	get = (kvl_cu_get_proc)dlsym(lib, "cuGetProcAddress_v2");
	dlclose(lib);
	if (!get)
		return -ENOSYS;
#define FIND(member, name, version, args)                             \
	cu->member = (kvl_cu_result(*) args)find(get, name, version); \
	if (!cu->member)                                              \
		return -ENOSYS;
	KVL_CU_CALLS(FIND)
#undef FIND
	r = cu->init(0);
	if (r)
		return r == KVL_CU_STUB_LIBRARY ? -ELIBACC : -ENODEV;
	if (cu->driver_version(&cu->driver))
		return -ENODEV;
	find_others(cu, get);
	return 0;
}
