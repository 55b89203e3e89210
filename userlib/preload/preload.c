// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Stands before the C library in a program that "kvlift run" starts, and places
 * allocations in files of a pool.
 *
 * "preload": what ggml allocates for tensors named cache_*, which is
 * llama.cpp's KV cache and nothing else: while
 * ggml_backend_alloc_ctx_tensors_from_buft() is at work on those,
 * posix_memalign() is ours. To clear such a buffer is to give its blocks back.
 *
 * "size": every allocation of at least so many bytes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "place.h"
#include "symbol.h"

/* The C library's own, also before anything has been looked up. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *ptr, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *ptr);

static size_t min_size = SIZE_MAX; /* none, unless by size */
static bool by_name;
static __thread bool is_kv;

__attribute__((constructor)) static void begin(void)
{
	const char *method = getenv(RUN_METHOD), *min = getenv(RUN_MIN);
	struct run_stats *s = place_stats();

	if (!method || !getenv(RUN_DIR))
		return;
	by_name = !strcmp(method, "preload");
	if (!strcmp(method, "size") && min)
		min_size = strtoull(min, NULL, 10);
	if (s)
		__atomic_add_fetch(&s->loaded, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
	void *p = size >= min_size ? place_alloc(size) : NULL;

	return p ? p : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	size_t bytes;
	void *p = NULL;

	if (!__builtin_mul_overflow(n, size, &bytes) && bytes >= min_size)
		p = place_alloc(bytes);
	return p ? p : __libc_calloc(n, size);
}

void free(void *ptr)
{
	if (ptr && !place_free(ptr))
		__libc_free(ptr);
}

void *realloc(void *ptr, size_t size)
{
	size_t old = ptr ? place_size(ptr) : 0;
	void *p;

	/* It may become ours, or has been. */
	if (!old && size < min_size)
		return __libc_realloc(ptr, size);
	if (!ptr)
		return malloc(size);
	if (!size) {
		free(ptr);
		return NULL;
	}
	if (!old)
		old = malloc_usable_size(ptr);
	p = malloc(size);
	if (!p)
		return NULL;
	memcpy(p, ptr, old < size ? old : size);
	free(ptr);
	return p;
}

static void *aligned(size_t align, size_t size)
{
	void *p = NULL;

	if (is_kv) {
		/* What does not fit is not to be had elsewhere. */
		p = place_alloc(size);
		return p;
	}
	if (size >= min_size && align <= (size_t)sysconf(_SC_PAGESIZE))
		p = place_alloc(size);
	return p ? p : __libc_memalign(align, size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	void *p;

	if (!align || align & (align - 1) || align % sizeof(void *))
		return EINVAL;
	p = aligned(align, size);
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

void *aligned_alloc(size_t align, size_t size)
{
	return aligned(align, size);
}

void *memalign(size_t align, size_t size)
{
	return aligned(align, size);
}

size_t malloc_usable_size(void *ptr)
{
	static size_t (*next)(void *);
	size_t size = ptr ? place_size(ptr) : 0;

	if (size)
		return size;
	if (!next)
		next = (size_t(*)(void *))dlsym(RTLD_NEXT,
						"malloc_usable_size");
	return next ? next(ptr) : 0;
}

/* Of anonymous memory the kind that is as good in a file. */
static bool may_place(void *addr, size_t len, int prot, int flags, int fd)
{
	return len >= min_size && !addr && fd < 0 &&
	       (prot & (PROT_READ | PROT_WRITE)) == (PROT_READ | PROT_WRITE) &&
	       !(prot & PROT_EXEC) &&
	       (flags & (MAP_PRIVATE | MAP_ANONYMOUS)) ==
		       (MAP_PRIVATE | MAP_ANONYMOUS) &&
	       !(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN |
			  MAP_STACK | MAP_HUGETLB | MAP_NORESERVE));
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = NULL;

	if (may_place(addr, len, prot, flags, fd))
		p = place_alloc(len);
	return p ? p
		 : (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
	__attribute__((alias("mmap")));

int munmap(void *addr, size_t len)
{
	size_t size = place_size(addr);

	if (size && len >= size && place_free(addr))
		return 0;
	return (int)syscall(SYS_munmap, addr, len);
}

/* ggml, by its public functions alone. */
struct ggml_context;
struct ggml_tensor;
struct ggml_backend_buffer;
struct ggml_backend_buffer_type;

static bool names_kv(struct ggml_context *ctx)
{
	struct ggml_tensor *(*first)(const struct ggml_context *);
	const char *(*name)(const struct ggml_tensor *);
	struct ggml_tensor *t;

	*(void **)&first = symbol_find("ggml_get_first_tensor", NULL);
	*(void **)&name = symbol_find("ggml_get_name", NULL);
	t = first && name ? first(ctx) : NULL;
	return t && !strncmp(name(t), "cache_", 6);
}

static bool in_host_memory(struct ggml_backend_buffer_type *buft)
{
	bool (*is_host)(struct ggml_backend_buffer_type *);

	*(void **)&is_host = symbol_find("ggml_backend_buft_is_host", NULL);
	return is_host && is_host(buft);
}

struct ggml_backend_buffer *
ggml_backend_alloc_ctx_tensors_from_buft(struct ggml_context *ctx,
					 struct ggml_backend_buffer_type *buft)
{
	struct ggml_backend_buffer *(*next)(struct ggml_context *,
					    struct ggml_backend_buffer_type *);
	struct ggml_backend_buffer *buf;

	*(void **)&next = symbol_find(
		__func__, (void *)ggml_backend_alloc_ctx_tensors_from_buft);
	if (!next)
		return NULL;
	is_kv = by_name && names_kv(ctx) && in_host_memory(buft);
	buf = next(ctx, buft);
	is_kv = false;
	return buf;
}

void ggml_backend_buffer_clear(struct ggml_backend_buffer *buf, uint8_t value)
{
	void (*next)(struct ggml_backend_buffer *, uint8_t);
	void *(*base)(struct ggml_backend_buffer *);

	*(void **)&base = symbol_find("ggml_backend_buffer_get_base", NULL);
	if (by_name && !value && base && place_clear(base(buf)))
		return;
	*(void **)&next =
		symbol_find(__func__, (void *)ggml_backend_buffer_clear);
	if (next)
		next(buf, value);
}
