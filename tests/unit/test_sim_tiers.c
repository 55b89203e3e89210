// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The simulator's tiers: by hand, by a slow model, and what always holds. */
#include "sim_model.h"
#include "sim_tiers.h"

#define CXL    1u
#define NVME   2u
#define ABSENT SIM_ABSENT

static struct sim_result r;

/* Sizes of 0: no such tier. */
static struct sim_tiers_setup tiers_of(uint32_t cxl, uint32_t nvme)
{
	struct sim_tiers_setup t = { .nr = 1 };

	t.tier[0].name = "dram";
	if (cxl)
		t.tier[t.nr++] = (struct sim_tier){ "cxl", false, cxl };
	if (nvme)
		t.tier[t.nr++] = (struct sim_tier){ "nvme", true, nvme };
	return t;
}

static int run(const struct trace *t, const struct sim_policy *p,
	       enum sim_mode mode, uint32_t dram,
	       const struct sim_tiers_setup *tiers)
{
	const struct sim_setup setup = { .mode = mode ? mode : p->mode,
					 .capacity = dram,
					 .tiers = tiers,
					 .is_checked = true };

	return sim_run(t, p, &setup, &r, NULL, NULL);
}

static void run_text(const char *text, const char *policy, uint32_t dram,
		     struct sim_tiers_setup tiers)
{
	struct trace t;

	trace_of(&t, text);
	CHECK_EQ(run(&t, sim_find(policy, strlen(policy)), 0, dram, &tiers), 0);
	trace_free(&t);
}

#define MOVED(from, to)	 r.traffic.moved[from][to]
#define COPIED(from, to) r.traffic.copied[from][to]

static void a_victim_pushes_others_down(void)
{
	/* c pushes b, and b a: one block in each. */
	run_text("a,b,c", "lru", 1, tiers_of(1, SIM_UNLIMITED));
	CHECK_EQ(MOVED(ABSENT, SIM_DRAM), 3);
	CHECK_EQ(COPIED(SIM_DRAM, CXL), 2);
	CHECK_EQ(COPIED(CXL, NVME), 1);
	CHECK_EQ(r.traffic.used[SIM_DRAM], 1);
	CHECK_EQ(r.traffic.used[CXL], 1);
	CHECK_EQ(r.traffic.used[NVME], 1);
	CHECK_EQ(r.traffic.hits[ABSENT], 3);
	/* Then b is found in cxl, and a on nvme. */
	run_text("a,b,c,b,a", "lru", 1, tiers_of(1, SIM_UNLIMITED));
	CHECK_EQ(r.traffic.hits[CXL], 1);
	CHECK_EQ(r.traffic.hits[NVME], 1);
	CHECK_EQ(COPIED(CXL, SIM_DRAM), 1);
	CHECK_EQ(COPIED(NVME, SIM_DRAM), 1);
	/* For b only c moves, into the slot that b left. For a: b, then c. */
	CHECK_EQ(COPIED(SIM_DRAM, CXL), 4);
	CHECK_EQ(COPIED(CXL, NVME), 2);
	CHECK_EQ(r.traffic.copies, 1);
}

static void a_block_with_a_copy_goes_down_without_io(void)
{
	/* a is written to nvme for b, read for a, and has its copy for b. */
	run_text("a,b,a,b", "lru", 1, tiers_of(0, SIM_UNLIMITED));
	CHECK_EQ(r.traffic.hits[1], 2);
	CHECK_EQ(MOVED(SIM_DRAM, 1), 3);
	CHECK_EQ(COPIED(SIM_DRAM, 1), 2);
	CHECK_EQ(COPIED(1, SIM_DRAM), 2);
	CHECK_EQ(r.traffic.used[1], 1);
	CHECK_EQ(r.traffic.copies, 1);
	/* Memory has no shadows: to cxl its bytes are copied, copy or not. */
	run_text("a,b,c,a,d,e", "lru", 1, tiers_of(1, SIM_UNLIMITED));
	CHECK_EQ(COPIED(SIM_DRAM, CXL), 5);
	CHECK_EQ(MOVED(CXL, NVME), 4);
	CHECK_EQ(COPIED(CXL, NVME), 3);
}

static void a_prefix_is_as_slow_as_its_slowest_block(void)
{
	/* The second request finds b in nvme, c and d in cxl, a nowhere. */
	run_text("b c d, e, x b, c d", "lru", 2, tiers_of(1, SIM_UNLIMITED));
	CHECK_EQ(r.traffic.hits[NVME] + r.traffic.hits[CXL], 3);
	/* x is absent, so what stands behind it is no prefix. */
	CHECK_EQ(r.traffic.prefix[ABSENT], 4 + 2);
	run_text("a b c, c, a b c", "lru", 1, tiers_of(1, SIM_UNLIMITED));
	/* a: nvme; b is in cxl by itself, pushed to nvme by c's way up. */
	CHECK_EQ(r.traffic.prefix[NVME], 3);
	CHECK_EQ(r.traffic.prefix[SIM_DRAM], 1);
}

