// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the machine copies at the most, and what the mover makes of it: the
 * library's own, driven by commands of the pool in user space.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../userlib/src/gpu.h"
#include "../../userlib/src/gpu_cuda.h"
#include "bench.h"
#include "upool.h"

/* One copy each way, or both at a time, of half the memory. */
static double peak_once(uint64_t device, char *host, size_t half, bool in,
			bool out)
{
	double start = bench_now();

	if (in)
		dev_copy(DEV_IN, device, host, half);
	if (out)
		dev_copy(DEV_OUT, device + half, host + half, half);
	dev_sync();
	return bench_rate((uint64_t)(in + out) * half, start, bench_now());
}

int bench_peak(struct config *c)
{
	static const char *const names[] = { "cudaMemcpyAsync to the GPU",
					     "cudaMemcpyAsync from the GPU",
					     "both at a time, together" };
	size_t half = c->bytes / 2;
	char *host = dev_alloc_pinned(2 * half);
	uint64_t device = dev_alloc(2 * half);
	unsigned int way, i;

	host_fill(host, 0, 2 * half / 4096, 4096, 1);
	for (way = 0; way < 3; way++) {
		struct row r = {
			.table = "The machine's own: pinned memory in one copy",
			.name = names[way],
			.unit = "GB/s",
			.block = half,
		};

		for (i = 0; i <= c->reps; i++) {
			double rate = peak_once(device, host, half, way != 1,
						way != 0);

			if (i)
				row_add(&r, rate);
		}
		row_print(&r);
		if (way < 2)
			c->peak[way] = row_best(&r);
	}
	dev_free(device);
	dev_free_pinned(host, 2 * half);
	return 0;
}

/* A pass over all slots: which goes where, and what is to be there after it. */
struct pass {
	struct attached *a;
	struct upool_copy *copies;
	uint64_t *addrs; /* of the GPU's slot that belongs to a slot of the
			    window */
	uint64_t seed;
};

/* No slot has the same number on both sides, and no two the same. */
static uint32_t slot_of(const struct attached *a, uint64_t window)
{
	return (uint32_t)((window * 5 + 3) % a->nr);
}

/* Which way the copy of a slot of the window goes, in a pass of both. */
static enum dev_dir way_of(int way, uint64_t window)
{
	return way == 2 ? (enum dev_dir)(window % 2) : (enum dev_dir)way;
}

static void prepare(struct pass *p, int way)
{
	struct attached *a = p->a;
	char *window = kvlift_gpu_window(a->gpu);
	uint64_t i;

	p->seed++;
	dev_poison(kvlift_gpu_base(a->gpu), a->nr * a->block);
	host_poison(window, a->nr * a->block);
	for (i = 0; i < a->nr; i++) {
		p->addrs[i] =
			kvlift_gpu_base(a->gpu) + slot_of(a, i) * a->block;
		p->copies[i] = (struct upool_copy){
			.op = way_of(way, i) == DEV_IN ? KVLIFT_CMD_IN
						       : KVLIFT_CMD_OUT,
			.window = (uint32_t)i,
			.slot = slot_of(a, i),
		};
	}
	if (way == DEV_IN) {
		host_fill(window, 0, a->nr, a->block, p->seed);
	} else if (way == DEV_OUT) {
		dev_fill(p->addrs, 0, a->nr, a->block, p->seed);
	} else {
		host_fill(window, 0, a->nr, a->block, p->seed);
		dev_fill(p->addrs, 0, a->nr, a->block, p->seed);
	}
	/* Of what is copied the other side has something else. */
	for (i = 0; way == 2 && i < a->nr; i++) {
		if (way_of(way, i) == DEV_IN)
			dev_poison(p->addrs[i], a->block);
		else
			host_poison(window + i * a->block, a->block);
	}
}

