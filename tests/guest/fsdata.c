// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What files hold: reads and writes at odd places, holes, truncation,
 * fallocate, O_DIRECT, splice, inline files, limits and a full pool. Runs on
 * any file system; what only kvlift promises is checked on kvlift.
 *
 *	fsdata DIR [TEST...]
 */
#include "fstest.h"

#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#define RWF_APPEND 16
#endif

#define BUFSZ (4u << 20)

static struct kvlift_info info;
static size_t bs = 65536;
static char *buf, *buf2;

static void t_rw(void)
{
	static const int offs[] = {
		0, 1, 4095, 4096, 4097, 65535, 65536, 65537
	};
	int fd = mk("f"), fd2;
	void *volatile bad = (void *)8;
	struct iovec iov[4];
	uint64_t seed = 1;
	size_t size = 0;
	char *model;

	model = calloc(1, 3 * bs + 100000);
	for (int i = 0; i < 60; i++) {
		size_t off = (size_t)offs[i % 8] + (i & 1 ? bs : 0) +
			     kvt_rand_below(&seed, 3) * (bs / 2);
		size_t len = 1 + kvt_rand_below(&seed, i % 3 ? 5000 : bs);

		if (off + len > 3 * bs + 100000)
			continue;
		kvt_fill(model + off, len, (uint64_t)i, off);
		IS(kvt_pwrite(fd, model + off, len, (off_t)off), len);
		if (off + len > size)
			size = off + len;
		off = kvt_rand_below(&seed, size);
		len = kvt_rand_below(&seed, size - off);
		IS(kvt_pread(fd, buf, len, (off_t)off), len);
		CHECK(!memcmp(buf, model + off, len), "read %zu at %zu", len,
		      off);
	}
	IS(size_of(fd), size);
	IS(pread(fd, buf, 10, (off_t)size), 0);
	IS(pread(fd, buf, 10, (off_t)size + 1000000), 0);
	IS(pread(fd, buf, 100, (off_t)size - 7), 7);
	IS(pwrite(fd, buf, 0, (off_t)size + 5), 0);
	IS(size_of(fd), size);
	ERR(pread(fd, buf, 1, -1), EINVAL);
	ERR(pwrite(fd, buf, 1, -1), EINVAL);

	/* Vectors that cross blocks. */
	for (int i = 0; i < 4; i++) {
		iov[i].iov_base = buf + i * 100000;
		iov[i].iov_len = bs / 3 + (size_t)i;
		kvt_fill(iov[i].iov_base, iov[i].iov_len, 77, (uint64_t)i);
	}
	size = 4 * (bs / 3) + 6;
	if (bs / 3 + 3 <= 100000) {
		IS(pwritev(fd, iov, 4, 13), size);
		for (int i = 0; i < 4; i++)
			iov[i].iov_base = buf2 + i * 100000;
		IS(preadv(fd, iov, 4, 13), size);
		for (int i = 0; i < 4; i++)
			CHECK_PATTERN(buf2 + i * 100000, iov[i].iov_len, 77,
				      (uint64_t)i);
	}

	/* Bad memory: an error or a short count, and the file stays whole. */
	OK(ftruncate(fd, 0));
	kvt_fill(buf, bs * 2 <= BUFSZ ? bs * 2 : bs, 5, 0);
	IS(kvt_pwrite(fd, buf, bs, 0), bs);
	ERR(pwrite(fd, bad, 100, 0), EFAULT);
	ERR(pread(fd, bad, 100, 0), EFAULT);
	{
		char *two = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		ssize_t n;

		MUST(munmap(two + 4096, 4096));
		kvt_fill(two, 4096, 5, 0);
		n = pwrite(fd, two, 8192, 0);
		CHECK(n == 4096 || (n == -1 && errno == EFAULT) ||
			      (n > 0 && n < 4096),
		      "%zd", n);
		n = pread(fd, two, 8192, 0);
		CHECK(n == 4096 || (n == -1 && errno == EFAULT) ||
			      (n > 0 && n < 4096),
		      "%zd", n);
		munmap(two, 4096);
	}
	IS(kvt_pread(fd, buf, bs, 0), bs);
	CHECK_PATTERN(buf, bs, 5, 0);
	IS(size_of(fd), bs);

	fd2 = MUST(open("f", O_WRONLY));
	ERR(read(fd2, buf, 1), EBADF);
	close(fd2);
	fd2 = MUST(open("f", O_RDONLY));
	ERR(write(fd2, buf, 1), EBADF);
	ERR(ftruncate(fd2, 0), EINVAL);
	IS(lseek(fd2, 100, SEEK_SET), 100);
	IS(read(fd2, buf, 10), 10);
	CHECK_PATTERN(buf, 10, 5, 100);
	IS(lseek(fd2, 0, SEEK_CUR), 110);
	IS(lseek(fd2, -10, SEEK_END), bs - 10);
	ERR(lseek(fd2, -1, SEEK_SET), EINVAL);
	close(fd2);
	fd2 = MUST(open("f", O_WRONLY | O_APPEND));
	IS(write(fd2, "abc", 3), 3);
	IS(size_of(fd2), bs + 3);
	close(fd2);
	free(model);
	close(fd);
	OK(unlink("f"));
}

