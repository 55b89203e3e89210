/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model of the gittins policy: when do the blocks of a class come back?
 *
 * Hazards of return by age, learned with censoring. A class with few returns
 * leans on its parent, and the root on a hazard that is the same in each half
 * octave: then the index falls with age, which is LRU.
 *
 * Units: time in ms since the first request, in 32 bits; logarithms to base 2
 * in 1/256; weights in 1/1024.
 */
#ifndef KVLIFT_GITTINS_MODEL_H
#define KVLIFT_GITTINS_MODEL_H

#include <kvlift/policy.h>

#define GITTINS_HITS 6u	 /* buckets of hits: 0, 1, 2-3, 4-7, 8-15, 16+ */
#define GITTINS_GAPS 24u /* of the mean gap: none, then half octaves */
/* By hits and gap; then those of hints, by hits. */
#define GITTINS_CLASSES (2 + (2 + GITTINS_GAPS) * GITTINS_HITS)
#define GITTINS_BINS	36u /* of age: two an octave */
#define GITTINS_CELLS	(GITTINS_CLASSES * GITTINS_BINS)
#define GITTINS_SIZES	24u /* buckets of a number of blocks */
#define GITTINS_FACTORS (2 * GITTINS_HITS + 2 * GITTINS_SIZES)
#define GITTINS_NONE	0xffffffffu

#define GITTINS_ONE	1024u /* weight of one */
#define GITTINS_LOG	256   /* one octave */

/* Classes: the root, by hits, by gap and hits; a parent before its children. */
#define GITTINS_BY_HITS 1u
#define GITTINS_BY_GAP	(GITTINS_BY_HITS + GITTINS_HITS)
/*
 * Those of hints, with the age as a share of the promised time: one
 * distribution of the error serves all promises, so it takes few returns to
 * learn. A root of their own, and by hits.
 */
#define GITTINS_HINTED (GITTINS_BY_GAP + GITTINS_GAPS * GITTINS_HITS)
#define GITTINS_SHARE  16u /* bits of a share of 1 */

/* Factors: of orphans and of sessions that are over by hits, then of sizes. */
#define GITTINS_BY_OVER GITTINS_HITS
#define GITTINS_BY_NEW	(2 * GITTINS_HITS)
#define GITTINS_BY_SIZE (GITTINS_BY_NEW + GITTINS_SIZES)

/* How much evidence it takes to leave a prior, in weights of one. */
#define GITTINS_ROOT_PRIOR    4u
#define GITTINS_CLASS_PRIOR   60u
#define GITTINS_KIND_PRIOR    4u
#define GITTINS_FEATURE_PRIOR 50u

#define GITTINS_ROOT_HAZARD   6554u  /* a tenth */
#define GITTINS_MAX_HAZARD    65000u /* below 1: something is always left */
#define GITTINS_SURVIVAL      18u    /* bits */
#define GITTINS_MIN_TRUST     8192   /* an eighth of an octave */
#define GITTINS_MAX_SCORE     (4 * GITTINS_LOG)
/* More than that is halved, so that what is long ago counts less. */
#define GITTINS_MEMORY (65536u * GITTINS_ONE)

/* How the time after an access ended. */
enum gittins_outcome {
	GITTINS_RETURNED, /* with the next access */
	GITTINS_CENSORED, /* not known: no longer watched */
	GITTINS_OPEN,	  /* not yet */
	GITTINS_OUTCOMES,
};

enum gittins_kind {
	GITTINS_PLAIN,
	GITTINS_TIMED,	/* a time was promised */
	GITTINS_DONE,	/* the session is said to be over */
	GITTINS_ORPHAN, /* the session came back without it */
};

/* The blocks of a request that have one class: they have one index too. */
struct gittins_run {
	u32 name;     /* slot, and how often it was taken; not 0 */
	u32 time;     /* of the access, or of becoming an orphan */
	u32 session;  /* slot */
	u32 next;     /* run of the request */
	u32 left;     /* blocks that are watched */
	u32 weight;   /* of each block */
	u32 end;      /* length of the request */
	u32 promise;  /* ms */
	u8 is_scored; /* the promise was */
	u8 kind;
	u8 hits; /* bucket */
	u8 class;
	u8 nr_factors;
	u8 factors[3]; /* the third is that of the kind */
};

