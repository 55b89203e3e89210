// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The mover: a thread that takes commands from the submission ring, has the
 * backend copy in batches, and writes completions. A completion is written when
 * the copy is done, as an event of the device says, never when it has begun.
 *
 * A command waits in a list of its direction until its batch begins; until then
 * it can be cancelled. Batches of a direction end in the order in which they
 * began.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu.h"
#include "internal.h"
#include "io.h"

/* After the last that happened: how long to look again without a pause, */
#define SPIN_NS 50000
/* and how long a pause is at the most, with copies on their way or only marks. */
#define PAUSE_COPY_NS 100000
#define PAUSE_MARK_NS 1000000
/* Streams are asked no more often than this. */
#define MARKS_NS 20000

static bool is_ring_good(const struct kvlift_mover_ring *r, size_t bytes)
{
	uint32_t sq = r->sq_entries, cq = r->cq_entries;

	return sq && !(sq & (sq - 1)) && cq && !(cq & (cq - 1)) &&
	       sq < UINT32_MAX / sizeof(struct kvlift_cmd) &&
	       cq < UINT32_MAX / sizeof(struct kvlift_done) &&
	       r->sq_offset >= sizeof(*r) && r->cq_offset >= sizeof(*r) &&
	       r->sq_offset + (uint64_t)sq * sizeof(struct kvlift_cmd) <=
		       bytes &&
	       r->cq_offset + (uint64_t)cq * sizeof(struct kvlift_done) <=
		       bytes &&
	       !(r->sq_offset % 8) && !(r->cq_offset % 8);
}

int kvl_gpu_mover_open(struct kvlift_gpu *gpu, const struct kvlift_mover *arg)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	unsigned int dir;
	void *addr;
	uint32_t i;
	int ret;

	if (arg->ring_bytes < sizeof(*m->ring) || !arg->depth ||
	    arg->depth > KVLIFT_MOVER_DEPTH_MAX ||
	    arg->member >= KVLIFT_MAX_MEMBERS)
		return -EPROTO;
	ret = kvl_gpu_sys_map(gpu->fd, arg->ring_bytes, 0, &addr);
	if (ret)
		return ret;
	m->ring = addr;
	m->ring_bytes = arg->ring_bytes;
	if (!is_ring_good(m->ring, m->ring_bytes))
		return -EPROTO;
	m->sq_entries = m->ring->sq_entries;
	m->cq_entries = m->ring->cq_entries;
	m->sq = (const void *)((char *)addr + m->ring->sq_offset);
	m->cq = (void *)((char *)addr + m->ring->cq_offset);
	m->sq_head = m->ring->sq_head;
	m->cq_tail = m->ring->cq_tail;
	m->cmds = calloc(arg->depth, sizeof(*m->cmds));
	m->next = calloc(arg->depth, sizeof(*m->next));
	if (!m->cmds || !m->next)
		return -ENOMEM;
	m->free = kvl_gpu_empty();
	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		m->waiting[dir] = kvl_gpu_empty();
	for (i = 0; i < arg->depth; i++)
		kvl_gpu_push(&m->free, m->next, i);
	return 0;
}

void kvl_gpu_mover_close(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_mover *m = &gpu->mover;

	free(m->cmds);
	free(m->next);
	if (m->ring)
		kvl_gpu_sys_unmap(m->ring, m->ring_bytes);
}

/* Has the module take the completions that were written. 0 or -errno. */
static int enter(struct kvlift_gpu *gpu)
{
	struct kvlift_mover_enter arg;
	int ret;

	__atomic_store_n(&gpu->mover.ring->cq_tail, gpu->mover.cq_tail,
			 __ATOMIC_RELEASE);
	memset(&arg, 0, sizeof(arg));
	ret = kvl_gpu_sys_ioctl(gpu->fd, KVLIFT_IOC_MOVER_ENTER, &arg);
	/* What was completed has been taken. */
	return ret == -EINTR ? 0 : ret;
}

