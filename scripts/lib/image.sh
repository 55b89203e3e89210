# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What a guest boots from. All images are squashfs without compression: the
# emulated CPU is slow, the host's page cache is not. They are the lower
# layers of an overlay whose upper layer is a tmpfs.
#
#   tools    Debian user space, from the host's installed packages
#   modules  all modules of a kernel
#   initrd   busybox and the few modules needed to mount the other two
#
#   vmlinux  the kernel unpacked: the emulated CPU takes a second over that
#
# image_tools and image_kernel make what is missing and set IMG_TOOLS,
# IMG_MODULES, IMG_INITRD and IMG_VMLINUX.

IMAGES=$CACHE/guest
GUEST_PACKAGES="bash dash debianutils libc-bin coreutils util-linux util-linux-extra bsdextrautils mount fdisk login passwd libpam-modules
kmod findutils grep sed gawk procps fio python3 python3-numpy bpftool bpftrace numactl ndctl daxctl e2fsprogs attr diffutils
xz-utils zstd strace file libelf1 libelf1t64 zlib1g liburing2 libaio1 libaio1t64 libblkid1 libzstd1 liblzma5
libasan8 libubsan1 libbpf1 tar gzip bc perl-base mawk ncurses-bin ncurses-base psmisc libncursesw6 libstdc++6"
# Heavy and not used by what we run.
GUEST_WITHOUT="dpkg debconf systemd libsystemd-shared init-system-helpers readline-common adduser media-types tzdata
sysvinit-utils cdebconf install-info"

mksq() {
	mksquashfs "$1" "$2" -noI -noD -noF -noX -no-progress -quiet -all-root -no-xattrs >/dev/null
	# An image can be a drive or, padded like this, a memory device.
	truncate -s %16M "$2"
}

# installed_closure PKG...: those that are installed, with what they depend on.
installed_closure() {
	dpkg-query -W -f '${db:Status-Status}\t${binary:Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n' |
		awk -F'\t' -v want="$*" -v without="$GUEST_WITHOUT" '
		function strip(s) { gsub(/\([^)]*\)|\[[^]]*\]|:[a-z0-9]+/, "", s); gsub(/[ \t]/, "", s); return s }
		$1 == "installed" {
			n = strip($2); if (!(n in deps)) real[n] = $2
			deps[n] = $4; k = split($3, p, ",")
			for (i = 1; i <= k; i++) { v = strip(p[i]); if (v != "" && !(v in prov)) prov[v] = n }
		}
		END {
			k = split(without, w, /[ \n]+/); for (i = 1; i <= k; i++) skip[w[i]] = 1
			tail = split(want, queue, /[ \n]+/)
			for (head = 1; head <= tail; head++) {
				n = queue[head]; if (!(n in deps) && (n in prov)) n = prov[n]
				if (!(n in deps) || (n in seen) || (n in skip)) continue
				seen[n] = 1; print real[n]
				k = split(deps[n], d, ",")
				for (i = 1; i <= k; i++) {
					m = split(d[i], alt, "|")
					for (j = 1; j <= m; j++) {
						a = strip(alt[j])
						if (a in deps || a in prov) { queue[++tail] = a; break }
					}
				}
			}
		}' | sort
}

# alternatives_into DIR: the links of /etc/alternatives whose targets DIR has.
alternatives_into() {
	local dir=$1 name link target
	for f in /var/lib/dpkg/alternatives/*; do
		awk -v n="${f##*/}" 'NR == 2 { print n, $0; next } NR > 2 && /^$/ { exit }
			NR > 2 && !half { half = $0; next } NR > 2 { print half, $0; half = "" }' "$f"
	done | while read -r name link; do
		target=$(readlink "/etc/alternatives/$name") || continue
		[ -e "$dir$target" ] || continue
		mkdir -p "$dir/etc/alternatives" "$dir${link%/*}"
		ln -sf "$target" "$dir/etc/alternatives/$name"
		ln -sf "/etc/alternatives/$name" "$dir$link"
	done
}

