// SPDX-License-Identifier: GPL-2.0-only
/*
 * A block device: whole blocks by bio, straight from and into the memory of
 * the other side. One bio per block, many in flight; content is checksummed
 * when it is written and the checksum is handed up when it is read.
 *
 * Nothing of what a device holds is believed after a mount: a pool starts
 * empty, the superblock says only whose the device is and what its layout is.
 */
#include <crypto/hash.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "move.h"
#include "msg.h"
#include "pool.h"

static_assert(sizeof(struct kvlift_sb) == KVLIFT_SB_SIZE);

/**
 * struct kvl_bdev - a device of the nvme tier
 * @m:		what the layers above see
 * @pool:	the pool
 * @file:	the device, held exclusively
 * @bdev:	the same
 * @data:	first sector of slot 0
 * @nr:		slots the device has room for
 * @map:	a bit per slot, set when in use
 * @next:	where the search for a free slot goes on
 * @inflight:	copies submitted
 * @idle:	who waits for none to be
 * @sb:		superblock as read
 * @path:	as given at mount
 */
struct kvl_bdev {
	struct kvl_member m;
	struct kvl_pool *pool;
	struct file *file;
	struct block_device *bdev;
	sector_t data;
	u32 nr;
	u32 next;
	unsigned long *map;
	atomic_t inflight;
	wait_queue_head_t idle;
	struct kvlift_sb *sb;
	char path[KVL_PATH_LEN];
};

static struct kvl_bdev *to_bdev(struct kvl_member *m)
{
	return container_of(m, struct kvl_bdev, m);
}

/* As given at mount; the member's name may be cut. */
const char *kvl_bdev_path(struct kvl_member *m)
{
	return to_bdev(m)->path;
}

