#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The Python package's structures are those of the headers; see tests/python.
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$TOP/userlib/python" python3 "$TOP/tests/python/test_layout.py" >"$tmp" 2>&1
rc=$?
[ $rc = 0 ] && echo "ok - $(grep '^Ran' "$tmp")" || cat "$tmp"
exit $rc
