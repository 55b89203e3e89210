// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* First in, first out. */
#include "sim.h"

const struct sim_policy sim_fifo = {
	.name = "fifo",
	.summary = "first in, first out",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct sim_list),
	.attach = sim_queue_attach,
	.added = sim_queue_added,
	.victims = sim_queue_victims,
	.removed = sim_queue_removed,
};
