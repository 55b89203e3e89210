// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Attachments of movers: who may have one and how large, rings and window,
 * what requests are refused, drain, two of them, and what the mover itself
 * must not wait for. Faulty movers are in moverfault.c, blocks in gpublocks.c.
 *
 *	mover DIR [TEST...]
 *	mover DIR nodram	on a pool without DRAM none can attach
 *	mover DIR cxlfull	on a pool of DRAM and CXL memory alone, which is
 *filled
 */
#include "kvtgpu.h"

#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

static void become(uid_t uid)
{
	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(setresgid(uid, uid, uid));
	MUST(setresuid(uid, uid, uid));
}

static struct kvlift_mover good(void)
{
	return (struct kvlift_mover){
		.dmabuf = -1,
		.slots = SLOTS,
		.window = WIN,
		.name = "H200-0",
	};
}

static int attach_to(int at, struct kvlift_mover *a)
{
	return ioctl(at, KVLIFT_IOC_MOVER, a);
}

static void bad_fields(void)
{
	struct kvlift_mover a;

#define BAD(field, value)                        \
	do {                                     \
		a = good();                      \
		a.field = (value);               \
		ERR(attach_to(dir, &a), EINVAL); \
	} while (0)
	BAD(flags, 2);
	BAD(depth, 3);
	BAD(depth, 2 * KVLIFT_MOVER_DEPTH_MAX);
	BAD(deadline_ms, KVLIFT_MOVER_DEADLINE_MAX_MS + 1);
	BAD(dmabuf, 5);
	BAD(slots, 0);
	BAD(slots, KVLIFT_MOVER_SLOTS_MAX + 1);
	BAD(window, 0);
	BAD(window, KVLIFT_MOVER_WINDOW_MAX + 1);
	BAD(pad, 1);
	BAD(window_cxl, KVLIFT_MOVER_WINDOW_MAX - WIN + 1);
	BAD(window_cxl, UINT64_MAX);
	BAD(reserved[0], 1);
	BAD(reserved[2], 1);
	a = good();
	memset(a.name, 'x', sizeof(a.name));
	ERR(attach_to(dir, &a), EINVAL);
	/* No descriptor, not a dma-buf, and a window where there is none. */
	a = good();
	a.flags = KVLIFT_MOVER_DMABUF;
	a.window = 0;
	CHECK(attach_to(dir, &a) == -1 &&
	      (errno == EBADF || errno == EINVAL || errno == EOPNOTSUPP));
	a.dmabuf = dir;
	CHECK(attach_to(dir, &a) == -1 &&
	      (errno == EINVAL || errno == EOPNOTSUPP));
	a.window = WIN;
	CHECK(attach_to(dir, &a) == -1 &&
	      (errno == EINVAL || errno == EOPNOTSUPP));
	a.window = 0;
	a.window_cxl = WIN;
	ERR(attach_to(dir, &a), EINVAL);
	ERR(ioctl(dir, KVLIFT_IOC_MOVER, (void *)8), EFAULT);
	a = good();
	ERR(attach_to(fd, &a), ENOTTY);
}

static void who_may(void)
{
	struct kvlift_mover a = good();

	IN_CHILD(become(1001); ERR(attach_to(dir, &a), EACCES));
	MUST(mkdir("own", 0755));
	MUST(chown("own", 1001, 1001));
	IN_CHILD(become(1001); close(OK(
		attach_to(OK(open("own", O_RDONLY | O_DIRECTORY)), &a))));
	MUST(rmdir("own"));
}

