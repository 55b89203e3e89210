// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An engine with four tiers at work: sessions that share prefixes come back by
 * chance, the popular ones more often. Each turn has the blocks of its chain
 * brought to the GPU, where every byte is looked at, and adds some that the
 * GPU has made. CPUs read and write meanwhile.
 *
 *	gpureplay DIR BLOCKS SLOTS WINDOW REQUESTS [SEED]
 *
 * WINDOW "udmabuf": the memory is a udmabuf, which the kernel copies to itself.
 */
#include "kvtgpu.h"

#define GROUPS	 8 /* of sessions with the same prefix */
#define SESSIONS 24

static uint64_t nr, cap, prefix, own, rnd = 1;
static uint32_t *version;	  /* 0: a hole */
static uint32_t *last;		  /* none comes twice */
static uint64_t length[SESSIONS]; /* blocks of its own */
static bool stop;
static struct {
	uint64_t seen[KVLIFT_NR_TIERS + 1], checked, made, rewritten;
	uint64_t cpu_reads, cpu_writes, windows, refused, bad;
} st;

static uint64_t below(uint64_t n)
{
	return kvt_rand_below(&rnd, n);
}

static uint64_t stream(uint64_t b)
{
	return b << 24 | version[b];
}

static void mismatch(uint64_t b, ssize_t at, const char *where)
{
	__atomic_add_fetch(&st.bad, 1, __ATOMIC_RELAXED);
	CHECK(false, "block %" PRIu64 " version %u: byte %zd is wrong %s", b,
	      version[b], at, where);
}

static void check_bytes(const char *p, uint64_t b, const char *where)
{
	ssize_t at = version[b] ? kvt_diff(p, bs, stream(b), 0)
				: kvt_nonzero(p, bs);

	if (at >= 0)
		mismatch(b, at, where);
}

/* The first blocks of a group's prefix; they never change. */
static uint64_t prefix_of(uint64_t session)
{
	return session % GROUPS * prefix;
}

static uint64_t own_of(uint64_t session)
{
	return GROUPS * prefix + session * own;
}

static void cpu_write(char *p, uint64_t b)
{
	version[b] = ++last[b];
	kvt_fill(p, bs, stream(b), 0);
	IS(kvt_pwrite(fd, p, bs, (off_t)(b * bs)), bs);
}

static void cpu_read(char *p, uint64_t b, bool mapped)
{
	if (mapped) {
		check_bytes(map + b * bs, b, "in a mapping");
	} else {
		IS(kvt_pread(fd, p, bs, (off_t)(b * bs)), bs);
		check_bytes(p, b, "by read");
	}
	__atomic_add_fetch(&st.cpu_reads, 1, __ATOMIC_RELAXED);
}

/* Another thread, to which prefixes are as good as to the GPU. */
static void *cpu_reader(void *arg)
{
	uint64_t mine = 99;
	char *p = malloc(bs);

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		cpu_read(p, kvt_rand_below(&mine, GROUPS * prefix),
			 kvt_rand_below(&mine, 2));
		kvt_msleep(5);
	}
	free(p);
	return NULL;
}

static void fill(void)
{
	struct kvlift_seal s = { .count = GROUPS * prefix };

	for (uint64_t b = 0; b < GROUPS * prefix; b++)
		cpu_write(buf, b);
	OK(ioctl(fd, KVLIFT_IOC_SEAL, &s));
	for (unsigned int i = 0; i < SESSIONS; i++) {
		length[i] = own * 3 / 4;
		for (uint64_t k = 0; k < length[i]; k++)
			cpu_write(buf, own_of(i) + k);
	}
}

/* Where the blocks were that somebody asks for. */
static void look(uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++) {
		int t = kvt_tier(fd, i);

		st.seen[t < 0 ? KVLIFT_NR_TIERS : t]++;
	}
}

/* False when there was no way; that is for the caller to live with. */
static bool want(struct mv_lease *l, uint64_t first, uint64_t n, uint32_t flags)
{
	if (!n)
		return false;
	*l = mv_acquire(q, fd, first, n, flags);
	if (!l->res)
		return true;
	st.refused++;
	CHECK(l->res == -EBUSY || l->res == -ENOSPC || l->res == -EAGAIN,
	      "blocks %" PRIu64 " + %" PRIu64 ", flags %#x: %s", first, n,
	      flags, strerror(-l->res));
	return false;
}

