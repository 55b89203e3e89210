// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Mount by fsopen and fsconfig and print what the kernel says, which mount(8)
 * hides in older versions.
 *
 *	fsconf mount DIR OPTIONS
 *	fsconf remount DIR OPTIONS
 *
 * Prints the messages, one a line, and "ok" or the error's name. Exit status
 * 0 when it is mounted.
 */
#include "kvltest.h"

#include <sys/mount.h>

static void messages(int fs)
{
	char line[4096];
	ssize_t n;

	while ((n = read(fs, line, sizeof(line) - 1)) > 0) {
		while (n && line[n - 1] == '\n')
			n--;
		line[n] = 0;
		puts(line);
	}
}

static int set_all(int fs, char *opts)
{
	int rc = 0;

	for (char *o = strtok(opts, ","); o && !rc; o = strtok(NULL, ",")) {
		char *eq = strchr(o, '=');

		if (eq)
			*eq++ = 0;
		rc = eq ? fsconfig(fs, FSCONFIG_SET_STRING, o, eq, 0)
			: fsconfig(fs, FSCONFIG_SET_FLAG, o, NULL, 0);
	}
	return rc;
}

int main(int argc, char **argv)
{
	bool re = argc == 4 && !strcmp(argv[1], "remount");
	int fs, mnt = -1, rc, err;

	if (argc != 4)
		kvt_die("usage: fsconf mount|remount DIR OPTIONS");
	fs = re ? fspick(AT_FDCWD, argv[2], FSPICK_CLOEXEC)
		: fsopen("kvlift", FSOPEN_CLOEXEC);
	if (fs < 0)
		kvt_die("%s: %s", re ? argv[2] : "fsopen", strerror(errno));
	rc = set_all(fs, argv[3]);
	if (!rc)
		rc = fsconfig(
			fs, re ? FSCONFIG_CMD_RECONFIGURE : FSCONFIG_CMD_CREATE,
			NULL, NULL, 0);
	if (!rc && !re) {
		mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		rc = mnt < 0 ? -1
			     : move_mount(mnt, "", AT_FDCWD, argv[2],
					  MOVE_MOUNT_F_EMPTY_PATH);
	}
	err = errno;
	messages(fs);
	puts(rc ? strerrorname_np(err) : "ok");
	return rc ? 1 : 0;
}
