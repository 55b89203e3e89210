// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The nvme tier on a device that completes at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "bench.h"
#include "kvlift.h"
#include "util.h"

#define CRC	 "crypto_shash_tfm_digest"
#define DEPTH	 "64"
#define FIO_LONG 16 /* times as much as the short run */

struct cost {
	double promote, crc, fault; /* per block, block, MiB */
};

static int expect(const struct area *a, unsigned int tier)
{
	int64_t n = area_in_tier(a, tier);

	if (n == (int64_t)a->nr)
		return 0;
	error("%lld of %zu blocks are in %s", (long long)n, a->nr,
	      kvlift_tier_name(tier));
	return n < 0 ? (int)n : -EIO;
}

static int down(const struct area *a)
{
	int ret = area_demote(a, 0, a->nr);

	meter_settle();
	return ret ?: expect(a, KVLIFT_TIER_NVME);
}

static int promote(const struct area *a, double *cost)
{
	struct meter m;
	int ret;

	meter_start(&m);
	ret = area_promote(a, 0, a->nr);
	*cost = (double)meter_stop(&m) / (double)a->nr;
	return ret ?: expect(a, KVLIFT_TIER_DRAM);
}

static double per_mib(const struct meter *m, const struct area *a)
{
	return (double)meter_stop(m) /
	       ((double)a->nr * (double)a->block / (double)MIB);
}

static int measure(const char *dir, size_t block, size_t nr, struct cost *c)
{
	struct meter m;
	struct area a;
	uint64_t calls;
	double unseen;
	int ret, turn, stop;

	ret = area_make(&a, dir, block, nr);
	if (ret)
		return ret;
	for (turn = 0; turn < 2 && !ret; turn++) {
		area_touch(&a, true);
		ret = down(&a);
		ret = ret ?: promote(&a, &c->promote);
	}
	if (!ret)
		ret = down(&a);
	if (!ret) {
		meter_start(&m);
		area_touch(&a, false);
		c->fault = per_mib(&m, &a);
		ret = expect(&a, KVLIFT_TIER_DRAM);
	}
	ret = ret ?: down(&a);
	ret = ret ?: graph_start(CRC);
	if (!ret) {
		ret = promote(&a, &unseen);
		stop = graph_stop(nr, &c->crc, &calls);
		ret = ret ?: stop;
	}
	area_remove(&a);
	return ret;
}

