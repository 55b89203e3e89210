// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The module's calls for shell tests, without the tool that is itself under
 * test.
 *
 *	kvtctl pool DIR			number of the pool
 *	kvtctl wait DIR [MS]		until every member has what it asked for
 *	kvtctl counter DIR NAME
 *	kvtctl used DIR			blocks in use
 *	kvtctl tiers FILE		blocks per tier: gpu dram cxl nvme holes
 *	kvtctl loc FILE [BLOCK]		tier member slot gen flags; without a
 *					block a line for each
 *	kvtctl demote FILE [FIRST COUNT]
 *	kvtctl prefetch FILE [FIRST COUNT]
 *	kvtctl move FILE TIER [MS]	all blocks to dram, cxl or nvme
 *	kvtctl fill FILE SEED BYTES [OFFSET]	write the pattern
 *	kvtctl check FILE SEED BYTES [OFFSET]	read it, by read and mapping
 *	kvtctl read FILE OFFSET LEN	"ok" or the error's name
 *	kvtctl write FILE OFFSET LEN [SEED]	the same, of the pattern
 *	kvtctl load FILE OFFSET		signal of a mapped read, 0 for none
 *	kvtctl store FILE OFFSET	signal of a mapped store, 0 for none
 *	kvtctl request FILE FIRST COUNT	ask a queue for the blocks and wait:
 *					result and ns
 *	kvtctl touch FILE BLOCK WEIGHT	report one access
 *	kvtctl hog FILE MIB		touch that much anonymous memory
 *	kvtctl hold FILE [rw|ro] [BYTES] keep it open (and mapped) until a line
 *					comes on standard input
 */
#include "kvltest.h"

static const char *const tier_names[] = { "gpu", "dram", "cxl", "nvme" };

static uint64_t num(char **argv, int argc, int i, uint64_t dflt)
{
	return i < argc ? strtoull(argv[i], NULL, 0) : dflt;
}

static int wait_got(int fd, uint64_t ms)
{
	struct kvlift_info info;
	uint64_t end = kvt_now_ns() + ms * 1000000;
	bool all;

	do {
		all = true;
		MUST(kvt_info(fd, &info));
		for (uint32_t t = 0; t < KVLIFT_NR_TIERS; t++)
			for (uint32_t m = 0; m < info.nr_members[t]; m++) {
				struct kvlift_member mem = {
					.tier = t,
					.member = m,
				};

				MUST(ioctl(fd, KVLIFT_IOC_MEMBER, &mem));
				all &= mem.got >= mem.asked;
			}
		if (all)
			return 0;
		kvt_msleep(20);
	} while (kvt_now_ns() < end);
	return 1;
}

static uint64_t nblocks(int fd, uint32_t *bs)
{
	struct kvlift_info info;
	struct stat st;

	MUST(kvt_info(fd, &info));
	MUST(fstat(fd, &st));
	*bs = info.block_size;
	return ((uint64_t)st.st_size + info.block_size - 1) / info.block_size;
}

static int move_all(int fd, const char *name, uint64_t ms)
{
	uint32_t bs;
	uint64_t n = nblocks(fd, &bs), end = kvt_now_ns() + ms * 1000000;
	int want;

	for (want = 0; want < KVLIFT_NR_TIERS; want++)
		if (!strcmp(name, tier_names[want]))
			break;
	for (;;) {
		uint64_t left = 0;

		for (uint64_t i = 0; i < n; i++) {
			int t = kvt_tier(fd, i);

			if (t < 0 || t == want)
				continue;
			left++;
			kvt_range(fd,
				  t < want ? KVLIFT_IOC_DEMOTE
					   : KVLIFT_IOC_PREFETCH,
				  i, 1, NULL);
		}
		if (!left)
			return 0;
		if (kvt_now_ns() > end) {
			fprintf(stderr,
				"kvtctl: %" PRIu64 " of %" PRIu64
				" blocks are not in %s\n",
				left, n, name);
			return 1;
		}
		kvt_msleep(20);
	}
}

static int fill(int fd, uint64_t seed, uint64_t len, uint64_t off)
{
	char *buf = malloc(1 << 20);

	while (len) {
		size_t n = len < 1 << 20 ? len : 1 << 20;

		kvt_fill(buf, n, seed, off);
		if (kvt_pwrite(fd, buf, n, (off_t)off) != (ssize_t)n) {
			fprintf(stderr, "kvtctl: write at %#" PRIx64 ": %s\n",
				off, strerror(errno));
			return 1;
		}
		off += n;
		len -= n;
	}
	free(buf);
	return 0;
}

