# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Kernels to boot and to build for, fetched from Debian and unpacked under
# $CACHE/kernels, never installed.
#
# kernel_get NAME sets
#   K_NAME     the name of its directory
#   K_RELEASE  what uname -r will say
#   K_IMAGE    bzImage
#   K_KDIR     build directory for modules
#   K_MODULES  tree of its modules (any depth, possibly compressed)
#   K_SUITE    suite it came from (empty for our own)

# shellcheck disable=SC2034
KERNELS=$CACHE/kernels

# Debian's code name here: the 6.12 of that suite fits its compiler.
host_suite() {
	# shellcheck disable=SC1091
	(. /etc/os-release && echo "$VERSION_CODENAME")
}

# kernel_resolve NAME: the release that NAME stands for. Asked once, then
# remembered in $KERNELS/names; remove that file to ask again.
kernel_resolve() {
	local name=$1 suite found
	if found=$(awk -v n="$name" '$1 == n { print $2; ok = 1 } END { exit !ok }' "$KERNELS/names" 2>/dev/null); then
		echo "$found"
		return
	fi
	suite=$(host_suite)
	case $name in
	6.12) ;;
	newest) suite=trixie ;;
	*) die "no kernel called $name" ;;
	esac
	# An image without headers of the same version is of no use.
	case $name in
	6.12) found=$(apt_newest "$suite" 'linux-headers-6\.12\.[0-9]+\+deb1[23]-amd64') ;;
	newest) found=$(apt_newest "$suite" 'linux-headers-[0-9]+\.[0-9]+\.[0-9]+\+deb13-amd64') ;;
	esac
	[ -n "$found" ] || die "apt knows no headers for kernel $name in $suite"
	found=${found#linux-headers-}
	mkdir -p "$KERNELS"
	echo "$name $found" >>"$KERNELS/names"
	echo "$found"
}

# kernel_suite RELEASE: where to fetch it.
kernel_suite() {
	case $1 in
	*+deb12-*) echo bookworm ;;
	*+deb13-*) echo trixie ;;
	*) die "kernel $1: neither a Debian 12 nor a Debian 13 kernel" ;;
	esac
}

# kernel_fetch RELEASE: image, modules and headers, relocated, into $KERNELS/RELEASE.
kernel_fetch() {
	local rel=$1 dir=$KERNELS/$1 new=$KERNELS/$1.new code base pkgs=() p
	[ -e "$dir/release" ] && return
	code=$(kernel_suite "$rel")
	base=${rel%-amd64}
	apt_setup "$code"
	# One image package up to 6.x, binary + modules from 7.x on; kbuild per release.
	for p in "linux-image-$rel" "linux-binary-$rel" "linux-modules-$rel" "linux-headers-$rel" \
		"linux-headers-$base-common" "linux-kbuild-$base" "linux-kbuild-${base}"; do
		apt-cache -c "$APT_CONF" show "$p" >/dev/null 2>&1 && pkgs+=("$p")
	done
	log "fetching kernel $rel"
	rm -rf "$new"
	apt_unpack "$code-backports" "$new" "${pkgs[@]}" || die "could not fetch kernel $rel"
	# Headers name their common part by an absolute path.
	find "$new"/usr/src/linux-headers-*-amd64 "$new"/usr/lib -maxdepth 1 -name Makefile -exec \
		sed -i "s,\([ =]\)/usr/src/,\1$dir/usr/src/,g; s,\([ =]\)/usr/lib/linux-,\1$dir/usr/lib/linux-,g" {} +
	p=$(find "$new/boot" "$new/usr/lib/modules" -name "vmlinuz*" 2>/dev/null | head -n 1) || true
	[ -n "$p" ] || die "kernel $rel: no vmlinuz in its packages"
	mv "$p" "$new/vmlinuz"
	[ -d "$new/lib/modules" ] || { mkdir -p "$new/lib" && mv "$new/usr/lib/modules" "$new/lib/modules"; }
	ln -sfn "usr/src/linux-headers-$rel" "$new/kdir"
	rm -rf "${new:?}/usr/share" "$new"/boot/System.map* "$dir"
	echo "$rel" >"$new/release"
	mv "$new" "$dir"
}

# kernel_get NAME: see above.
kernel_get() {
	case $1 in
	debug | kcsan)
		K_NAME=$1
		if [ ! -e "$KERNELS/$1/release" ]; then
			[ -e "$LIB/debug-kernel.sh" ] || die "no $1 kernel and no scripts/lib/debug-kernel.sh to build one"
			# shellcheck disable=SC1091
			(. "$LIB/debug-kernel.sh" && debug_kernel_build "$1") >&2 || die "building the $1 kernel failed"
		fi
		K_SUITE='' K_RELEASE=$(cat "$KERNELS/$1/release")
		K_IMAGE=$KERNELS/$1/bzImage K_KDIR=$KERNELS/$1/build K_MODULES=$KERNELS/$1/modules
		;;
	*)
		case $1 in
		*-amd64) K_RELEASE=$1 ;;
		*+deb1[23]) K_RELEASE=$1-amd64 ;;
		*) K_RELEASE=$(kernel_resolve "$1") ;;
		esac
		K_NAME=$K_RELEASE
		kernel_fetch "$K_RELEASE"
		K_SUITE=$(kernel_suite "$K_RELEASE")
		K_IMAGE=$KERNELS/$K_NAME/vmlinuz K_KDIR=$KERNELS/$K_NAME/kdir
		K_MODULES=$KERNELS/$K_NAME/lib/modules/$K_RELEASE
		;;
	esac
}
