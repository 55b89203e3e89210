// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Each call is made again and again, with its first allocation failing, its
 * second, and so on until it has no more: it fails cleanly or succeeds, and
 * nothing is lost. Copies from and to user space and the I/O that the call
 * itself submits fail in the same way, where the shell has set that up (it
 * says, too, that only what the module causes shall be counted).
 *
 *	faultinject mount DIR OPTIONS [STEP]	mount and unmount; of the later
 *					failures only every STEPth
 *	faultinject calls DIR "" [STEP]		everything on a mounted pool
 */
#include "kvltest.h"

#include <dirent.h>
#include <setjmp.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define RW	  (PROT_READ | PROT_WRITE)
#define MAX_NTH	  3000
#define ALL_UP_TO 24
#define NBLOCKS	  8
#define FAR_BLOCK (1ull << 20)
#define SEED	  5

static size_t bs;
static char *dir, *options;
static int fd, g, nth_fd, bottom;
static unsigned int total, step = 1;
static char *map, *buf;
static sigjmp_buf on_bus;

/* The number in the file counts down; at 0 the failure has happened. */
static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	MUST(pwrite(nth_fd, text, (size_t)len, 0));
}

static unsigned int disarm(void)
{
	char text[16] = { 0 };

	MUST(pread(nth_fd, text, sizeof(text) - 1, 0));
	MUST(pwrite(nth_fd, "0", 1, 0));
	return (unsigned int)strtoul(text, NULL, 10);
}

struct op {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	/* What run() has left, whether it succeeded or not. */
	void (*check)(bool ok);
};

static void walk(const struct op *op)
{
	unsigned int n, tries = 0, failed = 0, left;
	int rc, e;

	for (n = 1; n < MAX_NTH; n += n < ALL_UP_TO ? 1 : step) {
		if (op->prepare)
			op->prepare();
		arm(n);
		errno = 0;
		rc = op->run();
		e = errno;
		left = disarm();
		if (rc < 0) {
			failed++;
			CHECK(e == ENOMEM || e == EFAULT || e == EIO ||
				      e == EAGAIN,
			      "%s, failure %u: %s", op->name, n, strerror(e));
			CHECK(!left, "%s, %u: failed by itself", op->name, n);
		}
		tries += !left;
		if (op->check)
			op->check(rc >= 0);
		if (left || kvt_fails > KVT_MAX_SHOWN)
			break;
	}
	CHECK(n < MAX_NTH, "%s has no end", op->name);
	printf("faultinject: %s: %u failures, of which it reported %u\n",
	       op->name, tries, failed);
	total += tries;
}

/* Mounts. */

static bool all_gone(void)
{
	FILE *f = MUST(fopen("/sys/fs/kvlift/objects", "r") ?: (void *)-1);
	long long v, sum = 0;
	char key[64];

	while (fscanf(f, "%63s %lld", key, &v) == 2)
		sum += v;
	fclose(f);
	return !sum;
}

static bool unmount(void)
{
	for (int i = 0; i < 200; i++) {
		if (!umount2(dir, 0))
			return true;
		kvt_msleep(20);
	}
	return false;
}

static int do_mount(void)
{
	return mount("none", dir, "kvlift", 0, options);
}

static void mounted(bool ok)
{
	if (ok)
		CHECK(unmount(), "%s", strerror(errno));
	for (int i = 0; i < 300 && !all_gone(); i++)
		kvt_msleep(10);
	CHECK(all_gone(), "a mount leaves something behind");
}

static void prepare_umount(void)
{
	MUST(do_mount());
}

static int do_umount(void)
{
	return umount2(dir, 0);
}

static void unmounted(bool ok)
{
	mounted(!ok);
}

/* Every other time with other options, so that there is something to do. */
static int do_remount(void)
{
	static unsigned int n;

	return mount("none", dir, "kvlift", MS_REMOUNT,
		     n++ & 1 ? "dram=4M,writeback=0" : "dram=6M,writeback=8");
}

static const struct op mount_ops[] = {
	{ "mount", NULL, do_mount, mounted },
	{ "umount", prepare_umount, do_umount, unmounted },
};

static const struct op remount_op = { "remount", NULL, do_remount, NULL };

/* Content: always the pattern, or zero where a write has failed. */

