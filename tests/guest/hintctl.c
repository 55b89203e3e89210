// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hints of one call, without the library.
 *
 *	hintctl DIR HINT...	prints how many were taken, or the error's name
 *
 *	chain:FILE:FIRST:COUNT		opened for reading and writing
 *	see:FILE:FIRST:COUNT		the same, opened for reading only
 *	request:SESSION
 *	returns:SESSION:MS
 *	over:SESSION
 *	parent:FILE:BLOCK:PARENT	both of FILE
 *	flood:FILE:SECONDS		calls full of requests for so long
 */
#include "kvltest.h"

static char *part(char **s)
{
	char *at = strsep(s, ":");

	if (!at)
		kvt_die("a part of the hint is missing");
	return at;
}

static uint64_t num(char **s)
{
	return strtoull(part(s), NULL, 0);
}

static int file(const char *name, int how)
{
	int fd = open(name, how | O_CLOEXEC);

	if (fd < 0)
		kvt_die("%s: %s", name, strerror(errno));
	return fd;
}

static int tell(int dir, const struct kvlift_hint *h, uint32_t n,
		uint64_t *done)
{
	struct kvlift_hints arg = { .ptr = (uintptr_t)h, .count = n };

	if (ioctl(dir, KVLIFT_IOC_HINT, &arg))
		return -errno;
	*done = arg.done;
	return 0;
}

static void flood(int dir, int fd, uint64_t seconds)
{
	static struct kvlift_hint h[KVLIFT_HINT_MAX];
	uint64_t end = kvt_now_ns() + seconds * 1000000000, done = 0, n = 0;
	int err;

	for (uint32_t i = 0; i < KVLIFT_HINT_MAX; i++) {
		h[i] = (struct kvlift_hint){
			.op = i & 1 ? KVLIFT_HINT_REQUEST : KVLIFT_HINT_CHAIN,
			.fd = i & 1 ? -1 : fd,
			.first = i & 1 ? 0 : i / 2 % 16,
			.count = i & 1 ? 0 : 1,
			.session = i & 1 ? 99 : 0,
		};
	}
	while (kvt_now_ns() < end) {
		err = tell(dir, h, KVLIFT_HINT_MAX, &done);
		if (!err)
			n += done;
		else if (err != -EAGAIN)
			kvt_die("flood: %s", strerror(-err));
	}
	printf("%llu\n", (unsigned long long)n);
}

int main(int argc, char **argv)
{
	struct kvlift_hint h[64];
	uint64_t done = 0;
	uint32_t n = 0;
	int dir, err;

	if (argc < 3 || argc > 66)
		kvt_die("usage: hintctl DIR HINT...");
	dir = file(argv[1], O_RDONLY | O_DIRECTORY);
	for (int i = 2; i < argc; i++) {
		char *s = argv[i], *op = part(&s);
		struct kvlift_hint *k = &h[n++];

		*k = (struct kvlift_hint){ .fd = -1, .parent_fd = -1 };
		if (!strcmp(op, "chain") || !strcmp(op, "see")) {
			k->op = KVLIFT_HINT_CHAIN;
			k->fd = file(part(&s), *op == 's' ? O_RDONLY : O_RDWR);
			k->first = num(&s);
			k->count = num(&s);
		} else if (!strcmp(op, "request")) {
			k->op = KVLIFT_HINT_REQUEST;
			k->session = num(&s);
		} else if (!strcmp(op, "returns")) {
			k->op = KVLIFT_HINT_RETURNS;
			k->session = num(&s);
			k->ms = (uint32_t)num(&s);
		} else if (!strcmp(op, "over")) {
			k->op = KVLIFT_HINT_OVER;
			k->session = num(&s);
		} else if (!strcmp(op, "parent")) {
			k->op = KVLIFT_HINT_PARENT;
			k->fd = k->parent_fd = file(part(&s), O_RDONLY);
			k->first = num(&s);
			k->count = 1;
			k->parent = num(&s);
		} else if (!strcmp(op, "flood")) {
			int fd = file(part(&s), O_RDWR);

			flood(dir, fd, num(&s));
			return 0;
		} else {
			kvt_die("no such hint: %s", op);
		}
	}
	err = tell(dir, h, n, &done);
	if (err)
		puts(strerrorname_np(-err));
	else
		printf("%llu\n", (unsigned long long)done);
	return 0;
}
