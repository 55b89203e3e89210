#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Policies loaded as BPF hit on real tiers what the simulator says they hit, and the best one saves stall.
# guest: --icount --devices none --memory 2G
# kernels: 6.12
# files: ../shared/traces/*.jsonl.xz
# time: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

# Instructions are the clock, so what else the host does changes nothing. A read
# takes as long as one of 2 MiB from a drive of 4 GB/s.
need_nullb
need_cmd python3
load
nullb kva size=640 irqmode=2 completion_nsec=500000
KVLIFT_NVME=/dev/kva
requests=150
[ -z "$KVLIFT_FULL" ] || requests=400
trace=(./claudecode*.jsonl.xz)
[ -e "${trace[0]}" ] || { say "no trace here, using the generator" && trace=(--generate agent --seed 1); }
trace+=(--requests "$requests")

policy() { awk -v k="$1" '$1 == k { print $2; exit }' "/sys/fs/kvlift/$(pool)/policy"; }

# play POLICY HINTS: into $TMP/POLICY.HINTS
play() {
	local name=$1 hints=$2 out=$TMP/$1.$2 was_hits was_misses
	mkpool 16K 6M - 512M
	kvlift policy load "$name" $MNT >/dev/null || fail "policy load $name"
	was_hits=$(policy hits) was_misses=$(policy misses)
	kvlift replay "${trace[@]}" --pool $MNT --hints "$hints" --json >"$out" 2>"$TMP/err" ||
		fail "replay under $name: $(cat "$TMP/err" "$out")"
	grep -E -v '^call|^callb' "/sys/fs/kvlift/$(pool)/policy" >"$out.policy"
	[ "$(policy victims_short)" = 0 ] || fail "$name: $(policy victims_short) times no victim"
	[ "$(policy state)" = active ] || fail "$name: $(cat "$out.policy")"
	[ "$(policy events_lost)" = 0 ] || say "$name: $(policy events_lost) events lost"
	capacity=$(policy capacity)
	kvlift simulate "${trace[@]}" --policy "$name" --cache "$capacity" --json >"$out.sim" ||
		fail "simulate"
	python3 - "$name" "$out" "$(($(policy hits) - was_hits))" "$(($(policy misses) - was_misses))" <<'PY' ||
import json, sys
name, out, hits, misses = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
r, s = json.load(open(out)), json.load(open(out + ".sim"))[0]
policy = hits / (hits + misses) if hits + misses else 0
print(f"{name}, hints {r['hints']}, {r['requests']} requests, {r['refs']} refs, {s['cache_blocks']} blocks: "
      f"hits simulated {s['block_hit']:.4f}, policy {policy:.4f}; "
      f"prefix hits simulated {s['prefix_hit']:.4f}, real {r['prefix_hit']:.4f}; all in DRAM {r['block_hit']:.4f}; "
      f"stall {r['stall_ns']['total'] / 1e9:.2f} s, elapsed {r['elapsed_ns'] / 1e9:.1f} s, "
      f"up {r['moves']['promote']} down {r['moves']['demote']}")
assert r["mismatches"] == 0 and r["errors"] == 0, "bytes"
assert r["refs"] == s["refs"], "another trace"
# Without hints it knows blocks one by one, and what it is told in between is left out.
if r["hints"] != "none":
    assert abs(r["prefix_hit"] - s["prefix_hit"]) <= 0.02, "blocks are not where the simulator has them"
    assert abs(policy - s["block_hit"]) <= 0.02, "the policy's are not where the simulator has them"
PY
		fail "$name: $(tr '\n' ' ' <"$out.policy")"
	kvlift policy unload $MNT >/dev/null || fail "policy unload $name"
	umount_pool
}

# shellcheck disable=SC2317
unused() { awk '$1 == "kvlift" { exit $3 != 0 }' /proc/modules; }
stall() { json "$TMP/$1" 'd["stall_ns"]["total"]'; }

play lru none
play lru request
play prefix request
play gittins request
# An engine that tells its requests has less to wait for even under lru, as what it asks
# for does not go; the plain one is what there is without a policy.
[ "$(stall gittins.request)" -lt "$(stall lru.none)" ] || fail "gittins stalls no less than lru"
until_true 2 unused || fail "policies are gone, and the module is in use"
check_clean
