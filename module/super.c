// SPDX-License-Identifier: GPL-2.0-only
/* Mount, remount, statfs, unmount. */
#include <crypto/hash.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/idr.h>
#include <linux/nodemask.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "compat.h"
#include "domain.h"
#include "drain.h"
#include "inode.h"
#include "move.h"
#include "msg.h"
#include "params.h"
#include "policy.h"
#include "store.h"

/* Members that one mount may name, over all tiers. */
#define MAX_OPTS	(3 * KVLIFT_MAX_MEMBERS)

struct opt {
	unsigned int tier;
	struct kvl_member_opt m;
};

/* What the options said; lives as long as the fs_context. */
struct ctx {
	struct kvl_mount_opts o;
	kuid_t uid;
	kgid_t gid;
	umode_t mode;
	bool has_uid, has_gid, has_mode, has_low, has_high, has_floor, has_hard;
	bool has_writeback, has_depth, has_discard, has_poll;
	unsigned int nr;
	struct opt opts[MAX_OPTS];
};

enum { P_BLOCK, P_DRAM, P_CXL, P_NVME, P_UID, P_GID, P_MODE, P_HARD, P_LOW,
	P_HIGH, P_FLOOR, P_WRITEBACK, P_DEPTH, P_DISCARD, P_POLL };

static const struct fs_parameter_spec params[] = {
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
	{}
};

static DEFINE_IDA(pool_ids);

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

static int parse_member(struct fs_context *fc, struct ctx *ctx,
			unsigned int tier, const char *s)
{
	struct opt *opt = &ctx->opts[ctx->nr];
	const char *name = kvl_tier_name(tier);
	int err;

	if (ctx->nr == MAX_OPTS)
		return kvl_msg(fc, -E2BIG, "%s=: more than %u members", name,
			       MAX_OPTS);
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
				       "%s=%s: not SIZE[@NODE], as in 8G@0",
				       name, s);
		if (tier == KVLIFT_TIER_CXL && opt->m.node < 0)
			return kvl_msg(fc, -EINVAL,
				       "cxl=%s: say which node, as in cxl=%s@1",
				       s, s);
	}
	ctx->nr++;
	return 0;
}

