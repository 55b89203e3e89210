// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What a replay reports, for people and for programs. */
#include <string.h>

#include "engine.h"
#include "util.h"

static const unsigned int pairs[][2] = {
	{ KVLIFT_TIER_DRAM, KVLIFT_TIER_CXL },
	{ KVLIFT_TIER_DRAM, KVLIFT_TIER_NVME },
	{ KVLIFT_TIER_CXL, KVLIFT_TIER_NVME },
	{ KVLIFT_TIER_NVME, KVLIFT_TIER_CXL },
	{ KVLIFT_TIER_NVME, KVLIFT_TIER_DRAM },
	{ KVLIFT_TIER_CXL, KVLIFT_TIER_DRAM },
};

#define NR_PAIRS (sizeof(pairs) / sizeof(pairs[0]))

static uint64_t moved(const struct result *r, unsigned int i)
{
	char name[32];

	snprintf(name, sizeof(name), "move_%s_%s",
		 kvlift_tier_name(pairs[i][0]), kvlift_tier_name(pairs[i][1]));
	return result_delta(r, name);
}

static void json_tiers(struct json *j, const struct result *r)
{
	struct tier_sum sums[KVLIFT_NR_TIERS];
	unsigned int i;

	tier_sums(&r->view, sums);
	json_open(j, "tiers", '{');
	for (i = 0; i < KVLIFT_NR_TIERS; i++) {
		if (!sums[i].exists)
			continue;
		json_open(j, kvlift_tier_name(i), '{');
		json_u64(j, "asked", sums[i].asked);
		json_u64(j, "got", sums[i].got);
		json_u64(j, "used", sums[i].used);
		json_u64(j, "free", sums[i].free);
		json_u64(j, "shadows", sums[i].shadows);
		json_u64(j, "lost", sums[i].lost);
		json_close(j, '}');
	}
	json_close(j, '}');
}

static double share(const struct result *r, uint64_t n)
{
	return r->refs ? (double)n / (double)r->refs : 0;
}

void result_json(const struct result *r, const char *trace, bool objects)
{
	char name[32];
	struct json j;
	unsigned int i;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_u64(&j, "requests", r->requests);
	json_u64(&j, "refs", r->refs);
	json_u64(&j, "mismatches", r->mismatches);
	json_open(&j, "hits", '{');
	json_u64(&j, "dram", r->hits[KVLIFT_TIER_DRAM]);
	json_u64(&j, "cxl", r->hits[KVLIFT_TIER_CXL]);
	json_u64(&j, "nvme", r->hits[KVLIFT_TIER_NVME]);
	json_u64(&j, "absent", r->absent);
	json_close(&j, '}');
	json_f64(&j, "block_hit", share(r, r->hits[KVLIFT_TIER_DRAM]));
	json_f64(&j, "prefix_hit", share(r, r->prefix_hits));
	json_str(&j, "hints", hints_name(r->hints));
	json_open(&j, "moves", '{');
	json_u64(&j, "promote", result_delta(r, "promote"));
	json_u64(&j, "demote", result_delta(r, "demote"));
	json_u64(&j, "refused_pinned", result_delta(r, "refused_pinned"));
	json_u64(&j, "refused_busy", result_delta(r, "refused_busy"));
	json_u64(&j, "demote_noio", result_delta(r, "demote_noio"));
	json_u64(&j, "aborted", result_delta(r, "aborted"));
	json_close(&j, '}');
	json_open(&j, "stall_ns", '{');
	json_u64(&j, "mean", hist_mean(&r->stall));
	json_u64(&j, "p50", hist_quantile(&r->stall, 0.5));
	json_u64(&j, "p99", hist_quantile(&r->stall, 0.99));
	json_u64(&j, "total", r->stall.total);
	json_u64(&j, "max", r->stall.max);
	json_close(&j, '}');
	json_open(&j, "bytes", '{');
	for (i = 0; i < NR_PAIRS; i++) {
		snprintf(name, sizeof(name), "%s_%s",
			 kvlift_tier_name(pairs[i][0]),
			 kvlift_tier_name(pairs[i][1]));
		json_u64(&j, name, moved(r, i) * r->block);
	}
	json_close(&j, '}');
	json_u64(&j, "errors", r->errors);
	json_u64(&j, "io_errors", result_delta(r, "io_errors"));
	json_u64(&j, "csum_errors", result_delta(r, "csum_errors"));
	json_u64(&j, "block", r->block);
	json_u64(&j, "blocks", r->blocks);
	json_tiers(&j, r);
	json_str(&j, "trace", trace);
	json_str(&j, "mode", objects ? "objects" : "region");
	json_u64(&j, "first_request", r->first_request);
	json_u64(&j, "resumed", r->resumed);
	json_bool(&j, "stopped", r->stopped);
	json_u64(&j, "elapsed_ns", r->elapsed_ns);
	json_close(&j, '}');
	json_end(&j);
}

