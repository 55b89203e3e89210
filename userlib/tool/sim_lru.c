// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Least recently used: what the module does today. */
#include "sim.h"

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		sim_list_del(s, s->priv, ids[i]);
		sim_list_add(s, s->priv, ids[i]);
	}
}

const struct sim_policy sim_lru = {
	.name = "lru",
	.summary = "least recently used",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct sim_list),
	.attach = sim_queue_attach,
	.accessed = accessed,
	.added = sim_queue_added,
	.victims = sim_queue_victims,
	.removed = sim_queue_removed,
};
