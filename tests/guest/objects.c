// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Keyed objects of the library, on a pool: what is put is got, whole or not
 * at all, whatever many processes do and whenever they are killed.
 *
 *	objects DIR basic
 *	objects DIR put KEY LEN | get KEY LEN RESULT	one object
 *	objects DIR stress PROCS THREADS OBJECTS SECONDS KILL CACHE
 *	objects DIR share PROCS THREADS OBJECTS USES KILL TRACE
 *	objects DIR torn
 *
 * share: a cache holds a part of objects of a block each; TRACE gets the uses
 * in their order. torn: puts that are not atomic are found out; ends with 0
 * when a reader saw a part of one.
 */
#include <math.h>
#include <pthread.h>
#include <sys/xattr.h>
#include <dirent.h>

#include "kvlift.h"
#include "kvltest.h"

static struct kvlift_pool *pool;
static struct kvlift_cache *cache;
static size_t bs;

/* Object k: length and bytes follow from k. */
static size_t len_of(uint64_t k)
{
	uint64_t h = kvt_mix(k + 12345);

	switch (h % 8) {
	case 0:
		return h / 8 % 2000;
	case 1:
		return bs + h / 8 % (2 * bs);
	case 2:
		return 0;
	default:
		return bs / 2 + h / 8 % (bs / 2) + 1;
	}
}

static size_t key_of(uint64_t k, char key[KVLIFT_KEY_MAX])
{
	size_t n, i;

	n = (size_t)snprintf(key, KVLIFT_KEY_MAX,
			     "model@0@%016" PRIx64 "/layer %" PRIu64,
			     kvt_mix(k), k);
	/* Some have names that are hashes. */
	if (k % 5 == 0) {
		for (i = n; i < KVLIFT_KEY_MAX; i++)
			key[i] = (char)kvt_mix(k * 1000 + i);
		n = KVLIFT_KEY_MAX;
	}
	return n;
}

static int put_k(uint64_t k, void *buf, unsigned int flags)
{
	char key[KVLIFT_KEY_MAX];
	size_t n = key_of(k, key);

	kvt_fill(buf, len_of(k), k, 0);
	return kvlift_put(cache, key, n, buf, len_of(k), flags);
}

/* 1: there and right, 0: not there, -1: wrong. */
static int get_k(uint64_t k, void *buf, size_t room, bool *error)
{
	char key[KVLIFT_KEY_MAX];
	ssize_t got = kvlift_get(cache, key, key_of(k, key), buf, room);

	if (got == -ENOENT)
		return 0;
	if (got < 0) {
		*error = true;
		fprintf(stderr, "get of %" PRIu64 ": %s\n", k,
			kvlift_strerror((int)got));
		return 0;
	}
	return (size_t)got == len_of(k) && kvt_diff(buf, (size_t)got, k, 0) < 0
		       ? 1
		       : -1;
}

static void keys(void)
{
	static const char *const odd[] = { ".",	  "..", "...", "a/b",
					   "%41", "A",	"\n",  "\xff",
					   "a b", "-",	"%%" };
	char long_key[KVLIFT_KEY_MAX + 1], buf[64];
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		IS(kvlift_put(cache, odd[i], strlen(odd[i]), &i, sizeof(i), 0),
		   0);
	for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		size_t v = 0;

		IS(kvlift_get(cache, odd[i], strlen(odd[i]), &v, sizeof(v)),
		   sizeof(v));
		IS(v, i);
		IS(kvlift_delete(cache, odd[i], strlen(odd[i])), 0);
		IS(kvlift_exists(cache, odd[i], strlen(odd[i])), 0);
	}
	memset(long_key, '/', sizeof(long_key));
	IS(kvlift_put(cache, long_key, KVLIFT_KEY_MAX, "x", 1, 0), 0);
	IS(kvlift_exists(cache, long_key, KVLIFT_KEY_MAX), 1);
	IS(kvlift_exists(cache, long_key, KVLIFT_KEY_MAX - 1), 0);
	IS(kvlift_get(cache, long_key, KVLIFT_KEY_MAX, buf, 64), 1);
	IS(kvlift_delete(cache, long_key, KVLIFT_KEY_MAX), 0);
	IS(kvlift_delete(cache, long_key, KVLIFT_KEY_MAX), -ENOENT);
	IS(kvlift_put(cache, long_key, KVLIFT_KEY_MAX + 1, "x", 1, 0), -EINVAL);
	IS(kvlift_put(cache, long_key, 0, "x", 1, 0), -EINVAL);
	IS(kvlift_put(cache, "x", 1, "x", 1, 1u << 31), -EINVAL);
	IS(kvlift_exists(cache, NULL, 1), -EINVAL);
	IS(kvlift_get(cache, "x", 1, buf, sizeof(buf)), -ENOENT);
}

