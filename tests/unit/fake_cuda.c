// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * A libcuda.so.1 for tests: the calls that userlib/src/gpu_cuda*.c makes, over
 * memory of the host. Streams are threads, so that copies end later than they
 * begin. It is stricter than the real one where that only breaks now and then:
 * a copy that runs over the end of a registration, a thread without a context
 * or with that of another device, work in the default stream.
 */
#include "../../userlib/src/gpu_cuda.h"
#include "fake_cuda.h"
#include "fake_stream.h"

#define INVALID_CONTEXT 201
#define UNKNOWN		999

/* The address of each is the context of a device. */
static char primary[FAKE_CUDA_DEVICES];
/* Of a thread: the number of the device whose context is current, from 1. */
static __thread int current, below, capture_mode;

struct fake_cuda *fake_cuda_get(void);
struct fake_cuda *fake_cuda_get(void)
{
	return &control;
}

void *fake_cuda_stream(void);
void *fake_cuda_stream(void)
{
	return new_stream();
}

void fake_cuda_end_stream(void *stream);
void fake_cuda_end_stream(void *stream)
{
	end_stream(stream);
}

void fake_cuda_launch(void *stream, void (*fn)(void *), void *arg);
void fake_cuda_launch(void *stream, void (*fn)(void *), void *arg)
{
	const struct work w = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&lock);
	add(stream, &w);
	pthread_mutex_unlock(&lock);
}

/* Every call that needs a context begins so. */
static kvl_cu_result begin(void)
{
	pthread_mutex_lock(&lock);
	if (current)
		return KVL_CU_SUCCESS;
	control.wrong++;
	pthread_mutex_unlock(&lock);
	return INVALID_CONTEXT;
}

static kvl_cu_result end(kvl_cu_result r)
{
	pthread_mutex_unlock(&lock);
	return r;
}

static kvl_cu_result init(unsigned int flags)
{
	return control.init;
}

static kvl_cu_result driver_version(int *version)
{
	*version = control.driver;
	return KVL_CU_SUCCESS;
}

static kvl_cu_result device_get(kvl_cu_device *device, int ordinal)
{
	if (ordinal >= FAKE_CUDA_DEVICES)
		return KVL_CU_INVALID_DEVICE;
	*device = ordinal;
	return KVL_CU_SUCCESS;
}

static kvl_cu_result device_attr(int *value, int attr, kvl_cu_device device)
{
	*value = 0;
	return KVL_CU_SUCCESS;
}

