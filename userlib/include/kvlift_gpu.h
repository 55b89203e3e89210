/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * GPU memory as the top tier of a pool. Included by kvlift.h.
 *
 * A process with a GPU attaches to a pool: a part of the GPU's memory then
 * holds blocks of any region of the pool. The module decides which; a thread
 * that kvlift_gpu_attach() starts, the mover, copies them. The engine asks for
 * blocks with kvlift_gpu_acquire(), is told by an event when they are there,
 * gets their device addresses from kvlift_gpu_addresses(), and gives them back
 * with kvlift_gpu_release_after(): they stay where they are until then, and
 * until the work on that stream is done.
 *
 * An event is told when the copy is done and not before, so a kernel that is
 * launched after it sees the content: no stream has to wait for the mover's,
 * and there is no function for that. In the other direction a block leaves the
 * GPU only after its lease has ended; that is what makes
 * kvlift_gpu_release_after() the place where the engine's stream and the mover
 * meet.
 *
 * The driver is found at run time, with dlopen(3); nothing is linked against it
 * and no header of it is needed. Nothing here allocates but
 * kvlift_gpu_attach(). Everything here is in since 0.1.
 */
#ifndef KVLIFT_GPU_H
#define KVLIFT_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvlift.h>
#include <linux/kvlift_mover.h>

