// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift format: make devices members of an nvme tier. */
#include <blkid/blkid.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "format.h"
#include "kvlift.h"
#include "sb.h"
#include "util.h"

#define WIPE_HEAD (2 * MIB)
#define WIPE_TAIL MIB

/* Somebody claims the device: device mapper, RAID, another pool. */
static bool has_holders(uint64_t dev, char *who, size_t len)
{
	struct dirent *e;
	char path[64];
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/holders", major(dev),
		 minor(dev));
	d = opendir(path);
	if (!d)
		return false;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(who, len, "%s", e->d_name);
		found = true;
		break;
	}
	closedir(d);
	return found;
}

static int open_device(struct format_device *d)
{
	char who[256];
	struct stat st;

	if (stat(d->path, &st) < 0) {
		error("%s: %s", d->path, strerror(errno));
		return -1;
	}
	d->is_block = S_ISBLK(st.st_mode);
	if (!d->is_block && !S_ISREG(st.st_mode)) {
		error("%s: neither a block device nor a file", d->path);
		return -1;
	}
	d->dev = d->is_block ? st.st_rdev : st.st_dev;
	d->ino = d->is_block ? 0 : st.st_ino;
	if (d->is_block && has_holders(d->dev, who, sizeof(who))) {
		error("%s: is in use by %s; stop that first", d->path, who);
		return -1;
	}
	/* O_EXCL on a block device: fails while anything holds it. */
	d->fd = open(d->path, O_RDWR | O_CLOEXEC | (d->is_block ? O_EXCL : 0));
	if (d->fd < 0) {
		if (errno == EBUSY)
			error("%s: is in use (mounted, swap, or part of a RAID or pool, or one of its partitions is); 'lsblk %s' shows by whom",
			      d->path, d->path);
		else if (errno == EACCES || errno == EPERM)
			error("%s: %s; run this as root", d->path,
			      strerror(errno));
		else
			error("%s: %s", d->path, strerror(errno));
		return -1;
	}
	d->size = (uint64_t)st.st_size;
	if (d->is_block && ioctl(d->fd, BLKGETSIZE64, &d->size) < 0) {
		error("%s: cannot ask for its size: %s", d->path,
		      strerror(errno));
		return -1;
	}
	if (d->size < SB_MIN_DEVICE) {
		char have[SIZE_TEXT], need[SIZE_TEXT];

		error("%s: has %s, a member of a pool needs at least %s",
		      d->path, size_text(d->size, have),
		      size_text(SB_MIN_DEVICE, need));
		return -1;
	}
	return 0;
}

/* What libblkid sees, in words. 1: something, 0: nothing, -1: cannot tell. */
static int probe(const struct format_device *d, char *what, size_t len)
{
	const char *type = NULL, *usage = NULL, *pt = NULL;
	blkid_probe pr;
	int ret;

	pr = blkid_new_probe();
	if (!pr || blkid_probe_set_device(pr, d->fd, 0, 0)) {
		snprintf(what, len, "cannot be probed");
		blkid_free_probe(pr);
		return -1;
	}
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE |
						      BLKID_SUBLKS_USAGE |
						      BLKID_SUBLKS_MAGIC);
	blkid_probe_enable_partitions(pr, 1);
	blkid_probe_set_partitions_flags(pr, BLKID_PARTS_FORCE_GPT |
						     BLKID_PARTS_MAGIC);
	blkid_probe_enable_topology(pr, 0);
	ret = blkid_do_safeprobe(pr);
	if (ret == 0) {
		blkid_probe_lookup_value(pr, "TYPE", &type, NULL);
		blkid_probe_lookup_value(pr, "USAGE", &usage, NULL);
		blkid_probe_lookup_value(pr, "PTTYPE", &pt, NULL);
		if (type)
			snprintf(what, len, "carries %s (%s)", type,
				 usage ? usage : "signature");
		else
			snprintf(what, len, "carries a partition table (%s)",
				 pt ? pt : "unknown type");
		ret = 1;
	} else if (ret == -2) {
		snprintf(what, len, "carries several signatures at once");
		ret = 1;
	} else if (ret < 0) {
		snprintf(what, len, "cannot be probed");
		ret = -1;
	} else {
		ret = 0;
	}
	blkid_free_probe(pr);
	return ret;
}

