// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * An index of returns per time held. A cached block costs a slot for as long as
 * it is kept and earns one hit when its session comes back. Of the blocks that
 * no cached block depends on, the one goes that earns the least per time, given
 * how long it has been idle: its Gittins index (see sim_gittins_model.c). A
 * newcomer that would earn no more is not kept.
 *
 * When blocks come back is learned from those that did and those that did not,
 * per class: by past hits and by the mean gap between them. Nothing about a
 * workload is built in. Hints are used while they predict better than that; how
 * far they are off is learned too. Where there is nothing to learn, it is a
 * leaf-first LRU.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim_gittins.h"

#define DRAWS 16u /* victims from one draw of candidates */
#define SEED  12345u

static int attach(struct sim *s)
{
	struct gittins *g = s->priv;

	g->leaves = calloc((size_t)s->capacity + 1, sizeof(*g->leaves));
	if (!g->leaves)
		return -ENOMEM;
	g->random = SEED;
	gittins_history_init(g);
	return 0;
}

static void detach(struct sim *s)
{
	struct gittins *g = s->priv;

	free(g->leaves);
}

/* The leaves: in an array to draw from, and by last request for LRU. */
static void add_leaf(struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	struct gittins_block *b = gittins_block(s, id);

	g->leaves[g->nr_leaves++] = id;
	b->leaf = g->nr_leaves;
	sim_index_set(s, id, b->last);
}

static void del_leaf(struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	struct gittins_block *b = gittins_block(s, id);
	uint32_t last = g->leaves[--g->nr_leaves];

	g->leaves[b->leaf - 1] = last;
	gittins_block(s, last)->leaf = b->leaf;
	b->leaf = 0;
	sim_index_del(s, id);
}

static uint32_t index_of(const struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	struct gittins_run *r = gittins_run(g, gittins_block(s, id)->run);

	/* That the pool of runs had no room for: the first to go. */
	return r ? gittins_index(&g->model, r, g->now) : 0;
}

/* Of the same index the least recently used is the first. */
static struct sim_entry candidate(const struct sim *s, uint32_t id)
{
	return (struct sim_entry){
		.key = (uint64_t)index_of(s, id) << 32 |
		       gittins_block(s, id)->last,
		.id = id,
	};
}

static void push(struct gittins *g, struct sim_entry e)
{
	uint32_t at = ++g->nr_candidates;

	for (; at > 1 && g->candidates[at / 2].key > e.key; at /= 2)
		g->candidates[at] = g->candidates[at / 2];
	g->candidates[at] = e;
}

static void pop(struct gittins *g)
{
	struct sim_entry *heap = g->candidates, e = heap[g->nr_candidates--];
	uint32_t at = 1, child;

	for (child = 2; child <= g->nr_candidates; child = at * 2) {
		if (child < g->nr_candidates &&
		    heap[child + 1].key < heap[child].key)
			child++;
		if (heap[child].key >= e.key)
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = e;
}

/* xorshift32: Marsaglia, "Xorshift RNGs", 2003. */
static uint32_t draw(struct gittins *g)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 17;
	g->random ^= g->random << 5;
	return g->random;
}

/* A sample, as the indices of all leaves change with time. */
static void draw_candidates(struct sim *s)
{
	struct gittins *g = s->priv;
	bool is_all = g->nr_leaves <= GITTINS_CANDIDATES;
	uint32_t n = is_all ? g->nr_leaves : GITTINS_CANDIDATES, i, id;

	g->nr_candidates = 0;
	g->spent = 0;
	for (i = 0; i < n; i++) {
		id = g->leaves[is_all ? i : draw(g) % g->nr_leaves];
		if (!sim_bound(s, id))
			push(g, candidate(s, id));
	}
}

static bool cheapest(struct sim *s, struct sim_entry *e)
{
	struct gittins *g = s->priv;

	if (g->guard.lru)
		return sim_index_first(s, e) && !sim_bound(s, e->id);
	if (g->spent >= DRAWS || !g->nr_candidates)
		draw_candidates(s);
	/* What was drawn twice may have gone. */
	while (g->nr_candidates && sim_bound(s, g->candidates[1].id))
		pop(g);
	if (!g->nr_candidates)
		return false;
	*e = g->candidates[1];
	return true;
}

static void request_begin(struct sim *s)
{
	struct gittins *g = s->priv;
	uint32_t i, id;

	if (!s->request.nr)
		g->start_ns = s->now_ns;
	g->now = (uint32_t)((s->now_ns - g->start_ns) / 1000000);
	g->nr_candidates = 0;
	gittins_history_request(s);
	for (i = 0; i < g->whole; i++) {
		id = s->request.chain[i];
		if (sim_indexed(s, id))
			sim_index_set(s, id, gittins_block(s, id)->last);
	}
}

static void hint(struct sim *s, uint32_t ms)
{
	gittins_history_hint(s->priv, ms);
}

static int admit(struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	struct sim_entry e;

	if (sim_depth(s, id) >= g->whole)
		return SIM_BYPASS;
	if (s->nr_cached < s->capacity || g->guard.lru || !cheapest(s, &e))
		return SIM_KEEP;
	return index_of(s, id) > e.key >> 32 ? SIM_KEEP : SIM_BYPASS;
}

/* One at a time: when a leaf is gone its parent may be the next. */
static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct gittins *g = s->priv;
	struct sim_entry e;

	if (!cheapest(s, &e))
		return 0;
	if (!g->guard.lru) {
		pop(g);
		g->spent++;
	}
	*ids = e.id;
	return 1;
}

static void added(struct sim *s, uint32_t id)
{
	uint32_t parent = sim_parent(s, id);

	if (parent != SIM_NONE && gittins_block(s, parent)->leaf)
		del_leaf(s, parent);
	add_leaf(s, id);
}

static void removed(struct sim *s, uint32_t id)
{
	struct gittins *g = s->priv;
	uint32_t parent = sim_parent(s, id);

	del_leaf(s, id);
	if (parent == SIM_NONE || sim_children(s, parent))
		return;
	add_leaf(s, parent);
	if (!g->guard.lru && !sim_bound(s, parent))
		push(g, candidate(s, parent));
}

const struct sim_policy sim_gittins = {
	.name = "gittins",
	.summary = "returns per time held, as learned for classes of blocks",
	.modes = SIM_ATOMIC,
	.mode = SIM_ATOMIC,
	.priv_size = sizeof(struct gittins),
	.block_size = sizeof(struct gittins_block),
	.attach = attach,
	.detach = detach,
	.request_begin = request_begin,
	.admit = admit,
	.victims = victims,
	.added = added,
	.removed = removed,
	.hint = hint,
};
