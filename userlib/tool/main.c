// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift: one tool with verbs. */
#include <string.h>

#include "util.h"

int main(int argc, char **argv)
{
	const struct verb *v;
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	for (v = verbs; v->name; v++) {
		if (strcmp(name, v->name) != 0)
			continue;
		verb_name = v->name;
		return v->run(argc - 1, argv + 1);
	}
	if (argc < 2)
		fputs("kvlift: no verb given; 'kvlift help' lists them\n",
		      stderr);
	else
		fprintf(stderr,
			"kvlift: no verb '%s'; 'kvlift help' lists them\n",
			argv[1]);
	return EXIT_USAGE;
}
