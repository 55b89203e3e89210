#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Tracing: maps agree with the module's counters, events add up, detaching leaves nothing, the document's commands work.
# guest: --devices nvme --memory 2G
# kernels: 6.12
# also: newest
# time: 300
# files: docs/tracing.md
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd bpftool python3
JOB=$PWD
T=/sys/kernel/tracing
P=/sys/fs/bpf/kvlift/trace
B=65536
load
[ -e /sys/kernel/btf/kvlift ] || fail "the module has no BTF"
[ -d $T/events/kvlift ] || fail "no tracepoints"
mountpoint -q /sys/fs/bpf || fail "no BPF filesystem"

# Everything that a program of ours could leave.
# shellcheck disable=SC2317
nothing_left() {
	[ -z "$(bpftool prog list | grep raw_tracepoint)$(bpftool map list | grep -E 'name (kvl_|trace_)')" ] && [ ! -e /sys/fs/bpf/kvlift ]
}
# shellcheck disable=SC2317
only_mounts() { [ "$(cat /sys/module/kvlift/refcnt)" = "$(grep -c ' kvlift ' /proc/mounts)" ]; }
expect_nothing() {
	until_true 10 nothing_left || fail "left over: $(bpftool prog list; bpftool map list; find /sys/fs/bpf)"
	until_true 10 only_mounts || fail "the module has $(cat /sys/module/kvlift/refcnt) users"
}
# shellcheck disable=SC2317
no_moves() { grep -qx 'moves 0' /sys/fs/kvlift/objects; }
quiet() { until_true 20 no_moves || fail "moves do not end"; }
# hist MAP PHASE FIELD: of the pool
hist() {
	bpftool -j map dump pinned $P/"$1" >"$TMP/dump" || fail "dump of $1"
	python3 - "$TMP/dump" "$(pool)" "$2" "$3" <<'PY' || fail "the dump of $1 is not typed JSON"
import json, sys
dump, pool, phase, field = json.load(open(sys.argv[1])), int(sys.argv[2]), sys.argv[3], sys.argv[4]
got = 0
for e in (d["formatted"] for d in dump):
    assert set(e["value"]) == {"total", "wait", "queue", "io", "copy", "publish"}, e
    for h in e["value"].values():
        assert len(h["slots"]) == 40 and sum(h["slots"]) == h["count"], h
        assert h["max_ns"] <= h["total_ns"] and (h["count"] > 0) == (h["total_ns"] > 0), h
    whole = sum(h["total_ns"] for n, h in e["value"].items() if n != "total")
    assert whole == e["value"]["total"]["total_ns"], "phases of %d ns, not %d" % (whole, e["value"]["total"]["total_ns"])
    if e["key"]["pool"] == pool:
        got = e["value"][phase][field]
print(got)
PY
}
# Where the kernel lets a program be interrupted, an event that comes meanwhile on
# the same CPU is missed; it counts them.
missed() { bpftool -j prog list | python3 -c 'import json, sys; print(sum(p.get("recursion_misses", 0) for p in json.load(sys.stdin) if p.get("name", "").startswith("latency_")))'; }
# agree MAP PHASE FIELD COUNTER [UNIT]: since the programs were attached; sooner
# or later, since blocks are stored ahead of need at any time
# shellcheck disable=SC2317
same() {
	have=$(hist "$1" "$2" "$3") && want=$(($(counter "$4") - $(cat "$TMP/before.$4"))) && gone=$(missed) || fail "$1 or $4"
	[ $((have * $5)) = $want ] || { [ "$gone" != 0 ] && [ "$gone" -lt 20 ] && [ $((have * $5)) -lt $want ] &&
		{ [ "${3%_ns}" != "$3" ] || [ $(((have + gone) * $5)) -ge $want ]; }; }
}
agree() {
	until_true 5 same "$1" "$2" "$3" "$4" "${5:-1}" || fail "$1 $2 $3: $have in the map, $want in $4"
	say "$1 $2 $3: $have, counter $4: $want, $gone missed"
}
COUNTERS="faults fault_waits promote promote_ns demote demote_ns stored read_bytes write_bytes"
snapshot() { for c in $COUNTERS; do counter "$c" >"$TMP/before.$c"; done; }

