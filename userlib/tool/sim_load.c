// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* A policy written with kvlift/policy.h, from a shared object. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kvlift/policy.h>

#include "kvlift.h"
#include "sim_policy.h"
#include "util.h"

static const struct sim_policy *add(const char *path,
				    const struct kvlift_builtin *b)
{
	struct sim_policy *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		abort();
	sim_adapt(p, b);
	ret = sim_register(p);
	if (!ret)
		return p;
	if (ret == -EEXIST)
		error("%s: there is a policy %s already; give it another name in KVLIFT_POLICY()",
		      path, p->name);
	else
		error("%s: %s", path, kvlift_strerror(ret));
	free(p);
	return NULL;
}

/* It stays loaded until the end. */
const struct sim_policy *sim_load(const char *path)
{
	const struct kvlift_builtin *b = NULL;
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (object)
		b = dlsym(object, "kvlift_policy");
	if (b && memchr(b->ops.name, 0, sizeof(b->ops.name)))
		return add(path, b);
	if (object)
		error("%s: no KVLIFT_POLICY() in it", path);
	else
		error("%s", dlerror());
	if (object)
		dlclose(object);
	return NULL;
}
