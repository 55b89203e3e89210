// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include "hist.h"

#define SUB (1u << HIST_SUB_BITS)

static unsigned int index_of(uint64_t v)
{
	unsigned int exp;

	if (v < SUB)
		return (unsigned int)v;
	exp = 63 - (unsigned int)__builtin_clzll(v) - HIST_SUB_BITS;
	return ((exp + 1) << HIST_SUB_BITS) + (unsigned int)(v >> exp) - SUB;
}

/* The largest value of a bucket. */
static uint64_t value_of(unsigned int i)
{
	unsigned int exp;

	if (i < SUB)
		return i;
	exp = (i >> HIST_SUB_BITS) - 1;
	return ((((uint64_t)(i & (SUB - 1)) + SUB + 1)) << exp) - 1;
}

void hist_add(struct hist *h, uint64_t value)
{
	h->count++;
	h->total += value;
	if (value > h->max)
		h->max = value;
	h->bucket[index_of(value)]++;
}

uint64_t hist_quantile(const struct hist *h, double share)
{
	uint64_t want, seen = 0;
	unsigned int i;

	if (!h->count)
		return 0;
	want = (uint64_t)(share * (double)h->count);
	if ((double)want < share * (double)h->count)
		want++;
	if (!want)
		want = 1;
	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= want)
			break;
	}
	if (i == HIST_BUCKETS || value_of(i) > h->max)
		return h->max;
	return value_of(i);
}

uint64_t hist_mean(const struct hist *h)
{
	return h->count ? h->total / h->count : 0;
}
