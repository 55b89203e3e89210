// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Leases that end when a stream has come so far. A mark is an event of the
 * backend, which kvlift_gpu_release_after() records on the stream; the mover
 * looks at marks and gives their leases back. That is why the module may have a
 * block copied out of the GPU, or over, as soon as its lease has ended: no work
 * that was submitted before can still read or write it.
 */
#include <stdlib.h>

#include "gpu.h"
#include "internal.h"

int kvl_gpu_releases_open(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_releases *r = &gpu->rel;
	uint32_t i;

	r->cookies = calloc(KVLIFT_GPU_RELEASES, sizeof(*r->cookies));
	r->lease_next = calloc(KVLIFT_GPU_RELEASES, sizeof(*r->lease_next));
	r->marks = calloc(KVLIFT_GPU_MARKS, sizeof(*r->marks));
	r->mark_next = calloc(KVLIFT_GPU_MARKS, sizeof(*r->mark_next));
	if (!r->cookies || !r->lease_next || !r->marks || !r->mark_next)
		return -ENOMEM;
	r->leases_free = r->marks_free = r->active = kvl_gpu_empty();
	for (i = 0; i < KVLIFT_GPU_RELEASES; i++)
		kvl_gpu_push(&r->leases_free, r->lease_next, i);
	for (i = 0; i < KVLIFT_GPU_MARKS; i++)
		kvl_gpu_push(&r->marks_free, r->mark_next, i);
	r->free_leases = KVLIFT_GPU_RELEASES;
	return 0;
}

void kvl_gpu_releases_close(struct kvlift_gpu *gpu)
{
	free(gpu->rel.cookies);
	free(gpu->rel.lease_next);
	free(gpu->rel.marks);
	free(gpu->rel.mark_next);
}

/* Needs the lock. */
static void put_back(struct kvl_gpu_releases *r, uint32_t at)
{
	struct kvl_gpu_mark *m = &r->marks[at];

	r->free_leases += m->count;
	atomic_fetch_sub(&r->waiting, m->count);
	kvl_gpu_splice(&r->leases_free, r->lease_next, &m->leases);
	kvl_gpu_push(&r->marks_free, r->mark_next, at);
}

/* A mark with these leases, or KVL_GPU_NONE. Needs the lock. */
static uint32_t get_mark(struct kvl_gpu_releases *r, const uint64_t *cookies,
			 unsigned int count)
{
	struct kvl_gpu_mark *m;
	unsigned int i;
	uint32_t at, l;

	if (count > r->free_leases || kvl_gpu_is_empty(&r->marks_free))
		return KVL_GPU_NONE;
	at = kvl_gpu_pop(&r->marks_free, r->mark_next);
	m = &r->marks[at];
	m->leases = kvl_gpu_empty();
	m->count = count;
	for (i = 0; i < count; i++) {
		l = kvl_gpu_pop(&r->leases_free, r->lease_next);
		r->cookies[l] = cookies[i];
		kvl_gpu_push(&m->leases, r->lease_next, l);
	}
	r->free_leases -= count;
	atomic_fetch_add(&r->waiting, count);
	return at;
}

int kvlift_gpu_release_after(struct kvlift_gpu *gpu, const uint64_t *cookies,
			     unsigned int count, uint64_t stream)
{
	struct kvl_gpu_releases *r = &gpu->rel;
	int ret, saved = errno;
	uint32_t at;

	if (!count || count > KVLIFT_GPU_RELEASES)
		return -EINVAL;
	if (kvl_gpu_has_failed(gpu))
		return -ENODEV;
	pthread_mutex_lock(&r->lock);
	at = get_mark(r, cookies, count);
	pthread_mutex_unlock(&r->lock);
	if (at == KVL_GPU_NONE)
		return -EAGAIN;
	ret = gpu->be->ops->mark(gpu->be, at, stream);
	pthread_mutex_lock(&r->lock);
	if (ret)
		put_back(r, at);
	else
		kvl_gpu_push(&r->active, r->mark_next, at);
	pthread_mutex_unlock(&r->lock);
	if (!ret)
		kvl_gpu_signal(gpu->wake);
	errno = saved;
	return ret;
}

/* Splits the marks that streams have come to off the others. Needs the lock. */
static struct kvl_gpu_list take_marked(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_list all = gpu->rel.active, done = kvl_gpu_empty();
	struct kvl_gpu_releases *r = &gpu->rel;
	uint32_t at;

	r->active = kvl_gpu_empty();
	while (!kvl_gpu_is_empty(&all)) {
		at = kvl_gpu_pop(&all, r->mark_next);
		/* On a device that has failed nothing runs any more either. */
		if (gpu->be->ops->marked(gpu->be, at))
			kvl_gpu_push(&done, r->mark_next, at);
		else
			kvl_gpu_push(&r->active, r->mark_next, at);
	}
	return done;
}

static void give_back(struct kvlift_gpu *gpu, const struct kvl_gpu_mark *m)
{
	struct kvl_gpu_releases *r = &gpu->rel;
	uint32_t l;

	for (l = m->leases.first; l != KVL_GPU_NONE; l = r->lease_next[l])
		if (kvlift_queue_release(gpu->queue, r->cookies[l]))
			atomic_fetch_add(&r->late, 1);
}

bool kvl_gpu_releases_reap(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_releases *r = &gpu->rel;
	struct kvl_gpu_list done;
	uint32_t at;

	if (!atomic_load(&r->waiting))
		return false;
	pthread_mutex_lock(&r->lock);
	done = take_marked(gpu);
	pthread_mutex_unlock(&r->lock);
	if (kvl_gpu_is_empty(&done))
		return false;
	for (at = done.first; at != KVL_GPU_NONE; at = r->mark_next[at])
		give_back(gpu, &r->marks[at]);
	pthread_mutex_lock(&r->lock);
	while (!kvl_gpu_is_empty(&done))
		put_back(r, kvl_gpu_pop(&done, r->mark_next));
	pthread_mutex_unlock(&r->lock);
	return true;
}
