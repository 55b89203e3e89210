// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Histograms per pool of how long things took, split by phase. */
#include "trace.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Pools whose latencies are kept; those of more are counted here. */
#define POOLS 64
__u64 dropped;

#define LATENCY_MAP(name)                          \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_HASH);   \
		__uint(max_entries, POOLS);        \
		__type(key, struct kvl_pool_key);  \
		__type(value, struct kvl_latency); \
	} name SEC(".maps")

LATENCY_MAP(kvl_fault);
LATENCY_MAP(kvl_request);
LATENCY_MAP(kvl_promote);
LATENCY_MAP(kvl_demote);
LATENCY_MAP(kvl_store);
LATENCY_MAP(kvl_io_read);
LATENCY_MAP(kvl_io_write);

static const struct kvl_latency empty;

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) {
		v >>= 32;
		r += 32;
	}
	if (v >> 16) {
		v >>= 16;
		r += 16;
	}
	if (v >> 8) {
		v >>= 8;
		r += 8;
	}
	if (v >> 4) {
		v >>= 4;
		r += 4;
	}
	if (v >> 2) {
		v >>= 2;
		r += 2;
	}
	return r + (v > 1);
}

static __noinline int count(struct kvl_hist *h, __u64 ns)
{
	__u32 slot = log2_of(ns);

	if (!h || !ns)
		return 0;
	if (slot >= KVL_HIST_SLOTS)
		slot = KVL_HIST_SLOTS - 1;
	__sync_fetch_and_add(&h->count, 1);
	__sync_fetch_and_add(&h->total_ns, ns);
	__sync_fetch_and_add(&h->slots[slot], 1);
	/* Two CPUs at once may lose the larger of two new maxima. */
	if (ns > h->max_ns)
		h->max_ns = ns;
	return 0;
}

static __always_inline void record(void *map, __u32 pool, const struct split *s)
{
	struct kvl_pool_key key = { .pool = pool };
	struct kvl_latency *l;

	if (s->total < filter.min_ns)
		return;
	l = bpf_map_lookup_elem(map, &key);
	if (!l) {
		bpf_map_update_elem(map, &key, &empty, BPF_NOEXIST);
		l = bpf_map_lookup_elem(map, &key);
	}
	if (!l) {
		__sync_fetch_and_add(&dropped, 1);
		return;
	}
	count(&l->total, s->total);
	count(&l->wait, s->phase[KVL_PHASE_WAIT]);
	count(&l->queue, s->phase[KVL_PHASE_QUEUE]);
	count(&l->io, s->phase[KVL_PHASE_IO]);
	count(&l->copy, s->phase[KVL_PHASE_COPY]);
	count(&l->publish, s->phase[KVL_PHASE_PUBLISH]);
}

SEC("raw_tp/kvlift_fault")
int latency_fault(struct bpf_raw_tracepoint_args *ctx)
{
	struct split s = {};

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	split_fault(ctx, &s);
	record(&kvl_fault, ARG(ctx, 0), &s);
	return 0;
}

SEC("raw_tp/kvlift_request")
int latency_request(struct bpf_raw_tracepoint_args *ctx)
{
	struct split s = {};

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	split_request(ctx, &s);
	record(&kvl_request, ARG(ctx, 0), &s);
	return 0;
}

SEC("raw_tp/kvlift_move")
int latency_move(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 from = kvlift_loc_tier(ARG(ctx, 3));
	__u32 to = kvlift_loc_tier(ARG(ctx, 4));
	struct split s = {};

	if (ERR(ctx, 6) || !wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	remember(ctx);
	split_move(ctx, &s);
	if ((ARG(ctx, 5) & 0xff) == WHY_STORE)
		record(&kvl_store, ARG(ctx, 0), &s);
	else if (to < from)
		record(&kvl_promote, ARG(ctx, 0), &s);
	else if (to > from)
		record(&kvl_demote, ARG(ctx, 0), &s);
	return 0;
}

SEC("raw_tp/kvlift_io")
int latency_io(struct bpf_raw_tracepoint_args *ctx)
{
	struct split s = {};

	if (ERR(ctx, 8) || !wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	split_io(ctx, &s);
	if (kvlift_loc_tier(ARG(ctx, 3)) == KVLIFT_TIER_NVME)
		record(&kvl_io_read, ARG(ctx, 0), &s);
	else
		record(&kvl_io_write, ARG(ctx, 0), &s);
	return 0;
}
