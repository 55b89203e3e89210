// SPDX-License-Identifier: GPL-2.0-only
/*
 * read(2), write(2) and their relatives. User memory is never touched with a
 * block's lock held: a block in memory is kept in place by a reference on its
 * folio (a move that meets it is abandoned), everything else goes through a
 * buffer or a slot that nobody else knows yet.
 *
 * Floor: one copy per byte. A write that covers a hole or a whole block goes
 * into a fresh slot, so nothing is zeroed or read first.
 */
#include <linux/blkdev.h>
#include <linux/fadvise.h>
#include <linux/mm.h>
#include <linux/falloc.h>
#include <linux/filelock.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "domain.h"
#include "heat.h"
#include "inode.h"
#include "move.h"
#include "policy.h"
#include "trace.h"

/* Inline content is copied in pieces of this size, on the way to users. */
#define BOUNCE	1024

static void touched(struct kvl_region *r, u64 index, struct kvl_block *b)
{
	if (trace_kvlift_touch_enabled())
		kvl_region_trace_touch(r, index, KVL_TOUCH_RW, 1);
	kvl_heat_touch(r, index, b, 1);
}

static ssize_t read_inline(struct kvl_region *r, struct kvl_block *b, u32 off,
			   size_t n, struct iov_iter *to)
{
	char buf[BOUNCE];
	size_t have = 0;

	n = min(n, sizeof(buf));
	if (off < r->inl_size) {
		have = min(n, (size_t)(r->inl_size - off));
		memcpy(buf, r->inl + off, have);
	}
	kvl_block_unlock(b);
	memset(buf + have, 0, n - have);
	return copy_to_iter(buf, n, to);
}

/*
 * How many blocks behind @index, which has to be read from a device, to read
 * with it: none unless the file is read in order, then twice as many each
 * time. The state is the open file's; several readers may spoil it for each
 * other, which costs no more than a wrong guess.
 */
unsigned int kvl_file_ahead(struct file *file, u64 index,
			    unsigned long vm_flags)
{
	struct kvl_pool *pool = kvl_sb_pool(file_inode(file)->i_sb);
	struct file_ra_state *ra = &file->f_ra;
	unsigned int max = KVL_AROUND >> pool->block_shift;
	unsigned int n = 0;

	if (!(vm_flags & VM_RAND_READ) &&
	    !(READ_ONCE(file->f_mode) & FMODE_RANDOM) &&
	    (vm_flags & VM_SEQ_READ || READ_ONCE(ra->prev_pos) == index))
		n = clamp(2 * READ_ONCE(ra->size), 1, max);
	if (max < 2)
		n = 0;
	WRITE_ONCE(ra->size, n);
	WRITE_ONCE(ra->prev_pos, (loff_t)(index + 1 + n));
	return n;
}

/* Up to @n bytes from one block; fewer on a fault or from inline content. */
static ssize_t read_block(struct file *file, u64 index, u32 off, size_t n,
			  struct iov_iter *to)
{
	struct kvl_region *r = kvl_region(file_inode(file));
	struct kvl_block *b = kvl_region_find(r, index);
	struct folio *folio;
	ssize_t done;
	int err;

again:
	if (!b || kvl_block_empty(b))
		return iov_iter_zero(n, to);
	err = kvl_block_lock_soon(r, b);
	if (err)
		return err;
	if (b->loc & KVLIFT_LOC_INLINE)
		return read_inline(r, b, off, n, to);
	if (kvl_block_lost(b)) {
		kvl_block_unlock(b);
		return -EIO;
	}
	if (!kvl_block_home(b)) {
		kvl_block_unlock(b);
		return iov_iter_zero(n, to);
	}
	if (!kvl_addr_is_memory(kvl_block_home(b))) {
		kvl_block_unlock(b);
		err = kvl_block_lock_resident(r, index, b, KVL_WHY_READ,
					      KVL_RES_NO_FILL,
					      kvl_file_ahead(file, index, 0));
		if (err == -ENXIO) /* punched meanwhile */
			goto again;
		if (err)
			return err;
	}
	folio = kvl_region_folio(r, b);
	folio_get(folio);
	kvl_block_unlock(b);
	touched(r, index, b);
	/* Short, and no panic, where the memory has failed. */
	done = _copy_mc_to_iter(folio_address(folio) + off, n, to);
	folio_put(folio);
	/* Then the buffer is not to blame. */
	if (!done && n && !fault_in_iov_iter_writeable(to, 1))
		return -EIO;
	return done;
}

