// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift advise: by hand what engines do through the library. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file.h"
#include "util.h"

#define CHUNK 65536u

enum advice {
	NONE,
	WILLNEED,
	DONTNEED,
	TOUCH
};

static const char *const names[] = { "", "willneed", "dontneed", "touch" };

static void nap(void)
{
	const struct timespec ts = { .tv_nsec = 10000000 };

	nanosleep(&ts, NULL);
}

/*
 * The queue takes what fits: go on where it stopped, until the deadline. done
 * counts queued blocks.
 */
static int64_t willneed(const struct file *f, uint64_t first, uint64_t end,
			uint64_t deadline)
{
	int64_t done = 0, n;

	while (first < end) {
		uint64_t count = end - first < 256 ? end - first : 256;

		n = kvlift_prefetch(f->region, first, count);
		if (n == -EAGAIN && now_ns() < deadline) {
			nap();
			continue;
		}
		if (n < 0)
			return n;
		done += n;
		first += count;
	}
	return done;
}

static int64_t touch(const struct file *f, uint64_t first, uint64_t end)
{
	struct kvlift_touch *t = calloc(CHUNK, sizeof(*t));
	int64_t done = 0;
	int n = 0;

	if (!t)
		return -ENOMEM;
	while (first < end) {
		unsigned int i, count = end - first < CHUNK
						? (unsigned int)(end - first)
						: CHUNK;

		for (i = 0; i < count; i++)
			t[i].index = first + i;
		n = kvlift_touch_entries(f->region, t, count);
		if (n < 0)
			break;
		done += n;
		first += count;
	}
	free(t);
	return n < 0 ? n : done;
}

/* Blocks of the range whose home is on a device. */
static int64_t on_device(const struct file *f, uint64_t first, uint64_t end)
{
	uint64_t *words = malloc(CHUNK * sizeof(*words));
	int64_t n = 0, i, count = 0;

	if (!words)
		return -ENOMEM;
	while (first < end) {
		n = kvlift_where(f->region, first,
				 end - first < CHUNK ? end - first : CHUNK,
				 words);
		if (n <= 0)
			break;
		for (i = 0; i < n; i++)
			if ((words[i] & KVLIFT_LOC_PRESENT) &&
			    kvlift_loc_tier(words[i]) == KVLIFT_TIER_NVME)
				count++;
		first += (uint64_t)n;
	}
	free(words);
	return n < 0 ? n : count;
}

static int64_t wait_for(const struct file *f, enum advice advice,
			uint64_t first, uint64_t end, uint64_t deadline)
{
	int64_t left, last = -1;

	for (;;) {
		left = on_device(f, first, end);
		if (left < 0 || now_ns() >= deadline)
			return left;
		if (advice == WILLNEED && left == 0)
			return 0;
		/* Demotion ends where it ends: wait until it stands still. */
		if (advice == DONTNEED && left == last)
			return left;
		last = left;
		nap();
		if (advice == DONTNEED)
			nap();
	}
}

static const char help[] =
	"usage: kvlift advise FILE --willneed|--dontneed|--touch [--range A:B]\n"
	"                     [--wait SECONDS] [--json]\n"
	"\n"
	"  --willneed      start to bring blocks into memory\n"
	"  --dontneed      start to move blocks one tier down\n"
	"  --touch         report one access to each block\n"
	"  --range A:B     only blocks A up to, but not including, B\n"
	"  --wait SECONDS  for --willneed and --dontneed: wait for the moves, at most\n"
	"                  that long; exit status 1 if blocks that are needed are then\n"
	"                  still on a device\n";

int run_advise(int argc, char **argv)
{
	static const struct option options[] = {
		{ "willneed", no_argument, NULL, 'w' },
		{ "dontneed", no_argument, NULL, 'd' },
		{ "touch", no_argument, NULL, 't' },
		{ "range", required_argument, NULL, 'r' },
		{ "wait", required_argument, NULL, 'W' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t first = 0, end = UINT64_MAX, wait = 0, deadline;
	enum advice advice = NONE, a;
	bool as_json = false;
	int64_t done, left = 0;
	struct file f;
	int c;

	while ((c = getopt_long(argc, argv, "r:jh", options, NULL)) != -1) {
		switch (c) {
		case 'w':
		case 'd':
		case 't':
			a = c == 'w' ? WILLNEED : c == 'd' ? DONTNEED : TOUCH;
			if (advice != NONE && advice != a)
				return usage_error("give one advice at a time");
			advice = a;
			break;
		case 'r':
			if (parse_range(optarg, &first, &end))
				return usage_error("--range %s: not like 0:100",
						   optarg);
			break;
		case 'W':
			if (parse_u64(optarg, 1000000, &wait))
				return usage_error(
					"--wait %s: not a number of seconds",
					optarg);
			break;
		case 'j':
			as_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return usage_error("bad option");
		}
	}
	if (advice == NONE)
		return usage_error("give --willneed, --dontneed or --touch");
	if (argc - optind != 1)
		return usage_error("give one file");
	if (file_open(argv[optind], &f))
		return EXIT_FAIL;
	if (end > f.blocks)
		end = f.blocks;
	deadline = now_ns() + wait * 1000000000ULL;
	if (first >= end)
		done = 0;
	else if (advice == WILLNEED)
		done = willneed(&f, first, end, deadline);
	else if (advice == DONTNEED)
		done = kvlift_demote(f.region, first, end - first);
	else
		done = touch(&f, first, end);
	if (done >= 0 && wait && advice != TOUCH)
		left = wait_for(&f, advice, first, end, deadline);
	file_close(&f);
	if (done < 0 || left < 0) {
		error("%s: %s", argv[optind],
		      done == -EAGAIN
			      ? "the prefetch queue is full; --wait SECONDS waits for room"
			      : kvlift_strerror((int)(done < 0 ? done : left)));
		return EXIT_FAIL;
	}
	if (as_json) {
		struct json j;

		json_init(&j, stdout);
		json_open(&j, NULL, '{');
		json_str(&j, "advice", names[advice]);
		json_i64(&j, "done", done);
		if (wait)
			json_i64(&j, "on_device", left);
		json_close(&j, '}');
		json_end(&j);
	} else {
		printf("%s: %lld blocks%s\n", names[advice], (long long)done,
		       advice == TOUCH ? " touched" : " queued");
		if (wait && advice == WILLNEED && left)
			printf("%lld are still on a device\n", (long long)left);
	}
	return wait && advice == WILLNEED && left ? EXIT_FAIL : EXIT_OK;
}
