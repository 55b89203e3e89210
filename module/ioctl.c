// SPDX-License-Identifier: GPL-2.0-only
/* Commands; meaning and errors stand in the uapi header. */
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "domain.h"
#include "drain.h"
#include "gpu.h"
#include "heat.h"
#include "inode.h"
#include "move.h"
#include "params.h"
#include "queue.h"
#include "ring.h"
#include "scan.h"
#include "seal.h"
#include "store.h"
#include "trace.h"

#define KVL_FEATURES	(KVLIFT_F_NVME | KVLIFT_F_TABLE | KVLIFT_F_SHADOW | \
			 KVLIFT_F_SEAL | KVLIFT_F_QUEUE | KVLIFT_F_DOMAIN | \
			 KVLIFT_F_HEAT | KVLIFT_F_RING | KVLIFT_F_CACHE | \
			 KVLIFT_F_GPU)

/* Entries copied from user space at a time. */
#define BATCH		64

static_assert(sizeof(struct kvlift_heat) == 48);

static bool any_set(const u64 *reserved, size_t n)
{
	return memchr_inv(reserved, 0, n * sizeof(*reserved));
}

static long info(struct kvl_pool *pool, void __user *arg)
{
	struct kvlift_info i = {
		.abi = KVLIFT_ABI_VERSION,
		.block_size = pool->block_size,
		.features = KVL_FEATURES,
		.pool = pool->id,
		.block_shift = pool->block_shift,
		.inline_max = pool->inline_max,
		.capacity = max(atomic64_read(&pool->capacity), 0),
		.used = atomic64_read(&pool->used),
	};
	unsigned int t;

	if (pool->block_size == PMD_SIZE)
		i.features |= KVLIFT_F_PMD;
	if (kvl_scan_possible())
		i.features |= KVLIFT_F_SCAN;
	if (kvl_has_btf())
		i.features |= KVLIFT_F_BTF;
	if (pool->advice.rings)
		i.features |= KVLIFT_F_HINT;
	for (t = 0; t < KVLIFT_NR_TIERS; t++)
		i.nr_members[t] = pool->tiers[t].nr_members;
	export_uuid(i.uuid, &pool->uuid);
	return copy_to_user(arg, &i, sizeof(i)) ? -EFAULT : 0;
}

static long member(struct kvl_pool *pool, void __user *arg)
{
	struct kvlift_member i;
	struct kvl_member *m;
	struct kvl_tier *t;

	if (copy_from_user(&i, arg, sizeof(i)))
		return -EFAULT;
	if (i.pad || any_set(i.reserved, ARRAY_SIZE(i.reserved)))
		return -EINVAL;
	if (i.tier >= KVLIFT_NR_TIERS)
		return -ENXIO;
	t = &pool->tiers[i.tier];
	if (i.member >= t->nr_members)
		return -ENXIO;
	m = t->members[i.member];
	memset(i.name, 0, sizeof(i.name));
	spin_lock(&m->lock);
	i.asked = m->asked;
	i.target = kvl_member_target(m);
	i.flags = (m->draining ? KVLIFT_MEMBER_DRAINING : 0) |
		  (m->dead ? KVLIFT_MEMBER_DEAD : 0);
	i.got = m->got;
	i.free = m->nfree;
	i.lost = m->nlost;
	i.shadows = atomic64_read(&m->nshadow);
	i.used = m->got - m->nfree - m->nlost;
	i.used -= min(i.used, i.shadows);
	spin_unlock(&m->lock);
	i.node = m->node;
	strscpy(i.name, m->name, sizeof(i.name));
	return copy_to_user(arg, &i, sizeof(i)) ? -EFAULT : 0;
}

static long drain(struct kvl_pool *pool, void __user *arg)
{
	struct kvlift_drain __user *out = arg;
	struct kvlift_drain d;
	struct kvl_member *m;
	long err = 0;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&d, arg, sizeof(d)))
		return -EFAULT;
	if (d.pad || d.remaining ||
	    any_set(d.reserved, ARRAY_SIZE(d.reserved)) ||
	    d.flags & ~(KVLIFT_DRAIN_START | KVLIFT_DRAIN_CANCEL) ||
	    d.flags == (KVLIFT_DRAIN_START | KVLIFT_DRAIN_CANCEL))
		return -EINVAL;
	if (d.tier >= KVLIFT_NR_TIERS ||
	    d.member >= pool->tiers[d.tier].nr_members)
		return -ENXIO;
	m = pool->tiers[d.tier].members[d.member];
	if (d.flags & KVLIFT_DRAIN_START)
		err = kvl_drain_start(pool, m);
	else if (d.flags & KVLIFT_DRAIN_CANCEL)
		kvl_drain_cancel(pool, m);
	if (err)
		return err;
	return put_user(kvl_drain_remaining(m), &out->remaining);
}

