// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: requests with a priority and a deadline, events that can be polled,
 * read, or signalled through an eventfd. What is asked for is in request.c.
 */
#include <linux/anon_inodes.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "gpu.h"
#include "inode.h"
#include "queue_priv.h"

/* Takes a request out of its queue; the caller frees it without the lock. */
static void unlink_request(struct kvl_queue *q, struct kvl_request *p)
{
	list_del_init(&p->qlist);
	q->nr--;
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
		kvl_request_free(p);
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
		list_del_init(&p->qlist);
		/* Its event is told all the same, and keeps its room. */
		if (p->state == KVL_REQ_ENDED)
			q->owners[p->event & (MAX_REQUESTS - 1)] = NULL;
		else
			q->nr--;
	}
	spin_unlock(&q->lock);
	if (err)
		return err;
	cancel_delayed_work_sync(&p->end);
	if (!p->leased)
		err = p->error ?: -ETIME;
	kvl_request_free(p);
	return err;
}

/* The slot as the owner of the queue's attachment knows it. */
static u64 leased_word(struct kvl_queue *q, u64 loc)
{
	u64 addr = (loc & KVL_ADDR_MASK) | KVLIFT_LOC_PRESENT;
	struct kvl_slot *s = kvl_mem_slot(q->pool, addr);

	if (q->gpu && kvl_addr_is_gpu(addr))
		return kvlift_loc_slot(loc);
	if (q->gpu && s->window == &q->gpu->win)
		return s->nth | KVLIFT_LEASED_WINDOW;
	return KVLIFT_LEASED_MEMORY;
}

/* Its words, if it is there and has a lease. */
static int leased_words(struct kvl_queue *q, u64 cookie, u64 *words, u64 *count)
{
	struct kvl_request *p = find(q, cookie);
	u64 n, i;

	if (p && p->state == KVL_REQ_WAITING)
		return -EBUSY;
	if (!p || !READ_ONCE(p->leased) || p->error)
		return -ENOENT;
	n = p->last - p->start + 1;
	if (n > *count)
		return -ENOSPC;
	for (i = 0; i < n; i++)
		words[i] = leased_word(q, p->locs[i]);
	*count = n;
	return 0;
}

static long leased(struct kvl_queue *q, void __user *arg)
{
	struct kvlift_leased __user *out = arg;
	struct kvlift_leased l;
	u64 *words;
	u64 n;
	int err;

	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	if (l.reserved || !l.count)
		return -EINVAL;
	n = min_t(u64, l.count, KVLIFT_REQ_MAX_BLOCKS);
	words = kvmalloc_array(n, sizeof(*words), GFP_KERNEL_ACCOUNT);
	if (!words)
		return -ENOMEM;
	spin_lock(&q->lock);
	err = leased_words(q, l.cookie, words, &n);
	spin_unlock(&q->lock);
	if (!err && (copy_to_user(u64_to_user_ptr(l.ptr), words,
				  n * sizeof(*words)) ||
		     put_user(n, &out->count)))
		err = -EFAULT;
	kvfree(words);
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
	if (efd && q->head != q->tail)
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
		clear_up(q);
		return kvl_queue_submit(q, p);
	case KVLIFT_IOC_LEASED:
		return leased(q, p);
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

/* The event has been read: its request goes, unless it holds a lease. */
static void event_read(struct kvl_queue *q, u32 at, struct list_head *over)
{
	struct kvl_request *p = q->owners[at & (MAX_REQUESTS - 1)];

	if (!p) {
		q->nr--;
	} else if (READ_ONCE(p->leased) && !p->error) {
		p->state = KVL_REQ_LEASED;
	} else {
		unlink_request(q, p);
		list_add(&p->qlist, over);
	}
}

/*
 * Copies events; those that the caller could not be given stay. Without the
 * lock, as the ring does not change behind the head.
 */
static ssize_t read_events(struct kvl_queue *q, char __user *buf, size_t room)
{
	u32 head = q->head, n, i, at = head & (MAX_REQUESTS - 1);
	struct kvl_request *p, *tmp;
	LIST_HEAD(over);
	size_t left;

	/* Pairs with add_event(): events before the tail have been written. */
	n = smp_load_acquire(&q->tail) - head;
	n = min3(n, MAX_REQUESTS - at, (u32)min_t(size_t, room, MAX_REQUESTS));
	if (!n)
		return 0;
	left = copy_to_user(buf, q->events + at, n * sizeof(*q->events));
	n -= DIV_ROUND_UP(left, sizeof(*q->events));
	if (!n)
		return -EFAULT;
	spin_lock(&q->lock);
	for (i = 0; i < n; i++)
		event_read(q, head + i, &over);
	WRITE_ONCE(q->head, head + n);
	spin_unlock(&q->lock);
	list_for_each_entry_safe(p, tmp, &over, qlist)
		kvl_request_free(p);
	return n;
}

static ssize_t queue_read(struct file *file, char __user *buf, size_t size,
			  loff_t *pos)
{
	struct kvl_queue *q = file->private_data;
	size_t room = size / sizeof(struct kvlift_event), done = 0;
	ssize_t n;

	if (!room)
		return -EINVAL;
	clear_up(q);
	for (;;) {
		if (mutex_lock_interruptible(&q->reader))
			return -ERESTARTSYS;
		do {
			n = read_events(q, buf + done * sizeof(*q->events),
					room - done);
			if (n > 0)
				done += n;
		} while (n > 0 && done < room);
		mutex_unlock(&q->reader);
		if (done)
			return done * sizeof(*q->events);
		if (n < 0)
			return n;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(q->wait, READ_ONCE(q->head) !=
						      READ_ONCE(q->tail)))
			return -ERESTARTSYS;
	}
}

