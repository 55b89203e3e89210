// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The policies of bpf/ in the simulator: what the module does for them in the
 * kernel, and the functions they call (kvlift/policy.h). Ids are the
 * simulator's. One that keeps chains whole runs in atomic mode; for any other
 * each reference is a request of one block.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kvlift/policy.h>

#include "sim_policy.h"

/* Decayed touches: halved each time. */
#define HEAT_HALVES_NS 60000000000ULL
#define HEAT_ONE       256u

struct list {
	uint32_t end[2], len;
};

struct node {
	uint32_t to[2]; /* towards each end of its list */
	uint32_t list;
	uint32_t heat;
	uint64_t heated_ns;
	uint64_t session;
	bool given;
};

/* sim.priv: a policy that runs. */
struct instance {
	struct kvlift_ctx ctx;
	struct sim *s;
	const struct kvlift_policy_ops *ops;
	void *state;
	char *storage;
	struct node *nodes;
	struct list lists[KVLIFT_POLICY_LISTS];
	const uint32_t *chain, *batch;
	uint32_t missed;
	uint32_t nr_batch;
	uint32_t *victims, want, nr_victims;
};

static struct instance *instance_of(struct kvlift_ctx *ctx)
{
	return (struct instance *)((char *)ctx -
				   offsetof(struct instance, ctx));
}

static struct node *node_of(struct instance *x, uint32_t id)
{
	return id < x->ctx.max_blocks ? &x->nodes[id] : NULL;
}

/* What changes all the time. */
static struct instance *tell(struct sim *s)
{
	struct instance *x = s->priv;

	x->ctx.now_ns = s->now_ns;
	x->ctx.resident = s->nr_cached;
	return x;
}

static int start(struct sim *s)
{
	struct instance *x = s->priv;
	uint32_t i;

	x->s = s;
	x->ops = &s->policy->builtin->ops;
	x->ctx.capacity = s->capacity;
	x->ctx.max_blocks = s->nr_blocks;
	x->ctx.block_shift = 21;
	x->ctx.flags = KVLIFT_CTX_TOLD;
	x->state = calloc(1, *s->policy->builtin->state_size + 1u);
	x->storage = calloc(s->nr_blocks, x->ops->storage_size + 1u);
	x->nodes = calloc(s->nr_blocks, sizeof(*x->nodes));
	if (!x->state || !x->storage || !x->nodes)
		return -ENOMEM;
	for (i = 0; i < s->nr_blocks; i++)
		x->nodes[i].list = KVLIFT_NO_LIST;
	for (i = 0; i < KVLIFT_POLICY_LISTS; i++)
		x->lists[i] = (struct list){ { SIM_NONE, SIM_NONE }, 0 };
	tell(s);
	return x->ops->attach ? x->ops->attach(&x->ctx) : 0;
}

static void clean_up(struct instance *x)
{
	free(x->state);
	free(x->storage);
	free(x->nodes);
}

static int attach(struct sim *s)
{
	int ret = start(s);

	if (ret)
		clean_up(s->priv);
	return ret;
}

static void detach(struct sim *s)
{
	struct instance *x = tell(s);

	if (x->ops->detach)
		x->ops->detach(&x->ctx);
	clean_up(x);
}

static void note_use(struct instance *x, uint32_t id)
{
	struct node *n = &x->nodes[id];
	uint64_t halves = (x->ctx.now_ns - n->heated_ns) / HEAT_HALVES_NS;

	n->heat = (halves < 32 ? n->heat >> halves : 0) + HEAT_ONE;
	n->heated_ns = x->ctx.now_ns;
	n->session = x->ctx.session;
}

static void request_begin(struct sim *s)
{
	const struct sim_request *q = &s->request;
	struct instance *x = tell(s);
	uint32_t i;

	x->ctx.session = sim_branch(q->session, q->agent);
	if (s->mode != SIM_ATOMIC)
		return;
	x->chain = q->chain;
	x->ctx.nr = q->nr;
	x->ctx.len = q->len;
	x->ctx.whole = sim_whole_blocks(q->input_length, q->len);
	x->ctx.cached = q->cached;
	for (i = 0; i < q->len; i++)
		note_use(x, q->chain[i]);
	if (x->ops->request)
		x->ops->request(&x->ctx);
}

