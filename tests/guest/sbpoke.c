// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Change fields of a superblock and put its checksum right again.
 *
 *	sbpoke DEV [FIELD=VALUE...]
 *
 * Fields: version incompat compat block_size dev_size dev_count dev_index
 * data_offset epoch uuid0 crc. Without any, prints them.
 */
#include "kvltest.h"

#include <endian.h>
#include <stddef.h>

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int k = 0; k < 8; k++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
	}
	return ~c;
}

int main(int argc, char **argv)
{
	struct kvlift_sb sb;
	bool crc = true;
	int fd;

	if (argc < 2)
		kvt_die("usage: sbpoke DEV [FIELD=VALUE...]");
	fd = MUST(open(argv[1], argc > 2 ? O_RDWR : O_RDONLY));
	IS(pread(fd, &sb, sizeof(sb), 0), sizeof(sb));
	if (argc == 2) {
		printf("magic %.8s version %u block_size %u data_offset %llu "
		       "epoch %llu dev %u of %u size %llu crc %s\n",
		       (const char *)sb.magic, le32toh(sb.version),
		       le32toh(sb.block_size),
		       (unsigned long long)le64toh(sb.data_offset),
		       (unsigned long long)le64toh(sb.mount_epoch),
		       le32toh(sb.dev_index), le32toh(sb.dev_count),
		       (unsigned long long)le64toh(sb.dev_size),
		       crc32c((uint8_t *)&sb, offsetof(struct kvlift_sb,
						       crc)) == le32toh(sb.crc)
			       ? "ok"
			       : "BAD");
		return kvt_fails != 0;
	}
	for (int i = 2; i < argc; i++) {
		char *eq = strchr(argv[i], '=');
		uint64_t v = eq ? strtoull(eq + 1, NULL, 0) : 0;

		if (!eq)
			kvt_die("%s has no value", argv[i]);
		*eq = 0;
		if (!strcmp(argv[i], "version"))
			sb.version = htole32((uint32_t)v);
		else if (!strcmp(argv[i], "incompat"))
			sb.feature_incompat = htole64(v);
		else if (!strcmp(argv[i], "compat"))
			sb.feature_compat = htole64(v);
		else if (!strcmp(argv[i], "block_size"))
			sb.block_size = htole32((uint32_t)v);
		else if (!strcmp(argv[i], "dev_size"))
			sb.dev_size = htole64(v);
		else if (!strcmp(argv[i], "dev_count"))
			sb.dev_count = htole32((uint32_t)v);
		else if (!strcmp(argv[i], "dev_index"))
			sb.dev_index = htole32((uint32_t)v);
		else if (!strcmp(argv[i], "data_offset"))
			sb.data_offset = htole64(v);
		else if (!strcmp(argv[i], "epoch"))
			sb.mount_epoch = htole64(v);
		else if (!strcmp(argv[i], "uuid0"))
			sb.uuid[0] = (uint8_t)v;
		else if (!strcmp(argv[i], "crc"))
			crc = false, sb.crc ^= htole32((uint32_t)v);
		else
			kvt_die("no field %s", argv[i]);
	}
	if (crc)
		sb.crc = htole32(crc32c((uint8_t *)&sb,
					offsetof(struct kvlift_sb, crc)));
	IS(pwrite(fd, &sb, sizeof(sb), 0), sizeof(sb));
	OK(fsync(fd));
	return kvt_fails != 0;
}
