#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Kernels with the debugging options no distribution kernel has, built from
# Debian's linux-source package and the fragments in tests/kernel-configs/.
#
#   scripts/lib/debug-kernel.sh build debug|kcsan   build unless it is there
#   scripts/lib/debug-kernel.sh have debug|kcsan    exit status only
#   scripts/lib/debug-kernel.sh inputs debug|kcsan  what decides about a rebuild
#
# Can be sourced too: debug_kernel_build, debug_kernel_have. The result is
# $CACHE/kernels/NAME/: bzImage (= vmlinuz), build/ (to build modules against),
# lib/modules/RELEASE/ (= modules), release, kdir (the path of build/), key.
#
# A kernel once built stays, also when Debian has a newer source package;
# remove its directory to get the newer one.

# shellcheck disable=SC1091
declare -F log >/dev/null || . "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck disable=SC1091
declare -F apt_setup >/dev/null || . "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

# The long-term series whose source package is used.
DEBUG_KERNEL_SERIES=6.12
DEBUG_KERNEL_SRC=$CACHE/src/linux-source-$DEBUG_KERNEL_SERIES

# The suite of this machine: its compiler builds the kernel.
debug_kernel_suite() {
	# shellcheck disable=SC1091
	(. /etc/os-release && echo "$VERSION_CODENAME")
}

debug_kernel_fragments() {
	case $1 in
	debug | kcsan) ;;
	*) die "no such debug kernel: $1 (debug or kcsan)" ;;
	esac
	cat "$TOP/tests/kernel-configs/base.config" "$TOP/tests/kernel-configs/$1.config"
}

# The inputs other than the source package, one a line. The first line is
# raised when this script makes something different out of the same inputs.
debug_kernel_inputs() {
	echo "format 1"
	echo "fragments $(debug_kernel_fragments "$1" | sha256sum | cut -d' ' -f1)"
	echo "compiler $(gcc --version | head -n1)"
}

debug_kernel_have() {
	local dir=$CACHE/kernels/$1
	[ -r "$dir/key" ] && [ "$(grep -v '^source ' "$dir/key")" = "$(debug_kernel_inputs "$1")" ]
}

# The version of linux-source to take: that of the newest headers package of
# the series, so that a module is tested on the code it is built for; else the
# newest there is.
debug_kernel_source_version() {
	local code versions headers
	code=$(debug_kernel_suite)
	apt_setup "$code" || return 1
	versions=$(apt-cache -c "$APT_CONF" madison "linux-source-$DEBUG_KERNEL_SERIES" | awk '{ print $3 }' | sort -Vru)
	[ -n "$versions" ] || die "no package linux-source-$DEBUG_KERNEL_SERIES in the suites of $code"
	headers=$(apt-cache -c "$APT_CONF" pkgnames "linux-headers-$DEBUG_KERNEL_SERIES." |
		grep -Ex '[^+]*\+deb[0-9]+-amd64' | sort -V | tail -n1)
	if [ -n "$headers" ]; then
		headers=$(apt-cache -c "$APT_CONF" madison "$headers" | awk 'NR == 1 { print $3 }')
		! grep -Fqx -- "$headers" <<<"$versions" || versions=$headers
	fi
	head -n1 <<<"$versions"
}