static void the_last_tier_drops_what_is_too_much(void)
{
	run_text("a,b,c,d,a", "lru", 1, tiers_of(0, 2));
	/* d drops a: it is written anew. */
	CHECK_EQ(r.traffic.hits[ABSENT], 5);
	CHECK_EQ(MOVED(1, ABSENT), 2);
	run_text("a,b,c,a", "lru", 1, tiers_of(1, 0));
	CHECK_EQ(MOVED(CXL, ABSENT), 2);
	CHECK_EQ(r.traffic.hits[ABSENT], 4);
	/* What is used again stays: for d it is b that goes, then c for a. */
	run_text("a,b,a,c,d,a", "lru", 1, tiers_of(0, 2));
	CHECK_EQ(r.traffic.hits[ABSENT], 4);
	CHECK_EQ(MOVED(1, ABSENT), 2);
}

static void copies_go_before_blocks(void)
{
	/* For a: b goes down beside a's slot, now a copy; for d: c takes it. */
	run_text("a,b,c,a,d", "lru", 2, tiers_of(0, 2));
	CHECK_EQ(r.traffic.copies_dropped, 1);
	CHECK_EQ(COPIED(SIM_DRAM, 1), 3);
	CHECK_EQ(MOVED(1, ABSENT), 0);
	/* Then a has to be written again, and b makes room. */
	run_text("a,b,c,a,d,e", "lru", 2, tiers_of(0, 2));
	CHECK_EQ(COPIED(SIM_DRAM, 1), 4);
	CHECK_EQ(MOVED(1, ABSENT), 1);
	/* The slot of the block that comes up is nobody else's: a is dropped. */
	run_text("a,b,c,b,d", "lru", 1, tiers_of(0, 2));
	CHECK_EQ(r.traffic.copies_dropped, 0);
	CHECK_EQ(MOVED(1, ABSENT), 1);
	CHECK_EQ(COPIED(SIM_DRAM, 1), 3);
	CHECK_EQ(MOVED(SIM_DRAM, 1), 4);
}

static void ahead_of_need_all_go_down_without_io(void)
{
	struct sim_tiers_setup t = tiers_of(1, SIM_UNLIMITED);

	t.is_stored_ahead = true;
	run_text("a,b,c,d,a", "lru", 1, t);
	CHECK_EQ(r.traffic.stored_ahead, 4);
	CHECK_EQ(MOVED(CXL, NVME), 3);
	CHECK_EQ(COPIED(CXL, NVME), 0);
	CHECK_EQ(COPIED(SIM_DRAM, CXL), 4);
	/* Room for one: b, c and d get no copy, a gives its own up. */
	t = tiers_of(0, 1);
	t.is_stored_ahead = true;
	run_text("a,b,c,d", "lru", 2, t);
	CHECK_EQ(r.traffic.stored_ahead, 1);
	CHECK_EQ(MOVED(SIM_DRAM, 1), 2);
	CHECK_EQ(COPIED(SIM_DRAM, 1), 1);
}

/* LRU that keeps nothing but the first block, a. */
static int only_a(struct sim *s, uint32_t id)
{
	return id ? SIM_BYPASS : SIM_KEEP;
}

static void what_is_not_kept_is_used_below(void)
{
	struct sim_policy p = *sim_find("lru", 3);
	struct sim_tiers_setup t = tiers_of(1, SIM_UNLIMITED);
	struct trace trace;

	p.admit = only_a;
	trace_of(&trace, "a,b,c,b");
	/* b and c are written to cxl, b is read into it again. */
	CHECK_EQ(run(&trace, &p, 0, 1, &t), 0);
	CHECK_EQ(r.fills, 1);
	CHECK_EQ(COPIED(ABSENT, CXL), 2);
	CHECK_EQ(COPIED(NVME, CXL), 1);
	CHECK_EQ(COPIED(CXL, NVME), 2);
	CHECK_EQ(r.traffic.copies, 1);
	/* Without cxl they pass through memory: only the read has a copy. */
	t = tiers_of(0, SIM_UNLIMITED);
	CHECK_EQ(run(&trace, &p, 0, 1, &t), 0);
	CHECK_EQ(r.fills, 1);
	CHECK_EQ(COPIED(ABSENT, SIM_DRAM), 3);
	CHECK_EQ(COPIED(1, SIM_DRAM), 1);
	CHECK_EQ(MOVED(SIM_DRAM, 1), 3);
	CHECK_EQ(COPIED(SIM_DRAM, 1), 2);
	/* Used in cxl, b is not the one to go. */
	t = tiers_of(2, SIM_UNLIMITED);
	trace_free(&trace);
	trace_of(&trace, "a,b,c,b,d,b");
	CHECK_EQ(run(&trace, &p, 0, 1, &t), 0);
	CHECK_EQ(r.traffic.hits[CXL], 2);
	trace_free(&trace);
}

