/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* One file of a pool, named by its path. */
#ifndef TOOL_FILE_H
#define TOOL_FILE_H

#include <stdint.h>

#include "kvlift.h"

struct file {
	struct kvlift_pool *pool;
	struct kvlift_region *region;
	struct kvlift_region_info info;
	uint64_t block, blocks;
};

/* For reading, or with these flags. Errors are printed. 0 or -errno. */
int file_open(const char *path, struct file *f);
int file_open_for(const char *path, int flags, struct file *f);
void file_close(struct file *f);

#endif
