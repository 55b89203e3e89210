// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Everything at once. Region A is only written, in words that their writers
 * count, while its mappings are split, moved, protected, dropped, forked and
 * pinned and its blocks move: no word may be lost. Region B is truncated,
 * punched and filled meanwhile: what is read there is zero or what belongs
 * to that very offset. Files come and go beside them.
 *
 *	chaos DIR [-t SECONDS] [-s SEED] [-n BLOCKS] [-r A:B] [-x]
 *
 * -r remounts in turn with the options A and B. -x: lost writes are expected
 * (the negative control), so none is a failure.
 */
#include "kvltest.h"
#include "kvturing.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/mount.h>

#define RW	(PROT_READ | PROT_WRITE)
#define WRITERS 4

static size_t bs, nblocks = 16;
static uint64_t seed = 1;
static unsigned int seconds = 10;
static bool expect_loss;
static char *remount[2];
static char dir[4096];
static int fda, fdb;
static char *ma, *mb;

struct shared {
	bool stop;
	uint64_t ops, bad, final, foreign, bus_a, bus_b, cuts, vm, pins, moves;
	uint64_t files, forks, errors, remounts, enospc;
};
static struct shared *sh;

static _Thread_local sigjmp_buf on_bus;
static _Thread_local volatile bool bus_expected;

static void bump(uint64_t *p)
{
	__atomic_fetch_add(p, 1, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&sh->stop, __ATOMIC_RELAXED);
}

static void sigbus(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	if (bus_expected)
		siglongjmp(on_bus, 1);
	fprintf(stderr, "chaos: SIGBUS at %p in region A\n", si->si_addr);
	_exit(3);
}

static uint64_t tag(size_t off)
{
	return kvt_mix(seed + off) | 1;
}

static size_t word_at(uint64_t r, unsigned int who)
{
	return r % nblocks * bs + r / nblocks % (bs / 4096) * 4096 + who * 8;
}

/* Region A: each counts in words that nobody else writes. */
static void *writer(void *arg)
{
	unsigned int who = (unsigned int)(uintptr_t)arg;
	size_t pages = nblocks * (bs / 4096);
	uint64_t *shadow = calloc(pages, 8), rnd = seed * 131 + who, v;

	while (!stopped()) {
		size_t at = word_at(kvt_rand(&rnd) >> 8, who);
		uint64_t *mine = &shadow[at / 4096];

		if (who == 2) {
			if (kvt_pread(fda, &v, 8, (off_t)at) != 8)
				bump(&sh->errors);
		} else {
			v = *(volatile uint64_t *)(ma + at);
		}
		if (v != *mine) {
			bump(&sh->bad);
			*mine = v;
		}
		++*mine;
		if (who == 2) {
			if (kvt_pwrite(fda, mine, 8, (off_t)at) != 8)
				bump(&sh->errors);
		} else {
			*(volatile uint64_t *)(ma + at) = *mine;
		}
		bump(&sh->ops);
	}
	for (size_t p = 0; p < pages; p++) {
		v = *(volatile uint64_t *)(ma + p * 4096 + who * 8);
		if (v != shadow[p])
			bump(&sh->final);
	}
	free(shadow);
	return NULL;
}

static void look(uint64_t v, size_t at)
{
	if (v && v != tag(at)) {
		bump(&sh->foreign);
		if (sh->foreign == 1)
			fprintf(stderr, "chaos: B at %#zx: %#" PRIx64 "\n", at,
				v);
	}
}

static void touch_mapped(size_t at, bool store)
{
	if (sigsetjmp(on_bus, 1)) {
		bus_expected = false;
		bump(&sh->bus_b);
		return;
	}
	bus_expected = true;
	if (store)
		*(volatile uint64_t *)(mb + at) = tag(at);
	else
		look(*(volatile uint64_t *)(mb + at), at);
	bus_expected = false;
}