# Wrong calls are refused, and say why.
for a in '--events nosuch' '--min 5' '--region 0' '--pin --unpin' '--quiet' '--blocks 5' '--pin --count 3' 'a b'; do
	# shellcheck disable=SC2086
	kvlift trace $a >"$TMP/out" 2>&1
	[ $? = 2 ] && [ -s "$TMP/out" ] || fail "kvlift trace $a: $(cat "$TMP/out")"
done
for a in --unpin --list --show "--pin --dir $TMP/x" "--duration 1s $TMP" '--duration 1s --region /etc/passwd'; do
	# shellcheck disable=SC2086
	kvlift trace $a >"$TMP/out" 2>&1
	[ $? = 1 ] && [ -s "$TMP/out" ] || fail "kvlift trace $a: $(cat "$TMP/out")"
done
su alice -s /bin/sh -c 'kvlift trace --duration 1s' >"$TMP/out" 2>&1 && fail "everybody may trace"
grep -q 'not permitted' "$TMP/out" || fail "alice is not told why: $(cat "$TMP/out")"
expect_nothing

mkpool 64K 16M - 128M depth=4
kvtctl fill $MNT/f 1 $((8 << 20)) && kvtctl fill $MNT/g 2 $((2 << 20)) && kvtctl move $MNT/f nvme || fail "fill"
quiet

# Faults that wait for I/O, one at a time and nothing else: all of it is told.
snapshot
kvlift trace --pin || fail "--pin"
kvlift trace --pin 2>"$TMP/out" && fail "pinned twice"
grep -q 'already' "$TMP/out" || fail "pinned twice: $(cat "$TMP/out")"
for i in 3 70 12 99 45 8 120 31; do
	[ "$(kvtctl load $MNT/f $((i * B)))" = 0 ] || fail "load of block $i"
done
quiet
agree fault total count faults
[ "$(hist fault total count)" -ge 16 ] || fail "this is no test"
agree fault io count fault_waits
[ "$(hist fault io count)" = 8 ] || fail "$(hist fault io count) of 8 faults waited for a device"
[ "$(hist fault copy count)" = 8 ] || fail "$(hist fault copy count) of 8 faults waited for a checksum"
[ "$(hist promote total count)" = 8 ] && [ "$(hist io_read total count)" = 8 ] || fail "not 8 moves"
[ "$(hist request total count)" = 0 ] || fail "requests that nobody made"

# Heat: of these blocks, and of no other.
rm -f "$TMP"/out
for i in 1 2 3 4 5 6 7; do kvtctl read $MNT/g $((5 * B)) $B >>"$TMP/out"; done
kvtctl read $MNT/g $((6 * B)) 100 >>"$TMP/out"
for i in 1 2; do kvtctl touch $MNT/g 8 10 || fail "touch"; done
kvlift advise $MNT/g --touch --range 20:23 >/dev/null || fail "advise"
[ "$(sort -u "$TMP/out")" = ok ] || fail "read: $(sort "$TMP/out" | uniq -c)"
G=$(kvlift where $MNT/g --json >"$TMP/where" && json "$TMP/where" 'd["region"]')
bpftool -j map dump pinned $P/heat >"$TMP/heat" || fail "dump of heat"
python3 - "$TMP/heat" "$(pool)" "$G" <<'PY' || fail "heat"
import json, sys
pool, region = int(sys.argv[2]), int(sys.argv[3])
dump = [d["formatted"] for d in json.load(open(sys.argv[1]))]
h = {d["key"]["index"]: d["value"] for d in dump if d["key"]["pool"] == pool and d["key"]["region"] == region}
assert sorted(h) == [5, 6, 8, 20, 21, 22], sorted(h)
got = {i: (v["touches"], v["faults"], v["rw"], v["hints"]) for i, v in h.items()}
assert got == {5: (7, 0, 7, 0), 6: (1, 0, 1, 0), 8: (2, 0, 0, 2), 20: (1, 0, 0, 1), 21: (1, 0, 0, 1), 22: (1, 0, 0, 1)}, got
# A half life of a minute: not much is lost by now.
assert 5000 < h[5]["heat"] <= 7000 and 700 < h[6]["heat"] <= 1000 and 14000 < h[8]["heat"] <= 20000, h
f = {d["key"]["index"]: d["value"] for d in dump if d["key"]["pool"] == pool and d["key"]["region"] != region}
assert sorted(f) == [3, 8, 12, 31, 45, 70, 99, 120], sorted(f)
assert all(v["faults"] == 1 and v["touches"] == 1 for v in f.values()), f
PY

