// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift where: which tier the blocks of a file are in. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "util.h"

#define CHUNK 65536u

/* Kinds of a run: the tiers, and what has no slot. */
enum {
	HOLE = KVLIFT_NR_TIERS,
	RESERVED,
	INLINE,
	LOST,
	NR_KINDS
};

struct run {
	uint64_t first, count;
	uint64_t word;
	unsigned int kind;
	uint64_t heat, hottest; /* 1/256 touches */
};

struct walk {
	bool as_json, list, heat;
	struct json j;
	struct run run;
	uint64_t totals[NR_KINDS], heats[NR_KINDS], shadows, errors;
};

static unsigned int kind_of(uint64_t word)
{
	if (word & KVLIFT_LOC_PRESENT)
		return kvlift_loc_tier(word) & (KVLIFT_NR_TIERS - 1);
	if (word & KVLIFT_LOC_ERROR)
		return LOST;
	if (word & KVLIFT_LOC_INLINE)
		return INLINE;
	return word & KVLIFT_LOC_RESERVED ? RESERVED : HOLE;
}

static const char *kind_name(unsigned int kind)
{
	static const char *const names[] = { "hole", "reserved", "inline",
					     "lost" };

	return kind < HOLE ? kvlift_tier_name(kind) : names[kind - HOLE];
}

static double touches(uint64_t heat, uint64_t blocks)
{
	return blocks ? (double)heat / 256 / (double)blocks : 0;
}

static void emit(struct walk *w)
{
	const struct run *r = &w->run;
	struct kvlift_loc loc = kvlift_loc_decode(r->word);

	if (!r->count)
		return;
	if (w->as_json) {
		json_open(&w->j, NULL, '{');
		json_u64(&w->j, "first", r->first);
		json_u64(&w->j, "count", r->count);
		json_str(&w->j, "where", kind_name(r->kind));
		if (loc.present) {
			json_u64(&w->j, "member", loc.member);
			json_u64(&w->j, "slot", loc.slot);
			json_bool(&w->j, "shadow", loc.shadow);
			json_bool(&w->j, "error", loc.error);
		}
		if (w->heat) {
			json_f64(&w->j, "heat", touches(r->heat, r->count));
			json_f64(&w->j, "hottest", touches(r->hottest, 1));
		}
		json_close(&w->j, '}');
	} else if (w->list) {
		printf("  %10llu +%-8llu %s", (unsigned long long)r->first,
		       (unsigned long long)r->count, kind_name(r->kind));
		if (loc.present)
			printf(" member %u slot %u%s%s", loc.member, loc.slot,
			       loc.shadow ? " shadow" : "",
			       loc.error ? " error" : "");
		if (w->heat && r->hottest)
			printf(" heat %.2f, hottest %.2f",
			       touches(r->heat, r->count),
			       touches(r->hottest, 1));
		putchar('\n');
	}
}

/* The same place, and the slot after the last one, either way counted. */
static bool joins(const struct run *r, unsigned int kind, uint64_t word)
{
	const uint64_t what = KVLIFT_LOC_SHADOW | KVLIFT_LOC_ERROR |
			      (0x1fULL << KVLIFT_LOC_MEMBER_SHIFT);

	if (!r->count || r->kind != kind)
		return false;
	if (kind >= HOLE)
		return true;
	return !((r->word ^ word) & what) &&
	       kvlift_loc_slot(word) == kvlift_loc_slot(r->word) + r->count;
}

static void add(struct walk *w, uint64_t index, uint64_t word, uint32_t heat)
{
	unsigned int kind = kind_of(word);

	w->totals[kind]++;
	w->heats[kind] += heat;
	if (word & KVLIFT_LOC_SHADOW)
		w->shadows++;
	if (word & KVLIFT_LOC_ERROR)
		w->errors++;
	if (joins(&w->run, kind, word)) {
		w->run.count++;
		w->run.heat += heat;
		if (heat > w->run.hottest)
			w->run.hottest = heat;
		return;
	}
	emit(w);
	w->run = (struct run){ index, 1, word, kind, heat, heat };
}

