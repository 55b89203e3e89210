// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policies as BPF: the struct_ops type, attachment and its end.
 *
 * Lifetime: what a struct_ops map holds is freed an RCU and an RCU-tasks grace
 * period after unreg() has returned. unreg() takes advisor->live away, which
 * every callback looks at inside an RCU section, and waits only a bounded time
 * for the semaphore, to tell the policy. @lock makes links and pools stay while
 * they are looked at: unreg() takes it, so a link that an advisor names cannot
 * go away under it. Lock order: BPF's own mutex of the map, lock, semaphore.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>
#include <linux/mutex.h>

#include "advise.h"
#include "compat.h"
#include "domain.h"
#include "region.h"
#include "stats.h"

static DEFINE_MUTEX(lock);	/* the list of pools; advisors' links */
static LIST_HEAD(pools);

/* How long unreg() waits so that the policy hears of its end. */
#define GOODBYE		(HZ / 10)

static bool is_valid_access(int off, int size, enum bpf_access_type type,
			    const struct bpf_prog *prog,
			    struct bpf_insn_access_aux *info)
{
	if (off < 0 || off >= (int)sizeof(u64) * MAX_BPF_FUNC_ARGS ||
	    type != BPF_READ || off % size)
		return false;
	return btf_ctx_access(off, size, type, prog, info);
}

/* Loops whose length nobody counts, and ways around what was checked. */
static bool is_denied(enum bpf_func_id id)
{
	switch (id) {
	case BPF_FUNC_loop:
	case BPF_FUNC_for_each_map_elem:
	case BPF_FUNC_find_vma:
	case BPF_FUNC_user_ringbuf_drain:
	case BPF_FUNC_tail_call:
	case BPF_FUNC_timer_init:
	case BPF_FUNC_timer_set_callback:
	case BPF_FUNC_timer_start:
	case BPF_FUNC_timer_cancel:
		return true;
	default:
		return false;
	}
}

static const struct bpf_func_proto *get_func_proto(enum bpf_func_id id,
						   const struct bpf_prog *prog)
{
	return is_denied(id) ? NULL : bpf_base_func_proto(id, prog);
}

static const struct bpf_verifier_ops verifier_ops = {
	.is_valid_access = is_valid_access,
	.get_func_proto = get_func_proto,
};

/* What may be called of the kernel's own functions: nothing, so far. */
static bool is_ours(const struct bpf_insn *insn)
{
	return insn->off;
}

#define MAY_GOTO	(BPF_JMP | 0xe0)

/*
 * Callbacks must end: loops go through kvlift_for(), which counts, or are
 * unrolled by the verifier. So the kernel's iterators and may_goto, whose
 * rounds multiply when they are nested, are refused.
 */
static int check_member(const struct btf_type *t,
			const struct btf_member *member,
			const struct bpf_prog *prog)
{
	u32 i;

	if (prog->sleepable) {
		pr_info("policy: sleepable programs are refused: use SEC(\"struct_ops/...\")\n");
		return -EINVAL;
	}
	for (i = 0; i < prog->len; i++) {
		const struct bpf_insn *insn = &prog->insnsi[i];

		if (insn->code == MAY_GOTO) {
			pr_info("policy: may_goto (can_loop, cond_break) is refused: use kvlift_for()\n");
			return -EINVAL;
		}
		if (insn->code == (BPF_JMP | BPF_CALL) &&
		    insn->src_reg == BPF_PSEUDO_KFUNC_CALL && !is_ours(insn)) {
			pr_info("policy: functions of the kernel (bpf_for, bpf_repeat, ...) are refused: use kvlift_for()\n");
			return -EINVAL;
		}
	}
	return 0;
}

