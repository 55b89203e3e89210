#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The module stays while anything is in use and leaves when nothing is, also in the middle of moves.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load

# hold FILE ...: in the background, until release
hold() {
	mkfifo "$TMP/go"
	kvtctl hold "$@" <"$TMP/go" >"$TMP/held" &
	holder=$!
	exec 9>"$TMP/go"
	until_true 10 grep -q ready "$TMP/held" || fail "hold $*"
}
release() {
	exec 9>&-
	wait $holder
	rm -f "$TMP/go" "$TMP/held"
}

for what in open mapped; do
	mkpool 64K 4M 4M 16M
	kvtctl fill $MNT/f 1 1000000 || fail "fill"
	if [ $what = open ]; then hold $MNT/f rw; else hold $MNT/f rw 1000000; fi
	rm $MNT/f
	umount $MNT 2>/dev/null && fail "unmounted while a file is $what"
	rmmod kvlift 2>/dev/null && fail "unloaded while a file is $what"
	umount -l $MNT || fail "lazy umount"
	rmmod kvlift 2>/dev/null && fail "unloaded under a lazy umount"
	grep -q '^pools 1$' /sys/fs/kvlift/objects || fail "$(cat /sys/fs/kvlift/objects)"
	# The device is still taken.
	fsconf mount $MNT "block=64K,dram=4M,nvme=$KVLIFT_NVME" | grep -q 'in use' || fail "the device is free too early"
	release
	until_true 10 objects_zero || fail "after the last user: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
	rmmod kvlift || fail "rmmod after the last user"
	load
done

# The location table holds the file, too.
mkpool 64K 4M - -
kvtctl fill $MNT/f 1 1000000 || fail "fill"
umount_pool

# Unmount while everything is on its way somewhere.
for i in 1 2 3 4 5 6; do
	mkpool 64K 2M 2M 64M
	kvtctl fill $MNT/f $i $((12 << 20)) &
	f=$!
	case $i in
	[12]) wait $f ;;
	*) sleep 0.$i && kill $f 2>/dev/null && wait $f 2>/dev/null ;;
	esac
	kvtctl demote $MNT/f >/dev/null
	kvtctl prefetch $MNT/f >/dev/null
	umount_pool
	until_true 5 objects_zero || fail "umount during moves: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
done

# Before the slots are there.
for i in $(seq 20); do
	o=block=64K,dram=64M,cxl=64M@$KVLIFT_CXL_NODE,nvme=$KVLIFT_NVME
	[ $((i % 2)) = 0 ] || o=block=2M,dram=64M
	mount -t kvlift -o $o none $MNT || fail "mount $i"
	[ $((i % 3)) = 0 ] || echo x >$MNT/x
	umount $MNT || fail "umount $i"
done
until_true 5 objects_zero || fail "after 20 mounts: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
for i in 1 2 3 4 5; do
	rmmod kvlift || fail "rmmod $i"
	load
done
# Memory came back: nothing was lost to the module.
check_clean
