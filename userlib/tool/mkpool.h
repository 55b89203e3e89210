/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A pool for one replay: device, mount, and everything undone afterwards. */
#ifndef TOOL_MKPOOL_H
#define TOOL_MKPOOL_H

#include <stdbool.h>
#include <stdint.h>

/* "5%" of the blocks, "64M", or "rest". */
struct share {
	enum {
		SHARE_PERCENT,
		SHARE_BYTES,
		SHARE_REST
	} kind;
	double percent;
	uint64_t bytes;
};

int share_parse(const char *s, struct share *share);

struct mkpool_opts {
	uint64_t block;	 /* bytes */
	uint64_t blocks; /* distinct blocks of the trace */
	uint64_t extra;	 /* blocks beside them: an index */
	struct share dram, cxl, nvme;
	int dram_node, cxl_node; /* -1: none named */
	const char *nvme_device; /* NULL: the guest's, else a loop file */
	bool force; /* wipe the device: only where it is emulated */
};

/* Slots of each tier that the options come to. */
struct mkpool_plan {
	uint64_t dram, cxl, nvme;
};

void mkpool_plan(const struct mkpool_opts *o, struct mkpool_plan *plan);

struct mkpool {
	char dir[64]; /* mount point, empty when there is none */
	bool mounted, loaded;
	int loop_fd;
	char device[4096];
};

/* Errors are printed and what was made is undone. 0 or -errno. */
int mkpool_make(const struct mkpool_opts *o, struct mkpool *p);
void mkpool_undo(struct mkpool *p);
/* Wait until a pool has the slots it asked for, or gets no more. */
int mkpool_wait(const char *dir);

/* Set by SIGINT, SIGTERM and SIGHUP. */
extern volatile int stop_requested;

#endif
