#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# An id-mapped mount, as a container gets it, translates owners and rights.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12 newest debug
. "$(dirname "$0")/lib.sh"

load
mkpool 64K 4M - -
mkdir -p /mnt/view
run idmap $MNT /mnt/view
expect_used 0
check_clean
