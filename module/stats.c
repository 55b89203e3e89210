// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/fs/kvlift/objects			what the module has allocated
 * /sys/fs/kvlift/<pool>/...			the pool
 * /sys/fs/kvlift/<pool>/counters		events since mount
 * /sys/fs/kvlift/<pool>/<tier>/<member>/...	slots
 */
#include <linux/fs.h>
#include <linux/sysfs.h>

#include "advise.h"
#include "domain.h"
#include "place.h"
#include "policy.h"
#include "ring.h"
#include "scan.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct kvl_objects kvl_objects;
static struct kobject *root;

static const char *const counter_names[KVL_NR_COUNTERS] = {
	[KVL_C_FAULTS] = "faults",
	[KVL_C_FAULT_WAITS] = "fault_waits",
	[KVL_C_FAULT_WAIT_NS] = "fault_wait_ns",
	[KVL_C_PROMOTE] = "promote",
	[KVL_C_PROMOTE_NS] = "promote_ns",
	[KVL_C_DEMOTE] = "demote",
	[KVL_C_DEMOTE_NS] = "demote_ns",
	[KVL_C_DEMOTE_NOIO] = "demote_noio",
	[KVL_C_REFUSED_PINNED] = "refused_pinned",
	[KVL_C_REFUSED_LEASED] = "refused_leased",
	[KVL_C_LEASE_EXPIRED] = "lease_expired",
	[KVL_C_REFUSED_BUSY] = "refused_busy",
	[KVL_C_ABORTED] = "aborted",
	[KVL_C_READ_BYTES] = "read_bytes",
	[KVL_C_WRITE_BYTES] = "write_bytes",
	[KVL_C_DISCARD_BYTES] = "discard_bytes",
	[KVL_C_IO_RETRIES] = "io_retries",
	[KVL_C_IO_POLLED] = "io_polled",
	[KVL_C_IO_ERRORS] = "io_errors",
	[KVL_C_CSUM_ERRORS] = "csum_errors",
	[KVL_C_MEM_ERRORS] = "mem_errors",
	[KVL_C_MEM_LOST] = "mem_lost",
	[KVL_C_MEM_RECOVERED] = "mem_recovered",
	[KVL_C_GPU_LOST] = "gpu_lost",
	[KVL_C_ZEROED] = "zeroed",
	[KVL_C_TOUCHES] = "touches",
	[KVL_C_RING_TOUCHES] = "ring_touches",
	[KVL_C_RING_IGNORED] = "ring_ignored",
	[KVL_C_RING_DROPPED] = "ring_dropped",
	[KVL_C_RING_RESETS] = "ring_resets",
	[KVL_C_RING_NS] = "ring_ns",
	[KVL_C_SCANS] = "scans",
	[KVL_C_SCAN_BLOCKS] = "scan_blocks",
	[KVL_C_SCAN_YOUNG] = "scan_young",
	[KVL_C_SCAN_BUSY] = "scan_busy",
	[KVL_C_SCAN_NS] = "scan_ns",
	[KVL_C_NOSPACE] = "nospace",
	[KVL_C_RECLAIM_PASSES] = "reclaim_passes",
	[KVL_C_PREFETCHED] = "prefetched",
	[KVL_C_PREFETCH_DROPPED] = "prefetch_dropped",
	[KVL_C_SHADOW_DROPPED] = "shadow_dropped",
	[KVL_C_STORED] = "stored",
	[KVL_C_STORE_STALE] = "store_stale",
	[KVL_C_UNSEALED] = "unsealed",
	[KVL_C_RECOPIED] = "recopied",
	[KVL_C_MOVE_READ] = "proto_read",
	[KVL_C_MOVE_OPEN] = "proto_open",
	[KVL_C_MOVE_SAMPLE] = "proto_sample",
	[KVL_C_MOVE_PROTECT] = "proto_protect",
	[KVL_C_MOVE_STOP] = "proto_stop",
	[KVL_C_MOVE_DROP] = "proto_drop",
	[KVL_C_SHRUNK] = "shrunk",
	[KVL_C_OOM_FREED] = "oom_freed",
	[KVL_C_GROWN_BACK] = "grown_back",
	[KVL_C_DOMAIN_FULL] = "domain_full",
	[KVL_C_DOMAIN_LIMITED] = "domain_limited",
	[KVL_C_DOMAIN_EXCEEDED] = "domain_exceeded",
	[KVL_C_CACHE_DROPPED] = "cache_dropped",
	[KVL_C_CACHE_DROPPED_BYTES] = "cache_dropped_bytes",
	[KVL_C_CACHE_WAITS] = "cache_waits",
	[KVL_C_CACHE_REFUSED] = "cache_refused",
};

