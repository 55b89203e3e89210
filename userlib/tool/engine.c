// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "guard.h"
#include "mkpool.h"
#include "util.h"

#define SHOWN 10 /* troubles that are told one by one */

static void trouble(struct store *s, struct result *r, uint32_t n,
		    const char *doing, int ret)
{
	if (ret == -EILSEQ)
		r->mismatches++;
	else
		r->errors++;
	if (r->mismatches + r->errors > SHOWN)
		return;
	if (ret == -EILSEQ)
		error("MISMATCH: %s", s->bad);
	else
		error("%s block %u (id %llu): %s", doing, n,
		      (unsigned long long)s->trace->ids[n],
		      kvlift_strerror(ret));
	if (r->mismatches + r->errors == SHOWN)
		error("further ones are only counted");
}

static void use(struct store *s, struct result *r, uint32_t n, bool *prefix)
{
	uint64_t word, ns;
	int ret;

	r->refs++;
	if (!s->present[n]) {
		r->absent++;
		*prefix = false;
		ret = s->ops->write(s, n);
		if (ret)
			trouble(s, r, n, "writing", ret);
		return;
	}
	word = s->ops->where(s, n);
	if (word & KVLIFT_LOC_PRESENT) {
		r->hits[kvlift_loc_tier(word) & (KVLIFT_NR_TIERS - 1)]++;
		*prefix &= kvlift_loc_tier(word) == KVLIFT_TIER_DRAM;
		r->prefix_hits += *prefix;
	} else {
		snprintf(
			s->bad, sizeof(s->bad),
			"block %u, id %llu has no place any more (location word %016llx)",
			n, (unsigned long long)s->trace->ids[n],
			(unsigned long long)word);
		trouble(s, r, n, "looking up", -EILSEQ);
		return;
	}
	ret = s->ops->read(s, n, &ns);
	if (ret)
		trouble(s, r, n, "reading", ret);
	if (!ret || ret == -EILSEQ)
		hist_add(&r->stall, ns);
}

static int request(struct store *s, const struct engine_opts *o,
		   struct result *r, struct hints *h, struct progress *bar,
		   uint64_t q)
{
	const struct trace *t = s->trace;
	const uint32_t *refs = t->refs + t->start[q];
	uint64_t count = t->start[q + 1] - t->start[q], i;
	bool prefix = true;
	int ret;

	ret = hints_tell(h, s, q);
	if (!ret && o->prefetch)
		ret = s->ops->prefetch(s, refs, count);
	for (i = 0; i < count && !stop_requested; i++) {
		use(s, r, refs[i], &prefix);
		progress_update(bar, t->start[q] + i);
	}
	if (!ret && !stop_requested)
		ret = s->ops->touch(s, refs, count);
	return ret;
}

static void play_all(struct store *s, const struct engine_opts *o,
		     struct result *r, struct hints *h)
{
	const struct trace *t = s->trace;
	struct progress bar;
	uint64_t q;
	int ret;

	progress_start(&bar, "replay", t->nr_refs);
	for (q = r->first_request; q < t->nr_requests; q++) {
		ret = request(s, o, r, h, &bar, q);
		if (stop_requested)
			break;
		if (ret) {
			r->errors++;
			error("request %llu: %s", (unsigned long long)q,
			      kvlift_strerror(ret));
		}
		r->requests++;
		s->ops->set_next(s, q + 1);
	}
	progress_end(&bar);
}

int engine_play(struct store *s, const struct engine_opts *o, struct result *r)
{
	struct hints h;
	int ret;

	if (o->resume) {
		r->first_request = s->ops->get_next(s);
		/* It got to the end: once more, all hits. */
		if (r->first_request >= s->trace->nr_requests)
			r->first_request = 0;
	}
	r->hints = o->hints;
	ret = hints_start(&h, o->hints, s);
	if (!ret)
		play_all(s, o, r, &h);
	hints_end(&h, s);
	r->stopped = stop_requested != 0;
	return ret;
}

void engine_verify(struct store *s, struct result *r)
{
	const struct trace *t = s->trace;
	struct progress bar;
	uint64_t ns;
	uint32_t n;
	int ret;

	progress_start(&bar, "verifying what was there", t->nr_ids);
	for (n = 0; n < t->nr_ids && !stop_requested; n++) {
		progress_update(&bar, n);
		if (!s->present[n])
			continue;
		ret = s->ops->read(s, n, &ns);
		if (ret)
			trouble(s, r, n, "reading", ret);
		r->resumed++;
	}
	progress_end(&bar);
}

int engine_run(const struct trace *t, const struct engine_opts *o,
	       struct result *r)
{
	struct store s = {
		.ops = o->objects ? &object_store : &region_store,
		.trace = t,
		.name = o->name,
	};
	uint64_t start;
	int ret;

	guard_install();
	ret = kvlift_pool_open(o->dir, &s.pool);
	if (ret) {
		error("%s: %s", o->dir, kvlift_strerror(ret));
		return ret;
	}
	s.block = kvlift_pool_block_size(s.pool);
	s.present = calloc(t->nr_ids ? t->nr_ids : 1, 1);
	if (!s.present)
		abort();
	pool_view(o->dir, &r->view);
	r->before = r->view.counters;
	ret = s.ops->open(&s, !o->resume);
	if (ret) {
		error("%s: %s", o->dir, kvlift_strerror(ret));
	} else {
		if (o->resume)
			engine_verify(&s, r);
		start = now_ns();
		ret = engine_play(&s, o, r);
		r->elapsed_ns = now_ns() - start;
	}
	r->block = s.block;
	r->blocks = t->nr_ids;
	/* Before the files go: the tiers as the replay left them. */
	pool_view(o->dir, &r->view);
	r->after = r->view.counters;
	s.ops->close(&s, !ret && !o->keep && !o->resume);
	kvlift_pool_close(s.pool);
	free(s.present);
	return ret;
}

uint64_t result_delta(const struct result *r, const char *counter)
{
	return counter_get(&r->after, counter) -
	       counter_get(&r->before, counter);
}