/* Refuse a device that carries anything. */
static int check_empty(const struct format_device *d)
{
	static const char zero[KVLIFT_SB_SIZE];
	char what[128], uuid[UUID_TEXT];
	struct kvlift_sb sb;
	int ret;

	if (pread(d->fd, &sb, sizeof(sb), 0) != (ssize_t)sizeof(sb)) {
		error("%s: cannot be read: %s", d->path, strerror(errno));
		return -1;
	}
	if (sb_is_ours(&sb)) {
		error("%s: already belongs to kvlift pool %s (device %u of %u%s%.32s%s); --force makes a new pool of it",
		      d->path, uuid_text(sb.uuid, uuid),
		      le32toh(sb.dev_index) + 1, le32toh(sb.dev_count),
		      sb.label[0] ? ", label " : "", sb.label,
		      sb_is_sound(&sb) ? "" : ", damaged");
		return -1;
	}
	ret = probe(d, what, sizeof(what));
	if (ret == 0 && memcmp(&sb, zero, sizeof(zero)) != 0) {
		snprintf(what, sizeof(what),
			 "carries data of an unknown kind in its first 4 KiB");
		ret = 1;
	}
	if (ret == 0)
		return 0;
	error("%s: %s; if nothing on it is needed, --force wipes it", d->path,
	      what);
	return -1;
}

static int write_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

static int wipe(const struct format_device *d)
{
	void *zero = calloc(1, WIPE_HEAD);
	int ret = -1;

	if (zero && !write_all(d->fd, zero, WIPE_HEAD, 0) &&
	    !write_all(d->fd, zero, WIPE_TAIL, d->size - WIPE_TAIL) &&
	    !fsync(d->fd))
		ret = 0;
	free(zero);
	if (ret)
		error("%s: cannot be wiped: %s", d->path, strerror(errno));
	/* The partitions are gone; a failure only means that some is in use,
	 * which O_EXCL has ruled out, or that there were none.
	 */
	else if (d->is_block)
		ioctl(d->fd, BLKRRPART);
	return ret;
}

static int write_sb(struct format_device *d, const struct sb_spec *spec)
{
	struct kvlift_sb sb, back;
	int ret;

	ret = sb_make(&sb, spec);
	if (ret) {
		error("%s: too small", d->path);
		return -1;
	}
	if (write_all(d->fd, &sb, sizeof(sb), 0) || fsync(d->fd)) {
		error("%s: cannot be written: %s", d->path, strerror(errno));
		return -1;
	}
	/* From the device, not from the page cache. */
	if (d->is_block)
		ioctl(d->fd, BLKFLSBUF);
	posix_fadvise(d->fd, 0, KVLIFT_SB_SIZE, POSIX_FADV_DONTNEED);
	if (pread(d->fd, &back, sizeof(back), 0) != (ssize_t)sizeof(back) ||
	    memcmp(&sb, &back, sizeof(sb)) != 0) {
		error("%s: did not give back what was written; the device is faulty",
		      d->path);
		return -1;
	}
	d->log_offset = le64toh(sb.log_offset);
	d->log_size = le64toh(sb.log_size);
	d->data_offset = le64toh(sb.data_offset);
	return 0;
}

static int new_uuid(uint8_t uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16) {
		error("no random numbers: %s", strerror(errno));
		return -1;
	}
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	return 0;
}

static int check_all(struct format_device *devs, unsigned int count, bool force)
{
	unsigned int i, k;

	for (i = 0; i < count; i++) {
		if (open_device(&devs[i]))
			return -1;
		for (k = 0; k < i; k++) {
			if (devs[k].dev == devs[i].dev &&
			    devs[k].ino == devs[i].ino &&
			    devs[k].is_block == devs[i].is_block) {
				error("%s and %s are the same device",
				      devs[k].path, devs[i].path);
				return -1;
			}
		}
		if (!force && check_empty(&devs[i]))
			return -1;
	}
	return 0;
}

int format_devices(struct format_device *devs, unsigned int count,
		   const struct format_opts *opts, uint8_t uuid[16])
{
	struct sb_spec spec = {
		.dev_count = count,
		.block_size = opts->block_size,
		.label = opts->label,
	};
	int ret = EXIT_FAIL;
	unsigned int i;

	for (i = 0; i < count; i++)
		devs[i].fd = -1;
	if (check_all(devs, count, opts->force) || new_uuid(uuid))
		goto out;
	memcpy(spec.uuid, uuid, 16);
	for (i = 0; i < count; i++) {
		spec.dev_index = i;
		spec.dev_size = devs[i].size;
		if (opts->force && wipe(&devs[i]))
			goto out;
		if (write_sb(&devs[i], &spec))
			goto out;
	}
	ret = EXIT_OK;
out:
	for (i = 0; i < count; i++)
		if (devs[i].fd >= 0)
			close(devs[i].fd);
	return ret;
}

