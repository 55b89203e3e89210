// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Attachments of GPUs: how they are made, asked and ended; see kvlift_gpu.h. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "gpu.h"
#include "internal.h"
#include "io.h"

/* Requests are turned into the module's so many at a time. */
#define CHUNK	     32u
#define DRAIN_MIN_MS 1
#define DRAIN_MAX_MS 20

void kvl_gpu_signal(int eventfd)
{
	const uint64_t one = 1;
	ssize_t n;

	/* Only a counter that is full refuses: then it is readable. */
	n = write(eventfd, &one, sizeof(one));
	(void)n;
}

/* How often this process, or one that it comes from, was the child of fork(). */
static atomic_uint forks;
static pthread_once_t watched = PTHREAD_ONCE_INIT;

static void forked(void)
{
	atomic_fetch_add(&forks, 1);
	kvl_gpu_peers_forked();
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forked);
}

bool kvl_gpu_is_inherited(const struct kvlift_gpu *gpu)
{
	return gpu->forks != atomic_load(&forks);
}

bool kvl_gpu_has_failed(const struct kvlift_gpu *gpu)
{
	return kvl_gpu_is_inherited(gpu) || atomic_load(&gpu->failed) ||
	       __atomic_load_n(&gpu->mover.ring->state, __ATOMIC_ACQUIRE) ==
		       KVLIFT_MOVER_FAILED;
}

int kvl_gpu_thread(pthread_t *thread, const char *name, void *(*fn)(void *),
		   struct kvlift_gpu *gpu)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(thread, NULL, fn, gpu);
	if (!ret)
		pthread_setname_np(*thread, name);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

/* Threads, device and mappings: what a child does not have. */
static void stop(struct kvlift_gpu *gpu)
{
	kvl_gpu_peers_leave(gpu);
	atomic_store(&gpu->stop, true);
	if (gpu->wake >= 0)
		kvl_gpu_signal(gpu->wake);
	if (gpu->has_mover)
		pthread_join(gpu->mover_thread, NULL);
	kvl_gpu_peers_close(gpu);
	if (gpu->has_window_thread)
		pthread_join(gpu->window_thread, NULL);
	/*
	 * The backend first: when the attachment ends the device does nothing
	 * with the window any more, and has no pins on it.
	 */
	if (gpu->be) {
		void *window = gpu->be->window;
		size_t bytes = gpu->be->window_bytes;

		gpu->be->ops->close(gpu->be);
		if (window)
			kvl_gpu_sys_unmap(window, bytes);
	}
	pthread_mutex_destroy(&gpu->rel.lock);
	kvl_gpu_peers_destroy(gpu);
}

/* Undoes kvl_gpu_open(), as far as it came. */
static void close_all(struct kvlift_gpu *gpu)
{
	if (kvl_gpu_is_inherited(gpu))
		gpu->mover.ring = NULL;
	else
		stop(gpu);
	kvl_gpu_mover_close(gpu);
	kvl_gpu_releases_close(gpu);
	if (gpu->queue >= 0)
		close(gpu->queue);
	if (gpu->fd >= 0)
		close(gpu->fd);
	if (gpu->wake >= 0)
		close(gpu->wake);
	if (gpu->gone >= 0)
		close(gpu->gone);
	free(gpu);
}