/* Region B: what is there is zero or the tag of its place. */
static void *toucher(void *arg)
{
	uint64_t rnd = seed * 137 + (uintptr_t)arg, v;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % (nblocks * bs) & ~7ul;

		v = 0;
		switch (r >> 40 & 3) {
		case 0:
			v = tag(at);
			if (pwrite(fdb, &v, 8, (off_t)at) != 8) {
				if (errno == ENOSPC)
					bump(&sh->enospc);
				else
					bump(&sh->errors);
			}
			break;
		case 1:
			if (pread(fdb, &v, 8, (off_t)at) == 8)
				look(v, at);
			break;
		default:
			touch_mapped(at, r >> 42 & 1);
			break;
		}
		bump(&sh->ops);
	}
	return NULL;
}

static void *cutter(void *arg)
{
	uint64_t rnd = seed * 139 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		off_t at = (off_t)(r % (nblocks * bs) & ~7ul);
		off_t len = (off_t)((r >> 30) % (4 * bs) & ~7ul) + 8;
		int rc = 0;

		switch (r >> 20 & 7) {
		case 0:
		case 1:
			rc = ftruncate(fdb, at);
			break;
		case 2:
		case 3:
			rc = ftruncate(fdb, (off_t)(nblocks * bs));
			break;
		case 4:
		case 5:
			rc = fallocate(
				fdb, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				at, len);
			break;
		case 6:
			rc = fallocate(fdb, 0, at, len);
			break;
		default:
			/* Not past the end: region A may lie there. */
			rc = madvise(mb + (at & ~4095ul), 4096, MADV_REMOVE);
			break;
		}
		if (rc && errno != ENOSPC && errno != EINVAL) {
			if (!sh->errors)
				perror("chaos: cut");
			bump(&sh->errors);
		}
		bump(&sh->cuts);
		if (!(r >> 50 & 7))
			kvt_msleep(1);
	}
	return NULL;
}

/*
 * Piece by piece: once there is a hole, another thread's mapping may be in
 * it, and an munmap() of the whole would take that away.
 */
static void unmap_around(char *m, size_t len, size_t at, size_t n, bool middle)
{
	if (middle && n)
		munmap(m + at, n);
	if (at)
		munmap(m, at);
	if (at + n < len)
		munmap(m + at + n, len - at - n);
}

/* Mappings of A and B that come, change and go. */
static void *vm(void *arg)
{
	uint64_t rnd = seed * 149 + (uintptr_t)arg;
	size_t len = nblocks * bs;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % len & ~4095ul, n = (r >> 24) % (3 * bs) + 4096;
		char *m, *to;

		n = (at + n > len ? len - at : n) & ~4095ul;
		if (!n)
			continue;
		m = mmap(NULL, len, RW, MAP_SHARED, fda, 0);
		if (m == MAP_FAILED) {
			bump(&sh->errors);
			continue;
		}
		for (size_t i = at; i < at + n; i += 4096)
			(void)*(volatile char *)(m + i);
		switch (r >> 50 & 7) {
		case 0:
			mprotect(m + at, n, PROT_READ);
			mprotect(m, len, RW);
			break;
		case 1:
			unmap_around(m, len, at, n, true);
			m = NULL;
			break;
		case 2:
			madvise(m + at, n, MADV_DONTNEED);
			madvise(ma + at, n, MADV_DONTNEED);
			break;
		case 3:
			to = mmap(NULL, len, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (to == MAP_FAILED)
				break;
			if (mremap(m + at, n, n, MREMAP_MAYMOVE | MREMAP_FIXED,
				   to + at) == to + at) {
				(void)*(volatile char *)(to + at);
				unmap_around(m, len, at, n, false);
				m = NULL;
			}
			munmap(to, len);
			break;
		case 4:
			madvise(m + at, n, 22 /* POPULATE_READ */);
			madvise(m + at, n, MADV_WILLNEED);
			break;
		case 5:
			madvise(m + at, n, 20 /* COLD */);
			madvise(m + at, n, 21 /* PAGEOUT */);
			msync(m + at, n, MS_SYNC);
			break;
		case 6:
			mlock(m + at, n);
			munlock(m + at, n);
			break;
		default:
			madvise(mb + at, n, MADV_DONTNEED);
			break;
		}
		if (m)
			munmap(m, len);
		bump(&sh->vm);
	}
	return NULL;
}

