/* SPDX-License-Identifier: GPL-2.0-only */
/* One-line messages for who mounts: in the fsconfig log and in dmesg. */
#ifndef KVL_MSG_H
#define KVL_MSG_H

#include <linux/fs_context.h>
#include <linux/printk.h>

#undef pr_fmt
#define pr_fmt(fmt) "kvlift: " fmt

/* Returns @err, so that a check can end with it. */
__printf(3, 4)
int kvl_msg(struct fs_context *fc, int err, const char *fmt, ...);

#endif /* KVL_MSG_H */
