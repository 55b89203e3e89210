// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Heat per block, from everything that uses blocks. */
#include "trace.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Sources of kvlift_touch: KVL_TOUCH_* of module/trace.h */
enum {
	TOUCH_FAULT,
	TOUCH_AROUND,
	TOUCH_RW,
	TOUCH_HINT,
};

/* The blocks touched longest ago make room for others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct kvl_block_key);
	__type(value, struct kvl_heat);
} kvl_heat SEC(".maps");

static const struct kvl_heat cold;

/*
 * Halved per half life, in between on a straight line: at most 6 % above the
 * exponential.
 */
static __always_inline __u64 decayed(__u64 heat, __u64 ns)
{
	__u64 half = filter.half_life_ns ?: 1, n = ns / half;

	if (n >= 64)
		return 0;
	heat >>= n;
	return heat - heat * ((ns % half) * 1024 / half) / 2048;
}

SEC("raw_tp/kvlift_touch")
int heat_touch(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_block_key key = {
		.pool = (__u32)ARG(ctx, 0),
		.region = ARG(ctx, 1),
		.index = ARG(ctx, 2),
	};
	__u64 now = bpf_ktime_get_ns();
	__u32 source = ARG(ctx, 3);
	struct kvl_heat *h;

	if (!wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	h = bpf_map_lookup_elem(&kvl_heat, &key);
	if (!h) {
		bpf_map_update_elem(&kvl_heat, &key, &cold, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&kvl_heat, &key);
		if (!h)
			return 0;
	}
	__sync_fetch_and_add(&h->touches, 1);
	if (source == TOUCH_FAULT || source == TOUCH_AROUND)
		__sync_fetch_and_add(&h->faults, 1);
	else if (source == TOUCH_RW)
		__sync_fetch_and_add(&h->rw, 1);
	else if (source == TOUCH_HINT)
		__sync_fetch_and_add(&h->hints, 1);
	/* Of two touches at the same moment the heat may count one. */
	if (now > h->last_ns) {
		h->heat = decayed(h->heat, now - h->last_ns);
		h->last_ns = now;
	}
	h->heat += 1000ULL * (__u32)ARG(ctx, 4);
	return 0;
}

SEC("raw_tp/kvlift_move")
int heat_move(struct bpf_raw_tracepoint_args *ctx)
{
	struct kvl_block_key key = {
		.pool = (__u32)ARG(ctx, 0),
		.region = ARG(ctx, 1),
		.index = ARG(ctx, 2),
	};
	__u32 from = kvlift_loc_tier(ARG(ctx, 3));
	__u32 to = kvlift_loc_tier(ARG(ctx, 4));
	struct kvl_heat *h;

	if (ERR(ctx, 6) || (ARG(ctx, 5) & 0xff) == WHY_STORE ||
	    !wanted(ARG(ctx, 0), ARG(ctx, 1)))
		return 0;
	h = bpf_map_lookup_elem(&kvl_heat, &key);
	if (!h)
		return 0;
	if (to < from)
		__sync_fetch_and_add(&h->promotes, 1);
	else if (to > from)
		__sync_fetch_and_add(&h->demotes, 1);
	h->to = ARG(ctx, 4);
	return 0;
}
