#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Movers that die, are late, say nonsense or scribble: nobody waits long, and nothing is lost that had a copy elsewhere.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 debug
# also: newest
# time: 240
# long: 1800
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/gpu.sh"

need_nvme
need_cxl
load
rounds=10
[ -z "$KVLIFT_FULL" ] || rounds=100
done_with() {
	local stuck
	expect_used 0
	until_true 10 gpu_empty || fail "blocks are left in tier gpu"
	until_true 10 none_lost || fail "slots stay lost: $(member_sum lost)"
	stuck=$(ps -eo stat=,comm= | awk '$1 ~ /^D/ && $2 !~ /^(kworker|k|jbd)/')
	[ -z "$stuck" ] || fail "unkillable: $stuck"
	umount_pool
}

mkpool 64K 8M 4M 64M
run moverfault $MNT
expect_used 0
run moverkill $MNT $rounds ${RANDOM}
done_with

# No device that a copy could be on: it is in memory.
mkpool 64K 16M - -
run moverfault $MNT die-idle die-busy never errors scribble
run moverkill $MNT $rounds ${RANDOM}
done_with

mkpool 2M 64M 64M 256M
run moverfault $MNT die-idle errors
run moverkill $MNT $((rounds / 3)) ${RANDOM}
done_with
check_clean
