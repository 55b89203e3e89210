// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Events for whoever watches, with their latencies split by phase. */
#include "trace.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} kvl_events SEC(".maps");

/* Events for which the reader left no room. */
__u64 lost;

static __always_inline void *event_of(enum kvl_event_type type,
				      struct bpf_raw_tracepoint_args *ctx,
				      __u64 size)
{
	struct kvl_trace_event *e;

	e = bpf_ringbuf_reserve(&kvl_events, size, 0);
	if (!e) {
		__sync_fetch_and_add(&lost, 1);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
	e->type = type;
	e->pool = ARG(ctx, 0);
	e->region = ARG(ctx, 1);
	e->index = ARG(ctx, 2);
	e->count = 1;
	e->tid = (__u32)bpf_get_current_pid_tgid();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	return e;
}

static __always_inline struct kvl_trace_event *
event(enum kvl_event_type type, struct bpf_raw_tracepoint_args *ctx)
{
	return event_of(type, ctx, sizeof(struct kvl_trace_event));
}

static __always_inline void put_split(struct kvl_trace_event *e,
				      const struct split *s)
{
	e->total_ns = s->total;
	__builtin_memcpy(e->phase_ns, s->phase, sizeof(e->phase_ns));
}

SEC("raw_tp/kvlift_fault")
int event_fault(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;
	struct split s = {};

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)) || ARG(ctx, 4) < filter.min_ns)
		return 0;
	split_fault(ctx, &s);
	e = event(KVL_EV_FAULT, ctx);
	if (!e)
		return 0;
	e->err = ERR(ctx, 3);
	put_split(e, &s);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("raw_tp/kvlift_request")
int event_request(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;
	struct split s = {};

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)) || ARG(ctx, 6) < filter.min_ns)
		return 0;
	split_request(ctx, &s);
	e = event(KVL_EV_REQUEST, ctx);
	if (!e)
		return 0;
	e->count = ARG(ctx, 3);
	e->arg[0] = ARG(ctx, 4);
	e->err = ERR(ctx, 5);
	put_split(e, &s);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Loaded when only faults or requests are watched: they need its times. */
SEC("raw_tp/kvlift_move")
int event_recent(struct bpf_raw_tracepoint_args *ctx)
{
	if (wanted(ARG(ctx, 0), ARG(ctx, 1)))
		remember(ctx);
	return 0;
}

SEC("raw_tp/kvlift_move")
int event_move(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;
	struct split s = {};

	split_move(ctx, &s);
	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)) || s.total < filter.min_ns)
		return 0;
	e = event(KVL_EV_MOVE, ctx);
	if (!e)
		return 0;
	e->from = ARG(ctx, 3);
	e->to = ARG(ctx, 4);
	e->why = ARG(ctx, 5) & 0xff;
	e->proto = ARG(ctx, 5) >> 8;
	e->err = ERR(ctx, 6);
	put_split(e, &s);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("raw_tp/kvlift_io")
int event_io(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;
	struct split s = {};

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)) || ARG(ctx, 6) < filter.min_ns)
		return 0;
	split_io(ctx, &s);
	e = event(KVL_EV_IO, ctx);
	if (!e)
		return 0;
	e->from = ARG(ctx, 3);
	e->to = ARG(ctx, 4);
	e->err = ERR(ctx, 8);
	put_split(e, &s);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* The rest has no duration, so a minimum leaves it out. */
static __always_inline bool instant(__u32 pool, __u64 region)
{
	return !filter.min_ns && wanted(pool, region);
}

SEC("raw_tp/kvlift_touch")
int event_touch(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	if (!instant(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	e = event(KVL_EV_TOUCH, ctx);
	if (!e)
		return 0;
	e->why = ARG(ctx, 3);
	e->arg[0] = (__u32)ARG(ctx, 4);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("raw_tp/kvlift_error")
int event_error(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	/* Never too short to be told. */
	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	e = event(KVL_EV_ERROR, ctx);
	if (!e)
		return 0;
	e->from = ARG(ctx, 3);
	e->err = ERR(ctx, 4);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("raw_tp/kvlift_unseal")
int event_unseal(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	if (!instant(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	e = event(KVL_EV_UNSEAL, ctx);
	if (e)
		bpf_ringbuf_submit(e, 0);
	return 0;
}

/* pool, node, why, asked, target, freed: of no region */
SEC("raw_tp/kvlift_shrink")
int event_shrink(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	if (filter.region || !instant(ARG(ctx, 0), 0))
		return 0;
	e = event(KVL_EV_SHRINK, ctx);
	if (!e)
		return 0;
	e->region = 0;
	e->index = (__u32)ARG(ctx, 1);
	e->count = 0;
	e->why = ARG(ctx, 2);
	e->arg[0] = ARG(ctx, 3);
	e->arg[1] = ARG(ctx, 4);
	e->arg[2] = ARG(ctx, 5);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* pool, domain, tier, blocks, limit: of the region of the domain's directory */
SEC("raw_tp/kvlift_limit")
int event_limit(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	if (!instant(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	e = event(KVL_EV_LIMIT, ctx);
	if (!e)
		return 0;
	e->index = 0;
	e->count = 0;
	e->why = ARG(ctx, 2);
	e->arg[0] = ARG(ctx, 3);
	e->arg[1] = ARG(ctx, 4);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* pool, domain, region, bytes, queue, err: of a whole file */
SEC("raw_tp/kvlift_drop")
int event_drop(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_event *e;

	if (!instant(ARG(ctx, 0), ARG(ctx, 2)))
		return 0;
	e = event(KVL_EV_DROP, ctx);
	if (!e)
		return 0;
	e->region = ARG(ctx, 2);
	e->index = 0;
	e->count = 0;
	e->why = ARG(ctx, 4);
	e->err = ARG(ctx, 5);
	e->arg[0] = ARG(ctx, 3);
	e->arg[1] = ARG(ctx, 1);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* pool, domain, name, kind, code, reason: never too short to be told, either */
SEC("raw_tp/kvlift_policy_exit")
int event_policy(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_trace_policy *p;

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	p = event_of(KVL_EV_POLICY, ctx, sizeof(*p));
	if (!p)
		return 0;
	p->e.index = 0;
	p->e.count = 0;
	p->e.why = ARG(ctx, 3);
	p->e.err = ERR(ctx, 4);
	p->name[0] = 0;
	p->reason[0] = 0;
	bpf_probe_read_kernel_str(p->name, sizeof(p->name),
				  (void *)ARG(ctx, 2));
	bpf_probe_read_kernel_str(p->reason, sizeof(p->reason),
				  (void *)ARG(ctx, 5));
	bpf_ringbuf_submit(p, 0);
	return 0;
}
