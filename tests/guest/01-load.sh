#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The module loads, carries BTF, mounts, refuses to leave while in use, and leaves nothing.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
. "$(dirname "$0")/lib.sh"

for _ in 1 2 3; do
	load
	grep -q '^nodev.*kvlift$' /proc/filesystems || fail "not in /proc/filesystems"
	objects_zero || fail "objects right after loading"
	rmmod kvlift || fail "rmmod"
done

load
if [ -e /sys/kernel/btf/vmlinux ]; then
	[ -s /sys/kernel/btf/kvlift ] || fail "no module BTF"
fi
[ -n "$(modinfo -F license "$KVLIFT_KO")" ] || fail "no licence"

mkpool 64K 4M - -
p=$(pool)
d=/sys/fs/kvlift/$p
[ "$(cat "$d/block_size")" = 65536 ] || fail "block_size"
[ -n "$(cat "$d/uuid")" ] || fail "uuid"
[ -s "$d/policy" ] || fail "policy"
[ "$(cat "$d"/dram/*/got)" = 64 ] || fail "got $(cat "$d"/dram/*/got)"
grep -q " $MNT kvlift .*block=64K.*dram=4M" /proc/mounts || fail "$(grep kvlift /proc/mounts)"
[ "$(stat -fc %t "$MNT")" = 4b564c46 ] || fail "statfs type"
[ "$(df -B1 --output=size "$MNT" | tail -n 1)" -ge $((3 << 20)) ] || fail "df: $(df "$MNT")"
[ "$(stat -c %a "$MNT")" = 755 ] || fail "mode of the root: $(stat -c %a "$MNT")"

rmmod kvlift 2>/dev/null && fail "unloaded while mounted"
echo hello >"$MNT/f"
[ "$(cat "$MNT/f")" = hello ] || fail "read back"
umount_pool
[ ! -d "$d" ] || fail "$d is still there"
until_true 5 objects_zero || fail "left over: $(cat /sys/fs/kvlift/objects)"

# Every block size, and owner and mode of the root.
for b in 16K 32K 64K 128K 256K 512K 1M 2M; do
	mkpool $b 8M - - uid=1001,gid=1002,mode=1770
	[ "$(stat -c '%u %g %a' "$MNT")" = "1001 1002 1770" ] || fail "$(stat -c '%u %g %a' "$MNT")"
	kvtctl fill "$MNT/f" 1 4000000 || fail "fill at $b"
	kvtctl check "$MNT/f" 1 4000000 || fail "check at $b"
	umount_pool
done
# Two pools side by side.
mkpool 64K 4M - -
mkpool 2M 8M - - "" /mnt/kv2
echo a >$MNT/x
echo b >/mnt/kv2/x
[ "$(pool)" != "$(pool /mnt/kv2)" ] || fail "one number for two pools"
[ "$(cat $MNT/x /mnt/kv2/x)" = "a
b" ] || fail "mixed up"
check_clean
