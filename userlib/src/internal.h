/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef KVLIFT_INTERNAL_H
#define KVLIFT_INTERNAL_H

#include <errno.h>
#include <sys/ioctl.h>

#include "kvlift.h"

struct kvlift_pool {
	int fd;
	uint32_t block_size;
	uint64_t features;
};

struct kvlift_region {
	int fd;
	uint32_t block_size;
	uint64_t features;
};

/* ioctl(2) in the library's convention, errno untouched. */
static inline int kvl_ioctl(int fd, unsigned long cmd, void *arg)
{
	int saved = errno;
	int ret = ioctl(fd, cmd, arg);

	if (ret < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

static inline uint64_t kvl_ptr(const void *ptr)
{
	return (uint64_t)(uintptr_t)ptr;
}

#endif
