#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every shipped policy passes the verifier, which looks at as many instructions as bpf/verified.txt says.
# guest: --devices none
# kernels: 6.12 newest
# time: 200
# files: bpf/verified.txt
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/policy.sh"

JOB=$PWD
load
need_policies
column=$(awk -v k="$KVLIFT_KERNEL" '$1 == "policy" { for (i = 3; i <= NF; i++) if ($i == k) print i }' "$JOB/verified.txt")
[ -n "$column" ] || fail "verified.txt has no column for $KVLIFT_KERNEL"
mkpool 64K 32M - -
pool >"$TMP/pool"
for name in $(kvlift policy --help | sed -n 's/.*NAME is of those inside: //p'); do
	run kvlift policy load "$name" $MNT --stats >"$TMP/out"
	grep -q "policy $name, link" "$TMP/out" && pol_is name "$name" || fail "$(cat "$TMP/out")"
	awk -v p="$name" '$2 == "processed" { print p, $1, $3 }' "$TMP/out" >>"$TMP/now"
done
kvlift policy unload $MNT || fail unload
[ "$(wc -l <"$TMP/now")" -ge 30 ] || fail "only $(wc -l <"$TMP/now") programs: $(cat "$TMP/now")"

# A quarter more or less, or 40: a compiler may differ a little.
awk -v c="$column" '
	NR == FNR { if ($1 !~ /^(#|policy$)/) want[$1 " " $2] = $c; next }
	{
		id = $1 " " $2; n = $3; w = want[id]; slack = w / 4 + 40; seen[id] = 1
		if (!(id in want)) print id ": not in verified.txt, " n " now"
		else if (n > w + slack || n < w - slack) print id ": " n " now, " w " in verified.txt"
	}
	END { for (id in want) if (!(id in seen)) print id ": in verified.txt, but there is no such program" }
' "$JOB/verified.txt" "$TMP/now" >"$TMP/bad"
[ ! -s "$TMP/bad" ] || fail "$(cat "$TMP/bad"; echo now:; cat "$TMP/now")"
say "$(awk '{ s += $3; if ($3 > m) { m = $3; id = $2 } } END { print NR " programs, " s " instructions, most in " id ": " m }' "$TMP/now")"
