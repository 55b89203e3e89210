// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Hints, made from a trace: what an engine could tell of a session when a
 * request is done, right or wrong. The same trace gives the same hints.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "sim.h"

#define NEVER	UINT32_MAX
#define SIGMA	0.5 /* of the error, of natural logarithms */
#define SECOND	1000.0
#define OCTAVES 8.19 /* natural ones: from a second to an hour */

struct maker {
	const struct trace *t;
	uint32_t *next; /* request -> that which goes on from it, or NEVER */
	uint32_t *gaps; /* ms, of those that do */
	uint32_t nr_gaps;
};

struct member {
	uint32_t key, nr;
};

static int by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->nr < y->nr ? -1 : x->nr > y->nr;
}

/* Where sessions are told. */
static int follow_sessions(struct maker *m)
{
	const struct request_info *info = m->t->info;
	uint32_t nr = (uint32_t)m->t->nr_requests, i;
	struct member *all = calloc((size_t)nr + 1, sizeof(*all));
	bool is_last;

	if (!all)
		return -1;
	for (i = 0; i < nr; i++)
		all[i] = (struct member){
			sim_branch(info[i].session, info[i].agent), i
		};
	qsort(all, nr, sizeof(*all), by_key);
	for (i = 0; i < nr; i++) {
		is_last = i + 1 == nr || all[i + 1].key != all[i].key;
		if (all[i].key)
			m->next[all[i].nr] = is_last ? NEVER : all[i + 1].nr;
	}
	free(all);
	return 0;
}

/*
 * Where they are not: the next request with the first block that was new, which
 * no other session has; without a new one, with the last.
 */
static int follow_blocks(struct maker *m)
{
	const struct trace *t = m->t;
	uint32_t *first = calloc(t->nr_ids, sizeof(*first)); /* nr + 1 */
	uint32_t *last = calloc(t->nr_ids, sizeof(*last));
	uint32_t nr = (uint32_t)t->nr_requests, i;
	uint64_t k, end;

	for (i = 0; first && i < nr; i++)
		for (k = t->start[i]; k < t->start[i + 1]; k++)
			if (!first[t->refs[k]])
				first[t->refs[k]] = i + 1;
	for (i = nr; first && last && i-- > 0;) {
		end = t->start[i] +
		      sim_whole_blocks(
			      t->info[i].input_length,
			      (uint32_t)(t->start[i + 1] - t->start[i]));
		for (k = t->start[i]; k < end; k++)
			if (first[t->refs[k]] == i + 1)
				break;
		if (k == end && end > t->start[i])
			k--;
		m->next[i] = k < end && last[t->refs[k]] ? last[t->refs[k]] - 1
							 : NEVER;
		for (k = t->start[i]; k < t->start[i + 1]; k++)
			last[t->refs[k]] = i + 1;
	}
	free(first);
	free(last);
	return first && last ? 0 : -1;
}

/* 0 to 1, neither included; the k-th for a request. */
static double chance(uint32_t nr, uint32_t k)
{
	return ((double)(mix64((uint64_t)nr * 8 + k) >> 11) + 0.5) /
	       9007199254740992.0;
}

/* Log-normal, by Box and Muller. */
static uint32_t with_error(uint32_t nr, double ms)
{
	double z = sqrt(-2 * log(chance(nr, 0))) *
		   cos(6.283185307179586 * chance(nr, 1));

	ms = ms * exp(z * SIGMA) + 1;
	return ms < NEVER - 1 ? (uint32_t)ms : NEVER - 1;
}

static double gap_ms(const struct trace *t, uint32_t from, uint32_t to)
{
	double ms = t->info[to].timestamp - t->info[from].timestamp;

	return ms > 0 ? ms : 0;
}

static uint32_t make(const struct maker *m, uint32_t nr, enum sim_hints kind)
{
	uint32_t over = (uint32_t)m->t->nr_requests - m->nr_gaps, at;

	switch (kind) {
	case SIM_HINTS_TRUE:
		if (m->next[nr] == NEVER)
			return SIM_OVER;
		return with_error(nr, gap_ms(m->t, nr, m->next[nr]));
	case SIM_HINTS_SHUFFLED:
		if (chance(nr, 2) * (double)m->t->nr_requests < over)
			return SIM_OVER;
		at = (uint32_t)(chance(nr, 3) * m->nr_gaps);
		return with_error(nr, m->gaps[at]);
	default:
		if (chance(nr, 2) < 0.5)
			return SIM_OVER;
		return (uint32_t)(SECOND * exp(OCTAVES * chance(nr, 3)));
	}
}

static void collect_gaps(struct maker *m)
{
	uint32_t i;
	double ms;

	for (i = 0; i < m->t->nr_requests; i++) {
		if (m->next[i] == NEVER)
			continue;
		ms = gap_ms(m->t, i, m->next[i]);
		m->gaps[m->nr_gaps++] = ms < NEVER ? (uint32_t)ms : NEVER;
	}
}

uint32_t *sim_make_hints(const struct trace *t, enum sim_hints kind)
{
	size_t size = (size_t)t->nr_requests * sizeof(uint32_t) + 1;
	struct maker m = { .t = t, .next = malloc(size), .gaps = malloc(size) };
	uint32_t *hints = malloc(size), i;

	if (!m.next || !m.gaps || !hints || follow_blocks(&m) ||
	    follow_sessions(&m)) {
		free(hints);
		hints = NULL;
	} else {
		collect_gaps(&m);
		for (i = 0; i < t->nr_requests; i++)
			hints[i] = make(&m, i, kind);
	}
	free(m.next);
	free(m.gaps);
	return hints;
}
