// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: requests with a priority and a deadline, completions that can be
 * polled, read, or signalled through an eventfd, and leases.
 *
 * A lease keeps a block where it is: it is counted in the slot, and no move
 * begins or commits while the count is not zero. The word that was current
 * when the lease was taken tells later whether the block is still the one the
 * lease is for; a block that was deleted has taken its leases with it.
 */
#include <linux/anon_inodes.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "domain.h"
#include "inode.h"
#include "move.h"
#include "queue.h"
#include "trace.h"

/* Requests of a queue whose completion has not been read. */
#define MAX_REQUESTS	4096

/**
 * struct kvl_queue - a descriptor from KVLIFT_IOC_QUEUE
 * @pool:	the pool
 * @file:	of the pool, keeps it mounted
 * @lock:	protects what follows
 * @requests:	all of them
 * @ended:	those whose completion is to be read
 * @nr:		length of @requests
 * @over:	leases that have ended by themselves, not cleared up yet
 * @wait:	readers, and the last close
 * @efd:	signalled with each completion, or NULL
 */
struct kvl_queue {
	struct kvl_pool *pool;
	struct file *file;
	spinlock_t lock;	/* all that follows */
	struct list_head requests;
	struct list_head ended;
	unsigned int nr;
	atomic_t over;
	wait_queue_head_t wait;
	struct eventfd_ctx *efd;
};

/* The tier of a block that is fast enough. */
static bool in_place(struct kvl_request *p, u64 loc)
{
	return loc & KVLIFT_LOC_PRESENT && kvlift_loc_tier(loc) <= p->tier;
}

static void unlease_block(struct kvl_request *p, u64 index, u64 loc)
{
	struct kvl_block *b = kvl_region_find(p->r, index);
	struct kvl_pool *pool = kvl_region_pool(p->r);

	kvl_block_lock(b);
	if (!((b->loc ^ loc) & KVL_LOC_PLACE)) {
		struct kvl_slot *s = kvl_mem_slot(pool, kvl_block_home(b));

		/* The generation may have gone round: then there is none. */
		if (s->leases)
			s->leases--;
	}
	kvl_block_unlock(b);
	kvl_domain_unlease(p->r->domain, kvlift_loc_tier(loc));
}

static void unlease(struct kvl_request *p)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 i;

	if (!p->leased)
		return;
	for (i = 0; i <= p->last - p->start; i++)
		if (p->locs[i])
			unlease_block(p, p->start + i, p->locs[i]);
	WRITE_ONCE(p->leased, false);
	/* Who could not move them may now. */
	kvl_pool_slot_freed(pool);
}

/* The block is in place and locked: keeps it there. 0 or -EDQUOT. */
static int lease(struct kvl_request *p, u64 index, struct kvl_block *b)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 home = kvl_block_home(b);
	unsigned int id = kvl_addr_tier(home);
	struct kvl_slot *s = kvl_mem_slot(pool, home);

	if (s->leases == U16_MAX || !kvl_domain_lease(p->r->domain, id))
		return -EDQUOT;
	s->leases++;
	p->locs[index - p->start] = b->loc;
	WRITE_ONCE(p->leased, true);
	return 0;
}

void kvl_request_block(struct kvl_request *p, u64 index, struct kvl_block *b,
		       int err)
{
	if (!err && p->lease_ms)
		err = lease(p, index, b);
	if (err) {
		WRITE_ONCE(p->error, err);
		atomic64_inc(&p->failed);
	} else {
		atomic64_inc(&p->ready);
	}
}

static void free_request(struct kvl_request *p)
{
	cancel_delayed_work_sync(&p->end);
	unlease(p);
	iput(&p->r->inode);
	kvfree(p->locs);
	kfree(p);
}

/* Takes a request out of its queue; the caller frees it without the lock. */
static void unlink_request(struct kvl_queue *q, struct kvl_request *p)
{
	list_del_init(&p->qlist);
	q->nr--;
}

static void post(struct kvl_request *p)
{
	struct kvl_queue *q = p->q;

	spin_lock(&q->lock);
	p->ended = ktime_get_ns();
	p->state = KVL_REQ_ENDED;
	trace_kvlift_request(q->pool->id, p->r->id, p->start,
			     p->last - p->start + 1, p->cookie, p->error,
			     p->ended - p->submitted);
	/* Not before: end_work() posts a request that still waits. */
	if (p->leased)
		mod_delayed_work(q->pool->wq, &p->end,
				 msecs_to_jiffies(p->lease_ms));
	list_add_tail(&p->elist, &q->ended);
	if (q->efd)
		eventfd_signal(q->efd);
	/* Under the lock: whoever frees the queue takes it first. */
	wake_up_all(&q->wait);
	spin_unlock(&q->lock);
}

