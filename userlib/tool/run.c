// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* kvlift run: a program as it is, with its large memory in a pool. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mkpool.h"
#include "run.h"
#include "util.h"

static const char help[] =
	"usage: kvlift run [options] -- COMMAND [ARGUMENTS]\n"
	"\n"
	"Run COMMAND as it is, with its KV cache (llama.cpp) or its large allocations\n"
	"(any program) in a pool. At its end say on standard error what was placed and\n"
	"what it cost. The exit status is that of COMMAND.\n"
	"\n"
	"  --pool DIR         a mounted pool, or a directory in one\n"
	"  --dram SIZE        else make a pool for this run, as root: its DRAM\n"
	"  --cxl SIZE         its CXL memory, on --cxl-node N\n"
	"  --nvme SIZE        its NVMe, default four times the DRAM; a file in TMPDIR\n"
	"  --nvme-device DEV  or this device, which kvlift format has made\n"
	"  --block SIZE       its blocks (2M)\n"
	"  --method METHOD    how to find the memory, default auto:\n"
	"                       ggml     a backend that llama.cpp's tools load\n"
	"                       preload  by the names of ggml's tensors\n"
	"                       size     allocations of --min-size and more\n"
	"  --min-size SIZE    (32M)\n"
	"  --keep             leave the files in the pool\n"
	"  --json FILE        write the summary there\n";

enum {
	OPT_POOL = 256,
	OPT_DRAM,
	OPT_CXL,
	OPT_CXL_NODE,
	OPT_NVME,
	OPT_NVME_DEVICE,
	OPT_BLOCK,
	OPT_METHOD,
	OPT_MIN_SIZE,
	OPT_KEEP,
	OPT_JSON,
};

static const struct option options[] = {
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "dram", required_argument, NULL, OPT_DRAM },
	{ "cxl", required_argument, NULL, OPT_CXL },
	{ "cxl-node", required_argument, NULL, OPT_CXL_NODE },
	{ "nvme", required_argument, NULL, OPT_NVME },
	{ "nvme-device", required_argument, NULL, OPT_NVME_DEVICE },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "method", required_argument, NULL, OPT_METHOD },
	{ "min-size", required_argument, NULL, OPT_MIN_SIZE },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* 0, else the exit status plus one. */
static int size_option(uint64_t *bytes, const char *name)
{
	if (!parse_size(optarg, bytes) && *bytes)
		return 0;
	return usage_error("--%s %s: not a size", name, optarg) + 1;
}

/* 0: go on, else the exit status plus one. */
static int option(struct run *r, int c)
{
	uint64_t v;

	switch (c) {
	case 'h':
		fputs(help, stdout);
		return EXIT_OK + 1;
	case OPT_POOL:
		r->pool = optarg;
		return 0;
	case OPT_DRAM:
		return size_option(&r->make.dram.bytes, "dram");
	case OPT_CXL:
		return size_option(&r->make.cxl.bytes, "cxl");
	case OPT_NVME:
		return size_option(&r->make.nvme.bytes, "nvme");
	case OPT_CXL_NODE:
		if (parse_u64(optarg, 1023, &v))
			return usage_error("--cxl-node %s: not a number",
					   optarg) +
			       1;
		r->make.cxl_node = (int)v;
		return 0;
	case OPT_NVME_DEVICE:
		r->make.nvme_device = optarg;
		return 0;
	case OPT_BLOCK:
		return size_option(&r->make.block, "block");
	case OPT_METHOD:
		r->method = optarg;
		return method_is_known(optarg)
			       ? 0
			       : usage_error(
					 "--method %s: auto, ggml, preload or size",
					 optarg) +
					 1;
	case OPT_MIN_SIZE:
		return size_option(&r->min_size, "min-size");
	case OPT_KEEP:
		r->keep = true;
		return 0;
	case OPT_JSON:
		r->json = optarg;
		return 0;
	}
	return EXIT_USAGE + 1;
}

/* What the two libraries that are loaded into the program are told. */
static int set_environment(const struct run *r)
{
	const char *old = getenv("LD_PRELOAD");
	char number[32], *text = NULL;
	int ret;

	setenv(RUN_DIR, r->dir, 1);
	setenv(RUN_METHOD, r->method, 1);
	snprintf(number, sizeof(number), "%d", r->stats_fd);
	setenv(RUN_STATS, number, 1);
	snprintf(number, sizeof(number), "%llu",
		 (unsigned long long)r->min_size);
	setenv(RUN_MIN, number, 1);
	if (!strcmp(r->method, "ggml"))
		return setenv(BACKEND_PATH, r->library, 1);
	if (asprintf(&text, "%s%s%s", r->library, old ? ":" : "",
		     old ? old : "") < 0)
		return -1;
	ret = setenv("LD_PRELOAD", text, 1);
	free(text);
	return ret;
}