static long region(struct kvl_region *r, void __user *arg)
{
	struct kvlift_region_info i = {
		.id = r->id,
		.size = i_size_read(&r->inode),
		.reserved_blocks = atomic64_read(&r->nr_reserved),
		.inline_bytes = READ_ONCE(r->inl_size),
	};
	unsigned int t;

	if (READ_ONCE(r->sealed))
		i.flags |= KVLIFT_REGION_SEALED;
	for (t = 0; t < KVLIFT_NR_TIERS; t++)
		i.blocks[t] = atomic64_read(&r->nr[t]);
	return copy_to_user(arg, &i, sizeof(i)) ? -EFAULT : 0;
}

static long touch(struct kvl_region *r, void __user *arg)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvlift_touch batch[BATCH];
	struct kvlift_touches __user *out = arg;
	struct kvlift_touch __user *src;
	struct kvlift_touches t;
	u32 n, i, left;

	if (copy_from_user(&t, arg, sizeof(t)))
		return -EFAULT;
	if (any_set(t.reserved, ARRAY_SIZE(t.reserved)) ||
	    t.count > KVLIFT_TOUCH_MAX)
		return -EINVAL;
	src = u64_to_user_ptr(t.ptr);
	t.done = 0;
	for (left = t.count; left; left -= n, src += n) {
		n = min(left, BATCH);
		if (copy_from_user(batch, src, n * sizeof(*batch)))
			return -EFAULT;
		for (i = 0; i < n; i++) {
			struct kvl_block *b;

			if (batch[i].flags)
				return -EINVAL;
			b = kvl_region_find(r, batch[i].index);
			if (!b || !(READ_ONCE(b->loc) & KVLIFT_LOC_PRESENT))
				continue;
			if (trace_kvlift_touch_enabled())
				kvl_region_trace_touch(r, batch[i].index,
						       KVL_TOUCH_HINT,
						       batch[i].weight ?: 1);
			kvl_heat_touch(r, batch[i].index, b,
				       batch[i].weight);
			t.done++;
		}
		cond_resched();
	}
	kvl_count_add(pool, KVL_C_TOUCHES, t.done);
	return put_user(t.done, &out->done);
}

static long range(struct kvl_region *r, unsigned int cmd, void __user *arg)
{
	struct kvlift_range __user *out = arg;
	struct kvlift_range g;
	u64 last, done = 0;
	long err = 0;

	if (copy_from_user(&g, arg, sizeof(g)))
		return -EFAULT;
	if (g.flags || g.pad || any_set(g.reserved, ARRAY_SIZE(g.reserved)) ||
	    !g.count)
		return -EINVAL;
	if (check_add_overflow(g.first, g.count - 1, &last))
		last = U64_MAX;
	if (cmd == KVLIFT_IOC_PREFETCH)
		err = kvl_prefetch_queue(r, g.first, last, &done);
	else
		done = kvl_file_demote(r, g.first, last);
	if (err)
		return err;
	return put_user(done, &out->done);
}

static long seal(struct kvl_region *r, void __user *arg)
{
	struct kvlift_seal __user *out = arg;
	struct kvlift_seal s;
	u64 last, done;
	long err;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.flags & ~KVLIFT_SEAL_FILE || s.pad ||
	    any_set(s.reserved, ARRAY_SIZE(s.reserved)))
		return -EINVAL;
	if (s.flags & KVLIFT_SEAL_FILE) {
		if (s.first || s.count)
			return -EINVAL;
		inode_lock(&r->inode);
		err = kvl_seal_file(r);
		if (!err)
			kvl_cache_add(r);
		inode_unlock(&r->inode);
		if (err)
			return err;
		s.count = U64_MAX;
	} else if (!s.count) {
		return -EINVAL;
	}
	if (check_add_overflow(s.first, s.count - 1, &last))
		last = U64_MAX;
	err = kvl_seal_blocks(r, s.first, last, &done);
	if (err)
		return err;
	kvl_store_queue(r, s.first, last);
	return put_user(done, &out->done);
}

