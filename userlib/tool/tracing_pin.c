// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Programs that stay attached when the tool has gone, and their maps, as files
 * of a BPF filesystem: DIR/NAME a map, DIR/links/PROGRAM what keeps a program
 * attached.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpfobj.h"
#include "tracing.h"

#define BPFFS_MAGIC 0xcafe4a11
#define HOTTEST	    20

static const char *const objects[] = { "trace_latency", "trace_heat", NULL };

static int map_path(const struct trace_opts *o, const char *name, char *path,
		    size_t len)
{
	int n = snprintf(path, len, "%s/%s", o->dir, name);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

static int link_path(const struct trace_opts *o, const char *prog, char *path,
		     size_t len)
{
	int n = snprintf(path, len, "%s/links/%s", o->dir, prog);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

/* The name of a map's file, NULL for maps that nobody reads. */
static const char *public_name(const struct bpf_object *obj,
			       const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	/* Whoever reads heat has to know its half life. */
	if (strstr(name, ".rodata.filter"))
		return bpf_object__find_map_by_name(obj, "kvl_heat") ? "filter"
								     : NULL;
	if (strncmp(name, "kvl_", 4) != 0 || !strcmp(name, "kvl_recent"))
		return NULL;
	return name + 4;
}

/* mkdir -p */
static int make_dirs(const char *dir)
{
	char path[512], *p;

	if (strlen(dir) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, dir);
	for (p = path + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = 0;
		if (mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			return 0;
	}
}

static int complain(const char *path, int err)
{
	error("%s: %s", path, strerror(-err));
	return err;
}

static int prepare_dir(const struct trace_opts *o)
{
	char path[512];
	struct statfs fs;
	int ret;

	if (statfs("/sys/fs/bpf", &fs))
		return complain("/sys/fs/bpf", -errno);
	if (!strncmp(o->dir, "/sys/fs/bpf", 11) &&
	    (uint32_t)fs.f_type != BPFFS_MAGIC) {
		error("no BPF filesystem there: mount -t bpf bpf /sys/fs/bpf");
		return -ENOTSUP;
	}
	ret = link_path(o, "", path, sizeof(path));
	if (!ret)
		ret = make_dirs(path);
	if (ret)
		return complain(o->dir, ret);
	if (statfs(o->dir, &fs) || (uint32_t)fs.f_type != BPFFS_MAGIC) {
		error("%s: not on a BPF filesystem", o->dir);
		return -ENOTSUP;
	}
	return 0;
}

static int pin_object(struct trace_obj *t, const struct trace_opts *o)
{
	struct bpf_map *map;
	char path[512];
	unsigned int i;
	int ret;

	bpf_object__for_each_map(map, t->obj)
	{
		const char *name = public_name(t->obj, map);

		if (!name)
			continue;
		ret = map_path(o, name, path, sizeof(path));
		if (!ret)
			ret = bpf_map__pin(map, path);
		if (ret) {
			bpfobj_fail(path, ret);
			return ret;
		}
	}
	for (i = 0; i < t->nr; i++) {
		ret = link_path(o, t->names[i], path, sizeof(path));
		if (!ret)
			ret = bpf_link__pin(t->links[i], path);
		if (ret) {
			bpfobj_fail(path, ret);
			return ret;
		}
	}
	return 0;
}

/* Programs whose links were removed, by id. */
struct removed {
	uint32_t prog[32];
	unsigned int nr;
};

/* 0: none */
static uint32_t prog_of_link(const char *path)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		info.prog_id = 0;
	close(fd);
	return info.prog_id;
}

static void remove_link(const char *path, struct removed *r)
{
	uint32_t id = prog_of_link(path);

	if (id && r->nr < sizeof(r->prog) / sizeof(r->prog[0]))
		r->prog[r->nr++] = id;
	unlink(path);
}

/*
 * The kernel detaches some time after the last file of a link is gone, and
 * until then the module cannot be unloaded.
 */
static void wait_removed(const struct removed *r)
{
	unsigned int i, tries = 500;

	for (i = 0; i < r->nr; i++) {
		int fd;

		while ((fd = bpf_prog_get_fd_by_id(r->prog[i])) >= 0) {
			close(fd);
			if (!tries--)
				return;
			usleep(10000);
		}
	}
}

/* Files that were there. What is not ours in the directory stays. */
static unsigned int remove_object(struct bpf_object *obj,
				  const struct trace_opts *o, struct removed *r)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	unsigned int n = 0;
	char path[512];

	bpf_object__for_each_program(prog, obj)
	{
		if (link_path(o, bpf_program__name(prog), path, sizeof(path)) ||
		    access(path, F_OK))
			continue;
		remove_link(path, r);
		n++;
	}
	bpf_object__for_each_map(map, obj)
	{
		const char *name = public_name(obj, map);

		if (name && !map_path(o, name, path, sizeof(path)) &&
		    !unlink(path))
			n++;
	}
	return n;
}

static unsigned int remove_all(const struct trace_opts *o)
{
	struct removed removed = { 0 };
	struct bpf_object *obj;
	unsigned int i, n = 0;
	char path[512];

	for (i = 0; objects[i]; i++) {
		if (bpfobj_open(objects[i], &obj))
			continue;
		n += remove_object(obj, o, &removed);
		bpf_object__close(obj);
	}
	if (!link_path(o, "", path, sizeof(path)))
		rmdir(path);
	rmdir(o->dir);
	if (!strcmp(o->dir, TRACE_DIR))
		rmdir("/sys/fs/bpf/kvlift");
	wait_removed(&removed);
	return n;
}

/* Whether something is pinned there. */
static bool is_pinned(const struct trace_opts *o)
{
	char path[512];

	return !map_path(o, trace_kinds[0], path, sizeof(path)) &&
	       !access(path, F_OK);
}

int trace_pin(const struct trace_opts *o)
{
	unsigned int i;
	int ret;

	if (is_pinned(o)) {
		error("%s: programs are pinned there already; 'kvlift trace --unpin' removes them",
		      o->dir);
		return EXIT_FAIL;
	}
	if (prepare_dir(o))
		return EXIT_FAIL;
	for (i = 0; objects[i]; i++) {
		struct trace_obj t;

		ret = trace_obj_start(&t, objects[i], o, NULL);
		if (!ret) {
			ret = pin_object(&t, o);
			trace_obj_stop(&t);
		}
		if (ret) {
			remove_all(o);
			return EXIT_FAIL;
		}
	}
	return EXIT_OK;
}

int trace_unpin(const struct trace_opts *o)
{
	if (!remove_all(o)) {
		error("%s: nothing is pinned there", o->dir);
		return EXIT_FAIL;
	}
	return EXIT_OK;
}

/* A descriptor, or -1 after a message. */
static int open_map(const struct trace_opts *o, const char *name, char *path,
		    size_t len)
{
	int fd = map_path(o, name, path, len) ? -1 : bpf_obj_get(path);

	if (fd < 0)
		error("%s: %s%s", path, strerror(errno),
		      errno == ENOENT ? "; 'kvlift trace --pin' makes it" : "");
	return fd;
}

static uint64_t entries(int fd)
{
	uint64_t n = 0;
	union {
		struct kvl_pool_key pool;
		struct kvl_block_key block;
	} key;

	for (; !bpf_map_get_next_key(fd, n ? &key : NULL, &key); n++)
		;
	return n;
}

static int list_map(const struct trace_opts *o, const char *name,
		    struct json *j)
{
	char path[512] = "";
	int fd = open_map(o, name, path, sizeof(path));

	if (fd < 0)
		return -ENOENT;
	if (j) {
		json_open(j, NULL, '{');
		json_str(j, "name", name);
		json_str(j, "path", path);
		json_u64(j, "entries", entries(fd));
		json_close(j, '}');
	} else {
		printf("%s: %llu entries\n", path,
		       (unsigned long long)entries(fd));
	}
	close(fd);
	return 0;
}

int trace_list(const struct trace_opts *o)
{
	struct json j, *to = o->as_json ? &j : NULL;
	unsigned int i;
	int ret;

	if (!is_pinned(o)) {
		error("%s: nothing is pinned there", o->dir);
		return EXIT_FAIL;
	}
	if (to) {
		json_init(to, stdout);
		json_open(to, NULL, '[');
	}
	ret = list_map(o, "heat", to);
	for (i = 0; trace_kinds[i] && !ret; i++)
		ret = list_map(o, trace_kinds[i], to);
	if (to) {
		json_close(to, ']');
		json_end(to);
	}
	return ret ? EXIT_FAIL : EXIT_OK;
}

struct hot {
	struct kvl_block_key key;
	struct kvl_heat heat;
	double now; /* touches, decayed until now */
};

static int hotter(const void *a, const void *b)
{
	const struct hot *x = a, *y = b;

	return (x->now < y->now) - (x->now > y->now);
}

/* The hottest blocks into @top. How many. */
static unsigned int hottest(int fd, const struct trace_opts *o,
			    struct hot top[HOTTEST + 1])
{
	uint64_t now = now_ns(), half = o->filter.half_life_ns;
	struct kvl_block_key key, *prev = NULL;
	unsigned int n = 0;

	for (; !bpf_map_get_next_key(fd, prev, &key); prev = &key) {
		struct hot *h = &top[n];
		uint64_t age;

		if ((o->filter.pool >= 0 &&
		     (uint64_t)o->filter.pool != key.pool) ||
		    (o->filter.region && o->filter.region != key.region) ||
		    bpf_map_lookup_elem(fd, &key, &h->heat))
			continue;
		h->key = key;
		age = now > h->heat.last_ns ? now - h->heat.last_ns : 0;
		h->now = (double)h->heat.heat / 1000;
		for (; age >= half && h->now > 1e-9; age -= half)
			h->now /= 2;
		h->now *= 1 - (double)(age % half) / (double)half / 2;
		qsort(top, n + 1, sizeof(*top), hotter);
		if (n < HOTTEST)
			n++;
	}
	return n;
}

static void hot_json(const struct hot *h)
{
	struct json j;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "event", "heat");
	json_u64(&j, "pool", h->key.pool);
	json_u64(&j, "region", h->key.region);
	json_u64(&j, "index", h->key.index);
	json_f64(&j, "heat", h->now);
	json_u64(&j, "touches", h->heat.touches);
	json_u64(&j, "faults", h->heat.faults);
	json_u64(&j, "rw", h->heat.rw);
	json_u64(&j, "hints", h->heat.hints);
	json_u64(&j, "promotes", h->heat.promotes);
	json_u64(&j, "demotes", h->heat.demotes);
	json_close(&j, '}');
	json_end(&j);
}

