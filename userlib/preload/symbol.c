// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Functions of libraries that a program may have loaded for itself alone. */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "symbol.h"

struct search {
	const char *name;
	const void *except;
	void *found;
};

static int look_into(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	void *lib, *p;

	if (!strstr(info->dlpi_name, "ggml") &&
	    !strstr(info->dlpi_name, "llama"))
		return 0;
	lib = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
	if (!lib)
		return 0;
	p = dlsym(lib, s->name);
	dlclose(lib);
	if (p && p != s->except)
		s->found = p;
	return s->found != NULL;
}

void *symbol_find(const char *name, const void *except)
{
	struct search s = { .name = name, .except = except };

	s.found = dlsym(RTLD_DEFAULT, name);
	if (s.found == except)
		s.found = NULL;
	if (!s.found)
		dl_iterate_phdr(look_into, &s);
	return s.found;
}
