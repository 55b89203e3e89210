// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Queues and leases: requests end as they should and say so, late and
 * impossible ones at once; a leased block stays where it is until the lease
 * is released, over, or its holder dead.
 *
 *	queue DIR
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "kvltest.h"

#define N 64

static struct kvlift_info info;
static size_t bs;
static int fd, bottom;

static int submit(int q, const struct kvlift_req *r, uint32_t n, uint64_t *done)
{
	struct kvlift_submit s = { .ptr = (uintptr_t)r, .count = n };
	int rc = ioctl(q, KVLIFT_IOC_SUBMIT, &s);

	if (done)
		*done = s.done;
	return rc;
}

static struct kvlift_event wait_event(int q)
{
	struct kvlift_event e = { .res = -EINPROGRESS };
	struct pollfd p = { .fd = q, .events = POLLIN };

	if (CHECK(poll(&p, 1, 20000) == 1, "no event in 20 s"))
		IS(read(q, &e, sizeof(e)), sizeof(e));
	return e;
}

static struct kvlift_event ask(int q, struct kvlift_req r)
{
	OK(submit(q, &r, 1, NULL));
	return wait_event(q);
}

static void to_bottom(uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++)
		CHECK(!kvt_move_to(fd, i, bottom, 20000), "block %" PRIu64, i);
}

static bool fast(uint64_t i, int tier)
{
	int t = kvt_tier(fd, i);

	return t > 0 && t <= tier;
}

static void prefetch(void)
{
	int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE)), efd;
	struct kvlift_event e[4];
	struct kvlift_req r[4];
	uint64_t done, n;
	unsigned int got = 0;

	efd = MUST(eventfd(0, EFD_CLOEXEC));
	OK(ioctl(q, KVLIFT_IOC_EVENTFD, &efd));
	to_bottom(0, 16);
	memset(r, 0, sizeof(r));
	for (unsigned int i = 0; i < 4; i++) {
		r[i].cookie = 100 + i;
		r[i].fd = fd;
		r[i].first = i * 4;
		r[i].count = 4;
		r[i].prio = i % 3;
		r[i].tier = KVLIFT_TIER_CXL;
	}
	OK(submit(q, r, 4, &done));
	IS(done, 4);
	while (got < 4) {
		struct pollfd p = { .fd = q, .events = POLLIN };
		ssize_t len;

		if (!CHECK(poll(&p, 1, 20000) == 1, "no event in 20 s"))
			return;
		len = read(q, e, sizeof(e));
		CHECK(len > 0 && len % (ssize_t)sizeof(*e) == 0, "read");
		for (unsigned int i = 0; i < len / sizeof(*e); i++, got++) {
			CHECK(e[i].cookie >= 100 && e[i].cookie < 104,
			      "cookie");
			IS(e[i].res, 0);
			IS(e[i].blocks, 4);
			CHECK(e[i].ns > 0, "no time");
		}
	}
	for (uint64_t i = 0; i < 16; i++)
		CHECK(fast(i, KVLIFT_TIER_CXL), "block %" PRIu64 " in %d", i,
		      kvt_tier(fd, i));
	IS(read(efd, &n, sizeof(n)), sizeof(n));
	IS(n, 4);
	/* In place already: at once. */
	IS(ask(q, r[0]).res, 0);
	close(efd);
	close(q);
}

static void errors(void)
{
	int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE));
	struct kvlift_req good = { .fd = fd, .count = 1 }, r;
	struct kvlift_event e;
	uint64_t cookie = 77;
	struct timespec now;
	int wo;

