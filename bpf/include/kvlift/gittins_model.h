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
#define GITTINS_BINS	36u   /* of age: two an octave */
#define GITTINS_CELLS	8192u /* and more than classes times bins */
#define GITTINS_SIZES	24u   /* buckets of a number of blocks */
#define GITTINS_FACTORS (2 * GITTINS_HITS + 2 * GITTINS_SIZES) /* below 64 */
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

/* A class at an age. */
struct gittins_cell {
	u32 count[GITTINS_OUTCOMES + 1]; /* weights */
	u32 hazard;			 /* 2^-16 */
	u32 cum_hazard;
	u16 index;  /* a logarithm */
	u16 rarity; /* minus logarithm of the chance to return here */
};

struct gittins_model {
	struct gittins_cell cells[GITTINS_CELLS]; /* by class, then bin */
	/* How much better hints predict than classes, a logarithm, 2^-16. */
	s64 trust;
	u32 nr_scores;
	u32 is_hinted;
	u32 is_halved; /* counts are, when they are looked at next */
	u32 pad;
	struct gittins_factor factors[64];
	/*
	 * Scratch: time held, below 2^45, and returns, at most 2^SURVIVAL, of
	 * a class, both summed over the ages up to each bin; and points of the
	 * upper hull of that curve.
	 */
	u64 held[64];
	u64 returned[64];
	u32 hull[64];
	u32 nr_hull;
	u64 left;
	u32 sum;
};

/*
 * Of a number that is not 0: linear in the mantissa, with a correction; off by
 * less than .01.
 */
KVLIFT_SUB u32 gittins_log2(u64 x)
{
	u32 e = kvlift_fls(x) - 1, f = x << (63 - e) >> 55 & 255;

	return e * GITTINS_LOG + f + ((f * (256 - f) * 88) >> 16);
}

/*
 * Mean of logarithms, of which this is the n-th: the plain one of the first
 * eight, then one that forgets.
 */
KVLIFT_SUB u32 gittins_mean(u32 mean, u32 n, u32 log)
{
	if (n <= 1)
		return log;
	if (n < 8)
		return (mean * (n - 1) + log) / n;
	return (mean * 7 + log) >> 3;
}

/* Bucket of a number of hits. */
KVLIFT_SUB u32 gittins_hits(u32 hits)
{
	u32 b = kvlift_fls(hits);

	return b < GITTINS_HITS ? b : GITTINS_HITS - 1;
}

/* Bucket of a mean gap, from half a second on; 0: none was seen. */
KVLIFT_SUB u32 gittins_gap(u32 mean_gap)
{
	u32 b;

	if (!mean_gap)
		return 0;
	if (mean_gap < 9 * GITTINS_LOG)
		return 1;
	b = 1 + (mean_gap - 9 * GITTINS_LOG) / (GITTINS_LOG / 2);
	return b < GITTINS_GAPS ? b : GITTINS_GAPS - 1;
}

/* Bucket of a number of blocks, at least 1. */
KVLIFT_SUB u32 gittins_size(u32 blocks)
{
	u32 b = gittins_log2(blocks) / (GITTINS_LOG / 2);

	return b < GITTINS_SIZES ? b : GITTINS_SIZES - 1;
}

/*
 * Class and factors of a run, by the blocks its request has and brought. The
 * class, less its hits, in return.
 */
KVLIFT_SUB u32 gittins_classify(struct gittins_run *KVLIFT_ARG(r), u32 hits,
				u32 gap, u32 blocks, u32 new_blocks)
{
	r->hits = (u8)hits;
	r->class = (u8)(GITTINS_BY_GAP + gap * GITTINS_HITS + hits);
	r->nr_factors = 2;
	r->factors[0] = (u8)(GITTINS_BY_NEW + gittins_size(new_blocks + 1));
	r->factors[1] = (u8)(GITTINS_BY_SIZE + gittins_size(blocks));
	return r->class;
}

KVLIFT_SUB u32 gittins_make_orphan(struct gittins_run *KVLIFT_ARG(r), u32 now)
{
	r->kind = GITTINS_ORPHAN;
	r->factors[2] = r->hits;
	r->nr_factors = 3;
	r->time = now;
	return r->kind;
}