static void check_g(bool ok)
{
	off_t len = lseek(g, 0, SEEK_END);
	size_t piece = bs < 65536 ? bs : 65536;
	char *b = malloc(piece);

	(void)ok;
	for (off_t at = 0; at < len; at += (off_t)piece) {
		ssize_t n;

		/* Holes are not worth reading. */
		at = lseek(g, at, SEEK_DATA);
		if (at < 0)
			break;
		at -= at % (off_t)piece;
		n = kvt_pread(g, b, piece, at);
		if (!CHECK(n > 0, "read of g: %s", strerror(errno)))
			break;
		for (ssize_t i = 0; i < n; i += 8) {
			size_t w = n - i < 8 ? (size_t)(n - i) : 8;

			if (kvt_nonzero(b + i, w) >= 0 &&
			    kvt_diff(b + i, w, SEED + 1, (uint64_t)(at + i)) >=
				    0) {
				CHECK(0, "foreign bytes in g at %lld",
				      (long long)(at + i));
				break;
			}
		}
	}
	free(b);
	MUST(ftruncate(g, 0));
}

static void check_f(bool ok)
{
	char *b = malloc(bs);

	(void)ok;
	for (uint64_t i = 0; i < NBLOCKS; i++) {
		ssize_t n = -1;

		/* A block that could not be read is not tried again at once. */
		for (int k = 0; k < 100; k++) {
			n = kvt_pread(fd, b, bs, (off_t)(i * bs));
			if (n >= 0)
				break;
			kvt_msleep(50);
		}
		if (CHECK(n == (ssize_t)bs, "block %" PRIu64 ": %s", i,
			  strerror(errno)))
			CHECK_PATTERN(b, bs, SEED, i * bs);
	}
	free(b);
}

/* Block 2 of the file to the bottom, where it can be read from. */
static void down(void)
{
	CHECK(!kvt_move_to(fd, 2, bottom, 20000), "block 2 in tier %d",
	      kvt_tier(fd, 2));
	OK(madvise(map, NBLOCKS * bs, MADV_DONTNEED));
}

static void up(void)
{
	CHECK(!kvt_move_to(fd, 2, KVLIFT_TIER_DRAM, 20000), "block 2");
}

static void bus(int sig)
{
	(void)sig;
	siglongjmp(on_bus, 1);
}

static int touch(volatile char *p, bool store)
{
	if (sigsetjmp(on_bus, 1)) {
		errno = EIO;
		return -1;
	}
	if (store)
		*p = *p;
	else
		(void)*p;
	return 0;
}

static int fault_read(void)
{
	return touch(map + 2 * bs + 5000, false);
}

static int fault_write(void)
{
	return touch(map + 2 * bs + 5000, true);
}

static void prepare_hole(void)
{
	MUST(ftruncate(g, (off_t)bs));
}

static int fault_hole(void)
{
	char *m = mmap(NULL, bs, RW, MAP_SHARED, g, 0);
	int rc;

	if (m == MAP_FAILED)
		return -1;
	rc = touch(m + 4096, true);
	munmap(m, bs);
	return rc;
}

static int full(ssize_t n, size_t want)
{
	/* A short transfer is how a failure shows that comes late. */
	if (n >= 0 && n != (ssize_t)want)
		errno = EIO;
	return n == (ssize_t)want ? 0 : -1;
}

static int read_block(void)
{
	return full(pread(fd, buf, bs, (off_t)(2 * bs)), bs);
}

static int write_part(void)
{
	kvt_fill(buf, 100, SEED, 2 * bs + 40);
	return full(pwrite(fd, buf, 100, (off_t)(2 * bs + 40)), 100);
}

static int write_whole(void)
{
	kvt_fill(buf, bs, SEED, 2 * bs);
	return full(pwrite(fd, buf, bs, (off_t)(2 * bs)), bs);
}

static int write_g(uint64_t at, size_t n)
{
	kvt_fill(buf, n, SEED + 1, at);
	return full(pwrite(g, buf, n, (off_t)at), n);
}

static int write_new(void)
{
	return write_g(0, 2 * bs);
}

static int write_far(void)
{
	return write_g(FAR_BLOCK * bs, bs);
}

static int write_inline(void)
{
	return write_g(0, 1000);
}

static void prepare_inline(void)
{
	MUST(ftruncate(g, 0));
	MUST(write_g(0, 1000));
}

