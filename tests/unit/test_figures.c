// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Histogram, pattern, generator, JSON writer, counters, location words. */
#include <errno.h>

#include "hist.h"
#include "kvlift.h"
#include "pattern.h"
#include "poolview.h"
#include "trace.h"
#include "unit.h"
#include "util.h"

static void quantiles_are_within_a_32nd(void)
{
	struct hist *h = calloc(1, sizeof(*h));
	static const double q[] = { 0.01, 0.5, 0.9, 0.99, 1.0 };
	uint64_t i;

	CHECK_EQ(hist_quantile(h, 0.5), 0);
	CHECK_EQ(hist_mean(h), 0);
	for (i = 1; i <= 100000; i++)
		hist_add(h, i * 1000);
	CHECK_EQ(h->count, 100000);
	CHECK_EQ(hist_mean(h), 50000500);
	for (i = 0; i < 5; i++) {
		double want = q[i] * 1e8;
		double got = (double)hist_quantile(h, q[i]);

		CHECK(got >= want && got <= want * (1 + 1.0 / 32));
	}
	free(h);
}

static void small_and_huge_values_fit(void)
{
	struct hist *h = calloc(1, sizeof(*h));

	for (uint64_t i = 0; i < 64; i++) {
		hist_add(h, i);
		hist_add(h, 1ULL << i);
		hist_add(h, (1ULL << i) - 1);
	}
	hist_add(h, UINT64_MAX);
	CHECK(hist_quantile(h, 1) == UINT64_MAX);
	CHECK_EQ(h->max == UINT64_MAX, 1);
	free(h);
	h = calloc(1, sizeof(*h));
	hist_add(h, 5);
	hist_add(h, 7);
	CHECK_EQ(hist_quantile(h, 0.5), 5);
	CHECK_EQ(hist_quantile(h, 0.51), 7);
	free(h);
}

static void pattern_checks_itself(void)
{
	size_t size = 16384;
	uint64_t *w = aligned_alloc(64, size);
	static const uint64_t ids[] = { 0, 1, 12345, UINT64_MAX };

	for (int i = 0; i < 4; i++) {
		pattern_fill(w, size, ids[i]);
		CHECK(w[0] == ids[i]);
		CHECK_EQ(pattern_check(w, size, ids[i]), -1);
		CHECK(pattern_check(w, size, ids[i] ^ 1) >= 0);
	}
	free(w);
}

static void every_wrong_bit_is_found(void)
{
	size_t size = 16384, n = size / 8;
	uint64_t *w = aligned_alloc(64, size);

	pattern_fill(w, size, 42);
	for (size_t i = 0; i < n; i++) {
		w[i] ^= 1ULL << (i % 64);
		CHECK_EQ(pattern_check(w, size, 42), (long)i);
		w[i] ^= 1ULL << (i % 64);
	}
	/* Two pages changed places; zeros; a page of another block. */
	memcpy(w + 512, w + 1024, 4096);
	CHECK_EQ(pattern_check(w, size, 42), 512);
	memset(w, 0, size);
	CHECK_EQ(pattern_check(w, size, 42), 0);
	CHECK_EQ(pattern_check(w, size, 0), 1);
	free(w);
}

static void generator_is_like_the_traces(void)
{
	static const struct {
		enum gen_kind kind;
		uint64_t requests;
		double reuse, blocks, once;
	} want[] = {
		{ GEN_CHAT, 7851, 0.351, 24.7, 0.77 },
		{ GEN_AGENT, 9469, 0.962, 236, 0.06 },
	};

	for (int i = 0; i < 2; i++) {
		for (uint64_t seed = 1; seed <= 3; seed++) {
			uint32_t *uses, once = 0;
			double blocks, share;
			struct trace t;

			trace_init(&t);
			CHECK_EQ(trace_generate(&t, want[i].kind, seed,
						want[i].requests),
				 0);
			uses = calloc(t.nr_ids, sizeof(*uses));
			for (uint64_t k = 0; k < t.nr_refs; k++)
				uses[t.refs[k]]++;
			for (uint32_t k = 0; k < t.nr_ids; k++)
				once += uses[k] == 1;
			blocks = (double)t.nr_refs / (double)t.nr_requests;
			share = (double)once / t.nr_ids;
			printf("# reuse %.3f, %.1f blocks, once %.2f\n",
			       trace_reuse(&t), blocks, share);
			CHECK(trace_reuse(&t) > want[i].reuse - 0.03);
			CHECK(trace_reuse(&t) < want[i].reuse + 0.03);
			CHECK(blocks > want[i].blocks * 0.8);
			CHECK(blocks < want[i].blocks * 1.2);
			CHECK(share > want[i].once - 0.12);
			CHECK(share < want[i].once + 0.12);
			free(uses);
			trace_free(&t);
		}
	}
}

/* An id stands for its block and everything before it. */
static void generated_ids_are_prefix_chained(void)
{
	for (int kind = 0; kind < 2; kind++) {
		struct trace t;
		uint32_t *before;

		trace_init(&t);
		trace_generate(&t, kind, 7, 2000);
		before = calloc(t.nr_ids, sizeof(*before));
		for (uint64_t q = 0; q < t.nr_requests; q++) {
			uint32_t last = UINT32_MAX - 1;

			for (uint64_t k = t.start[q]; k < t.start[q + 1]; k++) {
				uint32_t n = t.refs[k];

				CHECK(!before[n] || before[n] == last + 2);
				before[n] = last + 2;
				last = n;
			}
		}
		free(before);
		trace_free(&t);
	}
}

