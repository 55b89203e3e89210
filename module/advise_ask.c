// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asking a policy: who is asked, for how long, what its answers are worth, and
 * when it is asked no more.
 */
#include <linux/bpf.h>
#include <linux/slab.h>

#include "advise_call.h"
#include "compat.h"
#include "domain.h"
#include "heat.h"
#include "params.h"
#include "policy.h"
#include "region.h"
#include "trace.h"

/* Wrong answers in a row, and calls without a victim, that are too many. */
#define MAX_BAD		256
#define MAX_STALLS	16

/* A second call that takes too long within this is one too many. */
#define OVERTIME_NS	(30ULL * NSEC_PER_SEC)
/* But who has gone through so many rounds has taken the time itself. */
#define BUSY_ROUNDS	8192

/* How long somebody waits for the semaphore before it goes on without advice. */
#define PATIENCE	(HZ / 2)

void *kvl_advise_state(struct kvlift_ctx *ctx)
{
	return kvl_advisor(ctx)->state;
}

bool kvl_advise_lock(struct kvl_pool *pool)
{
	return !down_timeout(&pool->advice.sem, PATIENCE);
}

void kvl_advise_unlock(struct kvl_pool *pool)
{
	up(&pool->advice.sem);
}

static const char *const exit_names[] = {
	[KVL_EXIT_NONE] = "none",
	[KVL_EXIT_DETACHED] = "detached",
	[KVL_EXIT_REPLACED] = "replaced",
	[KVL_EXIT_REFUSED] = "refused",
	[KVL_EXIT_TIMEOUT] = "timeout",
	[KVL_EXIT_ANSWER] = "answer",
	[KVL_EXIT_STALL] = "stall",
	[KVL_EXIT_MEMORY] = "memory",
	[KVL_EXIT_UNMOUNT] = "unmount",
};

/*
 * From now on it is not asked: callbacks look for @live. The link is detached
 * by a worker, as that takes locks of BPF's.
 */
void kvl_advise_eject(struct kvl_advisor *a, enum kvl_exit kind, int code,
		      const char *text)
{
	struct kvl_advice *v = &a->pool->advice;
	bool was;

	spin_lock(&v->ops_lock);
	was = a->live;
	if (was) {
		strscpy(a->exit_name, a->live->name, sizeof(a->exit_name));
		strscpy(a->exit_text, text, sizeof(a->exit_text));
		WRITE_ONCE(a->live, NULL);
		a->exit = kind;
		a->exit_code = code;
		a->since = ktime_get_ns();
		a->eject = true;
	}
	spin_unlock(&v->ops_lock);
	if (!was)
		return;
	a->stat.ejections++;
	trace_kvlift_policy_exit(a->pool->id, a->domain ? a->domain->id : 0,
				 a->exit_name, kind, code, a->exit_text);
	pr_warn("pool %u: policy %s ejected (%s, %d): %s\n", a->pool->id,
		a->exit_name, exit_names[kind], code, a->exit_text);
	if (!READ_ONCE(v->stopping))
		queue_work(kvl_system_wq, &v->eject_work);
}

static const char *const call_names[KVL_NR_CALLS] = {
	[KVL_CALL_ATTACH] = "attach",
	[KVL_CALL_DETACH] = "detach",
	[KVL_CALL_REQUEST] = "request",
	[KVL_CALL_ACCESSED] = "accessed",
	[KVL_CALL_ADMIT] = "admit",
	[KVL_CALL_VICTIMS] = "victims",
	[KVL_CALL_ADDED] = "added",
	[KVL_CALL_REMOVED] = "removed",
	[KVL_CALL_MOVED] = "moved",
	[KVL_CALL_FORGET] = "forget",
	[KVL_CALL_PREFETCH] = "prefetch",
	[KVL_CALL_HINT] = "hint",
	[KVL_CALL_TICK] = "tick",
};

