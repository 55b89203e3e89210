// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies between a device and memory: one bio per block, straight from and
 * into the memory of the other side. The bio is part of the copy, so that
 * nothing is allocated.
 *
 * A device has credit for opts.depth copies in flight. Those beyond it wait
 * in lists, in the order of their priority, and are submitted by a work item
 * when credit has come back: a completion may run in interrupt context, where
 * submitting is not allowed.
 *
 * The block layer merges the bios of neighbours into one request, and fails
 * all of them when one sector is bad. Who fails is tried once more, alone, so
 * that an error is that of the block it is reported for.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/ioprio.h>
#include <linux/ktime.h>

#include "bdev.h"
#include "trace.h"

static struct kvl_bdev *copy_device(struct kvl_copy *copy)
{
	u64 here = kvl_addr_is_memory(copy->src) ? copy->dst : copy->src;

	return kvl_bdev(kvl_addr_member(copy->pool, here));
}

static bool take_credit(struct kvl_bdev *d)
{
	int depth = READ_ONCE(d->pool->opts.depth);
	int n = atomic_read(&d->m.inflight);

	do {
		if (n >= depth)
			return false;
	} while (!atomic_try_cmpxchg(&d->m.inflight, &n, n + 1));
	if (n >= READ_ONCE(d->m.inflight_max))
		WRITE_ONCE(d->m.inflight_max, n + 1);
	return true;
}

/*
 * True when, with @n in flight, it is time to submit what waits: at once when
 * a task is waiting, else some at a time, so that neighbours merge.
 */
static bool want_more(struct kvl_bdev *d, int n)
{
	int depth = READ_ONCE(d->pool->opts.depth);

	if (n <= depth - max(depth / 8, 1))
		return true;
	return n < depth && !list_empty(&d->queue[KVL_IO_URGENT]);
}

static void put_credit(struct kvl_bdev *d)
{
	int n;

	/* Pairs with synchronize_rcu() in kvl_bdev_io_drain(). */
	rcu_read_lock();
	/* The barrier in it pairs with the one in enqueue(). */
	n = atomic_dec_return(&d->m.inflight);
	if (READ_ONCE(d->nr_queued)) {
		if (want_more(d, n))
			queue_work(d->pool->io_wq, &d->more);
	/* The same barrier: who begins to wait sees the 0. */
	} else if (!n && waitqueue_active(&d->idle)) {
		wake_up(&d->idle);
	}
	rcu_read_unlock();
}

/* A new measurement counts one in so many. */
#define SPEED_WEIGHT	8

static u64 average(u64 old, u64 new)
{
	return old ? old + div_s64((s64)(new - old), SPEED_WEIGHT) : new;
}

/*
 * Reads are measured in rows: while the device is never idle, and so many at a
 * time, lest the latency of the first one counts for much; neighbours end
 * together.
 */
#define ROW_MIN		8
#define ROW_MAX		64

static void row_start(struct kvl_bdev *d, u64 now, bool idle)
{
	WRITE_ONCE(d->row_start, now);
	WRITE_ONCE(d->row_from_idle, idle);
	WRITE_ONCE(d->row_mixed, false);
	atomic_set(&d->row_nr, 0);
}

static void row_end(struct kvl_bdev *d, u64 ns, unsigned int nr, bool idle)
{
	u64 alone = READ_ONCE(d->alone_ns), each = READ_ONCE(d->each_ns);

	if (nr == 1 && idle) {
		alone = average(alone, ns);
		WRITE_ONCE(d->alone_ns, alone);
	} else if (nr >= ROW_MIN) {
		/* The first one took the latency too, which varies. */
		if (idle && alone > ns / 2)
			ns = div_u64(ns / 2, nr);
		else if (idle)
			ns = div_u64(ns - alone, nr - 1);
		else
			ns = div_u64(ns, nr);
		each = average(each, max(ns, 1));
		WRITE_ONCE(d->each_ns, each);
	}
	each = each ?: alone;
	if (!each)
		return;
	alone = alone > each ? alone - each : 0;
	WRITE_ONCE(d->m.latency, min(alone, U32_MAX));
	each = div64_u64((u64)d->pool->block_size * NSEC_PER_SEC >> 20, each);
	WRITE_ONCE(d->m.bandwidth, clamp(each, 1, U32_MAX));
}

