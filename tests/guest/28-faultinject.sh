#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every allocation and every I/O of mounts, faults, calls and moves fails in turn: cleanly, and nothing is lost.
# guest: --devices nvme,cxl --memory 2G
# kernels: debug
# time: 180
# long: 1800
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

D=/sys/kernel/debug
[ -d $D/failslab ] || skip "no fault injection in this kernel"
need_nvme
need_cxl
need_nullb
TIMES=1000000000
t=12 step=16
[ -z "$KVLIFT_FULL" ] || t=120 step=1

# aim ATTRIBUTE...: only what the module is the cause of, on whichever task.
aim() {
	local a start
	start=$(cat /sys/module/kvlift/sections/.text)
	for a; do
		echo 0 >$D/$a/probability
		echo "$start" >$D/$a/require-start
		printf '0x%x' $((start + $(awk '/^kvlift / { print $2 }' /proc/modules))) >$D/$a/require-end
		echo 32 >$D/$a/stacktrace-depth
		echo N >$D/$a/task-filter
		echo 0 >$D/$a/verbose
		echo 1 >$D/$a/interval
		echo 0 >$D/$a/space
		echo $TIMES >$D/$a/times
		[ ! -e $D/$a/ignore-gfp-wait ] || echo N >$D/$a/ignore-gfp-wait
		[ ! -e $D/$a/ignore-gfp-highmem ] || echo N >$D/$a/ignore-gfp-highmem
		[ ! -e $D/$a/cache-filter ] || echo N >$D/$a/cache-filter
		[ ! -e $D/$a/min-order ] || echo 0 >$D/$a/min-order
	done
}
# What the device submits has another stack than who asked for it.
anywhere() { echo 0 >$D/"$1"/stacktrace-depth && echo 0 >$D/"$1"/require-start && echo 0xffffffffffffffff >$D/"$1"/require-end; }
# under WHAT LEAST PERCENT ATTRIBUTE...: everything at once, while so many percent
# fail, and of each at least LEAST; what is there in the end is right.
under() {
	local what=$1 least=$2 a n
	shift 2
	mkpool 64K 3M 2M 64M
	# What the test itself cannot do without comes first.
	(
		sleep 2
		for a in "${@:2}"; do echo "$1" >$D/$a/probability; done
		sleep $((t - 2))
		for a in "${@:2}"; do echo 0 >$D/$a/probability; done
	) &
	run chaos $MNT -t $t -s 3 -n 48 -r "dram=3M:dram=2M" -p -e
	wait $!
	for a in "${@:2}"; do
		n=$((TIMES - $(cat $D/$a/times)))
		say "$what: $n from $a"
		[ $n -ge "$least" ] || fail "$what: $a is no test"
	done
	[ "$(counter csum_errors)" = 0 ] || fail "$what: $(counter csum_errors) checksum errors"
	say "$what: io_errors $(counter io_errors), aborted $(counter aborted), retries $(counter io_retries)"
	expect_used 0
	umount_pool
	until_true 5 objects_zero || fail "$what: left over: $(tr '\n' ' ' </sys/fs/kvlift/objects)"
}

load
attrs="failslab fail_page_alloc fail_usercopy fail_make_request"
# shellcheck disable=SC2086
aim $attrs
nullb kva size=80
dev=/sys/block/kva
echo 1 >$dev/make-it-fail
KVLIFT_NVME=/dev/kva

# One failure after the other.
format
run faultinject mount $MNT "block=64K,dram=1M,cxl=512K@$KVLIFT_CXL_NODE,nvme=$KVLIFT_NVME:8M" $step
for b in 64K 2M; do
	case $b in
	64K) mkpool $b 4M 2M 32M ;;
	2M) mkpool $b 32M 16M 64M ;;
	esac
	run faultinject calls $MNT "" $step
	expect_used 0
	[ "$(counter csum_errors)" = 0 ] || fail "checksum errors"
	umount_pool
done

# Workers have no call that could fail.
under memory 20 20 failslab fail_page_alloc

# The device, on whoever's behalf.
anywhere fail_make_request
under bios 20 30 fail_make_request
gone
if [ -e $D/nvme0n1/fault_inject ]; then
	KVLIFT_NVME=/dev/nvme0n1
	for s in 0x281 0x6; do
		f=nvme0n1/fault_inject
		for a in "status:$s" "dont_retry:Y" "interval:1" "verbose:0" "times:$TIMES"; do echo "${a#*:}" >$D/$f/"${a%%:*}"; done
		under "nvme status $s" 5 10 $f
	done
fi

# The control: nothing is being injected now, and nothing fails.
mkpool 64K 3M 2M 64M
run chaos $MNT -t 5 -s 4 -n 48 -r "dram=3M:dram=2M"
[ "$(counter io_errors)" = 0 ] || fail "errors without injection"
check_clean
