// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Decodes with a KV cache that is larger than the GPU's memory for it, one
 * layer ahead, and compares all outputs, bit for bit, with a run that has all
 * of it in the GPU's memory. See usage() below.
 */
#include <err.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <kvlift.h>

#include "step.h"

#define MAX_RUNS  8u
#define MAX_STEPS 64u

struct run {
	const char *name;
	unsigned int share; /* percent of the blocks that the GPU holds */
	bool in_window;
	char text[32];
};

struct args {
	struct shape s;
	struct run runs[MAX_RUNS];
	unsigned int nr_runs;
	bool cpu, check;
	int device;
	const char *pool, *name, *json;
	uint64_t window, window_cxl;
};

static const struct device_ops *device_of(bool cpu)
{
#ifdef HAVE_CUDA
	return cpu ? &device_cpu : &device_cuda;
#else
	return cpu ? &device_cpu : NULL;
#endif
}

static int usage(void)
{
	fputs("usage: gpu_step [options] [POOL [NAME]]\n"
	      "\n"
	      "  --share N      the GPU holds N percent of the KV cache (25); repeatable\n"
	      "  --zero-copy    blocks stay in the window, kernels read them there\n"
	      "  --all-hbm      only the run without a pool, with all of it in HBM\n"
	      "  --cpu          no GPU: the CPU computes, memory stands in\n"
	      "  --device N     which GPU (0)\n"
	      "  --layers N     (32)\n"
	      "  --seqs N       sequences that are decoded together (16)\n"
	      "  --tokens N     of each at the beginning (4000)\n"
	      "  --steps N      (5)\n"
	      "  --block N      bytes, without a pool (2097152)\n"
	      "  --window N     MiB of the window\n"
	      "  --window-cxl N MiB more of it, in CXL memory\n"
	      "  --no-check     do not compare the kernel with the CPU first\n"
	      "  --json FILE    a line for each run\n"
	      "\n"
	      "Exit status 1: outputs differ; 77: there is no GPU.\n",
	      stderr);
	return 2;
}

static void add_run(struct args *a, unsigned int share, bool in_window)
{
	struct run *r = &a->runs[a->nr_runs];

	if (a->nr_runs == MAX_RUNS)
		errx(2, "too many runs");
	a->nr_runs++;
	r->share = share;
	r->in_window = in_window;
	if (in_window)
		snprintf(r->text, sizeof(r->text), "zero copy");
	else
		snprintf(r->text, sizeof(r->text), "%u%% in HBM", share);
	r->name = r->text;
}

static unsigned int number(const char *text, unsigned int most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || !n || n > most)
		errx(2, "%s: not a number from 1 to %u", text, most);
	return (unsigned int)n;
}

static const struct option options[] = {
	{ "share", required_argument, NULL, 'p' },
	{ "zero-copy", no_argument, NULL, 'z' },
	{ "all-hbm", no_argument, NULL, 'a' },
	{ "cpu", no_argument, NULL, 'c' },
	{ "device", required_argument, NULL, 'd' },
	{ "layers", required_argument, NULL, 'l' },
	{ "seqs", required_argument, NULL, 's' },
	{ "tokens", required_argument, NULL, 't' },
	{ "steps", required_argument, NULL, 'n' },
	{ "block", required_argument, NULL, 'b' },
	{ "window", required_argument, NULL, 'w' },
	{ "window-cxl", required_argument, NULL, 'x' },
	{ "no-check", no_argument, NULL, 'k' },
	{ "json", required_argument, NULL, 'j' },
	{ NULL, 0, NULL, 0 },
};

static bool option(struct args *a, int opt)
{
	switch (opt) {
	case 'p':
		add_run(a, number(optarg, 100), false);
		return true;
	case 'z':
		add_run(a, 0, true);
		return true;
	case 'a':
		a->pool = "";
		return true;
	case 'c':
		a->cpu = true;
		return true;
	case 'd':
		a->device = atoi(optarg);
		return true;
	case 'l':
		a->s.layers = number(optarg, 1024);
		return true;
	case 's':
		a->s.seqs = number(optarg, 1024);
		return true;
	case 't':
		a->s.tokens = number(optarg, 1u << 24);
		return true;
	case 'n':
		a->s.steps = number(optarg, MAX_STEPS);
		return true;
	case 'b':
		a->s.block = number(optarg, KVLIFT_BLOCK_MAX);
		return true;
	case 'w':
		a->window = (uint64_t)number(optarg, 1u << 20) << 20;
		return true;
	case 'x':
		a->window_cxl = (uint64_t)number(optarg, 1u << 20) << 20;
		return true;
	case 'k':
		a->check = false;
		return true;
	case 'j':
		a->json = optarg;
		return true;
	}
	return false;
}