static bool is_cq_full(const struct kvl_gpu_mover *m)
{
	return m->cq_tail -
		       __atomic_load_n(&m->ring->cq_head, __ATOMIC_ACQUIRE) >=
	       m->cq_entries;
}

/* There is always room, says the module; else it has not kept to its word. */
static int complete(struct kvlift_gpu *gpu, uint64_t cookie, int res,
		    uint64_t ns)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	int ret;

	if (is_cq_full(m)) {
		ret = enter(gpu);
		if (ret)
			return ret;
		if (is_cq_full(m))
			return -EPROTO;
	}
	m->cq[m->cq_tail & (m->cq_entries - 1)] = (struct kvlift_done){
		.cookie = cookie,
		.res = res,
		.ns = ns,
	};
	m->cq_tail++;
	if (res && res != -ECANCELED)
		atomic_fetch_add(&gpu->errors, 1);
	return 0;
}

/* The command has ended, completed or not. */
static void drop(struct kvlift_gpu *gpu, uint32_t at)
{
	struct kvl_gpu_mover *m = &gpu->mover;

	if (m->cmds[at].is_peer)
		kvl_gpu_peer_put(gpu, m->cmds[at].arg);
	kvl_gpu_push(&m->free, m->next, at);
}

/* Copies that have begun go on: who cancels waits for their completion, too. */
static int cancel(struct kvlift_gpu *gpu, uint64_t cookie)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	struct kvl_gpu_list keep;
	bool found = false;
	unsigned int dir;
	uint32_t at;

	for (dir = 0; dir < KVL_GPU_DIRS; dir++) {
		keep = kvl_gpu_empty();
		while (!kvl_gpu_is_empty(&m->waiting[dir])) {
			at = kvl_gpu_pop(&m->waiting[dir], m->next);
			if (!found && m->cmds[at].cookie == cookie) {
				found = true;
				drop(gpu, at);
			} else {
				kvl_gpu_push(&keep, m->next, at);
			}
		}
		m->waiting[dir] = keep;
	}
	return found ? complete(gpu, cookie, -ECANCELED, 0) : 0;
}

/* What a command is to copy, and where. 0 or -errno: what is wrong with it. */
static int understand(struct kvlift_gpu *gpu, const struct kvlift_cmd *cmd,
		      enum kvl_gpu_dir *dir, struct kvl_gpu_copy *copy)
{
	switch (cmd->op) {
	case KVLIFT_CMD_IN:
		*dir = KVL_GPU_IN;
		break;
	case KVLIFT_CMD_OUT:
		*dir = KVL_GPU_OUT;
		break;
	case KVLIFT_CMD_PEER:
		*dir = KVL_GPU_PEER;
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (cmd->slot >= gpu->slots || !cmd->bytes ||
	    cmd->bytes > gpu->be->block)
		return -EINVAL;
	*copy = (struct kvl_gpu_copy){ .slot = cmd->slot, .bytes = cmd->bytes };
	if (*dir == KVL_GPU_PEER)
		return kvl_gpu_peer_get(gpu, cmd->arg, &copy->source);
	copy->window = cmd->window;
	return cmd->window < gpu->window_slots ? 0 : -EINVAL;
}

/* A command to copy: keep it for a batch, or say what is wrong with it. */
static int keep(struct kvlift_gpu *gpu, const struct kvlift_cmd *cmd)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	struct kvl_gpu_copy copy;
	enum kvl_gpu_dir dir;
	uint32_t at;
	int ret;

	ret = understand(gpu, cmd, &dir, &copy);
	if (ret)
		return complete(gpu, cmd->cookie, ret, 0);
	at = kvl_gpu_pop(&m->free, m->next);
	m->cmds[at] = (struct kvl_gpu_cmd){
		.cookie = cmd->cookie,
		.arg = cmd->arg,
		.is_peer = dir == KVL_GPU_PEER,
		.copy = copy,
	};
	kvl_gpu_push(&m->waiting[dir], m->next, at);
	return 0;
}

