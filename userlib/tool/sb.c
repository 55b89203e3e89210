// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "crc32c.h"
#include "sb.h"
#include "util.h"

static_assert(sizeof(struct kvlift_sb) == KVLIFT_SB_SIZE, "superblock size");

static uint32_t sum(const struct kvlift_sb *sb)
{
	return crc32c(sb, offsetof(struct kvlift_sb, crc));
}

int sb_make(struct kvlift_sb *sb, const struct sb_spec *spec)
{
	uint64_t log, data;

	if (spec->dev_size < SB_MIN_DEVICE)
		return -ENOSPC;
	log = spec->dev_size / 128;
	if (log < MIB)
		log = MIB;
	if (log > 64 * MIB)
		log = 64 * MIB;
	data = round_up(KVLIFT_SB_LOG_START + log, KVLIFT_SB_DATA_ALIGN);

	memset(sb, 0, sizeof(*sb));
	memcpy(sb->magic, KVLIFT_SB_MAGIC, sizeof(sb->magic));
	sb->version = htole32(KVLIFT_SB_VERSION);
	sb->sb_size = htole32(KVLIFT_SB_SIZE);
	memcpy(sb->uuid, spec->uuid, sizeof(sb->uuid));
	sb->dev_index = htole32(spec->dev_index);
	sb->dev_count = htole32(spec->dev_count);
	sb->dev_size = htole64(spec->dev_size);
	sb->block_size = htole32(spec->block_size);
	sb->log_offset = htole64(KVLIFT_SB_LOG_START);
	sb->log_size = htole64(data - KVLIFT_SB_LOG_START);
	sb->data_offset = htole64(data);
	if (spec->label)
		memcpy(sb->label, spec->label,
		       strnlen(spec->label, sizeof(sb->label)));
	sb->crc = htole32(sum(sb));
	return 0;
}

bool sb_is_ours(const struct kvlift_sb *sb)
{
	return !memcmp(sb->magic, KVLIFT_SB_MAGIC, sizeof(sb->magic));
}

bool sb_is_sound(const struct kvlift_sb *sb)
{
	return le32toh(sb->crc) == sum(sb);
}

char *uuid_text(const uint8_t uuid[16], char buf[UUID_TEXT])
{
	char *p = buf;
	int i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		p += snprintf(p, 3, "%02x", uuid[i]);
	}
	return buf;
}
