// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy_verb.h"
#include "poolview.h"
#include "util.h"

int read_text(const char *path, char *buf, unsigned int len)
{
	unsigned int have = 0;
	ssize_t n = 0;
	int fd, ret = 0;

	buf[0] = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (have + 1 < len) {
		n = read(fd, buf + have, len - 1 - have);
		if (n <= 0)
			break;
		have += (unsigned int)n;
	}
	if (n < 0)
		ret = -errno;
	close(fd);
	while (have && buf[have - 1] == '\n')
		have--;
	buf[have] = 0;
	return ret;
}

void unescape_mount(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 +
				       (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* Fields: id parent major:minor root mount-point options [tags] - type ... */
static bool parse_mount(char *line, char **dev, char **root, char **dir)
{
	char *sep = strstr(line, " - "), *save, *field;
	int i;

	if (!sep || strncmp(sep + 3, "kvlift ", 7) != 0)
		return false;
	*sep = 0;
	field = strtok_r(line, " ", &save);
	for (i = 0; field; i++, field = strtok_r(NULL, " ", &save)) {
		if (i == 2)
			*dev = field;
		else if (i == 3)
			*root = field;
		else if (i == 4) {
			*dir = field;
			unescape_mount(field);
			return true;
		}
	}
	return false;
}

int pool_mounts(char ***dirs, unsigned int *count)
{
	char *line = NULL, *dev = NULL, *root = NULL, *dir = NULL;
	char **list = NULL, **devs = NULL;
	unsigned int n = 0, i;
	size_t cap = 0;
	FILE *f;

	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0) {
		if (!parse_mount(line, &dev, &root, &dir))
			continue;
		for (i = 0; i < n; i++)
			if (!strcmp(devs[i], dev))
				break;
		if (i < n)
			continue; /* a bind mount of the same pool */
		list = realloc(list, (n + 1) * sizeof(*list));
		devs = realloc(devs, (n + 1) * sizeof(*devs));
		if (!list || !devs)
			abort();
		list[n] = strdup(dir);
		devs[n] = strdup(dev);
		n++;
	}
	free(line);
	fclose(f);
	for (i = 0; i < n; i++)
		free(devs[i]);
	free(devs);
	*dirs = list;
	*count = n;
	return 0;
}

void counters_parse(const char *text, struct counters *counters)
{
	unsigned long long value;
	struct counter *c;
	char name[32];
	int used;

	counters->count = 0;
	while (counters->count < MAX_COUNTERS &&
	       sscanf(text, "%31s %llu%n", name, &value, &used) == 2) {
		c = &counters->c[counters->count++];
		memcpy(c->name, name, sizeof(name));
		c->value = value;
		text += used;
	}
}

int pool_counters(unsigned int pool, struct counters *counters)
{
	char path[64], text[8192];
	int ret;

	counters->count = 0;
	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/counters", pool);
	ret = read_text(path, text, sizeof(text));
	if (ret)
		return ret;
	counters_parse(text, counters);
	return 0;
}

uint64_t counter_get(const struct counters *counters, const char *name)
{
	unsigned int i;

	for (i = 0; i < counters->count; i++)
		if (!strcmp(counters->c[i].name, name))
			return counters->c[i].value;
	return 0;
}

int pool_view_members(const struct kvlift_pool *pool, struct pool_view *view)
{
	unsigned int tier, m;
	int ret;

	ret = kvlift_pool_info(pool, &view->info);
	if (ret)
		return ret;
	view->nr_members = 0;
	for (tier = 0; tier < KVLIFT_NR_TIERS; tier++) {
		for (m = 0;
		     m < view->info.nr_members[tier] && m < KVLIFT_MAX_MEMBERS;
		     m++) {
			ret = kvlift_pool_member(
				pool, tier, m,
				&view->members[view->nr_members]);
			if (ret)
				return ret;
			view->nr_members++;
		}
	}
	return 0;
}

static uint64_t member_number(uint32_t pool, const struct kvlift_member *m,
			      const char *name)
{
	char path[96], text[32];
	uint64_t value;

	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/%s/%u/%s", pool,
		 kvlift_tier_name(m->tier), m->member, name);
	if (read_text(path, text, sizeof(text)) ||
	    parse_u64(text, UINT64_MAX, &value))
		return 0;
	return value;
}

void member_speed(uint32_t pool, const struct kvlift_member *m,
		  struct member_speed *speed)
{
	speed->bandwidth = member_number(pool, m, "bandwidth");
	speed->latency = member_number(pool, m, "latency");
	speed->distance = member_number(pool, m, "distance");
}

int pool_view(const char *dir, struct pool_view *view)
{
	struct policy_report report;
	struct kvlift_pool *pool;
	char path[64], text[4097];
	int ret;

	memset(view, 0, sizeof(*view));
	snprintf(view->dir, sizeof(view->dir), "%s", dir);
	ret = kvlift_pool_open(dir, &pool);
	if (ret)
		return ret;
	ret = pool_view_members(pool, view);
	kvlift_pool_close(pool);
	if (ret)
		return ret;
	/* Both are extras: a container may have no sysfs. */
	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/policy",
		 view->info.pool);
	if (!read_text(path, text, sizeof(text)) &&
	    policy_report_parse(text, &report))
		snprintf(view->policy, sizeof(view->policy), "%s",
			 policy_report_get(&report, "name"));
	pool_counters(view->info.pool, &view->counters);
	return 0;
}

void tier_sums(const struct pool_view *view,
	       struct tier_sum sums[KVLIFT_NR_TIERS])
{
	const struct kvlift_member *m;
	struct tier_sum *s;
	unsigned int i;

	memset(sums, 0, KVLIFT_NR_TIERS * sizeof(*sums));
	for (i = 0; i < view->nr_members; i++) {
		m = &view->members[i];
		s = &sums[m->tier];
		s->exists = true;
		s->asked += m->asked;
		s->target += m->target;
		s->got += m->got;
		s->free += m->free;
		s->used += m->used;
		s->shadows += m->shadows;
		s->lost += m->lost;
	}
}
