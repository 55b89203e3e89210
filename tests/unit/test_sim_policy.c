// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the simulator tells a policy, and what it takes from one. */
#include <errno.h>

#include "sim_model.h"

static char log_text[1024];

static void note(const char *what, uint32_t id)
{
	size_t n = strlen(log_text);
	char letter[2] = "";

	if (id != SIM_NONE)
		letter[0] = (char)('a' + id);
	snprintf(log_text + n, sizeof(log_text) - n, "%s%s%s", n ? " " : "",
		 what, letter);
}

static int rec_attach(struct sim *s)
{
	sim_list_init(s->priv);
	note("attach", SIM_NONE);
	return 0;
}

static void rec_detach(struct sim *s)
{
	note("detach", SIM_NONE);
}

static void rec_begin(struct sim *s)
{
	note("(", SIM_NONE);
}

static void rec_end(struct sim *s)
{
	note(")", SIM_NONE);
}

static void rec_accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	CHECK(nr > 0 && nr <= SIM_BATCH);
	note("hit:", SIM_NONE);
	for (uint32_t i = 0; i < nr; i++)
		note("", ids[i]);
}

static int rec_admit(struct sim *s, uint32_t id)
{
	CHECK(!sim_cached(s, id));
	note("admit:", id);
	return id == 4 ? SIM_BYPASS : SIM_KEEP; /* never e */
}

static void rec_added(struct sim *s, uint32_t id)
{
	CHECK(sim_cached(s, id));
	sim_list_add(s, s->priv, id);
	note("+", id);
}

static void rec_removed(struct sim *s, uint32_t id)
{
	CHECK(!sim_cached(s, id));
	sim_list_del(s, s->priv, id);
	note("-", id);
}

static uint32_t rec_victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	CHECK_EQ(s->nr_cached, s->capacity);
	return sim_list_oldest(s, s->priv, ids, want);
}

static const struct sim_policy recorder = {
	.name = "recorder",
	.modes = SIM_PER_BLOCK | SIM_ATOMIC,
	.mode = SIM_PER_BLOCK,
	.priv_size = sizeof(struct sim_list),
	.attach = rec_attach,
	.detach = rec_detach,
	.request_begin = rec_begin,
	.request_end = rec_end,
	.accessed = rec_accessed,
	.admit = rec_admit,
	.added = rec_added,
	.removed = rec_removed,
	.victims = rec_victims,
};

static int run_text(const char *text, const struct sim_policy *p,
		    enum sim_mode mode, uint32_t capacity, struct sim_result *r)
{
	const struct sim_setup setup = { .mode = mode, .capacity = capacity };
	struct trace t;
	int ret;

	log_text[0] = 0;
	trace_of(&t, text);
	ret = sim_run(&t, p, &setup, r, NULL, NULL);
	trace_free(&t);
	return ret;
}

static void callbacks_come_in_order(void)
{
	struct sim_result r;

	CHECK_EQ(run_text("a b, a b c, e", &recorder, SIM_PER_BLOCK, 2, &r), 0);
	/* Letters are numbers of first use: e is the fourth, d. */
	CHECK_STR(log_text,
		  "attach ( admit:a +a admit:b +b ) "
		  "( hit: a b admit:c -a +c ) ( admit:d -b +d ) detach");
	CHECK_EQ(run_text("a b, a b c d, e", &recorder, SIM_PER_BLOCK, 9, &r),
		 0);
	CHECK_STR(log_text,
		  "attach ( admit:a +a admit:b +b ) "
		  "( hit: a b admit:c +c admit:d +d ) ( admit:e ) detach");
	CHECK_EQ(r.bypassed, 1);
}

static void atomic_stops_at_what_is_not_kept(void)
{
	struct sim_result r;

	CHECK_EQ(run_text("a b c d, a b e f, a b e f", &recorder, SIM_ATOMIC, 9,
			  &r),
		 0);
	CHECK_STR(log_text,
		  "attach ( admit:a +a admit:b +b admit:c +c admit:d +d ) "
		  "( hit: a b admit:e ) ( hit: a b admit:e ) detach");
	CHECK_EQ(r.bypassed, 4);
	CHECK_EQ(r.prefix_hits, 4);
}

static void many_hits_come_in_batches(void)
{
	const struct sim_setup setup = { .mode = SIM_PER_BLOCK,
					 .capacity = 200 };
	uint64_t ids[200];
	struct sim_result r;
	struct trace t;
	unsigned int i;

	for (i = 0; i < 200; i++)
		ids[i] = i;
	trace_init(&t);
	trace_add(&t, ids, 200);
	trace_add(&t, ids, 200);
	/* The recorder's checks are what counts. */
	CHECK_EQ(sim_run(&t, &recorder, &setup, &r, NULL, NULL), 0);
	CHECK_EQ(r.block_hits, 199);
	trace_free(&t);
}

/* What a request says of itself, and the clock. */
static unsigned int ticks, begins;