static void request_end(struct sim *s)
{
	struct instance *x = tell(s);

	if (x->ops->prefetch)
		x->ops->prefetch(&x->ctx);
}

/* Blocks that were used together, as a request of their own. */
static void single_request(struct instance *x, const uint32_t *ids, uint32_t nr,
			   bool hit)
{
	uint32_t i;

	x->chain = ids;
	x->ctx.len = nr;
	x->ctx.whole = nr;
	x->ctx.cached = hit ? nr : 0;
	for (i = 0; i < nr; i++)
		note_use(x, ids[i]);
	if (x->ops->request)
		x->ops->request(&x->ctx);
	x->ctx.nr++;
}

static void tell_batch(struct instance *x, const uint32_t *ids, uint32_t nr)
{
	x->batch = ids;
	x->nr_batch = nr;
	if (x->ops->accessed)
		x->ops->accessed(&x->ctx, nr);
	x->nr_batch = 0;
}

static void accessed(struct sim *s, const uint32_t *ids, uint32_t nr)
{
	struct instance *x = tell(s);
	uint32_t i, step;

	if (s->mode == SIM_ATOMIC) {
		tell_batch(x, ids, nr);
		return;
	}
	step = x->ops->request ? 1 : nr;
	for (i = 0; i < nr; i += step) {
		single_request(x, ids + i, step, true);
		tell_batch(x, ids + i, step);
	}
}

static int admit(struct sim *s, uint32_t id)
{
	struct instance *x = tell(s);

	x->missed = id;
	if (s->mode != SIM_ATOMIC)
		single_request(x, &x->missed, 1, false);
	if (!x->ops->admit || x->ops->admit(&x->ctx, id) == KVLIFT_KEEP)
		return SIM_KEEP;
	return SIM_BYPASS;
}

static uint32_t victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	struct instance *x = tell(s);
	uint32_t i;

	x->victims = ids;
	x->want = want;
	x->nr_victims = 0;
	if (x->ops->victims)
		x->ops->victims(&x->ctx, want);
	for (i = 0; i < x->nr_victims; i++)
		x->nodes[ids[i]].given = false;
	x->want = 0;
	return x->nr_victims;
}

static void added(struct sim *s, uint32_t id)
{
	struct instance *x = tell(s);

	if (x->ops->added)
		x->ops->added(&x->ctx, id);
}

static void removed(struct sim *s, uint32_t id)
{
	struct instance *x = tell(s);

	if (x->ops->removed)
		x->ops->removed(&x->ctx, id);
}

static void tick(struct sim *s)
{
	struct instance *x = tell(s);

	if (x->ops->tick)
		x->ops->tick(&x->ctx);
}

static void hint(struct sim *s, uint32_t ms)
{
	struct instance *x = tell(s);

	if (x->ops->hint)
		x->ops->hint(&x->ctx, ms);
}

/* The functions that a policy calls. */

void *kvl_advise_state(struct kvlift_ctx *ctx)
{
	return instance_of(ctx)->state;
}

u32 kvlift_chain(struct kvlift_ctx *ctx, u32 i)
{
	return i < ctx->len ? instance_of(ctx)->chain[i] : KVLIFT_NO_BLOCK;
}

u32 kvlift_batch(struct kvlift_ctx *ctx, u32 i)
{
	struct instance *x = instance_of(ctx);

	return i < x->nr_batch ? x->batch[i] : KVLIFT_NO_BLOCK;
}

u32 kvlift_weight(struct kvlift_ctx *ctx, u32 i)
{
	return 1;
}

u8 *(kvlift_storage)(struct kvlift_ctx *ctx, u32 id, const u32 rdwr_buf_size)
{
	struct instance *x = instance_of(ctx);
	size_t size = x->ops->storage_size;

	if (id >= ctx->max_blocks || rdwr_buf_size > size)
		return NULL;
	return (u8 *)x->storage + id * size;
}

