// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Says nothing, so that the module decides: what it costs to be asked. */
#include <kvlift/policy.h>

KVLIFT_CALLBACK(s32, noop_attach, struct kvlift_ctx *ctx)
{
	return 0;
}

KVLIFT_CALLBACK(void, noop_detach, struct kvlift_ctx *ctx)
{
}

KVLIFT_CALLBACK(void, noop_request, struct kvlift_ctx *ctx)
{
}

KVLIFT_CALLBACK(void, noop_accessed, struct kvlift_ctx *ctx, u32 nr)
{
}

KVLIFT_CALLBACK(s32, noop_admit, struct kvlift_ctx *ctx, u32 id)
{
	return KVLIFT_KEEP;
}

KVLIFT_CALLBACK(void, noop_victims, struct kvlift_ctx *ctx, u32 want)
{
}

KVLIFT_CALLBACK(void, noop_added, struct kvlift_ctx *ctx, u32 id)
{
}

KVLIFT_CALLBACK(void, noop_removed, struct kvlift_ctx *ctx, u32 id)
{
}

KVLIFT_CALLBACK(void, noop_moved, struct kvlift_ctx *ctx, u32 id, u32 from,
		u32 to)
{
}

KVLIFT_CALLBACK(void, noop_forget, struct kvlift_ctx *ctx, u32 id)
{
}

KVLIFT_CALLBACK(void, noop_prefetch, struct kvlift_ctx *ctx)
{
}

KVLIFT_CALLBACK(void, noop_hint, struct kvlift_ctx *ctx, u32 ms)
{
}

KVLIFT_CALLBACK(void, noop_tick, struct kvlift_ctx *ctx)
{
}

KVLIFT_POLICY(noop, .attach = noop_attach, .detach = noop_detach,
	      .request = noop_request, .accessed = noop_accessed,
	      .admit = noop_admit, .victims = noop_victims, .added = noop_added,
	      .removed = noop_removed, .moved = noop_moved,
	      .forget = noop_forget, .prefetch = noop_prefetch,
	      .hint = noop_hint, .tick = noop_tick);
