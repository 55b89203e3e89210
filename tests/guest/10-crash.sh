#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# An engine killed in the middle of a replay, 50 times: the next one finds everything, nothing leaks or hangs.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest
# time: 240
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
load
mkpool 64K 4M 8M 400M
rounds=50 requests=200
[ ! -e /proc/lockdep ] || rounds=12

# In the background this is a subshell: the tool takes its place, so that the
# kill hits it.
replay() {
	exec kvlift replay --generate agent --seed 5 --requests $requests --pool $MNT --keep --json "$@"
}

resumed=0 killed=0 first=1
for i in $(seq $rounds); do
	if [ $first = 1 ]; then set --; else set -- --resume; fi
	replay "$@" >"$TMP/out" 2>"$TMP/err" &
	pid=$!
	sleep "0.$((RANDOM % 5 + 2))$((RANDOM % 10))"
	if kill -9 $pid 2>/dev/null; then killed=$((killed + 1)); fi
	wait $pid 2>/dev/null
	rc=$?
	if [ $rc != 137 ]; then
		# Done before the blow, or failed.
		[ $rc = 0 ] || { cat "$TMP/err" "$TMP/out" >&2 && fail "round $i ended with $rc"; }
		[ "$(json "$TMP/out" 'd["mismatches"]')" = 0 ] || fail "mismatches in round $i"
	fi
	[ -z "$(ls $MNT)" ] || first=0
done
say "killed $killed of $rounds"
[ $killed -ge $((rounds / 2)) ] || fail "only $killed of $rounds were killed in time"
# The last one verifies what all the others wrote, and plays to the end.
(replay --resume) >"$TMP/out" 2>"$TMP/err" || { cat "$TMP/err" "$TMP/out" >&2 && fail "the last resume"; }
[ "$(json "$TMP/out" 'd["mismatches"]')" = 0 ] || fail "mismatches: $(cat "$TMP/out")"
resumed=$(json "$TMP/out" 'd["resumed"]')
say "resumed $resumed blocks"
[ "$resumed" -gt 0 ] || fail "nothing was found again"

# No slot without a block, no block without a slot.
n=0
while read -r f; do
	n=$((n + $(kvtctl tiers "$f" | awk '{ print $4 + $6 + $8 }')))
done < <(find $MNT -type f)
[ "$(used)" = $n ] || fail "$(used) slots in use for $n blocks"
[ "$(member_sum lost)" = 0 ] || fail "lost slots"
rm -rf ${MNT:?}/*
expect_used 0
[ "$(member_sum used)" = 0 ] || fail "members: used $(member_sum used)"
for s in got free; do eval "$s=\$(member_sum $s)"; done
# shellcheck disable=SC2154
[ "$got" = "$free" ] || fail "got $got, free $free with no file"
stuck=$(ps -eo stat=,comm= | awk '$1 ~ /^D/ && $2 !~ /^(kworker|k|jbd)/')
[ -z "$stuck" ] || fail "unkillable: $stuck"
check_clean
