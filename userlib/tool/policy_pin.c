// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Policies under bpffs: what is pinned stays when the tool has gone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifdef HAVE_LIBBPF
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#endif
#include <linux/magic.h>

#include "bpfobj.h"
#include "policy_verb.h"

#define ROOT POLICY_BPFFS "/kvlift"

void policy_pins_name(const struct policy_place *place, struct policy_pins *p)
{
	char base[112];

	memset(p, 0, sizeof(*p));
	p->lock = -1;
	snprintf(p->dir, sizeof(p->dir), ROOT "/%u", place->pool);
	if (place->domain)
		snprintf(base, sizeof(base), "%s/policy-%llu", p->dir,
			 (unsigned long long)place->domain);
	else
		snprintf(base, sizeof(base), "%s/policy", p->dir);
	/* No dots: bpffs keeps such names for itself. */
	snprintf(p->link, sizeof(p->link), "%s", base);
	snprintf(p->progs, sizeof(p->progs), "%s_progs", base);
	snprintf(p->maps, sizeof(p->maps), "%s_maps", base);
	snprintf(p->new_progs, sizeof(p->new_progs), "%s_progs_new", base);
	snprintf(p->new_maps, sizeof(p->new_maps), "%s_maps_new", base);
}

static int need_bpffs(void)
{
	struct statfs fs;

	if (!statfs(POLICY_BPFFS, &fs) &&
	    (unsigned long)fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpf", POLICY_BPFFS, "bpf", 0, "mode=0700")) {
		error("cannot mount bpffs on " POLICY_BPFFS
		      ": %s; as root: mount -t bpf bpf " POLICY_BPFFS,
		      strerror(errno));
		return -1;
	}
	fprintf(stderr, "kvlift policy: mounted bpffs on " POLICY_BPFFS "\n");
	return 0;
}

static int lock(struct policy_pins *p)
{
	p->lock = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->lock < 0)
		return -errno;
	while (flock(p->lock, LOCK_EX))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int policy_pins_lock_existing(struct policy_pins *p)
{
	int ret = lock(p);

	if (ret)
		policy_pins_unlock(p);
	return ret;
}

/* Another one may take the directory away between making and locking it. */
int policy_pins_lock(struct policy_pins *p)
{
	struct stat a, b;
	int tries;

	if (need_bpffs())
		return -1;
	for (tries = 0; tries < 100; tries++) {
		if ((mkdir(ROOT, 0700) && errno != EEXIST) ||
		    (mkdir(p->dir, 0700) && errno != EEXIST)) {
			error("%s: %s", p->dir, strerror(errno));
			return -1;
		}
		if (!lock(p) && !fstat(p->lock, &a) && !stat(p->dir, &b) &&
		    a.st_ino == b.st_ino)
			return 0;
		policy_pins_unlock(p);
	}
	error("%s: cannot be locked: %s", p->dir, strerror(errno));
	return -1;
}

void policy_pins_unlock(struct policy_pins *p)
{
	if (p->lock >= 0)
		close(p->lock);
	p->lock = -1;
}

/* A directory of pins, without directories in it. */
static int remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && unlinkat(dirfd(dir), e->d_name, 0))
			ret = -errno;
	closedir(dir);
	return rmdir(path) && !ret ? -errno : ret;
}

void policy_pins_abort(struct policy_pins *p)
{
	remove_dir(p->new_progs);
	remove_dir(p->new_maps);
}

int policy_pins_remove(struct policy_pins *p)
{
	int ret = 0, err;

	policy_pins_abort(p);
	if (unlink(p->link) && errno != ENOENT)
		ret = -errno;
	err = remove_dir(p->progs);
	ret = ret ? ret : err;
	err = remove_dir(p->maps);
	ret = ret ? ret : err;
	/* The last one takes the directories, too. */
	if (!rmdir(p->dir))
		rmdir(ROOT);
	return ret;
}

static int replace_dir(const char *from, const char *to)
{
	int ret = remove_dir(to);

	return ret ? ret : rename(from, to) && errno != ENOENT ? -errno : 0;
}

int policy_pins_commit(struct policy_pins *p)
{
	int ret = replace_dir(p->new_progs, p->progs);
	int err = replace_dir(p->new_maps, p->maps);

	return ret ? ret : err;
}

#ifdef HAVE_LIBBPF
/*
 * All but the map of the struct_ops itself: there is nothing in it to look at,
 * and bpftool up to 7.5 dies of a dump, since it looks for its type in vmlinux.
 */
static int pin_maps(struct policy_pins *p, struct bpf_object *obj)
{
	struct bpf_map *map;
	char path[256], *dot;
	int ret = 0;

	bpf_object__for_each_map(map, obj)
	{
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		snprintf(path, sizeof(path), "%s/%s", p->new_maps,
			 bpf_map__name(map));
		while ((dot = strchr(path, '.')))
			*dot = '_';
		ret = bpf_map__pin(map, path);
		if (ret)
			break;
	}
	return ret;
}

int policy_pins_add(struct policy_pins *p, struct bpf_object *obj)
{
	int ret;

	policy_pins_abort(p);
	ret = bpf_object__pin_programs(obj, p->new_progs);
	if (!ret)
		ret = pin_maps(p, obj);
	if (ret) {
		bpfobj_fail(p->dir, ret);
		policy_pins_abort(p);
		return -1;
	}
	return 0;
}

static uint32_t id_of(const char *path, bool prog)
{
	struct bpf_prog_info pi = { 0 };
	struct bpf_map_info mi = { 0 };
	uint32_t len = prog ? sizeof(pi) : sizeof(mi);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	if (prog)
		bpf_prog_get_info_by_fd(fd, &pi, &len);
	else
		bpf_map_get_info_by_fd(fd, &mi, &len);
	close(fd);
	return prog ? pi.id : mi.id;
}
#else
int policy_pins_add(struct policy_pins *p, struct bpf_object *obj)
{
	return -1;
}

static uint32_t id_of(const char *path, bool prog)
{
	return 0;
}
#endif

static unsigned int ids_of(const char *path, bool prog, uint32_t *ids,
			   unsigned int max)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned int n = 0;
	char file[400];
	uint32_t id;

	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		id = id_of(file, prog);
		if (id && n < max)
			ids[n] = id;
		n += !!id;
	}
	closedir(dir);
	return n;
}

unsigned int policy_pins_progs(const struct policy_pins *p, uint32_t *ids,
			       unsigned int max)
{
	return ids_of(p->progs, true, ids, max);
}

unsigned int policy_pins_maps(const struct policy_pins *p, uint32_t *ids,
			      unsigned int max)
{
	return ids_of(p->maps, false, ids, max);
}
