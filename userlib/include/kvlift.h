/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * libkvlift: pools and regions of kvlift, the filesystem for KV caches.
 *
 * Handles are opaque. A function that can fail returns 0 (or a count, where it
 * says so) or a negative errno; none sets errno, prints, or terminates, and
 * none allocates memory except those that make a handle. A handle may be used
 * by several threads at once as long as nobody closes it; there is no hidden
 * global state. Everything here is in since 0.1.
 *
 * The structures of the module (struct kvlift_info, kvlift_member,
 * kvlift_region_info, kvlift_touch, kvlift_hint, kvlift_domain) and the
 * KVLIFT_LOC_* bits are those of <linux/kvlift.h>, which also says what each
 * field means.
 */
#ifndef KVLIFT_H
#define KVLIFT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <linux/kvlift.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
/* As stat(2) and struct stat: some functions are named like structures. */
#pragma GCC diagnostic ignored "-Wshadow"
#endif

#define KVLIFT_VERSION_MAJOR 0
#define KVLIFT_VERSION_MINOR 1
#define KVLIFT_VERSION_PATCH 0

struct kvlift_pool;
struct kvlift_region;

/* Flags of kvlift_region_map(). */
/* A child of fork() gets the mapping too; without it MADV_DONTFORK is set. */
#define KVLIFT_MAP_FORK (1u << 0)
/* Fault every block in before returning (MADV_POPULATE_READ or _WRITE). */
#define KVLIFT_MAP_POPULATE (1u << 1)

/**
 * kvlift_version() - version of the library that is running
 *
 * Return: "MAJOR.MINOR.PATCH"; the KVLIFT_VERSION_* macros are those of the
 * header that was compiled against.
 */
const char *kvlift_version(void);

/**
 * kvlift_strerror() - what a negative errno of this library means
 * @err:	what a function returned; the sign does not matter
 *
 * Return: static text, never NULL. Safe in several threads.
 */
const char *kvlift_strerror(int err);

/**
 * kvlift_tier_name() - name of a tier
 * @tier:	KVLIFT_TIER_*
 *
 * Return: "gpu", "dram", "cxl", "nvme", or "?" for a number that is none.
 */
const char *kvlift_tier_name(unsigned int tier);

/**
 * kvlift_pool_open() - open a mounted pool
 * @path:	the mount point or any directory of the pool
 * @pool:	out: the handle
 *
 * Return: 0; -ENOTDIR: not a directory; -EMEDIUMTYPE: the path is not on a
 * kvlift filesystem; -EPROTO: the module speaks another KVLIFT_ABI_VERSION;
 * -ENOMEM; and what open(2) gives.
 */
int kvlift_pool_open(const char *path, struct kvlift_pool **pool);

/**
 * kvlift_pool_close() - close a pool; NULL is allowed
 * @pool:	the handle, invalid afterwards; open regions stay usable
 */
void kvlift_pool_close(struct kvlift_pool *pool);

/**
 * kvlift_pool_fd() - descriptor of the pool's directory
 * @pool:	the handle, which keeps owning the descriptor
 */
int kvlift_pool_fd(const struct kvlift_pool *pool);

/**
 * kvlift_pool_block_size() - bytes of a block of the pool
 * @pool:	the handle
 */
size_t kvlift_pool_block_size(const struct kvlift_pool *pool);

/**
 * kvlift_pool_info() - ask what the pool is and how full it is
 * @pool:	the handle
 * @info:	out: capacity and use are counted in blocks
 *
 * Return: 0 or a negative errno.
 */
int kvlift_pool_info(const struct kvlift_pool *pool, struct kvlift_info *info);

/**
 * kvlift_pool_member() - ask for one member of a tier
 * @pool:	the handle
 * @tier:	KVLIFT_TIER_*
 * @member:	number within the tier, from 0
 * @info:	out: slots asked for, got, free, used
 *
 * Return: 0; -ENXIO: no such tier or member.
 */
int kvlift_pool_member(const struct kvlift_pool *pool, unsigned int tier,
		       unsigned int member, struct kvlift_member *info);

