// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Queues: requests, their events, leases. */
#include <string.h>
#include <unistd.h>

#include "internal.h"

int kvlift_queue_open(const struct kvlift_pool *pool)
{
	if (!(pool->features & KVLIFT_F_QUEUE))
		return -EOPNOTSUPP;
	return kvl_ioctl(pool->fd, KVLIFT_IOC_QUEUE, NULL);
}

int kvlift_queue_submit(int queue, const struct kvlift_req *reqs,
			unsigned int count)
{
	struct kvlift_submit arg;
	int ret;

	if (count == 0)
		return 0;
	memset(&arg, 0, sizeof(arg));
	arg.ptr = kvl_ptr(reqs);
	arg.count = count < KVLIFT_SUBMIT_MAX ? count : KVLIFT_SUBMIT_MAX;
	ret = kvl_ioctl(queue, KVLIFT_IOC_SUBMIT, &arg);
	return ret ? ret : (int)arg.done;
}

int kvlift_queue_read(int queue, struct kvlift_event *events,
		      unsigned int count)
{
	int saved = errno;
	ssize_t n;

	if (count == 0)
		return 0;
	n = read(queue, events, (size_t)count * sizeof(*events));
	if (n < 0)
		n = -errno;
	errno = saved;
	return n < 0 ? (int)n : (int)((size_t)n / sizeof(*events));
}

int kvlift_queue_eventfd(int queue, int eventfd)
{
	int32_t arg = eventfd;

	return kvl_ioctl(queue, KVLIFT_IOC_EVENTFD, &arg);
}

int kvlift_queue_cancel(int queue, uint64_t cookie)
{
	return kvl_ioctl(queue, KVLIFT_IOC_CANCEL, &cookie);
}

int kvlift_queue_release(int queue, uint64_t cookie)
{
	return kvl_ioctl(queue, KVLIFT_IOC_RELEASE, &cookie);
}
