// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The model on a GPU. A team of 16 threads reads keys and values of a token, 16
 * bytes each; a thread block has the tokens of a part of a sequence for one KV
 * head, and parts are put together by a second kernel. The order of all sums
 * depends on the shape alone, so results are the same bit for bit wherever the
 * blocks are.
 */
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <kvlift.h>

#include "kv.h"

#define TEAM	16u /* threads of a token */
#define VEC	8u  /* halfs of a thread, of DIM */
#define THREADS 256u
#define TEAMS	(THREADS / TEAM)
#define AHEAD	4u /* tokens of a team whose loads are on their way */
#define PARTS	8u
#define PART	(DIM + 2u) /* floats of a part: maximum, sum, values */

struct device {
	struct shape shape;
	cudaStream_t stream;
	char name[256];
	float *query, *out, *parts;
	/* Of each layer, until the step has ended. */
	uint64_t *host_table, *table;
	size_t entries;
	unsigned int step;
};

static void check(cudaError_t err, const char *what)
{
	if (err == cudaSuccess)
		return;
	fprintf(stderr, "gpu_step: %s: %s\n", what, cudaGetErrorString(err));
	exit(1);
}

/* What a team has of its tokens, for each head of the group. */
struct sums {
	float most[GROUP], sum[GROUP], acc[GROUP][VEC];
};

__device__ static void unpack(const uint4 &in, float out[VEC])
{
	const __half2 *h = (const __half2 *)&in;

#pragma unroll
	for (unsigned int i = 0; i < VEC / 2; i++) {
		float2 f = __half22float2(h[i]);

		out[2 * i] = f.x;
		out[2 * i + 1] = f.y;
	}
}

/* A token more. All threads of a team are here. */
__device__ static void add_token(struct sums *s, const float q[GROUP][VEC],
				 const uint4 &key, const uint4 &value,
				 unsigned int mask)
{
	float k[VEC], v[VEC];

	unpack(key, k);
	unpack(value, v);
#pragma unroll
	for (unsigned int g = 0; g < GROUP; g++) {
		float score = 0, most, keep, w;

#pragma unroll
		for (unsigned int i = 0; i < VEC; i++)
			score += q[g][i] * k[i];
#pragma unroll
		for (unsigned int d = TEAM / 2; d; d /= 2)
			score += __shfl_xor_sync(mask, score, d);
		most = fmaxf(s->most[g], score);
		keep = expf(s->most[g] - most);
		w = expf(score - most);
		s->most[g] = most;
		s->sum[g] = s->sum[g] * keep + w;
#pragma unroll
		for (unsigned int i = 0; i < VEC; i++)
			s->acc[g][i] = s->acc[g][i] * keep + w * v[i];
	}
}

__device__ static void load_query(const float *query, unsigned int lane,
				  float q[GROUP][VEC])
{
	for (unsigned int g = 0; g < GROUP; g++)
		for (unsigned int i = 0; i < VEC; i++)
			q[g][i] = query[g * DIM + lane * VEC + i] *
				  0.08838834764f; /* 1 / sqrt(DIM) */
}

/* Teams in their order, to one part: thread t has values t and t + THREADS. */
__device__ static void write_part(const struct sums *s, unsigned int team,
				  unsigned int lane, float *part)
{
	__shared__ float acc[TEAMS][GROUP][DIM];
	__shared__ float most[TEAMS][GROUP], sum[TEAMS][GROUP];

	for (unsigned int g = 0; g < GROUP; g++) {
		for (unsigned int i = 0; i < VEC; i++)
			acc[team][g][lane * VEC + i] = s->acc[g][i];
		if (!lane) {
			most[team][g] = s->most[g];
			sum[team][g] = s->sum[g];
		}
	}
	__syncthreads();
	for (unsigned int at = threadIdx.x; at < GROUP * DIM; at += THREADS) {
		unsigned int g = at / DIM, i = at % DIM, t;
		float m = -INFINITY, l = 0, a = 0;

		for (t = 0; t < TEAMS; t++)
			m = fmaxf(m, most[t][g]);
		for (t = 0; t < TEAMS && m > -INFINITY; t++) {
			float w = expf(most[t][g] - m);

			l += w * sum[t][g];
			a += w * acc[t][g][i];
		}
		part[g * PARTS * PART + 2 + i] = a;
		if (!i) {
			part[g * PARTS * PART] = m;
			part[g * PARTS * PART + 1] = l;
		}
	}
}

