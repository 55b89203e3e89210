// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift domain: limits, guarantees and accounts of directories. */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "kvlift.h"
#include "util.h"

/* Blocks of a size, rounded up, so that a small limit is not none. */
static uint64_t blocks_of(uint64_t bytes, const struct kvlift_pool *pool)
{
	return ceil_div(bytes, kvlift_pool_block_size(pool));
}

/* What was asked for on the command line, still in bytes. */
struct change {
	bool has_limit[KVLIFT_NR_TIERS], has_guarantee[KVLIFT_NR_TIERS];
	uint64_t limit[KVLIFT_NR_TIERS], guarantee[KVLIFT_NR_TIERS];
	bool has_total, has_weight, has_lease, has_pin, has_rate, has_cache;
	uint64_t total, weight, lease, pin, rate;
	bool cache;
};

/* "dram=1G"; "none" and 0 are no limit. */
static int parse_tier(const char *s, bool *has, uint64_t *bytes)
{
	const char *eq = strchr(s, '=');
	unsigned int t;

	if (!eq)
		return -EINVAL;
	for (t = 0; t < KVLIFT_NR_TIERS; t++) {
		const char *name = kvlift_tier_name(t);

		if (strlen(name) != (size_t)(eq - s) ||
		    strncmp(s, name, strlen(name)) != 0)
			continue;
		has[t] = true;
		bytes[t] = 0;
		return strcmp(eq + 1, "none") == 0
			       ? 0
			       : parse_size(eq + 1, &bytes[t]);
	}
	return -EINVAL;
}

static void apply(const struct change *c, const struct kvlift_pool *pool,
		  struct kvlift_domain *d)
{
	unsigned int t;

	for (t = 0; t < KVLIFT_NR_TIERS; t++) {
		if (c->has_limit[t])
			d->limit[t] = blocks_of(c->limit[t], pool);
		if (c->has_guarantee[t])
			d->guarantee[t] = blocks_of(c->guarantee[t], pool);
	}
	if (c->has_total)
		d->total_limit = blocks_of(c->total, pool);
	if (c->has_weight)
		d->weight = (uint32_t)c->weight;
	if (c->has_lease)
		d->lease_percent = (uint32_t)c->lease;
	if (c->has_pin)
		d->pin_percent = (uint32_t)c->pin;
	if (c->has_rate)
		d->willneed_rate = blocks_of(c->rate, pool);
	if (c->has_cache && c->cache)
		d->flags |= KVLIFT_DOMAIN_CACHE;
	else if (c->has_cache)
		d->flags &= ~KVLIFT_DOMAIN_CACHE;
}

/* Says which guarantee is too much, and what would be possible. */
static void too_much(const char *dir, const struct kvlift_pool *pool,
		     const struct kvlift_domain *want)
{
	uint64_t block = kvlift_pool_block_size(pool);
	char asked[SIZE_TEXT];
	struct kvlift_domain now;
	unsigned int t;

	if (kvlift_domain_get(pool, NULL, &now))
		return;
	for (t = 0; t < KVLIFT_NR_TIERS; t++)
		if (want->guarantee[t] > now.guarantee_max[t])
			error("%s: %s of %s cannot be guaranteed here, at most %lluK",
			      dir, size_text(want->guarantee[t] * block, asked),
			      kvlift_tier_name(t),
			      (unsigned long long)(now.guarantee_max[t] *
						   block / KIB));
}

static const char *hint(int ret)
{
	switch (ret) {
	case -EPERM:
		return "only root and the owner of the pool's root directory may set domains";
	case -ENOTEMPTY:
		return "it has entries already; make a new, empty directory, and move nothing into it but by copying";
	case -EBUSY:
		return "domains inside it are guaranteed more; lower theirs first";
	case -EINVAL:
		return "a tier the pool lacks, a guarantee above the limit or in the slowest tier, or a limit of the slowest tier without one of every faster tier";
	case -EMLINK:
		return "domains nest at most 4 deep";
	case -EUSERS:
		return "the pool has as many domains as it can have";
	case -EOPNOTSUPP:
		return "the loaded module has no such domains";
	default:
		return kvlift_strerror(ret);
	}
}