void kvl_call_end(struct kvl_advisor *a, const struct kvl_call_time *t)
{
	struct kvl_call_stat *s = &a->stat.calls[a->call];
	u32 rounds = a->rounds ? KVL_CALL_ROUNDS - a->rounds : a->gone;
	u64 ns = local_clock() - t->start, cpu;
	char text[64];

	s->count++;
	s->ns += ns;
	s->max = max(s->max, ns);
	cpu = 0;
	/* What others did to the CPU meanwhile is not its fault. */
	if (a->is_bpf && unlikely(ns > KVL_CALL_NS))
		cpu = current->se.sum_exec_runtime - t->cpu;
	if (cpu > KVL_CALL_NS) {
		/*
		 * What interrupts and a hypervisor took counts as ours: once is
		 * chance.
		 */
		if (rounds >= BUSY_ROUNDS ||
		    (a->overtime && t->start - a->overtime < OVERTIME_NS)) {
			snprintf(text, sizeof(text), "%s() took %llu ms",
				 call_names[a->call], cpu / NSEC_PER_MSEC);
			kvl_advise_eject(a, KVL_EXIT_TIMEOUT, -ETIME, text);
		}
		a->overtime = t->start;
	} else if (a->is_bpf && unlikely(!a->rounds)) {
		snprintf(text, sizeof(text), "%s(): more than %lu rounds of loops",
			 call_names[a->call], KVL_CALL_ROUNDS);
		kvl_advise_eject(a, KVL_EXIT_TIMEOUT, -ELOOP, text);
	}
	a->call = KVL_CALL_NONE;
}

/* A wrong answer: some are mistakes, many are a wrong policy. */
static void bad_answer(struct kvl_advisor *a, const char *text, u32 value)
{
	char buf[80];

	a->stat.bad_answers++;
	if (++a->bad < MAX_BAD)
		return;
	snprintf(buf, sizeof(buf), "%u wrong answers, the last: %s %d", a->bad,
		 text, (s32)value);
	kvl_advise_eject(a, KVL_EXIT_ANSWER, -EINVAL, buf);
	a->bad = 0;
}

bool kvl_advise_bound(struct kvl_advisor *a, const struct kvl_entry *e)
{
	if (e->standing != KVL_RESIDENT)
		return true;
	/* The last request runs until there is another. */
	return a->flags & KVLIFT_POLICY_PREFIX &&
	       (e->children || e->user == (u32)a->ctx.nr + 1);
}

u32 kvl_advise_heat(struct kvl_advisor *a, const struct kvl_entry *e)
{
	struct kvl_block *b = NULL;
	struct kvl_region *r;
	u32 heat = 0;

	/* A region is erased before its blocks go. */
	xa_lock(&a->pool->regions);
	r = xa_load(&a->pool->regions, e->region);
	if (r)
		b = kvl_region_find(r, e->index);
	if (b)
		heat = kvl_heat_read(b);
	xa_unlock(&a->pool->regions);
	return heat;
}

/* The slot that the block has in DRAM, or NULL; under lru_lock. */
static struct kvl_slot *slot_of(struct kvl_advisor *a,
				const struct kvl_entry *e)
{
	struct kvl_slot *s;

	if (!e->addr || kvl_addr_tier(e->addr) != KVLIFT_TIER_DRAM)
		return NULL;
	s = kvl_mem_slot(a->pool, e->addr);
	if (!s->region || s->region->id != e->region || s->index != e->index)
		return NULL;
	return s;
}

/* 0, or why the block cannot go just now. */
static int may_go(struct kvl_advisor *a, const struct kvl_entry *e)
{
	struct kvl_tier *t = &a->pool->tiers[KVLIFT_TIER_DRAM];
	struct kvl_domain *d;
	struct kvl_slot *s;
	int err = 0;

	spin_lock(&t->lru_lock);
	s = slot_of(a, e);
	if (s && READ_ONCE(s->leases))
		err = -EBUSY;
	for (d = s ? s->region->domain : NULL; d && !err; d = d->parent)
		if (d->tier[t->id].guarantee &&
		    atomic64_read(&d->tier[t->id].blocks) <=
			    READ_ONCE(d->tier[t->id].guarantee))
			err = -EPERM;
	spin_unlock(&t->lru_lock);
	return err;
}

