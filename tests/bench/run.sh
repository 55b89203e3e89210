#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs in a guest: kvlift beside tmpfs, tmpfs with swap and ext4, each on a
# null_blk device of its own that completes at once. Prints faultbench's lines,
# each with the block size in front.
set -euo pipefail

nullb() { # NAME MIB: prints the device
	local d=/sys/kernel/config/nullb/$1
	mkdir "$d"
	echo "$2" >"$d/size"
	echo 1 >"$d/memory_backed"
	echo 0 >"$d/irqmode"
	echo 4096 >"$d/blocksize"
	echo 1 >"$d/power"
	udev_wait "/dev/$1"
	echo "/dev/$1"
}

udev_wait() {
	local i
	for ((i = 0; i < 50; i++)); do
		[ ! -b "$1" ] || return 0
		sleep 0.1
	done
	echo "no $1" >&2
	return 1
}

kvlift-load >&2
modprobe null_blk nr_devices=0
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
dev=$(nullb nb0 192) swap=$(nullb nb1 192) ext=$(nullb nb2 192)
kvlift format "$dev" >&2
mkswap "$swap" >/dev/null
mkfs.ext4 -q "$ext"
mkdir -p /mnt/kv /mnt/tmp /mnt/ext

# What a peer's page-out leaves in memory is reclaimed from a cgroup.
cg=/tmp/cgroup
mkdir -p $cg
mount -t cgroup2 none $cg
echo +memory >$cg/cgroup.subtree_control
mkdir $cg/bench
export FAULTBENCH_CGROUP=$cg/bench

peer() {
	(echo $BASHPID >$cg/bench/cgroup.procs && exec faultbench "$@")
}

run() { # BLOCK NR
	local bytes=$(($1 * 1024)) huge=never
	[ "$1" -lt 2048 ] || huge=always
	mount -t kvlift -o "block=$1K,dram=128M,nvme=$dev" none /mnt/kv
	mount -t tmpfs -o huge=$huge none /mnt/tmp
	mount -t ext4 "$ext" /mnt/ext
	sleep 3
	{
		peer kvlift /mnt/kv/f $bytes "$2" kvlift
		peer tmpfs /mnt/tmp/f $bytes "$2" none
		swapon "$swap"
		peer tmpfs+swap /mnt/tmp/f $bytes "$2" swap
		swapoff "$swap"
		peer ext4 /mnt/ext/f $bytes "$2" file
	} | sed "s/^/$1K /"
	umount /mnt/kv /mnt/tmp /mnt/ext
}

# Once unseen, so that slabs, per-CPU lists and page tables are warm.
run 64 128 >/dev/null
run 64 512
run 2048 24
rmmod kvlift
