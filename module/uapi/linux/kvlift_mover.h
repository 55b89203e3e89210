/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Movers: how the memory of a GPU becomes the top tier of a pool (0.1).
 *
 * The module knows no GPU. A process that has one attaches to a pool and gets a
 * descriptor, the attachment; its memory is a member of tier gpu from then on,
 * divided into slots of a block each. Blocks that are to go there, or to come
 * back, are put by the module into slots of the attachment's window, memory of
 * the pool that the process maps and may register with its device; a thread of
 * the process, the mover, copies between those and its own memory, as it is told
 * through a ring, and says so through another. What it says is not believed: a
 * block is published by the module only, and has, unless it was written there, a
 * copy below that counts when the mover dies, is late, or tells nonsense.
 *
 * Errors are as in kvlift.h, and ENODEV: the attachment is no more, see
 * KVLIFT_MOVER_FAILED.
 */
#ifndef _UAPI_LINUX_KVLIFT_MOVER_H
#define _UAPI_LINUX_KVLIFT_MOVER_H

#include <linux/kvlift.h>

#define KVLIFT_MOVER_DEPTH	256u	/* default, commands in flight */
#define KVLIFT_MOVER_DEPTH_MAX	4096u
#define KVLIFT_MOVER_DEADLINE_MS 5000u	/* default */
#define KVLIFT_MOVER_DEADLINE_MAX_MS 60000u
#define KVLIFT_MOVER_SLOTS_MAX	(1ULL << 24)
#define KVLIFT_MOVER_WINDOW_MAX	(1ULL << 20)
#define KVLIFT_MOVER_PER_USER	16u

/*
 * The slots are a dma-buf's, which the kernel can address: it copies by itself.
 * No rings and no window; the descriptor is for queues, and holds the tier.
 */
#define KVLIFT_MOVER_DMABUF	(1u << 0)

/**
 * struct kvlift_mover - attaches to a pool (KVLIFT_IOC_MOVER, 0.1)
 * @flags:	KVLIFT_MOVER_DMABUF, or 0
 * @depth:	commands that may be in flight, a power of two up to
 *		KVLIFT_MOVER_DEPTH_MAX; 0 for KVLIFT_MOVER_DEPTH. Out: that
 * @deadline_ms: a command takes no longer; 0 for KVLIFT_MOVER_DEADLINE_MS. After
 *		it comes KVLIFT_CMD_CANCEL, after twice the time, and up to a
 *		quarter of it, the attachment has failed. Out: that
 * @dmabuf:	descriptor of the dma-buf, else -1
 * @slots:	blocks that the memory holds, 1 to KVLIFT_MOVER_SLOTS_MAX
 * @window:	slots of the window in tier dram; with @window_cxl 1 to
 *		KVLIFT_MOVER_WINDOW_MAX, 0 with a dma-buf. An eighth of all slots,
 *		at least one, is never a block's home: copies pass through it, in
 *		tier dram if it has so many there
 * @name:	of the member, such as "H200-0", NUL-terminated; may be empty
 * @member:	out: number of the member in tier gpu
 * @pad:	zero
 * @ring_bytes:	out: length of the mapping of the rings, at offset 0 of the
 *		attachment
 * @window_offset: out: offset of the mapping of the window; slot i of the window
 *		is at i times the block size in it
 * @window_cxl:	slots of the window in tier cxl, which follow those in tier dram.
 *		Blocks live there once those are taken
 * @reserved:	zero
 *
 * On a directory of the pool, which the caller may write to; the window counts
 * as pinned memory of the directory's domain (pin_percent of struct
 * kvlift_domain) and is no part of the pool's capacity. Of a domain no more blocks
 * are on their way from a tier in memory to GPUs at a time than it may lease there
 * (lease_percent), but one of each attachment. Returns the attachment. It ends
 * when it, its mappings and the queues opened on it are closed, or the process
 * dies: then blocks in the GPU's memory go back to their copies below, and those
 * without are lost, until they are punched or written as a whole, and give EIO.
 * KVLIFT_IOC_MOVER_DRAIN before loses none. The member stays, empty, until another
 * attachment has it.
 *
 * EACCES: the directory is not writable. EDQUOT: with the domain's other windows
 * it is above the cap, in one of the tiers. ENOSPC: the pool has not so many
 * blocks to spare, or they did not become free in time. EUSERS: there are
 * KVLIFT_MAX_MEMBERS attachments, or KVLIFT_MOVER_PER_USER of the caller's user,
 * who has not CAP_SYS_RESOURCE. EOPNOTSUPP: the pool has no tier dram, or no tier
 * cxl and @window_cxl is not 0, or the dma-buf cannot be addressed by the CPU.
 * EBADF, EINVAL: about the dma-buf, or it is too small.
 */
