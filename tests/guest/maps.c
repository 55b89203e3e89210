// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Mappings: faults, ends, protection, madvise, mremap, fork, and everything
 * that reaches into a mapping from the side. Pins are in pins.c. Runs on any
 * file system; what only kvlift promises is checked on kvlift.
 *
 *	maps DIR [TEST...]
 */
#include "kvltest.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

#define AROUND ((size_t)256 << 10) /* what a fault maps of neighbours */
#define RW     (PROT_READ | PROT_WRITE)

static bool kvl;
static struct kvlift_info info;
static size_t bs = 65536;
static char *buf;

static int mk(const char *name, size_t blocks, uint64_t seed)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	for (size_t i = 0; i < blocks; i++) {
		kvt_fill(buf, bs, seed, i * bs);
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	}
	return fd;
}

static char *map(int fd, size_t len, off_t off)
{
	return MUST(mmap(NULL, len, RW, MAP_SHARED, fd, off));
}

static long minor(void)
{
	struct rusage ru;

	MUST(getrusage(RUSAGE_SELF, &ru));
	return ru.ru_minflt + ru.ru_majflt;
}

static void touch(volatile char *m, size_t len)
{
	for (size_t i = 0; i < len; i += 4096)
		(void)m[i];
}

static void store(volatile char *m, size_t len, char c)
{
	for (size_t i = 0; i < len; i += 4096)
		m[i] = c;
}

/* A line of the mapping's entry in smaps, in KiB. */
static long smaps(const void *addr, const char *field)
{
	unsigned long from, to, at = (unsigned long)addr;
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool in = false;
	long v = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from <= at && at < to;
		else if (in && !strncmp(line, field, strlen(field)) &&
			 line[strlen(field)] == ':')
			v = atol(line + strlen(field) + 1);
	}
	fclose(f);
	return v;
}

/*
 * One fault for the blocks of an aligned 256 KiB, or for a larger one, on new
 * blocks, on old ones, and again after a zap.
 */
static void t_faults(void)
{
	size_t n = 6, window = bs < AROUND ? AROUND : bs;
	int fd = mk("f", n, 1);
	long before, f;
	char *m;

	m = map(fd, n * bs, 0);
	minor();
	for (int round = 0; round < 3; round++) {
		before = minor();
		if (round == 1)
			store(m, n * bs, 'x');
		else
			touch(m, n * bs);
		f = minor() - before;
		if (kvl)
			IS(f, (n * bs + window - 1) / window);
		if (kvl && info.features & KVLIFT_F_PMD && bs == 2 << 20)
			IS(smaps(m, "FilePmdMapped"), n * 2048);
		OK(madvise(m, n * bs, MADV_DONTNEED));
		IS(smaps(m, "Rss"), 0);
	}
	munmap(m, n * bs);
	close(fd);

	/* Holes. */
	fd = mk("f", 0, 0);
	OK(ftruncate(fd, (off_t)(n * bs)));
	m = map(fd, n * bs, 0);
	minor();
	before = minor();
	touch(m, n * bs);
	f = minor() - before;
	if (kvl)
		IS(f, n);
	CHECK_ZERO(m, n * bs);
	before = minor();
	store(m, n * bs, 'y');
	f = minor() - before;
	/* The core may want to set a dirty bit, one page each, at most. */
	if (kvl)
		CHECK(f <= (long)(n * bs / 4096), "%ld write faults", f);
	munmap(m, n * bs);
	close(fd);
	OK(unlink("f"));
}

static void t_sigbus(void)
{
	size_t n = 3;
	int fd = mk("f", n, 2);
	char *m = map(fd, 6 * bs, 0);

	CHECK_PATTERN(m, n * bs, 2, 0);
	IS(kvt_access_signal(m + n * bs, false), SIGBUS);
	IS(kvt_access_signal(m + 5 * bs, true), SIGBUS);
	OK(ftruncate(fd, (off_t)(bs + 5000)));
	CHECK_PATTERN(m, bs + 5000, 2, 0);
	CHECK_ZERO(m + bs + 5000, 8192 - 5000);
	IS(kvt_access_signal(m + bs + 8191, false), 0);
	IS(kvt_access_signal(m + bs + 8192, false), SIGBUS);
	IS(kvt_access_signal(m + bs + 8192, true), SIGBUS);
	IS(kvt_access_signal(m + 2 * bs, false), SIGBUS);
	OK(ftruncate(fd, (off_t)(n * bs)));
	CHECK_ZERO(m + bs + 5000, 2 * bs - 5000);
	OK(ftruncate(fd, 0));
	IS(kvt_access_signal(m, false), SIGBUS);
	OK(ftruncate(fd, 1));
	IS(kvt_access_signal(m, true), 0);
	IS(kvt_access_signal(m + 4096, true), SIGBUS);
	munmap(m, 6 * bs);
	close(fd);
	OK(unlink("f"));
}

