#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A process that needs more memory than is available gets it from the pool, down to the floor, and the pool gets it back.
# guest: --devices nvme --memory 1G
# kernels: 6.12
# time: 480
. "$(dirname "$0")/lib.sh"

need_nvme
load
P=
dram() { cat "/sys/fs/kvlift/$P/dram/0/$1"; }
available() { awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo; }
# shellcheck disable=SC2317
got_is() { [ "$(dram got)" = "$1" ]; }
kills() { dmesg | grep -c 'Out of memory: Killed'; }

# hog MIB: touches that much and ends; 137 when the OOM killer chose it.
hog() {
	(
		echo 1000 >/proc/$BASHPID/oom_score_adj
		exec kvtctl hog / "$1"
	)
}

# In MiB: the pool, what is stored there, and how much more than there is the
# processes take, which the pool has above its floor. The kernel keeps some of
# what it calls available for itself.
pool=240 data=200 more=70
if [ -e /proc/lockdep_stats ]; then pool=160 data=130 more=50; fi
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
# All blocks in memory with a shadow.
make_clean() {
	kvtctl fill $MNT/f "$1" $((data << 20)) || fail "fill"
	kvtctl move $MNT/f nvme 120000 || fail "demote"
	kvtctl move $MNT/f dram 120000 || fail "promote"
	no=$(counter demote_noio) w=$(counter write_bytes)
}
only_dropped() {
	[ "$(counter demote_noio)" -gt "$no" ] || fail "$1: no clean block was dropped"
	[ "$(counter write_bytes)" = "$w" ] || fail "$1: clean blocks were written: $(($(counter write_bytes) - w)) bytes"
	kvtctl check $MNT/f "$2" $((data << 20)) || fail "$1: check"
}
# The kernel says that it has run out; a bystander dies, as it does for sysrq f.
run_out() {
	sleep 300 &
	echo 1000 >/proc/$!/oom_score_adj
	echo f >/proc/sysrq-trigger
	wait $!
	[ $? = 137 ] || fail "sysrq f killed nobody"
}

for b in 64K 2M; do
	mkpool $b ${pool}M - 400M
	P=$(pool)
	dmesg -C
	capacity=$(df --output=size -B1M $MNT | tail -n 1)

	if [ $b = 64K ]; then
		pressed "free slots, $b"
		[ "$(counter shrunk)" -gt 0 ] || fail "nothing was given back"
		[ "$(counter demote)" = 0 ] || fail "blocks were moved for it"
		# Where the process takes long to end the pool may have grown again.
		now=$(df --output=size -B1M $MNT | tail -n 1)
		got_is "$(dram asked)" || [ "$now" -lt "$capacity" ] || fail "the capacity is what it was"
		grown
		[ "$(counter grown_back)" -gt 0 ] || fail "grown_back"
	fi

	make_clean 1
	pressed "clean blocks, $b"
	only_dropped "clean blocks, $b" 1
	grown

	# Free slots at once, and none but clean ones when there are no others.
	make_clean 4
	least=$(dram asked)
	for _ in 1 2 3; do run_out; done
	say "run out: shrunk $(counter shrunk), of these oom_freed $(counter oom_freed)"
	[ "$(counter oom_freed)" -ge $((least / 8)) ] || fail "oom_freed $(counter oom_freed)"
	only_dropped "run out, $b" 4
	[ "$(dram got)" -ge "$(($(dram asked) / 4))" ] || fail "run out: below the floor: got $(dram got)"
	grown
	dmesg -C

	if [ $b = 64K ]; then
		# Down they go, as far as the process leaves time for that.
		kvtctl fill $MNT/f 2 $((data << 20)) || fail "fill"
		more=30 pressed "dirty blocks, $b"
		kvtctl check $MNT/f 2 $((data << 20)) || fail "check"
	fi
	umount_pool
done

# A pool whose slots are all needed by what it stores gives nothing.
mkpool 64K ${pool}M - -
P=$(pool)
kvtctl fill $MNT/f 3 $((pool << 20)) || fail "fill"
dmesg -C
hog $(($(available) + more))
[ "$(kills)" = 1 ] || fail "$(kills) kills, with a pool that is full"
got_is "$(dram asked)" || fail "got $(dram got) of $(dram asked): stored blocks have lost their slots"
kvtctl check $MNT/f 3 $((pool << 20)) || fail "check"
umount_pool

# The control: with a floor of all of it the process dies, without it lives.
mkpool 64K ${pool}M - - floor=100
P=$(pool)
grep -q 'floor=100' /proc/mounts || fail "$(grep kvlift /proc/mounts)"
dmesg -C
hog $(($(available) + more))
[ "$(kills)" = 1 ] || fail "$(kills) kills with floor=100: the test proves nothing"
got_is "$(dram asked)" || fail "floor=100, but got $(dram got) of $(dram asked)"
mount -o remount,floor=50 $MNT || fail "remount"
dmesg -C
pressed "floor=50"
[ "$(dram got)" -ge "$(($(dram asked) / 2))" ] || fail "below the floor: got $(dram got) of $(dram asked)"
fsconf remount $MNT floor=101 && fail "floor=101"
grown
check_clean
