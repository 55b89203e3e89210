#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A process that needs more memory than is available gets it from the pool, down to the floor, and the pool gets it back.
# guest: --devices nvme --memory 1G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd python3
load
P=
dram() { cat "/sys/fs/kvlift/$P/dram/0/$1"; }
available() { awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }
# shellcheck disable=SC2317
got_is() { [ "$(dram got)" = "$1" ]; }
kills() { dmesg | grep -c 'Out of memory: Killed'; }

# hog MIB: touches that much and ends; 137 when the OOM killer chose it.
hog() {
	python3 - "$1" <<'PY'
import mmap, sys
open("/proc/self/oom_score_adj", "w").write("1000")
n = int(sys.argv[1]) << 20
m = mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(0, n, 4096):
    m[i] = 1
PY
}

# More than there is by this many MiB, which the pool has above its floor. The
# kernel keeps some of what it calls available for itself.
more=100
pressed() {
	local want=$(($(available) + more)) start
	say "$1: $(available) MiB available, a process takes $want, the pool has $(dram got) of $(dram asked) slots"
	start=$(date +%s%N)
	hog $want || fail "$1: the process ended with $?, got $(dram got)"
	say "$1: $((($(date +%s%N) - start) / 1000000)) ms, got $(dram got), target $(dram target)," \
		"shrunk $(counter shrunk), of these oom_freed $(counter oom_freed)"
	[ "$(kills)" = 0 ] || fail "$1: the OOM killer ran"
	[ "$(dram got)" -ge "$(($(dram asked) / 4))" ] || fail "$1: below the floor: got $(dram got) of $(dram asked)"
}
grown() {
	until_true 60 got_is "$(dram asked)" || fail "not grown back: got $(dram got) of $(dram asked), target $(dram target), $(available) MiB available"
	[ "$(dram target)" = "$(dram asked)" ] || fail "target $(dram target)"
}

for b in 64K 2M; do
	mkpool $b 320M - 800M
	P=$(pool)
	dmesg -C

	# Free slots.
	pressed "free slots, $b"
	[ "$(counter shrunk)" -gt 0 ] || fail "nothing was given back"
	[ "$(counter demote)" = 0 ] || fail "blocks were moved for it"
	[ "$(df --output=size -B1M $MNT | tail -n 1)" -lt 1120 ] || fail "the capacity is what it was"
	grown
	[ "$(counter grown_back)" -gt 0 ] || fail "grown_back"

	# Clean blocks: dropped, without a byte of I/O.
	kvtctl fill $MNT/f 1 $((280 << 20)) || fail "fill"
	kvtctl move $MNT/f nvme 120000 || fail "demote"
	kvtctl move $MNT/f dram 120000 || fail "promote"
	no=$(counter demote_noio) w=$(counter write_bytes)
	pressed "clean blocks, $b"
	[ "$(counter demote_noio)" -gt "$no" ] || fail "no clean block was dropped"
	[ "$(counter write_bytes)" = "$w" ] || fail "clean blocks were written: $(($(counter write_bytes) - w)) bytes"
	kvtctl check $MNT/f 1 $((280 << 20)) || fail "check"
	grown
	kvtctl check $MNT/f 1 $((280 << 20)) || fail "check when grown"

	# Dirty blocks go down, as far as the process leaves time for that.
	kvtctl fill $MNT/f 2 $((280 << 20)) || fail "fill"
	more=40 pressed "dirty blocks, $b"
	kvtctl check $MNT/f 2 $((280 << 20)) || fail "check"
	grown
	umount_pool
done

# A pool whose slots are all needed by what it stores gives nothing.
mkpool 64K 320M - -
P=$(pool)
kvtctl fill $MNT/f 3 $((320 << 20)) || fail "fill"
dmesg -C
hog $(($(available) + 100))
[ "$(kills)" = 1 ] || fail "$(kills) kills, with a pool that is full"
got_is "$(dram asked)" || fail "got $(dram got) of $(dram asked): stored blocks have lost their slots"
kvtctl check $MNT/f 3 $((320 << 20)) || fail "check"
umount_pool

# The control: with a floor of all of it the process dies, without it lives.
mkpool 64K 320M - - floor=100
P=$(pool)
grep -q 'floor=100' /proc/mounts || fail "$(grep kvlift /proc/mounts)"
dmesg -C
hog $(($(available) + 100))
[ "$(kills)" = 1 ] || fail "$(kills) kills with floor=100: the test proves nothing"
got_is "$(dram asked)" || fail "floor=100, but got $(dram got) of $(dram asked)"
mount -o remount,floor=50 $MNT || fail "remount"
dmesg -C
pressed "floor=50"
[ "$(dram got)" -ge "$(($(dram asked) / 2))" ] || fail "below the floor: got $(dram got) of $(dram asked)"
fsconf remount $MNT floor=101 && fail "floor=101"
grown
check_clean
