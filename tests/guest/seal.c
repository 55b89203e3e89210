// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sealing: what is sealed cannot change, what was declared complete is written
 * down ahead of need and leaves memory without I/O, and what is written all
 * the same is not lost.
 *
 *	seal DIR file		a whole file
 *	seal DIR blocks		blocks of a file that goes on being filled
 *	seal DIR idle		blocks nobody has touched for a while
 *	seal DIR deleted	a file that is deleted before it was stored
 *	seal DIR off		nothing is stored: mounted with writeback=0
 *	seal DIR rate MIB	no more than that per second
 *	seal DIR stress SECONDS	seals among writers and moves
 */
#include "kvltest.h"
#include "kvturing.h"

#include <linux/falloc.h>
#include <pthread.h>

#define RW	 (PROT_READ | PROT_WRITE)
#define N	 6
#define MOVE_MS	 20000
#define STORE_MS 30000

static struct kvlift_info info;
static size_t bs;
static char *buf;
static int bottom;
static const char *name = "f";

static int seal(int fd, uint32_t flags, uint64_t first, uint64_t count,
		uint64_t *done)
{
	struct kvlift_seal s = {
		.first = first,
		.count = count,
		.flags = flags,
	};
	int rc = ioctl(fd, KVLIFT_IOC_SEAL, &s);

	if (done)
		*done = s.done;
	return rc;
}

static int seal_file(int fd)
{
	return seal(fd, KVLIFT_SEAL_FILE, 0, 0, NULL);
}

static char *map(int fd, int prot, int flags)
{
	return mmap(NULL, N * bs, prot, flags, fd, 0);
}

/* A file of N blocks, stored to through a mapping, which stays. */
static int mk(uint64_t seed, char **m)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	MUST(ftruncate(fd, (off_t)(N * bs)));
	*m = MUST(map(fd, RW, MAP_SHARED));
	kvt_fill(*m, N * bs, seed, 0);
	return fd;
}

static void check_in(const char *p, size_t block, uint64_t seed)
{
	CHECK_PATTERN(p + block * bs, bs, seed, block * bs);
}

/* What another process reads of a block, by a mapping of its own and by call. */
static void check_other(size_t block, uint64_t seed)
{
	int status = 1;
	pid_t pid;

	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		int fd = MUST(open(name, O_RDONLY));
		char *m = MUST(map(fd, PROT_READ, MAP_SHARED));
		int bad = kvt_diff(m + block * bs, bs, seed, block * bs) >= 0;

		IS(kvt_pread(fd, buf, bs, (off_t)(block * bs)), bs);
		bad |= kvt_diff(buf, bs, seed, block * bs) >= 0;
		_exit(bad);
	}
	MUST(waitpid(pid, &status, 0));
	CHECK(!status, "block %zu is wrong in another process", block);
}

static void to_tier(int fd, size_t block, int tier)
{
	CHECK(!kvt_move_to(fd, block, tier, MOVE_MS),
	      "block %zu stays in tier %d, not %d", block, kvt_tier(fd, block),
	      tier);
}

static bool wait_above(int fd, const char *what, long long value,
		       unsigned int ms)
{
	uint64_t end = kvt_now_ns() + (uint64_t)ms * 1000000;

	while (kvt_counter(fd, what) <= value) {
		if (kvt_now_ns() > end)
			return false;
		kvt_msleep(20);
	}
	return true;
}

/* Until each of these blocks has a copy below; that is not before it rests. */
static bool wait_stored(int fd, size_t first, size_t count)
{
	uint64_t end = kvt_now_ns() + (uint64_t)STORE_MS * 1000000;

	for (size_t i = first; i < first + count;) {
		if (kvt_loc(fd, i) & KVLIFT_LOC_SHADOW) {
			i++;
			continue;
		}
		if (kvt_now_ns() > end)
			return CHECK(false, "block %zu is not stored", i);
		kvt_msleep(20);
	}
	return true;
}

