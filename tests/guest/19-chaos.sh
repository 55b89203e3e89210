#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Everything at once: forks, remaps, pins, punches, truncations, deletions, moves and remounts.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
# shellcheck disable=SC2317
none_lost() { [ "$(member_sum lost)" = 0 ]; }
t=10
[ -z "$KVLIFT_FULL" ] || t=120
for b in 64K 2M 16K; do
	case $b in
	2M) d=48M D=32M c=32M n=128M k=8 ;;
	*) d=3M D=2M c=2M n=64M k=16 ;;
	esac
	mkpool $b $d $c $n
	run chaos $MNT -t $t -s 1 -n $k -r "dram=$d:dram=$D"
	expect_used 0
	until_true 10 none_lost || fail "slots stay lost: $(member_sum lost)"
	umount_pool
done
rmmod kvlift || fail "rmmod"
load unsafe_skip_dirty=1
mkpool 64K 3M 2M 64M
loses chaos $MNT -t $t -s 1 -x
check_clean
