/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A BPF policy attached for as long as a measurement lasts. */
#ifndef TOOL_BENCH_ATTACH_H
#define TOOL_BENCH_ATTACH_H

#include <stdint.h>

struct bench_attach;

/*
 * One of the policies inside, to a whole pool, without the callback that is
 * named, or "*": without any. 0 or -errno, told already.
 */
int bench_attach(const char *name, const char *without, uint32_t pool,
		 struct bench_attach **at);
void bench_detach(struct bench_attach *at);

#endif