static void t_protect(void)
{
	int fd = mk("f", 4, 3), ro;
	char *m = map(fd, 4 * bs, 0);

	store(m, 4 * bs, 'p');
	OK(mprotect(m, 4 * bs, PROT_READ));
	IS(kvt_access_signal(m, true), SIGSEGV);
	IS(m[0], 'p');
	OK(mprotect(m + bs, bs, RW));
	m[bs] = 'q';
	IS(kvt_access_signal(m + 2 * bs, true), SIGSEGV);
	/* A part of a block. */
	OK(mprotect(m, 4 * bs, RW));
	OK(mprotect(m + bs + 4096, 4096, PROT_NONE));
	IS(kvt_access_signal(m + bs + 4096, false), SIGSEGV);
	m[bs + 8192 % bs] = 'r';
	OK(mprotect(m, 4 * bs, RW));
	IS(m[0], 'p');
	IS(m[3 * bs], 'p');
	munmap(m, 4 * bs);

	ro = MUST(open("f", O_RDONLY));
	ERR((long)mmap(NULL, bs, RW, MAP_SHARED, ro, 0), EACCES);
	m = MUST(mmap(NULL, bs, PROT_READ, MAP_SHARED, ro, 0));
	ERR(mprotect(m, bs, RW), EACCES);
	IS(m[0], 'p');
	munmap(m, bs);
	close(ro);
	ro = MUST(open("f", O_WRONLY));
	ERR((long)mmap(NULL, bs, PROT_READ, MAP_SHARED, ro, 0), EACCES);
	close(ro);
	if (kvl) {
		ERR((long)mmap(NULL, bs, PROT_READ | PROT_EXEC, MAP_SHARED, fd,
			       0),
		    EPERM);
		m = map(fd, bs, 0);
		ERR(mprotect(m, bs, PROT_READ | PROT_EXEC), EACCES);
		munmap(m, bs);
		/* Copies on write are not made. */
		ERR((long)mmap(NULL, bs, RW, MAP_PRIVATE, fd, 0), EINVAL);
		m = MUST(mmap(NULL, bs, PROT_READ, MAP_PRIVATE, fd, 0));
		IS(m[0], 'p');
		ERR(mprotect(m, bs, RW), EACCES);
		munmap(m, bs);
		CHECK(mmap(NULL, bs, RW, MAP_SHARED_VALIDATE | MAP_SYNC, fd,
			   0) == MAP_FAILED);
	}
	close(fd);
	OK(unlink("f"));
}

