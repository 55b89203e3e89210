// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Blocks of a region: touches, prefetch, demotion, sealing, location. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* Entries per call of kvlift_touch(): 16 KiB of stack. */
#define TOUCH_CHUNK 1024u

int kvlift_touch_entries(const struct kvlift_region *region,
			 const struct kvlift_touch *entries, unsigned int count)
{
	struct kvlift_touches batch;
	int ret;

	if (count == 0)
		return 0;
	if (count > KVLIFT_TOUCH_MAX)
		return -EINVAL;
	memset(&batch, 0, sizeof(batch));
	batch.ptr = kvl_ptr(entries);
	batch.count = count;
	ret = kvl_ioctl(region->fd, KVLIFT_IOC_TOUCH, &batch);
	return ret ? ret : (int)batch.done;
}

int kvlift_touch(const struct kvlift_region *region, const uint64_t *indexes,
		 unsigned int count)
{
	struct kvlift_touch chunk[TOUCH_CHUNK];
	unsigned int i, n;
	int ret, done = 0;

	for (; count; count -= n, indexes += n) {
		n = count < TOUCH_CHUNK ? count : TOUCH_CHUNK;
		for (i = 0; i < n; i++) {
			chunk[i].index = indexes[i];
			chunk[i].weight = 0;
			chunk[i].flags = 0;
		}
		ret = kvlift_touch_entries(region, chunk, n);
		if (ret < 0)
			return ret;
		done += ret;
	}
	return done;
}

static int64_t range(const struct kvlift_region *region, unsigned long cmd,
		     uint64_t first, uint64_t count)
{
	struct kvlift_range arg;
	int ret;

	if (count == 0)
		return 0;
	memset(&arg, 0, sizeof(arg));
	arg.first = first;
	arg.count = count;
	ret = kvl_ioctl(region->fd, cmd, &arg);
	return ret ? ret : (int64_t)arg.done;
}

int64_t kvlift_prefetch(const struct kvlift_region *region, uint64_t first,
			uint64_t count)
{
	return range(region, KVLIFT_IOC_PREFETCH, first, count);
}

int64_t kvlift_demote(const struct kvlift_region *region, uint64_t first,
		      uint64_t count)
{
	return range(region, KVLIFT_IOC_DEMOTE, first, count);
}

static int seal(const struct kvlift_region *region, uint32_t flags,
		uint64_t first, uint64_t count, uint64_t *done)
{
	struct kvlift_seal arg;
	int ret;

	if (done)
		*done = 0;
	if (!(region->features & KVLIFT_F_SEAL))
		return -EOPNOTSUPP;
	memset(&arg, 0, sizeof(arg));
	arg.first = first;
	arg.count = count;
	arg.flags = flags;
	ret = kvl_ioctl(region->fd, KVLIFT_IOC_SEAL, &arg);
	if (ret == 0 && done)
		*done = arg.done;
	return ret;
}

int kvlift_seal(const struct kvlift_region *region, uint64_t first,
		uint64_t count, uint64_t *done)
{
	if (count == 0) {
		if (done)
			*done = 0;
		return 0;
	}
	return seal(region, 0, first, count, done);
}

int kvlift_seal_file(const struct kvlift_region *region, uint64_t *done)
{
	return seal(region, KVLIFT_SEAL_FILE, 0, 0, done);
}

int64_t kvlift_where(const struct kvlift_region *region, uint64_t first,
		     uint64_t count, uint64_t *words)
{
	struct kvlift_where arg;
	int ret;

	memset(&arg, 0, sizeof(arg));
	arg.first = first;
	arg.count = count;
	arg.ptr = kvl_ptr(words);
	ret = kvl_ioctl(region->fd, KVLIFT_IOC_WHERE, &arg);
	return ret ? ret : (int64_t)arg.count;
}

int kvlift_table_map(const struct kvlift_region *region,
		     struct kvlift_table *table)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct kvlift_region_info info;
	int fd, ret, saved = errno;
	uint64_t blocks;
	void *p;

	memset(table, 0, sizeof(*table));
	if (!(region->features & KVLIFT_F_TABLE))
		return -EOPNOTSUPP;
	ret = kvlift_region_info(region, &info);
	if (ret)
		return ret;
	blocks = info.size / region->block_size +
		 (info.size % region->block_size != 0);
	if (blocks == 0)
		return -ENODATA;
	fd = kvl_ioctl(region->fd, KVLIFT_IOC_TABLE, NULL);
	if (fd < 0)
		return fd;
	table->length = (blocks * sizeof(uint64_t) + page - 1) & ~(page - 1);
	p = mmap(NULL, table->length, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		ret = -errno;
		table->length = 0;
	} else {
		table->words = p;
		table->count = blocks;
	}
	/* The mapping keeps the table. */
	close(fd);
	errno = saved;
	return ret;
}

void kvlift_table_unmap(struct kvlift_table *table)
{
	if (table->length)
		munmap((void *)(uintptr_t)table->words, table->length);
	memset(table, 0, sizeof(*table));
}
