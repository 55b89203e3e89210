// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Batches of the library: each has one event, each item its result; nothing is
 * lost, and closing cuts nothing off.
 *
 *	iobatch DIR
 */
#include <poll.h>
#include <pthread.h>

#include "kvlift.h"
#include "kvltest.h"

#define NR   64
#define SOME 8 /* that may be leased in any pool */

static struct kvlift_pool *pool;
static struct kvlift_cache *cache;
static size_t bs;

static struct kvlift_io_event wait_one(struct kvlift_io *io)
{
	struct kvlift_io_event e = { .user = ~0ull };

	IS(kvlift_io_wait(io, &e, 1, 20000), 1);
	return e;
}

/* Keys and buffers of NR objects of a block each. */
struct objects {
	char key[NR][16];
	char *buf[NR];
	struct kvlift_item item[NR];
};

static struct objects *make(uint32_t op, unsigned int who)
{
	struct objects *o = calloc(1, sizeof(*o));
	unsigned int i;

	for (i = 0; i < NR; i++) {
		snprintf(o->key[i], sizeof(o->key[i]), "o%u.%u", who, i);
		o->buf[i] = calloc(1, bs);
		if (op == KVLIFT_ITEM_PUT)
			kvt_fill(o->buf[i], bs, who * NR + i, 0);
		o->item[i].op = op;
		o->item[i].cache = cache;
		o->item[i].key = o->key[i];
		o->item[i].key_len = strlen(o->key[i]);
		o->item[i].buf = o->buf[i];
		o->item[i].len = bs;
	}
	return o;
}

static void drop(struct objects *o)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		free(o->buf[i]);
	free(o);
}

static void keyed(struct kvlift_io *io)
{
	static const uint32_t ops[] = { KVLIFT_ITEM_PUT,    KVLIFT_ITEM_PUT,
					KVLIFT_ITEM_EXISTS, KVLIFT_ITEM_GET,
					KVLIFT_ITEM_DELETE, KVLIFT_ITEM_DELETE,
					KVLIFT_ITEM_EXISTS, KVLIFT_ITEM_GET };
	static const int res[] = { 0, 1, 1, 0, 0, -ENOENT, 0, -ENOENT };
	struct pollfd p = { .fd = kvlift_io_fd(io), .events = POLLIN };
	struct kvlift_io_event e;
	struct objects *o;
	unsigned int k, i;

	for (k = 0; k < sizeof(ops) / sizeof(*ops); k++) {
		o = make(ops[k], 0);
		IS(kvlift_io_submit(io, o->item, NR, 100 + k), 0);
		IS(poll(&p, 1, 20000), 1);
		e = wait_one(io);
		IS(e.user, 100 + k);
		IS(e.items, NR);
		IS(e.failed, res[k] < 0 ? NR : 0);
		IS(e.bytes, k == 0 || k == 3 ? NR * bs : 0);
		for (i = 0; i < NR; i++) {
			IS(o->item[i].res, res[k]);
			if (k == 3)
				IS(kvt_diff(o->buf[i], bs, i, 0), -1);
		}
		drop(o);
		IS(poll(&p, 1, 0), 0);
		IS(kvlift_io_poll(io, &e, 1), 0);
		IS(kvlift_io_wait(io, &e, 1, 1), 0);
	}
}

