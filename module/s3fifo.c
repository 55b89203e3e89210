// SPDX-License-Identifier: GPL-2.0-only
#include "s3fifo.h"

/* One of so much is the queue of newcomers. */
#define SMALL_PART	10

void kvl_s3_init(struct kvl_s3 *s)
{
	unsigned int i;

	for (i = 0; i < KVL_S3_QUEUES; i++) {
		INIT_LIST_HEAD(&s->queue[i]);
		s->weight[i] = 0;
		s->nr[i] = 0;
	}
	s->search = KVL_S3_NONE;
	s->seq = 0;
	s->bits = 0;
	s->ghosts = NULL;
}

static void put(struct kvl_s3 *s, struct kvl_s3_entry *e, u8 where)
{
	list_add(&e->list, &s->queue[where]);
	WRITE_ONCE(s->weight[where], s->weight[where] + e->weight);
	WRITE_ONCE(s->nr[where], s->nr[where] + 1);
	WRITE_ONCE(e->where, where);
}

static void take(struct kvl_s3 *s, struct kvl_s3_entry *e)
{
	list_del(&e->list);
	WRITE_ONCE(s->weight[e->where], s->weight[e->where] - e->weight);
	WRITE_ONCE(s->nr[e->where], s->nr[e->where] - 1);
	WRITE_ONCE(e->where, KVL_S3_NONE);
}

static struct kvl_s3_entry *oldest(struct kvl_s3 *s, u8 where)
{
	if (list_empty(&s->queue[where]))
		return NULL;
	return list_last_entry(&s->queue[where], struct kvl_s3_entry, list);
}

/* Tags are as good as random: their first bits tell the bucket. */
static struct kvl_s3_ghost *bucket(struct kvl_s3_ghost *ghosts,
				   unsigned int bits, u32 tag)
{
	return ghosts + ((u64)tag >> (32 - bits)) * KVL_S3_WAYS;
}

static bool counts(const struct kvl_s3 *s, const struct kvl_s3_ghost *g)
{
	u64 nr = kvl_s3_nr(s);

	return g->tag && s->seq - g->seq <= nr - nr / SMALL_PART;
}

/* True when there is one; it is gone then. */
static bool take_ghost(struct kvl_s3 *s, u32 tag)
{
	struct kvl_s3_ghost *g;
	unsigned int i;

	if (!s->ghosts)
		return false;
	g = bucket(s->ghosts, s->bits, tag);
	for (i = 0; i < KVL_S3_WAYS; i++) {
		if (g[i].tag != tag || !counts(s, &g[i]))
			continue;
		g[i].tag = 0;
		return true;
	}
	return false;
}

static void put_ghost(struct kvl_s3 *s, u32 tag)
{
	struct kvl_s3_ghost *g, *at;
	unsigned int i;

	if (!s->ghosts)
		return;
	s->seq++;
	g = bucket(s->ghosts, s->bits, tag);
	at = g;
	for (i = 0; i < KVL_S3_WAYS; i++) {
		if (!g[i].tag || g[i].tag == tag) {
			at = &g[i];
			break;
		}
		if (s->seq - g[i].seq > s->seq - at->seq)
			at = &g[i];
	}
	at->tag = tag;
	at->seq = s->seq;
}

/* 0 is no tag. */
static u32 real(u32 tag)
{
	return tag ? tag : 1;
}

void kvl_s3_add(struct kvl_s3 *s, struct kvl_s3_entry *e, u32 weight, u32 tag)
{
	e->weight = weight;
	WRITE_ONCE(e->uses, 0);
	put(s, e, take_ghost(s, real(tag)) ? KVL_S3_MAIN : KVL_S3_SMALL);
}

void kvl_s3_del(struct kvl_s3 *s, struct kvl_s3_entry *e)
{
	if (e->where != KVL_S3_NONE)
		take(s, e);
}

static bool small_is_full(const struct kvl_s3 *s)
{
	return s->weight[KVL_S3_SMALL] * SMALL_PART >= kvl_s3_weight(s);
}

static enum kvl_s3_queue choose(const struct kvl_s3 *s)
{
	return s->nr[KVL_S3_SMALL] &&
	       (small_is_full(s) || !s->nr[KVL_S3_MAIN]) ? KVL_S3_SMALL :
							   KVL_S3_MAIN;
}

static struct kvl_s3_entry *found(struct kvl_s3 *s, struct kvl_s3_entry *e)
{
	e->from = e->where;
	take(s, e);
	s->search = KVL_S3_NONE;
	return e;
}

/* What was used once goes, too; what was used twice moves on. */
static struct kvl_s3_entry *step_small(struct kvl_s3 *s,
				       struct kvl_s3_entry *e)
{
	if (READ_ONCE(e->uses) < 2)
		return found(s, e);
	WRITE_ONCE(e->uses, 0);
	take(s, e);
	put(s, e, KVL_S3_MAIN);
	/* The main queue has to make room for it. */
	if (!small_is_full(s))
		s->search = KVL_S3_MAIN;
	return NULL;
}

static struct kvl_s3_entry *step_main(struct kvl_s3 *s,
				      struct kvl_s3_entry *e)
{
	u8 uses = READ_ONCE(e->uses);

	if (!uses)
		return found(s, e);
	WRITE_ONCE(e->uses, uses - 1);
	list_move(&e->list, &s->queue[KVL_S3_MAIN]);
	return NULL;
}

struct kvl_s3_entry *kvl_s3_victim(struct kvl_s3 *s, unsigned int steps)
{
	struct kvl_s3_entry *e;

	while (steps-- && kvl_s3_nr(s)) {
		if (s->search == KVL_S3_NONE || !s->nr[s->search])
			s->search = choose(s);
		e = oldest(s, s->search);
		e = s->search == KVL_S3_SMALL ? step_small(s, e) :
						step_main(s, e);
		if (e)
			return e;
	}
	return NULL;
}

void kvl_s3_refused(struct kvl_s3 *s, struct kvl_s3_entry *e)
{
	put(s, e, e->from);
}

void kvl_s3_dropped(struct kvl_s3 *s, struct kvl_s3_entry *e, u32 tag)
{
	if (e->from == KVL_S3_SMALL)
		put_ghost(s, real(tag));
}

/* Buckets are half full, so that few displace others. */
unsigned int kvl_s3_bits(u64 files)
{
	unsigned int bits = 0;

	while (bits < KVL_S3_MAX_BITS &&
	       ((u64)KVL_S3_WAYS << bits) < 2 * files)
		bits++;
	return bits;
}

struct kvl_s3_ghost *kvl_s3_grow(struct kvl_s3 *s, struct kvl_s3_ghost *ghosts,
				 unsigned int bits)
{
	struct kvl_s3_ghost *old = s->ghosts, *g;
	u64 i, n = old ? (u64)KVL_S3_WAYS << s->bits : 0;
	unsigned int k;

	for (i = 0; i < n; i++) {
		if (!old[i].tag)
			continue;
		/* No more of them meet than before. */
		g = bucket(ghosts, bits, old[i].tag);
		for (k = 0; g[k].tag; k++)
			;
		g[k] = old[i];
	}
	s->ghosts = ghosts;
	s->bits = bits;
	return old;
}
