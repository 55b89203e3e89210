// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Regions: files of a pool, and their mappings. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static int open_at(const struct kvlift_pool *pool, const char *name, int flags,
		   mode_t mode, struct kvlift_region **region)
{
	struct kvlift_region *r;
	struct statfs fs;
	struct stat st;
	int ret;

	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->block_size = pool->block_size;
	r->features = pool->features;
	r->fd = openat(pool->fd, name, flags | O_CLOEXEC, mode);
	if (r->fd < 0) {
		ret = -errno;
		goto out_free;
	}
	if (fstatfs(r->fd, &fs) < 0 || fstat(r->fd, &st) < 0) {
		ret = -errno;
		goto out_close;
	}
	ret = -EMEDIUMTYPE;
	if (fs.f_type != KVLIFT_SUPER_MAGIC)
		goto out_close;
	ret = -EISDIR;
	if (S_ISDIR(st.st_mode))
		goto out_close;
	*region = r;
	return 0;

out_close:
	close(r->fd);
out_free:
	free(r);
	return ret;
}

int kvlift_region_create(const struct kvlift_pool *pool, const char *name,
			 uint64_t size, mode_t mode,
			 struct kvlift_region **region)
{
	int saved = errno, ret;

	ret = open_at(pool, name, O_RDWR | O_CREAT | O_EXCL, mode, region);
	if (ret == 0) {
		ret = kvlift_region_size(*region, size);
		if (ret) {
			unlinkat(pool->fd, name, 0);
			kvlift_region_close(*region);
			*region = NULL;
		}
	}
	errno = saved;
	return ret;
}

int kvlift_region_open(const struct kvlift_pool *pool, const char *name,
		       int flags, struct kvlift_region **region)
{
	int saved = errno, ret;

	if (flags != O_RDONLY && flags != O_RDWR)
		return -EINVAL;
	ret = open_at(pool, name, flags, 0, region);
	errno = saved;
	return ret;
}

void kvlift_region_close(struct kvlift_region *region)
{
	if (!region)
		return;
	close(region->fd);
	free(region);
}

int kvlift_region_fd(const struct kvlift_region *region)
{
	return region->fd;
}

size_t kvlift_region_block_size(const struct kvlift_region *region)
{
	return region->block_size;
}

int kvlift_region_info(const struct kvlift_region *region,
		       struct kvlift_region_info *info)
{
	memset(info, 0, sizeof(*info));
	return kvl_ioctl(region->fd, KVLIFT_IOC_REGION, info);
}

int kvlift_region_size(const struct kvlift_region *region, uint64_t size)
{
	int saved = errno, ret = 0;

	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(region->fd, (off_t)size) < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

/* Address space for length bytes whose start is a multiple of align. */
static void *reserve(size_t length, size_t align)
{
	char *p, *start;
	size_t lead;

	p = mmap(NULL, length + align, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	lead = (align - ((uintptr_t)p & (align - 1))) & (align - 1);
	start = p + lead;
	if (lead)
		munmap(p, lead);
	munmap(start + length, align - lead);
	return start;
}

static void *map_at(const struct kvlift_region *region, void *want,
		    uint64_t offset, size_t length, int prot)
{
	return mmap(want, length, prot, MAP_SHARED | (want ? MAP_FIXED : 0),
		    region->fd, (off_t)offset);
}

/*
 * The kernel aligns what is at least 2 MiB long by itself in most cases, not on
 * a busy address space; to reserve a place takes time for each GiB.
 */
static void *map_aligned(const struct kvlift_region *region, uint64_t offset,
			 size_t length, int prot, size_t align)
{
	void *p = map_at(region, NULL, offset, length, prot), *want;

	if (p == MAP_FAILED || offset % align || (uintptr_t)p % align == 0)
		return p;
	munmap(p, length);
	want = reserve(length, align);
	if (!want) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	p = map_at(region, want, offset, length, prot);
	if (p == MAP_FAILED) {
		int err = errno;

		munmap(want, length);
		errno = err;
	}
	return p;
}

static int map(const struct kvlift_region *region, uint64_t offset,
	       size_t length, int prot, unsigned int flags, void **addr)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int ret;
	void *p;

	length = (length + page - 1) & ~(page - 1);
	p = map_aligned(region, offset, length, prot, region->block_size);
	if (p == MAP_FAILED)
		return -errno;
	/* Pinned pages and fork() go badly together; sharing is by file. */
	if (!(flags & KVLIFT_MAP_FORK) && madvise(p, length, MADV_DONTFORK))
		goto fail;
	if ((flags & KVLIFT_MAP_POPULATE) &&
	    madvise(p, length,
		    prot & PROT_WRITE ? MADV_POPULATE_WRITE
				      : MADV_POPULATE_READ))
		goto fail;
	*addr = p;
	return 0;

fail:
	ret = -errno;
	munmap(p, length);
	return ret;
}

int kvlift_region_map(const struct kvlift_region *region, uint64_t offset,
		      size_t length, int prot, unsigned int flags, void **addr)
{
	int saved = errno, ret;

	if (flags & ~(KVLIFT_MAP_FORK | KVLIFT_MAP_POPULATE))
		return -EINVAL;
	if (length == 0 || length > PTRDIFF_MAX - (4u << 20) ||
	    offset > INT64_MAX - length)
		return -EINVAL;
	ret = map(region, offset, length, prot, flags, addr);
	errno = saved;
	return ret;
}

int kvlift_region_unmap(void *addr, size_t length)
{
	int saved = errno, ret = 0;

	if (munmap(addr, length) < 0)
		ret = -errno;
	errno = saved;
	return ret;
}
