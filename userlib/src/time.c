// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The clock of deadlines. On its own: programs without queues use it. */
#include <time.h>

#include "io.h"

uint64_t kvl_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
