// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The mapped location table: it says what KVLIFT_IOC_WHERE says, follows
 * blocks as they move, tells moves by the generation, grows with the file,
 * and can be neither written nor had without the right to read.
 *
 *	loctable DIR
 */
#include "kvltest.h"

#define N 600 /* more than one page of words */

static struct kvlift_info info;
static size_t bs;

static uint64_t where(int fd, uint64_t index)
{
	uint64_t word = 0;
	struct kvlift_where w = { .first = index,
				  .count = 1,
				  .ptr = (uintptr_t)&word };

	OK(ioctl(fd, KVLIFT_IOC_WHERE, &w));
	return word;
}

static void same(int fd, const volatile uint64_t *table)
{
	for (uint64_t i = 0; i < N; i++)
		CHECK(table[i] == where(fd, i), "word %" PRIu64, i);
}

/* The words are published one after the other. */
static void settle(int fd, const volatile uint64_t *table, uint64_t i)
{
	for (int n = 0; table[i] != where(fd, i) && n < 100; n++)
		kvt_msleep(1);
}

static void follow(int fd, const volatile uint64_t *table, uint64_t i)
{
	uint64_t before = table[i];
	int tier = kvlift_loc_tier(before);

	for (int below = tier; (below = kvt_tier_below(&info, below)) >= 0;) {
		CHECK(!kvt_move_to(fd, i, below, 10000), "to tier %d", below);
		settle(fd, table, i);
		IS(kvlift_loc_tier(table[i]), below);
		CHECK(kvlift_loc_gen(table[i]) != kvlift_loc_gen(before),
		      "moved with the same generation");
		IS(table[i], where(fd, i));
		before = table[i];
	}
	CHECK(!kvt_move_to(fd, i, KVLIFT_TIER_DRAM, 10000), "back");
	settle(fd, table, i);
	IS(kvlift_loc_tier(table[i]), KVLIFT_TIER_DRAM);
	/* At rest the word stays as it is. */
	before = table[i];
	kvt_msleep(50);
	IS(table[i], before);
}

int main(int argc, char **argv)
{
	const volatile uint64_t *table;
	size_t len = (N + 511) / 512 * 4096;
	int fd, ro, wo, tfd;
	char *buf;

	if (argc < 2)
		kvt_die("usage: loctable DIR");
	MUST(chdir(argv[1]));
	fd = MUST(open("t", O_CREAT | O_TRUNC | O_RDWR, 0600));
	if (!kvt_is_kvlift(fd))
		return KVT_SKIP;
	MUST(kvt_info(fd, &info));
	bs = info.block_size;
	MUST(ftruncate(fd, (off_t)(N * bs)));
	wo = MUST(open("t", O_WRONLY));
	ERR(ioctl(wo, KVLIFT_IOC_TABLE), EACCES);
	close(wo);
	ro = MUST(open("t", O_RDONLY));
	tfd = MUST(ioctl(ro, KVLIFT_IOC_TABLE));
	/* The table keeps the file open. */
	close(ro);
	CHECK(mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, tfd, 0) ==
		      MAP_FAILED,
	      "mapped for writing");
	table = MUST(mmap(NULL, len, PROT_READ, MAP_SHARED, tfd, 0));
	ERR(mprotect((void *)table, len, PROT_READ | PROT_WRITE), EACCES);

	IS(table[0], 0);
	same(fd, table);
	buf = malloc(bs);
	for (uint64_t i = 0; i < 8; i++) {
		kvt_fill(buf, bs, 1, i * bs);
		IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
	}
	kvt_fill(buf, bs, 1, 555 * bs);
	IS(kvt_pwrite(fd, buf, bs, (off_t)(555 * bs)), bs);
	same(fd, table);
	CHECK(table[555] & KVLIFT_LOC_PRESENT, "block 555");
	follow(fd, table, 0);
	follow(fd, table, 3);
	follow(fd, table, 555);
	same(fd, table);

	/* A hole again. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     (off_t)(3 * bs), (off_t)bs));
	CHECK(!(table[3] & KVLIFT_LOC_PRESENT), "a hole is somewhere");
	OK(fallocate(fd, 0, (off_t)(3 * bs), (off_t)bs));
	CHECK(table[3] & KVLIFT_LOC_RESERVED, "reserved");
	same(fd, table);
	for (uint64_t i = 0; i < 8; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		if (i == 3)
			CHECK_ZERO(buf, bs);
		else
			CHECK_PATTERN(buf, bs, 1, i * bs);
	}
	OK(unlink("t"));
	close(fd);
	/* Unlinked and closed, but the mapping still holds it. */
	CHECK(table[555] & KVLIFT_LOC_PRESENT, "gone under the mapping");
	munmap((void *)table, len);
	close(tfd);
	return kvt_end("loctable");
}
