/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A mover for tests, against the raw interface: an attachment, its window and
 * rings, "GPU" memory that is plain memory, and a thread that copies. A hook is
 * asked before each command, and may do worse than copy.
 */
#ifndef KVTMOVER_H
#define KVTMOVER_H

#include "kvltest.h"

#include <linux/falloc.h>
#include <linux/udmabuf.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/prctl.h>

#include "linux/kvlift_mover.h"

#define MV_RW	(PROT_READ | PROT_WRITE)
#define MV_MAX	64 /* blocks of a lease */
#define MV_GPU	KVLIFT_REQ_GPU
#define MV_LONG 60000 /* ms of a lease */

/* What a hook wants done with a command. */
enum mv_do {
	MV_COPY,
	MV_FAIL, /* complete it with *res */
	MV_DROP, /* nothing: the hook has seen to it, or will not */
};

struct mv {
	int fd;
	struct kvlift_mover att;
	struct kvlift_mover_ring *ring;
	struct kvlift_cmd *sq;
	struct kvlift_done *cq;
	char *win, *gpu;
	size_t bs, win_len, ring_len;
	uint32_t head, tail, sq_n, cq_n;
	uint32_t generation;
	bool reverse; /* commands backwards, and each copy twice */
	bool blind;   /* sq_head is not kept: the hook plays with it */
	enum mv_do (*hook)(struct mv *m, const struct kvlift_cmd *c,
			   int32_t *res);
	void *arg; /* of the hook */
	uint64_t nr_in, nr_out, nr_cancel, nr_peer;
	struct mv *peer;   /* that it can copy from */
	int dmabuf, memfd; /* of the GPU's memory, or -1 */
	int error;	   /* of the ENTER that ended the thread */
	bool stop, started;
	pthread_t thread;
};

struct mv_lease {
	uint64_t cookie;
	int res;
	uint64_t blocks;
	uint64_t word[MV_MAX];
};

/* Should something hang, it is said where. Slower where lockdep watches. */
KVT_FN const char *volatile mv_where = "start";

KVT_FN unsigned int mv_slow(void)
{
	static unsigned int slow;

	if (!slow)
		slow = access("/proc/lockdep", F_OK) ? 1 : 4;
	return slow;
}

KVT_FN void mv_hang(int sig)
{
	const char *s = mv_where;

	if (write(2, "FAIL hangs in ", 14) > 0 && write(2, s, strlen(s)) > 0 &&
	    write(2, "\n", 1) > 0)
		_exit(1);
	_exit(1);
}

KVT_FN void mv_phase(const char *what, unsigned int seconds)
{
	signal(SIGALRM, mv_hang);
	mv_where = what;
	alarm(seconds * mv_slow());
}

/* A touch that may raise SIGBUS. mv_try() is true when it did. */
KVT_FN __thread sigjmp_buf mv_jump;

KVT_FN void mv_sigbus(int sig)
{
	siglongjmp(mv_jump, 1);
}

KVT_FN void mv_catch(void)
{
	struct sigaction sa = { .sa_handler = mv_sigbus };

	MUST(sigaction(SIGBUS, &sa, NULL));
}

/* Copies, or false for SIGBUS. */
KVT_FN bool mv_load(void *to, const void *from, size_t len)
{
	if (sigsetjmp(mv_jump, 1))
		return false;
	memcpy(to, from, len);
	return true;
}

KVT_FN bool mv_store(char *to, char c)
{
	if (sigsetjmp(mv_jump, 1))
		return false;
	*(volatile char *)to = c;
	return true;
}