/* Several at a time may spoil a figure a little, which does no harm. */
static void measure(struct kvl_bdev *d, struct kvl_copy *copy)
{
	unsigned int nr = atomic_inc_return(&d->row_nr);
	u64 now = copy->t_done, start = READ_ONCE(d->row_start);
	bool idle = READ_ONCE(d->row_from_idle);

	if (!kvl_addr_is_memory(copy->dst) || copy->error)
		WRITE_ONCE(d->row_mixed, true);
	if (atomic_read(&d->m.inflight) > 1 && nr < ROW_MAX)
		return;
	if (!READ_ONCE(d->row_mixed) && now > start)
		row_end(d, now - start, nr, idle);
	row_start(d, now, false);
}

static void end(struct kvl_bdev *d, struct kvl_copy *copy)
{
	copy->error = blk_status_to_errno(copy->bio.bi_status);
	copy->t_done = ktime_get_ns();
	measure(d, copy);
	bio_uninit(&copy->bio);
	copy->done(copy);
	put_credit(d);
}

/* True when @status may be that of a neighbour in the same request. */
static bool maybe_not_its_own(blk_status_t status)
{
	return status == BLK_STS_IOERR || status == BLK_STS_MEDIUM ||
	       status == BLK_STS_PROTECTION || status == BLK_STS_TARGET;
}

static void try_alone(struct kvl_bdev *d, struct kvl_copy *copy)
{
	unsigned long flags;

	copy->alone = true;
	kvl_count(d->pool, KVL_C_IO_RETRIES);
	spin_lock_irqsave(&d->queue_lock, flags);
	list_add_tail(&copy->wait, &d->again);
	spin_unlock_irqrestore(&d->queue_lock, flags);
	queue_work(d->pool->io_wq, &d->more);
}

static void copy_end(struct bio *bio)
{
	struct kvl_copy *copy = container_of(bio, struct kvl_copy, bio);
	struct kvl_bdev *d = bio->bi_private;

	if (unlikely(bio->bi_status) && !copy->alone &&
	    maybe_not_its_own(bio->bi_status) && !READ_ONCE(d->m.dead)) {
		bio_uninit(bio);
		try_alone(d, copy);
		return;
	}
	end(d, copy);
}

static void prepare(struct kvl_bdev *d, struct kvl_copy *copy)
{
	bool write = kvl_addr_is_memory(copy->src);
	u64 here = write ? copy->dst : copy->src;
	u64 memory = write ? copy->src : copy->dst;
	struct bio *bio = &copy->bio;
	blk_opf_t opf;

	if (atomic_read(&d->m.inflight) == 1)
		row_start(d, ktime_get_ns(), true);
	/* Nobody is going to add to it: no wait, no writeback throttling. */
	opf = write ? REQ_OP_WRITE | REQ_SYNC | REQ_IDLE :
		      REQ_OP_READ | REQ_SYNC;
	if (copy->alone)
		opf |= REQ_NOMERGE;
	bio_init(bio, d->bdev, &copy->bvec, 1, opf);
	bio->bi_iter.bi_sector = kvl_bdev_sector(d, kvlift_loc_slot(here));
	bio->bi_private = d;
	bio->bi_end_io = copy_end;
	if (copy->prio == KVL_IO_IDLE)
		bio->bi_ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
	bio_add_folio_nofail(bio, kvl_addr_folio(d->pool, memory),
			     d->pool->block_size, 0);
}

static void start(struct kvl_bdev *d, struct kvl_copy *copy)
{
	prepare(d, copy);
	submit_bio(&copy->bio);
}

static void polled_end(struct bio *bio)
{
	complete(bio->bi_private);
}

/*
 * The task would wait anyway: it looks for the completion itself. The block
 * layer takes REQ_POLLED away when it has to split the bio.
 */
static void start_and_poll(struct kvl_bdev *d, struct kvl_copy *copy)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct bio *bio = &copy->bio;

	copy->alone = true;
	prepare(d, copy);
	bio->bi_opf |= REQ_POLLED;
	bio->bi_private = &done;
	bio->bi_end_io = polled_end;
	submit_bio(bio);
	while (!completion_done(&done)) {
		if (!(READ_ONCE(bio->bi_opf) & REQ_POLLED)) {
			wait_for_completion_io(&done);
			break;
		}
		if (bio_poll(bio, NULL, 0) > 0)
			kvl_count(d->pool, KVL_C_IO_POLLED);
		cond_resched();
	}
	end(d, copy);
}

