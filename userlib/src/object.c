// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Keyed objects. What is being put has no name until it is complete and sealed
 * (O_TMPFILE, then linkat), so that nobody sees a part of it and nothing is
 * left of a process that dies.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "internal.h"
#include "key.h"

#define MODE	  0444
#define PIECES	  64 /* of memory in one system call */
#define TEMPS	  64 /* puts of a directory that replace at one moment */
#define TEMP_LEN  16
#define PUT_TRIES 8
/* A pipe of that name would have it wait. */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

struct kvlift_cache {
	int fd;
	/* linkat() by descriptor was refused: it is of another's making. */
	atomic_bool by_proc;
};

int kvlift_cache_open(const struct kvlift_pool *pool, const char *name,
		      struct kvlift_cache **cache)
{
	int saved = errno, ret = 0;
	struct kvlift_cache *c;
	struct statfs fs;

	if (!(pool->features & KVLIFT_F_SEAL))
		return -EOPNOTSUPP;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	atomic_init(&c->by_proc, false);
	c->fd = openat(pool->fd, name && *name ? name : ".",
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd < 0 || fstatfs(c->fd, &fs))
		ret = -errno;
	else if (fs.f_type != KVLIFT_SUPER_MAGIC)
		ret = -EMEDIUMTYPE;
	if (ret) {
		if (c->fd >= 0)
			close(c->fd);
		free(c);
	} else {
		*cache = c;
	}
	errno = saved;
	return ret;
}

void kvlift_cache_close(struct kvlift_cache *cache)
{
	if (!cache)
		return;
	close(cache->fd);
	free(cache);
}

int kvlift_cache_fd(const struct kvlift_cache *cache)
{
	return cache->fd;
}

/* Is it the file of this key? 0, or -ENOENT for that of another. */
static int compare(int fd, const struct kvl_name *name)
{
	char key[KVLIFT_KEY_MAX + 1];
	ssize_t n;

	if (!name->is_hash)
		return 0;
	n = fgetxattr(fd, KVL_KEY_ATTR, key, sizeof(key));
	if (n < 0)
		return errno == ENODATA ? -ENOENT : -errno;
	return (size_t)n == name->len && !memcmp(key, name->key, name->len)
		       ? 0
		       : -ENOENT;
}

/* A descriptor, or -errno. */
static int open_name(const struct kvlift_cache *cache,
		     const struct kvl_name *name)
{
	int fd = openat(cache->fd, name->text, OPEN_FLAGS);
	int ret;

	if (fd < 0)
		return -errno;
	ret = compare(fd, name);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

/* 1, 0 or -errno. */
static int is_there(const struct kvlift_cache *cache,
		    const struct kvl_name *name)
{
	int fd;

	if (!name->is_hash) {
		if (!faccessat(cache->fd, name->text, F_OK, 0))
			return 1;
		return errno == ENOENT ? 0 : -errno;
	}
	fd = open_name(cache, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close(fd);
	return 1;
}

/* Where in a list of pieces a transfer is. */
struct pieces {
	const struct iovec *iov;
	int nr;
	size_t skip; /* of the first */
};

/* The next ones, as many as there is room for; how many that is. */
static int next_pieces(const struct pieces *p, struct iovec *out, int room)
{
	int i, n = p->nr < room ? p->nr : room;

	for (i = 0; i < n; i++)
		out[i] = p->iov[i];
	if (n) {
		out[0].iov_base = (char *)out[0].iov_base + p->skip;
		out[0].iov_len -= p->skip;
	}
	return n;
}

static void advance(struct pieces *p, size_t bytes)
{
	while (p->nr && bytes >= p->iov->iov_len - p->skip) {
		bytes -= p->iov->iov_len - p->skip;
		p->iov++;
		p->nr--;
		p->skip = 0;
	}
	p->skip += bytes;
}

static size_t sum(const struct iovec *iov, int nr)
{
	size_t bytes = 0;

	while (nr--)
		bytes += iov++->iov_len;
	return bytes;
}

static int write_all(int fd, const struct iovec *iov, int nr)
{
	struct pieces p = { .iov = iov, .nr = nr };
	struct iovec some[PIECES];
	size_t left = sum(iov, nr);
	off_t pos = 0;
	ssize_t n;

	while (left) {
		n = pwritev(fd, some, next_pieces(&p, some, PIECES), pos);
		if (n < 0)
			return -errno;
		advance(&p, (size_t)n);
		left -= (size_t)n;
		pos += n;
	}
	return 0;
}

/* Gives a file that has none a name. -EEXIST: that is taken. */
static int give_name(struct kvlift_cache *cache, int fd, const char *name)
{
	char path[32];

	if (!atomic_load_explicit(&cache->by_proc, memory_order_relaxed)) {
		if (!linkat(fd, "", cache->fd, name, AT_EMPTY_PATH))
			return 0;
		if (errno != ENOENT && errno != EPERM)
			return -errno;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, cache->fd, name, AT_SYMLINK_FOLLOW))
		return -errno;
	atomic_store_explicit(&cache->by_proc, true, memory_order_relaxed);
	return 0;
}

/*
 * Who puts in place of another object needs a name of its own for a moment. It
 * holds a lock on the file then, which ends with the process: a file with such
 * a name that is not locked was left by one that was killed. Only who has its
 * lock removes the name, and only while it is that file's: else another one
 * could get the name while its owner believes to have it.
 */
static void sweep(const struct kvlift_cache *cache, const char *temp)
{
	int fd = openat(cache->fd, temp, OPEN_FLAGS);
	struct stat file, name;

	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &file) &&
	    !fstatat(cache->fd, temp, &name, AT_SYMLINK_NOFOLLOW) &&
	    file.st_ino == name.st_ino)
		unlinkat(cache->fd, temp, 0);
	close(fd);
}

