#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Memory that fails costs the block in it, with EIO and SIGBUS, or nothing when there is a copy below; it is never used again.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 debug
# also: newest
# time: 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

need_nvme
need_cxl
need_nullb
load
fail_copy=/sys/module/kvlift/parameters/fail_copy
lose_reports=/sys/module/kvlift/parameters/lose_reports
f=$MNT/f

# flags FILE BLOCK: of the location word
flags() {
	local word
	word=$(kvtctl loc "$1" "$2")
	echo $((0x${word##*0x}))
}
is_lost() { [ $(($(flags "$1" "$2") & 9)) = 8 ]; }
# lost_blocks FILE N
lost_blocks() {
	local i
	for ((i = 0; i < $2; i++)); do ! is_lost "$1" $i || echo $i; done
}
lost_is() { [ "$(member_sum lost)" = "$1" ]; }
# Not before the last reference is gone: that of a process that is ending.
retired_is() { lost_is "$1" && [ "$(counter mem_errors)" = "$1" ]; }
# The files are not read at one time, and the last move may just be ending.
adds_up() {
	[ "$(member_sum got)" = $(($(member_sum free) + $(member_sum used) + $(member_sum shadows) + $(member_sum lost))) ]
}
# expect ERRORS LOST RECOVERED
expect() {
	until_true 20 retired_is "$1" || fail "$(member_sum lost) slots lost, mem_errors $(counter mem_errors), not $1"
	[ "$(counter mem_lost)" = "$2" ] || fail "mem_lost $(counter mem_lost), not $2"
	[ "$(counter mem_recovered)" = "$3" ] || fail "mem_recovered $(counter mem_recovered), not $3"
	until_true 10 adds_up ||
		fail "slots: got $(member_sum got), free $(member_sum free), used $(member_sum used), shadows $(member_sum shadows), lost $(member_sum lost)"
}
# a_lost_block FILE BLOCK N SEED: what a lost block is like, and the others
a_lost_block() {
	local at=$(($2 * bs))
	is_lost "$1" "$2" || fail "block $2 is not lost: $(kvtctl loc "$1" "$2")"
	[ "$(kvtctl read "$1" $((at + 5000)) 100)" = EIO ] || fail "it reads $(kvtctl read "$1" $((at + 5000)) 100)"
	[ "$(kvtctl load "$1" $at)" = 7 ] || fail "no SIGBUS"
	[ "$(memerr code "$1" $at)" = 4 ] || fail "si_code $(memerr code "$1" $at), not BUS_MCEERR_AR"
	[ "$(kvtctl store "$1" $((at + bs - 1)))" = 7 ] || fail "a store raises no SIGBUS"
	[ "$(kvtctl write "$1" $((at + 10)) 100)" = EIO ] || fail "a part of it was written"
	fallocate -p -o $((at + 4096)) -l 4096 "$1" 2>/dev/null && fail "a part of it was punched"
	[ $at = 0 ] || kvtctl check "$1" "$4" $at || fail "the blocks before"
	kvtctl check "$1" "$4" $((($3 - $2 - 1) * bs)) $((at + bs)) || fail "the blocks behind"
}
# offline PFN: the page fails where nobody is looking
offline() { echo $(($1 * 4096)) >/sys/devices/system/memory/hard_offline_page 2>/dev/null; return 0; }

for bk in 64 2048; do
	bs=$((bk << 10)) n=8
	case $bk in
	64) mkpool 64K 4M 4M 16M writeback=0 ;;
	*) mkpool 2M 32M 32M 96M writeback=0 ;;
	esac

	# A copy meets it, of a block with no copy below.
	kvtctl fill $f 1 $((n * bs)) || fail "fill"
	echo 3 >$fail_copy
	kvtctl demote $f >/dev/null
	until_true 10 lost_is 1 || fail "no slot is lost"
	[ "$(cat $fail_copy)" = 0 ] || fail "fail_copy is $(cat $fail_copy)"
	expect 1 1 0
	b=$(lost_blocks $f $n)
	a_lost_block $f "$b" $n 1
	dmesg | grep -q "block $b is lost: memory error in node0" || fail "not in the log"
	expect_used $n
	# Punched it is a hole, and written it is like any other.
	fallocate -p -o $((b * bs)) -l $bs $f || fail "punch"
	expect_used $((n - 1))
	[ "$(kvtctl read $f $((b * bs)) 100)" = ok ] || fail "the hole cannot be read"
	kvtctl fill $f 1 $bs $((b * bs)) || fail "refill"
	kvtctl check $f 1 $((n * bs)) || fail "check"
	# Or written as a whole at once.
	kvtctl move $f dram || fail "up"
	echo 1 >$fail_copy
	kvtctl demote $f >/dev/null
	expect 2 2 0
	b=$(lost_blocks $f $n)
	[ "$(kvtctl write $f $((b * bs)) $bs 1)" = ok ] || fail "it cannot be replaced"
	kvtctl check $f 1 $((n * bs)) || fail "check"
	rm $f
	expect_used 0
	expect 2 2 0

	# With a good copy below nothing is lost.
	kvtctl fill $f 2 $((n * bs)) || fail "fill"
	kvtctl move $f nvme || fail "down"
	kvtctl move $f dram || fail "up"
	[ "$(member_sum shadows)" = $n ] || fail "$(member_sum shadows) shadows"
	echo 2 >$fail_copy
	kvtctl demote $f >/dev/null
	expect 3 2 1
	kvtctl check $f 2 $((n * bs)) || fail "after falling back"

	# The kernel is told, while the file is mapped; written, so no copy is good.
	kvtctl fill $f 3 $((n * bs)) || fail "fill"
	kvtctl move $f dram || fail "up"
	mkfifo "$TMP/go"
	memerr watch $f <"$TMP/go" >"$TMP/out" &
	exec 3>"$TMP/go"
	until_true 30 grep -q ready "$TMP/out" || fail "watch"
	memerr poison $f $((5 * bs + 3 * 4096))
	expect 4 3 1
	echo >&3
	exec 3>&-
	wait $! || fail "watch"
	[ "$(tail -n +2 "$TMP/out")" = "$((5 * bs / 4096))-$((6 * bs / 4096 - 1))" ] ||
		fail "SIGBUS on pages $(tail -n +2 "$TMP/out")"
	rm "$TMP/go"
	a_lost_block $f 5 $n 3
	[ "$(kvtctl write $f $((5 * bs)) $bs 3)" = ok ] || fail "it cannot be replaced"
	kvtctl check $f 3 $((n * bs)) || fail "check"
	# Or is told by nobody who has it mapped; with a good copy.
	kvtctl move $f nvme || fail "down"
	kvtctl move $f dram || fail "up"
	offline "$(memerr pfn $f $((6 * bs + 4096)))"
	expect 5 3 2
	kvtctl check $f 3 $((n * bs)) || fail "after falling back"
	# Somebody holds it for a while: it waits, as the copy is good.
	kvtctl move $f dram || fail "up"
	mkfifo "$TMP/go"
	memerr pin $f 0 <"$TMP/go" >"$TMP/out" &
	exec 3>"$TMP/go"
	until_true 30 grep -q ready "$TMP/out" || fail "pin"
	offline "$(memerr pfn $f 4096)"
	sleep 0.3
	# One that fails meanwhile does not wait for it.
	offline "$(memerr pfn $f $((7 * bs)))"
	until_true 20 lost_is 6 || fail "a held block keeps another waiting"
	[ "$(counter mem_recovered) $(counter mem_lost)" = "3 3" ] || fail "recovered $(counter mem_recovered), lost $(counter mem_lost)"
	echo >&3
	exec 3>&-
	wait $! || fail "pin"
	expect 7 3 4
	# Or does not let it go.
	kvtctl move $f dram || fail "up"
	memerr pin $f 0 <"$TMP/go" >"$TMP/out" &
	exec 3>"$TMP/go"
	until_true 30 grep -q ready "$TMP/out" || fail "pin"
	offline "$(memerr pfn $f 4096)"
	until_true 40 is_lost $f 0 || fail "held for ever, and not lost"
	echo >&3
	exec 3>&-
	wait $! || fail "pin"
	rm "$TMP/go"
	expect 8 4 4
	a_lost_block $f 0 $n 3
	# A free slot, and one of a file that is deleted with its loss.
	p=$(memerr pfn $f $bs)
	rm $f
	expect_used 0
	offline "$p"
	expect 9 4 4
	kvtctl fill $f 4 $((n * bs)) || fail "fill"
	kvtctl check $f 4 $((n * bs)) || fail "check"

	# The machine-check chain.
	if [ $bk = 64 ] && modprobe mce-inject 2>/dev/null && d=/sys/kernel/debug/mce-inject && { [ -d $d ] || mount -t debugfs none /sys/kernel/debug; }; then
		echo sw >$d/flags
		# Valid, uncorrected, enabled, with an address; of a memory
		# controller, as Intel and as AMD report it.
		echo 0xbc0000000008009f >$d/status
		echo 0x8c >$d/misc
		echo $(($(memerr pfn $f $((2 * bs))) * 4096)) >$d/addr
		echo 0 >$d/cpu
		echo 4 >$d/bank
		expect 10 5 4
		a_lost_block $f 2 $n 4
		say "the machine-check chain was heard"
	fi
	rm $f
	umount_pool

	# More reports than there is room for: found by the core's marks.
	case $bk in
	64) mkpool 64K 4M 4M 16M writeback=0 ;;
	*) mkpool 2M 32M 32M 96M writeback=0 ;;
	esac
	kvtctl fill $f 6 $((n * bs)) || fail "fill"
	kvtctl move $f nvme || fail "down"
	kvtctl move $f dram || fail "up"
	kvtctl write $f $bs $bs 6 >/dev/null
	p=$(memerr pfn $f 0)
	dmesg -C
	echo 1 >$lose_reports || fail "lose_reports"
	for i in 1 2 3 4; do offline "$(memerr pfn $f $((i * bs + 4096 * i)))"; done
	expect 4 1 3
	dmesg | grep -q "looking through all slots" || fail "nothing was lost"
	# Somebody holds it, when the report is lost.
	mkfifo "$TMP/go"
	memerr pin $f 0 <"$TMP/go" >"$TMP/out" &
	exec 3>"$TMP/go"
	until_true 30 grep -q ready "$TMP/out" || fail "pin"
	offline "$p"
	sleep 0.3
	echo >&3
	exec 3>&-
	wait $! || fail "pin"
	rm "$TMP/go"
	expect 5 1 4
	p=$(memerr pfn $f $((5 * bs)))
	rm $f
	expect_used 0
	offline "$p"
	expect 6 1 4
	echo 0 >$lose_reports
	umount_pool
