/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * kvlift: a filesystem for KV caches. Interface between the module, the
 * library, BPF programs and tests; there is no second copy of this file.
 *
 * Every command works on a descriptor of the mounted filesystem. Who may call
 * what stands in docs/uapi.md. Unless said otherwise a command returns 0 or
 * -1 with errno:
 *	EINVAL	a reserved field is not zero, a value is out of range
 *	EFAULT	a pointer is bad
 *	ENOTTY	the module does not know the command, or the descriptor is of
 *		the wrong kind (a directory where a region is asked for)
 *	EACCES	the descriptor was not opened for the access the call needs
 */
#ifndef _UAPI_LINUX_KVLIFT_H
#define _UAPI_LINUX_KVLIFT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bumped only for a change that old callers would misread. */
#define KVLIFT_ABI_VERSION	1

/* statfs(2) f_type: "KVLF". */
#define KVLIFT_SUPER_MAGIC	0x4b564c46

#define KVLIFT_BLOCK_MIN	(16u << 10)
#define KVLIFT_BLOCK_MAX	(2u << 20)
#define KVLIFT_MAX_MEMBERS	32	/* per tier */

/* Classes of memory, fastest first. The order is part of the ABI. */
enum kvlift_tier_id {
	KVLIFT_TIER_GPU = 0,
	KVLIFT_TIER_DRAM = 1,
	KVLIFT_TIER_CXL = 2,
	KVLIFT_TIER_NVME = 3,
	KVLIFT_NR_TIERS = 4,
};

/*
 * Location word: where one block is, in 64 bits (since 0.1).
 *
 *	bits  0..31	slot within the member
 *	bits 32..47	generation: grows by one, modulo 2^16, each time the
 *			content is published at another place
 *	bits 48..55	KVLIFT_LOC_* flags
 *	bits 56..60	member within the tier
 *	bits 61..63	tier
 *
 * Slot, member and tier mean something only when KVLIFT_LOC_PRESENT is set. A
 * reader that finds the same word before and after its access knows that the
 * block did not move in between.
 */
#define KVLIFT_LOC_SLOT_BITS	32
#define KVLIFT_LOC_GEN_SHIFT	32
#define KVLIFT_LOC_GEN_BITS	16
#define KVLIFT_LOC_FLAG_SHIFT	48
#define KVLIFT_LOC_MEMBER_SHIFT	56
#define KVLIFT_LOC_MEMBER_BITS	5
#define KVLIFT_LOC_TIER_SHIFT	61
#define KVLIFT_LOC_TIER_BITS	3

/* The block has a slot. */
#define KVLIFT_LOC_PRESENT	(1ULL << 48)
/* Space is reserved for the block (fallocate); it reads as zeros. */
#define KVLIFT_LOC_RESERVED	(1ULL << 49)
/* The content is stored inline with the inode (small files). */
#define KVLIFT_LOC_INLINE	(1ULL << 50)
/*
 * Reads give EIO, touches SIGBUS. With KVLIFT_LOC_PRESENT the last read from
 * the device failed or its checksum did not match; it is tried again after a
 * second. Without, the block is lost until it is punched, or written as a whole:
 * the memory it was in has failed (si_code is then BUS_MCEERR_AR), or it was in a
 * GPU that is gone (BUS_ADRERR) and nowhere else.
 */
#define KVLIFT_LOC_ERROR	(1ULL << 51)
/* A clean second copy exists in a slower tier; of what a GPU has, perhaps in memory. */
#define KVLIFT_LOC_SHADOW	(1ULL << 52)

#define kvlift_loc_slot(w)	((__u32)(w))
#define kvlift_loc_gen(w)	((__u16)((w) >> KVLIFT_LOC_GEN_SHIFT))
#define kvlift_loc_member(w) \
	((__u32)((w) >> KVLIFT_LOC_MEMBER_SHIFT) & 0x1f)
#define kvlift_loc_tier(w)	((__u32)((w) >> KVLIFT_LOC_TIER_SHIFT))