/* Ends a request that failed with some leases, or a lease that is over. */
static void end_work(struct work_struct *work)
{
	struct kvl_request *p = container_of(to_delayed_work(work),
					     struct kvl_request, end);
	struct kvl_pool *pool = kvl_region_pool(p->r);

	if (READ_ONCE(p->state) == KVL_REQ_WAITING) {
		unlease(p);
		post(p);
		return;
	}
	kvl_count(pool, KVL_C_LEASE_EXPIRED);
	unlease(p);
	atomic_inc(&p->q->over);
}

/* Frees requests whose lease is over and whose event was read. */
static void clear_up(struct kvl_queue *q)
{
	struct kvl_request *p, *tmp;
	LIST_HEAD(over);

	if (!atomic_read(&q->over) || !atomic_xchg(&q->over, 0))
		return;
	spin_lock(&q->lock);
	list_for_each_entry_safe(p, tmp, &q->requests, qlist)
		if (p->state == KVL_REQ_LEASED && !READ_ONCE(p->leased)) {
			unlink_request(q, p);
			list_add(&p->qlist, &over);
		}
	spin_unlock(&q->lock);
	list_for_each_entry_safe(p, tmp, &over, qlist)
		free_request(p);
}

void kvl_request_put(struct kvl_request *p)
{
	if (!refcount_dec_and_test(&p->pending))
		return;
	/* All or nothing: half a lease is of no use to anybody. */
	if (p->leased && p->error)
		mod_delayed_work(p->q->pool->wq, &p->end, 0);
	else
		post(p);
}

/* What can be said at once: 0, or why it is no use to try. */
static int judge(struct kvl_request *p, u64 count)
{
	struct kvl_pool *pool = kvl_region_pool(p->r);
	u64 nr = kvl_region_nr_blocks(p->r);
	u64 missing = 0, cap = 0, i;
	struct kvl_block *b;
	unsigned int id;

	if (p->start >= nr || count > nr - p->start)
		return -ENXIO;
	if (!pool->tiers[p->tier].nr_members)
		return -ENODEV;
	for (id = KVLIFT_TIER_DRAM; id <= p->tier; id++)
		if (pool->tiers[id].nr_members)
			cap += kvl_domain_lease_cap(p->r->domain, id);
	if (p->lease_ms && count > cap)
		return -EDQUOT;
	/* Here and not by the worker: they are charged to who asks. */
	for (i = max(p->start, 1ULL); p->lease_ms && i <= p->last;
	     i = (i | (KVL_CHUNK_BLOCKS - 1)) + 1)
		if (!kvl_region_get(p->r, i))
			return -ENOMEM;
	for (i = p->start; (b = kvl_region_next(p->r, &i, p->last)); i++)
		missing += kvl_block_home(b) &&
			   !in_place(p, READ_ONCE(b->loc));
	p->missing = missing;
	return kvl_prefetch_in_time(pool, p) ? 0 : -ETIME;
}

static int submit_one(struct kvl_queue *q, const struct kvlift_req *u)
{
	struct kvl_request *p;
	struct fd f;
	int err;

	if (u->reserved[0] || u->reserved[1] || u->flags ||
	    u->op > KVLIFT_OP_ACQUIRE || u->prio > KVLIFT_PRIO_LOW ||
	    !u->count || u->count > KVLIFT_REQ_MAX_BLOCKS ||
	    u->first > U64_MAX - u->count ||
	    u->lease_ms > KVLIFT_LEASE_MAX_MS)
		return -EINVAL;
	/* A lease has a length, nothing else has one. */
	if (u->op == KVLIFT_OP_ACQUIRE ? !u->lease_ms : u->lease_ms)
		return -EINVAL;
	if (u->tier && u->tier != KVLIFT_TIER_DRAM &&
	    u->tier != KVLIFT_TIER_CXL)
		return -EINVAL;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	if (u->lease_ms) {
		p->locs = kvcalloc(u->count, sizeof(u64), GFP_KERNEL_ACCOUNT);
		if (!p->locs) {
			kfree(p);
			return -ENOMEM;
		}
	}
	f = fdget(u->fd);
	err = -EBADF;
	if (!fd_file(f))
		goto fail;
	err = -EACCES;
	if (!(fd_file(f)->f_mode & FMODE_READ))
		goto fail;
	err = -EINVAL;
	if (file_inode(fd_file(f))->i_sb != file_inode(q->file)->i_sb ||
	    !S_ISREG(file_inode(fd_file(f))->i_mode))
		goto fail;
	p->q = q;
	p->node = numa_node_id();
	p->r = kvl_region(file_inode(fd_file(f)));
	ihold(&p->r->inode);
	fdput(f);
	INIT_LIST_HEAD(&p->list);
	INIT_DELAYED_WORK(&p->end, end_work);
	p->start = u->first;
	p->first = u->first;
	p->last = u->first + u->count - 1;
	p->cookie = u->cookie;
	p->tier = u->tier ?: KVLIFT_TIER_CXL;
	if (!q->pool->tiers[p->tier].nr_members && !u->tier)
		p->tier = KVLIFT_TIER_DRAM;
	p->prio = u->prio;
	p->lease_ms = u->lease_ms;
	p->deadline = u->deadline_ns;
	p->submitted = ktime_get_ns();
	refcount_set(&p->pending, 1);
	spin_lock(&q->lock);
	if (q->nr >= MAX_REQUESTS) {
		spin_unlock(&q->lock);
		free_request(p);
		return -EAGAIN;
	}
	q->nr++;
	list_add_tail(&p->qlist, &q->requests);
	spin_unlock(&q->lock);
	p->error = judge(p, u->count);
	if (p->error) {
		atomic64_set(&p->failed, u->count);
		kvl_request_put(p);
	} else {
		kvl_prefetch_submit(q->pool, p);
	}
	return 0;

fail:
	fdput(f);
	kvfree(p->locs);
	kfree(p);
	return err;
}

