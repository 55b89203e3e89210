// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "bench_damon.h"
#include "util.h"

#define ADMIN	"/sys/kernel/mm/damon/admin/kdamonds"
#define CONTEXT ADMIN "/0/contexts/0"
/* Buffers of our own. */
#define TRACING "/sys/kernel/tracing/instances/kvlift-bench"

static int set(const char *file, const char *text)
{
	int ret = write_text(file, text);

	if (ret)
		error("DAMON: %s: %s", file, strerror(-ret));
	return ret;
}

static int set_number(const char *file, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return set(file, text);
}

/* Its own splitting and merging would move their bounds. */
static int set_regions(const struct damon *d)
{
	char path[160];
	size_t i;
	int ret;

	ret = set_number(CONTEXT "/targets/0/regions/nr_regions", d->nr);
	for (i = 0; i < d->nr && !ret; i++) {
		snprintf(path, sizeof(path),
			 CONTEXT "/targets/0/regions/%zu/start", i);
		ret = set_number(path, d->start + i * d->block);
		snprintf(path, sizeof(path),
			 CONTEXT "/targets/0/regions/%zu/end", i);
		ret = ret ?: set_number(path, d->start + (i + 1) * d->block);
	}
	return ret;
}

static int set_up(struct damon *d)
{
	const char *attrs = CONTEXT "/monitoring_attrs";
	uint64_t us = d->sample_ns / 1000;
	char path[160];
	unsigned int i;
	int ret;
	const struct {
		const char *file;
		uint64_t value;
	} numbers[] = {
		{ "intervals/sample_us", us },
		{ "intervals/aggr_us", us },
		{ "intervals/update_us", 1000 * us },
		{ "nr_regions/max", d->nr > 10 ? d->nr : 10 },
		{ "nr_regions/min", d->nr },
	};

	ret = set(ADMIN "/nr_kdamonds", "1");
	ret = ret ?: set(ADMIN "/0/contexts/nr_contexts", "1");
	ret = ret ?: set(CONTEXT "/operations", "fvaddr");
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !ret; i++) {
		snprintf(path, sizeof(path), "%s/%s", attrs, numbers[i].file);
		ret = set_number(path, numbers[i].value);
	}
	ret = ret ?: set(CONTEXT "/targets/nr_targets", "1");
	ret = ret
		      ?: set_number(CONTEXT "/targets/0/pid_target",
				    (uint64_t)getpid());
	return ret ?: set_regions(d);
}

static int read_pid(void)
{
	FILE *f = fopen(ADMIN "/0/pid", "re");
	int pid = -1;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = -1;
	if (f)
		fclose(f);
	return pid;
}

int damon_start(struct damon *d, const void *map, size_t block, size_t nr,
		double sample_s)
{
	int ret;

	*d = (struct damon){
		.start = (uintptr_t)map,
		.block = block,
		.nr = nr,
		.sample_ns = (uint64_t)(sample_s * 1e9),
	};
	ret = set_up(d);
	ret = ret ?: set(ADMIN "/0/state", "on");
	if (!ret) {
		d->pid = read_pid();
		if (d->pid < 0)
			ret = -ESRCH;
	}
	if (ret)
		damon_stop(d);
	return ret;
}

void damon_stop(struct damon *d)
{
	if (d->trace)
		fclose(d->trace);
	d->trace = NULL;
	rmdir(TRACING);
	write_text(ADMIN "/0/state", "off");
	write_text(ADMIN "/nr_kdamonds", "0");
}

uint64_t damon_cpu_ns(const struct damon *d)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", d->pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	if (f)
		fclose(f);
	return ns;
}

int damon_listen(struct damon *d)
{
	int fd, ret = 0;

	if (mkdir(TRACING, 0700) && errno != EEXIST)
		ret = -errno;
	ret = ret ?: set(TRACING "/buffer_size_kb", "16384");
	ret = ret ?: set(TRACING "/events/damon/damon_aggregated/enable", "1");
	ret = ret ?: set(TRACING "/tracing_on", "1");
	if (ret)
		return ret;
	fd = open(TRACING "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	d->trace = fd < 0 ? NULL : fdopen(fd, "r");
	return d->trace ? 0 : -errno;
}

/* "... nr_regions=3 139637-139638: 1 0" */
static bool note(struct damon *d, const char *line, bool *hot, size_t *seen)
{
	const char *p = strstr(line, "nr_regions=");
	unsigned long long from, to;
	unsigned int accesses;

	if (!p || sscanf(p, "nr_regions=%*u %llu-%llu: %u", &from, &to,
			 &accesses) != 3)
		return false;
	++*seen;
	for (; hot && accesses && from < to; from += d->block)
		if (from >= d->start && (from - d->start) / d->block < d->nr)
			hot[(from - d->start) / d->block] = true;
	return true;
}

int damon_next(struct damon *d, bool *hot)
{
	uint64_t end = now_ns() + 20 * d->sample_ns;
	size_t seen = 0;
	char line[512];

	if (hot)
		memset(hot, 0, d->nr * sizeof(*hot));
	while (seen < d->nr) {
		clearerr(d->trace);
		if (fgets(line, sizeof(line), d->trace)) {
			note(d, line, hot, &seen);
		} else if (now_ns() > end) {
			error("DAMON told of %zu regions of %zu", seen, d->nr);
			return -ETIME;
		} else {
			bench_nap(d->sample_ns / 100);
		}
	}
	return 0;
}