/* Feature bits of struct kvlift_info. */
/* A bdev tier is compiled in and CRC32C is verified on the way up. */
#define KVLIFT_F_NVME		(1ULL << 0)
/* 2 MiB blocks are mapped by one PMD. */
#define KVLIFT_F_PMD		(1ULL << 1)
/* The location table can be mapped (KVLIFT_IOC_TABLE). */
#define KVLIFT_F_TABLE		(1ULL << 2)
/* Clean blocks keep their NVMe copy as a shadow after promotion. */
#define KVLIFT_F_SHADOW		(1ULL << 3)
/* Files and blocks can be sealed (KVLIFT_IOC_SEAL). */
#define KVLIFT_F_SEAL		(1ULL << 5)
/* Queues and leases (KVLIFT_IOC_QUEUE). */
#define KVLIFT_F_QUEUE		(1ULL << 6)
/* The module carries BTF, so that policies could be attached. */
#define KVLIFT_F_BTF		(1ULL << 4)
/* Directories can be domains (KVLIFT_IOC_DOMAIN_SET). */
#define KVLIFT_F_DOMAIN		(1ULL << 16)
/* Hints are taken (KVLIFT_IOC_HINT). */
#define KVLIFT_F_HINT		(1ULL << 17)
/* Blocks have a heat (KVLIFT_IOC_HEAT). */
#define KVLIFT_F_HEAT		(1ULL << 21)
/* Touches can be reported through a ring (KVLIFT_IOC_TOUCH_RING). */
#define KVLIFT_F_RING		(1ULL << 22)
/* A domain can be a cache, whose sealed files may go (KVLIFT_DOMAIN_CACHE). */
#define KVLIFT_F_CACHE		(1ULL << 24)
/* Movers can attach: tier gpu (kvlift_mover.h). */
#define KVLIFT_F_GPU		(1ULL << 25)
/* Accessed bits of mappings are looked at (mount option scan=). */
#define KVLIFT_F_SCAN		(1ULL << 23)

/**
 * struct kvlift_info - the pool behind a descriptor (KVLIFT_IOC_INFO, 0.1)
 * @abi:	KVLIFT_ABI_VERSION of the module
 * @block_size:	bytes
 * @features:	KVLIFT_F_*
 * @pool:	number of the pool: /sys/fs/kvlift/<pool>
 * @nr_members:	per tier
 * @capacity:	blocks that can be stored
 * @used:	blocks that are stored or reserved
 * @block_shift: log2 of @block_size
 * @inline_max:	bytes up to which a file is stored inline
 * @uuid:	of the pool, as on its devices; random without a device
 * @reserved:	zero
 */
struct kvlift_info {
	__u32 abi;
	__u32 block_size;
	__u64 features;
	__u32 pool;
	__u32 block_shift;
	__u32 nr_members[KVLIFT_NR_TIERS];
	__u64 capacity;
	__u64 used;
	__u32 inline_max;
	__u32 pad;
	__u8  uuid[16];
	__u64 reserved[8];
};

/**
 * struct kvlift_member - one member of a tier (KVLIFT_IOC_MEMBER, 0.1)
 * @tier:	in: KVLIFT_TIER_*
 * @member:	in: number within the tier
 * @asked:	slots the mount asked for
 * @got:	slots the member has now
 * @free:	slots nobody uses
 * @used:	slots that are the home of a block, or on the way to be
 * @shadows:	slots that hold a shadow
 * @lost:	slots that wait for a foreign pin, or failed
 * @node:	NUMA node of a memory member, else -1
 * @name:	"node1" or the device's path, NUL-terminated
 * @target:	slots the member is to have just now: @asked, or less while the
 *		kernel needs the memory, or 0 while it is drained
 * @flags:	out: KVLIFT_MEMBER_*
 *
 * ENXIO: no such tier or member.
 */
/* The member is being drained, or has been. */
#define KVLIFT_MEMBER_DRAINING	(1ULL << 0)
/* The device is gone. */
#define KVLIFT_MEMBER_DEAD	(1ULL << 1)

struct kvlift_member {
	__u32 tier;
	__u32 member;
	__u64 asked;
	__u64 got;
	__u64 free;
	__u64 used;
	__u64 shadows;
	__u64 lost;
	__s32 node;
	__u32 pad;
	char name[64];
	__u64 target;
	__u64 flags;
	__u64 reserved[2];
};

/**
 * struct kvlift_region_info - a file (KVLIFT_IOC_REGION, 0.1)
 * @id:		region id, never reused in the life of the pool
 * @size:	bytes
 * @blocks:	per tier, blocks whose home is there
 * @reserved_blocks: blocks that only hold a reservation
 * @inline_bytes: bytes stored inline
 * @flags:	KVLIFT_REGION_*
 */
/* The file is sealed: its content and size do not change any more. */
#define KVLIFT_REGION_SEALED	(1ULL << 0)

