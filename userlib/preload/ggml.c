// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * A backend without devices that ggml_backend_load_all() loads when
 * GGML_BACKEND_PATH names it (llama-cli, llama-server, llama-bench): it makes
 * the CPU's buffers of memory that is placed in a pool when the first tensor in
 * it is called cache_*, which is llama.cpp's KV cache. No other library stands
 * before the program's.
 *
 * Of ggml's internal structures it needs the order of three: what registers a
 * backend, the second function of a buffer type, and a buffer's functions,
 * which end where its type is. GGML_BACKEND_API_VERSION 2.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "place.h"
#include "symbol.h"

#define API_VERSION 2

struct buffer_type {
	const char *(*get_name)(struct buffer_type *);
	struct buffer *(*alloc_buffer)(struct buffer_type *, size_t);
};

/* Functions, then the type; how many they are differs between versions. */
struct buffer {
	void *word[1];
};

enum {
	FREE_BUFFER = 0,
	GET_BASE = 1,
	INIT_TENSOR = 2,
	MIN_WORDS = 9,
	MAX_WORDS = 16,
};

struct registration {
	int api_version;
	const char *(*get_name)(struct registration *);
	size_t (*get_device_count)(struct registration *);
	void *(*get_device)(struct registration *, size_t);
	void *(*get_proc_address)(struct registration *, const char *);
	void *context;
};

static struct {
	struct buffer_type *(*cpu_type)(void);
	struct buffer *(*from_ptr)(void *, size_t);
	struct buffer_type *(*type_of)(struct buffer *);
	void *(*base)(struct buffer *);
	size_t (*size)(struct buffer *);
	const char *(*name)(const void *);
	struct buffer *(*alloc)(struct buffer_type *, size_t);
	void (*clear)(struct buffer *, uint8_t);
	unsigned int words; /* of a buffer before its type */
} ggml;

static void free_buffer(struct buffer *buf)
{
	void *p = ggml.base(buf);

	if (!place_free(p))
		munmap(p, ggml.size(buf));
}

static void clear(struct buffer *buf, uint8_t value)
{
	if (value || !place_clear(ggml.base(buf)))
		ggml.clear(buf, value);
}

/* The first tensor says what the buffer is for; nothing was stored yet. */
static int init_tensor(struct buffer *buf, void *tensor)
{
	const char *name = ggml.name(tensor);

	buf->word[INIT_TENSOR] = NULL;
	if (!strncmp(name, "cache_", 6) &&
	    !place_at(ggml.base(buf), ggml.size(buf)))
		return -2; /* GGML_STATUS_ALLOC_FAILED */
	return 0;
}

/* Where in a buffer its type is: 0 when it is nowhere. */
static unsigned int count_words(struct buffer *buf)
{
	struct buffer_type *type = ggml.type_of(buf);
	unsigned int i;

	for (i = MIN_WORDS; i <= MAX_WORDS; i++)
		if (buf->word[i] == type)
			return i;
	return 0;
}

static struct buffer *alloc(struct buffer_type *type, size_t size)
{
	struct buffer *buf;
	void *p;

	p = size ? mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
		 : MAP_FAILED;
	if (p == MAP_FAILED)
		return ggml.alloc(type, size);
	buf = ggml.from_ptr(p, size);
	if (!buf || !count_words(buf)) {
		munmap(p, size);
		return ggml.alloc(type, size);
	}
	buf->word[FREE_BUFFER] = (void *)free_buffer;
	buf->word[INIT_TENSOR] = (void *)init_tensor;
	buf->word[ggml.words - 2] = (void *)clear;
	return buf;
}

/* Of a buffer that is as ggml makes them: do the words mean what they should? */
static bool understood(void)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct buffer *buf = ggml.from_ptr(page, sizeof(page));

	if (!buf)
		return false;
	ggml.words = count_words(buf);
	if (!ggml.words || buf->word[FREE_BUFFER] || buf->word[INIT_TENSOR] ||
	    !buf->word[GET_BASE] || buf->word[ggml.words - 1] ||
	    !buf->word[ggml.words - 2])
		return false;
	*(void **)&ggml.clear = buf->word[ggml.words - 2];
	page[17] = 1;
	ggml.clear(buf, 0);
	return !page[17];
}

static bool look_up(void)
{
	static const struct {
		void **to;
		const char *name;
	} all[] = {
		{ (void **)&ggml.cpu_type, "ggml_backend_cpu_buffer_type" },
		{ (void **)&ggml.from_ptr, "ggml_backend_cpu_buffer_from_ptr" },
		{ (void **)&ggml.type_of, "ggml_backend_buffer_get_type" },
		{ (void **)&ggml.base, "ggml_backend_buffer_get_base" },
		{ (void **)&ggml.size, "ggml_backend_buffer_get_size" },
		{ (void **)&ggml.name, "ggml_get_name" },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		*all[i].to = symbol_find(all[i].name, NULL);
		if (!*all[i].to)
			return false;
	}
	return true;
}

static const char *get_name(struct registration *r)
{
	return "kvlift";
}

static size_t get_device_count(struct registration *r)
{
	return 0;
}

static void *get_device(struct registration *r, size_t i)
{
	return NULL;
}

static void *get_proc_address(struct registration *r, const char *name)
{
	return NULL;
}

/* What ggml calls when it has loaded this. */
__attribute__((visibility("default"))) struct registration *
ggml_backend_init(void)
{
	static struct registration r = {
		.api_version = API_VERSION,
		.get_name = get_name,
		.get_device_count = get_device_count,
		.get_device = get_device,
		.get_proc_address = get_proc_address,
	};
	struct run_stats *s = place_stats();
	struct buffer_type *type;

	if (s)
		__atomic_add_fetch(&s->loaded, 1, __ATOMIC_RELAXED);
	if (ggml.alloc)
		return &r;
	if (!look_up() || !understood()) {
		if (s)
			__atomic_add_fetch(&s->other_api, 1, __ATOMIC_RELAXED);
		place_say(
			"this ggml has another interface; try --method preload",
			0, 0);
		return &r;
	}
	type = ggml.cpu_type();
	ggml.alloc = type->alloc_buffer;
	type->alloc_buffer = alloc;
	return &r;
}