static ssize_t objects_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf,
			  "pools %d\ndomains %d\nregions %d\ninodes %d\nmoves %d\nslots %lld\nchunks %lld\n",
			  atomic_read(&kvl_objects.pools),
			  atomic_read(&kvl_objects.domains),
			  atomic_read(&kvl_objects.regions),
			  atomic_read(&kvl_objects.inodes),
			  atomic_read(&kvl_objects.moves),
			  (s64)atomic64_read(&kvl_objects.slots),
			  (s64)atomic64_read(&kvl_objects.chunks));
}

static struct kobj_attribute objects_attr = __ATTR_RO(objects);

static struct kvl_pool *to_pool(struct kobject *kobj)
{
	return container_of(kobj, struct kvl_pool, kobj);
}

static ssize_t block_size_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_pool(kobj)->block_size);
}

static ssize_t capacity_show(struct kobject *kobj,
			     struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  (s64)atomic64_read(&to_pool(kobj)->capacity));
}

static ssize_t used_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  (s64)atomic64_read(&to_pool(kobj)->used));
}

static ssize_t inline_used_show(struct kobject *kobj,
				struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  (s64)atomic64_read(&to_pool(kobj)->inline_used));
}

static ssize_t policy_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	struct kvl_advice *v = &to_pool(kobj)->advice;

	return v->nr ? kvl_advise_show(v->advisors[0], buf) :
		       sysfs_emit(buf, "%s\n", to_pool(kobj)->policy->name);
}

static ssize_t policy_file_show(struct kobject *kobj,
				struct kobj_attribute *attr, char *buf)
{
	return kvl_advise_show(container_of(attr, struct kvl_advisor, file),
			       buf);
}

int kvl_stats_add_policy(struct kvl_advisor *a)
{
	snprintf(a->file_name, sizeof(a->file_name), "policy-%llu",
		 a->domain->id);
	sysfs_attr_init(&a->file.attr);
	a->file.attr.name = a->file_name;
	a->file.attr.mode = 0444;
	a->file.show = policy_file_show;
	return sysfs_create_file(&a->pool->kobj, &a->file.attr);
}

void kvl_stats_remove_policy(struct kvl_advisor *a)
{
	sysfs_remove_file(&a->pool->kobj, &a->file.attr);
}

static ssize_t uuid_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%pUb\n", &to_pool(kobj)->uuid);
}

static ssize_t mapping_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  to_pool(kobj)->block_size == PMD_SIZE ? "pmd" :
								  "pte");
}

static u64 sum(struct kvl_pool *pool, size_t offset)
{
	u64 total = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		total += *(u64 *)((char *)per_cpu_ptr(pool->counters, cpu) +
				  offset);
	return total;
}

static int emit_moved(struct kvl_pool *pool, unsigned int from,
		      unsigned int to, char *buf, int len)
{
	size_t off = offsetof(struct kvl_counters, moved[from][to]);

	if (from == to || !kvl_pool_has_tier(pool, from) ||
	    !kvl_pool_has_tier(pool, to))
		return 0;
	return sysfs_emit_at(buf, len, "move_%s_%s %llu\n",
			     kvl_tier_name(from), kvl_tier_name(to),
			     sum(pool, off));
}

static const char *const ns_names[KVL_NR_NS] = {
	[KVL_NS_COPY] = "copy_ns",
	[KVL_NS_WORKER] = "worker_ns",
	[KVL_NS_URGENT] = "urgent_ns",
	[KVL_NS_REST] = "rest_ns",
};