/*
 * Slow and plain, for LRU block by block: where each block is and when it came
 * there or was used last; a look at all of them for each victim.
 */
struct slow {
	uint32_t size[3], nr, device; /* no device: 9 */
	uint32_t place[64];
	uint64_t time[64], copy[64]; /* copy: when it came up; 0: none */
	uint64_t now, hits[4], bytes[4][4], dropped;
};

static uint32_t slots_taken(const struct slow *m, uint32_t tier)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < 64; i++)
		n += m->place[i] == tier || (tier == m->device && m->copy[i]);
	return n;
}

static uint32_t oldest(const struct slow *m, uint32_t tier)
{
	uint32_t best = 64;

	for (uint32_t i = 0; i < 64; i++)
		if (m->place[i] == tier &&
		    (best == 64 || m->time[i] < m->time[best]))
			best = i;
	return best;
}

static void slow_enter(struct slow *m, uint32_t id, uint32_t tier);

static void slow_leave(struct slow *m, uint32_t id)
{
	uint32_t from = m->place[id], to = from + 1;

	if (to >= m->nr) {
		m->place[id] = ABSENT;
		m->dropped++;
		return;
	}
	m->place[id] = 8; /* on its way */
	if (to == m->device && m->copy[id]) {
		m->copy[id] = 0;
		m->place[id] = to;
		m->time[id] = ++m->now;
		return;
	}
	slow_enter(m, id, to);
	m->bytes[from][to]++;
}

static void slow_enter(struct slow *m, uint32_t id, uint32_t tier)
{
	uint32_t last, i;

	while (slots_taken(m, tier) >= m->size[tier]) {
		last = 64;
		for (i = 0; i < 64 && tier == m->device; i++)
			if (m->copy[i] &&
			    (last == 64 || m->copy[i] > m->copy[last]))
				last = i;
		if (last < 64)
			m->copy[last] = 0;
		else
			slow_leave(m, oldest(m, tier));
	}
	m->place[id] = tier;
	m->time[id] = ++m->now;
}

static void slow_use(struct slow *m, uint32_t id)
{
	uint32_t from = m->place[id];

	m->hits[from]++;
	if (from == SIM_DRAM) {
		m->time[id] = ++m->now;
		return;
	}
	/* Coming up from the device it holds its slot: as a copy, the last. */
	m->place[id] = 8;
	if (from == m->device)
		m->place[id] = m->device;
	m->time[id] = UINT64_MAX;
	slow_enter(m, id, SIM_DRAM);
	if (from == m->device)
		m->copy[id] = ++m->now;
	m->bytes[from][SIM_DRAM]++;
}

static void compare(const struct trace *t, uint32_t dram, uint32_t cxl,
		    uint32_t nvme)
{
	struct sim_tiers_setup tiers = tiers_of(cxl, nvme);
	struct slow m = { .size = { dram, 0, 0 }, .nr = tiers.nr, .device = 9 };
	uint64_t dropped = 0;
	uint32_t i, k;

	for (i = 1; i < tiers.nr; i++) {
		m.size[i] = tiers.tier[i].blocks;
		if (tiers.tier[i].is_device)
			m.device = i;
	}
	for (i = 0; i < 64; i++)
		m.place[i] = ABSENT;
	for (i = 0; i < t->nr_refs; i++)
		slow_use(&m, t->refs[i]);
	CHECK_EQ(run(t, sim_find("lru", 3), 0, dram, &tiers), 0);
	for (i = 0; i < 4; i++) {
		CHECK_EQ(r.traffic.hits[i], m.hits[i]);
		dropped += r.traffic.moved[i][ABSENT];
		for (k = 0; k < 3; k++)
			CHECK_EQ(r.traffic.copied[i][k], m.bytes[i][k]);
	}
	CHECK_EQ(dropped, m.dropped);
	for (i = 0; i < tiers.nr; i++)
		CHECK_EQ(r.traffic.used[i] +
				 (i == m.device ? r.traffic.copies : 0),
			 slots_taken(&m, i));
}

static void a_slow_model_moves_the_same(void)
{
	struct trace t;

	for (int round = 0; round < 300; round++) {
		random_refs(&t, 10 + chance(50), 100);
		compare(&t, 1 + chance(10), 1 + chance(10), 0);
		compare(&t, 1 + chance(10), 0, 2 + chance(40));
		compare(&t, 1 + chance(10), 1 + chance(10), 2 + chance(40));
		compare(&t, 1 + chance(10), 1 + chance(10), SIM_UNLIMITED);
		trace_free(&t);
	}
}

