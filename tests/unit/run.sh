#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# usage: run.sh PROGRAM...
# Run the unit tests, and the scripts beside this one. Exit status 1 if one
# failed. TOP and B name the repository and the build directory.
dir=$(dirname "$0")
passed=0 failed=0
export ASAN_OPTIONS="detect_leaks=1:${ASAN_OPTIONS:-}" UBSAN_OPTIONS=print_stacktrace=1
# The thread sanitizer does not take every random layout of memory.
fixed=$(setarch -R true 2>/dev/null && echo setarch -R)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for t in "$@" "$dir"/test_*.sh; do
	name=$(basename "$t")
	# shellcheck disable=SC2086
	case $t in *.sh) sh "$t" ;; *_tsan) $fixed "$t" ;; *) "$t" ;; esac >"$log" 2>&1
	rc=$?
	case $rc in
	0)
		echo "ok - $name ($(grep -c '^ok' "$log") cases)"
		passed=$((passed + 1))
		;;
	77) echo "ok - $name # SKIP $(tail -n 1 "$log")" ;;
	*)
		echo "not ok - $name (exit status $rc)"
		grep -v '^ok' "$log"
		failed=$((failed + 1))
		;;
	esac
done
echo "$passed unit tests passed, $failed failed"
[ $failed = 0 ]
