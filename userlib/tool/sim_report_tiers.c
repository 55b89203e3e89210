// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What a simulation of several tiers reports: where blocks were, what moved. */
#include "simulate.h"
#include "util.h"

static const char *tier_name(const struct sim_report *r, unsigned int tier)
{
	return tier < r->tiers.nr ? r->tiers.tier[tier].name : "absent";
}

/* Who a block comes from, or goes to, that is in no tier. */
static const char *source_name(const struct sim_report *r, unsigned int tier)
{
	return tier == SIM_ABSENT ? "engine" : tier_name(r, tier);
}

static double share_of(const struct sim_result *c, uint64_t n)
{
	return c->refs ? (double)n / (double)c->refs : 0;
}

static void json_tiers(struct json *j, const struct sim_report *r,
		       const struct sim_result *c, uint32_t dram)
{
	const struct sim_traffic *t = &c->traffic;
	unsigned int i;
	uint32_t blocks;

	json_open(j, "tiers", '[');
	for (i = 0; i < r->tiers.nr; i++) {
		blocks = i == SIM_DRAM ? dram : r->tiers.tier[i].blocks;
		json_open(j, NULL, '{');
		json_str(j, "tier", tier_name(r, i));
		/* null: as many as there are. */
		if (blocks == SIM_UNLIMITED)
			json_str(j, "blocks", NULL);
		else
			json_u64(j, "blocks", blocks);
		json_u64(j, "used", t->used[i]);
		json_f64(j, "block_hit", share_of(c, t->hits[i]));
		json_f64(j, "prefix_hit", share_of(c, t->prefix[i]));
		json_close(j, '}');
	}
	json_close(j, ']');
	json_f64(j, "absent", share_of(c, t->hits[SIM_ABSENT]));
}

static void json_links(struct json *j, const struct sim_report *r,
		       const struct sim_result *c)
{
	const struct sim_traffic *t = &c->traffic;
	uint64_t no_io = 0, dropped = 0;
	unsigned int from, to;

	json_open(j, "links", '[');
	for (from = 0; from <= SIM_MAX_TIERS; from++) {
		dropped += t->moved[from][SIM_ABSENT];
		for (to = 0; to < r->tiers.nr; to++) {
			no_io += t->moved[from][to] - t->copied[from][to];
			if (!t->moved[from][to])
				continue;
			json_open(j, NULL, '{');
			json_str(j, "from", source_name(r, from));
			json_str(j, "to", tier_name(r, to));
			json_u64(j, "moves", t->moved[from][to]);
			json_u64(j, "bytes", t->copied[from][to] * r->block);
			json_close(j, '}');
		}
	}
	json_close(j, ']');
	json_u64(j, "moves_without_io", no_io);
	json_u64(j, "dropped", dropped);
	json_bool(j, "ahead", r->tiers.is_stored_ahead);
	json_u64(j, "stored_ahead", t->stored_ahead);
	json_u64(j, "bytes_stored_ahead", t->stored_ahead * r->block);
	json_u64(j, "copies", t->copies);
	json_u64(j, "copies_dropped", t->copies_dropped);
}

void sim_json_tiers(struct json *j, const struct sim_report *r,
		    unsigned int policy, unsigned int size)
{
	const struct sim_result *c = sim_cell(r, policy, size);

	json_tiers(j, r, c, r->sizes[size].blocks);
	json_links(j, r, c);
}

static void tier_table(const struct sim_report *r, const char *title,
		       bool prefix)
{
	unsigned int i, k, tier;

	puts(title);
	for (i = 0; i < r->nr_policies; i++) {
		for (tier = 0; tier <= SIM_MAX_TIERS; tier++) {
			if (tier >= r->tiers.nr && tier != SIM_ABSENT)
				continue;
			printf("  %-8s", tier ? "" : r->policies[i]->name);
			for (k = 0; k < r->nr_sizes; k++) {
				const struct sim_result *c = sim_cell(r, i, k);

				printf(" %10.4f",
				       share_of(c,
						prefix ? c->traffic.prefix[tier]
						       : c->traffic.hits[tier]));
			}
			printf("  %s\n", tier_name(r, tier));
		}
	}
}

/* One row; nothing where it is zero in all sizes. */
static bool bytes_row(const struct sim_report *r, unsigned int policy,
		      bool is_first, const char *what, const uint64_t *blocks)
{
	char text[SIZE_TEXT];
	uint64_t any = 0;
	unsigned int k;

	for (k = 0; k < r->nr_sizes; k++)
		any |= blocks[k];
	if (!any)
		return false;
	printf("  %-8s", is_first ? r->policies[policy]->name : "");
	for (k = 0; k < r->nr_sizes; k++)
		printf(" %10s", size_text(blocks[k] * r->block, text));
	printf("  %s\n", what);
	return true;
}

static void link_rows(const struct sim_report *r, unsigned int policy)
{
	uint64_t copied[SIM_MAX_SIZES], free_moves[SIM_MAX_SIZES] = { 0 };
	uint64_t ahead[SIM_MAX_SIZES];
	unsigned int order, from, to, k;
	bool is_first = true;
	char what[32];

	/* The engine's first. */
	for (order = 0; order <= SIM_MAX_TIERS; order++) {
		from = order ? order - 1 : SIM_ABSENT;
		for (to = 0; to < r->tiers.nr; to++) {
			for (k = 0; k < r->nr_sizes; k++) {
				const struct sim_traffic *t =
					&sim_cell(r, policy, k)->traffic;

				copied[k] = t->copied[from][to];
				free_moves[k] += t->moved[from][to] - copied[k];
				ahead[k] = t->stored_ahead;
			}
			snprintf(what, sizeof(what), "%s -> %s",
				 source_name(r, from), tier_name(r, to));
			if (bytes_row(r, policy, is_first, what, copied))
				is_first = false;
		}
	}
	bytes_row(r, policy, false, "stored ahead", ahead);
	bytes_row(r, policy, false, "down without I/O", free_moves);
}

void sim_text_tiers(const struct sim_report *r)
{
	char size[SIZE_TEXT], title[80];
	unsigned int i;

	for (i = 1; i < r->tiers.nr; i++)
		if (r->tiers.tier[i].blocks == SIM_UNLIMITED)
			printf("  %-8s %10s\n", tier_name(r, i), "unlimited");
		else
			printf("  %-8s %10u\n", tier_name(r, i),
			       r->tiers.tier[i].blocks);
	tier_table(r, "references by the tier that the block was in", false);
	tier_table(
		r,
		"references by the slowest tier that the prefix up to the block was in",
		true);
	snprintf(title, sizeof(title), "bytes moved, of blocks of %s",
		 size_text(r->block, size));
	puts(title);
	for (i = 0; i < r->nr_policies; i++)
		link_rows(r, i);
}
