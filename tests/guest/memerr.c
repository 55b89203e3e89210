// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Memory errors from user space.
 *
 *	memerr pfn FILE OFFSET		page frame number behind it
 *	memerr poison FILE OFFSET	the kernel is told that the page failed
 *	memerr code FILE OFFSET		si_code of the SIGBUS that a load raises
 *	memerr watch FILE		maps it for writing, waits for a line,
 *					prints the pages that raise SIGBUS
 *	memerr pin FILE OFFSET		holds a page in a pipe until a line
 */
#include "kvltest.h"

#include <setjmp.h>

static sigjmp_buf jump;
static volatile int code;

static void on_bus(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	code = si->si_code;
	siglongjmp(jump, 1);
}

static bool loads(const volatile char *p)
{
	code = 0;
	if (sigsetjmp(jump, 1))
		return false;
	(void)*p;
	return true;
}

static int print_pfn(volatile char *p)
{
	int fd = MUST(open("/proc/self/pagemap", O_RDONLY));
	uint64_t e = 0;

	(void)*p;
	MUST(pread(fd, &e, 8, (off_t)((uintptr_t)p >> 12 << 3)));
	if (!(e >> 63))
		kvt_die("not present");
	printf("%" PRIu64 "\n", e & ((UINT64_C(1) << 55) - 1));
	return 0;
}

static int poison(char *p)
{
	(void)*(volatile char *)p;
	if (sigsetjmp(jump, 1))
		return 0; /* the kernel may kill who it was for */
	if (madvise(p, 4096, MADV_HWPOISON) && errno != EHWPOISON &&
	    errno != EBUSY)
		kvt_die("MADV_HWPOISON: %s", strerror(errno));
	return 0;
}

static void wait_line(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (read(0, line, sizeof(line)) < 0)
		kvt_die("read: %s", strerror(errno));
}

static int watch(const volatile char *m, uint64_t len)
{
	uint64_t first = UINT64_MAX;

	for (uint64_t i = 0; i < len; i += 4096)
		(void)m[i];
	wait_line();
	for (uint64_t i = 0; i <= len; i += 4096) {
		bool ok = i == len || loads(m + i);

		if (!ok && first == UINT64_MAX)
			first = i;
		if (ok && first != UINT64_MAX) {
			printf("%" PRIu64 "-%" PRIu64 "\n", first >> 12,
			       (i >> 12) - 1);
			first = UINT64_MAX;
		}
	}
	return 0;
}

static int pin(char *p)
{
	struct iovec iov = { .iov_base = p, .iov_len = 4096 };
	int fd[2];

	(void)*(volatile char *)p;
	MUST(pipe(fd));
	if (vmsplice(fd[1], &iov, 1, 0) != 4096)
		kvt_die("vmsplice: %s", strerror(errno));
	wait_line();
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_bus,
				.sa_flags = SA_SIGINFO };
	const char *cmd = argc > 2 ? argv[1] : "";
	uint64_t off = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	bool w = !strcmp(cmd, "watch");
	struct stat st;
	char *m;
	int fd;

	if (argc < 3)
		kvt_die("usage: memerr COMMAND FILE ... (see the source)");
	fd = MUST(open(argv[2], w ? O_RDWR : O_RDONLY));
	MUST(fstat(fd, &st));
	m = MUST(mmap(NULL, (size_t)st.st_size,
		      PROT_READ | (w ? PROT_WRITE : 0), MAP_SHARED, fd, 0));
	MUST(sigaction(SIGBUS, &sa, NULL));
	if (!strcmp(cmd, "pfn"))
		return print_pfn(m + off);
	if (!strcmp(cmd, "poison"))
		return poison(m + off);
	if (!strcmp(cmd, "watch"))
		return watch(m, (uint64_t)st.st_size);
	if (!strcmp(cmd, "pin"))
		return pin(m + off);
	if (!strcmp(cmd, "code")) {
		loads(m + off);
		printf("%d\n", code);
		return 0;
	}
	kvt_die("%s?", cmd);
}
