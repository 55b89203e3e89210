// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Windows that are registered, as a GPU's driver does it (io_uring's buffers
 * are pinned by the same call), blocks that are pinned where they are, blocks
 * that go from one GPU to another, a dma-buf, and windows that somebody holds.
 */
#include "kvtgpu.h"
#include "kvturing.h"

/* Longest time of a command for starve(), ms. */
#define STARVE (800 * mv_slow())

/* The pins of a registration are known, so blocks come and go around it. */
static void registered(void)
{
	struct ring r;
	struct mv_lease l;
	int err;

	mk_file("m");
	err = mv_attach(&m, dir, SLOTS, WIN, 0);
	if (err)
		kvt_die("KVLIFT_IOC_MOVER: %s", strerror(-err));
	mv_map(&m);
	if (!ring_open(&r)) {
		printf("gpupins: no io_uring here: %s\n", strerror(errno));
		mv_close(&m);
		rm_file("m");
		return;
	}
	/* In two pieces, as a large one would be; one slot is kept for copies. */
	OK(ring_register(&r, m.win, 4 * m.bs));
	OK(mv_ready(&m, 0, 4));
	mv_start(&m);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	for (uint64_t i = 0; i < N; i += 4) {
		l = get(i, 2, KVLIFT_REQ_WINDOW);
		check_leased(&m, &l, i, 2, 1);
		OK(mv_release(q, &l));
		l = get(i + 2, 2, MV_GPU);
		check_leased(&m, &l, i + 2, 2, 1);
		OK(mv_release(q, &l));
	}
	check_cpu(0, N, 1);
	/* Its pins are gone: what is there is held until the window is. */
	OK(ring_unregister(&r));
	ring_close(&r);
	OK(mv_ready(&m, 4, WIN - 4));
	l = get(0, 2, KVLIFT_REQ_WINDOW);
	check_leased(&m, &l, 0, 2, 1);
	OK(mv_release(q, &l));
	teardown();
}

/* Still registered when the attachment ends, as a driver may be late. */
static void late_unpin(void)
{
	struct mv_lease l;
	struct ring r;

	mk_file("m");
	if (mv_attach(&m, dir, SLOTS, WIN, 0))
		kvt_die("KVLIFT_IOC_MOVER");
	mv_map(&m);
	if (!ring_open(&r)) {
		mv_close(&m);
		rm_file("m");
		return;
	}
	OK(ring_register(&r, m.win, WIN * m.bs));
	OK(mv_ready(&m, 0, WIN));
	mv_start(&m);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	l = get(0, 2, KVLIFT_REQ_WINDOW);
	IS(l.res, 0);
	OK(mv_release(q, &l));
	close(q);
	mv_close(&m);
	check_cpu(0, N, 1);
	/* A slot that is pinned is nobody's, and a block that is stays. */
	for (uint64_t i = 2; i < N; i++)
		kvt_demote(fd, i, 1);
	check_cpu(0, N, 1);
	OK(ring_unregister(&r));
	ring_close(&r);
	check_cpu(0, N, 1);
	rm_file("m");
}

static uint64_t pinned(void)
{
	struct kvlift_domain d = { 0 };

	OK(ioctl(dir, KVLIFT_IOC_DOMAIN_GET, &d));
	return d.pinned;
}