/* Takes commands: how many, or -errno. */
static int take(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	uint32_t tail = __atomic_load_n(&m->ring->sq_tail, __ATOMIC_ACQUIRE);
	uint32_t begin = m->sq_head;
	struct kvlift_cmd cmd;
	int ret = 0;

	if (tail - begin > m->sq_entries)
		return -EPROTO;
	while (m->sq_head != tail && !ret) {
		cmd = m->sq[m->sq_head & (m->sq_entries - 1)];
		if (cmd.op == KVLIFT_CMD_CANCEL)
			ret = cancel(gpu, cmd.arg);
		else if (kvl_gpu_is_empty(&m->free))
			break;
		else
			ret = keep(gpu, &cmd);
		m->sq_head++;
	}
	__atomic_store_n(&m->ring->sq_head, m->sq_head, __ATOMIC_RELEASE);
	return ret ? ret : (int)(m->sq_head - begin);
}

static unsigned int tag_of(enum kvl_gpu_dir dir, unsigned int flight)
{
	return (unsigned int)dir * KVL_GPU_FLIGHTS + flight % KVL_GPU_FLIGHTS;
}

/* Begins one batch. 0 or -errno of a completion. */
static int begin(struct kvlift_gpu *gpu, enum kvl_gpu_dir dir)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	unsigned int nr = m->begun[dir], n = 0, i;
	struct kvl_gpu_flight *f = &m->flight[dir][nr % KVL_GPU_FLIGHTS];
	int ret, res;
	uint32_t at;

	f->cmds = kvl_gpu_empty();
	f->start_ns = kvl_now_ns();
	while (n < gpu->be->batch[dir] && !kvl_gpu_is_empty(&m->waiting[dir])) {
		at = kvl_gpu_pop(&m->waiting[dir], m->next);
		kvl_gpu_push(&f->cmds, m->next, at);
		m->batch[n++] = m->cmds[at].copy;
	}
	res = gpu->be->ops->copy(gpu->be, dir, m->batch, n, tag_of(dir, nr));
	if (!res) {
		for (i = 0, at = f->cmds.first; i < n; i++, at = m->next[at])
			m->cmds[at].copy.res = m->batch[i].res;
		m->begun[dir]++;
		return 0;
	}
	for (ret = 0; !kvl_gpu_is_empty(&f->cmds) && !ret;) {
		at = kvl_gpu_pop(&f->cmds, m->next);
		ret = complete(gpu, m->cmds[at].cookie, res, 0);
		drop(gpu, at);
	}
	return ret;
}

/* Begins what there is room for: how many batches, or -errno. */
static int begin_all(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	unsigned int dir;
	int n = 0, ret;

	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		while (!kvl_gpu_is_empty(&m->waiting[dir]) &&
		       m->begun[dir] - m->flown[dir] < gpu->be->flights) {
			ret = begin(gpu, dir);
			if (ret)
				return ret;
			n++;
		}
	return n;
}

/* Completes the oldest batch, which has ended like @res. 0 or -errno. */
static int end(struct kvlift_gpu *gpu, enum kvl_gpu_dir dir, int res)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	unsigned int nr = m->flown[dir]++;
	struct kvl_gpu_flight *f = &m->flight[dir][nr % KVL_GPU_FLIGHTS];
	uint64_t now = kvl_now_ns(), start = f->start_ns;
	struct kvl_gpu_cmd *cmd;
	uint32_t at;
	int ret = 0;

	/* It began on the device when the one before it had ended. */
	if (start < m->end_ns[dir])
		start = m->end_ns[dir];
	m->end_ns[dir] = now;
	while (!kvl_gpu_is_empty(&f->cmds) && !ret) {
		at = kvl_gpu_pop(&f->cmds, m->next);
		cmd = &m->cmds[at];
		ret = complete(gpu, cmd->cookie,
			       cmd->copy.res ? cmd->copy.res : res,
			       now - start);
		drop(gpu, at);
	}
	return ret;
}