static int walk(struct walk *w, const struct file *f, uint64_t first,
		uint64_t end)
{
	uint64_t *words = malloc(CHUNK * sizeof(*words));
	uint32_t *heats = calloc(CHUNK, sizeof(*heats));
	int64_t n = 0, i;

	if (!words || !heats) {
		free(words);
		free(heats);
		return -ENOMEM;
	}
	while (first < end) {
		n = kvlift_where(f->region, first,
				 end - first < CHUNK ? end - first : CHUNK,
				 words);
		if (n > 0 && w->heat)
			n = kvlift_heat_get(f->region, first, (uint64_t)n,
					    heats);
		if (n <= 0)
			break;
		for (i = 0; i < n; i++)
			add(w, first + (uint64_t)i, words[i], heats[i]);
		first += (uint64_t)n;
	}
	emit(w);
	free(words);
	free(heats);
	return n < 0 ? (int)n : 0;
}

static void summary(struct walk *w, const struct file *f)
{
	char size[SIZE_TEXT];
	unsigned int k;

	if (w->as_json) {
		json_close(&w->j, ']');
		json_open(&w->j, "totals", '{');
		for (k = KVLIFT_TIER_DRAM; k < NR_KINDS; k++)
			json_u64(&w->j, kind_name(k), w->totals[k]);
		json_u64(&w->j, "shadows", w->shadows);
		json_u64(&w->j, "errors", w->errors);
		json_close(&w->j, '}');
		if (w->heat) {
			json_open(&w->j, "heat", '{');
			for (k = KVLIFT_TIER_DRAM; k < HOLE; k++)
				json_f64(&w->j, kind_name(k),
					 touches(w->heats[k], w->totals[k]));
			json_close(&w->j, '}');
		}
		json_close(&w->j, '}');
		json_end(&w->j);
		return;
	}
	for (k = 0; k < NR_KINDS; k++) {
		if (!w->totals[k])
			continue;
		printf("  %-9s %10llu blocks  %s", kind_name(k),
		       (unsigned long long)w->totals[k],
		       size_text(w->totals[k] * f->block, size));
		if (w->heat && k < HOLE)
			printf(", heat %.2f on average",
			       touches(w->heats[k], w->totals[k]));
		putchar('\n');
	}
	if (w->shadows)
		printf("  with shadow %8llu\n", (unsigned long long)w->shadows);
	if (w->errors)
		printf("  with error  %8llu\n", (unsigned long long)w->errors);
}

static const char help[] =
	"usage: kvlift where FILE [--range A:B] [--heat] [--summary] [--json]\n"
	"\n"
	"Show in which tier the blocks of FILE are: runs of blocks in a row, then the\n"
	"sum of each tier.\n"
	"\n"
	"  --range A:B  only blocks A up to, but not including, B\n"
	"  --heat       how often they were touched, each touch counting half after 65 s:\n"
	"               mean of the run and hottest block of it\n"
	"  --summary    only the sums\n";

int run_where(int argc, char **argv)
{
	static const struct option options[] = {
		{ "range", required_argument, NULL, 'r' },
		{ "heat", no_argument, NULL, 't' },
		{ "summary", no_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t first = 0, end = UINT64_MAX;
	struct walk w = { .list = true };
	char size[SIZE_TEXT];
	struct file f;
	int c, ret;

	while ((c = getopt_long(argc, argv, "r:sjh", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			if (parse_range(optarg, &first, &end))
				return usage_error("--range %s: not like 0:100",
						   optarg);
			break;
		case 't':
			w.heat = true;
			break;
		case 's':
			w.list = false;
			break;
		case 'j':
			w.as_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return usage_error("bad option");
		}
	}
	if (argc - optind != 1)
		return usage_error("give one file");
	if (file_open(argv[optind], &f))
		return EXIT_FAIL;
	if (end > f.blocks)
		end = f.blocks;
	json_init(&w.j, stdout);
	if (w.as_json) {
		json_open(&w.j, NULL, '{');
		json_str(&w.j, "file", argv[optind]);
		json_u64(&w.j, "region", f.info.id);
		json_u64(&w.j, "size", f.info.size);
		json_u64(&w.j, "block", f.block);
		json_u64(&w.j, "blocks", f.blocks);
		json_bool(&w.j, "sealed", f.info.flags & KVLIFT_REGION_SEALED);
		json_open(&w.j, "runs", '[');
	} else {
		printf("%s: region %llu, %llu blocks of %s%s\n", argv[optind],
		       (unsigned long long)f.info.id,
		       (unsigned long long)f.blocks, size_text(f.block, size),
		       f.info.flags & KVLIFT_REGION_SEALED ? ", sealed" : "");
	}
	ret = walk(&w, &f, first, end);
	summary(&w, &f);
	if (ret)
		error("%s: %s", argv[optind], kvlift_strerror(ret));
	file_close(&f);
	return ret ? EXIT_FAIL : EXIT_OK;
}
