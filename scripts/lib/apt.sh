# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Packages of other Debian suites, unpacked beside the system, not installed.
# The archive's address and key are those of the machine's own apt set-up;
# only the names of the suites are changed.

# debian_sources: "URI<tab>Suite<tab>Signed-By" for each Debian entry apt uses here.
debian_sources() {
	local f
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$f" ] || continue
		awk '$1 == "deb" {
			key = ""; line = $0
			if (match(line, /\[[^]]*\]/)) {
				opt = substr(line, RSTART + 1, RLENGTH - 2)
				if (match(opt, /signed-by=[^ ]+/)) key = substr(opt, RSTART + 10, RLENGTH - 10)
				sub(/\[[^]]*\]/, "", line)
			}
			n = split(line, w, " ")
			print w[2] "\t" w[3] "\t" key
		}' "$f"
	done
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -r "$f" ] || continue
		awk 'function flush(   i, j, u, s, nu, ns) {
			nu = split(v["uris"], u, " "); ns = split(v["suites"], s, " ")
			if (v["types"] ~ /(^| )deb( |$)/ && v["enabled"] != "no")
				for (i = 1; i <= nu; i++) for (j = 1; j <= ns; j++) print u[i] "\t" s[j] "\t" v["signed-by"]
			split("", v)
		}
		/^#/ { next }
		/^[ \t]*$/ { flush(); next }
		/^[A-Za-z-]+:/ { k = tolower($1); sub(/:$/, "", k); $1 = ""; sub(/^ /, ""); v[k] = $0 }
		END { flush() }' "$f"
	done
}

# apt_setup CODENAME: sets APT_CONF to an apt configuration that knows the suites
# CODENAME, -updates, -security and -backports, with its own state and an empty
# list of installed packages. The lists are refreshed once a day at the most.
# Several may come here at a time.
apt_setup() { with_lock "apt-$1" apt_setup_locked "$1"; }

apt_setup_locked() {
	local code=$1 dir=$CACHE/apt/$1 own main sec key
	# shellcheck disable=SC1091
	own=$(. /etc/os-release && echo "$VERSION_CODENAME")
	main=$(debian_sources | awk -F'\t' -v s="$own" '$2 == s { print $1 "\t" $3; exit }')
	sec=$(debian_sources | awk -F'\t' -v s="$own-security" '$2 == s { print $1 "\t" $3; exit }')
	[ -n "$main" ] || die "no entry for suite $own in this machine's apt sources: not Debian? (Ubuntu is not supported yet)"
	key=${main#*$'\t'}
	mkdir -p "$dir"/{state/lists/partial,archives/partial,none.d}
	: >"$dir/status"
	{
		printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates %s-backports\nComponents: main\n' "${main%%$'\t'*}" "$code" "$code" "$code"
		[ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
		if [ -n "$sec" ]; then
			key=${sec#*$'\t'}
			printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\n' "${sec%%$'\t'*}" "$code"
			[ -z "$key" ] || printf 'Signed-By: %s\n' "$key"
		fi
	} >"$dir/debian.sources"
	cat >"$dir/apt.conf" <<-CONF
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
		Dir::Etc::sourcelist "$dir/debian.sources";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferences "$dir/none";
		Dir::Etc::preferencesparts "$dir/none.d";
		APT::Architectures { "amd64"; };
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
		APT::Install-Recommends "false";
		APT::Update::Post-Invoke-Success "";
		Acquire::Languages "none";
		Acquire::Retries "3";
		Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
	CONF
	APT_CONF=$dir/apt.conf
	newer_than "$dir/updated" 86400 && return
	log "reading the package lists of $code"
	if quietly "$dir/update.log" apt-get -c "$APT_CONF" -q update; then
		touch "$dir/updated"
	elif [ -e "$dir/updated" ]; then
		log "no fresh lists, going on with the old ones"
	else
		die "apt-get update for $code failed"
	fi
}

# apt_newest CODENAME REGEX: the newest package whose whole name matches.
apt_newest() {
	apt_setup "$1" >&2
	apt-cache -c "$APT_CONF" pkgnames linux- | grep -Ex -- "$2" | sort -V | tail -n 1
}

# apt_unpack SUITE DIR PKG...: just these packages, from SUITE when it has them
# there (else from the rest of that release), unpacked into DIR.
apt_unpack() {
	local suite=$1 dir=$2 debs deb
	shift 2
	apt_setup "${suite%%-*}"
	debs=$(mktemp -d "$CACHE/apt/debs.XXXXXX")
	(cd "$debs" && quietly "$CACHE/apt/download.log" apt-get -c "$APT_CONF" -t "$suite" -q download "$@") || { rm -rf "$debs"; return 1; }
	mkdir -p "$dir"
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir" || return 1
	done
	rm -rf "$debs"
}

# apt_unpack_deps SUITE DIR PKG...: PKG from SUITE with everything they depend on.
apt_unpack_deps() {
	local suite=$1 dir=$2 deb list
	shift 2
	apt_setup "${suite%%-*}"
	list=$(apt-get -c "$APT_CONF" -qq -y --print-uris -t "$suite" install "$@" 2>"$CACHE/apt/resolve.log" | awk '{ print $2 }') &&
		[ -n "$list" ] || { tail -n 20 "$CACHE/apt/resolve.log" >&2; return 1; }
	quietly "$CACHE/apt/download.log" apt-get -c "$APT_CONF" -q -y --download-only -t "$suite" install "$@" || return 1
	mkdir -p "$dir"
	for deb in $list; do
		dpkg-deb -x "${APT_CONF%/*}/archives/$deb" "$dir" || return 1
		rm -f "${APT_CONF%/*}/archives/$deb"
	done
}
