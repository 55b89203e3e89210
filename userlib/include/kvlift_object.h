/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Objects of libkvlift: sealed files of one directory of a pool, named by keys.
 * Included by kvlift.h.
 *
 * A put publishes an object whole or not at all, with its length and content
 * fixed; every process that may read the directory finds it by its key and
 * reads or maps the same bytes. Below memory the module keeps a checksum of
 * each block and verifies it on the way up. In a domain that is a cache the
 * pool may drop objects, whole, when it is full.
 *
 * The file of a key is named by the key itself, with bytes other than letters,
 * digits and "@._=:+,-" as %XX, and a leading "." too. Where that would be
 * longer than KVLIFT_NAME_PLAIN the name is "%%" and 32 digits of a hash (XXH3,
 * 128 bits), and the key is in the attribute user.kvlift.key, which is
 * compared.
 *
 * System calls: put 6, with KVLIFT_PUT_REPLACE 7, get 4, open 2, exists and
 * delete 1; where the name is a hash one to three more. Everything here is in
 * since 0.1.
 */
#ifndef KVLIFT_OBJECT_H
#define KVLIFT_OBJECT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVLIFT_KEY_MAX	  255 /* bytes of a key, at least one */
#define KVLIFT_NAME_PLAIN 240 /* of a file name that is not a hash */

struct kvlift_pool;
struct kvlift_cache;

/**
 * kvlift_cache_open() - open a directory for objects
 * @pool:	the pool
 * @name:	directory relative to the pool's; NULL or "": that one itself
 * @cache:	out: the handle; usable by several threads at once
 *
 * Return: 0; -EOPNOTSUPP: the module has no KVLIFT_F_SEAL; -EMEDIUMTYPE: the
 * name leads out of the pool; -ENOMEM; or what open(2) gives.
 */
int kvlift_cache_open(const struct kvlift_pool *pool, const char *name,
		      struct kvlift_cache **cache);

/**
 * kvlift_cache_close() - close a cache; NULL is allowed
 * @cache:	the handle, invalid afterwards; open objects stay usable
 */
void kvlift_cache_close(struct kvlift_cache *cache);

/**
 * kvlift_cache_fd() - descriptor of the directory
 * @cache:	the handle, which keeps owning the descriptor
 */
int kvlift_cache_fd(const struct kvlift_cache *cache);

/* Flags of kvlift_put(). */
/*
 * In place of an object that is there, at once: readers find the old one or the
 * new one, and who has the old one open keeps it. For a moment the new one has
 * a name ".put-N" as well; a process that is killed just then leaves that, and
 * the next put that replaces in the directory removes it.
 */
#define KVLIFT_PUT_REPLACE (1u << 0)

/**
 * kvlift_put() - store an object
 * @cache:	the directory
 * @key:	1 to KVLIFT_KEY_MAX bytes, any
 * @key_len:	how many
 * @buf:	the content
 * @len:	its bytes, may be 0
 * @flags:	KVLIFT_PUT_*
 *
 * Readers find all of it or nothing. When the process dies meanwhile nothing is
 * left, but for what KVLIFT_PUT_REPLACE says. Permissions are 0444 less the
 * umask. Where the kernel wants it, the name is given through /proc.
 *
 * Return: 0: stored; 1: the key was there, nothing was written; -EAGAIN: not
 * stored, a cache is full of what cannot be dropped: go on without; -ENOSPC,
 * -EDQUOT: the pool or the directory's domain is full; -EINVAL: a bad key or
 * flag; -EEXIST: another key has the same hash; -ENOENT: the directory was
 * removed, or there is no /proc; -EBUSY: 64 others are replacing objects of the
 * directory just now; -ESTALE: the directory was removed while it replaced;
 * -EACCES, -EROFS, -ENOMEM, -EMFILE, -EINTR: nothing was stored.
 */
int kvlift_put(const struct kvlift_cache *cache, const void *key,
	       size_t key_len, const void *buf, size_t len, unsigned int flags);

/**
 * kvlift_putv() - store an object that is in several pieces
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 * @iov:	the pieces, one after the other
 * @nr:		how many, at most KVLIFT_IOV_MAX
 * @flags:	KVLIFT_PUT_*
 *
 * Return: as kvlift_put(); -EINVAL also for too many pieces.
 */
