// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift policy load, unload. */
#include <linux/kvlift_policy.h>

#include "policy_verb.h"
#include "bpfobj.h"

#ifdef HAVE_LIBBPF
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "kvlift.h"

#define OPS_TYPE "kvlift_policy_ops"
/* How long one that was ejected may take to go; the module gives it a second. */
#define WAIT_MS	     3000
#define WAIT_STEP_MS 10

#ifndef BPF_F_LINK
#define BPF_F_LINK (1u << 13)
#endif

struct loading {
	const struct policy_place *place;
	const struct policy_load *how;
	struct policy_pins pins;
	struct bpf_object *obj;
	struct bpf_map *map;
	const char *name;      /* as the policy calls itself */
	struct bpf_link *link; /* of ours; NULL: the pinned one has been taken */
	char before[32];       /* whom it replaces */
	uint64_t ejections;    /* before */
};

static void pause_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

static bool is_policy(const struct bpf_object *obj, const struct bpf_map *map)
{
	uint32_t id = bpf_map__btf_value_type_id(map);
	const struct btf *btf = bpf_object__btf(obj);
	const struct btf_type *t;

	if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
		return false;
	t = id ? btf__type_by_id(btf, id) : NULL;
	return !t || !strcmp(btf__name_by_offset(btf, t->name_off), OPS_TYPE);
}

/* The first one, and how many there are. */
static unsigned int find_policy(const struct bpf_object *obj,
				struct bpf_map **first)
{
	struct bpf_map *map;
	unsigned int n = 0;

	*first = NULL;
	bpf_object__for_each_map(map, obj)
	{
		if (!is_policy(obj, map))
			continue;
		if (!n++)
			*first = map;
	}
	return n;
}

void policy_names(char *buf, size_t len)
{
	const struct bpfobj *o;
	struct bpf_object *obj;
	struct bpf_map *map;
	size_t used = 0;

	*buf = 0;
	for (o = bpfobj_table; o->name; o++) {
		if (bpfobj_open(o->name, &obj))
			continue;
		if (find_policy(obj, &map) && used < len)
			used += (size_t)snprintf(buf + used, len - used, "%s ",
						 o->name);
		bpf_object__close(obj);
	}
	bpfobj_forget();
}

/* A member of the policy's initial value; NULL: it is not there in that size. */
static void *member(const struct loading *ld, const char *name, size_t size)
{
	const struct btf *btf = bpf_object__btf(ld->obj);
	int id = btf__find_by_name_kind(btf, OPS_TYPE, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id)
					  : NULL;
	char *value = bpf_map__initial_value(ld->map, NULL);
	const struct btf_member *m;
	unsigned int i;

	for (i = 0; t && value && i < btf_vlen(t); i++) {
		m = &btf_members(t)[i];
		if (strcmp(btf__name_by_offset(btf, m->name_off), name) != 0)
			continue;
		if (btf__resolve_size(btf, m->type) != (int64_t)size)
			return NULL;
		return value + btf_member_bit_offset(t, i) / 8;
	}
	return NULL;
}

/* What is written in it: the place where it is to rule. */
static int address(struct loading *ld)
{
	uint32_t *pool = member(ld, "pool", sizeof(*pool));
	uint64_t *domain = member(ld, "domain", sizeof(*domain));

	ld->name = member(ld, "name", KVLIFT_POLICY_NAME);
	if (!pool || !domain || !ld->name) {
		error("%s: made for another version of kvlift: its struct " OPS_TYPE
		      " lacks pool, domain or name; build it with this version's bpf/include",
		      ld->how->object);
		return -1;
	}
	*pool = ld->place->pool;
	*domain = ld->place->domain;
	return 0;
}

static bool is_file(const char *object)
{
	return strpbrk(object, "/.");
}

