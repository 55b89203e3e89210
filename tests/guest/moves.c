// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * No write is lost and no foreign byte is seen while blocks move. Threads of
 * two processes, through mappings and through pread/pwrite, each count in
 * words of their own, and know what must be there; movers demote and
 * prefetch the same blocks all the time.
 *
 *	moves DIR [-n BLOCKS] [-t SECONDS] [-m MOVES] [-s SEED] [-x]
 *
 * Ends after SECONDS, or when the counters show MOVES moves. With -x lost
 * writes are what is expected (the negative control): then it is a failure
 * when there are none.
 */
#include "kvltest.h"

#include <pthread.h>

#define WRITERS 4  /* 0,1 threads, 2 the other process, 3 by calls */
#define STRIDE	64 /* between the words of two writers */

static const char *dir;
static size_t bs, nblocks = 24, nspots;
static unsigned int seconds = 10;
static long long want_moves = -1;
static uint64_t seed = 1;
static bool expect_loss;
static int fd;
static char *map;

struct shared {
	bool stop;
	uint64_t ops[WRITERS];
	uint64_t bad, final, foreign, moves_asked;
	uint64_t errors;
};
static struct shared *sh;

static uint64_t add(uint64_t *p, uint64_t n)
{
	return __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&sh->stop, __ATOMIC_RELAXED);
}

/* Word of a writer: spot k of a block is in its own page. */
static size_t word_at(size_t block, size_t spot, unsigned int who)
{
	size_t pages = bs / 4096, page = spot * (pages - 1) / (nspots - 1);

	return block * bs + page * 4096 + who * STRIDE;
}

/* A stretch that nobody writes: behind the words, in any page. */
static size_t quiet_at(size_t block, uint64_t r)
{
	return block * bs + r % (bs / 4096) * 4096 + WRITERS * STRIDE +
	       r / 1024 % 50 * STRIDE;
}

static void check_quiet(size_t at, const char *bytes)
{
	if (kvt_diff(bytes, STRIDE, seed, at) >= 0 && !add(&sh->foreign, 1))
		fprintf(stderr, "moves: foreign bytes at %#zx (block %zu)\n",
			at, at / bs);
}

static uint64_t load(size_t at, bool calls)
{
	uint64_t v = 0;

	if (!calls)
		return *(volatile uint64_t *)(map + at);
	if (kvt_pread(fd, &v, 8, (off_t)at) != 8)
		add(&sh->errors, 1);
	return v;
}

static void store(size_t at, uint64_t v, bool calls)
{
	if (!calls)
		*(volatile uint64_t *)(map + at) = v;
	else if (kvt_pwrite(fd, &v, 8, (off_t)at) != 8)
		add(&sh->errors, 1);
}

static void *writer(void *arg)
{
	unsigned int who = (unsigned int)(uintptr_t)arg;
	uint64_t *shadow = calloc(nblocks * nspots, 8), rnd = seed * 31 + who;
	bool calls = who == 3;
	char q[STRIDE];

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t b = r % nblocks, s = r / nblocks % nspots;
		size_t at = word_at(b, s, who);
		uint64_t *mine = &shadow[b * nspots + s], v = load(at, calls);

		if (v != *mine) {
			if (!add(&sh->bad, 1))
				fprintf(stderr,
					"moves: writer %u block %zu: %" PRIu64
					", not %" PRIu64 "\n",
					who, b, v, *mine);
			*mine = v;
		}
		store(at, ++*mine, calls);
		if (r & 1 << 20) {
			at = quiet_at(b, r >> 24);
			if (calls) {
				if (kvt_pread(fd, q, STRIDE, (off_t)at) !=
				    STRIDE)
					add(&sh->errors, 1);
			} else {
				memcpy(q, map + at, STRIDE);
			}
			check_quiet(at, q);
		}
		add(&sh->ops[who], 1);
	}
	for (size_t b = 0; b < nblocks; b++)
		for (size_t s = 0; s < nspots; s++)
			if (load(word_at(b, s, who), calls) !=
			    shadow[b * nspots + s])
				add(&sh->final, 1);
	free(shadow);
	return NULL;
}

static void *mover(void *arg)
{
	uint64_t rnd = seed * 77 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t n = 1 + r / nblocks % 4;

		/* Down more often than up: up they come by themselves. */
		kvt_range(fd,
			  r >> 16 & 3 ? KVLIFT_IOC_DEMOTE : KVLIFT_IOC_PREFETCH,
			  r % nblocks, n, NULL);
		add(&sh->moves_asked, 1);
		if (!(r >> 20 & 15))
			kvt_msleep(1);
	}
	return NULL;
}

