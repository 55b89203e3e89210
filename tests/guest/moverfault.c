// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Movers that die, are late, say nonsense or write where they should not: the
 * pool believes nothing, waits no longer than twice the deadline, and loses
 * only what had no copy outside the GPU.
 *
 *	moverfault DIR [TEST...]
 */
#include "kvtgpu.h"

#include <sys/syscall.h>

/* Of a command, and how long somebody may wait for one that never ends. */
#define DEADLINE (800 * mv_slow())
#define PATIENCE (2 * DEADLINE + 2000 * mv_slow())

static void setup_hook(enum mv_do (*hook)(struct mv *v,
					  const struct kvlift_cmd *c,
					  int32_t *res),
		       void *arg)
{
	mk_file("m");
	mv_open(&m, dir, SLOTS, WIN, DEADLINE);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	m.arg = arg;
	m.hook = hook;
}

/* The event of a request, in time. */
static int outcome(struct kvlift_req r)
{
	uint64_t start = kvt_now_ns();
	struct kvlift_event e;

	if (mv_submit(q, &r, 1) != 1)
		return -errno;
	e = mv_event(q, PATIENCE / mv_slow());
	CHECK(e.res != -EINPROGRESS, "no event after %" PRIu64 " ms",
	      (kvt_now_ns() - start) / 1000000);
	return e.res;
}

/*
 * A block that may be lost, or else has just this content. Whoever reads it
 * knows in time.
 */
static bool lost_or(uint64_t i, uint64_t seed)
{
	uint64_t start = kvt_now_ns(), w;
	ssize_t n = kvt_pread(fd, buf, bs, (off_t)(i * bs));
	int err = errno;

	start = (kvt_now_ns() - start) / 1000000;
	CHECK(start < PATIENCE, "a read took %" PRIu64 " ms", start);
	if (n == (ssize_t)bs) {
		CHECK_PATTERN(buf, bs, seed, i * bs);
		return false;
	}
	CHECK(n == -1 && err == EIO, "block %" PRIu64 ": %zd, %s", i, n,
	      strerror(err));
	w = kvt_loc(fd, i);
	CHECK(w & KVLIFT_LOC_ERROR, "lost, and its word is %#" PRIx64, w);
	IS(kvt_access_signal(map + i * bs, false), SIGBUS);
	return true;
}

/* A lost block is as good as new when it was written, or punched. */
static void mend(uint64_t i)
{
	if (!(kvt_loc(fd, i) & KVLIFT_LOC_ERROR))
		return;
	ERR(pwrite(fd, buf, 100, (off_t)(i * bs + 10)), EIO);
	if (i % 2) {
		mv_write(fd, buf, bs, i, 9);
		check_cpu(i, 1, 9);
	} else {
		punch(i, 1);
		zero(i, 1);
	}
}

/*
 * After the end of an attachment: 0 to 3 the GPU only read, 4 to 7 it wrote,
 * 8 and 9 it had for itself, and it knew nothing of the others.
 */
static void check_after(uint64_t n)
{
	unsigned int lost = 0;

	CHECK(MV_UNTIL(5000, !mv_count_gpu(fd, N, -1)), "%u blocks in tier gpu",
	      mv_count_gpu(fd, N, -1));
	check_cpu(0, 4, 1);
	for (uint64_t i = 4; i < n; i++)
		lost += lost_or(i, i < 8 ? 2 : 1);
	check_cpu(n, N - n, 1);
	for (uint64_t i = 4; i < n; i++)
		mend(i);
	printf("moverfault: %u blocks lost\n", lost);
}

