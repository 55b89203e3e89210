// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cpu.h>
#include <linux/memory-tiers.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/topology.h>

#include "move.h"
#include "msg.h"
#include "place.h"

/* Equal up to this: firmware rounds, and measurements are noisy. */
static bool farther(u64 a, u64 than)
{
	return 2 * a > 3 * than;
}

/* As mt_perf_to_adistance(): latency counts as much as bandwidth. */
static u64 cost(const struct kvl_member *m)
{
	return ((u64)m->latency << 20) / m->bandwidth;
}

/* What a measured member is compared with: the fastest DRAM. */
static u64 reference(struct kvl_pool *pool)
{
	unsigned int id, i;
	u64 best = 0;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL && !best; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++) {
			struct kvl_member *m = t->members[i];

			if (m->bandwidth && (!best || cost(m) < best))
				best = cost(m);
		}
	}
	return best;
}

static u32 distance(const struct kvl_member *m, u64 ref)
{
	u64 d = MEMTIER_ADISTANCE_DRAM;

	if (m->said)
		return m->said;
	if (m->told)
		return m->told;
	if (m->bandwidth && ref)
		d = clamp(d * cost(m) / ref, 1, KVL_DISTANCE_MAX);
	return d;
}

const char *kvl_place_source(const struct kvl_member *m)
{
	if (!READ_ONCE(m->distance))
		return "none";
	if (READ_ONCE(m->said))
		return "mount";
	if (m->told)
		return "firmware";
	return READ_ONCE(m->bandwidth) ? "measured" : "default";
}

/* Sorts member numbers by @key. */
static void sort_members(u8 *ids, unsigned int nr, const u32 *key)
{
	unsigned int i, k;

	for (i = 0; i < nr; i++) {
		for (k = i; k && key[ids[k - 1]] > key[i]; k--)
			ids[k] = ids[k - 1];
		ids[k] = i;
	}
}

/* Equal members get the same number, the fastest 0. */
static void rank(struct kvl_tier *t, u8 *speed)
{
	u32 key[KVLIFT_MAX_MEMBERS];
	u8 ids[KVLIFT_MAX_MEMBERS];
	unsigned int i, n = 0;
	u32 first = 0;

	for (i = 0; i < t->nr_members; i++)
		key[i] = t->members[i]->distance;
	sort_members(ids, t->nr_members, key);
	for (i = 0; i < t->nr_members; i++) {
		if (!i)
			first = key[ids[i]];
		if (farther(key[ids[i]], first)) {
			first = key[ids[i]];
			n++;
		}
		speed[ids[i]] = n;
	}
}

static void sort_for(struct kvl_tier *t, const u8 *speed, int node, u8 *near)
{
	u32 key[KVLIFT_MAX_MEMBERS];
	unsigned int i;

	for (i = 0; i < t->nr_members; i++) {
		u32 hops = node == NUMA_NO_NODE ? 0 :
			   node_distance(node, t->members[i]->node);

		if (t->id == KVLIFT_TIER_DRAM)
			key[i] = hops << 8 | speed[i];
		else
			key[i] = speed[i] << 16 | hops;
	}
	sort_members(near, t->nr_members, key);
}

/* Turns among the fastest members, in proportion to their budgets. */
static void share_turns(struct kvl_tier *t, const u8 *speed, u8 *turns)
{
	s64 due[KVLIFT_MAX_MEMBERS] = {}, sum = 0;
	unsigned int i, k;

	for (i = 0; i < t->nr_members; i++)
		if (!speed[i])
			sum += READ_ONCE(t->members[i]->asked);
	for (k = 0; k < KVL_TURNS; k++) {
		unsigned int best = 0;

		for (i = 0; i < t->nr_members; i++) {
			if (!speed[i])
				due[i] += READ_ONCE(t->members[i]->asked);
			if (due[i] > due[best])
				best = i;
		}
		due[best] -= sum;
		turns[k] = best;
	}
}

static int update_tier(struct kvl_tier *t)
{
	struct kvl_order *o, *old;
	u8 speed[KVLIFT_MAX_MEMBERS];
	int node;

	o = kvzalloc(struct_size(o, near, nr_node_ids + 1), GFP_KERNEL);
	if (!o)
		return -ENOMEM;
	rank(t, speed);
	o->nr = t->nr_members;
	for (node = NUMA_NO_NODE; node < (int)nr_node_ids; node++)
		sort_for(t, speed, node, o->near[node + 1]);
	share_turns(t, speed, o->turns);
	old = rcu_replace_pointer(t->order, o,
				  lockdep_is_held(&t->pool->place_lock));
	if (old)
		kvfree_rcu(old, rcu);
	return 0;
}

static bool measured_faster(struct kvl_member *a, struct kvl_member *b)
{
	return a->bandwidth && b->bandwidth &&
	       farther(a->bandwidth, b->bandwidth) &&
	       farther(b->latency, a->latency);
}

