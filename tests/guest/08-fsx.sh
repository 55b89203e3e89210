#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Random operations on a file ten times as large as DRAM against a model, several seeds and block sizes.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
# In full: 10^5 operations a seed; else as many as fit into the time.
n=100000 t=12 seeds="1 2"
[ -z "$KVLIFT_FULL" ] || { t=3600 seeds="1 2 3 4 5"; }
export TMPDIR=$TMP
for b in 64K 16K 2M; do
	case $b in
	16K) mkpool $b 256K 512K 64M && len=$((2560 << 10)) ;;
	64K) mkpool $b 1M 1M 64M && len=$((10 << 20)) ;;
	2M) mkpool $b 16M 16M 256M && len=$((48 << 20)) && t=$((t / 2)) ;;
	esac
	for s in $seeds; do
		run fsx $MNT/fsx -N $n -t $t -s "$s" -l $len
		[ $b != 2M ] || [ -n "$KVLIFT_FULL" ] || break
	done
	say "block $b: demote $(counter demote) promote $(counter promote) noio $(counter demote_noio)"
	expect_used 0
	umount_pool
done
check_clean