struct kvlift_mover {
	__u32 flags;
	__u32 depth;
	__u32 deadline_ms;
	__s32 dmabuf;
	__u64 slots;
	__u64 window;
	char name[32];
	__u32 member;
	__u32 pad;
	__u64 ring_bytes;
	__u64 window_offset;
	__u64 window_cxl;
	__u64 reserved[3];
};

/**
 * struct kvlift_mover_ring - what the mapping of the rings begins with
 * @sq_entries:	size of the submission ring, a power of two
 * @cq_entries:	size of the completion ring, a power of two
 * @sq_offset:	of the submission ring in the mapping, struct kvlift_cmd each
 * @cq_offset:	of the completion ring, struct kvlift_done each
 * @generation:	the upper half of each cookie; one more for each attachment that
 *		has had the member
 * @state:	enum kvlift_mover_state, the module's
 * @sq_tail:	commands written so far, modulo 2^32: the module's, with release
 *		semantics
 * @sq_head:	commands read so far: the mover's; tells poll(2) and
 *		KVLIFT_MOVER_WAIT whether there is something to do, nothing else
 * @cq_tail:	completions written so far: the mover's, with release semantics;
 *		KVLIFT_IOC_MOVER_ENTER then makes the module look
 * @cq_head:	completions taken so far: the module's
 *
 * There is always room in both rings: no more than @depth commands are in flight
 * and each may be cancelled once.
 */
struct kvlift_mover_ring {
	__u32 sq_entries;
	__u32 cq_entries;
	__u32 sq_offset;
	__u32 cq_offset;
	__u32 generation;
	__u32 state;
	__u32 pad0[10];
	__u32 sq_tail;
	__u32 pad1[15];
	__u32 sq_head;
	__u32 pad2[15];
	__u32 cq_tail;
	__u32 pad3[15];
	__u32 cq_head;
	__u32 pad4[15];
};

enum kvlift_mover_state {
	KVLIFT_MOVER_LIVE = 1,
	/* Nothing new goes there, what is there leaves. */
	KVLIFT_MOVER_DRAINING = 2,
	/*
	 * A command was too late, or the completion ring made no sense: no
	 * command is sent or completed any more, the memory counts as lost.
	 * Close, and attach again.
	 */
	KVLIFT_MOVER_FAILED = 3,
};

/* Operations of a command. */
enum kvlift_cmd_op {
	KVLIFT_CMD_IN = 1,	/* copy from the window to the GPU */
	KVLIFT_CMD_OUT = 2,	/* copy from the GPU to the window */
	/*
	 * Command @arg is late. If it can still be stopped, complete that with
	 * -ECANCELED, else as always; this one is not completed itself.
	 */
	KVLIFT_CMD_CANCEL = 3,
	/*
	 * Copy from another GPU, that of member @arg >> 32 (KVLIFT_IOC_MOVER_PEERS)
	 * and there from slot (__u32)@arg; @window is nothing.
	 */
	KVLIFT_CMD_PEER = 4,
};

/**
 * struct kvlift_cmd - a command to the mover
 * @cookie:	names it; the upper half is the generation of the attachment
 * @op:		enum kvlift_cmd_op
 * @flags:	none yet; to be ignored
 * @window:	slot of the window
 * @slot:	slot of the GPU
 * @bytes:	to copy, from the beginning of both: the block size
 * @deadline_ns: CLOCK_MONOTONIC, when it counts as late
 * @region:	region id of the block, for traces
 * @index:	its number
 * @arg:	CANCEL, whose @cookie is 0: cookie of the command. PEER: see there
 *
 * Commands may be done in any order, and again: each copy is the same as often
 * as it is made, until its completion is written. From then on both slots may
 * belong to others.
 */