static int init_member(const struct btf_type *t,
		       const struct btf_member *member, void *kdata,
		       const void *udata)
{
	const struct kvlift_policy_ops *u = udata;
	struct kvlift_policy_ops *k = kdata;

	switch (__btf_member_bit_offset(t, member) / 8) {
	case offsetof(struct kvlift_policy_ops, domain):
		k->domain = u->domain;
		return 1;
	case offsetof(struct kvlift_policy_ops, pool):
		k->pool = u->pool;
		return 1;
	case offsetof(struct kvlift_policy_ops, flags):
		if (u->flags & ~KVLIFT_POLICY_PREFIX)
			return -EINVAL;
		k->flags = u->flags;
		return 1;
	case offsetof(struct kvlift_policy_ops, storage_size):
		if (u->storage_size > KVLIFT_POLICY_STORAGE)
			return -E2BIG;
		k->storage_size = u->storage_size;
		return 1;
	case offsetof(struct kvlift_policy_ops, name):
		if (strnlen(u->name, sizeof(u->name)) == sizeof(u->name) ||
		    !u->name[0])
			return -EINVAL;
		strscpy(k->name, u->name, sizeof(k->name));
		return 1;
	}
	return 0;
}

static int init(struct btf *btf)
{
	return 0;
}

static int validate(void *kdata)
{
	return 0;
}

static struct kvl_pool *find_pool(u32 id)
{
	struct kvl_pool *pool;

	list_for_each_entry(pool, &pools, advice.all)
		if (pool->id == id && !pool->advice.closed)
			return pool;
	return NULL;
}

static struct kvl_domain *find_domain(struct kvl_pool *pool, u64 id)
{
	struct kvl_domain *d, *found = NULL;

	spin_lock(&pool->domain_lock);
	list_for_each_entry(d, &pool->domains, all)
		if (d->id == id)
			found = kvl_domain_get(d);
	spin_unlock(&pool->domain_lock);
	return found;
}

/* One whose directory is gone, with all that was in it, serves @d from now on. */
static struct kvl_advisor *reuse_advisor(struct kvl_pool *pool,
					 struct kvl_domain *d)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_advisor *a = NULL;
	struct kvl_domain *gone;
	unsigned int i;

	for (i = 1; i < v->nr && !a; i++)
		if (!v->advisors[i]->link &&
		    kref_read(&v->advisors[i]->domain->ref) == 1)
			a = v->advisors[i];
	if (!a)
		return ERR_PTR(-EUSERS);
	if (!kvl_advise_lock(pool))
		return ERR_PTR(-EBUSY);
	kvl_advise_drain(pool);
	kvl_advise_end_detach(a);
	kvl_table_clear(a);
	a->stat = (struct kvl_advice_stat){ };
	gone = a->domain;
	spin_lock(&v->ops_lock);
	a->domain = d;
	a->exit = KVL_EXIT_NONE;
	spin_unlock(&v->ops_lock);
	a->fresh = true;
	WRITE_ONCE(d->advisor, a->id);
	kvl_advise_unlock(pool);
	kvl_domain_put(gone);
	kvl_stats_remove_policy(a);
	kvl_stats_add_policy(a);
	return a;
}

/* The advisor of a directory, made if need be. */
static struct kvl_advisor *find_advisor(struct kvl_pool *pool, u64 domain)
{
	struct kvl_advice *v = &pool->advice;
	struct kvl_advisor *a;
	struct kvl_domain *d;
	unsigned int i;

	if (!domain || domain == KVL_ROOT_ID)
		return v->advisors[0];
	for (i = 1; i < v->nr; i++)
		if (v->advisors[i]->domain->id == domain)
			return v->advisors[i];
	d = find_domain(pool, domain);
	if (!d)
		return ERR_PTR(-ENOENT);
	if (v->nr == KVL_MAX_ADVISORS) {
		a = reuse_advisor(pool, d);
		if (IS_ERR(a))
			kvl_domain_put(d);
		return a;
	}
	a = kvl_advisor_create(pool, d);
	if (!a) {
		kvl_domain_put(d);
		return ERR_PTR(-ENOMEM);
	}
	/* Without it, for want of memory, only its report is missing. */
	kvl_stats_add_policy(a);
	a->fresh = true;
	a->id = v->nr;
	v->advisors[v->nr] = a;
	/* Pairs with those who go through them without a lock. */
	smp_store_release(&v->nr, v->nr + 1);
	WRITE_ONCE(d->advisor, a->id);
	return a;
}

/*
 * Starts it. 0, or why not; then nobody is in charge, and its link, if it had
 * one, is not to be detached for that. The semaphore is held.
 */