/* Returns seen, and expected of the classes alone: what a feature adds. */
struct gittins_factor {
	u64 seen, expected, open;
	s32 log;
	u32 pad;
};

struct gittins_model {
	/* Cells: by class, then bin. */
	u32 count[GITTINS_OUTCOMES * GITTINS_CELLS];
	u32 hazard[GITTINS_CELLS]; /* 2^-16 */
	u32 cum_hazard[GITTINS_CELLS];
	u16 index[GITTINS_CELLS]; /* logarithms */
	/* Minus logarithm of the chance to return in a bin. */
	u16 rarity[GITTINS_CELLS];
	/* How much better hints predict than classes, a logarithm, 2^-16. */
	s64 trust;
	u32 nr_scores;
	u32 is_hinted;
	u32 is_halved; /* counts are, when they are looked at next */
	u32 pad;
	struct gittins_factor factors[GITTINS_FACTORS];
	/*
	 * Scratch: time held, below 2^45, and returns, at most 2^SURVIVAL, of
	 * a class, both summed over the ages up to each bin; and points of the
	 * upper hull of that curve.
	 */
	u64 held[GITTINS_BINS + 1];
	u64 returned[GITTINS_BINS + 1];
	u32 hull[GITTINS_BINS + 1];
	u32 nr_hull;
};

/* Linear in the mantissa, with a correction: off by less than .01. */
static inline u32 gittins_log2(u64 x)
{
	u32 e, f;

	if (!x)
		return 0;
	e = kvlift_fls(x) - 1;
	f = (u32)(e >= 8 ? x >> (e - 8) : x << (8 - e)) & 255;
	return e * GITTINS_LOG + f + ((f * (256 - f) * 88) >> 16);
}

/*
 * Mean of logarithms, of which this is the n-th: the plain one of the first
 * eight, then one that forgets.
 */
static inline u16 gittins_mean(u32 mean, u32 n, u32 log)
{
	if (n <= 1)
		return (u16)log;
	if (n < 8)
		return (u16)((mean * (n - 1) + log) / n);
	return (u16)((mean * 7 + log) >> 3);
}

/* Bucket of a number of hits. */
static inline u32 gittins_hits(u32 hits)
{
	u32 b = kvlift_fls(hits);

	return b < GITTINS_HITS ? b : GITTINS_HITS - 1;
}

/* Bucket of a mean gap, from half a second on; 0: none was seen. */
static inline u32 gittins_gap(u32 mean_gap)
{
	u32 b;

	if (!mean_gap)
		return 0;
	if (mean_gap < 9 * GITTINS_LOG)
		return 1;
	b = 1 + (mean_gap - 9 * GITTINS_LOG) / (GITTINS_LOG / 2);
	return b < GITTINS_GAPS ? b : GITTINS_GAPS - 1;
}

static inline u8 gittins_size(u32 blocks)
{
	u32 b = gittins_log2(blocks) / (GITTINS_LOG / 2);

	return (u8)(b < GITTINS_SIZES ? b : GITTINS_SIZES - 1);
}

/* Class and factors of a run, by the blocks its request has and brought. */
static inline void gittins_classify(struct gittins_run *r, u32 hits, u32 gap,
				    u32 blocks, u32 new_blocks)
{
	r->hits = (u8)hits;
	r->class = (u8)(GITTINS_BY_GAP + gap * GITTINS_HITS + hits);
	r->nr_factors = 2;
	r->factors[0] = (u8)(GITTINS_BY_NEW + gittins_size(new_blocks + 1));
	r->factors[1] = (u8)(GITTINS_BY_SIZE + gittins_size(blocks));
}

static inline void gittins_make_orphan(struct gittins_run *r, u32 now)
{
	r->kind = GITTINS_ORPHAN;
	r->factors[2] = r->hits;
	r->nr_factors = 3;
	r->time = now;
}

/* Over is not believed as such: it is a factor, which has to be earned. */
static inline void gittins_promise(struct gittins_run *r, u32 ms)
{
	r->kind = ms == KVLIFT_OVER ? GITTINS_DONE : GITTINS_TIMED;
	r->promise = ms;
	if (ms != KVLIFT_OVER)
		return;
	r->factors[2] = (u8)(GITTINS_BY_OVER + r->hits);
	r->nr_factors = 3;
}