/* Bytes that were cut off or never written are zeros, whatever the way. */
static void t_truncate(void)
{
	static const int odd[] = {
		1, 100, 4095, 4096, 4097, 5000, 16383, 20000
	};
	long page = 4096;
	int fd = mk("f");

	for (int i = 0; i < 24; i++) {
		off_t cut = odd[i % 8] + (i < 8	   ? 0
					  : i < 16 ? (off_t)bs
						   : (off_t)bs - 4096);
		off_t full = 2 * (off_t)bs + 30000, end;
		char *m;

		if (cut > full)
			continue;
		kvt_fill(buf, (size_t)full, (uint64_t)i, 0);
		OK(ftruncate(fd, 0));
		IS(kvt_pwrite(fd, buf, (size_t)full, 0), full);
		OK(ftruncate(fd, cut));
		IS(size_of(fd), cut);
		end = (cut + page - 1) & -page;
		/* A store behind the end in the last page is not kept. */
		m = MUST(mmap(NULL, (size_t)full, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0));
		CHECK_ZERO(m + cut, (size_t)(end - cut));
		memset(m + cut, 0x5a, (size_t)(end - cut));
		switch (i % 4) {
		case 0:
			OK(ftruncate(fd, full));
			break;
		case 1:
			IS(pwrite(fd, "E", 1, full - 1), 1);
			break;
		case 2:
			OK(fallocate(fd, 0, 0, full));
			break;
		default:
			OK(ftruncate(fd, end + 1));
			OK(ftruncate(fd, full));
		}
		IS(size_of(fd), full);
		IS(kvt_pread(fd, buf2, (size_t)full, 0), full);
		CHECK_PATTERN(buf2, (size_t)cut, (uint64_t)i, 0);
		CHECK_ZERO(buf2 + cut, (size_t)(full - 1 - cut));
		CHECK_PATTERN(m, (size_t)cut, (uint64_t)i, 0);
		CHECK_ZERO(m + cut, (size_t)(full - 1 - cut));
		munmap(m, (size_t)full);
	}
	OK(ftruncate(fd, 0));
	IS(blocks_of(fd), 0);
	ERR(ftruncate(fd, -1), EINVAL);
	ERR(truncate("none", 0), ENOENT);
	OK(mkdir("d", 0700));
	ERR(truncate("d", 0), EISDIR);
	OK(rmdir("d"));
	close(fd);
	OK(unlink("f"));
}

