/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvlift

#if !defined(KVL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVL_TRACE_H

#include <linux/kvlift.h>
#include <linux/mm_types.h>
#include <linux/tracepoint.h>

#define kvl_show_tier(t)						\
	__print_symbolic(t, { KVLIFT_TIER_GPU, "gpu" },			\
			 { KVLIFT_TIER_DRAM, "dram" },			\
			 { KVLIFT_TIER_CXL, "cxl" },			\
			 { KVLIFT_TIER_NVME, "nvme" })

#define kvl_show_why(w)							\
	__print_symbolic(w, { 0, "fault" }, { 1, "read" }, { 2, "write" }, \
			 { 3, "prefetch" }, { 4, "reclaim" },		\
			 { 5, "hint" }, { 6, "resize" }, { 7, "store" }, \
			 { 8, "pressure" }, { 9, "drain" }, { 10, "around" })

#define kvl_show_proto(p)						\
	__print_symbolic(p, { 0, "read" }, { 1, "open" }, { 2, "sample" }, \
			 { 3, "protect" }, { 4, "stop" }, { 5, "drop" })

/* Who says that a block was used: whoever reads it as a number, keep the order. */
#define KVL_TOUCH_FAULT		0
#define KVL_TOUCH_AROUND	1
#define KVL_TOUCH_RW		2
#define KVL_TOUCH_HINT		3
#define KVL_TOUCH_ACCESSED	4

#define kvl_show_touch(s)						\
	__print_symbolic(s, { 0, "fault" }, { 1, "around" },		\
			 { 2, "rw" }, { 3, "hint" }, { 4, "accessed" })

/* Programs get no more than twelve arguments, so two of a move's share one. */
#define KVL_HOW(why, proto)	((why) | (proto) << 8)

#define kvl_show_shrink(w)						\
	__print_symbolic(w, { 0, "shrinker" }, { 1, "oom" }, { 2, "grow" })

/*
 * A page fault. @result: VM_FAULT_* of the handler; @ns: how long that took;
 * @wait_ns: of this, waiting for a slot, for I/O or for a move; @wait_at: when
 * it last began to, from the fault's beginning.
 */
TRACE_EVENT(kvlift_fault,
	TP_PROTO(u32 pool, u64 region, u64 index, vm_fault_t result, u64 ns,
		 u64 wait_at, u64 wait_ns),
	TP_ARGS(pool, region, index, result, ns, wait_at, wait_ns),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u64, ns)
		__field(u64, wait_at)
		__field(u64, wait_ns)
		__field(u32, pool)
		__field(u32, result)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->ns = ns;
		__entry->pool = pool;
		__entry->result = (__force u32)result;
		__entry->wait_at = wait_at;
		__entry->wait_ns = wait_ns;
	),
	TP_printk("pool=%u region=%llu index=%llu result=0x%x ns=%llu wait_at=%llu wait_ns=%llu",
		  __entry->pool, __entry->region, __entry->index,
		  __entry->result, __entry->ns, __entry->wait_at,
		  __entry->wait_ns)
);

/*
 * A move has ended. @how: KVL_HOW(). @err 0: committed; else it was undone.
 * The times follow each other and add up to that of the move. @wait_ns: until
 * the copy was submitted (unmap, freeze); @queue_ns: until the device had
 * credit for it; @io_ns: until the device had done it; @copy_ns: copy between
 * memories, or checksum; @commit_ns: from the data's arrival until the new
 * place was published, without a checksum.
 */
TRACE_EVENT(kvlift_move,
	TP_PROTO(u32 pool, u64 region, u64 index, u64 from, u64 to, u32 how,
		 int err, u64 wait_ns, u64 queue_ns, u64 io_ns, u64 copy_ns,
		 u64 commit_ns),
	TP_ARGS(pool, region, index, from, to, how, err, wait_ns, queue_ns,
		io_ns, copy_ns, commit_ns),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u64, from)
		__field(u64, to)
		__field(u64, wait_ns)
		__field(u64, queue_ns)
		__field(u64, io_ns)
		__field(u64, copy_ns)
		__field(u64, commit_ns)
		__field(u32, pool)
		__field(u32, why)
		__field(u32, proto)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->from = from;
		__entry->to = to;
		__entry->wait_ns = wait_ns;
		__entry->queue_ns = queue_ns;
		__entry->io_ns = io_ns;
		__entry->copy_ns = copy_ns;
		__entry->commit_ns = commit_ns;
		__entry->pool = pool;
		__entry->why = how & 0xff;
		__entry->proto = how >> 8;
		__entry->err = err;
	),
	TP_printk("pool=%u region=%llu index=%llu from=%s:%llu:%u to=%s:%llu:%u why=%s proto=%s err=%d wait_ns=%llu queue_ns=%llu io_ns=%llu copy_ns=%llu commit_ns=%llu",
		  __entry->pool, __entry->region, __entry->index,
		  kvl_show_tier(kvlift_loc_tier(__entry->from)),
		  (u64)kvlift_loc_member(__entry->from),
		  kvlift_loc_slot(__entry->from),
		  kvl_show_tier(kvlift_loc_tier(__entry->to)),
		  (u64)kvlift_loc_member(__entry->to),
		  kvlift_loc_slot(__entry->to),
		  kvl_show_why(__entry->why),
		  kvl_show_proto(__entry->proto), __entry->err, __entry->wait_ns,
		  __entry->queue_ns, __entry->io_ns, __entry->copy_ns,
		  __entry->commit_ns)
);

