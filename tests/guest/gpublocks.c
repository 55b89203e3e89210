// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A GPU's memory as the top tier, with a mover that copies as it is told:
 * blocks get there and come back, are written on both sides, deleted and
 * sealed, and every byte is right wherever it is looked at.
 *
 *	gpublocks DIR [TEST...]
 */
#include "kvtgpu.h"

/* Brought there, found there, read everywhere, and there the next time. */
static void reading(void)
{
	static const struct {
		uint64_t first, n;
	} want[] = { { 0, 1 }, { 3, 2 }, { 8, 4 } };
	struct kvlift_req r[3];
	struct mv_lease l[3], again;
	unsigned long long in;

	setup();
	for (unsigned int i = 0; i < 3; i++)
		r[i] = mv_req(fd, want[i].first, want[i].n, MV_GPU);
	IS(mv_submit(q, r, 3), 3);
	for (unsigned int i = 0; i < 3; i++) {
		struct kvlift_event e = mv_event(q, 30000);

		IS(e.res, 0);
		IS(e.blocks, want[e.cookie - r[0].cookie].n);
	}
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t n = MV_MAX;

		l[i] = (struct mv_lease){ .cookie = r[i].cookie };
		OK(mv_leased(q, r[i].cookie, l[i].word, &n));
		IS(n, want[i].n);
		check_leased(&m, &l[i], want[i].first, n, 1);
		check_home(&m, &l[i], want[i].first, n);
	}
	IS(MV_INFO(&m, in), 7);
	IS(MV_INFO(&m, inflight), 0);
	CHECK(MV_INFO(&m, used) >= 7);
	/* The CPU reads beside the GPU, which still has what it had. */
	check_cpu(0, N, 1);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t n = MV_MAX, words[MV_MAX];

		OK(mv_leased(q, l[i].cookie, words, &n));
		CHECK(!memcmp(words, l[i].word, n * sizeof(*words)));
		check_leased(&m, &l[i], want[i].first, want[i].n, 1);
		OK(mv_release(q, &l[i]));
		ERR(mv_release(q, &l[i]), ENOENT);
	}
	again = get(30, 2, MV_GPU);
	check_leased(&m, &again, 30, 2, 1);
	OK(mv_release(q, &again));
	in = MV_INFO(&m, in);
	again = get(30, 2, MV_GPU);
	check_leased(&m, &again, 30, 2, 1);
	IS(MV_INFO(&m, in), in);
	OK(mv_release(q, &again));
	/* Without a lease: brought there. */
	r[0] = mv_req(fd, 20, 2, MV_GPU);
	r[0].op = KVLIFT_OP_PREFETCH;
	r[0].lease_ms = 0;
	IS(mv_ask(q, r[0]).res, 0);
	IS(mv_count_gpu(fd, N, (int)m.att.member) >= 4, true);
	IS(kvt_tier(fd, 20), KVLIFT_TIER_GPU);
	check_cpu(0, N, 1);
	teardown();
}

static void writing(void)
{
	struct mv_lease l;

	setup();
	gpu_writes(4, 4, MV_GPU, 2);
	check_cpu(4, 4, 2);
	check_cpu(0, 4, 1);
	check_cpu(8, 2, 1);
	CHECK(MV_INFO(&m, out) >= 4);
	l = get(4, 4, MV_GPU);
	check_leased(&m, &l, 4, 4, 2);
	OK(mv_release(q, &l));
	/* Part of a block by the GPU: the rest is what was there. */
	l = get(10, 1, MV_GPU | KVLIFT_REQ_WRITE);
	check_leased(&m, &l, 10, 1, 1);
	if (!l.res)
		kvt_fill(mv_at(&m, l.word[0]) + 64, 64, 3, 10 * bs + 64);
	OK(mv_release(q, &l));
	IS(kvt_pread(fd, buf, bs, (off_t)(10 * bs)), bs);
	CHECK_PATTERN(buf, 64, 1, 10 * bs);
	CHECK_PATTERN(buf + 64, 64, 3, 10 * bs + 64);
	CHECK_PATTERN(buf + 128, bs - 128, 1, 10 * bs + 128);
	/* The CPU writes what the GPU has: by call, by mapping, a part of it. */
	gpu_writes(12, 3, MV_GPU, 2);
	mv_write(fd, buf, bs, 12, 5);
	kvt_fill(map + 13 * bs, bs, 5, 13 * bs);
	kvt_fill(buf, 512, 5, 14 * bs);
	IS(kvt_pwrite(fd, buf, 512, (off_t)(14 * bs)), 512);
	l = get(12, 3, MV_GPU);
	check_leased(&m, &l, 12, 2, 5);
	if (!l.res) {
		CHECK_PATTERN(mv_at(&m, l.word[2]), 512, 5, 14 * bs);
		CHECK_PATTERN(mv_at(&m, l.word[2]) + 512, bs - 512, 2,
			      14 * bs + 512);
	}
	OK(mv_release(q, &l));
	check_cpu(12, 2, 5);
	/* The same for what the GPU only reads. */
	l = get(20, 2, MV_GPU);
	OK(mv_release(q, &l));
	mv_write(fd, buf, bs, 20, 5);
	kvt_fill(map + 21 * bs, bs, 5, 21 * bs);
	check_cpu(20, 2, 5);
	l = get(20, 2, MV_GPU);
	check_leased(&m, &l, 20, 2, 5);
	OK(mv_release(q, &l));
	teardown();
}

