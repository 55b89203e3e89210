// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An engine with its GPU is killed at any moment, again and again, while others
 * read what it has written. A block may be lost when it had no copy outside of
 * the GPU; what is read is never older than what was written last, nor a mix.
 *
 *	moverkill DIR [ROUNDS [SEED]]
 *
 * The model lies in shared memory, and the engine tells it what it is going to
 * do before it asks: a kill may come between any two lines. Of a block,
 *
 *	next	 the highest version that may be there
 *	floor	 the lowest one: raised when a write lease was granted, since
 *all copies below count no more from then on at_risk	 it may be lost: granted
 *for writing, or exclusively, and not read by a CPU since
 */
#include "kvtgpu.h"

#define BLOCKS	24
#define READERS 2

struct entry {
	uint32_t next, floor;
	uint32_t at_risk, torn;
	uint32_t seq; /* odd: the parent writes it */
};

struct shared {
	struct entry e[BLOCKS];
	uint32_t dying; /* from before a kill until all has been looked at */
	uint32_t kills;
	uint32_t stop;
	uint32_t bad;
	uint32_t acquired, refused, written; /* by the engines */
	uint32_t reads, errors;		     /* by the readers */
};

static struct shared *sh;
static uint64_t seed = 1;

#define GET(x)	  __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define PUT(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x)	  __atomic_add_fetch(&(x), 1, __ATOMIC_SEQ_CST)

__attribute__((format(printf, 2, 3))) static void bad(uint64_t b,
						      const char *fmt, ...)
{
	struct entry *e = &sh->e[b];
	va_list ap;

	if (ADD(sh->bad) > 20)
		return;
	va_start(ap, fmt);
	fprintf(stderr, "FAIL moverkill: block %" PRIu64 ": ", b);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr,
		" (versions %u to %u, at risk %u, kills %u, dying %u, word %#" PRIx64
		")\n",
		e->floor, e->next, e->at_risk, sh->kills, sh->dying,
		kvt_loc(fd, b));
	va_end(ap);
}

/* A block of version v: the number, and a pattern of both. */
static uint64_t stream(uint64_t b, uint64_t v)
{
	return b << 32 | v;
}

static void make(char *p, uint64_t b, uint64_t v)
{
	kvt_fill(p, bs, stream(b, v), 0);
	memcpy(p, &v, sizeof(v));
}

static bool is(const char *p, uint64_t b, uint64_t v)
{
	return !memcmp(p, &v, sizeof(v)) &&
	       kvt_diff(p + 8, bs - 8, stream(b, v), 8) < 0;
}

static bool is_one_of(const char *p, size_t at, size_t len, uint64_t b,
		      uint32_t lo, uint32_t hi)
{
	for (uint32_t v = lo; v <= hi; v++)
		if (kvt_diff(p + at, len, stream(b, v), at) < 0)
			return true;
	return false;
}

/*
 * Each byte is that of one of these versions. The number in front is no part
 * of the pattern.
 */
static bool is_mix(const char *p, uint64_t b, uint32_t lo, uint32_t hi)
{
	for (size_t i = 8; i < bs; i += 8) {
		if (is_one_of(p, i, 8, b, lo, hi))
			continue;
		for (size_t k = i; k < i + 8; k++)
			if (!is_one_of(p, k, 1, b, lo, hi))
				return false;
	}
	return true;
}

/*
 * What a reader has seen, which began when the lowest version was @lo and no
 * one else than the engine has written.
 */
static void judge(const char *p, uint64_t b, uint32_t lo, const char *how)
{
	uint32_t hi = GET(sh->e[b].next);
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	if (v >= lo && v <= hi && is(p, b, v))
		return;
	/* A write may have come in between: then a part is of each. */
	if (lo != hi && is_mix(p, b, lo, hi))
		return;
	if (v < lo && is(p, b, v))
		bad(b, "%s: the old version %" PRIu64 ", not %u", how, v, lo);
	else
		bad(b, "%s: neither of %u to %u, begins with %" PRIu64, how, lo,
		    hi, v);
}

static void read_one(char *p, uint64_t b, bool mapped)
{
	const char *how = mapped ? "by mapping" : "by call";
	struct entry *e = &sh->e[b];
	uint32_t seq = GET(e->seq), lo = GET(e->floor);
	bool dying = GET(sh->dying), ok;
	uint64_t start = kvt_now_ns();
	int err = EIO;

	if (mapped) {
		ok = mv_load(p, map + b * bs, bs);
	} else {
		ok = kvt_pread(fd, p, bs, (off_t)(b * bs)) == (ssize_t)bs;
		err = errno;
	}
	if (kvt_now_ns() - start > 20000000000u * mv_slow())
		bad(b, "%s: it took %" PRIu64 " ms", how,
		    (kvt_now_ns() - start) / 1000000);
	if (seq & 1 || GET(e->seq) != seq)
		return;
	ADD(sh->reads);
	if (ok) {
		judge(p, b, lo, how);
		return;
	}
	ADD(sh->errors);
	dying |= GET(sh->dying);
	if (GET(e->seq) != seq)
		return;
	if (err != EIO)
		bad(b, "%s: %s", how, strerror(err));
	else if (!dying)
		bad(b, "%s: lost while its engine lives", how);
	else if (!GET(e->at_risk))
		bad(b, "%s: lost, though it had a copy", how);
}

