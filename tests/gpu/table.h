/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rows with what was measured, printed as text and written as JSON lines. */
#ifndef KVT_TABLE_H
#define KVT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROW_REPS 16

/**
 * struct row
 * @table:	which one it is in
 * @name:	of what was measured
 * @block:	bytes, 0: of no block
 * @unit:	of all values
 * @value:	one of each repetition
 * @target:	least share of @peer that the median has to have; 0: none
 * @peer:	what that is
 * @note:	behind it; where there are no values, why
 */
struct row {
	const char *table, *name, *unit, *peer_name;
	uint64_t block;
	double value[ROW_REPS];
	unsigned int nr;
	double target, peer;
	const char *note;
};

double row_median(const struct row *r);
double row_best(const struct row *r);
void row_add(struct row *r, double value);
/* Prints it, with a head when it is the first of its table. */
void row_print(const struct row *r);
/* Lines of JSON go there too. 0 or -errno. */
int table_open(const char *json, const char *device, bool is_real);
/* Words that were wrong, of so many bytes that were looked at. */
void table_wrong(uint64_t words, uint64_t bytes, const char *where);
/* Says how it ended: the exit status. Targets count only if they are to. */
int table_end(bool targets);

#endif
