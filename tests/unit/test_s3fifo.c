// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The module's choice of files to drop, beside the simulator's S3-FIFO. */
#include <math.h>

#include "sim_model.h"

/* Pure logic of the module, compiled here as it is. */
#include "s3fifo.c"

#define FILES 3000

struct file {
	struct kvl_s3_entry e;
	bool cached;
};

static struct file files[FILES];
static struct kvl_s3 s3;

static void start(void)
{
	unsigned int i;

	memset(files, 0, sizeof(files));
	for (i = 0; i < FILES; i++)
		kvl_s3_entry_init(&files[i].e);
	kvl_s3_init(&s3);
}

static u32 tag_of(unsigned int i)
{
	return (u32)mix64(i);
}

static void stop(void)
{
	free(s3.ghosts);
	s3.ghosts = NULL;
}

static void have_ghosts(u64 nr)
{
	unsigned int bits = kvl_s3_bits(nr);

	if (!s3.ghosts || bits > s3.bits)
		free(kvl_s3_grow(&s3, calloc(1, kvl_s3_bytes(bits)), bits));
}

static bool drop_one(void)
{
	struct kvl_s3_entry *e = kvl_s3_victim(&s3, UINT32_MAX);
	struct file *f = (struct file *)e;

	if (!e)
		return false;
	have_ghosts(kvl_s3_nr(&s3) + 1);
	kvl_s3_dropped(&s3, e, tag_of((unsigned int)(f - files)));
	f->cached = false;
	return true;
}

