#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# kvlift bench --only gpu: every row is there, blocks are right in the GPU, and no row costs many times its copies.
# guest: --icount --devices none --memory 2G
# time: 300
. "$(dirname "$0")/lib.sh"

need_cmd python3
load
kvlift bench --only gpu --quick --json >"$TMP/rows" 2>"$TMP/err" || fail "$(cat "$TMP/err")"
[ "$(json "$TMP/rows" 'len(d)')" = 14 ] || fail "$(cat "$TMP/rows")"
[ "$(json "$TMP/rows" 'all(r["unit"] == "instr/block" and r["kvlift"] > 0 and r["peer"] > 0 for r in d)')" = True ] ||
	fail "$(cat "$TMP/rows")"
for r in gpu-from-dram gpu-from-window gpu-from-nvme gpu-to-dram gpu-peer gpu-drop gpu-acquire-resident; do
	[ "$(json "$TMP/rows" "sorted(r['block'] for r in d if r['name'] == '$r')")" = "[65536, 2097152]" ] || fail "no $r"
done
# The copies that are in a row are those of its peer: kernel, mover.
copies() {
	[ "$(grep -c "note: $1 .* $2 copies by the kernel .* $3 by the mover" "$TMP/err")" = 2 ] || fail "copies of $1: $(cat "$TMP/err")"
}
for r in gpu-from-dram gpu-to-dram; do copies $r 1.00 1.00; done
for r in gpu-from-window gpu-from-nvme gpu-peer; do copies $r 0.00 1.00; done
copies gpu-drop 0.00 0.00
kvlift bench --only gpu --quick | tee "$TMP/table" >&2
# What is dropped is not copied: its price does not grow with the block.
[ "$(json "$TMP/rows" '[r["ratio"] < 0.2 for r in d if r["name"] == "gpu-drop" and r["block"] == 2097152]')" = "[True]" ] ||
	fail "dropping a block costs as much as copying it"
check_clean