struct kvlift_region_info {
	__u64 id;
	__u64 size;
	__u64 blocks[KVLIFT_NR_TIERS];
	__u64 reserved_blocks;
	__u64 inline_bytes;
	__u64 flags;
	__u64 reserved[7];
};

/**
 * struct kvlift_touch - one access that an engine reports
 * @index:	block of the region
 * @weight:	how many touches it is worth, such as the block's share of
 *		attention; 0 counts as 1
 * @flags:	zero
 */
struct kvlift_touch {
	__u64 index;
	__u32 weight;
	__u32 flags;
};

/**
 * struct kvlift_touches - batch of touches (KVLIFT_IOC_TOUCH, 0.1)
 * @ptr:	address of an array of struct kvlift_touch, last touched last
 * @count:	entries, at most KVLIFT_TOUCH_MAX
 * @done:	out: entries that named a block with a slot
 *
 * A touch of a hole or beyond the end of the file is ignored. One of weight 1
 * adds no heat when it follows another in the same 1/32 s.
 */
#define KVLIFT_TOUCH_MAX	(1u << 20)
struct kvlift_touches {
	__u64 ptr;
	__u32 count;
	__u32 done;
	__u64 reserved[2];
};

/**
 * struct kvlift_range - blocks of a region (KVLIFT_IOC_PREFETCH, _DEMOTE, 0.1)
 * @first:	first block
 * @count:	number of blocks; the end is clipped to the end of the file
 * @flags:	zero
 * @done:	out: blocks queued (prefetch) or whose demotion was started
 *
 * Prefetch queues the blocks that are not in memory to be read in order, and
 * returns at once; what finds no free slot in time is left where it is.
 * Demote starts to move the blocks one tier down; pinned and busy blocks and
 * those already at the bottom stay. EAGAIN: the prefetch queue is full.
 */
struct kvlift_range {
	__u64 first;
	__u64 count;
	__u32 flags;
	__u32 pad;
	__u64 done;
	__u64 reserved[2];
};

/**
 * struct kvlift_where - location words (KVLIFT_IOC_WHERE, 0.1)
 * @first:	first block
 * @count:	in: words to copy, at most KVLIFT_WHERE_MAX; out: words copied,
 *		fewer when the file ends earlier
 * @ptr:	address of an array of __u64
 */
#define KVLIFT_WHERE_MAX	(1u << 20)
struct kvlift_where {
	__u64 first;
	__u64 count;
	__u64 ptr;
	__u64 reserved[2];
};

/**
 * struct kvlift_heat - how hot blocks are (KVLIFT_IOC_HEAT, 0.1)
 * @first:	first block
 * @count:	in: values to copy, at most KVLIFT_WHERE_MAX; out: values copied,
 *		fewer when the file ends earlier
 * @ptr:	address of an array of __u32
 * @flags:	KVLIFT_HEAT_SCAN: look first at the accessed bits of the caller's
 *		own mappings of the file, rather than wait for the pool's scan.
 *		EOPNOTSUPP without KVLIFT_F_SCAN
 * @pad:	zero
 *
 * A value is what the touches of a block so far are worth now, in 1/256 touches
 * of weight 1: each is worth half after 65 s, a quarter after 131 s. It is kept
 * in 8 bits, so it is right within some ten percent. Touches that are in a ring
 * are counted first.
 */
#define KVLIFT_HEAT_SCAN	(1u << 0)
struct kvlift_heat {
	__u64 first;
	__u64 count;
	__u64 ptr;
	__u32 flags;
	__u32 pad;
	__u64 reserved[2];
};

/**
 * struct kvlift_touch_ring - asks for a ring (KVLIFT_IOC_TOUCH_RING, 0.1)
 * @entries:	a power of two from KVLIFT_RING_MIN to KVLIFT_RING_MAX, 0 for
 *		KVLIFT_RING_DEFAULT; out: that
 * @flags:	zero
 * @bytes:	in: zero; out: length of the mapping
 *
 * Returns a new descriptor whose shared mapping, from offset 0, is a struct
 * kvlift_ring_head and then, at @offset of it, that many entries of 64 bits. A
 * touch is reported by writing entry (tail modulo entries) and then the tail,
 * with release semantics. There is one producer; another thread asks for a ring
 * of its own. The module looks at it within 0.25 s, more often the fuller it
 * is, and before it tells counters and heat; when it is full, touches are
 * dropped. The descriptor may be closed once it is mapped; the file stays open
 * until the mapping is gone, too.
 */
