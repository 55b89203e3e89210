#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every wrong mount option and every unfit device has its own one-line message, and nothing is half-mounted.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
format
N=$KVLIFT_CXL_NODE
D=$KVLIFT_NVME
cases=0

nothing_mounted() {
	! grep -q ' kvlift ' /proc/mounts || fail "$1: it is mounted"
	until_true 5 objects_zero || fail "$1: left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
	[ -z "$(find /sys/fs/kvlift -mindepth 1 -maxdepth 1 -type d)" ] || fail "$1: a pool is left in sysfs"
}

# refused OPTIONS PATTERN: fails, with one line of its own that matches, in the
# log of the mount and in dmesg.
refused() {
	local out lines
	dmesg -C
	out=$(fsconf mount $MNT "$1") && fail "$1: mounted"
	# The VFS says it twice when a uid is no number.
	lines=$(printf '%s\n' "$out" | head -n -1 | uniq)
	printf '%s  ->  %s\n' "$1" "$(printf '%s' "$out" | tr '\n' ' ')"
	[ "$(printf '%s\n' "$lines" | grep -c .)" = 1 ] || fail "$1: not one line: $out"
	printf '%s\n' "$lines" | grep -qiE -- "$2" || fail "$1: \"$lines\" does not match /$2/"
	# The kernel's messages are limited to ten in five seconds.
	cases=$((cases + 1))
	# What the VFS itself finds wrong is in the log alone.
	[ $cases -gt 9 ] || printf '%s\n' "$lines" | grep -qE 'Bad value|Unknown parameter' || dmesg | grep -qiE -- "$2" || fail "$1: nothing in dmesg: $(dmesg)"
	nothing_mounted "$1"
}

# The block size.
refused block=3K,dram=4M 'block.*(power of two|3K|16)'
refused block=48K,dram=4M 'block.*(power of two|48K)'
refused block=4M,dram=8M 'block.*(2M|2 MiB|2048)'
refused block=8K,dram=8M 'block.*16'
refused block=0,dram=8M 'block'
refused block=,dram=8M 'block'
refused block=64Q,dram=8M 'block'
refused block=-64K,dram=8M 'block'
refused block=64K64,dram=8M 'block'
refused block=99999999999999999999,dram=8M 'block'
# Sizes.
refused block=64K,dram=x 'dram'
refused block=64K,dram=-1 'dram'
refused block=64K,dram= 'dram'
refused block=64K,dram=4M4 'dram'
refused block=64K,dram=32K 'dram.*(32768|32 KiB|32K)'
refused block=64K,dram=18446744073709551615 'dram'
refused block=64K,dram=99999999T 'dram'
refused block=64K 'dram|tier|no memory'
refused block=64K,dram=4M,cxl=4M 'cxl.*node'
refused block=64K,dram=4M,cxl=4M@ 'cxl'
refused block=64K,dram=4M,cxl=4M@x 'cxl'
refused block=64K,dram=4M,cxl=4M@-1 'cxl'
refused block=64K,dram=4M,cxl=4M@77 'node 77'
refused block=64K,dram=4M,cxl=4M@99999 'node'
refused block=64K,dram=4M@77 'node 77'
refused block=64K,dram=4M,cxl=900G@$N "at most"
refused block=64K,dram=900G "at most"
refused block=64K,dram=4M@0,dram=4M@0 'node 0|twice'
refused block=64K,dram=4M,cxl=4M@$N,cxl=4M@$N "node $N|twice"
# Unknown and malformed.
refused block=64K,dram=4M,nonsense 'nonsense'
refused block=64K,dram=4M,nonsense=1 'nonsense'
refused block=64K,dram=4M,uid=x 'uid'
refused block=64K,dram=4M,gid=-5 'gid'
refused block=64K,dram=4M,mode=9 'mode'
refused block=64K,dram=4M,mode=77777 'mode'
refused block=64K,dram=4M,low=x 'low'
refused block=64K,dram=4M,low=101 'low|percent'
refused block=64K,dram=4M,high=500 'high|percent'
refused block=64K,dram=4M,low=50,high=10 'low|high'
refused block=64K,dram=4M,scan=101 'scan.*percent'
refused block=64K,dram=4M,scan=x 'scan'
# Devices.
refused block=64K,dram=4M,nvme=/dev/none 'no such device|/dev/none'
refused block=64K,dram=4M,nvme= 'nvme'
refused block=64K,dram=4M,nvme=/etc/passwd 'block device'
refused block=64K,dram=4M,nvme=/root 'block device'
refused block=64K,dram=4M,nvme=/dev/null 'block device'
refused block=64K,dram=4M,nvme=$D:900T "$D"
refused block=64K,dram=4M,nvme=$D:x "$D|size"
refused block=64K,dram=4M,nvme=$D:1K 'less than|small|one block|block'
refused block=64K,dram=4M,nvme=$D,nvme=$D 'in use|twice'
refused block=2M,dram=16M,nvme=$D:900T "$D"