static void set_shape(struct shape *s)
{
	s->per_block = (unsigned int)(s->block / (2 * ROW * sizeof(uint16_t)));
	if (!s->per_block || s->block % (2 * ROW * sizeof(uint16_t)))
		errx(2, "a block has to hold whole tokens of %zu bytes",
		     2 * ROW * sizeof(uint16_t));
	/* Of the last token nothing is read, but it is written. */
	s->blocks = (s->tokens + s->steps - 1) / s->per_block + 1;
}

/* What a run leaves behind. */
struct result {
	float *out; /* of all steps */
	double seconds[MAX_STEPS];
	struct cache_stats stats;
};

static void step(struct cache *c, const struct shape *s,
		 const struct device_ops *ops, struct device *d,
		 unsigned int nr, float *out)
{
	unsigned int layer, tokens = s->tokens + nr;

	ops->begin(d, nr);
	for (layer = 0; layer < s->layers; layer++) {
		if (!layer)
			cache_want(c, 0, tokens);
		if (layer + 1 < s->layers)
			cache_want(c, layer + 1, tokens);
		ops->attend(d, layer, tokens, cache_get(c, layer));
		cache_put(c, layer);
	}
	ops->end(d, out);
}

static void decode(const struct cache_opts *o, const struct shape *s,
		   const struct device_ops *ops, struct device *d,
		   struct result *r)
{
	struct cache *c = cache_open(o, s, ops, d);
	unsigned int n;
	double start;

	r->out = calloc(s->steps, shape_floats(s) * sizeof(float));
	if (!r->out)
		errx(1, "no memory");
	cache_fill(c);
	/* That the device has done it belongs to no step. */
	ops->end(d, r->out);
	for (n = 0; n < s->steps; n++) {
		start = step_now();
		step(c, s, ops, d, n, r->out + n * shape_floats(s));
		r->seconds[n] = step_now() - start;
	}
	cache_stats(c, &r->stats);
	cache_close(c);
}

