/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* DAMON, by its sysfs interface, as a peer of the scan of accessed bits. */
#ifndef TOOL_BENCH_DAMON_H
#define TOOL_BENCH_DAMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct damon {
	int pid; /* of kdamond */
	uintptr_t start;
	size_t block, nr;
	uint64_t sample_ns;
	FILE *trace;
};

/*
 * Watches this process's memory from map on, nr regions of a block each, and
 * tells after each sample. 0, or -errno, which was told.
 */
int damon_start(struct damon *d, const void *map, size_t block, size_t nr,
		double sample_s);
void damon_stop(struct damon *d);
/* Processor time of its thread so far. */
uint64_t damon_cpu_ns(const struct damon *d);
/* From here on what it finds can be had. */
int damon_listen(struct damon *d);
/* Waits for the end of a sample. Which blocks were found accessed in it. */
int damon_next(struct damon *d, bool *hot);

#endif
