// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Policies that come and go faster than a tool could make them.
 *
 *	polswap POOL swap N A.bpf.o B.bpf.o	exchange under one link, N times
 *	polswap POOL detach N A.bpf.o		attach, wait a little, detach
 *	polswap POOL race N A.bpf.o B.bpf.o	two processes attach at a time
 *	polswap POOL kill N A.bpf.o		kill -9 who holds the link
 *	polswap POOL gone A.bpf.o		attach until there is no pool
 *	polswap POOL nolink A.bpf.o		must be refused: EOPNOTSUPP
 *
 * POOL is a number, or POOL:DOMAIN.
 */
#include "kvltest.h"

#ifndef HAVE_LIBBPF
int main(void)
{
	puts("built without libbpf");
	return 77;
}
#else
#include <signal.h>
#include <sys/wait.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

static uint32_t pool;
static uint64_t domain;

static int silent(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, args) : 0;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

/* Writes a number into a member of the policy. */
static void put(struct bpf_object *obj, struct bpf_map *map, const char *name,
		uint64_t value, size_t size)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, "kvlift_policy_ops",
					BTF_KIND_STRUCT);
	const struct btf_type *t = btf__type_by_id(btf, (uint32_t)id);
	char *data = bpf_map__initial_value(map, NULL);
	unsigned int i;

	for (i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf,
						btf_members(t)[i].name_off),
			    name)) {
			memcpy(data + btf_member_bit_offset(t, i) / 8, &value,
			       size);
			return;
		}
	kvt_die("no member %s", name);
}

static struct bpf_map *load(const char *file, bool link)
{
	struct bpf_object *obj = bpf_object__open_file(file, NULL);
	struct bpf_map *map, *found = NULL;

	if (!obj)
		kvt_die("%s: %s", file, strerror(errno));
	bpf_object__for_each_map(map, obj) if (bpf_map__type(map) ==
					       BPF_MAP_TYPE_STRUCT_OPS)
		found = map;
	if (!found)
		kvt_die("%s: no policy", file);
	put(obj, found, "pool", pool, 4);
	put(obj, found, "domain", domain, 8);
	if (!link)
		bpf_map__set_map_flags(found, 0);
	if (bpf_object__load(obj))
		kvt_die("%s: load: %s", file, strerror(errno));
	return found;
}

/* The policy in charge, as sysfs has it. */
static bool active(void)
{
	char path[64], text[4096] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/policy", pool);
	f = fopen(path, "re");
	if (!f)
		kvt_die("%s: %s", path, strerror(errno));
	if (!fread(text, 1, sizeof(text) - 1, f))
		kvt_die("%s: empty", path);
	fclose(f);
	return strstr(text, "\nstate active\n");
}

static uint64_t ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* 0..n-1, the same in each run. */
static unsigned int some(unsigned int n)
{
	static uint32_t x = 12345;

	x = x * 1664525 + 1013904223;
	return (x >> 8) % n;
}

static int do_swap(unsigned int n, const char *a, const char *b)
{
	struct bpf_map *map[2] = { load(a, true), load(b, true) };
	struct bpf_link *link = bpf_map__attach_struct_ops(map[0]);
	struct bpf_link *second;
	uint64_t from = ms();
	unsigned int i, busy = 0;

	if (!link)
		kvt_die("attach: %s", strerror(errno));
	/* Fills the second one's value in; the place is taken. */
	second = bpf_map__attach_struct_ops(map[1]);
	if (second || errno != EBUSY)
		kvt_die("a second policy: %s", strerror(second ? 0 : errno));
	for (i = 1; i <= n; i++) {
		if (!bpf_link_update(bpf_link__fd(link),
				     bpf_map__fd(map[i & 1]), NULL))
			continue;
		/* The pool had no time: the old one stays. */
		if (errno != EBUSY)
			kvt_die("swap %u: %s", i, strerror(errno));
		busy++;
		i--;
		if (busy > 1000)
			kvt_die("the pool is always busy");
	}
	if (!active())
		kvt_die("no policy is in charge after %u swaps", n);
	printf("%u swaps in %llu ms, %u times busy\n", n,
	       (unsigned long long)(ms() - from), busy);
	bpf_link__destroy(link);
	return 0;
}

static int do_detach(unsigned int n, const char *a)
{
	struct bpf_map *map = load(a, true);
	struct bpf_link *link;
	uint64_t t, max = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		link = bpf_map__attach_struct_ops(map);
		if (!link)
			kvt_die("attach %u: %s", i, strerror(errno));
		usleep(some(30000));
		t = ms();
		if (bpf_link_detach(bpf_link__fd(link)))
			kvt_die("detach %u: %s", i, strerror(errno));
		t = ms() - t;
		if (t > max)
			max = t;
		if (active())
			kvt_die("in charge after its link was detached");
		bpf_link__destroy(link);
	}
	printf("%u times detached, at most %llu ms\n", n,
	       (unsigned long long)max);
	return 0;
}