# All at once: faults, reads, prefetch beyond the device's credit, demotion.
cat >"$TMP/work" <<'SH'
kvtctl move $MNT/f nvme && kvtctl check $MNT/f 1 $((8 << 20)) && kvtctl fill $MNT/h 3 $((24 << 20)) &&
	kvtctl check $MNT/h 3 $((24 << 20)) && kvtctl move $MNT/f nvme && kvtctl request $MNT/f 0 64 &&
	kvtctl move $MNT/f nvme && kvtctl request $MNT/f 32 96
SH
export MNT
kvlift trace --json --stats --events all >"$TMP/live" 2>"$TMP/err" &
live=$!
until_true 20 grep -q watching "$TMP/err" || fail "kvlift trace: $(cat "$TMP/err")"
sh "$TMP/work" >"$TMP/out" || fail "work: $(cat "$TMP/out")"
quiet
kill -INT $live
wait $live || fail "kvlift trace ended with $?: $(cat "$TMP/err")"
agree fault total count faults
agree promote total count promote
agree promote total total_ns promote_ns
agree demote total count demote
agree demote total total_ns demote_ns
agree store total count stored
agree io_read total count read_bytes $B
agree io_write total count write_bytes $B
[ "$(hist request total count)" = 2 ] || fail "$(hist request total count) requests, not 2"
[ "$(hist request io count)" = 2 ] || fail "a request that was read from a device has no I/O"
[ "$(hist io_read queue count)" -gt 0 ] || fail "64 blocks and credit for 4: nothing waited"
kvlift trace --list >"$TMP/out" && grep -q "^$P/heat: [1-9]" "$TMP/out" || fail "--list: $(cat "$TMP/out")"
kvlift trace --list --json >"$TMP/out" && [ "$(json "$TMP/out" 'len(d)')" = 8 ] || fail "--list --json: $(cat "$TMP/out")"
kvlift trace --show >"$TMP/out" && grep -q "promote *$(hist promote total count) " "$TMP/out" || fail "--show: $(cat "$TMP/out")"
kvlift trace --show --json >"$TMP/out" && grep -q '"event":"heat"' "$TMP/out" || fail "--show --json: $(cat "$TMP/out")"
kvlift trace --unpin || fail "--unpin"
expect_nothing

# Live events: each is right by itself, and the ends of both requests are split.
python3 - "$TMP/live" "$TMP/err" <<'PY' || fail "live events: $(head -n 3 "$TMP/live") $(cat "$TMP/err")"
import collections, json, sys
phases = ["wait", "queue", "io", "copy", "publish"]
n, stats, total, missed = collections.Counter(), {}, collections.Counter(), 0
for line in open(sys.argv[1]):
    e = json.loads(line)
    if e["event"] == "stats":
        stats[e["kind"]] = e
        continue
    if e["event"] == "missed":
        missed = e["count"]
        continue
    n[e["event"]] += 1
    if "ns" in e:
        assert e["ns"] == sum(e[p + "_ns"] for p in phases), e
    if e["event"] == "move" and not e["err"] and e["why"] != "store":
        order = ["gpu", "dram", "cxl", "nvme"]
        up = order.index(e["to"]["tier"]) < order.index(e["from"]["tier"])
        total["promote" if up else "demote"] += 1
    if e["event"] == "request":
        assert e["err"] == 0 and e["io_ns"] > 0 and e["cookie"] == e["index"], e
        assert (e["index"], e["count"]) in ((0, 64), (32, 96)), e
