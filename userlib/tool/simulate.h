/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The runs of one kvlift simulate, and what is reported of them. */
#ifndef TOOL_SIMULATE_H
#define TOOL_SIMULATE_H

#include "sim.h"

#define SIM_MAX_SIZES 32u

/* A cache as it was asked for. */
struct sim_size {
	char text[16];
	uint32_t blocks;
};

struct sim_report {
	const char *trace;
	const struct trace *t;
	uint64_t block; /* bytes */
	uint32_t batch;
	enum sim_hints hints;
	struct sim_tiers_setup tiers; /* nr is 0: the cache alone */
	struct sim_size sizes[SIM_MAX_SIZES];
	unsigned int nr_sizes;
	const struct sim_policy *policies[SIM_MAX_POLICIES];
	enum sim_mode modes[SIM_MAX_POLICIES]; /* of each policy */
	unsigned int nr_policies;
	struct sim_result *results; /* policy by policy */
};

static inline const struct sim_result *
sim_cell(const struct sim_report *r, unsigned int policy, unsigned int size)
{
	return &r->results[policy * r->nr_sizes + size];
}

double sim_block_hit(const struct sim_result *c);
double sim_prefix_hit(const struct sim_result *c);
double sim_refs_per_s(const struct sim_result *c);
/*
 * How far a policy is on the way from the prefix hits of lru (0) to those of
 * opt (1). NaN when one of them was not run or there is no way to go.
 */
double sim_gap_closed(const struct sim_report *r, unsigned int policy,
		      unsigned int size);

/*
 * "1%,5%" or "1000" blocks into r->sizes, for a trace of that many distinct
 * blocks; 0 when that is not known yet. 0, or EXIT_USAGE after a message.
 */
int sim_parse_sizes(struct sim_report *r, const char *list, uint32_t blocks);
/*
 * "cxl=10%,nvme" into r->tiers, and the size of dram, if it is there, into
 * r->sizes; cache is what --cache said, or NULL. The same.
 */
int sim_parse_tiers(struct sim_report *r, const char *list, const char *cache,
		    uint32_t blocks);
/*
 * Names into r->policies; NULL is all that can be run so. 0, or EXIT_USAGE
 * after a message.
 */
int sim_parse_policies(struct sim_report *r, const char *list, bool atomic);

void sim_json(const struct sim_report *r);
void sim_text(const struct sim_report *r, bool verbose);
/* Their parts about the tiers, where there are several. */
struct json;
void sim_json_tiers(struct json *j, const struct sim_report *r,
		    unsigned int policy, unsigned int size);
void sim_text_tiers(const struct sim_report *r);
/* Hit rate over size as an SVG file. 0 or -errno. */
int sim_plot(const struct sim_report *r, const char *path);

#endif