static int open_fds(struct kvlift_gpu *gpu)
{
	int flags;

	gpu->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gpu->gone = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gpu->wake < 0 || gpu->gone < 0)
		return -errno;
	gpu->queue = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_QUEUE, NULL);
	if (gpu->queue < 0)
		return gpu->queue;
	flags = fcntl(gpu->queue, F_GETFL);
	if (flags < 0 || fcntl(gpu->queue, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* Attaches to the module, and maps what it gives. */
static int open_attachment(struct kvlift_gpu *gpu, int dirfd,
			   const struct kvlift_gpu_opts *opts)
{
	struct kvlift_mover arg = {
		.depth = opts->depth,
		.deadline_ms = opts->deadline_ms,
		.dmabuf = -1,
		.slots = gpu->slots,
		.window = gpu->window_slots - gpu->window_cxl,
		.window_cxl = gpu->window_cxl,
	};
	int ret;

	memcpy(arg.name, opts->name, sizeof(arg.name));
	gpu->fd = kvl_gpu_sys_ioctl(dirfd, KVLIFT_IOC_MOVER, &arg);
	if (gpu->fd < 0)
		return gpu->fd;
	gpu->depth = arg.depth;
	gpu->member = arg.member;
	ret = kvl_gpu_mover_open(gpu, &arg);
	if (!ret)
		ret = kvl_gpu_window_open(gpu, &arg);
	if (!ret)
		ret = kvl_gpu_releases_open(gpu);
	return ret ? ret : open_fds(gpu);
}

static uint64_t window_slots(const struct kvlift_gpu_opts *o, size_t block)
{
	uint64_t bytes = o->window_bytes;

	if (!bytes)
		bytes = o->bytes < KVLIFT_GPU_WINDOW ? o->bytes
						     : KVLIFT_GPU_WINDOW;
	return bytes / block;
}

static int check(const struct kvlift_gpu_opts *o, size_t block)
{
	uint64_t window = o->window_bytes, cxl = o->window_cxl_bytes;
	uint64_t slots = window_slots(o, block);

	if (o->pad ||
	    (o->flags & ~(KVLIFT_GPU_NO_REGISTER | KVLIFT_GPU_NO_KERNEL)) ||
	    (o->reserved[0] | o->reserved[1] | o->reserved[2]) ||
	    !memchr(o->name, 0, sizeof(o->name)) || o->device < 0)
		return -EINVAL;
	if (o->memory % 256 || o->memory + o->bytes < o->memory)
		return -EINVAL;
	if (o->bytes / block < 1 || o->bytes / block > KVLIFT_MOVER_SLOTS_MAX ||
	    (window && window < block) || (cxl && cxl < block) ||
	    slots > KVLIFT_MOVER_WINDOW_MAX ||
	    cxl / block > KVLIFT_MOVER_WINDOW_MAX - slots)
		return -EINVAL;
	return 0;
}

int kvl_gpu_open(int dirfd, size_t block, const struct kvlift_gpu_opts *opts,
		 const struct kvl_gpu_ops *ops, struct kvlift_gpu **out)
{
	int ret = check(opts, block), saved = errno;
	struct kvlift_gpu *gpu;
	struct stat st;

	if (ret)
		return ret;
	gpu = calloc(1, sizeof(*gpu));
	if (!gpu)
		return -ENOMEM;
	pthread_once(&watched, watch_forks);
	gpu->forks = atomic_load(&forks);
	gpu->fd = gpu->queue = gpu->wake = gpu->gone = -1;
	gpu->kind = opts->backend;
	gpu->slots = opts->bytes / block;
	gpu->window_cxl = opts->window_cxl_bytes / block;
	gpu->window_slots = window_slots(opts, block) + gpu->window_cxl;
	if (!fstat(dirfd, &st))
		gpu->pool = st.st_dev;
	pthread_mutex_init(&gpu->rel.lock, NULL);
	kvl_gpu_peers_init(gpu);
	ret = ops->open(opts, block, gpu->slots * block, &gpu->be);
	if (!ret)
		ret = open_attachment(gpu, dirfd, opts);
	if (!ret)
		ret = kvl_gpu_window_ready(gpu);
	if (!ret)
		ret = kvl_gpu_thread(&gpu->mover_thread, "kvlift-mover",
				     kvl_gpu_mover_run, gpu);
	gpu->has_mover = !ret;
	if (ret)
		close_all(gpu);
	else
		*out = gpu;
	errno = saved;
	return ret;
}

int kvlift_gpu_attach(const struct kvlift_pool *pool, const char *dir,
		      const struct kvlift_gpu_opts *opts,
		      struct kvlift_gpu **out)
{
	const struct kvl_gpu_ops *ops;
	int fd, ret, saved = errno;
	struct statfs fs;

	switch (opts->backend) {
	case KVLIFT_GPU_CUDA:
		ops = &kvl_gpu_cuda;
		break;
	case KVLIFT_GPU_MEMCPY:
		ops = &kvl_gpu_memcpy;
		break;
	default:
		return -EINVAL;
	}
	if (!(pool->features & KVLIFT_F_GPU))
		return -EOPNOTSUPP;
	fd = openat(pool->fd, dir && *dir ? dir : ".",
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs))
		ret = -errno;
	else if (fs.f_type != KVLIFT_SUPER_MAGIC)
		ret = -EMEDIUMTYPE;
	else
		ret = kvl_gpu_open(fd, pool->block_size, opts, ops, out);
	if (fd >= 0)
		close(fd);
	errno = saved;
	return ret;
}

void kvlift_gpu_close(struct kvlift_gpu *gpu)
{
	int saved = errno;

	if (gpu)
		close_all(gpu);
	errno = saved;
}

int kvlift_gpu_detach(struct kvlift_gpu *gpu, int timeout_ms)
{
	uint64_t start = kvl_now_ns(), left, gone;
	unsigned int ms = DRAIN_MIN_MS;
	int ret, saved = errno;
	struct timespec t;

	for (;;) {
		left = 0;
		ret = kvl_gpu_has_failed(gpu)
			      ? -ENODEV
			      : kvl_gpu_sys_ioctl(
					gpu->fd, KVLIFT_IOC_MOVER_DRAIN, &left);
		if (ret || (!left && !atomic_load(&gpu->rel.waiting)))
			break;
		gone = (kvl_now_ns() - start) / 1000000;
		ret = -ETIME;
		if (timeout_ms >= 0 && gone >= (uint64_t)timeout_ms)
			break;
		t = (struct timespec){ .tv_nsec = ms * 1000000L };
		ret = -EINTR;
		if (nanosleep(&t, NULL))
			break;
		ms = ms * 2 < DRAIN_MAX_MS ? ms * 2 : DRAIN_MAX_MS;
	}
	if (!ret)
		close_all(gpu);
	errno = saved;
	return ret;
}

int kvlift_gpu_info(const struct kvlift_gpu *gpu, struct kvlift_gpu_info *info)
{
	const struct kvl_gpu_backend *be = gpu->be;
	int ret;

	memset(info, 0, sizeof(*info));
	ret = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_INFO, &info->mover);
	info->backend = gpu->kind;
	info->path = be->path;
	info->block_size = be->block;
	info->base = be->base;
	info->window_bytes = be->window_bytes;
	info->registered_bytes = atomic_load(&gpu->registered);
	info->register_error = atomic_load(&gpu->register_error);
	info->driver = be->driver;
	info->batch_in =
		__atomic_load_n(&be->batch[KVL_GPU_IN], __ATOMIC_RELAXED);
	info->batch_out =
		__atomic_load_n(&be->batch[KVL_GPU_OUT], __ATOMIC_RELAXED);
	info->rate_in =
		__atomic_load_n(&be->rate[KVL_GPU_IN], __ATOMIC_RELAXED);
	info->rate_out =
		__atomic_load_n(&be->rate[KVL_GPU_OUT], __ATOMIC_RELAXED);
	info->path_in =
		__atomic_load_n(&be->paths[KVL_GPU_IN], __ATOMIC_RELAXED);
	info->path_out =
		__atomic_load_n(&be->paths[KVL_GPU_OUT], __ATOMIC_RELAXED);
	info->kernel_error =
		__atomic_load_n(&be->kernel_error, __ATOMIC_RELAXED);
	info->releases = atomic_load(&gpu->rel.waiting);
	info->late = atomic_load(&gpu->rel.late);
	info->copy_errors = atomic_load(&gpu->errors);
	return ret;
}

