// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Traces: lines, compressed files, numbering of ids. */
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <unistd.h>
#include <zstd.h>

#include "stream.h"
#include "trace.h"
#include "unit.h"

static struct request r;

static int parse(const char *line)
{
	const char *why;
	size_t at;
	/* A copy without a NUL, so that ASan sees a read beyond the end. */
	size_t len = strlen(line);
	char *copy = malloc(len ? len : 1);
	int ret;

	memcpy(copy, line, len);
	ret = request_parse(copy, len, &r, &why, &at);
	CHECK(at <= len);
	CHECK(why && *why);
	free(copy);
	return ret;
}

static void lines_are_parsed(void)
{
	CHECK_EQ(
		parse("{\"timestamp\": 12.5, \"input_length\": 6758, \"output_length\": 500, \"hash_ids\": [0, 14, 18446744073709551615]}"),
		0);
	CHECK(r.timestamp == 12.5);
	CHECK_EQ(r.input_length, 6758);
	CHECK_EQ(r.output_length, 500);
	CHECK_EQ(r.nr_ids, 3);
	CHECK(r.ids[1] == 14 && r.ids[2] == UINT64_MAX);
	CHECK_EQ(parse("{\"hash_ids\":[]}"), 0);
	CHECK_EQ(r.nr_ids, 0);
	CHECK_EQ(parse(" { \"hash_ids\" : [ 1 , 2 ] } \r"), 0);
	CHECK_EQ(r.nr_ids, 2);
	CHECK_EQ(parse("{\"timestamp\":1e3,\"hash_ids\":[5]}"), 0);
	CHECK(r.timestamp == 1000);
	/* The claimed length says nothing about the number of ids. */
	CHECK_EQ(parse("{\"input_length\":0,\"hash_ids\":[1,2,3]}"), 0);
}

static void unknown_fields_are_skipped(void)
{
	CHECK_EQ(
		parse("{\"a\":{\"b\":[1,{\"c\":\"}]\\\"\"}],\"d\":null},\"hash_ids\":[1],\"x\":true,\"y\":false,\"z\":-1.5e-7,\"s\":\"\\u00e9\\\\\"}"),
		0);
	CHECK_EQ(r.nr_ids, 1);
}

static void labels_are_numbers_or_unknown(void)
{
	CHECK_EQ(
		parse("{\"session\":7,\"turn\":0,\"agent\":2,\"hash_ids\":[1]}"),
		0);
	CHECK(r.session == 7 && r.turn == 0 && r.agent == 2);
	CHECK_EQ(
		parse("{\"session\":\"a\",\"turn\":-1,\"agent\":[0],\"hash_ids\":[1]}"),
		0);
	CHECK(r.session == TRACE_UNKNOWN && r.turn == TRACE_UNKNOWN &&
	      r.agent == TRACE_UNKNOWN);
	CHECK_EQ(
		parse("{\"session\":4294967295,\"turn\":1.5,\"hash_ids\":[1]}"),
		0);
	CHECK(r.session == TRACE_UNKNOWN && r.turn == TRACE_UNKNOWN);
	CHECK_EQ(parse("{\"session\":,\"hash_ids\":[1]}"), -EINVAL);
}

static void malformed_lines_are_refused(void)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{}",
		"nonsense",
		"{\"hash_ids\"",
		"{\"hash_ids\":",
		"{\"hash_ids\":[",
		"{\"hash_ids\":[1",
		"{\"hash_ids\":[1,",
		"{\"hash_ids\":[1,]}",
		"{\"hash_ids\":[1 2]}",
		"{\"hash_ids\":[-1]}",
		"{\"hash_ids\":[1.5]}",
		"{\"hash_ids\":[1e3]}",
		"{\"hash_ids\":[18446744073709551616]}",
		"{\"hash_ids\":[\"a\"]}",
		"{\"hash_ids\":{}}",
		"{\"hash_ids\":null}",
		"{\"hash_ids\":[1]",
		"{\"hash_ids\":[1]}x",
		"{\"hash_ids\":[1]}{\"hash_ids\":[1]}",
		"{\"hash_ids\":[1],}",
		"{hash_ids:[1]}",
		"{\"hash_ids\" [1]}",
		"{\"timestamp\":\"x\",\"hash_ids\":[1]}",
		"{\"input_length\":-1,\"hash_ids\":[1]}",
		"{\"a\":}",
		"{\"a\":tru,\"hash_ids\":[1]}",
		"{\"a\":\"\\",
		"{\"a\":\"\t\",\"hash_ids\":[1]}",
		"{\"a\":1.,\"hash_ids\":[1]}",
		"{\"a\":[[[[",
		"{\"a\":],\"hash_ids\":[1]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret = parse(bad[i]);

		if (ret != -EINVAL)
			printf("# taken: %s\n", bad[i]);
		CHECK_EQ(ret, -EINVAL);
	}
}

