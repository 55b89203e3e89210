/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVL_PARAMS_H
#define KVL_PARAMS_H

#include <linux/types.h>

/*
 * Takes every block with a shadow as clean. Loses writes: the negative
 * control of the stress tests, settable at load time only.
 */
extern bool kvl_param_unsafe_skip_dirty;

/* Moves everything by protocol stop: for comparisons. */
extern bool kvl_param_move_stop;

/* That copy between memories, counted from now, meets bad memory: for tests. */
extern unsigned int kvl_param_fail_copy;

/* Reports of memory errors are lost: for tests. */
extern bool kvl_param_lose_reports;

/* Without a BPF policy plain LRU decides: for comparisons. */
extern bool kvl_param_builtin_lru;

/* main.c */
bool kvl_has_btf(void);

#endif /* KVL_PARAMS_H */
