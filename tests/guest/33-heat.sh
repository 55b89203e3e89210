#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Heat of blocks: rises by touches of every kind and decays; touch rings; accessed bits.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# time: 300
. "$(dirname "$0")/lib.sh"

load
# pool_for BLOCK: with every tier for blocks of 64K.
pool_for() {
	local d=16M c=- n=-
	[ $1 != 2M ] || d=160M
	if [ $1 = 64K ] && [ -b "$KVLIFT_NVME" ] && [ -n "$KVLIFT_CXL_NODE" ]; then c=16M n=32M; fi
	mkpool $1 $d $c $n
}

for b in 64K 2M; do
	pool_for $b
	run heat $MNT values
	run heat $MNT calls
	run heat $MNT ring
	run heat $MNT death
	expect_used 64
	rm -f $MNT/f
	run heat $MNT garbage 3
	expect_used 0
	umount_pool
done

# By the tool.
pool_for 64K
head -c 1M /dev/urandom >$MNT/f
kvlift where --heat --json $MNT/f >"$TMP/where" || fail "kvlift where --heat"
[ "$(json "$TMP/where" '.5 < d["heat"]["dram"] < 1.5 and .5 < d["runs"][0]["hottest"] < 1.5')" = True ] || fail "$(cat "$TMP/where")"
kvlift where --heat $MNT/f | grep -q 'heat 0\.[5-9]\|heat 1\.' || fail "$(kvlift where --heat $MNT/f)"
kvlift status $MNT | grep -q 'heat ring scan' || fail "$(kvlift status $MNT)"
umount_pool

# Accessed bits, by page table entries and by PMDs.
for b in 16K 64K 1M 2M; do
	mkpool $b 160M - -
	grep -q '^on: 1 percent' /sys/fs/kvlift/"$(pool)"/scan || fail "scan: $(cat /sys/fs/kvlift/"$(pool)"/scan)"
	run scan $MNT found
	[ $b != 64K ] && [ $b != 2M ] || run scan $MNT worker
	expect_used 0
	umount_pool
done
pool_for 64K
run scan $MNT chaos 4
# Who was scanned and is gone is not looked at for ever.
forgotten() { grep -q 'processes 0$' /sys/fs/kvlift/"$(pool)"/scan; }
until_true 20 forgotten || fail "scan: $(cat /sys/fs/kvlift/"$(pool)"/scan)"

# Nor many of them, though the next round is seconds away.
run scan $MNT ended 400
left=$(sed 's/.*processes //' /sys/fs/kvlift/"$(pool)"/scan)
say "$left of 400 processes that have ended are remembered"
[ "$left" -le 128 ] || fail "$left of 400 processes that have ended are remembered"
umount_pool

# Who has mapped a file before the scan was allowed is looked at then.
mkpool 64K 16M - - scan=0
mkfifo "$TMP/in" "$TMP/out"
scan $MNT hold 4 1 <"$TMP/in" >"$TMP/out" &
exec 7>"$TMP/in" 8<"$TMP/out"
read -r _ <&8
[ "$(counter scan_blocks)" = 0 ] || fail "scan=0 scans"
mount -o remount,scan=10 $MNT || fail "remount"
# shellcheck disable=SC2317
scanned() { [ "$(counter scan_blocks)" -ge 64 ]; }
until_true 20 scanned || fail "a mapping from before scan=10 is not looked at"
echo >&7
exec 7>&- 8<&-
wait
rm "$TMP/in" "$TMP/out"
umount_pool

# Its share of a CPU: small pages of tables that take longer than 10 ms.
mkpool 16K 256M - - scan=1
mkfifo "$TMP/in" "$TMP/out"
scan $MNT hold 200 12 <"$TMP/in" >"$TMP/out" &
exec 7>"$TMP/in" 8<"$TMP/out"
read -r _ <&8
share() {
	local ns t rounds
	mount -o remount,scan=$1 $MNT || fail "remount scan=$1"
	sleep 1
	ns=$(counter scan_ns) t=$(date +%s%N) rounds=$(counter scans)
	sleep 12
	ns=$(($(counter scan_ns) - ns)) t=$(($(date +%s%N) - t)) rounds=$(($(counter scans) - rounds))
	part=$((ns * 10000 / t))
	say "scan=$1: $((part / 100)).$(printf %02d $((part % 100))) percent of a CPU, $rounds rounds"
}
share 1
[ $part -le 130 ] || fail "scan=1 took $part of 10000"
share 0
[ $part = 0 ] || fail "scan=0 took $part of 10000"
grep -q '^off' /sys/fs/kvlift/"$(pool)"/scan || fail "scan=0 is not off"
grep -q 'scan=0' /proc/mounts || fail "scan=0 is not shown"
share 50
[ $part -gt 130 ] || fail "scan=50 took only $part of 10000: the test shows nothing"
echo >&7
exec 7>&- 8<&-
wait
expect_used 0
check_clean
