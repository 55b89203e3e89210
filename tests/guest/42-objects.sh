#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Keyed objects and batches: what is put is got, whole or not at all.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
# time: 420
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
expect_used 0
umount_pool

# A cache that holds a third of them, shared by many processes: hits as the
# simulator says, never more than its limit, and none of it wrong.
n=3000 u=20000
[ -z "$KVLIFT_FULL" ] || n=100000 u=400000
third=$((n / 3))
mkpool 16K $((third * 16 / 4 + 1024))K - $((third * 16 + 16384))K
new_cache() {
	rm -rf $MNT/c
	mkdir $MNT/c
	run kvlift domain set $MNT/c --total $((third * 16))K --cache on
}
# figure NAME: of the domain
figure() {
	kvlift domain show $MNT/c --json >"$TMP/domain" || fail "domain show"
	json "$TMP/domain" "d['$1']"
}
# hits_of POLICY: in the simulator
hits_of() {
	kvlift simulate "$TMP/trace.jsonl" --cache $third --policy "$1" --json >"$TMP/sim" || fail simulate
	json "$TMP/sim" 'd[0]["refs"] - d[0]["fills"]'
}
for k in 0 1; do
	new_cache
	run objects $MNT/c share 8 4 $n $u $k "$TMP/trace.jsonl" >"$TMP/out"
	hits=$(sed -n 's/^hits \([0-9]*\) .*/\1/p' "$TMP/out") s3=$(hits_of s3fifo)
	say "kill $k: $(head -n 1 "$TMP/out"); S3-FIFO in the simulator $s3, FIFO $(hits_of fifo); dropped $(counter cache_dropped)"
	[ $((50 * (hits > s3 ? hits - s3 : s3 - hits))) -le "$s3" ] || fail "more than 2 % off: $hits, not $s3"
	[ "$(counter cache_dropped)" -gt 0 ] || fail "nothing was dropped"
	[ "$(figure peak)" -le $third ] || fail "$(figure peak) blocks were stored, $third are allowed"
done
new_cache
run objects $MNT/c stress 8 4 $n $t 1 1
[ "$(figure peak)" -le $third ] || fail "$(figure peak) blocks were stored, $third are allowed"
[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
rm -r $MNT/c
# What was being put by those that were killed has gone with them.
expect_used 0
check_clean