static void check_lease(const struct mv_lease *l, uint64_t first, uint64_t n,
			const char *where)
{
	for (uint64_t i = 0; i < n; i++)
		check_bytes(mv_at(&m, l->word[i]), first + i, where);
	st.checked += n;
}

/* All of each block. Versions count before: nobody else looks at them. */
static void gpu_makes(const struct mv_lease *l, uint64_t first, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		version[first + i] = ++last[first + i];
		kvt_fill(mv_at(&m, l->word[i]), bs, stream(first + i), 0);
	}
}

/* The session is over; another one begins in its place. */
static void start_anew(uint64_t session)
{
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     (off_t)(own_of(session) * bs), (off_t)(own * bs)));
	for (uint64_t i = 0; i < own; i++)
		version[own_of(session) + i] = 0;
	length[session] = 0;
}

static void append(uint64_t session, uint64_t n)
{
	uint64_t first = own_of(session) + length[session];
	struct mv_lease l;

	if (length[session] + n > own) {
		start_anew(session);
		return;
	}
	if (!want(&l, first, n, MV_GPU | KVLIFT_REQ_WRITE | KVLIFT_REQ_NEW))
		return;
	gpu_makes(&l, first, n);
	OK(mv_release(q, &l));
	length[session] += n;
	st.made += n;
	if (below(2)) {
		struct kvlift_seal s = { .first = first, .count = n };

		OK(ioctl(fd, KVLIFT_IOC_SEAL, &s));
	}
}

/* The tail of what the session has, in one of the ways there are. */
static void own_part(uint64_t session, uint64_t n)
{
	uint64_t first = own_of(session) + length[session] - n;
	uint32_t flags = MV_GPU;
	struct mv_lease l;

	switch (below(8)) {
	case 0:
		flags |= KVLIFT_REQ_WRITE;
		break;
	case 1:
		flags |= KVLIFT_REQ_EXCLUSIVE;
		break;
	case 2:
		if (!m.att.window)
			break;
		flags = KVLIFT_REQ_WINDOW;
		if (n > m.att.window / 2)
			n = m.att.window / 2;
		st.windows += n;
		break;
	default:
		break;
	}
	look(first, n);
	if (!want(&l, first, n, flags))
		return;
	check_lease(&l, first, n,
		    flags & MV_GPU ? "in the GPU" : "in the window");
	if (flags & KVLIFT_REQ_WRITE) {
		gpu_makes(&l, first, n);
		st.rewritten += n;
	}
	OK(mv_release(q, &l));
}

static void turn(void)
{
	uint64_t u = below(1000), session = u * u / 1000 * SESSIONS / 1000;
	uint64_t most = cap < MV_MAX ? cap : MV_MAX;
	uint64_t n = 2 + below(most - 3);
	uint64_t head = 1 + below(n - 1), tail = n - head, b;
	struct mv_lease l;
	bool have;

	if (head > prefix)
		head = prefix;
	if (tail > length[session])
		tail = length[session];
	look(prefix_of(session), head);
	have = want(&l, prefix_of(session), head, MV_GPU);
	if (have)
		check_lease(&l, prefix_of(session), head, "in the GPU");
	if (tail)
		own_part(session, tail);
	append(session, 1 + below(2));
	/* Still there after all that. */
	if (have) {
		check_lease(&l, prefix_of(session), 1, "in the GPU, later");
		OK(mv_release(q, &l));
	}
	b = GROUPS * prefix + below(SESSIONS * own);
	cpu_read(buf, b, below(2));
	b = GROUPS * prefix + below(SESSIONS * own);
	if (version[b] && !below(4)) {
		cpu_write(buf, b);
		st.cpu_writes++;
	}
	/* The next one may be told ahead. */
	if (!below(4)) {
		struct kvlift_req r = mv_req(fd, prefix_of(below(GROUPS)),
					     prefix < 4 ? prefix : 4, MV_GPU);

		r.op = KVLIFT_OP_PREFETCH;
		r.lease_ms = 0;
		IS(mv_ask(q, r).res <= 0, true);
	}
}

