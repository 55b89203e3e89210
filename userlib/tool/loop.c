// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "loop.h"
#include "util.h"

static int backing_file(uint64_t size)
{
	const char *dir = getenv("TMPDIR");
	char path[4096], need[SIZE_TEXT], have[SIZE_TEXT];
	struct statvfs st;
	int fd, ret;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/kvlift-loop.XXXXXX", dir);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0) {
		ret = -errno;
		error("no file for a loop device in %s: %s", dir,
		      strerror(-ret));
		return ret;
	}
	if (!fstatvfs(fd, &st) && (uint64_t)st.f_bavail * st.f_frsize < size) {
		error("%s has %s free, the loop file may grow to %s: set TMPDIR to a larger place, or name a device with --nvme-device",
		      dir, size_text((uint64_t)st.f_bavail * st.f_frsize, have),
		      size_text(size, need));
		close(fd);
		return -ENOSPC;
	}
	if (ftruncate(fd, (off_t)size)) {
		ret = -errno;
		error("loop file in %s: %s", dir, strerror(-ret));
		close(fd);
		return ret;
	}
	return fd;
}

int loop_make(uint64_t size, int *fd, char *path, size_t len)
{
	struct loop_config config = { 0 };
	int ctl, file, ret = 0, number, tries;

	file = backing_file(size);
	if (file < 0)
		return file;
	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0) {
		ret = -errno;
		error("/dev/loop-control: %s; 'modprobe loop', or name a device with --nvme-device",
		      strerror(-ret));
		close(file);
		return ret;
	}
	config.fd = (__u32)file;
	config.block_size = 4096;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
	*fd = -1;
	/* Another may take the free one between the two calls. */
	for (tries = 0; tries < 20 && *fd < 0; tries++) {
		number = ioctl(ctl, LOOP_CTL_GET_FREE);
		if (number < 0) {
			ret = -errno;
			break;
		}
		snprintf(path, len, "/dev/loop%d", number);
		*fd = open(path, O_RDWR | O_CLOEXEC);
		if (*fd < 0) {
			ret = -errno;
			break;
		}
		if (!ioctl(*fd, LOOP_CONFIGURE, &config)) {
			ret = 0;
			break;
		}
		ret = -errno;
		close(*fd);
		*fd = -1;
		if (ret == -EINVAL && config.info.lo_flags & LO_FLAGS_DIRECT_IO)
			config.info.lo_flags &= ~(__u32)LO_FLAGS_DIRECT_IO;
		else if (ret != -EBUSY)
			break;
	}
	if (ret)
		error("no loop device: %s", strerror(-ret));
	close(ctl);
	close(file);
	return ret;
}
