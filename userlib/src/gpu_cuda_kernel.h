/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the copy kernel is given: the host's side and nvcc include this. */
#ifndef KVLIFT_SRC_GPU_CUDA_KERNEL_H
#define KVLIFT_SRC_GPU_CUDA_KERNEL_H

#include <stdint.h>

#define KVL_CU_KERNEL "kvl_copy"

/*
 * Threads of a thread block; loads of 16 bytes that each has on its way; bytes
 * that a thread block copies at a time: a block is copied by several.
 */
#define KVL_CU_THREADS 256u
#define KVL_CU_LOADS   4u
#define KVL_CU_PART    (KVL_CU_THREADS * KVL_CU_LOADS * 16u)

/*
 * Thread blocks of a launch at the most, and so multiprocessors of a direction:
 * each may be on another one. All together have 512 KiB on their way. That is
 * an estimate of what a link needs, to be measured.
 */
#define KVL_CU_GRID 32u

/* Blocks of a launch at the most. */
#define KVL_CU_BLOCKS 128u

/**
 * struct kvl_cu_blocks - the kernel's only parameter, by value
 * @dst:	addresses as the device sees them, multiples of 16
 * @src:	see above
 * @count:	of both
 * @bytes:	of each block, a multiple of 16
 * @parts:	of each block: @bytes by KVL_CU_PART, rounded up
 * @pad:	zero
 *
 * Parameters are 4 KiB at the most, as of devices and drivers of all kinds.
 */
struct kvl_cu_blocks {
	uint64_t dst[KVL_CU_BLOCKS];
	uint64_t src[KVL_CU_BLOCKS];
	uint32_t count;
	uint32_t bytes;
	uint32_t parts;
	uint32_t pad;
};

#endif
