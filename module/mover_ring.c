// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rings of an attachment: commands and completions.
 *
 * Nothing that is read from them is believed: positions of the kernel's side are
 * kept here, a completion has to name a command in flight, by tag, use of the tag
 * and generation, and one that does not is counted and ignored. What a mover may
 * damage is the memory it was lent, which nobody is shown before the kernel has
 * decided to (gpu_move.c).
 */
#include <linux/eventfd.h>
#include <linux/ktime.h>

#include "mover_ring.h"
#include "move.h"

/* A cookie: generation, then use of the tag, then the tag. */
#define TAG_BITS	12
#define SEQ_MASK	GENMASK(31 - TAG_BITS, 0)

static_assert(BIT(TAG_BITS) >= KVLIFT_MOVER_DEPTH_MAX);

static u64 cookie_of(const struct kvl_gpu *g, u32 tag)
{
	return (u64)g->generation << 32 |
	       (g->cmds[tag].seq & SEQ_MASK) << TAG_BITS | tag;
}

static void push(struct kvl_gpu *g, const struct kvlift_cmd *c)
{
	struct kvlift_mover_ring *ring = g->shared;
	struct kvlift_cmd *sq = g->shared + SQ_OFFSET;

	lockdep_assert_held(&g->lock);
	sq[g->sq_tail & (kvl_ring_entries(g) - 1)] = *c;
	/* Who waits reads it without the lock. */
	WRITE_ONCE(g->sq_tail, g->sq_tail + 1);
	/* The command is there before it is counted. */
	smp_store_release(&ring->sq_tail, g->sq_tail);
}

/* There is a tag. */
static void send(struct kvl_gpu *g, struct kvl_copy *copy)
{
	bool in = kvl_addr_is_gpu(copy->dst);
	bool peer = in && kvl_addr_is_gpu(copy->src);
	u32 tag = g->tags[--g->ntags];
	struct kvl_command *cmd = &g->cmds[tag];
	u64 now = ktime_get_ns();

	cmd->copy = copy;
	cmd->seq++;
	cmd->cancelled = false;
	cmd->deadline = now + (u64)g->deadline_ms * NSEC_PER_MSEC;
	copy->t_issue = now;
	push(g, &(struct kvlift_cmd){
		.cookie = cookie_of(g, tag),
		.op = peer ? KVLIFT_CMD_PEER :
		      in   ? KVLIFT_CMD_IN :
			     KVLIFT_CMD_OUT,
		.window = peer ? 0 : kvl_mem_slot(g->pool, copy->stage)->nth,
		.slot = kvlift_loc_slot(in ? copy->dst : copy->src),
		.bytes = g->pool->block_size,
		.deadline_ns = cmd->deadline,
		.region = copy->region,
		.index = copy->index,
		.arg = peer ? (u64)kvlift_loc_member(copy->src) << 32 |
				      kvlift_loc_slot(copy->src) :
			      0,
	});
}

static unsigned long late_period(const struct kvl_gpu *g)
{
	return msecs_to_jiffies(g->deadline_ms / 4) + 1;
}

/* Commands are in flight. */
static void watch(struct kvl_gpu *g)
{
	queue_delayed_work(g->pool->wq, &g->late, late_period(g));
}

/* Needs the lock. */
static void wake(struct kvl_gpu *g)
{
	lockdep_assert_held(&g->lock);
	wake_up_all(&g->wait);
	if (g->efd)
		eventfd_signal(g->efd);
}

void kvl_mover_wake(struct kvl_gpu *g)
{
	spin_lock(&g->lock);
	wake(g);
	spin_unlock(&g->lock);
}

void kvl_mover_submit(struct kvl_gpu *g, struct kvl_copy *copy)
{
	bool up, quiet = copy->quiet;

	copy->error = 0;
	spin_lock(&g->lock);
	up = kvl_mover_is_up(g);
	if (up && g->ntags)
		send(g, copy);
	else if (up)
		list_add_tail(&copy->wait, &g->backlog);
	/* Under the lock: from here on the copy, and all of it, may be over. */
	if (up && !quiet)
		wake(g);
	if (up)
		watch(g);
	spin_unlock(&g->lock);
	if (up)
		return;
	copy->error = -ENODEV;
	copy->t_done = ktime_get_ns();
	copy->done(copy);
}

