# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The checks that scripts/test makes on the host, in this order. A step is a
# function step_NAME; 77 as status means skipped, with the reason on the last
# line. Guest tests run at the same time, so nothing here builds in build/ itself
# but by scripts/guest.

# shellcheck disable=SC2034
STEPS=(deps house format checkpatch shellcheck man sparse warnings user-gcc user-clang user-plain gpu bpf unit powercut bench demo)
# shellcheck disable=SC2034
SLOW_STEPS=(powercut bench demo)

skip() { echo "$*"; exit 77; }

# with_kernel NAME CMD...: CMD with K_KDIR and K_RELEASE set.
with_kernel() {
	local name=$1
	shift
	# shellcheck disable=SC1091
	(. "$LIB/apt.sh" && . "$LIB/kernels.sh" && kernel_get "$name" && "$@")
}

# build_module DIR [ARGS...]: for the kernel that with_kernel chose.
build_module() {
	local out=build/check/$1-$K_RELEASE
	shift
	rm -rf "$out"
	# shellcheck disable=SC1091
	if [ "$K_SUITE" = trixie ] && [ "$(host_suite)" != trixie ]; then
		. "$LIB/newest.sh"
		newest_module_build "$TOP" "$TOP/$out" "$@"
	else
		make -s module "KDIR=$K_KDIR" "OUT=$out" BUILD=build/check "$@"
	fi
}

# all_scripts: tracked files that a shell runs.
all_scripts() {
	git ls-files scripts tests .ci userlib | while read -r f; do
		[ -f "$f" ] || continue
		case $(head -n 1 "$f") in
		'#!'*'bin/bash' | '#!'*'bin/sh' | '#!'*'env bash' | '#!'*'busybox sh' | '# shellcheck shell'*) echo "$f" ;;
		esac
	done
}

step_deps() { scripts/deps; }

# House rules that can be counted.
step_house() {
	local rc=0 f n
	while read -r f; do
		[ -f "$f" ] || continue
		case $f in *.md | LICENSES/* | *.config | .gitignore | .clang-format | *.xz | *.json | *.jsonl | *.svg | *.png | *.txt) continue ;; esac
		head -n 3 "$f" | grep -q 'SPDX-License-Identifier:' || { echo "$f: no SPDX line"; rc=1; }
		case $f in *.[ch] | *.py | *.sh)
			n=$(wc -l <"$f")
			[ "$n" -le 800 ] || { echo "$f: $n lines, 800 are the limit"; rc=1; } ;;
		esac
	done < <(git ls-files)
	# BPF takes the whole register for the value, see there.
	if grep -nE '^__bpf_kfunc (bool|char|[us](8|16)) +[a-z_]+\(' module/*.c; then
		echo "a kfunc that returns less than 32 bits"
		rc=1
	fi
	# A checkout directly in /tmp or /home says nothing about this machine.
	case $(dirname "$TOP") in / | /tmp | /home | /srv | /usr/src) n=$TOP/ ;; *) n=$(dirname "$TOP")/ ;; esac
	if git grep -nF -e "$n" -e "${HOME:-$n}/" -- .; then
		echo "paths of this machine"
		rc=1
	fi
	return $rc
}

# User space. The module's style is checkpatch's, with which clang-format is at
# odds over aligned comments and macros.
step_format() {
	[ -e .clang-format ] || skip "no .clang-format"
	git ls-files -z 'userlib/*.[ch]' 'tests/*.[ch]' 'bpf/*.[ch]' 'examples/*.[ch]' | xargs -0 -r clang-format --dry-run -Werror
}

# checkpatch is in no headers package: from the source package, three files.
checkpatch_get() {
	CHECKPATCH=$(compgen -G "$CACHE/src/linux-source-*/scripts/checkpatch.pl" | head -n 1) || true
	[ -z "$CHECKPATCH" ] || return 0
	CHECKPATCH=$CACHE/src/checkpatch/checkpatch.pl
	[ ! -e "$CHECKPATCH" ] || return 0
	local dir=$CACHE/src/checkpatch.new suite pkg
	# shellcheck disable=SC1091
	. "$LIB/apt.sh"
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt_setup "$suite"
	pkg=linux-source-6.12
	apt_unpack "$suite-backports" "$dir" "$pkg"
	mkdir -p "${CHECKPATCH%/*}"
	tar -C "${CHECKPATCH%/*}" --strip-components=2 --wildcards -xJf "$dir"/usr/src/linux-source-*.tar.xz \
		'*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch'
	rm -rf "$dir"
}

