/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tracing programs and `kvlift trace` agree on: keys and values of the
 * maps, events of the ring buffer. Times are in ns of CLOCK_MONOTONIC. Since
 * 0.1; the names are what `bpftool map dump` prints.
 */
#ifndef KVLIFT_TRACE_H
#define KVLIFT_TRACE_H

#include <linux/types.h>

/* How a fault, a request, a move or an I/O spent its time. */
enum kvl_phase {
	KVL_PHASE_WAIT,	   /* for a slot, a lock, a worker, others' copies */
	KVL_PHASE_QUEUE,   /* for the device's credit */
	KVL_PHASE_IO,	   /* at the device */
	KVL_PHASE_COPY,	   /* between memories; checksum */
	KVL_PHASE_PUBLISH, /* new place made known; of a fault: mapped */
	KVL_NR_PHASES,
};

/* slots[i] counts what took from 2^i up to, not including, 2^(i+1) ns. */
#define KVL_HIST_SLOTS 40

struct kvl_hist {
	__u64 count;
	__u64 total_ns;
	__u64 max_ns;
	__u64 slots[KVL_HIST_SLOTS];
};

/* A phase that took no time is not counted in its histogram. */
struct kvl_latency {
	struct kvl_hist total;
	struct kvl_hist wait;
	struct kvl_hist queue;
	struct kvl_hist io;
	struct kvl_hist copy;
	struct kvl_hist publish;
};

struct kvl_pool_key {
	__u32 pool;
};

struct kvl_block_key {
	__u64 pool;
	__u64 region;
	__u64 index;
};

/*
 * Heat of a block: the weights of its touches in thousandths, halved once in
 * half_life_ns; as it was at @last_ns.
 */
struct kvl_heat {
	__u64 heat;
	__u64 last_ns;
	__u64 touches; /* all of them; of these: */
	__u64 faults;  /* mapped by a fault, or with a neighbour */
	__u64 rw;      /* read(2), write(2) */
	__u64 hints;   /* told by the engine */
	__u64 promotes, demotes;
	__u64 to; /* where its last move went: a location word, 0 for none */
};

/* Constants set before a program is loaded. */
struct kvl_trace_filter {
	__s64 pool;	    /* -1: any */
	__u64 region;	    /* 0: any */
	__u64 min_ns;	    /* events that took less are left out */
	__u64 half_life_ns; /* of heat */
};

enum kvl_event_type {
	KVL_EV_FAULT,
	KVL_EV_REQUEST,
	KVL_EV_MOVE,
	KVL_EV_IO,
	KVL_EV_TOUCH,
	KVL_EV_ERROR,
	KVL_EV_UNSEAL,
	KVL_EV_SHRINK,
	KVL_EV_LIMIT,
	KVL_EV_DROP,
	KVL_EV_POLICY, /* struct kvl_trace_policy */
	KVL_NR_EVENTS,
};

/*
 * One event of the ring buffer; what a type does not have is 0.
 * request: @count blocks, @arg[0] cookie. touch: @why source, @arg[0] weight.
 * shrink: @arg asked, target, freed. limit: @region the domain, @why the tier,
 * @arg[0] blocks, @arg[1] limit. error: @from where. drop: @why the queue,
 * @arg[0] bytes, @arg[1] the domain.
 */
struct kvl_trace_event {
	__u64 time_ns;
	__u64 region;
	__u64 index;
	__u64 count;
	__u64 from, to;
	__u64 total_ns;
	__u64 phase_ns[KVL_NR_PHASES];
	__u64 arg[3];
	__u32 type;
	__u32 pool;
	__s32 err; /* -errno; of a fault VM_FAULT_* */
	__u32 why, proto;
	__u32 tid;
	char comm[16];
};

/* A policy was ejected: @e.region the domain, 0 for the pool; @e.why the kind. */
struct kvl_trace_policy {
	struct kvl_trace_event e;
	char name[32];
	char reason[128];
};

#endif