/* The i-th of a Zipf distribution over n; s = 0.9. */
static unsigned int zipf(unsigned int n)
{
	static double sum[FILES];
	static unsigned int of;
	double at;
	unsigned int lo = 0, hi = n - 1, i;

	if (of != n)
		for (of = n, i = 0; i < n; i++)
			sum[i] = (i ? sum[i - 1] : 0) + pow(i + 1, -0.9);
	at = sum[n - 1] * ((double)(mix64(model_seed++) >> 11) / 0x1p53);
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (sum[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static double ours(const struct trace *t, u64 room, u64 headroom)
{
	u64 hits = 0, i;

	start();
	for (i = 0; i < t->nr_refs; i++) {
		struct file *f = &files[t->refs[i]];

		if (f->cached) {
			kvl_s3_use(&f->e);
			hits++;
			continue;
		}
		if (kvl_s3_weight(&s3) + 64 > room * 64)
			while (kvl_s3_weight(&s3) + headroom * 64 > room * 64)
				if (!drop_one())
					break;
		kvl_s3_add(&s3, &f->e, 64, tag_of(t->refs[i]));
		f->cached = true;
		CHECK(kvl_s3_weight(&s3) <= room * 64);
	}
	stop();
	return (double)hits / (double)t->nr_refs;
}

static void as_the_simulator(void)
{
	static const uint32_t room[] = { 10, 30, 100, 300, 1000 };
	struct trace t;
	unsigned int i;

	model_seed = 1;
	if (trace_init(&t))
		abort();
	for (i = 0; i < 60000; i++) {
		/* Blocks are numbered as they come. */
		uint64_t id = zipf(FILES);

		if (trace_add(&t, &id, 1))
			abort();
	}
	for (i = 0; i < sizeof(room) / sizeof(*room); i++) {
		struct sim_result r = played(&t, "s3fifo", 0, room[i]);
		double sim = (double)r.block_hits / (double)t.nr_refs;
		double here = ours(&t, room[i], 1);
		double ahead = ours(&t, room[i], 1 + room[i] / 64);

		printf("# %u of %u: %.4f in the simulator, %.4f here, %.4f ahead of need\n",
		       room[i], FILES, sim, here, ahead);
		CHECK(fabs(here - sim) < 0.02 * sim);
		CHECK(fabs(ahead - sim) < 0.02 * sim);
	}
	trace_free(&t);
}

/* The same without ghosts is plainly worse, or this test sees nothing. */
static void ghosts_matter(void)
{
	unsigned int i, back = 0;

	start();
	have_ghosts(100);
	for (i = 0; i < 100; i++)
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
	for (i = 0; i < 50; i++)
		CHECK(drop_one());
	for (i = 0; i < 50; i++) {
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
		back += files[i].e.where == KVL_S3_MAIN;
		kvl_s3_del(&s3, &files[i].e);
		/* Once only. */
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
		CHECK_EQ(files[i].e.where, KVL_S3_SMALL);
		kvl_s3_del(&s3, &files[i].e);
	}
	/* 50 are left, 45 of which count as the main queue's share. */
	CHECK(back >= 40 && back <= 46);
	stop();
}

static void uses_by_hand(void)
{
	unsigned int i;

	start();
	for (i = 0; i < 20; i++)
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
	for (i = 0; i < 9; i++)
		kvl_s3_use(&files[0].e);
	CHECK_EQ(files[0].e.uses, KVL_S3_MAX_USES);
	kvl_s3_use(&files[1].e);
	kvl_s3_use(&files[2].e);
	kvl_s3_use(&files[2].e);
	/* 0 and 2 move on; 1, used once, goes first. */
	CHECK(kvl_s3_victim(&s3, 100) == &files[1].e);
	CHECK_EQ(files[0].e.where, KVL_S3_MAIN);
	CHECK_EQ(files[0].e.uses, 0);
	CHECK(kvl_s3_victim(&s3, 100) == &files[3].e);
	CHECK_EQ(files[2].e.where, KVL_S3_MAIN);
	/* One that cannot go is the newest of its queue. */
	kvl_s3_refused(&s3, &files[3].e);
	for (i = 4; i < 20; i++)
		CHECK(kvl_s3_victim(&s3, 100) == &files[i].e);
	CHECK(kvl_s3_victim(&s3, 100) == &files[3].e);
	CHECK(kvl_s3_victim(&s3, 100) == &files[0].e);
	CHECK(kvl_s3_victim(&s3, 100) == &files[2].e);
	CHECK(!kvl_s3_victim(&s3, 100));
	CHECK_EQ(kvl_s3_weight(&s3), 0);
}

/* The lock is not held for longer than that, and nothing is passed over. */
static void search_in_steps(void)
{
	struct kvl_s3_entry *e = NULL;
	unsigned int i, calls = 0;

	start();
	for (i = 0; i < FILES; i++) {
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
		kvl_s3_use(&files[i].e);
		kvl_s3_use(&files[i].e);
	}
	while (!e && calls++ < FILES)
		e = kvl_s3_victim(&s3, 16);
	CHECK(e == &files[0].e);
	CHECK(calls > FILES / 32);
}

struct sums {
	u64 weight[KVL_S3_QUEUES], nr[KVL_S3_QUEUES];
};

static struct sums summed(void)
{
	struct sums s = { { 0 }, { 0 } };
	unsigned int i;

	for (i = 0; i < FILES; i++) {
		if (files[i].e.where == KVL_S3_NONE)
			continue;
		s.weight[files[i].e.where] += files[i].e.weight;
		s.nr[files[i].e.where]++;
	}
	return s;
}

static void random_step(void)
{
	struct file *f = &files[chance(FILES)];
	struct kvl_s3_entry *e;

	switch (chance(8)) {
	case 0:
		kvl_s3_del(&s3, &f->e);
		break;
	case 1:
		e = kvl_s3_victim(&s3, 1 + chance(8));
		if (e && chance(2))
			kvl_s3_refused(&s3, e);
		else if (e)
			kvl_s3_dropped(&s3, e, chance(64));
		break;
	case 2:
		have_ghosts(chance(2 * FILES));
		break;
	case 3:
	case 4:
		kvl_s3_use(&f->e);
		break;
	default:
		if (f->e.where == KVL_S3_NONE)
			kvl_s3_add(&s3, &f->e, 1 + chance(1000), chance(64));
	}
}

static void random_steps(void)
{
	unsigned int i, q;

	model_seed = 7;
	start();
	for (i = 0; i < 200000; i++) {
		random_step();
		if (i % 997)
			continue;
		for (q = 0; q < KVL_S3_QUEUES; q++) {
			struct sums s = summed();

			CHECK_EQ(s.weight[q], s3.weight[q]);
			CHECK_EQ(s.nr[q], s3.nr[q]);
		}
	}
	while (drop_one())
		;
	CHECK_EQ(kvl_s3_nr(&s3), 0);
	stop();
}

/* A larger table knows what the smaller one knew. */
static void ghosts_grow(void)
{
	unsigned int i, known = 0;

	start();
	have_ghosts(8);
	for (i = 0; i < FILES; i++)
		kvl_s3_add(&s3, &files[i].e, 1, tag_of(i));
	for (i = 0; i < 8; i++)
		put_ghost(&s3, tag_of(i));
	for (i = 16; i <= 2 * FILES; i *= 2)
		have_ghosts(i);
	CHECK(kvl_s3_bytes(s3.bits) >= FILES * sizeof(struct kvl_s3_ghost));
	for (i = 0; i < 8; i++)
		known += take_ghost(&s3, tag_of(i));
	CHECK(known >= 7);
	for (i = 0; i < 8; i++)
		CHECK(!take_ghost(&s3, tag_of(i)));
	stop();
}

int main(void)
{
	CASE(uses_by_hand);
	CASE(search_in_steps);
	CASE(ghosts_matter);
	CASE(ghosts_grow);
	CASE(random_steps);
	CASE(as_the_simulator);
	UNIT_END();
}
