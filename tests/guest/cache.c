// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Cache directories: what is dropped and what is not, who waits, who is
 * refused, and that nobody ever reads half a file.
 *
 *	cache DIR			everything but these
 *	cache DIR zipf FILES USES TRACE	one process; prints its hits
 *	cache DIR hammer SECONDS [SEED]	many processes, half of which are killed
 *	cache DIR wild SECONDS [SEED]	the same while limits and marks change
 */
#include "fstest.h"

#include <linux/falloc.h>
#include <sys/inotify.h>

#define LIMIT 32 /* blocks of the domain of a case */

static struct kvlift_info info;
static size_t bs;
static char *buf;

static int set(const char *name, uint64_t total, uint32_t flags)
{
	struct kvlift_domain d = {
		.weight = KVLIFT_DOMAIN_WEIGHT,
		.lease_percent = KVLIFT_DOMAIN_PERCENT,
		.pin_percent = KVLIFT_DOMAIN_PERCENT,
		.total_limit = total,
		.flags = flags,
	};
	int fd = MUST(open(name, O_RDONLY | O_DIRECTORY));
	int rc = ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d), e = errno;

	close(fd);
	errno = e;
	return rc;
}

static struct kvlift_domain get(const char *name)
{
	int fd = MUST(open(name, O_RDONLY));
	struct kvlift_domain d = { 0 };

	MUST(ioctl(fd, KVLIFT_IOC_DOMAIN_GET, &d));
	close(fd);
	return d;
}

static void make(const char *name, uint64_t total, uint32_t flags)
{
	MUST(mkdir(name, 0755));
	MUST(set(name, total, flags));
}

static int seal(int fd)
{
	struct kvlift_seal s = { .flags = KVLIFT_SEAL_FILE };

	return ioctl(fd, KVLIFT_IOC_SEAL, &s);
}

static int write_all(int fd, uint64_t seed, size_t len)
{
	size_t at;

	for (at = 0; at < len; at += bs) {
		size_t n = len - at < bs ? len - at : bs;

		kvt_fill(buf, n, seed, at);
		if (kvt_pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
			return -1;
	}
	return 0;
}

static int give_name(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* As the library stores an object; 0 or -1. Content by the seed. */
static int put(const char *dir, const char *name, uint64_t seed, size_t len)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600), rc, e;

	if (fd < 0)
		return -1;
	rc = write_all(fd, seed, len);
	if (!rc)
		rc = seal(fd);
	if (!rc)
		rc = give_name(fd, name);
	e = errno;
	close(fd);
	errno = e;
	return rc;
}

/* 1: whole; 0: not there; -1: torn. */
static int check_file(const char *name, uint64_t seed, size_t len)
{
	int fd = open(name, O_RDONLY), rc = 1;
	size_t at;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	for (at = 0; rc > 0 && at < len; at += bs) {
		size_t n = len - at < bs ? len - at : bs;

		if (kvt_pread(fd, buf, n, (off_t)at) != (ssize_t)n ||
		    kvt_diff(buf, n, seed, at) >= 0)
			rc = -1;
	}
	if (size_of(fd) != (off_t)len)
		rc = -1;
	close(fd);
	return rc;
}

static const char *name_of(const char *dir, unsigned int i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s/o%u", dir, i);
	return name;
}

static unsigned int there(const char *dir, unsigned int nr)
{
	unsigned int n = 0, i;

	for (i = 0; i < nr; i++)
		n += access(name_of(dir, i), F_OK) == 0;
	return n;
}

/* Empties it; what is in flight may hold a file for a moment. */
static void clear(const char *dir, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		unlink(name_of(dir, i));
	OK(rmdir(dir));
	settle();
}

static void within(const char *dir, uint64_t limit)
{
	struct kvlift_domain d = get(dir);

	CHECK(d.peak <= limit && d.charged <= limit,
	      "stored %llu, at most %llu, of %llu",
	      (unsigned long long)d.charged, (unsigned long long)d.peak,
	      (unsigned long long)limit);
}

/* Until the worker has made its headroom. */
static void wait_ahead(const char *dir)
{
	unsigned int tries = 0;

	while (get(dir).charged >= get(dir).total_limit && tries++ < 1000)
		kvt_msleep(10);
	kvt_msleep(50);
}

