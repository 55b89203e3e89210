#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A bad block or a wrong checksum costs that block alone, with EIO and SIGBUS and a counter, never wrong data.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

need_mod null_blk nr_devices=0
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config || skip "no configfs"
N=/sys/kernel/config/nullb/kvt
mkdir $N || skip "no null_blk device"
# shellcheck disable=SC2317
gone() { echo 0 >$N/power && rmdir $N; } 2>/dev/null
trap 'rc=$?; gone; (exit $rc); clean_up' EXIT
echo 64 >$N/size
echo 1 >$N/memory_backed
echo 512 >$N/blocksize
echo 1 >$N/power
dev=/dev/$(cd /sys/block && for d in *; do [ "$(cat "$d/size")" = 131072 ] && echo "$d"; done | grep -E 'null|kvt|nb' | head -n 1)
[ -b "$dev" ] || skip "no block device for $N: $(ls /sys/block)"
KVLIFT_NVME=$dev
load

for bk in 64 2048; do
	bs=$((bk << 10))
	case $bk in
	64) mkpool 64K 4M - 32M ;;
	*) mkpool 2M 24M - 40M ;;
	esac
	data=$(sbpoke $dev | sed 's/.*data_offset \([0-9]*\).*/\1/')
	kvtctl fill $MNT/f 1 $((8 * bs)) || fail "fill"
	kvtctl move $MNT/f nvme || fail "demote"
	slot=$(kvtctl loc $MNT/f 3 | cut -d' ' -f3)
	at=$((data + slot * bs))

	# The device can't read one sector of block 3.
	e=$(counter io_errors)
	echo "+$((at / 512 + 5))-$((at / 512 + 5))" >$N/badblocks || fail "badblocks"
	[ "$(kvtctl read $MNT/f $((3 * bs)) 100)" = EIO ] || fail "a bad sector reads $(kvtctl read $MNT/f $((3 * bs)) 100)"
	[ "$(kvtctl load $MNT/f $((3 * bs)))" = 7 ] || fail "a bad sector does not raise SIGBUS"
	[ "$(kvtctl store $MNT/f $((3 * bs)))" = 7 ] || fail "a store over a bad sector does not raise SIGBUS"
	[ "$(kvtctl write $MNT/f $((3 * bs + 10)) 100)" = EIO ] || fail "part of a bad block was written"
	[ "$(counter io_errors)" -gt "$e" ] || fail "io_errors"
	[ $((0x$(kvtctl loc $MNT/f 3 | sed 's/.*0x//') & 8)) = 8 ] || fail "no KVLIFT_LOC_ERROR: $(kvtctl loc $MNT/f 3)"
	kvtctl check $MNT/f 1 $((3 * bs)) || fail "the blocks before"
	kvtctl check $MNT/f 1 $((4 * bs)) $((4 * bs)) || fail "the blocks behind"
	# It can again, and is asked again after a second: nothing was lost.
	echo "-$((at / 512 + 5))-$((at / 512 + 5))" >$N/badblocks
	sleep 1.5
	kvtctl check $MNT/f 1 $((8 * bs)) || fail "after the sector came back"
	[ $((0x$(kvtctl loc $MNT/f 3 | sed 's/.*0x//') & 8)) = 0 ] || fail "KVLIFT_LOC_ERROR stays"
	kvtctl move $MNT/f nvme || fail "demote again"

	# The device can't write: everything stays in memory and is right.
	kvtctl fill $MNT/f 2 $((8 * bs)) || fail "rewrite"
	e=$(counter io_errors)
	echo "+0-131071" >$N/badblocks
	kvtctl demote $MNT/f >/dev/null
	until_true 10 eval "[ \"\$(counter io_errors)\" -gt $e ]" || fail "io_errors does not grow on writes"
	kvtctl check $MNT/f 2 $((8 * bs)) || fail "wrong data when the device can't write"
	echo "-0-131071" >$N/badblocks
	kvtctl move $MNT/f nvme || fail "demote after the device came back"
	kvtctl check $MNT/f 2 $((8 * bs)) || fail "data after the device came back"

	# Somebody writes to the device behind our back.
	kvtctl move $MNT/f nvme || fail "demote"
	slot=$(kvtctl loc $MNT/f 5 | cut -d' ' -f3)
	at=$((data + slot * bs))
	if printf '\125' | dd of=$dev bs=1 seek=$((at + bs / 2)) conv=notrunc,fsync status=none 2>"$TMP/dd"; then
		c=$(counter csum_errors)
		[ "$(kvtctl read $MNT/f $((5 * bs)) $bs)" = EIO ] || fail "a changed block reads $(kvtctl read $MNT/f $((5 * bs)) $bs)"
		[ "$(counter csum_errors)" -gt "$c" ] || fail "csum_errors"
		[ "$(kvtctl load $MNT/f $((5 * bs)))" = 7 ] || fail "a changed block does not raise SIGBUS"
		# By prefetch it does not come in either.
		kvtctl prefetch $MNT/f 5 1 >/dev/null
		sleep 0.3
		[ "$(kvtctl read $MNT/f $((5 * bs)) 1)" = EIO ] || fail "prefetch let a changed block in"
		kvtctl check $MNT/f 2 $((5 * bs)) || fail "the blocks before"
		kvtctl check $MNT/f 2 $((2 * bs)) $((6 * bs)) || fail "the blocks behind"
		# Written anew as a whole it is good again.
		[ "$(kvtctl write $MNT/f $((5 * bs)) $bs 3)" = ok ] || fail "overwriting a bad block: $(kvtctl write $MNT/f $((5 * bs)) $bs 3)"
		kvtctl check $MNT/f 3 $bs $((5 * bs)) || fail "after overwriting"
		kvtctl move $MNT/f nvme || fail "demote after overwriting"
		kvtctl check $MNT/f 3 $bs $((5 * bs)) || fail "after overwriting and demotion"
		# A bad block can be punched and deleted.
		kvtctl move $MNT/f nvme || fail "demote"
		slot=$(kvtctl loc $MNT/f 6 | cut -d' ' -f3)
		printf '\125\252' | dd of=$dev bs=1 seek=$((data + slot * bs + 9)) conv=notrunc,fsync status=none
		[ "$(kvtctl read $MNT/f $((6 * bs)) 10)" = EIO ] || fail "block 6"
		fallocate -p -o $((6 * bs)) -l $bs $MNT/f || fail "punch of a bad block"
		cmp -n $bs -i $((6 * bs)):0 $MNT/f /dev/zero || fail "a punched bad block is not zero"
	else
		say "the device can't be written while in use: $(cat "$TMP/dd")"
	fi
	rm $MNT/f
	expect_used 0
	umount_pool
done

# The bulk of a replay with errors now and then: EIO is allowed, wrong bytes are not.
mkpool 64K 1M - 32M
kvtctl fill $MNT/f 4 $((8 << 20)) || fail "fill"
for i in 1 2 3 4 5 6; do
	echo "+$((8192 + i * 3000))-$((8192 + i * 3000 + 100))" >$N/badblocks
done
io=0
for i in $(seq 0 127); do
	case $(kvtctl read $MNT/f $((i << 16)) 65536) in
	EIO) io=$((io + 1)) ;;
	ok) kvtctl check $MNT/f 4 65536 $((i << 16)) 2>"$TMP/err" || grep -q 'Input/output' "$TMP/err" || fail "wrong bytes in block $i: $(cat "$TMP/err")" ;;
	*) fail "block $i" ;;
	esac
done
say "$io of 128 blocks gave EIO"
echo "-0-131071" >$N/badblocks
sleep 1.5
kvtctl check $MNT/f 4 $((8 << 20)) || fail "after the device came back"
check_clean
