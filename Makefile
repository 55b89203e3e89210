# SPDX-License-Identifier: GPL-2.0-only
# make            module for the running kernel's headers (or KDIR), library,
#                 tool, BPF objects, test programs; all under build/
# make module [KDIR=DIR] [OUT=DIR]   only the module; OUT defaults to build/<release>
# make user       library, tool, test programs and examples
# make bpf        BPF objects
# make check      unit tests on the host under ASan and UBSan
# make install [DESTDIR=] [PREFIX=/usr/local]
# make clean

VERSION := 0.1.0
KDIR ?= $(shell ls -d /lib/modules/$$(uname -r)/build \
	/usr/src/linux-headers-6.1[2-9]*-amd64 /usr/src/linux-headers-[7-9]*-amd64 \
	2>/dev/null | head -n 1)
BUILD ?= build
RELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null)
OUT ?= $(BUILD)/$(RELEASE)
# Two builds of one tree at a time would tread on each other's files.
LOCK = $(if $(shell command -v flock),flock $(OUT)/.lock)
PREFIX ?= /usr/local
export VERSION PREFIX DESTDIR BUILD

.PHONY: all module user bpf check install clean tree
all: module user bpf

# The kernel's build system writes beside the sources, so each kernel gets a
# tree of links of its own.
tree:
	@mkdir -p $(OUT)/module
	@ln -sfn $(CURDIR)/Kbuild $(OUT)/Kbuild
	@ln -sfn $(CURDIR)/module/uapi $(OUT)/module/uapi
	@ln -sfn $(CURDIR)/bpf $(OUT)/bpf
	@for f in module/*.[ch]; do ln -sf $(CURDIR)/$$f $(OUT)/module/; done
	@find $(OUT)/module -xtype l -delete

module: tree
	@test -n "$(KDIR)" || { echo "no kernel headers found: install linux-headers for a kernel >= 6.12, or give KDIR=" >&2; exit 2; }
	+$(LOCK) $(MAKE) -C $(KDIR) M=$(abspath $(OUT)) $(KFLAGS) modules
	@ln -sf $(notdir $(OUT))/kvlift.ko $(BUILD)/kvlift.ko

user:
	$(MAKE) -C userlib
	$(MAKE) -C examples TREE=1

bpf:
	$(MAKE) -C bpf

check:
	$(MAKE) -C userlib check

install: user
	$(MAKE) -C userlib install

clean:
	rm -rf $(BUILD)
