// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Drives llama.cpp as a server does: several sequences fill their parts of
 * the KV cache in turns, one is thrown out and begun anew, all go on greedily.
 * The model is made here, its weights by chance from the names of its tensors,
 * so that each run is the same. Prints tokens and a checksum of all logits.
 *
 *	llama_kv [-l] [-p] [-c TOKENS] [-s SEQUENCES] [-d DIR] [-o FILE]
 *
 * -l loads ggml's backends as llama.cpp's tools do; -d saves each sequence to
 * a file of the directory, forgets it and reads it back; -p prints the memory
 * that the process has of its own (KiB); -o only writes the model to a file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ggml-backend.h>
#include <gguf.h>
#include <llama.h>

#define VOCAB  256
#define EMBD   64
#define LAYERS 4
#define BATCH  128
#define STEPS  8
#define SEQS   16

static unsigned int n_ctx = 1024, n_seqs = 4;
static struct llama_context *ctx;
static int pos[SEQS];
static llama_token last[SEQS], *said[SEQS];
static double sum;

static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
	return h;
}

static void weights(struct ggml_tensor *t, void *arg)
{
	size_t n = ggml_nelements(t), i;
	uint64_t x = hash(t->name) | 1;
	float *v = malloc(n * sizeof(*v));

	for (i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v[i] = ((float)(x >> 40) / 16777216.0f - 0.5f) * 0.5f;
		if (strstr(t->name, "norm"))
			v[i] += 1;
	}
	ggml_backend_tensor_set(t, v, 0, n * sizeof(*v));
	free(v);
}

static struct llama_model *make_model(void)
{
	struct gguf_context *g = gguf_init_empty();
	struct llama_model_params p = llama_model_default_params();

	gguf_set_val_str(g, "general.architecture", "llama");
	gguf_set_val_u32(g, "llama.vocab_size", VOCAB);
	gguf_set_val_u32(g, "llama.context_length", 65536);
	gguf_set_val_u32(g, "llama.embedding_length", EMBD);
	gguf_set_val_u32(g, "llama.block_count", LAYERS);
	gguf_set_val_u32(g, "llama.feed_forward_length", EMBD);
	gguf_set_val_u32(g, "llama.attention.head_count", 2);
	gguf_set_val_u32(g, "llama.attention.head_count_kv", 2);
	gguf_set_val_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	gguf_set_val_u32(g, "llama.rope.dimension_count", EMBD / 2);
	gguf_set_val_str(g, "tokenizer.ggml.model", "no_vocab");
	return llama_model_init_from_user(g, weights, NULL, p);
}

static void die(const char *what)
{
	fprintf(stderr, "llama_kv: %s\n", what);
	exit(1);
}

/* The next tokens of a sequence; the last one's logits count. */
static void feed(unsigned int seq, const llama_token *token, int n)
{
	struct llama_batch b = llama_batch_init(n, 0, 1);
	float *logits, best;
	int i;

	for (i = 0; i < n; i++) {
		b.token[i] = token[i];
		b.pos[i] = pos[seq] + i;
		b.n_seq_id[i] = 1;
		b.seq_id[i][0] = (llama_seq_id)seq;
		b.logits[i] = i == n - 1;
		said[seq][pos[seq] + i] = token[i];
	}
	b.n_tokens = n;
	if (llama_decode(ctx, b))
		die("llama_decode failed");
	pos[seq] += n;
	logits = llama_get_logits_ith(ctx, n - 1);
	best = logits[0];
	last[seq] = 0;
	for (i = 0; i < VOCAB; i++) {
		sum += logits[i] * (1 + i % 7);
		if (logits[i] > best) {
			best = logits[i];
			last[seq] = i;
		}
	}
	llama_batch_free(b);
}

