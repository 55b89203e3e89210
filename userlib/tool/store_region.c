// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Replay on one region. NAME.index is the engine's memory of what it wrote: a
 * header page, then one word per block, set after the block is complete. Both
 * files survive a kill -9.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "pattern.h"
#include "store.h"
#include "util.h"

#define INDEX_MAGIC 0x58444e49544c564bULL /* "KVLTINDX" */
#define HEADER	    4096u
#define HOLD_MS	    KVLIFT_LEASE_MAX_MS

struct header {
	uint64_t magic;
	uint64_t block;
	uint64_t blocks;
	uint64_t next_request;
};

struct region_private {
	struct kvlift_region *data, *index;
	char *base;
	size_t length, index_length;
	struct header *header;
	uint64_t *commits;
	struct kvlift_table table;
	int lock_fd;
	int hold_fd;	   /* queue of the lease on the index, or -1 */
	uint64_t hold_end; /* when it is to be renewed */
	uint64_t hold_nr;
};

static size_t index_size(uint64_t blocks)
{
	return HEADER + blocks * sizeof(uint64_t);
}

uint64_t region_store_extra(uint64_t blocks, uint64_t block_size)
{
	return ceil_div(index_size(blocks), block_size);
}

/* Never 0, which means "not written". */
static uint64_t commit_word(uint64_t id)
{
	return mix64(id) | 1;
}

static int open_file(struct store *s, const char *suffix, uint64_t size,
		     bool fresh, struct kvlift_region **r, bool *made)
{
	struct kvlift_region_info info;
	char name[256];
	int ret;

	snprintf(name, sizeof(name), "%s.%s", s->name, suffix);
	*made = false;
	if (fresh && unlinkat(kvlift_pool_fd(s->pool), name, 0) &&
	    errno != ENOENT)
		return -errno;
	ret = kvlift_region_open(s->pool, name, O_RDWR, r);
	if (ret == -ENOENT) {
		*made = true;
		return kvlift_region_create(s->pool, name, size, 0600, r);
	}
	if (ret)
		return ret;
	ret = kvlift_region_info(*r, &info);
	/* Its maker was killed before it could give it a size. */
	if (!ret && info.size == 0) {
		*made = true;
		return kvlift_region_size(*r, size);
	}
	if (!ret && info.size != size) {
		error("%s: is of another trace, --requests or --block: run without --resume to start afresh",
		      name);
		ret = -EINVAL;
	}
	return ret;
}

/* Two replays on the same files would see each other's writes as errors. */
static int lock_name(struct store *s, struct region_private *p)
{
	struct stat st = { .st_nlink = 1 };
	char name[256];
	int fd, ret;

	snprintf(name, sizeof(name), "%s.lock", s->name);
	fd = openat(kvlift_pool_fd(s->pool), name, O_RDWR | O_CREAT | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	/* No link left: its owner has just gone and taken the file along. */
	if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &st) || !st.st_nlink) {
		ret = st.st_nlink ? -errno : -EWOULDBLOCK;
		if (ret == -EWOULDBLOCK) {
			error("another replay is at work on '%s' in this pool: wait for it, or choose another --name",
			      s->name);
			ret = -EBUSY;
		}
		close(fd);
		return ret;
	}
	p->lock_fd = fd;
	return 0;
}

/* Get the index into memory: a write of it must not fail later. */
static int check_index(struct store *s, struct region_private *p)
{
	const struct trace *t = s->trace;
	volatile int ret = 0;
	volatile uint32_t i;

	if (GUARD_ENTER()) {
		error("no room in the pool for the index");
		return -ENOSPC;
	}
	if (!p->header->magic) {
		p->header->block = s->block;
		p->header->blocks = t->nr_ids;
		__atomic_store_n(&p->header->magic, INDEX_MAGIC,
				 __ATOMIC_RELEASE);
	}
	if (p->header->magic != INDEX_MAGIC || p->header->block != s->block ||
	    p->header->blocks != t->nr_ids)
		ret = -EINVAL;
	for (i = 0; i < t->nr_ids && !ret; i++) {
		uint64_t word = p->commits[i];

		if (!word)
			continue;
		if (word != commit_word(t->ids[i]))
			ret = -EINVAL;
		s->present[i] = 1;
	}
	guard_leave();
	if (ret)
		error("the index in the pool is of another trace or damaged: run without --resume to start afresh");
	return ret;
}

