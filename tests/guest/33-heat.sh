#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Heat of blocks: rises by touches of every kind and decays; touch rings; accessed bits.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
# time: 180
. "$(dirname "$0")/lib.sh"

load
for b in 64K 2M; do
	d=16M c=- n=-
	[ $b != 2M ] || d=160M
	if [ $b = 64K ] && [ -b "$KVLIFT_NVME" ] && [ -n "$KVLIFT_CXL_NODE" ]; then c=16M n=32M; fi
	mkpool $b $d $c $n
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
check_clean