# Unpacks the source package, unless that version is unpacked already.
debug_kernel_source() {
	local version=$1 src=$DEBUG_KERNEL_SRC tmp
	[ "$(cat "$src/.kvlift-version" 2>/dev/null)" != "$version" ] || return 0
	log "unpacking linux-source-$DEBUG_KERNEL_SERIES $version"
	mkdir -p "$CACHE/src"
	tmp=$(mktemp -d "$CACHE/src/new.XXXXXX")
	if (
		cd "$tmp" &&
			quietly "$CACHE/log/linux-source.log" apt-get -c "$APT_CONF" -q download "linux-source-$DEBUG_KERNEL_SERIES=$version" &&
			dpkg-deb --fsys-tarfile ./*.deb | tar -xO "./usr/src/linux-source-$DEBUG_KERNEL_SERIES.tar.xz" | nice -n 15 tar -xJ
	); then
		echo "$version" >"$tmp/linux-source-$DEBUG_KERNEL_SERIES/.kvlift-version"
		rm -rf "$src"
		mv "$tmp/linux-source-$DEBUG_KERNEL_SERIES" "$src"
		rm -rf "$tmp"
	else
		rm -rf "$tmp"
		return 1
	fi
}

# debug_kernel_make OUT ARGS...: make in the source tree, output to OUT.
# Fixed names and times, so that the compiler cache hits.
debug_kernel_make() {
	local out=$1 cc=gcc
	shift
	! command -v ccache >/dev/null || cc="ccache gcc"
	CCACHE_DIR=$CACHE/ccache CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-3G} \
	KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' KBUILD_BUILD_USER=kvlift KBUILD_BUILD_HOST=kvlift \
	PATH=$PATH:/usr/sbin:/sbin \
		nice -n 15 make -C "$DEBUG_KERNEL_SRC" O="$out" CC="$cc" HOSTCC="$cc" "$@"
}

# Kconfig drops what it cannot satisfy without a word: compare.
debug_kernel_config_check() {
	awk '
	FNR == 1 { file++ }
	{ name = "" }
	/^CONFIG_/ { i = index($0, "="); name = substr($0, 1, i - 1); value = substr($0, i + 1) }
	/^# CONFIG_[A-Z0-9_a-z]* is not set/ { name = $2; value = "n" }
	name == "" { next }
	file == 1 { want[name] = value }
	file == 2 { got[name] = value }
	END {
		for (name in want) {
			if (!(name in got)) got[name] = "n"
			if (got[name] != want[name]) { print "  " name " wanted " want[name] " got " got[name]; bad = 1 }
		}
		exit bad
	}' "$1" "$2" >&2
}

debug_kernel_config() {
	local name=$1 out=$2
	debug_kernel_fragments "$name" >"$out/fragments"
	quietly "$CACHE/log/kernel-$name-config.log" debug_kernel_make "$out" -s KCONFIG_ALLCONFIG="$out/fragments" allnoconfig || return 1
	debug_kernel_config_check "$out/fragments" "$out/.config" || die "$name: options were dropped"
}

# debug_kernel_pack NAME OUT DIR: what is needed to boot and to build modules.
debug_kernel_pack() {
	local out=$2 dir=$3
	# shellcheck disable=SC2016 # expanded by make
	debug_kernel_make "$out" -s run-command KBUILD_RUN_COMMAND='$(srctree)/scripts/package/install-extmod-build '"$dir/build" &&
		debug_kernel_make "$out" -s INSTALL_MOD_PATH="$dir" INSTALL_MOD_STRIP=1 modules_install || return 1
	# Type information is all that building a module takes from vmlinux;
	# without it the module gets none, and kfuncs and struct_ops vanish.
	objcopy --only-section=.BTF --set-section-flags .BTF=alloc,readonly "$out/vmlinux" "$dir/build/vmlinux" &&
		cp "$out/.config" "$out/System.map" "$dir/build/" &&
		cp "$out/arch/x86/boot/bzImage" "$dir/" &&
		ln -s bzImage "$dir/vmlinuz" &&
		cp "$out/include/config/kernel.release" "$dir/release" &&
		ln -s "lib/modules/$(cat "$dir/release")" "$dir/modules" &&
		rm -f "$dir/modules/build" "$dir/modules/source"
}

debug_kernel_build_locked() {
	local name=$1 dir=$CACHE/kernels/$1 out=$CACHE/build/$1 version tmp
	! debug_kernel_have "$name" || return 0
	version=$(debug_kernel_source_version) || return 1
	apt_setup "$(debug_kernel_suite)" || return 1
	debug_kernel_source "$version" || return 1
	mkdir -p "$out" "$CACHE/log"
	debug_kernel_config "$name" "$out" || return 1
	log "building kernel $name from $version: 10 to 30 minutes, below one with a warm ccache; output in $CACHE/log/kernel-$name.log"
	quietly "$CACHE/log/kernel-$name.log" debug_kernel_make "$out" -j"$(nproc)" bzImage modules || return 1
	mkdir -p "$CACHE/kernels"
	tmp=$(mktemp -d "$CACHE/kernels/.$name.XXXXXX")
	chmod 755 "$tmp"
	quietly "$CACHE/log/kernel-$name-pack.log" debug_kernel_pack "$name" "$out" "$tmp" || { rm -rf "$tmp"; return 1; }
	echo "$dir/build" >"$tmp/kdir"
	{ echo "source $version"; debug_kernel_inputs "$name"; } >"$tmp/key"
	rm -rf "$dir"
	mv "$tmp" "$dir"
	# 1.7 GB that ccache brings back in half a minute
	[ -n "${KVLIFT_KEEP_BUILD:-}" ] || rm -rf "$out"
	log "kernel $name: $(cat "$dir/release") in $dir"
}

debug_kernel_build() {
	debug_kernel_have "$1" || with_lock debug-kernel debug_kernel_build_locked "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	case "${1:-} ${2:-}" in
	"build debug" | "build kcsan") debug_kernel_build "$2" ;;
	"have debug" | "have kcsan") debug_kernel_have "$2" ;;
	"inputs debug" | "inputs kcsan") debug_kernel_inputs "$2" ;;
	*) die "usage: ${0##*/} build|have|inputs debug|kcsan" ;;
	esac
fi
