// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "mount.h"
#include "util.h"

void mount_opt(struct mount_opts *m, const char *key, const char *fmt, ...)
{
	va_list ap;

	if (m->count == MOUNT_OPTS)
		return;
	snprintf(m->opt[m->count].key, sizeof(m->opt[0].key), "%s", key);
	va_start(ap, fmt);
	vsnprintf(m->opt[m->count].value, sizeof(m->opt[0].value), fmt, ap);
	va_end(ap);
	m->count++;
}

/* The log of an fs descriptor: one message a read, "e text" for an error. */
static unsigned int pass_log_on(int fd)
{
	unsigned int errors = 0;
	char buf[1024];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		buf[n] = 0;
		buf[strcspn(buf, "\n")] = 0;
		if (n > 2 && buf[1] == ' ') {
			error("%s%s",
			      buf[0] == 'e' ? "mount: " : "note: ", buf + 2);
			errors += buf[0] == 'e';
		} else {
			error("mount: %s", buf);
		}
	}
	return errors;
}

static int mount_old(const char *dir, const struct mount_opts *m)
{
	char text[4096];
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		int n = snprintf(text + len, sizeof(text) - len, "%s%s=%s",
				 i ? "," : "", m->opt[i].key, m->opt[i].value);

		if (n < 0 || (size_t)n >= sizeof(text) - len)
			return -ENAMETOOLONG;
		len += (size_t)n;
	}
	if (mount("none", dir, "kvlift", 0, text))
		return -errno;
	return 0;
}

int mount_pool(const char *dir, const struct mount_opts *m)
{
	int fs, mnt = -1, ret = 0;
	unsigned int i;

	fs = fsopen("kvlift", FSOPEN_CLOEXEC);
	if (fs < 0) {
		ret = -errno;
		if (ret == -ENOSYS)
			ret = mount_old(dir, m);
		if (ret)
			error("mount: %s; dmesg may say why", strerror(-ret));
		return ret;
	}
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "none", 0))
		ret = -errno;
	for (i = 0; i < m->count && !ret; i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, m->opt[i].key,
			     m->opt[i].value, 0))
			ret = -errno;
	if (!ret && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		ret = -errno;
	if (!ret) {
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		if (mnt < 0)
			ret = -errno;
	}
	if (!ret && move_mount(mnt, "", AT_FDCWD, dir, MOVE_MOUNT_F_EMPTY_PATH))
		ret = -errno;
	if (!pass_log_on(fs) && ret)
		error("mount: %s; dmesg may say why", strerror(-ret));
	if (mnt >= 0)
		close(mnt);
	close(fs);
	return ret;
}
