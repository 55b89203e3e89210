/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Other traces made of a trace, for the question whether what holds for the one
 * is more than chance: cut, at another speed, of fewer sessions, or together
 * with another.
 */
#ifndef SIM_VARIANTS_H
#define SIM_VARIANTS_H

#include "sim_model.h"

/* Which requests of a trace, and at what time. */
struct variant {
	double from, to; /* share of the requests */
	double speed;	 /* times are divided by it; 0 is 1 */
	uint32_t of;	 /* every of-th session; 0 is 1 */
	uint32_t tag;	 /* keeps ids and sessions of two traces apart */
};

/*
 * Requests with one key are kept or left out together. Where sessions are not
 * told: those with the same second block, which all have that go on with one
 * another; the first may be one that all share.
 */
static uint64_t session_key(const struct trace *t, uint64_t nr)
{
	const struct request_info *info = &t->info[nr];
	uint64_t start = t->start[nr], len = t->start[nr + 1] - start;

	if (info->session != TRACE_UNKNOWN)
		return mix64(info->session);
	if (!len)
		return 0;
	return mix64(t->ids[t->refs[start + (len > 1)]]);
}

/* Since the first request of the variant. */
static double time_of(const struct trace *t, uint64_t nr,
		      const struct variant *v)
{
	uint64_t first = (uint64_t)(v->from * (double)t->nr_requests);
	double ms = t->info[nr].timestamp - t->info[first].timestamp;

	return v->speed > 0 ? ms / v->speed : ms;
}

static void add_request(struct trace *to, const struct trace *t, uint64_t nr,
			const struct variant *v)
{
	static uint64_t ids[65536];
	const struct request_info *info = &t->info[nr];
	struct request r = {
		.timestamp = time_of(t, nr, v),
		.input_length = info->input_length,
		.session = info->session,
		.turn = info->turn,
		.agent = info->agent,
		.ids = ids,
		.nr_ids = (uint32_t)(t->start[nr + 1] - t->start[nr]),
	};
	uint32_t i;

	if (r.nr_ids > sizeof(ids) / sizeof(ids[0]))
		abort();
	for (i = 0; i < r.nr_ids; i++)
		ids[i] = t->ids[t->refs[t->start[nr] + i]] | (uint64_t)v->tag
								     << 60;
	if (r.session != TRACE_UNKNOWN)
		r.session += v->tag << 20;
	if (trace_add_request(to, &r))
		abort();
}

/* The next request from nr on that the variant has; t->nr_requests: none. */
static uint64_t next_of(const struct trace *t, uint64_t nr,
			const struct variant *v)
{
	uint64_t end = (uint64_t)(v->to * (double)t->nr_requests);

	for (; nr < end; nr++)
		if (v->of < 2 || session_key(t, nr) % v->of == 0)
			return nr;
	return t->nr_requests;
}

static uint64_t first_of(const struct trace *t, const struct variant *v)
{
	return next_of(t, (uint64_t)(v->from * (double)t->nr_requests), v);
}

/*
 * The requests of one or two traces (b may be NULL) in the order of their
 * times. Two end with the one that ends first, so that they run side by side.
 */
static void make_variant(struct trace *to, const struct trace *a,
			 const struct variant *va, const struct trace *b,
			 const struct variant *vb)
{
	uint64_t i = first_of(a, va), k = b ? first_of(b, vb) : 0;

	if (trace_init(to))
		abort();
	while (i < a->nr_requests && (!b || k < b->nr_requests)) {
		if (b && time_of(b, k, vb) < time_of(a, i, va)) {
			add_request(to, b, k, vb);
			k = next_of(b, k + 1, vb);
		} else {
			add_request(to, a, i, va);
			i = next_of(a, i + 1, va);
		}
	}
}

#endif
