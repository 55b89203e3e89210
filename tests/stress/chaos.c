// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Everything at once. Region A is only written, in words that their writers
 * count and in sectors that a device fills, while its mappings are split,
 * moved, protected, dropped, forked and pinned and its blocks move: no word may
 * be lost, and none may go back. Region B is truncated, punched and filled
 * meanwhile: what is read there is zero or what belongs to that very offset.
 * Files come and go beside them.
 *
 *	chaos DIR [-t SECONDS] [-s SEED] [-n BLOCKS] [-r A:B] [-d DEV] [-m MOVES]
 *	      [-p] [-e] [-x]
 *
 * -m: goes on until so many blocks have moved, for 8 times as long at most.
 * -r remounts in turn with the options A and B. -d: a device that may be
 * overwritten, for O_DIRECT and fixed buffers. -p asks all shrinkers for what
 * they have. -e: faults are being injected, errors are no failures. -x: lost
 * writes are expected (the negative control), so none is a failure.
 *
 * The line "@@moves N" says how many blocks have moved meanwhile.
 */
#include "kvltest.h"
#include "kvtword.h"
#include "kvturing.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/mount.h>

#define RW	(PROT_READ | PROT_WRITE)
#define WRITERS 4
#define SECTOR	512
/* So long may a store take of which others see a part, ns. */
#define PATIENCE (30 * 1000000000ull)

static size_t bs, nblocks = 16;
static uint64_t seed = 1, want;
static unsigned int seconds = 10;
static bool expect_loss, press, faulty;
static int dev = -1;
static char *remount[2];
static char dir[4096];
static int fda, fdb;
static char *ma, *mb;

struct shared {
	bool stop;
	uint64_t ops, bad, final, foreign, bus_a, bus_b, cuts, vm, pins, moves;
	uint64_t files, forks, errors, remounts, enospc, back, direct, fixed;
	uint64_t pressed, tolerated, mixed, torn;
};
static struct shared *sh;

static _Thread_local sigjmp_buf on_bus;
static _Thread_local volatile bool bus_expected;

static void bump(uint64_t *p)
{
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&sh->stop, __ATOMIC_RELAXED);
}

static void sigbus(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	if (bus_expected)
		siglongjmp(on_bus, 1);
	if (faulty) {
		/* The block may be read again later. */
		bump(&sh->bus_a);
		kvt_msleep(20);
		return;
	}
	fprintf(stderr, "chaos: SIGBUS at %p in region A\n", si->si_addr);
	_exit(3);
}

/* A call has failed; with faults in between that may be. */
static void error(const char *what)
{
	if (errno == ENOSPC) {
		bump(&sh->enospc);
	} else if (faulty && (errno == ENOMEM || errno == EIO ||
			      errno == EFAULT || errno == EAGAIN)) {
		bump(&sh->tolerated);
	} else {
		if (!sh->errors)
			perror(what);
		bump(&sh->errors);
	}
}

/* Users that never rest would leave the movers no time. */
static void rest(uint64_t *n)
{
	if (!(++*n & 1023))
		kvt_msleep(1);
}

static uint64_t tag(size_t off)
{
	return kvt_mix(seed + off) | 1;
}

static bool mixed_a(uint64_t v, size_t at)
{
	(void)at;
	return !kvt_is_checked(v);
}

/* What is cleared or stored there in part. */
static bool mixed_b(uint64_t v, size_t at)
{
	return kvt_is_part(v, tag(at));
}

/*
 * Reads a word that others store to, by a call if @m is NULL; again while it
 * is @mixed, as whoever stores may be kept from going on. Where neither side
 * is the kernel (@copied: the one that stores is) there is no mix. False:
 * there is no word, or it stays mixed.
 */
