// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "util.h"

int file_open_for(const char *path, int flags, struct file *f)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *dir;
	int ret;

	memset(f, 0, sizeof(*f));
	if (!slash)
		dir = strdup(".");
	else if (slash == path)
		dir = strdup("/");
	else
		dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		return -ENOMEM;
	ret = kvlift_pool_open(dir, &f->pool);
	free(dir);
	if (!ret)
		ret = kvlift_region_open(f->pool, *name ? name : ".", flags,
					 &f->region);
	if (!ret)
		ret = kvlift_region_info(f->region, &f->info);
	if (ret) {
		error("%s: %s%s", path, kvlift_strerror(ret),
		      ret == -EMEDIUMTYPE ? "; 'kvlift status' lists the pools"
					  : "");
		file_close(f);
		return ret;
	}
	f->block = kvlift_region_block_size(f->region);
	f->blocks = ceil_div(f->info.size, f->block);
	return 0;
}

int file_open(const char *path, struct file *f)
{
	return file_open_for(path, O_RDONLY, f);
}

void file_close(struct file *f)
{
	kvlift_region_close(f->region);
	kvlift_pool_close(f->pool);
	f->region = NULL;
	f->pool = NULL;
}
