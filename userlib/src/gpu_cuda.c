// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The CUDA backend: memory, registration, events. Its streams do not
 * synchronise with the default stream, and nothing is created once it is open.
 *
 * The primary context is current in the mover and in the thread that registers;
 * an application's thread gets it for the time of a call.
 */
#include <stdlib.h>
#include <string.h>

#include "gpu_cuda.h"
#include "internal.h"

/* Without this a call spoils the capture that another thread has begun. */
static void exchange_capture(struct kvl_cuda *c, int *mode)
{
	if (c->cu.capture)
		c->cu.capture(mode);
}

int kvl_cuda_push(struct kvl_cuda *c, int *mode)
{
	kvl_cu_result r = c->cu.ctx_push(c->ctx);

	*mode = KVL_CU_CAPTURE_RELAXED;
	if (!r)
		exchange_capture(c, mode);
	return kvl_cu_error(r);
}

void kvl_cuda_pop(struct kvl_cuda *c, int mode)
{
	kvl_cu_ctx old;

	exchange_capture(c, &mode);
	c->cu.ctx_pop(&old);
}

static int enter(struct kvl_gpu_backend *be)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	int mode = KVL_CU_CAPTURE_RELAXED;

	if (c->cu.ctx_set(c->ctx))
		return -EIO;
	exchange_capture(c, &mode);
	return 0;
}

/* Is it all of this device? Looked at its ends. */
static int check_memory(struct kvl_cuda *c, const struct kvlift_gpu_opts *opts)
{
	const kvl_cu_ptr ends[2] = { opts->memory,
				     opts->memory + c->be.bytes - 1 };
	unsigned int type, i;
	int device;

	for (i = 0; i < 2; i++) {
		type = 0;
		device = -1;
		if (c->cu.pointer_attr(&type, KVL_CU_POINTER_MEMORY_TYPE,
				       ends[i]) ||
		    c->cu.pointer_attr(&device, KVL_CU_POINTER_DEVICE_ORDINAL,
				       ends[i]) ||
		    type != KVL_CU_MEMORYTYPE_DEVICE || device != opts->device)
			return -EFAULT;
	}
	return 0;
}

static int open_memory(struct kvl_cuda *c, const struct kvlift_gpu_opts *opts)
{
	kvl_cu_result r;

	if (opts->memory) {
		c->be.base = opts->memory;
		return check_memory(c, opts);
	}
	r = c->cu.mem_alloc(&c->memory, c->be.bytes);
	if (r) {
		c->memory = 0;
		return kvl_cu_error(r);
	}
	c->be.base = c->memory;
	return 0;
}

static kvl_cu_result create_events(struct kvl_cuda *c, kvl_cu_event *events,
				   unsigned int count)
{
	kvl_cu_result r = KVL_CU_SUCCESS;
	unsigned int i;

	for (i = 0; i < count && !r; i++) {
		r = c->cu.event_create(&events[i], KVL_CU_EVENT_DISABLE_TIMING);
		if (r)
			events[i] = NULL;
	}
	return r;
}

/*
 * Thread blocks of the copy kernel go before those of the application that
 * wait; none that runs makes room for them. A copy engine knows no priorities.
 */
static kvl_cu_result create_stream(struct kvl_cuda *c, unsigned int dir)
{
	int least, greatest;

	if (dir != KVL_GPU_PEER && c->cu.stream_priority &&
	    c->cu.priority_range && !c->cu.priority_range(&least, &greatest) &&
	    !c->cu.stream_priority(&c->stream[dir], KVL_CU_STREAM_NON_BLOCKING,
				   greatest))
		return KVL_CU_SUCCESS;
	return c->cu.stream_create(&c->stream[dir], KVL_CU_STREAM_NON_BLOCKING);
}

static int open_streams(struct kvl_cuda *c)
{
	kvl_cu_result r = KVL_CU_SUCCESS;
	unsigned int dir;

	for (dir = 0; dir < KVL_GPU_DIRS && !r; dir++) {
		r = create_stream(c, dir);
		if (r)
			c->stream[dir] = NULL;
	}
	if (!r)
		r = create_events(c, c->tags, KVL_GPU_DIRS * KVL_GPU_FLIGHTS);
	if (!r)
		r = create_events(c, c->marks, KVLIFT_GPU_MARKS);
	return kvl_cu_error(r);
}

static int open_device(struct kvl_cuda *c, const struct kvlift_gpu_opts *opts)
{
	int value = 0, ret;
	kvl_cu_result r;

	ret = kvl_cu_load(&c->cu);
	if (ret)
		return ret;
	c->be.driver = (unsigned int)c->cu.driver;
	c->be.path = c->be.needs_register && (c->cu.batch13 || c->cu.batch12)
			     ? KVLIFT_GPU_PATH_BATCH
			     : KVLIFT_GPU_PATH_ASYNC;
	r = c->cu.device_get(&c->device, opts->device);
	if (r)
		return -ENODEV;
	if (!c->cu.device_attr(&value, KVL_CU_ATTR_PAGEABLE_MEMORY_ACCESS,
			       c->device))
		c->is_pageable = value;
	r = c->cu.ctx_retain(&c->ctx, c->device);
	c->has_ctx = !r;
	return kvl_cu_error(r);
}

static void destroy_events(struct kvl_cuda *c, kvl_cu_event *events,
			   unsigned int count)
{
	while (count)
		if (events[--count])
			c->cu.event_destroy(events[count]);
}

