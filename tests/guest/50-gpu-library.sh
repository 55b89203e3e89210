#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The library's mover with the module: an engine decodes over a KV cache four times as large as its GPU, one layer ahead, and its outputs are those of a run in memory.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# time: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gpu.sh"

need_nvme
need_cxl
load

# step OPTIONS...: the example engine, whose KV cache goes through all tiers
step() {
	run gpu_step --cpu "$@" $MNT >"$TMP/out"
	cat "$TMP/out" >&2
	[ "$(grep -c 'the same$' "$TMP/out")" = "$runs" ] || fail "not all runs were made"
	expect_used 0
	until_true 10 gpu_empty || fail "something is left in tier gpu"
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors of the device"
}

for b in 64K 2M; do
	case $b in
	# 7 blocks of 16 tokens for each sequence and layer: 21 MiB
	64K) tiers="8M 8M 64M" size="--layers 24 --seqs 2 --tokens 100 --steps 3" window=2 ;;
	# 2 blocks of 512 tokens: 96 MiB
	2M) tiers="64M 32M 256M" size="--layers 24 --seqs 1 --tokens 520 --steps 2" window=16 ;;
	esac
	# shellcheck disable=SC2086
	mkpool $b $tiers

	# A page of code: blocks that another program has sealed.
	run first $MNT a
	run gpu_first $MNT a >"$TMP/out"
	[ "$(grep -c '^the GPU reads 42$' "$TMP/out")" = 8 ] || fail "gpu_first: $(cat "$TMP/out")"
	rm $MNT/a
	expect_used 0

	runs=1
	before=$(counter demote)
	# shellcheck disable=SC2086
	step $size --share 25 --window $window
	[ "$(counter demote)" -gt "$before" ] || fail "no block had to leave"
	if [ $b = 64K ]; then
		# The same blocks, read where they are in the window.
		# shellcheck disable=SC2086
		step $size --zero-copy --window 3
		# Most of them in CXL memory.
		# shellcheck disable=SC2086
		step $size --zero-copy --window 1 --window-cxl 3
		runs=2
		# shellcheck disable=SC2086
		step $size --share 100 --share 50 --window 2
	fi
	until_true 10 none_lost || fail "slots stay lost: $(member_sum lost)"
	umount_pool
done

# Without a place to be. Some pool is there, but no memory in it.
mkpool 64K - 8M 64M
gpu_step --cpu --layers 16 --seqs 1 --tokens 20 $MNT 2>"$TMP/err" && fail "attached without a tier dram"
grep -q 'attach: ' "$TMP/err" || fail "$(cat "$TMP/err")"
rm -f $MNT/gpu_step
umount_pool
check_clean