/* Written, because a null_blk device answers faster where it never was. */
static int fill(const struct nullb *dev, size_t len)
{
	static char buf[1 << 20];
	size_t done;
	int fd, ret = 0;

	fd = open(dev->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	memset(buf, 0x5a, sizeof(buf));
	for (done = 0; done < len && !ret; done += sizeof(buf))
		if (write(fd, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
			ret = -EIO;
	if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

static int fio_once(const struct nullb *dev, size_t block, size_t nr,
		    unsigned int times, uint64_t *cost)
{
	char file[64], bs[32], size[32], io[32];
	const char *const argv[] = { "fio",
				     "--name=bench",
				     file,
				     "--rw=read",
				     bs,
				     "--iodepth=" DEPTH,
				     "--ioengine=io_uring",
				     "--fixedbufs=1",
				     "--direct=1",
				     "--gtod_reduce=1",
				     "--disk_util=0",
				     "--eta=never",
				     "--thread",
				     size,
				     io,
				     NULL };
	struct meter m;
	int ret;

	snprintf(file, sizeof(file), "--filename=%s", dev->path);
	snprintf(bs, sizeof(bs), "--bs=%zu", block);
	snprintf(size, sizeof(size), "--size=%zu", block * nr);
	snprintf(io, sizeof(io), "--io_size=%zu", block * nr * times);
	meter_settle();
	meter_start(&m);
	ret = bench_run(argv);
	*cost = meter_stop(&m);
	return ret;
}

/* The difference of a long and a short run leaves starting fio out. */
static int fio(const struct nullb *dev, size_t block, size_t nr, double *cost)
{
	uint64_t once = 0, more = 0;
	int ret;

	ret = fill(dev, block * nr);
	/* Unseen: the program is read. */
	ret = ret ?: fio_once(dev, block, nr, 1, &once);
	ret = ret ?: fio_once(dev, block, nr, 1, &once);
	ret = ret ?: fio_once(dev, block, nr, FIO_LONG, &more);
	if (ret) {
		error("fio: %s", strerror(-ret));
		return ret;
	}
	if (more <= once)
		return -ERANGE;
	*cost = (double)(more - once) / (double)((FIO_LONG - 1) * nr);
	return 0;
}

static int peer_fault(const char *dir, size_t block, size_t nr, bool swap,
		      double *cost)
{
	struct meter m;
	struct area a;
	int ret, turn;

	ret = area_make(&a, dir, block, nr);
	if (ret)
		return ret;
	for (turn = 0; turn < 2 && !ret; turn++) {
		area_touch(&a, true);
		ret = area_page_out(&a, swap);
		meter_settle();
		meter_start(&m);
		area_touch(&a, false);
		*cost = per_mib(&m, &a);
	}
	area_remove(&a);
	return ret;
}

/* The better of swap-in and of ext4 with its read-around. */
static int peer_faults(const struct nullb *dev, size_t block, size_t nr,
		       double *swapped, double *ext4)
{
	const char *const mkfs[] = { "mkfs.ext4", "-q", "-F", dev->path, NULL };
	struct scratch s;
	int ret;

	ret = group_enter();
	if (ret)
		return ret;
	ret = swap_on(dev);
	if (!ret) {
		ret = scratch_mount(&s, "tmpfs", "none", "huge=never");
		if (!ret) {
			ret = peer_fault(s.dir, block, nr, true, swapped);
			scratch_umount(&s);
		}
		swap_off(dev);
	}
	ret = ret ?: bench_run(mkfs);
	ret = ret ?: scratch_mount(&s, "ext4", dev->path, "");
	if (!ret) {
		ret = peer_fault(s.dir, block, nr, false, ext4);
		scratch_umount(&s);
	}
	group_leave();
	return ret;
}

static int block_size(struct bench *b, size_t block, size_t nr)
{
	double raw, swapped = 0, ext4 = 0;
	struct cost ours = { 0 };
	struct nullb dev;
	struct mkpool p;
	int ret;

	ret = nullb_make(&dev, "kvbench0", 4 * block * nr + 64 * MIB, 0);
	if (ret)
		return ret;
	ret = bench_pool(b, &p, block, nr, false, &dev);
	if (!ret) {
		ret = measure(p.dir, block, nr, &ours);
		mkpool_undo(&p);
	}
	ret = ret ?: fio(&dev, block, nr, &raw);
	if (!ret) {
		bench_add(b, "promote-nvme", block, "instr/block", ours.promote,
			  "fio io_uring + crc32c", raw + ours.crc, 1.0);
		ret = peer_faults(&dev, block, nr, &swapped, &ext4);
	}
	if (!ret)
		bench_add(b, "demand-fault-nvme", block, "instr/MiB",
			  ours.fault, swapped < ext4 ? "swap-in" : "ext4 mmap",
			  swapped < ext4 ? swapped : ext4, 0.5);
	nullb_remove(&dev);
	return ret;
}

int bench_io(struct bench *b)
{
	int ret, ret2;

	ret = block_size(b, 64 * KIB, b->quick ? 128 : 512);
	if (ret)
		bench_lacks(b, "nvme with 64K", ret);
	ret2 = block_size(b, 2 * MIB, b->quick ? 8 : 24);
	if (ret2)
		bench_lacks(b, "nvme with 2M", ret2);
	return ret ?: ret2;
}

/* Mapped read-only and read: down to @tier, without a write if it is clean. */
static int demote_read(struct area *a, unsigned int tier, double *cost)
{
	struct meter m;
	int ret;

	ret = area_remap(a, false);
	if (ret)
		return ret;
	area_touch(a, false);
	meter_settle();
	meter_start(&m);
	ret = area_demote(a, 0, a->nr);
	*cost = (double)meter_stop(&m) / (double)a->nr;
	ret = ret ?: expect(a, tier);
	if (!ret)
		ret = area_remap(a, true);
	return ret;
}

static int clean_cost(struct bench *b, size_t block, size_t nr, double *cost)
{
	struct nullb dev;
	int64_t writes = 0;
	struct mkpool p;
	struct area a;
	int ret, turn;

	ret = nullb_make(&dev, "kvbench0", 4 * block * nr + 64 * MIB, 0);
	if (ret)
		return ret;
	ret = bench_pool(b, &p, block, nr, false, &dev);
	if (ret)
		goto remove;
	ret = area_make(&a, p.dir, block, nr);
	if (ret)
		goto undo;
	area_touch(&a, true);
	ret = down(&a);
	for (turn = 0; turn < 2 && !ret; turn++) {
		ret = area_promote(&a, 0, nr);
		meter_settle();
		writes = nullb_writes(&dev);
		ret = ret ?: demote_read(&a, KVLIFT_TIER_NVME, cost);
	}
	if (!ret && nullb_writes(&dev) != writes) {
		error("%lld writes for clean blocks",
		      (long long)(nullb_writes(&dev) - writes));
		ret = -EIO;
	}
	area_remove(&a);
undo:
	mkpool_undo(&p);
remove:
	nullb_remove(&dev);
	return ret;
}

static int copy_cost(struct bench *b, size_t block, size_t nr, double *cost)
{
	struct mkpool p;
	struct area a;
	int ret, turn;

	ret = bench_pool(b, &p, block, nr, true, NULL);
	if (ret)
		return ret;
	ret = area_make(&a, p.dir, block, nr);
	if (!ret) {
		area_touch(&a, true);
		for (turn = 0; turn < 2 && !ret; turn++) {
			ret = demote_read(&a, KVLIFT_TIER_CXL, cost);
			ret = ret ?: area_promote(&a, 0, nr);
			meter_settle();
		}
		area_remove(&a);
	}
	mkpool_undo(&p);
	return ret;
}

static int clean_size(struct bench *b, size_t block, size_t nr, double target)
{
	double clean, copy;
	int ret;

	ret = clean_cost(b, block, nr, &clean);
	ret = ret ?: copy_cost(b, block, nr, &copy);
	if (!ret)
		bench_add(b, "demote-clean", block, "instr/block", clean,
			  "demote-dram-cxl", copy, target);
	return ret;
}

int bench_clean(struct bench *b)
{
	int ret, ret2;

	ret = clean_size(b, 64 * KIB, b->quick ? 128 : 512, 0.25);
	if (ret)
		bench_lacks(b, "clean demotion of 64K", ret);
	ret2 = clean_size(b, 2 * MIB, b->quick ? 8 : 24, 0.03);
	if (ret2)
		bench_lacks(b, "clean demotion of 2M", ret2);
	return ret ?: ret2;
}
