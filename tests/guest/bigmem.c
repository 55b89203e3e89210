// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * An ordinary program with large memory, of every kind, for "kvlift run
 *--method size": what it stores it finds again.
 *
 *	bigmem MIB
 */
#include <malloc.h>

#include "kvltest.h"

static size_t size;

static void use(const char *what, void *p, size_t len, uint64_t seed)
{
	if (!CHECK(p, "%s gives nothing", what))
		return;
	kvt_fill(p, len, seed, 0);
	CHECK(kvt_diff(p, len, seed, 0) < 0, "%s", what);
}

static bool is_zero(const char *p, size_t len)
{
	while (len--)
		if (*p++)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	void *a, *b = NULL, *c, *d, *e;
	int status;
	pid_t pid;

	size = (size_t)(argc > 1 ? atoi(argv[1]) : 1) << 20;
	a = malloc(size);
	use("malloc", a, size, 1);
	IS(posix_memalign(&b, 4096, size), 0);
	use("posix_memalign", b, size, 2);
	c = calloc(size / 16, 16);
	CHECK(c && is_zero(c, size));
	use("calloc", c, size, 3);
	d = MUST(mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(is_zero(d, size));
	use("mmap", d, size, 4);
	/* Grown and shrunk, over the limit and back. */
	e = malloc(100);
	kvt_fill(e, 100, 5, 0);
	e = realloc(e, size);
	CHECK(kvt_diff(e, 100, 5, 0) < 0);
	use("realloc", e, size, 6);
	e = realloc(e, 1000);
	CHECK(kvt_diff(e, 1000, 6, 0) < 0);
	e = realloc(e, 2 * size);
	CHECK(kvt_diff(e, 1000, 6, 0) < 0);
	CHECK(malloc_usable_size(e) >= 2 * size);
	/* A child that only starts something else. */
	pid = MUST(fork());
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	IS(status, 0);
	CHECK(kvt_diff(a, size, 1, 0) < 0 && kvt_diff(b, size, 2, 0) < 0 &&
	      kvt_diff(c, size, 3, 0) < 0 && kvt_diff(d, size, 4, 0) < 0);
	free(a);
	free(b);
	free(c);
	free(e);
	OK(munmap(d, size));
	return kvt_end("bigmem");
}