/* The file of one key says that it is of another: a hash that is shared. */
static void collision(void)
{
	char key[KVLIFT_KEY_MAX];
	struct kvlift_object o;
	char c;

	memset(key, 1, sizeof(key));
	IS(kvlift_put(cache, key, sizeof(key), "x", 1, 0), 0);
	IS(kvlift_object_open(cache, key, sizeof(key), &o), 0);
	OK(fsetxattr(o.fd, "user.kvlift.key", "other", 5, XATTR_REPLACE));
	IS(kvlift_exists(cache, key, sizeof(key)), 0);
	IS(kvlift_get(cache, key, sizeof(key), &c, 1), -ENOENT);
	IS(kvlift_delete(cache, key, sizeof(key)), -ENOENT);
	IS(kvlift_put(cache, key, sizeof(key), "x", 1, 0), -EEXIST);
	OK(fsetxattr(o.fd, "user.kvlift.key", key, sizeof(key), XATTR_REPLACE));
	IS(kvlift_delete(cache, key, sizeof(key)), 0);
	kvlift_object_close(&o);
	kvlift_object_close(&o);
}

static void content(void)
{
	size_t room = 4 * bs;
	char *buf = malloc(room), key[KVLIFT_KEY_MAX];
	struct kvlift_object o;
	const void *map;
	bool error = false;
	struct iovec iov[3], many[101];
	uint64_t k;

	for (k = 0; k < 64; k++)
		IS(put_k(k, buf, 0), 0);
	for (k = 0; k < 64; k++) {
		size_t n = key_of(k, key);

		IS(put_k(k, buf, 0), 1);
		memset(buf, 0, room);
		IS(get_k(k, buf, room, &error), 1);
		if (!len_of(k))
			continue;
		memset(buf, 0, room);
		IS(kvlift_get(cache, key, n, buf, len_of(k) - 1), -EMSGSIZE);
		IS(buf[0], 0);
		IS(kvlift_object_open(cache, key, n, &o), 0);
		IS(o.size, len_of(k));
		IS(kvlift_object_map(&o, &map), 0);
		IS(kvlift_object_read(&o, 1, buf, room), len_of(k) - 1);
		IS(kvt_diff(buf, len_of(k) - 1, k, 1), -1);
		IS(kvlift_delete(cache, key, n), 0);
		kvlift_object_close(&o);
		IS(kvt_diff(map, len_of(k), k, 0), -1);
		IS(kvlift_region_unmap((void *)map, o.size), 0);
		IS(kvlift_exists(cache, key, n), 0);
	}
	CHECK(!error);
	/* In pieces, some of them empty. */
	kvt_fill(buf, 3 * bs, 7, 0);
	iov[0] = (struct iovec){ buf, bs + 1 };
	iov[1] = (struct iovec){ buf, 0 };
	iov[2] = (struct iovec){ buf + bs + 1, bs - 1 };
	IS(kvlift_putv(cache, "v", 1, iov, 3, 0), 0);
	memset(buf, 0, room);
	IS(kvlift_get(cache, "v", 1, buf, room), 2 * bs);
	IS(kvt_diff(buf, 2 * bs, 7, 0), -1);
	memset(buf, 0, room);
	for (k = 0; k < 100; k++)
		many[k] = (struct iovec){ buf + k * 3, 3 };
	many[100] = (struct iovec){ buf + 300, 2 * bs - 300 };
	IS(kvlift_getv(cache, "v", 1, many, 101), 2 * bs);
	IS(kvt_diff(buf, 2 * bs, 7, 0), -1);
	IS(kvlift_getv(cache, "v", 1, many, 100), -EMSGSIZE);
	IS(kvlift_getv(cache, "v", 1, many, KVLIFT_IOV_MAX + 1), -EINVAL);
	/* Replaced at once; who has the old one keeps it. */
	IS(kvlift_object_open(cache, "v", 1, &o), 0);
	IS(kvlift_put(cache, "v", 1, "new", 3, KVLIFT_PUT_REPLACE), 0);
	IS(kvlift_get(cache, "v", 1, buf, room), 3);
	IS(memcmp(buf, "new", 3), 0);
	IS(kvlift_object_read(&o, 0, buf, room), 2 * bs);
	IS(kvt_diff(buf, 2 * bs, 7, 0), -1);
	kvlift_object_close(&o);
	IS(kvlift_delete(cache, "v", 1), 0);
	IS(kvlift_put(cache, "v", 1, "new", 3, KVLIFT_PUT_REPLACE), 0);
	ERR(openat(kvlift_cache_fd(cache), "v", O_WRONLY | O_TRUNC), EPERM);
	IS(kvlift_delete(cache, "v", 1), 0);
	for (k = 0; k < 64; k++)
		if (!len_of(k))
			IS(kvlift_delete(cache, key, key_of(k, key)), 0);
	free(buf);
}

