// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Accessed bits of mappings.
 *
 *	scan DIR found		what was accessed is found, and nothing else
 *	scan DIR worker		by the pool's own scan, without being asked
 *	scan DIR chaos SECONDS	scans while mappings come and go
 *	scan DIR hold MIB TIMES	maps a file so often and reads it until there is
 *input
 */
#include "kvltest.h"

#include <pthread.h>

#define RW (PROT_READ | PROT_WRITE)

static struct kvlift_info info;
static size_t bs;

static int mk(const char *name, size_t nr)
{
	int fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));

	MUST(ftruncate(fd, (off_t)(nr * bs)));
	return fd;
}

static int heats(int fd, uint32_t flags, uint64_t count, uint32_t *values)
{
	struct kvlift_heat h = {
		.count = count,
		.ptr = (uintptr_t)values,
		.flags = flags,
	};

	return ioctl(fd, KVLIFT_IOC_HEAT, &h) ? -1 : (int)h.count;
}

/*
 * No CPU remembers an accessed translation of ours: unmapping more pages than
 * are flushed one by one flushes all.
 */
static void forget_tlb(void)
{
	size_t len = 256 * 4096;
	char *p = MUST(mmap(NULL, len, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	memset(p, 1, len);
	munmap(p, len);
}

static void touch(const char *p)
{
	(void)*(const volatile char *)p;
}

static bool chosen(size_t i)
{
	return (i * 2654435761u) >> 16 & 1;
}

/* Of nr blocks those that are chosen are accessed, in one page. */
static void found(size_t nr, int prot, size_t skew, const char *what)
{
	int fd = mk("f", nr);
	uint32_t *was = calloc(nr, sizeof(*was)), *is = calloc(nr, sizeof(*is));
	size_t i, len = nr * bs - skew, missed = 0, wrong = 0;
	char *m = MUST(mmap(NULL, len, prot, MAP_SHARED, fd, (off_t)skew));

	for (i = 0; i < len; i += 4096)
		touch(m + i);
	kvt_msleep(150);
	IS(heats(fd, KVLIFT_HEAT_SCAN, nr, was), nr);
	for (int turn = 0; turn < 3; turn++) {
		kvt_msleep(150);
		forget_tlb();
		IS(heats(fd, 0, nr, was), nr);
		for (i = 1; i < nr; i++) {
			if (chosen(i + (size_t)turn))
				touch(m + i * bs - skew + i * 4096 % bs);
		}
		IS(heats(fd, KVLIFT_HEAT_SCAN, nr, is), nr);
		for (i = 1; i < nr; i++) {
			bool hot = is[i] > was[i];

			missed += chosen(i + (size_t)turn) && !hot;
			wrong += !chosen(i + (size_t)turn) && hot;
		}
	}
	CHECK(!missed && !wrong, "%s: %zu missed, %zu wrong of %zu", what,
	      missed, wrong, 3 * nr);
	munmap(m, len);
	close(fd);
	unlink("f");
	free(was);
	free(is);
}

/* Whether the mapping is made of PMDs. */
static bool by_pmd(size_t nr)
{
	int fd = mk("f", nr);
	char *m = MUST(mmap(NULL, nr * bs, RW, MAP_SHARED, fd, 0));
	char line[256];
	long kib = 0;
	FILE *f;

	for (size_t i = 0; i < nr; i++)
		m[i * bs] = 1;
	f = fopen("/proc/self/smaps", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "FilePmdMapped: %ld", &kib) == 1 && kib)
			break;
	if (f)
		fclose(f);
	munmap(m, nr * bs);
	close(fd);
	unlink("f");
	return kib;
}

static void find_all(void)
{
	bool pmd = by_pmd(4);

	printf("blocks of %zuK by %s\n", bs >> 10, pmd ? "PMD" : "PTE");
	CHECK(pmd == (bs == 2u << 20), "not by PMD");
	found(40, RW, 0, "writable");
	found(40, PROT_READ, 0, "read-only");
	/* Begins within a block; 2 MiB blocks are mapped by pages then. */
	found(40, RW, 3 * 4096, "at an angle");
	found(1, RW, 0, "one block");
}

/* No call but waiting. */
static void worker(void)
{
	size_t nr = 40, i, missed = 0, wrong = 0;
	int fd = mk("f", nr);
	uint32_t was[40], is[40];
	long long scans;
	char *m = MUST(mmap(NULL, nr * bs, RW, MAP_SHARED, fd, 0));

	for (i = 0; i < nr * bs; i += 4096)
		m[i] = 1;
	/* Two rounds: what filling has left is gone. */
	scans = kvt_counter(fd, "scans");
	for (i = 0; i < 1000 && kvt_counter(fd, "scans") < scans + 2; i++)
		kvt_msleep(10);
	CHECK(i < 1000, "no scan in ten seconds");
	forget_tlb();
	IS(heats(fd, 0, nr, was), nr);
	for (i = 0; i < nr; i++)
		if (chosen(i))
			touch(m + i * bs + i * 4096 % bs);
	scans = kvt_counter(fd, "scans");
	for (i = 0; i < 1500 && kvt_counter(fd, "scans") < scans + 2; i++)
		kvt_msleep(10);
	CHECK(i < 1500, "no scan in fifteen seconds");
	IS(heats(fd, 0, nr, is), nr);
	for (i = 0; i < nr; i++) {
		missed += chosen(i) && is[i] <= was[i];
		wrong += !chosen(i) && is[i] > was[i];
	}
	CHECK(!missed && !wrong, "%zu missed, %zu wrong of %zu", missed, wrong,
	      nr);
	CHECK(kvt_counter(fd, "scan_young") > 0, "none found");
	munmap(m, nr * bs);
	close(fd);
	unlink("f");
}

static volatile bool stop;
static size_t held_len;

static void *map_and_unmap(void *arg)
{
	int fd = *(int *)arg;
	size_t nr = 24;

	while (!stop) {
		char *m = MUST(mmap(NULL, nr * bs, RW, MAP_SHARED, fd, 0));

		for (size_t i = 0; i < nr; i++)
			m[i * bs + 8] = (char)i;
		madvise(m + bs, 4 * bs, MADV_DONTNEED);
		mprotect(m + 8 * bs, 2 * bs, PROT_READ);
		m = MUST(mremap(m, nr * bs, 20 * bs, MREMAP_MAYMOVE));
		touch(m + 19 * bs);
		munmap(m, 20 * bs);
	}
	return NULL;
}

static void *scan_again(void *arg)
{
	uint32_t v[24];

	while (!stop)
		heats(*(int *)arg, KVLIFT_HEAT_SCAN, 24, v);
	return NULL;
}

/* Also children that end with their mappings, and moves. */
static void chaos(unsigned int seconds)
{
	size_t nr = 24;
	int fd = mk("f", nr), keep = mk("g", nr);
	uint64_t end = kvt_now_ns() + seconds * 1000000000ull, n;
	char *m = MUST(mmap(NULL, nr * bs, RW, MAP_SHARED, keep, 0));
	pthread_t t[3];
	pid_t pid;

	for (size_t i = 0; i < nr; i++)
		kvt_fill(m + i * bs, bs, 5, i * bs);
	MUST(-pthread_create(&t[0], NULL, map_and_unmap, &fd));
	MUST(-pthread_create(&t[1], NULL, scan_again, &fd));
	MUST(-pthread_create(&t[2], NULL, scan_again, &keep));
	for (n = 0; kvt_now_ns() < end; n++) {
		pid = MUST(fork());
		if (!pid) {
			touch(m + n % nr * bs);
			if (n & 1)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		kvt_demote(keep, n % nr, 3);
		waitpid(pid, NULL, 0);
		touch(m + (n + 7) % nr * bs);
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < nr; i++)
		CHECK_PATTERN(m + i * bs, bs, 5, i * bs);
	munmap(m, nr * bs);
	close(fd);
	close(keep);
	unlink("f");
	unlink("g");
}

/* Many children, one after the other, while rounds are far apart. */
static void ended(int nr)
{
	int fd = mk("e", 1), i;
	char *m = MUST(mmap(NULL, bs, RW, MAP_SHARED, fd, 0));
	pid_t pid;

	touch(m);
	kvt_msleep(12000);
	for (i = 0; i < nr; i++) {
		pid = MUST(fork());
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	munmap(m, bs);
	close(fd);
	unlink("e");
}

static void *use_all(void *arg)
{
	char **maps = arg;

	while (!stop) {
		forget_tlb();
		for (char **m = maps; *m; m++)
			for (size_t i = 0; i < held_len; i += 4096)
				touch(*m + i);
		kvt_msleep(300);
	}
	return NULL;
}

static void hold(size_t mib, int times)
{
	char *maps[17] = { NULL };
	pthread_t t;
	int fd;

	held_len = mib << 20;
	fd = mk("held", held_len / bs);
	for (int i = 0; i < times && i < 16; i++)
		maps[i] = MUST(mmap(NULL, held_len, RW, MAP_SHARED, fd, 0));
	MUST(-pthread_create(&t, NULL, use_all, maps));
	kvt_msleep(3000);
	puts("mapped");
	fflush(stdout);
	(void)getchar();
	stop = true;
	pthread_join(t, NULL);
	unlink("held");
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		kvt_die("usage: scan DIR TEST");
	MUST(chdir(argv[1]));
	fd = MUST(open(".", O_RDONLY));
	MUST(kvt_info(fd, &info));
	close(fd);
	bs = info.block_size;
	if (!(info.features & KVLIFT_F_SCAN))
		return KVT_SKIP;
	if (!strcmp(argv[2], "found"))
		find_all();
	else if (!strcmp(argv[2], "worker"))
		worker();
	else if (!strcmp(argv[2], "chaos"))
		chaos(argc > 3 ? (unsigned int)atoi(argv[3]) : 3);
	else if (!strcmp(argv[2], "ended") && argc > 3)
		ended(atoi(argv[3]));
	else if (!strcmp(argv[2], "hold") && argc > 4)
		hold((size_t)atoi(argv[3]), atoi(argv[4]));
	else
		kvt_die("no test %s", argv[2]);
	return kvt_end("scan");
}
