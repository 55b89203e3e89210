// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift status: what pools there are and how they are doing. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poolview.h"
#include "sb.h"
#include "util.h"

static const struct {
	uint64_t bit;
	const char *name;
} features[] = {
	{ KVLIFT_F_NVME, "nvme" },     { KVLIFT_F_PMD, "pmd" },
	{ KVLIFT_F_TABLE, "table" },   { KVLIFT_F_SHADOW, "shadow" },
	{ KVLIFT_F_SEAL, "seal" },     { KVLIFT_F_BTF, "btf" },
	{ KVLIFT_F_DOMAIN, "domain" }, { KVLIFT_F_HINT, "hint" },
	{ KVLIFT_F_HEAT, "heat" },     { KVLIFT_F_RING, "ring" },
	{ KVLIFT_F_SCAN, "scan" },     { KVLIFT_F_CACHE, "cache" },
};

#define NR_FEATURES (sizeof(features) / sizeof(features[0]))

static void json_slots(struct json *j, const struct tier_sum *s, uint32_t block)
{
	json_u64(j, "asked", s->asked);
	json_u64(j, "target", s->target);
	json_u64(j, "got", s->got);
	json_u64(j, "free", s->free);
	json_u64(j, "used", s->used);
	json_u64(j, "shadows", s->shadows);
	json_u64(j, "lost", s->lost);
	json_u64(j, "bytes", s->got * block);
}

