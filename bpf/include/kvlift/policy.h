/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a policy is written against. One source serves three builds: as BPF
 * program for a pool, as part of the module, and in `kvlift simulate`.
 *
 * A policy decides which blocks are worth a slot of the fastest memory. Its
 * callbacks run one at a time, in a worker, never in a fault; each is
 * optional. It knows blocks by ids: numbers below ctx->max_blocks that stay
 * with a block until forget(). A wrong id gets an error and does no harm.
 * What a policy leaves open the module decides.
 *
 * All of it since 0.1.
 */
#ifndef KVLIFT_POLICY_H
#define KVLIFT_POLICY_H

#include <linux/errno.h>
#ifdef __KERNEL__
#include <linux/bitops.h>
#include <linux/kvlift_policy.h>
#include <linux/types.h>
#include "policy_ops.h"
#else
#ifdef __BPF__
#pragma clang attribute push(__attribute__((preserve_access_index)), \
			     apply_to = record)
#endif
#include <linux/kvlift_policy.h>
#ifdef __BPF__
#pragma clang attribute pop
#endif
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
#include <stdbool.h>
#include <stddef.h>
#endif

/*
 * The parts of a policy, in the order of a file:
 *
 *	KVLIFT_STATE(type)	what it keeps for a pool, zeroed; optional. It
 *				is at kvlift_state(ctx)
 *	KVLIFT_CALLBACK(ret, name, args) {...}
 *				a callback, as in struct kvlift_policy_ops
 *	KVLIFT_POLICY(name, .member = value, ...)
 *				the policy: callbacks, .flags, .storage_size
 *
 * and in functions:
 *
 *	kvlift_for(i, ctx, from, to) {...}
 *				i, a u32, from from up to, not including, to.
 *				The only loop without a bound that the verifier
 *				can see. Rounds are counted, KVLIFT_ROUNDS per
 *				callback at the most, and it ends early when
 *				the callback has used up its time, 200 ms
 *				of its CPU.
 *				After the loop i says nothing
 *	kvlift_at(array, i)	address of array[i], or of another element when
 *				i is too large: the verifier has to see the
 *				bound. A power of two as length is the best
 *	kvlift_fls(x)		number of the highest bit of a u64 that is set,
 *				from 1; 0 for 0
 *
 * The verifier looks at a function in each place where it is called, in all
 * ways to get there. A large policy gets through when what needs no ctx is
 *
 *	KVLIFT_SUB u32 name(struct x *KVLIFT_ARG(x), u32 n) {...}
 *				which it looks at once, by itself: arguments
 *				are numbers and pointers that are not NULL to
 *				structs in storage or state; it returns a number
 *
 * Callbacks. What the module does on a request, told by an engine or made of
 * blocks that were used together, is always this:
 *
 *	request(ctx)		the chain is there; ctx->cached of it resident
 *	accessed(ctx, nr)	once or more: those that are resident, in order
 *				(kvlift_batch(), kvlift_weight()), 0 < nr <=
 *				KVLIFT_POLICY_BATCH
 *	for each that is not, in the order of the chain:
 *	admit(ctx, id)		KVLIFT_KEEP, KVLIFT_BYPASS or a KVLIFT_TIER_*
 *				below DRAM. NULL: keep
 *	  victims(ctx, want)	when there is no room: give up to want blocks
 *				with kvlift_victim(), the least worthy first.
 *				Called again for those that are missing; none
 *				means that nothing can go
 *	  removed(ctx, id)	for each victim: no longer resident. Also when
 *				the block was deleted, or had to go for other
 *				reasons
 *	  added(ctx, id)	the block is resident
 *	prefetch(ctx)		what else should come up: kvlift_fetch()
 *
 * attach() comes first, with 0 or a negative errno, and may come again after
 * detach(); then added() for what is
 * resident already. detach() comes last. moved() tells of moves between tiers
 * that are not the policy's doing; forget() that the id will be another
 * block's; hint() that the session of the last request comes back in ms
 * milliseconds, or KVLIFT_OVER; tick() about once a second.
 *
 * A block is resident from added() to removed(). Its storage, its place in a
 * list or in the index stay until forget(), so that a policy can remember.
 * With KVLIFT_POLICY_PREFIX in .flags blocks of the last request and parents of
 * resident blocks are bound: they are refused as victims. What follows a block
 * that was bypassed is bypassed too: a chain that is not there from its
 * beginning is of no use to engines that reuse prefixes.
 *
 * Functions of the module. Errors are negative: -EINVAL: no such id, list or
 * end; -EBUSY: bound, leased or pinned; -EEXIST: given before; -EPERM: its
 * domain need not give; -ENOSPC: enough.
 *
 *	u32 kvlift_chain(ctx, i)	i-th block of the request, from 0
 *	u32 kvlift_batch(ctx, i)	i-th block of accessed()
 *	u32 kvlift_weight(ctx, i)	its weight, as the engine told it, or 1
 *	void *kvlift_storage(ctx, id, size)	the policy's bytes of a block,
 *				zeroed at first; size is a constant, at most
 *				.storage_size. NULL: no such id
 *	u32 kvlift_parent(ctx, id)	or KVLIFT_NO_BLOCK
 *	u32 kvlift_children(ctx, id)	resident ones
 *	u32 kvlift_depth(ctx, id)	blocks before it in its chain
 *	int kvlift_resident(ctx, id)
 *	int kvlift_bound(ctx, id)	would be refused as victim
 *	u32 kvlift_heat(ctx, id)	decayed touches, in 1/256
 *	int kvlift_info(ctx, id, &info)
 *	int kvlift_list_add(ctx, list, id, end)	a block is in one list at the
 *				most: it leaves the one it is in
 *	int kvlift_list_del(ctx, id)
 *	u32 kvlift_list_end(ctx, list, end)	the block there
 *	u32 kvlift_list_next(ctx, id, end)	the next one towards that end
 *	u32 kvlift_list_len(ctx, list)
 *	u32 kvlift_list_of(ctx, id)	or KVLIFT_NO_LIST
 *	int kvlift_index_set(ctx, id, key)	the index is in the order of the
 *				keys, equal ones in the order they were set
 *	int kvlift_index_del(ctx, id)
 *	u32 kvlift_index_first(ctx)	the smallest
 *	u32 kvlift_index_next(ctx, id)
 *	u64 kvlift_index_key(ctx, id)	all ones: not in the index
 *	int kvlift_victim(ctx, id)	only in victims()
 *	int kvlift_fetch(ctx, id, tier)	bring it up; only in prefetch(), tick()
 */

