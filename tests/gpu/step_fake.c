// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The example engine's device over the unit tests' driver: the CPU computes,
 * but later, in a stream of that driver, as a GPU does. So leases have to wait
 * for the stream, or outputs are wrong: KVT_FAKE_EARLY has them not wait, as a
 * control.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../examples/gpu_step/step.h"
#include "../../userlib/src/gpu_cuda.h"
#include "../unit/fake_cuda.h"

/* The layers before it have been asked for, and more, when one begins. */
#define LATE_US 3000

struct device {
	struct shape shape;
	struct device *cpu;
	struct kvl_cu cu;
	struct fake_cuda *fake;
	fake_cuda_launch_fn *launch;
	fake_cuda_stream_fn *new_stream;
	fake_cuda_end_stream_fn *end_stream;
	void *stream, *idle;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

struct work {
	struct device *d;
	unsigned int layer, tokens, step;
	uint64_t at, index;
	bool done;
	uint64_t table[];
};

static struct device *fake_open(int number, const struct shape *s)
{
	const char *path = getenv("KVT_FAKE_CUDA");
	void *lib = dlopen(path ? path : "libcuda.so.1", RTLD_NOW);
	struct device *d = calloc(1, sizeof(*d));
	fake_cuda_get_fn *control;
	kvl_cu_get_proc get;
	kvl_cu_ctx ctx;

	control = lib ? (fake_cuda_get_fn *)dlsym(lib, "fake_cuda_get") : NULL;
	get = lib ? (kvl_cu_get_proc)dlsym(lib, "cuGetProcAddress_v2") : NULL;
	if (!d || !control || !get) {
		fprintf(stderr, "no fake driver: %s\n",
			lib ? "that is another one" : dlerror());
		free(d);
		return NULL;
	}
	d->shape = *s;
	d->cpu = device_cpu.open(number, s);
	d->fake = control();
	d->fake->driver = 13000;
	d->fake->room = 1u << 30;
#define FIND(member, name, version, args)                                     \
	get(name, (void **)&d->cu.member, version, KVL_CU_PROC_LEGACY_STREAM, \
	    &(int){ 0 });
	KVL_CU_CALLS(FIND)
#undef FIND
	d->launch = (fake_cuda_launch_fn *)dlsym(lib, "fake_cuda_launch");
	d->new_stream = (fake_cuda_stream_fn *)dlsym(lib, "fake_cuda_stream");
	d->end_stream =
		(fake_cuda_end_stream_fn *)dlsym(lib, "fake_cuda_end_stream");
	d->cu.ctx_retain(&ctx, 0);
	d->cu.ctx_set(ctx);
	d->stream = d->new_stream();
	d->idle = d->new_stream();
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	return d;
}

static void fake_close(struct device *d)
{
	d->end_stream(d->stream);
	d->end_stream(d->idle);
	device_cpu.close(d->cpu);
	if (d->fake->wrong) {
		fprintf(stderr,
			"%u calls that a real driver would have refused\n",
			d->fake->wrong);
		exit(1);
	}
	free(d);
}

static const char *fake_name(struct device *d)
{
	return "CPU, in a stream of the unit tests' driver";
}

static uint64_t fake_alloc(struct device *d, size_t bytes)
{
	kvl_cu_ptr p;

	return d->cu.mem_alloc(&p, bytes) ? 0 : p;
}

static void fake_free(struct device *d, uint64_t at)
{
	d->cu.mem_free(at);
}

static uint64_t fake_stream(struct device *d)
{
	return (uintptr_t)(getenv("KVT_FAKE_EARLY") ? d->idle : d->stream);
}

/* Registered memory is elsewhere on the device: where no program has any. */
static uint64_t on_host(uint64_t at)
{
	return at >> 47 ? at - FAKE_CUDA_BIAS : at;
}

static struct work *new_work(struct device *d, size_t entries)
{
	struct work *w = calloc(1, sizeof(*w) + entries * sizeof(w->table[0]));

	if (!w)
		abort();
	w->d = d;
	return w;
}

static void do_fill(void *arg)
{
	struct work *w = arg;

	device_cpu.fill(w->d->cpu, w->at, w->index);
	free(w);
}

static void fake_fill(struct device *d, uint64_t at, uint64_t index)
{
	struct work *w = new_work(d, 0);

	w->at = on_host(at);
	w->index = index;
	d->launch(d->stream, do_fill, w);
}

static void do_begin(void *arg)
{
	struct work *w = arg;

	device_cpu.begin(w->d->cpu, w->step);
	free(w);
}

static void fake_begin(struct device *d, unsigned int step)
{
	struct work *w = new_work(d, 0);

	w->step = step;
	d->launch(d->stream, do_begin, w);
}

static void do_attend(void *arg)
{
	struct work *w = arg;

	usleep(LATE_US);
	device_cpu.attend(w->d->cpu, w->layer, w->tokens, w->table);
	free(w);
}

static void fake_attend(struct device *d, unsigned int layer,
			unsigned int tokens, const uint64_t *table)
{
	size_t entries = (size_t)d->shape.seqs * d->shape.blocks, i;
	struct work *w = new_work(d, entries);

	w->layer = layer;
	w->tokens = tokens;
	for (i = 0; i < entries; i++)
		w->table[i] = on_host(table[i]);
	d->launch(d->stream, do_attend, w);
}

static void do_end(void *arg)
{
	struct work *w = arg;
	struct device *d = w->d;

	pthread_mutex_lock(&d->lock);
	w->done = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void fake_end(struct device *d, float *out)
{
	struct work *w = new_work(d, 0);

	d->launch(d->stream, do_end, w);
	pthread_mutex_lock(&d->lock);
	while (!w->done)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
	free(w);
	device_cpu.end(d->cpu, out);
}

const struct device_ops device_cuda = {
	.backend = KVLIFT_GPU_CUDA,
	.open = fake_open,
	.close = fake_close,
	.name = fake_name,
	.alloc = fake_alloc,
	.free = fake_free,
	.stream = fake_stream,
	.fill = fake_fill,
	.begin = fake_begin,
	.attend = fake_attend,
	.end = fake_end,
};
