// SPDX-License-Identifier: GPL-2.0-only
/*
 * Wait until the host has taken all that was written to the virtio ports on
 * the given descriptors: a port is writable only when its queue is empty.
 */
#include <poll.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		struct pollfd p = { .fd = atoi(argv[i]), .events = POLLOUT };

		poll(&p, 1, 60000);
	}
	return 0;
}