static int bdev_alloc(struct kvl_member *m, u32 *slot)
{
	struct kvl_bdev *d = to_bdev(m);
	int err = -ENOSPC;
	u32 i;

	spin_lock(&m->lock);
	if (m->nfree) {
		i = find_next_zero_bit(d->map, d->nr, d->next);
		if (i >= d->nr)
			i = find_next_zero_bit(d->map, d->nr, 0);
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
	struct kvl_bdev *d = to_bdev(m);
	bool over;

	spin_lock(&m->lock);
	WARN_ON_ONCE(!test_bit(slot, d->map));
	__clear_bit(slot, d->map);
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
	kvl_pool_resized(to_bdev(m)->pool);
}

static void copy_end(struct bio *bio)
{
	struct kvl_copy *copy = bio->bi_private;
	bool write = op_is_write(bio_op(bio));
	struct kvl_bdev *d = to_bdev(kvl_addr_member(copy->pool,
						     write ? copy->dst :
							     copy->src));

	copy->error = blk_status_to_errno(bio->bi_status);
	copy->t_done = ktime_get_ns();
	bio_put(bio);
	copy->done(copy);
	/* Pairs with synchronize_rcu() in bdev_drain(). */
	rcu_read_lock();
	if (atomic_dec_and_test(&d->inflight))
		wake_up(&d->idle);
	rcu_read_unlock();
}

static void bdev_submit(struct kvl_copy *copy)
{
	struct kvl_pool *pool = copy->pool;
	bool write = kvl_addr_is_memory(copy->src);
	u64 here = write ? copy->dst : copy->src;
	struct kvl_bdev *d = to_bdev(kvl_addr_member(pool, here));
	struct folio *folio = kvl_addr_folio(pool, write ? copy->src :
							   copy->dst);
	struct bio *bio;

	bio = bio_alloc_bioset(d->bdev, 1,
			       write ? REQ_OP_WRITE | REQ_SYNC | REQ_IDLE :
				       REQ_OP_READ | REQ_SYNC,
			       GFP_NOIO, &pool->bios);
	bio->bi_iter.bi_sector = d->data + ((sector_t)kvlift_loc_slot(here) <<
					    (pool->block_shift -
					     SECTOR_SHIFT));
	bio->bi_private = copy;
	bio->bi_end_io = copy_end;
	bio_add_folio_nofail(bio, folio, pool->block_size, 0);
	atomic_inc(&d->inflight);
	submit_bio(bio);
}

static void bdev_drain(struct kvl_member *m)
{
	struct kvl_bdev *d = to_bdev(m);

	wait_event(d->idle, !atomic_read(&d->inflight));
	/* The last completion may still be at the wake-up. */
	synchronize_rcu();
}

static int bdev_check_resize(struct kvl_member *m, struct fs_context *fc,
			     u64 asked)
{
	struct kvl_bdev *d = to_bdev(m);
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
	kvl_pool_resized(to_bdev(m)->pool);
	while (READ_ONCE(m->got) > asked &&
	       kvl_reclaim_shadows(to_bdev(m)->pool, KVL_VICTIM_SHADOWS))
		cond_resched();
}

static void bdev_destroy(struct kvl_member *m)
{
	struct kvl_bdev *d = to_bdev(m);

	WARN_ON_ONCE(m->nfree + m->nlost != m->got);
	if (d->file)
		bdev_fput(d->file);
	kvfree(d->map);
	kfree(d->sb);
	kfree(d);
}

static const struct kvl_tier_ops bdev_ops = {
	.name = "bdev",
	.caps = KVL_CAP_CSUM,
	.alloc = bdev_alloc,
	.free = bdev_free,
	.retire = bdev_retire,
	.submit = bdev_submit,
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

static int sb_io(struct block_device *bdev, struct kvlift_sb *sb,
		 enum req_op op)
{
	struct bio *bio;
	int err;

	bio = bio_alloc(bdev, 1, op | REQ_SYNC |
			(op == REQ_OP_WRITE ? REQ_FUA | REQ_PREFLUSH : 0),
			GFP_KERNEL);
	bio->bi_iter.bi_sector = 0;
	__bio_add_page(bio, virt_to_page(sb), KVLIFT_SB_SIZE,
		       offset_in_page(sb));
	err = submit_bio_wait(bio);
	bio_put(bio);
	return err;
}

/* The block size a device was formatted for, 0 for none or any trouble. */
u32 kvl_bdev_peek_block(const char *path)
{
	struct file *file = bdev_file_open_by_path(path, BLK_OPEN_READ, NULL,
						   NULL);
	struct kvlift_sb *sb;
	u32 size = 0;

	if (IS_ERR(file))
		return 0;
	sb = kmalloc(KVLIFT_SB_SIZE, GFP_KERNEL);
	if (sb && bdev_nr_bytes(file_bdev(file)) >= KVLIFT_SB_SIZE &&
	    !sb_io(file_bdev(file), sb, REQ_OP_READ) &&
	    !memcmp(sb->magic, KVLIFT_SB_MAGIC, sizeof(sb->magic)))
		size = le32_to_cpu(sb->block_size);
	if (size < KVLIFT_BLOCK_MIN || size > KVLIFT_BLOCK_MAX ||
	    !is_power_of_2(size))
		size = 0;
	kfree(sb);
	bdev_fput(file);
	return size;
}

static u32 sb_crc(struct kvl_bdev *d)
{
	return kvl_pool_crc(d->pool, d->sb, offsetof(struct kvlift_sb, crc));
}

static int sb_check(struct kvl_bdev *d, struct fs_context *fc)
{
	const struct kvlift_sb *sb = d->sb;
	u64 data = le64_to_cpu(sb->data_offset);
	u64 log = le64_to_cpu(sb->log_offset);
	u64 size = bdev_nr_bytes(d->bdev);

	if (!memchr_inv(sb, 0, sizeof(*sb)))
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: no superblock; write one with 'kvlift format %s'",
			       d->path, d->path);
	if (memcmp(sb->magic, KVLIFT_SB_MAGIC, sizeof(sb->magic)))
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: the device holds something that is not kvlift's; choose another, or overwrite it with 'kvlift format --force %s'",
			       d->path, d->path);
	if (le32_to_cpu(sb->version) != KVLIFT_SB_VERSION)
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: superblock version %u, this module knows %u",
			       d->path, le32_to_cpu(sb->version),
			       KVLIFT_SB_VERSION);
	if (le32_to_cpu(sb->crc) != sb_crc(d))
		return kvl_msg(fc, -EUCLEAN,
			       "nvme=%s: the superblock is damaged (checksum); write it anew with 'kvlift format --force %s'",
			       d->path, d->path);
	if (sb->feature_incompat)
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: formatted with features 0x%llx that this module does not know",
			       d->path, le64_to_cpu(sb->feature_incompat));
	if (le32_to_cpu(sb->sb_size) != KVLIFT_SB_SIZE ||
	    log < KVLIFT_SB_SIZE || le64_to_cpu(sb->log_size) > size ||
	    log > data || data - log < le64_to_cpu(sb->log_size) ||
	    !data || data % KVLIFT_SB_DATA_ALIGN || data >= size)
		return kvl_msg(fc, -EUCLEAN,
			       "nvme=%s: the superblock's layout does not fit the device of %llu MiB; write it anew with 'kvlift format --force %s'",
			       d->path, size >> 20, d->path);
	if (le64_to_cpu(sb->dev_size) > size)
		return kvl_msg(fc, -EUCLEAN,
			       "nvme=%s: the device has %llu MiB, it had %llu MiB when it was formatted; write the superblock anew with 'kvlift format --force %s'",
			       d->path, size >> 20,
			       le64_to_cpu(sb->dev_size) >> 20, d->path);
	if (le32_to_cpu(sb->dev_index) >= le32_to_cpu(sb->dev_count))
		return kvl_msg(fc, -EUCLEAN,
			       "nvme=%s: the superblock calls it device %u of %u; format the pool's devices together with one 'kvlift format DEV...'",
			       d->path, le32_to_cpu(sb->dev_index),
			       le32_to_cpu(sb->dev_count));
	if (sb->block_size &&
	    le32_to_cpu(sb->block_size) != d->pool->block_size)
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: formatted for blocks of %u KiB; mount with block=%uK, or format without --block",
			       d->path, le32_to_cpu(sb->block_size) >> 10,
			       le32_to_cpu(sb->block_size) >> 10);
	return 0;
}

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
	init_waitqueue_head(&d->idle);
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
	err = sb_io(d->bdev, d->sb, REQ_OP_READ);
	if (err) {
		kvl_msg(fc, err, "nvme=%s: the superblock cannot be read (%d)",
			d->path, err);
		return ERR_PTR(err);
	}
	err = sb_check(d, fc);
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
	d->m.asked = asked;
	d->m.got = asked;
	d->m.nfree = asked;
	atomic64_add(asked, &t->nfree);
	return &d->m;
}

