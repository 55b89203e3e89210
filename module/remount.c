// SPDX-License-Identifier: GPL-2.0-only
/* Remount: budgets, watermarks and limits of a pool in use. */
#include <linux/slab.h>

#include "mount.h"
#include "msg.h"
#include "pace.h"
#include "place.h"
#include "scan.h"
#include "store.h"

static bool means(const struct kvl_mount_member *opt, struct kvl_member *m)
{
	if (opt->tier == KVLIFT_TIER_NVME)
		return !strcmp(kvl_bdev_path(m), opt->m.path);
	if (opt->m.node < 0)
		return m->spread || m->tier->nr_members == 1;
	return m->node == opt->m.node;
}

/*
 * The first member from @i on that an option of a remount means. One without a
 * node means those that such an option made, or the only one of the tier.
 */
static struct kvl_member *find_member(struct kvl_pool *pool,
				      const struct kvl_mount_member *opt,
				      unsigned int i)
{
	struct kvl_tier *t = &pool->tiers[opt->tier];

	for (; i < t->nr_members; i++)
		if (means(opt, t->members[i]))
			return t->members[i];
	return NULL;
}

/* What a remount wants of one member; the last option for it counts. */
struct change {
	struct kvl_member *m;
	u64 asked;
	u32 said;
};

static void note(struct change *c, unsigned int *nr, struct kvl_member *m,
		 const struct kvl_member_opt *opt, u64 asked)
{
	unsigned int i;

	for (i = 0; i < *nr && c[i].m != m; i++)
		;
	c[i].m = m;
	c[i].asked = asked;
	c[i].said = opt->has_distance ? opt->distance : m->said;
	if (i == *nr)
		++*nr;
}

static int collect(struct kvl_pool *pool, struct fs_context *fc,
		   struct kvl_mount *ctx, struct change *c, unsigned int *nr)
{
	unsigned int i, j, shares;

	*nr = 0;
	for (i = 0; i < ctx->nr; i++) {
		const struct kvl_mount_member *opt = &ctx->opts[i];
		const char *name = kvl_tier_name(opt->tier);
		u64 asked = opt->m.bytes >> pool->block_shift;
		struct kvl_member *m = find_member(pool, opt, 0);

		if (!m)
			return kvl_msg(fc, -EINVAL,
				       "%s=: the pool has no such member (or several: name the node); a remount changes budgets, it adds and removes nothing",
				       name);
		if (!opt->m.bytes)
			continue;
		if (!asked)
			return kvl_msg(fc, -EINVAL,
				       "%s=%lluK: less than one block of %u KiB",
				       name, opt->m.bytes >> 10,
				       pool->block_size >> 10);
		if (opt->tier == KVLIFT_TIER_NVME || opt->m.node >= 0) {
			note(c, nr, m, &opt->m, asked);
			continue;
		}
		/* In equal shares, as at the mount. */
		for (j = shares = 0; (m = find_member(pool, opt, j)); shares++)
			j = m->id + 1;
		asked = DIV_ROUND_UP_ULL(asked, shares);
		for (j = 0; (m = find_member(pool, opt, j)); j = m->id + 1)
			note(c, nr, m, &opt->m, asked);
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
static void resize(struct kvl_pool *pool, struct change *c, unsigned int nr)
{
	unsigned int i;

	mutex_lock(&pool->place_lock);
	for (i = 0; i < nr; i++)
		swap(c[i].m->said, c[i].said);
	mutex_unlock(&pool->place_lock);

	for (i = 0; i < nr; i++) {
		u64 old = c[i].m->asked;

		/* The same budget again: what was not to be had may be now. */
		if (c[i].asked != old ||
		    c[i].m->got < kvl_member_target(c[i].m))
			c[i].m->ops->resize(c[i].m, c[i].asked);
		c[i].asked = old;
	}
	/* The members' shares have changed. */
	kvl_place_update(pool);
}

/* Looked at whenever they matter. */
static void set_options(struct kvl_pool *pool, const struct kvl_mount *ctx)
{
	if (ctx->has_depth)
		WRITE_ONCE(pool->opts.depth, ctx->o.depth);
	if (ctx->has_discard)
		WRITE_ONCE(pool->opts.nodiscard, ctx->o.nodiscard);
	if (ctx->has_poll)
		WRITE_ONCE(pool->opts.poll, ctx->o.poll);
	if (ctx->has_interleave)
		WRITE_ONCE(pool->opts.interleave, ctx->o.interleave);
	if (ctx->has_cpu) {
		WRITE_ONCE(pool->opts.cpu, ctx->o.cpu);
		kvl_pace_forgive(pool);
	}
	if (ctx->has_scan) {
		WRITE_ONCE(pool->opts.scan, ctx->o.scan);
		kvl_scan_kick(pool);
	}
}

/* Slots that other watermarks keep free, more than those of now. */
static s64 kept_free(struct kvl_pool *pool, u32 high)
{
	unsigned int id;
	s64 n = 0;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];
		u64 slots = READ_ONCE(t->slots);

		n += kvl_tier_high(t, slots, high) -
		     kvl_tier_high(t, slots, pool->opts.high);
	}
	return n;
}

int kvl_remount(struct fs_context *fc)
{
	struct kvl_pool *pool = kvl_sb_pool(fc->root->d_sb);
	struct kvl_mount *ctx = fc->fs_private;
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
	err = kvl_mount_check_watermarks(fc, low, high);
	if (err)
		return err;
	c = kcalloc(KVL_MOUNT_MEMBERS, sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	err = collect(pool, fc, ctx, c, &nr);
	for (i = 0; !err && i < nr; i++) {
		err = c[i].m->ops->check_resize(c[i].m, fc, c[i].asked);
		capacity += gain(&c[i]);
	}
	capacity -= kept_free(pool, high);
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
		set_options(pool, ctx);
		resize(pool, c, nr);
		if (pool->opts.hard) {
			err = kvl_mount_wait_hard(pool, fc);
			if (err) { /* back to what it was */
				pool->opts = old;
				resize(pool, c, nr);
			}
		}
		kvl_pool_resized(pool);
	}
	kfree(c);
	return err;
}