struct write_later {
	uint64_t block;
	bool by_call;
};

static void *write_later(void *arg)
{
	struct write_later *w = arg;
	char *mine = malloc(bs);

	if (w->by_call)
		mv_write(fd, mine, bs, w->block, 6);
	else
		kvt_fill(map + w->block * bs, bs, 6, w->block * bs);
	free(mine);
	return NULL;
}

/* The CPU writes under a lease: it may have to wait, but gets there. */
static void conflict(void)
{
	setup();
	for (int write = 0; write < 2; write++)
		for (int by_call = 0; by_call < 2; by_call++) {
			struct write_later w = { 2, by_call };
			pthread_t t;
			struct mv_lease l;

			mv_write(fd, buf, bs, 2, 1);
			l = get(2, 1, MV_GPU | (write ? KVLIFT_REQ_WRITE : 0));
			check_leased(&m, &l, 2, 1, 1);
			if (pthread_create(&t, NULL, write_later, &w))
				kvt_die("pthread_create");
			kvt_msleep(300);
			OK(mv_release(q, &l));
			pthread_join(t, NULL);
			check_cpu(2, 1, 6);
			l = get(2, 1, MV_GPU);
			check_leased(&m, &l, 2, 1, 6);
			OK(mv_release(q, &l));
		}
	teardown();
}

