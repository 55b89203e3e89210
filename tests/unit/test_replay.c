// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The engine of kvlift replay, on a directory that plays the pool. */
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>

#include "engine.h"
#include "fake_pool.h"
#include "mkpool.h"
#include "sim.h"
#include "unit.h"

static char dir[64];
static struct trace trace;

static struct result *run(struct engine_opts o, int want)
{
	struct result *r = calloc(1, sizeof(*r));
	int ret;

	o.dir = dir;
	o.name = "t";
	fake_touches = 0;
	fake_prefetched = 0;
	fake_nr_hints = 0;
	fake_hint_calls = 0;
	ret = engine_run(&trace, &o, r);
	CHECK_EQ(ret, want);
	CHECK_EQ(fake_opened, 0);
	return r;
}

static void clean(void)
{
	struct engine_opts o = { .objects = false };

	free(run(o, 0));
	o.objects = true;
	free(run(o, 0));
}

static int file(const char *name, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags);
}

static bool exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void every_reference_is_accounted_for(void)
{
	for (int objects = 0; objects < 2; objects++) {
		struct engine_opts o = { .objects = objects, .prefetch = true };
		struct result *r = run(o, 0);
		uint64_t hits = r->hits[1] + r->hits[2] + r->hits[3];

		CHECK_EQ(r->requests, trace.nr_requests);
		CHECK_EQ(r->refs, trace.nr_refs);
		CHECK_EQ(r->absent, trace.nr_ids);
		CHECK_EQ(hits + r->absent, r->refs);
		CHECK_EQ(r->mismatches, 0);
		CHECK_EQ(r->errors, 0);
		CHECK_EQ(r->stall.count, hits);
		CHECK_EQ(r->blocks, trace.nr_ids);
		CHECK_EQ(r->resumed, 0);
		CHECK_EQ(fake_touches, objects ? 0 : trace.nr_refs);
		CHECK(fake_prefetched > 0 && fake_prefetched <= hits);
		CHECK(!exists("t.region") && !exists("t.index"));
		CHECK(!exists("t.lock") && !exists("t.objects"));
		free(r);
	}
}

/* The hints of request nr from the i-th on. Where the next one's begin. */
static unsigned int check_request(unsigned int i, uint64_t nr, bool clock,
				  const uint32_t *returns)
{
	const uint32_t *refs = trace.refs + trace.start[nr];
	uint64_t count = trace.start[nr + 1] - trace.start[nr], at = 0, k;
	const struct request_info *info = &trace.info[nr];

	if (clock) {
		CHECK_EQ(fake_hints[i].op, KVLIFT_HINT_CLOCK);
		CHECK(fake_hints[i].session - fake_hints[0].session ==
		      sim_time_ns(info->timestamp));
		i++;
	}
	while (fake_hints[i].op == KVLIFT_HINT_CHAIN) {
		CHECK(fake_hints[i].count <= KVLIFT_REQ_MAX_BLOCKS);
		for (k = 0; k < fake_hints[i].count && at < count; k++)
			CHECK_EQ(refs[at++], fake_hints[i].first + k);
		i++;
	}
	CHECK_EQ(at, count);
	CHECK_EQ(fake_hints[i].op, KVLIFT_HINT_REQUEST);
	CHECK_EQ(fake_hints[i].session, sim_branch(info->session, info->agent));
	CHECK_EQ(fake_hints[i++].flags,
		 sim_whole_blocks(info->input_length, (uint32_t)count) < count
			 ? KVLIFT_HINT_PARTIAL
			 : 0);
	if (!returns)
		return i;
	CHECK_EQ(fake_hints[i].op, returns[nr] == SIM_OVER
					   ? KVLIFT_HINT_OVER
					   : KVLIFT_HINT_RETURNS);
	CHECK_EQ(fake_hints[i].ms, returns[nr] == SIM_OVER ? 0 : returns[nr]);
	CHECK_EQ(fake_hints[i].session, 0);
	return i + 1;
}

