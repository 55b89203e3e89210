#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs in a guest under -icount:
#
#	scripts/guest --icount --devices none --file tests/bench/nvme.sh -- bash nvme.sh
#
# Blocks read by prefetch at depth 64, beside fio with io_uring, O_DIRECT and
# fixed buffers, on the same null_blk device that completes at once. Prints
# lines like those of run.sh: block, target, row, instructions per block;
# fio+crc is fio and what the CRC32C of the block costs, ratio is kvlift to
# that. The cost of the CRC is not measured here: it is a figure from 6.12.95
# on the same emulated CPU (crypto API, crc32c-intel). fio tells its run time in
# ms, so that its figure is good to a part in a thousand or so.
set -euo pipefail

kvlift-load >&2
modprobe null_blk nr_devices=0
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
d=/sys/kernel/config/nullb/nb0 dev=/dev/nb0
mkdir $d
for a in size=256 memory_backed=1 irqmode=0 blocksize=4096 max_sectors=1024 hw_queue_depth=128 power=1; do
	echo "${a#*=}" >"$d/${a%=*}"
done
for ((i = 0; i < 50; i++)); do
	[ ! -b $dev ] || break
	sleep 0.1
done
# What was never written is read at another cost: there is to be no such part.
dd if=/dev/zero of=$dev bs=1M status=none oflag=direct 2>/dev/null || true
mkdir -p /mnt/kv
# Kernel and fio share the CPU with nobody.
sleep 3

run() { # BLOCK_KIB NR ROUNDS CRC
	local kvlift fio
	kvlift format $dev --force >&2
	mount -t kvlift -o "block=$1K,dram=128M,nvme=$dev:128M,depth=64,nodiscard" none /mnt/kv
	dd if=/dev/urandom of=/mnt/kv/f bs="$1K" count="$2" status=none
	kvlift=$(prefetchbench /mnt/kv/f "$2" "$3")
	umount /mnt/kv
	# runtime is in ms: many rounds.
	fio --name=x --filename=$dev --ioengine=io_uring --direct=1 --fixedbufs --registerfiles \
		--iodepth=64 --bs="$1k" --rw=read --offset=8m --size=$(($1 * $2))k --loops=20 \
		--output-format=json --output=/tmp/fio.json >&2
	fio=$(python3 -c 'import json
r = json.load(open("/tmp/fio.json"))["jobs"][0]["read"]
print(round(r["runtime"] * 1000000 / r["total_ios"]))')
	echo "$1K kvlift prefetch-qd64 $kvlift"
	echo "$1K fio prefetch-qd64 $fio"
	echo "$1K fio+crc prefetch-qd64 $((fio + $4))"
	awk -v b="$1K" -v k="$kvlift" -v f=$((fio + $4)) 'BEGIN { printf "%s ratio prefetch-qd64 %.3f\n", b, k / f }'
}

run 64 512 8 11609
run 2048 24 8 366078
rmmod kvlift