static pid_t child;

static void pass_on(int sig)
{
	if (child > 0)
		kill(child, sig);
}

static void handle_signals(void)
{
	static const int sigs[] = { SIGINT,  SIGTERM, SIGHUP,
				    SIGQUIT, SIGUSR1, SIGUSR2 };
	struct sigaction sa = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
	size_t i;

	for (i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

/* Its exit status, as a shell tells it. */
static int run_command(const struct run *r)
{
	int status;

	handle_signals();
	child = fork();
	if (child < 0) {
		error("fork: %s", strerror(errno));
		return EXIT_FAIL;
	}
	if (!child) {
		if (set_environment(r)) {
			error("environment: %s", strerror(errno));
			_exit(127);
		}
		execv(r->program, r->argv);
		error("%s: %s", r->program, strerror(errno));
		_exit(127);
	}
	/* A terminal sends signals to both, and it is not us who end. */
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAIL;
	child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int make_stats(struct run *r)
{
	/* Not closed on exec: the libraries map it. */
	r->stats_fd = memfd_create("kvlift-run", 0);
	if (r->stats_fd < 0 || ftruncate(r->stats_fd, sizeof(*r->stats)))
		return -errno;
	r->stats = mmap(NULL, sizeof(*r->stats), PROT_READ | PROT_WRITE,
			MAP_SHARED, r->stats_fd, 0);
	return r->stats == MAP_FAILED ? -errno : 0;
}

static int in_dir(struct run *r)
{
	int ret, status;

	ret = run_files_begin(r);
	if (ret)
		return EXIT_FAIL;
	status = run_command(r);
	run_files_end(r);
	run_report(r);
	return status;
}

/* A pool of its own, which goes with the run. */
static int in_new_pool(struct run *r)
{
	struct mkpool p;
	int status;

	r->make.dram.kind = r->make.cxl.kind = r->make.nvme.kind = SHARE_BYTES;
	if (!r->make.nvme.bytes && !r->make.nvme_device)
		r->make.nvme.bytes = 4 * r->make.dram.bytes;
	if (!r->make.nvme.bytes)
		r->make.nvme.kind = SHARE_REST;
	r->make.blocks =
		(r->make.dram.bytes + r->make.cxl.bytes + r->make.nvme.bytes) /
		r->make.block;
	if (mkpool_make(&r->make, &p))
		return EXIT_FAIL;
	r->pool = p.dir;
	status = in_dir(r);
	mkpool_undo(&p);
	return status;
}

static int check(struct run *r)
{
	bool make = r->make.dram.bytes;

	if (r->pool && make)
		return usage_error("--pool, or --dram to make one");
	if (!r->pool && !make)
		return usage_error(
			"which pool? --pool DIR, or --dram SIZE to make one for this run");
	if (r->pool &&
	    (r->make.cxl.bytes || r->make.nvme.bytes || r->make.nvme_device))
		return usage_error("--pool has its tiers already");
	if (!r->pool && r->keep)
		return usage_error(
			"--keep is for --pool: what is made for the run goes with it");
	if (r->make.block < KVLIFT_BLOCK_MIN ||
	    r->make.block > KVLIFT_BLOCK_MAX ||
	    r->make.block & (r->make.block - 1))
		return usage_error("--block: a power of two from 16K to 2M");
	if (!r->argv[0])
		return usage_error("no command; it comes after --");
	return 0;
}

int run_run(int argc, char **argv)
{
	struct run r = {
		.method = "auto",
		.min_size = 32 * MIB,
		.make = { .block = 2 * MIB, .dram_node = -1, .cxl_node = -1 },
	};
	int c, ret;

	/* The first that is no option is the command. */
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		ret = option(&r, c);
		if (ret)
			return ret - 1;
	}
	r.argv = argv + optind;
	ret = check(&r);
	if (ret)
		return ret;
	ret = run_method(&r);
	if (ret)
		return ret;
	ret = make_stats(&r);
	if (ret) {
		error("memfd: %s", strerror(-ret));
		return EXIT_FAIL;
	}
	return r.pool ? in_dir(&r) : in_new_pool(&r);
}
