// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift drain: empty a member of a pool. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "poolview.h"
#include "util.h"

static const char help[] =
	"usage: kvlift drain POOL MEMBER [--cancel] [--wait] [--json]\n\n"
	"Empty a member of the pool mounted at POOL: it takes no blocks any more, and\n"
	"those on it move to other members, in the background. A node's memory goes back\n"
	"to the kernel, so that it can be taken offline.\n\n"
	"MEMBER is a name as 'kvlift status' shows it (node1, /dev/nvme0n1), or tier and\n"
	"number (cxl/0).\n\n"
	"  --cancel   use the member again\n"
	"  --wait     return when it is empty; interrupted, the drain goes on\n"
	"  --json     print {\"tier\":...,\"member\":...,\"remaining\":SLOTS}\n";

static const struct option options[] = {
	{ "cancel", no_argument, NULL, 'c' },
	{ "wait", no_argument, NULL, 'w' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool is_named(const struct kvlift_member *m, const char *name)
{
	char place[32];

	snprintf(place, sizeof(place), "%s/%u", kvlift_tier_name(m->tier),
		 m->member);
	return !strcmp(m->name, name) || !strcmp(place, name);
}

/* NULL, with a message, when it is not exactly one. */
static const struct kvlift_member *find(const struct pool_view *v,
					const char *name)
{
	const struct kvlift_member *found = NULL;
	unsigned int i;

	for (i = 0; i < v->nr_members; i++) {
		if (!is_named(&v->members[i], name))
			continue;
		if (found) {
			error("%s is in several tiers; name it as TIER/NUMBER",
			      name);
			return NULL;
		}
		found = &v->members[i];
	}
	if (!found)
		error("the pool has no member %s; 'kvlift status' shows them",
		      name);
	return found;
}

static int64_t wait_empty(const struct kvlift_pool *pool,
			  const struct kvlift_member *m, int64_t left)
{
	const struct timespec tick = { .tv_nsec = 100000000 };
	uint64_t total = left > 0 ? (uint64_t)left : 0;
	struct progress bar;

	progress_start(&bar, "draining", total);
	while (left > 0) {
		nanosleep(&tick, NULL);
		left = kvlift_drain(pool, m->tier, m->member, 0);
		if (left >= 0 && (uint64_t)left <= total)
			progress_update(&bar, total - (uint64_t)left);
	}
	progress_end(&bar);
	return left;
}

static void fail(const char *name, int64_t err)
{
	if (err == -ENOSPC)
		error("%s: what the pool stores would not fit without it, or it is the pool's only memory; the kernel log says which",
		      name);
	else if (err == -EPERM)
		error("%s: needs CAP_SYS_ADMIN", name);
	else
		error("%s: %s", name, kvlift_strerror((int)err));
}

static void print(const struct kvlift_member *m, int64_t left, bool cancel,
		  bool as_json)
{
	struct json j;

	if (!as_json) {
		if (cancel)
			printf("%s is in use again\n", m->name);
		else if (left)
			printf("%s: %lld slots to go\n", m->name,
			       (long long)left);
		else
			printf("%s is empty\n", m->name);
		return;
	}
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "tier", kvlift_tier_name(m->tier));
	json_u64(&j, "member", m->member);
	json_str(&j, "name", m->name);
	json_bool(&j, "draining", !cancel);
	json_i64(&j, "remaining", left);
	json_close(&j, '}');
	json_end(&j);
}

int run_drain(int argc, char **argv)
{
	bool cancel = false, wait = false, as_json = false;
	const struct kvlift_member *m;
	struct kvlift_pool *pool;
	struct pool_view *v;
	int64_t left;
	int c, ret;

	while ((c = getopt_long(argc, argv, "cwjh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			cancel = true;
			break;
		case 'w':
			wait = true;
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
	if (argc - optind != 2)
		return usage_error("give a pool and a member");
	if (cancel && wait)
		return usage_error("--cancel has nothing to wait for");
	ret = kvlift_pool_open(argv[optind], &pool);
	if (ret) {
		error("%s: %s", argv[optind], kvlift_strerror(ret));
		return EXIT_FAIL;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	ret = pool_view_members(pool, v);
	if (ret)
		error("%s: %s", argv[optind], kvlift_strerror(ret));
	m = ret ? NULL : find(v, argv[optind + 1]);
	left = -1;
	if (m) {
		left = kvlift_drain(pool, m->tier, m->member,
				    cancel ? KVLIFT_DRAIN_CANCEL
					   : KVLIFT_DRAIN_START);
		if (wait)
			left = wait_empty(pool, m, left);
		if (left < 0)
			fail(m->name, left);
		else
			print(m, left, cancel, as_json);
	}
	free(v);
	kvlift_pool_close(pool);
	return left < 0 ? EXIT_FAIL : EXIT_OK;
}
