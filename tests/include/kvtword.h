/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Words that one thread stores while others read them. The kernel promises no
 * more than a byte at a time: read(2) and write(2) copy by a string move where
 * the CPU has fast short ones, and an emulated CPU makes that byte by byte. So
 * who reads beside a store may see some bytes of one word and some of another,
 * which is not what a test is looking for.
 */
#ifndef KVTWORD_H
#define KVTWORD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A count and, above it, a hash of it, by which a mix of two is told from
 * either, whichever bytes are whose. That of 0 is 0, as in a hole.
 */
static inline uint64_t kvt_checked(uint32_t count)
{
	uint64_t x = count * 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 32) * 0xbf58476d1ce4e5b9u;
	return (x & 0xffffffff00000000u) | count;
}

static inline bool kvt_is_checked(uint64_t v)
{
	return v == kvt_checked((uint32_t)v);
}

/* Some bytes of @whole, but not all, and zeros for the others. */
static inline bool kvt_is_part(uint64_t v, uint64_t whole)
{
	uint64_t byte = 0xff;

	if (!v || v == whole)
		return false;
	for (; byte; byte <<= 8)
		if (v & byte && (v ^ whole) & byte)
			return false;
	return true;
}

#endif /* KVTWORD_H */
