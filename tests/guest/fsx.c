// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Random operations on one file against a model in memory, after the idea of
 * the fsx of Avadis Tevanian: what is read has to be what the model says,
 * through read(2) and through a mapping, whatever moved meanwhile.
 *
 *	fsx FILE [-N OPS] [-l MAXLEN] [-s SEED] [-t SECONDS] [-o LOG] [-r LOG]
 *
 * -o writes the operations (on failure they are always written, to
 * FILE.fsxops in the current directory); -r plays such a list, so lines can
 * be taken out of it until the shortest one that fails is left.
 */
#include "kvltest.h"

enum op {
	READ,
	WRITE,
	MAPREAD,
	MAPWRITE,
	TRUNCATE,
	PUNCH,
	FALLOC,
	ZERO,
	COPY,
	REOPEN,
	DONTNEED,
	WILLNEED,
	DEMOTE,
	PREFETCH,
	FSYNC,
	APPEND,
	NOPS,
};

static const char *const names[NOPS] = {
	"read",	  "write",    "mapread", "mapwrite", "truncate", "punch",
	"falloc", "zero",     "copy",	 "reopen",   "dontneed", "willneed",
	"demote", "prefetch", "fsync",	 "append",
};
/* How often, against each other. */
static const unsigned int weights[NOPS] = {
	20, 20, 20, 20, 6, 8, 4, 4, 6, 2, 6, 4, 12, 6, 1, 3,
};

struct step {
	enum op op;
	uint64_t off, len, arg;
};

static const char *path;
static char *model, *tmp;
static size_t max_len = 1 << 20, size;
static uint64_t bs = 65536, rnd = 1;
static bool kvl, zero_ok = true, tail_ok = true;
static int fd;
static struct step *log_;
static size_t nlog;
static uint64_t counts[NOPS];

static void dump_log(const char *to)
{
	FILE *f = fopen(to, "w");

	if (!f)
		return;
	for (size_t i = 0; i < nlog; i++)
		fprintf(f, "%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			names[log_[i].op], log_[i].off, log_[i].len,
			log_[i].arg);
	fclose(f);
}

__attribute__((format(printf, 1, 2), noreturn)) static void
give_up(const char *fmt, ...)
{
	const char *base = strrchr(path, '/');
	char to[300];
	va_list ap;

	fprintf(stderr, "fsx: step %zu: ", nlog);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nfsx: the last steps:\n");
	for (size_t i = nlog > 12 ? nlog - 12 : 0; i < nlog; i++)
		fprintf(stderr, "  %zu %s off %#" PRIx64 " len %#" PRIx64 "\n",
			i + 1, names[log_[i].op], log_[i].off, log_[i].len);
	snprintf(to, sizeof(to), "%s/%s.fsxops", getenv("TMPDIR") ?: "/tmp",
		 base ? base + 1 : path);
	dump_log(to);
	fprintf(stderr, "fsx: all of them are in %s\n", to);
	exit(1);
}

static void compare(const char *what, const char *got, size_t off, size_t len)
{
	size_t i, last;

	if (!memcmp(got, model + off, len))
		return;
	for (i = 0; got[i] == model[off + i]; i++)
		;
	for (last = len - 1; got[last] == model[off + last]; last--)
		;
	give_up("%s: bytes %#zx to %#zx differ: %#x, not %#x; block %zu", what,
		off + i, off + last, (unsigned char)got[i],
		(unsigned char)model[off + i], (size_t)((off + i) / bs));
}

static void check_size(void)
{
	struct stat st;

	if (fstat(fd, &st) || (size_t)st.st_size != size)
		give_up("size %#llx, not %#zx", (long long)st.st_size, size);
}

static void need(bool ok, const char *what)
{
	if (!ok)
		give_up("%s: %s", what, strerror(errno));
}

static char *map_range(size_t off, size_t len, size_t *skip)
{
	size_t from = off & ~4095ul;
	char *m = mmap(NULL, off + len - from, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, (off_t)from);

	need(m != MAP_FAILED, "mmap");
	*skip = off - from;
	return m;
}

/* Zeros appear between the old end and the new one. */
static void grow(size_t to)
{
	if (to <= size)
		return;
	memset(model + size, 0, to - size);
	size = to;
}

