// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Random mount options, made from good and bad pieces. A mount works or fails
 * with a message; what works is unmounted; nothing is left over.
 *
 *	optfuzz DIR [-t SECONDS] [-s SEED] [-d DEVICE] [-c NODE] [-v]
 */
#include "kvltest.h"

#include <sys/mount.h>

static uint64_t rnd = 1;
static const char *dev = "/dev/none";
static unsigned int node = 1;
static bool verbose;

static const char *pick(const char *const *list, size_t n)
{
	return list[kvt_rand_below(&rnd, n)];
}
#define PICK(list) pick(list, sizeof(list) / sizeof(list[0]))

static void size(char *out, size_t len)
{
	static const char *const good[] = {
		"1M", "2M", "4M", "8M", "16M", "4194304", "4096K", "0x400000",
	};
	static const char *const bad[] = {
		"",
		"0",
		"-1",
		"x",
		"1",
		"3K",
		"64K",
		"999999999T",
		"4M4",
		"M",
		"18446744073709551615",
		"18446744073709551616",
		" 4M",
		"4m",
		"4MB",
		"4MiB",
		"1e9",
		"%s%n",
		"@",
		"@@",
		":",
		"::",
	};

	snprintf(out, len, "%s",
		 kvt_rand_below(&rnd, 4) ? PICK(good) : PICK(bad));
}

static void option(char *key, char *val, size_t len)
{
	static const char *const blocks[] = {
		"16K", "32K", "64K", "128K", "1M", "2M", "65536",
		"3K",  "4M",  "0",   "-1",   "64", "",
	};
	static const char *const keys[] = {
		"block", "dram", "cxl",	 "nvme",   "uid",  "gid",      "mode",
		"hard",	 "low",	 "high", "source", "ro",   "nonsense", "gpu",
		"dram",	 "cxl",	 "nvme", "block",  "dram", "scan",
	};
	char s[64];

	strcpy(key, PICK(keys));
	size(s, sizeof(s));
	if (!strcmp(key, "block"))
		snprintf(val, len, "%s", PICK(blocks));
	else if (!strcmp(key, "nvme"))
		snprintf(val, len, "%s%s%s",
			 kvt_rand_below(&rnd, 6)   ? dev
			 : kvt_rand_below(&rnd, 2) ? "/dev/null"
						   : s,
			 kvt_rand_below(&rnd, 2) ? ":" : "",
			 kvt_rand_below(&rnd, 3) ? s : "");
	else if (kvt_rand_below(&rnd, 3))
		snprintf(val, len, "%s@%u", s,
			 kvt_rand_below(&rnd, 8)
				 ? !strcmp(key, "cxl") ? node : 0
				 : (unsigned int)kvt_rand_below(&rnd, 2000));
	else
		snprintf(val, len, "%s", s);
	/* Long ones, too. */
	if (!kvt_rand_below(&rnd, 100)) {
		memset(val, 'A', len - 1);
		val[len - 1] = 0;
	}
}

static unsigned int messages(int fs)
{
	unsigned int n = 0;
	char line[4096];
	ssize_t r;

	while ((r = read(fs, line, sizeof(line) - 1)) > 0) {
		line[r] = 0;
		if (verbose)
			printf("    %s", line);
		n++;
	}
	return n;
}

static bool one(const char *dir, bool again)
{
	int fs = again ? fspick(AT_FDCWD, dir, 0)
		       : MUST(fsopen("kvlift", FSOPEN_CLOEXEC));
	char key[32], val[256], all[4096] = "";
	unsigned int n = (unsigned int)kvt_rand_below(&rnd, 6) + 1;
	int rc = 0, mnt;

	if (fs < 0)
		return false;
	for (unsigned int i = 0; i < n && !rc; i++) {
		option(key, val, sizeof(val));
		if (!again && i == 0)
			strcpy(key, "dram"), strcpy(val, "4M");
		snprintf(all + strlen(all), sizeof(all) - strlen(all),
			 "%s=%.40s,", key, val);
		if (!strcmp(key, "hard") || !strcmp(key, "ro"))
			rc = fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0);
		else
			rc = fsconfig(fs, FSCONFIG_SET_STRING, key, val, 0);
	}
	if (!rc)
		rc = fsconfig(fs,
			      again ? FSCONFIG_CMD_RECONFIGURE
				    : FSCONFIG_CMD_CREATE,
			      NULL, NULL, 0);
	if (verbose)
		printf("%s %s: %s\n", again ? "remount" : "mount", all,
		       rc ? strerrorname_np(errno) : "ok");
	if (rc)
		CHECK(messages(fs) > 0 || errno == ENOMEM, "%s: silent %s", all,
		      strerror(errno));
	if (!rc && !again) {
		mnt = MUST(fsmount(fs, FSMOUNT_CLOEXEC, 0));
		MUST(move_mount(mnt, "", AT_FDCWD, dir,
				MOVE_MOUNT_F_EMPTY_PATH));
		close(mnt);
	}
	close(fs);
	return !rc;
}

int main(int argc, char **argv)
{
	unsigned int seconds = 10, tries = 0, mounts = 0, remounts = 0;
	uint64_t end;
	char *dir;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:d:c:v")) != -1) {
		if (opt == 't')
			seconds = (unsigned int)strtoul(optarg, NULL, 0);
		else if (opt == 's')
			rnd = strtoull(optarg, NULL, 0) * 7919 + 1;
		else if (opt == 'd')
			dev = optarg;
		else if (opt == 'c')
			node = (unsigned int)strtoul(optarg, NULL, 0);
		else if (opt == 'v')
			verbose = true;
		else
			kvt_die("usage: optfuzz DIR [-t] [-s] [-d] [-c] [-v]");
	}
	dir = argv[optind];
	if (!dir)
		kvt_die("usage: optfuzz DIR [-t] [-s] [-d] [-c] [-v]");
	end = kvt_now_ns() + (uint64_t)seconds * 1000000000u;
	for (; kvt_now_ns() < end; tries++) {
		if (!one(dir, false))
			continue;
		mounts++;
		for (int i = 0; i < 3; i++)
			remounts += one(dir, true);
		if (!CHECK(!umount2(dir, 0), "umount: %s", strerror(errno)))
			break;
	}
	printf("optfuzz: %u tries, %u mounts, %u remounts\n", tries, mounts,
	       remounts);
	CHECK(mounts > 0, "nothing was ever mounted");
	return kvt_end("optfuzz");
}
