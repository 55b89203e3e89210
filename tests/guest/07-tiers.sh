#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Data four times as large as the memory lives in all three tiers; clean blocks go down without I/O.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug kcsan
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load

tier_of() { kvtctl tiers "$1" | awk -v t="$2" '{ for (i = 1; i < NF; i++) if ($i == t) print $(i + 1) }'; }

sizes="64K 2M"
! short || sizes=64K
for b in $sizes; do
	case $b in
	64K) d=2 c=4 n=64 data=24 ;;
	2M) d=16 c=16 n=256 data=128 ;;
	esac
	mkpool $b ${d}M ${c}M ${n}M
	run loctable $MNT
	expect_used 0
	kvtctl fill $MNT/big 5 $((data << 20)) || fail "fill"
	kvtctl tiers $MNT/big
	for t in dram cxl nvme; do
		[ "$(tier_of $MNT/big $t)" -gt 0 ] || fail "nothing in $t at block $b"
	done
	[ "$(tier_of $MNT/big holes)" = 0 ] || fail "holes"
	kvtctl check $MNT/big 5 $((data << 20)) || fail "check at block $b"
	# Nothing exceeds its budget.
	for m in /sys/fs/kvlift/"$(pool)"/{dram,cxl,nvme}/*; do
		[ "$(cat "$m/used")" -le "$(cat "$m/got")" ] || fail "$m: $(cat "$m/used") of $(cat "$m/got")"
		[ "$(cat "$m/got")" -le "$(cat "$m/asked")" ] || fail "$m has more than it asked for"
	done
	[ "$(used)" = "$(($(tier_of $MNT/big dram) + $(tier_of $MNT/big cxl) + $(tier_of $MNT/big nvme)))" ] ||
		fail "used $(used), $(kvtctl tiers $MNT/big)"
	rm $MNT/big
	expect_used 0

	# A clean block that came up keeps its copy below: down again is free.
	kvtctl fill $MNT/clean 6 $((d << 19)) || fail "fill"
	kvtctl move $MNT/clean nvme 30000 || fail "demote"
	w=$(counter write_bytes)
	[ "$w" -gt 0 ] || fail "write_bytes"
	[ "$(tier_of $MNT/clean nvme)" -gt 0 ] || fail "not in nvme"
	# Read-only: a 2M block mapped writable counts as dirty.
	kvtctl move $MNT/clean dram 30000 || fail "promote"
	kvtctl check $MNT/clean 6 $((d << 19)) || fail "check after promotion"
	[ "$(member_sum shadows)" -gt 0 ] || fail "no shadows"
	no=$(counter demote_noio)
	w=$(counter write_bytes)
	kvtctl move $MNT/clean nvme 30000 || fail "demote again"
	[ "$(counter demote_noio)" -gt "$no" ] || fail "demote_noio did not grow"
	[ "$(counter write_bytes)" = "$w" ] || fail "clean blocks were written: $(($(counter write_bytes) - w)) bytes"
	kvtctl check $MNT/clean 6 $((d << 19)) || fail "check after free demotion"
	# Written once more, the copy is stale and must not be believed.
	kvtctl move $MNT/clean dram 30000 || fail "promote"
	kvtctl fill $MNT/clean 7 $((d << 19)) || fail "rewrite"
	kvtctl move $MNT/clean nvme 30000 || fail "demote dirty"
	kvtctl check $MNT/clean 7 $((d << 19)) || fail "an old copy came back"
	# A fault on the device brings the block up.
	kvtctl move $MNT/clean nvme 30000 || fail "demote"
	p=$(counter promote)
	kvtctl check $MNT/clean 7 $((d << 19)) || fail "check by fault"
	[ "$(counter promote)" -gt "$p" ] || fail "no promotion by fault"
	rm $MNT/clean
	expect_used 0
	[ "$(member_sum shadows)" = 0 ] || fail "shadows of nothing"
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
	umount_pool

	# A device that is full but for shadows: these are given up, the data is not.
	case $b in
	64K) mkpool $b 2M 2M 4M && fill=$((110 << 16)) ;;
	2M) mkpool $b 16M 16M 32M && fill=$((26 << 21)) ;;
	esac
	kvtctl fill $MNT/full 8 $fill || fail "fill to capacity"
	for _ in 1 2 3; do kvtctl check $MNT/full 8 $fill || fail "check when full"; done
	[ "$(counter shadow_dropped)" -gt 0 ] || fail "no shadow was given up"
	rm $MNT/full
	expect_used 0
	[ "$(member_sum shadows)" = 0 ] || fail "shadows of nothing"
	umount_pool
done
check_clean