/* A child that ends with its parent, however that does. */
KVT_FN void mv_child(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

KVT_FN int mv_info(struct mv *m, struct kvlift_mover_info *i)
{
	memset(i, 0, sizeof(*i));
	return ioctl(m->fd, KVLIFT_IOC_MOVER_INFO, i);
}

#define MV_INFO(m, field)                     \
	({                                    \
		struct kvlift_mover_info i_;  \
		OK(mv_info(m, &i_));          \
		(unsigned long long)i_.field; \
	})

/* Until an expression is true, which is looked at now and then. */
#define MV_UNTIL(ms, cond)                                                 \
	({                                                                 \
		uint64_t end_ =                                            \
			kvt_now_ns() + (uint64_t)(ms)*mv_slow() * 1000000; \
		bool is_;                                                  \
		while (!(is_ = (cond)) && kvt_now_ns() < end_)             \
			kvt_msleep(10);                                    \
		is_;                                                       \
	})

KVT_FN int mv_enter(struct mv *m, uint32_t flags, uint32_t ms, uint32_t *n)
{
	struct kvlift_mover_enter e = { .flags = flags, .timeout_ms = ms };
	int rc = ioctl(m->fd, KVLIFT_IOC_MOVER_ENTER, &e);

	if (n)
		*n = e.commands;
	return rc;
}

/* Written, not told yet: the next ENTER does that. */
KVT_FN void mv_done(struct mv *m, uint64_t cookie, int32_t res)
{
	while (m->tail - __atomic_load_n(&m->ring->cq_head, __ATOMIC_ACQUIRE) >=
	       m->cq_n)
		if (mv_enter(m, 0, 0, NULL))
			return;
	m->cq[m->tail % m->cq_n] = (struct kvlift_done){
		.cookie = cookie,
		.res = res,
		.ns = 1,
	};
	__atomic_store_n(&m->ring->cq_tail, ++m->tail, __ATOMIC_RELEASE);
}

/* A command that no mover should ever see. */
KVT_FN void mv_vet(struct mv *m, const struct kvlift_cmd *c)
{
	uint64_t cookie = c->op == KVLIFT_CMD_CANCEL ? c->arg : c->cookie;

	CHECK(cookie >> 32 == m->generation, "cookie %#" PRIx64, cookie);
	CHECK(c->op >= KVLIFT_CMD_IN && c->op <= KVLIFT_CMD_PEER, "op %u",
	      c->op);
	if (c->op == KVLIFT_CMD_CANCEL)
		return;
	if (c->op == KVLIFT_CMD_PEER) {
		CHECK(m->peer && c->arg >> 32 == m->peer->att.member &&
			      (uint32_t)c->arg < m->peer->att.slots,
		      "from %#" PRIx64, (uint64_t)c->arg);
		CHECK(!c->window, "window slot %u", c->window);
	}
	CHECK(c->window < m->att.window + m->att.window_cxl, "window slot %u",
	      c->window);
	CHECK(c->slot < m->att.slots, "slot %u", c->slot);
	CHECK(c->bytes == m->bs, "%u bytes", c->bytes);
	CHECK(c->deadline_ns, "no deadline");
	CHECK(c->region, "no region");
}

KVT_FN void mv_copy(struct mv *m, const struct kvlift_cmd *c)
{
	char *w = m->win + c->window * m->bs, *g = m->gpu + c->slot * m->bs;

	if (c->op == KVLIFT_CMD_PEER)
		memcpy(g, m->peer->gpu + (uint32_t)c->arg * m->bs, c->bytes);
	else if (c->op == KVLIFT_CMD_IN)
		memcpy(g, w, c->bytes);
	else
		memcpy(w, g, c->bytes);
}

KVT_FN void mv_command(struct mv *m, const struct kvlift_cmd *c)
{
	enum mv_do what = MV_COPY;
	int32_t res = 0;

	mv_vet(m, c);
	if (c->op == KVLIFT_CMD_IN)
		__atomic_add_fetch(&m->nr_in, 1, __ATOMIC_RELAXED);
	else if (c->op == KVLIFT_CMD_OUT)
		__atomic_add_fetch(&m->nr_out, 1, __ATOMIC_RELAXED);
	else if (c->op == KVLIFT_CMD_PEER)
		__atomic_add_fetch(&m->nr_peer, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&m->nr_cancel, 1, __ATOMIC_RELAXED);
	if (m->hook)
		what = m->hook(m, c, &res);
	if (what == MV_DROP || c->op == KVLIFT_CMD_CANCEL)
		return;
	if (what == MV_COPY) {
		mv_copy(m, c);
		if (m->reverse)
			mv_copy(m, c);
	}
	mv_done(m, c->cookie, res);
}

/* Everything that is in the submission ring. */
KVT_FN void mv_serve(struct mv *m)
{
	uint32_t tail = __atomic_load_n(&m->ring->sq_tail, __ATOMIC_ACQUIRE);
	uint32_t n = tail - m->head;

	if (!CHECK(n <= m->sq_n, "%u commands in a ring of %u", n, m->sq_n))
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = m->reverse ? tail - 1 - i : m->head + i;
		struct kvlift_cmd c = m->sq[at % m->sq_n];

		mv_command(m, &c);
	}
	m->head = tail;
	if (!m->blind)
		__atomic_store_n(&m->ring->sq_head, tail, __ATOMIC_RELEASE);
}