/**
 * kvlift_drain() - empty a member, so that a node or a device can be taken out
 * @pool:	the handle
 * @tier:	KVLIFT_TIER_*
 * @member:	number within the tier, from 0
 * @flags:	KVLIFT_DRAIN_START, KVLIFT_DRAIN_CANCEL, or 0 to ask only
 *
 * A drain goes on in the background and lasts until it is cancelled.
 *
 * Return: slots that are not empty yet, 0 when the member is; -EPERM: needs
 * CAP_SYS_ADMIN; -ENOSPC: what is stored would not fit without the member;
 * -ENXIO: no such tier or member; -ENODEV: the device is gone.
 */
int64_t kvlift_drain(const struct kvlift_pool *pool, unsigned int tier,
		     unsigned int member, unsigned int flags);

/**
 * kvlift_features() - KVLIFT_F_* bits of the module behind a pool
 * @pool:	the handle
 * @features:	out: the bits
 *
 * Return: 0 or a negative errno.
 */
int kvlift_features(const struct kvlift_pool *pool, uint64_t *features);

/**
 * kvlift_region_create() - create a region and open it for reading and writing
 * @pool:	the pool
 * @name:	path of the file relative to the pool's directory
 * @size:	bytes, any number; costs nothing until blocks are written
 * @mode:	permissions of the file as in open(2), subject to the umask
 * @region:	out: the handle
 *
 * Return: 0; -EEXIST: the name is taken; -EFBIG: size is beyond the
 * filesystem's limit; -EMEDIUMTYPE: the name leads out of the pool; -ENOMEM;
 * and what open(2) gives. After a failure no new file is left behind.
 */
int kvlift_region_create(const struct kvlift_pool *pool, const char *name,
			 uint64_t size, mode_t mode,
			 struct kvlift_region **region);

/**
 * kvlift_region_open() - open a region that exists
 * @pool:	the pool
 * @name:	path of the file relative to the pool's directory
 * @flags:	O_RDONLY or O_RDWR
 * @region:	out: the handle
 *
 * Return: 0; -EINVAL: other flags; -EISDIR: a directory; -EMEDIUMTYPE: the name
 * leads out of the pool; -ENOMEM; and what open(2) gives.
 */
int kvlift_region_open(const struct kvlift_pool *pool, const char *name,
		       int flags, struct kvlift_region **region);

/**
 * kvlift_region_close() - close a region; NULL is allowed
 * @region:	the handle, invalid afterwards; mappings stay until unmapped
 */
void kvlift_region_close(struct kvlift_region *region);

/**
 * kvlift_region_fd() - descriptor of the region's file
 * @region:	the handle, which keeps owning the descriptor
 */
int kvlift_region_fd(const struct kvlift_region *region);

/**
 * kvlift_region_block_size() - bytes of a block of the region
 * @region:	the handle
 */
size_t kvlift_region_block_size(const struct kvlift_region *region);

/**
 * kvlift_region_info() - ask for id, size and blocks per tier
 * @region:	the handle
 * @info:	out
 *
 * Return: 0 or a negative errno.
 */
int kvlift_region_info(const struct kvlift_region *region,
		       struct kvlift_region_info *info);

/**
 * kvlift_region_size() - set the size of a region
 * @region:	the handle, open for writing
 * @size:	bytes; what is beyond it is freed, what is new reads as zeros
 *
 * Access to a mapping beyond the new size gives SIGBUS. The present size is
 * in kvlift_region_info().
 *
 * Return: 0; -EINVAL: not open for writing; -EFBIG: beyond the limit.
 */
int kvlift_region_size(const struct kvlift_region *region, uint64_t size);

/**
 * kvlift_region_map() - map a part of a region, shared
 * @region:	the handle
 * @offset:	first byte, a multiple of the page size; of the block size so
 *		that large blocks can be mapped by one entry
 * @length:	bytes, more than 0
 * @prot:	PROT_READ, PROT_WRITE or both
 * @flags:	KVLIFT_MAP_*
 * @addr:	out: the address; where @offset is a multiple of the block size
 *		so is the address, up to 2 MiB
 *
 * Return: 0; -EINVAL: a bad offset, length or flag; -EACCES: @prot asks for
 * more than the region was opened for; -ENOMEM.
 */
int kvlift_region_map(const struct kvlift_region *region, uint64_t offset,
		      size_t length, int prot, unsigned int flags, void **addr);

