/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef TOOL_LOOP_H
#define TOOL_LOOP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A loop device over a sparse file of its own that nobody else can see. Both
 * go away when the descriptor is closed and nothing uses the device any more,
 * even after a kill. Errors are printed. 0 or -errno.
 */
int loop_make(uint64_t size, int *fd, char *path, size_t len);

#endif