step_checkpatch() {
	local rc=0 common=(--no-tree --strict --terse --show-types)
	checkpatch_get
	git ls-files -z 'module/*.[ch]' ':!module/trace.h' ':!module/compat.h' ':!module/uapi' \
		':!module/advise_call.h' |
		xargs -0 -r perl "$CHECKPATCH" "${common[@]}" -f || rc=1
	# User space has neither BIT() nor __packed.
	git ls-files -z 'module/uapi/*.h' |
		xargs -0 -r perl "$CHECKPATCH" "${common[@]}" --ignore BIT_MACRO,PREFER_DEFINED_ATTRIBUTE_MACRO -f || rc=1
	# Versions are compared there and nowhere else.
	git ls-files -z 'module/compat.h' | xargs -0 -r perl "$CHECKPATCH" "${common[@]}" \
		--ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON -f || rc=1
	# An argument that is the name of a member can have no parentheses.
	git ls-files -z 'module/advise_call.h' | xargs -0 -r perl "$CHECKPATCH" "${common[@]}" \
		--ignore MACRO_ARG_PRECEDENCE -f || rc=1
	# The kernel's own trace headers look like this.
	git ls-files -z 'module/trace.h' | xargs -0 -r perl "$CHECKPATCH" "${common[@]}" \
		--ignore OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT,MACRO_ARG_REUSE,MULTISTATEMENT_MACRO_USE_DO_WHILE,SPACING,COMPLEX_MACRO -f || rc=1
	return $rc
}

step_shellcheck() {
	# 1090 1091: files that exist only elsewhere; 2034: set for those who source us;
	# 2054: QEMU's options are full of commas; 2187: busybox ash is taken for dash.
	all_scripts | xargs -r shellcheck -S warning -e SC1090,SC1091,SC2034,SC2054,SC2187
}

step_man() {
	compgen -G 'userlib/man/*.[0-9]' >/dev/null || skip "no man pages"
	mandoc -Tlint -W warning userlib/man/*.[0-9]
}

# sparse's exit status says nothing: its words count, those about our files.
step_sparse() {
	[ -e module/main.c ] || skip "no module yet"
	with_kernel 6.12 build_module sparse KFLAGS='C=2 CF=-D__CHECK_ENDIAN__' 2>&1 | tee build/check-sparse.out
	! grep -E 'module/.*(warning|error):' build/check-sparse.out
}

step_warnings() {
	local k
	[ -e module/main.c ] || skip "no module yet"
	for k in 6.12 newest; do
		[ "$k" = 6.12 ] || [ -e "$LIB/newest.sh" ] || continue
		with_kernel "$k" build_module w1 KFLAGS=W=1 2>&1 | tee build/check-w1.out
		! grep -E '(warning|error):' build/check-w1.out || return 1
	done
}

step_user_gcc() { make -s user CC=gcc BUILD=build/check/gcc CFLAGS=-Werror; }
step_user_clang() { make -s user CC=clang BUILD=build/check/clang CFLAGS=-Werror; }

# Without libbpf there are verbs that only say what to install.
step_user_plain() {
	local b=build/check/plain
	make -s -C userlib OPT=-O0 LIBBPF_DIR=/nowhere PKG_CONFIG_LIBDIR=/nowhere BUILD=$b CFLAGS=-Werror "$TOP/$b/kvlift"
	! ldd $b/kvlift | grep libelf
}

# What only a GPU can show is left for tests/gpu/run on a machine that has one. Here all
# of it compiles, by nvcc where that is there, and copies with the unit tests' driver.
step_gpu() {
	local n san bare=$TOP/build/check/bare
	sed -n '/^```c$/,/^```$/p' docs/gpu.md | sed '1d;$d' | cmp - examples/gpu_first.c ||
		{ echo "the code in docs/gpu.md is not examples/gpu_first.c"; return 1; }
	n=$(wc -l <examples/gpu_first.c)
	[ "$n" -le 72 ] || { echo "examples/gpu_first.c is no page: $n lines"; return 1; }
	# Of what a bare machine does not have nothing is used.
	for n in xxhash liburing zstd lzma blkid/blkid bpf/libbpf; do
		mkdir -p "$(dirname "$bare/$n")"
		echo "#error $n.h" >"$bare/$n.h"
	done
	CFLAGS="-Werror -I$bare" BUILD=build/check/gcc tests/gpu/run --fake --json build/check/gpu.json || return 1
	[ "$(grep -c '"table":' build/check/gpu.json)" -ge 52 ] || return 1
	for san in address,undefined thread; do
		CFLAGS="-O1 -fsanitize=$san -fno-sanitize-recover=all" NVCC='' BUILD=build/check/gpu-$san \
			setarch -R tests/gpu/run --fake || return 1
	done
}

step_bpf() {
	compgen -G 'bpf/*.bpf.c' >/dev/null || skip "no BPF programs yet"
	make -s bpf BUILD=build/check/bpf
}

step_unit() {
	compgen -G 'tests/unit/*.c' >/dev/null || skip "no unit tests yet"
	make -s check BUILD=build/check/gcc
}

# Fuzzing: of the parsers in the unit tests, of ioctls and options in the guest.

step_powercut() { timeout 1200 tests/host/powercut.sh; }

# The short form: every row but the replays is there. The figures are for people.
step_bench() {
	timeout 2400 scripts/bench --quick --json >build/bench.json
	# Rows of policies come on top, as many as could be loaded.
	[ "$(grep -c '"ratio":[0-9]' build/bench.json)" -ge 32 ]
}

step_demo() {
	[ -x scripts/demo ] || skip "no scripts/demo"
	timeout 1200 scripts/demo
}
