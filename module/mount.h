/* SPDX-License-Identifier: GPL-2.0-only */
/* What a mount or a remount asks for: options, members, budgets. */
#ifndef KVL_MOUNT_H
#define KVL_MOUNT_H

#include <linux/fs_context.h>
#include <linux/fs_parser.h>

#include "pool.h"

/* Members that one mount may name, over all tiers. */
#define KVL_MOUNT_MEMBERS	(3 * KVLIFT_MAX_MEMBERS)

struct kvl_mount_member {
	unsigned int tier;
	struct kvl_member_opt m;
};

/* What the options said; lives as long as the fs_context. */
struct kvl_mount {
	struct kvl_mount_opts o;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	bool has_uid, has_gid, has_mode, has_low, has_high, has_floor, has_hard;
	bool has_writeback, has_depth, has_discard, has_poll, has_interleave;
	bool has_cpu, has_scan;
	unsigned int nr;
	struct kvl_mount_member opts[KVL_MOUNT_MEMBERS];
};

/* mount.c */
extern const struct fs_parameter_spec kvl_mount_params[];
int kvl_mount_parse(struct fs_context *fc, struct fs_parameter *param);
int kvl_mount_check_watermarks(struct fs_context *fc, u32 low, u32 high);
int kvl_mount_add_members(struct kvl_pool *pool, struct fs_context *fc,
			  struct kvl_mount *ctx);
u32 kvl_mount_default_block(const struct kvl_mount *ctx);

/* hard: waits for the slots, and fails when they are too few. */
int kvl_mount_wait_hard(struct kvl_pool *pool, struct fs_context *fc);

/* remount.c */
int kvl_remount(struct fs_context *fc);

#endif /* KVL_MOUNT_H */