/* All that is in flight ends, and nothing is any more. */
static void take_all(struct kvl_gpu *g, struct list_head *list)
{
	u32 i;

	for (i = 0; i < g->depth; i++) {
		struct kvl_command *cmd = &g->cmds[i];

		if (!cmd->copy)
			continue;
		list_add_tail(&cmd->copy->wait, list);
		cmd->copy = NULL;
		g->tags[g->ntags++] = i;
	}
	list_splice_tail_init(&g->backlog, list);
}

/* They may be gone as soon as this is called. */
static void end_all(struct list_head *list, int err)
{
	struct kvl_copy *copy, *tmp;
	u64 now = ktime_get_ns();

	list_for_each_entry_safe(copy, tmp, list, wait) {
		if (err)
			copy->error = err;
		copy->t_done = now;
		copy->done(copy);
	}
}

void kvl_mover_fail(struct kvl_gpu *g, const char *why)
{
	struct kvlift_mover_ring *ring;
	LIST_HEAD(list);

	spin_lock(&g->lock);
	if (!kvl_mover_is_up(g)) {
		spin_unlock(&g->lock);
		return;
	}
	g->state = KVLIFT_MOVER_FAILED;
	ring = g->shared;
	if (ring) {
		WRITE_ONCE(ring->state, KVLIFT_MOVER_FAILED);
		take_all(g, &list);
	}
	spin_unlock(&g->lock);
	if (why)
		pr_warn_ratelimited("pool %u: %s has failed: %s\n",
				    g->pool->id, g->m.name, why);
	/* First, so that nothing is published there any more. */
	kvl_gpu_die(g);
	end_all(&list, -ENODEV);
	kvl_mover_wake(g);
	/* Its window goes when no queue is left: what lives there need not. */
	kvl_window_kick(&g->win);
}

/* Commands past their deadline: told once, then it is over. */
static void look_for_late(struct work_struct *work)
{
	struct kvl_gpu *g = container_of(to_delayed_work(work), struct kvl_gpu,
					 late);
	bool any = false, over = false, told = false;
	u64 now = ktime_get_ns();
	u32 i;

	spin_lock(&g->lock);
	for (i = 0; kvl_mover_is_up(g) && i < g->depth; i++) {
		struct kvl_command *cmd = &g->cmds[i];

		if (!cmd->copy)
			continue;
		any = true;
		if (now < cmd->deadline)
			continue;
		over |= cmd->cancelled;
		if (cmd->cancelled)
			continue;
		cmd->cancelled = true;
		cmd->deadline += (u64)g->deadline_ms * NSEC_PER_MSEC;
		g->nr_late++;
		told = true;
		push(g, &(struct kvlift_cmd){
			.op = KVLIFT_CMD_CANCEL,
			.arg = cookie_of(g, i),
		});
	}
	spin_unlock(&g->lock);
	if (over)
		kvl_mover_fail(g, "a command took longer than twice its time");
	else if (any)
		queue_delayed_work(g->pool->wq, &g->late, late_period(g));
	if (told)
		kvl_mover_wake(g);
}

void kvl_mover_init(struct kvl_gpu *g)
{
	spin_lock_init(&g->lock);
	INIT_LIST_HEAD(&g->backlog);
	init_waitqueue_head(&g->wait);
	mutex_init(&g->enter);
	INIT_DELAYED_WORK(&g->late, look_for_late);
}

bool kvl_mover_is_current(struct kvl_gpu *g)
{
	bool is = false;
	unsigned int i;

	spin_lock(&g->lock);
	for (i = 0; i < g->nthreads; i++)
		is |= g->threads[i].pid == current->pid &&
		      g->threads[i].start == current->start_boottime;
	spin_unlock(&g->lock);
	return is;
}

