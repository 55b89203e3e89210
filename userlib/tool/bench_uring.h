/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef TOOL_BENCH_URING_H
#define TOOL_BENCH_URING_H

#include <stddef.h>
#include <stdint.h>

struct uring {
	int fd;
	void *ring;
	size_t ring_len, sqe_len;
	uint32_t *sq_tail, *sq_array, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

int uring_open(struct uring *u, unsigned int entries);
/* Submits so many, waits for all, and reads their completions. */
int uring_nops(struct uring *u, unsigned int nr);
void uring_close(struct uring *u);

#endif
