/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Times on a logarithmic scale, 32 steps for each power of two: a quantile is
 * off by at most 1/32. The idea is that of HdrHistogram.
 */
#ifndef TOOL_HIST_H
#define TOOL_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 5
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	uint64_t count, total, max;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t value);
/* The value that share (0..1) of all values do not exceed; 0 if empty. */
uint64_t hist_quantile(const struct hist *h, double share);
uint64_t hist_mean(const struct hist *h);

#endif