#define KVLIFT_ROUNDS (1u << 18)

/* ---------------------------------------------------------------- as BPF */
#ifdef __BPF__
#include <bpf/bpf_helpers.h>

#define KVLIFT_KSYM __attribute__((section(".ksyms"), weak))

struct bpf_iter_kvlift_loop {
	u64 opaque[2];
} __attribute__((aligned(8)));

int bpf_iter_kvlift_loop_new(struct bpf_iter_kvlift_loop *it,
			     struct kvlift_ctx *ctx, u32 from,
			     u32 to) KVLIFT_KSYM;
u32 *bpf_iter_kvlift_loop_next(struct bpf_iter_kvlift_loop *it) KVLIFT_KSYM;
void bpf_iter_kvlift_loop_destroy(struct bpf_iter_kvlift_loop *it) KVLIFT_KSYM;

/* clang-format off */
#define kvlift_for(i, ctx, from, to)                                           \
	for (struct bpf_iter_kvlift_loop ___it __attribute__((aligned(8),      \
			cleanup(bpf_iter_kvlift_loop_destroy))),               \
	     *___p __attribute__((unused)) =                                   \
			(bpf_iter_kvlift_loop_new(&___it, ctx, from, to),      \
			 (void)bpf_iter_kvlift_loop_destroy, (void *)0);       \
	     ({                                                                \
			u32 *___t = bpf_iter_kvlift_loop_next(&___it);         \
			(i) = ___t ? *___t : 0;                                \
			___t;                                                  \
	     });)
/* clang-format on */

