#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Policies are loaded, exchanged, shown and taken away under load; bpftool sees all of it.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# time: 500
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/policy.sh"

need_nvme
load
need_policies
swaps=50
[ "${KVLIFT_KERNEL:-}" != debug ] || swaps=10
mkpool 64K 4M - 64M
p=$(pool)
echo "$p" >"$TMP/pool"
MB=1048576

# Before there is one.
[ "$(kvlift policy list | wc -l)" = 2 ] || fail "list: $(kvlift policy list)"
pol_is state none || fail "state $(pol state)"
kvlift policy unload $MNT 2>"$TMP/err" && fail "unloaded what was not there"
grep -q 'no BPF policy is loaded' "$TMP/err" || fail "$(cat "$TMP/err")"

# Every policy that is shipped passes the verifier and decides.
load_start 2 $((3 * MB))
for name in $(kvlift policy --help | sed -n 's/.*NAME is of those inside: //p'); do
	say "loading $name"
	kvlift policy load "$name" $MNT --stats >"$TMP/out" || fail "$name: $(cat "$TMP/out")"
	grep -q "policy $name, link" "$TMP/out" && grep -q '_victims.* processed [0-9]* insns' "$TMP/out" || fail "$(cat "$TMP/out")"
	# It names no victim, so it does not stay.
	[ "$name" != noop ] || continue
	pol_is name "$name" && pol_is state active || fail "$name: $(pol name) $(pol state) $(pol reason)"
	n=$(pol call_victims) short=$(pol victims_short)
	goes_on "$name"
	pol_is state active || fail "$name was ejected: $(pol reason)"
	[ "$(pol call_victims)" -gt "${n:-0}" ] || fail "$name was not asked"
	# All that it says is right: past its 255th request, too (advise_kfunc.c).
	[ "$name" != gittins ] || until_true 60 pol_past requests 300 || fail "$(pol requests) requests"
	[ "$(pol victims_short)" = "$short" ] || fail "$name: no victim, $(pol victims_short) times in all, $short before"
	say "$name: victims $(pol victims), short $(pol victims_short), bad $(pol bad_answers), longest callback so far $(pol callbacks_ns_max) ns"
done

# What is shown.
run kvlift policy load simple $MNT >"$TMP/out"
grep -q 'in place of' "$TMP/out" || fail "does not say what was replaced: $(cat "$TMP/out")"
[ "$(ls $PINS/$p)" = "policy"$'\n'"policy_progs" ] || fail "pinned: $(ls $PINS/$p)"
kvlift policy show $MNT >"$TMP/out" || fail "show"
grep -q "^$MNT: policy simple, BPF, link [0-9]*, pinned at $PINS/$p/policy, for " "$TMP/out" || fail "show: $(cat "$TMP/out")"
kvlift policy show "$p" --json >"$TMP/show" || fail "show --json"
kvlift policy list --json >"$TMP/list" || fail "list --json"
kvlift status --json >"$TMP/status" || fail "status --json"
grep -q '"policy":"simple"' "$TMP/status" || fail "status: $(cat "$TMP/status")"
if command -v python3 >/dev/null; then
	[ "$(json "$TMP/show" 'd["name"], d["state"], d["victims"] > 0, len(d["programs"]) >= 4, d["link_id"] > 0')" = "('simple', 'active', True, True, True)" ] ||
		fail "show --json: $(cat "$TMP/show")"
	[ "$(json "$TMP/list" '[(e["dir"], e["name"], e["pin"]) for e in d]')" = "[('$MNT', 'simple', '$PINS/$p/policy')]" ] ||
		fail "list --json: $(cat "$TMP/list")"
fi