static void *pinner(void *arg)
{
	uint64_t rnd = seed * 151 + (uintptr_t)arg;
	struct ring ring;

	if (!ring_open(&ring))
		return NULL;
	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t at = r % nblocks * bs;
		size_t n = ((r >> 20) % 2 + 1) * bs;
		char *m = r >> 40 & 1 ? ma : mb;

		if (at + n > nblocks * bs)
			n = bs;
		if (!ring_register(&ring, m + at, n)) {
			bump(&sh->pins);
			kvt_msleep((r >> 44) % 5);
			ring_unregister(&ring);
		}
		kvt_msleep(1);
	}
	ring_close(&ring);
	return NULL;
}

static void *mover(void *arg)
{
	uint64_t rnd = seed * 157 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;

		kvt_range(r >> 50 & 3 ? fda : fdb,
			  r >> 40 & 3 ? KVLIFT_IOC_DEMOTE : KVLIFT_IOC_PREFETCH,
			  r % nblocks, (r >> 20) % 4 + 1, NULL);
		bump(&sh->moves);
		if (!(r >> 60 & 7))
			kvt_msleep(1);
	}
	return NULL;
}

/* Files that are deleted while mapped, and renamed, and small ones. */
static void *filer(void *arg)
{
	uint64_t rnd = seed * 163 + (uintptr_t)arg;
	char name[16], other[16];

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		size_t n = (r & 1) ? bs : 1000;
		char *buf = malloc(n), *m;
		int fd;

		snprintf(name, sizeof(name), "c%d", (int)(r % 5));
		snprintf(other, sizeof(other), "c%d", (int)(r >> 8) & 3);
		fd = open(name, O_CREAT | O_RDWR, 0600);
		if (fd < 0) {
			bump(&sh->errors);
			free(buf);
			continue;
		}
		kvt_fill(buf, n, r, 0);
		if (ftruncate(fd, 0) ||
		    kvt_pwrite(fd, buf, n, 0) != (ssize_t)n) {
			bump(errno == ENOSPC ? &sh->enospc : &sh->errors);
		} else {
			m = mmap(NULL, n, RW, MAP_SHARED, fd, 0);
			rename(name, other);
			unlink(other);
			kvt_demote(fd, 0, 1);
			if (m != MAP_FAILED) {
				if (kvt_diff(m, n, r, 0) >= 0)
					bump(&sh->foreign);
				munmap(m, n);
			}
		}
		close(fd);
		free(buf);
		bump(&sh->files);
	}
	return NULL;
}