/* The compiler knows that i is small enough; the verifier has to see it. */
#define kvlift_at(array, i)                                    \
	({                                                     \
		u64 ___n = sizeof(array) / sizeof((array)[0]); \
		u64 ___i = (u32)(i);                           \
		asm volatile("" : "+r"(___i));                 \
		if (!(___n & (___n - 1)))                      \
			___i &= ___n - 1;                      \
		else if (___i >= ___n)                         \
			___i = 0;                              \
		&(array)[___i];                                \
	})

#define KVLIFT_SUB	  __attribute__((noinline))
#define KVLIFT_ARG(name_) name_ __attribute__((btf_decl_tag("arg:nonnull")))

/* BPF has no instruction for it, and branches make states for the verifier. */
static __always_inline u32 kvlift_fls(u64 x)
{
	x |= x >> 1;
	x |= x >> 2;
	x |= x >> 4;
	x |= x >> 8;
	x |= x >> 16;
	x |= x >> 32;
	/* Else clang knows what is counted here, and cannot compile it. */
	asm volatile("" : "+r"(x));
	x -= x >> 1 & 0x5555555555555555;
	asm volatile("" : "+r"(x));
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (u32)(x * 0x0101010101010101 >> 56);
}

#define ___kvlift_args1(a)		  (struct kvlift_ctx *)___raw[0]
#define ___kvlift_args2(a, b)		  ___kvlift_args1(a), (u32)___raw[1]
#define ___kvlift_args3(a, b, c)	  ___kvlift_args2(a, b), (u32)___raw[2]
#define ___kvlift_args4(a, b, c, d)	  ___kvlift_args3(a, b, c), (u32)___raw[3]
#define ___kvlift_nth(a, b, c, d, n, ...) n
#define ___kvlift_args(...)                                          \
	___kvlift_nth(__VA_ARGS__, ___kvlift_args4, ___kvlift_args3, \
		      ___kvlift_args2, ___kvlift_args1)(__VA_ARGS__)

