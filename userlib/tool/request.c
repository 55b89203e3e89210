// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The little JSON that a line of a trace needs. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

struct cursor {
	const char *start, *p, *end;
	const char *why;
};

static int fail(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
	return -EINVAL;
}

static void blanks(struct cursor *c)
{
	while (c->p < c->end &&
	       (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
}

static bool take(struct cursor *c, char want)
{
	blanks(c);
	if (c->p == c->end || *c->p != want)
		return false;
	c->p++;
	return true;
}

/* The raw text between quotes; escapes stay as they are. */
static int string(struct cursor *c, const char **s, size_t *len)
{
	if (!take(c, '"'))
		return fail(c, "a string is expected");
	*s = c->p;
	while (c->p < c->end && *c->p != '"') {
		if ((unsigned char)*c->p < 0x20)
			return fail(c, "control character in a string");
		if (*c->p == '\\' && c->p + 1 < c->end)
			c->p++;
		c->p++;
	}
	if (c->p >= c->end) {
		c->p = c->end;
		return fail(c, "the string does not end");
	}
	*len = (size_t)(c->p - *s);
	c->p++;
	return 0;
}

static bool digit(const struct cursor *c)
{
	return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

/*
 * A number; *whole is set when it is a natural number that fits, which is the
 * only kind an id or a length can be.
 */
static int number(struct cursor *c, double *value, uint64_t *natural,
		  bool *whole)
{
	bool minus = false, eminus = false;
	double v = 0, scale = 1;
	uint64_t n = 0;
	int e = 0;

	blanks(c);
	*whole = true;
	if (c->p < c->end && *c->p == '-') {
		minus = true;
		*whole = false;
		c->p++;
	}
	if (!digit(c))
		return fail(c, "a number is expected");
	for (; digit(c); c->p++) {
		uint64_t d = (uint64_t)(*c->p - '0');

		v = v * 10 + (double)d;
		if (n > (UINT64_MAX - d) / 10)
			*whole = false;
		else
			n = n * 10 + d;
	}
	if (c->p < c->end && *c->p == '.') {
		*whole = false;
		c->p++;
		if (!digit(c))
			return fail(c, "no digit after the point");
		for (; digit(c); c->p++) {
			scale /= 10;
			v += scale * (*c->p - '0');
		}
	}
	if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
		*whole = false;
		c->p++;
		if (c->p < c->end && (*c->p == '-' || *c->p == '+'))
			eminus = *c->p++ == '-';
		if (!digit(c))
			return fail(c, "no digit in the exponent");
		for (; digit(c); c->p++)
			if (e < 1000)
				e = e * 10 + (*c->p - '0');
		for (; e; e--)
			v = eminus ? v / 10 : v * 10;
	}
	*value = minus ? -v : v;
	*natural = n;
	return 0;
}

static int word(struct cursor *c, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, w, n) != 0)
		return fail(c, "not a value");
	c->p += n;
	return 0;
}

/* Any value; nesting is counted, not recursed into, so depth is no danger. */
static int skip(struct cursor *c)
{
	unsigned int depth = 0;
	uint64_t natural;
	const char *s;
	double value;
	size_t len;
	bool whole;
	int ret;

	do {
		blanks(c);
		if (c->p == c->end)
			return fail(c, "the line ends in the middle");
		switch (*c->p) {
		case '{':
		case '[':
			depth++;
			c->p++;
			break;
		case '}':
		case ']':
			if (!depth)
				return fail(c, "a value is expected");
			depth--;
			c->p++;
			break;
		case ',':
		case ':':
			if (!depth)
				return fail(c, "a value is expected");
			c->p++;
			break;
		case '"':
			ret = string(c, &s, &len);
			if (ret)
				return ret;
			break;
		case 't':
			ret = word(c, "true");
			if (ret)
				return ret;
			break;
		case 'f':
			ret = word(c, "false");
			if (ret)
				return ret;
			break;
		case 'n':
			ret = word(c, "null");
			if (ret)
				return ret;
			break;
		default:
			ret = number(c, &value, &natural, &whole);
			if (ret)
				return ret;
		}
	} while (depth);
	return 0;
}