static void hot_text(const struct hot *h)
{
	printf("%4llu %10llu %10llu %10.2f %8llu %8llu %8llu %8llu %8llu\n",
	       (unsigned long long)h->key.pool,
	       (unsigned long long)h->key.region,
	       (unsigned long long)h->key.index, h->now,
	       (unsigned long long)h->heat.faults,
	       (unsigned long long)h->heat.rw,
	       (unsigned long long)h->heat.hints,
	       (unsigned long long)h->heat.promotes,
	       (unsigned long long)h->heat.demotes);
}

/* How the programs were set; 0 or -errno. */
static int read_filter(const struct trace_opts *o, struct kvl_trace_filter *f)
{
	char path[512] = "";
	uint32_t key = 0;
	int fd = open_map(o, "filter", path, sizeof(path)), ret;

	if (fd < 0)
		return -ENOENT;
	ret = bpf_map_lookup_elem(fd, &key, f) ? -errno : 0;
	close(fd);
	return ret;
}

static void show_heat(int fd, const struct trace_opts *o)
{
	struct hot top[HOTTEST + 1];
	unsigned int n = hottest(fd, o, top), i;

	if (n && !o->as_json)
		printf("%4s %10s %10s %10s %8s %8s %8s %8s %8s\n", "POOL",
		       "REGION", "BLOCK", "HEAT", "FAULTS", "RW", "HINTS",
		       "PROMOTED", "DEMOTED");
	for (i = 0; i < n; i++) {
		if (o->as_json)
			hot_json(&top[i]);
		else
			hot_text(&top[i]);
	}
}