static void flags_in_and_out(void)
{
	struct kvlift_domain d;

	CHECK(info.features & KVLIFT_F_CACHE);
	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	d = get("d");
	IS(d.flags, KVLIFT_DOMAIN_CACHE | KVLIFT_DOMAIN_HERE);
	IS(d.cache_files, 0);
	/* As it came back. */
	OK(set("d", LIMIT, d.flags));
	IS(get("d").flags, d.flags);
	ERR(set("d", LIMIT, 1u << 31), EINVAL);
	ERR(set("d", LIMIT, d.flags | 1u << 2), EINVAL);
	/* Not for the domains inside. */
	make("d/in", 0, 0);
	IS(get("d/in").flags, KVLIFT_DOMAIN_HERE);
	OK(rmdir("d/in"));
	OK(set("d", LIMIT, 0));
	IS(get("d").flags, KVLIFT_DOMAIN_HERE);
	OK(rmdir("d"));
}

/* Three times the limit, in any size of file; the limit holds. */
static void fill_thrice(void)
{
	unsigned int i, whole = 0;
	struct kvlift_domain d;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < 3 * LIMIT; i++) {
		OK(put("d", name_of("d", i), i, bs));
		within("d", LIMIT);
	}
	wait_ahead("d");
	for (i = 0; i < 3 * LIMIT; i++) {
		int rc = check_file(name_of("d", i), i, bs);

		CHECK(rc >= 0, "object %u is torn", i);
		whole += rc == 1;
	}
	d = get("d");
	CHECK(d.cache_files == whole, "%llu files, %u there",
	      (unsigned long long)d.cache_files, whole);
	CHECK(whole >= LIMIT - 2 && whole <= LIMIT, "%u left", whole);
	IS(d.cache_dropped, 3 * LIMIT - whole);
	IS(d.cache_dropped_bytes, (3 * LIMIT - whole) * bs);
	IS(d.cache_refused, 0);
	clear("d", 3 * LIMIT);
}

/* Who watches the directory is told, by name. */
static void seen_by_inotify(void)
{
	char ev[4096] __attribute__((aligned(8)));
	unsigned int i, deleted = 0, there_now;
	int fd = MUST(inotify_init1(IN_NONBLOCK));
	ssize_t n;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	OK(inotify_add_watch(fd, "d", IN_DELETE));
	for (i = 0; i < 2 * LIMIT; i++)
		OK(put("d", name_of("d", i), i, bs));
	wait_ahead("d");
	there_now = there("d", 2 * LIMIT);
	while ((n = read(fd, ev, sizeof(ev))) > 0) {
		const struct inotify_event *e;
		ssize_t at;

		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const void *)(ev + at);
			deleted += e->mask & IN_DELETE && e->len &&
				   e->name[0] == 'o';
		}
	}
	IS(deleted, 2 * LIMIT - there_now);
	close(fd);
	clear("d", 2 * LIMIT);
}

/* The control: without the mark nothing goes, and the limit is an error. */
static void not_a_cache(void)
{
	unsigned int i, tries = 0;
	struct kvlift_domain d;

	make("d", LIMIT, 0);
	for (i = 0; i < LIMIT; i++)
		OK(put("d", name_of("d", i), i, bs));
	ERR(put("d", name_of("d", i), i, bs), EDQUOT);
	IS(there("d", LIMIT), LIMIT);
	/* Marked now: what is there already may go. */
	OK(set("d", LIMIT, KVLIFT_DOMAIN_CACHE));
	/* The worker may just have one in its hands. */
	do {
		kvt_msleep(10);
		d = get("d");
	} while (d.cache_files + d.cache_dropped != LIMIT && ++tries < 1000);
	IS(d.cache_files + d.cache_dropped, LIMIT);
	OK(put("d", name_of("d", i), i, bs));
	OK(set("d", LIMIT, 0));
	IS(get("d").cache_files, 0);
	while (get("d").charged < LIMIT) {
		i++;
		OK(put("d", name_of("d", i), i, bs));
	}
	i++;
	ERR(put("d", name_of("d", i), i, bs), EDQUOT);
	clear("d", i + 1);
}