static int region_open(struct store *s, bool fresh)
{
	uint64_t blocks = s->trace->nr_ids;
	struct region_private *p;
	bool new_data, new_index;
	void *addr;
	int ret;

	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	s->private = p;
	p->lock_fd = -1;
	p->hold_fd = -1;
	ret = lock_name(s, p);
	if (ret)
		return ret;
	p->length = blocks * s->block;
	p->index_length = index_size(blocks);
	ret = open_file(s, "region", p->length, fresh, &p->data, &new_data);
	/* An index without its region speaks of blocks that are not there. */
	if (!ret)
		ret = open_file(s, "index", p->index_length, fresh || new_data,
				&p->index, &new_index);
	if (!ret)
		ret = kvlift_region_map(p->index, 0, p->index_length,
					PROT_READ | PROT_WRITE, 0, &addr);
	if (ret) {
		error("the files of the replay cannot be made: %s",
		      kvlift_strerror(ret));
		return ret;
	}
	p->header = addr;
	p->commits = (uint64_t *)(void *)((char *)addr + HEADER);
	ret = check_index(s, p);
	if (!ret)
		ret = kvlift_region_map(p->data, 0, p->length,
					PROT_READ | PROT_WRITE, 0, &addr);
	if (ret)
		return ret;
	p->base = addr;
	ret = kvlift_table_map(p->data, &p->table);
	if (ret)
		error("note: no location table (%s): each look-up is a system call",
		      kvlift_strerror(ret));
	return 0;
}

static uint64_t region_where(struct store *s, uint32_t n)
{
	struct region_private *p = s->private;
	uint64_t word = 0;

	if (p->table.words)
		return kvlift_table_lookup(&p->table, n);
	kvlift_where(p->data, n, 1, &word);
	return word;
}

static int region_read(struct store *s, uint32_t n, uint64_t *ns)
{
	struct region_private *p = s->private;
	volatile uint64_t *words =
		(volatile uint64_t *)(void *)(p->base + n * s->block);
	uint64_t id = s->trace->ids[n], start;
	long wrong;

	*ns = 0;
	if (GUARD_ENTER())
		return -EIO;
	start = now_ns();
	(void)words[0];
	*ns = now_ns() - start;
	wrong = pattern_check((const void *)(uintptr_t)words, s->block, id);
	if (wrong >= 0) {
		snprintf(s->bad, sizeof(s->bad),
			 "block %u, id %llu, word %ld is %016llx", n,
			 (unsigned long long)id, wrong,
			 (unsigned long long)words[wrong]);
		guard_leave();
		return -EILSEQ;
	}
	guard_leave();
	return 0;
}

static int region_write(struct store *s, uint32_t n)
{
	struct region_private *p = s->private;
	uint64_t id = s->trace->ids[n];

	if (GUARD_ENTER())
		return -ENOSPC;
	pattern_fill(p->base + n * s->block, s->block, id);
	/* A killed engine must not find a promise that it did not keep. */
	__atomic_store_n(&p->commits[n], commit_word(id), __ATOMIC_RELEASE);
	guard_leave();
	s->present[n] = 1;
	return 0;
}

static int region_touch(struct store *s, const uint32_t *refs, uint64_t count)
{
	static struct kvlift_touch *entries;
	static uint64_t cap;
	struct region_private *p = s->private;
	uint64_t i;
	int ret;

	if (count > KVLIFT_TOUCH_MAX)
		count = KVLIFT_TOUCH_MAX;
	if (count > cap) {
		struct kvlift_touch *more =
			realloc(entries, count * sizeof(*entries));

		if (!more)
			return -ENOMEM;
		memset(more, 0, count * sizeof(*more));
		entries = more;
		cap = count;
	}
	for (i = 0; i < count; i++)
		entries[i].index = refs[i];
	ret = kvlift_touch_entries(p->data, entries, (unsigned int)count);
	return ret < 0 ? ret : 0;
}

