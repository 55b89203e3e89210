// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Domains: what the calls accept and refuse, names across them, and many
 * tasks that make, fill, rename and remove them at once.
 *
 *	domains DIR			everything but the stress
 *	domains DIR pinned		a limit whose blocks are all pinned
 *	domains DIR stress SECONDS [SEED]
 */
#include "kvltest.h"
#include "kvturing.h"

#include <dirent.h>
#include <pthread.h>

static struct kvlift_info info;
static const char *top;
static size_t bs;
static char *buf;
static int slowest;

static int dir_fd(const char *name)
{
	return MUST(open(name, O_RDONLY | O_DIRECTORY));
}

static int get(const char *name, struct kvlift_domain *d)
{
	int fd = MUST(open(name, O_RDONLY)), rc;

	memset(d, 0, sizeof(*d));
	rc = ioctl(fd, KVLIFT_IOC_DOMAIN_GET, d);
	close(fd);
	return rc;
}

static int set(const char *name, struct kvlift_domain *d)
{
	int fd = dir_fd(name);
	int rc = ioctl(fd, KVLIFT_IOC_DOMAIN_SET, d), e = errno;

	close(fd);
	errno = e;
	return rc;
}

static struct kvlift_domain plain(void)
{
	return (struct kvlift_domain){
		.weight = KVLIFT_DOMAIN_WEIGHT,
		.lease_percent = KVLIFT_DOMAIN_PERCENT,
		.pin_percent = KVLIFT_DOMAIN_PERCENT,
	};
}

/* A new directory that is a domain. */
static void make(const char *name, uint64_t total)
{
	struct kvlift_domain d = plain();

	d.total_limit = total;
	MUST(mkdir(name, 0755));
	OK(set(name, &d));
}

static int file(const char *name, uint64_t blocks, uint64_t seed)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	for (uint64_t i = 0; i < blocks; i++) {
		kvt_fill(buf, bs, seed, i * bs);
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	}
	return fd;
}

#define REFUSED(field, value, err)        \
	do {                              \
		d = plain();              \
		d.field = value;          \
		ERR(set("bad", &d), err); \
	} while (0)

static void values(void)
{
	struct kvlift_domain d, e;
	int fd;

	MUST(mkdir("bad", 0755));
	REFUSED(weight, 0, EINVAL);
	REFUSED(weight, KVLIFT_DOMAIN_WEIGHT_MAX + 1, EINVAL);
	REFUSED(lease_percent, 101, EINVAL);
	REFUSED(pin_percent, 101, EINVAL);
	REFUSED(total_limit, KVLIFT_DOMAIN_BLOCKS_MAX + 1, EINVAL);
	REFUSED(willneed_rate, ~0ull, EINVAL);
	REFUSED(limit[KVLIFT_TIER_DRAM], ~0ull, EINVAL);
	REFUSED(limit[KVLIFT_TIER_GPU], 1, EINVAL);
	REFUSED(guarantee[KVLIFT_TIER_GPU], 1, EINVAL);
	REFUSED(guarantee[slowest], 1, EINVAL);
	REFUSED(guarantee[KVLIFT_TIER_DRAM], 1u << 30, ENOSPC);
	REFUSED(pad, 1, EINVAL);
	REFUSED(reserved[1], 1, EINVAL);
	if (slowest != KVLIFT_TIER_DRAM)
		REFUSED(limit[slowest], 8, EINVAL);
	d = plain();
	d.limit[KVLIFT_TIER_DRAM] = 4;
	d.guarantee[KVLIFT_TIER_DRAM] = 5;
	ERR(set("bad", &d), EINVAL);
	OK(get("bad", &d));
	CHECK(!(d.flags & KVLIFT_DOMAIN_HERE) && !d.parent && d.id);
	CHECK(d.guarantee_max[KVLIFT_TIER_DRAM] > 0);
	CHECK(!d.guarantee_max[slowest]);

	d = plain();
	d.weight = 7;
	d.lease_percent = 0;
	d.pin_percent = 100;
	d.willneed_rate = 11;
	d.total_limit = 12;
	d.limit[KVLIFT_TIER_DRAM] = 13;
	d.guarantee[KVLIFT_TIER_DRAM] = 3;
	OK(set("bad", &d));
	OK(get("bad", &e));
	CHECK(e.weight == 7 && !e.lease_percent && e.pin_percent == 100 &&
	      e.willneed_rate == 11 && e.total_limit == 12 &&
	      e.limit[KVLIFT_TIER_DRAM] == 13 &&
	      e.guarantee[KVLIFT_TIER_DRAM] == 3);
	CHECK(e.flags == KVLIFT_DOMAIN_HERE && e.depth == 1);
	/* What was got can be set. */
	OK(set("bad", &e));
	ERR(ioctl(dir_fd("bad"), KVLIFT_IOC_DOMAIN_SET, (void *)8), EFAULT);
	MUST(rmdir("bad"));
	/* The root takes limits, but nothing can be guaranteed to it. */
	OK(get(top, &d));
	CHECK(d.flags == KVLIFT_DOMAIN_HERE && !d.parent && !d.depth);
	OK(set(top, &d));
	d.guarantee[KVLIFT_TIER_DRAM] = 1;
	ERR(set(top, &d), EINVAL);

	fd = file("plain", 1, 1);
	d = plain();
	ERR(ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d), ENOTTY);
	OK(ioctl(fd, KVLIFT_IOC_DOMAIN_GET, &d));
	CHECK(!d.parent && !d.flags);
	close(fd);
	MUST(unlink("plain"));
}