/* Blocks for a device, where they are: capped, visible, and not for ever. */
static void pin(void)
{
	int plain = OK(ioctl(dir, KVLIFT_IOC_QUEUE));
	struct kvlift_req r;
	struct mv_lease l;
	uint64_t was = pinned();

	mk_file("m");
	r = mv_req(fd, 0, 8, KVLIFT_REQ_PIN);
	ERR(mv_submit(plain, &r, 1), EINVAL); /* it has no end */
	r.lease_ms = 0;
	l = mv_ask(plain, r);
	IS(l.res, 0);
	IS(pinned(), was + 8);
	kvt_demote(fd, 0, N);
	kvt_msleep(200);
	for (uint64_t i = 0; i < 8; i++)
		CHECK(kvt_tier(fd, i) <= KVLIFT_TIER_CXL &&
			      kvt_tier(fd, i) >= KVLIFT_TIER_DRAM,
		      "block %" PRIu64 " moved", i);
	check_cpu(0, N, 1);
	OK(mv_release(plain, &l));
	IS(pinned(), was);
	/* More than the domain may pin: nothing is. */
	OK(ftruncate(fd, (off_t)(KVLIFT_REQ_MAX_BLOCKS * bs)));
	r = mv_req(fd, 0, KVLIFT_REQ_MAX_BLOCKS, KVLIFT_REQ_PIN);
	r.lease_ms = 0;
	IS(mv_ask(plain, r).res, -EDQUOT);
	IS(pinned(), was);
	r.op = KVLIFT_OP_PREFETCH;
	ERR(mv_submit(plain, &r, 1), EINVAL);
	/* Closed with the pin. */
	r = mv_req(fd, 0, 8, KVLIFT_REQ_PIN);
	r.lease_ms = 0;
	IS(mv_ask(plain, r).res, 0);
	close(plain);
	CHECK(MV_UNTIL(5000, pinned() == was), "%" PRIu64 " pinned", pinned());
	rm_file("m");
}

