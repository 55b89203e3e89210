// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dma-buf as a tier: device memory that the CPU can address, mapped once. The
 * kernel copies, at once, as between memories; there is no mover to wait for.
 */
#include <linux/dma-buf.h>
#include <linux/iosys-map.h>
#include <linux/ktime.h>
#include <linux/mm.h>

#include "compat.h"
#include "gpu.h"
#include "move.h"

KVL_IMPORT_DMA_BUF;

int kvl_gpu_dmabuf_open(struct kvl_gpu *g, int fd, u64 bytes)
{
	struct dma_buf *buf = dma_buf_get(fd);
	struct iosys_map map;
	int err;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	if (buf->size < bytes) {
		dma_buf_put(buf);
		return -EINVAL;
	}
	err = dma_buf_vmap_unlocked(buf, &map);
	if (!err && map.is_iomem) {
		/* Nothing here copies from there at a speed worth having. */
		dma_buf_vunmap_unlocked(buf, &map);
		err = -EOPNOTSUPP;
	}
	if (err) {
		dma_buf_put(buf);
		return -EOPNOTSUPP;
	}
	down_write(&g->map_sem);
	g->dmabuf = buf;
	g->vmap = map.vaddr;
	up_write(&g->map_sem);
	return 0;
}

/* When the copies that are being made have ended. */
void kvl_gpu_dmabuf_close(struct kvl_gpu *g)
{
	struct dma_buf *buf;
	struct iosys_map map;

	down_write(&g->map_sem);
	buf = g->dmabuf;
	iosys_map_set_vaddr(&map, g->vmap);
	g->dmabuf = NULL;
	g->vmap = NULL;
	up_write(&g->map_sem);
	if (!buf)
		return;
	dma_buf_vunmap_unlocked(buf, &map);
	dma_buf_put(buf);
}

static void copy_now(struct kvl_gpu *g, struct kvl_copy *copy)
{
	struct kvl_pool *pool = copy->pool;
	size_t n = pool->block_size;
	bool in = kvl_addr_is_gpu(copy->dst);
	u64 mem = copy->stage ?: in ? copy->src : copy->dst;
	void *cpu = folio_address(kvl_addr_folio(pool, mem));
	void *dev = g->vmap + (size_t)kvlift_loc_slot(in ? copy->dst :
							   copy->src) * n;

	if (dma_buf_begin_cpu_access(g->dmabuf, in ? DMA_TO_DEVICE :
						     DMA_FROM_DEVICE)) {
		copy->error = -EIO;
		return;
	}
	/* What has failed in memory costs the copy, not the machine. */
	if (copy_mc_to_kernel(in ? dev : cpu, in ? cpu : dev, n))
		copy->error = -EHWPOISON;
	dma_buf_end_cpu_access(g->dmabuf, in ? DMA_TO_DEVICE :
					       DMA_FROM_DEVICE);
}

void kvl_gpu_dmabuf_submit(struct kvl_gpu *g, struct kvl_copy *copy)
{
	copy->error = 0;
	down_read(&g->map_sem);
	if (g->dmabuf) {
		copy_now(g, copy);
		if (kvl_addr_is_gpu(copy->dst))
			WRITE_ONCE(g->nr_in, g->nr_in + 1);
		else
			WRITE_ONCE(g->nr_out, g->nr_out + 1);
	} else {
		copy->error = -ENODEV;
	}
	up_read(&g->map_sem);
	copy->t_done = ktime_get_ns();
	copy->done(copy);
}
