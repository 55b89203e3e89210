// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The pool in user space: what the library calls, in place of the kernel. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../userlib/src/gpu.h"
#include "../../userlib/src/io.h"
#include "upool_priv.h"

#define GENERATION    1u
#define WINDOW_OFFSET (1ull << 40)

struct upool up = { .lock = PTHREAD_MUTEX_INITIALIZER,
		    .changed = PTHREAD_COND_INITIALIZER,
		    .work = PTHREAD_COND_INITIALIZER,
		    .file = -1 };

static void *map(size_t bytes, bool huge)
{
	size_t len = bytes + (2u << 20);
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at;

	if (p == MAP_FAILED)
		return NULL;
	at = ((uintptr_t)p + (2u << 20) - 1) & ~((uintptr_t)(2u << 20) - 1);
	/* What is before and behind it was only for the alignment. */
	if (at > (uintptr_t)p)
		munmap(p, at - (uintptr_t)p);
	munmap((void *)(at + bytes), (uintptr_t)p + len - at - bytes);
	if (huge)
		madvise((void *)at, bytes, MADV_HUGEPAGE);
	return (void *)at;
}

static int open_file(const char *path, uint64_t bytes)
{
	up.direct = true;
	up.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
	if (up.file < 0) {
		up.direct = false;
		up.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	return up.file < 0 || ftruncate(up.file, (off_t)bytes) ? -errno : 0;
}

int kvlift_pool_open(const char *path, struct kvlift_pool **pool)
{
	unsigned long long block, bytes;
	struct kvlift_pool *p;
	int at = 0, ret = 0;
	uint64_t i;

	if (sscanf(path, UPOOL_PREFIX "%llu:%llu%n", &block, &bytes, &at) < 2 ||
	    !at || !block || bytes < block || (block & (block - 1)))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	up.block = block;
	up.nr = bytes / block;
	up.blocks = calloc(up.nr, sizeof(*up.blocks));
	up.memory = map(up.nr * block, true);
	if (!p || !up.blocks || !up.memory)
		return -ENOMEM;
	for (i = 0; i < up.nr; i++)
		up.blocks[i].window = up.blocks[i].gpu = UP_NONE;
	if (path[at] == ':')
		ret = open_file(path + at + 1, up.nr * block);
	p->fd = -1;
	p->block_size = (uint32_t)block;
	p->features = KVLIFT_F_GPU;
	*pool = p;
	return ret;
}

/* The blocks stay until another pool is opened: a process makes few. */
void kvlift_pool_close(struct kvlift_pool *pool)
{
	if (!pool)
		return;
	munmap(up.memory, up.nr * up.block);
	free(up.blocks);
	if (up.file >= 0)
		close(up.file);
	up.file = -1;
	up.memory = NULL;
	up.blocks = NULL;
	up.given = 0;
	memset(up.region, 0, sizeof(up.region));
	free(pool);
}

size_t kvlift_pool_block_size(const struct kvlift_pool *pool)
{
	return pool->block_size;
}

static int open_region(const struct kvlift_pool *pool, const char *name,
		       uint64_t blocks, struct kvlift_region **region)
{
	unsigned int i;

	for (i = 0; i < UP_REGIONS; i++)
		if (up.region[i].count && !strcmp(up.region[i].name, name))
			break;
	if (blocks && i < UP_REGIONS)
		return -EEXIST;
	for (i = blocks ? 0 : i; blocks && i < UP_REGIONS; i++)
		if (!up.region[i].count)
			break;
	if (i == UP_REGIONS)
		return blocks ? -ENFILE : -ENOENT;
	if (blocks > up.nr - up.given)
		return -ENOSPC;
	if (blocks) {
		snprintf(up.region[i].name, sizeof(up.region[i].name), "%s",
			 name);
		up.region[i].first = up.given;
		up.region[i].count = blocks;
		up.given += blocks;
	}
	*region = calloc(1, sizeof(**region));
	if (!*region)
		return -ENOMEM;
	(*region)->fd = (int)i;
	(*region)->block_size = pool->block_size;
	return 0;
}

int kvlift_region_create(const struct kvlift_pool *pool, const char *name,
			 uint64_t size, mode_t mode,
			 struct kvlift_region **region)
{
	uint64_t blocks = (size + up.block - 1) / up.block;

	return blocks ? open_region(pool, name, blocks, region) : -EINVAL;
}

int kvlift_region_open(const struct kvlift_pool *pool, const char *name,
		       int flags, struct kvlift_region **region)
{
	return open_region(pool, name, 0, region);
}

void kvlift_region_close(struct kvlift_region *region)
{
	free(region);
}

void *upool_slot(const struct kvlift_region *region, uint64_t index)
{
	uint64_t b = up.region[region->fd].first + index;

	up.blocks[b].copies |= UP_MEM;
	return up.memory + b * up.block;
}

bool upool_has_file(void)
{
	return up.file >= 0;
}

bool upool_is_direct(void)
{
	return up.file >= 0 && up.direct;
}

/* Attachments. */

static int open_rings(struct kvlift_mover *arg)
{
	struct kvlift_mover_ring *r;
	size_t sq, cq;
	uint32_t i;

	sq = 2 * arg->depth * sizeof(struct kvlift_cmd);
	cq = 2 * arg->depth * sizeof(struct kvlift_done);
	up.ring_bytes = 4096 + sq + cq;
	r = map(up.ring_bytes, false);
	up.tags = calloc(arg->depth, sizeof(*up.tags));
	up.free_tags = calloc(arg->depth, sizeof(*up.free_tags));
	if (!r || !up.tags || !up.free_tags)
		return -ENOMEM;
	r->sq_entries = r->cq_entries = 2 * arg->depth;
	r->sq_offset = 4096;
	r->cq_offset = (uint32_t)(4096 + sq);
	r->generation = up.generation = GENERATION;
	r->state = KVLIFT_MOVER_LIVE;
	up.ring = r;
	for (i = 0; i < arg->depth; i++)
		up.free_tags[i] = i;
	up.nr_free_tags = arg->depth;
	arg->ring_bytes = up.ring_bytes;
	arg->window_offset = WINDOW_OFFSET;
	return 0;
}

static int open_slots(const struct kvlift_mover *arg)
{
	uint32_t i;

	/* Both parts: here all of it is DRAM. */
	up.window_slots = (uint32_t)(arg->window + arg->window_cxl);
	up.gpu_slots = (uint32_t)arg->slots;
	up.window = map(up.window_slots * up.block, up.block >= 2u << 20);
	up.free_window = calloc(up.window_slots, sizeof(uint32_t));
	up.window_owner = malloc(up.window_slots * sizeof(uint32_t));
	up.free_gpu = calloc(up.gpu_slots, sizeof(uint32_t));
	if (!up.window || !up.free_window || !up.window_owner || !up.free_gpu)
		return -ENOMEM;
	for (i = 0; i < up.window_slots; i++)
		up.window_owner[i] = UP_NONE;
	/* The last of the list is the first to be given. */
	for (i = 0; i < up.gpu_slots; i++)
		up.free_gpu[i] = up.gpu_slots - 1 - i;
	up.nr_free_gpu = up.gpu_slots;
	up.nr_free_window = up.window_ready = 0;
	up.lru_first = up.lru_last = UP_NONE;
	return 0;
}

static int attach(struct kvlift_mover *arg)
{
	unsigned int i;
	int ret;

	if (up.attached)
		return -EUSERS;
	if (!arg->depth)
		arg->depth = KVLIFT_MOVER_DEPTH;
	if (!arg->deadline_ms)
		arg->deadline_ms = KVLIFT_MOVER_DEADLINE_MS;
	ret = open_rings(arg);
	if (!ret)
		ret = open_slots(arg);
	if (ret)
		return ret;
	up.depth = arg->depth;
	up.inflight = 0;
	up.fifo_head = up.fifo_tail = up.events_head = up.events_tail = 0;
	up.in = up.out = up.failed = up.ignored = up.lost = 0;
	up.jobs = up.job = NULL;
	up.jobs_last = &up.jobs;
	up.stop = up.sent = false;
	up.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	up.nr_threads = UP_WORKERS + 1;
	for (i = 0; i < up.nr_threads; i++)
		if (pthread_create(&up.threads[i], NULL,
				   i ? up_worker : up_kernel, NULL))
			abort();
	up.attached = true;
	return up.kick;
}

/* The block keeps what the window has; what only the GPU has is lost. */
static void forget_block(struct up_block *k, uint64_t b)
{
	if (k->copies & UP_WIN) {
		memcpy(up.memory + b * up.block,
		       up.window + k->window * up.block, up.block);
		k->copies = (uint8_t)((k->copies & ~UP_WIN) | UP_MEM);
	}
	if (k->gpu != UP_NONE && !k->copies) {
		k->lost = true;
		up.lost++;
	}
	k->window = k->gpu = UP_NONE;
	k->leases = 0;
	k->moving = k->listed = false;
	k->req = NULL;
}

/* When the first mapping goes: the mover has ended, the window is still there. */
void up_detach(void)
{
	struct up_job *job;
	unsigned int i;
	uint64_t b;

	if (!up.attached)
		return;
	pthread_mutex_lock(&up.lock);
	up.stop = true;
	pthread_cond_broadcast(&up.changed);
	pthread_cond_broadcast(&up.work);
	pthread_mutex_unlock(&up.lock);
	for (i = 0; i < up.nr_threads; i++)
		pthread_join(up.threads[i], NULL);
	for (b = 0; b < up.nr; b++)
		forget_block(&up.blocks[b], b);
	for (i = 0; i < UP_REQUESTS; i++)
		free(up.requests[i].has);
	memset(up.requests, 0, sizeof(up.requests));
	up_send_job();
	while ((job = up.jobs)) {
		up.jobs = job->next;
		free(job);
	}
	free(up.tags);
	free(up.free_tags);
	free(up.free_window);
	free(up.window_owner);
	free(up.free_gpu);
	up.attached = false;
}

static int ready(const struct kvlift_mover_ready *arg)
{
	uint64_t i;

	if (arg->first != up.window_ready)
		return -EALREADY;
	/* In this order they are given. */
	for (i = arg->first + arg->count; i-- > arg->first;)
		up.free_window[up.nr_free_window++] = (uint32_t)i;
	up.window_ready += (uint32_t)arg->count;
	return 0;
}

static uint64_t drain(void)
{
	uint64_t n = 0;
	uint32_t b;

	for (b = 0; b < up.nr; b++)
		if (up.blocks[b].gpu != UP_NONE && !up.blocks[b].leases &&
		    !up.blocks[b].moving)
			up_leave(b);
	up_kick();
	for (b = 0; b < up.nr; b++)
		n += up.blocks[b].gpu != UP_NONE;
	return n;
}

static void info(struct kvlift_mover_info *i)
{
	memset(i, 0, sizeof(*i));
	i->state = up.ring->state;
	i->slots = up.gpu_slots;
	i->used = up.gpu_slots - up.nr_free_gpu;
	i->window = up.window_slots;
	i->window_ready = up.window_ready;
	i->window_free = up.nr_free_window;
	i->inflight = up.inflight;
	i->in = up.in;
	i->out = up.out;
	i->failed = up.failed;
	i->ignored = up.ignored;
	i->lost = up.lost;
}

/* Of a cookie, or a free one; they are looked for from the same place on. */
static struct up_request *find(uint64_t cookie, bool is_new)
{
	uint64_t at = cookie * 0x9e3779b97f4a7c15ull >> 40, i;
	struct up_request *r;

	for (i = 0; i < UP_REQUESTS; i++) {
		r = &up.requests[(at + i) % UP_REQUESTS];
		if (is_new ? r->state == UP_FREE
			   : r->state != UP_FREE && r->req.cookie == cookie)
			return r;
	}
	return NULL;
}

static int leased(struct kvlift_leased *arg)
{
	uint64_t *words = (uint64_t *)(uintptr_t)arg->ptr, i;
	struct up_request *r = find(arg->cookie, false);
	const struct up_block *k;

	if (!r || r->state == UP_DONE)
		return -ENOENT;
	if (r->state == UP_WAITING)
		return -EBUSY;
	if (arg->count < r->req.count)
		return -ENOSPC;
	for (i = 0; i < r->req.count; i++) {
		k = &up.blocks[r->start + i];
		words[i] = k->gpu != UP_NONE ? k->gpu
					     : KVLIFT_LEASED_WINDOW | k->window;
	}
	arg->count = r->req.count;
	return 0;
}

static int do_ioctl(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVLIFT_IOC_MOVER:
		return attach(arg);
	case KVLIFT_IOC_MOVER_ENTER:
		up_take_completions();
		return 0;
	case KVLIFT_IOC_MOVER_PEERS:
		return 0;
	case KVLIFT_IOC_MOVER_READY:
		return ready(arg);
	case KVLIFT_IOC_MOVER_INFO:
		info(arg);
		return 0;
	case KVLIFT_IOC_MOVER_DRAIN:
		*(uint64_t *)arg = drain();
		return 0;
	case KVLIFT_IOC_QUEUE:
		up.queue = eventfd(0, EFD_CLOEXEC);
		return up.queue;
	case KVLIFT_IOC_LEASED:
		return leased(arg);
	}
	return -ENOTTY;
}

