// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What plans are made from: speeds that the pool has measured, locations. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Words per call of kvlift_where(): 8 KiB of stack. */
#define WORDS 1024u

/* A number in a file of a member in sysfs. 0 or -errno. */
static int read_number(const char *path, uint64_t *value)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
	char text[32];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	ret = n < 0 ? -errno : 0;
	close(fd);
	if (ret)
		return ret;
	text[n] = 0;
	*value = strtoull(text, NULL, 10);
	return 0;
}

static int member_number(unsigned int pool, unsigned int tier,
			 unsigned int member, const char *name, uint64_t *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/%s/%u/%s", pool,
		 kvlift_tier_name(tier), member, name);
	return read_number(path, value);
}

/* Time for so many bytes at MiB/s, rounded up. */
static uint64_t time_for(uint64_t bytes, uint64_t speed)
{
	uint64_t second = speed << 20;

	if (!bytes || !speed)
		return KVLIFT_PLAN_NEVER;
	return (bytes * 1000000000 + second - 1) / second;
}

static int member_speed(unsigned int pool, unsigned int tier,
			unsigned int member, uint64_t block, uint64_t act,
			struct kvlift_plan_server *s)
{
	uint64_t speed = 0, latency = 0;
	int ret;

	ret = member_number(pool, tier, member, "bandwidth", &speed);
	ret = ret ? ret
		  : member_number(pool, tier, member, "latency", &latency);
	if (ret || !speed)
		return ret;
	s->latency_ns = latency;
	s->block_ns = time_for(block, speed);
	s->act_ns = time_for(act, speed);
	return 1;
}

int kvlift_plan_servers(const struct kvlift_pool *pool, uint64_t act_bytes,
			struct kvlift_plan_server *servers)
{
	int ret, saved = errno, known = 0;
	struct kvlift_info info;
	unsigned int t, m;

	if (act_bytes > 1ULL << 30)
		return -EINVAL;
	for (m = 0; m < KVLIFT_PLAN_SERVERS; m++) {
		servers[m].latency_ns = KVLIFT_PLAN_NEVER;
		servers[m].block_ns = KVLIFT_PLAN_NEVER;
		servers[m].act_ns = KVLIFT_PLAN_NEVER;
	}
	ret = kvlift_pool_info(pool, &info);
	for (t = 0; !ret && t < KVLIFT_NR_TIERS; t++) {
		for (m = 0; !ret && m < info.nr_members[t]; m++) {
			ret = member_speed(
				info.pool, t, m, info.block_size, act_bytes,
				&servers[kvlift_plan_server_of(t, m)]);
			if (ret == 1) {
				known++;
				ret = 0;
			}
		}
	}
	errno = saved;
	return ret ? ret : known;
}

static void decode(uint64_t word, unsigned int usable,
		   struct kvlift_plan_block *b)
{
	struct kvlift_loc loc = kvlift_loc_decode(word);

	memset(b, 0, sizeof(*b));
	if (word & KVLIFT_LOC_INLINE) {
		b->have = KVLIFT_PLAN_READY;
	} else if (loc.present && !loc.error) {
		b->server = kvlift_plan_server_of(loc.tier, loc.member);
		b->have = loc.tier <= usable ? KVLIFT_PLAN_READY
					     : KVLIFT_PLAN_KV;
	}
}

int64_t kvlift_plan_where(const struct kvlift_region *region, uint64_t first,
			  uint64_t count, unsigned int usable,
			  struct kvlift_plan_block *blocks)
{
	uint64_t words[WORDS], done = 0, want;
	int64_t n = 0, i;

	for (; done < count; done += (uint64_t)n) {
		want = count - done < WORDS ? count - done : WORDS;
		n = kvlift_where(region, first + done, want, words);
		if (n <= 0)
			break;
		for (i = 0; i < n; i++)
			decode(words[i], usable, &blocks[done + (uint64_t)i]);
	}
	return n < 0 ? n : (int64_t)done;
}
