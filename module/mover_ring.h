/* SPDX-License-Identifier: GPL-2.0-only */
/* What mover.c, the descriptor, and mover_ring.c, its rings, share. */
#ifndef KVL_MOVER_RING_H
#define KVL_MOVER_RING_H

#include <linux/mm.h>

#include "gpu.h"

/* A page for struct kvlift_mover_ring. */
#define SQ_OFFSET	PAGE_SIZE

/* Each command may be cancelled once; and so that nobody counts to the end. */
static inline u32 kvl_ring_entries(const struct kvl_gpu *g)
{
	return 2 * g->depth;
}

static inline size_t kvl_cq_offset(const struct kvl_gpu *g)
{
	return SQ_OFFSET +
	       PAGE_ALIGN(kvl_ring_entries(g) * sizeof(struct kvlift_cmd));
}

static inline size_t kvl_mover_ring_bytes(const struct kvl_gpu *g)
{
	return kvl_cq_offset(g) +
	       PAGE_ALIGN(kvl_ring_entries(g) * sizeof(struct kvlift_done));
}

static inline bool kvl_mover_is_up(const struct kvl_gpu *g)
{
	return g->state == KVLIFT_MOVER_LIVE ||
	       g->state == KVLIFT_MOVER_DRAINING;
}

/* Who waits for commands, or for the end, looks again. */
void kvl_mover_wake(struct kvl_gpu *g);
/* What the mover says is done; how many. Needs g->enter. */
u32 kvl_mover_take_done(struct kvl_gpu *g);
/* The current thread copies. */
bool kvl_mover_remember_current(struct kvl_gpu *g);

#endif /* KVL_MOVER_RING_H */