static int start(struct kvl_advisor *a, const struct kvlift_policy_ops *ops)
{
	struct kvl_advice *v = &a->pool->advice;
	int err;

	spin_lock(&v->ops_lock);
	WRITE_ONCE(a->live, ops);
	a->since = ktime_get_ns();
	spin_unlock(&v->ops_lock);
	a->refresh = true;
	kvl_advise_refresh(a);
	/* Its attach() may have refused. */
	spin_lock(&v->ops_lock);
	err = a->live == ops ? 0 : a->exit_code ?: -EINVAL;
	a->eject = false;
	spin_unlock(&v->ops_lock);
	return err;
}

/*
 * Takes effect before it returns; then @link is there, or an error, and @old is
 * in charge as before, if there was one.
 */
static int attach(struct kvl_advisor *a, const struct kvlift_policy_ops *ops,
		  struct bpf_link *link, const struct kvlift_policy_ops *old)
{
	struct kvl_advice *v = &a->pool->advice;
	int err = 0;

	if (!kvl_advise_lock(a->pool))
		return -EBUSY;
	spin_lock(&v->ops_lock);
	if (a->live != old || (!old && a->link)) {
		/* The link of one that was ejected has to go first. */
		err = old ? -ENOENT : -EBUSY;
	} else {
		if (old) {
			strscpy(a->exit_name, old->name, sizeof(a->exit_name));
			strscpy(a->exit_text, "replaced by ", sizeof(a->exit_text));
			strlcat(a->exit_text, ops->name, sizeof(a->exit_text));
			a->exit = KVL_EXIT_REPLACED;
		} else {
			a->exit = KVL_EXIT_NONE;
		}
		a->exit_code = 0;
	}
	spin_unlock(&v->ops_lock);
	if (err)
		goto out;
	kvl_advise_end_detach(a);
	kvl_advise_take_over(a);
	kvl_advise_activate(a->pool, false);
	err = start(a, ops);
	if (err && old && start(a, old)) {
		/* Neither does the old one. */
		spin_lock(&v->ops_lock);
		a->eject = true;
		spin_unlock(&v->ops_lock);
		queue_work(kvl_system_wq, &v->eject_work);
	}
	if (!err) {
		spin_lock(&v->ops_lock);
		a->link = link;
		spin_unlock(&v->ops_lock);
	}
out:
	kvl_advise_unlock(a->pool);
	return err;
}

static int reg(void *kdata, struct bpf_link *link)
{
	struct kvlift_policy_ops *ops = kdata;
	struct kvl_advisor *a;
	struct kvl_pool *pool;
	int err;

	/* Without one the policy would outlive whoever loaded it. */
	if (!link)
		return -EOPNOTSUPP;
	mutex_lock(&lock);
	pool = find_pool(ops->pool);
	a = pool ? find_advisor(pool, ops->domain) : ERR_PTR(-ENOENT);
	err = IS_ERR(a) ? PTR_ERR(a) : attach(a, ops, link, NULL);
	mutex_unlock(&lock);
	return err;
}

static struct kvl_advisor *advisor_of(const struct bpf_link *link)
{
	struct kvl_pool *pool;
	unsigned int i;

	list_for_each_entry(pool, &pools, advice.all)
		for (i = 0; i < pool->advice.nr; i++) {
			struct kvl_advisor *a = pool->advice.advisors[i];

			if (a->link == link)
				return a;
		}
	return NULL;
}

static void unreg(void *kdata, struct bpf_link *link)
{
	struct kvl_advisor *a;
	struct kvl_advice *v;

	mutex_lock(&lock);
	a = advisor_of(link);
	if (!a)
		goto out;
	v = &a->pool->advice;
	if (READ_ONCE(a->live) == kdata && !down_timeout(&v->sem, GOODBYE)) {
		kvl_advise_end_detach(a);
		up(&v->sem);
	}
	spin_lock(&v->ops_lock);
	if (a->live == kdata) {
		strscpy(a->exit_name, a->live->name, sizeof(a->exit_name));
		strscpy(a->exit_text, "unloaded, or its loader has ended",
			sizeof(a->exit_text));
		a->exit = KVL_EXIT_DETACHED;
		a->exit_code = 0;
		a->since = ktime_get_ns();
		WRITE_ONCE(a->live, NULL);
	}
	a->link = NULL;
	spin_unlock(&v->ops_lock);
	/* So that the default rules at once. */
	if (!READ_ONCE(v->stopping))
		mod_delayed_work(a->pool->wq, &v->work, 0);
out:
	mutex_unlock(&lock);
}