u32 kvlift_parent(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	return id < s->nr_blocks ? sim_parent(s, id) : KVLIFT_NO_BLOCK;
}

u32 kvlift_children(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	return id < s->nr_blocks ? sim_children(s, id) : 0;
}

u32 kvlift_depth(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	return id < s->nr_blocks ? sim_depth(s, id) : 0;
}

int kvlift_resident(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	return id < s->nr_blocks && sim_cached(s, id);
}

int kvlift_bound(struct kvlift_ctx *ctx, u32 id)
{
	return sim_bound(instance_of(ctx)->s, id) != NULL;
}

u32 kvlift_heat(struct kvlift_ctx *ctx, u32 id)
{
	struct node *n = node_of(instance_of(ctx), id);
	uint64_t halves;

	if (!n)
		return 0;
	halves = (ctx->now_ns - n->heated_ns) / HEAT_HALVES_NS;
	return halves < 32 ? n->heat >> halves : 0;
}

int kvlift_info(struct kvlift_ctx *ctx, u32 id, struct kvlift_block_info *info)
{
	struct instance *x = instance_of(ctx);

	if (id >= ctx->max_blocks)
		return -EINVAL;
	*info = (struct kvlift_block_info){
		.region = 1,
		.index = id,
		.session = x->nodes[id].session,
		.heat = kvlift_heat(ctx, id),
		.parent = sim_parent(x->s, id),
		.depth = sim_depth(x->s, id),
		.children = sim_children(x->s, id),
		.tier = sim_cached(x->s, id) ? KVLIFT_TIER_DRAM
					     : KVLIFT_TIER_NVME,
		.resident = sim_cached(x->s, id),
	};
	return 0;
}

static void unlink_node(struct instance *x, struct node *n)
{
	struct list *l = &x->lists[n->list];
	unsigned int e;

	for (e = 0; e < 2; e++) {
		if (n->to[e] != KVLIFT_NO_BLOCK)
			x->nodes[n->to[e]].to[!e] = n->to[!e];
		else
			l->end[e] = n->to[!e];
	}
	l->len--;
	n->list = KVLIFT_NO_LIST;
}

int kvlift_list_add(struct kvlift_ctx *ctx, u32 list, u32 id, u32 end)
{
	struct instance *x = instance_of(ctx);
	struct node *n = node_of(x, id);
	struct list *l;

	if (!n || list >= KVLIFT_POLICY_LISTS || end > KVLIFT_TAIL)
		return -EINVAL;
	if (n->list != KVLIFT_NO_LIST)
		unlink_node(x, n);
	l = &x->lists[list];
	n->to[end] = KVLIFT_NO_BLOCK;
	n->to[!end] = l->end[end];
	if (l->end[end] != KVLIFT_NO_BLOCK)
		x->nodes[l->end[end]].to[end] = id;
	else
		l->end[!end] = id;
	l->end[end] = id;
	l->len++;
	n->list = list;
	return 0;
}

int kvlift_list_del(struct kvlift_ctx *ctx, u32 id)
{
	struct instance *x = instance_of(ctx);
	struct node *n = node_of(x, id);

	if (!n || n->list == KVLIFT_NO_LIST)
		return -EINVAL;
	unlink_node(x, n);
	return 0;
}

u32 kvlift_list_end(struct kvlift_ctx *ctx, u32 list, u32 end)
{
	if (list >= KVLIFT_POLICY_LISTS || end > KVLIFT_TAIL)
		return KVLIFT_NO_BLOCK;
	return instance_of(ctx)->lists[list].end[end];
}

u32 kvlift_list_next(struct kvlift_ctx *ctx, u32 id, u32 end)
{
	struct node *n = node_of(instance_of(ctx), id);

	if (!n || n->list == KVLIFT_NO_LIST || end > KVLIFT_TAIL)
		return KVLIFT_NO_BLOCK;
	return n->to[end];
}