static void exclusive(void)
{
	struct mv_lease l;

	setup();
	l = get(0, 4, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	check_leased(&m, &l, 0, 4, 1);
	check_home(&m, &l, 0, 4);
	OK(mv_release(q, &l));
	check_cpu(0, 4, 1);
	l = get(4, 4, MV_GPU | KVLIFT_REQ_EXCLUSIVE | KVLIFT_REQ_WRITE);
	check_leased(&m, &l, 4, 4, 1);
	for (uint64_t i = 0; i < 4 && !l.res; i++)
		kvt_fill(mv_at(&m, l.word[i]), bs, 2, (4 + i) * bs);
	OK(mv_release(q, &l));
	check_cpu(4, 4, 2);
	/* One that was shared becomes exclusive, and the other way round. */
	l = get(8, 1, MV_GPU);
	OK(mv_release(q, &l));
	l = get(8, 1, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	check_leased(&m, &l, 8, 1, 1);
	OK(mv_release(q, &l));
	l = get(8, 1, MV_GPU);
	check_leased(&m, &l, 8, 1, 1);
	OK(mv_release(q, &l));
	check_cpu(8, 1, 1);
	teardown();
}

/* Holes: with nothing copied to them, or zeroed. */
static void fresh(void)
{
	struct mv_lease l;

	setup();
	punch(28, 8);
	gpu_writes(28, 4, MV_GPU | KVLIFT_REQ_NEW, 3);
	IS(MV_INFO(&m, in), 0);
	IS(kvt_tier(fd, 28), KVLIFT_TIER_GPU);
	check_cpu(28, 4, 3);
	l = get(32, 2, MV_GPU);
	IS(l.res, 0);
	for (int i = 0; i < 2 && !l.res; i++)
		CHECK_ZERO(mv_at(&m, l.word[i]), bs);
	OK(mv_release(q, &l));
	zero(32, 4);
	/* Where the file has just been made longer. */
	OK(ftruncate(fd, (off_t)((N + 4) * bs)));
	gpu_writes(N, 4, MV_GPU | KVLIFT_REQ_NEW, 4);
	for (uint64_t i = N; i < N + 4; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, 4, i * bs);
	}
	teardown();
}

static void window(void)
{
	struct mv_lease l;

	setup();
	l = get(10, 3, KVLIFT_REQ_WINDOW);
	for (int i = 0; i < 3 && !l.res; i++)
		CHECK(l.word[i] & KVLIFT_LEASED_WINDOW);
	check_leased(&m, &l, 10, 3, 1);
	if (!l.res) {
		IS(MV_INFO(&m, window_free), WIN - 3);
		CHECK(kvt_tier(fd, 10) > KVLIFT_TIER_GPU);
		/* It is the same memory. */
		kvt_fill(map + 10 * bs, bs, 2, 10 * bs);
		mv_write(fd, buf, bs, 11, 2);
		CHECK_PATTERN(mv_at(&m, l.word[0]), bs, 2, 10 * bs);
		CHECK_PATTERN(mv_at(&m, l.word[1]), bs, 2, 11 * bs);
	}
	OK(mv_release(q, &l));
	check_cpu(10, 2, 2);
	check_cpu(12, 1, 1);
	l = get(14, 2, KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE);
	check_leased(&m, &l, 14, 2, 1);
	for (uint64_t i = 0; i < 2 && !l.res; i++)
		kvt_fill(mv_at(&m, l.word[i]), bs, 3, (14 + i) * bs);
	OK(mv_release(q, &l));
	check_cpu(14, 2, 3);
	/* What the window had goes on as any other block. */
	for (uint64_t i = 14; i < 16 && kvt_bottom(&info) > 1; i++)
		CHECK(!kvt_move_to(fd, i, kvt_bottom(&info), 20000),
		      "block %" PRIu64 " stays in tier %d", i, kvt_tier(fd, i));
	check_cpu(14, 2, 3);
	/* From the GPU to the window, and holes. */
	gpu_writes(20, 2, MV_GPU, 4);
	l = get(20, 2, KVLIFT_REQ_WINDOW);
	check_leased(&m, &l, 20, 2, 4);
	OK(mv_release(q, &l));
	check_cpu(20, 2, 4);
	punch(22, 1);
	l = get(22, 1, KVLIFT_REQ_WINDOW);
	IS(l.res, 0);
	if (!l.res)
		CHECK_ZERO(mv_at(&m, l.word[0]), bs);
	OK(mv_release(q, &l));
	/* And back, more often than the window has slots. */
	for (uint64_t i = 0; i < N; i += 2) {
		l = get(i, 2, i % 4 ? KVLIFT_REQ_WINDOW : MV_GPU);
		IS(l.res, 0);
		if (!l.res)
			OK(mv_release(q, &l));
	}
	check_cpu(0, 10, 1);
	check_cpu(14, 2, 3);
	check_cpu(20, 2, 4);
	zero(22, 1);
	check_cpu(23, N - 23, 1);
	teardown();
}

/* In which tier a slot of the window is. */
static void check_part(const struct mv_lease *l, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n && !l->res; i++)
		IS(kvt_tier(fd, first + i),
		   (l->word[i] & ~KVLIFT_LEASED_WINDOW) < m.att.window
			   ? KVLIFT_TIER_DRAM
			   : KVLIFT_TIER_CXL);
}