/* Grid: KV heads, sequences, parts. */
__global__ static void __launch_bounds__(THREADS)
	attend(const uint64_t *table, const float *query, float *parts,
	       unsigned int tokens, unsigned int per_block, unsigned int blocks)
{
	unsigned int head = blockIdx.x, seq = blockIdx.y, part = blockIdx.z;
	unsigned int team = threadIdx.x / TEAM, lane = threadIdx.x % TEAM;
	unsigned int each = (tokens + PARTS - 1) / PARTS;
	unsigned int from = part * each, to = min(from + each, tokens);
	unsigned int mask = 0xffffu << (team % 2 * TEAM);
	size_t first = (size_t)seq * HEADS + head * GROUP;
	uint4 key[AHEAD], value[AHEAD];
	float q[GROUP][VEC];
	struct sums s;

	table += (size_t)seq * blocks;
	load_query(query + first * DIM, lane, q);
	for (unsigned int g = 0; g < GROUP; g++) {
		s.most[g] = -INFINITY;
		s.sum[g] = 0;
		for (unsigned int i = 0; i < VEC; i++)
			s.acc[g][i] = 0;
	}
	for (unsigned int t = from + team; t < to; t += TEAMS * AHEAD) {
#pragma unroll
		for (unsigned int n = 0; n < AHEAD; n++) {
			unsigned int token = t + n * TEAMS;
			const __half *p;

			if (token >= to)
				break;
			p = (const __half *)table[token / per_block];
			key[n] = *(
				const uint4 *)(p +
					       kv_key(token % per_block, head) +
					       lane * VEC);
			value[n] = *(const uint4 *)(p +
						    kv_value(per_block,
							     token % per_block,
							     head) +
						    lane * VEC);
		}
#pragma unroll
		for (unsigned int n = 0; n < AHEAD; n++)
			if (t + n * TEAMS < to)
				add_token(&s, q, key[n], value[n], mask);
	}
	write_part(&s, team, lane, parts + (first * PARTS + part) * PART);
}

/*
 * Parts in their order; then the query of the next layer and, by one head of
 * each group, the token that was decoded. Grid: heads, sequences; a thread for
 * each of DIM.
 */
__global__ static void finish(const uint64_t *table, const float *parts,
			      float *query, float *out, unsigned int tokens,
			      unsigned int per_block, unsigned int blocks,
			      unsigned int next)
{
	unsigned int head = blockIdx.x, seq = blockIdx.y, i = threadIdx.x;
	size_t at = ((size_t)seq * HEADS + head) * DIM + i;
	const float *p = parts + ((size_t)seq * HEADS + head) * PARTS * PART;
	float most = -INFINITY, sum = 0, acc = 0, o;
	unsigned int n;

	for (n = 0; n < PARTS; n++)
		most = fmaxf(most, p[n * PART]);
	for (n = 0; n < PARTS; n++) {
		float w = expf(p[n * PART] - most);

		sum += w * p[n * PART + 1];
		acc += w * p[n * PART + 2 + i];
	}
	o = acc / sum;
	out[at] = o;
	query[at] = o + kv_query(next, at);
	if (head % GROUP == 0) {
		uint16_t *b = (uint16_t *)
			table[(size_t)seq * blocks + tokens / per_block];

		b[kv_key(tokens % per_block, head / GROUP) + i] =
			kv_half(kv_new(o, false));
		b[kv_value(per_block, tokens % per_block, head / GROUP) + i] =
			kv_half(kv_new(o, true));
	}
}

__global__ static void fill(uint16_t *at, uint64_t index, size_t halfs)
{
	size_t step = (size_t)gridDim.x * blockDim.x, i;

	for (i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < halfs;
	     i += step)
		at[i] = kv_bits(index, i);
}

__global__ static void first_query(float *query, unsigned int step, size_t n)
{
	size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;

	if (i < n)
		query[i] = kv_query(step, i);
}

static struct device *cuda_open(int number, const struct shape *s)
{
	size_t floats = shape_floats(s), layers = s->layers;
	struct device *d;
	cudaDeviceProp prop;
	int n = 0;

