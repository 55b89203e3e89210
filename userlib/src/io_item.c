// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The items of batches: what threads do, and what the module is asked for. */
#include <string.h>

#include "internal.h"
#include "io.h"

#define SOME 64u /* requests, events, touches in one go */

/* A request's cookie: generation, number of the batch, of the item. */
#define ITEM_BITS  16
#define BATCH_BITS 12

static uint64_t cookie_of(const struct kvlift_io *io, const struct kvl_batch *b,
			  unsigned int item)
{
	uint64_t at = (uint64_t)(b - io->batches);

	return (b->gen << BATCH_BITS | at) << ITEM_BITS | item;
}

/* The item of a cookie, or NULL. Needs the lock. */
static struct kvlift_item *find(struct kvlift_io *io, uint64_t cookie,
				struct kvl_batch **batch)
{
	uint64_t at = cookie >> ITEM_BITS & ((1u << BATCH_BITS) - 1);
	unsigned int item = cookie & ((1u << ITEM_BITS) - 1);
	struct kvl_batch *b;

	if (at >= io->depth)
		return NULL;
	b = &io->batches[at];
	if (!b->is_active || item >= b->nr || cookie_of(io, b, item) != cookie)
		return NULL;
	*batch = b;
	return &b->items[item];
}

static bool has_key(const struct kvlift_item *item)
{
	return item->cache && item->key && item->key_len &&
	       item->key_len <= KVLIFT_KEY_MAX;
}

static uint32_t allowed_flags(const struct kvlift_item *item)
{
	if (item->op == KVLIFT_ITEM_PUT)
		return KVLIFT_PUT_REPLACE | KVLIFT_ITEM_IOV;
	return item->op == KVLIFT_ITEM_GET ? KVLIFT_ITEM_IOV : 0;
}

int kvl_item_check(struct kvlift_item *item)
{
	bool good;

	if (item->reserved[0] | item->reserved[1] | item->reserved[2])
		return -EINVAL;
	if (item->flags & ~allowed_flags(item))
		return -EINVAL;
	if (item->flags & KVLIFT_ITEM_IOV && item->len > KVLIFT_IOV_MAX)
		return -EINVAL;
	switch (item->op) {
	case KVLIFT_ITEM_PUT:
	case KVLIFT_ITEM_GET:
		good = has_key(item) && (item->buf || !item->len);
		break;
	case KVLIFT_ITEM_EXISTS:
	case KVLIFT_ITEM_DELETE:
		good = has_key(item);
		break;
	case KVLIFT_ITEM_PREFETCH:
	case KVLIFT_ITEM_ACQUIRE:
	case KVLIFT_ITEM_DEMOTE:
	case KVLIFT_ITEM_TOUCH:
	case KVLIFT_ITEM_SEAL:
		good = item->region && item->count;
		break;
	case KVLIFT_ITEM_RELEASE:
		good = item->lease;
		break;
	default:
		good = false;
	}
	if (!good)
		return -EINVAL;
	item->res = 0;
	item->done = 0;
	return 0;
}

bool kvl_item_is_ours(const struct kvlift_item *item)
{
	return item->op != KVLIFT_ITEM_PREFETCH &&
	       item->op != KVLIFT_ITEM_ACQUIRE &&
	       item->op != KVLIFT_ITEM_RELEASE;
}

static void touch(struct kvlift_item *item)
{
	uint64_t index[SOME], at = item->first, end = at + item->count;
	int n;

	while (at < end && item->res >= 0) {
		unsigned int i;

		for (i = 0; i < SOME && at < end; i++)
			index[i] = at++;
		n = kvlift_touch(item->region, index, i);
		if (n < 0)
			item->res = n;
		else
			item->done += (uint64_t)n;
	}
}

/* Of a count that is a result, too. */
static void set(struct kvlift_item *item, int64_t ret)
{
	item->res = ret < 0 ? (int32_t)ret : 0;
	item->done = ret < 0 ? 0 : (uint64_t)ret;
}

static void put_or_get(struct kvlift_item *item)
{
	struct iovec one = { .iov_base = item->buf, .iov_len = item->len };
	const struct iovec *iov = &one;
	int nr = 1, i;

	if (item->flags & KVLIFT_ITEM_IOV) {
		iov = item->buf;
		nr = (int)item->len;
	}
	if (item->op == KVLIFT_ITEM_GET) {
		set(item, kvlift_getv(item->cache, item->key, item->key_len,
				      iov, nr));
		return;
	}
	item->res = kvlift_putv(item->cache, item->key, item->key_len, iov, nr,
				item->flags & KVLIFT_PUT_REPLACE);
	for (i = 0; i < nr && !item->res; i++)
		item->done += iov[i].iov_len;
}

