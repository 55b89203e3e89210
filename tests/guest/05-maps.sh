#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Mappings: one fault a block, 2M by one PMD, madvise, mremap, fork, pins by io_uring.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2317
none_lost() { [ "$(member_sum lost)" = 0 ]; }
load
for b in 64K 16K 1M 2M; do
	d=16M
	[ $b != 1M ] || d=32M
	[ $b != 2M ] || d=64M
	mkpool $b $d - -
	run maps $MNT
	run pins $MNT
	expect_used 0
	umount_pool
	[ -b "$KVLIFT_NVME" ] && [ -n "$KVLIFT_CXL_NODE" ] || continue
	mkpool $b $d 32M 64M
	[ $b = 16K ] || run maps $MNT
	run pins $MNT "$KVLIFT_NVME"
	expect_used 0
	until_true 10 none_lost || fail "slots are lost"
	umount_pool
done
check_clean
