// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Cost per block of first touch, re-fault, demotion and promotion, for one
 * file on kvlift or on a peer. Meant for a guest under -icount, where a
 * nanosecond is an instruction and the device completes at once: everything
 * until the system is idle again counts, workers included.
 *
 *	faultbench NAME FILE BLOCK NR kvlift|swap|file|none
 *
 * The last word says how a block leaves memory: by KVLIFT_IOC_DEMOTE, by
 * MADV_PAGEOUT to swap, by msync and MADV_PAGEOUT to a file, or not at all.
 * MADV_PAGEOUT starts writes and leaves the pages in the swap cache; what it
 * leaves is freed by memory.reclaim of the cgroup in $FAULTBENCH_CGROUP.
 * Prints "NAME ROW NS_PER_BLOCK" lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/kvlift.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGE 4096

static const char *name;
static size_t block, nr;
static char *map;
static int fd;

static void die(const char *what)
{
	fprintf(stderr, "faultbench %s: %s: %s\n", name, what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void row(const char *what, double since)
{
	printf("%s %s %.0f\n", name, what, (now() - since) / (double)nr);
}

/* Every page of every block, as an engine does that fills or reads KV. */
static void touch_all(int write)
{
	static volatile char sink;

	for (size_t i = 0; i < nr * block; i += PAGE) {
		if (write)
			map[i] = (char)(i / PAGE);
		else
			sink = map[i];
	}
	(void)sink;
}

static void verify(void)
{
	for (size_t i = 0; i < nr * block; i += PAGE)
		if (map[i] != (char)(i / PAGE)) {
			errno = EIO;
			die("wrong byte");
		}
}

/* Blocks whose home is in the nvme tier. */
static size_t on_device(void)
{
	__u64 *words = calloc(nr, sizeof(*words));
	struct kvlift_where w = { .count = nr, .ptr = (__u64)(size_t)words };
	size_t n = 0;

	if (!words || ioctl(fd, KVLIFT_IOC_WHERE, &w))
		die("where");
	for (size_t i = 0; i < nr; i++)
		n += kvlift_loc_tier(words[i]) == KVLIFT_TIER_NVME;
	free(words);
	return n;
}

/* Pages in memory, for the peers. */
static size_t resident(void)
{
	size_t pages = nr * block / PAGE, n = 0;
	unsigned char *vec = malloc(pages);

	if (!vec || mincore(map, nr * block, vec))
		die("mincore");
	for (size_t i = 0; i < pages; i++)
		n += vec[i] & 1;
	free(vec);
	return n;
}

/* Asks for as much as is left; a shortfall is no error, it is asked again. */
static void reclaim(void)
{
	const char *cg = getenv("FAULTBENCH_CGROUP");
	char path[256], text[32];
	int f, n;

	if (!cg)
		return;
	snprintf(path, sizeof(path), "%s/memory.reclaim", cg);
	f = open(path, O_WRONLY);
	if (f < 0)
		die(path);
	n = snprintf(text, sizeof(text), "%zu", resident() * PAGE);
	if (write(f, text, (size_t)n) < 0 && errno != EAGAIN)
		die("memory.reclaim");
	close(f);
}

static void demote(const char *how)
{
	struct kvlift_range all = { .count = nr };
	const struct timespec tick = { 0, 50000 };

	if (!strcmp(how, "kvlift")) {
		if (ioctl(fd, KVLIFT_IOC_DEMOTE, &all))
			die("demote");
		while (on_device() < nr)
			nanosleep(&tick, NULL);
		return;
	}
	if (!strcmp(how, "file") && msync(map, nr * block, MS_SYNC))
		die("msync");
	if (madvise(map, nr * block, MADV_PAGEOUT))
		die("pageout");
	for (int pass = 0; pass < 8 && resident(); pass++)
		reclaim();
	if (resident())
		fprintf(stderr, "faultbench %s: %zu of %zu pages stayed\n",
			name, resident(), nr * block / PAGE);
}

int main(int argc, char **argv)
{
	const char *how;
	double t;

	if (argc != 6) {
		fprintf(stderr, "usage: faultbench NAME FILE BLOCK NR HOW\n");
		return 2;
	}
	name = argv[1];
	block = strtoul(argv[3], NULL, 0);
	nr = strtoul(argv[4], NULL, 0);
	how = argv[5];
	fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)(nr * block)))
		die(argv[2]);
	map = mmap(NULL, nr * block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("mmap");

	t = now();
	touch_all(1);
	row("first-touch", t);

	if (madvise(map, nr * block, MADV_DONTNEED))
		die("dontneed");
	t = now();
	touch_all(0);
	row("refault-read", t);

	if (madvise(map, nr * block, MADV_DONTNEED))
		die("dontneed");
	t = now();
	touch_all(1);
	row("refault-write", t);

	if (strcmp(how, "none")) {
		t = now();
		demote(how);
		row("demote-dirty", t);
		t = now();
		touch_all(0);
		row("promote", t);
		t = now();
		demote(how);
		row("demote-clean", t);
	}
	verify();
	munmap(map, nr * block);
	unlink(argv[2]);
	return 0;
}