/* Over is not believed as such: it is a factor, which has to be earned. */
KVLIFT_SUB u32 gittins_promise(struct gittins_run *KVLIFT_ARG(r), u32 ms)
{
	r->promise = ms ? ms : 1;
	r->kind = GITTINS_TIMED;
	if (ms == KVLIFT_OVER) {
		r->kind = GITTINS_DONE;
		r->factors[2] = (u8)(GITTINS_BY_OVER + r->hits);
		r->nr_factors = 3;
	}
	return r->kind;
}

/* The first hint is told: it is believed at first. */
KVLIFT_SUB u32 gittins_expect_hints(struct gittins_model *KVLIFT_ARG(m), u32 ms)
{
	if (m->is_hinted || ms == KVLIFT_OVER)
		return 0;
	m->is_hinted = 1;
	m->trust = 1 << 16;
	m->nr_scores = 16;
	return 1;
}

static inline bool gittins_trusts_hints(const struct gittins_model *m)
{
	return m->trust > GITTINS_MIN_TRUST;
}

KVLIFT_SUB u32 gittins_parent(u32 class)
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
KVLIFT_SUB u32 gittins_age_bin(u32 age)
{
	u32 e, b;

	if (age < 256)
		return 0;
	e = kvlift_fls(age) - 1;
	b = ((e - 8) << 1) + ((age >> (e - 1)) & 1) + 1;
	return b < GITTINS_BINS ? b : GITTINS_BINS - 1;
}

KVLIFT_SUB u32 gittins_share_bin(u32 age, u32 promise)
{
	u64 share = ((u64)age << GITTINS_SHARE) / promise;

	return gittins_age_bin(share > 0xffffffffu ? 0xffffffffu : (u32)share);
}

KVLIFT_SUB u64 gittins_bin_start(u32 b)
{
	return b ? (2ULL + ((b - 1) & 1)) << (7 + (b - 1) / 2) : 0;
}

static inline struct gittins_cell *gittins_cell(struct gittins_model *m,
						u32 class, u32 bin)
{
	return kvlift_at(m->cells, class * GITTINS_BINS + bin);
}

KVLIFT_SUB u32 gittins_count_cell(struct gittins_model *KVLIFT_ARG(m),
				  u32 class, u32 bin, u32 outcome, u32 weight)
{
	struct gittins_cell *c = gittins_cell(m, class, bin);

	*kvlift_at(c->count, outcome) += weight;
	return c->cum_hazard;
}

KVLIFT_SUB u32 gittins_count_factor(struct gittins_model *KVLIFT_ARG(m), u32 at,
				    u64 expected, u32 weight, u32 outcome)
{
	struct gittins_factor *f = kvlift_at(m->factors, at);

	if (outcome == GITTINS_OPEN)
		f->open += expected;
	else
		f->expected += expected;
	if (outcome == GITTINS_RETURNED)
		f->seen += weight;
	return 0;
}

/* Count what became of some blocks of a run. */
KVLIFT_SUB u32 gittins_count(struct gittins_model *KVLIFT_ARG(m),
			     const struct gittins_run *KVLIFT_ARG(r), u32 now,
			     u32 blocks, u32 outcome)
{
	u32 b = gittins_age_bin(now - r->time), weight = blocks * r->weight, i;
	u64 expected;

	expected = gittins_count_cell(m, r->class, b, outcome, weight);
	expected = expected * weight >> 16;
	gittins_count_cell(m, GITTINS_BY_HITS + r->hits, b, outcome, weight);
	gittins_count_cell(m, 0, b, outcome, weight);
	for (i = 0; i < 3; i++)
		if (i < r->nr_factors)
			gittins_count_factor(m, r->factors[i], expected, weight,
					     outcome);
	if (r->kind != GITTINS_TIMED)
		return 0;
	b = gittins_share_bin(now - r->time, r->promise);
	gittins_count_cell(m, GITTINS_HINTED, b, outcome, weight);
	gittins_count_cell(m, GITTINS_HINTED + 1 + r->hits, b, outcome, weight);
	return 0;
}

