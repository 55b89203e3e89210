// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ARC and S3-FIFO against the papers' own pseudocode, written down line by line
 * over plain arrays.
 */
#include "sim_model.h"

/* A queue: at[0] is its head, the newest. */
struct queue {
	uint32_t at[600], n;
};

static int place(const struct queue *q, uint32_t id)
{
	for (uint32_t i = 0; i < q->n; i++)
		if (q->at[i] == id)
			return (int)i;
	return -1;
}

static bool in(const struct queue *q, uint32_t id)
{
	return place(q, id) >= 0;
}

static void drop(struct queue *q, uint32_t id)
{
	int i = place(q, id);

	if (i < 0)
		abort();
	q->n--;
	memmove(q->at + i, q->at + i + 1, (q->n - (uint32_t)i) * 4);
}

static void push(struct queue *q, uint32_t id)
{
	memmove(q->at + 1, q->at, q->n * 4);
	q->at[0] = id;
	q->n++;
}

static uint32_t pop(struct queue *q)
{
	return q->at[--q->n];
}

/* Megiddo and Modha, figure 4; p in 65536ths. */
static struct queue t1, t2, b1, b2;
static uint64_t p;

static void replace(bool in_b2)
{
	if (t1.n >= 1 &&
	    ((in_b2 && t1.n == p >> 16) || (uint64_t)t1.n << 16 > p))
		push(&b1, pop(&t1));
	else
		push(&b2, pop(&t2));
}

static bool arc(uint32_t x, uint32_t c)
{
	uint64_t cap = (uint64_t)c << 16, d;

	if (in(&t1, x) || in(&t2, x)) {
		drop(in(&t1, x) ? &t1 : &t2, x);
		push(&t2, x);
		return true;
	}
	if (in(&b1, x)) {
		d = b1.n >= b2.n ? 1 << 16 : ((uint64_t)b2.n << 16) / b1.n;
		p = p + d < cap ? p + d : cap;
		replace(false);
		drop(&b1, x);
		push(&t2, x);
		return false;
	}
	if (in(&b2, x)) {
		d = b2.n >= b1.n ? 1 << 16 : ((uint64_t)b1.n << 16) / b2.n;
		p = p > d ? p - d : 0;
		replace(true);
		drop(&b2, x);
		push(&t2, x);
		return false;
	}
	if (t1.n + b1.n == c) {
		if (t1.n < c) {
			pop(&b1);
			replace(false);
		} else {
			pop(&t1);
		}
	} else if (t1.n + t2.n + b1.n + b2.n >= c) {
		if (t1.n + t2.n + b1.n + b2.n == 2 * c)
			pop(&b2);
		replace(false);
	}
	push(&t1, x);
	return false;
}

/* Yang et al., algorithm 1. */
static struct queue small, fifo, ghost;
static uint8_t freq[600];

static void evict_main(void)
{
	while (fifo.n) {
		uint32_t t = pop(&fifo);

		if (!freq[t])
			return;
		freq[t]--;
		push(&fifo, t);
	}
}

static void evict_small(uint32_t main_max)
{
	while (small.n) {
		uint32_t t = pop(&small);

		if (freq[t] > 1) {
			freq[t] = 0;
			push(&fifo, t);
			if (fifo.n > main_max) {
				evict_main();
				return;
			}
			continue;
		}
		push(&ghost, t);
		if (ghost.n > main_max)
			pop(&ghost);
		return;
	}
}

static bool s3fifo(uint32_t x, uint32_t c)
{
	uint32_t small_max = c / 10 ? c / 10 : 1, before;
	bool was_ghost;

	if (in(&small, x) || in(&fifo, x)) {
		if (freq[x] < 3)
			freq[x]++;
		return true;
	}
	while (small.n + fifo.n >= c) {
		before = small.n + fifo.n;
		if (small.n >= small_max || !fifo.n)
			evict_small(c - small_max);
		if (small.n + fifo.n == before)
			evict_main();
	}
	/* The name may have left the ghosts just now. */
	was_ghost = in(&ghost, x);
	if (was_ghost)
		drop(&ghost, x);
	push(was_ghost ? &fifo : &small, x);
	freq[x] = 0;
	return false;
}

static void reset(void)
{
	t1.n = t2.n = b1.n = b2.n = small.n = fifo.n = ghost.n = 0;
	p = 0;
}

/* Some blocks far more often than others, a few scans between. */
static void skewed(struct trace *t, uint32_t blocks)
{
	uint64_t ids[16];
	uint32_t k, i, n;

	trace_init(t);
	for (i = 0; i < 400; i++) {
		n = 1 + chance(15);
		ids[0] = chance(blocks);
		for (k = 1; k < n; k++)
			ids[k] = i % 5 ? chance(1 + chance(1 + chance(blocks)))
				       : (ids[k - 1] + 1) % blocks;
		trace_add(t, ids, n);
	}
}

static void compare(const char *policy, bool (*model)(uint32_t x, uint32_t c))
{
	struct trace t;

	for (int round = 0; round < 60; round++) {
		uint64_t want = 0, i;
		uint32_t c;

		skewed(&t, 10 + chance(200));
		c = 1 + chance(t.nr_ids);
		reset();
		for (i = 0; i < t.nr_refs; i++)
			want += model(t.refs[i], c);
		CHECK_EQ(played(&t, policy, 0, c).block_hits, want);
		trace_free(&t);
	}
}

static void arc_is_that_of_the_paper(void)
{
	compare("arc", arc);
}

static void s3fifo_is_that_of_the_paper(void)
{
	compare("s3fifo", s3fifo);
}

int main(void)
{
	CASE(arc_is_that_of_the_paper);
	CASE(s3fifo_is_that_of_the_paper);
	UNIT_END();
}
