// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The driver of the unit tests (tests/unit/fake_cuda.c) as the device. What it
 * measures is of the host and says nothing; that it counts what a real driver
 * would have refused is the use of it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../userlib/src/gpu_cuda.h"
#include "../unit/fake_cuda.h"
#include "dev.h"
#include "pattern.h"

static struct kvl_cu cu;
static struct fake_cuda *fake;
static kvl_cu_stream stream[2];

/* The negative control: a bit of the first block that is looked at is wrong. */
static void spoil(const uint64_t *addrs)
{
	static bool done;

	if (!done && getenv("KVT_FAKE_BREAK"))
		*(uint64_t *)(uintptr_t)addrs[0] ^= 1ull << 40;
	done = true;
}

static void check(kvl_cu_result r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "%s: result %d\n", what, r);
	exit(1);
}

/* At the end: nothing was done that only happens to work here. */
static void look(void)
{
	if (!fake->wrong)
		return;
	fprintf(stderr, "%u calls that a real driver would have refused\n",
		fake->wrong);
	fflush(NULL);
	_exit(1);
}

bool dev_open(int device)
{
	const char *path = getenv("KVT_FAKE_CUDA");
	void *lib = dlopen(path ? path : "libcuda.so.1", RTLD_NOW);
	kvl_cu_get_proc get;
	fake_cuda_get_fn *control;
	kvl_cu_device number;
	kvl_cu_ctx ctx;
	unsigned int i;

	control = lib ? (fake_cuda_get_fn *)dlsym(lib, "fake_cuda_get") : NULL;
	get = lib ? (kvl_cu_get_proc)dlsym(lib, "cuGetProcAddress_v2") : NULL;
	if (!control || !get) {
		fprintf(stderr, "no fake driver: %s\n",
			lib ? "that is another one" : dlerror());
		return false;
	}
	fake = control();
	fake->driver = 13000;
	fake->room = 1u << 30;
#define FIND(member, name, version, args)                                  \
	get(name, (void **)&cu.member, version, KVL_CU_PROC_LEGACY_STREAM, \
	    &(int){ 0 });
	KVL_CU_CALLS(FIND)
#undef FIND
	check(cu.init(0), "init");
	check(cu.device_get(&number, device), "device");
	check(cu.ctx_retain(&ctx, number), "context");
	check(cu.ctx_set(ctx), "context");
	for (i = 0; i < 2; i++)
		check(cu.stream_create(&stream[i], KVL_CU_STREAM_NON_BLOCKING),
		      "stream");
	atexit(look);
	return true;
}

const char *dev_name(void)
{
	return "the unit tests' driver over memory of the host";
}

bool dev_is_real(void)
{
	return false;
}

uint64_t dev_free_bytes(void)
{
	return fake->room;
}

uint64_t dev_alloc(size_t bytes)
{
	kvl_cu_ptr p;

	check(cu.mem_alloc(&p, bytes), "mem_alloc");
	return p;
}

void dev_free(uint64_t at)
{
	check(cu.mem_free(at), "mem_free");
}

void *dev_alloc_pinned(size_t bytes)
{
	void *p = aligned_alloc(4096, bytes);

	if (!p || !dev_register(p, bytes))
		abort();
	return p;
}

void dev_free_pinned(void *at, size_t bytes)
{
	dev_unregister(at);
	free(at);
}

bool dev_register(void *at, size_t bytes)
{
	return !cu.host_register(at, bytes, KVL_CU_MEMHOSTREGISTER_DEVICEMAP);
}

void dev_unregister(void *at)
{
	check(cu.host_unregister(at), "host_unregister");
}

void dev_copy(enum dev_dir dir, uint64_t device, void *host, size_t bytes)
{
	uint64_t h = (uintptr_t)host;

	check(cu.copy(dir == DEV_IN ? device : h, dir == DEV_IN ? h : device,
		      bytes, stream[dir]),
	      "copy");
}

void dev_sync(void)
{
	check(cu.stream_sync(stream[DEV_IN]), "stream_sync");
	check(cu.stream_sync(stream[DEV_OUT]), "stream_sync");
}

void *dev_alloc_managed(size_t bytes)
{
	return NULL;
}

void dev_free_managed(void *at)
{
}

bool dev_prefetch(void *at, size_t bytes, enum dev_dir to)
{
	return false;
}

void dev_fill(const uint64_t *addrs, uint64_t first, size_t count, size_t block,
	      uint64_t seed)
{
	size_t i, w;

	for (i = 0; i < count; i++) {
		uint64_t *p = (uint64_t *)(uintptr_t)addrs[i];
		uint64_t b = pattern_block(seed, first + i);

		for (w = 0; w < block / 8; w++)
			p[w] = pattern_word(b, w);
	}
}

uint64_t dev_wrong(const uint64_t *addrs, uint64_t first, size_t count,
		   size_t block, uint64_t seed)
{
	uint64_t wrong = 0;
	size_t i, w;

	spoil(addrs);
	for (i = 0; i < count; i++) {
		const uint64_t *p = (const uint64_t *)(uintptr_t)addrs[i];
		uint64_t b = pattern_block(seed, first + i);

		for (w = 0; w < block / 8; w++)
			wrong += p[w] != pattern_word(b, w);
	}
	return wrong;
}

void dev_poison(uint64_t at, size_t bytes)
{
	memset((void *)(uintptr_t)at, 0xa5, bytes);
}
