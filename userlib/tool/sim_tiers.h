/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The tiers below the policy's cache. What leaves the cache goes one tier down
 * and pushes the least recently used block of a full one further; what is kept
 * again comes up. A device keeps its copy of a block that came up, as blocks do
 * not change once they are written: going down again moves no bytes then.
 */
#ifndef TOOL_SIM_TIERS_H
#define TOOL_SIM_TIERS_H

#include "sim.h"

struct sim_tiers {
	const struct sim_tiers_setup *setup;
	struct sim_traffic *traffic;
	/* private */
	uint32_t nr_blocks;
	uint8_t *place; /* tier of each block, or SIM_ABSENT */
	bool *has_copy; /* in memory, and on the device as well */
	struct sim_links *links, *copy_links;
	struct sim_list in[SIM_MAX_TIERS]; /* used last first; not the cache */
	struct sim_list copies;	       /* of blocks that came up last first */
	uint32_t slots[SIM_MAX_TIERS]; /* taken, copies included */
};

/* 0 or -ENOMEM; then it is to be freed all the same. */
int sim_tiers_init(struct sim_tiers *t, const struct sim_tiers_setup *setup,
		   uint32_t nr_blocks, struct sim_traffic *traffic);
void sim_tiers_free(struct sim_tiers *t);

/*
 * Count a reference by where its block is. *slowest starts as SIM_DRAM with
 * each request.
 */
void sim_tiers_look(struct sim_tiers *t, uint32_t id, unsigned int *slowest);
/*
 * A block that is not in the cache is going to be: no room is made at its cost
 * from here on. Then one of the next two.
 */
void sim_tiers_lift(struct sim_tiers *t, uint32_t id);
void sim_tiers_arrive(struct sim_tiers *t, uint32_t id);
void sim_tiers_put_back(struct sim_tiers *t, uint32_t id);
/* It is used, or written, but not worth a place in the cache. */
void sim_tiers_pass(struct sim_tiers *t, uint32_t id);
/* It left the cache. */
void sim_tiers_demote(struct sim_tiers *t, uint32_t id);

/*
 * NULL, or what is wrong after that many references: each block is in one
 * tier, no tier holds more than it can, what came in less what went out is
 * there.
 */
const char *sim_tiers_check(const struct sim_tiers *t, uint64_t refs);
/* What is there at the end, into the traffic. */
void sim_tiers_finish(struct sim_tiers *t);

#endif