#define KVLIFT_IOV_MAX 1024
int kvlift_putv(const struct kvlift_cache *cache, const void *key,
		size_t key_len, const struct iovec *iov, int nr,
		unsigned int flags);

/**
 * kvlift_get() - read an object
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 * @buf:	out: the content
 * @room:	bytes of @buf
 *
 * Return: length of the object; -ENOENT: it is not there; -EMSGSIZE: it is
 * longer than @room, @buf was not touched; -EIO: a block cannot be read, or its
 * checksum is wrong; -ESTALE: it is no file, or shrank meanwhile, so it was no
 * object; -EINVAL: a bad key; -EINTR: the process is being killed; or what
 * open(2) gives.
 */
ssize_t kvlift_get(const struct kvlift_cache *cache, const void *key,
		   size_t key_len, void *buf, size_t room);

/**
 * kvlift_getv() - read an object into several pieces
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 * @iov:	the pieces, filled one after the other
 * @nr:		how many, at most KVLIFT_IOV_MAX
 *
 * Return: as kvlift_get(); -EINVAL also for too many pieces.
 */
ssize_t kvlift_getv(const struct kvlift_cache *cache, const void *key,
		    size_t key_len, const struct iovec *iov, int nr);

/**
 * kvlift_exists() - is there an object of this key?
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 *
 * In a cache it may be dropped the next moment; an open object is not.
 *
 * Return: 1 or 0; -EINVAL: a bad key; or another negative errno.
 */
int kvlift_exists(const struct kvlift_cache *cache, const void *key,
		  size_t key_len);

/**
 * kvlift_delete() - remove an object
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 *
 * Who has it open keeps it. Needs permission to write to the directory.
 *
 * Return: 0; -ENOENT: it is not there; -EINVAL: a bad key; or another negative
 * errno.
 */
int kvlift_delete(const struct kvlift_cache *cache, const void *key,
		  size_t key_len);

/**
 * struct kvlift_object - an open object
 * @fd:		its descriptor; -1 when it is not open
 * @flags:	zero
 * @size:	bytes
 * @reserved:	zero
 *
 * As long as it is open, or mapped, its bytes stay, even when the name has
 * gone. That its blocks stay in memory as well takes a lease: a request of @fd
 * on a queue, see kvlift_queue_submit().
 */
struct kvlift_object {
	int fd;
	uint32_t flags;
	uint64_t size;
	uint64_t reserved[2];
};

/**
 * kvlift_object_open() - open an object for reading
 * @cache:	the directory
 * @key:	see kvlift_put()
 * @key_len:	see there
 * @object:	out: made by the caller, filled in here
 *
 * Return: 0; -ENOENT: it is not there; -ESTALE: it is no file; -EINVAL: a bad
 * key; or what open(2) gives.
 */
int kvlift_object_open(const struct kvlift_cache *cache, const void *key,
		       size_t key_len, struct kvlift_object *object);

/**
 * kvlift_object_read() - read from an open object; one system call
 * @object:	the object
 * @offset:	first byte
 * @buf:	out: the content
 * @len:	bytes
 *
 * Return: bytes read, fewer than @len where the object ends; -EIO as
 * kvlift_get(); or another negative errno.
 */
ssize_t kvlift_object_read(const struct kvlift_object *object, uint64_t offset,
			   void *buf, size_t len);

/**
 * kvlift_object_map() - map an open object for reading
 * @object:	the object; may be closed before the mapping goes
 * @addr:	out: its first byte
 *
 * Without a copy: all who map it see the same memory. kvlift_region_unmap()
 * with the object's size ends it. A child of fork() does not have it.
 *
 * Return: 0; -ENODATA: the object is empty; -ENOMEM; or another negative errno.
 */
int kvlift_object_map(const struct kvlift_object *object, const void **addr);

/**
 * kvlift_object_close() - close an object
 * @object:	may be one that is closed already
 */
void kvlift_object_close(struct kvlift_object *object);

#ifdef __cplusplus
}
#endif
#endif /* KVLIFT_OBJECT_H */
