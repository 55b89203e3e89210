// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Which program it is, and how to get at its memory. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "util.h"

#define LOADS_BACKENDS "ggml_backend_load_all"

bool method_is_known(const char *name)
{
	static const char *const known[] = { "auto", "ggml", "preload",
					     "size" };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

/* As execvp() would find it. */
static int find_program(struct run *r)
{
	const char *name = r->argv[0], *path = getenv("PATH"), *end;

	if (strchr(name, '/')) {
		snprintf(r->program, sizeof(r->program), "%s", name);
		if (!access(name, X_OK))
			return 0;
		error("%s: %s", name, strerror(errno));
		return EXIT_FAIL;
	}
	for (path = path ? path : "/bin:/usr/bin"; *path; path = end + !!*end) {
		end = strchrnul(path, ':');
		snprintf(r->program, sizeof(r->program), "%.*s/%s",
			 (int)(end - path), path, name);
		if (!access(r->program, X_OK))
			return 0;
	}
	error("%s: no such command", name);
	return EXIT_FAIL;
}

struct image {
	const char *data;
	size_t size;
};

static int map_image(const char *path, struct image *im)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !st.st_size) {
		close(fd);
		return -ENOEXEC;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -errno;
	im->data = p;
	im->size = (size_t)st.st_size;
	return 0;
}

static bool is_elf(const struct image *im)
{
	return im->size > sizeof(Elf64_Ehdr) &&
	       !memcmp(im->data, ELFMAG, SELFMAG) &&
	       im->data[EI_CLASS] == ELFCLASS64;
}

/* Has it a dynamic loader, which would load our library? */
static bool is_dynamic(const struct image *im)
{
	const Elf64_Ehdr *e = (const void *)im->data;
	const Elf64_Phdr *p;
	unsigned int i;

	if (e->e_phoff > im->size ||
	    e->e_phnum > (im->size - e->e_phoff) / sizeof(*p))
		return false;
	p = (const void *)(im->data + e->e_phoff);
	for (i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == PT_INTERP)
			return true;
	return false;
}

static bool has_text(const struct image *im, const char *text)
{
	return memmem(im->data, im->size, text, strlen(text) + 1);
}

/* " libname.so => /path/libname.so (0x...)": does that name the function? */
static bool library_has(char *line, const char *text)
{
	char *path = strstr(line, "=> /"), *end;
	struct image im;
	bool found;

	if (!path)
		return false;
	path += 3;
	end = strstr(path, " (0x");
	if (end)
		*end = 0;
	if (map_image(path, &im))
		return false;
	found = has_text(&im, text);
	munmap((void *)im.data, im.size);
	return found;
}

/*
 * Does it load ggml's libraries, and does one that is llama.cpp's load backends?
 * By what the dynamic loader says of those it would load, as ldd does.
 */
static bool loads_ggml(const char *program, bool *backends)
{
	char line[PATH_MAX * 2];
	bool found = false;
	int fds[2];
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC))
		return false;
	pid = fork();
	if (!pid) {
		char name[PATH_MAX];
		char *args[] = { name, NULL };

		snprintf(name, sizeof(name), "%s", program);
		dup2(fds[1], STDOUT_FILENO);
		setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
		execv(program, args);
		_exit(127);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	while (f && fgets(line, sizeof(line), f)) {
		found |= strstr(line, "libggml") != NULL;
		if (strstr(line, "libllama-"))
			*backends |= library_has(line, LOADS_BACKENDS);
	}
	if (f)
		fclose(f);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return found;
}

/* The least that does it: see the head of preload/ggml.c and preload.c. */
static const char *choose(const struct run *r, const struct image *im)
{
	bool backends = has_text(im, LOADS_BACKENDS);

	/* A script: whatever it runs. */
	if (!is_elf(im))
		return "preload";
	if (!loads_ggml(r->program, &backends))
		return "size";
	/* Who names a backend of his own keeps it. */
	return backends && !getenv(BACKEND_PATH) ? "ggml" : "preload";
}

/* Beside the tool, or where it would be installed. */
static int find_library(struct run *r)
{
	static const char *const dirs[] = { "%s",
					    "%s/../lib/kvlift",
					    "%s/../lib",
					    "/usr/local/lib/kvlift",
					    "/usr/local/lib",
					    "/usr/lib/kvlift" };
	const char *name = !strcmp(r->method, "ggml") ? "libggml-kvlift.so"
						      : "libkvlift-preload.so";
	char self[PATH_MAX], dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	self[n > 0 ? n : 0] = 0;
	if (strrchr(self, '/'))
		*strrchr(self, '/') = 0;
	for (i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(dir, sizeof(dir), dirs[i], self);
#pragma GCC diagnostic pop
		if (snprintf(r->library, sizeof(r->library), "%s/%s", dir,
			     name) >= (int)sizeof(r->library))
			continue;
		if (!access(r->library, R_OK))
			return 0;
	}
	error("%s is neither beside this tool nor in /usr/local/lib/kvlift: 'make install' puts it there",
	      name);
	return EXIT_FAIL;
}

static int may_be_loaded(const struct run *r, const struct image *im)
{
	struct stat st;

	if (!strcmp(r->method, "ggml") && getenv(BACKEND_PATH)) {
		error(BACKEND_PATH
		      " is set, and ggml loads one backend by it: --method preload needs none");
		return EXIT_FAIL;
	}
	if (!is_elf(im) || !strcmp(r->method, "ggml"))
		return 0;
	if (!is_dynamic(im)) {
		error("%s is linked statically: nothing can be loaded into it. Use a build with shared libraries",
		      r->program);
		return EXIT_FAIL;
	}
	if (!stat(r->program, &st) &&
	    ((st.st_mode & S_ISUID && st.st_uid != geteuid()) ||
	     (st.st_mode & S_ISGID && st.st_gid != getegid()))) {
		error("%s changes its user or group when it starts: nothing is loaded into such a program",
		      r->program);
		return EXIT_FAIL;
	}
	return 0;
}

int run_method(struct run *r)
{
	struct image im = { 0 };
	int ret;

	ret = find_program(r);
	if (ret)
		return ret;
	ret = map_image(r->program, &im);
	if (ret) {
		error("%s: %s", r->program, strerror(-ret));
		return EXIT_FAIL;
	}
	if (!strcmp(r->method, "auto"))
		r->method = is_elf(&im) && !is_dynamic(&im) ? "size"
							    : choose(r, &im);
	ret = may_be_loaded(r, &im);
	munmap((void *)im.data, im.size);
	return ret ? ret : find_library(r);
}
