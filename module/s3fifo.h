/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which file of a cache directory goes next: S3-FIFO. Yang, Zhang, Qiu, Yue
 * and Vinayak, "FIFO queues are all you need for cache eviction", SOSP 2023,
 * algorithm 1, as in bpf/s3fifo.bpf.c but by weight, as files differ in size.
 *
 * A tenth of what is cached is a queue of newcomers. Those that were used
 * twice there move on to the main queue; the others go, and leave their name
 * behind among the ghosts, which lets them into the main queue when they come
 * again. In the main queue each use is good for one more round.
 *
 * A ghost is a tag of 32 bits of a name's hash and the number of its drop, in
 * a table of buckets of a cache line each: it counts as long as no more have
 * been dropped since than the main queue has files. A ghost too many in a
 * bucket displaces the oldest of it.
 *
 * Pure: compiles in user space too, for the unit tests. Locks are the
 * caller's, who may count a use (kvl_s3_use()) without any.
 */
#ifndef KVL_S3FIFO_H
#define KVL_S3FIFO_H

#include <linux/list.h>
#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
typedef __u64 u64;
typedef __u32 u32;
typedef __u8 u8;
#define READ_ONCE(x)	__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#endif

#define KVL_S3_MAX_USES	3
#define KVL_S3_WAYS	8	/* ghosts in a bucket */
#define KVL_S3_MAX_BITS	22	/* of their number */

enum kvl_s3_queue {
	KVL_S3_SMALL,
	KVL_S3_MAIN,
	KVL_S3_QUEUES,
	KVL_S3_NONE = KVL_S3_QUEUES,
};

/**
 * struct kvl_s3_entry - a file in the queues
 * @weight:	of it; not zero
 * @where:	enum kvl_s3_queue; KVL_S3_NONE: in none
 * @from:	the queue it was in when it was chosen
 * @uses:	since it was last moved, at most KVL_S3_MAX_USES
 */
struct kvl_s3_entry {
	struct list_head list;
	u32 weight;
	u8 where;
	u8 from;
	u8 uses;
};

struct kvl_s3_ghost {
	u32 tag;	/* 0: none */
	u32 seq;
};

/**
 * struct kvl_s3
 * @queue:	the newest first
 * @search:	queue in which the search goes on; KVL_S3_NONE: begins
 * @seq:	drops that left a ghost
 * @bits:	log2 of the buckets of @ghosts
 * @ghosts:	NULL: there is no memory for them
 */
struct kvl_s3 {
	struct list_head queue[KVL_S3_QUEUES];
	u64 weight[KVL_S3_QUEUES];
	u64 nr[KVL_S3_QUEUES];
	enum kvl_s3_queue search;
	u32 seq;
	unsigned int bits;
	struct kvl_s3_ghost *ghosts;
};

static inline void kvl_s3_entry_init(struct kvl_s3_entry *e)
{
	e->where = KVL_S3_NONE;
	e->uses = 0;
}

/* Concurrent uses may count as one, and one that races with a move as none. */
static inline void kvl_s3_use(struct kvl_s3_entry *e)
{
	u8 uses = READ_ONCE(e->uses);

	if (uses < KVL_S3_MAX_USES)
		WRITE_ONCE(e->uses, uses + 1);
}

/* These two without the lock, too, as good as it gets then. */
static inline u64 kvl_s3_nr(const struct kvl_s3 *s)
{
	return READ_ONCE(s->nr[KVL_S3_SMALL]) + READ_ONCE(s->nr[KVL_S3_MAIN]);
}

static inline u64 kvl_s3_weight(const struct kvl_s3 *s)
{
	return READ_ONCE(s->weight[KVL_S3_SMALL]) +
	       READ_ONCE(s->weight[KVL_S3_MAIN]);
}

void kvl_s3_init(struct kvl_s3 *s);

/* A file that is in no queue has come. @tag: of its name. */
void kvl_s3_add(struct kvl_s3 *s, struct kvl_s3_entry *e, u32 weight, u32 tag);
/* It is gone, and not by what was chosen here. */
void kvl_s3_del(struct kvl_s3 *s, struct kvl_s3_entry *e);

/*
 * The file that is to go, out of its queue. NULL: there is none, or it was not
 * found in so many @steps; the search goes on with the next call.
 */
struct kvl_s3_entry *kvl_s3_victim(struct kvl_s3 *s, unsigned int steps);
/* It could not be dropped: as if it had just come to its queue. */
void kvl_s3_refused(struct kvl_s3 *s, struct kvl_s3_entry *e);
/* It is dropped. */
void kvl_s3_dropped(struct kvl_s3 *s, struct kvl_s3_entry *e, u32 tag);

/* The log2 of the buckets that so many files need, and their size in bytes. */
unsigned int kvl_s3_bits(u64 files);
static inline size_t kvl_s3_bytes(unsigned int bits)
{
	return (KVL_S3_WAYS * sizeof(struct kvl_s3_ghost)) << bits;
}

/*
 * Gives it a table of zeros, larger than what it has; returns that one, which
 * may be NULL.
 */
struct kvl_s3_ghost *kvl_s3_grow(struct kvl_s3 *s, struct kvl_s3_ghost *ghosts,
				 unsigned int bits);

#endif /* KVL_S3FIFO_H */