static void t_fallocate(void)
{
	uint64_t used = kvl ? used_now() : 0;
	off_t n = 4 * (off_t)bs;
	int fd = mk("f"), ro, rc;
	char *m;

	OK(fallocate(fd, 0, 0, n));
	IS(size_of(fd), n);
	CHECK(blocks_of(fd) * 512 >= n, "%lld blocks", blocks_of(fd));
	if (kvl)
		IS(used_now(), used + 4);
	IS(kvt_pread(fd, buf, (size_t)n, 0), n);
	CHECK_ZERO(buf, (size_t)n);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, n, n));
	IS(size_of(fd), n);
	CHECK(blocks_of(fd) * 512 >= 2 * n, "%lld blocks", blocks_of(fd));
	kvt_fill(buf, (size_t)n, 3, 0);
	IS(kvt_pwrite(fd, buf, (size_t)n, 0), n);
	OK(fallocate(fd, 0, 0, n)); /* what is there stays */
	IS(kvt_pread(fd, buf2, (size_t)n, 0), n);
	CHECK_PATTERN(buf2, (size_t)n, 3, 0);

	/* Punch: whole blocks, parts, across, through a mapping. */
	m = MUST(mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0));
	CHECK_PATTERN(m, (size_t)n, 3, 0);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)bs,
		     (off_t)bs));
	IS(kvt_pread(fd, buf2, (size_t)n, 0), n);
	CHECK_PATTERN(buf2, bs, 3, 0);
	CHECK_ZERO(buf2 + bs, bs);
	CHECK_PATTERN(buf2 + 2 * bs, 2 * bs, 3, 2 * bs);
	CHECK_PATTERN(m, bs, 3, 0);
	CHECK_ZERO(m + bs, bs);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5, 100));
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     2 * (off_t)bs + 5000, (off_t)bs));
	IS(kvt_pread(fd, buf2, (size_t)n, 0), n);
	CHECK_PATTERN(buf2, 5, 3, 0);
	CHECK_ZERO(buf2 + 5, 100);
	CHECK_PATTERN(buf2 + 105, bs - 105, 3, 105);
	CHECK_PATTERN(buf2 + 2 * bs, 5000, 3, 2 * bs);
	CHECK_ZERO(buf2 + 2 * bs + 5000, bs);
	CHECK_PATTERN(buf2 + 3 * bs + 5000, bs - 5000, 3, 3 * bs + 5000);
	CHECK(!memcmp(buf2, m, (size_t)n), "mapping and read differ");
	munmap(m, (size_t)n);
	IS(size_of(fd), n);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * n,
		     n));
	IS(size_of(fd), n);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * n));
	if (kvl)
		IS(blocks_of(fd), 0);
	IS(size_of(fd), n);

	rc = fallocate(fd, FALLOC_FL_ZERO_RANGE, 10, 100000);
	if (kvl || !rc || errno != EOPNOTSUPP) {
		OK(ftruncate(fd, n));
		kvt_fill(buf, (size_t)n, 4, 0);
		IS(kvt_pwrite(fd, buf, (size_t)n, 0), n);
		OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 10, 2 * (off_t)bs));
		IS(kvt_pread(fd, buf2, (size_t)n, 0), n);
		CHECK_PATTERN(buf2, 10, 4, 0);
		CHECK_ZERO(buf2 + 10, 2 * bs);
		CHECK_PATTERN(buf2 + 10 + 2 * bs, bs, 4, 10 + 2 * bs);
		OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, n - 10, 110));
		IS(size_of(fd), n + 100);
		OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
			     n + 90, 1000));
		IS(size_of(fd), n + 100);
		OK(ftruncate(fd, n));
	}
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 100), EOPNOTSUPP);
	if (kvl) {
		ERR(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, (off_t)bs),
		    EOPNOTSUPP);
		ERR(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, (off_t)bs),
		    EOPNOTSUPP);
	}
	ERR(fallocate(fd, 0, -1, 10), EINVAL);
	ERR(fallocate(fd, 0, 0, 0), EINVAL);
	ERR(fallocate(fd, 0, INT64_MAX - 10, 100), EFBIG);
	ro = MUST(open("f", O_RDONLY));
	ERR(fallocate(ro, 0, 0, 10), EBADF);
	close(ro);
	IS(posix_fallocate(fd, 0, n), 0);
	close(fd);
	OK(unlink("f"));
	wait_used(used);
}

