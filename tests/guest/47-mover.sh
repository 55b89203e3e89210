#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A GPU's memory as the top tier: blocks go there and come back through a mover, and every byte is right on both sides.
# guest: --devices nvme,cxl,udmabuf --memory 2G
# kernels: 6.12 newest debug
# time: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gpu.sh"

need_nvme
need_cxl
load
done_with() {
	expect_used 0
	until_true 10 gpu_empty || fail "blocks are left in tier gpu"
	until_true 10 none_lost || fail "slots stay lost: $(member_sum lost)"
	[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors of the device"
	umount_pool
}

mkpool 64K 16M 8M 64M
run mover $MNT
run gpublocks $MNT
run gpupins $MNT
done_with

mkpool 64K 16M - -
run mover $MNT
run gpublocks $MNT
run gpupins $MNT
done_with

# A block of 2 MiB takes as long as 32 small ones: what its size matters for.
mkpool 2M 64M 64M 256M
run mover $MNT drain two deadlock
run gpublocks $MNT reading writing fresh window sealed
run gpupins $MNT registered peers dmabuf
done_with

# Nothing below: what is in CXL memory stays there.
mkpool 64K 8M 4M -
run mover $MNT cxlfull
run gpublocks $MNT cxl caps
done_with

# The slower memory alone is no place for a window.
mkpool 64K - 8M 64M
run mover $MNT nodram
done_with
check_clean
