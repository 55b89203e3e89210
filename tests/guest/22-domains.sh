#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A tenant that thrashes takes no guaranteed block of another; limits steer, stop, and lose nothing.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# time: 240
. "$(dirname "$0")/lib.sh"

need_nvme
load
B=65536
tier_of() { kvtctl tiers "$1" | awk -v t="$2" '{ for (i = 1; i < NF; i++) if ($i == t) print $(i + 1) }'; }
# of DIR FIELD: a number of `kvlift domain show`, e.g. dram.reclaimed
of() {
	kvlift domain show "$1" --json | awk -v RS='[,{}]' -v want="$2" '
		BEGIN { n = split(want, w, "."); key = w[n]; tier = n > 1 ? w[1] : "" }
		/^"(gpu|dram|cxl|nvme)":$/ { split($0, t, "\""); now = t[2] }
		{ split($0, f, "\""); if (f[2] == key && now == tier) { sub(/.*:/, ""); print; exit } }'
}
# in_dram_at_most FILE MAX
# A limit gives way to who has waited for 2 s, which a slow guest may make happen.
in_dram_at_most() { [ "$(tier_of "$1" dram)" -le $(($2 + $(counter domain_exceeded))) ]; }
new_tenants() {
	! grep -q " $MNT kvlift " /proc/mounts || umount_pool
	mkpool 64K 4M "${1:--}" 64M
	mkdir $MNT/a $MNT/b
}
# thrash: tenant b goes through four times the DRAM of the pool, while a comes
# back to its hot set now and then; prints a's hits, and what it looked at.
thrash() {
	local hits=0 seen=0 i
	kvtctl fill $MNT/b/scan 2 $((256 * B)) || fail "fill b"
	for i in 1 2 3 4 5 6; do
		kvtctl check $MNT/b/scan 2 $((256 * B)) || fail "check b"
		hits=$((hits + $(tier_of $MNT/a/hot dram)))
		seen=$((seen + $1))
		[ $((i % 2)) = 0 ] || kvtctl check $MNT/a/hot 1 $(($1 * B)) || fail "check a"
	done
	HITS=$((100 * hits / seen))
	say "$2: a hits $HITS % of $seen, a has $(tier_of $MNT/a/hot dram) of $1 blocks in DRAM, b $(tier_of $MNT/b/scan dram)"
}

# 64 slots, 4 of them kept free. 48 are a's hot set.
new_tenants
run kvlift domain set $MNT/a --guarantee dram=3M
run kvlift domain set $MNT/b
kvtctl fill $MNT/a/hot 1 $((48 * B)) || fail "fill a"
thrash 48 "guaranteed"
[ $HITS = 100 ] || fail "guaranteed blocks were taken"
[ "$(tier_of $MNT/a/hot dram)" = 48 ] || fail "guaranteed blocks were taken"
[ "$(of $MNT/a dram.reclaimed)" = 0 ] || fail "reclaimed $(of $MNT/a dram.reclaimed) of a"
[ "$(of $MNT/b dram.reclaimed)" -gt 200 ] || fail "b did not thrash"
# Taken back, it goes the way of the rest: the larger gives.
run kvlift domain set $MNT/a --guarantee dram=0
thrash 48 "not guaranteed"
[ "$(tier_of $MNT/a/hot dram)" -lt 44 ] || fail "the control did not fail: a kept $(tier_of $MNT/a/hot dram)"
[ "$(of $MNT/a dram.reclaimed)" -gt 0 ] || fail "nothing reclaimed of a"

# Fair shares by weight, with nobody coming back to anything.
share() {
	new_tenants
	run kvlift domain set $MNT/a --weight $1
	run kvlift domain set $MNT/b --weight 100
	kvtctl fill $MNT/a/hot 1 $((56 * B)) || fail "fill a"
	kvtctl fill $MNT/b/scan 2 $((256 * B)) || fail "fill b"
	say "weight $1:100: a has $(tier_of $MNT/a/hot dram), b $(tier_of $MNT/b/scan dram)"
	[ "$(tier_of $MNT/a/hot dram)" -ge $2 ] && [ "$(tier_of $MNT/a/hot dram)" -le $3 ] ||
		fail "a has $(tier_of $MNT/a/hot dram), not $2 to $3"
}
share 100 24 34
share 300 38 50
# Without domains it is plain LRU: what is not used goes, all of it.
new_tenants
kvtctl fill $MNT/a/hot 1 $((48 * B)) || fail "fill a"
kvtctl fill $MNT/b/scan 2 $((256 * B)) || fail "fill b"
[ "$(tier_of $MNT/a/hot dram)" = 0 ] || fail "$(tier_of $MNT/a/hot dram) cold blocks stayed"

