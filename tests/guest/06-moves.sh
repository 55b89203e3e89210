#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# No write is lost while blocks move through three tiers; without the dirty check some are.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug kcsan
# time: 120
# long: 1800
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
t=8
[ -z "$KVLIFT_FULL" ] || t=60
sizes="64K 16K 256K 2M"
! short || t=4 sizes="64K 2M"
for b in $sizes; do
	case $b in
	2M) mkpool $b 64M 64M 256M && n=12 ;;
	256K) mkpool $b 16M 16M 64M && n=16 ;;
	*) mkpool $b 8M 8M 64M && n=24 ;;
	esac
	# On a slow machine one round may not take a block all the way down.
	for seed in 7 17 27; do
		run moves $MNT -n $n -t $t -s $seed
		[ "$(counter move_dram_cxl)" = 0 ] || [ "$(counter move_cxl_nvme)" = 0 ] || break
	done
	for pair in move_dram_cxl move_cxl_nvme; do
		[ "$(counter $pair)" -gt 0 ] || fail "$pair is 0 at block $b"
	done
	[ "$(counter promote)" -gt 0 ] || fail "no promotion at block $b"
	[ "$(counter csum_errors)" = 0 ] || fail "checksum errors"
	umount_pool
	# More blocks than memory: the reclaimer moves, too.
	[ $b != 64K ] || {
		mkpool $b 1M 1M 64M
		run moves $MNT -n 64 -t $t -s 8
		umount_pool
	}
done
if short; then
	check_clean
	exit 0
fi
rmmod kvlift || fail "rmmod"

# The negative control: the test does see what it looks for.
load unsafe_skip_dirty=1
mkpool 64K 8M 8M 64M
loses moves $MNT -n 8 -t $t -s 7 -x
check_clean
