// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Superblocks: the layout on disk, and what format refuses to write over. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "format.h"
#include "sb.h"
#include "unit.h"
#include "util.h"

static void crc_has_the_check_value(void)
{
	static const unsigned char zero[32];

	CHECK_EQ(crc32c("123456789", 9), 0xe3069283u);
	CHECK_EQ(crc32c("", 0), 0);
	CHECK_EQ(crc32c(zero, 32), 0x8a9136aau); /* RFC 3720, B.4 */
}

static void layout_is_that_of_the_header(void)
{
	CHECK_EQ(sizeof(struct kvlift_sb), 4096);
	CHECK_EQ(offsetof(struct kvlift_sb, uuid), 16);
	CHECK_EQ(offsetof(struct kvlift_sb, dev_size), 40);
	CHECK_EQ(offsetof(struct kvlift_sb, log_offset), 72);
	CHECK_EQ(offsetof(struct kvlift_sb, label), 104);
	CHECK_EQ(offsetof(struct kvlift_sb, crc), 4092);
}

static void log_and_data_are_where_they_should_be(void)
{
	static const struct {
		uint64_t size, log, data;
	} want[] = {
		/* 1M + clamp(size / 128, 1M, 64M), rounded up to 2M */
		{ 8 * MIB, 1 * MIB, 2 * MIB },
		{ 64 * MIB, 1 * MIB, 2 * MIB },
		{ 256 * MIB, 3 * MIB, 4 * MIB },
		{ 4 * GIB, 33 * MIB, 34 * MIB },
		{ 1024 * GIB, 65 * MIB, 66 * MIB },
	};

	for (int i = 0; i < 5; i++) {
		struct sb_spec spec = { .dev_count = 1,
					.dev_size = want[i].size };
		struct kvlift_sb sb;

		CHECK_EQ(sb_make(&sb, &spec), 0);
		CHECK_EQ(le64toh(sb.log_offset), MIB);
		CHECK_EQ(le64toh(sb.log_size), want[i].log);
		CHECK_EQ(le64toh(sb.data_offset), want[i].data);
		CHECK(sb_is_ours(&sb) && sb_is_sound(&sb));
		((char *)&sb)[100] ^= 1;
		CHECK(!sb_is_sound(&sb));
	}
}

static void tiny_devices_are_refused(void)
{
	struct sb_spec spec = { .dev_size = 8 * MIB - 1 };
	struct kvlift_sb sb;

	CHECK_EQ(sb_make(&sb, &spec), -ENOSPC);
}

static int format(const char *path, bool force)
{
	struct format_device dev = { .path = path };
	struct format_opts opts = { .force = force,
				    .block_size = 65536,
				    .label = "unit" };
	uint8_t uuid[16];

	return format_devices(&dev, 1, &opts, uuid);
}

static void read_sb(const char *path, struct kvlift_sb *sb)
{
	int fd = open(path, O_RDONLY);

	CHECK_EQ(pread(fd, sb, sizeof(*sb), 0), sizeof(*sb));
	close(fd);
}

static void image_gets_a_superblock(void)
{
	const char *path = unit_file("", 0, 64 * MIB);
	struct kvlift_sb sb, again;

	CHECK_EQ(format(path, false), 0);
	read_sb(path, &sb);
	CHECK(sb_is_ours(&sb) && sb_is_sound(&sb));
	CHECK_EQ(le32toh(sb.version), 1);
	CHECK_EQ(le32toh(sb.sb_size), 4096);
	CHECK_EQ(le32toh(sb.dev_index), 0);
	CHECK_EQ(le32toh(sb.dev_count), 1);
	CHECK_EQ(le64toh(sb.dev_size), 64 * MIB);
	CHECK_EQ(le32toh(sb.block_size), 65536);
	CHECK_STR((char *)sb.label, "unit");
	CHECK_EQ(le64toh(sb.mount_epoch), 0);
	/* Its own one is refused too, and stays as it was. */
	CHECK_EQ(format(path, false), EXIT_FAIL);
	read_sb(path, &again);
	CHECK(!memcmp(&sb, &again, sizeof(sb)));
	CHECK_EQ(format(path, true), 0);
	read_sb(path, &again);
	CHECK(memcmp(sb.uuid, again.uuid, 16));
	unlink(path);
}

