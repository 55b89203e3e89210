/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device of the nvme tier, for the files that make up its back end:
 *
 *	tier_bdev.c	slots, budget, opening
 *	bdev_io.c	copies
 *	bdev_discard.c	discard of slots that stay free
 *	bdev_sb.c	superblock
 *
 * Locks: m.lock protects the bitmaps but for @trim, which belongs to the
 * discard worker; @queue_lock, taken with interrupts off and inside of which
 * nothing is taken, the lists of copies that wait.
 */
#ifndef KVL_BDEV_H
#define KVL_BDEV_H

#include <linux/wait.h>

#include "pool.h"

/**
 * struct kvl_bdev - a device
 * @m:		what the layers above see
 * @pool:	the pool
 * @file:	the device, held exclusively
 * @bdev:	the same
 * @sb:		superblock as read
 * @data:	first sector of slot 0
 * @nr:		slots the device has room for
 * @next:	the slot after the one that was handed out last
 * @map:	a bit per slot, set when in use or being discarded
 * @freed:	set when freed since the discard worker last looked, NULL when
 *		the device does not discard
 * @trim:	set when freed before that
 * @trim_at:	where the worker goes on in @trim
 * @trim_fresh:	@freed has marks that the worker has not seen
 * @trim_armed:	the worker is queued or runs
 * @trim_off:	it must not be queued any more: unmount, or the device refused
 * @idle:	who waits for no copy to be in flight
 * @queue:	copies without a credit, by priority
 * @nr_queued:	how many these are
 * @again:	copies that failed, to be tried alone; they keep their credit
 * @more:	submits what is in the lists
 * @row_start:	copies are measured since then
 * @row_nr:	how many have ended
 * @row_from_idle: the device was idle before
 * @row_mixed:	not all of them are reads
 * @each_ns:	per block that is read while others wait, on average
 * @alone_ns:	of a read that is alone, on average
 * @path:	as given at mount
 */
struct kvl_bdev {
	struct kvl_member m;
	struct kvl_pool *pool;
	struct file *file;
	struct block_device *bdev;
	struct kvlift_sb *sb;

	sector_t data;
	u32 nr;
	u32 next;
	unsigned long *map;

	unsigned long *freed;
	unsigned long *trim;
	u32 trim_at;
	bool trim_fresh;
	bool trim_armed;
	bool trim_off;
	struct delayed_work discard;

	wait_queue_head_t idle;
	spinlock_t queue_lock;	/* the lists and their count */
	struct list_head queue[KVL_NR_IO];
	unsigned int nr_queued;
	struct list_head again;
	struct work_struct more;

	u64 row_start;
	atomic_t row_nr;
	bool row_from_idle;
	bool row_mixed;
	u64 each_ns;
	u64 alone_ns;

	char path[KVL_PATH_LEN];
};

static inline struct kvl_bdev *kvl_bdev(struct kvl_member *m)
{
	return container_of(m, struct kvl_bdev, m);
}

static inline sector_t kvl_bdev_sector(struct kvl_bdev *d, u32 slot)
{
	return d->data +
	       ((sector_t)slot << (d->pool->block_shift - SECTOR_SHIFT));
}

/* bdev_io.c */
void kvl_bdev_io_init(struct kvl_bdev *d);
void kvl_bdev_submit(struct kvl_copy *copy);
void kvl_bdev_expedite(struct kvl_member *m, u64 addr);
void kvl_bdev_io_drain(struct kvl_bdev *d);

/* bdev_discard.c */
int kvl_bdev_discard_init(struct kvl_bdev *d);
void kvl_bdev_discard_later(struct kvl_bdev *d, u32 slot);
void kvl_bdev_discard_stop(struct kvl_bdev *d);

/* bdev_sb.c */
int kvl_bdev_sb_read(struct kvl_bdev *d, struct fs_context *fc);

#endif /* KVL_BDEV_H */