static void do_map(const struct step *s, size_t off, size_t len, bool write)
{
	size_t skip, end = off + len, tail;
	char *m;

	if (write && end > size) {
		need(!ftruncate(fd, (off_t)end), "ftruncate");
		grow(end);
	}
	m = map_range(off, len, &skip);
	if (write) {
		kvt_fill(m + skip, len, s->arg, 0);
		memcpy(model + off, m + skip, len);
		tail = -end & 4095;
		/* What lies behind the end is nobody's and must stay so. */
		if (tail_ok && end == size && tail && s->arg & 1)
			memset(m + skip + len, 0xee, tail);
		if (s->arg & 2)
			need(!msync(m, skip + len, MS_SYNC), "msync");
	} else {
		compare("mapread", m + skip, off, len);
	}
	munmap(m, skip + len);
}

static void do_copy(const struct step *s, size_t off, size_t len)
{
	size_t to = s->arg % max_len;
	off_t from = (off_t)off, dst;

	if (to + len > max_len)
		to = max_len - len;
	if (!len || (to < off + len && off < to + len))
		return;
	dst = (off_t)to;
	for (size_t left = len; left;) {
		ssize_t n = copy_file_range(fd, &from, fd, &dst, left, 0);

		if (n < 0 && (errno == EINVAL || errno == EOPNOTSUPP) &&
		    left == len)
			return;
		need(n > 0, "copy_file_range");
		left -= (size_t)n;
	}
	grow(to + len);
	memmove(model + to, model + off, len);
}

static void play(const struct step *s)
{
	size_t off = s->off, len = s->len;
	int mode;

	counts[s->op]++;
	switch (s->op) {
	case READ:
	case MAPREAD:
	case COPY:
		if (off >= size)
			return;
		if (off + len > size)
			len = size - off;
		if (s->op == READ) {
			need(kvt_pread(fd, tmp, len, (off_t)off) ==
				     (ssize_t)len,
			     "read");
			compare("read", tmp, off, len);
		} else if (s->op == COPY) {
			do_copy(s, off, len);
		} else if (len) {
			do_map(s, off, len, false);
		}
		break;
	case APPEND:
		off = size;
		if (off + len > max_len)
			len = max_len - off;
		/* fall through */
	case WRITE:
		if (!len)
			return;
		kvt_fill(tmp, len, s->arg, 0);
		need(kvt_pwrite(fd, tmp, len, (off_t)off) == (ssize_t)len,
		     "write");
		grow(off + len);
		memcpy(model + off, tmp, len);
		break;
	case MAPWRITE:
		if (len)
			do_map(s, off, len, true);
		break;
	case TRUNCATE:
		need(!ftruncate(fd, (off_t)off), "truncate");
		if (off > size)
			grow(off);
		size = off;
		break;
	case PUNCH:
	case ZERO:
		if (!len || (s->op == ZERO && !zero_ok))
			return;
		mode = s->op == PUNCH || s->arg & 1 ? FALLOC_FL_KEEP_SIZE : 0;
		mode |= s->op == PUNCH ? FALLOC_FL_PUNCH_HOLE
				       : FALLOC_FL_ZERO_RANGE;
		if (fallocate(fd, mode, (off_t)off, (off_t)len)) {
			if (s->op == ZERO && errno == EOPNOTSUPP) {
				zero_ok = false;
				return;
			}
			need(false, names[s->op]);
		}
		if (!(mode & FALLOC_FL_KEEP_SIZE))
			grow(off + len);
		if (off < size)
			memset(model + off, 0,
			       off + len > size ? size - off : len);
		break;
	case FALLOC:
		if (!len)
			return;
		mode = s->arg & 1 ? FALLOC_FL_KEEP_SIZE : 0;
		need(!fallocate(fd, mode, (off_t)off, (off_t)len), "fallocate");
		if (!mode)
			grow(off + len);
		break;
	case REOPEN:
		close(fd);
		fd = open(path, O_RDWR);
		need(fd >= 0, "open");
		break;
	case DONTNEED:
	case WILLNEED:
		posix_fadvise(fd, (off_t)off, (off_t)len,
			      s->op == DONTNEED ? POSIX_FADV_DONTNEED
						: POSIX_FADV_WILLNEED);
		break;
	case DEMOTE:
	case PREFETCH:
		if (kvl)
			kvt_range(fd,
				  s->op == DEMOTE ? KVLIFT_IOC_DEMOTE
						  : KVLIFT_IOC_PREFETCH,
				  off / bs, len / bs + 1, NULL);
		break;
	case FSYNC:
		need(!fsync(fd), "fsync");
		break;
	case NOPS:
		break;
	}
	check_size();
}