static bool load(int fd, const char *m, size_t at, bool copied,
		 bool (*mixed)(uint64_t, size_t), uint64_t *v)
{
	uint64_t end = 0;

	for (;;) {
		if (m) {
			*v = *(const volatile uint64_t *)(m + at);
		} else if (kvt_pread(fd, v, 8, (off_t)at) != 8) {
			/* Region B may be shorter. */
			if (fd == fda)
				error("chaos: read");
			return false;
		}
		if (!mixed(*v, at))
			return true;
		if (!end) {
			bump(&sh->mixed);
			end = kvt_now_ns();
			if ((!m || copied) && !expect_loss)
				end += PATIENCE;
		}
		if (kvt_now_ns() >= end)
			break;
		kvt_msleep(1);
	}
	bump(&sh->torn);
	if (sh->torn == 1)
		fprintf(stderr, "chaos: torn at %#zx: %#" PRIx64 "\n", at, *v);
	return false;
}

static size_t word_at(uint64_t r, unsigned int who)
{
	return r % nblocks * bs + r / nblocks % (bs / 4096) * 4096 + who * 8;
}

/* Region A: each counts in words that nobody else writes. */
static void *writer(void *arg)
{
	unsigned int who = (unsigned int)(uintptr_t)arg;
	size_t pages = nblocks * (bs / 4096);
	uint32_t *shadow = calloc(pages, sizeof(*shadow));
	uint64_t rnd = seed * 131 + who, v, n = 0;

	for (; !stopped(); rest(&n)) {
		size_t at = word_at(kvt_rand(&rnd) >> 8, who);
		uint32_t *mine = &shadow[at / 4096];

		if (who == 2) {
			if (kvt_pread(fda, &v, 8, (off_t)at) != 8) {
				error("chaos: read");
				continue;
			}
		} else {
			v = *(volatile uint64_t *)(ma + at);
		}
		if (v != kvt_checked(*mine)) {
			bump(&sh->bad);
			*mine = (uint32_t)v;
		}
		v = kvt_checked(++*mine);
		if (who == 2) {
			if (kvt_pwrite(fda, &v, 8, (off_t)at) != 8) {
				error("chaos: write");
				--*mine;
			}
		} else {
			*(volatile uint64_t *)(ma + at) = v;
		}
		bump(&sh->ops);
	}
	for (size_t p = 0; p < pages; p++) {
		v = *(volatile uint64_t *)(ma + p * 4096 + who * 8);
		if (v != kvt_checked(shadow[p]))
			bump(&sh->final);
	}
	free(shadow);
	return NULL;
}

/* Region A, by others: the counts only grow. */
static void *reader(void *arg)
{
	size_t pages = nblocks * (bs / 4096), len = nblocks * bs;
	uint32_t *seen = calloc(pages * WRITERS, sizeof(*seen));
	uint64_t rnd = seed * 173 + (uintptr_t)arg, n = 0, v;
	char *m = MUST(mmap(NULL, len, PROT_READ, MAP_SHARED, fda, 0));

	for (; !stopped(); rest(&n)) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		unsigned int who = r >> 50 & (WRITERS - 1);
		size_t at = word_at(r, who);
		uint32_t *old = &seen[at / 4096 * WRITERS + who];

		if (!load(fda, r >> 40 & 3 ? m : NULL, at, who == 2, mixed_a,
			  &v))
			continue;
		if ((uint32_t)v < *old)
			bump(&sh->back);
		*old = (uint32_t)v;
	}
	munmap(m, len);
	free(seen);
	return NULL;
}

/* A sector in each page of region A that comes from a device, and its number. */
struct sectors {
	size_t in_page;
	uint64_t n, *last;
	char *buf;
};