/* What a put that replaced has left when it was killed. */
static unsigned int nr_left;

static unsigned int nr_files(void)
{
	DIR *d = fdopendir(MUST(openat(kvlift_cache_fd(cache), ".", O_RDONLY)));
	unsigned int n = 0;
	struct dirent *e;

	nr_left = 0;
	while ((e = readdir(d))) {
		if (e->d_type != DT_REG)
			continue;
		if (e->d_name[0] == '.')
			nr_left++;
		else
			n++;
	}
	closedir(d);
	return n;
}

static void basic(void)
{
	struct kvlift_cache *other;

	keys();
	collision();
	content();
	IS(nr_files(), 0);
	IS(kvlift_cache_open(pool, "nothing", &other), -ENOENT);
	kvlift_cache_close(NULL);
}

/* Shared by all processes of a stress. */
static struct counts {
	uint64_t puts, replaced, had, full, hits, misses, deletes, maps;
	uint64_t wrong, errors;
	uint32_t stop;
	uint32_t made, nr; /* uses so far, and to be made */
	uint32_t order[];  /* which object each of them was of, plus one */
} * counts;

#define ADD(what) __atomic_add_fetch(&counts->what, 1, __ATOMIC_RELAXED)

struct worker {
	uint64_t seed, objects;
	pthread_t thread;
};

/* Zipf with exponent 1, nearly: the logarithm is equally distributed. */
static uint64_t some(struct worker *w)
{
	double u = (double)(kvt_rand(&w->seed) >> 11) * 0x1p-53;

	return (uint64_t)exp(u * log((double)w->objects + 1)) - 1;
}

static void map_one(uint64_t k)
{
	char key[KVLIFT_KEY_MAX];
	struct kvlift_object o;
	const void *p;
	int ret;

	ret = kvlift_object_open(cache, key, key_of(k, key), &o);
	if (ret == -ENOENT)
		return;
	if (ret) {
		ADD(errors);
		return;
	}
	if (o.size != len_of(k)) {
		ADD(wrong);
	} else if (o.size) {
		ret = kvlift_object_map(&o, &p);
		if (ret) {
			ADD(errors);
		} else {
			if (kvt_diff(p, o.size, k, 0) >= 0)
				ADD(wrong);
			kvlift_region_unmap((void *)p, o.size);
		}
	}
	kvlift_object_close(&o);
	ADD(maps);
}