static void wrong(struct kvlift_io *io)
{
	struct kvlift_item good = { .op = KVLIFT_ITEM_EXISTS,
				    .cache = cache,
				    .key = "k",
				    .key_len = 1 };
	struct kvlift_item item[2] = { good, good };
	struct kvlift_io_opts opts = { .depth = KVLIFT_IO_DEPTH_MAX + 1 };
	struct kvlift_io_event e;
	struct kvlift_io *other;

	IS(kvlift_io_submit(io, NULL, 1, 0), -EINVAL);
	IS(kvlift_io_submit(io, item, 0, 0), -EINVAL);
	IS(kvlift_io_submit(io, item, KVLIFT_IO_ITEMS_MAX + 1, 0), -EINVAL);
	item[1].op = 0;
	IS(kvlift_io_submit(io, item, 2, 0), -EINVAL);
	item[1] = good;
	item[1].key_len = 256;
	IS(kvlift_io_submit(io, item, 2, 0), -EINVAL);
	item[1] = good;
	item[1].flags = 1;
	IS(kvlift_io_submit(io, item, 2, 0), -EINVAL);
	item[1] = good;
	item[1].op = KVLIFT_ITEM_PREFETCH;
	IS(kvlift_io_submit(io, item, 2, 0), -EINVAL);
	IS(kvlift_io_poll(io, &e, 1), 0);
	IS(kvlift_io_cancel(io, 1), -ENOENT);
	IS(kvlift_io_drain(io, 0), 0);
	IS(kvlift_io_open(pool, &opts, &other), -EINVAL);
	opts.depth = 0;
	opts.reserved[0] = 1;
	IS(kvlift_io_open(pool, &opts, &other), -EINVAL);
	kvlift_io_close(NULL);
}

/* Blocks: into memory, leased, and given back. */
static void blocks(struct kvlift_io *io)
{
	struct kvlift_item item[2 * SOME] = {};
	struct kvlift_item more = {};
	struct kvlift_region *r;
	struct kvlift_io_event e;
	uint64_t word[2 * SOME], now[2 * SOME];
	unsigned int i;
	char *p;

	IS(kvlift_region_create(pool, "blocks", NR * bs, 0600, &r), 0);
	IS(kvlift_region_map(r, 0, NR * bs, PROT_READ | PROT_WRITE, 0,
			     (void **)&p),
	   0);
	kvt_fill(p, NR * bs, 5, 0);
	more = (struct kvlift_item){ .op = KVLIFT_ITEM_SEAL,
				     .region = r,
				     .count = NR };
	IS(kvlift_io_submit(io, &more, 1, 1), 0);
	e = wait_one(io);
	IS(more.res, 0);
	IS(more.done, NR);
	more.op = KVLIFT_ITEM_DEMOTE;
	IS(kvlift_io_submit(io, &more, 1, 2), 0);
	e = wait_one(io);
	IS(more.res, 0);
	CHECK(more.done > 0);
	for (i = 0; i < 2 * SOME; i++) {
		item[i].op = i < SOME ? KVLIFT_ITEM_PREFETCH
				      : KVLIFT_ITEM_ACQUIRE;
		item[i].region = r;
		item[i].first = i;
		item[i].count = 1;
		item[i].tier = KVLIFT_TIER_DRAM;
		item[i].lease_ms = i < SOME ? 0 : 60000;
	}
	IS(kvlift_io_submit(io, item, 2 * SOME, 3), 0);
	e = wait_one(io);
	IS(e.user, 3);
	IS(e.failed, 0);
	IS(kvlift_where(r, 0, 2 * SOME, word), 2 * SOME);
	for (i = SOME; i < 2 * SOME; i++) {
		CHECK(item[i].lease);
		IS(kvlift_loc_tier(word[i]), KVLIFT_TIER_DRAM);
	}
	more.op = KVLIFT_ITEM_DEMOTE;
	IS(kvlift_io_submit(io, &more, 1, 4), 0);
	e = wait_one(io);
	IS(kvlift_where(r, 0, 2 * SOME, now), 2 * SOME);
	for (i = SOME; i < 2 * SOME; i++)
		CHECK(now[i] == word[i], "leased block %u has moved", i);
	for (i = SOME; i < 2 * SOME; i++) {
		item[i].op = KVLIFT_ITEM_RELEASE;
		item[i].res = -1;
	}
	IS(kvlift_io_submit(io, item + SOME, SOME, 5), 0);
	e = wait_one(io);
	IS(e.failed, 0);
	IS(kvlift_io_submit(io, item + SOME, 1, 6), 0);
	e = wait_one(io);
	IS(item[SOME].res, -ENOENT);
	more.op = KVLIFT_ITEM_TOUCH;
	IS(kvlift_io_submit(io, &more, 1, 7), 0);
	e = wait_one(io);
	IS(more.done, NR);
	/* What cannot be says so. */
	more = (struct kvlift_item){
		.op = KVLIFT_ITEM_PREFETCH, .region = r, .first = NR, .count = 1
	};
	IS(kvlift_io_submit(io, &more, 1, 8), 0);
	e = wait_one(io);
	IS(e.failed, 1);
	IS(more.res, -ENXIO);
	more.count = 1u << 20;
	IS(kvlift_io_submit(io, &more, 1, 9), 0);
	e = wait_one(io);
	IS(more.res, -EINVAL);
	IS(kvt_diff(p, NR * bs, 5, 0), -1);
	IS(kvlift_region_unmap(p, NR * bs), 0);
	kvlift_region_close(r);
	OK(unlinkat(kvlift_pool_fd(pool), "blocks", 0));
}