static void the_policy_is_told_each_request(void)
{
	uint32_t *returns = sim_make_hints(&trace, SIM_HINTS_TRUE);
	struct engine_opts o = { .hints = HINTS_NONE };
	struct result *r;
	unsigned int i, told, step;
	uint64_t nr;

	free(run(o, 0));
	CHECK_EQ(fake_nr_hints, 0);
	for (step = 0; step < 4; step++) {
		o.hints = step & 1 ? HINTS_TRUE : HINTS_REQUEST;
		/* Without root the times are not told. */
		fake_no_clock = step & 2;
		r = run(o, 0);
		CHECK_EQ(r->errors, 0);
		free(r);
		told = fake_nr_hints;
		/* One call each, and one each for beginning and end. */
		CHECK_EQ(fake_hint_calls,
			 trace.nr_requests + 1 + !fake_no_clock);
		i = !fake_no_clock;
		for (nr = 0; nr < trace.nr_requests; nr++)
			i = check_request(i, nr, !fake_no_clock,
					  step & 1 ? returns : NULL);
		if (!fake_no_clock) {
			CHECK_EQ(fake_hints[i].op, KVLIFT_HINT_CLOCK);
			CHECK_EQ(fake_hints[i++].session, 0);
		}
		CHECK_EQ(i, told);
	}
	fake_no_clock = false;
	free(returns);
}

static void a_policy_that_is_behind_is_waited_for(void)
{
	struct engine_opts o = { .hints = HINTS_REQUEST };
	struct result *r;

	fake_hint_error = -EAGAIN;
	r = run(o, 0);
	CHECK_EQ(r->errors, 0);
	CHECK_EQ(fake_hint_calls, trace.nr_requests + 3);
	free(r);
	fake_hint_error = -EOPNOTSUPP;
	free(run(o, -EOPNOTSUPP));
	clean();
}

/* A third of the blocks is in DRAM: prefixes are short. */
static void a_prefix_ends_at_the_first_block_elsewhere(void)
{
	struct engine_opts o = { .hints = HINTS_NONE };
	struct result *r = run(o, 0);
	uint64_t nr, i, blocks = 0, prefix = 0;
	uint8_t *seen = calloc(trace.nr_ids, 1);

	for (nr = 0; nr < trace.nr_requests; nr++) {
		bool whole = true;

		for (i = trace.start[nr]; i < trace.start[nr + 1]; i++) {
			uint32_t n = trace.refs[i];
			bool hit = seen[n] && n % 3 == 0;

			whole &= hit;
			blocks += hit;
			prefix += whole;
			seen[n] = 1;
		}
	}
	CHECK_EQ(r->hits[KVLIFT_TIER_DRAM], blocks);
	CHECK_EQ(r->prefix_hits, prefix);
	CHECK(prefix > 0 && prefix < blocks);
	free(seen);
	free(r);
}

static void what_was_written_is_found_again(void)
{
	for (int objects = 0; objects < 2; objects++) {
		struct engine_opts o = { .objects = objects, .keep = true };
		struct result *r;

		free(run(o, 0));
		o.resume = true;
		r = run(o, 0);
		CHECK_EQ(r->resumed, trace.nr_ids);
		CHECK_EQ(r->absent, 0);
		CHECK_EQ(r->mismatches + r->errors, 0);
		free(r);
		/* Without resume it starts from nothing. */
		o.resume = false;
		r = run(o, 0);
		CHECK_EQ(r->absent, trace.nr_ids);
		free(r);
	}
	clean();
}

static void one_wrong_byte_is_a_mismatch(void)
{
	struct engine_opts o = { .keep = true };
	struct result *r;
	int fd;

	free(run(o, 0));
	fd = file("t.region", O_RDWR);
	CHECK_EQ(pwrite(fd, "", 1, 5 * FAKE_BLOCK + 12345), 1);
	close(fd);
	o.resume = true;
	r = run(o, 0);
	/* Once when found again, and at each use. */
	CHECK(r->mismatches >= 1);
	CHECK_EQ(r->errors, 0);
	free(r);
	clean();
}

