// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Heat and touch rings.
 *
 *	heat DIR values		heat rises by touches of every kind and decays
 *	heat DIR calls		wrong calls
 *	heat DIR ring		touches arrive by ring; overflow is counted
 *	heat DIR death		the order in which descriptor, file, mapping and
 *				process go does not matter
 *	heat DIR garbage SECONDS	a mapping full of garbage harms nothing
 */
#include "kvltest.h"

#include <linux/falloc.h>
#include <pthread.h>

#include "kvlift.h"

#define N      64
#define HALF_S 65.536 /* where HZ is 250 or 1000 */
#define SEED   77

static struct kvlift_info info;
static size_t bs;
static const char *dir;
static struct kvlift_pool *pool;

static struct kvlift_region *region(const char *name)
{
	struct kvlift_region *r;

	IS(kvlift_region_open(pool, name, O_RDWR, &r), 0);
	return r;
}

/* A file of N blocks, written. */
static int mk(const char *name)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
	char *buf = malloc(bs);

	for (int i = 0; i < N; i++) {
		kvt_fill(buf, bs, SEED, (uint64_t)i * bs);
		IS(kvt_pwrite(fd, buf, bs, i * (off_t)bs), bs);
	}
	free(buf);
	return fd;
}

static void check_content(int fd)
{
	char *buf = malloc(bs);

	for (int i = 0; i < N; i++) {
		IS(kvt_pread(fd, buf, bs, i * (off_t)bs), bs);
		CHECK_PATTERN(buf, bs, SEED, (uint64_t)i * bs);
	}
	free(buf);
}

static int heats(int fd, uint64_t first, uint64_t count, uint32_t *values)
{
	struct kvlift_heat h = {
		.first = first,
		.count = count,
		.ptr = (uintptr_t)values,
	};

	return ioctl(fd, KVLIFT_IOC_HEAT, &h) ? -1 : (int)h.count;
}

/* In touches. */
static double heat(int fd, uint64_t index)
{
	uint32_t v = 0;

	IS(heats(fd, index, 1, &v), 1);
	return v / 256.0;
}

static void touch(int fd, uint64_t index, uint32_t weight)
{
	struct kvlift_touch e = { .index = index, .weight = weight };
	struct kvlift_touches t = { .count = 1, .ptr = (uintptr_t)&e };

	OK(ioctl(fd, KVLIFT_IOC_TOUCH, &t));
}

/* Long enough for another touch of weight 1 to count. */
static void pause_touch(void)
{
	kvt_msleep(100);
}