static void refused(int fd)
{
	struct kvlift_region_info r = { 0 };
	struct stat st;
	char *m;

	ERR(write(fd, "x", 1), EPERM);
	ERR(pwrite(fd, "x", 1, 0), EPERM);
	ERR(pwrite(fd, "x", 1, (off_t)(N * bs)), EPERM);
	ERR(ftruncate(fd, 0), EPERM);
	ERR(ftruncate(fd, (off_t)(2 * N * bs)), EPERM);
	ERR(ftruncate(fd, (off_t)(N * bs)), EPERM);
	ERR(truncate(name, 1), EPERM);
	ERR(fallocate(fd, 0, 0, (off_t)(2 * N * bs)), EPERM);
	ERR(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bs), EPERM);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)bs),
	    EPERM);
	ERR(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, (off_t)bs), EPERM);
	ERR(open(name, O_RDWR | O_TRUNC), EPERM);
	ERR(open(name, O_WRONLY | O_TRUNC), EPERM);
	ERR(map(fd, RW, MAP_SHARED), EPERM);
	ERR(map(fd, PROT_READ, MAP_SHARED), EPERM);
	m = MUST(map(fd, PROT_READ, MAP_PRIVATE));
	ERR(mprotect(m, bs, RW), EACCES);
	ERR(madvise(m, bs, MADV_REMOVE), EACCES);
	munmap(m, N * bs);
	OK(fstat(fd, &st));
	IS(st.st_size, N * bs);
	OK(ioctl(fd, KVLIFT_IOC_REGION, &r));
	IS(r.flags, KVLIFT_REGION_SEALED);
}

/* Readers keep their mappings, and what they see, while the blocks move. */
static void readers(int fd, char *m, uint64_t seed)
{
	char *p = MUST(map(fd, PROT_READ, MAP_PRIVATE));

	ERR(mprotect(m, bs, RW), EACCES);
	ERR(mprotect(p, bs, RW), EACCES);
	ERR(madvise(m, bs, MADV_REMOVE), EACCES);
	for (size_t i = 0; i < N; i++) {
		check_in(m, i, seed);
		check_in(p, i, seed);
		if (bottom > KVLIFT_TIER_DRAM)
			to_tier(fd, i, bottom);
		check_other(i, seed);
		check_in(m, i, seed);
		check_in(p, i, seed);
	}
	munmap(p, N * bs);
}

static void file_sealed(void)
{
	int fd, ro;
	uint64_t done = 0;
	char *m, *r;

	fd = mk(1, &m);
	ERR(seal(fd, KVLIFT_SEAL_FILE, 1, 0, NULL), EINVAL);
	ERR(seal(fd, KVLIFT_SEAL_FILE, 0, 1, NULL), EINVAL);
	ERR(seal(fd, 2, 0, 1, NULL), EINVAL);
	ERR(seal(fd, 0, 0, 0, NULL), EINVAL);
	ERR(seal_file(fd), EBUSY);
	/* Mapped for reading, but through a descriptor that could write. */
	OK(mprotect(m, N * bs, PROT_READ));
	ERR(seal_file(fd), EBUSY);
	/* A refusal changes nothing. */
	OK(mprotect(m, N * bs, RW));
	kvt_fill(m, N * bs, 2, 0);
	IS(kvt_pwrite(fd, m, 16, 0), 16);
	munmap(m, N * bs);

	ro = MUST(open(name, O_RDONLY));
	ERR(seal_file(ro), EACCES);
	r = MUST(map(ro, PROT_READ, MAP_SHARED));
	check_in(r, 0, 2);
	OK(seal(fd, KVLIFT_SEAL_FILE, 0, 0, &done));
	IS(done, N);
	refused(fd);
	readers(ro, r, 2);
	/* Once more is no error, and nothing is unmapped for it. */
	OK(seal_file(fd));
	readers(ro, r, 2);
	munmap(r, N * bs);
	close(ro);
	close(fd);
	/* For good: not only for this descriptor. */
	fd = MUST(open(name, O_RDWR));
	refused(fd);
	close(fd);
	OK(unlink(name));
}