print("events:", dict(n))
lost = [l for l in open(sys.argv[2]) if "lost" in l] or missed
assert n["request"] == 2 and n["fault"] and n["io"] and n["touch"], n
print("live:", "nothing missed or lost" if not lost else lost)
if not lost:
    assert total["promote"] == stats["promote"]["count"] and total["demote"] == stats["demote"]["count"], (total, stats)
    assert n["fault"] == stats["fault"]["count"], (n, stats)
PY

# Why a policy was ejected.
R=$KVLIFT_TESTS/bpf/refuse.bpf.o
[ -e "$R" ] || fail "no $R"
kvlift trace --json --events policy --count 1 --duration 20s >"$TMP/policy" 2>"$TMP/err" &
live=$!
until_true 20 grep -q watching "$TMP/err" || fail "kvlift trace: $(cat "$TMP/err")"
kvlift policy load "$R" $MNT >"$TMP/out" 2>&1 && fail "it was to refuse"
wait $live || fail "kvlift trace: $(cat "$TMP/err")"
json "$TMP/policy" '(d["event"], d["name"], d["why"], d["err"], d["reason"])' >"$TMP/out2" || fail "no event: $(cat "$TMP/out" "$TMP/err")"
say "$(cat "$TMP/out2")"
grep -q "'policy', 'refuse', 'refused', -25, '..*'" "$TMP/out2" || fail "wrong event"
kvlift policy unload $MNT >/dev/null 2>&1

# Filters.
F=$(kvlift where $MNT/f --json >"$TMP/where" && json "$TMP/where" 'd["region"]')
kvlift trace --json --region $MNT/f --events all >"$TMP/f" 2>"$TMP/err.f" &
a=$!
kvlift trace --json "$(pool)" --min 300us >"$TMP/min" 2>"$TMP/err.min" &
b=$!
kvlift trace --json $(($(pool) + 1)) --events all >"$TMP/other" 2>"$TMP/err.other" &
c=$!
kvlift trace --json --events move --count 5 $MNT >"$TMP/five" 2>"$TMP/err.five" &
d=$!
for x in f min other five; do until_true 20 grep -q watching "$TMP/err.$x" || fail "$x: $(cat "$TMP/err.$x")"; done
kvtctl move $MNT/f nvme && kvtctl check $MNT/f 1 $((8 << 20)) && kvtctl check $MNT/h 3 $((24 << 20)) || fail "check"
quiet
wait $d || fail "--count: $(cat "$TMP/err.five")"
kill -INT $a $b $c
wait $a && wait $b && wait $c || fail "a filter: $(cat "$TMP"/err.*)"
[ "$(wc -l <"$TMP/five")" = 5 ] || fail "$(wc -l <"$TMP/five") events, not 5"
[ ! -s "$TMP/other" ] || fail "events of another pool"
grep -q "\"region\":$F," "$TMP/f" && ! grep -v "\"region\":$F," "$TMP/f" || fail "events of other regions"
python3 - "$TMP/min" <<'PY' || fail "--min"
import json, sys
e = [json.loads(l) for l in open(sys.argv[1])]
assert e and all(x["ns"] >= 300000 for x in e), len(e)
PY

