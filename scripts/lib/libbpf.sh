# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# libbpf: 1.4 at least is needed, for struct_ops of modules. Debian 12 has 1.1;
# the one of its backports is unpacked into $CACHE/libbpf, where
# bpf/libbpf.mk looks for it. Nothing to do from Debian 13 on.

# shellcheck disable=SC1091
declare -F apt_setup >/dev/null || . "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

LIBBPF_WANT=1.4

libbpf_have() {
	pkg-config --atleast-version=$LIBBPF_WANT libbpf 2>/dev/null || [ -e "$CACHE/libbpf/complete" ]
}

libbpf_fetch_locked() {
	local dir=$CACHE/libbpf code
	! libbpf_have || return 0
	# shellcheck disable=SC1091
	code=$(. /etc/os-release && echo "$VERSION_CODENAME")
	log "fetching libbpf (once)"
	rm -rf "$dir"
	# The programs are linked against the archive: no need of libbpf1 to run them.
	apt_unpack "$code-backports" "$dir" libbpf-dev || return 1
	rm -rf "${dir:?}/usr/share"
	PKG_CONFIG_PATH=$(echo "$dir"/usr/lib/*/pkgconfig) pkg-config --atleast-version=$LIBBPF_WANT libbpf ||
		{ log "no libbpf >= $LIBBPF_WANT in $code-backports"; return 1; }
	touch "$dir/complete"
}

# libbpf_get: makes sure that there is one.
libbpf_get() {
	libbpf_have || with_lock libbpf libbpf_fetch_locked
}