/* What is not sealed stays, and is all there is: refused, and soon. */
static void unsealed_stays(void)
{
	struct kvlift_domain d;
	unsigned int i;
	uint64_t t;
	int fd;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < LIMIT; i++) {
		fd = mk(name_of("d", i));
		OK(write_all(fd, i, bs));
		close(fd);
	}
	t = kvt_now_ns();
	ERR(put("d", name_of("d", i), i, bs), EAGAIN);
	CHECK(kvt_now_ns() - t < 20000000000, "%llu ms",
	      (unsigned long long)(kvt_now_ns() - t) / 1000000);
	fd = mk(name_of("d", i));
	ERR(fallocate(fd, 0, 0, (off_t)bs), EAGAIN);
	ERR(kvt_pwrite(fd, buf, bs, 0), EAGAIN);
	close(fd);
	for (i = 0; i < LIMIT; i++)
		IS(check_file(name_of("d", i), i, bs), 1);
	d = get("d");
	IS(d.cache_dropped, 0);
	CHECK(d.cache_refused >= 3);
	/* Sealed, one goes for the next. */
	fd = OK(open(name_of("d", 3), O_RDWR));
	OK(seal(fd));
	close(fd);
	OK(put("d", name_of("d", LIMIT + 1), i, bs));
	IS(check_file(name_of("d", 3), 3, bs), 0);
	clear("d", LIMIT + 2);
}

static void fill(unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = from; i < to; i++)
		OK(put("d", name_of("d", i), i, bs));
}

/* Open, mapped, named twice, held by O_PATH: each stays, whole. */
static void in_use_stays(void)
{
	unsigned int i;
	int open_fd, path_fd;
	char *m;
	int fd;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	fill(0, 6);
	open_fd = OK(open(name_of("d", 0), O_RDONLY));
	fd = OK(open(name_of("d", 1), O_RDONLY));
	m = mmap(NULL, bs, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(m != MAP_FAILED);
	close(fd);
	OK(link(name_of("d", 2), "d/second"));
	path_fd = OK(open(name_of("d", 3), O_PATH));
	fill(6, 3 * LIMIT);
	within("d", LIMIT);
	for (i = 0; i < 4; i++)
		IS(check_file(name_of("d", i), i, bs), 1);
	IS(check_file("d/second", 2, bs), 1);
	IS(check_file(name_of("d", 4), 4, bs), 0);
	CHECK_PATTERN(m, bs, 1, 0);
	/* Then they may go. */
	OK(munmap(m, bs));
	close(open_fd);
	close(path_fd);
	OK(unlink("d/second"));
	OK(set("d", 1, KVLIFT_DOMAIN_CACHE));
	fill(3 * LIMIT, 3 * LIMIT + 1);
	IS(there("d", 3 * LIMIT), 0);
	clear("d", 3 * LIMIT + 1);
}

/* All open: nothing goes; the names stay too. One closed, one goes. */
static void all_open(void)
{
	int fds[LIMIT];
	unsigned int i;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < LIMIT; i++) {
		fds[i] = MUST(open("d", O_TMPFILE | O_RDWR, 0600));
		OK(write_all(fds[i], i, bs));
		OK(seal(fds[i]));
		/* Open by another dentry than the one with the name. */
		OK(give_name(fds[i], name_of("d", i)));
	}
	ERR(put("d", name_of("d", i), i, bs), EAGAIN);
	IS(there("d", LIMIT), LIMIT);
	close(fds[5]);
	OK(put("d", name_of("d", i), i, bs));
	IS(check_file(name_of("d", 5), 5, bs), 0);
	for (i = 0; i < LIMIT; i++)
		if (i != 5)
			close(fds[i]);
	clear("d", LIMIT + 1);
}

/*
 * A write waits with nothing locked that an unlink needs: its own file can be
 * deleted meanwhile, and what is closed then makes room for it. Nothing can go
 * before that, and a wait lasts 0.8 s; only the guest's own speed may need more
 * than one try.
 */
static void write_waits(void)
{
	unsigned int i, tries = 0;
	int fds[LIMIT], st = -1;
	pid_t pid;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < LIMIT; i++) {
		fds[i] = MUST(open("d", O_TMPFILE | O_RDWR, 0600));
		OK(write_all(fds[i], i, bs));
		OK(seal(fds[i]));
		OK(give_name(fds[i], name_of("d", i)));
	}
	while (st && tries++ < 10) {
		uint64_t waits = get("d").cache_waits;

		pid = MUST(fork());
		if (!pid) {
			int fd = mk("d/w");

			for (i = 0; i < LIMIT; i++)
				close(fds[i]);
			_exit(write_all(fd, 9, bs) != 0);
		}
		for (i = 0; i < 1000 && get("d").cache_waits == waits; i++)
			kvt_msleep(2);
		OK(unlink("d/w"));
		close(fds[tries]);
		MUST(waitpid(pid, &st, 0));
	}
	IS(st, 0);
	CHECK(get("d").cache_dropped > 0);
	for (i = 0; i < LIMIT; i++)
		close(fds[i]);
	clear("d", LIMIT);
}

