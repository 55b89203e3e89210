// SPDX-License-Identifier: GPL-2.0-only
/* Mount options and the members they name. */
#include <linux/nodemask.h>

#include "mount.h"
#include "msg.h"
#include "place.h"

enum { P_BLOCK, P_DRAM, P_CXL, P_NVME, P_UID, P_GID, P_MODE, P_HARD, P_LOW,
	P_HIGH, P_FLOOR, P_WRITEBACK, P_DEPTH, P_DISCARD, P_POLL, P_INTERLEAVE,
	P_CPU, P_SCAN };

const struct fs_parameter_spec kvl_mount_params[] = {
	fsparam_string("block", P_BLOCK),
	fsparam_string("dram", P_DRAM),
	fsparam_string("cxl", P_CXL),
	fsparam_string("nvme", P_NVME),
	fsparam_uid("uid", P_UID),
	fsparam_gid("gid", P_GID),
	fsparam_u32oct("mode", P_MODE),
	fsparam_flag("hard", P_HARD),
	fsparam_u32("low", P_LOW),
	fsparam_u32("high", P_HIGH),
	fsparam_u32("writeback", P_WRITEBACK),
	fsparam_u32("floor", P_FLOOR),
	fsparam_u32("depth", P_DEPTH),
	fsparam_flag_no("discard", P_DISCARD),
	fsparam_flag_no("poll", P_POLL),
	fsparam_flag_no("interleave", P_INTERLEAVE),
	fsparam_u32("cpu", P_CPU),
	fsparam_u32("scan", P_SCAN),
	{}
};

int kvl_msg(struct fs_context *fc, int err, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	errorfc(fc, "%pV", &vaf);
	va_end(args);
	/* Without a log errorfc() has printed to dmesg itself. */
	if (fc->log.log) {
		va_start(args, fmt);
		pr_err_ratelimited("%pV\n", &vaf);
		va_end(args);
	}
	return err;
}

static int parse_member(struct fs_context *fc, struct kvl_mount *ctx,
			unsigned int tier, const char *s)
{
	struct kvl_mount_member *opt = &ctx->opts[ctx->nr];
	const char *name = kvl_tier_name(tier);
	int err;

	if (ctx->nr == KVL_MOUNT_MEMBERS)
		return kvl_msg(fc, -E2BIG, "%s=: more than %u members", name,
			       KVL_MOUNT_MEMBERS);
	opt->tier = tier;
	if (tier == KVLIFT_TIER_NVME) {
		err = kvl_parse_device(s, &opt->m);
		if (err)
			return kvl_msg(fc, err,
				       "nvme=%s: not DEVICE[:SIZE], as in /dev/nvme0n1:100G",
				       s);
	} else {
		err = kvl_parse_memory(s, &opt->m);
		if (err)
			return kvl_msg(fc, err,
				       "%s=%s: not SIZE[@NODE[:DISTANCE]], as in 8G@0",
				       name, s);
		if (tier == KVLIFT_TIER_CXL && opt->m.node < 0)
			return kvl_msg(fc, -EINVAL,
				       "cxl=%s: say which node, as in cxl=%s@1",
				       s, s);
	}
	ctx->nr++;
	return 0;
}