done

# Memory that fails while a block is being read into it: it is read again, into
# other memory, and the device is not to blame.
nullb kva irqmode=2 completion_nsec=2000000000
kvlift format --force /dev/kva >/dev/null || fail "format"
mount -t kvlift -o block=64K,dram=2M,nvme=/dev/kva,writeback=0 none $MNT || fail "mount"
kvtctl wait $MNT 30000 || fail "the tiers do not fill"
kvtctl fill $f 5 65536 || fail "fill"
p=$(memerr pfn $f 0)
kvtctl move $f nvme || fail "down"
# shellcheck disable=SC2317
reading() { [ "$(cat /sys/fs/kvlift/*/nvme/0/inflight)" = 1 ]; }
# The slot that was freed last is taken first.
kvtctl check $f 5 65536 &
until_true 20 reading || fail "it is not read"
[ "$(kvtctl tiers $f | awk '{ print $4 }')" = 0 ] || fail "it is there already"
offline "$p"
wait $! || fail "the block cannot be read any more"
expect 1 0 0
[ "$(counter aborted)" = 1 ] || fail "aborted $(counter aborted): the slot was another"
[ "$(counter io_errors)" = 0 ] && [ "$(counter csum_errors)" = 0 ] || fail "the device is blamed"
[ "$(memerr pfn $f 0)" != "$p" ] || fail "it is in the bad slot"
rm $f
umount_pool
gone
check_clean