static void t_seek(void)
{
	int fd = mk("f");
	off_t b = (off_t)bs;

	ERR(lseek(fd, 0, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 0, SEEK_HOLE), ENXIO);
	OK(ftruncate(fd, 6 * b));
	ERR(lseek(fd, 0, SEEK_DATA), ENXIO);
	IS(lseek(fd, 0, SEEK_HOLE), 0);
	IS(lseek(fd, 5 * b + 3, SEEK_HOLE), 5 * b + 3);
	kvt_fill(buf, bs, 1, 0);
	IS(kvt_pwrite(fd, buf, bs, 2 * b), bs);
	IS(lseek(fd, 0, SEEK_DATA), 2 * b);
	IS(lseek(fd, 2 * b + 1, SEEK_DATA), 2 * b + 1);
	IS(lseek(fd, 2 * b, SEEK_HOLE), 3 * b);
	IS(lseek(fd, 0, SEEK_HOLE), 0);
	ERR(lseek(fd, 3 * b, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 6 * b, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 6 * b, SEEK_HOLE), ENXIO);
	ERR(lseek(fd, -1, SEEK_DATA), ENXIO);
	IS(pwrite(fd, "x", 1, 6 * b - 1), 1);
	IS(lseek(fd, 6 * b - 1, SEEK_HOLE), 6 * b);
	CHECK(lseek(fd, 3 * b, SEEK_DATA) >= 5 * b);
	/* The file offset is where the last call that succeeded left it. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * b, b));
	CHECK(lseek(fd, 0, SEEK_DATA) >= 5 * b);
	close(fd);
	OK(unlink("f"));
}

static void t_direct(void)
{
	int fd = open("f", O_CREAT | O_RDWR | O_DIRECT, 0600), fd2;
	char *a = (char *)(((uintptr_t)buf + 4095) & ~4095ul);

	if (fd < 0 && !kvl) /* tmpfs before 6.6 */
		return;
	if (!CHECK(fd >= 0, "O_DIRECT: %s", strerror(errno)))
		return;
	kvt_fill(a, 3 * 65536, 9, 0);
	IS(kvt_pwrite(fd, a, 3 * 65536, 0), 3 * 65536);
	memset(a, 0, 3 * 65536);
	IS(kvt_pread(fd, a, 3 * 65536, 0), 3 * 65536);
	CHECK_PATTERN(a, 3 * 65536, 9, 0);
	if (kvl) {
		IS(pread(fd, a + 1, 1001, 777), 1001);
		CHECK_PATTERN(a + 1, 1001, 9, 777);
	}
	fd2 = MUST(open("f", O_RDWR));
	OK(fcntl(fd2, F_SETFL, O_DIRECT));
	IS(pread(fd2, a, 4096, 8192), 4096);
	CHECK_PATTERN(a, 4096, 9, 8192);
	close(fd2);
	close(fd);
	OK(unlink("f"));
}

/* The calls may stop short of a signal; a loop is right. */
static size_t copy_range(int in, int out, size_t len, bool send)
{
	off_t from = 0, to = 0;
	size_t left = len;

	while (left) {
		ssize_t n =
			send ? sendfile(out, in, &from, left)
			     : copy_file_range(in, &from, out, &to, left, 0);

		if (n <= 0)
			break;
		left -= (size_t)n;
	}
	return len - left;
}