static bool is_alive(pid_t pid, u64 start)
{
	struct task_struct *t;
	bool alive;

	rcu_read_lock();
	t = pid_task(find_pid_ns(pid, &init_pid_ns), PIDTYPE_PID);
	alive = t && t->start_boottime == start && !READ_ONCE(t->exit_state);
	rcu_read_unlock();
	return alive;
}

/* Those that have ended make room. False: there are too many. */
bool kvl_mover_remember_current(struct kvl_gpu *g)
{
	unsigned int i, n = 0;
	bool room;

	if (kvl_mover_is_current(g))
		return true;
	spin_lock(&g->lock);
	if (g->nthreads == KVLIFT_MOVER_THREADS) {
		for (i = 0; i < KVLIFT_MOVER_THREADS; i++)
			if (is_alive(g->threads[i].pid, g->threads[i].start))
				g->threads[n++] = g->threads[i];
		g->nthreads = n;
	}
	room = g->nthreads < KVLIFT_MOVER_THREADS;
	if (room) {
		g->threads[g->nthreads].pid = current->pid;
		g->threads[g->nthreads++].start = current->start_boottime;
	}
	spin_unlock(&g->lock);
	return room;
}

/* The copy of the command that has ended, or NULL. */
static struct kvl_copy *complete_one(struct kvl_gpu *g,
				     const struct kvlift_done *d)
{
	u32 tag = d->cookie & GENMASK(TAG_BITS - 1, 0);
	struct kvl_copy *copy = NULL;

	lockdep_assert_held(&g->lock);
	if (kvl_mover_is_up(g) && tag < g->depth && g->cmds[tag].copy &&
	    d->cookie == cookie_of(g, tag))
		copy = g->cmds[tag].copy;
	if (!copy) {
		g->nr_ignored++;
		return NULL;
	}
	g->cmds[tag].copy = NULL;
	g->tags[g->ntags++] = tag;
	if (d->res || d->pad || d->reserved) {
		/* Of one that is the mover's own affair there is no more to say. */
		copy->error = -EIO;
		g->nr_failed++;
	} else if (kvl_addr_is_gpu(copy->dst)) {
		g->nr_in++;
	} else {
		g->nr_out++;
	}
	return copy;
}

static void send_backlog(struct kvl_gpu *g)
{
	struct kvl_copy *copy;

	while (g->ntags &&
	       (copy = list_first_entry_or_null(&g->backlog, struct kvl_copy,
						wait))) {
		list_del(&copy->wait);
		send(g, copy);
	}
}

/* What the mover says is done. Needs g->enter. */
u32 kvl_mover_take_done(struct kvl_gpu *g)
{
	struct kvlift_mover_ring *ring = g->shared;
	struct kvlift_done *cq = g->shared + kvl_cq_offset(g);
	/* Pairs with the release of the mover. */
	u32 n = smp_load_acquire(&ring->cq_tail) - g->cq_head, i;
	LIST_HEAD(list);

	if (n > kvl_ring_entries(g)) {
		kvl_mover_fail(g, "its completion ring makes no sense");
		return 0;
	}
	spin_lock(&g->lock);
	for (i = 0; i < n; i++, g->cq_head++) {
		u32 at = g->cq_head & (kvl_ring_entries(g) - 1);
		/* Once, whatever becomes of it meanwhile. */
		struct kvlift_done d = {
			.cookie = READ_ONCE(cq[at].cookie),
			.res = READ_ONCE(cq[at].res),
			.pad = READ_ONCE(cq[at].pad),
			.reserved = READ_ONCE(cq[at].reserved),
		};
		struct kvl_copy *copy = complete_one(g, &d);

		if (copy)
			list_add_tail(&copy->wait, &list);
	}
	if (kvl_mover_is_up(g) && !list_empty(&g->backlog)) {
		send_backlog(g);
		wake(g);
		watch(g);
	}
	spin_unlock(&g->lock);
	/* Theirs again, when all have been read. */
	smp_store_release(&ring->cq_head, g->cq_head);
	end_all(&list, 0);
	return n;
}