static void who_and_where(void)
{
	struct kvlift_domain d = plain();
	pid_t pid;
	int fd, st;

	MUST(mkdir("full", 0755));
	close(file("full/f", 1, 1));
	ERR(set("full", &d), ENOTEMPTY);
	MUST(unlink("full/f"));
	fd = dir_fd("full");
	MUST(rmdir("full"));
	ERR(ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d), ENOENT);
	close(fd);

	MUST(mkdir("own", 0777));
	MUST(chown("own", 12345, 12345));
	fd = dir_fd("own");
	pid = MUST(fork());
	if (!pid) {
		struct kvlift_domain e;

		MUST(setgid(12345));
		MUST(setuid(12345));
		/* Not even the owner of the directory. */
		ERR(ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d), EPERM);
		OK(ioctl(fd, KVLIFT_IOC_DOMAIN_GET, &e));
		_exit(kvt_fails != 0);
	}
	MUST(waitpid(pid, &st, 0));
	CHECK(!st, "status %#x", st);
	MUST(chown(top, 12345, 12345));
	pid = MUST(fork());
	if (!pid) {
		MUST(setgid(12345));
		MUST(setuid(12345));
		OK(ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d));
		_exit(kvt_fails != 0);
	}
	MUST(waitpid(pid, &st, 0));
	CHECK(!st, "status %#x", st);
	MUST(chown(top, 0, 0));
	close(fd);
	MUST(rmdir("own"));
}

static void names(void)
{
	struct stat st;
	int fd, tmp;

	MUST(mkdir("x", 0755));
	tmp = MUST(open("x", O_TMPFILE | O_RDWR, 0600));
	MUST(rmdir("x"));
	make("x", 0);
	make("y", 0);
	close(file("x/f", 2, 3));
	close(file("y/g", 2, 4));
	MUST(mkdir("x/d", 0755));
	ERR(rename("x/f", "y/f"), EXDEV);
	ERR(rename("x/f", "f"), EXDEV);
	ERR(rename("x/d", "y/d"), EXDEV);
	ERR(link("x/f", "y/f"), EXDEV);
	ERR(renameat2(AT_FDCWD, "x/f", AT_FDCWD, "y/g", RENAME_EXCHANGE),
	    EXDEV);
	OK(rename("x/f", "x/d/f"));
	OK(link("x/d/f", "x/f"));
	MUST(unlink("x/d/f"));
	/* Made before there was a domain, it belongs to the one above. */
	ERR(linkat(tmp, "", AT_FDCWD, "x/t", AT_EMPTY_PATH), EXDEV);
	close(tmp);
	tmp = MUST(open("x", O_TMPFILE | O_RDWR, 0600));
	OK(linkat(tmp, "", AT_FDCWD, "x/t", AT_EMPTY_PATH));
	close(tmp);
	MUST(unlink("x/t"));
	/* The domain itself is a name in the domain above. */
	OK(rename("y", "z"));
	fd = MUST(open("z/g", O_RDONLY));
	MUST(fstat(fd, &st));
	IS(kvt_pread(fd, buf, bs, 0), bs);
	CHECK_PATTERN(buf, bs, 4, 0);
	MUST(unlink("z/g"));
	ERR(rename("z", "x/d/z"), EXDEV);
	MUST(rmdir("z"));
	/* Open after it was removed: still charged, to a domain without a name.
	 */
	CHECK_PATTERN(buf, bs, 4, 0);
	IS(kvt_pread(fd, buf, bs, bs), bs);
	CHECK_PATTERN(buf, bs, 4, bs);
	close(fd);
	MUST(unlink("x/f"));
	MUST(rmdir("x/d"));
	MUST(rmdir("x"));
}

