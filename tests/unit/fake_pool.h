/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls of libkvlift over an ordinary directory, to run what stands on
 * them without a module. Linked before the library, so that it is not taken.
 */
#ifndef FAKE_POOL_H
#define FAKE_POOL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvlift.h"

#define FAKE_BLOCK 16384u

struct kvlift_pool {
	int fd;
};

struct kvlift_region {
	int fd;
};

/* Called at each look-up; NULL: nothing. */
static void (*fake_where_hook)(int fd, uint64_t index);
static uint64_t fake_touches, fake_prefetched;
static struct kvlift_hint *fake_hints;
static unsigned int fake_nr_hints, fake_hint_calls, fake_opened;
/* What the next call returns instead; 0: it works. */
static int fake_hint_error;
static bool fake_no_clock;

int kvlift_pool_open(const char *path, struct kvlift_pool **pool)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*pool = malloc(sizeof(**pool));
	(*pool)->fd = fd;
	fake_opened++;
	return 0;
}

void kvlift_pool_close(struct kvlift_pool *pool)
{
	if (!pool)
		return;
	close(pool->fd);
	free(pool);
	fake_opened--;
}

int kvlift_queue_open(const struct kvlift_pool *pool)
{
	return -EOPNOTSUPP;
}

int kvlift_queue_submit(int queue, const struct kvlift_req *reqs,
			unsigned int count)
{
	return -EOPNOTSUPP;
}

int kvlift_queue_read(int queue, struct kvlift_event *events,
		      unsigned int count)
{
	return -EOPNOTSUPP;
}

int kvlift_queue_release(int queue, uint64_t cookie)
{
	return -EOPNOTSUPP;
}

int kvlift_pool_fd(const struct kvlift_pool *pool)
{
	return pool->fd;
}

size_t kvlift_pool_block_size(const struct kvlift_pool *pool)
{
	return FAKE_BLOCK;
}

int kvlift_pool_info(const struct kvlift_pool *pool, struct kvlift_info *info)
{
	memset(info, 0, sizeof(*info));
	info->block_size = FAKE_BLOCK;
	info->pool = UINT32_MAX; /* none of sysfs */
	info->nr_members[KVLIFT_TIER_DRAM] = 1;
	return 0;
}

int kvlift_pool_member(const struct kvlift_pool *pool, unsigned int tier,
		       unsigned int member, struct kvlift_member *info)
{
	memset(info, 0, sizeof(*info));
	info->tier = tier;
	info->member = member;
	info->asked = 100;
	info->got = 100;
	strcpy(info->name, "node0");
	return 0;
}

int kvlift_features(const struct kvlift_pool *pool, uint64_t *features)
{
	*features = 0;
	return 0;
}

static int fake_open(const struct kvlift_pool *pool, const char *name,
		     int flags, mode_t mode, struct kvlift_region **region)
{
	int fd = openat(pool->fd, name, flags | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	*region = malloc(sizeof(**region));
	(*region)->fd = fd;
	fake_opened++;
	return 0;
}

int kvlift_region_create(const struct kvlift_pool *pool, const char *name,
			 uint64_t size, mode_t mode,
			 struct kvlift_region **region)
{
	int ret =
		fake_open(pool, name, O_RDWR | O_CREAT | O_EXCL, mode, region);

	if (!ret && ftruncate((*region)->fd, (off_t)size))
		abort();
	return ret;
}

int kvlift_region_open(const struct kvlift_pool *pool, const char *name,
		       int flags, struct kvlift_region **region)
{
	return fake_open(pool, name, flags, 0, region);
}

void kvlift_region_close(struct kvlift_region *region)
{
	if (!region)
		return;
	close(region->fd);
	free(region);
	fake_opened--;
}

int kvlift_region_fd(const struct kvlift_region *region)
{
	return region->fd;
}

size_t kvlift_region_block_size(const struct kvlift_region *region)
{
	return FAKE_BLOCK;
}

int kvlift_region_info(const struct kvlift_region *region,
		       struct kvlift_region_info *info)
{
	struct stat st;

	memset(info, 0, sizeof(*info));
	if (fstat(region->fd, &st))
		return -errno;
	info->size = (uint64_t)st.st_size;
	return 0;
}

int kvlift_region_size(const struct kvlift_region *region, uint64_t size)
{
	return ftruncate(region->fd, (off_t)size) ? -errno : 0;
}

int kvlift_region_map(const struct kvlift_region *region, uint64_t offset,
		      size_t length, int prot, unsigned int flags, void **addr)
{
	*addr = mmap(NULL, length, prot, MAP_SHARED, region->fd, (off_t)offset);
	return *addr == MAP_FAILED ? -errno : 0;
}

int kvlift_region_unmap(void *addr, size_t length)
{
	return munmap(addr, length) ? -errno : 0;
}

int kvlift_touch_entries(const struct kvlift_region *region,
			 const struct kvlift_touch *entries, unsigned int count)
{
	fake_touches += count;
	return (int)count;
}

int kvlift_touch(const struct kvlift_region *region, const uint64_t *indexes,
		 unsigned int count)
{
	fake_touches += count;
	return (int)count;
}

/* Keeps what was told. */
int kvlift_hint(const struct kvlift_pool *pool, const struct kvlift_hint *hints,
		unsigned int count)
{
	int ret = fake_hint_error;

	fake_hint_calls++;
	fake_hint_error = 0;
	if (ret)
		return ret;
	if (fake_no_clock && hints[0].op == KVLIFT_HINT_CLOCK)
		return -EPERM;
	fake_hints =
		realloc(fake_hints, (fake_nr_hints + count) * sizeof(*hints));
	if (!fake_hints)
		abort();
	memcpy(fake_hints + fake_nr_hints, hints, count * sizeof(*hints));
	fake_nr_hints += count;
	return (int)count;
}

int64_t kvlift_prefetch(const struct kvlift_region *region, uint64_t first,
			uint64_t count)
{
	fake_prefetched += count;
	return (int64_t)count;
}

int64_t kvlift_demote(const struct kvlift_region *region, uint64_t first,
		      uint64_t count)
{
	return (int64_t)count;
}

/* A third of the blocks in each tier. */
int64_t kvlift_where(const struct kvlift_region *region, uint64_t first,
		     uint64_t count, uint64_t *words)
{
	uint64_t i;

	for (i = 0; i < count; i++)
		words[i] = KVLIFT_LOC_PRESENT |
			   (1 + (first + i) % 3) << KVLIFT_LOC_TIER_SHIFT;
	if (fake_where_hook)
		fake_where_hook(region->fd, first);
	return (int64_t)count;
}

int kvlift_table_map(const struct kvlift_region *region,
		     struct kvlift_table *table)
{
	memset(table, 0, sizeof(*table));
	return -EOPNOTSUPP;
}

void kvlift_table_unmap(struct kvlift_table *table)
{
}

#endif
