// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Opening the embedded BPF objects. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bpfobj.h"
#include "util.h"

#ifdef HAVE_LIBBPF
#include <bpf/libbpf.h>

/*
 * What libbpf has said; of a long text its end counts, since the verifier gives
 * its reason last.
 */
#define SAID_MAX   (256u << 10)
#define SAID_LINES 24

static struct {
	char *text;
	size_t len, size;
	bool verbose, installed;
} said;

static void keep(const char *text, size_t len)
{
	char *grown;

	if (len >= SAID_MAX) {
		text += len - SAID_MAX / 2;
		len = SAID_MAX / 2;
	}
	if (said.len + len > SAID_MAX) {
		size_t cut = said.len + len - SAID_MAX / 2;

		if (cut > said.len)
			cut = said.len;
		said.len -= cut;
		memmove(said.text, said.text + cut, said.len);
	}
	if (said.len + len + 1 > said.size) {
		grown = realloc(said.text, said.len + len + 1);
		if (!grown)
			return;
		said.text = grown;
		said.size = said.len + len + 1;
	}
	memcpy(said.text + said.len, text, len);
	said.len += len;
	said.text[said.len] = 0;
}

static int listen(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char *text;
	int n;

	if (level == LIBBPF_DEBUG && !said.verbose)
		return 0;
	if (said.verbose)
		return vfprintf(stderr, fmt, args);
	n = vasprintf(&text, fmt, args);
	if (n < 0)
		return 0;
	keep(text, (size_t)n);
	free(text);
	return n;
}

static void install(void)
{
	if (!said.installed)
		libbpf_set_print(listen);
	said.installed = true;
}

void bpfobj_verbose(void)
{
	said.verbose = true;
	install();
}

void bpfobj_forget(void)
{
	said.len = 0;
}

const char *bpfobj_said(void)
{
	return said.len ? said.text : NULL;
}

/* Where the last SAID_LINES lines begin; counts those before. */
static const char *last_lines(unsigned int *before)
{
	unsigned int n = 0, skip;
	const char *s;

	for (s = said.text; (s = strchr(s, '\n')); s++)
		n++;
	*before = skip = n > SAID_LINES ? n - SAID_LINES : 0;
	for (s = said.text; skip; skip--)
		s = strchr(s, '\n') + 1;
	return s;
}

static void repeat(void)
{
	const char *line, *nl;
	unsigned int before;

	if (!said.len)
		return;
	line = last_lines(&before);
	if (before)
		fprintf(stderr, "  (%u lines before; --verbose shows all)\n",
			before);
	while (*line) {
		nl = strchrnul(line, '\n');
		fprintf(stderr, "  %.*s\n", (int)(nl - line), line);
		line = *nl ? nl + 1 : nl;
	}
}

const char *bpfobj_missing(void)
{
	return NULL;
}

int bpfobj_open(const char *name, struct bpf_object **obj)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);
	const struct bpfobj *o;

	install();
	bpfobj_forget();
	if (strchr(name, '/')) {
		*obj = bpf_object__open_file(name, NULL);
		return *obj ? 0 : -errno;
	}
	for (o = bpfobj_table; o->name; o++) {
		if (strcmp(o->name, name) != 0)
			continue;
		*obj = bpf_object__open_mem(
			o->start,
			(size_t)((const char *)o->end - (const char *)o->start),
			&opts);
		return *obj ? 0 : -errno;
	}
	return -ENOENT;
}

#else

const char *bpfobj_missing(void)
{
	return "this kvlift was built without BPF: install clang, libelf-dev and libbpf-dev of at least 1.4 (Debian 12: apt install -t bookworm-backports libbpf-dev), and build it again";
}

int bpfobj_open(const char *name, struct bpf_object **obj)
{
	return -ENOSYS;
}

void bpfobj_verbose(void)
{
}

void bpfobj_forget(void)
{
}

const char *bpfobj_said(void)
{
	return NULL;
}

static void repeat(void)
{
}

#endif

static const char *reason(int err, char *buf, size_t len)
{
	switch (err) {
	case -EPERM:
		return "not permitted: root, or CAP_BPF and CAP_PERFMON, is needed";
	case -EACCES:
		return "refused by the verifier, or not permitted";
	case -E2BIG:
		return "too much for the verifier to look at";
	case -ENOSYS:
		return bpfobj_missing() ? bpfobj_missing() : strerror(ENOSYS);
	}
#ifdef HAVE_LIBBPF
	libbpf_strerror(err, buf, len);
	return buf;
#else
	return strerror(-err);
#endif
}

int bpfobj_failed(const char *what, int err)
{
	char buf[128];

	error("%s: %s", what, reason(err, buf, sizeof(buf)));
	repeat();
	return EXIT_FAIL;
}

int bpfobj_fail(const char *what, int err)
{
	bpfobj_failed(what, err);
	bpfobj_forget();
	return EXIT_FAIL;
}
