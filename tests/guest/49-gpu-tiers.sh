#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sessions with shared prefixes over four tiers: each byte is verified in the GPU's memory and by CPUs, and all tiers are in use.
# guest: --devices nvme,cxl,udmabuf --memory 2G
# kernels: 6.12 debug
# also: newest
# time: 240
# long: 1800
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gpu.sh"

need_nvme
need_cxl
load
f=1
[ -z "$KVLIFT_FULL" ] || f=10
# The GPU holds some 2 % of the blocks, DRAM 5 %, CXL 10 %, a device the rest.
# The kernel copies to a dma-buf itself, to other memory a mover does.
for c in 64K 16K 2M 64K-udmabuf 2M-udmabuf; do
	b=${c%-*}
	case $c in
	64K) tiers="10M 20M 256M" args="3200 64 16 $((100 * f))" ;;
	16K) tiers="5M 10M 128M" args="6400 128 32 $((100 * f))" ;;
	2M) tiers="32M 32M 512M" args="160 8 4 $((40 * f))" ;;
	64K-*) tiers="10M 20M 256M" args="3200 64 udmabuf $((100 * f))" ;;
	2M-*) tiers="32M 32M 512M" args="160 8 udmabuf $((40 * f))" ;;
	esac
	# shellcheck disable=SC2086
	mkpool $b $tiers
	# shellcheck disable=SC2086
	run gpureplay $MNT $args ${RANDOM}
	expect_used 0
	until_true 10 gpu_empty || fail "blocks are left in tier gpu"
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors of the device"
	[ "$(member_sum lost)" = 0 ] || fail "slots lost: $(member_sum lost)"
	umount_pool
done
check_clean