static long submit(struct kvl_queue *q, void __user *arg)
{
	struct kvlift_submit __user *out = arg;
	struct kvlift_submit s;
	struct kvlift_req u;
	long err = 0;
	u32 i;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.flags || s.reserved[0] || s.reserved[1] ||
	    s.count > KVLIFT_SUBMIT_MAX)
		return -EINVAL;
	clear_up(q);
	for (i = 0; i < s.count && !err; i++) {
		if (copy_from_user(&u, u64_to_user_ptr(s.ptr) + i * sizeof(u),
				   sizeof(u)))
			err = -EFAULT;
		else
			err = submit_one(q, &u);
		cond_resched();
	}
	/* As write(2): what was taken is told, the error comes next time. */
	if (err && i == 1)
		return err;
	return put_user(err ? i - 1 : i, &out->done);
}

static struct kvl_request *find(struct kvl_queue *q, u64 cookie)
{
	struct kvl_request *p;

	list_for_each_entry(p, &q->requests, qlist)
		if (p->cookie == cookie)
			return p;
	return NULL;
}

/* Asks a request that has not ended to end now. */
static long cancel(struct kvl_queue *q, u64 cookie)
{
	struct kvl_request *p;
	bool waiting = false;
	int err = -ENOENT;

	spin_lock(&q->lock);
	p = find(q, cookie);
	if (p && p->state == KVL_REQ_WAITING) {
		err = 0;
		WRITE_ONCE(p->cancelled, true);
		waiting = kvl_prefetch_remove(q->pool, p);
	} else if (p) {
		err = -EALREADY;
	}
	spin_unlock(&q->lock);
	if (waiting) {
		p->error = -ECANCELED;
		kvl_request_put(p);
	}
	return err;
}

/* Gives a lease back. -ETIME: it was over before. */
static long release(struct kvl_queue *q, u64 cookie)
{
	struct kvl_request *p;
	long err;

	spin_lock(&q->lock);
	p = find(q, cookie);
	if (!p || !p->lease_ms) {
		err = -ENOENT;
	} else if (p->state == KVL_REQ_WAITING) {
		err = -EBUSY;
	} else {
		err = 0;
		if (p->state == KVL_REQ_ENDED)
			list_del_init(&p->elist);
		unlink_request(q, p);
	}
	spin_unlock(&q->lock);
	if (err)
		return err;
	cancel_delayed_work_sync(&p->end);
	if (!p->leased)
		err = p->error ?: -ETIME;
	free_request(p);
	return err;
}

static long set_eventfd(struct kvl_queue *q, int fd)
{
	struct eventfd_ctx *efd = NULL, *old;

	if (fd >= 0) {
		efd = eventfd_ctx_fdget(fd);
		if (IS_ERR(efd))
			return PTR_ERR(efd);
	}
	spin_lock(&q->lock);
	old = q->efd;
	q->efd = efd;
	if (efd && !list_empty(&q->ended))
		eventfd_signal(efd);
	spin_unlock(&q->lock);
	if (old)
		eventfd_ctx_put(old);
	return 0;
}

