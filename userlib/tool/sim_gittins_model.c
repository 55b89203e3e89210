// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The model of the gittins policy: when do the blocks of a class come back?
 *
 * Hazards of return by age, learned with censoring. A class with few returns
 * leans on its parent, and the root on a hazard that is the same in each half
 * octave: then the index falls with age, which is LRU.
 */
#include <string.h>

#include "sim_gittins.h"

#define NONE UINT32_MAX
#define ONE  1024u /* weight of one */
#define LOG  256   /* one octave */

/* Classes: the root, by hits, by gap and hits; a parent before its children. */
#define BY_HITS 1u
#define BY_GAP	(BY_HITS + GITTINS_HITS)
/*
 * Those of hints, with the age as a share of the promised time: one
 * distribution of the error serves all promises, so it takes few returns to
 * learn. A root of their own, and by hits.
 */
#define HINTED (BY_GAP + GITTINS_GAPS * GITTINS_HITS)
#define SHARE  16u /* bits of a share of 1 */

/* Factors: of orphans and of sessions that are over by hits, then of sizes. */
#define BY_OVER GITTINS_HITS
#define BY_NEW	(2 * GITTINS_HITS)
#define BY_SIZE (BY_NEW + GITTINS_SIZES)

/* How much evidence it takes to leave a prior, in weights of one. */
#define ROOT_PRIOR    4u
#define CLASS_PRIOR   60u
#define KIND_PRIOR    4u
#define FEATURE_PRIOR 50u

#define ROOT_HAZARD   6554u  /* a tenth */
#define MAX_HAZARD    65000u /* below 1: something is always left */
#define SURVIVAL      18u    /* bits */
#define MIN_TRUST     8192   /* an eighth of an octave */
#define MAX_SCORE     (4 * LOG)
/* More than that is halved, so that what is long ago counts less. */
#define MEMORY (65536u * ONE)

/* Linear in the mantissa, with a correction: off by less than .01. */
uint32_t gittins_log2(uint64_t x)
{
	uint32_t e, f;

	if (!x)
		return 0;
	e = 63 - (uint32_t)__builtin_clzll(x);
	f = (uint32_t)(e >= 8 ? x >> (e - 8) : x << (8 - e)) & 255;
	return e * LOG + f + ((f * (256 - f) * 88) >> 16);
}

/* The plain mean of the first eight, then one that forgets. */
uint16_t gittins_mean(uint32_t mean, uint32_t n, uint32_t log)
{
	if (n <= 1)
		return (uint16_t)log;
	if (n < 8)
		return (uint16_t)((mean * (n - 1) + log) / n);
	return (uint16_t)((mean * 7 + log) >> 3);
}

uint32_t gittins_hits(uint32_t hits)
{
	uint32_t b = gittins_fls(hits);

	return b < GITTINS_HITS ? b : GITTINS_HITS - 1;
}

/* From half a second on. */
uint32_t gittins_gap(uint32_t mean_gap)
{
	int32_t b = ((int32_t)mean_gap - 9 * LOG) / (LOG / 2);

	if (!mean_gap)
		return 0;
	if (b < 0)
		return 1;
	return b > (int32_t)GITTINS_GAPS - 2 ? GITTINS_GAPS - 1
					     : 1 + (uint32_t)b;
}

static uint8_t size_bucket(uint32_t blocks)
{
	uint32_t b = gittins_log2(blocks) / (LOG / 2);

	return (uint8_t)(b < GITTINS_SIZES ? b : GITTINS_SIZES - 1);
}

void gittins_classify(struct gittins_run *r, uint32_t hits, uint32_t gap,
		      uint32_t blocks, uint32_t new_blocks)
{
	r->hits = (uint8_t)hits;
	r->class = (uint8_t)(BY_GAP + gap * GITTINS_HITS + hits);
	r->nr_factors = 2;
	r->factors[0] = (uint8_t)(BY_NEW + size_bucket(new_blocks + 1));
	r->factors[1] = (uint8_t)(BY_SIZE + size_bucket(blocks));
}

void gittins_make_orphan(struct gittins_run *r, uint32_t now)
{
	r->kind = GITTINS_ORPHAN;
	r->factors[2] = r->hits;
	r->nr_factors = 3;
	r->time = now;
}

/* Over is not believed as such: it is a factor, which has to be earned. */
void gittins_promise(struct gittins_run *r, uint32_t ms)
{
	r->kind = ms == SIM_OVER ? GITTINS_DONE : GITTINS_TIMED;
	r->promise = ms;
	if (ms != SIM_OVER)
		return;
	r->factors[2] = (uint8_t)(BY_OVER + r->hits);
	r->nr_factors = 3;
}

