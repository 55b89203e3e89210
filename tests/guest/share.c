// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Two processes on one region see each other's bytes at once, wherever the
 * blocks are; who has no right does not get in; and what was deleted never
 * shows up in anything new, however it is looked for.
 *
 *	share DIR [SEED]
 *	share DIR plant		leave a file "planted" of the secret pattern
 *	share DIR hunt		look for that pattern in everything new
 */
#include "kvltest.h"

#include <sys/syscall.h>

#define RW (PROT_READ | PROT_WRITE)
#define N  12

static struct kvlift_info info;
static size_t bs;
static uint64_t seed = 1;
static char *buf;

static void become(uid_t uid)
{
	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(setresgid(uid, uid, uid));
	MUST(setresuid(uid, uid, uid));
}

/* One writes and says so, the other looks; in turns, while blocks move. */
static void ping_pong(void)
{
	int fd = MUST(open("shared", O_CREAT | O_TRUNC | O_RDWR, 0644));
	int a[2], b[2], status;
	uint64_t rnd = seed;
	char c = 0;
	pid_t pid;
	char *m;

	OK(fchmod(fd, 0666));
	OK(ftruncate(fd, (off_t)(N * bs)));
	MUST(pipe(a));
	MUST(pipe(b));
	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		/* Another user, another descriptor, another mapping. */
		become(1001);
		kvt_fails = 0;
		fd = MUST(open("shared", O_RDWR));
		m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
		for (int r = 0; r < 200; r++) {
			size_t i = (size_t)r % N * bs + (size_t)r * 64 % bs;

			MUST(read(a[0], &c, 1));
			IS(m[i], (char)(r | 1));
			IS(pread(fd, &c, 1, (off_t)i), 1);
			IS(c, (char)(r | 1));
			m[i + 1] = (char)~r;
			MUST(write(b[1], "x", 1));
		}
		_exit(kvt_fails ? 1 : 0);
	}
	m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
	for (int r = 0; r < 200; r++) {
		size_t i = (size_t)r % N * bs + (size_t)r * 64 % bs;

		if (r & 1)
			m[i] = (char)(r | 1);
		else
			IS(pwrite(fd, &(char){ (char)(r | 1) }, 1, (off_t)i),
			   1);
		kvt_demote(fd, kvt_rand_below(&rnd, N), 3);
		MUST(write(a[1], "x", 1));
		MUST(read(b[0], &c, 1));
		IS(m[i + 1], (char)~r);
	}
	waitpid(pid, &status, 0);
	CHECK(status == 0, "the other process: %#x", status);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
	munmap(m, N * bs);
	close(fd);
	OK(unlink("shared"));
}

static void stranger(void)
{
	int fd = MUST(open("private", O_CREAT | O_TRUNC | O_RDWR, 0600));
	struct kvlift_range r = { .count = 1 };

	kvt_fill(buf, bs, 1, 0);
	IS(kvt_pwrite(fd, buf, bs, 0), bs);
	OK(fchown(fd, 1001, 1001));
	OK(mkdir("closed", 0700));
	close(MUST(open("closed/f", O_CREAT | O_RDWR, 0666)));
	IN_CHILD(become(1001); close(OK(open("private", O_RDWR))));
	IN_CHILD(become(1002); ERR(open("private", O_RDONLY), EACCES);
		 ERR(open("private", O_RDWR), EACCES);
		 ERR(truncate("private", 0), EACCES);
		 ERR(open("closed/f", O_RDONLY), EACCES);
		 CHECK(link("private", "mine") == -1));
	/* What one may read one may not change: not by these calls either. */
	OK(fchmod(fd, 0644));
	IN_CHILD(become(1002); fd = OK(open("private", O_RDONLY));
		 ERR(open("private", O_RDWR), EACCES);
		 ERR((long)mmap(NULL, bs, RW, MAP_SHARED, fd, 0), EACCES);
		 ERR(fallocate(fd, 0, 0, 10), EBADF);
		 CHECK(!kvt_is_kvlift(fd) || kvt_tier(fd, 0) >= 0);
		 /* Moving is allowed to readers or not, but never crashes. */
		 ioctl(fd, KVLIFT_IOC_DEMOTE, &r));
	kvt_fill(buf, bs, 2, 0);
	IS(kvt_pread(fd, buf, bs, 0), bs);
	CHECK_PATTERN(buf, bs, 1, 0);
	close(fd);
	OK(unlink("private"));
	OK(unlink("closed/f"));
	OK(rmdir("closed"));
}

/* The secret: a pattern that no zero and no other content contains. */
static const char secret[16] = "KVLIFT-SECRET-#";

