/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A request trace in memory: every distinct hash id gets the number of its
 * first use, which is also its block in a region.
 */
#ifndef TOOL_TRACE_H
#define TOOL_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define TRACE_UNKNOWN UINT32_MAX

/* One line of a trace; ids belongs to the struct and is used again. */
struct request {
	double timestamp;		      /* ms */
	uint64_t input_length, output_length; /* tokens */
	uint32_t session, turn, agent;	      /* or TRACE_UNKNOWN */
	uint64_t *ids;
	uint32_t nr_ids, cap_ids;
};

/*
 * Parse one JSON object. Fields that are not known are skipped, whatever they
 * hold; hash_ids must be there. 0, or -EINVAL with *why a static text and *at
 * the offset of the trouble, or -ENOMEM.
 */
int request_parse(const char *line, size_t len, struct request *r,
		  const char **why, size_t *at);

/* What a request says of itself at its arrival. */
struct request_info {
	double timestamp;
	uint64_t input_length;
	uint32_t session, turn, agent;
};

struct trace {
	uint64_t nr_requests, nr_refs;
	uint32_t nr_ids; /* distinct: D */
	uint64_t *ids;	 /* number -> hash id */
	uint32_t *refs;	 /* numbers, of all requests in a row */
	uint64_t *start; /* request -> its first in refs; nr_requests + 1 */
	struct request_info *info; /* of each request */
	/* private */
	uint64_t cap_requests, cap_refs, cap_ids, cap_info;
	uint32_t *hash;
	uint32_t hash_mask;
};

int trace_init(struct trace *t);
void trace_free(struct trace *t);
/* A request of which nothing but its blocks is known. 0 or -errno. */
int trace_add(struct trace *t, const uint64_t *ids, uint32_t count);
int trace_add_request(struct trace *t, const struct request *r);
/* The number of a hash id, or UINT32_MAX when it is not in the trace. */
uint32_t trace_find(const struct trace *t, uint64_t id);
/* Up to max requests (0: all) of a file. Errors are printed. 0 or -errno. */
int trace_load(struct trace *t, const char *path, uint64_t max);
/* Requests come a second apart from each other, if none has a time. */
void trace_set_clock(struct trace *t);
/* Share of references that an infinite cache would hit. */
double trace_reuse(const struct trace *t);

enum gen_kind {
	GEN_CHAT,
	GEN_AGENT
};

/* A made-up trace of that many requests; the same seed gives the same. */
int trace_generate(struct trace *t, enum gen_kind kind, uint64_t seed,
		   uint64_t requests);

#endif