static struct step choose(void)
{
	unsigned int total = 0, at;
	struct step s = { .op = READ };
	uint64_t edge;

	for (int i = 0; i < NOPS; i++)
		total += weights[i];
	at = (unsigned int)kvt_rand_below(&rnd, total);
	while (at >= weights[s.op])
		at -= weights[s.op++];
	s.off = kvt_rand_below(&rnd, max_len);
	s.len = kvt_rand_below(&rnd, kvt_rand_below(&rnd, 4) ? 8192 : 2 * bs);
	s.arg = kvt_rand(&rnd) >> 8;
	/* Near the edges of pages and blocks is where things go wrong. */
	edge = kvt_rand_below(&rnd, 8);
	if (edge < 2)
		s.off &= ~4095ul;
	else if (edge < 4)
		s.off = s.off / bs * bs;
	else if (edge == 4 && s.off > 1)
		s.off = (s.off & ~4095ul) - (s.off > 4095);
	if (edge == 5)
		s.len = (s.len + bs) / bs * bs;
	if (s.off + s.len > max_len)
		s.len = max_len - s.off;
	/* Without this the file would be short most of the time. */
	if (s.op == TRUNCATE && kvt_rand_below(&rnd, 3))
		s.off = max_len - s.off / 4;
	return s;
}

static size_t replay(const char *from)
{
	FILE *f = fopen(from, "r");
	char name[32];
	struct step s;

	if (!f)
		kvt_die("%s: %s", from, strerror(errno));
	while (fscanf(f, "%31s %" SCNu64 " %" SCNu64 " %" SCNu64, name, &s.off,
		      &s.len, &s.arg) == 4) {
		for (s.op = READ; s.op < NOPS; s.op++)
			if (!strcmp(name, names[s.op]))
				break;
		log_ = realloc(log_, (nlog + 1) * sizeof(*log_));
		log_[nlog++] = s;
		play(&s);
	}
	fclose(f);
	return nlog;
}

static void read_all(void)
{
	need(kvt_pread(fd, tmp, size, 0) == (ssize_t)size, "read");
	compare("final read", tmp, 0, size);
}

int main(int argc, char **argv)
{
	const char *out = NULL, *in = NULL;
	uint64_t nops = 1000, seed = 1, end = 0;
	int opt;

	while ((opt = getopt(argc, argv, "N:l:s:t:o:r:T")) != -1) {
		switch (opt) {
		case 'N':
			nops = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			max_len = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			end = kvt_now_ns() +
			      strtoull(optarg, NULL, 0) * 1000000000u;
			break;
		case 'o':
			out = optarg;
			break;
		case 'r':
			in = optarg;
			break;
		case 'T':
			/* tmpfs keeps what was stored behind the end. */
			tail_ok = false;
			break;
		default:
			kvt_die("usage: fsx FILE [-N] [-l] [-s] [-t] [-o] [-r]");
		}
	}
	path = argv[optind];
	if (!path)
		kvt_die("usage: fsx FILE [-N] [-l] [-s] [-t] [-o] [-r]");
	rnd = seed * 0x9e3779b97f4a7c15u + 1;
	model = calloc(1, max_len + 4096);
	tmp = malloc(max_len + 4096);
	log_ = malloc((nops + 1) * sizeof(*log_));
	if (!model || !tmp || !log_)
		kvt_die("no memory");
	fd = MUST(open(path, O_CREAT | O_TRUNC | O_RDWR, 0600));
	kvl = kvt_is_kvlift(fd);
	if (kvl) {
		struct kvlift_info info;

		MUST(kvt_info(fd, &info));
		bs = info.block_size;
	}
	if (in) {
		nops = replay(in);
	} else {
		uint64_t n;

		for (n = 0; n < nops && (!end || kvt_now_ns() < end); n++) {
			log_[nlog++] = choose();
			play(&log_[nlog - 1]);
			if (n % 1000 == 999)
				read_all();
		}
		nops = n;
	}
	read_all();
	if (out)
		dump_log(out);
	close(fd);
	unlink(path);
	printf("fsx: seed %" PRIu64 ", block %" PRIu64 ", %" PRIu64
	       " operations:",
	       seed, bs, nops);
	for (int i = 0; i < NOPS; i++)
		printf(" %s %" PRIu64, names[i], counts[i]);
	printf("\n");
	return 0;
}