/* Completes what has ended: how many batches, or -errno. */
static int end_all(struct kvlift_gpu *gpu)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	unsigned int dir;
	int n = 0, res, ret;

	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		while (m->begun[dir] != m->flown[dir]) {
			res = gpu->be->ops->poll(gpu->be,
						 tag_of(dir, m->flown[dir]));
			if (!res)
				break;
			ret = end(gpu, dir, res < 0 ? res : 0);
			if (ret)
				return ret;
			n++;
		}
	return n;
}

/* One look at everything: how much has happened, or -errno. */
static int look(struct kvlift_gpu *gpu, uint64_t now)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	uint32_t told = m->cq_tail;
	int took, begun, ended, ret;

	if (__atomic_load_n(&m->ring->state, __ATOMIC_ACQUIRE) ==
	    KVLIFT_MOVER_FAILED)
		return -ENODEV;
	took = take(gpu);
	begun = took < 0 ? took : begin_all(gpu);
	ended = begun < 0 ? begun : end_all(gpu);
	if (ended < 0)
		return ended;
	if (m->cq_tail != told) {
		ret = enter(gpu);
		if (ret)
			return ret;
	}
	if (now - m->marks_ns >= MARKS_NS) {
		m->marks_ns = now;
		took += kvl_gpu_releases_reap(gpu);
	}
	return took + begun + ended;
}

static void rest(struct kvlift_gpu *gpu, uint64_t now)
{
	struct kvl_gpu_mover *m = &gpu->mover;
	int64_t idle = (int64_t)(now - m->last_ns), most;
	bool copies = false;
	unsigned int dir;

	for (dir = 0; dir < KVL_GPU_DIRS; dir++)
		copies |= m->begun[dir] != m->flown[dir];
	if (!copies && !atomic_load(&gpu->rel.waiting)) {
		kvl_gpu_sys_wait(gpu->fd, gpu->wake, -1);
		return;
	}
	if (idle < SPIN_NS)
		return;
	/* The longer it has taken the longer it may take. */
	most = copies ? PAUSE_COPY_NS : PAUSE_MARK_NS;
	kvl_gpu_sys_wait(gpu->fd, gpu->wake, idle / 4 < most ? idle / 4 : most);
}

/* No memory of another GPU is used any more when it returns. */
static void end_peers(struct kvlift_gpu *gpu)
{
	const struct timespec pause = { .tv_nsec = PAUSE_COPY_NS };
	struct kvl_gpu_mover *m = &gpu->mover;

	while (m->begun[KVL_GPU_PEER] != m->flown[KVL_GPU_PEER]) {
		if (gpu->be->ops->poll(gpu->be, tag_of(KVL_GPU_PEER,
						       m->flown[KVL_GPU_PEER])))
			m->flown[KVL_GPU_PEER]++;
		else
			nanosleep(&pause, NULL);
	}
	kvl_gpu_peers_end(gpu);
}

void *kvl_gpu_mover_run(void *arg)
{
	struct kvlift_gpu *gpu = arg;
	uint64_t now;
	int n;

	/* From here on the module knows who must not wait for a mover. */
	n = gpu->be->ops->enter(gpu->be);
	if (n >= 0)
		n = enter(gpu);
	while (n >= 0 && !atomic_load(&gpu->stop)) {
		now = kvl_now_ns();
		n = look(gpu, now);
		if (n > 0)
			gpu->mover.last_ns = now;
		else if (!n)
			rest(gpu, now);
	}
	if (n < 0) {
		atomic_store(&gpu->failed, true);
		kvl_gpu_signal(gpu->gone);
	}
	end_peers(gpu);
	return NULL;
}
