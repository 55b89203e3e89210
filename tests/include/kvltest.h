/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the test programs share: checks that count and go on, patterns by
 * which every byte can be told, and the calls of the module in short form.
 * Header only, so that a test is one file.
 */
#ifndef KVLTEST_H
#define KVLTEST_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "linux/kvlift.h"

#define KVT_SKIP      77
#define KVT_MAX_SHOWN 30 /* failures printed in full */

/*
 * Each translation unit is a whole program, and none uses everything here.
 */
#define KVT_FN __attribute__((unused)) static

KVT_FN int kvt_checks;
KVT_FN int kvt_fails;

__attribute__((format(printf, 4, 5), unused)) static void
kvt_fail(const char *file, int line, const char *what, const char *fmt, ...)
{
	va_list ap;

	if (__atomic_add_fetch(&kvt_fails, 1, __ATOMIC_RELAXED) > KVT_MAX_SHOWN)
		return;
	fprintf(stderr, "FAIL %s:%d: %s", file, line, what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

#define KVT_COUNT() __atomic_add_fetch(&kvt_checks, 1, __ATOMIC_RELAXED)

/* CHECK(condition, "format", ...): counts, and goes on. */
#define CHECK(cond, ...)                                                      \
	({                                                                    \
		bool kvt_ok_ = (cond);                                        \
		KVT_COUNT();                                                  \
		if (!kvt_ok_)                                                 \
			kvt_fail(__FILE__, __LINE__, #cond, " " __VA_ARGS__); \
		kvt_ok_;                                                      \
	})

/* OK(call): the call must not return -1. Its value is passed on. */
#define OK(call)                                                    \
	({                                                          \
		errno = 0;                                          \
		__auto_type kvt_r_ = (call);                        \
		KVT_COUNT();                                        \
		if ((long)kvt_r_ == -1)                             \
			kvt_fail(__FILE__, __LINE__, #call, ": %s", \
				 strerror(errno));                  \
		kvt_r_;                                             \
	})

/* ERR(call, errno): the call must return -1 with just that error. */
#define ERR(call, err)                                          \
	({                                                      \
		errno = 0;                                      \
		long kvt_r_ = (long)(call);                     \
		int kvt_e_ = errno;                             \
		KVT_COUNT();                                    \
		if (kvt_r_ != -1 || kvt_e_ != (err))            \
			kvt_fail(__FILE__, __LINE__, #call,     \
				 " = %ld (%s), not %s", kvt_r_, \
				 strerror(kvt_e_), #err);       \
		kvt_r_ == -1;                                   \
	})

/* IS(call, value): the call must return just that. */
#define IS(call, value)                                            \
	({                                                         \
		errno = 0;                                         \
		long long kvt_r_ = (long long)(call);              \
		long long kvt_v_ = (long long)(value);             \
		int kvt_e_ = errno;                                \
		KVT_COUNT();                                       \
		if (kvt_r_ != kvt_v_)                              \
			kvt_fail(__FILE__, __LINE__, #call,        \
				 " = %lld (%s), not %lld", kvt_r_, \
				 strerror(kvt_e_), kvt_v_);        \
		kvt_r_ == kvt_v_;                                  \
	})

/* What the test itself needs; its failure ends it. */
#define MUST(call)                                                         \
	({                                                                 \
		errno = 0;                                                 \
		__auto_type kvt_m_ = (call);                               \
		if ((long)kvt_m_ == -1) {                                  \
			fprintf(stderr, "FATAL %s:%d: %s: %s\n", __FILE__, \
				__LINE__, #call, strerror(errno));         \
			exit(1);                                           \
		}                                                          \
		kvt_m_;                                                    \
	})

__attribute__((format(printf, 1, 2), noreturn, unused)) static void
kvt_die(const char *fmt, ...)
{
	va_list ap;

	fputs("FATAL ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* The exit status of a program. */
KVT_FN int kvt_end(const char *name)
{
	printf("%s: %d checks, %d failed\n", name, kvt_checks, kvt_fails);
	return kvt_fails ? 1 : 0;
}

KVT_FN uint64_t kvt_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

KVT_FN void kvt_msleep(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

/* xorshift64*: the same sequence everywhere. */
KVT_FN uint64_t kvt_rand(uint64_t *s)
{
	uint64_t x = *s ? *s : 0x9e3779b97f4a7c15u;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*s = x;
	return x * 0x2545f4914f6cdd1du;
}

KVT_FN uint64_t kvt_rand_below(uint64_t *s, uint64_t n)
{
	return n ? (kvt_rand(s) >> 11) % n : 0;
}

KVT_FN uint64_t kvt_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/*
 * The pattern: byte n of stream "seed" depends on nothing else, is never
 * zero, and a foreign byte is told from it at once.
 */
KVT_FN uint64_t kvt_word(uint64_t seed, uint64_t n)
{
	return kvt_mix(seed * 0x9e3779b97f4a7c15u + n) | 0x0101010101010101u;
}

KVT_FN void kvt_fill(void *buf, size_t len, uint64_t seed, uint64_t off)
{
	uint8_t *p = buf;

	while (len) {
		uint64_t w = kvt_word(seed, off / 8);
		size_t skip = off % 8, n = 8 - skip < len ? 8 - skip : len;

		memcpy(p, (uint8_t *)&w + skip, n);
		p += n;
		off += n;
		len -= n;
	}
}

/* Index of the first byte that is not the pattern's, or -1. */
KVT_FN ssize_t kvt_diff(const void *buf, size_t len, uint64_t seed,
			uint64_t off)
{
	const uint8_t *p = buf;
	size_t at = 0;

	while (at < len) {
		uint64_t w = kvt_word(seed, (off + at) / 8), v;
		size_t skip = (off + at) % 8;

		if (!skip && len - at >= 8) {
			memcpy(&v, p + at, 8);
			if (v == w) {
				at += 8;
				continue;
			}
		}
		if (p[at] != ((uint8_t *)&w)[skip])
			return (ssize_t)at;
		at++;
	}
	return -1;
}

KVT_FN ssize_t kvt_nonzero(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t i = 0;
	uint64_t v;

	while (i < len) {
		if (len - i >= 8) {
			memcpy(&v, p + i, 8);
			if (!v) {
				i += 8;
				continue;
			}
		}
		if (p[i])
			return (ssize_t)i;
		i++;
	}
	return -1;
}

#define CHECK_PATTERN(buf, len, seed, off)                            \
	({                                                            \
		ssize_t kvt_d_ = kvt_diff(buf, len, seed, off);       \
		CHECK(kvt_d_ < 0, "byte %zd of %zu is wrong", kvt_d_, \
		      (size_t)(len));                                 \
	})
#define CHECK_ZERO(buf, len)                                             \
	({                                                               \
		ssize_t kvt_d_ = kvt_nonzero(buf, len);                  \
		CHECK(kvt_d_ < 0, "byte %zd of %zu is not zero", kvt_d_, \
		      (size_t)(len));                                    \
	})

/* All or nothing; a short transfer is legal and goes on. */
KVT_FN ssize_t kvt_pread(int fd, void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done,
				  off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

KVT_FN ssize_t kvt_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done,
				   off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* The module's calls. */

KVT_FN bool kvt_is_kvlift(int fd)
{
	struct statfs s;

	return !fstatfs(fd, &s) && (uint32_t)s.f_type == KVLIFT_SUPER_MAGIC;
}

KVT_FN int kvt_info(int fd, struct kvlift_info *info)
{
	memset(info, 0, sizeof(*info));
	return ioctl(fd, KVLIFT_IOC_INFO, info);
}

KVT_FN int kvt_range(int fd, unsigned long cmd, uint64_t first, uint64_t count,
		     uint64_t *done)
{
	struct kvlift_range r = { .first = first, .count = count };
	int rc = ioctl(fd, cmd, &r);

	if (done)
		*done = r.done;
	return rc;
}

KVT_FN int kvt_demote(int fd, uint64_t first, uint64_t count)
{
	return kvt_range(fd, KVLIFT_IOC_DEMOTE, first, count, NULL);
}

KVT_FN int kvt_prefetch(int fd, uint64_t first, uint64_t count)
{
	return kvt_range(fd, KVLIFT_IOC_PREFETCH, first, count, NULL);
}

/* Location word of one block, ~0 when that can't be had. */
KVT_FN uint64_t kvt_loc(int fd, uint64_t index)
{
	uint64_t word = 0;
	struct kvlift_where w = {
		.first = index,
		.count = 1,
		.ptr = (uint64_t)(uintptr_t)&word,
	};

	if (ioctl(fd, KVLIFT_IOC_WHERE, &w) || w.count != 1)
		return ~0ull;
	return word;
}

/* Tier of a block, -1 for a hole or an inline block, -2 on error. */
KVT_FN int kvt_tier(int fd, uint64_t index)
{
	uint64_t w = kvt_loc(fd, index);

	if (w == ~0ull)
		return -2;
	return w & KVLIFT_LOC_PRESENT ? (int)kvlift_loc_tier(w) : -1;
}

/*
 * Ask again and again until the block is in that tier: a move may be refused
 * for a reference that is gone a moment later. Returns 0 or -1.
 */
KVT_FN int kvt_move_to(int fd, uint64_t index, int tier, unsigned int ms)
{
	uint64_t end = kvt_now_ns() + (uint64_t)ms * 1000000u;

	for (unsigned int n = 0;; n++) {
		int t = kvt_tier(fd, index);

		if (t == tier)
			return 0;
		if (kvt_now_ns() > end)
			return -1;
		if (t < 0)
			return -1;
		if (n % 8 == 0)
			kvt_range(fd,
				  t < tier ? KVLIFT_IOC_DEMOTE
					   : KVLIFT_IOC_PREFETCH,
				  index, 1, NULL);
		kvt_msleep(n < 8 ? 1 : 10);
	}
}

/* The slowest tier that has members, and the one below a tier. */
KVT_FN int kvt_tier_below(const struct kvlift_info *info, int tier)
{
	for (int t = tier + 1; t < KVLIFT_NR_TIERS; t++)
		if (info->nr_members[t])
			return t;
	return -1;
}

KVT_FN int kvt_bottom(const struct kvlift_info *info)
{
	int t = KVLIFT_NR_TIERS - 1;

	while (t > 0 && !info->nr_members[t])
		t--;
	return t;
}

/* One of the pool's counters, or -1. */
KVT_FN long long kvt_counter(int fd, const char *name)
{
	struct kvlift_info info;
	char path[64], key[64];
	long long v, found = -1;
	FILE *f;

	if (kvt_info(fd, &info))
		return -1;
	snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/counters", info.pool);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fscanf(f, "%63s %lld", key, &v) == 2)
		if (!strcmp(key, name))
			found = v;
	fclose(f);
	return found;
}

/*
 * The signal that an access raises, 0 when it is harmless. Asked in a child,
 * which inherits shared mappings, so that no handler is needed.
 */
KVT_FN int kvt_access_signal(volatile void *p, bool store)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		if (store)
			*(volatile char *)p = 'x';
		else
			(void)*(volatile char *)p;
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Run a check in a child; its failures are counted here. */
#define IN_CHILD(...)                                              \
	do {                                                       \
		int kvt_st_;                                       \
		pid_t kvt_p_;                                      \
		fflush(NULL);                                      \
		kvt_p_ = MUST(fork());                             \
		if (!kvt_p_) {                                     \
			kvt_fails = 0;                             \
			__VA_ARGS__;                               \
			_exit(kvt_fails ? 1 : 0);                  \
		}                                                  \
		waitpid(kvt_p_, &kvt_st_, 0);                      \
		CHECK(kvt_st_ == 0, "child: status %#x", kvt_st_); \
	} while (0)

#endif /* KVLTEST_H */
