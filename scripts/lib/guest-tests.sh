# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests in a guest: tests/{guest,stress,fuzz}/NN-*.sh. Comment lines at their
# head say how they want to be run:
#
#   # guest: --devices nvme,cxl --memory 2G      options of scripts/guest
#   # kernels: 6.12 newest debug                 where (default 6.12)
#   # also: newest                               there too with --long or --kernel
#   # time: 60                                   limit in seconds (default 120)
#   # long: 1800                                 it has a long form (KVLIFT_FULL is
#                                                set then); its limit, without factor
#   # quick: no                                  not with --quick
#   # files: ../shared/traces/*.xz               put into the guest if there
#   # needs: llama                               scripts/lib/llama.sh runs before
#
# Exit status 0 is a pass, 77 a skip. Tests with the same kernel and options
# share a boot. When one takes the kernel down, the rest get another boot.
#
# A line "@@moves N" in a test's output adds to the moves of the run.

# header FILE KEY DEFAULT
header() {
	local v
	v=$(sed -n "2,20s/^# $2: *//p" "$1" | head -n 1)
	echo "${v:-$3}"
}

# kernel_rank NAME: should there be no time for all, what tells most comes first.
kernel_rank() {
	case $1 in
	6.12) echo 0 ;;
	debug) echo 1 ;;
	kcsan) echo 3 ;;
	*) echo 2 ;;
	esac
}

# The debug kernel is built beside what comes before it, of time nobody wants.
build_ahead() {
	[ ! -e "$CACHE/kernels/debug/release" ] && grep -q '^debug' "$PLAN" || return 0
	nice -n 19 "$LIB/debug-kernel.sh" build debug >"$LOGS/debug-kernel.log" 2>&1 &
}

# guest_tests_plan REGEX QUICK KERNELS LONG: PLAN gets a line "kernel, options, limit,
# file" for each test to run, those that share a boot together.
guest_tests_plan() {
	local f k limit more
	LONG=$4 ONLY_KERNEL=$3
	PLAN=$(mktemp)
	trap 'rm -f "$PLAN"' EXIT
	for f in "$TOP"/tests/{guest,stress,fuzz}/[0-9][0-9]-*.sh; do
		[ -e "$f" ] || continue
		[ "$2" = 0 ] || [ "$(header "$f" quick yes)" != no ] || continue
		more=''
		[ "$3$4" = 0 ] || more=$(header "$f" also '')
		for k in $(header "$f" kernels 6.12) $more; do
			[ -z "$3" ] || [ "$k" = "$3" ] || continue
			[ "$2" = 0 ] || [ -n "$3" ] || [ "$k" = 6.12 ] || continue
			[[ guest/$k/$(basename "$f") =~ $1 ]] || continue
			limit=$(header "$f" time 120)
			# Instrumented kernels are several times slower; long forms end by the clock.
			case $k in debug | kcsan) limit=$((limit * 5)) ;; esac
			[ "$4" = 0 ] || limit=$(header "$f" long "$limit")
			printf '%s\t%s\t%s\t%s\t%s\n' "$k" "$(header "$f" guest '')" "$limit" "$(basename "$f")" "$(kernel_rank "$k")"
		done
	done | sort -s -t$'\t' -k5,5n -k1,2 | cut -f1-4 >"$PLAN"
}

# prepare ITEM...: what their headers need. Who lacks it says so and is skipped.
prepare() {
	local item dir need
	for item; do
		for dir in guest stress fuzz; do
			[ -e "$TOP/tests/$dir/${item#*:}" ] || continue
			for need in $(header "$TOP/tests/$dir/${item#*:}" needs ''); do
				LONG=$LONG "$LIB/$need.sh" >"$LOGS/$need.log" 2>&1 || log "$need: $(tail -n 1 "$LOGS/$need.log")"
			done
		done
	done
}

# header_files ITEM...: "--file F" for each file that the headers name and that
# is there, one word a line.
header_files() {
	local item dir pattern f
	for item; do
		for dir in guest stress fuzz; do
			f=$TOP/tests/$dir/${item#*:}
			[ -e "$f" ] || continue
			for pattern in $(set -f; header "$f" files ''); do
				(cd "$TOP" && compgen -G "$pattern") | sed "s|^[^/]|$TOP/&|" || true
			done
		done
	done | sort -u | sed 's/^/--file\n/'
}

# kernel_at_hand NAME: can it be booted here within the time of a test run?
# Prints why not.
kernel_at_hand() {
	case $1 in
	kcsan)
		[ -e "$CACHE/kernels/kcsan/release" ] && return
		[ "$ONLY_KERNEL" = kcsan ] || { echo "no kcsan kernel built, and not in passing: scripts/test --kernel kcsan"; return 1; }
		log "building the kcsan kernel (10 to 25 minutes, once)"
		"$LIB/debug-kernel.sh" build kcsan >"$LOGS/kcsan-kernel.log" 2>&1 || { echo "building it failed, see kcsan-kernel.log"; return 1; } ;;
	debug)
		[ -e "$CACHE/kernels/debug/release" ] && return
		[ -e "$LIB/debug-kernel.sh" ] || { echo "no debug kernel and nothing to build one with"; return 1; }
		log "building the debug kernel (10 to 25 minutes, once)"
		local limit=$((UNTIL ? UNTIL - EPOCHSECONDS : 0)) rc=0
		timeout $((limit > 0 ? limit : UNTIL ? 1 : 0)) "$LIB/debug-kernel.sh" build debug >"$LOGS/debug-kernel-2.log" 2>&1 || rc=$?
		[ $rc != 124 ] || { echo "no time left to build the debug kernel, see --within"; return 1; }
		[ $rc = 0 ] || { echo "building it failed, see debug-kernel-2.log"; return 1; } ;;
	esac
}