/* Each tier that there is was gone to and left. */
static void check_tiers(void)
{
	static const char *const names[] = { "gpu", "dram", "cxl", "nvme" };
	char name[64];

	MUST(kvt_info(dir, &info));
	for (int t = 0; t < KVLIFT_NR_TIERS; t++) {
		long long to = 0, from = 0, v;

		for (int o = 0; o < KVLIFT_NR_TIERS; o++) {
			snprintf(name, sizeof(name), "move_%s_%s", names[o],
				 names[t]);
			v = kvt_counter(dir, name);
			to += v > 0 ? v : 0;
			snprintf(name, sizeof(name), "move_%s_%s", names[t],
				 names[o]);
			v = kvt_counter(dir, name);
			from += v > 0 ? v : 0;
		}
		printf("gpureplay: %s: %lld blocks came, %lld left\n", names[t],
		       to, from);
		if (info.nr_members[t])
			CHECK(to > 0 && from > 0, "tier %s is not in use",
			      names[t]);
	}
	CHECK(MV_INFO(&m, in) > 0 && MV_INFO(&m, out) > 0);
	IS(MV_INFO(&m, failed), 0);
	IS(MV_INFO(&m, late), 0);
	IS(MV_INFO(&m, ignored), 0);
	IS(MV_INFO(&m, lost), 0);
}

int main(int argc, char **argv)
{
	uint64_t requests;
	pthread_t t;

	if (argc < 6)
		kvt_die("usage: gpureplay DIR BLOCKS SLOTS WINDOW REQUESTS [SEED]");
	MUST(chdir(argv[1]));
	dir = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(dir))
		return KVT_SKIP;
	MUST(kvt_info(dir, &info));
	bs = info.block_size;
	buf = malloc(bs);
	nr = strtoull(argv[2], NULL, 0);
	cap = strtoull(argv[3], NULL, 0) / 2;
	requests = strtoull(argv[5], NULL, 0);
	if (argc > 6)
		rnd = strtoull(argv[6], NULL, 0);
	prefix = nr / 4 / GROUPS;
	own = (nr - prefix * GROUPS) / SESSIONS;
	if (cap < 4 || !prefix || own < 4)
		kvt_die("too few blocks or slots");
	/* Beside the prefix and the tail some are added. */
	cap -= 2;
	if (cap < 4)
		cap = 4;
	version = calloc(nr, sizeof(*version));
	last = calloc(nr, sizeof(*last));
	fd = MUST(open("r", O_CREAT | O_TRUNC | O_RDWR, 0644));
	OK(ftruncate(fd, (off_t)(nr * bs)));
	map = MUST(mmap(NULL, nr * bs, PROT_READ, MAP_SHARED, fd, 0));
	mv_phase("filling", 150);
	fill();
	if (strcmp(argv[4], "udmabuf")) {
		mv_open(&m, dir, strtoull(argv[3], NULL, 0),
			strtoull(argv[4], NULL, 0), 15000 * mv_slow());
		m.reverse = true;
	} else if (!mv_open_dmabuf(&m, dir, strtoull(argv[3], NULL, 0))) {
		fprintf(stderr, "gpureplay: no /dev/udmabuf\n");
		return KVT_SKIP;
	}
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
	if (pthread_create(&t, NULL, cpu_reader, NULL))
		kvt_die("pthread_create");
	for (uint64_t i = 0; i < requests && !kvt_fails; i++) {
		mv_phase("a request", 60);
		turn();
	}
	mv_phase("the end", 150);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	check_tiers();
	CHECK(mv_drain(&m, 60000), "%llu slots used", MV_INFO(&m, used));
	close(q);
	mv_close(&m);
	for (uint64_t b = 0; b < nr; b++)
		cpu_read(buf, b, b % 2);
	munmap(map, nr * bs);
	close(fd);
	OK(unlink("r"));
	printf("gpureplay: %" PRIu64 " requests; found in gpu %" PRIu64
	       " dram %" PRIu64 " cxl %" PRIu64 " nvme %" PRIu64
	       " none %" PRIu64 "; checked %" PRIu64 ", made %" PRIu64
	       ", rewritten %" PRIu64 ", in the window %" PRIu64
	       ", refused %" PRIu64 "; CPU reads %" PRIu64 ", writes %" PRIu64
	       "; %" PRIu64 " mismatches\n",
	       requests, st.seen[0], st.seen[1], st.seen[2], st.seen[3],
	       st.seen[4], st.checked, st.made, st.rewritten, st.windows,
	       st.refused, st.cpu_reads, st.cpu_writes, st.bad);
	CHECK(st.refused * 10 <= requests, "%" PRIu64 " refused", st.refused);
	CHECK(st.checked > requests && st.made);
	return kvt_end("gpureplay");
}
