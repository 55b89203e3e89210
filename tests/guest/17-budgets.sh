#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Budgets change by remount, got and asked tell the truth on a fragmented node, hard budgets fail cleanly.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
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
kvtctl check $MNT/b 2 $((20 << 20)) || fail "check b"
kvtctl check $MNT/a 1 $((6 << 20)) || fail "check a"
mount -o remount,ro $MNT || fail "remount ro"
touch $MNT/x 2>/dev/null && fail "written read-only"
mount -o remount,rw $MNT || fail "remount rw"
touch $MNT/x || fail "not writable again"
umount_pool

# A node of small pieces: fill it, then give back every other page. Two thirds
# of what is left in one piece is asked for.
fragment() {
	python3 - "$1" <<'PY'
import mmap, sys, os
node, page = int(sys.argv[1]), 4096
free = 0
for line in open(f"/sys/devices/system/node/node{node}/meminfo"):
    if "MemFree" in line:
        free = int(line.split()[3]) * 1024
n = (free - (24 << 20)) // page * page
os.nice(0)
m = mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for i in range(0, n, page):
    m[i] = 1
for i in range(0, n, 2 * page):
    m.madvise(mmap.MADV_DONTNEED, i, page)
print("ready", flush=True)
sys.stdin.readline()
PY
}
need_cmd numactl
mkfifo "$TMP/hold"
numactl --membind=$N true 2>/dev/null || skip "no numactl"
exec 8<>"$TMP/hold"
fragment_on_node() { numactl --membind=$N "$BASH" -c "$(declare -f fragment); fragment $N" <"$TMP/hold" >"$TMP/frag" 2>&1; }
fragment_on_node &
if until_true 40 grep -q ready "$TMP/frag"; then
	free=$(awk '/MemFree/ { print $4 }' /sys/devices/system/node/node$N/meminfo)
	ask=$((free * 3 / 8192)) && ask=$((ask + ask))
	say "node $N fragmented, $((free / 1024)) MiB free, asking for $ask MiB in blocks of 2M"
	if out=$(fsconf mount $MNT block=2M,dram=8M,cxl=${ask}M@$N); then
		sleep 8
		a=$(member cxl asked) g=$(member cxl got)
		say "asked $a, got $g"
		[ "$a" = $((ask / 2)) ] || fail "asked $a"
		[ "$g" -le "$a" ] || fail "got $g of $a"
		kvlift status $MNT >"$TMP/status" 2>&1 || fail "status: $(cat "$TMP/status")"
		kvtctl fill $MNT/a 3 $((8 << 20)) || fail "fill on what there is"
		kvtctl check $MNT/a 3 $((8 << 20)) || fail "check on what there is"
		umount_pool
		# Hard: all or nothing, with a message. (All is possible: the
		# kernel may have put the pieces together.)
		if out=$(fsconf mount $MNT block=2M,dram=8M,cxl=${ask}M@$N,hard); then
			[ "$(member cxl got)" = "$(member cxl asked)" ] || fail "hard, but got $(member cxl got) of $(member cxl asked)"
			umount_pool
		else
			say "hard: $out"
			[ "$(printf '%s\n' "$out" | grep -c .)" = 2 ] || fail "hard: not one line: $out"
			printf '%s\n' "$out" | grep -qiE "cxl|node" || fail "hard: $out"
		fi
	else
		say "refused: $out"
		printf '%s\n' "$out" | grep -qiE "node|cxl" || fail "$out"
	fi
	! grep -q ' kvlift ' /proc/mounts || fail "half-mounted"
else
	say "the node could not be fragmented: $(cat "$TMP/frag")"
fi
echo >&8
wait
until_true 5 objects_zero || fail "left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
mkpool 2M 16M - - hard
[ "$(member dram got)" = 8 ] || fail "hard: got $(member dram got) at once"
check_clean