static int give_temp(struct kvlift_cache *cache, int fd, char temp[TEMP_LEN])
{
	unsigned int i, tries;
	int ret;

	if (flock(fd, LOCK_EX | LOCK_NB))
		return -errno;
	for (i = 0; i < TEMPS; i++) {
		/* No key's name begins with a dot. */
		snprintf(temp, TEMP_LEN, ".put-%u", i);
		for (tries = 0; tries < 2; tries++) {
			ret = give_name(cache, fd, temp);
			if (ret != -EEXIST)
				return ret;
			sweep(cache, temp);
		}
	}
	return -EBUSY;
}

/*
 * By a name of its own, and from there at once in place of the other. -ESTALE:
 * somebody took that name for one that was left; the file cannot get another.
 */
static int replace(struct kvlift_cache *cache, int fd, const char *name)
{
	char temp[TEMP_LEN];
	int ret = give_temp(cache, fd, temp);

	if (ret || !renameat(cache->fd, temp, cache->fd, name))
		return ret;
	ret = -errno;
	/* The directory may have been removed, too. */
	if (ret == -ENOENT)
		return -ESTALE;
	unlinkat(cache->fd, temp, 0);
	return ret;
}

static int fill(int fd, const struct kvl_name *name, const struct iovec *iov,
		int nr)
{
	struct kvlift_seal seal = { .flags = KVLIFT_SEAL_FILE };
	int ret;

	ret = write_all(fd, iov, nr);
	if (!ret && name->is_hash &&
	    fsetxattr(fd, KVL_KEY_ATTR, name->key, name->len, 0))
		ret = -errno;
	return ret ? ret : kvl_ioctl(fd, KVLIFT_IOC_SEAL, &seal);
}

/*
 * Gives the file its name. 1: the key has an object; when that is deleted just
 * then, the name is free again. -EEXIST: it stays another key's.
 */
static int publish(struct kvlift_cache *cache, int fd,
		   const struct kvl_name *name)
{
	unsigned int tries;
	int ret;

	for (tries = 0; tries < PUT_TRIES; tries++) {
		ret = give_name(cache, fd, name->text);
		if (ret != -EEXIST)
			return ret;
		/* Somebody was quicker, most likely with the same key. */
		ret = is_there(cache, name);
		if (ret)
			return ret;
	}
	return -EEXIST;
}

/* One try; -ESTALE: another one may go well. */
static int put_once(struct kvlift_cache *cache, const struct kvl_name *name,
		    const struct iovec *iov, int nr, bool over)
{
	int fd = openat(cache->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);
	int ret;

	if (fd < 0)
		return -errno;
	ret = fill(fd, name, iov, nr);
	if (!ret)
		ret = over ? replace(cache, fd, name->text)
			   : publish(cache, fd, name);
	close(fd);
	return ret;
}

static int put(struct kvlift_cache *cache, const struct kvl_name *name,
	       const struct iovec *iov, int nr, unsigned int flags)
{
	bool over = flags & KVLIFT_PUT_REPLACE;
	unsigned int tries = 0;
	int ret;

	if (!over) {
		ret = is_there(cache, name);
		if (ret)
			return ret;
	}
	do
		ret = put_once(cache, name, iov, nr, over);
	while (over && ret == -ESTALE && ++tries < PUT_TRIES);
	return ret;
}

int kvlift_putv(const struct kvlift_cache *cache, const void *key,
		size_t key_len, const struct iovec *iov, int nr,
		unsigned int flags)
{
	int saved = errno, ret;
	struct kvl_name name;

	if (flags & ~KVLIFT_PUT_REPLACE || nr < 0 || nr > KVLIFT_IOV_MAX)
		return -EINVAL;
	ret = kvl_key_name(key, key_len, &name);
	/* What may change in it is atomic. */
	if (!ret)
		ret = put((struct kvlift_cache *)cache, &name, iov, nr, flags);
	errno = saved;
	return ret;
}