static void put_one(uint64_t k, void *buf, unsigned int flags)
{
	int ret = put_k(k, buf, flags);

	if (!ret && flags)
		ADD(replaced);
	else if (!ret)
		ADD(puts);
	else if (ret == 1 && !flags)
		ADD(had);
	else if (ret == -EAGAIN)
		ADD(full);
	else if (ADD(errors) < 10)
		fprintf(stderr, "put of %" PRIu64 ": %s\n", k,
			kvlift_strerror(ret));
}

static void get_or_put(uint64_t k, void *buf, size_t room)
{
	bool error = false;
	int ret = get_k(k, buf, room, &error);

	if (error)
		ADD(errors);
	if (ret < 0)
		ADD(wrong);
	if (ret > 0)
		ADD(hits);
	if (ret)
		return;
	ADD(misses);
	put_one(k, buf, 0);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t room = 4 * bs;
	char *buf = malloc(room), key[KVLIFT_KEY_MAX];

	while (!__atomic_load_n(&counts->stop, __ATOMIC_RELAXED)) {
		uint64_t k = some(w);
		unsigned int what = kvt_rand(&w->seed) >> 32 & 31;
		int ret;

		if (what < 24) {
			get_or_put(k, buf, room);
		} else if (what < 28) {
			map_one(k);
		} else if (what < 29) {
			put_one(k, buf, KVLIFT_PUT_REPLACE);
		} else if (what < 30) {
			if (kvlift_exists(cache, key, key_of(k, key)) < 0)
				ADD(errors);
		} else {
			ret = kvlift_delete(cache, key, key_of(k, key));
			if (!ret)
				ADD(deletes);
			else if (ret != -ENOENT)
				ADD(errors);
		}
	}
	free(buf);
	return NULL;
}

/* One use of an object of a block: got, or else put. */
static void use(uint32_t k, char *buf)
{
	char key[KVLIFT_KEY_MAX];
	size_t n = key_of(k, key);
	ssize_t got = kvlift_get(cache, key, n, buf, bs);
	int ret;

	if (got >= 0) {
		ADD(hits);
		if ((size_t)got != bs || kvt_diff(buf, bs, k, 0) >= 0)
			ADD(wrong);
		return;
	}
	if (got != -ENOENT)
		ADD(errors);
	ADD(misses);
	kvt_fill(buf, bs, k, 0);
	ret = kvlift_put(cache, key, n, buf, bs, 0);
	if (!ret)
		ADD(puts);
	else if (ret == 1)
		ADD(had);
	else if (ret == -EAGAIN)
		ADD(full);
	else if (ADD(errors) < 10)
		fprintf(stderr, "put of %u: %s\n", k, kvlift_strerror(ret));
}

static void *share_work(void *arg)
{
	struct worker *w = arg;
	char *buf = malloc(bs);
	uint32_t i, k;

	while ((i = __atomic_fetch_add(&counts->made, 1, __ATOMIC_RELAXED)) <
	       counts->nr) {
		k = (uint32_t)some(w);
		counts->order[i] = k + 1;
		use(k, buf);
	}
	free(buf);
	return NULL;
}

static void *(*job)(void *) = work;

static pid_t start(unsigned int threads, uint64_t objects, uint64_t seed)
{
	struct worker w[64];
	pid_t pid = MUST(fork());
	unsigned int i;

	if (pid)
		return pid;
	for (i = 0; i < threads; i++) {
		w[i].seed = seed * 64 + i + 1;
		w[i].objects = objects;
		if (pthread_create(&w[i].thread, NULL, job, &w[i]))
			_exit(1);
	}
	for (i = 0; i < threads; i++)
		pthread_join(w[i].thread, NULL);
	_exit(0);
}

/* All that is there is whole, and nothing else but what the killed left. */
static void check_all(uint64_t objects, bool is_cache, unsigned int killed)
{
	size_t room = 4 * bs;
	char *buf = malloc(room);
	unsigned int files = nr_files(), found = 0;
	bool error = false;
	uint64_t k;

	for (k = 0; k < objects; k++) {
		int ret = get_k(k, buf, room, &error);

		CHECK(ret >= 0, "object %" PRIu64 " is wrong", k);
		found += ret > 0;
	}
	CHECK(!error);
	/* In a cache some may have gone meanwhile. */
	CHECK(found == files || (is_cache && found < files),
	      "%u found, %u files", found, files);
	CHECK(nr_left <= killed, "%u names left", nr_left);
	printf("%u of %" PRIu64 " objects in %u files, %u names left\n", found,
	       objects, files, nr_left);
	/* The next one that replaces takes one of them away. */
	if (nr_left && !put_k(0, buf, KVLIFT_PUT_REPLACE))
		CHECK((found = nr_left, nr_files(), nr_left < found));
	free(buf);
}

