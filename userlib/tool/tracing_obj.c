// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Loading and attaching the tracing programs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpfobj.h"
#include "tracing.h"

static struct bpf_map *map_like(const struct bpf_object *obj, const char *name)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) if (strstr(bpf_map__name(map),
						      name)) return map;
	return NULL;
}

static int set_constants(struct bpf_object *obj, const struct trace_opts *o)
{
	struct bpf_map *map = map_like(obj, ".rodata.filter");
	struct bpf_map *heat = map_like(obj, "kvl_heat");
	int ret = -EINVAL;

	if (map)
		ret = bpf_map__set_initial_value(map, &o->filter,
						 sizeof(o->filter));
	if (ret)
		return ret;
	return heat && o->blocks
		       ? bpf_map__set_max_entries(heat, (uint32_t)o->blocks)
		       : 0;
}

/* Why the tracepoints cannot be had is most often plain. */
static int cannot_attach(const char *prog, int err)
{
	if (access("/sys/module/kvlift", F_OK)) {
		error("the module kvlift is not loaded");
		bpfobj_forget();
	} else if (err == -EINVAL || err == -ENOENT) {
		error("%s: the loaded module is of another version than this tool",
		      prog);
		bpfobj_forget();
	} else {
		bpfobj_fail(prog, err);
	}
	return err;
}

static int attach(struct trace_obj *t)
{
	struct bpf_program *prog;
	struct bpf_link *link;

	bpf_object__for_each_program(prog, t->obj)
	{
		if (!bpf_program__autoload(prog))
			continue;
		if (t->nr == sizeof(t->links) / sizeof(t->links[0]))
			return -E2BIG;
		link = bpf_program__attach(prog);
		if (!link)
			return cannot_attach(bpf_program__name(prog), -errno);
		t->names[t->nr] = bpf_program__name(prog);
		t->links[t->nr++] = link;
	}
	return 0;
}

int trace_obj_start(struct trace_obj *t, const char *name,
		    const struct trace_opts *o,
		    bool (*want)(const char *prog, const struct trace_opts *o))
{
	struct bpf_program *prog;
	int ret;

	memset(t, 0, sizeof(*t));
	ret = bpfobj_open(name, &t->obj);
	if (ret) {
		bpfobj_fail(name, ret);
		return ret;
	}
	bpf_object__for_each_program(prog, t->obj) bpf_program__set_autoload(
		prog, !want || want(bpf_program__name(prog), o));
	ret = set_constants(t->obj, o);
	if (!ret)
		ret = bpf_object__load(t->obj);
	if (ret)
		bpfobj_fail(name, ret);
	else
		ret = attach(t);
	if (ret)
		trace_obj_stop(t);
	return ret;
}

void trace_obj_stop(struct trace_obj *t)
{
	while (t->nr)
		bpf_link__destroy(t->links[--t->nr]);
	bpf_object__close(t->obj);
	t->obj = NULL;
}

uint64_t trace_obj_bss(const struct trace_obj *t)
{
	struct bpf_map *map = map_like(t->obj, ".bss");
	size_t size;
	const uint64_t *at = map ? bpf_map__initial_value(map, &size) : NULL;

	return at ? *(const volatile uint64_t *)at : 0;
}

uint64_t trace_prog_missed(int fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0
						       : info.recursion_misses;
}

uint64_t trace_obj_missed(const struct trace_obj *t)
{
	struct bpf_program *prog;
	uint64_t n = 0;

	bpf_object__for_each_program(prog,
				     t->obj) if (bpf_program__fd(prog) >= 0)
		n += trace_prog_missed(bpf_program__fd(prog));
	return n;
}

void trace_missed(uint64_t n, bool as_json)
{
	struct json j;

	if (!n)
		return;
	if (!as_json) {
		error("%llu events were missed: they came while a program was at work on the same CPU",
		      (unsigned long long)n);
		return;
	}
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "event", "missed");
	json_u64(&j, "count", n);
	json_close(&j, '}');
	json_end(&j);
}