struct kvlift_cmd {
	__u64 cookie;
	__u32 op;
	__u32 flags;
	__u32 window;
	__u32 slot;
	__u32 bytes;
	__u32 pad;
	__u64 deadline_ns;
	__u64 region;
	__u64 index;
	__u64 arg;
};

/**
 * struct kvlift_done - a command has ended
 * @cookie:	of the command; one that is not in flight is ignored and counted
 * @res:	0; else the copy was not made, a negative errno may say why. The
 *		request then ends with EIO, the block stays where it was; when a
 *		CPU wanted it back it gets EIO until a second later
 * @pad:	zero
 * @ns:		how long the copy took, 0: not measured
 * @reserved:	zero
 */
struct kvlift_done {
	__u64 cookie;
	__s32 res;
	__u32 pad;
	__u64 ns;
	__u64 reserved;
};

/**
 * struct kvlift_mover_enter - completions are there (KVLIFT_IOC_MOVER_ENTER)
 * @flags:	KVLIFT_MOVER_WAIT: then sleep until commands are waiting
 * @timeout_ms:	no longer than this; 0: without an end
 * @taken:	out: completions that were taken
 * @commands:	out: commands that wait, by sq_head
 *
 * The calling thread counts as a mover from then on, until it has attached to
 * something else or ended: when it touches a block whose content only the GPU
 * has, which it would have to copy itself, it gets SIGBUS (EDEADLK from read(2)).
 * EUSERS: KVLIFT_MOVER_THREADS others do so already. When the time is over
 * @commands is 0. EINTR: a signal; what is completed has been taken. ENODEV.
 */
#define KVLIFT_MOVER_WAIT	(1u << 0)
#define KVLIFT_MOVER_THREADS	8u
struct kvlift_mover_enter {
	__u32 flags;
	__u32 timeout_ms;
	__u32 taken;
	__u32 commands;
	__u64 reserved[2];
};

/**
 * struct kvlift_mover_ready - slots of the window may be used
 *			       (KVLIFT_IOC_MOVER_READY)
 * @first:	first slot
 * @count:	number of slots
 *
 * After they were registered with the device, if that is wanted, so that the
 * pins which the registration holds are known: pins that come later keep the
 * block in the slot from moving. May be done piece by piece, while those that
 * are ready are used already; requests wait for the first. ENXIO: beyond the
 * window; EALREADY: one of them is ready, and nothing has been changed.
 */
struct kvlift_mover_ready {
	__u64 first;
	__u64 count;
	__u64 reserved[2];
};

/**
 * struct kvlift_mover_info - an attachment (KVLIFT_IOC_MOVER_INFO)
 * @state:	enum kvlift_mover_state
 * @member:	number of the member in tier gpu
 * @slots:	slots of the GPU
 * @used:	of these, not free
 * @window:	slots of the window
 * @window_ready: of these, ready
 * @window_free: of these, free
 * @inflight:	commands
 * @in:		blocks copied to the GPU
 * @out:	blocks copied from it
 * @failed:	commands that ended with an error
 * @late:	commands that were cancelled for being late
 * @ignored:	completions that named no command in flight
 * @lost:	blocks lost when the attachment failed
 */
struct kvlift_mover_info {
	__u32 state;
	__u32 member;
	__u64 slots;
	__u64 used;
	__u64 window;
	__u64 window_ready;
	__u64 window_free;
	__u64 inflight;
	__u64 in;
	__u64 out;
	__u64 failed;
	__u64 late;
	__u64 ignored;
	__u64 lost;
	__u64 reserved[4];
};

/*
 * Flags of struct kvlift_req, but for the last on a queue of an attachment and
 * with tier 0 (0.1).
 * One of these two: to the GPU, or to a slot of the window, where a GPU can read
 * the block in place. The window needs the file open for writing and not sealed,
 * since who owns it can write there.
 */