static kvl_cu_result ctx_retain(kvl_cu_ctx *ctx, kvl_cu_device device)
{
	pthread_mutex_lock(&lock);
	control.contexts++;
	*ctx = &primary[device];
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result ctx_release(kvl_cu_device device)
{
	pthread_mutex_lock(&lock);
	control.contexts--;
	return end(KVL_CU_SUCCESS);
}

/* From 1; 0: it is none. */
static int device_of(kvl_cu_ctx ctx)
{
	int i;

	for (i = 0; i < FAKE_CUDA_DEVICES; i++)
		if (ctx == &primary[i])
			return i + 1;
	return 0;
}

static kvl_cu_result ctx_set(kvl_cu_ctx ctx)
{
	current = device_of(ctx);
	return KVL_CU_SUCCESS;
}

static kvl_cu_result ctx_push(kvl_cu_ctx ctx)
{
	below = below * (FAKE_CUDA_DEVICES + 1) + current;
	current = device_of(ctx);
	return current ? KVL_CU_SUCCESS : INVALID_CONTEXT;
}

/* What was current before is so again, and the mode of captures, too. */
static kvl_cu_result ctx_pop(kvl_cu_ctx *ctx)
{
	*ctx = current ? &primary[current - 1] : NULL;
	current = below % (FAKE_CUDA_DEVICES + 1);
	below /= FAKE_CUDA_DEVICES + 1;
	if (!below && !current && capture_mode) {
		pthread_mutex_lock(&lock);
		control.wrong++;
		pthread_mutex_unlock(&lock);
	}
	return KVL_CU_SUCCESS;
}

static kvl_cu_result can_access(int *can, kvl_cu_device device,
				kvl_cu_device other)
{
	*can = !control.cannot && device != other;
	return KVL_CU_SUCCESS;
}

static kvl_cu_result enable_peer(kvl_cu_ctx ctx, unsigned int flags)
{
	int other = device_of(ctx) - 1;
	kvl_cu_result r = begin();
	bool *enabled;

	if (r)
		return r;
	if (control.peer)
		return end(control.peer);
	if (other < 0 || other == current - 1 || flags)
		return end(KVL_CU_INVALID_VALUE);
	enabled = &control.enabled[current - 1][other];
	r = *enabled ? KVL_CU_PEER_ENABLED : KVL_CU_SUCCESS;
	*enabled = true;
	return end(r);
}

static kvl_cu_result capture(int *mode)
{
	int old = capture_mode;

	capture_mode = *mode;
	*mode = old;
	return KVL_CU_SUCCESS;
}

void *fake_cuda_memory(size_t bytes);
void *fake_cuda_memory(size_t bytes)
{
	unsigned int i = 0;

	while (allocated[i].at)
		i++;
	allocated[i].at = aligned_alloc(4096, bytes);
	allocated[i].bytes = bytes;
	allocated[i].device = current ? current - 1 : 0;
	memset(allocated[i].at, 0xa5, bytes);
	control.allocations++;
	return allocated[i].at;
}

void fake_cuda_end_memory(void *memory);
void fake_cuda_end_memory(void *memory)
{
	unsigned int i;

	for (i = 0; i < MOST; i++)
		if (memory && allocated[i].at == memory) {
			free(memory);
			allocated[i].at = NULL;
			control.allocations--;
			return;
		}
	control.wrong++;
}

static kvl_cu_result capturing(kvl_cu_stream stream, int *status)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	*status = control.is_capturing;
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result mem_alloc(kvl_cu_ptr *ptr, size_t bytes)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	if (bytes > control.room)
		return end(KVL_CU_OUT_OF_MEMORY);
	*ptr = (uintptr_t)fake_cuda_memory(bytes);
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result mem_free(kvl_cu_ptr ptr)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.wrong += copying;
	fake_cuda_end_memory((void *)(uintptr_t)ptr);
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result pointer_attr(void *value, int attr, kvl_cu_ptr ptr)
{
	kvl_cu_result r = begin();
	bool found;

	if (r)
		return r;
	found = is_device(ptr, 1);
	if (found && attr == KVL_CU_POINTER_MEMORY_TYPE)
		*(unsigned int *)value = KVL_CU_MEMORYTYPE_DEVICE;
	else if (found && attr == KVL_CU_POINTER_DEVICE_ORDINAL)
		*(int *)value = device_at(ptr, 1);
	return end(found ? KVL_CU_SUCCESS : KVL_CU_INVALID_VALUE);
}

static kvl_cu_result mem_range(kvl_cu_ptr *start, size_t *bytes, kvl_cu_ptr ptr)
{
	kvl_cu_result r = begin();
	unsigned int i;

	if (r)
		return r;
	for (i = 0; i < MOST; i++) {
		*start = (uintptr_t)allocated[i].at;
		*bytes = allocated[i].bytes;
		if (!*start || ptr < *start || ptr - *start >= *bytes)
			continue;
		if (control.mapping) {
			*start = ptr - (ptr - *start) % control.mapping;
			*bytes = control.mapping;
		}
		return end(KVL_CU_SUCCESS);
	}
	return end(KVL_CU_NOT_FOUND);
}

static kvl_cu_result host_register(void *at, size_t bytes, unsigned int flags)
{
	kvl_cu_result r = begin();
	unsigned int i = 0;

	if (r)
		return r;
	if (++control.registered == control.register_fails)
		return end(KVL_CU_OUT_OF_MEMORY);
	if (is_registered((uintptr_t)at, 1))
		return end(KVL_CU_ALREADY_REGISTERED);
	while (registered[i].at)
		i++;
	registered[i].at = at;
	registered[i].bytes = bytes;
	control.registrations++;
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result host_unregister(void *at)
{
	kvl_cu_result r = begin();
	unsigned int i;

	if (r)
		return r;
	/* The memory goes back to who has it: nothing may write there. */
	control.wrong += copying;
	for (i = 0; i < MOST; i++)
		if (registered[i].at == at) {
			registered[i].at = NULL;
			control.registrations--;
			return end(KVL_CU_SUCCESS);
		}
	control.wrong++;
	return end(KVL_CU_INVALID_VALUE);
}

static kvl_cu_result host_pointer(kvl_cu_ptr *ptr, void *at, unsigned int flags)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	*ptr = (uintptr_t)at + FAKE_CUDA_BIAS;
	return end(is_registered((uintptr_t)at, 1) ? KVL_CU_SUCCESS
						   : KVL_CU_INVALID_VALUE);
}

static kvl_cu_result priority_range(int *least, int *greatest)
{
	*least = 0;
	*greatest = FAKE_CUDA_FIRST;
	return KVL_CU_SUCCESS;
}

static kvl_cu_result stream_priority(kvl_cu_stream *stream, unsigned int flags,
				     int priority)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	if (flags != KVL_CU_STREAM_NON_BLOCKING)
		control.wrong++;
	control.streams++;
	*stream = new_stream();
	((struct stream *)*stream)->device = current - 1;
	((struct stream *)*stream)->priority = priority;
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result stream_create(kvl_cu_stream *stream, unsigned int flags)
{
	return stream_priority(stream, flags, 0);
}

static kvl_cu_result stream_destroy(kvl_cu_stream stream)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.streams--;
	end(KVL_CU_SUCCESS);
	end_stream(stream);
	return KVL_CU_SUCCESS;
}

