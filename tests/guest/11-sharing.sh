#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Two processes share a region, a stranger does not get in, and deleted bytes never show up again.
# guest: --devices nvme,cxl --memory 2G
# kernels: 6.12
# also: newest
. "$(dirname "$0")/lib.sh"

load
for b in 64K 2M; do
	case $b in
	64K) mkpool $b 4M - - ;;
	2M) mkpool $b 40M - - ;;
	esac
	run share $MNT 1
	expect_used 0
	umount_pool
	[ -b "$KVLIFT_NVME" ] && [ -n "$KVLIFT_CXL_NODE" ] || continue
	case $b in
	64K) mkpool $b 2M 2M 4M ;;
	2M) mkpool $b 16M 16M 64M ;;
	esac
	run share $MNT 2
	expect_used 0
	umount_pool
done

# By the shell, as people would try it.
mkpool 64K 4M - - mode=1777
as() { setpriv --reuid="$1" --regid="$1" --clear-groups -- sh -c "$2"; }
as 1001 "umask 077; echo mine >$MNT/alice; mkdir $MNT/dir; echo in >$MNT/dir/f"
as 1002 "cat $MNT/alice" 2>/dev/null && fail "bob reads alice's file"
as 1002 "cat $MNT/dir/f" 2>/dev/null && fail "bob reads in alice's directory"
as 1002 "rm -f $MNT/alice" 2>/dev/null && fail "bob deletes alice's file in a sticky directory"
as 1001 "chmod 644 $MNT/alice"
[ "$(as 1002 "cat $MNT/alice")" = mine ] || fail "bob can't read what he may"
as 1002 "echo x >$MNT/alice" 2>/dev/null && fail "bob writes alice's file"
[ "$(as 1001 "cat $MNT/alice")" = mine ] || fail "alice's file changed"
check_clean