/* And another one comes, and has what is left. */
static void next_one(void)
{
	struct mv_lease l;

	mv_open(&m, dir, SLOTS, WIN, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	l = get(0, 4, MV_GPU);
	check_leased(&m, &l, 0, 4, 1);
	OK(mv_release(q, &l));
	l = get(20, 4, MV_GPU);
	check_leased(&m, &l, 20, 4, 1);
	OK(mv_release(q, &l));
	gpu_writes(30, 2, MV_GPU, 2);
	check_cpu(30, 2, 2);
	teardown();
}

/* What check_after() expects, partly with leases that are kept. */
static void engine_at_work(void)
{
	struct mv_lease l;

	l = get(0, 4, MV_GPU);
	IS(l.res, 0);
	gpu_writes(4, 2, MV_GPU, 2);
	l = get(6, 2, MV_GPU | KVLIFT_REQ_WRITE);
	IS(l.res, 0);
	for (uint64_t i = 0; i < 2 && !l.res; i++)
		kvt_fill(mv_at(&m, l.word[i]), bs, 2, (6 + i) * bs);
	l = get(8, 1, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	IS(l.res, 0);
	l = get(9, 1, MV_GPU | KVLIFT_REQ_EXCLUSIVE);
	OK(mv_release(q, &l));
}

/* Runs an engine in a child, which says when it has got somewhere. */
static pid_t engine(void (*run)(int out))
{
	int p[2];
	char c;
	pid_t pid;

	MUST(pipe(p));
	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		close(p[0]);
		mv_child();
		mv_phase("an engine", 60);
		run(p[1]);
		_exit(1);
	}
	close(p[1]);
	IS(read(p[0], &c, 1), 1);
	close(p[0]);
	return pid;
}

static void idle_engine(int out)
{
	mv_open(&m, dir, SLOTS, WIN, DEADLINE);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	engine_at_work();
	if (kvt_fails)
		return;
	MUST(write(out, "x", 1));
	pause();
}

static void die_idle(void)
{
	pid_t pid;

	mk_file("m");
	pid = engine(idle_engine);
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, NULL, 0));
	check_after(10);
	next_one();
}

static unsigned int die_at;

static enum mv_do dies(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	if (!--die_at)
		kill(getpid(), SIGKILL);
	return MV_COPY;
}

static void busy_engine(int out)
{
	struct kvlift_req r[3];

	mv_open(&m, dir, SLOTS, WIN, DEADLINE);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	gpu_writes(4, 2, MV_GPU, 2);
	m.hook = dies;
	for (unsigned int i = 0; i < 3; i++)
		r[i] = mv_req(fd, 20 + 4 * i, 2, MV_GPU);
	MUST(write(out, "x", 1));
	IS(mv_submit(q, r, 3), 3);
	pause();
}

static void die_busy(void)
{
	pid_t pid;

	for (unsigned int at = 1; at < 6; at += 2) {
		bool lost;

		die_at = at;
		mk_file("m");
		pid = engine(busy_engine);
		/* Who waits for the copy hears of it. */
		lost = lost_or(4, 2);
		MUST(waitpid(pid, NULL, 0));
		CHECK(lost == lost_or(4, 2), "lost: %d before", lost);
		check_after(6);
		rm_file("m");
	}
	mk_file("m");
	next_one();
}

/* A command that is held back until it is cancelled, or for good. */
struct held {
	uint32_t op; /* which */
	int32_t res; /* how it ends then */
	bool have, over;
	struct kvlift_cmd cmd;
};

static enum mv_do holds(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	struct held *h = v->arg;

	if (c->op == KVLIFT_CMD_CANCEL && h->have && !h->over) {
		IS(c->arg, h->cmd.cookie);
		CHECK(kvt_now_ns() >= h->cmd.deadline_ns, "cancelled early");
		if (!h->res)
			mv_copy(v, &h->cmd);
		mv_done(v, h->cmd.cookie, h->res);
		h->over = true;
		return MV_DROP;
	}
	if (c->op != h->op || h->have)
		return MV_COPY;
	h->cmd = *c;
	h->have = true;
	return MV_DROP;
}

static void late(void)
{
	struct held h = { .op = KVLIFT_CMD_IN };
	struct mv_lease l;

	setup_hook(holds, &h);
	l = get(20, 1, MV_GPU);
	check_leased(&m, &l, 20, 1, 1);
	OK(mv_release(q, &l));
	CHECK(h.over, "no CANCEL");
	IS(MV_INFO(&m, late), 1);
	IS(m.nr_cancel, 1);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	/* The other way somebody waits. */
	gpu_writes(4, 1, MV_GPU, 2);
	h = (struct held){ .op = KVLIFT_CMD_OUT };
	check_cpu(4, 1, 2);
	CHECK(!h.have || h.over, "no CANCEL");
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	check_cpu(5, N - 5, 1);
	teardown();
}