/* Hot swap: the new one stands for the same pool and directory. */
static int update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	struct kvlift_policy_ops *ops = kdata, *old = old_kdata;
	struct kvl_advisor *a;
	int err = -ENOENT;

	if (ops->pool != old->pool || ops->domain != old->domain)
		return -EINVAL;
	mutex_lock(&lock);
	a = advisor_of(link);
	/* After an ejection there is none to be replaced. */
	if (a && a->live == old && !a->pool->advice.closed)
		err = attach(a, ops, link, old);
	mutex_unlock(&lock);
	return err;
}

void kvl_policy_eject_work(struct work_struct *work)
{
	struct kvl_advice *v = container_of(work, struct kvl_advice,
					    eject_work);
	struct bpf_link *links[KVL_MAX_ADVISORS];
	unsigned int i, n = 0;

	mutex_lock(&lock);
	for (i = 0; i < v->nr; i++) {
		struct kvl_advisor *a = v->advisors[i];
		struct bpf_link *link = NULL;

		spin_lock(&v->ops_lock);
		if (a->eject) {
			a->eject = false;
			link = a->link;
		}
		spin_unlock(&v->ops_lock);
		/* Its unreg() takes our lock first: it is there still. */
		if (link)
			link = bpf_link_inc_not_zero(link);
		if (!IS_ERR_OR_NULL(link))
			links[n++] = link;
	}
	mutex_unlock(&lock);
	for (i = 0; i < n; i++) {
		links[i]->ops->detach(links[i]);
		bpf_link_put(links[i]);
	}
}

/* From here on policies can be attached. */
void kvl_policy_bpf_mount(struct kvl_pool *pool)
{
	mutex_lock(&lock);
	if (pool->advice.nr)
		list_add(&pool->advice.all, &pools);
	mutex_unlock(&lock);
}

/* The pool goes away under its policies. */
void kvl_policy_bpf_unmount(struct kvl_pool *pool)
{
	struct kvl_advice *v = &pool->advice;
	unsigned int i;

	/* It stays in the list, so that unreg() still finds its links. */
	mutex_lock(&lock);
	v->closed = true;
	mutex_unlock(&lock);
	for (i = 0; i < v->nr; i++) {
		struct kvl_advisor *a = v->advisors[i];

		kvl_advise_eject(a, KVL_EXIT_UNMOUNT, 0, "the pool was unmounted");
	}
	cancel_work_sync(&v->eject_work);
	/* Detaches what is left. */
	kvl_policy_eject_work(&v->eject_work);
	mutex_lock(&lock);
	list_del_init(&v->all);
	mutex_unlock(&lock);
}

/* Called only to learn types; they stand for what a policy leaves out. */
static s32 stub_int(struct kvlift_ctx *ctx)
{
	return 0;
}

static void stub(struct kvlift_ctx *ctx)
{
}

static void stub_u32(struct kvlift_ctx *ctx, u32 x)
{
}

static s32 stub_admit(struct kvlift_ctx *ctx, u32 id)
{
	return 0;
}

static void stub_moved(struct kvlift_ctx *ctx, u32 id, u32 from, u32 to)
{
}

static struct kvlift_policy_ops stubs = {
	.attach = stub_int,
	.detach = stub,
	.request = stub,
	.accessed = stub_u32,
	.admit = stub_admit,
	.victims = stub_u32,
	.added = stub_u32,
	.removed = stub_u32,
	.moved = stub_moved,
	.forget = stub_u32,
	.prefetch = stub,
	.hint = stub_u32,
	.tick = stub,
};

static struct bpf_struct_ops bpf_kvlift_policy_ops = {
	.verifier_ops = &verifier_ops,
	.init = init,
	.check_member = check_member,
	.init_member = init_member,
	.validate = validate,
	.reg = reg,
	.unreg = unreg,
	.update = update,
	.cfi_stubs = &stubs,
	.name = "kvlift_policy_ops",
	.owner = THIS_MODULE,
};

int kvl_policy_bpf_init(void)
{
	int err = kvl_kfunc_init();

	return err ?: register_bpf_struct_ops(&bpf_kvlift_policy_ops,
					      kvlift_policy_ops);
}
