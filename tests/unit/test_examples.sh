#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The examples compile against an installed library, as a user does it, and the
# first one is short.
command -v pkg-config >/dev/null || { echo "no pkg-config"; exit 77; }
rc=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s -C "$TOP/userlib" install BUILD="$B" DESTDIR="$tmp" PREFIX=/usr/local >"$tmp/log" 2>&1 ||
	{ echo "not ok - make install"; cat "$tmp/log"; exit 1; }
PKG_CONFIG_PATH=$tmp/usr/local/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tmp \
	make -C "$TOP/examples" OUT="$tmp/out" CFLAGS="-O2 -Wall -Wextra -Werror" >"$tmp/log" 2>&1 ||
	{ echo "not ok - the examples do not compile"; cat "$tmp/log"; rc=1; }
for f in "$TOP"/examples/*.c; do
	name=$(basename "$f" .c)
	ldd "$tmp/out/$name" 2>/dev/null | grep -q 'libkvlift\.so\.0' || { echo "not ok - $name does not use the shared library"; rc=1; }
done
[ "$(wc -l <"$TOP/examples/first.c")" -lt 60 ] || { echo "not ok - first.c has 60 lines or more"; rc=1; }
[ $rc = 0 ] && echo "ok - examples"
exit $rc
