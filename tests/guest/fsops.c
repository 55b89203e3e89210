// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Names and attributes: what POSIX and Linux say of directories, links,
 * renames, permissions, times and extended attributes. Contents are in
 * fsdata.c. Runs on any file system, so that it can be told from tmpfs.
 *
 *	fsops DIR [TEST...]
 */
#include "fstest.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define NOBODY 1234
#define GROUP  4321

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE	 (1 << 1)
#endif

static struct stat st_of(const char *path)
{
	struct stat st;

	memset(&st, 0, sizeof(st));
	OK(lstat(path, &st));
	return st;
}

static void put(const char *path, const char *text)
{
	int fd = MUST(open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644));

	IS(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void expect(const char *path, const char *text)
{
	char buf[256] = "";
	int fd = OK(open(path, O_RDONLY));

	if (fd < 0)
		return;
	IS(read(fd, buf, sizeof(buf) - 1), strlen(text));
	CHECK(!strcmp(buf, text), "%s: \"%s\", not \"%s\"", path, buf, text);
	close(fd);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec ||
	       (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Coarse clocks tick every 4 ms or so. */
static void tick(void)
{
	kvt_msleep(25);
}

static void become(uid_t uid, gid_t gid)
{
	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(setresgid(gid, gid, gid));
	MUST(setresuid(uid, uid, uid));
}

static void t_create(void)
{
	char name[300];
	int fd;

	ERR(open("no", O_RDWR), ENOENT);
	fd = OK(open("f", O_CREAT | O_EXCL | O_RDWR, 0640));
	IS(st_of("f").st_mode, S_IFREG | 0640);
	IS(st_of("f").st_size, 0);
	IS(st_of("f").st_nlink, 1);
	IS(write(fd, "hello", 5), 5);
	IS(close(fd), 0);
	ERR(open("f", O_CREAT | O_EXCL | O_RDWR, 0640), EEXIST);
	ERR(open("f", O_DIRECTORY), ENOTDIR);
	ERR(open("f/x", O_RDONLY), ENOTDIR);
	fd = OK(open("f", O_WRONLY | O_APPEND));
	IS(lseek(fd, 0, SEEK_SET), 0);
	IS(write(fd, " you", 4), 4);
	IS(pwrite(fd, "!", 1, 0), 1); /* Linux appends here, too */
	close(fd);
	expect("f", "hello you!");
	fd = OK(open("f", O_WRONLY | O_TRUNC));
	close(fd);
	IS(st_of("f").st_size, 0);

	/* A file without a name gets one. */
	fd = OK(open(".", O_TMPFILE | O_RDWR, 0600));
	if (fd >= 0) {
		char proc[64];
		struct stat st;

		IS(write(fd, "tmp", 3), 3);
		OK(fstat(fd, &st));
		IS(st.st_nlink, 0);
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		OK(linkat(AT_FDCWD, proc, AT_FDCWD, "named",
			  AT_SYMLINK_FOLLOW));
		OK(fstat(fd, &st));
		IS(st.st_nlink, 1);
		close(fd);
		expect("named", "tmp");
		OK(unlink("named"));
		fd = OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		ERR(linkat(AT_FDCWD, proc, AT_FDCWD, "named",
			   AT_SYMLINK_FOLLOW),
		    ENOENT);
		close(fd);
	}
	ERR(open(".", O_RDWR), EISDIR);
	ERR(open(".", O_CREAT | O_RDWR, 0600), EISDIR);

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	ERR(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
	ERR(mkdir(name, 0700), ENAMETOOLONG);
	name[255] = 0;
	fd = OK(open(name, O_CREAT | O_RDWR, 0600));
	close(fd);
	OK(unlink(name));
	put("\001 \n\377*", "odd");
	expect("\001 \n\377*", "odd");
	OK(unlink("\001 \n\377*"));
	put("Case", "1");
	put("case", "2");
	expect("Case", "1");
	OK(unlink("Case"));
	OK(unlink("case"));
	ERR(unlink("case"), ENOENT);
	ERR(open("f/", O_RDONLY), ENOTDIR);
	OK(unlink("f"));
}

static void t_mkdir(void)
{
	char path[2048] = ".";

	OK(mkdir("d", 0751));
	IS(st_of("d").st_mode, S_IFDIR | 0751);
	IS(st_of("d").st_nlink, 2);
	ERR(mkdir("d", 0700), EEXIST);
	OK(mkdir("d/s", 0700));
	IS(st_of("d").st_nlink, 3);
	ERR(rmdir("d"), ENOTEMPTY);
	ERR(unlink("d"), EISDIR);
	put("d/f", "x");
	ERR(rmdir("d/f"), ENOTDIR);
	OK(rmdir("d/s"));
	IS(st_of("d").st_nlink, 2);
	ERR(rmdir("d"), ENOTEMPTY);
	OK(unlink("d/f"));
	ERR(rmdir("d/."), EINVAL);
	OK(rmdir("d"));
	ERR(rmdir("d"), ENOENT);
	ERR(mkdir("no/d", 0700), ENOENT);

	/* Deep, and a directory that is gone under its user. */
	for (int i = 0; i < 60; i++) {
		strcat(path, "/deep");
		OK(mkdir(path, 0700));
	}
	for (int i = 0; i < 60; i++) {
		OK(rmdir(path));
		path[strlen(path) - 5] = 0;
	}
	IN_CHILD(MUST(mkdir("gone", 0700)); MUST(chdir("gone"));
		 OK(rmdir("../gone"));
		 ERR(open("f", O_CREAT | O_RDWR, 0600), ENOENT);
		 ERR(mkdir("d", 0700), ENOENT));
}

static int ren2(const char *a, const char *b, unsigned int flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void t_rename(void)
{
	struct stat st;
	ino_t a, b;
	int fd;

	put("a", "aa");
	put("b", "bb");
	a = st_of("a").st_ino;
	fd = MUST(open("b", O_RDONLY));
	OK(rename("a", "b"));
	ERR(lstat("a", &st), ENOENT);
	IS(st_of("b").st_ino, a);
	expect("b", "aa");
	OK(fstat(fd, &st)); /* the one that was replaced */
	IS(st.st_nlink, 0);
	IS(st.st_size, 2);
	close(fd);
	OK(rename("b", "b"));
	expect("b", "aa");
	ERR(rename("no", "b"), ENOENT);

	/* Two names of one file: nothing happens. */
	OK(link("b", "b2"));
	OK(rename("b", "b2"));
	IS(st_of("b").st_nlink, 2);
	OK(unlink("b2"));

	OK(mkdir("d", 0755));
	OK(mkdir("e", 0755));
	ERR(rename("b", "d"), EISDIR);
	ERR(rename("d", "b"), ENOTDIR);
	OK(mkdir("d/s", 0755));
	ERR(rename("e", "d"), ENOTEMPTY);
	ERR(rename("d", "d/s/x"), EINVAL);
	ERR(rename("d", "d/s"), EINVAL);
	IS(st_of("d").st_nlink, 3);
	IS(st_of("e").st_nlink, 2);
	OK(rename("d/s", "e/s")); /* between parents */
	IS(st_of("d").st_nlink, 2);
	IS(st_of("e").st_nlink, 3);
	IN_CHILD(MUST(chdir("e/s")); OK(stat("..", &st));
		 IS(st.st_ino, st_of("../../e").st_ino));
	OK(rename("e", "d")); /* over an empty one */
	ERR(lstat("e", &st), ENOENT);
	IS(st_of("d").st_nlink, 3);
	OK(rename("b", "d/b"));
	expect("d/b", "aa");

	put("c", "cc");
	ERR(ren2("c", "d/b", RENAME_NOREPLACE), EEXIST);
	OK(ren2("c", "d/c", RENAME_NOREPLACE));
	expect("d/c", "cc");
	a = st_of("d/c").st_ino;
	b = st_of("d/s").st_ino;
	put("x", "xx");
	OK(mkdir("y", 0755));
	put("y/in", "in");
	OK(ren2("x", "d/b", RENAME_EXCHANGE));
	expect("x", "aa");
	expect("d/b", "xx");
	IS(st_of(".").st_nlink, 2 + 2);
	IS(st_of("d").st_nlink, 3);
	OK(ren2("x", "d/s", RENAME_EXCHANGE)); /* a file for a directory */
	IS(st_of("x").st_ino, b);
	CHECK(S_ISDIR(st_of("x").st_mode));
	expect("d/s", "aa");
	IS(st_of("d").st_nlink, 2);
	IS(st_of(".").st_nlink, 2 + 3);
	OK(ren2("d", "y", RENAME_EXCHANGE));
	expect("y/s", "aa");
	expect("d/in", "in");
	ERR(ren2("x", "nowhere", RENAME_EXCHANGE), ENOENT);
	ERR(ren2("x", "y", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	IS(st_of("y/c").st_ino, a);

	/* Times of the parents. */
	st = st_of("y");
	tick();
	OK(rename("y/c", "d/c"));
	CHECK(later(st_of("y").st_mtim, st.st_mtim));
	CHECK(later(st_of("d").st_ctim, st.st_mtim));
	OK(unlink("d/c"));
	OK(unlink("d/in"));
	OK(unlink("y/s"));
	OK(unlink("y/b"));
	OK(rmdir("x"));
	OK(rmdir("y"));
	OK(rmdir("d"));
}

static void t_link(void)
{
	char buf[5000], target[4096];
	struct stat st;
	int fd;

	put("f", "data");
	OK(link("f", "g"));
	IS(st_of("f").st_nlink, 2);
	IS(st_of("f").st_ino, st_of("g").st_ino);
	ERR(link("f", "g"), EEXIST);
	ERR(link("no", "h"), ENOENT);
	OK(mkdir("d", 0755));
	ERR(link("d", "e"), EPERM);
	OK(link("f", "d/h"));
	OK(unlink("f"));
	IS(st_of("g").st_nlink, 2);
	expect("d/h", "data");
	fd = MUST(open("g", O_RDWR));
	OK(unlink("g"));
	OK(unlink("d/h"));
	OK(fstat(fd, &st));
	IS(st.st_nlink, 0);
	IS(pwrite(fd, "DA", 2, 0), 2);
	IS(pread(fd, buf, 10, 0), 4);
	CHECK(!memcmp(buf, "DAta", 4));
	close(fd);

	OK(symlink("d", "l"));
	IS(st_of("l").st_size, 1);
	CHECK(S_ISLNK(st_of("l").st_mode));
	OK(stat("l", &st));
	CHECK(S_ISDIR(st.st_mode));
	IS(readlink("l", buf, sizeof(buf)), 1);
	ERR(open("l", O_NOFOLLOW | O_RDONLY), ELOOP);
	ERR(rmdir("l"), ENOTDIR);
	OK(unlink("l"));
	memset(target, 't', sizeof(target));
	target[4095] = 0;
	OK(symlink(target, "long"));
	IS(readlink("long", buf, sizeof(buf)), 4095);
	CHECK(!memcmp(buf, target, 4095));
	IS(readlink("long", buf, 10), 10);
	OK(unlink("long"));
	OK(symlink("loop", "loop"));
	ERR(open("loop", O_RDONLY), ELOOP);
	OK(unlink("loop"));
	OK(symlink("nothing", "dangling"));
	ERR(open("dangling", O_RDONLY), ENOENT);
	ERR(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	fd = OK(open("dangling", O_CREAT | O_RDWR, 0600));
	close(fd);
	IS(st_of("nothing").st_size, 0);
	OK(unlink("nothing"));
	OK(unlink("dangling"));
	ERR(readlink("d", buf, sizeof(buf)), EINVAL);
	OK(rmdir("d"));
}

static void t_special(void)
{
	int r, w, fd;
	char c = 0;

	OK(mkfifo("fifo", 0600));
	CHECK(S_ISFIFO(st_of("fifo").st_mode));
	r = OK(open("fifo", O_RDONLY | O_NONBLOCK));
	w = OK(open("fifo", O_WRONLY));
	IS(write(w, "z", 1), 1);
	IS(read(r, &c, 1), 1);
	IS(c, 'z');
	close(r);
	close(w);
	OK(unlink("fifo"));
	OK(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	IS(st_of("null").st_rdev, makedev(1, 3));
	OK(unlink("null"));
	OK(mknod("sock", S_IFSOCK | 0600, 0));
	OK(unlink("sock"));
	OK(mknod("reg", S_IFREG | 0600, 0));
	CHECK(S_ISREG(st_of("reg").st_mode));
	fd = MUST(open("reg", O_RDWR));
	OK(flock(fd, LOCK_EX));
	r = MUST(open("reg", O_RDWR));
	ERR(flock(r, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(fd, LOCK_UN));
	OK(flock(r, LOCK_EX | LOCK_NB));
	close(r);
	OK(fcntl(fd, F_SETLEASE, F_WRLCK));
	close(fd);
	OK(unlink("reg"));
}

static void perm_child(void)
{
	struct stat st;
	int fd;

	become(NOBODY, GROUP);
	ERR(open("secret", O_RDONLY), EACCES);
	ERR(open("public", O_RDWR), EACCES);
	ERR(truncate("public", 0), EACCES);
	fd = OK(open("public", O_RDONLY));
	ERR(ftruncate(fd, 0), EINVAL);
	IS((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
	   -1);
	close(fd);
	ERR(open("new", O_CREAT | O_RDWR, 0600), EACCES);
	ERR(mkdir("newd", 0700), EACCES);
	ERR(unlink("public"), EACCES);
	ERR(rename("public", "p2"), EACCES);
	ERR(symlink("x", "y"), EACCES);
	ERR(chmod("public", 0777), EPERM);
	ERR(chown("public", NOBODY, GROUP), EPERM);
	ERR(utimensat(AT_FDCWD, "public", NULL, 0), EACCES);
	ERR(access("secret", R_OK), EACCES);
	ERR(open("closed/f", O_RDONLY), EACCES);
	ERR(opendir("closed") ? 0 : -1, EACCES);
	ERR(mknod("dev", S_IFCHR | 0600, makedev(1, 3)), EACCES);

	/* The sticky bit. */
	ERR(unlink("sticky/root"), EPERM);
	ERR(rename("sticky/root", "sticky/x"), EPERM);
	fd = OK(open("sticky/mine", O_CREAT | O_RDWR, 06777));
	OK(fstat(fd, &st));
	IS(st.st_uid, NOBODY);
	IS(st.st_gid, GROUP);
	/* Own file, own rights; a write takes setuid away. */
	OK(fchmod(fd, 06755));
	OK(fstat(fd, &st));
	IS(st.st_mode & 07777, 06755);
	IS(write(fd, "x", 1), 1);
	OK(fstat(fd, &st));
	IS(st.st_mode & 07777, 0755);
	OK(fchmod(fd, 06755));
	OK(ftruncate(fd, 100));
	OK(fstat(fd, &st));
	IS(st.st_mode & 07777, 0755);
	ERR(fchown(fd, 0, 0), EPERM);
	ERR(fchown(fd, NOBODY, 0), EPERM);
	/* Not a member of that group: no setgid for it. */
	OK(fchmod(fd, 0000));
	ERR(open("sticky/mine", O_RDWR), EACCES);
	close(fd);
	OK(unlink("sticky/mine"));

	/* A setgid directory hands its group down. */
	fd = OK(open("sgid/f", O_CREAT | O_RDWR, 0666));
	OK(fstat(fd, &st));
	IS(st.st_gid, 777);
	close(fd);
	OK(mkdir("sgid/d", 0755));
	IS(st_of("sgid/d").st_gid, 777);
	IS(st_of("sgid/d").st_mode & 07777, 02755);
	/* Executable for a group one is not in: setgid is dropped. */
	fd = OK(open("sgid/g", O_CREAT | O_RDWR, 02775));
	OK(fstat(fd, &st));
	IS(st.st_mode & S_ISGID, 0);
	close(fd);
	OK(unlink("sgid/g"));
}

static void t_perm(void)
{
	struct stat st;
	int fd;

	umask(0);
	put("secret", "s");
	OK(chmod("secret", 0600));
	put("public", "p");
	OK(mkdir("closed", 0700));
	put("closed/f", "c");
	OK(mkdir("sticky", 01777));
	put("sticky/root", "r");
	OK(mkdir("sgid", 0777));
	OK(chown("sgid", 0, 777));
	OK(chmod("sgid", 02777));
	IN_CHILD(perm_child());
	expect("public", "p");

	/* chown takes setuid away, even for root when it is a regular file. */
	OK(chmod("public", 06755));
	OK(chown("public", 5, 6));
	st = st_of("public");
	IS(st.st_uid, 5);
	IS(st.st_gid, 6);
	IS(st.st_mode & 07777, 0755);
	OK(chown("public", -1, 7));
	IS(st_of("public").st_uid, 5);
	IS(st_of("public").st_gid, 7);
	umask(027);
	fd = OK(open("masked", O_CREAT | O_RDWR, 0777));
	close(fd);
	IS(st_of("masked").st_mode & 0777, 0750);
	umask(022);
	/* Open before the rights went. */
	fd = MUST(open("masked", O_RDWR));
	OK(chmod("masked", 0));
	IS(write(fd, "ok", 2), 2);
	close(fd);
	OK(unlink("masked"));
	OK(unlink("secret"));
	OK(unlink("public"));
	OK(unlink("closed/f"));
	OK(rmdir("closed"));
	OK(unlink("sticky/root"));
	OK(rmdir("sticky"));
	OK(unlink("sgid/f"));
	OK(rmdir("sgid/d"));
	OK(rmdir("sgid"));
}

static void t_times(void)
{
	struct timespec ts[2] = { { 1000000001, 123456789 },
				  { 1500000000, 987654321 } };
	struct stat a, b;
	char *m;
	int fd;

	put("f", "0123456789");
	fd = MUST(open("f", O_RDWR));
	a = st_of("f");
	tick();
	IS(write(fd, "x", 1), 1);
	b = st_of("f");
	CHECK(later(b.st_mtim, a.st_mtim), "write left mtime");
	CHECK(later(b.st_ctim, a.st_ctim), "write left ctime");
	a = b;
	tick();
	OK(chmod("f", 0600));
	b = st_of("f");
	CHECK(later(b.st_ctim, a.st_ctim), "chmod left ctime");
	CHECK(same_time(b.st_mtim, a.st_mtim), "chmod changed mtime");
	a = b;
	tick();
	OK(ftruncate(fd, 5));
	b = st_of("f");
	CHECK(later(b.st_mtim, a.st_mtim), "truncate left mtime");
	a = b;
	tick();
	OK(link("f", "g"));
	b = st_of("f");
	CHECK(later(b.st_ctim, a.st_ctim), "link left ctime");
	CHECK(same_time(b.st_mtim, a.st_mtim), "link changed mtime");
	a = b;
	tick();
	OK(unlink("g"));
	CHECK(later(st_of("f").st_ctim, a.st_ctim), "unlink left ctime");
	a = st_of("f");
	tick();
	OK(rename("f", "g"));
	CHECK(later(st_of("g").st_ctim, a.st_ctim), "rename left ctime");
	OK(rename("g", "f"));

	OK(utimensat(AT_FDCWD, "f", ts, 0));
	b = st_of("f");
	CHECK(same_time(b.st_atim, ts[0]), "atime %ld.%09ld", b.st_atim.tv_sec,
	      b.st_atim.tv_nsec);
	CHECK(same_time(b.st_mtim, ts[1]), "mtime %ld.%09ld", b.st_mtim.tv_sec,
	      b.st_mtim.tv_nsec);
	ts[0].tv_nsec = UTIME_OMIT;
	ts[1].tv_nsec = UTIME_NOW;
	OK(futimens(fd, ts));
	CHECK(same_time(st_of("f").st_atim, b.st_atim));
	CHECK(later(st_of("f").st_mtim, b.st_mtim));

	/* A store through a mapping counts at msync at the latest. */
	OK(ftruncate(fd, 8192));
	m = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	a = st_of("f");
	tick();
	m[4096] = 1;
	OK(msync(m, 8192, MS_SYNC));
	CHECK(later(st_of("f").st_mtim, a.st_mtim), "store left mtime");
	munmap(m, 8192);
	a = st_of("f");
	tick();
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	CHECK(later(st_of("f").st_ctim, a.st_ctim), "punch left ctime");
	close(fd);

	OK(mkdir("d", 0755));
	a = st_of("d");
	tick();
	put("d/f", "");
	b = st_of("d");
	CHECK(later(b.st_mtim, a.st_mtim), "create left its parent's mtime");
	CHECK(later(b.st_ctim, a.st_ctim), "create left its parent's ctime");
	tick();
	OK(unlink("d/f"));
	CHECK(later(st_of("d").st_mtim, b.st_mtim),
	      "unlink left its parent's mtime");
	b = st_of("d");
	tick();
	OK(symlink("x", "d/l"));
	CHECK(later(st_of("d").st_mtim, b.st_mtim));
	OK(unlink("d/l"));
	OK(rmdir("d"));
	OK(unlink("f"));
}

#define NFILES 600

static void t_readdir(void)
{
	static unsigned char seen[NFILES];
	struct dirent *e;
	char name[32];
	long where = -1;
	int n = 0, fd;
	DIR *d;

	OK(mkdir("many", 0755));
	MUST(chdir("many"));
	for (int i = 0; i < NFILES; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		fd = MUST(open(name, O_CREAT | O_RDWR, 0600));
		close(fd);
	}
	MUST(mkdir("dir", 0700));
	d = opendir(".");
	if (!d)
		kvt_die("opendir");
	memset(seen, 0, sizeof(seen));
	while ((e = readdir(d))) {
		int i;

		n++;
		if (!strcmp(e->d_name, "dir"))
			IS(e->d_type, DT_DIR);
		if (sscanf(e->d_name, "file-%d", &i) != 1)
			continue;
		IS(e->d_type, DT_REG);
		CHECK(i >= 0 && i < NFILES && !seen[i], "%s twice", e->d_name);
		seen[i] = 1;
		if (n == NFILES / 2)
			where = telldir(d);
	}
	IS(n, NFILES + 3); /* with . .. dir */
	seekdir(d, where);
	for (n = 0; readdir(d); n++)
		;
	CHECK(n >= NFILES / 2 && n < NFILES / 2 + 4, "%d after seekdir", n);

	/* Delete while reading, as rm -r does: each is met just once. */
	rewinddir(d);
	n = 0;
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "file-", 5)) {
			OK(unlink(e->d_name));
			n++;
		}
	IS(n, NFILES);
	closedir(d);
	OK(rmdir("dir"));
	MUST(chdir(".."));
	OK(rmdir("many"));
}

static void t_statfs(void)
{
	struct statfs a, b;
	struct stat st;
	char buf[65536];
	int fd, fd2;

	OK(statfs(".", &a));
	IS(a.f_namelen, 255);
	CHECK(a.f_blocks > 0 && a.f_bfree <= a.f_blocks &&
	      a.f_bavail <= a.f_bfree);
	if (kvl)
		IS((uint32_t)a.f_type, KVLIFT_SUPER_MAGIC);
	fd = MUST(open("f", O_CREAT | O_RDWR, 0600));
	fd2 = MUST(open("f2", O_CREAT | O_RDWR, 0600));
	CHECK(st_of("f").st_ino != st_of("f2").st_ino);
	CHECK(st_of("f").st_blksize >= 512);
	memset(buf, 1, sizeof(buf));
	for (int i = 0; i < 64; i++)
		IS(kvt_pwrite(fd, buf, sizeof(buf), i * 65536l), 65536);
	OK(fsync(fd));
	OK(fstat(fd, &st));
	CHECK(st.st_blocks * 512 >= 4 << 20, "%ld blocks", (long)st.st_blocks);
	OK(statfs(".", &b));
	CHECK((a.f_bfree - b.f_bfree) * (uint64_t)b.f_bsize >= 3 << 20,
	      "4 MiB took %llu blocks of %ld",
	      (unsigned long long)(a.f_bfree - b.f_bfree), (long)b.f_bsize);
	close(fd);
	close(fd2);
	OK(unlink("f"));
	OK(unlink("f2"));
	if (kvl) {
		for (int i = 0; i < 100; i++) {
			OK(statfs(".", &b));
			if (b.f_bfree == a.f_bfree)
				break;
			kvt_msleep(20);
		}
		IS(b.f_bfree, a.f_bfree);
	}
}

static void t_xattr(void)
{
	static char big[65537], list[70000];
	char v[256];
	struct stat st;
	ssize_t n;
	int fd;

	put("f", "x");
	OK(mkdir("d", 0755));
	OK(symlink("f", "l"));
	ERR(getxattr("f", "user.a", v, sizeof(v)), ENODATA);
	ERR(removexattr("f", "user.a"), ENODATA);
	OK(setxattr("f", "user.a", "1234", 4, 0));
	IS(getxattr("f", "user.a", NULL, 0), 4);
	IS(getxattr("f", "user.a", v, sizeof(v)), 4);
	CHECK(!memcmp(v, "1234", 4));
	ERR(getxattr("f", "user.a", v, 3), ERANGE);
	ERR(setxattr("f", "user.a", "5", 1, XATTR_CREATE), EEXIST);
	ERR(setxattr("f", "user.b", "5", 1, XATTR_REPLACE), ENODATA);
	OK(setxattr("f", "user.a", "56", 2, XATTR_REPLACE));
	IS(getxattr("f", "user.a", v, sizeof(v)), 2);
	OK(setxattr("f", "user.empty", "", 0, XATTR_CREATE));
	IS(getxattr("f", "user.empty", v, sizeof(v)), 0);
	OK(setxattr("f", "trusted.t", "T", 1, 0));
	ERR(setxattr("f", "nonsense.x", "1", 1, 0), EOPNOTSUPP);
	ERR(setxattr("f", "user.", "1", 1, 0), EINVAL);
	n = OK(listxattr("f", list, sizeof(list)));
	if (n > 0) {
		CHECK(memmem(list, (size_t)n, "user.a", 7) &&
			      memmem(list, (size_t)n, "user.empty", 11) &&
			      memmem(list, (size_t)n, "trusted.t", 10),
		      "list");
		IS(listxattr("f", NULL, 0), n);
		ERR(listxattr("f", list, (size_t)n - 1), ERANGE);
	}
	/* Others see no trusted ones and set none. */
	OK(chmod("f", 0644));
	IN_CHILD(become(NOBODY, GROUP);
		 n = OK(listxattr("f", list, sizeof(list)));
		 CHECK(n < 0 || !memmem(list, (size_t)n, "trusted.t", 10));
		 ERR(getxattr("f", "trusted.t", v, sizeof(v)), ENODATA);
		 IS(getxattr("f", "user.a", v, sizeof(v)), 2);
		 ERR(setxattr("f", "user.z", "1", 1, 0), EACCES));
	ERR(lsetxattr("l", "user.a", "1", 1, 0), EPERM);
	OK(setxattr("d", "user.dir", "1", 1, 0));
	IS(getxattr("d", "user.dir", v, sizeof(v)), 1);

	st = st_of("f");
	tick();
	OK(removexattr("f", "user.a"));
	CHECK(later(st_of("f").st_ctim, st.st_ctim), "removexattr left ctime");
	ERR(getxattr("f", "user.a", v, sizeof(v)), ENODATA);
	fd = MUST(open("f", O_RDWR));
	OK(fsetxattr(fd, "user.fd", "1", 1, 0));
	IS(fgetxattr(fd, "user.fd", v, sizeof(v)), 1);
	OK(fremovexattr(fd, "user.fd"));
	close(fd);

	memset(big, 'B', sizeof(big));
	ERR(setxattr("f", "user.big", big, 65537, 0), E2BIG);
	OK(setxattr("f", "user.big", big, 32768, 0));
	IS(getxattr("f", "user.big", list, sizeof(list)), 32768);
	CHECK(!memcmp(list, big, 32768));
	if (kvl) {
		/* 64 KiB an inode in all, and what fails changes nothing. */
		int i;

		for (i = 0; i < 100; i++) {
			snprintf(v, sizeof(v), "user.fill%d", i);
			if (setxattr("f", v, big, 4096, 0))
				break;
		}
		CHECK(i >= 4 && i <= 8 &&
			      (errno == ENOSPC || errno == E2BIG ||
			       errno == EDQUOT),
		      "%d more, %s", i, strerror(errno));
		IS(getxattr("f", "user.fill0", list, sizeof(list)), 4096);
		CHECK(setxattr("f", "user.fill0", big, 60000, 0) == -1);
		IS(getxattr("f", "user.fill0", list, sizeof(list)), 4096);
		OK(setxattr("f", "user.fill0", big, 1, 0));
		OK(setxattr("f", v, big, 2000, 0));
	}
	OK(unlink("l"));
	OK(rmdir("d"));
	OK(unlink("f"));
}

static const struct fstest tests[] = {
	{ "create", t_create },	  { "mkdir", t_mkdir },
	{ "rename", t_rename },	  { "link", t_link },
	{ "special", t_special }, { "perm", t_perm },
	{ "times", t_times },	  { "readdir", t_readdir },
	{ "statfs", t_statfs },	  { "xattr", t_xattr },
};

int main(int argc, char **argv)
{
	close(fst_start("fsops", argc, argv));
	umask(022);
	return fst_run(tests, sizeof(tests) / sizeof(tests[0]));
}
