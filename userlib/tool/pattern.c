// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include "pattern.h"

void pattern_fill(void *block, size_t size, uint64_t id)
{
	uint64_t *w = block, v = mix64(id);
	size_t i, n = size / 8;

	for (i = 0; i < n; i += 4, v += 4 * PATTERN_STEP) {
		w[i] = v;
		w[i + 1] = v + PATTERN_STEP;
		w[i + 2] = v + 2 * PATTERN_STEP;
		w[i + 3] = v + 3 * PATTERN_STEP;
	}
	w[0] = id;
}

static long find_wrong(const uint64_t *w, size_t n, uint64_t id)
{
	uint64_t v = mix64(id);
	size_t i;

	if (w[0] != id)
		return 0;
	for (i = 1; i < n; i++)
		if (w[i] != v + i * PATTERN_STEP)
			return (long)i;
	return -1;
}

long pattern_check(const void *block, size_t size, uint64_t id)
{
	const uint64_t *w = block;
	uint64_t v = mix64(id), diff;
	size_t i, n = size / 8;

	diff = w[0] ^ id;
	diff |= (w[1] ^ (v + PATTERN_STEP)) | (w[2] ^ (v + 2 * PATTERN_STEP)) |
		(w[3] ^ (v + 3 * PATTERN_STEP));
	for (i = 4; i < n; i += 4) {
		v += 4 * PATTERN_STEP;
		diff |= (w[i] ^ v) | (w[i + 1] ^ (v + PATTERN_STEP)) |
			(w[i + 2] ^ (v + 2 * PATTERN_STEP)) |
			(w[i + 3] ^ (v + 3 * PATTERN_STEP));
	}
	return diff ? find_wrong(w, n, id) : -1;
}
