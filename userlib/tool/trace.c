// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvlift.h"
#include "pattern.h"
#include "stream.h"
#include "trace.h"
#include "util.h"

#define HASH_START (1u << 12)
#define NONE	   UINT32_MAX

int trace_init(struct trace *t)
{
	memset(t, 0, sizeof(*t));
	t->hash = malloc(HASH_START * sizeof(*t->hash));
	t->start = malloc(sizeof(*t->start));
	if (!t->hash || !t->start) {
		trace_free(t);
		return -ENOMEM;
	}
	memset(t->hash, 0xff, HASH_START * sizeof(*t->hash));
	t->hash_mask = HASH_START - 1;
	t->start[0] = 0;
	return 0;
}

void trace_free(struct trace *t)
{
	free(t->ids);
	free(t->refs);
	free(t->start);
	free(t->info);
	free(t->hash);
	memset(t, 0, sizeof(*t));
}

/* Room for one element more than n; array is a pointer to a pointer. */
static int grow(void *array, uint64_t *cap, uint64_t n, size_t size)
{
	void *old, *p;
	uint64_t want;

	if (n < *cap)
		return 0;
	want = *cap ? *cap * 2 : 1024;
	memcpy(&old, array, sizeof(old));
	p = realloc(old, want * size);
	if (!p)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*cap = want;
	return 0;
}

static uint32_t *find(uint32_t *hash, uint32_t mask, const uint64_t *ids,
		      uint64_t id)
{
	uint32_t i = (uint32_t)mix64(id) & mask;

	while (hash[i] != NONE && ids[hash[i]] != id)
		i = (i + 1) & mask;
	return &hash[i];
}

static int rehash(struct trace *t)
{
	uint32_t mask = t->hash_mask * 2 + 1, i;
	uint32_t *hash;

	hash = malloc(((size_t)mask + 1) * sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	memset(hash, 0xff, ((size_t)mask + 1) * sizeof(*hash));
	for (i = 0; i < t->nr_ids; i++)
		*find(hash, mask, t->ids, t->ids[i]) = i;
	free(t->hash);
	t->hash = hash;
	t->hash_mask = mask;
	return 0;
}

static int number_of(struct trace *t, uint64_t id, uint32_t *number)
{
	uint32_t *slot = find(t->hash, t->hash_mask, t->ids, id);
	int ret;

	if (*slot != NONE) {
		*number = *slot;
		return 0;
	}
	if (t->nr_ids > t->hash_mask / 2) {
		if (t->hash_mask >= UINT32_MAX / 2)
			return -EOVERFLOW;
		ret = rehash(t);
		if (ret)
			return ret;
		slot = find(t->hash, t->hash_mask, t->ids, id);
	}
	ret = grow(&t->ids, &t->cap_ids, t->nr_ids, sizeof(*t->ids));
	if (ret)
		return ret;
	t->ids[t->nr_ids] = id;
	*slot = t->nr_ids;
	*number = t->nr_ids++;
	return 0;
}

int trace_add(struct trace *t, const uint64_t *ids, uint32_t count)
{
	uint32_t i, number;
	int ret;

	for (i = 0; i < count; i++) {
		ret = number_of(t, ids[i], &number);
		if (!ret)
			ret = grow(&t->refs, &t->cap_refs, t->nr_refs,
				   sizeof(*t->refs));
		if (ret)
			return ret;
		t->refs[t->nr_refs++] = number;
	}
	/* start has one element more than there are requests. */
	ret = grow(&t->start, &t->cap_requests, t->nr_requests + 1,
		   sizeof(*t->start));
	if (!ret)
		ret = grow(&t->info, &t->cap_info, t->nr_requests,
			   sizeof(*t->info));
	if (ret)
		return ret;
	t->info[t->nr_requests] = (struct request_info){
		.session = TRACE_UNKNOWN,
		.turn = TRACE_UNKNOWN,
		.agent = TRACE_UNKNOWN,
	};
	t->start[++t->nr_requests] = t->nr_refs;
	return 0;
}

int trace_add_request(struct trace *t, const struct request *r)
{
	int ret = trace_add(t, r->ids, r->nr_ids);

	if (ret)
		return ret;
	t->info[t->nr_requests - 1] = (struct request_info){
		.timestamp = r->timestamp,
		.input_length = r->input_length,
		.session = r->session,
		.turn = r->turn,
		.agent = r->agent,
	};
	return 0;
}

uint32_t trace_find(const struct trace *t, uint64_t id)
{
	return *find(t->hash, t->hash_mask, t->ids, id);
}

void trace_set_clock(struct trace *t)
{
	uint64_t i;

	for (i = 0; i < t->nr_requests; i++)
		if (t->info[i].timestamp > 0)
			return;
	for (i = 0; i < t->nr_requests; i++)
		t->info[i].timestamp = 1000 * (double)i;
}

double trace_reuse(const struct trace *t)
{
	if (!t->nr_refs)
		return 0;
	return (double)(t->nr_refs - t->nr_ids) / (double)t->nr_refs;
}

static bool blank(const char *line, size_t len)
{
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t' ||
		       line[len - 1] == '\r'))
		len--;
	return len == 0;
}

int trace_load(struct trace *t, const char *path, uint64_t max)
{
	struct request r = { 0 };
	unsigned long long nr = 0;
	struct stream *s;
	const char *why;
	size_t len, at;
	char *line;
	int ret;

	ret = stream_open(path, &s);
	if (ret) {
		error("%s: %s", path, kvlift_strerror(ret));
		return ret;
	}
	while (!max || t->nr_requests < max) {
		ret = stream_line(s, &line, &len);
		if (ret <= 0)
			break;
		nr++;
		if (blank(line, len))
			continue;
		ret = request_parse(line, len, &r, &why, &at);
		if (ret) {
			error("%s: line %llu, column %zu: %s", path, nr, at + 1,
			      why);
			goto out;
		}
		ret = trace_add_request(t, &r);
		if (ret)
			break;
	}
	if (ret == -EBADMSG)
		error("%s: the compressed data is damaged or cut off after line %llu",
		      path, nr);
	else if (ret < 0)
		error("%s: after line %llu: %s", path, nr,
		      kvlift_strerror(ret));
	else
		ret = 0;
	if (!ret && !t->nr_requests) {
		error("%s: no request in it", path);
		ret = -ENODATA;
	}
out:
	stream_close(s);
	free(r.ids);
	return ret;
}
