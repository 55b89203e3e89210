#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Mappings: one fault a block, 2M by one PMD, madvise, mremap, fork, pins by io_uring.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2317
none_lost() { [ "$(member_sum lost)" = 0 ]; }
load
# From 6.16 on 2M come without a page table that nobody needs.
TR=/sys/kernel/tracing
probe=
if [ "$KVLIFT_KERNEL" = newest ]; then
	[ -d $TR/events ] || mount -t tracefs t $TR
	echo 'p:kvt/huge vmf_insert_folio_pmd' >$TR/kprobe_events && echo 1 >$TR/events/kvt/huge/enable || fail "kprobe"
	probe=1
fi
huge() { grep -c 'huge: ' $TR/trace || true; }
for b in 64K 16K 1M 2M; do
	d=16M
	[ $b != 1M ] || d=32M
	[ $b != 2M ] || d=64M
	mkpool $b $d - -
	[ -z "$probe" ] || echo >$TR/trace
	run maps $MNT
	case $probe$b in
	12M) [ "$(huge)" -ge 4 ] || fail "$(huge) calls of vmf_insert_folio_pmd" ;;
	1*) [ "$(huge)" = 0 ] || fail "$(huge) calls of vmf_insert_folio_pmd with blocks of $b" ;;
	esac
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
if [ -n "$probe" ]; then
	# Where the administrator does not want it, by the way of 6.12.
	thp=/sys/kernel/mm/transparent_hugepage/enabled
	was=$(sed 's/.*\[\(.*\)\].*/\1/' $thp)
	echo never >$thp
	echo >$TR/trace
	mkpool 2M 64M - -
	run maps $MNT
	expect_used 0
	umount_pool
	[ "$(huge)" = 0 ] || fail "$(huge) calls of vmf_insert_folio_pmd without THP"
	echo "$was" >$thp
	echo 0 >$TR/events/kvt/huge/enable
	echo '-:kvt/huge' >>$TR/kprobe_events
fi
check_clean