static void t_madvise(void)
{
	static const int harmless[] = {
		MADV_NORMAL,	     MADV_RANDOM,     MADV_SEQUENTIAL,
		MADV_WILLNEED,	     MADV_COLD,	      MADV_PAGEOUT,
		MADV_HUGEPAGE,	     MADV_NOHUGEPAGE, MADV_MERGEABLE,
		MADV_UNMERGEABLE,    MADV_DONTDUMP,   MADV_DODUMP,
		MADV_DONTFORK,	     MADV_DOFORK,     MADV_COLLAPSE,
		MADV_FREE,	     MADV_DONTNEED,   MADV_POPULATE_READ,
		MADV_POPULATE_WRITE,
	};
	size_t n = 5;
	int fd = mk("f", n, 4);
	char *m = map(fd, n * bs, 0);
	unsigned char *vec = malloc(n * bs / 4096);
	struct stat st;
	long before;

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		int rc = madvise(m, n * bs, harmless[i]);

		CHECK(!rc || errno == EINVAL || errno == EBUSY ||
			      errno == EAGAIN || errno == ENOMEM,
		      "advice %d: %s", harmless[i], strerror(errno));
		CHECK_PATTERN(m, n * bs, 4, 0);
		/* And on a part of a block. */
		rc = madvise(m + bs + 4096, 8192, harmless[i]);
		CHECK(!rc || errno == EINVAL || errno == EBUSY ||
			      errno == EAGAIN || errno == ENOMEM,
		      "advice %d: %s", harmless[i], strerror(errno));
		CHECK_PATTERN(m, n * bs, 4, 0);
	}
	if (kvl) {
		ERR(madvise(m, n * bs, MADV_FREE), EINVAL);
		OK(madvise(m, n * bs, MADV_COLD));
		OK(madvise(m, n * bs, MADV_PAGEOUT));
	}
	/* Newer kernels refuse to undo it on VM_MIXEDMAP. */
	CHECK(!madvise(m, n * bs, MADV_DOFORK) || errno == EINVAL,
	      "MADV_DOFORK: %s", strerror(errno));
	OK(madvise(m, n * bs, MADV_DONTNEED));
	if (!madvise(m, n * bs, MADV_POPULATE_WRITE)) {
		before = minor();
		store(m, n * bs, m[0]);
		IS(minor() - before, 0);
		IS(smaps(m, "Rss"), n * bs / 1024);
	}
	OK(madvise(m, n * bs, MADV_DONTNEED));
	OK(madvise(m, n * bs, MADV_POPULATE_READ));
	OK(mincore(m, n * bs, vec));
	before = 0;
	for (size_t i = 0; i < n * bs / 4096; i++)
		before += vec[i] & 1;
	IS(before, n * bs / 4096);
	OK(madvise(m, n * bs, MADV_WILLNEED));

	/* MADV_REMOVE is a punch. */
	store(m, n * bs, 4);
	OK(madvise(m + bs, bs, MADV_REMOVE));
	CHECK_ZERO(m + bs, bs);
	IS(m[0], 4);
	IS(m[2 * bs], 4);
	OK(madvise(m + 2 * bs + 4096, 4096, MADV_REMOVE));
	CHECK_ZERO(m + 2 * bs + 4096, 4096);
	IS(m[2 * bs], 4);
	OK(fstat(fd, &st));
	IS(st.st_size, n * bs);

	OK(msync(m, n * bs, MS_SYNC));
	OK(msync(m, n * bs, MS_ASYNC));
	OK(msync(m, n * bs, MS_INVALIDATE));
	OK(mlock(m, n * bs));
	store(m, n * bs, 5);
	if (!kvl) /* there, mlock does nothing */
		ERR(msync(m, n * bs, MS_INVALIDATE), EBUSY);
	OK(munlock(m, n * bs));
	OK(mlock2(m, bs, MLOCK_ONFAULT));
	OK(munlock(m, bs));
	OK(mlockall(MCL_CURRENT));
	OK(munlockall());
	munmap(m, n * bs);
	m = mmap(NULL, n * bs, RW, MAP_SHARED | MAP_POPULATE, fd, 0);
	CHECK(m != MAP_FAILED);
	IS(m[4 * bs], 5);
	munmap(m, n * bs);
	m = mmap(NULL, n * bs, RW, MAP_SHARED | MAP_LOCKED, fd, 0);
	CHECK(m != MAP_FAILED);
	IS(m[3 * bs], 5);
	munmap(m, n * bs);
	free(vec);
	close(fd);
	OK(unlink("f"));
}

