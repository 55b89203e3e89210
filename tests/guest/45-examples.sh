#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The examples do what they say: a hand-over copies no block, and costs less than
# a copy through a socket. Instructions are counted, so that times can be compared.
# guest: --icount --devices none --memory 2G
# time: 120
. "$(dirname "$0")/lib.sh"

load
mib=64

# per_mib HOW: of the output in $TMP/out
per_mib() { sed -n "s/^$1: .*, \([0-9]*\) ns per MiB$/\1/p" "$TMP/out"; }

for b in 64K 2M; do
	bs=$(numfmt --from=iec $b)
	mkpool $b 160M - -
	run first $MNT a
	[ "$(stat -c %s $MNT/a)" = $((16 * bs)) ] || fail "size of the first example's region"
	expect_used 16
	first $MNT a 2>"$TMP/err" && fail "made it twice"
	grep -q 'File exists' "$TMP/err" || fail "$(cat "$TMP/err")"
	rm $MNT/a
	expect_used 0

	zeroed=$(counter zeroed)
	handover $MNT $mib >"$TMP/out" || fail "hand-over"
	say "$b: $(tr '\n' ';' <"$TMP/out")"
	# Each block was made once; none was copied, moved or read.
	[ $(($(counter zeroed) - zeroed)) -le $((mib * 1048576 / bs)) ] || fail "$(counter zeroed) blocks cleared"
	expect_used $((mib * 1048576 / bs))
	for c in promote demote read_bytes write_bytes recopied proto_read proto_open proto_sample proto_protect proto_stop; do
		[ "$(counter $c)" = 0 ] || fail "$c is $(counter $c)"
	done
	fd=$(per_mib descriptor) name=$(per_mib name)
	rm $MNT/handover-example
	run handover $MNT $mib copy | tee "$TMP/out" >&2
	copy=$(per_mib copy)
	[ -n "$fd" ] && [ -n "$name" ] && [ -n "$copy" ] || fail "no figures"
	say "$b: $fd ns per MiB by descriptor, $name by name, $copy by copy"
	[ $((fd * 4)) -lt "$copy" ] && [ $((name * 4)) -lt "$copy" ] || fail "a hand-over is no quicker than a quarter of a copy"
	rm $MNT/handover-example
	umount_pool
done
check_clean