static void enqueue(struct kvl_bdev *d, struct kvl_copy *copy)
{
	unsigned long flags;

	spin_lock_irqsave(&d->queue_lock, flags);
	list_add_tail(&copy->wait, &d->queue[copy->prio]);
	WRITE_ONCE(d->nr_queued, d->nr_queued + 1);
	spin_unlock_irqrestore(&d->queue_lock, flags);
	/*
	 * Either a completion sees that somebody waits, or its credit is seen
	 * here. The copy may be gone by now.
	 */
	smp_mb();
	if (want_more(d, atomic_read(&d->m.inflight)))
		queue_work(d->pool->io_wq, &d->more);
}

/* Without queues to poll the block layer would fail the request. */
static bool can_poll(struct kvl_bdev *d)
{
	struct request_queue *q = bdev_get_queue(d->bdev);

	return q->limits.features & BLK_FEAT_POLL;
}

/*
 * Reads that a task waits for pass all others. Writes cannot starve by that:
 * without them there is soon no slot to read into.
 */
void kvl_bdev_submit(struct kvl_copy *copy)
{
	struct kvl_bdev *d = copy_device(copy);
	bool urgent = copy->prio == KVL_IO_URGENT;

	copy->alone = false;
	if ((READ_ONCE(d->nr_queued) && !urgent) || !take_credit(d))
		enqueue(d, copy);
	else if (copy->poll && !current->plug && can_poll(d))
		start_and_poll(d, copy);
	else
		start(d, copy);
}

static struct kvl_copy *first(struct list_head *list)
{
	return list_first_entry_or_null(list, struct kvl_copy, wait);
}

static struct kvl_copy *dequeue(struct kvl_bdev *d)
{
	struct kvl_copy *copy;

	spin_lock_irq(&d->queue_lock);
	copy = first(&d->again);
	if (!copy && d->nr_queued && take_credit(d)) {
		copy = first(&d->queue[KVL_IO_URGENT]) ?:
		       first(&d->queue[KVL_IO_NORMAL]) ?:
		       first(&d->queue[KVL_IO_IDLE]);
		WRITE_ONCE(d->nr_queued, d->nr_queued - 1);
	}
	if (copy)
		list_del(&copy->wait);
	spin_unlock_irq(&d->queue_lock);
	return copy;
}

/* The one that reads from or writes to @addr becomes urgent, if it waits. */
void kvl_bdev_expedite(struct kvl_member *m, u64 addr)
{
	struct kvl_bdev *d = kvl_bdev(m);
	struct kvl_copy *copy;
	bool found = false;
	unsigned int prio;

	if (!READ_ONCE(d->nr_queued))
		return;
	spin_lock_irq(&d->queue_lock);
	for (prio = 0; prio < KVL_NR_IO && !found; prio++) {
		list_for_each_entry(copy, &d->queue[prio], wait) {
			found = copy->src == addr || copy->dst == addr;
			if (!found)
				continue;
			/* Who was there first stays first. */
			if (copy->prio == KVL_IO_URGENT)
				break;
			copy->prio = KVL_IO_URGENT;
			list_move_tail(&copy->wait, &d->queue[KVL_IO_URGENT]);
			break;
		}
	}
	spin_unlock_irq(&d->queue_lock);
	/* Pairs with put_credit(), as in enqueue(). */
	smp_mb();
	if (found && want_more(d, atomic_read(&d->m.inflight)))
		queue_work(d->pool->io_wq, &d->more);
}

static void issued(struct kvl_copy *copy)
{
	if ((trace_kvlift_move_enabled() || trace_kvlift_io_enabled()) &&
	    !copy->t_issue)
		copy->t_issue = ktime_get_ns();
}

static void submit_more(struct work_struct *work)
{
	struct kvl_bdev *d = container_of(work, struct kvl_bdev, more);
	struct kvl_copy *copy;
	struct blk_plug plug;

	blk_start_plug(&plug);
	while ((copy = dequeue(d))) {
		issued(copy);
		start(d, copy);
	}
	blk_finish_plug(&plug);
}

void kvl_bdev_io_init(struct kvl_bdev *d)
{
	unsigned int i;

	init_waitqueue_head(&d->idle);
	spin_lock_init(&d->queue_lock);
	for (i = 0; i < KVL_NR_IO; i++)
		INIT_LIST_HEAD(&d->queue[i]);
	INIT_LIST_HEAD(&d->again);
	INIT_WORK(&d->more, submit_more);
}

/* Returns when no copy is in flight or waits; no new one comes. */
void kvl_bdev_io_drain(struct kvl_bdev *d)
{
	wait_event(d->idle,
		   !atomic_read(&d->m.inflight) && !READ_ONCE(d->nr_queued));
	/* The last completion may still be at the wake-up. */
	synchronize_rcu();
	cancel_work_sync(&d->more);
}
