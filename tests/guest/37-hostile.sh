#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Policies that do harm: never a wrong byte, never a stuck pool, thrown out within a second with a reason.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# time: 420
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/policy.sh"

need_nvme
load
need_policies
mkpool 64K 4M - 64M
p=$(pool)
MB=1048576
swaps=1000 kills=10 races=30 gone=10 limit=1000
case ${KVLIFT_KERNEL:-} in debug) kills=3 races=10 gone=4 limit=5000 ;; esac
load_start 2 $((3 * MB))

# in_force WHAT: the built-in policy decides and works.
in_force() {
	pol_is name "$(pol builtin)" || fail "$1: $(pol name) is in charge"
	goes_on "$1"
}

# put_in NAME KIND: loads it; MS is how long it took from its first deed, as far
# as that can be seen from outside, to its end.
put_in() {
	local bad short t0
	bad=$(pol bad_answers) short=$(pol victims_short)
	# shellcheck disable=SC2317
	begun() { pol_is state ejected || [ "$(pol bad_answers)$(pol victims_short)" != "$bad$short" ]; }
	if kvlift policy load "$BPF/$1.bpf.o" $MNT >"$TMP/out" 2>&1; then
		[ "$2" = timeout ] || until_true 60 begun || fail "$1 did nothing: $(kvlift policy show $MNT)"
		t0=$(date +%s%N)
		until_true 20 pol_is state ejected || fail "$1: not ejected: $(kvlift policy show $MNT)"
		MS=$((($(date +%s%N) - t0) / 1000000))
	else
		MS=0
		grep -q 'was ejected' "$TMP/out" || fail "$1: $(cat "$TMP/out")"
	fi
}

# out NAME KIND WORDS: loaded, ejected in time for that reason, and gone. A
# machine that is busy with other things may need another try.
out() {
	local name=$1 try
	for try in 1 2 3; do
		put_in $name $2
		say "$name: ejected after $MS ms ($(pol kind), $(pol code)): $(pol reason)"
		[ "$(pol last)" = "$name" ] && [ "$(pol kind)" = "$2" ] && grep -q "$3" <<<"$(pol reason)" ||
			fail "$name: $(pol last) $(pol kind) $(pol code) $(pol reason)"
		kvlift policy show $MNT >"$TMP/out"
		grep -q "the last one, $name, was ejected ($2, -[0-9]*): .*$3" "$TMP/out" || fail "$name: $(head -n 3 "$TMP/out")"
		in_force "$name"
		kvlift policy unload $MNT >/dev/null 2>&1
		[ ! -e $PINS ] || fail "$name: left over: $(find $PINS)"
		[ $MS -ge $limit ] || return
	done
	fail "$name: ejected after $MS ms in the last of three tries"
}

# refused NAME WORDS: not even loaded, and the message says what to do.
refused() {
	kvlift policy load "$BPF/$1.bpf.o" $MNT >"$TMP/out" 2>&1 && fail "$1 was loaded"
	grep -q "$2" "$TMP/out" || fail "$1: $(cat "$TMP/out")"
	pol_is state none || pol_is state ejected || fail "$1: $(pol state)"
	[ ! -e $PINS ] || fail "$1: left over: $(find $PINS)"
	say "$1: $(grep -m 1 "$2" "$TMP/out" | cut -c 1-100)"
}

# survives NAME: it may be bad, but nobody else suffers, and it can be taken away.
survives() {
	local n
	kvlift policy load "$BPF/$1.bpf.o" $MNT >"$TMP/out" 2>&1 || fail "$1: $(cat "$TMP/out")"
	for n in 1 2 3; do goes_on "$1"; done
	say "$1: $(pol state) $(pol reason), victims $(pol victims), short $(pol victims_short), bad $(pol bad_answers), longest $(pol callbacks_ns_max) ns"
	kvlift policy unload $MNT >"$TMP/out" 2>&1 || fail "$1: $(cat "$TMP/out")"
	in_force "$1"
}

refused bpf_for 'kvlift_for()'
refused bpf_loop 'kvlift_for()'
refused may_goto 'kvlift_for()'
refused sleep 'may not sleep'
refused storage '64 bytes'
refused flags 'flags'
refused refuse 'ejected (refused, -25)'
load_ok "refused"