/* All policies, with the look at all blocks after each request. */
static void blocks_are_in_one_tier_each(void)
{
	struct sim_tiers_setup tiers;
	struct sim_setup setup = { .batch = 1 };
	struct sim_result alone;
	struct trace t;

	for (int round = 0; round < 30; round++) {
		random_tree(&t, 60, 150);
		tiers = tiers_of(chance(20), chance(3) ? 1 + chance(60) : 0);
		if (tiers.nr == 1)
			tiers = tiers_of(1, 1);
		tiers.is_stored_ahead = chance(2);
		for (size_t k = 0; sim_policies[k]; k++) {
			const struct sim_policy *p = sim_policies[k];

			setup.mode = p->mode;
			setup.capacity = 1 + chance(30);
			CHECK_EQ(run(&t, p, 0, setup.capacity, &tiers), 0);
			CHECK_EQ(sim_run(&t, p, &setup, &alone, NULL, NULL), 0);
			/* What is below changes nothing for the policy. */
			CHECK_EQ(r.prefix_hits, alone.prefix_hits);
			CHECK_EQ(r.fills, alone.fills);
			CHECK_EQ(r.bypassed, alone.bypassed);
		}
		trace_free(&t);
	}
}

/* A policy that has no victim: what was lifted goes back. */
static uint32_t no_victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	return 0;
}

static void a_cache_that_gives_nothing_leaves_blocks_where_they_are(void)
{
	static const struct sim_policy p = { .name = "miser",
					     .mode = SIM_PER_BLOCK,
					     .victims = no_victims };
	struct sim_tiers_setup tiers = tiers_of(2, SIM_UNLIMITED);
	struct trace t;

	trace_of(&t, "a,b,c,d,b,b,c,d,b");
	CHECK_EQ(run(&t, &p, 0, 1, &tiers), 0);
	CHECK_EQ(MOVED(SIM_DRAM, CXL), 0);
	CHECK_EQ(MOVED(ABSENT, CXL), 3);
	/* The second b is where the first put it; the rest chase each other. */
	CHECK_EQ(r.traffic.hits[NVME], 4);
	CHECK_EQ(r.traffic.hits[CXL], 1);
	tiers = tiers_of(0, 2);
	CHECK_EQ(run(&t, &p, 0, 1, &tiers), 0);
	CHECK_EQ(r.traffic.used[1], 2);
	trace_free(&t);
}

/* The checker must see what is wrong. */
static void faults_are_found(void)
{
	struct sim_tiers_setup setup = tiers_of(2, 4);
	struct sim_traffic traffic = { .hits = { 0 } };
	struct sim_tiers t;
	unsigned int slowest = 0;

	setup.tier[0].blocks = 1;
	CHECK_EQ(sim_tiers_init(&t, &setup, 8, &traffic), 0);
	sim_tiers_look(&t, 3, &slowest);
	sim_tiers_arrive(&t, 3);
	sim_tiers_demote(&t, 3);
	sim_tiers_look(&t, 4, &slowest);
	sim_tiers_arrive(&t, 4);
	CHECK(!sim_tiers_check(&t, 2));
	CHECK(sim_tiers_check(&t, 3));
	t.place[3] = NVME;
	CHECK(sim_tiers_check(&t, 2));
	t.place[3] = CXL;
	t.place[5] = SIM_DRAM;
	CHECK(sim_tiers_check(&t, 2));
	t.place[5] = SIM_ABSENT;
	t.has_copy[3] = true;
	CHECK(sim_tiers_check(&t, 2));
	t.has_copy[3] = false;
	setup.tier[CXL].blocks = 0;
	CHECK(sim_tiers_check(&t, 2));
	setup.tier[CXL].blocks = 2;
	traffic.moved[CXL][NVME]++;
	CHECK(sim_tiers_check(&t, 2));
	traffic.moved[CXL][NVME]--;
	t.slots[CXL]++;
	CHECK(sim_tiers_check(&t, 2));
	t.slots[CXL]--;
	CHECK(!sim_tiers_check(&t, 2));
	sim_tiers_free(&t);
}

int main(void)
{
	CASE(a_victim_pushes_others_down);
	CASE(a_block_with_a_copy_goes_down_without_io);
	CASE(a_prefix_is_as_slow_as_its_slowest_block);
	CASE(the_last_tier_drops_what_is_too_much);
	CASE(copies_go_before_blocks);
	CASE(ahead_of_need_all_go_down_without_io);
	CASE(what_is_not_kept_is_used_below);
	CASE(a_slow_model_moves_the_same);
	CASE(blocks_are_in_one_tier_each);
	CASE(a_cache_that_gives_nothing_leaves_blocks_where_they_are);
	CASE(faults_are_found);
	UNIT_END();
}