static void fill(unsigned int seq, int upto, uint64_t seed)
{
	llama_token t[BATCH];
	int i, n = upto - pos[seq] < BATCH ? upto - pos[seq] : BATCH;

	for (i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		t[i] = (llama_token)(seed >> 33) % VOCAB;
	}
	if (n > 0)
		feed(seq, t, n);
}

/* In turns, as requests that come in at the same time. */
static void fill_all(int upto)
{
	unsigned int s;

	while (pos[n_seqs - 1] < upto)
		for (s = 0; s < n_seqs; s++)
			fill(s, upto, s * 1000 + (unsigned int)pos[s]);
}

static void go_on(void)
{
	unsigned int s, i;

	for (i = 0; i < STEPS; i++)
		for (s = 0; s < n_seqs; s++) {
			llama_token t = last[s];

			feed(s, &t, 1);
			printf("%d ", last[s]);
		}
	printf("\n");
}

static void save_and_load(const char *dir)
{
	static llama_token token[65536];
	char path[4096];
	unsigned int s;
	size_t n;

	for (s = 0; s < n_seqs; s++) {
		snprintf(path, sizeof(path), "%s/slot%u", dir, s);
		if (!llama_state_seq_save_file(ctx, path, (llama_seq_id)s,
					       said[s], (size_t)pos[s]))
			die("a slot cannot be saved");
		llama_memory_seq_rm(llama_get_memory(ctx), (llama_seq_id)s, -1,
				    -1);
	}
	for (s = 0; s < n_seqs; s++) {
		snprintf(path, sizeof(path), "%s/slot%u", dir, s);
		if (!llama_state_seq_load_file(ctx, path, (llama_seq_id)s,
					       token, 65536, &n) ||
		    n != (size_t)pos[s] ||
		    memcmp(token, said[s], n * sizeof(*token)))
			die("a slot that was saved cannot be read");
	}
}

static void print_own(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "RssAnon:", 8))
			fprintf(stderr, "own %s", line + 8);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct llama_context_params cp = llama_context_default_params();
	const char *dir = NULL, *file = NULL;
	bool own = false;
	struct llama_model *model;
	unsigned int s;
	int c;

	llama_backend_init();
	while ((c = getopt(argc, argv, "lpc:s:d:o:")) != -1) {
		if (c == 'l')
			ggml_backend_load_all();
		else if (c == 'p')
			own = true;
		else if (c == 'c')
			n_ctx = (unsigned int)atoi(optarg);
		else if (c == 's')
			n_seqs = (unsigned int)atoi(optarg);
		else if (c == 'd')
			dir = optarg;
		else if (c == 'o')
			file = optarg;
		else
			return 2;
	}
	if (n_seqs > SEQS || n_ctx > 65536)
		return 2;
	model = make_model();
	if (!model)
		die("no model");
	if (file) {
		llama_model_save_to_file(model, file);
		return 0;
	}
	cp.n_ctx = n_ctx * n_seqs;
	cp.n_batch = cp.n_ubatch = BATCH;
	cp.n_seq_max = n_seqs;
	cp.n_threads = cp.n_threads_batch = 2;
	cp.type_k = cp.type_v = GGML_TYPE_F32;
	cp.kv_unified = false;
	ctx = llama_init_from_model(model, cp);
	if (!ctx)
		die("no context");
	for (s = 0; s < n_seqs; s++)
		said[s] = calloc(n_ctx, sizeof(llama_token));
	fill_all((int)n_ctx - 4 * STEPS);
	go_on();
	/* A slot is given to another request, while the others wait. */
	llama_memory_seq_rm(llama_get_memory(ctx), 1, -1, -1);
	pos[1] = 0;
	while (pos[1] < (int)n_ctx / 2)
		fill(1, (int)n_ctx / 2, 77 + (unsigned int)pos[1]);
	go_on();
	if (dir) {
		save_and_load(dir);
		go_on();
	}
	printf("logits %.9g\n", sum);
	if (own)
		print_own();
	llama_free(ctx);
	llama_model_free(model);
	return 0;
}
