// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* First in, first out. */
#include "sim.h"

static int attach(struct sim *s)
{
	sim_list_init(s->priv);
	return 0;
}

static void added(struct sim *s, uint32_t id)
{
	sim_list_add(s, s->priv, id);
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	return sim_list_oldest(s, s->priv, ids, want);
}

static void removed(struct sim *s, uint32_t id)
{
	sim_list_del(s, s->priv, id);
}

const struct sim_policy sim_fifo = {
	.name = "fifo",
	.summary = "first in, first out",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct sim_list),
	.attach = attach,
	.added = added,
	.victims = victims,
	.removed = removed,
};