static void plant(uint64_t round)
{
	char name[32];
	int fd;

	for (size_t i = 0; i + 16 <= bs; i += 16)
		memcpy(buf + i, secret, 16);
	snprintf(name, sizeof(name), "secret%d", (int)round % 3);
	fd = MUST(open(name, O_CREAT | O_TRUNC | O_RDWR, 0600));
	/* As much as there is: every slot of every tier has held it. */
	for (size_t i = 0; i < info.capacity; i++)
		if (kvt_pwrite(fd, buf, bs, (off_t)(i * bs)) != (ssize_t)bs)
			break;
	/* Some go by truncation, some by a punch, the rest by unlink. */
	OK(ftruncate(fd, (off_t)((info.capacity - info.capacity / 4) * bs)));
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		     (off_t)(info.capacity / 4 * bs)));
	close(fd);
	OK(unlink(name));
}

static void search(const char *how, const char *p, size_t len)
{
	const char *hit = memmem(p, len, secret, 8);

	CHECK(!hit, "%s: a deleted byte at %#zx", how,
	      (size_t)(hit ? hit - p : 0));
}

/* Every byte of a new file that nobody wrote has to be zero. */
static void look(int fd, char *m, const char *how)
{
	char *out = malloc(bs);

	search(how, m, N * bs);
	for (size_t i = 0; i < N; i++) {
		IS(kvt_pread(fd, out, bs, (off_t)(i * bs)), bs);
		search(how, out, bs);
	}
	free(out);
}

static void never_again(uint64_t round)
{
	char *m;
	int fd;

	for (int way = 0; way < 7; way++) {
		static const char *const hows[] = {
			"hole by mapping",   "fallocate",
			"one byte a block",  "grown tails",
			"grown by truncate", "inline",
			"copy_file_range",
		};
		off_t half = (off_t)bs / 2 + 123, from = 0, to = 0;

		fd = MUST(open("new", O_CREAT | O_TRUNC | O_RDWR, 0600));
		switch (way) {
		case 1:
			OK(fallocate(fd, 0, 0, (off_t)(N * bs)));
			break;
		case 2:
			for (size_t i = 0; i < N; i++)
				IS(pwrite(fd, "x", 1, (off_t)(i * bs) + half),
				   1);
			break;
		case 3:
			/* A tail in each block, then the end moves on. */
			for (size_t i = 0; i < N; i++) {
				IS(pwrite(fd, "y", 1, (off_t)(i * bs)), 1);
				OK(ftruncate(fd, (off_t)(i * bs) + half));
			}
			break;
		case 4:
			IS(pwrite(fd, "z", 1, 100), 1);
			break;
		case 5:
			IS(pwrite(fd, buf, 10, (off_t)(bs / 8) - 20), 10);
			memset(buf, 0, 16);
			break;
		case 6:
			IS(pwrite(fd, "q", 1, 3 * (off_t)bs), 1);
			IS(copy_file_range(fd, &from, fd,
					   (to = (off_t)(6 * bs), &to), 4096,
					   0) > 0,
			   1);
			break;
		default:
			break;
		}
		OK(ftruncate(fd, (off_t)(N * bs)));
		m = MUST(mmap(NULL, N * bs, RW, MAP_SHARED, fd, 0));
		look(fd, m, hows[way]);
		/* Down to the device and back: still nothing. */
		if (kvt_bottom(&info) != KVLIFT_TIER_DRAM && round) {
			for (size_t i = 0; i < N; i++)
				if (kvt_tier(fd, i) >= 0)
					kvt_move_to(fd, i, kvt_bottom(&info),
						    3000);
			look(fd, m, hows[way]);
		}
		munmap(m, N * bs);
		close(fd);
		OK(unlink("new"));
	}
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 2)
		kvt_die("usage: share DIR [SEED]");
	MUST(chdir(argv[1]));
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	if (!kvt_is_kvlift(fd)) {
		close(fd);
		bs = 65536;
		info.capacity = 64;
		info.nr_members[KVLIFT_TIER_DRAM] = 1;
	} else {
		MUST(kvt_info(fd, &info));
		bs = info.block_size;
	}
	buf = malloc(bs);
	if (!buf)
		kvt_die("no memory");
	umask(0);
	if (argc > 2 && !strcmp(argv[2], "plant")) {
		for (size_t i = 0; i + 16 <= bs; i += 16)
			memcpy(buf + i, secret, 16);
		fd = MUST(open("planted", O_CREAT | O_TRUNC | O_RDWR, 0600));
		for (size_t i = 0; i < info.capacity / 4; i++)
			IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
		return kvt_end("share");
	}
	if (argc > 2 && !strcmp(argv[2], "hunt")) {
		memset(buf, 0, bs);
		never_again(1);
		return kvt_end("share");
	}
	ping_pong();
	stranger();
	for (uint64_t round = 0; round < 2; round++) {
		plant(round);
		memset(buf, 0, bs);
		never_again(round);
	}
	return kvt_end("share");
}
