/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the groups of rows of "kvlift bench" share. */
#ifndef TOOL_BENCH_H
#define TOOL_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mkpool.h"

#define BENCH_PAGE    4096u
#define BENCH_TRACES  4
#define BENCH_MAX_ROW 112

struct bench_row {
	const char *name, *unit, *peer_name;
	uint64_t block;
	double kvlift, peer, target;
};

struct bench {
	bool quick, as_json;
	uint64_t requests; /* of each trace */
	uint64_t block;	   /* of the replay */
	const char *traces[BENCH_TRACES];
	unsigned int nr_traces;
	const char *only;  /* names of groups, with commas between; NULL: all */
	int cxl_node;	   /* -1: none */
	bool instructions; /* that is what the clock counts */
	bool failed;
	unsigned int nr_rows;
	struct bench_row rows[BENCH_MAX_ROW];
};

/* A group measures its rows; what it could not measure it told. 0 or -errno. */
int bench_fault(struct bench *b);
int bench_move(struct bench *b);
int bench_flush(struct bench *b);
int bench_io(struct bench *b);
int bench_clean(struct bench *b);
int bench_replay(struct bench *b);
int bench_blocked(struct bench *b);
int bench_policy(struct bench *b);
int bench_scan(struct bench *b);
int bench_engine(struct bench *b);
int bench_open(struct bench *b);
int bench_gpu(struct bench *b);

/* Notes a row. The strings must stay. Without a target this is HUGE_VAL. */
void bench_add(struct bench *b, const char *name, uint64_t block,
	       const char *unit, double kvlift, const char *peer_name,
	       double peer, double target);
/* Tells that a row could not be measured, and why. Returns err. */
int bench_lacks(struct bench *b, const char *what, int err);

/*
 * Processor time of everybody between start and the moment when the system is
 * idle again: one process of the lowest class on each CPU takes what nobody
 * wants, and all that it did not get was used. In a guest under icount a
 * nanosecond is an instruction.
 */
struct meter {
	uint64_t wall, idle;
};

int meter_open(void);
void meter_close(void);
void meter_start(struct meter *m);
uint64_t meter_stop(const struct meter *m);
/* Waits until nobody wants the CPUs. */
void meter_settle(void);
/* Is CLOCK_MONOTONIC a count of instructions? */
bool clock_is_instructions(void);

/* A null_blk device of our own, memory-backed; latency 0: completes at once. */
struct nullb {
	char name[16], path[32];
};

int nullb_make(struct nullb *n, const char *name, uint64_t bytes,
	       uint64_t latency_ns);
void nullb_remove(struct nullb *n);
/* Completed writes of a block device. */
int64_t nullb_writes(const struct nullb *n);

/* A directory of ours with a filesystem on it. */
struct scratch {
	char dir[64];
};

int scratch_mount(struct scratch *s, const char *type, const char *source,
		  const char *options);
void scratch_umount(struct scratch *s);

/* A pool of memory and perhaps a device, twice as large as so many blocks. */
int bench_pool(const struct bench *b, struct mkpool *p, uint64_t block,
	       uint64_t blocks, bool cxl, const struct nullb *nvme);

/* A file of nr blocks, mapped. */
struct area {
	char path[128];
	char *map;
	int fd;
	size_t block, nr;
};

int area_make(struct area *a, const char *dir, size_t block, size_t nr);
/* Another mapping of it instead; read-only: through a read-only descriptor. */
int area_remap(struct area *a, bool writable);
void area_remove(struct area *a);
void area_touch(const struct area *a, bool write);
int area_unmap_pages(const struct area *a); /* they stay resident */
/* kvlift: start moves of all blocks; how many are in a tier. */
int area_demote(const struct area *a, uint64_t first, uint64_t count);
int area_promote(const struct area *a, uint64_t first, uint64_t count);
int64_t area_in_tier(const struct area *a, unsigned int tier);

/* A memory cgroup that this process is in until it is left. */
int group_enter(void);
void group_leave(void);
int group_limit(uint64_t bytes); /* 0: none */
int group_reclaim(uint64_t bytes);
/* Frees all pages of the area that are in memory; dirty ones are written. */
int area_page_out(const struct area *a, bool swap);

int swap_on(const struct nullb *n);
void swap_off(const struct nullb *n);
/* Runs a program, its output to /dev/null. 0, or -errno. */
int bench_run(const char *const argv[]);
int write_text(const char *path, const char *text);
void bench_nap(uint64_t ns);
void pin_to(int cpu);

/*
 * What a call of a kernel function takes, by the function_graph tracer: the
 * shortest, as others have interrupts and other tasks in them. Fewer calls than
 * least are an error.
 */
#define BENCH_COPY "folio_mc_copy" /* how the kernel copies a block */
int graph_start(const char *function);
int graph_stop(uint64_t least, double *ns, uint64_t *calls);

/* Counts a tracepoint on all CPUs; filter may be NULL. */
struct tpcount {
	int fd[64];
	unsigned int nr;
};

int tpcount_open(struct tpcount *t, const char *system, const char *event,
		 const char *filter);
uint64_t tpcount_read(const struct tpcount *t);
void tpcount_close(struct tpcount *t);

/* Anonymous memory, touched, that move_pages(2) moves. */
struct anon {
	char *raw, *map;
	size_t len, n; /* pages, small or huge */
	void **pages;
	int *status, *nodes;
};

int anon_make(struct anon *a, size_t len, bool huge);
void anon_free(struct anon *a);
int anon_move(struct anon *a, size_t first, size_t n, int node);

#endif
