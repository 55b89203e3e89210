// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Pools: what a mount is made of. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "internal.h"

static int check(int fd, struct kvlift_info *info)
{
	struct statfs st;
	int ret;

	if (fstatfs(fd, &st) < 0)
		return -errno;
	if (st.f_type != KVLIFT_SUPER_MAGIC)
		return -EMEDIUMTYPE;
	memset(info, 0, sizeof(*info));
	ret = kvl_ioctl(fd, KVLIFT_IOC_INFO, info);
	if (ret)
		return ret;
	return info->abi == KVLIFT_ABI_VERSION ? 0 : -EPROTO;
}

int kvlift_pool_open(const char *path, struct kvlift_pool **pool)
{
	int fd, ret, saved = errno;
	struct kvlift_pool *p;
	struct kvlift_info info;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto out;
	}
	ret = check(fd, &info);
	if (ret)
		goto out_close;
	p = malloc(sizeof(*p));
	if (!p) {
		ret = -ENOMEM;
		goto out_close;
	}
	p->fd = fd;
	p->block_size = info.block_size;
	p->features = info.features;
	*pool = p;
	errno = saved;
	return 0;

out_close:
	close(fd);
out:
	errno = saved;
	return ret;
}

void kvlift_pool_close(struct kvlift_pool *pool)
{
	if (!pool)
		return;
	close(pool->fd);
	free(pool);
}

int kvlift_pool_fd(const struct kvlift_pool *pool)
{
	return pool->fd;
}

size_t kvlift_pool_block_size(const struct kvlift_pool *pool)
{
	return pool->block_size;
}

int kvlift_pool_info(const struct kvlift_pool *pool, struct kvlift_info *info)
{
	memset(info, 0, sizeof(*info));
	return kvl_ioctl(pool->fd, KVLIFT_IOC_INFO, info);
}

int kvlift_pool_member(const struct kvlift_pool *pool, unsigned int tier,
		       unsigned int member, struct kvlift_member *info)
{
	memset(info, 0, sizeof(*info));
	info->tier = tier;
	info->member = member;
	return kvl_ioctl(pool->fd, KVLIFT_IOC_MEMBER, info);
}

int64_t kvlift_drain(const struct kvlift_pool *pool, unsigned int tier,
		     unsigned int member, unsigned int flags)
{
	struct kvlift_drain d = {
		.tier = tier,
		.member = member,
		.flags = flags,
	};
	int ret = kvl_ioctl(pool->fd, KVLIFT_IOC_DRAIN, &d);

	return ret ? ret : (int64_t)d.remaining;
}

int kvlift_features(const struct kvlift_pool *pool, uint64_t *features)
{
	*features = pool->features;
	return 0;
}