image_tools() {
	local list key dir
	# shellcheck disable=SC2086
	list=$(installed_closure $GUEST_PACKAGES)
	# shellcheck disable=SC2086
	key=$({ dpkg-query -W $list; cat "$LIB/image.sh" "$LIB/guest/portflush.c"; } | sha256sum | cut -c1-16)
	IMG_TOOLS=$IMAGES/tools-$key.sqsh
	[ -e "$IMG_TOOLS" ] && { touch "$IMG_TOOLS"; return; }
	log "making the guest's user space (once)"
	dir=$(mktemp -d "$IMAGES/tools.$$.XXXXXX")
	mkdir -p "$dir"/usr/{bin,sbin,lib,lib64,lib32,libx32} "$dir"/{etc,proc,sys,dev,tmp,run,var/tmp,root,mnt,home}
	for l in bin sbin lib lib64; do ln -s "usr/$l" "$dir/$l"; done
	# shellcheck disable=SC2086
	dpkg-query -L $list | sed -n 's,^/\(bin\|sbin\|lib\|lib64\)/,/usr/\1/,; s,^/,,p' |
		grep -Ev '^usr/share/(doc|man|info|locale|i18n|lintian|bug|perl5|icons|pixmaps|common-licenses|python3/debpython)|^(var|boot|usr/lib/(systemd|udev|modules))/|^usr/lib/python3.*/(test|idlelib|lib2to3|ensurepip|tests)/|^etc/(init.d|cron|systemd)' |
		grep -Ev '^(bin|sbin|lib|lib64|usr/(bin|sbin|lib|lib64))$' | sort -u |
		while read -r f; do if [ -f "/$f" ] || [ -L "/$f" ]; then printf '%s\0' "$f"; fi; done |
		(cd / && cpio -0 -o -H newc --quiet 2>/dev/null) | (cd "$dir" && cpio -idu --quiet)
	cp -a /etc/pam.d "$dir/etc/" 2>/dev/null || true
	alternatives_into "$dir"
	printf 'root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/bash\nbob:x:1002:1002::/home/bob:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n' >"$dir/etc/passwd"
	printf 'root:x:0:\nalice:x:1001:\nbob:x:1002:\nshared:x:1003:alice,bob\nnogroup:x:65534:\n' >"$dir/etc/group"
	printf 'root::20000::::::\nalice::20000::::::\nbob::20000::::::\nnobody:*:20000::::::\n' >"$dir/etc/shadow"
	mkdir -p "$dir/home/alice" "$dir/home/bob"
	ln -sf /proc/self/mounts "$dir/etc/mtab"
	echo guest >"$dir/etc/hostname"
	printf '127.0.0.1 localhost guest\n' >"$dir/etc/hosts"
	printf '/usr/local/lib\n/usr/lib/x86_64-linux-gnu\n' >"$dir/etc/ld.so.conf"
	gcc -O2 -o "$dir/usr/sbin/portflush" "$LIB/guest/portflush.c"
	cp "$(command -v busybox)" "$dir/usr/bin/busybox"
	for l in vi ping ip ifconfig less hexdump; do
		[ -e "$dir/usr/bin/$l" ] || ln -s busybox "$dir/usr/bin/$l"
	done
	ldconfig -r "$dir"
	mksq "$dir" "$IMG_TOOLS.new" && mv "$IMG_TOOLS.new" "$IMG_TOOLS"
	rm -rf "$dir"
	# The one before may still be in use by another checkout.
	find "$IMAGES" -maxdepth 1 -name 'tools-*.sqsh' -printf '%T@ %p\n' | sort -rn | sed -n '3,$s/^[^ ]* //p' | xargs -r rm -f
}

# unpack_bzimage FILE OUT: the ELF kernel in a bzImage, for PVH boot. By the boot
# protocol (Documentation/arch/x86/boot.rst): setup_sects at 0x1f1, payload_offset
# and payload_length at 0x248 and 0x24c; the payload ends with 4 bytes of size.
unpack_bzimage() {
	local sects off len tool
	sects=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	read -r off len < <(od -An -tu4 -j $((0x248)) -N 8 "$1")
	off=$((off + (sects + 1) * 512))
	case $(od -An -tx1 -j $off -N 4 "$1" | tr -d ' ') in
	28b52ffd) tool=zstd ;;
	fd377a58) tool=xz ;;
	1f8b*) tool=gzip ;;
	*) return 1 ;;
	esac
	tail -c +$((off + 1)) "$1" | head -c $((len - 4)) | $tool -dc >"$2" 2>/dev/null
	# XEN_ELFNOTE_PHYS32_ENTRY: it can be entered by PVH
	[[ $(readelf -n "$2" 2>/dev/null) == *"type: (0x00000012)"* ]]
}

