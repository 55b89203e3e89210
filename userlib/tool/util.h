/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the verbs share: messages, sizes, ranges, progress, JSON. */
#ifndef TOOL_UTIL_H
#define TOOL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses. */
#define EXIT_OK	   0
#define EXIT_FAIL  1 /* it did not work, or a check failed */
#define EXIT_USAGE 2 /* the call was wrong */

#define KIB	   (1ULL << 10)
#define MIB	   (1ULL << 20)
#define GIB	   (1ULL << 30)

struct verb {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

extern const struct verb verbs[];
int run_format(int argc, char **argv);
int run_status(int argc, char **argv);
int run_where(int argc, char **argv);
int run_plan(int argc, char **argv);
int run_advise(int argc, char **argv);
int run_drain(int argc, char **argv);
int run_seal(int argc, char **argv);
int run_domain(int argc, char **argv);
int run_trace(int argc, char **argv);
int run_policy(int argc, char **argv);
int run_replay(int argc, char **argv);
int run_simulate(int argc, char **argv);
int run_bench(int argc, char **argv);
int run_run(int argc, char **argv);
int run_version(int argc, char **argv);
int run_help(int argc, char **argv);

/* "kvlift VERB: message" on standard error. */
extern const char *verb_name;
__attribute__((format(printf, 1, 2))) void error(const char *fmt, ...);
/* The same and a hint at --help; returns EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *fmt, ...);

/* "64K", "1.5G", "4096", "2MiB" to bytes. 0 or -EINVAL; 0 bytes is valid. */
int parse_size(const char *s, uint64_t *bytes);
/* A whole decimal number up to max. 0 or -EINVAL. */
int parse_u64(const char *s, uint64_t max, uint64_t *value);
/* "A:B" blocks A up to but not including B; "A:" to the end; "A" one block. */
int parse_range(const char *s, uint64_t *first, uint64_t *end);
/* 1536 as "1.5K", exact sizes without a fraction. Returns buf. */
#define SIZE_TEXT 16
char *size_text(uint64_t bytes, char buf[SIZE_TEXT]);
/* Nanoseconds as "850ns", "12.3us", "4.56ms", "7.89s". */
char *ns_text(uint64_t ns, char buf[SIZE_TEXT]);

uint64_t now_ns(void);
uint64_t ceil_div(uint64_t a, uint64_t b);
uint64_t round_up(uint64_t a, uint64_t to);

/* A bar on standard error when that is a terminal, else nothing. */
struct progress {
	const char *what;
	uint64_t total;
	uint64_t start, last;
	bool on;
};

void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_update(struct progress *p, uint64_t done);
void progress_end(struct progress *p);
/* width cells of bar, share in 0..1, into buf of 3 * width + 1 bytes. */
char *bar_text(double share, unsigned int width, char *buf);

/* A streaming JSON writer: one value at the top, commas by itself. */
struct json {
	FILE *f;
	unsigned int depth;
	bool first[32];
};

void json_init(struct json *j, FILE *f);
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_f64(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_str(struct json *j, const char *key, const char *value);
void json_end(struct json *j);

#endif
