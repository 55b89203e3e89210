#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Keyed objects and batches: what is put is got, whole or not at all.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
# time: 180
# long: 1200
. "$(dirname "$0")/lib.sh"

need_nvme
load
t=10 n=2000
[ -z "$KVLIFT_FULL" ] || t=300 n=100000

for b in 64K 2M; do
	case $b in
	64K) bs=65536 d=8M c=8M v=512M ;;
	2M) bs=2097152 d=64M c=64M v=1G ;;
	esac
	mkpool $b $d $c $v
	run objects $MNT basic
	expect_used 0
	run iobatch $MNT
	expect_used 0

	# A block that has changed below is an error, and no wrong data.
	run objects $MNT put one $((3 * bs)) >/dev/null
	run objects $MNT get one $((3 * bs)) $((3 * bs)) >/dev/null
	kvtctl move $MNT/one nvme || fail "demote"
	data=$(sbpoke "$KVLIFT_NVME" | sed 's/.*data_offset \([0-9]*\).*/\1/')
	slot=$(kvtctl loc $MNT/one 1 | cut -d' ' -f3)
	printf '\125' | dd of="$KVLIFT_NVME" bs=1 seek=$((data + slot * bs + 4711)) conv=notrunc,fsync status=none 2>"$TMP/dd" &&
		run objects $MNT get one $((3 * bs)) -5 >/dev/null
	rm $MNT/one
	expect_used 0
	umount_pool
done

mkpool 64K 8M 8M 1G
run loses objects $MNT torn
run objects $MNT stress 4 2 $n $t 0 0
run objects $MNT stress 8 4 $n $t 1 0
[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
rm -f $MNT/* $MNT/.put-*
# What was being put by those that were killed has gone with them.
expect_used 0

# A cache that holds a third of them: an object takes one block on average.
if kvlift domain set --help 2>&1 | grep -q -e --cache; then
	blocks=$((n / 3))
	mkdir $MNT/cache
	run kvlift domain set $MNT/cache --cache on --total $((blocks * 65536))
	run objects $MNT/cache stress 4 2 $n $t 0 1
	run objects $MNT/cache stress 8 4 $n $t 1 1
	kvlift domain show $MNT/cache --json >"$TMP/domain"
	[ "$(json "$TMP/domain" 'd["peak"] <= d["total_limit"] == '$blocks)" = True ] || fail "too much: $(cat "$TMP/domain")"
	[ "$(json "$TMP/domain" 'd["cache_dropped"] > 0')" = True ] || fail "nothing was dropped: $(cat "$TMP/domain")"
	rm -f $MNT/cache/* $MNT/cache/.put-*
	expect_used 0
else
	say "no cache directories"
fi
check_clean
