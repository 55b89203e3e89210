/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a block with a given id holds: word 0 is the id, word i is
 * mix64(id) + i * STEP. Any other block, a block moved by a page or a word,
 * zeros and torn writes all differ; checking costs an addition and a
 * comparison per 8 bytes, as guests are emulated.
 */
#ifndef TOOL_PATTERN_H
#define TOOL_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_STEP 0x9e3779b97f4a7c15ULL

/* The finalizer of splitmix64: S. Vigna, public domain. */
static inline uint64_t mix64(uint64_t x)
{
	x += PATTERN_STEP;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* size in bytes, a multiple of 64. */
void pattern_fill(void *block, size_t size, uint64_t id);
/* Number of the first wrong word, or -1. */
long pattern_check(const void *block, size_t size, uint64_t id);

#endif