#define KVLIFT_RING_MIN		64u
#define KVLIFT_RING_DEFAULT	4096u
#define KVLIFT_RING_MAX		65536u

/* An entry: number of the block, weight as in struct kvlift_touch. */
#define KVLIFT_RING_INDEX	((1ULL << 40) - 1)
#define KVLIFT_RING_WEIGHT_SHIFT 40
#define KVLIFT_RING_WEIGHT_MAX	((1u << 24) - 1)

struct kvlift_touch_ring {
	__u32 entries;
	__u32 flags;
	__u64 bytes;
	__u64 reserved[2];
};

/**
 * struct kvlift_ring_head - what a touch ring's mapping begins with
 * @entries:	number of entries
 * @offset:	of the entries, bytes
 * @tail:	entries written so far, modulo 2^32: the producer's
 * @dropped:	touches that found the ring full: the producer's
 * @head:	entries read so far, modulo 2^32: the module's
 */
struct kvlift_ring_head {
	__u32 entries;
	__u32 offset;
	__u32 pad0[14];
	__u32 tail;
	__u32 dropped;
	__u32 pad1[14];
	__u32 head;
	__u32 pad2[15];
};

/**
 * struct kvlift_seal - declares content complete (KVLIFT_IOC_SEAL, 0.1)
 * @first:	first block
 * @count:	number of blocks; the end is clipped to the end of the file
 * @flags:	KVLIFT_SEAL_FILE: the whole file, for good; then @first and
 *		@count are 0. Nothing may write any more: write(2), truncate and
 *		fallocate fail with EPERM, as does a shared mapping of a
 *		descriptor that is open for writing; readers open O_RDONLY.
 *		Else: blocks of a file that goes on being filled. Nothing is
 *		enforced: a block that is written again counts as any other,
 *		is counted (unsealed) and traced, and nothing is lost. With 2 MiB
 *		blocks a writable mapping that touches a block counts as a write.
 * @done:	out: blocks with content that are complete now
 *
 * Complete blocks are written down to a device in the background, so that
 * leaving memory costs no I/O. EBUSY: somebody maps the file for writing, or a
 * device or a pipe still holds a page (KVLIFT_SEAL_FILE).
 */
#define KVLIFT_SEAL_FILE	(1u << 0)
struct kvlift_seal {
	__u64 first;
	__u64 count;
	__u32 flags;
	__u32 pad;
	__u64 done;
	__u64 reserved[2];
};

/*
 * Queues (KVLIFT_IOC_QUEUE, 0.1). A queue is a descriptor on which blocks of
 * any regions of the pool are asked for; it tells when they are in place, by
 * read(2), poll(2) or an eventfd. Closing it, so the death of the process too,
 * cancels what waits and ends all leases.
 */

/* Operations of a request. */
#define KVLIFT_OP_PREFETCH	0u /* bring the blocks to memory */
#define KVLIFT_OP_ACQUIRE	1u /* and keep them in place: a lease */

/* Priorities of a request. */
#define KVLIFT_PRIO_HIGH	0u
#define KVLIFT_PRIO_NORMAL	1u
#define KVLIFT_PRIO_LOW		2u

#define KVLIFT_REQ_MAX_BLOCKS	4096u
#define KVLIFT_SUBMIT_MAX	1024u
#define KVLIFT_LEASE_MAX_MS	600000u

/**
 * struct kvlift_req - blocks that are wanted
 * @cookie:	the caller's name for the request; one that is in use twice
 *		finds the older of the two
 * @first:	first block
 * @count:	1 to KVLIFT_REQ_MAX_BLOCKS
 * @deadline_ns: CLOCK_MONOTONIC in ns after which the blocks are of no use, 0
 *		for none
 * @fd:		the region, open for reading
 * @op:		KVLIFT_OP_*
 * @tier:	slowest tier that will do: KVLIFT_TIER_DRAM, KVLIFT_TIER_CXL; 0
 *		for any memory
 * @prio:	KVLIFT_PRIO_*
 * @lease_ms:	KVLIFT_OP_ACQUIRE: the lease ends by itself after this, 1 to
 *		KVLIFT_LEASE_MAX_MS; else, and with KVLIFT_REQ_PIN, 0
 * @flags:	zero, or KVLIFT_REQ_* (kvlift_mover.h)
 *
 * Holes count as in place; those of an ACQUIRE get zeroed blocks.
 */