/*
 * For a cache an open counts as a use, and each read of the beginning after
 * the first that it was for. Two of them at once may count as one.
 */
static void used_again(struct file *file)
{
	if (READ_ONCE(file->private_data))
		kvl_cache_use(kvl_region(file_inode(file)));
	else
		WRITE_ONCE(file->private_data, file);
}

static ssize_t kvl_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *file = iocb->ki_filp;
	struct inode *inode = file_inode(file);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	ssize_t total = 0, done = 0;

	if (!iocb->ki_pos)
		used_again(file);
	while (iov_iter_count(to)) {
		loff_t pos = iocb->ki_pos, size = i_size_read(inode);
		u32 off = pos & (pool->block_size - 1);
		size_t n;

		if (pos >= size)
			break;
		n = min3((loff_t)iov_iter_count(to), size - pos,
			 (loff_t)pool->block_size - off);
		done = read_block(iocb->ki_filp, pos >> pool->block_shift,
				  off, n, to);
		if (done <= 0)
			break;
		iocb->ki_pos += done;
		total += done;
		if (fatal_signal_pending(current)) {
			done = -EINTR;
			break;
		}
		cond_resched();
	}
	file_accessed(file);
	if (total || done < 0)
		return total ?: done;
	/* Nothing was copied: the end of the file, or a bad buffer. */
	return iov_iter_count(to) && iocb->ki_pos < i_size_read(inode) ?
		       -EFAULT : 0;
}

/* Room for @size inline bytes of block 0, whose lock is held. */
static int inline_grow(struct kvl_region *r, u32 size)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u32 new = min_t(u32, roundup_pow_of_two(size), pool->inline_max);
	u32 more;
	void *p;

	if (size <= r->inl_size)
		return 0;
	more = new - r->inl_size;
	if (atomic64_add_return(more, &pool->inline_used) >
	    READ_ONCE(pool->inline_limit)) {
		atomic64_sub(more, &pool->inline_used);
		return -ENOSPC;
	}
	p = kvzalloc(new, GFP_KERNEL_ACCOUNT);
	if (!p) {
		atomic64_sub(more, &pool->inline_used);
		return -ENOMEM;
	}
	if (r->inl_size)
		memcpy(p, r->inl, r->inl_size);
	kvfree(r->inl);
	r->inl = p;
	r->inl_size = new;
	inode_add_bytes(&r->inode, more);
	return 0;
}

/*
 * Stores a small piece inline. 0: not possible here, take a block. The data
 * come through a buffer, as the lock must not be held over user memory.
 */
static ssize_t write_inline(struct kvl_region *r, u32 off, size_t n,
			    struct iov_iter *from)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_block *b = &r->block0;
	char buf[BOUNCE];
	size_t got;
	int err;

	if (off + n > pool->inline_max ||
	    READ_ONCE(b->loc) & (KVLIFT_LOC_PRESENT | KVLIFT_LOC_RESERVED))
		return 0;
	n = min(n, sizeof(buf));
	got = copy_from_iter(buf, n, from);
	if (!got)
		return -EFAULT;
	err = kvl_block_lock_soon(r, b);
	if (err)
		goto revert;
	if (kvl_block_charged(b) || inline_grow(r, off + got)) {
		kvl_block_unlock(b);
		goto revert;
	}
	memcpy(r->inl + off, buf, got);
	if (!(b->loc & KVLIFT_LOC_INLINE))
		kvl_change_extent(r, 0, b, KVLIFT_LOC_INLINE);
	kvl_block_unlock(b);
	return got;

