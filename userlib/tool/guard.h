/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Access to a mapping that may fail: SIGBUS comes back as a value.
 *
 *	if (GUARD_ENTER()) { it failed } else { access }
 *	guard_leave();
 *
 * Locals that are changed in between and used afterwards must be volatile.
 * For one thread.
 */
#ifndef TOOL_GUARD_H
#define TOOL_GUARD_H

#include <setjmp.h>

extern sigjmp_buf guard_env;
void guard_install(void);
void guard_arm(void);
void guard_leave(void);

/* The mask is not saved: that would cost a system call per block. */
#define GUARD_ENTER() (guard_arm(), sigsetjmp(guard_env, 0))

#endif
