// SPDX-License-Identifier: GPL-2.0-only
/* KVLIFT_IOC_HINT: what engines know, on its way to the policy. */
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/siphash.h>
#include <linux/uaccess.h>

#include "advise.h"
#include "domain.h"
#include "move.h"
#include "queue.h"
#include "region.h"

/* Hints are copied in so many at a time. */
#define BATCH	32

/* So that it is known which one is meant. */
static bool after_request(const struct kvl_hint_list *l)
{
	return l->nr && l->recs[l->nr - 1].op == KVLIFT_HINT_REQUEST;
}

static bool valid(const struct kvlift_hint *h,
		  const struct kvl_hint_list *l)
{
	bool blocks = h->op == KVLIFT_HINT_CHAIN ||
		      h->op == KVLIFT_HINT_USE || h->op == KVLIFT_HINT_PRIO;
	bool session = h->op == KVLIFT_HINT_RETURNS ||
		       h->op == KVLIFT_HINT_OVER;

	if (h->reserved || h->op < KVLIFT_HINT_CHAIN ||
	    h->op > KVLIFT_HINT_CLOCK)
		return false;
	if (h->flags & ~(h->op == KVLIFT_HINT_REQUEST ? KVLIFT_HINT_PARTIAL :
							 0))
		return false;
	if (session && !h->session && !after_request(l))
		return false;
	if (h->op == KVLIFT_HINT_PRIO && (h->value < -128 || h->value > 127))
		return false;
	if (blocks)
		return h->count && h->count <= KVLIFT_REQ_MAX_BLOCKS &&
		       h->first <= U64_MAX - h->count;
	return h->op == KVLIFT_HINT_PARENT ? h->count == 1 : !h->count;
}

static u32 blocks_of(const struct kvlift_hint *h)
{
	return h->op == KVLIFT_HINT_PARENT ? 2 : h->count;
}

static siphash_key_t session_key __read_mostly;

void kvl_advise_init(void)
{
	get_random_bytes(&session_key, sizeof(session_key));
}

/*
 * One's sessions are not another's, whatever they call them: nobody can find
 * the number that stands for a session of somebody else. Root's are as told.
 */
static u64 session_of(u64 session)
{
	u32 uid = from_kuid(&init_user_ns, current_fsuid());

	if (!session || !uid)
		return session;
	return siphash_2u64(session, uid, &session_key) ?: 1;
}

static int name_blocks(struct file *file, int fd, u64 first, u32 n,
		       struct kvl_hint_block *out, u16 *advisor)
{
	struct fd f = fdget(fd);
	struct kvl_region *r;
	int err = -EBADF;
	u64 max;
	u32 i;

	if (!fd_file(f))
		return err;
	err = -EACCES;
	if (!(fd_file(f)->f_mode & FMODE_READ))
		goto out;
	err = -EXDEV;
	if (file_inode(fd_file(f))->i_sb != file_inode(file)->i_sb)
		goto out;
	err = -EINVAL;
	if (!S_ISREG(file_inode(fd_file(f))->i_mode))
		goto out;
	r = kvl_region(file_inode(fd_file(f)));
	max = (u64)r->inode.i_sb->s_maxbytes >> kvl_region_pool(r)->block_shift;
	if (first >= max || n > max - first)
		goto out;
	for (i = 0; i < n; i++) {
		struct kvl_block *b = kvl_region_find(r, first + i);
		u64 home = b ? kvl_block_home(b) : 0;
		bool there = home || (fd_file(f)->f_mode & FMODE_WRITE);

		/* Who can't write it can't have use for what is not there. */
		out[i] = (struct kvl_hint_block){
			.region = there ? r->id : 0,
			.index = first + i,
			.addr = home,
		};
	}
	*advisor = kvl_advisor_of(r);
	err = 0;
out:
	fdput(f);
	return err;
}

/* Changes what all others see: for replays of traces. */
static bool may_set_clock(struct file *file)
{
	return capable(CAP_SYS_ADMIN);
}

static int take(struct file *file, const struct kvlift_hint *h,
		struct kvl_hint_list *l, u32 room, u16 *advisor)
{
	struct kvl_hint_rec *rec = &l->recs[l->nr];
	struct kvl_hint_block *b = &l->blocks[l->nr_blocks];
	u32 n = blocks_of(h);
	int err = 0;

	if (!valid(h, l))
		return -EINVAL;
	if (n > room - l->nr_blocks)
		return -E2BIG;
	if (h->op == KVLIFT_HINT_CLOCK && !may_set_clock(file))
		return -EPERM;
	*rec = (struct kvl_hint_rec){
		.op = h->op,
		.session = h->op == KVLIFT_HINT_CLOCK ?
				   h->session : session_of(h->session),
		.first = l->nr_blocks,
		.nr = n,
		.ms = h->ms,
		.value = h->value,
		.flags = h->flags,
	};
	if (h->op == KVLIFT_HINT_PARENT)
		err = name_blocks(file, h->parent_fd, h->parent, 1, b + 1,
				  advisor);
	if (!err && n)
		err = name_blocks(file, h->fd, h->first,
				  h->op == KVLIFT_HINT_PARENT ? 1 : n, b,
				  advisor);
	if (err)
		return err;
	/* What names no block is about the same policy as what did. */
	rec->advisor = *advisor;
	l->nr++;
	l->nr_blocks += n;
	return 0;
}