/* Loading takes far longer than the race: both start when both are ready. */
static int racer(unsigned int n, const char *a, unsigned int *won, int in,
		 int out)
{
	struct bpf_map *map = load(a, true);
	struct bpf_link *link;
	unsigned int i;
	char go;

	if (write(out, "x", 1) != 1 || read(in, &go, 1) != 1)
		kvt_die("the other one is not there");
	*won = 0;
	libbpf_set_print(quiet);
	for (i = 0; i < n; i++) {
		link = bpf_map__attach_struct_ops(map);
		if (!link && errno != EBUSY)
			kvt_die("attach %u: %s", i, strerror(errno));
		usleep(some(2000));
		if (link)
			++*won;
		bpf_link__destroy(link);
	}
	return 0;
}

static int do_race(unsigned int n, const char *a, const char *b)
{
	unsigned int won, other;
	int p[2], q[2], status;
	pid_t pid;

	if (pipe(p) || pipe(q))
		kvt_die("pipe");
	pid = fork();
	if (!pid) {
		close(q[1]);
		racer(n, b, &won, q[0], p[1]);
		_exit(write(p[1], &won, sizeof(won)) != sizeof(won));
	}
	close(p[1]);
	racer(n, a, &won, p[0], q[1]);
	if (waitpid(pid, &status, 0) != pid || status ||
	    read(p[0], &other, sizeof(other)) != sizeof(other))
		kvt_die("the other one failed: %d", status);
	printf("two loaders, %u tries each: %u and %u were in charge\n", n, won,
	       other);
	return !won || !other;
}

static int do_kill(unsigned int n, const char *a)
{
	uint64_t t, max = 0;
	unsigned int i;
	char go;
	int p[2];
	pid_t pid;

	for (i = 0; i < n; i++) {
		if (pipe(p))
			kvt_die("pipe");
		pid = fork();
		if (!pid) {
			if (!bpf_map__attach_struct_ops(load(a, true)))
				kvt_die("attach %u: %s", i, strerror(errno));
			if (write(p[1], "x", 1) != 1)
				_exit(1);
			pause();
		}
		if (read(p[0], &go, 1) != 1 || !active())
			kvt_die("round %u: not attached", i);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		for (t = ms(); active(); usleep(1000))
			if (ms() - t > 5000)
				kvt_die("in charge though its loader is dead");
		t = ms() - t;
		if (t > max)
			max = t;
		close(p[0]);
		close(p[1]);
	}
	printf("%u loaders killed, at most %llu ms later the default decides\n",
	       n, (unsigned long long)max);
	return 0;
}

/* An unmount in between: the loader gets ENOENT, or its link is detached. */
static int do_gone(const char *a)
{
	struct bpf_map *map = load(a, true);
	struct bpf_link *link;
	unsigned int n = 0;

	puts("attaching");
	libbpf_set_print(quiet);
	for (;; n++) {
		link = bpf_map__attach_struct_ops(map);
		if (!link && errno == ENOENT)
			break;
		if (!link && errno != EBUSY)
			kvt_die("attach %u: %s", n, strerror(errno));
		usleep(some(3000));
		bpf_link__destroy(link);
	}
	printf("attached %u times\n", n);
	return 0;
}

static int do_nolink(const char *a)
{
	struct bpf_map *map = load(a, false);

	libbpf_set_print(quiet);
	if (bpf_map__attach_struct_ops(map))
		kvt_die("attached without a link");
	printf("without a link: %s\n", strerror(errno));
	return errno != EOPNOTSUPP;
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "";
	unsigned int n = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;
	char *colon;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(silent);
	if (argc > 1) {
		pool = (uint32_t)strtoul(argv[1], &colon, 10);
		domain = *colon ? strtoull(colon + 1, NULL, 10) : 0;
	}
	if (argc == 6 && !strcmp(how, "swap"))
		return do_swap(n, argv[4], argv[5]);
	if (argc == 5 && !strcmp(how, "detach"))
		return do_detach(n, argv[4]);
	if (argc == 6 && !strcmp(how, "race"))
		return do_race(n, argv[4], argv[5]);
	if (argc == 5 && !strcmp(how, "kill"))
		return do_kill(n, argv[4]);
	if (argc == 4 && !strcmp(how, "gone"))
		return do_gone(argv[3]);
	if (argc == 4 && !strcmp(how, "nolink"))
		return do_nolink(argv[3]);
	kvt_die("usage: polswap POOL swap|detach|race|kill|gone|nolink ... (see the source)");
}
#endif
