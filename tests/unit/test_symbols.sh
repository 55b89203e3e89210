#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every symbol of the version map is declared, exported and has a man page,
# and nothing else is exported.
rc=0
say() { echo "not ok - $*"; rc=1; }
map=$(sed -n '/global:/,/local:/s/^[[:space:]]*\(kvlift_[a-z0-9_]*\);.*/\1/p' "$TOP/userlib/libkvlift.map" | sort)
so=$(ls "$B"/libkvlift.so.*.*.*)
exported=$(nm -D --defined-only "$so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort)
[ "$map" = "$exported" ] || say "map and $so differ: $(printf '%s\n' "$map" "$exported" | sort | uniq -u | tr '\n' ' ')"
headers=$(echo "$TOP"/userlib/include/*.h)
# shellcheck disable=SC2086
declared=$(sed -n 's/^[a-z].*[ *]\(kvlift_[a-z0-9_]*\)(.*/\1/p' $headers | sort -u)
for s in $map; do
	printf '%s\n' "$declared" | grep -qx "$s" || say "$s is not declared"
	# shellcheck disable=SC2086
	grep -hq "^ \* $s() - " $headers || say "$s has no kernel-doc"
done
for s in $declared; do
	grep -lqE "^\.(Nm|Fn|Fo) \"?$s\b" "$TOP"/userlib/man/*.3 || say "$s has no man page"
	# shellcheck disable=SC2086
	printf '%s\n' "$map" | grep -qx "$s" || grep -hq "static inline.*$s(" $headers ||
		say "$s is declared but not in the map"
done
[ "$(objdump -p "$so" | awk '$1 == "SONAME" { print $2 }')" = libkvlift.so.0 ] || say "wrong soname"
[ $rc = 0 ] && echo "ok - $(printf '%s\n' "$map" | wc -l) symbols"
exit $rc