static void pool_of_two_shares_its_uuid(void)
{
	char a[64], b[64];
	struct format_device dev[2] = { { .path = a }, { .path = b } };
	struct format_opts opts = { 0 };
	struct kvlift_sb sa, sb;
	uint8_t uuid[16];

	strcpy(a, unit_file("", 0, 16 * MIB));
	strcpy(b, unit_file("", 0, 32 * MIB));
	CHECK_EQ(format_devices(dev, 2, &opts, uuid), 0);
	read_sb(a, &sa);
	read_sb(b, &sb);
	CHECK(!memcmp(sa.uuid, uuid, 16) && !memcmp(sb.uuid, uuid, 16));
	CHECK_EQ(le32toh(sb.dev_index), 1);
	CHECK_EQ(le32toh(sb.dev_count), 2);
	/* The same one twice: neither is written. */
	dev[1].path = a;
	opts.force = true;
	CHECK_EQ(format_devices(dev, 2, &opts, uuid), EXIT_FAIL);
	read_sb(a, &sb);
	CHECK(!memcmp(&sa, &sb, sizeof(sa)));
	unlink(a);
	unlink(b);
}

/* Refused, nothing written; with force it goes and leaves no trace. */
static void refused(const char *what, const char *command)
{
	const char *path = unit_file("", 0, 64 * MIB);
	char cmd[512], *old, *new;
	size_t n = 64 * MIB;
	int fd;

	snprintf(
		cmd, sizeof(cmd),
		"F=%s; export PATH=$PATH:/sbin:/usr/sbin; { %s; } >/dev/null 2>&1",
		path, command);
	if (system(cmd)) {
		printf("# cannot make %s here\n", what);
		unlink(path);
		return;
	}
	old = malloc(n);
	new = malloc(n);
	fd = open(path, O_RDONLY);
	CHECK_EQ(pread(fd, old, n, 0), n);
	if (format(path, false) != EXIT_FAIL) {
		printf("# not refused: %s\n", what);
		unit_case_failed = 1;
	}
	CHECK_EQ(pread(fd, new, n, 0), n);
	CHECK(!memcmp(old, new, n));
	CHECK_EQ(format(path, true), 0);
	CHECK_EQ(pread(fd, new, n, 0), n);
	for (size_t i = 4096; i < 2 * MIB; i++)
		CHECK(!new[i]);
	for (size_t i = n - MIB; i < n; i++)
		CHECK(!new[i]);
	close(fd);
	free(old);
	free(new);
	unlink(path);
}

static void foreign_content_is_refused(void)
{
	refused("ext4", "mkfs.ext4 -q -F $F");
	refused("swap", "mkswap $F");
	refused("MBR", "printf 'label: dos\\n,10M\\n' | sfdisk $F");
	refused("GPT", "printf 'label: gpt\\n,10M\\n' | sfdisk $F");
	refused("GPT with its first copy gone",
		"printf 'label: gpt\\n,10M\\n' | sfdisk $F && dd if=/dev/zero of=$F bs=1K count=32 conv=notrunc");
	refused("LUKS",
		"printf 'LUKS\\272\\276\\000\\001' | dd of=$F conv=notrunc");
	refused("LVM",
		"command -v pvcreate && pvcreate --config 'devices{dir=\"/tmp\" scan=\"/tmp\"}' $F");
	refused("xfs", "command -v mkfs.xfs && mkfs.xfs -q -f $F");
	refused("btrfs", "command -v mkfs.btrfs && mkfs.btrfs -q -f $F");
	refused("unknown data", "echo secret | dd of=$F conv=notrunc");
}

static void odd_paths_are_refused(void)
{
	CHECK_EQ(format("/nonexistent", true), EXIT_FAIL);
	CHECK_EQ(format("/tmp", true), EXIT_FAIL);
	CHECK_EQ(format("/dev/null", true), EXIT_FAIL);
}

static void uuids_are_printed(void)
{
	static const uint8_t uuid[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					  0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98,
					  0x76, 0x54, 0x32, 0x10 };
	char t[UUID_TEXT];

	CHECK_STR(uuid_text(uuid, t), "01234567-89ab-cdef-fedc-ba9876543210");
}

int main(void)
{
	CASE(crc_has_the_check_value);
	CASE(layout_is_that_of_the_header);
	CASE(log_and_data_are_where_they_should_be);
	CASE(tiny_devices_are_refused);
	CASE(image_gets_a_superblock);
	CASE(pool_of_two_shares_its_uuid);
	CASE(foreign_content_is_refused);
	CASE(odd_paths_are_refused);
	CASE(uuids_are_printed);
	UNIT_END();
}