/**
 * kvlift_region_unmap() - undo kvlift_region_map()
 * @addr:	what it gave
 * @length:	the same length
 *
 * Return: 0 or a negative errno.
 */
int kvlift_region_unmap(void *addr, size_t length);

/**
 * kvlift_touch() - report accesses to blocks
 * @region:	the region
 * @indexes:	blocks in the order of the accesses, the last one last
 * @count:	how many; one system call for each 1024
 *
 * Reads by a GPU or a NIC leave no trace the kernel could see: this is how it
 * learns what is in use. A touch of a hole is ignored.
 *
 * Return: number of entries that named a stored block, or a negative errno.
 */
int kvlift_touch(const struct kvlift_region *region, const uint64_t *indexes,
		 unsigned int count);

/**
 * kvlift_touch_entries() - report accesses, with weights, without a copy
 * @region:	the region
 * @entries:	flags of each must be 0
 * @count:	how many, at most KVLIFT_TOUCH_MAX; one system call
 *
 * Return: as kvlift_touch().
 */
int kvlift_touch_entries(const struct kvlift_region *region,
			 const struct kvlift_touch *entries,
			 unsigned int count);

/**
 * kvlift_touch_one() - report one access; see kvlift_touch()
 * @region:	the region
 * @index:	the block
 */
static inline int kvlift_touch_one(const struct kvlift_region *region,
				   uint64_t index)
{
	return kvlift_touch(region, &index, 1);
}

/**
 * kvlift_hint() - tell the policy what is known of blocks and sessions
 * @pool:	the pool
 * @hints:	in the order in which they are to be told
 * @count:	how many, at most KVLIFT_HINT_MAX; one system call
 *
 * Hints bind nobody: a wrong one costs speed, never a byte. A request is told
 * by its chain, kvlift_hint_chain() for each run of neighbouring blocks in
 * prefix order, ended by kvlift_hint_request(), all in one call: before its
 * blocks are read, so that the policy decides on it as a whole. See struct
 * kvlift_hint.
 *
 * Return: number of hints that were taken; fewer than @count: the next one is
 * wrong, and told of when it is the first. -EINVAL; -EBADF, -EACCES about the
 * first one's region; -EXDEV: that is of another pool; -E2BIG: more than
 * KVLIFT_CHAIN_MAX blocks; -EAGAIN: too many wait to be told; -EPERM: needs
 * CAP_SYS_ADMIN; -EOPNOTSUPP: the module has no KVLIFT_F_HINT, or the pool no
 * DRAM; -ENOMEM, -EINTR.
 */
int kvlift_hint(const struct kvlift_pool *pool, const struct kvlift_hint *hints,
		unsigned int count);

/**
 * kvlift_prefetch() - start to bring blocks into memory
 * @region:	the region
 * @first:	first block
 * @count:	number of blocks; clipped to the end of the file
 *
 * Returns at once. What finds no free slot in time stays where it is.
 *
 * Return: number of blocks queued; -EAGAIN: the queue is full and nothing was
 * queued: go on reading, or try again after a while.
 */
int64_t kvlift_prefetch(const struct kvlift_region *region, uint64_t first,
			uint64_t count);

/**
 * kvlift_demote() - start to move blocks one tier down
 * @region:	the region
 * @first:	first block
 * @count:	number of blocks; clipped to the end of the file
 *
 * Pinned and busy blocks, and those in the slowest tier, stay.
 *
 * Return: number of blocks whose move was started, or a negative errno.
 */
int64_t kvlift_demote(const struct kvlift_region *region, uint64_t first,
		      uint64_t count);

/**
 * kvlift_queue_open() - open a queue for requests to the regions of a pool
 * @pool:	the pool
 *
 * The descriptor can be polled for reading; close(2) cancels what waits and
 * ends all leases. See struct kvlift_req and struct kvlift_event.
 *
 * Return: a descriptor; -EOPNOTSUPP: the module has no queues; -ENOMEM,
 * -EMFILE.
 */
int kvlift_queue_open(const struct kvlift_pool *pool);