/*
 * A block was used. @source: KVL_TOUCH_*; @weight: that of a hint, else 1.
 */
TRACE_EVENT(kvlift_touch,
	TP_PROTO(u32 pool, u64 region, u64 index, u32 source, u32 weight),
	TP_ARGS(pool, region, index, source, weight),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u32, pool)
		__field(u32, source)
		__field(u32, weight)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->pool = pool;
		__entry->source = source;
		__entry->weight = weight;
	),
	TP_printk("pool=%u region=%llu index=%llu source=%s weight=%u",
		  __entry->pool, __entry->region, __entry->index,
		  kvl_show_touch(__entry->source), __entry->weight)
);

/*
 * A request of a queue has ended with @res as in its event. If a move was the
 * last it waited for, that move's event came just before, from the same task.
 */
TRACE_EVENT(kvlift_request,
	TP_PROTO(u32 pool, u64 region, u64 first, u64 count, u64 cookie,
		 int res, u64 ns),
	TP_ARGS(pool, region, first, count, cookie, res, ns),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, first)
		__field(u64, count)
		__field(u64, cookie)
		__field(u64, ns)
		__field(u32, pool)
		__field(int, res)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->first = first;
		__entry->count = count;
		__entry->cookie = cookie;
		__entry->ns = ns;
		__entry->pool = pool;
		__entry->res = res;
	),
	TP_printk("pool=%u region=%llu first=%llu count=%llu cookie=0x%llx res=%d ns=%llu",
		  __entry->pool, __entry->region, __entry->first,
		  __entry->count, __entry->cookie, __entry->res, __entry->ns)
);

/* A block that had been declared complete was written. */
TRACE_EVENT(kvlift_unseal,
	TP_PROTO(u32 pool, u64 region, u64 index),
	TP_ARGS(pool, region, index),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u32, pool)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->pool = pool;
	),
	TP_printk("pool=%u region=%llu index=%llu", __entry->pool,
		  __entry->region, __entry->index)
);

/*
 * A device has completed the transfer of one block. @ns: since it was
 * submitted; @queue_ns: of this, waiting for the device's credit.
 */
TRACE_EVENT(kvlift_io,
	TP_PROTO(u32 pool, u64 region, u64 index, u64 from, u64 to, u32 bytes,
		 u64 ns, u64 queue_ns, int err),
	TP_ARGS(pool, region, index, from, to, bytes, ns, queue_ns, err),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u64, from)
		__field(u64, to)
		__field(u64, ns)
		__field(u64, queue_ns)
		__field(u32, pool)
		__field(u32, bytes)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->from = from;
		__entry->to = to;
		__entry->ns = ns;
		__entry->queue_ns = queue_ns;
		__entry->pool = pool;
		__entry->bytes = bytes;
		__entry->err = err;
	),
	TP_printk("pool=%u region=%llu index=%llu from=%s:%u to=%s:%u bytes=%u ns=%llu queue_ns=%llu err=%d",
		  __entry->pool, __entry->region, __entry->index,
		  kvl_show_tier(kvlift_loc_tier(__entry->from)),
		  kvlift_loc_slot(__entry->from),
		  kvl_show_tier(kvlift_loc_tier(__entry->to)),
		  kvlift_loc_slot(__entry->to), __entry->bytes, __entry->ns,
		  __entry->queue_ns, __entry->err)
);

/* A block could not be read (@addr its home) or written (@addr the target). */
TRACE_EVENT(kvlift_error,
	TP_PROTO(u32 pool, u64 region, u64 index, u64 addr, int err),
	TP_ARGS(pool, region, index, addr, err),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, index)
		__field(u64, addr)
		__field(u32, pool)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->addr = addr;
		__entry->pool = pool;
		__entry->err = err;
	),
	TP_printk("pool=%u region=%llu index=%llu at=%s:%u err=%d",
		  __entry->pool, __entry->region, __entry->index,
		  kvl_show_tier(kvlift_loc_tier(__entry->addr)),
		  kvlift_loc_slot(__entry->addr), __entry->err)
);

