// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift policy: BPF policies of pools and directories. */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "bpfobj.h"
#include "kvlift.h"
#include "policy_verb.h"
#include "poolview.h"

/* "3" or "3:17". */
static bool by_number(const char *arg, struct policy_place *place)
{
	const char *colon = strchr(arg, ':');
	size_t len = colon ? (size_t)(colon - arg) : strlen(arg);
	char pool[16] = "", path[64];
	uint64_t value;

	if (len >= sizeof(pool))
		return false;
	memcpy(pool, arg, len);
	if (parse_u64(pool, UINT32_MAX, &value))
		return false;
	place->pool = (uint32_t)value;
	place->domain = 0;
	if (colon && parse_u64(colon + 1, UINT64_MAX, &place->domain))
		return false;
	/* What is pinned of a pool that is gone can still be taken away. */
	snprintf(path, sizeof(path), "pool %u", place->pool);
	snprintf(place->text, sizeof(place->text),
		 place->domain ? "%s, domain %llu" : "%s", path,
		 (unsigned long long)place->domain);
	return true;
}

static int by_path(const char *arg, struct policy_place *place)
{
	struct kvlift_domain d = { 0 };
	struct kvlift_info info;
	struct kvlift_pool *pool;
	int ret;

	ret = kvlift_pool_open(arg, &pool);
	if (ret) {
		error("%s: %s; 'kvlift policy list' lists the pools", arg,
		      kvlift_strerror(ret));
		return -1;
	}
	ret = kvlift_pool_info(pool, &info);
	if (!ret)
		ret = kvlift_domain_get(pool, NULL, &d);
	kvlift_pool_close(pool);
	if (ret) {
		error("%s: %s", arg, kvlift_strerror(ret));
		return -1;
	}
	if (!(d.flags & KVLIFT_DOMAIN_HERE)) {
		error("%s is neither a pool nor a domain; 'kvlift domain set %s' makes an empty directory one",
		      arg, arg);
		return -1;
	}
	snprintf(place->text, sizeof(place->text), "%s", arg);
	place->pool = info.pool;
	place->domain = d.depth ? d.id : 0;
	return 0;
}

int policy_place_find(const char *arg, struct policy_place *place)
{
	memset(place, 0, sizeof(*place));
	if (by_number(arg, place))
		return 0;
	return by_path(arg, place);
}

static const char *line_end(const char *s)
{
	return s + strcspn(s, "\n");
}

static void take_field(const char *line, size_t len, struct policy_report *r)
{
	const char *space = memchr(line, ' ', len);
	size_t key = space ? (size_t)(space - line) : len;

	if (!key || r->nr == POLICY_FIELDS)
		return;
	snprintf(r->field[r->nr].key, sizeof(r->field->key), "%.*s", (int)key,
		 line);
	snprintf(r->field[r->nr].value, sizeof(r->field->value), "%.*s",
		 space ? (int)(len - key - 1) : 0, space ? space + 1 : "");
	r->nr++;
}

const char *policy_report_parse(const char *text, struct policy_report *r)
{
	const char *end = line_end(text);

	memset(r, 0, sizeof(*r));
	if (!*text)
		return NULL;
	if (!memchr(text, ' ', (size_t)(end - text))) {
		char line[64];

		snprintf(line, sizeof(line), "name %.*s", (int)(end - text),
			 text);
		take_field(line, strlen(line), r);
		take_field("state none", 10, r);
		return text + strlen(text);
	}
	for (; *text && *text != '\n'; end = line_end(text)) {
		take_field(text, (size_t)(end - text), r);
		text = *end ? end + 1 : end;
	}
	while (*text == '\n')
		text++;
	return text;
}

const char *policy_report_get(const struct policy_report *r, const char *key)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++)
		if (!strcmp(r->field[i].key, key))
			return r->field[i].value;
	return NULL;
}

uint64_t policy_report_u64(const struct policy_report *r, const char *key)
{
	const char *s = policy_report_get(r, key);
	uint64_t value;

	return s && !parse_u64(s, UINT64_MAX, &value) ? value : 0;
}