revert:
	iov_iter_revert(from, got);
	return err;
}

/* Into a block in memory, kept there by a reference. Its lock is given up. */
static ssize_t write_resident(struct kvl_region *r, u64 index,
			      struct kvl_block *b, u32 off, size_t n,
			      struct iov_iter *from)
{
	struct folio *folio = kvl_region_folio(r, b);
	ssize_t done;

	folio_get(folio);
	/* Before the reference goes: a move looks at it after the freeze. */
	folio_mark_dirty(folio);
	kvl_block_unlock(b);
	touched(r, index, b);
	done = copy_page_from_iter(&folio->page, off, n, from);
	folio_put(folio);
	return done ?: -EFAULT;
}

/* A slot that nobody knows, waiting for one when there is none. */
static int private_slot(struct kvl_region *r, u64 *addr)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	int err = 0;

	while (!err) {
		unsigned int seq = kvl_pool_slot_seq(pool);

		if (!kvl_policy_place(pool, r, addr))
			return 0;
		err = kvl_pool_wait_slot(pool, seq);
	}
	return err;
}

/* All that the file has of a block, or more. */
static bool is_whole(struct kvl_region *r, u64 index, u32 off, size_t n)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 start = index << pool->block_shift;

	return !off && (n == pool->block_size ||
			start + n >= i_size_read(&r->inode));
}

/*
 * Publishes a filled private slot in place of what the block held, unless
 * the block has come to memory meanwhile: then -EAGAIN.
 */
static int publish(struct kvl_region *r, u64 index, struct kvl_block *b,
		   u64 addr, u32 off, size_t len)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	void *p = folio_address(kvl_addr_folio(pool, addr));
	u64 home;
	int err;

	err = kvl_block_lock_soon(r, b);
	if (err)
		return err;
	home = kvl_block_home(b);
	if (kvl_addr_is_memory(home) ||
	    (home && len != pool->block_size) ||
	    (kvl_block_lost(b) && !is_whole(r, index, off, len))) {
		err = -EAGAIN;
		goto unlock;
	}
	if (b->loc & KVLIFT_LOC_INLINE) {
		/* Around what was written. */
		u32 end = off + len;

		memcpy(p, r->inl, min(off, r->inl_size));
		if (end < r->inl_size)
			memcpy(p + end, r->inl + end, r->inl_size - end);
	}
	/* Whatever it was, what is stored below is not the content now. */
	if (!kvl_block_charged(b)) {
		err = kvl_region_charge(r);
		if (err)
			goto unlock;
		kvl_block_drop(r, index, b);
	} else if (home) {
		if (kvl_addr_is_gpu(home))
			kvl_block_detach(r, b);
		kvl_change_extent(r, index, b, KVLIFT_LOC_RESERVED);
		kvl_slot_free(pool, home);
	}
	kvl_block_mark_written(r, index, b);
	kvl_block_attach(r, index, b, addr);
unlock:
	kvl_block_unlock(b);
	return err;
}

/*
 * A hole, a reservation, inline content, or a whole block that is on a
 * device: filled in a private slot first. 0: do it in place.
 */
