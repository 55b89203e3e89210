// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <signal.h>
#include <string.h>

#include "guard.h"

sigjmp_buf guard_env;
static volatile sig_atomic_t armed;

static void on_bus(int sig)
{
	if (armed) {
		armed = 0;
		siglongjmp(guard_env, 1);
	}
	/* Not ours: the access is made again and ends the process. */
	signal(sig, SIG_DFL);
}

void guard_install(void)
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_bus;
	/* Left by a jump, so the signal must not stay blocked. */
	sa.sa_flags = SA_NODEFER;
	sigaction(SIGBUS, &sa, NULL);
}

void guard_arm(void)
{
	armed = 1;
}

void guard_leave(void)
{
	armed = 0;
}
