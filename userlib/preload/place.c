// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Files of a pool as memory. Runs inside of foreign allocators: nothing here
 * allocates, and errno is left alone. Room is reserved first, so that a pool
 * that is full refuses an allocation and not, by a signal, a store.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "place.h"

#define MAX_PLACES 1024

struct place {
	char *addr;
	size_t size;
	int fd;
	unsigned int number;
};

static struct place places[MAX_PLACES];
static unsigned int nr_places;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All of ours lie in between: most pointers are told by two comparisons. */
static char *lowest = (char *)UINTPTR_MAX, *highest;

/* Other libraries may stand before these of the C library, ourselves too. */
static void *raw_mmap(void *addr, size_t len, int prot, int flags, int fd)
{
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, 0);
}

static void raw_munmap(void *addr, size_t len)
{
	syscall(SYS_munmap, addr, len);
}

struct run_stats *place_stats(void)
{
	static struct run_stats *stats;
	const char *fd = getenv(RUN_STATS);
	void *p;

	if (stats || !fd)
		return stats;
	p = raw_mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED,
		     atoi(fd));
	if (p != MAP_FAILED)
		stats = p;
	return stats;
}

void place_say(const char *what, size_t size, int err)
{
	static int said;
	char text[256];
	int n;
	ssize_t done;

	if (__atomic_fetch_add(&said, 1, __ATOMIC_RELAXED))
		return;
	n = snprintf(text, sizeof(text), "kvlift run: %zu bytes: %s%s%s\n",
		     size, what, err ? ": " : "", err ? strerror(err) : "");
	done = write(STDERR_FILENO, text, (size_t)n);
	(void)done;
}

static void count_placed(size_t size)
{
	struct run_stats *s = place_stats();
	uint64_t live, peak;

	if (!s)
		return;
	__atomic_add_fetch(&s->placed, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&s->bytes, size, __ATOMIC_RELAXED);
	live = __atomic_add_fetch(&s->live, size, __ATOMIC_RELAXED);
	peak = __atomic_load_n(&s->peak, __ATOMIC_RELAXED);
	while (peak < live &&
	       !__atomic_compare_exchange_n(&s->peak, &peak, live, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void count_refused(size_t size)
{
	struct run_stats *s = place_stats();

	if (!s)
		return;
	__atomic_add_fetch(&s->refused, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&s->refused_bytes, size, __ATOMIC_RELAXED);
}

/* A new file with room for so much; a descriptor or -errno. */
static int make_file(size_t size, unsigned int *number)
{
	static unsigned int next;
	const char *dir = getenv(RUN_DIR);
	char path[4096];
	int fd, err;

	*number = __atomic_add_fetch(&next, 1, __ATOMIC_RELAXED);
	if (!dir || snprintf(path, sizeof(path), "%s/%d.%u", dir, getpid(),
			     *number) >= (int)sizeof(path))
		return -ENOENT;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (!fallocate(fd, 0, 0, (off_t)size))
		return fd;
	err = errno;
	unlink(path);
	close(fd);
	return -err;
}

static void remove_file(const struct place *p)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%d.%u", getenv(RUN_DIR), getpid(),
		 p->number);
	unlink(path);
	close(p->fd);
}

static bool remember(const struct place *p)
{
	bool room;

	pthread_mutex_lock(&lock);
	room = nr_places < MAX_PLACES;
	if (room) {
		places[nr_places++] = *p;
		if (p->addr < lowest)
			__atomic_store_n(&lowest, p->addr, __ATOMIC_RELAXED);
		if (p->addr + p->size > highest)
			__atomic_store_n(&highest, p->addr + p->size,
					 __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
	return room;
}

/* At @addr, or anywhere. NULL, with the error told. */
static void *place(void *addr, size_t size)
{
	struct place p = { .size = size };
	int saved = errno, err = 0;

	p.fd = make_file(size, &p.number);
	if (p.fd < 0) {
		err = -p.fd;
	} else {
		p.addr = raw_mmap(addr, size, PROT_READ | PROT_WRITE,
				  MAP_SHARED | (addr ? MAP_FIXED : 0), p.fd);
		if (p.addr == MAP_FAILED) {
			err = errno;
		} else if (!remember(&p)) {
			err = ENOBUFS;
			if (!addr)
				raw_munmap(p.addr, size);
		}
		if (err)
			remove_file(&p);
	}
	errno = saved;
	if (!err) {
		/* What a child of fork() writes must not be seen here. */
		madvise(p.addr, size, MADV_DONTFORK);
		count_placed(size);
		return p.addr;
	}
	count_refused(size);
	place_say("not placed in the pool", size, err);
	return NULL;
}

void *place_alloc(size_t size)
{
	return place(NULL, size);
}

bool place_at(void *addr, size_t size)
{
	return place(addr, size);
}

static bool between(const void *ptr)
{
	return (const char *)ptr >=
		       __atomic_load_n(&lowest, __ATOMIC_RELAXED) &&
	       (const char *)ptr < __atomic_load_n(&highest, __ATOMIC_RELAXED);
}

/* Needs the lock. */
static struct place *find(const void *ptr)
{
	unsigned int i;

	for (i = 0; i < nr_places; i++)
		if (places[i].addr == ptr)
			return &places[i];
	return NULL;
}

size_t place_size(const void *ptr)
{
	struct place *p;
	size_t size;

	if (!between(ptr))
		return 0;
	pthread_mutex_lock(&lock);
	p = find(ptr);
	size = p ? p->size : 0;
	pthread_mutex_unlock(&lock);
	return size;
}

bool place_free(void *ptr)
{
	struct run_stats *s;
	int saved = errno;
	struct place old;
	struct place *p;

	if (!between(ptr))
		return false;
	pthread_mutex_lock(&lock);
	p = find(ptr);
	if (p) {
		old = *p;
		*p = places[--nr_places];
	}
	pthread_mutex_unlock(&lock);
	if (!p)
		return false;
	raw_munmap(old.addr, old.size);
	remove_file(&old);
	s = place_stats();
	if (s)
		__atomic_sub_fetch(&s->live, old.size, __ATOMIC_RELAXED);
	errno = saved;
	return true;
}

bool place_clear(void *ptr)
{
	int saved = errno;
	struct place *p;
	bool done = false;

	if (!between(ptr))
		return false;
	pthread_mutex_lock(&lock);
	p = find(ptr);
	if (p)
		/* The room stays reserved. */
		done = !fallocate(p->fd,
				  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				  (off_t)p->size) &&
		       !fallocate(p->fd, 0, 0, (off_t)p->size);
	pthread_mutex_unlock(&lock);
	errno = saved;
	return done;
}