static void t_splice(void)
{
	size_t n = 3 * bs + 12345, done;
	int a = mk("a"), b = mk("b"), p[2];
	loff_t off;

	if (n > BUFSZ)
		n = BUFSZ;
	kvt_fill(buf, n, 11, 0);
	IS(kvt_pwrite(a, buf, n, 0), n);

	MUST(pipe(p));
	off = 0;
	for (done = 0; done < n;) {
		ssize_t got = splice(a, &off, p[1], NULL,
				     n - done < 65536 ? n - done : 65536, 0);
		ssize_t put = 0;

		if (!CHECK(got > 0, "splice: %s", strerror(errno)))
			break;
		while (put < got) {
			ssize_t k = splice(p[0], NULL, b, NULL,
					   (size_t)(got - put), 0);

			if (!CHECK(k > 0, "splice: %s", strerror(errno)))
				break;
			put += k;
		}
		done += (size_t)got;
	}
	IS(kvt_pread(b, buf2, n, 0), n);
	CHECK_PATTERN(buf2, n, 11, 0);
	off = (loff_t)n;
	IS(splice(a, &off, p[1], NULL, 100, 0), 0);

	OK(ftruncate(b, 0));
	IS(lseek(b, 0, SEEK_SET), 0);
	IS(copy_range(a, b, n, true), n);
	IS(kvt_pread(b, buf2, n, 0), n);
	CHECK_PATTERN(buf2, n, 11, 0);

	OK(ftruncate(b, 0));
	IS(copy_range(a, b, n, false), n);
	memset(buf2, 0, n);
	IS(kvt_pread(b, buf2, n, 0), n);
	CHECK_PATTERN(buf2, n, 11, 0);
	IS(size_of(b), n);
	{
		off_t from = 100, to = 200;

		ERR(copy_file_range(a, &from, a, &to, 1000, 0), EINVAL);
		from = 0;
		to = (off_t)n;
		CHECK(copy_file_range(a, &from, a, &to, 1000, 0) == 1000 ||
			      errno == EINVAL,
		      "%s", strerror(errno));
	}

	/* From user memory by vmsplice and tee. */
	{
		struct iovec iov = { buf, 65536 };
		size_t out = 0;
		ssize_t k;

		OK(ftruncate(b, 0));
		kvt_fill(buf, 65536, 11, 0);
		off = 0;
		k = OK(vmsplice(p[1], &iov, 1, 0));
		while (k > 0 && out < (size_t)k) {
			ssize_t w =
				splice(p[0], NULL, b, &off, (size_t)k - out, 0);

			if (!CHECK(w > 0, "splice: %s", strerror(errno)))
				break;
			out += (size_t)w;
		}
		IS(kvt_pread(b, buf2, out, 0), out);
		CHECK_PATTERN(buf2, out, 11, 0);
	}
	close(p[0]);
	close(p[1]);
	close(a);
	close(b);
	OK(unlink("a"));
	OK(unlink("b"));
}

