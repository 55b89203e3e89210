// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Processor time until idle, time in a function, counts of tracepoints. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util.h"

#define TRACING	 "/sys/kernel/tracing/"
#define MAX_CPUS 64
#define NAP_NS	 2000000
#define QUIET_NS 60000 /* of a nap, used by timers and the like */
#define QUIET	 6     /* such naps, longer than the slice of an idler */
#define MAX_NAPS 5000

static struct {
	pid_t pid[MAX_CPUS];
	clockid_t clock[MAX_CPUS];
	unsigned int nr;
} idlers;

static void idle_on(int cpu)
{
	const struct sched_param none = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_to(cpu);
	sched_setscheduler(0, SCHED_IDLE, &none);
	for (;;)
		__asm__ volatile("");
}

int meter_open(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long i;

	if (cpus > MAX_CPUS)
		return -E2BIG;
	fflush(NULL);
	for (i = 0; i < cpus; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			int ret = -errno;

			meter_close();
			return ret;
		}
		if (!pid)
			idle_on((int)i);
		idlers.pid[idlers.nr] = pid;
		clock_getcpuclockid(pid, &idlers.clock[idlers.nr++]);
	}
	meter_settle();
	return 0;
}

void meter_close(void)
{
	while (idlers.nr) {
		kill(idlers.pid[--idlers.nr], SIGKILL);
		waitpid(idlers.pid[idlers.nr], NULL, 0);
	}
}

static struct meter look(void)
{
	struct meter m = { 0 };
	struct timespec t;
	unsigned int i;

	for (i = 0; i < idlers.nr; i++) {
		clock_gettime(idlers.clock[i], &t);
		m.idle += (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	}
	m.wall = now_ns() * idlers.nr;
	return m;
}

static uint64_t used(const struct meter *from, const struct meter *to)
{
	uint64_t wall = to->wall - from->wall, idle = to->idle - from->idle;

	return wall > idle ? wall - idle : 0;
}

void meter_start(struct meter *m)
{
	*m = look();
}

/*
 * Naps that find nothing to do do not count. One is not the end: also a task of
 * SCHED_IDLE has a slice now and then while others are waiting.
 */
uint64_t meter_stop(const struct meter *m)
{
	struct meter before = look(), after;
	uint64_t sum = used(m, &before), busy;
	unsigned int i, quiet = 0;

	for (i = 0; i < MAX_NAPS && quiet < QUIET; i++) {
		bench_nap(NAP_NS);
		after = look();
		busy = used(&before, &after);
		if (busy < QUIET_NS * idlers.nr) {
			quiet++;
		} else {
			quiet = 0;
			sum += busy;
		}
		before = after;
	}
	return sum;
}

void meter_settle(void)
{
	struct meter m;

	meter_start(&m);
	meter_stop(&m);
}

/* Two instructions a turn: a clock of 1 ns per instruction gives it away. */
bool clock_is_instructions(void)
{
	uint64_t best = UINT64_MAX, n, start;
	int i;

	for (i = 0; i < 5; i++) {
		start = now_ns();
		n = 1000000;
		__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n));
		n = now_ns() - start;
		if (n < best)
			best = n;
	}
	return best > 1980000 && best < 2040000;
}

int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

static const char *graphed;

int graph_start(const char *function)
{
	int ret;

	graphed = function;
	ret = write_text(TRACING "current_tracer", "nop");
	if (!ret)
		ret = write_text(TRACING "set_ftrace_filter", function);
	if (!ret)
		ret = write_text(TRACING "current_tracer", "function_graph");
	if (!ret)
		ret = write_text(TRACING "tracing_on", "1");
	/* Opening it for writing empties it. */
	if (!ret)
		ret = write_text(TRACING "trace", "\n");
	if (ret)
		error("function_graph of %s: %s", function, strerror(-ret));
	return ret;
}

/* " 0) + 25.537 us   |  folio_mc_copy();" */
static double duration_us(const char *line)
{
	const char *us = strstr(line, " us ");
	const char *p = us;

	if (!us)
		return -1;
	while (p > line && ((p[-1] >= '0' && p[-1] <= '9') || p[-1] == '.'))
		p--;
	return p == us ? -1 : strtod(p, NULL);
}

int graph_stop(uint64_t least, double *ns, uint64_t *calls)
{
	char line[512];
	double us;
	FILE *f;

	write_text(TRACING "tracing_on", "0");
	*calls = 0;
	*ns = HUGE_VAL;
	f = fopen(TRACING "trace", "re");
	while (f && fgets(line, sizeof(line), f)) {
		us = duration_us(line);
		if (us < 0)
			continue;
		*ns = fmin(*ns, us * 1000);
		++*calls;
	}
	if (f)
		fclose(f);
	write_text(TRACING "current_tracer", "nop");
	write_text(TRACING "set_ftrace_filter", "\n");
	write_text(TRACING "tracing_on", "1");
	if (!*calls)
		*ns = 0;
	if (*calls >= least)
		return 0;
	error("%llu calls of %s, not %llu", (unsigned long long)*calls, graphed,
	      (unsigned long long)least);
	return -ENODATA;
}

int tpcount_open(struct tpcount *t, const char *system, const char *event,
		 const char *filter)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
	};
	char path[256], text[32] = "";
	int fd, ret = 0;
	long i;

	t->nr = 0;
	snprintf(path, sizeof(path), TRACING "events/%s/%s/id", system, event);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (read(fd, text, sizeof(text) - 1) < 1)
		ret = -EIO;
	close(fd);
	attr.config = strtoull(text, NULL, 10);
	for (i = 0; i < cpus && i < MAX_CPUS && !ret; i++) {
		fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)i, -1,
				  PERF_FLAG_FD_CLOEXEC);
		if (fd < 0)
			ret = -errno;
		else
			t->fd[t->nr++] = fd;
		if (!ret && filter &&
		    ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter))
			ret = -errno;
	}
	if (ret)
		tpcount_close(t);
	return ret;
}

uint64_t tpcount_read(const struct tpcount *t)
{
	uint64_t sum = 0, n;
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		if (read(t->fd[i], &n, sizeof(n)) == sizeof(n))
			sum += n;
	return sum;
}

void tpcount_close(struct tpcount *t)
{
	while (t->nr)
		close(t->fd[--t->nr]);
}
