/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mount options as text. Pure: compiles in user space too, for the unit
 * tests and the fuzzer.
 */
#ifndef KVL_OPTIONS_H
#define KVL_OPTIONS_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
typedef __u64 u64;
typedef __u32 u32;
#endif

#define KVL_PATH_LEN	256

/**
 * struct kvl_mount_opts - what a mount asks for besides its members
 * @block_size:	bytes, 0 when not given
 * @low, @high:	watermarks of free slots in percent of a memory tier
 * @writeback:	MiB per second written down ahead of need, 0 for none
 * @floor:	percent of a DRAM budget that pressure does not take
 * @depth:	copies in flight per device
 * @hard:	the mount fails when a budget cannot be had in full
 * @nodiscard:	freed slots of a device are not discarded
 * @poll:	a task that waits for a device polls
 * @interleave:	equal nodes of a tier take turns
 * @scan:	percent of a CPU for the scan of accessed bits, 0 for none
 * @cpu:	percent of a CPU that a worker may use when nobody waits
 */
struct kvl_mount_opts {
	u32 block_size;
	u32 low;
	u32 high;
	u32 writeback;
	u32 floor;
	u32 depth;
	bool hard;
	bool nodiscard;
	bool poll;
	bool interleave;
	u32 scan;
	u32 cpu;
};

#define KVL_LOW_DEFAULT		3
#define KVL_HIGH_DEFAULT	6
#define KVL_WRITEBACK_DEFAULT	256
#define KVL_FLOOR_DEFAULT	25
#define KVL_DEPTH_DEFAULT	128
#define KVL_DEPTH_MAX		1024
#define KVL_SCAN_DEFAULT	1
#define KVL_SCAN_MAX		100
#define KVL_DISTANCE_MAX	1000000

/**
 * struct kvl_member_opt - one dram=, cxl= or nvme= option
 * @bytes:	budget, 0: all there is (devices only)
 * @node:	NUMA node, -1 when not given
 * @distance:	of the node's memory, 0 to ask the firmware and to measure
 * @has_distance: it was given
 * @path:	device, empty for memory
 */
struct kvl_member_opt {
	u64 bytes;
	int node;
	u32 distance;
	bool has_distance;
	char path[KVL_PATH_LEN];
};

/*
 * "64K", "8G", "4096": bytes, with the binary suffixes K, M, G, T. 0, or
 * -EINVAL for anything else, a zero or an overflow. Since 0.1.
 */
int kvl_parse_size(const char *s, u64 *bytes);

/* A block size: a power of two from 16K to 2M. 0 or -EINVAL. */
int kvl_parse_block(const char *s, u32 *bytes);

/* "SIZE[@NODE[:DISTANCE]]". 0 or -EINVAL. */
int kvl_parse_memory(const char *s, struct kvl_member_opt *opt);

/*
 * "DEVICE[:SIZE]". A colon that is not followed by a valid size belongs to
 * the name (by-path links contain colons). 0, -EINVAL, -ENAMETOOLONG.
 */
int kvl_parse_device(const char *s, struct kvl_member_opt *opt);

#endif /* KVL_OPTIONS_H */
