// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift policy list, show. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvlift.h"
#include "policy_verb.h"
#include "poolview.h"

#define IDS 64

static const char *or_dash(const char *s)
{
	return s && *s ? s : "-";
}

/* Where a pool is mounted, or "". */
static void mount_of(uint32_t number, char *dir, size_t len)
{
	unsigned int n = 0, i;
	struct kvlift_info info;
	struct kvlift_pool *pool;
	char **dirs = NULL;

	*dir = 0;
	if (pool_mounts(&dirs, &n))
		return;
	for (i = 0; i < n; i++) {
		if (!*dir && !kvlift_pool_open(dirs[i], &pool)) {
			if (!kvlift_pool_info(pool, &info) &&
			    info.pool == number)
				snprintf(dir, len, "%s", dirs[i]);
			kvlift_pool_close(pool);
		}
		free(dirs[i]);
	}
	free(dirs);
}

/* A number, a truth or text, as it looks. */
static void json_field(struct json *j, const char *key, const char *value)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(value, &end, 10);
	if (*value && !*end && !errno && *value != '+' && *value != ' ')
		json_i64(j, key, v);
	else
		json_str(j, key, value);
}

static const char *pinned_at(const struct policy_place *place,
			     struct policy_pins *pins)
{
	policy_pins_name(place, pins);
	return access(pins->link, F_OK) ? NULL : pins->link;
}

static void json_ids(struct json *j, const char *key, const uint32_t *ids,
		     unsigned int n)
{
	unsigned int i;

	json_open(j, key, '[');
	for (i = 0; i < n && i < IDS; i++)
		json_u64(j, NULL, ids[i]);
	json_close(j, ']');
}

static void json_report(struct json *j, const struct policy_place *place,
			const struct policy_report *r, bool all)
{
	static const char *const brief[] = { "name", "state", "builtin",
					     "link_id" };
	struct policy_pins pins;
	uint32_t ids[IDS];
	const char *value;
	char dir[4096];
	unsigned int i;

	mount_of(place->pool, dir, sizeof(dir));
	json_open(j, NULL, '{');
	json_u64(j, "pool", place->pool);
	json_str(j, "dir", *dir ? dir : NULL);
	json_u64(j, "domain", place->domain);
	json_str(j, "pin", pinned_at(place, &pins));
	for (i = 0; !all && i < sizeof(brief) / sizeof(*brief); i++) {
		value = policy_report_get(r, brief[i]);
		if (value)
			json_field(j, brief[i], value);
	}
	for (i = 0; all && i < r->nr; i++)
		if (strcmp(r->field[i].key, "domain") != 0)
			json_field(j, r->field[i].key, r->field[i].value);
	if (all) {
		json_ids(j, "programs", ids,
			 policy_pins_progs(&pins, ids, IDS));
		json_ids(j, "maps", ids, policy_pins_maps(&pins, ids, IDS));
	}
	json_close(j, '}');
}

static void print_line(const struct policy_place *place,
		       const struct policy_report *r)
{
	const char *state = policy_report_get(r, "state");
	const char *link = policy_report_get(r, "link_id");
	struct policy_pins pins;
	char where[64], dir[4096];

	mount_of(place->pool, dir, sizeof(dir));
	snprintf(where, sizeof(where), place->domain ? "%u:%llu" : "%u",
		 place->pool, (unsigned long long)place->domain);
	printf("%-8s %-16s %-8s %-6s %-28s %s\n", where,
	       or_dash(policy_report_get(r, "name")),
	       state && !strcmp(state, "none") ? "builtin" : or_dash(state),
	       link && strcmp(link, "0") != 0 ? link : "-",
	       or_dash(pinned_at(place, &pins)), or_dash(dir));
}

/* One after the other: the numbers below /sys/fs/kvlift. */
static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static unsigned int all_pools(uint32_t **list)
{
	DIR *dir = opendir("/sys/fs/kvlift");
	unsigned int n = 0;
	struct dirent *e;
	uint64_t value;

	*list = NULL;
	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		if (parse_u64(e->d_name, UINT32_MAX, &value))
			continue;
		*list = realloc(*list, (n + 1) * sizeof(**list));
		if (!*list)
			abort();
		(*list)[n++] = (uint32_t)value;
	}
	closedir(dir);
	if (n)
		qsort(*list, n, sizeof(**list), cmp_u32);
	return n;
}