static int complain(const char *dir, int ret)
{
	error("%s: %s", dir, hint(ret));
	return EXIT_FAIL;
}

static int open_pool(const char *dir, struct kvlift_pool **pool)
{
	int ret = kvlift_pool_open(dir, pool);

	if (ret)
		error("%s: %s%s", dir, kvlift_strerror(ret),
		      ret == -EMEDIUMTYPE ? "; 'kvlift status' lists the pools"
					  : "");
	return ret;
}

/* A module that knows nothing of it would take no notice. */
static int need_cache(const struct kvlift_pool *pool)
{
	uint64_t features;
	int ret = kvlift_features(pool, &features);

	if (ret)
		return ret;
	return features & KVLIFT_F_CACHE ? 0 : -EOPNOTSUPP;
}

static int set(const char *dir, const struct change *c)
{
	struct kvlift_pool *pool;
	struct kvlift_domain d;
	int ret;

	if (open_pool(dir, &pool))
		return EXIT_FAIL;
	ret = kvlift_domain_get(pool, NULL, &d);
	if (!ret && !(d.flags & KVLIFT_DOMAIN_HERE))
		kvlift_domain_defaults(&d);
	if (!ret && c->has_cache && c->cache)
		ret = need_cache(pool);
	if (!ret) {
		apply(c, pool, &d);
		ret = kvlift_domain_set(pool, NULL, &d);
	}
	if (ret == -ENOSPC)
		too_much(dir, pool, &d);
	else if (ret)
		complain(dir, ret);
	kvlift_pool_close(pool);
	return ret ? EXIT_FAIL : EXIT_OK;
}

static void json_domain(struct json *j, const char *dir,
			const struct kvlift_pool *pool,
			const struct kvlift_domain *d)
{
	unsigned int t;

	json_open(j, NULL, '{');
	json_str(j, "directory", dir);
	json_bool(j, "here", d->flags & KVLIFT_DOMAIN_HERE);
	json_u64(j, "id", d->id);
	json_u64(j, "parent", d->parent);
	json_u64(j, "depth", d->depth);
	json_u64(j, "block", kvlift_pool_block_size(pool));
	json_u64(j, "weight", d->weight);
	json_u64(j, "lease_percent", d->lease_percent);
	json_u64(j, "pin_percent", d->pin_percent);
	json_u64(j, "willneed_rate", d->willneed_rate);
	json_u64(j, "charged", d->charged);
	json_u64(j, "peak", d->peak);
	json_u64(j, "total_limit", d->total_limit);
	json_u64(j, "total_hits", d->total_hits);
	json_bool(j, "cache", d->flags & KVLIFT_DOMAIN_CACHE);
	json_u64(j, "cache_files", d->cache_files);
	json_u64(j, "cache_dropped", d->cache_dropped);
	json_u64(j, "cache_dropped_bytes", d->cache_dropped_bytes);
	json_u64(j, "cache_waits", d->cache_waits);
	json_u64(j, "cache_refused", d->cache_refused);
	json_u64(j, "pinned", d->pinned);
	json_open(j, "tiers", '{');
	for (t = 0; t < KVLIFT_NR_TIERS; t++) {
		json_open(j, kvlift_tier_name(t), '{');
		json_u64(j, "blocks", d->blocks[t]);
		json_u64(j, "limit", d->limit[t]);
		json_u64(j, "guarantee", d->guarantee[t]);
		json_u64(j, "guarantee_max", d->guarantee_max[t]);
		json_u64(j, "reclaimed", d->reclaimed[t]);
		json_u64(j, "limit_hits", d->limit_hits[t]);
		json_close(j, '}');
	}
	json_close(j, '}');
	json_close(j, '}');
}

static const char *size_or_none(uint64_t blocks, uint64_t block, char *buf)
{
	return blocks ? size_text(blocks * block, buf) : "-";
}

