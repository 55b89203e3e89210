// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Random commands with random fields and bad pointers on every kind of
 * descriptor. Nothing may crash, hang, or change a byte of a file.
 *
 *	kvfuzz DIR [-N CALLS] [-t SECONDS] [-s SEED]
 */
#include "kvltest.h"

#include <pthread.h>
#include <sys/syscall.h>

#define RW (PROT_READ | PROT_WRITE)

static uint64_t seed = 1, ncalls = 1000000, end;
static int fds[6];
static size_t bs;
static char *pages; /* good, read-only, none: one page each */
static uint64_t calls[16], good[16];

static const unsigned long cmds[] = {
	KVLIFT_IOC_INFO,       KVLIFT_IOC_MEMBER,   KVLIFT_IOC_REGION,
	KVLIFT_IOC_TOUCH,      KVLIFT_IOC_PREFETCH, KVLIFT_IOC_DEMOTE,
	KVLIFT_IOC_WHERE,      KVLIFT_IOC_TABLE,    KVLIFT_IOC_DOMAIN_SET,
	KVLIFT_IOC_DOMAIN_GET, KVLIFT_IOC_HEAT,	    KVLIFT_IOC_TOUCH_RING,
};
#define NCMDS (sizeof(cmds) / sizeof(cmds[0]))

/* Values near which things go wrong. */
static uint64_t value(uint64_t *rnd)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		15,
		16,
		31,
		32,
		63,
		64,
		255,
		256,
		4095,
		4096,
		65535,
		65536,
		1u << 20,
		(1u << 20) + 1,
		INT32_MAX,
		1u << 31,
		UINT32_MAX,
		1ull << 32,
		1ull << 45,
		1ull << 51,
		INT64_MAX,
		1ull << 63,
		UINT64_MAX,
		UINT64_MAX - 1,
		0xffff800000000000,
	};
	uint64_t r = kvt_rand(rnd) >> 8;

	if (r & 3)
		return edges[(r >> 4) % (sizeof(edges) / sizeof(edges[0]))];
	return r & 4 ? kvt_rand(rnd) : (r >> 8) % 64;
}

static uint64_t pointer(uint64_t *rnd)
{
	switch (kvt_rand_below(rnd, 8)) {
	case 0:
		return value(rnd);
	case 1:
		return (uintptr_t)pages + 4096; /* read-only */
	case 2:
		return (uintptr_t)pages + 8192 - 8; /* runs into nothing */
	case 3:
		return (uintptr_t)pages + 4; /* crooked */
	default:
		return (uintptr_t)pages;
	}
}

static void garble_ring(int fd, uint64_t *rnd)
{
	uint64_t *m = mmap(NULL, 8192, RW, MAP_SHARED, fd, 0);

	if (m != MAP_FAILED) {
		for (int i = 0; i < 200; i++)
			m[kvt_rand_below(rnd, i & 1 ? 24 : 1024)] = value(rnd);
		munmap(m, 8192);
	}
	close(fd);
}

