// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attachments: the descriptor by which a process lends the memory of its GPU to
 * a pool. How its mover is told what to copy: mover_ring.c.
 */
#include <linux/anon_inodes.h>
#include <linux/ctype.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "domain.h"
#include "drain.h"
#include "move.h"
#include "mover_ring.h"
#include "queue.h"

static_assert(sizeof(struct kvlift_mover) == 120);
static_assert(sizeof(struct kvlift_cmd) == 64);
static_assert(sizeof(struct kvlift_done) == 32);
static_assert(sizeof(struct kvlift_mover_enter) == 32);
static_assert(sizeof(struct kvlift_mover_ready) == 32);
static_assert(sizeof(struct kvlift_mover_info) == 136);
static_assert(sizeof(struct kvlift_leased) == 32);
/* What one side writes is in a cache line that the other does not write. */
static_assert(sizeof(struct kvlift_mover_ring) == 320);

static u32 waiting(struct kvl_gpu *g)
{
	struct kvlift_mover_ring *ring = g->shared;
	u32 n = READ_ONCE(g->sq_tail) - READ_ONCE(ring->sq_head);

	return min(n, kvl_ring_entries(g));
}

static long wait_for_commands(struct kvl_gpu *g, u32 ms)
{
	long left;

	left = ms ? msecs_to_jiffies(ms) : MAX_SCHEDULE_TIMEOUT;
	left = wait_event_interruptible_timeout(g->wait,
						waiting(g) || !kvl_mover_is_up(g), left);
	return left < 0 ? -EINTR : 0;
}

static long enter(struct kvl_gpu *g, void __user *arg)
{
	struct kvlift_mover_enter e;
	long err = 0;

	if (copy_from_user(&e, arg, sizeof(e)))
		return -EFAULT;
	if (e.flags & ~KVLIFT_MOVER_WAIT || e.reserved[0] || e.reserved[1])
		return -EINVAL;
	if (!kvl_mover_remember_current(g))
		return -EUSERS;
	if (mutex_lock_interruptible(&g->enter))
		return -EINTR;
	e.taken = kvl_mover_take_done(g);
	mutex_unlock(&g->enter);
	if (e.flags & KVLIFT_MOVER_WAIT)
		err = wait_for_commands(g, e.timeout_ms);
	e.commands = waiting(g);
	if (copy_to_user(arg, &e, sizeof(e)))
		return -EFAULT;
	return kvl_mover_is_up(g) ? err : -ENODEV;
}

static long ready(struct kvl_gpu *g, void __user *arg)
{
	struct kvlift_mover_ready r;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	if (r.reserved[0] || r.reserved[1])
		return -EINVAL;
	if (!kvl_mover_is_up(g))
		return -ENODEV;
	return kvl_window_ready(&g->win, r.first, r.count);
}

static long info(struct kvl_gpu *g, void __user *arg)
{
	struct kvlift_mover_info i = { .member = g->m.id };

	spin_lock(&g->m.lock);
	i.slots = g->m.got;
	i.used = g->m.got - g->m.nfree;
	spin_unlock(&g->m.lock);
	spin_lock(&g->win.lock);
	i.window = g->win.nr;
	i.window_ready = g->win.ready;
	i.window_free = g->win.nfree;
	spin_unlock(&g->win.lock);
	spin_lock(&g->lock);
	i.state = g->state;
	i.inflight = g->depth - g->ntags;
	i.in = g->nr_in;
	i.out = g->nr_out;
	i.failed = g->nr_failed;
	i.late = g->nr_late;
	i.ignored = g->nr_ignored;
	i.lost = atomic64_read(&g->nr_lost);
	spin_unlock(&g->lock);
	return copy_to_user(arg, &i, sizeof(i)) ? -EFAULT : 0;
}

static long drain(struct kvl_gpu *g, void __user *arg)
{
	struct kvlift_mover_ring *ring = g->shared;
	long err;

	err = kvl_drain_start(g->pool, &g->m);
	if (err)
		return err;
	spin_lock(&g->lock);
	if (g->state == KVLIFT_MOVER_LIVE) {
		g->state = KVLIFT_MOVER_DRAINING;
		if (ring)
			WRITE_ONCE(ring->state, KVLIFT_MOVER_DRAINING);
	}
	err = kvl_mover_is_up(g) ? 0 : -ENODEV;
	spin_unlock(&g->lock);
	if (err)
		return err;
	return put_user(kvl_drain_remaining(&g->m), (u64 __user *)arg);
}

bool kvl_mover_reaches(struct kvl_gpu *g, struct kvl_gpu *from)
{
	u32 generation = READ_ONCE(g->peers[from->m.id]);

	return generation && generation == READ_ONCE(from->generation) &&
	       !READ_ONCE(from->m.dead);
}