/* Seal and link in either order; rename, and a name in a directory inside. */
static void enters_late(void)
{
	int fd;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	OK(mkdir("d/sub", 0755));
	fd = MUST(open("d", O_TMPFILE | O_RDWR, 0600));
	OK(write_all(fd, 1, bs));
	OK(give_name(fd, "d/sub/a"));
	IS(get("d").cache_files, 0);
	OK(seal(fd));
	IS(get("d").cache_files, 1);
	OK(seal(fd));
	IS(get("d").cache_files, 1);
	close(fd);
	fd = MUST(open("d", O_TMPFILE | O_RDWR, 0600));
	OK(write_all(fd, 2, bs));
	OK(seal(fd));
	IS(get("d").cache_files, 1);
	OK(give_name(fd, "d/b"));
	IS(get("d").cache_files, 2);
	close(fd);
	/* Replaced or deleted it is in no queue. */
	OK(put("d", "d/c", 3, bs));
	IS(get("d").cache_files, 3);
	OK(rename("d/c", "d/b"));
	IS(get("d").cache_files, 2);
	OK(rename("d/b", "d/sub/b"));
	OK(unlink("d/sub/b"));
	IS(get("d").cache_files, 1);
	/* Those in directories inside go, too, and the directories stay. */
	OK(symlink("nowhere", "d/sub/link"));
	fill(0, 2 * LIMIT);
	IS(access("d/sub/a", F_OK), -1);
	ERR(rmdir("d/sub"), ENOTEMPTY);
	OK(unlink("d/sub/link"));
	OK(rmdir("d/sub"));
	clear("d", 2 * LIMIT);
}

/* Larger files, and those that lie inline. */
static void sizes(void)
{
	size_t small = info.inline_max / 2 ?: 1;
	unsigned int i;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < 2 * LIMIT; i++) {
		size_t len = i % 3 ? small : 5 * bs + 17;

		OK(put("d", name_of("d", i), i, len));
		within("d", LIMIT);
	}
	for (i = 0; i < 2 * LIMIT; i++)
		CHECK(check_file(name_of("d", i), i,
				 i % 3 ? small : 5 * bs + 17) >= 0);
	/* The small ones have their turn. */
	IS(check_file(name_of("d", 1), 1, small), 0);
	IS(check_file(name_of("d", 2 * LIMIT - 2), 2 * LIMIT - 2, small), 1);
	/* More than there can ever be. */
	ERR(put("d", "d/large", 1, (LIMIT + 1) * bs), EAGAIN);
	clear("d", 2 * LIMIT);
}

/* Room for all of it, or for nothing; and a fault waits for it, too. */
static void reserve_and_fault(void)
{
	unsigned int i;
	char *m;
	int fd;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	fill(0, LIMIT);
	fd = mk("d/f");
	OK(fallocate(fd, 0, 0, (off_t)(LIMIT / 2 * bs)));
	within("d", LIMIT);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, (off_t)(LIMIT * 3 / 4 * bs)));
	ERR(fallocate(fd, 0, 0, (off_t)((LIMIT + 1) * bs)), EAGAIN);
	OK(ftruncate(fd, 0));
	for (i = LIMIT; get("d").charged < LIMIT; i++)
		OK(put("d", name_of("d", i), i, bs));
	OK(ftruncate(fd, (off_t)(2 * LIMIT * bs)));
	m = mmap(NULL, 2 * LIMIT * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	CHECK(m != MAP_FAILED);
	IS(kvt_access_signal(m, true), 0);
	IS(kvt_access_signal(m + bs, true), 0);
	within("d", LIMIT);
	/* Then there is nothing left to go. */
	for (i = 0; i < LIMIT; i++)
		IS(kvt_access_signal(m + i * bs, true), 0);
	IS(kvt_access_signal(m + LIMIT * bs, true), SIGBUS);
	within("d", LIMIT);
	IS(get("d").cache_files, 0);
	OK(munmap(m, 2 * LIMIT * bs));
	close(fd);
	OK(unlink("d/f"));
	clear("d", 3 * LIMIT);
}

