// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What kvlift simulate is asked to run: sizes, tiers and policies as text. */
#include <stdlib.h>
#include <string.h>

#include "sim_policy.h"
#include "simulate.h"
#include "util.h"

/* The next item of a list with commas; false at the end. */
static bool next_item(const char **list, const char **item, size_t *len)
{
	if (!*list)
		return false;
	*item = *list;
	*len = strcspn(*list, ",");
	*list = (*list)[*len] ? *list + *len + 1 : NULL;
	return true;
}

/* "12.5%" as a share; false when it is not one. */
static bool percent(const char *s, double *share)
{
	char *end;

	/* No sign, no hexadecimal, no infinity. */
	if (strspn(s, "0123456789.") + 1 != strlen(s))
		return false;
	*share = strtod(s, &end) / 100;
	return end != s && !strcmp(end, "%") && *share <= 1;
}

/* size->text into size->blocks; option is named in messages. */
static int parse_size_item(const char *option, struct sim_size *size,
			   uint32_t blocks)
{
	uint64_t n;
	double share;

	if (percent(size->text, &share))
		n = (uint64_t)(share * blocks + 0.5);
	else if (parse_u64(size->text, UINT32_MAX - 1, &n))
		return usage_error(
			"%s %s: neither a share from 0%% to 100%% nor a number of blocks",
			option, size->text);
	if (!n && blocks)
		return usage_error(
			"%s %s: a cache of 0 blocks; the trace has %u distinct ones, so give %.2g%% or more",
			option, size->text, blocks, 100.0 / blocks);
	size->blocks = (uint32_t)n;
	return 0;
}

static int take_size(const char *option, struct sim_size *size,
		     const char *text, size_t len, uint32_t blocks)
{
	if (!len || len >= sizeof(size->text))
		return usage_error("%s %.*s: not a size like 5%%", option,
				   (int)len, text);
	memcpy(size->text, text, len);
	size->text[len] = 0;
	return parse_size_item(option, size, blocks);
}

int sim_parse_sizes(struct sim_report *r, const char *list, uint32_t blocks)
{
	const char *item;
	size_t len;
	int ret;

	r->nr_sizes = 0;
	while (next_item(&list, &item, &len)) {
		if (r->nr_sizes == SIM_MAX_SIZES)
			return usage_error("--cache: more than %u sizes",
					   SIM_MAX_SIZES);
		ret = take_size("--cache", &r->sizes[r->nr_sizes], item, len,
				blocks);
		if (ret)
			return ret;
		r->nr_sizes++;
	}
	return 0;
}

/* In the order of their speed. */
static const char *const tier_names[SIM_MAX_TIERS] = { "dram", "cxl", "nvme" };

enum {
	DRAM,
	CXL,
	NVME
};

/* "cxl=10%": its number and where its size begins; -1: no such tier. */
static int tier_of(const char *item, size_t len, const char **size)
{
	size_t name = 0;
	unsigned int i;

	while (name < len && item[name] != '=')
		name++;
	*size = name < len ? item + name + 1 : NULL;
	for (i = 0; i < SIM_MAX_TIERS; i++)
		if (strlen(tier_names[i]) == name &&
		    !memcmp(tier_names[i], item, name))
			return (int)i;
	return -1;
}

static int take_tier(struct sim_report *r, int tier, const char *text,
		     size_t len, const char *cache, uint32_t blocks)
{
	struct sim_size size = { .blocks = SIM_UNLIMITED };
	int ret = 0;

	if (tier == CXL && !text)
		return usage_error("--tiers: cxl needs a size, like cxl=10%%");
	if (tier == DRAM && text && cache)
		return usage_error(
			"--tiers: dram has a size, and so has --cache");
	if (text)
		ret = take_size("--tiers", &size, text, len, blocks);
	if (ret)
		return ret;
	if (tier != DRAM) {
		r->tiers.tier[r->tiers.nr++] =
			(struct sim_tier){ tier_names[tier], tier == NVME,
					   size.blocks };
	} else if (text) {
		r->sizes[0] = size;
		r->nr_sizes = 1;
	}
	return 0;
}

int sim_parse_tiers(struct sim_report *r, const char *list, const char *cache,
		    uint32_t blocks)
{
	const char *item, *size;
	int tier, before = -1, ret;
	size_t len;

	r->tiers.tier[0].name = tier_names[DRAM];
	r->tiers.nr = 1;
	while (next_item(&list, &item, &len)) {
		tier = tier_of(item, len, &size);
		if (tier <= before)
			return usage_error(
				"--tiers %.*s: dram, cxl and nvme are the tiers, in that order",
				(int)len, item);
		before = tier;
		if (size)
			len -= (size_t)(size - item);
		ret = take_tier(r, tier, size, len, cache, blocks);
		if (ret)
			return ret;
	}
	if (r->tiers.nr < 2)
		return usage_error("--tiers: none below dram");
	return 0;
}

static int no_policy(const char *name, size_t len)
{
	char names[256] = "";
	const struct sim_policy *const *p;
	size_t at = 0;

	for (p = sim_policies; *p && at < sizeof(names); p++)
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s",
				       at ? ", " : "", (*p)->name);
	return usage_error(
		"--policy %.*s: no such policy; there are %s, and those in shared objects by a name with a /",
		(int)len, name, names);
}

/* By name, or from a file. NULL after a message. */
static const struct sim_policy *find_policy(const char *item, size_t len)
{
	const struct sim_policy *p;
	char *path;

	if (!memchr(item, '/', len)) {
		p = sim_find(item, len);
		if (!p)
			no_policy(item, len);
		return p;
	}
	path = strndup(item, len);
	if (!path)
		abort();
	p = sim_load(path);
	free(path);
	return p;
}

static bool can(const struct sim_policy *p, bool atomic)
{
	return !atomic || (p->modes & SIM_ATOMIC);
}

static void add_policy(struct sim_report *r, const struct sim_policy *p,
		       bool atomic)
{
	r->policies[r->nr_policies] = p;
	r->modes[r->nr_policies++] = atomic ? SIM_ATOMIC : p->mode;
}

int sim_parse_policies(struct sim_report *r, const char *list, bool atomic)
{
	const struct sim_policy *p;
	const char *item;
	unsigned int i;
	size_t len;

	r->nr_policies = 0;
	for (i = 0; !list && sim_policies[i]; i++)
		if (can(sim_policies[i], atomic))
			add_policy(r, sim_policies[i], atomic);
	while (next_item(&list, &item, &len)) {
		p = find_policy(item, len);
		if (!p)
			return EXIT_USAGE;
		for (i = 0; i < r->nr_policies; i++)
			if (r->policies[i] == p)
				return usage_error("--policy: %s stands twice",
						   p->name);
		if (!can(p, atomic))
			return usage_error(
				"--atomic: %s does not evict the ends of chains first; without --policy those that do are run",
				p->name);
		add_policy(r, p, atomic);
	}
	return 0;
}