static int emit_ns(struct kvl_pool *pool, unsigned int id, char *buf, int len)
{
	int n = 0;
	unsigned int i;

	for (i = 0; i < KVL_NR_NS && kvl_pool_has_tier(pool, id); i++)
		n += sysfs_emit_at(buf, len + n, "%s_%s %llu\n",
				   kvl_tier_name(id), ns_names[i],
				   sum(pool, offsetof(struct kvl_counters,
						      ns[id][i])));
	return n;
}

static ssize_t counters_show(struct kobject *kobj, struct kobj_attribute *attr,
			     char *buf)
{
	struct kvl_pool *pool = to_pool(kobj);
	unsigned int i, j;
	int len = 0;

	kvl_ring_flush(pool);
	for (i = 0; i < KVL_NR_COUNTERS; i++)
		len += sysfs_emit_at(buf, len, "%s %llu\n", counter_names[i],
				     sum(pool,
					 offsetof(struct kvl_counters, c[i])));
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		for (j = 0; j < KVLIFT_NR_TIERS; j++)
			len += emit_moved(pool, i, j, buf, len);
	for (i = 0; i < KVLIFT_NR_TIERS; i++)
		len += emit_ns(pool, i, buf, len);
	return len;
}

static ssize_t domains_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	return kvl_domain_show_all(to_pool(kobj), buf);
}

static ssize_t order_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return kvl_place_show(to_pool(kobj), buf);
}

static ssize_t scan_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	return kvl_scan_show(to_pool(kobj), buf);
}

#define POOL_ATTR(name) \
	static struct kobj_attribute pool_##name = __ATTR_RO(name)

POOL_ATTR(block_size);
POOL_ATTR(capacity);
POOL_ATTR(used);
POOL_ATTR(inline_used);
POOL_ATTR(policy);
POOL_ATTR(uuid);
POOL_ATTR(mapping);
POOL_ATTR(counters);
POOL_ATTR(domains);
POOL_ATTR(order);
POOL_ATTR(scan);

static struct attribute *pool_attrs[] = {
	&pool_block_size.attr, &pool_capacity.attr, &pool_used.attr,
	&pool_inline_used.attr, &pool_policy.attr,  &pool_uuid.attr,
	&pool_mapping.attr,    &pool_counters.attr, &pool_domains.attr,
	&pool_order.attr,      &pool_scan.attr,
	NULL,
};
ATTRIBUTE_GROUPS(pool);

static void pool_release(struct kobject *kobj)
{
	complete(&to_pool(kobj)->kobj_gone);
}

static const struct kobj_type pool_type = {
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = pool_groups,
	.release = pool_release,
};

static void tier_release(struct kobject *kobj)
{
	complete(&container_of(kobj, struct kvl_tier, kobj)->kobj_gone);
}

static const struct kobj_type tier_type = {
	.sysfs_ops = &kobj_sysfs_ops,
	.release = tier_release,
};

static struct kvl_member *to_member(struct kobject *kobj)
{
	return container_of(kobj, struct kvl_member, kobj);
}

#define MEMBER_ATTR(name, fmt, value)					\
static ssize_t name##_show(struct kobject *kobj,			\
			   struct kobj_attribute *attr, char *buf)	\
{									\
	struct kvl_member *m = to_member(kobj);				\
									\
	return sysfs_emit(buf, fmt "\n", value);			\
}									\
static struct kobj_attribute member_##name = __ATTR_RO(name)

MEMBER_ATTR(asked, "%llu", READ_ONCE(m->asked));
MEMBER_ATTR(target, "%llu", kvl_member_target(m));
MEMBER_ATTR(got, "%llu", READ_ONCE(m->got));
MEMBER_ATTR(free, "%llu", READ_ONCE(m->nfree));
MEMBER_ATTR(lost, "%llu", READ_ONCE(m->nlost));
MEMBER_ATTR(shadows, "%lld", (s64)atomic64_read(&m->nshadow));
MEMBER_ATTR(node, "%d", m->node);
MEMBER_ATTR(name, "%s", m->name);
MEMBER_ATTR(inflight, "%d", atomic_read(&m->inflight));
MEMBER_ATTR(inflight_max, "%d", READ_ONCE(m->inflight_max));
MEMBER_ATTR(filling, "%d", READ_ONCE(m->filling));
MEMBER_ATTR(draining, "%d", READ_ONCE(m->draining));
MEMBER_ATTR(bandwidth, "%u", READ_ONCE(m->bandwidth));
MEMBER_ATTR(latency, "%u", READ_ONCE(m->latency));
MEMBER_ATTR(distance, "%u", READ_ONCE(m->distance));
MEMBER_ATTR(distance_source, "%s", kvl_place_source(m));