struct kvlift_req {
	__u64 cookie;
	__u64 first;
	__u64 count;
	__u64 deadline_ns;
	__s32 fd;
	__u32 op;
	__u32 tier;
	__u32 prio;
	__u32 lease_ms;
	__u32 flags;
	__u64 reserved[2];
};

/**
 * struct kvlift_submit - requests to queue (KVLIFT_IOC_SUBMIT)
 * @ptr:	address of an array of struct kvlift_req
 * @count:	entries, at most KVLIFT_SUBMIT_MAX
 * @flags:	zero
 * @done:	out: entries that were taken; each will have one event
 *
 * Fails only when the first entry is wrong: EINVAL; EBADF, EACCES about its
 * descriptor; EAGAIN: the queue holds too many requests, read its events.
 */
struct kvlift_submit {
	__u64 ptr;
	__u32 count;
	__u32 flags;
	__u64 done;
	__u64 reserved[2];
};

/**
 * struct kvlift_event - a request has ended; what read(2) of a queue returns
 * @cookie:	of the request
 * @res:	0, or negative:
 *		-ETIME	the deadline has passed or, said at once, cannot be met
 *			by what was measured so far: recompute instead
 *		-ENXIO	beyond the end of the file
 *		-ENODEV	the pool has no such tier, or the attachment failed
 *		-EDQUOT	more leases than the domain may hold
 *		-EAGAIN	for a GPU or window: just now, as others hold some
 *		-ENOSPC	no slot became free
 *		-ENOMEM	no memory for the records of the blocks
 *		-EIO	a block cannot be read
 *		-EBUSY	a block could not be moved (pinned)
 *		-EPERM	the file is sealed, and the flags would let somebody
 *			write it
 *		-ECANCELED
 * @blocks:	blocks that were brought in place; of an ACQUIRE that failed
 *		none is kept there
 * @ns:		from submission to the end
 */
struct kvlift_event {
	__u64 cookie;
	__s32 res;
	__u32 pad;
	__u64 blocks;
	__u64 ns;
};

/**
 * struct kvlift_drain - empty a member (KVLIFT_IOC_DRAIN, 0.1)
 * @tier:	in: KVLIFT_TIER_*
 * @member:	in: number within the tier
 * @flags:	in: KVLIFT_DRAIN_START, KVLIFT_DRAIN_CANCEL, or 0 to ask only
 * @pad:	zero
 * @remaining:	out: slots that are not empty yet; of a node, not given back
 *		to the kernel yet. Zero on the way in
 *
 * A member that is drained takes no blocks, and those on it move, in the
 * background, to other members of its tier, else down, else up; what is on a
 * device goes to memory first. Of a node the memory goes back to the kernel,
 * so that it can be taken offline. It stays so until the drain is cancelled or
 * the pool unmounted; after a cancellation the budget is got again. Blocks
 * that are pinned stay until they are not.
 *
 * EPERM: without CAP_SYS_ADMIN. ENXIO: no such tier or member. ENOSPC: what is
 * stored would not fit without the member, or it is the pool's only memory;
 * nothing has been moved. ENODEV: the device is gone.
 */
#define KVLIFT_DRAIN_START	(1u << 0)
#define KVLIFT_DRAIN_CANCEL	(1u << 1)
struct kvlift_drain {
	__u32 tier;
	__u32 member;
	__u32 flags;
	__u32 pad;
	__u64 remaining;
	__u64 reserved[2];
};

/*
 * Hints (KVLIFT_IOC_HINT, 0.1): what an engine knows about blocks and sessions.
 * They reach the policy in the order they were given, and bind nobody.
 */