/* Two GPUs of a process: with a way between them memory is not passed. */
static void peers(void)
{
	static struct mv other;
	struct kvlift_mover_info i;
	struct mv_lease l;
	uint32_t mask;
	uint64_t out;
	int q2;

	setup();
	mv_open(&other, dir, SLOTS, WIN, 0);
	other.peer = &m;
	q2 = OK(ioctl(other.fd, KVLIFT_IOC_QUEUE));
	mask = 1u << other.att.member;
	ERR(ioctl(other.fd, KVLIFT_IOC_MOVER_PEERS, &mask), ENXIO);
	mask = 1u << 31;
	ERR(ioctl(other.fd, KVLIFT_IOC_MOVER_PEERS, &mask), ENXIO);
	gpu_writes(0, 6, MV_GPU, 2);
	/* By memory first. */
	l = mv_acquire(q2, fd, 0, 2, MV_GPU);
	check_leased(&other, &l, 0, 2, 2);
	OK(mv_release(q2, &l));
	IS(other.nr_peer, 0);
	out = m.nr_out;
	mask = 1u << m.att.member;
	OK(ioctl(other.fd, KVLIFT_IOC_MOVER_PEERS, &mask));
	l = mv_acquire(q2, fd, 2, 4, MV_GPU);
	check_leased(&other, &l, 2, 4, 2);
	IS(mv_count_gpu(fd, N, (int)other.att.member), 6);
	IS(other.nr_peer, 4);
	IS(m.nr_out, out);
	OK(mv_release(q2, &l));
	check_cpu(0, 6, 2);
	/* Leased there for reading it may be had here, too. */
	l = get(10, 2, MV_GPU);
	{
		struct mv_lease k = mv_acquire(q2, fd, 10, 2, MV_GPU);

		check_leased(&other, &k, 10, 2, 1);
		check_leased(&m, &l, 10, 2, 1);
		OK(mv_release(q2, &k));
	}
	OK(mv_release(q, &l));
	/* One that has ended is no peer, and its successor is not by itself. */
	close(q);
	mv_close(&m);
	CHECK(MV_UNTIL(5000, !mv_count_gpu(fd, N, (int)m.att.member)));
	mv_open(&m, dir, SLOTS, WIN, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	out = other.nr_peer;
	l = get(20, 2, MV_GPU);
	OK(mv_release(q, &l));
	l = mv_acquire(q2, fd, 20, 2, MV_GPU);
	check_leased(&other, &l, 20, 2, 1);
	OK(mv_release(q2, &l));
	IS(other.nr_peer, out);
	OK(mv_info(&other, &i));
	IS(i.lost, 0);
	close(q2);
	mv_close(&other);
	teardown();
}

static void not_mine(void)
{
	uint32_t mask;
	int ready[2], done[2];
	char c = 0;
	pid_t pid;

	MUST(pipe(ready));
	MUST(pipe(done));
	pid = MUST(fork());
	if (!pid) {
		setup();
		MUST(write(ready[1], &m.att.member, 1));
		IS(read(done[0], &c, 1), 1);
		teardown();
		_exit(kvt_fails != 0);
	}
	IS(read(ready[0], &c, 1), 1);
	{
		static struct mv mine;

		mv_open(&mine, dir, SLOTS, WIN, 0);
		mask = 1u << c;
		ERR(ioctl(mine.fd, KVLIFT_IOC_MOVER_PEERS, &mask), EPERM);
		mv_close(&mine);
	}
	MUST(write(done[1], &c, 1));
	{
		int status;

		MUST(waitpid(pid, &status, 0));
		IS(status, 0);
	}
}

/* The kernel copies: no mover, and so nobody to wait for. */
static void dmabuf(void)
{
	struct mv_lease l;

	mk_file("m");
	if (!mv_open_dmabuf(&m, dir, SLOTS)) {
		printf("gpupins: no /dev/udmabuf\n");
		rm_file("m");
		return;
	}
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	l = get(0, 8, MV_GPU);
	check_leased(&m, &l, 0, 8, 1);
	check_home(&m, &l, 0, 8);
	OK(mv_release(q, &l));
	gpu_writes(4, 4, MV_GPU, 2);
	check_cpu(0, 4, 1);
	check_cpu(4, 4, 2);
	gpu_writes(8, 4, MV_GPU | KVLIFT_REQ_EXCLUSIVE, 3);
	for (uint64_t i = 12; i < N; i += 4) {
		l = get(i, 4, MV_GPU);
		check_leased(&m, &l, i, 4, 1);
		OK(mv_release(q, &l));
	}
	check_cpu(8, 4, 3);
	check_cpu(12, N - 12, 1);
	ERR(mv_ready(&m, 0, 1), ENOTTY);
	IS(mv_acquire(q, fd, 0, 1, KVLIFT_REQ_WINDOW).res, -EINVAL);
	CHECK(mv_drain(&m, 10000));
	close(q);
	mv_close(&m);
	check_cpu(4, 4, 2);
	rm_file("m");
}

/* Somebody holds a page of each slot of the window, once it was used. */
static void hold_window(int end[2])
{
	MUST(pipe(end));
	for (uint64_t i = 0; i < WIN; i++) {
		struct iovec v = { m.win + i * bs, 4096 };

		IS(vmsplice(end[1], &v, 1, 0), 4096);
	}
	for (uint64_t i = 0; i < WIN; i++)
		gpu_writes(i, 1, MV_GPU, 2);
	IS(MV_INFO(&m, window_free), 0);
}

static void let_go(int end[2])
{
	close(end[0]);
	close(end[1]);
}

static void *lets_go(void *end)
{
	usleep(STARVE / 2 * 1000);
	let_go(end);
	return NULL;
}

static void starve_for(bool too_long)
{
	uint64_t start = kvt_now_ns();
	pthread_t thread;
	int end[2];

	hold_window(end);
	if (!too_long) {
		if (pthread_create(&thread, NULL, lets_go, end))
			kvt_die("pthread_create");
		check_cpu(0, WIN, 2);
		pthread_join(thread, NULL);
		IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
		return;
	}
	for (uint64_t i = 0; i < WIN; i++) {
		ERR(pread(fd, buf, bs, (off_t)(i * bs)), EIO);
		CHECK(kvt_loc(fd, i) & KVLIFT_LOC_ERROR);
	}
	start = (kvt_now_ns() - start) / 1000000;
	CHECK(start < 2 * STARVE + 2000 * mv_slow(), "%" PRIu64 " ms", start);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_FAILED);
	IS(MV_INFO(&m, lost), WIN);
	let_go(end);
}

/*
 * No slot of the window comes back: who wants a block that only the GPU has
 * waits for twice the deadline, and the attachment has failed. Sooner it has
 * not.
 */
static void starve(void)
{
	mk_file("m");
	mv_open(&m, dir, SLOTS, WIN, STARVE);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	starve_for(false);
	starve_for(true);
	check_cpu(WIN, N - WIN, 1);
	teardown();
}

static const struct gpu_test tests[] = {
	{ "registered", registered },
	{ "late-unpin", late_unpin },
	{ "pin", pin },
	{ "peers", peers },
	{ "not-mine", not_mine },
	{ "dmabuf", dmabuf },
	{ "starve", starve },
};

int main(int argc, char **argv)
{
	return gpu_run("gpupins", tests, sizeof(tests) / sizeof(*tests), argc,
		       argv);
}
