// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Direct copies from the memory of other GPUs of the process. What the module
 * is told, which GPU a member is, and that its memory stays as long as copies
 * from it are on their way. For the locks see struct kvl_gpu_peers.
 */
#include "gpu.h"
#include "internal.h"

static pthread_mutex_t relations = PTHREAD_MUTEX_INITIALIZER;
/* Who has copied from another, or may. */
static struct kvlift_gpu *copiers;

/* In a child: whoever held the lock is not there, and nobody copies. */
void kvl_gpu_peers_forked(void)
{
	pthread_mutex_init(&relations, NULL);
	copiers = NULL;
}

void kvl_gpu_peers_init(struct kvlift_gpu *gpu)
{
	pthread_mutex_init(&gpu->peers.lock, NULL);
	pthread_cond_init(&gpu->peers.idle, NULL);
}

void kvl_gpu_peers_destroy(struct kvlift_gpu *gpu)
{
	pthread_mutex_destroy(&gpu->peers.lock);
	pthread_cond_destroy(&gpu->peers.idle);
}

int kvl_gpu_peer_get(struct kvlift_gpu *gpu, uint64_t arg, uint64_t *source)
{
	uint32_t member = (uint32_t)(arg >> 32), slot = (uint32_t)arg;
	struct kvl_gpu_peers *p = &gpu->peers;
	const struct kvlift_gpu *from;
	int ret = 0;

	if (member >= KVLIFT_MAX_MEMBERS)
		return -ENODEV;
	pthread_mutex_lock(&p->lock);
	from = p->of[member].from;
	if (!from) {
		ret = -ENODEV;
	} else if (slot >= from->slots) {
		ret = -EINVAL;
	} else {
		p->of[member].copies++;
		*source = from->be->base + slot * from->be->block;
	}
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void kvl_gpu_peer_put(struct kvlift_gpu *gpu, uint64_t arg)
{
	struct kvl_gpu_peers *p = &gpu->peers;

	pthread_mutex_lock(&p->lock);
	if (!--p->of[arg >> 32].copies)
		pthread_cond_broadcast(&p->idle);
	pthread_mutex_unlock(&p->lock);
}

void kvl_gpu_peers_end(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_peers *p = &gpu->peers;
	unsigned int i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < KVLIFT_MAX_MEMBERS; i++)
		p->of[i].copies = 0;
	pthread_cond_broadcast(&p->idle);
	pthread_mutex_unlock(&p->lock);
}

/*
 * Tells the module from which members; needs relations. One that is there no
 * more spoils it for all: then the others one by one.
 */
static int tell(struct kvlift_gpu *gpu, uint32_t members)
{
	uint32_t good = 0, more, i;
	int ret;

	ret = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_PEERS, &members);
	if (ret == -ENXIO) {
		ret = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_PEERS, &good);
		for (i = 0; i < KVLIFT_MAX_MEMBERS; i++) {
			more = good | (members & 1u << i);
			if (more != good &&
			    !kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_PEERS,
					       &more))
				good = more;
		}
		members = good;
	}
	if (!ret)
		gpu->peers.members = members;
	return ret;
}

/* Nothing is copied from there any more afterwards. Needs relations. */
static void take_out(struct kvlift_gpu *gpu, uint32_t member)
{
	struct kvl_gpu_peers *p = &gpu->peers;

	/* No new commands; then none of those that are in the ring; then none. */
	if (p->members & 1u << member)
		tell(gpu, p->members & ~(1u << member));
	pthread_mutex_lock(&p->lock);
	p->of[member].from = NULL;
	while (p->of[member].copies)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

/* Needs relations. */
static int put_in(struct kvlift_gpu *gpu, struct kvlift_gpu *from)
{
	struct kvl_gpu_peers *p = &gpu->peers;
	int ret;

	if (kvl_gpu_has_failed(gpu) || kvl_gpu_has_failed(from))
		return -ENODEV;
	ret = gpu->be->ops->peer(gpu->be, from->be);
	if (ret)
		return ret;
	if (!p->is_copier) {
		p->is_copier = true;
		p->next = copiers;
		copiers = gpu;
	}
	/* Before the module, whose commands may come at once. */
	pthread_mutex_lock(&p->lock);
	p->of[from->member].from = from;
	pthread_mutex_unlock(&p->lock);
	ret = tell(gpu, p->members | 1u << from->member);
	if (!ret && !(p->members & 1u << from->member))
		ret = -ENODEV;
	if (ret)
		take_out(gpu, from->member);
	return ret;
}

int kvlift_gpu_peer(struct kvlift_gpu *gpu, struct kvlift_gpu *from, bool on)
{
	int ret = 0, saved = errno;

	if (gpu == from || gpu->be->ops != from->be->ops)
		return -EINVAL;
	if (gpu->pool != from->pool || gpu->be->block != from->be->block)
		return -EXDEV;
	if (kvl_gpu_is_inherited(gpu) || kvl_gpu_is_inherited(from))
		return -ENODEV;
	pthread_mutex_lock(&relations);
	if (on)
		ret = put_in(gpu, from);
	else
		take_out(gpu, from->member);
	pthread_mutex_unlock(&relations);
	errno = saved;
	return ret;
}

void kvl_gpu_peers_leave(struct kvlift_gpu *from)
{
	struct kvlift_gpu *gpu;

	pthread_mutex_lock(&relations);
	for (gpu = copiers; gpu; gpu = gpu->peers.next)
		if (gpu->peers.of[from->member].from == from)
			take_out(gpu, from->member);
	pthread_mutex_unlock(&relations);
}

void kvl_gpu_peers_close(struct kvlift_gpu *gpu)
{
	struct kvlift_gpu **at = &copiers;

	pthread_mutex_lock(&relations);
	while (*at && *at != gpu)
		at = &(*at)->peers.next;
	if (*at)
		*at = gpu->peers.next;
	pthread_mutex_unlock(&relations);
}
