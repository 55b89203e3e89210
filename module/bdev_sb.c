// SPDX-License-Identifier: GPL-2.0-only
/*
 * The superblock of a device: whose it is and what its layout is. Read and
 * checked at mount, written once then, to count the mount.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "bdev.h"
#include "msg.h"

static_assert(sizeof(struct kvlift_sb) == KVLIFT_SB_SIZE);

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

static int check(struct kvl_bdev *d, struct fs_context *fc)
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

/* Reads and checks it; 0 or an error with a message in @fc. */
int kvl_bdev_sb_read(struct kvl_bdev *d, struct fs_context *fc)
{
	int err = sb_io(d->bdev, d->sb, REQ_OP_READ);

	if (err)
		return kvl_msg(fc, err,
			       "nvme=%s: the superblock cannot be read (%d)",
			       d->path, err);
	return check(d, fc);
}

/* All devices of a mount must be of one pool, and all of it. */
int kvl_bdev_check_set(struct kvl_pool *pool, struct fs_context *fc)
{
	struct kvl_tier *t = &pool->tiers[KVLIFT_TIER_NVME];
	struct kvl_bdev *first, *d;
	unsigned int i, j;

	if (!t->nr_members)
		return 0;
	first = kvl_bdev(t->members[0]);
	if (le32_to_cpu(first->sb->dev_count) != t->nr_members)
		return kvl_msg(fc, -EINVAL,
			       "nvme=%s: the device is one of %u formatted together, and %u are given; format those to be used with one 'kvlift format DEV...'",
			       first->path, le32_to_cpu(first->sb->dev_count),
			       t->nr_members);
	for (i = 0; i < t->nr_members; i++) {
		d = kvl_bdev(t->members[i]);
		if (memcmp(d->sb->uuid, first->sb->uuid, sizeof(uuid_t)))
			return kvl_msg(fc, -EINVAL,
				       "nvme=%s: belongs to another pool than %s; format them together with one 'kvlift format DEV...'",
				       d->path, first->path);
		for (j = 0; j < i; j++)
			if (d->sb->dev_index ==
			    kvl_bdev(t->members[j])->sb->dev_index)
				return kvl_msg(fc, -EINVAL,
					       "nvme=%s: carries the superblock of %s (a copy?)",
					       d->path,
					       kvl_bdev(t->members[j])->path);
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
		struct kvl_bdev *d = kvl_bdev(t->members[i]);

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