/* A device that has a page could write it still. */
static void file_pinned(void)
{
	struct iovec iov;
	struct ring r;
	char *m;
	int fd, p[2];
	ssize_t n;

	fd = mk(3, &m);
	if (ring_open(&r)) {
		OK(ring_register(&r, m + bs, bs));
		munmap(m, N * bs);
		ERR(seal_file(fd), EBUSY);
		IS(kvt_pwrite(fd, buf, 0, 0), 0);
		OK(ring_unregister(&r));
		OK(seal_file(fd));
		ring_close(&r);
		ERR(pwrite(fd, "x", 1, 0), EPERM);
	} else {
		printf("seal: no io_uring here: %s\n", strerror(errno));
		munmap(m, N * bs);
	}
	close(fd);
	OK(unlink(name));

	fd = mk(4, &m);
	MUST(pipe(p));
	iov = (struct iovec){ m, 4096 };
	n = OK(vmsplice(p[1], &iov, 1, 0));
	munmap(m, N * bs);
	ERR(seal_file(fd), EBUSY);
	IS(read(p[0], buf, (size_t)n), n);
	CHECK_PATTERN(buf, (size_t)n, 4, 0);
	OK(seal_file(fd));
	close(p[0]);
	close(p[1]);
	close(fd);
	OK(unlink(name));
}

/* Declared complete: stored, and then gone from memory without a write. */
static void stored(void)
{
	long long was, written, noio;
	uint64_t done = 0;
	char *m;
	int fd;

	fd = mk(5, &m);
	was = kvt_counter(fd, "stored");
	written = kvt_counter(fd, "write_bytes");
	/* Beyond the end nothing is counted. */
	OK(seal(fd, 0, 1, N + 7, &done));
	IS(done, N - 1);
	CHECK(wait_above(fd, "stored", was + N - 2, STORE_MS), "stored %lld",
	      kvt_counter(fd, "stored") - was);
	wait_stored(fd, 1, N - 1);
	CHECK(kvt_counter(fd, "write_bytes") >=
		      written + (long long)((N - 1) * bs),
	      "%lld bytes", kvt_counter(fd, "write_bytes") - written);
	for (size_t i = 1; i < N; i++)
		IS(kvt_tier(fd, i), KVLIFT_TIER_DRAM);
	munmap(m, N * bs);

	written = kvt_counter(fd, "write_bytes");
	noio = kvt_counter(fd, "demote_noio");
	for (size_t i = 1; i < N; i++)
		to_tier(fd, i, bottom);
	IS(kvt_counter(fd, "write_bytes"), written);
	CHECK(kvt_counter(fd, "demote_noio") >= noio + N - 1, "%lld without",
	      kvt_counter(fd, "demote_noio") - noio);
	for (size_t i = 0; i < N; i++)
		check_other(i, 5);
	IS(kvt_counter(fd, "unsealed"), 0);
	IS(kvt_counter(fd, "csum_errors"), 0);
	close(fd);
	OK(unlink(name));
}

/* KiB of the mapping at addr that large entries map. */
static long mapped_large(const void *addr)
{
	unsigned long from, to, at = (unsigned long)addr;
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool in = false;
	long v = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from <= at && at < to;
		else if (in)
			sscanf(line, "FilePmdMapped: %ld", &v);
	}
	if (f)
		fclose(f);
	return v;
}

enum how {
	BY_MAPPING,
	BY_CALL,
	BY_MPROTECT,
	BY_NEW_MAPPING,
	NR_HOW
};

/*
 * Written after it was stored: the copy below must not come back. A read-only
 * mapping has it mapped when the store is made.
 */