int policy_report_read(const struct policy_place *place,
		       struct policy_report *r)
{
	char path[64], text[4097];
	int n, ret;

	n = snprintf(path, sizeof(path), "/sys/fs/kvlift/%u/policy",
		     place->pool);
	if (place->domain)
		snprintf(path + n, sizeof(path) - (size_t)n, "-%llu",
			 (unsigned long long)place->domain);
	ret = read_text(path, text, sizeof(text));
	if (ret)
		return ret;
	return policy_report_parse(text, r) ? 0 : -ENOENT;
}

static const char help[] =
	"usage: kvlift policy load NAME|FILE POOL [--hold] [--stats] [--verbose]\n"
	"       kvlift policy unload POOL\n"
	"       kvlift policy list [--json]\n"
	"       kvlift policy show POOL [--json]\n"
	"\n"
	"load verifies a BPF policy, puts it in charge of a pool, and pins it under\n"
	"/sys/fs/bpf/kvlift; one that was in charge is exchanged, or stays if the new one\n"
	"is not accepted. unload takes it away: the built-in policy decides. list shows\n"
	"who decides where, show what it did, and why the last one was ejected.\n"
	"\n"
	"POOL is a mount point, or a directory in it that is a domain ('kvlift domain'),\n"
	"or a number as in the list: 0, or 0:17 for a domain. FILE has a '/' or a '.' in\n"
	"it. NAME is of those inside: %s\n"
	"\n"
	"  --hold     pin nothing, stay until Ctrl-C, and take the policy away then\n"
	"  --stats    how many instructions the verifier looked at, by callback\n"
	"  --verbose  that, and all that libbpf and the verifier say\n"
	"  --json     of list and show\n";

static int print_help(void)
{
	char names[512];

	policy_names(names, sizeof(names));
	printf(help, *names ? names : "(none)");
	return EXIT_OK;
}

struct call {
	const char *what;
	struct policy_load load;
	bool as_json;
};

static int on_place(const struct call *c, const char *arg)
{
	struct policy_place place;

	if (policy_place_find(arg, &place))
		return EXIT_FAIL;
	if (!strcmp(c->what, "load"))
		return policy_load(&place, &c->load);
	if (!strcmp(c->what, "unload"))
		return policy_unload(&place);
	return policy_show(&place, c->as_json);
}

static int run_call(struct call *c, int argc, char **argv)
{
	bool load = !strcmp(c->what, "load"), list = !strcmp(c->what, "list"),
	     show = !strcmp(c->what, "show");

	if (!load && !list && !show && strcmp(c->what, "unload") != 0)
		return usage_error("%s is not load, unload, list or show",
				   c->what);
	if (!load && (c->load.hold || c->load.stats))
		return usage_error("%s has no such option", c->what);
	if (c->as_json && !list && !show)
		return usage_error("%s prints no figures", c->what);
	if (list)
		return argc ? usage_error("list takes no argument")
			    : policy_list(c->as_json);
	if (argc != (load ? 2 : 1))
		return usage_error(load ? "give a policy and a pool"
					: "give a pool");
	c->load.object = argv[0];
	return on_place(c, argv[argc - 1]);
}

int run_policy(int argc, char **argv)
{
	static const struct option options[] = {
		{ "hold", no_argument, NULL, 'H' },
		{ "stats", no_argument, NULL, 's' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct call call = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "Hsvjh", options, NULL)) != -1) {
		switch (c) {
		case 'H':
			call.load.hold = true;
			break;
		case 'v':
			bpfobj_verbose();
			call.load.stats = true;
			break;
		case 's':
			call.load.stats = true;
			break;
		case 'j':
			call.as_json = true;
			break;
		case 'h':
			return print_help();
		default:
			return usage_error("bad option");
		}
	}
	if (optind == argc)
		return usage_error("give load, unload, list or show");
	call.what = argv[optind];
	return run_call(&call, argc - optind - 1, argv + optind + 1);
}