# A limit is kept at the cost of the domain's own blocks, never of others'.
new_tenants
T=/sys/kernel/tracing
[ ! -e $T/events/kvlift ] || echo 1 >$T/events/kvlift/kvlift_limit/enable
run kvlift domain set $MNT/b --limit dram=1M
kvtctl fill $MNT/a/hot 1 $((40 * B)) || fail "fill a"
for i in 1 2 3; do
	kvtctl fill $MNT/b/f 3 $((64 * B)) || fail "fill under a limit"
	in_dram_at_most $MNT/b/f 16 || fail "$(tier_of $MNT/b/f dram) blocks in DRAM, the limit is 16"
	kvtctl check $MNT/b/f 3 $((64 * B)) || fail "check under a limit"
	in_dram_at_most $MNT/b/f 16 || fail "$(tier_of $MNT/b/f dram) blocks in DRAM after reading"
	kvlift advise $MNT/b/f --willneed --wait 1 >/dev/null
	in_dram_at_most $MNT/b/f 16 || fail "$(tier_of $MNT/b/f dram) blocks in DRAM after prefetch"
done
[ "$(of $MNT/b dram.limit_hits)" -gt 0 ] || fail "no limit was hit"
[ "$(counter domain_limited)" -gt 0 ] || fail "not counted"
if [ -e $T/events/kvlift ]; then
	grep -q 'kvlift_limit: pool=.* tier=dram .* limit=16$' $T/trace || fail "no kvlift_limit: $(tail -n 3 $T/trace)"
	echo 0 >$T/events/kvlift/kvlift_limit/enable
fi
most=3
[ "${KVLIFT_KERNEL:-}" != debug ] || most=12
[ "$(counter domain_exceeded)" -le $most ] || fail "limit exceeded $(counter domain_exceeded) times"
[ "$(tier_of $MNT/a/hot dram)" = 40 ] || fail "b's limit cost a blocks: $(kvtctl tiers $MNT/a/hot)"
run kvlift domain set $MNT/b --limit dram=256K
until_true 10 in_dram_at_most $MNT/b/f 4 || fail "lowered: $(kvtctl tiers $MNT/b/f)"
kvtctl check $MNT/b/f 3 $((64 * B)) || fail "check after lowering"
[ "$(tier_of $MNT/a/hot dram)" = 40 ] || fail "lowering b's limit cost a blocks"
run kvlift domain set $MNT/b --limit dram=none
kvtctl check $MNT/b/f 3 $((16 * B)) || fail "check without a limit"
[ "$(tier_of $MNT/b/f dram)" -ge 12 ] || fail "a limit that is gone still limits"

# A rate bounds what prefetch brings up for a domain, and holds up nobody else.
new_tenants
run kvlift domain set $MNT/a --willneed-rate 256K
kvtctl fill $MNT/a/f 5 $((32 * B)) || fail "fill a"
kvtctl fill $MNT/b/f 6 $((24 * B)) || fail "fill b"
kvlift advise $MNT/a/f --dontneed --wait 20 >/dev/null || fail "demote a"
kvlift advise $MNT/b/f --dontneed --wait 20 >/dev/null || fail "demote b"
s=$(date +%s)
kvlift advise $MNT/a/f --willneed >/dev/null || fail "ask for a"
kvlift advise $MNT/b/f --willneed --wait 20 >/dev/null || fail "b waited for a"
[ "$(tier_of $MNT/b/f dram)" = 24 ] || fail "b: $(kvtctl tiers $MNT/b/f)"
n=$(tier_of $MNT/a/f dram) e=$(($(date +%s) - s))
[ "${n:-0}" -le $((4 * e + 6)) ] || fail "$n blocks of a came in $e s at 4 a second"
run kvlift domain set $MNT/a --willneed-rate 0
kvlift advise $MNT/a/f --willneed --wait 20 >/dev/null || fail "a without a rate"
[ "$(tier_of $MNT/a/f dram)" = 32 ] || fail "a: $(kvtctl tiers $MNT/a/f)"
kvtctl check $MNT/a/f 5 $((32 * B)) || fail "check a"

