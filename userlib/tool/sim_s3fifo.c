// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * S3-FIFO: Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all you need for
 * cache eviction", SOSP 2023, algorithm 1. A tenth of the cache is a small
 * queue for newcomers; those used twice there move to the main queue, the
 * others leave their name in a ghost queue, which lets them into the main
 * queue when they come again.
 */
#include "sim.h"

#define MAX_USES 3u

enum place {
	NOWHERE,
	SMALL,
	MAIN,
	GHOST
};

struct s3fifo {
	struct sim_list small, main, ghost;
	uint32_t small_max, main_max;
};

struct block {
	uint8_t place, uses;
};

static int attach(struct sim *s)
{
	struct s3fifo *p = s->priv;

	sim_list_init(&p->small);
	sim_list_init(&p->main);
	sim_list_init(&p->ghost);
	p->small_max = s->capacity / 10 ? s->capacity / 10 : 1;
	p->main_max = s->capacity - p->small_max;
	return 0;
}

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++) {
		struct block *b = sim_storage(s, ids[i]);

		if (b->uses < MAX_USES)
			b->uses++;
	}
}

static void added(struct sim *s, uint32_t id)
{
	struct s3fifo *p = s->priv;
	struct block *b = sim_storage(s, id);

	b->uses = 0;
	if (b->place == GHOST) {
		sim_list_del(s, &p->ghost, id);
		sim_list_add(s, &p->main, id);
		b->place = MAIN;
	} else {
		sim_list_add(s, &p->small, id);
		b->place = SMALL;
	}
}

/* Oldest block of the main queue that was not used since it was last there. */
static uint32_t main_victim(struct sim *s)
{
	struct s3fifo *p = s->priv;
	uint32_t id = p->main.tail;

	for (; id != SIM_NONE; id = p->main.tail) {
		struct block *b = sim_storage(s, id);

		if (!b->uses)
			break;
		b->uses--;
		sim_list_del(s, &p->main, id);
		sim_list_add(s, &p->main, id);
	}
	return id;
}

/*
 * The same of the small queue. What was used twice moves on; if the main queue
 * has to make room for it, that is the victim.
 */
static uint32_t small_victim(struct sim *s)
{
	struct s3fifo *p = s->priv;
	uint32_t id = p->small.tail;

	for (; id != SIM_NONE; id = p->small.tail) {
		struct block *b = sim_storage(s, id);

		if (b->uses < 2)
			return id;
		sim_list_del(s, &p->small, id);
		sim_list_add(s, &p->main, id);
		b->place = MAIN;
		b->uses = 0;
		if (p->main.len > p->main_max)
			return main_victim(s);
	}
	return SIM_NONE;
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct s3fifo *p = s->priv;

	*ids = SIM_NONE;
	if (p->small.len >= p->small_max || !p->main.len)
		*ids = small_victim(s);
	if (*ids == SIM_NONE)
		*ids = main_victim(s);
	return *ids == SIM_NONE ? 0 : 1;
}

static void removed(struct sim *s, uint32_t id)
{
	struct s3fifo *p = s->priv;
	struct block *b = sim_storage(s, id);

	if (b->place == MAIN) {
		sim_list_del(s, &p->main, id);
		b->place = NOWHERE;
		return;
	}
	sim_list_del(s, &p->small, id);
	sim_list_add(s, &p->ghost, id);
	b->place = GHOST;
	if (p->ghost.len > p->main_max) {
		id = p->ghost.tail;
		b = sim_storage(s, id);
		sim_list_del(s, &p->ghost, id);
		b->place = NOWHERE;
	}
}

const struct sim_policy sim_s3fifo = {
	.name = "s3fifo",
	.summary = "small, main and ghost FIFO queues (S3-FIFO)",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct s3fifo),
	.block_size = sizeof(struct block),
	.attach = attach,
	.accessed = accessed,
	.added = added,
	.victims = victims,
	.removed = removed,
};