static ssize_t write_fresh(struct kvl_region *r, u64 index,
			   struct kvl_block *b, u32 off, size_t n,
			   struct iov_iter *from)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct folio *folio;
	ssize_t done;
	u64 addr;
	void *p;
	int err;

	/* Full already? Then not a slot is taken from anybody. */
	if (kvl_block_empty(b) && atomic64_read(&pool->used) >=
					  atomic64_read(&pool->capacity)) {
		kvl_count(pool, KVL_C_NOSPACE);
		return -ENOSPC;
	}
	if (kvl_block_empty(b) && kvl_domain_check(r->domain, 1))
		return -EDQUOT;
	/*
	 * The buffer may be a mapping of this pool: what it needs comes before
	 * a slot is held that nobody else can get.
	 */
	if (fault_in_iov_iter_readable(from, n) == n)
		return -EFAULT;
	err = private_slot(r, &addr);
	if (err)
		return err;
	folio = kvl_addr_folio(pool, addr);
	p = folio_address(folio);
	memset(p, 0, off);
	/* The folio is frozen; nobody but this task can reach it. */
	done = copy_from_iter(p + off, n, from);
	memset(p + off + done, 0, pool->block_size - off - done);
	if (!done)
		err = -EFAULT;
	else
		err = publish(r, index, b, addr, off, done);
	if (!err) {
		touched(r, index, b);
		return done;
	}
	kvl_slot_free(pool, addr);
	iov_iter_revert(from, done);
	return err == -EAGAIN ? 0 : err;
}

static ssize_t write_block(struct kvl_region *r, u64 index, u32 off, size_t n,
			   struct iov_iter *from)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_block *b = kvl_region_get(r, index);
	ssize_t done;
	u64 home;
	int err;

	if (!b)
		return -ENOMEM;
	if (!index) {
		done = write_inline(r, off, n, from);
		if (done)
			return done;
	}
	err = kvl_block_lock_soon(r, b);
	if (err)
		return err;
	home = kvl_block_home(b);
	if (kvl_addr_is_memory(home))
		return write_resident(r, index, b, off, n, from);
	/* What is lost can only be replaced as a whole. */
	if (kvl_block_lost(b) && !is_whole(r, index, off, n)) {
		kvl_block_unlock(b);
		return -EIO;
	}
	kvl_block_unlock(b);
	if (!home || n == pool->block_size) {
		done = write_fresh(r, index, b, off, n, from);
		if (done)
			return done;
	}
	err = kvl_block_lock_resident(r, index, b, KVL_WHY_WRITE, 0, 0);
	if (err)
		return err;
	return write_resident(r, index, b, off, n, from);
}

/* Adds to *@total what it has written. 0, or why there is no more. */
static ssize_t write_locked(struct kiocb *iocb, struct iov_iter *from,
			    ssize_t *total)
{
	struct file *file = iocb->ki_filp;
	struct inode *inode = file_inode(file);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	ssize_t done;

	if (r->sealed)
		return -EPERM;
	/* Somebody else has written meanwhile: what is left is not appended. */
	if (*total && iocb->ki_flags & IOCB_APPEND &&
	    iocb->ki_pos != i_size_read(inode))
		return 0;
	done = generic_write_checks(iocb, from);
	if (done <= 0)
		return done;
	done = file_modified(file);
	if (!done)
		done = kvl_region_grow(r, iocb->ki_pos);
	if (done)
		return done;
	while (iov_iter_count(from)) {
		loff_t pos = iocb->ki_pos;
		u32 off = pos & (pool->block_size - 1);
		size_t n = min(iov_iter_count(from),
			       (size_t)pool->block_size - off);

		done = write_block(r, pos >> pool->block_shift, off, n, from);
		if (done <= 0)
			return done;
		iocb->ki_pos += done;
		*total += done;
		if (iocb->ki_pos > i_size_read(inode))
			kvl_change_size(r, iocb->ki_pos);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	return 0;
}

/*
 * Waits for room, where that can be made, with no lock held: the worker that
 * makes it may need a directory that somebody keeps who needs this file.
 */
static ssize_t kvl_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct inode *inode = file_inode(iocb->ki_filp);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_cache_wait wait = {};
	ssize_t total = 0, done, before;

	do {
		before = total;
		inode_lock(inode);
		done = write_locked(iocb, from, &total);
		inode_unlock(inode);
		if (total != before)
			wait = (struct kvl_cache_wait){};
		if (done != -ENOSPC && done != -EDQUOT)
			break;
		done = kvl_cache_wait(r, 1, done, &wait);
	} while (!done);
	return total ?: done;
}