static void generator_is_deterministic(void)
{
	struct trace a, b, c;

	trace_init(&a);
	trace_init(&b);
	trace_init(&c);
	trace_generate(&a, GEN_CHAT, 1, 500);
	trace_generate(&b, GEN_CHAT, 1, 500);
	trace_generate(&c, GEN_CHAT, 2, 500);
	CHECK_EQ(a.nr_refs, b.nr_refs);
	CHECK(!memcmp(a.refs, b.refs, a.nr_refs * sizeof(*a.refs)));
	CHECK(a.nr_refs != c.nr_refs);
	trace_free(&a);
	trace_free(&b);
	trace_free(&c);
}

static void json_is_well_formed(void)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct json j;

	json_init(&j, f);
	json_open(&j, NULL, '{');
	json_u64(&j, "a", UINT64_MAX);
	json_i64(&j, "b", -1);
	json_open(&j, "c", '[');
	json_str(&j, NULL, "q\"\\\n");
	json_str(&j, NULL, NULL);
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_close(&j, ']');
	json_bool(&j, "d", true);
	json_f64(&j, "e", 0.5);
	json_f64(&j, "f", 1e308 * 10);
	json_close(&j, '}');
	json_end(&j);
	fclose(f);
	CHECK_STR(
		text,
		"{\"a\":18446744073709551615,\"b\":-1,\"c\":[\"q\\\"\\\\\\u000a\",null,{}],\"d\":true,\"e\":0.5,\"f\":null}\n");
	free(text);
}

static void counters_are_read(void)
{
	struct counters c;

	counters_parse(
		"faults 12\npromote 3\nmove_dram_cxl 18446744073709551615\n",
		&c);
	CHECK_EQ(c.count, 3);
	CHECK_EQ(counter_get(&c, "promote"), 3);
	CHECK(counter_get(&c, "move_dram_cxl") == UINT64_MAX);
	CHECK_EQ(counter_get(&c, "none"), 0);
	counters_parse("", &c);
	CHECK_EQ(c.count, 0);
	counters_parse("garbage", &c);
	CHECK_EQ(c.count, 0);
}

static void mount_points_are_unescaped(void)
{
	char s[] = "/mnt/a\\040b\\134c\\9";

	unescape_mount(s);
	CHECK_STR(s, "/mnt/a b\\c\\9");
}

static void location_words_come_apart(void)
{
	uint64_t word = 0x12345678ULL | 0xbeefULL << KVLIFT_LOC_GEN_SHIFT |
			KVLIFT_LOC_PRESENT | KVLIFT_LOC_SHADOW |
			31ULL << KVLIFT_LOC_MEMBER_SHIFT |
			3ULL << KVLIFT_LOC_TIER_SHIFT;
	struct kvlift_loc loc = kvlift_loc_decode(word);

	CHECK_EQ(loc.slot, 0x12345678);
	CHECK_EQ(loc.gen, 0xbeef);
	CHECK_EQ(loc.member, 31);
	CHECK_EQ(loc.tier, KVLIFT_TIER_NVME);
	CHECK(loc.present && loc.shadow && !loc.error);
	loc = kvlift_loc_decode(0);
	CHECK(!loc.present && !loc.shadow && !loc.error);
}

static void tables_end(void)
{
	uint64_t words[2] = { 1, 2 };
	struct kvlift_table t = { .words = words, .count = 2 };

	CHECK_EQ(kvlift_table_lookup(&t, 1), 2);
	CHECK_EQ(kvlift_table_lookup(&t, 2), 0);
	CHECK_EQ(kvlift_table_lookup(&t, UINT64_MAX), 0);
}

static void errors_have_texts(void)
{
	CHECK_STR(kvlift_strerror(-EMEDIUMTYPE), "Not on a kvlift filesystem");
	CHECK_STR(kvlift_strerror(EMEDIUMTYPE), "Not on a kvlift filesystem");
	CHECK_STR(kvlift_strerror(123456), "Unknown error");
	CHECK_STR(kvlift_strerror(INT32_MIN), "Unknown error");
	CHECK_STR(kvlift_tier_name(KVLIFT_TIER_CXL), "cxl");
	CHECK_STR(kvlift_tier_name(99), "?");
}

static void handles_refuse_what_is_not_ours(void)
{
	struct kvlift_pool *pool;

	errno = 4711;
	CHECK_EQ(kvlift_pool_open("/tmp", &pool), -EMEDIUMTYPE);
	CHECK_EQ(kvlift_pool_open("/nonexistent", &pool), -ENOENT);
	CHECK_EQ(kvlift_pool_open("/etc/passwd", &pool), -ENOTDIR);
	CHECK_EQ(errno, 4711);
	kvlift_pool_close(NULL);
	kvlift_region_close(NULL);
}

int main(void)
{
	CASE(quantiles_are_within_a_32nd);
	CASE(small_and_huge_values_fit);
	CASE(pattern_checks_itself);
	CASE(every_wrong_bit_is_found);
	CASE(generator_is_like_the_traces);
	CASE(generated_ids_are_prefix_chained);
	CASE(generator_is_deterministic);
	CASE(json_is_well_formed);
	CASE(counters_are_read);
	CASE(mount_points_are_unescaped);
	CASE(location_words_come_apart);
	CASE(tables_end);
	CASE(errors_have_texts);
	CASE(handles_refuse_what_is_not_ours);
	UNIT_END();
}