int kvlift_put(const struct kvlift_cache *cache, const void *key,
	       size_t key_len, const void *buf, size_t len, unsigned int flags)
{
	const struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return kvlift_putv(cache, key, key_len, &iov, 1, flags);
}

/*
 * All of it. A read that ends early may do so because of an error, which the
 * next one tells: that is why the size has to be known.
 */
static ssize_t read_all(int fd, const struct iovec *iov, int nr)
{
	struct pieces p = { .iov = iov, .nr = nr };
	struct iovec some[PIECES];
	struct stat st;
	off_t pos = 0;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ESTALE;
	if ((uint64_t)st.st_size > sum(iov, nr))
		return -EMSGSIZE;
	while (pos < st.st_size) {
		n = preadv(fd, some, next_pieces(&p, some, PIECES), pos);
		if (n < 0)
			return -errno;
		/* It shrank: no object, but a file that somebody writes. */
		if (!n)
			return -ESTALE;
		advance(&p, (size_t)n);
		pos += n;
	}
	return (ssize_t)pos;
}

ssize_t kvlift_getv(const struct kvlift_cache *cache, const void *key,
		    size_t key_len, const struct iovec *iov, int nr)
{
	int saved = errno, fd;
	struct kvl_name name;
	ssize_t ret;

	if (nr < 0 || nr > KVLIFT_IOV_MAX)
		return -EINVAL;
	ret = kvl_key_name(key, key_len, &name);
	if (!ret) {
		ret = fd = open_name(cache, &name);
		if (fd >= 0) {
			ret = read_all(fd, iov, nr);
			close(fd);
		}
	}
	errno = saved;
	return ret;
}

ssize_t kvlift_get(const struct kvlift_cache *cache, const void *key,
		   size_t key_len, void *buf, size_t room)
{
	const struct iovec iov = { .iov_base = buf, .iov_len = room };

	return kvlift_getv(cache, key, key_len, &iov, 1);
}

int kvlift_exists(const struct kvlift_cache *cache, const void *key,
		  size_t key_len)
{
	int saved = errno, ret;
	struct kvl_name name;

	ret = kvl_key_name(key, key_len, &name);
	if (!ret)
		ret = is_there(cache, &name);
	errno = saved;
	return ret;
}

int kvlift_delete(const struct kvlift_cache *cache, const void *key,
		  size_t key_len)
{
	int saved = errno, ret;
	struct kvl_name name;

	ret = kvl_key_name(key, key_len, &name);
	if (!ret && name.is_hash) {
		ret = is_there(cache, &name);
		ret = ret > 0 ? 0 : ret ? ret : -ENOENT;
	}
	if (!ret && unlinkat(cache->fd, name.text, 0))
		ret = -errno;
	errno = saved;
	return ret;
}

int kvlift_object_open(const struct kvlift_cache *cache, const void *key,
		       size_t key_len, struct kvlift_object *object)
{
	int saved = errno, ret;
	struct kvl_name name;
	struct stat st;

	memset(object, 0, sizeof(*object));
	object->fd = -1;
	ret = kvl_key_name(key, key_len, &name);
	if (!ret)
		ret = open_name(cache, &name);
	if (ret >= 0) {
		object->fd = ret;
		ret = fstat(object->fd, &st) ? -errno : 0;
		if (!ret && !S_ISREG(st.st_mode))
			ret = -ESTALE;
		object->size = (uint64_t)st.st_size;
		if (ret)
			kvlift_object_close(object);
	}
	errno = saved;
	return ret;
}

ssize_t kvlift_object_read(const struct kvlift_object *object, uint64_t offset,
			   void *buf, size_t len)
{
	int saved = errno;
	ssize_t n = pread(object->fd, buf, len, (off_t)offset);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

int kvlift_object_map(const struct kvlift_object *object, const void **addr)
{
	int saved = errno, ret = 0;
	void *p;

	if (!object->size)
		return -ENODATA;
	if (object->size > SIZE_MAX)
		return -ENOMEM;
	p = mmap(NULL, (size_t)object->size, PROT_READ, MAP_SHARED, object->fd,
		 0);
	if (p == MAP_FAILED) {
		ret = -errno;
	} else {
		madvise(p, (size_t)object->size, MADV_DONTFORK);
		*addr = p;
	}
	errno = saved;
	return ret;
}

void kvlift_object_close(struct kvlift_object *object)
{
	if (object->fd < 0)
		return;
	close(object->fd);
	object->fd = -1;
}