# bpftool, on something with maps.
run kvlift policy load "$BPF/watch.bpf.o" $MNT >"$TMP/out"
goes_on watch
if command -v bpftool >/dev/null; then
	for f in "$PINS/$p"/policy_progs/*; do
		bpftool prog show pinned "$f" >"$TMP/out" 2>&1 && grep -q 'struct_ops  name watch_' "$TMP/out" || fail "prog show $f: $(cat "$TMP/out")"
		bpftool prog dump xlated pinned "$f" >"$TMP/out" 2>&1 && grep -q 'KVLIFT_CALLBACK' "$TMP/out" || fail "prog dump $f: $(cat "$TMP/out")"
	done
	for f in "$PINS/$p"/policy_maps/*; do
		bpftool map show pinned "$f" >"$TMP/out" 2>&1 || fail "map show $f: $(cat "$TMP/out")"
		bpftool -j map dump pinned "$f" >"$TMP/dump" 2>&1 || fail "map dump $f: $(cat "$TMP/dump")"
	done
	bpftool -j map dump pinned "$PINS/$p/policy_maps/watch_seen" >"$TMP/dump"
	! command -v python3 >/dev/null || [ "$(json "$TMP/dump" 'd[0]["formatted"]["value"]["added"] > 0')" = True ] || fail "map dump: $(cat "$TMP/dump")"
	id=$(pol link_id)
	bpftool link show pinned "$PINS/$p/policy" >"$TMP/out" 2>&1 && grep -q "^$id: struct_ops" "$TMP/out" || fail "link show: $(cat "$TMP/out")"
	bpftool link show id "$id" >/dev/null || fail "link show id"
	bpftool btf list >"$TMP/out" 2>&1 && grep -q 'name \[kvlift\]' "$TMP/out" || fail "btf list: $(cat "$TMP/out")"
	bpftool prog show >"$TMP/out" && grep -q watch_added "$TMP/out" || fail "prog show"
	bpftool map show >"$TMP/out" && grep -q watch_seen "$TMP/out" || fail "map show"
	btf=$(bpftool map show pinned "$PINS/$p/policy_maps/watch_seen" | sed -n 's/.*btf_id \([0-9]*\).*/\1/p')
	bpftool btf dump id "$btf" >"$TMP/out" 2>&1 && grep -q "STRUCT 'seen'" "$TMP/out" || fail "btf dump: $(head -n 3 "$TMP/out")"
	load_ok bpftool
fi

# Exchanged under load by the tool; the link stays the same, nothing piles up.
for ((i = 0; i < swaps; i++)); do
	name=lru
	[ $((i % 2)) = 0 ] || name=simple
	kvlift policy load $name $MNT >"$TMP/out" 2>&1 || fail "swap $i: $(cat "$TMP/out")"
	pol_is name $name || fail "swap $i: $(pol name)"
	load_ok "swap $i"
done
[ "$(pol link_id)" = "${id:-$(pol link_id)}" ] || fail "another link after $swaps swaps"
goes_on "$swaps swaps"
[ "$(ls $PINS/$p)" = "policy"$'\n'"policy_progs" ] || fail "pinned: $(ls $PINS/$p)"
# shellcheck disable=SC2317
one_left() { [ "$(bpftool prog show | grep -c 'struct_ops  name')" = 4 ]; }
! command -v bpftool >/dev/null || until_true 10 one_left || fail "programs are left: $(bpftool prog show | grep struct_ops)"

# One that is not accepted changes nothing.
for bad in bpf_loop storage; do
	kvlift policy load "$BPF/$bad.bpf.o" $MNT >"$TMP/out" 2>&1 && fail "$bad was loaded"
	pol_is name simple && pol_is state active || fail "$bad took simple away: $(pol name) $(pol state)"
	[ "$(ls $PINS/$p)" = "policy"$'\n'"policy_progs" ] || fail "after $bad: $(ls $PINS/$p)"
done
kvlift policy load nothing $MNT 2>"$TMP/err" && fail "loaded a policy that does not exist"
grep -q 'there is: .*lru' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift policy load lru /tmp 2>"$TMP/err" && fail "loaded into /tmp"
kvlift policy load lru 99 2>"$TMP/err" && fail "loaded into pool 99"
grep -q 'no such pool' "$TMP/err" || fail "$(cat "$TMP/err")"
if command -v setpriv >/dev/null; then
	setpriv --reuid alice --regid alice --clear-groups env PATH="$PATH" kvlift policy load lru "$p" 2>"$TMP/err" && fail "anybody can load policies"
	grep -Eq 'ermi|root' "$TMP/err" || fail "as alice: $(cat "$TMP/err")"
	setpriv --reuid alice --regid alice --clear-groups env PATH="$PATH" kvlift policy list | grep -q simple || fail "list as alice"
fi
goes_on "what was refused"

# Taken away: the default decides.
run kvlift policy unload $MNT
pol_is state none && pol_is name "$(pol builtin)" || fail "after unload: $(pol state)"
[ ! -e $PINS ] || fail "left over: $(find $PINS)"
goes_on "unload"