static int parse_param(struct fs_context *fc, struct fs_parameter *param)
{
	struct ctx *ctx = fc->fs_private;
	struct fs_parse_result result;
	int opt = fs_parse(fc, params, param, &result);

	if (opt == -ENOPARAM) {
		opt = vfs_parse_fs_param_source(fc, param);
		if (opt != -ENOPARAM)
			return opt;
		return kvl_msg(fc, -EINVAL,
			       "unknown option '%s'; there are block, dram, cxl, nvme, uid, gid, mode, hard, low, high, floor, writeback, depth, [no]discard, [no]poll",
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
	}
	return 0;
}

static int check_watermarks(struct fs_context *fc, u32 low, u32 high)
{
	if (low > high || high > 50)
		return kvl_msg(fc, -EINVAL,
			       "low=%u,high=%u: percent of free slots, with low <= high <= 50",
			       low, high);
	return 0;
}

static struct kvl_pool *pool_create(void)
{
	struct kvl_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	unsigned int i;

	if (!pool)
		return NULL;
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		kvl_tier_init(&pool->tiers[i], pool, i);
	init_waitqueue_head(&pool->slot_wait);
	init_waitqueue_head(&pool->move_wait);
	spin_lock_init(&pool->resize_lock);
	spin_lock_init(&pool->prefetch_lock);
	spin_lock_init(&pool->domain_lock);
	INIT_LIST_HEAD(&pool->domains);
	for (i = 0; i < ARRAY_SIZE(pool->prefetch_list); i++)
		INIT_LIST_HEAD(&pool->prefetch_list[i]);
	INIT_WORK(&pool->prefetch, kvl_prefetch_work);
	spin_lock_init(&pool->store_lock);
	INIT_LIST_HEAD(&pool->store_list);
	INIT_DELAYED_WORK(&pool->store, kvl_store_work);
	kvl_pressure_prepare(pool);
	INIT_DELAYED_WORK(&pool->drain, kvl_drain_work);
	pool->policy = &kvl_policy_default;
	generate_random_uuid(pool->uuid.b);
	atomic_inc(&kvl_objects.pools);
	pool->id = UINT_MAX;
	return pool;
}

static int pool_init(struct kvl_pool *pool, struct fs_context *fc,
		     struct ctx *ctx)
{
	int id = ida_alloc(&pool_ids, GFP_KERNEL);

	if (id < 0)
		return id;
	pool->id = id;
	pool->opts = ctx->o;
	pool->block_size = ctx->o.block_size;
	pool->block_shift = ilog2(pool->block_size);
	pool->page_shift = pool->block_shift - PAGE_SHIFT;
	pool->inline_max = pool->block_size / 8;
	pool->crc = crypto_alloc_shash("crc32c", 0, 0);
	if (IS_ERR(pool->crc)) {
		int err = PTR_ERR(pool->crc);

		pool->crc = NULL;
		return kvl_msg(fc, err,
			       "no crc32c in this kernel's crypto API (modprobe crc32c)");
	}
	pool->counters = alloc_percpu(struct kvl_counters);
	pool->move_mempool = kvl_move_pool_create();
	pool->wq = alloc_workqueue("kvlift-%d",
				   WQ_UNBOUND | WQ_FREEZABLE | WQ_SYSFS, 0, id);
	pool->io_wq = alloc_workqueue("kvlift-io-%d",
				      WQ_UNBOUND | WQ_HIGHPRI |
					      WQ_MEM_RECLAIM | WQ_SYSFS,
				      0, id);
	pool->done = kvl_move_done_create(pool);
	if (!pool->counters || !pool->move_mempool || !pool->done || !pool->wq ||
	    !pool->io_wq)
		return -ENOMEM;
	return 0;
}

/* Nothing of the pool is in use any more but what it allocated itself. */
static void pool_destroy(struct kvl_pool *pool)
{
	int i;

	kvl_stats_remove_pool(pool);
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		kvl_tier_drain(&pool->tiers[i]);
	/* Filling may have started one again. */
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		cancel_delayed_work_sync(&pool->tiers[i].reclaim);
	for (i = KVLIFT_NR_TIERS - 1; i >= 0; i--)
		kvl_tier_destroy(&pool->tiers[i]);
	if (pool->io_wq)
		destroy_workqueue(pool->io_wq);
	if (pool->wq)
		destroy_workqueue(pool->wq);
	mempool_destroy(pool->move_mempool);
	free_percpu(pool->done);
	if (pool->root_domain)
		kvl_domain_put(pool->root_domain);
	free_percpu(pool->counters);
	if (pool->crc)
		crypto_free_shash(pool->crc);
	if (pool->id != UINT_MAX)
		ida_free(&pool_ids, pool->id);
	kfree(pool);
	atomic_dec(&kvl_objects.pools);
}

static int add_node(struct kvl_pool *pool, struct fs_context *fc,
		    unsigned int tier, int node, u64 bytes)
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
	return PTR_ERR_OR_ZERO(m);
}

/* dram=SIZE without a node: in equal shares on the nodes that have CPUs. */
static int add_spread(struct kvl_pool *pool, struct fs_context *fc,
		      unsigned int tier, u64 bytes)
{
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
		err = add_node(pool, fc, tier, node, share);
		if (err)
			return err;
	}
	return 0;
}

static int add_member(struct kvl_pool *pool, struct fs_context *fc,
		      const struct opt *opt)
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
	return add_node(pool, fc, opt->tier, opt->m.node, opt->m.bytes);
}

/* hard: waits for the slots, and fails when they are too few. */
static int wait_hard(struct kvl_pool *pool, struct fs_context *fc)
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

static int add_members(struct kvl_pool *pool, struct fs_context *fc,
		       struct ctx *ctx)
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
	err = kvl_bdev_check_set(pool, fc);
	if (!err && pool->opts.hard)
		err = wait_hard(pool, fc);
	return err;
}

/* What the first device was formatted for, else the largest. */
static u32 default_block(const struct ctx *ctx)
{
	unsigned int i;

	for (i = 0; i < ctx->nr; i++)
		if (ctx->opts[i].tier == KVLIFT_TIER_NVME)
			return kvl_bdev_peek_block(ctx->opts[i].m.path) ?:
				       KVLIFT_BLOCK_MAX;
	return KVLIFT_BLOCK_MAX;
}

static const struct super_operations sops;

