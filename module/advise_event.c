// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events on their way to the policy: one ring for each CPU, written by whoever
 * runs there, read by whoever holds the semaphore. A full ring loses events,
 * which is counted: the policy then knows less, nothing else happens.
 */
#include <linux/cpumask.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "advise.h"
#include "domain.h"
#include "region.h"

/* Events of a CPU after which the worker does not wait for its time. */
#define KICK		(KVL_RING_EVENTS / 2)
/* Otherwise it gathers them for so long. */
#define GATHER		max(HZ / 20, 1)

u16 kvl_advisor_around(const struct kvl_domain *d)
{
	u16 id;

	for (; d; d = d->parent) {
		id = READ_ONCE(d->advisor);
		if (id)
			return id;
	}
	return 0;
}

u16 kvl_advisor_of(struct kvl_region *r)
{
	return kvl_advisor_around(r->domain);
}

bool kvl_advise_event(struct kvl_pool *pool, const struct kvl_event *e)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_ring *q;
	u32 head, used;

	preempt_disable();
	q = v->rings[smp_processor_id()];
	head = q->head;
	/* Pairs with the release of the reader: the place is free. */
	used = head - smp_load_acquire(&q->tail);
	if (likely(used < KVL_RING_EVENTS)) {
		q->events[head % KVL_RING_EVENTS] = *e;
		/* Pairs with the reader's acquire. */
		smp_store_release(&q->head, head + 1);
	} else {
		q->lost++;
	}
	preempt_enable();
	if (unlikely(!READ_ONCE(v->armed) || used == KICK) &&
	    !READ_ONCE(v->stopping)) {
		WRITE_ONCE(v->armed, 1);
		mod_delayed_work(pool->wq, &v->work,
				 used >= KICK ? 0 : GATHER);
	}
	return used < KVL_RING_EVENTS;
}

void kvl_advise_touch(struct kvl_region *r, u64 index, u64 addr, u32 weight)
{
	if (!READ_ONCE(kvl_region_pool(r)->advice.active))
		return;
	kvl_advise_event(kvl_region_pool(r), &(struct kvl_event){
		.type = KVL_EV_TOUCH,
		.time = ktime_get_mono_fast_ns(),
		.region = r->id,
		.index = index,
		.addr = addr,
		.weight = weight,
		.advisor = kvl_advisor_of(r),
	});
}

void kvl_advise_place(struct kvl_region *r, u64 index, u64 from, u64 to)
{
	if (!READ_ONCE(kvl_region_pool(r)->advice.active))
		return;
	kvl_advise_event(kvl_region_pool(r), &(struct kvl_event){
		.type = KVL_EV_PLACE,
		.time = ktime_get_mono_fast_ns(),
		.region = r->id,
		.index = index,
		.addr = to & KVLIFT_LOC_PRESENT ? to & KVL_ADDR_MASK : 0,
		.from = from & KVLIFT_LOC_PRESENT ? kvl_addr_tier(from) :
						    KVLIFT_NR_TIERS,
		.advisor = kvl_advisor_of(r),
	});
}

void kvl_advise_cold(struct kvl_region *r, u64 index)
{
	if (!READ_ONCE(kvl_region_pool(r)->advice.active))
		return;
	kvl_advise_event(kvl_region_pool(r), &(struct kvl_event){
		.type = KVL_EV_COLD,
		.time = ktime_get_mono_fast_ns(),
		.region = r->id,
		.index = index,
		.advisor = kvl_advisor_of(r),
	});
}

/* What has happened by now is to be read; what comes later is not. */
void kvl_advise_snapshot(struct kvl_pool *pool)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct kvl_ring *q = pool->advice.rings[cpu];

		/* Pairs with the writer's release. */
		q->end = smp_load_acquire(&q->head);
	}
}

/* The earliest event of the snapshot. */
bool kvl_advise_next(struct kvl_pool *pool, struct kvl_event *e)
{
	struct kvl_ring *best = NULL;
	u64 time = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct kvl_ring *q = pool->advice.rings[cpu];
		u64 t;

		if (q->tail == q->end)
			continue;
		t = q->events[q->tail % KVL_RING_EVENTS].time;
		if (!best || t < time) {
			best = q;
			time = t;
		}
	}
	if (!best)
		return false;
	*e = best->events[best->tail % KVL_RING_EVENTS];
	/* Pairs with the writer's acquire. */
	smp_store_release(&best->tail, best->tail + 1);
	return true;
}

u64 kvl_advise_lost(struct kvl_pool *pool)
{
	u64 lost = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		lost += READ_ONCE(pool->advice.rings[cpu]->lost);
	return lost;
}

void kvl_advise_free_rings(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_event e;
	int cpu;

	if (!v->rings)
		return;
	kvl_advise_snapshot(pool);
	while (kvl_advise_next(pool, &e))
		if (e.type == KVL_EV_HINTS)
			kvfree((void *)e.addr);
	for_each_possible_cpu(cpu)
		kvfree(v->rings[cpu]);
	kfree(v->rings);
	v->rings = NULL;
}

int kvl_advise_make_rings(struct kvl_pool *pool)
{
	struct kvl_ring **rings;
	int cpu;

	rings = kcalloc(nr_cpu_ids, sizeof(*rings), GFP_KERNEL);
	if (!rings)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		rings[cpu] = kvzalloc_node(sizeof(**rings), GFP_KERNEL,
					   cpu_to_node(cpu));
		if (!rings[cpu])
			goto fail;
	}
	pool->advice.rings = rings;
	return 0;

fail:
	for_each_possible_cpu(cpu)
		kvfree(rings[cpu]);
	kfree(rings);
	return -ENOMEM;
}
