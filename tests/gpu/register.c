// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What it costs to register memory, by the size of its pages: those of a window
 * are as large as a block. Memory of 64 KiB pages is what the kernel gives
 * where nothing larger fits: in mappings of 1 MiB that it may not merge.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define THP   "/sys/kernel/mm/transparent_hugepage/"
#define MTHP  THP "hugepages-64kB/"
#define HUGE  (2u << 20)
#define PIECE (1u << 20)

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static uint64_t read_number(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "%llu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/* What is chosen now, which stands in brackets. */
static void chosen(const char *path, char word[32])
{
	char text[128] = "", *from, *to;
	FILE *f = fopen(path, "re");

	word[0] = 0;
	if (f && fgets(text, sizeof(text), f)) {
		from = strchr(text, '[');
		to = from ? strchr(from, ']') : NULL;
		if (to)
			snprintf(word, 32, "%.*s", (int)(to - from - 1),
				 from + 1);
	}
	if (f)
		fclose(f);
}

/* Huge pages of the process that are in use, in bytes. */
static uint64_t huge_bytes(void)
{
	unsigned long long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/smaps_rollup", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* Memory with pages of that size, touched; or NULL and why not. */
static char *get(size_t bytes, size_t page, const char **why)
{
	char *raw = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t before = page == HUGE
				  ? huge_bytes()
				  : read_number(MTHP "stats/anon_fault_alloc");
	uint64_t got;
	size_t i;
	char *p;

	if (raw == MAP_FAILED)
		abort();
	p = (char *)(((uintptr_t)raw + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	madvise(p, bytes, page == 4096 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	for (i = 0; page == 65536 && i < bytes; i += 2 * PIECE)
		madvise(p + i, PIECE, MADV_DONTDUMP);
	host_poison(p, bytes);
	got = page == HUGE
		      ? huge_bytes() - before
		      : (read_number(MTHP "stats/anon_fault_alloc") - before) *
				page;
	/* Nine tenths will do: memory is never all in one piece. */
	if (page == 4096 || got >= bytes / 10 * 9)
		return p;
	*why = "the kernel gives none of this size here";
	munmap(raw, bytes + HUGE);
	return NULL;
}

static void measure(const struct config *c, size_t page, struct row *r)
{
	unsigned int i;
	double start;
	char *p;

	for (i = 0; i <= c->reps; i++) {
		p = get(c->bytes, page, &r->note);
		if (!p)
			return;
		start = bench_now();
		if (!dev_register(p, c->bytes)) {
			r->note = "refused";
			return;
		}
		if (i)
			row_add(r, (bench_now() - start) * 1e3 *
					   (double)(1u << 30) /
					   (double)c->bytes);
		dev_unregister(p);
		munmap(p, c->bytes);
	}
}

int bench_register(struct config *c)
{
	static const size_t pages[] = { 4096, 65536, HUGE };
	static const char *const names[] = { "pages of 4K", "pages of 64K",
					     "pages of 2M" };
	char was[32];
	unsigned int i;

	chosen(MTHP "enabled", was);
	for (i = 0; i < 3; i++) {
		struct row r = { .table = "Registering memory",
				 .name = names[i],
				 .unit = "ms/GiB" };

		if (pages[i] == 65536 && *was)
			write_text(MTHP "enabled", "madvise");
		measure(c, pages[i], &r);
		if (pages[i] == 65536 && *was)
			write_text(MTHP "enabled", was);
		row_print(&r);
	}
	return 0;
}