int kvl_advise_ask_victim(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(a, id);
	int err;
	u32 i;

	if (a->call != KVL_CALL_VICTIMS)
		return -EINVAL;
	if (a->nr_victims >= a->want)
		return -ENOSPC;
	/* The end of a list: no answer, which is not a wrong one. */
	if (id == KVLIFT_NO_BLOCK)
		return -EINVAL;
	if (!e || e->standing != KVL_RESIDENT) {
		bad_answer(a, "no resident block", id);
		return -EINVAL;
	}
	for (i = 0; i < a->nr_victims; i++)
		if (a->victims[i] == id) {
			bad_answer(a, "given twice: block", id);
			return -EEXIST;
		}
	if (kvl_advise_bound(a, e)) {
		a->refused = true;
		return -EBUSY;
	}
	err = may_go(a, e);
	if (err) {
		a->refused = true;
		return err;
	}
	a->bad = 0;
	a->victims[a->nr_victims++] = id;
	return 0;
}

int kvl_advise_ask_fetch(struct kvl_advisor *a, u32 id, u32 tier)
{
	struct kvl_entry *e = kvl_entry_checked(a, id);

	if (a->call != KVL_CALL_PREFETCH && a->call != KVL_CALL_TICK)
		return -EINVAL;
	if (!e || (tier != KVLIFT_TIER_DRAM && tier != KVLIFT_TIER_CXL)) {
		bad_answer(a, "fetch of block", id);
		return -EINVAL;
	}
	if (a->nr_fetches >= KVLIFT_POLICY_BATCH)
		return -ENOSPC;
	if (e->addr && kvl_addr_tier(e->addr) <= tier)
		return -EEXIST;
	a->fetches[a->nr_fetches++] = id;
	return 0;
}

/* To the cold end, where reclaim takes it; or not any more. */
void kvl_advise_set_out(struct kvl_advisor *a, struct kvl_entry *e, bool out)
{
	struct kvl_tier *t = &a->pool->tiers[KVLIFT_TIER_DRAM];
	struct list_head *lru;
	struct kvl_slot *s;

	spin_lock(&t->lru_lock);
	s = slot_of(a, e);
	if (s) {
		s->out = out;
		lru = &s->region->domain->tier[t->id].lru;
		if (out)
			list_move_tail(&s->lru, lru);
		else
			list_move(&s->lru, lru);
	}
	spin_unlock(&t->lru_lock);
	out = out && s;
	if (e->out != out)
		a->nr_out += out ? 1 : -1;
	e->out = out;
}

void kvl_advise_remove(struct kvl_advisor *a, u32 id)
{
	struct kvl_entry *e = kvl_entry(a, id);

	if (e->user == (u32)a->ctx.nr + 1 && a->request_resident)
		a->request_resident--;
	kvl_table_resident(a, id, false);
	kvl_advise_set_out(a, e, true);
	KVL_TELL(a, KVL_CALL_REMOVED, removed, id);
}

/* Its id is going to be another block's. */
void kvl_advise_forget(struct kvl_advisor *a, u32 id)
{
	KVL_TELL(a, KVL_CALL_FORGET, forget, id);
	kvl_table_drop(a, id);
}

/* Residents that can go: all, or all but those of the request. */
static bool any_left(struct kvl_advisor *a)
{
	return a->ctx.resident > (a->flags & KVLIFT_POLICY_PREFIX ?
					  a->request_resident : 0);
}

/* Blocks that are looked at for one that can go. */
#define LOOK	64

/* Where the policy says too little: the least recently used that can go. */
static bool default_victim(struct kvl_advisor *a)
{
	u32 id = a->order[1].old, n;
	struct kvl_entry *e;

	for (n = 0; n < LOOK && id != KVLIFT_NO_BLOCK; n++, id = e->newer) {
		e = kvl_entry(a, id);
		if (!kvl_advise_bound(a, e) && !may_go(a, e)) {
			kvl_advise_remove(a, id);
			return true;
		}
	}
	return false;
}

/*
 * Something must go although the policy keeps it all, as the last request is
 * as large as the memory: the end of a chain, and not its beginning, which the
 * LRU would take.
 */