static void look(struct sim *s)
{
	const struct sim_request *q = &s->request;

	begins++;
	if (q->nr == 1) {
		CHECK_EQ(q->time_ns, 1500000000);
		CHECK_EQ(s->now_ns, 1500000000);
		CHECK_EQ(q->input_length, 900);
		CHECK(q->session == 3 && q->turn == 1 && q->agent == 0);
		CHECK_EQ(q->len, 3);
		CHECK_EQ(q->cached, 2);
		CHECK_EQ(sim_parent(s, q->chain[0]), SIM_NONE);
		CHECK_EQ(sim_parent(s, q->chain[2]), q->chain[1]);
		CHECK_EQ(sim_depth(s, q->chain[2]), 2);
		CHECK_EQ(sim_children(s, q->chain[0]), 1);
		CHECK_EQ(sim_children(s, q->chain[1]), 0);
		CHECK(s->future == NULL);
	}
	if (q->nr == 2) {
		/* Out of order: the clock stays. */
		CHECK_EQ(q->time_ns, 1000000);
		CHECK_EQ(s->now_ns, 1500000000);
		CHECK_EQ(sim_children(s, q->chain[1]), 1);
	}
}

static void tick(struct sim *s)
{
	ticks++;
}

static void a_policy_sees_the_request(void)
{
	static const struct sim_policy looker = {
		.name = "looker",
		.request_begin = look,
		.tick = tick,
	};
	const struct sim_setup setup = { .mode = SIM_PER_BLOCK, .capacity = 9 };
	static const double when[] = { 0, 1500, 1, 2000, 2500, 9000 };
	uint64_t ids[] = { 7, 8, 9 };
	struct request q = { .input_length = 900,
			     .session = 3,
			     .turn = 1,
			     .ids = ids,
			     .nr_ids = 2 };
	struct sim_result r;
	struct trace t;

	trace_init(&t);
	for (unsigned int i = 0; i < 6; i++) {
		q.timestamp = when[i];
		trace_add_request(&t, &q);
		q.nr_ids = 3;
	}
	CHECK_EQ(sim_run(&t, &looker, &setup, &r, NULL, NULL), 0);
	CHECK_EQ(begins, 6);
	/* At 1.5, 2.5 and 9 s. */
	CHECK_EQ(ticks, 3);
	trace_free(&t);
}

/* Policies that lie. */
static uint32_t gives_foreign(struct sim *s, uint32_t *ids, uint32_t want)
{
	*ids = s->nr_blocks;
	return 1;
}

static uint32_t gives_absent(struct sim *s, uint32_t *ids, uint32_t want)
{
	for (*ids = 0; sim_cached(s, *ids); ++*ids)
		;
	return 1;
}

static uint32_t gives_too_many(struct sim *s, uint32_t *ids, uint32_t want)
{
	ids[0] = 0;
	ids[1] = 1;
	return want + 1;
}

static uint32_t gives_head(struct sim *s, uint32_t *ids, uint32_t want)
{
	*ids = 0;
	return 1;
}

static uint32_t gives_own(struct sim *s, uint32_t *ids, uint32_t want)
{
	*ids = s->request.chain[s->nr_cached - 1];
	return 1;
}

static uint32_t gives_none(struct sim *s, uint32_t *ids, uint32_t want)
{
	return 0;
}

static void lying_policies_are_found_out(void)
{
	static const struct {
		uint32_t (*victims)(struct sim *s, uint32_t *ids,
				    uint32_t want);
		enum sim_mode mode;
		const char *text;
		int want;
	} liars[] = {
		{ gives_foreign, SIM_PER_BLOCK, "a,b,c", -EPROTO },
		{ gives_absent, SIM_PER_BLOCK, "a,b,c", -EPROTO },
		{ gives_too_many, SIM_PER_BLOCK, "a,b,c", -EPROTO },
		/* a goes, then is asked for again and is not there. */
		{ gives_head, SIM_PER_BLOCK, "a,b,c", 0 },
		{ gives_head, SIM_PER_BLOCK, "a,b,c,d", -EPROTO },
		{ gives_head, SIM_ATOMIC, "a b,c", -EPROTO },
		{ gives_own, SIM_ATOMIC, "a b c", -EPROTO },
		{ gives_none, SIM_PER_BLOCK, "a,b,c", 0 },
		{ gives_none, SIM_ATOMIC, "a b c", 0 },
	};
	struct sim_policy p = { .name = "liar" };
	struct sim_result r;

	for (size_t i = 0; i < sizeof(liars) / sizeof(liars[0]); i++) {
		p.victims = liars[i].victims;
		CHECK_EQ(run_text(liars[i].text, &p, liars[i].mode, 2, &r),
			 liars[i].want);
		if (p.victims == gives_none)
			CHECK(r.fills == 2 && r.bypassed == 1);
	}
}

static void ids_must_be_chained_for_atomic(void)
{
	struct sim_result r;

	CHECK_EQ(run_text("a b, c b", sim_find("leaf", 4), SIM_ATOMIC, 9, &r),
		 -EINVAL);
	CHECK_EQ(run_text("a b a", sim_find("leaf", 4), SIM_ATOMIC, 9, &r),
		 -EINVAL);
	CHECK_EQ(run_text("a b, c b", sim_find("lru", 3), SIM_PER_BLOCK, 9, &r),
		 0);
}