static void list_place(const struct policy_place *place, struct json *j)
{
	struct policy_report r;

	if (policy_report_read(place, &r))
		return;
	if (j)
		json_report(j, place, &r, false);
	else
		print_line(place, &r);
}

static void list_pool(uint32_t number, struct json *j)
{
	struct policy_place place = { .pool = number };
	char path[64];
	struct dirent *e;
	DIR *dir;

	list_place(&place, j);
	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u", number);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (!strncmp(e->d_name, "policy-", 7) &&
		    !parse_u64(e->d_name + 7, UINT64_MAX, &place.domain))
			list_place(&place, j);
	if (dir)
		closedir(dir);
}

int policy_list(bool as_json)
{
	uint32_t *pools;
	unsigned int n = all_pools(&pools), i;
	struct json j;

	if (as_json) {
		json_init(&j, stdout);
		json_open(&j, NULL, '[');
	} else if (n) {
		printf("%-8s %-16s %-8s %-6s %-28s %s\n", "pool", "policy",
		       "state", "link", "pinned at", "mounted on");
	}
	for (i = 0; i < n; i++)
		list_pool(pools[i], as_json ? &j : NULL);
	free(pools);
	if (as_json) {
		json_close(&j, ']');
		json_end(&j);
	} else if (!n) {
		puts("no pool is mounted");
	}
	return EXIT_OK;
}

static void print_ids(const char *what, const uint32_t *ids, unsigned int n)
{
	unsigned int i;

	if (!n)
		return;
	printf("  %s", what);
	for (i = 0; i < n && i < IDS; i++)
		printf(" %u", ids[i]);
	putchar('\n');
}

static void print_head(const struct policy_place *place,
		       const struct policy_report *r)
{
	const char *state = or_dash(policy_report_get(r, "state"));
	const char *name = or_dash(policy_report_get(r, "name"));
	const char *link = or_dash(policy_report_get(r, "link_id"));
	bool active = !strcmp(state, "active");
	uint64_t ms = policy_report_u64(r, "since_ms");
	struct policy_pins pins;
	uint32_t ids[IDS];
	const char *pin;

	pin = pinned_at(place, &pins);
	if (active)
		printf("%s: policy %s, BPF, link %s, %s%s", place->text, name,
		       link, pin ? "pinned at " : "held by a program",
		       pin ? pin : "");
	else
		printf("%s: policy %s, built in", place->text, name);
	if (ms)
		printf(", for %llu.%03llu s", (unsigned long long)(ms / 1000),
		       (unsigned long long)(ms % 1000));
	putchar('\n');
	if (!strcmp(state, "ejected"))
		printf("  the last one, %s, was ejected (%s, %s): %s\n",
		       or_dash(policy_report_get(r, "last")),
		       or_dash(policy_report_get(r, "kind")),
		       or_dash(policy_report_get(r, "code")),
		       or_dash(policy_report_get(r, "reason")));
	print_ids("programs", ids, policy_pins_progs(&pins, ids, IDS));
	print_ids("maps", ids, policy_pins_maps(&pins, ids, IDS));
}

/* Those that the head has told. */
static bool is_head(const char *key)
{
	static const char *const keys[] = { "name", "state", "link_id",
					    "domain", "since_ms" };
	unsigned int i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

int policy_show(const struct policy_place *place, bool as_json)
{
	struct policy_report r;
	struct json j;
	unsigned int i;
	int ret;

	ret = policy_report_read(place, &r);
	if (ret == -ENOENT && place->domain) {
		error("%s: has no policy of its own; the pool's is in charge",
		      place->text);
		return EXIT_FAIL;
	}
	if (ret) {
		error("%s: %s", place->text,
		      ret == -ENOENT
			      ? "no such pool; 'kvlift policy list' lists them"
			      : strerror(-ret));
		return EXIT_FAIL;
	}
	if (as_json) {
		json_init(&j, stdout);
		json_report(&j, place, &r, true);
		json_end(&j);
		return EXIT_OK;
	}
	print_head(place, &r);
	for (i = 0; i < r.nr; i++)
		if (!is_head(r.field[i].key))
			printf("  %-20s %s\n", r.field[i].key,
			       r.field[i].value);
	return EXIT_OK;
}
