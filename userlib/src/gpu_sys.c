// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What the kernel does for an attachment. In a file of its own, so that a test
 * that is linked with something else instead has no kernel side but its own.
 */
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu.h"
#include "internal.h"

int kvl_gpu_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	return kvl_ioctl(fd, cmd, arg);
}

int kvl_gpu_sys_map(int fd, size_t bytes, uint64_t offset, void **addr)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)offset);
	int ret = 0;

	if (p == MAP_FAILED)
		return -errno;
	/* The attachment lives as long as a mapping of it does. */
	if (madvise(p, bytes, MADV_DONTFORK)) {
		ret = -errno;
		munmap(p, bytes);
	} else {
		*addr = p;
	}
	return ret;
}

void kvl_gpu_sys_unmap(void *addr, size_t bytes)
{
	munmap(addr, bytes);
}

void kvl_gpu_sys_wait(int fd, int wake, int64_t timeout_ns)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = wake, .events = POLLIN },
	};
	struct timespec t = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	uint64_t count;
	ssize_t n;

	if (ppoll(p, 2, timeout_ns < 0 ? NULL : &t, NULL) > 0 && p[1].revents) {
		n = read(wake, &count, sizeof(count));
		(void)n;
	}
}
