# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the tests of the nvme tier share. Sourced after lib.sh.

# mkpair DRAM A[:SIZE] B[:SIZE] [OPTIONS]: blocks of 64K
mkpair() {
	kvlift format --force "${2%:*}" "${3%:*}" >/dev/null || fail "format ${2%:*} ${3%:*}"
	mount -t kvlift -o "block=64K,dram=$1,nvme=$2,nvme=$3${4:+,$4}" none $MNT || fail "mount $*"
	kvtctl wait $MNT 30000 || fail "the tiers do not fill"
}
member() { cat "/sys/fs/kvlift/$(pool)/nvme/$1/$2"; }
# stat DEV FIELD: of Documentation/block/stat.rst, from 1
stat_of() { awk -v f="$2" '{ print $f }' "/sys/class/block/${1#/dev/}/stat"; }
# in_member FILE M: blocks there. runs FILE: blocks whose neighbour has the next slot
in_member() { kvtctl loc "$1" | awk -v m="$2" '$1 == 3 && $2 == m { n++ } END { print n + 0 }'; }
runs() { kvtctl loc "$1" | awk '$1 == 3 && $2 == m && $3 == s + 1 { n++ } { m = $2; s = $3 } END { print n + 0 }'; }
# All of it at once, so that neighbours are submitted together.
# shellcheck disable=SC2317
all_in() { kvtctl loc "$1" | awk -v t="$2" '$1 != t { exit 1 }'; }
down() { kvtctl demote "$1" >/dev/null && until_true 10 all_in "$1" 3 || kvtctl move "$1" nvme || fail "demote $1"; }
up() { kvtctl prefetch "$1" >/dev/null && until_true 10 all_in "$1" 1 || kvtctl move "$1" dram || fail "prefetch $1"; }

# null_blk: nullb NAME [ATTRIBUTE=VALUE...] makes /dev/NAME, gone ends them.
N=/sys/kernel/config/nullb
need_nullb() {
	need_mod null_blk nr_devices=0
	mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config || skip "no configfs"
	trap nullb_clean_up EXIT
}
# shellcheck disable=SC2317
nullb_clean_up() {
	local rc=$?
	cd / || exit 1
	umount $MNT 2>/dev/null
	gone
	(exit $rc)
	clean_up
}
nullb() {
	mkdir "$N/$1" || fail "null_blk"
	local dir=$N/$1 a
	shift
	for a in size=64 memory_backed=1 blocksize=512 max_sectors=1024 "$@" power=1; do
		echo "${a#*=}" >"$dir/${a%=*}" 2>/dev/null || fail "null_blk: $a"
	done
	until_true 5 [ -b "/dev/${dir##*/}" ] || fail "no /dev/${dir##*/}"
}
# shellcheck disable=SC2317
gone() {
	for d in "$N"/*/; do
		[ ! -d "$d" ] || { echo 0 >"${d}power"; rmdir "$d"; }
	done
} 2>/dev/null