/* In pieces, there and back. */
static void pieces(struct kvlift_io *io)
{
	char *a = malloc(2 * bs), *b = malloc(2 * bs);
	struct iovec to[2] = { { a, 100 }, { a + 100, 2 * bs - 100 } };
	struct iovec from[3] = { { b, bs }, { b + bs, 1 }, { b + bs + 1, bs } };
	struct kvlift_item item = { .op = KVLIFT_ITEM_PUT,
				    .flags = KVLIFT_ITEM_IOV,
				    .cache = cache,
				    .key = "pieces",
				    .key_len = 6,
				    .buf = to,
				    .len = 2 };

	kvt_fill(a, 2 * bs, 9, 0);
	IS(kvlift_io_submit(io, &item, 1, 1), 0);
	IS(wait_one(io).bytes, 2 * bs);
	item.op = KVLIFT_ITEM_GET;
	item.buf = from;
	item.len = 3;
	IS(kvlift_io_submit(io, &item, 1, 2), 0);
	wait_one(io);
	IS(item.res, 0);
	IS(item.done, 2 * bs);
	IS(kvt_diff(b, 2 * bs, 9, 0), -1);
	item.len = KVLIFT_IOV_MAX + 1;
	IS(kvlift_io_submit(io, &item, 1, 3), -EINVAL);
	IS(kvlift_delete(cache, "pieces", 6), 0);
	free(a);
	free(b);
}

/* Items of both kinds; as many as the depth; cancelled; closed with some left. */
static void depth(void)
{
	const struct kvlift_io_opts opts = { .depth = 2, .threads = 1 };
	struct kvlift_io_event e[4];
	struct objects *o[3];
	struct kvlift_io *io;
	unsigned int i, ended = 0;

	IS(kvlift_io_open(pool, &opts, &io), 0);
	for (i = 0; i < 3; i++) {
		o[i] = make(KVLIFT_ITEM_PUT, i);
		IS(kvlift_io_submit(io, o[i]->item, NR, i),
		   i < 2 ? 0 : -EAGAIN);
	}
	IS(kvlift_io_drain(io, 20000), 0);
	IS(kvlift_io_submit(io, o[2]->item, NR, 2), -EAGAIN);
	IS(kvlift_io_wait(io, e, 4, 20000), 2);
	CHECK(e[0].user + e[1].user == 1);
	IS(kvlift_io_submit(io, o[2]->item, NR, 2), 0);
	IS(kvlift_io_cancel(io, 2), 1);
	IS(kvlift_io_wait(io, e, 4, 20000), 1);
	for (i = 0; i < NR; i++)
		ended += o[2]->item[i].res == -ECANCELED;
	IS(e[0].failed, ended);
	for (i = 0; i < 3; i++)
		drop(o[i]);

	o[0] = make(KVLIFT_ITEM_DELETE, 0);
	o[1] = make(KVLIFT_ITEM_DELETE, 1);
	IS(kvlift_io_submit(io, o[0]->item, NR, 0), 0);
	IS(kvlift_io_submit(io, o[1]->item, NR, 1), 0);
	kvlift_io_close(io);
	for (i = 0; i < NR; i++) {
		CHECK(o[0]->item[i].res == 0 ||
		      o[0]->item[i].res == -ECANCELED);
		kvlift_delete(cache, o[0]->key[i], o[0]->item[i].key_len);
		kvlift_delete(cache, o[1]->key[i], o[1]->item[i].key_len);
	}
	drop(o[0]);
	drop(o[1]);
	o[2] = make(KVLIFT_ITEM_DELETE, 2);
	for (i = 0; i < NR; i++)
		kvlift_delete(cache, o[2]->key[i], o[2]->item[i].key_len);
	drop(o[2]);
}

