#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Policies loaded as BPF hit on real tiers what the simulator says they hit, and the best one saves stall.
# guest: --devices nvme --memory 2G
# kernels: 6.12
# files: ../shared/traces/*.jsonl.xz
# time: 300
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd python3
load
requests=150
[ -z "$KVLIFT_FULL" ] || requests=400
trace=(./claudecode*.jsonl.xz)
[ -e "${trace[0]}" ] || { say "no trace here, using the generator" && trace=(--generate agent --seed 1); }
trace+=(--requests "$requests")

policy() { awk -v k="$1" '$1 == k { print $2; exit }' "/sys/fs/kvlift/$(pool)/policy"; }

# play POLICY SIMULATED HINTS: into $TMP/POLICY.HINTS
play() {
	local name=$1 as=$2 hints=$3 out=$TMP/$1.$3 was_hits was_misses
	mkpool 16K 8M - 512M
	[ "$name" = none ] || kvlift policy load "$name" $MNT >/dev/null || fail "policy load $name"
	was_hits=$(policy hits) was_misses=$(policy misses)
	kvlift replay "${trace[@]}" --pool $MNT --hints "$hints" --json >"$out" 2>"$TMP/err" ||
		fail "replay under $name: $(cat "$TMP/err" "$out")"
	grep -E -v '^call|^callb' "/sys/fs/kvlift/$(pool)/policy" >"$out.policy"
	[ "$name" = none ] || [ "$(policy state)" = active ] || fail "$name: $(cat "$out.policy")"
	[ "$(policy events_lost)" = 0 ] || say "$name: $(policy events_lost) events lost"
	capacity=$(policy capacity)
	kvlift simulate "${trace[@]}" --policy "$as" --cache "$capacity" ${4:+--hints "$4"} --json >"$out.sim" ||
		fail "simulate"
	python3 - "$name" "$out" "$(($(policy hits) - was_hits))" "$(($(policy misses) - was_misses))" <<'PY' ||
import json, sys
name, out, hits, misses = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
r, s = json.load(open(out)), json.load(open(out + ".sim"))[0]
policy = hits / (hits + misses) if hits + misses else 0
# Chains that are kept whole are looked up as a whole: only their prefix counts.
key = "prefix_hit" if s["atomic"] else "block_hit"
print(f"{name}, hints {r['hints']}, {r['requests']} requests, {r['refs']} refs, {s['cache_blocks']} blocks: "
      f"{key} simulated {s[key]:.4f}, policy {policy:.4f}, real {r[key]:.4f}; "
      f"stall {r['stall_ns']['total'] / 1e9:.2f} s, elapsed {r['elapsed_ns'] / 1e9:.1f} s, "
      f"up {r['moves']['promote']} down {r['moves']['demote']}")
assert r["mismatches"] == 0 and r["errors"] == 0, "bytes"
assert r["refs"] == s["refs"], "another trace"
if name != "none":
    assert abs(policy - s[key]) <= 0.02, "the policy decides otherwise than in the simulator"
    assert abs(r[key] - s[key]) <= 0.02, "blocks are not where the policy wants them"
PY
		fail "$name: $(tr '\n' ' ' <"$out.policy")"
	umount_pool
}

stall() { json "$TMP/$1" 'd["stall_ns"]["total"]'; }

play lru lru request
play gittins gittins request
[ "$(stall gittins.request)" -lt "$(stall lru.request)" ] || fail "gittins stalls no less than lru"
play gittins gittins true true
[ "$(stall gittins.true)" -lt "$(stall gittins.request)" ] || say "hints save no stall"
check_clean
