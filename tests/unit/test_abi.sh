#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Sizes, offsets and numbers of everything that programs and the library, or the
# module, share are those of abi.txt beside this. A release may add to the list, and
# change nothing in it; after adding a structure: ABI_UPDATE=1 make check
rc=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
list=$(dirname "$0")/abi.txt
set -- "$TOP"/userlib/include/*.h "$TOP"/module/uapi/linux/kvlift.h "$TOP"/module/uapi/linux/kvlift_mover.h
# "struct NAME MEMBER" for each member of each structure that has a body.
awk '
/^struct [a-z0-9_]+ \{/ { name = $2; next }
name && /^}/ { print name; name = ""; next }
name && /;/ {
	line = $0
	sub(/\/\*.*/, "", line)
	sub(/;.*/, "", line)
	n = split(line, part, ",")
	for (i = 1; i <= n; i++) {
		m = part[i]
		sub(/\[.*/, "", m)
		sub(/.*[ \t*]/, "", m)
		if (m ~ /^[a-z0-9_]+$/) print name, m
	}
}' "$@" >"$tmp/members"
# Enumerators, and macros that are numbers: all but versions and texts.
awk '
/^#define KVLIFT_[A-Z0-9_]+[ \t]/ && $2 !~ /_VERSION_|_MAGIC$/ && $3 !~ /^"/ { print $2 }
/^\tKVLIFT_[A-Z0-9_]+( =.*)?,/ { sub(/,.*/, "", $1); print $1 }' "$@" >"$tmp/numbers"
{
	printf '#define _GNU_SOURCE\n#include <stdio.h>\n#include <stddef.h>\n#include <kvlift.h>\n#include <linux/kvlift_mover.h>\nint main(void) {\n'
	while read -r s m; do
		if [ -n "$m" ]; then
			printf 'printf("%s.%s %%zu %%zu\\n", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));\n' "$s" "$m" "$s" "$m" "$s" "$m"
		else
			printf 'printf("%s %%zu\\n", sizeof(struct %s));\n' "$s" "$s"
		fi
	done <"$tmp/members"
	while read -r n; do
		printf 'printf("%s = %%llu\\n", (unsigned long long)(%s));\n' "$n" "$n"
	done <"$tmp/numbers"
	printf 'return 0; }\n'
} >"$tmp/abi.c"
${CC:-cc} -w -I"$TOP/module/uapi" -I"$TOP/userlib/include" "$tmp/abi.c" -o "$tmp/abi" || exit 1
"$tmp/abi" | LC_ALL=C sort -u >"$tmp/now"
[ "$(wc -l <"$tmp/now")" -gt 300 ] || { echo "not ok - the headers were not understood"; rc=1; }
[ -z "${ABI_UPDATE:-}" ] || { echo '# name, offset where it is a member, size; name = number; made by test_abi.sh'; cat "$tmp/now"; } >"$list"
grep -v '^#' "$list" | diff - "$tmp/now" >"$tmp/diff" || { echo "not ok - the ABI is not that of abi.txt"; cat "$tmp/diff"; rc=1; }
[ $rc = 0 ] && echo "ok - $(wc -l <"$tmp/now") sizes, offsets and numbers"
exit $rc
