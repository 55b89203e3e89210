// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The model on the CPU, at addresses that are pointers. */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <kvlift.h>

#include "kv.h"

struct device {
	struct shape shape;
	float *query, *out;
	float *scores; /* of one head */
	unsigned int step;
};

static float to_float(uint16_t half)
{
	uint32_t exponent = half >> 10 & 31, mantissa = half & 1023, bits;
	float f;

	if (!exponent) {
		f = (float)mantissa / 16777216.0f;
		return half & 0x8000 ? -f : f;
	}
	bits = (half & 0x8000u) << 16 | (exponent + 112) << 23 | mantissa << 13;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static struct device *cpu_open(int number, const struct shape *s)
{
	struct device *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->shape = *s;
	d->query = calloc(shape_floats(s), sizeof(float));
	d->out = calloc(shape_floats(s), sizeof(float));
	d->scores = calloc(s->tokens + s->steps, sizeof(float));
	if (!d->query || !d->out || !d->scores)
		errx(1, "no memory");
	(void)number;
	return d;
}

static void cpu_close(struct device *d)
{
	free(d->query);
	free(d->out);
	free(d->scores);
	free(d);
}

static const char *cpu_name(struct device *d)
{
	(void)d;
	return "CPU, memory stands in for that of a GPU";
}

static uint64_t cpu_alloc(struct device *d, size_t bytes)
{
	(void)d;
	return (uint64_t)(uintptr_t)aligned_alloc(4096, bytes);
}

static void cpu_free(struct device *d, uint64_t at)
{
	(void)d;
	free((void *)(uintptr_t)at);
}

static uint64_t cpu_stream(struct device *d)
{
	(void)d;
	return 0;
}

static void cpu_fill(struct device *d, uint64_t at, uint64_t index)
{
	uint16_t *p = (uint16_t *)(uintptr_t)at;
	size_t i;

	for (i = 0; i < d->shape.block / 2; i++)
		p[i] = kv_bits(index, i);
}

static void cpu_begin(struct device *d, unsigned int step)
{
	size_t i;

	d->step = step;
	for (i = 0; i < shape_floats(&d->shape); i++)
		d->query[i] = kv_query(step, i);
}

static const uint16_t *block_of(const struct device *d, const uint64_t *table,
				unsigned int token)
{
	return (const uint16_t *)(uintptr_t)table[token / d->shape.per_block];
}

/* One query head over all tokens of its sequence. */
static void attend_head(struct device *d, unsigned int tokens,
			const uint64_t *table, unsigned int head,
			const float *query, float *out)
{
	unsigned int per = d->shape.per_block, kv = head / GROUP, t, i;
	float most = -INFINITY, sum = 0, acc[DIM] = { 0 };
	const uint16_t *p;

	for (t = 0; t < tokens; t++) {
		p = block_of(d, table, t) + kv_key(t % per, kv);
		d->scores[t] = 0;
		for (i = 0; i < DIM; i++)
			d->scores[t] += query[i] * to_float(p[i]);
		d->scores[t] *= 0.08838834764f; /* 1 / sqrt(DIM) */
		if (d->scores[t] > most)
			most = d->scores[t];
	}
	for (t = 0; t < tokens; t++) {
		float w = expf(d->scores[t] - most);

		p = block_of(d, table, t) + kv_value(per, t % per, kv);
		sum += w;
		for (i = 0; i < DIM; i++)
			acc[i] += w * to_float(p[i]);
	}
	for (i = 0; i < DIM; i++)
		out[i] = acc[i] / sum;
}

/* The token that was decoded, in the last block. */
static void append(struct device *d, unsigned int tokens, const uint64_t *table,
		   const float *out)
{
	unsigned int per = d->shape.per_block, head, i;
	uint16_t *p = (uint16_t *)(uintptr_t)table[tokens / per];

	for (head = 0; head < KV_HEADS; head++)
		for (i = 0; i < DIM; i++) {
			float o = out[head * GROUP * DIM + i];

			p[kv_key(tokens % per, head) + i] =
				kv_half(kv_new(o, false));
			p[kv_value(per, tokens % per, head) + i] =
				kv_half(kv_new(o, true));
		}
}

static void cpu_attend(struct device *d, unsigned int layer,
		       unsigned int tokens, const uint64_t *table)
{
	unsigned int seq, head;
	size_t i;

	for (seq = 0; seq < d->shape.seqs; seq++) {
		const uint64_t *t = table + (size_t)seq * d->shape.blocks;
		size_t at = (size_t)seq * HEADS * DIM;

		for (head = 0; head < HEADS; head++)
			attend_head(d, tokens, t, head,
				    d->query + at + head * DIM,
				    d->out + at + head * DIM);
		append(d, tokens, t, d->out + at);
	}
	for (i = 0; i < shape_floats(&d->shape); i++)
		d->query[i] = d->out[i] + kv_query(d->step + layer + 1, i);
}

static void cpu_end(struct device *d, float *out)
{
	memcpy(out, d->out, shape_floats(&d->shape) * sizeof(float));
}

const struct device_ops device_cpu = {
	.backend = KVLIFT_GPU_MEMCPY,
	.open = cpu_open,
	.close = cpu_close,
	.name = cpu_name,
	.alloc = cpu_alloc,
	.free = cpu_free,
	.stream = cpu_stream,
	.fill = cpu_fill,
	.begin = cpu_begin,
	.attend = cpu_attend,
	.end = cpu_end,
};
