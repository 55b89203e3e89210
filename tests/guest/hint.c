// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hints, as an engine tells them.
 *
 *	hint DIR objects N	a request of files of one block each
 *	hint DIR clock NS	the clock (0: the replay is over), a request
 *	hint DIR request	a request of one block
 *	hint DIR holes		a file of holes is read
 */
#include "kvltest.h"

#include <kvlift_hint.h>

#define SESSION 77

static struct kvlift_pool *pool;
static size_t bs;

static void make(const char *name)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600));
	char *buf = calloc(1, bs);

	if (!buf)
		kvt_die("no memory");
	IS(write(fd, buf, bs), (ssize_t)bs);
	free(buf);
	close(fd);
}

static struct kvlift_region *object(const char *name)
{
	struct kvlift_region *r;

	OK(kvlift_region_open(pool, name, O_RDONLY, &r));
	return r;
}

static void objects(unsigned int nr)
{
	struct kvlift_region *r[16];
	struct kvlift_hint h[18];
	char name[16];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "object%u", i);
		make(name);
		r[i] = object(name);
		h[i] = kvlift_hint_chain(r[i], 0, 1);
	}
	h[nr] = kvlift_hint_request(SESSION, 0);
	h[nr + 1] = kvlift_hint_returns(0, 30000);
	IS(kvlift_hint(pool, h, nr + 2), (int)nr + 2);
	for (i = 0; i < nr; i++)
		kvlift_region_close(r[i]);
}

static void request(const char *clock)
{
	struct kvlift_region *r;
	struct kvlift_hint h[3];
	unsigned int n = 0;

	make("r");
	r = object("r");
	if (clock)
		h[n++] = kvlift_hint_clock(strtoull(clock, NULL, 0));
	h[n++] = kvlift_hint_chain(r, 0, 1);
	h[n++] = kvlift_hint_request(SESSION, 0);
	IS(kvlift_hint(pool, h, n), (int)n);
	kvlift_region_close(r);
}

static void holes(void)
{
	int fd = MUST(open("holes", O_CREAT | O_RDWR, 0600));
	char *buf = malloc(bs);

	if (!buf)
		kvt_die("no memory");
	MUST(ftruncate(fd, (off_t)bs * 8));
	/* So that there are records of blocks. */
	IS(pwrite(fd, buf, bs, 0), (ssize_t)bs);
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 8; i++)
			IS(pread(fd, buf, bs, (off_t)bs * i), (ssize_t)bs);
		kvt_msleep(1500);
	}
	free(buf);
	close(fd);
}

int main(int argc, char **argv)
{
	struct kvlift_info info;

	if (argc < 3)
		kvt_die("usage: hint DIR TEST");
	MUST(chdir(argv[1]));
	OK(kvlift_pool_open(".", &pool));
	OK(kvlift_pool_info(pool, &info));
	bs = info.block_size;
	if (!strcmp(argv[2], "objects") && argc > 3 && atoi(argv[3]) <= 16)
		objects((unsigned int)atoi(argv[3]));
	else if (!strcmp(argv[2], "clock") && argc > 3)
		request(argv[3]);
	else if (!strcmp(argv[2], "request"))
		request(NULL);
	else if (!strcmp(argv[2], "holes"))
		holes();
	else
		kvt_die("no test %s", argv[2]);
	kvlift_pool_close(pool);
	return kvt_end("hint");
}
