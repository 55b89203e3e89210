// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block device: its slots and its budget.
 *
 * Nothing of what a device holds is believed after a mount: a pool starts
 * empty, the superblock says only whose the device is and what its layout is.
 */
#include <linux/blkdev.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bdev.h"
#include "move.h"
#include "msg.h"

/*
 * A checksum or a mirror below would be wrong if a page changed while it is
 * written. Can be set in sysfs.
 */
bool kvl_bdev_wants_stable(struct kvl_member *m)
{
	return bdev_stable_writes(kvl_bdev(m)->bdev);
}

/* As given at mount; the member's name may be cut. */
const char *kvl_bdev_path(struct kvl_member *m)
{
	return kvl_bdev(m)->path;
}

/* Words of the map looked at for the best place to go on. */
#define SEARCH_WORDS	64

/*
 * The emptiest of the next words of the map, or the next one that is not
 * full. Looked for once per word, whose free slots are then used up.
 */
static u32 find_word(struct kvl_bdev *d, u32 word)
{
	u32 nr = BITS_TO_LONGS(d->nr), best = word, i;
	unsigned int least = BITS_PER_LONG;

	for (i = 0; i < min(nr, SEARCH_WORDS); i++) {
		unsigned int used;

		if (word == nr)
			word = 0;
		used = hweight_long(d->map[word]);
		if (used < least) {
			best = word;
			least = used;
		}
		if (!used)
			break;
		word++;
	}
	if (least < BITS_PER_LONG)
		return best;
	i = find_next_zero_bit(d->map, d->nr, word * BITS_PER_LONG);
	if (i >= d->nr)
		i = find_first_zero_bit(d->map, d->nr);
	return i / BITS_PER_LONG;
}

/*
 * Blocks that leave memory together get neighbouring slots, so that the block
 * layer merges their I/O, now and when they are read again together.
 */
static u32 find_slot(struct kvl_bdev *d)
{
	u32 word = d->next / BITS_PER_LONG, end, i;

	end = min((word + 1) * BITS_PER_LONG, d->nr);
	i = find_next_zero_bit(d->map, end, d->next);
	if (i < end)
		return i;
	word = find_word(d, word + 1);
	return find_next_zero_bit(d->map, d->nr, word * BITS_PER_LONG);
}

static int bdev_alloc(struct kvl_member *m, u32 *slot)
{
	struct kvl_bdev *d = kvl_bdev(m);
	int err = -ENOSPC;
	u32 i;

	spin_lock(&m->lock);
	if (m->nfree > m->ntrim) {
		i = find_slot(d);
		if (!WARN_ON_ONCE(i >= d->nr)) {
			__set_bit(i, d->map);
			d->next = i + 1 < d->nr ? i + 1 : 0;
			m->nfree--;
			*slot = i;
			err = 0;
		}
	}
	spin_unlock(&m->lock);
	return err;
}

static void bdev_free(struct kvl_member *m, u32 slot)
{
	struct kvl_bdev *d = kvl_bdev(m);
	bool over;

	spin_lock(&m->lock);
	WARN_ON_ONCE(!test_bit(slot, d->map));
	__clear_bit(slot, d->map);
	kvl_bdev_discard_later(d, slot);
	/* A budget that was cut is met as slots come back. */
	over = m->got > m->asked;
	if (over)
		m->got--;
	else
		m->nfree++;
	spin_unlock(&m->lock);
	if (!over)
		atomic64_inc(&m->tier->nfree);
	if (READ_ONCE(m->dead))
		kvl_pool_resized(d->pool);
}

/* A slot that cannot be written stays marked and is never used again. */
static void bdev_retire(struct kvl_member *m, u32 slot)
{
	spin_lock(&m->lock);
	m->nlost++;
	spin_unlock(&m->lock);
	kvl_pool_resized(kvl_bdev(m)->pool);
}

static void bdev_drain(struct kvl_member *m)
{
	struct kvl_bdev *d = kvl_bdev(m);

	kvl_bdev_io_drain(d);
	kvl_bdev_discard_stop(d);
}

static int bdev_check_resize(struct kvl_member *m, struct fs_context *fc,
			     u64 asked)
{
	struct kvl_bdev *d = kvl_bdev(m);
	u64 used = m->got - m->nfree - atomic64_read(&m->nshadow);

	if (asked > d->nr)
		return kvl_msg(fc, -ENOSPC,
			       "nvme=%s: the device has room for %u blocks of %u KiB, not for %llu",
			       d->path, d->nr, d->pool->block_size >> 10,
			       asked);
	if (asked < used)
		return kvl_msg(fc, -EBUSY,
			       "nvme=%s: %llu blocks are stored there, more than the %llu asked for; delete files first",
			       d->path, used, asked);
	return 0;
}

/* Any slot number may be used; the budget bounds how many are. */
static void bdev_resize(struct kvl_member *m, u64 asked)
{
	s64 delta;

	spin_lock(&m->lock);
	delta = asked - m->got;
	if (delta < 0 && (u64)-delta > m->nfree)
		delta = -(s64)m->nfree;
	m->asked = asked;
	m->got += delta;
	m->nfree += delta;
	spin_unlock(&m->lock);
	atomic64_add(delta, &m->tier->nfree);
	kvl_pool_resized(kvl_bdev(m)->pool);
	while (READ_ONCE(m->got) > asked &&
	       kvl_reclaim_shadows(kvl_bdev(m)->pool, KVL_VICTIM_SHADOWS))
		cond_resched();
}