static void *forker(void *arg)
{
	uint64_t rnd = seed * 167 + (uintptr_t)arg;

	while (!stopped()) {
		uint64_t r = kvt_rand(&rnd) >> 8;
		pid_t pid = fork();

		if (!pid) {
			/* No locks, no stdio: other threads are gone. */
			for (int i = 0; i < 20; i++) {
				size_t at = kvt_rand(&rnd) % (nblocks * bs);

				(void)*(volatile char *)(ma + at);
			}
			if (r & 1)
				munmap(ma + bs, bs);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
		bump(&sh->forks);
		kvt_msleep(5);
	}
	return NULL;
}

static void *remounter(void *arg)
{
	(void)arg;
	for (int i = 0; !stopped() && remount[1]; i++) {
		if (mount("none", dir, "kvlift", MS_REMOUNT, remount[i & 1]) &&
		    errno != EBUSY && errno != ENOSPC) {
			if (!sh->errors)
				perror("chaos: remount");
			bump(&sh->errors);
		}
		bump(&sh->remounts);
		kvt_msleep(200);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*const threads[])(void *) = {
		writer, writer, writer, toucher, toucher, cutter,    vm,
		vm,	pinner, mover,	filer,	 forker,  remounter,
	};
	pthread_t t[sizeof(threads) / sizeof(threads[0])];
	struct sigaction sa = {
		.sa_sigaction = sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	struct kvlift_info info;
	pid_t other;
	int opt, status;

	while ((opt = getopt(argc, argv, "t:s:n:r:x")) != -1) {
		switch (opt) {
		case 't':
			seconds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			nblocks = strtoul(optarg, NULL, 0);
			break;
		case 'r':
			remount[0] = strtok(optarg, ":");
			remount[1] = strtok(NULL, "");
			break;
		case 'x':
			expect_loss = true;
			break;
		default:
			kvt_die("usage: chaos DIR [-t] [-s] [-n] [-r] [-x]");
		}
	}
	if (!argv[optind])
		kvt_die("usage: chaos DIR [-t] [-s] [-n] [-r] [-x]");
	snprintf(dir, sizeof(dir), "%s", argv[optind]);
	MUST(chdir(dir));
	fda = MUST(open("a", O_CREAT | O_TRUNC | O_RDWR, 0600));
	fdb = MUST(open("b", O_CREAT | O_TRUNC | O_RDWR, 0600));
	bs = 65536;
	if (kvt_is_kvlift(fda)) {
		MUST(kvt_info(fda, &info));
		bs = info.block_size;
	}
	MUST(ftruncate(fda, (off_t)(nblocks * bs)));
	MUST(ftruncate(fdb, (off_t)(nblocks * bs)));
	ma = MUST(mmap(NULL, nblocks * bs, RW, MAP_SHARED, fda, 0));
	mb = MUST(mmap(NULL, nblocks * bs, RW, MAP_SHARED, fdb, 0));
	sh = MUST(mmap(NULL, 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	sigaction(SIGBUS, &sa, NULL);

	fflush(NULL);
	other = MUST(fork());
	if (!other) {
		writer((void *)3);
		_exit(0);
	}
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		pthread_create(&t[i], NULL, threads[i], (void *)i);
	kvt_msleep(seconds * 1000);
	__atomic_store_n(&sh->stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		pthread_join(t[i], NULL);
	waitpid(other, &status, 0);
	CHECK(status == 0, "the other process: %#x", status);
	printf("chaos: seed %" PRIu64 ", block %zu, ops %" PRIu64
	       ", cuts %" PRIu64 ", vm %" PRIu64 ", pins %" PRIu64
	       ", move calls %" PRIu64 ", files %" PRIu64 ", forks %" PRIu64
	       ", remounts %" PRIu64 ", SIGBUS in B %" PRIu64 ", full %" PRIu64
	       "; BAD %" PRIu64 ", FINAL %" PRIu64 ", FOREIGN %" PRIu64 "\n",
	       seed, bs, sh->ops, sh->cuts, sh->vm, sh->pins, sh->moves,
	       sh->files, sh->forks, sh->remounts, sh->bus_b, sh->enospc,
	       sh->bad, sh->final, sh->foreign);
	munmap(ma, nblocks * bs);
	munmap(mb, nblocks * bs);
	close(fda);
	close(fdb);
	unlink("a");
	unlink("b");
	IS(system("rm -f c0 c1 c2 c3 c4"), 0);
	IS(sh->errors, 0);
	if (expect_loss) {
		CHECK(sh->bad + sh->final > 0,
		      "the negative control lost no write");
	} else {
		IS(sh->bad, 0);
		IS(sh->final, 0);
		IS(sh->foreign, 0);
	}
	return kvt_end("chaos");
}