#define BAD(field, value, err)                    \
	do {                                      \
		r = good;                         \
		r.field = (value);                \
		ERR(submit(q, &r, 1, NULL), err); \
	} while (0)
	BAD(count, 0, EINVAL);
	BAD(count, KVLIFT_REQ_MAX_BLOCKS + 1, EINVAL);
	BAD(op, 2, EINVAL);
	BAD(op, KVLIFT_OP_ACQUIRE, EINVAL);
	BAD(lease_ms, 5, EINVAL);
	BAD(prio, 3, EINVAL);
	BAD(tier, KVLIFT_TIER_NVME, EINVAL);
	BAD(flags, 1, EINVAL);
	BAD(reserved[1], 1, EINVAL);
	BAD(first, UINT64_MAX, EINVAL);
	BAD(fd, -1, EBADF);
	BAD(fd, 0, EINVAL);
	wo = MUST(open("q", O_WRONLY));
	BAD(fd, wo, EACCES);
	close(wo);
	r = good;
	r.op = KVLIFT_OP_ACQUIRE;
	r.lease_ms = KVLIFT_LEASE_MAX_MS + 1;
	ERR(submit(q, &r, 1, NULL), EINVAL);
	ERR(submit(q, NULL, 1, NULL), EFAULT);
	ERR(ioctl(q, KVLIFT_IOC_CANCEL, &cookie), ENOENT);
	ERR(ioctl(q, KVLIFT_IOC_RELEASE, &cookie), ENOENT);
	ERR(ioctl(q, KVLIFT_IOC_INFO, &info), ENOTTY);
	ERR(read(q, &e, 8), EINVAL);
	OK(fcntl(q, F_SETFL, O_NONBLOCK));
	ERR(read(q, &e, sizeof(e)), EAGAIN);

	/* Said at once, as an event. */
	r = good;
	r.first = 1 << 20;
	IS(ask(q, r).res, -ENXIO);
	to_bottom(0, 1);
	r = good;
	MUST(clock_gettime(CLOCK_MONOTONIC, &now));
	r.deadline_ns = (uint64_t)now.tv_sec * 1000000000u;
	IS(ask(q, r).res, -ETIME);
	IS(kvt_tier(fd, 0), bottom);
	/* Half of a tier may be leased. */
	r = good;
	r.op = KVLIFT_OP_ACQUIRE;
	r.lease_ms = 1000;
	r.count = N;
	r.tier = KVLIFT_TIER_DRAM;
	IS(ask(q, r).res, -EDQUOT);
	close(q);
}

static struct kvlift_req lease_of(uint64_t first, uint64_t n, uint32_t ms)
{
	return (struct kvlift_req){ .cookie = 7,
				    .fd = fd,
				    .first = first,
				    .count = n,
				    .op = KVLIFT_OP_ACQUIRE,
				    .tier = KVLIFT_TIER_DRAM,
				    .lease_ms = ms };
}

/* More than fits into memory goes through it. */
static void pressure(void)
{
	char *buf = malloc(bs);
	int other = MUST(open("other", O_CREAT | O_TRUNC | O_RDWR, 0600));

	for (uint64_t i = 0; i < N; i++) {
		kvt_fill(buf, bs, 9, i * bs);
		IS(kvt_pwrite(other, buf, bs, (off_t)(i * bs)), bs);
	}
	close(other);
	OK(unlink("other"));
	free(buf);
}

static void leases(void)
{
	int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE));
	struct kvlift_event e;
	uint64_t cookie = 7, word[4];
	long long refused;

	to_bottom(20, 4);
	e = ask(q, lease_of(20, 4, 60000));
	IS(e.res, 0);
	IS(e.blocks, 4);
	for (unsigned int i = 0; i < 4; i++) {
		word[i] = kvt_loc(fd, 20 + i);
		IS(kvt_tier(fd, 20 + i), KVLIFT_TIER_DRAM);
	}
	refused = kvt_counter(fd, "refused_leased");
	kvt_demote(fd, 20, 4);
	pressure();
	for (unsigned int i = 0; i < 4; i++)
		CHECK(!((kvt_loc(fd, 20 + i) ^ word[i]) & ~KVLIFT_LOC_SHADOW),
		      "block %u has moved", 20 + i);
	CHECK(kvt_counter(fd, "refused_leased") > refused, "not refused");
	OK(ioctl(q, KVLIFT_IOC_RELEASE, &cookie));
	ERR(ioctl(q, KVLIFT_IOC_RELEASE, &cookie), ENOENT);
	to_bottom(20, 4);

	/* Over by itself. */
	IS(ask(q, lease_of(20, 2, 200)).res, 0);
	to_bottom(20, 2);
	CHECK(kvt_counter(fd, "lease_expired") > 0, "no lease has expired");
	ERR(ioctl(q, KVLIFT_IOC_RELEASE, &cookie), ETIME);

	/* Two on the same block: the second one keeps it. */
	e = ask(q, lease_of(20, 1, 60000));
	IS(e.res, 0);
	IS(ask(q, lease_of(20, 1, 60000)).res, 0);
	OK(ioctl(q, KVLIFT_IOC_RELEASE, &cookie));
	word[0] = kvt_loc(fd, 20);
	kvt_demote(fd, 20, 1);
	kvt_msleep(50);
	CHECK(!((kvt_loc(fd, 20) ^ word[0]) & ~KVLIFT_LOC_SHADOW), "moved");
	OK(ioctl(q, KVLIFT_IOC_RELEASE, &cookie));
	to_bottom(20, 1);

	/* A hole gets a block; a deleted block takes its lease along. */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     (off_t)(30 * bs), (off_t)(2 * bs)));
	IS(ask(q, lease_of(30, 2, 60000)).res, 0);
	IS(kvt_tier(fd, 30), KVLIFT_TIER_DRAM);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		     (off_t)(30 * bs), (off_t)bs));
	IS(kvt_tier(fd, 30), -1);
	OK(ioctl(q, KVLIFT_IOC_RELEASE, &cookie));
	close(q);
}