guest_tests_run() {
	local kernel options limit file k='' o='' group=()
	while IFS=$'\t' read -r kernel options limit file <&4; do
		if [ "$kernel|$options" != "$k|$o" ]; then
			[ ${#group[@]} = 0 ] || guest_group "$k" "$o" "${group[@]}"
			k=$kernel o=$options group=()
		fi
		group+=("$limit:$file")
	done 4< <(sed 's/\t\t/\t \t/' "$PLAN")
	[ ${#group[@]} = 0 ] || guest_group "$k" "$o" "${group[@]}"
}

# guest_group KERNEL OPTIONS LIMIT:FILE...: one boot, or more when it crashes.
guest_group() {
	local kernel=$1 options=$2 total why rc start log name extra=()
	shift 2
	local left=("$@") files=() ended item
	if why="no time left, see --within" && [ $UNTIL != 0 ] && [ $EPOCHSECONDS -ge $UNTIL ] ||
		! why=$(kernel_at_hand "$kernel"); then
		for item; do name=${item#*:} && result skip "guest/$kernel/${name%.sh}" 0 "$why"; done
		return
	fi
	prepare "${left[@]}"
	# The kernel itself has races that are known: the runner looks for ours.
	[ "$kernel" != kcsan ] || extra=(--no-panic --append log_buf_len=16M)
	while [ ${#left[@]} -gt 0 ]; do
		name=${left[0]#*:} total=180
		log=$LOGS/guest-$kernel-${name%.sh}.log
		for item in "${left[@]}"; do total=$((total + ${item%%:*})); done
		start=$SECONDS rc=0
		mapfile -t files < <(header_files "${left[@]}")
		# shellcheck disable=SC2086
		"$TOP/scripts/guest" --kernel "$kernel" $options "${files[@]}" --timeout $total \
			"${extra[@]}" --console "${log%.log}-console.log" -- KVLIFT_LONG="$LONG" KVLIFT_UNTIL="$UNTIL" test-runner "${left[@]}" >"$log" 2>&1 </dev/null || rc=$?
		guest_results "$kernel" "$log"
		ended=$(sed -n 's/^@@end \([^ ]*\) .*/\1/p' "$log")
		name=$(sed -n 's/^@@start //p' "$log" | tail -n 1)
		if [ -n "$name" ] && ! grep -qxF "$name" <<<"$ended"; then
			result fail "guest/$kernel/$name" $((SECONDS - start)) "took the guest down, status $rc"
			sed -n "/^@@start $name\$/,\$p" "$log" | tail -n 70 | sed 's/^/    /'
			ended+=$'\n'$name
		elif [ -z "$name" ]; then
			result fail "guest/$kernel/boot" $((SECONDS - start)) "status $rc"
			tail -n 40 "$log" | sed 's/^/    /'
			for item in "${left[@]}"; do name=${item#*:} && result skip "guest/$kernel/${name%.sh}" 0 "no guest"; done
			return
		elif [ $rc != 0 ]; then
			result fail "guest/$kernel/end-of-run" $((SECONDS - start)) "status $rc"
			tail -n 40 "$log" | sed 's/^/    /'
		fi
		mapfile -t left < <(printf '%s\n' "${left[@]}" | while read -r item; do
			name=${item#*:}
			grep -qxF "${name%.sh}" <<<"$ended" || echo "$item"
		done)
	done
}

# guest_results KERNEL LOG: a result for each test that came to its end.
guest_results() {
	local at name verdict seconds
	while read -r at name verdict seconds; do
		[ "$at" = "@@end" ] || [ "$at" = "@@moves" ] || continue
		if [ "$at" = "@@moves" ]; then
			echo "moves $name" >>"$RESULTS"
			continue
		fi
		if [ "$verdict" = skip ]; then
			result skip "guest/$1/$name" "$seconds" "$(sed -n "/^@@start $name\$/,/^@@end $name /p" "$2" | grep -v '^@@\|^dmesg: ' | tail -n 1)"
			continue
		fi
		result "$verdict" "guest/$1/$name" "$seconds"
		[ "$verdict" = pass ] || sed -n "/^@@start $name\$/,/^@@end $name /p" "$2" | grep -v '^@@' | tail -n 60 | sed 's/^/    /'
	done <"$2"
}
