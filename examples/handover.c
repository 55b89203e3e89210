// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * usage: handover POOL MIB [copy]
 * A prefill process fills a region and seals it, then hands it over to a decode
 * process, which maps the same bytes: by its descriptor, over a UNIX socket,
 * and by its name. With "copy" the bytes go through the socket instead, for
 * comparison. Prints what the hand-over took until the last byte was used.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kvlift.h>

#define NAME "handover-example"

/* What the prefill process says before the descriptor, or the bytes. */
struct message {
	uint64_t size;
	uint64_t sum;
	uint64_t ns; /* when it began to hand over */
	char name[64];
};

static void check(int64_t ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, kvlift_strerror((int)ret));
}

static void check_errno(int64_t ret, const char *what)
{
	if (ret < 0)
		err(1, "%s", what);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Uses a word of each page, as attention uses all of them. */
static uint64_t use(const void *kv, size_t size)
{
	const uint64_t *words = kv;
	uint64_t sum = 0;

	for (size_t i = 0; i < size / sizeof(*words); i += 512)
		sum += words[i];
	return sum;
}

static void send_message(int sock, struct message *m, int fd)
{
	char space[CMSG_SPACE(sizeof(fd))] = "";
	struct iovec iov = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		h.msg_control = space;
		h.msg_controllen = sizeof(space);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	m->ns = now_ns();
	check_errno(sendmsg(sock, &h, 0), "sendmsg");
}

/* The descriptor that came with it, or -1. */
static int receive_message(int sock, struct message *m)
{
	char space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(sock, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(*m))
		errx(1, "the prefill process is gone");
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Fills and seals; all that it leaves open is a read-only descriptor. */
static int prefill(const struct kvlift_pool *pool, struct message *m)
{
	struct kvlift_region *region;
	uint64_t *words;
	void *kv;
	int fd;

	check(kvlift_region_create(pool, m->name, m->size, 0600, &region),
	      m->name);
	check(kvlift_region_map(region, 0, m->size, PROT_READ | PROT_WRITE, 0,
				&kv),
	      "map");
	words = kv;
	for (size_t i = 0; i < m->size / sizeof(*words); i++)
		words[i] = i * 0x9e3779b97f4a7c15;
	m->sum = use(kv, m->size);
	check(kvlift_region_unmap(kv, m->size), "unmap");
	check(kvlift_seal_file(region, NULL), "seal");
	kvlift_region_close(region);
	fd = openat(kvlift_pool_fd(pool), m->name, O_RDONLY | O_CLOEXEC);
	check_errno(fd, m->name);
	return fd;
}

static void send_bytes(int sock, int fd, uint64_t size)
{
	char *kv = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	ssize_t n;

	check_errno(kv == MAP_FAILED ? -1 : 0, "mmap");
	for (uint64_t at = 0; at < size; at += (uint64_t)n) {
		n = write(sock, kv + at, size - at);
		check_errno(n, "write");
	}
	munmap(kv, size);
}

static void *receive_bytes(int sock, uint64_t size)
{
	char *buf = malloc(size);
	ssize_t n;

	check_errno(buf ? 0 : -1, "malloc");
	for (uint64_t at = 0; at < size; at += (uint64_t)n) {
		n = read(sock, buf + at, size - at);
		if (n <= 0)
			errx(1, "the prefill process is gone");
	}
	return buf;
}

static void report(const char *how, const struct message *m, const void *kv)
{
	uint64_t ns;

	if (use(kv, m->size) != m->sum)
		errx(1, "%s: wrong bytes", how);
	ns = now_ns() - m->ns;
	printf("%s: %llu ns, %llu ns per MiB\n", how, (unsigned long long)ns,
	       (unsigned long long)(ns / (m->size >> 20)));
	fflush(stdout);
}

/* Each of these is told by a message; "done" sends one back. */
static void by_descriptor(int sock)
{
	struct message m;
	int fd = receive_message(sock, &m);
	void *kv;

	check_errno(fd, "no descriptor");
	kv = mmap(NULL, m.size, PROT_READ, MAP_SHARED, fd, 0);
	check_errno(kv == MAP_FAILED ? -1 : 0, "mmap");
	close(fd);
	report("descriptor", &m, kv);
	munmap(kv, m.size);
	send_message(sock, &m, -1);
}

static void by_name(int sock, const struct kvlift_pool *pool)
{
	struct kvlift_region *region;
	struct message m;
	void *kv;

	receive_message(sock, &m);
	check(kvlift_region_open(pool, m.name, O_RDONLY, &region), m.name);
	check(kvlift_region_map(region, 0, m.size, PROT_READ, 0, &kv), "map");
	report("name", &m, kv);
	check(kvlift_region_unmap(kv, m.size), "unmap");
	kvlift_region_close(region);
	send_message(sock, &m, -1);
}

static void by_copy(int sock)
{
	struct message m;
	void *kv;

	receive_message(sock, &m);
	kv = receive_bytes(sock, m.size);
	report("copy", &m, kv);
	free(kv);
	send_message(sock, &m, -1);
}

static int decode(int sock, const char *dir, int copy)
{
	struct kvlift_pool *pool;

	check(kvlift_pool_open(dir, &pool), dir);
	if (copy) {
		by_copy(sock);
	} else {
		by_descriptor(sock);
		by_name(sock, pool);
	}
	kvlift_pool_close(pool);
	return 0;
}

int main(int argc, char **argv)
{
	struct message m = { .name = NAME }, answer;
	struct kvlift_pool *pool;
	int sock[2], fd, status, copy = argc == 4 && !strcmp(argv[3], "copy");
	pid_t pid;

	if (argc != 3 && !copy)
		errx(2, "usage: handover POOL MIB [copy]");
	m.size = strtoull(argv[2], NULL, 10) << 20;
	check_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock),
		    "socketpair");
	pid = fork();
	check_errno(pid, "fork");
	if (pid == 0) {
		close(sock[0]);
		return decode(sock[1], argv[1], copy);
	}
	close(sock[1]);
	check(kvlift_pool_open(argv[1], &pool), argv[1]);
	fd = prefill(pool, &m);
	if (copy) {
		send_message(sock[0], &m, -1);
		send_bytes(sock[0], fd, m.size);
		receive_message(sock[0], &answer);
	} else {
		send_message(sock[0], &m, fd);
		receive_message(sock[0], &answer);
		send_message(sock[0], &m, -1);
		receive_message(sock[0], &answer);
	}
	check_errno(waitpid(pid, &status, 0), "waitpid");
	close(fd);
	kvlift_pool_close(pool);
	return status != 0;
}
