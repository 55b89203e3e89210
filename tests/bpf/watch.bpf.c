// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What bpftool has to show: maps with types, of a policy that decides nothing. */
#include <linux/bpf.h>

#include <kvlift/policy.h>

struct seen {
	u64 added;
	u64 removed;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct seen);
} watch_seen SEC(".maps");

struct state {
	u64 ticks;
};

KVLIFT_STATE(struct state);

static __always_inline struct seen *seen(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&watch_seen, &zero);
}

KVLIFT_CALLBACK(void, watch_added, struct kvlift_ctx *ctx, u32 id)
{
	struct seen *s = seen();

	if (s)
		s->added++;
}

KVLIFT_CALLBACK(void, watch_removed, struct kvlift_ctx *ctx, u32 id)
{
	struct seen *s = seen();

	if (s)
		s->removed++;
}

KVLIFT_CALLBACK(void, watch_tick, struct kvlift_ctx *ctx)
{
	kvlift_state(ctx)->ticks++;
}

KVLIFT_POLICY(watch, .added = watch_added, .removed = watch_removed,
	      .tick = watch_tick);