static void bdev_destroy(struct kvl_member *m)
{
	struct kvl_bdev *d = kvl_bdev(m);

	WARN_ON_ONCE(m->nfree + m->nlost != m->got);
	if (d->file)
		bdev_fput(d->file);
	kvfree(d->trim);
	kvfree(d->freed);
	kvfree(d->map);
	kfree(d->sb);
	kfree(d);
}

static const struct kvl_tier_ops bdev_ops = {
	.name = "bdev",
	.caps = KVL_CAP_CSUM | KVL_CAP_DISCARD,
	.alloc = bdev_alloc,
	.free = bdev_free,
	.retire = bdev_retire,
	.submit = kvl_bdev_submit,
	.expedite = kvl_bdev_expedite,
	.drain = bdev_drain,
	.check_resize = bdev_check_resize,
	.resize = bdev_resize,
	.destroy = bdev_destroy,
};

/* The device has gone away: nothing new goes there, I/O fails by itself. */
static void mark_dead(struct block_device *bdev, bool surprise)
{
	struct kvl_bdev *d = bdev->bd_holder;

	WRITE_ONCE(d->m.dead, true);
	kvl_pool_resized(d->pool);
	pr_err("nvme=%s: the device is gone; its blocks read as EIO\n",
	       d->path);
	/* Called with this lock held, which the handler has to drop. */
	mutex_unlock(&bdev->bd_holder_lock);
}

static const struct blk_holder_ops holder_ops = {
	.mark_dead = mark_dead,
};

static int open_device(struct kvl_bdev *d, struct fs_context *fc)
{
	struct file *file;
	int err;

	file = bdev_file_open_by_path(d->path, BLK_OPEN_READ | BLK_OPEN_WRITE,
				      d, &holder_ops);
	if (!IS_ERR(file)) {
		d->file = file;
		d->bdev = file_bdev(file);
		return 0;
	}
	err = PTR_ERR(file);
	switch (err) {
	case -EBUSY:
		return kvl_msg(fc, err,
			       "nvme=%s: the device is in use (mounted, part of another pool, or given twice)",
			       d->path);
	case -ENOTBLK:
		return kvl_msg(fc, err,
			       "nvme=%s: not a block device; for a file use a loop device ('losetup -f --show %s')",
			       d->path, d->path);
	case -ENOENT:
		return kvl_msg(fc, err, "nvme=%s: no such device", d->path);
	case -EACCES:
	case -EROFS:
		return kvl_msg(fc, err, "nvme=%s: the device is read-only",
			       d->path);
	default:
		return kvl_msg(fc, err, "nvme=%s: cannot be opened (%d)",
			       d->path, err);
	}
}

/*
 * A device for the pool's nvme tier; @bytes 0 takes all of it. ERR_PTR with
 * a message in @fc.
 */
struct kvl_member *kvl_bdev_create(struct kvl_pool *pool,
				   struct fs_context *fc, const char *path,
				   u64 bytes)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	struct kvl_bdev *d = kzalloc(sizeof(*d), GFP_KERNEL);
	u64 room, asked;
	int err = -ENOMEM;

	if (!d)
		return ERR_PTR(-ENOMEM);
	d->pool = pool;
	d->m.ops = &bdev_ops;
	d->m.id = t->nr_members;
	d->m.node = NUMA_NO_NODE;
	strscpy(d->path, path, sizeof(d->path));
	strscpy(d->m.name, path, sizeof(d->m.name));
	spin_lock_init(&d->m.lock);
	kvl_bdev_io_init(d);
	/* Freed with the tier from here on. */
	kvl_tier_add(t, &d->m);

	d->sb = kzalloc(KVLIFT_SB_SIZE, GFP_KERNEL);
	if (!d->sb)
		return ERR_PTR(err);
	err = open_device(d, fc);
	if (err)
		return ERR_PTR(err);
	if (bdev_is_zoned(d->bdev)) {
		err = kvl_msg(fc, -EINVAL,
			      "nvme=%s: a zoned device cannot be written in any order; choose another",
			      d->path);
		return ERR_PTR(err);
	}
	if (bdev_nr_bytes(d->bdev) < KVLIFT_SB_LOG_START + pool->block_size) {
		err = kvl_msg(fc, -EINVAL, "nvme=%s: the device is too small",
			      d->path);
		return ERR_PTR(err);
	}
	err = kvl_bdev_sb_read(d, fc);
	if (err)
		return ERR_PTR(err);
	room = (bdev_nr_bytes(d->bdev) - le64_to_cpu(d->sb->data_offset)) >>
	       pool->block_shift;
	d->data = le64_to_cpu(d->sb->data_offset) >> SECTOR_SHIFT;
	d->nr = min_t(u64, room, U32_MAX);
	asked = bytes ? bytes >> pool->block_shift : d->nr;
	if (!asked || asked > d->nr) {
		err = kvl_msg(fc, -ENOSPC,
			      "nvme=%s: the device has room for %u blocks of %u KiB, not for %llu",
			      d->path, d->nr, pool->block_size >> 10, asked);
		return ERR_PTR(err);
	}
	d->map = kvcalloc(BITS_TO_LONGS(d->nr), sizeof(long), GFP_KERNEL);
	if (!d->map)
		return ERR_PTR(-ENOMEM);
	/* Words are compared by how many slots are free in them. */
	if (d->nr % BITS_PER_LONG)
		bitmap_set(d->map, d->nr,
			   BITS_PER_LONG - d->nr % BITS_PER_LONG);
	err = kvl_bdev_discard_init(d);
	if (err)
		return ERR_PTR(err);
	d->m.asked = asked;
	d->m.got = asked;
	d->m.nfree = asked;
	atomic64_add(asked, &t->nfree);
	return &d->m;
}
