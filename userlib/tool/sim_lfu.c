// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Least frequently used: a count per block from its last fill on, the least
 * recently used first among equals. One list per count, as in Shah, Mitra and
 * Matani, "An O(1) algorithm for implementing the LFU cache eviction scheme",
 * 2010; counts saturate.
 */
#include "sim.h"

#define LEVELS 65536u

struct lfu {
	uint32_t low; /* no block has a lower count */
	struct sim_list level[LEVELS];
};

static int attach(struct sim *s)
{
	struct lfu *p = s->priv;
	uint32_t i;

	for (i = 0; i < LEVELS; i++)
		sim_list_init(&p->level[i]);
	return 0;
}

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	struct lfu *p = s->priv;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		uint32_t *count = sim_storage(s, ids[i]);

		sim_list_del(s, &p->level[*count], ids[i]);
		if (*count < LEVELS - 1)
			++*count;
		sim_list_add(s, &p->level[*count], ids[i]);
	}
}

static void added(struct sim *s, uint32_t id)
{
	struct lfu *p = s->priv;
	uint32_t *count = sim_storage(s, id);

	*count = 1;
	p->low = 1;
	sim_list_add(s, &p->level[1], id);
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct lfu *p = s->priv;

	while (p->low < LEVELS && !p->level[p->low].len)
		p->low++;
	return p->low < LEVELS
		       ? sim_list_oldest(s, &p->level[p->low], ids, want)
		       : 0;
}

static void removed(struct sim *s, uint32_t id)
{
	struct lfu *p = s->priv;
	uint32_t *count = sim_storage(s, id);

	sim_list_del(s, &p->level[*count], id);
}

const struct sim_policy sim_lfu = {
	.name = "lfu",
	.summary = "least frequently used while cached",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct lfu),
	.block_size = sizeof(uint32_t),
	.attach = attach,
	.accessed = accessed,
	.added = added,
	.victims = victims,
	.removed = removed,
};