int kvl_gpu_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	int ret;

	pthread_mutex_lock(&up.lock);
	if (cmd == KVLIFT_IOC_MOVER && up.attached)
		ret = up_source_attach(arg);
	else if (cmd != KVLIFT_IOC_MOVER && up_is_source(fd))
		ret = up_source_ioctl(cmd, arg);
	else
		ret = do_ioctl(cmd, arg);
	if (cmd == KVLIFT_IOC_MOVER_READY)
		pthread_cond_broadcast(&up.changed);
	pthread_mutex_unlock(&up.lock);
	return ret;
}

int kvl_gpu_sys_map(int fd, size_t bytes, uint64_t offset, void **addr)
{
	if (up_is_source(fd))
		*addr = up_source_map(offset);
	else
		*addr = offset ? (void *)up.window : (void *)up.ring;
	return 0;
}

void kvl_gpu_sys_unmap(void *addr, size_t bytes)
{
	if (up_source_unmap(addr, bytes))
		return;
	up_detach();
	munmap(addr, bytes);
}

void kvl_gpu_sys_wait(int fd, int wake, int64_t timeout_ns)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
			       { .fd = wake, .events = POLLIN } };
	struct timespec t = { timeout_ns / 1000000000,
			      timeout_ns % 1000000000 };
	uint64_t count;
	int i;

	if (fd == up.kick &&
	    __atomic_load_n(&up.ring->sq_tail, __ATOMIC_ACQUIRE) !=
		    up.ring->sq_head)
		return;
	ppoll(p, 2, timeout_ns < 0 ? NULL : &t, NULL);
	for (i = 0; i < 2; i++)
		if (p[i].revents && read(p[i].fd, &count, sizeof(count)) < 0 &&
		    errno != EAGAIN)
			abort();
}

