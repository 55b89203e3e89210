#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Power goes off in the middle of a run; the next mount finds a clean, empty pool and no old byte.
#
# usage: tests/host/powercut.sh [options of scripts/guest]
#
# Boots several guests on one disk image. Exit status 0 pass, 77 skip.

set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x scripts/guest ] || { echo "no scripts/guest"; exit 77; }

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/kvlift-powercut.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# in_guest NAME COMMANDS: status of the guest
in_guest() {
	local rc=0
	scripts/guest --devices nvme,cxl --memory 1G --disk 1G --disk-file "$dir/disk" --timeout 180 \
		--console "$dir/$1.console" "${options[@]}" -- "set -u; export PATH=\$KVLIFT_TESTS:\$PATH; $2" \
		>"$dir/$1.out" 2>&1 </dev/null || rc=$?
	echo "powercut: $1: status $rc"
	return $rc
}
options=("$@")

die() {
	echo "FAIL powercut: $*" >&2
	tail -n 30 "$dir"/*.out >&2
	exit 1
}

opts="block=64K,dram=4M,cxl=4M@\$KVLIFT_CXL_NODE,nvme=\$KVLIFT_NVME"

# The old bytes are there for sure when the power goes: sync, then more on top.
rc=0
in_guest cut-run "
	kvlift-load && kvlift format --force \$KVLIFT_NVME && mkdir -p /mnt/kv || exit 1
	mount -t kvlift -o $opts none /mnt/kv && kvtctl wait /mnt/kv || exit 1
	share /mnt/kv plant || exit 1
	kvtctl move /mnt/kv/planted nvme || exit 1
	sync
	kvtctl fill /mnt/kv/f 1 100000000 &
	kvlift replay --generate agent --seed 1 --requests 100000 --pool /mnt/kv --keep >/dev/null &
	sleep 2
	kvtctl demote /mnt/kv/f
	echo reached
	echo b >/proc/sysrq-trigger
	sleep 30" || rc=$?
grep -q '^reached' "$dir/cut-run.out" || die "the first guest did not come to the cut"
[ $rc != 0 ] || die "the first guest ended by itself"

# What must hold after a cut, whatever was cut.
after="
	kvlift-load && mkdir -p /mnt/kv || exit 1
	sbpoke \$KVLIFT_NVME
	mount -t kvlift -o $opts none /mnt/kv || exit 2
	kvtctl wait /mnt/kv || exit 3
	[ -z \"\$(ls -A /mnt/kv)\" ] || exit 4
	[ \"\$(kvtctl used /mnt/kv)\" = 0 ] || exit 5
	share /mnt/kv hunt || exit 6
	kvtctl fill /mnt/kv/g 9 30000000 && kvtctl move /mnt/kv/g nvme || exit 7
	kvtctl check /mnt/kv/g 9 30000000 || exit 8
"
in_guest after-run "$after
	rm /mnt/kv/g
	umount /mnt/kv && [ \"\$(awk '{ s += \$2 } END { print s }' /sys/fs/kvlift/objects)\" = 0 ] && rmmod kvlift || exit 9
	# Next cut: right behind the mount, which writes the superblock.
	kvlift-load && mount -t kvlift -o $opts none /mnt/kv || exit 10
	echo reached
	echo b >/proc/sysrq-trigger
	sleep 30" && die "the second guest ended by itself"
grep -q '^reached' "$dir/after-run.out" || die "after the cut in the run"

in_guest after-mount "$after
	umount /mnt/kv && rmmod kvlift || exit 9
	echo all-well" || die "after the cut behind the mount"
grep -q '^all-well' "$dir/after-mount.out" || die "after the cut behind the mount"
grep -h '^magic' "$dir"/*.out
echo "powercut: passed"
