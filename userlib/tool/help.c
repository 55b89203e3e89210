// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift help, kvlift version. */
#include <getopt.h>
#include <string.h>
#include <sys/utsname.h>

#include "kvlift.h"
#include "util.h"

const struct verb verbs[] = {
	{ "format", "write a superblock on devices of the nvme tier",
	  run_format },
	{ "status", "show pools: tiers, budgets, use, counters", run_status },
	{ "where", "show which tier the blocks of a file are in", run_where },
	{ "plan", "which blocks to load and which to recompute", run_plan },
	{ "advise", "prefetch, demote or touch blocks of a file", run_advise },
	{ "drain", "empty a node or a device, so that it can be taken out",
	  run_drain },
	{ "seal", "seal a file, or declare blocks complete", run_seal },
	{ "domain", "limit, guarantee and account directories", run_domain },
	{ "trace", "show what happens and how long it takes", run_trace },
	{ "policy", "load BPF policies, show which decides and what it did",
	  run_policy },
	{ "replay", "play a request trace against a pool and verify it",
	  run_replay },
	{ "simulate", "hit rates of policies on a request trace",
	  run_simulate },
	{ "run", "run a program with its KV cache in a pool", run_run },
	{ "bench", "measure costs beside those of peers", run_bench },
	{ "version", "show the versions of tool, library and interface",
	  run_version },
	{ "help", "show this, or the help of a verb", run_help },
	{ NULL, NULL, NULL },
};

static void list(FILE *f)
{
	const struct verb *v;

	fputs("kvlift: pools of GPU memory, DRAM, CXL memory and NVMe for KV caches\n\n"
	      "usage: kvlift VERB [options]\n\n",
	      f);
	for (v = verbs; v->name; v++)
		fprintf(f, "  %-9s %s\n", v->name, v->summary);
	fputs("\n'kvlift VERB --help' and kvlift-VERB(1) tell more. Make a pool with\n"
	      "  mount -t kvlift -o block=2M,dram=8G,cxl=16G@1,nvme=/dev/nvme0n1 none /mnt/kv\n",
	      f);
}

static void list_json(void)
{
	const struct verb *v;
	struct json j;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_open(&j, "verbs", '[');
	for (v = verbs; v->name; v++) {
		json_open(&j, NULL, '{');
		json_str(&j, "name", v->name);
		json_str(&j, "summary", v->summary);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_end(&j);
}

int run_help(int argc, char **argv)
{
	char help[] = "--help";
	char *args[] = { NULL, help, NULL };
	const struct verb *v;

	if (argc > 1 && !strcmp(argv[1], "--json")) {
		list_json();
		return EXIT_OK;
	}
	if (argc < 2 || argv[1][0] == '-' || !strcmp(argv[1], "help")) {
		list(stdout);
		return EXIT_OK;
	}
	for (v = verbs; v->name; v++) {
		if (strcmp(argv[1], v->name) != 0)
			continue;
		verb_name = v->name;
		args[0] = argv[1];
		return v->run(2, args);
	}
	return usage_error("no verb '%s'", argv[1]);
}

int run_version(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool as_json = false;
	char module[64] = "";
	FILE *f;
	int c;

	while ((c = getopt_long(argc, argv, "jh", opts, NULL)) != -1) {
		if (c == 'h') {
			puts("usage: kvlift version [--json]\n\n"
			     "Show the versions of the tool, the interface it was built for, and the\n"
			     "loaded module.");
			return EXIT_OK;
		}
		if (c != 'j')
			return EXIT_USAGE;
		as_json = true;
	}
	f = fopen("/sys/module/kvlift/version", "re");
	if (f) {
		if (fgets(module, sizeof(module), f))
			module[strcspn(module, "\n")] = 0;
		fclose(f);
	}
	if (as_json) {
		struct json j;

		json_init(&j, stdout);
		json_open(&j, NULL, '{');
		json_str(&j, "version", kvlift_version());
		json_u64(&j, "abi", KVLIFT_ABI_VERSION);
		json_u64(&j, "superblock", KVLIFT_SB_VERSION);
		json_str(&j, "module", *module ? module : NULL);
		json_close(&j, '}');
		json_end(&j);
		return EXIT_OK;
	}
	printf("kvlift %s, interface %d, superblock %d, module %s\n",
	       kvlift_version(), KVLIFT_ABI_VERSION, KVLIFT_SB_VERSION,
	       *module ? module : "not loaded");
	return EXIT_OK;
}
