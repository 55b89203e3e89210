// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Where blocks go that the policy does not keep: as in module/move.c
 * (place_below) and module/reclaim.c (take_shadows), less what is a matter of
 * time there. The module works ahead of need, so a block finds a full tier now
 * and then and goes past it; here it never does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_tiers.h"

static bool is_device(const struct sim_tiers *t, unsigned int tier)
{
	return tier < t->setup->nr && t->setup->tier[tier].is_device;
}

/* The device, or SIM_ABSENT. */
static unsigned int device_of(const struct sim_tiers *t)
{
	unsigned int last = t->setup->nr - 1;

	return is_device(t, last) ? last : SIM_ABSENT;
}

static bool is_full(const struct sim_tiers *t, unsigned int tier)
{
	uint32_t blocks = t->setup->tier[tier].blocks;

	return blocks != SIM_UNLIMITED && t->slots[tier] >= blocks;
}

int sim_tiers_init(struct sim_tiers *t, const struct sim_tiers_setup *setup,
		   uint32_t nr_blocks, struct sim_traffic *traffic)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->setup = setup;
	t->traffic = traffic;
	t->nr_blocks = nr_blocks;
	t->place = malloc(nr_blocks + 1UL);
	t->has_copy = calloc(nr_blocks + 1UL, sizeof(*t->has_copy));
	t->links = calloc(nr_blocks + 1UL, sizeof(*t->links));
	t->copy_links = calloc(nr_blocks + 1UL, sizeof(*t->copy_links));
	if (!t->place || !t->has_copy || !t->links || !t->copy_links)
		return -ENOMEM;
	memset(t->place, SIM_ABSENT, nr_blocks);
	for (i = 0; i < SIM_MAX_TIERS; i++)
		sim_list_init(&t->in[i]);
	sim_list_init(&t->copies);
	return 0;
}

void sim_tiers_free(struct sim_tiers *t)
{
	free(t->place);
	free(t->has_copy);
	free(t->links);
	free(t->copy_links);
}

void sim_tiers_look(struct sim_tiers *t, uint32_t id, unsigned int *slowest)
{
	unsigned int tier = t->place[id];

	t->traffic->hits[tier]++;
	if (tier > *slowest)
		*slowest = tier;
	t->traffic->prefix[*slowest]++;
}

static void add_copy(struct sim_tiers *t, uint32_t id)
{
	t->has_copy[id] = true;
	sim_link(t->copy_links, &t->copies, id);
}

static void del_copy(struct sim_tiers *t, uint32_t id)
{
	t->has_copy[id] = false;
	sim_unlink(t->copy_links, &t->copies, id);
}

static void settle(struct sim_tiers *t, uint32_t id, unsigned int to,
		   bool is_copied)
{
	t->traffic->moved[t->place[id]][to]++;
	t->traffic->copied[t->place[id]][to] += is_copied;
	t->place[id] = (uint8_t)to;
	if (to == SIM_ABSENT)
		return;
	t->slots[to]++;
	if (to != SIM_DRAM)
		sim_link(t->links, &t->in[to], id);
}

static void push_down(struct sim_tiers *t, uint32_t id);

/*
 * A slot in a lower tier; on the device copies go before blocks, as a block
 * that loses its copy is still there. False: none, all are on their way.
 */
static bool make_room(struct sim_tiers *t, unsigned int tier)
{
	uint32_t id;

	while (is_full(t, tier)) {
		if (is_device(t, tier) && t->copies.len) {
			/* What came up last will need its copy last. */
			del_copy(t, t->copies.head);
			t->slots[tier]--;
			t->traffic->copies_dropped++;
			continue;
		}
		id = t->in[tier].tail;
		if (id == SIM_NONE)
			return false;
		sim_unlink(t->links, &t->in[tier], id);
		t->slots[tier]--;
		push_down(t, id);
	}
	return true;
}

/* A block whose slot was given up goes one tier down, or out of the pool. */
static void push_down(struct sim_tiers *t, uint32_t id)
{
	unsigned int from = t->place[id], to = from + 1;

	if (is_device(t, to) && t->has_copy[id]) {
		del_copy(t, id);
		t->slots[to]--;
		settle(t, id, to, false);
	} else if (to < t->setup->nr && make_room(t, to)) {
		settle(t, id, to, true);
	} else {
		settle(t, id, SIM_ABSENT, false);
	}
}

void sim_tiers_demote(struct sim_tiers *t, uint32_t id)
{
	t->slots[SIM_DRAM]--;
	push_down(t, id);
}