/* Whether @from may be a peer of @g. Needs pool->gpu_mutex. */
static long check_peer(struct kvl_gpu *g, struct kvl_gpu *from)
{
	if (!from->attached || READ_ONCE(from->m.dead) || from == g)
		return -ENXIO;
	if (from->owner != g->owner)
		return -EPERM;
	return from->dmabuf || g->dmabuf ? -EOPNOTSUPP : 0;
}

static long set_peers(struct kvl_gpu *g, u32 members)
{
	struct kvl_tier *t = g->m.tier;
	long err = 0;
	unsigned int i;

	mutex_lock(&g->pool->gpu_mutex);
	for (i = 0; i < KVLIFT_MAX_MEMBERS && !err; i++) {
		if (!(members & BIT(i)))
			continue;
		err = i < t->nr_members ?
			      check_peer(g, kvl_to_gpu(t->members[i])) :
			      -ENXIO;
	}
	for (i = 0; i < t->nr_members && !err; i++)
		WRITE_ONCE(g->peers[i],
			   members & BIT(i) ?
				   kvl_to_gpu(t->members[i])->generation :
				   0);
	mutex_unlock(&g->pool->gpu_mutex);
	return err;
}

static long set_eventfd(struct kvl_gpu *g, int fd)
{
	struct eventfd_ctx *efd = NULL, *old;

	if (fd >= 0) {
		efd = eventfd_ctx_fdget(fd);
		if (IS_ERR(efd))
			return PTR_ERR(efd);
	}
	spin_lock(&g->lock);
	old = g->efd;
	g->efd = efd;
	spin_unlock(&g->lock);
	if (old)
		eventfd_ctx_put(old);
	if (efd && waiting(g))
		kvl_mover_wake(g);
	return 0;
}

static long mover_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvl_gpu *g = file->private_data;
	void __user *p = (void __user *)arg;
	u32 members;
	s32 fd;

	switch (cmd) {
	case KVLIFT_IOC_MOVER_INFO:
		return info(g, p);
	case KVLIFT_IOC_MOVER_DRAIN:
		return drain(g, p);
	case KVLIFT_IOC_QUEUE:
		return kvl_queue_open(g->dir, g->pool, g);
	}
	if (!g->shared)
		return -ENOTTY;
	switch (cmd) {
	case KVLIFT_IOC_MOVER_ENTER:
		return enter(g, p);
	case KVLIFT_IOC_MOVER_READY:
		return ready(g, p);
	case KVLIFT_IOC_MOVER_PEERS:
		if (get_user(members, (u32 __user *)p))
			return -EFAULT;
		return set_peers(g, members);
	case KVLIFT_IOC_EVENTFD:
		if (get_user(fd, (s32 __user *)p))
			return -EFAULT;
		return set_eventfd(g, fd);
	default:
		return -ENOTTY;
	}
}

static __poll_t mover_poll(struct file *file, poll_table *wait)
{
	struct kvl_gpu *g = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &g->wait, wait);
	if (!kvl_mover_is_up(g))
		mask |= EPOLLERR | EPOLLHUP;
	if (g->shared && waiting(g))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}

static void ring_vm_open(struct vm_area_struct *vma)
{
	struct kvl_gpu *g = vma->vm_private_data;

	atomic_inc(&g->ring_maps);
}

/*
 * Without them nothing can be completed. A process that is killed loses its
 * mappings first, and the files that may wait for the mover after that.
 */
static void ring_vm_close(struct vm_area_struct *vma)
{
	struct kvl_gpu *g = vma->vm_private_data;
	bool used;

	if (!atomic_dec_and_test(&g->ring_maps))
		return;
	spin_lock(&g->m.lock);
	used = g->m.nfree != g->m.got;
	spin_unlock(&g->m.lock);
	/* When nothing is there it is the orderly way. */
	kvl_mover_fail(g, used ? "its rings are not mapped any more" : NULL);
}

static const struct vm_operations_struct ring_vm_ops = {
	.open = ring_vm_open,
	.close = ring_vm_close,
};

/* All pages at once: a mover takes no faults for them. */
static int mmap_rings(struct kvl_gpu *g, struct vm_area_struct *vma)
{
	unsigned long i, nr = vma_pages(vma);
	int err = 0;

	if (vma->vm_pgoff || nr << PAGE_SHIFT > kvl_mover_ring_bytes(g))
		return -EINVAL;
	vm_flags_set(vma, VM_DONTDUMP | VM_DONTEXPAND | VM_DONTCOPY);
	vma->vm_private_data = g;
	for (i = 0; i < nr && !err; i++)
		err = vm_insert_page(vma, vma->vm_start + (i << PAGE_SHIFT),
				     vmalloc_to_page(g->shared +
						     (i << PAGE_SHIFT)));
	if (!err) {
		/* What fails is not closed. */
		vma->vm_ops = &ring_vm_ops;
		atomic_inc(&g->ring_maps);
	}
	return err;
}

