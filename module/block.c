// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block locks. LOCK ORDER of the module, outermost first:
 *
 *	inode->i_rwsem		system calls that change size or content
 *	mmap_lock or VMA lock	faults
 *	block lock		who waits for one holds no other
 *	folio lock		core installs a PMD under it after ->fault
 *	i_mmap_rwsem, page-table locks	inside unmap_mapping_pages()
 *	pool->domain_lock, pool->store_lock
 *	tier->lru_lock
 *	pool->resize_lock
 *	inode->i_lock, member->lock, region->table_lock
 *
 * No block lock is held over an access to user memory that may fault. The
 * migrator never takes mmap_lock. A task that must wait for a slot or for
 * I/O holds no block lock.
 */
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/workqueue.h>
#include <linux/psi.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>

#include "block.h"

#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key block_key;
struct lockdep_map kvl_block_dep =
	STATIC_LOCKDEP_MAP_INIT("kvl_block", &block_key);
#endif

/* Longer than any hold without a copy, shorter than two switches, ns. */
#define SPIN_NS		5000

/*
 * Takes the lock of a block in memory, of which a move most often only does
 * the bookkeeping, without going to sleep for it. False: it takes longer.
 */
bool kvl_block_spin(struct kvl_block *b)
{
	u64 end = local_clock() + SPIN_NS;

	/* The clock comes last: a virtual CPU may have stood still. */
	for (;;) {
		if (!test_bit(KVL_B_LOCK, &b->flags) && kvl_block_trylock(b))
			return true;
		if (need_resched() || local_clock() >= end)
			return false;
		cpu_relax();
	}
}

/* Those who wait, by block; each says so in the block before it sleeps. */
#define QUEUE_BITS	8

static wait_queue_head_t queues[BIT(QUEUE_BITS)];

static wait_queue_head_t *queue_of(struct kvl_block *b)
{
	return &queues[hash_ptr(b, QUEUE_BITS)];
}

void kvl_block_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(queues); i++)
		init_waitqueue_head(&queues[i]);
}

struct waiter {
	struct wait_queue_entry entry;
	struct kvl_block *block;
};

/* Queues are shared: only those who wait for this block. */
static int wake_waiter(struct wait_queue_entry *entry, unsigned int mode,
		       int flags, void *block)
{
	if (container_of(entry, struct waiter, entry)->block != block)
		return 0;
	return autoremove_wake_function(entry, mode, flags, block);
}

/* Until nobody holds the lock, or until it was taken. 0, or -EINTR. */
static int wait(struct kvl_block *b, int mode, bool take)
{
	wait_queue_head_t *q = queue_of(b);
	struct waiter w = {
		.block = b,
		.entry = {
			.private = current,
			.func = wake_waiter,
			.entry = LIST_HEAD_INIT(w.entry.entry),
		},
	};
	int err = 0;

	for (;;) {
		prepare_to_wait(q, &w.entry, mode);
		set_bit(KVL_B_WAITED, &b->flags);
		/* Pairs with the operation that gives the lock up. */
		smp_mb__after_atomic();
		if (take ? kvl_block_try(b) :
			   !test_bit_acquire(KVL_B_LOCK, &b->flags))
			break;
		if (signal_pending_state(mode, current)) {
			err = -EINTR;
			break;
		}
		if (take)
			schedule();
		else
			io_schedule();
	}
	finish_wait(q, &w.entry);
	return err;
}

/*
 * All who wait for the block are woken, after the bit is cleared: who did not
 * get the lock sets it again. Who joined the queue before it was cleared is
 * woken, and who does later sets it later.
 */
static noinline void wake(struct kvl_block *b)
{
	clear_bit(KVL_B_WAITED, &b->flags);
	/* Orders the clear before the look at the wait queue. */
	smp_mb__after_atomic();
	__wake_up(queue_of(b), TASK_NORMAL, 0, b);
}

/* A function of its own, so that tracers see when a lock is given up. */
void kvl_block_unlock_async(struct kvl_block *b)
{
	if (unlikely(xor_unlock_is_negative_byte(BIT(KVL_B_LOCK), &b->flags)))
		wake(b);
}

void kvl_block_lock(struct kvl_block *b)
{
	might_sleep();
	kvl_block_dep_acquire();
	if (!kvl_block_try(b))
		wait(b, TASK_UNINTERRUPTIBLE, true);
}

/* 0, or -EINTR when the task is being killed. */
int kvl_block_lock_killable(struct kvl_block *b)
{
	might_sleep();
	if (!kvl_block_try(b) && wait(b, TASK_KILLABLE, true))
		return -EINTR;
	kvl_block_dep_acquire();
	return 0;
}

/* Waits until nobody holds the lock. 0, or -EINTR. */
int kvl_block_wait(struct kvl_block *b)
{
	unsigned long pflags;
	int err;

	might_sleep();
	if (!test_bit_acquire(KVL_B_LOCK, &b->flags))
		return 0;
	/* To the task this is memory that is not there yet. */
	psi_memstall_enter(&pflags);
	err = wait(b, TASK_KILLABLE, false);
	psi_memstall_leave(&pflags);
	return err;
}
