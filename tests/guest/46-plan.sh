#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# kvlift plan: speeds are measured, locations are those of the blocks, and the plan is the best there is.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
# time: 120
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd python3
load
mkpool 64K 16M - 256M
n=64

# plan OPTIONS...: into $TMP/plan
plan() { kvlift plan $MNT/f --json "$@" >"$TMP/plan" 2>"$TMP/err" || fail "plan $*: $(cat "$TMP/err")"; }
# plan_is EXPRESSION VALUE
plan_is() { [ "$(json "$TMP/plan" "$1")" = "$2" ] || fail "$1 is $(json "$TMP/plan" "$1"), not $2: $(cat "$TMP/plan")"; }

head -c $((n * 65536)) /dev/urandom >$MNT/f
plan --compute 1ms
plan_is 'd["ready"], d["total_ns"], len(d["runs"])' "($n, 0, 1)"
kvtctl move $MNT/f nvme || fail "demote"

# Nothing was read from the device yet.
p=/sys/fs/kvlift/$(pool)/nvme/0
[ "$(cat $p/bandwidth)" = 0 ] || fail "measured without a read"
kvlift plan $MNT/f 2>"$TMP/err" >&2 && fail "a plan from nothing"
grep -q 'nvme 0 was not measured' "$TMP/err" && grep -q -e '--compute' "$TMP/err" || fail "$(cat "$TMP/err")"
plan --compute 1ms
plan_is 'd["recompute"], d["total_ns"], d["load_ns"]' "($n, $((n * 1000000)), None)"

# With figures of our own: 64 blocks of 1 ms, the computer as fast.
plan --nvme 62.5M:500us
plan_is 'd["load"], d["total_ns"], d["recompute_useless"]' "($n, $((500000 + n * 1000000)), True)"
plan --nvme 62.5M --compute 1ms
plan_is 'd["load"], d["recompute"], d["total_ns"]' "($((n / 2)), $((n / 2)), $((n / 2 * 1000000)))"
plan_is '[(r["first"], r["count"], r["source"]) for r in d["runs"]]' \
	"[(0, $((n / 2)), 'recompute'), ($((n / 2)), $((n / 2)), 'load')]"
plan --nvme 62.5M --compute 100ms --attention 1ms
plan_is 'd["recompute_useless"], d["load"]' "(True, $n)"
# Activations of half a block, and of two.
plan --nvme 62.5M --activations 32K --project 250us
plan_is 'd["project_useless"], d["total_ns"] < d["load_ns"] * 0.6' "(False, True)"
plan --nvme 62.5M --activations 128K --project 1us
plan_is 'd["project_useless"], d["project"]' "(True, 0)"
# A device too slow for either, and a computer.
plan --nvme 62.5M --activations 32K --project 250us --compute 800us
plan_is 'd["load"], d["total_ns"] == d["recompute_project_ns"] < min(d["load_recompute_ns"], d["load_project_ns"])' "(0, True)"
# In the middle of a sequence, a hole, and one in memory.
fallocate -p -o $((3 * 65536)) -l 65536 $MNT/f
dd if=$MNT/f of=/dev/null bs=64K skip=5 count=1 status=none
plan --range 0:8 --nvme 62.5M --compute 1s
plan_is 'd["blocks"], d["recompute"], d["load_ns"]' "(8, 1, None)"
[ "$(json "$TMP/plan" '[r["source"] for r in d["runs"] if r["first"] <= 3 < r["first"] + r["count"]][0]')" = recompute ] ||
	fail "the hole: $(cat "$TMP/plan")"

# What is read is measured, alone and in rows.
for i in 10 20 30 40; do dd if=$MNT/f of=/dev/null bs=64K skip=$i count=1 status=none; done
kvlift advise $MNT/f --willneed --wait 20 >"$TMP/out" 2>&1 || fail "prefetch: $(cat "$TMP/out")"
# shellcheck disable=SC2317
measured() { [ "$(cat $p/bandwidth)" -gt 0 ]; }
until_true 10 measured || fail "not measured"
say "nvme: $(cat $p/bandwidth) MiB/s, $(cat $p/latency) ns"
kvtctl move $MNT/f nvme || fail "demote"
plan --compute 1s --range 4:
plan_is 'd["load"] > 0, d["load_ns"] is not None and 0 < d["total_ns"] <= d["load_ns"]' "(True, True)"
kvlift plan $MNT/f --compute 1ms || fail "plan as text"
kvlift plan $MNT/f --nvme 0 2>/dev/null && fail "took a speed of 0"
kvlift plan $MNT/f --compute nonsense 2>/dev/null && fail "took nonsense"
check_clean