# image_kernel: for the kernel that kernel_get chose.
image_kernel() {
	local dir mod key
	key=$({ stat -c '%Y %s' "$K_IMAGE" "$K_MODULES"; cat "$LIB/image.sh" "$LIB/guest/init"; } | sha256sum | cut -c1-16)
	IMG_MODULES=$IMAGES/$K_NAME-$key.sqsh IMG_INITRD=$IMAGES/$K_NAME-$key.cpio IMG_VMLINUX=$IMAGES/$K_NAME-$key.vmlinux
	[ -e "$IMG_MODULES" ] && [ -e "$IMG_INITRD" ] && return
	log "packing the modules of $K_RELEASE (once)"
	# Older ones may still be in use by a guest that runs or waits.
	find "$IMAGES" -maxdepth 1 -name "$K_NAME-*" -mmin +120 -delete
	dir=$(mktemp -d "$IMAGES/modules.$$.XXXXXX")
	mod=$dir/usr/lib/modules/$K_RELEASE
	mkdir -p "$mod"
	# Sound, DRM and wireless drivers are half of Debian's modules.
	(cd "$K_MODULES" && find . \( -path ./kernel/sound -o -path './kernel/drivers/gpu' -o -path './kernel/drivers/media' \
		-o -path './kernel/drivers/net/wireless' -o -path './kernel/drivers/infiniband' \) -prune -o -name '*.ko*' -print -o -name 'modules.*' -print |
		cpio -pdm --quiet "$mod")
	find "$mod" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P 2 xz -d
	find "$mod" -name '*.ko.zst' -print0 | xargs -0 -r -n 64 -P 2 zstd -q -d --rm
	# Debian's are stripped, and signed: strip would take the signature away.
	[ -n "$K_SUITE" ] || find "$mod" -name '*.ko' -print0 | xargs -0 -r -n 64 -P 2 strip --strip-debug
	[ -e "$mod/modules.order" ] || (cd "$mod" && find . -name '*.ko' >modules.order)
	[ -e "$mod/modules.builtin" ] || : >"$mod/modules.builtin"
	ln -s usr/lib "$dir/lib"
	depmod -b "$dir" "$K_RELEASE" 2>/dev/null
	rm "$dir/lib"
	make_initrd "$mod" "$IMG_INITRD"
	unpack_bzimage "$K_IMAGE" "$IMG_VMLINUX" || cp "$K_IMAGE" "$IMG_VMLINUX"
	mksq "$dir" "$IMG_MODULES.new" && mv "$IMG_MODULES.new" "$IMG_MODULES"
	rm -rf "$dir"
}

# module_files MODDIR NAME...: files to load, in order. From modules.dep, since
# modprobe -S looks at the host's /sys and leaves out what is built in there.
module_files() {
	local dir=$1
	shift
	awk -v want="$*" '
		function base(p) { sub(/.*\//, "", p); sub(/\.ko.*/, "", p); gsub(/-/, "_", p); return p }
		{ f = $1; sub(/:$/, "", f); file[base(f)] = f; d = ""; for (i = NF; i > 1; i--) d = d " " $i; dep[base(f)] = d }
		END {
			n = split(want, w, " ")
			for (i = 1; i <= n; i++) {
				m = w[i]; gsub(/-/, "_", m)
				if (!(m in file)) continue
				k = split(dep[m], x, " ")
				for (j = 1; j <= k; j++) if (!seen[x[j]]++) print x[j]
				if (!seen[file[m]]++) print file[m]
			}
		}' "$dir/modules.dep"
}

make_initrd() {
	local mod=$1 out=$2 dir f n=0
	dir=$(mktemp -d "$IMAGES/initrd.$$.XXXXXX")
	mkdir -p "$dir"/{bin,dev,proc,sys,m,rw,low,new}
	cp "$(command -v busybox)" "$dir/bin/busybox"
	for f in $(module_files "$mod" squashfs overlay virtio_pci virtio_blk virtio_console nfit nd_pmem); do
		n=$((n + 1))
		cp "$mod/$f" "$dir/m/$(printf %02d $n).ko"
	done
	cp "$LIB/guest/init" "$dir/init"
	chmod 755 "$dir/init"
	(cd "$dir" && find . | cpio -o -H newc --quiet) >"$out.new" && mv "$out.new" "$out"
	rm -rf "$dir"
}