static void nesting(void)
{
	struct kvlift_domain d = plain(), up;
	char path[64] = "n";

	make("n", 0);
	for (int i = 1; i < KVLIFT_DOMAIN_DEPTH; i++) {
		strcat(path, "/n");
		make(path, 0);
	}
	strcat(path, "/n");
	MUST(mkdir(path, 0755));
	ERR(set(path, &d), EMLINK);
	MUST(rmdir(path));
	/* Guarantees inside are parts of the one around. */
	d.guarantee[KVLIFT_TIER_DRAM] = 4;
	ERR(set("n/n", &d), ENOSPC);
	d.guarantee[KVLIFT_TIER_DRAM] = 6;
	OK(set("n", &d));
	d.guarantee[KVLIFT_TIER_DRAM] = 4;
	OK(set("n/n", &d));
	OK(get("n/n", &up));
	IS(up.guarantee_max[KVLIFT_TIER_DRAM], 6);
	d.guarantee[KVLIFT_TIER_DRAM] = 3;
	ERR(set("n", &d), EBUSY);
	/* All that is around a file counts it, and may refuse it. */
	d.guarantee[KVLIFT_TIER_DRAM] = 6;
	d.total_limit = 3;
	OK(set("n", &d));
	close(file("n/n/n/f", 3, 5));
	kvt_fill(buf, bs, 6, 0);
	int fd = MUST(open("n/n/g", O_CREAT | O_RDWR, 0600));

	ERR(pwrite(fd, buf, bs, 0), EDQUOT);
	ERR(fallocate(fd, 0, 0, (off_t)bs), EDQUOT);
	close(fd);
	OK(get("n", &d));
	CHECK(d.charged == 3 && d.peak == 3 && d.total_hits >= 1,
	      "%llu charged", (unsigned long long)d.charged);
	OK(get("n/n/n/f", &d));
	CHECK(d.charged == 3 && d.depth == 3);
	OK(get("n/n/n/n", &d));
	CHECK(!d.charged && d.depth == 4);
	MUST(unlink("n/n/n/f"));
	MUST(unlink("n/n/g"));
	OK(get("n", &d));
	CHECK(!d.charged && d.peak == 3);
	MUST(rmdir("n/n/n/n"));
	MUST(rmdir("n/n/n"));
	MUST(rmdir("n/n"));
	MUST(rmdir("n"));
}

