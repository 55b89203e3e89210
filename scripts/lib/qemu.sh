# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# QEMU: 11 from trixie-backports, because emulated CXL memory runs at the speed
# of DRAM only from 11 on (with 10 each access is a callback). It needs a newer
# libc than Debian 12 has, so it is started through the loader it came with.
# qemu_get sets QEMU to the command that starts it.

qemu_get() {
	local dir=$CACHE/qemu v
	if [ ! -e "$dir/complete" ]; then
		log "fetching QEMU (once)"
		rm -rf "$dir"
		if apt_unpack_deps trixie-backports "$dir" qemu-system-x86; then
			rm -rf "$dir"/usr/share/{doc,man,locale,icons}
			touch "$dir/complete"
		else
			rm -rf "$dir"
		fi
	fi
	if [ -e "$dir/complete" ]; then
		QEMU=("$dir/usr/lib64/ld-linux-x86-64.so.2" --library-path "$dir/usr/lib/x86_64-linux-gnu"
			"$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios")
		return
	fi
	v=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p;q')
	[ "${v:-0}" -ge 9 ] || die "no QEMU: could not fetch it, and the system has none >= 9"
	log "using the system's QEMU $v"
	QEMU=(qemu-system-x86_64)
}

# qemu_devices LIST MEMORY CXLSIZE CPUS PMEM: sets QEMU_DEV to machine, memory and
# devices (sizes in bytes; MEMORY is that of node 0). The caller adds disks, or
# images as memory devices if PMEM is 1.
qemu_devices() {
	local list=,$1, mem=$2 cxl=$3 cpus=$4 mach=q35,vmport=off,sata=off,smbus=off more=''
	if [ "$5" = 1 ]; then
		mach+=,nvdimm=on more=,maxmem=$(((mem >> 20) + (cxl >> 20) + 8192))M,slots=8
	fi
	QEMU_DEV=()
	case $list in
	*,cxl,*,numa*,* | *,numa*,*,cxl,* | *,numa*,numa*,*) die "--devices: cxl and numa are two ways to the same node, take one" ;;
	*,cxl,*)
		QEMU_DEV+=(-M "$mach,cxl=on,cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=$((cxl > 1 << 30 ? cxl : 1 << 30))B"
			-m "$((mem >> 20))M,maxmem=$(((mem >> 20) + (cxl >> 20) + 8192))M,slots=8"
			-object "memory-backend-ram,id=cxlm,size=${cxl}B"
			-device pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1
			-device cxl-rp,port=0,bus=cxl.1,id=rp0,chassis=0,slot=2
			-device cxl-type3,bus=rp0,volatile-memdev=cxlm,id=cxl-vmem0)
		;;
	*,numa,*)
		QEMU_DEV+=(-M "$mach,hmat=on" -m "$(((mem + cxl) >> 20))M$more"
			-object "memory-backend-ram,id=m0,size=${mem}B" -object "memory-backend-ram,id=m1,size=${cxl}B"
			-numa "node,nodeid=0,memdev=m0,cpus=0-$((cpus - 1))" -numa node,nodeid=1,memdev=m1,initiator=0
			-numa dist,src=0,dst=1,val=20
			-numa hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=access-latency,latency=100
			-numa hmat-lb,initiator=0,target=0,hierarchy=memory,data-type=access-bandwidth,bandwidth=200G
			-numa hmat-lb,initiator=0,target=1,hierarchy=memory,data-type=access-latency,latency=300
			-numa hmat-lb,initiator=0,target=1,hierarchy=memory,data-type=access-bandwidth,bandwidth=30G)
		;;
	*,numa4,*)
		qemu_numa4 "$mach" "$mem" "$cxl" "$more"
		;;
	*) QEMU_DEV+=(-M "$mach" -m "$((mem >> 20))M$more") ;;
	esac
}

# qemu_numa4 MACHINE MEMORY CXLSIZE MORE: nodes 0 and 1 with a CPU each, 2 next to 0
# and 3 next to 1 without; the firmware calls 2 three times and 3 six times as slow.
qemu_numa4() {
	local mem=$2 cxl=$3 i n lat=(100 100 300 600) bw=(200 200 60 60) size
	QEMU_DEV+=(-M "$1,hmat=on" -m "$(((2 * mem + 2 * cxl) >> 20))M$4")
	for n in 0 1 2 3; do
		size=$mem
		[ $n -lt 2 ] || size=$cxl
		QEMU_DEV+=(-object "memory-backend-ram,id=m$n,size=${size}B")
	done
	QEMU_DEV+=(-numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1
		-numa node,nodeid=2,memdev=m2,initiator=0 -numa node,nodeid=3,memdev=m3,initiator=1
		-numa dist,src=0,dst=1,val=20 -numa dist,src=0,dst=2,val=24 -numa dist,src=0,dst=3,val=40
		-numa dist,src=1,dst=2,val=40 -numa dist,src=1,dst=3,val=24 -numa dist,src=2,dst=3,val=50)
	for i in 0 1; do
		for n in 0 1 2 3; do
			QEMU_DEV+=(-numa "hmat-lb,initiator=$i,target=$n,hierarchy=memory,data-type=access-latency,latency=${lat[n]}"
				-numa "hmat-lb,initiator=$i,target=$n,hierarchy=memory,data-type=access-bandwidth,bandwidth=${bw[n]}G")
		done
	done
}
