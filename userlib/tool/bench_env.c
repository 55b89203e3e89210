// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What kvlift bench measures on: devices, mounts, files, a cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define MEASURED_NS 2000000000 /* after the mount, module/measure.c */
#define NULLB	    "/sys/kernel/config/nullb/"
#define CGROUP	    "/sys/fs/cgroup"
#define GROUP	    CGROUP "/kvlift-bench"

void bench_nap(uint64_t ns)
{
	const struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000),
				     .tv_nsec = (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
}

void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int bench_run(const char *const argv[])
{
	int status, null;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WEXITSTATUS(status) ? -EIO : 0;
}

static int nullb_attr(const char *name, const char *attr, uint64_t value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), NULLB "%s/%s", name, attr);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return write_text(path, text);
}

int nullb_make(struct nullb *n, const char *name, uint64_t bytes,
	       uint64_t latency_ns)
{
	const char *const load[] = { "modprobe", "null_blk", "nr_devices=0",
				     NULL };
	char dir[64];
	int ret, i;

	snprintf(n->name, sizeof(n->name), "%s", name);
	snprintf(n->path, sizeof(n->path), "/dev/%s", name);
	snprintf(dir, sizeof(dir), NULLB "%s", name);
	if (access(NULLB, F_OK)) {
		bench_run(load);
		if (access(NULLB, F_OK))
			mount("none", "/sys/kernel/config", "configfs", 0, "");
	}
	/* Left by a run that was killed. */
	rmdir(dir);
	if (mkdir(dir, 0755)) {
		ret = -errno;
		error("null_blk: %s: %s", dir, strerror(-ret));
		return ret;
	}
	ret = nullb_attr(name, "size", ceil_div(bytes, MIB));
	ret = ret ?: nullb_attr(name, "memory_backed", 1);
	ret = ret ?: nullb_attr(name, "irqmode", latency_ns ? 2 : 0);
	ret = ret ?: nullb_attr(name, "completion_nsec", latency_ns ?: 1);
	ret = ret ?: nullb_attr(name, "blocksize", BENCH_PAGE);
	ret = ret ?: nullb_attr(name, "power", 1);
	for (i = 0; !ret && access(n->path, F_OK); i++) {
		if (i == 100)
			ret = -ENODEV;
		bench_nap(20000000);
	}
	if (ret) {
		error("null_blk: %s: %s", n->path, strerror(-ret));
		rmdir(dir);
	}
	return ret;
}

void nullb_remove(struct nullb *n)
{
	char dir[64];

	snprintf(dir, sizeof(dir), NULLB "%s", n->name);
	nullb_attr(n->name, "power", 0);
	rmdir(dir);
}

int64_t nullb_writes(const struct nullb *n)
{
	unsigned long long writes;
	char path[64];
	FILE *f;
	int got;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", n->name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	got = fscanf(f, "%*u %*u %*u %*u %llu", &writes);
	fclose(f);
	return got == 1 ? (int64_t)writes : -EIO;
}

int scratch_mount(struct scratch *s, const char *type, const char *source,
		  const char *options)
{
	int ret;

	strcpy(s->dir, "/tmp/kvbench.XXXXXX");
	if (!mkdtemp(s->dir)) {
		ret = -errno;
		error("%s: %s", s->dir, strerror(-ret));
		return ret;
	}
	if (!mount(source, s->dir, type, 0, options))
		return 0;
	ret = -errno;
	error("mount -t %s: %s", type, strerror(-ret));
	rmdir(s->dir);
	return ret;
}

void scratch_umount(struct scratch *s)
{
	if (umount(s->dir))
		umount2(s->dir, MNT_DETACH);
	rmdir(s->dir);
}

int bench_pool(const struct bench *b, struct mkpool *p, uint64_t block,
	       uint64_t blocks, bool cxl, const struct nullb *nvme)
{
	struct mkpool_opts o = {
		.block = block,
		.blocks = blocks,
		.dram = { .kind = SHARE_BYTES, .bytes = 2 * blocks * block },
		.cxl = { .kind = SHARE_BYTES, .bytes = 2 * blocks * block },
		.nvme = { .kind = SHARE_BYTES },
		.dram_node = cxl ? 0 : -1,
		.cxl_node = cxl ? b->cxl_node : -1,
		.force = true,
	};
	int ret;

	if (cxl && b->cxl_node < 0) {
		error("no second node: name one in KVLIFT_CXL_NODE");
		return -ENXIO;
	}
	if (nvme) {
		o.nvme.bytes = 2 * blocks * block;
		o.nvme_device = nvme->path;
	}
	ret = mkpool_make(&o, p);
	/* It measures its nodes now; later that would be in a row. */
	if (!ret && cxl)
		bench_nap(MEASURED_NS);
	return ret;
}

int swap_on(const struct nullb *n)
{
	const char *const mk[] = { "mkswap", n->path, NULL };
	int ret = bench_run(mk);

	if (!ret && swapon(n->path, 0))
		ret = -errno;
	if (ret)
		error("swap on %s: %s", n->path, strerror(-ret));
	return ret;
}

void swap_off(const struct nullb *n)
{
	swapoff(n->path);
}

static int group_write(const char *file, uint64_t value, const char *text)
{
	char path[128], number[32];

	snprintf(path, sizeof(path), GROUP "/%s", file);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)value);
	return write_text(path, text ?: number);
}

int group_enter(void)
{
	int ret;

	ret = write_text(CGROUP "/cgroup.subtree_control", "+memory");
	if (!ret && mkdir(GROUP, 0755) && errno != EEXIST)
		ret = -errno;
	if (!ret)
		ret = group_write("cgroup.procs", 0, NULL);
	if (ret)
		error("a memory cgroup in %s: %s", CGROUP, strerror(-ret));
	return ret;
}

void group_leave(void)
{
	group_limit(0);
	write_text(CGROUP "/cgroup.procs", "0");
	rmdir(GROUP);
}

/*
 * A hard limit alone ends in OOM kills: reclaim of the multi-generational LRU
 * does not wait for writeback. A little above the soft one it is not met.
 */
int group_limit(uint64_t bytes)
{
	int ret;

	ret = group_write("memory.high", bytes, bytes ? NULL : "max");
	return ret
		       ?: group_write("memory.max",
				      bytes + bytes / 4 + 16 * MIB,
				      bytes ? NULL : "max");
}

/* Asks for so much; less is no error, it is asked for again. */
int group_reclaim(uint64_t bytes)
{
	int ret = group_write("memory.reclaim", bytes, NULL);

	return ret == -EAGAIN ? 0 : ret;
}
