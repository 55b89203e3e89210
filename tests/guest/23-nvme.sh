#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two NVMe devices: striped, merged, bounded, discarded; a device that goes takes only what it held.
# guest: --devices nvme2 --memory 2G
# kernels: 6.12 newest debug
# time: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

need_nvme
need_nullb
: "${KVLIFT_NVME2:=}"
[ -b "$KVLIFT_NVME2" ] || skip "no second NVMe device"
load
A=$KVLIFT_NVME B=$KVLIFT_NVME2

# Blocks go to both devices, neighbours side by side, and their I/O merges.
mkpair 24M $A:64M $B:64M depth=16
grep -q 'depth=16' /proc/mounts || fail "depth is not shown"
for d in $A $B; do echo "$(stat_of $d 2) $(stat_of $d 6)"; done >"$TMP/merges"
kvtctl fill $MNT/f 1 $((16 << 20)) || fail "fill"
down $MNT/f
a=$(in_member $MNT/f 0) b=$(in_member $MNT/f 1) r=$(runs $MNT/f)
say "blocks on the devices: $a $b, $r of 256 beside their neighbour"
[ "$a" -ge 96 ] && [ "$b" -ge 96 ] || fail "not striped: $a $b"
[ "$r" -ge 200 ] || fail "only $r neighbours of 256"
up $MNT/f
kvtctl check $MNT/f 1 $((16 << 20)) || fail "check"
{ read -r r0 w0 && read -r r1 w1; } <"$TMP/merges"
say "merges: read $(($(stat_of $A 2) - r0)) $(($(stat_of $B 2) - r1)), written $(($(stat_of $A 6) - w0)) $(($(stat_of $B 6) - w1))"
[ "$(stat_of $A 2)" -gt $((r0 + 20)) ] && [ "$(stat_of $B 2)" -gt $((r1 + 20)) ] || fail "reads do not merge"
[ "$(stat_of $A 6)" -gt $((w0 + 20)) ] && [ "$(stat_of $B 6)" -gt $((w1 + 20)) ] || fail "writes do not merge"

# The credit is used, and not exceeded; it can be changed at any time. A slow
# processor may not come to use all of it before the first I/O is done.
for m in 0 1; do
	n=$(member $m inflight_max)
	[ "$n" -le 16 ] && [ "$n" -ge 8 ] || fail "device $m had $n in flight, of a credit of 16"
	[ "$(member $m inflight)" = 0 ] || fail "device $m still has $(member $m inflight) in flight"
done
i=0
while [ $i -lt 6 ]; do
	mount -o remount,depth=$((i % 3 + 1)) $MNT || fail "remount"
	kvtctl demote $MNT/f >/dev/null
	kvtctl check $MNT/f 1 $((16 << 20)) || fail "check at depth $((i % 3 + 1))"
	kvtctl prefetch $MNT/f >/dev/null
	i=$((i + 1))
done
umount_pool

# On a device that is slower than any processor all of it is used.
nullb kva irqmode=2 completion_nsec=500000000
kvlift format --force /dev/kva >/dev/null || fail "format"
mount -t kvlift -o block=64K,dram=8M,nvme=/dev/kva,depth=16,writeback=0 none $MNT || fail "mount"
kvtctl wait $MNT 30000 || fail "the tiers do not fill"
kvtctl fill $MNT/f 1 $((4 << 20)) || fail "fill"
down $MNT/f
[ "$(member 0 inflight_max)" = 16 ] || fail "a slow device had $(member 0 inflight_max) in flight, not 16"
rm $MNT/f
umount_pool
gone

# With depth 1 and nodiscard everything works as well.
mkpair 24M $A:64M $B:64M depth=1,nodiscard
kvtctl fill $MNT/f 2 $((16 << 20)) || fail "fill"
down $MNT/f
up $MNT/f
kvtctl check $MNT/f 2 $((16 << 20)) || fail "check at depth 1"
[ "$(member 0 inflight_max)" = 1 ] && [ "$(member 1 inflight_max)" = 1 ] || fail "more than 1 in flight"
rm $MNT/f
sleep 5
[ "$(counter discard_bytes)" = 0 ] || fail "discarded in spite of nodiscard"
umount_pool

# Devices of different size fill in proportion.
mkpair 24M $A:16M $B:48M
kvtctl fill $MNT/f 3 $((16 << 20)) || fail "fill"
down $MNT/f
a=$(in_member $MNT/f 0) b=$(in_member $MNT/f 1)
say "blocks on devices of 16 and 48 MiB: $a $b"
[ "$a" -ge 32 ] && [ "$a" -le 112 ] || fail "not in proportion: $a $b"
kvtctl fill $MNT/g 4 $((16 << 20)) && down $MNT/g || fail "second file"
kvtctl fill $MNT/h 5 $((16 << 20)) && down $MNT/h || fail "third file"
kvtctl check $MNT/f 3 $((16 << 20)) && kvtctl check $MNT/g 4 $((16 << 20)) && kvtctl check $MNT/h 5 $((16 << 20)) || fail "check"
umount_pool