static void too_large(void)
{
	uint64_t dram = mv_dram_slots(dir);
	struct kvlift_mover a = good();
	struct kvlift_domain d, old;
	uint64_t cxl;

	/* Half of the tier may be pinned. */
	a.window = dram / 2 + 1;
	ERR(attach_to(dir, &a), EDQUOT);
	memset(&d, 0, sizeof(d));
	MUST(ioctl(dir, KVLIFT_IOC_DOMAIN_GET, &d));
	old = d;
	d.pin_percent = 100;
	OK(ioctl(dir, KVLIFT_IOC_DOMAIN_SET, &d));
	a.window = dram;
	ERR(attach_to(dir, &a), ENOSPC);
	d.pin_percent = 0;
	OK(ioctl(dir, KVLIFT_IOC_DOMAIN_SET, &d));
	a = good();
	a.window = 1;
	ERR(attach_to(dir, &a), EDQUOT);
	OK(ioctl(dir, KVLIFT_IOC_DOMAIN_SET, &old));
	/* The same of the other part of the window. */
	cxl = mv_cxl_slots(dir);
	a.window_cxl = cxl / 2 + 1;
	ERR(attach_to(dir, &a), cxl ? EDQUOT : EOPNOTSUPP);
	/* What the first part had counted is given back. */
	a = good();
	a.window = dram / 2;
	a.window_cxl = cxl / 2 + 1;
	ERR(attach_to(dir, &a), cxl ? EDQUOT : EOPNOTSUPP);
	a = good();
	close(OK(attach_to(dir, &a)));
}

/* Who may do everything else has a limit of its own. */
static void per_user(void)
{
	int fds[KVLIFT_MOVER_PER_USER];
	struct kvlift_mover a = good();

	if (mv_dram_slots(dir) < 4 * KVLIFT_MAX_MEMBERS)
		return;
	MUST(mkdir("own", 0755));
	MUST(chown("own", 1001, 1001));
	a.slots = 1;
	a.window = 1;
	IN_CHILD({
		int own, other = OK(attach_to(dir, &a));

		become(1001);
		own = OK(open("own", O_RDONLY | O_DIRECTORY));
		for (unsigned int i = 0; i < KVLIFT_MOVER_PER_USER; i++)
			fds[i] = OK(attach_to(own, &a));
		ERR(attach_to(own, &a), EUSERS);
		close(fds[3]);
		fds[3] = OK(attach_to(own, &a));
		ERR(attach_to(own, &a), EUSERS);
		close(other);
	});
	MUST(rmdir("own"));
}

static void too_many(void)
{
	int fds[KVLIFT_MAX_MEMBERS + 1];
	struct kvlift_mover a;
	uint32_t seen = 0;

	if (mv_dram_slots(dir) < 4 * KVLIFT_MAX_MEMBERS)
		return;
	for (unsigned int i = 0; i < KVLIFT_MAX_MEMBERS; i++) {
		a = good();
		a.slots = 1;
		a.window = 1;
		fds[i] = OK(attach_to(dir, &a));
		CHECK(!(seen & 1u << a.member), "member %u twice", a.member);
		seen |= 1u << a.member;
	}
	IS(seen, UINT32_MAX);
	a = good();
	ERR(attach_to(dir, &a), EUSERS);
	for (unsigned int i = 0; i < KVLIFT_MAX_MEMBERS; i++)
		close(fds[i]);
	OK(kvt_info(dir, &info));
}

