/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Checks of the host's unit tests: TAP-like lines, exit status 1 on failure. */
#ifndef UNIT_H
#define UNIT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int unit_nr, unit_failed, unit_case_failed;

#define CHECK(cond)                                                           \
	do {                                                                  \
		if (!(cond)) {                                                \
			unit_case_failed = 1;                                 \
			printf("# %s:%d: not true: %s\n", __FILE__, __LINE__, \
			       #cond);                                        \
		}                                                             \
	} while (0)

#define CHECK_EQ(a, b)                                                      \
	do {                                                                \
		long long a_ = (long long)(a), b_ = (long long)(b);         \
		if (a_ != b_) {                                             \
			unit_case_failed = 1;                               \
			printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, \
			       __LINE__, #a, a_, b_);                       \
		}                                                           \
	} while (0)

#define CHECK_STR(a, b)                                               \
	do {                                                          \
		const char *a_ = (a), *b_ = (b);                      \
		if (strcmp(a_, b_)) {                                 \
			unit_case_failed = 1;                         \
			printf("# %s:%d: %s is \"%s\", not \"%s\"\n", \
			       __FILE__, __LINE__, #a, a_, b_);       \
		}                                                     \
	} while (0)

#define CASE(fn)                                                           \
	do {                                                               \
		unit_case_failed = 0;                                      \
		fn();                                                      \
		unit_failed |= unit_case_failed;                           \
		printf("%s %d - %s\n", unit_case_failed ? "not ok" : "ok", \
		       ++unit_nr, #fn);                                    \
		fflush(stdout);                                            \
	} while (0)

#define UNIT_END() return (printf("1..%d\n", unit_nr), unit_failed)

/* A new temporary file with this content; its path is static. */
__attribute__((unused)) static const char *unit_file(const void *data,
						     size_t len, size_t size)
{
	static char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/kvlift-unit.XXXXXX");
	f = fdopen(mkstemp(path), "w");
	if (!f)
		abort();
	if (len && fwrite(data, 1, len, f) != len)
		abort();
	if (size > len && (fseek(f, (long)size - 1, SEEK_SET) || fputc(0, f)))
		abort();
	fclose(f);
	return path;
}

#endif
