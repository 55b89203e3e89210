/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the engine of a replay tells the policy of its requests. */
#ifndef TOOL_HINTS_H
#define TOOL_HINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

enum hints_kind {
	HINTS_NONE,
	HINTS_REQUEST, /* chain and session, before the blocks are used */
	HINTS_TRUE,    /* and when the session comes back, with an error */
	HINTS_RANDOM,
};

struct hints {
	enum hints_kind kind;
	uint32_t *returns; /* of each request, as in the simulator */
	bool clock;	   /* the policy goes by the trace's time */
	uint64_t start_ns; /* of it */
	struct kvlift_hint *buf;
	uint64_t cap;
};

const char *hints_name(enum hints_kind kind);
/* 0 or -EINVAL. */
int hints_parse(const char *name, enum hints_kind *kind);

/* 0 or -errno; why was printed. */
int hints_start(struct hints *h, enum hints_kind kind, struct store *s);
/* Request nr is going to use its blocks. 0 or -errno. */
int hints_tell(struct hints *h, struct store *s, uint64_t nr);
void hints_end(struct hints *h, const struct store *s);

#endif
