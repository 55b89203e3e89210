#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What is sealed does not change, is written down ahead of need and leaves memory without I/O; nothing is lost.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug kcsan
# time: 300
# long: 1800
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
t=8
[ -z "$KVLIFT_FULL" ] || t=60
sizes="64K 256K 2M"
! short || t=4 sizes="64K 2M"
for b in $sizes; do
	case $b in
	64K) d=8 c=4 n=64 ;;
	256K) d=16 c=8 n=64 ;;
	2M) d=64 c=64 n=256 ;;
	esac
	mkpool $b ${d}M ${c}M ${n}M
	run seal $MNT file
	expect_used 0
	[ "$(member_sum shadows)" = 0 ] || fail "shadows of a deleted file"
	umount_pool

	mkpool $b ${d}M - ${n}M
	run seal $MNT blocks
	expect_used 0
	[ "$(member_sum shadows)" = 0 ] || fail "shadows of nothing"
	umount_pool

	mkpool $b ${d}M ${c}M ${n}M
	run seal $MNT stress $t
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
	umount_pool
done
if short; then
	check_clean
	exit 0
fi

mkpool 64K 16M - 64M
run seal $MNT idle
umount_pool
mkpool 64K 16M - 64M writeback=0
run seal $MNT off
umount_pool
# Sixteen seconds at this rate.
mkpool 64K 32M - 64M writeback=1
run seal $MNT deleted
umount_pool
for b in 64K 2M; do
	mkpool $b 64M - 128M writeback=4
	run seal $MNT rate 4
	grep -q writeback=4 /proc/mounts || fail "the option is not shown"
	# Off while it runs, and on again.
	kvtctl fill $MNT/live 1 8388608 || fail "fill"
	mount -o remount,writeback=0 $MNT || fail "remount"
	kvlift seal $MNT/live || fail "kvlift seal"
	sleep 1
	s=$(counter stored)
	sleep 1
	[ "$(counter stored)" = "$s" ] || fail "stored while off"
	mount -o remount,writeback=64 $MNT || fail "remount"
	stored_more() { [ "$(counter stored)" -gt "$s" ]; }
	until_true 20 stored_more || fail "not stored once it was on again"
	umount_pool
done
rmmod kvlift || fail "rmmod"

# The negative control: a stale copy below does come back when dirty bits are not looked at.
load unsafe_skip_dirty=1
mkpool 64K 8M - 64M
seal $MNT blocks >"$TMP/out" 2>&1 && fail "nothing was lost without the dirty check"
grep -q 'the store is lost' "$TMP/out" || fail "$(cat "$TMP/out")"
check_clean