static void t_rwf(void)
{
	struct iovec iov = { buf, 5000 };
	int fd = mk("f");
	ssize_t n;

	kvt_fill(buf, 2 * bs, 21, 0);
	IS(kvt_pwrite(fd, buf, 2 * bs, 0), 2 * bs);
	memset(buf, 0, 5000);
	n = preadv2(fd, &iov, 1, 1000, RWF_NOWAIT);
	if (n > 0)
		CHECK_PATTERN(buf, (size_t)n, 21, 1000);
	else
		CHECK(n == -1 && (errno == EAGAIN || errno == EOPNOTSUPP),
		      "NOWAIT: %zd %s", n, strerror(errno));
	kvt_fill(buf, 5000, 21, 2 * bs);
	IS(pwritev2(fd, &iov, 1, 0, RWF_APPEND), 5000);
	IS(size_of(fd), 2 * bs + 5000);
	IS(pwritev2(fd, &iov, 1, -1, RWF_DSYNC), 5000);
	n = pwritev2(fd, &iov, 1, 0, RWF_NOWAIT);
	CHECK(n > 0 || errno == EAGAIN || errno == EOPNOTSUPP, "%s",
	      strerror(errno));

	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	OK(syncfs(fd));
	for (int a = 0; a <= 5; a++)
		IS(posix_fadvise(fd, 0, 0, a), 0);
	IS(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
	IS(posix_fadvise(fd, 0, 0, 99), EINVAL);
	OK(readahead(fd, 0, bs));
	IS(kvt_pread(fd, buf, bs, (off_t)bs), bs);
	CHECK_PATTERN(buf, bs, 21, bs);
	close(fd);
	OK(unlink("f"));
}

static bool is_inline(int fd)
{
	return kvt_loc(fd, 0) & KVLIFT_LOC_INLINE &&
	       !(kvt_loc(fd, 0) & KVLIFT_LOC_PRESENT);
}

static void t_inline(void)
{
	size_t max = kvl ? info.inline_max : bs / 8;
	uint64_t used = kvl ? used_now() : 0;
	char name[32];
	char *m;
	int fd;

	if (kvl)
		CHECK(max > 0 && max <= bs / 8, "inline_max %zu", max);
	fd = mk("f");
	kvt_fill(buf, bs, 31, 0);
	IS(pwrite(fd, buf, 100, 0), 100);
	if (kvl) {
		CHECK(is_inline(fd), "%#" PRIx64, kvt_loc(fd, 0));
		IS(used_now(), used);
	}
	/* Growing by single bytes over the limit. */
	IS(pwrite(fd, buf + 100, max - 105, 100), max - 105);
	for (size_t i = max - 5; i < max + 5; i++)
		IS(pwrite(fd, buf + i, 1, (off_t)i), 1);
	if (kvl)
		IS(kvt_loc(fd, 0) & KVLIFT_LOC_INLINE, 0);
	IS(kvt_pread(fd, buf2, bs, 0), max + 5);
	CHECK_PATTERN(buf2, max + 5, 31, 0);
	OK(ftruncate(fd, 0));
	wait_used(used);

	/* Truncated up and down while small: zeros appear. */
	IS(pwrite(fd, buf, 1000, 0), 1000);
	OK(ftruncate(fd, 500));
	OK(ftruncate(fd, 900));
	IS(kvt_pread(fd, buf2, bs, 0), 900);
	CHECK_PATTERN(buf2, 500, 31, 0);
	CHECK_ZERO(buf2 + 500, 400);
	/* Extended far behind: the old bytes stay. */
	OK(ftruncate(fd, 10 * (off_t)bs));
	IS(kvt_pread(fd, buf2, bs, 0), bs);
	CHECK_PATTERN(buf2, 500, 31, 0);
	CHECK_ZERO(buf2 + 500, bs - 500);
	OK(ftruncate(fd, 700));
	IS(pwrite(fd, "Z", 1, 3 * (off_t)bs), 1);
	IS(kvt_pread(fd, buf2, bs, 0), bs);
	CHECK_PATTERN(buf2, 500, 31, 0);
	CHECK_ZERO(buf2 + 500, bs - 500);
	/* A hole inside. */
	OK(ftruncate(fd, 0));
	IS(pwrite(fd, buf, 1000, 0), 1000);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 50));
	IS(kvt_pread(fd, buf2, bs, 0), 1000);
	CHECK_PATTERN(buf2, 100, 31, 0);
	CHECK_ZERO(buf2 + 100, 50);
	CHECK_PATTERN(buf2 + 150, 850, 31, 150);

	/* Mapped: reads, then stores, and both views agree. */
	OK(ftruncate(fd, 0));
	IS(pwrite(fd, buf, 1000, 0), 1000);
	m = MUST(mmap(NULL, bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHECK_PATTERN(m, 1000, 31, 0);
	CHECK_ZERO(m + 1000, 4096 - 1000);
	if (kvl)
		IS(kvt_loc(fd, 0) & KVLIFT_LOC_INLINE, 0);
	m[10] = 'M';
	IS(pread(fd, buf2, 1, 10), 1);
	IS(buf2[0], 'M');
	IS(pwrite(fd, "W", 1, 11), 1);
	IS(m[11], 'W');
	IS(kvt_access_signal(m + 4096, false), SIGBUS);
	OK(ftruncate(fd, 8192));
	m[8191] = 'e';
	IS(pread(fd, buf2, 1, 8191), 1);
	IS(buf2[0], 'e');
	munmap(m, bs);
	close(fd);
	OK(unlink("f"));
	wait_used(used);

	/* Many small ones take no slot. */
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		fd = mk(name);
		kvt_fill(buf2, 300, (uint64_t)i, 0);
		IS(write(fd, buf2, 300), 300);
		close(fd);
	}
	if (kvl)
		IS(used_now(), used);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		fd = MUST(open(name, O_RDONLY));
		IS(read(fd, buf2, 1000), 300);
		CHECK_PATTERN(buf2, 300, (uint64_t)i, 0);
		close(fd);
		OK(unlink(name));
	}
}

