// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Objects over an ordinary directory: names, what is there and what is not, and
 * what is left of puts that were cut off. Only the two calls that know kvlift
 * from another filesystem are replaced.
 */
#include <sys/ioctl.h>
#include <sys/vfs.h>

static int fake_ioctl(int fd, unsigned long cmd, void *arg);
static int fake_fstatfs(int fd, struct statfs *fs);
#define ioctl	fake_ioctl
#define fstatfs fake_fstatfs
#include "../../userlib/src/object.c"
#undef ioctl
#undef fstatfs

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "unit.h"

static char dir[64];
static struct kvlift_pool pool = { .features = KVLIFT_F_SEAL };
static struct kvlift_cache *cache;
/* What sealing gives; a child may die there. */
static int seal_error;
static bool seal_dies;

static int fake_ioctl(int fd, unsigned long cmd, void *arg)
{
	if (cmd != KVLIFT_IOC_SEAL)
		abort();
	if (seal_dies)
		raise(SIGKILL);
	errno = seal_error;
	return seal_error ? -1 : 0;
}

static int fake_fstatfs(int fd, struct statfs *fs)
{
	fs->f_type = KVLIFT_SUPER_MAGIC;
	return 0;
}

static unsigned int nr_files(void)
{
	int fd = openat(pool.fd, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int store(const char *key, const char *text, unsigned int flags)
{
	return kvlift_put(cache, key, strlen(key), text, strlen(text), flags);
}

static const char *load(const char *key)
{
	static char buf[64];
	ssize_t n = kvlift_get(cache, key, strlen(key), buf, sizeof(buf) - 1);

	if (n < 0)
		return strerrorname_np((int)-n);
	buf[n] = 0;
	return buf;
}

static void there_and_back(void)
{
	char big[KVLIFT_KEY_MAX];
	char c = 0;

	errno = 4711;
	CHECK_EQ(store("a/b", "one", 0), 0);
	CHECK_EQ(store("a/b", "two", 0), 1);
	CHECK_STR(load("a/b"), "one");
	CHECK_EQ(store("a/b", "two", KVLIFT_PUT_REPLACE), 0);
	CHECK_STR(load("a/b"), "two");
	CHECK_EQ(kvlift_get(cache, "a/b", 3, &c, 1), -EMSGSIZE);
	CHECK_EQ(c, 0);
	CHECK_EQ(kvlift_exists(cache, "a/b", 3), 1);
	CHECK_EQ(kvlift_delete(cache, "a/b", 3), 0);
	CHECK_EQ(kvlift_delete(cache, "a/b", 3), -ENOENT);
	CHECK_STR(load("a/b"), "ENOENT");
	/* A name that is a hash. */
	memset(big, 1, sizeof(big));
	CHECK_EQ(kvlift_put(cache, big, sizeof(big), "x", 1, 0), 0);
	CHECK_EQ(kvlift_get(cache, big, sizeof(big), &c, 1), 1);
	CHECK_EQ(c, 'x');
	CHECK_EQ(kvlift_exists(cache, big, sizeof(big) - 1), 0);
	CHECK_EQ(kvlift_delete(cache, big, sizeof(big)), 0);
	CHECK_EQ(errno, 4711);
	CHECK_EQ(nr_files(), 0);
}

/* The error of each step comes out, and nothing stays. */
static void errors(void)
{
	seal_error = EDQUOT;
	CHECK_EQ(store("k", "x", 0), -EDQUOT);
	CHECK_EQ(store("k", "x", KVLIFT_PUT_REPLACE), -EDQUOT);
	seal_error = EAGAIN;
	CHECK_EQ(store("k", "x", 0), -EAGAIN);
	seal_error = 0;
	CHECK_EQ(nr_files(), 0);
	CHECK_EQ(mkdirat(pool.fd, "d", 0700), 0);
	CHECK_STR(load("d"), "ESTALE");
	CHECK_EQ(store("d", "x", KVLIFT_PUT_REPLACE), -EISDIR);
	CHECK_EQ(nr_files(), 1);
	CHECK_EQ(unlinkat(pool.fd, "d", AT_REMOVEDIR), 0);
	CHECK_EQ(mkfifoat(pool.fd, "p", 0600), 0);
	CHECK_STR(load("p"), "ESTALE");
	CHECK_EQ(unlinkat(pool.fd, "p", 0), 0);
	CHECK_EQ(symlinkat("/etc/passwd", pool.fd, "l"), 0);
	CHECK_STR(load("l"), "ELOOP");
	CHECK_EQ(unlinkat(pool.fd, "l", 0), 0);
}

static void killed(void)
{
	unsigned int flags;
	int status;
	pid_t pid;

	for (flags = 0; flags <= KVLIFT_PUT_REPLACE; flags++) {
		pid = fork();
		if (!pid) {
			seal_dies = true;
			store("k", "x", flags);
			_exit(1);
		}
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK(WIFSIGNALED(status));
		CHECK_EQ(nr_files(), 0);
	}
}

/* What those leave that were killed between two names goes with the next. */
static void left_names(void)
{
	char name[16];
	unsigned int i;
	int fd;

	for (i = 0; i < TEMPS; i++) {
		snprintf(name, sizeof(name), ".put-%u", i);
		fd = openat(pool.fd, name, O_RDWR | O_CREAT | O_EXCL, 0444);
		close(fd);
	}
	CHECK_EQ(store("k", "1", KVLIFT_PUT_REPLACE), 0);
	CHECK_STR(load("k"), "1");
	CHECK_EQ(nr_files(), TEMPS);
	/* One that is in use stays, and another name is taken. */
	fd = openat(pool.fd, ".put-0", O_RDWR | O_CREAT | O_EXCL, 0444);
	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(store("k", "2", KVLIFT_PUT_REPLACE), 0);
	CHECK_STR(load("k"), "2");
	CHECK_EQ(faccessat(pool.fd, ".put-0", F_OK, 0), 0);
	CHECK(faccessat(pool.fd, ".put-1", F_OK, 0) != 0);
	close(fd);
	for (i = 0; i < TEMPS; i++) {
		snprintf(name, sizeof(name), ".put-%u", i);
		unlinkat(pool.fd, name, 0);
	}
	CHECK_EQ(kvlift_delete(cache, "k", 1), 0);
	CHECK_EQ(nr_files(), 0);
}

static void all_in_use(void)
{
	int fds[TEMPS];
	char name[16];
	unsigned int i;

	for (i = 0; i < TEMPS; i++) {
		snprintf(name, sizeof(name), ".put-%u", i);
		fds[i] = openat(pool.fd, name, O_RDWR | O_CREAT | O_EXCL, 0444);
		CHECK_EQ(flock(fds[i], LOCK_EX | LOCK_NB), 0);
	}
	CHECK_EQ(store("k", "1", KVLIFT_PUT_REPLACE), -EBUSY);
	CHECK_EQ(nr_files(), TEMPS);
	for (i = 0; i < TEMPS; i++) {
		snprintf(name, sizeof(name), ".put-%u", i);
		unlinkat(pool.fd, name, 0);
		close(fds[i]);
	}
}

static bool stop;
static unsigned int bad, replaced, seen;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Object @c is 512 bytes of @c and a number, the same in all of it. */
static void *replacer(void *arg)
{
	const char *c = arg;
	char buf[512];
	unsigned int i;

	for (i = 0; i < 300; i++) {
		int ret;

		memset(buf, (char)i, sizeof(buf));
		buf[0] = *c;
		ret = kvlift_put(cache, c, 1, buf, sizeof(buf),
				 KVLIFT_PUT_REPLACE);
		__atomic_add_fetch(ret ? &bad : &replaced, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *reader(void *arg)
{
	static const char keys[] = "abcd";
	char buf[512];
	unsigned int i, k = 0;

	while (!stopped()) {
		const char *c = &keys[k++ % 4];
		ssize_t n = kvlift_get(cache, c, 1, buf, sizeof(buf));
		bool good = n == sizeof(buf) && buf[0] == *c;

		for (i = 2; good && i < sizeof(buf); i++)
			good = buf[i] == buf[1];
		__atomic_add_fetch(good ? &seen : &bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* As if processes were killed all the time, each with a name. */
static void *killed_ones(void *arg)
{
	unsigned int i = 0;
	char name[16];

	while (!stopped()) {
		int fd;

		snprintf(name, sizeof(name), ".put-%u", i++ % 2);
		fd = openat(pool.fd, name, O_RDWR | O_CREAT | O_EXCL, 0444);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* Readers find the old or the new one at any time, and never another's. */
static void replaced_at_once(void)
{
	static char who[] = "aabbccdd";
	pthread_t w[8], r, l;
	char name[16];
	unsigned int i;

	for (i = 0; i < 8; i += 2)
		replacer(&who[i]);
	pthread_create(&r, NULL, reader, NULL);
	pthread_create(&l, NULL, killed_ones, NULL);
	for (i = 0; i < 8; i++)
		pthread_create(&w[i], NULL, replacer, &who[i]);
	for (i = 0; i < 8; i++)
		pthread_join(w[i], NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(r, NULL);
	pthread_join(l, NULL);
	CHECK_EQ(bad, 0);
	CHECK_EQ(replaced, 12 * 300);
	CHECK(seen > 0);
	for (i = 0; i < 8; i += 2)
		CHECK_EQ(kvlift_delete(cache, &who[i], 1), 0);
	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), ".put-%u", i);
		unlinkat(pool.fd, name, 0);
	}
	CHECK_EQ(nr_files(), 0);
}

int main(void)
{
	int fd;

	snprintf(dir, sizeof(dir), "/tmp/kvlift-object.XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	pool.fd = open(dir, O_RDONLY | O_DIRECTORY);
	fd = openat(pool.fd, ".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 || fsetxattr(fd, "user.kvlift.key", "x", 1, 0)) {
		rmdir(dir);
		printf("no O_TMPFILE or no attributes in /tmp\n");
		return 77;
	}
	close(fd);
	if (kvlift_cache_open(&pool, NULL, &cache))
		return 1;
	CASE(there_and_back);
	CASE(errors);
	CASE(killed);
	CASE(left_names);
	CASE(all_in_use);
	CASE(replaced_at_once);
	kvlift_cache_close(cache);
	close(pool.fd);
	rmdir(dir);
	UNIT_END();
}
