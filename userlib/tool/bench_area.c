// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* A mapped file on kvlift or on a peer, and ways to move its blocks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define MPOL_MF_MOVE 2

static size_t bytes(const struct area *a)
{
	return a->nr * a->block;
}

static int map_it(struct area *a, bool writable)
{
	void *p = mmap(NULL, bytes(a),
		       writable ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_SHARED, a->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	a->map = p;
	return 0;
}

int area_make(struct area *a, const char *dir, size_t block, size_t nr)
{
	int ret = 0;

	snprintf(a->path, sizeof(a->path), "%s/area", dir);
	a->map = NULL;
	a->block = block;
	a->nr = nr;
	a->fd = open(a->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (a->fd < 0 || ftruncate(a->fd, (off_t)bytes(a)))
		ret = -errno;
	ret = ret ?: map_it(a, true);
	if (ret) {
		error("%s: %s", a->path, strerror(-ret));
		if (a->fd >= 0)
			close(a->fd);
		a->fd = -1;
	}
	return ret;
}

int area_remap(struct area *a, bool writable)
{
	munmap(a->map, bytes(a));
	a->map = NULL;
	close(a->fd);
	a->fd = open(a->path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return a->fd < 0 ? -errno : map_it(a, writable);
}

void area_remove(struct area *a)
{
	if (a->map)
		munmap(a->map, bytes(a));
	if (a->fd >= 0)
		close(a->fd);
	unlink(a->path);
}

/* Every page of every block, as an engine does that fills or reads KV. */
void area_touch(const struct area *a, bool write)
{
	static volatile char sink;
	size_t i;

	for (i = 0; i < bytes(a); i += BENCH_PAGE) {
		if (write)
			a->map[i] = (char)(i / BENCH_PAGE);
		else
			sink = a->map[i];
	}
	(void)sink;
}

int area_unmap_pages(const struct area *a)
{
	return madvise(a->map, bytes(a), MADV_DONTNEED) ? -errno : 0;
}

static int move_range(const struct area *a, unsigned long cmd, uint64_t first,
		      uint64_t count)
{
	struct kvlift_range g = { .first = first, .count = count };

	return ioctl(a->fd, cmd, &g) ? -errno : 0;
}

int area_demote(const struct area *a, uint64_t first, uint64_t count)
{
	return move_range(a, KVLIFT_IOC_DEMOTE, first, count);
}

int area_promote(const struct area *a, uint64_t first, uint64_t count)
{
	return move_range(a, KVLIFT_IOC_PREFETCH, first, count);
}

int64_t area_in_tier(const struct area *a, unsigned int tier)
{
	uint64_t *words = calloc(a->nr, sizeof(*words));
	struct kvlift_where w = { .count = a->nr, .ptr = (uintptr_t)words };
	int64_t n = 0;
	size_t i;

	if (!words)
		return -ENOMEM;
	if (ioctl(a->fd, KVLIFT_IOC_WHERE, &w))
		n = -errno;
	for (i = 0; n >= 0 && i < a->nr; i++)
		n += words[i] & KVLIFT_LOC_PRESENT &&
		     kvlift_loc_tier(words[i]) == tier;
	free(words);
	return n;
}

static size_t resident_pages(const struct area *a)
{
	size_t pages = bytes(a) / BENCH_PAGE, n = 0, i;
	unsigned char *vec = malloc(pages);

	if (!vec || mincore(a->map, bytes(a), vec))
		abort();
	for (i = 0; i < pages; i++)
		n += vec[i] & 1;
	free(vec);
	return n;
}

/*
 * MADV_PAGEOUT starts writes and leaves the pages in the swap cache or the
 * page cache; the cgroup's memory.reclaim frees them.
 */
int area_page_out(const struct area *a, bool swap)
{
	size_t left;
	int pass;

	if (!swap && msync(a->map, bytes(a), MS_SYNC))
		return -errno;
	if (madvise(a->map, bytes(a), MADV_PAGEOUT))
		return -errno;
	for (pass = 0; pass < 64 && (left = resident_pages(a)); pass++) {
		group_reclaim(left * BENCH_PAGE);
		bench_nap(1000000);
	}
	left = resident_pages(a);
	if (!left)
		return 0;
	error("%s: %zu of %zu pages stay in memory", a->path, left,
	      bytes(a) / BENCH_PAGE);
	return -EBUSY;
}

static int move_pages_to(void **pages, int *status, int *nodes, size_t n,
			 int node)
{
	size_t i, there = 0;

	for (i = 0; i < n; i++)
		nodes[i] = node;
	if (syscall(SYS_move_pages, 0, n, pages, nodes, status, MPOL_MF_MOVE) <
	    0)
		return -errno;
	for (i = 0; i < n; i++)
		there += status[i] == node;
	if (there == n)
		return 0;
	error("move_pages: %zu of %zu pages came to node %d", there, n, node);
	return -EIO;
}

int anon_make(struct anon *a, size_t len, bool huge)
{
	size_t step = huge ? 2 * MIB : BENCH_PAGE, i;

	a->len = len;
	a->n = len / step;
	a->pages = calloc(a->n, sizeof(*a->pages));
	a->status = calloc(a->n, sizeof(*a->status));
	a->nodes = calloc(a->n, sizeof(*a->nodes));
	a->raw = mmap(NULL, len + 2 * MIB, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->raw == MAP_FAILED || !a->pages || !a->status || !a->nodes)
		return -ENOMEM;
	a->map = (char *)round_up((uintptr_t)a->raw, 2 * MIB);
	madvise(a->map, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(a->map, 1, len);
	for (i = 0; i < a->n; i++) {
		a->pages[i] = a->map + i * step;
		a->status[i] = a->nodes[i] = 0;
	}
	return 0;
}

void anon_free(struct anon *a)
{
	munmap(a->raw, a->len + 2 * MIB);
	free(a->pages);
	free(a->status);
	free(a->nodes);
}

int anon_move(struct anon *a, size_t first, size_t n, int node)
{
	return move_pages_to(a->pages + first, a->status, a->nodes, n, node);
}