static void cancelled(void)
{
	struct held h = { .op = KVLIFT_CMD_IN, .res = -ECANCELED };
	struct mv_lease l;

	setup_hook(holds, &h);
	l = get(20, 2, MV_GPU);
	CHECK(l.res <= 0);
	if (!l.res) {
		check_leased(&m, &l, 20, 2, 1);
		OK(mv_release(q, &l));
	}
	CHECK(h.over, "no CANCEL");
	IS(MV_INFO(&m, late), 1);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	check_cpu(0, N, 1);
	l = get(20, 2, MV_GPU);
	check_leased(&m, &l, 20, 2, 1);
	OK(mv_release(q, &l));
	gpu_writes(4, 1, MV_GPU, 2);
	h = (struct held){ .op = KVLIFT_CMD_OUT, .res = -ECANCELED };
	kvt_pread(fd, buf, bs, (off_t)(4 * bs));
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	CHECK(MV_UNTIL(10000,
		       kvt_pread(fd, buf, bs, (off_t)(4 * bs)) == (ssize_t)bs));
	check_cpu(4, 1, 2);
	teardown();
}

static void *reads_4(void *arg)
{
	char *mine = malloc(bs);
	ssize_t n = kvt_pread(fd, mine, bs, (off_t)(4 * bs));

	if (n == (ssize_t)bs)
		CHECK_PATTERN(mine, bs, 2, 4 * bs);
	else
		CHECK(n == -1 && errno == EIO, "%zd, %s", n, strerror(errno));
	free(mine);
	return NULL;
}

static enum mv_do drops(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	return MV_DROP;
}

/* The attachment has failed, and the process goes on. */
static void has_failed(void)
{
	CHECK(MV_UNTIL(PATIENCE / mv_slow(),
		       __atomic_load_n(&m.ring->state, __ATOMIC_ACQUIRE) ==
			       KVLIFT_MOVER_FAILED),
	      "state %u", m.ring->state);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_FAILED);
	IS(MV_INFO(&m, inflight), 0);
	CHECK(outcome(mv_req(fd, 12, 1, MV_GPU)) < 0, "it still works");
	/* In a child: this thread is to be none of a mover. */
	IN_CHILD(ERR(mv_enter(&m, KVLIFT_MOVER_WAIT, 1000, NULL), ENODEV));
}

static void never(void)
{
	uint64_t start;
	pthread_t t;
	int res;

	setup_hook(NULL, NULL);
	engine_at_work();
	m.hook = drops;
	start = kvt_now_ns();
	if (pthread_create(&t, NULL, reads_4, NULL))
		kvt_die("pthread_create");
	res = outcome(mv_req(fd, 20, 1, MV_GPU));
	CHECK(res < 0, "res %d", res);
	pthread_join(t, NULL);
	start = (kvt_now_ns() - start) / 1000000;
	CHECK(start < 2 * PATIENCE, "that took %" PRIu64 " ms", start);
	has_failed();
	CHECK(MV_UNTIL(2000, m.error == ENODEV), "%s", strerror(m.error));
	CHECK(MV_INFO(&m, late) > 0);
	printf("moverfault: lost %llu\n", MV_INFO(&m, lost));
	check_after(10);
	close(q);
	mv_close(&m);
	next_one();
}

/* Works as long as nothing else goes wrong; @odd completions are ignored. */
static void all_the_same(unsigned long long odd)
{
	struct mv_lease l;

	for (uint64_t i = 0; i < 24; i += 4) {
		if (i % 8)
			gpu_writes(i, 4, MV_GPU, 2);
		l = get(i, 4, MV_GPU);
		check_leased(&m, &l, i, 4, i % 8 ? 2 : 1);
		OK(mv_release(q, &l));
	}
	for (uint64_t i = 0; i < 24; i += 4)
		check_cpu(i, 4, i % 8 ? 2 : 1);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	odd *= MV_INFO(&m, in) + MV_INFO(&m, out);
	IS(MV_INFO(&m, failed), 0);
	CHECK(MV_UNTIL(2000, MV_INFO(&m, ignored) >= odd),
	      "%llu ignored, not %llu", MV_INFO(&m, ignored), odd);
}

