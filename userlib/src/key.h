/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef KVLIFT_KEY_H
#define KVLIFT_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "kvlift_object.h"

/* Attribute that holds the key where the name is a hash of it. */
#define KVL_KEY_ATTR "user.kvlift.key"

struct kvl_name {
	const void *key;
	size_t len;
	bool is_hash;
	char text[KVLIFT_NAME_PLAIN + 1];
};

/* 0; -EINVAL: no key. */
int kvl_key_name(const void *key, size_t len, struct kvl_name *name);

#endif