static int fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct ctx *ctx = fc->fs_private;
	struct kvl_domain *root;
	struct kvl_pool *pool;
	struct inode *inode;
	int err;

	if (!ctx->has_low)
		ctx->o.low = min(KVL_LOW_DEFAULT, ctx->has_high ? ctx->o.high :
							KVL_LOW_DEFAULT);
	if (!ctx->has_writeback)
		ctx->o.writeback = KVL_WRITEBACK_DEFAULT;
	if (!ctx->has_high)
		ctx->o.high = max(KVL_HIGH_DEFAULT, ctx->o.low);
	if (!ctx->has_depth)
		ctx->o.depth = KVL_DEPTH_DEFAULT;
	err = check_watermarks(fc, ctx->o.low, ctx->o.high);
	if (err)
		return err;
	if (!ctx->has_floor)
		ctx->o.floor = KVL_FLOOR_DEFAULT;
	if (!ctx->o.block_size)
		ctx->o.block_size = default_block(ctx);
	pool = pool_create();
	if (!pool)
		return -ENOMEM;
	/* From here on kill_sb() cleans up. */
	sb->s_fs_info = pool;
	pool->sb = sb;
	sb->s_magic = KVLIFT_SUPER_MAGIC;
	/* Whole blocks, so that rounding up never overflows. */
	sb->s_maxbytes = MAX_LFS_FILESIZE & ~(loff_t)(KVLIFT_BLOCK_MAX - 1);
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_time_gran = 1;
	sb->s_op = &sops;
	sb->s_xattr = kvl_xattr_handlers;
	sb->s_iflags |= SB_I_NOEXEC | SB_I_NODEV;
	sb->s_flags |= SB_NODEV | SB_NOEXEC;

	err = pool_init(pool, fc, ctx) ?: add_members(pool, fc, ctx);
	if (err)
		return err;
	kvl_pool_resized(pool);
	err = kvl_pressure_start(pool);
	if (err)
		return err;
	super_set_uuid(sb, pool->uuid.b, sizeof(pool->uuid));

	root = kvl_domain_create(pool, NULL, KVL_ROOT_ID);
	if (IS_ERR(root))
		return PTR_ERR(root);
	pool->root_domain = root;
	inode = kvl_inode_new(&nop_mnt_idmap, sb, NULL,
			      S_IFDIR | (ctx->has_mode ? ctx->mode : 0755), 0);
	if (!inode)
		return -ENOMEM;
	if (ctx->has_uid)
		inode->i_uid = ctx->uid;
	if (ctx->has_gid)
		inode->i_gid = ctx->gid;
	sb->s_root = d_make_root(inode);
	if (!sb->s_root)
		return -ENOMEM;
	kvl_store_start(pool);
	err = kvl_stats_add_pool(pool);
	if (err)
		return err;
	/* Last, so that a mount that fails writes to no device. */
	err = kvl_bdev_claim(pool, fc);
	if (!err)
		pr_info("pool %u: mounted, blocks of %u KiB%s\n", pool->id,
			pool->block_size >> 10,
			kvl_has_btf() ? "" : ", no module BTF: no policies");
	return err;
}

static int get_tree(struct fs_context *fc)
{
	return get_tree_nodev(fc, fill_super);
}

/* The member an option of a remount means. */
static struct kvl_member *find_member(struct kvl_pool *pool,
				      const struct opt *opt)
{
	struct kvl_tier *t = &pool->tiers[opt->tier];
	unsigned int i;

	if (opt->tier != KVLIFT_TIER_NVME && opt->m.node < 0)
		return t->nr_members == 1 ? t->members[0] : NULL;
	for (i = 0; i < t->nr_members; i++) {
		struct kvl_member *m = t->members[i];

		if (opt->tier == KVLIFT_TIER_NVME ?
			    !strcmp(kvl_bdev_path(m), opt->m.path) :
			    m->node == opt->m.node)
			return m;
	}
	return NULL;
}

/* What a remount wants of one member; the last option for it counts. */
struct change {
	struct kvl_member *m;
	u64 asked;
};

static int collect(struct kvl_pool *pool, struct fs_context *fc,
		   struct ctx *ctx, struct change *c, unsigned int *nr)
{
	unsigned int i, j;