/**
 * kvlift_queue_submit() - ask for blocks, or for leases on them
 * @queue:	from kvlift_queue_open()
 * @reqs:	requests; @fd of each is kvlift_region_fd() of a region that is
 *		open for reading
 * @count:	how many; at most KVLIFT_SUBMIT_MAX are taken
 *
 * Every request that was taken has one event. What cannot be done in time, or
 * at all, says so in its event at once: recompute instead.
 *
 * Return: number of requests taken, fewer than @count when one is wrong; or,
 * when the first is, -EINVAL, -EBADF, -EACCES; -EAGAIN: read events first.
 */
int kvlift_queue_submit(int queue, const struct kvlift_req *reqs,
			unsigned int count);

/**
 * kvlift_queue_read() - read events
 * @queue:	the queue
 * @events:	out: events in the order in which the requests ended
 * @count:	room in @events
 *
 * Waits for one unless the descriptor has O_NONBLOCK.
 *
 * Return: number of events; -EAGAIN; -EINTR.
 */
int kvlift_queue_read(int queue, struct kvlift_event *events,
		      unsigned int count);

/**
 * kvlift_queue_eventfd() - have events counted by an eventfd
 * @queue:	the queue
 * @eventfd:	from eventfd(2), or -1 for none
 *
 * Return: 0 or a negative errno.
 */
int kvlift_queue_eventfd(int queue, int eventfd);

/**
 * kvlift_queue_cancel() - end a request before its time
 * @queue:	the queue
 * @cookie:	of the request
 *
 * Its event comes all the same, with -ECANCELED unless it was quicker.
 *
 * Return: 0; -EALREADY: it has ended; -ENOENT.
 */
int kvlift_queue_cancel(int queue, uint64_t cookie);

/**
 * kvlift_queue_release() - give a lease back
 * @queue:	the queue
 * @cookie:	of the KVLIFT_OP_ACQUIRE request
 *
 * Its event is told all the same.
 *
 * Return: 0; -ETIME: the lease was over already; -EBUSY: the request has not
 * ended yet; -ENOENT; or why there never was a lease.
 */
int kvlift_queue_release(int queue, uint64_t cookie);

/**
 * kvlift_seal() - declare blocks of a region complete
 * @region:	the region, open for writing
 * @first:	first block
 * @count:	number of blocks; clipped to the end of the file
 * @done:	out: blocks with content that are complete now; may be NULL
 *
 * The blocks are copied to a device in the background, so that leaving memory
 * later costs no I/O. This is a promise and not enforced: nothing that is
 * written later is lost, but such a block counts as any other again. Blocks of
 * 2 MiB count as written when a mapping that may write touches them.
 *
 * Return: 0; -EACCES: not open for writing; -EINTR: the process is being
 * killed; -EOPNOTSUPP: the module has no KVLIFT_F_SEAL.
 */
int kvlift_seal(const struct kvlift_region *region, uint64_t first,
		uint64_t count, uint64_t *done);

/**
 * kvlift_seal_file() - seal a region for good
 * @region:	the region, open for writing
 * @done:	out: blocks with content; may be NULL
 *
 * From here on nothing can change content or size: writes, truncation and
 * mappings of a descriptor that is open for writing fail with EPERM. Readers
 * open the region O_RDONLY. All blocks are complete as after kvlift_seal().
 * Sealing again is no error.
 *
 * Return: 0; -EBUSY: the region is mapped through a descriptor that is open
 * for writing, or a device or a pipe still holds a page; -EACCES, -EINTR and
 * -EOPNOTSUPP as kvlift_seal().
 */
int kvlift_seal_file(const struct kvlift_region *region, uint64_t *done);

/**
 * kvlift_where() - copy location words
 * @region:	the region
 * @first:	first block
 * @count:	number of words, at most KVLIFT_WHERE_MAX
 * @words:	out: one word per block
 *
 * Return: number of words, fewer than @count where the file ends earlier; or
 * a negative errno.
 */
int64_t kvlift_where(const struct kvlift_region *region, uint64_t first,
		     uint64_t count, uint64_t *words);

/**
 * kvlift_heat_get() - how hot blocks are
 * @region:	the region, open for reading
 * @first:	first block
 * @count:	number of values, at most KVLIFT_WHERE_MAX
 * @values:	out: one per block: its touches so far, in 1/256 of one of
 *weight 1, each of which is worth half after 65 s; right within some ten
 *		percent
 *
 * Return: number of values, fewer than @count where the file ends earlier;
 * -EOPNOTSUPP: the module has no KVLIFT_F_HEAT; or another negative errno.
 */