void sim_tiers_lift(struct sim_tiers *t, uint32_t id)
{
	unsigned int from = t->place[id];

	if (from == SIM_ABSENT)
		return;
	sim_unlink(t->links, &t->in[from], id);
	/* The slot on a device is what becomes the copy: it stays taken. */
	if (!is_device(t, from))
		t->slots[from]--;
}

void sim_tiers_put_back(struct sim_tiers *t, uint32_t id)
{
	unsigned int from = t->place[id];

	if (from == SIM_ABSENT)
		return;
	sim_link(t->links, &t->in[from], id);
	if (!is_device(t, from))
		t->slots[from]++;
}

/* Into memory, lifted before. */
static void come_up(struct sim_tiers *t, uint32_t id, unsigned int to)
{
	unsigned int from = t->place[id], device = device_of(t);

	settle(t, id, to, true);
	if (device == SIM_ABSENT)
		return;
	if (from == device) {
		add_copy(t, id);
	} else if (from == SIM_ABSENT && t->setup->is_stored_ahead &&
		   !is_full(t, device)) {
		add_copy(t, id);
		t->slots[device]++;
		t->traffic->stored_ahead++;
	}
}

void sim_tiers_arrive(struct sim_tiers *t, uint32_t id)
{
	come_up(t, id, SIM_DRAM);
}

/*
 * Engines read and write memory. The first below the cache serves them; where
 * there is none the block passes through the cache's memory without a place
 * there.
 */
void sim_tiers_pass(struct sim_tiers *t, uint32_t id)
{
	unsigned int from = t->place[id];

	if (from != SIM_ABSENT && !is_device(t, from)) {
		sim_unlink(t->links, &t->in[from], id);
		sim_link(t->links, &t->in[from], id);
		return;
	}
	sim_tiers_lift(t, id);
	if (is_device(t, 1)) {
		come_up(t, id, SIM_DRAM);
		sim_tiers_demote(t, id);
	} else {
		make_room(t, 1);
		come_up(t, id, 1);
	}
}

static const char *check_blocks(const struct sim_tiers *t, uint32_t *held)
{
	uint32_t id, copies = 0;

	for (id = 0; id < t->nr_blocks; id++) {
		held[t->place[id]]++;
		copies += t->has_copy[id];
		if (t->has_copy[id] &&
		    (t->place[id] == SIM_ABSENT || is_device(t, t->place[id])))
			return "a copy of a block that is not in memory";
	}
	if (copies != t->copies.len)
		return "the list of copies has others than the blocks say";
	return NULL;
}

static const char *check_tier(const struct sim_tiers *t, unsigned int tier,
			      uint32_t held)
{
	const struct sim_traffic *traffic = t->traffic;
	uint32_t copies = is_device(t, tier) ? t->copies.len : 0;
	uint64_t in = 0, out = 0;
	unsigned int i;

	if (tier != SIM_DRAM && t->in[tier].len != held)
		return "the list of a tier has others than the blocks say";
	if (t->slots[tier] != held + copies)
		return "slots that nothing is in, or too few";
	if (t->setup->tier[tier].blocks != SIM_UNLIMITED &&
	    t->slots[tier] > t->setup->tier[tier].blocks)
		return "more in a tier than it can hold";
	for (i = 0; i <= SIM_MAX_TIERS; i++) {
		if (traffic->copied[i][tier] > traffic->moved[i][tier])
			return "more bytes than blocks";
		in += traffic->moved[i][tier];
		out += traffic->moved[tier][i];
	}
	return in - out == held ? NULL
				: "what came less what went is not there";
}

const char *sim_tiers_check(const struct sim_tiers *t, uint64_t refs)
{
	uint32_t held[SIM_MAX_TIERS + 1] = { 0 };
	const char *why = check_blocks(t, held);
	uint64_t hits = 0, prefix = 0;
	unsigned int i;

	for (i = 0; i <= SIM_MAX_TIERS; i++) {
		hits += t->traffic->hits[i];
		prefix += t->traffic->prefix[i];
	}
	if (hits != refs || prefix != refs)
		why = "hits and misses are not all references";
	for (i = 0; i < t->setup->nr && !why; i++)
		why = check_tier(t, i, held[i]);
	return why;
}

void sim_tiers_finish(struct sim_tiers *t)
{
	unsigned int device = device_of(t), i;

	for (i = 0; i < SIM_MAX_TIERS; i++)
		t->traffic->used[i] = t->slots[i];
	t->traffic->copies = t->copies.len;
	if (device != SIM_ABSENT)
		t->traffic->used[device] -= t->copies.len;
}
