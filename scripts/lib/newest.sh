#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The newest Debian kernel that can be had, and modules built for it.
#
#   scripts/lib/newest.sh fetch                     kernel and toolchain
#   scripts/lib/newest.sh have                      exit status only
#   scripts/lib/newest.sh module SRC OUT [ARGS...]  build a module
#   scripts/lib/newest.sh run [-b DIR]... CMD...    run CMD beside its compiler
#
# Can be sourced too: newest_kernel_fetch, newest_kernel_have,
# newest_module_build, newest_run. $CACHE/kernels/newest is a link to what
# scripts/lib/kernels.sh unpacked: vmlinuz, lib/modules/RELEASE/, release, kdir.
#
# That kernel wants a compiler and a C library newer than Debian 12 has (its
# objtool needs glibc 2.38). So the tools of its own release are unpacked into
# a directory and used from there: as another root in a mount namespace of its
# own, which needs no privileges and leaves no mounts behind. On Debian 13 and
# later the machine's own compiler does.

# shellcheck disable=SC1091
declare -F log >/dev/null || . "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck disable=SC1091
declare -F apt_setup >/dev/null || . "$LIB/apt.sh"
# shellcheck disable=SC1091
declare -F kernel_get >/dev/null || . "$LIB/kernels.sh"

NEWEST_SUITE=trixie
NEWEST_ROOT=$CACHE/$NEWEST_SUITE
NEWEST_TOOLS="base-files libc6 gcc-14 make binutils pahole kmod xz-utils libelf1t64
	libssl3t64 zlib1g bash dash coreutils util-linux sed mawk grep findutils diffutils perl-base"

# Whether this machine's own tools will do.
newest_native() {
	local version
	# shellcheck disable=SC1091
	version=$(. /etc/os-release && echo "${VERSION_ID:-0}")
	[ "${version%%.*}" -ge 13 ] && command -v gcc-14 >/dev/null
}

newest_root_have() {
	[ "$(cat "$NEWEST_ROOT/.packages" 2>/dev/null)" = "$NEWEST_TOOLS" ]
}

# The packages' own scripts are not run: what they would have set up and we
# need is a handful of links.
newest_root_make() {
	local new=$NEWEST_ROOT.new pkgs
	! newest_root_have || return 0
	log "unpacking the tools of $NEWEST_SUITE"
	chmod -R u+w "$new" 2>/dev/null || true
	rm -rf "$new"
	read -r -d '' -a pkgs <<<"$NEWEST_TOOLS" || true
	apt_unpack_deps "$NEWEST_SUITE" "$new" "${pkgs[@]}" || return 1
	ln -sf mawk "$new/usr/bin/awk"
	[ -e "$new/usr/bin/sh" ] || ln -s dash "$new/usr/bin/sh"
	ln -sf gcc-14 "$new/usr/bin/gcc"
	ln -sf gcc-14 "$new/usr/bin/cc"
	rm -rf "$new/usr/share/doc" "$new/usr/share/man" "$new/usr/share/locale"
	echo "$NEWEST_TOOLS" >"$new/.packages"
	rm -rf "$NEWEST_ROOT"
	mv "$new" "$NEWEST_ROOT"
}

newest_kernel_have() {
	[ -e "$CACHE/kernels/newest/release" ] && { newest_native || newest_root_have; }
}

newest_kernel_fetch_locked() {
	newest_native || newest_root_make || return 1
	# in a subshell: it sets variables that may be in use by who called us
	(kernel_get newest && ln -sfn "$K_NAME" "$CACHE/kernels/newest")
}

newest_kernel_fetch() {
	newest_kernel_have || with_lock newest newest_kernel_fetch_locked
}

# newest_run [-b DIR]... CMD...: run CMD where the newest kernel's compiler is.
# It sees its own /usr, and under their usual names the kernels and each DIR.
newest_run() {
	local dirs=("$CACHE/kernels") unshare=(unshare --mount)
	while [ "$1" = -b ]; do
		dirs+=("$2")
		shift 2
	done
	local env=(env -i PATH=/usr/bin:/usr/sbin HOME=/tmp LC_ALL=C.UTF-8 DEB_BUILD_ARCH=amd64)
	if newest_native; then
		"${env[@]}" "$@"
		return
	fi
	[ "$(id -u)" = 0 ] || unshare+=(--map-root-user)
	mkdir -p "$NEWEST_ROOT.mnt"
	# The root is a tmpfs: mount points made in it vanish with the namespace.
	# shellcheck disable=SC2016 # expanded by the inner shell
	"${unshare[@]}" sh -ec '
		root=$1 mnt=$2 n=$3; shift 3
		mount -t tmpfs -o mode=755 tmpfs "$mnt"
		cd "$mnt"
		mkdir usr proc dev tmp
		for d in bin sbin lib lib64; do ln -s "usr/$d" "$d"; done
		mount --bind "$root/usr" usr
		mount --rbind /proc proc
		mount --rbind /dev dev
		while [ "$n" -gt 0 ]; do
			mkdir -p "./$1"
			mount --rbind "$1" "./$1"
			shift; n=$((n - 1))
		done
		exec chroot . "$@"
	' sh "$NEWEST_ROOT" "$NEWEST_ROOT.mnt" "${#dirs[@]}" "${dirs[@]}" "${env[@]}" "$@"
}

# newest_link_sources SRC OUT: a tree of links, since the kernel's build system
# writes beside the sources (and with MO= refuses those built in place before).
newest_link_sources() {
	local src=$1 out=$2 file
	while read -r -d '' file; do
		mkdir -p "$out/${file%/*}"
		ln -sf "$src/$file" "$out/$file"
	done < <(cd "$src" && find . -path "./${out#"$src"/}" -prune -o -type f \
		\( -name '*.[chS]' -o -name Kbuild -o -name Makefile \) ! -name '*.mod.c' -print0)
	find "$out" -xtype l -delete
}

# newest_module_build SRC OUT [ARGS...]: build the external module in SRC into
# OUT. A SRC with a make target "module" (as ours) is told KDIR and OUT.
newest_module_build() {
	local src out kdir
	src=$(realpath "$1") || return 1
	[ -e "$src/Kbuild" ] || { log "$src: no Kbuild, so no module sources"; return 1; }
	mkdir -p "$2"
	out=$(realpath "$2")
	shift 2
	newest_kernel_fetch || return 1
	kdir=$(realpath "$CACHE/kernels/newest/kdir")
	if grep -qs '^module:' "$src/Makefile"; then
		# BUILD is where the last built module is linked to: not ours to change.
		mkdir -p "$out/.last"
		newest_run -b "$src" -b "$out" nice -n 15 make -C "$src" module "KDIR=$kdir" "OUT=$out" "BUILD=$out/.last" "$@"
	else
		newest_link_sources "$src" "$out"
		newest_run -b "$src" -b "$out" nice -n 15 make -C "$kdir" "M=$out" "$@" modules
	fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	cmd=${1:-}
	[ $# = 0 ] || shift
	case $cmd in
	fetch) newest_kernel_fetch ;;
	have) newest_kernel_have ;;
	module) newest_module_build "$@" ;;
	run) newest_run "$@" ;;
	*) die "usage: ${0##*/} fetch | have | module SRC OUT [ARGS...] | run [-b DIR]... CMD..." ;;
	esac
fi