# Who is killed leaves nothing, either, and whoever stops reading ends it.
kvlift trace --stats >/dev/null 2>"$TMP/err" &
live=$!
until_true 20 grep -q watching "$TMP/err" || fail "kvlift trace: $(cat "$TMP/err")"
kill -9 $live
wait $live 2>/dev/null
expect_nothing
(while :; do kvtctl check $MNT/f 1 $((8 << 20)) && kvtctl move $MNT/f nvme; done) >/dev/null 2>&1 &
work=$!
kvlift trace 2>/dev/null | head -n 3 >"$TMP/out"
[ "$(wc -l <"$TMP/out")" = 3 ] || fail "no events into a pipe"
expect_nothing

# The document: every command as it stands there, in one shell. What needs
# bpftrace is run where that is; its fields are looked up in any case.
[ -r "$JOB/tracing.md" ] || fail "no tracing.md"
python3 - "$JOB/tracing.md" "$TMP/doc.sh" "$(command -v bpftrace)" $T <<'PY' || fail "docs/tracing.md"
import re, sys
doc, out, bpftrace, tracing = open(sys.argv[1]).read(), open(sys.argv[2], "w"), sys.argv[3], sys.argv[4]
blocks = re.findall(r"(?:^    .*\n)+", doc, re.M)
n = left = 0
for b in blocks:
    b = "".join(l[4:] + "\n" for l in b.splitlines())
    for body in b.split("tracepoint:kvlift:")[1:]:
        probe = re.match(r"\w+", body)[0]
        fields = re.findall(r"field:.*?(\w+);", open(f"{tracing}/events/kvlift/{probe}/format").read())
        used = set(re.findall(r"args->(\w+)", body))
        assert used and used <= set(fields), (probe, used - set(fields))
    if "bpftrace" in b and not bpftrace:
        left += 1
        continue
    out.write("echo '@ block %d'\n%s" % (n, b))
    n += 1
print("tracing.md: %d blocks of commands, %d left out: no bpftrace" % (n, left))
assert n + left == 13 and left in (0, 3), (n, left)
PY
bash -e -o pipefail "$TMP/doc.sh" >"$TMP/doc.out" 2>&1 ||
	fail "docs/tracing.md, after $(grep '^@ block' "$TMP/doc.out" | tail -n 1): $(tail -n 5 "$TMP/doc.out")"
grep -q 'kvlift_move: ' "$TMP/doc.out" || fail "docs/tracing.md shows no moves"
[ -z "$(command -v bpftrace)" ] || grep -q '^fault .* NVMe [1-9]' "$TMP/doc.out" || fail "the one-liner split no fault"
kill $work
wait $work 2>/dev/null
expect_nothing

# What the one-liner does, by hand: the last move of the same task splits a fault.
echo 1 >$T/events/kvlift/kvlift_move/enable
echo 1 >$T/events/kvlift/kvlift_fault/enable
echo mono >$T/trace_clock
kvtctl move $MNT/f nvme || fail "move"
echo >$T/trace
for i in 3 70 12 99 45 8 120 31; do kvtctl load $MNT/f $((i * B)) >/dev/null; done
echo 0 >$T/events/kvlift/enable
python3 - $T/trace <<'PY' || fail "the one-liner's logic"
import re, sys
move, split = {}, 0
for line in open(sys.argv[1]):
    m = re.match(r".*-(\d+) .* (\d+\.\d+): kvlift_(\w+): (.*)", line)
    if not m:
        continue
    tid, now, event, f = m[1], float(m[2]) * 1e9, m[3], dict(x.split("=", 1) for x in m[4].split())
    if event == "move" and f["err"] == "0":
        move[tid] = (now, f)
    if event == "fault" and int(f["wait_ns"]):
        at, m = move[tid]
        assert at + int(f["ns"]) > now and m["index"] == f["index"], (m, f)
        rest = int(f["ns"]) - int(m["queue_ns"]) - int(m["io_ns"]) - int(m["copy_ns"])
        assert rest >= 0 and int(m["io_ns"]) > 0 and int(m["copy_ns"]) > 0, (m, f)
        split += 1
assert split == 8, split
PY
echo global >$T/trace_clock
rm $MNT/f $MNT/g $MNT/h
expect_used 0
check_clean