static void stress(unsigned int procs, unsigned int threads, uint64_t objects,
		   unsigned int seconds, bool killing, bool is_cache)
{
	uint64_t end = kvt_now_ns() + seconds * 1000000000ull, seed = 99;
	unsigned int i, killed = 0;
	pid_t pid[64];
	int status;

	for (i = 0; i < procs; i++)
		pid[i] = start(threads, objects, i + 1);
	while (kvt_now_ns() < end) {
		kvt_msleep(100);
		if (!killing || kvt_rand_below(&seed, 3))
			continue;
		/* Half of them live, of which nobody can tell which half. */
		i = (unsigned int)kvt_rand_below(&seed, (procs + 1) / 2);
		kill(pid[i], SIGKILL);
		waitpid(pid[i], &status, 0);
		CHECK(WIFSIGNALED(status), "it ended before");
		pid[i] = start(threads, objects, procs + ++killed);
	}
	__atomic_store_n(&counts->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < procs; i++) {
		waitpid(pid[i], &status, 0);
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status),
		      "a process ended with %x", (unsigned int)status);
	}
	printf("puts %" PRIu64 " replaced %" PRIu64 " had %" PRIu64
	       " full %" PRIu64 " hits %" PRIu64 " misses %" PRIu64
	       " maps %" PRIu64 " deletes %" PRIu64 " killed %u\n",
	       counts->puts, counts->replaced, counts->had, counts->full,
	       counts->hits, counts->misses, counts->maps, counts->deletes,
	       killed);
	IS(counts->wrong, 0);
	IS(counts->errors, 0);
	CHECK(counts->puts && counts->hits && counts->maps);
	CHECK(!killing || killed);
	check_all(objects, is_cache, killed * threads);
}

/* A use of which its process did not come to say what it was of is left out. */
static void write_trace(const char *path)
{
	FILE *f = fopen(path, "w");
	uint32_t i, n = 0;

	if (!f)
		kvt_die("%s", path);
	for (i = 0; i < counts->nr; i++)
		if (counts->order[i])
			fprintf(f,
				"{\"timestamp\":%u,\"input_length\":512,\"hash_ids\":[%u]}\n",
				n++, counts->order[i]);
	OK(fclose(f));
}

/* Those that have ended by themselves, until all have. */
static unsigned int reap(pid_t *pid, unsigned int procs)
{
	unsigned int i, n = 0;
	pid_t gone;
	int status;

	while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status),
		      "a process ended with %x", (unsigned int)status);
		for (i = 0; i < procs; i++)
			if (pid[i] == gone)
				pid[i] = 0;
		n++;
	}
	return n;
}

static void share(unsigned int procs, unsigned int threads, uint64_t objects,
		  bool killing, const char *trace)
{
	unsigned int i, killed = 0, left = procs;
	uint64_t seed = 7;
	pid_t pid[64];
	int status;

	job = share_work;
	for (i = 0; i < procs; i++)
		pid[i] = start(threads, objects, i + 1);
	while ((left -= reap(pid, procs))) {
		kvt_msleep(100);
		i = (unsigned int)kvt_rand_below(&seed, (procs + 1) / 2);
		if (!killing || !pid[i] || kvt_rand_below(&seed, 3) ||
		    __atomic_load_n(&counts->made, __ATOMIC_RELAXED) >=
			    counts->nr)
			continue;
		kill(pid[i], SIGKILL);
		waitpid(pid[i], &status, 0);
		/* It may have been about to end by itself. */
		killed += WIFSIGNALED(status);
		pid[i] = start(threads, objects, procs + killed);
	}
	write_trace(trace);
	printf("hits %" PRIu64 " misses %" PRIu64 " puts %" PRIu64
	       " had %" PRIu64 " full %" PRIu64 " killed %u\n",
	       counts->hits, counts->misses, counts->puts, counts->had,
	       counts->full, killed);
	IS(counts->wrong, 0);
	IS(counts->errors, 0);
	CHECK(!killing || killed);
}