/*
 * A DRAM member is to have fewer slots, or more again, because of the
 * kernel's memory: @target of @asked. @freed of them went back at once.
 */
TRACE_EVENT(kvlift_shrink,
	TP_PROTO(u32 pool, int node, u32 why, u64 asked, u64 target,
		 u64 freed),
	TP_ARGS(pool, node, why, asked, target, freed),
	TP_STRUCT__entry(
		__field(u64, asked)
		__field(u64, target)
		__field(u64, freed)
		__field(u32, pool)
		__field(u32, why)
		__field(int, node)
	),
	TP_fast_assign(
		__entry->asked = asked;
		__entry->target = target;
		__entry->freed = freed;
		__entry->pool = pool;
		__entry->why = why;
		__entry->node = node;
	),
	TP_printk("pool=%u node=%d why=%s asked=%llu target=%llu freed=%llu",
		  __entry->pool, __entry->node,
		  kvl_show_shrink(__entry->why), __entry->asked,
		  __entry->target, __entry->freed)
);

/*
 * A limit of a domain stood in the way of a slot in @tier, or, with tier
 * KVLIFT_NR_TIERS, of a charge. @domain: region id of its directory.
 */
TRACE_EVENT(kvlift_limit,
	TP_PROTO(u32 pool, u64 domain, u32 tier, u64 blocks, u64 limit),
	TP_ARGS(pool, domain, tier, blocks, limit),
	TP_STRUCT__entry(
		__field(u64, domain)
		__field(u64, blocks)
		__field(u64, limit)
		__field(u32, pool)
		__field(u32, tier)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->blocks = blocks;
		__entry->limit = limit;
		__entry->pool = pool;
		__entry->tier = tier;
	),
	TP_printk("pool=%u domain=%llu tier=%s blocks=%llu limit=%llu",
		  __entry->pool, __entry->domain,
		  __print_symbolic(__entry->tier, { KVLIFT_TIER_GPU, "gpu" },
				   { KVLIFT_TIER_DRAM, "dram" },
				   { KVLIFT_TIER_CXL, "cxl" },
				   { KVLIFT_TIER_NVME, "nvme" },
				   { KVLIFT_NR_TIERS, "total" }),
		  __entry->blocks, __entry->limit)
);

/*
 * A file of a cache directory was chosen to go. @queue: enum kvl_s3_queue;
 * @err: 0: it is dropped, else why not (-EBUSY: open, -EAGAIN: held).
 */
TRACE_EVENT(kvlift_drop,
	TP_PROTO(u32 pool, u64 domain, u64 region, u64 bytes, u32 queue,
		 int err),
	TP_ARGS(pool, domain, region, bytes, queue, err),
	TP_STRUCT__entry(
		__field(u64, domain)
		__field(u64, region)
		__field(u64, bytes)
		__field(u32, pool)
		__field(u32, queue)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__entry->region = region;
		__entry->bytes = bytes;
		__entry->pool = pool;
		__entry->queue = queue;
		__entry->err = err;
	),
	TP_printk("pool=%u domain=%llu region=%llu bytes=%llu queue=%s err=%d",
		  __entry->pool, __entry->domain, __entry->region,
		  __entry->bytes,
		  __print_symbolic(__entry->queue, { KVL_S3_SMALL, "small" },
				   { KVL_S3_MAIN, "main" }),
		  __entry->err)
);

/*
 * A policy was ejected. @domain: id of its directory, 0 for the pool's; @kind:
 * enum kvl_exit.
 */
TRACE_EVENT(kvlift_policy_exit,
	TP_PROTO(u32 pool, u64 domain, const char *name, u32 kind, int code,
		 const char *reason),
	TP_ARGS(pool, domain, name, kind, code, reason),
	TP_STRUCT__entry(
		__field(u64, domain)
		__string(name, name)
		__string(reason, reason)
		__field(u32, pool)
		__field(u32, kind)
		__field(int, code)
	),
	TP_fast_assign(
		__entry->domain = domain;
		__assign_str(name);
		__assign_str(reason);
		__entry->pool = pool;
		__entry->kind = kind;
		__entry->code = code;
	),
	TP_printk("pool=%u domain=%llu name=%s kind=%u code=%d reason=%s",
		  __entry->pool, __entry->domain, __get_str(name),
		  __entry->kind, __entry->code, __get_str(reason))
);

#endif /* KVL_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