static enum mv_do twice_over(struct mv *v, const struct kvlift_cmd *c,
			     int32_t *res)
{
	uint64_t *old = v->arg;

	if (c->op == KVLIFT_CMD_CANCEL)
		return MV_DROP;
	mv_copy(v, c);
	mv_done(v, c->cookie, 0);
	/* And one that has ended long ago, as if it had failed. */
	if (*old)
		mv_done(v, *old, -EIO);
	*old = c->cookie;
	mv_done(v, c->cookie, 0);
	return MV_DROP;
}

static void twice(void)
{
	uint64_t old = 0;

	setup_hook(twice_over, &old);
	all_the_same(1);
	teardown();
}

static enum mv_do babbles(struct mv *v, const struct kvlift_cmd *c,
			  int32_t *res)
{
	uint64_t *rnd = v->arg;

	if (c->op == KVLIFT_CMD_CANCEL)
		return MV_DROP;
	mv_done(v, ~c->cookie, 0);
	mv_done(v, c->cookie ^ 1ull << (16 + kvt_rand_below(rnd, 16)), 0);
	mv_done(v, kvt_rand(rnd), -(int32_t)kvt_rand_below(rnd, 4096));
	mv_done(v, (uint64_t)v->generation << 32 | 0xffffffff, 0);
	return MV_COPY;
}

static void cookies(void)
{
	uint64_t rnd = 1;

	setup_hook(babbles, &rnd);
	all_the_same(4);
	teardown();
}

/* The right command, of an attachment before: that one has not ended. */
static enum mv_do antedates(struct mv *v, const struct kvlift_cmd *c,
			    int32_t *res)
{
	struct kvlift_mover_info i;
	uint64_t ignored;

	if (c->op == KVLIFT_CMD_CANCEL)
		return MV_DROP;
	OK(mv_info(v, &i));
	ignored = i.ignored;
	mv_done(v, c->cookie - (1ull << 32), 0);
	mv_done(v, c->cookie + (1ull << 32), 0);
	mv_done(v, c->cookie & UINT32_MAX, 0);
	OK(mv_enter(v, 0, 0, NULL));
	OK(mv_info(v, &i));
	IS(i.ignored, ignored + 3);
	CHECK(i.inflight >= 1, "a completion of another generation was taken");
	return MV_COPY;
}

static void stale(void)
{
	setup_hook(antedates, NULL);
	all_the_same(3);
	teardown();
}

static enum mv_do overruns(struct mv *v, const struct kvlift_cmd *c,
			   int32_t *res)
{
	__atomic_store_n(&v->ring->cq_tail, v->tail + v->cq_n + 100,
			 __ATOMIC_RELEASE);
	return MV_DROP;
}

static void cqtail(void)
{
	uint64_t start;

	setup_hook(NULL, NULL);
	engine_at_work();
	m.hook = overruns;
	start = kvt_now_ns();
	CHECK(outcome(mv_req(fd, 20, 1, MV_GPU)) < 0);
	start = (kvt_now_ns() - start) / 1000000;
	CHECK(start < DEADLINE, "told after %" PRIu64 " ms", start);
	has_failed();
	check_after(10);
	close(q);
	mv_close(&m);
	next_one();
}

static enum mv_do forgets(struct mv *v, const struct kvlift_cmd *c,
			  int32_t *res)
{
	uint64_t *rnd = v->arg;

	__atomic_store_n(&v->ring->sq_head, (uint32_t)kvt_rand(rnd),
			 __ATOMIC_RELEASE);
	return MV_COPY;
}

static void sqhead(void)
{
	uint64_t rnd = 3;

	setup_hook(forgets, &rnd);
	m.blind = true;
	all_the_same(0);
	teardown();
}

static enum mv_do fails(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	uint32_t *op = v->arg;

	if (c->op != *op)
		return MV_COPY;
	*res = -EIO;
	return MV_FAIL;
}

