/* SPDX-License-Identifier: GPL-2.0-only */
/* Copies on a device made ahead of need. */
#ifndef KVL_STORE_H
#define KVL_STORE_H

#include "policy.h"

void kvl_store_work(struct work_struct *work);
void kvl_store_start(struct kvl_pool *pool);
void kvl_store_stop(struct kvl_pool *pool);
void kvl_store_queue(struct kvl_region *r, u64 first, u64 last);
void kvl_store_forget(struct kvl_region *r);

#endif /* KVL_STORE_H */