static void sectors_init(struct sectors *s, unsigned int who)
{
	s->in_page = (who + 1) * SECTOR;
	s->n = who;
	s->last = calloc(nblocks * (bs / 4096), 8);
	s->buf = MUST(mmap(NULL, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void sectors_check(const struct sectors *s, const void *m, size_t page)
{
	uint64_t n = s->last[page];

	if (n ? kvt_diff(m, SECTOR, n, page * SECTOR) >= 0
	      : kvt_nonzero(m, SECTOR) >= 0)
		bump(&sh->bad);
}

static void sectors_end(struct sectors *s)
{
	for (size_t p = 0; p < nblocks * (bs / 4096); p++)
		sectors_check(s, ma + p * 4096 + s->in_page, p);
	munmap(s->buf, 4096);
	free(s->last);
}

/* As pread() and pwrite() of the device, by io_uring when there is a ring. */
static bool dev_io(struct ring *ring, bool out, void *m, off_t at)
{
	ssize_t n;

	if (ring) {
		n = ring_io(ring,
			    out ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED,
			    dev, m, SECTOR, at);
		if (n < 0)
			errno = (int)-n;
	} else {
		n = out ? pwrite(dev, m, SECTOR, at)
			: pread(dev, m, SECTOR, at);
	}
	if (n != SECTOR)
		error("chaos: the device");
	return n == SECTOR;
}

/* From the device into the mapping, and from there back. */
static void sector_turn(struct sectors *s, struct ring *ring, size_t page)
{
	off_t at = (off_t)(page * 4096 + s->in_page);
	char *m = ma + at;

	sectors_check(s, m, page);
	s->n += 2;
	kvt_fill(s->buf, SECTOR, s->n, page * SECTOR);
	if (!dev_io(NULL, true, s->buf, at) || !dev_io(ring, false, m, at))
		return;
	s->last[page] = s->n;
	if (dev_io(ring, true, m, at) && dev_io(NULL, false, s->buf, at))
		sectors_check(s, s->buf, page);
}

static void *direct(void *arg)
{
	size_t pages = nblocks * (bs / 4096);
	uint64_t rnd = seed * 179 + (uintptr_t)arg;
	struct sectors s;

	if (dev < 0)
		return NULL;
	sectors_init(&s, 0);
	while (!stopped()) {
		sector_turn(&s, NULL, (kvt_rand(&rnd) >> 8) % pages);
		bump(&sh->direct);
	}
	sectors_end(&s);
	return NULL;
}

static void look(const char *m, size_t at)
{
	uint64_t v;

	if (load(fdb, m, at, true, mixed_b, &v) && v && v != tag(at)) {
		bump(&sh->foreign);
		if (sh->foreign == 1)
			fprintf(stderr, "chaos: B at %#zx: %#" PRIx64 "\n", at,
				v);
	}
}

static void touch_mapped(size_t at, bool store)
{
	if (sigsetjmp(on_bus, 1)) {
		bus_expected = false;
		bump(&sh->bus_b);
		return;
	}
	bus_expected = true;
	if (store)
		*(volatile uint64_t *)(mb + at) = tag(at);
	else
		look(mb, at);
	bus_expected = false;
}

/* Region B: what is there is zero or the tag of its place. */
static void *toucher(void *arg)
{
	uint64_t rnd = seed * 137 + (uintptr_t)arg, v, n = 0;

	for (; !stopped(); rest(&n)) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % (nblocks * bs) & ~7ul;

		v = 0;
		switch (r >> 40 & 3) {
		case 0:
			v = tag(at);
			if (pwrite(fdb, &v, 8, (off_t)at) != 8)
				error("chaos: write B");
			break;
		case 1:
			look(NULL, at);
			break;
		default:
			touch_mapped(at, r >> 42 & 1);
			break;
		}
		bump(&sh->ops);
	}
	return NULL;
}

static void *cutter(void *arg)
{
	uint64_t rnd = seed * 139 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		off_t at = (off_t)(r % (nblocks * bs) & ~7ul);
		off_t len = (off_t)((r >> 30) % (4 * bs) & ~7ul) + 8;
		int rc = 0;

		switch (r >> 20 & 7) {
		case 0:
		case 1:
			rc = ftruncate(fdb, at);
			break;
		case 2:
		case 3:
			rc = ftruncate(fdb, (off_t)(nblocks * bs));
			break;
		case 4:
		case 5:
			rc = fallocate(
				fdb, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				at, len);
			break;
		case 6:
			rc = fallocate(fdb, 0, at, len);
			break;
		default:
			/* Not past the end: region A may lie there. */
			rc = madvise(mb + (at & ~4095ul), 4096, MADV_REMOVE);
			break;
		}
		if (rc && errno != EINVAL)
			error("chaos: cut");
		bump(&sh->cuts);
		if (!(r >> 50 & 7))
			kvt_msleep(1);
	}
	return NULL;
}

/*
 * Piece by piece: once there is a hole, another thread's mapping may be in
 * it, and an munmap() of the whole would take that away.
 */
static void unmap_around(char *m, size_t len, size_t at, size_t n, bool middle)
{
	if (middle && n)
		munmap(m + at, n);
	if (at)
		munmap(m, at);
	if (at + n < len)
		munmap(m + at + n, len - at - n);
}

/* Mappings of A and B that come, change and go. */
static void *vm(void *arg)
{
	uint64_t rnd = seed * 149 + (uintptr_t)arg;
	size_t len = nblocks * bs;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % len & ~4095ul, n = (r >> 24) % (3 * bs) + 4096;
		char *m, *to;

		n = (at + n > len ? len - at : n) & ~4095ul;
		if (!n)
			continue;
		m = mmap(NULL, len, RW, MAP_SHARED, fda, 0);
		if (m == MAP_FAILED) {
			error("chaos: mmap");
			continue;
		}
		for (size_t i = at; i < at + n; i += 4096)
			(void)*(volatile char *)(m + i);
		switch (r >> 50 & 7) {
		case 0:
			mprotect(m + at, n, PROT_READ);
			mprotect(m, len, RW);
			break;
		case 1:
			unmap_around(m, len, at, n, true);
			m = NULL;
			break;
		case 2:
			madvise(m + at, n, MADV_DONTNEED);
			madvise(ma + at, n, MADV_DONTNEED);
			break;
		case 3:
			to = mmap(NULL, len, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (to == MAP_FAILED)
				break;
			if (mremap(m + at, n, n, MREMAP_MAYMOVE | MREMAP_FIXED,
				   to + at) == to + at) {
				(void)*(volatile char *)(to + at);
				unmap_around(m, len, at, n, false);
				m = NULL;
			}
			munmap(to, len);
			break;
		case 4:
			madvise(m + at, n, 22 /* POPULATE_READ */);
			madvise(m + at, n, MADV_WILLNEED);
			break;
		case 5:
			madvise(m + at, n, 20 /* COLD */);
			madvise(m + at, n, 21 /* PAGEOUT */);
			msync(m + at, n, MS_SYNC);
			break;
		case 6:
			mlock(m + at, n);
			munlock(m + at, n);
			break;
		default:
			madvise(mb + at, n, MADV_DONTNEED);
			break;
		}
		if (m)
			munmap(m, len);
		bump(&sh->vm);
	}
	return NULL;
}

static void *pinner(void *arg)
{
	uint64_t rnd = seed * 151 + (uintptr_t)arg;
	struct sectors s;
	struct ring ring;

	if (!ring_open(&ring))
		return NULL;
	sectors_init(&s, 1);
	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % nblocks * bs;
		size_t n = ((r >> 20) % 2 + 1) * bs;
		char *m = r >> 40 & 1 ? ma : mb;

		if (at + n > nblocks * bs)
			n = bs;
		if (!ring_register(&ring, m + at, n)) {
			bump(&sh->pins);
			for (size_t p = at; dev >= 0 && m == ma && p < at + n;
			     p += bs / 2, bump(&sh->fixed))
				sector_turn(&s, &ring, p / 4096);
			kvt_msleep((r >> 44) % 5);
			ring_unregister(&ring);
		}
		kvt_msleep(1);
	}
	ring_close(&ring);
	sectors_end(&s);
	return NULL;
}