/* Runs of blocks in a row become one call. */
static int region_prefetch(struct store *s, const uint32_t *refs,
			   uint64_t count)
{
	struct region_private *p = s->private;
	uint64_t i = 0, run;
	int64_t ret;

	while (i < count) {
		if (!s->present[refs[i]]) {
			i++;
			continue;
		}
		for (run = 1; i + run < count; run++)
			if (refs[i + run] != refs[i] + run ||
			    !s->present[refs[i + run]])
				break;
		ret = kvlift_prefetch(p->data, refs[i], run);
		if (ret == -EAGAIN)
			return 0; /* full: faults will do the rest */
		if (ret < 0)
			return (int)ret;
		i += run;
	}
	return 0;
}

static const struct kvlift_region *region_of(struct store *s)
{
	struct region_private *p = s->private;

	return p->data;
}

static uint64_t region_get_next(struct store *s)
{
	struct region_private *p = s->private;
	volatile uint64_t next = 0;

	if (!GUARD_ENTER())
		next = p->header->next_request;
	guard_leave();
	return next;
}

/* A lease of the index, and an end to the one before. */
static int lease_index(struct store *s)
{
	struct region_private *p = s->private;
	struct kvlift_req req = {
		.cookie = p->hold_nr + 1,
		.count = ceil_div(p->index_length, s->block),
		.fd = kvlift_region_fd(p->index),
		.op = KVLIFT_OP_ACQUIRE,
		.tier = KVLIFT_TIER_DRAM,
		.lease_ms = HOLD_MS,
	};
	struct kvlift_event event;
	int ret = kvlift_queue_submit(p->hold_fd, &req, 1);

	if (ret == 1)
		ret = kvlift_queue_read(p->hold_fd, &event, 1);
	if (ret < 0)
		return ret;
	if (event.res)
		return event.res;
	if (p->hold_nr)
		kvlift_queue_release(p->hold_fd, p->hold_nr);
	p->hold_nr++;
	p->hold_end = now_ns() + HOLD_MS / 2 * UINT64_C(1000000);
	return 0;
}

static void region_hold(struct store *s)
{
	struct region_private *p = s->private;
	int ret = kvlift_queue_open(s->pool);

	p->hold_fd = ret;
	if (ret >= 0)
		ret = lease_index(s);
	if (!ret)
		return;
	error("note: the index is not held in memory (%s): the policy sees accesses to it between the requests",
	      kvlift_strerror(ret));
	if (p->hold_fd >= 0)
		close(p->hold_fd);
	p->hold_fd = -1;
}

static void region_set_next(struct store *s, uint64_t request)
{
	struct region_private *p = s->private;

	if (p->hold_fd >= 0 && now_ns() > p->hold_end && lease_index(s))
		p->hold_end = UINT64_MAX;
	if (!GUARD_ENTER())
		__atomic_store_n(&p->header->next_request, request,
				 __ATOMIC_RELEASE);
	guard_leave();
}

static void region_close(struct store *s, bool remove)
{
	static const char *const suffix[] = { "region", "index", "lock" };
	struct region_private *p = s->private;
	char name[256];
	unsigned int i;

	if (!p)
		return;
	kvlift_table_unmap(&p->table);
	if (p->base)
		kvlift_region_unmap(p->base, p->length);
	if (p->header)
		kvlift_region_unmap(p->header, p->index_length);
	if (p->hold_fd >= 0)
		close(p->hold_fd);
	kvlift_region_close(p->data);
	kvlift_region_close(p->index);
	for (i = 0; remove && i < 3; i++) {
		snprintf(name, sizeof(name), "%s.%s", s->name, suffix[i]);
		unlinkat(kvlift_pool_fd(s->pool), name, 0);
	}
	/* Last: the lock covers the removal. */
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	free(p);
	s->private = NULL;
}

const struct store_ops region_store = {
	.open = region_open,
	.where = region_where,
	.read = region_read,
	.write = region_write,
	.touch = region_touch,
	.prefetch = region_prefetch,
	.region = region_of,
	.get_next = region_get_next,
	.set_next = region_set_next,
	.hold = region_hold,
	.close = region_close,
};
