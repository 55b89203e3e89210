// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Mixes of words, as chaos may read them, are told from words. */
#include "kvtword.h"
#include "unit.h"

/* Of @b the bytes that @mask says, of @a the others. */
static uint64_t mix(uint64_t a, uint64_t b, unsigned int mask)
{
	uint64_t take = 0;

	for (unsigned int i = 0; i < 8; i++)
		if (mask & 1u << i)
			take |= 0xffull << 8 * i;
	return (a & ~take) | (b & take);
}

/* Mixes that pass for a word which is neither. */
static unsigned int missed(uint32_t n, uint32_t m)
{
	uint64_t a = kvt_checked(n), b = kvt_checked(m);
	unsigned int found = 0;

	for (unsigned int mask = 1; mask < 255; mask++) {
		uint64_t v = mix(a, b, mask);

		found += v != a && v != b && kvt_is_checked(v);
	}
	return found;
}

static void words_are_words(void)
{
	CHECK_EQ(kvt_checked(0), 0);
	for (uint32_t n = 0; n < 1000; n++) {
		CHECK(kvt_is_checked(kvt_checked(n)));
		CHECK_EQ((uint32_t)kvt_checked(n), n);
	}
	CHECK(!kvt_is_checked(1));
	CHECK(!kvt_is_checked(1ull << 32));
}

static void mixes_of_neighbours_are_none(void)
{
	unsigned int found = 0;

	for (uint32_t n = 0; n < 1 << 14; n++)
		found += missed(n, n + 1);
	/* Where more than one byte of the count changes. */
	for (uint32_t n = 255; n < 1 << 22; n += 256)
		found += missed(n, n + 1);
	CHECK_EQ(found, 0);
}

static void mixes_of_any_two_are_none(void)
{
	unsigned int found = 0;

	for (uint32_t n = 0; n < 1 << 20; n += 1 << 12)
		for (uint32_t k = 2; k < 66; k++)
			found += missed(n + k * k, n + k * k + k * k * k);
	CHECK_EQ(found, 0);
}

static void parts_are_told(void)
{
	uint64_t t = 0x1122334455667701;

	CHECK(!kvt_is_part(0, t));
	CHECK(!kvt_is_part(t, t));
	for (unsigned int mask = 1; mask < 255; mask++)
		CHECK(kvt_is_part(mix(0, t, mask), t));
	CHECK(!kvt_is_part(0x1122334455667702, t));
	CHECK(!kvt_is_part(0x2200000000000000, t));
	CHECK(!kvt_is_part(0x100, t));
}

int main(void)
{
	CASE(words_are_words);
	CASE(mixes_of_neighbours_are_none);
	CASE(mixes_of_any_two_are_none);
	CASE(parts_are_told);
	UNIT_END();
}
