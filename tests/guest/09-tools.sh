#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# fio with verification, cp, dd, cmp and numpy.memmap, unmodified, with DRAM a tenth of the file.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest
. "$(dirname "$0")/lib.sh"

need_nvme
need_cxl
need_cmd fio
load
mkpool 64K 2M 2M 64M
for e in psync mmap; do
	fio --name=$e --directory=$MNT --ioengine=$e --rw=randwrite --bs=16k --size=20M --verify=crc32c \
		--verify_fatal=1 --do_verify=1 --thread --randrepeat=1 --fallocate=none >"$TMP/fio" 2>&1 ||
		{ cat "$TMP/fio" >&2 && fail "fio $e"; }
	grep -q 'err= 0' "$TMP/fio" || { cat "$TMP/fio" >&2 && fail "fio $e"; }
	rm -f $MNT/$e.*
done
expect_used 0

head -c 20M /dev/urandom >"$TMP/src"
cp "$TMP/src" $MNT/cp || fail "cp"
cmp "$TMP/src" $MNT/cp || fail "cmp after cp"
cp --sparse=always --reflink=auto $MNT/cp $MNT/cp2 || fail "cp inside"
rm $MNT/cp
cmp "$TMP/src" $MNT/cp2 || fail "cmp inside"
dd if="$TMP/src" of=$MNT/dd bs=100003 conv=fsync,notrunc status=none || fail "dd"
dd if=$MNT/dd bs=1M iflag=direct status=none | cmp - "$TMP/src" || fail "dd direct"
tar -C $MNT -cf - dd | tar -C "$TMP" -xf - || fail "tar"
cmp "$TMP/dd" "$TMP/src" || fail "tar"
rm $MNT/*
expect_used 0

need_cmd python3
python3 - $MNT/np <<'PY' || fail "numpy.memmap"
import sys
try:
    import numpy as np
except ImportError:
    print("no numpy"); sys.exit(0)
n = 20 << 18
a = np.memmap(sys.argv[1], dtype=np.uint32, mode="w+", shape=(n,))
a[:] = np.arange(n, dtype=np.uint32) * np.uint32(2654435761)
a.flush()
del a
b = np.memmap(sys.argv[1], dtype=np.uint32, mode="r", shape=(n,))
assert (b == np.arange(n, dtype=np.uint32) * np.uint32(2654435761)).all()
c = np.memmap(sys.argv[1], dtype=np.uint32, mode="r+", shape=(n,))
c[::4096] += 1
c.flush()
e = np.arange(n, dtype=np.uint32) * np.uint32(2654435761)
e[::4096] += 1
assert (np.fromfile(sys.argv[1], dtype=np.uint32) == e).all()
PY
rm -f $MNT/np
expect_used 0
[ "$(counter csum_errors)" = 0 ] && [ "$(counter io_errors)" = 0 ] || fail "errors"
check_clean
