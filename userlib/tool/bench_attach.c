// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Attaching a policy without pinning it, see policy_load.c for that. */
#include "bench_attach.h"

#include <errno.h>

#include "bpfobj.h"
#include "util.h"

#ifdef HAVE_LIBBPF
#include <stdlib.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define OPS_TYPE "kvlift_policy_ops"

struct bench_attach {
	struct bpf_object *obj;
	struct bpf_link *link;
};

static const struct btf_type *ops_type(const struct btf *btf)
{
	int id = btf__find_by_name_kind(btf, OPS_TYPE, BTF_KIND_STRUCT);

	return id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
}

static void take_away(struct bpf_program **prog)
{
	if (*prog)
		bpf_program__set_autoload(*prog, false);
	*prog = NULL;
}

static int prepare(struct bpf_object *obj, struct bpf_map *map,
		   const char *without, uint32_t pool)
{
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *t = ops_type(btf);
	char *value = bpf_map__initial_value(map, NULL);
	unsigned int i;
	int found = 0;

	for (i = 0; t && value && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(btf, m->name_off);
		void *at = value + btf_member_bit_offset(t, i) / 8;

		if (btf_is_ptr(btf__type_by_id(btf, m->type))) {
			if (!strcmp(without, "*") || !strcmp(without, name))
				take_away(at);
		} else if (!strcmp(name, "pool")) {
			memcpy(at, &pool, sizeof(pool));
			found = 1;
		}
	}
	return found ? 0 : -EINVAL;
}

static struct bpf_map *find_map(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map,
				 obj) if (bpf_map__type(map) ==
					  BPF_MAP_TYPE_STRUCT_OPS) return map;
	return NULL;
}

int bench_attach(const char *name, const char *without, uint32_t pool,
		 struct bench_attach **at)
{
	struct bench_attach *a = calloc(1, sizeof(*a));
	struct bpf_map *map;
	int ret;

	if (!a)
		return -ENOMEM;
	ret = bpfobj_open(name, &a->obj);
	if (!ret) {
		map = find_map(a->obj);
		ret = map ? prepare(a->obj, map, without, pool) : -EINVAL;
		ret = ret ?: bpf_object__load(a->obj);
		if (!ret) {
			a->link = bpf_map__attach_struct_ops(map);
			ret = a->link ? 0 : -errno;
		}
	}
	if (ret) {
		bpfobj_fail(name, ret);
		bench_detach(a);
		return ret;
	}
	*at = a;
	return 0;
}

void bench_detach(struct bench_attach *a)
{
	if (!a)
		return;
	if (a->link)
		bpf_link__detach(a->link);
	bpf_link__destroy(a->link);
	bpf_object__close(a->obj);
	free(a);
}

#else

int bench_attach(const char *name, const char *without, uint32_t pool,
		 struct bench_attach **at)
{
	error("%s: %s", name, bpfobj_missing());
	return -ENOSYS;
}

void bench_detach(struct bench_attach *at)
{
}

#endif