void gittins_expect_hints(struct gittins_model *m, uint32_t ms)
{
	if (m->is_hinted || ms == SIM_OVER)
		return;
	m->is_hinted = true;
	m->trust = 1 << 16;
	m->nr_scores = 16;
}

bool gittins_trusts_hints(const struct gittins_model *m)
{
	return m->trust > MIN_TRUST;
}

static uint32_t parent_of(uint32_t class)
{
	if (!class || class == HINTED)
		return NONE;
	if (class > HINTED)
		return HINTED;
	return class < BY_GAP ? 0 : BY_HITS + (class - BY_GAP) % GITTINS_HITS;
}

/* Up to 256 ms, then two bins an octave. */
static uint32_t age_bin(uint32_t age)
{
	uint32_t e, b;

	if (age < 256)
		return 0;
	e = gittins_fls(age) - 1;
	b = ((e - 8) << 1) + ((age >> (e - 1)) & 1) + 1;
	return b < GITTINS_BINS ? b : GITTINS_BINS - 1;
}

static uint32_t share_bin(uint32_t age, uint32_t promise)
{
	uint64_t share = ((uint64_t)age << SHARE) / (promise ? promise : 1);

	return age_bin(share > UINT32_MAX ? UINT32_MAX : (uint32_t)share);
}

static uint64_t bin_start(uint32_t b)
{
	return b ? (2ULL + ((b - 1) & 1)) << (7 + (b - 1) / 2) : 0;
}

void gittins_count(struct gittins_model *m, const struct gittins_run *r,
		   uint32_t now, uint32_t blocks, enum gittins_outcome outcome)
{
	uint32_t b = age_bin(now - r->time), weight = blocks * r->weight;
	uint64_t expected = (uint64_t)weight * m->cum_hazard[r->class][b] >> 16;
	uint32_t c, i;

	for (c = r->class; c != NONE; c = parent_of(c))
		m->count[outcome][c][b] += weight;
	if (r->kind == GITTINS_TIMED) {
		b = share_bin(now - r->time, r->promise);
		m->count[outcome][HINTED][b] += weight;
		m->count[outcome][HINTED + 1 + r->hits][b] += weight;
	}
	for (i = 0; i < r->nr_factors; i++) {
		struct gittins_factor *f = &m->factors[r->factors[i]];

		if (outcome == GITTINS_OPEN)
			f->open += expected;
		else
			f->expected += expected;
		if (outcome == GITTINS_RETURNED)
			f->seen += weight;
	}
}

/* Returns per block at risk; one that leaves in a bin is at risk in half. */
static void learn_hazards(struct gittins_model *m, uint32_t class)
{
	uint32_t parent = parent_of(class), b;
	uint64_t prior = (parent == NONE ? ROOT_PRIOR : CLASS_PRIOR) * ONE;
	uint64_t left = 0, at_risk, hazard;

	for (b = GITTINS_BINS; b-- > 0;) {
		uint64_t back = m->count[GITTINS_RETURNED][class][b];
		uint64_t gone = (uint64_t)m->count[GITTINS_CENSORED][class][b] +
				m->count[GITTINS_OPEN][class][b];

		left += back + gone;
		at_risk = left - gone / 2;
		hazard = parent == NONE ? ROOT_HAZARD : m->hazard[parent][b];
		hazard = ((back << 16) + prior * hazard) / (at_risk + prior);
		m->hazard[class][b] = hazard > MAX_HAZARD ? MAX_HAZARD
							  : (uint32_t)hazard;
	}
}

/* Time held and returns, both summed over the ages up to each bin. */
struct curve {
	uint64_t held[GITTINS_BINS + 1];     /* below 2^45 */
	uint64_t returned[GITTINS_BINS + 1]; /* at most 2^SURVIVAL */
};

static void make_curve(struct gittins_model *m, uint32_t class, struct curve *k)
{
	uint64_t left = 1u << SURVIVAL, next;
	uint32_t b, sum = 0;

	k->held[0] = 0;
	k->returned[0] = 0;
	for (b = 0; b < GITTINS_BINS; b++, left = next) {
		uint32_t h = m->hazard[class][b];

		next = left - (left * h >> 16);
		k->held[b + 1] =
			k->held[b] + 1 +
			((left + next) * (bin_start(b + 1) - bin_start(b)) >>
			 1);
		k->returned[b + 1] = (1u << SURVIVAL) - next;
		m->rarity[class][b] =
			(uint16_t)(SURVIVAL * LOG -
				   gittins_log2(left - next < 4 ? 4
								: left - next));
		m->cum_hazard[class][b] = sum + h / 2;
		sum += h;
	}
}

/* Does holding from b on to near bring less than on to far? */
static bool is_worse(const struct curve *k, uint32_t b, uint32_t near,
		     uint32_t far)
{
	return (k->returned[near] - k->returned[b]) *
		       (k->held[far] - k->held[b]) <=
	       (k->returned[far] - k->returned[b]) *
		       (k->held[near] - k->held[b]);
}

