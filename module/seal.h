/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVL_SEAL_H
#define KVL_SEAL_H

#include "region.h"

int kvl_seal_blocks(struct kvl_region *r, u64 first, u64 last, u64 *done);
int kvl_seal_file(struct kvl_region *r);

/* It is sealed, or about to be. */
static inline bool kvl_seal_is_on(struct kvl_region *r)
{
	return atomic_read(&r->inode.i_mapping->i_mmap_writable) < 0;
}

#endif /* KVL_SEAL_H */