int kvl_mount_parse(struct fs_context *fc, struct fs_parameter *param)
{
	struct kvl_mount *ctx = fc->fs_private;
	struct fs_parse_result result;
	int opt = fs_parse(fc, kvl_mount_params, param, &result);

	if (opt == -ENOPARAM) {
		opt = vfs_parse_fs_param_source(fc, param);
		if (opt != -ENOPARAM)
			return opt;
		return kvl_msg(fc, -EINVAL,
			       "unknown option '%s'; there are block, dram, cxl, nvme, uid, gid, mode, hard, low, high, floor, writeback, depth, [no]discard, [no]poll, [no]interleave, cpu, scan",
			       param->key);
	}
	if (opt < 0)
		return opt;
	switch (opt) {
	case P_BLOCK:
		if (kvl_parse_block(param->string, &ctx->o.block_size))
			return kvl_msg(fc, -EINVAL,
				       "block=%s: not a power of two from 16K to 2M",
				       param->string);
		break;
	case P_DRAM:
		return parse_member(fc, ctx, KVLIFT_TIER_DRAM, param->string);
	case P_CXL:
		return parse_member(fc, ctx, KVLIFT_TIER_CXL, param->string);
	case P_NVME:
		return parse_member(fc, ctx, KVLIFT_TIER_NVME, param->string);
	case P_UID:
		ctx->uid = result.uid;
		ctx->has_uid = true;
		break;
	case P_GID:
		ctx->gid = result.gid;
		ctx->has_gid = true;
		break;
	case P_MODE:
		if (result.uint_32 & ~07777)
			return kvl_msg(fc, -EINVAL,
				       "mode=%o: not a mode", result.uint_32);
		ctx->mode = result.uint_32;
		ctx->has_mode = true;
		break;
	case P_HARD:
		ctx->o.hard = true;
		ctx->has_hard = true;
		break;
	case P_LOW:
		ctx->o.low = result.uint_32;
		ctx->has_low = true;
		break;
	case P_WRITEBACK:
		ctx->o.writeback = result.uint_32;
		ctx->has_writeback = true;
		break;
	case P_HIGH:
		ctx->o.high = result.uint_32;
		ctx->has_high = true;
		break;
	case P_FLOOR:
		if (result.uint_32 > 100)
			return kvl_msg(fc, -EINVAL,
				       "floor=%u: percent of the DRAM budget, at most 100",
				       result.uint_32);
		ctx->o.floor = result.uint_32;
		ctx->has_floor = true;
		break;
	case P_DEPTH:
		if (!result.uint_32 || result.uint_32 > KVL_DEPTH_MAX)
			return kvl_msg(fc, -EINVAL,
				       "depth=%u: blocks in flight per device, from 1 to %u",
				       result.uint_32, KVL_DEPTH_MAX);
		ctx->o.depth = result.uint_32;
		ctx->has_depth = true;
		break;
	case P_DISCARD:
		ctx->o.nodiscard = result.negated;
		ctx->has_discard = true;
		break;
	case P_POLL:
		ctx->o.poll = !result.negated;
		ctx->has_poll = true;
		break;
	case P_INTERLEAVE:
		ctx->o.interleave = !result.negated;
		ctx->has_interleave = true;
		break;
	case P_CPU:
		if (!result.uint_32 || result.uint_32 > 100)
			return kvl_msg(fc, -EINVAL,
				       "cpu=%u: percent of a CPU, from 1 to 100",
				       result.uint_32);
		ctx->o.cpu = result.uint_32;
		ctx->has_cpu = true;
		break;
	case P_SCAN:
		if (result.uint_32 > KVL_SCAN_MAX)
			return kvl_msg(fc, -EINVAL,
				       "scan=%u: percent of a CPU, at most 100; 0 for no scan",
				       result.uint_32);
		ctx->o.scan = result.uint_32;
		ctx->has_scan = true;
		break;
	}
	return 0;
}

int kvl_mount_check_watermarks(struct fs_context *fc, u32 low, u32 high)
{
	if (low > high || high > 50)
		return kvl_msg(fc, -EINVAL,
			       "low=%u,high=%u: percent of free slots, with low <= high <= 50",
			       low, high);
	return 0;
}

static int add_node(struct kvl_pool *pool, struct fs_context *fc,
		    unsigned int tier, int node, u64 bytes, u32 distance)
{
	struct kvl_tier *t = &pool->tiers[tier];
	struct kvl_member *m;
	unsigned int i;

	if (t->nr_members == KVLIFT_MAX_MEMBERS)
		return kvl_msg(fc, -E2BIG, "%s=: more than %u members",
			       kvl_tier_name(tier), KVLIFT_MAX_MEMBERS);
	for (i = 0; i < t->nr_members; i++)
		if (t->members[i]->node == node)
			return kvl_msg(fc, -EINVAL,
				       "%s=%lluK@%d: node %d is given twice",
				       kvl_tier_name(tier), bytes >> 10, node,
				       node);
	m = kvl_mem_create(pool, fc, tier, node, bytes);
	if (IS_ERR(m))
		return PTR_ERR(m);
	m->said = distance;
	return 0;
}

