/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Lines of a file that is plain, .xz or .zst; told apart by content. */
#ifndef TOOL_STREAM_H
#define TOOL_STREAM_H

#include <stddef.h>

struct stream;

/* "-" is standard input. 0 or -errno. */
int stream_open(const char *path, struct stream **stream);
/*
 * The next line without its newline, NUL-terminated, valid until the next
 * call. 1: a line, 0: the end, -errno: -EBADMSG the compressed data is
 * damaged or cut off, -EFBIG the line is longer than 64 MiB.
 */
int stream_line(struct stream *s, char **line, size_t *len);
void stream_close(struct stream *s);

#endif