static int grow_inline(void)
{
	return write_g(1000, bs);
}

static void prepare_blocks(void)
{
	MUST(ftruncate(g, 0));
	MUST(write_g(0, 3 * bs));
}

static int do_allocate(void)
{
	return fallocate(g, 0, 0, (off_t)(4 * bs));
}

static int do_punch(void)
{
	return fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 96,
			 (off_t)(2 * bs));
}

static int do_truncate(void)
{
	return ftruncate(g, (off_t)(2 * bs + 104));
}

static int do_prefetch(void)
{
	return kvt_prefetch(fd, 0, NBLOCKS);
}

static int do_demote(void)
{
	return kvt_demote(fd, 0, NBLOCKS);
}

static int do_where(void)
{
	uint64_t words[NBLOCKS];
	struct kvlift_where w = { .count = NBLOCKS, .ptr = (uintptr_t)words };

	return ioctl(fd, KVLIFT_IOC_WHERE, &w);
}

static int do_seal(void)
{
	struct kvlift_seal s = { .count = NBLOCKS };

	return ioctl(fd, KVLIFT_IOC_SEAL, &s);
}

static int do_table(void)
{
	int t = ioctl(fd, KVLIFT_IOC_TABLE), rc;
	char *m;

	if (t < 0)
		return -1;
	m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, t, 0);
	rc = m == MAP_FAILED ? -1 : touch(m, false);
	if (m != MAP_FAILED)
		munmap(m, 4096);
	close(t);
	return rc;
}

/* A prefetch and a lease on a new queue, which is closed at once. */
static int do_queue(void)
{
	struct kvlift_req r[2] = {
		{ .cookie = 1, .first = 2, .count = 1, .fd = fd },
		{ .cookie = 2,
		  .first = 3,
		  .count = 1,
		  .fd = fd,
		  .op = KVLIFT_OP_ACQUIRE,
		  .lease_ms = 1000 },
	};
	struct kvlift_submit s = { .ptr = (uintptr_t)r, .count = 2 };
	int q = ioctl(fd, KVLIFT_IOC_QUEUE), rc, e;

	if (q < 0)
		return -1;
	rc = ioctl(q, KVLIFT_IOC_SUBMIT, &s);
	if (!rc && s.done != 2) {
		errno = EAGAIN;
		rc = -1;
	}
	e = errno;
	close(q);
	errno = e;
	return rc;
}

static void prepare_domain(void)
{
	MUST(mkdir("d", 0700));
}

static int do_domain(void)
{
	struct kvlift_domain d = { .weight = 100, .total_limit = 4 };
	int q = open("d", O_RDONLY), rc, e;

	if (q < 0)
		return -1;
	rc = ioctl(q, KVLIFT_IOC_DOMAIN_SET, &d);
	e = errno;
	close(q);
	errno = e;
	return rc;
}

static void no_domain(bool ok)
{
	(void)ok;
	OK(rmdir("d"));
}

static int do_create(void)
{
	int n = open("n", O_CREAT | O_EXCL | O_RDWR, 0600);

	if (n < 0)
		return -1;
	close(n);
	return 0;
}

static void no_n(bool ok)
{
	if (ok)
		OK(unlink("n"));
	else if (unlink("n"))
		/* Else it was made, and could not be opened. */
		CHECK(errno == ENOENT, "%s", strerror(errno));
}

static int do_mkdir(void)
{
	return mkdir("n", 0700);
}

static void no_dir(bool ok)
{
	if (ok)
		OK(rmdir("n"));
	else
		ERR(access("n", F_OK), ENOENT);
}

static int do_symlink(void)
{
	return symlink("a long enough target, so that it is kept apart", "n");
}

static int do_link(void)
{
	return link("f", "n");
}

static int do_rename(void)
{
	if (rename("f", "f2"))
		return -1;
	return rename("f2", "f");
}

static void renamed(bool ok)
{
	(void)ok;
	rename("f2", "f");
	OK(access("f", R_OK));
}

static int do_tmpfile(void)
{
	int n = open(".", O_TMPFILE | O_RDWR, 0600);

	if (n < 0)
		return -1;
	close(n);
	return 0;
}

static int do_xattr(void)
{
	return fsetxattr(fd, "user.fault", "value", 5, 0);
}