static void *mover(void *arg)
{
	uint64_t rnd = seed * 157 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;

		kvt_range(r >> 50 & 3 ? fda : fdb,
			  r >> 40 & 3 ? KVLIFT_IOC_DEMOTE : KVLIFT_IOC_PREFETCH,
			  r % nblocks, (r >> 20) % 4 + 1, NULL);
		bump(&sh->moves);
		if (!(r >> 60 & 7))
			kvt_msleep(1);
	}
	return NULL;
}

/* Files that are deleted while mapped, and renamed, and small ones. */
static void *filer(void *arg)
{
	uint64_t rnd = seed * 163 + (uintptr_t)arg;
	char name[16], other[16];

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t n = (r & 1) ? bs : 1000;
		char *buf = malloc(n), *m;
		int fd;

		snprintf(name, sizeof(name), "c%d", (int)(r % 5));
		snprintf(other, sizeof(other), "c%d", (int)(r >> 8) & 3);
		fd = open(name, O_CREAT | O_RDWR, 0600);
		if (fd < 0) {
			error("chaos: open");
			free(buf);
			continue;
		}
		kvt_fill(buf, n, r, 0);
		if (ftruncate(fd, 0) ||
		    kvt_pwrite(fd, buf, n, 0) != (ssize_t)n) {
			error("chaos: fill");
		} else {
			m = mmap(NULL, n, RW, MAP_SHARED, fd, 0);
			rename(name, other);
			unlink(other);
			kvt_demote(fd, 0, 1);
			if (m != MAP_FAILED) {
				if (kvt_diff(m, n, r, 0) >= 0)
					bump(&sh->foreign);
				munmap(m, n);
			}
		}
		close(fd);
		free(buf);
		bump(&sh->files);
	}
	return NULL;
}