	*nr = 0;
	for (i = 0; i < ctx->nr; i++) {
		const struct opt *opt = &ctx->opts[i];
		struct kvl_member *m = find_member(pool, opt);
		const char *name = kvl_tier_name(opt->tier);

		if (!m)
			return kvl_msg(fc, -EINVAL,
				       "%s=: the pool has no such member (or several: name the node); a remount changes budgets, it adds and removes nothing",
				       name);
		if (!opt->m.bytes)
			continue;
		for (j = 0; j < *nr && c[j].m != m; j++)
			;
		c[j].m = m;
		c[j].asked = opt->m.bytes >> pool->block_shift;
		if (!c[j].asked)
			return kvl_msg(fc, -EINVAL,
				       "%s=%lluK: less than one block of %u KiB",
				       name, opt->m.bytes >> 10,
				       pool->block_size >> 10);
		if (j == *nr)
			++*nr;
	}
	return 0;
}

/* By how many slots a change would alter what there is. */
static s64 gain(const struct change *c)
{
	struct kvl_member *m = c->m;
	s64 have = kvl_member_target(m);

	if (!m->filling)
		have = min(have, (s64)(m->got - m->nlost));
	return c->asked > m->asked ? (s64)c->asked - have :
				     min((s64)c->asked, have) - have;
}

/* Carries out the changes; a second call undoes them. */
static void resize(struct change *c, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 old = c[i].m->asked;

		/* The same budget again: what was not to be had may be now. */
		if (c[i].asked != old ||
		    c[i].m->got < kvl_member_target(c[i].m))
			c[i].m->ops->resize(c[i].m, c[i].asked);
		c[i].asked = old;
	}
}

/* Looked at with each copy and each freed slot. */
static void set_device_options(struct kvl_pool *pool, const struct ctx *ctx)
{
	if (ctx->has_depth)
		WRITE_ONCE(pool->opts.depth, ctx->o.depth);
	if (ctx->has_discard)
		WRITE_ONCE(pool->opts.nodiscard, ctx->o.nodiscard);
	if (ctx->has_poll)
		WRITE_ONCE(pool->opts.poll, ctx->o.poll);
}

