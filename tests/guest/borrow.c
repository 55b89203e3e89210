// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Clean blocks go down to their shadows while others punch and rewrite them,
 * and while a full device gives shadows up: whose a slot is must be known at
 * every moment. A slot that is freed twice or given to two blocks shows as a
 * warning of the kernel, as foreign bytes, or in the counts.
 *
 *	borrow DIR SECONDS BLOCKS OTHERS
 */
#include <pthread.h>

#include "kvltest.h"

static size_t bs, nr, others;
static int fd, other;
static uint64_t until;
static uint64_t *version;

static bool time_left(void)
{
	return kvt_now_ns() < until;
}

/* Down, to the shadows, and up again. */
static void *mover(void *unused)
{
	while (time_left()) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
		kvt_msleep(20);
	}
	return NULL;
}

/* Keeps blocks mapped, so that they have to be unmapped. */
static void *reader(void *arg)
{
	volatile char sink;
	char *map = arg;
	uint64_t seed = 3;

	while (time_left())
		sink = map[kvt_rand_below(&seed, nr) * bs];
	(void)sink;
	return NULL;
}

/* Wants the device's slots that are shadows. */
static void *filler(void *unused)
{
	uint64_t seed = 5;
	char *buf = malloc(bs);

	while (time_left()) {
		size_t i = kvt_rand_below(&seed, others);

		kvt_fill(buf, bs, 1000 + i, 0);
		IS(kvt_pwrite(other, buf, bs, (off_t)(i * bs)), bs);
		posix_fadvise(other, (off_t)(i * bs), (off_t)bs,
			      POSIX_FADV_DONTNEED);
	}
	free(buf);
	return NULL;
}

static void rewrite(char *buf, size_t i)
{
	kvt_fill(buf, bs, ++version[i] * nr + i, 0);
	IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
}

static void puncher(char *buf)
{
	uint64_t seed = 7;

	while (time_left()) {
		size_t i = kvt_rand_below(&seed, nr);

		OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     (off_t)(i * bs), (off_t)bs));
		rewrite(buf, i);
		/* Most blocks are to stay clean. */
		kvt_msleep(1);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread[3];
	char path[256];
	char *buf, *map;
	struct statfs st;

	if (argc != 5)
		kvt_die("usage: borrow DIR SECONDS BLOCKS OTHERS");
	MUST(statfs(argv[1], &st));
	bs = (size_t)st.f_bsize;
	nr = strtoul(argv[3], NULL, 0);
	others = strtoul(argv[4], NULL, 0);
	version = calloc(nr, sizeof(*version));
	buf = malloc(bs);
	snprintf(path, sizeof(path), "%s/borrow", argv[1]);
	fd = MUST(open(path, O_CREAT | O_TRUNC | O_RDWR, 0600));
	snprintf(path, sizeof(path), "%s/other", argv[1]);
	other = MUST(open(path, O_CREAT | O_TRUNC | O_RDWR, 0600));
	for (size_t i = 0; i < nr; i++)
		rewrite(buf, i);
	map = mmap(NULL, nr * bs, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		kvt_die("mmap: %s", strerror(errno));
	until = kvt_now_ns() + strtoull(argv[2], NULL, 0) * 1000000000u;
	if (pthread_create(&thread[0], NULL, mover, NULL) ||
	    pthread_create(&thread[1], NULL, reader, map) ||
	    pthread_create(&thread[2], NULL, filler, NULL))
		kvt_die("pthread_create");
	puncher(buf);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (size_t i = 0; i < nr; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, version[i] * nr + i, 0);
		CHECK_PATTERN(map + i * bs, bs, version[i] * nr + i, 0);
	}
	free(buf);
	return kvt_end("borrow");
}
