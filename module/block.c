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

void kvl_block_lock(struct kvl_block *b)
{
	might_sleep();
	kvl_block_dep_acquire();
	wait_on_bit_lock(&b->flags, KVL_B_LOCK, TASK_UNINTERRUPTIBLE);
}

/* 0, or -EINTR when the task is being killed. */
int kvl_block_lock_killable(struct kvl_block *b)
{
	might_sleep();
	if (wait_on_bit_lock(&b->flags, KVL_B_LOCK, TASK_KILLABLE))
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
	/* To the task this is memory that is not there yet. */
	psi_memstall_enter(&pflags);
	err = wait_on_bit_io(&b->flags, KVL_B_LOCK, TASK_KILLABLE);
	psi_memstall_leave(&pflags);
	return err ? -EINTR : 0;
}

void kvl_block_unlock_async(struct kvl_block *b)
{
	clear_bit_unlock(KVL_B_LOCK, &b->flags);
	/* Orders the clear before the look at the wait queue. */
	smp_mb__after_atomic();
	wake_up_bit(&b->flags, KVL_B_LOCK);
}

void kvl_block_unlock(struct kvl_block *b)
{
	kvl_block_dep_release();
	kvl_block_unlock_async(b);
}