/*
 * Gittins, "Bandit processes and dynamic allocation indices", J. R. Stat. Soc.
 * B 41(2), 1979: the index of a state is the most that is earned per time, over
 * all times to stop at. A block earns its return and costs a slot for the time
 * it is held; its state is its age. So the index at an age is the steepest line
 * from there to a later point of the curve: an edge of its upper hull.
 */
static void learn_index(struct gittins_model *m, uint32_t class)
{
	uint32_t hull[GITTINS_BINS + 1], n = 0, b, to;
	struct curve k;

	make_curve(m, class, &k);
	hull[n++] = GITTINS_BINS;
	for (b = GITTINS_BINS; b-- > 0;) {
		while (n >= 2 && is_worse(&k, b, hull[n - 1], hull[n - 2]))
			n--;
		to = hull[n - 1];
		m->index[class][b] =
			(uint16_t)(64 * LOG +
				   gittins_log2(
					   ((k.returned[to] - k.returned[b])
					    << 8) +
					   1) -
				   gittins_log2(k.held[to] - k.held[b]));
		hull[n++] = b;
	}
}

static void learn_factor(struct gittins_model *m, uint32_t at)
{
	struct gittins_factor *f = &m->factors[at];
	uint64_t prior = (at < BY_NEW ? KIND_PRIOR : FEATURE_PRIOR) * ONE;
	/* A session that is over is expected back a quarter as often. */
	uint64_t expected = at >= BY_OVER && at < BY_NEW ? 4 * prior : prior;

	f->log = (int32_t)gittins_log2(f->seen + prior) -
		 (int32_t)gittins_log2(f->expected + f->open + expected);
}

static void forget(struct gittins_model *m)
{
	uint32_t c, b, i;

	for (c = 0; c < GITTINS_CLASSES; c++) {
		for (b = 0; b < GITTINS_BINS; b++) {
			m->count[GITTINS_RETURNED][c][b] >>= 1;
			m->count[GITTINS_CENSORED][c][b] >>= 1;
		}
	}
	for (i = 0; i < GITTINS_FACTORS; i++) {
		m->factors[i].seen >>= 1;
		m->factors[i].expected >>= 1;
	}
}

void gittins_learn(struct gittins_model *m, const struct gittins_run *runs,
		   uint32_t nr, uint32_t now)
{
	uint64_t total = 0;
	uint32_t i, c;

	memset(m->count[GITTINS_OPEN], 0, sizeof(m->count[GITTINS_OPEN]));
	for (i = 0; i < GITTINS_FACTORS; i++)
		m->factors[i].open = 0;
	for (i = 0; i < nr; i++)
		if (runs[i].left)
			gittins_count(m, &runs[i], now, runs[i].left,
				      GITTINS_OPEN);
	for (c = 0; c < GITTINS_CLASSES; c++) {
		learn_hazards(m, c);
		learn_index(m, c);
	}
	for (i = 0; i < GITTINS_FACTORS; i++)
		learn_factor(m, i);
	for (i = 0; i < GITTINS_BINS; i++)
		total += (uint64_t)m->count[GITTINS_RETURNED][0][i] +
			 m->count[GITTINS_CENSORED][0][i];
	if (total > MEMORY)
		forget(m);
}

void gittins_score_hint(struct gittins_model *m, struct gittins_run *r,
			uint32_t now)
{
	uint32_t age = now - r->time;
	int64_t d;

	if (r->kind != GITTINS_TIMED || r->is_scored || age < 256)
		return;
	r->is_scored = true;
	d = (int64_t)m->rarity[r->class][age_bin(age)] -
	    (int64_t)m->rarity[HINTED][share_bin(age, r->promise)];
	if (d > MAX_SCORE)
		d = MAX_SCORE;
	if (d < -MAX_SCORE)
		d = -MAX_SCORE;
	if (m->nr_scores < 256)
		m->nr_scores++;
	m->trust += (d * 256 - m->trust) / m->nr_scores;
}

uint32_t gittins_index(const struct gittins_model *m,
		       const struct gittins_run *r, uint32_t now)
{
	uint32_t age = now - r->time, i;
	int32_t log = 32 * LOG;

	if (r->kind == GITTINS_TIMED && gittins_trusts_hints(m))
		return (uint32_t)log + SHARE * LOG +
		       m->index[HINTED + 1 + r->hits]
			       [share_bin(age, r->promise)] -
		       gittins_log2(r->promise);
	log += m->index[r->class][age_bin(age)];

	for (i = 0; i < r->nr_factors; i++)
		log += m->factors[r->factors[i]].log;
	return log > 0 ? (uint32_t)log : 0;
}