# A slot that stays free is discarded, one in use is not.
mkpair 24M $A:64M $B:64M
kvtctl fill $MNT/keep 6 $((8 << 20)) && kvtctl fill $MNT/f 7 $((8 << 20)) || fail "fill"
down $MNT/keep
down $MNT/f
d0=$(stat_of $A 12) d1=$(stat_of $B 12)
rm $MNT/f
expect_used 128
# shellcheck disable=SC2317
discarded() { [ "$(counter discard_bytes)" -ge "$1" ]; }
until_true 30 discarded $((8 << 20)) || fail "$(counter discard_bytes) bytes discarded"
[ "$(counter discard_bytes)" = $((8 << 20)) ] || fail "$(counter discard_bytes) bytes discarded, 8 MiB were freed"
[ "$(stat_of $A 12)" -gt "$d0" ] && [ "$(stat_of $B 12)" -gt "$d1" ] || fail "the devices saw no discard"
say "discards: $(($(stat_of $A 12) - d0)) and $(($(stat_of $B 12) - d1)) requests"
kvtctl check $MNT/keep 6 $((8 << 20)) || fail "a block in use was discarded"
# The files are not read at one time.
# shellcheck disable=SC2317
adds_up() { [ $(($(member "$1" free) + $(member "$1" used) + $(member "$1" shadows))) = "$(member "$1" got)" ]; }
# Slots come and go while the worker runs.
end=$((SECONDS + 12)) i=0
while [ $SECONDS -lt $end ]; do
	kvtctl fill $MNT/x$((i % 3)) $i $((4 << 20)) || fail "fill"
	kvtctl demote $MNT/x$((i % 3)) >/dev/null
	kvtctl check $MNT/x$((i % 3)) $i $((4 << 20)) || fail "round $i while discarding"
	[ $((i % 2)) = 0 ] || rm $MNT/x$((i % 3))
	i=$((i + 1))
done
rm -f $MNT/x?
kvtctl check $MNT/keep 6 $((8 << 20)) || fail "a block in use was discarded"
expect_used 128
for m in 0 1; do
	until_true 10 adds_up $m || fail "slots of device $m do not add up"
done
umount_pool

# On a worn device a batch still finds neighbours: 7/8 are in use, every
# eighth slot is free, and behind that 4 MiB in one piece.
kvlift format --force $A >/dev/null
mount -t kvlift -o block=64K,dram=40M,nvme=$A:36M none $MNT || fail "mount"
kvtctl fill $MNT/base 8 $((32 << 20)) && down $MNT/base || fail "fill"
kvtctl fill $MNT/tail 9 $((4 << 20)) && down $MNT/tail || fail "fill"
rm $MNT/tail
for i in $(seq 0 8 511); do fallocate -p -o $((i << 16)) -l 65536 $MNT/base || fail "punch"; done
# The search for a slot is at the device's start now, among the single ones.
kvtctl fill $MNT/new 10 $((3 << 20)) && down $MNT/new || fail "fill"
r=$(runs $MNT/new)
say "on a worn device $r of 48 are beside their neighbour"
[ "$r" -ge 40 ] || fail "a batch is scattered over single slots: $r"
rm $MNT/base $MNT/new
umount_pool

# A device goes while blocks move: what it held is lost, nothing else.
mkpair 8M $A:64M $B:64M
kvtctl fill $MNT/f 15 $((24 << 20)) || fail "fill"
down $MNT/f
(while :; do
	kvtctl prefetch $MNT/f
	kvtctl check $MNT/f 15 $((24 << 20))
	kvtctl demote $MNT/f
done) >/dev/null 2>&1 &
load=$!
sleep 1
echo 1 >"/sys/class/block/${B#/dev/}/device/device/remove" || fail "remove"
sleep 1
kill $load
wait $load 2>/dev/null
good=0 bad=0
kvtctl loc $MNT/f >"$TMP/loc"
i=0
while read -r t m _; do
	if [ $((i % 8)) = 0 ]; then
		case "$t $m $(kvtctl read $MNT/f $((i << 16)) 65536)" in
		"3 1 EIO") bad=$((bad + 1)) ;;
		"3 1 "*) fail "block $i of the device that is gone can be read" ;;
		*" ok") good=$((good + 1)) && kvtctl check $MNT/f 15 65536 $((i << 16)) || fail "block $i" ;;
		*) fail "block $i ($t $m) is lost" ;;
		esac
	fi
	i=$((i + 1))
done <"$TMP/loc"
say "of every eighth block $good are there, $bad were on the device"
[ $good -gt 0 ] && [ $bad -gt 0 ] || fail "$good good, $bad bad: this is no test"
# The pool goes on with what there is.
kvtctl fill $MNT/g 16 $((12 << 20)) || fail "fill after the loss"
kvtctl demote $MNT/g >/dev/null
kvtctl check $MNT/g 16 $((12 << 20)) || fail "check after the loss"
[ "$(in_member $MNT/g 1)" = 0 ] || fail "new blocks on the device that is gone"
rm $MNT/f $MNT/g
expect_used 0
check_clean