# The slower memory takes what is above it, at once.
if [ -n "$KVLIFT_CXL_NODE" ]; then
	new_tenants 4M
	run kvlift domain set $MNT/b --limit dram=512K
	kvtctl fill $MNT/b/f 3 $((40 * B)) || fail "fill"
	in_dram_at_most $MNT/b/f 8 || fail "$(kvtctl tiers $MNT/b/f)"
	[ "$(tier_of $MNT/b/f cxl)" -ge 28 ] || fail "not in CXL: $(kvtctl tiers $MNT/b/f)"
	run kvlift domain set $MNT/b --limit cxl=512K
	kvtctl fill $MNT/b/f 4 $((40 * B)) || fail "fill"
	until_true 10 in_dram_at_most $MNT/b/f 8
	[ "$(tier_of $MNT/b/f cxl)" -le 8 ] || fail "limit of CXL: $(kvtctl tiers $MNT/b/f)"
	kvtctl check $MNT/b/f 4 $((40 * B)) || fail "check"
	# With every tier limited, together they limit what is stored.
	run kvlift domain set $MNT/b --limit nvme=2M
	[ "$(kvtctl write $MNT/b/g 0 $((20 * B)))" != ok ] || fail "stored more than all limits"
	kvtctl check $MNT/b/f 4 $((40 * B)) || fail "check at the limit of all tiers"
fi

# A mapping's store and a large write: refused where the limit is, no byte lost.
new_tenants
run kvlift domain set $MNT/b --total 1M
[ "$(kvtctl write $MNT/b/f 0 $((24 * B)) 5)" = EDQUOT ] || fail "written above the total limit"
[ "$(of $MNT/b charged)" = 16 ] || fail "not up to the limit: $(kvlift domain show $MNT/b)"
[ "$(kvtctl write $MNT/b/g 0 $B)" = EDQUOT ] || fail "above the total limit"
truncate -s $((20 * B)) $MNT/b/f
[ "$(kvtctl store $MNT/b/f $((18 * B)))" = 7 ] || fail "no SIGBUS above the total limit"
kvtctl check $MNT/b/f 5 $((16 * B)) || fail "check at the total limit"
[ "$(kvtctl write $MNT/a/f 0 $((24 * B)))" = ok ] || fail "a cannot write"
df -k $MNT/b | awk 'NR == 2 { exit !($2 == 1024 && $4 == 0) }' || fail "df: $(df -k $MNT/b)"
rm $MNT/b/f $MNT/b/g $MNT/a/f
[ "$(of $MNT/b charged)" = 0 ] && [ "$(of $MNT/b peak)" = 16 ] || fail "$(kvlift domain show $MNT/b)"

# The tool says what is wrong.
out=$(kvlift domain set $MNT/a --guarantee dram=1G 2>&1) && fail "1G of 4M guaranteed"
grep -q 'at most 3840K' <<<"$out" || fail "$out"
mkdir $MNT/c
touch $MNT/c/f
out=$(kvlift domain set $MNT/c 2>&1) && fail "a directory with files became a domain"
grep -q 'entries' <<<"$out" || fail "$out"
run kvlift domain set $MNT/a --guarantee dram=1M --weight 10
kvlift domain list $MNT >"$TMP/list" || fail "list"
[ "$(grep -c domain "$TMP/list")" = 3 ] || fail "list: $(cat "$TMP/list")"
kvlift domain list $MNT --json >"$TMP/list" || fail "list --json"
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 3' "$TMP/list" || fail "list --json: $(cat "$TMP/list")"
fi
[ "$(grep -c '^id=' /sys/fs/kvlift/"$(pool)"/domains)" = 3 ] || fail "sysfs: $(cat /sys/fs/kvlift/"$(pool)"/domains)"
rm -r $MNT/a $MNT/b $MNT/c
grep -q '^domains 1$' /sys/fs/kvlift/objects || fail "left over: $(cat /sys/fs/kvlift/objects)"

for t in - 4M; do
	[ $t = - ] || [ -n "$KVLIFT_CXL_NODE" ] || continue
	umount_pool
	mkpool 64K 4M $t 64M
	run domains $MNT
	expect_used 0
	run domains $MNT pinned
	run domains $MNT stress 15 ${RANDOM}
	expect_used 0
	until_true 5 grep -q '^domains 1$' /sys/fs/kvlift/objects || fail "left over: $(cat /sys/fs/kvlift/objects)"
done
check_clean
