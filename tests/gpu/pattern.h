/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is in which word of which block, on the host and on the device: no two
 * blocks, and no two runs, have a word in common but by chance.
 */
#ifndef KVT_PATTERN_H
#define KVT_PATTERN_H

#include <stdint.h>

#ifdef __CUDACC__
#define PATTERN_FN __host__ __device__ static inline
#else
#define PATTERN_FN static inline
#endif

PATTERN_FN uint64_t pattern_block(uint64_t seed, uint64_t index)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + index + 1;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

PATTERN_FN uint64_t pattern_word(uint64_t block, uint64_t word)
{
	uint64_t x = (block + word) * 0x9e3779b97f4a7c15ull;

	return x ^ (x >> 29);
}

#endif
