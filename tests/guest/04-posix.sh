#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Files and directories behave as POSIX and Linux say, with DRAM only and with all tiers.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
. "$(dirname "$0")/lib.sh"

load
for b in 64K 16K 2M; do
	case $b in
	2M) d=24M c=16M n=32M ;;
	*) d=8M c=4M n=16M ;;
	esac
	mkpool $b $d - -
	run fsops $MNT
	run fsdata $MNT
	expect_used 0
	umount_pool
	[ -b "$KVLIFT_NVME" ] && [ -n "$KVLIFT_CXL_NODE" ] || continue
	mkpool $b $d $c $n
	[ $b != 64K ] || run fsops $MNT
	run fsdata $MNT
	expect_used 0
	umount_pool
done
check_clean
