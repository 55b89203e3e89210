// SPDX-License-Identifier: GPL-2.0-only
/*
 * Discard of slots that stay free, in the background: the device can then
 * erase ahead, and has less to move about when it is written.
 *
 * A freed slot is marked in @freed. The worker comes every few seconds,
 * discards what is marked in @trim and still free, and then moves the marks
 * of @freed there: so a slot has been free for at least one period. While a
 * range is being discarded its slots look taken in @map; in the counts they
 * stay free, less m.ntrim for who wants one now.
 *
 * Nothing is discarded at mount: an operator who wants a clean device has
 * blkdiscard(8).
 */
#include <linux/blkdev.h>

#include "bdev.h"

#define PERIOD		(2 * HZ)

/* At a time; and in a second, so that reads hardly notice. */
#define RANGE_BYTES	SZ_16M
#define SECOND_BYTES	SZ_512M

static u32 slots(struct kvl_bdev *d, u32 bytes)
{
	return max(bytes >> d->pool->block_shift, 1U);
}

static void arm(struct kvl_bdev *d, unsigned long delay)
{
	lockdep_assert_held(&d->m.lock);
	d->trim_armed = !d->trim_off;
	if (d->trim_armed)
		queue_delayed_work(d->pool->wq, &d->discard, delay);
}

/* A slot has become free. */
void kvl_bdev_discard_later(struct kvl_bdev *d, u32 slot)
{
	lockdep_assert_held(&d->m.lock);
	if (!d->freed || READ_ONCE(d->pool->opts.nodiscard))
		return;
	__set_bit(slot, d->freed);
	d->trim_fresh = true;
	if (!d->trim_armed)
		arm(d, PERIOD);
}

/*
 * Takes the next range of free slots. 0 when there is none, or when it would
 * have to be taken from those who need a slot.
 */
static u32 claim(struct kvl_bdev *d, u32 *first)
{
	u32 i, most;

	for (;; d->trim_at++) {
		*first = find_next_bit(d->trim, d->nr, d->trim_at);
		d->trim_at = *first;
		if (*first >= d->nr)
			return 0;
		spin_lock(&d->m.lock);
		most = min_t(u64, d->m.nfree / 2, slots(d, RANGE_BYTES));
		for (i = *first; i < d->nr && i - *first < most; i++) {
			if (!test_bit(i, d->trim) || test_bit(i, d->map))
				break;
			__set_bit(i, d->map);
			__clear_bit(i, d->trim);
			__clear_bit(i, d->freed);
		}
		d->m.ntrim = i - *first;
		spin_unlock(&d->m.lock);
		if (d->m.ntrim || !most)
			return d->m.ntrim;
		/* In use again. */
		__clear_bit(*first, d->trim);
	}
}

static void unclaim(struct kvl_bdev *d, u32 first)
{
	spin_lock(&d->m.lock);
	bitmap_clear(d->map, first, d->m.ntrim);
	d->m.ntrim = 0;
	spin_unlock(&d->m.lock);
	kvl_pool_slot_freed(d->pool);
}

/* False when the device will do no more of it. */
static bool discard(struct kvl_bdev *d, u32 first, u32 nr)
{
	sector_t len = kvl_bdev_sector(d, nr) - d->data;
	int err = blkdev_issue_discard(d->bdev, kvl_bdev_sector(d, first), len,
				       GFP_NOIO);

	if (!err) {
		kvl_count_add(d->pool, KVL_C_DISCARD_BYTES,
			      len << SECTOR_SHIFT);
		return true;
	}
	if (!READ_ONCE(d->m.dead))
		pr_warn("nvme=%s: freed slots cannot be discarded any more (%d)\n",
			d->path, err);
	return false;
}

/* The marks of this period become those of the last. True if there are any. */
static bool age(struct kvl_bdev *d)
{
	size_t w, nr = BITS_TO_LONGS(d->nr);
	bool any = false;

	spin_lock(&d->m.lock);
	d->trim_fresh = false;
	spin_unlock(&d->m.lock);
	for (w = 0; w < nr; w++) {
		if (!READ_ONCE(d->freed[w])) {
			any |= d->trim[w];
			continue;
		}
		spin_lock(&d->m.lock);
		d->trim[w] |= d->freed[w];
		d->freed[w] = 0;
		spin_unlock(&d->m.lock);
		any = true;
		cond_resched();
	}
	return any;
}

static void discard_work(struct work_struct *work)
{
	struct kvl_bdev *d = container_of(to_delayed_work(work),
					  struct kvl_bdev, discard);
	u32 first, nr, left = slots(d, SECOND_BYTES);
	unsigned long again = HZ;
	bool ok = true, any = true;

	while (ok && left && !READ_ONCE(d->trim_off) &&
	       !READ_ONCE(d->pool->opts.nodiscard)) {
		nr = claim(d, &first);
		if (!nr)
			break;
		ok = discard(d, first, nr);
		unclaim(d, first);
		left -= min(left, nr);
		cond_resched();
	}
	if (left) {
		d->trim_at = 0;
		any = age(d);
		again = PERIOD;
	}
	spin_lock(&d->m.lock);
	if (!ok)
		d->trim_off = true;
	d->trim_armed = false;
	/* What was freed meanwhile found the worker armed. */
	if ((any || d->trim_fresh) && !READ_ONCE(d->pool->opts.nodiscard))
		arm(d, again);
	spin_unlock(&d->m.lock);
}

int kvl_bdev_discard_init(struct kvl_bdev *d)
{
	size_t words = BITS_TO_LONGS(d->nr);

	INIT_DELAYED_WORK(&d->discard, discard_work);
	if (!bdev_max_discard_sectors(d->bdev))
		return 0;
	d->freed = kvcalloc(words, sizeof(long), GFP_KERNEL);
	d->trim = kvcalloc(words, sizeof(long), GFP_KERNEL);
	return d->freed && d->trim ? 0 : -ENOMEM;
}

void kvl_bdev_discard_stop(struct kvl_bdev *d)
{
	spin_lock(&d->m.lock);
	WRITE_ONCE(d->trim_off, true);
	spin_unlock(&d->m.lock);
	if (d->freed)
		cancel_delayed_work_sync(&d->discard);
}
