// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Functions of libraries that a program may have loaded for itself alone. */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "symbol.h"

#define MAX_LIBRARIES 16

struct libraries {
	char path[MAX_LIBRARIES][1024];
	unsigned int nr;
};

/* The loader's lock is held here: to look into them comes later. */
static int note(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct libraries *l = arg;
	const char *name = info->dlpi_name;

	if ((strstr(name, "ggml") || strstr(name, "llama")) &&
	    strlen(name) < sizeof(l->path[0]))
		strcpy(l->path[l->nr++], name);
	return l->nr == MAX_LIBRARIES;
}

void *symbol_find(const char *name, const void *except)
{
	void *lib, *p = dlsym(RTLD_DEFAULT, name);
	struct libraries l = { .nr = 0 };
	unsigned int i;

	if (p && p != except)
		return p;
	dl_iterate_phdr(note, &l);
	for (i = 0; i < l.nr; i++) {
		lib = dlopen(l.path[i], RTLD_LAZY | RTLD_NOLOAD);
		if (!lib)
			continue;
		p = dlsym(lib, name);
		dlclose(lib);
		if (p && p != except)
			return p;
	}
	return NULL;
}
