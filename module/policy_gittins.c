// SPDX-License-Identifier: GPL-2.0-only
/*
 * The built-in policy: the source of the BPF policy of that name, so that both
 * decide alike.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "policy_ops.h"
#include "../bpf/gittins.bpf.c"
