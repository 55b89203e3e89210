// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

const char *verb_name = "kvlift";

static void complain(const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "kvlift %s: ", verb_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
}

int usage_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'kvlift %s --help'.\n", verb_name);
	return EXIT_USAGE;
}

static int suffix_shift(char c)
{
	switch (c) {
	case 'k':
	case 'K':
		return 10;
	case 'm':
	case 'M':
		return 20;
	case 'g':
	case 'G':
		return 30;
	case 't':
	case 'T':
		return 40;
	}
	return -1;
}

int parse_size(const char *s, uint64_t *bytes)
{
	uint64_t whole = 0, part = 0, scale = 1;
	int shift = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (whole > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		whole = whole * 10 + (uint64_t)(*s - '0');
	}
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++) {
			if (scale >= 1000000)
				continue;
			part = part * 10 + (uint64_t)(*s - '0');
			scale *= 10;
		}
	}
	if (*s) {
		if (*s != 'B') {
			shift = suffix_shift(*s);
			if (shift < 0)
				return -EINVAL;
			s++;
			if (*s == 'i')
				s++;
		}
		if (*s == 'B')
			s++;
		if (*s)
			return -EINVAL;
	}
	if (shift == 0 && scale > 1)
		return -EINVAL; /* a part of a byte */
	if (shift && whole >> (64 - shift))
		return -EINVAL;
	whole <<= shift;
	part = (uint64_t)((double)part / (double)scale *
			  (double)(1ULL << shift));
	if (whole > UINT64_MAX - part)
		return -EINVAL;
	*bytes = whole + part;
	return 0;
}

int parse_u64(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (*s < '0' || *s > '9' || v > (UINT64_MAX - digit) / 10)
			return -EINVAL;
		v = v * 10 + digit;
	}
	if (v > max)
		return -EINVAL;
	*value = v;
	return 0;
}

int parse_range(const char *s, uint64_t *first, uint64_t *end)
{
	const char *colon = strchr(s, ':');
	char head[24];
	size_t n = colon ? (size_t)(colon - s) : strlen(s);

	if (n >= sizeof(head))
		return -EINVAL;
	memcpy(head, s, n);
	head[n] = 0;
	if (!n)
		*first = 0;
	else if (parse_u64(head, UINT64_MAX - 1, first))
		return -EINVAL;
	if (!colon) {
		*end = *first + 1;
		return n ? 0 : -EINVAL;
	}
	*end = UINT64_MAX;
	if (colon[1] && parse_u64(colon + 1, UINT64_MAX, end))
		return -EINVAL;
	return *end > *first ? 0 : -EINVAL;
}

char *size_text(uint64_t bytes, char buf[SIZE_TEXT])
{
	static const char units[] = "BKMGTPE";
	double v = (double)bytes;
	unsigned int u = 0;

	while (v >= 1024.0 && units[u + 1]) {
		v /= 1024.0;
		u++;
	}
	if (u == 0)
		snprintf(buf, SIZE_TEXT, "%uB", (unsigned int)bytes);
	else if (v == (double)(uint64_t)v)
		snprintf(buf, SIZE_TEXT, "%.0f%c", v, units[u]);
	else
		snprintf(buf, SIZE_TEXT, "%.1f%c", v, units[u]);
	return buf;
}

char *ns_text(uint64_t ns, char buf[SIZE_TEXT])
{
	if (ns < 1000)
		snprintf(buf, SIZE_TEXT, "%uns", (unsigned int)ns);
	else if (ns < 1000000)
		snprintf(buf, SIZE_TEXT, "%.1fus", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, SIZE_TEXT, "%.2fms", (double)ns / 1e6);
	else
		snprintf(buf, SIZE_TEXT, "%.2fs", (double)ns / 1e9);
	return buf;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t ceil_div(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

uint64_t round_up(uint64_t a, uint64_t to)
{
	return ceil_div(a, to) * to;
}

char *bar_text(double share, unsigned int width, char *buf)
{
	unsigned int i, full;
	char *p = buf;

	if (!(share > 0))
		share = 0;
	if (share > 1)
		share = 1;
	full = (unsigned int)(share * width + 0.5);
	if (full == 0 && share > 0)
		full = 1;
	for (i = 0; i < width; i++) {
		memcpy(p, i < full ? "█" : "░", 3);
		p += 3;
	}
	*p = 0;
	return buf;
}

void progress_start(struct progress *p, const char *what, uint64_t total)
{
	const char *term = getenv("TERM");

	p->what = what;
	p->total = total ? total : 1;
	p->start = now_ns();
	p->last = 0;
	p->on = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void progress_update(struct progress *p, uint64_t done)
{
	uint64_t now, left;
	char bar[3 * 30 + 1];
	double share;

	if (!p->on)
		return;
	now = now_ns();
	if (now - p->last < 100000000ULL)
		return;
	p->last = now;
	share = (double)done / (double)p->total;
	left = share > 0.01 ? (uint64_t)((double)(now - p->start) / 1e9 *
					 (1 - share) / share)
			    : 0;
	fprintf(stderr, "\r%s %s %3.0f%%", p->what, bar_text(share, 30, bar),
		share * 100);
	if (left)
		fprintf(stderr, "  %llus left", (unsigned long long)left);
	fputs("\033[K", stderr);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->on && p->last)
		fputs("\r\033[K", stderr);
	p->on = false;
}
