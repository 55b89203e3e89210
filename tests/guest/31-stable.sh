#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A device with checksums of its own never sees a page change while it is written; what cannot change is not stopped for it.
# guest: --devices nvme --memory 2G
# kernels: 6.12 debug
# time: 240
. "$(dirname "$0")/lib.sh"

need_nvme
load
f=$MNT/f
stable=/sys/block/$(basename "$KVLIFT_NVME")/queue/stable_writes
[ -w "$stable" ] || skip "no stable_writes"
T=/sys/kernel/tracing
mountpoint -q $T || mount -t tracefs none $T || skip "no tracefs"
echo 1 >$T/events/kvlift/kvlift_move/enable
# by WHY PROTO: moves that have succeeded
by() { grep -c "kvlift_move: .*why=$1 proto=$2 err=0" $T/trace; }
# hold_mapped: the file is mapped for writing until let_go
hold_mapped() {
	mkfifo "$TMP/go"
	kvtctl hold $f rw "$1" <"$TMP/go" >"$TMP/out" &
	holder=$!
	exec 3>"$TMP/go"
	until_true 30 grep -q ready "$TMP/out" || fail "hold"
}
let_go() {
	echo >&3
	exec 3>&-
	wait $holder || fail "hold"
	rm "$TMP/go"
}

for bk in 64 256 2048; do
	bs=$((bk << 10)) n=8
	for want in 0 1; do
		echo $want >"$stable" && [ "$(cat "$stable")" = $want ] || skip "stable_writes cannot be set"
		mkpool ${bk}K $((bk * 16))K - $((bk * 48))K writeback=0
		kvtctl fill $f 1 $((n * bs)) || fail "fill"
		# Mapped for writing or not, it could change.
		hold_mapped $((n * bs))
		kvtctl move $f nvme || fail "down"
		let_go
		kvtctl fill $f 2 $((n * bs)) || fail "fill"
		kvtctl move $f nvme || fail "down"
		s=$(counter proto_stop)
		[ "$s" = $((want * 2 * n)) ] || fail "$bk KiB, stable $want: $s blocks stopped"
		kvtctl check $f 2 $((n * bs)) || fail "check"
		# Sealed it cannot.
		kvtctl fill $f 3 $((n * bs)) || fail "fill"
		kvlift seal $f || fail "seal"
		kvtctl move $f nvme || fail "down"
		[ "$(counter proto_stop)" = "$s" ] || fail "$bk KiB, stable $want: a sealed block was stopped"
		kvtctl check $f 3 $((n * bs)) || fail "check"
		umount_pool
	done
done

# Copies made ahead of need, of complete blocks and of a sealed file.
stored_is() { [ "$(counter stored)" = "$1" ]; }
mkpool 64K 4M - 16M writeback=64
for i in open sealed; do
	echo >$T/trace
	kvtctl fill $MNT/$i 4 1048576 || fail "fill"
	if [ $i = open ]; then kvlift seal $MNT/$i --first 0; else kvlift seal $MNT/$i; fi || fail "seal"
	[ $i = open ] && k=16 how=stop || k=32 how=open
	until_true 20 stored_is $k || fail "$(counter stored) stored, not $k"
	[ "$(by store $how)" = 16 ] || fail "$(by store $how) of 16 stored by $how"
	kvtctl demote $MNT/$i >/dev/null
	kvtctl check $MNT/$i 4 1048576 || fail "check"
done
[ "$(counter demote_noio)" = 32 ] || fail "demote_noio $(counter demote_noio)"
umount_pool
echo 0 >"$stable"

# A disk that checks what it is given against what was promised for it.
if modprobe sd_mod 2>/dev/null && modprobe scsi_debug dev_size_mb=64 dif=1 dix=1 ato=1 guard=0 delay=1 2>/dev/null; then
	until_true 10 eval 'ls /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/* >/dev/null 2>&1' || fail "no disk"
	d=$(basename /sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*)
	[ -b "/dev/$d" ] || fail "no /dev/$d"
	KVLIFT_NVME=/dev/$d
	# Such a disk asks for stable pages whatever the queue says in sysfs.
	asks() { [ -s "/sys/block/$d/integrity/format" ] && [ "$(cat "/sys/block/$d/integrity/format")" != none ]; }
	until_true 10 asks || fail "no integrity: $(cat "/sys/block/$d/integrity/format")"
	mkpool 64K 4M - 32M
	run seal $MNT stress 8
	[ "$(counter io_errors)" = 0 ] || fail "$(counter io_errors) io_errors"
	[ "$(counter proto_stop)" -gt 0 ] || fail "nothing was stopped"
	say "$(counter proto_stop) stopped, $(counter stored) stored, on $(cat "/sys/block/$d/integrity/format" 2>/dev/null)"
	umount_pool
	rmmod kvlift || fail "rmmod"
	rmmod scsi_debug || fail "rmmod scsi_debug"
fi
check_clean