static void no_xattr(bool ok)
{
	char v[8];

	if (ok)
		IS(fgetxattr(fd, "user.fault", v, sizeof(v)), 5);
	if (fremovexattr(fd, "user.fault"))
		CHECK(!ok && errno == ENODATA, "%s", strerror(errno));
}

static int do_readdir(void)
{
	DIR *d = opendir(".");
	int e;

	if (!d)
		return -1;
	errno = 0;
	while (readdir(d))
		;
	e = errno;
	closedir(d);
	errno = e;
	return e ? -1 : 0;
}

static int do_mmap(void)
{
	char *m = mmap(NULL, bs, RW, MAP_SHARED, fd, 0);

	return m == MAP_FAILED ? -1 : munmap(m, bs);
}

static int do_populate(void)
{
	return madvise(map, NBLOCKS * bs, 22 /* POPULATE_READ */);
}

static const struct op call_ops[] = {
	{ "create", NULL, do_create, no_n },
	{ "mkdir", NULL, do_mkdir, no_dir },
	{ "symlink", NULL, do_symlink, no_n },
	{ "link", NULL, do_link, no_n },
	{ "rename", NULL, do_rename, renamed },
	{ "tmpfile", NULL, do_tmpfile, NULL },
	{ "setxattr", NULL, do_xattr, no_xattr },
	{ "readdir", NULL, do_readdir, NULL },
	{ "write, new blocks", NULL, write_new, check_g },
	{ "write, a new chunk", NULL, write_far, check_g },
	{ "write, inline", NULL, write_inline, check_g },
	{ "write, no longer inline", prepare_inline, grow_inline, check_g },
	{ "write, part of a block below", down, write_part, check_f },
	{ "write, a whole block below", down, write_whole, check_f },
	{ "read, a block below", down, read_block, check_f },
	{ "mmap", NULL, do_mmap, NULL },
	{ "read fault, below", down, fault_read, check_f },
	{ "write fault, below", down, fault_write, check_f },
	{ "fault, a hole", prepare_hole, fault_hole, check_g },
	{ "populate", down, do_populate, check_f },
	{ "fallocate", NULL, do_allocate, check_g },
	{ "punch", prepare_blocks, do_punch, check_g },
	{ "truncate", prepare_blocks, do_truncate, check_g },
	{ "prefetch", down, do_prefetch, check_f },
	{ "demote", up, do_demote, check_f },
	{ "where", NULL, do_where, NULL },
	{ "table", NULL, do_table, check_f },
	{ "seal", up, do_seal, check_f },
	{ "queue", down, do_queue, check_f },
	{ "domain", prepare_domain, do_domain, no_domain },
};

static void calls(void)
{
	struct kvlift_info info;

	MUST(chdir(dir));
	fd = MUST(open("f", O_CREAT | O_TRUNC | O_RDWR, 0600));
	g = MUST(open("g", O_CREAT | O_TRUNC | O_RDWR, 0600));
	MUST(kvt_info(fd, &info));
	bs = info.block_size;
	bottom = kvt_bottom(&info);
	buf = malloc(NBLOCKS * bs);
	kvt_fill(buf, NBLOCKS * bs, SEED, 0);
	MUST(kvt_pwrite(fd, buf, NBLOCKS * bs, 0));
	map = MUST(mmap(NULL, NBLOCKS * bs, RW, MAP_SHARED, fd, 0));
	for (size_t i = 0; i < sizeof(call_ops) / sizeof(call_ops[0]); i++)
		walk(&call_ops[i]);
	check_f(true);
	munmap(map, NBLOCKS * bs);
	close(fd);
	close(g);
	OK(unlink("f"));
	OK(unlink("g"));
	MUST(chdir("/"));
	walk(&remount_op);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		kvt_die("usage: faultinject mount|calls DIR [OPTIONS]");
	dir = argv[2];
	options = argc > 3 ? argv[3] : NULL;
	if (argc > 4)
		step = (unsigned int)strtoul(argv[4], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGBUS, bus);
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0)
		return KVT_SKIP;
	if (!strcmp(argv[1], "mount"))
		for (size_t i = 0; i < sizeof(mount_ops) / sizeof(*mount_ops);
		     i++)
			walk(&mount_ops[i]);
	else
		calls();
	printf("faultinject: %u failures in all\n", total);
	CHECK(total > 20, "nothing was made to fail");
	return kvt_end("faultinject");
}
