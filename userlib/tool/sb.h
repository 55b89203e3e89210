/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Superblock of a device: layout and checks, no input or output. */
#ifndef TOOL_SB_H
#define TOOL_SB_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/kvlift.h>

/* Smallest device: superblock, journal, and some blocks of 2 MiB. */
#define SB_MIN_DEVICE (8ULL << 20)

struct sb_spec {
	uint8_t uuid[16];
	uint32_t dev_index, dev_count;
	uint64_t dev_size;
	uint32_t block_size; /* 0: the mount decides */
	const char *label;
};

/* Fill in sb. -ENOSPC: the device is smaller than SB_MIN_DEVICE. */
int sb_make(struct kvlift_sb *sb, const struct sb_spec *spec);
/* It carries our magic, whatever else it says. */
bool sb_is_ours(const struct kvlift_sb *sb);
/* Its checksum is right. */
bool sb_is_sound(const struct kvlift_sb *sb);
/* "xxxxxxxx-xxxx-..." */
#define UUID_TEXT 37
char *uuid_text(const uint8_t uuid[16], char buf[UUID_TEXT]);

#endif