static void written_later(enum how how)
{
	long long unsealed;
	size_t b = 2, at = b * bs + bs / 2 + 8;
	char *m, *w;
	int fd;

	fd = mk(6, &m);
	if (how == BY_MPROTECT)
		OK(mprotect(m, N * bs, PROT_READ));
	OK(seal(fd, 0, 0, N, NULL));
	wait_stored(fd, 0, N);
	unsealed = kvt_counter(fd, "unsealed");
	kvt_fill(buf, 64, 7, at);
	switch (how) {
	case BY_MAPPING:
		memcpy(m + at, buf, 64);
		break;
	case BY_CALL:
		IS(kvt_pwrite(fd, buf, 64, (off_t)at), 64);
		break;
	case BY_MPROTECT:
		/*
		 * Mapped as a whole by a read, before it becomes writable. At
		 * 2M 6.12.95 loses this store without the module's mprotect
		 * hook; 6.12.117 does not.
		 */
		check_in(m, b, 6);
		if (bs == 2u << 20)
			IS(mapped_large(m), 2048);
		OK(mprotect(m, N * bs, RW));
		memcpy(m + at, buf, 64);
		break;
	case BY_NEW_MAPPING:
		munmap(m, N * bs);
		m = MUST(map(fd, PROT_READ, MAP_SHARED));
		check_in(m, b, 6);
		if (bs == 2u << 20)
			IS(mapped_large(m), 2048);
		w = MUST(map(fd, RW, MAP_SHARED));
		memcpy(w + at, buf, 64);
		munmap(w, N * bs);
		break;
	default:
		break;
	}
	for (int round = 0; round < 2; round++) {
		to_tier(fd, b, bottom);
		CHECK(!memcmp(m + at, buf, 64), "way %d: the store is lost",
		      how);
		IS(kvt_pread(fd, buf + bs, 64, (off_t)at), 64);
		CHECK(!memcmp(buf + bs, buf, 64), "way %d, by call", how);
		to_tier(fd, b, KVLIFT_TIER_DRAM);
	}
	CHECK(kvt_counter(fd, "unsealed") > unsealed, "way %d: not counted",
	      how);
	kvt_fill(buf, bs, 6, b * bs);
	kvt_fill(buf + at - b * bs, 64, 7, at);
	CHECK(!memcmp(m + b * bs, buf, bs), "way %d: other bytes", how);
	check_other(b + 1, 6);
	munmap(m, N * bs);
	close(fd);
	OK(unlink(name));
}

/* Mapped for reading only, a stored block stays clean through use. */
static void stays_clean(int flags, int oflags)
{
	long long written, unsealed;
	char *m;
	int fd, r;

	fd = mk(8, &m);
	munmap(m, N * bs);
	OK(seal(fd, 0, 0, N, NULL));
	wait_stored(fd, 0, N);
	r = MUST(open(name, oflags));
	m = MUST(map(r, PROT_READ, flags));
	unsealed = kvt_counter(fd, "unsealed");
	written = kvt_counter(fd, "write_bytes");
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < N; i++) {
			check_in(m, i, 8);
			to_tier(fd, i, bottom);
			check_in(m, i, 8);
			to_tier(fd, i, KVLIFT_TIER_DRAM);
		}
	IS(kvt_counter(fd, "write_bytes"), written);
	IS(kvt_counter(fd, "unsealed"), unsealed);
	munmap(m, N * bs);
	close(r);
	close(fd);
	OK(unlink(name));
}

/* A file that is deleted does not wait until its blocks have been stored. */
static void deleted(void)
{
	uint64_t end;
	int fd;

	fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
	kvt_fill(buf, bs, 9, 0);
	for (size_t i = 0; i < (16u << 20) / bs; i++)
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	OK(seal_file(fd));
	OK(unlink(name));
	close(fd);
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	end = kvt_now_ns() + 5000000000u;
	do {
		kvt_msleep(20);
		OK(kvt_info(fd, &info));
	} while (info.used && kvt_now_ns() < end);
	IS(info.used, 0);
	close(fd);
}

/*
 * Many blocks that are held do not keep the others from being stored, nor do
 * they count as refused again and again.
 */
static void idle(void)
{
	size_t held = 48, len = held * bs;
	long long pinned;
	int fd, big;
	char *m, *b;
	struct ring r;

	big = MUST(open("big", O_CREAT | O_TRUNC | O_RDWR, 0600));
	MUST(ftruncate(big, (off_t)len));
	b = MUST(mmap(NULL, len, RW, MAP_SHARED, big, 0));
	kvt_fill(b, len, 15, 0);
	if (!ring_open(&r)) {
		printf("seal: no io_uring here: %s\n", strerror(errno));
		return;
	}
	OK(ring_register(&r, b, len));
	fd = mk(16, &m);
	munmap(m, N * bs);
	pinned = kvt_counter(fd, "refused_pinned");
	wait_stored(fd, 0, N);
	IS(kvt_counter(fd, "refused_pinned"), pinned);
	for (size_t i = 0; i < held; i++)
		CHECK(!(kvt_loc(big, i) & KVLIFT_LOC_SHADOW),
		      "block %zu was stored under a pin", i);
	OK(ring_unregister(&r));
	wait_stored(big, 0, held);
	for (size_t i = 0; i < N; i++)
		check_other(i, 16);
	ring_close(&r);
	munmap(b, len);
	close(big);
	close(fd);
	OK(unlink("big"));
	OK(unlink(name));
}

