// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Leaf-first LRU: of the blocks that no cached block depends on, the one whose
 * last request is the longest ago. A chain is used from its head on, so a head
 * without its tail is worth something, a tail without its head nothing.
 */
#include "sim.h"

/*
 * In storage: the last request with the block. No two leaves have the same one,
 * since the blocks of a request lie on one path.
 */

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		uint64_t *last = sim_storage(s, ids[i]);

		*last = s->request.nr;
		if (sim_indexed(s, ids[i]))
			sim_index_set(s, ids[i], *last);
	}
}

static void added(struct sim *s, uint32_t id)
{
	uint64_t *last = sim_storage(s, id);
	uint32_t parent = sim_parent(s, id);

	*last = s->request.nr;
	if (parent != SIM_NONE)
		sim_index_del(s, parent);
	sim_index_set(s, id, *last);
}

/* One at a time: when a leaf is gone its parent may be the next. */
static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct sim_entry e;

	/* The request's own leaf is the youngest: then there is no other. */
	if (!sim_index_first(s, &e) || sim_bound(s, e.id))
		return 0;
	*ids = e.id;
	return 1;
}

static void removed(struct sim *s, uint32_t id)
{
	uint32_t parent = sim_parent(s, id);
	uint64_t *last;

	sim_index_del(s, id);
	if (parent == SIM_NONE || sim_children(s, parent))
		return;
	last = sim_storage(s, parent);
	sim_index_set(s, parent, *last);
}

const struct sim_policy sim_leaf = {
	.name = "leaf",
	.summary = "LRU of the blocks no cached block depends on",
	.modes = SIM_ATOMIC,
	.mode = SIM_ATOMIC,
	.block_size = sizeof(uint64_t),
	.accessed = accessed,
	.added = added,
	.victims = victims,
	.removed = removed,
};