/* The next block at or after @pos that is stored (or is not). */
static loff_t seek(struct kvl_region *r, loff_t pos, loff_t size, bool data)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	u64 last = (size - 1) >> pool->block_shift;
	u64 i = pos >> pool->block_shift;
	u64 expect = i;
	struct kvl_block *b;
	loff_t found;

	for (; (b = kvl_region_next(r, &i, last)); i++, expect++) {
		bool stored = READ_ONCE(b->loc) &
			      (KVLIFT_LOC_PRESENT | KVLIFT_LOC_INLINE |
			       KVLIFT_LOC_ERROR);

		cond_resched();
		if (!data && i != expect)
			break; /* no record: a hole */
		expect = i;
		if (stored == data)
			break;
	}
	if (!b) {
		if (data)
			return -ENXIO;
		i = expect;
	} else if (!data && i != expect) {
		i = expect;
	}
	found = max(pos, (loff_t)(i << pool->block_shift));
	if (data)
		return found < size ? found : -ENXIO;
	return min(found, size);
}

static loff_t kvl_llseek(struct file *file, loff_t offset, int whence)
{
	struct inode *inode = file_inode(file);
	loff_t size;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return generic_file_llseek(file, offset, whence);
	inode_lock_shared(inode);
	size = i_size_read(inode);
	if (offset < 0 || offset >= size)
		offset = -ENXIO;
	else
		offset = seek(kvl_region(inode), offset, size,
			      whence == SEEK_DATA);
	inode_unlock_shared(inode);
	if (offset < 0)
		return offset;
	return vfs_setpos(file, offset, inode->i_sb->s_maxbytes);
}

static long fallocate_locked(struct file *file, int mode, loff_t offset,
			     loff_t end, u64 *lacks)
{
	struct inode *inode = file_inode(file);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	long err = r->sealed ? -EPERM : file_modified(file);

	if (err)
		return err;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		err = kvl_region_punch(r, offset, end);
		if (err || mode & FALLOC_FL_PUNCH_HOLE)
			return err;
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE)) {
		err = inode_newsize_ok(inode, end);
		if (!err)
			err = kvl_region_grow(r, end);
		if (err)
			return err;
	}
	err = kvl_region_reserve(r, offset >> pool->block_shift,
				 (end - 1) >> pool->block_shift, lacks);
	if (!err && !(mode & FALLOC_FL_KEEP_SIZE) && end > i_size_read(inode))
		kvl_change_size(r, end);
	return err;
}

static long kvl_fallocate(struct file *file, int mode, loff_t offset,
			  loff_t len)
{
	struct inode *inode = file_inode(file);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_cache_wait wait = {};
	u64 lacks = 1;
	long err;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
		     FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	do {
		inode_lock(inode);
		err = fallocate_locked(file, mode, offset, offset + len,
				       &lacks);
		inode_unlock(inode);
		if (err != -ENOSPC && err != -EDQUOT)
			break;
		/* As kvl_write_iter(). */
		err = kvl_cache_wait(r, lacks, err, &wait);
		/* What was zeroed may have been written meanwhile. */
		mode &= ~FALLOC_FL_ZERO_RANGE;
	} while (!err);
	return err;
}