static int reconfigure(struct fs_context *fc)
{
	struct kvl_pool *pool = kvl_sb_pool(fc->root->d_sb);
	struct ctx *ctx = fc->fs_private;
	u32 low = ctx->has_low ? ctx->o.low : pool->opts.low;
	u32 high = ctx->has_high ? ctx->o.high : pool->opts.high;
	s64 capacity = atomic64_read(&pool->capacity);
	struct kvl_mount_opts old = pool->opts;
	struct change *c;
	unsigned int nr, i;
	int err;

	if (ctx->o.block_size && ctx->o.block_size != pool->block_size)
		return kvl_msg(fc, -EINVAL,
			       "block=: the block size of a pool cannot change");
	/*
	 * uid=, gid= and mode= count when the pool is mounted; mount(8) hands
	 * them in again from fstab, so they are ignored here, as in tmpfs.
	 */
	err = check_watermarks(fc, low, high);
	if (err)
		return err;
	c = kcalloc(MAX_OPTS, sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	err = collect(pool, fc, ctx, c, &nr);
	for (i = 0; !err && i < nr; i++) {
		err = c[i].m->ops->check_resize(c[i].m, fc, c[i].asked);
		capacity += gain(&c[i]);
	}
	if (!err && capacity < atomic64_read(&pool->used))
		err = kvl_msg(fc, -ENOSPC,
			      "the pool holds %lld blocks, more than the %lld that would fit; delete files first",
			      (s64)atomic64_read(&pool->used),
			      max(capacity, 0LL));
	if (!err) {
		pool->opts.low = low;
		pool->opts.high = high;
		if (ctx->has_writeback) {
			WRITE_ONCE(pool->opts.writeback, ctx->o.writeback);
			kvl_store_start(pool);
		}
		if (ctx->has_floor)
			WRITE_ONCE(pool->opts.floor, ctx->o.floor);
		if (ctx->has_hard)
			pool->opts.hard = true;
		set_device_options(pool, ctx);
		resize(c, nr);
		if (pool->opts.hard) {
			err = wait_hard(pool, fc);
			if (err) { /* back to what it was */
				pool->opts = old;
				resize(c, nr);
			}
		}
		kvl_pool_resized(pool);
	}
	kfree(c);
	return err;
}

static void free_fc(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations context_ops = {
	.free = free_fc,
	.parse_param = parse_param,
	.get_tree = get_tree,
	.reconfigure = reconfigure,
};

static int init_fs_context(struct fs_context *fc)
{
	struct ctx *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

	if (!ctx)
		return -ENOMEM;
	fc->fs_private = ctx;
	fc->ops = &context_ops;
	return 0;
}

/*
 * No user is left, but workers and moves may be: they end first, as they
 * hold inodes, then the inodes, then the pool.
 */
static void kill_sb(struct super_block *sb)
{
	struct kvl_pool *pool = kvl_sb_pool(sb);
	unsigned int i;

	if (pool) {
		WRITE_ONCE(pool->stopping, true);
		wake_up_all(&pool->slot_wait);
		kvl_pressure_stop(pool);
		cancel_delayed_work_sync(&pool->drain);
		if (pool->wq) {
			kvl_prefetch_stop(pool);
			kvl_store_stop(pool);
		}
		for (i = 0; i < KVLIFT_NR_TIERS; i++)
			cancel_delayed_work_sync(&pool->tiers[i].reclaim);
		kvl_move_wait(pool, 1);
	}
	kvl_kill_litter_super(sb);
	if (pool)
		pool_destroy(pool);
}

static int kvl_statfs(struct dentry *dentry, struct kstatfs *st)
{
	struct kvl_pool *pool = kvl_sb_pool(dentry->d_sb);
	s64 capacity = max(atomic64_read(&pool->capacity), 0LL);
	s64 used = atomic64_read(&pool->used);
	struct kvl_domain *d = kvl_domain_of(kvl_region(d_inode(dentry)));

	kvl_domain_view(d, &capacity, &used);
	kvl_domain_put(d);
	st->f_type = KVLIFT_SUPER_MAGIC;
	st->f_bsize = pool->block_size;
	st->f_frsize = pool->block_size;
	st->f_blocks = capacity;
	st->f_bfree = max(capacity - used, 0LL);
	st->f_bavail = st->f_bfree;
	st->f_namelen = NAME_MAX;
	st->f_fsid = uuid_to_fsid(pool->uuid.b);
	return 0;
}

static void show_size(struct seq_file *m, const char *sep, u64 bytes)
{
	if (bytes % (1 << 20))
		seq_printf(m, "%s%lluK", sep, bytes >> 10);
	else
		seq_printf(m, "%s%lluM", sep, bytes >> 20);
}

static int show_options(struct seq_file *m, struct dentry *root)
{
	struct kvl_pool *pool = kvl_sb_pool(root->d_sb);
	unsigned int id, i;

	seq_printf(m, ",block=%uK", pool->block_size >> 10);
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++) {
			struct kvl_member *mb = t->members[i];
			u64 bytes = mb->asked << pool->block_shift;

			if (id == KVLIFT_TIER_NVME) {
				seq_show_option(m, "nvme", kvl_bdev_path(mb));
				show_size(m, ":", bytes);
			} else {
				seq_printf(m, ",%s", kvl_tier_name(id));
				show_size(m, "=", bytes);
				seq_printf(m, "@%d", mb->node);
			}
		}
	}
	seq_printf(m, ",low=%u,high=%u,floor=%u,writeback=%u", pool->opts.low,
		   pool->opts.high, pool->opts.floor, pool->opts.writeback);
	if (pool->opts.hard)
		seq_puts(m, ",hard");
	if (pool->opts.depth != KVL_DEPTH_DEFAULT)
		seq_printf(m, ",depth=%u", pool->opts.depth);
	if (pool->opts.nodiscard)
		seq_puts(m, ",nodiscard");
	if (pool->opts.poll)
		seq_puts(m, ",poll");
	return 0;
}

static const struct super_operations sops = {
	.alloc_inode = kvl_inode_alloc,
	.free_inode = kvl_inode_free,
	.evict_inode = kvl_inode_evict,
	.drop_inode = kvl_drop_inode,
	.statfs = kvl_statfs,
	.show_options = show_options,
};

static struct file_system_type kvlift_fs = {
	.owner = THIS_MODULE,
	.name = "kvlift",
	.init_fs_context = init_fs_context,
	.parameters = params,
	.kill_sb = kill_sb,
	.fs_flags = FS_ALLOW_IDMAP,
};
MODULE_ALIAS_FS("kvlift");

int kvl_super_register(void)
{
	return register_filesystem(&kvlift_fs);
}

void kvl_super_unregister(void)
{
	unregister_filesystem(&kvlift_fs);
}