static int open_object(struct loading *ld)
{
	const char *object = ld->how->object;
	char names[512], path[4200];
	unsigned int n;
	int ret;

	snprintf(path, sizeof(path), "%s%s",
		 is_file(object) && !strchr(object, '/') ? "./" : "", object);
	ret = bpfobj_open(path, &ld->obj);
	if (ret == -ENOENT && !is_file(object)) {
		policy_names(names, sizeof(names));
		error("no policy called %s inside; there is: %s(a file's name has a '/' or a '.' in it)",
		      object, names);
		return -1;
	}
	if (ret) {
		bpfobj_fail(object, ret);
		return -1;
	}
	n = find_policy(ld->obj, &ld->map);
	if (n != 1) {
		error("%s: %s; a policy is defined by one KVLIFT_POLICY()",
		      object, n ? "more than one policy" : "not a policy");
		return -1;
	}
	if (!(bpf_map__map_flags(ld->map) & BPF_F_LINK)) {
		error("%s: its policy is in section .struct_ops, must be in .struct_ops.link, as KVLIFT_POLICY() does it",
		      object);
		return -1;
	}
	return address(ld);
}

/* The reasons that need no verifier to be seen. */
static int check_kernel(void)
{
	if (access("/sys/module/kvlift", F_OK)) {
		error("the module is not loaded: insmod kvlift.ko");
		return -1;
	}
	if (access("/sys/kernel/btf/vmlinux", F_OK)) {
		error("this kernel has no type information (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF): no BPF policies, the built-in one decides");
		return -1;
	}
	if (access("/sys/kernel/btf/kvlift", F_OK)) {
		error("the module was built without type information (no /sys/kernel/btf/kvlift): build it where the kernel headers have vmlinux and pahole is installed, or give it the running kernel's: see README.md");
		return -1;
	}
	return 0;
}

static int verify(struct loading *ld)
{
	int ret = bpf_object__load(ld->obj);

	if (!ret)
		return 0;
	bpfobj_failed(ld->how->object, ret);
	policy_hints(ld->obj);
	return -1;
}

static void print_stats(const struct loading *ld)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, ld->obj)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);

		if (!bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info,
					     &len))
			printf("%-20s processed %u insns\n",
			       bpf_program__name(prog), info.verified_insns);
	}
}

static bool in_charge(const struct policy_report *r)
{
	const char *state = policy_report_get(r, "state");

	return state && !strcmp(state, "active");
}

static void look_before(struct loading *ld)
{
	struct policy_report r;

	if (policy_report_read(ld->place, &r))
		return;
	if (in_charge(&r))
		snprintf(ld->before, sizeof(ld->before), "%s",
			 policy_report_get(&r, "name"));
	ld->ejections = policy_report_u64(&r, "ejections");
}

static const char *attach_reason(int err)
{
	switch (err) {
	case -ENOENT:
		return "no such pool, or its directory is no domain any more";
	case -EINVAL:
		return "the module refuses its flags, or its name";
	case -EOPNOTSUPP:
		return "the module takes policies by link only, or not in this state";
	case -EPERM:
	case -EACCES:
		return "not permitted: root, or CAP_BPF and CAP_PERFMON, is needed";
	case -E2BIG:
		return "its storage_size is more than 64 bytes a block";
	case -EUSERS:
		return "the pool has as many policies as it can have";
	case -EBUSY:
		return "the pool had no time for it; try again";
	default:
		return strerror(-err);
	}
}

static void say_why(const struct policy_report *r)
{
	const char *last = policy_report_get(r, "last"),
		   *kind = policy_report_get(r, "kind"),
		   *code = policy_report_get(r, "code"),
		   *reason = policy_report_get(r, "reason");

	error("policy %s was ejected (%s, %s): %s; %s%s %s", last ? last : "",
	      kind ? kind : "?", code ? code : "?", reason ? reason : "",
	      in_charge(r) ? "policy " : "the built-in policy",
	      in_charge(r) ? policy_report_get(r, "name") : "",
	      in_charge(r) ? "stays" : "decides");
}