static void attach(void)
{
	struct kvlift_mover a = good();
	struct kvlift_mover_ring *r;
	struct kvlift_member mem;
	int at;

	mk_file("m");
	OK(kvt_info(dir, &info));
	CHECK(info.features & KVLIFT_F_GPU);
	bad_fields();
	who_may();
	too_large();
	too_many();
	per_user();
	at = OK(attach_to(dir, &a));
	IS(a.depth, KVLIFT_MOVER_DEPTH);
	IS(a.deadline_ms, KVLIFT_MOVER_DEADLINE_MS);
	IS(a.member, 0);
	IS(a.slots, SLOTS);
	CHECK(a.window_offset % 4096 == 0 && a.window_offset >= a.ring_bytes);
	CHECK(a.ring_bytes > KVLIFT_MOVER_DEPTH * sizeof(struct kvlift_cmd));
	CHECK(fcntl(at, F_GETFD) & FD_CLOEXEC);
	mem = (struct kvlift_member){ .tier = KVLIFT_TIER_GPU };
	OK(ioctl(dir, KVLIFT_IOC_MEMBER, &mem));
	IS(mem.got, SLOTS);
	IS(mem.used, 0);
	CHECK(!strcmp(mem.name, "H200-0"), "name %s", mem.name);
	r = OK(mmap(NULL, a.ring_bytes, MV_RW, MAP_SHARED, at, 0));
	IS(r->state, KVLIFT_MOVER_LIVE);
	CHECK(r->sq_entries >= a.depth &&
	      !(r->sq_entries & (r->sq_entries - 1)));
	CHECK(r->cq_entries >= a.depth &&
	      !(r->cq_entries & (r->cq_entries - 1)));
	CHECK(r->sq_offset + r->sq_entries * sizeof(struct kvlift_cmd) <=
	      a.ring_bytes);
	CHECK(r->cq_offset + r->cq_entries * sizeof(struct kvlift_done) <=
	      a.ring_bytes);
	CHECK(!r->sq_tail && !r->sq_head && !r->cq_tail && !r->cq_head);
	/* The rest of the space between and behind is nobody's. */
	CHECK(mmap(NULL, 4096, MV_RW, MAP_SHARED, at,
		   (off_t)(a.window_offset + WIN * bs)) == MAP_FAILED);
	munmap(r, a.ring_bytes);
	close(at);
	/* The deadline and the depth that were asked for. */
	a = good();
	a.depth = 1;
	a.deadline_ms = KVLIFT_MOVER_DEADLINE_MAX_MS;
	at = OK(attach_to(dir, &a));
	IS(a.member, 0);
	IS(a.depth, 1);
	IS(a.deadline_ms, KVLIFT_MOVER_DEADLINE_MAX_MS);
	close(at);
	rm_file("m");
}

static void ready(void)
{
	struct kvlift_mover_enter e = { .flags = 2 };
	struct kvlift_mover_ready r = { .count = 1, .reserved = { 1 } };
	uint64_t end;
	uint32_t n = 9;

	IS(mv_attach(&m, dir, SLOTS, WIN, 0), 0);
	mv_map(&m);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	IS(MV_INFO(&m, slots), SLOTS);
	IS(MV_INFO(&m, window), WIN);
	IS(MV_INFO(&m, window_ready), 0);
	ERR(ioctl(m.fd, KVLIFT_IOC_MOVER_READY, &r), EINVAL);
	ERR(mv_ready(&m, 0, 0), EINVAL);
	OK(mv_ready(&m, 0, 3));
	ERR(mv_ready(&m, 2, 2), EALREADY);
	IS(MV_INFO(&m, window_ready), 3);
	OK(mv_ready(&m, 3, 1));
	ERR(mv_ready(&m, WIN - 1, 2), ENXIO);
	ERR(mv_ready(&m, WIN, 1), ENXIO);
	ERR(mv_ready(&m, UINT64_MAX, 2), ENXIO);
	OK(mv_ready(&m, 4, WIN - 4));
	IS(MV_INFO(&m, window_ready), WIN);
	IS(MV_INFO(&m, window_free), WIN);
	/* Nothing to do. In a child: it counts as a mover from then on. */
	IN_CHILD(ERR(ioctl(m.fd, KVLIFT_IOC_MOVER_ENTER, &e), EINVAL);
		 e = (struct kvlift_mover_enter){ .reserved = { 1 } };
		 ERR(ioctl(m.fd, KVLIFT_IOC_MOVER_ENTER, &e), EINVAL);
		 OK(mv_enter(&m, 0, 0, &n)); IS(n, 0); end = kvt_now_ns();
		 OK(mv_enter(&m, KVLIFT_MOVER_WAIT, 100, &n)); IS(n, 0);
		 end = kvt_now_ns() - end;
		 CHECK(end > 90000000 && end < 10000000000u, "%" PRIu64 " ns",
		       end));
	mv_close(&m);
}

