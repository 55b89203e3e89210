// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "format.h"
#include "loop.h"
#include "mkpool.h"
#include "mount.h"
#include "poolview.h"
#include "sb.h"
#include "util.h"

volatile int stop_requested;

/* Slots below which watermarks leave nothing to work with. */
#define MIN_SLOTS 8u

int share_parse(const char *s, struct share *share)
{
	char *end;

	if (!strcmp(s, "rest")) {
		share->kind = SHARE_REST;
		return 0;
	}
	if (strchr(s, '%')) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		share->kind = SHARE_PERCENT;
		share->percent = strtod(s, &end);
		if (strcmp(end, "%") != 0 || !(share->percent <= 1000))
			return -EINVAL;
		return 0;
	}
	share->kind = SHARE_BYTES;
	return parse_size(s, &share->bytes);
}

static uint64_t slots(const struct mkpool_opts *o, const struct share *s)
{
	uint64_t n;

	if (s->kind == SHARE_BYTES) {
		n = ceil_div(s->bytes, o->block);
	} else {
		double v = (double)o->blocks * s->percent / 100;

		n = (uint64_t)v;
		if ((double)n < v)
			n++;
	}
	return n && n < MIN_SLOTS ? MIN_SLOTS : n;
}

void mkpool_plan(const struct mkpool_opts *o, struct mkpool_plan *plan)
{
	uint64_t memory, need = o->blocks + o->extra;

	memset(plan, 0, sizeof(*plan));
	plan->dram = slots(o, &o->dram);
	if (o->cxl_node >= 0)
		plan->cxl = slots(o, &o->cxl);
	if (o->nvme.kind != SHARE_REST) {
		plan->nvme = slots(o, &o->nvme);
		return;
	}
	/* Slots kept free in memory hold nothing, and a move needs two. */
	memory = plan->dram + plan->cxl;
	plan->nvme = need > memory ? need - memory : 0;
	plan->nvme += memory / 8 + o->blocks / 50 + 32;
}

static bool module_loaded(void)
{
	char line[128];
	bool found = false;
	FILE *f;

	f = fopen("/proc/filesystems", "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, "\tkvlift\n") != NULL;
	fclose(f);
	return found;
}

static int load_module(struct mkpool *p)
{
	const char *ko = getenv("KVLIFT_KO");
	int fd, ret;

	if (module_loaded())
		return 0;
	if (!ko || !*ko) {
		error("the module is not loaded: 'insmod build/kvlift.ko' first, or name it in KVLIFT_KO");
		return -ENODEV;
	}
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		error("%s: %s", ko, strerror(-ret));
		return ret;
	}
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	if (ret && ret != -EEXIST) {
		error("%s: cannot be loaded: %s; dmesg may say why", ko,
		      strerror(-ret));
		return ret;
	}
	p->loaded = ret == 0;
	return 0;
}

/* Bytes of a device that a tier of so many bytes needs. */
static uint64_t device_size(uint64_t bytes)
{
	return round_up(bytes + bytes / 100 + 8 * MIB, 2 * MIB);
}

static bool has_sb(const char *path)
{
	struct kvlift_sb sb;
	bool ours = false;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (pread(fd, &sb, sizeof(sb), 0) == (ssize_t)sizeof(sb))
		ours = sb_is_ours(&sb) && sb_is_sound(&sb);
	close(fd);
	return ours;
}

static int make_device(const struct mkpool_opts *o, struct mkpool *p,
		       uint64_t bytes)
{
	struct format_opts fo = { .force = o->force };
	struct format_device dev = { .path = p->device };
	uint8_t uuid[16];
	int ret;

	if (!o->nvme_device) {
		ret = loop_make(device_size(bytes), &p->loop_fd, p->device,
				sizeof(p->device));
		if (ret)
			return ret;
	} else {
		snprintf(p->device, sizeof(p->device), "%s", o->nvme_device);
		/* A pool is empty after each mount: nothing is lost. */
		if (!o->force && has_sb(p->device))
			return 0;
	}
	if (format_devices(&dev, 1, &fo, uuid))
		return -EIO;
	if (dev.size - dev.data_offset < bytes) {
		char have[SIZE_TEXT], need[SIZE_TEXT];

		error("%s: %s for blocks, this replay needs %s: take a larger device%s, fewer --requests or a smaller --block",
		      p->device, size_text(dev.size - dev.data_offset, have),
		      size_text(bytes, need),
		      getenv("KVLIFT_GUEST") ? " (scripts/guest --disk SIZE)"
					     : "");
		return -ENOSPC;
	}
	return 0;
}

