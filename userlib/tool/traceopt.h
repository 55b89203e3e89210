/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which trace: the options that the verbs have in common which play one. */
#ifndef TOOL_TRACEOPT_H
#define TOOL_TRACEOPT_H

#include <getopt.h>

#include "trace.h"

struct trace_opts {
	const char *trace;    /* file; then its name for the report */
	const char *generate; /* kind, when it was asked for */
	uint64_t requests;    /* 0: all, of a generator GENERATED */
	uint64_t seed;
};

/* Apart from the numbers that a verb gives to its own. */
enum {
	OPT_REQUESTS = 1024,
	OPT_GENERATE,
	OPT_SEED,
};

/* clang-format off */
#define TRACE_LONG_OPTIONS						\
	{ "requests", required_argument, NULL, OPT_REQUESTS },		\
	{ "generate", required_argument, NULL, OPT_GENERATE },		\
	{ "seed", required_argument, NULL, OPT_SEED }
/* clang-format on */

#define TRACE_OPTIONS_HELP                                                          \
	"  --requests N       only the first N requests\n"                          \
	"  --generate KIND    no file: make requests up, chat (default) or agent\n" \
	"  --seed N           of the generator\n"

/* One of these options with optarg. 0, or EXIT_USAGE after a message. */
int trace_opt(struct trace_opts *o, int c);
/* What is left of the command line: the file, if any. The same. */
int trace_operand(struct trace_opts *o, int argc, char **argv);
/* Read it or make it up. Errors are printed. 0 or -errno. */
int trace_get(struct trace_opts *o, struct trace *t);

#endif