static void rights(void)
{
	int ro, plain = MUST(ioctl(dir, KVLIFT_IOC_QUEUE));
	struct kvlift_req r;
	struct mv_lease l;

	setup();
	ro = MUST(open("m", O_RDONLY));
#define REFUSED(queue, desc, fl, err)              \
	do {                                       \
		r = mv_req(desc, 0, 1, fl);        \
		ERR(mv_submit(queue, &r, 1), err); \
	} while (0)
	REFUSED(q, ro, KVLIFT_REQ_WINDOW, EACCES);
	REFUSED(q, ro, MV_GPU | KVLIFT_REQ_WRITE, EACCES);
	REFUSED(q, ro, MV_GPU | KVLIFT_REQ_EXCLUSIVE, EACCES);
	REFUSED(q, ro, MV_GPU | KVLIFT_REQ_WRITE | KVLIFT_REQ_NEW, EACCES);
	REFUSED(q, fd, MV_GPU | KVLIFT_REQ_WINDOW, EINVAL);
	REFUSED(q, fd, KVLIFT_REQ_WRITE, EINVAL);
	REFUSED(q, fd, KVLIFT_REQ_EXCLUSIVE, EINVAL);
	REFUSED(q, fd, KVLIFT_REQ_WINDOW | KVLIFT_REQ_EXCLUSIVE, EINVAL);
	REFUSED(q, fd, MV_GPU | KVLIFT_REQ_NEW, EINVAL);
	REFUSED(q, fd, KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE | KVLIFT_REQ_NEW,
		EINVAL);
	REFUSED(q, fd, MV_GPU | 1u << 5, EINVAL);
	REFUSED(q, fd, MV_GPU | 1u << 31, EINVAL);
	REFUSED(plain, fd, MV_GPU, EINVAL);
	REFUSED(plain, fd, KVLIFT_REQ_WINDOW, EINVAL);
	r = mv_req(fd, 0, 1, MV_GPU);
	r.tier = KVLIFT_TIER_DRAM;
	ERR(mv_submit(q, &r, 1), EINVAL);
	r = mv_req(fd, 0, 1, MV_GPU | KVLIFT_REQ_WRITE);
	r.op = KVLIFT_OP_PREFETCH;
	r.lease_ms = 0;
	ERR(mv_submit(q, &r, 1), EINVAL);
	IS(get(N, 1, MV_GPU).res, -ENXIO);
	IS(get(N - 1, 2, MV_GPU).res, -ENXIO);
	/* Who may read may have it in the GPU. */
	l = mv_acquire(q, ro, 5, 2, MV_GPU);
	check_leased(&m, &l, 5, 2, 1);
	OK(mv_release(q, &l));
	/* A queue of an attachment is a queue, too. */
	l = get(6, 1, 0);
	IS(l.res, 0);
	CHECK(l.word[0] & KVLIFT_LEASED_MEMORY);
	OK(mv_release(q, &l));
	close(ro);
	close(plain);
	teardown();
}

static void drain(void)
{
	struct mv_lease l;
	uint64_t left = 0;

	setup();
	l = get(0, 4, MV_GPU);
	OK(mv_release(q, &l));
	gpu_writes(4, 4, MV_GPU, 2);
	l = get(8, 2, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	OK(mv_release(q, &l));
	l = get(12, 1, MV_GPU);
	OK(ioctl(m.fd, KVLIFT_IOC_MOVER_DRAIN, &left));
	CHECK(left >= 1);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_DRAINING);
	kvt_msleep(300);
	check_leased(&m, &l, 12, 1, 1);
	OK(ioctl(m.fd, KVLIFT_IOC_MOVER_DRAIN, &left));
	CHECK(left >= 1, "the leased one has gone");
	OK(mv_release(q, &l));
	CHECK(get(20, 1, MV_GPU).res < 0, "something new went there");
	CHECK(mv_drain(&m, 20000), "%llu slots used", MV_INFO(&m, used));
	IS(MV_INFO(&m, used), 0);
	IS(mv_count_gpu(fd, N, -1), 0);
	close(q);
	mv_close(&m);
	check_cpu(0, 4, 1);
	check_cpu(4, 4, 2);
	check_cpu(8, N - 8, 1);
	rm_file("m");
}

