// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Cost per block of bringing blocks up from a device by prefetch. Meant for a
 * guest under -icount with one CPU, where a nanosecond is an instruction, and
 * a device that completes at once.
 *
 *	prefetchbench FILE NR ROUNDS
 *
 * The file's first NR blocks, all on the device, are prefetched by one call
 * and demoted again, ROUNDS times. The measured time ends when all of them
 * are in memory; this task waits as SCHED_IDLE, so that it gets hardly any
 * of it. Prints the ns per block, all rounds but the first.
 */
#include "kvltest.h"

#include <sched.h>

static bool all_in_memory(int fd, uint64_t nr, uint64_t *seen)
{
	for (; *seen < nr; ++*seen)
		if (kvt_tier(fd, *seen) == KVLIFT_TIER_NVME)
			return false;
	return true;
}

static void demote(int fd, uint64_t nr)
{
	uint64_t left;

	do {
		left = 0;
		kvt_range(fd, KVLIFT_IOC_DEMOTE, 0, nr, NULL);
		kvt_msleep(50);
		for (uint64_t i = 0; i < nr; i++)
			left += kvt_tier(fd, i) != KVLIFT_TIER_NVME;
	} while (left);
}

int main(int argc, char **argv)
{
	struct sched_param param = { 0 };
	uint64_t nr, rounds, ns = 0;
	int fd;

	if (argc < 4)
		kvt_die("usage: prefetchbench FILE NR ROUNDS");
	fd = MUST(open(argv[1], O_RDWR));
	nr = strtoull(argv[2], NULL, 0);
	rounds = strtoull(argv[3], NULL, 0);
	MUST(sched_setscheduler(0, SCHED_IDLE, &param));
	for (uint64_t r = 0; r <= rounds; r++) {
		uint64_t seen = 0, start;

		demote(fd, nr);
		start = kvt_now_ns();
		MUST(kvt_range(fd, KVLIFT_IOC_PREFETCH, 0, nr, NULL));
		while (!all_in_memory(fd, nr, &seen))
			sched_yield();
		if (r)
			ns += kvt_now_ns() - start;
	}
	printf("%" PRIu64 "\n", ns / rounds / nr);
	return 0;
}