static void hit_line(const struct result *r, const char *name, uint64_t n)
{
	char bar[3 * 30 + 1];

	printf("    %-7s %10llu  %5.1f%%  %s\n", name, (unsigned long long)n,
	       share(r, n) * 100, bar_text(share(r, n), 30, bar));
}

static void tier_lines(const struct result *r)
{
	struct tier_sum sums[KVLIFT_NR_TIERS];
	char size[SIZE_TEXT];
	unsigned int i;

	tier_sums(&r->view, sums);
	puts("  tiers at the end (slots)");
	for (i = 0; i < KVLIFT_NR_TIERS; i++) {
		const struct tier_sum *s = &sums[i];

		if (!s->exists)
			continue;
		printf("    %-7s %10llu used, %llu free, %llu shadows, %llu lost of %llu",
		       kvlift_tier_name(i), (unsigned long long)s->used,
		       (unsigned long long)s->free,
		       (unsigned long long)s->shadows,
		       (unsigned long long)s->lost, (unsigned long long)s->got);
		if (s->got != s->asked)
			printf(" (asked %llu)", (unsigned long long)s->asked);
		printf(" = %s\n", size_text(s->got * r->block, size));
	}
}

void result_text(const struct result *r, const char *trace, bool objects)
{
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT], d[SIZE_TEXT];
	char e[SIZE_TEXT];
	unsigned int i;

	printf("replay of %s, %s, block %s, %llu distinct blocks (%s)\n", trace,
	       objects ? "one file per block" : "one region",
	       size_text(r->block, a), (unsigned long long)r->blocks,
	       size_text(r->blocks * r->block, b));
	if (r->resumed)
		printf("  resumed         %10llu blocks of an earlier run were there\n",
		       (unsigned long long)r->resumed);
	printf("  requests        %10llu%s\n", (unsigned long long)r->requests,
	       r->stopped ? " (stopped)" : "");
	printf("  references      %10llu\n", (unsigned long long)r->refs);
	printf("  mismatches      %10llu\n", (unsigned long long)r->mismatches);
	printf("  errors          %10llu\n", (unsigned long long)r->errors);
	puts("  hits by tier");
	hit_line(r, "dram", r->hits[KVLIFT_TIER_DRAM]);
	hit_line(r, "cxl", r->hits[KVLIFT_TIER_CXL]);
	hit_line(r, "nvme", r->hits[KVLIFT_TIER_NVME]);
	hit_line(r, "absent", r->absent);
	printf("  prefix in dram  %10llu  %5.1f%%\n",
	       (unsigned long long)r->prefix_hits,
	       share(r, r->prefix_hits) * 100);
	printf("  moves           %10llu up, %llu down (%llu without I/O), refused: %llu pinned, %llu busy\n",
	       (unsigned long long)result_delta(r, "promote"),
	       (unsigned long long)result_delta(r, "demote"),
	       (unsigned long long)result_delta(r, "demote_noio"),
	       (unsigned long long)result_delta(r, "refused_pinned"),
	       (unsigned long long)result_delta(r, "refused_busy"));
	for (i = 0; i < NR_PAIRS; i++)
		if (moved(r, i))
			printf("    %-4s -> %-4s %8s  %llu blocks\n",
			       kvlift_tier_name(pairs[i][0]),
			       kvlift_tier_name(pairs[i][1]),
			       size_text(moved(r, i) * r->block, a),
			       (unsigned long long)moved(r, i));
	tier_lines(r);
	printf("  stall per hit   mean %s, p50 %s, p99 %s, max %s; total %s\n",
	       ns_text(hist_mean(&r->stall), a),
	       ns_text(hist_quantile(&r->stall, 0.5), b),
	       ns_text(hist_quantile(&r->stall, 0.99), c),
	       ns_text(r->stall.max, d), ns_text(r->stall.total, e));
	printf("  elapsed         %s\n", ns_text(r->elapsed_ns, a));
}
