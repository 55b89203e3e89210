// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Hints of a replay: the policy in the pool is told what the simulator tells
 * its own, so that both can be compared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hints.h"
#include "mkpool.h"
#include "sim.h"
#include "util.h"

/* Calls, a second each, until a policy is given up that takes nothing in. */
#define TRIES 30u
/* Hints of a request beside its chain. */
#define MORE 3u

static const char *const names[] = {
	[HINTS_NONE] = "none",
	[HINTS_REQUEST] = "request",
	[HINTS_TRUE] = "true",
	[HINTS_RANDOM] = "random",
};

const char *hints_name(enum hints_kind kind)
{
	return names[kind];
}

int hints_parse(const char *name, enum hints_kind *kind)
{
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i])) {
			*kind = (enum hints_kind)i;
			return 0;
		}
	return -EINVAL;
}

static int tell(const struct store *s, const struct kvlift_hint *hints,
		unsigned int count)
{
	unsigned int tries = 0;
	int ret;

	/* A chain that was cut off would be another request. */
	do {
		ret = kvlift_hint(s->pool, hints, count);
	} while (ret == -EAGAIN && !stop_requested && ++tries < TRIES);
	if (ret < 0)
		return stop_requested ? 0 : ret;
	return (unsigned int)ret == count ? 0 : -EPROTO;
}

static int make_returns(struct hints *h, const struct trace *t)
{
	if (h->kind != HINTS_TRUE && h->kind != HINTS_RANDOM)
		return 0;
	h->returns = sim_make_hints(
		t, h->kind == HINTS_TRUE ? SIM_HINTS_TRUE : SIM_HINTS_RANDOM);
	return h->returns ? 0 : -ENOMEM;
}

int hints_start(struct hints *h, enum hints_kind kind, struct store *s)
{
	struct kvlift_hint clock;
	int ret;

	*h = (struct hints){ .kind = kind, .start_ns = now_ns() };
	if (kind == HINTS_NONE)
		return 0;
	ret = make_returns(h, s->trace);
	if (!ret) {
		clock = kvlift_hint_clock(h->start_ns);
		ret = tell(s, &clock, 1);
		h->clock = !ret;
	}
	if (ret == -EPERM) {
		error("note: only root can tell the policy the times of the trace, so it learns those of the replay");
		ret = 0;
	}
	if (ret)
		error("the policy cannot be told anything: %s",
		      kvlift_strerror(ret));
	/* Of what nobody tells it, the simulator's policy sees nothing. */
	else if (s->ops->hold)
		s->ops->hold(s);
	return ret;
}

static int room_for(struct hints *h, uint64_t n)
{
	struct kvlift_hint *more;

	if (n <= h->cap)
		return 0;
	more = realloc(h->buf, n * sizeof(*more));
	if (!more)
		return -ENOMEM;
	h->buf = more;
	h->cap = n;
	return 0;
}

static struct kvlift_hint clock_of(const struct hints *h, const struct trace *t,
				   uint64_t nr)
{
	return kvlift_hint_clock(h->start_ns +
				 sim_time_ns(t->info[nr].timestamp));
}

static uint64_t session_of(const struct trace *t, uint64_t nr)
{
	return sim_branch(t->info[nr].session, t->info[nr].agent);
}

/* Runs of blocks in a row become one hint. */
static uint64_t chain(struct hints *h, const struct kvlift_region *r,
		      const uint32_t *refs, uint64_t count, uint64_t at)
{
	uint64_t i, run;

	for (i = 0; i < count; i += run) {
		for (run = 1; i + run < count && run < KVLIFT_REQ_MAX_BLOCKS;
		     run++)
			if (refs[i + run] != refs[i] + run)
				break;
		h->buf[at++] = kvlift_hint_chain(r, refs[i], run);
	}
	return at;
}

/* Of this request, as the simulator does. */
static struct kvlift_hint returns(const struct hints *h, uint64_t nr)
{
	return h->returns[nr] == SIM_OVER
		       ? kvlift_hint_over(0)
		       : kvlift_hint_returns(0, h->returns[nr]);
}

int hints_tell(struct hints *h, struct store *s, uint64_t nr)
{
	const struct trace *t = s->trace;
	uint64_t count = t->start[nr + 1] - t->start[nr], n = 0;
	uint32_t whole;
	int ret;

	if (h->kind == HINTS_NONE || !count)
		return 0;
	/* More would not be taken; the rest is known by its faults. */
	if (count > KVLIFT_CHAIN_MAX - MORE)
		count = KVLIFT_CHAIN_MAX - MORE;
	ret = room_for(h, count + MORE);
	if (ret)
		return ret;
	whole = sim_whole_blocks(t->info[nr].input_length, (uint32_t)count);
	if (h->clock)
		h->buf[n++] = clock_of(h, t, nr);
	n = chain(h, s->ops->region(s), t->refs + t->start[nr], count, n);
	h->buf[n++] = kvlift_hint_request(session_of(t, nr), whole < count);
	if (h->returns)
		h->buf[n++] = returns(h, nr);
	return tell(s, h->buf, (unsigned int)n);
}

void hints_end(struct hints *h, const struct store *s)
{
	struct kvlift_hint clock = kvlift_hint_clock(0);

	/* Else its time would stand still. */
	if (h->clock)
		(void)tell(s, &clock, 1);
	free(h->returns);
	free(h->buf);
	*h = (struct hints){ .kind = HINTS_NONE };
}