	if (cudaGetDeviceCount(&n) != cudaSuccess || number >= n) {
		fprintf(stderr, "gpu_step: no GPU: %s\n",
			n ? "no such device"
			  : cudaGetErrorString(cudaGetLastError()));
		return NULL;
	}
	check(cudaSetDevice(number), "cudaSetDevice");
	check(cudaGetDeviceProperties(&prop, number),
	      "cudaGetDeviceProperties");
	d = (struct device *)calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->shape = *s;
	d->entries = (size_t)s->seqs * s->blocks;
	snprintf(d->name, sizeof(d->name), "%s", prop.name);
	check(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking),
	      "cudaStreamCreate");
	check(cudaMalloc(&d->query, floats * sizeof(float)), "cudaMalloc");
	check(cudaMalloc(&d->out, floats * sizeof(float)), "cudaMalloc");
	check(cudaMalloc(&d->parts, (size_t)s->seqs * HEADS * PARTS * PART *
					    sizeof(float)),
	      "cudaMalloc");
	check(cudaMalloc(&d->table, layers * d->entries * sizeof(uint64_t)),
	      "cudaMalloc");
	check(cudaMallocHost(&d->host_table,
			     layers * d->entries * sizeof(uint64_t)),
	      "cudaMallocHost");
	return d;
}

static void cuda_close(struct device *d)
{
	cudaStreamSynchronize(d->stream);
	cudaFree(d->query);
	cudaFree(d->out);
	cudaFree(d->parts);
	cudaFree(d->table);
	cudaFreeHost(d->host_table);
	cudaStreamDestroy(d->stream);
	free(d);
}

static const char *cuda_name(struct device *d)
{
	return d->name;
}

static uint64_t cuda_alloc(struct device *d, size_t bytes)
{
	void *p = NULL;

	(void)d;
	if (cudaMalloc(&p, bytes) != cudaSuccess) {
		cudaGetLastError();
		return 0;
	}
	return (uint64_t)(uintptr_t)p;
}

static void cuda_free(struct device *d, uint64_t at)
{
	(void)d;
	cudaFree((void *)(uintptr_t)at);
}

static uint64_t cuda_stream(struct device *d)
{
	return (uint64_t)(uintptr_t)d->stream;
}

static void cuda_fill(struct device *d, uint64_t at, uint64_t index)
{
	fill<<<32, 256, 0, d->stream>>>((uint16_t *)(uintptr_t)at, index,
					d->shape.block / 2);
	check(cudaGetLastError(), "fill");
}

static void cuda_begin(struct device *d, unsigned int step)
{
	size_t n = shape_floats(&d->shape);

	d->step = step;
	first_query<<<(unsigned int)((n + 255) / 256), 256, 0, d->stream>>>(
		d->query, step, n);
	check(cudaGetLastError(), "first_query");
}

static void cuda_attend(struct device *d, unsigned int layer,
			unsigned int tokens, const uint64_t *table)
{
	const struct shape *s = &d->shape;
	uint64_t *host = d->host_table + layer * d->entries;
	uint64_t *at = d->table + layer * d->entries;
	dim3 parts(KV_HEADS, s->seqs, PARTS), heads(HEADS, s->seqs);

	memcpy(host, table, d->entries * sizeof(*host));
	check(cudaMemcpyAsync(at, host, d->entries * sizeof(*host),
			      cudaMemcpyHostToDevice, d->stream),
	      "cudaMemcpyAsync");
	attend<<<parts, THREADS, 0, d->stream>>>(at, d->query, d->parts, tokens,
						 s->per_block, s->blocks);
	finish<<<heads, DIM, 0, d->stream>>>(at, d->parts, d->query, d->out,
					     tokens, s->per_block, s->blocks,
					     d->step + layer + 1);
	check(cudaGetLastError(), "attend");
}

static void cuda_end(struct device *d, float *out)
{
	check(cudaMemcpyAsync(out, d->out,
			      shape_floats(&d->shape) * sizeof(float),
			      cudaMemcpyDeviceToHost, d->stream),
	      "cudaMemcpyAsync");
	check(cudaStreamSynchronize(d->stream), "cudaStreamSynchronize");
}

const struct device_ops device_cuda = {
	KVLIFT_GPU_CUDA, cuda_open,   cuda_close,  cuda_name,
	cuda_alloc,	 cuda_free,   cuda_stream, cuda_fill,
	cuda_begin,	 cuda_attend, cuda_end,
};