/* Every prefix and every one-byte change of a good line: no crash. */
static void damaged_lines_do_no_harm(void)
{
	static const char good[] =
		"{\"timestamp\":0,\"input_length\":1,\"s\":\"a\\\"b\",\"hash_ids\":[0,1,22],\"m\":[{}]}";
	static const char with[] = "\"{}[],:\\-.e9 \x01\xff";
	char line[sizeof(good)];

	for (size_t i = 0; i < sizeof(good); i++) {
		memcpy(line, good, sizeof(good));
		line[i] = 0;
		parse(line);
		for (size_t k = 0; i < sizeof(good) - 1 && k < sizeof(with) - 1;
		     k++) {
			line[i] = with[k];
			parse(line);
		}
	}
}

static void deep_nesting_is_no_recursion(void)
{
	size_t n = 1000000;
	char *line = malloc(n + 64);
	const char *why;
	size_t at;

	strcpy(line, "{\"a\":");
	memset(line + 5, '[', n);
	CHECK_EQ(request_parse(line, n + 5, &r, &why, &at), -EINVAL);
	free(line);
}

static void ids_get_numbers_of_first_use(void)
{
	static const uint64_t a[] = { 7, UINT64_MAX, 0 }, b[] = { 0, 7, 9 };
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	CHECK_EQ(trace_add(&t, a, 3), 0);
	CHECK_EQ(trace_add(&t, NULL, 0), 0);
	CHECK_EQ(trace_add(&t, b, 3), 0);
	CHECK_EQ(t.nr_requests, 3);
	CHECK_EQ(t.nr_refs, 6);
	CHECK_EQ(t.nr_ids, 4);
	CHECK(t.ids[1] == UINT64_MAX);
	CHECK_EQ(t.refs[3], 2);
	CHECK_EQ(t.refs[4], 0);
	CHECK_EQ(t.refs[5], 3);
	CHECK_EQ(t.start[1], 3);
	CHECK_EQ(t.start[2], 3);
	CHECK_EQ(t.start[3], 6);
	CHECK_EQ(trace_find(&t, 9), 3);
	CHECK_EQ(trace_find(&t, 10), UINT32_MAX);
	trace_free(&t);
}

static void requests_keep_what_they_say(void)
{
	uint64_t ids[] = { 5, 6 };
	struct request q = { .timestamp = 1.5,
			     .input_length = 1000,
			     .session = 3,
			     .turn = 4,
			     .agent = 1,
			     .ids = ids,
			     .nr_ids = 2 };
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	CHECK_EQ(trace_add(&t, ids, 2), 0);
	CHECK_EQ(trace_add_request(&t, &q), 0);
	CHECK(t.info[0].session == TRACE_UNKNOWN && t.info[0].timestamp == 0);
	CHECK(t.info[1].timestamp == 1.5);
	CHECK_EQ(t.info[1].input_length, 1000);
	CHECK(t.info[1].session == 3 && t.info[1].turn == 4 &&
	      t.info[1].agent == 1);
	CHECK_EQ(t.nr_refs, 4);
	trace_free(&t);
}

static void many_ids_survive_rehashing(void)
{
	struct trace t;
	uint64_t id;

	trace_init(&t);
	for (id = 0; id < 50000; id++) {
		uint64_t x = id << 40;

		CHECK_EQ(trace_add(&t, &x, 1), 0);
	}
	CHECK_EQ(t.nr_ids, 50000);
	for (id = 0; id < 50000; id += 77)
		CHECK_EQ(trace_find(&t, id << 40), id);
	CHECK_EQ(t.nr_requests, 50000);
	trace_free(&t);
}

static const char three[] = "{\"hash_ids\":[1,2]}\n\n{\"hash_ids\":[1,3]}\r\n"
			    "{\"hash_ids\":[1,2,4]}";

static void check_three(const char *path, uint64_t max, uint64_t requests,
			uint32_t ids)
{
	struct trace t;

	trace_init(&t);
	CHECK_EQ(trace_load(&t, path, max), 0);
	CHECK_EQ(t.nr_requests, requests);
	CHECK_EQ(t.nr_ids, ids);
	trace_free(&t);
}

static int load_status(const char *path)
{
	struct trace t;
	int ret;

	trace_init(&t);
	ret = trace_load(&t, path, 0);
	trace_free(&t);
	return ret;
}

static void plain_files_are_read(void)
{
	const char *path = unit_file(three, strlen(three), 0);

	check_three(path, 0, 3, 4);
	check_three(path, 2, 2, 3);
	unlink(path);
	path = unit_file("", 0, 0);
	CHECK_EQ(load_status(path), -ENODATA);
	unlink(path);
	CHECK_EQ(load_status("/nonexistent"), -ENOENT);
	path = unit_file("{\"hash_ids\":[1]}\nx\n", 19, 0);
	CHECK_EQ(load_status(path), -EINVAL);
	unlink(path);
}

