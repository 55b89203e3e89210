// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* io_uring's no-op, as a peer: by system calls, with nothing in between. */
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench_uring.h"

static void *map(int fd, size_t len, off_t what)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, what);

	return p == MAP_FAILED ? NULL : p;
}

int uring_open(struct uring *u, unsigned int entries)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER };
	char *ring;

	memset(u, 0, sizeof(*u));
	u->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
	if (u->fd < 0)
		return -errno;
	if (!(p.features & IORING_FEAT_SINGLE_MMAP)) {
		close(u->fd);
		return -EOPNOTSUPP;
	}
	u->ring_len = p.cq_off.cqes + p.cq_entries * sizeof(*u->cqes);
	u->sqe_len = p.sq_entries * sizeof(*u->sqes);
	ring = u->ring = map(u->fd, u->ring_len, IORING_OFF_SQ_RING);
	u->sqes = map(u->fd, u->sqe_len, IORING_OFF_SQES);
	if (!ring || !u->sqes) {
		uring_close(u);
		return -ENOMEM;
	}
	u->sq_tail = (uint32_t *)(void *)(ring + p.sq_off.tail);
	u->sq_array = (uint32_t *)(void *)(ring + p.sq_off.array);
	u->cq_head = (uint32_t *)(void *)(ring + p.cq_off.head);
	u->cq_tail = (uint32_t *)(void *)(ring + p.cq_off.tail);
	u->cqes = (struct io_uring_cqe *)(void *)(ring + p.cq_off.cqes);
	u->sq_mask = p.sq_entries - 1;
	u->cq_mask = p.cq_entries - 1;
	return 0;
}

int uring_nops(struct uring *u, unsigned int nr)
{
	uint32_t tail = *u->sq_tail, head = *u->cq_head, i;
	struct io_uring_sqe *s;
	unsigned int good = 0;

	for (i = 0; i < nr; i++) {
		s = &u->sqes[(tail + i) & u->sq_mask];
		memset(s, 0, sizeof(*s));
		s->opcode = IORING_OP_NOP;
		s->user_data = i;
		u->sq_array[(tail + i) & u->sq_mask] = (tail + i) & u->sq_mask;
	}
	__atomic_store_n(u->sq_tail, tail + nr, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, u->fd, nr, nr, IORING_ENTER_GETEVENTS,
		    NULL, 0) != nr)
		return -EIO;
	while (head != __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE)) {
		struct io_uring_cqe *c = &u->cqes[head++ & u->cq_mask];

		good += !c->res && c->user_data < nr;
	}
	__atomic_store_n(u->cq_head, head, __ATOMIC_RELEASE);
	return good == nr ? 0 : -EIO;
}

void uring_close(struct uring *u)
{
	if (u->ring)
		munmap(u->ring, u->ring_len);
	if (u->sqes)
		munmap(u->sqes, u->sqe_len);
	close(u->fd);
}
