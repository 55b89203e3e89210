// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* kvlift policy: what the module tells of policies, and how places are named. */
#include "policy_verb.h"
#include "unit.h"

static const char two[] = "name mine\n"
			  "state active\n"
			  "domain 0\n"
			  "reason no victim in 16 calls\n"
			  "victims 18446744073709551615\n"
			  "events_lost 0\n"
			  "\n"
			  "name lru\n"
			  "state ejected\n"
			  "domain 17\n"
			  "empty \n"
			  "victims -1\n";

static void reports_follow_each_other(void)
{
	struct policy_report r;
	const char *at = policy_report_parse(two, &r);

	CHECK(at != NULL);
	CHECK_EQ(r.nr, 6);
	CHECK_STR(policy_report_get(&r, "name"), "mine");
	CHECK_STR(policy_report_get(&r, "reason"), "no victim in 16 calls");
	CHECK_EQ(policy_report_u64(&r, "victims"), UINT64_MAX);
	CHECK_EQ(policy_report_u64(&r, "domain"), 0);
	CHECK(!policy_report_get(&r, "last"));
	at = policy_report_parse(at, &r);
	CHECK(at != NULL);
	CHECK_EQ(policy_report_u64(&r, "domain"), 17);
	CHECK_STR(policy_report_get(&r, "empty"), "");
	CHECK_EQ(policy_report_u64(&r, "victims"), 0);
	CHECK(policy_report_parse(at, &r) == NULL);
	CHECK_EQ(r.nr, 0);
}

/* A page of sysfs ends where it ends. */
static void cut_text_is_taken_as_far_as_it_goes(void)
{
	char text[sizeof(two)];
	struct policy_report r;
	unsigned int reports;
	const char *at;
	size_t len;

	for (len = 0; len < sizeof(two); len++) {
		memcpy(text, two, len);
		text[len] = 0;
		at = text;
		for (reports = 0; (at = policy_report_parse(at, &r)); reports++)
			CHECK(at >= text && at <= text + len);
		CHECK(reports <= 2);
	}
}

static void only_a_name_is_a_report(void)
{
	struct policy_report r;
	const char *at = policy_report_parse("lru", &r);

	CHECK_STR(policy_report_get(&r, "name"), "lru");
	CHECK_STR(policy_report_get(&r, "state"), "none");
	CHECK(at && !policy_report_parse(at, &r));
}

static void too_much_is_left_out(void)
{
	static char text[64 << 10];
	struct policy_report r;
	size_t len = 0, i;

	for (i = 0; i < 300; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"key%zu %0*zu\n", i, (int)i, i);
	CHECK(policy_report_parse(text, &r) != NULL);
	CHECK_EQ(r.nr, POLICY_FIELDS);
	memset(text, 'k', 1000);
	text[1000] = ' ';
	memset(text + 1001, 'v', 1000);
	text[2001] = 0;
	CHECK(policy_report_parse(text, &r) != NULL);
	CHECK_EQ(r.nr, 1);
	CHECK_EQ(strlen(r.field[0].key), sizeof(r.field[0].key) - 1);
	CHECK_EQ(strlen(r.field[0].value), sizeof(r.field[0].value) - 1);
}

static void places_have_numbers(void)
{
	static const char *const bad[] = { "",	    ":",	  "3:", "3:x",
					   "x:3",   "4294967296", "/",	":5",
					   "3:4:5", "/none" };
	struct policy_place p;
	struct policy_pins pins;
	size_t i;

	CHECK(!policy_place_find("3", &p) && p.pool == 3 && !p.domain);
	policy_pins_name(&p, &pins);
	CHECK_STR(pins.link, "/sys/fs/bpf/kvlift/3/policy");
	CHECK(!policy_place_find("4294967295:18446744073709551615", &p));
	CHECK(p.pool == UINT32_MAX && p.domain == UINT64_MAX);
	policy_pins_name(&p, &pins);
	CHECK_STR(pins.link,
		  "/sys/fs/bpf/kvlift/4294967295/policy-18446744073709551615");
	CHECK_STR(strrchr(pins.new_progs, '/'),
		  "/policy-18446744073709551615_progs_new");
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(policy_place_find(bad[i], &p));
}

int main(void)
{
	CASE(reports_follow_each_other);
	CASE(cut_text_is_taken_as_far_as_it_goes);
	CASE(only_a_name_is_a_report);
	CASE(too_much_is_left_out);
	CASE(places_have_numbers);
	UNIT_END();
}