enum kvlift_hint_op {
	/*
	 * The next blocks of the chain of a request: @first to
	 * @first + @count - 1 of the region @fd. Each block's parent is the one
	 * before it in the chain, the first time it is told. Blocks that are not
	 * there are passed over unless @fd is open for writing, too.
	 */
	KVLIFT_HINT_CHAIN = 1,
	/*
	 * Ends the chain: a request of @session uses those blocks now, in this
	 * order. With KVLIFT_HINT_PARTIAL the last one is not full yet, so that
	 * it cannot be the prefix of another request.
	 */
	KVLIFT_HINT_REQUEST = 2,
	/*
	 * The session's turn has ended; it comes back in about @ms. @session 0:
	 * that of the KVLIFT_HINT_REQUEST right before it in the same call, be
	 * it told or not; nothing is told if that had no blocks.
	 */
	KVLIFT_HINT_RETURNS = 3,
	/* The session is over; @session as above. */
	KVLIFT_HINT_OVER = 4,
	/*
	 * Block @first of @fd follows block @parent of @parent_fd, unless it
	 * has a parent, or that comes after it.
	 */
	KVLIFT_HINT_PARENT = 5,
	/* These blocks are used next in about @ms. */
	KVLIFT_HINT_USE = 6,
	/* These blocks matter more or less than others: @value, 0 is normal. */
	KVLIFT_HINT_PRIO = 7,
	/*
	 * For replays of traces: to the policy it is now @session ns after some
	 * start, until the next one of these. 0, or a minute without: its time
	 * goes on from there as that of the machine. CAP_SYS_ADMIN.
	 */
	KVLIFT_HINT_CLOCK = 8,
};

/**
 * struct kvlift_hint - one hint
 * @op:		enum kvlift_hint_op
 * @fd:		region, open for reading, where blocks are named; else -1
 * @session:	the engine's number of a session, or of one branch of it where
 *		it has several; 0: not told. Sessions of different users do not
 *		mix
 * @first:	first block
 * @count:	blocks, at most KVLIFT_REQ_MAX_BLOCKS
 * @parent:	block of @parent_fd
 * @parent_fd:	region, open for reading
 * @ms:		milliseconds from now
 * @value:	KVLIFT_HINT_PRIO: -128 to 127
 * @flags:	KVLIFT_HINT_PARTIAL, or zero
 */
#define KVLIFT_HINT_PARTIAL	(1u << 0)
struct kvlift_hint {
	__u32 op;
	__s32 fd;
	__u64 session;
	__u64 first;
	__u64 count;
	__u64 parent;
	__s32 parent_fd;
	__u32 ms;
	__s32 value;
	__u32 flags;
	__u64 reserved;
};

/**
 * struct kvlift_hints - batch of hints (KVLIFT_IOC_HINT)
 * @ptr:	address of an array of struct kvlift_hint
 * @count:	entries, at most KVLIFT_HINT_MAX
 * @flags:	zero
 * @done:	out: entries that were taken
 *
 * A chain begins and ends within one call, else it is forgotten, and has at
 * most KVLIFT_CHAIN_MAX blocks. Fails only when the first entry is wrong: EINVAL;
 * EBADF, EACCES about its descriptor; EXDEV: that is of another pool; E2BIG:
 * more blocks than KVLIFT_CHAIN_MAX; EAGAIN: the policy's worker is behind;
 * EPERM; EOPNOTSUPP: the pool has no DRAM; ENOMEM.
 */
#define KVLIFT_HINT_MAX		65536u
#define KVLIFT_CHAIN_MAX	65536u
struct kvlift_hints {
	__u64 ptr;
	__u32 count;
	__u32 flags;
	__u64 done;
	__u64 reserved[2];
};

/* Domains nest this deep below the root; values below are per domain. */
#define KVLIFT_DOMAIN_DEPTH	4
#define KVLIFT_DOMAIN_WEIGHT	100	/* default weight */
#define KVLIFT_DOMAIN_WEIGHT_MAX 10000
#define KVLIFT_DOMAIN_PERCENT	50	/* default of leases and pins */
#define KVLIFT_DOMAIN_BLOCKS_MAX (1ULL << 40)

/* Flags of struct kvlift_domain. */
/* The descriptor's own directory is the domain, not one above it. */
#define KVLIFT_DOMAIN_HERE	(1u << 0)
/*
 * In and out: the domain is a cache. Its sealed files, but not those of domains
 * inside it, are dropped, each as a whole as by unlink(2), when this domain, one
 * around it or the pool is full or nearly so; which: those that were read again
 * stay longer (S3-FIFO). A file that is open, mapped, leased or pinned, or has
 * several names, is left alone, and so is everything that is not sealed. What
 * does not fit waits a little for files to go; when none can, write(2) and
 * fallocate(2) in the domain give EAGAIN instead of EDQUOT and ENOSPC.
 */
#define KVLIFT_DOMAIN_CACHE	(1u << 1)

