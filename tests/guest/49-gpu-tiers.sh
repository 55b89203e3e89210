#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Request traces over four tiers: each byte is verified in the GPU's memory and by CPUs, and all tiers are in use.
# guest: --devices nvme,cxl,udmabuf --memory 2G
# kernels: 6.12 debug
# also: newest
# files: ../shared/traces/*.jsonl.xz
# time: 240
# long: 1800
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gpu.sh"

need_nvme
need_cxl
load
f=1
[ -z "$KVLIFT_FULL" ] || f=10
traces=(./*.jsonl.xz)
if [ ! -e "${traces[0]}" ]; then
	say "no traces here, using the generator"
	traces=('')
fi

# at_least MIN N
at_least() { echo $(($2 > $1 ? $2 : $1)); }

# replay BLOCK_KIB WINDOW REFERENCES TRACE: the GPU holds 2 % of the blocks, or 8, DRAM
# 5 %, CXL 10 %, a device the rest. The kernel copies to a udmabuf itself, to
# other memory a mover does, through a window, which is taken from DRAM.
replay() {
	local kib=$1 window=$2 n=$3 trace=$4 seed=$RANDOM blocks gpu dram
	# shellcheck disable=SC2086
	blocks=$(gpureplay count $n $seed $trace) || fail "gpureplay count"
	gpu=$(at_least 8 $((blocks / 50)))
	dram=$(at_least 8 $((blocks / 20)))
	[ "$window" = udmabuf ] || window=$((dram / 2)) dram=$((dram + dram / 2))
	mkpool "${kib}K" $((dram * kib))K $(($(at_least 16 $((blocks / 10))) * kib))K $((blocks * kib))K
	say "${trace:-the generator}, blocks of ${kib}K: $blocks, of which the GPU holds $gpu"
	# shellcheck disable=SC2086
	run gpureplay $MNT $gpu $window $n $seed $trace
	expect_used 0
	until_true 10 gpu_empty || fail "blocks are left in tier gpu"
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors of the device"
	[ "$(member_sum lost)" = 0 ] || fail "slots lost: $(member_sum lost)"
	umount_pool
}

# Chains of one trace are long, and come again; those of the other are many.
for t in "${traces[@]}"; do
	replay 64 mover $((800 * f)) "$t"
	replay 64 udmabuf $((300 * f)) "$t"
done
replay 16 mover $((500 * f)) "${traces[-1]}"
replay 2048 mover $((120 * f)) "${traces[-1]}"
replay 2048 udmabuf $((120 * f)) "${traces[-1]}"
check_clean
