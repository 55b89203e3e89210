/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef TOOL_MOUNT_H
#define TOOL_MOUNT_H

#define MOUNT_OPTS 16

struct mount_opts {
	unsigned int count;
	struct {
		char key[16];
		char value[4200];
	} opt[MOUNT_OPTS];
};

__attribute__((format(printf, 3, 4))) void
mount_opt(struct mount_opts *m, const char *key, const char *fmt, ...);
/*
 * Mount a pool on dir. What the filesystem says through the mount API's log
 * is passed on. 0 or -errno.
 */
int mount_pool(const char *dir, const struct mount_opts *m);

#endif