static void print_domain(const char *dir, const struct kvlift_pool *pool,
			 const struct kvlift_domain *d)
{
	uint64_t block = kvlift_pool_block_size(pool);
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT];
	unsigned int t;

	printf("%s: domain %llu%s, weight %u, %s stored, at most %s, limit %s\n",
	       dir, (unsigned long long)d->id,
	       d->flags & KVLIFT_DOMAIN_HERE ? "" : " above it", d->weight,
	       size_text(d->charged * block, a), size_text(d->peak * block, b),
	       size_or_none(d->total_limit, block, c));
	if (d->flags & KVLIFT_DOMAIN_CACHE)
		printf("  cache %llu files, dropped %llu of %s, waited %llu times, refused %llu\n",
		       (unsigned long long)d->cache_files,
		       (unsigned long long)d->cache_dropped,
		       size_text(d->cache_dropped_bytes, a),
		       (unsigned long long)d->cache_waits,
		       (unsigned long long)d->cache_refused);
	if (d->pinned)
		printf("  pinned %s, at most %u %% of a tier\n",
		       size_text(d->pinned * block, a), d->pin_percent);
	for (t = 0; t < KVLIFT_NR_TIERS; t++) {
		if (!d->blocks[t] && !d->limit[t] && !d->guarantee[t] &&
		    !d->reclaimed[t])
			continue;
		printf("  %-5s %8s  limit %8s  guaranteed %8s  reclaimed %llu, limit hit %llu times\n",
		       kvlift_tier_name(t), size_text(d->blocks[t] * block, a),
		       size_or_none(d->limit[t], block, b),
		       size_or_none(d->guarantee[t], block, c),
		       (unsigned long long)d->reclaimed[t],
		       (unsigned long long)d->limit_hits[t]);
	}
}

static int show(const char *dir, bool as_json)
{
	struct kvlift_pool *pool;
	struct kvlift_domain d;
	int ret;

	if (open_pool(dir, &pool))
		return EXIT_FAIL;
	ret = kvlift_domain_get(pool, NULL, &d);
	if (ret) {
		complain(dir, ret);
	} else if (as_json) {
		struct json j;

		json_init(&j, stdout);
		json_domain(&j, dir, pool, &d);
		json_end(&j);
	} else {
		print_domain(dir, pool, &d);
	}
	kvlift_pool_close(pool);
	return ret ? EXIT_FAIL : EXIT_OK;
}

/* nftw(3) has no argument for its function. */
static struct {
	struct json j;
	bool as_json;
	int failed;
} listing;

static int visit(const char *path, const struct stat *st, int type,
		 struct FTW *ftw)
{
	struct kvlift_pool *pool;
	struct kvlift_domain d;
	int ret;

	if (type != FTW_D)
		return 0;
	ret = kvlift_pool_open(path, &pool);
	if (!ret) {
		ret = kvlift_domain_get(pool, NULL, &d);
		if (!ret && d.flags & KVLIFT_DOMAIN_HERE) {
			if (listing.as_json)
				json_domain(&listing.j, path, pool, &d);
			else
				print_domain(path, pool, &d);
		}
		kvlift_pool_close(pool);
	}
	/* A directory that was removed meanwhile is none. */
	if (ret && ret != -ENOENT) {
		complain(path, ret);
		listing.failed = 1;
	}
	return 0;
}

static int list(const char *dir, bool as_json)
{
	struct kvlift_pool *pool;

	if (open_pool(dir, &pool))
		return EXIT_FAIL;
	kvlift_pool_close(pool);
	listing.as_json = as_json;
	if (as_json) {
		json_init(&listing.j, stdout);
		json_open(&listing.j, NULL, '[');
	}
	if (nftw(dir, visit, 32, FTW_PHYS | FTW_MOUNT)) {
		error("%s: %s", dir, strerror(errno));
		listing.failed = 1;
	}
	if (as_json) {
		json_close(&listing.j, ']');
		json_end(&listing.j);
	}
	return listing.failed ? EXIT_FAIL : EXIT_OK;
}

