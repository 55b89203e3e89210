// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Heat of blocks, and touch rings. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

int64_t kvlift_heat_get(const struct kvlift_region *region, uint64_t first,
			uint64_t count, uint32_t *values)
{
	struct kvlift_heat arg;
	int ret;

	if (!(region->features & KVLIFT_F_HEAT))
		return -EOPNOTSUPP;
	memset(&arg, 0, sizeof(arg));
	arg.first = first;
	arg.count = count;
	arg.ptr = kvl_ptr(values);
	ret = kvl_ioctl(region->fd, KVLIFT_IOC_HEAT, &arg);
	return ret ? ret : (int64_t)arg.count;
}

int kvlift_ring_open(const struct kvlift_region *region, unsigned int entries,
		     struct kvlift_ring *ring)
{
	struct kvlift_touch_ring arg;
	int fd, saved = errno, ret = 0;
	void *p;

	memset(ring, 0, sizeof(*ring));
	if (!(region->features & KVLIFT_F_RING))
		return -EOPNOTSUPP;
	memset(&arg, 0, sizeof(arg));
	arg.entries = entries;
	fd = kvl_ioctl(region->fd, KVLIFT_IOC_TOUCH_RING, &arg);
	if (fd < 0)
		return fd;
	p = mmap(NULL, arg.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		ret = -errno;
	} else {
		ring->shared = p;
		ring->entries =
			(uint64_t *)(void *)((char *)p + ring->shared->offset);
		ring->mask = arg.entries - 1;
		ring->length = arg.bytes;
	}
	/* The mapping keeps the ring. */
	close(fd);
	errno = saved;
	return ret;
}

void kvlift_ring_close(struct kvlift_ring *ring)
{
	if (ring->length)
		munmap(ring->shared, ring->length);
	memset(ring, 0, sizeof(*ring));
}
