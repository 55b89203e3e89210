// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended attributes: a short list per inode, bounded, in memory like
 * everything else. Names are stored with their prefix.
 */
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/xattr.h>

#include "inode.h"

/* Names and values of one inode, bytes. */
#define XATTR_LIMIT	(64 << 10)

struct kvl_xattr {
	struct list_head list;
	size_t size;
	char *name;	/* behind the value, in the same allocation */
	u8 value[];
};

static size_t footprint(const struct kvl_xattr *x)
{
	return sizeof(*x) + x->size + strlen(x->name) + 1;
}

static struct kvl_xattr *find(struct kvl_region *r, const char *name)
{
	struct kvl_xattr *x;

	list_for_each_entry(x, &r->xattrs, list)
		if (!strcmp(x->name, name))
			return x;
	return NULL;
}

static struct kvl_xattr *make(const char *prefix, const char *name,
			      const void *value, size_t size)
{
	size_t plen = strlen(prefix), len = strlen(name) + 1;
	struct kvl_xattr *x;

	x = kvmalloc(sizeof(*x) + size + plen + len, GFP_KERNEL_ACCOUNT);
	if (!x)
		return NULL;
	x->size = size;
	x->name = (char *)x->value + size;
	memcpy(x->value, value, size);
	memcpy(x->name, prefix, plen);
	memcpy(x->name + plen, name, len);
	return x;
}

static int get(const struct xattr_handler *handler, struct dentry *dentry,
	       struct inode *inode, const char *name, void *buffer,
	       size_t size)
{
	struct kvl_region *r = kvl_region(inode);
	struct kvl_xattr *x;
	int ret = -ENODATA;

	down_read(&r->xattr_sem);
	x = find(r, xattr_full_name(handler, name));
	if (x) {
		ret = x->size;
		if (buffer && size < x->size)
			ret = -ERANGE;
		else if (buffer)
			memcpy(buffer, x->value, x->size);
	}
	up_read(&r->xattr_sem);
	return ret;
}

static int set(const struct xattr_handler *handler, struct mnt_idmap *idmap,
	       struct dentry *dentry, struct inode *inode, const char *name,
	       const void *value, size_t size, int flags)
{
	struct kvl_region *r = kvl_region(inode);
	struct kvl_xattr *new = NULL, *old;
	size_t bytes;
	int err = 0;

	if (value) {
		new = make("", xattr_full_name(handler, name), value, size);
		if (!new)
			return -ENOMEM;
	}
	down_write(&r->xattr_sem);
	old = find(r, xattr_full_name(handler, name));
	bytes = r->xattr_bytes + (new ? footprint(new) : 0) -
		(old ? footprint(old) : 0);
	if (old && flags & XATTR_CREATE)
		err = -EEXIST;
	else if (!old && (flags & XATTR_REPLACE || !new))
		err = -ENODATA;
	else if (new && bytes > XATTR_LIMIT)
		err = -ENOSPC;
	if (!err) {
		if (old)
			list_del(&old->list);
		if (new)
			list_add_tail(&new->list, &r->xattrs);
		r->xattr_bytes = bytes;
		inode_set_ctime_current(inode);
	}
	up_write(&r->xattr_sem);
	kvfree(err ? new : old);
	return err;
}

ssize_t kvl_listxattr(struct dentry *dentry, char *buffer, size_t size)
{
	struct kvl_region *r = kvl_region(d_inode(dentry));
	bool trusted = capable(CAP_SYS_ADMIN);
	struct kvl_xattr *x;
	ssize_t used = 0;

	down_read(&r->xattr_sem);
	list_for_each_entry(x, &r->xattrs, list) {
		size_t len = strlen(x->name) + 1;

		if (!trusted && !strncmp(x->name, XATTR_TRUSTED_PREFIX,
					 XATTR_TRUSTED_PREFIX_LEN))
			continue;
		if (buffer) {
			if (size - used < len) {
				used = -ERANGE;
				break;
			}
			memcpy(buffer + used, x->name, len);
		}
		used += len;
	}
	up_read(&r->xattr_sem);
	return used;
}

static int init_security(struct inode *inode, const struct xattr *xattrs,
			 void *data)
{
	struct kvl_region *r = kvl_region(inode);
	const struct xattr *i;

	for (i = xattrs; i->name; i++) {
		struct kvl_xattr *x = make(XATTR_SECURITY_PREFIX, i->name,
					   i->value, i->value_len);

		if (!x)
			return -ENOMEM;
		list_add_tail(&x->list, &r->xattrs);
		r->xattr_bytes += footprint(x);
	}
	return 0;
}

/* Labels a new inode; nobody else knows it yet. */
int kvl_xattr_init_security(struct inode *inode, struct inode *dir,
			    const struct qstr *name)
{
	int err = security_inode_init_security(inode, dir, name,
					       init_security, NULL);

	return err == -EOPNOTSUPP ? 0 : err;
}

void kvl_xattr_free(struct kvl_region *r)
{
	struct kvl_xattr *x, *tmp;

	list_for_each_entry_safe(x, tmp, &r->xattrs, list)
		kvfree(x);
	INIT_LIST_HEAD(&r->xattrs);
}

static const struct xattr_handler user_handler = {
	.prefix = XATTR_USER_PREFIX,
	.get = get,
	.set = set,
};

static const struct xattr_handler trusted_handler = {
	.prefix = XATTR_TRUSTED_PREFIX,
	.get = get,
	.set = set,
};

static const struct xattr_handler security_handler = {
	.prefix = XATTR_SECURITY_PREFIX,
	.get = get,
	.set = set,
};

const struct xattr_handler *const kvl_xattr_handlers[] = {
	&user_handler,
	&trusted_handler,
	&security_handler,
	NULL,
};