/**
 * struct kvlift_domain - a directory that is accounted on its own
 *			  (KVLIFT_IOC_DOMAIN_SET, _GET, 0.1)
 * @id:		out: region id of the domain's directory
 * @parent:	out: that of the domain around it, 0 for the root
 * @flags:	KVLIFT_DOMAIN_*; in: only KVLIFT_DOMAIN_CACHE counts
 * @depth:	out: 0 for the root of the pool, at most KVLIFT_DOMAIN_DEPTH
 * @weight:	1..KVLIFT_DOMAIN_WEIGHT_MAX: share of a tier that is short,
 *		beside the domains of the same parent
 * @lease_percent: of the tier, or of @limit, that leases may hold; 0: none
 * @pin_percent: the same for pins of registered memory
 * @pad:	zero
 * @willneed_rate: blocks per second that prefetch may bring up; 0: no bound
 * @total_limit: blocks stored or reserved in any tier; 0: no limit. More give
 *		EDQUOT, or SIGBUS in a mapping
 * @limit:	per tier, blocks that may have their home there; 0: no limit
 * @guarantee:	per tier of memory, blocks that others do not displace
 * @guarantee_max: out: largest @guarantee that would be accepted now, for
 *		this domain or for one that the directory becomes
 * @blocks:	out: per tier, blocks whose home is there
 * @reclaimed:	out: per tier, blocks that reclaim has moved out of it
 * @limit_hits:	out: per tier, slots that @limit refused
 * @charged:	out: blocks stored or reserved
 * @peak:	out: most that @charged has been
 * @total_hits:	out: charges refused
 * @cache_files: out: files of a cache that may be dropped, some of which may be
 *		in use; this and the next four do not include domains inside
 * @cache_dropped: out: files that were
 * @cache_dropped_bytes: out: and their bytes
 * @cache_waits: out: times somebody waited for files to go
 * @cache_refused: out: and got EAGAIN
 * @pinned:	out: blocks pinned for good: windows, and KVLIFT_REQ_PIN
 *
 * GET works on any file or directory and tells of the nearest domain. SET
 * works on a directory: an empty one becomes a domain, one that is a domain
 * or the root gets new properties. It sets all of them; what is only given
 * out is ignored, so that GET, change, SET is the way to change one. Usage
 * includes the domains inside.
 *
 * EPERM: neither CAP_SYS_ADMIN nor owner of the pool's root directory;
 * ENOTEMPTY: it has entries and is no domain; ENOSPC: the guarantee is more
 * than the tier or the domain around it can give (@guarantee_max); EBUSY:
 * less than the domains inside are guaranteed; EMLINK: nested too deep;
 * EUSERS: too many domains; ENOENT: the directory was removed; EROFS; ENOMEM;
 * EINVAL: a value out of range, a tier that the pool lacks, a guarantee above
 * the limit, in the slowest tier or of the root, or a limit of the slowest
 * tier without one of every faster tier.
 */
struct kvlift_domain {
	__u64 id;
	__u64 parent;
	__u32 flags;
	__u32 depth;
	__u32 weight;
	__u32 lease_percent;
	__u32 pin_percent;
	__u32 pad;
	__u64 willneed_rate;
	__u64 total_limit;
	__u64 limit[KVLIFT_NR_TIERS];
	__u64 guarantee[KVLIFT_NR_TIERS];
	__u64 guarantee_max[KVLIFT_NR_TIERS];
	__u64 blocks[KVLIFT_NR_TIERS];
	__u64 reclaimed[KVLIFT_NR_TIERS];
	__u64 limit_hits[KVLIFT_NR_TIERS];
	__u64 charged;
	__u64 peak;
	__u64 total_hits;
	__u64 cache_files;
	__u64 cache_dropped;
	__u64 cache_dropped_bytes;
	__u64 cache_waits;
	__u64 cache_refused;
	__u64 pinned;
	__u64 reserved[2];
};

#define KVLIFT_IOC_MAGIC	0xBA
#define KVLIFT_IOC_INFO		_IOR(KVLIFT_IOC_MAGIC, 0, struct kvlift_info)
#define KVLIFT_IOC_MEMBER	_IOWR(KVLIFT_IOC_MAGIC, 1, struct kvlift_member)
#define KVLIFT_IOC_REGION	_IOR(KVLIFT_IOC_MAGIC, 2, \
				     struct kvlift_region_info)