static void errors(void)
{
	uint32_t op = KVLIFT_CMD_IN;
	uint64_t start;
	struct mv_lease l;
	ssize_t n;

	setup_hook(fails, &op);
	CHECK(outcome(mv_req(fd, 20, 2, MV_GPU)) < 0);
	CHECK(outcome(mv_req(fd, 22, 1, MV_GPU | KVLIFT_REQ_WRITE)) < 0);
	CHECK(outcome(mv_req(fd, 23, 1, MV_GPU | KVLIFT_REQ_EXCLUSIVE)) < 0);
	CHECK(MV_INFO(&m, failed) >= 3);
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	IS(mv_count_gpu(fd, N, -1), 0);
	check_cpu(0, N, 1);
	op = 0;
	l = get(20, 4, MV_GPU);
	check_leased(&m, &l, 20, 4, 1);
	OK(mv_release(q, &l));

	/* Out: the source stays, whoever asked is told. */
	gpu_writes(4, 4, MV_GPU, 2);
	op = KVLIFT_CMD_OUT;
	start = kvt_now_ns();
	n = kvt_pread(fd, buf, bs, (off_t)(4 * bs));
	start = (kvt_now_ns() - start) / 1000000;
	CHECK(start < PATIENCE, "%" PRIu64 " ms", start);
	if (n == (ssize_t)bs)
		CHECK_PATTERN(buf, bs, 2, 4 * bs);
	else
		CHECK(n == -1 && errno == EIO, "%zd, %s", n, strerror(errno));
	/* Even when others want its slot. */
	for (uint64_t i = 8; i < N; i += 4) {
		struct kvlift_req r = mv_req(fd, i, 4, MV_GPU);

		r.op = KVLIFT_OP_PREFETCH;
		r.lease_ms = 0;
		outcome(r);
	}
	IS(MV_INFO(&m, state), KVLIFT_MOVER_LIVE);
	op = 0;
	for (uint64_t i = 4; i < 8; i++)
		CHECK(MV_UNTIL(10000, kvt_pread(fd, buf, bs, (off_t)(i * bs)) ==
					      (ssize_t)bs),
		      "block %" PRIu64 " does not come back", i);
	check_cpu(0, 4, 1);
	check_cpu(4, 4, 2);
	check_cpu(8, N - 8, 1);
	IS(MV_INFO(&m, lost), 0);
	teardown();
}

/* Garbage wherever it can write, but in the slot of a copy to be made. */
static void garble(char *p, size_t len, uint64_t *rnd)
{
	for (size_t i = kvt_rand_below(rnd, 16); i + 8 <= len; i += 8) {
		uint64_t v = kvt_rand(rnd);

		memcpy(p + i, &v, 8);
		i += kvt_rand_below(rnd, 1024);
	}
}

static enum mv_do scribbles(struct mv *v, const struct kvlift_cmd *c,
			    int32_t *res)
{
	uint64_t *rnd = v->arg;

	for (uint32_t i = 0; i < v->att.window; i++)
		if (i != c->window)
			garble(v->win + i * v->bs, v->bs, rnd);
	if (c->op == KVLIFT_CMD_CANCEL)
		return MV_DROP;
	mv_copy(v, c);
	mv_done(v, c->cookie, 0);
	garble(v->win + c->window * v->bs, v->bs, rnd);
	if (kvt_rand_below(rnd, 2))
		OK(mv_enter(v, 0, 0, NULL));
	garble(v->win + c->window * v->bs, v->bs, rnd);
	garble(v->gpu + c->slot * v->bs, v->bs, rnd);
	return MV_DROP;
}

static void scribbler(int out)
{
	uint64_t rnd = 5, again = 7;
	int at, own, ro;

	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(setresgid(1001, 1001, 1001));
	MUST(setresuid(1001, 1001, 1001));
	at = MUST(open("eng", O_RDONLY | O_DIRECTORY));
	own = MUST(open("eng/own", O_CREAT | O_RDWR, 0600));
	ro = MUST(open("m", O_RDONLY));
	mv_open(&m, at, SLOTS, WIN, DEADLINE);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	for (uint64_t i = 0; i < 8; i++)
		mv_write(own, buf, bs, i, 4);
	m.arg = &rnd;
	m.hook = scribbles;
	MUST(write(out, "x", 1));
	for (int n = 0; n < 60; n++) {
		static const uint32_t flags[] = {
			MV_GPU,
			MV_GPU | KVLIFT_REQ_WRITE,
			KVLIFT_REQ_WINDOW,
			MV_GPU | KVLIFT_REQ_EXCLUSIVE,
		};
		struct mv_lease l;

		if (n % 2)
			l = mv_acquire(q, own, kvt_rand_below(&again, 7), 2,
				       flags[n / 2 % 4]);
		else
			l = mv_acquire(q, ro, kvt_rand_below(&again, N - 4), 4,
				       MV_GPU);
		CHECK(l.res <= 0);
		if (!l.res)
			OK(mv_release(q, &l));
	}
	mv_stop(&m);
	/* To end with, the rings. */
	for (int n = 0; n < 20; n++) {
		garble((char *)m.ring, m.ring_len, &rnd);
		mv_enter(&m, 0, 0, NULL);
	}
	_exit(kvt_fails ? 1 : 0);
}

