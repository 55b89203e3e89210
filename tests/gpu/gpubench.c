// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * usage: gpubench [options]
 * Tables of copies and of what is usable in HBM; every byte is looked at. Exit
 * status 1: a byte was wrong, or a target was missed; 77: there is no GPU.
 *
 *   --device N     which GPU (0)
 *   --bytes N      MiB of each repetition (1024)
 *   --reps N       repetitions after the first, which does not count (5)
 *   --only G,...   groups: peak mover kernel direct usable peers register
 *   --file FILE    the slowest tier of the pool in user space
 *   --pool DIR     a mounted pool instead (the program that is linked for it)
 *   --json FILE    a line for each row
 *   --no-targets   only bytes count
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct group {
	const char *name;
	int (*run)(struct config *c);
} groups[] = {
#ifndef KVT_POOL
	{ "peak", bench_peak },		{ "mover", bench_mover },
	{ "kernel", bench_kernel },	{ "direct", bench_direct },
#endif
	{ "usable", bench_usable },	{ "peers", bench_peers },
	{ "register", bench_register }, { NULL, NULL },
};

static const struct option options[] = {
	{ "device", required_argument, NULL, 'd' },
	{ "bytes", required_argument, NULL, 'b' },
	{ "reps", required_argument, NULL, 'r' },
	{ "only", required_argument, NULL, 'o' },
	{ "file", required_argument, NULL, 'f' },
	{ "pool", required_argument, NULL, 'p' },
	{ "json", required_argument, NULL, 'j' },
	{ "no-targets", no_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};

struct args {
	const char *only, *json;
	bool targets;
};

static bool parse(int argc, char **argv, struct config *c, struct args *a)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'd':
			c->device = atoi(optarg);
			break;
		case 'b':
			c->bytes = strtoull(optarg, NULL, 10) << 20;
			break;
		case 'r':
			c->reps = (unsigned int)atoi(optarg);
			break;
		case 'o':
			a->only = optarg;
			break;
		case 'f':
			c->file = optarg;
			break;
		case 'p':
			c->pool = optarg;
			break;
		case 'j':
			a->json = optarg;
			break;
		case 'n':
			a->targets = false;
			break;
		default:
			return false;
		}
	}
	/* Slots are permuted by an odd factor; half of them are used twice. */
	return optind == argc && c->bytes >= 16u << 20 &&
	       !(c->bytes & (c->bytes - 1)) && c->reps && c->reps <= ROW_REPS;
}

static bool wanted(const char *only, const char *name)
{
	size_t len = strlen(name);
	const char *p = only;

	if (!only)
		return true;
	for (;; p++) {
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
		p = strchr(p, ',');
		if (!p)
			return false;
	}
}

/* A name that is none would measure nothing. */
static bool known(const char *only)
{
	unsigned int i;
	size_t names = 1, found = 0;
	const char *p = only;

	while ((p = strchr(p, ',')) && p++)
		names++;
	for (i = 0; groups[i].name; i++)
		found += wanted(only, groups[i].name);
	return found == names;
}

int main(int argc, char **argv)
{
	struct config c = { .bytes = 1u << 30, .reps = 5 };
	struct args a = { .targets = true };
	bool failed = false;
	unsigned int i;
	int ret;

	if (!parse(argc, argv, &c, &a) || (a.only && !known(a.only))) {
		fprintf(stderr,
			"usage: gpubench [--device N] [--bytes MIB, a power of two] [--reps 1..%u] [--only GROUP,...] [--file FILE] [--pool DIR] [--json FILE] [--no-targets]\n",
			ROW_REPS);
		return 2;
	}
	if (!dev_open(c.device))
		return 77;
	if (dev_free_bytes() < 3 * c.bytes) {
		fprintf(stderr, "the GPU has not 3 times %llu bytes free\n",
			(unsigned long long)c.bytes);
		return 77;
	}
	printf("%s\n", dev_name());
	ret = table_open(a.json, dev_name(), dev_is_real());
	if (ret) {
		fprintf(stderr, "%s: %s\n", a.json, strerror(-ret));
		return 2;
	}
	for (i = 0; groups[i].name; i++) {
		if (!wanted(a.only, groups[i].name))
			continue;
		ret = groups[i].run(&c);
		if (!ret)
			continue;
		printf("%s: %s\n", groups[i].name, kvlift_strerror(ret));
		failed = true;
	}
	return table_end(a.targets) || failed;
}
