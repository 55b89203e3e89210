#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Four nodes: placement near the CPU, interleaving, the order of demotion, measured figures, workers and their CPU share.
# guest: --devices numa4,nvme --memory 1G --cxl-size 256M
# kernels: 6.12 debug
# also: newest
# time: 240
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd taskset
[ -d /sys/devices/system/node/node3 ] || skip "not four nodes"
load

member() { cat "/sys/fs/kvlift/$(pool)/$1"; }
# members_use TIER USED...: blocks on each member
members_use() {
	local t=$1 i=0 n
	shift
	for n; do
		[ "$(member "$t/$i/used")" = "$n" ] || return 1
		i=$((i + 1))
	done
}
expect_use() {
	members_use "$@" || fail "blocks in $1: $(cat /sys/fs/kvlift/"$(pool)"/"$1"/*/used | tr '\n' ' '), not ${*:2}"
}
# shellcheck disable=SC2317
measured() {
	local m
	for m in /sys/fs/kvlift/"$(pool)"/{dram,cxl}/*/; do
		[ -e "$m" ] || continue
		[ "$(cat "$m/bandwidth")" -gt 0 ] && [ "$(cat "$m/latency")" -gt 0 ] || return 1
	done
}
# put CPU FILE SEED MIB: written by that CPU, and checked
put() {
	taskset -c "$1" kvtctl fill "$MNT/$2" "$3" $(($4 << 20)) || fail "fill $2"
	kvtctl check "$MNT/$2" "$3" $(($4 << 20)) || fail "check $2"
}
# within PERCENT VALUE OF
within() { [ $((100 * $2)) -ge $(((100 - $1) * $3)) ] && [ $((100 * $2)) -le $(((100 + $1) * $3)) ]; }
order() { sed -n "s/^$1 $2: //p" "/sys/fs/kvlift/$(pool)/order"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
MNT_MEM=dram=16M@0,dram=16M@1

# Near the CPU that touches, by write(2) and by a fault; then to the next node.
mkpool 64K - - - $MNT_MEM
until_true 30 measured || fail "not measured"
put 0 a 1 4
expect_use dram 64 0
put 1 b 2 4
expect_use dram 64 64
for c in 0 1; do
	truncate -s 64K $MNT/fault$c
	[ "$(taskset -c $c kvtctl store $MNT/fault$c 0)" = 0 ] || fail "store on CPU $c"
done
expect_use dram 65 65
put 0 c 3 14
expect_use dram 256 98
kvtctl check $MNT/a 1 $((4 << 20)) && kvtctl check $MNT/b 2 $((4 << 20)) || fail "check"
umount_pool

# Prefetch brings blocks near to who asked, not near to the worker.
mkpool 64K 16M@0 - 32M dram=16M@1
for c in 0 1; do
	put $c p 14 4
	kvtctl move $MNT/p nvme 30000 || fail "demote p"
	taskset -c $c kvtctl move $MNT/p dram 30000 || fail "prefetch p"
	[ "$(member dram/$c/used)" = 64 ] || fail "prefetched on CPU $c: $(member dram/0/used) and $(member dram/1/used)"
	rm $MNT/p
	expect_used 0
done
umount_pool
mkpool 64K - - - $MNT_MEM

# In turns; off again as well.
mount -o remount,interleave $MNT || fail "remount"
grep -q ',interleave' /proc/mounts || fail "/proc/mounts: $(grep kvlift /proc/mounts)"
put 0 a 4 16
within 10 "$(member dram/0/used)" 128 || fail "interleaved: $(member dram/0/used) and $(member dram/1/used)"
rm $MNT/a
expect_used 0
mount -o remount,nointerleave $MNT || fail "remount"
put 1 a 4 8
expect_use dram 0 128
umount_pool

# By slots; when one is full the other goes on; 2M blocks.
mkpool 2M - - - dram=32M@0,dram=96M@1,interleave
put 0 a 5 64
within 10 "$(member dram/0/used)" 8 || fail "by slots: $(member dram/0/used) and $(member dram/1/used)"
put 1 b 6 60
kvtctl check $MNT/a 5 $((64 << 20)) || fail "check"
umount_pool

# Demotion to where the firmware says that it is nearer, wherever the block was.
mkpool 64K - - - $MNT_MEM,cxl=8M@2,cxl=8M@3
[ "$(member cxl/0/distance_source)" = firmware ] || fail "source: $(member cxl/0/distance_source)"
[ "$(member cxl/0/distance)" -lt "$(member cxl/1/distance)" ] || fail "distances"
put 0 a 7 4
put 1 b 8 3
kvtctl move $MNT/b cxl 30000 || fail "demote b"
expect_use cxl 48 0
kvtctl move $MNT/a cxl 30000 || fail "demote a"
[ "$(member cxl/0/used)" -ge 108 ] || fail "cxl: $(member cxl/0/used) and $(member cxl/1/used)"
kvtctl check $MNT/a 7 $((4 << 20)) && kvtctl check $MNT/b 8 $((3 << 20)) || fail "check"
# The mount knows better, at any time.
rm $MNT/[ab]
expect_used 0
mount -o remount,cxl=8M@2:3000,cxl=8M@3:1000 $MNT || fail "remount"
[ "$(order cxl 0)" = "1 0" ] || fail "order: $(order cxl 0)"
grep -q 'cxl=8M@2:3000' /proc/mounts || fail "/proc/mounts: $(grep kvlift /proc/mounts)"
put 0 a 7 4
kvtctl move $MNT/a cxl 30000 || fail "demote a"
expect_use cxl 0 64
# And leaves it to the firmware again.
mount -o remount,cxl=8M@2:0,cxl=8M@3:0 $MNT || fail "remount"
[ "$(order cxl 0)" = "0 1" ] || fail "order: $(order cxl 0)"
[ "$(member cxl/0/distance_source)" = firmware ] || fail "source: $(member cxl/0/distance_source)"
umount_pool

# Without a node a budget is for all nodes, at the mount and later, as from fstab.
mkpool 64K - - - dram=16M
[ "$(member dram/0/asked) $(member dram/1/asked)" = "128 128" ] || fail "shares: $(member dram/0/asked) $(member dram/1/asked)"
put 0 a 13 8
mount -o remount,dram=16M,low=4 $MNT || fail "the same budget again"
[ "$(member dram/0/asked) $(member dram/1/asked)" = "128 128" ] || fail "shares: $(member dram/0/asked) $(member dram/1/asked)"
mount -o remount,dram=24M $MNT || fail "remount"
[ "$(member dram/0/asked) $(member dram/1/asked)" = "192 192" ] || fail "shares: $(member dram/0/asked) $(member dram/1/asked)"
# The last that is said of a member counts.
mount -o remount,dram=24M,dram=16M@1 $MNT || fail "remount"
[ "$(member dram/0/asked) $(member dram/1/asked)" = "192 256" ] || fail "shares: $(member dram/0/asked) $(member dram/1/asked)"
kvtctl check $MNT/a 13 $((8 << 20)) || fail "check"
umount_pool
# Those that were named are not meant.
mkpool 64K - - - dram=4M@2,dram=16M
mount -o remount,dram=4M@2,dram=16M,low=4 $MNT || fail "the same budgets again"
[ "$(member dram/0/asked) $(member dram/1/asked) $(member dram/2/asked)" = "64 128 128" ] || fail "shares: $(cat /sys/fs/kvlift/"$(pool)"/dram/*/asked | tr '\n' ' ')"
umount_pool
mkpool 64K - - - $MNT_MEM
mount -o remount,dram=16M $MNT 2>/dev/null && fail "a budget for two named nodes"
umount_pool

