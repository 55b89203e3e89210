// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Replay on files: NAME.objects/XX/ID, written under another name and renamed
 * when complete, as file back ends of engines do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"
#include "store.h"
#include "util.h"

#define DIRS  256u
#define FIRST 4096u /* bytes read to see how long the block takes */

struct object_private {
	int dir;
	char *buf;
};

static void object_name(uint64_t id, char name[32])
{
	snprintf(name, 32, "%02x/%016llx", (unsigned int)(id & (DIRS - 1)),
		 (unsigned long long)id);
}

/* Every file of one directory: found ones become present, or all go. */
static int scan_dir(struct store *s, int top, unsigned int number, bool purge)
{
	struct dirent *e;
	char name[8];
	DIR *d;
	int fd;

	snprintf(name, sizeof(name), "%02x", number);
	if (mkdirat(top, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d))) {
		char *end;
		uint64_t id;
		uint32_t n;

		if (e->d_name[0] == '.')
			continue;
		id = strtoull(e->d_name, &end, 16);
		/* Unfinished ones end in .new */
		if (purge || *end) {
			unlinkat(fd, e->d_name, 0);
			continue;
		}
		n = trace_find(s->trace, id);
		if (n != UINT32_MAX)
			s->present[n] = 1;
	}
	closedir(d);
	return 0;
}

static int object_open(struct store *s, bool fresh)
{
	struct object_private *p = calloc(1, sizeof(*p));
	char name[256];
	unsigned int i;
	int ret = 0;

	if (!p)
		return -ENOMEM;
	s->private = p;
	p->dir = -1;
	p->buf = aligned_alloc(4096, s->block);
	if (!p->buf)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%s.objects", s->name);
	if (mkdirat(kvlift_pool_fd(s->pool), name, 0700) && errno != EEXIST)
		return -errno;
	p->dir = openat(kvlift_pool_fd(s->pool), name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return -errno;
	for (i = 0; i < DIRS && !ret; i++)
		ret = scan_dir(s, p->dir, i, fresh);
	return ret;
}

static int open_object(struct store *s, uint32_t n, struct kvlift_region **r)
{
	char object[32], name[300];

	object_name(s->trace->ids[n], object);
	snprintf(name, sizeof(name), "%s.objects/%s", s->name, object);
	return kvlift_region_open(s->pool, name, O_RDONLY, r);
}

static uint64_t object_where(struct store *s, uint32_t n)
{
	struct kvlift_region *r;
	uint64_t word = 0;

	if (open_object(s, n, &r))
		return 0;
	if (kvlift_where(r, 0, 1, &word) != 1)
		word = 0;
	kvlift_region_close(r);
	return word;
}

static int read_all(int fd, char *buf, size_t len, size_t off)
{
	while (len) {
		ssize_t n = pread(fd, buf + off, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		off += (size_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int object_read(struct store *s, uint32_t n, uint64_t *ns)
{
	struct object_private *p = s->private;
	uint64_t id = s->trace->ids[n], start;
	char name[32];
	long wrong;
	int fd, ret;

	*ns = 0;
	object_name(id, name);
	fd = openat(p->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	start = now_ns();
	ret = read_all(fd, p->buf, FIRST, 0);
	*ns = now_ns() - start;
	if (!ret)
		ret = read_all(fd, p->buf, s->block - FIRST, FIRST);
	close(fd);
	if (ret && ret != -ENODATA)
		return ret;
	wrong = ret ? -1 : pattern_check(p->buf, s->block, id);
	if (ret || wrong >= 0) {
		snprintf(s->bad, sizeof(s->bad), "object %s, %s %ld", name,
			 ret ? "too short" : "word", wrong);
		return -EILSEQ;
	}
	return 0;
}

static int object_write(struct store *s, uint32_t n)
{
	struct object_private *p = s->private;
	uint64_t id = s->trace->ids[n];
	char name[32], temp[40];
	size_t off = 0;
	int fd, ret = 0;

	object_name(id, name);
	snprintf(temp, sizeof(temp), "%s.new", name);
	pattern_fill(p->buf, s->block, id);
	fd = openat(p->dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	while (off < s->block && !ret) {
		ssize_t w =
			pwrite(fd, p->buf + off, s->block - off, (off_t)off);

		if (w > 0)
			off += (size_t)w;
		else if (w == 0 || errno != EINTR)
			ret = w ? -errno : -EIO;
	}
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && renameat(p->dir, temp, p->dir, name))
		ret = -errno;
	if (ret)
		unlinkat(p->dir, temp, 0);
	else
		s->present[n] = 1;
	return ret;
}

/* read(2) has told the kernel all there is to tell. */
static int object_touch(struct store *s, const uint32_t *refs, uint64_t count)
{
	return 0;
}

static int object_prefetch(struct store *s, const uint32_t *refs,
			   uint64_t count)
{
	struct kvlift_region *r;
	int64_t ret = 0;
	uint64_t i;

	for (i = 0; i < count && ret >= 0; i++) {
		if (!s->present[refs[i]] || open_object(s, refs[i], &r))
			continue;
		ret = kvlift_prefetch(r, 0, 1);
		kvlift_region_close(r);
	}
	return ret < 0 && ret != -EAGAIN ? (int)ret : 0;
}

static const struct kvlift_region *object_region(struct store *s)
{
	return NULL;
}

/* The files are the index; the requests before are played again, as hits. */
static uint64_t object_get_next(struct store *s)
{
	return 0;
}

static void object_set_next(struct store *s, uint64_t request)
{
}

static void object_close(struct store *s, bool remove)
{
	struct object_private *p = s->private;
	char name[256];
	unsigned int i;

	if (!p)
		return;
	for (i = 0; remove && p->dir >= 0 && i < DIRS; i++) {
		scan_dir(s, p->dir, i, true);
		snprintf(name, sizeof(name), "%02x", i);
		unlinkat(p->dir, name, AT_REMOVEDIR);
	}
	if (p->dir >= 0)
		close(p->dir);
	if (remove) {
		snprintf(name, sizeof(name), "%s.objects", s->name);
		unlinkat(kvlift_pool_fd(s->pool), name, AT_REMOVEDIR);
	}
	free(p->buf);
	free(p);
	s->private = NULL;
}

const struct store_ops object_store = {
	.open = object_open,
	.where = object_where,
	.read = object_read,
	.write = object_write,
	.touch = object_touch,
	.prefetch = object_prefetch,
	.region = object_region,
	.get_next = object_get_next,
	.set_next = object_set_next,
	.close = object_close,
};