KVT_FN void *mv_loop(void *arg)
{
	struct mv *m = arg;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		if (mv_enter(m, KVLIFT_MOVER_WAIT, m->blind ? 20 : 100, NULL) &&
		    errno != EINTR && errno != ETIME) {
			m->error = errno;
			break;
		}
		mv_serve(m);
	}
	return NULL;
}

/* Slots of the window, of both tiers. */
KVT_FN uint64_t mv_window(const struct mv *m)
{
	return m->att.window + m->att.window_cxl;
}

/* Of the pool that the directory is in. 0, or -errno. */
KVT_FN int mv_attach_cxl(struct mv *m, int dir, uint64_t slots, uint64_t window,
			 uint64_t cxl, uint32_t deadline_ms)
{
	struct kvlift_info info;

	memset(m, 0, sizeof(*m));
	m->dmabuf = m->memfd = -1;
	MUST(kvt_info(dir, &info));
	m->bs = info.block_size;
	m->att = (struct kvlift_mover){
		.deadline_ms = deadline_ms,
		.dmabuf = -1,
		.slots = slots,
		.window = window,
		.window_cxl = cxl,
		.name = "test",
	};
	m->fd = ioctl(dir, KVLIFT_IOC_MOVER, &m->att);
	return m->fd < 0 ? -errno : 0;
}

KVT_FN int mv_attach(struct mv *m, int dir, uint64_t slots, uint64_t window,
		     uint32_t deadline_ms)
{
	return mv_attach_cxl(m, dir, slots, window, 0, deadline_ms);
}