void kvl_item_do(struct kvlift_item *item)
{
	switch (item->op) {
	case KVLIFT_ITEM_PUT:
	case KVLIFT_ITEM_GET:
		put_or_get(item);
		break;
	case KVLIFT_ITEM_EXISTS:
		item->res =
			kvlift_exists(item->cache, item->key, item->key_len);
		break;
	case KVLIFT_ITEM_DELETE:
		item->res =
			kvlift_delete(item->cache, item->key, item->key_len);
		break;
	case KVLIFT_ITEM_DEMOTE:
		set(item,
		    kvlift_demote(item->region, item->first, item->count));
		break;
	case KVLIFT_ITEM_TOUCH:
		touch(item);
		break;
	case KVLIFT_ITEM_SEAL:
		item->res = kvlift_seal(item->region, item->first, item->count,
					&item->done);
		break;
	}
}

static void end(struct kvlift_io *io, struct kvl_batch *b,
		struct kvlift_item *item, int res)
{
	pthread_mutex_lock(&io->lock);
	item->res = res;
	kvl_io_end_item(io, b, item);
	pthread_mutex_unlock(&io->lock);
}

static void make_request(const struct kvlift_io *io, const struct kvl_batch *b,
			 unsigned int i, struct kvlift_req *req)
{
	struct kvlift_item *item = &b->items[i];
	bool lease = item->op == KVLIFT_ITEM_ACQUIRE;

	memset(req, 0, sizeof(*req));
	req->cookie = cookie_of(io, b, i);
	req->first = item->first;
	req->count = item->count;
	req->deadline_ns = item->deadline_ns;
	req->fd = kvlift_region_fd(item->region);
	req->op = lease ? KVLIFT_OP_ACQUIRE : KVLIFT_OP_PREFETCH;
	req->tier = item->tier;
	req->prio = item->prio;
	req->lease_ms = item->lease_ms;
	if (lease)
		item->lease = req->cookie;
}

/*
 * Submits requests that were counted in @asked, and ends those that are not
 * taken. When the module's queue is full its events may make room.
 */
static void submit(struct kvlift_io *io, struct kvl_batch *b,
		   const struct kvlift_req *reqs, unsigned int nr)
{
	unsigned int done = 0, tries = 0;
	int n;

	while (done < nr) {
		n = kvlift_queue_submit(io->queue, reqs + done, nr - done);
		if (n > 0) {
			done += (unsigned int)n;
			tries = 0;
			continue;
		}
		if (n == -EAGAIN && !tries++ && !kvl_io_reap(io))
			continue;
		pthread_mutex_lock(&io->lock);
		io->asked--;
		pthread_mutex_unlock(&io->lock);
		end(io, b,
		    &b->items[reqs[done].cookie & ((1u << ITEM_BITS) - 1)],
		    n ? n : -EIO);
		done++;
	}
}

void kvl_io_ask(struct kvlift_io *io, struct kvl_batch *b)
{
	struct kvlift_req reqs[SOME];
	unsigned int i, n = 0;

	for (i = 0; i < b->nr; i++) {
		struct kvlift_item *item = &b->items[i];

		if (item->op == KVLIFT_ITEM_RELEASE)
			end(io, b, item,
			    kvlift_queue_release(io->queue, item->lease));
		if (item->op == KVLIFT_ITEM_PREFETCH ||
		    item->op == KVLIFT_ITEM_ACQUIRE)
			make_request(io, b, i, &reqs[n++]);
		if (n == SOME || (n && i + 1 == b->nr)) {
			pthread_mutex_lock(&io->lock);
			io->asked += n;
			pthread_mutex_unlock(&io->lock);
			submit(io, b, reqs, n);
			n = 0;
		}
	}
}

int kvl_io_reap(struct kvlift_io *io)
{
	struct kvlift_event events[SOME];
	struct kvlift_item *item;
	struct kvl_batch *b;
	int i, n;

	do {
		n = kvlift_queue_read(io->queue, events, SOME);
		if (n <= 0)
			return n == -EAGAIN ? 0 : n;
		pthread_mutex_lock(&io->lock);
		for (i = 0; i < n; i++) {
			io->asked--;
			item = find(io, events[i].cookie, &b);
			if (!item)
				continue;
			item->res = events[i].res;
			item->done = events[i].blocks;
			kvl_io_end_item(io, b, item);
		}
		pthread_mutex_unlock(&io->lock);
	} while (n == (int)SOME);
	return 0;
}

void kvl_io_cancel_asks(struct kvlift_io *io, struct kvl_batch *b)
{
	unsigned int i;

	/* One that has ended is not found, or too late. */
	for (i = 0; i < b->nr; i++)
		if (b->items[i].op == KVLIFT_ITEM_PREFETCH ||
		    b->items[i].op == KVLIFT_ITEM_ACQUIRE)
			kvlift_queue_cancel(io->queue, cookie_of(io, b, i));
}
