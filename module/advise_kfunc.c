// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a policy may call: bpf/include/kvlift/policy.h says what each is. All
 * run in a callback, so under the semaphore; none sleeps or frees a record.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/sched.h>

#include "advise.h"
#include "advise_call.h"
#include "compat.h"
#include "pool.h"
/* For the declarations. */
#include <kvlift/policy.h>
#undef kvlift_storage

#define NONE	KVLIFT_NO_BLOCK

struct loop {
	struct kvl_advisor *a;
	u32 at;
	u32 to;
};

static_assert(sizeof(struct loop) == sizeof(struct bpf_iter_kvlift_loop));

/*
 * None returns less than 32 bits: what the compiler leaves in the rest of the
 * register is for BPF a part of the value. A bool was true from the 255th
 * request on.
 */
__bpf_kfunc_start_defs();

__bpf_kfunc int bpf_iter_kvlift_loop_new(struct bpf_iter_kvlift_loop *it,
					 struct kvlift_ctx *ctx, u32 from,
					 u32 to)
{
	struct loop *l = (struct loop *)it;

	l->a = kvl_advisor(ctx);
	l->at = from - 1;
	l->to = to;
	/* Nothing to do: next() is not to wrap around. */
	if (from >= to)
		l->at = to - 1;
	return 0;
}

__bpf_kfunc u32 *bpf_iter_kvlift_loop_next(struct bpf_iter_kvlift_loop *it)
{
	struct loop *l = (struct loop *)it;
	struct kvl_advisor *a = l->a;

	if (l->at + 1 == l->to)
		return NULL;
	if (unlikely(!a->rounds))
		return NULL;
	/* The clock is looked at now and then; it ends every loop. */
	if (!(--a->rounds & 15) && current->se.sum_exec_runtime > a->deadline) {
		a->gone = KVL_CALL_ROUNDS - a->rounds;
		a->rounds = 0;
		return NULL;
	}
	l->at++;
	return &l->at;
}

__bpf_kfunc void bpf_iter_kvlift_loop_destroy(struct bpf_iter_kvlift_loop *it)
{
}

__bpf_kfunc u32 kvlift_chain(struct kvlift_ctx *ctx, u32 i)
{
	return likely(i < ctx->len) ? kvl_advisor(ctx)->chain[i] : NONE;
}

__bpf_kfunc u32 kvlift_batch(struct kvlift_ctx *ctx, u32 i)
{
	struct kvl_advisor *a = kvl_advisor(ctx);

	return likely(i < a->batch_nr && i < KVLIFT_POLICY_BATCH) ?
		       a->batch[i] : NONE;
}

__bpf_kfunc u32 kvlift_weight(struct kvlift_ctx *ctx, u32 i)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx),
						kvlift_batch(ctx, i));

	return e ? e->weight ?: 1 : 0;
}

/*
 * Not void *: to the verifier that is a number, and one that may be NULL makes
 * it warn. With a size of 0 it takes that of the type.
 */
__bpf_kfunc u8 *kvlift_storage(struct kvlift_ctx *ctx, u32 id,
			       const u32 rdwr_buf_size)
{
	struct kvl_advisor *a = kvl_advisor(ctx);

	if (unlikely(!rdwr_buf_size || rdwr_buf_size > a->storage_size ||
		     !kvl_entry_checked(a, id)))
		return NULL;
	return (u8 *)a->storage[id >> KVL_ENTRY_SHIFT] +
	       (id & (KVL_ENTRY_SEG - 1)) * a->storage_size;
}

__bpf_kfunc u32 kvlift_parent(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id);

	return e ? kvl_table_parent(a, e) : NONE;
}

__bpf_kfunc u32 kvlift_children(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e ? e->children : 0;
}

__bpf_kfunc u32 kvlift_depth(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e ? e->depth : 0;
}

__bpf_kfunc int kvlift_resident(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e && e->standing == KVL_RESIDENT;
}

__bpf_kfunc int kvlift_bound(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id);

	return !e || kvl_advise_bound(a, e);
}

__bpf_kfunc u32 kvlift_heat(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id);

	return e ? kvl_advise_heat(a, e) : 0;
}

__bpf_kfunc int kvlift_info(struct kvlift_ctx *ctx, u32 id,
			    struct kvlift_block_info *info)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id);
	s32 left;

	if (!e)
		return -EINVAL;
	left = e->use_at ? (s32)(e->use_at - (u32)jiffies) : 0;
	*info = (struct kvlift_block_info){
		.region = e->region,
		.index = e->index,
		.session = e->session,
		.heat = kvl_advise_heat(a, e),
		.parent = kvl_table_parent(a, e),
		.depth = e->depth,
		.children = e->children,
		.tier = e->tier,
		.prio = e->prio,
		.resident = e->standing == KVL_RESIDENT,
		.use_ms = left > 0 ? jiffies_to_msecs(left) : 0,
	};
	return 0;
}

__bpf_kfunc int kvlift_list_del(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_advisor *a = kvl_advisor(ctx);

	if (!kvl_entry_checked(a, id))
		return -EINVAL;
	kvl_list_unlink(a, id);
	return 0;
}