static void json_members(struct json *j, const struct pool_view *v,
			 unsigned int tier)
{
	unsigned int i;

	json_open(j, "members", '[');
	for (i = 0; i < v->nr_members; i++) {
		const struct kvlift_member *m = &v->members[i];
		struct tier_sum s = {
			.asked = m->asked,
			.target = m->target,
			.got = m->got,
			.free = m->free,
			.used = m->used,
			.shadows = m->shadows,
			.lost = m->lost,
		};
		struct member_speed speed;

		if (m->tier != tier)
			continue;
		json_open(j, NULL, '{');
		json_u64(j, "member", m->member);
		json_str(j, "name", m->name);
		json_i64(j, "node", m->node);
		json_slots(j, &s, v->info.block_size);
		json_bool(j, "draining", m->flags & KVLIFT_MEMBER_DRAINING);
		member_speed(v->info.pool, m, &speed);
		json_u64(j, "distance", speed.distance);
		json_u64(j, "bandwidth_mib_s", speed.bandwidth);
		json_u64(j, "latency_ns", speed.latency);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void show_json(struct json *j, const struct pool_view *v)
{
	struct tier_sum sums[KVLIFT_NR_TIERS];
	char uuid[UUID_TEXT];
	unsigned int i;

	tier_sums(v, sums);
	json_open(j, NULL, '{');
	json_u64(j, "pool", v->info.pool);
	json_str(j, "dir", v->dir);
	json_str(j, "uuid", uuid_text(v->info.uuid, uuid));
	json_u64(j, "block", v->info.block_size);
	json_u64(j, "capacity", v->info.capacity);
	json_u64(j, "used", v->info.used);
	json_u64(j, "inline_max", v->info.inline_max);
	json_str(j, "policy", *v->policy ? v->policy : NULL);
	json_open(j, "features", '[');
	for (i = 0; i < NR_FEATURES; i++)
		if (v->info.features & features[i].bit)
			json_str(j, NULL, features[i].name);
	json_close(j, ']');
	json_open(j, "tiers", '{');
	for (i = 0; i < KVLIFT_NR_TIERS; i++) {
		if (!sums[i].exists)
			continue;
		json_open(j, kvlift_tier_name(i), '{');
		json_slots(j, &sums[i], v->info.block_size);
		json_members(j, v, i);
		json_close(j, '}');
	}
	json_close(j, '}');
	json_open(j, "counters", '{');
	for (i = 0; i < v->counters.count; i++)
		json_u64(j, v->counters.c[i].name, v->counters.c[i].value);
	json_close(j, '}');
	json_close(j, '}');
}

static void show_member(const struct kvlift_member *m, uint32_t pool,
			uint32_t block)
{
	struct member_speed speed;
	char got[SIZE_TEXT], asked[SIZE_TEXT], bar[3 * 20 + 1];
	double share = m->got ? (double)(m->used) / (double)m->got : 0;

	printf("  %-5s %-18s ", kvlift_tier_name(m->tier), m->name);
	if (isatty(STDOUT_FILENO))
		printf("%s ", bar_text(share, 20, bar));
	printf("%5.1f%% of %s", share * 100, size_text(m->got * block, got));
	if (m->got != m->asked)
		printf(" (asked %s)", size_text(m->asked * block, asked));
	if (m->flags & KVLIFT_MEMBER_DRAINING)
		printf(" (draining)");
	else if (m->target != m->asked)
		printf(" (%s given to the kernel)",
		       size_text((m->asked - m->target) * block, asked));
	printf("; slots: %llu used, %llu free", (unsigned long long)m->used,
	       (unsigned long long)m->free);
	if (m->shadows)
		printf(", %llu shadows", (unsigned long long)m->shadows);
	if (m->lost)
		printf(", %llu lost", (unsigned long long)m->lost);
	member_speed(pool, m, &speed);
	if (speed.bandwidth)
		printf("; %llu MiB/s, %llu ns",
		       (unsigned long long)speed.bandwidth,
		       (unsigned long long)speed.latency);
	putchar('\n');
}

static void show(const struct pool_view *v)
{
	char block[SIZE_TEXT], cap[SIZE_TEXT], used[SIZE_TEXT];
	const struct kvlift_info *in = &v->info;
	char uuid[UUID_TEXT];
	unsigned int i, col = 0;

	printf("pool %u on %s\n", in->pool, v->dir);
	printf("  block %s, %s of %s stored, policy %s, uuid %s\n",
	       size_text(in->block_size, block),
	       size_text(in->used * in->block_size, used),
	       size_text(in->capacity * in->block_size, cap),
	       *v->policy ? v->policy : "unknown", uuid_text(in->uuid, uuid));
	fputs("  paths:", stdout);
	for (i = 0; i < NR_FEATURES; i++)
		printf(" %s%s", in->features & features[i].bit ? "" : "no-",
		       features[i].name);
	putchar('\n');
	for (i = 0; i < v->nr_members; i++)
		show_member(&v->members[i], in->pool, in->block_size);
	for (i = 0; i < v->counters.count; i++) {
		const struct counter *c = &v->counters.c[i];

		if (!c->value)
			continue;
		printf("%s%-16s %12llu", col ? "    " : "  ", c->name,
		       (unsigned long long)c->value);
		col = (col + 1) % 2;
		if (!col)
			putchar('\n');
	}
	if (col)
		putchar('\n');
}

/* A number names a pool, anything else is a directory of it. */
static bool wanted(const char *arg, const struct pool_view *v)
{
	uint64_t number;

	return !parse_u64(arg, UINT32_MAX, &number) && number == v->info.pool;
}

static const char help[] =
	"usage: kvlift status [DIR|NUMBER] [--json]\n"
	"\n"
	"Show every mounted pool, or the one that DIR is on or that has this number:\n"
	"tiers and their members, what was asked for and what was got, what is used,\n"
	"free, a shadow or lost, the policy, and the counters that are not zero.\n";

int run_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned int i, n = 0, shown = 0;
	bool as_json = false, by_number;
	struct pool_view *v;
	const char *arg;
	char **dirs = NULL;
	int c, ret = EXIT_OK, err;
	uint64_t number;
	struct json j;

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (c != 'j')
			return usage_error("bad option");
		as_json = true;
	}
	if (argc - optind > 1)
		return usage_error("more than one pool named");
	arg = argv[optind];
	by_number = arg && !parse_u64(arg, UINT32_MAX, &number);
	if (arg && !by_number) {
		dirs = calloc(1, sizeof(*dirs));
		if (dirs)
			dirs[n++] = strdup(arg);
	} else {
		err = pool_mounts(&dirs, &n);
		if (err) {
			error("cannot read the list of mounts: %s",
			      kvlift_strerror(err));
			return EXIT_FAIL;
		}
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	json_init(&j, stdout);
	if (as_json) {
		json_open(&j, NULL, '{');
		json_open(&j, "pools", '[');
	}
	for (i = 0; i < n; i++) {
		err = pool_view(dirs[i], v);
		if (err == -ENOTDIR && arg)
			error("%s: give the mount point or a directory of the pool",
			      dirs[i]);
		else if (err)
			error("%s: %s", dirs[i], kvlift_strerror(err));
		if (err)
			ret = EXIT_FAIL;
		if (err || (by_number && !wanted(arg, v)))
			continue;
		if (as_json)
			show_json(&j, v);
		else
			show(v);
		shown++;
	}
	if (as_json) {
		json_close(&j, ']');
		json_close(&j, '}');
		json_end(&j);
	} else if (!shown && !ret && !by_number) {
		puts("no kvlift pool is mounted");
	}
	if (by_number && !shown) {
		error("no pool %s is mounted here", arg);
		ret = EXIT_FAIL;
	}
	for (i = 0; i < n; i++)
		free(dirs[i]);
	free(dirs);
	free(v);
	return ret;
}
