# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the tests of policies share. After lib.sh.

BPF=$KVLIFT_TESTS/bpf
PINS=/sys/fs/bpf/kvlift

need_policies() {
	[ -e /sys/kernel/btf/kvlift ] || fail "the module has no BTF"
	kvlift policy --help | grep -q 'NAME is of those inside: .*lru' || skip "built without libbpf"
}

# pol FIELD [PLACE]: of the report on a policy; without a tool, which takes time.
pol() {
	awk -v k="$1" '$1 == k { sub(/^[^ ]* ?/, ""); print; exit }' \
		"/sys/fs/kvlift/$(cat "$TMP/pool")/policy${2:+-$2}"
}
# shellcheck disable=SC2317
pol_past() { [ "$(pol "$1")" -gt "$2" ]; }
# shellcheck disable=SC2317
pol_is() { [ "$(pol "$1" "${3:-}")" = "$2" ]; }

# Load that verifies every byte, in the background: FILES files, together larger
# than DRAM, are filled, read back and filled with something else.
load_start() {
	local i
	pool >"$TMP/pool"
	rm -f "$TMP"/stop "$TMP"/bad "$TMP"/rounds.*
	for ((i = 0; i < $1; i++)); do work $i "$2" & workers[i]=$!; done
}
# shellcheck disable=SC2317
work() {
	local n=0 f=${3:-$MNT}/load$1
	while [ ! -e "$TMP/stop" ]; do
		kvtctl fill "$f" $((n + $1)) "$2" >>"$TMP/bad.$1" 2>&1 || break
		kvtctl check "$f" $((n + $1)) "$2" >>"$TMP/bad.$1" 2>&1 || break
		n=$((n + 1))
		echo $n >"$TMP/rounds.$1"
	done
	[ -e "$TMP/stop" ] || touch "$TMP/bad"
}
rounds() { cat "$TMP"/rounds.* 2>/dev/null | awk '{ s += $1 } END { print s + 0 }'; }
load_ok() { [ ! -e "$TMP/bad" ] || fail "$1: wrong bytes, or an error: $(cat "$TMP"/bad.*)"; }
# shellcheck disable=SC2317
more_rounds() { [ -e "$TMP/bad" ] || [ "$(rounds)" -ge "$1" ]; }
# goes_on WHAT: the pool is not stuck: two more rounds.
goes_on() {
	local n
	n=$(($(rounds) + 2))
	until_true 60 more_rounds $n || fail "$1: the pool is stuck at round $(rounds)"
	load_ok "$1"
}
load_stop() {
	touch "$TMP/stop"
	wait "${workers[@]}"
	load_ok "${1:-at the end}"
	say "$(rounds) rounds of load, no wrong byte"
}

# Unloading the module is a matter of less than a second once the last policy
# has gone.
rmmod_in_time() {
	local t0 t1
	until_true 5 objects_zero || fail "left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
	t0=$(date +%s%N)
	until_true 5 rmmod kvlift 2>/dev/null || fail "rmmod: $(rmmod kvlift 2>&1)"
	t1=$(date +%s%N)
	say "rmmod after $(((t1 - t0) / 1000000)) ms"
	[ "${KVLIFT_KERNEL:-}" = debug ] || [ $((t1 - t0)) -lt 1000000000 ] || fail "rmmod took $(((t1 - t0) / 1000000)) ms"
}
