# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sourced by tests of tier gpu, after lib.sh.

# shellcheck disable=SC2317
gpu_empty() {
	local f n
	for f in /sys/fs/kvlift/"$(pool)"/gpu/*/used; do
		[ ! -e "$f" ] || { read -r n <"$f" && [ "$n" = 0 ]; } || return 1
	done
}
# shellcheck disable=SC2317
none_lost() { [ "$(member_sum lost)" = 0 ]; }
