// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pins: io_uring's registered buffers stand for what a GPU or a NIC does.
 * While they last, a block stays where it is and says so in a counter; a
 * device's bytes reach the right block; afterwards everything moves again.
 *
 *	pins DIR [DEVICE]	DEVICE is read with O_DIRECT, never written
 */
#include "kvltest.h"
#include "kvturing.h"

#include <sys/uio.h>

#define RW (PROT_READ | PROT_WRITE)
#define N  4

static struct kvlift_info info;
static size_t bs;
static char *buf;
static int below; /* the tier that DRAM is demoted to, or -1 */

static int mk(const char *name, uint64_t seed)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	for (size_t i = 0; i < N; i++) {
		kvt_fill(buf, bs, seed, i * bs);
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	}
	return fd;
}

static void expect(int fd, char *m, uint64_t seed)
{
	CHECK_PATTERN(m, N * bs, seed, 0);
	for (size_t i = 0; i < N; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, seed, i * bs);
	}
}

/* All the blocks can go down and come back. */
static void moves_again(int fd, char *m, uint64_t seed)
{
	if (below < 0)
		return;
	for (uint64_t i = 0; i < N; i++)
		CHECK(!kvt_move_to(fd, i, below, 10000),
		      "block %" PRIu64 " stays in tier %d", i, kvt_tier(fd, i));
	expect(fd, m, seed);
	for (uint64_t i = 0; i < N; i++)
		CHECK(!kvt_move_to(fd, i, KVLIFT_TIER_DRAM, 10000),
		      "block %" PRIu64 " stays in tier %d", i, kvt_tier(fd, i));
	expect(fd, m, seed);
}

/* Demotion is refused for each block, and counted. */
static void stays(int fd)
{
	long long before = kvt_counter(fd, "refused_pinned");

	if (below < 0)
		return;
	for (int try = 0; try < 5; try++) {
		kvt_demote(fd, 0, N);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		kvt_msleep(50);
	}
	for (uint64_t i = 0; i < N; i++)
		IS(kvt_tier(fd, i), KVLIFT_TIER_DRAM);
	CHECK(kvt_counter(fd, "refused_pinned") >= before + N,
	      "refused_pinned %lld, was %lld",
	      kvt_counter(fd, "refused_pinned"), before);
}

