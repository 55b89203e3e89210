/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The BPF objects of bpf/, which the tool carries inside, and what libbpf says
 * about them. Everything here is there without libbpf, too: bpfobj_missing()
 * then tells why nothing can be opened.
 */
#ifndef TOOL_BPFOBJ_H
#define TOOL_BPFOBJ_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_object;

/* One for each bpf/NAME.bpf.c; the last has no name. */
struct bpfobj {
	const char *name;
	const void *start, *end;
};

extern const struct bpfobj bpfobj_table[];

/* NULL, or why this tool cannot open BPF objects and what to do about it. */
const char *bpfobj_missing(void);

/*
 * Opens (does not load) the embedded object NAME, or, when NAME has a '/' in it,
 * that file. 0 or -errno; -ENOENT: no such object, -ENOSYS: bpfobj_missing().
 */
int bpfobj_open(const char *name, struct bpf_object **obj);

/* All that libbpf says from now on goes to standard error at once. */
void bpfobj_verbose(void);

/*
 * Prints "WHAT: reason of ERR (negative)" and, indented, the end of what libbpf
 * has said since the last call: the verifier's words, for example. Returns
 * EXIT_FAIL.
 */
int bpfobj_fail(const char *what, int err);
/* The same, but it is not forgotten. */
int bpfobj_failed(const char *what, int err);
/* What libbpf has said, or NULL; not with bpfobj_verbose(). */
const char *bpfobj_said(void);

/* Forgets what libbpf has said. */
void bpfobj_forget(void);

#endif
