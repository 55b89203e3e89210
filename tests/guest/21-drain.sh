#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A node and a device are emptied under a reader and a writer; then the node's memory can be taken offline.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
# time: 240
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
need_cmd losetup setpriv
need_mod loop
load
N=$KVLIFT_CXL_NODE
member() { cat "/sys/fs/kvlift/$(pool)/$1/$2"; }
# shellcheck disable=SC2317
member_is() { [ "$(member "$1" "$2")" = "$3" ]; }
# refused PATTERN MEMBER
refused() {
	local out
	dmesg -C
	out=$(kvlift drain $MNT "$2" 2>&1) && fail "drain $2 was accepted"
	printf '%s\n' "$out" | grep -qi "$1" || fail "drain $2: $out"
}

# Writes and checks two files until $TMP/stop is there.
churn() {
	local seed=10
	while [ ! -e "$TMP/stop" ]; do
		seed=$((seed + 1))
		kvtctl fill $MNT/w $seed $((2 << 20)) && kvtctl check $MNT/w $seed $((2 << 20)) &&
			kvtctl check $MNT/r 2 $((3 << 20)) || return 1
	done
}
start_churn() {
	rm -f "$TMP/stop"
	kvtctl fill $MNT/r 2 $((3 << 20)) || fail "fill r"
	churn >"$TMP/churn" 2>&1 &
	job=$!
}
end_churn() {
	touch "$TMP/stop"
	wait $job || fail "$1: the reader or writer failed: $(cat "$TMP/churn")"
}

for b in 64K 2M; do
	case $b in
	64K) d=4M c=16M n=64M data=12 ;;
	2M) d=16M c=64M n=128M data=48 ;;
	esac
	mkpool $b $d $c $n
	kvtctl fill $MNT/f 1 $((data << 20)) || fail "fill"
	[ "$(member cxl/0 used)" -gt 0 ] || fail "nothing in cxl"
	kvtctl check $MNT/f 1 $((data << 20)) || fail "check"
	[ $b = 2M ] || start_churn
	kvlift drain $MNT node$N --wait || fail "drain node$N: $(member cxl/0 used) used, $(member cxl/0 got) got"
	[ $b = 2M ] || end_churn "drain node$N, $b"
	for a in got used free target; do member_is cxl/0 $a 0 || fail "drained, but $a is $(member cxl/0 $a)"; done
	member_is cxl/0 draining 1 || fail "not draining"
	kvlift status $MNT | grep -q draining || fail "status: $(kvlift status $MNT)"
	[ "$(kvlift drain $MNT cxl/0 --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["remaining"])')" = 0 ] || fail "remaining"
	kvtctl check $MNT/f 1 $((data << 20)) || fail "check"
	member_is cxl/0 got 0 || fail "the drained node took blocks"

	# Now the memory can go, and come back.
	if [ $b = 64K ]; then
		off=0 all=0
		for m in /sys/devices/system/node/node$N/memory[0-9]*; do
			all=$((all + 1))
			{ echo offline >"$m/state"; } 2>/dev/null && off=$((off + 1))
		done
		say "node$N: $off of $all memory blocks went offline"
		[ $off -gt 0 ] || fail "no memory block of node$N can be taken offline"
		kvtctl check $MNT/f 1 $((data << 20)) || fail "check with node$N offline"
		for m in /sys/devices/system/node/node$N/memory[0-9]* /sys/devices/system/memory/memory[0-9]*; do
			[ "$(cat "$m/state")" = online ] || echo online_kernel >"$m/state" || fail "online $m"
		done
	fi
	kvlift drain $MNT node$N --cancel || fail "cancel"
	until_true 20 member_is cxl/0 got "$(member cxl/0 asked)" || fail "after the drain: got $(member cxl/0 got)"
	member_is cxl/0 draining 0 || fail "still draining"
	kvtctl fill $MNT/g 3 $((data << 19)) || fail "fill g"
	[ "$(member cxl/0 used)" -gt 0 ] || fail "the node is back, but takes nothing"
	kvtctl check $MNT/g 3 $((data << 19)) || fail "check g"

	# The other way: what is in DRAM goes to the node.
	kvlift drain $MNT dram/0 --wait || fail "drain dram"
	member_is dram/0 got 0 || fail "dram: got $(member dram/0 got)"
	kvtctl check $MNT/f 1 $((data << 20)) || fail "check without dram"
	refused 'only memory' node$N
	dmesg | grep -q 'no other memory' || fail "the log does not say why"
	kvlift drain $MNT dram/0 --cancel || fail "cancel dram"
	until_true 20 member_is dram/0 got "$(member dram/0 asked)" || fail "dram: got $(member dram/0 got)"
	umount_pool
done

# One of two devices.
truncate -s 80M "$TMP/disk"
L=$(losetup -f --show "$TMP/disk") || fail "losetup"
kvlift format --force "$KVLIFT_NVME" "$L" >/dev/null || fail "format"
mount -t kvlift -o "block=64K,dram=4M,nvme=$KVLIFT_NVME:64M,nvme=$L:64M" none $MNT || fail "mount"
kvtctl fill $MNT/f 4 $((24 << 20)) || fail "fill"
# So that both have some: the first is filled first.
kvlift drain $MNT nvme/0 --wait || fail "drain nvme/0"
member_is nvme/0 used 0 || fail "nvme/0: $(member nvme/0 used) used"
member_is nvme/0 shadows 0 || fail "nvme/0: $(member nvme/0 shadows) shadows"
[ "$(member nvme/1 used)" -gt 100 ] || fail "nvme/1: $(member nvme/1 used) used"
kvtctl check $MNT/f 4 $((24 << 20)) || fail "check"
kvlift drain $MNT nvme/0 --cancel || fail "cancel"
start_churn
kvlift drain $MNT "$L" --wait || fail "drain $L"
end_churn "drain $L"
kvtctl check $MNT/f 4 $((24 << 20)) || fail "check"
member_is nvme/1 used 0 || fail "nvme/1: $(member nvme/1 used) used"
[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
refused 'would not fit' nvme/0
dmesg | grep -q 'would fit' || fail "the log does not say why"
member_is nvme/0 draining 0 || fail "refused, but draining"
refused 'no member' node77
setpriv --inh-caps=-all --bounding-set=-all kvlift drain $MNT nvme/0 2>"$TMP/err" && fail "drained without CAP_SYS_ADMIN"
grep -q CAP_SYS_ADMIN "$TMP/err" || fail "$(cat "$TMP/err")"
# A pool may be unmounted in the middle of it.
kvlift drain $MNT nvme/1 --cancel || fail "cancel"
kvlift drain $MNT nvme/0 || fail "drain"
umount_pool
losetup -d "$L"
check_clean