/* A window that goes on in slower memory, or has none but that. */
static void slower(uint64_t dram, uint64_t cxl)
{
	unsigned int in_cxl = 0;
	struct mv_lease l;

	mk_file("m");
	mv_open_cxl(&m, dir, SLOTS, dram, cxl, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	IS(MV_INFO(&m, window), dram + cxl);
	l = get(10, 6, KVLIFT_REQ_WINDOW);
	check_leased(&m, &l, 10, 6, 1);
	check_part(&l, 10, 6);
	for (int i = 0; i < 6 && !l.res; i++)
		in_cxl += kvt_tier(fd, 10 + (uint64_t)i) == KVLIFT_TIER_CXL;
	CHECK(in_cxl >= 6 - dram && in_cxl, "%u blocks", in_cxl);
	/* A touch by the CPU moves nothing: it is the same memory. */
	check_cpu(10, 6, 1);
	check_part(&l, 10, 6);
	for (uint64_t i = 0; i < 6 && !l.res; i++)
		kvt_fill(map + (10 + i) * bs, bs, 2, (10 + i) * bs);
	check_leased(&m, &l, 10, 6, 2);
	OK(mv_release(q, &l));
	/* Nor afterwards, while there is room. */
	munmap(map, N * bs);
	map = MUST(mmap(NULL, N * bs, MV_RW, MAP_SHARED, fd, 0));
	check_cpu(10, 6, 2);
	check_part(&l, 10, 6);
	l = get(10, 6, KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE);
	check_leased(&m, &l, 10, 6, 2);
	for (uint64_t i = 0; i < 6 && !l.res; i++)
		kvt_fill(mv_at(&m, l.word[i]), bs, 3, (10 + i) * bs);
	OK(mv_release(q, &l));
	/* Through it and out of it, more often than it has slots. */
	gpu_writes(20, 4, MV_GPU, 4);
	for (uint64_t i = 0; i < N; i += 4) {
		l = get(i, 4, i % 8 ? KVLIFT_REQ_WINDOW : MV_GPU);
		IS(l.res, 0);
		check_part(&l, i, i % 8 ? 4 : 0);
		if (!l.res)
			OK(mv_release(q, &l));
	}
	check_cpu(0, 10, 1);
	check_cpu(10, 6, 3);
	check_cpu(20, 4, 4);
	for (uint64_t i = 10; i < 24 && kvt_bottom(&info) > KVLIFT_TIER_CXL;
	     i++)
		CHECK(!kvt_move_to(fd, i, kvt_bottom(&info), 20000),
		      "block %" PRIu64 " stays in tier %d", i, kvt_tier(fd, i));
	check_cpu(10, 6, 3);
	/* Blocks that live there when it ends are the pool's. */
	l = get(10, 4, KVLIFT_REQ_WINDOW);
	check_leased(&m, &l, 10, 4, 3);
	close(q);
	mv_close(&m);
	check_cpu(10, 6, 3);
	check_cpu(24, N - 24, 1);
	rm_file("m");
}

static void cxl(void)
{
	uint64_t slots = mv_cxl_slots(dir);

	if (!slots) {
		printf("gpublocks: no CXL memory in this pool\n");
		return;
	}
	slower(4, 8);
	slower(0, 12);
	slower(1, 12);
}

static void set_lease_percent(uint32_t percent)
{
	struct kvlift_domain d;

	memset(&d, 0, sizeof(d));
	MUST(ioctl(dir, KVLIFT_IOC_DOMAIN_GET, &d));
	d.lease_percent = percent;
	OK(ioctl(dir, KVLIFT_IOC_DOMAIN_SET, &d));
}

/*
 * A window may have more room in a tier than the domain has leases there: what
 * can be leased at all is, over both tiers, and what cannot is told so.
 */
static void caps(void)
{
	uint64_t slots = mv_cxl_slots(dir), n, most = 0;
	unsigned int in_cxl = 0;
	struct kvlift_req r;
	struct mv_lease l;

	mk_file("m");
	mv_open_cxl(&m, dir, SLOTS, 20, slots ? 20 : 0, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	set_lease_percent(3);
	for (n = 1; n <= 20; n++) {
		l = get(0, n, KVLIFT_REQ_WINDOW);
		CHECK(l.res == (most == n - 1 ? l.res : -EDQUOT) &&
			      (!l.res || l.res == -EDQUOT),
		      "%" PRIu64 " blocks: %s", n, strerror(-l.res));
		if (l.res)
			continue;
		most = n;
		in_cxl = 0;
		for (uint64_t i = 0; i < n; i++)
			in_cxl += kvt_tier(fd, i) == KVLIFT_TIER_CXL;
		check_leased(&m, &l, 0, n, 1);
		OK(mv_release(q, &l));
	}
	CHECK(most > 1 && most < 17, "%" PRIu64 " blocks at most", most);
	CHECK(slots ? in_cxl && in_cxl < most : !in_cxl, "%u of %" PRIu64,
	      in_cxl, most);
	/* Too many of them are in DRAM, where no lease has brought them. */
	set_lease_percent(50);
	l = get(0, 8, KVLIFT_REQ_WINDOW);
	IS(l.res, 0);
	OK(mv_release(q, &l));
	r = mv_req(fd, 0, 16, KVLIFT_REQ_WINDOW);
	r.op = KVLIFT_OP_PREFETCH;
	r.lease_ms = 0;
	IS(mv_ask(q, r).res, 0);
	set_lease_percent(3);
	l = get(0, most, KVLIFT_REQ_WINDOW);
	check_leased(&m, &l, 0, most, 1);
	OK(mv_release(q, &l));
	/* They get to the GPU all the same: one at a time. */
	set_lease_percent(0);
	r = mv_req(fd, 20, 6, MV_GPU);
	r.op = KVLIFT_OP_PREFETCH;
	r.lease_ms = 0;
	IS(mv_ask(q, r).res, 0);
	for (uint64_t i = 20; i < 26; i++)
		IS(kvt_tier(fd, i), KVLIFT_TIER_GPU);
	set_lease_percent(50);
	check_cpu(0, N, 1);
	teardown();
}

/* More blocks than slots, and more leases than may be. */
static void many(void)
{
	struct mv_lease l, keep[2];
	struct kvlift_req r;

	setup();
	for (int round = 0; round < 2; round++)
		for (uint64_t i = 0; i < N; i += 4) {
			if (round && i % 8 == 0)
				gpu_writes(i, 4, MV_GPU, 2);
			l = get(i, 4, MV_GPU);
			check_leased(&m, &l, i, 4, round && i % 8 == 0 ? 2 : 1);
			OK(mv_release(q, &l));
		}
	CHECK(mv_count_gpu(fd, N, -1) > 0 && mv_count_gpu(fd, N, -1) <= SLOTS,
	      "%u blocks in %u slots", mv_count_gpu(fd, N, -1), SLOTS);
	CHECK(MV_INFO(&m, used) <= SLOTS);
	keep[0] = get(0, 4, MV_GPU);
	keep[1] = get(4, 4, MV_GPU);
	check_leased(&m, &keep[0], 0, 4, 2);
	check_leased(&m, &keep[1], 4, 4, 1);
	IS(get(8, 1, MV_GPU).res, -EAGAIN);
	IS(get(8, 9, MV_GPU).res, -EDQUOT);
	/* What is leased stays while everything else comes and goes. */
	for (uint64_t i = 8; i < N; i += 4) {
		r = mv_req(fd, i, 4, MV_GPU);
		r.op = KVLIFT_OP_PREFETCH;
		r.lease_ms = 0;
		IS(mv_ask(q, r).res, 0);
	}
	for (uint64_t i = 0; i < 2; i++) {
		check_leased(&m, &keep[i], i * 4, 4, i ? 1 : 2);
		check_home(&m, &keep[i], i * 4, 4);
		OK(mv_release(q, &keep[i]));
	}
	l = get(8, 4, MV_GPU);
	check_leased(&m, &l, 8, 4, 2);
	OK(mv_release(q, &l));
	/* Over by itself. */
	r = mv_req(fd, 0, 8, MV_GPU);
	r.lease_ms = 200;
	l = mv_ask(q, r);
	IS(l.res, 0);
	CHECK(MV_UNTIL(5000, !(l = get(8, 4, MV_GPU)).res));
	OK(mv_release(q, &l));
	for (uint64_t i = 0; i < N; i += 4)
		check_cpu(i, 4, i % 8 ? 1 : 2);
	teardown();
}

/* Blocks in the GPU are punched, cut off and deleted, leased ones, too. */
static void vanish(void)
{
	struct mv_lease l[3];
	uint64_t before;

	OK(kvt_info(dir, &info));
	before = info.used;
	setup();
	for (uint64_t i = 16; i < 24; i += 4) {
		l[0] = get(i, 4, MV_GPU | (i % 8 ? KVLIFT_REQ_EXCLUSIVE : 0));
		OK(mv_release(q, &l[0]));
	}
	punch(17, 1);
	punch(21, 1);
	zero(17, 1);
	zero(21, 1);
	check_cpu(16, 1, 1);
	check_cpu(20, 1, 1);
	l[0] = get(0, 4, MV_GPU);
	l[1] = get(4, 2, MV_GPU | KVLIFT_REQ_WRITE);
	l[2] = get(6, 2, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	for (int i = 0; i < 3; i++)
		IS(l[i].res, 0);
	punch(1, 1);
	punch(4, 1);
	punch(6, 1);
	zero(1, 1);
	zero(4, 1);
	zero(6, 1);
	check_cpu(0, 1, 1);
	check_cpu(2, 1, 1);
	munmap(map, N * bs);
	OK(ftruncate(fd, (off_t)(3 * bs)));
	for (int i = 0; i < 3; i++) {
		int rc = mv_release(q, &l[i]);

		CHECK(!rc || errno == ETIME || errno == ENOENT, "release: %s",
		      strerror(errno));
	}
	OK(ftruncate(fd, (off_t)(N * bs)));
	map = MUST(mmap(NULL, N * bs, MV_RW, MAP_SHARED, fd, 0));
	zero(3, N - 3);
	check_cpu(0, 1, 1);
	check_cpu(2, 1, 1);
	CHECK(MV_UNTIL(10000, MV_INFO(&m, used) <= 3), "%llu slots used",
	      MV_INFO(&m, used));
	/* The whole file, leased, and no name or descriptor left. */
	l[0] = get(0, 3, MV_GPU);
	IS(l[0].res, 0);
	rm_file("m");
	OK(mv_release(q, &l[0]));
	CHECK(MV_UNTIL(10000, !MV_INFO(&m, used)), "%llu slots used",
	      MV_INFO(&m, used));
	close(q);
	mv_close(&m);
	CHECK(MV_UNTIL(10000, !kvt_info(dir, &info) && info.used == before),
	      "%llu blocks used", (unsigned long long)info.used);
}

/* A lease of memory brings a block back from the GPU. */
static void dram(void)
{
	int plain = MUST(ioctl(dir, KVLIFT_IOC_QUEUE));
	struct kvlift_req r;
	struct mv_lease l;

	setup();
	gpu_writes(0, 2, MV_GPU, 2);
	l = get(2, 2, MV_GPU);
	OK(mv_release(q, &l));
	r = mv_req(fd, 0, 4, 0);
	r.tier = KVLIFT_TIER_DRAM;
	l = mv_ask(plain, r);
	IS(l.res, 0);
	for (uint64_t i = 0; i < 4 && !l.res; i++) {
		IS(kvt_tier(fd, i), KVLIFT_TIER_DRAM);
		CHECK(l.word[i] & KVLIFT_LEASED_MEMORY);
	}
	check_cpu(0, 2, 2);
	check_cpu(2, 2, 1);
	OK(mv_release(plain, &l));
	/* And those who only want it in memory. */
	gpu_writes(4, 2, MV_GPU, 3);
	for (uint64_t i = 4; i < 6; i++) {
		kvt_demote(fd, i, 1);
		CHECK(MV_UNTIL(10000, kvt_tier(fd, i) > KVLIFT_TIER_GPU),
		      "not demoted from the GPU");
	}
	check_cpu(4, 2, 3);
	close(plain);
	teardown();
}

static void sealed(void)
{
	struct kvlift_seal s = { .flags = KVLIFT_SEAL_FILE };
	struct mv_lease l;
	int rw;

	setup();
	munmap(map, N * bs);
	OK(ioctl(fd, KVLIFT_IOC_SEAL, &s));
	rw = fd;
	fd = MUST(open("m", O_RDONLY));
	map = MUST(mmap(NULL, N * bs, PROT_READ, MAP_SHARED, fd, 0));
	l = get(0, 8, MV_GPU);
	check_leased(&m, &l, 0, 8, 1);
	check_cpu(0, 8, 1);
	CHECK(mv_acquire(q, rw, 10, 1, MV_GPU | KVLIFT_REQ_WRITE).res < 0,
	      "a write lease of what is sealed");
	CHECK(mv_acquire(q, rw, 10, 1, KVLIFT_REQ_WINDOW).res < 0,
	      "sealed content where the owner of the window can write");
	check_leased(&m, &l, 0, 8, 1);
	/* What the GPU did to its copy is nobody's concern. */
	memset(m.gpu, 0xee, SLOTS * bs);
	close(rw);
	close(q);
	mv_close(&m);
	CHECK(MV_UNTIL(5000, !mv_count_gpu(fd, N, -1)));
	check_cpu(0, N, 1);
	rm_file("m");
}

static const struct gpu_test tests[] = {
	{ "reading", reading },	  { "writing", writing },
	{ "conflict", conflict }, { "exclusive", exclusive },
	{ "fresh", fresh },	  { "window", window },
	{ "caps", caps },	  { "cxl", cxl },
	{ "many", many },	  { "vanish", vanish },
	{ "dram", dram },	  { "sealed", sealed },
};

int main(int argc, char **argv)
{
	return gpu_run("gpublocks", tests, sizeof(tests) / sizeof(*tests), argc,
		       argv);
}