int64_t kvlift_heat_get(const struct kvlift_region *region, uint64_t first,
			uint64_t count, uint32_t *values);

/**
 * struct kvlift_ring - a touch ring: touches without a system call
 * @shared:	header of the mapping
 * @entries:	of the mapping
 * @tail:	entries written so far, modulo 2^32
 * @mask:	number of entries less one
 * @length:	bytes that are mapped
 * @reserved:	zero
 *
 * For one producer at a time; another thread opens a ring of its own.
 */
struct kvlift_ring {
	struct kvlift_ring_head *shared;
	uint64_t *entries;
	uint32_t tail;
	uint32_t mask;
	size_t length;
	uint64_t reserved[2];
};

/**
 * kvlift_ring_open() - make a touch ring for a region
 * @region:	the region; may be closed before the ring
 * @entries:	a power of two from KVLIFT_RING_MIN to KVLIFT_RING_MAX, or 0 for
 *		KVLIFT_RING_DEFAULT: more than are touched in 0.25 s
 * @ring:	out: made by the caller, filled in here
 *
 * A child of fork() does not have it.
 *
 * Return: 0; -EOPNOTSUPP: the module has no KVLIFT_F_RING; -EINVAL, -ENOMEM,
 * -EMFILE or another negative errno.
 */
int kvlift_ring_open(const struct kvlift_region *region, unsigned int entries,
		     struct kvlift_ring *ring);

/**
 * kvlift_ring_close() - undo kvlift_ring_open()
 * @ring:	may be one that was never opened, if it is all zero
 *
 * What was reported still counts.
 */
void kvlift_ring_close(struct kvlift_ring *ring);

/**
 * kvlift_ring_entry() - a touch with a weight, for kvlift_ring_touch()
 * @index:	the block, below 2^40
 * @weight:	what it is worth in touches, at most KVLIFT_RING_WEIGHT_MAX; 0
 *		counts as 1
 */
static inline uint64_t kvlift_ring_entry(uint64_t index, uint32_t weight)
{
	return index | (uint64_t)weight << KVLIFT_RING_WEIGHT_SHIFT;
}

/**
 * kvlift_ring_touch() - report accesses to blocks, without a system call
 * @ring:	the ring
 * @entries:	numbers of blocks, below 2^40, or what kvlift_ring_entry() makes
 * @count:	how many
 *
 * Never waits. What finds the ring full is dropped and counted in
 * @ring->shared->dropped.
 *
 * Return: number of entries that are in the ring, the first of @entries.
 */
static inline unsigned int kvlift_ring_touch(struct kvlift_ring *ring,
					     const uint64_t *entries,
					     unsigned int count)
{
	uint32_t head = __atomic_load_n(&ring->shared->head, __ATOMIC_ACQUIRE);
	uint32_t room = ring->mask + 1 - (ring->tail - head);
	uint32_t at = ring->tail & ring->mask, row = ring->mask + 1 - at;
	uint32_t take = count < room ? count : room;

	if (row > take)
		row = take;
	memcpy(ring->entries + at, entries, row * sizeof(*entries));
	memcpy(ring->entries, entries + row, (take - row) * sizeof(*entries));
	ring->tail += take;
	if (take < count)
		ring->shared->dropped += count - take;
	__atomic_store_n(&ring->shared->tail, ring->tail, __ATOMIC_RELEASE);
	return take;
}

/**
 * struct kvlift_loc - a location word in parts
 * @tier:	KVLIFT_TIER_*
 * @member:	within the tier
 * @slot:	within the member
 * @gen:	changes whenever the content is published at another place
 * @present:	the block has a slot: only then do tier, member and slot count
 * @shadow:	a clean second copy exists in a slower tier
 * @error:	the last read from the device failed, or its checksum
 */
struct kvlift_loc {
	unsigned int tier;
	unsigned int member;
	uint32_t slot;
	uint16_t gen;
	uint8_t present;
	uint8_t shadow;
	uint8_t error;
};