KVT_FN void mv_map(struct mv *m)
{
	size_t gpu = m->att.slots * m->bs;

	m->ring_len = m->att.ring_bytes;
	m->ring = MUST(mmap(NULL, m->ring_len, MV_RW, MAP_SHARED, m->fd, 0));
	m->sq_n = m->ring->sq_entries;
	m->cq_n = m->ring->cq_entries;
	m->sq = (void *)((char *)m->ring + m->ring->sq_offset);
	m->cq = (void *)((char *)m->ring + m->ring->cq_offset);
	m->generation = m->ring->generation;
	m->win_len = mv_window(m) * m->bs;
	m->win = MUST(mmap(NULL, m->win_len, MV_RW, MAP_SHARED, m->fd,
			   (off_t)m->att.window_offset));
	m->gpu = MUST(mmap(NULL, gpu, MV_RW,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

KVT_FN int mv_ready(struct mv *m, uint64_t first, uint64_t count)
{
	struct kvlift_mover_ready r = { .first = first, .count = count };

	return ioctl(m->fd, KVLIFT_IOC_MOVER_READY, &r);
}

KVT_FN void mv_start(struct mv *m)
{
	m->stop = false;
	m->started = true;
	if (pthread_create(&m->thread, NULL, mv_loop, m))
		kvt_die("pthread_create");
}

KVT_FN void mv_stop(struct mv *m)
{
	__atomic_store_n(&m->stop, true, __ATOMIC_RELEASE);
	if (m->started)
		pthread_join(m->thread, NULL);
	m->started = false;
}

/*
 * Memory of a GPU that the kernel can address itself: a udmabuf. False: this
 * kernel has none.
 */
KVT_FN bool mv_open_dmabuf(struct mv *m, int dir, uint64_t slots)
{
	struct udmabuf_create c;
	struct kvlift_info info;
	int dev = open("/dev/udmabuf", O_RDWR);

	if (dev < 0)
		return false;
	memset(m, 0, sizeof(*m));
	MUST(kvt_info(dir, &info));
	m->bs = info.block_size;
	m->memfd = MUST(memfd_create("gpu", MFD_ALLOW_SEALING));
	MUST(ftruncate(m->memfd, (off_t)(slots * m->bs)));
	MUST(fcntl(m->memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	c = (struct udmabuf_create){
		.memfd = (uint32_t)m->memfd,
		.size = slots * m->bs,
	};
	m->dmabuf = MUST(ioctl(dev, UDMABUF_CREATE, &c));
	close(dev);
	m->att = (struct kvlift_mover){
		.flags = KVLIFT_MOVER_DMABUF,
		.dmabuf = m->dmabuf,
		.slots = slots,
		.name = "udmabuf",
	};
	m->fd = MUST(ioctl(dir, KVLIFT_IOC_MOVER, &m->att));
	m->gpu =
		MUST(mmap(NULL, slots * m->bs, MV_RW, MAP_SHARED, m->memfd, 0));
	return true;
}

/* Attached, mapped, ready, with a thread that serves it. */
KVT_FN void mv_open_cxl(struct mv *m, int dir, uint64_t slots, uint64_t window,
			uint64_t cxl, uint32_t deadline_ms)
{
	int err = mv_attach_cxl(m, dir, slots, window, cxl, deadline_ms);

	if (err)
		kvt_die("KVLIFT_IOC_MOVER: %s", strerror(-err));
	mv_map(m);
	MUST(mv_ready(m, 0, window + cxl));
	mv_start(m);
}

KVT_FN void mv_open(struct mv *m, int dir, uint64_t slots, uint64_t window,
		    uint32_t deadline_ms)
{
	mv_open_cxl(m, dir, slots, window, 0, deadline_ms);
}

KVT_FN void mv_unmap(struct mv *m)
{
	if (m->ring)
		munmap(m->ring, m->ring_len);
	if (m->win)
		munmap(m->win, m->win_len);
	m->ring = NULL;
	m->win = NULL;
}

/* Without a drain, as when the process dies. */
KVT_FN void mv_close(struct mv *m)
{
	mv_stop(m);
	mv_unmap(m);
	munmap(m->gpu, m->att.slots * m->bs);
	if (m->memfd >= 0) {
		close(m->dmabuf);
		close(m->memfd);
	}
	close(m->fd);
}

/* Until nothing is left there. */
KVT_FN bool mv_drain(struct mv *m, unsigned int ms)
{
	uint64_t left = 1;

	return MV_UNTIL(ms,
			ioctl(m->fd, KVLIFT_IOC_MOVER_DRAIN, &left) || !left) &&
	       !left;
}

/* Of a queue of the attachment, or of the pool. */

KVT_FN struct kvlift_req mv_req(int fd, uint64_t first, uint64_t count,
				uint32_t flags)
{
	static uint64_t cookie;

	return (struct kvlift_req){
		.cookie = __atomic_add_fetch(&cookie, 1, __ATOMIC_RELAXED),
		.first = first,
		.count = count,
		.fd = fd,
		.op = KVLIFT_OP_ACQUIRE,
		.lease_ms = MV_LONG,
		.flags = flags,
	};
}

KVT_FN int mv_submit(int q, const struct kvlift_req *r, uint32_t n)
{
	struct kvlift_submit s = { .ptr = (uintptr_t)r, .count = n };
	int rc = ioctl(q, KVLIFT_IOC_SUBMIT, &s);

	return rc ? rc : (int)s.done;
}

/* The next event; -EINPROGRESS when there is none in that time. */
KVT_FN struct kvlift_event mv_event(int q, unsigned int ms)
{
	struct kvlift_event e = { .res = -EINPROGRESS };
	struct pollfd p = { .fd = q, .events = POLLIN };

	if (poll(&p, 1, (int)(ms * mv_slow())) == 1)
		IS(read(q, &e, sizeof(e)), sizeof(e));
	return e;
}

KVT_FN int mv_leased(int q, uint64_t cookie, uint64_t *words, uint64_t *count)
{
	struct kvlift_leased l = {
		.cookie = cookie,
		.ptr = (uintptr_t)words,
		.count = *count,
	};
	int rc = ioctl(q, KVLIFT_IOC_LEASED, &l);

	*count = l.count;
	return rc;
}

/* One request, waited for. */
KVT_FN struct mv_lease mv_ask(int q, struct kvlift_req r)
{
	struct mv_lease l = { .cookie = r.cookie };
	struct kvlift_event e;

	if (mv_submit(q, &r, 1) != 1) {
		l.res = -errno;
		return l;
	}
	e = mv_event(q, 30000);
	CHECK(e.res != -EINPROGRESS, "no event in 30 s");
	CHECK(e.res == -EINPROGRESS || e.cookie == r.cookie, "cookie");
	l.res = e.res;
	l.blocks = e.blocks;
	if (!e.res && r.op == KVLIFT_OP_ACQUIRE) {
		uint64_t n = MV_MAX;

		OK(mv_leased(q, r.cookie, l.word, &n));
		IS(n, r.count);
	}
	return l;
}

KVT_FN struct mv_lease mv_acquire(int q, int fd, uint64_t first, uint64_t count,
				  uint32_t flags)
{
	return mv_ask(q, mv_req(fd, first, count, flags));
}

KVT_FN int mv_release(int q, const struct mv_lease *l)
{
	uint64_t cookie = l->cookie;

	return ioctl(q, KVLIFT_IOC_RELEASE, &cookie);
}

/* Where a word of a lease says that the block is. */
KVT_FN char *mv_at(struct mv *m, uint64_t word)
{
	if (word & KVLIFT_LEASED_WINDOW)
		return m->win + (word & ~KVLIFT_LEASED_WINDOW) * m->bs;
	return m->gpu + word * m->bs;
}

/* Blocks of a file that are in tier gpu; of one member, or -1 for any. */
KVT_FN unsigned int mv_count_gpu(int fd, uint64_t n, int member)
{
	unsigned int in = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t w = kvt_loc(fd, i);

		in += w != ~0ull && w & KVLIFT_LOC_PRESENT &&
		      kvlift_loc_tier(w) == KVLIFT_TIER_GPU &&
		      (member < 0 || (int)kvlift_loc_member(w) == member);
	}
	return in;
}

KVT_FN uint64_t mv_slots(int fd, uint32_t tier)
{
	struct kvlift_info info;
	uint64_t sum = 0;

	MUST(kvt_info(fd, &info));
	for (uint32_t i = 0; i < info.nr_members[tier]; i++) {
		struct kvlift_member m = {
			.tier = tier,
			.member = i,
		};

		MUST(ioctl(fd, KVLIFT_IOC_MEMBER, &m));
		sum += m.got;
	}
	return sum;
}

KVT_FN uint64_t mv_dram_slots(int fd)
{
	return mv_slots(fd, KVLIFT_TIER_DRAM);
}

KVT_FN uint64_t mv_cxl_slots(int fd)
{
	return mv_slots(fd, KVLIFT_TIER_CXL);
}

/* Block i of stream "seed", by write(2). */
KVT_FN void mv_write(int fd, char *buf, size_t bs, uint64_t i, uint64_t seed)
{
	kvt_fill(buf, bs, seed, i * bs);
	IS(kvt_pwrite(fd, buf, bs, (off_t)(i * bs)), bs);
}

#endif /* KVTMOVER_H */