static __poll_t queue_poll(struct file *file, poll_table *wait)
{
	struct kvl_queue *q = file->private_data;

	poll_wait(file, &q->wait, wait);
	return READ_ONCE(q->head) == READ_ONCE(q->tail) ?
		       0 : EPOLLIN | EPOLLRDNORM;
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

static void free_queue(struct kvl_queue *q)
{
	if (q->gpu)
		kvl_mover_put(q->gpu);
	fput(q->file);
	kvfree(q->events);
	kvfree(q->owners);
	kfree(q);
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
	/* A mover does not wait for itself, nor who is killed for his own. */
	if (q->gpu && (kvl_mover_is_current(q->gpu) ||
		       wait_event_killable(q->wait, all_ended(q))) &&
	    q->gpu->owner == current->mm)
		kvl_mover_fail(q->gpu, "its queue was closed with requests");
	/* I/O that is under way ends. */
	wait_event(q->wait, all_ended(q));
	/* Whoever ended the last one has left the lock. */
	spin_lock(&q->lock);
	spin_unlock(&q->lock);
	list_for_each_entry_safe(p, tmp, &q->requests, qlist)
		kvl_request_free(p);
	if (q->efd)
		eventfd_ctx_put(q->efd);
	free_queue(q);
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

/* A descriptor of a new queue of the pool; it keeps @file open. */
int kvl_queue_open(struct file *file, struct kvl_pool *pool,
		   struct kvl_gpu *gpu)
{
	struct kvl_queue *q = kzalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
	int fd;

	if (!q)
		return -ENOMEM;
	q->pool = pool;
	q->gpu = gpu;
	if (gpu)
		kvl_mover_get(gpu);
	q->file = get_file(file);
	mutex_init(&q->reader);
	spin_lock_init(&q->lock);
	INIT_LIST_HEAD(&q->requests);
	init_waitqueue_head(&q->wait);
	q->events = kvcalloc(MAX_REQUESTS, sizeof(*q->events),
			     GFP_KERNEL_ACCOUNT);
	q->owners = kvcalloc(MAX_REQUESTS, sizeof(*q->owners),
			     GFP_KERNEL_ACCOUNT);
	if (q->events && q->owners)
		fd = anon_inode_getfd("[kvlift-queue]", &queue_fops, q,
				      O_RDWR | O_CLOEXEC);
	else
		fd = -ENOMEM;
	if (fd < 0)
		free_queue(q);
	return fd;
}