static void off(void)
{
	long long was, written;
	char *m;
	int fd;

	fd = mk(10, &m);
	was = kvt_counter(fd, "stored");
	written = kvt_counter(fd, "write_bytes");
	OK(seal(fd, 0, 0, N, NULL));
	/* Longer than it takes until a block counts as idle. */
	kvt_msleep(12000);
	IS(kvt_counter(fd, "stored"), was);
	IS(kvt_counter(fd, "write_bytes"), written);
	munmap(m, N * bs);
	close(fd);
	OK(unlink(name));
}

static void rate(unsigned int mib)
{
	size_t n = 3u * mib * (1u << 20) / bs;
	long long was, bytes;
	uint64_t start, ns;
	int fd;

	/* More than may have been saved up. */
	n = n < 16 ? 16 : n;
	fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
	kvt_fill(buf, bs, 11, 0);
	for (size_t i = 0; i < n; i++)
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	was = kvt_counter(fd, "stored");
	start = kvt_now_ns();
	OK(seal(fd, 0, 0, n, NULL));
	CHECK(wait_above(fd, "stored", was + (long long)n / 2, 60000),
	      "%lld of %zu stored", kvt_counter(fd, "stored") - was, n);
	bytes = (kvt_counter(fd, "stored") - was) * (long long)bs;
	ns = kvt_now_ns() - start;
	/* What may have been saved up, and one block more. */
	bytes -= (long long)(mib << 20) / 2 + 2 * (long long)bs;
	CHECK(bytes <= (long long)((ns / 1000) * mib),
	      "%lld bytes over the burst in %" PRIu64 " ms at %u MiB/s", bytes,
	      ns / 1000000, mib);
	printf("seal: %lld blocks in %" PRIu64 " ms at %u MiB/s\n",
	       kvt_counter(fd, "stored") - was, ns / 1000000, mib);
	close(fd);
	OK(unlink(name));
}

/*
 * Stress. Each writer owns every WRITERS'th block and bumps a counter in its
 * first and last page; the model is what it wrote last. For a second it leaves
 * one half of them alone, then the other, so that some stay clean and are
 * stored. One seals ranges, one demotes and promotes.
 */
#define WRITERS 3
#define BLOCKS	24

static struct {
	bool stop;
	int fd;
	char *m;
	uint64_t writes, bad, seals, asked;
} st;

static bool stopped(void)
{
	return __atomic_load_n(&st.stop, __ATOMIC_RELAXED);
}

static uint64_t add(uint64_t *p)
{
	return __atomic_add_fetch(p, 1, __ATOMIC_RELAXED);
}

static void *write_on(void *arg)
{
	size_t who = (size_t)(uintptr_t)arg, places[2] = { 0, bs - 8 };
	uint64_t model[BLOCKS][2] = { 0 }, rnd = 12 + who;
	bool calls = who == WRITERS - 1;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t half = kvt_now_ns() / 1000000000 & 1;
		size_t nth = r % (BLOCKS / WRITERS / 2) * 2 + half;
		size_t b = nth * WRITERS + who;
		size_t k = r >> 20 & 1, at = b * bs + places[k];
		uint64_t v = 0;

		if (!calls)
			v = *(volatile uint64_t *)(st.m + at);
		else if (kvt_pread(st.fd, &v, 8, (off_t)at) != 8)
			add(&st.bad);
		if (v != model[b][k] && add(&st.bad) == 1)
			fprintf(stderr,
				"seal: writer %zu block %zu: %" PRIu64
				", not %" PRIu64 "\n",
				who, b, v, model[b][k]);
		v = ++model[b][k];
		if (!calls)
			*(volatile uint64_t *)(st.m + at) = v;
		else if (kvt_pwrite(st.fd, &v, 8, (off_t)at) != 8)
			add(&st.bad);
		add(&st.writes);
		if (!(r >> 30 & 63))
			kvt_msleep(1);
	}
	return NULL;
}