#ifdef __cplusplus
extern "C" {
#pragma GCC diagnostic push
/* As stat(2) and struct stat: a function is named like a structure. */
#pragma GCC diagnostic ignored "-Wshadow"
#endif

struct kvlift_gpu;
struct kvlift_pool;
struct kvlift_region;

/* What copies. */
enum kvlift_gpu_backend {
	KVLIFT_GPU_CUDA = 1,
	/*
	 * Memory of the process stands in for that of a GPU: for tests, and for
	 * machines without one. Addresses are pointers.
	 */
	KVLIFT_GPU_MEMCPY = 2,
};

/* How blocks are copied, see struct kvlift_gpu_info. */
enum kvlift_gpu_path {
	KVLIFT_GPU_PATH_MEMCPY = 1,
	KVLIFT_GPU_PATH_ASYNC = 2,  /* cuMemcpyAsync, a call for each block */
	KVLIFT_GPU_PATH_BATCH = 3,  /* cuMemcpyBatchAsync */
	KVLIFT_GPU_PATH_KERNEL = 4, /* a kernel of the library */
};

/*
 * Do not register the window with the device: copies are slower, and a GPU can
 * use blocks in the window in place only where it can use any memory of the
 * host.
 */
#define KVLIFT_GPU_NO_REGISTER (1u << 0)
/*
 * Copy no blocks by a kernel, whatever is quicker: all multiprocessors are the
 * application's, and copies do not wait for its kernels to leave some free.
 * Without it a kernel of the application that holds all of them for twice
 * deadline_ms makes the attachment fail, and blocks that only the GPU had are
 * lost: one of the library goes before others that wait, but interrupts none.
 * After half of deadline_ms no other is launched.
 */
#define KVLIFT_GPU_NO_KERNEL (1u << 1)

/* Default of kvlift_gpu_opts.window_bytes. */
#define KVLIFT_GPU_WINDOW (256ull << 20)

/* Leases that kvlift_gpu_release_after() can keep waiting, and calls of it. */
#define KVLIFT_GPU_RELEASES 8192u
#define KVLIFT_GPU_MARKS    512u

/**
 * struct kvlift_gpu_opts - what to attach
 * @backend:	enum kvlift_gpu_backend
 * @flags:	KVLIFT_GPU_NO_REGISTER, KVLIFT_GPU_NO_KERNEL, or 0
 * @device:	number of the device, as CUDA counts; its primary context is
 *		used, which is the one of torch and of the CUDA runtime
 * @depth:	commands that may be in flight, a power of two up to
 *		KVLIFT_MOVER_DEPTH_MAX; 0: KVLIFT_MOVER_DEPTH
 * @deadline_ms: longest time of a command, see struct kvlift_mover; 0:
 *		KVLIFT_MOVER_DEADLINE_MS
 * @pad:	zero
 * @memory:	address of device memory that the caller has allocated and that
 *		stays the caller's, a multiple of 256; 0: memory is allocated
 * @bytes:	of the memory, rounded down to whole blocks, at least one
 * @window_bytes: of the window, memory of the pool through which blocks come
 *		and go, rounded down to whole blocks; 0: KVLIFT_GPU_WINDOW, or
 *		@bytes where that is less
 * @window_cxl_bytes: by which the window goes on in CXL memory, rounded down
 *		to whole blocks: where the GPU reads blocks in place that the
 *		first part has no room for
 * @name:	of the member in tier gpu, such as "H200-0"; NUL-terminated, may
 *		be empty
 * @reserved:	zero
 */
struct kvlift_gpu_opts {
	uint32_t backend;
	uint32_t flags;
	int32_t device;
	uint32_t depth;
	uint32_t deadline_ms;
	uint32_t pad;
	uint64_t memory;
	uint64_t bytes;
	uint64_t window_bytes;
	char name[32];
	uint64_t window_cxl_bytes;
	uint64_t reserved[3];
};

/**
 * struct kvlift_gpu_info - an attachment
 * @mover:	as the module sees it: state, slots used and free, copies
 * @backend:	enum kvlift_gpu_backend
 * @path:	enum kvlift_gpu_path of what no kernel copies
 * @block_size:	bytes
 * @base:	address of slot 0 of the GPU's memory, see kvlift_gpu_base()
 * @window_bytes: of the window, both parts
 * @registered_bytes: of the window, registered with the device so far;
 *		0 where there is nothing to register
 * @register_error: why registration has ended before its end, a negative errno;
 *		the rest of the window is not used then. 0: it has not
 * @driver:	version of the CUDA driver, such as 13000
 * @batch_in:	blocks that are copied to the GPU at a time, as measured by
 *		kvlift_gpu_attach()
 * @batch_out:	and from it
 * @rate_in:	bytes per second that were measured with that, 0: not measured
 * @rate_out:	the same from the GPU
 * @releases:	leases that wait for a stream
 * @late:	leases of those that had ended by themselves before the stream's
 *		work was done: lease_ms is too short
 * @copy_errors: commands that the mover has ended with an error
 * @path_in:	enum kvlift_gpu_path of blocks that are copied to the GPU
 * @path_out:	and from it
 * @kernel_error: why no kernel can copy blocks, a negative errno: -ENOSYS or
 *		-ENOEXEC, the driver has none or cannot translate the library's;
 *		-EFAULT, memory of the caller is not one mapping; -ETIME, it
 *		took half of deadline_ms; or what a launch gave. 0: one does, or
 *		was slower, or was not tried: blocks are too large, or flags
 *		of struct kvlift_gpu_opts forbid it
 * @pad:	zero
 * @reserved:	zero
 */
struct kvlift_gpu_info {
	struct kvlift_mover_info mover;
	uint32_t backend;
	uint32_t path;
	uint64_t block_size;
	uint64_t base;
	uint64_t window_bytes;
	uint64_t registered_bytes;
	int32_t register_error;
	uint32_t driver;
	uint32_t batch_in;
	uint32_t batch_out;
	uint64_t rate_in;
	uint64_t rate_out;
	uint64_t releases;
	uint64_t late;
	uint64_t copy_errors;
	uint32_t path_in;
	uint32_t path_out;
	int32_t kernel_error;
	uint32_t pad;
	uint64_t reserved[2];
};

/**
 * struct kvlift_gpu_req - blocks that are wanted
 * @region:	region of the blocks; open for writing where a flag needs it
 * @first:	first block
 * @count:	1 to KVLIFT_REQ_MAX_BLOCKS
 * @cookie:	the caller's name for the request and its lease
 * @deadline_ns: CLOCK_MONOTONIC in ns after which the blocks are of no use, 0
 *		for none
 * @flags:	KVLIFT_REQ_GPU: to the GPU's memory, or KVLIFT_REQ_WINDOW: to
 *		the window, where a kernel can use them in place; and
 *		KVLIFT_REQ_WRITE, KVLIFT_REQ_EXCLUSIVE, KVLIFT_REQ_NEW
 * @prio:	KVLIFT_PRIO_*
 * @lease_ms:	the lease ends by itself after this, so longer than the use of
 *		the blocks takes, at most KVLIFT_LEASE_MAX_MS; 0: no lease, the
 *		blocks are brought there and may leave again
 * @pad:	zero
 * @reserved:	zero
 */
struct kvlift_gpu_req {
	const struct kvlift_region *region;
	uint64_t first;
	uint64_t count;
	uint64_t cookie;
	uint64_t deadline_ns;
	uint32_t flags;
	uint32_t prio;
	uint32_t lease_ms;
	uint32_t pad;
	uint64_t reserved[2];
};

/**
 * kvlift_gpu_attach() - make memory of a GPU a part of a pool
 * @pool:	the pool; may be closed before the attachment
 * @dir:	directory relative to the pool's, writable: the window counts as
 *		pinned memory of its domain; NULL or "": the pool's own
 * @opts:	what to attach
 * @gpu:	out: the handle; usable by several threads at once
 *
 * Starts two threads with all signals blocked: the mover, and one that
 * registers the window and ends then. The first part of the window is
 * registered before this returns, and some 90 ms of copies show how many blocks
 * are best copied at a time, and which directions a kernel copies quicker,
 * which leaves @memory as it was. The first time on a machine the driver
 * translates that kernel from PTX, which takes time of its own. After fork(2)
 * only the parent has it: in the child calls return -ENODEV, and
 * kvlift_gpu_close() frees the handle.
 *
 * Return: 0; -EINVAL: bad options; -EOPNOTSUPP: the module has no KVLIFT_F_GPU,
 * or the pool no memory, or no tier cxl but window_cxl_bytes is not 0;
 * -ELIBACC: there is no libcuda.so.1; -ENOSYS: the driver is older than CUDA
 * 12.0; -ENODEV: there is no such device; -ENOMEM: the device, or the host, has
 * not so much memory; -EFAULT: @memory is not of that device; -EACCES, -EDQUOT,
 * -ENOSPC, -EUSERS: see struct kvlift_mover; -EMEDIUMTYPE: the directory is not
 * in the pool; what registration gives; or another negative errno. Nothing is
 * left behind then.
 */
int kvlift_gpu_attach(const struct kvlift_pool *pool, const char *dir,
		      const struct kvlift_gpu_opts *opts,
		      struct kvlift_gpu **gpu);

/**
 * kvlift_gpu_detach() - move all blocks out of the GPU's memory, then close
 * @gpu:	the handle, invalid afterwards if 0 is returned
 * @timeout_ms:	negative: for ever
 *
 * Blocks that are leased stay until the lease has ended. No new ones come, even
 * if the time was not enough: call it again, or kvlift_gpu_close().
 *
 * Return: 0; -ETIME: blocks are left, and the handle is still valid; -ENODEV:
 * the attachment has failed, kvlift_gpu_close() is what is left to do; -EINTR.
 */
int kvlift_gpu_detach(struct kvlift_gpu *gpu, int timeout_ms);

/**
 * kvlift_gpu_close() - end an attachment at once; NULL is allowed
 * @gpu:	the handle, invalid afterwards; nobody else may be using it
 *
 * Waits for the copies that have begun. All leases end, also those that wait
 * for a stream, and blocks that only the GPU has are lost: kvlift_gpu_detach()
 * loses none. No kernel may be using the blocks any more.
 */
void kvlift_gpu_close(struct kvlift_gpu *gpu);

/**
 * kvlift_gpu_info() - ask for state, progress and counters
 * @gpu:	the handle
 * @info:	out
 *
 * Works on an attachment that has failed, too.
 *
 * Return: 0 or a negative errno.
 */
int kvlift_gpu_info(const struct kvlift_gpu *gpu, struct kvlift_gpu_info *info);

/**
 * kvlift_gpu_base() - device address of slot 0
 * @gpu:	the handle
 *
 * A block whose location word names tier gpu and this member is at slot times
 * the block size from here, as long as it is leased.
 */
uint64_t kvlift_gpu_base(const struct kvlift_gpu *gpu);

/**
 * kvlift_gpu_window() - where the process has mapped the window
 * @gpu:	the handle
 *
 * Slot i is at i times the block size from here. Only for blocks that are
 * leased with KVLIFT_REQ_WINDOW.
 */
void *kvlift_gpu_window(const struct kvlift_gpu *gpu);

/**
 * kvlift_gpu_acquire() - ask for blocks, and for leases on them
 * @gpu:	the handle
 * @reqs:	what is wanted
 * @count:	how many
 *
 * Does not wait. Every request that was taken has one event, in no order. All
 * blocks of a request are there, or none is leased.
 * kvlift_queue_cancel(kvlift_gpu_fd(gpu), cookie) ends a request before its
 * time.
 *
 * Return: number of requests taken, fewer than @count when one is wrong or
 * there is no more room; or, when it is the first, -EINVAL, -EBADF, -EACCES,
 * -EAGAIN: read events first; -ENODEV: the attachment has failed.
 */
int kvlift_gpu_acquire(struct kvlift_gpu *gpu,
		       const struct kvlift_gpu_req *reqs, unsigned int count);

/**
 * kvlift_gpu_fd() - the descriptor to poll for reading: events wait
 * @gpu:	the handle, which keeps owning the descriptor
 *
 * A queue, see kvlift_queue_open(), with O_NONBLOCK set.
 */
int kvlift_gpu_fd(const struct kvlift_gpu *gpu);

/**
 * kvlift_gpu_read() - take events
 * @gpu:	the handle
 * @events:	out; errors in them are those of struct kvlift_event
 * @max:	room in @events
 *
 * Does not wait.
 *
 * Return: number of events, 0 for none; -ENODEV: none, and the attachment has
 * failed; or another negative errno.
 */
int kvlift_gpu_read(struct kvlift_gpu *gpu, struct kvlift_event *events,
		    unsigned int max);

/**
 * kvlift_gpu_wait() - take events, wait for one if there is none
 * @gpu:	the handle
 * @events:	out
 * @max:	room in @events
 * @timeout_ms:	0: as kvlift_gpu_read(); negative: for ever
 *
 * Return: number of events; 0: the time is over; -ENODEV: none, and the
 * attachment has failed; -EINTR; or another negative errno.
 */
int kvlift_gpu_wait(struct kvlift_gpu *gpu, struct kvlift_event *events,
		    unsigned int max, int timeout_ms);

/**
 * kvlift_gpu_addresses() - device addresses of leased blocks
 * @gpu:	the handle
 * @cookie:	of the request, whose event had no error
 * @addr:	out: one for each block of the request; 0 where the block is in
 *		memory that the device does not reach
 * @count:	room in @addr
 *
 * They hold until the lease ends.
 *
 * Return: number of addresses; -ENOENT: no such request, or its lease is over;
 * -EBUSY: it has not ended; -ENOSPC: too little room; -EINVAL: @count is 0;
 * -ENODEV: the attachment has failed.
 */
int kvlift_gpu_addresses(struct kvlift_gpu *gpu, uint64_t cookie,
			 uint64_t *addr, unsigned int count);

/**
 * kvlift_gpu_release() - give a lease back now
 * @gpu:	the handle
 * @cookie:	of the request
 *
 * For blocks that no kernel uses any more.
 *
 * Return: 0; -ETIME, -EBUSY, -ENOENT as kvlift_queue_release(); -ENODEV: the
 * attachment has failed.
 */
int kvlift_gpu_release(struct kvlift_gpu *gpu, uint64_t cookie);

/**
 * kvlift_gpu_release_after() - give leases back when a stream has come so far
 * @gpu:	the handle
 * @cookies:	of the requests
 * @count:	how many, 1 to KVLIFT_GPU_RELEASES
 * @stream:	CUstream or cudaStream_t of the device's primary context; 0: the
 *		legacy default one. KVLIFT_GPU_MEMCPY has none and takes 0
 *
 * When all work that has been submitted to the stream before is done, the mover
 * gives the leases back. A lease that is over until then, or was none, is
 * counted and nothing else. Does not wait.
 *
 * Return: 0; -EINVAL: a stream of another device, or @count is wrong; -EBUSY:
 * the stream is being captured; -EAGAIN: too many are waiting; -ENODEV: the
 * attachment has failed; -EIO: the device has. After an error the leases are
 * the caller's still.
 */
int kvlift_gpu_release_after(struct kvlift_gpu *gpu, const uint64_t *cookies,
			     unsigned int count, uint64_t stream);

/**
 * kvlift_gpu_peer() - copy blocks from another GPU directly
 * @gpu:	the handle
 * @from:	another attachment of this process to the same pool, with the
 *		same backend; of the same device, or of another one
 * @on:		whether to
 *
 * Blocks that go from the memory of @from to that of @gpu are copied by the
 * mover of @gpu, and do not pass through memory of the host. Only in this
 * direction: call it the other way round, too, for both. With
 * KVLIFT_GPU_CUDA, and different devices, access of one to the other is enabled
 * as by cuCtxEnablePeerAccess(), and stays so; memory that the caller has
 * allocated has to be of a kind that this applies to.
 *
 * When it has been switched off nothing is copied from there any more. It is
 * when either is closed: closing @from waits for copies that are on their way.
 *
 * Return: 0, also when nothing changed; -EINVAL: they have different backends,
 * or are one; -EXDEV: they are not of one pool; -EOPNOTSUPP: the device cannot
 * reach the other; -EPERM: they were not attached by this process; -ENODEV: one
 * of them has failed; -ENOTTY: the module cannot; or another negative errno.
 * Nothing is copied directly after an error.
 */
int kvlift_gpu_peer(struct kvlift_gpu *gpu, struct kvlift_gpu *from, bool on);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif
#endif /* KVLIFT_GPU_H */