static int mover_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kvl_gpu *g = file->private_data;

	if (!g->shared)
		return -ENODEV;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_pgoff >= KVL_WINDOW_OFFSET >> PAGE_SHIFT)
		return kvl_window_mmap(&g->win, vma);
	return mmap_rings(g, vma);
}

/* What open() has got; in the reverse order. */
static void end(struct kvl_gpu *g)
{
	struct file *dir = g->dir;
	struct eventfd_ctx *efd;
	void *shared;

	kvl_mover_fail(g, NULL);
	kvl_gpu_dmabuf_close(g);
	cancel_delayed_work_sync(&g->late);
	if (g->win.nr)
		kvl_window_destroy(&g->win);
	spin_lock(&g->lock);
	g->state = 0;
	shared = g->shared;
	g->shared = NULL;
	efd = g->efd;
	g->efd = NULL;
	spin_unlock(&g->lock);
	vfree(shared);
	kvfree(g->cmds);
	kvfree(g->tags);
	g->cmds = NULL;
	g->tags = NULL;
	if (efd)
		eventfd_ctx_put(efd);
	kvl_domain_put(g->domain);
	kvl_gpu_detach(g);
	/* The pool may end with this. */
	fput(dir);
}

void kvl_mover_get(struct kvl_gpu *g)
{
	refcount_inc(&g->users);
}

/* What a window of so many slots takes of the domain's cap. */
static bool pin(struct kvl_domain *d, u64 dram, u64 cxl)
{
	if (dram && !kvl_domain_pin(d, KVLIFT_TIER_DRAM, dram))
		return false;
	if (!cxl || kvl_domain_pin(d, KVLIFT_TIER_CXL, cxl))
		return true;
	if (dram)
		kvl_domain_unpin(d, KVLIFT_TIER_DRAM, dram);
	return false;
}

static void unpin(struct kvl_domain *d, u64 dram, u64 cxl)
{
	if (dram)
		kvl_domain_unpin(d, KVLIFT_TIER_DRAM, dram);
	if (cxl)
		kvl_domain_unpin(d, KVLIFT_TIER_CXL, cxl);
}

void kvl_mover_put(struct kvl_gpu *g)
{
	u64 dram = g->win.part[KVL_WINDOW_DRAM].nr;
	u64 cxl = g->win.part[KVL_WINDOW_CXL].nr;
	struct kvl_domain *d = g->domain;

	if (!refcount_dec_and_test(&g->users))
		return;
	/* Until the window is gone they are pinned. */
	kvl_domain_get(d);
	end(g);
	unpin(d, dram, cxl);
	kvl_domain_put(d);
}

static int mover_release(struct inode *inode, struct file *file)
{
	struct kvl_gpu *g = file->private_data;

	/* Commands end, and blocks leave; the rest when no queue is left. */
	kvl_mover_fail(g, NULL);
	kvl_mover_put(g);
	return 0;
}

static const struct file_operations mover_fops = {
	.owner = THIS_MODULE,
	.mmap = mover_mmap,
	.poll = mover_poll,
	.unlocked_ioctl = mover_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = mover_release,
	.llseek = noop_llseek,
};

/* It appears in the kernel's log. */
static bool is_name(const char *name, size_t room)
{
	size_t i, n = strnlen(name, room);

	for (i = 0; i < n; i++)
		if (!isprint(name[i]) || !isascii(name[i]))
			return false;
	return n < room;
}

static int check(const struct kvlift_mover *u)
{
	bool dmabuf = u->flags & KVLIFT_MOVER_DMABUF;

	if (u->flags & ~KVLIFT_MOVER_DMABUF || u->pad ||
	    memchr_inv(u->reserved, 0, sizeof(u->reserved)) ||
	    u->depth > KVLIFT_MOVER_DEPTH_MAX ||
	    (u->depth && !is_power_of_2(u->depth)) ||
	    u->deadline_ms > KVLIFT_MOVER_DEADLINE_MAX_MS || !u->slots ||
	    u->slots > KVLIFT_MOVER_SLOTS_MAX ||
	    u->window > KVLIFT_MOVER_WINDOW_MAX ||
	    u->window_cxl > KVLIFT_MOVER_WINDOW_MAX - u->window ||
	    !is_name(u->name, sizeof(u->name)))
		return -EINVAL;
	if (dmabuf)
		return u->window || u->window_cxl || u->dmabuf < 0 ? -EINVAL : 0;
	return !(u->window + u->window_cxl) || u->dmabuf != -1 ? -EINVAL : 0;
}