# A loader that is killed, with nothing pinned.
kvlift policy load lru $MNT --hold >"$TMP/held" 2>&1 &
holder=$!
until_true 20 grep -q 'Ctrl-C' "$TMP/held" || fail "--hold: $(cat "$TMP/held")"
pol_is state active || fail "--hold: $(pol state)"
kvlift policy load simple $MNT 2>"$TMP/err" && fail "loaded beside one that is held"
grep -q 'held' "$TMP/err" || fail "$(cat "$TMP/err")"
kvlift policy show $MNT | grep -q 'held by a program' || fail "$(kvlift policy show $MNT | head -n 1)"
kill -9 $holder
t0=$(date +%s%N)
until_true 5 pol_is state none || fail "the loader is dead, its policy is not: $(pol state)"
say "loader killed: the default decides after $((($(date +%s%N) - t0) / 1000000)) ms"
wait $holder 2>/dev/null
kvlift policy load lru $MNT --hold >"$TMP/held" 2>&1 &
holder=$!
until_true 20 grep -q 'Ctrl-C' "$TMP/held" || fail "--hold: $(cat "$TMP/held")"
kill -INT $holder
wait $holder || fail "--hold ends with $? at Ctrl-C"
pol_is state none || fail "after Ctrl-C: $(pol state)"

# A directory with a policy of its own, beside the pool's.
mkdir $MNT/d $MNT/plain
run kvlift domain set $MNT/d --guarantee dram=1M
kvlift policy load lru $MNT/plain 2>"$TMP/err" && fail "loaded into a directory that is no domain"
grep -q 'kvlift domain set' "$TMP/err" || fail "$(cat "$TMP/err")"
run kvlift policy load simple $MNT >/dev/null
run kvlift policy load lru $MNT/d >/dev/null
d=$(kvlift domain show $MNT/d --json | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
pol_is name lru "$d" && pol_is name simple || fail "$(cat "/sys/fs/kvlift/$p/policy")"
[ -e "$PINS/$p/policy-$d" ] && [ -e "$PINS/$p/policy" ] || fail "pinned: $(ls $PINS/$p)"
kvlift policy list | grep -q "^$p:$d .*lru .*active" || fail "list: $(kvlift policy list)"
work 8 $((2 * MB)) $MNT/d & workers+=($!)
work 9 $((2 * MB)) $MNT/d & workers+=($!)
until_true 60 grep -qs . "$TMP/rounds.8" || fail "no round in $MNT/d"
goes_on "two policies"
[ "$(pol call_added "$d")" -gt 0 ] || fail "the directory's policy was not told: $(kvlift policy show $MNT/d)"
run kvlift policy load simple "$p:$d" >/dev/null
pol_is name simple "$d" || fail "swap in a directory: $(pol name "$d")"
run kvlift policy unload $MNT/d
pol_is state none "$d" && pol_is state active || fail "unload $MNT/d: $(cat "/sys/fs/kvlift/$p/policy")"
run kvlift policy load lru $MNT/d >/dev/null
touch "$TMP/stop"
wait "${workers[@]}"
load_ok "two policies"
# The directory goes under its policy.
rm -r $MNT/d
goes_on_after() { kvtctl fill $MNT/after 1 $((6 * MB)) && kvtctl check $MNT/after 1 $((6 * MB)); }
goes_on_after || fail "after the directory went"
run kvlift policy unload "$p:$d"
rm -rf "${MNT:?}"/*

# There is room for the policies of more directories than a pool has at a time,
# one after the other; each has a report of its own.
for ((i = 0; i < 20; i++)); do
	mkdir $MNT/d
	run kvlift domain set $MNT/d --guarantee dram=64K
	run kvlift policy load lru $MNT/d >/dev/null
	run kvlift policy unload $MNT/d >/dev/null
	rmdir $MNT/d
done
for ((i = 0; i < 12; i++)); do
	mkdir $MNT/d$i
	run kvlift domain set $MNT/d$i --guarantee dram=64K
	run kvlift policy load lru $MNT/d$i >/dev/null
done
[ "$(kvlift policy list | grep -c "^$p:.*lru .*active")" = 12 ] || fail "12 directories: $(kvlift policy list)"
kvlift policy show $MNT/d11 >"$TMP/out" && grep -q remembered_max "$TMP/out" || fail "the last one: $(cat "$TMP/out")"
for ((i = 0; i < 12; i++)); do run kvlift policy unload $MNT/d$i >/dev/null; done
rm -rf "${MNT:?}"/*

# Memory that is added is remembered, too.
n=$(pol remembered_max)
run fsconf remount $MNT dram=64M
# shellcheck disable=SC2317
more_remembered() { kvtctl fill $MNT/grow 1 $((4 * MB)) && [ "$(pol remembered_max)" -gt "$n" ]; }
until_true 20 more_remembered || fail "of 64M as many blocks are remembered as of 4M: $n"

# An unmount under a policy; what is pinned then is taken away by its number.
umount_pool
[ -e "$PINS/$p/policy" ] || fail "the pin went with the pool"
run kvlift policy unload "$p"
[ ! -e $PINS ] || fail "left over: $(find $PINS)"
rmmod_in_time
load
check_clean