static kvl_cu_result stream_sync(kvl_cu_stream stream)
{
	struct stream *s = stream;
	kvl_cu_result r = begin();

	if (r)
		return r;
	while (s->first || s->busy)
		pthread_cond_wait(&changed, &lock);
	return end(control.dies ? UNKNOWN : KVL_CU_SUCCESS);
}

static kvl_cu_result event_create(kvl_cu_event *event, unsigned int flags)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.events++;
	*event = calloc(1, sizeof(struct event));
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result event_destroy(kvl_cu_event event)
{
	kvl_cu_result r = begin();
	struct event *e = event;

	if (r)
		return r;
	/* The real one waits. */
	while (e->pending)
		pthread_cond_wait(&changed, &lock);
	control.events--;
	free(e);
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result event_record(kvl_cu_event event, kvl_cu_stream stream)
{
	struct work w = { .event = event };
	kvl_cu_result r = begin();

	if (r)
		return r;
	/* 1 to 3 are not addresses: streams of another context, here. */
	if ((uintptr_t)stream < 4)
		return end(KVL_CU_INVALID_HANDLE);
	w.event->pending++;
	add(stream, &w);
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result event_query(kvl_cu_event event)
{
	kvl_cu_result r = begin();
	struct event *e = event;

	if (r)
		return r;
	if (e->pending)
		return end(KVL_CU_NOT_READY);
	return end(e->failed ? UNKNOWN : KVL_CU_SUCCESS);
}

/* Needs the lock. */
static kvl_cu_result add_copy(kvl_cu_ptr dst, kvl_cu_ptr src, size_t bytes,
			      kvl_cu_stream stream, bool is_batch)
{
	struct work w = {
		.dst = (void *)(uintptr_t)dst,
		.src = (const void *)(uintptr_t)src,
		.bytes = bytes,
	};
	uint64_t gpu = is_device(dst, 1) ? dst : src;
	uint64_t host = gpu == dst ? src : dst;
	int device = device_at(gpu, bytes), other = device_at(host, bytes);

	if (control.bad_copy && control.bad_copy == gpu)
		return KVL_CU_INVALID_VALUE;
	/*
	 * In a stream of the device whose context is current, between its memory
	 * and other that it reaches: within one registration, or none at all.
	 */
	if (device != current - 1 ||
	    ((struct stream *)stream)->device != device ||
	    (other >= 0 ? other != device && !control.enabled[device][other]
			: !is_registered(host, bytes) &&
				  (is_batch || is_registered(host, 1) ||
				   is_registered(host + bytes - 1, 1)))) {
		control.wrong++;
		return KVL_CU_INVALID_VALUE;
	}
	if (other < 0 && gpu == src)
		w.us = control.out_us;
	control.peer_copies += other >= 0;
	control.tired = control.tires && control.launches;
	copying++;
	add(stream, &w);
	return KVL_CU_SUCCESS;
}

static kvl_cu_result copy(kvl_cu_ptr dst, kvl_cu_ptr src, size_t bytes,
			  kvl_cu_stream stream)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.asyncs++;
	return end(add_copy(dst, src, bytes, stream, false));
}

/* Needs the lock. */
static kvl_cu_result batch(kvl_cu_ptr *dsts, kvl_cu_ptr *srcs, size_t *sizes,
			   size_t count, const struct kvl_cu_copy_attr *attr,
			   const size_t *idx, size_t nr_attrs, size_t *failed,
			   kvl_cu_stream stream)
{
	bool from_host = !is_device(srcs[0], 1);
	kvl_cu_result r;
	size_t i;

	if (control.batch)
		return control.batch;
	if (control.no_peer_batch && !from_host && is_device(dsts[0], 1))
		return KVL_CU_NOT_SUPPORTED;
	if (!stream || nr_attrs != 1 || idx[0] ||
	    attr->src_access_order != (from_host ? 3 : 1))
		control.wrong++;
	if (count > control.largest)
		control.largest = (unsigned int)count;
	for (i = 0; i < count; i++) {
		r = add_copy(dsts[i], srcs[i], sizes[i], stream, true);
		if (r) {
			*failed = i;
			return r;
		}
	}
	return KVL_CU_SUCCESS;
}

static kvl_cu_result batch12(kvl_cu_ptr *dsts, kvl_cu_ptr *srcs, size_t *sizes,
			     size_t count, struct kvl_cu_copy_attr *attrs,
			     size_t *idx, size_t nr_attrs, size_t *failed,
			     kvl_cu_stream stream)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.batches12++;
	return end(batch(dsts, srcs, sizes, count, attrs, idx, nr_attrs, failed,
			 stream));
}