static void *forker(void *arg)
{
	uint64_t rnd = seed * 167 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		pid_t pid = fork();

		if (!pid) {
			/* No locks, no stdio: other threads are gone. */
			for (int i = 0; i < 20; i++) {
				size_t at = kvt_rand(&rnd) % (nblocks * bs);

				(void)*(volatile char *)(ma + at);
			}
			if (r & 1)
				munmap(ma + bs, bs);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
		bump(&sh->forks);
		kvt_msleep(5);
	}
	return NULL;
}

static void *remounter(void *arg)
{
	(void)arg;
	for (int i = 0; !stopped() && remount[1]; i++) {
		if (mount("none", dir, "kvlift", MS_REMOUNT, remount[i & 1]) &&
		    errno != EBUSY)
			error("chaos: remount");
		bump(&sh->remounts);
		kvt_msleep(200);
	}
	return NULL;
}

/* Every shrinker is asked for all it has. */
static void *presser(void *arg)
{
	int fd = press ? MUST(open("/proc/sys/vm/drop_caches", O_WRONLY)) : -1;

	(void)arg;
	/* Without a line in the log for each. */
	if (press && write(fd, "4", 1) != 1)
		kvt_die("drop_caches: %s", strerror(errno));
	while (press && !stopped()) {
		if (write(fd, "2", 1) == 1)
			bump(&sh->pressed);
		kvt_msleep(300);
	}
	if (press)
		close(fd);
	return NULL;
}

/* Blocks that have moved from tier to tier since the mount. */
static long long moved(void)
{
	struct kvlift_info info;
	long long v, sum = 0;
	char path[64], key[64];
	FILE *f;

	if (!kvt_is_kvlift(fda))
		return 0;
	MUST(kvt_info(fda, &info));
	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/counters", info.pool);
	f = fopen(path, "r");
	if (!f)
		kvt_die("%s: %s", path, strerror(errno));
	while (fscanf(f, "%63s %lld", key, &v) == 2)
		if (!strncmp(key, "move_", 5))
			sum += v;
	fclose(f);
	return sum;
}

