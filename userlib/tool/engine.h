/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Play a trace against a store as an engine would, and keep the figures. */
#ifndef TOOL_ENGINE_H
#define TOOL_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "hints.h"
#include "hist.h"
#include "poolview.h"
#include "store.h"

struct engine_opts {
	const char *dir;  /* of the pool */
	const char *name; /* of the files in it */
	bool objects, resume, prefetch, keep;
	enum hints_kind hints; /* not with objects */
};

struct result {
	uint64_t requests, refs, first_request;
	uint64_t mismatches, errors;
	uint64_t hits[KVLIFT_NR_TIERS], absent;
	uint64_t prefix_hits; /* in DRAM, with all before in the request */
	uint64_t resumed;     /* blocks of an earlier run that were verified */
	uint64_t elapsed_ns;
	uint64_t block, blocks;
	enum hints_kind hints;
	bool stopped; /* by a signal */
	struct hist stall;
	struct counters before, after;
	struct pool_view view; /* of the pool at the end */
};

/* The work itself, on an open store; the pool's figures are not looked at. */
void engine_verify(struct store *s, struct result *r);
/* 0 or -errno, which was printed. */
int engine_play(struct store *s, const struct engine_opts *o, struct result *r);
/* All of it. 0 or -errno: it could not be started, and why was printed. */
int engine_run(const struct trace *t, const struct engine_opts *o,
	       struct result *r);
uint64_t result_delta(const struct result *r, const char *counter);
void result_json(const struct result *r, const char *trace, bool objects);
void result_text(const struct result *r, const char *trace, bool objects);

#endif
