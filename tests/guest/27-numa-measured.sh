#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Four nodes of which the firmware says nothing: the order of members follows what was measured.
# guest: --devices numa4 --memory 1G --cxl-size 256M --append numa=nohmat
# kernels: 6.12
# time: 120
. "$(dirname "$0")/lib.sh"

[ -d /sys/devices/system/node/node3 ] || skip "not four nodes"
load
member() { cat "/sys/fs/kvlift/$(pool)/$1"; }
# shellcheck disable=SC2317
sources() { [ "$(cat /sys/fs/kvlift/"$(pool)"/{dram,cxl}/*/distance_source | sort -u)" = "$1" ]; }
# shellcheck disable=SC2317
all_free() { [ "$(member $1/free)" = "$(member $1/got)" ]; }
order() { sed -n "s/^$1 $2: //p" "/sys/fs/kvlift/$(pool)/order"; }
# It is measured in rounds, and between two of them all of this holds: the scale's
# zero is the fastest DRAM; by speed if that differs by more than half, else by
# nearness.
# shellcheck disable=SC2317
ordered() {
	local a b near0='0 1' near1='1 0'
	a=$(member dram/0/distance) b=$(member dram/1/distance)
	[ "$((a < b ? a : b))" = 576 ] || return 1
	a=$(member cxl/0/distance) b=$(member cxl/1/distance)
	[ $((2 * b)) -le $((3 * a)) ] || near1=$near0
	[ $((2 * a)) -le $((3 * b)) ] || near0=$near1
	[ "$(order cxl 0)" = "$near0" ] && [ "$(order cxl 1)" = "$near1" ]
}

for b in 64K 2M; do
	mkpool $b - - - dram=32M@0,dram=32M@1,cxl=32M@2,cxl=32M@3
	until_true 30 sources measured || fail "not measured: $(cat /sys/fs/kvlift/"$(pool)"/{dram,cxl}/*/distance_source)"
	for m in dram/0 dram/1 cxl/0 cxl/1; do
		say "$b $m: $(member $m/bandwidth) MiB/s, $(member $m/latency) ns, distance $(member $m/distance)"
		[ "$(member $m/bandwidth)" -gt 0 ] && [ "$(member $m/latency)" -gt 0 ] || fail "no figures"
		# Another round may be at it.
		until_true 10 all_free $m || fail "$m: slots are missing"
	done
	until_true 10 ordered || fail "dram $(member dram/0/distance) $(member dram/1/distance)," \
		"cxl $(member cxl/0/distance) $(member cxl/1/distance), order: $(order cxl 0), $(order cxl 1)"
	umount_pool
done

# The mount has the last word.
mkpool 64K - - - dram=8M@0,cxl=8M@2:5000,cxl=8M@3:2000
until_true 30 eval '[ "$(member cxl/0/bandwidth)" -gt 0 ]' || fail "not measured"
[ "$(member cxl/0/distance) $(member cxl/0/distance_source)" = "5000 mount" ] || fail "$(member cxl/0/distance)"
[ "$(order cxl 0)" = "1 0" ] || fail "order: $(order cxl 0)"
# An unmount in the middle of it.
umount_pool
for _ in 1 2 3 4 5 6 7 8; do
	mount -t kvlift -o block=2M,dram=64M@0,cxl=64M@2 none $MNT || fail "mount"
	umount_pool
done
check_clean