bool kvl_advise_force(struct kvl_advisor *a)
{
	u32 id = a->order[1].new, n;
	struct kvl_entry *e;

	if (!(a->flags & KVLIFT_POLICY_PREFIX))
		return false;
	for (n = 0; n < 4 * LOOK && id != KVLIFT_NO_BLOCK; n++, id = e->older) {
		e = kvl_entry(a, id);
		if (!e->children && e->addr && !may_go(a, e)) {
			kvl_advise_remove(a, id);
			return true;
		}
	}
	return false;
}

/*
 * Asks for up to @want victims and takes them; where there are none although
 * something can go, takes one. How many went.
 */
u32 kvl_advise_victims(struct kvl_advisor *a, u32 want)
{
	u32 i, n;
	char text[64];

	a->want = min(want, KVLIFT_POLICY_BATCH);
	a->nr_victims = 0;
	a->refused = false;
	KVL_TELL(a, KVL_CALL_VICTIMS, victims, a->want);
	n = a->nr_victims;
	a->want = 0;
	for (i = 0; i < n; i++)
		kvl_advise_remove(a, a->victims[i]);
	a->stat.victims += n;
	if (n || !any_left(a)) {
		a->stalls = 0;
		return n;
	}
	n = default_victim(a);
	a->stat.short_answers += n && a->has_victims;
	if (a->refused) {
		a->stalls = 0;
	} else if (a->is_bpf && n && a->has_victims && ++a->stalls == MAX_STALLS) {
		snprintf(text, sizeof(text),
			 "no victim in %d calls, with %u blocks resident",
			 MAX_STALLS, a->ctx.resident);
		kvl_advise_eject(a, KVL_EXIT_STALL, -ENODATA, text);
	}
	return n;
}

/* What admit() said: 0 for DRAM, else not. */
bool kvl_advise_admit(struct kvl_advisor *a, u32 id)
{
	s32 ret = KVL_ASK(a, KVL_CALL_ADMIT, admit, (s32)KVLIFT_KEEP, id);

	switch (ret) {
	case KVLIFT_KEEP:
	case KVLIFT_TIER_DRAM:
		return true;
	case KVLIFT_BYPASS:
	case KVLIFT_TIER_CXL:
	case KVLIFT_TIER_NVME:
		return false;
	}
	bad_answer(a, "admit() returned", ret);
	return true;
}

/* Who decides without a BPF policy. */
static const struct kvlift_builtin *builtin(void)
{
	return kvl_param_builtin_lru ? &kvlift_policy_lru :
				       &kvlift_policy_gittins;
}

static int start_policy(struct kvl_advisor *a)
{
	const struct kvlift_policy_ops *ops;
	u32 flags = 0, size = 0, state = 0;
	bool is_bpf, has_victims;
	u32 id;
	int err;

	rcu_read_lock();
	ops = READ_ONCE(a->live);
	is_bpf = ops;
	if (!ops) {
		ops = &builtin()->ops;
		if (builtin()->state_size)
			state = *builtin()->state_size;
	}
	flags = ops->flags;
	size = ops->storage_size;
	has_victims = ops->victims;
	rcu_read_unlock();
	/* @ops is only compared from here on, until it was found alive. */
	kvl_table_reset(a);
	kvfree(a->state);
	a->state = state ? kvzalloc(state, GFP_KERNEL) : NULL;
	err = state && !a->state ? -ENOMEM : kvl_table_storage(a, size);
	if (err)
		return is_bpf ? err : 0;
	a->is_bpf = is_bpf;
	a->flags = flags;
	a->has_victims = has_victims;
	a->ops = ops;
	a->stalls = 0;
	a->bad = 0;
	a->overtime = 0;
	err = KVL_ASK(a, KVL_CALL_ATTACH, attach, 0);
	/* Who loads it sees that: it must be an error that user space knows. */
	if (err > 0 || err <= -ERESTARTSYS)
		err = -EINVAL;
	if (err || !a->ops)
		return err;
	a->attached = true;
	for (id = 0; id < a->ctx.max_blocks && a->ops; id++) {
		if (kvl_entry(a, id)->standing == KVL_RESIDENT)
			KVL_TELL(a, KVL_CALL_ADDED, added, id);
		if (!(id % 1024))
			cond_resched();
	}
	return 0;
}