/* Rings, and what belongs to them. */
static int make_rings(struct kvl_gpu *g)
{
	struct kvlift_mover_ring *ring;
	u32 i;

	g->cmds = kvcalloc(g->depth, sizeof(*g->cmds), GFP_KERNEL_ACCOUNT);
	g->tags = kvmalloc_array(g->depth, sizeof(*g->tags),
				 GFP_KERNEL_ACCOUNT);
	ring = __vmalloc(kvl_mover_ring_bytes(g), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	g->shared = ring;
	if (!g->cmds || !g->tags || !ring)
		return -ENOMEM;
	g->ntags = 0;
	for (i = g->depth; i--;)
		g->tags[g->ntags++] = i;
	ring->sq_entries = kvl_ring_entries(g);
	ring->cq_entries = kvl_ring_entries(g);
	ring->sq_offset = SQ_OFFSET;
	ring->cq_offset = kvl_cq_offset(g);
	ring->generation = g->generation;
	ring->state = KVLIFT_MOVER_LIVE;
	return 0;
}

static void reset(struct kvl_gpu *g, const struct kvlift_mover *u)
{
	g->depth = u->flags & KVLIFT_MOVER_DMABUF ? 0 : u->depth;
	g->deadline_ms = u->deadline_ms;
	g->sq_tail = 0;
	g->cq_head = 0;
	g->ntags = 0;
	g->nthreads = 0;
	refcount_set(&g->users, 1);
	atomic_set(&g->ring_maps, 0);
	g->nr_in = 0;
	g->nr_out = 0;
	g->nr_failed = 0;
	g->nr_late = 0;
	g->nr_ignored = 0;
	kvl_window_init(&g->win, g->pool);
	if (u->name[0])
		strscpy(g->m.name, u->name, sizeof(g->m.name));
	else
		snprintf(g->m.name, sizeof(g->m.name), "gpu%u", g->m.id);
}

static int begin(struct kvl_gpu *g, const struct kvlift_mover *u)
{
	const u32 window[KVL_WINDOW_PARTS] = { u->window, u->window_cxl };
	u64 bytes = u->slots << g->pool->block_shift;
	int err;

	if (u->flags & KVLIFT_MOVER_DMABUF)
		return kvl_gpu_dmabuf_open(g, u->dmabuf, bytes);
	err = make_rings(g);
	return err ?: kvl_window_create(&g->win, window, numa_node_id());
}

static int install(struct kvl_gpu *g, struct kvlift_mover *u, void __user *arg)
{
	struct file *file;
	int fd;

	u->member = g->m.id;
	u->ring_bytes = g->shared ? kvl_mover_ring_bytes(g) : 0;
	u->window_offset = KVL_WINDOW_OFFSET;
	if (copy_to_user(arg, u, sizeof(*u)))
		return -EFAULT;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_getfile("[kvlift-mover]", &mover_fops, g, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}

static long attach(struct kvl_pool *pool, struct file *dir,
		   struct kvl_domain *d, struct kvlift_mover *u,
		   void __user *arg)
{
	struct kvl_gpu *g;
	long ret;

	if (!pin(d, u->window, u->window_cxl))
		return -EDQUOT;
	g = kvl_gpu_member(pool, u->slots);
	if (IS_ERR(g)) {
		unpin(d, u->window, u->window_cxl);
		return PTR_ERR(g);
	}
	reset(g, u);
	g->dir = get_file(dir);
	g->domain = kvl_domain_get(d);
	ret = begin(g, u);
	if (!ret) {
		spin_lock(&g->lock);
		g->state = KVLIFT_MOVER_LIVE;
		spin_unlock(&g->lock);
		ret = install(g, u, arg);
	}
	if (ret < 0) {
		/* Nobody has asked for anything to go there. */
		unpin(d, u->window, u->window_cxl);
		kvl_gpu_die(g);
		end(g);
	}
	return ret;
}

long kvl_mover_open(struct file *file, void __user *arg)
{
	struct inode *inode = file_inode(file);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	struct kvl_domain *d;
	struct kvlift_mover u;
	long ret;

	if (!S_ISDIR(inode->i_mode))
		return -ENOTTY;
	if (copy_from_user(&u, arg, sizeof(u)))
		return -EFAULT;
	ret = check(&u);
	if (ret)
		return ret;
	ret = inode_permission(file_mnt_idmap(file), inode, MAY_WRITE);
	if (ret)
		return ret;
	if (!kvl_pool_has_tier(pool, KVLIFT_TIER_DRAM) ||
	    (u.window_cxl && !kvl_pool_has_tier(pool, KVLIFT_TIER_CXL)))
		return -EOPNOTSUPP;
	if (!u.depth)
		u.depth = KVLIFT_MOVER_DEPTH;
	if (!u.deadline_ms)
		u.deadline_ms = KVLIFT_MOVER_DEADLINE_MS;
	d = kvl_domain_of(kvl_region(inode));
	ret = attach(pool, file, d, &u, arg);
	kvl_domain_put(d);
	return ret;
}