static void t_limits(void)
{
	struct rlimit old, lim;
	off_t big = 1ll << 45;
	uint64_t used = kvl ? used_now() : 0;
	int fd = mk("f");
	ssize_t n;

	MUST(getrlimit(RLIMIT_FSIZE, &old));
	lim = old;
	lim.rlim_cur = bs + 100;
	IN_CHILD(signal(SIGXFSZ, SIG_IGN); MUST(setrlimit(RLIMIT_FSIZE, &lim));
		 kvt_fill(buf, bs, 1, 0); IS(kvt_pwrite(fd, buf, bs, 0), bs);
		 IS(pwrite(fd, buf, 1000, (off_t)bs), 100);
		 ERR(pwrite(fd, buf, 1, (off_t)bs + 100), EFBIG);
		 ERR(ftruncate(fd, (off_t)bs + 101), EFBIG);
		 ERR(fallocate(fd, 0, 0, 2 * (off_t)bs), EFBIG);
		 IS(size_of(fd), bs + 100));

	/* Far apart: only what is written takes room. */
	if (ftruncate(fd, big) && !kvl)
		goto out;
	IS(size_of(fd), big);
	IS(pread(fd, buf, 100, big - 50), 50);
	CHECK_ZERO(buf, 50);
	IS(pwrite(fd, "far", 3, big / 2), 3);
	IS(pread(fd, buf, 3, big / 2), 3);
	CHECK(!memcmp(buf, "far", 3));
	if (kvl) {
		CHECK(blocks_of(fd) * 512 <= (long long)(4 * bs), "%lld blocks",
		      blocks_of(fd));
		IS(lseek(fd, (off_t)(2 * bs), SEEK_DATA), big / 2);
		IS(lseek(fd, big / 2, SEEK_HOLE), big / 2 + (off_t)bs);
	}
	OK(ftruncate(fd, 5));
	/* Behind the largest offset. */
	n = pwrite(fd, "x", 1, INT64_MAX - 1);
	CHECK(n == 1 || errno == EFBIG || errno == EINVAL, "%zd %s", n,
	      strerror(errno));
	if (n == 1) /* s_maxbytes may be that large */
		OK(ftruncate(fd, 5));
	n = pwrite(fd, "x", 1, INT64_MAX);
	CHECK(n == -1 && (errno == EFBIG || errno == EINVAL), "%zd %s", n,
	      strerror(errno));
	IS(size_of(fd), 5);
	if (ftruncate(fd, INT64_MAX))
		CHECK(errno == EFBIG || errno == EINVAL, "%s", strerror(errno));
	OK(ftruncate(fd, 0));
out:
	close(fd);
	OK(unlink("f"));
	wait_used(used);
}

