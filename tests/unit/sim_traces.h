/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The real traces, which lie beside the repository, and rates on them. */
#ifndef SIM_TRACES_H
#define SIM_TRACES_H

#include <math.h>
#include <unistd.h>

#include "sim_model.h"

#define CHAT  "mooncake_conversation_0_2400s.jsonl.xz"
#define AGENT "claudecode_dev_512.jsonl.xz"

/* Sizes of a cache, as shares of the distinct blocks. */
static const double shares[] = { 0.01, 0.05, 0.10, 0.20, 0.50 };

#define NR_SHARES (sizeof(shares) / sizeof(shares[0]))

static char path[512];

static const char *find(const char *name)
{
	const char *top = getenv("TOP");

	snprintf(path, sizeof(path), "%s/../shared/traces/%s", top ? top : ".",
		 name);
	return access(path, R_OK) ? NULL : path;
}

/* False, and says so, when it is not there. */
static bool load(struct trace *t, const char *name)
{
	if (!find(name)) {
		printf("# no %s\n", path);
		return false;
	}
	CHECK_EQ(trace_init(t), 0);
	CHECK_EQ(trace_load(t, path, 0), 0);
	return true;
}

static double prefix_rate(const struct sim_result *r)
{
	return (double)r->prefix_hits / (double)r->refs;
}

/* The policy, in its own mode, in a cache of the k-th size. */
static double rate_with(const struct trace *t, const char *policy, size_t k,
			const uint32_t *hints)
{
	const struct sim_policy *p = sim_find(policy, strlen(policy));
	const struct sim_setup setup = {
		.mode = p->mode,
		.capacity = (uint32_t)lround(shares[k] * t->nr_ids),
		.hints = hints,
	};
	struct sim_result r;

	CHECK_EQ(sim_run(t, p, &setup, &r, NULL, NULL), 0);
	return prefix_rate(&r);
}

#endif
