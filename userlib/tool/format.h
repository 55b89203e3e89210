/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef TOOL_FORMAT_H
#define TOOL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

struct format_opts {
	uint32_t block_size; /* 0: the mount decides */
	const char *label;
	bool force; /* wipe whatever is there */
};

struct format_device {
	const char *path;
	int fd;
	bool is_block;
	uint64_t size;
	uint64_t log_offset, log_size, data_offset; /* out */
	uint64_t dev, ino; /* to see that one is named twice */
};

/*
 * Write a superblock on each of count devices (only path is read) so that
 * they make one pool. Nothing is written unless all may be. Errors are
 * printed. Returns 0 or EXIT_FAIL.
 */
int format_devices(struct format_device *devs, unsigned int count,
		   const struct format_opts *opts, uint8_t uuid[16]);

#endif