/* More than the limit is refused, and what was there is still right. */
static void total(void)
{
	struct kvlift_domain d;
	int fd;
	char *m;

	make("t", 8);
	fd = file("t/f", 6, 7);
	kvt_fill(buf, bs, 7, 6 * bs);
	ERR(fallocate(fd, 0, (off_t)(6 * bs), (off_t)(3 * bs)), EDQUOT);
	OK(get("t", &d));
	IS(d.charged, 6);
	OK(fallocate(fd, 0, (off_t)(6 * bs), (off_t)(2 * bs)));
	/* A reservation is kept, more is not there. */
	IS(kvt_pwrite(fd, buf, bs, (off_t)(6 * bs)), bs);
	kvt_fill(buf, bs, 7, 7 * bs);
	IS(kvt_pwrite(fd, buf, bs, (off_t)(7 * bs)), bs);
	ERR(pwrite(fd, buf, bs, (off_t)(8 * bs)), EDQUOT);
	MUST(ftruncate(fd, (off_t)(10 * bs)));
	m = MUST(
		mmap(NULL, 10 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	IS(kvt_access_signal(m + 9 * bs, true), SIGBUS);
	for (uint64_t i = 0; i < 8; i++)
		CHECK_PATTERN(m + i * bs, bs, 7, i * bs);
	/* What is freed can be used again. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		     (off_t)bs));
	IS(kvt_access_signal(m + 9 * bs, true), 0);
	munmap(m, 10 * bs);
	/* Lowered below what is stored: nothing is lost, nothing fits. */
	OK(get("t", &d));
	IS(d.charged, 8);
	d.total_limit = 2;
	OK(set("t", &d));
	IS(kvt_pread(fd, buf, bs, (off_t)(5 * bs)), bs);
	CHECK_PATTERN(buf, bs, 7, 5 * bs);
	ERR(fallocate(fd, 0, 0, (off_t)bs), EDQUOT);
	/* What is there already needs no more. */
	OK(fallocate(fd, 0, (off_t)bs, (off_t)(2 * bs)));
	MUST(ftruncate(fd, 0));
	close(fd);
	OK(get("t", &d));
	CHECK(!d.charged && d.total_hits > 0);
	for (int t = 0; t < KVLIFT_NR_TIERS; t++)
		IS(d.blocks[t], 0);
	MUST(unlink("t/f"));
	MUST(rmdir("t"));
}

/* A limit of which every block is pinned gives way; nobody hangs. */
static int pinned(void)
{
	struct kvlift_domain d = plain();
	struct ring ring;
	uint64_t start;
	int fd;
	char *m;

	d.limit[KVLIFT_TIER_DRAM] = 2;
	MUST(mkdir("p", 0755));
	OK(set("p", &d));
	fd = file("p/f", 2, 9);
	MUST(ftruncate(fd, (off_t)(4 * bs)));
	m = MUST(mmap(NULL, 4 * bs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	for (uint64_t i = 0; i < 2; i++)
		CHECK_PATTERN(m + i * bs, bs, 9, i * bs);
	if (!ring_open(&ring))
		return KVT_SKIP;
	OK(ring_register(&ring, m, 2 * bs));
	start = kvt_now_ns();
	m[3 * bs] = 1;
	printf("pinned: the third block came after %" PRIu64 " ms\n",
	       (kvt_now_ns() - start) / 1000000);
	OK(get("p", &d));
	/* To the next memory, if there is one; else above the limit. */
	if (info.nr_members[KVLIFT_TIER_CXL])
		IS(kvt_tier(fd, 3), KVLIFT_TIER_CXL);
	else
		CHECK(kvt_counter(fd, "domain_exceeded") > 0);
	CHECK(d.limit_hits[KVLIFT_TIER_DRAM] > 0);
	ring_close(&ring);
	munmap(m, 4 * bs);
	close(fd);
	MUST(unlink("p/f"));
	MUST(rmdir("p"));
	return kvt_end("domains");
}

#define SLOTS 6

static uint64_t until;
static long long made, moved, refused;

static void name_of(char *name, size_t len, uint64_t *s, bool deep)
{
	int n = snprintf(name, len, "s%" PRIu64, kvt_rand_below(s, SLOTS));

	if (deep)
		snprintf(name + n, len - (size_t)n, "/%" PRIu64,
			 kvt_rand_below(s, SLOTS));
}

static void step(uint64_t *s, char *data)
{
	struct kvlift_domain d = plain();
	char a[32], b[32];
	int fd;

	name_of(a, sizeof(a), s, true);
	name_of(b, sizeof(b), s, true);
	switch (kvt_rand_below(s, 8)) {
	case 0:
		name_of(a, sizeof(a), s, kvt_rand_below(s, 2));
		mkdir(a, 0755);
		/* fall through */
	case 1:
		name_of(b, sizeof(b), s, kvt_rand_below(s, 2));
		fd = open(b, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return;
		d.total_limit = kvt_rand_below(s, 3) * 8;
		d.limit[KVLIFT_TIER_DRAM] = kvt_rand_below(s, 3) * 4;
		d.weight = 1 + (uint32_t)kvt_rand_below(s, 1000);
		d.guarantee[KVLIFT_TIER_DRAM] =
			d.limit[KVLIFT_TIER_DRAM] ? kvt_rand_below(s, 3) : 0;
		if (!ioctl(fd, KVLIFT_IOC_DOMAIN_SET, &d))
			__atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
		ioctl(fd, KVLIFT_IOC_DOMAIN_GET, &d);
		close(fd);
		return;
	case 2:
	case 3:
		if (!rename(a, b))
			__atomic_add_fetch(&moved, 1, __ATOMIC_RELAXED);
		else if (errno == EXDEV)
			__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
		return;
	case 4:
		name_of(a, sizeof(a), s, kvt_rand_below(s, 2));
		if (unlink(a))
			rmdir(a);
		return;
	case 5:
		name_of(a, sizeof(a), s, false);
		fd = open(a, O_TMPFILE | O_RDWR, 0600);
		break;
	default:
		fd = open(a, O_CREAT | O_RDWR, 0600);
	}
	if (fd < 0)
		return;
	for (int i = 0; i < 4; i++)
		if (pwrite(fd, data, bs, (off_t)(kvt_rand_below(s, 6) * bs)) <
		    0)
			CHECK(errno == EDQUOT || errno == ENOSPC, "%s",
			      strerror(errno));
	for (int i = 0; i < 3; i++) {
		ssize_t n = pread(fd, data + bs, bs,
				  (off_t)(kvt_rand_below(s, 6) * bs));

		if (n > 0 && data[bs])
			CHECK(!memcmp(data, data + bs, (size_t)n), "data");
	}
	close(fd);
}

static void *worker(void *arg)
{
	uint64_t s = (uint64_t)(uintptr_t)arg;
	char *data = malloc(2 * bs);

	kvt_fill(data, bs, 77, 0);
	while (kvt_now_ns() < until)
		step(&s, data);
	free(data);
	return NULL;
}

static int stress(uint64_t seconds, uint64_t seed)
{
	pthread_t t[6];
	char path[64];

	until = kvt_now_ns() + seconds * 1000000000u;
	for (uintptr_t i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, worker, (void *)(seed * 100 + i));
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < SLOTS; i++) {
		for (int j = 0; j < SLOTS; j++) {
			/* A directory moved here may have entries itself. */
			for (int k = 0; k < SLOTS; k++) {
				snprintf(path, sizeof(path), "s%d/%d/%d", i, j,
					 k);
				if (unlink(path))
					rmdir(path);
			}
			snprintf(path, sizeof(path), "s%d/%d", i, j);
			if (unlink(path))
				rmdir(path);
		}
		snprintf(path, sizeof(path), "s%d", i);
		if (unlink(path))
			rmdir(path);
	}
	printf("stress: %lld set, %lld renamed, %lld refused, seed %" PRIu64
	       "\n",
	       made, moved, refused, seed);
	/* Whether one was refused as well is chance on a slow machine. */
	CHECK(made && moved);
	return kvt_end("domains");
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "";
	int fd;

	if (argc < 2)
		kvt_die("usage: domains DIR [pinned | stress SECONDS [SEED]]");
	top = argv[1];
	fd = MUST(open(top, O_RDONLY | O_DIRECTORY));
	MUST(kvt_info(fd, &info));
	MUST(chdir(top));
	bs = info.block_size;
	buf = malloc(bs);
	slowest = kvt_bottom(&info);
	if (!strcmp(what, "pinned"))
		return pinned();
	if (!strcmp(what, "stress"))
		return stress(argc > 3 ? strtoull(argv[3], NULL, 0) : 10,
			      argc > 4 ? strtoull(argv[4], NULL, 0) : 1);
	values();
	who_and_where();
	names();
	nesting();
	total();
	return kvt_end("domains");
}