/* Starts to move blocks one tier down; returns how many. */
static u64 demote_range(struct kvl_region *r, u64 first, u64 last)
{
	struct kvl_pool *pool = kvl_region_pool(r);
	struct kvl_batch batch;
	struct kvl_block *b;
	u64 i, start = first;

	kvl_batch_init(&batch, pool);
	for (i = first; (b = kvl_region_next(r, &i, last)); i++) {
		if (!kvl_block_trylock(b))
			continue;
		kvl_heat_cold(r, i, b);
		kvl_batch_demote(&batch, r, i, b, KVL_WHY_HINT);
		if (batch.n && i - start < KVL_BATCH)
			continue;
		/* Locks are not held for long. */
		kvl_batch_run(&batch);
		start = i;
		kvl_move_wait(pool, KVL_MAX_MOVES);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	kvl_batch_run(&batch);
	return batch.moved;
}

u64 kvl_file_demote(struct kvl_region *r, u64 first, u64 last)
{
	u64 nr = kvl_region_nr_blocks(r);

	if (first >= nr || first > last)
		return 0;
	return demote_range(r, first, min(last, nr - 1));
}

static int kvl_fadvise(struct file *file, loff_t offset, loff_t len,
		       int advice)
{
	struct inode *inode = file_inode(file);
	struct kvl_region *r = kvl_region(inode);
	struct kvl_pool *pool = kvl_sb_pool(inode->i_sb);
	u64 first, last, done;
	fmode_t mode;
	loff_t end;

	if (offset < 0 || len < 0)
		return -EINVAL;
	end = len && offset <= LLONG_MAX - len ? offset + len : LLONG_MAX;
	first = offset >> pool->block_shift;
	last = (end - 1) >> pool->block_shift;
	switch (advice) {
	case POSIX_FADV_WILLNEED:
		/* A full queue is no error for a hint. */
		kvl_prefetch_queue(r, first, last, &done);
		return 0;
	case POSIX_FADV_DONTNEED:
		/* Whole blocks only, as the page cache does with pages. */
		first = DIV_ROUND_UP_ULL(offset, pool->block_size);
		if (end < i_size_read(inode)) {
			last = end >> pool->block_shift;
			if (!last--)
				return 0;
		}
		kvl_file_demote(r, first, last);
		return 0;
	case POSIX_FADV_NORMAL:
	case POSIX_FADV_RANDOM:
	case POSIX_FADV_SEQUENTIAL:
		spin_lock(&file->f_lock);
		mode = file->f_mode & ~FMODE_RANDOM;
		if (advice == POSIX_FADV_RANDOM)
			mode |= FMODE_RANDOM;
		/* The core reads the other bits without the lock. */
		data_race(file->f_mode = mode);
		spin_unlock(&file->f_lock);
		return 0;
	case POSIX_FADV_NOREUSE:
		return 0;
	default:
		return -EINVAL;
	}
}

/*
 * Nothing to write: a pool lives as long as its mount. The mtime of stores
 * through a mapping is brought up to date here, as POSIX wants for msync.
 */
static int kvl_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	struct inode *inode = file_inode(file);

	if (S_ISREG(inode->i_mode) && mapping_writably_mapped(inode->i_mapping))
		kvl_inode_modified(inode);
	return 0;
}

static int kvl_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_CAN_ODIRECT;
	if (file->f_mode & FMODE_READ)
		kvl_cache_use(kvl_region(inode));
	return generic_file_open(inode, file);
}

const struct file_operations kvl_file_fops = {
	.owner = THIS_MODULE,
	.open = kvl_open,
	.llseek = kvl_llseek,
	.read_iter = kvl_read_iter,
	.write_iter = kvl_write_iter,
	.mmap = kvl_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
	.fsync = kvl_fsync,
	.splice_read = copy_splice_read,
	.splice_write = iter_file_splice_write,
	.fallocate = kvl_fallocate,
	.fadvise = kvl_fadvise,
	.setlease = generic_setlease,
	.unlocked_ioctl = kvl_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

const struct file_operations kvl_dir_fops = {
	.owner = THIS_MODULE,
	.open = dcache_dir_open,
	.release = dcache_dir_close,
	.llseek = dcache_dir_lseek,
	.read = generic_read_dir,
	.iterate_shared = dcache_readdir,
	.fsync = kvl_fsync,
	.unlocked_ioctl = kvl_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
