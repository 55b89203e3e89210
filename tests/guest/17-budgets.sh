#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Budgets change by remount, got and asked tell the truth on a fragmented node, hard budgets fail cleanly.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
N=$KVLIFT_CXL_NODE
member() { cat /sys/fs/kvlift/"$(pool)"/"$1"/*/"$2"; }
# shellcheck disable=SC2317
got_is() { [ "$(member "$1" got)" = "$2" ]; }
refused() {
	local out
	dmesg -C
	out=$(fsconf remount $MNT "$1") && fail "remount $1 was accepted"
	say "remount $1: $(printf '%s' "$out" | tr '\n' ' ')"
	[ "$(printf '%s\n' "$out" | grep -c .)" = 2 ] || fail "remount $1: not one line: $out"
	printf '%s\n' "$out" | grep -qiE -- "$2" || fail "remount $1: $out"
}

mkpool 64K 8M 8M 32M
kvtctl fill $MNT/a 1 $((6 << 20)) || fail "fill"
# Up and down, all three, under the data.
mount -o remount,dram=16M,cxl=16M@$N,nvme=$KVLIFT_NVME:64M none $MNT 2>/dev/null ||
	mount -o remount,dram=16M,cxl=16M@$N,nvme=$KVLIFT_NVME:64M $MNT || fail "remount up"
until_true 20 got_is dram 256 || fail "dram got $(member dram got) of 256"
until_true 20 got_is cxl 256 || fail "cxl got $(member cxl got) of 256"
until_true 20 got_is nvme 1024 || fail "nvme got $(member nvme got) of 1024"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check after growth"
grep -q "dram=16M.*cxl=16M.*nvme=" /proc/mounts || fail "$(grep kvlift /proc/mounts)"
mount -o remount,dram=2M $MNT || fail "remount down"
until_true 30 got_is dram 32 || fail "dram got $(member dram got), not 32"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check after shrinking"
[ "$(member dram used)" -le 32 ] || fail "dram used $(member dram used)"
mount -o remount,cxl=1M@$N $MNT || fail "remount cxl down"
until_true 30 got_is cxl 16 || fail "cxl got $(member cxl got), not 16"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check"
mount -o remount,dram=8M,cxl=8M@$N $MNT || fail "remount up again"
until_true 20 got_is dram 128 || fail "dram got $(member dram got)"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check"

# What can't be: nothing changes.
before=$(member dram asked)
refused dram=900G 'at most'
refused dram=8M@77 'node 77|member|dram'
refused cxl=8M@77 'node 77|member|cxl'
refused block=16K 'block'
refused nvme=/dev/none:4M 'nvme'
refused nvme=$KVLIFT_NVME:900T 'nvme'
[ "$(member dram asked)" = "$before" ] || fail "a refused remount changed the budget"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check after refusals"
# Fewer slots than data, everywhere.
kvtctl fill $MNT/b 2 $((20 << 20)) || fail "fill b"
refused dram=1M,cxl=1M@$N,nvme=$KVLIFT_NVME:1M 'delete|more than|use|stored'
# So do watermarks that keep more free than is.
room=$(($(stat -f -c %f $MNT) - 4))
mount -o remount,nvme=$KVLIFT_NVME:$((65536 - room * 64))K $MNT || fail "remount to what is used"
refused high=50 'more than'
mount -o remount,nvme=$KVLIFT_NVME:64M $MNT || fail "remount back"
kvtctl check $MNT/b 2 $((20 << 20)) || fail "check b"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check a"
mount -o remount,ro $MNT || fail "remount ro"
touch $MNT/x 2>/dev/null && fail "written read-only"
mount -o remount,rw $MNT || fail "remount rw"
touch $MNT/x || fail "not writable again"
umount_pool

# occupy NODE LEAVE [pieces]: take the node's free memory but for LEAVE MiB,
# with "pieces" give every other page back, and hold that.
occupy() {
	python3 - "$@" <<'PY'
import mmap, sys
node, leave, page = sys.argv[1], int(sys.argv[2]) << 20, 4096
for line in open(f"/sys/devices/system/node/node{node}/meminfo"):
    if "MemFree" in line:
        free = int(line.split()[3]) * 1024
n = (free - leave) // page * page
m = mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(0, n, page):
    m[i] = 1
for i in range(0, n if len(sys.argv) > 3 else 0, 2 * page):
    m.madvise(mmap.MADV_DONTNEED, i, page)
print("ready", flush=True)
open(9).readline()
PY
}
need_cmd numactl python3
numactl --membind=$N true 2>/dev/null || skip "no numactl"
occupy_node() {
	mkfifo "$TMP/hold"
	exec 8<>"$TMP/hold"
	numactl --membind=$N "$BASH" -c "$(declare -f occupy); occupy $N $*" 9<"$TMP/hold" >"$TMP/occupied" 2>&1 &
	until_true 60 grep -q ready "$TMP/occupied"
}
leave_node() {
	echo >&8
	wait
	exec 8>&-
	rm "$TMP/hold" "$TMP/occupied"
}
free_mib() { awk '/MemFree/ { print int($4 / 1024) }' /sys/devices/system/node/node$N/meminfo; }
one_line() {
	say "hard: $(printf '%s' "$1" | tr '\n' ' ')"
	[ "$(printf '%s\n' "$1" | grep -c .)" = 2 ] || fail "hard: not one line: $1"
	printf '%s\n' "$1" | grep -qiE "cxl|node" || fail "hard: $1"
	! grep -q ' kvlift ' /proc/mounts || fail "half-mounted"
	until_true 5 objects_zero || fail "hard: left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
}

# What there is can be used, and got and asked tell the truth.
use_what_there_is() {
	local a g
	sleep 6
	a=$(member cxl asked) g=$(member cxl got)
	say "asked $a, got $g"
	[ "$a" = "$1" ] || fail "asked $a, not $1"
	[ "$g" -le "$a" ] || fail "got $g of $a"
	kvlift status $MNT >"$TMP/status" 2>&1 || fail "status: $(cat "$TMP/status")"
	kvtctl fill $MNT/a 3 $((8 << 20)) || fail "fill on what there is"
	kvtctl check $MNT/a 3 $((8 << 20)) || fail "check on what there is"
}

# A node in small pieces. The kernel may put them together, so that all is got.
if occupy_node 24 pieces; then
	ask=$(($(free_mib) * 3 / 8))
	say "node $N in pieces, $(free_mib) MiB free, asking for $((ask * 2)) MiB in blocks of 2M"
	mount -t kvlift -o block=2M,dram=16M,cxl=$((ask * 2))M@$N none $MNT || fail "mount on a node in pieces"
	use_what_there_is $ask
	umount_pool
	if out=$(fsconf mount $MNT block=2M,dram=16M,cxl=$((ask * 2))M@$N,hard); then
		[ "$(member cxl got)" = $ask ] || fail "hard, but got $(member cxl got) of $ask"
		umount_pool
	else
		one_line "$out"
	fi
else
	say "the node could not be cut up: $(cat "$TMP/occupied")"
fi
leave_node

# A node that is full: less than was asked for, and the rest once there is some.
if occupy_node 48; then
	say "node $N is full, $(free_mib) MiB free, asking for 200 MiB"
	for b in 64K 2M; do
		mount -t kvlift -o block=$b,dram=16M,cxl=200M@$N none $MNT || fail "mount on a full node"
		if [ $b = 64K ]; then use_what_there_is 3200; else use_what_there_is 100; fi
		[ "$(member cxl got)" -lt "$(member cxl asked)" ] || fail "200 MiB from a full node"
		kvlift status --json $MNT >"$TMP/status" || fail "status --json"
		[ $b = 2M ] || umount_pool
	done
	leave_node
	mount -o remount,cxl=200M@$N $MNT || fail "remount"
	until_true 30 got_is cxl 100 || fail "got $(member cxl got) of 100 from a node that is free again"
	kvtctl check $MNT/a 3 $((8 << 20)) || fail "check"
	umount_pool
	occupy_node 48 || fail "occupied once, not twice"
	out=$(fsconf mount $MNT block=64K,dram=16M,cxl=200M@$N,hard) && fail "hard: mounted on a full node"
	one_line "$out"
else
	say "the node could not be filled: $(cat "$TMP/occupied")"
fi
leave_node

until_true 5 objects_zero || fail "left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
mkpool 2M 16M - - hard
[ "$(member dram got)" = 8 ] || fail "hard: got $(member dram got) at once"
check_clean
