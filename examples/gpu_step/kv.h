/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Where things are in a block, and what they are, on the host and on the
 * device. */
#ifndef KV_H
#define KV_H

#include "step.h"

#ifdef __CUDACC__
#define KV_FN __host__ __device__ static inline
#else
#define KV_FN static inline
#endif

/* Halfs from the beginning of a block. */
KV_FN size_t kv_key(unsigned int token, unsigned int head)
{
	return (size_t)token * ROW + head * DIM;
}

KV_FN size_t kv_value(unsigned int per_block, unsigned int token,
		      unsigned int head)
{
	return ((size_t)per_block + token) * ROW + head * DIM;
}

KV_FN uint64_t kv_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* Some half between 0.125 and 0.5, of either sign, made of bits: exact. */
KV_FN uint16_t kv_bits(uint64_t block, size_t at)
{
	uint64_t x = kv_mix((block << 24) + at + 0x9e3779b97f4a7c15ull);

	return (uint16_t)((x & 0x8000) | (0x3000 + (x & 0x07ff)));
}

/* Cut off, within the range that occurs: the same everywhere. */
KV_FN uint16_t kv_half(float f)
{
	union {
		float f;
		uint32_t bits;
	} u;
	uint32_t sign;
	int exponent;

	u.f = f;
	sign = u.bits >> 16 & 0x8000;
	exponent = (int)(u.bits >> 23 & 255) - 112;
	if (exponent <= 0)
		return (uint16_t)sign;
	return (uint16_t)(sign | (uint32_t)exponent << 10 |
			  (u.bits >> 13 & 1023));
}

/* The token that a layer adds: its keys and values come from its output. */
KV_FN float kv_new(float out, bool is_value)
{
	return is_value ? out * 0.5f : out * 2.0f;
}

/* A query of the first layer in a step, and what is added to later ones. */
KV_FN float kv_query(unsigned int step, size_t at)
{
	return (float)(int)(kv_mix(((uint64_t)step << 32) + at) & 255) / 64.0f -
	       2.0f;
}

#endif