static int natural_number(struct cursor *c, uint64_t *n)
{
	double value;
	bool whole;
	int ret;

	ret = number(c, &value, n, &whole);
	if (ret)
		return ret;
	return whole ? 0 : fail(c, "not a natural number of 64 bits");
}

/* A small number; a name, or anything else that is none, counts as unknown. */
static int label(struct cursor *c, uint32_t *value)
{
	uint64_t natural;
	double v;
	bool whole;
	int ret;

	*value = TRACE_UNKNOWN;
	blanks(c);
	if (!digit(c))
		return skip(c);
	ret = number(c, &v, &natural, &whole);
	if (!ret && whole && natural < TRACE_UNKNOWN)
		*value = (uint32_t)natural;
	return ret;
}

static int id_list(struct cursor *c, struct request *r)
{
	int ret;

	r->nr_ids = 0;
	if (!take(c, '['))
		return fail(c, "hash_ids is not an array");
	if (take(c, ']'))
		return 0;
	do {
		if (r->nr_ids == r->cap_ids) {
			uint32_t cap = r->cap_ids ? r->cap_ids * 2 : 256;
			uint64_t *ids = realloc(r->ids, cap * sizeof(*ids));

			if (!ids)
				return -ENOMEM;
			r->ids = ids;
			r->cap_ids = cap;
		}
		ret = natural_number(c, &r->ids[r->nr_ids]);
		if (ret)
			return ret;
		r->nr_ids++;
	} while (take(c, ','));
	return take(c, ']') ? 0 : fail(c, "hash_ids: , or ] is expected");
}

static bool is(const char *key, size_t len, const char *name)
{
	return strlen(name) == len && !memcmp(key, name, len);
}

static int fields(struct cursor *c, struct request *r, bool *have_ids)
{
	uint64_t natural;
	const char *key;
	size_t len;
	bool whole;
	int ret;

	if (!take(c, '{'))
		return fail(c, "not an object");
	if (take(c, '}'))
		return 0;
	do {
		ret = string(c, &key, &len);
		if (ret)
			return ret;
		if (!take(c, ':'))
			return fail(c, "a colon is expected");
		if (is(key, len, "hash_ids")) {
			ret = id_list(c, r);
			*have_ids = true;
		} else if (is(key, len, "timestamp")) {
			ret = number(c, &r->timestamp, &natural, &whole);
		} else if (is(key, len, "input_length")) {
			ret = natural_number(c, &r->input_length);
		} else if (is(key, len, "output_length")) {
			ret = natural_number(c, &r->output_length);
		} else if (is(key, len, "session")) {
			ret = label(c, &r->session);
		} else if (is(key, len, "turn")) {
			ret = label(c, &r->turn);
		} else if (is(key, len, "agent")) {
			ret = label(c, &r->agent);
		} else {
			ret = skip(c);
		}
		if (ret)
			return ret;
	} while (take(c, ','));
	return take(c, '}') ? 0 : fail(c, ", or } is expected");
}

int request_parse(const char *line, size_t len, struct request *r,
		  const char **why, size_t *at)
{
	struct cursor c = { .start = line, .p = line, .end = line + len };
	bool have_ids = false;
	int ret;

	r->timestamp = 0;
	r->input_length = 0;
	r->output_length = 0;
	r->session = TRACE_UNKNOWN;
	r->turn = TRACE_UNKNOWN;
	r->agent = TRACE_UNKNOWN;
	r->nr_ids = 0;
	ret = fields(&c, r, &have_ids);
	if (!ret) {
		blanks(&c);
		if (c.p != c.end)
			ret = fail(&c, "text after the object");
		else if (!have_ids)
			ret = fail(&c, "no hash_ids");
	}
	*why = c.why ? c.why : "out of memory";
	*at = (size_t)(c.p - c.start);
	return ret;
}