static kvl_cu_result batch13(kvl_cu_ptr *dsts, kvl_cu_ptr *srcs, size_t *sizes,
			     size_t count, struct kvl_cu_copy_attr *attrs,
			     size_t *idx, size_t nr_attrs, kvl_cu_stream stream)
{
	kvl_cu_result r = begin();
	size_t failed;

	if (r)
		return r;
	control.batches13++;
	return end(batch(dsts, srcs, sizes, count, attrs, idx, nr_attrs,
			 &failed, stream));
}

static kvl_cu_result module_load(kvl_cu_module *module, const void *image)
{
	kvl_cu_result r = begin();
	struct ptx *p;

	if (r || control.load)
		return r ? r : end(control.load);
	p = malloc(sizeof(*p));
	if (!ptx_parse(p, image)) {
		control.wrong++;
		free(p);
		return end(KVL_CU_INVALID_VALUE);
	}
	control.modules++;
	*module = p;
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result module_unload(kvl_cu_module module)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.wrong += copying;
	control.modules--;
	free(module);
	return end(KVL_CU_SUCCESS);
}

static kvl_cu_result module_function(kvl_cu_function *fn, kvl_cu_module module,
				     const char *name)
{
	kvl_cu_result r = begin();

	if (r)
		return r;
	*fn = module;
	return end(strcmp(name, ((struct ptx *)module)->name) ? KVL_CU_NOT_FOUND
							      : KVL_CU_SUCCESS);
}

static kvl_cu_result launch(kvl_cu_function fn, unsigned int grid,
			    unsigned int grid_y, unsigned int grid_z,
			    unsigned int threads, unsigned int threads_y,
			    unsigned int threads_z, unsigned int shared,
			    kvl_cu_stream stream, void **params, void **extra)
{
	const struct kvl_cu_blocks *b = params[0];
	struct work w = { .launch = NULL };
	struct ptx *p = fn;
	kvl_cu_result r = begin();

	if (r)
		return r;
	control.launches++;
	if (control.launch)
		return end(control.launch);
	if (!grid || grid_y * grid_z * threads_y * threads_z != 1 || shared ||
	    threads > p->threads || p->bytes != sizeof(*b) || extra ||
	    ((struct stream *)stream)->device != current - 1) {
		control.wrong++;
		return end(KVL_CU_INVALID_VALUE);
	}
	control.priority = ((struct stream *)stream)->priority;
	if (b->count > control.launched)
		control.launched = b->count;
	if (grid > control.grid)
		control.grid = grid;
	w.launch = malloc(sizeof(*w.launch));
	*w.launch = (struct launch){
		.kernel = p,
		.grid = grid,
		.threads = threads,
		.us = control.tired
			      ? 50000
			      : control.kernel_us[!is_device(b->dst[0], 1)],
	};
	memcpy(w.launch->params, b, p->bytes);
	copying++;
	add(stream, &w);
	return end(KVL_CU_SUCCESS);
}

kvl_cu_result cuGetProcAddress_v2(const char *symbol, void **fn, int version,
				  unsigned long long flags, int *status);
kvl_cu_result cuGetProcAddress_v2(const char *symbol, void **fn, int version,
				  unsigned long long flags, int *status)
{
#define ENTRY(member, name, since, args) { name, since, (void *)member },
	static const struct {
		const char *name;
		int since;
		void *fn;
	} calls[] = {
		KVL_CU_CALLS(ENTRY) /* the newest prototype last */
		KVL_CU_KERNEL_CALLS(ENTRY){ "cuThreadExchangeStreamCaptureMode",
					    10010, (void *)capture },
		{ "cuStreamIsCapturing", 10000, (void *)capturing },
		{ "cuCtxGetStreamPriorityRange", 5050, (void *)priority_range },
		{ "cuStreamCreateWithPriority", 5050, (void *)stream_priority },
		{ "cuMemcpyBatchAsync", 12080, (void *)batch12 },
		{ "cuMemcpyBatchAsync", 13000, (void *)batch13 },
	};
	unsigned int i;

	*fn = NULL;
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(symbol, calls[i].name) &&
		    version >= calls[i].since &&
		    control.driver >= calls[i].since &&
		    (!control.hidden || strcmp(symbol, control.hidden)))
			*fn = calls[i].fn;
	*status = *fn ? 0 : 1;
	return *fn ? KVL_CU_SUCCESS : KVL_CU_NOT_FOUND;
}