static long where(struct kvl_region *r, void __user *arg)
{
	u64 nr = kvl_region_nr_blocks(r);
	struct kvlift_where __user *out = arg;
	u64 words[BATCH];
	u64 __user *dst;
	struct kvlift_where w;
	u64 left, done = 0;

	if (copy_from_user(&w, arg, sizeof(w)))
		return -EFAULT;
	if (any_set(w.reserved, ARRAY_SIZE(w.reserved)) ||
	    w.count > KVLIFT_WHERE_MAX)
		return -EINVAL;
	dst = u64_to_user_ptr(w.ptr);
	left = w.first < nr ? min(w.count, nr - w.first) : 0;
	while (left) {
		u32 n = min_t(u64, left, BATCH), i;

		for (i = 0; i < n; i++) {
			struct kvl_block *b;

			b = kvl_region_find(r, w.first + done + i);
			words[i] = b ? READ_ONCE(b->loc) : 0;
		}
		if (copy_to_user(dst + done, words, n * sizeof(*words)))
			return -EFAULT;
		done += n;
		left -= n;
		cond_resched();
	}
	return put_user(done, &out->count);
}

static long heat(struct kvl_region *r, void __user *arg)
{
	u64 nr = kvl_region_nr_blocks(r);
	struct kvlift_heat __user *out = arg;
	u32 values[BATCH];
	u32 __user *dst;
	struct kvlift_heat h;
	u64 left, done = 0;
	long err;

	if (copy_from_user(&h, arg, sizeof(h)))
		return -EFAULT;
	if (h.flags & ~KVLIFT_HEAT_SCAN || h.pad ||
	    any_set(h.reserved, ARRAY_SIZE(h.reserved)) || h.count > KVLIFT_WHERE_MAX)
		return -EINVAL;
	kvl_ring_flush(kvl_region_pool(r));
	if (h.flags & KVLIFT_HEAT_SCAN) {
		err = kvl_scan_region(r);
		if (err)
			return err;
	}
	dst = u64_to_user_ptr(h.ptr);
	left = h.first < nr ? min(h.count, nr - h.first) : 0;
	while (left) {
		u32 n = min_t(u64, left, BATCH), i;

		for (i = 0; i < n; i++) {
			struct kvl_block *b;

			b = kvl_region_find(r, h.first + done + i);
			values[i] = b ? kvl_heat_read(b) : 0;
		}
		if (copy_to_user(dst + done, values, n * sizeof(*values)))
			return -EFAULT;
		done += n;
		left -= n;
		cond_resched();
	}
	return put_user(done, &out->count);
}

long kvl_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct inode *inode = file_inode(file);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	struct kvl_region *r = kvl_region(inode);
	void __user *p = (void __user *)arg;

	switch (cmd) {
	case KVLIFT_IOC_INFO:
		return info(pool, p);
	case KVLIFT_IOC_MEMBER:
		return member(pool, p);
	case KVLIFT_IOC_QUEUE:
		return kvl_queue_open(file, pool, NULL);
	case KVLIFT_IOC_MOVER:
		return kvl_mover_open(file, p);
	case KVLIFT_IOC_DRAIN:
		return drain(pool, p);
	case KVLIFT_IOC_HINT:
		return kvl_advise_ioctl_hint(file, p);
	case KVLIFT_IOC_DOMAIN_SET:
		return kvl_domain_ioctl_set(file, p);
	case KVLIFT_IOC_DOMAIN_GET:
		return kvl_domain_ioctl_get(file, p);
	}
	if (!S_ISREG(inode->i_mode))
		return -ENOTTY;
	switch (cmd) {
	case KVLIFT_IOC_REGION:
		return region(r, p);
	case KVLIFT_IOC_TOUCH:
		return touch(r, p);
	case KVLIFT_IOC_PREFETCH:
	case KVLIFT_IOC_DEMOTE:
		return range(r, cmd, p);
	case KVLIFT_IOC_SEAL:
		if (!(file->f_mode & FMODE_WRITE))
			return -EACCES;
		return seal(r, p);
	case KVLIFT_IOC_WHERE:
		if (!(file->f_mode & FMODE_READ))
			return -EACCES;
		return where(r, p);
	case KVLIFT_IOC_HEAT:
		if (!(file->f_mode & FMODE_READ))
			return -EACCES;
		return heat(r, p);
	case KVLIFT_IOC_TOUCH_RING:
		return kvl_ring_open(file, p);
	case KVLIFT_IOC_TABLE:
		if (!(file->f_mode & FMODE_READ))
			return -EACCES;
		return kvl_table_open(file);
	default:
		return -ENOTTY;
	}
}
