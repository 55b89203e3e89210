/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accessed bits: what the page tables say about blocks that are mapped, which
 * no fault and no hint tells. A worker walks the mappings of the pool's files in
 * the processes that have mapped one; a block with an accessed bit set, which
 * is cleared then, counts as touched, unless it was touched otherwise since
 * the walk before.
 *
 * A round begins 1 to 60 s after the one before, the sooner the more of the
 * blocks were found touched, and works in slices that the option scan= bounds
 * to a share of one CPU.
 *
 * No TLB is flushed, as anywhere on x86: a CPU that goes on using a
 * translation that it has cached does not set the bit again, so a block that
 * is in use without pause may be missed in a round. What a device, a GPU or a
 * guest of KVM accesses sets no bit in these tables at all.
 *
 * Lifetime: pool->scan_mms holds a reference on each mm_struct (mmgrab), not
 * on its address space, so a process can end at any time. Only the worker and
 * the end of the pool take entries out; the worker does when the address space
 * is gone, or has no mapping of the pool any more. mmap_lock is only tried.
 * With it held and users left, tables and VMAs stay: exit_mmap() takes it for
 * writing before it frees them.
 */
#ifndef KVL_SCAN_H
#define KVL_SCAN_H

#include "region.h"

void kvl_scan_prepare(struct kvl_pool *pool);
void kvl_scan_stop(struct kvl_pool *pool);

/* The option has changed. */
void kvl_scan_kick(struct kvl_pool *pool);

/* Called with mmap_lock when a VMA of the pool's appears in its mm. */
void kvl_scan_add(struct kvl_pool *pool, struct vm_area_struct *vma);

/*
 * A block of 2 MiB is mapped with its accessed bit clear, so that what is found
 * is an access and not the fault. Not smaller ones: to set the bit of each of
 * their pages takes the processor longer than the fault saves, and a touch by a
 * fault is known and not counted twice.
 */
void kvl_scan_born_old(struct kvl_pool *pool, struct vm_area_struct *vma);

/*
 * Looks at the caller's own mappings of @r at once. 0, -EOPNOTSUPP where
 * there is no scan, -EINTR when the task is being killed.
 */
int kvl_scan_region(struct kvl_region *r);

/* Whether accessed bits can be had here. */
bool kvl_scan_possible(void);

/* The line in sysfs. */
int kvl_scan_show(struct kvl_pool *pool, char *buf);

#endif /* KVL_SCAN_H */