int main(int argc, char **argv)
{
	void *(*const threads[])(void *) = {
		writer, writer, writer, toucher, toucher,   cutter,
		vm,	vm,	pinner, mover,	 filer,	    forker,
		reader, reader, mover,	direct,	 remounter, presser,
	};
	pthread_t t[sizeof(threads) / sizeof(threads[0])];
	struct sigaction sa = {
		.sa_sigaction = sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	struct kvlift_info info;
	long long before;
	pid_t other;
	int opt, status;

	while ((opt = getopt(argc, argv, "t:s:n:r:d:m:pex")) != -1) {
		switch (opt) {
		case 't':
			seconds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			nblocks = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			remount[0] = strtok(optarg, ":");
			remount[1] = strtok(NULL, "");
			break;
		case 'd':
			dev = MUST(open(optarg, O_RDWR | O_DIRECT));
			break;
		case 'm':
			want = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			press = true;
			break;
		case 'e':
			faulty = true;
			break;
		case 'x':
			expect_loss = true;
			break;
		default:
			kvt_die("usage: chaos DIR [-tsnrdmpex] (see the source)");
		}
	}
	if (!argv[optind])
		kvt_die("usage: chaos DIR [-tsnrdmpex] (see the source)");
	snprintf(dir, sizeof(dir), "%s", argv[optind]);
	MUST(chdir(dir));
	fda = MUST(open("a", O_CREAT | O_TRUNC | O_RDWR, 0600));
	fdb = MUST(open("b", O_CREAT | O_TRUNC | O_RDWR, 0600));
	bs = 65536;
	if (kvt_is_kvlift(fda)) {
		MUST(kvt_info(fda, &info));
		bs = info.block_size;
	}
	MUST(ftruncate(fda, (off_t)(nblocks * bs)));
	MUST(ftruncate(fdb, (off_t)(nblocks * bs)));
	ma = MUST(mmap(NULL, nblocks * bs, RW, MAP_SHARED, fda, 0));
	mb = MUST(mmap(NULL, nblocks * bs, RW, MAP_SHARED, fdb, 0));
	sh = MUST(mmap(NULL, 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	sigaction(SIGBUS, &sa, NULL);
	before = moved();

	fflush(NULL);
	other = MUST(fork());
	if (!other) {
		writer((void *)3);
		_exit(0);
	}
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		pthread_create(&t[i], NULL, threads[i], (void *)i);
	kvt_msleep(seconds * 1000);
	for (unsigned int i = 0; i < seconds * 7; i++) {
		if ((uint64_t)(moved() - before) >= want)
			break;
		kvt_msleep(1000);
	}
	__atomic_store_n(&sh->stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		pthread_join(t[i], NULL);
	waitpid(other, &status, 0);
	CHECK(status == 0, "the other process: %#x", status);
	printf("chaos: seed %" PRIu64 ", block %zu, ops %" PRIu64
	       ", cuts %" PRIu64 ", vm %" PRIu64 ", pins %" PRIu64
	       ", direct %" PRIu64 ", fixed %" PRIu64 ", move calls %" PRIu64
	       ", files %" PRIu64 ", forks %" PRIu64 ", remounts %" PRIu64
	       ", pressed %" PRIu64 ", SIGBUS in B %" PRIu64 ", in A %" PRIu64
	       ", full %" PRIu64 ", errors that may be %" PRIu64
	       ", read again %" PRIu64 "; BAD %" PRIu64 ", FINAL %" PRIu64
	       ", BACK %" PRIu64 ", FOREIGN %" PRIu64 ", TORN %" PRIu64 "\n",
	       seed, bs, sh->ops, sh->cuts, sh->vm, sh->pins, sh->direct,
	       sh->fixed, sh->moves, sh->files, sh->forks, sh->remounts,
	       sh->pressed, sh->bus_b, sh->bus_a, sh->enospc, sh->tolerated,
	       sh->mixed, sh->bad, sh->final, sh->back, sh->foreign, sh->torn);
	/* On a line of its own: scripts/test adds them up. */
	if (!expect_loss)
		printf("@@moves %lld\n", moved() - before);
	munmap(ma, nblocks * bs);
	munmap(mb, nblocks * bs);
	close(fda);
	close(fdb);
	unlink("a");
	unlink("b");
	IS(system("rm -f c0 c1 c2 c3 c4"), 0);
	IS(sh->errors, 0);
	CHECK(dev < 0 || (sh->direct && sh->fixed), "no I/O to the mapping");
	if (expect_loss) {
		CHECK(sh->bad + sh->final + sh->back > 0,
		      "the negative control lost no write");
	} else {
		IS(sh->bad, 0);
		IS(sh->final, 0);
		IS(sh->back, 0);
		IS(sh->foreign, 0);
		IS(sh->torn, 0);
	}
	return kvt_end("chaos");
}
