/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of a pool and of the module, and their place in sysfs. */
#ifndef KVL_STATS_H
#define KVL_STATS_H

#include <linux/atomic.h>
#include <linux/kvlift.h>
#include <linux/percpu.h>
#include <linux/types.h>

struct kvl_advisor;
struct kvl_member;
struct kvl_pool;
struct kvl_tier;

/* Counts since mount; those that end in _NS are nanoseconds. */
enum kvl_counter {
	KVL_C_FAULTS,		/* page faults */
	KVL_C_FAULT_WAITS,	/* faults that waited for a slot or for I/O */
	KVL_C_FAULT_WAIT_NS,
	KVL_C_PROMOTE,		/* blocks moved to a faster tier */
	KVL_C_PROMOTE_NS,
	KVL_C_DEMOTE,		/* blocks moved to a slower tier */
	KVL_C_DEMOTE_NS,
	KVL_C_DEMOTE_NOIO,	/* of these, without a copy: the shadow was good */
	KVL_C_REFUSED_PINNED,	/* not moved: somebody holds a reference */
	KVL_C_REFUSED_LEASED,	/* not moved: somebody holds a lease */
	KVL_C_LEASE_EXPIRED,	/* leases that ended at their deadline */
	KVL_C_REFUSED_BUSY,	/* not moved: block or folio was locked */
	KVL_C_ABORTED,		/* moves undone after an error */
	KVL_C_READ_BYTES,	/* from devices */
	KVL_C_WRITE_BYTES,
	KVL_C_DISCARD_BYTES,	/* of freed slots of devices */
	KVL_C_IO_RETRIES,	/* failed copies that were tried again alone */
	KVL_C_IO_POLLED,	/* copies whose task found them done by polling */
	KVL_C_IO_ERRORS,
	KVL_C_CSUM_ERRORS,
	KVL_C_MEM_ERRORS,	/* slots taken out of use: their memory failed */
	KVL_C_MEM_LOST,		/* blocks lost by that */
	KVL_C_MEM_RECOVERED,	/* blocks whose copy below was good */
	KVL_C_GPU_LOST,		/* blocks lost with an attachment */
	KVL_C_ZEROED,		/* slots zeroed for a new block */
	KVL_C_TOUCHES,		/* touches by ioctl */
	KVL_C_RING_TOUCHES,	/* touches by ring */
	KVL_C_RING_IGNORED,	/* entries that named no stored block */
	KVL_C_RING_DROPPED,	/* touches that found their ring full */
	KVL_C_RING_RESETS,	/* tails that made no sense */
	KVL_C_RING_NS,		/* time of the worker that reads rings */
	KVL_C_SCANS,		/* rounds of the scan for accessed bits */
	KVL_C_SCAN_BLOCKS,	/* mapped blocks looked at */
	KVL_C_SCAN_YOUNG,	/* of these, found accessed */
	KVL_C_SCAN_BUSY,	/* processes whose mmap_lock was taken */
	KVL_C_SCAN_NS,		/* time of its worker */
	KVL_C_NOSPACE,		/* requests that found every tier full */
	KVL_C_RECLAIM_PASSES,
	KVL_C_PREFETCHED,	/* blocks promoted ahead of need */
	KVL_C_PREFETCH_DROPPED,	/* requests given up: no slot in time */
	KVL_C_SHADOW_DROPPED,	/* shadows given up for space */
	KVL_C_STORED,		/* copies made below ahead of need */
	KVL_C_STORE_STALE,	/* of these, in vain: written meanwhile */
	KVL_C_UNSEALED,		/* complete blocks that were written again */
	KVL_C_RECOPIED,		/* copies made again: written meanwhile */
	KVL_C_MOVE_READ,	/* moves by protocol, in the order of kvl_proto */
	KVL_C_MOVE_OPEN,
	KVL_C_MOVE_SAMPLE,
	KVL_C_MOVE_PROTECT,
	KVL_C_MOVE_STOP,
	KVL_C_MOVE_DROP,
	KVL_C_SHRUNK,		/* slots given back because of pressure */
	KVL_C_OOM_FREED,	/* of these, when the kernel had run out */
	KVL_C_GROWN_BACK,	/* slots taken back when there was memory again */
	KVL_C_DOMAIN_FULL,	/* charges refused by a domain's limit */
	KVL_C_DOMAIN_LIMITED,	/* slots refused by a domain's limit */
	KVL_C_DOMAIN_EXCEEDED,	/* slots above it: nothing else moved */
	KVL_C_CACHE_DROPPED,	/* files dropped from cache directories */
	KVL_C_CACHE_DROPPED_BYTES,
	KVL_C_CACHE_WAITS,	/* times somebody waited for that */
	KVL_C_CACHE_REFUSED,	/* EAGAINs: nothing could be dropped */
	KVL_NR_COUNTERS,
};

/* CPU time in ns, by the tier on whose blocks it was spent. */
enum kvl_ns {
	KVL_NS_COPY,	/* copies and checksums, whoever made them */
	KVL_NS_WORKER,	/* passes of the tier's worker */
	KVL_NS_URGENT,	/* of these, with a task or the kernel waiting */
	KVL_NS_REST,	/* rest that the others cost */
	KVL_NR_NS,
};

/* @turn is that of interleaving. */
struct kvl_counters {
	u64 c[KVL_NR_COUNTERS];
	u64 ns[KVLIFT_NR_TIERS][KVL_NR_NS];
	u32 turn[KVLIFT_NR_TIERS];
	u64 moved[KVLIFT_NR_TIERS][KVLIFT_NR_TIERS];
};

#define kvl_count(pool, what)		this_cpu_inc((pool)->counters->c[what])
#define kvl_count_add(pool, what, n)	\
	this_cpu_add((pool)->counters->c[what], n)
#define kvl_count_move(pool, from, to)	\
	this_cpu_inc((pool)->counters->moved[from][to])

#define kvl_count_ns(pool, tier, what, n)	\
	this_cpu_add((pool)->counters->ns[tier][what], n)

/* What the module has allocated, all zero when nothing is mounted. */
struct kvl_objects {
	atomic_t pools;
	atomic_t domains;
	atomic_t regions;
	atomic_t inodes;
	atomic_t moves;
	atomic64_t slots;
	atomic64_t chunks;
};

extern struct kvl_objects kvl_objects;

int kvl_stats_init(void);
void kvl_stats_exit(void);
int kvl_stats_add_pool(struct kvl_pool *pool);
/* Of a pool that is in use: the tier's first, or one more. */
int kvl_stats_add_member(struct kvl_pool *pool, struct kvl_member *m);
void kvl_stats_remove_pool(struct kvl_pool *pool);
/* The report of a directory's policy; goes with the pool at the latest. */
int kvl_stats_add_policy(struct kvl_advisor *a);
void kvl_stats_remove_policy(struct kvl_advisor *a);

#endif /* KVL_STATS_H */
