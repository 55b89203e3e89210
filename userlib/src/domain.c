// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Domains: directories that are limited and accounted on their own. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

void kvlift_domain_defaults(struct kvlift_domain *domain)
{
	*domain = (struct kvlift_domain){
		.weight = KVLIFT_DOMAIN_WEIGHT,
		.lease_percent = KVLIFT_DOMAIN_PERCENT,
		.pin_percent = KVLIFT_DOMAIN_PERCENT,
	};
}

/* A descriptor of a directory below the pool's, or -errno. */
static int open_dir(const struct kvlift_pool *pool, const char *name)
{
	int saved = errno;
	int fd = openat(pool->fd, name && *name ? name : ".",
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fd = -errno;
	errno = saved;
	return fd;
}

static int call(const struct kvlift_pool *pool, const char *name,
		unsigned long cmd, struct kvlift_domain *domain)
{
	int fd, ret;

	if (!(pool->features & KVLIFT_F_DOMAIN))
		return -EOPNOTSUPP;
	fd = open_dir(pool, name);
	if (fd < 0)
		return fd;
	ret = kvl_ioctl(fd, cmd, domain);
	close(fd);
	return ret;
}

int kvlift_domain_get(const struct kvlift_pool *pool, const char *name,
		      struct kvlift_domain *domain)
{
	memset(domain, 0, sizeof(*domain));
	return call(pool, name, KVLIFT_IOC_DOMAIN_GET, domain);
}

int kvlift_domain_set(const struct kvlift_pool *pool, const char *name,
		      const struct kvlift_domain *domain)
{
	struct kvlift_domain copy = *domain;

	return call(pool, name, KVLIFT_IOC_DOMAIN_SET, &copy);
}
