/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As much of io_uring as pins need: registered buffers and one transfer at a
 * time. By system calls, so that the tests need no library in the guest.
 */
#ifndef KVTURING_H
#define KVTURING_H

#include "kvltest.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>

struct ring {
	int fd;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_params p;
	size_t sq_len, cq_len;
};

KVT_FN bool ring_open(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = (int)syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return false;
	r->sq_len = r->p.sq_off.array + r->p.sq_entries * 4;
	r->cq_len = r->p.cq_off.cqes +
		    r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->sq = MUST(mmap(NULL, r->sq_len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  r->fd, IORING_OFF_SQ_RING));
	r->cq = MUST(mmap(NULL, r->cq_len, PROT_READ | PROT_WRITE, MAP_SHARED,
			  r->fd, IORING_OFF_CQ_RING));
	r->sqes = MUST(mmap(NULL, r->p.sq_entries * sizeof(*r->sqes),
			    PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			    IORING_OFF_SQES));
	return true;
}

KVT_FN void ring_close(struct ring *r)
{
	munmap(r->sq, r->sq_len);
	munmap(r->cq, r->cq_len);
	munmap(r->sqes, r->p.sq_entries * sizeof(*r->sqes));
	close(r->fd);
}

KVT_FN int ring_register(struct ring *r, void *p, size_t len)
{
	struct iovec iov = { p, len };

	return (int)syscall(SYS_io_uring_register, r->fd,
			    IORING_REGISTER_BUFFERS, &iov, 1);
}

KVT_FN int ring_unregister(struct ring *r)
{
	return (int)syscall(SYS_io_uring_register, r->fd,
			    IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* One transfer to or from the registered buffer, waited for. */
KVT_FN int ring_io(struct ring *r, int op, int fd, void *p, size_t len,
		   off_t off)
{
	unsigned int *tail = (void *)(r->sq + r->p.sq_off.tail);
	unsigned int mask = *(unsigned int *)(r->sq + r->p.sq_off.ring_mask);
	unsigned int *array = (void *)(r->sq + r->p.sq_off.array);
	unsigned int *chead = (void *)(r->cq + r->p.cq_off.head);
	unsigned int *ctail = (void *)(r->cq + r->p.cq_off.tail);
	unsigned int cmask = *(unsigned int *)(r->cq + r->p.cq_off.ring_mask);
	struct io_uring_cqe *cqes = (void *)(r->cq + r->p.cq_off.cqes);
	unsigned int i = *tail & mask;
	int res;

	memset(&r->sqes[i], 0, sizeof(r->sqes[i]));
	r->sqes[i].opcode = (uint8_t)op;
	r->sqes[i].fd = fd;
	r->sqes[i].addr = (uintptr_t)p;
	r->sqes[i].len = (uint32_t)len;
	r->sqes[i].off = (uint64_t)off;
	array[i] = i;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS,
		       NULL, 0) < 0 &&
	       errno == EINTR)
		;
	if (*chead == __atomic_load_n(ctail, __ATOMIC_ACQUIRE))
		return -EIO;
	res = cqes[*chead & cmask].res;
	__atomic_store_n(chead, *chead + 1, __ATOMIC_RELEASE);
	return res;
}

#endif /* KVTURING_H */
