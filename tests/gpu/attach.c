// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A pool, a region and an attachment for one block size. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

const size_t bench_blocks[SIZES] = { 64u << 10, 256u << 10, 2u << 20 };

/* The window is registered in the background; this is not about how long. */
static int wait_registered(struct attached *a)
{
	int ret;

	do {
		usleep(1000);
		ret = kvlift_gpu_info(a->gpu, &a->info);
		if (!ret)
			ret = a->info.register_error;
	} while (!ret && a->info.mover.window_ready < a->info.mover.window);
	return ret;
}

int attach_open(struct attached *a, const struct config *c, size_t block)
{
	struct kvlift_gpu_opts opts = {
		.backend = KVLIFT_GPU_CUDA,
		.device = c->device,
		.bytes = c->bytes,
		/* An eighth of a window is for blocks that pass only. */
		.window_bytes = c->bytes + c->bytes / 4,
		.name = "gpubench",
	};
	int ret;

	memset(a, 0, sizeof(*a));
	a->block = block;
	a->nr = c->bytes / block;
	ret = place_open(c, block, &a->pool);
	if (!ret)
		ret = kvlift_region_create(a->pool, "gpubench", c->bytes, 0600,
					   &a->region);
	if (!ret)
		ret = kvlift_gpu_attach(a->pool, NULL, &opts, &a->gpu);
	if (!ret)
		ret = wait_registered(a);
	if (ret) {
		fprintf(stderr, "a pool with blocks of %zu: %s\n", block,
			kvlift_strerror(ret));
		attach_close(a, c);
	}
	return ret;
}

void attach_close(struct attached *a, const struct config *c)
{
	kvlift_gpu_close(a->gpu);
	kvlift_region_close(a->region);
	kvlift_pool_close(a->pool);
	place_close(c);
	memset(a, 0, sizeof(*a));
}
