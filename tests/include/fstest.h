/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A file system test: a table of cases, each of which runs in an empty
 * directory and leaves it empty. Runs on any file system.
 */
#ifndef FSTEST_H
#define FSTEST_H

#include "kvltest.h"

struct fstest {
	const char *name;
	void (*run)(void);
};

static bool kvl; /* on kvlift, not on another file system */
static const char *fst_name;
static int fst_argc;
static char **fst_argv;

static inline int mk(const char *name)
{
	return MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
}

static inline off_t size_of(int fd)
{
	struct stat st;

	OK(fstat(fd, &st));
	return st.st_size;
}

static inline long long blocks_of(int fd)
{
	struct stat st;

	OK(fstat(fd, &st));
	return st.st_blocks;
}

static inline uint64_t used_now(void)
{
	struct kvlift_info i;
	int fd = MUST(open(".", O_RDONLY));

	MUST(kvt_info(fd, &i));
	close(fd);
	return i.used;
}

/* Slots are given back in the background. */
static inline void wait_used(uint64_t want)
{
	if (!kvl)
		return;
	for (int i = 0; i < 300 && used_now() != want; i++)
		kvt_msleep(10);
	IS(used_now(), want);
}

/*
 * What the case before has deleted may still be on its way out, held by a move
 * for a moment. A pool that holds something else is taken as it is.
 */
static inline void settle(void)
{
	for (int i = 0; kvl && i < 300 && used_now(); i++)
		kvt_msleep(10);
}

/* Goes to the directory of the command line and returns it, open. */
static inline int fst_start(const char *name, int argc, char **argv)
{
	int fd;

	if (argc < 2)
		kvt_die("usage: %s DIR [TEST...]", name);
	fst_name = name;
	fst_argc = argc;
	fst_argv = argv;
	MUST(chdir(argv[1]));
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	kvl = kvt_is_kvlift(fd);
	return fd;
}

/* The cases named on the command line, or all. Returns the exit status. */
static inline int fst_run(const struct fstest *tests, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool wanted = fst_argc == 2;
		int before = kvt_fails;

		for (int k = 2; k < fst_argc; k++)
			wanted |= !strcmp(fst_argv[k], tests[i].name);
		if (!wanted)
			continue;
		MUST(mkdir("fstest.d", 0755));
		MUST(chdir("fstest.d"));
		settle();
		tests[i].run();
		MUST(chdir(".."));
		/* Each leaves nothing behind, else it says so here. */
		OK(rmdir("fstest.d"));
		if (kvt_fails > before) {
			printf("%s: %s: %d failed\n", fst_name, tests[i].name,
			       kvt_fails - before);
			IS(system("rm -rf fstest.d"), 0);
		}
	}
	return kvt_end(fst_name);
}

#endif /* FSTEST_H */