static void reader(unsigned int who)
{
	char *p = malloc(bs);
	uint64_t rnd = seed * 77 + who;

	mv_child();
	mv_catch();
	while (!GET(sh->stop))
		read_one(p, kvt_rand_below(&rnd, BLOCKS),
			 kvt_rand_below(&rnd, 2));
	_exit(0);
}

/* The GPU's own view of what it was granted. */
static void engine_reads(const struct mv_lease *l, uint64_t b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (!is(mv_at(&m, l->word[i]), b + i, GET(sh->e[b + i].floor)))
			bad(b + i, "it is not in the GPU");
}

/* What is asked for, told before: the risk that was there until now. */
static void announce(uint64_t b, uint64_t n, uint32_t how, uint32_t *was)
{
	bool risky = how & MV_GPU &&
		     how & (KVLIFT_REQ_WRITE | KVLIFT_REQ_EXCLUSIVE);

	for (uint64_t i = 0; i < n; i++) {
		was[i] = GET(sh->e[b + i].at_risk);
		if (risky)
			PUT(sh->e[b + i].at_risk, 1);
		if (how & KVLIFT_REQ_WRITE)
			ADD(sh->e[b + i].next);
	}
}

static void engine_writes(const struct mv_lease *l, uint64_t b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct entry *e = &sh->e[b + i];
		bool window = l->word[i] & KVLIFT_LEASED_WINDOW;
		uint32_t v = GET(e->next);

		PUT(e->torn, window);
		if (!window)
			PUT(e->floor, v);
		make(mv_at(&m, l->word[i]), b + i, v);
		PUT(e->floor, v);
		PUT(e->torn, 0);
		ADD(sh->written);
	}
}

/* It looks itself: there is a copy then. */
static void engine_looks(uint64_t b, uint64_t n)
{
	char *p = malloc(bs);

	for (uint64_t i = 0; i < n; i++) {
		if (kvt_pread(fd, p, bs, (off_t)((b + i) * bs)) != (ssize_t)bs)
			bad(b + i, "read by its engine: %s", strerror(errno));
		else if (!is(p, b + i, GET(sh->e[b + i].floor)))
			bad(b + i, "read by its engine: not what it wrote");
		else
			PUT(sh->e[b + i].at_risk, 0);
	}
	free(p);
}

static void engine_step(uint64_t *rnd)
{
	static const uint32_t ways[] = {
		MV_GPU,
		MV_GPU | KVLIFT_REQ_WRITE,
		MV_GPU | KVLIFT_REQ_EXCLUSIVE,
		MV_GPU | KVLIFT_REQ_EXCLUSIVE | KVLIFT_REQ_WRITE,
		KVLIFT_REQ_WINDOW,
		KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE,
	};
	uint64_t n = 1 + kvt_rand_below(rnd, 3);
	uint64_t b = kvt_rand_below(rnd, BLOCKS + 1 - n);
	uint32_t how = ways[kvt_rand_below(rnd, 6)], was[3];
	struct mv_lease l;

	announce(b, n, how, was);
	l = mv_acquire(q, fd, b, n, how);
	if (l.res) {
		ADD(sh->refused);
		if (l.res != -EAGAIN && l.res != -ENOSPC && l.res != -EBUSY)
			bad(b, "acquire %#x: %s", how, strerror(-l.res));
		/* Some may have gone there as they were asked to, without a
		 * copy. */
		for (uint64_t i = 0; i < n && !(how & KVLIFT_REQ_EXCLUSIVE);
		     i++)
			PUT(sh->e[b + i].at_risk, was[i]);
		return;
	}
	ADD(sh->acquired);
	engine_reads(&l, b, n);
	if (how & KVLIFT_REQ_WRITE)
		engine_writes(&l, b, n);
	if (mv_release(q, &l))
		bad(b, "release: %s", strerror(errno));
	if (!kvt_rand_below(rnd, 3))
		engine_looks(b, n);
}

static void engine(int out, uint64_t rnd)
{
	mv_child();
	mv_phase("an engine", 100);
	mv_open(&m, dir, SLOTS, WIN, 0);
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	MUST(write(out, "x", 1));
	while (!GET(sh->bad) && !kvt_fails)
		engine_step(&rnd);
	ADD(sh->bad);
	_exit(1);
}

static void rewrite(char *p, uint64_t b)
{
	struct entry *e = &sh->e[b];
	uint32_t v;

	ADD(e->seq);
	v = ADD(e->next);
	make(p, b, v);
	if (kvt_pwrite(fd, p, bs, (off_t)(b * bs)) != (ssize_t)bs)
		bad(b, "rewriting it: %s", strerror(errno));
	PUT(e->floor, v);
	PUT(e->torn, 0);
	ADD(e->seq);
}

