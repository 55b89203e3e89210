#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Shadows are taken away from blocks that are just going down to them: no slot is freed twice or has two blocks.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 debug
# time: 120
. "$(dirname "$0")/lib.sh"

need_nvme
load
t=20
[ -z "$KVLIFT_FULL" ] || t=300
# 64 blocks with shadows and 40 others: the device has room for 96.
mkpool 64K 8M - 6M
run borrow $MNT $t 64 40
[ "$(counter csum_errors)" = 0 ] || fail "a slot had two blocks: $(counter csum_errors) wrong checksums"
for c in demote_noio shadow_dropped; do
	[ "$(counter $c)" -gt 0 ] || fail "$c is 0: the test did not see what it is for"
	say "$c: $(counter $c)"
done
rm $MNT/borrow $MNT/other
expect_used 0
all_free() { [ "$(member_sum free)" = "$(member_sum got)" ]; }
until_true 10 all_free || fail "$(member_sum free) slots are free, not $(member_sum got)"
check_clean