static struct kvl_hint_list *make_list(u32 nr, u32 blocks)
{
	size_t size = struct_size_t(struct kvl_hint_list, recs, nr);
	struct kvl_hint_list *l;

	size = ALIGN(size, 8);
	l = kvmalloc(size + blocks * sizeof(*l->blocks), GFP_KERNEL_ACCOUNT);
	if (!l)
		return NULL;
	l->blocks = (void *)l + size;
	l->size = size + blocks * sizeof(*l->blocks);
	l->nr = 0;
	l->nr_blocks = 0;
	l->at = 0;
	l->request = 0;
	l->asked = NULL;
	return l;
}

/* How many blocks the hints name; a second look may differ. */
static long count_blocks(const struct kvlift_hint __user *src, u32 nr,
			 u32 *blocks)
{
	struct kvlift_hint h;
	u64 n = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		if (copy_from_user(&h, src + i, sizeof(h)))
			return -EFAULT;
		n += min_t(u64, blocks_of(&h), KVLIFT_REQ_MAX_BLOCKS);
		if (n > KVLIFT_CHAIN_MAX)
			break;
		if (!(i % BATCH))
			cond_resched();
	}
	*blocks = min_t(u64, n, KVLIFT_CHAIN_MAX);
	return 0;
}

/* The worker is behind: it is woken and, for a moment, waited for. */
static int hand_over(struct kvl_pool *pool, struct kvl_hint_list *l)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_event e = {
		.type = KVL_EV_HINTS,
		.addr = (unsigned long)l,
	};
	unsigned int tries;

	for (tries = 0; tries < 200; tries++) {
		e.time = ktime_get_mono_fast_ns();
		if (atomic_long_read(&v->hint_bytes) + l->size <=
		    KVL_HINTS_MAX) {
			atomic_long_add(l->size, &v->hint_bytes);
			if (kvl_advise_event(pool, &e)) {
				/* What is told is to count before it is used. */
				mod_delayed_work(pool->wq, &v->work, 0);
				return 0;
			}
			atomic_long_sub(l->size, &v->hint_bytes);
		}
		mod_delayed_work(pool->wq, &v->work, 0);
		if (msleep_interruptible(5))
			return -EINTR;
	}
	return -EAGAIN;
}

long kvl_advise_ioctl_hint(struct file *file, void __user *arg)
{
	struct kvl_pool *pool = kvl_sb_pool(file_inode(file)->i_sb);
	struct kvlift_hints __user *out = arg;
	const struct kvlift_hint __user *src;
	struct kvl_hint_list *l;
	struct kvlift_hints u;
	struct kvlift_hint h;
	u32 blocks, i;
	u16 advisor = KVL_ALL_ADVISORS;
	long err;

	if (copy_from_user(&u, arg, sizeof(u)))
		return -EFAULT;
	if (u.flags || u.reserved[0] || u.reserved[1] ||
	    u.count > KVLIFT_HINT_MAX)
		return -EINVAL;
	if (!pool->advice.rings)
		return -EOPNOTSUPP;
	kvl_advise_told(pool);
	src = u64_to_user_ptr(u.ptr);
	err = count_blocks(src, u.count, &blocks);
	if (err)
		return err;
	l = make_list(u.count, blocks);
	if (!l)
		return -ENOMEM;
	for (i = 0; i < u.count && !err; i++) {
		if (copy_from_user(&h, src + i, sizeof(h)))
			err = -EFAULT;
		else
			err = take(file, &h, l, blocks, &advisor);
		if (!(i % BATCH))
			cond_resched();
	}
	i = l->nr;
	if (!i) {
		kvfree(l);
		return err ?: put_user(0ULL, &out->done);
	}
	/* As write(2): what was taken is told, the error comes next time. */
	err = hand_over(pool, l);
	if (err) {
		kvfree(l);
		return err;
	}
	return put_user((u64)i, &out->done);
}

/* The region with this id, its inode held; or NULL. */
struct kvl_region *kvl_region_by_id(struct kvl_pool *pool, u64 id)
{
	struct kvl_region *r;

	/* Erased before it is freed. */
	xa_lock(&pool->regions);
	r = xa_load(&pool->regions, id);
	if (r && !igrab(&r->inode))
		r = NULL;
	xa_unlock(&pool->regions);
	return r;
}

/* Starts to bring a block up. How many: 1 or 0. */
u32 kvl_advise_fetch(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);
	struct kvl_region *r;
	u64 done = 0;

	if (READ_ONCE(a->pool->stopping))
		return 0;
	r = kvl_region_by_id(a->pool, e->region);
	if (!r)
		return 0;
	if (kvl_prefetch_queue(r, e->index, e->index, &done))
		done = 0;
	iput(&r->inode);
	return done;
}