uint64_t kvlift_gpu_base(const struct kvlift_gpu *gpu)
{
	return gpu->be->base;
}

void *kvlift_gpu_window(const struct kvlift_gpu *gpu)
{
	return gpu->be->window;
}

int kvlift_gpu_fd(const struct kvlift_gpu *gpu)
{
	return gpu->queue;
}

static int make_req(const struct kvlift_gpu_req *r, struct kvlift_req *out)
{
	uint32_t where = r->flags & (KVLIFT_REQ_GPU | KVLIFT_REQ_WINDOW);

	if (r->pad || (r->reserved[0] | r->reserved[1]) || !r->region ||
	    (where != KVLIFT_REQ_GPU && where != KVLIFT_REQ_WINDOW))
		return -EINVAL;
	*out = (struct kvlift_req){
		.cookie = r->cookie,
		.first = r->first,
		.count = r->count,
		.deadline_ns = r->deadline_ns,
		.fd = r->region->fd,
		.op = r->lease_ms ? KVLIFT_OP_ACQUIRE : KVLIFT_OP_PREFETCH,
		.prio = r->prio,
		.lease_ms = r->lease_ms,
		.flags = r->flags,
	};
	return 0;
}

int kvlift_gpu_acquire(struct kvlift_gpu *gpu,
		       const struct kvlift_gpu_req *reqs, unsigned int count)
{
	struct kvlift_req some[CHUNK];
	unsigned int done = 0, n;
	int ret = 0, got;

	if (kvl_gpu_has_failed(gpu))
		return -ENODEV;
	while (done < count && !ret) {
		for (n = 0; n < CHUNK && done + n < count && !ret; n++)
			ret = make_req(&reqs[done + n], &some[n]);
		if (ret)
			n--;
		got = kvlift_queue_submit(gpu->queue, some, n);
		if (got < 0)
			ret = got;
		else if ((unsigned int)got < n)
			ret = -EAGAIN;
		done += got > 0 ? (unsigned int)got : 0;
	}
	return done ? (int)done : ret;
}

