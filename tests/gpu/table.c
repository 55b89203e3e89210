// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	FILE *json;
	const char *last;
	bool is_real;
	unsigned int missed;
	uint64_t wrong, bytes;
} t;

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

double row_median(const struct row *r)
{
	double v[ROW_REPS];

	if (!r->nr)
		return 0;
	memcpy(v, r->value, sizeof(v));
	qsort(v, r->nr, sizeof(v[0]), compare);
	return (v[(r->nr - 1) / 2] + v[r->nr / 2]) / 2;
}

/* Rates are better when they are higher, times when they are lower. */
double row_best(const struct row *r)
{
	bool is_rate = strstr(r->unit, "/s");
	double best = r->nr ? r->value[0] : 0;
	unsigned int i;

	for (i = 1; i < r->nr; i++)
		if (is_rate ? r->value[i] > best : r->value[i] < best)
			best = r->value[i];
	return best;
}

void row_add(struct row *r, double value)
{
	if (r->nr < ROW_REPS)
		r->value[r->nr++] = value;
}

static const char *size_text(uint64_t bytes, char buf[16])
{
	if (!bytes)
		return "-";
	if (bytes >= 1u << 20)
		snprintf(buf, 16, "%lluM", (unsigned long long)bytes >> 20);
	else
		snprintf(buf, 16, "%lluK", (unsigned long long)bytes >> 10);
	return buf;
}

static void print_json(const struct row *r, bool met)
{
	if (!t.json)
		return;
	fprintf(t.json,
		"{\"table\":\"%s\",\"name\":\"%s\",\"block\":%llu,\"unit\":\"%s\",\"runs\":%u",
		r->table, r->name, (unsigned long long)r->block, r->unit,
		r->nr);
	if (r->nr)
		fprintf(t.json, ",\"median\":%.6g,\"best\":%.6g", row_median(r),
			row_best(r));
	if (r->target > 0)
		fprintf(t.json,
			",\"peer\":%.6g,\"peer_name\":\"%s\",\"target\":%g,\"met\":%s",
			r->peer, r->peer_name, r->target,
			met ? "true" : "false");
	if (r->note)
		fprintf(t.json, ",\"note\":\"%s\"", r->note);
	fprintf(t.json, "}\n");
	fflush(t.json);
}

void row_print(const struct row *r)
{
	bool met = r->nr && r->peer > 0 && row_median(r) >= r->target * r->peer;
	char size[16];

	if (!t.last || strcmp(t.last, r->table) != 0) {
		printf("\n%s%s\n", r->table,
		       t.is_real ? ""
				 : " (not of a GPU: figures mean nothing)");
		printf("  %-34s %6s %10s %10s %-7s\n", "", "block", "median",
		       "best", "");
	}
	t.last = r->table;
	printf("  %-34s %6s", r->name, size_text(r->block, size));
	if (r->nr)
		printf(" %10.4g %10.4g %-7s", row_median(r), row_best(r),
		       r->unit);
	else
		printf(" %10s %10s %-7s", "-", "-", "");
	if (r->target > 0) {
		printf(" %5.1f%% of %s, target %g%%: %s",
		       r->peer > 0 ? 100 * row_median(r) / r->peer : 0,
		       r->peer_name, 100 * r->target, met ? "met" : "MISSED");
		t.missed += !met;
	}
	printf("%s%s\n", r->note ? "  " : "", r->note ? r->note : "");
	fflush(stdout);
	print_json(r, met);
}

int table_open(const char *json, const char *device, bool is_real)
{
	t.is_real = is_real;
	if (!json)
		return 0;
	t.json = fopen(json, "we");
	if (!t.json)
		return -errno;
	fprintf(t.json, "{\"device\":\"%s\",\"real\":%s}\n", device,
		is_real ? "true" : "false");
	return 0;
}

void table_wrong(uint64_t words, uint64_t bytes, const char *where)
{
	t.bytes += bytes;
	t.wrong += words;
	if (words)
		printf("WRONG: %llu words, %s\n", (unsigned long long)words,
		       where);
}

int table_end(bool targets)
{
	bool bad = t.wrong || !t.bytes || (targets && t.is_real && t.missed);

	printf("\n%.3f GB looked at, byte for byte: %llu words wrong; %u targets missed%s\n",
	       (double)t.bytes / 1e9, (unsigned long long)t.wrong, t.missed,
	       !t.is_real ? ", which means nothing here"
	       : targets  ? ""
			  : ", which was not asked for");
	if (t.json) {
		fprintf(t.json,
			"{\"bytes\":%llu,\"wrong\":%llu,\"missed\":%u}\n",
			(unsigned long long)t.bytes,
			(unsigned long long)t.wrong, t.missed);
		if (fclose(t.json))
			bad = true;
	}
	return bad;
}
