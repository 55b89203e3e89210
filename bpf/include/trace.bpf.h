/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tracing programs share. They are raw tracepoints: the cheapest way,
 * and all arguments of our events are numbers, so no BTF of the module is
 * needed. The order of the arguments is that of TP_PROTO() in module/trace.h.
 */
#ifndef TRACE_BPF_H
#define TRACE_BPF_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/kvlift.h>
#include <bpf/bpf_helpers.h>

#include "kvlift_trace.h"

#define ARG(ctx, n) ((ctx)->args[n])
#define ERR(ctx, n) ((__s32)(ctx)->args[n])

/* enum kvl_why of module/region.h */
#define WHY_STORE 7

const volatile struct kvl_trace_filter filter SEC(".rodata.filter") = {
	.pool = -1,
};

static __always_inline bool wanted(__u32 pool, __u64 region)
{
	return (filter.pool < 0 || filter.pool == pool) &&
	       (!filter.region || filter.region == region);
}

/* What a move, or the last move that a fault or a request waited for, took. */
struct split {
	__u64 total;
	__u64 phase[KVL_NR_PHASES];
};

static __always_inline void split_move(struct bpf_raw_tracepoint_args *ctx,
				       struct split *s)
{
	s->phase[KVL_PHASE_WAIT] = ARG(ctx, 7);
	s->phase[KVL_PHASE_QUEUE] = ARG(ctx, 8);
	s->phase[KVL_PHASE_IO] = ARG(ctx, 9);
	s->phase[KVL_PHASE_COPY] = ARG(ctx, 10);
	s->phase[KVL_PHASE_PUBLISH] = ARG(ctx, 11);
	s->total = ARG(ctx, 7) + ARG(ctx, 8) + ARG(ctx, 9) + ARG(ctx, 10) +
		   ARG(ctx, 11);
}

static __always_inline void split_io(struct bpf_raw_tracepoint_args *ctx,
				     struct split *s)
{
	s->total = ARG(ctx, 6);
	s->phase[KVL_PHASE_QUEUE] = ARG(ctx, 7);
	s->phase[KVL_PHASE_IO] = ARG(ctx, 6) - ARG(ctx, 7);
}

/*
 * Moves into memory that have just ended, by block, for faults, and by task,
 * for requests, whose end is told by the task that ended the last move.
 */
struct recent_key {
	__u64 region;
	__u64 index;
	__u32 pool;
	__u32 tid; /* else 0; with it region and index are 0 */
};

struct recent {
	__u64 end_ns;
	__u64 region;
	__u64 index;
	__u64 queue, io, copy;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct recent_key);
	__type(value, struct recent);
} kvl_recent SEC(".maps");

static __always_inline void remember(struct bpf_raw_tracepoint_args *ctx)
{
	struct recent_key key = {
		.pool = ARG(ctx, 0),
		.region = ARG(ctx, 1),
		.index = ARG(ctx, 2),
	};
	struct recent r = {
		.end_ns = bpf_ktime_get_ns(),
		.region = ARG(ctx, 1),
		.index = ARG(ctx, 2),
		.queue = ARG(ctx, 8),
		.io = ARG(ctx, 9),
		.copy = ARG(ctx, 10),
	};

	if (ERR(ctx, 6) || kvlift_loc_tier(ARG(ctx, 4)) == KVLIFT_TIER_NVME)
		return;
	bpf_map_update_elem(&kvl_recent, &key, &r, BPF_ANY);
	key.region = 0;
	key.index = 0;
	key.tid = (__u32)bpf_get_current_pid_tgid();
	bpf_map_update_elem(&kvl_recent, &key, &r, BPF_ANY);
}

/* Takes up to @ns out of what is left to be told apart. */
static __always_inline __u64 take(__u64 *left, __u64 ns)
{
	if (ns > *left)
		ns = *left;
	*left -= ns;
	return ns;
}

/* @wait ns of waiting that end now, by the move @r if it ended in them. */
static __always_inline void split_wait(struct split *s, __u64 wait, __u64 since,
				       const struct recent *r)
{
	if (r && r->end_ns >= since) {
		/* The move may have begun before the wait: its end counts. */
		s->phase[KVL_PHASE_COPY] = take(&wait, r->copy);
		s->phase[KVL_PHASE_IO] = take(&wait, r->io);
		s->phase[KVL_PHASE_QUEUE] = take(&wait, r->queue);
	}
	s->phase[KVL_PHASE_WAIT] = wait;
}

static __always_inline void split_fault(struct bpf_raw_tracepoint_args *ctx,
					struct split *s)
{
	struct recent_key key = {
		.pool = ARG(ctx, 0),
		.region = ARG(ctx, 1),
		.index = ARG(ctx, 2),
	};
	__u64 ns = ARG(ctx, 4), wait = ARG(ctx, 6);

	s->total = ns;
	if (wait > ns)
		wait = ns;
	s->phase[KVL_PHASE_PUBLISH] = ns - wait;
	if (wait)
		split_wait(s, wait, bpf_ktime_get_ns() - ns,
			   bpf_map_lookup_elem(&kvl_recent, &key));
}

static __always_inline void split_request(struct bpf_raw_tracepoint_args *ctx,
					  struct split *s)
{
	struct recent_key key = {
		.pool = ARG(ctx, 0),
		.tid = (__u32)bpf_get_current_pid_tgid(),
	};
	__u64 first = ARG(ctx, 2), ns = ARG(ctx, 6);
	struct recent *r = bpf_map_lookup_elem(&kvl_recent, &key);

	if (r && (r->region != ARG(ctx, 1) || r->index - first >= ARG(ctx, 3)))
		r = NULL;
	s->total = ns;
	split_wait(s, ns, bpf_ktime_get_ns() - ns, r);
}

#endif