/* Two of them: a block goes to the one that it is asked for on. */
static void two(void)
{
	struct mv other;
	struct mv_lease l;
	uint32_t first, generation;
	int q2;

	setup();
	first = m.att.member;
	generation = m.generation;
	mv_open(&other, dir, SLOTS, 2, 0);
	q2 = OK(ioctl(other.fd, KVLIFT_IOC_QUEUE));
	CHECK(other.att.member != first);
	gpu_writes(0, 2, MV_GPU, 2);
	l = get(2, 2, MV_GPU);
	OK(mv_release(q, &l));
	l = mv_acquire(q2, fd, 0, 2, MV_GPU);
	check_leased(&other, &l, 0, 2, 2);
	check_home(&other, &l, 0, 2);
	OK(mv_release(q2, &l));
	l = mv_acquire(q2, fd, 2, 2, MV_GPU);
	check_leased(&other, &l, 2, 2, 1);
	check_home(&other, &l, 2, 2);
	OK(mv_release(q2, &l));
	IS(mv_count_gpu(fd, N, (int)other.att.member), 4);
	l = get(0, 4, MV_GPU);
	check_leased(&m, &l, 0, 2, 2);
	check_home(&m, &l, 0, 4);
	OK(mv_release(q, &l));
	/* One goes, the other one stays. */
	close(q2);
	mv_close(&other);
	check_cpu(0, 2, 2);
	check_cpu(2, 10, 1);
	l = get(0, 4, MV_GPU);
	check_leased(&m, &l, 0, 2, 2);
	OK(mv_release(q, &l));
	check_cpu(0, 2, 2);
	close(q);
	mv_close(&m);
	mv_open(&m, dir, SLOTS, WIN, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	IS(m.att.member, first);
	CHECK(m.generation != generation, "%#x again", generation);
	l = get(2, 4, MV_GPU);
	check_leased(&m, &l, 2, 4, 1);
	OK(mv_release(q, &l));
	teardown();
}

/* A queue may be there longer than what it belongs to. */
static void outlives(void)
{
	struct mv_lease l, other;

	mk_file("m");
	mv_open(&m, dir, SLOTS, WIN, 500 * mv_slow());
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	l = get(0, 2, MV_GPU);
	check_leased(&m, &l, 0, 2, 1);
	mv_close(&m);
	other = get(5, 1, MV_GPU);
	CHECK(other.res < 0, "a lease of nothing");
	check_cpu(0, 2, 1);
	mv_release(q, &l);
	close(q);
	CHECK(MV_UNTIL(5000, !mv_count_gpu(fd, N, -1)));
	check_cpu(0, N, 1);
	rm_file("m");
}

/* The rings by hand: who is told what, and what a request says on its way. */
static void notify(void)
{
	struct pollfd p = { .events = POLLIN };
	struct kvlift_event e;
	uint64_t words[2], n;
	struct kvlift_req r;
	struct mv_lease l;
	uint32_t cmds;
	int efd;

	mk_file("m");
	IS(mv_attach(&m, dir, SLOTS, WIN, 0), 0);
	mv_map(&m);
	OK(mv_ready(&m, 0, WIN));
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	efd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	OK(ioctl(m.fd, KVLIFT_IOC_EVENTFD, &efd));
	p.fd = m.fd;
	IS(poll(&p, 1, 0), 0);
	r = mv_req(fd, 0, 2, MV_GPU);
	l = (struct mv_lease){ .cookie = r.cookie };
	IS(mv_submit(q, &r, 1), 1);
	IS(poll(&p, 1, 10000), 1);
	CHECK(MV_UNTIL(10000, read(efd, &n, sizeof(n)) == sizeof(n)));
	OK(mv_enter(&m, KVLIFT_MOVER_WAIT, 10000, &cmds));
	CHECK(cmds >= 1 && cmds <= 2, "%u commands", cmds);
	CHECK(MV_INFO(&m, inflight) >= 1);
	n = 2;
	ERR(mv_leased(q, r.cookie, words, &n), EBUSY);
	ERR(mv_release(q, &l), EBUSY);
	e.res = -EINPROGRESS;
	for (int i = 0; i < 100 && e.res == -EINPROGRESS; i++) {
		mv_serve(&m);
		OK(mv_enter(&m, 0, 0, NULL));
		e = mv_event(q, 100);
	}
	IS(e.res, 0);
	IS(poll(&p, 1, 0), 0);
	n = 1;
	ERR(mv_leased(q, r.cookie, words, &n), ENOSPC);
	n = 2;
	ERR(mv_leased(q, r.cookie + 1000, words, &n), ENOENT);
	ERR(mv_leased(q, r.cookie, (void *)8, &n), EFAULT);
	n = 2;
	OK(mv_leased(q, r.cookie, words, &n));
	memcpy(l.word, words, sizeof(words));
	check_leased(&m, &l, 0, 2, 1);
	OK(mv_release(q, &l));
	ERR(mv_leased(q, r.cookie, words, &n), ENOENT);
	efd = -1;
	OK(ioctl(m.fd, KVLIFT_IOC_EVENTFD, &efd));
	ERR(ioctl(m.fd, KVLIFT_IOC_INFO, &info), ENOTTY);
	ERR(ioctl(dir, KVLIFT_IOC_MOVER_INFO, &info), ENOTTY);
	teardown();
}

/* What the mover itself would have to bring it cannot wait for. */
static enum mv_do touches(struct mv *v, const struct kvlift_cmd *c,
			  int32_t *res)
{
	bool *done = v->arg;
	char b[64];

	if (*done || c->op != KVLIFT_CMD_IN || c->index != 20)
		return MV_COPY;
	*done = true;
	CHECK(!mv_load(b, map + 4 * bs, 1), "a load of what only the GPU has");
	CHECK(!mv_store(map + 4 * bs, 1), "a store to what only the GPU has");
	ERR(pread(fd, b, 64, (off_t)(4 * bs)), EDEADLK);
	/* With a copy below there is nothing to wait for. */
	CHECK(mv_load(b, map + 64, 64));
	CHECK_PATTERN(b, 64, 1, 64);
	IS(pread(fd, b, 64, (off_t)bs), 64);
	CHECK_PATTERN(b, 64, 1, bs);
	return MV_COPY;
}

static void deadlock(void)
{
	bool done = false;
	struct mv_lease l;

	setup();
	mv_catch();
	l = get(0, 2, MV_GPU);
	OK(mv_release(q, &l));
	gpu_writes(4, 2, MV_GPU, 2);
	m.arg = &done;
	m.hook = touches;
	l = get(20, 1, MV_GPU);
	check_leased(&m, &l, 20, 1, 1);
	OK(mv_release(q, &l));
	CHECK(done, "the mover did not come there");
	m.hook = NULL;
	/* Nothing is broken by that. */
	check_cpu(0, 2, 1);
	check_cpu(4, 2, 2);
	signal(SIGBUS, SIG_DFL);
	teardown();
}

struct helper {
	pthread_t thread;
	int err;
	sem_t entered, end;
};

static void *enters(void *arg)
{
	struct helper *h = arg;

	h->err = mv_enter(&m, 0, 0, NULL) ? errno : 0;
	sem_post(&h->entered);
	sem_wait(&h->end);
	return NULL;
}

static int helper_begin(struct helper *h)
{
	MUST(sem_init(&h->entered, 0, 0));
	MUST(sem_init(&h->end, 0, 0));
	if (pthread_create(&h->thread, NULL, enters, h))
		kvt_die("pthread_create");
	while (sem_wait(&h->entered))
		;
	return h->err;
}

static void helper_end(struct helper *h)
{
	sem_post(&h->end);
	pthread_join(h->thread, NULL);
}

/* So many threads are known to copy; one that has ended makes room. */
static void threads(void)
{
	struct helper h[KVLIFT_MOVER_THREADS + 1];
	unsigned int i;

	/* The first is the one of mv_open(). */
	setup();
	IS(get(0, 1, MV_GPU).res, 0);
	for (i = 1; i < KVLIFT_MOVER_THREADS; i++)
		IS(helper_begin(&h[i]), 0);
	IS(helper_begin(&h[i]), EUSERS);
	helper_end(&h[i]);
	helper_end(&h[3]);
	/* Joined is a little before it has ended. */
	CHECK(MV_UNTIL(5000,
		       !helper_begin(&h[3]) || (helper_end(&h[3]), false)));
	IS(helper_begin(&h[i]), EUSERS);
	helper_end(&h[i]);
	for (i = 1; i < KVLIFT_MOVER_THREADS; i++)
		helper_end(&h[i]);
	teardown();
}

static void nodram(void)
{
	struct kvlift_mover a = good();

	ERR(attach_to(dir, &a), EOPNOTSUPP);
}

static uint64_t count_in(uint64_t blocks, int tier)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < blocks; i++)
		n += kvt_tier(fd, i) == tier;
	return n;
}