static void *fuzz(void *arg)
{
	uint64_t rnd = seed * 173 + (uintptr_t)arg;

	for (uint64_t n = 0; n < ncalls && kvt_now_ns() < end; n++) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t c = r % NCMDS;
		unsigned long cmd = cmds[c];
		uint64_t words[64];
		void *p = words;
		int fd = fds[(r >> 8) % 6], rc;

		for (int i = 0; i < 64; i++)
			words[i] = r >> 16 & 3 ? 0 : value(&rnd);
		/* Mostly sane, so that the checks behind are reached. */
		words[0] = value(&rnd);
		words[1] = value(&rnd);
		if (cmd == KVLIFT_IOC_TOUCH)
			words[0] = pointer(&rnd);
		else if (cmd == KVLIFT_IOC_WHERE || cmd == KVLIFT_IOC_HEAT)
			words[2] = pointer(&rnd);
		else if (cmd == KVLIFT_IOC_TOUCH_RING && r >> 38 & 3)
			words[1] = 0;
		if (!(r >> 20 & 15))
			p = (void *)(uintptr_t)pointer(&rnd);
		if (!(r >> 24 & 31))
			cmd = _IOC(r >> 30 & 3, KVLIFT_IOC_MAGIC, r >> 32 & 31,
				   r >> 36 & 255);
		rc = ioctl(fd, cmd, p);
		__atomic_fetch_add(&calls[c], 1, __ATOMIC_RELAXED);
		if (rc >= 0)
			__atomic_fetch_add(&good[c], 1, __ATOMIC_RELAXED);
		if (rc >= 0 && cmd == KVLIFT_IOC_TABLE) {
			size_t len = (r >> 40 & 3) ? 4096 : value(&rnd);
			char *m = mmap(NULL, len, r >> 44 & 1 ? RW : PROT_READ,
				       r >> 45 & 1 ? MAP_PRIVATE : MAP_SHARED,
				       rc, r >> 46 & 1 ? 4096 : 0);

			if (m != MAP_FAILED) {
				if (len == 4096 && r >> 44 & 1 &&
				    !(r >> 45 & 1))
					kvt_fail(__FILE__, __LINE__, "table",
						 " mapped writable");
				munmap(m, len);
			}
			/* A table is no file to read, write or grow. */
			if (r >> 47 & 1) {
				char b;

				(void)!read(rc, &b, 1);
				(void)!write(rc, &b, 1);
				(void)!ftruncate(rc, 10);
				ioctl(rc, cmds[r >> 50 & 7], words);
			}
			close(rc);
		}
		if (rc >= 0 && cmd == KVLIFT_IOC_TOUCH_RING)
			garble_ring(rc, &rnd);
		/* The file operations that take numbers from users. */
		switch (r >> 54 & 63) {
		case 0:
			fallocate(fds[1],
				  FALLOC_FL_KEEP_SIZE |
					  (r & 1 ? FALLOC_FL_PUNCH_HOLE : 0),
				  (off_t)(value(&rnd) | 1ull << 62),
				  (off_t)value(&rnd));
			break;
		case 1:
			posix_fadvise(fd, (off_t)value(&rnd),
				      (off_t)value(&rnd), (int)(r & 7));
			break;
		case 2:
			lseek(fd, (off_t)value(&rnd), (int)(r & 7));
			break;
		case 3:
			fallocate(fds[1], (int)(r & 0x7f), (off_t)value(&rnd),
				  -(off_t)((value(&rnd) & INT64_MAX) | 1));
			break;
		default:
			break;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct kvlift_info info;
	unsigned int seconds = 10;
	pthread_t t[3];
	char *buf;
	int opt;

	while ((opt = getopt(argc, argv, "N:t:s:")) != -1) {
		if (opt == 'N')
			ncalls = strtoull(optarg, NULL, 0);
		else if (opt == 't')
			seconds = (unsigned int)strtoul(optarg, NULL, 0);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else
			kvt_die("usage: kvfuzz DIR [-N] [-t] [-s]");
	}
	if (!argv[optind])
		kvt_die("usage: kvfuzz DIR [-N] [-t] [-s]");
	MUST(chdir(argv[optind]));
	fds[0] = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(fds[0]))
		return KVT_SKIP;
	MUST(kvt_info(fds[0], &info));
	bs = info.block_size;
	fds[1] = MUST(open("f", O_CREAT | O_TRUNC | O_RDWR, 0600));
	buf = malloc(bs);
	for (size_t i = 0; i < 8; i++) {
		kvt_fill(buf, bs, seed, i * bs);
		IS(kvt_pwrite(fds[1], buf, bs, (off_t)(i * bs)), bs);
	}
	fds[2] = MUST(open("f", O_RDONLY));
	fds[3] = MUST(open("f", O_WRONLY));
	fds[4] = MUST(open("f", O_PATH));
	fds[5] = MUST(open("small", O_CREAT | O_TRUNC | O_RDWR, 0600));
	IS(write(fds[5], "small", 5), 5);
	pages = MUST(
		mmap(NULL, 3 * 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MUST(mprotect(pages + 4096, 4096, PROT_READ));
	MUST(munmap(pages + 8192, 4096));

	/* What the header promises about bad calls. */
	{
		struct kvlift_range r = { .count = 1, .flags = 1 };
		struct kvlift_where w = { .count = KVLIFT_WHERE_MAX + 1,
					  .ptr = (uintptr_t)pages };
		struct kvlift_touches to = { .ptr = 8, .count = 1 };
		struct kvlift_member m = { .tier = 99 };

		ERR(ioctl(fds[1], KVLIFT_IOC_DEMOTE, &r), EINVAL);
		ERR(ioctl(fds[1], KVLIFT_IOC_PREFETCH, &r), EINVAL);
		r.flags = 0;
		r.reserved[1] = 1;
		ERR(ioctl(fds[1], KVLIFT_IOC_DEMOTE, &r), EINVAL);
		r.reserved[1] = 0;
		ERR(ioctl(fds[0], KVLIFT_IOC_DEMOTE, &r), ENOTTY);
		ERR(ioctl(fds[1], KVLIFT_IOC_WHERE, &w), EINVAL);
		w.count = 1;
		w.ptr = 8;
		ERR(ioctl(fds[1], KVLIFT_IOC_WHERE, &w), EFAULT);
		w.ptr = (uintptr_t)pages;
		w.reserved[0] = 1;
		ERR(ioctl(fds[1], KVLIFT_IOC_WHERE, &w), EINVAL);
		ERR(ioctl(fds[1], KVLIFT_IOC_TOUCH, &to), EFAULT);
		to.count = KVLIFT_TOUCH_MAX + 1;
		ERR(ioctl(fds[1], KVLIFT_IOC_TOUCH, &to), EINVAL);
		ERR(ioctl(fds[0], KVLIFT_IOC_REGION, pages), ENOTTY);
		ERR(ioctl(fds[0], KVLIFT_IOC_MEMBER, &m), ENXIO);
		ERR(ioctl(fds[1], _IO(KVLIFT_IOC_MAGIC, 99), 0), ENOTTY);
		ERR(ioctl(fds[1], KVLIFT_IOC_INFO, (void *)8), EFAULT);
		ERR(ioctl(fds[4], KVLIFT_IOC_INFO, pages), EBADF);
		CHECK(ioctl(fds[3], KVLIFT_IOC_TABLE) == -1 && errno == EACCES,
		      "write-only: %s", strerror(errno));
	}
	end = kvt_now_ns() + (uint64_t)seconds * 1000000000u;
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, fuzz, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);

	for (size_t i = 0; i < 8; i++) {
		IS(kvt_pread(fds[1], buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, seed, i * bs);
	}
	printf("kvfuzz: seed %" PRIu64 ", calls that succeeded:", seed);
	for (size_t i = 0; i < NCMDS; i++)
		printf(" %" PRIu64 "/%" PRIu64, good[i], calls[i]);
	printf("\n");
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	OK(unlink("f"));
	OK(unlink("small"));
	return kvt_end("kvfuzz");
}
