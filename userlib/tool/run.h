/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* kvlift run: run.c, run_method.c (how), run_files.c (where, and the report). */
#ifndef TOOL_RUN_H
#define TOOL_RUN_H

#include <limits.h>
#include <stdbool.h>

#include "../preload/place.h"
#include "mkpool.h"
#include "poolview.h"

/* Names a backend that ggml loads. */
#define BACKEND_PATH "GGML_BACKEND_PATH"

struct run {
	const char *pool, *method, *json;
	struct mkpool_opts make;
	uint64_t min_size;
	bool keep;
	char **argv;
	char program[PATH_MAX]; /* of argv[0] */
	char library[PATH_MAX]; /* that is loaded into it */
	char dir[PATH_MAX];	/* of its files */
	struct run_stats *stats;
	int stats_fd;
	struct kvlift_info info;
	struct counters before, after;
	uint64_t blocks[KVLIFT_NR_TIERS]; /* when it ended */
};

bool method_is_known(const char *name);
/* Finds the program, how its memory is to be found, and the library for that. */
int run_method(struct run *r);
/* A directory for the files, and the counters; errors are told. */
int run_files_begin(struct run *r);
void run_files_end(struct run *r);
void run_report(const struct run *r);

#endif
