#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A cache directory drops whole sealed files by S3-FIFO, nothing else, and never exceeds its limit.
# guest: --devices nvme --memory 2G
# kernels: 6.12
# also: newest debug
# time: 300
. "$(dirname "$0")/lib.sh"

need_nvme
load

# Everything about what goes and what stays: in two tiers and in one.
for nvme in 8M -; do
	mkpool 64K 8M - $nvme
	cache $MNT || fail "cases with nvme=$nvme"
	[ "$(counter cache_dropped)" -gt 0 ] || fail "nothing was counted"
	[ "$(counter cache_refused)" -gt 0 ] || fail "nobody was refused"
	umount_pool
done

# The tool; and a limit that is lowered below what is there.
mkpool 64K 4M - -
mkdir $MNT/c
run kvlift domain set $MNT/c --total 1M --cache on
kvlift domain show $MNT/c | grep -q 'cache 0 files' || fail "show: $(kvlift domain show $MNT/c)"
kvlift domain show $MNT/c --json | grep -q '"cache":true' || fail "show --json"
for i in $(seq 12); do
	kvtctl fill $MNT/c/f$i "$i" 65536 || fail "fill $i"
	run kvlift seal $MNT/c/f$i >/dev/null
done
run mount -o remount,ro $MNT
run mount -o remount,rw $MNT
T=/sys/kernel/tracing
if [ -e $T/events/kvlift ]; then
	echo 1 >$T/events/kvlift/kvlift_drop/enable
	kvlift trace --json --events drop --count 1 --duration 20s >$TMP/drop 2>$TMP/err &
	live=$!
	until_true 20 grep -q watching $TMP/err || fail "kvlift trace: $(cat $TMP/err)"
fi
run kvlift domain set $MNT/c --total 512K
for _ in $(seq 100); do
	[ "$(ls $MNT/c | wc -l)" -gt 8 ] || break
	sleep 0.1
done
[ "$(ls $MNT/c | wc -l)" -le 8 ] || fail "a lower limit does not drop: $(ls $MNT/c)"
if [ -e $T/events/kvlift ]; then
	wait $live || fail "kvlift trace: $(cat $TMP/err)"
	grep -q '"event":"drop".*"why":"small".*"bytes":65536,"err":0' $TMP/drop || fail "no event: $(cat $TMP/drop)"
	grep -q 'kvlift_drop: pool=.* bytes=65536 queue=small err=0$' $T/trace || fail "no kvlift_drop: $(tail -n 3 $T/trace)"
	echo 0 >$T/events/kvlift/kvlift_drop/enable
fi
run kvlift domain set $MNT/c --cache off
kvlift domain show $MNT/c | grep -q cache && fail "still a cache"
rm -r $MNT/c
umount_pool

# One process and a Zipf distribution: hits as the simulator says.
FILES=1000 USES=12000 ROOM=128
mkpool 16K 8M - -
mkdir $MNT/z
run kvlift domain set $MNT/z --total $((ROOM * 16))K --cache on
cache $MNT/z zipf $FILES $USES $TMP/trace.jsonl >$TMP/out || fail "zipf: $(cat $TMP/out)"
hits=$(sed -n 's/^hits //p' $TMP/out)
# hits_of POLICY
hits_of() {
	kvlift simulate $TMP/trace.jsonl --cache $ROOM --policy "$1" --json |
		sed -n 's/.*"refs":\([0-9]*\),"fills":\([0-9]*\).*/\1 - \2/p' | { read -r sum; echo $((sum)); }
}
s3=$(hits_of s3fifo) fifo=$(hits_of fifo)
say "$hits hits of $USES; S3-FIFO in the simulator $s3, FIFO $fifo; $(kvlift domain show $MNT/z | sed -n 's/.*cache /cache /p')"
[ $((50 * (hits > s3 ? hits - s3 : s3 - hits))) -le "$s3" ] || fail "more than 2 % off: $hits, not $s3"
# A control: another policy's figure would not have passed.
[ $((50 * (fifo > s3 ? fifo - s3 : s3 - fifo))) -gt "$s3" ] || fail "FIFO hits as much: this trace tells nothing"
umount_pool

# Many at once, half of them killed again and again; then umount while it drops.
mkpool 64K 4M - 8M
mkdir $MNT/h
run kvlift domain set $MNT/h --total 6M --cache on
cache $MNT/h hammer ${KVLIFT_FULL:+30}12 7 || fail "hammer"
# The same with limits and the mark changing under it, freezes and remounts.
(
	while :; do
		fsfreeze -f $MNT && sleep 0.05 && fsfreeze -u $MNT
		mount -o remount,ro $MNT && mount -o remount,rw $MNT
		mv $MNT/h $MNT/i && mv $MNT/i $MNT/h
		sleep 0.1
	done
) 2>/dev/null &
chaos=$!
cache $MNT/h wild ${KVLIFT_FULL:+30}8 11 || fail "hammer, wild"
kill $chaos
wait $chaos 2>/dev/null
fsfreeze -u $MNT 2>/dev/null
mount -o remount,rw $MNT
[ ! -d $MNT/i ] || mv $MNT/i $MNT/h
rm -r $MNT/h
mkdir $MNT/h
run kvlift domain set $MNT/h --total 6M --cache on
for n in 1 2 3; do
	for i in $(seq 30); do
		kvtctl fill $MNT/h/u$n.$i "$i" 131072 || fail "fill u$n.$i"
		kvlift seal $MNT/h/u$n.$i >/dev/null || [ ! -e $MNT/h/u$n.$i ] || fail "seal u$n.$i"
	done
	# The limit falls, the worker begins, the pool goes.
	run kvlift domain set $MNT/h --total 256K
	kvtctl fill $MNT/h/last 1 65536 &
	sleep 0.0$n
	wait $!
	umount_pool
	mkpool 64K 4M - 8M
	mkdir $MNT/h
	run kvlift domain set $MNT/h --total 6M --cache on
done

check_clean
