/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory of a program in files of a pool: what the two libraries that
 * "kvlift run" puts into a program share, and what it tells them by environment.
 */
#ifndef PRELOAD_PLACE_H
#define PRELOAD_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_DIR	   "KVLIFT_RUN_DIR"    /* directory of the files */
#define RUN_STATS  "KVLIFT_RUN_STATS"  /* descriptor of struct run_stats */
#define RUN_METHOD "KVLIFT_RUN_METHOD" /* "ggml", "preload" or "size" */
#define RUN_MIN	   "KVLIFT_RUN_MIN"    /* bytes, for "size" */

/* Shared by all processes of a run; only added to, atomically. */
struct run_stats {
	uint64_t loaded;  /* processes that came to the library's beginning */
	uint64_t placed;  /* allocations that were placed */
	uint64_t bytes;	  /* of these */
	uint64_t live;	  /* of these, not freed yet */
	uint64_t peak;	  /* most that live has been */
	uint64_t refused; /* that found no room, and their bytes */
	uint64_t refused_bytes;
	uint64_t other_api; /* a ggml of another interface */
};

/* Zeroed memory in a file of its own, with room for all of it; NULL: none. */
void *place_alloc(size_t size);
/* False: it is none of ours. */
bool place_free(void *ptr);
/* Length of the memory that begins there, 0: none of ours. */
size_t place_size(const void *ptr);
/* All of it zero again, its blocks given back. False: none of ours. */
bool place_clear(void *ptr);
/* The same memory where the program has reserved it already. */
bool place_at(void *addr, size_t size);
/* Says something once on standard error. */
void place_say(const char *what, size_t size, int err);
/* NULL when the run told nothing. */
struct run_stats *place_stats(void);

#endif
