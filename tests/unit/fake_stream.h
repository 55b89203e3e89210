/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The devices of fake_cuda.c: what memory they have and reach, and streams,
 * which are threads. Included by that file only.
 */
#ifndef FAKE_STREAM_H
#define FAKE_STREAM_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_cuda.h"
#include "fake_ptx.h"

#define MOST 64u

struct work {
	struct work *next;
	void (*fn)(void *arg);
	void *arg;
	struct event *event;
	void *dst;
	const void *src;
	size_t bytes;
	unsigned int us; /* it takes so much longer */
	struct launch *launch;
};

struct stream {
	pthread_t thread;
	int device, priority;
	struct work *first, **last;
	bool busy, stop;
};

struct event {
	unsigned int pending;
	bool failed;
};

/* A kernel on its way, with a copy of its parameters. */
struct launch {
	const struct ptx *kernel;
	unsigned int grid, threads, us;
	char params[4096];
};

static struct fake_cuda control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
	char *at;
	size_t bytes;
	int device;
} allocated[MOST], registered[MOST];
static unsigned int copying; /* copies that have not ended */

/* Memory of a device, which is what was allocated; or -1. Needs the lock. */
static int device_at(uint64_t ptr, size_t bytes)
{
	unsigned int i;

	for (i = 0; i < MOST; i++)
		if (allocated[i].at && ptr >= (uintptr_t)allocated[i].at &&
		    ptr + bytes <=
			    (uintptr_t)allocated[i].at + allocated[i].bytes)
			return allocated[i].device;
	return -1;
}

/* Of any of them. Needs the lock. */
static bool is_device(uint64_t ptr, size_t bytes)
{
	return device_at(ptr, bytes) >= 0;
}

/* Needs the lock. */
static bool is_registered(uint64_t ptr, size_t bytes)
{
	unsigned int i;

	for (i = 0; i < MOST; i++)
		if (registered[i].at && ptr >= (uintptr_t)registered[i].at &&
		    ptr + bytes <=
			    (uintptr_t)registered[i].at + registered[i].bytes)
			return true;
	return false;
}

/* It reaches memory of devices, and the host's where the device has it mapped. */
static void run_kernel(const struct launch *l)
{
	const struct timespec pause = { 0, 1000000 };
	struct timespec t = { 0, l->us * 1000L };
	struct ptx_range ranges[2 * MOST];
	unsigned int i, n = 0;

	if (t.tv_nsec)
		nanosleep(&t, NULL);
	while (__atomic_load_n(&control.held, __ATOMIC_RELAXED))
		nanosleep(&pause, NULL);
	pthread_mutex_lock(&lock);
	for (i = 0; i < MOST; i++) {
		if (allocated[i].at)
			ranges[n++] =
				(struct ptx_range){ (uintptr_t)allocated[i].at,
						    allocated[i].bytes,
						    allocated[i].at };
		if (registered[i].at)
			ranges[n++] = (struct ptx_range){
				(uintptr_t)registered[i].at + FAKE_CUDA_BIAS,
				registered[i].bytes, registered[i].at
			};
	}
	pthread_mutex_unlock(&lock);
	if (ptx_run(l->kernel, l->params, l->grid, l->threads, ranges, n))
		return;
	pthread_mutex_lock(&lock);
	control.wrong++;
	control.dies = true;
	pthread_mutex_unlock(&lock);
}

static void run(struct work *w)
{
	struct timespec t = { 0, (control.slow_us + w->us) * 1000L };

	if (w->launch) {
		run_kernel(w->launch);
		free(w->launch);
	} else if (w->fn) {
		w->fn(w->arg);
	} else if (w->dst) {
		if (t.tv_nsec)
			nanosleep(&t, NULL);
		memcpy(w->dst, w->src, w->bytes);
	}
}

static void *worker(void *arg)
{
	struct stream *s = arg;
	struct work *w;

	pthread_mutex_lock(&lock);
	for (;;) {
		w = s->first;
		if (!w) {
			if (s->stop)
				break;
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		s->first = w->next;
		if (!s->first)
			s->last = &s->first;
		s->busy = true;
		pthread_mutex_unlock(&lock);
		run(w);
		pthread_mutex_lock(&lock);
		if (w->event) {
			w->event->pending--;
			w->event->failed = control.dies;
		}
		copying -= w->dst || w->launch;
		s->busy = false;
		free(w);
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static struct stream *new_stream(void)
{
	struct stream *s = calloc(1, sizeof(*s));

	s->last = &s->first;
	pthread_create(&s->thread, NULL, worker, s);
	return s;
}

static void end_stream(struct stream *s)
{
	pthread_mutex_lock(&lock);
	s->stop = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(s->thread, NULL);
	free(s);
}

/* Needs the lock. */
static void add(struct stream *s, const struct work *work)
{
	struct work *w = malloc(sizeof(*w));

	*w = *work;
	w->next = NULL;
	*s->last = w;
	s->last = &w->next;
	pthread_cond_broadcast(&changed);
}

#endif