static void t_mremap(void)
{
	size_t n = 4;
	int fd = mk("f", 2 * n, 5);
	char *m = map(fd, n * bs, 0), *to, *g;

	touch(m, n * bs);
	/* To another place, as a whole and in part. */
	to = MUST(mmap(NULL, 4 * n * bs, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0));
	g = mremap(m, n * bs, n * bs, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (CHECK(g == to, "move: %s", strerror(errno)))
		m = g;
	CHECK_PATTERN(m, n * bs, 5, 0);
	IS(kvt_access_signal(m + bs, true), 0);
	kvt_fill(m, n * bs, 5, 0);
	g = mremap(m + 2 * bs, bs, bs, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to + 3 * n * bs);
	if (CHECK(g == to + 3 * n * bs, "part: %s", strerror(errno))) {
		CHECK_PATTERN(g, bs, 5, 2 * bs);
		kvt_fill(g, bs, 6, 2 * bs);
		IS(kvt_pread(fd, buf, bs, (off_t)(2 * bs)), bs);
		CHECK_PATTERN(buf, bs, 6, 2 * bs);
		kvt_fill(g, bs, 5, 2 * bs);
	}
	CHECK_PATTERN(m, 2 * bs, 5, 0);
	munmap(to, 4 * n * bs);

	/* Shrinking and growing; the kernel may refuse to grow. */
	m = map(fd, n * bs, 0);
	touch(m, n * bs);
	g = mremap(m, n * bs, 2 * bs, 0);
	CHECK(g == m, "shrink: %s", strerror(errno));
	CHECK_PATTERN(m, 2 * bs, 5, 0);
	for (int flags = 0; flags <= 1; flags++) {
		g = mremap(m, 2 * bs, 2 * n * bs, flags ? MREMAP_MAYMOVE : 0);
		if (g == MAP_FAILED) {
			printf("maps: mremap growth, block %zu, flags %d: %s\n",
			       bs, flags, strerror(errno));
			CHECK(errno == ENOMEM || errno == EFAULT ||
				      errno == EINVAL,
			      "%s", strerror(errno));
			CHECK_PATTERN(m, 2 * bs, 5, 0);
			continue;
		}
		printf("maps: mremap growth, block %zu, flags %d: ok\n", bs,
		       flags);
		m = g;
		CHECK_PATTERN(m, 2 * n * bs, 5, 0);
		munmap(m + 2 * bs, (2 * n - 2) * bs);
	}
	munmap(m, 2 * bs);
	close(fd);
	OK(unlink("f"));
}

static void t_fork(void)
{
	size_t n = 4;
	int fd = mk("f", n, 6), go[2], status;
	char *m = map(fd, n * bs, 0), *m2 = map(fd, n * bs, 0), c;
	pid_t pid;

	touch(m, n * bs);
	MUST(pipe(go));
	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		/* The child writes the odd pages, the parent the even ones. */
		for (int r = 0; r < 50; r++)
			for (size_t i = 4096; i < n * bs; i += 8192)
				m[i] = (char)(r + 1);
		_exit(write(go[1], "x", 1) == 1 ? 0 : 1);
	}
	for (int r = 0; r < 50; r++) {
		for (size_t i = 0; i < n * bs; i += 8192)
			m2[i] = (char)(r + 1);
		if (kvl)
			kvt_demote(fd, (uint64_t)r % n, 1);
	}
	IS(read(go[0], &c, 1), 1);
	waitpid(pid, &status, 0);
	IS(status, 0);
	for (size_t i = 0; i < n * bs; i += 4096)
		if (!CHECK(m[i] == 50 && m2[i] == 50, "page %zu: %d %d",
			   i / 4096, m[i], m2[i]))
			break;
	close(go[0]);
	close(go[1]);
	/* A child that outlives the parent's mapping. */
	munmap(m2, n * bs);
	m[0] = 7;
	IN_CHILD(munmap(m + bs, bs); IS(m[0], 7); m[2 * bs] = 8);
	IS(m[2 * bs], 8);
	munmap(m, n * bs);
	close(fd);
	OK(unlink("f"));
}

static void t_parts(void)
{
	size_t n = 6;
	int fd = mk("f", n, 7);
	char *m = map(fd, n * bs, 0), *a, *b;

	touch(m, n * bs);
	OK(munmap(m + 2 * bs, bs));
	OK(munmap(m + 4096, 4096)); /* a piece out of a block */
	IS(kvt_access_signal(m + 2 * bs, false), SIGSEGV);
	IS(kvt_access_signal(m + 4096, false), SIGSEGV);
	CHECK_PATTERN(m, 4096, 7, 0);
	CHECK_PATTERN(m + 8192, 2 * bs - 8192, 7, 8192);
	CHECK_PATTERN(m + 3 * bs, 3 * bs, 7, 3 * bs);
	if (kvl)
		kvt_demote(fd, 0, n);
	CHECK_PATTERN(m, 4096, 7, 0);
	CHECK_PATTERN(m + 3 * bs, 3 * bs, 7, 3 * bs);
	munmap(m, n * bs);

	/* Windows that do not begin or end at blocks. */
	a = map(fd, bs, (off_t)(bs / 2));
	b = map(fd, 3 * 4096, (off_t)(2 * bs - 4096));
	CHECK_PATTERN(a, bs, 7, bs / 2);
	CHECK_PATTERN(b, 3 * 4096, 7, 2 * bs - 4096);
	a[bs / 2] = 'A';
	m = map(fd, n * bs, 0);
	IS(m[bs], 'A');
	m[2 * bs] = 'B';
	IS(b[4096], 'B');
	if (kvl)
		kvt_demote(fd, 0, n);
	IS(a[bs / 2], 'A');
	IS(b[4096], 'B');
	IS(m[2 * bs], 'B');
	munmap(a, bs);
	munmap(b, 3 * 4096);
	/* Unlinked and closed, the mapping lives on. */
	OK(unlink("f"));
	close(fd);
	m[3 * bs] = 'C';
	IS(m[3 * bs], 'C');
	IS(m[bs], 'A');
	munmap(m, n * bs);
}