static long long moves_done(void)
{
	return kvt_counter(fd, "promote") + kvt_counter(fd, "demote");
}

static void run(void)
{
	pthread_t t[WRITERS + 1];
	long long start = moves_done();
	uint64_t end = kvt_now_ns() + (uint64_t)seconds * 1000000000u;
	pid_t other;
	int status;

	fflush(NULL);
	other = MUST(fork());
	if (!other) {
		fd = MUST(open("moves.f", O_RDWR));
		munmap(map, nblocks * bs);
		map = MUST(mmap(NULL, nblocks * bs, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0));
		writer((void *)2);
		_exit(0);
	}
	pthread_create(&t[0], NULL, writer, (void *)0);
	pthread_create(&t[1], NULL, writer, (void *)1);
	pthread_create(&t[2], NULL, writer, (void *)3);
	pthread_create(&t[3], NULL, mover, (void *)1);
	while (kvt_now_ns() < end &&
	       (want_moves < 0 || moves_done() - start < want_moves))
		kvt_msleep(50);
	__atomic_store_n(&sh->stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	waitpid(other, &status, 0);
	CHECK(status == 0, "the other process: %#x", status);
	want_moves = moves_done() - start;
}

int main(int argc, char **argv)
{
	struct kvlift_info info;
	bool tiers[KVLIFT_NR_TIERS] = { false };
	uint64_t ops = 0;
	char *buf;
	int opt;

	while ((opt = getopt(argc, argv, "n:t:m:s:x")) != -1) {
		switch (opt) {
		case 'n':
			nblocks = strtoul(optarg, NULL, 0);
			break;
		case 't':
			seconds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'm':
			want_moves = strtoll(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'x':
			expect_loss = true;
			break;
		default:
			kvt_die("usage: moves DIR [-n] [-t] [-m] [-s] [-x]");
		}
	}
	dir = argv[optind];
	if (!dir)
		kvt_die("usage: moves DIR [-n] [-t] [-m] [-s] [-x]");
	MUST(chdir(dir));
	fd = MUST(open("moves.f", O_CREAT | O_TRUNC | O_RDWR, 0600));
	if (!kvt_is_kvlift(fd)) {
		unlink("moves.f");
		return KVT_SKIP;
	}
	MUST(kvt_info(fd, &info));
	bs = info.block_size;
	nspots = bs / 4096 < 4 ? bs / 4096 : 4;
	sh = MUST(mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	memset(sh, 0, sizeof(*sh));

	buf = malloc(bs);
	for (size_t b = 0; b < nblocks; b++) {
		kvt_fill(buf, bs, seed, b * bs);
		for (size_t s = 0; s < nspots; s++)
			for (unsigned int w = 0; w < WRITERS; w++)
				memset(buf + word_at(b, s, w) - b * bs, 0, 8);
		IS(kvt_pwrite(fd, buf, bs, (off_t)(b * bs)), bs);
	}
	map = MUST(mmap(NULL, nblocks * bs, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0));
	run();

	/* Every byte that nobody wrote. */
	for (size_t b = 0; b < nblocks; b++) {
		int t = kvt_tier(fd, b);

		if (t >= 0)
			tiers[t] = true;
		for (size_t p = 0; p < bs; p += 4096) {
			size_t at = b * bs + p + WRITERS * STRIDE;

			if (kvt_diff(map + at, 4096 - WRITERS * STRIDE, seed,
				     at) >= 0)
				add(&sh->foreign, 1);
		}
	}
	for (int w = 0; w < WRITERS; w++) {
		ops += sh->ops[w];
		CHECK(sh->ops[w] > 0, "writer %d never ran", w);
	}
	printf("moves: block %zu, ops %" PRIu64 ", moves %lld, BAD %" PRIu64
	       ", FINAL %" PRIu64 ", FOREIGN %" PRIu64 ", in tiers%s%s%s\n",
	       bs, ops, want_moves, sh->bad, sh->final, sh->foreign,
	       tiers[1] ? " dram" : "", tiers[2] ? " cxl" : "",
	       tiers[3] ? " nvme" : "");
	IS(sh->errors, 0);
	CHECK(want_moves > 0, "nothing moved");
	munmap(map, nblocks * bs);
	close(fd);
	unlink("moves.f");
	if (expect_loss) {
		CHECK(sh->bad + sh->final > 0,
		      "the negative control lost no write");
	} else {
		IS(sh->bad, 0);
		IS(sh->final, 0);
		IS(sh->foreign, 0);
	}
	return kvt_end("moves");
}
