#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Hints reach the policy: of object files too; the clock of a replay ends with it.
# guest: --devices none
# kernels: 6.12
# also: newest debug
# time: 120
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/policy.sh"

need_cmd bpftool python3
load
need_policies
mkpool 64K 16M - -
pool >"$TMP/pool"
run kvlift policy load "$BPF/told.bpf.o" $MNT >"$TMP/out"

# told FIELD: of the policy's state
told() {
	bpftool -j map dump name told.bss >"$TMP/dump" 2>&1 || fail "map dump: $(cat "$TMP/dump")"
	python3 - "$TMP/dump" "$1" <<'PY'
import json, sys
def find(d):
    if isinstance(d, dict):
        for k, v in d.items():
            if k == "kvlift_the_state":
                return v
            r = find(v)
            if r is not None:
                return r
    elif isinstance(d, list):
        for v in d:
            r = find(v)
            if r is not None:
                return r
print(find(json.load(open(sys.argv[1])))[sys.argv[2]])
PY
}
# shellcheck disable=SC2317
told_is() { [ "$(told "$1")" = "$2" ]; }
expect_told() { until_true 10 told_is "$1" "$2" || fail "$1 is $(told "$1"), not $2"; }

# A file is a region, so the ioctl is for object files as well.
run hint $MNT objects 5
expect_told told 1
expect_told len 5
expect_told depth 4
expect_told hints 1
expect_told ms 30000

# A hole has no tier.
run hint $MNT holes
sleep 1
expect_told gpu 0

# The policy's clock is a replay's until that ends; then it goes on, not back.
run hint $MNT clock 1000000000
expect_told told 2
a=$(told now_ns)
run hint $MNT clock 501000000000
expect_told told 3
b=$(told now_ns)
[ $((b - a)) = 500000000000 ] || fail "500 s of a replay were $((b - a)) ns"
run hint $MNT request
expect_told told 4
[ "$(told now_ns)" = "$b" ] || fail "the clock of a replay runs by itself"
run hint $MNT clock 0
expect_told told 5
sleep 1
run hint $MNT request
expect_told told 6
c=$(($(told now_ns) - b))
[ $c -ge 1000000000 ] && [ $c -lt 60000000000 ] || fail "after a replay and one second the clock went by $c ns"
# Another replay begins where the clock is, whatever its start.
run hint $MNT clock 5
expect_told told 7
d=$(($(told now_ns) - b - c))
[ $d -ge 0 ] && [ $d -lt 60000000000 ] || fail "a second replay begins $d ns later"
run hint $MNT clock 1000000005
expect_told told 8
[ $(($(told now_ns) - b - c - d)) = 1000000000 ] || fail "a second replay's clock does not go"

kvlift policy unload $MNT || fail unload
rm -f $MNT/object? $MNT/r $MNT/holes
expect_used 0
umount_pool
rmmod_in_time
check_clean
