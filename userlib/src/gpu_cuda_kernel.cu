// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The copy kernel: blocks between the window and the memory of the GPU, either
 * way. The library has it as PTX in gpu_cuda_ptx.c, which "make ptx" makes of
 * this.
 */
#include "gpu_cuda_kernel.h"

/*
 * There is no fence behind the stores: it is the end of the kernel that makes
 * them visible, see gpu_cuda_kernel.c. Nothing here is read twice, so it need
 * not stay in caches (.cs).
 */
extern "C" __global__ void __launch_bounds__(KVL_CU_THREADS)
kvl_copy(const struct kvl_cu_blocks b)
{
	uint32_t parts = b.count * b.parts, part, nr, at, i;
	uint4 v[KVL_CU_LOADS];

	for (part = blockIdx.x; part < parts; part += gridDim.x) {
		nr = part / b.parts;
		at = part % b.parts * KVL_CU_PART + threadIdx.x * 16;
#pragma unroll
		for (i = 0; i < KVL_CU_LOADS; i++)
			if (at + i * KVL_CU_THREADS * 16 < b.bytes)
				v[i] = __ldcs((const uint4 *)(b.src[nr] + at) +
					      i * KVL_CU_THREADS);
#pragma unroll
		for (i = 0; i < KVL_CU_LOADS; i++)
			if (at + i * KVL_CU_THREADS * 16 < b.bytes)
				__stcs((uint4 *)(b.dst[nr] + at) +
					       i * KVL_CU_THREADS,
				       v[i]);
	}
}
