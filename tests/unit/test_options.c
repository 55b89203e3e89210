// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The module's mount options as text, and a short fuzz of its parsers. */
#include "unit.h"

/* Pure logic of the module, compiled here as it is. */
#include "options.c"

static void sizes(void)
{
	u64 v = 0;

	CHECK_EQ(kvl_parse_size("64K", &v), 0);
	CHECK_EQ(v, 65536);
	CHECK_EQ(kvl_parse_size("4096", &v), 0);
	CHECK_EQ(v, 4096);
	CHECK_EQ(kvl_parse_size("8t", &v), 0);
	CHECK_EQ(v, 8ULL << 40);
	CHECK_EQ(kvl_parse_size("8388607T", &v), 0);

	static const char *const bad[] = {
		"",    "K",	   "0",	   "0K", "-1",
		"1KK", "1 K",	   "1.5G", "+1", "0x1",
		" 1",  "8388608T", "1@",   "1:", "18446744073709551616"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		v = 7;
		CHECK_EQ(kvl_parse_size(bad[i], &v), -EINVAL);
		CHECK_EQ(v, 7);
	}
}

static void blocks(void)
{
	u32 v = 0;

	CHECK_EQ(kvl_parse_block("16K", &v), 0);
	CHECK_EQ(v, 16384);
	CHECK_EQ(kvl_parse_block("2048K", &v), 0);
	CHECK_EQ(v, 2 << 20);
	CHECK_EQ(kvl_parse_block("8K", &v), -EINVAL);
	CHECK_EQ(kvl_parse_block("4M", &v), -EINVAL);
	CHECK_EQ(kvl_parse_block("48K", &v), -EINVAL);
	CHECK_EQ(kvl_parse_block("4294967296", &v), -EINVAL);
}

static void memory(void)
{
	struct kvl_member_opt o;

	CHECK_EQ(kvl_parse_memory("8G", &o), 0);
	CHECK_EQ(o.bytes, 8ULL << 30);
	CHECK_EQ(o.node, -1);
	CHECK_EQ(kvl_parse_memory("16M@1", &o), 0);
	CHECK_EQ(o.node, 1);
	CHECK_EQ(o.distance, 0);
	CHECK(!o.has_distance);
	CHECK_EQ(kvl_parse_memory("16M@1:1200", &o), 0);
	CHECK_EQ(o.node, 1);
	CHECK_EQ(o.distance, 1200);
	CHECK_EQ(kvl_parse_memory("16M@1:", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@1:0", &o), 0);
	CHECK_EQ(o.distance, 0);
	CHECK(o.has_distance);
	CHECK_EQ(kvl_parse_memory("16M@1:1000001", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@1:2x", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M:1200", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@x", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@-1", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@1x", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("16M@4294967296", &o), -EINVAL);
	CHECK_EQ(kvl_parse_memory("@1", &o), -EINVAL);
}

static void devices(void)
{
	char name[2 * KVL_PATH_LEN];
	struct kvl_member_opt o;

	CHECK_EQ(kvl_parse_device("/dev/nvme0n1", &o), 0);
	CHECK(!strcmp(o.path, "/dev/nvme0n1"));
	CHECK_EQ(o.bytes, 0);
	CHECK_EQ(kvl_parse_device("/dev/nvme0n1:100G", &o), 0);
	CHECK(!strcmp(o.path, "/dev/nvme0n1"));
	CHECK_EQ(o.bytes, 100ULL << 30);
	/* Names under by-path contain colons. */
	CHECK_EQ(kvl_parse_device("/dev/disk/by-path/pci-0000:01:00.0-nvme-1",
				  &o),
		 0);
	CHECK(!strcmp(o.path, "/dev/disk/by-path/pci-0000:01:00.0-nvme-1"));
	CHECK_EQ(o.bytes, 0);
	CHECK_EQ(kvl_parse_device("", &o), -EINVAL);
	CHECK_EQ(kvl_parse_device(":1G", &o), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(kvl_parse_device(name, &o), -ENAMETOOLONG);
	name[KVL_PATH_LEN] = '\0';
	CHECK_EQ(kvl_parse_device(name, &o), -ENAMETOOLONG);
	name[KVL_PATH_LEN - 1] = '\0';
	CHECK_EQ(kvl_parse_device(name, &o), 0);
}

/* Whatever comes in: no overflow, and what is taken is within bounds. */
static void fuzz(void)
{
	static const char set[] = "0123456789KMGTkmgt@:/.-x";
	unsigned int seed = 1;

	for (int n = 0; n < 200000; n++) {
		struct kvl_member_opt o;
		char s[24];
		size_t len = (seed = seed * 1103515245 + 12345) >> 16;
		u32 block;
		u64 v;

		len %= sizeof(s);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			s[i] = set[(seed >> 16) % (sizeof(set) - 1)];
		}
		s[len] = '\0';
		if (!kvl_parse_size(s, &v))
			CHECK(v > 0 && v <= S64_MAX);
		if (!kvl_parse_block(s, &block))
			CHECK(!(block & (block - 1)));
		if (!kvl_parse_memory(s, &o))
			CHECK(o.bytes > 0 && o.node >= -1 &&
			      o.distance <= KVL_DISTANCE_MAX);
		if (!kvl_parse_device(s, &o))
			CHECK(strlen(o.path) > 0 && strlen(o.path) <= len);
	}
}

int main(void)
{
	CASE(sizes);
	CASE(blocks);
	CASE(memory);
	CASE(devices);
	CASE(fuzz);
	UNIT_END();
}
