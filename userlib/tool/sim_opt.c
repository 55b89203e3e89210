// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The offline optimum: Belady, "A study of replacement algorithms for a
 * virtual-storage computer", 1966, with bypass. What is used the furthest in
 * the future goes, and a newcomer that is that one is not kept. A block's next
 * use is never before that of its parent, so its hits are prefix hits too, and
 * no policy has more of those.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim.h"

#define NEVER UINT32_MAX

/* In storage: the next reference to the block, an index of trace.refs. */
struct opt {
	uint32_t *next; /* the same of each reference */
};

static int attach(struct sim *s)
{
	const struct trace *t = s->future;
	struct opt *o = s->priv;
	uint32_t i, *use;

	if (t->nr_refs >= NEVER)
		return -EFBIG;
	o->next = malloc((size_t)t->nr_refs * sizeof(*o->next) + 1);
	if (!o->next)
		return -ENOMEM;
	for (i = 0; i < s->nr_blocks; i++) {
		use = sim_storage(s, i);
		*use = NEVER;
	}
	for (i = (uint32_t)t->nr_refs; i--;) {
		use = sim_storage(s, t->refs[i]);
		o->next[i] = *use;
		*use = i;
	}
	return 0;
}

static void detach(struct sim *s)
{
	struct opt *o = s->priv;

	free(o->next);
}

/* The furthest first: the index has the smallest key in front. */
static uint64_t key(const struct sim *s, uint32_t id)
{
	const uint32_t *use = sim_storage(s, id);

	/* Of chains that are never used again the ends go before the heads. */
	if (*use == NEVER)
		return UINT32_MAX - sim_depth(s, id);
	return UINT64_MAX - *use;
}

static void advance(struct sim *s, uint32_t id)
{
	struct opt *o = s->priv;
	uint32_t *use = sim_storage(s, id);

	*use = o->next[*use];
	if (sim_cached(s, id))
		sim_index_set(s, id, key(s, id));
}

/* In atomic mode a request is one event. */
static void request_begin(struct sim *s)
{
	uint32_t i;

	if (s->mode == SIM_ATOMIC)
		for (i = 0; i < s->request.len; i++)
			advance(s, s->request.chain[i]);
}

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	uint32_t i;

	if (s->mode == SIM_PER_BLOCK)
		for (i = 0; i < nr; i++)
			advance(s, ids[i]);
}

static int admit(struct sim *s, uint32_t id)
{
	const uint32_t *use = sim_storage(s, id);
	struct sim_entry e;

	if (s->mode == SIM_PER_BLOCK)
		advance(s, id);
	if (*use == NEVER)
		return SIM_BYPASS;
	if (s->nr_cached < s->capacity || !sim_index_first(s, &e))
		return SIM_KEEP;
	return e.key < key(s, id) ? SIM_KEEP : SIM_BYPASS;
}

static void added(struct sim *s, uint32_t id)
{
	sim_index_set(s, id, key(s, id));
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct sim_entry e;

	if (!sim_index_first(s, &e))
		return 0;
	*ids = e.id;
	return 1;
}

static void removed(struct sim *s, uint32_t id)
{
	sim_index_del(s, id);
}

const struct sim_policy sim_opt = {
	.name = "opt",
	.summary = "the offline optimum (Belady with bypass)",
	.modes = SIM_PER_BLOCK | SIM_ATOMIC,
	.mode = SIM_PER_BLOCK,
	.offline = true,
	.priv_size = sizeof(struct opt),
	.block_size = sizeof(uint32_t),
	.attach = attach,
	.detach = detach,
	.request_begin = request_begin,
	.accessed = accessed,
	.admit = admit,
	.added = added,
	.victims = victims,
	.removed = removed,
};