/* The first hint is told: it is believed at first. */
static inline void gittins_expect_hints(struct gittins_model *m, u32 ms)
{
	if (m->is_hinted || ms == KVLIFT_OVER)
		return;
	m->is_hinted = 1;
	m->trust = 1 << 16;
	m->nr_scores = 16;
}

static inline bool gittins_trusts_hints(const struct gittins_model *m)
{
	return m->trust > GITTINS_MIN_TRUST;
}

static inline u32 gittins_parent(u32 class)
{
	if (!class || class == GITTINS_HINTED)
		return GITTINS_NONE;
	if (class > GITTINS_HINTED)
		return GITTINS_HINTED;
	if (class < GITTINS_BY_GAP)
		return 0;
	return GITTINS_BY_HITS + (class - GITTINS_BY_GAP) % GITTINS_HITS;
}

/* Up to 256 ms, then two bins an octave. */
static inline u32 gittins_age_bin(u32 age)
{
	u32 e, b;

	if (age < 256)
		return 0;
	e = kvlift_fls(age) - 1;
	b = ((e - 8) << 1) + ((age >> (e - 1)) & 1) + 1;
	return b < GITTINS_BINS ? b : GITTINS_BINS - 1;
}

static inline u32 gittins_share_bin(u32 age, u32 promise)
{
	u64 share = ((u64)age << GITTINS_SHARE) / (promise ? promise : 1);

	return gittins_age_bin(share > 0xffffffffu ? 0xffffffffu : (u32)share);
}

static inline u64 gittins_bin_start(u32 b)
{
	return b ? (2ULL + ((b - 1) & 1)) << (7 + (b - 1) / 2) : 0;
}

static inline u32 *gittins_cell(struct gittins_model *m, u32 outcome, u32 class,
				u32 bin)
{
	u32 i = outcome * GITTINS_CELLS + class * GITTINS_BINS + bin;

	return kvlift_at(m->count, i);
}

static inline void gittins_count_factors(struct gittins_model *m,
					 const struct gittins_run *r,
					 u64 expected, u32 weight, u32 outcome)
{
	struct gittins_factor *f;
	u32 i;

	for (i = 0; i < 3; i++) {
		if (i >= r->nr_factors)
			return;
		f = kvlift_at(m->factors, r->factors[i]);
		if (outcome == GITTINS_OPEN)
			f->open += expected;
		else
			f->expected += expected;
		if (outcome == GITTINS_RETURNED)
			f->seen += weight;
	}
}

/* Count what became of some blocks of a run. */
static inline void gittins_count(struct gittins_model *m,
				 const struct gittins_run *r, u32 now,
				 u32 blocks, u32 outcome)
{
	u32 b = gittins_age_bin(now - r->time), weight = blocks * r->weight;
	u32 cell = r->class * GITTINS_BINS + b;
	u64 expected = (u64)weight * *kvlift_at(m->cum_hazard, cell) >> 16;

	*gittins_cell(m, outcome, r->class, b) += weight;
	*gittins_cell(m, outcome, GITTINS_BY_HITS + r->hits, b) += weight;
	*gittins_cell(m, outcome, 0, b) += weight;
	gittins_count_factors(m, r, expected, weight, outcome);
	if (r->kind != GITTINS_TIMED)
		return;
	b = gittins_share_bin(now - r->time, r->promise);
	*gittins_cell(m, outcome, GITTINS_HINTED, b) += weight;
	*gittins_cell(m, outcome, GITTINS_HINTED + 1 + r->hits, b) += weight;
}

/* What is open was counted anew for this time. */
static inline void gittins_renew_counts(struct gittins_model *m, u32 class,
					u32 b)
{
	*gittins_cell(m, GITTINS_OPEN, class, b) = 0;
	if (!m->is_halved)
		return;
	*gittins_cell(m, GITTINS_RETURNED, class, b) >>= 1;
	*gittins_cell(m, GITTINS_CENSORED, class, b) >>= 1;
}

/* Returns per block at risk; one that leaves in a bin is at risk in half. */
static inline void gittins_learn_hazards(struct kvlift_ctx *ctx,
					 struct gittins_model *m, u32 class)
{
	u32 parent = gittins_parent(class), i, b;
	u64 prior = GITTINS_CLASS_PRIOR * GITTINS_ONE;
	u64 left = 0, hazard, back, gone;

