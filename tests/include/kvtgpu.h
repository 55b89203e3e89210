/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One attachment, one queue of it, and one file, which is mapped: what the
 * tests of tier gpu look at from both sides.
 */
#ifndef KVTGPU_H
#define KVTGPU_H

#include "kvtmover.h"

#define N     40
#define SLOTS 16 /* of which half may be leased */
#define WIN   6

KVT_FN struct kvlift_info info;
KVT_FN size_t bs;
KVT_FN int dir, fd, q;
KVT_FN char *buf, *map;
KVT_FN struct mv m;

KVT_FN void mk_file(const char *name)
{
	fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0644));
	for (uint64_t i = 0; i < N; i++)
		mv_write(fd, buf, bs, i, 1);
	map = MUST(mmap(NULL, N * bs, MV_RW, MAP_SHARED, fd, 0));
}

KVT_FN void rm_file(const char *name)
{
	munmap(map, N * bs);
	close(fd);
	OK(unlink(name));
}

KVT_FN void setup(void)
{
	mk_file("m");
	mv_open(&m, dir, SLOTS, WIN, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
}

KVT_FN void teardown(void)
{
	close(q);
	mv_close(&m);
	rm_file("m");
}

/* What the CPU reads, by call and by mapping. */
KVT_FN void check_cpu(uint64_t first, uint64_t n, uint64_t seed)
{
	for (uint64_t i = first; i < first + n; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, seed, i * bs);
		CHECK_PATTERN(map + i * bs, bs, seed, i * bs);
	}
}

/* What the lease says where it is. */
KVT_FN void check_leased(struct mv *v, const struct mv_lease *l, uint64_t first,
			 uint64_t n, uint64_t seed)
{
	IS(l->res, 0);
	for (uint64_t i = 0; i < n && !l->res; i++) {
		uint64_t at = l->word[i] & ~KVLIFT_LEASED_WINDOW;
		bool win = l->word[i] & KVLIFT_LEASED_WINDOW;

		if (!CHECK(at < (win ? mv_window(v) : v->att.slots),
			   "word %#" PRIx64, l->word[i]))
			continue;
		CHECK_PATTERN(mv_at(v, l->word[i]), bs, seed, (first + i) * bs);
		for (uint64_t k = 0; k < i; k++)
			CHECK(l->word[k] != l->word[i], "slot given twice");
	}
}

/* And the location words tell the same. */
KVT_FN void check_home(struct mv *v, const struct mv_lease *l, uint64_t first,
		       uint64_t n)
{
	for (uint64_t i = 0; i < n && !l->res; i++) {
		uint64_t w = kvt_loc(fd, first + i);

		IS(kvt_tier(fd, first + i), KVLIFT_TIER_GPU);
		IS(kvlift_loc_member(w), v->att.member);
		IS(kvlift_loc_slot(w), l->word[i]);
	}
}

KVT_FN struct mv_lease get(uint64_t first, uint64_t n, uint32_t flags)
{
	return mv_acquire(q, fd, first, n, flags);
}

/* Written by the GPU, under a lease that ends with it. */
KVT_FN void gpu_writes(uint64_t first, uint64_t n, uint32_t flags,
		       uint64_t seed)
{
	struct mv_lease l = get(first, n, flags | KVLIFT_REQ_WRITE);

	IS(l.res, 0);
	for (uint64_t i = 0; i < n && !l.res; i++)
		kvt_fill(mv_at(&m, l.word[i]), bs, seed, (first + i) * bs);
	OK(mv_release(q, &l));
}

KVT_FN void punch(uint64_t first, uint64_t n)
{
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     (off_t)(first * bs), (off_t)(n * bs)));
}

KVT_FN void zero(uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_ZERO(buf, bs);
	}
}

struct gpu_test {
	const char *name;
	void (*run)(void);
};

/*
 * Those named on the command line, or all. One process each: a thread that has
 * served an attachment counts as a mover.
 */
KVT_FN int gpu_run(const char *name, const struct gpu_test *tests, size_t n,
		   int argc, char **argv)
{
	if (argc < 2)
		kvt_die("usage: %s DIR [TEST...]", name);
	MUST(chdir(argv[1]));
	dir = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(dir))
		return KVT_SKIP;
	MUST(kvt_info(dir, &info));
	bs = info.block_size;
	buf = malloc(bs);
	for (size_t i = 0; i < n; i++) {
		bool wanted = argc == 2;
		int before = kvt_fails;

		for (int k = 2; k < argc; k++)
			wanted |= !strcmp(argv[k], tests[i].name);
		if (!wanted)
			continue;
		mv_phase(tests[i].name, 100);
		IN_CHILD(mv_phase(tests[i].name, 90); tests[i].run();
			 fflush(NULL));
		if (kvt_fails > before)
			fprintf(stderr, "%s: %s failed\n", name, tests[i].name);
	}
	return kvt_end(name);
}

#endif /* KVTGPU_H */