struct many {
	struct kvlift_io *io;
	struct kvlift_region *r;
	unsigned int who, rounds;
};

/* Submits, and takes whatever events there are. */
static uint64_t events_seen;

static void *submitter(void *arg)
{
	struct many *m = arg;
	struct kvlift_io_event e[8];
	struct objects *o = make(KVLIFT_ITEM_PUT, m->who);
	unsigned int round, i;
	int n;

	for (round = 0; round < m->rounds; round++) {
		for (i = 0; i < NR; i++) {
			o->item[i].op = i % 4 == 3 ? KVLIFT_ITEM_PREFETCH
						   : KVLIFT_ITEM_PUT;
			o->item[i].region = m->r;
			o->item[i].first = (m->who + i) % NR;
			o->item[i].count = 1;
			o->item[i].flags = i % 4 == 3 ? 0 : KVLIFT_PUT_REPLACE;
			o->item[i].res = -12345;
		}
		while (kvlift_io_submit(m->io, o->item, NR, m->who) == -EAGAIN)
			kvt_msleep(1);
		/* Who knows whose event it is: the items tell. */
		do {
			n = kvlift_io_wait(m->io, e, 8, 1);
			if (n > 0)
				__atomic_add_fetch(&events_seen, n,
						   __ATOMIC_RELAXED);
			for (i = 0; i < NR; i++)
				if (__atomic_load_n(&o->item[i].res,
						    __ATOMIC_RELAXED) == -12345)
					break;
		} while (i < NR);
		/* Between the last result and the event is a moment. */
		IS(kvlift_io_drain(m->io, 20000), 0);
		for (i = 0; i < NR; i++)
			IS(o->item[i].res, 0);
	}
	for (i = 0; i < NR; i++)
		kvlift_delete(cache, o->key[i], o->item[i].key_len);
	drop(o);
	return NULL;
}

static void many_threads(void)
{
	const struct kvlift_io_opts opts = { .depth = 8, .threads = 3 };
	struct kvlift_io_event e[8];
	struct many m[4];
	pthread_t t[4];
	unsigned int i;
	int n;

	IS(kvlift_region_create(pool, "blocks", NR * bs, 0600, &m[0].r), 0);
	IS(kvlift_io_open(pool, &opts, &m[0].io), 0);
	for (i = 0; i < 4; i++) {
		m[i] = m[0];
		m[i].who = i;
		m[i].rounds = 8;
		MUST(pthread_create(&t[i], NULL, submitter, &m[i]) ? -1 : 0);
	}
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	while ((n = kvlift_io_poll(m[0].io, e, 8)) > 0)
		events_seen += (unsigned int)n;
	IS(events_seen, 4 * 8);
	kvlift_io_close(m[0].io);
	kvlift_region_close(m[0].r);
	OK(unlinkat(kvlift_pool_fd(pool), "blocks", 0));
}

int main(int argc, char **argv)
{
	struct kvlift_io *io;
	int ret;

	if (argc != 2)
		kvt_die("usage: iobatch DIR");
	ret = kvlift_pool_open(argv[1], &pool);
	ret = ret ?: kvlift_cache_open(pool, NULL, &cache);
	ret = ret ?: kvlift_io_open(pool, NULL, &io);
	if (ret)
		kvt_die("%s: %s", argv[1], kvlift_strerror(ret));
	bs = kvlift_pool_block_size(pool);
	keyed(io);
	wrong(io);
	blocks(io);
	pieces(io);
	kvlift_io_close(io);
	depth();
	many_threads();
	kvlift_cache_close(cache);
	kvlift_pool_close(pool);
	return kvt_end("iobatch");
}