/* dram=SIZE without a node: in equal shares on the nodes that have CPUs. */
static int add_spread(struct kvl_pool *pool, struct fs_context *fc,
		      unsigned int tier, u64 bytes)
{
	struct kvl_tier *t = &pool->tiers[tier];
	unsigned int nr = 0;
	int node, err;
	u64 share;

	for_each_node_state(node, N_CPU)
		nr += node_state(node, N_NORMAL_MEMORY);
	if (!nr)
		return kvl_msg(fc, -EINVAL,
			       "%s=: no node has both CPUs and memory; name one with @NODE",
			       kvl_tier_name(tier));
	share = bytes;
	if (nr > 1)
		share = DIV_ROUND_UP_ULL(bytes >> pool->block_shift, nr)
			<< pool->block_shift;
	for_each_node_state(node, N_CPU) {
		if (!node_state(node, N_NORMAL_MEMORY))
			continue;
		err = add_node(pool, fc, tier, node, share, 0);
		if (err)
			return err;
		t->members[t->nr_members - 1]->spread = true;
	}
	return 0;
}

static int add_member(struct kvl_pool *pool, struct fs_context *fc,
		      const struct kvl_mount_member *opt)
{
	struct kvl_tier *t = &pool->tiers[opt->tier];
	struct kvl_member *m;

	if (opt->tier == KVLIFT_TIER_NVME) {
		if (t->nr_members == KVLIFT_MAX_MEMBERS)
			return kvl_msg(fc, -E2BIG,
				       "nvme=: more than %u members",
				       KVLIFT_MAX_MEMBERS);
		m = kvl_bdev_create(pool, fc, opt->m.path, opt->m.bytes);
		return PTR_ERR_OR_ZERO(m);
	}
	if (opt->m.node < 0)
		return add_spread(pool, fc, opt->tier, opt->m.bytes);
	return add_node(pool, fc, opt->tier, opt->m.node, opt->m.bytes,
			opt->m.distance);
}

int kvl_mount_wait_hard(struct kvl_pool *pool, struct fs_context *fc)
{
	unsigned int id, i;
	int ret;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++) {
			struct kvl_member *m = t->members[i];

			ret = kvl_mem_wait_filled(m);
			if (ret < 0)
				return ret;
			if (ret)
				return kvl_msg(fc, -ENOMEM,
					       "hard: %s %s gave %llu of %llu slots of %u KiB; ask for less, choose smaller blocks, or mount without 'hard'",
					       kvl_tier_name(id), m->name,
					       m->got, m->asked,
					       pool->block_size >> 10);
		}
	}
	return 0;
}

int kvl_mount_add_members(struct kvl_pool *pool, struct fs_context *fc,
			  struct kvl_mount *ctx)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ctx->nr; i++)
		err = add_member(pool, fc, &ctx->opts[i]);
	if (err)
		return err;
	if (!kvl_pool_has_tier(pool, KVLIFT_TIER_DRAM) &&
	    !kvl_pool_has_tier(pool, KVLIFT_TIER_CXL))
		return kvl_msg(fc, -EINVAL,
			       "no memory: give dram=SIZE or cxl=SIZE@NODE");
	err = kvl_bdev_check_set(pool, fc) ?: kvl_place_start(pool);
	if (!err && pool->opts.hard)
		err = kvl_mount_wait_hard(pool, fc);
	return err;
}

/* What the first device was formatted for, else the largest. */
u32 kvl_mount_default_block(const struct kvl_mount *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->nr; i++)
		if (ctx->opts[i].tier == KVLIFT_TIER_NVME)
			return kvl_bdev_peek_block(ctx->opts[i].m.path) ?:
				       KVLIFT_BLOCK_MAX;
	return KVLIFT_BLOCK_MAX;
}
