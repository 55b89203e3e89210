// SPDX-License-Identifier: GPL-2.0-only
#include "options.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kvlift.h>
#include <linux/limits.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <linux/kvlift.h>
#define U64_MAX (~0ULL)
#define S64_MAX (U64_MAX >> 1)
#endif

static const char *parse_number(const char *s, u64 *value)
{
	u64 v = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		unsigned int digit = *s - '0';

		if (v > (U64_MAX - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*value = v;
	return s;
}

/* Parses a size at the start of @s and returns what follows it. */
static const char *parse_size(const char *s, u64 *bytes)
{
	unsigned int shift = 0;
	u64 v;

	s = parse_number(s, &v);
	if (!s)
		return NULL;
	switch (*s) {
	case 'T':
	case 't':
		shift = 40;
		break;
	case 'G':
	case 'g':
		shift = 30;
		break;
	case 'M':
	case 'm':
		shift = 20;
		break;
	case 'K':
	case 'k':
		shift = 10;
		break;
	}
	if (shift)
		s++;
	if (!v || v > (u64)S64_MAX >> shift)
		return NULL;
	*bytes = v << shift;
	return s;
}

int kvl_parse_size(const char *s, u64 *bytes)
{
	u64 v;

	s = parse_size(s, &v);
	if (!s || *s)
		return -EINVAL;
	*bytes = v;
	return 0;
}

int kvl_parse_block(const char *s, u32 *bytes)
{
	u64 v;

	if (kvl_parse_size(s, &v) || v < KVLIFT_BLOCK_MIN ||
	    v > KVLIFT_BLOCK_MAX || (v & (v - 1)))
		return -EINVAL;
	*bytes = v;
	return 0;
}

int kvl_parse_memory(const char *s, struct kvl_member_opt *opt)
{
	u64 node, distance;

	memset(opt, 0, sizeof(*opt));
	opt->node = -1;
	s = parse_size(s, &opt->bytes);
	if (!s)
		return -EINVAL;
	if (!*s)
		return 0;
	if (*s != '@')
		return -EINVAL;
	s = parse_number(s + 1, &node);
	if (!s || node > INT_MAX)
		return -EINVAL;
	opt->node = node;
	if (!*s)
		return 0;
	if (*s != ':')
		return -EINVAL;
	s = parse_number(s + 1, &distance);
	if (!s || *s || distance > KVL_DISTANCE_MAX)
		return -EINVAL;
	opt->distance = distance;
	opt->has_distance = true;
	return 0;
}

int kvl_parse_device(const char *s, struct kvl_member_opt *opt)
{
	const char *colon = strrchr(s, ':');
	size_t len = strlen(s);

	memset(opt, 0, sizeof(*opt));
	opt->node = -1;
	if (colon && !kvl_parse_size(colon + 1, &opt->bytes))
		len = colon - s;
	if (!len)
		return -EINVAL;
	if (len >= sizeof(opt->path))
		return -ENAMETOOLONG;
	memcpy(opt->path, s, len);
	opt->path[len] = '\0';
	return 0;
}