__bpf_kfunc int kvlift_list_add(struct kvlift_ctx *ctx, u32 list, u32 id,
				u32 end)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id);
	struct kvl_list *l;

	if (!e || list >= KVLIFT_POLICY_LISTS || end > KVLIFT_TAIL)
		return -EINVAL;
	kvl_list_unlink(a, id);
	l = &a->lists[list];
	e->list = list;
	e->prev = end == KVLIFT_HEAD ? NONE : l->tail;
	e->next = end == KVLIFT_HEAD ? l->head : NONE;
	if (e->prev != NONE)
		kvl_entry(a, e->prev)->next = id;
	else
		l->head = id;
	if (e->next != NONE)
		kvl_entry(a, e->next)->prev = id;
	else
		l->tail = id;
	l->len++;
	return 0;
}

__bpf_kfunc u32 kvlift_list_end(struct kvlift_ctx *ctx, u32 list, u32 end)
{
	struct kvl_advisor *a = kvl_advisor(ctx);

	if (list >= KVLIFT_POLICY_LISTS || end > KVLIFT_TAIL)
		return NONE;
	return end == KVLIFT_HEAD ? a->lists[list].head : a->lists[list].tail;
}

__bpf_kfunc u32 kvlift_list_next(struct kvlift_ctx *ctx, u32 id, u32 end)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	if (!e || e->list >= KVLIFT_POLICY_LISTS || end > KVLIFT_TAIL)
		return NONE;
	return end == KVLIFT_HEAD ? e->prev : e->next;
}

__bpf_kfunc u32 kvlift_list_len(struct kvlift_ctx *ctx, u32 list)
{
	return list < KVLIFT_POLICY_LISTS ? kvl_advisor(ctx)->lists[list].len :
					    0;
}

__bpf_kfunc u32 kvlift_list_of(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e && e->list < KVLIFT_POLICY_LISTS ? e->list : KVLIFT_NO_LIST;
}

__bpf_kfunc int kvlift_index_del(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_advisor *a = kvl_advisor(ctx);

	if (!kvl_entry_checked(a, id))
		return -EINVAL;
	kvl_index_unlink(a, id);
	return 0;
}

__bpf_kfunc int kvlift_index_set(struct kvlift_ctx *ctx, u32 id, u64 key)
{
	struct kvl_advisor *a = kvl_advisor(ctx);
	struct kvl_entry *e = kvl_entry_checked(a, id), *o;
	struct rb_node **p, *parent = NULL;
	bool leftmost = true;

	if (!e)
		return -EINVAL;
	kvl_index_unlink(a, id);
	p = &a->index.rb_root.rb_node;
	while (*p) {
		parent = *p;
		o = rb_entry(parent, struct kvl_entry, node);
		if (key < o->key) {
			p = &parent->rb_left;
		} else {
			p = &parent->rb_right;
			leftmost = false;
		}
	}
	e->key = key;
	e->indexed = true;
	rb_link_node(&e->node, parent, p);
	rb_insert_color_cached(&e->node, &a->index, leftmost);
	a->nr_indexed++;
	return 0;
}

static u32 id_of(struct rb_node *node)
{
	return node ? rb_entry(node, struct kvl_entry, node)->id : NONE;
}

__bpf_kfunc u32 kvlift_index_first(struct kvlift_ctx *ctx)
{
	return id_of(rb_first_cached(&kvl_advisor(ctx)->index));
}

__bpf_kfunc u32 kvlift_index_next(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e && e->indexed ? id_of(rb_next(&e->node)) : NONE;
}

__bpf_kfunc u64 kvlift_index_key(struct kvlift_ctx *ctx, u32 id)
{
	struct kvl_entry *e = kvl_entry_checked(kvl_advisor(ctx), id);

	return e && e->indexed ? e->key : U64_MAX;
}

__bpf_kfunc int kvlift_victim(struct kvlift_ctx *ctx, u32 id)
{
	return kvl_advise_ask_victim(kvl_advisor(ctx), id);
}

__bpf_kfunc int kvlift_fetch(struct kvlift_ctx *ctx, u32 id, u32 tier)
{
	return kvl_advise_ask_fetch(kvl_advisor(ctx), id, tier);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kvl_kfunc_ids)
BTF_ID_FLAGS(func, bpf_iter_kvlift_loop_new, KF_ITER_NEW | KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, bpf_iter_kvlift_loop_next, KF_ITER_NEXT | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_iter_kvlift_loop_destroy, KF_ITER_DESTROY)
BTF_ID_FLAGS(func, kvlift_chain, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_batch, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_weight, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_storage, KVL_KF_TRUSTED | KF_RET_NULL)
BTF_ID_FLAGS(func, kvlift_parent, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_children, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_depth, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_resident, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_bound, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_heat, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_info, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_add, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_del, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_end, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_next, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_len, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_list_of, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_index_set, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_index_del, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_index_first, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_index_next, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_index_key, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_victim, KVL_KF_TRUSTED)
BTF_ID_FLAGS(func, kvlift_fetch, KVL_KF_TRUSTED)
BTF_KFUNCS_END(kvl_kfunc_ids)

static const struct btf_kfunc_id_set kfunc_set = {
	.owner = THIS_MODULE,
	.set = &kvl_kfunc_ids,
};

int kvl_kfunc_init(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS, &kfunc_set);
}
