#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The Python package on a real pool, and its adapters driven by the engines' own classes.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest debug
# needs: engines
# files: tests/python/*.py build/engines/engines.zip
# time: 400
. "$(dirname "$0")/lib.sh"

need_nvme
need_cmd python3
load
mkpool 64K 8M 8M 256M
cd /job || fail "no /job"
export KVLIFT_TEST_POOL=$MNT PYTHONDONTWRITEBYTECODE=1
for t in core lmcache lmcache_files vllm sglang; do
	python3 -m unittest "test_$t" >"$TMP/out" 2>&1 || { cat "$TMP/out"; fail "test_$t"; }
	say "$t: $(grep '^Ran' "$TMP/out")$(sed -n 's/^OK/,/p' "$TMP/out")"
done
[ -e engines.zip ] || say "no engines.zip: scripts/lib/engines.sh makes it"
cd /
expect_used 0
check_clean
