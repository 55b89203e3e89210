/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* kvlift trace: the BPF programs of bpf/trace_*.bpf.c and what they gather. */
#ifndef TOOL_TRACING_H
#define TOOL_TRACING_H

#include <stdbool.h>
#include <stdint.h>

#include "kvlift_trace.h"
#include "util.h"

#define TRACE_DIR "/sys/fs/bpf/kvlift/trace"

struct bpf_link;
struct bpf_object;

struct trace_opts {
	struct kvl_trace_filter filter;
	const char *dir;       /* of the pinned maps */
	unsigned int events;   /* bits of enum kvl_event_type */
	uint64_t blocks;       /* kept in the map of heat */
	uint64_t count, limit; /* events; ns: 0 for none */
	bool as_json, stats, quiet;
};

/* An object whose programs are attached. */
struct trace_obj {
	struct bpf_object *obj;
	unsigned int nr;
	struct bpf_link *links[16];
	const char *names[16];
};

/*
 * Opens, loads and attaches an embedded object, all of its programs or those
 * that are wanted (NULL: all). What went wrong is printed. 0 or -errno.
 */
int trace_obj_start(struct trace_obj *t, const char *name,
		    const struct trace_opts *o,
		    bool (*want)(const char *prog, const struct trace_opts *o));
/* Detaches and unloads. */
void trace_obj_stop(struct trace_obj *t);
/* A variable of .bss: the only one of its object. */
uint64_t trace_obj_bss(const struct trace_obj *t);

/*
 * Events that a program did not see: it was at work for another on the same
 * CPU, which newer kernels let it be interrupted in.
 */
uint64_t trace_obj_missed(const struct trace_obj *t);
/* The same of a program with this descriptor. */
uint64_t trace_prog_missed(int fd);
/* Tells it, unless it is none. */
void trace_missed(uint64_t n, bool as_json);

/* Until a signal comes, or a limit of @o is reached. An exit status. */
int trace_live(const struct trace_opts *o);

int trace_pin(const struct trace_opts *o);
int trace_unpin(const struct trace_opts *o);
int trace_list(const struct trace_opts *o);
int trace_show(const struct trace_opts *o);

/* The maps of latencies; the last name is NULL. */
extern const char *const trace_kinds[];

/* Prints what the map with descriptor @fd holds. 0 or -errno. */
int trace_stats_map(int fd, const char *kind, const struct trace_opts *o,
		    bool *titled);

/* Prints one event. */
void trace_event_title(void);
void trace_event_text(const struct kvl_trace_event *e);
void trace_event_json(const struct kvl_trace_event *e);

extern const char *const trace_event_names[KVL_NR_EVENTS];
extern const char *const trace_phase_names[KVL_NR_PHASES];

#endif