/* The queue. */

static int submit_one(const struct kvlift_req *q)
{
	struct up_request *r;

	if (q->fd < 0 || (unsigned int)q->fd >= UP_REGIONS ||
	    !up.region[q->fd].count)
		return -EBADF;
	if (!q->count || q->count > KVLIFT_REQ_MAX_BLOCKS)
		return -EINVAL;
	r = find(q->cookie, true);
	if (!r)
		return -EAGAIN;
	r->has = calloc(q->count, 1);
	if (!r->has)
		return -ENOMEM;
	r->req = *q;
	r->state = UP_WAITING;
	r->error = 0;
	r->told = false;
	r->start = up.region[q->fd].first + q->first;
	r->blocks = q->count;
	r->left = q->count + 1;
	r->ns = kvl_now_ns();
	if (q->first >= up.region[q->fd].count ||
	    q->count > up.region[q->fd].count - q->first ||
	    (q->flags & KVLIFT_REQ_GPU && q->count > up.gpu_slots)) {
		r->error = q->count > up.gpu_slots ? -EDQUOT : -ENXIO;
		r->req.count = 0;
		r->left = 1;
	}
	up.fifo[up.fifo_tail++ % UP_REQUESTS] = (uint32_t)(r - up.requests);
	return 0;
}

int kvlift_queue_submit(int queue, const struct kvlift_req *reqs,
			unsigned int count)
{
	unsigned int n;
	int ret = 0;

	pthread_mutex_lock(&up.lock);
	for (n = 0; n < count && !ret; n++)
		ret = submit_one(&reqs[n]);
	if (ret)
		n--;
	pthread_cond_broadcast(&up.changed);
	pthread_mutex_unlock(&up.lock);
	return n || !count ? (int)n : ret;
}

