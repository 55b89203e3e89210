# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Which libbpf: at least 1.4, the first that knows struct_ops of modules. The
# system's, or else the one that scripts/deps unpacked. Sets LIBBPF_CFLAGS and
# LIBBPF_LIBS, which may be given; LIBBPF_LIBS is empty when there is none.
LIBBPF_WANT := 1.4
LIBBPF_DIR ?= $(or $(KVLIFT_CACHE),$(HOME)/.cache/kvlift)/libbpf/usr

ifndef LIBBPF_LIBS
ifeq ($(shell pkg-config --atleast-version=$(LIBBPF_WANT) libbpf 2>/dev/null && echo y),y)
LIBBPF_CFLAGS := $(shell pkg-config --cflags libbpf)
LIBBPF_LIBS := $(shell pkg-config --libs-only-L libbpf) -l:libbpf.a -lelf -lz
else
LIBBPF_A := $(firstword $(wildcard $(LIBBPF_DIR)/lib/*/libbpf.a $(LIBBPF_DIR)/lib*/libbpf.a))
ifneq ($(LIBBPF_A),)
LIBBPF_CFLAGS := -isystem $(LIBBPF_DIR)/include
LIBBPF_LIBS := $(LIBBPF_A) -lelf -lz
endif
endif
endif
# For makes that this one calls.
export LIBBPF_CFLAGS LIBBPF_LIBS