/* Most likely the mount names the wrong node. */
static void look_for_mistake(struct kvl_pool *pool)
{
	struct kvl_tier *dram = &pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_tier *cxl = &pool->tiers[KVLIFT_TIER_CXL];
	unsigned int i, k;

	for (i = 0; i < dram->nr_members && !pool->place_warned; i++)
		for (k = 0; k < cxl->nr_members; k++) {
			struct kvl_member *d = dram->members[i];
			struct kvl_member *c = cxl->members[k];

			if (!farther(d->distance, c->distance) &&
			    !measured_faster(c, d))
				continue;
			pool->place_warned = true;
			pr_warn("pool %u: cxl= %s (distance %u, %u MiB/s, %u ns) is faster than dram= %s (distance %u, %u MiB/s, %u ns): are the nodes mixed up?\n",
				pool->id, c->name, c->distance, c->bandwidth,
				c->latency, d->name, d->distance, d->bandwidth,
				d->latency);
			return;
		}
}

static int update(struct kvl_pool *pool)
{
	unsigned int id, i;
	int err = 0;
	u64 ref;

	lockdep_assert_held(&pool->place_lock);
	ref = reference(pool);
	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL && !err; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		for (i = 0; i < t->nr_members; i++)
			WRITE_ONCE(t->members[i]->distance,
				   distance(t->members[i], ref));
		if (t->nr_members)
			err = update_tier(t);
	}
	look_for_mistake(pool);
	return err;
}

void kvl_place_update(struct kvl_pool *pool)
{
	mutex_lock(&pool->place_lock);
	update(pool);
	mutex_unlock(&pool->place_lock);
}

void kvl_place_measured(struct kvl_member *m, u32 bandwidth, u32 latency)
{
	struct kvl_pool *pool = m->tier->pool;

	mutex_lock(&pool->place_lock);
	WRITE_ONCE(m->bandwidth, max(bandwidth, m->bandwidth));
	WRITE_ONCE(m->latency, min_not_zero(latency, m->latency));
	update(pool);
	mutex_unlock(&pool->place_lock);
}

/* The nearest node that has CPUs. */
static int cpu_node(int node)
{
	int n, best = NUMA_NO_NODE;

	for_each_node_state(n, N_CPU)
		if (best == NUMA_NO_NODE ||
		    node_distance(node, n) < node_distance(node, best))
			best = n;
	return best;
}

int kvl_place_start(struct kvl_pool *pool)
{
	unsigned int id, i, nr = 0;
	int err = 0;

	for (id = KVLIFT_TIER_DRAM; id <= KVLIFT_TIER_CXL; id++) {
		struct kvl_tier *t = &pool->tiers[id];

		nr += t->nr_members;
		for (i = 0; i < t->nr_members && !err; i++) {
			struct kvl_member *m = t->members[i];
			int told;

			m->cpu_node = cpu_node(m->node);
			if (mt_calc_adistance(m->node, &told) &
			    NOTIFY_STOP_MASK)
				m->told = clamp(told, 1, KVL_DISTANCE_MAX);
			if (t->nr_members > 1)
				err = kvl_reclaim_share(m);
		}
	}
	if (err)
		return err;
	mutex_lock(&pool->place_lock);
	err = update(pool);
	mutex_unlock(&pool->place_lock);
	/* With one member there is nothing to choose. */
	for (id = KVLIFT_TIER_DRAM; !err && id <= KVLIFT_TIER_CXL; id++)
		for (i = 0; nr > 1 && i < pool->tiers[id].nr_members; i++)
			kvl_measure_start(pool->tiers[id].members[i]);
	return err;
}

void kvl_place_end(struct kvl_tier *t)
{
	kvfree(rcu_dereference_protected(t->order, true));
	RCU_INIT_POINTER(t->order, NULL);
}

static int show_order(const struct kvl_order *o, unsigned int tier, char *buf,
		      int len)
{
	unsigned int i;
	int node;

	for_each_online_node(node) {
		len += sysfs_emit_at(buf, len, "%s %d:", kvl_tier_name(tier),
				     node);
		for (i = 0; i < o->nr; i++)
			len += sysfs_emit_at(buf, len, " %u",
					     kvl_order_near(o, node)[i]);
		len += sysfs_emit_at(buf, len, "\n");
	}
	return len;
}

int kvl_place_show(struct kvl_pool *pool, char *buf)
{
	const struct kvl_order *o;
	unsigned int id;
	int len = 0;

	rcu_read_lock();
	for (id = 0; id < KVLIFT_NR_TIERS; id++) {
		o = rcu_dereference(pool->tiers[id].order);
		if (o)
			len = show_order(o, id, buf, len);
	}
	rcu_read_unlock();
	return len;
}

int kvl_place_cpu(int node)
{
	int cpu = raw_smp_processor_id();

	if (node == NUMA_NO_NODE || cpu_to_node(cpu) == node)
		return cpu;
	cpu = cpumask_any_and(cpumask_of_node(node), cpu_online_mask);
	return cpu < nr_cpu_ids ? cpu : WORK_CPU_UNBOUND;
}

void kvl_place_queue(struct workqueue_struct *wq, struct delayed_work *work,
		     int node, unsigned long delay)
{
	/* A timer on a CPU that has just gone would never expire. */
	cpus_read_lock();
	queue_delayed_work_on(kvl_place_cpu(node), wq, work, delay);
	cpus_read_unlock();
}