/* With the context current: errors change nothing any more. */
static void close_context(struct kvl_cuda *c)
{
	unsigned int dir;
	size_t i;

	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		if (c->stream[dir])
			c->cu.stream_sync(c->stream[dir]);
	for (i = 0; i < c->nr_pieces; i++)
		if (c->piece[i])
			c->cu.host_unregister(c->be.window + i * KVL_GPU_PIECE);
	destroy_events(c, c->marks, KVLIFT_GPU_MARKS);
	destroy_events(c, c->tags, KVL_GPU_DIRS * KVL_GPU_FLIGHTS);
	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		if (c->stream[dir])
			c->cu.stream_destroy(c->stream[dir]);
	if (c->module)
		c->cu.module_unload(c->module);
	if (c->memory)
		c->cu.mem_free(c->memory);
}

static void close_cuda(struct kvl_gpu_backend *be)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	int mode;

	if (c->has_ctx) {
		if (!kvl_cuda_push(c, &mode)) {
			close_context(c);
			kvl_cuda_pop(c, mode);
		}
		c->cu.ctx_release(c->device);
	}
	free(c->piece);
	free(c);
}

static int open_cuda(const struct kvlift_gpu_opts *opts, size_t block,
		     uint64_t bytes, struct kvl_gpu_backend **be)
{
	struct kvl_cuda *c = calloc(1, sizeof(*c));
	int ret, mode;

	if (!c)
		return -ENOMEM;
	c->be = (struct kvl_gpu_backend){
		.ops = &kvl_gpu_cuda,
		.bytes = bytes,
		.block = block,
		.flights = KVL_GPU_FLIGHTS,
		.needs_register = !(opts->flags & KVLIFT_GPU_NO_REGISTER),
		.batch = { 1, 1, 1 },
	};
	c->no_kernel = opts->flags & KVLIFT_GPU_NO_KERNEL;
	/* Half of a deadline. */
	c->patience_ns = (opts->deadline_ms ? opts->deadline_ms
					    : KVLIFT_MOVER_DEADLINE_MS) *
			 500000ull;
	/* The largest that a window can be. */
	c->nr_pieces = KVLIFT_MOVER_WINDOW_MAX * block / KVL_GPU_PIECE + 1;
	c->piece = calloc(c->nr_pieces, sizeof(*c->piece));
	ret = c->piece ? open_device(c, opts) : -ENOMEM;
	if (!ret)
		ret = kvl_cuda_push(c, &mode);
	if (!ret) {
		ret = open_memory(c, opts);
		if (!ret)
			ret = open_streams(c);
		kvl_cuda_pop(c, mode);
	}
	if (ret)
		close_cuda(&c->be);
	else
		*be = &c->be;
	return ret;
}

static int add_window(struct kvl_gpu_backend *be, size_t offset, size_t bytes)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	char *at = be->window + offset;
	kvl_cu_ptr ptr = 0;
	kvl_cu_result r;
	int ret, mode;

	ret = kvl_cuda_push(c, &mode);
	if (ret)
		return ret;
	r = c->cu.host_register(at, bytes, KVL_CU_MEMHOSTREGISTER_DEVICEMAP);
	if (!r) {
		r = c->cu.host_pointer(&ptr, at, 0);
		if (r)
			c->cu.host_unregister(at);
	}
	kvl_cuda_pop(c, mode);
	if (!r)
		__atomic_store_n(&c->piece[offset / KVL_GPU_PIECE], ptr,
				 __ATOMIC_RELEASE);
	return kvl_cu_error(r);
}

static uint64_t window_address(struct kvl_gpu_backend *be, size_t offset)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	kvl_cu_ptr ptr = __atomic_load_n(&c->piece[offset / KVL_GPU_PIECE],
					 __ATOMIC_ACQUIRE);

	if (ptr)
		return ptr + offset % KVL_GPU_PIECE;
	/* Some devices use any memory of the host. */
	return c->is_pageable ? kvl_ptr(be->window + offset) : 0;
}

/*
 * What is recorded while a stream is captured becomes a part of the graph: the
 * event would tell of an error, and not of the work.
 */
static int record(struct kvl_cuda *c, kvl_cu_event event, kvl_cu_stream stream)
{
	kvl_cu_result r = KVL_CU_SUCCESS;
	int status = 0;

	if (c->cu.capturing)
		r = c->cu.capturing(stream, &status);
	if (!r && status)
		return -EBUSY;
	if (!r)
		r = c->cu.event_record(event, stream);
	return kvl_cu_error(r);
}

static int mark(struct kvl_gpu_backend *be, unsigned int nr, uint64_t stream)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	int ret, mode;

	ret = kvl_cuda_push(c, &mode);
	if (ret)
		return ret;
	ret = record(c, c->marks[nr], (void *)(uintptr_t)stream);
	kvl_cuda_pop(c, mode);
	return ret;
}

static int marked(struct kvl_gpu_backend *be, unsigned int nr)
{
	struct kvl_cuda *c = (struct kvl_cuda *)be;
	kvl_cu_result r = c->cu.event_query(c->marks[nr]);

	if (r == KVL_CU_NOT_READY)
		return 0;
	return r ? -EIO : 1;
}

const struct kvl_gpu_ops kvl_gpu_cuda = {
	.open = open_cuda,
	.close = close_cuda,
	.enter = enter,
	.add_window = add_window,
	.tune = kvl_cuda_tune,
	.peer = kvl_cuda_peer,
	.copy = kvl_cuda_copy,
	.poll = kvl_cuda_poll,
	.window_address = window_address,
	.mark = mark,
	.marked = marked,
};
