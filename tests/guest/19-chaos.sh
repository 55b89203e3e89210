#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Everything at once: forks, remaps, pins, O_DIRECT, punches, truncations, deletions, moves, pressure and remounts.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug kcsan
# time: 300
# long: 6000
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

need_nvme
need_cxl
need_nullb
load
# shellcheck disable=SC2317
none_lost() { [ "$(member_sum lost)" = 0 ]; }
vmstat() { awk -v k="$1" '$1 == k { print $2 }' /proc/vmstat; }
# A slow machine takes longer, but moves no less.
rounds=1 quick=10 slow=5 m=14000
[ -z "$KVLIFT_FULL" ] || rounds=2 quick=150 slow=60 m=160000
case $KVLIFT_KERNEL in
debug | kcsan)
	m=0
	[ -n "$KVLIFT_FULL" ] || quick=6 slow=4
	;;
esac
sizes="64K 2M 16K 256K"
! short || sizes="64K 2M"
[ -z "$KVLIFT_FULL" ] || rounds=2 quick=150 slow=60
nullb kvd size=64

# NUMA balancing takes pages out of the page tables, as often as it can.
n=/proc/sys/kernel/numa_balancing
[ ! -e $n ] || echo 1 >$n
s=/sys/kernel/debug/sched/numa_balancing
[ ! -d $s ] || for f in scan_delay_ms scan_period_min_ms scan_period_max_ms; do echo 100 >$s/$f; done
pte=$(vmstat numa_pte_updates)

for ((round = 1; round <= rounds; round++)); do
	for b in $sizes; do
		case $b in
		2M) d=48M D=32M c=32M n=128M k=8 t=$slow want=0 ;;
		256K) d=6M D=4M c=4M n=64M k=16 t=$slow want=0 ;;
		*) d=3M D=2M c=2M n=64M k=48 t=$quick want=$m ;;
		esac
		mkpool $b $d $c $n
		run chaos $MNT -t $t -s $round -n $k -r "dram=$d:dram=$D" -d /dev/kvd -p -m $want
		say "$b: shrunk $(counter shrunk), protocols $(grep -h ^proto "/sys/fs/kvlift/$(pool)/counters" | tr '\n' ' ')"
		[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors of the device"
		expect_used 0
		until_true 10 none_lost || fail "slots stay lost: $(member_sum lost)"
		umount_pool
	done
done
say "NUMA balancing: $(($(vmstat numa_pte_updates) - pte)) entries, $(vmstat numa_hint_faults) hint faults"
if short; then
	gone
	check_clean
	exit 0
fi
rmmod kvlift || fail "rmmod"
load unsafe_skip_dirty=1
mkpool 64K 3M 2M 64M
loses chaos $MNT -t 8 -s 1 -x
umount_pool
gone
check_clean