/* A limit around it and the pool make a cache give, too, and for others. */
static void for_others(void)
{
	unsigned int i, kept = 0;
	int fd;

	make("out", LIMIT, 0);
	make("out/d", 0, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < 2 * LIMIT; i++)
		OK(put("out/d", name_of("out/d", i), i, bs));
	within("out", LIMIT);
	/* The domain around it is no cache; its files take the room. */
	fd = mk("out/f");
	OK(write_all(fd, 9, LIMIT / 2 * bs));
	kept = there("out/d", 2 * LIMIT);
	CHECK(kept <= LIMIT / 2, "%u", kept);
	within("out", LIMIT);
	/* And get the error they always did. */
	ERR(write_all(fd, 9, (LIMIT + 1) * bs), EDQUOT);
	IS(there("out/d", 2 * LIMIT), 0);
	close(fd);
	OK(unlink("out/f"));
	OK(rmdir("out/d"));
	OK(rmdir("out"));
	settle();
	/* The whole pool. */
	make("d", 0, KVLIFT_DOMAIN_CACHE);
	for (i = 0; i < info.capacity + LIMIT; i++)
		OK(put("d", name_of("d", i), i, bs));
	CHECK(used_now() <= info.capacity);
	fd = mk("f");
	OK(write_all(fd, 9, LIMIT * bs));
	close(fd);
	OK(unlink("f"));
	clear("d", (unsigned int)info.capacity + LIMIT);
}

/* A file that is renamed, unlinked or opened just then: whole or not there. */
static void drop_against(void)
{
	uint64_t until = kvt_now_ns() + 3000000000;
	unsigned int i = 0, k;
	pid_t pid;
	int st;

	make("d", LIMIT, KVLIFT_DOMAIN_CACHE);
	OK(mkdir("d/sub", 0755));
	pid = MUST(fork());
	if (!pid)
		kvt_fails = 0;
	while (kvt_now_ns() < until) {
		char to[80];

		if (pid) {
			i++;
			k = i % 100;
			if (put("d", name_of("d", k), k, bs))
				CHECK(errno == EEXIST || errno == EAGAIN,
				      "put: %s", strerror(errno));
			continue;
		}
		k = i++ % 100;
		CHECK(check_file(name_of("d", k), k, bs) >= 0);
		snprintf(to, sizeof(to), "d/sub/%u", k);
		rename(name_of("d", k), to);
		CHECK(check_file(to, k, bs) >= 0);
		if (k % 2)
			unlink(to);
		else
			rename(to, name_of("d", k));
	}
	if (!pid)
		_exit(kvt_fails != 0);
	MUST(waitpid(pid, &st, 0));
	IS(st, 0);
	within("d", LIMIT);
	for (i = 0; i < 100; i++) {
		char to[80];

		snprintf(to, sizeof(to), "d/sub/%u", i);
		unlink(to);
	}
	OK(rmdir("d/sub"));
	IS(get("d").cache_files, there("d", 100));
	clear("d", 100);
}

static const struct fstest tests[] = {
	{ "flags", flags_in_and_out },	  { "thrice", fill_thrice },
	{ "inotify", seen_by_inotify },	  { "control", not_a_cache },
	{ "unsealed", unsealed_stays },	  { "inuse", in_use_stays },
	{ "allopen", all_open },	  { "waits", write_waits },
	{ "late", enters_late },	  { "sizes", sizes },
	{ "reserve", reserve_and_fault }, { "others", for_others },
	{ "against", drop_against },
};