static void *seal_on(void *arg)
{
	uint64_t rnd = 13;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;

		if (seal(st.fd, 0, r % BLOCKS, 1 + r / BLOCKS % 8, NULL))
			add(&st.bad);
		add(&st.seals);
		kvt_msleep(5);
	}
	return arg;
}

static void *move_on(void *arg)
{
	uint64_t rnd = 14;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;

		kvt_range(st.fd,
			  r >> 16 & 1 ? KVLIFT_IOC_DEMOTE : KVLIFT_IOC_PREFETCH,
			  r % BLOCKS, 1 + r / BLOCKS % 6, NULL);
		add(&st.asked);
		kvt_msleep(2);
	}
	return arg;
}

static void stress(unsigned int seconds)
{
	pthread_t t[WRITERS + 2];

	st.fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
	MUST(ftruncate(st.fd, (off_t)(BLOCKS * bs)));
	st.m = MUST(mmap(NULL, BLOCKS * bs, RW, MAP_SHARED, st.fd, 0));
	for (size_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, write_on, (void *)i);
	pthread_create(&t[WRITERS], NULL, seal_on, NULL);
	pthread_create(&t[WRITERS + 1], NULL, move_on, NULL);
	kvt_msleep(seconds * 1000);
	__atomic_store_n(&st.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < WRITERS + 2; i++)
		pthread_join(t[i], NULL);
	printf("seal: %" PRIu64 " writes, %" PRIu64 " seals, stored %lld "
	       "(stale %lld), unsealed %lld, down %lld (without I/O %lld)\n",
	       st.writes, st.seals, kvt_counter(st.fd, "stored"),
	       kvt_counter(st.fd, "store_stale"),
	       kvt_counter(st.fd, "unsealed"), kvt_counter(st.fd, "demote"),
	       kvt_counter(st.fd, "demote_noio"));
	IS(st.bad, 0);
	CHECK(st.writes && st.seals && st.asked, "nothing was done");
	CHECK(kvt_counter(st.fd, "stored") > 0, "nothing was stored");
	CHECK(kvt_counter(st.fd, "unsealed") > 0, "nothing was unsealed");
	munmap(st.m, BLOCKS * bs);
	close(st.fd);
	OK(unlink(name));
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 3 ? (unsigned int)atoi(argv[3]) : 10;
	int fd;

	if (argc < 3)
		kvt_die("usage: seal DIR file|blocks|idle|deleted|off|rate|stress [N]");
	MUST(chdir(argv[1]));
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(fd))
		return KVT_SKIP;
	MUST(kvt_info(fd, &info));
	close(fd);
	bs = info.block_size;
	bottom = kvt_bottom(&info);
	buf = malloc(2 * bs);
	if (!buf)
		kvt_die("no memory");
	if (!strcmp(argv[2], "file")) {
		file_sealed();
		file_pinned();
	} else if (!strcmp(argv[2], "blocks")) {
		stored();
		for (enum how how = 0; how < NR_HOW; how++)
			written_later(how);
		stays_clean(MAP_SHARED, O_RDONLY);
		stays_clean(MAP_SHARED, O_RDWR);
		stays_clean(MAP_PRIVATE, O_RDONLY);
	} else if (!strcmp(argv[2], "idle")) {
		idle();
	} else if (!strcmp(argv[2], "deleted")) {
		deleted();
	} else if (!strcmp(argv[2], "off")) {
		off();
	} else if (!strcmp(argv[2], "rate")) {
		rate(n);
	} else if (!strcmp(argv[2], "stress")) {
		stress(n);
	} else {
		kvt_die("no test %s", argv[2]);
	}
	return kvt_end("seal");
}