/* Nobody writes now: whole, unless it was torn. */
static bool whole(const char *p, char *mapped, uint64_t b)
{
	struct entry *e = &sh->e[b];
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	judge(p, b, e->floor, "after the kill");
	if (!mv_load(mapped, map + b * bs, bs) || memcmp(p, mapped, bs))
		bad(b, "not what is mapped, after the kill");
	if (is(p, b, v)) {
		if (v > e->floor)
			PUT(e->floor, (uint32_t)v);
		return true;
	}
	if (!e->torn)
		bad(b, "a mix after the kill");
	return false;
}

/* Each block is whole or lost; what is not whole is written again. */
static void take_stock(char *p, unsigned int *lost, unsigned int *intact)
{
	char *mapped = malloc(bs);

	for (uint64_t b = 0; b < BLOCKS; b++) {
		struct entry *e = &sh->e[b];

		if (kvt_pread(fd, p, bs, (off_t)(b * bs)) == (ssize_t)bs) {
			(*intact)++;
			if (!whole(p, mapped, b))
				rewrite(p, b);
		} else if (errno != EIO || !e->at_risk) {
			bad(b, "after the kill: %s", strerror(errno));
		} else {
			(*lost)++;
			rewrite(p, b);
		}
		PUT(e->at_risk, 0);
		PUT(e->torn, 0);
	}
	free(mapped);
}

static void one_round(uint64_t *rnd, char *p, unsigned int *lost,
		      unsigned int *intact)
{
	int out[2], status;
	char c;
	pid_t pid;

	mv_phase("a round", 100);
	MUST(pipe(out));
	fflush(NULL);
	pid = MUST(fork());
	if (!pid)
		engine(out[1], kvt_rand(rnd));
	close(out[1]);
	IS(read(out[0], &c, 1), 1);
	close(out[0]);
	/* A large block takes its time to be filled and looked at. */
	kvt_msleep((unsigned int)(30 + kvt_rand_below(rnd, 700)) * mv_slow() *
		   (bs > 1u << 20 ? 4 : 1));
	PUT(sh->dying, 1);
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status), "the engine: status %#x", status);
	ADD(sh->kills);
	CHECK(MV_UNTIL(5000, !mv_count_gpu(fd, BLOCKS, -1)),
	      "%u blocks in tier gpu", mv_count_gpu(fd, BLOCKS, -1));
	take_stock(p, lost, intact);
	PUT(sh->dying, 0);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 2 ? (unsigned int)atoi(argv[2]) : 10;
	unsigned int lost = 0, intact = 0, reads = 0;
	pid_t readers[READERS];
	uint64_t rnd;
	char *p;

	if (argc < 2)
		kvt_die("usage: moverkill DIR [ROUNDS [SEED]]");
	MUST(chdir(argv[1]));
	dir = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(dir))
		return KVT_SKIP;
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 0);
	rnd = seed;
	MUST(kvt_info(dir, &info));
	bs = info.block_size;
	p = malloc(bs);
	sh = MUST(mmap(NULL, sizeof(*sh), MV_RW, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0));
	fd = MUST(open("kill", O_CREAT | O_TRUNC | O_RDWR, 0644));
	for (uint64_t b = 0; b < BLOCKS; b++) {
		sh->e[b].next = 1;
		sh->e[b].floor = 1;
		make(p, b, 1);
		IS(kvt_pwrite(fd, p, bs, (off_t)(b * bs)), bs);
	}
	map = MUST(mmap(NULL, BLOCKS * bs, PROT_READ, MAP_SHARED, fd, 0));
	mv_catch();
	fflush(NULL);
	for (unsigned int i = 0; i < READERS; i++) {
		readers[i] = MUST(fork());
		if (!readers[i])
			reader(i);
	}
	for (unsigned int n = 0; n < rounds && !GET(sh->bad); n++) {
		one_round(&rnd, p, &lost, &intact);
		CHECK(MV_UNTIL(20000, GET(sh->reads) > reads),
		      "the readers stand still");
		reads = GET(sh->reads);
	}
	mv_phase("the end", 60);
	PUT(sh->stop, 1);
	for (unsigned int i = 0; i < READERS; i++) {
		int status;

		MUST(waitpid(readers[i], &status, 0));
		CHECK(!status, "a reader: status %#x", status);
	}
	printf("moverkill: %u kills: %u blocks lost, %u intact; %u leases, %u refused, %u blocks written; %u reads, %u errors\n",
	       sh->kills, lost, intact, sh->acquired, sh->refused, sh->written,
	       sh->reads, sh->errors);
	IS(sh->bad, 0);
	CHECK(sh->bad || (sh->acquired > rounds && sh->written && sh->reads),
	      "nothing was done");
	munmap(map, BLOCKS * bs);
	close(fd);
	OK(unlink("kill"));
	return kvt_end("moverkill");
}