u32 kvlift_list_len(struct kvlift_ctx *ctx, u32 list)
{
	if (list >= KVLIFT_POLICY_LISTS)
		return 0;
	return instance_of(ctx)->lists[list].len;
}

u32 kvlift_list_of(struct kvlift_ctx *ctx, u32 id)
{
	struct node *n = node_of(instance_of(ctx), id);

	return n ? n->list : KVLIFT_NO_LIST;
}

int kvlift_index_set(struct kvlift_ctx *ctx, u32 id, u64 key)
{
	if (id >= ctx->max_blocks || key == UINT64_MAX)
		return -EINVAL;
	sim_index_set(instance_of(ctx)->s, id, key);
	return 0;
}

int kvlift_index_del(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	if (id >= s->nr_blocks || !sim_indexed(s, id))
		return -EINVAL;
	sim_index_del(s, id);
	return 0;
}

u32 kvlift_index_first(struct kvlift_ctx *ctx)
{
	struct sim_entry e;

	if (!sim_index_first(instance_of(ctx)->s, &e))
		return KVLIFT_NO_BLOCK;
	return e.id;
}

u32 kvlift_index_next(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	return id < s->nr_blocks ? sim_index_next(s, id) : KVLIFT_NO_BLOCK;
}

u64 kvlift_index_key(struct kvlift_ctx *ctx, u32 id)
{
	struct sim *s = instance_of(ctx)->s;

	if (id >= s->nr_blocks || !sim_indexed(s, id))
		return UINT64_MAX;
	return s->index[id + 1].key;
}

int kvlift_victim(struct kvlift_ctx *ctx, u32 id)
{
	struct instance *x = instance_of(ctx);
	struct node *n = node_of(x, id);

	if (!n || !sim_cached(x->s, id))
		return -EINVAL;
	if (n->given)
		return -EEXIST;
	if (x->nr_victims >= x->want)
		return -ENOSPC;
	if (sim_bound(x->s, id))
		return -EBUSY;
	n->given = true;
	x->victims[x->nr_victims++] = id;
	return 0;
}

/* Here blocks come up when they are asked for, and never before. */
int kvlift_fetch(struct kvlift_ctx *ctx, u32 id, u32 tier)
{
	return -ENOSPC;
}

#define ADAPTER(name_, summary_, mode_, builtin_)                       \
	{                                                               \
		.name = name_, .summary = summary_, .modes = mode_,     \
		.mode = mode_, .builtin = builtin_,                     \
		.priv_size = sizeof(struct instance), .attach = attach, \
		.detach = detach, .request_begin = request_begin,       \
		.request_end = request_end, .accessed = accessed,       \
		.admit = admit, .victims = victims, .added = added,     \
		.removed = removed, .tick = tick, .hint = hint,         \
	}

#define POLICY(name_, mode_, summary_)                            \
	extern const struct kvlift_builtin kvlift_policy_##name_; \
	const struct sim_policy sim_##name_ =                     \
		ADAPTER(#name_, summary_, mode_, &kvlift_policy_##name_)

POLICY(lru, SIM_PER_BLOCK, "least recently used");
POLICY(s3fifo, SIM_PER_BLOCK, "small, main and ghost FIFO queues (S3-FIFO)");
POLICY(lfu, SIM_PER_BLOCK, "least frequently used while cached, with decay");
POLICY(prefix, SIM_ATOMIC, "LRU that knows of chains and sessions");
POLICY(gittins, SIM_ATOMIC,
       "returns per time held, as learned for classes of blocks");
POLICY(simple, SIM_PER_BLOCK, "a queue with a second chance, as an example");

void sim_adapt(struct sim_policy *p, const struct kvlift_builtin *b)
{
	enum sim_mode mode = b->ops.flags & KVLIFT_POLICY_PREFIX
				     ? SIM_ATOMIC
				     : SIM_PER_BLOCK;

	*p = (struct sim_policy)ADAPTER(b->ops.name, "", mode, b);
}