/* All devices of a mount must be of one pool, and all of it. */
int kvl_bdev_check_set(struct kvl_pool *pool, struct fs_context *fc)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	struct kvl_bdev *first, *d;
	unsigned int i, j;

	if (!t->nr_members)
		return 0;
	first = to_bdev(t->members[0]);
	if (le32_to_cpu(first->sb->dev_count) != t->nr_members)
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: the device is one of %u formatted together, and %u are given; format those to be used with one 'kvlift format DEV...'",
			       first->path, le32_to_cpu(first->sb->dev_count),
			       t->nr_members);
	for (i = 0; i < t->nr_members; i++) {
		d = to_bdev(t->members[i]);
		if (memcmp(d->sb->uuid, first->sb->uuid, sizeof(uuid_t)))
			return kvl_msg(fc, -EINVAL,
				       "nvme=%s: belongs to another pool than %s; format them together with one 'kvlift format DEV...'",
				       d->path, first->path);
		for (j = 0; j < i; j++)
			if (d->sb->dev_index ==
			    to_bdev(t->members[j])->sb->dev_index)
				return kvl_msg(fc, -EINVAL,
					       "nvme=%s: carries the superblock of %s (a copy?)",
					       d->path,
					       to_bdev(t->members[j])->path);
	}
	import_uuid(&pool->uuid, first->sb->uuid);
	return 0;
}

/* Counts the mount in every superblock. The last step that can fail. */
int kvl_bdev_claim(struct kvl_pool *pool, struct fs_context *fc)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	unsigned int i;
	int err;

	for (i = 0; i < t->nr_members; i++) {
		struct kvl_bdev *d = to_bdev(t->members[i]);

		le64_add_cpu(&d->sb->mount_epoch, 1);
		d->sb->crc = cpu_to_le32(sb_crc(d));
		err = sb_io(d->bdev, d->sb, REQ_OP_WRITE);
		if (err)
			return kvl_msg(fc, err,
				       "nvme=%s: the superblock cannot be written (%d)",
				       d->path, err);
	}
	return 0;
}