#define KVLIFT_IOC_TOUCH	_IOWR(KVLIFT_IOC_MAGIC, 3, struct kvlift_touches)
#define KVLIFT_IOC_PREFETCH	_IOWR(KVLIFT_IOC_MAGIC, 4, struct kvlift_range)
#define KVLIFT_IOC_DEMOTE	_IOWR(KVLIFT_IOC_MAGIC, 5, struct kvlift_range)
#define KVLIFT_IOC_WHERE	_IOWR(KVLIFT_IOC_MAGIC, 6, struct kvlift_where)
/*
 * Returns a new descriptor whose read-only shared mapping is the location
 * table of the region: word i is block i. It grows with the file. Holds the
 * file open (since 0.1).
 */
#define KVLIFT_IOC_TABLE	_IO(KVLIFT_IOC_MAGIC, 7)
#define KVLIFT_IOC_HEAT		_IOWR(KVLIFT_IOC_MAGIC, 21, struct kvlift_heat)
#define KVLIFT_IOC_TOUCH_RING	_IOWR(KVLIFT_IOC_MAGIC, 22, \
				      struct kvlift_touch_ring)
#define KVLIFT_IOC_DRAIN	_IOWR(KVLIFT_IOC_MAGIC, 20, struct kvlift_drain)
/* On any descriptor of the pool. */
#define KVLIFT_IOC_HINT		_IOWR(KVLIFT_IOC_MAGIC, 23, struct kvlift_hints)

/* The descriptor must be open for writing. */
#define KVLIFT_IOC_SEAL		_IOWR(KVLIFT_IOC_MAGIC, 8, struct kvlift_seal)

/* On any descriptor of the pool: returns that of a new queue. */
#define KVLIFT_IOC_QUEUE	_IO(KVLIFT_IOC_MAGIC, 9)
/* These on a queue. */
#define KVLIFT_IOC_SUBMIT	_IOWR(KVLIFT_IOC_MAGIC, 10, struct kvlift_submit)
/* A __s32, an eventfd that counts events, or -1 for none. */
#define KVLIFT_IOC_EVENTFD	_IOW(KVLIFT_IOC_MAGIC, 11, __s32)
/*
 * A cookie. Cancel: the request ends with -ECANCELED unless it was quicker;
 * ENOENT, EALREADY. Release: ends a lease, event read or not, which is told all
 * the same; ENOENT, EBUSY (the request has not ended yet), ETIME or ENOENT (the
 * lease was over already).
 */
#define KVLIFT_IOC_CANCEL	_IOW(KVLIFT_IOC_MAGIC, 12, __u64)
#define KVLIFT_IOC_RELEASE	_IOW(KVLIFT_IOC_MAGIC, 13, __u64)
#define KVLIFT_IOC_DOMAIN_SET	_IOW(KVLIFT_IOC_MAGIC, 16, struct kvlift_domain)
#define KVLIFT_IOC_DOMAIN_GET	_IOR(KVLIFT_IOC_MAGIC, 17, struct kvlift_domain)

/*
 * Superblock of a device of the nvme tier, version 1, at byte 0. All fields
 * little-endian. A pool is empty after each mount: version 1 stores who the
 * device belongs to and where things go, but no names and no extents.
 */
#define KVLIFT_SB_MAGIC		"KVLIFTSB"
#define KVLIFT_SB_VERSION	1
#define KVLIFT_SB_SIZE		4096
#define KVLIFT_SB_LOG_START	(1ULL << 20)
#define KVLIFT_SB_DATA_ALIGN	(2ULL << 20)

struct kvlift_sb {
	__u8   magic[8];
	__le32 version;
	__le32 sb_size;		/* KVLIFT_SB_SIZE */
	__u8   uuid[16];	/* of the pool */
	__le32 dev_index;	/* of this device in the pool */
	__le32 dev_count;	/* devices of the pool */
	__le64 dev_size;	/* bytes when formatted */
	__le32 block_size;	/* 0: the mount decides */
	__le32 flags;		/* zero */
	__le64 feature_compat;	/* unknown bits are ignored */
	__le64 feature_incompat; /* unknown bits: not mounted */
	__le64 log_offset;	/* room for a journal */
	__le64 log_size;
	__le64 data_offset;	/* multiple of KVLIFT_SB_DATA_ALIGN */
	__le64 mount_epoch;	/* mounts so far */
	__u8   label[32];
	__u8   pad[3956];
	__le32 crc;		/* CRC32C of the bytes before, seed ~0, inverted */
} __attribute__((packed));

#endif /* _UAPI_LINUX_KVLIFT_H */