static void rec_hint(struct sim *s, uint32_t ms)
{
	char text[24];

	snprintf(text, sizeof(text), "hint=%u", ms);
	note(text, SIM_NONE);
}

static void a_hint_comes_when_the_request_is_done(void)
{
	static const uint32_t hints[] = { 7, 30 };
	struct sim_setup setup = { .mode = SIM_PER_BLOCK, .capacity = 2 };
	struct sim_policy p = recorder;
	struct sim_result r;
	struct trace t;

	p.hint = rec_hint;
	trace_of(&t, "a,a");
	for (int told = 0; told < 2; told++) {
		log_text[0] = 0;
		setup.hints = told ? hints : NULL;
		CHECK_EQ(sim_run(&t, &p, &setup, &r, NULL, NULL), 0);
		CHECK_STR(
			log_text,
			told ? "attach ( admit:a +a ) hint=7 ( hit: a ) hint=30 detach"
			     : "attach ( admit:a +a ) ( hit: a ) detach");
	}
	trace_free(&t);
}

/* Keys come in order, and equal ones in the order in which they were set. */
static uint32_t walk(const struct sim *s, const uint64_t *turn)
{
	uint64_t key = 0, last = 0;
	uint32_t n = 0, id;
	struct sim_entry e;

	if (!sim_index_first(s, &e))
		return 0;
	for (id = e.id; id != SIM_NONE; id = sim_index_next(s, id)) {
		uint64_t k = s->index[id + 1].key;

		CHECK(!n || k > key || (k == key && turn[id] > last));
		key = k;
		last = turn[id];
		n++;
	}
	return n;
}

static void the_index_is_in_order(void)
{
	enum {
		N = 300
	};
	struct sim s = { .nr_blocks = N };
	uint64_t key[N] = { 0 }, turn[N] = { 0 }, low;
	struct sim_entry e;
	uint32_t i, id, n = 0;

	s.blocks = calloc(N, sizeof(*s.blocks));
	s.index = calloc(N + 1, sizeof(*s.index));
	for (i = 0; i < 20000; i++) {
		id = chance(N);
		n -= key[id] != 0;
		if (chance(3)) {
			key[id] = 1 + chance(i < 10000 ? 1000 : 20);
			turn[id] = i;
			sim_index_set(&s, id, key[id]);
		} else {
			key[id] = 0;
			sim_index_del(&s, id);
		}
		n += key[id] != 0;
		CHECK_EQ(sim_indexed(&s, id), key[id] != 0);
		low = 0;
		for (id = 0; id < N; id++)
			if (key[id] && (!low || key[id] < low))
				low = key[id];
		CHECK_EQ(sim_index_first(&s, &e), low != 0);
		if (low)
			CHECK(e.key == low && key[e.id] == low);
		CHECK_EQ(walk(&s, turn), n);
	}
	free(s.blocks);
	free(s.index);
}

static void policies_can_be_added(void)
{
	static char names[SIM_MAX_POLICIES][16];
	static struct sim_policy more[SIM_MAX_POLICIES];
	struct sim_policy bad = recorder;
	unsigned int before = 0, nr;

	CHECK_EQ(sim_register(&recorder), 0);
	CHECK(sim_find("recorder", 8) == &recorder);
	CHECK_EQ(sim_register(&recorder), -EEXIST);
	bad.name = "";
	CHECK_EQ(sim_register(&bad), -EINVAL);
	bad.name = "bad";
	bad.victims = NULL;
	CHECK_EQ(sim_register(&bad), -EINVAL);
	bad.victims = rec_victims;
	bad.modes = SIM_ATOMIC;
	CHECK_EQ(sim_register(&bad), -EINVAL);
	while (sim_policies[before])
		before++;
	for (nr = 0; nr + before < SIM_MAX_POLICIES; nr++) {
		snprintf(names[nr], sizeof(names[nr]), "more%u", nr);
		more[nr] = recorder;
		more[nr].name = names[nr];
		CHECK_EQ(sim_register(&more[nr]), 0);
	}
	bad.name = "late";
	bad.modes = SIM_PER_BLOCK;
	CHECK_EQ(sim_register(&bad), -ENOSPC);
	CHECK(!sim_find("late", 4));
	CHECK(!sim_policies[SIM_MAX_POLICIES]);
}

int main(void)
{
	CASE(callbacks_come_in_order);
	CASE(atomic_stops_at_what_is_not_kept);
	CASE(many_hits_come_in_batches);
	CASE(a_policy_sees_the_request);
	CASE(lying_policies_are_found_out);
	CASE(ids_must_be_chained_for_atomic);
	CASE(a_hint_comes_when_the_request_is_done);
	CASE(the_index_is_in_order);
	CASE(policies_can_be_added);
	UNIT_END();
}
