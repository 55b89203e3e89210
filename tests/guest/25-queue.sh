#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Requests with deadline, priority and completion; leases that keep blocks in place.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug kcsan
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
for b in 64K 2M; do
	case $b in
	64K) mkpool $b 2M 2M 64M ;;
	2M) mkpool $b 64M 64M 256M ;;
	esac
	run queue $MNT
	expect_used 0
	[ "$(counter csum_errors)" = 0 ] || fail "checksum errors"
	umount_pool
done
check_clean