/* A small model by both: what rounding leaves is 1e-4 of the largest output. */
static bool agrees(const struct device_ops *ops, int number)
{
	struct shape s = { .layers = 2,
			   .seqs = 3,
			   .tokens = 150,
			   .steps = 3,
			   .block = 65536 };
	const struct device_ops *both[2] = { &device_cpu, ops };
	struct cache_opts o = { .number = number };
	float most = 0, off = 0;
	struct result r[2];
	struct device *d;
	unsigned int i;
	size_t k, n;

	set_shape(&s);
	n = s.steps * shape_floats(&s);
	for (i = 0; i < 2; i++) {
		d = both[i]->open(number, &s);
		if (!d)
			exit(77);
		decode(&o, &s, both[i], d, &r[i]);
		both[i]->close(d);
	}
	for (k = 0; k < n; k++) {
		most = fmaxf(most, fabsf(r[0].out[k]));
		off = fmaxf(off, fabsf(r[0].out[k] - r[1].out[k]));
		if (r[1].out[k] != r[1].out[k])
			off = INFINITY;
	}
	free(r[0].out);
	free(r[1].out);
	printf("the GPU's outputs are the CPU's within %.2g of %.2g\n",
	       (double)off, (double)most);
	return off <= most * 1e-4f;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void print(const struct args *a, const char *name, struct result *r,
		  const char *verdict, FILE *json)
{
	double *t = r->seconds, median, gib;
	unsigned int n = a->s.steps;

	/* The first one warms up, if there are others. */
	if (n > 1) {
		t++;
		n--;
	}
	qsort(t, n, sizeof(*t), compare);
	median = (t[(n - 1) / 2] + t[n / 2]) / 2;
	gib = (double)(r->stats.copies_in * a->s.block) / (double)(1 << 30) /
	      a->s.steps;
	printf("  %-14s %10.3f %10.3f %10.3f  %s\n", name, median * 1e3,
	       t[0] * 1e3, gib, verdict);
	fflush(stdout);
	if (json)
		fprintf(json,
			"{\"table\":\"step\",\"name\":\"%s\",\"block\":%zu,\"unit\":\"ms\",\"median\":%.6g,\"best\":%.6g,\"copies_in\":%llu,\"copies_out\":%llu,\"waited_ms\":%.6g,\"outputs\":\"%s\"}\n",
			name, a->s.block, median * 1e3, t[0] * 1e3,
			(unsigned long long)r->stats.copies_in,
			(unsigned long long)r->stats.copies_out,
			r->stats.waited * 1e3, verdict);
}

static void run_opts(const struct args *a, const struct run *r,
		     struct cache_opts *o)
{
	uint64_t blocks = shape_blocks(&a->s), bytes = blocks * a->s.block;

	*o = (struct cache_opts){
		.pool = a->pool,
		.name = a->name,
		.number = a->device,
		.bytes = blocks * r->share / 100 * a->s.block,
		.window = a->window,
		.window_cxl = a->window_cxl,
		.in_window = r->in_window,
	};
	/*
	 * There all of it is in the window, an eighth of which is no block's
	 * home, and nothing in the GPU.
	 */
	if (r->in_window && !o->window)
		o->window = bytes / 7 * 8 + a->s.block;
	if (o->bytes < a->s.block)
		o->bytes = a->s.block;
}

static int run_all(const struct args *a, const struct device_ops *ops,
		   struct device *d, FILE *json)
{
	size_t bytes = a->s.steps * shape_floats(&a->s) * sizeof(float);
	struct cache_opts o = { .number = a->device };
	struct result base, r;
	unsigned int i;
	bool same, all = true;

	printf("%s: %u layers, %u sequences of %u tokens, %.3f GiB of KV in blocks of %zu\n",
	       ops->name(d), a->s.layers, a->s.seqs, a->s.tokens,
	       (double)(shape_blocks(&a->s) * a->s.block) / (double)(1 << 30),
	       a->s.block);
	printf("  %-14s %10s %10s %10s  %s\n", "", "ms/step", "best", "GiB in",
	       "outputs");
	decode(&o, &a->s, ops, d, &base);
	print(a, "all in HBM", &base, "reference", json);
	for (i = 0; a->pool && i < a->nr_runs; i++) {
		run_opts(a, &a->runs[i], &o);
		decode(&o, &a->s, ops, d, &r);
		same = !memcmp(base.out, r.out, bytes);
		print(a, a->runs[i].name, &r, same ? "the same" : "DIFFERENT",
		      json);
		all &= same;
		free(r.out);
	}
	free(base.out);
	return all ? 0 : 1;
}

/* The size of the pool's blocks is the one to use. */
static void look_at_pool(struct args *a)
{
	struct kvlift_pool *pool;
	int ret = kvlift_pool_open(a->pool, &pool);

	if (ret)
		errx(1, "%s: %s", a->pool, kvlift_strerror(ret));
	a->s.block = kvlift_pool_block_size(pool);
	kvlift_pool_close(pool);
}

int main(int argc, char **argv)
{
	struct args a = {
		.s = { .layers = 32,
		       .seqs = 16,
		       .tokens = 4000,
		       .steps = 5,
		       .block = 2u << 20 },
		.name = "gpu_step",
		.check = true,
	};
	const struct device_ops *ops;
	struct device *d;
	FILE *json = NULL;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!option(&a, opt))
			return usage();
	if (argc - optind > 2 || (a.pool && optind < argc))
		return usage();
	a.pool = a.pool ? NULL : optind < argc ? argv[optind] : NULL;
	if (argc - optind == 2)
		a.name = argv[optind + 1];
	if (!a.nr_runs)
		add_run(&a, 25, false);
	ops = device_of(a.cpu);
	if (!ops)
		errx(77, "built without nvcc: --cpu is all there is");
	if (a.pool)
		look_at_pool(&a);
	set_shape(&a.s);
	if (!a.cpu && a.check && !agrees(ops, a.device))
		errx(1, "the kernel computes something else than the CPU");
	d = ops->open(a.device, &a.s);
	if (!d)
		return 77;
	if (a.json) {
		json = fopen(a.json, "we");
		if (!json)
			err(1, "%s", a.json);
	}
	ret = run_all(&a, ops, d, json);
	if (json && fclose(json))
		err(1, "%s", a.json);
	ops->close(d);
	return ret;
}