/*
 * Slower memory that is full and has nothing below: no slots are to be had there
 * for a window, though the pool as a whole has some, and all is as it was.
 */
static void cxlfull(void)
{
	struct kvlift_mover a = good();
	uint64_t n = 0, gone = 0, i, start, slots = mv_cxl_slots(dir);

	fd = MUST(open("m", O_CREAT | O_TRUNC | O_RDWR, 0644));
	for (;; n++) {
		kvt_fill(buf, bs, 1, n * bs);
		if (pwrite(fd, buf, bs, (off_t)(n * bs)) != (ssize_t)bs)
			break;
	}
	ERR(pwrite(fd, buf, bs, (off_t)(n * bs)), ENOSPC);
	/* What is written last may be on its way down yet. */
	CHECK(MV_UNTIL(10000, count_in(n, KVLIFT_TIER_CXL) + 2 >= slots));
	printf("mover: %" PRIu64 " blocks, %" PRIu64 " of them in %" PRIu64
	       " slots of CXL memory\n",
	       n, count_in(n, KVLIFT_TIER_CXL), slots);
	for (i = 0; i < n && gone < 12; i++)
		if (kvt_tier(fd, i) == KVLIFT_TIER_DRAM) {
			punch(i, 1);
			gone++;
		}
	IS(gone, 12);
	start = kvt_now_ns();
	a.window = 2;
	a.window_cxl = 6;
	ERR(attach_to(dir, &a), ENOSPC);
	CHECK((kvt_now_ns() - start) / 1000000000 < 30, "it took %" PRIu64 " s",
	      (kvt_now_ns() - start) / 1000000000);
	for (i = 0; i < n; i++) {
		if (kvt_tier(fd, i) < 0) {
			mv_write(fd, buf, bs, i, 1);
			gone--;
		}
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		CHECK_PATTERN(buf, bs, 1, i * bs);
	}
	IS(gone, 0);
	OK(ftruncate(fd, 0));
	a = good();
	a.window_cxl = 6;
	close(OK(attach_to(dir, &a)));
	close(fd);
	OK(unlink("m"));
}

static const struct gpu_test tests[] = {
	{ "attach", attach },	{ "ready", ready },
	{ "rights", rights },	{ "drain", drain },
	{ "two", two },		{ "outlives", outlives },
	{ "notify", notify },	{ "deadlock", deadlock },
	{ "threads", threads },
};

int main(int argc, char **argv)
{
	const struct gpu_test others[] = {
		{ "nodram", nodram },
		{ "cxlfull", cxlfull },
	};

	for (size_t i = 0; argc > 2 && i < 2; i++)
		if (!strcmp(argv[2], others[i].name))
			return gpu_run("mover", &others[i], 1, argc, argv);
	return gpu_run("mover", tests, sizeof(tests) / sizeof(*tests), argc,
		       argv);
}