# Equal ones: each block to the node next to where it was.
mkpool 64K - - - $MNT_MEM,cxl=16M@2:1100,cxl=16M@3:1200
[ "$(member cxl/1/distance_source)" = mount ] || fail "source: $(member cxl/1/distance_source)"
put 0 a 9 4
put 1 b 10 3
kvtctl move $MNT/a cxl 30000 || fail "demote a"
expect_use cxl 64 0
kvtctl move $MNT/b cxl 30000 || fail "demote b"
expect_use cxl 64 48
kvtctl check $MNT/a 9 $((4 << 20)) && kvtctl check $MNT/b 10 $((3 << 20)) || fail "check"
# Equal ones in turns.
rm $MNT/[ab]
expect_used 0
mount -o remount,interleave $MNT || fail "remount"
taskset -c 1 kvtctl fill $MNT/c 11 $((6 << 20)) || fail "fill c"
kvtctl move $MNT/c cxl 30000 || fail "demote c"
within 10 "$(member cxl/0/used)" 48 || fail "demoted in turns: $(member cxl/0/used) and $(member cxl/1/used)"
kvtctl check $MNT/c 11 $((6 << 20)) || fail "check c"
until_true 30 measured || fail "not measured"
kvlift status $MNT | grep -q 'MiB/s' || fail "status: $(kvlift status $MNT)"
umount_pool