/* A file that is written where readers look for it. */
static void *write_in_place(void *arg)
{
	char *buf = malloc(4 * bs);
	size_t at;
	int fd;

	kvt_fill(buf, 3 * bs, 3, 0);
	while (!__atomic_load_n(&counts->stop, __ATOMIC_RELAXED)) {
		fd = openat(kvlift_cache_fd(cache), "torn",
			    O_WRONLY | O_CREAT | O_TRUNC, 0644);
		for (at = 0; at < 3 * bs; at += bs / 4)
			if (write(fd, buf + at, bs / 4) < 0)
				break;
		close(fd);
	}
	free(buf);
	return NULL;
}

static int torn(void)
{
	uint64_t end = kvt_now_ns() + 20000000000ull;
	char *buf = malloc(4 * bs);
	uint64_t seen = 0;
	pthread_t t;

	pthread_create(&t, NULL, write_in_place, NULL);
	while (!seen && kvt_now_ns() < end) {
		ssize_t n = kvlift_get(cache, "torn", 4, buf, 4 * bs);

		if (n == -ESTALE)
			seen++;
		if (n >= 0 &&
		    ((size_t)n != 3 * bs || kvt_diff(buf, 3 * bs, 3, 0) >= 0))
			seen++;
	}
	counts->stop = 1;
	pthread_join(t, NULL);
	kvlift_delete(cache, "torn", 4);
	free(buf);
	printf("torn objects seen: %" PRIu64 "\n", seen);
	return seen ? 0 : 1;
}

static int one(char **argv)
{
	size_t len = strtoul(argv[4], NULL, 0);
	char *buf = malloc(len + 1);
	ssize_t ret;

	kvt_fill(buf, len, 1, 0);
	if (!strcmp(argv[2], "put")) {
		ret = kvlift_put(cache, argv[3], strlen(argv[3]), buf, len, 0);
		IS(ret, 0);
		return kvt_end("objects");
	}
	ret = kvlift_get(cache, argv[3], strlen(argv[3]), buf, len);
	IS(ret, strtol(argv[5], NULL, 0));
	if (ret >= 0)
		IS(kvt_diff(buf, (size_t)ret, 1, 0), -1);
	return kvt_end("objects");
}

int main(int argc, char **argv)
{
	uint32_t uses = 0;
	int ret;

	if (argc < 3)
		kvt_die("usage: objects DIR basic|put|get|stress|torn ...");
	ret = kvlift_pool_open(argv[1], &pool);
	ret = ret ?: kvlift_cache_open(pool, NULL, &cache);
	if (ret)
		kvt_die("%s: %s", argv[1], kvlift_strerror(ret));
	bs = kvlift_pool_block_size(pool);
	if (!strcmp(argv[2], "share") && argc == 9)
		uses = (uint32_t)strtoul(argv[6], NULL, 0);
	counts = MUST(mmap(NULL, sizeof(*counts) + uses * sizeof(uint32_t),
			   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0));
	counts->nr = uses;
	if (!strcmp(argv[2], "basic"))
		basic();
	else if (!strcmp(argv[2], "torn"))
		return torn();
	else if (!strcmp(argv[2], "stress") && argc == 9)
		stress((unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[4]),
		       strtoull(argv[5], NULL, 0), (unsigned int)atoi(argv[6]),
		       atoi(argv[7]), atoi(argv[8]));
	else if (uses)
		share((unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[4]),
		      strtoull(argv[5], NULL, 0), atoi(argv[7]), argv[8]);
	else if (argc >= 5)
		return one(argv);
	else
		kvt_die("bad arguments");
	kvlift_cache_close(cache);
	kvlift_pool_close(pool);
	return kvt_end("objects");
}