#define NEAR(is, want, part)                                          \
	({                                                            \
		double is_ = (is), want_ = (want);                    \
		CHECK(is_ > want_ * (1 - (part)) &&                   \
			      is_ < want_ * (1 + (part)),             \
		      "%s is %.4f, not about %.4f", #is, is_, want_); \
	})

static void rises(int fd)
{
	char *m, c;

	/* Each block was written once. */
	NEAR(heat(fd, 3), 1, 0.4);
	touch(fd, 3, 1000);
	NEAR(heat(fd, 3), 1001, 0.15);
	touch(fd, 3, 1000);
	NEAR(heat(fd, 3), 2001, 0.2);
	NEAR(heat(fd, 2), 1, 0.4);
	/* At once: a touch of weight 1 counts once, and 0 is 1. */
	pause_touch();
	for (int i = 0; i < 20; i++)
		touch(fd, 4, i & 1);
	CHECK(heat(fd, 4) > 1.7 && heat(fd, 4) < 5, "%.2f", heat(fd, 4));
	for (int i = 0; i < 8; i++) {
		pause_touch();
		touch(fd, 5, 1);
	}
	NEAR(heat(fd, 5), 9, 0.3);
	/* By read, write, and fault. */
	pause_touch();
	IS(kvt_pread(fd, &c, 1, 6 * (off_t)bs), 1);
	NEAR(heat(fd, 6), 2, 0.35);
	pause_touch();
	m = MUST(mmap(NULL, N * bs, PROT_READ, MAP_SHARED, fd, 0));
	(void)*(volatile char *)(m + 6 * bs);
	NEAR(heat(fd, 6), 3, 0.3);
	munmap(m, N * bs);
}

static void decays(int fd)
{
	uint64_t start = kvt_now_ns(), t;
	double first, later, want, x;

	touch(fd, 9, 5000);
	first = heat(fd, 9);
	kvt_msleep(6000);
	later = heat(fd, 9);
	t = kvt_now_ns() - start;
	/* 2^-t, by its series: t is short. */
	x = (double)t / 1e9 / HALF_S * 0.693147;
	want = 1 - x + x * x / 2 - x * x * x / 6;
	CHECK(later / first < want + 0.012 && later / first > want - 0.012,
	      "%.4f of it are left, not %.4f", later / first, want);
}

/* What happens to the block does not make it hotter or colder. */
static void stays(int fd)
{
	int below = kvt_tier_below(&info, KVLIFT_TIER_DRAM);
	uint32_t v[N];

	touch(fd, 20, 5000);
	if (below >= 0) {
		IS(kvt_move_to(fd, 20, below, 20000), 0);
		NEAR(heat(fd, 20), 5000, 0.25);
		IS(kvt_move_to(fd, 20, KVLIFT_TIER_DRAM, 20000), 0);
		NEAR(heat(fd, 20), 5000, 0.3);
		/* A block that is not in memory takes touches, too. */
		IS(kvt_move_to(fd, 21, kvt_bottom(&info), 20000), 0);
		touch(fd, 21, 300);
		NEAR(heat(fd, 21), 301, 0.15);
	}
	/* Other content. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     20 * (off_t)bs, (off_t)bs));
	CHECK(heat(fd, 20) == 0, "%.2f", heat(fd, 20));
	touch(fd, 20, 100);
	CHECK(heat(fd, 20) == 0, "%.2f in a hole", heat(fd, 20));
	IS(heats(fd, N - 3, 100, v), 3);
	IS(heats(fd, N, 1, v), 0);
	IS(heats(fd, UINT64_MAX, UINT64_MAX >> 44, v), 0);
}

static void values(void)
{
	int fd = mk("f");

	rises(fd);
	decays(fd);
	stays(fd);
	close(fd);
	unlink("f");
}

static int ring_fd(int fd, uint32_t entries, struct kvlift_touch_ring *t)
{
	memset(t, 0, sizeof(*t));
	t->entries = entries;
	return ioctl(fd, KVLIFT_IOC_TOUCH_RING, t);
}

static void calls(void)
{
	int fd = mk("f"), w = MUST(open("f", O_WRONLY)), rfd;
	int d = MUST(open(".", O_RDONLY | O_DIRECTORY));
	uint32_t v[2];
	struct kvlift_heat h = { .count = 1, .ptr = (uintptr_t)v };
	struct kvlift_touch_ring t;

	ERR(ioctl(w, KVLIFT_IOC_HEAT, &h), EACCES);
	ERR(ioctl(d, KVLIFT_IOC_HEAT, &h), ENOTTY);
	h.flags = 1u << 31;
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, &h), EINVAL);
	h.flags = 0;
	h.pad = 1;
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, &h), EINVAL);
	h.pad = 0;
	h.reserved[1] = 1;
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, &h), EINVAL);
	h.reserved[1] = 0;
	h.count = KVLIFT_WHERE_MAX + 1;
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, &h), EINVAL);
	h.count = 1;
	h.ptr = 8;
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, &h), EFAULT);
	ERR(ioctl(fd, KVLIFT_IOC_HEAT, 8), EFAULT);
	ERR(ring_fd(d, 0, &t), ENOTTY);
	ERR(ring_fd(fd, 63, &t), EINVAL);
	ERR(ring_fd(fd, 32, &t), EINVAL);
	ERR(ring_fd(fd, 2 * KVLIFT_RING_MAX, &t), EINVAL);
	ERR(ioctl(fd, KVLIFT_IOC_TOUCH_RING, 8), EFAULT);
	t = (struct kvlift_touch_ring){ .flags = 1 };
	ERR(ioctl(fd, KVLIFT_IOC_TOUCH_RING, &t), EINVAL);
	t = (struct kvlift_touch_ring){ .reserved = { 1 } };
	ERR(ioctl(fd, KVLIFT_IOC_TOUCH_RING, &t), EINVAL);
	/* Who may touch may have a ring. */
	rfd = MUST(ring_fd(w, 0, &t));
	IS(t.entries, KVLIFT_RING_DEFAULT);
	ERR(mmap(NULL, t.bytes, PROT_READ, MAP_PRIVATE, rfd, 0), EINVAL);
	ERR(mmap(NULL, t.bytes, PROT_READ, MAP_SHARED, rfd, 4096), EINVAL);
	ERR(mmap(NULL, 2 * t.bytes, PROT_READ, MAP_SHARED, rfd, 0), EINVAL);
	ERR(ioctl(rfd, KVLIFT_IOC_HEAT, &h), ENOTTY);
	close(rfd);
	close(d);
	close(w);
	close(fd);
	unlink("f");
}

static uint64_t counted(const char *what)
{
	int fd = MUST(open(dir, O_RDONLY | O_DIRECTORY));
	long long v = kvt_counter(fd, what);

	close(fd);
	CHECK(v >= 0, "no counter %s", what);
	return (uint64_t)v;
}

/* Without looking at anything that would make it. */
static void read_by_itself(struct kvlift_ring *ring)
{
	uint64_t end = kvt_now_ns() + 5000000000ull;

	while (__atomic_load_n(&ring->shared->head, __ATOMIC_ACQUIRE) !=
		       ring->tail &&
	       kvt_now_ns() < end)
		kvt_msleep(2);
	IS(ring->shared->head, ring->tail);
}

static void ring(void)
{
	int fd = mk("f");
	struct kvlift_region *r = region("f");
	uint64_t e[1000], touches = counted("ring_touches");
	uint64_t ignored = counted("ring_ignored");
	uint64_t dropped = counted("ring_dropped");
	struct kvlift_ring ring;
	unsigned int took, i;

	pause_touch();
	IS(kvlift_ring_open(r, 64, &ring), 0);
	for (i = 0; i < N; i++)
		e[i] = i;
	e[7] = kvlift_ring_entry(7, 500);
	e[0] = kvlift_ring_entry(0, 400);
	e[8] = 1ull << 39;
	e[9] = N;
	IS(kvlift_ring_touch(&ring, e, N), N);
	read_by_itself(&ring);
	NEAR(heat(fd, 0), 401, 0.15);
	NEAR(heat(fd, 7), 501, 0.15);
	NEAR(heat(fd, 9), 1, 0.4);
	NEAR(heat(fd, 10), 2, 0.35);
	IS(counted("ring_touches") - touches, N - 2);
	IS(counted("ring_ignored") - ignored, 2);
	/* More than there is room for. The worker may make some meanwhile. */
	for (i = 0; i < 1000; i++)
		e[i] = kvlift_ring_entry(i % N, 2);
	took = kvlift_ring_touch(&ring, e, 1000);
	CHECK(took >= 64 && took < 200, "%u taken", took);
	IS(ring.shared->dropped, 1000 - took);
	IS(counted("ring_dropped") - dropped, 1000 - took);
	IS(counted("ring_touches") - touches, N - 2 + took);
	/* Round and round. */
	touches = counted("ring_touches");
	for (i = 0; i < 5000; i++) {
		took = kvlift_ring_touch(&ring, e, 37);
		CHECK(took == 37, "%u of 37", took);
		touches += took;
		/* Whoever looks has it read. */
		heat(fd, 1);
	}
	IS(counted("ring_touches"), touches);
	IS(counted("ring_resets"), 0);
	kvlift_ring_close(&ring);
	kvlift_region_close(r);
	check_content(fd);
	close(fd);
	unlink("f");
}

static void use_and_die(void)
{
	struct kvlift_region *r = region("f");
	uint64_t e = kvlift_ring_entry(12, 1000);
	struct kvlift_ring ring;

	IS(kvlift_ring_open(r, 0, &ring), 0);
	kvlift_ring_touch(&ring, &e, 1);
	kill(getpid(), SIGKILL);
}

/* With a handler it is not in the kernel's log. */
static void gone(int sig)
{
	_exit(1);
}

static bool reads_byte(const volatile char *p)
{
	int status;
	pid_t pid = MUST(fork());

	if (!pid) {
		signal(SIGSEGV, gone);
		(void)*p;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return !status;
}

static void death(void)
{
	int fd = mk("f"), status, rfd;
	struct kvlift_touch_ring t;
	struct kvlift_region *r;
	struct kvlift_ring ring;
	uint64_t e = kvlift_ring_entry(13, 1000);
	pid_t pid;
	void *p;

	/* The process dies with touches in its ring. */
	pid = MUST(fork());
	if (!pid)
		use_and_die();
	waitpid(pid, &status, 0);
	NEAR(heat(fd, 12), 1001, 0.15);
	/* The region is closed and deleted before the ring. */
	r = region("f");
	IS(kvlift_ring_open(r, 0, &ring), 0);
	kvlift_region_close(r);
	kvlift_ring_touch(&ring, &e, 1);
	kvlift_ring_close(&ring);
	NEAR(heat(fd, 13), 1001, 0.15);
	r = region("f");
	IS(kvlift_ring_open(r, 0, &ring), 0);
	kvlift_region_close(r);
	/* A child has no part in it. */
	CHECK(reads_byte((char *)&e), "the test itself");
	CHECK(!reads_byte((char *)ring.shared), "a child has the mapping");
	unlink("f");
	close(fd);
	kvlift_ring_touch(&ring, &e, 1);
	read_by_itself(&ring);
	kvlift_ring_close(&ring);
	/* Mapped in part, several times, without the descriptor, never. */
	fd = mk("f");
	rfd = MUST(ring_fd(fd, KVLIFT_RING_MAX, &t));
	p = MUST(mmap(NULL, 4096, PROT_READ, MAP_SHARED, rfd, 0));
	MUST(mmap(NULL, t.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, rfd, 0));
	close(rfd);
	munmap(p, 4096);
	for (int i = 0; i < 200; i++)
		close(MUST(ring_fd(fd, 64, &t)));
	for (int i = 0; i < 200; i++)
		MUST(ring_fd(fd, 64, &t));
	/* The rest goes with this process. */
}

static volatile bool stop;

static void *write_garbage(void *arg)
{
	struct kvlift_ring *ring = arg;
	uint64_t x = (uintptr_t)&x | 1, n;
	size_t words = ring->length / 8;
	volatile uint64_t *p = (uint64_t *)(void *)ring->shared;
	volatile uint32_t *tail = &ring->shared->tail;

	for (n = 0; !stop; n++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Some that look right, so that entries are read. */
		switch (n % 8) {
		case 0:
			p[x % words] = x;
			break;
		case 1:
			*tail = ring->shared->head + (uint32_t)(x % 5000);
			break;
		case 2:
			ring->shared->dropped = (uint32_t)x;
			break;
		case 3:
			ring->shared->head = (uint32_t)x;
			break;
		case 4:
			*tail = (uint32_t)x;
			break;
		case 5:
			ring->shared->entries = (uint32_t)x;
			ring->shared->offset = (uint32_t)(x >> 32);
			break;
		default:
			ring->entries[x & ring->mask] = x % (2 * N);
		}
	}
	return NULL;
}

static void *touch_all(void *arg)
{
	struct kvlift_region *r = region("f");
	struct kvlift_ring ring;
	uint64_t e[N];

	IS(kvlift_ring_open(r, 0, &ring), 0);
	for (int i = 0; i < N; i++)
		e[i] = (uint64_t)i;
	while (!stop) {
		kvlift_ring_touch(&ring, e, N);
		kvt_msleep(1);
	}
	kvlift_ring_close(&ring);
	kvlift_region_close(r);
	return NULL;
}

static void garbage(unsigned int seconds)
{
	int fd = mk("f"), below = kvt_tier_below(&info, KVLIFT_TIER_DRAM);
	struct kvlift_region *r = region("f");
	uint64_t end = kvt_now_ns() + seconds * 1000000000ull, n;
	uint64_t e = kvlift_ring_entry(14, 4000000);
	struct kvlift_ring ring;
	pthread_t t[3];
	uint32_t v[N];

	IS(kvlift_ring_open(r, 4096, &ring), 0);
	MUST(-pthread_create(&t[0], NULL, write_garbage, &ring));
	MUST(-pthread_create(&t[1], NULL, write_garbage, &ring));
	MUST(-pthread_create(&t[2], NULL, touch_all, NULL));
	for (n = 0; kvt_now_ns() < end; n++) {
		heats(fd, 0, N, v);
		if (below >= 0 && !(n % 16))
			kvt_demote(fd, n % N, 5);
		if (below >= 0 && n % 16 == 8)
			kvt_prefetch(fd, n % N, 5);
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check_content(fd);
	CHECK(counted("ring_resets") > 0, "no tail was refused");
	CHECK(counted("ring_ignored") > 0, "no entry was ignored");
	CHECK(counted("ring_touches") > 0, "no entry was read");
	/* Made good again it works. */
	heat(fd, 0);
	ring.tail = ring.shared->tail;
	heat(fd, 0);
	IS(kvlift_ring_touch(&ring, &e, 1), 1);
	CHECK(heat(fd, 14) > 3e6, "%.2f", heat(fd, 14));
	kvlift_ring_close(&ring);
	kvlift_region_close(r);
	close(fd);
	unlink("f");
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		kvt_die("usage: heat DIR TEST");
	dir = argv[1];
	MUST(chdir(dir));
	fd = MUST(open(".", O_RDONLY));
	MUST(kvt_info(fd, &info));
	close(fd);
	bs = info.block_size;
	IS(kvlift_pool_open(dir, &pool), 0);
	if (!strcmp(argv[2], "values"))
		values();
	else if (!strcmp(argv[2], "calls"))
		calls();
	else if (!strcmp(argv[2], "ring"))
		ring();
	else if (!strcmp(argv[2], "death"))
		death();
	else if (!strcmp(argv[2], "garbage"))
		garbage(argc > 3 ? (unsigned int)atoi(argv[3]) : 3);
	else
		kvt_die("no test %s", argv[2]);
	return kvt_end("heat");
}