/* Fill everything, fail cleanly, lose nothing, go on after an unlink. */
static void t_enospc(void)
{
	uint64_t used0, used;
	size_t written = 0;
	struct statfs sf;
	int a, b, fd;
	ssize_t n;
	char *m;

	if (!kvl)
		return;
	a = mk("keep");
	kvt_fill(buf, 2 * bs, 41, 0);
	IS(kvt_pwrite(a, buf, 2 * bs, 0), 2 * bs);
	used0 = used_now();
	b = mk("full");
	for (uint64_t i = 0;; i++) {
		kvt_fill(buf, bs, 42 + i, 0);
		n = kvt_pwrite(b, buf, bs, (off_t)(i * bs));
		if (n != (ssize_t)bs)
			break;
		written += bs;
		if (!CHECK(i < 1000000, "no end"))
			break;
	}
	CHECK(n == -1 && errno == ENOSPC, "%zd %s", n, strerror(errno));
	CHECK(written >= bs, "nothing fitted");
	OK(statfs(".", &sf));
	CHECK((uint64_t)sf.f_bavail * (uint64_t)sf.f_bsize < 8 * bs,
	      "still %llu free", (unsigned long long)sf.f_bavail);
	used = used_now();
	CHECK(used * bs >= written, "used %" PRIu64, used);
	ERR(fallocate(b, 0, 0, (off_t)(written + 64 * bs)), ENOSPC);
	IS(used_now(), used);
	/* A small file still fits, as it takes no slot. */
	fd = mk("small");
	IS(write(fd, "s", 1), 1);
	/* Stores to a hole get SIGBUS, reads of one get zeros or SIGBUS. */
	OK(ftruncate(fd, (off_t)bs * 4));
	m = MUST(mmap(NULL, bs * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	IS(kvt_access_signal(m + 2 * bs, true), SIGBUS);
	IS(pread(fd, buf, 100, 3 * (off_t)bs), 100);
	CHECK_ZERO(buf, 100);
	ERR(pwrite(fd, buf, 100, 3 * (off_t)bs), ENOSPC);
	/* Everything that was there is there. */
	IS(kvt_pread(a, buf, 2 * bs, 0), 2 * bs);
	CHECK_PATTERN(buf, 2 * bs, 41, 0);
	for (uint64_t i = 0; i < written / bs; i++) {
		IS(kvt_pread(b, buf, bs, (off_t)(i * bs)), bs);
		if (!CHECK_PATTERN(buf, bs, 42 + i, 0))
			break;
	}
	/* Room again. */
	close(b);
	OK(unlink("full"));
	wait_used(used0);
	memset(m + 2 * bs, 'R', bs);
	IS(pwrite(fd, "R", 1, 3 * (off_t)bs), 1);
	IS(kvt_pread(a, buf, 2 * bs, 0), 2 * bs);
	CHECK_PATTERN(buf, 2 * bs, 41, 0);
	munmap(m, 4 * bs);
	close(fd);
	close(a);
	OK(unlink("small"));
	OK(unlink("keep"));
	wait_used(used0 - 2);
}

/* A buffer that is a mapping of the very block that is read or written. */
static void t_self(void)
{
	int fd = mk("f");
	char *m;

	kvt_fill(buf, 2 * bs, 51, 0);
	IS(kvt_pwrite(fd, buf, 2 * bs, 0), 2 * bs);
	m = MUST(mmap(NULL, 2 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	alarm(50);
	for (int i = 0; i < 10; i++) {
		/* Not yet faulted in again each time. */
		OK(madvise(m, 2 * bs, MADV_DONTNEED));
		IS(kvt_pread(fd, m, bs, 0), bs);
		OK(madvise(m, 2 * bs, MADV_DONTNEED));
		IS(kvt_pwrite(fd, m, bs, 0), bs);
		OK(madvise(m, 2 * bs, MADV_DONTNEED));
		IS(kvt_pwrite(fd, m + 100, bs, (off_t)bs - 50), bs);
		kvt_fill(m, 2 * bs, 51, 0);
	}
	/* A write into a hole from a hole. */
	OK(ftruncate(fd, 0));
	OK(ftruncate(fd, (off_t)(2 * bs)));
	IS(kvt_pwrite(fd, m + bs, bs, 0), bs);
	CHECK_ZERO(m, 2 * bs);
	OK(ftruncate(fd, 0));
	OK(ftruncate(fd, (off_t)(2 * bs)));
	IS(kvt_pwrite(fd, m, bs, 0), bs);
	CHECK_ZERO(m, 2 * bs);
	alarm(0);
	munmap(m, 2 * bs);
	close(fd);
	OK(unlink("f"));
}

static const struct fstest tests[] = {
	{ "rw", t_rw },
	{ "truncate", t_truncate },
	{ "fallocate", t_fallocate },
	{ "seek", t_seek },
	{ "direct", t_direct },
	{ "splice", t_splice },
	{ "rwf", t_rwf },
	{ "inline", t_inline },
	{ "limits", t_limits },
	{ "enospc", t_enospc },
	{ "self", t_self },
};

int main(int argc, char **argv)
{
	int fd = fst_start("fsdata", argc, argv);

	if (kvl) {
		MUST(kvt_info(fd, &info));
		bs = info.block_size;
	}
	close(fd);
	buf = malloc(5 * bs + 2 * BUFSZ);
	buf2 = malloc(5 * bs + 2 * BUFSZ);
	if (!buf || !buf2)
		kvt_die("no memory");
	return fst_run(tests, sizeof(tests) / sizeof(tests[0]));
}
