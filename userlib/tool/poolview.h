/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What can be seen of mounted pools: mountinfo, ioctls, sysfs. */
#ifndef TOOL_POOLVIEW_H
#define TOOL_POOLVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "kvlift.h"

#define MAX_COUNTERS 96

struct counter {
	char name[32];
	uint64_t value;
};

struct counters {
	unsigned int count;
	struct counter c[MAX_COUNTERS];
};

struct pool_view {
	char dir[4096];
	struct kvlift_info info;
	char policy[128]; /* empty: not told */
	struct counters counters;
	unsigned int nr_members;
	struct kvlift_member members[KVLIFT_NR_TIERS * KVLIFT_MAX_MEMBERS];
};

/* How fast a member of memory is; 0: not known. */
struct member_speed {
	uint64_t bandwidth, latency; /* MiB/s, ns */
	uint64_t distance;
};

/* Mount points of type kvlift, one per pool; free() each and the array. */
int pool_mounts(char ***dirs, unsigned int *count);
/* Everything about the pool at dir. 0 or -errno. */
int pool_view(const char *dir, struct pool_view *view);
/* Only the members, into view. */
int pool_view_members(const struct kvlift_pool *pool, struct pool_view *view);
/* From sysfs. */
void member_speed(uint32_t pool, const struct kvlift_member *m,
		  struct member_speed *speed);
/* The counters of a pool by its number. 0 or -errno. */
int pool_counters(unsigned int pool, struct counters *counters);
/* "name value" lines. */
void counters_parse(const char *text, struct counters *counters);
uint64_t counter_get(const struct counters *counters, const char *name);
/* \040 and the like of mountinfo, in place. */
void unescape_mount(char *s);
/* One file of sysfs, the newline cut off. 0 or -errno. */
int read_text(const char *path, char *buf, unsigned int len);

struct tier_sum {
	bool exists;
	uint64_t asked, target, got, free, used, shadows, lost;
};

void tier_sums(const struct pool_view *view,
	       struct tier_sum sums[KVLIFT_NR_TIERS]);

#endif