/* The i-th of a Zipf distribution, s = 1. */
static unsigned int zipf(const double *sum, unsigned int n, uint64_t *seed)
{
	double at = sum[n - 1] * ((double)(kvt_rand(seed) >> 11) / 0x1p53);
	unsigned int lo = 0, hi = n - 1;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (sum[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void run_zipf(unsigned int files, unsigned int uses, const char *trace)
{
	double *sum = calloc(files, sizeof(*sum));
	unsigned int i, hits = 0;
	FILE *f = fopen(trace, "w");
	uint64_t seed = 1;

	if (!sum || !f)
		kvt_die("%s", trace);
	for (i = 0; i < files; i++)
		sum[i] = (i ? sum[i - 1] : 0) + 1.0 / (i + 1);
	for (i = 0; i < uses; i++) {
		unsigned int k = zipf(sum, files, &seed);
		int rc = check_file(name_of(".", k), k, bs);

		fprintf(f,
			"{\"timestamp\":%u,\"input_length\":512,\"hash_ids\":[%u]}\n",
			i, k);
		CHECK(rc >= 0, "object %u is torn", k);
		if (rc == 1)
			hits++;
		else
			OK(put(".", name_of(".", k), k, bs));
	}
	OK(fclose(f));
	free(sum);
	within(".", get(".").total_limit);
	printf("hits %u\n", hits);
}

#define OBJECTS 400

static bool is_wild;

/* Until then; one that is to be killed need not have come to do anything. */
static _Noreturn void hammer_one(uint64_t seed, uint64_t until, bool to_end)
{
	uint64_t gets = 0, puts = 0;

	while (kvt_now_ns() < until) {
		unsigned int k = (unsigned int)kvt_rand_below(&seed, OBJECTS);
		size_t len = k % 4 ? bs : k % 8 ? 100 : 3 * bs + 5;
		int rc;

		if (!kvt_rand_below(&seed, 50)) {
			unlink(name_of(".", k));
			continue;
		}
		rc = check_file(name_of(".", k), k, len);
		if (!CHECK(rc >= 0, "object %u is torn", k))
			break;
		gets += rc == 1;
		if (rc)
			continue;
		rc = put(".", name_of(".", k), k, len);
		if (rc)
			CHECK(errno == EEXIST || errno == EAGAIN ||
				      (is_wild &&
				       (errno == EDQUOT || errno == ENOSPC ||
					errno == EROFS)),
			      "put: %s", strerror(errno));
		puts += !rc;
	}
	CHECK(!to_end || (gets && puts));
	_exit(kvt_fails != 0);
}

#define WORKERS 6

static void hammer(unsigned int seconds, uint64_t seed)
{
	uint64_t until = kvt_now_ns() + seconds * 1000000000ULL;
	uint64_t limit = get(".").total_limit;
	pid_t pid[WORKERS];
	unsigned int i, killed = 0;
	int st;

	for (i = 0; i < WORKERS; i++) {
		pid[i] = MUST(fork());
		if (!pid[i])
			hammer_one(seed + i, until, i >= WORKERS / 2);
	}
	while (kvt_now_ns() < until) {
		i = (unsigned int)kvt_rand_below(&seed, WORKERS / 2);
		kvt_msleep(100 + (unsigned int)kvt_rand_below(&seed, 200));
		if (is_wild)
			CHECK(!set(".", kvt_rand_below(&seed, 2 * limit),
				   kvt_rand_below(&seed, 4)
					   ? KVLIFT_DOMAIN_CACHE
					   : 0) ||
			      errno == EROFS);
		else
			within(".", limit);
		/* Those of the first half, again and again. */
		MUST(kill(pid[i], SIGKILL));
		MUST(waitpid(pid[i], &st, 0));
		CHECK(WIFSIGNALED(st) || !WEXITSTATUS(st));
		killed++;
		pid[i] = MUST(fork());
		if (!pid[i])
			hammer_one(seed + killed, until, false);
	}
	for (i = 0; i < WORKERS; i++) {
		MUST(waitpid(pid[i], &st, 0));
		CHECK(!st, "worker %u: %#x", i, st);
	}
	if (!is_wild) {
		within(".", limit);
		/* There is always something to go. */
		CHECK(get(".").cache_refused * 100 <= get(".").cache_dropped);
	}
	CHECK(get(".").cache_dropped > 0);
	printf("dropped %llu, waited %llu, refused %llu, killed %u\n",
	       (unsigned long long)get(".").cache_dropped,
	       (unsigned long long)get(".").cache_waits,
	       (unsigned long long)get(".").cache_refused, killed);
}

int main(int argc, char **argv)
{
	int fd = fst_start("cache", argc, argv);

	MUST(kvt_info(fd, &info));
	bs = info.block_size;
	buf = malloc(bs);
	if (argc == 6 && !strcmp(argv[2], "zipf"))
		run_zipf((unsigned int)atoi(argv[3]),
			 (unsigned int)atoi(argv[4]), argv[5]);
	else if (argc >= 4 && ((is_wild = !strcmp(argv[2], "wild")) ||
			       !strcmp(argv[2], "hammer")))
		hammer((unsigned int)atoi(argv[3]),
		       argc > 4 ? strtoull(argv[4], NULL, 0) : 1);
	else
		return fst_run(tests, sizeof(tests) / sizeof(*tests));
	return kvt_end("cache");
}