# Superblocks.
wipe() { dd if=/dev/zero of=$D bs=1M count=4 conv=fsync status=none; }
sb() { format && sbpoke $D "$@" || fail "sbpoke $*"; }
wipe
refused block=64K,dram=4M,nvme=$D 'superblock.*kvlift format'
kvlift format $D >/dev/null || fail "format of an empty device"
for fs in ext4 gpt mbr; do
	wipe
	case $fs in
	ext4) mkfs.ext4 -q -F $D >/dev/null 2>&1 ;;
	gpt) echo 'label: gpt' | sfdisk -q $D ;;
	mbr) printf 'label: dos\n,100M\n' | sfdisk -q --no-reread $D ;;
	esac || { say "cannot make $fs here" && continue; }
	sync
	refused block=64K,dram=4M,nvme=$D 'not kvlift|no superblock|format'
	sum=$(head -c 4M $D | md5sum)
	kvlift format $D >"$TMP/out" 2>&1 && fail "format overwrites $fs"
	say "format on $fs: $(head -n 1 "$TMP/out")"
	[ "$(head -c 4M $D | md5sum)" = "$sum" ] || fail "format changed $fs"
	kvlift format --force $D >/dev/null || fail "format --force on $fs"
	mkpool 64K 4M - 16M
	umount_pool
	wipe
done
sb version=2
refused block=64K,dram=4M,nvme=$D 'version 2'
sb version=0
refused block=64K,dram=4M,nvme=$D 'version 0'
sb incompat=0x8000000000000000
refused block=64K,dram=4M,nvme=$D 'feature'
sb compat=0x8000000000000000
mount -t kvlift -o block=64K,dram=4M,nvme=$D none $MNT || fail "an unknown compatible feature is refused"
umount_pool
sb crc=1
refused block=64K,dram=4M,nvme=$D 'checksum|damaged'
sb block_size=131072
refused block=64K,dram=4M,nvme=$D 'block.*128'
sb dev_size=$((1 << 50))
refused block=64K,dram=4M,nvme=$D 'device'
sb dev_count=2
refused block=64K,dram=4M,nvme=$D 'device'
sb dev_index=1
refused block=64K,dram=4M,nvme=$D 'device'
sb dev_count=0
refused block=64K,dram=4M,nvme=$D 'device|superblock'
sb data_offset=12345
refused block=64K,dram=4M,nvme=$D 'superblock|device'
sb data_offset=$((1 << 60))
refused block=64K,dram=4M,nvme=$D 'superblock|device'
sb block_size=65536
mkpool 64K 4M - 16M
umount_pool

# In use: by another pool, by a file system.
mkpool 64K 4M - 16M
mkdir -p /mnt/kv2
dmesg -C
out=$(fsconf mount /mnt/kv2 block=64K,dram=4M,nvme=$D) && fail "a device in two pools"
printf '%s\n' "$out" | grep -q 'in use' || fail "second mount: $out"
kvlift format --force $D >"$TMP/out" 2>&1 && fail "formatted while mounted"
grep -q 'use' "$TMP/out" || fail "format while mounted: $(cat "$TMP/out")"
echo fine >$MNT/f
[ "$(cat $MNT/f)" = fine ] || fail "the first pool suffered"
umount_pool
wipe
mkfs.ext4 -q -F $D >/dev/null 2>&1
mkdir -p "$TMP/ext4"
if mount $D "$TMP/ext4"; then
	echo precious >"$TMP/ext4/f"
	refused block=64K,dram=4M,nvme=$D 'in use'
	kvlift format --force $D >"$TMP/out" 2>&1 && fail "formatted a mounted ext4"
	umount "$TMP/ext4"
	mount $D "$TMP/ext4" && [ "$(cat "$TMP/ext4/f")" = precious ] || fail "ext4 suffered"
	umount "$TMP/ext4"
fi
format

# mount(8) fails, too, and says something.
mount -t kvlift -o block=3K,dram=4M none $MNT 2>"$TMP/out" && fail "mount(8) took block=3K"
[ -s "$TMP/out" ] || fail "mount(8) is silent"
nothing_mounted "mount(8)"
check_clean
