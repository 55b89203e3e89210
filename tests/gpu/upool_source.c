// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A second attachment of the pool in user space. No block ever goes there; it
 * is what the first one's mover copies from directly.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "upool_priv.h"

#define RING_BYTES 65536u
#define ENTRIES	   8u
#define MEMBER	   1u

static struct {
	int fd;
	char *ring, *window;
	size_t window_bytes;
	struct kvlift_mover asked;
} source = { .fd = -1 };

static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int up_source_attach(struct kvlift_mover *arg)
{
	struct kvlift_mover_ring *r;

	if (source.ring || source.window)
		return -EUSERS;
	arg->depth = arg->depth ? arg->depth : KVLIFT_MOVER_DEPTH;
	arg->member = MEMBER;
	arg->ring_bytes = RING_BYTES;
	arg->window_offset = 1ull << 40;
	source.asked = *arg;
	source.window_bytes = (arg->window + arg->window_cxl) * up.block;
	source.ring = map(RING_BYTES);
	source.window = map(source.window_bytes);
	if (!source.ring || !source.window)
		return -ENOMEM;
	r = (struct kvlift_mover_ring *)source.ring;
	r->sq_entries = r->cq_entries = ENTRIES;
	r->sq_offset = 4096;
	r->cq_offset = 8192;
	r->generation = 1;
	r->state = KVLIFT_MOVER_LIVE;
	source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return source.fd;
}

bool up_is_source(int fd)
{
	return source.ring && fd == source.fd;
}

int up_source_ioctl(unsigned long cmd, void *arg)
{
	struct kvlift_mover_info *info = arg;

	switch (cmd) {
	case KVLIFT_IOC_MOVER_ENTER:
	case KVLIFT_IOC_MOVER_READY:
	case KVLIFT_IOC_MOVER_PEERS:
		return 0;
	case KVLIFT_IOC_MOVER_INFO:
		memset(info, 0, sizeof(*info));
		info->state = KVLIFT_MOVER_LIVE;
		info->member = MEMBER;
		info->slots = source.asked.slots;
		info->window = info->window_ready =
			source.asked.window + source.asked.window_cxl;
		return 0;
	case KVLIFT_IOC_MOVER_DRAIN:
		*(uint64_t *)arg = 0;
		return 0;
	case KVLIFT_IOC_QUEUE:
		return eventfd(0, EFD_CLOEXEC);
	}
	return -ENOTTY;
}

void *up_source_map(bool window)
{
	return window ? source.window : source.ring;
}

bool up_source_unmap(void *addr, size_t bytes)
{
	if (addr != source.ring && addr != source.window)
		return false;
	if (addr == source.ring)
		source.ring = NULL;
	else
		source.window = NULL;
	munmap(addr, bytes);
	return true;
}
