#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What one user tells the policy does no harm to another's blocks or sessions, nor to the pool.
# guest: --devices none
# kernels: 6.12
# time: 120
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/policy.sh"

need_cmd setpriv
load
need_policies
mkpool 64K 4M - - mode=1777
pool >"$TMP/pool"
KB=65536
as() { local u=$1; shift; setpriv --reuid "$u" --regid "$u" --clear-groups "$@"; }
# say_hints USER HINTS...
say_hints() {
	local out user=$1
	shift
	out=$(as "$user" hintctl $MNT "$@") || fail "hints of $user: $*"
	[ "$out" = $# ] || fail "hints of $user: $out taken of $# $*"
}
# tell USER HINTS...: and wait until the policy has heard it: it hears calls in
# their order, and the last one is a request.
tell() {
	local n
	n=$(pol told)
	# shellcheck disable=SC2317
	heard() { [ "$(pol told)" -gt "$n" ]; }
	say_hints "$@"
	case ${!#} in
	request:*) ;;
	*) say_hints root chain:$MNT/mark:0:1 request:12345 ;;
	esac
	until_true 10 heard || fail "the policy hears nothing"
}
# grew FIELD CMD...: by how much
grew() {
	local field=$1 from
	shift
	from=$(pol "$field")
	"$@" || exit
	echo $(($(pol "$field") - ${from:-0}))
}

kvtctl fill $MNT/mark 0 $KB
as alice kvtctl fill $MNT/a 1 $((4 * KB))
as bob kvtctl fill $MNT/b 2 $((4 * KB))
chmod 644 $MNT/a $MNT/b
run kvlift policy load "$BPF/ear.bpf.o" $MNT >/dev/null

# Sessions: nobody ends another's.
A=$(id -u alice) B=$(id -u bob) G=$((0x61C8864680B583EB))
tell alice chain:$MNT/a:0:4 request:7
n=$(grew call_hint tell bob request:0 over:0)
[ "$n" = 0 ] || fail "who has no request ended the session of the last one"
n=$(grew call_hint tell bob chain:$MNT/b:0:1 request:8 over:0)
[ "$n" = 1 ] || fail "one's own session: $n hints"
tell bob over:7 over:$((7 ^ A * G ^ B * G)) over:$((7 ^ A * G))
n=$(grew bypassed tell alice chain:$MNT/a:0:4 request:7)
[ "$n" = 0 ] || fail "alice's session was ended by bob"
n=$(grew bypassed tell alice chain:$MNT/a:100:4 request:7)
[ "$n" = 0 ] || fail "alice's session was ended by bob"
tell alice over:7
n=$(grew bypassed tell alice chain:$MNT/a:200:4 request:7)
[ "$n" = 4 ] || fail "alice's session goes on: $n of 4 were bypassed"

# Who may only read has no use for blocks that are not there.
tell bob see:$MNT/a:0:4 request:9
n=$(grew misses tell bob see:$MNT/a:0:4 see:$MNT/a:300:30 request:9)
[ "$n" = 0 ] || fail "bob asks for $n blocks that he cannot make"
[ "$(hintctl $MNT see:$MNT/a:$((1 << 60)):1)" = EINVAL ] || fail "a block beyond all files"

# The memory is full of blocks that could go: so there is room for others.
# room WHAT
room() {
	local n
	n=$(grew bypassed tell bob chain:$MNT/b:1000:20 request:22)
	[ "$n" = 0 ] || fail "$1: $n of 20 were bypassed, $(pol resident) of $(pol capacity) are resident"
}
run kvlift policy load prefix $MNT >/dev/null
as alice kvtctl fill $MNT/c 3 $KB
for ((i = 0; i < 64; i += 2)); do
	circles+=("parent:$MNT/c:$i:$((i + 1))" "parent:$MNT/c:$((i + 1)):$i")
	alone+=("chain:$MNT/c:$i:1" request:20)
	alone2+=("chain:$MNT/c:$((i + 1)):1" request:20)
done
# Parents are found by files that are open for reading: the blocks first.
tell alice "${alone[@]}"
tell alice "${alone2[@]}"
tell alice "${circles[@]}"
room "blocks that are each other's parents"
tell alice "${alone[@]}"
tell alice "${alone2[@]}"
say_hints alice chain:$MNT/c:0:64
room "a chain without a request"
run kvlift policy unload $MNT >/dev/null

# One request over the blocks of two policies: each has its part of it, and
# both hear of the session.
for d in d e; do
	mkdir $MNT/$d
	run kvlift domain set $MNT/$d --weight 200
	kvtctl fill $MNT/$d/f 4 $((4 * KB))
done
run kvlift policy load "$BPF/ear.bpf.o" $MNT >/dev/null
until_true 5 pol_is state active || fail "$(pol state)"
say_hints root chain:$MNT/d/f:0:4 request:29
id=()
for d in d e; do
	run kvlift policy load "$BPF/ear.bpf.o" $MNT/$d >/dev/null
	id+=("$(kvlift domain show $MNT/$d --json | sed -n 's/.*"id":\([0-9]*\).*/\1/p')")
done
# What is there already is a directory's from the beginning, and only its.
for i in "${id[@]}"; do
	[ "$(pol resident "$i")" = 4 ] || fail "of 4 blocks domain $i knows $(pol resident "$i")"
done
n=$(pol told "${id[0]}").$(pol told "${id[1]}")
say_hints root chain:$MNT/d/f:0:300 chain:$MNT/e/f:0:4 request:30
say_hints root returns:30:1000
# shellcheck disable=SC2317
both() { [ "$(pol "$1" "${id[0]}").$(pol "$1" "${id[1]}")" = "$2" ]; }
until_true 10 both told 1.1 || fail "told: ${n}, now $(pol told "${id[0]}").$(pol told "${id[1]}")"
until_true 10 both call_hint 1.1 || fail "heard of the session: $(pol call_hint "${id[0]}").$(pol call_hint "${id[1]}")"
[ "$(pol hits "${id[1]}")" = 4 ] || fail "$(pol hits "${id[1]}") hits of 4"

# One of a directory alone is asked, too.
run kvlift policy unload $MNT >/dev/null
for d in d e; do run kvlift policy unload $MNT/$d >/dev/null; done
run kvlift policy load "$BPF/ear.bpf.o" $MNT/e >/dev/null
n=$(pol call_admit "${id[1]}")
kvtctl fill $MNT/e/g 4 $((4 * KB))
# shellcheck disable=SC2317
asked() { [ "$(pol call_admit "${id[1]}")" -gt "${n:-0}" ]; }
until_true 10 asked || fail "$MNT/e: $(kvlift policy show $MNT/e)"
run kvlift policy load "$BPF/ear.bpf.o" $MNT >/dev/null

# An attach() that says neither yes nor no.
kvlift policy load "$BPF/positive.bpf.o" $MNT >"$TMP/out" 2>&1 && fail "positive was loaded"
grep -q 'ejected (refused, -22).*policy ear stays' "$TMP/out" || fail "positive: $(cat "$TMP/out")"
pol_is name ear && pol_is state active || fail "$(pol name) $(pol state)"
kvlift policy unload $MNT >/dev/null
kvlift policy load "$BPF/positive.bpf.o" $MNT >"$TMP/out" 2>&1 && fail "positive was loaded"
grep -q 'ejected (refused, -22)' "$TMP/out" || fail "positive: $(cat "$TMP/out")"

run kvlift policy unload $MNT/e >/dev/null
umount_pool

rmmod_in_time
load
check_clean
