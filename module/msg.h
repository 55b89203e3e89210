/* SPDX-License-Identifier: GPL-2.0-only */
/* One-line messages for who mounts: in the fsconfig log and in dmesg. */
#ifndef KVL_MSG_H
#define KVL_MSG_H

#include <linux/fs_context.h>
#include <linux/printk.h>

#undef pr_fmt
#define pr_fmt(fmt) "kvlift: " fmt

/* Evaluates to @err. errorfc() prints to dmesg itself when there is no log. */
#define kvl_msg(fc, err, fmt, ...) ({					\
	if ((fc)->log.log)						\
		pr_err_ratelimited(fmt "\n", ##__VA_ARGS__);		\
	errorfc(fc, fmt, ##__VA_ARGS__);					\
	(err);								\
})

#endif /* KVL_MSG_H */
