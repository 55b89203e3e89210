# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What every test in this directory shares. Sourced first:
#
#	. "$(dirname "$0")/lib.sh"
#
# A test ends with `check_clean`, which unmounts everything, demands that the
# module counts nothing as left over and unloads it.

set -u
TEST=$(basename "$0" .sh)
MNT=/mnt/kv
TMP=/tmp/kvt.$TEST
export LC_ALL=C.UTF-8
mkdir -p "$MNT" "$TMP"
: "${KVLIFT_NVME:=}" "${KVLIFT_CXL_NODE:=}" "${KVLIFT_FULL:=}"

# On the kernel that looks for data races a part has to do: all of it would take
# longer than it is worth.
# shellcheck disable=SC2317
short() { [ "${KVLIFT_KERNEL:-}" = kcsan ] && [ -z "$KVLIFT_FULL" ]; }

say() { printf '%s: %s\n' "$TEST" "$*"; }

dump() {
	{
		tr '\n' ' ' </sys/fs/kvlift/objects && echo
		for d in /sys/fs/kvlift/*/; do
			echo "$d $(grep -v ' 0$' "$d/counters" | tr '\n' ' ')"
			for m in "$d"*/*/; do echo "$m $(cd "$m" && grep -s . ./* | tr '\n' ' ')"; done
		done
		dmesg | grep -v 'mounted, blocks' | tail -n 25
	} >&2 2>/dev/null
}

fail() {
	printf 'FAIL %s: %s\n' "$TEST" "$*" >&2
	dump
	exit 1
}
skip() { say "skipped: $*"; exit 77; }

# Whatever happened, the next test in this boot starts without the module.
# shellcheck disable=SC2317
clean_up() {
	rc=$?
	cd /
	for job in $(jobs -p); do kill -9 "$job" 2>/dev/null; done
	wait 2>/dev/null
	if grep -q '^kvlift ' /proc/modules; then
		grep ' kvlift ' /proc/mounts | cut -d' ' -f2 | tac | while read -r m; do
			umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null
		done
		for _ in 1 2 3 4 5; do
			rmmod kvlift 2>/dev/null && break
			sleep 0.5
		done
	fi
	rm -rf "$TMP"
	exit $rc
}
trap clean_up EXIT

need_nvme() {
	[ -b "$KVLIFT_NVME" ] || skip "no NVMe device"
}
need_cxl() { [ -n "$KVLIFT_CXL_NODE" ] || skip "no CXL node"; }
need_cmd() {
	for c in "$@"; do
		command -v "$c" >/dev/null || skip "no $c"
	done
}
need_mod() { modprobe "$@" 2>/dev/null || skip "no module $1"; }

load() { kvlift-load "$@" || fail "the module does not load"; }

# format [DEV]
format() { kvlift format --force "${1:-$KVLIFT_NVME}" >/dev/null || fail "format ${1:-}"; }

# mkpool BLOCK DRAM CXL NVME [MORE-OPTIONS [DIR]]: - leaves a tier out. Mounts
# and waits until every member has what it asked for.
mkpool() {
	local o=block=$1 dir=${6:-$MNT}
	[ "$2" = - ] || o=$o,dram=$2
	[ "$3" = - ] || { need_cxl; o=$o,cxl=$3@$KVLIFT_CXL_NODE; }
	[ "$4" = - ] || { need_nvme; format; o=$o,nvme=$KVLIFT_NVME:$4; }
	[ -z "${5:-}" ] || o=$o,$5
	mkdir -p "$dir"
	mount -t kvlift -o "$o" none "$dir" || fail "mount -o $o"
	kvtctl wait "$dir" 30000 || fail "the tiers do not fill: $o"
}

# Programs take long to start in an emulated machine, so what is asked for often
# is asked without: pool, counter and member_sum read sysfs when there is one pool.

# pool [DIR]: its number
pool() {
	local pools=(/sys/fs/kvlift/[0-9]*)
	if [ ${#pools[@]} = 1 ] && [ -d "${pools[0]}" ] && [ "${1:-$MNT}" = "$MNT" ]; then
		echo "${pools[0]##*/}"
	else
		kvtctl pool "${1:-$MNT}"
	fi
}
# counter NAME [DIR]
counter() {
	local pools=(/sys/fs/kvlift/[0-9]*) name value
	if [ ${#pools[@]} = 1 ] && [ "${2:-$MNT}" = "$MNT" ]; then
		while read -r name value; do
			[ "$name" != "$1" ] || { echo "$value"; return; }
		done <"${pools[0]}/counters"
	fi
	kvtctl counter "${2:-$MNT}" "$1"
}
used() { kvtctl used "${1:-$MNT}"; }
# member_sum FIELD: over all members of all tiers of the pool at $MNT
member_sum() {
	local p sum=0 value f
	p=$(pool)
	for f in /sys/fs/kvlift/"$p"/{dram,cxl,nvme}/*/"$1"; do
		{ read -r value <"$f"; } 2>/dev/null && sum=$((sum + value))
	done
	echo $sum
}

# nap SECONDS: a pause without a program
exec {NAP}<> <(:)
nap() { read -rt "$1" -u $NAP || :; }

# until_true SECONDS CMD...
until_true() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	while ! "$@"; do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
		nap 0.05
	done
}

# shellcheck disable=SC2317
used_is() { [ "$(used)" = "$1" ]; }
expect_used() { until_true 10 used_is "$1" || fail "$(used) blocks in use, not $1"; }

# shellcheck disable=SC2317
objects_zero() {
	local what n
	while read -r what n; do [ "$n" = 0 ] || return 1; done </sys/fs/kvlift/objects
}
# shellcheck disable=SC2317
try_umount() { umount "$1" 2>/dev/null; }

umount_pool() {
	until_true 5 try_umount "${1:-$MNT}" || fail "umount: $(umount "${1:-$MNT}" 2>&1)"
}

check_clean() {
	cd / || exit 1
	local dev m type rest mounts=()
	while read -r dev m type rest; do [ "$type" != kvlift ] || mounts+=("$m"); done </proc/mounts
	for m in "${mounts[@]}"; do umount_pool "$m"; done
	if grep -q '^kvlift ' /proc/modules; then
		until_true 5 objects_zero || fail "left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
		rmmod kvlift || fail "rmmod"
	fi
	! grep -q '^kvlift ' /proc/modules || fail "still loaded"
	if dmesg | grep -E 'BUG: (KASAN|KFENCE|[^K])|WARNING:|Bad page|Bad rss|INFO: task|kmemleak: [0-9]'; then
		fail "the kernel complained"
	fi
}

# run CMD...: a test program; its output is the test's
run() {
	"$@"
	local rc=$?
	[ $rc != 77 ] || skip "$1"
	[ $rc = 0 ] || fail "$* ended with $rc"
}

# loses CMD...: a negative control. It must see a loss, but a slow machine may
# need more than one try.
loses() {
	local n
	for n in 1 2 3 4 5; do
		"$@" && return
		say "nothing lost in try $n"
	done
	fail "$* lost nothing"
}

# json FILE EXPRESSION: value of a Python expression over the document d
json() { python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