static int truncate_at = -1;

static void truncate_once(int fd, uint64_t index)
{
	if (truncate_at-- == 0 && ftruncate(fd, 0))
		abort();
}

/* A bus error is an error of that block, not the end of the replay. */
static void lost_blocks_are_errors(void)
{
	struct engine_opts o = { 0 };
	struct result *r;

	fake_where_hook = truncate_once;
	truncate_at = 10;
	r = run(o, 0);
	fake_where_hook = NULL;
	CHECK_EQ(r->requests, trace.nr_requests);
	CHECK(r->errors > 0);
	free(r);
	clean();
}

static void index_of_another_trace_is_refused(void)
{
	struct engine_opts o = { .keep = true };
	struct trace mine = trace;
	uint64_t other = 4711;

	free(run(o, 0));
	o.resume = true;
	/* Another number of blocks. */
	trace_init(&trace);
	trace_add(&trace, &other, 1);
	free(run(o, -EINVAL));
	trace_free(&trace);
	/* As many, with other ids. */
	trace = mine;
	trace.ids[3] ^= 1ULL << 60;
	free(run(o, -EINVAL));
	trace.ids[3] ^= 1ULL << 60;
	free(run(o, 0));
	clean();
}

static void two_at_once_are_refused(void)
{
	struct engine_opts o = { .resume = true };
	int fd;

	free(run(o, 0));
	fd = file("t.lock", O_RDWR);
	CHECK(!flock(fd, LOCK_EX));
	free(run(o, -EBUSY));
	close(fd);
	free(run(o, 0));
	clean();
}

/* kill -9 in the middle, 50 times: the next one finds all that was written. */
static void killed_engine_loses_nothing(void)
{
	struct engine_opts o = { .resume = true };
	uint64_t last = 0;
	unsigned int kills = 0, middle = 0;

	for (int i = 0; i < 50; i++) {
		const struct timespec ts = { .tv_nsec = 1000000 *
							(5 + i * 7 % 60) };
		struct result *r;
		pid_t pid = fork();

		if (!pid) {
			freopen("/dev/null", "w", stdout);
			for (;;)
				free(run(o, 0));
		}
		nanosleep(&ts, NULL);
		kills += !kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		r = run(o, 0);
		CHECK_EQ(r->mismatches + r->errors, 0);
		CHECK(r->resumed >= last);
		last = r->resumed;
		middle += last && last < trace.nr_ids;
		free(r);
		/* Start over once all is there. */
		if (last == trace.nr_ids) {
			clean();
			last = 0;
		}
	}
	CHECK_EQ(kills, 50);
	printf("# %u of 50 in the middle of writing\n", middle);
	clean();
}

static void a_signal_ends_it_early(void)
{
	struct engine_opts o = { .resume = true };
	struct result *r;

	clean();
	stop_requested = SIGTERM;
	r = run(o, 0);
	stop_requested = 0;
	CHECK(r->stopped);
	CHECK_EQ(r->requests, 0);
	free(r);
	clean();
}

int main(void)
{
	/* Mapped writes to a disk's file system take most of the time. */
	snprintf(dir, sizeof(dir), "%s/kvlift-replay.XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(dir))
		return 1;
	if (trace_init(&trace) || trace_generate(&trace, GEN_AGENT, 3, 60))
		return 1;
	CASE(every_reference_is_accounted_for);
	CASE(the_policy_is_told_each_request);
	CASE(a_policy_that_is_behind_is_waited_for);
	CASE(a_prefix_ends_at_the_first_block_elsewhere);
	CASE(what_was_written_is_found_again);
	CASE(one_wrong_byte_is_a_mismatch);
	CASE(lost_blocks_are_errors);
	CASE(index_of_another_trace_is_refused);
	CASE(two_at_once_are_refused);
	CASE(killed_engine_loses_nothing);
	CASE(a_signal_ends_it_early);
	trace_free(&trace);
	rmdir(dir);
	UNIT_END();
}