/* Leases die with their holder. */
static void death(void)
{
	int pipefd[2];
	char c;
	pid_t pid;

	to_bottom(24, 4);
	MUST(pipe(pipefd));
	fflush(NULL);
	pid = MUST(fork());
	if (!pid) {
		int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE));

		if (ask(q, lease_of(24, 4, 600000)).res)
			_exit(1);
		MUST(write(pipefd[1], "x", 1));
		pause();
	}
	close(pipefd[1]);
	IS(read(pipefd[0], &c, 1), 1);
	kvt_demote(fd, 24, 4);
	kvt_msleep(50);
	IS(kvt_tier(fd, 24), KVLIFT_TIER_DRAM);
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, NULL, 0));
	to_bottom(24, 4);
	close(pipefd[0]);
}

/* Cancelled, or done; and a queue that is closed in the middle. */
static void cancel(void)
{
	for (unsigned int n = 0; n < 20; n++) {
		int q = MUST(ioctl(fd, KVLIFT_IOC_QUEUE));
		struct kvlift_req r[4];

		kvt_demote(fd, 0, N);
		memset(r, 0, sizeof(r));
		for (unsigned int i = 0; i < 4; i++) {
			r[i] = lease_of(i * 2, 2, 5000);
			r[i].cookie = i;
			r[i].prio = KVLIFT_PRIO_LOW;
		}
		OK(submit(q, r, 4, NULL));
		for (uint64_t i = 0; i < 4 && n % 2; i++) {
			struct kvlift_event e;
			int rc = ioctl(q, KVLIFT_IOC_CANCEL, &i);

			CHECK(!rc || errno == EALREADY || errno == ENOENT,
			      "cancel: %s", strerror(errno));
			e = wait_event(q);
			CHECK(e.res == 0 || e.res == -ECANCELED ||
				      e.res == -EDQUOT || e.res == -ENOSPC,
			      "res %d", e.res);
		}
		close(q);
	}
	to_bottom(0, 8);
}

int main(int argc, char **argv)
{
	char *buf;

	if (argc < 2)
		kvt_die("usage: queue DIR");
	MUST(chdir(argv[1]));
	fd = MUST(open("q", O_CREAT | O_TRUNC | O_RDWR, 0600));
	if (!kvt_is_kvlift(fd))
		return KVT_SKIP;
	MUST(kvt_info(fd, &info));
	bs = info.block_size;
	bottom = kvt_bottom(&info);
	buf = malloc(bs);
	for (uint64_t i = 0; i < N; i++) {
		kvt_fill(buf, bs, 1, i * bs);
		MUST(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)));
	}
	prefetch();
	errors();
	leases();
	death();
	cancel();
	for (uint64_t i = 0; i < N; i++) {
		IS(kvt_pread(fd, buf, bs, (off_t)(i * bs)), bs);
		if (i == 30 || i == 31)
			CHECK_ZERO(buf, bs);
		else
			CHECK_PATTERN(buf, bs, 1, i * bs);
	}
	OK(unlink("q"));
	close(fd);
	return kvt_end("queue");
}
