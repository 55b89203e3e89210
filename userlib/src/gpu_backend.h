/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What copies between the window and the memory of a GPU, and to it from that
 * of another: an ops table, and a file for each implementation. The mover knows
 * no more of a GPU than this.
 */
#ifndef KVLIFT_SRC_GPU_BACKEND_H
#define KVLIFT_SRC_GPU_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvlift.h"

enum kvl_gpu_dir {
	KVL_GPU_IN,   /* from the window to the GPU */
	KVL_GPU_OUT,  /* from the GPU to the window */
	KVL_GPU_PEER, /* from another GPU to the GPU */
	KVL_GPU_DIRS,
};

/* Blocks of a batch at the most; batches of a direction that are on their way. */
#define KVL_GPU_BATCH_MAX 128u
#define KVL_GPU_FLIGHTS	  4u

/* The window is registered in pieces of this: a multiple of every block size. */
#define KVL_GPU_PIECE (64ull << 20)

/*
 * One block, from slot to slot; or from an address in the memory of another
 * GPU. Out: res, negative when it has not begun.
 */
struct kvl_gpu_copy {
	uint64_t source;
	uint32_t window;
	uint32_t slot;
	uint32_t bytes;
	int32_t res;
};

struct kvl_gpu_ops;

/**
 * struct kvl_gpu_backend - what each begins with
 * @base:	address of slot 0 of the GPU
 * @bytes:	of its memory
 * @window:	where the window is mapped; set after open
 * @window_bytes: its length; set after open
 * @flights:	batches of a direction to have on their way, 1 to KVL_GPU_FLIGHTS
 * @needs_register: pieces of the window are given to add_window
 * @path:	enum kvlift_gpu_path of what is copied by calls of the driver
 * @paths:	the one that is used, by direction, as the next two; when the
 *		mover runs only it changes them, atomically
 * @batch:	blocks of a batch
 * @rate:	measured bytes per second, 0: not measured
 * @kernel_error: why there is no kernel to copy with, or 0; changes as @paths
 */
struct kvl_gpu_backend {
	const struct kvl_gpu_ops *ops;
	uint64_t base, bytes;
	char *window;
	size_t window_bytes, block;
	unsigned int path, driver, flights;
	bool needs_register;
	unsigned int paths[KVL_GPU_DIRS];
	unsigned int batch[KVL_GPU_DIRS];
	uint64_t rate[KVL_GPU_DIRS];
	int kernel_error;
};

/**
 * struct kvl_gpu_ops - a backend
 * @open:	get the memory; bytes is a multiple of block
 * @close:	wait for copies that have begun, then undo all of it
 * @enter:	the calling thread is one of the library's and uses this
 * @add_window:	a piece of the window is there: register it
 * @tune:	find out paths, batch and rate with the first slots of window
 *		and GPU, which nobody uses yet; those of the GPU stay as they
 *		are
 * @peer:	be ready to copy from the memory of another, of the same ops
 * @copy:	begin copies, with one event for all: that of tag, which is not
 *		in use and below KVL_GPU_FLIGHTS times KVL_GPU_DIRS. 0: res of
 *		each copy tells; or a negative errno: none has begun
 * @poll:	1: all of a tag that have begun are done; 0: not yet; or a
 *		negative errno: they have ended, some perhaps undone
 * @window_address: where the device sees an offset of the window; 0: nowhere
 * @mark:	note how far a stream has come, as a number below
 *		KVLIFT_GPU_MARKS
 * @marked:	1: the stream has come so far; 0: not yet; or a negative errno:
 *		it never will, and nothing runs there any more
 *
 * Threads of the application call mark, window_address and, one at a time,
 * peer, with neither of the two closed meanwhile; the one that attaches open,
 * close, tune, and add_window for the first piece; a thread of the library
 * add_window for the rest; and the mover all others.
 */
struct kvl_gpu_ops {
	int (*open)(const struct kvlift_gpu_opts *opts, size_t block,
		    uint64_t bytes, struct kvl_gpu_backend **be);
	void (*close)(struct kvl_gpu_backend *be);
	int (*enter)(struct kvl_gpu_backend *be);
	int (*add_window)(struct kvl_gpu_backend *be, size_t offset,
			  size_t bytes);
	int (*tune)(struct kvl_gpu_backend *be, unsigned int slots);
	int (*peer)(struct kvl_gpu_backend *be, struct kvl_gpu_backend *from);
	int (*copy)(struct kvl_gpu_backend *be, enum kvl_gpu_dir dir,
		    struct kvl_gpu_copy *copies, unsigned int count,
		    unsigned int tag);
	int (*poll)(struct kvl_gpu_backend *be, unsigned int tag);
	uint64_t (*window_address)(struct kvl_gpu_backend *be, size_t offset);
	int (*mark)(struct kvl_gpu_backend *be, unsigned int mark,
		    uint64_t stream);
	int (*marked)(struct kvl_gpu_backend *be, unsigned int mark);
};

extern const struct kvl_gpu_ops kvl_gpu_cuda;
extern const struct kvl_gpu_ops kvl_gpu_memcpy;

#endif
