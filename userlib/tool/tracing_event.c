// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Events as text and as JSON. */
#include <string.h>

#include "kvlift.h"
#include "tracing.h"

const char *const trace_event_names[KVL_NR_EVENTS] = {
	"fault",  "request", "move",  "io",   "touch",	"error",
	"unseal", "shrink",  "limit", "drop", "policy",
};

const char *const trace_phase_names[KVL_NR_PHASES] = {
	"wait", "queue", "io", "copy", "publish",
};

/* In the order of the module's enums, see docs/uapi.md. */
static const char *const whys[] = {
	"fault",  "read",  "write",    "prefetch", "reclaim", "hint",
	"resize", "store", "pressure", "drain",	   "around",
};
static const char *const protos[] = {
	"read", "open", "sample", "protect", "stop", "drop",
};
static const char *const touches[] = { "fault", "around", "rw", "hint",
				       "accessed" };
static const char *const exits[] = {
	"none",	  "detached", "replaced", "refused", "timeout",
	"answer", "stall",    "memory",	  "unmount",
};
static const char *const queues[] = { "small", "main" };
static const char *const shrinks[] = { "shrinker", "oom", "grow" };

#define NAME(names, i) \
	((i) < sizeof(names) / sizeof((names)[0]) ? (names)[i] : "unknown")

static bool has_duration(const struct kvl_trace_event *e)
{
	return e->type <= KVL_EV_IO;
}

static bool has_block(const struct kvl_trace_event *e)
{
	return e->type != KVL_EV_SHRINK && e->type != KVL_EV_LIMIT &&
	       e->type != KVL_EV_DROP && e->type != KVL_EV_POLICY;
}

static const char *why(const struct kvl_trace_event *e)
{
	switch (e->type) {
	case KVL_EV_MOVE:
		return NAME(whys, e->why);
	case KVL_EV_TOUCH:
		return NAME(touches, e->why);
	case KVL_EV_SHRINK:
		return NAME(shrinks, e->why);
	case KVL_EV_DROP:
		return NAME(queues, e->why);
	case KVL_EV_POLICY:
		return NAME(exits, e->why);
	case KVL_EV_LIMIT:
		return e->why < KVLIFT_NR_TIERS ? kvlift_tier_name(e->why)
						: "total";
	default:
		return NULL;
	}
}

static const char *tier(uint64_t word)
{
	return kvlift_tier_name(kvlift_loc_tier(word));
}

static void place(struct json *j, const char *key, uint64_t word)
{
	json_open(j, key, '{');
	json_str(j, "tier", tier(word));
	json_u64(j, "member", kvlift_loc_member(word));
	json_u64(j, "slot", kvlift_loc_slot(word));
	json_close(j, '}');
}

static const struct kvl_trace_policy *policy(const struct kvl_trace_event *e)
{
	return (const struct kvl_trace_policy *)e;
}

static void json_args(struct json *j, const struct kvl_trace_event *e)
{
	switch (e->type) {
	case KVL_EV_REQUEST:
		json_u64(j, "count", e->count);
		json_u64(j, "cookie", e->arg[0]);
		break;
	case KVL_EV_TOUCH:
		json_u64(j, "weight", e->arg[0]);
		break;
	case KVL_EV_MOVE:
		json_str(j, "proto", NAME(protos, e->proto));
		/* fallthrough */
	case KVL_EV_IO:
		place(j, "from", e->from);
		place(j, "to", e->to);
		break;
	case KVL_EV_ERROR:
		place(j, "at", e->from);
		break;
	case KVL_EV_SHRINK:
		json_i64(j, "node", (int32_t)e->index);
		json_u64(j, "asked", e->arg[0]);
		json_u64(j, "target", e->arg[1]);
		json_u64(j, "freed", e->arg[2]);
		break;
	case KVL_EV_DROP:
		json_u64(j, "region", e->region);
		json_u64(j, "domain", e->arg[1]);
		json_u64(j, "bytes", e->arg[0]);
		break;
	case KVL_EV_POLICY:
		json_u64(j, "domain", e->region);
		json_str(j, "name", policy(e)->name);
		json_str(j, "reason", policy(e)->reason);
		break;
	case KVL_EV_LIMIT:
		json_u64(j, "domain", e->region);
		json_u64(j, "blocks", e->arg[0]);
		json_u64(j, "limit", e->arg[1]);
		break;
	}
}