/* The kernel hands the arguments over as an array of 64-bit words. */
#define KVLIFT_CALLBACK(ret_, name_, ...)                        \
	static __always_inline ret_ ____##name_(__VA_ARGS__);    \
	SEC("struct_ops/" #name_) ret_ name_(u64 *___raw)        \
	{                                                        \
		return ____##name_(___kvlift_args(__VA_ARGS__)); \
	}                                                        \
	static __always_inline ret_ ____##name_(__VA_ARGS__)

/*
 * In a map, which is of this program alone. Not static, for else clang makes
 * variables of its members, and the map's type is wrong.
 */
#define KVLIFT_STATE(type_)                                              \
	type_ kvlift_the_state;                                          \
	static __always_inline type_ *kvlift_state(struct kvlift_ctx *c) \
	{                                                                \
		return &kvlift_the_state;                                \
	}

/* clang-format off */
/* Programs have other arguments than the members they are given to. */
#define KVLIFT_POLICY(name_, ...)                                              \
	_Pragma("clang diagnostic push")                                       \
	_Pragma("clang diagnostic ignored \"-Wincompatible-pointer-types\"")   \
	SEC(".struct_ops.link") struct kvlift_policy_ops name_ = {             \
		.name = #name_, __VA_ARGS__                                    \
	};                                                                     \
	_Pragma("clang diagnostic pop")                                        \
	char _license[] SEC("license") = "Dual BSD/GPL"
/* clang-format on */

/* ------------------------------------------- in the module, the simulator */
#else
#define KVLIFT_KSYM

#define ___kvlift_for(i, from, to, n) \
	for (u32 n = ((i) = (from), (to)); (i) < n; (i)++)
#define ___kvlift_for_at(i, from, to, line) \
	___kvlift_for(i, from, to, ___kvlift_to_##line)
#define ___kvlift_for_line(i, from, to, line) \
	___kvlift_for_at(i, from, to, line)
#define kvlift_for(i, ctx, from, to) ___kvlift_for_line(i, from, to, __LINE__)

#define kvlift_at(array, i) \
	(&(array)[(i) < sizeof(array) / sizeof((array)[0]) ? (i) : 0])

#define KVLIFT_SUB			  static inline
#define KVLIFT_ARG(name_)		  name_

static inline u32 kvlift_fls(u64 x)
{
	return x ? 64 - (u32)__builtin_clzll(x) : 0;
}

#define KVLIFT_CALLBACK(ret_, name_, ...) static ret_ name_(__VA_ARGS__)

/* Memory of this policy's instance, zeroed at first. */
void *kvl_advise_state(struct kvlift_ctx *ctx);

/* Without KVLIFT_STATE() this is all there is of it, and zero. */
static const u32 kvlift_state_bytes __attribute__((unused));

#define KVLIFT_STATE(type_)                                     \
	static const u32 kvlift_state_bytes = sizeof(type_);    \
	static inline type_ *kvlift_state(struct kvlift_ctx *c) \
	{                                                       \
		return kvl_advise_state(c);                     \
	}

#ifdef __KERNEL__
#define KVLIFT_POLICY(name_, ...)                                 \
	extern const struct kvlift_builtin kvlift_policy_##name_; \
	const struct kvlift_builtin kvlift_policy_##name_ = {     \
		.ops = { .name = #name_, __VA_ARGS__ },           \
		.state_size = &kvlift_state_bytes,                \
	}
#else
/* By the second name one that is a shared object is found. */
#define KVLIFT_POLICY(name_, ...)                             \
	const struct kvlift_builtin kvlift_policy_##name_ = { \
		.ops = { .name = #name_, __VA_ARGS__ },       \
		.state_size = &kvlift_state_bytes,            \
	};                                                    \
	extern const struct kvlift_builtin kvlift_policy      \
		__attribute__((weak, alias("kvlift_policy_" #name_)))
#endif
#endif

#ifndef __KERNEL__
/* As in module/policy_ops.h; the members that a policy leaves out are NULL. */
struct kvlift_builtin {
	struct kvlift_policy_ops ops;
	const u32 *state_size;
};
#endif

u32 kvlift_chain(struct kvlift_ctx *ctx, u32 i) KVLIFT_KSYM;
u32 kvlift_batch(struct kvlift_ctx *ctx, u32 i) KVLIFT_KSYM;
u32 kvlift_weight(struct kvlift_ctx *ctx, u32 i) KVLIFT_KSYM;
/*
 * The verifier knows the size by the name of the argument; what returns void *
 * returns a number to it.
 */
u8 *kvlift_storage(struct kvlift_ctx *ctx, u32 id,
		   const u32 rdwr_buf_size) KVLIFT_KSYM;
#define kvlift_storage(ctx, id, size) ((void *)kvlift_storage(ctx, id, size))
u32 kvlift_parent(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u32 kvlift_children(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u32 kvlift_depth(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_resident(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_bound(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u32 kvlift_heat(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_info(struct kvlift_ctx *ctx, u32 id,
		struct kvlift_block_info *info) KVLIFT_KSYM;
int kvlift_list_add(struct kvlift_ctx *ctx, u32 list, u32 id,
		    u32 end) KVLIFT_KSYM;
int kvlift_list_del(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u32 kvlift_list_end(struct kvlift_ctx *ctx, u32 list, u32 end) KVLIFT_KSYM;
u32 kvlift_list_next(struct kvlift_ctx *ctx, u32 id, u32 end) KVLIFT_KSYM;
u32 kvlift_list_len(struct kvlift_ctx *ctx, u32 list) KVLIFT_KSYM;
u32 kvlift_list_of(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_index_set(struct kvlift_ctx *ctx, u32 id, u64 key) KVLIFT_KSYM;
int kvlift_index_del(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u32 kvlift_index_first(struct kvlift_ctx *ctx) KVLIFT_KSYM;
u32 kvlift_index_next(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
u64 kvlift_index_key(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_victim(struct kvlift_ctx *ctx, u32 id) KVLIFT_KSYM;
int kvlift_fetch(struct kvlift_ctx *ctx, u32 id, u32 tier) KVLIFT_KSYM;

#endif
