// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What a simulation reports, for people and for programs. */
#include <math.h>

#include "simulate.h"
#include "util.h"

static double per_request(const struct sim_result *c, uint64_t n)
{
	return c->requests ? (double)n / (double)c->requests : 0;
}

static const char *const hint_names[] = {
	[SIM_HINTS_NONE] = "none",
	[SIM_HINTS_TRUE] = "true",
	[SIM_HINTS_RANDOM] = "random",
	[SIM_HINTS_SHUFFLED] = "shuffled",
};

void sim_json(const struct sim_report *r)
{
	unsigned int i, k;
	struct json j;

	json_init(&j, stdout);
	json_open(&j, NULL, '[');
	for (i = 0; i < r->nr_policies; i++) {
		for (k = 0; k < r->nr_sizes; k++) {
			const struct sim_result *c = sim_cell(r, i, k);

			json_open(&j, NULL, '{');
			json_str(&j, "policy", r->policies[i]->name);
			json_str(&j, "cache", r->sizes[k].text);
			json_u64(&j, "cache_blocks", r->sizes[k].blocks);
			json_f64(&j, "block_hit", sim_block_hit(c));
			json_f64(&j, "prefix_hit", sim_prefix_hit(c));
			json_f64(&j, "gap_closed", sim_gap_closed(r, i, k));
			json_u64(&j, "requests", c->requests);
			json_u64(&j, "refs", c->refs);
			json_u64(&j, "fills", c->fills);
			json_u64(&j, "evictions", c->evictions);
			json_u64(&j, "bypassed", c->bypassed);
			json_f64(&j, "fills_per_request",
				 per_request(c, c->fills));
			json_u64(&j, "batch", r->batch);
			json_u64(&j, "block", r->block);
			json_u64(&j, "bytes_filled", c->fills * r->block);
			json_bool(&j, "atomic", r->modes[i] == SIM_ATOMIC);
			json_str(&j, "hints", hint_names[r->hints]);
			json_f64(&j, "refs_per_s", sim_refs_per_s(c));
			if (r->tiers.nr)
				sim_json_tiers(&j, r, i, k);
			json_close(&j, '}');
		}
	}
	json_close(&j, ']');
	json_end(&j);
}

static void row(const struct sim_report *r, unsigned int policy,
		double (*value)(const struct sim_result *), int digits)
{
	unsigned int k;

	printf("  %-8s", r->policies[policy]->name);
	for (k = 0; k < r->nr_sizes; k++)
		printf(" %10.*f", digits, value(sim_cell(r, policy, k)));
	putchar('\n');
}

static void table(const struct sim_report *r, const char *title,
		  double (*value)(const struct sim_result *), int digits)
{
	unsigned int i;

	puts(title);
	for (i = 0; i < r->nr_policies; i++)
		row(r, i, value, digits);
}

/* Where the way is short a few hits are a large share of it. */
static void gap_table(const struct sim_report *r)
{
	unsigned int i, k;
	bool any = false;
	double share;

	for (k = 0; k < r->nr_sizes; k++)
		any |= !isnan(sim_gap_closed(r, 0, k));
	if (!any)
		return;
	puts("way from lru to opt, in per cent of the prefix hits between them");
	for (i = 0; i < r->nr_policies; i++) {
		printf("  %-8s", r->policies[i]->name);
		for (k = 0; k < r->nr_sizes; k++) {
			share = sim_gap_closed(r, i, k);
			if (isnan(share))
				printf(" %10s", "-");
			else
				printf(" %10.1f", share * 100);
		}
		putchar('\n');
	}
}

static double fills_per_request(const struct sim_result *c)
{
	return per_request(c, c->fills);
}

static double mega_refs(const struct sim_result *c)
{
	return sim_refs_per_s(c) / 1e6;
}

void sim_text(const struct sim_report *r, bool verbose)
{
	char size[SIZE_TEXT], title[80];
	unsigned int k;

	printf("simulation of %s: %llu requests, %llu references, %u distinct blocks, reuse %.4f\n",
	       r->trace, (unsigned long long)r->t->nr_requests,
	       (unsigned long long)r->t->nr_refs, r->t->nr_ids,
	       trace_reuse(r->t));
	printf("  %-8s", "cache");
	for (k = 0; k < r->nr_sizes; k++)
		printf(" %10s", r->sizes[k].text);
	printf("\n  %-8s", "blocks");
	for (k = 0; k < r->nr_sizes; k++)
		printf(" %10u", r->sizes[k].blocks);
	putchar('\n');
	table(r, "prefix hit rate: the block and all before it in the request",
	      sim_prefix_hit, 4);
	gap_table(r);
	table(r, "block hit rate", sim_block_hit, 4);
	snprintf(title, sizeof(title), "blocks of %s filled per request",
		 size_text(r->block, size));
	table(r, title, fills_per_request, 2);
	if (r->tiers.nr)
		sim_text_tiers(r);
	if (verbose)
		table(r, "million references simulated per second", mega_refs,
		      2);
}
