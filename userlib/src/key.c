// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* File names of keys; see kvlift_object.h. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "internal.h"
#include "key.h"

static const char hex[] = "0123456789ABCDEF";

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("@._=:+,-", c));
}

/* 0, or -E2BIG: longer than a plain name may be. */
static int plain_name(const unsigned char *key, size_t len, char *name)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (is_plain(key[i]) && (i || key[i] != '.')) {
			if (n + 1 > KVLIFT_NAME_PLAIN)
				return -E2BIG;
			name[n++] = (char)key[i];
			continue;
		}
		if (n + 3 > KVLIFT_NAME_PLAIN)
			return -E2BIG;
		name[n++] = '%';
		name[n++] = hex[key[i] >> 4];
		name[n++] = hex[key[i] & 15];
	}
	name[n] = 0;
	return 0;
}

int kvl_key_name(const void *key, size_t len, struct kvl_name *name)
{
	XXH128_hash_t h;

	if (!key || !len || len > KVLIFT_KEY_MAX)
		return -EINVAL;
	name->key = key;
	name->len = len;
	name->is_hash = plain_name(key, len, name->text) != 0;
	if (!name->is_hash)
		return 0;
	h = XXH3_128bits(key, len);
	/* No plain name begins like this. */
	snprintf(name->text, sizeof(name->text), "%%%%%016llx%016llx",
		 (unsigned long long)h.high64, (unsigned long long)h.low64);
	return 0;
}