/* What is open will have been counted anew when it is looked at next. */
static inline void gittins_renew_counts(struct gittins_model *m,
					struct gittins_cell *c)
{
	c->count[GITTINS_OPEN] = 0;
	if (!m->is_halved)
		return;
	c->count[GITTINS_RETURNED] >>= 1;
	c->count[GITTINS_CENSORED] >>= 1;
}

/*
 * From the last bin on: returns per block at risk; one that leaves in a bin is
 * at risk in half.
 */
KVLIFT_SUB u32 gittins_learn_hazard(struct gittins_model *KVLIFT_ARG(m),
				    u32 class, u32 parent, u32 b)
{
	u64 prior = GITTINS_CLASS_PRIOR * GITTINS_ONE, hazard, back, gone;
	struct gittins_cell *c = gittins_cell(m, class, b);

	back = c->count[GITTINS_RETURNED];
	gone = (u64)c->count[GITTINS_CENSORED] + c->count[GITTINS_OPEN];
	m->left += back + gone;
	if (parent == GITTINS_NONE) {
		prior = GITTINS_ROOT_PRIOR * GITTINS_ONE;
		hazard = GITTINS_ROOT_HAZARD;
	} else {
		hazard = gittins_cell(m, parent, b)->hazard;
	}
	hazard = ((back << 16) + prior * hazard) / (m->left - gone / 2 + prior);
	if (hazard > GITTINS_MAX_HAZARD)
		hazard = GITTINS_MAX_HAZARD;
	c->hazard = (u32)hazard;
	gittins_renew_counts(m, c);
	return c->hazard;
}

/* From the first bin on. */
KVLIFT_SUB u32 gittins_learn_curve(struct gittins_model *KVLIFT_ARG(m),
				   u32 class, u32 b)
{
	struct gittins_cell *c = gittins_cell(m, class, b);
	u64 next = m->left - (m->left * c->hazard >> 16);
	u64 gone = m->left - next;
	u64 width = gittins_bin_start(b + 1) - gittins_bin_start(b);

	*kvlift_at(m->held, b + 1) =
		*kvlift_at(m->held, b) + 1 + ((m->left + next) * width >> 1);
	*kvlift_at(m->returned, b + 1) = (1u << GITTINS_SURVIVAL) - next;
	c->rarity = (u16)(GITTINS_SURVIVAL * GITTINS_LOG -
			  gittins_log2(gone < 4 ? 4 : gone));
	c->cum_hazard = m->sum + c->hazard / 2;
	m->sum += c->hazard;
	m->left = next;
	return 0;
}

/* Does holding from b on to near bring less than on to far? */
KVLIFT_SUB u32 gittins_is_worse(struct gittins_model *KVLIFT_ARG(m), u32 b,
				u32 near, u32 far)
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

KVLIFT_SUB u32 gittins_learn_index(struct gittins_model *KVLIFT_ARG(m),
				   u32 class, u32 b, u32 to)
{
	u64 returned = *kvlift_at(m->returned, to) - *kvlift_at(m->returned, b);
	u64 held = *kvlift_at(m->held, to) - *kvlift_at(m->held, b);

	gittins_cell(m, class, b)->index =
		(u16)(64 * GITTINS_LOG + gittins_log2((returned << 8) + 1) -
		      gittins_log2(held));
	*kvlift_at(m->hull, m->nr_hull) = b;
	m->nr_hull++;
	return 0;
}

/*
 * Gittins, "Bandit processes and dynamic allocation indices", J. R. Stat. Soc.
 * B 41(2), 1979: the index of a state is the most that is earned per time, over
 * all times to stop at. A block earns its return and costs a slot for the time
 * it is held; its state is its age. So the index at an age is the steepest line
 * from there to a later point of the curve: an edge of its upper hull.
 */
static inline void gittins_learn_class(struct kvlift_ctx *ctx,
				       struct gittins_model *m, u32 class)
{
	u32 i, b, parent = gittins_parent(class);