static void add_memory(struct mount_opts *m, const char *tier, uint64_t bytes,
		       int node)
{
	if (!bytes)
		return;
	if (node >= 0)
		mount_opt(m, tier, "%llu@%d", (unsigned long long)bytes, node);
	else
		mount_opt(m, tier, "%llu", (unsigned long long)bytes);
}

int mkpool_make(const struct mkpool_opts *o, struct mkpool *p)
{
	const char *tmp = getenv("TMPDIR");
	struct mount_opts m = { 0 };
	struct mkpool_plan plan;
	int ret;

	memset(p, 0, sizeof(*p));
	p->loop_fd = -1;
	if (geteuid() != 0) {
		error("making a pool needs root; or name a mounted one with --pool DIR");
		return -EPERM;
	}
	mkpool_plan(o, &plan);
	ret = load_module(p);
	if (ret)
		return ret;
	if (plan.nvme) {
		ret = make_device(o, p, plan.nvme * o->block);
		if (ret)
			goto fail;
	}
	if (!tmp || strlen(tmp) > 32)
		tmp = "/tmp";
	snprintf(p->dir, sizeof(p->dir), "%s/kvlift.XXXXXX", tmp);
	if (!mkdtemp(p->dir)) {
		ret = -errno;
		error("%s: %s", p->dir, strerror(errno));
		p->dir[0] = 0;
		goto fail;
	}
	mount_opt(&m, "block", "%llu", (unsigned long long)o->block);
	add_memory(&m, "dram", plan.dram * o->block, o->dram_node);
	add_memory(&m, "cxl", plan.cxl * o->block, o->cxl_node);
	if (plan.nvme)
		mount_opt(&m, "nvme", "%s:%llu", p->device,
			  (unsigned long long)(plan.nvme * o->block));
	ret = mount_pool(p->dir, &m);
	if (ret)
		goto fail;
	p->mounted = true;
	ret = mkpool_wait(p->dir);
	if (ret)
		goto fail;
	return 0;
fail:
	mkpool_undo(p);
	return ret;
}

static void nap(long ms)
{
	const struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

void mkpool_undo(struct mkpool *p)
{
	int tries;

	if (p->mounted) {
		for (tries = 0; tries < 50; tries++) {
			if (!umount2(p->dir, 0) || errno != EBUSY)
				break;
			nap(100);
		}
		if (tries == 50) {
			error("%s stays busy, it is unmounted when free",
			      p->dir);
			umount2(p->dir, MNT_DETACH);
		}
		p->mounted = false;
	}
	if (p->dir[0])
		rmdir(p->dir);
	p->dir[0] = 0;
	if (p->loop_fd >= 0)
		close(p->loop_fd); /* goes away by itself: autoclear */
	p->loop_fd = -1;
	if (p->loaded) {
		for (tries = 0; tries < 20; tries++) {
			if (!syscall(SYS_delete_module, "kvlift", O_NONBLOCK))
				break;
			nap(50);
		}
		p->loaded = false;
	}
}

int mkpool_wait(const char *dir)
{
	uint64_t got, asked, last = 0, since = now_ns();
	struct pool_view *v = calloc(1, sizeof(*v));
	struct kvlift_pool *pool;
	struct progress bar;
	unsigned int i;
	int ret;

	if (!v)
		return -ENOMEM;
	ret = kvlift_pool_open(dir, &pool);
	if (ret) {
		error("%s: %s", dir, kvlift_strerror(ret));
		free(v);
		return ret;
	}
	for (i = 0;; i = 1) {
		ret = pool_view_members(pool, v);
		if (ret) {
			error("%s: %s", dir, kvlift_strerror(ret));
			break;
		}
		asked = got = 0;
		for (unsigned int m = 0; m < v->nr_members; m++) {
			asked += v->members[m].asked;
			got += v->members[m].got;
		}
		if (!i)
			progress_start(&bar, "getting slots", asked);
		progress_update(&bar, got);
		if (got > last) {
			last = got;
			since = now_ns();
		}
		if (got >= asked || now_ns() - since > 3000000000ULL ||
		    stop_requested)
			break;
		nap(20);
	}
	if (i || !ret)
		progress_end(&bar);
	for (i = 0; !ret && i < v->nr_members; i++) {
		const struct kvlift_member *m = &v->members[i];

		if (m->got < m->asked)
			error("note: %s %s gave %llu of %llu slots",
			      kvlift_tier_name(m->tier), m->name,
			      (unsigned long long)m->got,
			      (unsigned long long)m->asked);
	}
	kvlift_pool_close(pool);
	free(v);
	return ret;
}
