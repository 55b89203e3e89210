// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An id-mapped mount, as containers use it: owners are translated both ways,
 * rights are those of the translated owner, and mappings work.
 *
 *	idmap DIR SCRATCH	SCRATCH becomes the mapped view of DIR
 */
#include "kvltest.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#define BASE 10000 /* on disk 0.. is 10000.. in the view */

static int userns(void)
{
	char path[64], map[64];
	int go[2], fd;
	pid_t pid;

	MUST(pipe(go));
	pid = MUST(fork());
	if (!pid) {
		char c;

		close(go[1]);
		MUST(unshare(CLONE_NEWUSER));
		_exit(read(go[0], &c, 1) < 0);
	}
	close(go[0]);
	snprintf(map, sizeof(map), "0 %d 5000", BASE);
	/* Until the child is in its own namespace, the write is refused. */
	for (int i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
		fd = MUST(open(path, O_WRONLY));
		if (write(fd, map, strlen(map)) > 0) {
			close(fd);
			break;
		}
		close(fd);
		kvt_msleep(10);
	}
	snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	fd = MUST(open(path, O_WRONLY));
	OK(write(fd, map, strlen(map)));
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	close(go[1]);
	waitpid(pid, NULL, 0);
	return fd;
}

static void become(uid_t uid)
{
	MUST(syscall(SYS_setgroups, 0, NULL));
	MUST(setresgid(uid, uid, uid));
	MUST(setresuid(uid, uid, uid));
}

static void in_view(const char *view)
{
	struct stat st;
	char *m;
	int fd;

	/* A container's user 7: 10007 outside. */
	become(BASE + 7);
	MUST(chdir(view));
	OK(stat("of7", &st));
	IS(st.st_uid, BASE + 7);
	fd = OK(open("of7", O_RDWR));
	m = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	IS(m[0], 's');
	m[1] = 'V';
	munmap(m, 8192);
	close(fd);
	ERR(open("of0", O_RDWR), EACCES);
	fd = OK(open("made", O_CREAT | O_EXCL | O_RDWR, 0640));
	IS(write(fd, "made", 4), 4);
	OK(fstat(fd, &st));
	IS(st.st_uid, BASE + 7);
	IS(st.st_gid, BASE + 7);
	close(fd);
	OK(mkdir("dir", 0700));
	OK(symlink("made", "sym"));
	OK(mknod("fifo", S_IFIFO | 0600, 0));
	OK(link("made", "hard"));
	OK(rename("hard", "hard2"));
	OK(unlink("hard2"));
	OK(chmod("made", 0600));
	OK(truncate("made", 2));
	ERR(chown("made", BASE, BASE), EPERM);
	fd = OK(open(".", O_TMPFILE | O_RDWR, 0600));
	close(fd);
}

int main(int argc, char **argv)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	struct stat st;
	int tree, ns, fd;

	if (argc != 3)
		kvt_die("usage: idmap DIR SCRATCH");
	MUST(chdir(argv[1]));
	OK(chmod(".", 0777));
	fd = MUST(open("of7", O_CREAT | O_RDWR, 0600));
	IS(write(fd, "secret", 6), 6);
	OK(ftruncate(fd, 8192));
	OK(fchown(fd, 7, 7));
	close(fd);
	fd = MUST(open("of0", O_CREAT | O_RDWR, 0600));
	close(fd);

	ns = userns();
	tree = MUST(
		open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	attr.userns_fd = (uint64_t)ns;
	if (!CHECK(!mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)),
		   "id-mapped mount: %s", strerror(errno)))
		return kvt_end("idmap");
	MUST(move_mount(tree, "", AT_FDCWD, argv[2], MOVE_MOUNT_F_EMPTY_PATH));
	IN_CHILD(in_view(argv[2]));
	/* On disk it is user 7. */
	OK(stat("made", &st));
	IS(st.st_uid, 7);
	IS(st.st_gid, 7);
	IS(st.st_size, 2);
	for (size_t i = 0; i < 3; i++) {
		const char *n[] = { "dir", "sym", "fifo" };

		OK(lstat(n[i], &st));
		IS(st.st_uid, 7);
	}
	fd = MUST(open("of7", O_RDONLY));
	{
		char c[2];

		IS(pread(fd, c, 2, 0), 2);
		IS(c[1], 'V');
	}
	close(fd);
	/* Root outside the map is nobody there: it can't make anything. */
	IN_CHILD(MUST(chdir(argv[2]));
		 ERR(open("root", O_CREAT | O_RDWR, 0600), EOVERFLOW));
	/* chown through the view by one who may. */
	IN_CHILD(MUST(chdir(argv[2])); OK(chown("made", BASE + 9, BASE + 9)));
	OK(stat("made", &st));
	IS(st.st_uid, 9);
	close(tree);
	OK(umount2(argv[2], 0));
	close(ns);
	OK(unlink("made"));
	OK(unlink("sym"));
	OK(unlink("fifo"));
	OK(rmdir("dir"));
	OK(unlink("of7"));
	OK(unlink("of0"));
	return kvt_end("idmap");
}