#define KVLIFT_REQ_GPU		(1u << 0)
#define KVLIFT_REQ_WINDOW	(1u << 1)
/*
 * With one of the above, for a lease, the file open for writing and not sealed:
 * the GPU is going to write the blocks. Whatever copy they have below counts no
 * more, and a CPU that touches one that is in the GPU waits for the lease's end.
 * (One that is leased for reading it gets, as it is below or from the GPU; the
 * lease goes on, and if the CPU writes, what the GPU has is out of date.)
 */
#define KVLIFT_REQ_WRITE	(1u << 2)
/*
 * With KVLIFT_REQ_GPU, the file open for writing and not sealed: no copy of the
 * blocks is kept in memory below; one on a device is, if there is one. Without
 * this flag there is a copy somewhere, unless the GPU has written the blocks. Of
 * a request that fails some blocks may have gone there all the same.
 */
#define KVLIFT_REQ_EXCLUSIVE	(1u << 3)
/*
 * With KVLIFT_REQ_GPU and KVLIFT_REQ_WRITE: holes get slots of the GPU at once,
 * with nothing copied to them: the caller writes all of each block. Others are as
 * without it.
 */
#define KVLIFT_REQ_NEW		(1u << 4)
/*
 * On any queue, for a lease and without the others: the blocks are going to be
 * registered with a device where they are. The lease has no end but its release
 * (lease_ms is 0), and counts as pinned memory of the domain (pin_percent), not
 * as a lease. EDQUOT, and nothing is held, when that is too much.
 */
#define KVLIFT_REQ_PIN		(1u << 5)

/**
 * struct kvlift_leased - where leased blocks are (KVLIFT_IOC_LEASED, on a queue)
 * @cookie:	of the request, which has ended well
 * @ptr:	address of an array of __u64
 * @count:	in: words of room; out: words written, one for each block of the
 *		request
 *
 * A word is the slot: of the GPU, or with KVLIFT_LEASED_WINDOW of the window, or
 * with KVLIFT_LEASED_MEMORY of no attachment: the block is where its location
 * word says. ENOENT: no such request, or its lease is over; EBUSY: it has not
 * ended; ENOSPC: too little room.
 */
#define KVLIFT_LEASED_WINDOW	(1ULL << 63)
#define KVLIFT_LEASED_MEMORY	(1ULL << 62)
struct kvlift_leased {
	__u64 cookie;
	__u64 ptr;
	__u64 count;
	__u64 reserved;
};

/* On a directory of the pool. */
#define KVLIFT_IOC_MOVER	_IOWR(KVLIFT_IOC_MAGIC, 32, struct kvlift_mover)
/*
 * These on an attachment, as are KVLIFT_IOC_QUEUE, whose queue then takes
 * requests with KVLIFT_REQ_GPU and KVLIFT_REQ_WINDOW, and KVLIFT_IOC_EVENTFD,
 * signalled when commands have been written.
 */
#define KVLIFT_IOC_MOVER_ENTER	_IOWR(KVLIFT_IOC_MAGIC, 33, \
				      struct kvlift_mover_enter)
#define KVLIFT_IOC_MOVER_READY	_IOW(KVLIFT_IOC_MAGIC, 34, \
				     struct kvlift_mover_ready)
#define KVLIFT_IOC_MOVER_INFO	_IOR(KVLIFT_IOC_MAGIC, 35, \
				     struct kvlift_mover_info)
/*
 * No block goes to the GPU any more, and those that are there leave, through the
 * mover where they have no copy. A __u64, out: slots still in use. Asked again
 * it tells how many are left.
 */
#define KVLIFT_IOC_MOVER_DRAIN	_IOR(KVLIFT_IOC_MAGIC, 36, __u64)
/*
 * A __u32, a bit for each member of tier gpu from whose memory this mover can
 * copy by itself: blocks that go from there to here do not pass through memory
 * then. They are attachments of the same process (EPERM), there now (ENXIO), and
 * none with a dma-buf (EOPNOTSUPP). Replaces what was said before.
 */
#define KVLIFT_IOC_MOVER_PEERS	_IOW(KVLIFT_IOC_MAGIC, 38, __u32)
/* On a queue. */
#define KVLIFT_IOC_LEASED	_IOWR(KVLIFT_IOC_MAGIC, 37, struct kvlift_leased)

#endif /* _UAPI_LINUX_KVLIFT_MOVER_H */
