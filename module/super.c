// SPDX-License-Identifier: GPL-2.0-only
/* Pools: mount, statfs, unmount. */
#include <crypto/hash.h>
#include <linux/idr.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>

#include "compat.h"
#include "domain.h"
#include "drain.h"
#include "gpu.h"
#include "memerr.h"
#include "inode.h"
#include "mount.h"
#include "move.h"
#include "msg.h"
#include "params.h"
#include "policy.h"
#include "ring.h"
#include "scan.h"
#include "store.h"

static DEFINE_IDA(pool_ids);

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
	mutex_init(&pool->place_lock);
	mutex_init(&pool->gpu_mutex);
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
	kvl_ring_prepare(pool);
	kvl_scan_prepare(pool);
	kvl_cache_prepare(pool);
	INIT_DELAYED_WORK(&pool->drain, kvl_drain_work);
	INIT_LIST_HEAD(&pool->memerr);
	xa_init(&pool->regions);
	kvl_advise_init_pool(pool);
	pool->policy = &kvl_policy_default;
	generate_random_uuid(pool->uuid.b);
	atomic_inc(&kvl_objects.pools);
	pool->id = UINT_MAX;
	return pool;
}

static int pool_init(struct kvl_pool *pool, struct fs_context *fc,
		     struct kvl_mount *ctx)
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
	pool->move_mempool = kvl_move_pool_create(KVL_MAX_MOVES);
	pool->out_mempool = kvl_move_pool_create(KVL_OUT_MOVES);
	pool->wq = alloc_workqueue("kvlift-%d",
				   WQ_UNBOUND | WQ_FREEZABLE | WQ_SYSFS, 0, id);
	pool->io_wq = alloc_workqueue("kvlift-io-%d",
				      WQ_UNBOUND | WQ_HIGHPRI |
					      WQ_MEM_RECLAIM | WQ_SYSFS,
				      0, id);
	/* What the tiers' workers wait for: not frozen before they are done. */
	pool->share_wq = alloc_workqueue("kvlift-share-%d",
					 WQ_UNBOUND | WQ_SYSFS, 0, id);
	pool->done = kvl_move_done_create(pool);
	if (!pool->counters || !pool->move_mempool || !pool->out_mempool ||
	    !pool->done || !pool->wq || !pool->io_wq || !pool->share_wq)
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
	kvl_advise_destroy(pool);
	for (i = KVLIFT_NR_TIERS - 1; i >= 0; i--)
		kvl_tier_destroy(&pool->tiers[i]);
	if (pool->io_wq)
		destroy_workqueue(pool->io_wq);
	if (pool->wq)
		destroy_workqueue(pool->wq);
	if (pool->share_wq)
		destroy_workqueue(pool->share_wq);
	mempool_destroy(pool->move_mempool);
	mempool_destroy(pool->out_mempool);
	free_percpu(pool->done);
	if (pool->root_domain)
		kvl_domain_put(pool->root_domain);
	free_percpu(pool->counters);
	if (pool->crc)
		crypto_free_shash(pool->crc);
	if (pool->id != UINT_MAX)
		ida_free(&pool_ids, pool->id);
	xa_destroy(&pool->regions);
	kfree(pool);
	atomic_dec(&kvl_objects.pools);
}

static const struct super_operations sops;

static int fill_super(struct super_block *sb, struct fs_context *fc)
{
	struct kvl_mount *ctx = fc->fs_private;
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
	if (!ctx->has_cpu)
		ctx->o.cpu = 100;
	if (!ctx->has_scan)
		ctx->o.scan = KVL_SCAN_DEFAULT;
	err = kvl_mount_check_watermarks(fc, ctx->o.low, ctx->o.high);
	if (err)
		return err;
	if (!ctx->has_floor)
		ctx->o.floor = KVL_FLOOR_DEFAULT;
	if (!ctx->o.block_size)
		ctx->o.block_size = kvl_mount_default_block(ctx);
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

	err = pool_init(pool, fc, ctx) ?: kvl_mount_add_members(pool, fc, ctx);
	if (err)
		return err;
	kvl_pool_resized(pool);
	err = kvl_advise_start(pool);
	if (err)
		return err;
	err = kvl_pressure_start(pool);
	if (err)
		return err;
	kvl_memerr_start(pool);
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
		kvl_policy_bpf_mount(pool);
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

static void free_fc(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations context_ops = {
	.free = free_fc,
	.parse_param = kvl_mount_parse,
	.get_tree = get_tree,
	.reconfigure = kvl_remount,
};

static int init_fs_context(struct fs_context *fc)
{
	struct kvl_mount *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);

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
		kvl_policy_bpf_unmount(pool);
		kvl_pressure_stop(pool);
		kvl_memerr_stop(pool);
		kvl_advise_stop(pool);
		cancel_delayed_work_sync(&pool->drain);
		kvl_cache_stop(pool);
		if (pool->wq) {
			kvl_prefetch_stop(pool);
			kvl_store_stop(pool);
			kvl_ring_stop(pool);
			kvl_scan_stop(pool);
		}
		kvl_gpu_stop(pool);
		for (i = 0; i < KVLIFT_NR_TIERS; i++)
			cancel_delayed_work_sync(&pool->tiers[i].reclaim);
		kvl_move_wait_all(pool);
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

		/* Those of movers come and go. */
		for (i = 0; i < t->nr_members && id != KVLIFT_TIER_GPU; i++) {
			struct kvl_member *mb = t->members[i];
			u64 bytes = mb->asked << pool->block_shift;

			if (id == KVLIFT_TIER_NVME) {
				seq_show_option(m, "nvme", kvl_bdev_path(mb));
				show_size(m, ":", bytes);
			} else {
				seq_printf(m, ",%s", kvl_tier_name(id));
				show_size(m, "=", bytes);
				seq_printf(m, "@%d", mb->node);
				if (mb->said)
					seq_printf(m, ":%u", mb->said);
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
	if (pool->opts.interleave)
		seq_puts(m, ",interleave");
	if (pool->opts.cpu != 100)
		seq_printf(m, ",cpu=%u", pool->opts.cpu);
	if (pool->opts.scan != KVL_SCAN_DEFAULT)
		seq_printf(m, ",scan=%u", pool->opts.scan);
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
	.parameters = kvl_mount_params,
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