/* Starts the policy that is to decide now. */
void kvl_advise_refresh(struct kvl_advisor *a)
{
	unsigned int tries;
	int err;

	for (tries = 0; tries < 4 && (a->refresh || !a->ops); tries++) {
		a->refresh = false;
		a->attached = false;
		a->ops = NULL;
		err = start_policy(a);
		if (!err)
			continue;
		a->ops = NULL;
		kvl_advise_eject(a, err == -ENOMEM ? KVL_EXIT_MEMORY :
						     KVL_EXIT_REFUSED,
				 err, err == -ENOMEM ?
					      "no memory for its blocks" :
					      "its attach() failed");
		a->refresh = true;
	}
}

/* The policy that decides is going to go: it is told, if there is time. */
void kvl_advise_end_detach(struct kvl_advisor *a)
{
	if (a->attached)
		KVL_TELL(a, KVL_CALL_DETACH, detach);
	a->attached = false;
	a->ops = NULL;
	a->refresh = true;
}

/*
 * /sys/fs/kvlift/<pool>/policy, and policy-<domain> of a directory: figures may
 * be a little apart.
 */
ssize_t kvl_advise_show(struct kvl_advisor *a, char *buf)
{
	struct kvl_advice *v = &a->pool->advice;
	const struct kvl_advice_stat *s = &a->stat;
	char name[KVLIFT_POLICY_NAME] = "";
	u64 max = 0, ns = 0;
	unsigned int i;
	int n = 0;

	for (i = 0; i < KVL_NR_CALLS; i++) {
		max = max(max, s->calls[i].max);
		ns += s->calls[i].ns;
	}
	spin_lock(&v->ops_lock);
	if (a->live)
		strscpy(name, a->live->name, sizeof(name));
	n += sysfs_emit_at(buf, n, "name %s\nstate %s\nbuiltin %s\n",
			   *name ? name : builtin()->ops.name,
			   *name ? "active" :
			   a->exit > KVL_EXIT_REPLACED ? "ejected" : "none",
			   builtin()->ops.name);
	n += sysfs_emit_at(buf, n, "asked %d\ndomain %llu\n",
			   READ_ONCE(v->active), a->domain ? a->domain->id : 0);
	n += sysfs_emit_at(buf, n, "link_id %u\n",
			   a->link ? a->link->id : 0);
	if (a->exit != KVL_EXIT_NONE)
		n += sysfs_emit_at(buf, n,
				   "last %s\nkind %s\ncode %d\nreason %s\n",
				   a->exit_name, exit_names[a->exit],
				   a->exit_code, a->exit_text);
	n += sysfs_emit_at(buf, n, "since_ms %llu\n",
			   a->since ? div_u64(ktime_get_ns() - a->since,
					      NSEC_PER_MSEC) : 0);
	spin_unlock(&v->ops_lock);
	n += sysfs_emit_at(buf, n,
			   "capacity %u\nresident %u\nremembered %u\nremembered_max %u\nout %u\n",
			   a->ctx.capacity, a->ctx.resident, a->nr, a->max,
			   a->nr_out);
	n += sysfs_emit_at(buf, n,
			   "requests %llu\ntold %llu\nhits %llu\nmisses %llu\nadmitted %llu\nbypassed %llu\nvictims %llu\nvictims_short %llu\nbad_answers %llu\nfetched %llu\nejections %llu\n",
			   s->requests, s->told, s->hits, s->misses,
			   s->admitted, s->bypassed, s->victims,
			   s->short_answers, s->bad_answers, s->fetched,
			   s->ejections);
	n += sysfs_emit_at(buf, n,
			   "callbacks_ns %llu\ncallbacks_ns_max %llu\n", ns,
			   max);
	for (i = 1; i < KVL_NR_CALLS; i++)
		if (s->calls[i].count)
			n += sysfs_emit_at(buf, n,
					   "call_%s %llu\ncall_%s_ns %llu\n",
					   call_names[i], s->calls[i].count,
					   call_names[i], s->calls[i].ns);
	if (!a->id)
		n += sysfs_emit_at(buf, n, "events_lost %llu\n",
				   kvl_advise_lost(a->pool));
	return n;
}