/**
 * kvlift_loc_decode() - take a location word apart
 * @word:	from kvlift_where() or kvlift_table_lookup()
 *
 * Return: its parts.
 */
static inline struct kvlift_loc kvlift_loc_decode(uint64_t word)
{
	struct kvlift_loc loc;

	loc.tier = kvlift_loc_tier(word);
	loc.member = kvlift_loc_member(word);
	loc.slot = kvlift_loc_slot(word);
	loc.gen = kvlift_loc_gen(word);
	loc.present = (word & KVLIFT_LOC_PRESENT) != 0;
	loc.shadow = (word & KVLIFT_LOC_SHADOW) != 0;
	loc.error = (word & KVLIFT_LOC_ERROR) != 0;
	return loc;
}

/**
 * struct kvlift_table - the mapped location table of a region
 * @words:	word i is block i; the kernel writes it, read it with
 *		kvlift_table_lookup()
 * @count:	words that are mapped
 * @length:	bytes that are mapped
 * @reserved:	zero
 */
struct kvlift_table {
	const uint64_t *words;
	uint64_t count;
	size_t length;
	uint64_t reserved[2];
};

/**
 * kvlift_table_map() - map the location table of a region
 * @region:	the region
 * @table:	out: made by the caller, filled in here
 *
 * Covers the blocks that the file has now. After it grew, unmap the table and
 * map it again.
 *
 * Return: 0; -EOPNOTSUPP: the module has no KVLIFT_F_TABLE; -ENODATA: the file
 * is empty; or a negative errno.
 */
int kvlift_table_map(const struct kvlift_region *region,
		     struct kvlift_table *table);

/**
 * kvlift_table_unmap() - undo kvlift_table_map()
 * @table:	may be one that was never mapped, if it is all zero
 */
void kvlift_table_unmap(struct kvlift_table *table);

/**
 * kvlift_table_lookup() - where is this block? Without a system call.
 * @table:	a mapped table
 * @index:	the block
 *
 * Two equal words, one read before and one after an access, mean that the
 * block did not move in between.
 *
 * Return: the location word; 0, which is "no slot", beyond the table.
 */
static inline uint64_t kvlift_table_lookup(const struct kvlift_table *table,
					   uint64_t index)
{
	if (index >= table->count)
		return 0;
	return __atomic_load_n(&table->words[index], __ATOMIC_ACQUIRE);
}

/**
 * kvlift_domain_get() - ask for the limits and the use of a directory
 * @pool:	the pool
 * @name:	directory relative to the pool's; NULL or "": that one itself
 * @domain:	out: the nearest domain; KVLIFT_DOMAIN_HERE in flags when it is
 *		this directory
 *
 * Return: 0; -EOPNOTSUPP: the module has no KVLIFT_F_DOMAIN; or what open(2)
 * gives.
 */
int kvlift_domain_get(const struct kvlift_pool *pool, const char *name,
		      struct kvlift_domain *domain);

/**
 * kvlift_domain_set() - make a directory a domain, or change one
 * @pool:	the pool
 * @name:	an empty directory, or one that is a domain; as above
 * @domain:	all properties, so start from kvlift_domain_get() for one that
 *		is a domain and from kvlift_domain_defaults() for a new one
 *
 * Return: 0; -EPERM: only CAP_SYS_ADMIN and the owner of the pool's root may;
 * -ENOTEMPTY: the directory has entries and is no domain; -ENOSPC: a guarantee
 * is more than guarantee_max of kvlift_domain_get(); -EBUSY: domains inside
 * are guaranteed more; -EMLINK: nested too deep; -EUSERS: too many domains;
 * -EINVAL: see <linux/kvlift.h>; -EOPNOTSUPP; or what open(2) gives.
 */
int kvlift_domain_set(const struct kvlift_pool *pool, const char *name,
		      const struct kvlift_domain *domain);

/**
 * kvlift_domain_defaults() - properties of a new domain: no limit at all
 * @domain:	out
 */
void kvlift_domain_defaults(struct kvlift_domain *domain);

#include "kvlift_gpu.h"
#include "kvlift_hint.h"
#include "kvlift_io.h"
#include "kvlift_object.h"
#include "kvlift_plan.h"

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif /* KVLIFT_H */