static void scribble(void)
{
	int status, other;
	pid_t pid;

	mk_file("m");
	MUST(mkdir("eng", 0700));
	MUST(chown("eng", 1001, 1001));
	pid = engine(scribbler);
	/* What it may only read is right all the time. */
	do {
		check_cpu(0, N, 1);
	} while (!MUST(waitpid(pid, &status, WNOHANG)));
	CHECK(!status, "the engine: status %#x", status);
	check_cpu(0, N, 1);
	for (uint64_t i = 0; i < N && kvt_bottom(&info) > 1; i++)
		kvt_move_to(fd, i, kvt_bottom(&info), 5000);
	check_cpu(0, N, 1);
	other = MUST(open("eng/own", O_RDWR));
	for (uint64_t i = 0; i < 8; i++) {
		CHECK(kvt_pread(other, buf, bs, (off_t)(i * bs)) ==
				      (ssize_t)bs ||
			      errno == EIO,
		      "%s", strerror(errno));
		mv_write(other, buf, bs, i, 4);
	}
	close(other);
	OK(unlink("eng/own"));
	OK(rmdir("eng"));
	next_one();
}

/* Unmapped in the middle: nothing is completed any more. */
static enum mv_do unmaps(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	mv_unmap(v);
	pthread_exit(NULL);
}

static void unmap(void)
{
	setup_hook(NULL, NULL);
	engine_at_work();
	m.hook = unmaps;
	CHECK(outcome(mv_req(fd, 20, 1, MV_GPU)) < 0);
	CHECK(MV_UNTIL(1000, MV_INFO(&m, state) == KVLIFT_MOVER_FAILED));
	check_after(10);
	close(q);
	mv_close(&m);
	next_one();
}

/* Mapped elsewhere in the middle: the same memory. */
static enum mv_do remaps(struct mv *v, const struct kvlift_cmd *c, int32_t *res)
{
	struct kvlift_mover_ring *ring = v->ring;
	char *win = v->win;

	v->ring = MUST(mmap(NULL, v->ring_len, MV_RW, MAP_SHARED, v->fd, 0));
	v->sq = (void *)((char *)v->ring + ((char *)v->sq - (char *)ring));
	v->cq = (void *)((char *)v->ring + ((char *)v->cq - (char *)ring));
	v->win = MUST(mmap(NULL, v->win_len, MV_RW, MAP_SHARED, v->fd,
			   (off_t)v->att.window_offset));
	munmap(ring, v->ring_len);
	munmap(win, v->win_len);
	return MV_COPY;
}

static void remap(void)
{
	setup_hook(remaps, NULL);
	all_the_same(0);
	teardown();
}

/* Closed while it is mapped: nobody can complete anything. */
static void closed(void)
{
	setup_hook(NULL, NULL);
	engine_at_work();
	mv_stop(&m);
	close(m.fd);
	check_cpu(0, 4, 1);
	lost_or(4, 2);
	lost_or(5, 2);
	close(q);
	mv_unmap(&m);
	munmap(m.gpu, SLOTS * bs);
	check_after(10);
	next_one();
}

static const struct gpu_test tests[] = {
	{ "die-idle", die_idle }, { "die-busy", die_busy },
	{ "late", late },	  { "cancelled", cancelled },
	{ "never", never },	  { "twice", twice },
	{ "cookies", cookies },	  { "stale", stale },
	{ "cqtail", cqtail },	  { "sqhead", sqhead },
	{ "errors", errors },	  { "scribble", scribble },
	{ "unmap", unmap },	  { "remap", remap },
	{ "closed", closed },
};

int main(int argc, char **argv)
{
	return gpu_run("moverfault", tests, sizeof(tests) / sizeof(*tests),
		       argc, argv);
}
