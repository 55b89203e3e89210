// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The policies that can be named: those built in, and what is added to them. */
#include <errno.h>
#include <string.h>

#include "sim.h"

static const struct sim_policy *table[SIM_MAX_POLICIES + 1] = {
	&sim_lru,  &sim_fifo,	&sim_s3fifo,  &sim_arc, &sim_lfu,
	&sim_leaf, &sim_prefix, &sim_gittins, &sim_opt, &sim_simple,
};

const struct sim_policy *const *const sim_policies = table;

const struct sim_policy *sim_find(const char *name, size_t len)
{
	const struct sim_policy *const *p;

	for (p = sim_policies; *p; p++)
		if (strlen((*p)->name) == len && !memcmp((*p)->name, name, len))
			return *p;
	return NULL;
}

int sim_register(const struct sim_policy *policy)
{
	unsigned int nr = 0;

	if (!policy->name || !*policy->name || !policy->victims ||
	    !(policy->modes & policy->mode))
		return -EINVAL;
	if (sim_find(policy->name, strlen(policy->name)))
		return -EEXIST;
	while (table[nr])
		nr++;
	if (nr == SIM_MAX_POLICIES)
		return -ENOSPC;
	table[nr] = policy;
	return 0;
}