static ssize_t member_used_show(struct kobject *kobj,
				struct kobj_attribute *attr, char *buf)
{
	struct kvl_member *m = to_member(kobj);
	s64 used;

	spin_lock(&m->lock);
	used = m->got - m->nfree - m->nlost - atomic64_read(&m->nshadow);
	spin_unlock(&m->lock);
	return sysfs_emit(buf, "%lld\n", max(used, 0LL));
}

static struct kobj_attribute member_used =
	__ATTR(used, 0444, member_used_show, NULL);

static struct attribute *member_attrs[] = {
	&member_asked.attr,   &member_got.attr,	    &member_free.attr,
	&member_lost.attr,    &member_shadows.attr, &member_node.attr,
	&member_name.attr,    &member_used.attr,    &member_filling.attr,
	&member_target.attr,  &member_draining.attr,
	&member_inflight.attr, &member_inflight_max.attr,
	&member_bandwidth.attr, &member_latency.attr, &member_distance.attr,
	&member_distance_source.attr, NULL,
};
ATTRIBUTE_GROUPS(member);

static void member_release(struct kobject *kobj)
{
	complete(&to_member(kobj)->kobj_gone);
}

static const struct kobj_type member_type = {
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = member_groups,
	.release = member_release,
};

/* Takes an object out of sysfs and waits until nobody looks at it. */
static void remove(struct kobject *kobj, struct completion *gone)
{
	if (!kobj->state_initialized)
		return;
	if (kobj->state_in_sysfs)
		kobject_del(kobj);
	kobject_put(kobj);
	wait_for_completion(gone);
}

static int add_tier(struct kvl_pool *pool, struct kvl_tier *t)
{
	init_completion(&t->kobj_gone);
	return kobject_init_and_add(&t->kobj, &tier_type, &pool->kobj, "%s",
				    kvl_tier_name(t->id));
}

static int add_member(struct kvl_tier *t, struct kvl_member *m)
{
	init_completion(&m->kobj_gone);
	return kobject_init_and_add(&m->kobj, &member_type, &t->kobj, "%u",
				    m->id);
}

static int add_tier_and_members(struct kvl_pool *pool, struct kvl_tier *t)
{
	int err = add_tier(pool, t);
	unsigned int i;

	for (i = 0; !err && i < t->nr_members; i++)
		err = add_member(t, t->members[i]);
	return err;
}

int kvl_stats_add_member(struct kvl_pool *pool, struct kvl_member *m)
{
	struct kvl_tier *t = m->tier;
	int err = 0;

	lockdep_assert_held(&pool->gpu_mutex);
	if (!t->kobj.state_initialized)
		err = add_tier(pool, t);
	return err ?: add_member(t, m);
}

int kvl_stats_add_pool(struct kvl_pool *pool)
{
	unsigned int id;
	int err;

	init_completion(&pool->kobj_gone);
	err = kobject_init_and_add(&pool->kobj, &pool_type, root, "%u",
				   pool->id);
	for (id = 0; !err && id < KVLIFT_NR_TIERS; id++)
		if (kvl_pool_has_tier(pool, id))
			err = add_tier_and_members(pool, &pool->tiers[id]);
	return err;
}

void kvl_stats_remove_pool(struct kvl_pool *pool)
{
	unsigned int id, i;

	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++)
			remove(&t->members[i]->kobj, &t->members[i]->kobj_gone);
		remove(&t->kobj, &t->kobj_gone);
	}
	remove(&pool->kobj, &pool->kobj_gone);
}

int kvl_stats_init(void)
{
	int err;

	root = kobject_create_and_add("kvlift", fs_kobj);
	if (!root)
		return -ENOMEM;
	err = sysfs_create_file(root, &objects_attr.attr);
	if (err)
		kobject_put(root);
	return err;
}

void kvl_stats_exit(void)
{
	kobject_put(root);
}