void trace_event_json(const struct kvl_trace_event *e)
{
	struct json j;
	unsigned int i;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "event", NAME(trace_event_names, e->type));
	json_u64(&j, "time_ns", e->time_ns);
	json_u64(&j, "pool", e->pool);
	if (has_block(e)) {
		json_u64(&j, "region", e->region);
		json_u64(&j, "index", e->index);
	}
	if (why(e))
		json_str(&j, "why", why(e));
	json_args(&j, e);
	if (e->type == KVL_EV_FAULT)
		json_u64(&j, "result", (uint32_t)e->err);
	else
		json_i64(&j, "err", e->err);
	if (has_duration(e)) {
		json_u64(&j, "ns", e->total_ns);
		for (i = 0; i < KVL_NR_PHASES; i++) {
			char key[16];

			snprintf(key, sizeof(key), "%s_ns",
				 trace_phase_names[i]);
			json_u64(&j, key, e->phase_ns[i]);
		}
	}
	json_u64(&j, "tid", e->tid);
	json_str(&j, "comm", e->comm);
	json_close(&j, '}');
	json_end(&j);
}

#define COLUMNS "%14s %4s %-7s %-16s %-11s %-8s"

void trace_event_title(void)
{
	unsigned int i;

	printf(COLUMNS " %8s", "TIME", "POOL", "EVENT", "REGION:BLOCK",
	       "FROM>TO", "WHY", "TOTAL");
	for (i = 0; i < KVL_NR_PHASES; i++)
		printf(" %8s", trace_phase_names[i]);
	puts("  RESULT TASK");
}

static void text_result(const struct kvl_trace_event *e)
{
	if (e->type == KVL_EV_SHRINK)
		printf("  node %d: %llu of %llu slots, %llu given back",
		       (int32_t)e->index, (unsigned long long)e->arg[1],
		       (unsigned long long)e->arg[0],
		       (unsigned long long)e->arg[2]);
	else if (e->type == KVL_EV_LIMIT)
		printf("  %llu blocks, limit %llu",
		       (unsigned long long)e->arg[0],
		       (unsigned long long)e->arg[1]);
	else if (e->type == KVL_EV_POLICY)
		printf("  %s (%d): %s", policy(e)->name, e->err,
		       policy(e)->reason);
	else if (e->type == KVL_EV_FAULT)
		printf("  0x%x", (uint32_t)e->err);
	else
		printf("  %s", e->err ? kvlift_strerror(e->err) : "ok");
	printf(" %s/%u\n", e->comm, e->tid);
}

void trace_event_text(const struct kvl_trace_event *e)
{
	char time[24], pool[12], block[64] = "-", move[24] = "-";
	char ns[SIZE_TEXT];
	unsigned int i;

	snprintf(time, sizeof(time), "%llu.%06llu",
		 (unsigned long long)(e->time_ns / 1000000000),
		 (unsigned long long)(e->time_ns / 1000 % 1000000));
	snprintf(pool, sizeof(pool), "%u", e->pool);
	if (e->count > 1)
		snprintf(block, sizeof(block), "%llu:%llu+%llu",
			 (unsigned long long)e->region,
			 (unsigned long long)e->index,
			 (unsigned long long)e->count);
	else if (has_block(e))
		snprintf(block, sizeof(block), "%llu:%llu",
			 (unsigned long long)e->region,
			 (unsigned long long)e->index);
	else if (e->type == KVL_EV_LIMIT || e->type == KVL_EV_DROP)
		snprintf(block, sizeof(block), "%llu",
			 (unsigned long long)e->region);
	if (e->type == KVL_EV_MOVE || e->type == KVL_EV_IO)
		snprintf(move, sizeof(move), "%s>%s", tier(e->from),
			 tier(e->to));
	else if (e->type == KVL_EV_ERROR)
		snprintf(move, sizeof(move), "%s", tier(e->from));
	printf(COLUMNS, time, pool, NAME(trace_event_names, e->type), block,
	       move, why(e) ? why(e) : "-");
	printf(" %8s", has_duration(e) ? ns_text(e->total_ns, ns) : "-");
	for (i = 0; i < KVL_NR_PHASES; i++)
		printf(" %8s",
		       e->phase_ns[i] ? ns_text(e->phase_ns[i], ns) : "-");
	text_result(e);
}
