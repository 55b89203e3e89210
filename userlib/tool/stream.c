// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "stream.h"
#include "util.h"

#define IN_SIZE	       65536u
#define LINE_MAX_BYTES (64u << 20)

enum kind {
	PLAIN,
	XZ,
	ZST
};

struct stream {
	int fd;
	enum kind kind;
	bool eof;   /* of the file */
	bool ended; /* of what it unpacks to */
	unsigned char in[IN_SIZE];
	size_t in_pos, in_len;
	lzma_stream lzma;
	ZSTD_DStream *zst;
	size_t zst_hint; /* 0: between two frames */
	char *buf;	 /* unpacked, not yet handed out */
	size_t start, end, cap;
};

/* More input if there is none left. */
static int fill(struct stream *s)
{
	ssize_t n;

	if (s->in_pos < s->in_len || s->eof)
		return 0;
	do {
		n = read(s->fd, s->in, sizeof(s->in));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->in_pos = 0;
	s->in_len = (size_t)n;
	if (n == 0)
		s->eof = true;
	return 0;
}

static int unpack_xz(struct stream *s, char *out, size_t *len)
{
	lzma_ret ret;

	s->lzma.next_in = s->in + s->in_pos;
	s->lzma.avail_in = s->in_len - s->in_pos;
	s->lzma.next_out = (uint8_t *)out;
	s->lzma.avail_out = *len;
	ret = lzma_code(&s->lzma, s->eof ? LZMA_FINISH : LZMA_RUN);
	s->in_pos = s->in_len - s->lzma.avail_in;
	*len -= s->lzma.avail_out;
	if (ret == LZMA_STREAM_END)
		s->ended = true;
	else if (ret == LZMA_MEM_ERROR)
		return -ENOMEM;
	else if (ret != LZMA_OK)
		return -EBADMSG;
	return 0;
}

static int unpack_zst(struct stream *s, char *out, size_t *len)
{
	ZSTD_inBuffer in = { s->in + s->in_pos, s->in_len - s->in_pos, 0 };
	ZSTD_outBuffer dst = { out, *len, 0 };
	size_t ret;

	ret = ZSTD_decompressStream(s->zst, &dst, &in);
	s->in_pos += in.pos;
	*len = dst.pos;
	if (ZSTD_isError(ret))
		return -EBADMSG;
	if (in.pos || dst.pos)
		s->zst_hint = ret;
	if (s->eof && dst.pos == 0) {
		s->ended = true;
		return s->zst_hint ? -EBADMSG : 0;
	}
	return 0;
}

static int unpack_plain(struct stream *s, char *out, size_t *len)
{
	size_t have = s->in_len - s->in_pos;

	if (*len > have)
		*len = have;
	memcpy(out, s->in + s->in_pos, *len);
	s->in_pos += *len;
	if (s->eof)
		s->ended = true;
	return 0;
}

/* Append to the buffer. */
static int more(struct stream *s)
{
	size_t len;
	int ret;

	if (s->start) {
		memmove(s->buf, s->buf + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	if (s->cap - s->end < IN_SIZE) {
		size_t cap = s->cap ? s->cap * 2 : 4 * IN_SIZE;
		char *buf;

		if (s->end > LINE_MAX_BYTES)
			return -EFBIG;
		buf = realloc(s->buf, cap);
		if (!buf)
			return -ENOMEM;
		s->buf = buf;
		s->cap = cap;
	}
	ret = fill(s);
	if (ret)
		return ret;
	len = s->cap - s->end - 1; /* room for a NUL */
	if (s->kind == XZ)
		ret = unpack_xz(s, s->buf + s->end, &len);
	else if (s->kind == ZST)
		ret = unpack_zst(s, s->buf + s->end, &len);
	else
		ret = unpack_plain(s, s->buf + s->end, &len);
	if (ret)
		return ret;
	s->end += len;
	return 0;
}

int stream_line(struct stream *s, char **line, size_t *len)
{
	size_t seen = 0;
	char *nl = NULL;
	int ret;

	for (;;) {
		size_t have = s->end - s->start;

		if (have > seen)
			nl = memchr(s->buf + s->start + seen, '\n',
				    have - seen);
		if (nl) {
			*line = s->buf + s->start;
			*len = (size_t)(nl - *line);
			*nl = 0;
			s->start += *len + 1;
			return 1;
		}
		seen = have;
		if (s->ended) {
			if (!have)
				return 0;
			*line = s->buf + s->start;
			*len = have;
			s->buf[s->end] = 0;
			s->start = s->end;
			return 1;
		}
		ret = more(s);
		if (ret)
			return ret;
	}
}

int stream_open(const char *path, struct stream **stream)
{
	static const unsigned char xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	static const unsigned char zst[] = { 0x28, 0xb5, 0x2f, 0xfd };
	struct stream *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	s->fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC)
				       : dup(STDIN_FILENO);
	if (s->fd < 0) {
		ret = -errno;
		free(s);
		return ret;
	}
	/* A pipe may give less than the magic at first. */
	while (s->in_len < sizeof(xz) && !s->eof) {
		ssize_t n = read(s->fd, s->in + s->in_len,
				 sizeof(s->in) - s->in_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ret = -errno;
			goto fail;
		}
		if (n == 0)
			break;
		s->in_len += (size_t)n;
	}
	ret = -ENOMEM;
	if (s->in_len >= sizeof(xz) && !memcmp(s->in, xz, sizeof(xz))) {
		s->kind = XZ;
		if (lzma_stream_decoder(&s->lzma, UINT64_MAX,
					LZMA_CONCATENATED) != LZMA_OK)
			goto fail;
	} else if (s->in_len >= sizeof(zst) &&
		   !memcmp(s->in, zst, sizeof(zst))) {
		s->kind = ZST;
		s->zst = ZSTD_createDStream();
		s->zst_hint = 1;
		if (!s->zst)
			goto fail;
	}
	*stream = s;
	return 0;
fail:
	stream_close(s);
	return ret;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	if (s->kind == XZ)
		lzma_end(&s->lzma);
	ZSTD_freeDStream(s->zst);
	close(s->fd);
	free(s->buf);
	free(s);
}