static void t_remote(void)
{
	int fd = mk("f", 3, 8), mem;
	char *m = map(fd, 3 * bs, 0), *ro;
	struct iovec loc = { buf, bs }, rem = { m, bs };
	unsigned long mask = 1;
	int node[3] = { 0, 0, 0 }, status[3] = { 99, 99, 99 };
	void *pages[3] = { m, m + bs, m + 2 * bs };
	ssize_t n;

	n = process_vm_readv(getpid(), &loc, 1, &rem, 1, 0);
	if (n < 0 && errno == ENOSYS) {
		puts("maps: no process_vm_readv in this kernel");
	} else {
		IS(n, bs);
		CHECK_PATTERN(buf, bs, 8, 0);
		kvt_fill(buf, bs, 9, 0);
		IS(process_vm_writev(getpid(), &loc, 1, &rem, 1, 0), bs);
		CHECK_PATTERN(m, bs, 9, 0);
	}
	mem = MUST(open("/proc/self/mem", O_RDWR));
	IS(pread(mem, buf, 5000, (off_t)(uintptr_t)(m + bs)), 5000);
	CHECK_PATTERN(buf, 5000, 8, bs);
	kvt_fill(buf, 5000, 10, bs);
	IS(pwrite(mem, buf, 5000, (off_t)(uintptr_t)(m + bs)), 5000);
	CHECK_PATTERN(m + bs, 5000, 10, bs);
	IS(kvt_pread(fd, buf, 5000, (off_t)bs), 5000);
	CHECK_PATTERN(buf, 5000, 10, bs);
	if (kvl) {
		/* The debugger's way round the protection is shut, too. */
		ro = MUST(mmap(NULL, bs, PROT_READ, MAP_PRIVATE, fd, 0));
		CHECK(pwrite(mem, "x", 1, (off_t)(uintptr_t)ro) == -1);
		munmap(ro, bs);
	}
	close(mem);

	/* The core moves none of our memory. */
	touch(m, 3 * bs);
	syscall(SYS_mbind, m, 3 * bs, 2 /* BIND */, &mask, 8ul, 2u /* MOVE */);
	syscall(SYS_move_pages, 0, 3ul, pages, node, status, 2 /* MOVE */);
	syscall(SYS_migrate_pages, 0, 8ul, &mask, &mask);
	kvt_fill(m, 3 * bs, 11, 0);
	IS(kvt_pread(fd, buf, bs, (off_t)(2 * bs)), bs);
	CHECK_PATTERN(buf, bs, 11, 2 * bs);
	munmap(m, 3 * bs);
	close(fd);
	OK(unlink("f"));
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "faults", t_faults },	  { "sigbus", t_sigbus },
	{ "protect", t_protect }, { "madvise", t_madvise },
	{ "mremap", t_mremap },	  { "fork", t_fork },
	{ "parts", t_parts },	  { "remote", t_remote },
};

int main(int argc, char **argv)
{
	int fd;

	if (argc < 2)
		kvt_die("usage: maps DIR [TEST...]");
	MUST(chdir(argv[1]));
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	kvl = kvt_is_kvlift(fd);
	if (kvl) {
		MUST(kvt_info(fd, &info));
		bs = info.block_size;
	}
	close(fd);
	buf = malloc(2 * bs);
	if (!buf)
		kvt_die("no memory");
	memset(buf, 0, 2 * bs);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		bool wanted = argc == 2;
		int before = kvt_fails;

		for (int k = 2; k < argc; k++)
			wanted |= !strcmp(argv[k], tests[i].name);
		if (!wanted)
			continue;
		MUST(mkdir("maps.d", 0755));
		MUST(chdir("maps.d"));
		tests[i].run();
		MUST(chdir(".."));
		OK(rmdir("maps.d"));
		if (kvt_fails > before) {
			printf("maps: %s: %d failed\n", tests[i].name,
			       kvt_fails - before);
			IS(system("rm -rf maps.d"), 0);
		}
	}
	return kvt_end("maps");
}
