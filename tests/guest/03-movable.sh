#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A node that is online only as movable is refused, with the command that changes it.
# guest: --devices cxl --cxl-zone movable --memory 2G
# kernels: 6.12 newest
. "$(dirname "$0")/lib.sh"

need_cxl
awk -v want="Node $KVLIFT_CXL_NODE, zone Movable" '
	/^Node/ { $1 = $1; zone = $0 }
	$1 == "present" && zone == want && $2 > 0 { found = 1 }
	END { exit !found }' /proc/zoneinfo || skip "the node is not movable"
load
dmesg -C
out=$(fsconf mount $MNT block=64K,dram=4M,cxl=16M@$KVLIFT_CXL_NODE) && fail "mounted"
say "$out"
printf '%s\n' "$out" | grep -q 'daxctl reconfigure-device --mode=system-ram --no-movable' || fail "no command: $out"
printf '%s\n' "$out" | grep -q "node $KVLIFT_CXL_NODE" || fail "no node: $out"
dmesg | grep -q daxctl || fail "nothing in dmesg"
! grep -q ' kvlift ' /proc/mounts || fail "mounted"
# Without the node everything works.
mkpool 64K 4M - -
echo x >$MNT/f
check_clean