	if (parent == GITTINS_NONE)
		prior = GITTINS_ROOT_PRIOR * GITTINS_ONE;
	kvlift_for(i, ctx, 0, GITTINS_BINS) {
		b = GITTINS_BINS - 1 - i;
		back = *gittins_cell(m, GITTINS_RETURNED, class, b);
		gone = (u64)*gittins_cell(m, GITTINS_CENSORED, class, b) +
		       *gittins_cell(m, GITTINS_OPEN, class, b);
		left += back + gone;
		hazard = GITTINS_ROOT_HAZARD;
		if (parent != GITTINS_NONE)
			hazard = *kvlift_at(m->hazard,
					    parent * GITTINS_BINS + b);
		hazard = ((back << 16) + prior * hazard) /
			 (left - gone / 2 + prior);
		if (hazard > GITTINS_MAX_HAZARD)
			hazard = GITTINS_MAX_HAZARD;
		*kvlift_at(m->hazard, class * GITTINS_BINS + b) = (u32)hazard;
		gittins_renew_counts(m, class, b);
	}
}

static inline void gittins_make_curve(struct kvlift_ctx *ctx,
				      struct gittins_model *m, u32 class)
{
	u64 left = 1u << GITTINS_SURVIVAL, next, gone, held = 0;
	u32 b, h, sum = 0, cell;

	m->held[0] = 0;
	m->returned[0] = 0;
	kvlift_for(b, ctx, 0, GITTINS_BINS) {
		cell = class * GITTINS_BINS + b;
		h = *kvlift_at(m->hazard, cell);
		next = left - (left * h >> 16);
		gone = left - next;
		held += 1 + ((left + next) * (gittins_bin_start(b + 1) -
					      gittins_bin_start(b)) >>
			     1);
		*kvlift_at(m->held, b + 1) = held;
		*kvlift_at(m->returned, b + 1) =
			(1u << GITTINS_SURVIVAL) - next;
		*kvlift_at(m->rarity, cell) =
			(u16)(GITTINS_SURVIVAL * GITTINS_LOG -
			      gittins_log2(gone < 4 ? 4 : gone));
		*kvlift_at(m->cum_hazard, cell) = sum + h / 2;
		sum += h;
		left = next;
	}
}

/* Does holding from b on to near bring less than on to far? */
static inline bool gittins_is_worse(struct gittins_model *m, u32 b, u32 near,
				    u32 far)
{
	u64 returned = *kvlift_at(m->returned, b);
	u64 held = *kvlift_at(m->held, b);

	return (*kvlift_at(m->returned, near) - returned) *
		       (*kvlift_at(m->held, far) - held) <=
	       (*kvlift_at(m->returned, far) - returned) *
		       (*kvlift_at(m->held, near) - held);
}

/* The steepest line from b on ends at the last point that is left. */
static inline u32 gittins_trim_hull(struct kvlift_ctx *ctx,
				    struct gittins_model *m, u32 b)
{
	u32 i, n;

	kvlift_for(i, ctx, 0, GITTINS_BINS) {
		n = m->nr_hull;
		if (n < 2 || !gittins_is_worse(m, b, *kvlift_at(m->hull, n - 1),
					       *kvlift_at(m->hull, n - 2)))
			break;
		m->nr_hull = n - 1;
	}
	return *kvlift_at(m->hull, m->nr_hull - 1);
}

/*
 * Gittins, "Bandit processes and dynamic allocation indices", J. R. Stat. Soc.
 * B 41(2), 1979: the index of a state is the most that is earned per time, over
 * all times to stop at. A block earns its return and costs a slot for the time
 * it is held; its state is its age. So the index at an age is the steepest line
 * from there to a later point of the curve: an edge of its upper hull.
 */
static inline void gittins_learn_index(struct kvlift_ctx *ctx,
				       struct gittins_model *m, u32 class)
{
	u64 returned, held;
	u32 i, b, to;

	gittins_make_curve(ctx, m, class);
	m->hull[0] = GITTINS_BINS;
	m->nr_hull = 1;
	kvlift_for(i, ctx, 0, GITTINS_BINS) {
		b = GITTINS_BINS - 1 - i;
		to = gittins_trim_hull(ctx, m, b);
		returned = *kvlift_at(m->returned, to) -
			   *kvlift_at(m->returned, b);
		held = *kvlift_at(m->held, to) - *kvlift_at(m->held, b);
		*kvlift_at(m->index, class * GITTINS_BINS + b) =
			(u16)(64 * GITTINS_LOG +
			      gittins_log2((returned << 8) + 1) -
			      gittins_log2(held));
		*kvlift_at(m->hull, m->nr_hull) = b;
		m->nr_hull++;
	}
}