	m->left = 0;
	kvlift_for(i, ctx, 0, GITTINS_BINS)
		gittins_learn_hazard(m, class, parent, GITTINS_BINS - 1 - i);
	m->left = 1u << GITTINS_SURVIVAL;
	m->sum = 0;
	kvlift_for(i, ctx, 0, GITTINS_BINS)
		gittins_learn_curve(m, class, i);
	m->hull[0] = GITTINS_BINS;
	m->nr_hull = 1;
	kvlift_for(i, ctx, 0, GITTINS_BINS) {
		b = GITTINS_BINS - 1 - i;
		gittins_learn_index(m, class, b, gittins_trim_hull(ctx, m, b));
	}
}

KVLIFT_SUB u32 gittins_learn_factor(struct gittins_model *KVLIFT_ARG(m), u32 at)
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
	if (m->is_halved) {
		f->seen >>= 1;
		f->expected >>= 1;
	}
	return 0;
}

/* When all classes are learned. */
static inline void gittins_learn_factors(struct kvlift_ctx *ctx,
					 struct gittins_model *m)
{
	struct gittins_cell *c;
	u64 total = 0;
	u32 i;

	kvlift_for(i, ctx, 0, GITTINS_FACTORS)
		gittins_learn_factor(m, i);
	kvlift_for(i, ctx, 0, GITTINS_BINS) {
		c = gittins_cell(m, 0, i);
		total += (u64)c->count[GITTINS_RETURNED] +
			 c->count[GITTINS_CENSORED];
	}
	m->is_halved = total > GITTINS_MEMORY;
}

/* All tables from the counts: long, so see gittins_learn_some(). */
static inline void gittins_learn(struct kvlift_ctx *ctx,
				 struct gittins_model *m)
{
	u32 c;

	kvlift_for(c, ctx, 0, GITTINS_CLASSES)
		gittins_learn_class(ctx, m, c);
	gittins_learn_factors(ctx, m);
}

/* A run is back: did its hint know better than its class? */
KVLIFT_SUB u32 gittins_score_hint(struct gittins_model *KVLIFT_ARG(m),
				  struct gittins_run *KVLIFT_ARG(r), u32 now)
{
	u32 age = now - r->time, share;
	s64 d;

	if (r->kind != GITTINS_TIMED || r->is_scored || age < 256)
		return 0;
	r->is_scored = 1;
	share = gittins_share_bin(age, r->promise);
	d = (s64)gittins_cell(m, r->class, gittins_age_bin(age))->rarity -
	    gittins_cell(m, GITTINS_HINTED, share)->rarity;
	if (d > GITTINS_MAX_SCORE)
		d = GITTINS_MAX_SCORE;
	if (d < -GITTINS_MAX_SCORE)
		d = -GITTINS_MAX_SCORE;
	if (m->nr_scores < 256)
		m->nr_scores++;
	d = d * 256 - m->trust;
	/* BPF divides without a sign. */
	if (d < 0)
		m->trust -= (s64)((u64)-d / m->nr_scores);
	else
		m->trust += (s64)((u64)d / m->nr_scores);
	return 1;
}

/* Logarithm of the index of the blocks of a run. */
KVLIFT_SUB u32 gittins_index(struct gittins_model *KVLIFT_ARG(m),
			     const struct gittins_run *KVLIFT_ARG(r), u32 now)
{
	u32 age = now - r->time, i, b;
	s32 log = 32 * GITTINS_LOG;

	if (r->kind == GITTINS_TIMED && gittins_trusts_hints(m)) {
		b = gittins_share_bin(age, r->promise);
		return (32 + GITTINS_SHARE) * GITTINS_LOG +
		       gittins_cell(m, GITTINS_HINTED + 1 + r->hits, b)->index -
		       gittins_log2(r->promise);
	}
	log += gittins_cell(m, r->class, gittins_age_bin(age))->index;
	for (i = 0; i < 3; i++)
		if (i < r->nr_factors)
			log += kvlift_at(m->factors, r->factors[i])->log;
	return log > 0 ? (u32)log : 0;
}

#endif