static void free_request(struct up_request *r)
{
	free(r->has);
	r->has = NULL;
	r->state = UP_FREE;
}

int kvlift_queue_read(int queue, struct kvlift_event *events,
		      unsigned int count)
{
	struct up_request *r;
	unsigned int n = 0;
	uint64_t value;

	pthread_mutex_lock(&up.lock);
	for (; n < count && up.events_head != up.events_tail; n++) {
		r = &up.requests[up.events[up.events_head++ % UP_REQUESTS]];
		events[n] = (struct kvlift_event){
			.cookie = r->req.cookie,
			.res = r->error,
			.blocks = r->error ? 0 : r->blocks,
			.ns = r->ns,
		};
		r->told = true;
		if (r->state == UP_DONE)
			free_request(r);
	}
	if (n && up.events_head == up.events_tail &&
	    read(up.queue, &value, sizeof(value)) < 0)
		abort();
	pthread_mutex_unlock(&up.lock);
	return n ? (int)n : -EAGAIN;
}

int kvlift_queue_release(int queue, uint64_t cookie)
{
	struct up_request *r;
	int ret = 0;

	pthread_mutex_lock(&up.lock);
	r = find(cookie, false);
	if (!r || r->state == UP_DONE) {
		ret = -ENOENT;
	} else if (r->state == UP_WAITING) {
		ret = -EBUSY;
	} else {
		up_unlease(r);
		r->state = UP_DONE;
		if (r->told)
			free_request(r);
	}
	pthread_mutex_unlock(&up.lock);
	return ret;
}

int kvlift_queue_cancel(int queue, uint64_t cookie)
{
	return -ENOENT; /* it is too late */
}

int __wrap_kvlift_gpu_attach(const struct kvlift_pool *pool, const char *dir,
			     const struct kvlift_gpu_opts *opts,
			     struct kvlift_gpu **out);
int __wrap_kvlift_gpu_attach(const struct kvlift_pool *pool, const char *dir,
			     const struct kvlift_gpu_opts *opts,
			     struct kvlift_gpu **out)
{
	return kvl_gpu_open(-1, pool->block_size, opts,
			    opts->backend == KVLIFT_GPU_CUDA ? &kvl_gpu_cuda
							     : &kvl_gpu_memcpy,
			    out);
}

/* No directory. */
int kvlift_pool_fd(const struct kvlift_pool *pool)
{
	return -1;
}
