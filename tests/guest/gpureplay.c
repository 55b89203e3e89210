// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An engine with four tiers at work on a request trace, real or made up. Blocks
 * of each request are brought to the GPU, where every byte is looked at; those
 * that are not there yet the GPU makes. CPUs read and write meanwhile.
 *
 *	gpureplay DIR SLOTS WINDOW REFERENCES SEED [TRACE]
 *	gpureplay count REFERENCES SEED [TRACE]	how many blocks that takes
 *
 * WINDOW "udmabuf": the memory is a udmabuf, which the kernel copies to itself.
 */
#include "kvtgpu.h"
#include "trace.h"

#define HOLD 8 /* steps */

static struct trace trace;
static uint64_t most, rnd = 1; /* most: blocks that are asked for at a time */
static uint32_t *version;      /* 0: a hole */
static uint32_t *last;	       /* none comes twice */
static bool *made;	       /* for the other thread: it may be read */
static uint64_t held_first, held_n; /* by a lease for reading: nobody writes */
static bool stop;
static struct {
	uint64_t seen[KVLIFT_NR_TIERS + 1], checked, made, rewritten, dropped;
	uint64_t cpu_reads, cpu_writes, windows, asked, refused, bad;
} st;

static uint64_t below(uint64_t n)
{
	return kvt_rand_below(&rnd, n);
}

static uint64_t stream(uint64_t b)
{
	return b << 24 | version[b];
}

