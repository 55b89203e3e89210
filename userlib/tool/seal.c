// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift seal: what is complete does not change any more. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>

#include "file.h"
#include "util.h"

static const char help[] =
	"usage: kvlift seal FILE [--first N] [--count N] [--json]\n"
	"\n"
	"Seal FILE for good: nothing can change its content or size any more, readers\n"
	"open it read-only. With --first or --count declare blocks complete instead,\n"
	"which is a promise and not enforced. Either way what is complete is copied to a\n"
	"device in the background, so that it can leave memory without I/O.\n"
	"\n"
	"  --first N  first block, else 0\n"
	"  --count N  number of blocks, else up to the end\n";

static int report(const char *path, bool whole, uint64_t done, bool as_json)
{
	struct json j;

	if (!as_json) {
		printf("%s: %s%llu blocks complete\n", path,
		       whole ? "sealed, " : "", (unsigned long long)done);
		return EXIT_OK;
	}
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_bool(&j, "sealed", whole);
	json_u64(&j, "done", done);
	json_close(&j, '}');
	json_end(&j);
	return EXIT_OK;
}

int run_seal(int argc, char **argv)
{
	static const struct option options[] = {
		{ "first", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t first = 0, count = UINT64_MAX, done = 0;
	bool as_json = false, whole = true;
	struct file f;
	int c, ret;

	while ((c = getopt_long(argc, argv, "f:c:jh", options, NULL)) != -1) {
		switch (c) {
		case 'f':
		case 'c':
			if (parse_u64(optarg, UINT64_MAX,
				      c == 'f' ? &first : &count))
				return usage_error("%s: not a number of blocks",
						   optarg);
			whole = false;
			break;
		case 'j':
			as_json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return usage_error("bad option");
		}
	}
	if (argc - optind != 1)
		return usage_error("give one file");
	if (file_open_for(argv[optind], O_RDWR, &f))
		return EXIT_FAIL;
	ret = whole ? kvlift_seal_file(f.region, &done)
		    : kvlift_seal(f.region, first, count, &done);
	file_close(&f);
	if (ret) {
		error("%s: %s", argv[optind],
		      ret == -EBUSY
			      ? "it is mapped through a descriptor that can write, or a device or a pipe holds a page of it"
			      : kvlift_strerror(ret));
		return EXIT_FAIL;
	}
	return report(argv[optind], whole, done, as_json);
}