# A tier of one is not measured; a mix-up of nodes is reported, once.
mkpool 64K - - - dram=16M@0
[ "$(member dram/0/bandwidth)" = 0 ] || fail "measured for nothing"
umount_pool
dmesg -C
mkpool 64K - - - dram=8M@3,cxl=8M@0
mount -o remount,cxl=16M@0 $MNT || fail "remount"
[ "$(dmesg | grep -c 'mixed up')" = 1 ] || fail "mix-up: $(dmesg | grep 'mixed up')"
umount_pool
dmesg -C
mkpool 64K - - - dram=8M@0,cxl=8M@3
until_true 30 measured || fail "not measured"
! dmesg | grep 'mixed up' || fail "a mix-up that is none"
umount_pool

# What reclaim moves is copied by a CPU of its node.
TR=/sys/kernel/tracing
[ -d $TR/events ] || mount -t tracefs t $TR
mkpool 64K - - - dram=16M@0,dram=16M@1,cxl=64M@2
for wq in kvlift-$(pool) kvlift-share-$(pool); do
	wq=/sys/devices/virtual/workqueue/$wq
	[ -e "$wq/cpumask" ] || fail "no $wq"
	echo 1 >"$wq/affinity_strict" || fail "affinity_strict"
done
echo 1 >$TR/events/kvlift/kvlift_move/enable
echo >$TR/trace
for i in 1 2 3; do
	put 0 a$i $i 8
	put 1 b$i $i 8
done
echo 0 >$TR/events/kvlift/kvlift_move/enable
for i in 1 2 3; do
	kvtctl check $MNT/a$i $i $((8 << 20)) && kvtctl check $MNT/b$i $i $((8 << 20)) || fail "check $i"
done
grep -o '\[00[01]\].*from=dram:[01].*why=reclaim.* err=0' $TR/trace |
	sed 's/^\[00\([01]\)\].*from=dram:\([01]\):.*/\1 \2/' | sort | uniq -c >"$TMP/where"
say "moves by CPU and member: $(tr -s '\n ' ' ' <"$TMP/where")"
for c in 0 1; do
	[ "$(awk -v c=$c '$2 == c && $3 == c { print $1 }' "$TMP/where")" -gt 30 ] || fail "no moves of node $c on its CPU"
done
[ -z "$(awk '$2 != $3' "$TMP/where")" ] || fail "copies on the wrong node: $(cat "$TMP/where")"
[ "$(counter dram_copy_ns)" -gt 0 ] || fail "no CPU time counted"
umount_pool

# busy CPU%: the share of a CPU that reclaim uses while nobody waits.
# shellcheck disable=SC2317
freed() { [ "$(member dram/0/free)" -ge $((4 * SIZE)) ]; }
SIZE=192
[ "$KVLIFT_KERNEL" != debug ] || SIZE=64
busy() {
	local t w
	mkpool 64K - - - dram=${SIZE}M@0,cxl=96M@2,low=1,high=1,cpu="$1"
	put 0 a 11 $((SIZE - 2))
	w=$(counter dram_worker_ns) t=$(now_ms)
	mount -o remount,low=40,high=40 $MNT || fail "remount"
	put 0 b 12 1
	until_true 100 freed || fail "cpu=$1: only $(member dram/0/free) slots free"
	t=$(($(now_ms) - t)) w=$((($(counter dram_worker_ns) - w) / 1000000))
	share=$((100 * w / t))
	say "cpu=$1: $w ms of $t ms, $share %; rests of $(($(counter dram_rest_ns) / 1000000)) ms"
	[ "$(counter dram_urgent_ns)" -lt $((w * 100000)) ] || fail "urgent: $(counter dram_urgent_ns) ns"
	kvtctl check $MNT/a 11 $(((SIZE - 2) << 20)) || fail "check"
	umount_pool
}
busy 10
[ $share -le 11 ] || fail "cpu=10, but $share % were used"
busy 100
[ $share -gt 15 ] || fail "cpu=100, but only $share % were used: the test shows nothing"

# Whoever waits for a slot does not feel it.
for c in 100 1; do
	mkpool 64K 4M - 96M cpu=$c
	t=$(now_ms)
	put 0 a 13 48
	t=$(($(now_ms) - t))
	say "cpu=$c: 48 MiB through 4 MiB in $t ms, urgent $(($(counter dram_urgent_ns) / 1000000)) of $(($(counter dram_worker_ns) / 1000000)) ms"
	[ $c != 100 ] || free=$t
	umount_pool
done
[ $t -lt $((4 * free + 1000)) ] || fail "$t ms with cpu=1, $free ms without"

for o in cpu=0 cpu=101 dram=1M@0:0 dram=1M@0:9999999 dram=1M@0:x; do
	mount -t kvlift -o "dram=8M@0,$o" none $MNT 2>/dev/null && fail "$o was accepted"
done
check_clean