/* Both sides are to be the same now, whichever was copied. */
static void look(const struct pass *p)
{
	const struct attached *a = p->a;

	table_wrong(dev_wrong(p->addrs, 0, a->nr, a->block, p->seed),
		    a->nr * a->block, "in the GPU");
	table_wrong(host_wrong(kvlift_gpu_window(a->gpu), 0, a->nr, a->block,
			       p->seed),
		    a->nr * a->block, "in the window");
}

static int measure(struct pass *p, const struct config *c, int way,
		   struct row *r)
{
	unsigned int i;
	double start;
	int ret;

	for (i = 0; i <= c->reps; i++) {
		prepare(p, way);
		start = bench_now();
		ret = upool_copies(p->copies, p->a->nr);
		if (i)
			row_add(r, bench_rate(p->a->nr * p->a->block, start,
					      bench_now()));
		if (ret)
			return ret;
		look(p);
	}
	return 0;
}

static int pass_open(struct pass *p, struct attached *a, struct config *c,
		     size_t block)
{
	int ret = attach_open(a, c, block);

	if (ret)
		return ret;
	p->a = a;
	p->copies = calloc(a->nr, sizeof(*p->copies));
	p->addrs = calloc(a->nr, sizeof(*p->addrs));
	if (!p->copies || !p->addrs)
		abort();
	return 0;
}

static int one_size(struct config *c, size_t block)
{
	static const char *const names[] = { "mover to the GPU",
					     "mover from the GPU",
					     "mover, both at a time" };
	struct pass p = { .seed = block };
	struct attached a;
	int way, ret;

	ret = pass_open(&p, &a, c, block);
	if (ret)
		return ret;
	for (way = 0; way < 3 && !ret; way++) {
		struct row r = {
			.table =
				"The CUDA mover of the library, commands from user space",
			.name = names[way],
			.unit = "GB/s",
			.block = block,
			.target = way == 2	      ? 0.85
				  : block >= 2u << 20 ? 0.95
						      : 0.9,
			.peer = way == 2 ? c->peak[0] + c->peak[1]
					 : c->peak[way],
			.peer_name = way == 2 ? "the sum of both peaks"
					      : "the peak",
		};

		ret = measure(&p, c, way, &r);
		row_print(&r);
	}
	free(p.copies);
	free(p.addrs);
	attach_close(&a, c);
	return ret;
}

/* One way of copying small blocks in one direction, whichever attach chose. */
static int one_path(struct pass *p, const struct config *c, int way,
		    bool is_kernel)
{
	static const char *const names[2][2] = {
		{ "to the GPU, copy engine", "to the GPU, kernel" },
		{ "from the GPU, copy engine", "from the GPU, kernel" },
	};
	struct kvl_cuda *cuda = (struct kvl_cuda *)p->a->gpu->be;
	enum kvl_gpu_dir dir = way == DEV_IN ? KVL_GPU_IN : KVL_GPU_OUT;
	const struct kvl_cuda_way *by = is_kernel ? &cuda->by_kernel[dir]
						  : &cuda->by_driver[dir];
	uint32_t chosen = way == DEV_IN ? p->a->info.path_in
					: p->a->info.path_out;
	struct row r = {
		.table =
			"Small blocks: the mover's copy kernel beside the copy engine",
		.name = names[way][is_kernel],
		.unit = "GB/s",
		.block = p->a->block,
		.note = by->path == chosen ? "chosen by attach" : NULL,
	};
	char text[128];
	int ret = 0;

	if (by->rate) {
		/* The mover's: it is idle, and looks when commands come. */
		kvl_cuda_use(cuda, dir, by);
		ret = measure(p, c, way, &r);
		if (is_kernel && !cuda->kernel)
			r.note = "it was given up meanwhile: not the kernel's";
	} else {
		snprintf(text, sizeof(text), "no kernel: %s",
			 kvlift_strerror(p->a->info.kernel_error));
		r.note = p->a->info.kernel_error ? text : "no kernel";
	}
	row_print(&r);
	return ret;
}

