#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Bad sectors, time-outs and slow devices among two: an error costs the blocks it is in; who waits goes first, and may poll.
# guest: --devices none --memory 2G
# kernels: 6.12 debug
# time: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nvme.sh"

# pair_with_file ATTRIBUTES OPTIONS SEED MIB: kva is made with these, and a file on both
pair_with_file() {
	# shellcheck disable=SC2086
	nullb kva $1
	nullb kvb
	mkpair 24M /dev/kva /dev/kvb "$2"
	kvtctl fill $MNT/f "$3" $(($4 << 20)) || fail "fill"
	down $MNT/f
}

need_nullb
load

# Bad sectors, with requests merged over their neighbours.
nullb kva
nullb kvb
mkpair 24M /dev/kva /dev/kvb
# sector M SLOT
sector() { echo $(($(sbpoke "$(member "$1" name)" | sed 's/.*data_offset \([0-9]*\).*/\1/') / 512 + $2 * 128)); }
kvtctl fill $MNT/f 11 $((16 << 20)) || fail "fill"
down $MNT/f
bad="3 77 78 200"
for i in $bad; do
	read -r _ m slot _ <<<"$(kvtctl loc $MNT/f $i)"
	s=$(($(sector "$m" "$slot") + i % 128))
	echo "+$s-$s" >"$N/kv$([ "$m" = 0 ] && echo a || echo b)/badblocks"
done
m0=$(($(stat_of /dev/kva 2) + $(stat_of /dev/kvb 2)))
kvtctl prefetch $MNT/f >/dev/null
# shellcheck disable=SC2317
promoted() { [ "$(kvtctl tiers $MNT/f | awk '{ print $4 }')" = 252 ]; }
until_true 20 promoted || fail "not all the good blocks came: $(kvtctl tiers $MNT/f)"
[ $(($(stat_of /dev/kva 2) + $(stat_of /dev/kvb 2))) -gt $((m0 + 50)) ] || fail "nothing merged: this is no test"
[ "$(counter io_retries)" -gt 4 ] || fail "io_retries $(counter io_retries)"
[ "$(counter io_errors)" = 4 ] || fail "$(counter io_errors) io_errors, 4 blocks are bad"
for i in $(seq 0 255); do
	case " $bad " in
	*" $i "*) [ "$(kvtctl read $MNT/f $((i << 16)) 65536)" = EIO ] || fail "bad block $i reads $(kvtctl read $MNT/f $((i << 16)) 65536)" ;;
	esac
done
for d in kva kvb; do echo "-0-131071" >$N/$d/badblocks; done
sleep 1.5
kvtctl check $MNT/f 11 $((16 << 20)) || fail "after the sectors came back"
# One device takes no writes: the other gets them.
kvtctl fill $MNT/f 12 $((16 << 20)) || fail "fill"
echo "+0-131071" >$N/kva/badblocks
# shellcheck disable=SC2317
mostly_down() { kvtctl demote $MNT/f >/dev/null; [ "$(in_member $MNT/f 1)" -ge 200 ]; }
until_true 20 mostly_down || fail "the good device gets only $(in_member $MNT/f 1) blocks"
[ "$(in_member $MNT/f 0)" = 0 ] || fail "blocks on a device that takes no writes"
kvtctl check $MNT/f 12 $((16 << 20)) || fail "check"
echo "-0-131071" >$N/kva/badblocks
rm $MNT/f
umount_pool
gone

# Two blocks at a time on a slow device, on which all take some seconds: what
# a task waits for goes first, be it prefetched already or not.
pair_with_file "irqmode=2 completion_nsec=200000000" depth=2 17 8
# before END: the last block before it on the slow device. How the blocks were
# dealt out depends on how fast the devices seemed.
before() { kvtctl loc $MNT/f | awk -v e="$1" '$1 == 3 && $2 == 0 && NR <= e { i = NR - 1 } END { print i }'; }
out=$(before 128) in=$(before "$out")
[ -n "$out" ] && [ -n "$in" ] || fail "no two blocks on the slow device"
kvtctl prefetch $MNT/f 0 "$out" >/dev/null
for i in $out $in; do
	kvtctl check $MNT/f 17 65536 $((i << 16)) || fail "block $i"
	left=$(in_member $MNT/f 0)
	say "when block $i was there, $left of the slow device were still to come"
	[ "$left" -ge 24 ] || fail "a demand read of block $i waited for a prefetch of $out"
done
up $MNT/f
kvtctl check $MNT/f 17 $((8 << 20)) || fail "check"
umount_pool
gone

# A request that takes longer than the queue allows is an error of its blocks.
pair_with_file "irqmode=2 completion_nsec=2500000000" depth=64 13 4
read -r i < <(kvtctl loc $MNT/f | awk '$1 == 3 && $2 == 0 { print NR - 1; exit }') || fail "no block on the slow device"
read -r j < <(kvtctl loc $MNT/f | awk '$1 == 3 && $2 == 1 { print NR - 1; exit }') || fail "no block on the quick device"
echo 100 >/sys/class/block/kva/queue/io_timeout
e=$(counter io_errors)
[ "$(kvtctl read $MNT/f $((i << 16)) 65536)" = EIO ] || fail "a request that timed out gives no EIO"
[ "$(counter io_errors)" = $((e + 1)) ] || fail "$(($(counter io_errors) - e)) errors for one block"
kvtctl check $MNT/f 13 65536 $((j << 16)) || fail "a block of the other device"
echo 30000 >/sys/class/block/kva/queue/io_timeout
sleep 1.5
kvtctl check $MNT/f 13 $((4 << 20)) || fail "after the device was given time again"
umount_pool
gone

# Who waits may poll; what cannot be polled is waited for.
pair_with_file "submit_queues=1 poll_queues=1" poll 14 16
kvtctl check $MNT/f 14 $((16 << 20)) || fail "check by polling"
[ "$(counter io_polled)" -gt 0 ] || fail "nothing was polled"
say "$(counter io_polled) blocks polled"
down $MNT/f
mount -o remount,nopoll $MNT || fail "remount"
p=$(counter io_polled)
kvtctl check $MNT/f 14 $((16 << 20)) || fail "check"
[ "$(counter io_polled)" = "$p" ] || fail "polled in spite of nopoll"
umount_pool
gone
# No queue to poll: read as without the option.
nullb kva poll_queues=0
nullb kvb poll_queues=0
mkpair 24M /dev/kva /dev/kvb poll
kvtctl fill $MNT/f 15 $((4 << 20)) || fail "fill"
down $MNT/f
kvtctl check $MNT/f 15 $((4 << 20)) || fail "check without poll queues"
[ "$(counter io_polled)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "$(counter io_polled) polled, $(counter io_errors) errors"
umount_pool
gone
check_clean