static int check(int fd, uint64_t seed, uint64_t len, uint64_t off)
{
	char *buf = malloc(1 << 20);
	uint64_t start = off & ~4095ull;
	char *m = mmap(NULL, off + len - start, PROT_READ, MAP_SHARED, fd,
		       (off_t)start);
	ssize_t d;

	if (m == MAP_FAILED)
		kvt_die("mmap: %s", strerror(errno));
	for (uint64_t at = 0; at < len;) {
		size_t n = len - at < 1 << 20 ? len - at : 1 << 20;

		/* Every other stretch each way, so that both are quick. */
		if (at >> 20 & 1) {
			memcpy(buf, m + (off - start) + at, n);
		} else if (kvt_pread(fd, buf, n, (off_t)(off + at)) !=
			   (ssize_t)n) {
			fprintf(stderr, "kvtctl: read at %#" PRIx64 ": %s\n",
				off + at, strerror(errno));
			return 1;
		}
		d = kvt_diff(buf, n, seed, off + at);
		if (d >= 0) {
			fprintf(stderr, "kvtctl: wrong byte at %#" PRIx64 "\n",
				off + at + (uint64_t)d);
			return 1;
		}
		at += n;
	}
	munmap(m, off + len - start);
	free(buf);
	return 0;
}

/*
 * Its own text stays in memory: a process that the kernel takes that from, to
 * read it again at once, gets on for minutes without running out.
 */
static int hog(uint64_t mib)
{
	size_t n = mib << 20;
	char *m;

	MUST(mlockall(MCL_CURRENT));
	m = MUST(mmap(NULL, n, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (size_t i = 0; i < n; i += 4096)
		*(volatile char *)(m + i) = 1;
	return 0;
}

static int transfer(int fd, bool out, uint64_t off, uint64_t len, uint64_t seed)
{
	char *buf = malloc(len);
	ssize_t n;

	kvt_fill(buf, len, seed, off);
	n = out ? kvt_pwrite(fd, buf, len, (off_t)off)
		: kvt_pread(fd, buf, len, (off_t)off);
	if (n < 0)
		puts(strerrorname_np(errno));
	else if (n != (ssize_t)len)
		printf("%zd\n", n);
	else
		puts("ok");
	free(buf);
	return 0;
}

static int access_mapped(int fd, bool store, uint64_t off)
{
	uint64_t from = off & ~4095ull;
	char *m = MUST(mmap(NULL, 4096, PROT_READ | (store ? PROT_WRITE : 0),
			    MAP_SHARED, fd, (off_t)from));

	printf("%d\n", kvt_access_signal(m + (off - from), store));
	return 0;
}

static int request(int fd, uint64_t first, uint64_t count)
{
	struct kvlift_req req = {
		.cookie = first,
		.first = first,
		.count = count,
		.fd = fd,
		.op = KVLIFT_OP_PREFETCH,
	};
	struct kvlift_submit s = { .ptr = (uintptr_t)&req, .count = 1 };
	struct kvlift_event e;
	int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE, NULL));

	MUST(ioctl(q, KVLIFT_IOC_SUBMIT, &s));
	if (read(q, &e, sizeof(e)) != sizeof(e))
		kvt_die("read of the queue: %s", strerror(errno));
	printf("%d %" PRIu64 "\n", e.res, (uint64_t)e.ns);
	return 0;
}

static int touch(int fd, uint64_t index, uint32_t weight)
{
	struct kvlift_touch t = { .index = index, .weight = weight };
	struct kvlift_touches all = { .ptr = (uintptr_t)&t, .count = 1 };

	MUST(ioctl(fd, KVLIFT_IOC_TOUCH, &all));
	return all.done != 1;
}

