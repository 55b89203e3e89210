// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * ARC: Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache",
 * FAST 2003, figure 4. T1 holds what was seen once, T2 what was seen again; B1
 * and B2 remember what left them, and a miss on one of those moves the target
 * size of T1.
 */
#include "sim.h"

enum place {
	NOWHERE,
	T1,
	T2,
	B1,
	B2,
	NR_PLACES
};

/* Parts of a block in the target: in whole blocks it adapts visibly worse. */
#define PART (1ULL << 16)

struct arc {
	struct sim_list list[NR_PLACES];
	uint64_t target;     /* of T1, in parts: p in the paper */
	enum place incoming; /* where the block that missed was */
	bool drop;	     /* the next to leave T1 is not remembered */
};

static int attach(struct sim *s)
{
	struct arc *a = s->priv;
	unsigned int i;

	for (i = 0; i < NR_PLACES; i++)
		sim_list_init(&a->list[i]);
	return 0;
}

static void move(struct sim *s, uint32_t id, enum place to)
{
	struct arc *a = s->priv;
	uint8_t *place = sim_storage(s, id);

	if (*place != NOWHERE)
		sim_list_del(s, &a->list[*place], id);
	*place = (uint8_t)to;
	if (to != NOWHERE)
		sim_list_add(s, &a->list[to], id);
}

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		move(s, ids[i], T2);
}

/* Cases II and III: the ghost that was hit asks for more room for its list. */
static void adapt(struct arc *a, uint32_t capacity)
{
	uint32_t b1 = a->list[B1].len, b2 = a->list[B2].len;
	uint64_t step;

	if (a->incoming == B1) {
		step = b2 > b1 ? b2 * PART / b1 : PART;
		a->target += step;
		if (a->target > capacity * PART)
			a->target = capacity * PART;
	} else {
		step = b1 > b2 ? b1 * PART / b2 : PART;
		a->target = step < a->target ? a->target - step : 0;
	}
}

static int admit(struct sim *s, uint32_t id)
{
	struct arc *a = s->priv;
	uint8_t *place = sim_storage(s, id);
	uint32_t l1 = a->list[T1].len + a->list[B1].len;
	uint32_t l2 = a->list[T2].len + a->list[B2].len;

	a->incoming = *place;
	a->drop = false;
	if (a->incoming != NOWHERE) {
		adapt(a, s->capacity);
	} else if (l1 == s->capacity) {
		if (a->list[B1].len)
			move(s, a->list[B1].tail, NOWHERE);
		else
			a->drop = true;
	} else if (l1 + l2 >= 2 * (uint64_t)s->capacity) {
		move(s, a->list[B2].tail, NOWHERE);
	}
	return SIM_KEEP;
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct arc *a = s->priv;
	uint32_t t1 = a->list[T1].len;
	bool first = t1 * PART > a->target ||
		     (t1 && t1 == a->target / PART && a->incoming == B2);

	if (a->drop || first || !a->list[T2].len)
		return sim_list_oldest(s, &a->list[T1], ids, 1);
	return sim_list_oldest(s, &a->list[T2], ids, 1);
}

static void removed(struct sim *s, uint32_t id)
{
	struct arc *a = s->priv;
	uint8_t *place = sim_storage(s, id);

	if (*place == T1)
		move(s, id, a->drop ? NOWHERE : B1);
	else
		move(s, id, B2);
}

static void added(struct sim *s, uint32_t id)
{
	struct arc *a = s->priv;

	move(s, id, a->incoming == NOWHERE ? T1 : T2);
}

const struct sim_policy sim_arc = {
	.name = "arc",
	.summary = "adaptive replacement cache (ARC)",
	.modes = SIM_PER_BLOCK,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct arc),
	.block_size = sizeof(uint8_t),
	.attach = attach,
	.accessed = accessed,
	.admit = admit,
	.victims = victims,
	.added = added,
	.removed = removed,
};