int kvlift_gpu_read(struct kvlift_gpu *gpu, struct kvlift_event *events,
		    unsigned int max)
{
	int ret;

	/* They are the parent's. */
	if (kvl_gpu_is_inherited(gpu))
		return -ENODEV;
	ret = kvlift_queue_read(gpu->queue, events, max);
	if (ret == -EAGAIN)
		ret = kvl_gpu_has_failed(gpu) ? -ENODEV : 0;
	return ret;
}

int kvlift_gpu_wait(struct kvlift_gpu *gpu, struct kvlift_event *events,
		    unsigned int max, int timeout_ms)
{
	struct pollfd p[2] = {
		{ .fd = gpu->queue, .events = POLLIN },
		{ .fd = gpu->gone, .events = POLLIN },
	};
	uint64_t start = kvl_now_ns(), gone;
	int saved = errno, ret, ms = -1;

	for (;;) {
		ret = kvlift_gpu_read(gpu, events, max);
		gone = (kvl_now_ns() - start) / 1000000;
		if (timeout_ms >= 0)
			ms = gone < (uint64_t)timeout_ms
				     ? timeout_ms - (int)gone
				     : 0;
		if (ret || !max || !ms)
			break;
		if (poll(p, 2, ms) < 0) {
			ret = -errno;
			break;
		}
	}
	errno = saved;
	return ret;
}

int kvlift_gpu_addresses(struct kvlift_gpu *gpu, uint64_t cookie,
			 uint64_t *addr, unsigned int count)
{
	struct kvlift_leased arg = {
		.cookie = cookie,
		.ptr = kvl_ptr(addr),
		.count = count,
	};
	uint64_t i;
	int ret;

	if (!count)
		return -EINVAL;
	if (kvl_gpu_has_failed(gpu))
		return -ENODEV;
	ret = kvl_gpu_sys_ioctl(gpu->queue, KVLIFT_IOC_LEASED, &arg);
	if (ret)
		return ret;
	for (i = 0; i < arg.count; i++)
		addr[i] = kvl_gpu_word_address(gpu, addr[i]);
	return (int)arg.count;
}

int kvlift_gpu_release(struct kvlift_gpu *gpu, uint64_t cookie)
{
	if (kvl_gpu_has_failed(gpu))
		return -ENODEV;
	return kvlift_queue_release(gpu->queue, cookie);
}