static inline void gittins_learn_class(struct kvlift_ctx *ctx,
				       struct gittins_model *m, u32 class)
{
	gittins_learn_hazards(ctx, m, class);
	gittins_learn_index(ctx, m, class);
}

static inline void gittins_learn_factor(struct gittins_model *m, u32 at)
{
	struct gittins_factor *f = kvlift_at(m->factors, at);
	u64 prior = GITTINS_FEATURE_PRIOR * GITTINS_ONE, expected;

	if (at < GITTINS_BY_NEW)
		prior = GITTINS_KIND_PRIOR * GITTINS_ONE;
	/* A session that is over is expected back a quarter as often. */
	expected = at >= GITTINS_BY_OVER && at < GITTINS_BY_NEW ? 4 * prior
								: prior;
	f->log = (s32)gittins_log2(f->seen + prior) -
		 (s32)gittins_log2(f->expected + f->open + expected);
	f->open = 0;
	if (!m->is_halved)
		return;
	f->seen >>= 1;
	f->expected >>= 1;
}

/* When all classes are learned, and before the factors are. */
static inline void gittins_learn_factors(struct kvlift_ctx *ctx,
					 struct gittins_model *m)
{
	u64 total = 0;
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_FACTORS)
		gittins_learn_factor(m, i);
	kvlift_for(i, ctx, 0, GITTINS_BINS)
		total += (u64)*gittins_cell(m, GITTINS_RETURNED, 0, i) +
			 *gittins_cell(m, GITTINS_CENSORED, 0, i);
	m->is_halved = total > GITTINS_MEMORY;
}

/* All tables from the counts, which is long: see gittins_learn_some(). */
static inline void gittins_learn(struct kvlift_ctx *ctx,
				 struct gittins_model *m)
{
	u32 c;

	kvlift_for(c, ctx, 0, GITTINS_CLASSES)
		gittins_learn_class(ctx, m, c);
	gittins_learn_factors(ctx, m);
}

/* A run is back: did its hint know better than its class? */
static inline void gittins_score_hint(struct gittins_model *m,
				      struct gittins_run *r, u32 now)
{
	u32 age = now - r->time, class, hint;
	s64 d;

	if (r->kind != GITTINS_TIMED || r->is_scored || age < 256)
		return;
	r->is_scored = 1;
	class = r->class * GITTINS_BINS + gittins_age_bin(age);
	hint = GITTINS_HINTED * GITTINS_BINS +
	       gittins_share_bin(age, r->promise);
	d = (s64)*kvlift_at(m->rarity, class) - *kvlift_at(m->rarity, hint);
	if (d > GITTINS_MAX_SCORE)
		d = GITTINS_MAX_SCORE;
	if (d < -GITTINS_MAX_SCORE)
		d = -GITTINS_MAX_SCORE;
	if (m->nr_scores < 256)
		m->nr_scores++;
	d = d * 256 - m->trust;
	/* BPF divides without a sign. */
	m->trust += d < 0 ? -(s64)((u64)-d / m->nr_scores)
			  : (s64)((u64)d / m->nr_scores);
}

static inline u32 gittins_hinted_index(struct gittins_model *m,
				       const struct gittins_run *r, u32 age)
{
	u32 cell = (GITTINS_HINTED + 1 + r->hits) * GITTINS_BINS +
		   gittins_share_bin(age, r->promise);

	return (32 + GITTINS_SHARE) * GITTINS_LOG + *kvlift_at(m->index, cell) -
	       gittins_log2(r->promise);
}

/* Logarithm of the index of the blocks of a run. */
static inline u32 gittins_index(struct gittins_model *m,
				const struct gittins_run *r, u32 now)
{
	u32 age = now - r->time, i;
	s32 log = 32 * GITTINS_LOG;

	if (r->kind == GITTINS_TIMED && gittins_trusts_hints(m))
		return gittins_hinted_index(m, r, age);
	log += *kvlift_at(m->index,
			  r->class * GITTINS_BINS + gittins_age_bin(age));
	for (i = 0; i < 3; i++)
		if (i < r->nr_factors)
			log += kvlift_at(m->factors, r->factors[i])->log;
	return log > 0 ? (u32)log : 0;
}

#endif
