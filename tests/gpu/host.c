// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Patterns in memory of the host, by all CPUs. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "pattern.h"

#define THREADS 16u

struct part {
	pthread_t thread;
	char *at;
	uint64_t first, seed, wrong;
	size_t count, block;
	enum {
		FILL,
		COMPARE,
		POISON,
	} what;
};

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_rate(uint64_t bytes, double start, double end)
{
	return (double)bytes / (end - start) / 1e9;
}

static void one(struct part *p, size_t i)
{
	uint64_t b = pattern_block(p->seed, p->first + i), w;
	uint64_t *at = (uint64_t *)(p->at + i * p->block);

	if (p->what == POISON) {
		memset(at, 0xa5, p->block);
		return;
	}
	for (w = 0; w < p->block / 8; w++) {
		if (p->what == FILL)
			at[w] = pattern_word(b, w);
		else
			p->wrong += at[w] != pattern_word(b, w);
	}
}

static void *run(void *arg)
{
	struct part *p = arg;
	size_t i;

	for (i = 0; i < p->count; i++)
		one(p, i);
	return NULL;
}

static uint64_t all(struct part whole)
{
	struct part parts[THREADS];
	size_t each, done = 0;
	uint64_t wrong = 0;
	unsigned int i;

	each = (whole.count + THREADS - 1) / THREADS;
	for (i = 0; i < THREADS; i++) {
		parts[i] = whole;
		parts[i].at += done * whole.block;
		parts[i].first += done;
		parts[i].count = whole.count - done < each ? whole.count - done
							   : each;
		done += parts[i].count;
		if (pthread_create(&parts[i].thread, NULL, run, &parts[i]))
			abort();
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(parts[i].thread, NULL);
		wrong += parts[i].wrong;
	}
	return wrong;
}

void host_fill(void *at, uint64_t first, size_t count, size_t block,
	       uint64_t seed)
{
	all((struct part){ .at = at,
			   .first = first,
			   .seed = seed,
			   .count = count,
			   .block = block,
			   .what = FILL });
}

uint64_t host_wrong(const void *at, uint64_t first, size_t count, size_t block,
		    uint64_t seed)
{
	return all((struct part){ .at = (char *)(uintptr_t)at,
				  .first = first,
				  .seed = seed,
				  .count = count,
				  .block = block,
				  .what = COMPARE });
}

void host_poison(void *at, size_t bytes)
{
	const size_t page = 4096;

	/* A block is not worth the threads. */
	if (bytes <= 2u << 20) {
		memset(at, 0xa5, bytes);
		return;
	}
	all((struct part){ .at = at,
			   .count = bytes / page,
			   .block = page,
			   .what = POISON });
}
