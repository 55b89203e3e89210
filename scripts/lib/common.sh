# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What every script here shares: where things are, how to speak, how to lock.

# shellcheck disable=SC2034 # used by those who source this file
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LIB=$TOP/scripts/lib
CACHE=${KVLIFT_CACHE:-${HOME:-/var/tmp}/.cache/kvlift}
mkdir -p "$CACHE"

# Build inputs must not depend on who calls.
export LC_ALL=C.UTF-8
umask 022

log() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { log "$@"; exit 1; }

# as_root CMD...: directly when root already, else through sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# with_lock NAME CMD...: run CMD under an exclusive lock, say so when waiting.
# The descriptor is closed in CMD's children only when they close it: a
# daemon left behind would keep the lock.
with_lock() {
	local file=$CACHE/$1.lock fd rc=0
	shift
	exec {fd}>"$file"
	if ! flock -n "$fd"; then
		log "waiting for the lock $file"
		flock "$fd"
	fi
	"$@" || rc=$?
	exec {fd}>&-
	return $rc
}

# quietly LOG CMD...: CMD's output goes to LOG, and to stderr only on failure.
quietly() {
	local file=$1 rc=0
	shift
	mkdir -p "$(dirname "$file")"
	"$@" >"$file" 2>&1 </dev/null || rc=$?
	[ "$rc" = 0 ] || { log "failed ($rc): $*"; tail -n 60 "$file" >&2; }
	return "$rc"
}

# newer_than FILE SECONDS: FILE exists and is younger than that.
newer_than() {
	[ -e "$1" ] && [ $(($(date +%s) - $(stat -c %Y "$1"))) -lt "$2" ]
}