static uint64_t pinned_missed(const struct trace_opts *o)
{
	struct bpf_program *prog;
	struct bpf_object *obj;
	uint64_t n = 0;
	char path[512];
	unsigned int i;

	for (i = 0; objects[i]; i++) {
		if (bpfobj_open(objects[i], &obj))
			continue;
		bpf_object__for_each_program(prog, obj)
		{
			uint32_t id;
			int fd;

			if (link_path(o, bpf_program__name(prog), path,
				      sizeof(path)))
				continue;
			id = prog_of_link(path);
			fd = id ? bpf_prog_get_fd_by_id(id) : -1;
			if (fd < 0)
				continue;
			n += trace_prog_missed(fd);
			close(fd);
		}
		bpf_object__close(obj);
	}
	return n;
}

int trace_show(const struct trace_opts *given)
{
	struct trace_opts opts = *given, *o = &opts;
	struct kvl_trace_filter filter;
	char path[512] = "";
	bool titled = false;
	unsigned int i;
	int fd;

	if (read_filter(o, &filter))
		return EXIT_FAIL;
	o->filter.half_life_ns = filter.half_life_ns;
	for (i = 0; trace_kinds[i]; i++) {
		fd = open_map(o, trace_kinds[i], path, sizeof(path));
		if (fd < 0)
			return EXIT_FAIL;
		trace_stats_map(fd, trace_kinds[i], o, &titled);
		close(fd);
	}
	fd = open_map(o, "heat", path, sizeof(path));
	if (fd < 0)
		return EXIT_FAIL;
	if (titled)
		putchar('\n');
	show_heat(fd, o);
	close(fd);
	trace_missed(pinned_missed(o), o->as_json);
	return EXIT_OK;
}