static void registered(bool faulted)
{
	int fd = mk("f", 1), src = mk("src", 2), sink = mk("sink", 3);
	char *m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	struct ring r;

	if (!ring_open(&r)) {
		printf("pins: no io_uring here: %s\n", strerror(errno));
		goto out;
	}
	if (faulted)
		expect(fd, m, 1);
	else if (below >= 0) /* the pin itself has to bring them back */
		for (uint64_t i = 0; i < N; i++)
			CHECK(!kvt_move_to(fd, i, below, 10000),
			      "block %" PRIu64 " stays up", i);
	if (!CHECK(!ring_register(&r, m, N * bs), "register: %s",
		   strerror(errno)))
		goto close;
	stays(fd);
	expect(fd, m, 1);

	/* The device writes: what it wrote is what everybody sees. */
	for (size_t i = 0; i < N; i++)
		IS(ring_io(&r, IORING_OP_READ_FIXED, src, m + i * bs, bs,
			   (off_t)(i * bs)),
		   bs);
	stays(fd);
	expect(fd, m, 2);
	/* The CPU writes: what the device reads is that. */
	kvt_fill(m, N * bs, 4, 0);
	for (size_t i = 0; i < N; i++)
		IS(ring_io(&r, IORING_OP_WRITE_FIXED, sink, m + i * bs, bs,
			   (off_t)(i * bs)),
		   bs);
	for (size_t i = 0; i < N; i++) {
		IS(kvt_pread(sink, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, 4, i * bs);
	}
	/* One goes away under the pin; the device writes to nobody's block. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		     (off_t)bs));
	CHECK_ZERO(m, bs);
	IS(ring_io(&r, IORING_OP_READ_FIXED, src, m, bs, 0), bs);
	CHECK_ZERO(m, bs);
	kvt_fill(m, bs, 4, 0);

	IS(ring_unregister(&r), 0);
	moves_again(fd, m, 4);
	/* Unmapped and deleted while registered. */
	IS(ring_register(&r, m, N * bs), 0);
	munmap(m, N * bs);
	close(fd);
	OK(unlink("f"));
	fd = mk("f", 5);
	m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	expect(fd, m, 5);
	IS(ring_unregister(&r), 0);
	expect(fd, m, 5);
	moves_again(fd, m, 5);
close:
	ring_close(&r);
out:
	munmap(m, N * bs);
	close(fd);
	close(src);
	close(sink);
	OK(unlink("f"));
	OK(unlink("src"));
	OK(unlink("sink"));
}

/*
 * A device writes, through a registration, into blocks that are as they are on
 * NVMe; no CPU stores anything. The copy on NVMe must not pass for the content.
 */
static void written_by_device_only(void)
{
	int fd, src;
	struct ring r;
	char *m;

	if (!info.nr_members[KVLIFT_TIER_NVME] || !ring_open(&r))
		return;
	fd = mk("f", 1);
	src = mk("src", 2);
	m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	for (uint64_t i = 0; i < N; i++)
		CHECK(!kvt_move_to(fd, i, KVLIFT_TIER_NVME, 10000),
		      "block %" PRIu64 " stays in tier %d", i, kvt_tier(fd, i));
	CHECK_PATTERN(m, N * bs, 1, 0);
	if (CHECK(!ring_register(&r, m, N * bs), "register: %s",
		  strerror(errno))) {
		for (size_t i = 0; i < N; i++)
			IS(ring_io(&r, IORING_OP_READ_FIXED, src, m + i * bs,
				   bs, (off_t)(i * bs)),
			   bs);
		IS(ring_unregister(&r), 0);
		for (uint64_t i = 0; i < N; i++)
			CHECK(!kvt_move_to(fd, i, KVLIFT_TIER_NVME, 10000),
			      "block %" PRIu64 " stays in tier %d", i,
			      kvt_tier(fd, i));
		expect(fd, m, 2);
	}
	ring_close(&r);
	munmap(m, N * bs);
	close(fd);
	close(src);
	OK(unlink("f"));
	OK(unlink("src"));
}

/* A read-only private mapping can't be registered for writing. */
static void private_ro(void)
{
	int fd = mk("f", 6);
	char *m = MUST(mmap(NULL, bs, PROT_READ, MAP_PRIVATE, fd, 0));
	struct ring r;

	if (ring_open(&r)) {
		CHECK(ring_register(&r, m, bs) == -1 && errno == EFAULT, "%s",
		      strerror(errno));
		ring_close(&r);
	}
	munmap(m, bs);
	close(fd);
	OK(unlink("f"));
}

/* Pages in a pipe are references like others. */
static void in_pipe(void)
{
	int fd = mk("f", 7), p[2];
	char *m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	struct iovec iov = { m, 16384 };
	ssize_t n, got = 0;

	expect(fd, m, 7);
	MUST(pipe(p));
	n = OK(vmsplice(p[1], &iov, 1, 0));
	for (int try = 0; try < 5 && below >= 0; try++) {
		kvt_demote(fd, 0, 1);
		kvt_msleep(30);
		IS(kvt_tier(fd, 0), KVLIFT_TIER_DRAM);
	}
	while (got < n) {
		ssize_t k = OK(read(p[0], buf + got, (size_t)(n - got)));

		if (k <= 0)
			break;
		got += k;
	}
	CHECK_PATTERN(buf, (size_t)got, 7, 0);
	moves_again(fd, m, 7);
	close(p[0]);
	close(p[1]);
	munmap(m, N * bs);
	close(fd);
	OK(unlink("f"));
}

/* Demotes all the time, so that a transfer and a move meet. */
static pid_t hammer(int fd)
{
	pid_t pid;

	fflush(NULL);
	pid = MUST(fork());
	if (pid)
		return pid;
	for (;;) {
		kvt_demote(fd, 0, N);
		kvt_msleep(1);
	}
}

/* A device's DMA into the mapping while the blocks move. */
static void direct(const char *dev)
{
	int fd = mk("f", 8), raw = open(dev, O_RDONLY | O_DIRECT);
	char *m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	char *ref;
	pid_t pid;

	if (raw < 0) {
		printf("pins: %s: %s\n", dev, strerror(errno));
		goto out;
	}
	ref = MUST(mmap(NULL, 65536, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	IS(pread(raw, ref, 4096, 0), 4096);
	pid = hammer(fd);
	for (int i = 0; i < 100; i++) {
		size_t at = (size_t)(i * 7 % (int)(N * bs / 4096)) * 4096;

		memset(m + at, 0, 4096);
		IS(pread(raw, m + at, 4096, 0), 4096);
		if (!CHECK(!memcmp(m + at, ref, 4096), "round %d", i))
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(ref, 65536);
	close(raw);
	kvt_fill(m, N * bs, 9, 0);
	moves_again(fd, m, 9);
out:
	munmap(m, N * bs);
	close(fd);
	OK(unlink("f"));
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 2)
		kvt_die("usage: pins DIR [DEVICE]");
	MUST(chdir(argv[1]));
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(fd))
		return KVT_SKIP;
	MUST(kvt_info(fd, &info));
	close(fd);
	bs = info.block_size;
	below = kvt_tier_below(&info, KVLIFT_TIER_DRAM);
	buf = malloc(N * bs);
	if (!buf)
		kvt_die("no memory");
	registered(false);
	registered(true);
	written_by_device_only();
	private_ro();
	in_pipe();
	if (argc > 2)
		direct(argv[2]);
	return kvt_end("pins");
}
