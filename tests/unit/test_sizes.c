// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sizes, numbers, ranges and shares on the command line. */
#include "mkpool.h"
#include "unit.h"
#include "util.h"

static uint64_t size(const char *s)
{
	uint64_t v = 0;

	return parse_size(s, &v) ? UINT64_MAX : v;
}

static void sizes_are_parsed(void)
{
	CHECK_EQ(size("0"), 0);
	CHECK_EQ(size("4096"), 4096);
	CHECK_EQ(size("64K"), 65536);
	CHECK_EQ(size("64k"), 65536);
	CHECK_EQ(size("2M"), 2 << 20);
	CHECK_EQ(size("2MiB"), 2 << 20);
	CHECK_EQ(size("2MB"), 2 << 20);
	CHECK_EQ(size("12B"), 12);
	CHECK_EQ(size("1.5G"), 3ULL << 29);
	CHECK_EQ(size("8T"), 8ULL << 40);
	CHECK_EQ(size("18446744073709551615"), UINT64_MAX);
}

static void bad_sizes_are_refused(void)
{
	static const char *const bad[] = {
		"",    "K",	"-1",  "1X",	    "1KK",
		" 1",  "1 ",	"1.K", "1.5",	    "1.5B",
		"0x1", "1Mi5B", "1iB", "99999999T", "18446744073709551616",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t v;

		if (!parse_size(bad[i], &v))
			printf("# taken: '%s'\n", bad[i]);
		CHECK(parse_size(bad[i], &v));
	}
}

static void numbers_have_limits(void)
{
	uint64_t v;

	CHECK(!parse_u64("0", 10, &v) && v == 0);
	CHECK(!parse_u64("10", 10, &v) && v == 10);
	CHECK(parse_u64("11", 10, &v));
	CHECK(parse_u64("", 10, &v));
	CHECK(parse_u64("1a", 100, &v));
	CHECK(!parse_u64("18446744073709551615", UINT64_MAX, &v));
	CHECK(parse_u64("18446744073709551616", UINT64_MAX, &v));
}

static void ranges_are_half_open(void)
{
	uint64_t a, b;

	CHECK(!parse_range("3:7", &a, &b) && a == 3 && b == 7);
	CHECK(!parse_range("3", &a, &b) && a == 3 && b == 4);
	CHECK(!parse_range("3:", &a, &b) && a == 3 && b == UINT64_MAX);
	CHECK(!parse_range(":7", &a, &b) && a == 0 && b == 7);
	CHECK(!parse_range(":", &a, &b) && a == 0 && b == UINT64_MAX);
	CHECK(parse_range("", &a, &b));
	CHECK(parse_range("7:3", &a, &b));
	CHECK(parse_range("7:7", &a, &b));
	CHECK(parse_range("a:b", &a, &b));
	CHECK(parse_range("1:2:3", &a, &b));
	CHECK(parse_range("111111111111111111111111111:", &a, &b));
}

static void sizes_are_printed(void)
{
	char t[SIZE_TEXT];

	CHECK_STR(size_text(0, t), "0B");
	CHECK_STR(size_text(1023, t), "1023B");
	CHECK_STR(size_text(65536, t), "64K");
	CHECK_STR(size_text(3ULL << 29, t), "1.5G");
	CHECK_STR(size_text(UINT64_MAX, t), "16E");
	CHECK_STR(ns_text(999, t), "999ns");
	CHECK_STR(ns_text(1500, t), "1.5us");
	CHECK_STR(ns_text(2500000, t), "2.50ms");
	CHECK_STR(ns_text(UINT64_MAX, t), "18446744073.71s");
}

static void bars_have_their_width(void)
{
	char buf[3 * 10 + 1];

	CHECK_EQ(strlen(bar_text(0, 10, buf)), 30);
	CHECK_EQ(strlen(bar_text(2, 10, buf)), 30);
	CHECK_EQ(strlen(bar_text(0.0 / 1e-300 - 5, 10, buf)), 30);
	/* Something is never shown as nothing. */
	CHECK(strncmp(bar_text(0.001, 10, buf), "█", 3) == 0);
}

static void shares_are_parsed(void)
{
	struct share s;

	CHECK(!share_parse("5%", &s) && s.kind == SHARE_PERCENT);
	CHECK(s.percent == 5);
	CHECK(!share_parse("0.5%", &s) && s.percent == 0.5);
	CHECK(!share_parse("64M", &s) && s.kind == SHARE_BYTES);
	CHECK(!share_parse("rest", &s) && s.kind == SHARE_REST);
	CHECK(share_parse("%", &s));
	CHECK(share_parse("5%%", &s));
	CHECK(share_parse("-5%", &s));
	CHECK(share_parse("nan%", &s));
	CHECK(share_parse("", &s));
}

static void plan_holds_the_whole_trace(void)
{
	struct mkpool_opts o = {
		.block = 65536,
		.blocks = 20803,
		.extra = 3,
		.dram = { .kind = SHARE_PERCENT, .percent = 5 },
		.cxl = { .kind = SHARE_PERCENT, .percent = 10 },
		.nvme = { .kind = SHARE_REST },
		.cxl_node = 1,
	};
	struct mkpool_plan p;

	mkpool_plan(&o, &p);
	CHECK_EQ(p.dram, 1041); /* 1040.15 rounded up */
	CHECK_EQ(p.cxl, 2081);
	CHECK(p.dram + p.cxl + p.nvme >= 20806);
	CHECK(p.nvme < 20803);
	o.cxl_node = -1;
	mkpool_plan(&o, &p);
	CHECK_EQ(p.cxl, 0);
	CHECK(p.dram + p.nvme >= 20806);
	/* A share of next to nothing is still a tier to work with. */
	o.blocks = 3;
	mkpool_plan(&o, &p);
	CHECK_EQ(p.dram, 8);
	CHECK(p.nvme > 0);
}

int main(void)
{
	CASE(sizes_are_parsed);
	CASE(bad_sizes_are_refused);
	CASE(numbers_have_limits);
	CASE(ranges_are_half_open);
	CASE(sizes_are_printed);
	CASE(bars_have_their_width);
	CASE(shares_are_parsed);
	CASE(plan_holds_the_whole_trace);
	UNIT_END();
}