/* Some blocks change after they have been made, and come and go. */
static bool is_loose(uint64_t b)
{
	return b % 4 == 3;
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

/* Another thread, to which blocks that stay are as good as to the GPU. */
static void *cpu_reader(void *arg)
{
	uint64_t mine = 99, b;
	char *p = malloc(bs);

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		b = kvt_rand_below(&mine, trace.nr_ids);
		if (__atomic_load_n(&made[b], __ATOMIC_ACQUIRE))
			cpu_read(p, b, kvt_rand_below(&mine, 2));
		kvt_msleep(5);
	}
	free(p);
	return NULL;
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
	look(first, n);
	st.asked++;
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

/* All of a block. Versions count before: nobody else looks at it yet. */
static void gpu_makes(const struct mv_lease *l, uint64_t first, uint64_t i)
{
	uint64_t b = first + i;

	version[b] = ++last[b];
	kvt_fill(mv_at(&m, l->word[i]), bs, stream(b), 0);
}

static void make(uint64_t first, uint64_t n)
{
	struct kvlift_seal s = { .first = first, .count = n };
	struct mv_lease l;

	if (!want(&l, first, n, MV_GPU | KVLIFT_REQ_WRITE | KVLIFT_REQ_NEW))
		return;
	for (uint64_t i = 0; i < n; i++)
		gpu_makes(&l, first, i);
	OK(mv_release(q, &l));
	st.made += n;
	if (below(2))
		OK(ioctl(fd, KVLIFT_IOC_SEAL, &s));
	for (uint64_t b = first; b < first + n; b++)
		__atomic_store_n(&made[b], !is_loose(b), __ATOMIC_RELEASE);
}

/* Blocks that there are, in one of the ways there are; kept if @held. */
static bool use(struct mv_lease *held, uint64_t first, uint64_t n)
{
	uint32_t flags = MV_GPU;
	struct mv_lease l;

	switch (held ? 7 : below(8)) {
	case 0:
		flags |= KVLIFT_REQ_WRITE;
		break;
	case 1:
		flags |= KVLIFT_REQ_EXCLUSIVE;
		break;
	case 2:
		if (n <= m.att.window / 2) {
			flags = KVLIFT_REQ_WINDOW;
			st.windows += n;
		}
		break;
	default:
		break;
	}
	if (!want(&l, first, n, flags))
		return false;
	check_lease(&l, first, n,
		    flags & MV_GPU ? "in the GPU" : "in the window");
	for (uint64_t i = 0; i < n && flags & KVLIFT_REQ_WRITE; i++) {
		if (!is_loose(first + i))
			continue;
		gpu_makes(&l, first, i);
		st.rewritten++;
	}
	if (held)
		*held = l;
	else
		OK(mv_release(q, &l));
	return true;
}

/* Neighbours from here on, at most @max, that all are there or all are not. */
static uint64_t run_of(const uint32_t *refs, uint64_t left, uint64_t max)
{
	uint64_t n = 1;

	while (n < left && n < max && refs[n] == refs[0] + n &&
	       !version[refs[n]] == !version[refs[0]])
		n++;
	return n;
}

static void by_cpu(void)
{
	uint64_t b = below(trace.nr_ids);

	cpu_read(buf, b, below(2));
	b = below(trace.nr_ids) | 3;
	if (b >= trace.nr_ids || !version[b] || b - held_first < held_n)
		return;
	switch (below(4)) {
	case 0:
		cpu_write(buf, b);
		st.cpu_writes++;
		break;
	case 1:
		punch(b, 1);
		version[b] = 0;
		st.dropped++;
		break;
	default:
		break;
	}
}

/* The next request may be told ahead. */
static void tell(uint64_t i)
{
	const uint32_t *refs = trace.refs + trace.start[i];
	uint64_t left = trace.start[i + 1] - trace.start[i];
	struct kvlift_req r;

	if (!left || below(2))
		return;
	r = mv_req(fd, refs[0], run_of(refs, left, 4), MV_GPU);
	r.op = KVLIFT_OP_PREFETCH;
	r.lease_ms = 0;
	IS(mv_ask(q, r).res <= 0, true);
}

/* Still there after all that. */
static void let_go(const struct mv_lease *l)
{
	if (!held_n)
		return;
	check_lease(l, held_first, held_n, "in the GPU, later");
	OK(mv_release(q, l));
	held_n = 0;
}

/* All of a chain, from its beginning; what is not there is made. */
static void walk(const uint32_t *refs, uint64_t left)
{
	uint64_t n, steps = 0;
	struct mv_lease held;

	for (; left && !kvt_fails; refs += n, left -= n) {
		mv_phase("a request", 60);
		n = run_of(refs, left, most);
		if (!version[refs[0]]) {
			make(refs[0], n);
		} else if (held_n) {
			use(NULL, refs[0], n);
		} else if (use(&held, refs[0], n)) {
			held_first = refs[0];
			held_n = n;
		}
		by_cpu();
		/* Well before the lease's own end. */
		if (++steps % HOLD == 0)
			let_go(&held);
	}
	let_go(&held);
}

/* Prefill, and a step of decoding. */
static void request(uint64_t i)
{
	const uint32_t *refs = trace.refs + trace.start[i];
	uint64_t n = trace.start[i + 1] - trace.start[i];

	walk(refs, n);
	walk(refs, n);
	if (i + 1 < trace.nr_requests)
		tell(i + 1);
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

/* The first requests with so many references; of a long one its first blocks. */
static void load(const char *count, const char *seed, const char *path)
{
	uint64_t refs = strtoull(count, NULL, 0), most_refs = refs / 10 + 1, n;
	uint64_t *ids = calloc(most_refs, sizeof(*ids));
	struct trace all;
	int ret = trace_init(&all) ?: trace_init(&trace);

	rnd = strtoull(seed, NULL, 0);
	if (!ret)
		ret = path ? trace_load(&all, path, refs / 8 + 1)
			   : trace_generate(&all, GEN_CHAT, rnd, refs / 8 + 1);
	for (uint64_t i = 0; i < all.nr_requests && !ret; i++) {
		n = all.start[i + 1] - all.start[i];
		n = n < most_refs ? n : most_refs;
		if (trace.nr_refs + n > refs)
			break;
		for (uint64_t k = 0; k < n; k++)
			ids[k] = all.ids[all.refs[all.start[i] + k]];
		ret = trace_add(&trace, ids, (uint32_t)n);
	}
	if (ret || !trace.nr_refs)
		kvt_die("no requests: %s", strerror(-ret));
	trace_free(&all);
	free(ids);
}

/* Half of the slots may be leased: some for long, some while others are. */
static void set_up(const char *slots, const char *window)
{
	uint64_t n = strtoull(slots, NULL, 0);

	most = n / 4 < MV_MAX ? n / 4 : MV_MAX;
	if (!most)
		kvt_die("too few slots");
	version = calloc(trace.nr_ids, sizeof(*version));
	last = calloc(trace.nr_ids, sizeof(*last));
	made = calloc(trace.nr_ids, sizeof(*made));
	buf = malloc(bs);
	fd = MUST(open("r", O_CREAT | O_TRUNC | O_RDWR, 0644));
	OK(ftruncate(fd, (off_t)(trace.nr_ids * bs)));
	map = MUST(mmap(NULL, trace.nr_ids * bs, PROT_READ, MAP_SHARED, fd, 0));
	if (strcmp(window, "udmabuf")) {
		mv_open(&m, dir, n, strtoull(window, NULL, 0),
			15000 * mv_slow());
		m.reverse = true;
	} else if (!mv_open_dmabuf(&m, dir, n)) {
		fprintf(stderr, "gpureplay: no /dev/udmabuf\n");
		exit(KVT_SKIP);
	}
	q = OK(ioctl(m.fd, KVLIFT_IOC_QUEUE));
}

int main(int argc, char **argv)
{
	pthread_t t;

	if (argc > 3 && !strcmp(argv[1], "count")) {
		load(argv[2], argv[3], argv[4]);
		printf("%" PRIu32 "\n", trace.nr_ids);
		return 0;
	}
	if (argc < 6)
		kvt_die("usage: gpureplay DIR SLOTS WINDOW REFERENCES SEED [TRACE]");
	load(argv[4], argv[5], argv[6]);
	MUST(chdir(argv[1]));
	dir = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(dir))
		return KVT_SKIP;
	MUST(kvt_info(dir, &info));
	bs = info.block_size;
	set_up(argv[2], argv[3]);
	if (pthread_create(&t, NULL, cpu_reader, NULL))
		kvt_die("pthread_create");
	for (uint64_t i = 0; i < trace.nr_requests && !kvt_fails; i++)
		request(i);
	mv_phase("the end", 150);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	pthread_join(t, NULL);
	check_tiers();
	CHECK(mv_drain(&m, 60000), "%llu slots used", MV_INFO(&m, used));
	close(q);
	mv_close(&m);
	for (uint64_t b = 0; b < trace.nr_ids; b++)
		cpu_read(buf, b, b % 2);
	munmap(map, trace.nr_ids * bs);
	close(fd);
	OK(unlink("r"));
	printf("gpureplay: %" PRIu64 " requests, %" PRIu64
	       " references to %" PRIu32 " blocks; found in gpu %" PRIu64
	       " dram %" PRIu64 " cxl %" PRIu64 " nvme %" PRIu64
	       " none %" PRIu64 "; checked %" PRIu64 ", made %" PRIu64
	       ", rewritten %" PRIu64 ", dropped %" PRIu64
	       ", in the window %" PRIu64 ", refused %" PRIu64 " of %" PRIu64
	       "; CPU reads %" PRIu64 ", writes %" PRIu64 "; %" PRIu64
	       " mismatches\n",
	       trace.nr_requests, trace.nr_refs, trace.nr_ids, st.seen[0],
	       st.seen[1], st.seen[2], st.seen[3], st.seen[4], st.checked,
	       st.made, st.rewritten, st.dropped, st.windows, st.refused,
	       st.asked, st.cpu_reads, st.cpu_writes, st.bad);
	CHECK(st.refused * 10 <= st.asked, "%" PRIu64 " refused", st.refused);
	CHECK(st.checked && st.made >= trace.nr_ids / 2);
	return kvt_end("gpureplay");
}
