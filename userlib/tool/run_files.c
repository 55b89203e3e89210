// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The files of a run, and what it came to. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"
#include "util.h"

#define PREFIX "run."
#define KEPT   ".kept"

/* Removes a directory of ours and what is in it. */
static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_type == DT_REG)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

/* Is it of a run whose process is gone, and was not to be kept? */
static bool is_stale(int dir, const char *name)
{
	struct stat st;
	bool kept;
	pid_t pid;
	int fd;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	pid = atoi(name + strlen(PREFIX));
	if (pid <= 0 || !kill(pid, 0) || errno != ESRCH)
		return false;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	kept = fstat(fd, &st) || st.st_uid != geteuid() ||
	       !faccessat(fd, KEPT, F_OK, 0);
	close(fd);
	return !kept;
}

/* What runs that were killed have left. */
static void remove_stale(const char *pool)
{
	DIR *d = opendir(pool);
	char path[PATH_MAX];
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (is_stale(dirfd(d), e->d_name) &&
		    snprintf(path, sizeof(path), "%s/%s", pool, e->d_name) <
			    (int)sizeof(path))
			remove_dir(path);
	if (d)
		closedir(d);
}

static int open_pool(const char *path, struct kvlift_info *info)
{
	struct kvlift_pool *pool;
	int ret = kvlift_pool_open(path, &pool);

	if (ret == -EMEDIUMTYPE) {
		error("%s is not in a kvlift pool; mount one, or let --dram SIZE make one",
		      path);
		return ret;
	}
	if (!ret) {
		ret = kvlift_pool_info(pool, info);
		kvlift_pool_close(pool);
	}
	if (ret)
		error("%s: %s", path, kvlift_strerror(ret));
	return ret;
}

int run_files_begin(struct run *r)
{
	char path[PATH_MAX];
	int ret, dir, fd;

	ret = open_pool(r->pool, &r->info);
	if (ret)
		return ret;
	if (!realpath(r->pool, path)) {
		ret = -errno;
		error("%s: %s", r->pool, strerror(errno));
		return ret;
	}
	remove_stale(path);
	if (snprintf(r->dir, sizeof(r->dir), "%s/" PREFIX "%d", path,
		     getpid()) >= (int)sizeof(r->dir))
		return -ENAMETOOLONG;
	if (mkdir(r->dir, 0700)) {
		ret = -errno;
		error("%s: %s", r->dir, strerror(errno));
		return ret;
	}
	if (r->keep) {
		dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd = openat(dir, KEPT, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
		if (dir >= 0)
			close(dir);
	}
	pool_counters(r->info.pool, &r->before);
	return 0;
}

static void count_file(struct run *r, int dir, const char *name)
{
	struct kvlift_region_info info;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	unsigned int i;

	if (fd < 0)
		return;
	memset(&info, 0, sizeof(info));
	if (!ioctl(fd, KVLIFT_IOC_REGION, &info))
		for (i = 0; i < KVLIFT_NR_TIERS; i++)
			r->blocks[i] += info.blocks[i];
	close(fd);
}

void run_files_end(struct run *r)
{
	DIR *d = opendir(r->dir);
	struct dirent *e;

	pool_counters(r->info.pool, &r->after);
	while (d && (e = readdir(d)))
		if (e->d_type == DT_REG && isdigit((unsigned char)*e->d_name))
			count_file(r, dirfd(d), e->d_name);
	if (d)
		closedir(d);
	if (!r->keep)
		remove_dir(r->dir);
}

static uint64_t more(const struct run *r, const char *name)
{
	return counter_get(&r->after, name) - counter_get(&r->before, name);
}

static void report_json(const struct run *r)
{
	FILE *f = fopen(r->json, "we");
	struct json j;
	unsigned int i;

	if (!f) {
		error("--json %s: %s", r->json, strerror(errno));
		return;
	}
	json_init(&j, f);
	json_open(&j, NULL, '{');
	json_str(&j, "method", r->method);
	json_u64(&j, "processes", r->stats->loaded);
	json_u64(&j, "placed", r->stats->placed);
	json_u64(&j, "placed_bytes", r->stats->bytes);
	json_u64(&j, "peak_bytes", r->stats->peak);
	json_u64(&j, "refused", r->stats->refused);
	json_u64(&j, "refused_bytes", r->stats->refused_bytes);
	json_u64(&j, "faults", more(r, "faults"));
	json_u64(&j, "waits", more(r, "fault_waits"));
	json_u64(&j, "wait_ns", more(r, "fault_wait_ns"));
	json_u64(&j, "promoted", more(r, "promote"));
	json_u64(&j, "demoted", more(r, "demote"));
	json_u64(&j, "read_bytes", more(r, "read_bytes"));
	json_u64(&j, "written_bytes", more(r, "write_bytes"));
	json_open(&j, "blocks", '{');
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		json_u64(&j, kvlift_tier_name(i), r->blocks[i]);
	json_close(&j, '}');
	json_close(&j, '}');
	json_end(&j);
	if (fclose(f))
		error("--json %s: %s", r->json, strerror(errno));
}

static void say_nothing_placed(const struct run *r)
{
	if (!r->stats->loaded)
		error("the program did not load %s, so nothing was placed; try another --method",
		      r->library);
	else if (!strcmp(r->method, "size"))
		error("nothing was placed: no allocation of --min-size %llu bytes or more",
		      (unsigned long long)r->min_size);
	else if (!r->stats->refused)
		error("nothing was placed: no KV cache of ggml was made; try --method size");
}

/* Of the whole pool: others may have used it as well. */
void run_report(const struct run *r)
{
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT], d[SIZE_TEXT];
	uint64_t faults = more(r, "faults"), waits = more(r, "fault_waits");
	const struct run_stats *s = r->stats;
	unsigned int i;

	if (r->json)
		report_json(r);
	if (s->refused)
		error("%s in %llu allocations found no room in the pool",
		      size_text(s->refused_bytes, a),
		      (unsigned long long)s->refused);
	if (!s->placed) {
		say_nothing_placed(r);
		return;
	}
	error("by %s: %s in %llu allocations, at most %s at a time", r->method,
	      size_text(s->bytes, a), (unsigned long long)s->placed,
	      size_text(s->peak, b));
	error("%llu faults, %llu of them waited, %s in all; %llu blocks moved up, %llu down; %s read, %s written",
	      (unsigned long long)faults, (unsigned long long)waits,
	      ns_text(more(r, "fault_wait_ns"), a),
	      (unsigned long long)more(r, "promote"),
	      (unsigned long long)more(r, "demote"),
	      size_text(more(r, "read_bytes"), b),
	      size_text(more(r, "write_bytes"), c));
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		if (r->blocks[i])
			error("at the end in %s: %s", kvlift_tier_name(i),
			      size_text(r->blocks[i] * r->info.block_size, d));
}