static void report_json(const struct format_device *devs, unsigned int count,
			const struct format_opts *opts, const char *uuid)
{
	struct json j;
	unsigned int i;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "uuid", uuid);
	json_str(&j, "label", opts->label);
	json_u64(&j, "block", opts->block_size);
	json_open(&j, "devices", '[');
	for (i = 0; i < count; i++) {
		json_open(&j, NULL, '{');
		json_str(&j, "path", devs[i].path);
		json_u64(&j, "index", i);
		json_u64(&j, "size", devs[i].size);
		json_u64(&j, "log_offset", devs[i].log_offset);
		json_u64(&j, "log_size", devs[i].log_size);
		json_u64(&j, "data_offset", devs[i].data_offset);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

static void report(const struct format_device *devs, unsigned int count,
		   const char *uuid)
{
	char size[SIZE_TEXT], room[SIZE_TEXT];
	unsigned int i, images = 0;

	printf("pool %s\n", uuid);
	for (i = 0; i < count; i++)
		printf("  %s: %s, room for blocks %s\n", devs[i].path,
		       size_text(devs[i].size, size),
		       size_text(devs[i].size - devs[i].data_offset, room));
	fputs("mount it with: mount -t kvlift -o dram=SIZE", stdout);
	for (i = 0; i < count; i++) {
		images += !devs[i].is_block;
		printf(",nvme=%s", devs[i].is_block ? devs[i].path : "LOOP");
	}
	fputs(" none DIR\n", stdout);
	if (images)
		puts("where LOOP is what 'losetup --find --show IMAGE' prints");
}

static const char help[] =
	"usage: kvlift format DEV... [--block SIZE] [--label TEXT] [--force] [--json]\n"
	"\n"
	"Write a superblock on each device, so that together they can be mounted as the\n"
	"nvme tier of one pool. A device that carries anything (partitions, a file\n"
	"system, RAID, LUKS, swap, another pool, unknown data) or is in use is refused.\n"
	"\n"
	"  --block SIZE   block size that a mount takes when it names none (16K to 2M)\n"
	"  --label TEXT   up to 31 bytes\n"
	"  --force        wipe what is there; never one that is in use\n"
	"  --json         print what was made as JSON\n";

int run_format(int argc, char **argv)
{
	static const struct option options[] = {
		{ "block", required_argument, NULL, 'b' },
		{ "label", required_argument, NULL, 'l' },
		{ "force", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct format_device devs[KVLIFT_MAX_MEMBERS] = { 0 };
	struct format_opts opts = { 0 };
	unsigned int i, count;
	bool as_json = false;
	char text[UUID_TEXT];
	uint8_t uuid[16];
	uint64_t size;
	int c, ret;

	while ((c = getopt_long(argc, argv, "b:l:fjh", options, NULL)) != -1) {
		switch (c) {
		case 'b':
			if (parse_size(optarg, &size) ||
			    size < KVLIFT_BLOCK_MIN ||
			    size > KVLIFT_BLOCK_MAX || (size & (size - 1)))
				return usage_error(
					"--block %s: not a power of two from 16K to 2M",
					optarg);
			opts.block_size = (uint32_t)size;
			break;
		case 'l':
			if (strlen(optarg) > 31)
				return usage_error(
					"--label: longer than 31 bytes");
			opts.label = optarg;
			break;
		case 'f':
			opts.force = true;
			break;
		case 'j':
			as_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return usage_error("bad option");
		}
	}
	if (optind == argc)
		return usage_error("no device given");
	if (argc - optind > KVLIFT_MAX_MEMBERS)
		return usage_error("more than %d devices", KVLIFT_MAX_MEMBERS);
	count = (unsigned int)(argc - optind);
	for (i = 0; i < count; i++)
		devs[i].path = argv[optind + (int)i];
	ret = format_devices(devs, count, &opts, uuid);
	if (ret)
		return ret;
	uuid_text(uuid, text);
	if (as_json)
		report_json(devs, count, &opts, text);
	else
		report(devs, count, text);
	return EXIT_OK;
}
