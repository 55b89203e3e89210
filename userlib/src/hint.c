// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Hints: what an engine knows, told to the policy. */
#include <string.h>

#include "internal.h"

int kvlift_hint(const struct kvlift_pool *pool, const struct kvlift_hint *hints,
		unsigned int count)
{
	struct kvlift_hints arg;
	int ret;

	if (!(pool->features & KVLIFT_F_HINT))
		return -EOPNOTSUPP;
	if (count == 0)
		return 0;
	if (count > KVLIFT_HINT_MAX)
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	arg.ptr = kvl_ptr(hints);
	arg.count = count;
	ret = kvl_ioctl(pool->fd, KVLIFT_IOC_HINT, &arg);
	return ret ? ret : (int)arg.done;
}
