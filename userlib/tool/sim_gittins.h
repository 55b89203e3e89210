/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The parts of the gittins policy. All of it is integers in bounded arrays, so
 * that it can be a BPF policy too.
 *
 * Units: time in ms since the first request, in 32 bits; logarithms to base 2
 * in 1/256; weights in 1/1024.
 */
#ifndef TOOL_SIM_GITTINS_H
#define TOOL_SIM_GITTINS_H

#include "sim.h"

#define GITTINS_HITS 6u	 /* buckets of hits: 0, 1, 2-3, 4-7, 8-15, 16+ */
#define GITTINS_GAPS 24u /* of the mean gap: none, then half octaves */
/* By hits and gap; then those of hints, by hits. */
#define GITTINS_CLASSES	   (2 + (2 + GITTINS_GAPS) * GITTINS_HITS)
#define GITTINS_BINS	   36u /* of age: two an octave */
#define GITTINS_SIZES	   24u /* buckets of a number of blocks */
#define GITTINS_FACTORS	   (2 * GITTINS_HITS + 2 * GITTINS_SIZES)
#define GITTINS_RUNS	   8192u
#define GITTINS_SESSIONS   4096u
#define GITTINS_CANDIDATES 64u

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
	uint32_t name;	  /* slot, and how often it was taken */
	uint32_t time;	  /* of the access, or of becoming an orphan */
	uint32_t request; /* of the access */
	uint32_t session; /* slot */
	uint32_t next;	  /* run of the request */
	uint32_t left;	  /* blocks that are watched */
	uint32_t weight;  /* of each block */
	uint32_t end;	  /* length of the request */
	uint32_t promise; /* ms */
	bool is_scored;	  /* the promise was */
	uint8_t kind;
	uint8_t hits; /* bucket */
	uint8_t class;
	uint8_t nr_factors;
	uint8_t factors[3]; /* the third is that of the kind */
};

/* Returns seen, and expected of the classes alone: what a feature adds. */
struct gittins_factor {
	uint64_t seen, expected, open;
	int32_t log;
};

struct gittins_model {
	uint32_t count[GITTINS_OUTCOMES][GITTINS_CLASSES][GITTINS_BINS];
	uint32_t hazard[GITTINS_CLASSES][GITTINS_BINS]; /* 2^-16 */
	uint32_t cum_hazard[GITTINS_CLASSES][GITTINS_BINS];
	uint16_t index[GITTINS_CLASSES][GITTINS_BINS]; /* logarithms */
	/* Minus logarithm of the chance to return in a bin. */
	uint16_t rarity[GITTINS_CLASSES][GITTINS_BINS];
	/* How much better hints predict than classes, a logarithm, 2^-16. */
	int64_t trust;
	uint32_t nr_scores;
	bool is_hinted;
	struct gittins_factor factors[GITTINS_FACTORS];
};

static inline uint32_t gittins_fls(uint32_t x)
{
	return x ? 32 - (uint32_t)__builtin_clz(x) : 0;
}

uint32_t gittins_log2(uint64_t x);
/* Mean of the logarithms of gaps, of which this is the n-th. */
uint16_t gittins_mean(uint32_t mean, uint32_t n, uint32_t log);
uint32_t gittins_hits(uint32_t hits);	 /* bucket */
uint32_t gittins_gap(uint32_t mean_gap); /* bucket; 0: none was seen */
/* Class and factors of a run, by the blocks its request has and brought. */
void gittins_classify(struct gittins_run *r, uint32_t hits, uint32_t gap,
		      uint32_t blocks, uint32_t new_blocks);
void gittins_make_orphan(struct gittins_run *r, uint32_t now);

/* Count what became of some blocks of a run. */
void gittins_count(struct gittins_model *m, const struct gittins_run *r,
		   uint32_t now, uint32_t blocks, enum gittins_outcome outcome);
/* Make the tables of the index from the counts. */
void gittins_learn(struct gittins_model *m, const struct gittins_run *runs,
		   uint32_t nr, uint32_t now);
/* Logarithm of the index of the blocks of a run. */
uint32_t gittins_index(const struct gittins_model *m,
		       const struct gittins_run *r, uint32_t now);

/* The first hint is told: it is believed at first. */
void gittins_expect_hints(struct gittins_model *m, uint32_t ms);
void gittins_promise(struct gittins_run *r, uint32_t ms);
/* A run is back: did its hint know better than its class? */
void gittins_score_hint(struct gittins_model *m, struct gittins_run *r,
			uint32_t now);
bool gittins_trusts_hints(const struct gittins_model *m);

/* In the storage of a block. */
struct gittins_block {
	uint32_t prev, next; /* by recency */
	uint32_t run;	     /* name */
	uint32_t last;	     /* request */
	uint32_t leaf;	     /* place among the leaves, from 1; 0: none */
	uint16_t hits, mean_gap;
	bool known;  /* cached or a ghost */
	bool recent; /* a leaf-first LRU would hold it */
};

/* A session goes on where its last request ended. */
struct gittins_session {
	uint32_t key; /* 0: free */
	uint32_t last;
	uint32_t runs; /* of its last request */
	uint16_t mean_gap, nr_gaps;
};

/*
 * The known blocks by last use, of a request the deepest the oldest. Those up
 * to marker are what a leaf-first LRU of the same size would hold, so that the
 * comparison with it costs no second cache.
 */
struct gittins_recency {
	uint32_t head, tail, marker;
	uint32_t nr_known, nr_recent;
};

struct gittins_guard {
	uint64_t reuse, lost; /* known blocks asked for; those LRU misses */
	uint64_t refs, until, backoff;
	int64_t regret; /* hits that LRU had and the index had not */
	bool lru;	/* it decides now */
};

struct gittins {
	struct gittins_model model;
	struct gittins_run runs[GITTINS_RUNS];
	struct gittins_session sessions[GITTINS_SESSIONS];
	struct gittins_recency recency;
	struct gittins_guard guard;
	uint32_t hand;	       /* the last slot of a run that was taken */
	uint32_t next_session; /* slot for one that is not told */
	uint64_t start_ns;
	uint32_t now;
	uint32_t session; /* slot, of the request */
	uint32_t whole;	  /* blocks of the request, less a partial one */
	uint32_t *leaves;
	uint32_t nr_leaves;
	struct sim_entry candidates[GITTINS_CANDIDATES + 1]; /* heap, from 1 */
	uint32_t nr_candidates, spent;
	uint32_t random;
};

static inline struct gittins_block *gittins_block(const struct sim *s,
						  uint32_t id)
{
	return sim_storage(s, id);
}

/* NULL when its slot was taken by another since. */
static inline struct gittins_run *gittins_run(struct gittins *g, uint32_t name)
{
	struct gittins_run *r = &g->runs[name % GITTINS_RUNS];

	return r->name == name ? r : NULL;
}

void gittins_history_init(struct gittins *g);
/* Take a request in: what came back, whose it is, and new runs for it. */
void gittins_history_request(struct sim *s);
void gittins_history_hint(struct gittins *g, uint32_t ms);

#endif