static int small_size(struct config *c, size_t block)
{
	struct pass p = { .seed = block };
	struct attached a;
	int i, ret;

	ret = pass_open(&p, &a, c, block);
	if (ret)
		return ret;
	for (i = 0; i < 4 && !ret; i++)
		ret = one_path(&p, c, i / 2, i % 2);
	free(p.copies);
	free(p.addrs);
	attach_close(&a, c);
	return ret;
}

int bench_kernel(struct config *c)
{
	static const size_t blocks[] = { 16u << 10, 64u << 10, 256u << 10 };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < 3 && !ret; i++)
		ret = small_size(c, blocks[i]);
	return ret;
}

/* Slots of the other attachment are those of a window, in a pass of these. */
static void direct_prepare(struct pass *p, const uint64_t *sources)
{
	struct attached *a = p->a;
	uint64_t i;

	p->seed++;
	dev_fill(sources, 0, a->nr, a->block, p->seed);
	dev_poison(kvlift_gpu_base(a->gpu), a->nr * a->block);
	for (i = 0; i < a->nr; i++) {
		p->addrs[i] =
			kvlift_gpu_base(a->gpu) + slot_of(a, i) * a->block;
		p->copies[i] = (struct upool_copy){
			.op = KVLIFT_CMD_PEER,
			.window = (uint32_t)i,
			.slot = slot_of(a, i),
		};
	}
}

static int direct(struct pass *p, const struct config *c,
		  struct kvlift_gpu *other, struct row *r)
{
	struct attached *a = p->a;
	uint64_t *sources = calloc(a->nr, sizeof(*sources)), i;
	double start;
	int ret = sources ? 0 : -ENOMEM;

	for (i = 0; i < a->nr && sources; i++)
		sources[i] = kvlift_gpu_base(other) + i * a->block;
	for (i = 0; i <= c->reps && !ret; i++) {
		direct_prepare(p, sources);
		start = bench_now();
		ret = upool_copies(p->copies, a->nr);
		if (i)
			row_add(r, bench_rate(a->nr * a->block, start,
					      bench_now()));
		table_wrong(dev_wrong(p->addrs, 0, a->nr, a->block, p->seed),
			    a->nr * a->block, "copied directly");
	}
	free(sources);
	return ret;
}

/* Two attachments of one device: the way is that of several, but for the link. */
static int direct_size(struct config *c, size_t block)
{
	struct row r = {
		.table = "From one attachment to another, within the GPU",
		.name = "mover, directly",
		.unit = "GB/s",
		.block = block,
	};
	struct kvlift_gpu_opts opts = {
		.backend = KVLIFT_GPU_CUDA,
		.device = c->device,
		.bytes = c->bytes,
		.window_bytes = block,
		.name = "source",
	};
	struct kvlift_gpu *other = NULL;
	struct pass p = { .seed = block };
	struct attached a;
	int ret = attach_open(&a, c, block);

	if (ret)
		return ret;
	p.a = &a;
	p.copies = calloc(a.nr, sizeof(*p.copies));
	p.addrs = calloc(a.nr, sizeof(*p.addrs));
	if (!p.copies || !p.addrs)
		abort();
	ret = kvlift_gpu_attach(a.pool, NULL, &opts, &other);
	if (!ret)
		ret = kvlift_gpu_peer(a.gpu, other, true);
	if (!ret)
		ret = direct(&p, c, other, &r);
	if (ret)
		r.note = kvlift_strerror(ret);
	row_print(&r);
	kvlift_gpu_close(other);
	free(p.copies);
	free(p.addrs);
	attach_close(&a, c);
	return ret;
}

int bench_direct(struct config *c)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < SIZES && !ret; i++)
		ret = direct_size(c, bench_blocks[i]);
	return ret;
}

int bench_mover(struct config *c)
{
	unsigned int i;
	int ret = 0;

	/* There is nothing to compare with yet when only this is asked for. */
	if (c->peak[DEV_IN] <= 0)
		ret = bench_peak(c);
	for (i = 0; i < SIZES && !ret; i++)
		ret = one_size(c, bench_blocks[i]);
	return ret;
}
