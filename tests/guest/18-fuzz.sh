#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Random ioctls and random mount options neither crash nor leave anything behind.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 debug
# also: newest
# time: 120
# long: 900
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
t=8
[ -z "$KVLIFT_FULL" ] || t=60
mkpool 64K 2M 2M 16M
run kvfuzz $MNT -t $t -s 1
expect_used 0
umount_pool
mkpool 2M 16M 8M 64M
run kvfuzz $MNT -t $t -s 2
expect_used 0
umount_pool
run optfuzz $MNT -t $t -s 1 -d $KVLIFT_NVME -c $KVLIFT_CXL_NODE
run optfuzz $MNT -t $t -s 2 -d $KVLIFT_NVME -c $KVLIFT_CXL_NODE
check_clean