static long queue_ioctl(struct file *file, unsigned int cmd,
			unsigned long arg)
{
	struct kvl_queue *q = file->private_data;
	void __user *p = (void __user *)arg;
	u64 cookie;
	s32 fd;

	switch (cmd) {
	case KVLIFT_IOC_SUBMIT:
		return submit(q, p);
	case KVLIFT_IOC_EVENTFD:
		if (get_user(fd, (s32 __user *)p))
			return -EFAULT;
		return set_eventfd(q, fd);
	case KVLIFT_IOC_CANCEL:
	case KVLIFT_IOC_RELEASE:
		if (get_user(cookie, (u64 __user *)p))
			return -EFAULT;
		return cmd == KVLIFT_IOC_CANCEL ? cancel(q, cookie) :
						  release(q, cookie);
	default:
		return -ENOTTY;
	}
}

/* The next completion, whose request is freed unless it holds a lease. */
static bool next_event(struct kvl_queue *q, struct kvlift_event *e)
{
	struct kvl_request *p;
	bool last = false;

	spin_lock(&q->lock);
	p = list_first_entry_or_null(&q->ended, struct kvl_request, elist);
	if (!p) {
		spin_unlock(&q->lock);
		return false;
	}
	list_del_init(&p->elist);
	*e = (struct kvlift_event){
		.cookie = p->cookie,
		.res = p->error,
		.blocks = atomic64_read(&p->ready),
		.ns = p->ended - p->submitted,
	};
	if (READ_ONCE(p->leased) && !p->error) {
		p->state = KVL_REQ_LEASED;
	} else {
		unlink_request(q, p);
		last = true;
	}
	spin_unlock(&q->lock);
	if (last)
		free_request(p);
	return true;
}

static ssize_t queue_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	struct kvl_queue *q = file->private_data;
	struct kvlift_event e;
	ssize_t done = 0;

	if (size < sizeof(e))
		return -EINVAL;
	clear_up(q);
	while (!done) {
		while (size - done >= sizeof(e)) {
			/* A bad buffer must not cost an event. */
			if (fault_in_writeable(buf + done, sizeof(e)))
				return done ?: -EFAULT;
			if (!next_event(q, &e))
				break;
			if (copy_to_user(buf + done, &e, sizeof(e)))
				return done ?: -EFAULT;
			done += sizeof(e);
		}
		if (done)
			break;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(q->wait, !list_empty(&q->ended)))
			return -ERESTARTSYS;
	}
	return done;
}

static __poll_t queue_poll(struct file *file, poll_table *wait)
{
	struct kvl_queue *q = file->private_data;

	poll_wait(file, &q->wait, wait);
	return list_empty(&q->ended) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static bool all_ended(struct kvl_queue *q)
{
	struct kvl_request *p;
	bool all = true;

	spin_lock(&q->lock);
	list_for_each_entry(p, &q->requests, qlist)
		all &= p->state != KVL_REQ_WAITING;
	spin_unlock(&q->lock);
	return all;
}

static int queue_release(struct inode *inode, struct file *file)
{
	struct kvl_queue *q = file->private_data;
	struct kvl_request *p, *tmp;
	LIST_HEAD(waiting);

	spin_lock(&q->lock);
	list_for_each_entry(p, &q->requests, qlist) {
		WRITE_ONCE(p->cancelled, true);
		if (kvl_prefetch_remove(q->pool, p))
			list_add_tail(&p->list, &waiting);
	}
	spin_unlock(&q->lock);
	list_for_each_entry_safe(p, tmp, &waiting, list) {
		list_del_init(&p->list);
		p->error = -ECANCELED;
		kvl_request_put(p);
	}
	/* I/O that is under way ends. */
	wait_event(q->wait, all_ended(q));
	/* Whoever ended the last one has left the lock. */
	spin_lock(&q->lock);
	spin_unlock(&q->lock);
	list_for_each_entry_safe(p, tmp, &q->requests, qlist)
		free_request(p);
	if (q->efd)
		eventfd_ctx_put(q->efd);
	fput(q->file);
	kfree(q);
	return 0;
}

static const struct file_operations queue_fops = {
	.owner = THIS_MODULE,
	.read = queue_read,
	.poll = queue_poll,
	.unlocked_ioctl = queue_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = queue_release,
	.llseek = noop_llseek,
};

/* A descriptor of a new queue of the pool of @file, which it keeps open. */
int kvl_queue_open(struct file *file)
{
	struct kvl_queue *q = kzalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!q)
		return -ENOMEM;
	q->pool = kvl_sb_pool(file_inode(file)->i_sb);
	q->file = get_file(file);
	spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->requests);
	INIT_LIST_HEAD(&q->ended);
	init_waitqueue_head(&q->wait);
	fd = anon_inode_getfd("[kvlift-queue]", &queue_fops, q,
			      O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		fput(file);
		kfree(q);
	}
	return fd;
}
