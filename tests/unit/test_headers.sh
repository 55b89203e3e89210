#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Every public header compiles by itself, as C11 and as C++17, without a word, and
# says since when its functions are there.
rc=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
warn="-Wall -Wextra -Wshadow -Wconversion -Wpedantic -Werror"
inc="-I$TOP/module/uapi -I$TOP/userlib/include"
for h in "$TOP"/userlib/include/*.h; do
	name=$(basename "$h")
	printf '#include <%s>\n#include <%s>\n' "$name" "$name" >"$tmp/t.c"
	cp "$tmp/t.c" "$tmp/t.cc"
	# shellcheck disable=SC2086
	${CC:-cc} -std=c11 -D_GNU_SOURCE $warn $inc -c "$tmp/t.c" -o "$tmp/t.o" 2>"$tmp/err" ||
		{ echo "not ok - $name as C"; cat "$tmp/err"; rc=1; }
	# shellcheck disable=SC2086
	${CXX:-c++} -std=c++17 $warn $inc -c "$tmp/t.cc" -o "$tmp/t.o" 2>"$tmp/err" ||
		{ echo "not ok - $name as C++"; cat "$tmp/err"; rc=1; }
	grep -q 'in since 0\.\|since 0\.' "$h" || { echo "not ok - $name does not say since when"; rc=1; }
done
[ $rc = 0 ] && echo "ok - headers"
exit $rc
