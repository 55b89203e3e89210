/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef PRELOAD_SYMBOL_H
#define PRELOAD_SYMBOL_H

/* A function of the program or of its ggml; not @except. NULL: there is none. */
void *symbol_find(const char *name, const void *except);

#endif