out none stall 'no victim'
out garbage answer 'wrong answers'
out same answer 'wrong answers'
out foreign answer 'wrong answers'
out spin timeout 'victims()'
out nest timeout 'added()'

survives churn
survives storm
survives nosize
survives slow

# Gone while it is asked, exchanged, killed, two at a time.
run polswap "$p" nolink "$BPF/slow.bpf.o"
run polswap "$p" detach 40 "$BPF/slow.bpf.o"
in_force "detached"
run polswap "$p" kill $kills "$BPF/slow.bpf.o"
in_force "killed"
run polswap "$p" race $races "$BPF/slow.bpf.o" "$BPF/watch.bpf.o"
in_force "two loaders"
run polswap "$p" swap $swaps "$BPF/slow.bpf.o" "$BPF/churn.bpf.o"
in_force "$swaps swaps"

# By the tool, two at a time: one after the other is in charge, none is lost.
for i in 1 2 3 4; do
	kvlift policy load lru $MNT >"$TMP/a" 2>&1 & a=$!
	kvlift policy load simple $MNT >"$TMP/b" 2>&1 & b=$!
	wait $a || fail "beside another: $(cat "$TMP/a")"
	wait $b || fail "beside another: $(cat "$TMP/b")"
	pol_is state active || fail "of two loaders none is in charge"
	others=0
	for f in "$PINS/$p/policy_progs"/*; do
		case ${f##*/} in "$(pol name)"_*) ;; *) others=1 ;; esac
	done
	[ $others = 0 ] ||
		fail "$(pol name) is in charge, pinned are $(ls $PINS/"$p"/policy_progs)"
done
# One that ruins an exchange takes nobody's place.
name=$(pol name) link=$(pol link_id)
kvlift policy load "$BPF/refuse.bpf.o" $MNT >"$TMP/out" 2>&1 && fail "refuse was loaded"
grep -q "ejected (refused, -25).*policy $name stays" "$TMP/out" || fail "refuse: $(cat "$TMP/out")"
pol_is state active && pol_is name "$name" && pol_is link_id "$link" ||
	fail "refuse took the place of $name: $(pol state) $(pol name) $(pol link_id)"
[ -e "$PINS/$p/policy" ] || fail "refuse: the pin of $name is gone"
n=$(pol call_victims)
goes_on "refuse in an exchange"
[ "$(pol call_victims)" -gt "$n" ] || fail "$name is not asked any more"
kvlift policy unload $MNT >/dev/null 2>&1
in_force "the end"
load_stop
umount_pool

# Who floods the pool with hints does not stop it. The policy's worker had the
# semaphore for seconds, and reclaim waited half a second for each batch: 45
# times as slow as alone.
mkpool 64K 4M - 64M
kvtctl fill $MNT/flood 0 65536
fill_ms() {
	local t0
	t0=$(date +%s%N)
	kvtctl fill $MNT/"$1" 1 $((8 * MB)) || fail "fill $1"
	echo $((($(date +%s%N) - t0) / 1000000))
}
fill_ms first >/dev/null
alone=$(fill_ms alone)
hintctl $MNT flood:$MNT/flood:60 >/dev/null & a=$!
sleep 2
beside=$(fill_ms beside)
kill $a
wait $a 2>/dev/null
say "8 MiB in $alone ms, beside a flood of hints in $beside ms"
[ $beside -lt $((alone * 25 + 500)) ] || fail "a flood of hints makes $beside ms of $alone"
umount_pool

# Attached while the pool is unmounted: it takes hold, or finds no pool.
for ((i = 0; i < gone; i++)); do
	mkpool 64K 4M - -
	pool >"$TMP/pool"
	polswap "$(pool)" gone "$BPF/watch.bpf.o" >"$TMP/gone" 2>&1 & a=$!
	until_true 60 grep -q attaching "$TMP/gone" || fail "gone: $(cat "$TMP/gone")"
	sleep 0.$((i % 5))
	umount_pool
	wait $a || fail "attached while the pool goes: $(cat "$TMP/gone")"
done
say "$gone unmounts while policies are attached"
rmmod_in_time
load
check_clean
