// SPDX-License-Identifier: GPL-2.0-only
/* The same for the policy that others are measured by. */
#include <linux/kernel.h>
#include <linux/string.h>

#include "policy_ops.h"
#include "../bpf/lru.bpf.c"