static const char help[] =
	"usage: kvlift domain set DIR [options]\n"
	"       kvlift domain show DIR [--json]\n"
	"       kvlift domain list DIR [--json]\n"
	"\n"
	"set makes an empty directory a domain, or changes one; show tells of the\n"
	"nearest domain, list of those in a pool or below a directory.\n"
	"\n"
	"  --limit TIER=SIZE      blocks of at most that much live in the tier\n"
	"  --guarantee TIER=SIZE  that much is not displaced by others\n"
	"  --total SIZE           at most that much is stored in all tiers together\n"
	"  --weight N             share of what is short, 1 to 10000 (100)\n"
	"  --lease PERCENT        of a tier that leases may hold (50)\n"
	"  --pin PERCENT          of a tier that pins may hold (50)\n"
	"  --willneed-rate SIZE   bytes per second that prefetch may bring up\n"
	"  --cache on|off         sealed files may be dropped when there is no room\n"
	"\n"
	"Sizes are rounded up to whole blocks; 0 or, with a tier, none is no limit.\n"
	"What is not given stays as it is.\n";

/* Number of an option that is not negative. */
static int number(const char *name, const char *s, uint64_t max, bool *has,
		  uint64_t *value)
{
	*has = true;
	if (!parse_u64(s, max, value))
		return 0;
	return usage_error("--%s %s: not a number up to %llu", name, s,
			   (unsigned long long)max);
}

static int size(const char *name, const char *s, bool *has, uint64_t *value)
{
	*has = true;
	if (!parse_size(s, value))
		return 0;
	return usage_error("--%s %s: not a size like 1G", name, s);
}

static int tier_size(const char *name, const char *s, bool *has,
		     uint64_t *bytes)
{
	if (!parse_tier(s, has, bytes))
		return 0;
	return usage_error("--%s %s: not like dram=1G", name, s);
}

static int on_off(const char *name, const char *s, bool *has, bool *value)
{
	*has = true;
	*value = !strcmp(s, "on");
	if (*value || !strcmp(s, "off"))
		return 0;
	return usage_error("--%s %s: neither on nor off", name, s);
}

static int option(int c, const char *arg, struct change *ch)
{
	switch (c) {
	case 'c':
		return on_off("cache", arg, &ch->has_cache, &ch->cache);
	case 'l':
		return tier_size("limit", arg, ch->has_limit, ch->limit);
	case 'g':
		return tier_size("guarantee", arg, ch->has_guarantee,
				 ch->guarantee);
	case 't':
		return size("total", arg, &ch->has_total, &ch->total);
	case 'w':
		return number("weight", arg, KVLIFT_DOMAIN_WEIGHT_MAX,
			      &ch->has_weight, &ch->weight);
	case 'L':
		return number("lease", arg, 100, &ch->has_lease, &ch->lease);
	case 'P':
		return number("pin", arg, 100, &ch->has_pin, &ch->pin);
	case 'r':
		return size("willneed-rate", arg, &ch->has_rate, &ch->rate);
	default:
		return usage_error("bad option");
	}
}

int run_domain(int argc, char **argv)
{
	static const struct option options[] = {
		{ "limit", required_argument, NULL, 'l' },
		{ "guarantee", required_argument, NULL, 'g' },
		{ "total", required_argument, NULL, 't' },
		{ "weight", required_argument, NULL, 'w' },
		{ "lease", required_argument, NULL, 'L' },
		{ "pin", required_argument, NULL, 'P' },
		{ "willneed-rate", required_argument, NULL, 'r' },
		{ "cache", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool as_json = false, changes = false;
	struct change ch = { 0 };
	const char *what, *dir;
	int c, ret;

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (c == 'j') {
			as_json = true;
			continue;
		}
		ret = option(c, optarg, &ch);
		if (ret)
			return ret;
		changes = true;
	}
	if (argc - optind != 2)
		return usage_error("give set, show or list, and a directory");
	what = argv[optind];
	dir = argv[optind + 1];
	if (!strcmp(what, "set"))
		return as_json ? usage_error("set prints nothing")
			       : set(dir, &ch);
	if (changes)
		return usage_error("only set takes properties");
	if (!strcmp(what, "show"))
		return show(dir, as_json);
	if (!strcmp(what, "list"))
		return list(dir, as_json);
	return usage_error("%s is not set, show or list", what);
}