/* The module had it and threw it out, as when its attach() says no. */
static bool ejected(const struct loading *ld)
{
	struct policy_report r;

	if (policy_report_read(ld->place, &r) ||
	    policy_report_u64(&r, "ejections") <= ld->ejections)
		return false;
	say_why(&r);
	return true;
}

/* -EAGAIN: it is nobody's that could be seen. */
static int taken(const struct loading *ld)
{
	struct policy_report r;

	if (policy_report_read(ld->place, &r) || !in_charge(&r))
		return -EAGAIN;
	error("%s: policy %s is held there by another program, such as 'kvlift policy load --hold'; end that first",
	      ld->place->text, policy_report_get(&r, "name"));
	return -EBUSY;
}

/*
 * The pinned link gets the new policy, at once or not at all. -EAGAIN: the old
 * one went meanwhile, or the pool had no time.
 */
static int exchange(struct loading *ld)
{
	int fd, err;

	fd = ld->how->hold ? -1 : bpf_obj_get(ld->pins.link);
	if (fd < 0)
		return taken(ld);
	err = bpf_link_update(fd, bpf_map__fd(ld->map), NULL) ? -errno : 0;
	close(fd);
	if (!err || ejected(ld))
		return err;
	if (err == -ENOLINK || err == -ENOENT || err == -EBUSY)
		return -EAGAIN;
	error("%s: %s; policy %s stays", ld->how->object, attach_reason(err),
	      ld->before);
	return err;
}

/*
 * To attach fills the policy's value in, too, and the kernel keeps it when the
 * place is taken: so this comes first in any case.
 */
static int put_in_charge(struct loading *ld)
{
	unsigned int waited;
	int err = 0;

	for (waited = 0; waited < WAIT_MS; waited += WAIT_STEP_MS) {
		ld->link = bpf_map__attach_struct_ops(ld->map);
		if (ld->link)
			return 0;
		err = -errno;
		bpfobj_forget();
		if (ejected(ld))
			return err;
		if (err != -EBUSY)
			break;
		err = exchange(ld);
		if (err != -EAGAIN)
			return err;
		/* One that was just ejected is on its way out. */
		err = -EBUSY;
		pause_ms(WAIT_STEP_MS);
	}
	error("%s: cannot attach it to %s: %s", ld->how->object,
	      ld->place->text, attach_reason(err));
	return err;
}

static void say_loaded(const struct loading *ld)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = ld->how->hold ? bpf_link__fd(ld->link)
			       : bpf_obj_get(ld->pins.link);

	if (fd >= 0)
		bpf_link_get_info_by_fd(fd, &info, &len);
	printf("%s: policy %s, link %u", ld->place->text, ld->name, info.id);
	if (*ld->before)
		printf(", in place of %s", ld->before);
	puts(ld->how->hold ? "; Ctrl-C takes it away" : "");
	fflush(stdout);
	if (!ld->how->hold && fd >= 0)
		close(fd);
}

static int pin(struct loading *ld)
{
	int ret;

	if (ld->link) {
		/* That of one which was ejected may be there. */
		unlink(ld->pins.link);
		ret = bpf_link__pin(ld->link, ld->pins.link);
		if (ret) {
			bpfobj_fail(ld->pins.link, ret);
			return -1;
		}
	}
	ret = policy_pins_commit(&ld->pins);
	if (ret)
		error("%s: %s; the policy is loaded, but its programs or maps are not pinned",
		      ld->pins.progs, strerror(-ret));
	return 0;
}

/* Of the old one remains what is pinned if it is still in charge. */
static void leave(struct loading *ld)
{
	struct policy_report r;

	if (policy_report_read(ld->place, &r) || !in_charge(&r)) {
		policy_pins_remove(&ld->pins);
		return;
	}
	policy_pins_abort(&ld->pins);
	rmdir(ld->pins.dir);
}

