// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* File names of keys: each key has its own, and no name is a surprise. */
#include "../../userlib/src/key.h"
#include "unit.h"

#include <errno.h>

static void plain(void)
{
	static const struct {
		const char *key, *name;
	} t[] = {
		{ "a", "a" },
		{ "Meta/Llama-3@0@1f", "Meta%2FLlama-3@0@1f" },
		{ ".", "%2E" },
		{ "..", "%2E." },
		{ "a.b", "a.b" },
		{ "%", "%25" },
		{ "%%", "%25%25" },
		{ " \n\x7f\xff", "%20%0A%7F%FF" },
		{ "@._=:+,-", "@._=:+,-" },
	};
	struct kvl_name n;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(*t); i++) {
		CHECK_EQ(kvl_key_name(t[i].key, strlen(t[i].key), &n), 0);
		CHECK_STR(n.text, t[i].name);
		CHECK(!n.is_hash);
	}
	CHECK_EQ(kvl_key_name("a\0b", 3, &n), 0);
	CHECK_STR(n.text, "a%00b");
}

static void bad(void)
{
	char key[KVLIFT_KEY_MAX + 1] = "";
	struct kvl_name n;

	CHECK_EQ(kvl_key_name(key, 0, &n), -EINVAL);
	CHECK_EQ(kvl_key_name(NULL, 1, &n), -EINVAL);
	CHECK_EQ(kvl_key_name(key, sizeof(key), &n), -EINVAL);
}

/* As long as a plain name may be, and one more. */
static void limits(void)
{
	char key[KVLIFT_KEY_MAX];
	struct kvl_name n, m;

	memset(key, 'x', sizeof(key));
	CHECK_EQ(kvl_key_name(key, KVLIFT_NAME_PLAIN, &n), 0);
	CHECK(!n.is_hash && strlen(n.text) == KVLIFT_NAME_PLAIN);
	CHECK_EQ(kvl_key_name(key, KVLIFT_NAME_PLAIN + 1, &n), 0);
	CHECK(n.is_hash && strlen(n.text) == 34);
	CHECK(!strncmp(n.text, "%%", 2));
	key[3] = 'y';
	CHECK_EQ(kvl_key_name(key, KVLIFT_NAME_PLAIN + 1, &m), 0);
	CHECK(strcmp(n.text, m.text));
	/* 80 times %XX is just that long. */
	memset(key, '/', sizeof(key));
	CHECK_EQ(kvl_key_name(key, KVLIFT_NAME_PLAIN / 3, &n), 0);
	CHECK(!n.is_hash && strlen(n.text) == KVLIFT_NAME_PLAIN);
	CHECK_EQ(kvl_key_name(key, KVLIFT_NAME_PLAIN / 3 + 1, &n), 0);
	CHECK(n.is_hash);
}

/* The names of XXH3 (128 bits, seed 0): pools are shared between versions. */
static void known(void)
{
	char key[KVLIFT_KEY_MAX];
	struct kvl_name n;
	unsigned int i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = (char)i;
	CHECK_EQ(kvl_key_name(key, sizeof(key), &n), 0);
	CHECK_STR(n.text, "%%5914868aa80541d9b85fd37a0a050e63");
}

int main(void)
{
	CASE(plain);
	CASE(bad);
	CASE(limits);
	CASE(known);
	UNIT_END();
}