static void xz_files_are_read(void)
{
	unsigned char out[4096];
	size_t len = 0;
	const char *path;

	CHECK_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL,
					 (const uint8_t *)three, strlen(three),
					 out, &len, sizeof(out)),
		 LZMA_OK);
	path = unit_file(out, len, 0);
	check_three(path, 0, 3, 4);
	unlink(path);
	path = unit_file(out, len - 9, 0);
	CHECK_EQ(load_status(path), -EBADMSG);
	unlink(path);
	out[len / 2] ^= 0x55;
	path = unit_file(out, len, 0);
	CHECK(load_status(path) < 0);
	unlink(path);
}

static void zst_files_are_read(void)
{
	unsigned char out[4096];
	const char *path;
	size_t len;

	len = ZSTD_compress(out, sizeof(out), three, strlen(three), 3);
	path = unit_file(out, len, 0);
	check_three(path, 0, 3, 4);
	unlink(path);
	path = unit_file(out, len - 3, 0);
	CHECK_EQ(load_status(path), -EBADMSG);
	unlink(path);
	/* Two frames in a row, as cat makes them. */
	len = ZSTD_compress(out, sizeof(out), "{\"hash_ids\":[1]}\n", 17, 3);
	len += ZSTD_compress(out + len, sizeof(out) - len, three, strlen(three),
			     3);
	path = unit_file(out, len, 0);
	check_three(path, 0, 4, 4);
	unlink(path);
}

static void long_lines_are_whole(void)
{
	size_t n = 100000, i, off = 0;
	char *text = malloc(n * 8 + 64);
	const char *path;

	off += (size_t)sprintf(text, "{\"hash_ids\":[");
	for (i = 0; i < n; i++)
		off += (size_t)sprintf(text + off, "%s%zu", i ? "," : "", i);
	off += (size_t)sprintf(text + off, "]}\n");
	path = unit_file(text, off, 0);
	check_three(path, 0, 1, (uint32_t)n);
	unlink(path);
	free(text);
}

/* The figures of their README, when the traces are beside the repository. */
static void real_traces_have_their_figures(void)
{
	static const struct {
		const char *file;
		uint64_t requests, refs;
		uint32_t ids, ids_1500;
	} real[] = {
		{ "mooncake_conversation_0_2400s.jsonl.xz", 7851, 194284,
		  126103, 30634 },
		{ "claudecode_dev_512.jsonl.xz", 9469, 2237908, 84648, 20803 },
	};
	const char *top = getenv("TOP");
	char path[512];

	for (int i = 0; top && i < 2; i++) {
		struct trace t;

		snprintf(path, sizeof(path), "%s/../shared/traces/%s", top,
			 real[i].file);
		if (access(path, R_OK)) {
			printf("# no %s\n", path);
			continue;
		}
		trace_init(&t);
		CHECK_EQ(trace_load(&t, path, 0), 0);
		CHECK_EQ(t.nr_requests, real[i].requests);
		CHECK_EQ(t.nr_refs, real[i].refs);
		CHECK_EQ(t.nr_ids, real[i].ids);
		trace_free(&t);
		check_three(path, 1500, 1500, real[i].ids_1500);
	}
}

static void without_times_requests_are_a_second_apart(void)
{
	uint64_t id = 1;
	struct request q = { .ids = &id, .nr_ids = 1 };
	struct trace t;

	CHECK_EQ(trace_init(&t), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(trace_add(&t, &id, 1), 0);
	trace_set_clock(&t);
	CHECK_EQ(t.info[0].timestamp, 0);
	CHECK_EQ(t.info[2].timestamp, 2000);
	/* One time is enough to leave all as they are. */
	q.timestamp = 7;
	CHECK_EQ(trace_add_request(&t, &q), 0);
	CHECK_EQ(trace_add(&t, &id, 1), 0);
	trace_set_clock(&t);
	CHECK_EQ(t.info[3].timestamp, 7);
	CHECK_EQ(t.info[4].timestamp, 0);
	trace_free(&t);
}

int main(void)
{
	CASE(lines_are_parsed);
	CASE(unknown_fields_are_skipped);
	CASE(labels_are_numbers_or_unknown);
	CASE(malformed_lines_are_refused);
	CASE(damaged_lines_do_no_harm);
	CASE(deep_nesting_is_no_recursion);
	CASE(ids_get_numbers_of_first_use);
	CASE(requests_keep_what_they_say);
	CASE(many_ids_survive_rehashing);
	CASE(plain_files_are_read);
	CASE(xz_files_are_read);
	CASE(zst_files_are_read);
	CASE(long_lines_are_whole);
	CASE(real_traces_have_their_figures);
	free(r.ids);
	CASE(without_times_requests_are_a_second_apart);
	UNIT_END();
}