int main(int argc, char **argv)
{
	const char *cmd = argc > 2 ? argv[1] : "";
	bool writes =
		!strcmp(cmd, "fill") || !strcmp(cmd, "write") ||
		!strcmp(cmd, "store") ||
		(!strcmp(cmd, "hold") && argc > 3 && !strcmp(argv[3], "rw"));
	struct kvlift_info info;
	uint32_t bs;
	int fd;

	if (argc < 3)
		kvt_die("usage: kvtctl COMMAND FILE ... (see the source)");
	fd = open(argv[2], writes ? O_RDWR | O_CREAT : O_RDONLY, 0644);
	if (fd < 0)
		kvt_die("%s: %s", argv[2], strerror(errno));
	if (!strcmp(cmd, "fill"))
		return fill(fd, num(argv, argc, 3, 1), num(argv, argc, 4, 0),
			    num(argv, argc, 5, 0));
	if (!strcmp(cmd, "check"))
		return check(fd, num(argv, argc, 3, 1), num(argv, argc, 4, 0),
			     num(argv, argc, 5, 0));
	if ((!strcmp(cmd, "read") || !strcmp(cmd, "write")) && argc > 4)
		return transfer(fd, writes, num(argv, argc, 3, 0),
				num(argv, argc, 4, 0), num(argv, argc, 5, 1));
	if ((!strcmp(cmd, "load") || !strcmp(cmd, "store")) && argc > 3)
		return access_mapped(fd, writes, num(argv, argc, 3, 0));
	if (!strcmp(cmd, "hold")) {
		char line[16];
		uint64_t len = num(argv, argc, 4, 0);
		char *m = NULL;

		if (len)
			m = MUST(mmap(NULL, len,
				      writes ? PROT_READ | PROT_WRITE
					     : PROT_READ,
				      MAP_SHARED, fd, 0));
		for (uint64_t i = 0; i < len; i += 4096)
			(void)*(volatile char *)(m + i);
		puts("ready");
		fflush(stdout);
		return read(0, line, sizeof(line)) < 0;
	}
	if (!strcmp(cmd, "request") && argc > 4)
		return request(fd, num(argv, argc, 3, 0),
			       num(argv, argc, 4, 1));
	if (!strcmp(cmd, "touch") && argc > 4)
		return touch(fd, num(argv, argc, 3, 0),
			     (uint32_t)num(argv, argc, 4, 1));
	if (!strcmp(cmd, "hog"))
		return hog(num(argv, argc, 3, 0));
	if (!strcmp(cmd, "wait"))
		return wait_got(fd, num(argv, argc, 3, 20000));
	if (!strcmp(cmd, "move") && argc > 3)
		return move_all(fd, argv[3], num(argv, argc, 4, 20000));
	if (!strcmp(cmd, "counter") && argc > 3) {
		long long v = kvt_counter(fd, argv[3]);

		printf("%lld\n", v);
		return v < 0;
	}
	MUST(kvt_info(fd, &info));
	if (!strcmp(cmd, "pool")) {
		printf("%u\n", info.pool);
	} else if (!strcmp(cmd, "used")) {
		printf("%" PRIu64 "\n", (uint64_t)info.used);
	} else if (!strcmp(cmd, "tiers")) {
		uint64_t n = nblocks(fd, &bs), in[5] = { 0 };

		for (uint64_t i = 0; i < n; i++) {
			int t = kvt_tier(fd, i);

			in[t < 0 ? 4 : t]++;
		}
		printf("gpu %" PRIu64 " dram %" PRIu64 " cxl %" PRIu64
		       " nvme %" PRIu64 " holes %" PRIu64 "\n",
		       in[0], in[1], in[2], in[3], in[4]);
	} else if (!strcmp(cmd, "loc")) {
		uint64_t first = num(argv, argc, 3, 0);
		uint64_t end = argc > 3 ? first + 1 : nblocks(fd, &bs);

		for (uint64_t i = first; i < end; i++) {
			uint64_t w = kvt_loc(fd, i);

			printf("%u %u %u %u %#x\n", kvlift_loc_tier(w),
			       kvlift_loc_member(w), kvlift_loc_slot(w),
			       kvlift_loc_gen(w),
			       (unsigned int)(w >> KVLIFT_LOC_FLAG_SHIFT &
					      0xff));
		}
	} else if (!strcmp(cmd, "demote") || !strcmp(cmd, "prefetch")) {
		uint64_t n = nblocks(fd, &bs), done;

		MUST(kvt_range(
			fd,
			cmd[0] == 'd' ? KVLIFT_IOC_DEMOTE : KVLIFT_IOC_PREFETCH,
			num(argv, argc, 3, 0), num(argv, argc, 4, n), &done));
		printf("%" PRIu64 "\n", done);
	} else {
		kvt_die("unknown command %s", cmd);
	}
	return 0;
}
