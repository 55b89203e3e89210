// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
#include <errno.h>
#include <string.h>

#include "kvlift.h"
#include "traceopt.h"
#include "util.h"

#define GENERATED 1500u /* requests when none are asked for */

int trace_opt(struct trace_opts *o, int c)
{
	switch (c) {
	case OPT_REQUESTS:
		if (parse_u64(optarg, UINT32_MAX, &o->requests) || !o->requests)
			return usage_error("--requests %s: not a number",
					   optarg);
		return 0;
	case OPT_SEED:
		if (parse_u64(optarg, UINT64_MAX, &o->seed))
			return usage_error("--seed %s: not a number", optarg);
		return 0;
	case OPT_GENERATE:
		if (strcmp(optarg, "chat") != 0 && strcmp(optarg, "agent") != 0)
			return usage_error("--generate %s: chat or agent",
					   optarg);
		o->generate = optarg;
		return 0;
	}
	return usage_error("bad option");
}

int trace_operand(struct trace_opts *o, int argc, char **argv)
{
	if (argc - optind > 1)
		return usage_error("more than one trace");
	if (argc - optind == 1 && o->generate)
		return usage_error("a trace and --generate exclude each other");
	o->trace = argv[optind];
	return 0;
}

int trace_get(struct trace_opts *o, struct trace *t)
{
	bool agent = o->generate && !strcmp(o->generate, "agent");
	int ret = trace_init(t);

	if (ret) {
		error("%s", kvlift_strerror(ret));
		return ret;
	}
	if (o->trace) {
		ret = trace_load(t, o->trace, o->requests);
	} else {
		o->trace = agent ? "generated agent" : "generated chat";
		ret = trace_generate(t, agent ? GEN_AGENT : GEN_CHAT, o->seed,
				     o->requests ? o->requests : GENERATED);
		if (ret)
			error("%s", kvlift_strerror(ret));
	}
	if (!ret && !t->nr_ids) {
		error("%s: no block in it", o->trace);
		ret = -ENODATA;
	}
	return ret;
}
