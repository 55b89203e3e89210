/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The policies of bpf/ in the simulator. */
#ifndef TOOL_SIM_POLICY_H
#define TOOL_SIM_POLICY_H

#include "sim.h"

/* Make a policy of the simulator of one written with kvlift/policy.h. */
void sim_adapt(struct sim_policy *p, const struct kvlift_builtin *b);

/*
 * Add that of a shared object, a path with a '/' in it. NULL after a message.
 */
const struct sim_policy *sim_load(const char *path);

#endif