/* Loaded and pinned, or nothing has changed. */
static int load_pinned(struct loading *ld)
{
	if (policy_pins_lock(&ld->pins))
		return -1;
	look_before(ld);
	if (policy_pins_add(&ld->pins, ld->obj))
		return -1;
	if (put_in_charge(ld) || pin(ld)) {
		leave(ld);
		return -1;
	}
	/* Right at the beginning it may go wrong. */
	if (ejected(ld)) {
		policy_pins_remove(&ld->pins);
		return -1;
	}
	say_loaded(ld);
	return 0;
}

/* Until a signal, or until the kernel takes it away. */
static int hold(struct loading *ld)
{
	struct pollfd p[2] = { 0 };
	struct policy_report r;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p[0].fd = signalfd(-1, &set, SFD_CLOEXEC);
	p[0].events = POLLIN;
	p[1].fd = bpf_link__fd(ld->link);
	say_loaded(ld);
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	close(p[0].fd);
	if (p[0].revents)
		return 0;
	if (!policy_report_read(ld->place, &r))
		say_why(&r);
	return -1;
}

static int load_held(struct loading *ld)
{
	look_before(ld);
	return put_in_charge(ld) || ejected(ld) ? -1 : hold(ld);
}

static int load(struct loading *ld)
{
	if (check_kernel() || open_object(ld) || verify(ld))
		return EXIT_FAIL;
	if (ld->how->stats)
		print_stats(ld);
	return (ld->how->hold ? load_held(ld) : load_pinned(ld)) ? EXIT_FAIL
								 : EXIT_OK;
}

int policy_load(const struct policy_place *place, const struct policy_load *l)
{
	struct loading ld = { .place = place, .how = l };
	int ret;

	policy_pins_name(place, &ld.pins);
	ret = load(&ld);
	policy_pins_unlock(&ld.pins);
	bpf_link__destroy(ld.link);
	bpf_object__close(ld.obj);
	return ret;
}

/* Synchronous, where closing the last descriptor would be done some time. */
static bool detach(const struct policy_pins *p)
{
	int fd = bpf_obj_get(p->link);
	bool was = false;

	if (fd < 0)
		return false;
	was = !bpf_link_detach(fd);
	close(fd);
	return was;
}

static int nothing_there(const struct policy_place *place)
{
	struct policy_report r;

	if (!policy_report_read(place, &r) && in_charge(&r))
		error("%s: policy %s is held by another program, such as 'kvlift policy load --hold'; end that",
		      place->text, policy_report_get(&r, "name"));
	else
		error("%s: no BPF policy is loaded there", place->text);
	return EXIT_FAIL;
}

int policy_unload(const struct policy_place *place)
{
	struct policy_report r;
	struct policy_pins p;
	char name[32] = "";
	bool was;
	int ret;

	policy_pins_name(place, &p);
	if (policy_pins_lock_existing(&p))
		return nothing_there(place);
	if (access(p.link, F_OK) && access(p.progs, F_OK)) {
		policy_pins_unlock(&p);
		return nothing_there(place);
	}
	if (!policy_report_read(place, &r))
		snprintf(name, sizeof(name), "%s",
			 policy_report_get(&r, "name"));
	was = detach(&p);
	ret = policy_pins_remove(&p);
	policy_pins_unlock(&p);
	if (ret) {
		error("%s: %s", p.dir, strerror(-ret));
		return EXIT_FAIL;
	}
	if (was)
		printf("%s: policy %s unloaded\n", place->text, name);
	else
		printf("%s: its policy was gone already, removed what was left of it\n",
		       place->text);
	return EXIT_OK;
}

#else

void policy_names(char *buf, size_t len)
{
	*buf = 0;
}

int policy_load(const struct policy_place *place, const struct policy_load *l)
{
	error("%s", bpfobj_missing());
	return EXIT_FAIL;
}

int policy_unload(const struct policy_place *place)
{
	error("%s", bpfobj_missing());
	return EXIT_FAIL;
}

#endif
